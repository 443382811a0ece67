//! The load generators that the benchmarks use, one module each.
//!
//! For: `cargo xtask bench` and the tests of speed-bearing parts.
//!
//! Always: the same arguments give the same load.
//!
//! Never: it is part of what is installed.
#![forbid(unsafe_code)]

pub mod journal;
pub mod mirror;
pub mod ntp;
pub mod smtp;
pub mod syslog;
