//! Spans of time as people write them.

use std::time::Duration;

/// Units by their suffix, in milliseconds.
const UNITS_MS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The longest span: longer ones are slips of a key, and a year of microseconds is far from any overflow.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `90s`, `5m`, `1h30m`, `1d`, `500ms` or `0`; none where it is not one or is longer than a year.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(digits_end);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let (_, unit_ms) = UNITS_MS.iter().find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(digits.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = next.trim_start();
    }
    Some(Duration::from_millis(total_ms)).filter(|span| *span <= LONGEST)
}

/// What is wrong with a text that is not a span of time.
pub fn parse_duration_error(text: &str) -> String {
    format!("`{text}` is not a span of time: a number and one of ms, s, m, h, d, at most a year")
}
