//! Symmetric keys and the codes made with them (RFC 5905 section 7.3, RFC 8573 for AES-CMAC; `chrony.keys(5)`).

use aes::{Aes128, Aes256};
use cmac::{Cmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::collections::BTreeMap;

/// The longest digest, in bytes: SHA512.
pub const MAC_BYTES_MAX: usize = 64;
/// The longest digest of a version 4 packet, in bytes: longer ones are cut, since a longer tail would read as an
/// extension field (RFC 7822; `chrony.keys(5)`: "truncated to 160 bits").
const MAC_V4_BYTES_MAX: usize = 20;
/// The longest secret that a key file may hold, in bytes: far above any digest's block.
const SECRET_BYTES_MAX: usize = 1024;

/// How a code is made from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the algorithms")]
pub enum KeyType {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
    Aes128,
    Aes256,
}

impl KeyType {
    /// Every type with its name in a key file.
    pub const ALL: [(&'static str, Self); 7] = [
        ("MD5", Self::Md5),
        ("SHA1", Self::Sha1),
        ("SHA256", Self::Sha256),
        ("SHA384", Self::Sha384),
        ("SHA512", Self::Sha512),
        ("AES128", Self::Aes128),
        ("AES256", Self::Aes256),
    ];

    /// The length of the secret, where the algorithm fixes it, in bytes.
    fn secret_bytes(self) -> Option<usize> {
        match self {
            Self::Aes128 => Some(16),
            Self::Aes256 => Some(32),
            _ => None,
        }
    }
}

/// One key: its algorithm and its secret.
#[derive(Clone)]
pub struct Key {
    kind: KeyType,
    secret: Vec<u8>,
    prepared: Prepared,
}

/// What the algorithm makes of the secret once, so that not every packet pays for it.
#[derive(Clone)]
enum Prepared {
    /// Hashes that have taken in the secret.
    Md5(Box<md5::Md5>),
    Sha1(Box<BegunSha1>),
    Sha256(Box<Sha256>),
    Sha384(Box<Sha384>),
    Sha512(Box<Sha512>),
    Aes128(Box<Cmac<Aes128>>),
    Aes256(Box<Cmac<Aes256>>),
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.secret) == (other.kind, &other.secret)
    }
}

impl Eq for Key {}

// A secret never reaches a log.
impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Key({:?}, {} bits)", self.kind, self.secret.len() * 8)
    }
}

impl Key {
    /// A key; an error when the algorithm wants another length.
    pub fn new(kind: KeyType, secret: Vec<u8>) -> Result<Self, KeyFileError> {
        match kind.secret_bytes() {
            Some(expected) if expected != secret.len() => {
                Err(KeyFileError::SecretLength { expected, found: secret.len() })
            }
            _ if secret.is_empty() || secret.len() > SECRET_BYTES_MAX => {
                Err(KeyFileError::SecretLength { expected: 1, found: secret.len() })
            }
            _ => {
                let length = KeyFileError::SecretLength { expected: 1, found: secret.len() };
                let prepared = match kind {
                    KeyType::Md5 => Prepared::Md5(begun(&secret)),
                    KeyType::Sha1 => Prepared::Sha1(Box::new(BegunSha1::new(&secret))),
                    KeyType::Sha256 => Prepared::Sha256(begun(&secret)),
                    KeyType::Sha384 => Prepared::Sha384(begun(&secret)),
                    KeyType::Sha512 => Prepared::Sha512(begun(&secret)),
                    // The length was checked above, so neither fails.
                    KeyType::Aes128 => {
                        Prepared::Aes128(Box::new(Cmac::new_from_slice(&secret).map_err(|_| length)?))
                    }
                    KeyType::Aes256 => {
                        Prepared::Aes256(Box::new(Cmac::new_from_slice(&secret).map_err(|_| length)?))
                    }
                };
                Ok(Self { kind, secret, prepared })
            }
        }
    }

    /// The algorithm.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The NTP version to ask in with this key where none is said: 3 where a packet of version 4 would truncate its code, since older servers of
    /// chrony's do not know that (`chrony.conf(5)`, `version`).
    pub fn suggested_version(&self) -> u8 {
        if self.digest(&[], 3).len() > MAC_V4_BYTES_MAX { 3 } else { 4 }
    }

    /// The secret's length in bits.
    pub fn bits(&self) -> usize {
        self.secret.len() * 8
    }

    /// The digest of `data` as a packet of `version` carries it.
    pub fn digest(&self, data: &[u8], version: u8) -> Digested {
        let mut digest = Digested { bytes: [0; MAC_BYTES_MAX], length: 0 };
        match &self.prepared {
            Prepared::Md5(hash) => digest.set(&finished(&**hash, data)),
            Prepared::Sha1(hash) => digest.set(&hash.finished(data)),
            Prepared::Sha256(hash) => digest.set(&finished(&**hash, data)),
            Prepared::Sha384(hash) => digest.set(&finished(&**hash, data)),
            Prepared::Sha512(hash) => digest.set(&finished(&**hash, data)),
            Prepared::Aes128(mac) => {
                digest.set(&(**mac).clone().chain_update(data).finalize().into_bytes());
            }
            Prepared::Aes256(mac) => {
                digest.set(&(**mac).clone().chain_update(data).finalize().into_bytes());
            }
        }
        if version >= 4 {
            digest.length = digest.length.min(MAC_V4_BYTES_MAX);
        }
        digest
    }

    /// The digest belongs to the data. The time it takes does not depend on where they differ.
    pub fn verify(&self, data: &[u8], version: u8, digest: &[u8]) -> bool {
        let expected = self.digest(data, version);
        // An implementation that does not truncate is right in its first bytes too.
        let found = digest.get(..expected.len()).unwrap_or_default();
        !expected.is_empty()
            && found.len() == expected.len()
            && found.iter().zip(expected.iter()).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

/// A digest's bytes.
#[derive(Clone, Copy)]
pub struct Digested {
    bytes: [u8; MAC_BYTES_MAX],
    length: usize,
}

impl Digested {
    fn set(&mut self, digest: &[u8]) {
        if let Some(place) = self.bytes.get_mut(..digest.len()) {
            place.copy_from_slice(digest);
            self.length = digest.len();
        }
    }
}

impl std::ops::Deref for Digested {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

fn begun<D: Digest>(secret: &[u8]) -> Box<D> {
    Box::new(D::new().chain_update(secret))
}

fn finished<D: Digest + Clone>(begun: &D, data: &[u8]) -> sha2::digest::Output<D> {
    begun.clone().chain_update(data).finalize()
}

/// A SHA1 that has taken in the secret. What a packet adds is short: it is put behind the secret's rest and padded here (RFC 3174
/// section 4), so that the blocks are done in one go, which takes half of the time.
#[derive(Clone)]
struct BegunSha1 {
    /// For what is longer than the two blocks.
    hash: Sha1,
    /// After the secret's full blocks.
    state: [u32; 5],
    /// What of the secret is behind them, and how much.
    rest: [u8; SHA1_BLOCK_BYTES],
    rest_bytes: usize,
    secret_bytes: usize,
}

/// A block of SHA1, in bytes.
const SHA1_BLOCK_BYTES: usize = 64;
/// What a length takes at a text's end, in bytes.
const SHA1_LENGTH_BYTES: usize = 8;

impl BegunSha1 {
    fn new(secret: &[u8]) -> Self {
        // RFC 3174 section 6.1.
        let mut state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
        let (full, last) = secret.as_chunks::<SHA1_BLOCK_BYTES>();
        for block in full {
            sha1::compress(&mut state, &[(*block).into()]);
        }
        let mut rest = [0; SHA1_BLOCK_BYTES];
        for (to, from) in rest.iter_mut().zip(last) {
            *to = *from;
        }
        let hash = Sha1::new().chain_update(secret);
        Self { hash, state, rest, rest_bytes: last.len(), secret_bytes: secret.len() }
    }

    /// The digest of the secret and `data`.
    fn finished(&self, data: &[u8]) -> [u8; 20] {
        self.of_two_blocks(data).unwrap_or_else(|| self.hash.clone().chain_update(data).finalize().into())
    }

    /// None when it is longer.
    fn of_two_blocks(&self, data: &[u8]) -> Option<[u8; 20]> {
        let mut text = [0; 2 * SHA1_BLOCK_BYTES];
        *text.first_chunk_mut()? = self.rest;
        let (body, after) = text.get_mut(self.rest_bytes..)?.split_at_mut_checked(data.len())?;
        body.copy_from_slice(data);
        *after.first_mut()? = 0x80;
        let bits = (self.secret_bytes + data.len()) as u64 * 8;
        let used = self.rest_bytes + data.len() + 1 + SHA1_LENGTH_BYTES;
        let mut state = self.state;
        if used <= SHA1_BLOCK_BYTES {
            let text = text.first_chunk_mut::<SHA1_BLOCK_BYTES>()?;
            *text.last_chunk_mut()? = bits.to_be_bytes();
            sha1::compress(&mut state, &[(*text).into()]);
        } else if used <= text.len() {
            *text.last_chunk_mut()? = bits.to_be_bytes();
            let (first, second) = (text.first_chunk::<SHA1_BLOCK_BYTES>()?, text.last_chunk()?);
            sha1::compress(&mut state, &[(*first).into(), (*second).into()]);
        } else {
            return None;
        }
        let mut digest = [0; 20];
        for (to, from) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
            *to = from.to_be_bytes();
        }
        Some(digest)
    }
}

/// Why a packet's authentication failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacError {
    /// A code was required and the packet has none.
    Missing,
    /// The packet names a key that we do not have, or another than the one required.
    Key {
        /// The key id that the packet names.
        id: u32,
    },
    /// The code does not belong to the packet.
    Digest,
}

/// The keys that a daemon knows, by id (1 to 2^32-1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    keys: BTreeMap<u32, Key>,
}

impl Keys {
    /// No key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key; a later one with the same id takes its place.
    pub fn insert(&mut self, id: u32, key: Key) {
        self.keys.insert(id, key);
    }

    /// The key with this id.
    pub fn key(&self, id: u32) -> Option<&Key> {
        self.keys.get(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Reads a key file (`chrony.keys(5)`): lines of `ID [TYPE] KEY`, where the key is `ASCII:`, `HEX:` or plain text, and
    /// `#`, `%`, `;`, `!` open a comment. Good lines are kept; each bad line is told with its number, from 1.
    pub fn parse(text: &str) -> (Self, Vec<(usize, KeyFileError)>) {
        let mut keys = Self::new();
        let mut errors = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', '%', ';', '!']) {
                continue;
            }
            match parse_line(line) {
                Ok((id, key)) => keys.insert(id, key),
                Err(error) => errors.push((index + 1, error)),
            }
        }
        (keys, errors)
    }
}

fn parse_line(line: &str) -> Result<(u32, Key), KeyFileError> {
    let mut words = line.split_ascii_whitespace();
    let id = words.next().and_then(|word| word.parse().ok()).filter(|id| *id > 0).ok_or(KeyFileError::Id)?;
    let second = words.next().ok_or(KeyFileError::SecretMissing)?;
    let (name, secret) = match words.next() {
        Some(secret) => (second, secret),
        None => ("MD5", second),
    };
    let kind = KeyType::ALL
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, kind)| *kind)
        .ok_or_else(|| KeyFileError::Type { name: name.to_owned() })?;
    let secret = match secret.split_once(':') {
        Some(("ASCII", text)) => text.as_bytes().to_vec(),
        Some(("HEX", digits)) => hex(digits).ok_or(KeyFileError::Hex)?,
        _ => secret.as_bytes().to_vec(),
    };
    Ok((id, Key::new(kind, secret)?))
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect::<Option<_>>()?;
    let (pairs, rest) = nibbles.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Why a line of a key file gives no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyFileError {
    /// The first word is no number from 1 to 4294967295.
    Id,
    /// There is no secret.
    SecretMissing,
    /// A type that nobody knows or that this code does not do.
    Type {
        /// As written.
        name: String,
    },
    /// After `HEX:` stands something else than pairs of hexadecimal digits.
    Hex,
    /// The secret's length does not fit the algorithm.
    SecretLength {
        /// In bytes.
        expected: usize,
        /// In bytes.
        found: usize,
    },
}

impl std::fmt::Display for KeyFileError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id => write!(formatter, "a key id is a number from 1 to 4294967295"),
            Self::SecretMissing => write!(formatter, "a key line is ID [TYPE] KEY; the key is missing"),
            Self::Type { name } => write!(
                formatter,
                "key type {name:?} is not supported (MD5, SHA1, SHA256, SHA384, SHA512, AES128, AES256 are)"
            ),
            Self::Hex => write!(formatter, "after HEX: stand pairs of hexadecimal digits"),
            Self::SecretLength { expected: 1, found } => {
                write!(formatter, "the key has {found} bytes where 1 to {SECRET_BYTES_MAX} are possible")
            }
            Self::SecretLength { expected, found } => {
                write!(formatter, "the key has {found} bytes where {expected} are needed")
            }
        }
    }
}

impl std::error::Error for KeyFileError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a code that version 4 would truncate is asked for in version 3, any other in version 4.
    #[test]
    fn long_codes_suggest_version_3() {
        for (name, kind) in KeyType::ALL {
            let secret = vec![7; kind.secret_bytes().unwrap_or(20)];
            let expected = if name.starts_with("SHA") && name != "SHA1" { 3 } else { 4 };
            assert_eq!(
                Key::new(kind, secret).expect("a good length").suggested_version(),
                expected,
                "{name}"
            );
        }
    }

    /// Goal: each algorithm gives the published digest. Method: RFC 4493 (AES-CMAC), RFC 8573's construction, and the
    /// well-known digests of "abc" split over key and data.
    #[test]
    fn digests_are_the_published_ones() {
        let check = |kind, secret: &[u8], data: &[u8], version, expected: &str| {
            let key = Key::new(kind, secret.to_vec()).expect("the secret fits");
            let digest = key.digest(data, version);
            assert_eq!(*digest, *hex(expected).expect("the expected digest is hexadecimal"), "{kind:?}");
            assert!(key.verify(data, version, &digest));
            assert!(!key.verify(data, version, &digest[..digest.len() - 1]));
            let mut wrong = digest.to_vec();
            wrong[0] ^= 1;
            assert!(!key.verify(data, version, &wrong));
        };
        check(KeyType::Md5, b"a", b"bc", 4, "900150983cd24fb0d6963f7d28e17f72");
        check(KeyType::Sha1, b"a", b"bc", 4, "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(
            KeyType::Sha256,
            b"a",
            b"bc",
            3,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(KeyType::Sha256, b"a", b"bc", 4, "ba7816bf8f01cfea414140de5dae2223b00361a3");
        check(KeyType::Sha384, b"a", b"bc", 4, "cb00753f45a35e8bb5a03d699ac65007272c32ab");
        check(KeyType::Sha512, b"a", b"bc", 4, "ddaf35a193617abacc417349ae20413112e6fa4e");
        let aes = hex("2b7e151628aed2a6abf7158809cf4f3c").expect("hexadecimal");
        let message = hex("6bc1bee22e409f96e93d7e117393172a").expect("hexadecimal");
        check(KeyType::Aes128, &aes, &message, 4, "070a16b46b4d4144f79bdd9dd04a287c");
    }

    /// Goal: SHA1 of every length of secret and text is the crate's, whichever way it is made.
    #[test]
    fn sha1_of_every_length_is_the_same() {
        let text: Vec<u8> = (0..200_u32).map(|at| (at * 7 + at / 3) as u8).collect();
        for secret in [1, 19, 20, 55, 56, 63, 64, 65, 127, 128, 129, 200] {
            let begun = BegunSha1::new(&text[..secret]);
            for length in 0..=200 {
                let expected: [u8; 20] =
                    Sha1::new().chain_update(&text[..secret]).chain_update(&text[..length]).finalize().into();
                assert_eq!(begun.finished(&text[..length]), expected, "{secret} and {length}");
                assert_eq!(begun.of_two_blocks(&text[..length]).is_some(), secret % 64 + length <= 119);
            }
        }
    }

    /// Goal: a key file gives its good lines and tells each bad one.
    #[test]
    fn a_key_file_is_read_line_by_line() {
        let text = "# comment\n1 secret\n10 SHA1 HEX:0011ff\n\n20 AES128 HEX:00112233445566778899AABBCCDDEEFF\n\
                    x MD5 a\n30 AES256 HEX:00\n40 WHIRLPOOL a\n50 MD5 HEX:0g\n60\n70 MD5 ASCII:a:b\n";
        let (keys, errors) = Keys::parse(text);
        assert_eq!(keys.len(), 4);
        assert_eq!(keys.key(70), Key::new(KeyType::Md5, b"a:b".to_vec()).ok().as_ref());
        assert_eq!(keys.key(20).map(Key::bits), Some(128));
        let expected = [
            (6, KeyFileError::Id),
            (7, KeyFileError::SecretLength { expected: 32, found: 1 }),
            (8, KeyFileError::Type { name: "WHIRLPOOL".to_owned() }),
            (9, KeyFileError::Hex),
            (10, KeyFileError::SecretMissing),
        ];
        assert_eq!(errors, expected);
    }
}
