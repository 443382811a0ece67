//! The one executable: up, status, doctor, tour, and every program of the house by name.
//!
//! For: whoever starts a house, looks at it, or calls one of its programs by a name of the trade.
//!
//! Always: a daemon or command is called through `run(&layout::Call)` and through nothing else; a file that stands in a house is
//! never overwritten; the clock is not set unless `--control-clock` was said; texts for people stand in [`texts`], one file a
//! language, and records, JSON and compatible output are never translated.
//!
//! Never: it does a daemon's work itself, and it ends no process that it did not start.
#![forbid(unsafe_code)]

mod check;
mod command_line;
mod defaults;
mod doctor;
mod programs;
mod reload;
mod status;
mod supervisor;
mod terminal_line;
mod texts;
mod time;
mod tour;
mod up;

use std::process::ExitCode;

/// The whole program: `argv` decides.
pub fn main() -> ExitCode {
    command_line::run(std::env::args_os().collect())
}
