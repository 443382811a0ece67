//! NTP's shared memory segment: another program, like gpsd, writes a pair of times into it, and we look.
//!
//! The layout is the C structure that NTP's drivers have shared since 1993, as a 64-bit system lays it out:
//!
//! | byte | field | | byte | field |
//! |---|---|---|---|---|
//! | 0 | mode, 0 or 1 | | 36 | leap |
//! | 4 | count | | 40 | precision |
//! | 8 | the clock's time, seconds (8 bytes) | | 44 | number of samples |
//! | 16 | its microseconds | | 48 | valid |
//! | 24 | our time then, seconds (8 bytes) | | 52 | the clock's nanoseconds |
//! | 32 | its microseconds | | 56 | our nanoseconds |

use super::Reading;
use std::io;
use sys::shm::{Segment, fence};
use time_core::LeapStatus;

/// The key of unit 0: "NTP0".
const KEY: i32 = 0x4e54_5030;
/// The structure's length, eight spare numbers included.
const LENGTH: usize = 96;
/// Units 0 and 1 are made by programs that are root when they start.
const UNITS_OF_ROOT: u32 = 2;
const SECOND: i64 = 1_000_000_000;

/// A segment.
#[derive(Debug)]
pub(super) struct Shm {
    segment: Segment,
}

/// What stands in it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Content {
    mode: i32,
    count: i32,
    clock: (i64, i32, i32),
    received: (i64, i32, i32),
    leap: i32,
    valid: i32,
}

impl Shm {
    /// The segment of a unit, made when it is missing.
    pub(super) fn attach(unit: u32, mode: u32) -> io::Result<Self> {
        let key = KEY.wrapping_add(i32::try_from(unit).unwrap_or(0));
        let segment = Segment::attach(key, LENGTH, mode)?;
        let users = segment.users()?;
        if let Some(user) = users.and_then(|users| stranger(unit, users, sys::process::effective_uid())) {
            return Err(io::Error::other(format!(
                "user {user} has made the shared memory of unit {unit}, which is root's, and could set the clock by it\n\
                 help: look who it is (ipcs -m -c), then remove it: ipcrm -M {key:#x}"
            )));
        }
        Ok(Self { segment })
    }

    /// A sample, if there is a new one. It is taken: the writer sees that.
    pub(super) fn read(&mut self) -> Option<Reading> {
        let first = self.content();
        fence();
        let count = self.segment.i32_at(4);
        let fresh = first.valid != 0 && (first.mode == 0 || (first.mode == 1 && first.count == count));
        if !fresh {
            return None;
        }
        self.segment.set_i32_at(48, 0);
        first.reading()
    }

    fn content(&self) -> Content {
        let at = |offset| self.segment.i32_at(offset);
        // The count first: a writer of mode 1 raises it before and after.
        let (mode, count) = (at(0), at(4));
        fence();
        Content {
            mode,
            count,
            clock: (self.segment.i64_at(8), at(16), at(52)),
            received: (self.segment.i64_at(24), at(32), at(56)),
            leap: at(36),
            valid: at(48),
        }
    }
}

/// Who else than root, and who we are (`own`), holds the segment of a unit that is root's alone by the convention of NTP's drivers: any
/// user can make it before the program that it is for. The other units are for programs of any user.
fn stranger(unit: u32, users: [u32; 2], own: u32) -> Option<u32> {
    users.into_iter().find(|user| unit < UNITS_OF_ROOT && *user != 0 && *user != own)
}

impl Content {
    /// None: times that are none.
    fn reading(&self) -> Option<Reading> {
        let clock = nanos(self.clock)?;
        let at = nanos(self.received)?;
        Some(Reading {
            at,
            offset: clock.checked_sub(at)? as f64 * 1e-9,
            pulse: false,
            dispersion: 0.0,
            leap: leap(self.leap)?,
        })
    }
}

/// A leap warning by NTP's numbers; none: the clock says that it does not know the time.
pub(super) fn leap(bits: i32) -> Option<LeapStatus> {
    match bits {
        0 => Some(LeapStatus::Normal),
        1 => Some(LeapStatus::Insert),
        2 => Some(LeapStatus::Delete),
        _ => None,
    }
}

/// Seconds, microseconds and nanoseconds, which older writers leave alone: they count only where they agree.
fn nanos((seconds, micros, nanos): (i64, i32, i32)) -> Option<i64> {
    let (micros, nanos) = (i64::from(micros), i64::from(nanos));
    if !(0..1_000_000).contains(&micros) {
        return None;
    }
    let agrees = (0..SECOND).contains(&nanos) && nanos / 1000 == micros;
    seconds.checked_mul(SECOND)?.checked_add(if agrees { nanos } else { micros * 1000 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what a local user puts in the place of root's two segments is not read; a unit for users is theirs, and our own user's too
    /// where the daemon is not root.
    #[test]
    fn strangers_make_no_segments_of_roots() {
        for (unit, users, own, expected) in [
            (0, [0, 0], 0, None),
            (1, [1000, 1000], 0, Some(1000)),
            (0, [1000, 0], 0, Some(1000)),
            (0, [0, 1000], 0, Some(1000)),
            (0, [1000, 1000], 1000, None),
            (1, [0, 0], 1000, None),
            (2, [1000, 1000], 0, None),
            (u32::MAX, [1000, 1000], 0, None),
        ] {
            assert_eq!(stranger(unit, users, own), expected, "{unit} {users:?} {own}");
        }
    }

    /// Goal: whatever stands in the segment is a sample or none, never a panic; nanoseconds count where they agree.
    #[test]
    fn contents_are_samples_or_none() {
        let good = Content {
            mode: 1,
            count: 3,
            clock: (1_700_000_001, 250_000, 250_000_123),
            received: (1_700_000_001, 0, 0),
            leap: 0,
            valid: 1,
        };
        let check = |content: Content, expected: Option<f64>| {
            assert_eq!(content.reading().map(|one| one.offset), expected, "{content:?}");
        };
        check(good, Some(0.250_000_123));
        check(Content { clock: (1_700_000_001, 250_000, 7), ..good }, Some(0.25));
        check(Content { clock: (1_700_000_001, 250_000, -1), ..good }, Some(0.25));
        check(Content { clock: (i64::MAX, 0, 0), ..good }, None);
        check(Content { clock: (i64::MIN, 0, 0), ..good }, None);
        check(Content { clock: (-9_000_000_000, 0, 0), received: (9_000_000_000, 0, 0), ..good }, None);
        check(Content { clock: (0, -1, 0), ..good }, None);
        check(Content { received: (0, i32::MAX, 0), ..good }, None);
        check(Content { leap: 3, ..good }, None);
        check(Content { leap: i32::MIN, ..good }, None);
    }
}
