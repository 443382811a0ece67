//! Moments to wake at.

use std::collections::BTreeSet;
use std::time::Duration;

/// Timers by token, on any clock whose moments are nanoseconds: time is an argument.
#[derive(Debug)]
pub struct Timers<T: Ord + Copy> {
    due: BTreeSet<(i64, T)>,
}

impl<T: Ord + Copy> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeSet::new() }
    }
}

impl<T: Ord + Copy> Timers<T> {
    /// No timer yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fires `token` at `at_ns`, in place of whatever moment it had.
    pub fn set(&mut self, token: T, at_ns: i64) {
        self.cancel(token);
        self.due.insert((at_ns, token));
    }

    /// Forgets the timer of `token`.
    pub fn cancel(&mut self, token: T) {
        self.due.retain(|(_, known)| *known != token);
    }

    /// The next token whose moment has come, taken out.
    pub fn pop(&mut self, now_ns: i64) -> Option<T> {
        let (at, token) = *self.due.first()?;
        (at <= now_ns).then(|| {
            self.due.pop_first();
            token
        })
    }

    /// How long to wait for the next moment; none when there is no timer.
    pub fn timeout(&self, now_ns: i64) -> Option<Duration> {
        let (at, _) = self.due.first()?;
        Some(Duration::from_nanos(u64::try_from(at.saturating_sub(now_ns)).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: timers fire in order, once, never early; setting again moves.
    #[test]
    fn timers_fire_in_order() {
        let mut timers = Timers::new();
        timers.set('a', 30);
        timers.set('b', 10);
        timers.set('a', 20);
        assert_eq!(timers.timeout(0), Some(Duration::from_nanos(10)));
        assert_eq!(timers.pop(9), None);
        assert_eq!((timers.pop(25), timers.pop(25), timers.pop(25)), (Some('b'), Some('a'), None));
        assert_eq!(timers.timeout(0), None);
    }
}
