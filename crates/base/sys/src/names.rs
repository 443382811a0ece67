//! Names of addresses (`getnameinfo(3)`), with whatever sources `nsswitch.conf(5)` names.

use std::ffi::CStr;
use std::net::{IpAddr, SocketAddr};

use crate::socket::to_storage;

/// Room for a host name (`NI_MAXHOST` of `netdb.h`).
const NAME_BYTES_MAX: usize = 1025;

/// The host name of an address; none when it has none or no name server answers. May take as long as the resolver's
/// time limits allow.
pub fn name_of(address: IpAddr) -> Option<String> {
    let (storage, length) = to_storage(&SocketAddr::new(address, 0));
    let mut name = [0; NAME_BYTES_MAX];
    // SAFETY: `storage` holds a socket address of `length` bytes; the buffer is live and its length is given.
    let result = unsafe {
        libc::getnameinfo(
            std::ptr::from_ref(&storage).cast(),
            length,
            name.as_mut_ptr(),
            name.len() as libc::socklen_t,
            std::ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: on success the buffer holds a string with its end within the buffer.
    unsafe { CStr::from_ptr(name.as_ptr()) }.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: loopback has a name from the hosts file.
    #[test]
    fn loopback_has_a_name() {
        assert!(name_of(IpAddr::from([127, 0, 0, 1])).is_some_and(|name| !name.is_empty()));
    }
}
