//! Going to the background: the daemon is started again in a session of its own, and this process ends when it is ready.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, ExitCode, Stdio};

use crate::cli::Options;

/// Tells the daemon that somebody waits for a word on its standard output.
const VARIABLE: &str = "BANTO_READY_ON_STDOUT";
const READY: &[u8] = b"ready\n";

/// Starts the daemon in the background; the exit code says whether it became ready.
pub(crate) fn start_in_background(options: &Options) -> ExitCode {
    let start = || -> std::io::Result<bool> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).arg("-n").env(VARIABLE, "1");
        if let Some(name) = std::env::args_os().next() {
            std::os::unix::process::CommandExt::arg0(&mut command, name);
        }
        sys::process::new_session(&mut command);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut said = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_end(&mut said)?;
        }
        Ok(said == READY)
    };
    match start() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: cannot go to the background: {error}", options.name);
            ExitCode::FAILURE
        }
    }
}

/// Says that the daemon is ready, to whoever waits, and leaves its standard output and error.
pub(crate) fn ready() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(READY).and_then(|()| stdout.flush());
    if let Ok(null) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = sys::fd::replace_standard_streams(null.as_fd());
    }
}
