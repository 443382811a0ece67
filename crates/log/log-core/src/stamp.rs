//! A timestamp as its sender wrote it, and its renderings (RFC 3164 section 4.1.2, RFC 3339, `rsyslog` date options).

use record::UnixMicros;

/// Civil time with its offset from UTC: what a syslog header says, kept as fields so that rendering needs no calendar.
///
/// Fields out of range render as digits of some kind and never panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The year, 0-9999.
    pub year: u16,
    /// The month, 1-12.
    pub month: u8,
    /// The day of the month, 1-31.
    pub day: u8,
    /// The hour, 0-23.
    pub hour: u8,
    /// The minute, 0-59.
    pub minute: u8,
    /// The second, 0-60 (a leap second may stand in a peer's text).
    pub second: u8,
    /// Microseconds, 0-999999.
    pub micros: u32,
    /// How many digits of a second's fraction the sender wrote, 0-6: as many are rendered again.
    pub digits: u8,
    /// The offset from UTC in minutes, east positive.
    pub offset_minutes: i16,
    /// The sender wrote `Z` for an offset of zero, so `Z` is rendered again.
    pub zulu: bool,
}

/// How a timestamp is written. The names are those of the property replacer's `date-...` options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DateFormat {
    /// `Nov 22 16:01:28`, the day padded with a space: also what is written where no option stands.
    #[default]
    Rfc3164,
    /// The same with the day padded with a zero, as broken senders do.
    Rfc3164BuggyDay,
    /// `2026-11-22T16:01:28.123456+00:00`; `Z` only where the sender wrote it.
    Rfc3339,
    /// Seconds since the epoch.
    UnixTimestamp,
    /// `20261122160128`.
    MySql,
    /// `2026-11-22 16:01:28`.
    PgSql,
    /// The fraction's digits alone.
    SubSeconds,
    /// Four digits.
    Year,
    /// Two digits.
    Month,
    /// Two digits.
    Day,
    /// Two digits.
    Hour,
    /// Two digits.
    Minute,
    /// Two digits.
    Second,
    /// Two digits: the hours of the offset.
    OffsetHour,
    /// Two digits: the minutes of the offset.
    OffsetMinute,
    /// `+` or `-`.
    OffsetDirection,
    /// The day of the week, 0 is Sunday.
    WeekDay,
    /// `Sun` to `Sat`.
    WeekDayName,
    /// The day of the year, three digits, 001 is the first of January.
    Ordinal,
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
const WEEK_DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const SECONDS_A_DAY: i64 = 86_400;

impl Stamp {
    /// The civil time of a moment at an offset from UTC, with six digits of fraction.
    pub fn from_unix(moment: UnixMicros, offset_minutes: i16) -> Self {
        let seconds = i64::try_from(moment.0 / 1_000_000).unwrap_or(i64::MAX / 2);
        let mut stamp = Self::from_seconds(seconds, offset_minutes);
        stamp.micros = (moment.0 % 1_000_000) as u32;
        stamp.digits = 6;
        stamp
    }

    /// The moment that the fields say.
    pub fn to_unix(self) -> UnixMicros {
        let seconds = self.unix_seconds().max(0) as u64;
        UnixMicros(seconds.saturating_mul(1_000_000).saturating_add(u64::from(self.micros)))
    }

    /// The same moment told in UTC, with six digits of fraction as rsyslog's `date-utc` has it.
    pub fn in_utc(self) -> Self {
        Self { micros: self.micros, digits: 6, ..Self::from_seconds(self.unix_seconds(), 0) }
    }

    /// The day of the week, 0 is Sunday.
    pub fn week_day(self) -> u8 {
        // 1970-01-01 was a Thursday.
        (days_from_civil(i64::from(self.year), i64::from(self.month), i64::from(self.day)) + 4).rem_euclid(7)
            as u8
    }

    /// Appends the timestamp in `format`.
    #[inline]
    pub fn append(self, format: DateFormat, out: &mut Vec<u8>) {
        match format {
            DateFormat::Rfc3164 => self.append_rfc3164(b' ', out),
            DateFormat::Rfc3164BuggyDay => self.append_rfc3164(b'0', out),
            DateFormat::Rfc3339 => self.append_rfc3339(out),
            DateFormat::UnixTimestamp => append_decimal(self.unix_seconds(), out),
            DateFormat::MySql => {
                let [y1, y2, y3, y4] = four(self.year);
                out.extend_from_slice(&[y1, y2, y3, y4]);
                for part in [self.month, self.day, self.hour, self.minute, self.second] {
                    out.extend_from_slice(&two(part));
                }
            }
            DateFormat::PgSql => {
                let mut text = *b"0000-00-00 00:00:00";
                self.fill_date_and_time(&mut text);
                out.extend_from_slice(&text);
            }
            DateFormat::SubSeconds => match self.digits {
                0 => out.push(b'0'),
                digits => append_fraction(self.micros, digits, out),
            },
            DateFormat::Year => out.extend_from_slice(&four(self.year)),
            DateFormat::Month => out.extend_from_slice(&two(self.month)),
            DateFormat::Day => out.extend_from_slice(&two(self.day)),
            DateFormat::Hour => out.extend_from_slice(&two(self.hour)),
            DateFormat::Minute => out.extend_from_slice(&two(self.minute)),
            DateFormat::Second => out.extend_from_slice(&two(self.second)),
            DateFormat::OffsetHour => {
                out.extend_from_slice(&two((self.offset_minutes.unsigned_abs() / 60) as u8))
            }
            DateFormat::OffsetMinute => {
                out.extend_from_slice(&two((self.offset_minutes.unsigned_abs() % 60) as u8))
            }
            // rsyslog asks whether the offset was written with a plus, which `Z` is not.
            DateFormat::OffsetDirection if self.zulu => out.push(b'-'),
            DateFormat::OffsetDirection => out.push(self.offset_sign()),
            DateFormat::WeekDay => out.push(b'0' + self.week_day()),
            DateFormat::WeekDayName => out.extend_from_slice(WEEK_DAYS[usize::from(self.week_day())]),
            DateFormat::Ordinal => {
                let ordinal =
                    days_from_civil(i64::from(self.year), i64::from(self.month), i64::from(self.day))
                        - days_from_civil(i64::from(self.year), 1, 1)
                        + 1;
                let ordinal = ordinal.clamp(0, 999) as u16;
                out.extend_from_slice(&four(ordinal)[1..]);
            }
        }
    }

    fn append_rfc3164(self, pad: u8, out: &mut Vec<u8>) {
        let month = MONTHS.get(usize::from(self.month).wrapping_sub(1)).copied().unwrap_or(b"???");
        let [d1, d2] = two(self.day);
        let [h1, h2] = two(self.hour);
        let [m1, m2] = two(self.minute);
        let [s1, s2] = two(self.second);
        let d1 = if d1 == b'0' { pad } else { d1 };
        let [a, b, c] = *month;
        out.extend_from_slice(&[a, b, c, b' ', d1, d2, b' ', h1, h2, b':', m1, m2, b':', s1, s2]);
    }

    fn append_rfc3339(self, out: &mut Vec<u8>) {
        let mut text = *b"0000-00-00T00:00:00";
        self.fill_date_and_time(&mut text);
        let magnitude = self.offset_minutes.unsigned_abs();
        let [oh1, oh2] = two((magnitude / 60) as u8);
        let [om1, om2] = two((magnitude % 60) as u8);
        out.extend_from_slice(&text);
        if self.digits > 0 {
            out.push(b'.');
            append_fraction(self.micros, self.digits, out);
        }
        if self.zulu && self.offset_minutes == 0 {
            out.push(b'Z');
        } else {
            out.extend_from_slice(&[self.offset_sign(), oh1, oh2, b':', om1, om2]);
        }
    }

    /// Writes `YYYY-MM-DD?HH:MM:SS` over the digits of `text`.
    fn fill_date_and_time(self, text: &mut [u8; 19]) {
        text[0..4].copy_from_slice(&four(self.year));
        text[5..7].copy_from_slice(&two(self.month));
        text[8..10].copy_from_slice(&two(self.day));
        text[11..13].copy_from_slice(&two(self.hour));
        text[14..16].copy_from_slice(&two(self.minute));
        text[17..19].copy_from_slice(&two(self.second));
    }

    fn offset_sign(self) -> u8 {
        if self.offset_minutes < 0 { b'-' } else { b'+' }
    }

    /// Seconds since the epoch, without the fraction.
    fn unix_seconds(self) -> i64 {
        days_from_civil(i64::from(self.year), i64::from(self.month), i64::from(self.day)) * SECONDS_A_DAY
            + i64::from(self.hour) * 3600
            + i64::from(self.minute) * 60
            + i64::from(self.second)
            - i64::from(self.offset_minutes) * 60
    }

    fn from_seconds(unix_seconds: i64, offset_minutes: i16) -> Self {
        let local = unix_seconds + i64::from(offset_minutes) * 60;
        let days = local.div_euclid(SECONDS_A_DAY);
        let second_of_day = local.rem_euclid(SECONDS_A_DAY) as u32;
        let (year, month, day) = civil_from_days(days);
        Self {
            year: u16::try_from(year).unwrap_or(9999).min(9999),
            month,
            day,
            hour: (second_of_day / 3600) as u8,
            minute: (second_of_day / 60 % 60) as u8,
            second: (second_of_day % 60) as u8,
            micros: 0,
            digits: 0,
            offset_minutes,
            zulu: false,
        }
    }
}

/// Appends a decimal number without allocating.
pub(crate) fn append_decimal(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn append_fraction(micros: u32, digits: u8, out: &mut Vec<u8>) {
    let micros = micros.min(999_999);
    let [a, b] = two((micros / 10_000) as u8);
    let [c, d] = two((micros / 100 % 100) as u8);
    let [e, f] = two((micros % 100) as u8);
    let text = [a, b, c, d, e, f];
    out.extend_from_slice(&text[..usize::from(digits.min(6))]);
}

fn two(value: u8) -> [u8; 2] {
    let value = value.min(99);
    [b'0' + value / 10, b'0' + value % 10]
}

fn four(value: u16) -> [u8; 4] {
    let value = value.min(9999);
    let [a, b] = two((value / 100) as u8);
    let [c, d] = two((value % 100) as u8);
    [a, b, c, d]
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (years start in March, so that the leap day comes last).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9).rem_euclid(12);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(stamp: Stamp, format: DateFormat, expected: &str) {
        let mut out = Vec::new();
        stamp.append(format, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{format:?}");
    }

    /// Goal: every date option writes what the property replacer's documentation says.
    #[test]
    fn renderings() {
        // 1795363288 is 2026-11-22T16:01:28Z, a Sunday.
        let stamp = Stamp::from_unix(UnixMicros(1_795_363_288_012_345), 0);
        check(stamp, DateFormat::Rfc3164, "Nov 22 16:01:28");
        check(stamp, DateFormat::Rfc3339, "2026-11-22T16:01:28.012345+00:00");
        check(stamp, DateFormat::UnixTimestamp, "1795363288");
        check(stamp, DateFormat::MySql, "20261122160128");
        check(stamp, DateFormat::PgSql, "2026-11-22 16:01:28");
        check(stamp, DateFormat::SubSeconds, "012345");
        check(stamp, DateFormat::WeekDay, "0");
        check(stamp, DateFormat::WeekDayName, "Sun");
        check(stamp, DateFormat::Ordinal, "326");
        let early = Stamp { day: 3, digits: 3, offset_minutes: -210, ..stamp };
        check(early, DateFormat::Rfc3164, "Nov  3 16:01:28");
        check(early, DateFormat::Rfc3164BuggyDay, "Nov 03 16:01:28");
        check(early, DateFormat::Rfc3339, "2026-11-03T16:01:28.012-03:30");
        check(early, DateFormat::OffsetHour, "03");
        check(early, DateFormat::OffsetMinute, "30");
        check(early, DateFormat::OffsetDirection, "-");
        check(early.in_utc(), DateFormat::Rfc3339, "2026-11-03T19:31:28.012345+00:00");
        check(Stamp { zulu: true, digits: 0, ..stamp }, DateFormat::Rfc3339, "2026-11-22T16:01:28Z");
        check(Stamp { digits: 0, ..stamp }, DateFormat::SubSeconds, "0");
    }

    /// Goal: the calendar maps both ways over two centuries, at offsets on both sides.
    #[test]
    fn calendar_maps_both_ways() {
        for day in 0..73_000u64 {
            for offset in [-720i16, 0, 345] {
                let moment = UnixMicros((day * 86_400 + 86_399) * 1_000_000 + 7);
                let stamp = Stamp::from_unix(moment, offset);
                assert_eq!(stamp.to_unix(), moment);
                assert_eq!(stamp.in_utc().to_unix(), moment);
            }
        }
        let leap = Stamp::from_unix(UnixMicros(951_782_400_000_000), 0);
        assert_eq!((leap.year, leap.month, leap.day), (2000, 2, 29));
    }

    /// Goal: fields out of range, which only a parser's mistake could make, still render.
    #[test]
    fn nonsense_does_not_panic() {
        let stamp = Stamp {
            year: u16::MAX,
            month: 255,
            day: 255,
            hour: 255,
            minute: 255,
            second: 255,
            micros: u32::MAX,
            digits: 255,
            offset_minutes: i16::MIN,
            zulu: true,
        };
        let mut out = Vec::new();
        for format in
            [DateFormat::Rfc3164, DateFormat::Rfc3339, DateFormat::UnixTimestamp, DateFormat::Ordinal]
        {
            stamp.append(format, &mut out);
        }
        assert!(!out.is_empty());
        let _ = Stamp::default().to_unix();
    }
}
