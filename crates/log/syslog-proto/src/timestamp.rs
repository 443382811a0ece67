//! The time that a message states: as written, with its zone and its precision.

use record::UnixMicros;

/// A calendar time as a sender wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamp {
    /// The year, or 0 where the sender did not say (RFC 3164).
    pub year: u16,
    /// 1-12.
    pub month: u8,
    /// 1-31.
    pub day: u8,
    /// 0-23.
    pub hour: u8,
    /// 0-59.
    pub minute: u8,
    /// 0-60: a leap second is 60.
    pub second: u8,
    /// Microseconds within the second, 0-999999; digits beyond the sixth are cut.
    pub micros: u32,
    /// How many digits of the fraction the sender wrote, 0-6.
    pub precision: u8,
    /// Minutes east of UTC, or none where the sender did not say (RFC 3164).
    pub offset_minutes: Option<i16>,
}

/// Microseconds in a second.
const SECOND: i64 = 1_000_000;
/// Seconds in a day.
const DAY: i64 = 86_400;
/// The names of RFC 3164 section 4.1.2.
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

impl Timestamp {
    /// The calendar time of `moment` in a zone `offset_minutes` east of UTC, with six digits.
    pub fn from_unix(moment: UnixMicros, offset_minutes: i16) -> Self {
        let micros = i64::try_from(moment.0).unwrap_or(i64::MAX / 2);
        let seconds = micros / SECOND + i64::from(offset_minutes) * 60;
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let in_day = seconds.rem_euclid(DAY);
        Self {
            year: u16::try_from(year).unwrap_or(0),
            month,
            day,
            hour: (in_day / 3600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
            micros: (micros % SECOND) as u32,
            precision: 6,
            offset_minutes: Some(offset_minutes),
        }
    }

    /// The moment that it means. What RFC 3164 leaves out is taken from the time of receipt: the zone is
    /// `local_offset_minutes`, the year is the one that puts the stamp nearest to `received` (so a December line that
    /// arrives in January belongs to the old year). None for a time before 1970.
    pub fn to_unix(&self, received: UnixMicros, local_offset_minutes: i16) -> Option<UnixMicros> {
        let offset = self.offset_minutes.unwrap_or(local_offset_minutes);
        let in_year = |year: i64| {
            let days = days_from_civil(year, self.month, self.day);
            let seconds = days * DAY
                + i64::from(self.hour) * 3600
                + i64::from(self.minute) * 60
                + i64::from(self.second)
                - i64::from(offset) * 60;
            seconds * SECOND + i64::from(self.micros)
        };
        let micros = if self.year != 0 {
            in_year(i64::from(self.year))
        } else {
            let received_micros = i64::try_from(received.0).ok()?;
            let year = i64::from(Self::from_unix(received, offset).year);
            [year - 1, year, year + 1]
                .map(in_year)
                .into_iter()
                .min_by_key(|at| at.abs_diff(received_micros))?
        };
        u64::try_from(micros).ok().map(UnixMicros)
    }

    /// The same stamp with its year, taken as [`Timestamp::to_unix`] takes it, where the sender did not say one.
    pub fn with_year(self, received: UnixMicros, local_offset_minutes: i16) -> Self {
        if self.year != 0 {
            return self;
        }
        let year = self
            .to_unix(received, local_offset_minutes)
            .map(|at| Self::from_unix(at, self.offset_minutes.unwrap_or(local_offset_minutes)).year);
        Self { year: year.unwrap_or(1970), ..self }
    }

    /// Appends `Mmm dd hh:mm:ss` (RFC 3164 section 4.1.2).
    pub fn write_rfc3164(&self, out: &mut Vec<u8>) {
        let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or(b"Jan");
        let tens = if self.day >= 10 { b'0' + self.day / 10 % 10 } else { b' ' };
        let [h1, h0] = two(self.hour);
        let [m1, m0] = two(self.minute);
        let [s1, s0] = two(self.second);
        let [a, b, c] = *month;
        out.extend_from_slice(&[
            a,
            b,
            c,
            b' ',
            tens,
            b'0' + self.day % 10,
            b' ',
            h1,
            h0,
            b':',
            m1,
            m0,
            b':',
            s1,
            s0,
        ]);
    }

    /// Appends `YYYY-MM-DDThh:mm:ss[.ffffff](Z|+hh:mm)` (RFC 3339) with as many digits as [`Timestamp::precision`] says.
    /// Year and zone must be there: see [`Timestamp::with_year`]; a missing zone is written as UTC.
    pub fn write_rfc3339(&self, out: &mut Vec<u8>) {
        let [y3, y2] = two((self.year / 100 % 100) as u8);
        let [y1, y0] = two((self.year % 100) as u8);
        let [mo1, mo0] = two(self.month);
        let [d1, d0] = two(self.day);
        let [h1, h0] = two(self.hour);
        let [m1, m0] = two(self.minute);
        let [s1, s0] = two(self.second);
        out.extend_from_slice(&[
            y3, y2, y1, y0, b'-', mo1, mo0, b'-', d1, d0, b'T', h1, h0, b':', m1, m0, b':', s1, s0,
        ]);
        if self.precision > 0 {
            out.push(b'.');
            let mut unit = 100_000;
            for _ in 0..self.precision.min(6) {
                out.push(b'0' + (self.micros / unit % 10) as u8);
                unit = (unit / 10).max(1);
            }
        }
        match self.offset_minutes.unwrap_or(0) {
            0 => out.push(b'Z'),
            offset => {
                let minutes = offset.unsigned_abs();
                let [h1, h0] = two((minutes / 60 % 100) as u8);
                let [m1, m0] = two((minutes % 60) as u8);
                out.extend_from_slice(&[if offset < 0 { b'-' } else { b'+' }, h1, h0, b':', m1, m0]);
            }
        }
    }

    /// Reads an RFC 3164 stamp at the head of `text` and says how many bytes it and the space after it take. Lenient where
    /// devices are sloppy: one-digit days with one space, a year after the day, a fraction, a colon at the end.
    pub fn parse_rfc3164(text: &[u8]) -> Option<(Self, usize)> {
        if let Some(fast) = parse_rfc3164_strict(text) {
            return Some(fast);
        }
        let mut at = Cursor { text, pos: 0 };
        let name = [at.take()?, at.take()?, at.take()?];
        let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(&name))? as u8 + 1;
        at.expect(b' ')?;
        at.skip(b' ');
        let day = at.number(1, 31)? as u8;
        at.expect(b' ')?;
        let mut year = 0;
        let mut hour = at.number(0, 2099)?;
        if hour > 1970 {
            year = hour as u16;
            at.expect(b' ')?;
            hour = at.number(0, 23)?;
        }
        if hour > 23 {
            return None;
        }
        at.expect(b':')?;
        let minute = at.number(0, 59)? as u8;
        at.expect(b':')?;
        let second = at.number(0, 60)? as u8;
        let (micros, precision) = at.fraction()?;
        at.skip(b':');
        at.end_or_space()?;
        let stamp = Self {
            year,
            month,
            day,
            hour: hour as u8,
            minute,
            second,
            micros,
            precision,
            offset_minutes: None,
        };
        Some((stamp, at.pos))
    }

    /// Reads an RFC 3339 stamp at the head of `text` and says how many bytes it and the space after it take.
    pub fn parse_rfc3339(text: &[u8]) -> Option<(Self, usize)> {
        // Most input that is no RFC 3339 stamp shows it in its first byte.
        if !text.first()?.is_ascii_digit() {
            return None;
        }
        let mut at = Cursor { text, pos: 0 };
        let year = at.number(1970, 9999)? as u16;
        at.expect(b'-')?;
        let month = at.number(1, 12)? as u8;
        at.expect(b'-')?;
        let day = at.number(1, 31)? as u8;
        at.expect(b'T')?;
        let hour = at.number(0, 23)? as u8;
        at.expect(b':')?;
        let minute = at.number(0, 59)? as u8;
        at.expect(b':')?;
        let second = at.number(0, 60)? as u8;
        let (micros, precision) = at.fraction()?;
        let offset = match at.take()? {
            b'Z' => 0,
            sign @ (b'+' | b'-') => {
                let hours = at.number(0, 23)? as i16;
                at.expect(b':')?;
                let minutes = hours * 60 + at.number(0, 59)? as i16;
                if sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        at.end_or_space()?;
        let offset_minutes = Some(offset);
        let stamp = Self { year, month, day, hour, minute, second, micros, precision, offset_minutes };
        Some((stamp, at.pos))
    }
}

/// The one shape that nearly every sender writes, `Mmm dd hh:mm:ss `, read without a loop.
fn parse_rfc3164_strict(text: &[u8]) -> Option<(Timestamp, usize)> {
    let [m0, m1, m2, b' ', d1, d0, b' ', h1, h0, b':', i1, i0, b':', s1, s0, b' ', ..] = *text else {
        return None;
    };
    let month = match &[m0, m1, m2] {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let digits = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
    };
    let day = digits(if d1 == b' ' { b'0' } else { d1 }, d0).filter(|day| (1..=31).contains(day))?;
    let hour = digits(h1, h0).filter(|hour| *hour < 24)?;
    let minute = digits(i1, i0).filter(|minute| *minute < 60)?;
    let second = digits(s1, s0).filter(|second| *second <= 60)?;
    let stamp = Timestamp {
        year: 0,
        month,
        day,
        hour,
        minute,
        second,
        micros: 0,
        precision: 0,
        offset_minutes: None,
    };
    Some((stamp, 16))
}

struct Cursor<'a> {
    text: &'a [u8],
    pos: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.pos += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.pos += 1;
        }
    }

    fn number(&mut self, min: u32, max: u32) -> Option<u32> {
        let mut value: u32 = 0;
        let start = self.pos;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            value = value * 10 + u32::from(digit - b'0');
            if value > max {
                return None;
            }
            self.pos += 1;
        }
        (self.pos > start && value >= min).then_some(value)
    }

    /// `.` and digits, or nothing: the microseconds and how many digits count.
    fn fraction(&mut self) -> Option<(u32, u8)> {
        if self.peek() != Some(b'.') {
            return Some((0, 0));
        }
        self.pos += 1;
        let mut micros = 0;
        let mut unit = 100_000;
        let mut precision = 0u8;
        let start = self.pos;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            micros += u32::from(digit - b'0') * unit;
            unit /= 10;
            precision = (precision + 1).min(6);
            self.pos += 1;
        }
        (self.pos > start).then_some((micros, precision))
    }

    fn end_or_space(&mut self) -> Option<()> {
        match self.take() {
            None | Some(b' ') => Some(()),
            Some(_) => None,
        }
    }
}

fn two(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

/// Days since 1970-01-01 of a date in the Gregorian calendar, counted in 400-year eras that begin on 1 March.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let month = i64::from(month);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted + 2) / 5 + 1) as u8;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 } as u8;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc3339(stamp: &Timestamp) -> String {
        let mut out = Vec::new();
        stamp.write_rfc3339(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    /// Goal: stamps are read as their senders mean them, or not at all.
    #[test]
    fn stamps_are_read() {
        let check = |text: &str, expected: Option<(&str, usize)>| {
            let read = Timestamp::parse_rfc3339(text.as_bytes())
                .or_else(|| Timestamp::parse_rfc3164(text.as_bytes()))
                .map(|(stamp, used)| (rfc3339(&stamp), used));
            assert_eq!(read.as_ref().map(|(text, used)| (text.as_str(), *used)), expected, "{text}");
        };
        check("Oct 11 22:14:15 host", Some(("0000-10-11T22:14:15Z", 16)));
        check("Oct  1 22:14:15 host", Some(("0000-10-01T22:14:15Z", 16)));
        check("oct 1 22:14:15 host", Some(("0000-10-01T22:14:15Z", 15)));
        check("Oct 11 2003 22:14:15.250: host", Some(("2003-10-11T22:14:15.250Z", 26)));
        check("Oct 11 22:14:15", Some(("0000-10-11T22:14:15Z", 15)));
        check("Oct 11 22:14:15x", None);
        check("Oct 32 22:14:15 ", None);
        check("Oct 11 24:14:15 ", None);
        check("Oct 11 22:14:15. ", None);
        check("2003-10-11T22:14:15.003Z x", Some(("2003-10-11T22:14:15.003Z", 25)));
        check("2003-08-24T05:14:15.000003-07:00 x", Some(("2003-08-24T05:14:15.000003-07:00", 33)));
        check("2003-08-24T05:14:15.1234567+09:30 x", Some(("2003-08-24T05:14:15.123456+09:30", 34)));
        check("2003-08-24T05:14:15 x", None);
        check("99999999999999999999-", None);
        check("", None);
    }

    /// Goal: the missing year is the nearest one, and moments map both ways.
    #[test]
    fn the_year_is_the_nearest_one() {
        let check = |text: &str, received: &str, expected: &str| {
            let (received, _) = Timestamp::parse_rfc3339(received.as_bytes()).expect("a stamp");
            let received = received.to_unix(UnixMicros(0), 0).expect("after 1970");
            let (stamp, _) = Timestamp::parse_rfc3164(text.as_bytes()).expect("a stamp");
            let at = stamp.to_unix(received, 60).expect("after 1970");
            assert_eq!(rfc3339(&Timestamp { precision: 0, ..Timestamp::from_unix(at, 60) }), expected);
        };
        check("Dec 31 23:59:59 x", "2026-01-01T00:00:05Z", "2025-12-31T23:59:59+01:00");
        check("Jan  1 00:00:01 x", "2025-12-31T22:59:05Z", "2026-01-01T00:00:01+01:00");
        check("Feb 29 12:00:00 x", "2024-03-01T00:00:05Z", "2024-02-29T12:00:00+01:00");
        for days in [0, 59, 60, 11_016, 20_000, 47_540] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
    }
}
