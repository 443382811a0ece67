//! System V shared memory with a foreign writer: `shmget(2)`, `shmat(2)`.

use crate::check;
use std::io;

/// An attached segment. Another process writes into it at any moment, so every access is volatile and by number: no reference
/// into it is ever made.
#[derive(Debug)]
pub struct Segment {
    id: libc::c_int,
    start: *mut u8,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is reached by volatile reads and writes alone.
unsafe impl Send for Segment {}

impl Segment {
    /// The segment of this key, made with `mode` (its nine permission bits) when there is none.
    pub fn attach(key: i32, length: usize, mode: u32) -> io::Result<Self> {
        let flags = libc::IPC_CREAT | (mode & 0o777) as libc::c_int;
        // SAFETY: no pointers.
        let id = check(unsafe { libc::shmget(key, length, flags) })?;
        // SAFETY: a null address lets the kernel choose; the mapping is at least `length` long, or shmget would have failed.
        let start = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        if start as isize == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { id, start: start.cast(), length })
    }

    /// The users who can give it to others: who made it and who owns it (`IPC_STAT`). An error also where its mode does not let us look.
    /// None where the kernel does not know it: what the kernel mapped it does know until it is unmapped, so this is no segment
    /// of the kernel's but one that a simulator made inside this process.
    pub fn users(&self) -> io::Result<Option<[u32; 2]>> {
        // SAFETY: shmid_ds is a plain C structure for which zeroes are valid; the pointer to it is live during the call.
        unsafe {
            let mut state: libc::shmid_ds = std::mem::zeroed();
            match check(libc::shmctl(self.id, libc::IPC_STAT, &mut state)) {
                Ok(_) => Ok(Some([state.shm_perm.cuid, state.shm_perm.uid])),
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    /// The 32-bit number at a byte offset; 0 where there is none: beyond the end, or not aligned.
    pub fn i32_at(&self, offset: usize) -> i32 {
        if !self.holds(offset, 4) {
            return 0;
        }
        // SAFETY: inside the mapping and aligned, by the test above; shmat's address is aligned to a page.
        unsafe { self.start.add(offset).cast::<i32>().read_volatile() }
    }

    /// The 64-bit number at a byte offset, likewise.
    pub fn i64_at(&self, offset: usize) -> i64 {
        if !self.holds(offset, 8) {
            return 0;
        }
        // SAFETY: as above.
        unsafe { self.start.add(offset).cast::<i64>().read_volatile() }
    }

    /// Writes a 32-bit number; nothing where there is no place.
    pub fn set_i32_at(&self, offset: usize, value: i32) {
        if self.holds(offset, 4) {
            // SAFETY: as above.
            unsafe { self.start.add(offset).cast::<i32>().write_volatile(value) }
        }
    }

    /// Writes a 64-bit number, likewise.
    pub fn set_i64_at(&self, offset: usize, value: i64) {
        if self.holds(offset, 8) {
            // SAFETY: as above.
            unsafe { self.start.add(offset).cast::<i64>().write_volatile(value) }
        }
    }

    fn holds(&self, offset: usize, bytes: usize) -> bool {
        offset.is_multiple_of(bytes) && offset.checked_add(bytes).is_some_and(|end| end <= self.length)
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: attached by us, once, and nothing points into it.
        unsafe { libc::shmdt(self.start.cast()) };
    }
}

/// Reads and writes of this process before the call do not move behind it, nor those after it before.
pub fn fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// Marks the segment of this key for removal once nobody is attached (`IPC_RMID`).
pub fn remove(key: i32) -> io::Result<()> {
    // SAFETY: no pointers but a null one, which IPC_RMID does not look at.
    unsafe {
        let id = check(libc::shmget(key, 0, 0))?;
        check(libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut())).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: two mappings of one segment see each other's numbers, and what is outside or not aligned is 0 and written nowhere.
    #[test]
    fn a_segment_is_shared() {
        let key = 0x6261_0000 + i32::try_from(std::process::id() % 0xffff).expect("small");
        let one = Segment::attach(key, 96, 0o600).expect("this host has System V shared memory");
        let other = Segment::attach(key, 96, 0o600).expect("it is there");
        let own = crate::process::effective_uid();
        assert_eq!(one.users().expect("it is ours"), Some([own; 2]));
        remove(key).expect("it is ours");
        one.set_i32_at(4, -7);
        one.set_i64_at(8, i64::MIN);
        assert_eq!((other.i32_at(4), other.i64_at(8)), (-7, i64::MIN));
        for offset in [93, 94, 96, 1, usize::MAX - 3, usize::MAX] {
            one.set_i32_at(offset, 5);
            one.set_i64_at(offset, 5);
            assert_eq!((other.i32_at(offset), other.i64_at(offset)), (0, 0), "{offset}");
        }
    }
}
