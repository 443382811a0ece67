//! The engine driven by records and a clock of the test's own.

use std::time::Duration;

use super::*;
use crate::rule::Selector;

const SECOND: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * SECOND;

fn letterhead() -> Letterhead {
    Letterhead { host: "shop".into(), from: "root".into(), journalctl: "journalctl".into() }
}

fn rule(name: &str, wait_s: u64, mails_per_hour_max: u32) -> Rule {
    Rule {
        name: name.into(),
        matching: Match { selector: Some(Selector::parse("*.err").expect("valid")), ..Match::default() },
        to: vec!["root".into()],
        group_by: vec!["SYSLOG_IDENTIFIER".into(), "fingerprint".into()],
        group_wait: Duration::from_secs(wait_s),
        group_interval: Duration::from_secs(300),
        repeat_interval: Duration::from_secs(3_600),
        mails_per_hour_max,
    }
}

struct House {
    engine: Engine,
    sequence: u64,
}

impl House {
    fn new(rules: Vec<Rule>, overall: u32) -> Self {
        let engine = Engine::new(rules, vec!["root".into()], overall, letterhead(), State::default());
        Self { engine, sequence: 0 }
    }

    /// Logs `message` at `second` after the start; returns the mails made.
    fn log(&mut self, second: u64, priority: &str, message: &str, extra: &[(&str, &str)]) -> Vec<Letter> {
        self.log_as(true, second, priority, message, extra)
    }

    /// The same, by the house itself or by anybody else.
    fn log_as(
        &mut self,
        ours: bool,
        second: u64,
        priority: &str,
        message: &str,
        extra: &[(&str, &str)],
    ) -> Vec<Letter> {
        let now = UnixMicros(START + second * SECOND);
        let mut record = Record { realtime: now, fields: Vec::new() };
        record.push("MESSAGE", message);
        record.push("PRIORITY", priority);
        record.push("SYSLOG_IDENTIFIER", "app");
        for (name, value) in extra {
            record.push(*name, *value);
        }
        self.sequence += 1;
        let mut actions = Vec::new();
        self.engine.record(now, &format!("s={}", self.sequence), &record, ours, &mut actions);
        letters(actions)
    }

    fn wait_until(&mut self, second: u64) -> Vec<Letter> {
        let mut actions = Vec::new();
        self.engine.due(UnixMicros(START + second * SECOND), &mut actions);
        letters(actions)
    }
}

fn letters(actions: Vec<Action>) -> Vec<Letter> {
    actions
        .into_iter()
        .filter_map(|action| match action {
            Action::SendFirst(letter) | Action::SendDigest(letter) => Some(letter),
            Action::Persist => None,
        })
        .collect()
}

/// Goal: the first mail goes at once, the rest in one digest after the interval, then every repeat interval, and a quiet group
/// starts anew.
#[test]
fn first_at_once_then_digests() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    let first = house.log(0, "3", "disk 1 full", &[]);
    assert_eq!(first.iter().map(|l| (l.kind, l.count)).collect::<Vec<_>>(), [(Kind::First, 1)]);
    for second in 1..=7 {
        assert!(house.log(second, "3", &format!("disk {second} full"), &[]).is_empty());
    }
    assert!(house.wait_until(299).is_empty());
    let digest = house.wait_until(300);
    assert_eq!(digest.iter().map(|l| (l.kind, l.count)).collect::<Vec<_>>(), [(Kind::Digest, 7)]);
    assert_ne!(digest[0].id, first[0].id);
    assert!(digest[0].text.contains("Count:  7 since the last mail, 8 in all"), "{}", digest[0].text);
    assert!(house.log(400, "3", "disk 9 full", &[]).is_empty());
    assert!(house.wait_until(3_899).is_empty());
    assert_eq!(house.wait_until(3_900).len(), 1);
    assert!(house.wait_until(7_500).is_empty(), "nothing followed");
    assert_eq!(house.log(7_501, "3", "disk 9 full", &[])[0].kind, Kind::First);
    let counts = &house.engine.counts()[0];
    assert_eq!((counts.matched, counts.fired, counts.suppressed), (10, 4, 8));
}

/// Goal: a group wait collects before the first mail.
#[test]
fn a_group_wait_collects() {
    let mut house = House::new(vec![rule("errors", 10, 100)], 100);
    assert!(house.log(0, "3", "disk 1 full", &[]).is_empty());
    assert!(house.log(5, "3", "disk 2 full", &[]).is_empty());
    assert_eq!(house.engine.next_due(), Some(UnixMicros(START + 10 * SECOND)));
    let mails = house.wait_until(10);
    assert_eq!(mails.iter().map(|l| (l.kind, l.count)).collect::<Vec<_>>(), [(Kind::First, 2)]);
}

/// Goal: with a group wait, the record that the first mail tells of is suppressed only when a budget holds that mail back.
#[test]
fn a_group_wait_suppresses_nothing_by_itself() {
    let mut house = House::new(vec![rule("errors", 10, 1)], 100);
    let counts = |house: &House| {
        let counts = &house.engine.counts()[0];
        (counts.matched, counts.fired, counts.suppressed)
    };
    house.log(0, "3", "disk full", &[]);
    house.wait_until(10);
    assert_eq!(counts(&house), (1, 1, 0));
    house.log(11, "3", "fan stopped", &[]);
    assert!(house.wait_until(21).is_empty(), "the budget is used up");
    assert_eq!(counts(&house), (2, 1, 1));
}

/// Goal: a mail refused for good is gone and counted once; the other mails stay.
#[test]
fn a_refusal_is_final() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    let first = house.log(0, "3", "disk full", &[]).remove(0);
    let second = house.log(1, "3", "fan stopped", &[]).remove(0);
    house.engine.hand_over_refused(&first.id);
    house.engine.hand_over_refused(&first.id);
    let left: Vec<String> =
        house.engine.to_hand_over(UnixMicros(START + 1_000 * SECOND)).map(|l| l.id.clone()).collect();
    assert_eq!(left, [second.id]);
    assert_eq!(house.engine.counts()[0].failed, 1);
}

/// Goal: a subject that is cut stays readable as it is.
#[test]
fn a_cut_subject_is_not_encoded() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    let mails = house.log(0, "3", &"x".repeat(2_000), &[]);
    let subject = mails[0].text.lines().find(|line| line.starts_with("Subject: ")).expect("a subject");
    assert!(subject.starts_with("Subject: [shop] errors: app: ") && subject.ends_with("xxx..."), "{subject}");
    assert_eq!(subject.len(), "Subject: ".len() + 120);
}

/// Goal: a used-up budget holds mails back, one mail tells of all of it when the budget opens, and no record is uncounted.
#[test]
fn a_budget_holds_back_and_says_so() {
    let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot"];
    for (own, overall) in [(2, 100), (100, 2)] {
        let mut house = House::new(vec![rule("errors", 0, own)], overall);
        let mails: usize = words.iter().map(|word| house.log(1, "3", word, &[]).len()).sum();
        assert_eq!(mails, 2);
        let mut told = Vec::new();
        for second in (300..=7_200).step_by(60) {
            told.extend(house.wait_until(second));
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].count, 4);
        assert!(told[0].text.contains("4 different problems"), "{}", told[0].text);
        let counts = &house.engine.counts()[0];
        assert_eq!((counts.matched, counts.fired, counts.suppressed), (6, 3, 4));
    }
}

/// Goal: what was held back is said in the rule's next mail when that comes before the mail about it.
#[test]
fn suppressed_is_said_in_the_next_mail() {
    let mut house = House::new(vec![rule("errors", 0, 1)], 100);
    assert_eq!(house.log(0, "3", "alpha", &[]).len(), 1);
    assert!(house.log(3_500, "3", "bravo", &[]).is_empty());
    let next = house.log(3_601, "3", "charlie", &[]);
    assert!(next[0].text.contains("Suppressed: 1 records of this rule"), "{}", next[0].text);
}

/// Goal: a stranger's record is neither hidden by an alert's id nor mailed past the budget by a doctor's nonce.
#[test]
fn strangers_are_no_echo_and_no_doctor() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    assert_eq!(house.log_as(false, 0, "3", "break-in", &[("BANTO_ALERT_ID", "banto-1")]).len(), 1);
    let mails = house.log_as(false, 1, "3", "other words", &[("BANTO_DOCTOR", "abc-123")]);
    assert_eq!(mails.len(), 1);
    assert_eq!((mails[0].rule.as_str(), mails[0].nonce.as_deref()), ("errors", None));
    assert!(house.log_as(false, 2, "6", "quiet", &[("BANTO_DOCTOR", "abc-124")]).is_empty());
}

/// Goal: an alert's own echo matches nothing, and the doctor's record makes its mail whatever the budget, once.
#[test]
fn loops_are_cut_and_the_doctor_passes() {
    let mut house = House::new(vec![rule("errors", 0, 0)], 0);
    assert!(house.log(0, "3", "delivery failed", &[("BANTO_ALERT_ID", "banto-1")]).is_empty());
    assert_eq!(house.engine.counts()[0].matched, 0);
    let mails = house.log(1, "3", "doctor", &[("BANTO_DOCTOR", "abc-123")]);
    assert_eq!(mails.len(), 1);
    assert_eq!((mails[0].rule.as_str(), mails[0].nonce.as_deref()), ("doctor", Some("abc-123")));
    assert!(mails[0].text.contains("Nonce:  abc-123"));
    assert!(house.log(2, "3", "doctor", &[("BANTO_DOCTOR", "abc-123")]).is_empty(), "a nonce passes once");
    assert!(house.log(3, "3", "doctor", &[("BANTO_DOCTOR", "a\nBcc: x")]).is_empty(), "not a nonce");
    assert_eq!(house.engine.counts()[0].matched, 0, "the doctor's records match no other rule");
}

/// Goal: the same record handled again (a crash before the state was saved) has the same id; a saved state goes on where it was.
#[test]
fn a_crash_keeps_ids_and_groups() {
    let mut one = House::new(vec![rule("errors", 0, 100)], 100);
    let mut two = House::new(vec![rule("errors", 0, 100)], 100);
    let id = one.log(0, "3", "disk full", &[])[0].id.clone();
    assert_eq!(two.log(0, "3", "disk full", &[])[0].id, id);
    assert!(one.log(1, "3", "disk full", &[]).is_empty());
    let saved = serde_json::to_string(one.engine.state()).expect("serialises");
    let state: State = serde_json::from_str(&saved).expect("reads back");
    assert_eq!(&state, one.engine.state());
    assert_eq!(state.cursor.as_deref(), Some("s=2"));
    let engine = Engine::new(vec![rule("errors", 0, 100)], vec!["root".into()], 100, letterhead(), state);
    assert_eq!(engine.to_hand_over(UnixMicros(START)).count(), 1, "the mail that was not handed over");
    let mut again = House { engine, sequence: 2 };
    assert_eq!(again.wait_until(300)[0].count, 1);
}

/// Goal: handing over is tried again with growing pauses, and the mail leaves the outbox when taken.
#[test]
fn handing_over_backs_off() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    let id = house.log(0, "3", "disk full", &[])[0].id.clone();
    let pauses: Vec<u64> =
        (0..12).map(|_| house.engine.hand_over_failed(&id, UnixMicros(START)) / SECOND).collect();
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert!(house.engine.to_hand_over(UnixMicros(START)).next().is_none());
    assert_eq!(house.engine.to_hand_over(UnixMicros(START + 301 * SECOND)).count(), 1);
    house.engine.handed_over(&id);
    assert!(house.engine.state().outbox.is_empty());
}

/// Goal: a clock set back by a year does not leave a digest waiting for a year.
#[test]
fn a_clock_set_back_delays_no_digest() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    house.log(400 * 86_400, "3", "disk full", &[]);
    house.log(400 * 86_400 + 1, "3", "disk full", &[]);
    assert!(house.wait_until(0).is_empty());
    assert_eq!(house.wait_until(3_601).len(), 1);
}

/// Goal: a storm of ever new messages keeps a bounded number of groups.
#[test]
fn groups_are_bounded() {
    let mut house = House::new(vec![rule("errors", 60, 100)], 100);
    for at in 0..2_000u32 {
        let word: String = (0..8).map(|place| char::from(b'g' + (at >> (2 * place) & 3) as u8)).collect();
        house.log(1, "3", &word, &[]);
    }
    let state = &house.engine.state().rules["errors"];
    assert_eq!(state.groups.len(), GROUPS_PER_RULE_MAX + 1);
    assert_eq!(state.groups.values().map(|group| group.count).sum::<u64>(), 2_000);
}

/// Goal: the mail a person reads, in full.
#[test]
fn the_text_of_a_mail() {
    let mut house = House::new(vec![rule("errors", 0, 10)], 100);
    let mails = house.log(
        0,
        "3",
        "disk 7 full\r\nX-Evil: 1",
        &[("_HOSTNAME", "shop"), ("_PID", "42"), ("_CLOCK_SYNCED", "1"), ("_CLOCK_ERROR_USEC", "1300")],
    );
    let id = &mails[0].id;
    let expected = format!(
        "From: Banto <root>\n\
         To: root\n\
         Subject: [shop] errors: shop app[42]: err: disk 7 full  X-Evil: 1\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\n\
         Message-ID: <{id}@shop>\n\
         X-Banto-Alert: {id}\n\
         X-Banto-Rule: errors\n\
         Auto-Submitted: auto-generated\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\
         \n\
         A record in the log matched an alert rule.\n\
         \n\
         Host:   shop\n\
         Rule:   errors\n\
         Count:  1\n\
         First:  2023-11-14 22:13:20.000 UTC\n\
         Last:   2023-11-14 22:13:20.000 UTC\n\
         Clock:  synchronised, right within 1.3 ms\n\
         \n\
         The record (times are UTC):\n\
         \u{20} 2023-11-14 22:13:20.000 shop app[42]: err: disk 7 full  X-Evil: 1\n\
         \n\
         To look at them on that host:\n\
         \u{20} journalctl SYSLOG_IDENTIFIER=app --since @1700000000 --until @1700000001\n\
         \n\
         What follows of the same kind comes in one digest after 5 minutes, then every 1 hour while it goes on.\n\
         Alert id: {id}\n"
    );
    assert_eq!(mails[0].text, expected);
}

/// The trusted fields of records by who sent them.
const ROOT: &[(&str, &str)] = &[("_UID", "0")];
const USER: &[(&str, &str)] = &[("_UID", "1000")];
const KERNEL: &[(&str, &str)] = &[("_TRANSPORT", "kernel")];
const ELSEWHERE: &[(&str, &str)] = &[("_PEER_ADDRESS", "192.0.2.7")];

fn word(number: usize) -> String {
    (0..6).map(|place| char::from(b'g' + (number >> (2 * place) & 3) as u8)).collect()
}

/// Goal: whoever fills a rule's budget, the overall one or all of its groups does not hold back what is crit or worse: that still goes
/// at once, and of one kind of sender only so often; others' reserves stay.
#[test]
fn a_flood_does_not_hold_back_what_is_urgent() {
    for (own, overall) in [(2, 100), (100, 2), (1_000, 1_000)] {
        for wait_s in [0, 10] {
            let mut house = House::new(vec![rule("errors", wait_s, own)], overall);
            let mut second = 0;
            // So many mails come at once, or as soon as the group's wait is over, of so many different problems.
            let mut mails = |house: &mut House, priority: &str, problems: usize, sender| {
                second += 1;
                let at_once: usize = (0..problems)
                    .map(|number| house.log(second, priority, &format!("end {}", word(number)), sender).len())
                    .sum();
                second += wait_s;
                at_once + house.wait_until(second).len()
            };
            // With the overall budget large, only the limit of groups stops anything.
            mails(&mut house, "3", GROUPS_PER_RULE_MAX + 100, ELSEWHERE);
            assert_eq!(mails(&mut house, "3", 1, ROOT), 0, "there is room left");
            let urgent = mails(&mut house, "0", 50, ELSEWHERE);
            assert_eq!(urgent, RESERVE_MAILS_PER_HOUR, "budgets {own} and {overall}, wait {wait_s}");
            assert_eq!(mails(&mut house, "1", 50, USER), RESERVE_MAILS_PER_HOUR);
            assert_eq!(mails(&mut house, "2", 1, ROOT), 1);
            assert_eq!(mails(&mut house, "2", 1, ROOT), 0, "the same problem");
            assert_eq!(house.log(100, "0", "kernel panic", KERNEL).len() + house.wait_until(120).len(), 1);
            house.wait_until(3_700);
            let again = house.log(3_800, "0", "another end", ELSEWHERE).len() + house.wait_until(3_810).len();
            assert!(again >= 1, "the reserve is there again after an hour");
        }
    }
}

/// Goal: nobody hides another's problem in a group of his own: a record from elsewhere, or of a user, that looks like the kernel's
/// does not make the kernel's a repetition, and neither does the same text at a lower severity.
#[test]
fn no_group_is_taken_in_advance() {
    let mut house = House::new(vec![rule("errors", 0, 100)], 100);
    for sender in [ELSEWHERE, USER, KERNEL] {
        assert_eq!(house.log(0, "3", "sda1: I/O error", sender).len(), 1);
        assert_eq!(house.log(1, "3", "sda1: I/O error", sender).len(), 0);
        assert_eq!(house.log(2, "2", "sda1: I/O error", sender).len(), 1, "it has become worse");
        assert_eq!(house.log(3, "0", "sda1: I/O error", sender).len(), 0);
    }
}
