//! The order of what waits, and what is known of what was sent.
//!
//! Oldest first: what was written to the connection (the *flight*), what goes out again after a broken connection, what stands on
//! disk only, what waits in memory. On TCP nobody acknowledges, so what can be known is used: what the peer's kernel has confirmed
//! (`SIOCOUTQ`), and how the connection ended. After an orderly end (FIN) everything confirmed has been read, and only the rest
//! goes out again. After a reset it may not have been, so what was sent lately goes out again as well: a message may arrive
//! twice, but is not lost.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use segments::Storage;

use crate::QueueFile;

/// Octets and time for which confirmed messages are kept in case of a reset: more than a receiver's socket buffer, longer than a
/// living receiver leaves it unread.
const RETAINED_OCTETS_MAX: u64 = 8 * 1024 * 1024;
const RETAINED_TIME: Duration = Duration::from_secs(60);
/// Octets read from disk at once.
const READ_OCTETS: usize = 256 * 1024;

/// Messages as they go onto the wire, one behind the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// All of them.
    pub bytes: Vec<u8>,
    /// Where each ends.
    pub ends: Vec<usize>,
}

impl Batch {
    /// Adds a message.
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| self.bytes.get(start..end).unwrap_or(b""))
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Without the first `count` messages.
    fn without_first(self, count: usize) -> Self {
        let Some(start) = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied() else {
            return self;
        };
        Self {
            bytes: self.bytes.get(start..).unwrap_or_default().to_vec(),
            ends: self.ends.iter().skip(count).map(|end| end - start).collect(),
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer closed in order: it had read what its kernel confirmed.
    Orderly,
    /// It was reset, or failed.
    Broken,
}

/// What a commit left undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Messages that wait in memory only, because there is no place for them on disk.
    pub in_memory: u64,
}

/// Messages that are given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub messages: u64,
    /// Why.
    pub reason: String,
}

/// Everything that one receiver has not confirmed.
#[derive(Debug)]
pub struct Backlog<S> {
    disk: Option<QueueFile<S>>,
    /// Batches of the present connection; the last may be written in part.
    flight: VecDeque<Flight>,
    /// Octets written to the connection so far, and handed to `flight` so far.
    written: u64,
    appended: u64,
    again: VecDeque<Numbered>,
    /// Numbers of the messages that stand on disk only.
    stored: Range<u64>,
    waiting: VecDeque<Numbered>,
    waiting_octets: usize,
    next: u64,
    losses: Vec<Loss>,
}

#[derive(Debug)]
struct Numbered {
    first: u64,
    batch: Batch,
    /// Counted as sent already.
    counted: bool,
}

#[derive(Debug)]
struct Flight {
    messages: Numbered,
    /// Position of its first octet in the connection.
    start: u64,
    at: Duration,
}

impl<S: Storage> Backlog<S> {
    /// What an earlier run left on `disk` waits; without a disk messages wait in memory only.
    pub fn new(disk: Option<QueueFile<S>>) -> Self {
        let (position, end) = disk.as_ref().map_or((0, 0), |disk| (disk.position(), disk.end()));
        Self {
            disk,
            flight: VecDeque::new(),
            written: 0,
            appended: 0,
            again: VecDeque::new(),
            stored: position..end,
            waiting: VecDeque::new(),
            waiting_octets: 0,
            next: end,
            losses: Vec::new(),
        }
    }

    /// A batch is to be sent behind everything else.
    pub fn push(&mut self, batch: Batch) {
        if batch.is_empty() {
            return;
        }
        let first = self.next;
        self.next += batch.count();
        self.waiting_octets += batch.bytes.len();
        self.waiting.push_back(Numbered { first, batch, counted: false });
    }

    /// Octets that wait in memory and were not sent yet.
    pub fn waiting_octets(&self) -> usize {
        self.waiting_octets
    }

    /// Messages on disk that are not delivered.
    pub fn messages_on_disk(&self) -> u64 {
        self.disk.as_ref().map_or(0, QueueFile::messages)
    }

    /// Whether there is a place on disk.
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether something stands on disk; then [`Backlog::confirm`] is worth being called often.
    pub fn is_on_disk(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.is_empty())
    }

    /// Whether something is to be sent that is not in the connection yet.
    pub fn has_unsent(&self) -> bool {
        !self.again.is_empty() || !self.stored.is_empty() || !self.waiting.is_empty()
    }

    /// Whether the connection has taken all that was handed to it.
    pub fn is_written(&self) -> bool {
        self.written == self.appended
    }

    /// Whether anything of the present connection is kept.
    pub fn has_flight(&self) -> bool {
        !self.flight.is_empty()
    }

    /// What was lost since the last call.
    pub fn take_losses(&mut self) -> Vec<Loss> {
        std::mem::take(&mut self.losses)
    }

    /// What is to be written to the connection next: the rest of a batch, or another one.
    pub fn to_write(&mut self, now: Duration) -> Option<&[u8]> {
        if self.is_written() {
            let messages = self.take_next()?;
            let start = self.appended;
            self.appended += messages.batch.bytes.len() as u64;
            self.flight.push_back(Flight { messages, start, at: now });
        }
        let flight = self.flight.back()?;
        let from = usize::try_from(self.written - flight.start).unwrap_or(usize::MAX);
        flight.messages.batch.bytes.get(from..)
    }

    /// The connection has taken so many octets; how many messages are sent with that for the first time.
    pub fn wrote(&mut self, octets: usize) -> u64 {
        self.written += octets as u64;
        match self.flight.back_mut() {
            Some(flight) if self.written == self.appended && !flight.messages.counted => {
                flight.messages.counted = true;
                flight.messages.batch.count()
            }
            _ => 0,
        }
    }

    /// The peer's kernel has confirmed all that was written but so many octets: that is noted on disk where something stands
    /// there, and batches that are too old or too many to be kept for a reset are let go.
    pub fn confirm(&mut self, unconfirmed: u64, now: Duration) -> io::Result<()> {
        let confirmed = self.written.saturating_sub(unconfirmed);
        while let Some(flight) = self.flight.front() {
            let end = flight.start + flight.messages.batch.bytes.len() as u64;
            let retained = self.appended - flight.start;
            let old = now.saturating_sub(flight.at) >= RETAINED_TIME;
            if end > confirmed || (retained <= RETAINED_OCTETS_MAX && !old) {
                break;
            }
            self.flight.pop_front();
        }
        if !self.is_on_disk() {
            return Ok(());
        }
        let position = self.first_unconfirmed(confirmed);
        self.disk.as_mut().map_or(Ok(()), |disk| disk.deliver(position))
    }

    /// The connection has ended with so many octets unconfirmed. What the peer may not have goes out again; it is put on disk at
    /// once where something of it may be covered by an earlier commit.
    pub fn connection_ended(&mut self, end: End, unconfirmed: u64) -> io::Result<()> {
        let from = match end {
            End::Orderly => self.written.saturating_sub(unconfirmed),
            End::Broken => 0,
        };
        let mut again: VecDeque<Numbered> =
            self.flight.drain(..).filter_map(|flight| flight.rest(from)).collect();
        again.append(&mut self.again);
        self.again = again;
        (self.written, self.appended) = (0, 0);
        match &mut self.disk {
            Some(disk) if !self.again.is_empty() => {
                for messages in &self.again {
                    keep(disk, messages, 0)?;
                }
                disk.sync()
            }
            _ => Ok(()),
        }
    }

    /// Puts everything on disk, synced, that the peer's kernel has not confirmed.
    pub fn commit(&mut self, unconfirmed: u64) -> io::Result<Committed> {
        let confirmed = self.written.saturating_sub(unconfirmed);
        let first = self.first_unconfirmed(confirmed);
        let in_flight = self.flight.iter().rev().map_while(|flight| {
            let skipped = first.saturating_sub(flight.messages.first);
            (skipped < flight.messages.batch.count()).then_some((&flight.messages, skipped))
        });
        let undelivered =
            in_flight.chain(self.again.iter().chain(&self.waiting).map(|messages| (messages, 0)));
        let Some(disk) = &mut self.disk else {
            let in_memory = undelivered.map(|(messages, skipped)| messages.batch.count() - skipped).sum();
            return Ok(Committed { in_memory });
        };
        // By their numbers, though what is in flight is walked from its newest end.
        let mut undelivered: Vec<(&Numbered, u64)> = undelivered.collect();
        undelivered.sort_by_key(|(messages, _)| messages.first);
        for (messages, skipped) in undelivered {
            keep(disk, messages, skipped)?;
        }
        if !disk.is_empty() {
            disk.sync()?;
        }
        Ok(Committed::default())
    }

    /// Puts what waits in memory on disk, without a sync, and out of memory. What finds no room stays in memory.
    pub fn spill(&mut self) -> io::Result<()> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        while let Some(messages) = self.waiting.front() {
            keep(disk, messages, 0)?;
            let end = messages.end();
            self.stored = if self.stored.is_empty() { messages.first..end } else { self.stored.start..end };
            self.waiting_octets -= messages.batch.bytes.len();
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Makes what [`Backlog::spill`] wrote durable.
    pub fn sync(&mut self) -> io::Result<()> {
        self.disk.as_mut().map_or(Ok(()), QueueFile::sync)
    }

    /// The oldest batch, for a receiver that confirms nothing; it is forgotten.
    pub fn take(&mut self) -> Option<Batch> {
        self.take_next().map(|messages| messages.batch)
    }

    /// Gives up everything that is not in the connection; how many messages of it were never sent.
    pub fn discard(&mut self) -> io::Result<u64> {
        let memory = self.again.drain(..).chain(self.waiting.drain(..));
        let mut lost: u64 =
            memory.filter(|messages| !messages.counted).map(|messages| messages.batch.count()).sum();
        lost += self.stored.end - self.stored.start;
        self.stored = self.next..self.next;
        self.waiting_octets = 0;
        self.disk.as_mut().map_or(Ok(()), |disk| disk.deliver(self.next))?;
        Ok(lost)
    }

    /// The storage, for tests.
    pub fn storage_mut(&mut self) -> Option<&mut S> {
        self.disk.as_mut().map(QueueFile::storage_mut)
    }

    /// Ends the use of the queue and gives its storage back.
    pub fn into_storage(self) -> Option<S> {
        self.disk.map(QueueFile::into_storage)
    }

    fn take_next(&mut self) -> Option<Numbered> {
        if let Some(messages) = self.again.pop_front() {
            return Some(messages);
        }
        while !self.stored.is_empty() {
            let Some(disk) = &mut self.disk else { break };
            match disk.read(self.stored.start, self.stored.end, READ_OCTETS) {
                Ok(read) => {
                    self.stored.start = read.next;
                    if read.lost > 0 {
                        let reason = "a part of the queue on disk is damaged".to_owned();
                        self.losses.push(Loss { messages: read.lost, reason });
                    }
                    if !read.batch.is_empty() {
                        return Some(Numbered { first: read.first, batch: read.batch, counted: false });
                    }
                }
                Err(error) => {
                    // The files stay as they are: the next start tries again.
                    let messages = self.stored.end - self.stored.start;
                    let reason = format!("the queue on disk cannot be read: {error}");
                    self.losses.push(Loss { messages, reason });
                    self.stored = self.stored.end..self.stored.end;
                    self.disk = None;
                }
            }
        }
        let messages = self.waiting.pop_front()?;
        self.waiting_octets -= messages.batch.bytes.len();
        Some(messages)
    }

    /// The number of the first message that is not confirmed whole.
    fn first_unconfirmed(&self, confirmed: u64) -> u64 {
        let end = |flight: &Flight| flight.start + flight.messages.batch.bytes.len() as u64;
        let index = self.flight.partition_point(|flight| end(flight) <= confirmed);
        if let Some(flight) = self.flight.get(index) {
            return flight.messages.first + flight.whole_before(confirmed) as u64;
        }
        let again = self.again.front().map(|messages| messages.first);
        let stored = (!self.stored.is_empty()).then_some(self.stored.start);
        let waiting = self.waiting.front().map(|messages| messages.first);
        again.or(stored).or(waiting).unwrap_or(self.next)
    }
}

/// Writes messages but the first `skipped` where they do not stand on disk yet.
fn keep<S: Storage>(disk: &mut QueueFile<S>, messages: &Numbered, skipped: u64) -> io::Result<()> {
    let first = messages.first + skipped;
    disk.reach_back(first)?;
    if disk.holds(&(first..messages.end())) {
        return Ok(());
    }
    let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
    disk.append(first, messages.batch.messages().skip(skipped))
}

impl Numbered {
    fn end(&self) -> u64 {
        self.first + self.batch.count()
    }
}

impl Flight {
    /// Messages that end at or before a position of the connection.
    fn whole_before(&self, position: u64) -> usize {
        let within = usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.messages.batch.ends.partition_point(|end| *end <= within)
    }

    /// The messages that end after a position of the connection.
    fn rest(self, position: u64) -> Option<Numbered> {
        let whole = self.whole_before(position);
        if whole >= self.messages.batch.ends.len() {
            return None;
        }
        let Numbered { first, batch, counted } = self.messages;
        Some(Numbered { first: first + whole as u64, batch: batch.without_first(whole), counted })
    }
}
