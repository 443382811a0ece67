//! The journalctl command.
#![forbid(unsafe_code)]
