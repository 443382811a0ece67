//! Queue ids: what stands in logs and in `mailq`.

use std::fmt;

/// Microseconds in a second.
const SECOND_USEC: u64 = 1_000_000;
/// The letters of long ids: digits and consonants, so that no word comes out (`postconf(5)` enable_long_queue_ids).
const LETTERS: &[u8; 52] = b"0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

/// The id of a queued message: its arrival in microseconds since 1970, moved forward until it is unique, so that ids
/// sort by age and are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u64);

impl QueueId {
    /// The id after `last` for a message that arrives at `now_usec` (microseconds since 1970).
    pub fn next(last: Option<QueueId>, now_usec: u64) -> Self {
        Self(last.map_or(now_usec, |QueueId(last)| now_usec.max(last + 1)))
    }

    /// The short form: five hexadecimal digits of microseconds, then the seconds.
    pub fn short(self) -> String {
        format!("{:05X}{:X}", self.0 % SECOND_USEC, self.0 / SECOND_USEC)
    }

    /// The long form: seconds and four letters of microseconds in base 51, `z`, and a check letter.
    pub fn long(self) -> String {
        let mut out = base51(self.0 / SECOND_USEC, 6);
        out.push_str(&base51(self.0 % SECOND_USEC, 4));
        out.push('z');
        out.push(check_letter(self.0));
        out
    }

    /// Reads either form.
    pub fn parse(text: &str) -> Option<Self> {
        let id = if let Some((digits, check)) =
            text.split_once('z').filter(|_| text.len() >= 12 && text.is_ascii())
        {
            let (seconds, micros) = digits.split_at_checked(digits.len().checked_sub(4)?)?;
            let micros = from_base51(micros)?;
            let id = from_base51(seconds)?.checked_mul(SECOND_USEC)?.checked_add(micros)?;
            (micros < SECOND_USEC && check.chars().eq([check_letter(id)])).then_some(id)?
        } else {
            let (micros, seconds) = text.split_at_checked(5)?;
            if !text.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)) {
                return None;
            }
            let micros = u64::from_str_radix(micros, 16).ok().filter(|&m| m < SECOND_USEC)?;
            u64::from_str_radix(seconds, 16).ok()?.checked_mul(SECOND_USEC)?.checked_add(micros)?
        };
        Some(Self(id))
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

fn check_letter(id: u64) -> char {
    // Never the letter z, which ends the digits.
    let at = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % 51;
    char::from(LETTERS[usize::try_from(at).unwrap_or(0)])
}

/// At least `width` letters, the most significant first; the 52nd letter, z, stays free to end the digits.
fn base51(mut value: u64, width: usize) -> String {
    let mut letters = Vec::new();
    while value > 0 || letters.len() < width {
        letters.push(LETTERS[usize::try_from(value % 51).unwrap_or(0)]);
        value /= 51;
    }
    letters.iter().rev().map(|&b| char::from(b)).collect()
}

fn from_base51(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |sum, b| {
        let digit = LETTERS.iter().position(|&l| l == b).filter(|&d| d < 51)?;
        sum.checked_mul(51)?.checked_add(u64::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: both forms read back, foreign ones are refused.
    #[test]
    fn ids_read_back() {
        for id in [0, 1, 999_999, 1_700_000_000_123_456, 1_700_000_000_999_999, 4_000_000_000_000_000] {
            let id = QueueId(id);
            assert_eq!(QueueId::parse(&id.short()), Some(id), "{}", id.short());
            assert_eq!(QueueId::parse(&id.long()), Some(id), "{}", id.long());
        }
        assert_eq!(QueueId(1_700_000_000_123_456).short(), "1E2406553F100");
        for text in ["", "12", "xyz", "FFFFF00000000", "../../etc/passwd", "0000000000zé", "4F2D8-1"] {
            assert_eq!(QueueId::parse(text), None, "{text}");
        }
    }

    /// Goal: ids are unique and rise even if the clock stands still or goes back.
    #[test]
    fn ids_rise() {
        let first = QueueId::next(None, 100);
        let second = QueueId::next(Some(first), 100);
        let third = QueueId::next(Some(second), 50);
        assert!(first < second && second < third);
    }
}
