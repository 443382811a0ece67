//! Leap seconds: who says that there is one, and what is done about it (`leapsecmode`, `leapsectz`, `leapseclist`); and the time
//! that clients get slowly (`smoothtime`).

use super::{Daemon, epoch};
use crate::clocks::{ClockMap, DaemonClock};
use crate::events::Happened;
use chrony_conf::{LeapSecondMode, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;
use time_core::{
    Clock, Exchange, LeapStatus, LeapTable, LocalTime, Smoothing, SmoothingSettings, SmoothingState,
    Timekeeper, Verdict, is_leap_day,
};

/// Between two readings of the tables, which packages renew.
const TABLE_INTERVAL: Duration = Duration::from_secs(6 * 3_600);
/// Where time zones are compiled to.
const ZONES: &str = "/usr/share/zoneinfo";
/// A jump of the kernel's clock that is its leap second's differs from one second by no more, in nanoseconds.
const JUMP_TOLERANCE: i64 = 100_000_000;
/// The loop wakes every second: a jump is noticed no later than this after it, in seconds.
const NOTICED_WITHIN: i64 = 5;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// What is known and done about leap seconds.
#[derive(Debug)]
pub(crate) struct LeapWatch {
    mode: LeapSecondMode,
    table: Option<LeapTable>,
    read_at: Option<Duration>,
    /// What the day is held for.
    pub status: LeapStatus,
    /// The midnight (seconds since the Unix epoch) of the leap second that was dealt with last.
    done: Option<i64>,
    /// What the kernel was told: the status and TAI minus UTC.
    told: (LeapStatus, Option<i32>),
    /// `smoothtime`.
    pub smoothing: Option<Smoothing>,
}

impl LeapWatch {
    /// `kernel`: the clock is the kernel's, which can do leap seconds itself.
    pub(crate) fn new(settings: &Settings, kernel: bool) -> Self {
        let usual = if kernel { LeapSecondMode::System } else { LeapSecondMode::Step };
        let mode = match settings.leap_second_mode.unwrap_or(usual) {
            // Beside the kernel's clock nobody does it for us.
            LeapSecondMode::System if !kernel => LeapSecondMode::Step,
            mode => mode,
        };
        let smoothing = settings.smooth_time.map(|one| {
            Smoothing::new(SmoothingSettings {
                frequency_max: one.frequency_max * 1e-6,
                wander_max: one.wander_max * 1e-6,
                leap_only: one.leap_only,
            })
        });
        Self {
            mode,
            table: None,
            read_at: None,
            status: LeapStatus::Normal,
            done: None,
            told: (LeapStatus::Normal, None),
            smoothing,
        }
    }
}

impl Daemon {
    /// What the sources and the tables say of this day; the kernel is told.
    pub(super) fn look_for_leap(&mut self, now: Duration) {
        if self.leap.read_at.is_none_or(|at| now.saturating_sub(at) >= TABLE_INTERVAL) {
            self.leap.read_at = Some(now);
            self.read_leap_table();
        }
        let seconds = self.local_now().0.div_euclid(SECOND);
        let info = self.leap.table.as_ref().map(|table| table.at(seconds)).unwrap_or_default();
        let midnight = (seconds.div_euclid(DAY) + 1) * DAY;
        let status = match info.leap {
            _ if self.leap.done == Some(midnight) || self.keeper.discipline().updates() == 0 => {
                LeapStatus::Normal
            }
            LeapStatus::Normal if is_leap_day(seconds) => self.announced_leap(),
            known => known,
        };
        if status != self.leap.status {
            self.leap.status = status;
            self.log.say(&Happened::Leap { status });
        }
        if !self.clock.is_kernel() || self.leap.mode != LeapSecondMode::System {
            return;
        }
        let tai_offset =
            self.leap.table.as_ref().and_then(|table| kernels_tai_offset(table, seconds, self.leap.done));
        let told = (status, tai_offset);
        if told != self.leap.told {
            let direction = match status {
                LeapStatus::Normal => 0,
                LeapStatus::Insert => 1,
                LeapStatus::Delete => -1,
            };
            match self.clock.tell_leap(direction, tai_offset) {
                Ok(()) => {
                    let before = std::mem::replace(&mut self.leap.told, told).1;
                    if let Some(seconds) = tai_offset.filter(|tai| before != Some(*tai)) {
                        self.log.say(&Happened::TaiSet { seconds });
                    }
                }
                Err(error) => self.log.say(&Happened::ClockFailed { why: error.to_string() }),
            }
        }
    }

    /// TAI minus UTC by the tables when TAI is `tai`, in nanoseconds since the Unix epoch; in seconds. Our own clock may be so
    /// wrong that it is on the other side of a leap second.
    pub(super) fn tai_offset(&self, tai: i64) -> Option<f64> {
        let table = self.leap.table.as_ref()?;
        let seconds = tai.div_euclid(SECOND);
        let near = table.at(seconds).tai_offset?;
        table.at(seconds - i64::from(near)).tai_offset.map(f64::from)
    }

    /// What most of the sources that agree announce; where there are such with `trust`, most of those.
    fn announced_leap(&self) -> LeapStatus {
        let agrees = |id| {
            matches!(self.keeper.verdict(id), Verdict::Selected | Verdict::Combined | Verdict::NotCombined)
        };
        if !self.keeper.sources().any(|(id, _)| self.keeper.verdict(id) == Verdict::Selected) {
            return LeapStatus::Normal;
        }
        let agreeing = || {
            let all = self.keeper.sources();
            all.filter(move |(id, _)| agrees(*id)).map(|(id, source)| (self.effective_options(id), source))
        };
        let votes_of_trusted = agreeing().any(|(options, _)| options.trust && !options.noselect);
        let used = || {
            agreeing().filter(move |(options, _)| !options.noselect && (options.trust || !votes_of_trusted))
        };
        let votes = |status: LeapStatus| {
            used().filter(|(_, source)| source.last().map(|last| last.leap) == Some(status)).count()
        };
        let half = used().count() / 2;
        match (votes(LeapStatus::Insert) > half, votes(LeapStatus::Delete) > half) {
            (true, _) => LeapStatus::Insert,
            (_, true) => LeapStatus::Delete,
            _ => LeapStatus::Normal,
        }
    }

    fn read_leap_table(&mut self) {
        let settings = &self.config.settings;
        let mut found = None;
        if let Some(path) = &settings.leap_second_list {
            found = match sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX)
                .map(|text| LeapTable::from_list(&text))
            {
                Ok(Some(table)) => Some(table),
                Ok(None) => return self.trouble(format!("{} is no list of leap seconds", path.display())),
                Err(error) => {
                    return self
                        .trouble(format!("Could not read leap seconds from {}: {error}", path.display()));
                }
            };
        } else if let Some(zone) = &settings.leap_second_zone {
            let path = zone_path(zone);
            found = sys::file::read_bounded(&path, crate::FILE_BYTES_MAX)
                .ok()
                .and_then(|bytes| LeapTable::from_time_zone(&bytes));
            if found.is_none() {
                let what = format!(
                    "Timezone {zone} failed leap second check, ignoring\nhelp: ls -l {} (package tzdata-legacy on newer Debian)",
                    path.display()
                );
                self.trouble(what);
            }
        }
        let now = self.local_now().0.div_euclid(SECOND);
        if found.as_ref().is_some_and(|table| table.is_expired(now)) {
            self.trouble("The list of leap seconds has expired; help: update the package tzdata".to_owned());
        }
        // Once, not at each look.
        if found.is_some() && self.leap.table.is_none() {
            let settings = &self.config.settings;
            let from = match (&settings.leap_second_list, &settings.leap_second_zone) {
                (Some(path), _) => format!("leap second list {}", path.display()),
                (None, zone) => {
                    format!("{} timezone to obtain leap second data", zone.as_deref().unwrap_or_default())
                }
            };
            self.log.say(&Happened::LeapTable { from });
        }
        self.leap.table = found;
    }

    /// When the leap second is to be dealt with, as the clock shows it; none: there is none, or others do it.
    pub(super) fn leap_deadline(&self) -> Option<LocalTime> {
        let direction = match (self.leap.mode, self.leap.status) {
            (LeapSecondMode::System | LeapSecondMode::Ignore, _) | (_, LeapStatus::Normal) => return None,
            (_, LeapStatus::Insert) => 0,
            (_, LeapStatus::Delete) => -1,
        };
        let midnight = (self.local_now().0.div_euclid(SECOND).div_euclid(DAY) + 1) * DAY;
        // At the end of the day, or one second before, where that second does not exist. A clock that passed it is late.
        Some(LocalTime((midnight + direction) * SECOND))
    }

    /// Steps or slews by the leap second when its time has come.
    pub(super) fn do_leap(&mut self, at: LocalTime) {
        let (seconds, nanos) = match self.leap.status {
            LeapStatus::Insert => (-1.0, -SECOND),
            LeapStatus::Delete => (1.0, SECOND),
            LeapStatus::Normal => return,
        };
        self.leap_is_over(at.0.div_euclid(SECOND));
        let before = at.plus(self.keeper.tracking(at).offset);
        if let Some(smoothing) = &mut self.leap.smoothing {
            smoothing.corrected(before, seconds, 0.0, true);
        }
        if self.leap.mode == LeapSecondMode::Slew {
            self.forget_readings();
            let events = self.keeper.leap_second(seconds, 0, &mut self.clock);
            self.handle(events);
            return;
        }
        match self.clock.step(nanos) {
            Ok(()) => {
                self.forget_readings();
                let events = self.keeper.leap_second(seconds, nanos, &mut self.clock);
                self.epoch = epoch();
                self.forget_requests();
                self.log.say(&Happened::Stepped { seconds });
                self.handle(events);
                // Whoever steps the kernel's clock makes it unsynchronised; this step was the right time's own.
                self.tell_kernel();
            }
            Err(error) => self.log.say(&Happened::ClockFailed { why: error.to_string() }),
        }
    }

    /// Whether the kernel's clock jumped by the leap second that it was told of; the estimates follow then.
    pub(super) fn was_leap(&mut self, jump: i64) -> bool {
        let now = self.local_now().0.div_euclid(SECOND);
        if self.leap.mode != LeapSecondMode::System {
            return false;
        }
        let Some(expected) = kernels_leap(self.leap.status, jump, now) else { return false };
        self.leap_is_over(now);
        // The kernel counts TAI on by itself.
        let more = if expected < 0 { 1 } else { -1 };
        self.leap.told.1 = self.leap.told.1.map(|tai| tai + more);
        let moved = self.clock.kernel_was_moved(jump);
        self.forget_readings();
        let events = self.keeper.leap_second(expected as f64 * 1e-9, moved, &mut self.clock);
        self.forget_requests();
        self.handle(events);
        true
    }

    /// The midnight next to `now` has had its leap second: the second before it comes twice, but the leap does not.
    fn leap_is_over(&mut self, now: i64) {
        self.leap.done = Some((now + DAY / 2).div_euclid(DAY) * DAY);
        self.leap.status = LeapStatus::Normal;
        self.server_changed = true;
    }

    // The time that clients get.

    /// True time as it is known: the clock, and what is left to correct of it.
    fn true_now(&self) -> LocalTime {
        let now = self.local_now();
        now.plus(self.keeper.tracking(now).offset)
    }

    /// A source corrected what is known of true time, which was `before`, by `seconds`, and its frequency by `frequency` s/s: clients
    /// learn it slowly.
    fn smooth(&mut self, before: LocalTime, seconds: f64, frequency: f64) {
        // Before the first update no skew is known, and clients have not been told any time yet.
        if self.keeper.discipline().updates() == 0 {
            return;
        }
        let now = self.true_now();
        let skew = self.keeper.discipline().skew();
        if let Some(smoothing) = &mut self.leap.smoothing {
            smoothing.corrected(before, seconds, frequency, false);
            smoothing.skew_is(skew, now);
        }
    }

    /// The clock was stepped: clients see it at once.
    pub(super) fn end_smoothing(&mut self) {
        let now = self.true_now();
        if let Some(smoothing) = &mut self.leap.smoothing {
            smoothing.reset(now);
        }
    }

    /// What `smoothing` shows; none without `smoothtime`.
    pub(crate) fn smoothing_state(&self) -> Option<SmoothingState> {
        self.leap.smoothing.as_ref().map(|smoothing| smoothing.state(self.true_now()))
    }

    /// `smoothtime reset|activate`; false without `smoothtime` in the configuration.
    pub(crate) fn set_smoothing(&mut self, activate: bool) -> bool {
        let now = self.true_now();
        let Some(smoothing) = &mut self.leap.smoothing else { return false };
        if activate {
            smoothing.activate(now)
        } else {
            smoothing.reset(now)
        }
        self.server_changed = true;
        true
    }

    /// From the kernel's clock to the time that is served: true time as far as we know it, which a clock in the middle of a slew
    /// does not show yet; with `smoothtime` moved by what clients do not know yet. It holds until the slew ends, when the view
    /// is renewed.
    pub(super) fn served_clock(&self) -> ClockMap {
        let left = self.keeper.tracking(self.local_now()).offset;
        let discipline = self.keeper.discipline();
        // What a slew removes in a second of the clock that it bends.
        let slew = discipline.slew_rate() / (1.0 + discipline.frequency() + discipline.slew_rate());
        let (offset, frequency) = match self.smoothing_state().filter(|state| state.active) {
            None => (0.0, 0.0),
            Some(state) => (state.offset, state.frequency),
        };
        let rate = (1.0 + frequency) * (1.0 - slew) - 1.0;
        self.clock.map().ahead(sys::clock::realtime_ns(), left + offset, rate)
    }

    /// What clients are told of this day: nothing of a leap second that they get slowly.
    pub(crate) fn served_leap(&self) -> LeapStatus {
        let hidden = self.leap.smoothing.as_ref().is_some_and(Smoothing::hides_leaps);
        if hidden { LeapStatus::Normal } else { self.leap.status }
    }

    /// Hands an exchange to the timekeeper, and what it changed of true time to the smoothing.
    pub(super) fn keep(
        &mut self,
        id: time_core::SourceId,
        exchange: &Exchange,
        reach: u8,
    ) -> Vec<time_core::Event> {
        self.smoothly(|keeper, clock| keeper.exchange(id, exchange, reach, clock))
    }

    /// Does something that may move what is known of true time, and tells the smoothing of it.
    pub(super) fn smoothly(
        &mut self,
        mut act: impl FnMut(&mut Timekeeper, &mut DaemonClock) -> Vec<time_core::Event>,
    ) -> Vec<time_core::Event> {
        if self.leap.smoothing.is_none() {
            return act(&mut self.keeper, &mut self.clock);
        }
        let (before, frequency) = (self.true_now(), self.keeper.discipline().frequency());
        let left = self.keeper.tracking(self.local_now()).offset;
        let events = act(&mut self.keeper, &mut self.clock);
        let stepped = events.iter().any(|event| matches!(event, time_core::Event::Stepped(_)));
        if !stepped {
            let seconds = self.keeper.tracking(self.local_now()).offset - left;
            let faster = (self.keeper.discipline().frequency() - frequency) / (1.0 + frequency);
            self.smooth(before, seconds, faster);
        }
        events
    }
}

/// TAI minus UTC as the kernel counts it at `now`, in seconds since the Unix epoch, when the leap second of the midnight `done` is over.
/// In an inserted second the clock shows the one before it again, but TAI goes on.
fn kernels_tai_offset(table: &LeapTable, now: i64, done: Option<i64>) -> Option<i32> {
    table.at(done.filter(|midnight| (0..=DAY).contains(&(midnight - now))).unwrap_or(now)).tai_offset
}

/// By how many nanoseconds the kernel's leap second moved the clock, if `jump` is that; `now` is in seconds since the Unix epoch.
fn kernels_leap(status: LeapStatus, jump: i64, now: i64) -> Option<i64> {
    let expected = match status {
        LeapStatus::Insert => -SECOND,
        LeapStatus::Delete => SECOND,
        LeapStatus::Normal => return None,
    };
    let from_midnight = (now + DAY / 2).rem_euclid(DAY) - DAY / 2;
    let is_leap = (jump - expected).abs() <= JUMP_TOLERANCE && from_midnight.abs() <= NOTICED_WITHIN;
    is_leap.then_some(expected)
}

/// A zone's file; a path may be given too.
pub(crate) fn zone_path(zone: &str) -> PathBuf {
    if zone.starts_with('/') { PathBuf::from(zone) } else { Path::new(ZONES).join(zone) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: TAI does not jump while the last second of a day with a leap second is shown again.
    #[test]
    fn tai_goes_on_in_a_leap_second() {
        const MIDNIGHT: i64 = 1_483_228_800;
        let table = LeapTable::from_list("3644697600 36\n3692217600 37\n").expect("a list");
        for (now, done, expected) in [
            (MIDNIGHT - 1, None, 36),
            (MIDNIGHT - 1, Some(MIDNIGHT), 37),
            (MIDNIGHT, Some(MIDNIGHT), 37),
            (MIDNIGHT + DAY, Some(MIDNIGHT), 37),
            (MIDNIGHT - 2 * DAY, Some(MIDNIGHT), 36),
        ] {
            assert_eq!(kernels_tai_offset(&table, now, done), Some(expected), "{now} {done:?}");
        }
    }

    /// Goal: a jump is the kernel's leap second when one was announced, the clock moved by it, and it is midnight; any other jump
    /// is somebody's step.
    #[test]
    fn a_leap_second_is_told_from_a_step() {
        const MIDNIGHT: i64 = 1_798_761_600;
        for (status, jump, now, expected) in [
            (LeapStatus::Insert, -SECOND, MIDNIGHT - 1, Some(-SECOND)),
            (LeapStatus::Insert, -SECOND + 6_000_000, MIDNIGHT, Some(-SECOND)),
            (LeapStatus::Delete, SECOND - 6_000_000, MIDNIGHT + 1, Some(SECOND)),
            (LeapStatus::Normal, -SECOND, MIDNIGHT, None),
            (LeapStatus::Insert, SECOND, MIDNIGHT, None),
            (LeapStatus::Delete, -SECOND, MIDNIGHT, None),
            (LeapStatus::Insert, -SECOND / 2, MIDNIGHT, None),
            (LeapStatus::Insert, -SECOND, MIDNIGHT - 3_600, None),
            (LeapStatus::Insert, -SECOND, MIDNIGHT + 6, None),
        ] {
            assert_eq!(kernels_leap(status, jump, now), expected, "{status:?} {jump} {now}");
        }
    }
}
