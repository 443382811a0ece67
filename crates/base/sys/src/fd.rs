//! What applies to any descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::check;

/// Switches `O_NONBLOCK`.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: F_GETFL and F_SETFL take no pointers.
    unsafe {
        let flags = check(libc::fcntl(raw, libc::F_GETFL))?;
        let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
        check(libc::fcntl(raw, libc::F_SETFL, flags)).map(drop)
    }
}

/// Switches `FD_CLOEXEC`: off, so that a child started next inherits the descriptor.
pub fn set_cloexec(fd: impl AsFd, on: bool) -> io::Result<()> {
    let flag = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes no pointer.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETFD, flag) }).map(drop)
}

/// Takes over a descriptor that whoever started this process left open under this number, so that children do not inherit it. To be
/// called before the process opens anything that could have the number; standard streams stay open under theirs. A number under which
/// nothing is open is an error.
pub fn take_inherited(number: u32) -> io::Result<std::fs::File> {
    let raw = i32::try_from(number).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: F_DUPFD_CLOEXEC takes no pointers; the new descriptor is ours.
    let taken = unsafe { OwnedFd::from_raw_fd(check(libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 3))?) };
    if raw > libc::STDERR_FILENO {
        // SAFETY: no pointers; nothing of this process has the descriptor, which was there before it.
        check(unsafe { libc::close(raw) })?;
    }
    Ok(taken.into())
}

/// A counter that wakes another thread's `poll(2)` (`eventfd(2)`).
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// A new waker.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the new descriptor is ours.
        let raw = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: see above.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(raw) }))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        let one: u64 = 1;
        // SAFETY: eight live bytes. The write fails only when the counter is full, which wakes as well.
        unsafe { libc::write(self.0.as_raw_fd(), std::ptr::from_ref(&one).cast(), 8) };
    }

    /// Makes the descriptor quiet again.
    pub fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: eight live bytes.
        unsafe { libc::read(self.0.as_raw_fd(), std::ptr::from_mut(&mut count).cast(), 8) };
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Borrows a descriptor that somebody else owns and has promised to keep open while it is registered with a poller. `poll(2)`
/// on a closed descriptor reports `closed` and does no harm; nothing but polling may be done with the result.
pub fn borrow_registered(raw: std::os::fd::RawFd) -> BorrowedFd<'static> {
    // SAFETY: a BorrowedFd only must not be -1; its use is limited to poll(2), which tolerates closed descriptors.
    unsafe { BorrowedFd::borrow_raw(raw.max(0)) }
}

/// Standard input, output and error become copies of `fd`: what a daemon does with the terminal it came from.
pub fn replace_standard_streams(fd: impl AsFd) -> io::Result<()> {
    for stream in 0..3 {
        // SAFETY: dup2 takes no pointers; the standard streams are never owned by a Rust value that closes them.
        check(unsafe { libc::dup2(fd.as_fd().as_raw_fd(), stream) })?;
    }
    Ok(())
}

/// Closes every descriptor from `first` on, whoever opened it: for the very beginning of a process, which owns none of them yet
/// and has been left what its starter forgot. A kernel without the call (`close_range(2)`, before Linux 5.9) keeps them open.
pub fn close_inherited(first: u32) {
    // SAFETY: no pointers; by the contract above no Rust value owns one of them.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
}
