//! Octets of segments and records: `docs/formats/spool.md`.

/// Longest body of a record, in octets: the largest `message_size_limit` that is sensible for a queue which keeps a
/// message in memory while it is received.
pub const BODY_OCTETS_MAX: usize = 256 * 1024 * 1024;

pub(crate) const SEGMENT_HEADER_OCTETS: usize = 40;
pub(crate) const RECORD_HEADER_OCTETS: usize = 32;
pub(crate) const ALIGNMENT: usize = 8;
const SEGMENT_MAGIC: &[u8; 8] = b"BANTOSPL";
const RECORD_MAGIC: &[u8; 4] = b"RECD";
const VERSION: u32 = 1;

/// The kinds of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message = 1,
    Change = 2,
    Removal = 3,
}

/// A record's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub kind: Kind,
    pub body_octets: usize,
    pub body_crc: u32,
    pub id: u64,
}

/// What the first octets of a segment are.
pub(crate) enum SegmentHeader {
    /// A header with this salt.
    Good(u64),
    /// Nothing, or zeros: never synced.
    Unwritten,
    /// Something else.
    Bad,
}

pub(crate) fn segment_header(number: u64, salt: u64) -> Vec<u8> {
    let mut out = Writer::default();
    out.0.extend(SEGMENT_MAGIC);
    out.u32(VERSION);
    out.u32(0);
    out.u64(number);
    out.u64(salt);
    let crc = crc32fast::hash(&out.0);
    out.u32(crc);
    out.u32(0);
    out.0
}

pub(crate) fn read_segment_header(bytes: &[u8], number: u64) -> SegmentHeader {
    let head = bytes.get(..SEGMENT_HEADER_OCTETS).unwrap_or(bytes);
    if head.iter().all(|b| *b == 0) {
        return SegmentHeader::Unwritten;
    }
    let salt = head.get(24..32).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    match salt {
        Some(salt) if head == segment_header(number, salt) => SegmentHeader::Good(salt),
        _ => SegmentHeader::Bad,
    }
}

/// A whole record: header, body (given in parts), padding.
pub(crate) fn record(kind: Kind, id: u64, salt: u64, parts: &[&[u8]]) -> Vec<u8> {
    let body: usize = parts.iter().map(|p| p.len()).sum();
    let mut crc = salted(salt);
    parts.iter().for_each(|part| crc.update(part));
    let mut out = Writer(Vec::with_capacity(padded(RECORD_HEADER_OCTETS + body)));
    out.0.extend(RECORD_MAGIC);
    out.u8(kind as u8);
    out.0.extend([0; 3]);
    out.count(body);
    out.u32(crc.finalize());
    out.u64(id);
    out.u32(0);
    let mut crc = salted(salt);
    crc.update(&out.0);
    out.u32(crc.finalize());
    parts.iter().for_each(|part| out.0.extend_from_slice(part));
    out.0.resize(padded(out.0.len()), 0);
    out.0
}

/// Reads and checks a record's header.
pub(crate) fn read_record_header(bytes: &[u8], salt: u64) -> Option<RecordHeader> {
    let head = bytes.get(..RECORD_HEADER_OCTETS)?;
    let mut input = Reader(head.strip_prefix(RECORD_MAGIC)?);
    let kind = match input.u8()? {
        1 => Kind::Message,
        2 => Kind::Change,
        3 => Kind::Removal,
        _ => return None,
    };
    input.take(3)?;
    let body_octets = usize::try_from(input.u32()?).ok().filter(|&n| n <= BODY_OCTETS_MAX)?;
    let body_crc = input.u32()?;
    let id = input.u64()?;
    input.u32()?;
    let mut crc = salted(salt);
    crc.update(head.get(..28)?);
    (input.u32()? == crc.finalize()).then_some(RecordHeader { kind, body_octets, body_crc, id })
}

pub(crate) fn body_is_good(header: &RecordHeader, body: &[u8], salt: u64) -> bool {
    let mut crc = salted(salt);
    crc.update(body);
    crc.finalize() == header.body_crc
}

pub(crate) fn padded(octets: usize) -> usize {
    octets.next_multiple_of(ALIGNMENT)
}

fn salted(salt: u64) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc
}

/// Appends integers and strings.
#[derive(Default)]
pub(crate) struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    pub fn u32(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }
    pub fn u64(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }
    /// A count or length. Our own lengths are far below the limit; a larger one is a contradiction.
    pub fn count(&mut self, value: usize) {
        self.u32(u32::try_from(value).expect("a length in the spool fits 32 bits"));
    }
    pub fn string(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// Takes integers and strings off the front.
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, octets: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(head)
    }
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }
    pub fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    pub fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let octets = usize::try_from(self.u32()?).ok()?;
        self.take(octets)
    }
    pub fn text(&mut self) -> Option<String> {
        String::from_utf8(self.string()?.to_vec()).ok()
    }
}
