//! What somebody who means harm tries against a running house: each test is a hole that was found and closed.
//!
//! Each test furnishes a house with ports of its own and ends it by its own process id. What needs a second user is skipped,
//! loudly, where the tests do not run as root.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::Deref;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use compliance::{Running, eventually, skip};
use serde_json::Value;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user id that stands for "anybody else".
const STRANGER: &str = "65534";

/// A house that runs.
struct House {
    _up: Running,
    rooms: compliance::House,
}

impl Deref for House {
    type Target = compliance::House;

    fn deref(&self) -> &Self::Target {
        &self.rooms
    }
}

impl House {
    /// A house that runs, without a time source.
    fn new() -> Self {
        let rooms = compliance::House::furnished();
        // The folder of the test is its user's alone; the stranger has to get in.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(rooms.dir().path(), open).expect("our own folder");
        let up = rooms.start("up", &[]);
        let ready = eventually(PATIENCE, || rooms.said().contains("Ready after"));
        assert!(ready, "not ready:\n{}", rooms.said());
        Self { _up: up, rooms }
    }

    fn run(&self, words: &[&str]) -> Output {
        self.call(words[0], &words[1..])
    }

    /// A shell's words as a stranger; `$D` is the house. None where we cannot become one.
    fn as_stranger(&self, script: &str) -> Option<Command> {
        if sys::process::effective_uid() != 0 {
            skip("a second user needs root");
            return None;
        }
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups", "sh", "-c", script])
            .env("D", self.root())
            .stdin(Stdio::null());
        Some(command)
    }

    /// The journal's records that have these fields.
    fn records(&self, matches: &[&str]) -> Vec<Value> {
        let words: Vec<&str> = ["journalctl", "-o", "json"].iter().chain(matches).copied().collect();
        let output = self.run(&words);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Sends native datagrams to the journal by the user who runs the test.
    fn native(&self, datagram: &[u8]) {
        let socket = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        socket.send_to(datagram, self.file("run/journal.socket")).expect("sent");
    }
}

/// A mail by SMTP from the network, with these header lines.
fn send_by_network(port: u16, header: &str) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let mut hear = |expected: &str| {
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"\n") {
            assert_eq!(stream.read(&mut byte).expect("an answer"), 1);
            said.push(byte[0]);
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with(expected), "{said}");
        stream.try_clone().expect("a descriptor")
    };
    let mut speaker = hear("220");
    for (line, expected) in [
        ("HELO x\r\n".to_owned(), "250"),
        ("MAIL FROM:<stranger@example.org>\r\n".to_owned(), "250"),
        ("RCPT TO:<root>\r\n".to_owned(), "250"),
        ("DATA\r\n".to_owned(), "354"),
        (format!("{header}\r\nSubject: x\r\n\r\nbody\r\n.\r\n"), "250"),
    ] {
        speaker.write_all(line.as_bytes()).expect("sent");
        hear(expected);
    }
}

/// Goal: mail from the network that says it is an alert hides nothing: its delivery record can still match a rule. The doctor's
/// own mail is believed.
#[test]
fn a_forged_alert_header_hides_nothing() {
    let house = House::new();
    send_by_network(house.smtp, "X-Banto-Alert: banto-0123456789abcdef\r\nMessage-ID: <forged@example.org>");
    let delivered = || house.records(&["BANTO_EVENT=mail.delivery", "MAIL_MESSAGE_ID=<forged@example.org>"]);
    assert!(eventually(PATIENCE, || !delivered().is_empty()), "no delivery record");
    assert!(delivered().iter().all(|record| record.get("BANTO_ALERT_ID").is_none()), "{:?}", delivered());
    let doctor = house.run(&["doctor"]);
    assert!(doctor.status.success(), "{doctor:?}");
}

/// Goal: a stranger's record with an alert's id is told like any other, and his doctor's nonces make no mail.
#[test]
fn a_stranger_is_no_alert_and_no_doctor() {
    let house = House::new();
    let script = "for n in 1 2 3 4 5; do printf 'MESSAGE=n\\nPRIORITY=6\\nBANTO_DOCTOR=nonce%s\\n' $n | \
                  \"$B\" --dir \"$D\" logger --journald; done; \
                  printf 'MESSAGE=water in the cellar\\nPRIORITY=3\\nBANTO_ALERT_ID=banto-1\\n' | \
                  \"$B\" --dir \"$D\" logger --journald";
    let Some(mut command) = house.as_stranger(script) else { return };
    let output = command.env("B", compliance::banto()).output().expect("setpriv");
    assert!(output.status.success(), "{output:?}");
    let mailbox = || house.text("mail/root");
    assert!(eventually(PATIENCE, || mailbox().contains("water in the cellar")), "{}", mailbox());
    assert!(!mailbox().contains("X-Banto-Doctor"), "{}", mailbox());
}

/// Goal: a user who logs without end uses up his own share of the journal, not the daemons': the doctor still holds.
#[test]
fn a_flood_of_one_user_silences_no_other() {
    let house = House::new();
    let script = "seq 1 12000 | \"$B\" --dir \"$D\" logger -t flood";
    let Some(mut command) = house.as_stranger(script) else { return };
    let output = command.env("B", compliance::banto()).output().expect("setpriv");
    assert!(output.status.success(), "{output:?}");
    house.native(b"MESSAGE=still heard\nPRIORITY=6\nHEARD=yes\n");
    assert!(eventually(PATIENCE, || !house.records(&["HEARD=yes"]).is_empty()), "silenced");
    let doctor = house.run(&["doctor"]);
    assert!(doctor.status.success(), "{doctor:?}");
}

/// Goal: whoever floods the house with mail fills the mail daemon's share of the journal, not root's other programs': what one of these
/// says is kept and becomes an alert.
#[test]
fn a_flood_of_mail_silences_nobody() {
    let house = House::new();
    let limits = std::fs::read_to_string(house.file("etc/journald.conf")).expect("a file of the house");
    let limits = limits.replace("RateLimitBurst=10000", "RateLimitBurst=100");
    std::fs::write(house.file("etc/journald.conf"), limits).expect("a file of the house");
    let reload = house.run(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    let suppressing = || !house.records(&["BANTO_EVENT=input.suppressing"]).is_empty();
    for number in 0..100 {
        send_by_network(house.smtp, &format!("X-Number: {number}"));
    }
    assert!(eventually(PATIENCE, suppressing), "the flood is too small");
    let logger = house.run(&["logger", "-p", "user.crit", "the disk is dying"]);
    assert!(logger.status.success(), "{logger:?}");
    let mailbox = || house.text("mail/root");
    assert!(eventually(PATIENCE, || mailbox().contains("crit: the disk is dying")), "nobody was told");
}

/// Goal: readers who open connections to the page and finish no request shut nobody out, and hold a bounded number of descriptors.
#[test]
fn slow_readers_do_not_hold_the_page() {
    let house = House::new();
    let request =
        format!("GET /status.json HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n", house.web);
    let slow: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", house.web)).expect("a connection");
            let _ = stream.write_all(request.as_bytes());
            stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket option");
            stream
        })
        .collect();
    let mut stream = TcpStream::connect(("127.0.0.1", house.web)).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    stream.write_all(format!("{request}\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The first ones have been closed to make room.
    let ended = |mut stream: &TcpStream| match stream.read(&mut [0; 16]) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut),
    };
    assert!(slow.iter().take(200).all(ended), "connections stay open without end");
}

/// Goal: a stranger can neither take the house's lock, which would keep it from starting, nor read its queue or mailboxes.
#[test]
fn a_stranger_holds_no_lock_and_reads_no_mail() {
    let house = House::new();
    let script = "for f in run/up.lock mail/root spool/mail state/alertd.json; do \
                  if test -r \"$D/$f\"; then echo \"readable: $f\"; fi; done; test -r \"$D/run/up.json\" && echo looked";
    let Some(mut command) = house.as_stranger(script) else { return };
    let output = command.output().expect("setpriv");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "looked\n");
    let status = house.as_stranger("\"$B\" --dir \"$D\" status").expect("we are root");
    let output = { status }.env("B", compliance::banto()).output().expect("setpriv");
    // The clock's socket is its owner's alone; the rest is told to everybody.
    assert!(String::from_utf8_lossy(&output.stdout).contains("Log      kept"), "{output:?}");
}
