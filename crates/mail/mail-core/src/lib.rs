//! Addresses, aliases, `.forward`, routing, retry and the life of a queued message, without I/O.
//!
//! For: maild (both ends of the queue), the sendmail command (recipients, newaliases) and the mail command (aliases).
//!
//! Always: an address that was parsed holds no control character, no line end and no source route; a word that a
//! sender chose is never taken for a file, a command or an option (only [`target::Target`]s read from an alias file,
//! an include or a `.forward` can be one, and only where that source may say so); expansion ends and names each
//! destination once.
//!
//! Never: it opens no file, reads no clock and knows no syntax of `main.cf`. What stands in files comes through the
//! trait [`expand::Sources`]; the time is an argument.
#![forbid(unsafe_code)]

pub mod address;
pub mod aliases;
pub mod destination;
pub mod expand;
pub mod life;
pub mod queue_id;
pub mod retry;
pub mod route;
pub mod target;

pub use address::{Address, AddressError};
pub use aliases::Aliases;
pub use destination::{Destination, Rights};
pub use queue_id::QueueId;
pub use target::{Problem, Target};
