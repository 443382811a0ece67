//! Syslog and the journal's sockets with real programs: util-linux's `logger`, rsyslogd, `journalctl`.
//!
//! `BANTO_UNDER_TEST=stock` puts the stock program where ours stands; what only ours has (the journal beside the rules) is skipped then.
#![forbid(unsafe_code)]

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::{Running, Side, TempDir, eventually, free_port, skip, stock_or_skip, under_test};

/// How long anything may take before a test fails; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A call of `name` of a side; none (and said) where the stock one is missing. Ours runs in the house `folder`.
fn program(side: Side, name: &str, folder: &Path) -> Option<Command> {
    match side {
        Side::Stock => stock_or_skip(name).map(Command::new),
        Side::Ours => {
            let mut command = Command::new(compliance::banto());
            command.arg("--dir").arg(folder).arg(name).env("BANTO_CLOCK_READ_ONLY", "1");
            Some(command)
        }
    }
}

/// A running rsyslogd of a side.
struct Rsyslogd {
    running: Running,
    folder: TempDir,
    side: Side,
}

impl Rsyslogd {
    fn start(side: Side, configuration: &str) -> Option<Self> {
        let folder = TempDir::new();
        std::fs::create_dir_all(folder.join("work")).expect("a folder");
        let text = configuration.replace("FOLDER", &folder.path().display().to_string());
        folder.write("rsyslog.conf", text);
        let running = Self::run(side, &folder)?;
        Some(Self { running, folder, side })
    }

    fn run(side: Side, folder: &TempDir) -> Option<Running> {
        let mut command = program(side, "rsyslogd", folder.path())?;
        command.arg("-n").arg("-C").arg("-f").arg(folder.join("rsyslog.conf"));
        command.arg("-i").arg(folder.join("pid")).stdin(Stdio::null()).stderr(Stdio::null());
        Some(Running::start(&mut command))
    }

    fn restart(&mut self) {
        self.running = Self::run(self.side, &self.folder).expect("it was there before");
    }

    fn lines(&self, file: &str) -> Vec<String> {
        let text = std::fs::read(self.folder.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }
}

fn connect(port: u16) -> TcpStream {
    let mut stream = None;
    let connected = eventually(PATIENCE, || {
        stream = TcpStream::connect(("127.0.0.1", port)).ok();
        stream.is_some()
    });
    assert!(connected, "nobody listens on port {port}");
    stream.expect("connected")
}

/// Goal: every way in which `logger` sends arrives with its meaning. Method: each row is one call and the line that a receiver with a
/// fixed template must write for it.
fn logger_is_understood(sender: Side, receiver: Side) {
    let port = free_port();
    let configuration = format!(
        "module(load=\"imudp\")\nmodule(load=\"imtcp\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
         input(type=\"imuxsock\" Socket=\"FOLDER/log.sock\")\n\
         $template shape,\"%pri%|%programname%|%procid%|%msgid%|%msg:::drop-last-lf%\\n\"\n\
         *.* FOLDER/out;shape\n"
    );
    let Some(daemon) = Rsyslogd::start(receiver, &configuration) else { return };
    drop(connect(port));
    let socket = daemon.folder.join("log.sock");
    assert!(eventually(PATIENCE, || socket.exists()), "the socket was not made");
    let port = port.to_string();
    let socket = socket.display().to_string();
    let tcp = ["-n", "127.0.0.1", "-T", "-P", &port];
    let udp = ["-n", "127.0.0.1", "-d", "-P", &port];
    let unix = ["-u", &socket];
    // Where to, what, and the line; a traditional message keeps the space before its text.
    let rows: [(&[&str], &[&str], &str); 9] = [
        (&udp, &["-t", "a", "--rfc3164", "udp", "old"], "13|a|-|-| udp old"),
        (&udp, &["-t", "b", "-p", "local3.err", "--id=77", "udp new"], "155|b|77|-|udp new"),
        (&udp, &["-t", "c", "--msgid", "ID47", "with id"], "13|c|-|ID47|with id"),
        (&tcp, &["-t", "d", "--rfc3164", "tcp old"], "13|d|-|-| tcp old"),
        (&tcp, &["-t", "e", "-p", "mail.warning", "tcp new"], "20|e|-|-|tcp new"),
        (&tcp, &["-t", "f", "--octet-count", "tcp counted"], "13|f|-|-|tcp counted"),
        (&tcp, &["-t", "g", "--octet-count", "--rfc3164", "counted old"], "13|g|-|-| counted old"),
        (&unix, &["-t", "h", "--id=99", "unix"], "13|h|99|-| unix"),
        (&unix, &["-t", "i", "-p", "daemon.debug", "unix two"], "31|i|-|-| unix two"),
    ];
    for (to, words, _) in &rows {
        let Some(mut logger) = program(sender, "logger", daemon.folder.path()) else { return };
        let status = logger.args(*to).args(*words).status().expect("logger runs");
        assert!(status.success(), "logger {to:?} {words:?}");
    }
    let expected: Vec<&str> = rows.iter().map(|row| row.2).collect();
    let arrived = || -> Vec<String> {
        // What the daemon says of itself is not the matter here.
        daemon.lines("out").into_iter().filter(|line| !line.contains("|rsyslogd|")).collect()
    };
    let complete = eventually(PATIENCE, || arrived().len() >= expected.len());
    let mut arrived = arrived();
    arrived.sort_by_key(|line| line.split('|').nth(1).map(str::to_owned));
    assert!(complete, "arrived only: {arrived:#?}");
    assert_eq!(arrived, expected);
}

#[test]
fn stock_logger_is_understood() {
    logger_is_understood(Side::Stock, under_test());
}

#[test]
fn our_logger_is_understood_by_stock_rsyslogd() {
    logger_is_understood(under_test(), Side::Stock);
}

/// Goal: forwarding over TCP loses no line when the receiver is restarted in the middle. A line may come twice (nobody acknowledges in
/// plain syslog). Method: numbered lines through a forwarder, slowly enough that the restart falls between them.
fn forwarding_survives_a_restart(sender: Side, receiver: Side) {
    const LINES: usize = 3000;
    let (entry, exit) = (free_port(), free_port());
    let receiving = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{exit}\")\n\
         $template shape,\"%msg:::drop-last-lf%\\n\"\n:programname, isequal, \"number\" FOLDER/out;shape\n"
    );
    let sending = format!(
        "$WorkDirectory FOLDER/work\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{entry}\")\n\
         $ActionQueueType LinkedList\n$ActionQueueSize 100000\n$ActionResumeRetryCount -1\n$ActionResumeInterval 1\n\
         :programname, isequal, \"number\" @@127.0.0.1:{exit}\n"
    );
    let Some(mut receiver) = Rsyslogd::start(receiver, &receiving) else { return };
    drop(connect(exit));
    let Some(_sender) = Rsyslogd::start(sender, &sending) else { return };
    let mut stream = connect(entry);
    for number in 0..LINES {
        if number == LINES / 3 {
            // It has received something, and more is on its way.
            assert!(eventually(PATIENCE, || !receiver.lines("out").is_empty()), "nothing was forwarded");
            receiver.running.end();
        }
        if number == 2 * LINES / 3 {
            receiver.restart();
        }
        writeln!(stream, "<14>Nov 22 16:01:00 host number: {number}").expect("the forwarder takes lines");
        if number % 100 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let missing = || -> Vec<usize> {
        let lines = receiver.lines("out");
        let have: std::collections::HashSet<usize> =
            lines.iter().filter_map(|line| line.trim().parse().ok()).collect();
        (0..LINES).filter(|number| !have.contains(number)).collect()
    };
    eventually(PATIENCE, || missing().is_empty());
    let missing = missing();
    assert!(missing.is_empty(), "{} lines are missing, the first is {:?}", missing.len(), missing.first());
}

#[test]
fn our_forwarding_survives_a_restart_of_stock_rsyslogd() {
    if under_test() == Side::Stock {
        return skip(
            "between two stock daemons hundreds of these lines are lost; what is tested here is ours",
        );
    }
    forwarding_survives_a_restart(under_test(), Side::Stock);
}

#[test]
fn stock_forwarding_survives_a_restart_of_ours() {
    if under_test() == Side::Stock {
        return skip(
            "between two stock daemons hundreds of these lines are lost; what is tested here is ours",
        );
    }
    forwarding_survives_a_restart(Side::Stock, under_test());
}

#[test]
fn our_forwarding_survives_a_restart_of_ours() {
    forwarding_survives_a_restart(Side::Ours, Side::Ours);
}

/// Goal: what waits for a receiver that is away survives a restart of the sender.
#[test]
fn a_queue_survives_a_restart_of_its_daemon() {
    let (entry, exit) = (free_port(), free_port());
    let sending = format!(
        "$WorkDirectory FOLDER/work\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{entry}\")\n\
         :programname, isequal, \"number\" @@127.0.0.1:{exit}\n:programname, isequal, \"number\" FOLDER/local\n"
    );
    let mut sender = Rsyslogd::start(Side::Ours, &sending).expect("ours is there");
    let mut stream = connect(entry);
    for number in 0..500 {
        writeln!(stream, "<14>Nov 22 16:01:00 host number: {number}").expect("lines are taken");
    }
    drop(stream);
    assert!(eventually(PATIENCE, || sender.lines("local").len() == 500), "not taken in");
    assert_eq!(sender.running.end(), Some(0));
    let receiving = format!(
        "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{exit}\")\n\
         $template shape,\"%msg:::drop-last-lf%\\n\"\n:programname, isequal, \"number\" FOLDER/out;shape\n"
    );
    let receiver = Rsyslogd::start(Side::Ours, &receiving).expect("ours is there");
    drop(connect(exit));
    sender.restart();
    assert!(
        eventually(PATIENCE, || receiver.lines("out").len() >= 500),
        "got {}",
        receiver.lines("out").len()
    );
    let expected: Vec<String> = (0..500).map(|number| format!(" {number}")).collect();
    assert_eq!(receiver.lines("out"), expected);
}

/// A running house log daemon: journal and rules.
struct Logd {
    running: Running,
    folder: TempDir,
}

impl Logd {
    fn start() -> Self {
        let folder = TempDir::new();
        folder.write("etc/rsyslog.conf", format!("*.* {}\n", folder.join("all").display()));
        let running = Self::run(&folder);
        let logd = Self { running, folder };
        logd.wait();
        logd
    }

    fn run(folder: &TempDir) -> Running {
        let mut command = Command::new(compliance::banto());
        command.arg("--dir").arg(folder.path()).arg("logd").env("BANTO_CLOCK_READ_ONLY", "1");
        Running::start(command.stdin(Stdio::null()).stderr(Stdio::null()))
    }

    fn wait(&self) {
        assert!(eventually(PATIENCE, || self.ask("ping").is_ok()), "logd does not answer");
    }

    fn ask(&self, verb: &str) -> Result<control::Value, String> {
        let layout = layout::Layout::house(self.folder.path());
        let path = control::socket_path(&layout, "logd");
        let mut client =
            control::Client::connect(&path, Duration::from_secs(10)).map_err(|e| format!("{e:?}"))?;
        client.call(verb, control::json!({})).map_err(|e| format!("{e:?}"))
    }

    fn journal(&self) -> std::path::PathBuf {
        let base = self.folder.join("log/journal");
        let folder =
            std::fs::read_dir(&base).expect("a journal").flatten().next().expect("a machine's folder");
        folder.path()
    }

    fn journalctl(&self, words: &[&str]) -> Option<(bool, String)> {
        let mut command = Command::new(stock_or_skip("journalctl")?);
        let output = command.arg("-D").arg(self.journal()).args(words).output().expect("journalctl runs");
        Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    fn native(&self) -> UnixDatagram {
        let socket = UnixDatagram::unbound().expect("a socket");
        socket.connect(self.folder.join("run/journal.socket")).expect("the native socket is there");
        socket
    }
}

/// Goal: what comes by each of the journal's doors stands in the journal with its fields, stock `journalctl --verify` finds nothing
/// wrong, and the rules have seen it too.
#[test]
fn the_journal_keeps_what_its_sockets_bring() {
    let mut logd = Logd::start();
    let native = logd.native();
    native.send(b"MESSAGE=by datagram\nPRIORITY=3\nSYSLOG_IDENTIFIER=one\nFOO=bar\n_PID=1\n").expect("sent");
    native.send(b"SYSLOG_IDENTIFIER=two\nMESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n").expect("sent");
    let mut large = sys::memfd::create().expect("a memory file");
    let text = "x".repeat(300_000);
    large.write_all(format!("SYSLOG_IDENTIFIER=three\nMESSAGE={text}\n").as_bytes()).expect("written");
    let mut open = sys::memfd::create().expect("a memory file");
    open.write_all(b"SYSLOG_IDENTIFIER=three\nMESSAGE=not sealed\n").expect("written");
    sys::socket::send_descriptor(&native, b"", &open).expect("sent");
    sys::memfd::seal(&large).expect("sealed");
    sys::socket::send_descriptor(&native, b"", &large).expect("sent");
    let mut stream = UnixStream::connect(logd.folder.join("run/journal.stdout")).expect("the stream socket");
    stream.write_all(b"four\n\n5\n1\n0\n0\n0\n<2>by stream\nno end").expect("written");
    drop(stream);
    let log = UnixDatagram::unbound().expect("a socket");
    log.send_to(b"<11>Nov 22 16:01:00 five[7]: by dev-log", logd.folder.join("run/dev-log")).expect("sent");
    let shown = || logd.journalctl(&["-o", "json", "--all"]).map(|(_, text)| text);
    let Some(_) = shown() else { return };
    let complete = eventually(PATIENCE, || {
        let text = shown().unwrap_or_default();
        ["one", "two", "three", "no end", "five"].iter().all(|word| text.contains(word))
    });
    assert!(complete, "the journal shows {:?}", shown());
    let entries: Vec<control::Value> = shown()
        .unwrap_or_default()
        .lines()
        .map(|line| serde_json::from_str(line).expect("journalctl writes JSON"))
        .collect();
    let of = |identifier: &str| -> Vec<&control::Value> {
        entries.iter().filter(|entry| entry["SYSLOG_IDENTIFIER"] == identifier).collect()
    };
    let pid = std::process::id().to_string();
    let one = of("one");
    assert_eq!(one.len(), 1);
    for (field, value) in [
        ("MESSAGE", "by datagram"),
        ("PRIORITY", "3"),
        ("FOO", "bar"),
        ("_PID", pid.as_str()),
        ("_TRANSPORT", "journal"),
        ("_UID", &sys::process::uid().to_string()),
    ] {
        assert_eq!(one[0][field], value, "{field}");
    }
    assert!(one[0]["_CLOCK_SYNCED"] == "0" || one[0]["_CLOCK_SYNCED"] == "1");
    assert!(one[0]["_BOOT_ID"].is_string() && one[0]["_COMM"].is_string());
    assert_eq!(of("two")[0]["MESSAGE"], "two\nlines");
    // The file that could still be changed by its sender was refused and counted.
    assert_eq!(of("three").len(), 1);
    assert_eq!(of("three")[0]["MESSAGE"].as_str().map(str::len), Some(text.len()));
    let four: Vec<_> =
        of("four").iter().map(|entry| (entry["MESSAGE"].clone(), entry["PRIORITY"].clone())).collect();
    assert_eq!(four, [("by stream".into(), "2".into()), ("no end".into(), "5".into())]);
    let five = of("five");
    assert_eq!((&five[0]["SYSLOG_PID"], &five[0]["SYSLOG_FACILITY"]), (&"7".into(), &"1".into()));
    let status = logd.ask("status").expect("a status");
    let lost: u64 =
        status["inputs"].as_array().expect("a list").iter().filter_map(|i| i["lost"].as_u64()).sum();
    assert_eq!(lost, 1, "{status}");
    let rules = std::fs::read_to_string(logd.folder.join("all")).expect("the rules wrote a file");
    for text in ["one", "two#012lines", "by stream", "five[7]: by dev-log"] {
        assert!(rules.contains(text), "{text} is not in: {rules}");
    }
    assert_eq!(logd.running.end(), Some(0));
    let (fine, _) = logd.journalctl(&["--verify"]).expect("it was there before");
    assert!(fine, "journalctl --verify finds damage");
}

/// Goal: what `sync` acknowledged is there after kill -9 at any moment, and the next start repairs without help. Method: numbered
/// records and a `sync` after each ten; a kill after a random time; after each restart every acknowledged number is looked for.
/// `BANTO_KILLS` says how many times (a few by default).
#[test]
fn what_was_synced_survives_kill_9() {
    let kills: usize = std::env::var("BANTO_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let mut logd = Logd::start();
    let mut acknowledged: usize = 0;
    let mut number: usize = 0;
    let mut verified: usize = 0;
    for kill in 0..kills {
        let native = logd.native();
        native.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let lifetime = Duration::from_millis(sys::random::u64() % 300);
        let started = std::time::Instant::now();
        while started.elapsed() < lifetime {
            for _ in 0..10 {
                native
                    .send(format!("MESSAGE=number {number}\nSYSLOG_IDENTIFIER=kill\n").as_bytes())
                    .expect("sent");
                number += 1;
            }
            if logd.ask("sync").is_ok() {
                acknowledged = number;
            }
        }
        logd.running.kill();
        logd.running = Logd::run(&logd.folder);
        logd.wait();
        let Some((_, text)) = logd.journalctl(&["-o", "cat", "-t", "kill"]) else { return };
        let have: std::collections::HashSet<usize> =
            text.lines().filter_map(|line| line.strip_prefix("number ")?.parse().ok()).collect();
        let missing: Vec<usize> = (0..acknowledged).filter(|number| !have.contains(number)).collect();
        assert!(missing.is_empty(), "after kill {kill}: {} of {acknowledged} are missing", missing.len());
        verified += acknowledged;
        acknowledged = 0;
        number = 0;
        // The next round begins with a journal of its own: its numbers begin again.
        assert_eq!(logd.running.end(), Some(0));
        let Some((fine, _)) = logd.journalctl(&["--verify"]) else { return };
        assert!(fine, "journalctl --verify finds damage after kill {kill}");
        logd = Logd::start();
    }
    println!("{verified} acknowledged records were there after {kills} kills");
    assert_eq!(logd.running.end(), Some(0));
}

/// Goal: a reload says, in its answer and in the journal, what of journald.conf waits for a restart.
#[test]
fn a_reload_says_what_waits_for_a_restart() {
    let logd = Logd::start();
    assert_eq!(logd.ask("reload"), Ok(control::json!({})));
    let conf = logd.folder.join("etc/journald.conf");
    let old = std::fs::read_to_string(&conf).unwrap_or_default();
    std::fs::write(&conf, format!("{old}\n[Journal]\nStorage=none\n")).expect("written");
    let answer = logd.ask("reload").expect("taken");
    let told = answer["restart"].as_str().unwrap_or_default();
    assert!(told.contains("Storage=") && told.contains("restart"), "{answer}");
    let said = || {
        let mut journalctl = program(Side::Ours, "journalctl", logd.folder.path()).expect("ours");
        let _ = logd.ask("sync");
        let output = journalctl.args(["-o", "cat", "-x"]).output().expect("it runs");
        String::from_utf8_lossy(&output.stdout).contains("a restart is needed for Storage=")
    };
    assert!(eventually(PATIENCE, said), "the journal does not say it");
}

/// Goal: a wrong configuration is told whole and refused, and a failed reload keeps the old one.
#[test]
fn a_wrong_configuration_is_refused() {
    let folder = TempDir::new();
    let bad = folder.write("bad.conf", "*.* /tmp/x\nmodule(load=\"imtpc\")\n*.nonsense /tmp/y\n");
    let mut check = program(Side::Ours, "rsyslogd", folder.path()).expect("ours");
    let output = check.arg("-N1").arg("-f").arg(&bad).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    for part in ["bad.conf:2", "imtpc", "bad.conf:3", "nonsense", "help"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let logd = Logd::start();
    let good = logd.folder.join("etc/rsyslog.conf");
    std::fs::write(&good, "*.nonsense /tmp/y\n").expect("written");
    assert!(logd.ask("reload").is_err());
    let log = UnixDatagram::unbound().expect("a socket");
    log.send_to(b"<11>still: here", logd.folder.join("run/dev-log")).expect("sent");
    let all = logd.folder.join("all");
    assert!(
        eventually(PATIENCE, || std::fs::read_to_string(&all).is_ok_and(|text| text.contains("still: here")))
    );
}
