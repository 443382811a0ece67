//! Goal: what the daemon does in a house, through its sockets and files only.
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use control::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// A house with a running daemon; the login `daemon` exists on every Linux.
struct House {
    dir: PathBuf,
    port: u16,
    child: Child,
}

impl House {
    fn start(name: &str, main_cf: &str, files: &[(&str, &str)]) -> Self {
        Self::start_at(free_port(), name, main_cf, files)
    }

    fn start_at(port: u16, name: &str, main_cf: &str, files: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("maild-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&dir).ok();
        let path = dir.display();
        let text = format!(
            "myhostname = h.example\nmydestination = h.example\nbanto_smtp_listen = 127.0.0.1:{port}\n\
             mail_spool_directory = {path}/mail\nalias_maps = hash:{path}/etc/aliases\nqueue_directory = {path}/spool\n\
             forward_path = {path}/etc/forward/$user\n{main_cf}"
        );
        let base = [("etc/main.cf", text.as_str()), ("etc/aliases", "")];
        for (name, content) in base.iter().chain(files) {
            let file = dir.join(name);
            std::fs::create_dir_all(file.parent().unwrap_or(&dir)).unwrap_or_else(|e| panic!("{e}"));
            let content = if *name == "etc/main.cf" { text.clone() } else { (*content).to_owned() };
            std::fs::write(file, content.replace("DIR", &path.to_string())).unwrap_or_else(|e| panic!("{e}"));
        }
        let child =
            Command::new(env!("CARGO_BIN_EXE_maild")).arg("--dir").arg(&dir).stdin(Stdio::null()).spawn();
        let house = Self { dir, port, child: child.unwrap_or_else(|e| panic!("{e}")) };
        assert!(eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "it does not listen");
        house
    }

    fn send(&self, from: &str, to: &str, content: &str) -> String {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap_or_else(|e| panic!("{e}"));
        let mut reader = BufReader::new(stream.try_clone().unwrap_or_else(|e| panic!("{e}")));
        let mut writer = stream;
        let mut answer = String::new();
        let lines = [
            String::new(),
            "HELO client.example\r\n".to_owned(),
            format!("MAIL FROM:<{from}>\r\n"),
            format!("RCPT TO:<{to}>\r\n"),
            "DATA\r\n".to_owned(),
            format!("{content}\r\n.\r\n"),
        ];
        for line in lines {
            writer.write_all(line.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
            answer.clear();
            reader.read_line(&mut answer).unwrap_or_else(|e| panic!("{e}"));
            if !answer.starts_with(['2', '3']) {
                break;
            }
        }
        answer
    }

    fn text(&self, file: &str) -> String {
        let bytes = std::fs::read(self.dir.join(file)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wait_for(&self, file: &str, words: &str) {
        assert!(eventually(|| self.text(file).contains(words)), "no {words} in {file}:\n{}", self.text(file));
    }

    fn ask(&self, verb: &str) -> Result<Value, String> {
        let socket = self.dir.join("run/maild.ctl");
        let mut client = control::Client::connect(&socket, PATIENCE).map_err(|e| e.to_string())?;
        client.call(verb, json!({})).map_err(|e| e.to_string())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

fn free_port() -> u16 {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    bound.map(|a| a.port()).unwrap_or_else(|e| panic!("{e}"))
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    condition()
}

fn new_files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).map(|d| d.filter_map(|e| Some(e.ok()?.path())).collect()).unwrap_or_default()
}

/// Goal: a trailing slash makes Maildirs: nothing stays in tmp, the file in new is whole and private.
#[test]
fn maildir() {
    let house = House::start("maildir", "mail_spool_directory = DIR/mail/\n", &[]);
    assert!(
        house.send("a@b.example", "daemon@h.example", "Subject: box\r\n\r\nFrom x\r\n..y").starts_with("250")
    );
    let new = house.dir.join("mail/daemon/new");
    assert!(eventually(|| new_files(&new).len() == 1), "{:?}", new_files(&new));
    let text = std::fs::read_to_string(&new_files(&new)[0]).unwrap_or_default();
    assert!(text.starts_with("Return-Path: <a@b.example>\nX-Original-To: daemon@h.example\n"), "{text}");
    assert!(text.ends_with("\n\nFrom x\n.y\n"), "{text}");
    assert!(new_files(&house.dir.join("mail/daemon/tmp")).is_empty());
}

/// Goal: .forward to a command, a file and oneself; one that others may write counts for nothing; a loop bounces.
#[test]
fn forwards() {
    use std::os::unix::fs::PermissionsExt;
    let forward = "\\daemon, \"|cat > DIR/out.command\"\nDIR/out.file\n";
    let files =
        [("etc/forward/daemon", forward), ("etc/forward/bin", "DIR/never\n"), ("etc/forward/sys", "sync\n")];
    let house = House::start("forward", "", &files);
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(house.dir.join("etc/forward/bin"), open).unwrap_or_else(|e| panic!("{e}"));
    for user in ["daemon", "bin", "sys"] {
        assert!(
            house
                .send("a@b.example", &format!("{user}@h.example"), "Subject: fw\r\n\r\nx")
                .starts_with("250")
        );
    }
    for file in ["mail/daemon", "out.command", "out.file", "mail/bin", "mail/sync"] {
        house.wait_for(file, "Subject: fw");
    }
    assert!(!house.dir.join("never").exists());
    let looping = "Delivered-To: sys@h.example\r\nSubject: again\r\n\r\nx";
    assert!(house.send("daemon@h.example", "sys@h.example", looping).starts_with("250"));
    house.wait_for("out.file", "Status: 5.4.6");
}

/// Goal: a full mailbox bounces, a bounce that bounces is dropped, and the queue ends empty.
#[test]
fn full_mailboxes_and_double_bounces() {
    let house = House::start("full", "mailbox_size_limit = 2000\n", &[]);
    let large = format!("Subject: large\r\n\r\n{}", "x".repeat(1900));
    assert!(house.send("bin@h.example", "daemon@h.example", &large).starts_with("250"));
    let emptied = || house.ask("queue").is_ok_and(|q| q.as_array().is_some_and(Vec::is_empty));
    assert!(
        eventually(|| house.ask("status").is_ok_and(|s| s["bounced"].as_u64() >= Some(2))),
        "{:?}",
        house.ask("status")
    );
    assert!(eventually(emptied), "{:?}", house.ask("queue"));
}

/// Goal: mail that must wait is listed, survives a restart by kill, and leaves after flush.
#[test]
fn deferred_mail_waits_for_flush() {
    let port = free_port();
    let mut house = House::start("flush", &format!("relayhost = [127.0.0.1]:{port}\n"), &[]);
    assert!(house.send("a@b.example", "daemon@far.example", "Subject: wait\r\n\r\nx").starts_with("250"));
    let reason = |house: &House| {
        let queue = house.ask("queue").unwrap_or_default();
        queue[0]["recipients"][0]["delay_reason"].as_str().unwrap_or("").to_owned()
    };
    assert!(eventually(|| reason(&house).contains("refused")), "{:?}", house.ask("queue"));
    house.child.kill().and_then(|()| house.child.wait()).unwrap_or_else(|e| panic!("{e}"));
    let child = Command::new(env!("CARGO_BIN_EXE_maild")).arg("--dir").arg(&house.dir).spawn();
    house.child = child.unwrap_or_else(|e| panic!("{e}"));
    assert!(eventually(|| house.ask("status").is_ok()));
    assert!(reason(&house).contains("refused"), "the reason is kept: {:?}", house.ask("queue"));
    assert_eq!(house.ask("status").map(|s| s["queue"]["deferred"].clone()), Ok(json!(1)));
    let far = House::start_at(port, "far", "mydestination = far.example\n", &[]);
    assert!(house.ask("flush").is_ok_and(|f| f["flushed"] == json!(1)));
    far.wait_for("mail/daemon", "Subject: wait");
}

/// Goal: a reload with mistakes is refused with their text and changes nothing; a good one counts.
#[test]
fn reloads() {
    let house = House::start("reload", "", &[]);
    let path = house.dir.join("etc/main.cf");
    let good = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, format!("{good}myhostnam = x\n")).unwrap_or_else(|e| panic!("{e}"));
    let refusal = house.ask("reload");
    assert!(refusal.as_ref().is_err_and(|e| e.contains("unknown parameter myhostnam")), "{refusal:?}");
    assert!(house.send("a@b.example", "daemon@h.example", "Subject: old\r\n\r\nx").starts_with("250"));
    std::fs::write(&path, format!("{good}message_size_limit = 100\n")).unwrap_or_else(|e| panic!("{e}"));
    assert!(house.ask("reload").is_ok());
    let large = format!("Subject: x\r\n\r\n{}", "x".repeat(300));
    assert!(eventually(|| house.send("a@b.example", "daemon@h.example", &large).starts_with("552")));
}

/// Goal: a message that went round too often is refused at the door.
#[test]
fn hops() {
    let house = House::start("hops", "hopcount_limit = 5\n", &[]);
    let content = |n: usize| format!("{}Subject: hop\r\n\r\nx", "Received: from a by b; now\r\n".repeat(n));
    assert!(house.send("a@b.example", "daemon@h.example", &content(5)).starts_with("250"));
    assert!(house.send("a@b.example", "daemon@h.example", &content(6)).starts_with("554 5.4.6"));
}

/// Goal: an edited alias file counts for the next message, and one with a mistake changes nothing.
#[test]
fn edited_aliases_count_at_once() {
    let house = House::start("aliases", "", &[]);
    assert!(house.send("a@b.example", "team@h.example", "Subject: t0\r\n\r\nx").starts_with("550 5.1.1"));
    std::fs::write(house.dir.join("etc/aliases"), "team: daemon\n").unwrap_or_else(|e| panic!("{e}"));
    assert!(house.send("a@b.example", "team@h.example", "Subject: t1\r\n\r\nx").starts_with("250"));
    house.wait_for("mail/daemon", "Subject: t1");
    std::fs::write(house.dir.join("etc/aliases"), "team bin\nother: bin\n").unwrap_or_else(|e| panic!("{e}"));
    assert!(house.send("a@b.example", "other@h.example", "Subject: t2\r\n\r\nx").starts_with("550"));
    assert!(house.send("a@b.example", "team@h.example", "Subject: t3\r\n\r\nx").starts_with("250"));
    house.wait_for("mail/daemon", "Subject: t3");
}
