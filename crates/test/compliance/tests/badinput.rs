//! Bad input: configuration with mistakes and malformed packets.
//!
//! Always the same expectations: every mistake is told with its place and a help that can be followed, nothing panics, what runs goes
//! on running, and what cannot be taken is counted.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use compliance::house::{DAEMONS, no_panic, words_of};
use compliance::{House, eventually};
use control::Value;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Goal: a pipe that nobody writes, in the place of the alert daemon's state or of a journal file, does not hold its start.
#[test]
fn pipes_do_not_hold_the_alert_daemon() {
    let house = House::furnished();
    let journal = journal_file::journal_dir(&layout::Layout::house(house.root()));
    std::fs::create_dir_all(&journal).expect("a folder");
    let _ = std::fs::create_dir_all(house.file("state"));
    for at in [
        house.file("state/alertd.json"),
        house.file("state/alertd.left"),
        journal.join("system.journal"),
        journal.join("system@0.journal"),
    ] {
        let made = std::process::Command::new("mkfifo").arg(&at).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", at.display());
    }
    let _alertd = house.start("alertd", &[]);
    let answers = || house.ask("alertd", "status").is_ok();
    assert!(eventually(Duration::from_secs(5), answers), "it does not answer: {}", house.said());
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
    let to_daemon = UnixDatagram::bind(house.dir().join("client.sock")).expect("a socket");
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
