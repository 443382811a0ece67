//! Severity, facility, and the number that carries both (RFC 5424 section 6.2.1, `syslog(3)`).

use std::fmt;

/// How bad it is: 0 (emerg) to 7 (debug). Smaller is worse, and compares as smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the standard's own
pub enum Severity {
    Emerg = 0,
    Alert = 1,
    Crit = 2,
    Err = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Severity {
    /// All severities, from the worst.
    pub const ALL: [Severity; 8] = [
        Severity::Emerg,
        Severity::Alert,
        Severity::Crit,
        Severity::Err,
        Severity::Warning,
        Severity::Notice,
        Severity::Info,
        Severity::Debug,
    ];

    /// The severity of a code 0-7.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The code 0-7.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The keyword of `syslog.conf(5)`: `emerg`, `alert`, ... `debug`.
    pub fn name(self) -> &'static str {
        ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"][usize::from(self.code())]
    }

    /// The severity of a keyword, in any case; the deprecated `panic`, `error` and `warn` are known.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "panic" => Some(Severity::Emerg),
            "error" => Some(Severity::Err),
            "warn" => Some(Severity::Warning),
            _ => Self::ALL.into_iter().find(|severity| severity.name() == name),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who says it: 0 (kern) to 23 (local7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Facility(u8);

impl Facility {
    /// The kernel.
    pub const KERN: Facility = Facility(0);
    /// A user's program; the default of `logger(1)`.
    pub const USER: Facility = Facility(1);
    /// The mail system.
    pub const MAIL: Facility = Facility(2);
    /// A daemon without a facility of its own.
    pub const DAEMON: Facility = Facility(3);
    /// The log daemon itself.
    pub const SYSLOG: Facility = Facility(5);

    const NAMES: [&'static str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
        "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5",
        "local6", "local7",
    ];

    /// The facility of a code 0-23.
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < Self::NAMES.len()).then_some(Self(code))
    }

    /// The code 0-23.
    pub fn code(self) -> u8 {
        self.0
    }

    /// The keyword: `kern`, `user`, ... `local7`.
    pub fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }

    /// The facility of a keyword, in any case; the deprecated `security` (auth) is known.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name == "security" {
            return Some(Self(4));
        }
        Self::NAMES.iter().position(|known| *known == name).and_then(|code| u8::try_from(code).ok()).map(Self)
    }
}

impl fmt::Display for Facility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Facility and severity: the number in `<...>` at the head of a syslog message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Priority {
    /// Who says it.
    pub facility: Facility,
    /// How bad it is.
    pub severity: Severity,
}

impl Priority {
    /// user.notice (13): what a message without a PRI gets (RFC 3164 section 4.3.3).
    pub const DEFAULT: Priority = Priority { facility: Facility::USER, severity: Severity::Notice };

    /// The priority of a PRI value 0-191.
    pub fn from_pri(pri: u16) -> Option<Self> {
        let severity = Severity::from_code((pri & 7) as u8)?;
        let facility = Facility::from_code(u8::try_from(pri >> 3).ok()?)?;
        Some(Self { facility, severity })
    }

    /// The PRI value 0-191: facility times eight plus severity.
    pub fn pri(self) -> u8 {
        self.facility.code() * 8 + self.severity.code()
    }

    /// The priority of `facility.severity` text, as `logger -p` takes it; a severity alone means `user`.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.split_once('.') {
            Some((facility, severity)) => Some(Self {
                facility: Facility::from_name(facility)?,
                severity: Severity::from_name(severity)?,
            }),
            None => Some(Self { facility: Facility::USER, severity: Severity::from_name(text)? }),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.facility, self.severity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: PRI values and texts map both ways, and what is out of range maps to nothing.
    #[test]
    fn priorities_map_both_ways() {
        for pri in 0..192u16 {
            let priority = Priority::from_pri(pri).expect("0-191 is valid");
            assert_eq!(u16::from(priority.pri()), pri);
            assert_eq!(Priority::from_text(&priority.to_string()), Some(priority));
        }
        assert_eq!(Priority::from_pri(192), None);
        assert_eq!(Priority::from_pri(999), None);
        assert_eq!(Priority::from_text("mail.warn").map(Priority::pri), Some(20));
        assert_eq!(Priority::from_text("nobody.err"), None);
    }
}
