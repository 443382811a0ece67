//! The systemd-cat command.
#![forbid(unsafe_code)]
