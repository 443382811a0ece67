//! The mail daemon.
#![forbid(unsafe_code)]
