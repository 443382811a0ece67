//! Waking when a folder or file changes (`inotify(7)`).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::{check, check_len};

/// Watches paths; readable when something happened.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    /// A watcher of nothing yet; it does not block.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the new descriptor is ours.
        let raw = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: see above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Watches `path` for anything that changes content, size or names: modify, attributes, create, delete, move, close
    /// after writing. A truncation to the same size counts, which is how journal writers wake their readers.
    pub fn watch(&self, path: &Path) -> io::Result<()> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mask = libc::IN_MODIFY
            | libc::IN_ATTRIB
            | libc::IN_CREATE
            | libc::IN_DELETE
            | libc::IN_MOVE
            | libc::IN_CLOSE_WRITE
            | libc::IN_DELETE_SELF
            | libc::IN_MOVE_SELF;
        // SAFETY: the path is live and ends in NUL.
        check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) }).map(drop)
    }

    /// Reads away what happened; true when something did. The events themselves are not told: look at the folder.
    pub fn drain(&self) -> io::Result<bool> {
        let mut any = false;
        let mut buffer = [0u8; 4096];
        loop {
            // SAFETY: the buffer is ours and as long as said.
            match check_len(unsafe {
                libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
            }) {
                Ok(0) => return Ok(any),
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
