//! The time service as a newcomer meets it: what `banto time`, `banto status` and `chronyc` say, and whether the commands that they
//! show do what is promised.
//!
//! Every daemon here measures only (`-x`), in a folder of its own, on loopback.
#![forbid(unsafe_code)]

use compliance::house::words_of;
use compliance::{Chronyd, House, Side, banto, eventually, stock_or_skip};
use control::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// Longer than a name server that does not answer is waited for.
const PATIENCE: Duration = Duration::from_secs(25);

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

/// The same read as JSON.
fn json(daemon: &Chronyd, words: &[&str]) -> Value {
    serde_json::from_str(&said(daemon, words)).expect("it is JSON")
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
    // Neither the reports, nor who waits, nor clients are told that the clock still goes by it.
    let tracking = daemon.chronyc(&["tracking"]);
    assert!(tracking.contains("Reference ID    : 00000000 ()\n"), "{tracking}");
    assert!(tracking.contains("Leap status     : Not synchronised\n"), "{tracking}");
    let waited = daemon.chronyc(&["waitsync", "1", "0", "0", "0.1"]);
    assert!(waited.starts_with("try: 1, refid: 00000000, "), "{waited}");
    let explained = self::said(&daemon, &["explain"]);
    let folder = daemon.folder().path().display();
    let again =
        format!("it is offline. To ask it again: {} --dir {folder} chronyc online\n", banto().display());
    assert!(explained.contains(&again), "{explained}");
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

    // In the foreground, so that it ends with this test.
    let _timed = house.start("timed", &["-x", "-d"]);
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

/// Goal: of a clock that follows nothing, or only itself, no offset, no bound and no frequency is claimed, and no scale is drawn: words say
/// what is missing and when it comes, for a terminal and for a drawing.
#[test]
fn what_is_not_known_is_not_said() {
    let daemon = Chronyd::client(Side::Ours, "server 127.0.0.1 port 9").read_by(Side::Ours);
    let own = Chronyd::client(Side::Ours, "local stratum 5").read_by(Side::Ours);
    for (daemon, follows) in [(&daemon, "nothing"), (&own, "local")] {
        let told = json(daemon, &["status", "--json"]);
        assert_eq!(told["follows"], follows, "{told}");
        for name in ["clock_offset_seconds", "error_bound_seconds", "frequency_ppm"] {
            assert_eq!(told.get(name), Some(&Value::Null), "{name}: {told}");
        }
        let text = said(daemon, &["status"]);
        assert!(text.starts_with("not synchronised") && !text.contains("ppm"), "{text}");
        for words in [&["plot"][..], &["plot", "--svg"], &["plot", "--svg", "/nonexistent/x.svg"]] {
            let output = time(daemon, words);
            let text = words_of(&output);
            assert_eq!(output.status.code(), Some(1), "{text}");
            assert!(
                text.contains("nothing is known of the clock yet") && text.contains("every 30 s"),
                "{text}"
            );
            assert!(text.contains(" time explain\n") && output.stdout.is_empty(), "{text}");
        }
    }
    assert!(said(&own, &["status"]).contains("as stratum 5"));
}

/// Goal: a clock that follows a server says whose stratum is meant, what its oscillator makes a day, and is drawn for a browser to standard
/// output and into a file, with the host's name and what is up; a file that cannot be written is named.
#[test]
fn what_is_known_is_said_in_plain_words() {
    let (_server, daemon) = following();
    let told = json(&daemon, &["status", "--json"]);
    for name in ["clock_offset_seconds", "error_bound_seconds", "frequency_ppm"] {
        assert!(told[name].is_f64(), "{name}: {told}");
    }
    let text = said(&daemon, &["status"]);
    assert!(text.contains("follows 127.0.0.1 (its stratum 3; ours is 4)"), "{text}");
    assert!(text.contains(" ppm off: the clock ") && text.contains(" s a day"), "{text}");
    assert!(!text.contains("asked: "), "{text}");
    assert!(said(&daemon, &["explain"]).contains("its stratum 3"));
    let mut drawn = String::new();
    let came = eventually(PATIENCE + Duration::from_secs(20), || {
        let output = time(&daemon, &["plot", "--svg"]);
        drawn = words_of(&output);
        output.status.success()
    });
    assert!(came && drawn.starts_with("<svg "), "{drawn}");
    let host = sys::host::hostname();
    assert!(
        drawn.contains(&format!("<title>{host}: ")) && drawn.contains("up: the clock is fast"),
        "{drawn}"
    );
    let file = daemon.folder().join("day.svg");
    let text = said(&daemon, &["plot", "--svg", &file.display().to_string()]);
    assert_eq!(text, format!("written: {}\n", file.display()));
    let written = std::fs::read_to_string(&file).expect("it is there");
    assert!(written.starts_with("<svg ") && written.ends_with("</svg>\n"), "{written}");
    let output = time(&daemon, &["plot", "--svg", "/nonexistent/x.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(words_of(&output).contains("/nonexistent/x.svg: No such file"), "{output:?}");
}

/// Goal: a wrong word of `banto time` is named, with what was likely meant and the usage.
#[test]
fn wrong_words_of_time_are_named() {
    let folder = compliance::TempDir::new();
    for (words, error, help) in [
        (&["frog"][..], "error: `frog` is nothing that banto time does\n", ""),
        (&["plto"], "error: `plto` is nothing", "help: banto time plot\n"),
        (
            &["status", "--jsn"],
            "error: `--jsn` is no option of banto time status\n",
            "help: banto time status --json\n",
        ),
        (
            &["plot", "--csv"],
            "error: `--csv` is no option of banto time plot\n",
            "help: banto time plot --svg\n",
        ),
        (
            &["set"],
            "error: `banto time set` needs a time\n",
            "help: banto time set \"2025-01-01 00:00:00\"\n",
        ),
        (&[], "usage: banto", "plot --svg > FILE"),
    ] {
        let mut command = Command::new(banto());
        command.arg("--dir").arg(folder.path()).arg("time").args(words).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("banto starts");
        let said = words_of(&output);
        assert_eq!(output.status.code(), Some(64), "{words:?}: {said}");
        assert!(said.starts_with(error) && said.contains(help), "{words:?}: {said}");
        assert!(said.contains("usage: banto [--dir DIR] time "), "{words:?}: {said}");
    }
}

/// Goal: a pool whose name has no address yet is one name without an address, wherever it is told, and no servers that do not answer.
#[test]
fn a_pool_without_an_address_is_one_name() {
    let house = House::furnished();
    let text = house.text("etc/chrony.conf") + "\npool none.invalid iburst\n";
    house.write("etc/chrony.conf", &text);
    let up = house.up();
    let ready = || house.said().contains("Ready after");
    assert!(eventually(PATIENCE, ready), "{}", house.said());
    let read = |name: &str, words: &[&str]| {
        let output = house.call(name, words);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = read("status", &[]);
    assert_eq!(said.matches("none.invalid").count(), 1, "{said}");
    assert!(said.contains("none.invalid  has no address yet\n") && !said.contains("no answer yet"), "{said}");
    let told: Value = serde_json::from_str(&read("status", &["--json"])).expect("it is JSON");
    assert_eq!(told["clock"]["unresolved"], control::json!(["none.invalid"]), "{told}");
    assert_eq!(told["clock"]["sources"], control::json!([]), "{told}");
    let told: Value = serde_json::from_str(&read("time", &["status", "--json"])).expect("it is JSON");
    assert_eq!(told["unresolved"], control::json!(["none.invalid"]), "{told}");
    assert_eq!(told["sources"], control::json!([]), "{told}");
    for words in ["status", "explain"] {
        let said = read("time", &[words]);
        assert_eq!(said.matches("none.invalid has no address yet").count(), 1, "{words}: {said}");
    }
    let said = read("doctor", &[]);
    assert!(said.contains("not synchronised: no address yet of none.invalid; records say so"), "{said}");
    let root = house.root().display().to_string();
    let help = format!("help: see which: {} --dir {root} chronyc -N sources -a\n", banto().display());
    assert!(said.contains(&help), "{said}");
    assert!(said.contains(&format!("help: name reachable servers in {root}/etc/chrony.conf\n")), "{said}");
    // Where nobody names a house the one that is up here answers, and that is told.
    std::os::unix::fs::symlink("h", house.dir().join("banto-data")).expect("a link can be made");
    for words in ["status", "explain"] {
        let mut command = Command::new(banto());
        command.args(["time", words]).current_dir(house.dir().path()).env("LC_ALL", "C.UTF-8");
        let output = command.env_remove("BANTO_DIR").output().expect("banto starts");
        let asked = format!("asked: the daemon at {root}/run/timed.ctl\n");
        assert!(words_of(&output).ends_with(&asked), "{output:?}");
    }
    let mut up = up;
    assert_eq!(up.end(), Some(0), "{}", house.said());
}
