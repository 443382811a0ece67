//! Transmit times of replies in interleaved mode, which the kernel tells after they have left.
//!
//! Each one that it tells costs a third of what the reply costs: it is put into an error queue and taken out again. So under load,
//! where one system call sends many replies, the kernel is asked for the first, the last and every [`STEP`]th of them. Those
//! between two are sent one directly after the other, so they left between the two moments, and each gets the moment that its place
//! says. Where the two are further apart than so many replies take, something else came between (an interruption, another
//! process), and where it came nobody knows: then those replies have no time, and their clients' next ones are
//! in basic mode, which RFC 9769 section 2 leaves to the server. Neither have they where they left after the call that sent them: a
//! queue of the device held them, which lets them go by rules of its own, and for a while the kernel is asked for each. On loopback, with a process for each processor beside them, a time
//! by place was 50 ns from the kernel's in the median and 2 us in the worst of a hundred, and one of a hundred had none.

use ntp_proto::NtpTimestamp;
use std::time::{Duration, Instant};

/// Up to so many in a batch the kernel tells of each.
const EACH_MAX: usize = 8;
/// Of more it tells of every one of so many.
const STEP: usize = 8;
/// After a batch that left late the kernel is asked for each in so many of the next ones.
const EACH_BATCHES: u32 = 256;
/// Those of which it is asked and has not told, at most; the oldest gives way.
const ASKED_MAX: usize = 256;
/// Longer than a queue keeps what is to leave. What was not told until then was dropped there.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// A reply that has a time to come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Waiting {
    /// Its receive timestamp, by which it is known.
    pub received: NtpTimestamp,
    /// Its place among all that are sent with it.
    pub place: u32,
    /// The bytes of its NTP packet.
    pub bytes: u32,
}

/// When a reply left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// The kernel's clock then, nanoseconds since the Unix epoch, as the kernel told or as its place between two of those says.
    At(i64),
    /// Nobody knows.
    Unknown,
}

/// What the kernel was asked for at one socket.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// By number.
    asked: Vec<Asked>,
    /// The next one that is asked for has this number.
    next_number: u32,
    /// The first of the last batch has this one.
    batch: u32,
    /// In so many batches it is asked for each.
    each: u32,
    /// How many have not been told: nobody looks into the socket's queue for nothing.
    untold: usize,
    /// The numbers of the kernel and ours are no longer the same; none are asked for until the kernel has told the `untold` rest, but not
    /// after this moment. What still waits in a device's queue would be told under the numbers of others.
    settles_by: Option<Instant>,
}

/// One reply that the kernel was asked for.
#[derive(Debug, Clone, Default)]
struct Asked {
    number: u32,
    reply: Waiting,
    /// When the call that sent it was over.
    over_ns: i64,
    sent_ns: Option<i64>,
    /// Those between the one before in the same batch and this one.
    between: Vec<Waiting>,
}

impl Owed {
    /// How many the kernel has not told.
    pub(super) fn untold(&self) -> usize {
        self.untold
    }

    /// Replies are about to be sent together: `stamp` is called with the place of each that the kernel has to be asked for, in order.
    pub(super) fn ask(&mut self, batch: &[Waiting], mut stamp: impl FnMut(u32)) {
        let step = if batch.len() <= EACH_MAX || self.each > 0 { 1 } else { STEP };
        self.each = self.each.saturating_sub(1);
        self.batch = self.next_number;
        let mut rest = batch;
        let mut before = 0;
        while let Some((reply, more)) = rest.get(before..).and_then(<[Waiting]>::split_first) {
            let between = rest.get(..before).unwrap_or_default();
            stamp(reply.place);
            self.push(*reply, between);
            rest = more;
            before = (step - 1).min(rest.len().saturating_sub(1));
        }
    }

    fn push(&mut self, reply: Waiting, between: &[Waiting]) {
        let number = self.next_number;
        let index = number as usize % ASKED_MAX;
        if self.asked.len() <= index {
            self.asked.resize_with(index + 1, Asked::default);
        }
        if let Some(asked) = self.asked.get_mut(index) {
            (asked.number, asked.reply, asked.sent_ns, asked.over_ns) = (number, reply, None, 0);
            // What it has room for is used again.
            asked.between.clear();
            asked.between.extend_from_slice(between);
        }
        self.next_number = number.wrapping_add(1);
        self.untold += 1;
    }

    /// The call that sent the last batch was over at `now_ns`, by the kernel's clock.
    pub(super) fn sent(&mut self, now_ns: i64) {
        let count = self.next_number.wrapping_sub(self.batch);
        for number in (0..count).map(|more| self.batch.wrapping_add(more)) {
            if let Some(asked) = self.asked.get_mut(number as usize % ASKED_MAX) {
                asked.over_ns = now_ns;
            }
        }
    }

    /// The kernel refused to send `refused` of those that it was asked for, and counted them or not.
    pub(super) fn lose_count(&mut self, refused: usize, now: Instant) {
        self.asked.clear();
        self.untold = self.untold.saturating_sub(refused);
        self.settles_by = Some(now + SETTLED_AFTER);
    }

    /// The numbers are no longer known, and none may be asked for.
    pub(super) fn is_settling(&self) -> bool {
        self.settles_by.is_some()
    }

    /// The numbers are no longer known, and the kernel has told all that it will: it can count from 0 again.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.settles_by.is_some_and(|by| self.untold == 0 || now >= by)
    }

    /// The kernel tells that the one with this number left at `sent_ns`; a reply takes about `each_ns` to send. `give` gets what is
    /// known by that.
    pub(super) fn told(
        &mut self,
        number: u32,
        sent_ns: i64,
        each_ns: f32,
        mut give: impl FnMut(NtpTimestamp, Left),
    ) {
        if self.is_settling() {
            self.untold = self.untold.saturating_sub(1);
            return;
        }
        // The kernel tells in the order of sending, so that those before will not be told; where several queues of a card send, they
        // may be, and are taken when the socket says so.
        let behind = self.next_number.wrapping_sub(number).wrapping_sub(1) as usize;
        self.untold = self.untold.saturating_sub(1).min(behind);
        let of = |number: u32| number as usize % ASKED_MAX;
        let before = self.asked.get(of(number.wrapping_sub(1)));
        let before = before.filter(|one| one.number == number.wrapping_sub(1));
        let before = before.and_then(|one| Some((one.sent_ns?, one.reply.place)));
        let Some(asked) = self.asked.get_mut(of(number)) else { return };
        if asked.number != number || asked.sent_ns.is_some() {
            return;
        }
        asked.sent_ns = Some(sent_ns);
        give(asked.reply.received, Left::At(sent_ns));
        let is_late = sent_ns > asked.over_ns;
        if is_late {
            self.each = EACH_BATCHES;
        }
        for one in asked.between.drain(..) {
            let left = before.filter(|_| !is_late).and_then(|(first_ns, first)| {
                let (span, places) = (sent_ns.checked_sub(first_ns)?, asked.reply.place.checked_sub(first)?);
                let part = one.place.checked_sub(first)?;
                // Twice as long as usual is nothing special; more is an interruption.
                let most = (2.0 * each_ns * places as f32) as i64;
                ((0..=most).contains(&span) && places > 0)
                    .then(|| first_ns + span * i64::from(part) / i64::from(places))
            });
            give(one.received, left.map_or(Left::Unknown, Left::At));
        }
    }

    /// The kernel counts from 0 again, and what it has not told is not told any more.
    pub(super) fn restart(&mut self) {
        self.asked.clear();
        (self.next_number, self.batch, self.untold, self.settles_by) = (0, 0, 0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: u32) -> Vec<Waiting> {
        // Every other reply of the batch is one in basic mode.
        (0..count)
            .map(|at| Waiting { received: NtpTimestamp(100 + u64::from(at)), place: 2 * at, bytes: 48 })
            .collect()
    }

    /// Goal: few replies are asked for each, of many the first, the last and every eighth, and each reply's time comes to be known exactly
    /// once, at its place between its neighbours.
    #[test]
    fn each_reply_gets_its_time() {
        for count in 0..=64_u32 {
            let mut owed = Owed::default();
            let mut places = Vec::new();
            owed.ask(&batch(count), |place| places.push(place));
            owed.sent(i64::MAX);
            let expected: Vec<u32> = match count {
                0..=8 => (0..count).map(|at| 2 * at).collect(),
                _ => (0..count).filter(|at| at % 8 == 0 || at + 1 == count).map(|at| 2 * at).collect(),
            };
            assert_eq!(places, expected);
            assert_eq!(owed.untold(), places.len());
            let mut known = Vec::new();
            for (number, place) in places.iter().enumerate() {
                // 1000 ns for each reply.
                let sent_ns = 5_000_000 + i64::from(*place) * 1_000;
                owed.told(number as u32, sent_ns, 1_000.0, |received, left| known.push((received.0, left)));
            }
            known.sort_by_key(|(received, _)| *received);
            let expected: Vec<_> = (0..count)
                .map(|at| (100 + u64::from(at), Left::At(5_000_000 + i64::from(at) * 2_000)))
                .collect();
            assert_eq!(known, expected);
            assert_eq!(owed.untold(), 0);
        }
    }

    /// Goal: where two are too far apart, or turned round, those between have no time, and all others do.
    #[test]
    fn an_interruption_leaves_gaps_only_where_it_was() {
        for (late, number) in [(40_000, 2_u32), (-40_000, 2)] {
            let mut owed = Owed::default();
            let mut places = Vec::new();
            owed.ask(&batch(33), |place| places.push(place));
            owed.sent(i64::MAX);
            let mut unknown = Vec::new();
            for (at, place) in places.iter().enumerate() {
                let more = if at as u32 >= number { late } else { 0 };
                owed.told(at as u32, i64::from(*place) * 1_000 + more, 1_000.0, |received, left| {
                    if left == Left::Unknown {
                        unknown.push(received.0);
                    }
                });
            }
            assert_eq!(unknown, (109..116).collect::<Vec<_>>());
        }
    }

    /// Goal: what the kernel does not tell, tells twice, or tells under a number that is none of ours gives nobody a wrong time; a new
    /// beginning forgets what was owed.
    #[test]
    fn numbers_that_are_not_ours_say_nothing() {
        let mut owed = Owed::default();
        owed.told(3, 1, 1_000.0, |_, _| panic!("nothing was asked for"));
        owed.ask(&batch(17), |_| {});
        owed.sent(i64::MAX);
        // The one in the middle is lost: those on both sides of it have no neighbour.
        let mut known = Vec::new();
        owed.told(0, 0, 1_000.0, |received, left| known.push((received.0, left)));
        owed.told(2, 32_000, 1_000.0, |received, left| known.push((received.0, left)));
        let mut expected = vec![(100, Left::At(0)), (116, Left::At(32_000))];
        expected.extend((109..116).map(|at| (at, Left::Unknown)));
        assert_eq!(known, expected);
        for number in [2, 3, 258, u32::MAX] {
            owed.told(number, 40_000, 1_000.0, |_, _| panic!("{number} is told already or none of ours"));
        }
        owed.restart();
        assert_eq!(owed.untold(), 0);
        owed.told(1, 16_000, 1_000.0, |_, _| panic!("it is forgotten"));
        // The oldest give way, and numbers go on.
        for _ in 0..300 {
            owed.ask(&batch(1), |_| {});
        }
        owed.told(10, 1, 1_000.0, |_, _| panic!("it gave way"));
        let mut known = 0;
        owed.told(299, 1, 1_000.0, |_, left| known += usize::from(left == Left::At(1)));
        assert_eq!(known, 1);
    }

    /// Goal: where replies leave after the call that sent them, no time is made from a place, and each of the next ones is asked for, until
    /// they leave at once again.
    #[test]
    fn what_a_queue_held_has_no_time_by_place() {
        let mut owed = Owed::default();
        owed.ask(&batch(17), |_| {});
        owed.sent(20_000);
        let mut known = Vec::new();
        for (number, sent_ns) in [(0, 0), (1, 16_000), (2, 32_000)] {
            owed.told(number, sent_ns, 1_000.0, |received, left| known.push((received.0, left)));
        }
        known.sort_by_key(|(received, _)| *received);
        let at_once = (0..=8).map(|at| (100 + at as u64, Left::At(at * 2_000)));
        let held = (9..16).map(|at| (100 + at as u64, Left::Unknown));
        let expected: Vec<_> = at_once.chain(held).chain([(116, Left::At(32_000))]).collect();
        assert_eq!(known, expected);
        let asked = |owed: &mut Owed| {
            let mut count = 0;
            owed.ask(&batch(17), |_| count += 1);
            owed.sent(i64::MAX);
            count
        };
        assert!((0..EACH_BATCHES).all(|_| asked(&mut owed) == 17));
        assert_eq!(asked(&mut owed), 3);
    }

    /// Goal: when the kernel refused one that it was asked for, nobody gets a time until all that still wait in a device's queue are told
    /// or long past, since they carry numbers that others would get.
    #[test]
    fn a_lost_count_settles_before_it_begins_again() {
        let now = Instant::now();
        let mut owed = Owed::default();
        owed.ask(&batch(4), |_| {});
        owed.lose_count(1, now);
        for number in 0..3 {
            assert!(owed.is_settling() && !owed.is_settled(now), "{number} still waits to leave");
            owed.told(number, 1, 1_000.0, |_, _| panic!("whose it is nobody knows"));
        }
        assert!(owed.is_settled(now));
        owed.restart();
        assert!(!owed.is_settling() && !owed.is_settled(now));
        // What a queue dropped is never told.
        owed.ask(&batch(4), |_| {});
        owed.lose_count(1, now);
        assert!(!owed.is_settled(now) && owed.is_settled(now + SETTLED_AFTER));
    }
}
