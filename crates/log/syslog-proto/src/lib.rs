//! The protocols that carry log records: syslog (RFC 3164, RFC 5424), its TCP framing (RFC 6587), the journal's native
//! datagrams, its stream header and its export format.
//!
//! For: the log daemon, `logger`, `systemd-cat`, and whoever reads or writes one of these forms.
//!
//! Always: a parser borrows from its input and takes any bytes; what it cannot make sense of becomes the text of the
//! message, so that nothing a peer sends is lost to a parser. Every length that a peer names is checked against a
//! limit of this crate before it is used.
//!
//! Never: no socket, file, thread, clock or random source; the year and the zone of an RFC 3164 stamp are arguments. It
//! decides nothing about where a record goes.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::unwrap_used))]

mod build;
pub mod export;
mod framing;
mod message;
pub mod native;
mod sanitize;
pub mod stream;
mod structured_data;
mod timestamp;

use std::path::PathBuf;

pub use build::{Header, build_rfc3164, build_rfc5424, time_quality};
pub use framing::{Frame, Framing, Split, Splitter, write_octet_counted};
pub use message::{Format, Message, Origin, parse};
pub use sanitize::{Sanitize, sanitize};
pub use structured_data::{Element, Elements, Params, elements, escape_value};
pub use timestamp::Timestamp;

/// Where local programs send syslog datagrams: `/dev/log` on an installed system.
pub fn dev_log(layout: &layout::Layout) -> PathBuf {
    layout.place("run/dev-log", "/dev/log")
}

/// Where local programs send records in the journal's native form (datagrams).
pub fn native_socket(layout: &layout::Layout) -> PathBuf {
    layout.place("run/journal.socket", "/run/systemd/journal/socket")
}

/// Where the output streams of programs go, line by line (stream).
pub fn stream_socket(layout: &layout::Layout) -> PathBuf {
    layout.place("run/journal.stdout", "/run/systemd/journal/stdout")
}
