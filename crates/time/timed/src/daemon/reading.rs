//! The reference clocks' side of the loop: what their drivers have, and what it comes to each poll.

use super::Daemon;
use crate::records::RefClockLine;
use crate::refclocks::{Reading, RefClock};
use chrony_conf::RefClockDriver;
use std::io;
use std::time::Duration;
use time_core::{LocalTime, PulseReference, SourceId};

impl Daemon {
    /// Opens what the configuration names. One that cannot be opened ends the daemon, as chronyd: whoever names a clock wants it.
    pub(super) fn open_refclocks(&mut self, now: Duration) -> Result<(), String> {
        for (number, line) in self.config.settings.refclocks.iter().enumerate() {
            let name = line.driver.name();
            let opened = RefClock::open(line, number, &self.config.settings, &mut self.keeper, now);
            match opened {
                Ok(clock) => self.refclocks.push(clock),
                Err(error) => {
                    let (device, why) = (line.driver.place(), crate::events::reason(&error));
                    // Some drivers name what they open.
                    let why = why.strip_prefix(&format!("{device}: ")).unwrap_or(&why);
                    let at = self.config.places.of("refclock", &device);
                    let help = how_to_open(&line.driver, error.kind());
                    return Err(format!(
                        "cannot open refclock {name} {device} (number {number}): {why}{at}\nhelp: {help}"
                    ));
                }
            }
        }
        let known = |id: [u8; 4]| self.refclocks.iter().any(|clock| clock.reference_id == id);
        let lost =
            self.refclocks.iter().find_map(|one| Some((one, one.locks_to().filter(|id| !known(*id))?)));
        if let Some((one, id)) = lost {
            let (name, id) = (one.label(), crate::refclocks::label(id));
            return Err(format!("refclock {name} is locked to {id}, and there is none of this refid"));
        }
        self.choose_selection_options();
        Ok(())
    }

    /// What the clocks gave since their last poll was of the clock, or of the count of seconds, as it was.
    pub(super) fn forget_readings(&mut self) {
        self.refclocks.iter_mut().for_each(RefClock::forget);
        self.rtc.iter_mut().for_each(|one| one.core.forget());
        self.cards.forget();
    }

    /// Samples have come by a descriptor.
    pub(super) fn refclock_arrived(&mut self, index: usize) {
        let Some(clock) = self.refclocks.get_mut(index) else { return };
        let read = clock.read_arrived(&self.clock, &self.keeper);
        self.take_readings(index, read);
    }

    pub(super) fn refclocks_due(&mut self, now: Duration) {
        for index in 0..self.refclocks.len() {
            let Some(clock) = self.refclocks.get_mut(index) else { return };
            let read = clock.read_when_due(now, &self.clock, &self.keeper);
            self.take_readings(index, read);
            self.end_refclock_poll(index, now);
        }
    }

    fn take_readings(&mut self, index: usize, read: io::Result<Vec<Reading>>) {
        let readings = match read {
            Ok(readings) => readings,
            Err(error) => {
                let Some(clock) = self.refclocks.get_mut(index) else { return };
                if !std::mem::replace(&mut clock.complained, true) {
                    let name = clock.label();
                    let why = crate::events::reason(&error);
                    self.trouble(format!("Could not read refclock {name}: {why}"));
                }
                return;
            }
        };
        for reading in readings {
            self.take_reading(index, reading);
        }
    }

    fn take_reading(&mut self, index: usize, reading: Reading) {
        let Some(clock) = self.refclocks.get(index) else { return };
        let (label, pulse, polled) = (clock.label(), clock.is_pulse(&reading), clock.driver_polled);
        let tai = if clock.keeps_tai() { self.tai_offset(tai_told(&reading)) } else { Some(0.0) };
        let local = self.clock.at(reading.at);
        self.end_lost_count(index, local);
        let reference = if pulse { self.pulse_reference(index, local) } else { None };
        let Some(clock) = self.refclocks.get_mut(index) else { return };
        clock.complained = false;
        // Without a table TAI says nothing about UTC.
        let Some(tai) = tai else {
            clock.ignored += 1;
            return;
        };
        let taken = clock.take(reading, tai, |_| reference, &self.clock, &self.keeper);
        let Some(raw) = taken else { return };
        if clock.as_fd().is_some() {
            clock.driver_polled = clock.driver_polled.wrapping_add(1);
        }
        let line = RefClockLine {
            reference_id: &label,
            leap: (!clock.only_counts()).then_some(raw.reading.leap),
            raw: Some((polled, pulse, if pulse { raw.cooked } else { raw.reading.offset })),
            cooked: raw.cooked,
            dispersion: raw.dispersion,
        };
        let written = self.records.refclock(reading.at, &line);
        self.record_failed(written);
    }

    /// A clock that only counts was not read for too long.
    fn end_lost_count(&mut self, index: usize, local: LocalTime) {
        let Some(clock) = self.refclocks.get_mut(index) else { return };
        if clock.lost_count(local, &self.keeper) {
            let (id, name) = (clock.id, clock.label());
            self.keeper.lose_steady(id);
            self.trouble(format!("Local refclock {name} was not read for too long and is followed anew"));
        }
    }

    /// What says to which second a pulse at `local` belongs: the clock that it is locked to, or all sources, or with `local` the
    /// clock as it is.
    fn pulse_reference(&self, index: usize, local: LocalTime) -> Option<PulseReference> {
        if let Some(id) = self.refclocks.get(index)?.locks_to() {
            let other = self.refclocks.iter().find(|clock| clock.reference_id == id)?;
            return other.last().map(PulseReference::Clock);
        }
        let correction = self.keeper.correction(local);
        let tracking = self.keeper.tracking(local);
        if self.local_reference(&tracking).is_some() {
            return Some(PulseReference::Time { offset: correction, bound: 0.0 });
        }
        tracking.selected?;
        let bound = tracking.root_delay / 2.0 + tracking.root_dispersion;
        Some(PulseReference::Time { offset: tracking.offset + correction, bound })
    }

    /// The stratum of pulses that are completed by what is known of the time: with `local` the one that this host has by that, since
    /// the second is its own, and else 0. It is kept while they are followed.
    fn pulse_stratum(&self, id: SourceId) -> u8 {
        let tracking = self.keeper.tracking(self.local_now());
        if let Some(local) = self.local_reference(&tracking) {
            return local.stratum.saturating_sub(1);
        }
        let followed = tracking.selected;
        let is_pulse = |clock: &RefClock| followed == Some(clock.id) && clock.pulses_alone();
        if followed == Some(id) || self.refclocks.iter().any(is_pulse) {
            return tracking.stratum.saturating_sub(1);
        }
        0
    }

    fn end_refclock_poll(&mut self, index: usize, now: Duration) {
        let Some(clock) = self.refclocks.get_mut(index) else { return };
        let Some(sample) = clock.poll_when_due(now) else { return };
        let (id, reach, label) = (clock.id, clock.reach(), clock.label());
        let Some(sample) = sample else {
            let events = self.keeper.set_reach(id, reach, &mut self.clock);
            self.handle(events);
            return;
        };
        let alone = clock.pulses_alone();
        let mut last = clock.exchange(&sample);
        if alone {
            last.stratum = self.pulse_stratum(id);
        }
        let events = self.smoothly(|keeper, clock| keeper.reference_sample(id, sample, &last, reach, clock));
        let local = self.local_now();
        let shown = self.keeper.source(id).and_then(|source| source.last().copied()).unwrap_or(last);
        let only_counts = self.refclocks.get(index).is_some_and(RefClock::only_counts);
        let line = RefClockLine {
            reference_id: &label,
            leap: (!only_counts).then_some(last.leap),
            raw: None,
            cooked: shown.offset,
            dispersion: sample.dispersion,
        };
        let mut written = self.records.refclock(shown.received.0, &line);
        if let (Ok(()), Some(statistics)) = (&written, self.keeper.statistics(id, local)) {
            written = self.records.statistics(local.0, &label, &statistics);
        }
        self.record_failed(written);
        self.handle(events);
        self.record_selection(local);
    }
}

/// What to type where a driver cannot be opened.
fn how_to_open(driver: &RefClockDriver, kind: io::ErrorKind) -> String {
    let device = driver.place();
    let missing = kind == io::ErrorKind::NotFound;
    match driver {
        RefClockDriver::Sock { path } if missing => {
            let folder = path.parent().unwrap_or(path).display();
            format!("its folder must be there: mkdir -p {folder}")
        }
        _ if kind == io::ErrorKind::PermissionDenied => {
            format!("who may: ls -l {device}; or as root: sudo chronyd")
        }
        RefClockDriver::Pps { .. } if missing => {
            "those that are there: ls /dev/pps*; of a serial port: ldattach PPS /dev/ttyS0".to_owned()
        }
        RefClockDriver::Phc { .. } if missing => {
            "those that are there: ls /dev/ptp*; of an interface: ethtool -T eth0".to_owned()
        }
        RefClockDriver::Phc { device, extpps: true, .. } if kind == io::ErrorKind::InvalidInput => {
            let name = device.file_name().unwrap_or(device.as_os_str()).display();
            format!("how many channels it has: cat /sys/class/ptp/{name}/n_external_timestamps")
        }
        RefClockDriver::Rtc { .. } if missing => "those that are there: ls /dev/rtc*".to_owned(),
        RefClockDriver::Shm { .. } => "segments and their owners: ipcs -m".to_owned(),
        _ => format!("ls -l {device}"),
    }
}

/// What a clock that keeps TAI showed, in nanoseconds since the Unix epoch.
fn tai_told(reading: &Reading) -> i64 {
    reading.at.saturating_add((reading.offset * 1e9) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a card without channels for pulses is told from one that is not there.
    #[test]
    fn what_a_card_lacks_is_said() {
        let driver = RefClockDriver::Phc {
            device: "/dev/ptp1".into(),
            nocrossts: false,
            extpps: true,
            pin: -1,
            channel: 0,
            clear: false,
        };
        for (kind, expected) in [
            (io::ErrorKind::InvalidInput, "/sys/class/ptp/ptp1/n_external_timestamps"),
            (io::ErrorKind::NotFound, "ls /dev/ptp*"),
            (io::ErrorKind::PermissionDenied, "ls -l /dev/ptp1"),
        ] {
            let help = how_to_open(&driver, kind);
            assert!(help.contains(expected), "{kind:?}: {help}");
        }
    }
}
