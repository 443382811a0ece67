//! Octets of segments and blocks: `docs/formats/queue.md`.

/// Longest body of a block, in octets: far above any limit of one message.
pub(crate) const BODY_OCTETS_MAX: usize = 256 * 1024 * 1024;
/// Numbers are below this: no machine counts so far, and sums of such numbers are always right.
const NUMBER_MAX: u64 = 1 << 62;
/// A block of several messages ends here: what damage to one sector can cost.
pub(crate) const BLOCK_OCTETS: usize = 64 * 1024;

pub(crate) const SEGMENT_HEADER_OCTETS: usize = 40;
pub(crate) const BLOCK_HEADER_OCTETS: usize = 32;
pub(crate) const ALIGNMENT: usize = 8;
const SEGMENT_MAGIC: &[u8; 8] = b"BANTOFWD";
const BLOCK_MAGIC: &[u8; 4] = b"BLCK";
const VERSION: u32 = 1;
const KIND_MESSAGES: u8 = 1;
const KIND_POSITION: u8 = 2;

/// What the first octets of a segment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// A header with this salt.
    Good(u64),
    /// Nothing, or zeros: never synced.
    Unwritten,
    /// Something else.
    Bad,
}

/// A block's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub kind: Kind,
    pub body_octets: usize,
    body_crc: u32,
}

/// What a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages with the numbers from `first` up to and without `end`.
    Messages { first: u64, end: u64 },
    /// All before this number are delivered.
    Position(u64),
}

impl BlockHeader {
    /// Octets of the whole block, padding included.
    pub(crate) fn block_octets(&self) -> usize {
        (BLOCK_HEADER_OCTETS + self.body_octets).next_multiple_of(ALIGNMENT)
    }

    pub(crate) fn body_is_good(&self, body: &[u8], salt: u64) -> bool {
        let mut crc = salted(salt);
        crc.update(body);
        crc.finalize() == self.body_crc
    }
}

pub(crate) fn segment_header(number: u64, salt: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(SEGMENT_HEADER_OCTETS);
    out.extend(SEGMENT_MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend([0; 4]);
    out.extend(number.to_le_bytes());
    out.extend(salt.to_le_bytes());
    let crc = crc32fast::hash(&out);
    out.extend(crc.to_le_bytes());
    out.extend([0; 4]);
    out
}

pub(crate) fn read_segment_header(bytes: &[u8], number: u64) -> SegmentHeader {
    let head = bytes.get(..SEGMENT_HEADER_OCTETS).unwrap_or(bytes);
    if head.iter().all(|octet| *octet == 0) {
        return SegmentHeader::Unwritten;
    }
    match u64_at(head, 24) {
        Some(salt) if head == segment_header(number, salt) => SegmentHeader::Good(salt),
        _ => SegmentHeader::Bad,
    }
}

/// Builds a block of messages.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    body: Vec<u8>,
    count: u32,
}

impl BlockBuilder {
    /// Whether another message of this length still belongs into the block.
    pub(crate) fn has_room(&self, octets: usize) -> bool {
        self.count == 0 || self.body.len() + 4 + octets <= BLOCK_OCTETS
    }

    pub(crate) fn add(&mut self, message: &[u8]) {
        let length = u32::try_from(message.len()).expect("checked by whoever appends");
        self.body.extend(length.to_le_bytes());
        self.body.extend_from_slice(message);
        self.count += 1;
    }

    /// Messages in it.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Appends the block to `out` and begins another.
    pub(crate) fn end(&mut self, first: u64, salt: u64, out: &mut Vec<u8>) {
        write_block(KIND_MESSAGES, first, self.count, &self.body, salt, out);
        self.body.clear();
        self.count = 0;
    }
}

pub(crate) fn write_position(position: u64, salt: u64, out: &mut Vec<u8>) {
    write_block(KIND_POSITION, position, 0, &[], salt, out);
}

fn write_block(kind: u8, number: u64, count: u32, body: &[u8], salt: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut crc = salted(salt);
    crc.update(body);
    out.extend(BLOCK_MAGIC);
    out.extend([kind, 0, 0, 0]);
    out.extend(u32::try_from(body.len()).expect("a body is far below 4 GiB").to_le_bytes());
    out.extend(crc.finalize().to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(count.to_le_bytes());
    let mut crc = salted(salt);
    crc.update(out.get(start..).unwrap_or_default());
    out.extend(crc.finalize().to_le_bytes());
    out.extend_from_slice(body);
    out.resize(start + (out.len() - start).next_multiple_of(ALIGNMENT), 0);
}

/// Reads and checks the header of a block.
pub(crate) fn read_block_header(bytes: &[u8], salt: u64) -> Option<BlockHeader> {
    let head = bytes.get(..BLOCK_HEADER_OCTETS)?;
    if !head.starts_with(BLOCK_MAGIC) {
        return None;
    }
    let mut crc = salted(salt);
    crc.update(head.get(..28)?);
    if u32_at(head, 28)? != crc.finalize() {
        return None;
    }
    let body_octets = usize::try_from(u32_at(head, 8)?).ok().filter(|octets| *octets <= BODY_OCTETS_MAX)?;
    let (number, count) = (u64_at(head, 16)?, u32_at(head, 24)?);
    if number >= NUMBER_MAX {
        return None;
    }
    let kind = match *head.get(4)? {
        KIND_MESSAGES if count > 0 => Kind::Messages { first: number, end: number + u64::from(count) },
        KIND_POSITION if body_octets == 0 => Kind::Position(number),
        _ => return None,
    };
    Some(BlockHeader { kind, body_octets, body_crc: u32_at(head, 12)? })
}

/// The messages of a body.
pub(crate) fn messages(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(4..)?.get(..length)?;
        rest = rest.get(4 + length..)?;
        Some(message)
    })
}

/// A whole block that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Block {
        at: usize,
        header: BlockHeader,
    },
    /// A header that is right and a body that is not; something right follows.
    Damaged {
        at: usize,
        header: BlockHeader,
    },
    /// Octets that are no block; a right one follows.
    Gap {
        at: usize,
        octets: usize,
    },
    /// The rest of the segment was never synced.
    Torn {
        octets: usize,
    },
}

/// Walks through the blocks of a whole segment of which `bytes` is the content. Ends after a torn tail.
pub(crate) fn walk(bytes: &[u8], salt: u64) -> impl Iterator<Item = Found> {
    let mut at = SEGMENT_HEADER_OCTETS;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let whole = |from: usize| {
            let bytes = bytes.get(from..)?;
            let header = read_block_header(bytes, salt)?;
            let body = bytes.get(BLOCK_HEADER_OCTETS..)?.get(..header.body_octets)?;
            Some((header, header.body_is_good(body, salt)))
        };
        match whole(at) {
            Some((header, true)) => {
                let found = Found::Block { at, header };
                at += header.block_octets();
                return Some(found);
            }
            Some((header, false)) => {
                let here = at;
                let next = at + header.block_octets();
                if (next..bytes.len())
                    .step_by(ALIGNMENT)
                    .any(|from| whole(from).is_some_and(|(_, good)| good))
                {
                    at = next;
                    return Some(Found::Damaged { at: here, header });
                }
            }
            None => {
                let next = (at + ALIGNMENT..bytes.len())
                    .step_by(ALIGNMENT)
                    .find(|from| whole(*from).is_some_and(|(_, good)| good));
                if let Some(next) = next {
                    let found = Found::Gap { at, octets: next - at };
                    at = next;
                    return Some(found);
                }
            }
        }
        let octets = rest.len();
        at = bytes.len();
        Some(Found::Torn { octets })
    })
}

fn salted(salt: u64) -> crc32fast::Hasher {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&salt.to_le_bytes());
    crc
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the byte map of the document is what is written; what a sender wrote is never taken for a block.
    #[test]
    fn blocks_are_as_the_document_says() {
        let head = segment_header(7, 0x0102_0304_0506_0708);
        assert_eq!(head.len(), SEGMENT_HEADER_OCTETS);
        assert_eq!(&head[..16], b"BANTOFWD\x01\0\0\0\0\0\0\0");
        assert_eq!(&head[16..32], &[7, 0, 0, 0, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(read_segment_header(&head, 7), SegmentHeader::Good(0x0102_0304_0506_0708));
        assert_eq!(read_segment_header(&head, 8), SegmentHeader::Bad);
        assert_eq!(read_segment_header(&[0; 50], 7), SegmentHeader::Unwritten);

        let mut block = BlockBuilder::default();
        block.add(b"one\n");
        block.add(b"");
        let mut out = Vec::new();
        block.end(41, 5, &mut out);
        assert_eq!(out.len(), 48);
        assert_eq!(&out[..12], b"BLCK\x01\0\0\0\x0c\0\0\0");
        assert_eq!(&out[16..28], &[41, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(&out[32..44], b"\x04\0\0\0one\n\0\0\0\0");
        let header = read_block_header(&out, 5).expect("a right header");
        assert_eq!(header.kind, Kind::Messages { first: 41, end: 43 });
        assert!(header.body_is_good(&out[32..44], 5));
        assert_eq!(messages(&out[32..44]).collect::<Vec<_>>(), [&b"one\n"[..], b""]);
        assert_eq!(read_block_header(&out, 6), None, "another segment's salt");
        out.clear();
        write_position(43, 5, &mut out);
        assert_eq!(read_block_header(&out, 5).map(|header| header.kind), Some(Kind::Position(43)));
    }
}
