//! One file of a [`super::Journal`]: which of its entries are wanted, and the place among them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ReadError;
use crate::filter::Filter;
use crate::format::State;
use crate::reader::{EntryHead, JournalFile};

/// A file and the place in it.
pub(super) struct Member {
    pub(super) file: JournalFile,
    /// Device and inode: a file keeps them when it is renamed.
    pub(super) identity: (u64, u64),
    /// Offsets of the wanted entries; none: all.
    selected: Option<Vec<u64>>,
    /// Entries of the file that were looked at for `selected`.
    judged: u64,
    /// Entries before the place.
    place: u64,
    peeked: Option<EntryHead>,
}

impl Member {
    pub(super) fn new(file: JournalFile, path: &Path, filter: &Filter) -> Result<Self, ReadError> {
        let identity = identity(path)?;
        let mut member = Self { file, identity, selected: None, judged: 0, place: 0, peeked: None };
        member.select(filter);
        Ok(member)
    }

    /// Applies a filter and goes to the start.
    pub(super) fn select(&mut self, filter: &Filter) {
        self.place = 0;
        self.peeked = None;
        self.judged = self.file.entries();
        if filter.is_empty() {
            self.selected = None;
            return;
        }
        // A file whose index is damaged gives nothing by filter rather than wrong entries.
        let mut selected = filter.offsets(&mut self.file).unwrap_or_default();
        // The lists of data objects run ahead of the header while a batch is published: what is not published yet is
        // judged when it is.
        let last =
            self.judged.checked_sub(1).and_then(|index| self.file.entry_offset(index).ok()).unwrap_or(0);
        selected.truncate(selected.partition_point(|offset| *offset <= last));
        self.selected = Some(selected);
    }

    fn len(&self) -> u64 {
        self.selected.as_ref().map_or(self.file.entries(), |selected| selected.len() as u64)
    }

    pub(super) fn at_end(&self) -> bool {
        self.place >= self.len()
    }

    pub(super) fn go_to(&mut self, place: u64) {
        self.place = place.min(self.len());
        self.peeked = None;
    }

    /// Goes behind all entries for which `before` says true: they stand first, so this bisects.
    pub(super) fn go_where(&mut self, before: impl Fn(&EntryHead) -> bool) {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            // A damaged entry counts as one that stands before: the search goes on in the sound part behind it.
            if self.read(middle).map_or(true, |entry| before(&entry)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.go_to(low);
    }

    fn read(&mut self, index: u64) -> Result<EntryHead, ReadError> {
        let offset = match &self.selected {
            None => self.file.entry_offset(index)?,
            Some(selected) => selected.get(index as usize).copied().unwrap_or(0),
        };
        self.file.entry(offset)
    }

    /// The entry after (before) the place. Damaged ones are left behind.
    pub(super) fn peek(&mut self, backward: bool) -> Option<EntryHead> {
        if self.peeked.is_some() {
            return self.peeked;
        }
        loop {
            let index = if backward { self.place.checked_sub(1)? } else { self.place };
            if index >= self.len() {
                self.file.rest();
                return None;
            }
            match self.read(index) {
                Ok(entry) => {
                    self.peeked = Some(entry);
                    return self.peeked;
                }
                Err(_) => self.advance(backward),
            }
        }
    }

    pub(super) fn advance(&mut self, backward: bool) {
        self.peeked = None;
        self.place = if backward { self.place.saturating_sub(1) } else { self.place + 1 };
    }

    pub(super) fn forget_peek(&mut self) {
        self.peeked = None;
    }

    /// Looks for new entries; true when there are some that are wanted.
    pub(super) fn refresh(&mut self, filter: &Filter) -> bool {
        if self.file.header().state == State::Archived {
            return false;
        }
        // A file that cannot be read any more gives what it gave.
        if !self.file.refresh().unwrap_or(false) {
            return false;
        }
        self.peeked = None;
        let entries = self.file.entries();
        let Some(selected) = &mut self.selected else { return true };
        let before = selected.len();
        for index in self.judged..entries {
            let Ok(offset) = self.file.entry_offset(index) else { continue };
            if filter.matches(&mut self.file, offset).unwrap_or(false) {
                selected.push(offset);
            }
        }
        self.judged = entries;
        selected.len() > before
    }
}

/// Device and inode of the file at `path`.
pub(super) fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
