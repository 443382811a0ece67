//! Writing mailboxes: mbox with both locks, Maildir (`local(8)`, `maildir(5)`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Zoned;
use sys::file::OpenHow;

use crate::protocol::{Attempt, Leaf};

/// How long another program may hold a mailbox before the delivery is put off.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Age of a lock file whose owner must have died (`stale_lock_time` of postfix).
const STALE_LOCK: Duration = Duration::from_secs(500);

/// Appends messages to one mbox: one lock, one write, one sync. One attempt for each leaf, in order.
pub fn append_mbox(path: &Path, batch: &[(&Leaf, &[u8])], now: &Zoned) -> Vec<Attempt> {
    let put_off = |error: &io::Error| -> Vec<Attempt> {
        let (temporary, dsn) = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (true, "4.2.2"),
            io::ErrorKind::WouldBlock => (true, "4.2.0"),
            io::ErrorKind::InvalidInput => (false, "5.2.0"),
            _ => (true, "4.3.0"),
        };
        let text = format!("cannot update mailbox {}: {}", path.display(), explain(error));
        batch
            .iter()
            .map(|(leaf, _)| Attempt::failed(leaf.index, temporary, dsn, text.as_str(), "local"))
            .collect()
    };
    match try_append(path, batch, now) {
        Ok(attempts) => attempts,
        Err(error) => put_off(&error),
    }
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock => "another program holds its lock".to_owned(),
        _ => error.to_string(),
    }
}

fn try_append(path: &Path, batch: &[(&Leaf, &[u8])], now: &Zoned) -> io::Result<Vec<Attempt>> {
    let invalid = |text: &'static str| io::Error::new(io::ErrorKind::InvalidInput, text);
    let (Some(dir_path), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(invalid("no file name"));
    };
    std::sync::LazyLock::force(&STARTED);
    let is_new = match std::fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return discard_device(path, batch, &found),
        Ok(_) => false,
        Err(e) if e.kind() == io::ErrorKind::NotFound => true,
        Err(e) => return Err(e),
    };
    if is_new {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir_path)?;
    }
    let dir = File::open(dir_path)?;
    let mut file = sys::file::open_beneath(&dir, Path::new(name), OpenHow { append_mode: Some(0o600) })?;
    let mut reader = sys::file::open_beneath(&dir, Path::new(name), OpenHow { append_mode: None })?;
    let found = file.metadata()?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(invalid("it is no plain file with one name"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(invalid("everybody may write to it"));
    }
    let deadline = Instant::now() + LOCK_PATIENCE;
    lock(&file, deadline)?;
    let _dotlock = Dotlock::take(path, deadline)?;
    let size = file.metadata()?.len();
    let mut content = separation(&mut reader, size)?;
    let mut attempts = Vec::with_capacity(batch.len());
    for (leaf, message) in batch {
        let before = content.len();
        let mut extra =
            vec![("Return-Path", format!("<{}>", leaf.sender)), ("X-Original-To", leaf.original.clone())];
        extra.push(("Delivered-To", leaf.address.clone()));
        let extra: Vec<(&str, &str)> = extra.iter().map(|(n, v)| (*n, v.as_str())).collect();
        message::mbox::write_entry(&mut content, &leaf.sender, now, &extra, message);
        if leaf.size_limit > 0 && size + content.len() as u64 > leaf.size_limit {
            content.truncate(before);
            let text = format!("the mailbox {} is full (limit {} octets)", path.display(), leaf.size_limit);
            attempts.push(Attempt::failed(leaf.index, false, "5.2.2", text, "local"));
        } else {
            let mailbox = Some(path.to_string_lossy().into_owned());
            attempts.push(Attempt::sent(leaf.index, "delivered to mailbox", "local", mailbox));
        }
    }
    if let Err(error) = file.write_all(&content).and_then(|()| file.sync_data()) {
        // What stands there half must not be read as a message.
        file.set_len(size).and_then(|()| file.sync_data()).ok();
        return Err(error);
    }
    if is_new {
        dir.sync_all()?;
    }
    Ok(attempts)
}

/// `/dev/null` and its like, which aliases use to throw mail away.
fn discard_device(
    path: &Path,
    batch: &[(&Leaf, &[u8])],
    found: &std::fs::Metadata,
) -> io::Result<Vec<Attempt>> {
    use std::os::unix::fs::FileTypeExt;
    if path != Path::new("/dev/null") || !found.file_type().is_char_device() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file"));
    }
    let sent = |leaf: &Leaf| Attempt::sent(leaf.index, "delivered to file: /dev/null", "local", None);
    Ok(batch.iter().map(|(leaf, _)| sent(leaf)).collect())
}

/// What must stand before a new message so that it begins after a blank line, even behind a torn one.
fn separation(reader: &mut File, size: u64) -> io::Result<Vec<u8>> {
    if size == 0 {
        return Ok(Vec::new());
    }
    reader.seek(SeekFrom::Start(size.saturating_sub(2)))?;
    let mut last = Vec::new();
    reader.take(2).read_to_end(&mut last)?;
    Ok(match last.as_slice() {
        [b'\n', b'\n'] | [b'\n'] => Vec::new(),
        [_, b'\n'] => b"\n".to_vec(),
        _ => b"\n\n".to_vec(),
    })
}

fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        match sys::file::fcntl_lock_exclusive(file, false) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                std::thread::sleep(LOCK_PAUSE);
            }
            other => return other,
        }
    }
}

/// `MAILBOX.lock`, where we may make it: the rights of the directory decide, as for other delivery programs.
struct Dotlock(Option<PathBuf>);

impl Dotlock {
    fn take(mailbox: &Path, deadline: Instant) -> io::Result<Self> {
        let mut name = mailbox.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        loop {
            match make_lock(&path) {
                Ok(()) => return Ok(Self(Some(path))),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    let age = std::fs::symlink_metadata(&path).and_then(|m| m.modified()).ok();
                    if age.and_then(|t| t.elapsed().ok()).is_some_and(|age| age > STALE_LOCK)
                        || own_leftover(&path)
                    {
                        std::fs::remove_file(&path).ok();
                    } else if Instant::now() >= deadline {
                        return Err(io::ErrorKind::WouldBlock.into());
                    } else {
                        std::thread::sleep(LOCK_PAUSE);
                    }
                }
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                    ) =>
                {
                    return Ok(Self(None));
                }
                Err(e) => return Err(e),
            }
        }
    }
}

/// Makes the lock file with the process id in it, or not at all: an empty one, left by a kill between its making and its writing,
/// would hold the mailbox until [`STALE_LOCK`]. The caller has the mailbox's other lock, so only one of us uses the name beside it.
fn make_lock(path: &Path) -> io::Result<()> {
    let text = format!("{}\n", std::process::id());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // Of a process that was killed here.
    std::fs::remove_file(&beside).ok();
    let create = |path: &Path| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())
    };
    let made = create(&beside).and_then(|()| std::fs::hard_link(&beside, path));
    std::fs::remove_file(&beside).ok();
    match made {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.symlink_metadata().is_ok() => Err(e),
        // No room for the id, a file system without hard links, or a name that somebody else has: the lock alone must do.
        Err(_) => create(path).inspect_err(|e| {
            // Ours, and of no use without its id.
            if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                std::fs::remove_file(path).ok();
            }
        }),
    }
}

/// True if the lock names a process that does not live any more: of a daemon that was killed in a delivery.
fn own_leftover(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let older = || std::fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|at| at < *STARTED);
    let gone = |pid: u32| match pid == std::process::id() {
        // In a container a daemon may get the number of the one that was killed.
        true => older(),
        false => sys::signal::send(pid, 0).is_err_and(|e| e.raw_os_error() == Some(ESRCH)),
    };
    text.trim().parse().is_ok_and(gone)
}

/// When this process began to deliver.
static STARTED: std::sync::LazyLock<std::time::SystemTime> =
    std::sync::LazyLock::new(std::time::SystemTime::now);

/// "No such process" (`errno(3)` on Linux).
const ESRCH: i32 = 3;

impl Drop for Dotlock {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Puts messages into a Maildir: each written and synced in `tmp`, renamed to `new`; `new` is synced once.
pub fn deliver_maildir(dir: &Path, batch: &[(&Leaf, &[u8])], host: &str, serial: &mut u64) -> Vec<Attempt> {
    let prepared = ["tmp", "new", "cur"]
        .iter()
        .try_for_each(|sub| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.join(sub)));
    let mut attempts = Vec::new();
    for (leaf, message) in batch {
        *serial += 1;
        let result = match &prepared {
            Ok(()) => put_maildir(dir, leaf, message, host, *serial),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        };
        attempts.push(match result {
            Ok(path) => {
                let path = Some(path.to_string_lossy().into_owned());
                Attempt::sent(leaf.index, "delivered to maildir", "local", path)
            }
            Err(e) => {
                let text = format!("cannot deliver to {}: {e}", dir.display());
                Attempt::failed(leaf.index, true, "4.2.0", text, "local")
            }
        });
    }
    if let Err(e) = sys::file::sync_dir(&dir.join("new")) {
        for attempt in &mut attempts {
            *attempt = Attempt::failed(
                attempt.index,
                true,
                "4.3.0",
                format!("cannot sync {}: {e}", dir.display()),
                "local",
            );
        }
    }
    attempts
}

fn put_maildir(dir: &Path, leaf: &Leaf, message: &[u8], host: &str, serial: u64) -> io::Result<PathBuf> {
    let usec = u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0);
    let (seconds, micros, pid) = (usec / 1_000_000, usec % 1_000_000, std::process::id());
    let host: String = host.chars().map(|c| if matches!(c, '/' | ':') { '_' } else { c }).collect();
    let name = format!("{seconds}.M{micros}P{pid}Q{serial}.{host}");
    let tmp = dir.join("tmp").join(&name);
    let result = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&tmp)?;
        let mut content = format!(
            "Return-Path: <{}>\nX-Original-To: {}\nDelivered-To: {}\n",
            message::header_value(&leaf.sender),
            message::header_value(&leaf.original),
            message::header_value(&leaf.address)
        )
        .into_bytes();
        content.extend_from_slice(&message::to_lf(message));
        file.write_all(&content)?;
        file.sync_data()?;
        let new = dir.join("new").join(&name);
        std::fs::rename(&tmp, &new)?;
        Ok(new)
    })();
    if result.is_err() {
        std::fs::remove_file(&tmp).ok();
    }
    result
}
