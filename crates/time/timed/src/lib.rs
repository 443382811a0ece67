//! The time daemon.
#![forbid(unsafe_code)]
