//! The bytes of the format: constants, the header, object heads. The map is `docs/formats/journal.md`.

use sys::host::Id128;

use crate::ReadError;

/// The first eight bytes of every file.
pub const SIGNATURE: [u8; 8] = *b"LPKSHHRH";
/// Size of the header that we write, bytes: systemd 252's, which every version since reads.
pub const HEADER_SIZE: u64 = 264;
/// The smallest header that we read, bytes: systemd 183's, before any counter was added.
pub const HEADER_SIZE_MIN: u64 = 208;
/// Longest valid field name, bytes (`journal_field_valid`).
pub const FIELD_NAME_MAX: usize = 64;
/// Most fields of an entry (journald's `ENTRY_FIELD_COUNT_MAX`): bounds the memory that one sender can claim.
pub const ENTRY_FIELDS_MAX: usize = 1024;
/// Largest payload, bytes, after decompression (journald's `DATA_SIZE_MAX`): bounds what a bomb can unfold to.
pub const DATA_SIZE_MAX: u64 = 768 * 1024 * 1024;
/// The longest hash chain that does not yet suggest rotation: longer means that somebody plays games.
pub const HASH_CHAIN_DEPTH_MAX: u64 = 100;

/// The file holds xz, lz4, zstd data; its hash is keyed; its items are 32 bits.
pub mod incompatible {
    /// Some DATA is compressed with xz.
    pub const XZ: u32 = 1;
    /// Some DATA is compressed with lz4.
    pub const LZ4: u32 = 2;
    /// Hashes are SipHash-2-4 keyed with the file id.
    pub const KEYED: u32 = 4;
    /// Some DATA is compressed with zstd.
    pub const ZSTD: u32 = 8;
    /// Offsets in entries and arrays are 32 bits.
    pub const COMPACT: u32 = 16;
    /// What we understand.
    pub const KNOWN: u32 = XZ | LZ4 | KEYED | ZSTD | COMPACT;
}

/// Compatible flag: the file carries seals (TAG objects).
pub const COMPATIBLE_SEALED: u32 = 1;

/// Flags of a DATA object.
pub mod object_flag {
    /// The payload is an xz stream.
    pub const XZ: u8 = 1;
    /// The payload is a size and an lz4 block.
    pub const LZ4: u8 = 2;
    /// The payload is a zstd frame.
    pub const ZSTD: u8 = 4;
    /// Any compression.
    pub const COMPRESSED: u8 = XZ | LZ4 | ZSTD;
}

/// Types of objects.
pub mod object_type {
    #![allow(missing_docs)] // the names are the format's own; docs/formats/journal.md describes them
    pub const DATA: u8 = 1;
    pub const FIELD: u8 = 2;
    pub const ENTRY: u8 = 3;
    pub const DATA_HASH_TABLE: u8 = 4;
    pub const FIELD_HASH_TABLE: u8 = 5;
    pub const ENTRY_ARRAY: u8 = 6;
    pub const TAG: u8 = 7;

    /// The format's name of a type.
    pub fn name(kind: u8) -> &'static str {
        match kind {
            DATA => "DATA",
            FIELD => "FIELD",
            ENTRY => "ENTRY",
            DATA_HASH_TABLE => "DATA_HASH_TABLE",
            FIELD_HASH_TABLE => "FIELD_HASH_TABLE",
            ENTRY_ARRAY => "ENTRY_ARRAY",
            TAG => "TAG",
            _ => "unknown",
        }
    }
}

/// Size of the head that all objects share, bytes.
pub const OBJECT_HEAD: u64 = 16;
/// Where the items of an ENTRY begin.
pub const ENTRY_ITEMS: u64 = 64;
/// Where the items of an ENTRY_ARRAY begin.
pub const ARRAY_ITEMS: u64 = 24;
/// Where the payload of a FIELD begins.
pub const FIELD_PAYLOAD: u64 = 40;
/// Size of a bucket of a hash table, bytes.
pub const BUCKET: u64 = 16;
/// Size of a TAG, bytes.
pub const TAG_SIZE: u64 = 64;

/// `offset` rounded up to a multiple of 8.
pub fn align(offset: u64) -> u64 {
    offset.saturating_add(7) & !7
}

/// The u64 at `at`, or 0 beyond the end.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|part| part.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The u32 at `at`, or 0 beyond the end.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// The id at `at`, or zeros beyond the end.
pub fn id_at(bytes: &[u8], at: usize) -> Id128 {
    Id128(bytes.get(at..at + 16).and_then(|part| part.try_into().ok()).unwrap_or_default())
}

/// Whether `name` is a field name that may stand in a journal: A-Z, 0-9 and `_`, no digit first, at most 64 bytes.
pub fn field_name_valid(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= FIELD_NAME_MAX
        && !name[0].is_ascii_digit()
        && name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
}

/// What a file says of its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Closed cleanly, or synced and idle.
    Offline,
    /// Being written, or its writer ended uncleanly.
    Online,
    /// Rotated away; never written again.
    Archived,
    /// A value that nobody defined.
    Unknown(u8),
}

impl State {
    /// The state of a byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => State::Offline,
            1 => State::Online,
            2 => State::Archived,
            other => State::Unknown(other),
        }
    }

    /// The byte of a state.
    pub fn byte(self) -> u8 {
        match self {
            State::Offline => 0,
            State::Online => 1,
            State::Archived => 2,
            State::Unknown(other) => other,
        }
    }

    /// The word that `journalctl --header` shows.
    pub fn name(self) -> &'static str {
        match self {
            State::Offline => "OFFLINE",
            State::Online => "ONLINE",
            State::Archived => "ARCHIVED",
            State::Unknown(_) => "UNKNOWN",
        }
    }
}

/// The header, decoded. Counters that an old, shorter header lacks are none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // each field stands in the byte map with its meaning
pub struct Header {
    pub compatible: u32,
    pub incompatible: u32,
    pub state: State,
    pub file_id: Id128,
    pub machine_id: Id128,
    pub tail_boot_id: Id128,
    pub seqnum_id: Id128,
    pub header_size: u64,
    pub arena_size: u64,
    pub data_table: u64,
    pub data_table_size: u64,
    pub field_table: u64,
    pub field_table_size: u64,
    pub tail_object: u64,
    pub objects: u64,
    pub entries: u64,
    pub tail_seqnum: u64,
    pub head_seqnum: u64,
    pub entry_array: u64,
    pub head_realtime: u64,
    pub tail_realtime: u64,
    pub tail_monotonic: u64,
    pub data: Option<u64>,
    pub fields: Option<u64>,
    pub tags: Option<u64>,
    pub entry_arrays: Option<u64>,
    pub data_chain_depth: Option<u64>,
    pub field_chain_depth: Option<u64>,
    pub tail_array: Option<u32>,
    pub tail_array_entries: Option<u32>,
}

impl Header {
    /// Decodes the first bytes of a file (give 264, or all there are). Refuses what is no journal or has features that we
    /// do not know; all other values are as the file says and not to be trusted.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReadError> {
        let damaged = |what: &str| ReadError::damaged(0, what);
        if bytes.len() < HEADER_SIZE_MIN as usize {
            return Err(damaged("too short for a journal header"));
        }
        if bytes[..8] != SIGNATURE {
            return Err(damaged("no journal: the signature LPKSHHRH is missing"));
        }
        let header_size = u64_at(bytes, 88);
        if header_size < HEADER_SIZE_MIN {
            return Err(damaged("the header says that it is shorter than any header"));
        }
        let has = |end: u64| header_size >= end && bytes.len() as u64 >= end;
        let counter = |at: usize| has(at as u64 + 8).then(|| u64_at(bytes, at));
        let header = Self {
            compatible: u32_at(bytes, 8),
            incompatible: u32_at(bytes, 12),
            state: State::from_byte(bytes[16]),
            file_id: id_at(bytes, 24),
            machine_id: id_at(bytes, 40),
            tail_boot_id: id_at(bytes, 56),
            seqnum_id: id_at(bytes, 72),
            header_size,
            arena_size: u64_at(bytes, 96),
            data_table: u64_at(bytes, 104),
            data_table_size: u64_at(bytes, 112),
            field_table: u64_at(bytes, 120),
            field_table_size: u64_at(bytes, 128),
            tail_object: u64_at(bytes, 136),
            objects: u64_at(bytes, 144),
            entries: u64_at(bytes, 152),
            tail_seqnum: u64_at(bytes, 160),
            head_seqnum: u64_at(bytes, 168),
            entry_array: u64_at(bytes, 176),
            head_realtime: u64_at(bytes, 184),
            tail_realtime: u64_at(bytes, 192),
            tail_monotonic: u64_at(bytes, 200),
            data: counter(208),
            fields: counter(216),
            tags: counter(224),
            entry_arrays: counter(232),
            data_chain_depth: counter(240),
            field_chain_depth: counter(248),
            tail_array: has(260).then(|| u32_at(bytes, 256)),
            tail_array_entries: has(264).then(|| u32_at(bytes, 260)),
        };
        if header.incompatible & !incompatible::KNOWN != 0 {
            return Err(damaged("the file uses features that are not known here"));
        }
        Ok(header)
    }

    /// The 264 bytes of this header.
    pub fn encode(&self) -> [u8; HEADER_SIZE as usize] {
        let mut bytes = [0u8; HEADER_SIZE as usize];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &SIGNATURE);
        put(8, &self.compatible.to_le_bytes());
        put(12, &self.incompatible.to_le_bytes());
        put(16, &[self.state.byte()]);
        put(24, &self.file_id.0);
        put(40, &self.machine_id.0);
        put(56, &self.tail_boot_id.0);
        put(72, &self.seqnum_id.0);
        let words = [
            self.header_size,
            self.arena_size,
            self.data_table,
            self.data_table_size,
            self.field_table,
            self.field_table_size,
            self.tail_object,
            self.objects,
            self.entries,
            self.tail_seqnum,
            self.head_seqnum,
            self.entry_array,
            self.head_realtime,
            self.tail_realtime,
            self.tail_monotonic,
            self.data.unwrap_or(0),
            self.fields.unwrap_or(0),
            self.tags.unwrap_or(0),
            self.entry_arrays.unwrap_or(0),
            self.data_chain_depth.unwrap_or(0),
            self.field_chain_depth.unwrap_or(0),
        ];
        for (index, word) in words.iter().enumerate() {
            put(88 + 8 * index, &word.to_le_bytes());
        }
        put(256, &self.tail_array.unwrap_or(0).to_le_bytes());
        put(260, &self.tail_array_entries.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Items are 32 bits.
    pub fn compact(&self) -> bool {
        self.incompatible & incompatible::COMPACT != 0
    }

    /// Hashes are keyed.
    pub fn keyed(&self) -> bool {
        self.incompatible & incompatible::KEYED != 0
    }

    /// The file carries seals.
    pub fn sealed(&self) -> bool {
        self.compatible & COMPATIBLE_SEALED != 0
    }

    /// Where the payload of a DATA begins.
    pub fn data_payload(&self) -> u64 {
        if self.compact() { 72 } else { 64 }
    }

    /// Size of an item of an ENTRY, bytes.
    pub fn entry_item(&self) -> u64 {
        if self.compact() { 4 } else { 16 }
    }

    /// Size of an item of an ENTRY_ARRAY, bytes.
    pub fn array_item(&self) -> u64 {
        if self.compact() { 4 } else { 8 }
    }

    /// Whether a writer should rotate, as journald judges it (without its rule on age).
    pub fn rotation_suggested(&self) -> bool {
        let full = |count: Option<u64>, table: u64| {
            count.is_some_and(|count| count.saturating_mul(4) > (table / BUCKET).saturating_mul(3))
        };
        self.header_size < HEADER_SIZE
            || full(self.data, self.data_table_size)
            || full(self.fields, self.field_table_size)
            || self.data_chain_depth.is_some_and(|depth| depth > HASH_CHAIN_DEPTH_MAX)
            || self.field_chain_depth.is_some_and(|depth| depth > HASH_CHAIN_DEPTH_MAX)
            || (self.data.is_some_and(|data| data > 0) && self.fields == Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is encoded is decoded to the same, and nothing shorter or foreign is taken for a header.
    #[test]
    fn a_header_maps_both_ways() {
        let mut header = Header::parse(&{
            let mut bytes = [0u8; 264];
            bytes[..8].copy_from_slice(&SIGNATURE);
            bytes[88..96].copy_from_slice(&264u64.to_le_bytes());
            bytes
        })
        .expect("an empty header is valid");
        header.entries = 7;
        header.tail_array_entries = Some(3);
        header.state = State::Archived;
        assert_eq!(Header::parse(&header.encode()).expect("our own bytes"), header);
        for bytes in [&b""[..], &[0u8; 264], &header.encode()[..100]] {
            assert!(Header::parse(bytes).is_err());
        }
        let mut future = header.clone();
        future.incompatible |= 1 << 20;
        assert!(Header::parse(&future.encode()).is_err());
    }
}
