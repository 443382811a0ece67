//! The Network Correction extension field (type 010A of draft-ietf-ntp-over-ptp, and chrony's experiment F324 before it): how long the
//! network held a packet, as PTP's transparent clocks on its way have added it up. The server takes the sum from the PTP message that a
//! request came in and gives it back in its reply; the reply's own PTP message says the same of the way home. What both held beyond the
//! path's length is no part of the delay, and what one held more than the other is no part of the offset.
//!
//! Nobody vouches for the sums: what cannot be is not used ([`corrected`]).

use crate::extension::Extensions;

/// The field's type.
const FIELD_ASSIGNED: u16 = 0x010a;
/// The type that chronyd 4.5 to 4.8 has, and what its body begins with.
const FIELD_EXPERIMENTAL: u16 = 0xf324;
const MAGIC: u32 = 0x07ac_2ceb;
/// The length of the body: of either form, so that a reply is as long as its request.
const BODY_BYTES: usize = 24;
/// The length of the field, in bytes.
pub(crate) const CORRECTION_FIELD_BYTES: usize = 4 + BODY_BYTES;
/// The field's times are in 2^-32 s, signed.
const UNITS: f64 = 4_294_967_296.0;
/// A transparent clock's rate may be wrong by this, s/s: so much of the delay is left, and a measurement's weight with it.
const CLOCK_ERROR_MAX: f64 = 100e-6;

/// When a packet came, and what is known of its way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrived<T> {
    /// When: the end of its frame.
    pub at: T,
    /// Its way, where a card stamped it; else nothing is known to which a correction could belong.
    pub transit: Option<Transit>,
}

impl<T> From<T> for Arrived<T> {
    fn from(at: T) -> Self {
        Self { at, transit: None }
    }
}

/// What is known of a received packet's way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Transit {
    /// How long its frame took on the last link, in seconds, above 0: from the card's stamp, which is that of the frame's begin, to its
    /// end.
    pub frame: f64,
    /// What transparent clocks have added up, in seconds; 0 outside of PTP.
    pub clocks: f64,
}

impl Transit {
    /// The correction that the sender is told, in seconds; 0: none.
    pub(crate) fn told(self) -> f64 {
        if self.clocks > 0.0 { self.frame + self.clocks } else { 0.0 }
    }
}

/// What type and layout the field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CorrectionForm {
    /// Type 010A.
    #[default]
    Assigned,
    /// Type F324.
    Experimental,
}

/// The field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CorrectionField {
    /// How it is written.
    pub form: CorrectionForm,
    /// What the network held the packet that is answered, its frame's length included, in seconds; 0: not known.
    pub seconds: f64,
}

impl CorrectionField {
    /// The field among those of a packet, in either form.
    pub(crate) fn find(extensions: Extensions<'_>) -> Option<Self> {
        let one = |(kind, body): (u16, &[u8])| {
            let body = body.first_chunk::<BODY_BYTES>().filter(|_| body.len() == BODY_BYTES)?;
            let (form, value) = match kind {
                FIELD_ASSIGNED => (CorrectionForm::Assigned, body.first_chunk::<8>()?),
                FIELD_EXPERIMENTAL if body.starts_with(&MAGIC.to_be_bytes()) => {
                    (CorrectionForm::Experimental, body.get(4..)?.first_chunk::<8>()?)
                }
                _ => return None,
            };
            Some(Self { form, seconds: i64::from_be_bytes(*value) as f64 / UNITS })
        };
        let mut fields = extensions.map(|field| (field.kind, field.body));
        fields.find_map(one)
    }

    /// Type, length and body.
    pub(crate) fn to_bytes(self) -> [u8; CORRECTION_FIELD_BYTES] {
        let mut bytes = [0; CORRECTION_FIELD_BYTES];
        let mut put = |at: usize, part: &[u8]| {
            if let Some(place) = bytes.get_mut(at..at + part.len()) {
                place.copy_from_slice(part);
            }
        };
        // The cast holds the value within the format's range.
        let value = ((self.seconds * UNITS) as i64).to_be_bytes();
        put(2, &(CORRECTION_FIELD_BYTES as u16).to_be_bytes());
        match self.form {
            CorrectionForm::Assigned => {
                put(0, &FIELD_ASSIGNED.to_be_bytes());
                put(4, &value);
            }
            CorrectionForm::Experimental => {
                put(0, &FIELD_EXPERIMENTAL.to_be_bytes());
                put(4, &MAGIC.to_be_bytes());
                put(8, &value);
            }
        }
        bytes
    }
}

/// What the network is known to have done to an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Way {
    /// What the server said of our packet's way: its field's value, in seconds; 0: nothing.
    pub outward: f64,
    /// The way of its packet.
    pub homeward: Option<Transit>,
    /// How fast the local clock was made to gain meanwhile (a slew), s/s.
    pub slew_rate: f64,
}

/// What is to be added to an offset and taken from a delay, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Corrected {
    pub offset: f64,
    pub delay: f64,
}

/// How an exchange that took `delay` seconds is corrected. None where clocks on the way have added nothing, in one direction or
/// both, and where what they say cannot be: it is less than nothing, or more than the whole delay.
pub(crate) fn corrected(way: Way, delay: f64) -> Option<Corrected> {
    let homeward = way.homeward.filter(|transit| transit.clocks > 0.0 && way.outward > 0.0)?;
    // The server's frame took as long as ours where the links are equally fast; where they are not, the delay is wrong by that, and
    // the offset is not: both ends have the time of a frame's end.
    let outward = way.outward - homeward.frame;
    // A little less: clocks that run fast must not make a long way short.
    let known = (homeward.clocks + outward) * (1.0 - CLOCK_ERROR_MAX);
    let can_be = (0.0..=delay).contains(&known);
    can_be.then_some(Corrected { offset: (homeward.clocks - outward) / 2.0, delay: known })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{HEADER_BYTES, Packet};

    fn find(fields: &[u8]) -> Option<CorrectionField> {
        let mut packet = vec![0; HEADER_BYTES];
        packet[0] = 0x24;
        packet.extend_from_slice(fields);
        Packet::parse(&packet).ok().and_then(|packet| CorrectionField::find(packet.extensions))
    }

    /// Goal: both forms survive the wire, in their layouts; any other body of their types is none, and no bytes panic.
    #[test]
    fn the_field_survives_the_wire() {
        for (form, start) in [
            (CorrectionForm::Assigned, &[0x01, 0x0a, 0, 28, 0, 0, 0, 1, 0x40, 0, 0, 0, 0, 0, 0, 0][..]),
            (CorrectionForm::Experimental, &[0xf3, 0x24, 0, 28, 0x07, 0xac, 0x2c, 0xeb, 0, 0, 0, 1, 0x40]),
        ] {
            let field = CorrectionField { form, seconds: 1.25 };
            let bytes = field.to_bytes();
            assert_eq!(bytes[..start.len()], *start);
            assert_eq!(find(&bytes), Some(field));
            let negative = CorrectionField { seconds: -0.5, ..field };
            assert_eq!(find(&negative.to_bytes()), Some(negative));
            let mut other = bytes;
            other[0] ^= 0x10;
            assert_eq!(find(&other), None);
            let longer = [&bytes[..3], &[32], &bytes[4..], &[0; 4]].concat();
            assert_eq!(find(&longer), None);
            for length in 0..bytes.len() {
                assert_eq!(find(&bytes[..length]), None);
            }
            // Behind another field.
            let both = [&[0x02, 0x00, 0, 28][..], &[0; 24], &bytes].concat();
            assert_eq!(find(&both), Some(field));
        }
        let mut wrong = CorrectionField { form: CorrectionForm::Experimental, seconds: 1.0 }.to_bytes();
        wrong[7] ^= 1;
        assert_eq!(find(&wrong), None);
        for seconds in [f64::MAX, f64::MIN, f64::NAN] {
            let field = CorrectionField { form: CorrectionForm::Assigned, seconds };
            assert!(find(&field.to_bytes()).is_some());
        }
    }

    /// Goal: what a packet's receiver tells is its frame with the clocks' sum, and nothing where no clock has added any.
    #[test]
    fn only_what_clocks_added_is_told() {
        for (clocks, expected) in [(0.0, 0.0), (-1e-6, 0.0), (0.5, 0.75)] {
            assert_eq!(Transit { frame: 0.25, clocks }.told(), expected);
        }
    }

    /// Goal: what both ways held is no delay and what one held more is no offset; a sum that is missing in one direction, negative or
    /// above the delay changes nothing.
    #[test]
    fn an_exchange_is_corrected_when_that_can_be() {
        let homeward = |clocks: f64| Some(Transit { frame: 1e-6, clocks });
        let check = |outward: f64, home: Option<Transit>, delay: f64, expected: Option<(f64, f64)>| {
            let found = corrected(Way { outward, homeward: home, slew_rate: 0.0 }, delay)
                .map(|one| (one.offset, one.delay));
            let near = match (found, expected) {
                (Some((a, b)), Some((c, d))) => (a - c).abs() < 1e-15 && (b - d).abs() < 1e-15,
                (None, None) => true,
                _ => false,
            };
            assert!(near, "{found:?} {expected:?}");
        };
        let less = 1.0 - 1e-4;
        check(31e-6, homeward(50e-6), 90e-6, Some((10e-6, 80e-6 * less)));
        check(31e-6, homeward(10e-6), 90e-6, Some((-10e-6, 40e-6 * less)));
        for (outward, home, delay) in [
            (0.0, homeward(50e-6), 90e-6),
            (-1e-6, homeward(50e-6), 90e-6),
            (31e-6, homeward(0.0), 90e-6),
            (31e-6, homeward(-1e-6), 90e-6),
            (31e-6, None, 90e-6),
            // More than the whole way.
            (31e-6, homeward(50e-6), 79e-6),
            // The server's frame took less time than ours, and its clocks held nothing.
            (0.5e-6, homeward(0.4e-6), 90e-6),
            (f64::NAN, homeward(1e-6), 90e-6),
        ] {
            check(outward, home, delay, None);
        }
    }
}
