//! The mail command.
#![forbid(unsafe_code)]
