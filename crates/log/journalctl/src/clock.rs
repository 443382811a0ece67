//! Timestamps as text. Consecutive entries mostly share their second: its text is kept.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::moment::{MONTHS, WEEKDAYS};

/// The last microsecond of the year 9999: what is later has no common notation.
const FORMATTABLE_MAX: u64 = 253_402_300_799_999_999;

/// Writes moments in one zone.
pub struct Clock {
    tz: TimeZone,
    utc: bool,
    second: Option<u64>,
    kept: Style,
    text: Vec<u8>,
}

/// Which notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `Jan 02 03:04:05`
    Syslog,
    /// `2026-01-02T03:04:05`, the offset comes after
    Iso,
    /// `Fri 2026-01-02 03:04:05`, the zone comes after
    Full,
}

impl Clock {
    /// The local zone, or UTC.
    pub fn new(utc: bool) -> Self {
        let tz = if utc { TimeZone::UTC } else { TimeZone::system() };
        Self { tz, utc, second: None, kept: Style::Syslog, text: Vec::new() }
    }

    /// The zone.
    pub fn zone(&self) -> &TimeZone {
        &self.tz
    }

    /// `Jan 02 03:04:05`, with `.000000` behind if `micros` says so.
    pub fn syslog(&mut self, out: &mut Vec<u8>, micros: bool, at: u64) {
        self.second(out, Style::Syslog, at);
        if micros {
            fraction(out, at);
        }
    }

    /// `2026-01-02T03:04:05+0000`.
    pub fn iso(&mut self, out: &mut Vec<u8>, micros: bool, at: u64) {
        self.second(out, Style::Iso, at);
        if micros {
            fraction(out, at);
        }
        let seconds = self.tz.to_offset(timestamp(at)).seconds();
        let (sign, minutes) = if seconds < 0 { ('-', -seconds / 60) } else { ('+', seconds / 60) };
        put(out, format_args!("{sign}{:02}{:02}", minutes / 60, minutes % 60));
    }

    /// `Fri 2026-01-02 03:04:05 UTC`.
    pub fn full(&mut self, out: &mut Vec<u8>, micros: bool, at: u64) {
        if at > FORMATTABLE_MAX {
            out.extend_from_slice(b"--- XXXX-XX-XX XX:XX:XX");
            return;
        }
        self.second(out, Style::Full, at);
        if micros {
            fraction(out, at);
        }
        out.push(b' ');
        if self.utc {
            out.extend_from_slice(b"UTC");
        } else {
            let info = self.tz.to_offset_info(timestamp(at));
            out.extend_from_slice(info.abbreviation().as_bytes());
        }
    }

    /// [`Clock::full`] as a string.
    pub fn full_text(&mut self, at: u64) -> String {
        let mut out = Vec::new();
        self.full(&mut out, false, at);
        String::from_utf8(out).unwrap_or_default()
    }

    fn second(&mut self, out: &mut Vec<u8>, style: Style, at: u64) {
        let second = at / 1_000_000;
        if self.second != Some(second) || self.kept != style {
            self.second = Some(second);
            self.kept = style;
            self.text.clear();
            let time = self.tz.to_datetime(timestamp(at));
            let (year, month, day) = (time.year(), time.month(), time.day());
            let clock = (time.hour(), time.minute(), time.second());
            let (hour, minute, second) = clock;
            match style {
                Style::Syslog => {
                    let month =
                        MONTHS.get(usize::from(month.unsigned_abs()).saturating_sub(1)).unwrap_or(&"Jan");
                    put(&mut self.text, format_args!("{month} {day:02} {hour:02}:{minute:02}:{second:02}"));
                }
                Style::Iso => put(
                    &mut self.text,
                    format_args!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
                ),
                Style::Full => {
                    let weekday = usize::from(time.weekday().to_sunday_zero_offset().unsigned_abs());
                    let weekday = WEEKDAYS.get(weekday).unwrap_or(&"Sun");
                    put(
                        &mut self.text,
                        format_args!(
                            "{weekday} {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
                        ),
                    );
                }
            }
        }
        out.extend_from_slice(&self.text);
    }
}

/// A span as `journalctl --header` shows it: `1h 2min 3.004s`, exact to a millisecond.
pub fn span(micros: u64) -> String {
    const UNITS: [(&str, u64); 9] = [
        ("y", 31_557_600_000_000),
        ("month", 2_629_800_000_000),
        ("w", 604_800_000_000),
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("min", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1000),
        ("us", 1),
    ];
    if micros == 0 {
        return "0".into();
    }
    let mut text = String::new();
    let mut left = micros;
    for (name, unit) in UNITS {
        if left == 0 || (left < 1000 && !text.is_empty()) {
            break;
        }
        if left < unit {
            continue;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        let (whole, rest) = (left / unit, left % unit);
        if unit == 1_000_000 && rest / 1000 > 0 {
            text.push_str(&format!("{whole}.{:03}s", rest / 1000));
            break;
        }
        text.push_str(&format!("{whole}{name}"));
        left = rest;
        if unit == 1_000_000 && rest < 1000 {
            break;
        }
    }
    text
}

fn timestamp(at: u64) -> Timestamp {
    i64::try_from(at).ok().and_then(|at| Timestamp::from_microsecond(at).ok()).unwrap_or(Timestamp::MAX)
}

fn fraction(out: &mut Vec<u8>, at: u64) {
    put(out, format_args!(".{:06}", at % 1_000_000));
}

/// Writes formatted text to memory, which does not fail.
pub fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the three notations, and a second that is kept is not kept for another.
    #[test]
    fn notations() {
        let mut clock = Clock::new(true);
        let mut check = |show: fn(&mut Clock, &mut Vec<u8>), expected: &str| {
            let mut out = Vec::new();
            show(&mut clock, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        };
        check(|c, out| c.syslog(out, false, 1_767_323_045_000_001), "Jan 02 03:04:05");
        check(|c, out| c.syslog(out, true, 1_767_323_045_000_001), "Jan 02 03:04:05.000001");
        check(|c, out| c.iso(out, false, 1_767_323_045_000_001), "2026-01-02T03:04:05+0000");
        check(|c, out| c.full(out, false, 1_767_323_046_000_001), "Fri 2026-01-02 03:04:06 UTC");
        check(|c, out| c.full(out, true, 1_767_323_046_000_001), "Fri 2026-01-02 03:04:06.000001 UTC");
    }

    /// Goal: spans as the stock program writes them.
    #[test]
    fn spans() {
        for (micros, expected) in [
            (0, "0"),
            (1004, "1ms"),
            (5, "5us"),
            (6_543_031, "6.543s"),
            (3_723_004_000, "1h 2min 3.004s"),
            (60_000_000, "1min"),
        ] {
            assert_eq!(span(micros), expected);
        }
    }
}
