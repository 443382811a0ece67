//! Debian's programs that the tests compare with.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::say;

/// Package and a file that is there when it is installed.
const WANTED: [(&str, &str); 10] = [
    ("chrony", "/usr/sbin/chronyd"),
    ("rsyslog", "/usr/sbin/rsyslogd"),
    ("systemd", "/usr/bin/journalctl"),
    ("systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote"),
    ("postfix", "/usr/sbin/postconf"),
    ("s-nail", "/usr/bin/s-nail"),
    ("bsd-mailx", "/usr/bin/bsd-mailx"),
    ("swaks", "/usr/bin/swaks"),
    ("util-linux", "/usr/bin/logger"),
    ("python3", "/usr/bin/python3"),
];

/// The file that Debian's maintainer scripts ask before they start a service; exit code 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing where that is possible (Debian, as root), starting nothing; returns what is still missing.
pub fn install() -> Vec<&'static str> {
    let missing = missing();
    if missing.is_empty() {
        return missing;
    }
    if !Path::new("/usr/bin/apt-get").exists() || !is_root() {
        say(&format!("not installed, and not root on Debian: {}", missing.join(" ")));
        return missing;
    }
    let with_policy = (!Path::new(POLICY).exists()).then(|| {
        let written = std::fs::write(POLICY, "#!/bin/sh\nexit 101\n");
        let _ = Command::new("chmod").args(["755", POLICY]).status();
        written
    });
    if let Some(Err(error)) = &with_policy {
        say(&format!("cannot write {POLICY} ({error}), so nothing is installed: a service might be started"));
        return missing;
    }
    say(&format!("installing {}", missing.join(" ")));
    apt(&["update", "-q"]);
    let mut words = vec!["install", "-y", "-q", "--no-install-recommends"];
    words.extend(&missing);
    apt(&words);
    if with_policy.is_some() {
        let _ = std::fs::remove_file(POLICY);
    }
    self::missing()
}

/// All of them.
pub fn names() -> Vec<&'static str> {
    WANTED.iter().map(|(package, _)| *package).collect()
}

fn missing() -> Vec<&'static str> {
    WANTED.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(package, _)| *package).collect()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt(words: &[&str]) {
    // A maintainer script must not reach the clock either.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time", "apt-get"]).args(words);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => say(&format!("apt-get {} ended with {status}", words.join(" "))),
        Err(error) => say(&format!("apt-get cannot be started: {error}")),
    }
}

#[cfg(test)]
mod tests {
    /// Goal: the help of `test` says what root changes and names every package.
    #[test]
    fn the_help_of_test_is_whole() {
        let help = crate::test_help();
        assert!(!help.contains('{') && help.contains("as root on Debian"), "{help}");
        for package in super::names() {
            assert!(help.contains(package), "{package}: {help}");
        }
    }
}
