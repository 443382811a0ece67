//! The chronyc command.
#![forbid(unsafe_code)]
