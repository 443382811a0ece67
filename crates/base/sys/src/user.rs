//! The user database (`getpwnam(3)`, `getpwuid(3)`, `getgrnam(3)`), with whatever sources `nsswitch.conf(5)` names.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The user id.
    pub uid: u32,
    /// The id of the primary group.
    pub gid: u32,
    /// The full name and whatever stands beside it (the GECOS field).
    pub gecos: String,
    /// The home directory.
    pub home: PathBuf,
    /// The login shell.
    pub shell: PathBuf,
}

/// Room for the strings of one entry; a larger entry is reported as an error.
const ENTRY_BYTES_MAX: usize = 64 * 1024;

/// The user called `name`; none when there is none. An error means that the database could not be asked: try again later.
pub fn by_name(name: &str) -> io::Result<Option<User>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    look_up(|entry, buffer, length, result| {
        // SAFETY: all pointers are live during the call; see `look_up`.
        unsafe { libc::getpwnam_r(name.as_ptr(), entry, buffer, length, result) }
    })
}

/// The user with the id `uid`; none when there is none.
pub fn by_uid(uid: u32) -> io::Result<Option<User>> {
    look_up(|entry, buffer, length, result| {
        // SAFETY: all pointers are live during the call; see `look_up`.
        unsafe { libc::getpwuid_r(uid, entry, buffer, length, result) }
    })
}

/// The id of the group called `name`.
pub fn group_id(name: &str) -> io::Result<Option<u32>> {
    let Ok(name) = CString::new(name) else { return Ok(None) };
    let mut buffer = vec![0; ENTRY_BYTES_MAX];
    // SAFETY: group is a plain C structure; all pointers are live during the call.
    unsafe {
        let mut entry: libc::group = std::mem::zeroed();
        let mut result = std::ptr::null_mut();
        match libc::getgrnam_r(name.as_ptr(), &mut entry, buffer.as_mut_ptr(), buffer.len(), &mut result) {
            0 if result.is_null() => Ok(None),
            0 => Ok(Some(entry.gr_gid)),
            libc::ENOENT | libc::ESRCH => Ok(None),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

fn look_up(
    ask: impl Fn(*mut libc::passwd, *mut libc::c_char, usize, *mut *mut libc::passwd) -> libc::c_int,
) -> io::Result<Option<User>> {
    let mut buffer: Vec<libc::c_char> = vec![0; ENTRY_BYTES_MAX];
    // SAFETY: passwd is a plain C structure of pointers and integers, for which zeroes are valid.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut result = std::ptr::null_mut();
    match ask(&mut entry, buffer.as_mut_ptr(), buffer.len(), &mut result) {
        0 if result.is_null() => Ok(None),
        0 => {
            // SAFETY: on success the strings of the entry live in `buffer`, end in NUL, and are copied before it goes.
            let bytes = |pointer: *const libc::c_char| unsafe { CStr::from_ptr(pointer).to_bytes().to_vec() };
            let text = |pointer| String::from_utf8_lossy(&bytes(pointer)).into_owned();
            let path = |pointer| PathBuf::from(OsStr::from_bytes(&bytes(pointer)));
            Ok(Some(User {
                name: text(entry.pw_name),
                uid: entry.pw_uid,
                gid: entry.pw_gid,
                gecos: if entry.pw_gecos.is_null() { String::new() } else { text(entry.pw_gecos) },
                home: path(entry.pw_dir),
                shell: path(entry.pw_shell),
            }))
        }
        libc::ENOENT | libc::ESRCH => Ok(None),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: root is found both ways, and a name that cannot exist is no error.
    #[test]
    fn root_is_found_both_ways() {
        let root = by_uid(0).unwrap().expect("every system has root");
        assert_eq!(by_name(&root.name).unwrap(), Some(root));
        assert_eq!(by_name("no such user \u{1}").unwrap(), None);
    }
}
