//! What waits for another log host: in memory, on the connection, and on disk.
//!
//! For: logd's forwards over TCP, where nobody acknowledges. [`Backlog`] keeps the order and knows what the receiver's kernel has
//! confirmed; [`QueueFile`] is its part on disk, in the format of `docs/formats/queue.md`.
//!
//! Always: messages go out in the order in which they came; what a successful [`Backlog::commit`] covered is delivered by this process
//! or by the next one, whatever the power did; what cannot be kept is counted. While the receiver keeps up and nobody asks for a
//! commit, nothing is written.
//!
//! Never: no socket, thread, clock or random source (time and the seed of salts are arguments); files only through
//! [`segments::Storage`]; it does not know what a message means, nor whether the receiver's program has read what its kernel
//! confirmed: no such word exists in plain TCP syslog.
#![forbid(unsafe_code)]

mod backlog;
mod file;
mod format;

pub use backlog::{Backlog, Batch, Committed, End, Loss};
pub use file::{Limits, QueueFile, Read, Recovered};
