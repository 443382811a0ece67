//! The extension fields of NTS (RFC 8915 section 5), written and taken apart.

use super::aead::{AeadKey, NONCE_BYTES_MAX, TAG_BYTES};
use crate::extension::FIELD_BYTES_MIN;

/// Unique identifier (RFC 8915 section 7.5).
pub const FIELD_UNIQUE_IDENTIFIER: u16 = 0x0104;
/// Cookie.
pub const FIELD_COOKIE: u16 = 0x0204;
/// Cookie placeholder.
pub const FIELD_COOKIE_PLACEHOLDER: u16 = 0x0304;
/// Authenticator and encrypted extension fields.
pub const FIELD_AUTHENTICATOR: u16 = 0x0404;

/// The shortest identifier, in bytes (RFC 8915 section 5.3: "MUST be at least 32 octets long").
pub(super) const UNIQUE_IDENTIFIER_BYTES: usize = 32;
/// Type and length of a field, in bytes.
const FIELD_HEAD_BYTES: usize = 4;
/// Lengths of nonce and ciphertext in an authenticator, in bytes.
const AUTHENTICATOR_HEAD_BYTES: usize = 4;

/// The length of a field with a body of `length` bytes.
pub(super) fn field_bytes(length: usize) -> usize {
    (FIELD_HEAD_BYTES + padded(length)).max(FIELD_BYTES_MIN)
}

/// Appends a field; the body is padded with zeroes to a multiple of four bytes and the least length (RFC 7822 section 3).
pub(super) fn push_field(out: &mut Vec<u8>, kind: u16, body: &[u8]) {
    let end = out.len() + field_bytes(body.len());
    out.extend(kind.to_be_bytes());
    out.extend((field_bytes(body.len()) as u16).to_be_bytes());
    out.extend(body);
    out.resize(end, 0);
}

/// Writes a field over a place of [`field_bytes`] that holds zeroes, its body of `length` bytes by `fill`; false when `fill` says so.
pub(super) fn write_field(
    place: &mut [u8],
    kind: u16,
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    let bytes = place.len() as u16;
    let Some((head, rest)) = place.split_first_chunk_mut::<FIELD_HEAD_BYTES>() else { return false };
    let ([kind_high, kind_low], [high, low]) = (kind.to_be_bytes(), bytes.to_be_bytes());
    *head = [kind_high, kind_low, high, low];
    rest.get_mut(..length).is_some_and(fill)
}

/// Appends the authenticator that covers all of `packet` so far and holds `plain`; at least `least` bytes long. False when
/// `nonce` has not the length that the key wants.
pub(super) fn push_authenticator(
    packet: &mut Vec<u8>,
    key: &AeadKey,
    nonce: &[u8],
    plain: &[u8],
    least: usize,
) -> bool {
    push_authenticator_of(packet, key, nonce, plain.len(), least, |text| {
        text.copy_from_slice(plain);
        true
    })
}

/// The same, where `fill` writes the `length` plain bytes to where they are sealed; false also when it says so. Then nothing is appended.
pub(super) fn push_authenticator_of(
    packet: &mut Vec<u8>,
    key: &AeadKey,
    nonce: &[u8],
    length: usize,
    least: usize,
    fill: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    let begin = packet.len();
    let sealed_bytes = length + TAG_BYTES;
    let body = AUTHENTICATOR_HEAD_BYTES + padded(nonce.len()) + padded(sealed_bytes);
    let bytes = field_bytes(body.max(least.saturating_sub(FIELD_HEAD_BYTES)));
    packet.extend(FIELD_AUTHENTICATOR.to_be_bytes());
    packet.extend((bytes as u16).to_be_bytes());
    packet.extend((nonce.len() as u16).to_be_bytes());
    packet.extend((sealed_bytes as u16).to_be_bytes());
    packet.extend(nonce);
    packet.resize(begin + bytes, 0);
    let is_sealed = (|| {
        let (covered, field) = packet.split_at_mut_checked(begin)?;
        let head = FIELD_HEAD_BYTES + AUTHENTICATOR_HEAD_BYTES + padded(nonce.len());
        let sealed = field.get_mut(head..)?.get_mut(..sealed_bytes)?;
        Some(fill(key.text_mut(sealed)?) && key.seal_in_place(nonce, covered, sealed))
    })();
    if is_sealed != Some(true) {
        packet.truncate(begin);
        return false;
    }
    true
}

/// How long an authenticator with a text of `plain` bytes is.
pub(super) fn authenticator_bytes(key: &AeadKey, plain: usize) -> usize {
    let nonce = padded(key.algorithm().nonce_bytes());
    field_bytes(AUTHENTICATOR_HEAD_BYTES + nonce + padded(plain + TAG_BYTES))
}

/// What an authenticator's body holds, if `key` made it over `covered`.
pub(super) fn open_authenticator(key: &AeadKey, covered: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = split_authenticator(body, key.algorithm().nonce_bytes())?;
    key.open(nonce, covered, sealed)
}

/// Nonce and ciphertext.
fn split_authenticator(body: &[u8], nonce_bytes: usize) -> Option<(&[u8], &[u8])> {
    let (head, rest) = body.split_first_chunk::<AUTHENTICATOR_HEAD_BYTES>()?;
    let [nonce_high, nonce_low, sealed_high, sealed_low] = *head;
    let nonce_length = usize::from(u16::from_be_bytes([nonce_high, nonce_low]));
    let sealed_length = usize::from(u16::from_be_bytes([sealed_high, sealed_low]));
    let nonce = rest.get(..nonce_length)?;
    let sealed = rest.get(padded(nonce_length)..)?.get(..sealed_length)?;
    // RFC 8915 section 5.6: room for the nonce of the answer, so that it is not longer than the question.
    if rest.len() < nonce_bytes.min(NONCE_BYTES_MAX) + padded(sealed_length) {
        return None;
    }
    Some((nonce, sealed))
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::super::aead::AeadAlgorithm;
    use super::*;

    /// Goal: an authenticator is read back, covers what stands before it, and no cut or changed length of it is read past its
    /// end or taken for good.
    #[test]
    fn an_authenticator_is_read_back_and_nothing_else() {
        for algorithm in AeadAlgorithm::PREFERRED {
            let key = AeadKey::new(algorithm, &vec![1; algorithm.key_bytes()]).expect("it fits");
            for plain in [0, 1, 16, 101, 400] {
                let mut packet = vec![5; 48];
                let nonce = vec![2; algorithm.nonce_bytes()];
                assert!(push_authenticator(&mut packet, &key, &nonce, &vec![3; plain], 0));
                assert_eq!(packet.len(), 48 + authenticator_bytes(&key, plain));
                let body = &packet[52..];
                assert_eq!(open_authenticator(&key, &[5; 48], body), Some(vec![3; plain]));
                assert_eq!(open_authenticator(&key, &[6; 48], body), None);
                for cut in 0..body.len().saturating_sub(3) {
                    assert_eq!(open_authenticator(&key, &[5; 48], &body[..cut]), None);
                }
                for at in 0..4 {
                    let mut changed = body.to_vec();
                    changed[at] ^= 0x41;
                    assert_eq!(open_authenticator(&key, &[5; 48], &changed), None);
                }
            }
        }
    }

    /// Goal: an authenticator with AES-128-GCM-SIV is the one that another implementation makes. Method: one that OpenSSL sealed over
    /// a header of 48 bytes, with a cookie of 20 bytes in it.
    #[test]
    fn an_authenticator_is_the_one_of_others() {
        let key: Vec<u8> = (0x10..0x20).collect();
        let key = AeadKey::new(AeadAlgorithm::Aes128GcmSiv, &key).expect("it fits");
        let header: Vec<u8> = (0..48).collect();
        let nonce: Vec<u8> = (0xa0..0xac).collect();
        let plain: Vec<u8> = [2, 4, 0, 24].into_iter().chain(0x50..0x64).collect();
        let theirs = "0404003c000c0028a0a1a2a3a4a5a6a7a8a9aaab37a92a67f1fac99f4e553a8a68c19d00e99f6ff3dcee9e3e017acd15484f39104ff86987117127d8";
        let mut packet = header.clone();
        assert!(push_authenticator(&mut packet, &key, &nonce, &plain, 0));
        let ours: String = packet.iter().skip(48).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, theirs);
        assert_eq!(open_authenticator(&key, &header, &packet[52..]), Some(plain));
    }
}
