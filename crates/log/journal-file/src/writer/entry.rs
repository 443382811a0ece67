//! What goes into a file, within which limits, and why something does not.

use std::io;

use record::{MonotonicMicros, UnixMicros};
use sys::host::Id128;

/// How large a file may be and how it grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, bytes. Default 128 MiB, as journald's.
    pub max_size: u64,
    /// The file grows by this, bytes. Default 8 MiB, as journald's.
    pub grow_step: u64,
    /// 32-bit offsets: smaller, read by systemd since 252.
    pub compact: bool,
    /// Compress payloads of 512 bytes and more.
    pub compress: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_size: 128 << 20, grow_step: 8 << 20, compact: true, compress: true }
    }
}

/// Whose file it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Random; also the key of the hash.
    pub file_id: Id128,
    /// The machine.
    pub machine_id: Id128,
    /// The boot of the first entries.
    pub boot_id: Id128,
    /// The sequence that numbers belong to: inherited from the file before, else the file id.
    pub seqnum_id: Id128,
    /// The last number of the file before; the first entry gets the next.
    pub last_seqnum: u64,
}

/// An entry to append.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// Wall clock.
    pub realtime: UnixMicros,
    /// Monotonic clock of this boot.
    pub monotonic: MonotonicMicros,
    /// This boot.
    pub boot_id: Id128,
    /// The fields, any order; doubles are stored once.
    pub fields: Fields<'a>,
}

/// Fields of an entry in either of two forms.
#[derive(Debug, Clone, Copy)]
pub enum Fields<'a> {
    /// `NAME=value`, joined already: the faster form.
    Joined(&'a [&'a [u8]]),
    /// Name and value.
    Pairs(&'a [(&'a [u8], &'a [u8])]),
}

/// Why an entry was not taken. Nothing of it was stored.
#[derive(Debug)]
pub enum AppendError {
    /// The file must be rotated first; a new file will take the entry.
    Rotate(RotateReason),
    /// A field that no journal can hold: which, and why.
    Invalid(String),
    /// The storage failed; with `StorageFull` the file is as it was.
    Storage(io::Error),
}

/// Why a file must be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotateReason {
    /// It has its largest size.
    Size,
    /// Its hash tables are 75% full, or a chain is too long.
    HashTable,
    /// Wall clock or monotonic clock went backwards: readers find entries by bisecting time.
    ClockBackwards,
    /// The boot is another.
    Boot,
}

impl From<io::Error> for AppendError {
    fn from(error: io::Error) -> Self {
        AppendError::Storage(error)
    }
}

impl std::fmt::Display for AppendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AppendError::Rotate(reason) => write!(f, "the journal file must be rotated: {reason:?}"),
            AppendError::Invalid(what) => write!(f, "the entry cannot be stored: {what}"),
            AppendError::Storage(error) => write!(f, "the journal file cannot be written: {error}"),
        }
    }
}

impl std::error::Error for AppendError {}
