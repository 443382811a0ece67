//! The only crate with unsafe code: safe wrappers over the C library.
//!
//! For: what `std` does not offer and the daemons need: the kernel's clock state, datagrams in batches with their
//! credentials and timestamps, `poll(2)`, signals, dropping privilege, locks, `inotify(7)`, users.
//!
//! Always: every call goes through a libc symbol, never a raw system call where libc has a function, so that programs run
//! under simulators that replace those symbols. Errors are `std::io::Error` with the kernel's number.
//!
//! Never: it knows no protocol, no file format and no service; it never sets the clock while the environment variable
//! `BANTO_CLOCK_READ_ONLY` is set.

pub mod calls;
pub mod card;
pub mod clock;
pub mod fd;
pub mod file;
pub mod host;
pub mod inotify;
pub mod memfd;
pub mod memory;
pub mod names;
pub mod poll;
pub mod pps;
pub mod process;
pub mod ptp;
pub mod random;
pub mod rtc;
pub mod schedule;
pub mod shm;
pub mod signal;
pub mod socket;
pub mod socket_scope;
pub mod terminal;
pub mod user;

use std::io;

/// The result of a libc call that says failure with -1.
pub(crate) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The result of a libc call that counts bytes or messages and says failure with -1.
pub(crate) fn check_len(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
