//! What the two processes say to each other: requests and replies of a fixed length, in the machine's own byte order.
//!
//! A request is six 64-bit numbers: the verb and its arguments, unused ones 0. A reply is three: 0 or the number of the error
//! (`errno(3)`), and two results. A request that is not exactly one of these, or asks for more than [`Limits`] allow, is answered
//! with `EINVAL` and does nothing.

use super::{ERROR_USEC_MAX, FREQUENCY_WORD_PPM_MAX, FREQUENCY_WORD_UNITS, KernelStatus, Words};
use std::io;
use sys::rtc::RtcTime;

/// Bytes of a request.
pub(super) const REQUEST_BYTES: usize = 48;
/// Bytes of a reply.
pub(super) const REPLY_BYTES: usize = 24;
/// `EINVAL`.
pub(super) const REFUSED: i32 = 22;
/// The kernel's bounds of a tick, microseconds (`adjtimex(2)`: 900000/HZ to 1100000/HZ).
const TICK_USEC: std::ops::RangeInclusive<i64> = 9_000..=11_000;
/// The largest value of its frequency word.
const UNITS_MAX: i64 = (FREQUENCY_WORD_PPM_MAX * FREQUENCY_WORD_UNITS) as i64;
/// No clock is set to a time before 1970 or after 2199, seconds since the Unix epoch: no source can mean that, and beyond it
/// programs that keep seconds in few bits break.
const TIME: std::ops::Range<i64> = 0..7_258_118_400;
/// TAI minus UTC that is believed, seconds: 37 since 2017, and it changes by one in years.
const TAI_OFFSET: std::ops::RangeInclusive<i64> = 0..=255;
/// What `tempcomp` may take off beneath the rest, parts per million: its own sanity limit.
const COMPENSATION_PPM_MAX: f64 = time_core::COMPENSATION_MAX * 1e6;
/// What a word's rounding adds, parts per million.
const ROUNDING_PPM: f64 = 0.001;

/// A request to the process that holds the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    TakeOver,
    Frequency { words: Words, rest: Words },
    Step { nanos: i64 },
    Status(KernelStatus),
    Leap { direction: i32, tai_offset: Option<i32> },
    RealTimeClock(RtcTime),
}

/// What a process that parses foreign packets may ask for at most: told to the clock process on its command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limits {
    /// Of what the oscillator needs, parts per million (`maxdrift`).
    pub drift_ppm: f64,
    /// Of a slew on top of it, parts per million (`maxslewrate`).
    pub slew_ppm: f64,
}

impl Limits {
    /// Whether a correction is one that a sane daemon asks for.
    fn allow(&self, words: Words, rest: Words) -> bool {
        let takes = |one: Words| one.units.abs() <= UNITS_MAX && TICK_USEC.contains(&one.tick_usec);
        takes(words)
            && takes(rest)
            // A daemon without a drift file keeps what it finds, as long as that can be an oscillator's.
            && rest.ppm().abs() <= self.drift_ppm.max(FREQUENCY_WORD_PPM_MAX) + COMPENSATION_PPM_MAX + ROUNDING_PPM
            && (words.ppm() - rest.ppm()).abs() <= self.slew_ppm + ROUNDING_PPM
    }
}

impl Request {
    /// As it is sent.
    pub(super) fn to_bytes(self) -> [u8; REQUEST_BYTES] {
        let numbers = match self {
            Self::TakeOver => [1, 0, 0, 0, 0, 0],
            Self::Frequency { words, rest } => {
                [2, words.units, words.tick_usec, rest.units, rest.tick_usec, 0]
            }
            Self::Step { nanos } => [3, nanos, 0, 0, 0, 0],
            Self::Status(status) => {
                let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                [
                    4,
                    status.synced.into(),
                    number(status.max_error_usec),
                    number(status.estimated_error_usec),
                    0,
                    0,
                ]
            }
            Self::Leap { direction, tai_offset } => {
                [5, direction.into(), tai_offset.is_some().into(), tai_offset.unwrap_or(0).into(), 0, 0]
            }
            Self::RealTimeClock(time) => {
                let date = (i64::from(time.year) * 100 + i64::from(time.month)) * 100 + i64::from(time.day);
                let of_day =
                    (i64::from(time.hour) * 100 + i64::from(time.minute)) * 100 + i64::from(time.second);
                [6, date, of_day, 0, 0, 0]
            }
        };
        let mut bytes = [0; REQUEST_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&i64::to_ne_bytes(number));
        }
        bytes
    }

    /// What was sent, if it is a request that may be granted at `now` (nanoseconds since the Unix epoch).
    pub(super) fn from_bytes(bytes: &[u8; REQUEST_BYTES], limits: &Limits, now: i64) -> Option<Self> {
        let mut numbers = [0; REQUEST_BYTES / 8];
        for (number, place) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
            *number = i64::from_ne_bytes(place.try_into().ok()?);
        }
        let usec = |value: i64| u64::try_from(value).ok().filter(|value| *value <= ERROR_USEC_MAX);
        match numbers {
            [1, 0, 0, 0, 0, 0] => Some(Self::TakeOver),
            [2, units, tick_usec, rest_units, rest_tick_usec, 0] => {
                // First, so that no later sum overflows.
                let number = |value: i64| i32::try_from(value).ok().map(i64::from);
                let words = Words { units: number(units)?, tick_usec: number(tick_usec)? };
                let rest = Words { units: number(rest_units)?, tick_usec: number(rest_tick_usec)? };
                limits.allow(words, rest).then_some(Self::Frequency { words, rest })
            }
            [3, nanos, 0, 0, 0, 0] => {
                let then = now.checked_add(nanos)?.div_euclid(1_000_000_000);
                TIME.contains(&then).then_some(Self::Step { nanos })
            }
            [4, synced @ 0..=1, max, estimated, 0, 0] => Some(Self::Status(KernelStatus {
                synced: synced == 1,
                max_error_usec: usec(max)?,
                estimated_error_usec: usec(estimated)?,
            })),
            [5, direction @ -1..=1, 0, 0, 0, 0] => {
                Some(Self::Leap { direction: direction as i32, tai_offset: None })
            }
            [5, direction @ -1..=1, 1, tai_offset, 0, 0] if TAI_OFFSET.contains(&tai_offset) => {
                Some(Self::Leap { direction: direction as i32, tai_offset: Some(tai_offset as i32) })
            }
            [6, date, of_day, 0, 0, 0] => {
                let pair = |value: i64| u8::try_from(value % 100).ok();
                let time = RtcTime {
                    year: i32::try_from(date / 10_000).ok()?,
                    month: pair(date / 100)?,
                    day: pair(date)?,
                    hour: u8::try_from(of_day / 10_000).ok()?,
                    minute: pair(of_day / 100)?,
                    second: pair(of_day)?,
                };
                // A moment that there is, in the years that a clock can show.
                let seconds = sys::rtc::from_utc(time);
                (TIME.contains(&seconds) && sys::rtc::to_utc(seconds) == time)
                    .then_some(Self::RealTimeClock(time))
            }
            _ => None,
        }
    }
}

/// A reply: what `result` holds, or the number of its error.
pub(super) fn reply(result: &io::Result<Words>) -> [u8; REPLY_BYTES] {
    let numbers = match result {
        Ok(words) => [0, words.units, words.tick_usec],
        Err(error) => [i64::from(error.raw_os_error().filter(|code| *code > 0).unwrap_or(REFUSED)), 0, 0],
    };
    let mut bytes = [0; REPLY_BYTES];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&i64::to_ne_bytes(number));
    }
    bytes
}

/// What a reply says.
pub(super) fn read_reply(bytes: &[u8; REPLY_BYTES]) -> io::Result<Words> {
    let number = |index: usize| {
        let place = bytes.chunks_exact(8).nth(index).and_then(|place| place.try_into().ok());
        place.map_or(0, i64::from_ne_bytes)
    };
    match i32::try_from(number(0)) {
        Ok(0) => Ok(Words { units: number(1), tick_usec: number(2) }),
        code => Err(io::Error::from_raw_os_error(code.unwrap_or(REFUSED))),
    }
}
