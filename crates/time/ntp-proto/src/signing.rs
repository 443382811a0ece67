//! MS-SNTP: replies that a domain controller signs ([MS-SNTP]), and the words in which Samba's `ntp_signd` is asked for it
//! (`ntp_signd.idl` of Samba).
//!
//! A client of a domain sends its account's number with sixteen zero bytes behind an NTPv3 header; only the domain controller has the
//! key. Both sides of the conversation with `ntp_signd` are numbers in network byte order behind their own length.

use crate::packet::{HEADER_BYTES, Header, Mode};

/// Bytes of the account's number and the signature.
const AUTHENTICATOR_BYTES: usize = 20;
/// Bytes of a request to sign: its length, version, operation, number, account, packet.
pub const SIGN_REQUEST_BYTES: usize = 20 + HEADER_BYTES;
/// Bytes of an answer at most: length, version, operation, number, and a packet that may have the longer authenticator of 72 bytes.
pub const SIGN_ANSWER_BYTES_MAX: usize = 16 + HEADER_BYTES + 72;
/// Bytes of an answer without a packet.
const SIGN_ANSWER_HEAD_BYTES: usize = 16;
/// `SIGN_TO_CLIENT`.
const SIGN_TO_CLIENT: u32 = 0;
/// `SIGNING_SUCCESS`.
const SIGNING_SUCCESS: u32 = 3;

/// The account of a request that asks for a signed reply; none for every other request.
pub fn signing_account(request: &[u8]) -> Option<u32> {
    let head = request.first_chunk::<HEADER_BYTES>()?;
    let (account, signature) = request.get(HEADER_BYTES..)?.split_first_chunk::<4>()?;
    let header = Header::from_bytes(head);
    let account = u32::from_be_bytes(*account);
    let asks = header.version == 3
        && header.mode == Mode::Client
        && request.len() == HEADER_BYTES + AUTHENTICATOR_BYTES
        && account != 0
        && signature.iter().all(|byte| *byte == 0);
    asks.then_some(account)
}

/// The words that ask to sign a reply for an account. `number` comes back in the answer.
pub fn sign_request(number: u16, account: u32, reply: &[u8; HEADER_BYTES]) -> [u8; SIGN_REQUEST_BYTES] {
    let mut out = [0; SIGN_REQUEST_BYTES];
    let length = (SIGN_REQUEST_BYTES - 4) as u32;
    let parts: [&[u8]; 6] = [
        &length.to_be_bytes(),
        &0u32.to_be_bytes(),
        &SIGN_TO_CLIENT.to_be_bytes(),
        // A number of two bytes, and two that are unused.
        &(u32::from(number) << 16).to_be_bytes(),
        &account.to_be_bytes(),
        reply,
    ];
    let mut rest = out.as_mut_slice();
    for part in parts {
        let (place, after) = rest.split_at_mut(part.len().min(rest.len()));
        place.copy_from_slice(part);
        rest = after;
    }
    out
}

/// How many bytes an answer has whose first four are these; none when it cannot be one.
pub fn sign_answer_length(first: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(first)).ok()?.checked_add(4)?;
    (SIGN_ANSWER_HEAD_BYTES..=SIGN_ANSWER_BYTES_MAX).contains(&length).then_some(length)
}

/// The signed packet of an answer to the request of this number; none when it was not signed.
pub fn signed_packet(answer: &[u8], number: u16) -> Option<&[u8]> {
    let (head, packet) = answer.split_first_chunk::<SIGN_ANSWER_HEAD_BYTES>()?;
    let word = |index: usize| {
        let bytes = head.chunks_exact(4).nth(index).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes)
    };
    let done = word(2)? == SIGNING_SUCCESS && word(3)? == u32::from(number);
    (done && packet.len() >= HEADER_BYTES).then_some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(first: u8, account: u32, signature: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0] = first;
        bytes.extend(account.to_be_bytes());
        bytes.extend(signature);
        bytes
    }

    /// Goal: only what a client of a domain sends asks for a signature: NTPv3, client, an account, sixteen zero bytes.
    #[test]
    fn requests_of_domains_are_known() {
        assert_eq!(signing_account(&request(0x1b, 1105, &[0; 16])), Some(1105));
        for other in [
            request(0x23, 1105, &[0; 16]),
            request(0x1c, 1105, &[0; 16]),
            request(0x1b, 0, &[0; 16]),
            request(0x1b, 1105, &[0; 15]),
            request(0x1b, 1105, &[0; 20]),
            request(0x1b, 1105, &[1; 16]),
            vec![0x1b; 48],
            Vec::new(),
        ] {
            assert_eq!(signing_account(&other), None, "{other:?}");
        }
    }

    /// Goal: requests are laid out as Samba reads them; answers count only whole, for their number and with a success.
    #[test]
    fn samba_is_spoken_to() {
        let asked = sign_request(0x0102, 0x0a0b_0c0d, &[7; HEADER_BYTES]);
        assert_eq!(asked[..20], [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 10, 11, 12, 13]);
        assert!(asked[20..].iter().all(|byte| *byte == 7));
        let answer = |op: u8, number: u8, packet: &[u8]| {
            let mut bytes = vec![0, 0, 0, 12 + packet.len() as u8, 0, 0, 0, 0, 0, 0, 0, op, 0, 0, 0, number];
            bytes.extend(packet);
            bytes
        };
        let whole = answer(3, 5, &[9; 68]);
        assert_eq!(sign_answer_length([whole[0], whole[1], whole[2], whole[3]]), Some(whole.len()));
        assert_eq!(signed_packet(&whole, 5), Some(&[9; 68][..]));
        assert_eq!(signed_packet(&whole, 6), None);
        assert_eq!(signed_packet(&answer(4, 5, &[9; 68]), 5), None);
        assert_eq!(signed_packet(&answer(3, 5, &[9; 47]), 5), None);
        for first in [[0, 0, 0, 11], [0, 0, 1, 0], [255, 255, 255, 255]] {
            assert_eq!(sign_answer_length(first), None);
        }
    }
}
