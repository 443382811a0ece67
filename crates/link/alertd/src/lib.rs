//! Follows the journal and turns records that matter into mail.
//!
//! For: whoever wants to hear of a record without looking. Rules stand in banto.toml; what they mean is alert-core's.
//!
//! Always: the journal position, the groups and the mails not handed over yet are on disk, in one file (and beside it the ids of those
//! that left since), before a record counts as handled; a mail is handed over at least once, with an id that stays the same when it happens twice; a mail that cannot be handed
//! over is kept, tried again with growing pauses, and reported.
//!
//! Never: it speaks SMTP (mail goes through the configured `sendmail` command), writes to the journal files, needs a capability,
//! or makes an alert of a record that an alert caused.
#![forbid(unsafe_code)]

mod clock;
mod daemon;
mod events;
mod follow;
mod handover;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use banto_conf::Settings;
use conf_text::{Diagnostics, FileLoader, Sources};
use layout::{Call, Layout};

/// Where the position and the groups are kept.
pub fn state_path(layout: &Layout) -> PathBuf {
    layout.place("state/alertd.json", "/var/lib/banto/alertd.json")
}

/// Runs the daemon until SIGTERM or SIGINT. `--check` only reads the configuration.
pub fn run(call: &Call) -> ExitCode {
    let mut check_only = false;
    for word in &call.args {
        match word.to_str() {
            Some("--check") => check_only = true,
            Some("--help") => {
                println!(
                    "usage: alertd [--check]\n\nMakes mail of the records that match a rule of banto.toml.\n\n  --check  only read banto.toml, and tell its mistakes"
                );
                return ExitCode::SUCCESS;
            }
            _ => {
                eprintln!("alertd: unknown argument `{}`\nhelp: alertd [--check]", word.to_string_lossy());
                return ExitCode::from(64);
            }
        }
    }
    let settings = match load(&call.layout) {
        Ok(settings) => settings,
        Err(report) => {
            eprint!("{report}");
            return ExitCode::FAILURE;
        }
    };
    if check_only {
        return ExitCode::SUCCESS;
    }
    match daemon::Daemon::start(&call.layout, settings).and_then(daemon::Daemon::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("alertd: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads banto.toml; the error is the text of all that is wrong with it.
fn load(layout: &Layout) -> Result<Settings, String> {
    use std::io::IsTerminal;
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let path = banto_conf::path(layout);
    let settings = banto_conf::load(&path, &mut FileLoader, &mut sources, &mut diagnostics);
    let styled = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    settings.ok_or_else(|| diagnostics.render(&sources, styled))
}
