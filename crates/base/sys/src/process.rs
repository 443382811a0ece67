//! Who a process is, and giving rights up (`credentials(7)`, `capabilities(7)`).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::check;

/// The effective user id.
pub fn effective_uid() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}

/// The real user id.
pub fn uid() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::getuid() }
}

/// The real group id.
pub fn gid() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::getgid() }
}

/// The id of the parent process.
pub fn parent_id() -> u32 {
    // SAFETY: cannot fail.
    u32::try_from(unsafe { libc::getppid() }).unwrap_or(0)
}

/// Becomes the user for good: supplementary groups of `name`, then group, then user, each real, effective and saved. Checks
/// afterwards that the way back is closed.
pub fn become_user(name: &str, uid: u32, gid: u32) -> io::Result<()> {
    let name = std::ffi::CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the name is live and ends in NUL; the other calls take no pointers.
    unsafe {
        check(libc::initgroups(name.as_ptr(), gid))?;
        check(libc::setresgid(gid, gid, gid))?;
        check(libc::setresuid(uid, uid, uid))?;
        if uid != 0 && libc::setresuid(0, 0, 0) != -1 {
            return Err(io::Error::other("privilege could be taken back after it was dropped"));
        }
    }
    Ok(())
}

/// No program that this process starts can gain rights, by set-user-id or otherwise (`prctl(2)`, `PR_SET_NO_NEW_PRIVS`).
pub fn no_new_privileges() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(drop)
}

/// The capability to set the clock (`CAP_SYS_TIME`).
pub const CAP_SYS_TIME: u32 = 25;
/// The capability to bind ports below 1024 (`CAP_NET_BIND_SERVICE`).
pub const CAP_NET_BIND_SERVICE: u32 = 10;
/// May bind sockets to interfaces.
pub const CAP_NET_RAW: u32 = 13;
/// May read and write files whatever their permissions.
pub const CAP_DAC_OVERRIDE: u32 = 1;
/// Beyond the last capability that any kernel has: they are the bits of a 64-bit word.
const CAPABILITIES: u32 = 64;

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapabilityWords {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

impl CapabilityHeader {
    /// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 capabilities each; 0 is this thread.
    const OWN: Self = Self { version: 0x2008_0522, pid: 0 };
}

/// The capabilities that this thread may make effective, one bit each.
pub fn permitted_capabilities() -> io::Result<u64> {
    let mut header = CapabilityHeader::OWN;
    let mut data = [CapabilityWords::default(); 2];
    // SAFETY: glibc exports no capget declaration in the libc crate; both pointers are live and of the version's layout.
    let result =
        unsafe { libc::syscall(libc::SYS_capget, std::ptr::from_mut(&mut header), data.as_mut_ptr()) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(data[0].permitted) | u64::from(data[1].permitted) << 32)
}

/// Keeps only `kept` of the capabilities, in the permitted and effective sets; empty gives all of them up.
pub fn keep_capabilities(kept: &[u32]) -> io::Result<()> {
    let mut header = CapabilityHeader::OWN;
    let mut data = [CapabilityWords::default(); 2];
    for capability in kept {
        if let Some(word) = data.get_mut((capability / 32) as usize) {
            word.permitted |= 1 << (capability % 32);
            word.effective |= 1 << (capability % 32);
        }
    }
    // SAFETY: glibc exports no capset declaration in the libc crate; both pointers are live and of the version's layout.
    let result = unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_mut(&mut header), data.as_ptr()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Permitted capabilities survive the next change of user (`PR_SET_KEEPCAPS`).
pub fn keep_capabilities_over_user_change() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }).map(drop)
}

/// Takes `capability` out of the bounding set: nobody that this process starts can have it.
pub fn drop_from_bounding_set(capability: u32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) }).map(drop)
}

/// Takes every capability out of the bounding set, as far as this process may (`CAP_SETPCAP`): no program that it starts can have
/// one.
pub fn empty_bounding_set() {
    for capability in 0..CAPABILITIES {
        // Beyond the kernel's last one it is no capability, and who may not drop them has few.
        let _ = drop_from_bounding_set(capability);
    }
}

/// The child that `command` starts gets `signal` when this process ends (`PR_SET_PDEATHSIG`).
pub fn end_with_parent(command: &mut Command, signal: i32) -> &mut Command {
    let parent = std::process::id();
    // SAFETY: between fork and exec only prctl and getppid are called, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong, 0, 0, 0))?;
            // The parent may have ended before the call above.
            if u32::try_from(libc::getppid()).ok() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        })
    }
}

/// The child that `command` starts leads a session of its own (`setsid(2)`): signals of the terminal do not reach it.
pub fn new_session(command: &mut Command) -> &mut Command {
    // SAFETY: setsid is async-signal-safe.
    unsafe { command.pre_exec(|| check(libc::setsid()).map(drop)) }
}

/// The child that `command` starts becomes this user for good before it runs, with no supplementary group but `gid`.
pub fn run_as(command: &mut Command, uid: u32, gid: u32) -> &mut Command {
    // SAFETY: the calls between fork and exec take no memory and are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            check(libc::setgroups(1, &gid))?;
            check(libc::setresgid(gid, gid, gid))?;
            check(libc::setresuid(uid, uid, uid)).map(drop)
        })
    }
}

/// Resident memory of a process in bytes, from `/proc/PID/statm`.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf takes no pointer.
    let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    Some(pages * page)
}

/// How many descriptors this process may have open (`RLIMIT_NOFILE`, the soft limit); none where the kernel does not say.
pub fn descriptors_max() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the live structure.
    crate::check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }).ok()?;
    Some(limit.rlim_cur)
}
