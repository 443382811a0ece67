//! One file, read: entries by index and by offset, fields of an entry, entries of a payload, values of a field.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sys::host::Id128;

use crate::compress::decompress;
use crate::file_storage::FileStorage;
use crate::format::{
    ARRAY_ITEMS, BUCKET, ENTRY_FIELDS_MAX, ENTRY_ITEMS, FIELD_PAYLOAD, HEADER_SIZE, Header, OBJECT_HEAD,
    id_at, object_flag, object_type, u32_at, u64_at,
};
use crate::window::{Source, Windows};
use crate::{ReadError, hash};

/// Windows that a reader keeps of a file: 4 MiB, the stretch that a dump and its data are spread over.
const WINDOWS: usize = 64;
/// Payloads that a reader keeps: the fields that repeat from entry to entry are found without reading.
const CACHED_PAYLOADS: usize = 8192;
/// The largest payload that is kept, bytes.
const CACHED_PAYLOAD_MAX: usize = 1024;
/// A lone entry may hold more items than journald accepts today (older ones had no limit); beyond this it is damage.
const ITEMS_MAX: u64 = 64 * ENTRY_FIELDS_MAX as u64;

/// A journal file that is read.
pub struct JournalFile {
    path: PathBuf,
    windows: Windows,
    header: Header,
    main: EntryList,
    cache: Vec<Cached>,
    items: Vec<u64>,
}

#[derive(Default)]
struct Cached {
    /// Offset of the DATA; 0 is an empty slot.
    offset: u64,
    payload: Vec<u8>,
}

/// What an entry says of itself, without its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryHead {
    /// Where it stands in its file.
    pub offset: u64,
    /// Its number in the sequence.
    pub seqnum: u64,
    /// Wall clock, microseconds since 1970.
    pub realtime: u64,
    /// Monotonic clock, microseconds since that boot.
    pub monotonic: u64,
    /// Which boot.
    pub boot_id: Id128,
    /// XOR of the lookup3 hashes of its payloads.
    pub xor_hash: u64,
}

/// A chain of entry arrays, so that the entry of an index is found without walking.
#[derive(Debug, Clone, Default)]
pub(crate) struct EntryList {
    /// Index of the first item, offset, number of items.
    arrays: Vec<(u64, u64, u64)>,
    pub(crate) len: u64,
}

impl JournalFile {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Self::from_source(Box::new(FileStorage::open_to_read(path)?), path)
    }

    /// Reads from any source; `path` is only its name.
    pub fn from_source(source: Source, path: &Path) -> Result<Self, ReadError> {
        let mut windows = Windows::new(source, WINDOWS)?;
        let header = read_header(&mut windows)?;
        let cache = (0..CACHED_PAYLOADS).map(|_| Cached::default()).collect();
        let mut file = Self {
            path: path.to_path_buf(),
            windows,
            header,
            main: EntryList::default(),
            cache,
            items: Vec::new(),
        };
        file.main = file.list(file.header.entry_array, file.header.entries);
        Ok(file)
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It was renamed.
    pub(crate) fn set_path(&mut self, path: &Path) {
        self.path = path.to_path_buf();
    }

    /// The header as last read.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Looks for entries that were added since; true when there are some.
    pub fn refresh(&mut self) -> Result<bool, ReadError> {
        let before = self.main.len;
        let header = Header::parse(&self.windows.newest(HEADER_SIZE)?)?;
        if header.entries != self.header.entries {
            self.windows.forget()?;
            self.header = header;
            self.main = self.list(self.header.entry_array, self.header.entries);
        } else {
            self.header = header;
        }
        Ok(self.main.len > before)
    }

    /// Gives cached memory back; the file stays open.
    pub(crate) fn rest(&mut self) {
        self.windows.release();
    }

    /// Number of entries that can be reached.
    pub fn entries(&self) -> u64 {
        self.main.len
    }

    /// Offset of the entry with this index.
    pub fn entry_offset(&mut self, index: u64) -> Result<u64, ReadError> {
        let (array, place) = self.main.place(index).ok_or_else(|| {
            ReadError::damaged(self.header.entry_array, "the main entry array is too short")
        })?;
        self.array_item(array, place)
    }

    /// The head of the entry at `offset`.
    pub fn entry(&mut self, offset: u64) -> Result<EntryHead, ReadError> {
        let bytes = self.windows.bytes(offset, ENTRY_ITEMS)?;
        let size = u64_at(bytes, 8);
        if bytes[0] != object_type::ENTRY || !offset.is_multiple_of(8) || size <= ENTRY_ITEMS {
            return Err(ReadError::damaged(offset, "no entry where one should be"));
        }
        Ok(EntryHead {
            offset,
            seqnum: u64_at(bytes, 16),
            realtime: u64_at(bytes, 24),
            monotonic: u64_at(bytes, 32),
            boot_id: id_at(bytes, 40),
            xor_hash: u64_at(bytes, 56),
        })
    }

    /// Hands each field of the entry at `offset` to `see` as `NAME=value`, in the file's order, until it breaks.
    pub fn for_each_field(
        &mut self,
        offset: u64,
        mut see: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.read_items(offset)?;
        let items = std::mem::take(&mut self.items);
        let mut outcome = Ok(());
        for data in &items {
            match self.with_payload(*data, &mut see) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.items = items;
        outcome
    }

    /// Offsets of the DATA objects of the entry at `offset`, into `self.items`.
    fn read_items(&mut self, offset: u64) -> Result<(), ReadError> {
        let compact = self.header.compact();
        let width = self.header.entry_item();
        self.items.clear();
        let head = self.windows.bytes(offset, OBJECT_HEAD)?;
        let size = u64_at(head, 8);
        let count = size.saturating_sub(ENTRY_ITEMS) / width;
        if head[0] != object_type::ENTRY || count == 0 || count > ITEMS_MAX {
            return Err(ReadError::damaged(offset, "an entry with an impossible number of fields"));
        }
        let bytes = self.windows.bytes(offset + ENTRY_ITEMS, count * width)?;
        for item in bytes.chunks_exact(width as usize) {
            self.items.push(if compact { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) });
        }
        Ok(())
    }

    /// The DATA objects of the entry at `offset`.
    pub(crate) fn entry_items(&mut self, offset: u64) -> Result<&[u64], ReadError> {
        self.read_items(offset)?;
        Ok(&self.items)
    }

    #[inline]
    fn with_payload<T>(&mut self, data: u64, see: &mut impl FnMut(&[u8]) -> T) -> Result<T, ReadError> {
        let slot = ((data >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 51) as usize % CACHED_PAYLOADS;
        if self.cache[slot].offset == data && data != 0 {
            return Ok(see(&self.cache[slot].payload));
        }
        let start = self.header.data_payload();
        let head = self.windows.bytes(data, OBJECT_HEAD)?;
        let (kind, flags, size) = (head[0], head[1], u64_at(head, 8));
        if kind != object_type::DATA || size <= start || !data.is_multiple_of(8) {
            return Err(ReadError::damaged(data, "no data object where one should be"));
        }
        let bytes = self.windows.bytes(data + start, size - start)?;
        let cached = &mut self.cache[slot];
        if flags & object_flag::COMPRESSED != 0 {
            let payload = decompress(flags, bytes).map_err(|what| ReadError::damaged(data, &what))?;
            return Ok(see(&payload));
        }
        if bytes.len() > CACHED_PAYLOAD_MAX {
            return Ok(see(bytes));
        }
        cached.offset = data;
        cached.payload.clear();
        cached.payload.extend_from_slice(bytes);
        Ok(see(&cached.payload))
    }

    /// The payload `NAME=value` of the DATA at `data`.
    pub(crate) fn payload(&mut self, data: u64) -> Result<Vec<u8>, ReadError> {
        self.with_payload(data, &mut |payload| payload.to_vec())
    }

    /// The payload of the DATA at `data`, after its hash was checked.
    pub(crate) fn checked_payload(&mut self, data: u64) -> Result<Vec<u8>, ReadError> {
        let payload = self.payload(data)?;
        let stated = u64_at(self.windows.bytes(data, 64)?, 16);
        if stated == self.hash(&payload) {
            Ok(payload)
        } else {
            Err(ReadError::damaged(data, "the payload does not have the hash that is stated"))
        }
    }

    /// Type and size of the object at `at`, for walks over all objects.
    pub(crate) fn object(&mut self, at: u64) -> Result<(u8, u64), ReadError> {
        let head = self.windows.bytes(at, OBJECT_HEAD)?;
        let (kind, size) = (head[0], u64_at(head, 8));
        if size < OBJECT_HEAD || size > self.windows.len() - at {
            return Err(ReadError::damaged(at, "an object with an impossible size"));
        }
        Ok((kind, size))
    }

    /// The DATA object of a payload `NAME=value`, if the file holds it.
    pub fn find_data(&mut self, payload: &[u8]) -> Result<Option<u64>, ReadError> {
        let hash = self.hash(payload);
        let mut at = self.bucket_head(self.header.data_table, self.header.data_table_size, hash)?;
        while at != 0 {
            let head = self.windows.bytes(at, 64)?;
            let (kind, found, next) = (head[0], u64_at(head, 16), u64_at(head, 24));
            if kind != object_type::DATA {
                return Err(ReadError::damaged(at, "a hash chain leads to something that is no data"));
            }
            if found == hash && self.with_payload(at, &mut |bytes| bytes == payload)? {
                return Ok(Some(at));
            }
            at = forward(at, next)?;
        }
        Ok(None)
    }

    /// Offsets of all entries that refer to the DATA at `data`, ascending.
    pub fn data_entries(&mut self, data: u64) -> Result<Vec<u64>, ReadError> {
        let head = self.windows.bytes(data, 64)?;
        if head[0] != object_type::DATA {
            return Err(ReadError::damaged(data, "no data object where one should be"));
        }
        let (first, array, count) = (u64_at(head, 40), u64_at(head, 48), u64_at(head, 56));
        let mut offsets = Vec::new();
        if count == 0 || first == 0 {
            return Ok(offsets);
        }
        offsets.push(first);
        let list = self.list(array, count - 1);
        let compact = self.header.compact();
        let width = self.header.array_item();
        let mut left = list.len;
        for (_, array, items) in list.arrays {
            let items = items.min(left);
            let bytes = self.windows.bytes(array + ARRAY_ITEMS, items * width)?;
            for item in bytes.chunks_exact(width as usize) {
                let offset = if compact { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
                // A damaged tail: what was good before it stays.
                if offset <= *offsets.last().unwrap_or(&0) {
                    return Ok(offsets);
                }
                offsets.push(offset);
            }
            left -= items;
        }
        Ok(offsets)
    }

    /// Names of all fields, in the order of the hash table (which is the order that `journalctl -N` shows).
    pub fn field_names(&mut self) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut names = Vec::new();
        for bucket in 0..self.header.field_table_size / BUCKET {
            let mut at = u64_at(
                self.windows.bytes(self.header.field_table.saturating_add(bucket * BUCKET), BUCKET)?,
                0,
            );
            while at != 0 {
                let (next, _, name) = self.field(at)?;
                names.push(name);
                at = forward(at, next)?;
            }
        }
        Ok(names)
    }

    /// Payloads `NAME=value` of all values of the field, the newest first; values without an entry are left out.
    pub fn field_values(&mut self, name: &[u8]) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut values = Vec::new();
        let hash = self.hash(name);
        let mut at = self.bucket_head(self.header.field_table, self.header.field_table_size, hash)?;
        while at != 0 {
            let (next, head_data, found) = self.field(at)?;
            if found != name {
                at = forward(at, next)?;
                continue;
            }
            let mut data = head_data;
            while data != 0 {
                let head = self.windows.bytes(data, 64)?;
                let (next, entries) = (u64_at(head, 32), u64_at(head, 56));
                let payload = self.payload(data)?;
                if entries > 0 && payload.starts_with(name) && payload.get(name.len()) == Some(&b'=') {
                    values.push(payload);
                }
                if next >= data {
                    return Err(ReadError::damaged(
                        data,
                        "the chain of a field's data does not run backward",
                    ));
                }
                data = next;
            }
            break;
        }
        Ok(values)
    }

    /// Next in chain, newest data and name of the FIELD at `at`.
    fn field(&mut self, at: u64) -> Result<(u64, u64, Vec<u8>), ReadError> {
        let head = self.windows.bytes(at, FIELD_PAYLOAD)?;
        let (kind, size, next, data) = (head[0], u64_at(head, 8), u64_at(head, 24), u64_at(head, 32));
        if kind != object_type::FIELD || size <= FIELD_PAYLOAD {
            return Err(ReadError::damaged(at, "no field object where one should be"));
        }
        let name = self.windows.bytes(at + FIELD_PAYLOAD, size - FIELD_PAYLOAD)?.to_vec();
        Ok((next, data, name))
    }

    fn hash(&self, payload: &[u8]) -> u64 {
        if self.header.keyed() { hash::keyed(&self.header.file_id, payload) } else { hash::jenkins(payload) }
    }

    fn bucket_head(&mut self, table: u64, size: u64, hash: u64) -> Result<u64, ReadError> {
        let buckets = size / BUCKET;
        if table == 0 || buckets == 0 {
            return Ok(0);
        }
        let place = (hash % buckets).saturating_mul(BUCKET).saturating_add(table);
        Ok(u64_at(self.windows.bytes(place, BUCKET)?, 0))
    }

    fn array_item(&mut self, array: u64, place: u64) -> Result<u64, ReadError> {
        let width = self.header.array_item();
        let bytes = self.windows.bytes(array + ARRAY_ITEMS + place * width, width)?;
        Ok(if width == 4 { u64::from(u32_at(bytes, 0)) } else { u64_at(bytes, 0) })
    }

    /// The chain that begins at `array`, as far as it is sound, for at most `count` items.
    fn list(&mut self, array: u64, count: u64) -> EntryList {
        let mut list = EntryList::default();
        let mut at = array;
        while at != 0 && list.len < count {
            let Ok(head) = self.windows.bytes(at, ARRAY_ITEMS) else { break };
            let (kind, size, next) = (head[0], u64_at(head, 8), u64_at(head, 16));
            let room = self.windows.len().saturating_sub(at);
            if kind != object_type::ENTRY_ARRAY || size > room || size <= ARRAY_ITEMS {
                break;
            }
            let items = (size - ARRAY_ITEMS) / self.header.array_item();
            if items == 0 {
                break;
            }
            list.arrays.push((list.len, at, items));
            list.len = (list.len + items).min(count);
            if next <= at {
                break;
            }
            at = next;
        }
        list
    }
}

impl std::fmt::Debug for JournalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalFile").field("path", &self.path).field("entries", &self.main.len).finish()
    }
}

impl EntryList {
    /// Offset of the array and place in it of the item with this index.
    fn place(&self, index: u64) -> Option<(u64, u64)> {
        if index >= self.len {
            return None;
        }
        let at = self.arrays.partition_point(|(first, _, _)| *first <= index).checked_sub(1)?;
        let (first, offset, _) = self.arrays.get(at)?;
        Some((*offset, index - first))
    }
}

fn read_header(windows: &mut Windows) -> Result<Header, ReadError> {
    let len = windows.len().min(HEADER_SIZE);
    Header::parse(windows.bytes(0, len)?)
}

/// The next object of a chain that only runs forward.
fn forward(at: u64, next: u64) -> Result<u64, ReadError> {
    if next != 0 && next <= at {
        return Err(ReadError::damaged(at, "a hash chain runs backward"));
    }
    Ok(next)
}
