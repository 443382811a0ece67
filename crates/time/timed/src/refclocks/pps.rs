//! Pulses that the kernel stamps (`/dev/pps0`).

use super::Reading;
use std::fs::File;
use std::io;
use std::path::Path;
use time_core::LeapStatus;

/// A device.
#[derive(Debug)]
pub(super) struct Pps {
    device: File,
    clear: bool,
    /// The pulse that was taken last.
    sequence: Option<u32>,
}

impl Pps {
    /// `clear`: the falling edge counts.
    pub(super) fn open(path: &Path, clear: bool) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        // The edges to stamp are set through a descriptor that is open for writing.
        let device = sys::file::open_device(path, true).map_err(named)?;
        sys::pps::set_up(&device, clear).map_err(named)?;
        let sequence = sys::pps::last(&device, clear).map_err(named)?.map(|pulse| pulse.sequence);
        Ok(Self { device, clear, sequence })
    }

    /// The last pulse, if there was one since.
    pub(super) fn read(&mut self) -> io::Result<Option<Reading>> {
        let Some(pulse) = sys::pps::last(&self.device, self.clear)? else { return Ok(None) };
        if self.sequence.replace(pulse.sequence) == Some(pulse.sequence) {
            return Ok(None);
        }
        Ok(Some(reading(pulse.realtime_ns)))
    }
}

fn reading(at: i64) -> Reading {
    Reading {
        at,
        // A pulse is the beginning of a second: what our clock shows below one is its error.
        offset: -(at.rem_euclid(1_000_000_000) as f64) * 1e-9,
        pulse: true,
        dispersion: 0.0,
        leap: LeapStatus::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a pulse is as far from a whole second as our clock is wrong; what is no pulse device is an error that names it.
    #[test]
    fn a_pulse_is_a_whole_second() {
        for (at, expected) in [(5_000_000_000, 0.0), (5_250_000_000, -0.25), (-250_000_000, -0.75)] {
            let one = reading(at);
            assert_eq!((one.at, one.pulse), (at, true));
            assert!((one.offset - expected).abs() < 1e-12, "{one:?}");
        }
        let error = Pps::open(Path::new("/dev/null"), false).expect_err("no pulses");
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
