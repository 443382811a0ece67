//! The life of a queued message: which recipients are due, what an attempt's outcome changes, when a report goes back
//! and when the message is gone. The caller performs the returned [`Action`]s, in order.

use crate::retry::{Next, Schedule};

/// Where one recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// To be tried at this time (seconds since 1970; 0 is at once).
    Waiting {
        /// Time of the next attempt.
        next: i64,
        /// Attempts so far.
        attempts: u32,
    },
    /// An attempt runs.
    InFlight {
        /// Attempts before this one.
        attempts: u32,
    },
    /// Given up; the sender has not been told yet.
    Failed,
    /// Given up; a report to the sender is being written.
    Reporting,
    /// Delivered, reported, or replaced by what it expanded to.
    Closed,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The next place has taken the responsibility.
    Sent,
    /// Not now.
    Deferred,
    /// Never.
    Failed,
    /// The recipient became this many new ones, which are added behind the present ones.
    Expanded {
        /// Number of new recipients.
        children: usize,
    },
}

/// What became of a recipient, for the queue's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Delivered.
    Delivered,
    /// To be tried again at this time (seconds since 1970).
    Deferred {
        /// Time of the next attempt.
        next: i64,
        /// Attempts so far.
        attempts: u32,
    },
    /// Given up; `expired` if only for its age.
    Failed {
        /// True if the lifetime ended it and not the answer.
        expired: bool,
    },
    /// Replaced by new recipients.
    Expanded,
    /// The report about it is durable (or there is nobody to tell).
    Reported,
}

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the change to the queue.
    Record {
        /// Index of the recipient.
        recipient: usize,
        /// Its new state.
        change: Change,
    },
    /// Put a delivery report about these recipients into the queue and call [`Life::reported`] when it is durable.
    Report(Vec<usize>),
    /// The message has the null sender: nobody is told (RFC 5321 section 4.5.5). Log it; nothing else to do.
    Discard(Vec<usize>),
    /// Remove the message from the queue.
    Remove,
}

/// The machine of one message.
#[derive(Debug, Clone)]
pub struct Life {
    arrival: i64,
    null_sender: bool,
    standings: Vec<Standing>,
}

impl Life {
    /// A message that arrived at `arrival` (seconds since 1970), with its recipients as the queue knows them.
    pub fn new(arrival: i64, null_sender: bool, standings: Vec<Standing>) -> Self {
        Self { arrival, null_sender, standings }
    }

    /// A new message, all of whose recipients are due.
    pub fn fresh(arrival: i64, null_sender: bool, recipients: usize) -> Self {
        Self::new(arrival, null_sender, vec![Standing::Waiting { next: 0, attempts: 0 }; recipients])
    }

    /// Where the recipients stand.
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// The time of the next attempt, if any is waiting.
    pub fn next_attempt(&self) -> Option<i64> {
        let waiting = |s: &Standing| if let Standing::Waiting { next, .. } = s { Some(*next) } else { None };
        self.standings.iter().filter_map(waiting).min()
    }

    /// True while an attempt runs.
    pub fn is_in_flight(&self) -> bool {
        self.standings.iter().any(|s| matches!(s, Standing::InFlight { .. }))
    }

    /// Marks the recipients that are due at `now` as in flight and returns their indexes.
    pub fn take_due(&mut self, now: i64) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, standing) in self.standings.iter_mut().enumerate() {
            if let Standing::Waiting { next, attempts } = *standing
                && next <= now
            {
                *standing = Standing::InFlight { attempts };
                due.push(index);
            }
        }
        due
    }

    /// Makes everything that waits due at once (`flush`).
    pub fn flush(&mut self) {
        for standing in &mut self.standings {
            if let Standing::Waiting { next, .. } = standing {
                *next = 0;
            }
        }
    }

    /// Takes back the mark of attempts that can never report (their worker ended): they are due at once.
    pub fn abandoned(&mut self, recipient: usize) {
        if let Some(standing) = self.standings.get_mut(recipient)
            && let Standing::InFlight { attempts } = *standing
        {
            *standing = Standing::Waiting { next: 0, attempts };
        }
    }

    /// An attempt ended. Outcomes of recipients that are not in flight change nothing.
    pub fn finished(
        &mut self,
        recipient: usize,
        outcome: Outcome,
        now: i64,
        schedule: &Schedule,
    ) -> Vec<Action> {
        let Some(standing) = self.standings.get_mut(recipient) else { return Vec::new() };
        let Standing::InFlight { attempts } = *standing else { return Vec::new() };
        let attempts = attempts.saturating_add(1);
        let change = match outcome {
            Outcome::Sent => Change::Delivered,
            Outcome::Expanded { .. } => Change::Expanded,
            Outcome::Failed => Change::Failed { expired: false },
            Outcome::Deferred => match schedule.after_failure(self.arrival, now, self.null_sender) {
                Next::At(next) => Change::Deferred { next, attempts },
                Next::Expired => Change::Failed { expired: true },
            },
        };
        *standing = match change {
            Change::Delivered | Change::Expanded | Change::Reported => Standing::Closed,
            Change::Deferred { next, attempts } => Standing::Waiting { next, attempts },
            Change::Failed { .. } => Standing::Failed,
        };
        if let Outcome::Expanded { children } = outcome {
            let due = Standing::Waiting { next: 0, attempts: 0 };
            self.standings.resize(self.standings.len().saturating_add(children), due);
        }
        let mut actions = vec![Action::Record { recipient, change }];
        actions.extend(self.settle());
        if actions.contains(&Action::Remove) {
            // The removal says it all: one record in place of two.
            actions.retain(|a| !matches!(a, Action::Record { .. }));
        }
        actions
    }

    /// What can be done at rest: after an attempt, and for each message when the queue is opened.
    pub fn settle(&mut self) -> Vec<Action> {
        if self.is_in_flight() {
            return Vec::new();
        }
        let failed = self.indexes(Standing::Failed);
        let mut actions = Vec::new();
        if !failed.is_empty() {
            let after = if self.null_sender { Standing::Closed } else { Standing::Reporting };
            for &index in &failed {
                if let Some(standing) = self.standings.get_mut(index) {
                    *standing = after;
                }
            }
            actions.push(if self.null_sender { Action::Discard(failed) } else { Action::Report(failed) });
        }
        if self.standings.iter().all(|s| *s == Standing::Closed) {
            actions.push(Action::Remove);
        }
        actions
    }

    /// The report about recipients whose standing is [`Standing::Reporting`] is durable.
    pub fn reported(&mut self) -> Vec<Action> {
        let reported = self.indexes(Standing::Reporting);
        for &index in &reported {
            if let Some(standing) = self.standings.get_mut(index) {
                *standing = Standing::Closed;
            }
        }
        if self.standings.iter().all(|s| *s == Standing::Closed) {
            return vec![Action::Remove];
        }
        reported.into_iter().map(|recipient| Action::Record { recipient, change: Change::Reported }).collect()
    }

    fn indexes(&self, wanted: Standing) -> Vec<usize> {
        let standings = self.standings.iter().enumerate();
        standings.filter(|(_, s)| **s == wanted).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule =
        Schedule { backoff_min: 300, backoff_max: 4000, lifetime: 1000, lifetime_bounce: 500 };

    fn record(recipient: usize, change: Change) -> Action {
        Action::Record { recipient, change }
    }

    /// Goal: one recipient: delivered at once, deferred then expired, refused; each ends with the message gone.
    #[test]
    fn a_message_with_one_recipient() {
        let mut life = Life::fresh(0, false, 1);
        assert_eq!(life.take_due(0), [0]);
        assert_eq!(life.take_due(0), [] as [usize; 0]);
        assert_eq!(life.finished(0, Outcome::Sent, 0, &SCHEDULE), [Action::Remove]);

        let mut life = Life::fresh(0, false, 1);
        life.take_due(0);
        let deferred = Change::Deferred { next: 300, attempts: 1 };
        assert_eq!(life.finished(0, Outcome::Deferred, 0, &SCHEDULE), [record(0, deferred)]);
        assert_eq!((life.take_due(299), life.next_attempt()), (vec![], Some(300)));
        assert_eq!(life.take_due(1000), [0]);
        let expired = record(0, Change::Failed { expired: true });
        assert_eq!(life.finished(0, Outcome::Deferred, 1000, &SCHEDULE), [expired, Action::Report(vec![0])]);
        assert_eq!(life.settle(), [], "a report is asked for once");
        assert_eq!(life.reported(), [Action::Remove]);
    }

    /// Goal: a report waits until nothing is in flight, and names all that failed; the rest goes on.
    #[test]
    fn failures_are_gathered() {
        let mut life = Life::fresh(0, false, 3);
        life.take_due(0);
        let failed = Change::Failed { expired: false };
        assert_eq!(life.finished(0, Outcome::Failed, 0, &SCHEDULE), [record(0, failed)]);
        assert_eq!(life.finished(1, Outcome::Failed, 0, &SCHEDULE), [record(1, failed)]);
        let deferred = record(2, Change::Deferred { next: 300, attempts: 1 });
        assert_eq!(life.finished(2, Outcome::Deferred, 0, &SCHEDULE), [deferred, Action::Report(vec![0, 1])]);
        let reported = [record(0, Change::Reported), record(1, Change::Reported)];
        assert_eq!(life.reported(), reported);
        life.flush();
        assert_eq!(life.take_due(1), [2]);
        assert_eq!(life.finished(2, Outcome::Sent, 1, &SCHEDULE), [Action::Remove]);
    }

    /// Goal: nobody is told about a message with the null sender (double bounce).
    #[test]
    fn a_double_bounce_is_dropped() {
        let mut life = Life::fresh(0, true, 1);
        life.take_due(0);
        let got = life.finished(0, Outcome::Failed, 0, &SCHEDULE);
        assert_eq!(got, [Action::Discard(vec![0]), Action::Remove]);
    }

    /// Goal: an expanded recipient is replaced by its children, which are due at once.
    #[test]
    fn expansion_adds_recipients() {
        let mut life = Life::fresh(0, false, 1);
        life.take_due(0);
        let got = life.finished(0, Outcome::Expanded { children: 2 }, 0, &SCHEDULE);
        assert_eq!(got, [record(0, Change::Expanded)]);
        assert_eq!(life.take_due(0), [1, 2]);
        assert_eq!(life.finished(1, Outcome::Sent, 0, &SCHEDULE), [record(1, Change::Delivered)]);
        assert_eq!(life.finished(1, Outcome::Sent, 0, &SCHEDULE), [], "an outcome counts once");
        assert_eq!(life.finished(2, Outcome::Sent, 0, &SCHEDULE), [Action::Remove]);
    }
}
