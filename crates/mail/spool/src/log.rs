//! The log itself: appending, group commit, rebuilding the index, compaction.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use crate::envelope::{decode_changes, encode_changes};
use crate::format::{
    self, ALIGNMENT, BODY_OCTETS_MAX, Kind, RECORD_HEADER_OCTETS, SEGMENT_HEADER_OCTETS, SegmentHeader,
};
use crate::{Change, Envelope, Recipient, Storage};

/// The log may be this many times its live part before live messages are copied.
const COMPACT_RATIO: u64 = 4;

/// Sizes that tests make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A segment ends once it has this many octets: small enough to be read at once when the spool is opened, large
    /// enough that creating one (two more syncs) does not count.
    pub segment_octets: u64,
    /// Below this size of the whole log, in octets, nothing is copied.
    pub compact_above_octets: u64,
}

impl Default for Limits {
    /// 16 MiB, and four such segments.
    fn default() -> Self {
        Self { segment_octets: 16 * 1024 * 1024, compact_above_octets: 64 * 1024 * 1024 }
    }
}

/// Stands for everything appended up to a moment. Tickets compare: a durable ticket covers all smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ticket(u64);

/// The queue's log.
#[derive(Debug)]
pub struct Spool<S> {
    storage: S,
    seed: u64,
    limits: Limits,
    entries: BTreeMap<u64, Entry>,
    segments: BTreeMap<u64, Segment>,
    active: Option<u64>,
    next_segment: u64,
    last_id: u64,
    appended: u64,
    durable: u64,
    /// Segments with unsynced writes.
    dirty: BTreeSet<u64>,
    names_dirty: bool,
    /// Messages appended since the last sync.
    fresh: Vec<u64>,
    /// Changes and removals since the last sync, to be written again if it fails.
    small: Vec<Small>,
    /// Changes and removals that could not be written.
    owed: Vec<Small>,
    /// Where copied messages stood before, until the copies are synced.
    copied: Vec<(u64, Entry)>,
}

/// A change or a removal, as it is written.
#[derive(Debug, Clone)]
struct Small {
    kind: Kind,
    id: u64,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Segment {
    salt: u64,
    octets: u64,
    live: BTreeSet<u64>,
    live_octets: u64,
}

/// One queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its envelope, with the recipients' states.
    pub envelope: Envelope,
    /// Octets of its content.
    pub content_octets: usize,
    segment: u64,
    offset: u64,
    body_octets: usize,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Octets at the ends of segments that were written and never synced.
    pub torn_octets: u64,
    /// What cannot be read though something readable follows it.
    pub damage: Vec<Damage>,
}

/// A part of a segment that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub octets: u64,
    /// The message it belongs to, if that is known.
    pub id: Option<u64>,
}

/// Sizes for status displays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Messages in the queue.
    pub messages: usize,
    /// Octets of the records of these messages.
    pub live_octets: u64,
    /// Octets of all segments.
    pub log_octets: u64,
    /// Number of segments.
    pub segments: usize,
}

/// Why the spool did not do something.
#[derive(Debug)]
pub enum SpoolError {
    /// The storage failed; a full disk is `ErrorKind::StorageFull`.
    Storage(io::Error),
    /// The message is larger than [`BODY_OCTETS_MAX`].
    TooLarge,
    /// No message has that id, or a message with it is there already.
    NoSuchMessage(u64),
    /// The message's record cannot be read back.
    Damaged(u64),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => write!(f, "the queue's disk: {error}"),
            Self::TooLarge => write!(f, "a message of more than {BODY_OCTETS_MAX} octets cannot be queued"),
            Self::NoSuchMessage(id) => write!(f, "no message {id} is queued"),
            Self::Damaged(id) => write!(f, "the queued message {id} is damaged on disk"),
        }
    }
}

impl std::error::Error for SpoolError {}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

impl<S: Storage> Spool<S> {
    /// Opens the log and rebuilds its index. `seed` must be random: it makes the segments' salts.
    pub fn open(storage: S, seed: u64, limits: Limits) -> Result<(Self, Report), SpoolError> {
        let mut spool = Self {
            storage,
            seed,
            limits,
            entries: BTreeMap::new(),
            segments: BTreeMap::new(),
            active: None,
            next_segment: 1,
            last_id: 0,
            appended: 0,
            durable: 0,
            dirty: BTreeSet::new(),
            names_dirty: false,
            fresh: Vec::new(),
            small: Vec::new(),
            owed: Vec::new(),
            copied: Vec::new(),
        };
        let mut report = Report::default();
        let mut numbers = spool.storage.list()?;
        numbers.sort_unstable();
        for number in numbers {
            spool.next_segment = spool.next_segment.max(number.saturating_add(1));
            spool.load(number, &mut report)?;
        }
        // What is readable now may still be in the page cache only: after a kill, not a power cut. A promise that
        // rests on it (a 250 for a retry, a bounce) must rest on the disk.
        for number in spool.segments.keys().copied().collect::<Vec<_>>() {
            spool.storage.sync(number)?;
        }
        spool.storage.sync_names()?;
        Ok((spool, report))
    }

    /// The messages, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// One message.
    pub fn entry(&self, id: u64) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// The highest id ever seen; a new one must be higher.
    pub fn last_id(&self) -> u64 {
        self.last_id
    }

    /// Everything up to here survives a power cut.
    pub fn durable(&self) -> Ticket {
        Ticket(self.durable)
    }

    /// True if something written waits for [`Spool::sync`].
    pub fn needs_sync(&self) -> bool {
        self.durable < self.appended
    }

    /// True if a change or a removal could not be written (the disk is full); [`Spool::sync`] tries again.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    /// The storage, for tests.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Ends the use of the log and gives its storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Sizes for status displays.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            messages: self.entries.len(),
            live_octets: self.segments.values().map(|s| s.live_octets).sum(),
            log_octets: self.segments.values().map(|s| s.octets).sum(),
            segments: self.segments.len(),
        }
    }

    /// Puts a message into the queue; its content is given in parts. It is accepted once a [`Spool::sync`] returned
    /// that covers the ticket. On an error nothing has changed.
    pub fn append(&mut self, id: u64, envelope: Envelope, content: &[&[u8]]) -> Result<Ticket, SpoolError> {
        if self.entries.contains_key(&id) {
            return Err(SpoolError::NoSuchMessage(id));
        }
        self.write_message(id, envelope, content)?;
        self.fresh.push(id);
        Ok(self.ticket())
    }

    /// Changes recipients of a message and adds others behind the present ones.
    pub fn change(
        &mut self,
        id: u64,
        changes: &[Change],
        added: Vec<Recipient>,
    ) -> Result<Ticket, SpoolError> {
        let entry = self.entries.get_mut(&id).ok_or(SpoolError::NoSuchMessage(id))?;
        let recipients = &mut entry.envelope.recipients;
        let body = encode_changes(changes, recipients.len(), &added);
        apply(recipients, changes, added);
        self.write_small(Small { kind: Kind::Change, id, body });
        Ok(self.ticket())
    }

    /// Takes a message out of the queue.
    pub fn remove(&mut self, id: u64) -> Result<Ticket, SpoolError> {
        self.forget(id).ok_or(SpoolError::NoSuchMessage(id))?;
        self.write_small(Small { kind: Kind::Removal, id, body: Vec::new() });
        Ok(self.ticket())
    }

    /// Makes everything appended so far durable and returns the ticket that covers it. On an error the messages that
    /// were appended since the last good sync are no longer queued. Changes and removals that are still owed
    /// ([`Spool::owes`]) are not covered.
    pub fn sync(&mut self) -> Result<Ticket, SpoolError> {
        for small in std::mem::take(&mut self.owed) {
            self.write_small(small);
        }
        match self.sync_dirty() {
            Ok(()) => {
                self.fresh.clear();
                self.small.clear();
                self.copied.clear();
                self.durable = self.appended;
                Ok(self.durable())
            }
            Err(error) => {
                self.distrust();
                Err(error.into())
            }
        }
    }

    /// The content of a message, read back from the log and checked.
    pub fn content(&self, id: u64) -> Result<Vec<u8>, SpoolError> {
        let entry = self.entries.get(&id).ok_or(SpoolError::NoSuchMessage(id))?;
        let salt = self.segments.get(&entry.segment).ok_or(SpoolError::Damaged(id))?.salt;
        let octets = RECORD_HEADER_OCTETS + entry.body_octets;
        let mut record = self.storage.read(entry.segment, entry.offset, octets)?;
        let header = format::read_record_header(&record, salt).ok_or(SpoolError::Damaged(id))?;
        let body = record.get(RECORD_HEADER_OCTETS..).unwrap_or_default();
        if header.id != id || !format::body_is_good(&header, body, salt) {
            return Err(SpoolError::Damaged(id));
        }
        Ok(record.split_off(octets.saturating_sub(entry.content_octets)))
    }

    /// Deletes what is not needed any more; returns the octets that were freed. Cheap when there is nothing to do.
    pub fn compact(&mut self) -> Result<u64, SpoolError> {
        let mut freed = 0;
        while let Some((&number, oldest)) = self.segments.first_key_value() {
            if Some(number) == self.active {
                break;
            }
            let octets = oldest.octets;
            if !oldest.live.is_empty() {
                let sizes = self.statistics();
                let limit =
                    sizes.live_octets.saturating_mul(COMPACT_RATIO).max(self.limits.compact_above_octets);
                if sizes.log_octets <= limit {
                    break;
                }
                let live: Vec<u64> = oldest.live.iter().copied().collect();
                if !self.copy(&live)? {
                    break;
                }
                self.sync()?;
                if self.segments.get(&number).is_some_and(|s| !s.live.is_empty()) {
                    break;
                }
            }
            self.storage.remove(number)?;
            self.segments.remove(&number);
            self.dirty.remove(&number);
            freed += octets;
            self.storage.sync_names()?;
        }
        Ok(freed)
    }

    /// Copies live messages to the end of the log; false if one of them cannot be read.
    fn copy(&mut self, ids: &[u64]) -> Result<bool, SpoolError> {
        for &id in ids {
            let content = match self.content(id) {
                Ok(content) => content,
                Err(SpoolError::Damaged(_)) => return Ok(false),
                Err(error) => return Err(error),
            };
            let Some(entry) = self.forget(id) else { continue };
            if let Err(error) = self.write_message(id, entry.envelope.clone(), &[&content]) {
                self.remember(id, entry);
                return Err(error);
            }
            self.copied.push((id, entry));
        }
        Ok(true)
    }

    fn write_message(&mut self, id: u64, envelope: Envelope, content: &[&[u8]]) -> Result<(), SpoolError> {
        let encoded = envelope.encode();
        let content_octets: usize = content.iter().map(|p| p.len()).sum();
        let body_octets = 4 + encoded.len() + content_octets;
        if body_octets > BODY_OCTETS_MAX {
            return Err(SpoolError::TooLarge);
        }
        let mut length = format::Writer::default();
        length.count(encoded.len());
        let mut parts: Vec<&[u8]> = vec![&length.0, &encoded];
        parts.extend(content);
        let (segment, offset) = self.write_record(Kind::Message, id, &parts)?;
        self.last_id = self.last_id.max(id);
        self.remember(id, Entry { envelope, content_octets, segment, offset, body_octets });
        Ok(())
    }

    /// Writes a change or a removal, or owes it.
    fn write_small(&mut self, small: Small) {
        if self.owed.is_empty() && self.write_record(small.kind, small.id, &[&small.body]).is_ok() {
            self.small.push(small);
        } else {
            self.owed.push(small);
        }
    }

    fn write_record(&mut self, kind: Kind, id: u64, parts: &[&[u8]]) -> Result<(u64, u64), SpoolError> {
        let number = self.active_segment()?;
        let segment =
            self.segments.get_mut(&number).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let offset = segment.octets;
        let record = format::record(kind, id, segment.salt, parts);
        self.dirty.insert(number);
        self.storage.write(number, offset, &record)?;
        segment.octets += record.len() as u64;
        self.appended += 1;
        Ok((number, offset))
    }

    /// The segment to write to, made if there is none or it is full.
    fn active_segment(&mut self) -> Result<u64, SpoolError> {
        if let Some(number) = self.active
            && self.segments.get(&number).is_some_and(|s| s.octets < self.limits.segment_octets)
        {
            return Ok(number);
        }
        let number = self.next_segment;
        let salt = mix(self.seed.wrapping_add(number));
        self.storage.create(number)?;
        self.next_segment += 1;
        self.names_dirty = true;
        self.dirty.insert(number);
        let octets = SEGMENT_HEADER_OCTETS as u64;
        if let Err(error) = self.storage.write(number, 0, &format::segment_header(number, salt)) {
            self.dirty.remove(&number);
            // The full disk keeps an empty file at worst; the next opening deletes it.
            self.storage.remove(number).ok();
            return Err(error.into());
        }
        self.segments.insert(number, Segment { salt, octets, live: BTreeSet::new(), live_octets: 0 });
        self.active = Some(number);
        Ok(number)
    }

    fn sync_dirty(&mut self) -> io::Result<()> {
        while let Some(&number) = self.dirty.first() {
            self.storage.sync(number)?;
            self.dirty.remove(&number);
        }
        if self.names_dirty {
            self.storage.sync_names()?;
            self.names_dirty = false;
        }
        Ok(())
    }

    /// After a failed sync the kernel may have dropped what was written. Nothing since the last good one counts.
    fn distrust(&mut self) {
        self.active = None;
        self.dirty.clear();
        for (id, before) in std::mem::take(&mut self.copied) {
            if let Some(copy) = self.forget(id) {
                self.remember(id, Entry { envelope: copy.envelope, ..before });
            }
        }
        self.owed.splice(0..0, std::mem::take(&mut self.small));
        for id in std::mem::take(&mut self.fresh) {
            if self.forget(id).is_some() {
                // It may be on the disk all the same; its sender was told that it is not.
                self.owed.push(Small { kind: Kind::Removal, id, body: Vec::new() });
            }
        }
    }

    fn ticket(&self) -> Ticket {
        Ticket(self.appended)
    }

    fn remember(&mut self, id: u64, entry: Entry) {
        if let Some(segment) = self.segments.get_mut(&entry.segment) {
            segment.live.insert(id);
            segment.live_octets += record_octets(entry.body_octets);
        }
        self.entries.insert(id, entry);
    }

    fn forget(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        if let Some(segment) = self.segments.get_mut(&entry.segment) {
            segment.live.remove(&id);
            segment.live_octets = segment.live_octets.saturating_sub(record_octets(entry.body_octets));
        }
        Some(entry)
    }

    /// Reads one segment into the index.
    fn load(&mut self, number: u64, report: &mut Report) -> Result<(), SpoolError> {
        let octets = self.storage.len(number)?;
        let bytes = self.storage.read(number, 0, usize::try_from(octets).map_err(io::Error::other)?)?;
        let salt = match format::read_segment_header(&bytes, number) {
            SegmentHeader::Good(salt) => salt,
            SegmentHeader::Unwritten => {
                report.torn_octets += octets;
                return Ok(self.storage.remove(number)?);
            }
            SegmentHeader::Bad => {
                report.damage.push(Damage { segment: number, offset: 0, octets, id: None });
                return Ok(());
            }
        };
        self.segments.insert(number, Segment { salt, octets, live: BTreeSet::new(), live_octets: 0 });
        let mut at = SEGMENT_HEADER_OCTETS;
        let mut bad_from = None;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(header) = format::read_record_header(rest, salt) else {
                bad_from = bad_from.or(Some(at));
                at += ALIGNMENT;
                continue;
            };
            if let Some(from) = bad_from.take() {
                let octets = (at - from) as u64;
                report.damage.push(Damage { segment: number, offset: from as u64, octets, id: None });
            }
            let end = RECORD_HEADER_OCTETS + header.body_octets;
            let good = rest
                .get(RECORD_HEADER_OCTETS..end)
                .filter(|body| format::body_is_good(&header, body, salt))
                .is_some_and(|body| self.replay(number, at, &header, body).is_some());
            if !good {
                // A length with a right checksum is believed; what it spans is gone.
                if rest.len() < end {
                    bad_from = Some(at);
                    break;
                }
                let (offset, octets) = (at as u64, format::padded(end) as u64);
                report.damage.push(Damage { segment: number, offset, octets, id: Some(header.id) });
            }
            self.last_id = self.last_id.max(header.id);
            at += format::padded(end);
        }
        if let Some(from) = bad_from {
            report.torn_octets += (bytes.len() - from) as u64;
        }
        Ok(())
    }

    /// Applies one record that was read; none if its body makes no sense.
    fn replay(&mut self, segment: u64, at: usize, header: &format::RecordHeader, body: &[u8]) -> Option<()> {
        match header.kind {
            Kind::Message => {
                let mut input = format::Reader(body);
                let envelope = Envelope::decode(input.string()?)?;
                self.forget(header.id);
                let (content_octets, body_octets) = (input.0.len(), body.len());
                let offset = at as u64;
                self.remember(header.id, Entry { envelope, content_octets, segment, offset, body_octets });
            }
            Kind::Change => {
                let (changes, base, added) = decode_changes(body)?;
                if let Some(entry) = self.entries.get_mut(&header.id) {
                    let recipients = &mut entry.envelope.recipients;
                    let added = if base == recipients.len() { added } else { Vec::new() };
                    apply(recipients, &changes, added);
                }
            }
            Kind::Removal => {
                self.forget(header.id);
            }
        }
        Some(())
    }
}

fn apply(recipients: &mut Vec<Recipient>, changes: &[Change], added: Vec<Recipient>) {
    for change in changes {
        if let Some(recipient) = recipients.get_mut(change.recipient) {
            recipient.state = change.state.clone();
        }
    }
    recipients.extend(added);
}

fn record_octets(body_octets: usize) -> u64 {
    format::padded(RECORD_HEADER_OCTETS + body_octets) as u64
}

/// SplitMix64: spreads a seed over the segments.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
