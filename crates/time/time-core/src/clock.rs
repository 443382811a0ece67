//! The clock that is disciplined, as a trait.

/// What the local clock shows, in nanoseconds since the Unix epoch. It may be wrong; that is what this crate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct LocalTime(pub i64);

impl LocalTime {
    /// `self - earlier`, in seconds.
    pub fn since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 * 1e-9
    }

    /// This many seconds later (or earlier, when negative).
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        Self(self.0.saturating_add((seconds * 1e9).round() as i64))
    }
}

/// Why a clock was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockError {
    /// The system does not let us.
    Refused(String),
}

impl std::fmt::Display for ClockError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(reason) => write!(formatter, "the clock cannot be changed: {reason}"),
        }
    }
}

impl std::error::Error for ClockError {}

/// A clock with a rate that can be changed. A slew is a change of rate for a while, made by the discipline.
pub trait Clock {
    /// What it shows now.
    fn now(&mut self) -> LocalTime;

    /// The frequency correction in force, s/s: positive means that it is made to run faster.
    fn frequency(&self) -> f64;

    /// Sets the frequency correction; returns the one that is in force then, which may differ by the clock's resolution.
    fn set_frequency(&mut self, frequency: f64) -> Result<f64, ClockError>;

    /// The correction that the oscillator needs by itself, s/s: what a slew is on top of. Told before each [`Self::set_frequency`],
    /// so that whoever holds the clock can leave it with this one where the discipline ends without a word.
    fn rests_at(&mut self, _frequency: f64) {}

    /// Adds `nanos` to the time at once.
    fn step(&mut self, nanos: i64) -> Result<(), ClockError>;

    /// The largest correction that [`Self::set_frequency`] takes, s/s.
    fn frequency_max(&self) -> f64;

    /// How long a change of frequency may take to come into force, in seconds: the kernel's tick.
    fn change_latency(&self) -> f64;
}
