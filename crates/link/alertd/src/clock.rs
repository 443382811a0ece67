//! `mailonchange` of chrony.conf: who is told when the time daemon changes the clock by more than a threshold.
//!
//! The record says that the clock was changed; to whom the mail goes is read from chrony.conf, where only root writes, and never
//! from a record. What a record claims counts only where the kernel vouches for its sender (`_UID`).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use alert_core::{CLOCK_RULE, Match, Rule};
use chrony_conf::Settings;
use conf_text::{Diagnostics, FileLoader, Sources};
use layout::Layout;
use record::Record;

/// The event of the time daemon's record of a change above the threshold.
const EVENT: &str = "clock.changed";

/// Whether a record says that the clock was changed above the threshold.
pub fn claims_change(record: &Record) -> bool {
    record.field("BANTO_EVENT") == Some(EVENT.as_bytes())
}

/// The rule that follows from chrony.conf as it is now. An error where the file cannot be taken: what was known before holds.
pub fn rule(layout: &Layout) -> Result<Option<Rule>, ()> {
    let settings = settings(layout)?;
    Ok(settings.mail_on_change.filter(|one| banto_conf::is_address(&one.address)).map(|one| Rule {
        name: CLOCK_RULE.to_owned(),
        matching: Match {
            fields: [("BANTO_EVENT".to_owned(), vec![EVENT.to_owned()])].into(),
            house_only: true,
            ..Match::default()
        },
        to: vec![one.address],
        group_by: Vec::new(),
        group_wait: std::time::Duration::ZERO,
        group_interval: banto_conf::GROUP_INTERVAL_DEFAULT,
        repeat_interval: banto_conf::REPEAT_INTERVAL_DEFAULT,
        mails_per_hour_max: banto_conf::RULE_MAILS_PER_HOUR_DEFAULT,
    }))
}

/// Whether the time daemon runs as `uid`: the house's own users, the `user` of chrony.conf, or whoever the daemon's command socket
/// belongs to, which it gives to the user that it becomes.
pub fn is_time_daemon(layout: &Layout, uid: u32) -> bool {
    let owns = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|info| info.uid() == uid);
    let named = || {
        let name = settings(layout).ok()?.user?;
        sys::user::by_name(&name).ok().flatten()
    };
    control::is_house(layout, uid)
        || owns(&chrony_cmd::socket_path(layout))
        || named().is_some_and(|user| user.uid == uid)
}

fn settings(layout: &Layout) -> Result<Settings, ()> {
    let path = chrony_conf::conf_path(layout);
    let mut settings = Settings::new(layout);
    if !path.exists() {
        return Ok(settings);
    }
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    chrony_conf::load(&path, &mut settings, &mut FileLoader, &mut sources, &mut diagnostics);
    if diagnostics.has_errors() { Err(()) } else { Ok(settings) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the recipient is chrony.conf's, none without the directive, and a file with a mistake changes nothing.
    #[test]
    fn the_recipient_is_the_configurations() {
        let dir = std::env::temp_dir().join(format!("alertd-clock-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).expect("a folder");
        let layout = Layout::house(&dir);
        assert!(matches!(rule(&layout), Ok(None)), "no file");
        let check = |text: &str, expected: Result<Option<&str>, ()>| {
            std::fs::write(dir.join("etc/chrony.conf"), text).expect("a file");
            let to = rule(&layout).map(|rule| rule.map(|rule| rule.to.join(",")));
            assert_eq!(to, expected.map(|to| to.map(str::to_owned)), "{text}");
        };
        check("port 0\n", Ok(None));
        check("mailonchange ann@example.org 0.5\n", Ok(Some("ann@example.org")));
        check("mailonchange ann@example.org 0.5\nprot 0\n", Err(()));
        check("mailonchange -oQ/tmp 0.5\n", Err(()));
        std::fs::remove_dir_all(&dir).expect("removable");
    }

    /// Goal: no record of a stranger makes a mail, whatever it says; one of the time daemon does.
    #[test]
    fn a_strangers_record_makes_no_mail() {
        let rule = Rule {
            matching: Match { house_only: true, ..Match::default() },
            ..rule_of("mailonchange root 1")
        };
        let mut record = Record::default();
        record.push("BANTO_EVENT", EVENT.as_bytes().to_vec());
        record.push("BANTO_MAIL_TO", b"mallory@example.org".to_vec());
        assert!(claims_change(&record));
        assert!(!rule.matching.holds(&record, false) && rule.matching.holds(&record, true));
        assert_eq!(rule.to, ["root"]);
        let dir = std::env::temp_dir().join(format!("alertd-uid-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("run")).expect("a folder");
        let layout = Layout::house(&dir);
        assert!(is_time_daemon(&layout, 0) && is_time_daemon(&layout, sys::process::effective_uid()));
        assert!(!is_time_daemon(&layout, 65_533));
        std::fs::remove_dir_all(&dir).expect("removable");
    }

    fn rule_of(line: &str) -> Rule {
        let dir = std::env::temp_dir().join(format!("alertd-rule-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("etc")).expect("a folder");
        std::fs::write(dir.join("etc/chrony.conf"), format!("{line}\n")).expect("a file");
        let found = rule(&Layout::house(&dir)).expect("a right file").expect("a rule");
        std::fs::remove_dir_all(&dir).expect("removable");
        found
    }
}
