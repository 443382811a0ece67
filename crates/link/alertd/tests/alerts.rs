//! The daemon as a process: a journal that the test writes, a script in the place of sendmail, kills in between.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use control::{Client, Value};
use journal_file::{EntryRef, Fields, Id128, JournalWriter, Limits, WriterOptions};
use record::{MonotonicMicros, UnixMicros};

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

struct House {
    dir: PathBuf,
    journal: JournalWriter,
    daemon: Option<Child>,
    boot: Id128,
}

impl House {
    /// A house whose sendmail appends each mail to the file `mails`, unless a file `broken` stands.
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("alertd-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        for folder in ["etc", "run", "log/journal"] {
            std::fs::create_dir_all(dir.join(folder)).expect("a folder");
        }
        let script = format!(
            "#!/bin/sh\nif [ -e {0}/broken ]; then cat >/dev/null; echo no queue >&2; exit 75; fi\n\
             cat >{0}/mail.$$; cat {0}/mail.$$ >>{0}/mails; rm {0}/mail.$$\n",
            dir.display()
        );
        std::fs::write(dir.join("sendmail"), script).expect("a script");
        let toml = format!(
            "sendmail = [\"/bin/sh\", \"{}/sendmail\"]\nmails_per_hour = 1000\n[[rule]]\nname = \"errors\"\nmatch = {{ selector = \"*.err\" }}\nto = [\"root\"]\n\
             group_interval = \"1s\"\nmails_per_hour = 1000\n",
            dir.display()
        );
        std::fs::write(dir.join("etc/banto.toml"), toml).expect("a file");
        let id = |text: &str| Id128::parse(text).expect("an id");
        let machine_id = id("0123456789abcdef0123456789abcdef");
        let boot = id("11111111111111111111111111111111");
        let options =
            WriterOptions { name: "system".to_owned(), machine_id, boot_id: boot, limits: Limits::default() };
        let folder = dir.join("log/journal/0123456789abcdef0123456789abcdef");
        let journal = JournalWriter::open(&folder, options, now()).expect("a journal");
        Self { dir, journal, daemon: None, boot }
    }

    fn start(&mut self) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_alertd"));
        command.arg("--dir").arg(&self.dir).stdin(Stdio::null());
        self.daemon = Some(command.spawn().expect("it starts"));
        assert!(eventually(|| self.ask("ping").is_some()), "it answers");
    }

    fn log(&mut self, fields: &[(&str, &str)]) {
        let mut pairs: Vec<(&[u8], &[u8])> =
            fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        // As the log daemon has it of every local sender.
        let uid = sys::process::effective_uid().to_string();
        pairs.push((b"_UID", uid.as_bytes()));
        let entry = EntryRef {
            realtime: UnixMicros(now()),
            monotonic: MonotonicMicros(sys::clock::monotonic_ns() as u64 / 1000),
            boot_id: self.boot,
            fields: Fields::Pairs(&pairs),
        };
        self.journal.append(&entry).expect("appended");
        self.journal.publish().expect("published");
    }

    fn err(&mut self, message: &str) {
        self.log(&[("MESSAGE", message), ("PRIORITY", "3"), ("SYSLOG_IDENTIFIER", "app")]);
    }

    fn ask(&self, verb: &str) -> Option<Value> {
        let mut client = Client::connect(&self.dir.join("run/alertd.ctl"), PATIENCE).ok()?;
        client.call(verb, Value::Null).ok()
    }

    fn mails(&self) -> String {
        std::fs::read_to_string(self.dir.join("mails")).unwrap_or_default()
    }

    fn kill(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        daemon.kill().expect("killed");
        daemon.wait().expect("ended");
    }

    fn end(&mut self) {
        let mut daemon = self.daemon.take().expect("it runs");
        sys::signal::send(daemon.id(), sys::signal::TERM).expect("it runs");
        assert!(eventually(|| daemon.try_wait().expect("a child").is_some()), "it ends");
        assert!(daemon.wait().expect("ended").success());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn now() -> u64 {
    sys::clock::realtime_ns() as u64 / 1000
}

fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Goal: a record becomes a mail, what follows one digest, an alert's echo nothing, and the doctor's nonce a mail of its own.
#[test]
fn records_become_mails() {
    let mut house = House::new("mails");
    house.start();
    house.err("disk 1 full");
    assert!(eventually(|| count(&house.mails(), "X-Banto-Alert: ") == 1), "{}", house.mails());
    for number in 2..=5 {
        house.err(&format!("disk {number} full"));
    }
    house.log(&[("MESSAGE", "echo"), ("PRIORITY", "0"), ("BANTO_ALERT_ID", "banto-1")]);
    house.log(&[("MESSAGE", "doctor"), ("PRIORITY", "6"), ("BANTO_DOCTOR", "abc123")]);
    assert!(eventually(|| house.mails().contains("Nonce:  abc123")));
    assert!(
        eventually(|| house.mails().contains("Count:  4 since the last mail, 5 in all")),
        "{}",
        house.mails()
    );
    let status = house.ask("status").expect("a status");
    assert_eq!(
        (&status["fired"], &status["suppressed"], &status["own_echoes"]),
        (&3.into(), &4.into(), &1.into()),
        "{status:#}"
    );
    let mails = house.ask("mails").expect("mails");
    assert!(
        mails
            .as_array()
            .expect("a list")
            .iter()
            .any(|mail| mail["nonce"] == "abc123" && mail["sent"] == true),
        "{mails:#}"
    );
    house.end();
}

/// Goal: a sendmail that fails loses nothing: the mail is tried again, also over a kill of the daemon, under the same id.
#[test]
fn a_failing_sendmail_loses_nothing() {
    let mut house = House::new("failing");
    std::fs::write(house.dir.join("broken"), "").expect("a file");
    house.start();
    house.err("disk full");
    let failed = |house: &House| {
        house.ask("status").is_some_and(|status| status["failed_attempts"].as_u64() > Some(0))
    };
    assert!(eventually(|| failed(&house)));
    let mails = house.ask("mails").expect("mails");
    assert!(mails[0]["error"].as_str().is_some_and(|error| error.contains("no queue")), "{mails:#}");
    let id = mails[0]["id"].as_str().expect("an id").to_owned();
    house.kill();
    std::fs::remove_file(house.dir.join("broken")).expect("removed");
    house.start();
    assert!(eventually(|| house.mails().contains(&format!("X-Banto-Alert: {id}"))), "{}", house.mails());
    assert!(eventually(|| house.ask("status").is_some_and(|status| status["waiting"] == 0)));
    house.end();
}

/// Goal: kills at random moments lose no record and invent none: each problem is told at least once, each of its mails under one id.
#[test]
fn kills_lose_nothing() {
    let mut house = House::new("kills");
    house.start();
    let word = |number: u64| -> String {
        (0..4).map(|place| char::from(b'g' + ((number >> (4 * place)) & 15) as u8)).collect()
    };
    for round in 0..20u64 {
        for number in 0..5 {
            house.err(&format!("trouble with {}", word(round * 5 + number)));
        }
        std::thread::sleep(Duration::from_millis(sys::random::u64() % 25));
        house.kill();
        house.start();
    }
    for number in 0..100 {
        let wanted = format!("err: trouble with {}", word(number));
        assert!(eventually(|| house.mails().contains(&wanted)), "{wanted} was never told");
    }
    let mails = house.mails();
    let mut ids: Vec<&str> = mails.lines().filter_map(|line| line.strip_prefix("X-Banto-Alert: ")).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 100, "one id a problem");
    assert!(all <= 100 + 20, "at most the mails that a kill cut short are doubled: {all}");
    house.end();
}

/// Goal: a reload takes new rules, and a bad file changes nothing and is explained.
#[test]
fn a_bad_reload_changes_nothing() {
    let mut house = House::new("reload");
    house.start();
    let path: &Path = &house.dir.join("etc/banto.toml");
    let good = std::fs::read_to_string(path).expect("a file");
    std::fs::write(path, good.replace("*.err", "*.eror")).expect("written");
    let mut client = Client::connect(&house.dir.join("run/alertd.ctl"), PATIENCE).expect("connected");
    let refused = client.call("reload", Value::Null).expect_err("refused").to_string();
    for part in ["banto.toml:5", "eror", "^", "help"] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    house.err("still heard");
    assert!(eventually(|| house.mails().contains("still heard")));
    std::fs::write(path, good.replace("*.err", "*.crit")).expect("written");
    client.call("reload", Value::Null).expect("taken");
    house.err("no longer heard");
    house.log(&[("MESSAGE", "this is"), ("PRIORITY", "2"), ("SYSLOG_IDENTIFIER", "app")]);
    assert!(eventually(|| house.mails().contains("this is")));
    assert!(!house.mails().contains("no longer heard"));
    house.end();
}

/// Goal: records that the journal's limits delete before they are looked at are counted, exactly; what is read in time is not.
#[test]
fn deleted_records_are_noticed() {
    let mut house = House::new("gap");
    house.start();
    house.err("disk full");
    assert!(eventually(|| house.mails().contains("disk full")));
    let missed = |house: &House| house.ask("status").map(|status| status["missed"].clone());
    assert_eq!(missed(&house), Some(0.into()));
    house.kill();
    for number in 0..7 {
        house.err(&format!("deleted before it is read {number}"));
    }
    house.journal.rotate().expect("rotated");
    let keep = journal_file::Vacuum { max_files: Some(1), ..Default::default() };
    assert!(house.journal.vacuum(keep).expect("deleted") > 0);
    house.err("fan stopped");
    house.start();
    assert!(eventually(|| house.mails().contains("fan stopped")));
    assert_eq!(missed(&house), Some(7.into()), "{}", house.mails());
    house.journal.rotate().expect("rotated");
    house.err("door open");
    assert!(eventually(|| house.mails().contains("door open")));
    assert_eq!(missed(&house), Some(7.into()));
    house.end();
}
