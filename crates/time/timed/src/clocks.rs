//! The clock that the daemon disciplines: the kernel's, or one that exists only here.

use crate::holder::{Holder, KernelStatus, Words};
use std::os::fd::BorrowedFd;
use time_core::{Clock, ClockError, DisciplineSettings, LocalTime};

/// The largest correction: ten per cent, what the kernel's tick allows (`adjtimex(2)`: 900000/HZ to 1100000/HZ).
const FREQUENCY_MAX: f64 = 0.1;
/// The longest time until a change of rate is in force: the kernel's own tick at 250 Hz, in seconds.
const TICK_SECONDS: f64 = 0.004;

/// The daemon's clock.
#[derive(Debug)]
pub(crate) enum DaemonClock {
    /// The kernel's, which we set.
    Kernel {
        /// Who sets it for us.
        holder: Box<dyn Holder>,
        /// The correction in force, s/s.
        frequency: f64,
        /// What the oscillator needs by itself, s/s.
        rest: f64,
        /// What the temperature makes it gain, s/s (`tempcomp`): taken off beneath every correction.
        compensation: f64,
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
    rest: f64,
    compensation: f64,
    /// Who is asked as if it were the kernel's (`--split`), and does nothing.
    rehearsal: Option<Box<dyn Holder>>,
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
        Self { kernel, ours, frequency: (1.0 + self.frequency) * (1.0 + rate) - 1.0 }
    }

    /// What the clock showed when the kernel's showed `kernel`, nanoseconds since the Unix epoch.
    pub(crate) fn at(&self, kernel: i64) -> i64 {
        let elapsed = kernel.saturating_sub(self.kernel);
        // Cut, not rounded: that is a call of the C library's for each of a server's stamps, and a nanosecond is nothing here.
        let gained = (elapsed as f64 * self.frequency) as i64;
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
    pub(crate) fn kernel(mut holder: Box<dyn Holder>) -> Result<Self, ClockError> {
        let frequency = holder.take_over().map_err(refused)?.ppm() * 1e-6;
        Ok(Self::Kernel { holder, frequency, rest: frequency, compensation: 0.0 })
    }

    /// Ends what a daemon may have left that was killed in the middle of a slew, together with the process that would have ended
    /// it: the kernel goes on at that rate until somebody sets another. To be called before anything else of a start.
    pub(crate) fn begin_at_rest(&mut self, settings: &DisciplineSettings) -> Result<(), ClockError> {
        let found = self.frequency();
        let rest = settings.frequency_at_start(found);
        if rest == found {
            return Ok(());
        }
        self.rests_at(rest);
        self.set_frequency(rest).map(drop)
    }

    /// A clock beside the kernel's, with the kernel's present time.
    pub(crate) fn beside(mut rehearsal: Option<Box<dyn Holder>>) -> Result<Self, ClockError> {
        if let Some(holder) = &mut rehearsal {
            holder.take_over().map_err(refused)?;
        }
        let now = sys::clock::realtime_ns();
        Ok(Self::Virtual(VirtualClock {
            kernel: now,
            ours: now,
            frequency: 0.0,
            rest: 0.0,
            compensation: 0.0,
            rehearsal,
        }))
    }

    fn holder(&mut self) -> Option<&mut dyn Holder> {
        match self {
            Self::Kernel { holder, .. } => Some(&mut **holder),
            Self::Virtual(clock) => clock.rehearsal.as_deref_mut().map(|holder| holder as &mut dyn Holder),
        }
    }

    /// Becomes readable when the process that holds the clock is gone; none where there is none.
    pub(crate) fn lifeline(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Kernel { holder, .. } => holder.lifeline(),
            Self::Virtual(clock) => clock.rehearsal.as_ref().and_then(|holder| holder.lifeline()),
        }
    }

    /// Tells the kernel how well its clock is known.
    pub(crate) fn tell(&mut self, status: KernelStatus) -> Result<(), ClockError> {
        self.holder().map_or(Ok(()), |holder| holder.set_status(status)).map_err(refused)
    }

    /// Tells the kernel of a leap second at the end of this day: 1, -1 or 0; and of TAI minus UTC.
    pub(crate) fn tell_leap(&mut self, direction: i32, tai_offset: Option<i32>) -> Result<(), ClockError> {
        self.holder().map_or(Ok(()), |holder| holder.set_leap(direction, tai_offset)).map_err(refused)
    }

    /// The temperature makes the oscillator gain `gains` s/s: from now on that is taken off beneath every correction, so that the
    /// rest of the daemon sees a steadier oscillator.
    pub(crate) fn compensate(&mut self, gains: f64) -> Result<(), ClockError> {
        let wanted = self.frequency();
        let before = std::mem::replace(self.compensation_mut(), gains);
        let done = self.set_frequency(wanted);
        if done.is_err() {
            *self.compensation_mut() = before;
        }
        done.map(drop)
    }

    fn compensation_mut(&mut self) -> &mut f64 {
        match self {
            Self::Kernel { compensation, .. } => compensation,
            Self::Virtual(clock) => &mut clock.compensation,
        }
    }

    /// Has the real-time clock set by the process that holds the clock; none where there is no such process.
    pub(crate) fn set_rtc(&mut self, time: sys::rtc::RtcTime) -> Option<std::io::Result<()>> {
        match self {
            Self::Kernel { holder, .. } if holder.lifeline().is_some() => Some(holder.set_rtc(time)),
            Self::Kernel { .. } | Self::Virtual(_) => None,
        }
    }

    /// What this clock showed when the kernel's showed `kernel` (a receive timestamp, say).
    pub(crate) fn at(&self, kernel: i64) -> LocalTime {
        match self {
            Self::Kernel { .. } => LocalTime(kernel),
            Self::Virtual(clock) => clock.at(kernel),
        }
    }

    /// What the kernel's clock showed when this one showed `local`: the inverse of [`Self::at`].
    pub(crate) fn kernel_at(&self, local: LocalTime) -> i64 {
        // The two run at rates that differ by a tenth at most, so that each round leaves a tenth of the error.
        const ROUNDS_MAX: u32 = 24;
        let mut kernel = local.0;
        for _ in 0..ROUNDS_MAX {
            let off = local.0.saturating_sub(self.at(kernel).0);
            if off == 0 {
                break;
            }
            kernel = kernel.saturating_add(off);
        }
        kernel
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
            Self::Kernel { frequency, compensation, .. } => *frequency + compensation,
            Self::Virtual(clock) => clock.frequency + clock.compensation,
        }
    }

    fn set_frequency(&mut self, wanted: f64) -> Result<f64, ClockError> {
        let words = |frequency: f64, compensation: f64| Words::new((frequency - compensation) * 1e6);
        match self {
            Self::Kernel { holder, frequency, rest, compensation } => {
                let set = words(wanted, *compensation);
                holder.set_frequency(set, words(*rest, *compensation)).map_err(refused)?;
                *frequency = set.ppm() * 1e-6;
                return Ok(*frequency + *compensation);
            }
            Self::Virtual(clock) => {
                if let Some(holder) = &mut clock.rehearsal {
                    let rest = words(clock.rest, clock.compensation);
                    holder.set_frequency(words(wanted, clock.compensation), rest).map_err(refused)?;
                }
                let kernel = sys::clock::realtime_ns();
                clock.ours = clock.at(kernel).0;
                clock.kernel = kernel;
                clock.frequency = wanted - clock.compensation;
            }
        }
        Ok(wanted)
    }

    fn rests_at(&mut self, frequency: f64) {
        match self {
            Self::Kernel { rest, .. } => *rest = frequency,
            Self::Virtual(clock) => clock.rest = frequency,
        }
    }

    fn step(&mut self, nanos: i64) -> Result<(), ClockError> {
        self.holder().map_or(Ok(()), |holder| holder.step(nanos)).map_err(refused)?;
        if let Self::Virtual(clock) = self {
            clock.ours = clock.ours.saturating_add(nanos);
        }
        Ok(())
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
    use std::sync::{Arc, Mutex};

    /// Goal: the clock beside the kernel's keeps its own corrections over changes of rate and steps, exactly.
    #[test]
    fn a_virtual_clock_keeps_its_own_corrections() {
        let clock = |kernel: i64, ours: i64, frequency: f64| VirtualClock {
            kernel,
            ours,
            frequency,
            rest: 0.0,
            compensation: 0.0,
            rehearsal: None,
        };
        let check =
            |clock: &VirtualClock, kernel: i64, expected: i64| assert_eq!(clock.at(kernel).0, expected);
        check(&clock(1_000, 1_000, 0.0), 2_000_000, 2_000_000);
        let clock = clock(2_000_000, 5_000_000, 1e-3);
        check(&clock, 3_000_000, 6_001_000);
        check(&clock, 1_000_000, 3_999_000);
    }

    /// Goal: what the temperature does is taken off beneath the corrections: they stay what they were, and the clock's rate, the
    /// one that it is left with too, is smaller by it.
    #[test]
    fn a_temperature_is_taken_off_beneath_the_corrections() {
        let mut clock = DaemonClock::beside(None).expect("it exists only here");
        assert_eq!(clock.set_frequency(10e-6), Ok(10e-6));
        clock.compensate(3e-6).expect("it exists only here");
        let check = |clock: &DaemonClock, corrections: f64, rate: f64| {
            assert!((clock.frequency() - corrections).abs() < 1e-15, "{clock:?}");
            assert!((clock.map().frequency - rate).abs() < 1e-15, "{clock:?}");
        };
        check(&clock, 10e-6, 7e-6);
        clock.set_frequency(-5e-6).expect("set");
        check(&clock, -5e-6, -8e-6);
        clock.compensate(-2e-6).expect("set");
        check(&clock, -5e-6, -3e-6);
        clock.compensate(0.0).expect("set");
        check(&clock, -5e-6, -5e-6);
    }

    /// A kernel that outlives those who set its clock, and what it was told since somebody took it over.
    #[derive(Debug, Clone)]
    struct SimulatedKernel(Arc<Mutex<(Words, Vec<Words>)>>);

    impl SimulatedKernel {
        fn held(&self) -> std::sync::MutexGuard<'_, (Words, Vec<Words>)> {
            self.0.lock().expect("no test panics with it")
        }
    }

    impl Holder for SimulatedKernel {
        fn take_over(&mut self) -> std::io::Result<Words> {
            self.held().1.clear();
            Ok(self.held().0)
        }

        fn set_frequency(&mut self, words: Words, _rest: Words) -> std::io::Result<()> {
            let (in_force, told) = &mut *self.held();
            *in_force = words;
            told.push(words);
            Ok(())
        }

        fn step(&mut self, _nanos: i64) -> std::io::Result<()> {
            Ok(())
        }

        fn set_status(&mut self, _status: KernelStatus) -> std::io::Result<()> {
            Ok(())
        }

        fn set_leap(&mut self, _direction: i32, _tai_offset: Option<i32>) -> std::io::Result<()> {
            Ok(())
        }

        fn set_rtc(&mut self, _time: sys::rtc::RtcTime) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Goal: the rate of a slew that both processes were killed in is not carried over: the first thing that the next start tells
    /// the kernel is the drift file's frequency, and without one a rate that no oscillator has is given up. Method: a kernel that
    /// keeps its rate while nobody is there.
    #[test]
    fn a_slew_that_both_processes_were_killed_in_ends_with_the_next_start() {
        let check = |left_ppm: f64, drift_ppm: Option<f64>, expected_ppm: f64| {
            let kernel = SimulatedKernel(Arc::new(Mutex::new((Words::NONE, Vec::new()))));
            let drift = drift_ppm.map(|ppm| time_core::Drift { frequency: ppm * 1e-6, skew: 1e-7 });
            let settings = DisciplineSettings { drift, ..DisciplineSettings::default() };
            let mut killed = DaemonClock::kernel(Box::new(kernel.clone())).expect("it takes over");
            killed.begin_at_rest(&settings).expect("it is set");
            killed.rests_at(12.0e-6);
            killed.set_frequency(left_ppm * 1e-6).expect("it is set");
            // A daemon that is killed says nothing more.
            drop(killed);
            assert_eq!(kernel.held().0, Words::new(left_ppm), "the kernel has nobody to ask");
            let mut next = DaemonClock::kernel(Box::new(kernel.clone())).expect("it takes over");
            next.begin_at_rest(&settings).expect("it is set");
            assert_eq!(kernel.held().0, Words::new(expected_ppm), "{left_ppm} {drift_ppm:?}");
            let first = kernel.held().1.first().copied();
            assert!(first.is_none_or(|first| first == Words::new(expected_ppm)), "{first:?}");
            // The discipline that follows finds it so and leaves it.
            let keeper = time_core::Timekeeper::new(
                time_core::TimekeeperSettings { discipline: settings, ..Default::default() },
                &mut next,
            );
            assert!(keeper.is_ok());
            assert_eq!(kernel.held().0, Words::new(expected_ppm), "{left_ppm} {drift_ppm:?}");
        };
        check(83_345.0, Some(12.0), 12.0);
        check(-83_320.0, Some(12.0), 12.0);
        check(92.0, Some(12.0), 12.0);
        check(12.0, Some(12.0), 12.0);
        check(83_345.0, None, 0.0);
        check(-600.0, None, 0.0);
        // Another program's, or part of a slow slew's: nobody knows better, and the filter is told how uncertain it is.
        check(92.0, None, 92.0);
    }
}
