//! What is done to the clock, and what is served instead of it.

use std::path::PathBuf;

/// `makestep`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Makestep {
    /// Larger offsets are stepped, seconds.
    pub threshold: f64,
    /// Only in so many first updates; none (a negative number in the file): in all.
    pub limit: Option<u32>,
}

/// `initstepslew`.
#[derive(Debug, Clone, PartialEq)]
pub struct InitStepSlew {
    /// Larger offsets are stepped, smaller ones slewed, seconds.
    pub threshold: f64,
    /// Host names or addresses of the servers that are asked before anything else.
    pub hosts: Vec<String>,
}

/// `maxchange`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxChange {
    /// Larger offsets are not corrected, seconds.
    pub offset: f64,
    /// So many first updates are not looked at; negative: the check is off.
    pub start: i32,
    /// So many are ignored before the daemon gives up; negative: any number.
    pub ignore: i32,
}

/// `fallbackdrift`: log2 of the shortest and longest seconds since the last update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackDrift {
    /// The first fallback's interval.
    pub min: i32,
    /// The last one's.
    pub max: i32,
}

/// `leapsecmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeapSecondMode {
    /// The kernel steps the clock.
    System,
    /// We step it.
    Step,
    /// It is slewed.
    Slew,
    /// Nothing is done; the next measurements show the offset.
    Ignore,
}

impl LeapSecondMode {
    /// Every mode and its word.
    pub const ALL: &[(&str, Self)] =
        &[("system", Self::System), ("step", Self::Step), ("slew", Self::Slew), ("ignore", Self::Ignore)];

    /// Its word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("system", |(name, _)| name)
    }
}

/// `smoothtime`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothTime {
    /// How fast the time that is served may move against ours, parts per million.
    pub frequency_max: f64,
    /// How fast that may change, parts per million a second.
    pub wander_max: f64,
    /// `leaponly`: nothing but leap seconds is smoothed.
    pub leap_only: bool,
}

/// `tempcomp`.
#[derive(Debug, Clone, PartialEq)]
pub struct TempComp {
    /// The file with the temperature, a number.
    pub sensor: PathBuf,
    /// Seconds between two readings.
    pub interval: f64,
    /// From the temperature to the compensation.
    pub curve: TempCurve,
}

/// From a temperature to parts per million.
#[derive(Debug, Clone, PartialEq)]
pub enum TempCurve {
    /// `k0 + (T - T0) * k1 + (T - T0)^2 * k2`.
    Quadratic {
        /// Temperature.
        t0: f64,
        /// Parts per million.
        k0: f64,
        /// Parts per million a unit.
        k1: f64,
        /// Parts per million a square unit.
        k2: f64,
    },
    /// A file of points, between which lines are drawn.
    Points(PathBuf),
}

/// `mailonchange`.
#[derive(Debug, Clone, PartialEq)]
pub struct MailOnChange {
    /// Who gets a mail.
    pub address: String,
    /// For larger changes than this, seconds.
    pub threshold: f64,
}

/// The real-time clock.
#[derive(Debug, Clone, PartialEq)]
pub struct RealTimeClock {
    /// `rtcfile`: where its error and drift are kept; none: it is not followed.
    pub file: Option<PathBuf>,
    /// `rtcdevice`.
    pub device: PathBuf,
    /// `rtcautotrim`: it is set when it is farther off than this, seconds; 0: never.
    pub auto_trim: f64,
    /// `hwclockfile`: the file of hwclock(8) that says whether it keeps UTC.
    pub hwclock_file: Option<PathBuf>,
    /// `rtconutc`.
    pub on_utc: bool,
}
