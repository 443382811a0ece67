//! The two ciphers of NTS: AES-SIV-CMAC-256, which every implementation has, and AES-128-GCM-SIV, which makes shorter cookies.
//! Both stand a nonce that is used twice.

use aes_gcm_siv::aead::AeadInPlace;
use aes_gcm_siv::{Aes128GcmSiv, KeyInit, Nonce};

use super::siv::Siv;

/// The longest nonce that a cipher here wants, in bytes.
pub const NONCE_BYTES_MAX: usize = 16;
/// What both ciphers add to a text, in bytes.
pub const TAG_BYTES: usize = 16;

/// An AEAD algorithm, by its number in IANA's registry (RFC 5116).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AeadAlgorithm {
    /// `AEAD_AES_SIV_CMAC_256`, 15: two keys of 128 bits (RFC 5297). RFC 8915 section 5.1: everybody must have it.
    AesSivCmac256,
    /// `AEAD_AES_128_GCM_SIV`, 30 (RFC 8452).
    Aes128GcmSiv,
}

impl AeadAlgorithm {
    /// Those that are here, in the order in which they are preferred (`chrony.conf(5)`, ntsaeads: "default 30 15").
    pub const PREFERRED: [Self; 2] = [Self::Aes128GcmSiv, Self::AesSivCmac256];

    /// The registry's number.
    pub fn id(self) -> u16 {
        match self {
            Self::AesSivCmac256 => 15,
            Self::Aes128GcmSiv => 30,
        }
    }

    /// The algorithm of a number, if it is one of ours.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::PREFERRED.into_iter().find(|one| one.id() == id)
    }

    /// The key's length in bytes. No two algorithms share one: a cookie does not say which it is.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::AesSivCmac256 => 32,
            Self::Aes128GcmSiv => 16,
        }
    }

    /// The algorithm that has keys of this length.
    pub fn from_key_bytes(length: usize) -> Option<Self> {
        Self::PREFERRED.into_iter().find(|one| one.key_bytes() == length)
    }

    /// The nonce's length in bytes: GCM-SIV takes no other, SIV any.
    pub fn nonce_bytes(self) -> usize {
        match self {
            Self::AesSivCmac256 => 16,
            Self::Aes128GcmSiv => 12,
        }
    }
}

/// A key, ready for use.
#[derive(Clone)]
pub struct AeadKey {
    algorithm: AeadAlgorithm,
    cipher: Cipher,
}

#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a server makes two for each packet, on the stack")]
enum Cipher {
    Siv(Siv),
    GcmSiv(Box<Aes128GcmSiv>),
}

// A secret never reaches a log.
impl std::fmt::Debug for AeadKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "AeadKey({:?})", self.algorithm)
    }
}

impl AeadKey {
    /// A key; none when its length is not the algorithm's.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Option<Self> {
        let cipher = match algorithm {
            AeadAlgorithm::AesSivCmac256 => Cipher::Siv(Siv::new(key.try_into().ok()?)),
            AeadAlgorithm::Aes128GcmSiv => Cipher::GcmSiv(Box::new(Aes128GcmSiv::new_from_slice(key).ok()?)),
        };
        Some(Self { algorithm, cipher })
    }

    /// Makes ready what texts beside nothing need, for a key that is used for many of them.
    pub(super) fn prepare(&mut self) {
        if let Cipher::Siv(siv) = &mut self.cipher {
            siv.prepare();
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> AeadAlgorithm {
        self.algorithm
    }

    /// `plain` sealed under `nonce` (of [`AeadAlgorithm::nonce_bytes`]), with `beside` covered but not contained; none when
    /// the nonce has another length.
    pub fn seal(&self, nonce: &[u8], beside: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = vec![0; plain.len() + TAG_BYTES];
        self.text_mut(&mut sealed)?.copy_from_slice(plain);
        self.seal_in_place(nonce, beside, &mut sealed).then_some(sealed)
    }

    /// Where in a place for sealed bytes the plain ones stand before [`Self::seal_in_place`]; none when there is no room for a tag.
    pub(super) fn text_mut<'a>(&self, place: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let length = place.len().checked_sub(TAG_BYTES)?;
        match &self.cipher {
            Cipher::Siv(_) => place.get_mut(TAG_BYTES..),
            Cipher::GcmSiv(_) => place.get_mut(..length),
        }
    }

    /// Seals what stands in its part of the place ([`Self::text_mut`]); false when the nonce has another length than the algorithm's.
    pub(super) fn seal_in_place(&self, nonce: &[u8], beside: &[u8], place: &mut [u8]) -> bool {
        match &self.cipher {
            Cipher::Siv(siv) => {
                let Some((tag, text)) = place.split_first_chunk_mut() else { return false };
                *tag = siv.seal([beside, nonce], text);
                true
            }
            Cipher::GcmSiv(cipher) if nonce.len() == self.algorithm.nonce_bytes() => {
                let Some((text, tag)) = place.split_last_chunk_mut::<TAG_BYTES>() else { return false };
                match cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), beside, text) {
                    Ok(made) => {
                        *tag = made.into();
                        true
                    }
                    Err(_) => false,
                }
            }
            Cipher::GcmSiv(_) => false,
        }
    }

    /// What was sealed; none when key, nonce, `beside` or a byte of it is another.
    pub fn open(&self, nonce: &[u8], beside: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        // A request's authenticator holds nothing, and then nothing is allocated.
        let mut text = vec![0; sealed.len().checked_sub(TAG_BYTES)?];
        self.open_into(nonce, beside, sealed, &mut text).map(|_| ())?;
        Some(text)
    }

    /// The same, written to the begin of `out`; its length. None also when it is longer than `out`. What is written when there is none is
    /// not to be looked at.
    pub(super) fn open_into(
        &self,
        nonce: &[u8],
        beside: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let length = sealed.len().checked_sub(TAG_BYTES)?;
        let out = out.get_mut(..length)?;
        let opened = match &self.cipher {
            Cipher::Siv(siv) => {
                let (tag, text) = sealed.split_first_chunk()?;
                out.copy_from_slice(text);
                siv.open([beside, nonce], tag, out)
            }
            Cipher::GcmSiv(cipher) if nonce.len() == self.algorithm.nonce_bytes() => {
                let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
                out.copy_from_slice(text);
                cipher.decrypt_in_place_detached(Nonce::from_slice(nonce), beside, out, tag.into()).is_ok()
            }
            Cipher::GcmSiv(_) => false,
        };
        opened.then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod vectors;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    /// Goal: both ciphers give the published results, and refuse any change. Method: RFC 8452 appendix C.1 (22 texts) for GCM-SIV; for SIV
    /// with two headers RFC 5297 appendix A.2 has three, so its A.1 (one header) is checked by the crate's own tests, and here
    /// what a nonce and empty data beside it do: the empty header counts (S2V takes it as a string).
    #[test]
    fn published_results_and_no_change_passes() {
        for [key, nonce, beside, plain, expected] in vectors::AES_128_GCM_SIV.map(|row| row.map(hex)) {
            let key = AeadKey::new(AeadAlgorithm::Aes128GcmSiv, &key).expect("16 bytes");
            assert_eq!(key.seal(&nonce, &beside, &plain), Some(expected.clone()));
            assert_eq!(key.open(&nonce, &beside, &expected), Some(plain));
        }
        for algorithm in AeadAlgorithm::PREFERRED {
            let key = AeadKey::new(algorithm, &vec![7; algorithm.key_bytes()]).expect("the length fits");
            let nonce = vec![9; algorithm.nonce_bytes()];
            let sealed = key.seal(&nonce, b"beside", b"text").expect("the nonce fits");
            assert_eq!(sealed.len(), 4 + TAG_BYTES);
            assert_eq!(key.open(&nonce, b"beside", &sealed).as_deref(), Some(b"text".as_slice()));
            assert_eq!(key.open(&nonce, b"besidf", &sealed), None);
            assert_eq!(key.open(&nonce[1..], b"beside", &sealed), None);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(key.open(&nonce, b"beside", &changed), None);
                assert_eq!(key.open(&nonce, b"beside", &sealed[..at]), None);
            }
            assert!(AeadKey::new(algorithm, &[0; 31]).is_none());
            assert_eq!(AeadAlgorithm::from_id(algorithm.id()), Some(algorithm));
            assert_eq!(AeadAlgorithm::from_key_bytes(algorithm.key_bytes()), Some(algorithm));
        }
    }
}
