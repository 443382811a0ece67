//! Who holds the kernel's clock: this process, or one beside it that does nothing else.
//!
//! [`Holder`] is the cut: all that a time daemon asks of a kernel's clock beyond reading it. [`Machine`] does it here; [`Link`]
//! asks the clock process ([`process`]), which alone keeps `CAP_SYS_TIME`, reads no configuration, no file and no network, and
//! checks each request against bounds that it was given before the first foreign packet was read.

mod link;
mod messages;
mod process;

pub(crate) use link::{Link, Start};
pub(crate) use messages::Limits;
pub(crate) use process::run;

use std::fmt::Debug;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use sys::rtc::RtcTime;

/// The word on the command line that makes this executable the clock process.
pub(crate) const CLOCK_PROCESS: &str = "--clock-process";

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
/// The same in microseconds.
const ERROR_USEC_MAX: u64 = 16_000_000;

/// A correction as the kernel takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Words {
    /// Units of its frequency word: 65,536 are one part per million.
    pub units: i64,
    /// Microseconds of its tick.
    pub tick_usec: i64,
}

impl Words {
    /// None at all.
    pub(crate) const NONE: Self = Self { units: 0, tick_usec: TICK_NOMINAL_USEC };

    /// For a correction in parts per million.
    pub(crate) fn new(ppm: f64) -> Self {
        // The tick takes what the frequency word cannot; small corrections leave it alone.
        let steps = if ppm.abs() > FREQUENCY_WORD_PPM_MAX { (ppm / TICK_STEP_PPM).round() } else { 0.0 };
        let units = ((ppm - steps * TICK_STEP_PPM) * FREQUENCY_WORD_UNITS).round() as i64;
        Self { units, tick_usec: TICK_NOMINAL_USEC + steps as i64 }
    }

    /// As the kernel says.
    fn of(state: &sys::clock::ClockState) -> Self {
        let units = (state.frequency_ppm * FREQUENCY_WORD_UNITS).round() as i64;
        Self { units, tick_usec: state.tick_usec }
    }

    /// What is in its frequency word, in parts per million.
    fn word_ppm(self) -> f64 {
        self.units as f64 / FREQUENCY_WORD_UNITS
    }

    /// What it means, in parts per million.
    pub(crate) fn ppm(self) -> f64 {
        self.word_ppm() + (self.tick_usec - TICK_NOMINAL_USEC) as f64 * TICK_STEP_PPM
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
}

/// What is asked of a kernel's clock. Reading it takes no right and is done by everybody for themselves.
pub(crate) trait Holder: Debug {
    /// Ends what other programs left to the kernel to correct, calls the clock unsynchronised, and returns the correction in
    /// force.
    fn take_over(&mut self) -> io::Result<Words>;

    /// Sets the correction. `rest` is the one that the oscillator needs by itself: what a holder that outlives the daemon
    /// leaves the clock with.
    fn set_frequency(&mut self, words: Words, rest: Words) -> io::Result<()>;

    /// Adds `nanos` to the time at once.
    fn step(&mut self, nanos: i64) -> io::Result<()>;

    /// Tells how well the clock is known.
    fn set_status(&mut self, status: KernelStatus) -> io::Result<()>;

    /// Tells of a leap second at the end of this day (1 to insert, -1 to delete it, 0 for none), and TAI minus UTC in seconds,
    /// where that is known.
    fn set_leap(&mut self, direction: i32, tai_offset: Option<i32>) -> io::Result<()>;

    /// Sets the real-time clock that the daemon has opened (`rtcfile`).
    fn set_rtc(&mut self, time: RtcTime) -> io::Result<()>;

    /// Becomes readable when the holder is gone; none where it is this process.
    fn lifeline(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// The kernel's clock in the hands of this process.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// The real-time clock's device, where there is one to set.
    pub rtc: Option<OwnedFd>,
}

impl Holder for Machine {
    fn take_over(&mut self) -> io::Result<Words> {
        sys::clock::end_foreign_corrections()?;
        let words = Words::of(&sys::clock::state()?);
        self.set_status(KernelStatus::new(None, 0.0, false))?;
        Ok(words)
    }

    fn set_frequency(&mut self, words: Words, _rest: Words) -> io::Result<()> {
        sys::clock::set_frequency(words.word_ppm(), words.tick_usec)
    }

    fn step(&mut self, nanos: i64) -> io::Result<()> {
        sys::clock::step(nanos)
    }

    fn set_status(&mut self, status: KernelStatus) -> io::Result<()> {
        sys::clock::set_sync_status(status.synced, status.max_error_usec, status.estimated_error_usec)
    }

    fn set_leap(&mut self, direction: i32, tai_offset: Option<i32>) -> io::Result<()> {
        sys::clock::set_leap(direction, tai_offset)
    }

    fn set_rtc(&mut self, time: RtcTime) -> io::Result<()> {
        let device = self.rtc.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        sys::rtc::set(device, time)
    }
}

/// No clock at all (`-x --split`): everything is taken and nothing done, so that the two processes can be watched where no clock
/// may be touched.
#[derive(Debug)]
struct Rehearsal;

impl Holder for Rehearsal {
    fn take_over(&mut self) -> io::Result<Words> {
        Ok(Words::NONE)
    }

    fn set_frequency(&mut self, _words: Words, _rest: Words) -> io::Result<()> {
        Ok(())
    }

    fn step(&mut self, _nanos: i64) -> io::Result<()> {
        Ok(())
    }

    fn set_status(&mut self, _status: KernelStatus) -> io::Result<()> {
        Ok(())
    }

    fn set_leap(&mut self, _direction: i32, _tai_offset: Option<i32>) -> io::Result<()> {
        Ok(())
    }

    fn set_rtc(&mut self, _time: RtcTime) -> io::Result<()> {
        Ok(())
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
            let words = Words::new(ppm);
            assert_eq!(words.tick_usec, expected_tick, "{ppm}");
            assert!(
                words.word_ppm().abs() <= FREQUENCY_WORD_PPM_MAX
                    && (9_000..=11_000).contains(&words.tick_usec),
                "{ppm}: {words:?}"
            );
            assert!((words.ppm() - ppm).abs() <= 0.5 / FREQUENCY_WORD_UNITS + 1e-9, "{ppm}");
        };
        check(0.0, 10_000);
        check(-12.345_678, 10_000);
        check(500.0, 10_000);
        check(-500.0, 10_000);
        check(500.1, 10_005);
        check(-49_973.6, 9_500);
        check(83_369.4, 10_834);
        check(100_000.0, 11_000);
        check(-100_000.0, 9_000);
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
}
