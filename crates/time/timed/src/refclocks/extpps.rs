//! Pulses from outside that a network card stamps by its own clock (`refclock PHC /dev/ptp0:extpps`).

use super::Reading;
use crate::clocks::DaemonClock;
use crate::hardware::PhcDevice;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use sys::ptp::Pulse;
use time_core::{CardClock, CardReading, CardSettings, LeapStatus, ReadingFilter, Timekeeper};

/// How a card is set up for pulses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    /// The pin that is given this function; none: the card's pins have theirs.
    pub pin: Option<u32>,
    /// The channel of the pulses.
    pub channel: u32,
    /// The falling edge counts.
    pub clear: bool,
}

/// A card that stamps pulses.
#[derive(Debug)]
pub(super) struct ExtPps {
    device: PhcDevice,
    input: Input,
    map: Map,
}

/// From the card's clock to the kernel's.
#[derive(Debug)]
struct Map {
    clock: CardClock,
    filter: ReadingFilter,
}

impl ExtPps {
    /// `interval`: seconds between two readings of the card's clock; `nocrossts` as for the clock itself.
    pub(super) fn open(path: &Path, nocrossts: bool, input: Input, interval: f64) -> io::Result<Self> {
        let channel = input.channel;
        // A card that has no such channel, or none, says that the argument is invalid.
        let named = |error: io::Error| {
            let why = format!("{}: it does not stamp pulses of channel {channel}: {error}", path.display());
            io::Error::new(error.kind(), why)
        };
        let (device, _) = PhcDevice::open(path, nocrossts, true)?;
        sys::ptp::stamp_pulses(device.file(), input.pin, input.channel, input.clear).map_err(named)?;
        Ok(Self { device, input, map: Map::new(interval) })
    }

    /// Readable when a pulse came.
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.file().as_fd()
    }

    /// Reads the card's clock.
    pub(super) fn follow(&mut self, clock: &DaemonClock, keeper: &Timekeeper) -> io::Result<()> {
        let readings = self.device.read()?;
        self.map.add(&readings, clock, keeper);
        Ok(())
    }

    /// The pulse that came; none where it is another channel's, or the card's clock is not known yet.
    pub(super) fn arrived(
        &mut self,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> io::Result<Option<Reading>> {
        let Pulse { channel, card_ns } = sys::ptp::read_pulse(self.device.file())?;
        if channel != self.input.channel {
            return Ok(None);
        }
        Ok(self.map.pulse(card_ns, clock, keeper))
    }

    /// Our clock was stepped.
    pub(super) fn shift(&mut self, nanos: i64) {
        self.map.clock.shift(nanos);
    }

    /// What was read so far says nothing any more.
    pub(super) fn forget(&mut self) {
        self.map.clock.forget();
    }
}

impl Drop for ExtPps {
    fn drop(&mut self) {
        let _ = sys::ptp::end_pulses(self.device.file(), self.input.channel);
    }
}

impl Map {
    fn new(interval: f64) -> Self {
        let settings =
            CardSettings { samples_min: 2, samples_max: 16, interval_min: interval, precision: 1e-9 };
        Self { clock: CardClock::new(settings), filter: ReadingFilter::default() }
    }

    fn add(&mut self, readings: &[CardReading], clock: &DaemonClock, keeper: &Timekeeper) {
        if let Some(sample) = self.filter.sample(readings) {
            let local = keeper.uncorrected(clock.at(sample.local_ns));
            self.clock.add(sample.card_ns, local, sample.error);
        }
    }

    /// A pulse is the beginning of a second: what the kernel's clock shows below one is its error.
    fn pulse(&self, card_ns: i64, clock: &DaemonClock, keeper: &Timekeeper) -> Option<Reading> {
        let at = clock.kernel_at(keeper.corrected(self.clock.local(card_ns)?));
        Some(Reading {
            at,
            offset: -(at.rem_euclid(1_000_000_000) as f64) * 1e-9,
            pulse: true,
            dispersion: self.clock.error(),
            leap: LeapStatus::Normal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time_core::{Clock, TimekeeperSettings};

    const SECOND: i64 = 1_000_000_000;

    /// Goal: a pulse's stamp by a card's free clock becomes the kernel's time, also while ours is slewed beside it; before two readings
    /// nothing is known, and a device that is none is an error that names it.
    #[test]
    fn stamps_of_pulses_become_ours() {
        for (frequency, card_rate) in [(0.0, 0.0), (0.05, 1e-4), (-1e-5, -2e-5)] {
            let mut clock = DaemonClock::beside(None).expect("nothing can refuse it");
            let begun = clock.now().0;
            clock.set_frequency(frequency).expect("it is ours alone");
            let keeper = Timekeeper::new(TimekeeperSettings::default(), &mut clock).expect("it can be set");
            let mut map = Map::new(1.0);
            let card = |kernel: i64| 77 * SECOND + ((kernel - begun) as f64 * (1.0 + card_rate)) as i64;
            for second in 1..20 {
                let local_ns = begun + second * SECOND;
                assert_eq!(map.pulse(card(local_ns), &clock, &keeper).is_some(), second > 2);
                let reading = CardReading { local_ns, card_ns: card(local_ns), width_ns: 1_000 };
                map.add(&[reading; 25], &clock, &keeper);
            }
            let pulse = (begun / SECOND + 25) * SECOND + 250_000_000;
            let found = map.pulse(card(pulse), &clock, &keeper).expect("the card was read often");
            assert!((found.at - pulse).abs() < 50, "{frequency} {card_rate}: {}", found.at - pulse);
            assert!(
                found.pulse && (found.offset + 0.25).abs() < 1e-7 && found.dispersion < 1e-6,
                "{found:?}"
            );
        }
        let input = Input { pin: Some(0), channel: 0, clear: false };
        let error = ExtPps::open(Path::new("/dev/null"), true, input, 1.0).expect_err("no card");
        assert!(error.to_string().contains("/dev/null"), "{error}");
    }
}
