//! How fast what is known of a clock's error gets old (`docs/algorithm.md` section 4.3).

/// Sigmas of the oscillator's random walk that a bound allows for.
const WANDER_SIGMAS: f64 = 4.0;

/// How far the oscillator may leave the line that was drawn for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drift {
    /// Bound of the line's frequency error, s/s.
    pub(crate) skew: f64,
    /// Variance of the frequency's random walk, (s/s)^2 per second.
    pub(crate) wander: f64,
}

impl Drift {
    /// After so many seconds, in seconds.
    pub(crate) fn after(&self, seconds: f64) -> f64 {
        let seconds = seconds.max(0.0);
        self.skew * seconds + WANDER_SIGMAS * (self.wander.max(0.0) * seconds.powi(3) / 3.0).sqrt()
    }
}
