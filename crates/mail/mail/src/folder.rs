//! An mbox file: read once, written back under its locks with what arrived meanwhile.

use message::{Summary, field, fields, mbox};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long another program may hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// A dot lock that is older belongs to a program that died.
const LOCK_STALE: Duration = Duration::from_secs(600);

/// What was done to a message in this session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    /// It was there before this session (`Status: O`).
    pub(crate) old: bool,
    /// It was shown, now or before (`Status: R`).
    pub(crate) read: bool,
    pub(crate) deleted: bool,
    /// Written to another file.
    pub(crate) saved: bool,
    /// To stay in the system mailbox.
    pub(crate) preserved: bool,
    /// To go to the mbox file though it was not read.
    pub(crate) mboxed: bool,
}

/// One message of a folder.
#[derive(Debug)]
pub(crate) struct Message {
    range: Range<usize>,
    edited: Option<Vec<u8>>,
    pub(crate) flags: Flags,
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    /// Whether read messages leave it for the mbox file.
    pub(crate) is_system: bool,
    pub(crate) messages: Vec<Message>,
    content: Vec<u8>,
}

impl Folder {
    /// Reads a folder; a system mailbox that does not exist is empty.
    pub(crate) fn open(path: &Path, is_system: bool) -> io::Result<Self> {
        let rescue = rescue_path(path);
        if rescue.exists() {
            eprintln!(
                "{}: an earlier session was cut off while it wrote; what it meant to write is in {}",
                path.display(),
                rescue.display()
            );
        }
        let content = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_system => Vec::new(),
            Err(error) => return Err(error),
            Ok(file) if !file.metadata()?.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
            }
            Ok(file) => {
                let lock = Lock::take(path, file)?;
                let mut content = Vec::new();
                (&lock.file).read_to_end(&mut content)?;
                content
            }
        };
        let mut folder = Self { path: path.to_path_buf(), is_system, messages: Vec::new(), content };
        folder.find_messages(0);
        Ok(folder)
    }

    /// Takes up what arrived since it was read: how many messages that are.
    pub(crate) fn incorporate(&mut self) -> io::Result<usize> {
        let file = File::open(&self.path)?;
        if file.metadata()?.len() <= self.content.len() as u64 {
            return Ok(0);
        }
        let lock = Lock::take(&self.path, file)?;
        let mut now = Vec::new();
        (&lock.file).read_to_end(&mut now)?;
        if !now.starts_with(&self.content) {
            return Err(changed());
        }
        let (before, known) = (self.messages.len(), self.content.len());
        self.content = now;
        self.find_messages(known);
        Ok(self.messages.len() - before)
    }

    fn find_messages(&mut self, from: usize) {
        for range in mbox::split(self.content.get(from..).unwrap_or_default()) {
            let range = range.start + from..range.end + from;
            let status =
                field(self.content.get(range.clone()).unwrap_or_default(), "status").unwrap_or_default();
            let flags = Flags { old: status.contains('O'), read: status.contains('R'), ..Flags::default() };
            self.messages.push(Message { range, edited: None, flags });
        }
    }

    /// A message with its `From ` line.
    pub(crate) fn text(&self, at: usize) -> &[u8] {
        match self.messages.get(at) {
            Some(Message { edited: Some(text), .. }) => text,
            Some(message) => self.content.get(message.range.clone()).unwrap_or_default(),
            None => &[],
        }
    }

    /// Puts an edited text in a message's place. A text that is no message (it lost its `From ` line) is refused.
    pub(crate) fn replace(&mut self, at: usize, mut text: Vec<u8>) -> bool {
        while !text.ends_with(b"\n\n") {
            text.push(b'\n');
        }
        if mbox::split(&text).first().is_none_or(|range| *range != (0..text.len())) {
            return false;
        }
        match self.messages.get_mut(at) {
            Some(message) => message.edited = Some(text),
            None => return false,
        }
        true
    }

    pub(crate) fn flags(&self, at: usize) -> Flags {
        self.messages.get(at).map(|message| message.flags).unwrap_or_default()
    }

    pub(crate) fn flags_mut(&mut self, at: usize) -> Option<&mut Flags> {
        self.messages.get_mut(at).map(|message| &mut message.flags)
    }

    pub(crate) fn summary(&self, at: usize) -> Summary {
        Summary::of(self.text(at))
    }

    /// A message as it is kept: its text with the Status field that it now deserves.
    pub(crate) fn kept(&self, at: usize) -> Vec<u8> {
        let flags = self.flags(at);
        with_status(self.text(at), if flags.read { "RO" } else { "O" })
    }

    /// Writes the folder back without the messages that are not in `keep`. What arrived since it was read stays.
    pub(crate) fn write_back(&mut self, keep: &[usize], remove_when_empty: bool) -> io::Result<()> {
        let file = match File::options().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.messages.is_empty() => {
                return Ok(());
            }
            other => other?,
        };
        let mut lock = Lock::take(&self.path, file)?;
        let mut now = Vec::new();
        lock.file.read_to_end(&mut now)?;
        let arrived = now.strip_prefix(self.content.as_slice()).ok_or_else(changed)?;
        let first = self.messages.first().map_or(self.content.len(), |message| message.range.start);
        // Text before the first message belongs to nobody and stays.
        let mut new = self.content.get(..first).unwrap_or_default().to_vec();
        for &at in keep {
            new.extend_from_slice(&self.kept(at));
        }
        new.extend_from_slice(arrived);
        if new == now {
            return Ok(());
        }
        if new.is_empty() && remove_when_empty {
            return std::fs::remove_file(&self.path);
        }
        // The file is written in its place, because a program that waits for the lock has it open already; the copy
        // beside it is there for the case that this one is cut off in the middle.
        let rescue = rescue_path(&self.path);
        let rescued = sys::file::replace(&rescue, &new, 0o600);
        let same = new.iter().zip(&now).take_while(|(a, b)| a == b).count();
        lock.file.seek(SeekFrom::Start(same as u64))?;
        lock.file.write_all(new.get(same..).unwrap_or_default())?;
        lock.file.set_len(new.len() as u64)?;
        lock.file.sync_all()?;
        if rescued.is_ok() {
            let _ = std::fs::remove_file(&rescue);
        }
        Ok(())
    }
}

/// Appends to a file under its locks, synced; true when the file is new.
pub(crate) fn append(path: &Path, text: &[u8]) -> io::Result<bool> {
    let existed = path.exists();
    let file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        // A terminal or a named pipe is written to and neither locked nor synced.
        (&file).write_all(text)?;
        return Ok(false);
    }
    let mut lock = Lock::take(path, file)?;
    let length = lock.file.metadata()?.len();
    let result = lock.file.write_all(text).and_then(|()| lock.file.sync_all());
    if result.is_err() {
        // A half message would be read as the beginning of the next one.
        let _ = lock.file.set_len(length);
    }
    result.map(|()| !existed)
}

/// The text with its Status field set, where it differs.
pub(crate) fn with_status(text: &[u8], status: &str) -> Vec<u8> {
    if field(text, "status").as_deref() == Some(status) {
        return text.to_vec();
    }
    let mut out = message::without_fields(text, &["status"]);
    let end = fields(&out).last().map(|f| f.span.end);
    let end = end.unwrap_or_else(|| out.iter().position(|&b| b == b'\n').map_or(out.len(), |at| at + 1));
    let line = format!("Status: {status}\n");
    out.splice(end..end, line.bytes());
    out
}

fn changed() -> io::Error {
    io::Error::other("another program has changed it; nothing was written")
}

/// Where the new content stands while the file is written: beside it, or in the home directory where that folder
/// belongs to somebody else.
fn rescue_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".mail-rescue");
    let beside = path.with_file_name(&name);
    let folder = beside.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = std::fs::metadata(folder)
        .is_ok_and(|m| m.uid() == sys::process::effective_uid() || m.permissions().mode() & 0o002 != 0);
    match std::env::var_os("HOME") {
        Some(home) if !own => PathBuf::from(home).join(name),
        _ => beside,
    }
}

/// The locks of a mailbox: the dot file, where its folder lets us make one, and the record lock.
struct Lock {
    file: File,
    dot: Option<PathBuf>,
}

impl Lock {
    fn take(path: &Path, file: File) -> io::Result<Self> {
        let mut dot = path.as_os_str().to_owned();
        dot.push(".lock");
        let dot = PathBuf::from(dot);
        let steps = LOCK_PATIENCE.as_millis() / 100;
        let mut made = None;
        for step in 0..=steps {
            match File::options().write(true).create_new(true).mode(0o444).open(&dot) {
                Ok(mut file) => {
                    // Whose it is: the daemon takes the lock of a process that was killed away.
                    let _ = writeln!(file, "{}", std::process::id());
                    made = Some(dot.clone());
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let age = std::fs::metadata(&dot)
                        .and_then(|m| m.modified())
                        .ok()
                        .and_then(|t| t.elapsed().ok());
                    if age.is_some_and(|age| age > LOCK_STALE) {
                        let _ = std::fs::remove_file(&dot);
                    } else if step == steps {
                        return Err(locked(&dot));
                    } else {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
                // Most users cannot write to /var/mail itself; the record lock holds without it.
                Err(_) => break,
            }
        }
        let lock = Self { file, dot: made };
        for step in 0..=steps {
            match sys::file::fcntl_lock_exclusive(&lock.file, false) {
                Ok(()) => break,
                // A file that is open for reading only cannot have a write lock: the dot lock has to do.
                Err(error) if error.raw_os_error() == Some(EBADF) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) if step == steps => return Err(locked(path)),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        Ok(lock)
    }
}

/// `EBADF` of Linux, which `fcntl(2)` gives for a write lock on a file that is open for reading.
const EBADF: i32 = 9;

fn locked(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, format!("{} is locked by another program", path.display()))
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(dot) = &self.dot {
            let _ = std::fs::remove_file(dot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: usize) -> String {
        format!("From u@h Sun Nov 22 16:24:35 2026\nSubject: s{at}\n\nbody {at}\n\n")
    }

    /// A folder in a file of its own, which the test removes.
    fn with_folder(check: impl FnOnce(&Path)) {
        let dir = std::env::temp_dir().join(format!("mail-folder-{:x}", sys::random::u64()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("box");
        std::fs::write(&path, (1..=3).map(entry).collect::<String>()).unwrap();
        check(&path);
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// Goal: what arrives while a folder is open is kept, and what was deleted is gone.
    #[test]
    fn mail_that_arrives_meanwhile_is_kept() {
        with_folder(|path| {
            let mut folder = Folder::open(path, true).unwrap();
            folder.flags_mut(0).unwrap().read = true;
            append(path, entry(4).as_bytes()).unwrap();
            folder.write_back(&[0, 2], true).unwrap();
            let now = std::fs::read_to_string(path).unwrap();
            let status = |at: usize, status: &str| {
                entry(at).replace("\n\nbody", &format!("\nStatus: {status}\n\nbody"))
            };
            assert_eq!(now, status(1, "RO") + &status(3, "O") + &entry(4));
            assert_eq!(
                std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
                1,
                "no lock or copy is left"
            );
            // The same content again is not written.
            let mut folder = Folder::open(path, true).unwrap();
            assert_eq!(folder.flags(0), Flags { old: true, read: true, ..Flags::default() });
            folder.write_back(&[], true).unwrap();
            assert!(!path.exists());
        });
    }

    /// Goal: a folder that another program rewrote is left alone.
    #[test]
    fn a_changed_folder_is_left_alone() {
        with_folder(|path| {
            let mut folder = Folder::open(path, true).unwrap();
            std::fs::write(path, entry(9)).unwrap();
            assert!(folder.write_back(&[], true).is_err());
            assert_eq!(std::fs::read_to_string(path).unwrap(), entry(9));
        });
    }

    /// Goal: new messages are taken up without renumbering, and an edited message must stay one.
    #[test]
    fn messages_are_incorporated_and_replaced() {
        with_folder(|path| {
            let mut folder = Folder::open(path, true).unwrap();
            append(path, entry(4).as_bytes()).unwrap();
            assert_eq!(folder.incorporate().unwrap(), 1);
            assert_eq!(folder.summary(3).subject, "s4");
            assert!(!folder.replace(1, b"no message".to_vec()));
            assert!(!folder.replace(1, (entry(1) + &entry(2)).into_bytes()));
            assert!(folder.replace(1, entry(7).trim_end().into()));
            folder.write_back(&[0, 1, 2, 3], true).unwrap();
            let again = Folder::open(path, true).unwrap();
            let subjects: Vec<String> = (0..4).map(|at| again.summary(at).subject).collect();
            assert_eq!(subjects, ["s1", "s7", "s3", "s4"]);
        });
    }
}
