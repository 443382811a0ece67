//! What happens in the daemon, as types, in chrony's words; and where it is told.

use crate::records::utc;
use selflog::{Event, Facility, SelfLog, Severity};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use time_core::LeapStatus;
use time_core::NoSelection;

/// Permissions of the file that `-l` names, as chronyd makes it.
const LOG_MODE: u32 = 0o640;

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happened {
    Starting,
    /// The clock is only measured (`-x`).
    ClockLeft,
    /// Leap seconds are known from there: `leap second list FILE` or `ZONE timezone to obtain leap second data`.
    LeapTable {
        from: String,
    },
    Exiting,
    Selected {
        source: String,
    },
    Lost(NoSelection),
    Falseticker {
        source: String,
    },
    TooDistant {
        source: String,
        limit: f64,
    },
    TooJittery {
        source: String,
        limit: f64,
    },
    /// Its stratum is below `minstratum`, or above `maxstratum`.
    WrongStratum {
        source: String,
        is_small: bool,
        limit: u8,
    },
    Stepped {
        seconds: f64,
    },
    Wrong {
        seconds: f64,
        how: &'static str,
    },
    /// `initstepslew`: what was found at the start.
    Initial {
        seconds: f64,
        step: bool,
    },
    /// `initstepslew`: nothing was.
    NoInitial,
    /// `mailonchange`: the alert daemon makes a mail of it.
    Changed {
        seconds: f64,
        threshold: f64,
    },
    Jumped {
        seconds: f64,
    },
    /// The clock has this correction already, with chrony's sign, and no drift file says better.
    DriftFound {
        ppm: f64,
    },
    DriftRead {
        ppm: f64,
        skew_ppm: f64,
        path: PathBuf,
    },
    Kiss {
        source: SocketAddr,
        code: String,
    },
    Resolved {
        name: String,
        addresses: usize,
    },
    Unresolved {
        name: String,
    },
    /// A name whose addresses are all other sources'.
    Taken {
        name: String,
    },
    /// `local` is asked for and has to wait.
    LocalWaits {
        seconds: f64,
    },
    NotSendable {
        source: SocketAddr,
        why: String,
    },
    KeysEstablished {
        source: String,
        by_clock: bool,
    },
    KeysNotEstablished {
        source: String,
        why: String,
    },
    NoSuitableSource,
    LogsReopened,
    /// The configuration has mistakes.
    NotTaken {
        why: String,
    },
    RtcRead {
        seconds: f64,
    },
    /// What is left of our clock's error after `-s`, by what `rtcfile` knows: positive when it is fast.
    RtcOff {
        seconds: f64,
    },
    /// The real-time clock was set.
    RtcWrong {
        seconds: f64,
    },
    ChangeRefused {
        seconds: f64,
        limit: f64,
        ends: bool,
    },
    Leap {
        status: LeapStatus,
    },
    /// The kernel was told of TAI minus UTC.
    TaiSet {
        seconds: i32,
    },
    /// A source came or went while the daemon runs, or with a source folder.
    SourceListed {
        what: String,
        added: bool,
    },
    /// `makestep` wants a step of a clock that this daemon does not set (`-x`).
    NotStepped,
    Replaced {
        source: String,
        with: String,
    },
    /// Its server named another one for the time.
    Moved {
        source: String,
        with: String,
    },
    Dumped {
        source: String,
        loaded: bool,
    },
    FilterLoaded {
        level: i32,
    },
    Split {
        pid: u32,
    },
    ClockFailed {
        why: String,
    },
    /// A command of `chronyc` that changed something.
    Ordered {
        what: String,
    },
    KeysRead {
        count: usize,
    },
    /// A card stamps packets.
    CardStamps {
        what: String,
    },
    Warning {
        what: String,
    },
    Trouble {
        what: String,
    },
}

impl Event for Happened {
    fn name(&self) -> &'static str {
        match self {
            Self::Starting => "daemon.start",
            Self::ClockLeft => "clock.left",
            Self::LeapTable { .. } => "leap.table",
            Self::Exiting => "daemon.exit",
            Self::Selected { .. } => "source.selected",
            Self::Lost(_) | Self::NoSuitableSource => "source.lost",
            Self::Falseticker { .. } => "source.falseticker",
            Self::TooDistant { .. } => "source.distant",
            Self::TooJittery { .. } => "source.jittery",
            Self::WrongStratum { .. } => "source.stratum",
            Self::Stepped { .. } => "clock.step",
            Self::Wrong { .. } => "clock.wrong",
            Self::Initial { .. } => "clock.initial",
            Self::NoInitial => "source.lost",
            Self::Changed { .. } => "clock.changed",
            Self::Jumped { .. } => "clock.jump",
            Self::DriftFound { .. } => "drift.found",
            Self::DriftRead { .. } => "drift.read",
            Self::Kiss { .. } => "source.kiss",
            Self::Resolved { .. } => "source.resolved",
            Self::Unresolved { .. } => "source.unresolved",
            Self::Taken { .. } => "source.taken",
            Self::LocalWaits { .. } => "local.waits",
            Self::NotSendable { .. } => "source.unreachable",
            Self::KeysEstablished { .. } => "nts.established",
            Self::KeysNotEstablished { .. } => "nts.failed",
            Self::LogsReopened => "logs.reopen",
            Self::NotTaken { .. } => "configuration.refused",
            Self::RtcRead { .. } => "rtc.read",
            Self::RtcOff { .. } => "clock.initial",
            Self::RtcWrong { .. } => "rtc.step",
            Self::ChangeRefused { .. } => "clock.large-offset",
            Self::Leap { .. } => "clock.leap",
            Self::TaiSet { .. } => "clock.tai",
            Self::SourceListed { added: true, .. } => "source.added",
            Self::SourceListed { added: false, .. } => "source.removed",
            Self::NotStepped => "clock.unset",
            Self::Replaced { .. } => "source.replaced",
            Self::Moved { .. } => "source.moved",
            Self::Dumped { .. } => "source.history",
            Self::FilterLoaded { .. } => "filter.load",
            Self::Split { .. } => "daemon.split",
            Self::ClockFailed { .. } => "clock.failed",
            Self::Ordered { .. } => "daemon.command",
            Self::KeysRead { .. } => "keys.read",
            Self::CardStamps { .. } => "card.stamps",
            Self::Warning { .. } => "daemon.warning",
            Self::Trouble { .. } => "daemon.trouble",
        }
    }

    fn severity(&self) -> Severity {
        match self {
            Self::Lost(_)
            | Self::Falseticker { .. }
            | Self::TooDistant { .. }
            | Self::TooJittery { .. }
            | Self::WrongStratum { .. }
            | Self::Stepped { .. }
            | Self::Wrong { .. }
            | Self::Changed { .. }
            | Self::NoInitial
            | Self::NotStepped
            | Self::Jumped { .. }
            | Self::Kiss { .. }
            | Self::KeysNotEstablished { .. }
            | Self::Unresolved { .. }
            | Self::Taken { .. }
            | Self::ChangeRefused { ends: false, .. }
            | Self::Dumped { loaded: false, .. }
            | Self::Warning { .. } => Severity::Warning,
            Self::ChangeRefused { ends: true, .. } => Severity::Crit,
            Self::ClockFailed { .. }
            | Self::NotTaken { .. }
            | Self::Trouble { .. }
            | Self::NoSuitableSource => Severity::Err,
            Self::NotSendable { .. } => Severity::Debug,
            _ => Severity::Info,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Starting => format!("chronyd version {} starting (banto)", env!("CARGO_PKG_VERSION")),
            Self::ClockLeft => "Disabled control of system clock".to_owned(),
            Self::LeapTable { from } => format!("Using {from}"),
            Self::Exiting => "chronyd exiting".to_owned(),
            Self::Selected { source } => format!("Selected source {source}"),
            Self::Lost(why) => format!("Can't synchronise: {}", cause(why)),
            Self::Falseticker { source } => format!("Detected falseticker {source}"),
            Self::TooDistant { source, limit } => {
                format!("Root distance of {source} exceeds maxdistance of {limit:.3} seconds")
            }
            Self::TooJittery { source, limit } => {
                format!("Jitter of {source} exceeds maxjitter of {limit:.3} seconds")
            }
            Self::WrongStratum { source, is_small, limit } => {
                let how = if *is_small { "below minstratum" } else { "above maxstratum" };
                format!("Stratum of {source} {how} of {limit}")
            }
            Self::Stepped { seconds } => format!("System clock was stepped by {seconds:.6} seconds"),
            Self::Wrong { seconds, how } => format!("System clock wrong by {seconds:.6} seconds{how}"),
            // chrony counts a fast clock's offset as positive.
            Self::Initial { seconds, step } => format!(
                "System's initial offset : {:.6} seconds {} of true ({})",
                seconds.abs(),
                if *seconds <= 0.0 { "fast" } else { "slow" },
                if *step { "step" } else { "slew" }
            ),
            Self::NoInitial => "No suitable source for initstepslew".to_owned(),
            Self::Changed { seconds, threshold } => format!(
                "System clock was changed by {seconds:.6} seconds, which exceeds the {threshold} seconds of mailonchange"
            ),
            Self::Jumped { seconds } => {
                let way = if *seconds > 0.0 { "Forward" } else { "Backward" };
                format!("{way} time jump detected! ({seconds:.6} seconds)")
            }
            Self::DriftFound { ppm } => format!("Initial frequency {ppm:.3} ppm"),
            Self::DriftRead { ppm, skew_ppm, path } => {
                format!("Frequency {ppm:.3} +/- {skew_ppm:.3} ppm read from {}", path.display())
            }
            Self::Kiss { source, code } => format!("Received KoD {code} from {}", source.ip()),
            Self::Resolved { name, addresses: 1 } => format!("Resolved {name} to 1 address"),
            Self::Resolved { name, addresses } => format!("Resolved {name} to {addresses} addresses"),
            Self::Taken { name } => {
                format!("Source {name} is not asked: every address of this name belongs to another source")
            }
            Self::LocalWaits { seconds } => {
                format!(
                    "Local reference mode begins after {seconds:.0} seconds without a source (waitunsynced)"
                )
            }
            Self::Unresolved { name } => format!("Could not resolve {name}; it is tried again"),
            Self::NotSendable { source, why } => format!("Could not send to {source}: {why}"),
            Self::KeysEstablished { source, by_clock: true } => format!("NTS keys of {source} established"),
            Self::KeysEstablished { source, by_clock: false } => {
                format!("NTS keys of {source} established, its certificate not judged by this clock")
            }
            Self::KeysNotEstablished { source, why } => {
                // What to do stands at the end.
                let (why, help) = why.split_once("; help: ").unwrap_or((why, ""));
                let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
                format!("NTS keys of {source} not established: {why}; it is tried again{help}")
            }
            Self::NoSuitableSource => "No suitable source for synchronisation".to_owned(),
            Self::NotTaken { why } => {
                format!("chrony.conf was not taken, the old settings stay in use: {why}")
            }
            Self::LogsReopened => "Log files reopened".to_owned(),
            Self::ChangeRefused { seconds, limit, ends } => format!(
                "Adjustment of {seconds:.3} seconds exceeds the allowed maximum of {limit:.3} seconds ({})",
                if *ends { "exiting" } else { "ignored" }
            ),
            Self::Leap { status } => match status {
                LeapStatus::Insert => "System clock status set to insert leap second".to_owned(),
                LeapStatus::Delete => "System clock status set to delete leap second".to_owned(),
                LeapStatus::Normal => "System clock status reset after leap second".to_owned(),
            },
            Self::TaiSet { seconds } => format!("System clock TAI offset set to {seconds} seconds"),
            Self::SourceListed { what, added } => {
                format!("{} {what}", if *added { "Added" } else { "Removed" })
            }
            Self::NotStepped => "Could not step system clock".to_owned(),
            Self::Replaced { source, with } => format!("Source {source} replaced with {with}"),
            Self::Moved { source, with } => format!("Source {source} changed to {with}"),
            Self::Dumped { source, loaded: true } => format!("Loaded dump file for {source}"),
            Self::Dumped { source, loaded: false } => format!("Could not load dump file for {source}"),
            Self::RtcRead { seconds } => format!("System clock set from RTC by {seconds:.0} seconds"),
            Self::Split { pid } => format!("The clock is held by process {pid}"),
            Self::RtcOff { seconds } => format!("System clock off from RTC by {seconds:.6} seconds (slew)"),
            Self::RtcWrong { seconds } => format!("RTC wrong by {seconds:.3} seconds (step)"),
            Self::FilterLoaded { level } => format!("Loaded seccomp filter (level {level})"),
            Self::ClockFailed { why } => format!("Could not set the clock: {why}"),
            Self::KeysRead { count } => format!("Loaded {count} symmetric keys"),
            Self::Ordered { what }
            | Self::CardStamps { what }
            | Self::Warning { what }
            | Self::Trouble { what } => what.clone(),
        }
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        match self {
            Self::Selected { source }
            | Self::Falseticker { source }
            | Self::TooDistant { source, .. }
            | Self::WrongStratum { source, .. }
            | Self::KeysEstablished { source, .. }
            | Self::KeysNotEstablished { source, .. }
            | Self::TooJittery { source, .. } => field("TIME_SOURCE", source),
            Self::Stepped { seconds }
            | Self::Jumped { seconds }
            | Self::ChangeRefused { seconds, .. }
            | Self::Initial { seconds, .. }
            | Self::Wrong { seconds, .. } => {
                field("TIME_OFFSET_NSEC", &format!("{:.0}", seconds * 1e9));
            }
            Self::Changed { seconds, threshold } => {
                field("TIME_OFFSET_NSEC", &format!("{:.0}", seconds * 1e9));
                field("TIME_THRESHOLD_NSEC", &format!("{:.0}", threshold * 1e9));
            }
            Self::Kiss { source, code } => {
                field("TIME_SOURCE", &source.ip().to_string());
                field("TIME_KISS", code);
            }
            Self::Replaced { source, .. } | Self::Moved { source, .. } | Self::Dumped { source, .. } => {
                field("TIME_SOURCE", source)
            }
            Self::Resolved { name, .. } | Self::Unresolved { name } | Self::Taken { name } => {
                field("TIME_SOURCE", name)
            }
            _ => {}
        }
    }
}

/// An error of the system, in its words alone: without the number that Rust adds.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What to type to see why a file could not be read: what is beside it, where it is not there itself.
pub(crate) fn where_to_look(path: &Path, error: &std::io::Error) -> String {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("correct the name; the files beside it: ls -l {}", folder.display())
        }
        _ => format!("ls -l {}", path.display()),
    }
}

/// Why nothing is followed, in chrony's words.
fn cause(why: &NoSelection) -> String {
    match why {
        NoSelection::NoneSelectable { unreachable } => {
            format!("no selectable sources ({unreachable} unreachable sources)")
        }
        NoSelection::NoMajority { agree, of, trusted } => {
            let trusted = if *trusted { "trusted " } else { "" };
            if *agree < 2 {
                format!("no majority (no agreement among {of} {trusted}sources)")
            } else {
                format!("no majority (only {agree} of {of} {trusted}sources agree)")
            }
        }
        NoSelection::TooFew => "not enough selectable sources".to_owned(),
        NoSelection::NoneRequired => "no required source in selectable sources".to_owned(),
        NoSelection::Waiting => "sources are waited for".to_owned(),
    }
}

/// Where events are told: the journal, and standard error or a file where asked for.
#[derive(Debug)]
pub(crate) struct Log {
    journal: Option<SelfLog>,
    stderr: bool,
    file: Option<(PathBuf, std::fs::File)>,
    level: i32,
}

impl Log {
    /// `journal` is the native socket of the log daemon; `level` in chrony's numbers.
    pub(crate) fn new(
        journal: Option<&Path>,
        stderr: bool,
        file: Option<PathBuf>,
        level: i32,
    ) -> std::io::Result<Self> {
        let file = match file {
            Some(path) => Some((path.clone(), sys::file::append(&path, LOG_MODE)?)),
            None => None,
        };
        let journal = journal.map(|socket| SelfLog::new("chronyd", Facility::DAEMON, socket));
        Ok(Self { journal, stderr, file, level })
    }

    /// Tells an event.
    pub(crate) fn say(&mut self, event: &Happened) {
        let level = match event.severity() {
            Severity::Debug => -1,
            Severity::Warning => 1,
            Severity::Err => 2,
            Severity::Emerg | Severity::Alert | Severity::Crit => 3,
            _ => 0,
        };
        // `-L` says what people want to read; a mail is asked for by its own directive.
        if level < self.level && !matches!(event, Happened::Changed { .. }) {
            return;
        }
        if let Some(journal) = &self.journal {
            journal.say(event);
        }
        let (date, time) = utc(sys::clock::realtime_ns());
        let line = format!("{date}T{time}Z {}\n", event.message());
        // A log that cannot be written must not stop the clock.
        if self.stderr {
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        if let Some((_, file)) = &mut self.file {
            let _ = file.write_all(line.as_bytes());
        }
    }

    /// Events reach the journal, where the alert daemon reads them.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Sends what waits for a log daemon.
    pub(crate) fn flush(&self) {
        if let Some(journal) = &self.journal {
            journal.flush();
        }
    }

    /// Opens the file anew, after it was rotated.
    pub(crate) fn reopen(&mut self) -> std::io::Result<()> {
        if let Some((path, file)) = &mut self.file {
            *file = sys::file::append(path, LOG_MODE)?;
        }
        Ok(())
    }
}
