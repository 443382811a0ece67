//! One file, written: entries are staged in memory and published in batches, in the order of writes that
//! `docs/formats/journal.md` gives.

mod entry;
mod load;
mod publish;

use std::collections::HashMap;
use std::io;

use crate::compress::{COMPRESS_MIN, Compressor, decompress};
use crate::format::{
    ARRAY_ITEMS, BUCKET, ENTRY_FIELDS_MAX, ENTRY_ITEMS, FIELD_PAYLOAD, HASH_CHAIN_DEPTH_MAX, HEADER_SIZE,
    Header, OBJECT_HEAD, State, align, field_name_valid, incompatible, object_flag, object_type, u64_at,
};
use crate::hash;
use crate::index::{DataIndex, DataState, Repeated, Tail};
use crate::storage::Storage;

pub use entry::{AppendError, EntryRef, Fields, Identity, Limits, RotateReason};

/// Buckets of the field hash table (journald's number): far more than the names that a host uses.
const FIELD_BUCKETS: u64 = 333;
/// Fewest buckets of the data hash table (journald's number).
const DATA_BUCKETS_MIN: u64 = 2047;
/// Staged bytes from which a batch publishes itself: bounds memory.
const STAGED_MAX: usize = 4 * 1024 * 1024;
/// The largest time that readers accept, microseconds (2^55, the year 3111).
const TIME_MAX: u64 = 1 << 55;

/// A journal file that is written. Entries that were appended are seen by readers after [`FileWriter::publish`].
pub struct FileWriter<S> {
    storage: S,
    header: Header,
    limits: Limits,
    /// First free byte; what stands from `published_end` on is in `fresh`.
    end: u64,
    published_end: u64,
    fresh: Vec<u8>,
    /// Size of the file.
    reserved: u64,
    index: DataIndex,
    repeated: Repeated,
    /// Offset / 8 of the last DATA of each bucket, and how many stand before it.
    bucket_tails: Vec<u32>,
    bucket_depths: Vec<u8>,
    fields: HashMap<Box<[u8]>, FieldState>,
    field_bucket_tails: Vec<u32>,
    field_bucket_depths: Vec<u8>,
    main: Tail,
    main_run: Run,
    staged: Staged,
    compressor: Compressor,
    plan: Vec<Plan>,
    offsets: Vec<(u64, u32)>,
    joined: Vec<u8>,
    /// Numbers up to this one were given before.
    next_seqnum_after: u64,
    /// A publication failed half-way: nothing more is written.
    broken: bool,
}

#[derive(Debug)]
struct FieldState {
    offset: u64,
    newest_data: u64,
    dirty: bool,
}

/// Changes to published bytes that wait for the publication.
#[derive(Debug, Default)]
struct Staged {
    entries: u64,
    /// Items of old arrays: by DATA.
    runs: Vec<Run>,
    spare: Vec<Vec<u8>>,
    /// Chain pointers: offset and value.
    pointers: Vec<(u64, u64)>,
    /// DATA whose counts changed.
    dirty: Vec<u32>,
}

/// Items to write one after another from an offset.
#[derive(Debug, Default)]
struct Run {
    offset: u64,
    bytes: Vec<u8>,
}

/// What appending a payload means.
enum Plan {
    Known(u32),
    /// A payload that is new: its hash, and the frame when compression pays.
    New {
        hash: u64,
        frame: Option<Vec<u8>>,
    },
    /// Came before in the same entry.
    Double,
}

impl<S: Storage> FileWriter<S> {
    /// A new, empty file in `storage`, which must be empty; published and synced when this returns.
    pub fn create(mut storage: S, identity: &Identity, limits: Limits) -> io::Result<Self> {
        let data_buckets = (limits.max_size * 4 / 768 / 3).max(DATA_BUCKETS_MIN);
        let field_object = HEADER_SIZE;
        let data_object = align(field_object + OBJECT_HEAD + FIELD_BUCKETS * BUCKET);
        let end = align(data_object + OBJECT_HEAD + data_buckets * BUCKET);
        let reserved = grown(end, &limits);
        storage.set_len(reserved)?;
        let mut flags = incompatible::KEYED | incompatible::ZSTD;
        if limits.compact {
            flags |= incompatible::COMPACT;
        }
        let header = Header {
            compatible: 0,
            incompatible: flags,
            state: State::Online,
            file_id: identity.file_id,
            machine_id: identity.machine_id,
            tail_boot_id: identity.boot_id,
            seqnum_id: identity.seqnum_id,
            header_size: HEADER_SIZE,
            arena_size: reserved - HEADER_SIZE,
            data_table: data_object + OBJECT_HEAD,
            data_table_size: data_buckets * BUCKET,
            field_table: field_object + OBJECT_HEAD,
            field_table_size: FIELD_BUCKETS * BUCKET,
            tail_object: data_object,
            objects: 2,
            entries: 0,
            tail_seqnum: identity.last_seqnum,
            head_seqnum: 0,
            entry_array: 0,
            head_realtime: 0,
            tail_realtime: 0,
            tail_monotonic: 0,
            data: Some(0),
            fields: Some(0),
            tags: Some(0),
            entry_arrays: Some(0),
            data_chain_depth: Some(0),
            field_chain_depth: Some(0),
            tail_array: Some(0),
            tail_array_entries: Some(0),
        };
        for (offset, kind, buckets) in [
            (field_object, object_type::FIELD_HASH_TABLE, FIELD_BUCKETS),
            (data_object, object_type::DATA_HASH_TABLE, data_buckets),
        ] {
            storage.write_at(&object_head(kind, 0, OBJECT_HEAD + buckets * BUCKET), offset)?;
        }
        storage.write_at(&header.encode(), 0)?;
        storage.sync()?;
        Self::with_header(storage, header, limits, end, reserved)
    }

    fn with_header(storage: S, header: Header, limits: Limits, end: u64, reserved: u64) -> io::Result<Self> {
        let data_buckets = (header.data_table_size / BUCKET) as usize;
        let field_buckets = (header.field_table_size / BUCKET) as usize;
        Ok(Self {
            storage,
            header,
            limits,
            end,
            published_end: end,
            fresh: Vec::new(),
            reserved,
            index: DataIndex::default(),
            repeated: Repeated::new(),
            bucket_tails: vec![0; data_buckets],
            bucket_depths: vec![0; data_buckets],
            fields: HashMap::new(),
            field_bucket_tails: vec![0; field_buckets],
            field_bucket_depths: vec![0; field_buckets],
            main: Tail::default(),
            main_run: Run::default(),
            staged: Staged::default(),
            compressor: Compressor::new()?,
            plan: Vec::new(),
            offsets: Vec::new(),
            joined: Vec::new(),
            next_seqnum_after: 0,
            broken: false,
        })
    }

    /// The header, staged entries counted.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Bytes in use, staged ones counted.
    pub fn size(&self) -> u64 {
        self.end
    }

    /// Entries that wait for [`FileWriter::publish`].
    pub fn staged_entries(&self) -> u64 {
        self.staged.entries
    }

    /// Stages an entry and says its sequence number. On an error nothing of the entry is stored.
    pub fn append(&mut self, entry: &EntryRef<'_>) -> Result<u64, AppendError> {
        self.append_numbered(entry, self.last_number() + 1)
    }

    /// The next entry gets the number after this one: the last entry's, or what [`FileWriter::raise_seqnum`] said.
    pub fn last_number(&self) -> u64 {
        self.header.tail_seqnum.max(self.next_seqnum_after)
    }

    /// The next entry gets a number above this one: numbers that a lost entry had are not given again.
    pub fn raise_seqnum(&mut self, last: u64) {
        self.next_seqnum_after = self.next_seqnum_after.max(last);
    }

    /// Stages several entries and publishes them together. On an error those before the bad one are published.
    pub fn append_batch(&mut self, entries: &[EntryRef<'_>]) -> Result<(), AppendError> {
        let outcome = entries.iter().try_for_each(|entry| self.append(entry).map(drop));
        self.publish()?;
        outcome
    }

    /// Stages an entry with a number of its own, which must be above the last: for copies.
    pub fn append_numbered(&mut self, entry: &EntryRef<'_>, seqnum: u64) -> Result<u64, AppendError> {
        match entry.fields {
            Fields::Joined(payloads) => self.append_joined(entry, payloads, seqnum),
            Fields::Pairs(pairs) => {
                let mut joined = std::mem::take(&mut self.joined);
                joined.clear();
                let mut ends = Vec::with_capacity(pairs.len());
                for (name, value) in pairs {
                    joined.extend_from_slice(name);
                    joined.push(b'=');
                    joined.extend_from_slice(value);
                    ends.push(joined.len());
                }
                let mut payloads = Vec::with_capacity(pairs.len());
                let mut start = 0;
                for end in ends {
                    payloads.push(&joined[start..end]);
                    start = end;
                }
                let outcome = self.append_joined(entry, &payloads, seqnum);
                self.joined = joined;
                outcome
            }
        }
    }

    fn append_joined(
        &mut self,
        entry: &EntryRef<'_>,
        payloads: &[&[u8]],
        seqnum: u64,
    ) -> Result<u64, AppendError> {
        self.check(entry, payloads.len(), seqnum)?;
        let mut plan = std::mem::take(&mut self.plan);
        plan.clear();
        let planned = self.plan(payloads, &mut plan).and_then(|(need, xor)| self.reserve(need).map(|()| xor));
        let outcome = planned.map(|xor| self.store(entry, payloads, &mut plan, seqnum, xor));
        self.plan = plan;
        outcome?;
        if self.fresh.len() > STAGED_MAX {
            self.publish()?;
        }
        Ok(seqnum)
    }

    /// Everything that can be judged before the payloads are looked at.
    fn check(&self, entry: &EntryRef<'_>, fields: usize, seqnum: u64) -> Result<(), AppendError> {
        if self.broken {
            return Err(io::Error::other("an earlier write to this journal file failed half-way").into());
        }
        if fields == 0 || fields > ENTRY_FIELDS_MAX {
            return Err(AppendError::Invalid(format!(
                "{fields} fields; 1 to {ENTRY_FIELDS_MAX} are possible"
            )));
        }
        let (realtime, monotonic) = (entry.realtime.0, entry.monotonic.0);
        if realtime == 0 || realtime >= TIME_MAX || monotonic >= TIME_MAX {
            return Err(AppendError::Invalid("a time outside of what journals can hold".into()));
        }
        let backwards = self.header.entries > 0
            && (realtime < self.header.tail_realtime
                || (entry.boot_id == self.header.tail_boot_id && monotonic < self.header.tail_monotonic)
                || seqnum <= self.header.tail_seqnum);
        if backwards {
            return Err(AppendError::Rotate(RotateReason::ClockBackwards));
        }
        if self.header.rotation_suggested() {
            return Err(AppendError::Rotate(RotateReason::HashTable));
        }
        Ok(())
    }

    /// Looks each payload up, and sums the bytes that storing needs at most and the xor hash.
    fn plan(&mut self, payloads: &[&[u8]], plan: &mut Vec<Plan>) -> Result<(u64, u64), AppendError> {
        let item = self.header.array_item();
        let mut need = align(ENTRY_ITEMS + payloads.len() as u64 * self.header.entry_item());
        if self.main.full() {
            need += ARRAY_ITEMS + self.main.next_capacity(self.header.entries) * item;
        }
        let mut xor_hash = 0;
        for (place, payload) in payloads.iter().enumerate() {
            if let Some((index, xor)) = self.repeated.find(payload) {
                xor_hash ^= xor;
                need += self.array_need(index);
                plan.push(Plan::Known(index));
                continue;
            }
            let hash = hash::keyed(&self.header.file_id, payload);
            if let Some(index) = self.find(hash, payload)? {
                xor_hash ^= self.repeated.remember(payload, index);
                need += self.array_need(index);
                plan.push(Plan::Known(index));
                continue;
            }
            xor_hash ^= hash::jenkins(payload);
            if payloads[..place].contains(payload) {
                plan.push(Plan::Double);
                continue;
            }
            let name = name_of(payload)?;
            let frame = if self.limits.compress && payload.len() >= COMPRESS_MIN {
                self.compressor.smaller(payload)
            } else {
                None
            };
            let stored = frame.as_ref().map_or(payload.len(), Vec::len) as u64;
            need += align(self.header.data_payload() + stored);
            if !self.fields.contains_key(name) {
                need += align(FIELD_PAYLOAD + name.len() as u64);
            }
            plan.push(Plan::New { hash, frame });
        }
        Ok((need, xor_hash))
    }

    /// Bytes of the entry array that linking another entry to this DATA needs.
    #[inline]
    fn array_need(&self, index: u32) -> u64 {
        let state = &self.index.states[index as usize];
        if state.entries == 0 || !state.tail.full() {
            return 0;
        }
        let items = u64::from(state.entries - 1);
        ARRAY_ITEMS + state.tail.next_capacity(items) * self.header.array_item()
    }

    /// Makes sure that `need` more bytes fit, before anything is changed.
    fn reserve(&mut self, need: u64) -> Result<(), AppendError> {
        let end = self.end + need;
        // An empty file takes an entry of any size that offsets can express: rotating again would not help.
        let hard_max = if self.header.compact() { u64::from(u32::MAX) & !7 } else { u64::from(u32::MAX) * 8 };
        if (end > self.limits.max_size && self.header.entries > 0) || end > hard_max {
            return Err(AppendError::Rotate(RotateReason::Size));
        }
        if end > self.reserved {
            let wanted = grown(end, &self.limits);
            self.storage.set_len(wanted)?;
            self.reserved = wanted;
        }
        Ok(())
    }

    /// The DATA with this payload: candidates by hash are compared byte for byte.
    fn find(&self, hash: u64, payload: &[u8]) -> io::Result<Option<u32>> {
        for index in self.index.with_hash(hash) {
            let offset = u64::from(self.index.states[index as usize].place) * 8;
            if self.stored_payload(offset)? == payload {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn stored_payload(&self, offset: u64) -> io::Result<Vec<u8>> {
        let mut head = [0u8; OBJECT_HEAD as usize];
        self.read(&mut head, offset)?;
        let start = self.header.data_payload();
        let len = u64_at(&head, 8).saturating_sub(start);
        if offset + start + len > self.end {
            return Err(io::Error::other(
                "a data object of this journal file was damaged while it was written",
            ));
        }
        let mut bytes = vec![0u8; len as usize];
        self.read(&mut bytes, offset + start)?;
        if head[1] & object_flag::COMPRESSED == 0 {
            return Ok(bytes);
        }
        decompress(head[1], &bytes).map_err(io::Error::other)
    }

    /// Reads published or staged bytes.
    fn read(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset >= self.published_end {
            let from = (offset - self.published_end) as usize;
            let bytes = self.fresh.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            return Ok(());
        }
        if self.storage.read_at(buffer, offset)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Stores a planned entry in memory. Cannot fail: the space is reserved.
    fn store(
        &mut self,
        entry: &EntryRef<'_>,
        payloads: &[&[u8]],
        plan: &mut [Plan],
        seqnum: u64,
        xor_hash: u64,
    ) {
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.clear();
        for (payload, step) in payloads.iter().zip(plan) {
            let index = match step {
                Plan::Known(index) => *index,
                Plan::New { hash, frame } => self.add_data(payload, *hash, frame.take()),
                Plan::Double => continue,
            };
            offsets.push((u64::from(self.index.states[index as usize].place), index));
        }
        offsets.sort_unstable();
        offsets.dedup();
        let wide = !self.header.compact();
        let size = ENTRY_ITEMS + offsets.len() as u64 * self.header.entry_item();
        let offset = self.begin_object(object_type::ENTRY, 0, size);
        for word in [seqnum, entry.realtime.0, entry.monotonic.0] {
            self.fresh.extend_from_slice(&word.to_le_bytes());
        }
        self.fresh.extend_from_slice(&entry.boot_id.0);
        self.fresh.extend_from_slice(&xor_hash.to_le_bytes());
        for (place, index) in &offsets {
            if wide {
                self.fresh.extend_from_slice(&(place * 8).to_le_bytes());
                self.fresh.extend_from_slice(&self.index.hash(*index).to_le_bytes());
            } else {
                self.fresh.extend_from_slice(&((place * 8) as u32).to_le_bytes());
            }
        }
        self.end_object();
        for (_, index) in &offsets {
            self.link(*index, offset);
        }
        self.offsets = offsets;
        self.link_main(offset);
        let header = &mut self.header;
        if header.entries == 0 {
            header.head_seqnum = seqnum;
            header.head_realtime = entry.realtime.0;
        }
        header.entries += 1;
        header.tail_seqnum = seqnum;
        header.tail_realtime = entry.realtime.0;
        header.tail_monotonic = entry.monotonic.0;
        header.tail_boot_id = entry.boot_id;
        self.staged.entries += 1;
    }

    /// Adds a DATA object and, for a new name, its FIELD.
    fn add_data(&mut self, payload: &[u8], hash: u64, frame: Option<Vec<u8>>) -> u32 {
        let name_len = payload.iter().position(|byte| *byte == b'=').unwrap_or(payload.len());
        let name = &payload[..name_len];
        if !self.fields.contains_key(name) {
            self.add_field(name);
        }
        let (flags, stored) = match &frame {
            Some(frame) => (object_flag::ZSTD, frame.as_slice()),
            None => (0, payload),
        };
        let start = self.header.data_payload();
        let offset = self.begin_object(object_type::DATA, flags, start + stored.len() as u64);
        let newest = match self.fields.get_mut(name) {
            Some(field) => {
                field.dirty = true;
                std::mem::replace(&mut field.newest_data, offset)
            }
            None => 0,
        };
        for word in [hash, 0, newest] {
            self.fresh.extend_from_slice(&word.to_le_bytes());
        }
        self.fresh.resize(self.fresh.len() + (start - 40) as usize, 0);
        self.fresh.extend_from_slice(stored);
        self.end_object();
        let table = (self.header.data_table, self.header.data_table_size);
        let depth =
            chain(table, hash, offset, &mut self.bucket_tails, &mut self.bucket_depths, &mut |at, value| {
                put_pointer(&mut self.fresh, &mut self.staged.pointers, self.published_end, at, value)
            });
        raise(&mut self.header.data_chain_depth, depth);
        add(&mut self.header.data, 1);
        let state = DataState { place: (offset / 8) as u32, ..DataState::default() };
        self.index.insert(hash, state)
    }

    fn add_field(&mut self, name: &[u8]) {
        let hash = hash::keyed(&self.header.file_id, name);
        let offset = self.begin_object(object_type::FIELD, 0, FIELD_PAYLOAD + name.len() as u64);
        for word in [hash, 0, 0] {
            self.fresh.extend_from_slice(&word.to_le_bytes());
        }
        self.fresh.extend_from_slice(name);
        self.end_object();
        let table = (self.header.field_table, self.header.field_table_size);
        let depth = chain(
            table,
            hash,
            offset,
            &mut self.field_bucket_tails,
            &mut self.field_bucket_depths,
            &mut |at, value| {
                put_pointer(&mut self.fresh, &mut self.staged.pointers, self.published_end, at, value)
            },
        );
        raise(&mut self.header.field_chain_depth, depth);
        add(&mut self.header.fields, 1);
        self.fields.insert(name.into(), FieldState { offset, newest_data: 0, dirty: true });
    }

    /// Starts an object at the end and says its offset; the caller adds what follows the head, then ends it.
    fn begin_object(&mut self, kind: u8, flags: u8, size: u64) -> u64 {
        let offset = self.end;
        self.fresh.extend_from_slice(&object_head(kind, flags, size));
        self.header.tail_object = offset;
        self.header.objects += 1;
        offset
    }

    fn end_object(&mut self) {
        let len = align(self.fresh.len() as u64) as usize;
        self.fresh.resize(len, 0);
        self.end = self.published_end + len as u64;
    }

    /// Adds `entry` to the entries of a DATA.
    fn link(&mut self, index: u32, entry: u64) {
        let mut state = self.index.states[index as usize];
        let data = u64::from(state.place) * 8;
        if state.entries == 0 {
            self.put(data + 40, entry);
        } else {
            let items = u64::from(state.entries - 1);
            if state.tail.full() {
                let pointer = if items == 0 { data + 48 } else { u64::from(state.tail.place) * 8 + 16 };
                state.tail = self.add_array(state.tail, items);
                self.put(pointer, u64::from(state.tail.place) * 8);
            }
            let width = self.header.array_item();
            let at = u64::from(state.tail.place) * 8 + ARRAY_ITEMS + u64::from(state.tail.used) * width;
            if at >= self.published_end {
                put_item(&mut self.fresh, (at - self.published_end) as usize, entry, width);
            } else {
                let staged = &mut self.staged;
                if state.staged == 0 {
                    staged.dirty.push(index);
                }
                if state.staged < 2 {
                    let bytes = staged.spare.pop().unwrap_or_default();
                    staged.runs.push(Run { offset: at, bytes });
                    state.staged = staged.runs.len() as u32 + 1;
                }
                push_item(&mut staged.runs[state.staged as usize - 2].bytes, entry, width);
            }
            state.tail.used += 1;
        }
        state.entries += 1;
        if state.staged == 0 {
            state.staged = 1;
            self.staged.dirty.push(index);
        }
        self.index.states[index as usize] = state;
    }

    fn link_main(&mut self, entry: u64) {
        if self.main.full() {
            let first = self.main.capacity == 0;
            let pointer = u64::from(self.main.place) * 8 + 16;
            self.main = self.add_array(self.main, self.header.entries);
            let offset = u64::from(self.main.place) * 8;
            if first {
                self.header.entry_array = offset;
            } else {
                self.put(pointer, offset);
            }
        }
        let width = self.header.array_item();
        let at = u64::from(self.main.place) * 8 + ARRAY_ITEMS + u64::from(self.main.used) * width;
        if at >= self.published_end {
            put_item(&mut self.fresh, (at - self.published_end) as usize, entry, width);
        } else {
            if self.main_run.bytes.is_empty() {
                self.main_run.offset = at;
            }
            push_item(&mut self.main_run.bytes, entry, width);
        }
        self.main.used += 1;
        // The two fields are 32 bits: a classic file beyond 4 GiB leaves the hint empty, which readers accept.
        let offset = u64::from(self.main.place) * 8;
        self.header.tail_array = Some(u32::try_from(offset).unwrap_or(0));
        self.header.tail_array_entries = Some(if offset > u64::from(u32::MAX) { 0 } else { self.main.used });
    }

    fn add_array(&mut self, last: Tail, items: u64) -> Tail {
        let capacity = last.next_capacity(items);
        let size = ARRAY_ITEMS + capacity * self.header.array_item();
        let offset = self.begin_object(object_type::ENTRY_ARRAY, 0, size);
        self.fresh.resize(self.fresh.len() + (size - OBJECT_HEAD) as usize, 0);
        self.end_object();
        add(&mut self.header.entry_arrays, 1);
        Tail { place: (offset / 8) as u32, used: 0, capacity: capacity as u32 }
    }

    fn put(&mut self, offset: u64, value: u64) {
        put_pointer(&mut self.fresh, &mut self.staged.pointers, self.published_end, offset, value);
    }
}

impl<S> std::fmt::Debug for FileWriter<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("entries", &self.header.entries).field("end", &self.end).finish()
    }
}

/// The name in `NAME=value`.
fn name_of(payload: &[u8]) -> Result<&[u8], AppendError> {
    let len =
        memchr::memchr(b'=', payload).ok_or_else(|| AppendError::Invalid("a field without `=`".into()))?;
    let name = &payload[..len];
    if field_name_valid(name) {
        Ok(name)
    } else {
        let shown = String::from_utf8_lossy(&name[..name.len().min(100)]).into_owned();
        Err(AppendError::Invalid(format!("`{shown}` is no field name (A-Z, 0-9 and _, at most 64)")))
    }
}

fn object_head(kind: u8, flags: u8, size: u64) -> [u8; OBJECT_HEAD as usize] {
    let mut head = [0u8; OBJECT_HEAD as usize];
    head[0] = kind;
    head[1] = flags;
    head[8..].copy_from_slice(&size.to_le_bytes());
    head
}

/// The size that a file takes which must hold `end` bytes: whole steps, but not beyond the limit unless it must.
fn grown(end: u64, limits: &Limits) -> u64 {
    let stepped = end.next_multiple_of(limits.grow_step.max(8));
    if end <= limits.max_size { stepped.min(limits.max_size.max(8) & !7).max(align(end)) } else { align(end) }
}

/// Hangs an object to the chain of its bucket; says how many stand before it.
fn chain(
    (table, size): (u64, u64),
    hash: u64,
    offset: u64,
    tails: &mut [u32],
    depths: &mut [u8],
    put: &mut impl FnMut(u64, u64),
) -> u64 {
    let bucket = hash % (size / BUCKET);
    let at = table + bucket * BUCKET;
    let tail = &mut tails[bucket as usize];
    if *tail == 0 {
        put(at, offset);
    } else {
        put(u64::from(*tail) * 8 + 24, offset);
        depths[bucket as usize] = depths[bucket as usize].saturating_add(1);
    }
    put(at + 8, offset);
    *tail = (offset / 8) as u32;
    u64::from(depths[bucket as usize]).min(HASH_CHAIN_DEPTH_MAX + 1)
}

fn put_pointer(
    fresh: &mut [u8],
    pointers: &mut Vec<(u64, u64)>,
    published_end: u64,
    offset: u64,
    value: u64,
) {
    if offset >= published_end {
        let at = (offset - published_end) as usize;
        fresh[at..at + 8].copy_from_slice(&value.to_le_bytes());
    } else {
        pointers.push((offset, value));
    }
}

fn put_item(bytes: &mut [u8], at: usize, entry: u64, width: u64) {
    if width == 4 {
        bytes[at..at + 4].copy_from_slice(&(entry as u32).to_le_bytes());
    } else {
        bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
    }
}

fn push_item(bytes: &mut Vec<u8>, entry: u64, width: u64) {
    if width == 4 {
        bytes.extend_from_slice(&(entry as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&entry.to_le_bytes());
    }
}

fn raise(depth: &mut Option<u64>, to: u64) {
    *depth = Some(depth.unwrap_or(0).max(to));
}

fn add(counter: &mut Option<u64>, count: u64) {
    *counter = Some(counter.unwrap_or(0) + count);
}

#[cfg(test)]
mod tests;
