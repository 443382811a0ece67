//! The logger command.
#![forbid(unsafe_code)]
