//! When a message that could not be delivered is tried again, and when it is given up (`postconf(5)`).

/// The schedule of `main.cf`; all times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// `minimal_backoff_time`: the shortest wait between two attempts.
    pub backoff_min: i64,
    /// `maximal_backoff_time`: the longest.
    pub backoff_max: i64,
    /// `maximal_queue_lifetime`: after that long a message goes back to its sender; 0 means one attempt only.
    pub lifetime: i64,
    /// `bounce_queue_lifetime`: the same for messages with the null sender.
    pub lifetime_bounce: i64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { backoff_min: 300, backoff_max: 4000, lifetime: 5 * 86_400, lifetime_bounce: 5 * 86_400 }
    }
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again at this time, in seconds since 1970.
    At(i64),
    /// The message is too old: it goes back.
    Expired,
}

impl Schedule {
    /// The next attempt of a message that arrived at `arrival`, after one that failed at `now` (both in seconds since
    /// 1970). The wait is the message's age between the two bounds, which doubles it each time.
    pub fn after_failure(&self, arrival: i64, now: i64, null_sender: bool) -> Next {
        let age = now.saturating_sub(arrival).max(0);
        let lifetime = if null_sender { self.lifetime_bounce } else { self.lifetime };
        if age >= lifetime {
            return Next::Expired;
        }
        Next::At(now.saturating_add(age.clamp(self.backoff_min, self.backoff_max.max(self.backoff_min))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: waits of 300 s, then doubling up to 4000 s, until five days have passed.
    #[test]
    fn waits_double_between_the_bounds() {
        let check = |age: i64, expected: Next| {
            assert_eq!(Schedule::default().after_failure(1000, 1000 + age, false), expected, "age {age}");
        };
        check(0, Next::At(1300));
        check(-50, Next::At(950 + 300));
        check(300, Next::At(1300 + 300));
        check(600, Next::At(1600 + 600));
        check(90_000, Next::At(91_000 + 4000));
        check(5 * 86_400, Next::Expired);
    }

    /// Goal: a bounce has its own lifetime; 0 means one attempt.
    #[test]
    fn bounces_have_their_own_lifetime() {
        let schedule = Schedule { lifetime_bounce: 0, ..Schedule::default() };
        assert_eq!(schedule.after_failure(0, 0, true), Next::Expired);
        assert_eq!(schedule.after_failure(0, 0, false), Next::At(300));
    }
}
