//! The real-time clock's side of the loop: readings, `rtc.log`, `trimrtc`, and what it does for the start (`-s` with `rtcfile`).

use super::{Daemon, Initial, monotonic};
use crate::events::{Happened, Log};
use crate::records::RtcLogLine;
use crate::rtc::{Rtc, stored};
use std::io;
use std::time::Duration;
use time_core::{LocalTime, RtcLine, RtcStep};

/// How long readings of the start are waited for: eight seconds, and some.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// One sigma of what eight readings say, in seconds: whoever reads them is woken up a little late.
const START_SIGMA: f64 = 1e-3;
/// What is below this is not set: the clock counts whole seconds.
const TRIM_MIN: f64 = 1.0;

impl Daemon {
    /// `-s`, after the clock was set to the second: begins to read the real-time clock for the rest; false without `rtcfile`.
    pub(super) fn begin_rtc(&mut self, was_read: bool, now: Duration) -> bool {
        let Some(rtc) = self.rtc.as_mut().filter(|_| was_read) else { return false };
        rtc.core.begin_start();
        self.initial = Some(Initial::RealTimeClock { until: now + START_PATIENCE });
        true
    }

    /// Turns interrupts on when it is time.
    pub(super) fn rtc_due(&mut self, now: Duration) {
        let Some(rtc) = &mut self.rtc else { return };
        if let Err(error) = rtc.look(now) {
            self.rtc_failed(&error);
        }
    }

    /// A second of it has begun.
    pub(super) fn rtc_arrived(&mut self) {
        let now = monotonic();
        let Some(rtc) = &mut self.rtc else { return };
        match rtc.interrupted(now) {
            Ok(Some((shown, at))) => self.take_rtc(shown, self.clock.at(at)),
            Ok(None) => return,
            Err(error) => return self.rtc_failed(&error),
        }
        if let Some(rtc) = &mut self.rtc
            && let Err(error) = rtc.rest(now)
        {
            self.rtc_failed(&error);
        }
    }

    fn rtc_failed(&mut self, error: &io::Error) {
        let Some(rtc) = &mut self.rtc else { return };
        rtc.stop();
        rtc.core.give_up();
        self.trouble(format!("Could not read the real-time clock, it is not followed any more: {error}"));
        self.end_rtc_start();
    }

    fn take_rtc(&mut self, shown: i64, local: LocalTime) {
        let time = self.keeper.uncorrected(local);
        let Some(rtc) = &mut self.rtc else { return };
        let period = rtc.core.period();
        match rtc.core.read(shown, time) {
            RtcStep::Rapid => {}
            RtcStep::Followed(line) => {
                if let Some(line) = line {
                    self.maybe_trim(&self.seen(&line));
                }
            }
            RtcStep::Started(line) => {
                self.start_by_rtc(line);
                self.end_rtc_start();
            }
            RtcStep::Relocked(Some(line)) => {
                let line = self.seen(&line);
                let written = self.rtc.as_ref().map_or(Ok(()), |rtc| rtc.store(&line));
                self.rtc_file_failed(written);
            }
            RtcStep::Relocked(None) => {}
        }
        let Some(rtc) = &self.rtc else { return };
        let line = rtc.core.line();
        let (samples, runs) = rtc.core.counts();
        let seen = line.map(|line| self.seen(&line));
        let record = RtcLogLine {
            fast: shown.saturating_mul(1_000_000_000).saturating_sub(local.0) as f64 * 1e-9,
            valid: line.is_some(),
            estimate: seen.map_or(0.0, |line| line.fast),
            gain: seen.map_or(0.0, |line| line.gain),
            samples,
            runs,
            period,
        };
        let written = self.records.rtc(local.0, &record);
        self.record_failed(written);
    }

    /// A line as it is seen from our clock, with what is corrected of it now.
    fn seen(&self, line: &RtcLine) -> RtcLine {
        let now = self.local_now();
        let frequency = self.keeper.discipline().frequency();
        let since = self.keeper.uncorrected(now).since(line.time);
        let correction = self.keeper.correction(now) - frequency * since;
        RtcLine { fast: line.fast - correction, gain: line.gain - frequency, ..*line }
    }

    /// By what is stored, the real-time clock's error now is known, and so is ours.
    fn start_by_rtc(&mut self, line: Option<RtcLine>) {
        let known = stored(&self.config.settings);
        let (Some(line), Some(stored)) = (line.map(|line| self.seen(&line)), known) else {
            self.log.say(&Happened::Warning { what: "No valid rtcfile coefficients".to_owned() });
            return;
        };
        let seconds = stored.fast_at(line.shown) - line.fast;
        self.log.say(&Happened::RtcOff { seconds });
        // It is slewed, and no update that `makestep` or `maxchange` counts.
        self.keeper.set_make_step(None);
        self.keeper.discipline_mut().set_max_change(None);
        let events = self.keeper.set_by_clock(-seconds, START_SIGMA, &mut self.clock);
        for event in events {
            if let time_core::Event::Failed(error) = event {
                self.log.say(&Happened::ClockFailed { why: error.to_string() });
            }
        }
        self.keeper.set_make_step(self.config.discipline.make_step);
        self.keeper.discipline_mut().set_max_change(self.config.discipline.max_change);
    }

    /// What waited for the real-time clock begins.
    pub(super) fn end_rtc_start(&mut self) {
        if !matches!(self.initial, Some(Initial::RealTimeClock { .. })) {
            return;
        }
        self.initial = None;
        if let Some(rtc) = &mut self.rtc {
            rtc.core.give_up();
        }
        let now = monotonic();
        if !self.begin_initial(now) {
            self.begin_usual(now);
        }
    }

    fn maybe_trim(&mut self, line: &RtcLine) {
        let threshold = self.rtc.as_ref().map_or(0.0, |rtc| rtc.auto_trim);
        let synchronised = self.keeper.tracking(self.local_now()).selected.is_some();
        if threshold > 0.0 && line.fast.abs() >= threshold && synchronised {
            let _ = self.trim_rtc();
        }
    }

    /// Sets the real-time clock, if it is more than a second off (`chronyc trimrtc`); none when there is none that is followed.
    pub(crate) fn trim_rtc(&mut self) -> Option<io::Result<()>> {
        let line = self.rtc.as_ref().filter(|rtc| !rtc.broken)?.core.line();
        let Some(line) = line.map(|line| self.seen(&line)).filter(|line| line.fast.abs() > TRIM_MIN) else {
            return Some(Ok(()));
        };
        let local = self.local_now();
        let time = self.keeper.uncorrected(local);
        let (second, fraction) =
            (local.0.div_euclid(1_000_000_000), local.0.rem_euclid(1_000_000_000) as f64 * 1e-9);
        let correction = self.keeper.correction(local);
        let rtc = self.rtc.as_mut()?;
        // It begins the next second half a second after it was set (MC146818A, "setting the time").
        let done = rtc.set(second, &mut self.clock, monotonic());
        if done.is_ok() {
            rtc.core.was_set(second, time, 0.5 - fraction + correction);
            self.log.say(&Happened::RtcWrong { seconds: line.fast });
        } else if let Err(error) = &done {
            let what = format!("Could not set the real-time clock: {error}");
            self.trouble(what);
        }
        Some(done)
    }

    /// Writes `rtcfile`, if there is something to write (`chronyc writertc`); none when no real-time clock is followed.
    pub(crate) fn write_rtc(&mut self) -> Option<io::Result<()>> {
        let rtc = self.rtc.as_ref().filter(|rtc| !rtc.broken)?;
        let Some(line) = rtc.core.line() else { return Some(Ok(())) };
        Some(rtc.store(&self.seen(&line)))
    }

    /// Before the end.
    pub(super) fn stop_rtc(&mut self) {
        let written = self.write_rtc().unwrap_or(Ok(()));
        self.rtc_file_failed(written);
        if let Some(rtc) = &mut self.rtc {
            rtc.stop();
        }
    }

    fn rtc_file_failed(&mut self, written: io::Result<()>) {
        if let (Err(error), Some(rtc)) = (written, &self.rtc) {
            let what = format!("Could not write {}: {error}", rtc.file.display());
            self.trouble(what);
        }
    }

    /// What `rtcdata` shows; none when no real-time clock is followed.
    pub(crate) fn rtc_report(&self) -> Option<chrony_cmd::RtcData> {
        let rtc = self.rtc.as_ref()?;
        let line = rtc.core.line().map(|line| self.seen(&line));
        let (samples, runs) = rtc.core.counts();
        Some(chrony_cmd::RtcData {
            reference_time: chrony_cmd::Timespec {
                seconds: line.map_or(0, |line| line.shown),
                nanoseconds: 0,
            },
            samples: u16::try_from(samples).unwrap_or(u16::MAX),
            runs: u16::try_from(runs).unwrap_or(u16::MAX),
            span_seconds: u32::try_from(rtc.core.span()).unwrap_or(0),
            fast_by: chrony_cmd::Float(line.map_or(0.0, |line| line.fast)),
            gain_rate_ppm: chrony_cmd::Float(line.map_or(0.0, |line| line.gain * 1e6)),
        })
    }
}

/// Opens what `rtcfile` asks for. A machine without such a clock keeps time all the same.
pub(super) fn open(
    settings: &chrony_conf::Settings,
    may_set: bool,
    now: Duration,
    log: &mut Log,
) -> Option<Rtc> {
    match Rtc::open(settings, may_set, now) {
        Ok(rtc) => rtc,
        Err(error) => {
            let what = format!("RTC driver could not be initialised: {error}");
            log.say(&Happened::Trouble { what });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::rtc::fake::{FakeRtc, State};
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};
    use time_core::Clock;

    /// A second in nanoseconds.
    const SECOND: i64 = 1_000_000_000;

    struct Host {
        daemon: Daemon,
        rtc: Arc<Mutex<State>>,
        folder: PathBuf,
    }

    impl Host {
        /// A daemon with a real-time clock that is `fast` ahead and gains `gain`, whose seconds come as fast as they are asked for.
        fn new(name: &str, fast: f64, gain: f64, stored: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("timed-rtc-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("a folder");
            let lines = [
                "port 0",
                "cmdport 0",
                "bindcmdaddress /",
                "pidfile /",
                "log rtc",
                "rtconutc",
                "hwclockfile /none",
            ];
            let options = Options {
                debug: true,
                leave_clock: true,
                directives: lines
                    .map(str::to_owned)
                    .into_iter()
                    .chain([format!("logdir {}", folder.display())])
                    .collect(),
                ..Options::default()
            };
            let layout = layout::Layout::house(&folder);
            let config = crate::config::load(&options, &layout).expect("right");
            let mut daemon = Daemon::new(options, config, &layout).expect("it starts");
            let file = folder.join("rtc");
            if !stored.is_empty() {
                std::fs::write(&file, stored).expect("a file");
            }
            daemon.config.settings.rtc.file = Some(file.clone());
            let (device, rtc) = FakeRtc::new(sys::clock::realtime_ns(), fast, gain);
            let settings = daemon.config.settings.clone();
            daemon.rtc = Some(Rtc::new(Box::new(device), file, &settings, Duration::ZERO));
            Self { daemon, rtc, folder }
        }

        /// So many readings, each `apart` seconds after the one before it.
        fn read(&mut self, count: usize, apart: i64) {
            for _ in 0..count {
                let now = self.daemon.rtc.as_ref().and_then(Rtc::deadline).expect("it works");
                if self.daemon.rtc.as_ref().is_some_and(|rtc| rtc.as_fd().is_none()) {
                    self.daemon.rtc_due(now);
                    // The first interrupt may be an old one.
                    self.daemon.rtc_arrived();
                }
                self.daemon.rtc_arrived();
                self.rtc.lock().expect("whole").at += (apart - 1) * SECOND;
            }
        }

        fn file(&self, name: &str) -> String {
            std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Host {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }

    /// Goal: offset and rate are found, shown, logged in chrony's columns and stored; trimming sets the clock to our second, and what
    /// is stored then has the new offset and the old rate.
    #[test]
    fn a_real_time_clock_is_followed_and_trimmed() {
        let mut host = Host::new("follow", 3.25, 20e-6, "");
        assert_eq!(host.daemon.rtc_report().map(|report| report.samples), Some(0));
        host.read(24, 240);
        let report = host.daemon.rtc_report().expect("it is followed");
        let expected = 3.25 + 20e-6 * 23.0 * 240.0;
        assert!((report.fast_by.0 - expected).abs() < 0.01, "{report:?}");
        assert!((report.gain_rate_ppm.0 - 20.0).abs() < 0.5, "{report:?}");
        // Without any noise eight tell all.
        assert_eq!((report.samples, report.span_seconds), (8, 7 * 240));
        assert!(host.daemon.write_rtc().is_some_and(|done| done.is_ok()));
        let stored = crate::rtc::Stored::parse(&host.file("rtc")).expect("whole");
        assert!((stored.fast - expected).abs() < 0.01 && (stored.gain - 20e-6).abs() < 1e-6, "{stored:?}");
        let log = host.file("rtc.log");
        let line = log.lines().last().expect("a line");
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        assert_eq!(words.len(), 9, "{line}");
        assert_eq!((words[3], words[6], words[8]), ("1", "8", "60"), "{line}");
        assert!(log.contains("RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas"), "{log}");

        assert!(host.daemon.trim_rtc().is_some_and(|done| done.is_ok()));
        let now = sys::clock::realtime_ns().div_euclid(SECOND);
        let set = host.rtc.lock().expect("whole").set_to.expect("it was set");
        assert!((sys::rtc::from_utc(set) - now).abs() <= 2, "{set:?}");
        {
            let mut state = host.rtc.lock().expect("whole");
            (state.fast, state.gain, state.at) = (0.125, 0.0, sys::clock::realtime_ns());
        }
        host.read(8, 1);
        let stored = crate::rtc::Stored::parse(&host.file("rtc")).expect("whole");
        assert!((stored.fast - 0.125).abs() < 0.01 && (stored.gain - 20e-6).abs() < 1e-6, "{stored:?}");
    }

    /// Goal: a step of our clock changes what is shown by as much; small errors are not trimmed.
    #[test]
    fn it_is_shown_as_our_clock_sees_it() {
        let mut host = Host::new("seen", 0.5, 0.0, "");
        host.read(12, 60);
        assert!(host.daemon.trim_rtc().is_some_and(|done| done.is_ok()));
        assert!(host.rtc.lock().expect("whole").set_to.is_none(), "half a second is none");
        host.daemon.clock.step(2 * SECOND).expect("it exists only here");
        host.daemon.keeper.clock_jumped(2 * SECOND);
        host.daemon.shift_waiting(2.0);
        let report = host.daemon.rtc_report().expect("it is followed");
        assert!((report.fast_by.0 + 1.5).abs() < 0.01, "{report:?}");
        assert!(host.daemon.trim_rtc().is_some_and(|done| done.is_ok()));
        assert!(host.rtc.lock().expect("whole").set_to.is_some());
    }

    /// Goal: `-s` with `rtcfile`: what the file says of the real-time clock's error is the rest of ours, and is slewed; then the
    /// usual sources begin. Without a file that is said.
    #[test]
    fn the_start_knows_more_than_seconds() {
        let shown = sys::clock::realtime_ns().div_euclid(SECOND) - 100_000;
        // Stored: 0.3 s ahead, and 2 ppm in 100,000 s are 0.2 s more; seen now: 0.9 s. Our clock is 0.4 s slow.
        let mut host = Host::new("start", 0.9, 0.0, &format!("1 {shown} 0.300000 2.000\n"));
        assert!(host.daemon.begin_rtc(true, monotonic()));
        host.read(8, 1);
        let left = host.daemon.keeper.tracking(host.daemon.local_now()).offset;
        assert!((left - 0.4).abs() < 0.05, "{left}");
        assert!(host.daemon.initial.is_none());

        let mut bare = Host::new("bare", 0.9, 0.0, "");
        assert!(bare.daemon.begin_rtc(true, monotonic()));
        bare.read(8, 1);
        assert!(bare.daemon.initial.is_none());
        assert_eq!(bare.daemon.keeper.tracking(bare.daemon.local_now()).offset, 0.0);
        assert!(!bare.daemon.begin_rtc(false, monotonic()), "it could not be read");
    }
}
