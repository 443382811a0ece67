//! The real-time clock's device, and what is kept of it over a restart (`rtcfile`).

use crate::clocks::DaemonClock;
use chrony_conf::Settings;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::rtc::RtcTime;
use time_core::{RealTimeClock, RtcLine};

/// Interrupts after they were turned on that may be old ones.
const BOGUS_INTERRUPTS: u8 = 1;
/// Without an interrupt for so long there will be none, in seconds.
const SILENCE: Duration = Duration::from_secs(10);

/// A real-time clock that says when a second begins.
pub(crate) trait RtcDevice: std::fmt::Debug + Send {
    /// Readable when a second has begun.
    fn as_fd(&self) -> BorrowedFd<'_>;
    /// Turns these interrupts on or off.
    fn interrupts(&mut self, on: bool) -> io::Result<()>;
    /// Takes one that is there: false when it means something else.
    fn take_interrupt(&mut self) -> io::Result<bool>;
    /// What it shows, and the kernel's realtime clock then, nanoseconds since the Unix epoch.
    fn read(&mut self) -> io::Result<(RtcTime, i64)>;
    /// Sets it, where no other process does: without the right to set clocks it refuses.
    fn set(&mut self, time: RtcTime) -> io::Result<()>;
}

/// The kernel's device.
#[derive(Debug)]
pub(crate) struct KernelRtc {
    file: File,
    may_set: bool,
}

impl KernelRtc {
    /// Opens it, and looks whether it has such interrupts.
    pub(crate) fn open(path: &Path, may_set: bool) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut device = Self { file: sys::rtc::open(path).map_err(named)?, may_set };
        device.interrupts(true).and_then(|()| device.interrupts(false)).map_err(named)?;
        Ok(device)
    }

    /// Opens one that need not have them.
    pub(crate) fn open_any(path: &Path) -> io::Result<Self> {
        sys::rtc::open(path)
            .map(|file| Self { file, may_set: false })
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl RtcDevice for KernelRtc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn interrupts(&mut self, on: bool) -> io::Result<()> {
        sys::rtc::interrupts(&self.file, on)
    }

    fn take_interrupt(&mut self) -> io::Result<bool> {
        sys::rtc::take_interrupt(&self.file)
    }

    fn read(&mut self) -> io::Result<(RtcTime, i64)> {
        // The interrupt has just come: what is later than that is the reading itself.
        let at = sys::clock::realtime_ns();
        Ok((sys::rtc::read_open(&self.file)?, at))
    }

    fn set(&mut self, time: RtcTime) -> io::Result<()> {
        if self.may_set {
            return sys::rtc::set(&self.file, time);
        }
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "this daemon sets no clock (-x)"))
    }
}

/// What `rtcfile` keeps, in chrony's format: one line of four numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stored {
    /// What the real-time clock showed, seconds since the Unix epoch.
    pub shown: i64,
    /// How far it was ahead then, in seconds.
    pub fast: f64,
    /// How much it gains, s/s.
    pub gain: f64,
}

impl Stored {
    /// Reads the file's text; none when it is of no use.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        if words.next()?.parse::<i32>().ok()? == 0 {
            return None;
        }
        let mut number = || words.next()?.parse::<f64>().ok().filter(|value| value.is_finite());
        let (shown, fast, gain) = (number()?, number()?, number()? * 1e-6);
        Some(Self { shown: shown as i64, fast, gain })
    }

    pub(crate) fn write(&self) -> String {
        format!("1 {} {:.6} {:.3}\n", self.shown, self.fast, self.gain * 1e6)
    }

    /// How far it is ahead when it shows `shown`.
    pub(crate) fn fast_at(&self, shown: i64) -> f64 {
        self.fast + self.gain * shown.saturating_sub(self.shown) as f64
    }
}

/// The real-time clock that is followed.
#[derive(Debug)]
pub(crate) struct Rtc {
    device: Box<dyn RtcDevice>,
    /// The readings.
    pub core: RealTimeClock,
    /// `rtcfile`.
    pub file: PathBuf,
    /// `rtcautotrim`, in seconds; 0: never.
    pub auto_trim: f64,
    on_utc: bool,
    bogus: u8,
    /// When interrupts are turned on, or when they should have come.
    due: Duration,
    on: bool,
    /// It does not answer, which was said.
    pub broken: bool,
}

impl Rtc {
    /// Opens the device for `rtcfile`; none without the directive.
    pub(crate) fn open(settings: &Settings, may_set: bool, now: Duration) -> io::Result<Option<Self>> {
        let Some(file) = settings.rtc.file.clone() else { return Ok(None) };
        let device = KernelRtc::open(&settings.rtc.device, may_set)?;
        Ok(Some(Self::new(Box::new(device), file, settings, now)))
    }

    /// The device, for whoever may set it: the kernel lets it be opened once only.
    pub(crate) fn device(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }

    /// What it shows, in seconds since the Unix epoch.
    pub(crate) fn shows(&mut self) -> io::Result<Option<i64>> {
        Ok(seconds(self.device.read()?.0, self.on_utc))
    }

    pub(crate) fn new(device: Box<dyn RtcDevice>, file: PathBuf, settings: &Settings, now: Duration) -> Self {
        Self {
            device,
            core: RealTimeClock::default(),
            file,
            auto_trim: settings.rtc.auto_trim,
            on_utc: keeps_utc(settings),
            bogus: 0,
            due: now,
            on: false,
            broken: false,
        }
    }

    /// What becomes readable, while it is waited for.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (self.on && !self.broken).then(|| self.device.as_fd())
    }

    /// When something is to be done.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        (!self.broken).then_some(self.due)
    }

    /// Turns the interrupts on when it is time for a reading; an error when none comes.
    pub(crate) fn look(&mut self, now: Duration) -> io::Result<()> {
        if self.broken || now < self.due {
            return Ok(());
        }
        if self.on {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it sends no interrupts"));
        }
        self.device.interrupts(true)?;
        (self.on, self.bogus, self.due) = (true, BOGUS_INTERRUPTS, now + SILENCE);
        Ok(())
    }

    /// An interrupt is there: the second that has begun, and the kernel's realtime clock then; none when it is not to be trusted.
    pub(crate) fn interrupted(&mut self, now: Duration) -> io::Result<Option<(i64, i64)>> {
        let is_second = self.device.take_interrupt()?;
        self.due = now + SILENCE;
        if self.bogus > 0 {
            self.bogus -= 1;
            return Ok(None);
        }
        if !is_second {
            return Ok(None);
        }
        let (time, at) = self.device.read()?;
        Ok(seconds(time, self.on_utc).map(|shown| (shown, at)))
    }

    /// After a reading: the next one follows at once, or after the period that the readings want.
    pub(crate) fn rest(&mut self, now: Duration) -> io::Result<()> {
        if self.core.is_rapid() {
            return Ok(());
        }
        self.device.interrupts(false)?;
        (self.on, self.due) = (false, now + Duration::from_secs(self.core.period().into()));
        Ok(())
    }

    /// Sets it to a second, by whoever holds the clock, and begins to read it again.
    pub(crate) fn set(&mut self, seconds: i64, clock: &mut DaemonClock, now: Duration) -> io::Result<()> {
        let time = if self.on_utc { sys::rtc::to_utc(seconds) } else { sys::rtc::to_local(seconds) };
        match clock.set_rtc(time) {
            Some(done) => done?,
            None => self.device.set(time)?,
        }
        if self.on {
            self.device.interrupts(false)?;
        }
        (self.on, self.due) = (false, now);
        Ok(())
    }

    /// Before the end, and when it does not answer.
    pub(crate) fn stop(&mut self) {
        let _ = self.device.interrupts(false);
        (self.on, self.broken) = (false, true);
    }

    /// What to keep of a line as it is seen from our clock.
    pub(crate) fn store(&self, line: &RtcLine) -> io::Result<()> {
        let stored = Stored { shown: line.shown, fast: line.fast, gain: line.gain };
        sys::file::replace(&self.file, stored.write().as_bytes(), 0o644)
    }
}

/// Seconds since the Unix epoch of what a real-time clock shows.
pub(crate) fn seconds(time: RtcTime, on_utc: bool) -> Option<i64> {
    if on_utc { Some(sys::rtc::from_utc(time)) } else { sys::rtc::from_local(time) }
}

/// What `rtcfile` says.
pub(crate) fn stored(settings: &Settings) -> Option<Stored> {
    Stored::parse(&sys::file::read_text_bounded(settings.rtc.file.as_ref()?, crate::FILE_BYTES_MAX).ok()?)
}

/// `hwclockfile` says it in its third line; without one, `rtconutc` does.
pub(crate) fn keeps_utc(settings: &Settings) -> bool {
    let text = settings
        .rtc
        .hwclock_file
        .as_ref()
        .and_then(|path| sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX).ok());
    match text.as_deref().and_then(|text| text.lines().nth(2)) {
        Some("LOCAL") => false,
        Some("UTC") => true,
        _ => settings.rtc.on_utc,
    }
}

#[cfg(test)]
pub(crate) mod fake {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::sync::{Arc, Mutex};

    /// What a real-time clock that exists only here does.
    #[derive(Debug)]
    pub(crate) struct State {
        /// The kernel's realtime clock at the next reading.
        pub at: i64,
        /// How far it is ahead.
        pub fast: f64,
        /// How much it gains.
        pub gain: f64,
        /// From when that counts.
        pub since: i64,
        pub on: bool,
        pub set_to: Option<RtcTime>,
    }

    #[derive(Debug)]
    pub(crate) struct FakeRtc {
        pub state: Arc<Mutex<State>>,
        socket: UnixDatagram,
    }

    impl FakeRtc {
        pub(crate) fn new(at: i64, fast: f64, gain: f64) -> (Self, Arc<Mutex<State>>) {
            let state = State { at, fast, gain, since: at, on: false, set_to: None };
            let state = Arc::new(Mutex::new(state));
            let socket = UnixDatagram::unbound().expect("a socket");
            (Self { state: state.clone(), socket }, state)
        }
    }

    impl RtcDevice for FakeRtc {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.socket.as_fd()
        }

        fn interrupts(&mut self, on: bool) -> io::Result<()> {
            self.state.lock().expect("whole").on = on;
            Ok(())
        }

        fn take_interrupt(&mut self) -> io::Result<bool> {
            Ok(true)
        }

        /// The moment at which its next second begins.
        fn read(&mut self) -> io::Result<(RtcTime, i64)> {
            let mut state = self.state.lock().expect("whole");
            let fast = state.fast + state.gain * (state.at - state.since) as f64 * 1e-9;
            let shown = (state.at as f64 * 1e-9 + fast).ceil();
            let at = ((shown - fast) * 1e9) as i64;
            // The next reading is of the next second.
            state.at = at + 500_000_000;
            Ok((sys::rtc::to_utc(shown as i64), at))
        }

        fn set(&mut self, time: RtcTime) -> io::Result<()> {
            self.state.lock().expect("whole").set_to = Some(time);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the file is chrony's, in both directions; what is of no use is none.
    #[test]
    fn the_file_is_chronys() {
        let stored = Stored { shown: 1_700_000_000, fast: 1.25, gain: -3.5e-6 };
        assert_eq!(stored.write(), "1 1700000000 1.250000 -3.500\n");
        assert_eq!(Stored::parse(&stored.write()), Some(stored));
        assert!((stored.fast_at(1_700_001_000) - 1.2465).abs() < 1e-9);
        for text in ["", "0 1700000000 1.25 -3.5", "1 x 1 1", "1 1 1", "1 NaN 1 1", "1 1 inf 1"] {
            assert_eq!(Stored::parse(text), None, "{text}");
        }
    }

    /// Goal: interrupts are on only for a reading, the first one does not count, silence is an error, and `-x` sets nothing.
    #[test]
    fn a_device_is_read_and_rests() {
        let (device, state) = fake::FakeRtc::new(1_700_000_000_000_000_000, 0.25, 0.0);
        let settings = {
            let mut settings = Settings::new(&layout::Layout::system());
            settings.rtc.on_utc = true;
            settings.rtc.hwclock_file = None;
            settings
        };
        let at = Duration::from_secs;
        let mut rtc = Rtc::new(Box::new(device), "/nonexistent".into(), &settings, at(1));
        assert!(rtc.as_fd().is_none());
        rtc.look(at(0)).expect("too early");
        assert!(rtc.as_fd().is_none());
        rtc.look(at(1)).expect("turned on");
        assert!(rtc.as_fd().is_some() && state.lock().expect("whole").on);
        assert_eq!(rtc.interrupted(at(2)).expect("one"), None, "it may be an old one");
        let (shown, kernel) = rtc.interrupted(at(3)).expect("one").expect("a reading");
        assert!((shown as f64 - kernel as f64 * 1e-9 - 0.25).abs() < 1e-6);
        rtc.rest(at(3)).expect("turned off");
        assert!(!state.lock().expect("whole").on && rtc.deadline() == Some(at(18)));
        rtc.look(at(18)).expect("turned on");
        assert!(rtc.look(at(40)).is_err(), "silence");
        let mut clock = DaemonClock::beside(None).expect("it exists only here");
        assert!(clock.set_rtc(sys::rtc::to_utc(1)).is_none());
        rtc.set(1, &mut clock, at(40)).expect("this one is no kernel's");
        assert_eq!(state.lock().expect("whole").set_to, Some(sys::rtc::to_utc(1)));
    }

    /// Goal: what is no real-time clock is an error that names it; a real one is only read.
    #[test]
    fn devices_are_opened() {
        let error = KernelRtc::open(Path::new("/dev/null"), false).expect_err("no clock");
        assert!(error.to_string().contains("/dev/null"), "{error}");
        if let Ok(mut device) = KernelRtc::open_any(Path::new("/dev/rtc0")) {
            let (time, _) = device.read().expect("it can be read");
            assert!(time.year > 1990, "{time:?}");
            assert!(device.set(time).is_err(), "never by itself");
        }
    }
}
