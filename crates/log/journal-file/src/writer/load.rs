//! Taking up a file that was written before: one walk over all objects rebuilds what the writer keeps in memory.

use std::io;

use super::{FieldState, FileWriter, Limits};
use crate::ReadError;
use crate::format::{
    ARRAY_ITEMS, BUCKET, FIELD_PAYLOAD, HEADER_SIZE, Header, OBJECT_HEAD, align, incompatible, object_type,
    u32_at, u64_at,
};
use crate::index::{DataState, Tail};
use crate::storage::Storage;
use crate::window::Windows;

/// Windows of the walk: it runs forward once, and beside that walks array chains of classic files.
const WINDOWS: usize = 64;

impl<S: Storage> FileWriter<S> {
    /// Takes up a sound file (after an unclean end: verify it first). The error says why it cannot be appended to.
    pub fn resume(storage: S, limits: Limits) -> Result<Self, ReadError> {
        let mut windows = Windows::new(&storage, WINDOWS)?;
        let size = windows.len();
        let header = Header::parse(windows.bytes(0, size.min(HEADER_SIZE))?)?;
        let wanted = incompatible::KEYED | incompatible::ZSTD;
        if header.header_size != HEADER_SIZE
            || header.incompatible & wanted != wanted
            || header.compatible != 0
        {
            return Err(ReadError::damaged(0, "written by another program in a form that is only read here"));
        }
        let table_ok = |table: u64, len: u64| len >= BUCKET && len < size && table < size - len;
        if !table_ok(header.data_table, header.data_table_size)
            || !table_ok(header.field_table, header.field_table_size)
        {
            return Err(ReadError::damaged(104, "a hash table outside of the file"));
        }
        let seen = walk(&mut windows, &header)?;
        let tails = bucket_tails(&mut windows, header.data_table, header.data_table_size)?;
        let field_tails = bucket_tails(&mut windows, header.field_table, header.field_table_size)?;
        let main = tail_of_chain(&mut windows, &header, header.entry_array, header.entries)?;
        let limits = Limits { compact: header.compact(), ..limits };
        let mut writer = Self::with_header(storage, header, limits, seen.end, size)?;
        writer.bucket_tails = tails;
        writer.field_bucket_tails = field_tails;
        writer.main = main;
        for (hash, state) in seen.data {
            count_chain(&mut writer.bucket_depths, hash);
            writer.index.insert(hash, state);
        }
        for (name, hash, field) in seen.fields {
            count_chain(&mut writer.field_bucket_depths, hash);
            writer.fields.insert(name.into_boxed_slice(), field);
        }
        for depths in [&mut writer.bucket_depths, &mut writer.field_bucket_depths] {
            depths.iter_mut().for_each(|depth| *depth = depth.saturating_sub(1));
        }
        Ok(writer)
    }
}

struct Seen {
    data: Vec<(u64, DataState)>,
    fields: Vec<(Vec<u8>, u64, FieldState)>,
    end: u64,
}

/// Walks over all objects and holds the header to what is there.
fn walk<S: Storage>(windows: &mut Windows<&S>, header: &Header) -> Result<Seen, ReadError> {
    let mut seen = Seen { data: Vec::new(), fields: Vec::new(), end: 0 };
    let (mut at, mut objects) = (align(header.header_size), 0u64);
    loop {
        let head = windows.bytes(at, OBJECT_HEAD)?;
        let (kind, size) = (head[0], u64_at(head, 8));
        if size < OBJECT_HEAD || size > windows.len() - at || at > header.tail_object {
            return Err(ReadError::damaged(at, "an object with an impossible size"));
        }
        objects += 1;
        match kind {
            object_type::DATA => seen.data.push(data(windows, header, at)?),
            object_type::FIELD => seen.fields.push(field(windows, at, size)?),
            object_type::ENTRY
            | object_type::ENTRY_ARRAY
            | object_type::DATA_HASH_TABLE
            | object_type::FIELD_HASH_TABLE => {}
            _ => return Err(ReadError::damaged(at, "an object that this writer does not keep")),
        }
        if at == header.tail_object {
            seen.end = align(at + size);
            break;
        }
        at = align(at + size);
    }
    let fields = seen.fields.len() as u64;
    if objects != header.objects
        || header.data != Some(seen.data.len() as u64)
        || header.fields != Some(fields)
    {
        return Err(ReadError::damaged(144, "the header counts other objects than there are"));
    }
    Ok(seen)
}

fn data<S: Storage>(
    windows: &mut Windows<&S>,
    header: &Header,
    at: u64,
) -> Result<(u64, DataState), ReadError> {
    let head = windows.bytes(at, header.data_payload())?;
    let (hash, array, entries) = (u64_at(head, 16), u64_at(head, 48), u64_at(head, 56));
    let (compact_tail, compact_used) = (u64::from(u32_at(head, 64)), u32_at(head, 68));
    let tail = if entries < 2 {
        Tail::default()
    } else if header.compact() {
        array_tail(windows, header, compact_tail, compact_used)?
    } else {
        tail_of_chain(windows, header, array, entries - 1)?
    };
    let entries =
        u32::try_from(entries).map_err(|_| ReadError::damaged(at, "more entries than a file can hold"))?;
    Ok((hash, DataState { place: place(at)?, entries, tail, staged: 0 }))
}

fn field<S: Storage>(
    windows: &mut Windows<&S>,
    at: u64,
    size: u64,
) -> Result<(Vec<u8>, u64, FieldState), ReadError> {
    let head = windows.bytes(at, FIELD_PAYLOAD)?;
    let (hash, newest_data) = (u64_at(head, 16), u64_at(head, 32));
    let name = windows.bytes(at + FIELD_PAYLOAD, size.saturating_sub(FIELD_PAYLOAD))?.to_vec();
    Ok((name, hash, FieldState { offset: at, newest_data, dirty: false }))
}

/// The last array of the chain that begins at `array` and holds `items`.
fn tail_of_chain<S: Storage>(
    windows: &mut Windows<&S>,
    header: &Header,
    array: u64,
    items: u64,
) -> Result<Tail, ReadError> {
    let (mut at, mut left) = (array, items);
    if items == 0 {
        return Ok(Tail::default());
    }
    loop {
        let tail = array_tail(windows, header, at, 0)?;
        let capacity = u64::from(tail.capacity);
        if left <= capacity {
            return Ok(Tail { used: left as u32, ..tail });
        }
        left -= capacity;
        let next = u64_at(windows.bytes(at, ARRAY_ITEMS)?, 16);
        if next <= at {
            return Err(ReadError::damaged(at, "a chain of entry arrays ends too early"));
        }
        at = next;
    }
}

fn array_tail<S: Storage>(
    windows: &mut Windows<&S>,
    header: &Header,
    at: u64,
    used: u32,
) -> Result<Tail, ReadError> {
    let head = windows.bytes(at, ARRAY_ITEMS)?;
    let (kind, size) = (head[0], u64_at(head, 8));
    let capacity = size.saturating_sub(ARRAY_ITEMS) / header.array_item();
    match u32::try_from(capacity) {
        Ok(capacity) if kind == object_type::ENTRY_ARRAY && capacity > 0 && used <= capacity => {
            Ok(Tail { place: place(at)?, used, capacity })
        }
        _ => Err(ReadError::damaged(at, "no entry array where one should be")),
    }
}

fn bucket_tails<S: Storage>(windows: &mut Windows<&S>, table: u64, size: u64) -> Result<Vec<u32>, ReadError> {
    (0..size / BUCKET)
        .map(|bucket| {
            let tail = u64_at(windows.bytes(table + bucket * BUCKET, BUCKET)?, 8);
            place(tail)
        })
        .collect()
}

/// An offset divided by 8, which fits 32 bits in every file that we write.
fn place(offset: u64) -> Result<u32, ReadError> {
    u32::try_from(offset / 8)
        .ok()
        .filter(|_| offset.is_multiple_of(8))
        .ok_or_else(|| ReadError::damaged(offset, "an offset that cannot be"))
}

/// Counts the objects of the bucket; the caller takes one off for the depth.
fn count_chain(depths: &mut [u8], hash: u64) {
    let bucket = (hash % depths.len().max(1) as u64) as usize;
    if let Some(depth) = depths.get_mut(bucket) {
        *depth = depth.saturating_add(1);
    }
}

/// A file that cannot be taken up, as an I/O error.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => error,
            damaged @ ReadError::Damaged { .. } => io::Error::new(io::ErrorKind::InvalidData, damaged),
        }
    }
}
