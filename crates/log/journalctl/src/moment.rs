//! Times that users type (`systemd.time(7)`), read to microseconds since 1970.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ToSpan};

const SECOND: f64 = 1_000_000.0;

/// Units of a time span and their length in microseconds.
const UNITS: [(&str, f64); 30] = [
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", 60.0 * SECOND),
    ("minute", 60.0 * SECOND),
    ("min", 60.0 * SECOND),
    ("m", 60.0 * SECOND),
    ("hours", 3600.0 * SECOND),
    ("hour", 3600.0 * SECOND),
    ("hr", 3600.0 * SECOND),
    ("h", 3600.0 * SECOND),
    ("days", 86_400.0 * SECOND),
    ("day", 86_400.0 * SECOND),
    ("d", 86_400.0 * SECOND),
    ("weeks", 604_800.0 * SECOND),
    ("week", 604_800.0 * SECOND),
    ("w", 604_800.0 * SECOND),
    ("months", 2_629_800.0 * SECOND),
    ("month", 2_629_800.0 * SECOND),
    ("M", 2_629_800.0 * SECOND),
    ("years", 31_557_600.0 * SECOND),
    ("year", 31_557_600.0 * SECOND),
    ("y", 31_557_600.0 * SECOND),
    ("msec", 1000.0),
    ("ms", 1000.0),
    ("usec", 1.0),
    ("us", 1.0),
    ("µs", 1.0),
    ("", SECOND),
];

/// The moment that `text` names, seen from `now` (microseconds) in the zone `tz`.
pub fn parse(text: &str, now: u64, tz: &TimeZone) -> Option<u64> {
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('@') {
        return span(seconds);
    }
    if text == "now" {
        return Some(now);
    }
    if let Some(later) = text.strip_prefix('+').or_else(|| text.strip_suffix(" left")) {
        return now.checked_add(span(later)?);
    }
    if let Some(earlier) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return now.checked_sub(span(earlier)?);
    }
    let (text, tz) = zone(text, now, tz);
    let now = tz.to_datetime(Timestamp::from_microsecond(i64::try_from(now).ok()?).ok()?);
    let midnight = now.date().to_datetime(Time::midnight());
    let civil = match text {
        "today" => midnight,
        "yesterday" => midnight.checked_sub(1.day()).ok()?,
        "tomorrow" => midnight.checked_add(1.day()).ok()?,
        other => calendar(other, now.date())?,
    };
    let moment = tz.to_ambiguous_timestamp(civil).compatible().ok()?;
    u64::try_from(moment.as_microsecond()).ok()
}

/// A span such as `1h 30min`, `2.5 days`, `90`, in microseconds.
pub fn span(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|char: char| !char.is_alphabetic()).unwrap_or(rest.len());
        let (_, length) = UNITS.iter().find(|(name, _)| *name == &rest[..letters])?;
        total += number * length;
        rest = rest[letters..].trim_start();
    }
    // 2^53 microseconds are 285 years: beyond that a double would be inexact, and nobody means it.
    (total < 9_007_199_254_740_992.0).then_some(total.round() as u64)
}

/// Takes a zone off the end: ` UTC`, `Z`, `+02:00`, or an abbreviation of the local zone.
fn zone<'a>(text: &'a str, now: u64, tz: &TimeZone) -> (&'a str, TimeZone) {
    let lower = text.to_ascii_lowercase();
    if let Some(len) = lower.strip_suffix(" utc").map(str::len) {
        return (&text[..len], TimeZone::UTC);
    }
    if let Some(rest) = text.strip_suffix('Z') {
        return (rest, TimeZone::UTC);
    }
    if let Some(at) =
        text.rfind(['+', '-']).filter(|at| text.contains(':') && text.len() - at >= 5 && *at > 10)
        && let Some(offset) = offset(&text[at..])
    {
        return (text[..at].trim_end(), TimeZone::fixed(offset));
    }
    if let Ok(now) = Timestamp::from_microsecond(i64::try_from(now).unwrap_or(0)) {
        // The local zone's abbreviation now and half a year from now: winter and summer time.
        for moment in [now, now.checked_add(4380.hours()).unwrap_or(now)] {
            let name = format!(" {}", tz.to_offset_info(moment).abbreviation()).to_ascii_lowercase();
            if let Some(len) = lower.strip_suffix(&name).map(str::len) {
                return (&text[..len], tz.clone());
            }
        }
    }
    (text, tz.clone())
}

fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at(1);
    let digits: String = digits.chars().filter(|char| *char != ':').collect();
    if digits.len() != 4 {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits.get(..2)?.parse().ok()?, digits.get(2..)?.parse().ok()?);
    let seconds = hours * 3600 + minutes * 60;
    Offset::from_seconds(if sign == "-" { -seconds } else { seconds }).ok()
}

/// `[WEEKDAY ]DATE[ TIME]`, `[WEEKDAY ]TIME`, or the form of `-o short`: `Jan 02 03:04:05`.
fn calendar(text: &str, today: Date) -> Option<DateTime> {
    let (weekday, text) = match text.split_once(' ') {
        Some((first, rest)) => match named_weekday(first) {
            Some(weekday) => (Some(weekday), rest),
            None => (None, text),
        },
        None => (None, text),
    };
    let separator = if text.contains(' ') { ' ' } else { 'T' };
    let words: Vec<&str> = text.split(separator).filter(|word| !word.is_empty()).collect();
    let civil = match words[..] {
        [word] if word.contains(':') => today.to_datetime(time(word)?),
        [word] => date(word)?.to_datetime(Time::midnight()),
        [day, clock] => date(day)?.to_datetime(time(clock)?),
        [month, day, clock] => {
            let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
            let date = Date::new(today.year(), i8::try_from(month + 1).ok()?, day.parse().ok()?).ok()?;
            date.to_datetime(time(clock)?)
        }
        _ => return None,
    };
    weekday.is_none_or(|weekday| weekday == civil.date().weekday()).then_some(civil)
}

/// Names of the months as every format here writes them.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Names of the days of the week.
pub const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

fn named_weekday(word: &str) -> Option<Weekday> {
    const LONG: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let word = word.to_ascii_lowercase();
    let index = LONG.iter().position(|name| *name == word || name[..3] == word)?;
    Weekday::from_sunday_zero_offset(i8::try_from(index).ok()?).ok()
}

fn date(word: &str) -> Option<Date> {
    let mut parts = word.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(year.len() == 2 || year.len() == 4) {
        return None;
    }
    let mut number: i16 = year.parse().ok()?;
    if year.len() == 2 {
        // POSIX strptime: 69-99 are of the twentieth century.
        number += if number >= 69 { 1900 } else { 2000 };
    }
    Date::new(number, month.parse().ok()?, day.parse().ok()?).ok()
}

fn time(word: &str) -> Option<Time> {
    let (clock, fraction) = word.split_once('.').unwrap_or((word, ""));
    let mut parts = clock.split(':');
    let hour: i8 = parts.next()?.parse().ok()?;
    let minute: i8 = parts.next()?.parse().ok()?;
    let second: i8 = match parts.next() {
        Some(second) => second.parse().ok()?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    if parts.next().is_some() || !fraction.chars().all(|char| char.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let nanos: i32 = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse().ok()? };
    Time::new(hour, minute, second, nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every form of systemd.time(7) that users type; what is none is refused.
    #[test]
    fn moments() {
        // Friday 2026-01-02 03:04:05 UTC.
        const NOW: u64 = 1_767_323_045_000_000;
        let day = 86_400_000_000;
        let midnight = NOW - NOW % day;
        let tokyo = TimeZone::fixed(Offset::from_seconds(9 * 3600).expect("valid"));
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(parse(text, NOW, &TimeZone::UTC), expected, "{text}");
        };
        check("now", Some(NOW));
        check("today", Some(midnight));
        check("yesterday", Some(midnight - day));
        check("tomorrow", Some(midnight + day));
        check("2026-01-02 03:04:05", Some(NOW));
        check("2026-01-02 03:04:05.25", Some(NOW + 250_000));
        check("26-01-02 03:04", Some(NOW - 5_000_000));
        check("2026-01-02", Some(midnight));
        check("Fri 2026-01-02 03:04:05 UTC", Some(NOW));
        check("Thu 2026-01-02", None);
        check("03:04:05", Some(NOW));
        check("03:04", Some(NOW - 5_000_000));
        check("Jan 02 03:04:05", Some(NOW));
        check("2026-01-02T03:04:05Z", Some(NOW));
        check("2026-01-02T12:04:05+09:00", Some(NOW));
        check("@1767323045", Some(NOW));
        check("@1767323045.5", Some(NOW + 500_000));
        check("-1h", Some(NOW - 3_600_000_000));
        check("10 min ago", Some(NOW - 600_000_000));
        check("1h 30min ago", Some(NOW - 5_400_000_000));
        check("-5", Some(NOW - 5_000_000));
        check("+2days", Some(NOW + 2 * day));
        check("3 weeks left", Some(NOW + 21 * day));
        for bad in
            ["", "blah", "2026-13-01", "25:00", "-", "1 parsec ago", "2026-01-02 03:04:05 Mars", "@", "@x"]
        {
            check(bad, None);
        }
        assert_eq!(parse("2026-01-02 12:04:05", NOW, &tokyo), Some(NOW));
        assert_eq!(parse("2026-01-02 03:04:05 UTC", NOW, &tokyo), Some(NOW));
    }
}
