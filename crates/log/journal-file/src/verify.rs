//! Verification: every hash, size, counter, order and reachability, with a reason for each damage.

mod links;

use std::path::Path;

use sys::host::Id128;

use crate::ReadError;
use crate::compress::decompress;
use crate::format::{
    ARRAY_ITEMS, BUCKET, ENTRY_ITEMS, FIELD_PAYLOAD, HEADER_SIZE, Header, OBJECT_HEAD, TAG_SIZE, align,
    id_at, incompatible, object_flag, object_type, u32_at, u64_at,
};
use crate::hash;
use crate::storage::ReadAt;
use crate::window::Windows;

/// Windows that a verification keeps: 64 MiB, so that the second pass over a file of common size finds them.
const WINDOWS: usize = 1024;
/// After this many damages a file is told to be damaged throughout: the rest would not help anybody.
const DAMAGES_MAX: usize = 100;
/// The largest time that readers accept, microseconds.
const TIME_MAX: u64 = 1 << 55;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where, offset in bytes.
    pub offset: u64,
    /// What, and why it is wrong.
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:06x}: {}", self.offset, self.what)
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Everything that is wrong; empty when the file is sound.
    pub damages: Vec<Damage>,
    /// Entries that were looked at.
    pub entries: u64,
    /// The file is sealed, and the seals were not checked.
    pub seals_unchecked: bool,
}

impl Report {
    /// Nothing is wrong.
    pub fn sound(&self) -> bool {
        self.damages.is_empty()
    }
}

/// Verifies the journal file in `source`; an error only when it cannot be read at all or is no journal.
pub fn verify(source: &dyn ReadAt) -> Result<Report, ReadError> {
    let mut windows = Windows::new(source, WINDOWS)?;
    let size = windows.len();
    let header = Header::parse(windows.bytes(0, size.min(HEADER_SIZE))?)?;
    let mut verifier = Verifier { windows, header, found: Found::default(), report: Report::default() };
    verifier.report.seals_unchecked = verifier.header.sealed();
    verifier.header_bounds();
    if verifier.report.sound() {
        verifier.objects();
        verifier.counters();
    }
    // Links are judged by what the first pass found: only when that is whole.
    if verifier.report.sound() {
        verifier.main_array();
        verifier.hash_tables();
    }
    verifier.report.entries = verifier.found.entries.len() as u64;
    Ok(verifier.report)
}

/// Opens and verifies the file at `path`.
impl Report {
    /// Verifies the file at `path`.
    pub fn of_file(path: &Path) -> Result<Self, ReadError> {
        verify(&crate::file_storage::FileStorage::open_to_read(path)?)
    }
}

struct Verifier<'a> {
    windows: Windows<&'a dyn ReadAt>,
    header: Header,
    found: Found,
    report: Report,
}

/// What the first pass found, each list ascending by offset.
#[derive(Default)]
struct Found {
    data: Vec<DataSeen>,
    entries: Vec<u64>,
    arrays: Vec<u64>,
    fields: u64,
    objects: u64,
    tags: u64,
    head: Option<(u64, u64)>,
    tail: Option<(u64, u64, u64, Id128)>,
}

struct DataSeen {
    offset: u64,
    hash: u64,
    /// How many entries name it, and the sum and the exclusive-or of their offsets: compared with the list that it keeps.
    named: u64,
    sum: u64,
    mixed: u64,
    chained: bool,
}

impl Verifier<'_> {
    fn damage(&mut self, offset: u64, what: impl Into<String>) {
        if self.report.damages.len() < DAMAGES_MAX {
            self.report.damages.push(Damage { offset, what: what.into() });
        }
    }

    fn header_bounds(&mut self) {
        let size = self.windows.len();
        let header = self.header.clone();
        let end = header.header_size.saturating_add(header.arena_size);
        if end > size {
            self.damage(
                96,
                format!("the header claims {end} bytes, but the file has {size}: it was cut off"),
            );
        }
        if header.tail_object > end {
            self.damage(136, "the last object is said to stand beyond the end");
        }
        for (at, offset) in [
            (104, header.data_table),
            (120, header.field_table),
            (136, header.tail_object),
            (176, header.entry_array),
        ] {
            if offset % 8 != 0 {
                self.damage(at, format!("offset {offset:#x} is not a multiple of 8"));
            }
        }
        let reserved =
            self.windows.bytes(17, 7).map(|bytes| bytes.iter().any(|byte| *byte != 0)).unwrap_or(true);
        if reserved {
            self.damage(17, "reserved bytes of the header are not zero");
        }
    }

    /// First pass: all objects one after another, each judged alone.
    fn objects(&mut self) {
        if self.header.tail_object == 0 {
            return;
        }
        let mut at = align(self.header.header_size);
        loop {
            let size = match self.object(at) {
                Ok(size) => size,
                Err(ReadError::Damaged { offset, what }) => {
                    // Without its size nothing after it can be found.
                    self.damage(offset, what);
                    return;
                }
                Err(ReadError::Io(error)) => return self.damage(at, format!("cannot be read: {error}")),
            };
            self.found.objects += 1;
            if at == self.header.tail_object {
                return;
            }
            at = align(at + size);
            if at > self.header.tail_object {
                return self.damage(
                    136,
                    "the objects do not end where the header says: the last one is passed over",
                );
            }
            if self.report.damages.len() >= DAMAGES_MAX {
                return;
            }
        }
    }

    /// Judges the object at `at` and says its size.
    fn object(&mut self, at: u64) -> Result<u64, ReadError> {
        let room = self.windows.len().saturating_sub(at);
        let head = self.windows.bytes(at, OBJECT_HEAD)?;
        let (kind, flags, size) = (head[0], head[1], u64_at(head, 8));
        if size < OBJECT_HEAD || size > room {
            return Err(ReadError::damaged(at, "an object with an impossible size"));
        }
        if flags & object_flag::COMPRESSED != 0 && kind != object_type::DATA {
            self.damage(at, "compressed, but no data object");
        }
        let least = match kind {
            object_type::DATA => self.header.data_payload() + 1,
            object_type::FIELD => FIELD_PAYLOAD + 1,
            object_type::ENTRY => ENTRY_ITEMS + self.header.entry_item(),
            object_type::DATA_HASH_TABLE | object_type::FIELD_HASH_TABLE => OBJECT_HEAD + BUCKET,
            object_type::ENTRY_ARRAY => ARRAY_ITEMS + self.header.array_item(),
            object_type::TAG => TAG_SIZE,
            _ => return Err(ReadError::damaged(at, "an object of a type that does not exist")),
        };
        if size < least {
            self.damage(at, format!("{} object of {size} bytes: too small", object_type::name(kind)));
            return Ok(size);
        }
        match kind {
            object_type::DATA => self.data(at, flags, size)?,
            object_type::FIELD => self.field(at, size)?,
            object_type::ENTRY => self.entry(at, size)?,
            object_type::ENTRY_ARRAY => self.found.arrays.push(at),
            object_type::TAG => self.found.tags += 1,
            object_type::DATA_HASH_TABLE => {
                let table = (self.header.data_table, self.header.data_table_size);
                self.table(at, size, table, "data");
            }
            _ => {
                let table = (self.header.field_table, self.header.field_table_size);
                self.table(at, size, table, "field");
            }
        }
        Ok(size)
    }

    fn hash(&self, payload: &[u8]) -> u64 {
        if self.header.keyed() { hash::keyed(&self.header.file_id, payload) } else { hash::jenkins(payload) }
    }

    fn data(&mut self, at: u64, flags: u8, size: u64) -> Result<(), ReadError> {
        let start = self.header.data_payload();
        let head = self.windows.bytes(at, 64)?;
        let stated = u64_at(head, 16);
        let (next_hash, next_field) = (u64_at(head, 24), u64_at(head, 32));
        let (entry, array, entries) = (u64_at(head, 40), u64_at(head, 48), u64_at(head, 56));
        if (entry == 0) != (entries == 0) {
            self.damage(at, format!("first entry at {entry:#x}, but {entries} entries are counted"));
        }
        if [next_hash, next_field, entry, array].iter().any(|offset| offset % 8 != 0) {
            self.damage(at, "an offset of this data object is not a multiple of 8");
        }
        let (file_flag, name) = match flags & object_flag::COMPRESSED {
            0 => (0, ""),
            object_flag::XZ => (incompatible::XZ, "xz"),
            object_flag::LZ4 => (incompatible::LZ4, "lz4"),
            object_flag::ZSTD => (incompatible::ZSTD, "zstd"),
            _ => (u32::MAX, "several compressions"),
        };
        if file_flag != 0 && self.header.incompatible & file_flag != file_flag {
            self.damage(at, format!("compressed with {name}, which the header does not announce"));
        }
        let bytes = self.windows.bytes(at + start, size - start)?;
        let found = if flags & object_flag::COMPRESSED == 0 {
            let keyed = self.header.keyed();
            Ok(if keyed { hash::keyed(&self.header.file_id, bytes) } else { hash::jenkins(bytes) })
        } else {
            decompress(flags, bytes).map(|payload| self.hash(&payload))
        };
        match found {
            Ok(found) if found == stated => {}
            Ok(found) => {
                self.damage(at, format!("the payload has hash {found:016x}, stated is {stated:016x}"))
            }
            Err(what) => self.damage(at, format!("the payload cannot be unfolded: {what}")),
        }
        let seen = DataSeen { offset: at, hash: stated, named: 0, sum: 0, mixed: 0, chained: false };
        self.found.data.push(seen);
        Ok(())
    }

    fn field(&mut self, at: u64, size: u64) -> Result<(), ReadError> {
        let head = self.windows.bytes(at, FIELD_PAYLOAD)?;
        let stated = u64_at(head, 16);
        if !u64_at(head, 24).is_multiple_of(8) || !u64_at(head, 32).is_multiple_of(8) {
            self.damage(at, "an offset of this field object is not a multiple of 8");
        }
        let name = self.windows.bytes(at + FIELD_PAYLOAD, size - FIELD_PAYLOAD)?.to_vec();
        let found = self.hash(&name);
        if found != stated {
            self.damage(at, format!("the field name has hash {found:016x}, stated is {stated:016x}"));
        }
        self.found.fields += 1;
        Ok(())
    }

    fn entry(&mut self, at: u64, size: u64) -> Result<(), ReadError> {
        let head = self.windows.bytes(at, ENTRY_ITEMS)?;
        let (seqnum, realtime, monotonic) = (u64_at(head, 16), u64_at(head, 24), u64_at(head, 32));
        let boot = id_at(head, 40);
        if !(size - ENTRY_ITEMS).is_multiple_of(self.header.entry_item()) {
            self.damage(at, format!("an entry of {size} bytes does not hold whole items"));
        }
        if seqnum == 0 || realtime == 0 || realtime >= TIME_MAX || monotonic >= TIME_MAX {
            self.damage(at, format!("entry {seqnum} has an impossible number or time"));
        }
        if self.found.head.is_none() {
            self.found.head = Some((seqnum, realtime));
        }
        if let Some((last_seqnum, _, last_monotonic, last_boot)) = self.found.tail {
            if seqnum <= last_seqnum {
                self.damage(at, format!("entry number {seqnum} follows {last_seqnum}: numbers must rise"));
            }
            if boot == last_boot && monotonic < last_monotonic {
                self.damage(
                    at,
                    format!(
                        "entry {seqnum} is older than the one before it ({monotonic} < {last_monotonic} us)"
                    ),
                );
            }
        }
        self.found.tail = Some((seqnum, realtime, monotonic, boot));
        self.found.entries.push(at);
        Ok(())
    }

    fn table(&mut self, at: u64, size: u64, stated: (u64, u64), name: &str) {
        if stated != (at + OBJECT_HEAD, size - OBJECT_HEAD) {
            self.damage(at, format!("the {name} hash table does not stand where the header says"));
        }
    }

    /// Holds the header's counters to what was found.
    fn counters(&mut self) {
        let header = self.header.clone();
        let entries = self.found.entries.len() as u64;
        let counts = [
            (144, "objects", Some(header.objects), self.found.objects),
            (152, "entries", Some(header.entries), entries),
            (208, "data objects", header.data, self.found.data.len() as u64),
            (216, "field objects", header.fields, self.found.fields),
            (224, "tags", header.tags, self.found.tags),
            (232, "entry arrays", header.entry_arrays, self.found.arrays.len() as u64),
        ];
        for (at, name, stated, found) in counts {
            if let Some(stated) = stated
                && stated != found
            {
                self.damage(at, format!("the header counts {stated} {name}, there are {found}"));
            }
        }
        if let Some((seqnum, realtime)) = self.found.head
            && (seqnum, realtime) != (header.head_seqnum, header.head_realtime)
        {
            self.damage(168, "number or time of the first entry differ from the header's");
        }
        if let Some((seqnum, realtime, monotonic, boot)) = self.found.tail {
            if (seqnum, realtime) != (header.tail_seqnum, header.tail_realtime) {
                self.damage(160, "number or time of the last entry differ from the header's");
            }
            if boot == header.tail_boot_id && monotonic != header.tail_monotonic {
                self.damage(200, "monotonic time of the last entry differs from the header's");
            }
        }
    }

    /// The items of an entry or array as offsets.
    fn items(&mut self, at: u64, start: u64, width: u64, count: u64) -> Result<Vec<u64>, ReadError> {
        let bytes = self.windows.bytes(at + start, count * width)?;
        let offset = |item: &[u8]| if width == 4 { u64::from(u32_at(item, 0)) } else { u64_at(item, 0) };
        Ok(bytes.chunks_exact(width as usize).map(offset).collect())
    }
}
