//! The server's cookies and the keys that seal them. The format is `docs/formats/nts-cookie.md`.
//!
//! A server keeps nothing about a client: whoever comes with a cookie brings the keys, sealed under one of four keys of the
//! server, of which two are old, one is in use and one is the next.

use super::aead::{AeadAlgorithm, AeadKey, TAG_BYTES};
use super::establish::SessionKeys;

/// The longest key of a session, in bytes.
const SESSION_KEY_BYTES_MAX: usize = 32;

/// Keys that are kept: two old, the current, the next.
const KEYS: usize = 4;
/// Of these, the ones that come after the current.
const FUTURE: usize = 1;
/// The low bits of a key's id say its place among the [`KEYS`].
const INDEX_MASK: u32 = KEYS as u32 - 1;
/// The key id at a cookie's begin, in bytes.
const ID_BYTES: usize = 4;
/// What new keys are for. AES-SIV-CMAC-256 is the one that every chronyd 4.x can read from the same file.
const ALGORITHM: AeadAlgorithm = AeadAlgorithm::AesSivCmac256;

/// A key that seals cookies.
#[derive(Clone)]
struct Sealing {
    id: u32,
    secret: Vec<u8>,
    key: AeadKey,
}

/// A key as it is kept in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Its id; the low two bits are its place.
    pub id: u32,
    /// What it is for.
    pub algorithm: AeadAlgorithm,
    /// The key, of the algorithm's length.
    pub secret: Vec<u8>,
}

// A secret never reaches a log.
impl std::fmt::Debug for CookieSecrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CookieSecrets({:08X}, {:?})", self.id, self.algorithm)
    }
}

/// Why a cookie gives no keys. The client is told by a NAK, and comes for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieError {
    /// Its length is none of ours.
    Length,
    /// The key that sealed it is gone, or was never ours.
    Key,
    /// It was changed, or sealed by somebody else.
    Sealed,
}

/// The server's keys.
#[derive(Clone)]
pub struct CookieKeys {
    /// By the low bits of their ids.
    keys: [Sealing; KEYS],
    current: usize,
}

impl std::fmt::Debug for CookieKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "CookieKeys({:08X?}, current {})",
            self.keys.each_ref().map(|key| key.id),
            self.current
        )
    }
}

impl CookieKeys {
    /// New keys, made of what `random` fills in.
    pub fn generate(random: &mut dyn FnMut(&mut [u8])) -> Self {
        let keys = std::array::from_fn(|index| new_key(index, random));
        Self { keys, current: KEYS - 1 - FUTURE }
    }

    /// The keys of a file, oldest first; none when they are not four that follow each other.
    pub fn restore(secrets: &[CookieSecrets]) -> Option<Self> {
        let secrets: &[CookieSecrets; KEYS] = secrets.try_into().ok()?;
        let follows = |pair: &[CookieSecrets]| match pair {
            [one, next] => place(next.id) == (place(one.id) + 1) % KEYS,
            _ => false,
        };
        if !secrets.windows(2).all(follows) {
            return None;
        }
        let mut keys = Vec::with_capacity(KEYS);
        for one in secrets {
            let mut key = AeadKey::new(one.algorithm, &one.secret)?;
            key.prepare();
            keys.push(Sealing { id: one.id, secret: one.secret.clone(), key });
        }
        keys.sort_by_key(|key| place(key.id));
        let last = place(secrets.last()?.id);
        Some(Self { keys: keys.try_into().ok()?, current: (last + KEYS - FUTURE) % KEYS })
    }

    /// The keys to be kept in a file, oldest first.
    pub fn secrets(&self) -> Vec<CookieSecrets> {
        (0..KEYS)
            .filter_map(|step| self.keys.get((self.current + step + 1 + FUTURE) % KEYS))
            .map(|key| CookieSecrets {
                id: key.id,
                algorithm: key.key.algorithm(),
                secret: key.secret.clone(),
            })
            .collect()
    }

    /// The next key becomes the current one, and a new next one takes the place of the oldest, whose cookies end here.
    pub fn rotate(&mut self, random: &mut dyn FnMut(&mut [u8])) {
        self.current = (self.current + 1) % KEYS;
        let next = (self.current + FUTURE) % KEYS;
        if let Some(slot) = self.keys.get_mut(next) {
            *slot = new_key(next, random);
        }
    }

    /// The length of a cookie for keys of `algorithm`, in bytes.
    pub fn cookie_bytes(&self, algorithm: AeadAlgorithm) -> usize {
        let sealing = self.current().key.algorithm();
        ID_BYTES + sealing.nonce_bytes() + 2 * algorithm.key_bytes() + TAG_BYTES
    }

    /// A cookie for a client's keys; no two are alike, so that nobody who sees two knows that one client sent them.
    pub fn seal(&self, keys: &SessionKeys, random: &mut dyn FnMut(&mut [u8])) -> Option<Vec<u8>> {
        let text = CookieText::of(keys)?;
        let mut cookie = vec![0; self.cookie_bytes(keys.algorithm)];
        self.seal_into(&text, random, &mut cookie).then_some(cookie)
    }

    /// Writes a cookie to a place of [`Self::cookie_bytes`]; false when it has another length.
    pub(super) fn seal_into(
        &self,
        text: &CookieText,
        random: &mut dyn FnMut(&mut [u8]),
        place: &mut [u8],
    ) -> bool {
        let current = self.current();
        if place.len() != self.cookie_bytes(text.algorithm) {
            return false;
        }
        let Some((id, rest)) = place.split_first_chunk_mut::<ID_BYTES>() else { return false };
        let nonce_bytes = current.key.algorithm().nonce_bytes();
        let Some((nonce, sealed)) = rest.split_at_mut_checked(nonce_bytes) else { return false };
        *id = current.id.to_be_bytes();
        random(nonce);
        match current.key.text_mut(sealed) {
            Some(plain) if plain.len() == text.as_bytes().len() => plain.copy_from_slice(text.as_bytes()),
            _ => return false,
        }
        current.key.seal_in_place(nonce, &[], sealed)
    }

    /// The keys that a cookie holds.
    pub fn open(&self, cookie: &[u8]) -> Result<SessionKeys, CookieError> {
        let text = self.open_text(cookie)?;
        let (to_server, to_client) = (text.to_server().to_vec(), text.to_client().to_vec());
        Ok(SessionKeys { algorithm: text.algorithm, to_server, to_client })
    }

    /// The same, without an allocation.
    pub(super) fn open_text(&self, cookie: &[u8]) -> Result<CookieText, CookieError> {
        let (id, rest) = cookie.split_first_chunk::<ID_BYTES>().ok_or(CookieError::Length)?;
        let id = u32::from_be_bytes(*id);
        let sealing = self.keys.get(place(id)).filter(|key| key.id == id).ok_or(CookieError::Key)?;
        let (nonce, sealed) =
            rest.split_at_checked(sealing.key.algorithm().nonce_bytes()).ok_or(CookieError::Length)?;
        let mut bytes = [0; 2 * SESSION_KEY_BYTES_MAX];
        let length = sealing.key.open_into(nonce, &[], sealed, &mut bytes).ok_or(CookieError::Sealed)?;
        if !length.is_multiple_of(2) {
            return Err(CookieError::Length);
        }
        let algorithm = AeadAlgorithm::from_key_bytes(length / 2).ok_or(CookieError::Length)?;
        Ok(CookieText { algorithm, bytes })
    }

    fn current(&self) -> &Sealing {
        // `current` is a remainder of KEYS wherever it is set.
        &self.keys[self.current % KEYS]
    }
}

/// What a cookie holds: the keys of both directions. A server reads and writes one for each packet, so nothing of it is allocated.
#[derive(Clone)]
pub(super) struct CookieText {
    pub algorithm: AeadAlgorithm,
    bytes: [u8; 2 * SESSION_KEY_BYTES_MAX],
}

// A secret never reaches a log.
impl std::fmt::Debug for CookieText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "CookieText({:?})", self.algorithm)
    }
}

impl CookieText {
    /// None when a key's length is not the algorithm's.
    fn of(keys: &SessionKeys) -> Option<Self> {
        let mut text = Self { algorithm: keys.algorithm, bytes: [0; 2 * SESSION_KEY_BYTES_MAX] };
        let length = text.algorithm.key_bytes();
        if keys.to_server.len() != length || keys.to_client.len() != length {
            return None;
        }
        for (to, from) in text.bytes.iter_mut().zip(keys.to_server.iter().chain(&keys.to_client)) {
            *to = *from;
        }
        Some(text)
    }

    /// As it is sealed.
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..2 * self.algorithm.key_bytes()).unwrap_or_default()
    }

    /// Client to server.
    pub(super) fn to_server(&self) -> &[u8] {
        self.as_bytes().get(..self.algorithm.key_bytes()).unwrap_or_default()
    }

    /// Server to client.
    pub(super) fn to_client(&self) -> &[u8] {
        self.as_bytes().get(self.algorithm.key_bytes()..).unwrap_or_default()
    }
}

fn place(id: u32) -> usize {
    (id & INDEX_MASK) as usize
}

fn new_key(index: usize, random: &mut dyn FnMut(&mut [u8])) -> Sealing {
    let mut id = [0; ID_BYTES];
    random(&mut id);
    loop {
        let mut secret = vec![0; ALGORITHM.key_bytes()];
        random(&mut secret);
        // The length is the algorithm's own: the first round ends it.
        if let Some(mut key) = AeadKey::new(ALGORITHM, &secret) {
            key.prepare();
            return Sealing { id: u32::from_be_bytes(id) & !INDEX_MASK | index as u32, secret, key };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> impl FnMut(&mut [u8]) {
        let mut next = 0_u8;
        move |out: &mut [u8]| {
            for byte in out {
                next = next.wrapping_mul(5).wrapping_add(77);
                *byte = next;
            }
        }
    }

    fn session(algorithm: AeadAlgorithm) -> SessionKeys {
        SessionKeys {
            algorithm,
            to_server: vec![1; algorithm.key_bytes()],
            to_client: vec![2; algorithm.key_bytes()],
        }
    }

    /// Goal: a cookie comes back as the keys that it was made of, over two rotations and a restart, and not over a third; no
    /// change of a byte passes.
    #[test]
    fn a_cookie_lives_as_long_as_its_key() {
        let mut random = counter();
        for algorithm in AeadAlgorithm::PREFERRED {
            let mut keys = CookieKeys::generate(&mut random);
            let cookie = keys.seal(&session(algorithm), &mut random).expect("the nonce fits");
            assert_eq!(cookie.len(), keys.cookie_bytes(algorithm));
            assert!(cookie.len().is_multiple_of(4));
            assert_ne!(keys.seal(&session(algorithm), &mut random), Some(cookie.clone()));
            for at in 0..cookie.len() {
                let mut changed = cookie.clone();
                changed[at] ^= 0x10;
                assert!(keys.open(&changed).is_err(), "byte {at}");
                assert!(keys.open(&cookie[..at]).is_err(), "cut at {at}");
            }
            for rotation in 0..3 {
                assert_eq!(keys.open(&cookie), Ok(session(algorithm)), "{rotation}");
                keys = CookieKeys::restore(&keys.secrets()).expect("what was kept is whole");
                keys.rotate(&mut random);
            }
            assert_eq!(keys.open(&cookie), Err(CookieError::Key));
        }
    }

    /// Goal: only four keys that follow each other are taken from a file.
    #[test]
    fn a_file_of_other_keys_is_refused() {
        let secrets = CookieKeys::generate(&mut counter()).secrets();
        assert!(CookieKeys::restore(&secrets[1..]).is_none());
        let mut turned = secrets.clone();
        turned.swap(0, 1);
        assert!(CookieKeys::restore(&turned).is_none());
        let mut short = secrets.clone();
        short[2].secret.pop();
        assert!(CookieKeys::restore(&short).is_none());
        let rotated = [&secrets[2..], &secrets[..2]].concat();
        assert!(CookieKeys::restore(&rotated).is_some());
    }
}
