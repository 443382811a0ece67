//! A house of a test's own: its folder, its ports, its programs.

use crate::{Running, TempDir, banto, eventually, free_port};
use control::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);
/// The daemons of a house.
pub const DAEMONS: [&str; 5] = ["logd", "timed", "maild", "alertd", "webd"];

/// A furnished house without a time source, with ports of its own.
#[derive(Debug)]
pub struct House {
    dir: TempDir,
    /// UDP port of the time.
    pub ntp: u16,
    /// UDP port of chronyc's commands.
    pub command: u16,
    /// UDP and TCP port of the log.
    pub syslog: u16,
    /// TCP port of the mail.
    pub smtp: u16,
    /// TCP port of the page.
    pub web: u16,
}

impl House {
    /// Furnishes one; nothing runs yet.
    pub fn furnished() -> Self {
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

    /// The folder around it, where a test may keep what is its own.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Its folder.
    pub fn root(&self) -> PathBuf {
        self.dir.join("h")
    }

    /// The path of something in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// What stands in a file; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.file(name)).unwrap_or_default()).into_owned()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        self.dir.write(&format!("h/{name}"), text);
    }

    /// A call of one of its programs, which reads nothing.
    pub fn prepared(&self, name: &str, words: &[&str]) -> Command {
        let mut command = in_house(&self.root(), name);
        command.args(words);
        command
    }

    /// What one of its programs says to these words, once it has ended.
    pub fn call(&self, name: &str, words: &[&str]) -> Output {
        self.prepared(name, words).output().expect("banto starts")
    }

    /// Starts one of its programs; it may not answer yet.
    pub fn start(&self, name: &str, words: &[&str]) -> Running {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("said"));
        let log = log.expect("a file");
        let mut command = self.prepared(name, words);
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        Running::start(&mut command)
    }

    /// Starts the whole house and waits for all of it.
    pub fn up(&self) -> Running {
        let up = self.start("up", &[]);
        for name in DAEMONS {
            self.pid(name);
        }
        up
    }

    /// What those that were started have written so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("said")).unwrap_or_default()
    }

    /// A daemon's answer on its control socket, or why there is none.
    pub fn ask(&self, name: &str, verb: &str) -> Result<Value, String> {
        let path = control::socket_path(&layout::Layout::house(self.root()), name);
        let mut client = control::Client::connect(&path, PATIENCE).map_err(|error| error.to_string())?;
        client.call(verb, control::json!({})).map_err(|error| error.to_string())
    }

    /// The process that answers for a daemon; waits until one does.
    pub fn pid(&self, name: &str) -> u64 {
        let mut pid = None;
        eventually(PATIENCE, || {
            pid = self.ask(name, "ping").ok().and_then(|value| value["pid"].as_u64());
            pid.is_some()
        });
        pid.unwrap_or_else(|| panic!("{name} does not answer; said:\n{}", self.said()))
    }

    /// Sends a record to its log.
    pub fn log(&self, text: &str) {
        let socket = UnixDatagram::unbound().expect("a socket");
        let record = format!("MESSAGE={text}\nPRIORITY=6\nSYSLOG_IDENTIFIER=bad\n");
        socket
            .send_to(record.as_bytes(), self.file("run/journal.socket"))
            .expect("the native socket is there");
    }

    /// The messages of its log.
    pub fn journal(&self) -> String {
        let output = self.call("journalctl", &["-o", "cat", "--no-pager"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sends a mail by SMTP; the answer to its text.
    pub fn mail(&self, subject: &str) -> String {
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

/// A call of one of the programs of the house in this folder, which reads nothing.
pub fn in_house(root: &Path, name: &str) -> Command {
    let mut command = Command::new(banto());
    command.arg("--dir").arg(root).arg(name);
    command.env("BANTO_CLOCK_READ_ONLY", "1").env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
    command.stdin(Stdio::null());
    command
}

/// All that a program said.
pub fn words_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Nothing in this text comes from a panic.
pub fn no_panic(text: &str) {
    assert!(!text.contains("panicked at") && !text.contains("RUST_BACKTRACE"), "{text}");
}
