//! The part of a queue on disk: appending, group commit, reading in order, forgetting what is delivered, recovery.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use segments::Storage;

use crate::Batch;
use crate::format::{
    self, ALIGNMENT, BLOCK_HEADER_OCTETS, BODY_OCTETS_MAX, BlockBuilder, Found, Kind, SEGMENT_HEADER_OCTETS,
    SegmentHeader,
};

/// Octets read at once.
const WINDOW_OCTETS: usize = 256 * 1024;

/// Sizes of a queue on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A segment ends once it has this many octets: what comes twice after a power cut at the worst, and small enough to be
    /// read at once when the queue is opened.
    pub segment_octets: u64,
    /// No message is taken beyond this size of all segments; their headers and those of the blocks may go a little over it.
    pub octets_max: u64,
}

impl Default for Limits {
    /// 8 MiB, and 1 GiB: a week of a small host, an hour of a busy one.
    fn default() -> Self {
        Self { segment_octets: 8 * 1024 * 1024, octets_max: 1024 * 1024 * 1024 }
    }
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Messages that wait.
    pub messages: u64,
    /// Octets at the ends of segments that were written and never synced.
    pub torn_octets: u64,
    /// Messages whose block is damaged though something readable follows it.
    pub damaged_messages: u64,
    /// Octets that are no block though one follows.
    pub damaged_octets: u64,
    /// Segments with a wrong header: not read, and kept.
    pub unreadable: Vec<u64>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Read {
    /// Number of the first message of `batch`.
    pub first: u64,
    /// Messages with consecutive numbers; empty where nothing readable is left.
    pub batch: Batch,
    /// Where to read on.
    pub next: u64,
    /// Messages before `first` that cannot be read.
    pub lost: u64,
}

/// An open queue on disk.
#[derive(Debug)]
pub struct QueueFile<S> {
    storage: S,
    seed: u64,
    limits: Limits,
    segments: BTreeMap<u64, Segment>,
    active: Option<u64>,
    next_segment: u64,
    /// What is there, by the number of the first message.
    runs: BTreeMap<u64, Run>,
    /// The run that the last append made longer.
    growing: Option<u64>,
    position: u64,
    end: u64,
    names_dirty: bool,
    hint: Option<Hint>,
}

#[derive(Debug)]
struct Segment {
    salt: u64,
    octets: u64,
    /// Runs in it that are not delivered.
    runs: usize,
    dirty: bool,
    /// A sync failed while it was dirty.
    distrusted: bool,
}

/// Blocks of one segment, one behind the other, whose messages have consecutive numbers.
#[derive(Debug, Clone, Copy)]
struct Run {
    segment: u64,
    start: u64,
    stop: u64,
    /// Number after the last message.
    end: u64,
}

/// Where the block with the message `number` begins.
#[derive(Debug, Clone, Copy)]
struct Hint {
    number: u64,
    segment: u64,
    offset: u64,
}

impl<S: Storage> QueueFile<S> {
    /// Opens what an earlier run left, or an empty queue. `seed` must be random: it makes the segments' salts.
    pub fn open(storage: S, seed: u64, limits: Limits) -> io::Result<(Self, Recovered)> {
        let mut queue = Self {
            storage,
            seed,
            limits,
            segments: BTreeMap::new(),
            active: None,
            next_segment: 1,
            runs: BTreeMap::new(),
            growing: None,
            position: 0,
            end: 0,
            names_dirty: false,
            hint: None,
        };
        let mut recovered = Recovered::default();
        let mut position = None;
        let mut numbers = queue.storage.list()?;
        numbers.sort_unstable();
        for number in numbers {
            queue.next_segment = queue.next_segment.max(number.saturating_add(1));
            queue.load(number, &mut position, &mut recovered)?;
        }
        queue.position = position.unwrap_or(0);
        queue.end = queue.end.max(queue.position);
        queue.growing = None;
        queue.forget_delivered();
        if queue.runs.is_empty() {
            queue.remove_all()?;
        } else {
            // What is readable may stand in the page cache only: after a kill, not a power cut.
            for number in queue.segments.keys() {
                queue.storage.sync(*number)?;
            }
            queue.storage.sync_names()?;
        }
        recovered.messages = queue.messages();
        Ok((queue, recovered))
    }

    /// Number of the first message that is not delivered.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The number that the next new message has at least.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether nothing waits on disk.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Octets of all its segments.
    pub fn octets(&self) -> u64 {
        self.segments.values().map(|segment| segment.octets).sum()
    }

    /// Messages that wait on disk.
    pub fn messages(&self) -> u64 {
        let (mut count, mut at) = (0, self.position);
        for (first, run) in &self.runs {
            count += run.end.saturating_sub(at.max(*first));
            at = at.max(run.end);
        }
        count
    }

    /// The storage, for tests.
    pub fn storage_mut(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Ends the use of the queue and gives its storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Whether all messages with these numbers stand on disk, synced or not.
    pub fn holds(&self, numbers: &Range<u64>) -> bool {
        let mut at = numbers.start;
        while at < numbers.end {
            match self.find(at) {
                Some((_, run)) if self.trusts(run.segment) => at = run.end,
                _ => return false,
            }
        }
        true
    }

    /// Writes messages with the numbers from `first` on. Nothing is durable before [`QueueFile::sync`]. On an error any part
    /// may have been written; the same messages can be given again. `ErrorKind::StorageFull` is a full disk or the limit.
    pub fn append<'a>(
        &mut self,
        first: u64,
        messages: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> io::Result<()> {
        // All or nothing where the limit is near: a part that is written in vain would take the room of others.
        let needed: usize = messages.clone().map(|message| message.len() + 4).sum();
        if self.octets() + needed as u64 > self.limits.octets_max {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "it has its largest size"));
        }
        let (mut block, mut blocks, mut at) = (BlockBuilder::default(), Vec::new(), first);
        let mut segment = self.ensure_active()?;
        let mut written_from = first;
        for message in messages {
            if message.len() + 4 > BODY_OCTETS_MAX {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a message is too long for the queue",
                ));
            }
            if !block.has_room(message.len()) {
                let next = at + u64::from(block.count());
                block.end(at, segment.1, &mut blocks);
                at = next;
                if segment.2 + blocks.len() as u64 >= self.limits.segment_octets {
                    self.write(segment.0, &blocks, written_from..at)?;
                    (blocks, written_from) = (Vec::new(), at);
                    segment = self.ensure_active()?;
                }
            }
            block.add(message);
        }
        if block.count() > 0 {
            let next = at + u64::from(block.count());
            block.end(at, segment.1, &mut blocks);
            self.write(segment.0, &blocks, written_from..next)?;
        }
        Ok(())
    }

    /// Sets the position back: what was delivered perhaps is to be delivered again. Durable with the next sync.
    pub fn reach_back(&mut self, position: u64) -> io::Result<()> {
        if position < self.position {
            self.write_position(position)?;
            self.position = position;
        }
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.segments.values().any(|segment| segment.distrusted) {
            return Err(io::Error::other("an earlier sync failed; what it was for is not delivered yet"));
        }
        let dirty: Vec<u64> =
            self.segments.iter().filter(|(_, segment)| segment.dirty).map(|(number, _)| *number).collect();
        let storage = &mut self.storage;
        let mut result = dirty.iter().try_for_each(|number| storage.sync(*number));
        if result.is_ok() && self.names_dirty {
            result = storage.sync_names();
        }
        for number in dirty {
            if let Some(segment) = self.segments.get_mut(&number) {
                segment.dirty = false;
                segment.distrusted = result.is_err();
            }
        }
        if result.is_ok() {
            self.names_dirty = false;
        } else {
            // What comes now does not go behind what is not trusted.
            self.active = None;
            self.growing = None;
        }
        result
    }

    /// Reads messages with the numbers from `from` on, before `until`: about `octets_max` octets, at least one message.
    pub fn read(&mut self, from: u64, until: u64, octets_max: usize) -> io::Result<Read> {
        let mut read = Read { first: from, next: from, ..Read::default() };
        while read.next < until && read.batch.bytes.len() < octets_max {
            let found = self.find(read.next).or_else(|| {
                let (first, run) = self.runs.range(read.next..until).next()?;
                Some((*first, *run))
            });
            let Some((first, run)) = found else {
                if read.batch.is_empty() {
                    read.next = until;
                }
                break;
            };
            if first > read.next {
                // Numbers between were delivered and never written.
                if !read.batch.is_empty() {
                    break;
                }
                (read.first, read.next) = (first, first);
            }
            if !self.read_run(first, run, until, octets_max, &mut read)? {
                break;
            }
        }
        Ok(read)
    }

    /// Everything before `position` is delivered: it is forgotten, and what holds nothing else is removed from the disk.
    pub fn deliver(&mut self, position: u64) -> io::Result<()> {
        if position <= self.position || self.runs.is_empty() {
            self.position = self.position.max(position);
            return Ok(());
        }
        self.position = position;
        self.forget_delivered();
        if self.runs.is_empty() {
            return self.remove_all();
        }
        self.write_position(position)?;
        let done: Vec<u64> = self
            .segments
            .iter()
            .filter(|(number, segment)| segment.runs == 0 && Some(**number) != self.active)
            .map(|(number, _)| *number)
            .collect();
        if done.is_empty() {
            return Ok(());
        }
        // The position first: a power cut must not bring back much of what was delivered.
        if let Some(active) = self.active {
            self.storage.sync(active)?;
        }
        for number in done {
            self.storage.remove(number)?;
            self.segments.remove(&number);
        }
        self.storage.sync_names()?;
        Ok(())
    }

    fn trusts(&self, segment: u64) -> bool {
        self.segments.get(&segment).is_some_and(|segment| !segment.distrusted)
    }

    /// The run that has the message of this number.
    fn find(&self, number: u64) -> Option<(u64, Run)> {
        let mut before = self.runs.range(..=number).rev();
        before.find(|(_, run)| run.end > number).map(|(first, run)| (*first, *run))
    }

    /// Reads on in one run; false where the caller gets what there is so far.
    fn read_run(
        &mut self,
        first: u64,
        run: Run,
        until: u64,
        octets_max: usize,
        read: &mut Read,
    ) -> io::Result<bool> {
        let salt = self.segments.get(&run.segment).map_or(0, |segment| segment.salt);
        let (mut offset, mut at) = match self.hint {
            Some(hint)
                if hint.number == read.next
                    && hint.segment == run.segment
                    && (run.start..run.stop).contains(&hint.offset) =>
            {
                (hint.offset, hint.number)
            }
            _ => (run.start, first),
        };
        let until = until.min(run.end);
        let mut window = Window::default();
        while read.next < until && read.batch.bytes.len() < octets_max {
            let header = window.take(&self.storage, run, offset, BLOCK_HEADER_OCTETS)?;
            let Some(header) = format::read_block_header(header, salt) else {
                return Ok(skip(read, until));
            };
            let block = window.take(&self.storage, run, offset, BLOCK_HEADER_OCTETS + header.body_octets)?;
            let next_offset = offset + header.block_octets() as u64;
            if let Kind::Messages { first, end } = header.kind {
                // Another's block between two of this run is none of its own.
                if first == at && end > read.next {
                    let body = block.get(BLOCK_HEADER_OCTETS..).unwrap_or_default();
                    let good = header.body_is_good(body, salt)
                        && format::messages(body).count() as u64 == end - first;
                    if !good {
                        return Ok(skip(read, end.min(until)));
                    }
                    let past = usize::try_from(read.next - first).unwrap_or(usize::MAX);
                    let wanted = usize::try_from(until - read.next).unwrap_or(usize::MAX);
                    for message in format::messages(body).skip(past).take(wanted) {
                        read.batch.push(message);
                        read.next += 1;
                    }
                }
                if first == at {
                    at = end;
                }
            }
            offset = next_offset;
            self.hint = Some(Hint { number: at, segment: run.segment, offset });
        }
        Ok(true)
    }

    fn forget_delivered(&mut self) {
        while let Some(entry) = self.runs.first_entry()
            && entry.get().end <= self.position
        {
            let (first, run) = entry.remove_entry();
            self.dropped(first, run);
        }
    }

    fn dropped(&mut self, first: u64, run: Run) {
        if self.growing == Some(first) {
            self.growing = None;
        }
        if let Some(segment) = self.segments.get_mut(&run.segment) {
            segment.runs -= 1;
        }
    }

    /// Nothing waits: no segment is left. The newest goes last, because it says how far the others were delivered.
    fn remove_all(&mut self) -> io::Result<()> {
        self.growing = None;
        self.hint = None;
        self.active = None;
        while !self.segments.is_empty() {
            let last = self.segments.last_key_value().map(|(number, _)| *number);
            let mut others: Vec<u64> =
                self.segments.keys().copied().filter(|number| Some(*number) != last).collect();
            if others.is_empty() {
                others.extend(last);
            }
            for number in others {
                self.storage.remove(number)?;
                self.segments.remove(&number);
            }
            self.storage.sync_names()?;
        }
        self.names_dirty = false;
        Ok(())
    }

    /// The segment to write to: its number, salt and octets.
    fn ensure_active(&mut self) -> io::Result<(u64, u64, u64)> {
        if let Some(number) = self.active
            && let Some(segment) = self.segments.get(&number)
            && segment.octets < self.limits.segment_octets
        {
            return Ok((number, segment.salt, segment.octets));
        }
        let number = self.next_segment;
        let salt = mixed(self.seed ^ mixed(number));
        self.storage.create(number)?;
        self.next_segment += 1;
        self.names_dirty = true;
        self.growing = None;
        let header = format::segment_header(number, salt);
        if let Err(error) = self.storage.write(number, 0, &header) {
            let _ = self.storage.remove(number);
            return Err(error);
        }
        let octets = SEGMENT_HEADER_OCTETS as u64;
        self.segments.insert(number, Segment { salt, octets, runs: 0, dirty: true, distrusted: false });
        self.active = Some(number);
        Ok((number, salt, octets))
    }

    fn write(&mut self, number: u64, blocks: &[u8], messages: Range<u64>) -> io::Result<()> {
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        self.storage.write(number, segment.octets, blocks)?;
        segment.dirty = true;
        let start = segment.octets;
        segment.octets += blocks.len() as u64;
        let run = Run { segment: number, start, stop: segment.octets, end: messages.end };
        self.add_run(messages.start, run);
        // What the position has passed waits again.
        self.position = self.position.min(messages.start);
        Ok(())
    }

    fn add_run(&mut self, first: u64, run: Run) {
        self.end = self.end.max(run.end);
        if let Some(growing) = self.growing
            && let Some(longer) = self.runs.get_mut(&growing)
            && (longer.segment, longer.end) == (run.segment, first)
        {
            (longer.stop, longer.end) = (run.stop, run.end);
            return;
        }
        if self.runs.get(&first).is_some_and(|there| there.end >= run.end && self.trusts(there.segment)) {
            self.growing = None;
            return;
        }
        if let Some(segment) = self.segments.get_mut(&run.segment) {
            segment.runs += 1;
        }
        if let Some(before) = self.runs.insert(first, run) {
            self.dropped(first, before);
        }
        self.growing = Some(first);
    }

    fn write_position(&mut self, position: u64) -> io::Result<()> {
        let (number, salt, octets) = self.ensure_active()?;
        let mut block = Vec::with_capacity(BLOCK_HEADER_OCTETS);
        format::write_position(position, salt, &mut block);
        self.storage.write(number, octets, &block)?;
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.octets += block.len() as u64;
            segment.dirty = true;
        }
        Ok(())
    }

    fn load(&mut self, number: u64, position: &mut Option<u64>, recovered: &mut Recovered) -> io::Result<()> {
        let length = self.storage.len(number)?;
        let bytes = self.storage.read(number, 0, usize::try_from(length).map_err(io::Error::other)?)?;
        let salt = match format::read_segment_header(&bytes, number) {
            SegmentHeader::Good(salt) => salt,
            SegmentHeader::Unwritten => {
                recovered.torn_octets += length;
                return self.storage.remove(number);
            }
            SegmentHeader::Bad => {
                recovered.unreadable.push(number);
                return Ok(());
            }
        };
        let segment = Segment { salt, octets: length, runs: 0, dirty: false, distrusted: false };
        self.segments.insert(number, segment);
        self.growing = None;
        for found in format::walk(&bytes, salt) {
            match found {
                Found::Block { at, header } => match header.kind {
                    Kind::Position(new) => *position = Some(new),
                    Kind::Messages { first, end } => {
                        let start = at as u64;
                        // Its padding may have been cut off.
                        let stop = (start + header.block_octets() as u64).min(length);
                        self.add_run(first, Run { segment: number, start, stop, end });
                        *position = Some(position.map_or(first, |position| position.min(first)));
                    }
                },
                Found::Damaged { header, .. } => {
                    self.growing = None;
                    if let Kind::Messages { first, end } = header.kind {
                        recovered.damaged_messages += end - first;
                        self.end = self.end.max(end);
                    }
                }
                Found::Gap { octets, .. } => {
                    self.growing = None;
                    recovered.damaged_octets += octets as u64;
                }
                Found::Torn { octets } => recovered.torn_octets += octets as u64,
            }
        }
        Ok(())
    }
}

/// Numbers from `read.next` up to `to` cannot be read. Whether to read on: not behind what there is already.
fn skip(read: &mut Read, to: u64) -> bool {
    if !read.batch.is_empty() {
        return false;
    }
    read.lost += to - read.next;
    (read.first, read.next) = (to, to);
    true
}

/// A part of a segment in memory.
#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// `octets` from `offset` on, or fewer at the run's end.
    fn take(&mut self, storage: &impl Storage, run: Run, offset: u64, octets: usize) -> io::Result<&[u8]> {
        let room = usize::try_from(run.stop.saturating_sub(offset)).unwrap_or(usize::MAX);
        let octets = octets.min(room);
        let inside = offset >= self.start && offset + octets as u64 <= self.start + self.bytes.len() as u64;
        if !inside {
            self.bytes = storage.read(run.segment, offset, octets.max(WINDOW_OCTETS).min(room))?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(self.bytes.get(from..from.saturating_add(octets)).unwrap_or_default())
    }
}

/// splitmix64's mixing: neighbouring segments get salts that have nothing in common.
fn mixed(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

const _: () = assert!(SEGMENT_HEADER_OCTETS.is_multiple_of(ALIGNMENT));
