//! A small `poll(2)` loop: descriptors by token, timers by token.
//!
//! For: daemons of one thread. The daemon owns its sockets and one visible loop; the reactor only waits.
//!
//! Always: timers fire in the order of their moments, never early; a descriptor is registered by whoever owns it and must be
//! removed before it is closed.
//!
//! Never: it calls back, starts threads, uses anything but `poll(2)`, or reads a clock other than the monotonic one.
#![forbid(unsafe_code)]

mod timers;

pub use sys::poll::{Interest, Readiness};
pub use timers::Timers;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready<T> {
    /// Which descriptor.
    pub token: T,
    /// For what.
    pub readiness: Readiness,
}

/// Waits for several descriptors at once.
#[derive(Debug)]
pub struct Poller<T> {
    entries: Vec<(RawFd, T, Interest)>,
    readiness: Vec<Readiness>,
}

impl<T: Copy + PartialEq> Default for Poller<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + PartialEq> Poller<T> {
    /// Waits for nothing yet.
    pub fn new() -> Self {
        Self { entries: Vec::new(), readiness: Vec::new() }
    }

    /// Waits for `interest` on `fd` too. The caller keeps the descriptor open until it calls [`Self::remove`] with its token;
    /// tokens must be distinct.
    pub fn add(&mut self, fd: impl AsFd, token: T, interest: Interest) {
        debug_assert!(
            self.entries.iter().all(|(_, known, _)| *known != token),
            "a token names one descriptor"
        );
        self.entries.push((fd.as_fd().as_raw_fd(), token, interest));
    }

    /// Changes what is waited for.
    pub fn set_interest(&mut self, token: T, interest: Interest) {
        if let Some(entry) = self.entries.iter_mut().find(|(_, known, _)| *known == token) {
            entry.2 = interest;
        }
    }

    /// Waits for this descriptor no longer.
    pub fn remove(&mut self, token: T) {
        self.entries.retain(|(_, known, _)| *known != token);
    }

    /// Waits until a descriptor is ready, a signal came or `timeout` has passed (none: without end), and fills `ready`. After a
    /// signal `ready` is empty: look at `sys::signal::take`.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready<T>>) -> io::Result<()> {
        ready.clear();
        let wanted: Vec<(BorrowedFd<'_>, Interest)> = self
            .entries
            .iter()
            .map(|(fd, _, interest)| (sys::fd::borrow_registered(*fd), *interest))
            .collect();
        match sys::poll::poll(&wanted, &mut self.readiness, timeout) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for ((_, token, _), readiness) in self.entries.iter().zip(&self.readiness) {
            if readiness.any() {
                ready.push(Ready { token: *token, readiness: *readiness });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    /// Goal: a wait tells which descriptor is ready, and a removed one is not waited for.
    #[test]
    fn a_wait_tells_who_is_ready() {
        let (one, other) = UnixDatagram::pair().unwrap();
        let mut poller = Poller::new();
        poller.add(&one, 'a', Interest::READ);
        poller.add(&other, 'b', Interest::READ);
        let mut ready = Vec::new();
        poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert!(ready.is_empty());
        one.send(b"x").unwrap();
        poller.wait(None, &mut ready).unwrap();
        assert_eq!(ready.iter().map(|ready| ready.token).collect::<Vec<_>>(), ['b']);
        poller.remove('b');
        poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert!(ready.is_empty());
    }
}
