//! Reference clocks (`chrony.conf(5)`, refclock): what the drivers read, and what becomes of it.

mod extpps;
mod phc;
mod pps;
mod rtc;
mod shm;
mod sock;

use crate::clocks::DaemonClock;
use chrony_conf::{RefClock as Line, RefClockDriver, Settings};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use time_core::{
    Exchange, FilterSample, LeapStatus, LocalTime, PulseReference, Pulses, RefClockFilter, RefClockSettings,
    SourceId, SourceSettings, Timekeeper,
};

/// Polls and driver polls that are kept, log2 s: from a millisecond, below which a host does nothing else, to a day.
const POLL_RANGE: std::ops::RangeInclusive<i8> = -10..=17;
/// A clock that only counts may miss so many looks at it, or pulses, less one, before it is not known what it counted.
const COUNT_LOOKS: u32 = 3;
/// An offset beyond this is no clock's, in seconds (the 68 years of NTP's timestamps).
const OFFSET_MAX: f64 = 2_147_483_648.0;

/// What a driver read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    /// The kernel's realtime clock then, nanoseconds since the Unix epoch.
    pub at: i64,
    /// True minus the kernel's time, in seconds; of a pulse only up to whole intervals between pulses.
    pub offset: f64,
    /// It is a pulse: the second has to come from elsewhere.
    pub pulse: bool,
    /// What reading it may have cost, in seconds.
    pub dispersion: f64,
    /// What the clock says of this day.
    pub leap: LeapStatus,
}

/// A driver that has been opened.
#[derive(Debug)]
enum Driver {
    Shm(shm::Shm),
    Sock(sock::Sock),
    Pps(pps::Pps),
    Phc(phc::Phc),
    ExtPps(Box<extpps::ExtPps>),
    Rtc(rtc::Rtc),
}

/// A raw sample that counts, for the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawSample {
    pub reading: Reading,
    /// With the corrections of the configuration and the second, true minus local time.
    pub cooked: f64,
    pub dispersion: f64,
}

/// A reference clock.
#[derive(Debug)]
pub(crate) struct RefClock {
    /// In the timekeeper.
    pub id: SourceId,
    /// Four letters, fewer filled with zeroes.
    pub reference_id: [u8; 4],
    /// As it was configured, the selection's part.
    pub treatment: SourceSettings,
    /// log2 s.
    pub poll: i8,
    line: Line,
    driver: Driver,
    driver_poll: i8,
    driver_due: Option<Duration>,
    poll_due: Duration,
    /// Readings of the driver since the last poll, for the log.
    pub driver_polled: u32,
    filter: RefClockFilter,
    leap: LeapStatus,
    gave_pulses: bool,
    /// What came and was no sample: not of the form, too old, absurd, a pulse without its second.
    pub ignored: u64,
    /// The driver failed the last time, which was said.
    pub complained: bool,
}

impl RefClock {
    /// Opens the driver of a line; its number counts from 0.
    pub(crate) fn open(
        line: &Line,
        number: usize,
        settings: &Settings,
        keeper: &mut Timekeeper,
        now: Duration,
    ) -> io::Result<Self> {
        let driver = match &line.driver {
            RefClockDriver::Shm { unit, mode } => Driver::Shm(shm::Shm::attach(*unit, *mode)?),
            RefClockDriver::Sock { path } => Driver::Sock(sock::Sock::bind(path)?),
            RefClockDriver::Pps { device, clear } => Driver::Pps(pps::Pps::open(device, *clear)?),
            RefClockDriver::Phc { device, nocrossts, extpps: true, pin, channel, clear } => {
                let input = extpps::Input { pin: u32::try_from(*pin).ok(), channel: *channel, clear: *clear };
                let seconds = f64::from(line.driver_poll).exp2();
                Driver::ExtPps(Box::new(extpps::ExtPps::open(device, *nocrossts, input, seconds)?))
            }
            RefClockDriver::Rtc { device, utc } => Driver::Rtc(rtc::Rtc::open(device, *utc)?),
            RefClockDriver::Phc { device, nocrossts, .. } => Driver::Phc(phc::Phc::open(device, *nocrossts)?),
        };
        let poll = line.poll.clamp(*POLL_RANGE.start(), *POLL_RANGE.end());
        let driver_poll = line.driver_poll.clamp(*POLL_RANGE.start(), poll);
        let polls = match &driver {
            Driver::Sock(_) => false,
            Driver::Rtc(rtc) => !rtc.interrupts(),
            Driver::Shm(_) | Driver::Pps(_) | Driver::Phc(_) | Driver::ExtPps(_) => true,
        };
        let per_poll = 1_usize << (poll - driver_poll).clamp(0, 20);
        let length = if polls { (line.filter as usize).min(per_poll) } else { line.filter as usize };
        let treatment = crate::config::of_refclock(line, poll, settings);
        let precision = f64::from(crate::config::precision(settings)).exp2();
        Ok(Self {
            id: keeper.add_source(treatment),
            reference_id: line.reference_id_or_default(number),
            treatment,
            poll,
            driver,
            driver_poll,
            driver_due: polls.then_some(now),
            poll_due: now + interval(poll),
            driver_polled: 0,
            filter: RefClockFilter::new(RefClockSettings {
                length,
                precision: if line.precision > 0.0 { line.precision } else { precision },
                dispersion_max: line.dispersion_max,
            }),
            leap: LeapStatus::Normal,
            gave_pulses: false,
            ignored: 0,
            complained: false,
            line: line.clone(),
        })
    }

    /// As chronyc and the logs name it.
    pub(crate) fn label(&self) -> String {
        label(self.reference_id)
    }

    /// The id as one number.
    pub(crate) fn number(&self) -> u32 {
        u32::from_be_bytes(self.reference_id)
    }

    /// `tai`: its samples are in TAI.
    pub(crate) fn keeps_tai(&self) -> bool {
        self.line.tai
    }

    /// The id that its pulses are locked to; where it only counts, its own.
    pub(crate) fn locks_to(&self) -> Option<[u8; 4]> {
        if self.line.local { Some(self.reference_id) } else { self.line.lock }
    }

    /// `local`: nobody knows what time it shows, and what it says of leap seconds is nothing.
    pub(crate) fn only_counts(&self) -> bool {
        self.line.local
    }

    /// It only counts, and so long passed since its last sample that it is not known any more what it counted: it begins again.
    pub(crate) fn lost_count(&mut self, local: LocalTime, keeper: &Timekeeper) -> bool {
        if !self.line.local {
            return false;
        }
        let time = keeper.uncorrected_for(self.id, local);
        let lost = self
            .filter
            .last()
            .is_some_and(|last| time.since(last.time).abs() > self.pulses().lock_seconds_max());
        if lost {
            self.filter.forget();
        }
        lost
    }

    fn pulses(&self) -> Pulses {
        let rate = self.line.rate.unwrap_or(1);
        let mut lock_age_max = self.line.lock_age_max;
        if self.line.local {
            let looks = f64::from(COUNT_LOOKS) * f64::from(self.driver_poll).exp2();
            lock_age_max = lock_age_max.max((looks * f64::from(rate)).ceil() as u32).max(COUNT_LOOKS);
        }
        Pulses { rate, width: self.line.width, lock_age_max }
    }

    /// Its samples are pulses, and no other clock says of which second.
    pub(crate) fn pulses_alone(&self) -> bool {
        self.gave_pulses && self.locks_to().is_none()
    }

    /// The last eight polls.
    pub(crate) fn reach(&self) -> u8 {
        self.filter.reach()
    }

    /// The last raw sample and how certain those are, for pulses that are locked to it.
    pub(crate) fn last(&self) -> Option<FilterSample> {
        let spread = self.filter.spread();
        self.filter.last().map(|last| FilterSample { dispersion: last.dispersion + spread, ..*last })
    }

    /// What becomes readable when there are samples.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.driver {
            Driver::Sock(sock) => Some(sock.as_fd()),
            Driver::Rtc(rtc) => rtc.as_fd(),
            Driver::ExtPps(card) => Some(card.as_fd()),
            Driver::Shm(_) | Driver::Pps(_) | Driver::Phc(_) => None,
        }
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Duration {
        self.driver_due.map_or(self.poll_due, |at| at.min(self.poll_due))
    }

    /// What the driver has, when it is time to look.
    pub(crate) fn read_when_due(
        &mut self,
        now: Duration,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> io::Result<Vec<Reading>> {
        let Some(due) = self.driver_due.filter(|due| *due <= now) else { return Ok(Vec::new()) };
        self.driver_due = Some(next(due, interval(self.driver_poll), now));
        self.driver_polled = self.driver_polled.wrapping_add(1);
        match &mut self.driver {
            Driver::Shm(shm) => Ok(shm.read().into_iter().collect()),
            Driver::Pps(pps) => Ok(pps.read()?.into_iter().collect()),
            Driver::Phc(phc) => {
                let read = phc.read()?;
                if read.is_none() {
                    self.filter.was_heard();
                }
                Ok(read.into_iter().collect())
            }
            Driver::Rtc(rtc) => Ok(rtc.read()?.into_iter().collect()),
            Driver::ExtPps(card) => card.follow(clock, keeper).map(|()| Vec::new()),
            Driver::Sock(_) => Ok(Vec::new()),
        }
    }

    /// What came by the descriptor.
    pub(crate) fn read_arrived(
        &mut self,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> io::Result<Vec<Reading>> {
        match &mut self.driver {
            Driver::ExtPps(card) => Ok(card.arrived(clock, keeper)?.into_iter().collect()),
            Driver::Rtc(rtc) => Ok(rtc.arrived()?.into_iter().collect()),
            Driver::Sock(sock) => {
                let (readings, malformed) = sock.read();
                self.ignored += malformed;
                Ok(readings)
            }
            Driver::Shm(_) | Driver::Pps(_) | Driver::Phc(_) => Ok(Vec::new()),
        }
    }

    /// What is added to its readings from now on, in seconds (`offset`).
    pub(crate) fn set_offset(&mut self, seconds: f64) {
        self.line.offset = seconds;
    }

    /// Whether a reading needs its second from elsewhere.
    pub(crate) fn is_pulse(&self, reading: &Reading) -> bool {
        reading.pulse || self.line.pps || self.line.local
    }

    /// Takes a reading. `tai`: TAI minus UTC, in seconds, where the clock keeps TAI; `reference`: what says which pulse it is.
    pub(crate) fn take(
        &mut self,
        reading: Reading,
        tai: f64,
        reference: impl FnOnce(LocalTime) -> Option<PulseReference>,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> Option<RawSample> {
        let taken = self.cook(reading, tai, reference, clock, keeper);
        if taken.is_none() {
            self.ignored += 1;
        }
        taken
    }

    fn cook(
        &mut self,
        reading: Reading,
        tai: f64,
        reference: impl FnOnce(LocalTime) -> Option<PulseReference>,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> Option<RawSample> {
        let age = sys::clock::realtime_ns().saturating_sub(reading.at) as f64 * 1e-9;
        if !(0.0..=2.0 * f64::from(self.poll).exp2()).contains(&age) {
            return None;
        }
        let local = clock.at(reading.at);
        let beside = reading.at.saturating_sub(local.0) as f64 * 1e-9;
        let correction = keeper.correction_for(self.id, local);
        let time = keeper.uncorrected_for(self.id, local);
        let offset = reading.offset + beside + self.line.offset - tai + correction;
        // NaN is refused too.
        if !(offset.abs() < OFFSET_MAX && reading.dispersion.is_finite()) {
            return None;
        }
        let offset = if self.is_pulse(&reading) {
            // What only counts begins anywhere.
            let first = FilterSample { time, offset, delay: 0.0, dispersion: 0.0 };
            let first = self.line.local.then_some(PulseReference::Clock(first));
            self.pulses().complete(time, offset, reference(local).or(first)?)?
        } else {
            offset
        };
        let sample = FilterSample { time, offset, delay: 0.0, dispersion: reading.dispersion };
        if !self.filter.add(sample) {
            return None;
        }
        self.leap = reading.leap;
        self.gave_pulses |= self.is_pulse(&reading);
        let dispersion = self.filter.last().map_or(0.0, |last| last.dispersion);
        Some(RawSample { reading, cooked: offset - correction, dispersion })
    }

    /// Ends a poll that is due: true then, and the sample that it gave.
    pub(crate) fn poll_when_due(&mut self, now: Duration) -> Option<Option<FilterSample>> {
        if now < self.poll_due {
            return None;
        }
        self.poll_due = next(self.poll_due, interval(self.poll), now);
        self.driver_polled = 0;
        Some(self.filter.poll())
    }

    /// What a sample is beside its offset.
    pub(crate) fn exchange(&self, sample: &FilterSample) -> Exchange {
        Exchange {
            sent: sample.time,
            received: sample.time,
            offset: sample.offset,
            delay: 0.0,
            dispersion: sample.dispersion,
            root_delay: self.line.delay,
            root_dispersion: 0.0,
            stratum: self.line.stratum,
            leap: self.leap,
        }
    }

    /// The clock was stepped.
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.filter.shift(nanos);
        if let Driver::ExtPps(card) = &mut self.driver {
            card.shift(nanos);
        }
    }

    /// What came so far says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.filter.forget();
        if let Driver::ExtPps(card) = &mut self.driver {
            card.forget();
        }
    }
}

/// A reference id as people read it.
pub(crate) fn label(id: [u8; 4]) -> String {
    id.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| char::from(*byte)).collect()
}

fn interval(poll: i8) -> Duration {
    Duration::from_secs_f64(f64::from(poll).exp2())
}

/// The next moment of a series; those that were slept over are not made up for.
fn next(due: Duration, interval: Duration, now: Duration) -> Duration {
    let at = due + interval;
    if at > now { at } else { now + interval }
}
