//! The values of directives and parameters: their parse functions, each with a cause and something to write instead.

use std::path::PathBuf;

/// Why a value is not taken, and what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub cause: String,
    pub help: String,
}

impl Wrong {
    pub(crate) fn new(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self { cause: cause.into(), help: help.into() }
    }
}

/// The result of a parse function.
pub(crate) type Taken<T> = Result<T, Wrong>;

pub(crate) fn switch(text: &str) -> Taken<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "1" => Ok(true),
        "off" | "no" | "false" | "0" => Ok(false),
        _ => Err(Wrong::new(format!("`{text}` is neither `on` nor `off`"), "write `on` or `off`")),
    }
}

pub(crate) fn number<N: std::str::FromStr>(text: &str) -> Taken<N> {
    text.parse().map_err(|_| {
        Wrong::new(format!("`{text}` is not a whole number in range"), "write digits, for example `1000`")
    })
}

/// Bytes, with `k`, `m`, `g` (1024) or `K`... as rsyslog has them.
pub(crate) fn size(text: &str) -> Taken<u64> {
    let wrong =
        || Wrong::new(format!("`{text}` is not a size"), "write a number with `k`, `m` or `g`: `64k`");
    let (digits, unit) = match text.find(|letter: char| !letter.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return Err(wrong()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// The same for what is counted in memory.
pub(crate) fn memory_size(text: &str) -> Taken<usize> {
    usize::try_from(size(text)?)
        .map_err(|_| Wrong::new(format!("`{text}` is too large"), "write a smaller size"))
}

/// Permission bits in octal.
pub(crate) fn mode(text: &str) -> Taken<u32> {
    let octal = text.starts_with('0') && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if octal && mode <= 0o7777 => Ok(mode),
        _ => Err(Wrong::new(
            format!("`{text}` is not a mode in octal digits"),
            "write a zero and three digits: `0640`",
        )),
    }
}

pub(crate) fn port(text: &str) -> Taken<u16> {
    text.parse()
        .map_err(|_| Wrong::new(format!("`{text}` is not a port"), "write a number from 0 to 65535: `514`"))
}

pub(crate) fn name(text: &str) -> Taken<String> {
    if text.is_empty() {
        return Err(Wrong::new("the value is empty", "write a name"));
    }
    Ok(text.to_owned())
}

pub(crate) fn path(text: &str) -> Taken<PathBuf> {
    name(text).map(PathBuf::from)
}

pub(crate) fn absolute_path(text: &str) -> Taken<PathBuf> {
    if !text.starts_with('/') {
        return Err(Wrong::new(
            format!("`{text}` is not an absolute path"),
            format!("write it from the root: `/{text}`"),
        ));
    }
    Ok(PathBuf::from(text))
}

/// A severity's code from its number or name.
pub(crate) fn severity(text: &str) -> Taken<u8> {
    match (text.parse::<u8>(), record::Severity::from_name(text)) {
        (Ok(code), _) if code <= 8 => Ok(code),
        (_, Some(severity)) => Ok(severity.code()),
        _ => Err(Wrong::new(
            format!("`{text}` is not a severity"),
            "write a number from 0 to 8 or a name: `debug`",
        )),
    }
}

/// The seconds of a time span as systemd writes it: `5m`, `1h 30min`, a bare number is seconds. Microseconds.
pub(crate) fn time_span_micros(text: &str) -> Taken<u64> {
    let wrong = || {
        Wrong::new(
            format!("`{text}` is not a time span"),
            "write a number and a unit: `30s`, `5min`, `2weeks`",
        )
    };
    let mut total = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    if rest == "infinity" {
        return Ok(u64::MAX);
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|letter: char| !letter.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(letters);
        let factor: u64 = match unit {
            "us" | "usec" | "\u{b5}s" => 1,
            "ms" | "msec" => 1_000,
            "" | "s" | "sec" | "second" | "seconds" => 1_000_000,
            "m" | "min" | "minute" | "minutes" => 60 * 1_000_000,
            "h" | "hr" | "hour" | "hours" => 3_600 * 1_000_000,
            "d" | "day" | "days" => 86_400 * 1_000_000,
            "w" | "week" | "weeks" => 604_800 * 1_000_000,
            "M" | "month" | "months" => 2_629_800 * 1_000_000,
            "y" | "year" | "years" => 31_557_600 * 1_000_000,
            _ => return Err(wrong()),
        };
        let part =
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = next.trim_start();
    }
    Ok(total)
}
