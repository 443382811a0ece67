//! SMTP server and client machines, without I/O (RFC 5321, 2920, 1870, 6152, 2034).
//!
//! For: the mail daemon (both ends), the `sendmail` command (the client, and the server for `-bs`), tests.
//!
//! Always: only CRLF ends a line and only CRLF "." CRLF ends a message, in both directions; what the client sends is
//! dot-stuffed and holds no bare CR or LF; every buffer has a named limit; a peer's bytes never panic.
//!
//! Never: it has no socket, clock, thread or random source, and decides nothing about policy: the owner answers each
//! event, at once or later. It never announces an extension that it does not speak.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod client;
mod command;
mod data;
pub mod maildrop;
mod path;
mod reply;
mod server;

pub use client::{Capabilities, Client, ClientConfig, ClientEvent, Envelope, Failure, Stage};
pub use command::{BodyType, Command, CommandError, MailParameters};
pub use data::{BareLineEnding, DataDecoder, DataEnd, DataError, DotStuffer};
pub use path::{DOMAIN_OCTETS_MAX, LOCAL_PART_OCTETS_MAX, Mailbox, PathError};
pub use reply::{EnhancedCode, REPLY_LINE_OCTETS_MAX, REPLY_LINES_MAX, Reply, ReplyError, ReplyParser};
pub use server::{AbortReason, Event, Server, ServerConfig};

use std::path::PathBuf;

/// The Unix stream socket on which the mail daemon takes mail from this host by SMTP, with peer credentials.
pub fn submission_socket(layout: &layout::Layout) -> PathBuf {
    layout.place("run/submission.sock", "/run/banto/submission.sock")
}
