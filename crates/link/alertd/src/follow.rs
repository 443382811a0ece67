//! The journal from a position on, record by record, as they come.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use journal_file::{Cursor, Journal};
use record::{Field, Record, UnixMicros};
use sys::inotify::Inotify;

/// The very first start looks so far back: what went wrong while the host came up is told, old troubles are not.
const LOOK_BACK_USEC: u64 = 60_000_000;

/// While there is no journal, one is looked for this often.
const LOOK_FOR_JOURNAL: Duration = Duration::from_millis(500);

/// After an end that was not clean the log daemon's numbers go on so much higher (docs/formats/journal.md): that is no gap.
const NUMBERS_JUMP: u64 = 1 << 32;

/// The place in the journal.
pub struct Follower {
    dir: PathBuf,
    journal: Option<Journal>,
    place: Option<Cursor>,
    from_usec: u64,
    looked: Option<Instant>,
    damaged: u64,
    missed: u64,
}

impl Follower {
    /// Follows the journal files below `dir` after `cursor`; without one from a minute before `now`.
    pub fn new(dir: &Path, cursor: Option<&str>, now: UnixMicros) -> Self {
        let place = cursor.and_then(|text| text.parse().ok());
        let from_usec = now.0.saturating_sub(LOOK_BACK_USEC);
        let mut follower = Self {
            dir: dir.to_path_buf(),
            journal: None,
            place,
            from_usec,
            looked: None,
            damaged: 0,
            missed: 0,
        };
        follower.open();
        follower
    }

    /// A descriptor that is readable when the journal changed; none while there is no journal.
    pub fn watch(&mut self) -> Option<&Inotify> {
        self.journal.as_mut()?.watch_fd().ok()
    }

    /// Looks for new records, new files and, while there is none, for a journal.
    pub fn refresh(&mut self) -> io::Result<()> {
        match &mut self.journal {
            Some(journal) => journal.wait(Duration::ZERO).map(drop),
            None => {
                if self.looked.is_none_or(|at| at.elapsed() >= LOOK_FOR_JOURNAL) {
                    self.open();
                }
                Ok(())
            }
        }
    }

    /// The next record and its cursor, if there is one.
    pub fn next(&mut self) -> Option<(String, Record)> {
        loop {
            let journal = self.journal.as_mut()?;
            let position = journal.next()?;
            let cursor = position.cursor();
            self.missed += missing_between(self.place.as_ref(), &cursor);
            self.place = Some(cursor);
            let mut record =
                Record { realtime: UnixMicros(position.entry.realtime), fields: Vec::with_capacity(24) };
            let read = journal.for_each_field(&position, |payload| {
                if let Some(equals) = payload.iter().position(|byte| *byte == b'=') {
                    let (name, value) = payload.split_at(equals);
                    record.fields.push(Field {
                        name: String::from_utf8_lossy(name).into_owned(),
                        value: value.get(1..).unwrap_or_default().to_vec(),
                    });
                }
                ControlFlow::Continue(())
            });
            match read {
                Ok(()) => return Some((cursor.to_string(), record)),
                // What can still be read of other records counts; this one is counted.
                Err(_) => self.damaged += 1,
            }
        }
    }

    /// Records that are there and could not be read.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Records that were gone before they were read, since the start.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn open(&mut self) {
        self.looked = Some(Instant::now());
        let Ok(mut journal) = Journal::open_dir(&self.dir) else { return };
        // The folder of this machine may be made later than the one above it, and only folders that stand are watched.
        if journal.files().next().is_none() {
            return;
        }
        match &self.place {
            Some(cursor) => journal.seek_after_cursor(cursor),
            None => journal.seek_realtime(self.from_usec),
        }
        self.journal = Some(journal);
    }
}

/// How many records stood between two that were read one after the other, by their numbers. A jump of the numbers counts as none; the
/// end that it stands for may have taken some with it, and the log daemon says that.
fn missing_between(before: Option<&Cursor>, after: &Cursor) -> u64 {
    let (Some((old, last)), Some((new, number))) = (before.and_then(|cursor| cursor.seqnum), after.seqnum)
    else {
        return 0;
    };
    if old != new {
        return 0;
    }
    let gap = number.saturating_sub(last).saturating_sub(1) % NUMBERS_JUMP;
    if gap < NUMBERS_JUMP / 2 { gap } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is missing between two records is counted; where the numbers jump, begin anew or go back nothing is.
    #[test]
    fn gaps_are_counted_and_jumps_are_not() {
        let one = "11111111111111111111111111111111";
        let two = "22222222222222222222222222222222";
        let cursor = |sequence: &str, number: u64| -> Cursor {
            format!("s={sequence};i={number:x}").parse().expect("a cursor")
        };
        let check = |before: Option<(&str, u64)>, after: (&str, u64), expected: u64| {
            let before = before.map(|(sequence, number)| cursor(sequence, number));
            let found = missing_between(before.as_ref(), &cursor(after.0, after.1));
            assert_eq!(found, expected, "{before:?} to {after:?}");
        };
        check(None, (one, 500), 0);
        check(Some((one, 5)), (one, 6), 0);
        check(Some((one, 5)), (one, 9), 3);
        check(Some((one, 9)), (one, 5), 0);
        check(Some((one, 5)), (two, 9), 0);
        check(Some((one, 5)), (one, 6 + NUMBERS_JUMP), 0);
        check(Some((one, 50)), (one, 6 + NUMBERS_JUMP), 0);
        check(Some((one, 5)), (one, 9 + NUMBERS_JUMP), 3);
    }
}
