//! Control sockets: how a command asks a running daemon.
//!
//! For: every daemon (server) and every command that asks one (client). A Unix stream carries frames: a big-endian u32
//! length, at most [`FRAME_BYTES_MAX`], then JSON. A request is `{"banto":1,"verb":"...","args":{...}}`, a reply
//! `{"ok":true,"value":...}` or `{"ok":false,"error":"...","help":"..."}`. One connection may carry several requests.
//!
//! Always: whatever bytes a peer sends cost at most its own connection; the daemon knows its peer (`SO_PEERCRED`), and only
//! the user who runs the daemon, or root, may use verbs that change something.
//!
//! Never: it knows no verb but `ping`, which every server answers by itself, and `status`, whose answer gets the server's own
//! [`Counts`] as `control`.
#![forbid(unsafe_code)]

mod client;
mod frame;
mod server;

pub use client::{CallError, Client, answering};
pub use serde_json::{Value, json};
pub use server::{Counts, Refusal, Request, Server};

use std::path::PathBuf;

use layout::Layout;

/// The protocol's version: a peer that speaks another is told so and not guessed at.
pub const VERSION: u64 = 1;

/// The longest frame, bytes: more than any status, and little enough that a hostile peer cannot fill the memory.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// Connections that a daemon serves at once; a further one takes the place of the oldest of the user who holds the most.
pub const CONNECTIONS_MAX: usize = 32;

/// The control socket of the daemon `name` (`timed`, `logd`, `maild`, `alertd`, `webd`).
pub fn socket_path(layout: &Layout, name: &str) -> PathBuf {
    layout.place(format!("run/{name}.ctl"), format!("/run/banto/{name}.ctl"))
}

/// Whether `uid` is one that the house's own services run as: root, this process's own, or the owner of a folder where they keep
/// their state. For records and mails that claim to be the house's own: anybody else may claim it.
pub fn is_house(layout: &Layout, uid: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let folders =
        [layout.place("state", "/var/lib/banto"), layout.place("spool/mail", "/var/spool/banto/mail")];
    uid == 0
        || uid == sys::process::effective_uid()
        || folders.iter().any(|path| std::fs::symlink_metadata(path).is_ok_and(|info| info.uid() == uid))
}

#[cfg(test)]
mod tests;
