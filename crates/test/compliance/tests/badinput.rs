//! Bad input: configuration with mistakes, malformed packets, a full disk, wrong command lines.
//!
//! Always the same expectations: every mistake is told with its place and a help that can be followed, nothing panics, what runs goes
//! on running, what cannot be taken is counted, and what was acknowledged stays.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use compliance::{Running, TempDir, banto, eventually, free_port, skip};
use control::Value;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// The daemons of a house.
const DAEMONS: [&str; 5] = ["logd", "timed", "maild", "alertd", "webd"];

/// A furnished house without a time source, with ports of its own.
struct House {
    dir: TempDir,
    ntp: u16,
    command: u16,
    syslog: u16,
    smtp: u16,
    web: u16,
}

impl House {
    fn furnished() -> Self {
        let [ntp, command, syslog, smtp, web] = std::array::from_fn(|_| free_port());
        let house = Self { dir: TempDir::new(), ntp, command, syslog, smtp, web };
        let made = house.call("up", &["--init-only"]);
        assert!(made.status.success(), "{made:?}");
        for (name, ports) in [
            ("etc/chrony.conf", &[("11123", ntp), ("11323", command)][..]),
            ("etc/rsyslog.conf", &[("5514", syslog)]),
            ("etc/main.cf", &[("2525", smtp)]),
            ("etc/banto.toml", &[("8125", web)]),
        ] {
            let mut text = house.text(name).replace("pool pool.ntp.org", "#pool pool.ntp.org");
            for (from, to) in ports {
                text = text.replace(from, &to.to_string());
            }
            house.write(name, &text);
        }
        house
    }

    fn root(&self) -> PathBuf {
        self.dir.join("h")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.file(name)).unwrap_or_default()).into_owned()
    }

    fn write(&self, name: &str, text: &str) {
        self.dir.write(&format!("h/{name}"), text);
    }

    fn prepared(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new(banto());
        command.arg("--dir").arg(self.root()).arg(name).args(words);
        command.env("BANTO_CLOCK_READ_ONLY", "1").env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
        command.stdin(Stdio::null());
        command
    }

    fn call(&self, name: &str, words: &[&str]) -> Output {
        self.prepared(name, words).output().expect("banto starts")
    }

    fn start(&self, name: &str, words: &[&str]) -> Running {
        let log =
            std::fs::File::options().create(true).append(true).open(self.dir.join("said")).expect("a file");
        let mut command = self.prepared(name, words);
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        Running::start(&mut command)
    }

    /// Starts the whole house and waits for all of it.
    fn up(&self) -> Running {
        let up = self.start("up", &[]);
        for name in DAEMONS {
            self.pid(name);
        }
        up
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    fn ask(&self, name: &str, verb: &str) -> Result<Value, String> {
        let path = control::socket_path(&layout::Layout::house(self.root()), name);
        let mut client = control::Client::connect(&path, PATIENCE).map_err(|error| error.to_string())?;
        client.call(verb, control::json!({})).map_err(|error| error.to_string())
    }

    /// The process that answers for a daemon; waits until one does.
    fn pid(&self, name: &str) -> u64 {
        let mut pid = None;
        eventually(PATIENCE, || {
            pid = self.ask(name, "ping").ok().and_then(|value| value["pid"].as_u64());
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("{name} does not answer; said:\n{}", self.said()))
    }

    fn log(&self, text: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        let record = format!("MESSAGE={text}\nPRIORITY=6\nSYSLOG_IDENTIFIER=bad\n");
        socket
            .send_to(record.as_bytes(), self.file("run/journal.socket"))
            .expect("the native socket is there");
    }

    fn journal(&self) -> String {
        let output = self.call("journalctl", &["-o", "cat", "--no-pager"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sends a mail by SMTP; the answer to its text.
    fn mail(&self, subject: &str) -> String {
        let mut writer = TcpStream::connect(("127.0.0.1", self.smtp)).expect("maild listens");
        writer.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut reader = BufReader::new(writer.try_clone().expect("a descriptor"));
        let mut answer = String::new();
        for line in [
            String::new(),
            "HELO client.example\r\n".to_owned(),
            "MAIL FROM:<>\r\n".to_owned(),
            "RCPT TO:<root@localhost>\r\n".to_owned(),
            "DATA\r\n".to_owned(),
            format!("Subject: {subject}\r\n\r\n{}\r\n.\r\n", "text of a line\r\n".repeat(500)),
        ] {
            writer.write_all(line.as_bytes()).expect("sent");
            answer.clear();
            reader.read_line(&mut answer).expect("an answer");
            if answer.starts_with(['4', '5']) {
                break;
            }
        }
        answer
    }
}

fn words_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn no_panic(text: &str) {
    assert!(!text.contains("panicked at") && !text.contains("RUST_BACKTRACE"), "{text}");
}

/// A configuration file of the house, lines to add to it, and for each what must be told and at which column.
struct Broken {
    file: &'static str,
    /// Lines and parts of the messages about them.
    lines: &'static [(&'static str, &'static str)],
    /// The daemon or command that reads the file alone.
    by: &'static [&'static str],
}

const BROKEN: &[Broken] = &[
    Broken {
        file: "etc/chrony.conf",
        lines: &[
            ("sevrer ntp.example", "sevrer"),
            ("port abc", "'abc' is not a UDP port"),
            ("include /nonexistent/x.conf", "cannot read /nonexistent/x.conf"),
        ],
        by: &["chronyd", "-x", "-p"],
    },
    Broken {
        file: "etc/rsyslog.conf",
        lines: &[
            ("$Bogus on", "`$Bogus` is not a directive"),
            ("mail.inof /tmp/never", "`inof` is not a severity"),
            ("$IncludeConfig /nonexistent/x.conf", "there is no file /nonexistent/x.conf"),
            ("include(file=\"/nonexistent/y.conf\")", "there is no file /nonexistent/y.conf"),
        ],
        by: &["rsyslogd", "-N1"],
    },
    Broken {
        file: "etc/journald.conf",
        lines: &[
            ("NoSuch=1", "`NoSuch` is not a setting"),
            ("Storage=bogus", "`bogus` is not a kind of storage"),
            ("SyncIntervalSec=abc", "`abc` is not a time span"),
        ],
        by: &["journald"],
    },
    Broken {
        file: "etc/main.cf",
        lines: &[
            ("mesage_size_limit = 5", "unknown parameter mesage_size_limit"),
            ("mynetworks = 300.0.0.0/8", "300.0.0.0/8 is no network"),
        ],
        by: &["maild"],
    },
    Broken {
        file: "etc/aliases",
        lines: &[
            ("nobody ann", "no colon follows the name"),
            ("other: \"x", "a quote is not closed"),
            ("list: :include:relative", "an include needs an absolute path"),
        ],
        by: &["newaliases"],
    },
    Broken {
        file: "etc/banto.toml",
        lines: &[
            ("[nosuch]", "nothing is called `nosuch` here"),
            (
                "[[rule]]\nname = \"a b\"\nmatch = { selector = \"*.err\" }\nto = [\"root\"]",
                "a rule's name is",
            ),
            (
                "[[rule]]\nname = \"x\"\nmatch = { regex = \"(\" }\nto = [\"root\"]",
                "not a regular expression",
            ),
            ("= 1", "key"),
        ],
        by: &["alertd"],
    },
];

/// Goal: every mistake of a file is told at once, each with file and line, caret, cause and help, and the exit status is 1: by the
/// program that the file is for, by `banto check` and by `banto up`, which starts nothing then.
#[test]
fn every_mistake_in_a_file_is_told() {
    for broken in BROKEN {
        let house = House::furnished();
        let text = house.text(broken.file);
        let first = text.lines().count() + 1;
        let added: Vec<&str> = broken.lines.iter().map(|(line, _)| *line).collect();
        house.write(broken.file, &format!("{}\n{}\n", text.trim_end_matches('\n'), added.join("\n")));
        let (program, words) = broken.by.split_first().expect("a program");
        for output in [house.call(program, words), house.call("check", &[]), house.call("up", &[])] {
            let said = words_of(&output);
            no_panic(&said);
            assert_eq!(output.status.code(), Some(1), "{}:\n{said}", broken.file);
            for (_, cause) in broken.lines {
                assert!(said.contains(cause), "{}: `{cause}` is missing in:\n{said}", broken.file);
            }
            let path = house.file(broken.file).display().to_string();
            let place = format!("{path}:");
            let places = said.matches(&format!("--> {place}")).count();
            assert!(places >= broken.lines.len(), "{places} places in:\n{said}");
            for told in said.split("error: ").skip(1).filter(|told| told.contains("-->")) {
                let line = told.split(&place).nth(1).and_then(|rest| rest.split(':').next()?.parse().ok());
                assert!(line.is_some_and(|line: usize| line >= first), "a wrong line in:\n{told}");
                assert!(told.contains('^') && told.contains("help: "), "no caret or help in:\n{told}");
            }
        }
        assert!(house.ask("logd", "ping").is_err(), "nothing was started");
    }
}

/// Goal: mistakes in several files are told in one go by `banto up`, and a file that is missing by its name.
#[test]
fn up_tells_of_all_files() {
    let house = House::furnished();
    house.write("etc/chrony.conf", "sevrer a\n");
    house.write("etc/main.cf", "mynetworks = 300.0.0.0/8\n");
    house.write("etc/aliases", "root ann\n");
    house.write("etc/banto.toml", "nosuch = 1\n");
    let output = house.call("up", &[]);
    let said = words_of(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["sevrer", "300.0.0.0", "nosuch", "chrony.conf:1:1", "main.cf:1:14", "banto.toml:1:1"] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    for (program, words) in [
        ("chronyd", &["-x", "-p", "-f", "/nonexistent/c"][..]),
        ("rsyslogd", &["-N1", "-f", "/nonexistent/r"]),
    ] {
        let output = house.call(program, words);
        let said = words_of(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot read /nonexistent/") && said.contains("help: "), "{said}");
    }
}

/// Goal: a refused reload, by control verb and by SIGHUP, says why and leaves the old configuration in force, for each daemon.
#[test]
fn a_refused_reload_changes_nothing() {
    let house = House::furnished();
    let _up = house.up();
    let pids: Vec<u64> = DAEMONS.iter().map(|name| house.pid(name)).collect();
    for (name, file, line, cause) in [
        ("logd", "etc/rsyslog.conf", "$Bogus on\n", "$Bogus"),
        ("logd", "etc/journald.conf", "NoSuch=1\n", "NoSuch"),
        ("maild", "etc/main.cf", "mynetworks = 300.0.0.0/8\n", "300.0.0.0"),
        ("alertd", "etc/banto.toml", "[nosuch]\n", "nosuch"),
        ("timed", "etc/chrony.conf", "prot 123\n", "'prot'"),
    ] {
        let good = house.text(file);
        house.write(file, &format!("{good}{line}"));
        let refused = house.ask(name, "reload").expect_err("it is refused");
        assert!(refused.contains(cause) && refused.contains(file), "{name}: {refused}");
        let told = house.journal().matches(cause).count();
        let pid = u32::try_from(house.pid(name)).expect("a process id");
        sys::signal::send(pid, sys::signal::HUP).expect("it runs");
        let more = || {
            let _ = house.ask("logd", "sync");
            house.journal().matches(cause).count() > told
        };
        assert!(eventually(PATIENCE, more), "{name} does not say why after SIGHUP:\n{}", house.journal());
        house.write(file, &good);
        house.ask(name, "reload").unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(pids, DAEMONS.map(|name| house.pid(name)), "a daemon ended");
    assert!(house.mail("after").starts_with("250"));
    assert!(house.call("doctor", &[]).status.success());
    no_panic(&house.said());
}

/// Bytes that look like something for a while, and then do not (splitmix64 of a fixed seed).
fn junk(seed: u64, good: &[u8]) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^ (z >> 27)
    };
    let mut bytes = good.to_vec();
    for _ in 0..1 + next() % 8 {
        let at = usize::try_from(next() % (bytes.len() as u64 + 1)).unwrap_or(0);
        match next() % 3 {
            0 if at < bytes.len() => bytes[at] = next().to_le_bytes()[0],
            1 => bytes.truncate(at.max(1)),
            _ => bytes.insert(at, next().to_le_bytes()[1]),
        }
    }
    bytes
}

/// Goal: malformed bytes at every door of a house end no daemon, are counted, and the next good request is answered.
/// Method: per door a good request with seeded changes, 200 times, and a few evil ones; then the good one.
#[test]
fn malformed_bytes_cost_only_themselves() {
    const ROUNDS: u64 = 200;
    let house = House::furnished();
    let _up = house.up();
    let pids = DAEMONS.map(|name| house.pid(name));
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    udp.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");

    // NTP: a client's request, 48 bytes.
    let mut request = [0u8; 48];
    request[0] = 0x23;
    request[40..].copy_from_slice(b"whatever");
    for round in 0..ROUNDS {
        udp.send_to(&junk(round, &request), ("127.0.0.1", house.ntp)).expect("sent");
    }
    for evil in [&b""[..], &[0x23], &[0xff; 48], &[0x23; 1400]] {
        udp.send_to(evil, ("127.0.0.1", house.ntp)).expect("sent");
    }
    let answered = eventually(PATIENCE, || {
        udp.send_to(&request, ("127.0.0.1", house.ntp)).expect("sent");
        let mut answer = [0u8; 2048];
        // Answers to junk that was good enough come first.
        (0..300).any(|_| udp.recv(&mut answer).is_ok_and(|n| n == 48 && answer[24..32] == *b"whatever"))
    });
    assert!(answered, "no answer to a good NTP request");
    let stats = words_of(&house.call("chronyc", &["-c", "serverstats"]));
    let dropped: u64 = stats.trim().split(',').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    assert!(dropped > 0, "dropped NTP packets are not counted: {stats}");

    // chronyc's protocol, by UDP: `tracking` of version 6.
    let mut tracking = [0u8; 104];
    tracking[..6].copy_from_slice(&[6, 1, 0, 0, 0, 33]);
    for round in 0..ROUNDS {
        udp.send_to(&junk(round, &tracking), ("127.0.0.1", house.command)).expect("sent");
    }
    let output = house.call("chronyc", &["tracking"]);
    assert!(output.status.success(), "{output:?}");
    let port = house.command.to_string();
    let output = house.call("chronyc", &["-h", "127.0.0.1", "-p", &port, "tracking"]);
    assert!(output.status.success(), "{output:?}");

    // Syslog and the journal's sockets.
    let line = b"<13>1 2026-11-22T16:01:00Z host app 1 ID [a b=\"c\"] text";
    let native = b"MESSAGE=x\nPRIORITY=3\nBIN\n\x03\0\0\0\0\0\0\0abc\n";
    let unix = UnixDatagram::unbound().expect("a socket");
    for round in 0..ROUNDS {
        udp.send_to(&junk(round, line), ("127.0.0.1", house.syslog)).expect("sent");
        unix.send_to(&junk(round, line), house.file("run/dev-log")).expect("sent");
        unix.send_to(&junk(round, native), house.file("run/journal.socket")).expect("sent");
    }
    for evil in [&b"\xff\xfe"[..], b"=x\n", b"A\n\xff\xff\xff\xff\xff\xff\xff\x7fx", b"_PID=1\n", &[0; 2000]]
    {
        unix.send_to(evil, house.file("run/journal.socket")).expect("sent");
    }
    for round in 0..40 {
        for start in [&b"999999999999 x"[..], b"10 <13>short", b"<999>a\n", &junk(round, line)] {
            let mut tcp = TcpStream::connect(("127.0.0.1", house.syslog)).expect("logd listens");
            let _ = tcp.write_all(start);
        }
        let mut stream = UnixStream::connect(house.file("run/journal.stdout")).expect("logd listens");
        let _ = stream.write_all(&junk(round, b"app\nunit\n6\n1\n0\n0\n0\ntext\n"));
    }
    let mut tcp = TcpStream::connect(("127.0.0.1", house.syslog)).expect("logd listens");
    tcp.write_all(b"<13>Nov 22 16:01:00 host app: good by tcp\n").expect("sent");
    drop(tcp);
    udp.send_to(b"<13>Nov 22 16:01:00 host app: good by udp", ("127.0.0.1", house.syslog)).expect("sent");
    unix.send_to(b"<13>Nov 22 16:01:00 app: good by unix", house.file("run/dev-log")).expect("sent");
    house.log("good by native");
    for way in ["tcp", "udp", "unix", "native"] {
        let good = format!("good by {way}");
        assert!(eventually(PATIENCE, || house.journal().contains(&good)), "{good} is missing");
    }
    let status = house.ask("logd", "status").expect("logd answers");
    let lost: u64 =
        status["inputs"].as_array().into_iter().flatten().filter_map(|input| input["lost"].as_u64()).sum();
    assert!(lost > 0, "refused records are not counted: {status}");

    // SMTP and the submission socket.
    let session = b"EHLO x\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<root@localhost>\r\nDATA\r\nSubject: junk\r\n\r\n..\r\n.\r\nQUIT\r\n";
    for round in 0..ROUNDS / 4 {
        let mut smtp = TcpStream::connect(("127.0.0.1", house.smtp)).expect("maild listens");
        let _ = smtp.write_all(&junk(round, session));
        let mut submission = UnixStream::connect(house.file("run/submission.sock")).expect("maild listens");
        let _ = submission.write_all(&junk(round + 1000, session));
    }
    for evil in [
        &b"\0\0\0\0\r\n"[..],
        &[b'A'; 70_000],
        b"MAIL FROM:<\xff\xff>\r\nRCPT TO:<@:@>\r\n",
        b"\x16\x03\x01\x02\0",
    ] {
        let mut smtp = TcpStream::connect(("127.0.0.1", house.smtp)).expect("maild listens");
        let _ = smtp.write_all(evil);
    }
    assert!(house.mail("good by smtp").starts_with("250"));
    assert!(eventually(PATIENCE, || house.text("mail/root").contains("Subject: good by smtp")));
    let counted = || house.ask("maild", "status").is_ok_and(|status| status["malformed"].as_u64() > Some(0));
    assert!(eventually(PATIENCE, counted), "malformed SMTP is not counted");

    // chronyc's protocol, over UDP and over the Unix socket; a command that only the Unix socket may send.
    let counts = |name: &str| house.ask("timed", "status").expect("timed answers")["commands"][name].as_u64();
    let before = counts("malformed");
    let to_commands = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let to_daemon = UnixDatagram::bind(house.dir.join("client.sock")).expect("a socket");
    let mut no_command = vec![6, 1, 0, 0, 0xFF, 0xFF];
    no_command.resize(100, 0);
    for bad in [&b"x"[..], &[0; 100], &[0xFF; 600], &no_command] {
        to_commands.send_to(bad, ("127.0.0.1", house.command)).expect("sent");
        to_daemon.send_to(bad, house.file("run/chronyd.sock")).expect("sent");
    }
    let counted = || counts("malformed") >= before.map(|count| count + 8);
    assert!(eventually(PATIENCE, counted), "malformed commands: {before:?}, then {:?}", counts("malformed"));
    let output = house.call("chronyc", &["-h", "127.0.0.1", "-p", &house.command.to_string(), "makestep"]);
    assert!(words_of(&output).contains("501 Not authorised"), "{output:?}");
    assert!(counts("refused") >= Some(1), "{:?}", counts("refused"));

    // Control sockets and the page.
    for name in DAEMONS {
        let path = control::socket_path(&layout::Layout::house(house.root()), name);
        let body = b"{\"banto\":1,\"verb\":\"status\",\"args\":{}}";
        let mut frame = u32::try_from(body.len()).expect("short").to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        for round in 0..ROUNDS / 4 {
            let mut stream = UnixStream::connect(&path).expect("it listens");
            let _ = stream.write_all(&junk(round, &frame));
        }
        for evil in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02[]", b"\0\0\0\0", b"GET / HTTP/1.0\r\n\r\n"] {
            let mut stream = UnixStream::connect(&path).expect("it listens");
            let _ = stream.write_all(evil);
        }
        // The four of above at least; junk may be a good request.
        let counted = || {
            let status = house.ask(name, "status").unwrap_or_else(|error| panic!("{name}: {error}"));
            status["control"]["malformed"].as_u64() >= Some(4)
        };
        assert!(eventually(PATIENCE, counted), "{name}: bad frames are not counted");
        let refused = house.ask(name, "nosuch").expect_err("it is refused");
        assert!(refused.contains("nosuch") && refused.contains("status"), "{name}: {refused}");
    }
    for round in 0..ROUNDS / 4 {
        let mut page = TcpStream::connect(("127.0.0.1", house.web)).expect("webd listens");
        let _ =
            page.write_all(&junk(round, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"));
    }
    // All of it is told: in numbers always, in words because it is not nothing.
    let status = words_of(&house.call("status", &[]));
    for part in [
        "timed control: malformed",
        "timed ntp: malformed",
        "timed chronyc: malformed",
        "logd control:",
        "maild smtp:",
        "webd control:",
    ] {
        assert!(status.contains(part), "{part} is missing in:\n{status}");
    }
    let status = String::from_utf8_lossy(&house.call("status", &["--json"]).stdout).into_owned();
    let status: Value = status.parse().expect("JSON");
    for part in ["time", "log", "mail", "alerts", "web"] {
        assert!(status[part]["status"]["control"]["malformed"].as_u64() >= Some(4), "{part}: {status}");
    }
    let mut page = TcpStream::connect(("127.0.0.1", house.web)).expect("webd listens");
    write!(page, "GET / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n", house.web)
        .expect("sent");
    let mut text = String::new();
    page.read_to_string(&mut text).expect("an answer");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");

    assert_eq!(pids, DAEMONS.map(|name| house.pid(name)), "a daemon ended; said:\n{}", house.said());
    no_panic(&house.said());
}

/// A small file system of its own at a path, taken away at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None, and said, where nobody may mount.
    fn at(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).expect("a folder");
        let option = format!("size={size},mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(path).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            skip("only root can mount a small disk");
            return None;
        }
        Some(Self(path.to_path_buf()))
    }

    /// Takes all room.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("ballast")).expect("a file");
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).expect("the ballast is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Goal: with no room for the queue SMTP answers 452, what got 250 before is delivered, and mail is taken again once there is room.
#[test]
fn a_full_spool_refuses_and_keeps() {
    let house = House::furnished();
    let Some(disk) = SmallDisk::at(&house.file("spool"), "4m") else { return };
    let mut maild = house.start("maild", &[]);
    house.pid("maild");
    assert!(house.mail("before").starts_with("250"));
    disk.fill();
    let mut taken = Vec::new();
    let refused = (0..200).find_map(|number| {
        let answer = house.mail(&format!("full {number}."));
        if answer.starts_with("250") {
            taken.push(number);
        }
        (!answer.starts_with("250")).then_some(answer)
    });
    assert!(refused.as_deref().is_some_and(|answer| answer.starts_with("452")), "{refused:?}");
    let status = house.ask("maild", "status").expect("maild lives");
    assert!(status["refused"].as_u64().is_some_and(|count| count > 0), "it is counted: {status}");
    // A start on a full disk must lose nothing either.
    maild.kill();
    maild = house.start("maild", &[]);
    // It may run without room or end with an error: room comes only when that is decided.
    let mut ended = false;
    let decided = eventually(PATIENCE, || {
        ended = maild.0.try_wait().expect("our own child").is_some();
        ended || house.ask("maild", "ping").is_ok()
    });
    assert!(decided, "maild neither answers nor ends; said:\n{}", house.said());
    disk.free();
    if ended {
        maild = house.start("maild", &[]);
    }
    house.pid("maild");
    assert!(eventually(PATIENCE, || house.mail("after").starts_with("250")), "no mail is taken again");
    let delivered = || {
        let text = house.text("mail/root");
        ["before", "after"].iter().all(|subject| text.contains(&format!("Subject: {subject}\n")))
            && taken.iter().all(|number| text.contains(&format!("Subject: full {number}.\n")))
    };
    assert!(eventually(PATIENCE, delivered), "{taken:?} in {}", house.text("mail/root"));
    assert_eq!(maild.end(), Some(0));
    no_panic(&house.said());
}

/// Goal: with no room for the log, records are counted as lost and it is told once; what was synced stays, and logging goes on once
/// there is room.
#[test]
fn a_full_log_counts_and_recovers() {
    let house = House::furnished();
    let Some(disk) = SmallDisk::at(&house.file("log"), "40m") else { return };
    let mut logd = house.start("logd", &[]);
    house.pid("logd");
    house.log("kept one");
    house.ask("logd", "sync").expect("there is room");
    disk.fill();
    let lost = || {
        let status = house.ask("logd", "status").expect("logd lives");
        let outputs = status["outputs"].as_array().cloned().unwrap_or_default();
        let outputs: u64 = outputs.iter().filter_map(|output| output["lost"].as_u64()).sum();
        outputs + status["journal"]["lost"].as_u64().unwrap_or(0)
    };
    // A journal file has room ahead: large records use it up.
    let large = "y".repeat(60_000);
    let full = eventually(PATIENCE, || {
        for number in 0..20 {
            house.log(&format!("in need {number} {large}"));
        }
        let _ = house.ask("logd", "sync");
        lost() > 0
    });
    assert!(full, "nothing is counted as lost");
    disk.free();
    let mut number = 0;
    let again = eventually(PATIENCE, || {
        number += 1;
        house.log(&format!("room {number}"));
        house.ask("logd", "sync").is_ok() && house.journal().contains(&format!("room {number}"))
    });
    assert!(again, "logging does not go on: {:?}; said:\n{}", house.ask("logd", "sync"), house.said());
    let journal = house.journal();
    assert!(journal.contains("kept one"), "{}", house.said());
    let told = house.said().matches("counted as lost").count() + journal.matches("counted as lost").count();
    assert!((1..=20).contains(&told), "told {told} times:\n{}", house.said());
    assert_eq!(logd.end(), Some(0));
    let output = house.call("journalctl", &["--verify"]);
    assert!(output.status.success(), "{output:?}");
    no_panic(&house.said());
}

/// Goal: with no room for its state the alert daemon still alerts, counts what it could not save, and saves again once there is room.
#[test]
fn a_full_state_alerts_and_recovers() {
    let house = House::furnished();
    let Some(disk) = SmallDisk::at(&house.file("state"), "256k") else { return };
    let _up = house.up();
    disk.fill();
    let err =
        |text: &str| assert!(house.call("logger", &["-t", text, "-p", "user.err", text]).status.success());
    err("while-full");
    assert!(eventually(PATIENCE, || house.text("mail/root").contains("while-full")), "{}", house.said());
    let status = house.ask("alertd", "status").expect("alertd lives");
    assert!(status["save_errors"].as_u64().is_some_and(|count| count > 0), "{status}");
    disk.free();
    err("with-room");
    assert!(eventually(PATIENCE, || house.text("mail/root").contains("with-room")));
    let saved = || std::fs::read_dir(house.file("state")).is_ok_and(|files| files.flatten().count() > 0);
    assert!(saved(), "the state is saved again");
    // A new start knows what was told; what is being told at that moment may come twice, so none is.
    let quiet = || house.ask("alertd", "status").is_ok_and(|status| status["waiting"] == 0);
    assert!(eventually(PATIENCE, quiet), "{:?}", house.ask("alertd", "status"));
    sys::signal::send(u32::try_from(house.pid("alertd")).expect("an id"), sys::signal::KILL)
        .expect("it runs");
    assert!(eventually(PATIENCE, || house.said().contains("alertd is back")), "{}", house.said());
    err("last-one");
    assert!(eventually(PATIENCE, || house.text("mail/root").contains("last-one")));
    let mails = house.text("mail/root");
    assert_eq!(mails.matches("journalctl SYSLOG_IDENTIFIER=with-room").count(), 1, "{mails}");
    no_panic(&house.said());
}

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
        command.args(words).current_dir(house.dir.path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command.env("BANTO_CLOCK_READ_ONLY", "1").env_remove("BANTO_DIR");
        dir.map(|dir| command.env("BANTO_DIR", dir));
        command.output().expect("banto starts")
    };
    let output = elsewhere(&["status"], None);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words_of(&output).contains("help: say where it is: banto --dir DIR status (or BANTO_DIR=DIR)"),
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
    for name in ["timed: reloaded", "logd: reloaded", "maild: reloaded", "alertd: reloaded", "webd: "] {
        assert!(said.contains(name), "{name} is missing in:\n{said}");
    }
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
    let folder = house.dir.join("sources");
    house.dir.write("sources/dhcp.sources", "server ok.example iburst\nsrver bad.example\n");
    let chrony = house.text("etc/chrony.conf");
    house.write("etc/chrony.conf", &format!("{chrony}\nsourcedir {}\n", folder.display()));
    house.dir.write("forwards/root", "# kept\n\\root, \"|unclosed\n");
    let main = house.text("etc/main.cf");
    let forward = house.dir.join("forwards/$user");
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
        ("chronyc tracking", 1, "Could not open connection to daemon", "banto --dir DIR up"),
        ("chronyc -p PORT nosuch", 1, "Unrecognized command", "help"),
        ("chronyc -p PORT tracking", 1, "506 Cannot talk to daemon", "banto --dir DIR up"),
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
