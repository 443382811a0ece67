//! The truth about the clock that stamped a record (RFC 5424 section 7.1, `ntp_adjtime(3)`).

/// What the host's kernel said of its clock when a record was stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClockQuality {
    /// The clock is synchronised: `STA_UNSYNC` was clear.
    pub synced: bool,
    /// The bound of its error in microseconds (the kernel's `maxerror`); says something only when synchronised.
    pub max_error_usec: u64,
    /// The originator knows its time zone.
    pub tz_known: bool,
}

impl ClockQuality {
    /// The bound to state in a record: none when unsynchronised (RFC 5424 section 7.1.3 forbids it), else rounded up to two
    /// significant digits, which keeps it a bound and the number of distinct values small.
    pub fn stated_error_usec(&self) -> Option<u64> {
        self.synced.then(|| round_up_two_digits(self.max_error_usec))
    }
}

/// `value` rounded up to two significant decimal digits.
pub fn round_up_two_digits(value: u64) -> u64 {
    let mut unit: u64 = 1;
    while value / unit >= 100 {
        unit *= 10;
    }
    value.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: rounding never goes below the bound, and an unsynchronised clock states none.
    #[test]
    fn a_stated_error_is_a_bound() {
        for (value, expected) in
            [(0, 0), (7, 7), (99, 99), (100, 100), (101, 110), (12_345, 13_000), (999, 1000)]
        {
            assert_eq!(round_up_two_digits(value), expected);
        }
        assert!(round_up_two_digits(u64::MAX) >= u64::MAX - 1);
        let quality = ClockQuality { synced: false, max_error_usec: 5, tz_known: true };
        assert_eq!(quality.stated_error_usec(), None);
    }
}
