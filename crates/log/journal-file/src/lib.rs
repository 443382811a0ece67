//! The journal file format (systemd's) over a [`Storage`] trait: writer, reader, verification, recovery.
//!
//! For: the log daemon, which writes; journalctl, the alert daemon and the web page, which read; simulators, which cut the
//! power between any two writes.
//!
//! Always: bytes of a file never panic and never loop, whatever they are; a file that was published up to an entry stays
//! readable up to it; the byte map and the order of writes are those of `docs/formats/journal.md`.
//!
//! Never: it reads no clock (times are arguments; waiting for a change in [`Journal::wait`] is the one exception), knows no
//! socket, and seals nothing. The file system is touched only in `file_storage`, `directory` and `journal`.
#![forbid(unsafe_code)]

mod compress;
mod cursor;
mod directory;
mod file_storage;
mod filter;
mod format;
mod hash;
mod index;
mod journal;
mod reader;
mod recover;
mod storage;
mod verify;
mod window;
mod writer;

use std::path::PathBuf;

pub use cursor::{Cursor, CursorError};
pub use directory::{JournalWriter, Opening, Vacuum, WriterOptions, disk_usage, vacuum};
pub use file_storage::FileStorage;
pub use filter::{Filter, FilterError};
pub use format::{Header, State, field_name_valid, incompatible};
pub use journal::{Journal, Position};
pub use reader::{EntryHead, JournalFile};
pub use recover::{Salvaged, salvage};
pub use storage::{CrashDisk, ReadAt, Storage};
pub use sys::host::Id128;
pub use verify::{Damage, Report, verify};
pub use writer::{AppendError, EntryRef, Fields, FileWriter, Identity, Limits, RotateReason};

/// Where the journal is: `log/journal` in a house, `/var/log/journal` on an installed system. Files stand in a directory
/// below it that is named by the machine id.
pub fn journal_dir(layout: &layout::Layout) -> PathBuf {
    layout.place("log/journal", "/var/log/journal")
}

/// Why something could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file system says so.
    Io(std::io::Error),
    /// The bytes cannot be: where, and what is wrong with them.
    Damaged {
        /// Offset in the file, bytes.
        offset: u64,
        /// What is wrong, as a sentence without its full stop.
        what: String,
    },
}

impl ReadError {
    #[cold]
    fn damaged(offset: u64, what: &str) -> Self {
        ReadError::Damaged { offset, what: what.to_owned() }
    }
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        ReadError::Io(error)
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io(error) => write!(f, "{error}"),
            ReadError::Damaged { offset, what } => write!(f, "damaged at byte {offset}: {what}"),
        }
    }
}

impl std::error::Error for ReadError {}
