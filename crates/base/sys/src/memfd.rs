//! Memory passed as a descriptor (`memfd_create(2)`), with which large journal entries travel.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use crate::check;

/// A new memory file that can be sealed.
pub fn create() -> io::Result<File> {
    // SAFETY: the name is a static string that ends in NUL; the new descriptor is ours.
    let raw = check(unsafe {
        libc::memfd_create(c"journal-entry".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    })?;
    // SAFETY: see above.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(raw) }))
}

/// Seals the file: it can neither shrink, grow, be written nor be unsealed.
pub fn seal(file: impl AsFd) -> io::Result<()> {
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: F_ADD_SEALS takes no pointer.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_ADD_SEALS, seals) }).map(drop)
}

/// Whether the file can neither shrink, grow nor be written any more; false for what is no memory file.
pub fn is_sealed(file: impl AsFd) -> bool {
    let wanted = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: F_GET_SEALS takes no pointer.
    let seals = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & wanted == wanted
}
