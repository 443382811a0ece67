//! When this process runs and where its memory stays: `sched_setscheduler(2)`, `mlockall(2)`, `PR_SET_TIMERSLACK`.

use crate::check;
use std::io;

/// First-in, first-out real-time scheduling at a priority from 1 to 100 (the kernel's own limits cut it to 99).
pub fn real_time(priority: u8) -> io::Result<()> {
    // SAFETY: no pointers.
    let (low, high) = unsafe {
        (libc::sched_get_priority_min(libc::SCHED_FIFO), libc::sched_get_priority_max(libc::SCHED_FIFO))
    };
    let parameters = libc::sched_param { sched_priority: i32::from(priority).clamp(low, high) };
    // SAFETY: the pointer is to a live structure of ours; 0 is this process.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) }).map(drop)
}

/// Nothing of this process is paged out from now on, what it will need included.
pub fn lock_memory() -> io::Result<()> {
    // Without a limit on locked memory later allocations cannot fail for want of it, as a process without root would see.
    let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a live structure of ours. Who may not raise the limit keeps the one there is.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &unlimited) };
    // SAFETY: no pointers.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) }).map(drop)
}

/// This thread's sleeps end as soon as the clock allows: the kernel does not put them off by 50 us to let several end together
/// (`PR_SET_TIMERSLACK`, `prctl(2)`).
pub fn wake_promptly() -> io::Result<()> {
    // SAFETY: no pointers. 1 ns is the least; 0 would mean the default.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) }).map(drop)
}
