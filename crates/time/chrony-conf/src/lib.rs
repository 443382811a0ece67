//! The configuration of the time daemon, `chrony.conf(5)`: from text to typed settings and back.
//!
//! For: the daemon (what it does), its `-p` (what is in effect), checks of a file, and the source options of `chronyc add`.
//!
//! Always: every mistake is reported with its place and what to type instead, and reading goes on after it. A directive or
//! option that chrony knows and we do not act on is a warning by name; one that nobody knows is an error. What
//! [`Settings::render`] writes reads back as the same settings, here and in the stock daemon.
//!
//! Never: it resolves no name and touches no file but through the [`conf_text::Loader`] that it is given.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod changes;
mod directive;
mod known;
mod lines;
mod read;
mod settings;
mod source;
mod waiting;
mod words;

pub use changes::Change;
pub use directive::{DIRECTIVES, Directive, leading_octets};
pub use lines::{Line, lines};
pub use read::{INCLUDE_DEPTH_MAX, LINE_BYTES_MAX, directive_mistakes, load, load_source_dirs, read};
pub use settings::{
    AEADS_DEFAULT, AccessRule, AccessSubject, AuthSelectMode, Broadcast, CLIENT_LOG_LIMIT_DEFAULT,
    FallbackDrift, HwTimestamp, InitStepSlew, LOG_BANNER_DEFAULT, LeapSecondMode, LocalReference, Logs,
    MailOnChange, Makestep, MaxChange, Nts, OPEN_COMMANDS, OPEN_COMMANDS_DEFAULT, ORPHAN_WAIT_UNSYNCED,
    REFRESH_DEFAULT, REFRESH_SECONDS_DEFAULT, ROTATE_SECONDS_DEFAULT, RateLimit, RealTimeClock, RefClock,
    RefClockDriver, RxFilter, Settings, SmoothTime, TempComp, TempCurve,
};
pub use source::{
    AddressFamily, OPTIONS, Source, SourceKind, SourceOption, SourceOptions, parse_source_words,
};

use std::path::PathBuf;

/// Where the configuration stands.
pub fn conf_path(layout: &layout::Layout) -> PathBuf {
    layout.place("etc/chrony.conf", "/etc/chrony/chrony.conf")
}

#[cfg(test)]
mod tests;
