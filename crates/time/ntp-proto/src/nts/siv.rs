//! AES-SIV-CMAC-256 (RFC 5297) over the block cipher of the `aes` crate, which uses the processor's instructions.
//!
//! It stands here because a server opens and makes a cookie for every packet: a key's schedules and the constants of its CMAC are made
//! once and shared by all threads, and nothing is allocated beside the result. The `aes-siv` crate makes them anew for each text; the
//! tests compare the two.

use aes::cipher::generic_array::typenum::U16;
use aes::cipher::inout::InOut;
use aes::cipher::{BlockBackend, BlockClosure, BlockEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128Enc, Block};

/// A block of AES, in bytes; also the tag's length.
const BLOCK_BYTES: usize = 16;
/// Blocks of key stream that are made at once: as many as the cipher works on side by side.
const STREAM_BLOCKS: usize = 8;

/// A key, ready for use.
#[derive(Clone)]
pub(super) struct Siv {
    mac: Aes128Enc,
    /// Of a key that was made ready for many texts. Otherwise it is made when there is something to encrypt: a request's
    /// authenticator holds nothing.
    stream: Option<Aes128Enc>,
    stream_key: [u8; BLOCK_BYTES],
    /// What CMAC adds to a last block that is full, and to one that is not (RFC 4493 section 2.3).
    full: u128,
    padded: u128,
    /// The CMAC of a block of zeroes, where S2V begins, and of nothing, which cookies are beside.
    zero: u128,
    empty: u128,
}

impl Siv {
    /// The first half of a key is for the tag, the second for the stream (RFC 5297 section 2.6).
    pub(super) fn new(key: &[u8; 2 * BLOCK_BYTES]) -> Self {
        let (mac, stream) = key.split_at(BLOCK_BYTES);
        let mac = Aes128Enc::new(mac.into());
        let mut stream_key = [0; BLOCK_BYTES];
        stream_key.copy_from_slice(stream);
        let mut block = Block::default();
        mac.encrypt_block(&mut block);
        let full = doubled(number(&block));
        let padded = doubled(full);
        let mut key = Self { mac, stream: None, stream_key, full, padded, zero: 0, empty: 0 };
        key.zero = key.cmac(&[0; BLOCK_BYTES]);
        key
    }

    /// For many texts beside nothing.
    pub(super) fn prepare(&mut self) {
        self.stream = Some(Aes128Enc::new(&self.stream_key.into()));
        self.empty = self.cmac(&[]);
    }

    /// Encrypts `text` where it stands and gives the tag, which goes before it; `strings` are covered in their order.
    pub(super) fn seal(&self, strings: [&[u8]; 2], text: &mut [u8]) -> [u8; BLOCK_BYTES] {
        let vector = self.vector(strings, text);
        self.add_stream(vector, text);
        vector.to_be_bytes()
    }

    /// Decrypts `text` where it stands; false when a byte of it, the tag, a string or the key is another: then nobody may look at it.
    pub(super) fn open(&self, strings: [&[u8]; 2], tag: &[u8; BLOCK_BYTES], text: &mut [u8]) -> bool {
        let tag = u128::from_be_bytes(*tag);
        self.add_stream(tag, text);
        // One comparison of two numbers: the time that it takes does not depend on where they differ.
        std::hint::black_box(self.vector(strings, text) ^ tag) == 0
    }

    /// S2V (RFC 5297 section 2.4). `text` is as before when it returns.
    fn vector(&self, strings: [&[u8]; 2], text: &mut [u8]) -> u128 {
        // The short one first: the processor then works on both side by side.
        let [first, second] = strings;
        let second = self.cmac(second);
        let first = if first.is_empty() && self.empty != 0 { self.empty } else { self.cmac(first) };
        let sum = doubled(doubled(self.zero) ^ first) ^ second;
        match text.last_chunk_mut::<BLOCK_BYTES>() {
            Some(last) => {
                let was = u128::from_be_bytes(*last);
                *last = (was ^ sum).to_be_bytes();
                let vector = self.cmac(text);
                if let Some(last) = text.last_chunk_mut::<BLOCK_BYTES>() {
                    *last = was.to_be_bytes();
                }
                vector
            }
            None => self.cmac(&(doubled(sum) ^ padded(text)).to_be_bytes()),
        }
    }

    /// CMAC (RFC 4493 section 2.4).
    fn cmac(&self, text: &[u8]) -> u128 {
        let (head, last) = text.split_at(text.len().saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES);
        let last = match last.first_chunk::<BLOCK_BYTES>() {
            Some(last) => u128::from_be_bytes(*last) ^ self.full,
            None => padded(last) ^ self.padded,
        };
        let mut state = Block::default();
        self.mac.encrypt_with_backend(Chain { result: &mut state, head, last: last.to_be_bytes() });
        number(&state)
    }

    /// Adds the key stream that begins at `vector` to `text`.
    fn add_stream(&self, vector: u128, text: &mut [u8]) {
        if text.is_empty() {
            return;
        }
        let made;
        let cipher = match &self.stream {
            Some(ready) => ready,
            None => {
                made = Aes128Enc::new(&self.stream_key.into());
                &made
            }
        };
        // RFC 5297 section 2.5: these two bits are cleared, so that a counter of 32 bits does not run over.
        let mut counter = vector & !(1 << 63 | 1 << 31);
        for chunk in text.chunks_mut(STREAM_BLOCKS * BLOCK_BYTES) {
            let mut blocks = [Block::default(); STREAM_BLOCKS];
            for block in &mut blocks {
                *block = counter.to_be_bytes().into();
                counter = counter.wrapping_add(1);
            }
            // All of them side by side, also where the text ends before: that costs no more than one.
            cipher.encrypt_blocks(&mut blocks);
            let (full, rest) = chunk.as_chunks_mut::<BLOCK_BYTES>();
            let mut stream = blocks.iter();
            for (text, stream) in full.iter_mut().zip(&mut stream) {
                *text = sum(stream, text);
            }
            for (byte, stream) in rest.iter_mut().zip(stream.flatten()) {
                *byte ^= stream;
            }
        }
    }
}

/// The sum of two blocks. Both by value: the processor's vectors are used only where neither can be the other's memory.
#[inline(always)]
fn sum(one: &[u8], other: &[u8; BLOCK_BYTES]) -> [u8; BLOCK_BYTES] {
    let mut sum = *other;
    for (to, from) in sum.iter_mut().zip(one) {
        *to ^= from;
    }
    sum
}

/// Blocks added to the state and encrypted one after the other, all within one call of the cipher.
struct Chain<'a> {
    /// Written at the end; begins as zeroes.
    result: &'a mut Block,
    /// Full blocks.
    head: &'a [u8],
    last: [u8; BLOCK_BYTES],
}

impl BlockSizeUser for Chain<'_> {
    type BlockSize = U16;
}

impl BlockClosure for Chain<'_> {
    #[inline(always)]
    fn call<B: BlockBackend<BlockSize = U16>>(self, backend: &mut B) {
        // The state stays in a register: written byte by byte, it would have to be waited for at each block.
        let mut state = Block::default();
        for block in self.head.as_chunks::<BLOCK_BYTES>().0 {
            let next = Block::from(sum(&state, block));
            backend.proc_block(InOut::from((&next, &mut state)));
        }
        let next = Block::from(sum(&state, &self.last));
        backend.proc_block(InOut::from((&next, &mut state)));
        *self.result = state;
    }
}

fn number(block: &Block) -> u128 {
    u128::from_be_bytes((*block).into())
}

/// Twice the number in the field that CMAC and S2V count in (RFC 5297 section 2.3).
fn doubled(number: u128) -> u128 {
    // Without a branch on a secret.
    number << 1 ^ 0x87 & (number >> 127).wrapping_neg()
}

/// Less than a block, with a one bit and zeroes behind it.
fn padded(text: &[u8]) -> u128 {
    let mut block = [0; BLOCK_BYTES];
    for (to, from) in block.iter_mut().zip(text.iter().chain(&[0x80])) {
        *to = *from;
    }
    u128::from_be_bytes(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes_siv::siv::Aes128Siv;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
    }

    fn sealed(key: &Siv, strings: [&[u8]; 2], plain: &[u8]) -> Vec<u8> {
        let mut text = plain.to_vec();
        let tag = key.seal(strings, &mut text);
        [&tag[..], &text].concat()
    }

    fn opened(key: &Siv, strings: [&[u8]; 2], sealed: &[u8]) -> Option<Vec<u8>> {
        let (tag, text) = sealed.split_first_chunk()?;
        let mut text = text.to_vec();
        key.open(strings, tag, &mut text).then_some(text)
    }

    /// Goal: CMAC is the published one. Method: RFC 4493 section 4, examples 1 to 4.
    #[test]
    fn cmac_is_the_published_one() {
        let mut key = [0; 32];
        key[..16].copy_from_slice(&hex::<16>("2b7e151628aed2a6abf7158809cf4f3c"));
        let key = Siv::new(&key);
        let message: [u8; 64] = hex(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef\
             f69f2445df4f9b17ad2b417be66c3710",
        );
        let check = |length, expected| {
            assert_eq!(key.cmac(&message[..length]).to_be_bytes(), hex::<16>(expected), "{length}");
        };
        check(0, "bb1d6929e95937287fa37d129b756746");
        check(16, "070a16b46b4d4144f79bdd9dd04a287c");
        check(40, "dfa66747de9ae63030ca32611497c827");
        check(64, "51f0bebf7e3b9d92fc49741779363cfe");
    }

    /// Goal: every length of text and strings gives the bytes that the `aes-siv` crate gives, and opens again, and nothing else opens.
    #[test]
    fn it_agrees_with_the_crate() {
        let mut state = 3_u64;
        let mut random = move |length: usize| -> Vec<u8> {
            (0..length)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 40) as u8
                })
                .collect()
        };
        for length in (0..70).chain([127, 128, 129, 200, 256, 700]) {
            for beside in [0, 1, 15, 16, 17, 84, 188] {
                let key: [u8; 32] = random(32).try_into().expect("32 bytes");
                let (beside, nonce, plain) = (random(beside), random(16), random(length));
                let siv = Siv::new(&key);
                let sealed = sealed(&siv, [&beside, &nonce], &plain);
                let expected = Aes128Siv::new(&key.into()).encrypt([&beside, &nonce], &plain);
                assert_eq!(Ok(&*sealed), expected.as_deref().map_err(|_| ()), "{length}");
                let mut prepared = siv.clone();
                prepared.prepare();
                assert_eq!(opened(&prepared, [&beside, &nonce], &sealed), Some(plain.clone()));
                assert_eq!(opened(&siv, [&beside, &nonce], &sealed), Some(plain));
                assert_eq!(opened(&siv, [&nonce, &beside], &sealed), None);
                let mut changed = sealed;
                let at = length % changed.len();
                changed[at] ^= 4;
                assert_eq!(opened(&siv, [&beside, &nonce], &changed), None);
            }
        }
    }

    /// Goal: the counter's bits that are cleared and its turn are the crate's, too, whatever the tag. Method: texts of two blocks, until tags
    /// with both bits set have come up often.
    #[test]
    fn both_cleared_bits_are_met() {
        let siv = Siv::new(&[7; 32]);
        let mut met = [0; 4];
        for number in 0..200_u32 {
            let sealed = sealed(&siv, [&number.to_be_bytes(), b"nonce"], &[9; 40]);
            met[usize::from(sealed[8] >> 7) << 1 | usize::from(sealed[12] >> 7)] += 1;
            let expected =
                Aes128Siv::new(&[7; 32].into()).encrypt([&number.to_be_bytes()[..], b"nonce"], &[9; 40]);
            assert_eq!(Ok(sealed), expected.map_err(|_| ()));
        }
        assert!(met.iter().all(|count| *count > 20), "{met:?}");
    }
}
