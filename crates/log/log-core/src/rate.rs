//! Rate limits: so many messages in an interval, the rest counted.

use record::MonotonicMicros;

/// A limit (`RateLimitIntervalSec` and `RateLimitBurst`, `ratelimit.interval` and `ratelimit.burst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// The interval in microseconds; 0: no limit.
    pub interval_micros: u64,
    /// Messages admitted in one interval; 0: no limit.
    pub burst: u64,
}

impl RateLimit {
    /// No limit.
    pub const NONE: RateLimit = RateLimit { interval_micros: 0, burst: 0 };
}

/// The state of one limit for one source.
#[derive(Debug, Clone, Copy, Default)]
pub struct RateLimiter {
    begun: Option<MonotonicMicros>,
    admitted: u64,
    suppressed: u64,
    /// Messages refused since the limiter was made.
    pub suppressed_total: u64,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let it pass.
    Admit,
    /// Let it pass, and say first that so many were refused in the interval that has ended.
    AdmitAfter {
        /// How many.
        suppressed: u64,
    },
    /// Refuse it. It is counted.
    Refuse {
        /// The first of this interval: worth a line in the log.
        first: bool,
    },
}

impl RateLimiter {
    /// Decides on one message at `now`. An interval begins with its first message.
    pub fn decide(&mut self, limit: RateLimit, now: MonotonicMicros) -> Verdict {
        if limit.interval_micros == 0 || limit.burst == 0 {
            return Verdict::Admit;
        }
        let over = match self.begun {
            Some(begun) => now.0.saturating_sub(begun.0) >= limit.interval_micros,
            None => true,
        };
        if over {
            let suppressed = std::mem::take(&mut self.suppressed);
            self.begun = Some(now);
            self.admitted = 1;
            return if suppressed > 0 { Verdict::AdmitAfter { suppressed } } else { Verdict::Admit };
        }
        if self.admitted < limit.burst {
            self.admitted += 1;
            return Verdict::Admit;
        }
        self.suppressed += 1;
        self.suppressed_total += 1;
        Verdict::Refuse { first: self.suppressed == 1 }
    }

    /// How many were refused, when the interval has ended at `now` and nobody has told it yet: for a timer, so that the
    /// last "suppressed" line does not wait for a next message.
    pub fn take_suppressed(&mut self, limit: RateLimit, now: MonotonicMicros) -> Option<u64> {
        let begun = self.begun?;
        if self.suppressed == 0 || now.0.saturating_sub(begun.0) < limit.interval_micros {
            return None;
        }
        self.begun = None;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a burst passes, the rest is refused and told once, and a new interval starts clean.
    #[test]
    fn burst_then_silence_then_told() {
        let limit = RateLimit { interval_micros: 1000, burst: 2 };
        let mut limiter = RateLimiter::default();
        let verdicts =
            [0, 1, 2, 3, 999, 1000, 1001, 1002, 5000].map(|at| limiter.decide(limit, MonotonicMicros(at)));
        let expected = [
            Verdict::Admit,
            Verdict::Admit,
            Verdict::Refuse { first: true },
            Verdict::Refuse { first: false },
            Verdict::Refuse { first: false },
            Verdict::AdmitAfter { suppressed: 3 },
            Verdict::Admit,
            Verdict::Refuse { first: true },
            Verdict::AdmitAfter { suppressed: 1 },
        ];
        assert_eq!(verdicts, expected);
        assert_eq!(limiter.suppressed_total, 4);
        limiter.decide(limit, MonotonicMicros(5001));
        limiter.decide(limit, MonotonicMicros(5002));
        assert_eq!(limiter.take_suppressed(limit, MonotonicMicros(5500)), None);
        assert_eq!(limiter.take_suppressed(limit, MonotonicMicros(6000)), Some(1));
        assert_eq!(limiter.take_suppressed(limit, MonotonicMicros(7000)), None);
    }

    /// Goal: no limit admits all.
    #[test]
    fn no_limit() {
        let mut limiter = RateLimiter::default();
        assert!((0..1000).all(|_| limiter.decide(RateLimit::NONE, MonotonicMicros(0)) == Verdict::Admit));
    }
}
