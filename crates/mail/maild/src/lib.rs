//! The mail daemon: takes mail by SMTP and from `sendmail`, keeps it in a queue that survives a power cut, delivers it here
//! or hands it to the relay host, tries again, and reports failures.
//!
//! For: `maild` (installed, three processes) and `banto up` (a house, one process with three threads).
//!
//! Always: `250` after a message means that message and envelope are in a completed fdatasync; a mailbox is synced before
//! the queue forgets the message; a kill at any moment loses nothing that was accepted and at worst delivers twice. The
//! three roles speak by frames over a socket pair only ([`protocol`]), so where they run makes no difference:
//!
//! | role | module | rights when started as root |
//! |---|---|---|
//! | queue | [`queue`] | `mail_owner` |
//! | smtp | [`smtp`], [`relay`] | `mail_owner`, no new privileges; binds its ports before |
//! | deliver | [`deliver`] | root, which reads no byte of the network's protocol; one child a user ([`worker`]) |
//!
//! Never: no network protocol is parsed by root; no command, file or option is made from an address; nothing waits without
//! a limit.
#![forbid(unsafe_code)]

mod channel;
mod config;
mod deliver;
mod events;
mod local;
mod mailbox;
mod policy;
mod protocol;
mod queue;
mod relay;
mod reports;
mod roles;
mod smtp;
mod status;
mod worker;

use std::process::ExitCode;

/// Runs the daemon: `maild [--check] [--split]`.
///
/// `--check` reads the configuration, says what is wrong and ends. `--split` runs the roles as separate processes in a house
/// too, where started as root.
pub fn run(call: &layout::Call) -> ExitCode {
    roles::run(call)
}
