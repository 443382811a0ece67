//! Signals as flags: a handler only notes that a signal came and wakes whoever waits (`sigaction(2)`, `eventfd(2)`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::check;

/// Hang-up: by custom, reopen files or reload.
pub const HUP: i32 = libc::SIGHUP;
/// Interrupt (Ctrl-C).
pub const INT: i32 = libc::SIGINT;
/// Please end.
pub const TERM: i32 = libc::SIGTERM;
/// First user-defined signal.
pub const USR1: i32 = libc::SIGUSR1;
/// Second user-defined signal.
pub const USR2: i32 = libc::SIGUSR2;
/// A write to a pipe that nobody reads.
pub const PIPE: i32 = libc::SIGPIPE;
/// A child has ended.
pub const CHLD: i32 = libc::SIGCHLD;
/// The terminal's size has changed.
pub const WINCH: i32 = libc::SIGWINCH;
/// Kill: cannot be caught.
pub const KILL: i32 = libc::SIGKILL;
/// Stop: cannot be caught.
pub const STOP: i32 = libc::SIGSTOP;
/// Continue after a stop.
pub const CONT: i32 = libc::SIGCONT;

const COUNT: usize = 65;
static PENDING: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];
static WAKE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn note(signal: libc::c_int) {
    if let Some(flag) = usize::try_from(signal).ok().and_then(|index| PENDING.get(index)) {
        flag.store(true, Ordering::SeqCst);
    }
    let wake = WAKE.load(Ordering::SeqCst);
    if wake >= 0 {
        let one: u64 = 1;
        // SAFETY: write(2) is async-signal-safe; errno is restored because the interrupted code may be about to read it.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(wake, std::ptr::from_ref(&one).cast(), 8);
            *libc::__errno_location() = errno;
        }
    }
}

/// From now on notes that `signal` came instead of dying of it. System calls are interrupted (`EINTR`), not restarted, so
/// that a loop without a wake descriptor notices.
pub fn catch(signal: i32) -> io::Result<()> {
    // SAFETY: sigaction is a plain C structure; the handler above is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        libc::sigemptyset(&mut action.sa_mask);
        check(libc::sigaction(signal, &action, std::ptr::null_mut())).map(drop)
    }
}

/// As [`catch`], until the returned value goes: then what held for `signal` before holds again.
pub fn catch_for_now(signal: i32) -> io::Result<CaughtForNow> {
    // SAFETY: sigaction is a plain C structure that the call fills; without a new action it changes nothing.
    let before = unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        check(libc::sigaction(signal, std::ptr::null(), &mut before))?;
        before
    };
    catch(signal)?;
    Ok(CaughtForNow { signal, before })
}

/// See [`catch_for_now`].
pub struct CaughtForNow {
    signal: i32,
    before: libc::sigaction,
}

impl Drop for CaughtForNow {
    fn drop(&mut self) {
        // SAFETY: the structure is what the kernel told of this very signal. It takes it back, so there is no error to tell.
        unsafe { libc::sigaction(self.signal, &self.before, std::ptr::null_mut()) };
    }
}

/// No signal is handled in this thread from now on: those of the process go to the others.
pub fn block_in_this_thread() {
    // SAFETY: the set is a plain C structure of ours, filled before it is used; the call fails for an unknown `how` only.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

/// From now on ignores `signal` (children inherit that).
pub fn ignore(signal: i32) -> io::Result<()> {
    set_disposition(signal, libc::SIG_IGN)
}

/// Gives `signal` its default action back.
pub fn default(signal: i32) -> io::Result<()> {
    set_disposition(signal, libc::SIG_DFL)
}

fn set_disposition(signal: i32, disposition: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: SIG_IGN and SIG_DFL are valid for every signal that can be caught; others give EINVAL.
    let previous = unsafe { libc::signal(signal, disposition) };
    if previous == libc::SIG_ERR { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether `signal` came since the last call.
pub fn take(signal: i32) -> bool {
    usize::try_from(signal)
        .ok()
        .and_then(|index| PENDING.get(index))
        .is_some_and(|flag| flag.swap(false, Ordering::SeqCst))
}

/// A descriptor that becomes readable when a caught signal comes; [`drain_wake`] makes it quiet again. One a process: later
/// calls return the same one.
pub fn wake_fd() -> io::Result<BorrowedFd<'static>> {
    let known = WAKE.load(Ordering::SeqCst);
    let raw = if known >= 0 {
        known
    } else {
        // SAFETY: no pointers; the new descriptor is ours and is deliberately kept open until the process ends.
        let fresh = unsafe {
            OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK))?)
                .into_raw_fd()
        };
        match WAKE.compare_exchange(-1, fresh, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => fresh,
            Err(other) => {
                // SAFETY: `fresh` was never published.
                drop(unsafe { OwnedFd::from_raw_fd(fresh) });
                other
            }
        }
    };
    // SAFETY: the wake descriptor is never closed once published.
    Ok(unsafe { BorrowedFd::borrow_raw(raw) })
}

/// Makes the descriptor of [`wake_fd`] quiet again.
pub fn drain_wake(fd: BorrowedFd<'_>) {
    let mut count = [0u8; 8];
    // SAFETY: the buffer is ours and eight bytes long; the descriptor does not block.
    unsafe { libc::read(fd.as_fd().as_raw_fd(), count.as_mut_ptr().cast(), 8) };
}

/// Sends `signal` to the process `pid` (or only asks whether it exists, with signal 0).
pub fn send(pid: u32, signal: i32) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0);
    let pid = pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: no pointers; a positive pid names one process, never a group.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}
