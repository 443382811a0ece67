//! Connecting a TCP socket without waiting for it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;

use super::address::open;
use super::to_storage;
use crate::check;

/// A TCP socket that is on its way to `peer`, from `local` if that is given. It does not block: it is connected when `poll(2)`
/// calls it writable and [`TcpStream::take_error`] gives none.
pub fn connect_tcp(
    peer: SocketAddr,
    local: Option<SocketAddr>,
    device: Option<&str>,
) -> io::Result<TcpStream> {
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = open(family, libc::SOCK_STREAM)?;
    if let Some(device) = device {
        crate::socket_scope::bind_device(&socket, device)?;
    }
    if let Some(local) = local {
        let (storage, length) = to_storage(&local);
        // SAFETY: pointer and length describe the live address.
        check(unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) })?;
    }
    let (storage, length) = to_storage(&peer);
    // SAFETY: pointer and length describe the live address.
    match check(unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(socket)),
    }
}
