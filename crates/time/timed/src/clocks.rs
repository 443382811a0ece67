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

impl DaemonClock {
    /// Takes charge of the kernel's clock: its own loops are switched off and the correction in force is kept.
    pub(crate) fn kernel() -> Result<Self, ClockError> {
        let state = sys::clock::state().map_err(refused)?;
        sys::clock::set_sync_status(false, 16_000_000, 16_000_000).map_err(refused)?;
        let tick = (state.tick_usec - TICK_NOMINAL_USEC) as f64 * TICK_STEP_PPM;
        Ok(Self::Kernel { frequency: (state.frequency_ppm + tick) * 1e-6 })
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
                let ppm = wanted * 1e6;
                // The tick takes what the frequency word cannot; small corrections leave it alone.
                let steps =
                    if ppm.abs() > FREQUENCY_WORD_PPM_MAX { (ppm / TICK_STEP_PPM).round() } else { 0.0 };
                let rest = ppm - steps * TICK_STEP_PPM;
                sys::clock::set_frequency(rest, TICK_NOMINAL_USEC + steps as i64).map_err(refused)?;
                *frequency = wanted;
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
