//! The queue: a segmented, checksummed, append-only log of messages and of what became of their recipients.
//!
//! For: the mail daemon's queue. The format is specified in `docs/formats/spool.md`.
//!
//! Always: what a returned [`Spool::sync`] covered is found again by [`Spool::open`], whatever was lost of the rest; a
//! failed append leaves the queue as it was; a change or a removal never fails, it is owed until it could be written.
//!
//! Never: it knows no SMTP, no clock and no random source (the seed of its salts is an argument); it touches files only
//! through [`Storage`], whose real implementation is [`Directory`].
#![forbid(unsafe_code)]

mod envelope;
mod format;
mod log;

pub use envelope::{Change, Envelope, Recipient, State, StateKind};
pub use format::BODY_OCTETS_MAX;
pub use log::{Damage, Entry, Limits, Report, Spool, SpoolError, Statistics, Ticket};
pub use segments::{CrashDisk, Directory, Storage};

use std::path::PathBuf;

/// The directory of the queue, where `main.cf` does not say another.
pub fn queue_dir(layout: &layout::Layout) -> PathBuf {
    layout.place("spool/mail", "/var/spool/banto/mail")
}

/// The directory in which `sendmail` leaves messages while no daemon listens.
pub fn maildrop_dir(layout: &layout::Layout) -> PathBuf {
    layout.place("spool/maildrop", "/var/spool/banto/maildrop")
}
