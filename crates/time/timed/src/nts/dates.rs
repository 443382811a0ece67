//! From when until when a certificate holds (RFC 5280 section 4.1.2.5). TLS checks that itself; here it is read for the cases in
//! which the clock does not know the time yet.

/// A certificate's times, both included, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Not before.
    pub begin: i64,
    /// Not after.
    pub end: i64,
}

impl Validity {
    /// Of a certificate in DER; none when it is no certificate.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = value(certificate, SEQUENCE)?;
        let (mut rest, _) = value(certificate, SEQUENCE)?;
        if let Some((_, after)) = value(rest, VERSION) {
            rest = after;
        }
        for kind in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, rest) = value(rest, kind)?;
        }
        let (times, _) = value(rest, SEQUENCE)?;
        let (begin, rest) = time(times)?;
        let (end, _) = time(rest)?;
        Some(Self { begin, end })
    }

    /// The moment lies in it.
    pub(crate) fn holds(&self, seconds: i64) -> bool {
        (self.begin..=self.end).contains(&seconds)
    }

    /// The times that lie in both.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let both = Self { begin: self.begin.max(other.begin), end: self.end.min(other.end) };
        (both.begin <= both.end).then_some(both)
    }
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The value of the element of this kind at the begin, and what stands after it.
fn value(bytes: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // DER: the length in one to four bytes, the highest first.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    if found != kind {
        return None;
    }
    rest.split_at_checked(length)
}

fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, long) = match value(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, false),
        None => value(bytes, GENERALIZED_TIME).map(|(text, rest)| (text, rest, true))?,
    };
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.len() != if long { 14 } else { 12 } {
        return None;
    }
    let (year, rest_of_text) = text.split_at_checked(if long { 4 } else { 2 })?;
    let year: i64 = year.parse().ok()?;
    // RFC 5280: two digits from 50 on are of the last century.
    let year = match (long, year) {
        (true, year) => year,
        (false, 50..) => 1900 + year,
        (false, _) => 2000 + year,
    };
    let mut pairs =
        rest_of_text.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()?.parse().ok());
    let mut next = || pairs.next();
    let (month, day): (i64, i64) = (next()?, next()?);
    let (hour, minute, second): (i64, i64, i64) = (next()?, next()?, next()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some((days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second, rest))
}

/// Days from 1970-01-01 in the Gregorian calendar: years begin in March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short");
        let head = if length < 0x80 {
            vec![kind, length as u8]
        } else {
            vec![kind, 0x82, (length >> 8) as u8, length as u8]
        };
        [head, body.to_vec()].concat()
    }

    fn certificate(begin: (u8, &str), end: (u8, &str)) -> Vec<u8> {
        let times = [element(begin.0, begin.1.as_bytes()), element(end.0, end.1.as_bytes())].concat();
        let name = element(SEQUENCE, &[0; 200]);
        let body = [
            element(VERSION, &element(INTEGER, &[2])),
            element(INTEGER, &[1, 2, 3]),
            element(SEQUENCE, &[]),
            name.clone(),
            element(SEQUENCE, &times),
            name,
        ]
        .concat();
        element(SEQUENCE, &element(SEQUENCE, &body))
    }

    /// Goal: the times of a certificate are read, in both forms; nothing else is taken for a time, and no cut is read past its end.
    #[test]
    fn the_times_of_a_certificate_are_read() {
        let check = |begin: (u8, &str), end: (u8, &str), expected: Option<(i64, i64)>| {
            let found = Validity::of(&certificate(begin, end)).map(|one| (one.begin, one.end));
            assert_eq!(found, expected, "{begin:?} {end:?}");
        };
        check((0x17, "700101000000Z"), (0x17, "491231235959Z"), Some((0, 2_524_607_999)));
        check((0x17, "500101000000Z"), (0x18, "20500101000000Z"), Some((-631_152_000, 2_524_608_000)));
        check((0x17, "240229120000Z"), (0x18, "99991231235959Z"), Some((1_709_208_000, 253_402_300_799)));
        check((0x17, "241301120000Z"), (0x17, "491231235959Z"), None);
        check((0x17, "240101120000"), (0x17, "491231235959Z"), None);
        check((0x17, "24010112000xZ"), (0x17, "491231235959Z"), None);
        check((0x18, "240101120000Z"), (0x17, "491231235959Z"), None);
        check((0x04, "240101120000Z"), (0x17, "491231235959Z"), None);
        let whole = certificate((0x17, "240101120000Z"), (0x17, "491231235959Z"));
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "cut at {length}");
            let mut changed = whole.clone();
            changed[length] = 0xff;
            let _ = Validity::of(&changed);
        }
    }
}
