//! chrony's own extension field F323 (`chrony.conf(5)`, extfield): root delay and dispersion in finer steps, and a receive timestamp of
//! a clock that is corrected in frequency alone. It is experimental there, so it may change there.

use crate::extension::Extensions;
use crate::timestamp::NtpTimestamp;

/// The field's type.
pub(crate) const FIELD_ROOT: u16 = 0xf323;
/// What its body begins with.
const MAGIC: u32 = 0xf5be_dd9a;
/// The length of its body, in bytes: the number above, two times, a timestamp, the epoch.
const BODY_BYTES: usize = 24;
/// The length of the field, in bytes.
pub(crate) const FIELD_BYTES: usize = 4 + BODY_BYTES;
/// Its times are in 2^-28 s.
const UNITS: f64 = 268_435_456.0;
/// What the largest of its times stands for, in seconds: more than any that it can say.
const BEYOND: f64 = 65_536.0;
/// A server's clock that was moved by more than this between two replies, in seconds, is another one.
pub(crate) const MOVED_MAX: f64 = 16.0;

/// The field.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct RootField {
    /// Root delay, in seconds.
    pub root_delay: f64,
    /// Root dispersion, in seconds.
    pub root_dispersion: f64,
    /// When the request arrived, by the server's clock without its steps and slews; unknown where it has no such clock.
    pub monotonic: NtpTimestamp,
    /// Which clock that is: another number, another clock.
    pub epoch: u32,
}

impl RootField {
    /// The field among those of a packet.
    pub(crate) fn find(mut extensions: Extensions<'_>) -> Option<Self> {
        let field = extensions.find(|field| field.kind == FIELD_ROOT)?;
        let body = field.body.first_chunk::<BODY_BYTES>().filter(|_| field.body.len() == BODY_BYTES)?;
        let word = |at: usize| {
            let bytes = body.get(at..at + 4).and_then(|part| part.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        (word(0) == MAGIC).then(|| Self {
            root_delay: seconds(word(4)),
            root_dispersion: seconds(word(8)),
            monotonic: NtpTimestamp(u64::from(word(12)) << 32 | u64::from(word(16))),
            epoch: word(20),
        })
    }

    /// Type, length and body.
    pub(crate) fn to_bytes(self) -> [u8; FIELD_BYTES] {
        let mut bytes = [0; FIELD_BYTES];
        let mut at = 0;
        let mut put = |part: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
            at += part.len();
        };
        put(&FIELD_ROOT.to_be_bytes());
        put(&(FIELD_BYTES as u16).to_be_bytes());
        put(&MAGIC.to_be_bytes());
        put(&units(self.root_delay).to_be_bytes());
        put(&units(self.root_dispersion).to_be_bytes());
        put(&self.monotonic.0.to_be_bytes());
        put(&self.epoch.to_be_bytes());
        bytes
    }
}

fn seconds(units: u32) -> f64 {
    if units == u32::MAX { BEYOND } else { f64::from(units) / UNITS }
}

/// Rounded up: it is a bound. What is too long is the largest value.
fn units(seconds: f64) -> u32 {
    let value = (seconds.max(0.0) * UNITS).ceil();
    if value >= f64::from(u32::MAX) { u32::MAX } else { value as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{HEADER_BYTES, Packet};

    /// Goal: the field survives the wire, in chrony's layout; any other body of this type is none, and no bytes panic.
    #[test]
    fn the_field_survives_the_wire() {
        let field = RootField {
            root_delay: 1.5e-6,
            root_dispersion: 0.25,
            monotonic: NtpTimestamp(0x0102_0304_0506_0708),
            epoch: 9,
        };
        let bytes = field.to_bytes();
        assert_eq!(bytes[..8], [0xf3, 0x23, 0, 28, 0xf5, 0xbe, 0xdd, 0x9a]);
        assert_eq!(bytes[12..], [4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9]);
        let find = |field: &[u8]| {
            let mut packet = vec![0; HEADER_BYTES];
            packet[0] = 0x24;
            packet.extend_from_slice(field);
            Packet::parse(&packet).ok().and_then(|packet| RootField::find(packet.extensions))
        };
        let found = find(&bytes).expect("it is there");
        assert!((found.root_delay - 1.5e-6).abs() < 4e-9, "{found:?}");
        assert_eq!(RootField { root_delay: 1.5e-6, ..found }, field);
        for at in [0, 4] {
            let mut other = bytes;
            other[at] ^= 1;
            assert_eq!(find(&other), None);
        }
        let longer = [&[0xf3, 0x23, 0, 32][..], &bytes[4..], &[0; 4]].concat();
        assert_eq!(find(&longer), None);
        for length in 0..bytes.len() {
            assert_eq!(find(&bytes[..length]), None);
        }
    }

    /// Goal: times are bounds: rounded up, and the largest value is more than any.
    #[test]
    fn times_round_up() {
        for (value, expected) in [(0.0, 0), (-1.0, 0), (1e-12, 1), (1.0, 1 << 28), (16.0, u32::MAX)] {
            assert_eq!(units(value), expected, "{value}");
        }
        assert!(seconds(u32::MAX) > 16.0);
    }
}
