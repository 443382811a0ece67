//! Rules as data: what a record must look like, who is told, and how often.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use record::{Facility, Record, Severity};
use regex::Regex;

/// The name of the built-in rule that `banto doctor` sends its nonce through.
pub const DOCTOR_RULE: &str = "doctor";

/// The name of the rule that follows from `mailonchange` of chrony.conf.
pub const CLOCK_RULE: &str = "mailonchange";

/// The name of the group that takes what a budget or the limit of groups holds back. No real group has a name without `=`.
pub const OVERFLOW_GROUP: &str = "held back";

/// One alert rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name, unique: letters, digits, `-`, `_`.
    pub name: String,
    /// Which records it is about.
    pub matching: Match,
    /// Who is told: mail addresses or local users.
    pub to: Vec<String>,
    /// What makes two records the same problem: field names, or `fingerprint` for the masked message.
    pub group_by: Vec<String>,
    /// How long a new group collects before its first mail; zero sends at once.
    pub group_wait: Duration,
    /// How long after the first mail the digest of what followed is sent.
    pub group_interval: Duration,
    /// How long after a digest the next one is sent, while the same goes on.
    pub repeat_interval: Duration,
    /// The most mails of this rule in any hour.
    pub mails_per_hour_max: u32,
}

/// What a record must look like; every part that is given must hold. A list holds when one of its values does.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// Facility and severity.
    pub selector: Option<Selector>,
    /// The unit (`_SYSTEMD_UNIT` or `UNIT`); `.service` is understood where no suffix is given.
    pub unit: Vec<String>,
    /// `SYSLOG_IDENTIFIER`.
    pub identifier: Vec<String>,
    /// Fields by name, each with the values that hold.
    pub fields: BTreeMap<String, Vec<String>>,
    /// A regular expression that stands somewhere in `MESSAGE`.
    pub regex: Option<Regex>,
    /// Only a record that the house itself wrote, by what the kernel said of its sender: no stranger makes such a mail.
    pub house_only: bool,
}

impl Match {
    /// Whether the record looks so; `ours` as in [`crate::Engine::record`].
    pub fn holds(&self, record: &Record, ours: bool) -> bool {
        if self.house_only && !ours {
            return false;
        }
        if let Some(selector) = &self.selector
            && !selector.holds(record)
        {
            return false;
        }
        if !self.identifier.is_empty() && !has_value(record, "SYSLOG_IDENTIFIER", &self.identifier) {
            return false;
        }
        if !self.unit.is_empty() && !self.unit.iter().any(|unit| has_unit(record, unit)) {
            return false;
        }
        if !self.fields.iter().all(|(name, values)| has_value(record, name, values)) {
            return false;
        }
        match &self.regex {
            Some(regex) => record.text("MESSAGE").is_some_and(|message| regex.is_match(&message)),
            None => true,
        }
    }
}

fn has_value(record: &Record, name: &str, values: &[String]) -> bool {
    record
        .fields
        .iter()
        .filter(|field| field.name == name)
        .any(|field| values.iter().any(|value| value.as_bytes() == field.value))
}

fn has_unit(record: &Record, unit: &str) -> bool {
    ["_SYSTEMD_UNIT", "UNIT"].iter().any(|name| {
        record.field(name).is_some_and(|value| {
            value == unit.as_bytes()
                || value.strip_suffix(b".service").is_some_and(|stem| stem == unit.as_bytes())
        })
    })
}

/// Why a selector is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MatchError {
    /// A part without a dot.
    NoDot(String),
    /// No facility of this name.
    Facility(String),
    /// No severity of this name.
    Severity(String),
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDot(part) => write!(f, "`{part}` is not of the form FACILITY.SEVERITY"),
            Self::Facility(name) => write!(f, "no facility is called `{name}`"),
            Self::Severity(name) => write!(f, "no severity is called `{name}`"),
        }
    }
}

impl std::error::Error for MatchError {}

/// A selector as rsyslog.conf(5) has them: `FACILITY[,FACILITY].[!][=]SEVERITY[;...]`, `*` and `none`; later parts override
/// earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// One bit a severity, one byte a facility.
    masks: [u8; FACILITIES],
    text: String,
}

const FACILITIES: usize = 24;

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Self, MatchError> {
        let mut masks = [0u8; FACILITIES];
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (facilities, severity) =
                part.rsplit_once('.').ok_or_else(|| MatchError::NoDot(part.to_owned()))?;
            let (without, severity) = match severity.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, severity),
            };
            let bits = severity_bits(severity)?;
            let clears = severity.eq_ignore_ascii_case("none");
            for name in facilities.split(',').map(str::trim) {
                let chosen = match name {
                    "*" => None,
                    _ => {
                        Some(Facility::from_name(name).ok_or_else(|| MatchError::Facility(name.to_owned()))?)
                    }
                };
                for (code, mask) in masks.iter_mut().enumerate() {
                    if chosen.is_some_and(|facility| usize::from(facility.code()) != code) {
                        continue;
                    }
                    match (clears, without) {
                        (true, _) => *mask = 0,
                        (false, true) => *mask &= !bits,
                        (false, false) => *mask |= bits,
                    }
                }
            }
        }
        if text.trim().is_empty() {
            return Err(MatchError::NoDot(String::new()));
        }
        Ok(Self { masks, text: text.to_owned() })
    }

    /// Whether the record's facility and severity are chosen. A record that does not say its facility counts as `user`, one
    /// that does not say its severity as `info`, as journald has them for a line of a service.
    pub fn holds(&self, record: &Record) -> bool {
        let severity = record.severity().unwrap_or(Severity::Info);
        let facility = record
            .text("SYSLOG_FACILITY")
            .and_then(|text| text.parse::<u8>().ok())
            .and_then(Facility::from_code)
            .unwrap_or(Facility::USER);
        self.masks.get(usize::from(facility.code())).is_some_and(|mask| mask & (1 << severity.code()) != 0)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The bits of `*`, `none`, `SEVERITY` (it and worse) or `=SEVERITY` (it alone).
fn severity_bits(text: &str) -> Result<u8, MatchError> {
    if text == "*" {
        return Ok(u8::MAX);
    }
    if text.eq_ignore_ascii_case("none") {
        return Ok(0);
    }
    let (alone, name) = match text.strip_prefix('=') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let severity = Severity::from_name(name).ok_or_else(|| MatchError::Severity(name.to_owned()))?;
    let bit = 1u8 << severity.code();
    Ok(if alone { bit } else { bit | (bit - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &[(&str, &str)]) -> Record {
        let mut record = Record::default();
        for (name, value) in fields {
            record.push(*name, *value);
        }
        record
    }

    /// Goal: a selector chooses what rsyslog.conf(5) says it does.
    #[test]
    fn selectors_choose_as_documented() {
        let check = |selector: &str, facility: &str, priority: &str, expected: bool| {
            let selector = Selector::parse(selector).expect("a valid selector");
            let record = record(&[("SYSLOG_FACILITY", facility), ("PRIORITY", priority)]);
            assert_eq!(selector.holds(&record), expected, "{selector} on {facility}.{priority}");
        };
        check("*.err", "1", "3", true);
        check("*.err", "1", "0", true);
        check("*.err", "1", "4", false);
        check("*.=err", "1", "2", false);
        check("*.=err", "1", "3", true);
        check("mail.info", "2", "6", true);
        check("mail.info", "1", "6", false);
        check("auth,authpriv.*", "10", "7", true);
        check("*.*;mail.none", "2", "0", false);
        check("*.*;mail.none", "1", "7", true);
        check("*.warning;*.!err", "1", "4", true);
        check("*.warning;*.!err", "1", "3", false);
        check("*.err", "", "3", true);
        check("user.info", "", "", true);
    }

    /// Goal: what is not a selector says which word is wrong.
    #[test]
    fn bad_selectors_name_the_word() {
        for (text, expected) in [
            ("err", MatchError::NoDot("err".into())),
            ("", MatchError::NoDot(String::new())),
            ("mial.err", MatchError::Facility("mial".into())),
            ("mail.eror", MatchError::Severity("eror".into())),
        ] {
            assert_eq!(Selector::parse(text), Err(expected));
        }
    }

    /// Goal: each part of a match must hold, and a list holds by one of its values.
    #[test]
    fn all_parts_must_hold() {
        let matching = Match {
            selector: Some(Selector::parse("*.warning").expect("valid")),
            unit: vec!["nginx".into()],
            identifier: vec!["nginx".into(), "nginx-debug".into()],
            fields: BTreeMap::from([("SITE".to_owned(), vec!["shop".to_owned()])]),
            regex: Some(Regex::new("(?i)timeout").expect("valid")),
            house_only: false,
        };
        let good = [
            ("PRIORITY", "4"),
            ("_SYSTEMD_UNIT", "nginx.service"),
            ("SYSLOG_IDENTIFIER", "nginx-debug"),
            ("SITE", "shop"),
            ("MESSAGE", "upstream Timeout"),
        ];
        assert!(matching.holds(&record(&good), false));
        for at in 0..good.len() {
            let mut bad = good;
            bad[at].1 = "5";
            assert!(!matching.holds(&record(&bad), true), "{:?}", bad[at]);
        }
    }
}
