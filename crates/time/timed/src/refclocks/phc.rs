//! The clock of a network card (`/dev/ptp0`).

use super::Reading;
use std::fs::File;
use std::io;
use std::path::Path;
use time_core::LeapStatus;

/// A card's clock.
#[derive(Debug)]
pub(super) struct Phc {
    device: File,
    /// The card reads both clocks at once.
    precise: bool,
}

impl Phc {
    /// `nocrossts`: without the card's own reading of both clocks. The clock is read once, so that what is none is told now.
    pub(super) fn open(path: &Path, nocrossts: bool) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let device = File::options().read(true).write(true).open(path).map_err(named)?;
        let precise = !nocrossts && sys::ptp::read_precise(&device).is_ok();
        if !precise {
            sys::ptp::read_between(&device).map_err(named)?;
        }
        Ok(Self { device, precise })
    }

    /// What it shows now.
    pub(super) fn read(&mut self) -> io::Result<Reading> {
        let pair = match self.precise {
            true => sys::ptp::read_precise(&self.device)?,
            false => sys::ptp::read_between(&self.device)?,
        };
        Ok(reading(pair))
    }
}

fn reading(pair: sys::ptp::Pair) -> Reading {
    Reading {
        at: pair.realtime_ns,
        offset: pair.card_ns.saturating_sub(pair.realtime_ns) as f64 * 1e-9,
        pulse: false,
        // The card was read somewhere between the two readings of ours.
        dispersion: pair.width_ns as f64 * 0.5e-9,
        leap: LeapStatus::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a reading is the card's clock minus ours, uncertain by half of what the reading took; what is no card is an error
    /// that names it.
    #[test]
    fn a_card_is_read_or_named() {
        let check = |realtime_ns: i64, card_ns: i64, width_ns: i64, expected: (f64, f64)| {
            let one = reading(sys::ptp::Pair { realtime_ns, card_ns, width_ns });
            assert_eq!((one.at, one.pulse), (realtime_ns, false));
            let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
            assert!(near(one.offset, expected.0) && near(one.dispersion, expected.1), "{one:?}");
        };
        check(1_000_000_000, 38_000_000_000, 0, (37.0, 0.0));
        check(1_000_000_000, 500_000_000, 2_000, (-0.5, 1e-6));
        let error = Phc::open(Path::new("/dev/null"), false).expect_err("no card");
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
