//! Files: locks, space, directories, and paths that must not leave a folder.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::check;

/// Makes the names in a directory durable: a file that was created or renamed in it is found after a power cut.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Whether `path` is a directory, through `stat(2)`'s own symbol, which simulators of the C library replace.
pub fn is_dir(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: stat is a plain C structure for which zeroes are valid; both pointers are live during the call.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        libc::stat(path.as_ptr(), &mut stat) == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFDIR
    }
}

/// Replaces `path` by `content` so that after a power cut either the old or the new content is there: written beside it,
/// synced, renamed, and the directory synced.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_os_string();
    name.push(format!(".new-{}", std::process::id()));
    let beside = dir.join(name);
    // What stands there is a crash's rest, or somebody's trap: a file of our own is made in any case.
    let _ = std::fs::remove_file(&beside);
    let result = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        sync_dir(dir)
    })();
    if result.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    result
}

/// Opens a file to append to, made with `mode` where it is missing. A symbolic link in its place is an error: a log's folder may belong
/// to a less trusted user than the one who writes. A pipe that nobody reads is one too, and one that is full refuses: whoever writes a
/// log is not held by who should read it.
pub fn append(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    std::fs::OpenOptions::new().append(true).create(true).mode(mode).custom_flags(flags).open(path)
}

/// A whole file. One of more than `bytes_max` bytes is an error, as is at once, instead of a wait for ever, what is no file: a pipe,
/// a socket, a folder. (A device is read up to the limit, so that `/dev/null` is an empty file.)
pub fn read_bounded(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !kind.is_file() && !kind.is_char_device() {
        return Err(io::Error::other("it is a pipe or socket, not a file"));
    }
    let too_large =
        || io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {bytes_max} bytes"));
    // Nothing of such a file is read: it may be larger than the memory.
    if metadata.len() > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(too_large()) } else { Ok(bytes) }
}

/// The same as text; bytes that are none become replacement characters.
pub fn read_text_bounded(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = read_bounded(path, bytes_max)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// Opens a file to read it piece by piece. A pipe in its place holds nobody: it is open at once, and reading it by offset fails.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// Opens a device to read, with `writes` also to write, and never waits for it: what is no device is an error that says what it is. By
/// `open(2)`, where `std` takes `open64`: simulators of the C library have the one alone. Children do not inherit it.
pub fn open_device(path: &Path, writes: bool) -> io::Result<File> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // A pipe would wait for its other end, a line for its carrier.
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let flags = flags | if writes { libc::O_RDWR } else { libc::O_RDONLY };
    // SAFETY: a C string that outlives the call; the new descriptor is ours.
    let file = unsafe { File::from_raw_fd(check(libc::open(name.as_ptr(), flags))?) };
    // SAFETY: stat is a plain C structure for which zeroes are valid; the pointer is live during the call.
    let (known, kind) = unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        let known = check(libc::fstat(file.as_raw_fd(), &mut stat));
        (known, stat.st_mode & libc::S_IFMT)
    };
    // A simulator's device is no descriptor of the kernel's: nothing is known of it.
    let is_simulated = known.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF));
    if kind != libc::S_IFCHR && !is_simulated {
        let what = match kind {
            libc::S_IFIFO => "a pipe",
            libc::S_IFREG => "a file",
            libc::S_IFDIR => "a folder",
            libc::S_IFBLK => "a disk",
            _ => "something else",
        };
        let why = format!("it is {what}, not a device such as /dev/rtc0, /dev/pps0 or /dev/ptp0");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    // From here on reading waits for what the device has to tell, as its users expect.
    // SAFETY: no pointers; what fails leaves a descriptor that does not wait.
    let _ = check(unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
    });
    Ok(file)
}

/// Takes the whole-file lock of `flock(2)`; `WouldBlock` when somebody has it and `wait` is false.
pub fn flock_exclusive(file: impl AsFd, wait: bool) -> io::Result<()> {
    let operation = libc::LOCK_EX | if wait { 0 } else { libc::LOCK_NB };
    // SAFETY: no pointers.
    check(unsafe { libc::flock(file.as_fd().as_raw_fd(), operation) }).map(drop)
}

/// Takes the POSIX record lock over the whole file (`fcntl(2)`), which mail programs use on mailboxes; `WouldBlock` when
/// somebody has it and `wait` is false. The lock goes when *any* descriptor of the file in this process is closed.
pub fn fcntl_lock_exclusive(file: impl AsFd, wait: bool) -> io::Result<()> {
    // SAFETY: flock is a plain C structure; the pointer to it is live during the call.
    unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        let command = if wait { libc::F_SETLKW } else { libc::F_SETLK };
        match check(libc::fcntl(file.as_fd().as_raw_fd(), command, &lock)) {
            Err(error) if error.raw_os_error() == Some(libc::EACCES) => Err(io::ErrorKind::WouldBlock.into()),
            other => other.map(drop),
        }
    }
}

/// Reserves space so that later writes up to `offset + length` do not fail for want of it (`posix_fallocate(3)`).
pub fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let too_big = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let offset = libc::off_t::try_from(offset).map_err(too_big)?;
    let length = libc::off_t::try_from(length).map_err(too_big)?;
    // SAFETY: no pointers.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), offset, length) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// How a file is opened by [`open_beneath`].
#[derive(Debug, Clone, Copy)]
pub struct OpenHow {
    /// Open for appending, creating the file with this mode when it is missing; else for reading.
    pub append_mode: Option<u32>,
}

/// Opens `path`, relative to `dir`, refusing to leave `dir` by `..`, an absolute path or a link (`openat2(2)` with
/// `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`): for every path that is made from data.
pub fn open_beneath(dir: &File, path: &Path, how: OpenHow) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: open_how is a plain C structure of integers.
    let mut open: libc::open_how = unsafe { std::mem::zeroed() };
    // Nobody waits for the other end of a pipe that somebody put there; a plain file does not know the flag.
    let mut flags = libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    match how.append_mode {
        Some(mode) => {
            flags |= libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT;
            open.mode = u64::from(mode);
        }
        None => flags |= libc::O_RDONLY,
    }
    open.flags = u64::try_from(flags).unwrap_or(0);
    open.resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    // SAFETY: the path and the structure are live; libc has no function for openat2, so the system call is made by number.
    let raw = unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir.as_raw_fd(),
            path.as_ptr(),
            std::ptr::from_ref(&open),
            std::mem::size_of::<libc::open_how>(),
        )
    };
    let raw = check(libc::c_int::try_from(raw).unwrap_or(-1))?;
    // SAFETY: the kernel gave us this new descriptor.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// Free and total bytes of the file system that holds `path`, as an unprivileged writer sees them (`statvfs(3)`).
pub fn space(path: &Path) -> io::Result<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: statvfs is a plain C structure; both pointers are live.
    unsafe {
        let mut info: libc::statvfs = std::mem::zeroed();
        check(libc::statvfs(path.as_ptr(), &mut info))?;
        Ok((info.f_bavail * info.f_frsize, info.f_blocks * info.f_frsize))
    }
}

/// Sets the mask of permission bits that new files do not get; returns the old one.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: umask cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a path made from data never leaves its folder. Method: the usual ways out.
    #[test]
    fn a_path_stays_beneath_its_folder() {
        let dir = std::env::temp_dir().join(format!("sys-beneath-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("link")).unwrap();
        let open = File::open(&dir).unwrap();
        let how = OpenHow { append_mode: Some(0o600) };
        assert!(open_beneath(&open, Path::new("sub/ok.log"), how).is_ok());
        for bad in ["../x", "/etc/x", "link/x", "sub/../../x"] {
            assert!(open_beneath(&open, Path::new(bad), how).is_err(), "{bad}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// Goal: nothing that stands in a file's place holds its reader or writer or fills memory: a pipe with and without another end, a
    /// folder, a device without an end, a file that is too large.
    #[test]
    fn what_is_no_file_holds_nobody() {
        use std::os::unix::fs::OpenOptionsExt;
        let dir = std::env::temp_dir().join(format!("sys-bounded-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let pipe = dir.join("pipe");
        let name = CString::new(pipe.as_os_str().as_bytes()).unwrap();
        // SAFETY: a C string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert!(read_bounded(&pipe, 10).is_err());
        assert!(open_device(&pipe, false).unwrap_err().to_string().contains("pipe"));
        let open = open_to_read(&pipe).unwrap();
        assert!(std::os::unix::fs::FileExt::read_at(&open, &mut [0], 0).is_err());
        drop(open);
        assert!(append(&pipe, 0o600).is_err(), "nobody reads it");
        let other_end = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .unwrap();
        assert!(read_bounded(&pipe, 10).is_err());
        let mut writer = append(&pipe, 0o600).unwrap();
        let full = (0..10_000).find_map(|_| std::io::Write::write_all(&mut writer, &[0; 4096]).err());
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        drop(other_end);
        assert_eq!(read_bounded(&dir, 10).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read_bounded(Path::new("/dev/zero"), 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(Path::new("/dev/null"), 10).unwrap(), b"");
        for (place, what) in [(&pipe, "a pipe"), (&dir, "a folder")] {
            let error = open_device(place, false).unwrap_err();
            assert!(error.to_string().starts_with(&format!("it is {what}, not a device")), "{error}");
        }
        assert!(open_device(&pipe, true).is_err());
        assert!(
            open_device(&dir.join("nothing"), true).is_err_and(|one| one.kind() == io::ErrorKind::NotFound)
        );
        let device = open_device(Path::new("/dev/null"), true).unwrap();
        // SAFETY: no pointers.
        let flags = unsafe { libc::fcntl(device.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        std::fs::write(dir.join("ten"), [b'1', 0xff, b'3', b'4', b'5', b'6', b'7', b'8', b'9', b'0'])
            .unwrap();
        assert_eq!(read_text_bounded(&dir.join("ten"), 10).unwrap(), "1\u{fffd}34567890");
        assert_eq!(read_bounded(&dir.join("ten"), 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // A file of a terabyte without a byte in it.
        File::create(dir.join("huge")).unwrap().set_len(1 << 40).unwrap();
        let begun = std::time::Instant::now();
        let error = read_bounded(&dir.join("huge"), 1 << 36).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "it was read");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// Goal: a replaced file holds the new content and nothing is left beside it.
    #[test]
    fn replace_leaves_one_file() {
        let dir = std::env::temp_dir().join(format!("sys-replace-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        replace(&dir.join("a"), b"one", 0o600).unwrap();
        replace(&dir.join("a"), b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(dir.join("a")).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
