//! `banto check`: every configuration file of the house, each read by the daemon that it is for.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Output, Stdio};

use crate::command_line::Given;
use crate::supervisor::own_executable;
use crate::texts::fill;

/// Files, and how their daemon is asked about them.
const CHECKS: &[(&[&str], &[&str])] = &[
    (&["etc/chrony.conf"], &["chronyd", "--check"]),
    (&["etc/rsyslog.conf", "etc/journald.conf"], &["logd", "-N1"]),
    (&["etc/main.cf", "etc/aliases"], &["maild", "--check"]),
    (&["etc/banto.toml"], &["alertd", "--check"]),
];

/// Checks all files; the exit code is 0 when none has a mistake. What the daemons say goes to standard error.
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
    for (files, words) in CHECKS {
        let text = match ask(given, words) {
            Ok(output) => {
                let _ = std::io::stderr().write_all(&output.stderr);
                match (output.status.success(), output.stderr.is_empty()) {
                    (true, true) => given.texts.check_fine,
                    // What is no reason not to start, a user's own file among it.
                    (true, false) => given.texts.check_warned,
                    (false, _) => given.texts.check_wrong,
                }
            }
            Err(error) => {
                given.complain(&format!("{}: {error}", words.join(" ")), None);
                given.texts.check_wrong
            }
        };
        sound &= text != given.texts.check_wrong;
        println!("{}", fill(text, &[("file", &paths(given, files))]));
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether the house can start with its files; tells the mistakes where it cannot, and nothing where it can: warnings are the
/// daemons' own to tell when they start.
pub fn files_are_sound(given: &Given) -> bool {
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = CHECKS.iter().map(|(_, words)| scope.spawn(|| ask(given, words))).collect();
        asked.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
    });
    let mut sound = true;
    for ((files, _), answer) in CHECKS.iter().zip(answers) {
        // Whoever cannot be asked will say so when it is started.
        let Ok(Ok(output)) = answer else { continue };
        if !output.status.success() {
            sound = false;
            let _ = std::io::stderr().write_all(&output.stderr);
            given.complain(&fill(given.texts.check_wrong, &[("file", &paths(given, files))]), None);
        }
    }
    sound
}

fn ask(given: &Given, words: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(own_executable());
    command.arg0("banto").arg("--dir").arg(&given.dir).args(words).stdin(Stdio::null()).stdout(Stdio::null());
    command.output()
}

fn paths(given: &Given, files: &[&str]) -> String {
    let paths = files.iter().map(|file| given.dir.join(file).display().to_string());
    paths.collect::<Vec<_>>().join(", ")
}
