//! The real-time clock as a reference: when it begins a second, or what it shows.

use super::Reading;
use crate::rtc::{KernelRtc, RtcDevice, seconds};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use time_core::LeapStatus;

/// What a clock that is only read shows is older than that by half a second on average, and by as much at most more or less.
const HALF_SECOND: f64 = 0.5;

/// A real-time clock.
#[derive(Debug)]
pub(super) struct Rtc {
    device: Box<dyn RtcDevice>,
    on_utc: bool,
    /// It says when a second begins.
    interrupts: bool,
    /// The first interrupt after they were turned on may be an old one.
    bogus: bool,
}

impl Rtc {
    /// `on_utc`: it keeps UTC, not the local time. An error also where the device is none; one that cannot tell the time now may later.
    pub(super) fn open(path: &Path, on_utc: bool) -> io::Result<Self> {
        let mut rtc = Self::new(Box::new(KernelRtc::open_any(path)?), on_utc);
        match rtc.read() {
            Err(error) if sys::rtc::is_none(&error) => {
                let named = format!("{}: it is no real-time clock", path.display());
                Err(io::Error::new(io::ErrorKind::InvalidInput, named))
            }
            _ => Ok(rtc),
        }
    }

    fn new(mut device: Box<dyn RtcDevice>, on_utc: bool) -> Self {
        let interrupts = device.interrupts(true).is_ok();
        Self { device, on_utc, interrupts, bogus: true }
    }

    /// It is not read when it is due, but when it says so.
    pub(super) fn interrupts(&self) -> bool {
        self.interrupts
    }

    /// What becomes readable when a second begins.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.interrupts.then(|| self.device.as_fd())
    }

    /// A second has begun.
    pub(super) fn arrived(&mut self) -> io::Result<Option<Reading>> {
        let is_second = match self.device.take_interrupt() {
            Ok(is_second) => is_second,
            Err(error) => {
                // Else it would be readable for ever.
                self.interrupts = false;
                return Err(error);
            }
        };
        if !is_second || std::mem::take(&mut self.bogus) {
            return Ok(None);
        }
        let (time, at) = self.device.read()?;
        Ok(seconds(time, self.on_utc).map(|shown| reading(shown, at, 0.0)))
    }

    /// What it shows, without interrupts.
    pub(super) fn read(&mut self) -> io::Result<Option<Reading>> {
        if self.interrupts {
            return Ok(None);
        }
        let (time, at) = self.device.read()?;
        Ok(seconds(time, self.on_utc).map(|shown| reading(shown, at, HALF_SECOND)))
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        let _ = self.device.interrupts(false);
    }
}

fn reading(shown: i64, at: i64, age: f64) -> Reading {
    Reading {
        at,
        offset: shown.saturating_mul(1_000_000_000).saturating_sub(at) as f64 * 1e-9 + age,
        pulse: false,
        dispersion: age,
        leap: LeapStatus::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::fake::FakeRtc;

    /// Goal: the beginning of a second is exact, but for the first one; what is no real-time clock is an error that names it.
    #[test]
    fn seconds_are_samples() {
        let (device, state) = FakeRtc::new(1_700_000_000_300_000_000, 0.25, 0.0);
        let mut rtc = Rtc::new(Box::new(device), true);
        assert!(rtc.interrupts() && rtc.as_fd().is_some());
        assert_eq!(rtc.arrived().expect("one"), None);
        let one = rtc.arrived().expect("one").expect("a reading");
        assert!((one.offset - 0.25).abs() < 1e-6 && one.dispersion == 0.0, "{one:?}");
        assert_eq!(rtc.read().expect("nothing"), None);
        rtc.interrupts = false;
        let read = rtc.read().expect("one").expect("a reading");
        assert!((read.offset - 0.75).abs() < 1e-6 && read.dispersion == 0.5, "{read:?}");
        drop(rtc);
        assert!(!state.lock().expect("whole").on);
        let error = Rtc::open(Path::new("/nonexistent/rtc"), true).expect_err("no clock");
        assert!(error.to_string().contains("/nonexistent/rtc"), "{error}");
        let error = Rtc::open(Path::new("/dev/null"), true).expect_err("no clock");
        assert_eq!(error.to_string(), "/dev/null: it is no real-time clock");
    }
}
