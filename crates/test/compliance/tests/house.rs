//! The whole house, end to end: `banto up` in a folder of its own, used as a newcomer uses it.
//!
//! Each test furnishes a house, gives it free ports in the files that a person would edit, starts it, and ends it by its own
//! process id. Nothing here needs a network or root, and nothing sets a clock.

use std::io::Write;
use std::ops::Deref;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use compliance::{Running, eventually};
use serde_json::Value;

/// A user who owns nothing.
const STRANGER: u32 = 65_533;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// A house that tells what it said where a test fails, and ends in order.
struct House {
    rooms: compliance::House,
    up: Option<Running>,
}

impl Deref for House {
    type Target = compliance::House;

    fn deref(&self) -> &Self::Target {
        &self.rooms
    }
}

impl House {
    fn furnished() -> Self {
        Self { rooms: compliance::House::furnished(), up: None }
    }

    fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        self.write(name, &change(self.text(name)));
    }

    fn banto(&self, words: &[&str], input: Option<&str>) -> Output {
        let mut command = self.prepared(words[0], &words[1..]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("banto starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that reads nothing may have ended already.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
        drop(stdin);
        child.wait_with_output().expect("banto ends")
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.banto(words, None);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{words:?}: {error}: {output:?}"))
    }

    /// Starts it and waits until it is ready.
    fn start(&mut self) {
        let before = self.said().matches("Ready after").count();
        self.up = Some(self.rooms.start("up", &[]));
        let up = || self.said().matches("Ready after").count() > before;
        assert!(eventually(PATIENCE, up), "not ready:\n{}", self.said());
    }

    /// Asks it to end, and waits.
    fn end(&mut self) {
        let mut up = self.up.take().expect("it runs");
        up.signal(sys::signal::TERM);
        let mut code = None;
        let ended = eventually(PATIENCE, || {
            code = up.0.try_wait().ok().flatten();
            code.is_some()
        });
        assert!(ended, "it did not end:\n{}", self.said());
        assert_eq!(code.and_then(|code| code.code()), Some(0), "{}", self.said());
    }

    fn alerts(&self) -> Value {
        self.json(&["status", "--json"])["alerts"]["status"].clone()
    }

    /// `matched`, `fired`, `suppressed` of a rule.
    fn rule(&self, name: &str) -> (u64, u64, u64) {
        let alerts = self.alerts();
        let rules = alerts["rules"].as_array().cloned().unwrap_or_default();
        let rule = rules.into_iter().find(|rule| rule["name"] == name).unwrap_or_default();
        let count = |name: &str| rule[name].as_u64().unwrap_or(0);
        (count("matched"), count("fired"), count("suppressed"))
    }

    fn user() -> String {
        let uid = sys::process::effective_uid();
        sys::user::by_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what `up` said:\n{}", self.said());
        }
        if let Some(mut up) = self.up.take() {
            // `up` ends its daemons in order; only then is the folder removed.
            up.signal(sys::signal::TERM);
            eventually(PATIENCE, || up.0.try_wait().ok().flatten().is_some());
        }
    }
}

/// Goal: every part answers, the doctor's chain holds, and a clock without a source is a warning that only `--strict` makes an error.
#[test]
fn a_new_house_is_sound() {
    let mut house = House::furnished();
    house.start();
    let status = house.json(&["status", "--json"]);
    for part in ["clock", "log", "mail", "alerts", "web"] {
        assert_eq!(status[part]["up"], true, "{part}: {status:#}");
    }
    assert_eq!(status["control_clock"], false);
    assert_eq!(status["clock"]["synchronised"], false);
    assert!(status["log"]["status"]["inputs"].is_array(), "{status:#}");
    let text = house.banto(&["status"], None);
    assert!(text.status.success(), "{text:?}");
    assert!(String::from_utf8_lossy(&text.stdout).contains("measures the clock and never sets it"));

    let doctor = house.json(&["doctor", "--json"]);
    assert_eq!(doctor["ok"], true, "{doctor:#}");
    let health: Vec<&str> = doctor["links"]
        .as_array()
        .expect("links")
        .iter()
        .filter_map(|link| link["health"].as_str())
        .collect();
    assert_eq!(health, ["warning", "ok", "ok", "ok", "ok", "ok", "ok"], "{doctor:#}");
    assert!(house.banto(&["doctor"], None).status.success());
    assert_eq!(house.banto(&["doctor", "--strict"], None).status.code(), Some(1));
    let nonce = doctor["nonce"].as_str().expect("a nonce");
    assert!(house.text("mail/root").contains(nonce));
    house.end();
}

/// Goal: an error in the log is a mail at once; more of the same makes no mail of its own but is counted; other problems do; and
/// what alerts cause matches nothing.
#[test]
fn an_error_becomes_one_mail() {
    let mut house = House::furnished();
    // A digest that a test can wait for.
    house.edit("etc/banto.toml", |text| text.replace("group_interval = \"5m\"", "group_interval = \"3s\""));
    house.start();
    let err = |message: &str| {
        let output = house.banto(&["logger", "-t", "shop", "-p", "user.err", message], None);
        assert!(output.status.success(), "{output:?}");
    };
    err("disk 1 is full");
    let mailbox = || house.text("mail/root");
    assert!(eventually(PATIENCE, || mailbox().contains("disk 1 is full")), "{}", mailbox());
    let mail = mailbox();
    for part in [
        "X-Banto-Alert: banto-",
        "Subject: [",
        "Rule:   errors",
        "Clock:  ",
        "journalctl SYSLOG_IDENTIFIER=shop",
    ] {
        assert!(mail.contains(part), "{part} is missing in:\n{mail}");
    }
    for number in 2..=6 {
        err(&format!("disk {number} is full"));
    }
    err("the fan stands still");
    assert!(eventually(PATIENCE, || mailbox().contains("the fan stands still")));
    assert!(eventually(PATIENCE, || house.rule("errors") == (7, 3, 5)), "{:?}", house.rule("errors"));
    assert!(
        eventually(PATIENCE, || mailbox().contains("Count:  5 since the last mail, 6 in all")),
        "{}",
        mailbox()
    );

    // The loop guard: a record with an alert's id, as bad as can be.
    let native = "MESSAGE=an echo\nPRIORITY=0\nSYSLOG_IDENTIFIER=echo\nBANTO_ALERT_ID=banto-1\n";
    let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
    socket.send_to(native.as_bytes(), house.file("run/journal.socket")).expect("sent");
    err("the last of this test");
    assert!(eventually(PATIENCE, || mailbox().contains("the last of this test")));
    assert_eq!(house.rule("errors").0, 8);
    assert!(!mailbox().contains("an echo"));
    house.end();
}

/// Goal: chrony.conf's `mailonchange` mails the address that it names when the clock is changed by more than its threshold, and by
/// less not; nobody who writes such a record makes a mail, or chooses who gets one.
#[test]
fn a_change_of_the_clock_becomes_mail() {
    let mut house = House::furnished();
    house.edit("etc/chrony.conf", |text| format!("{text}\nmanual\nmailonchange helpdesk@localhost 600\n"));
    house.start();
    let set = |ahead: i64| {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
        let (date, time) = utc(now as i64 + ahead);
        let output = house.banto(&["chronyc", "settime", &format!("{date} {time} UTC")], None);
        assert!(output.status.success(), "{output:?}");
    };
    let records = || {
        let output = house.banto(&["journalctl", "-o", "json", "BANTO_EVENT=clock.changed"], None);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mailbox = || house.text("mail/root");
    set(60);
    // As bad as a stranger can make it: the fields of the real record and more, from another user.
    let forged = "MESSAGE=a forged change\nPRIORITY=4\nBANTO_EVENT=clock.changed\nTIME_OFFSET_NSEC=1\nBANTO_MAIL_TO=mallory\n\
                  _UID=0\n";
    if sys::process::effective_uid() == 0 {
        use std::os::unix::process::CommandExt;
        let file = house.dir().write("forged", forged);
        let file = std::fs::File::open(file).expect("just written");
        let stranger = house.prepared("logger", &["--journald"]).uid(STRANGER).stdin(file).status();
        if stranger.is_ok_and(|status| status.success()) {
            assert!(eventually(PATIENCE, || records().contains("a forged change")), "{}", records());
        } else {
            compliance::skip("another user cannot run this build");
        }
    }
    // Two moments of a clock that is set by hand are a second apart at least.
    std::thread::sleep(Duration::from_millis(1100));
    set(7200);
    assert!(eventually(PATIENCE, || mailbox().contains("mailonchange")), "{}\n{}", records(), mailbox());
    let mail = mailbox();
    for part in [
        "To: helpdesk@localhost",
        "Rule:   mailonchange",
        "seconds, which exceeds the 600 seconds of mailonchange",
    ] {
        assert!(mail.contains(part), "{part} is missing in:\n{mail}");
    }
    assert!(!mail.contains("a forged change") && !mail.contains("mallory"), "{mail}");
    assert_eq!(house.rule("mailonchange").0, 1, "{}", records());
    house.end();
}

/// Goal: `banto reload` takes up sources from chrony.conf, the files that it includes and its folders, drops those that are gone, keeps
/// those that were added by hand, and names with its line what needs a new start.
#[test]
fn a_reload_takes_up_sources() {
    let mut house = House::furnished();
    let conf = house.file("etc/chrony.d");
    house.edit("etc/chrony.conf", |text| {
        format!(
            "{text}\nserver 127.0.0.2 port 9 maxpoll 7\nserver 127.0.0.3 port 9\nconfdir {}\n",
            conf.display()
        )
    });
    house.start();
    let chronyc = |words: &[&str]| {
        let output = house.banto(&[&["chronyc", "-n"], words].concat(), None);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let sources = || -> Vec<String> {
        let text = chronyc(&["-c", "sources"]);
        text.lines().filter_map(|line| line.split(',').nth(2).map(str::to_owned)).collect()
    };
    assert_eq!(sources(), ["127.0.0.2", "127.0.0.3"]);
    chronyc(&["add", "server", "127.0.0.9", "port", "9"]);
    house.edit("etc/chrony.conf", |text| {
        text.replace("server 127.0.0.3 port 9", "logchange 7").replace("rtcsync", "")
    });
    house.edit("etc/chrony.d/more.conf", |_| "server 127.0.0.4 port 9\n".to_owned());
    house.edit("etc/chrony.d/one.sources", |_| "server 127.0.0.5 port 9\n".to_owned());
    let output = house.banto(&["reload", "timed"], None);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let mut found = sources();
    found.sort();
    assert_eq!(found, ["127.0.0.2", "127.0.0.4", "127.0.0.5", "127.0.0.9"]);
    for part in [
        "new: 127.0.0.4, 127.0.0.5",
        "gone: 127.0.0.3",
        "these count from the next start of the daemon: `rtcsync` (it is gone), `logchange 7` (",
        "etc/chrony.conf:",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    let output = house.banto(&["reload", "timed"], None);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("new:") && !said.contains("gone:") && said.contains("logchange 7"), "{said}");
    assert_eq!(sources().len(), 4);
    house.end();
}

/// Date and time of day of seconds since the Unix epoch.
fn utc(seconds: i64) -> (String, String) {
    let text = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%d %H:%M:%S"])
        .output()
        .expect("date(1)");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let (date, time) = text.trim().split_once(' ').expect("two words");
    (date.to_owned(), time.to_owned())
}

/// Goal: mail on the command line, aliases and the queue work as one, and the whole tour shows what it should without a terminal.
#[test]
fn the_tour_shows_what_it_says() {
    let mut house = House::furnished();
    house.start();
    let output = house.banto(&["tour"], None);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{output:?}");
    for part in [
        "[1/10]",
        "[10/10]",
        "Syslog Test",
        "_CLOCK_SYNCED",
        "Subject: test",
        "water in the cellar",
        "All links hold",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let mut japanese = house.prepared("tour", &["--yes"]);
    let output = japanese.env("LC_ALL", "ja_JP.UTF-8").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("[10/10] 端から端まで"), "{text}");
    assert!(!house.file("etc/forward").join(House::user()).exists(), "the tour leaves no forwarding behind");
    let queue = house.banto(&["mailq"], None);
    assert!(String::from_utf8_lossy(&queue.stdout).contains("Mail queue is empty"), "{queue:?}");
    house.end();
}

/// Goal: what a person changed is never written over, and everything is found again after an end and a new start.
#[test]
fn everything_is_kept() {
    let mut house = House::furnished();
    house.edit("etc/aliases", |text| format!("# mine\n{text}"));
    let changed = house.text("etc/aliases");
    house.start();
    let output = house.banto(&["logger", "-t", "kept", "the first life"], None);
    assert!(output.status.success(), "{output:?}");
    let output = house.banto(&["mail", "-s", "the first letter", "root"], Some("hello\n"));
    assert!(output.status.success(), "{output:?}");
    house.end();
    assert!(house.text("mail/root").contains("the first letter"), "{}", house.said());
    let asked = house.banto(&["status"], None);
    assert!(!asked.status.success() && String::from_utf8_lossy(&asked.stderr).contains("no house is up"));

    house.start();
    assert_eq!(house.text("etc/aliases"), changed);
    let found = house.banto(&["journalctl", "-t", "kept", "-o", "cat"], None);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), "the first life");
    assert!(house.json(&["doctor", "--json"])["ok"] == true);
    house.end();
}

/// Goal: a daemon that is killed comes back by itself, the house says so, and the chain holds again.
#[test]
fn a_killed_daemon_comes_back() {
    let mut house = House::furnished();
    house.start();
    for name in ["logd", "maild", "alertd"] {
        let socket = house.file(&format!("run/{name}.ctl"));
        let pid = |socket: &Path| {
            control_call(socket, "ping")
                .and_then(|value| value["pid"].as_u64())
                .and_then(|pid| u32::try_from(pid).ok())
        };
        let first = pid(&socket).expect("it answers");
        sys::signal::send(first, sys::signal::KILL).expect("it runs");
        assert!(eventually(PATIENCE, || pid(&socket).is_some_and(|pid| pid != first)), "{name}");
        assert!(eventually(PATIENCE, || house.said().contains(&format!("{name} is back"))), "{name}");
        // Whoever is not at the terminal learns it from the log, and by the rule for errors from a mail.
        let told = || {
            let read = house.banto(&["journalctl", "-o", "cat", "BANTO_EVENT=daemon.died"], None);
            String::from_utf8_lossy(&read.stdout).into_owned()
        };
        assert!(eventually(PATIENCE, || told().contains(&format!("{name} ended (signal: 9"))), "{}", told());
    }
    let doctor = house.json(&["doctor", "--json"]);
    assert_eq!(doctor["ok"], true, "{doctor:#}");
    house.end();
}

/// Goal: one house a folder, and a path that no socket fits below is explained before anything is made.
#[test]
fn what_cannot_be_is_explained() {
    let mut house = House::furnished();
    house.start();
    let second = house.banto(&["up"], None);
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(text.contains("up in") && text.contains("help: "), "{text}");
    house.end();

    let deep = house.dir().path().join("d".repeat(90));
    let output = std::process::Command::new(compliance::banto())
        .arg("--dir")
        .arg(&deep)
        .arg("up")
        .env("LC_ALL", "C")
        .output();
    let output = output.expect("it runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("too long") && text.contains("help: "), "{text}");
    assert!(!deep.exists());

    let output = house.banto(&["statsu"], None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean: banto status"), "{output:?}");
    assert_eq!(house.banto(&["tour", "--fast"], None).status.code(), Some(64));
}

/// Goal: a mistake in any file stops the start with file, line, caret, cause and help; a failed reload keeps the old rules.
#[test]
fn bad_configuration_is_explained() {
    for (name, line, cause) in [
        ("etc/banto.toml", "[[rul]]\n", "rul"),
        ("etc/chrony.conf", "sevrer ntp.example.org\n", "sevrer"),
        ("etc/rsyslog.conf", "mail.inof /var/log/x\n", "inof"),
        ("etc/main.cf", "mynetworks = 300.0.0.0/8\n", "300.0.0.0"),
    ] {
        let house = House::furnished();
        let lines = house.text(name).lines().count();
        assert!(house.banto(&["check"], None).status.success());
        house.edit(name, |text| format!("{text}\n{line}"));
        for verb in ["up", "check"] {
            let output = house.banto(&[verb], None);
            let text = format!(
                "{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            assert_eq!(output.status.code(), Some(1), "{name}:\n{text}");
            let place = format!("{}:{}", house.file(name).display(), lines + 2);
            for part in [place.as_str(), cause, "^", "help: "] {
                assert!(text.contains(part), "{verb} {name}: {part} is missing in:\n{text}");
            }
        }
    }

    let mut house = House::furnished();
    house.start();
    house.edit("etc/banto.toml", |text| text.replace("*.err", "*.eror"));
    let refused = control_call(&house.file("run/alertd.ctl"), "reload");
    assert_eq!(refused, None, "a reload of a bad file is refused");
    let output = house.banto(&["logger", "-t", "shop", "-p", "user.err", "still heard"], None);
    assert!(output.status.success(), "{output:?}");
    assert!(eventually(PATIENCE, || house.text("mail/root").contains("still heard")));
    house.end();
}

/// Goal: a port that another program has is named as the cause, with what to do.
#[test]
fn a_port_in_use_is_explained() {
    let house = House::furnished();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    house.edit("etc/banto.toml", |text| {
        let line = text.lines().find(|line| line.starts_with("listen")).expect("a line").to_owned();
        text.replace(&line, &format!("listen = \"127.0.0.1:{port}\""))
    });
    let output = house.banto(&["up"], None);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{text}");
    for part in [
        "already in use",
        "webd ended before it was ready",
        "help: another program has this port",
        "banto.toml",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

/// Goal: the page shows the status, answers only to loopback's name, and loads nothing from elsewhere.
#[test]
fn the_page_is_shown_to_loopback_only() {
    let mut house = House::furnished();
    house.start();
    let status = house.json(&["status", "--json"]);
    let address = status["web"]["status"]["listen"].as_str().expect("an address").to_owned();
    let ask = |path: &str, host: &str| {
        use std::io::Read;
        let mut stream = std::net::TcpStream::connect(&address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    };
    let page = ask("/", &address);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.to_ascii_lowercase().contains("content-security-policy: default-src 'self'"), "{page}");
    assert!(
        page.contains("<h2><span>Clock</span>")
            && !page.contains("<script")
            && !page.contains("does not answer"),
        "{page}"
    );
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing from elsewhere: {page}");
    let json = ask("/status.json", &address);
    let body = json.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    assert!(serde_json::from_str::<Value>(body).is_ok_and(|value| value["alerts"]["up"] == true), "{json}");
    assert!(ask("/", "evil.example.org").starts_with("HTTP/1.1 421"));
    house.end();
}

/// One call on a control socket: the value, or none where it was refused or nobody answers.
fn control_call(socket: &Path, verb: &str) -> Option<Value> {
    use std::io::Read;
    let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let body = format!("{{\"banto\":1,\"verb\":\"{verb}\",\"args\":null}}");
    stream.write_all(&u32::try_from(body.len()).ok()?.to_be_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut length = [0u8; 4];
    stream.read_exact(&mut length).ok()?;
    let mut reply = vec![0u8; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut reply).ok()?;
    let reply: Value = serde_json::from_slice(&reply).ok()?;
    (reply["ok"] == true).then(|| reply["value"].clone())
}
