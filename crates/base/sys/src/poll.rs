//! `poll(2)`.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// What to wait for on a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// Something can be read, or a connection accepted.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
    /// Exceptional data (`POLLPRI`): transmit timestamps under some simulators.
    pub priority: bool,
}

impl Interest {
    /// Reading only.
    pub const READ: Interest = Interest { readable: true, writable: false, priority: false };
    /// Writing only.
    pub const WRITE: Interest = Interest { readable: false, writable: true, priority: false };
    /// Reading and writing.
    pub const BOTH: Interest = Interest { readable: true, writable: true, priority: false };
}

/// What a descriptor is ready for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// Readable, or the peer has hung up (a read will say so).
    pub readable: bool,
    /// Writable.
    pub writable: bool,
    /// Exceptional data, or an entry in the socket's error queue.
    pub priority: bool,
    /// The peer has hung up or the descriptor is in error.
    pub closed: bool,
}

impl Readiness {
    /// Ready for anything.
    pub fn any(self) -> bool {
        self.readable || self.writable || self.priority || self.closed
    }
}

/// Waits until one of `wanted` is ready or `timeout` has passed (none: without end). Fills `ready`, one for each of
/// `wanted`, and returns how many are ready. A signal ends the wait with `ErrorKind::Interrupted`.
pub fn poll(
    wanted: &[(BorrowedFd<'_>, Interest)],
    ready: &mut Vec<Readiness>,
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let mut list: Vec<libc::pollfd> = wanted
        .iter()
        .map(|(fd, interest)| {
            let mut events = 0;
            if interest.readable {
                events |= libc::POLLIN;
            }
            if interest.writable {
                events |= libc::POLLOUT;
            }
            if interest.priority {
                events |= libc::POLLPRI;
            }
            libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }
        })
        .collect();
    // Rounded up: a timer that is due in 0.3 ms must not spin.
    let timeout_ms = match timeout {
        None => -1,
        Some(limit) => {
            libc::c_int::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        }
    };
    // SAFETY: the pointer and length describe the live vector above.
    let count =
        crate::check(unsafe { libc::poll(list.as_mut_ptr(), list.len() as libc::nfds_t, timeout_ms) })?;
    ready.clear();
    ready.extend(list.iter().map(|entry| {
        let has = |bits: libc::c_short| entry.revents & bits != 0;
        Readiness {
            readable: has(libc::POLLIN | libc::POLLHUP),
            writable: has(libc::POLLOUT),
            priority: has(libc::POLLPRI | libc::POLLERR),
            closed: has(libc::POLLHUP | libc::POLLERR | libc::POLLNVAL),
        }
    }));
    Ok(usize::try_from(count).unwrap_or(0))
}
