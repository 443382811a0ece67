//! Leap seconds: when the next one is, from the tables that hosts have (`leap-seconds.list`, or a time zone that counts them).

use crate::timekeeper::LeapStatus;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// From the NTP era's begin to the Unix epoch, in seconds.
const NTP_TO_UNIX: i64 = 2_208_988_800;
/// TAI minus UTC before the first leap second, in seconds.
const TAI_OFFSET_1972: i32 = 10;
/// Leap seconds that a table may have: 27 by 2017, and two a year at most.
const LEAPS_MAX: usize = 1000;

/// The leap seconds of the past and of the near future.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeapTable {
    /// From this moment on (seconds since the Unix epoch, midnight UTC), TAI minus UTC is so many seconds. In order.
    entries: Vec<(i64, i32)>,
    /// What is later than this nobody knew when the table was made; none: it does not say.
    expires: Option<i64>,
}

/// What a table says of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeapInfo {
    /// Whether the UTC day has a leap second at its end.
    pub leap: LeapStatus,
    /// TAI minus UTC, in seconds; none: the table does not know.
    pub tai_offset: Option<i32>,
}

impl LeapTable {
    /// Reads a `leap-seconds.list` file (as IERS and NIST publish it); none when it is none.
    pub fn from_list(text: &str) -> Option<Self> {
        let mut table = Self::default();
        for line in text.lines() {
            let ntp = |text: &str| text.parse::<i64>().ok().and_then(|at| at.checked_sub(NTP_TO_UNIX));
            if let Some(rest) = line.strip_prefix("#@") {
                table.expires = Some(ntp(rest.trim())?);
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                let mut words = line.split_ascii_whitespace();
                let (at, offset) = (ntp(words.next()?)?, words.next()?.parse().ok()?);
                table.entries.push((at, offset));
            }
        }
        table.checked()
    }

    /// Reads the leap seconds of a compiled time zone (TZif, RFC 8536), such as `right/UTC`; none when it has none.
    pub fn from_time_zone(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = Block::read(bytes, 4)?;
        // From version 2 on a second block with 64-bit times follows, which counts.
        let block = if first.version >= b'2' { Block::read(rest, 8)?.0 } else { first };
        let mut table = Self::default();
        let mut before = 0;
        for record in block.leaps.chunks_exact(block.time_size + 4) {
            let (time, correction) = record.split_at_checked(block.time_size)?;
            let time = match block.time_size {
                4 => i64::from(i32::from_be_bytes(time.try_into().ok()?)),
                _ => i64::from_be_bytes(time.try_into().ok()?),
            };
            let correction = i32::from_be_bytes(correction.try_into().ok()?);
            if table.entries.is_empty() {
                table.entries.push((i64::MIN / 2, TAI_OFFSET_1972));
            }
            // The zone's clock counts leap seconds: those before this one are in its time. RFC 8536 section 3.2.
            let positive = correction > before;
            let at = time.checked_sub(i64::from(before))?.checked_add(i64::from(!positive))?;
            // The record is of the second itself, or of the one after: both lie at midnight.
            let at = at.checked_add(DAY / 2)?.div_euclid(DAY).checked_mul(DAY)?;
            table.entries.push((at, TAI_OFFSET_1972.checked_add(correction)?));
            before = correction;
        }
        table.checked()
    }

    fn checked(self) -> Option<Self> {
        let in_order = self.entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (in_order && !self.entries.is_empty() && self.entries.len() <= LEAPS_MAX).then_some(self)
    }

    /// What is known of a moment, in seconds since the Unix epoch.
    pub fn at(&self, now: i64) -> LeapInfo {
        let midnight = (now.div_euclid(DAY) + 1) * DAY;
        let until = |moment: i64| {
            self.entries.iter().rev().find(|(from, _)| *from <= moment).map(|(_, offset)| *offset)
        };
        let (today, tomorrow) = (until(now), until(midnight));
        LeapInfo {
            leap: match (today, tomorrow) {
                (Some(today), Some(tomorrow)) if tomorrow > today => LeapStatus::Insert,
                (Some(today), Some(tomorrow)) if tomorrow < today => LeapStatus::Delete,
                _ => LeapStatus::Normal,
            },
            tai_offset: today,
        }
    }

    /// The table is too old to know of the next leap second.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| now > expires)
    }
}

/// One block of a TZif file: what of it counts here.
struct Block<'a> {
    version: u8,
    time_size: usize,
    leaps: &'a [u8],
}

impl<'a> Block<'a> {
    /// The block and what follows it.
    fn read(bytes: &'a [u8], time_size: usize) -> Option<(Self, &'a [u8])> {
        let (header, rest) = bytes.split_first_chunk::<44>()?;
        if !header.starts_with(b"TZif") {
            return None;
        }
        let count = |at: usize| {
            let word: [u8; 4] = header.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(word)).ok()
        };
        let (ut, standard, leap, time, types, letters) =
            (count(20)?, count(24)?, count(28)?, count(32)?, count(36)?, count(40)?);
        let before =
            time.checked_mul(time_size + 1)?.checked_add(types.checked_mul(6)?)?.checked_add(letters)?;
        let length = leap.checked_mul(time_size + 4)?;
        let leaps = rest.get(before..before.checked_add(length)?)?;
        let after = rest.get(before.checked_add(length)?.checked_add(standard)?.checked_add(ut)?..)?;
        Some((Self { version: header[4], time_size, leaps }, after))
    }
}

/// Whether a leap second may be at the end of the UTC day: the last of June or December (ITU-R TF.460).
pub fn is_leap_day(now: i64) -> bool {
    // Tomorrow is the 1st of January or July. Days since 0000-03-01 in eras of 400 years.
    let day = now.div_euclid(DAY) + 1 + 719_468;
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // 1 July and 1 January, counted from 1 March.
    day_of_year == 122 || day_of_year == 306
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "#$ 3676924800\n#@ 3928521600\n2272060800 10 # 1 Jan 1972\n2287785600\t11\t# 1 Jul 1972\n\
                        3692217600 37 # 1 Jan 2017\n";

    /// Goal: a zone with a leap second at the end of all numbers is none, and no panic.
    #[test]
    fn absurd_moments_are_none() {
        let check = |time: i64, correction: i32, expected: bool| {
            let mut bytes = Vec::new();
            for version in [b'2'; 2] {
                bytes.extend(b"TZif");
                bytes.push(version);
                bytes.resize(bytes.len() + 15, 0);
                let leaps = u32::from(bytes.len() > 40);
                for count in [0, 0, leaps, 0, 0, 0] {
                    bytes.extend(u32::to_be_bytes(count));
                }
            }
            bytes.extend(time.to_be_bytes());
            bytes.extend(correction.to_be_bytes());
            assert_eq!(LeapTable::from_time_zone(&bytes).is_some(), expected, "{time} {correction}");
        };
        check(78_796_800, 1, true);
        check(i64::MAX, -1, false);
        check(i64::MAX, 1, false);
        check(i64::MIN, 1, false);
        check(0, i32::MAX, false);
    }

    /// Goal: a list says when leap seconds are, how far TAI is, and when it is too old; rubbish is none.
    #[test]
    fn a_list_is_read() {
        let table = LeapTable::from_list(LIST).expect("a list");
        let check = |at: i64, leap: LeapStatus, tai: Option<i32>| {
            assert_eq!(table.at(at), LeapInfo { leap, tai_offset: tai }, "{at}");
        };
        check(0, LeapStatus::Normal, None);
        check(78_796_799, LeapStatus::Insert, Some(10));
        check(78_710_399, LeapStatus::Normal, Some(10));
        check(78_796_800, LeapStatus::Normal, Some(11));
        check(1_483_228_799, LeapStatus::Insert, Some(11));
        check(1_800_000_000, LeapStatus::Normal, Some(37));
        assert!(table.is_expired(1_719_532_801) && !table.is_expired(1_719_532_800));
        for wrong in ["", "# nothing\n", "x 1\n", "3692217600\n", "3692217600 37\n2272060800 10\n"] {
            assert_eq!(LeapTable::from_list(wrong), None, "{wrong}");
        }
    }

    /// Goal: a compiled zone that counts leap seconds says the same; cutting it short never panics.
    #[test]
    fn a_time_zone_is_read() {
        let mut zone = Vec::new();
        for (version, size) in [(b'2', 4), (b'2', 8)] {
            zone.extend_from_slice(b"TZif");
            zone.push(version);
            zone.extend_from_slice(&[0; 15]);
            for count in [0u32, 0, 2, 0, 1, 4] {
                zone.extend_from_slice(&count.to_be_bytes());
            }
            zone.extend_from_slice(&[0; 6]);
            zone.extend_from_slice(b"UTC\0");
            for (time, correction) in [(78_796_800i64, 1i32), (94_694_401, 2)] {
                zone.extend_from_slice(&time.to_be_bytes()[8 - size..]);
                zone.extend_from_slice(&correction.to_be_bytes());
            }
        }
        zone.extend_from_slice(b"\nUTC0\n");
        let table = LeapTable::from_time_zone(&zone).expect("a zone");
        for (at, leap, tai) in [
            (78_796_799, LeapStatus::Insert, 10),
            (78_796_800, LeapStatus::Normal, 11),
            (94_694_399, LeapStatus::Insert, 11),
            (94_694_400, LeapStatus::Normal, 12),
        ] {
            assert_eq!(table.at(at), LeapInfo { leap, tai_offset: Some(tai) }, "{at}");
        }
        for end in 0..zone.len() - 6 {
            assert_eq!(LeapTable::from_time_zone(&zone[..end]), None, "{end}");
        }
    }

    /// Goal: leap days are the last of June and December.
    #[test]
    fn leap_days_are_two_a_year() {
        for (at, expected) in [
            (1_483_228_799, true),
            (1_483_228_800, false),
            (1_467_331_199, true),
            (1_467_331_200, false),
            (1_456_790_399, false),
        ] {
            assert_eq!(is_leap_day(at), expected, "{at}");
        }
    }
}
