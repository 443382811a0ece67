//! The time service as a newcomer meets it: what `banto time`, `banto status` and `chronyc` say, and whether the commands that they
//! show do what is promised.
//!
//! Every daemon here measures only (`-x`), in a folder of its own, on loopback.
#![forbid(unsafe_code)]

use compliance::house::words_of;
use compliance::{Chronyd, House, Side, banto, stock_or_skip};
use std::path::Path;
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

/// `chronyc WORDS` typed at a terminal in a folder, and what is shown.
fn at_terminal(folder: &Path, house: Option<&Path>, words: &str) -> String {
    let line = format!("{} chronyc {words}", banto().display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(folder).env("SHELL", "/bin/sh");
    command.env_remove("BANTO_DIR").stdin(Stdio::null());
    house.map(|dir| command.env("BANTO_DIR", dir));
    let output = command.output().expect("script starts");
    words_of(&output).replace('\r', "")
}

/// Goal: where no daemon answers at the usual place, or at the one that was named, and a house runs in `./banto-data` or where BANTO_DIR
/// says, the words that were typed are shown pointed at it, and that works; a house that does not run is started by what is shown; a
/// program's standard output stays chrony's, without a word on the other stream.
#[test]
fn chronyc_points_at_the_house_that_is_there() {
    let Some(_) = stock_or_skip("script") else { return };
    let house = House::furnished();
    let folder = house.dir().path();
    std::os::unix::fs::symlink("h", folder.join("banto-data")).expect("a link can be made");
    let port = compliance::free_port().to_string();
    let there = format!("-n -h 127.0.0.1 -p {port} tracking");
    let said = at_terminal(folder, None, &there);
    assert!(said.starts_with("506 Cannot talk to daemon\n") && said.contains("help: banto up\n"), "{said}");
    let root = house.root().display().to_string();
    let said = at_terminal(folder, Some(&house.root()), "tracking");
    assert!(said.contains(&format!("help: banto --dir {} up\n", "./banto-data")), "{said}");
    let said = at_terminal(house.dir().path().parent().expect("it has one"), Some(&house.root()), "tracking");
    assert!(said.contains(&format!("help: banto --dir {root} up\n")), "{said}");

    let _timed = house.start("timed", &["-x"]);
    house.pid("timed");
    let said = at_terminal(folder, None, &there);
    let help = "help: banto --dir ./banto-data chronyc -n tracking\n";
    assert!(said.starts_with("506 Cannot talk to daemon\n") && said.ends_with(help), "{said}");
    let typed: Vec<&str> = help.split_whitespace().skip(2).collect();
    let output = Command::new(banto()).args(typed).current_dir(folder).output().expect("banto starts");
    assert!(output.status.success() && words_of(&output).contains("Stratum"), "{output:?}");
    let said = at_terminal(folder, Some(&house.root()), &there);
    assert!(said.ends_with(help), "{said}");

    let mut command = Command::new(banto());
    command.args(["chronyc", "-n", "-h", "127.0.0.1", "-p", &port, "tracking"]).current_dir(folder);
    let output = command.env_remove("BANTO_DIR").output().expect("banto starts");
    assert_eq!(words_of(&output), "506 Cannot talk to daemon\n");
}
