//! NTP inside PTP (chrony's `ptpport`): a packet in a TLV of a PTP event message, so that cards which stamp nothing else stamp it.
//! Experimental there, so it may change there.

use crate::packet::HEADER_BYTES;

/// What stands before the NTP packet: PTP's header, an origin timestamp of zeroes, and the TLV's type and length (IEEE 1588-2019 tables 35,
/// 44 and 52).
pub const PTP_PREFIX_BYTES: usize = 48;

/// Message types: both are event messages, which cards stamp.
const SYNC: u8 = 0;
const DELAY_REQUEST: u8 = 1;
const VERSION_2: u8 = 2;
const VERSION_2_1: u8 = 0x12;
/// The flag of a message to one receiver.
const FLAG_UNICAST: u16 = 0x0400;
/// The TLV's type, which nobody else uses.
const TLV_NTP: u16 = 0x2023;

/// The NTP packet in a PTP message of this domain; none where there is none.
pub fn ptp_unwrap(message: &[u8], domain: u8) -> Option<&[u8]> {
    let (prefix, packet) = message.split_first_chunk::<PTP_PREFIX_BYTES>()?;
    let word = |at: usize| -> Option<u16> {
        prefix.get(at..at + 2)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
    };
    let [kind, version, _, _, own_domain, sdo, ..] = *prefix;
    let is_event = kind == SYNC || kind == DELAY_REQUEST;
    let is_version = version == VERSION_2 || (version == VERSION_2_1 && sdo == 0);
    let fits = packet.len() >= HEADER_BYTES
        && usize::from(word(2)?) == message.len()
        && usize::from(word(46)?) == packet.len();
    let is_ours = own_domain == domain && word(6)? == FLAG_UNICAST && word(44)? == TLV_NTP;
    (is_event && is_version && fits && is_ours).then_some(packet)
}

/// The PTP message around an NTP packet of so many bytes, up to the packet; none where that is longer than such a message can be.
pub fn ptp_prefix(packet_bytes: usize, domain: u8, sequence: u16) -> Option<[u8; PTP_PREFIX_BYTES]> {
    let length = u16::try_from(packet_bytes + PTP_PREFIX_BYTES).ok()?;
    let mut prefix = [0; PTP_PREFIX_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = prefix.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &[DELAY_REQUEST, VERSION_2]);
    put(2, &length.to_be_bytes());
    put(4, &[domain]);
    put(6, &FLAG_UNICAST.to_be_bytes());
    put(30, &sequence.to_be_bytes());
    put(44, &TLV_NTP.to_be_bytes());
    put(46, &(length - PTP_PREFIX_BYTES as u16).to_be_bytes());
    Some(prefix)
}

/// The same with the packet.
pub fn ptp_wrap(packet: &[u8], domain: u8, sequence: u16) -> Option<Vec<u8>> {
    let prefix = ptp_prefix(packet.len(), domain, sequence)?;
    Some([&prefix[..], packet].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is wrapped is unwrapped, in the layout of PTP; every byte that matters matters, and no bytes panic.
    #[test]
    fn a_packet_survives_its_wrapping() {
        let packet: Vec<u8> = (0..68).collect();
        let message = ptp_wrap(&packet, 123, 0x0102).expect("it is short");
        assert_eq!(message.len(), 116);
        assert_eq!(message[..8], [1, 2, 0, 116, 123, 0, 4, 0]);
        assert_eq!(message[30..32], [1, 2]);
        assert_eq!(message[44..48], [0x20, 0x23, 0, 68]);
        assert_eq!(ptp_unwrap(&message, 123), Some(&packet[..]));
        assert_eq!(ptp_unwrap(&message, 124), None);
        for at in [0, 1, 2, 3, 4, 6, 7, 44, 45, 46, 47] {
            let mut other = message.clone();
            other[at] ^= 0x40;
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
        let short = ptp_wrap(&packet[..47], 123, 0).expect("it is short");
        assert_eq!(ptp_unwrap(&short, 123), None);
        assert_eq!(ptp_wrap(&vec![0; 65_536], 1, 1), None);
    }
}
