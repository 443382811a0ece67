//! The time given by hand: `manual` and `chronyc settime`.

use time_core::{LocalTime, Manual, ManualFit};

/// The moments that were typed in, and whether they are taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct ManualInput {
    /// `manual`.
    pub enabled: bool,
    /// The moments.
    pub moments: Manual,
}

/// What a moment does to the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct HandCorrection {
    /// Seconds that the clock is slow.
    pub offset: f64,
    /// What the frequency needs more, s/s, and one sigma of it.
    pub frequency: Option<(f64, f64)>,
}

impl ManualInput {
    /// As `manual` in the configuration says.
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// The time was `told` (nanoseconds since the Unix epoch) when the clock showed `now`; none when it is not taken.
    pub(crate) fn settime(&mut self, now: LocalTime, told: i64) -> Option<(ManualFit, HandCorrection)> {
        let fast = now.since(LocalTime(told));
        let fit = self.moments.add(now, fast)?;
        // One moment says nothing of the frequency, two of it without a measure of how well: as well as it is large.
        let skew = fit.skew.unwrap_or(fit.frequency.abs()).max(f64::MIN_POSITIVE);
        let frequency = (self.moments.samples().count() > 1).then_some((-fit.frequency, skew));
        Some((fit, HandCorrection { offset: -fit.offset, frequency }))
    }
}
