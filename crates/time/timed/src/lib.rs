//! The time daemon, called as `chronyd`.
//!
//! For: keeping this host's clock right and telling others the time, under chrony's configuration, words and commands.
//!
//! Always: one thread and one `poll(2)` loop (names are resolved by a second thread, which exists only where a source has a
//! name, and keys of NTS are given out by others, which exist only where `ntsservercert` is configured); every datagram costs at most itself; the kernel's clock is set by another process, which does nothing else ([`holder`]), except with `-d`; the clock is touched only through [`clocks`], and with `-x`, or in a house
//! without `--control-clock`, there is nothing behind it that could touch the kernel's.
//!
//! Never: it parses no configuration (chrony-conf does), decides nothing about packets (ntp-proto) or about time (time-core).
#![forbid(unsafe_code)]

mod clocks;
mod commands;
mod config;
mod daemon;
mod events;
mod hardware;
mod holder;
mod local;
mod nts;
mod options;
mod peers;
mod records;
mod refclocks;
mod resolver;
mod rtc;
mod serving;
mod settime;
mod sockets;
mod trace;

use options::{Action, Options};
use std::io::Write;
use std::process::ExitCode;

/// The most that is read of a file that a directive names (keys, leap seconds, a drift file), in bytes: more than any such file has.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Runs the daemon until it is told to end.
pub fn run(call: &layout::Call) -> ExitCode {
    if let Some((_, words)) = call.args.split_first().filter(|(word, _)| *word == holder::CLOCK_PROCESS) {
        return holder::run(words);
    }
    let options = match Options::parse(&call.args) {
        Ok(Action::Run(options)) => options,
        Ok(Action::Print(text)) => {
            return match write!(std::io::stdout(), "{text}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            };
        }
        Err(error) => {
            eprintln!("{}: {error}", call.name);
            return ExitCode::FAILURE;
        }
    };
    let config = match config::load(&options, &call.layout) {
        Ok(config) => config,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::FAILURE;
        }
    };
    if options.print_config {
        print!("{}", config.effective);
        return ExitCode::SUCCESS;
    }
    if options.goes_to_background() {
        return daemon::start_in_background();
    }
    // Before anything is opened that could get its number.
    let supervisor = match options.ready_descriptor.map(sys::fd::take_inherited).transpose() {
        Ok(supervisor) => supervisor,
        Err(error) => {
            let number = options.ready_descriptor.unwrap_or_default();
            eprintln!(
                "{}: option -N: descriptor {number} cannot be used: {error}\nhelp: whoever starts the daemon opens it: {} -n -N {number} {number}>/dev/null",
                call.name, call.name
            );
            return ExitCode::FAILURE;
        }
    };
    match daemon::Daemon::new(*options, config, &call.layout) {
        Ok(mut daemon) => daemon.run(supervisor),
        Err(error) => {
            eprintln!("{}: {error}", call.name);
            ExitCode::FAILURE
        }
    }
}
