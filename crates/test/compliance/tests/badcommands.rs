//! Command lines, right ones and wrong ones: what is said, in which words and with which exit code.
//!
//! Always the same expectations: every mistake is told with a help that can be followed, and nothing panics.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::house::{no_panic, words_of};
use compliance::{House, banto, eventually, stock_or_skip};
use control::Value;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// Goal: every verb explains itself with its options and exit codes, and a house is found by `BANTO_DIR`; where none is, it is said how
/// to name one.
#[test]
fn verbs_explain_themselves() {
    let house = House::furnished();
    for (verb, option) in [
        ("up", "--control-clock"),
        ("status", "--json"),
        ("doctor", "--strict"),
        ("tour", "--yes"),
        ("check", "--dir"),
        ("reload", "webd"),
    ] {
        let output = house.call(verb, &["--help"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{verb}: {output:?}");
        assert!(said.starts_with("usage: banto [--dir DIR] ") && said.contains(option), "{verb}: {said}");
        assert!(said.contains("exit codes: 0 ") && said.contains("64 wrong command line"), "{verb}: {said}");
    }
    let elsewhere = |words: &[&str], dir: Option<&Path>| {
        let mut command = Command::new(banto());
        command.args(words).current_dir(house.dir().path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command.env("BANTO_CLOCK_READ_ONLY", "1").env_remove("BANTO_DIR");
        dir.map(|dir| command.env("BANTO_DIR", dir));
        command.output().expect("banto starts")
    };
    let output = elsewhere(&["status"], None);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words_of(&output).contains("help: say where it is: banto --dir DIR status (or BANTO_DIR=DIR)\nhelp: or start one here: banto up\n"),
        "{output:?}"
    );
    let output = elsewhere(&["check"], Some(&house.root()));
    assert!(output.status.success() && words_of(&output).contains("h/etc/main.cf"), "{output:?}");
    // A program of the trade finds the house by it as well.
    let output = elsewhere(&["logger", "x"], Some(&house.root()));
    let socket = house.file("run/dev-log").display().to_string();
    assert!(words_of(&output).contains(&socket), "{output:?}");
}

/// Goal: `banto reload` prints what each daemon says; one that refuses decides the exit code, and its mistakes are told one record each.
#[test]
fn reload_prints_each_answer() {
    let house = House::furnished();
    let _up = house.up();
    let output = house.call("reload", &[]);
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for name in
        ["timed (chronyd): reloaded", "logd: reloaded", "maild: reloaded", "alertd: reloaded", "webd: "]
    {
        assert!(said.contains(name), "{name} is missing in:\n{said}");
    }
    // Once told of a reload, the log says once that its files were opened.
    house.ask("logd", "sync").expect("it is written");
    assert_eq!(house.journal().matches("Log files reopened").count(), 1, "{}", house.journal());
    let output = house.call("reload", &["webd"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let good = house.text("etc/main.cf");
    house.write("etc/main.cf", &format!("{good}\nmessage_size_limit = many\nqueue_run_delay = soon\n"));
    let output = house.call("reload", &["maild"]);
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("maild has not reloaded") && said.contains("many") && said.contains("soon"),
        "{said}"
    );
    // By SIGHUP nobody is there to be told: the log is.
    sys::signal::send(u32::try_from(house.pid("maild")).expect("an id"), sys::signal::HUP).expect("it runs");
    let records = || {
        let output = house.call("journalctl", &["-o", "json", "BANTO_EVENT=configuration.refused"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = text.lines().filter_map(|line| line.parse::<Value>().ok());
        messages
            .map(|record| record["MESSAGE"].as_str().unwrap_or("(no text)").to_owned())
            .collect::<Vec<_>>()
    };
    let told = || records().iter().any(|message| message.contains("the old settings stay in use"));
    assert!(eventually(PATIENCE, told), "{:?}", records());
    let records = records();
    let places =
        records.iter().filter(|message| message.starts_with("error") && message.contains("main.cf:"));
    assert_eq!(places.count(), 2, "{records:?}");
    assert!(records.iter().all(|message| !message.contains('\n')), "{records:?}");
}

/// Goal: `banto check` looks into chrony's `*.sources` and users' `.forward` files, and says no word of another language.
#[test]
fn check_reads_what_users_and_other_programs_write() {
    let house = House::furnished();
    let folder = house.dir().join("sources");
    house.dir().write("sources/dhcp.sources", "server ok.example iburst\nsrver bad.example\n");
    let chrony = house.text("etc/chrony.conf");
    house.write("etc/chrony.conf", &format!("{chrony}\nsourcedir {}\n", folder.display()));
    house.dir().write("forwards/root", "# kept\n\\root, \"|unclosed\n");
    let main = house.text("etc/main.cf");
    let forward = house.dir().join("forwards/$user");
    house.write("etc/main.cf", &format!("{main}\nforward_path = {}\n", forward.display()));
    let output = house.call("check", &[]);
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(0), "warnings are no mistakes of the house:\n{said}");
    assert!(said.contains("dhcp.sources:2") && said.contains("srver"), "{said}");
    assert!(said.contains("forwards/root:2"), "{said}");
    assert!(said.contains("no error; warnings are above") && said.contains("no mistake"), "{said}");
    let output = house.prepared("check", &[]).env("LC_ALL", "ja_JP.UTF-8").output().expect("banto starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("間違いなし") && !words_of(&output).contains("is fine"), "{output:?}");
}

/// Goal: `banto check` names files and keys that the time daemon will not find, with their lines, and `banto reload` says which
/// source it does not ask.
#[test]
fn check_finds_what_the_clock_will_lack() {
    let house = House::furnished();
    let chrony = house.text("etc/chrony.conf");
    let first = chrony.lines().count() + 1;
    let lines = "keyfile /nonexistent/keys\nntsservercert /nonexistent/crt\nntsserverkey /nonexistent/key\n\
                 ntstrustedcerts /nonexistent/ca\nsourcedir /nonexistent/s\nconfdir /nonexistent/c\n";
    house.write("etc/chrony.conf", &format!("{}\n{lines}", chrony.trim_end()));
    let output = house.call("check", &[]);
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for (number, line) in lines.lines().enumerate() {
        let place = format!("chrony.conf:{}:1", first + number);
        let (name, path) = line.split_once(' ').expect("two words");
        let found = said.split("\n\n").find(|one| one.contains(&format!("{name} {path}")));
        assert!(found.is_some_and(|one| one.contains(&place) && one.contains("help: ")), "{line}: {said}");
    }
    house.write("etc/keys", "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n");
    let keys = house.file("etc/keys").display().to_string();
    house.write("etc/chrony.conf", &format!("{chrony}\nkeyfile {keys}\nserver 127.0.0.9 key 5\n"));
    let said = words_of(&house.call("check", &[]));
    assert!(said.contains(&format!("the key file {keys} has no key 5")), "{said}");
}

/// Goal: a record cannot command the terminal of who reads it with `-o cat`; a file or a pipe gets every byte.
#[test]
fn cat_output_commands_no_terminal() {
    if compliance::stock_or_skip("script").is_none() {
        return;
    }
    let house = House::furnished();
    let _logd = house.start("logd", &[]);
    house.pid("logd");
    house.log("cleared \u{1b}[2J\u{1b}]0;title\u{7} and \u{1b}[31mred\u{1b}[0m");
    house.ask("logd", "sync").expect("it is written");
    assert!(house.journal().contains("cleared \u{1b}[2J\u{1b}]0;title\u{7} and \u{1b}[31mred\u{1b}[0m"));
    let line =
        format!("{} --dir {} journalctl -o cat -t bad --no-pager", banto().display(), house.root().display());
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null());
    let output = command.output().expect("script starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("cleared ^[[2J^[]0;title^G and \u{1b}[31mred\u{1b}[0m"), "{said:?}");
}

/// Goal: a wrong command line, or a daemon that does not run, is answered by what is wrong and what to type, with the trade's exit
/// code, and never by a panic. Columns: the command line, its exit code, a part of the cause, a part of what to type.
#[test]
fn wrong_commands_are_explained() {
    const ROWS: &[(&str, i32, &str, &str)] = &[
        ("chronyd --bogus", 1, "unknown option --bogus", "chronyd --help"),
        ("chronyd -f", 1, "-f needs a value", "-f FILE"),
        ("chronyc --bogus", 1, "invalid option", "Usage: chronyc"),
        ("chronyc tracking", 1, "Could not open connection to daemon", "help: banto --dir /"),
        (
            "chronyc -h B/sock tracking",
            1,
            "'B/sock' is no host, and the path of a socket must begin with '/'",
            "help: -h /",
        ),
        (
            "chronyc -p PORT local stratum 50",
            1,
            "'50' is not a stratum (1 to 15)",
            "[orphan] [activate SECONDS]",
        ),
        ("chronyc -p PORT local stratum", 1, "lacks a stratum", "help: local stratum 10"),
        (
            "chronyc -p PORT local startum 5",
            1,
            "unknown option 'startum' of local",
            "did you mean 'stratum'?",
        ),
        ("chronyc -p PORT cmdallow fr_og", 1, "Could not read address", "help: cmdallow [<subnet>]"),
        ("chronyc -p PORT cmddeny fr_og", 1, "Could not read address", "help: cmddeny [<subnet>]"),
        ("chronyc -p PORT deny fr_og", 1, "Could not read address", "help: deny [<subnet>]"),
        ("chronyc -p PORT cmdaccheck fr_og", 1, "Could not read address", "help: cmdaccheck <address>"),
        ("chronyc -p PORT offline 1/2/3", 1, "Invalid syntax for mask/address", "help: offline "),
        ("chronyc -p PORT add server a minpoll x", 1, "<command>:1:22", "help: add server a minpoll 6"),
        ("chronyc -p PORT add pool", 1, "lacks a host name", "help: add pool ntp.example.net iburst"),
        ("chronyd -f /nonexistent/a.conf", 1, "cannot read /nonexistent/a.conf", "ls /nonexistent"),
        ("chronyc -p PORT nosuch", 1, "Unrecognized command", "help"),
        ("chronyc -p PORT waitsync abc", 1, "Invalid syntax for waitsync", "waitsync [<max-tries>"),
        ("rsyslogd --bogus", 1, "--bogus", "rsyslogd -h"),
        ("journald --bogus", 1, "no option --bogus", "journald.conf"),
        ("journalctl --no-such-option", 1, "unrecognized option '--no-such-option'", "journalctl --help"),
        ("journalctl -p bogus", 1, "Unknown log level bogus", "emerg alert crit"),
        ("journalctl -o bogus", 1, "Unknown output format", "short"),
        ("journalctl -u", 1, "requires an argument", "--unit=UNIT"),
        ("journalctl --since never", 1, "Failed to parse timestamp", "yesterday"),
        ("journalctl --sync", 1, "nobody answers", "banto --dir DIR up"),
        ("journalctl --file /etc/passwd", 1, "no journal", "--verify"),
        ("logger --bogus", 1, "unrecognized option", "logger --help"),
        ("logger -p bogus.err x", 1, "unknown facility name: bogus", "logger --help"),
        ("logger x", 1, "No such file", "banto --dir DIR up"),
        ("systemd-cat --bogus", 1, "unrecognized option", "systemd-cat --help"),
        ("systemd-cat -p bogus true", 1, "bogus", "0 to 7"),
        ("systemd-cat true", 1, "No such file", "is the log daemon running"),
        ("sendmail", 64, "Recipient addresses must be specified", "sendmail root"),
        ("sendmail --bogus", 64, "invalid option", "sendmail [-t]"),
        ("sendmail -f", 64, "option -f needs a value", "-f"),
        ("sendmail -t", 64, "No recipient addresses", "To: root"),
        ("sendmail -bz root", 64, "unsupported: -bz", "sendmail -b"),
        ("postqueue -f", 69, "mail system is down", "banto --dir DIR up"),
        ("postqueue", 64, "usage: postqueue", "postqueue -p"),
        ("mail -s", 1, "option -s needs a value", "usage: mail"),
        ("mail --bogus", 1, "invalid option", "usage: mail"),
        ("mail -f /nonexistent", 1, "/nonexistent", "No such file"),
        ("maild --bogus", 64, "unknown argument `--bogus`", "maild [--check"),
        ("alertd --bogus", 64, "unknown argument `--bogus`", "alertd [--check]"),
        ("webd --bogus", 64, "unknown argument `--bogus`", "webd [--check]"),
        ("up --bogus", 64, "`--bogus` is no option of banto up", "banto up [--control-clock] [--init-only]"),
        ("up --dir", 64, "`--dir` needs a value", "banto --dir"),
        ("check --bogus", 64, "`--bogus` is no option of banto check", "help: banto check"),
        ("status", 1, "no house is up", "banto up"),
        ("doctor", 1, "no house is up", "banto up"),
        ("tour", 1, "no house is up", "banto up"),
        ("reload", 1, "no house is up", "banto up"),
        ("reload nosuch", 64, "`nosuch` is no daemon of the house", "banto reload"),
        ("reload --bogus", 64, "`--bogus` is no option of banto reload", "timed | logd"),
        ("jurnalctl", 64, "there is no `jurnalctl`", "journalctl"),
    ];
    let house = House::furnished();
    for (line, code, cause, help) in ROWS {
        let line = line.replace("PORT", &house.command.to_string());
        let words: Vec<&str> = line.split(' ').collect();
        let output = house.call(words[0], &words[1..]);
        let said = words_of(&output);
        no_panic(&said);
        assert_eq!(output.status.code(), Some(*code), "{line}:\n{said}");
        assert!(
            said.contains(cause) && said.contains(help),
            "{line}: `{cause}` or `{help}` is missing in:\n{said}"
        );
    }
}

/// Goal: where no daemon answers `chronyc`, a person at a terminal reads what to type, and a program that reads both streams gets
/// chronyc's own words and nothing else.
#[test]
fn a_silent_daemon_is_explained_at_a_terminal() {
    let Some(script) = stock_or_skip("script") else { return };
    let house = House::furnished();
    let port = house.command.to_string();
    let output = house.call("chronyc", &["-p", &port, "tracking"]);
    assert_eq!(words_of(&output).trim(), "506 Cannot talk to daemon");
    let line = format!("{} chronyc -p {port} tracking", banto().display());
    let output = Command::new(script).args(["-qec", &line, "/dev/null"]).env("SHELL", "/bin/sh").output();
    let output = output.expect("script starts");
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("506 Cannot talk to daemon") && said.contains("help: banto up"), "{said}");
}
