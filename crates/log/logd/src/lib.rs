//! The log daemon.
#![forbid(unsafe_code)]
