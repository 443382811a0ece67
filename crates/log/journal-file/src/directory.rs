//! The journal of this machine as files of a directory: the live file, rotation, names, recovery at opening, vacuum.

use std::io;
use std::path::{Path, PathBuf};

use sys::host::Id128;

use crate::file_storage::FileStorage;
use crate::format::{Header, State};
use crate::reader::JournalFile;
use crate::recover::salvage;
use crate::verify::verify;
use crate::writer::{AppendError, EntryRef, FileWriter, Identity, Limits, RotateReason};
use crate::{ReadError, Salvaged};

/// Ending of a file that salvage is filling; readers do not look at it.
const SALVAGE: &str = "journal.salvage";
/// Ending of the next live file while rotation makes it; readers do not look at it.
const WAITING: &str = "journal.next";

/// Whose journal is written and how large its files may be.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// Base name of the files: `system`.
    pub name: String,
    /// The machine.
    pub machine_id: Id128,
    /// This boot.
    pub boot_id: Id128,
    /// Limits of one file.
    pub limits: Limits,
}

/// What was found and done when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// There was no live file.
    New,
    /// The live file was sound and is appended to; after an unclean end it was verified.
    Continued {
        /// It had not been closed cleanly.
        unclean: bool,
    },
    /// The live file was of another boot (or form) and was archived.
    Archived,
    /// The live file was damaged; its readable entries were copied to a new one.
    Salvaged {
        /// What came over.
        salvaged: Salvaged,
        /// Where the damaged file stands, if published entries could not be read whole.
        kept: Option<PathBuf>,
        /// The first damage.
        reason: String,
    },
    /// The live file was no journal of this machine and was set aside.
    SetAside {
        /// Where it stands now.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// How much to keep; none of a limit keeps all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Vacuum {
    /// Bytes of all files together, the live one counted.
    pub max_bytes: Option<u64>,
    /// Files, the live one counted.
    pub max_files: Option<usize>,
    /// Archived files whose last entry is older than this wall clock time, microseconds, go.
    pub before: Option<u64>,
}

/// Writes the journal of a directory.
#[derive(Debug)]
pub struct JournalWriter {
    dir: PathBuf,
    options: WriterOptions,
    file: FileWriter<FileStorage>,
    opening: Opening,
    rotations: u64,
}

impl JournalWriter {
    /// Opens the journal in `dir` (which is made if need be), repairing what an unclean end left. `now`: wall clock,
    /// microseconds, for the names of files that are set aside. Fails when another process writes it.
    pub fn open(dir: &Path, options: WriterOptions, now: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let live = live_path(dir, &options);
        // A salvage or rotation that was cut short: the file that they were about to replace is still in its place, or
        // archived already.
        remove_if_there(&live.with_extension(SALVAGE))?;
        remove_if_there(&live.with_extension(WAITING))?;
        let (file, opening) = match FileStorage::open_to_write(&live) {
            Ok(storage) => take_up(dir, &live, &options, storage, now)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (create(&live, &options, newest_archive(dir, &options).map(jump))?, Opening::New)
            }
            Err(error) => return Err(error),
        };
        let mut journal = Self { dir: dir.to_path_buf(), options, file, opening, rotations: 0 };
        if matches!(journal.opening, Opening::Continued { unclean: true } | Opening::Salvaged { .. }) {
            let header = journal.file.header();
            journal.begin_file(jump((header.seqnum_id, journal.file.last_number())))?;
        }
        Ok(journal)
    }

    /// What was found when it was opened.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Where the files stand.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How often it has rotated since it was opened.
    pub fn rotations(&self) -> u64 {
        self.rotations
    }

    /// The number of the last entry, staged ones counted.
    pub fn last_seqnum(&self) -> u64 {
        self.file.header().tail_seqnum
    }

    /// Stages an entry and says its number; rotates first where that is needed. On an error nothing of it is stored.
    pub fn append(&mut self, entry: &EntryRef<'_>) -> Result<u64, AppendError> {
        let header = self.file.header();
        let other_boot = header.entries > 0 && header.tail_boot_id != entry.boot_id;
        if other_boot || self.file.is_broken() {
            self.rotate()?;
        }
        match self.file.append(entry) {
            Err(AppendError::Rotate(_)) => {
                self.rotate()?;
                self.file.append(entry)
            }
            other => other,
        }
    }

    /// Makes staged entries visible to readers.
    pub fn publish(&mut self) -> io::Result<()> {
        self.file.publish()
    }

    /// Publishes and makes durable. When it returns, everything appended before survives a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }

    /// Syncs and marks the live file cleanly closed; appending afterwards is possible.
    pub fn set_offline(&mut self) -> io::Result<()> {
        self.file.set_offline()
    }

    /// Archives the live file and begins a new one, which inherits the sequence. An empty live file stays. When there is no
    /// room for a new file the live one goes on as it was.
    pub fn rotate(&mut self) -> io::Result<()> {
        if self.file.header().entries == 0 && !self.file.is_broken() {
            return Ok(());
        }
        self.begin_file((self.file.header().seqnum_id, self.file.last_number()))?;
        self.rotations += 1;
        Ok(())
    }

    /// Begins a new live file whose numbers go on above the given one. The old one is archived, or goes if it is empty.
    fn begin_file(&mut self, after: (Id128, u64)) -> io::Result<()> {
        let live = live_path(&self.dir, &self.options);
        let waiting = live.with_extension(WAITING);
        remove_if_there(&waiting)?;
        let next = create(&waiting, &self.options, Some(after))?;
        let mut closed = Ok(());
        if self.file.header().entries > 0 || self.file.is_broken() {
            let archived = self.dir.join(archive_name(&self.options.name, self.file.header()));
            // A file whose end could not be marked is still whole up to its last publication: it makes way all the same.
            closed = self.file.archive();
            std::fs::rename(&live, &archived)?;
        }
        std::fs::rename(&waiting, &live)?;
        self.file = next;
        sys::file::sync_dir(&self.dir)?;
        closed
    }

    /// Deletes archived files, the oldest first, until the limits hold; says how many bytes that freed.
    pub fn vacuum(&self, keep: Vacuum) -> io::Result<u64> {
        vacuum(&self.dir, keep)
    }

    /// Publishes, syncs and closes cleanly.
    pub fn close(mut self) -> io::Result<()> {
        self.file.set_offline()
    }
}

/// Deletes archived (`NAME@...`) files of `dir`, the oldest first, until the limits hold; says how many bytes that freed.
pub fn vacuum(dir: &Path, keep: Vacuum) -> io::Result<u64> {
    let (mut archived, mut bytes, mut count) = (Vec::new(), 0, 0);
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".journal") && !name.ends_with(".journal~") {
            continue;
        }
        let size = disk_usage(&path)?;
        bytes += size;
        count += 1;
        if name.contains('@') {
            // A file that cannot be read has no time: the oldest.
            let times = JournalFile::open(&path)
                .map(|file| (file.header().head_realtime, file.header().tail_realtime));
            let (head, tail) = times.unwrap_or((0, 0));
            archived.push((head, tail, size, path));
        }
    }
    archived.sort();
    let mut freed = 0;
    for (_, tail, size, path) in archived {
        let too_many = keep.max_files.is_some_and(|max| count > max);
        let too_large = keep.max_bytes.is_some_and(|max| bytes > max);
        let too_old = keep.before.is_some_and(|before| tail < before);
        if too_many || too_large || too_old {
            std::fs::remove_file(&path)?;
            bytes -= size;
            count -= 1;
            freed += size;
        }
    }
    Ok(freed)
}

/// Bytes that the file at `path` takes on its disk.
pub fn disk_usage(path: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    Ok(std::fs::metadata(path)?.blocks() * 512)
}

fn live_path(dir: &Path, options: &WriterOptions) -> PathBuf {
    dir.join(format!("{}.journal", options.name))
}

/// `system@SEQNUMID-SEQNUM-REALTIME.journal`, of the first entry.
fn archive_name(name: &str, header: &Header) -> String {
    format!("{name}@{}-{:016x}-{:016x}.journal", header.seqnum_id, header.head_seqnum, header.head_realtime)
}

/// `system@REALTIME-RANDOM.journal~`.
fn aside_path(dir: &Path, options: &WriterOptions, now: u64) -> PathBuf {
    dir.join(format!("{}@{now:016x}-{:016x}.journal~", options.name, sys::random::u64()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn set_aside(dir: &Path, live: &Path, options: &WriterOptions, now: u64) -> io::Result<PathBuf> {
    let path = aside_path(dir, options, now);
    std::fs::rename(live, &path)?;
    sys::file::sync_dir(dir)?;
    Ok(path)
}

fn create(
    path: &Path,
    options: &WriterOptions,
    sequence: Option<(Id128, u64)>,
) -> io::Result<FileWriter<FileStorage>> {
    let storage = FileStorage::create(path)?;
    let outcome = lock(&storage).and_then(|()| {
        let mut id = [0u8; 16];
        sys::random::fill(&mut id);
        let (seqnum_id, last_seqnum) = sequence.unwrap_or((Id128(id), 0));
        let identity = Identity {
            file_id: Id128(id),
            machine_id: options.machine_id,
            boot_id: options.boot_id,
            seqnum_id,
            last_seqnum,
        };
        let file = FileWriter::create(storage, &identity, options.limits.clone())?;
        if let Some(dir) = path.parent() {
            sys::file::sync_dir(dir)?;
        }
        Ok(file)
    });
    if outcome.is_err() {
        // A file without a header would be set aside as damaged at the next start.
        std::fs::remove_file(path)?;
    }
    outcome
}

fn lock(storage: &FileStorage) -> io::Result<()> {
    sys::file::flock_exclusive(storage.file(), false).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::WouldBlock,
            "another process writes this journal file; end it first",
        ),
        _ => error,
    })
}

/// Takes up the live file, or replaces it by one that can be appended to.
fn take_up(
    dir: &Path,
    live: &Path,
    options: &WriterOptions,
    storage: FileStorage,
    now: u64,
) -> io::Result<(FileWriter<FileStorage>, Opening)> {
    lock(&storage)?;
    let report = match verify_unless_clean(&storage) {
        Ok(report) => report,
        Err(ReadError::Io(error)) => return Err(error),
        Err(damaged) => return replace_foreign(dir, live, options, now, damaged.to_string()),
    };
    let header = report.header;
    if header.machine_id != options.machine_id {
        let reason = format!("it belongs to machine {}", header.machine_id);
        return replace_foreign(dir, live, options, now, reason);
    }
    if let Some(reason) = report.damage {
        return replace_damaged(dir, live, options, now, reason);
    }
    let unclean = header.state == State::Online;
    let same_boot = header.tail_boot_id == options.boot_id || header.entries == 0;
    if header.state != State::Archived && same_boot && header.compact() == options.limits.compact {
        match FileWriter::resume(storage, options.limits.clone()) {
            Ok(file) => return Ok((file, Opening::Continued { unclean })),
            Err(ReadError::Io(error)) => return Err(error),
            Err(damaged) if !written_by_us(&header) => {
                // Sound, but of a form that is only read here: archive it as it is.
                let _reason = damaged;
            }
            Err(damaged) => return replace_damaged(dir, live, options, now, damaged.to_string()),
        }
    } else if let Ok(mut file) = FileWriter::resume(storage, options.limits.clone()) {
        file.archive()?;
    }
    std::fs::rename(live, dir.join(archive_name(&options.name, &header)))?;
    let last = (header.seqnum_id, header.tail_seqnum);
    let file = create(live, options, Some(if unclean { jump(last) } else { last }))?;
    Ok((file, Opening::Archived))
}

struct Judged {
    header: Header,
    damage: Option<String>,
}

fn written_by_us(header: &Header) -> bool {
    header.header_size == crate::format::HEADER_SIZE && header.keyed() && header.compatible == 0
}

/// The header, and after an unclean end the first damage.
fn verify_unless_clean(storage: &FileStorage) -> Result<Judged, ReadError> {
    let mut bytes = vec![0u8; crate::format::HEADER_SIZE as usize];
    let got = crate::storage::ReadAt::read_at(storage, &mut bytes, 0)?;
    let header = Header::parse(&bytes[..got])?;
    let damage = match header.state {
        State::Offline | State::Archived => None,
        _ => verify(storage)?.damages.first().map(ToString::to_string),
    };
    Ok(Judged { header, damage })
}

fn replace_foreign(
    dir: &Path,
    live: &Path,
    options: &WriterOptions,
    now: u64,
    reason: String,
) -> io::Result<(FileWriter<FileStorage>, Opening)> {
    let path = set_aside(dir, live, options, now)?;
    let file = create(live, options, newest_archive(dir, options).map(jump))?;
    Ok((file, Opening::SetAside { path, reason }))
}

/// Copies what is readable to a new file, which takes the damaged one's place when it is durable.
fn replace_damaged(
    dir: &Path,
    live: &Path,
    options: &WriterOptions,
    now: u64,
    reason: String,
) -> io::Result<(FileWriter<FileStorage>, Opening)> {
    let mut damaged = match JournalFile::open(live) {
        Ok(file) => file,
        Err(ReadError::Io(error)) => return Err(error),
        Err(other) => return replace_foreign(dir, live, options, now, other.to_string()),
    };
    let new = live.with_extension(SALVAGE);
    let header = damaged.header();
    let first = header.head_seqnum.saturating_sub(1).min(header.tail_seqnum);
    let mut file = create(&new, options, Some((header.seqnum_id, first)))?;
    let mut salvaged = salvage(&mut damaged, &mut file)?;
    file.sync()?;
    // A second name, not a new one: the live file is in its place until the new one takes it in one step.
    let kept = if salvaged.damaged > 0 {
        let path = aside_path(dir, options, now);
        std::fs::hard_link(live, &path)?;
        Some(path)
    } else {
        None
    };
    // When even the numbers were lost, new entries must not repeat old ones.
    salvaged.damaged = salvaged.damaged.max(damaged.header().entries.saturating_sub(salvaged.entries));
    file.raise_seqnum(damaged.header().tail_seqnum);
    std::fs::rename(&new, live)?;
    sys::file::sync_dir(dir)?;
    Ok((file, Opening::Salvaged { salvaged, kept, reason }))
}

/// Entries that can be shown to readers between two syncs: no machine writes so many in that time.
const NUMBERS_AT_RISK: u64 = 1 << 32;

/// The sequence, and a number to go on above after an end that was not clean. Entries that readers have seen may have been lost
/// with their numbers; were these given again, a reader that goes on behind its cursor would pass over what is new. The jump
/// stands in the header of a new file before anything is written behind it: a jump that is only remembered could itself be lost.
fn jump((sequence, last): (Id128, u64)) -> (Id128, u64) {
    (sequence, last.saturating_add(NUMBERS_AT_RISK))
}

/// Sequence and last number of the newest archived file: a new live file goes on from there.
fn newest_archive(dir: &Path, options: &WriterOptions) -> Option<(Id128, u64)> {
    let prefix = format!("{}@", options.name);
    let entries = std::fs::read_dir(dir).ok()?;
    let archives = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(".journal"))
    });
    archives
        .filter_map(|entry| JournalFile::open(&entry.path()).ok())
        .filter(|file| file.header().machine_id == options.machine_id)
        .max_by_key(|file| (file.header().tail_realtime, file.header().tail_seqnum))
        .map(|file| (file.header().seqnum_id, file.header().tail_seqnum))
}

/// Why rotations happen is part of this module's contract.
impl From<RotateReason> for &'static str {
    fn from(reason: RotateReason) -> Self {
        match reason {
            RotateReason::Size => "the file has its largest size",
            RotateReason::HashTable => "its hash table is full",
            RotateReason::ClockBackwards => "the clock went backwards",
            RotateReason::Boot => "the machine was started again",
        }
    }
}

#[cfg(test)]
mod tests {
    use record::{MonotonicMicros, UnixMicros};

    use super::*;
    use crate::writer::Fields;

    const BOOT: Id128 = Id128([2; 16]);

    fn options(boot_id: Id128) -> WriterOptions {
        let limits = Limits { max_size: 256 << 10, grow_step: 64 << 10, compact: true, compress: true };
        WriterOptions { name: "system".into(), machine_id: Id128([1; 16]), boot_id, limits }
    }

    fn append(writer: &mut JournalWriter, realtime: u64, boot_id: Id128) -> u64 {
        let message = format!("MESSAGE=at {realtime} {}", "x".repeat(100));
        let entry = EntryRef {
            realtime: UnixMicros(realtime),
            monotonic: MonotonicMicros(realtime),
            boot_id,
            fields: Fields::Joined(&[message.as_bytes()]),
        };
        writer.append(&entry).expect("room")
    }

    /// A folder of the test's own.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("banto-journal-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("a folder");
            Self(path)
        }

        fn files(&self, ending: &str) -> usize {
            let entries = std::fs::read_dir(&self.0).expect("a folder").flatten();
            entries.filter(|entry| entry.file_name().to_string_lossy().ends_with(ending)).count()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    /// Goal: size, a clock that goes backwards and a new boot each begin a new file; numbers go on over all of them and
    /// over a new start; vacuum takes the oldest.
    #[test]
    fn rotation_keeps_the_sequence() {
        let folder = Folder::new("rotation");
        let mut writer = JournalWriter::open(&folder.0, options(BOOT), 1).expect("new");
        assert_eq!(writer.opening(), &Opening::New);
        let mut number = 0;
        while writer.rotations() == 0 {
            number += 1;
            assert_eq!(append(&mut writer, 1000 + number, BOOT), number);
        }
        assert_eq!(append(&mut writer, 500, BOOT), number + 1);
        assert_eq!(writer.rotations(), 2);
        let other = Id128([9; 16]);
        assert_eq!(append(&mut writer, 600, other), number + 2);
        assert_eq!(writer.rotations(), 3);
        writer.close().expect("room");
        let mut writer = JournalWriter::open(&folder.0, options(BOOT), 1).expect("sound");
        assert_eq!(writer.opening(), &Opening::Archived, "the live file was of another boot");
        assert_eq!(append(&mut writer, 700, BOOT), number + 3);
        writer.sync().expect("room");
        assert_eq!(folder.files(".journal"), 5);
        writer.vacuum(Vacuum { max_files: Some(2), ..Vacuum::default() }).expect("deletable");
        assert_eq!(folder.files(".journal"), 2);
        let mut journal = crate::Journal::open_dir(&folder.0).expect("readable");
        journal.seek_tail();
        assert_eq!(journal.previous().map(|position| position.entry.seqnum), Some(number + 3));
    }

    /// Goal: two writers never write one file; what is no journal, or another machine's, is set aside and not lost.
    #[test]
    fn foreign_files_are_set_aside() {
        let folder = Folder::new("foreign");
        let mut writer = JournalWriter::open(&folder.0, options(BOOT), 1).expect("new");
        append(&mut writer, 1000, BOOT);
        let second = JournalWriter::open(&folder.0, options(BOOT), 1).expect_err("locked");
        assert!(second.to_string().contains("another process writes"), "{second}");
        writer.close().expect("room");
        let elsewhere = WriterOptions { machine_id: Id128([8; 16]), ..options(BOOT) };
        let writer = JournalWriter::open(&folder.0, elsewhere, 7).expect("set aside");
        assert!(matches!(writer.opening(), Opening::SetAside { .. }), "{:?}", writer.opening());
        drop(writer);
        std::fs::write(folder.0.join("system.journal"), b"this is no journal").expect("writable");
        let writer = JournalWriter::open(&folder.0, options(BOOT), 8).expect("set aside");
        assert!(matches!(writer.opening(), Opening::SetAside { .. }), "{:?}", writer.opening());
        assert_eq!((folder.files(".journal~"), folder.files(".journal")), (2, 1));
    }
}
