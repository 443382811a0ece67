//! A seeded clock, network and crash-disk under all cores together.
//!
//! For: finding what no test of one part finds. One seed makes one history of a host: its oscillator drifts, its time servers
//! answer late, doubly, damaged or not at all (and one may lie), programs log through a stream that is cut anywhere, rules
//! match, alerts become mail, connections break, disks fill, processes are killed and the power fails between any two writes.
//!
//! Always, whatever the seed:
//! - the clock ends within [`CLOCK_ERROR_MAX`] of true time when the majority of the sources is truthful, and a liar is not
//!   followed for long;
//! - a record that says "synchronised, error at most E" was stamped by a clock whose error was at most E;
//! - a record that was synced is in the journal after any crash, once and in order, and every journal file verifies;
//! - a record that was synced reaches the log host that records are forwarded to, in order;
//! - a mail that was acknowledged is in the mailbox, at most once more for each crash or cut;
//! - every synced record that a rule matches is told of in a mail, mails stay within their budget, and no record that a mail
//!   caused makes another mail;
//! - the same seed gives the same history.
//!
//! Never: it reads no real clock, socket or file.
#![forbid(unsafe_code)]

mod clockwork;
mod ledger;
mod post;
mod relay;
mod world;

pub use world::{Summary, run};

/// How far the clock may be off at the end of a history, in seconds: jitter of up to 2 ms each way leaves far less, and a
/// liar is off by a hundred times as much.
pub const CLOCK_ERROR_MAX: f64 = 0.005;
