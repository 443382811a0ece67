//! The clock of a network card (`/dev/ptp0`).

use super::Reading;
use crate::hardware::PhcDevice;
use std::io;
use std::path::Path;
use time_core::{CardReading, CardSample, LeapStatus, ReadingFilter};

/// A card's clock.
#[derive(Debug)]
pub(super) struct Phc {
    device: PhcDevice,
    filter: ReadingFilter,
    /// What was read when it was opened, just before the first look.
    first: Option<Vec<CardReading>>,
}

impl Phc {
    /// `nocrossts`: without the card's own reading of both clocks.
    pub(super) fn open(path: &Path, nocrossts: bool) -> io::Result<Self> {
        let (device, first) = PhcDevice::open(path, nocrossts, false)?;
        Ok(Self { device, filter: ReadingFilter::default(), first: Some(first) })
    }

    /// What it shows now; none where something disturbed the reading.
    pub(super) fn read(&mut self) -> io::Result<Option<Reading>> {
        let readings = match self.first.take() {
            Some(first) => first,
            None => self.device.read()?,
        };
        Ok(self.filter.sample(&readings).as_ref().map(reading))
    }
}

fn reading(sample: &CardSample) -> Reading {
    Reading {
        at: sample.local_ns,
        offset: sample.card_ns.saturating_sub(sample.local_ns) as f64 * 1e-9,
        pulse: false,
        // The card was read somewhere between two readings of ours.
        dispersion: sample.error,
        leap: LeapStatus::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a reading is the card's clock minus ours, uncertain by what the reading may have cost; what is no card is an error
    /// that names it.
    #[test]
    fn a_card_is_read_or_named() {
        let check = |local_ns: i64, card_ns: i64, error: f64, expected: (f64, f64)| {
            let one = reading(&CardSample { local_ns, card_ns, error });
            assert_eq!((one.at, one.pulse), (local_ns, false));
            let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
            assert!(near(one.offset, expected.0) && near(one.dispersion, expected.1), "{one:?}");
        };
        check(1_000_000_000, 38_000_000_000, 0.0, (37.0, 0.0));
        check(1_000_000_000, 500_000_000, 1e-6, (-0.5, 1e-6));
        let error = Phc::open(Path::new("/dev/null"), false).expect_err("no card");
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
