//! Several files as one journal: interleaved, filtered, followed over rotation.

mod member;

use std::cmp::Ordering;
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use member::Member;
use sys::host::Id128;
use sys::inotify::Inotify;
use sys::poll::{Interest, poll};

use crate::cursor::Cursor;
use crate::filter::Filter;
use crate::reader::{EntryHead, JournalFile};
use crate::{Header, ReadError};

/// Without inotify a follower looks again after this long.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// An entry that [`Journal::next`] or [`Journal::previous`] gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    file: usize,
    /// The entry.
    pub entry: EntryHead,
    /// The sequence that its number belongs to.
    pub seqnum_id: Id128,
}

impl Position {
    /// The cursor of this entry.
    pub fn cursor(&self) -> Cursor {
        Cursor::of(self.seqnum_id, &self.entry)
    }
}

/// A set of journal files read as one. The place is always between two entries: [`Journal::next`] gives the one after it,
/// [`Journal::previous`] the one before it.
pub struct Journal {
    source: Source,
    members: Vec<Member>,
    filter: Filter,
    /// The entry given last, for files that appear later.
    last: Option<Position>,
    backward: bool,
    watch: Option<Inotify>,
    unreadable: Vec<(PathBuf, ReadError)>,
}

enum Source {
    Directories(Vec<PathBuf>),
    Files,
}

impl Journal {
    /// The journal files in `dir` and in its machine directories (those named by a 128-bit id).
    pub fn open_dir(dir: &Path) -> io::Result<Self> {
        Self::open_dirs(&[dir.to_path_buf()]).map_err(|(_, error)| error)
    }

    /// The journal files in several directories, each as [`Journal::open_dir`] takes it.
    pub fn open_dirs(dirs: &[PathBuf]) -> Result<Self, (PathBuf, io::Error)> {
        let mut directories = Vec::new();
        for dir in dirs {
            let failed = |error| (dir.clone(), error);
            directories.push(dir.clone());
            let first = directories.len();
            for entry in std::fs::read_dir(dir).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let machine = entry.file_name().to_str().and_then(Id128::parse).is_some();
                if machine && entry.path().is_dir() {
                    directories.push(entry.path());
                }
            }
            directories[first..].sort();
        }
        let mut journal = Self::with(Source::Directories(directories));
        journal.scan();
        Ok(journal)
    }

    /// These files; one that cannot be opened is an error.
    pub fn open_files(paths: &[PathBuf]) -> Result<Self, (PathBuf, ReadError)> {
        let mut journal = Self::with(Source::Files);
        for path in paths {
            let file = JournalFile::open(path).map_err(|error| (path.clone(), error))?;
            let member = Member::new(file, path, &journal.filter).map_err(|error| (path.clone(), error))?;
            journal.members.push(member);
        }
        Ok(journal)
    }

    fn with(source: Source) -> Self {
        Self {
            source,
            members: Vec::new(),
            filter: Filter::new(),
            last: None,
            backward: false,
            watch: None,
            unreadable: Vec::new(),
        }
    }

    /// Files of the directories that could not be opened, with the reason.
    pub fn unreadable(&self) -> &[(PathBuf, ReadError)] {
        &self.unreadable
    }

    /// The files, in the order of their names.
    pub fn files(&self) -> impl Iterator<Item = &JournalFile> {
        self.members.iter().map(|member| &member.file)
    }

    /// Wants only what `filter` matches, and goes to the head.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        for member in &mut self.members {
            member.select(&self.filter);
        }
        self.last = None;
    }

    /// Goes before the first entry.
    pub fn seek_head(&mut self) {
        self.last = None;
        self.members.iter_mut().for_each(|member| member.go_to(0));
    }

    /// Goes behind the last entry.
    pub fn seek_tail(&mut self) {
        self.last = None;
        self.members.iter_mut().for_each(|member| member.go_to(u64::MAX));
    }

    /// Goes before the first entry at or after this wall clock time, microseconds.
    pub fn seek_realtime(&mut self, realtime: u64) {
        self.last = None;
        for member in &mut self.members {
            member.go_where(|entry| entry.realtime < realtime);
        }
    }

    /// Goes before the entry of the cursor, or where it would stand.
    pub fn seek_cursor(&mut self, cursor: &Cursor) {
        self.last = None;
        for member in &mut self.members {
            let header = member.file.header();
            match (cursor.seqnum, cursor.monotonic, cursor.realtime) {
                (Some((id, number)), _, _) if header.seqnum_id == id => {
                    member.go_where(|entry| entry.seqnum < number)
                }
                (_, _, Some(realtime)) => member.go_where(|entry| entry.realtime < realtime),
                (_, Some((boot, monotonic)), None) => {
                    member.go_where(|entry| entry.boot_id == boot && entry.monotonic < monotonic);
                }
                (_, None, None) => member.go_to(0),
            }
        }
    }

    /// Goes behind the entry of the cursor, or where it would stand.
    pub fn seek_after_cursor(&mut self, cursor: &Cursor) {
        self.seek_cursor(cursor);
        if self.next().is_some_and(|position| !cursor.matches(position.seqnum_id, &position.entry)) {
            self.previous();
        }
    }

    /// The entry after the place, and moves behind it; none at the end. Damaged entries are passed over.
    #[allow(clippy::should_implement_trait)] // entries are read through the journal: no iterator can lend them
    pub fn next(&mut self) -> Option<Position> {
        self.step(false)
    }

    /// The entry before the place, and moves before it; none at the start.
    pub fn previous(&mut self) -> Option<Position> {
        self.step(true)
    }

    fn step(&mut self, backward: bool) -> Option<Position> {
        if self.backward != backward {
            self.backward = backward;
            self.members.iter_mut().for_each(Member::forget_peek);
        }
        let mut best: Option<(usize, EntryHead, Id128)> = None;
        for (index, member) in self.members.iter_mut().enumerate() {
            let Some(entry) = member.peek(backward) else { continue };
            let id = member.file.header().seqnum_id;
            let better = match &best {
                None => true,
                Some((_, other, other_id)) => {
                    let order = compare((&entry, id), (other, *other_id));
                    order == if backward { Ordering::Greater } else { Ordering::Less }
                }
            };
            if better {
                best = Some((index, entry, id));
            }
        }
        let (file, entry, seqnum_id) = best?;
        self.members[file].advance(backward);
        // The same entry in another file (a copy that recovery made) is shown once.
        if self.members.len() > 1 {
            for (index, member) in self.members.iter_mut().enumerate() {
                let id = member.file.header().seqnum_id;
                let same = index != file
                    && member.peek(backward).is_some_and(|other| {
                        compare((&entry, seqnum_id), (&other, id)) == Ordering::Equal && id == seqnum_id
                    });
                if same {
                    member.advance(backward);
                }
            }
        }
        let position = Position { file, entry, seqnum_id };
        self.last = Some(position);
        Some(position)
    }

    /// Hands each field of the entry to `see` as `NAME=value`, in the file's order, until it breaks.
    pub fn for_each_field(
        &mut self,
        position: &Position,
        see: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        match self.members.get_mut(position.file) {
            Some(member) => member.file.for_each_field(position.entry.offset, see),
            None => Err(ReadError::damaged(position.entry.offset, "the file of this entry is gone")),
        }
    }

    /// The entry's fields, each `NAME=value`.
    pub fn fields(&mut self, position: &Position) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut fields = Vec::new();
        self.for_each_field(position, |payload| {
            fields.push(payload.to_vec());
            ControlFlow::Continue(())
        })?;
        Ok(fields)
    }

    /// Names of all fields that some entry has.
    pub fn field_names(&mut self) -> Vec<Vec<u8>> {
        let mut seen = HashSet::new();
        let mut names = Vec::new();
        for member in &mut self.members {
            for name in member.file.field_names().unwrap_or_default() {
                if seen.insert(name.clone()) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// Payloads `NAME=value` of all values of a field, each once.
    pub fn field_values(&mut self, name: &[u8]) -> Vec<Vec<u8>> {
        let mut seen = HashSet::new();
        let mut values = Vec::new();
        for member in &mut self.members {
            for value in member.file.field_values(name).unwrap_or_default() {
                if seen.insert(value.clone()) {
                    values.push(value);
                }
            }
        }
        values
    }

    /// Looks for new entries and new files; true when there may be some. What was read before is as it was.
    pub fn refresh(&mut self) -> bool {
        let mut news = false;
        for member in &mut self.members {
            news |= member.refresh(&self.filter);
        }
        if matches!(self.source, Source::Directories(_)) {
            news |= self.scan();
        }
        news
    }

    /// Waits until the files change, at most `timeout`, and looks at them; true when there may be new entries. The first
    /// call sets the watch up, so follow with: read to the end, wait, read on.
    pub fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        if self.watch.is_none() {
            self.watch = self.set_watch().ok();
            // What changed before the watch stood.
            if self.refresh() {
                return Ok(true);
            }
        }
        match &self.watch {
            Some(watch) => {
                wait_readable(watch, timeout)?;
                watch.drain()?;
            }
            None => std::thread::sleep(timeout.min(LOOK_AGAIN)),
        }
        Ok(self.refresh())
    }

    /// A descriptor that is readable when files changed (then call [`Journal::wait`] with no time), for loops of their own.
    pub fn watch_fd(&mut self) -> io::Result<&Inotify> {
        if self.watch.is_none() {
            self.watch = Some(self.set_watch()?);
        }
        self.watch.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn set_watch(&self) -> io::Result<Inotify> {
        let watch = Inotify::new()?;
        match &self.source {
            Source::Directories(directories) => directories.iter().try_for_each(|dir| watch.watch(dir))?,
            Source::Files => self.members.iter().try_for_each(|member| watch.watch(member.file.path()))?,
        }
        Ok(watch)
    }

    /// Takes up files that appeared, renames those that were renamed, lets those go that are gone; true when one appeared.
    fn scan(&mut self) -> bool {
        let Source::Directories(directories) = &self.source else { return false };
        let mut paths = Vec::new();
        for dir in directories {
            let Ok(entries) = std::fs::read_dir(dir) else { continue };
            let found = entries.flatten().map(|entry| entry.path());
            paths.extend(found.filter(|path| {
                path.extension().is_some_and(|extension| extension == "journal" || extension == "journal~")
            }));
        }
        paths.sort();
        let mut appeared = false;
        let mut present = HashSet::new();
        self.unreadable.clear();
        for path in paths {
            let Ok(identity) = member::identity(&path) else { continue };
            present.insert(identity);
            if let Some(member) = self.members.iter_mut().find(|member| member.identity == identity) {
                member.file.set_path(&path);
                continue;
            }
            match JournalFile::open(&path).and_then(|file| Member::new(file, &path, &self.filter)) {
                Ok(mut member) => {
                    if let Some(last) = &self.last {
                        let id = member.file.header().seqnum_id;
                        member.go_where(|entry| compare((entry, id), (&last.entry, last.seqnum_id)).is_le());
                    }
                    self.members.push(member);
                    appeared = true;
                }
                Err(error) => self.unreadable.push((path, error)),
            }
        }
        // A file that is gone from the directory is read to its end first: its bytes live as long as it is open.
        let last_file = self.last.map(|last| last.file);
        let mut index = 0;
        let mut moved = Vec::new();
        self.members.retain(|member| {
            let keep = present.contains(&member.identity) || !member.at_end() || Some(index) == last_file;
            if keep {
                moved.push(index);
            }
            index += 1;
            keep
        });
        if let Some(last) = &mut self.last {
            last.file = moved.iter().position(|old| *old == last.file).unwrap_or(usize::MAX);
        }
        appeared
    }

    /// Headers of all files with their paths and the bytes that they take on disk.
    pub fn headers(&self) -> impl Iterator<Item = (&Path, &Header)> {
        self.members.iter().map(|member| (member.file.path(), member.file.header()))
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("files", &self.members.len()).field("last", &self.last).finish()
    }
}

fn wait_readable(fd: &impl AsFd, timeout: Duration) -> io::Result<()> {
    match poll(&[(fd.as_fd(), Interest::READ)], &mut Vec::new(), Some(timeout)) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// The order of entries of several files: by number within one sequence, by monotonic time within one boot, else by wall
/// clock; the hash of the content makes it total.
fn compare((a, a_id): (&EntryHead, Id128), (b, b_id): (&EntryHead, Id128)) -> Ordering {
    if a_id == b_id && a.seqnum != b.seqnum {
        return a.seqnum.cmp(&b.seqnum);
    }
    if a.boot_id == b.boot_id && a.monotonic != b.monotonic {
        return a.monotonic.cmp(&b.monotonic);
    }
    a.realtime.cmp(&b.realtime).then(a.xor_hash.cmp(&b.xor_hash))
}
