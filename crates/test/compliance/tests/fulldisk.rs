//! A full disk: what cannot be taken is counted and told, what was acknowledged stays, and work goes on once there is room.
//!
//! Each part of a house whose disk is full has a small file system of its own; mounting one takes root.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::house::no_panic;
use compliance::{House, eventually, skip};

/// How long anything may take; far more than it does.
const PATIENCE: Duration = Duration::from_secs(30);

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
