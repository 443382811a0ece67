//! Selectors: `facility.severity` as `syslog.conf(5)` and rsyslog write them.

use std::fmt;
use std::ops::Range;

use record::{Facility, Severity};

/// Which priorities a rule takes: one byte of severity bits for each facility, so that a match is one look-up.
///
/// Facilities 0-23 and [`Selector::INVALID_FACILITY`] have a byte each; the table is padded so that no bound is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Selector {
    masks: [u8; 32],
}

/// What is wrong in a selector, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorError {
    /// The bytes of the selector's text which are wrong.
    pub at: Range<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to write.
    pub help: String,
}

impl Selector {
    /// The facility code of a message whose PRI is not a number 0-191 (rsyslog's `invld`); `*` includes it.
    pub const INVALID_FACILITY: u8 = 24;
    /// The PRI value that such a message has: facility `invld`, severity `debug`.
    pub const INVALID_PRI: u8 = 199;

    /// Nothing.
    pub const NONE: Selector = Selector { masks: [0; 32] };
    /// Everything: `*.*`.
    pub const ALL: Selector = Selector { masks: [0xff; 32] };

    /// Whether a message of this PRI value (0-191, or [`Selector::INVALID_PRI`]) is taken.
    #[inline]
    pub fn matches(&self, pri: u8) -> bool {
        self.masks[usize::from(pri >> 3)] & (1 << (pri & 7)) != 0
    }

    /// Compiles `facility[,facility...].[!][=]severity[;...]`.
    ///
    /// Each part works on what the parts before it left: a severity adds itself and everything worse, `=` adds only
    /// itself, `!` takes away instead of adding, `*` and `none` set all or nothing.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut selector = Self::NONE;
        let mut at = 0;
        loop {
            // A closing `;` is customary in older files, and blanks after one are harmless.
            let rest = text.get(at..).unwrap_or("");
            at += rest.len() - rest.trim_start_matches([';', ',', ' ', '\t']).len();
            if at >= text.len() && !text.trim().is_empty() {
                return Ok(selector);
            }
            at = selector.apply_part(text, at)?;
        }
    }

    /// One `facilities.severity` at `start`; says where it ends. A severity ends at `;` and also at `,`, after which further
    /// facilities follow.
    fn apply_part(&mut self, text: &str, start: usize) -> Result<usize, SelectorError> {
        let rest = text.get(start..).unwrap_or("");
        let part_end = rest.find(';').unwrap_or(rest.len());
        let part = rest.get(..part_end).unwrap_or("");
        let Some(dot) = part.find('.') else {
            return Err(SelectorError {
                at: start..start + part.len(),
                cause: format!("`{}` has no severity", part.trim()),
                help: format!(
                    "write a dot and a severity: `{}.*`",
                    if part.trim().is_empty() { "*" } else { part.trim() }
                ),
            });
        };
        let facilities = part.get(..dot).unwrap_or("");
        let level_start = start + dot + 1;
        let level_text = part.get(dot + 1..).unwrap_or("");
        let level_text = level_text.split(',').next().unwrap_or("");
        let level = Level::parse(level_text, level_start)?;
        let end = level_start + level_text.len();
        let mut at = start;
        for name in facilities.split(',') {
            let trimmed = name.trim();
            let span = at..at + name.len();
            at += name.len() + 1;
            match trimmed {
                "*" => {
                    for mask in &mut self.masks {
                        level.apply(mask);
                    }
                }
                "" if facilities.trim().is_empty() => {
                    return Err(SelectorError {
                        at: start..end,
                        cause: "no facility stands before the dot".into(),
                        help: format!("write `*.{}` for every facility", level_text.trim()),
                    });
                }
                "" => {}
                _ => {
                    let code = facility_code(trimmed).ok_or_else(|| SelectorError {
                        at: span.clone(),
                        cause: format!("`{trimmed}` is not a facility"),
                        help: nearest(trimmed, FACILITY_WORDS)
                            .map(|word| format!("did you mean `{word}`?"))
                            .unwrap_or_else(|| format!("facilities are {}", FACILITY_WORDS.join(", "))),
                    })?;
                    level.apply(&mut self.masks[usize::from(code & 31)]);
                }
            }
        }
        Ok(end)
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for SelectorError {}

/// The right side of the dot: which bits, and whether they are added or taken away.
struct Level {
    bits: u8,
    /// `*` and `none` set the whole byte.
    whole: bool,
    negated: bool,
}

impl Level {
    fn parse(text: &str, start: usize) -> Result<Self, SelectorError> {
        let trimmed = text.trim();
        let (negated, rest) = strip_mark(trimmed, '!');
        let (single, word) = strip_mark(rest, '=');
        let span = start..start + text.len().max(1);
        let level = |bits, whole| Self { bits, whole, negated };
        if word == "*" {
            return Ok(level(0xff, true));
        }
        if word.eq_ignore_ascii_case("none") {
            return Ok(Self { bits: 0xff, whole: true, negated: !negated });
        }
        let code = severity_code(word).ok_or_else(|| SelectorError {
            at: span,
            cause: if word.is_empty() {
                "no severity stands after the dot".into()
            } else {
                format!("`{word}` is not a severity")
            },
            help: nearest(word, SEVERITY_WORDS)
                .map(|known| format!("did you mean `{known}`?"))
                .unwrap_or_else(|| format!("severities are {}", SEVERITY_WORDS.join(", "))),
        })?;
        // Bit 0 is emerg: a severity and everything worse is every bit up to its own.
        let bits = if single { 1u8 << code } else { (0xffu16 >> (7 - code)) as u8 };
        Ok(level(bits, false))
    }

    fn apply(&self, mask: &mut u8) {
        match (self.whole, self.negated) {
            (true, true) => *mask = 0,
            (true, false) => *mask = 0xff,
            (false, true) => *mask &= !self.bits,
            (false, false) => *mask |= self.bits,
        }
    }
}

fn strip_mark(text: &str, mark: char) -> (bool, &str) {
    match text.strip_prefix(mark) {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    }
}

const FACILITY_WORDS: &[&str] = &[
    "*", "auth", "authpriv", "cron", "daemon", "kern", "lpr", "mail", "mark", "news", "security", "syslog",
    "user", "uucp", "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3",
    "local4", "local5", "local6", "local7",
];
const SEVERITY_WORDS: &[&str] = &[
    "*", "none", "emerg", "panic", "alert", "crit", "err", "error", "warning", "warn", "notice", "info",
    "debug",
];

/// A place of the table that no PRI leads to.
const MARK_FACILITY: u8 = 31;

/// The code of a facility's keyword, or of its number.
pub(crate) fn facility_code(word: &str) -> Option<u8> {
    if let Some(facility) = Facility::from_name(word) {
        return Some(facility.code());
    }
    match word.to_ascii_lowercase().as_str() {
        "invld" => Some(Selector::INVALID_FACILITY),
        // The source of rsyslog's own marks, which no message from outside can have.
        "mark" => Some(MARK_FACILITY),
        number => number.parse::<u8>().ok().filter(|code| *code <= Selector::INVALID_FACILITY),
    }
}

/// The code of a severity's keyword, or of its number.
pub(crate) fn severity_code(word: &str) -> Option<u8> {
    match Severity::from_name(word) {
        Some(severity) => Some(severity.code()),
        None => word.parse::<u8>().ok().filter(|code| *code <= 7),
    }
}

/// The known word that differs least from `word`, if it differs by two letters at most.
fn nearest(word: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    known
        .iter()
        .map(|candidate| (distance(word.as_bytes(), candidate.as_bytes()), *candidate))
        .filter(|(distance, candidate)| *distance <= 2 && *distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// The number of letters to insert, delete or change (Levenshtein).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Priority;

    fn check(text: &str, taken: &[&str], refused: &[&str]) {
        let selector = Selector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        for (names, expected) in [(taken, true), (refused, false)] {
            for name in names {
                let priority = Priority::from_text(name).unwrap_or_else(|| panic!("{name}"));
                assert_eq!(selector.matches(priority.pri()), expected, "{text} on {name}");
            }
        }
    }

    /// Goal: each form of a selector takes what `syslog.conf(5)` says.
    #[test]
    fn forms() {
        check("*.*", &["kern.emerg", "local7.debug"], &[]);
        check("mail.err", &["mail.err", "mail.emerg"], &["mail.warning", "user.err"]);
        check("mail.=err", &["mail.err"], &["mail.crit", "mail.warning"]);
        check("mail.*;mail.!err", &["mail.warning", "mail.debug"], &["mail.err", "mail.emerg"]);
        check("mail.*;mail.!=err", &["mail.warning", "mail.crit"], &["mail.err"]);
        check("*.*;auth,authpriv.none", &["user.info"], &["auth.emerg", "authpriv.info"]);
        check("auth,authpriv.*", &["auth.debug", "authpriv.debug"], &["user.emerg"]);
        check("*.info;mail.none;authpriv.none;cron.none", &["daemon.info"], &["daemon.debug", "cron.crit"]);
        check("uucp,news.crit", &["uucp.crit", "news.alert"], &["uucp.err"]);
        check("mail.none;*.err", &["mail.err"], &["mail.info"]);
        check("*.WARN; kern.Error", &["user.warning", "kern.err"], &["user.notice"]);
        check("16.3", &["local0.err"], &["local0.warning", "local1.err"]);
        check("mail.err;", &["mail.err"], &[]);
        check("user.info,mail.err", &["user.info", "mail.err"], &["mail.warning", "user.debug"]);
        assert!(Selector::ALL.matches(Selector::INVALID_PRI));
        assert!(Selector::parse("*.debug").is_ok_and(|selector| selector.matches(Selector::INVALID_PRI)));
        assert!(Selector::parse("user.*").is_ok_and(|selector| !selector.matches(Selector::INVALID_PRI)));
    }

    /// Goal: each mistake is told with its place and with what to write.
    #[test]
    fn mistakes() {
        for (text, at, cause, help) in [
            ("mial.err", 0..4, "`mial` is not a facility", "did you mean `mail`?"),
            ("mail.warnin", 5..11, "`warnin` is not a severity", "did you mean `warning`?"),
            ("*.*;auth", 4..8, "`auth` has no severity", "write a dot and a severity: `auth.*`"),
            ("mail.", 5..6, "no severity stands after the dot", ""),
            (".err", 0..4, "no facility stands before the dot", "write `*.err` for every facility"),
        ] {
            let error = Selector::parse(text).expect_err(text);
            assert_eq!((error.at, error.cause.as_str()), (at, cause));
            assert!(error.help.contains(help), "{}", error.help);
        }
    }
}
