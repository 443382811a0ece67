//! The kernel's clocks and their state: `clock_gettime(2)`, `ntp_adjtime(3)`, `timerfd_create(2)`.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::check;

/// The environment variable that makes every function here which would change the clock fail with `EPERM`.
pub const READ_ONLY_VARIABLE: &str = "BANTO_CLOCK_READ_ONLY";

/// Nanoseconds since the Unix epoch (`CLOCK_REALTIME`).
pub fn realtime_ns() -> i64 {
    read(libc::CLOCK_REALTIME)
}

/// Nanoseconds since some moment of this boot, never going backwards (`CLOCK_MONOTONIC`).
pub fn monotonic_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Like [`monotonic_ns`], but not slewed by a time daemon (`CLOCK_MONOTONIC_RAW`).
pub fn monotonic_raw_ns() -> i64 {
    read(libc::CLOCK_MONOTONIC_RAW)
}

/// Like [`monotonic_ns`], and counting while the machine sleeps (`CLOCK_BOOTTIME`).
pub fn boottime_ns() -> i64 {
    read(libc::CLOCK_BOOTTIME)
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of ours; the clock ids above exist on every Linux that Rust supports.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "clock_gettime of a standard clock cannot fail");
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// What the kernel knows of its clock (`struct timex` of `adjtimex(2)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockState {
    /// Synchronised: `STA_UNSYNC` is clear and the state is not `TIME_ERROR`.
    pub synced: bool,
    /// Bound of the error, microseconds.
    pub max_error_usec: u64,
    /// Estimate of the error, microseconds.
    pub estimated_error_usec: u64,
    /// Frequency correction in force, parts per million (positive: the clock is made to run faster).
    pub frequency_ppm: f64,
    /// Microseconds between kernel ticks; 10,000 by default.
    pub tick_usec: i64,
    /// The `STA_*` bits.
    pub status: i32,
    /// TAI minus UTC in seconds, 0 when nobody told the kernel.
    pub tai_offset: i32,
}

/// Reads the kernel's clock state; needs no privilege.
pub fn state() -> io::Result<ClockState> {
    let mut timex = zeroed_timex();
    let result = call(&mut timex)?;
    Ok(ClockState {
        synced: result != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0,
        max_error_usec: u64::try_from(timex.maxerror).unwrap_or(u64::MAX),
        estimated_error_usec: u64::try_from(timex.esterror).unwrap_or(u64::MAX),
        frequency_ppm: timex.freq as f64 / 65536.0,
        tick_usec: timex.tick,
        status: timex.status,
        tai_offset: timex.tai,
    })
}

/// Sets the frequency correction: `ppm` within +-500 by the kernel's frequency word, and `tick_usec` for the rest.
pub fn set_frequency(ppm: f64, tick_usec: i64) -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    timex.modes = libc::ADJ_FREQUENCY | libc::ADJ_TICK;
    timex.freq = (ppm * 65536.0).round() as libc::c_long;
    timex.tick = tick_usec;
    call(&mut timex).map(drop)
}

/// Steps the clock by `offset_ns` (added to the time), through `ADJ_SETOFFSET`.
pub fn step(offset_ns: i64) -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    timex.modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
    timex.time.tv_sec = offset_ns.div_euclid(1_000_000_000);
    // With ADJ_NANO the field called tv_usec counts nanoseconds.
    timex.time.tv_usec = offset_ns.rem_euclid(1_000_000_000);
    call(&mut timex).map(drop)
}

/// Whether this process may set the clock, found out by writing back what the kernel says: `EPERM` when it may not. Changes nothing.
pub fn may_set() -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    call(&mut timex)?;
    timex.modes = libc::ADJ_MAXERROR;
    call(&mut timex).map(drop)
}

/// Ends corrections that other programs left to the kernel and that it would go on making: the phase-locked loop's
/// (`ADJ_OFFSET`) and `adjtime(3)`'s. The frequency stays. Asks for nothing where there is none.
pub fn end_foreign_corrections() -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    call(&mut timex)?;
    if timex.offset != 0 {
        // An offset is taken only while the loop is on; held, it leaves the frequency alone.
        timex.modes = libc::ADJ_STATUS | libc::ADJ_OFFSET;
        timex.status = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_UNSYNC;
        timex.offset = 0;
        call(&mut timex)?;
        timex.modes = libc::ADJ_STATUS;
        timex.status = libc::STA_UNSYNC;
        call(&mut timex)?;
    }
    let mut timex = zeroed_timex();
    timex.modes = libc::ADJ_OFFSET_SS_READ;
    call(&mut timex)?;
    if timex.offset != 0 {
        timex.modes = libc::ADJ_OFFSET_SINGLESHOT;
        timex.offset = 0;
        call(&mut timex)?;
    }
    Ok(())
}

/// Tells the kernel whether the clock is synchronised, and the error bound and estimate, which `ntp_gettime(3)` passes on.
/// With `STA_UNSYNC` clear the kernel also copies the time to the RTC every eleven minutes.
pub fn set_sync_status(synced: bool, max_error_usec: u64, estimated_error_usec: u64) -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    timex.modes = libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR;
    let leap = state()?.status & (libc::STA_INS | libc::STA_DEL);
    timex.status = leap | if synced { 0 } else { libc::STA_UNSYNC };
    timex.maxerror = libc::c_long::try_from(max_error_usec).unwrap_or(libc::c_long::MAX);
    timex.esterror = libc::c_long::try_from(estimated_error_usec).unwrap_or(libc::c_long::MAX);
    call(&mut timex).map(drop)
}

/// Tells the kernel of a leap second at the end of this UTC day, 1 to insert and -1 to delete it, 0 for none; and how many
/// seconds TAI is ahead of UTC, where that is known.
pub fn set_leap(direction: i32, tai_offset: Option<i32>) -> io::Result<()> {
    refuse_when_read_only()?;
    let mut timex = zeroed_timex();
    timex.modes = libc::ADJ_STATUS;
    timex.status = state()?.status & !(libc::STA_INS | libc::STA_DEL);
    timex.status |= match direction {
        1.. => libc::STA_INS,
        0 => 0,
        _ => libc::STA_DEL,
    };
    call(&mut timex)?;
    if let Some(offset) = tai_offset {
        let mut timex = zeroed_timex();
        timex.modes = libc::ADJ_TAI;
        timex.constant = offset.into();
        call(&mut timex)?;
    }
    Ok(())
}

/// A descriptor that becomes readable (and whose read fails with `ECANCELED`) when anybody steps the clock
/// (`TFD_TIMER_CANCEL_ON_SET`). Call [`rearm_step_watch`] after each event.
pub fn step_watch() -> io::Result<OwnedFd> {
    // SAFETY: no pointers; the descriptor that comes back is ours alone.
    let fd = unsafe {
        let raw = check(libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK))?;
        OwnedFd::from_raw_fd(raw)
    };
    rearm_step_watch(&fd)?;
    Ok(fd)
}

/// Arms the watch of [`step_watch`] again.
pub fn rearm_step_watch(fd: &OwnedFd) -> io::Result<()> {
    let far = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        // A moment that is never reached: only the cancellation is wanted.
        it_value: libc::timespec { tv_sec: libc::time_t::MAX, tv_nsec: 0 },
    };
    let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
    // SAFETY: the descriptor is open and `far` outlives the call; the old value is not asked for.
    let result = unsafe { libc::timerfd_settime(fd.as_raw_fd(), flags, &far, std::ptr::null_mut()) };
    check(result).map(drop)
}

pub(crate) fn refuse_when_read_only() -> io::Result<()> {
    match std::env::var_os(READ_ONLY_VARIABLE) {
        Some(_) => Err(io::Error::from_raw_os_error(libc::EPERM)),
        None => Ok(()),
    }
}

fn zeroed_timex() -> libc::timex {
    // SAFETY: timex is a plain C structure of integers, for which all zeroes is a valid value.
    unsafe { std::mem::zeroed() }
}

fn call(timex: &mut libc::timex) -> io::Result<libc::c_int> {
    // SAFETY: the pointer is to a live timex of ours.
    check(unsafe { libc::adjtimex(timex) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: reading works without privilege, and the guard refuses before the kernel is asked.
    #[test]
    fn the_state_is_readable_and_the_guard_refuses() {
        let state = state().expect("reading needs no privilege");
        assert!(state.tick_usec > 0);
        assert!(monotonic_ns() <= monotonic_ns());
        // The guard is tested through its own function: a test must never come near the real calls.
        if std::env::var_os(READ_ONLY_VARIABLE).is_some() {
            assert_eq!(refuse_when_read_only().unwrap_err().raw_os_error(), Some(libc::EPERM));
            assert_eq!(may_set().unwrap_err().raw_os_error(), Some(libc::EPERM));
            assert_eq!(end_foreign_corrections().unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    }
}
