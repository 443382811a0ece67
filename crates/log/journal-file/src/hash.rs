//! The two hashes of the format: SipHash-2-4 keyed with the file id, and Bob Jenkins's lookup3 (public domain).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use sys::host::Id128;

/// The hash of a payload in a file with the keyed-hash flag.
pub fn keyed(file_id: &Id128, payload: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&file_id.0);
    hasher.write(payload);
    hasher.finish()
}

/// `hashlittle2` of lookup3 with both seeds 0, the first result as the high half.
pub fn jenkins(payload: &[u8]) -> u64 {
    let start = 0xdead_beef_u32.wrapping_add(payload.len() as u32);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = payload;
    let word = |bytes: &[u8], at: usize| -> u32 {
        let mut four = [0u8; 4];
        let part = bytes.get(at..bytes.len().min(at + 4)).unwrap_or_default();
        four[..part.len()].copy_from_slice(part);
        u32::from_le_bytes(four)
    };
    while rest.len() > 12 {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(rest, 4));
        c = c.wrapping_add(word(rest, 8));
        a = a.wrapping_sub(c) ^ c.rotate_left(4);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(6);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(8);
        b = b.wrapping_add(a);
        a = a.wrapping_sub(c) ^ c.rotate_left(16);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(19);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(4);
        b = b.wrapping_add(a);
        rest = &rest[12..];
    }
    if !rest.is_empty() {
        a = a.wrapping_add(word(rest, 0));
        b = b.wrapping_add(word(rest, 4));
        c = c.wrapping_add(word(rest, 8));
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
    }
    (u64::from(c) << 32) | u64::from(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: lookup3 gives the values of its author's self-test (driver5: the empty and the "Four score" strings).
    #[test]
    fn lookup3_gives_its_authors_values() {
        assert_eq!(jenkins(b""), 0xdead_beef_dead_beef);
        assert_eq!(jenkins(b"Four score and seven years ago"), 0x1777_0551_ce72_26e6);
    }
}
