//! The time service as a newcomer meets it: what `banto time`, `banto status` and `chronyc` say, and whether the commands that they
//! show do what is promised.
//!
//! Every daemon here measures only (`-x`), in a folder of its own, on loopback.
#![forbid(unsafe_code)]

use compliance::house::words_of;
use compliance::{Chronyd, Side, banto};
use std::process::{Command, Output, Stdio};

/// `banto --dir FOLDER time WORDS`, where a daemon of ours lives in that folder.
fn time(daemon: &Chronyd, words: &[&str]) -> Output {
    let mut command = Command::new(banto());
    command.arg("--dir").arg(daemon.folder().path()).arg("time").args(words);
    command.env("LC_ALL", "C.UTF-8").env_remove("BANTO_DIR").stdin(Stdio::null());
    command.output().expect("banto starts")
}

/// What it prints, where it succeeds.
fn said(daemon: &Chronyd, words: &[&str]) -> String {
    let output = time(daemon, words);
    assert!(output.status.success(), "{words:?}: {}", words_of(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A daemon that follows a server of stratum 3; with that server.
fn following() -> (Chronyd, Chronyd) {
    let (server, port) = Chronyd::server(Side::Ours, "");
    let line = format!("server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0");
    let daemon = Chronyd::client(Side::Ours, &line).read_by(Side::Ours);
    daemon.synchronised();
    (server, daemon)
}

/// Goal: a daemon that only measures says so before anything else, for nothing that is done to its sources would help.
#[test]
fn who_only_measures_says_so_first() {
    let (_server, daemon) = following();
    let output = time(&daemon, &["set", "2025-01-01 00:00:00"]);
    let text = words_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("only measures the clock and never sets it"), "{text}");
    assert!(!text.contains("help") && !text.contains("follows"), "{text}");
}

/// Goal: the line that `time set` shows where a source is followed makes the daemon follow nothing, which `offline` alone does not,
/// and `online` brings the source back.
#[test]
fn the_line_of_time_set_ends_the_following() {
    let (_server, daemon) = following();
    assert!(daemon.chronyc(&["offline"]).contains("200 OK"));
    assert!(daemon.is_synchronised(), "offline alone does");
    let said = daemon.chronyc(&["-m", "offline", "reset sources"]);
    assert_eq!(said, "200 OK\n200 OK\n");
    assert!(!daemon.is_synchronised(), "{}", daemon.chronyc(&["sources"]));
    let explained = self::said(&daemon, &["explain"]);
    assert!(explained.contains("it is offline"), "{explained}");
    assert!(daemon.chronyc(&["online"]).contains("200 OK"));
    daemon.synchronised();
}
