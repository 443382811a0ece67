//! NTP's two time formats (RFC 5905 section 6), and the eras that a 32-bit second count has.

/// Seconds from the prime epoch of NTP (1900-01-01) to that of Unix (1970-01-01) (RFC 5905 figure 4).
pub const NTP_UNIX_OFFSET_SECONDS: i64 = 2_208_988_800;

/// The first moment that a timestamp from the network can mean, seconds since the Unix epoch: 2000-01-01. Whatever the local clock
/// shows (a dead battery's 1970, say), NTP's 32 bits of seconds are read as a moment of the 136 years from here on.
pub const WINDOW_START_SECONDS: i64 = 946_684_800;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// A 64-bit NTP timestamp: 32 bits of seconds modulo an era of 2^32 s, and 32 bits of fraction. Zero means "unknown".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NtpTimestamp(pub u64);

impl NtpTimestamp {
    /// The value that stands for "no time known".
    pub const UNKNOWN: Self = Self(0);

    /// The timestamp of a moment given in nanoseconds since the Unix epoch. A moment that would be written as zero, which
    /// means "unknown", moves by one unit (2^-32 s).
    pub fn from_unix_nanos(nanos: i64) -> Self {
        let seconds = nanos.div_euclid(NANOS_PER_SECOND).wrapping_add(NTP_UNIX_OFFSET_SECONDS) as u64;
        let rest = nanos.rem_euclid(NANOS_PER_SECOND) as u64;
        let fraction = ((rest << 32) + (NANOS_PER_SECOND as u64) / 2) / NANOS_PER_SECOND as u64;
        let value = (seconds << 32).wrapping_add(fraction);
        Self(if value == 0 { 1 } else { value })
    }

    /// The moment in nanoseconds since the Unix epoch, in the era that puts it within 68 years of `near` (RFC 5905
    /// section 6: "the era number ... by other means", here the local clock).
    pub fn to_unix_nanos(self, near: i64) -> i64 {
        let pivot = Self::from_unix_nanos(near);
        let difference = self.0.wrapping_sub(pivot.0) as i64;
        let nanos = (i128::from(difference) * i128::from(NANOS_PER_SECOND) + (1 << 31)) >> 32;
        near.saturating_add(nanos as i64)
    }

    /// `self - earlier` in seconds, right while the two are within 68 years of each other, in whichever eras they are.
    pub fn since(self, earlier: Self) -> f64 {
        (self.0.wrapping_sub(earlier.0) as i64) as f64 / 4_294_967_296.0
    }

    /// The moment so many seconds later, or earlier when negative; never the value that stands for "no time known".
    #[must_use]
    pub fn plus(self, seconds: f64) -> Self {
        let units = (seconds * 4_294_967_296.0).round() as i64;
        match self.0.wrapping_add_signed(units) {
            0 => Self(1),
            value => Self(value),
        }
    }

    /// How many eras (2^32 s) lie between the moment that this stands for and the one that is nearest to the local time `near`,
    /// nanoseconds since the Unix epoch: 0 unless the local clock is more than 68 years off, or time is out of the window.
    pub fn eras_from(self, near: i64) -> i64 {
        const ERA_SECONDS: i64 = 1 << 32;
        let nearest = self.to_unix_nanos(near).div_euclid(NANOS_PER_SECOND);
        -(nearest - WINDOW_START_SECONDS).div_euclid(ERA_SECONDS)
    }

    /// No time is known.
    pub fn is_unknown(self) -> bool {
        self.0 == 0
    }
}

/// A 32-bit NTP short: 16 bits of seconds, 16 of fraction; used for root delay and root dispersion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpShort(pub u32);

impl NtpShort {
    /// From seconds, rounded up (these values are bounds) and clamped to the format's range (0 to 65,536 s).
    pub fn from_seconds(seconds: f64) -> Self {
        let value = seconds.max(0.0) * 65_536.0;
        // The cast cuts and stays within the range.
        let below = value as u32;
        Self(below.saturating_add(u32::from(f64::from(below) < value)))
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        f64::from(self.0) / 65_536.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a moment survives the format in each era, when the local clock is within 68 years of it.
    #[test]
    fn a_moment_survives_in_each_era() {
        let check = |nanos: i64, near: i64| {
            let back = NtpTimestamp::from_unix_nanos(nanos).to_unix_nanos(near);
            assert!((back - nanos).abs() <= 1, "{nanos} near {near} came back as {back}");
        };
        let era_1 = 2_085_978_496 * NANOS_PER_SECOND; // 2036-02-07 06:28:16
        for nanos in [0, 1, -1, 1_700_000_000_123_456_789, era_1 - 1, era_1 + 1, era_1 + 999_999_999] {
            check(nanos, nanos);
            check(nanos, nanos + 60 * 365 * 86_400 * NANOS_PER_SECOND);
            check(nanos, nanos - 60 * 365 * 86_400 * NANOS_PER_SECOND);
        }
        assert!(!NtpTimestamp::from_unix_nanos(era_1).is_unknown());
    }

    /// Goal: a difference is right over the turn of an era and negative the other way.
    #[test]
    fn differences_cross_the_turn_of_an_era() {
        let before = NtpTimestamp(0xffff_ffff_8000_0000);
        let after = NtpTimestamp(0x0000_0000_8000_0000);
        assert_eq!(after.since(before), 1.0);
        assert_eq!(before.since(after), -1.0);
    }

    /// Goal: a moment of the window is told from its likes in other eras, whatever the local clock shows.
    #[test]
    fn the_window_decides_the_era() {
        let check = |seconds: i64, near: i64, expected: i64| {
            let stamp = NtpTimestamp::from_unix_nanos(seconds * NANOS_PER_SECOND);
            assert_eq!(stamp.eras_from(near * NANOS_PER_SECOND), expected, "{seconds} near {near}");
        };
        check(1_800_000_000, 1_800_000_001, 0);
        check(1_800_000_000, 0, 0);
        check(WINDOW_START_SECONDS, WINDOW_START_SECONDS - 10, 0);
        check(WINDOW_START_SECONDS - 1, WINDOW_START_SECONDS - 1, 1);
        // 2049 with a clock that shows 1970: the nearest such moment would be in 1913.
        check(2_500_000_000, 0, 1);
        check(WINDOW_START_SECONDS + (1 << 32), WINDOW_START_SECONDS + (1 << 32), -1);
    }

    /// Goal: a short is a bound: never below the value that it was made from, except at the end of its range.
    #[test]
    fn a_short_rounds_up() {
        for (seconds, expected) in [(0.0, 0), (1.0, 65_536), (1e-9, 1), (-1.0, 0), (1e9, u32::MAX)] {
            assert_eq!(NtpShort::from_seconds(seconds).0, expected);
        }
        assert_eq!(NtpShort(0x0001_8000).seconds(), 1.5);
    }
}
