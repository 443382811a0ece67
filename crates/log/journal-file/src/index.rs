//! What a writer remembers of the file that it writes: every DATA by hash, the tails of its entry arrays, and the payloads
//! that come again and again. Memory: about 36 bytes a DATA, 15 MB for a full file of 128 MiB.

use crate::hash;

/// A DATA object, as far as linking another entry needs it. Places are offsets divided by 8.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DataState {
    pub(crate) place: u32,
    /// Entries that refer to it.
    pub(crate) entries: u32,
    /// The last array of its chain, its capacity and what is used of it.
    pub(crate) tail: Tail,
    /// Its part in the batch: 0 none, 1 its counts changed, n + 2 run n holds items for its last array.
    pub(crate) staged: u32,
}

/// The last array of a chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tail {
    pub(crate) place: u32,
    pub(crate) used: u32,
    pub(crate) capacity: u32,
}

impl Tail {
    /// How many items the next array of a chain gets that holds `items` so far: twice what stands before, at least four.
    pub(crate) fn next_capacity(&self, items: u64) -> u64 {
        let last = u64::from(self.capacity);
        let next = if items > last { (items + 1) * 2 } else { last * 2 };
        next.max(4)
    }

    pub(crate) fn full(&self) -> bool {
        self.used >= self.capacity
    }
}

/// DATA objects by hash: open addressing, at most half full.
#[derive(Debug, Default)]
pub(crate) struct DataIndex {
    /// Index into `states` plus one; 0 is free.
    slots: Vec<u32>,
    hashes: Vec<u64>,
    pub(crate) states: Vec<DataState>,
}

impl DataIndex {
    /// All DATA with this hash: usually one.
    pub(crate) fn with_hash(&self, hash: u64) -> impl Iterator<Item = u32> + '_ {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        std::iter::from_fn(move || {
            loop {
                let slot = *self.slots.get(at)?;
                if slot == 0 {
                    return None;
                }
                at = (at + 1) & mask;
                if self.hashes[slot as usize - 1] == hash {
                    return Some(slot - 1);
                }
            }
        })
    }

    /// The hash of the DATA with this index.
    pub(crate) fn hash(&self, index: u32) -> u64 {
        self.hashes[index as usize]
    }

    /// Adds a DATA and says its index.
    pub(crate) fn insert(&mut self, hash: u64, state: DataState) -> u32 {
        if (self.states.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let index = self.states.len() as u32;
        self.states.push(state);
        self.hashes.push(hash);
        self.take_slot(hash, index);
        index
    }

    fn take_slot(&mut self, hash: u64, index: u32) {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = index + 1;
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(1024);
        self.slots = vec![0; size];
        for index in 0..self.hashes.len() {
            self.take_slot(self.hashes[index], index as u32);
        }
    }
}

/// Payloads that repeat, found by a cheap hash and compared byte for byte, so that a repeated field costs no SipHash and no
/// look into the file. Whoever chooses payloads to collide only makes it miss.
#[derive(Debug)]
pub(crate) struct Repeated(Vec<Known>);

#[derive(Debug, Default)]
struct Known {
    payload: Vec<u8>,
    index: u32,
    xor: u64,
}

/// Slots of [`Repeated`]: some dozens of processes with their twenty fields each.
const REPEATED_SLOTS: usize = 2048;
/// The largest payload that is remembered, bytes.
const REPEATED_MAX: usize = 512;

impl Repeated {
    pub(crate) fn new() -> Self {
        Self((0..REPEATED_SLOTS).map(|_| Known::default()).collect())
    }

    /// Index and lookup3 hash of a payload that was seen before.
    #[inline]
    pub(crate) fn find(&self, payload: &[u8]) -> Option<(u32, u64)> {
        let known = &self.0[slot(payload)];
        (!payload.is_empty() && known.payload == payload).then_some((known.index, known.xor))
    }

    /// Remembers a payload and says its lookup3 hash.
    pub(crate) fn remember(&mut self, payload: &[u8], index: u32) -> u64 {
        let xor = hash::jenkins(payload);
        if payload.len() <= REPEATED_MAX {
            let known = &mut self.0[slot(payload)];
            known.payload.clear();
            known.payload.extend_from_slice(payload);
            known.index = index;
            known.xor = xor;
        }
        xor
    }
}

#[inline]
fn slot(payload: &[u8]) -> usize {
    let mut hash = payload.len() as u64;
    let mut chunks = payload.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        hash = (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    for byte in chunks.remainder() {
        hash = (hash.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    (hash >> 40) as usize % REPEATED_SLOTS
}
