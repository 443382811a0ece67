//! NTP inside PTP (chrony's `ptpport`): a packet in a TLV of a PTP event message, so that cards which stamp nothing else stamp it, and
//! switches that are transparent clocks (IEEE 1588-2019 section 10) tell how long they held it.
//!
//! There are two forms of the TLV, which do not understand each other: [`PtpForm`]. A server answers in the form of the request; a
//! client finds out ([`PtpForms`]).

use crate::packet::HEADER_BYTES;

/// The most that stands before the NTP packet: PTP's header, an origin timestamp of zeroes, the TLV's type and length (IEEE 1588-2019
/// tables 35, 44 and 52), and what an organisation's TLV begins with.
pub const PTP_PREFIX_BYTES_MAX: usize = 56;

/// Message types: both are event messages, which cards stamp.
const SYNC: u8 = 0;
const DELAY_REQUEST: u8 = 1;
const VERSION_2: u8 = 2;
const VERSION_2_1: u8 = 0x12;
/// The flag of a message to one receiver.
const FLAG_UNICAST: u16 = 0x0400;
/// Where the TLV begins.
const TLV_AT: usize = 44;
/// The TLV's type in chronyd 4.2 to 4.8, which nobody else uses.
const TLV_EXPERIMENTAL: u16 = 0x2023;
/// The types of an organisation's TLV: one that is not and one that is to be passed on (IEEE 1588-2019 table 52).
const TLV_ORGANISATION: u16 = 0x0003;
const TLV_ORGANISATION_KEPT: u16 = 0x8000;
/// IANA's number as an organisation, and the subtype that it has given to NTP messages.
const IANA_NTP_MESSAGE: [u8; 6] = [0, 0, 0x5e, 0, 0, 1];
/// The organisation, the subtype and two bytes that fill up.
const ORGANISATION_BYTES: usize = 8;
/// PTP's corrections are in 2^-16 ns.
const CORRECTION_UNITS: f64 = 65_536.0e9;

/// How the NTP packet stands in a PTP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PtpForm {
    /// In a TLV of IANA's, as draft-ietf-ntp-over-ptp and chronyd after 4.8 have it.
    #[default]
    Assigned,
    /// In a TLV with a type of chrony's own: chronyd 4.2 to 4.8.
    Experimental,
}

impl PtpForm {
    /// What stands before the NTP packet, in bytes.
    pub fn prefix_bytes(self) -> usize {
        match self {
            Self::Assigned => PTP_PREFIX_BYTES_MAX,
            Self::Experimental => PTP_PREFIX_BYTES_MAX - ORGANISATION_BYTES,
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Assigned => Self::Experimental,
            Self::Experimental => Self::Assigned,
        }
    }
}

/// What a PTP message brings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PtpMessage<'a> {
    /// The NTP packet.
    pub packet: &'a [u8],
    /// How it stood there.
    pub form: PtpForm,
    /// What transparent clocks on the way have added up, in seconds: how long they held the message. Nobody has verified it.
    pub correction: f64,
}

/// The NTP packet in a PTP message of this domain; none where there is none.
pub fn ptp_unwrap(message: &[u8], domain: u8) -> Option<PtpMessage<'_>> {
    let (prefix, tlv) = message.split_first_chunk::<TLV_AT>()?;
    let word = |bytes: &[u8], at: usize| -> Option<u16> {
        bytes.get(at..at + 2)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
    };
    let [kind, version, _, _, own_domain, sdo, ..] = *prefix;
    let is_event = kind == SYNC || kind == DELAY_REQUEST;
    let is_version = version == VERSION_2 || (version == VERSION_2_1 && sdo == 0);
    let is_ours = own_domain == domain && word(prefix, 6)? == FLAG_UNICAST;
    let fits = usize::from(word(prefix, 2)?) == message.len();
    let value = tlv.get(4..)?;
    if !(is_event && is_version && is_ours && fits) || usize::from(word(tlv, 2)?) != value.len() {
        return None;
    }
    let (form, packet) = match word(tlv, 0)? {
        TLV_EXPERIMENTAL => (PtpForm::Experimental, value),
        TLV_ORGANISATION | TLV_ORGANISATION_KEPT if value.starts_with(&IANA_NTP_MESSAGE) => {
            (PtpForm::Assigned, value.get(ORGANISATION_BYTES..)?)
        }
        _ => return None,
    };
    let correction = i64::from_be_bytes(*prefix.get(8..)?.first_chunk()?) as f64 / CORRECTION_UNITS;
    (packet.len() >= HEADER_BYTES).then_some(PtpMessage { packet, form, correction })
}

/// What stands before a packet.
#[derive(Debug, Clone, Copy)]
pub struct PtpPrefix {
    bytes: [u8; PTP_PREFIX_BYTES_MAX],
    length: usize,
}

impl std::ops::Deref for PtpPrefix {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The PTP message around an NTP packet of so many bytes, up to the packet; none where that is longer than such a message can be.
pub fn ptp_prefix(packet_bytes: usize, domain: u8, sequence: u16, form: PtpForm) -> Option<PtpPrefix> {
    let prefix_bytes = form.prefix_bytes();
    let length = u16::try_from(packet_bytes + prefix_bytes).ok()?;
    let mut prefix = PtpPrefix { bytes: [0; PTP_PREFIX_BYTES_MAX], length: prefix_bytes };
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = prefix.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &[DELAY_REQUEST, VERSION_2]);
    put(2, &length.to_be_bytes());
    put(4, &[domain]);
    put(6, &FLAG_UNICAST.to_be_bytes());
    put(30, &sequence.to_be_bytes());
    put(TLV_AT + 2, &(length - TLV_AT as u16 - 4).to_be_bytes());
    match form {
        PtpForm::Assigned => {
            put(TLV_AT, &TLV_ORGANISATION.to_be_bytes());
            put(TLV_AT + 4, &IANA_NTP_MESSAGE);
        }
        PtpForm::Experimental => put(TLV_AT, &TLV_EXPERIMENTAL.to_be_bytes()),
    }
    Some(prefix)
}

/// The same with the packet.
pub fn ptp_wrap(packet: &[u8], domain: u8, sequence: u16, form: PtpForm) -> Option<Vec<u8>> {
    let prefix = ptp_prefix(packet.len(), domain, sequence, form)?;
    Some([&prefix[..], packet].concat())
}

/// Which form a source understands, found by asking: it does not answer the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PtpForms {
    form: PtpForm,
    /// It has answered in that form.
    known: bool,
    /// Requests since then, or since the form was changed.
    unanswered: u8,
    /// It sends by itself, in its own form: there is no need to hurry.
    symmetric: bool,
}

/// Requests without an answer after which a form that was answered is doubted: the reach register is empty.
const UNANSWERED_KNOWN_MAX: u8 = 8;
/// The same for one that never was, of a server, which says nothing unasked.
const UNANSWERED_MAX: u8 = 1;

impl PtpForms {
    /// Nothing is known; `first` is tried first. `symmetric`: of a peer, which must not be led from form to form by our trying.
    pub fn new(first: PtpForm, symmetric: bool) -> Self {
        Self { form: first, known: false, unanswered: 0, symmetric }
    }

    /// The form of the next request.
    pub fn for_next(&mut self) -> PtpForm {
        let limit = if self.known || self.symmetric { UNANSWERED_KNOWN_MAX } else { UNANSWERED_MAX };
        if self.unanswered >= limit {
            *self = Self::new(self.form.other(), self.symmetric);
        }
        self.unanswered += 1;
        self.form
    }

    /// The form that the source understands, as far as is known.
    pub fn form(&self) -> PtpForm {
        self.form
    }

    /// The source sent a message of this form.
    pub fn heard(&mut self, form: PtpForm) {
        *self = Self { form, known: true, unanswered: 0, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMS: [PtpForm; 2] = [PtpForm::Assigned, PtpForm::Experimental];

    /// Goal: what is wrapped is unwrapped, in the layout of PTP; every byte that matters matters, and no bytes panic.
    #[test]
    fn a_packet_survives_its_wrapping() {
        let packet: Vec<u8> = (0..68).collect();
        let mut lengths = Vec::new();
        for form in FORMS {
            let message = ptp_wrap(&packet, 123, 0x0102, form).expect("it is short");
            lengths.push(message.len());
            assert_eq!(message[..8], [1, 2, 0, message.len() as u8, 123, 0, 4, 0]);
            assert_eq!(message[30..32], [1, 2]);
            let expected = PtpMessage { packet: &packet, form, correction: 0.0 };
            assert_eq!(ptp_unwrap(&message, 123), Some(expected));
            assert_eq!(ptp_unwrap(&message, 124), None);
            let organisation: &[usize] =
                if form == PtpForm::Assigned { &[48, 49, 50, 51, 52, 53] } else { &[] };
            for at in [0, 1, 2, 3, 4, 6, 7, 44, 45, 46, 47].iter().chain(organisation) {
                let mut other = message.clone();
                other[*at] ^= 0x40;
                assert_eq!(ptp_unwrap(&other, 123), None, "{at}");
            }
            // Version 2.1, a correction by the way, and a Sync are taken.
            for (at, value) in [(1, 0x12), (0, 0), (8, 1), (15, 9)] {
                let mut other = message.clone();
                other[at] = value;
                assert!(ptp_unwrap(&other, 123).is_some(), "{at}");
            }
            for length in 0..message.len() {
                assert_eq!(ptp_unwrap(&message[..length], 123), None);
            }
            let short = ptp_wrap(&packet[..47], 123, 0, form).expect("it is short");
            assert_eq!(ptp_unwrap(&short, 123), None);
            assert_eq!(ptp_wrap(&vec![0; 65_536], 1, 1, form), None);
        }
        assert_eq!(lengths, [124, 116]);
        let message = ptp_wrap(&packet, 0, 0, PtpForm::Experimental).expect("it is short");
        assert_eq!(message[44..48], [0x20, 0x23, 0, 68]);
        let mut message = ptp_wrap(&packet, 0, 0, PtpForm::Assigned).expect("it is short");
        assert_eq!(message[44..56], [0, 3, 0, 76, 0, 0, 0x5e, 0, 0, 1, 0, 0]);
        (message[44], message[45]) = (0x80, 0);
        assert!(ptp_unwrap(&message, 0).is_some(), "an organisation's TLV that is passed on");
    }

    /// Goal: corrections are signed and in 2^-16 ns.
    #[test]
    fn corrections_are_read() {
        let mut message = ptp_wrap(&[0; 48], 5, 0, PtpForm::Assigned).expect("it is short");
        for (units, expected) in [(0_i64, 0.0), (65_536, 1e-9), (-65_536_000, -1e-6), (1, 1e-9 / 65_536.0)] {
            message[8..16].copy_from_slice(&units.to_be_bytes());
            let found = ptp_unwrap(&message, 5).expect("it is one").correction;
            assert!((found - expected).abs() < 1e-20, "{found}");
        }
    }

    /// Goal: a source that understands one form alone is found with the second request at the latest, one that was found is not given
    /// up for a few lost replies, and one that was exchanged for another is found again.
    #[test]
    fn the_form_of_a_source_is_found() {
        for first in FORMS {
            for understood in FORMS {
                let mut forms = PtpForms::new(first, false);
                let asked: Vec<PtpForm> = (0..2).map(|_| forms.for_next()).collect();
                assert!(asked.contains(&understood) && asked[0] == first);
                forms.heard(understood);
                for _ in 0..UNANSWERED_KNOWN_MAX {
                    assert_eq!(forms.for_next(), understood);
                }
                forms.heard(understood);
                let asked: Vec<PtpForm> = (0..11).map(|_| forms.for_next()).collect();
                let changed = asked.iter().filter(|form| **form != understood).count();
                assert_eq!(changed, 2, "{asked:?}");
            }
            // A peer is heard before its form is doubted.
            let mut forms = PtpForms::new(first, true);
            assert!((0..UNANSWERED_KNOWN_MAX).all(|_| forms.for_next() == first));
            assert_eq!(forms.for_next(), first.other());
        }
    }
}
