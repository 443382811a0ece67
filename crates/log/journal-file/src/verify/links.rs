//! Second pass: what refers to what, in both directions.

use super::Verifier;
use crate::ReadError;
use crate::format::{ARRAY_ITEMS, BUCKET, ENTRY_ITEMS, u64_at};

impl Verifier<'_> {
    /// The main entry array names every entry, in order; every entry names data objects that exist.
    pub(super) fn main_array(&mut self) {
        let count = self.header.entries;
        let entries = match self.chain(self.header.entry_array, count, 176) {
            Ok(entries) => entries,
            Err(error) => return self.note(176, error),
        };
        if entries != self.found.entries {
            let first = entries.iter().zip(&self.found.entries).find(|(named, found)| named != found);
            let at = first.map_or(self.header.entry_array, |(named, _)| *named);
            self.damage(at, "the main entry array does not name the entries in their order");
        }
        for entry in entries {
            if let Err(error) = self.entry_items(entry) {
                self.note(entry, error);
            }
        }
    }

    fn entry_items(&mut self, entry: u64) -> Result<(), ReadError> {
        let size = u64_at(self.windows.bytes(entry, 16)?, 8);
        let width = self.header.entry_item();
        let items = self.items(entry, ENTRY_ITEMS, width, size.saturating_sub(ENTRY_ITEMS) / width)?;
        for item in items {
            match self.found.data.binary_search_by_key(&item, |data| data.offset) {
                Ok(index) => {
                    let data = &mut self.found.data[index];
                    data.named += 1;
                    data.sum = data.sum.wrapping_add(entry);
                    data.mixed ^= entry;
                }
                Err(_) => {
                    self.damage(entry, format!("the entry names data at {item:#x}, where there is none"))
                }
            }
        }
        Ok(())
    }

    /// Every data object stands in the chain of its hash, and knows the entries that name it.
    pub(super) fn hash_tables(&mut self) {
        let buckets = self.header.data_table_size / BUCKET;
        for bucket in 0..buckets {
            let place = self.header.data_table.saturating_add(bucket * BUCKET);
            let ends = match self.windows.bytes(place, BUCKET) {
                Ok(bytes) => (u64_at(bytes, 0), u64_at(bytes, 8)),
                Err(error) => return self.note(place, error),
            };
            if let Err(error) = self.bucket(bucket, buckets, ends) {
                self.note(place, error);
            }
        }
        let loose: Vec<u64> =
            self.found.data.iter().filter(|data| !data.chained).map(|data| data.offset).collect();
        for offset in loose {
            self.damage(offset, "the data object stands in no hash chain: no search finds it");
        }
    }

    fn bucket(&mut self, bucket: u64, buckets: u64, (head, tail): (u64, u64)) -> Result<(), ReadError> {
        let (mut at, mut last) = (head, 0);
        while at != 0 {
            let Ok(index) = self.found.data.binary_search_by_key(&at, |data| data.offset) else {
                return Err(ReadError::damaged(at, "a hash chain leads to where no data object is"));
            };
            if self.found.data[index].hash % buckets != bucket {
                self.damage(at, "the data object stands in the chain of another hash");
            }
            self.found.data[index].chained = true;
            let next = u64_at(self.windows.bytes(at, 64)?, 24);
            self.data_entries(index)?;
            if next != 0 && next <= at {
                return Err(ReadError::damaged(at, "a hash chain runs backward"));
            }
            last = at;
            at = next;
        }
        if last != tail {
            self.damage(last, format!("the hash chain ends at {last:#x}, its bucket says {tail:#x}"));
        }
        Ok(())
    }

    /// The list of entries that a data object keeps is the one of those that name it.
    fn data_entries(&mut self, index: usize) -> Result<(), ReadError> {
        let at = self.found.data[index].offset;
        let head = self.windows.bytes(at, 64)?;
        let (first, array, count) = (u64_at(head, 40), u64_at(head, 48), u64_at(head, 56));
        if count < 2 && array != 0 {
            self.damage(at, format!("an entry array, but only {count} entries are counted"));
            return Ok(());
        }
        let mut listed = if count == 0 { Vec::new() } else { vec![first] };
        if count > 1 {
            listed.extend(self.chain(array, count - 1, at)?);
        }
        if !listed.is_sorted_by(|a, b| a < b) {
            self.damage(at, "the entries of the data object are not in order");
        }
        let sum = listed.iter().fold(0u64, |sum, entry| sum.wrapping_add(*entry));
        let mixed = listed.iter().fold(0, |mixed, entry| mixed ^ entry);
        let data = &self.found.data[index];
        if (listed.len() as u64, sum, mixed) != (data.named, data.sum, data.mixed) {
            let named = data.named;
            self.damage(
                at,
                format!("{named} entries name the data object, but it lists {} or others", listed.len()),
            );
        }
        Ok(())
    }

    /// The items of a chain of entry arrays: exactly `count`.
    fn chain(&mut self, array: u64, count: u64, owner: u64) -> Result<Vec<u64>, ReadError> {
        let mut all = Vec::new();
        let mut at = array;
        while (all.len() as u64) < count {
            if self.found.arrays.binary_search(&at).is_err() {
                return Err(ReadError::damaged(
                    owner,
                    "a chain of entry arrays is too short or leads astray",
                ));
            }
            let head = self.windows.bytes(at, ARRAY_ITEMS)?;
            let (size, next) = (u64_at(head, 8), u64_at(head, 16));
            if next != 0 && next <= at {
                return Err(ReadError::damaged(at, "a chain of entry arrays runs backward"));
            }
            let width = self.header.array_item();
            let items = (size.saturating_sub(ARRAY_ITEMS) / width).min(count - all.len() as u64);
            all.extend(self.items(at, ARRAY_ITEMS, width, items)?);
            at = next;
        }
        Ok(all)
    }

    fn note(&mut self, at: u64, error: ReadError) {
        match error {
            ReadError::Damaged { offset, what } => self.damage(offset, what),
            ReadError::Io(error) => self.damage(at, format!("cannot be read: {error}")),
        }
    }
}
