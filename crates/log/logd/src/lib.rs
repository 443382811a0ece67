//! The log daemon.
//!
//! For: a host's log. Called `rsyslogd` it is the daemon that `rsyslog.conf` describes; called `journald` it keeps the journal;
//! called `logd` it is both over one intake: every record goes to the journal and through the rules.
//!
//! Always: a record that was taken in is written, waits in a queue, or stands in a counter. What a sender wrote that cannot be
//! understood is kept as text. Intake threads work in batches; a batch is parsed, ruled and rendered in the thread that
//! received it and handed to the thread that writes. A failed reload leaves the old configuration in force.
//!
//! Never: a slow network, terminal or pipe stops intake (only a slow disk does); the clock is never set; no DNS is asked for a
//! sender's name.
#![forbid(unsafe_code)]

mod cli;
mod counters;
mod daemon;
mod detach;
mod inputs;
mod journal;
mod outputs;
mod pipeline;
mod plan;
mod say;
mod trusted;

use std::process::ExitCode;

/// Runs the daemon until it is told to end.
pub fn run(call: &layout::Call) -> ExitCode {
    let command = match cli::parse(call) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("{}: {error}", call.name);
            return ExitCode::FAILURE;
        }
    };
    match command {
        cli::Command::Show(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        cli::Command::Check(options) => match plan::read(&options) {
            Ok(_) => {
                println!("{}: the configuration {} is fine", call.name, options.conf_path.display());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprint!("{error}");
                ExitCode::FAILURE
            }
        },
        cli::Command::Run(options) if options.detach => detach::start_in_background(&options),
        cli::Command::Run(options) => daemon::run(&options),
    }
}
