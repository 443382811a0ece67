//! Numbered files that a log of records is made of.
//!
//! For: the mail spool and the forward queues, whose formats are their own: the [`Storage`] trait, its implementation in a
//! folder ([`Directory`]), and one in memory whose power can be cut between any two operations ([`CrashDisk`]).
//!
//! Always: a folder has one writer, by its lock; what a returned `sync` covered survives a power cut.
//!
//! Never: it knows no record and no format, and it repairs nothing.
#![forbid(unsafe_code)]

mod crash;
mod directory;
mod storage;

pub use crash::CrashDisk;
pub use directory::Directory;
pub use storage::Storage;
