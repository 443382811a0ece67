//! `rsyslog.conf` and `journald.conf`: text to typed settings.
//!
//! For: the log daemon, and `banto check`.
//!
//! Always: every mistake is reported, with file, line, caret, cause and a line to write instead; a bad line never drops an
//! earlier valid one; what rsyslog or journald knows and we do not support yet is a warning by name; a name that nobody
//! knows is an error. Each directive and each parameter is one value of a table with its name, syntax, default,
//! documentation and parse function.
//!
//! Never: it opens no file or socket itself (a [`conf_text::Loader`] does), and it runs no rule.
#![forbid(unsafe_code)]

mod actions;
mod expressions;
mod finish;
mod inputs;
mod journald;
mod legacy;
mod no_effect;
mod objects;
mod parser;
mod queues;
mod settings;
mod short_actions;
mod tables;
mod templates;
mod text;
mod values;

use std::path::PathBuf;

pub use journald::{JournaldSettings, MaxLevels, SizeLimits, SplitMode, Storage, parse_journald};
pub use parser::parse_rsyslog;
pub use settings::{Globals, Input, InputKind, Settings, TcpFraming};
pub use tables::{Documented, documented_journald, documented_rsyslog};

/// Where `rsyslog.conf` stands.
pub fn conf_path(layout: &layout::Layout) -> PathBuf {
    layout.place("etc/rsyslog.conf", "/etc/rsyslog.conf")
}

/// Where `journald.conf` stands.
pub fn journald_conf_path(layout: &layout::Layout) -> PathBuf {
    layout.place("etc/journald.conf", "/etc/systemd/journald.conf")
}
