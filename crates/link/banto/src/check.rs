//! `banto check`: every configuration file of the house, each read by the daemon that it is for.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use crate::command_line::Given;
use crate::supervisor::own_executable;
use crate::texts::fill;

/// Files, and how their daemon is asked about them.
const CHECKS: &[(&str, &[&str])] = &[
    ("etc/chrony.conf", &["chronyd", "-p"]),
    ("etc/rsyslog.conf", &["logd", "-N1"]),
    ("etc/main.cf", &["maild", "--check"]),
    ("etc/banto.toml", &["alertd", "--check"]),
];

/// Checks all files; the exit code is 0 when none has a mistake. What the daemons say goes to standard error as they say it.
pub fn run(given: &Given) -> ExitCode {
    if !given.dir.join("etc").is_dir() {
        let dir_option =
            given.typed_dir.as_ref().map_or(String::new(), |dir| format!(" --dir {}", dir.display()));
        given.complain(
            &fill(given.texts.check_no_files, &[("dir", &given.dir.join("etc").display())]),
            Some(&format!("banto up{dir_option} --init-only")),
        );
        return ExitCode::FAILURE;
    }
    let mut sound = true;
    for (file, words) in CHECKS {
        let path = given.dir.join(file);
        let status = Command::new(own_executable())
            .arg0("banto")
            .arg("--dir")
            .arg(&given.dir)
            .args(*words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        let text = match status {
            Ok(status) if status.success() => given.texts.check_fine,
            Ok(_) => given.texts.check_wrong,
            Err(error) => {
                given.complain(&format!("{}: {error}", words.join(" ")), None);
                given.texts.check_wrong
            }
        };
        sound &= std::ptr::eq(text, given.texts.check_fine);
        println!("{}", fill(text, &[("file", &path.display())]));
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
