//! The publication of a batch, syncing, and the end of a file.

use std::io;

use super::FileWriter;
use crate::format::{HEADER_SIZE, State};
use crate::index::DataState;
use crate::storage::Storage;

impl<S: Storage> FileWriter<S> {
    /// Makes the staged entries visible to readers. On an error the file is left as a crash would leave it (readers
    /// accept it up to the last publication) and takes nothing more: rotate it away.
    pub fn publish(&mut self) -> io::Result<()> {
        if self.staged.entries == 0 {
            return Ok(());
        }
        if self.broken {
            return Err(io::Error::other("an earlier write to this journal file failed half-way"));
        }
        self.broken = true;
        self.go_online()?;
        self.settle_fresh();
        // The order is the one of docs/formats/journal.md; each step names its number there.
        self.storage.write_at(&self.fresh, self.published_end)?; // 2
        for run in &self.staged.runs {
            self.storage.write_at(&run.bytes, run.offset)?; // 3
        }
        self.publish_pointers()?; // 4
        self.publish_counts()?; // 5
        self.publish_main()?; // 6
        for mut run in self.staged.runs.drain(..) {
            run.bytes.clear();
            self.staged.spare.push(run.bytes);
        }
        self.staged.entries = 0;
        self.fresh.clear();
        self.published_end = self.end;
        self.broken = false;
        Ok(())
    }

    /// What is published becomes durable: one fdatasync. Publishes first what is staged.
    pub fn sync(&mut self) -> io::Result<()> {
        self.publish()?;
        self.storage.sync()
    }

    /// Syncs and marks the file cleanly closed. Appending is possible afterwards, and costs a sync.
    pub fn set_offline(&mut self) -> io::Result<()> {
        self.finish(State::Offline)
    }

    /// Syncs, gives reserved space back and marks the file archived: it is never written again.
    pub fn archive(&mut self) -> io::Result<()> {
        self.publish()?;
        // First the smaller claim, then the truncation: the header never claims more than there is.
        self.header.arena_size = self.end - HEADER_SIZE;
        self.storage.write_at(&self.header.encode(), 0)?;
        self.storage.set_len(self.end)?;
        self.reserved = self.end;
        self.finish(State::Archived)?;
        self.broken = true;
        Ok(())
    }

    /// A write failed half-way: the file is readable up to its last publication and takes nothing more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives the storage back; what is staged and not published is lost.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn finish(&mut self, state: State) -> io::Result<()> {
        self.sync()?;
        self.header.state = state;
        self.storage.write_at(&[state.byte()], 16)?;
        self.storage.sync()
    }

    /// The state on disk is *online* before anything else changes, so that an unclean end is seen.
    fn go_online(&mut self) -> io::Result<()> {
        if self.header.state == State::Online {
            return Ok(());
        }
        self.storage.write_at(&[State::Online.byte()], 16)?;
        self.storage.sync()?;
        self.header.state = State::Online;
        Ok(())
    }

    fn publish_pointers(&mut self) -> io::Result<()> {
        // Neighbours (head and tail of a bucket) go in one write. The sort is stable: of two values for a place the later wins.
        self.staged.pointers.sort_by_key(|(offset, _)| *offset);
        let mut bytes: Vec<u8> = Vec::with_capacity(64);
        let mut start = 0;
        for (offset, value) in self.staged.pointers.drain(..) {
            let end = start + bytes.len() as u64;
            if !bytes.is_empty() && offset + 8 == end {
                let at = bytes.len() - 8;
                bytes[at..].copy_from_slice(&value.to_le_bytes());
                continue;
            }
            if bytes.is_empty() || offset != end {
                if !bytes.is_empty() {
                    self.storage.write_at(&bytes, start)?;
                    bytes.clear();
                }
                start = offset;
            }
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        if !bytes.is_empty() {
            self.storage.write_at(&bytes, start)?;
        }
        for field in self.fields.values_mut().filter(|field| field.dirty) {
            self.storage.write_at(&field.newest_data.to_le_bytes(), field.offset + 32)?;
            field.dirty = false;
        }
        Ok(())
    }

    /// Writes the counts of new objects where they are still staged, and keeps the old ones for later.
    fn settle_fresh(&mut self) {
        let compact = self.header.compact();
        let start = self.published_end;
        let (fresh, states) = (&mut self.fresh, &mut self.index.states);
        self.staged.dirty.retain(|index| {
            let state = &mut states[*index as usize];
            let data = u64::from(state.place) * 8;
            if data < start {
                return true;
            }
            state.staged = 0;
            let at = (data - start) as usize + 56;
            let counts = counts(state);
            let len = if compact { counts.len() } else { 8 };
            fresh[at..at + len].copy_from_slice(&counts[..len]);
            false
        });
        for field in self.fields.values_mut().filter(|field| field.dirty && field.offset >= start) {
            let at = (field.offset - start) as usize + 32;
            fresh[at..at + 8].copy_from_slice(&field.newest_data.to_le_bytes());
            field.dirty = false;
        }
    }

    fn publish_counts(&mut self) -> io::Result<()> {
        let compact = self.header.compact();
        for index in self.staged.dirty.drain(..) {
            let state = &mut self.index.states[index as usize];
            state.staged = 0;
            let counts = counts(state);
            let bytes = if compact { &counts[..] } else { &counts[..8] };
            self.storage.write_at(bytes, u64::from(state.place) * 8 + 56)?;
        }
        Ok(())
    }

    fn publish_main(&mut self) -> io::Result<()> {
        if !self.main_run.bytes.is_empty() {
            self.storage.write_at(&self.main_run.bytes, self.main_run.offset)?;
            self.main_run.bytes.clear();
        }
        self.header.arena_size = self.reserved - HEADER_SIZE;
        self.storage.write_at(&self.header.encode(), 0)
    }
}

/// Bytes 56 to 72 of a compact DATA: number of entries, last array, entries in it. A classic DATA has the first 8.
fn counts(state: &DataState) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&u64::from(state.entries).to_le_bytes());
    bytes[8..12].copy_from_slice(&state.tail.place.wrapping_mul(8).to_le_bytes());
    bytes[12..].copy_from_slice(&state.tail.used.to_le_bytes());
    bytes
}
