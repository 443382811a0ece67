//! The clock that the daemon disciplines: the kernel's, or one that exists only here.

use time_core::{Clock, ClockError, LocalTime};

/// The largest correction: ten per cent, what the kernel's tick allows (`adjtimex(2)`: 900000/HZ to 1100000/HZ).
const FREQUENCY_MAX: f64 = 0.1;
/// What the kernel's frequency word takes, parts per million.
const FREQUENCY_WORD_PPM_MAX: f64 = 500.0;
/// Microseconds in a nominal kernel tick of USER_HZ = 100.
const TICK_NOMINAL_USEC: i64 = 10_000;
/// One microsecond of tick, in parts per million.
const TICK_STEP_PPM: f64 = 100.0;
/// The kernel's frequency word counts this much of a part per million (`adjtimex(2)`: a 16-bit fraction).
const FREQUENCY_WORD_UNITS: f64 = 65_536.0;
/// From this error on the kernel calls its clock unsynchronised by itself (`NTP_PHASE_LIMIT`), in seconds.
const ERROR_UNSYNCHRONISED: f64 = 16.0;
/// The longest time until a change of rate is in force: the kernel's own tick at 250 Hz, in seconds.
const TICK_SECONDS: f64 = 0.004;

/// The daemon's clock.
#[derive(Debug)]
pub(crate) enum DaemonClock {
    /// The kernel's, which we set.
    Kernel {
        /// The correction in force, s/s.
        frequency: f64,
    },
    /// The kernel's with corrections that only we know of (`-x`): the kernel's is never touched.
    Virtual(VirtualClock),
}

/// A clock that runs beside the kernel's.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    /// The kernel's time at the last change.
    kernel: i64,
    /// Ours then.
    ours: i64,
    frequency: f64,
}

/// What turns the kernel's time into this clock's, until the next change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClockMap {
    kernel: i64,
    ours: i64,
    frequency: f64,
}

impl ClockMap {
    /// A clock that is `seconds` ahead of this one at `kernel`, and gains `rate` s/s on it.
    pub(crate) fn ahead(&self, kernel: i64, seconds: f64, rate: f64) -> Self {
        let ours = self.at(kernel).saturating_add((seconds * 1e9).round() as i64);
        Self { kernel, ours, frequency: self.frequency + rate }
    }

    /// What the clock showed when the kernel's showed `kernel`, nanoseconds since the Unix epoch.
    pub(crate) fn at(&self, kernel: i64) -> i64 {
        let elapsed = kernel.saturating_sub(self.kernel);
        let gained = (elapsed as f64 * self.frequency).round() as i64;
        self.ours.saturating_add(elapsed).saturating_add(gained)
    }
}

impl DaemonClock {
    /// The map in force, for those who serve time from other threads.
    pub(crate) fn map(&self) -> ClockMap {
        match self {
            Self::Kernel { .. } => ClockMap { kernel: 0, ours: 0, frequency: 0.0 },
            Self::Virtual(clock) => {
                ClockMap { kernel: clock.kernel, ours: clock.ours, frequency: clock.frequency }
            }
        }
    }

    /// Takes charge of the kernel's clock: its own loops are switched off and the correction in force is kept.
    pub(crate) fn kernel() -> Result<Self, ClockError> {
        sys::clock::end_foreign_corrections().map_err(refused)?;
        let state = sys::clock::state().map_err(refused)?;
        KernelStatus::new(None, 0.0, false).tell().map_err(refused)?;
        Ok(Self::Kernel { frequency: correction(state.frequency_ppm, state.tick_usec) })
    }

    /// A clock beside the kernel's, with the kernel's present time.
    pub(crate) fn beside() -> Self {
        let now = sys::clock::realtime_ns();
        Self::Virtual(VirtualClock { kernel: now, ours: now, frequency: 0.0 })
    }

    /// What this clock showed when the kernel's showed `kernel` (a receive timestamp, say).
    pub(crate) fn at(&self, kernel: i64) -> LocalTime {
        match self {
            Self::Kernel { .. } => LocalTime(kernel),
            Self::Virtual(clock) => clock.at(kernel),
        }
    }

    /// How far this clock is ahead of the kernel's, in seconds.
    pub(crate) fn ahead_of_kernel(&self) -> f64 {
        let kernel = sys::clock::realtime_ns();
        self.at(kernel).since(LocalTime(kernel))
    }

    /// Somebody moved the kernel's clock by `nanos`. The one beside it goes on as if nothing had happened; returns by how much
    /// this clock was moved.
    pub(crate) fn kernel_was_moved(&mut self, nanos: i64) -> i64 {
        match self {
            Self::Kernel { .. } => nanos,
            Self::Virtual(clock) => {
                clock.kernel = clock.kernel.saturating_add(nanos);
                0
            }
        }
    }

    /// The kernel's clock is the one that we set.
    pub(crate) fn is_kernel(&self) -> bool {
        matches!(self, Self::Kernel { .. })
    }
}

/// What the kernel is told of its clock, and tells every reader of `ntp_gettime(3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KernelStatus {
    synced: bool,
    max_error_usec: u64,
    estimated_error_usec: u64,
}

impl KernelStatus {
    /// `bound` of the error and one `sigma` of it, in seconds; no bound means that the clock is not synchronised. As chronyd, it
    /// is called synchronised only with `rtcsync` (`chrony.conf(5)`), and the error is told either way.
    pub(crate) fn new(bound: Option<f64>, sigma: f64, rtc_sync: bool) -> Self {
        let microseconds = |seconds: f64| (seconds.clamp(0.0, ERROR_UNSYNCHRONISED) * 1e6).ceil() as u64;
        let bound = bound.filter(|bound| *bound < ERROR_UNSYNCHRONISED);
        Self {
            synced: bound.is_some() && rtc_sync,
            max_error_usec: microseconds(bound.unwrap_or(ERROR_UNSYNCHRONISED)),
            estimated_error_usec: microseconds(bound.map_or(ERROR_UNSYNCHRONISED, |bound| sigma.min(bound))),
        }
    }

    /// Tells the kernel.
    pub(crate) fn tell(self) -> std::io::Result<()> {
        sys::clock::set_sync_status(self.synced, self.max_error_usec, self.estimated_error_usec)
    }
}

/// A correction, parts per million, as the kernel takes it: units of its frequency word, and microseconds of its tick.
fn kernel_words(ppm: f64) -> (f64, i64) {
    // The tick takes what the frequency word cannot; small corrections leave it alone.
    let steps = if ppm.abs() > FREQUENCY_WORD_PPM_MAX { (ppm / TICK_STEP_PPM).round() } else { 0.0 };
    (((ppm - steps * TICK_STEP_PPM) * FREQUENCY_WORD_UNITS).round(), TICK_NOMINAL_USEC + steps as i64)
}

/// The correction that the kernel's words mean, s/s.
fn correction(word_ppm: f64, tick_usec: i64) -> f64 {
    (word_ppm + (tick_usec - TICK_NOMINAL_USEC) as f64 * TICK_STEP_PPM) * 1e-6
}

impl VirtualClock {
    fn at(&self, kernel: i64) -> LocalTime {
        let elapsed = kernel.saturating_sub(self.kernel);
        let gained = (elapsed as f64 * self.frequency).round() as i64;
        LocalTime(self.ours.saturating_add(elapsed).saturating_add(gained))
    }
}

fn refused(error: std::io::Error) -> ClockError {
    ClockError::Refused(error.to_string())
}

impl Clock for DaemonClock {
    fn now(&mut self) -> LocalTime {
        self.at(sys::clock::realtime_ns())
    }

    fn frequency(&self) -> f64 {
        match self {
            Self::Kernel { frequency } => *frequency,
            Self::Virtual(clock) => clock.frequency,
        }
    }

    fn set_frequency(&mut self, wanted: f64) -> Result<f64, ClockError> {
        match self {
            Self::Kernel { frequency } => {
                let (units, tick_usec) = kernel_words(wanted * 1e6);
                let word_ppm = units / FREQUENCY_WORD_UNITS;
                sys::clock::set_frequency(word_ppm, tick_usec).map_err(refused)?;
                *frequency = correction(word_ppm, tick_usec);
                return Ok(*frequency);
            }
            Self::Virtual(clock) => {
                let kernel = sys::clock::realtime_ns();
                clock.ours = clock.at(kernel).0;
                clock.kernel = kernel;
                clock.frequency = wanted;
            }
        }
        Ok(wanted)
    }

    fn step(&mut self, nanos: i64) -> Result<(), ClockError> {
        match self {
            Self::Kernel { .. } => sys::clock::step(nanos).map_err(refused),
            Self::Virtual(clock) => {
                clock.ours = clock.ours.saturating_add(nanos);
                Ok(())
            }
        }
    }

    fn frequency_max(&self) -> f64 {
        FREQUENCY_MAX
    }

    fn change_latency(&self) -> f64 {
        if self.is_kernel() { TICK_SECONDS } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every correction up to the largest is put into words that the kernel takes, and means what was wanted to within
    /// the word's resolution.
    #[test]
    fn corrections_are_put_into_the_kernels_words() {
        let check = |ppm: f64, expected_tick: i64| {
            let (units, tick) = kernel_words(ppm);
            let word = units / FREQUENCY_WORD_UNITS;
            assert_eq!(tick, expected_tick, "{ppm}");
            assert!(
                word.abs() <= FREQUENCY_WORD_PPM_MAX && (9_000..=11_000).contains(&tick),
                "{ppm}: {word}"
            );
            assert!((correction(word, tick) * 1e6 - ppm).abs() <= 0.5 / FREQUENCY_WORD_UNITS + 1e-9, "{ppm}");
        };
        check(0.0, 10_000);
        check(-12.345_678, 10_000);
        check(500.0, 10_000);
        check(-500.0, 10_000);
        check(500.1, 10_005);
        check(-49_973.6, 9_500);
        check(83_369.4, 10_834);
        check(FREQUENCY_MAX * 1e6, 11_000);
        check(-FREQUENCY_MAX * 1e6, 9_000);
    }

    /// Goal: the kernel is told "synchronised" only with rtcsync and a bound that it accepts as one; the errors are told rounded
    /// up, the estimate never above the bound, and both are the kernel's "unknown" without a bound.
    #[test]
    fn the_kernel_is_told_what_is_known() {
        let check = |bound, sigma, rtc_sync, expected: (bool, u64, u64)| {
            let found = KernelStatus::new(bound, sigma, rtc_sync);
            let expected = KernelStatus {
                synced: expected.0,
                max_error_usec: expected.1,
                estimated_error_usec: expected.2,
            };
            assert_eq!(found, expected);
        };
        check(Some(1.5e-3), 20.1e-6, true, (true, 1500, 21));
        check(Some(1.5e-3), 20.1e-6, false, (false, 1500, 21));
        check(Some(1e-3), 2.0, true, (true, 1000, 1000));
        check(Some(15.9), f64::INFINITY, true, (true, 15_900_000, 15_900_000));
        check(Some(16.0), 1e-3, true, (false, 16_000_000, 16_000_000));
        check(None, 1e-3, true, (false, 16_000_000, 16_000_000));
        check(None, 0.0, false, (false, 16_000_000, 16_000_000));
    }

    /// Goal: the clock beside the kernel's keeps its own corrections over changes of rate and steps, exactly.
    #[test]
    fn a_virtual_clock_keeps_its_own_corrections() {
        let mut clock = VirtualClock { kernel: 1_000, ours: 1_000, frequency: 0.0 };
        let check =
            |clock: &VirtualClock, kernel: i64, expected: i64| assert_eq!(clock.at(kernel).0, expected);
        check(&clock, 2_000_000, 2_000_000);
        clock = VirtualClock { kernel: 2_000_000, ours: 5_000_000, frequency: 1e-3 };
        check(&clock, 3_000_000, 6_001_000);
        check(&clock, 1_000_000, 3_999_000);
    }
}
