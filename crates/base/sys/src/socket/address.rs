//! Binding, with the options that must be set between `socket(2)` and `bind(2)`.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use super::{set_option, share_port, to_storage};
use crate::check;

/// Options of a socket that is bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listen {
    /// Several sockets may bind the address (`SO_REUSEPORT`).
    pub shared: bool,
    /// Other sockets of such kind may be bound to the same address; a datagram goes to the one that is connected to its sender
    /// (`SO_REUSEADDR`).
    pub reused: bool,
}

/// Longest queue of connections not yet accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: libc::c_int = 1024;

/// A UDP socket bound to `address`; an IPv6 one does not take IPv4 packets. It does not block.
pub fn bind_udp(address: SocketAddr, listen: Listen) -> io::Result<UdpSocket> {
    bind(address, libc::SOCK_DGRAM, listen).map(UdpSocket::from)
}

/// A listening TCP socket bound to `address` with `SO_REUSEADDR`; an IPv6 one does not take IPv4 connections. It does not
/// block.
pub fn bind_tcp(address: SocketAddr, listen: Listen) -> io::Result<TcpListener> {
    let socket = bind(address, libc::SOCK_STREAM, listen)?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
    Ok(TcpListener::from(socket))
}

/// A socket that does not block and that children do not inherit.
pub(super) fn open(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // A plain type first and the flags afterwards: simulators of the C library refuse SOCK_CLOEXEC in the type.
    // SAFETY: no pointers; the new descriptor is ours.
    let socket = unsafe { OwnedFd::from_raw_fd(check(libc::socket(family, kind, 0))?) };
    crate::fd::set_cloexec(&socket, true)?;
    crate::fd::set_nonblocking(&socket, true)?;
    Ok(socket)
}

fn bind(address: SocketAddr, kind: libc::c_int, listen: Listen) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = open(family, kind)?;
    if kind == libc::SOCK_STREAM || listen.reused {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    }
    if listen.shared {
        share_port(&socket)?;
    }
    if address.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    let (storage, length) = to_storage(&address);
    // SAFETY: pointer and length describe the live address.
    check(unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) })?;
    Ok(socket)
}

/// A Unix datagram socket at `path` with permission bits `mode`. A socket that nobody listens on any more is replaced; a live
/// one gives `AddrInUse`. It does not block.
pub fn bind_unix_datagram(path: &Path, mode: u32) -> io::Result<UnixDatagram> {
    let socket = open(libc::AF_UNIX, libc::SOCK_DGRAM)?;
    match born_with(mode, || bind_path(&socket, path)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead_datagram(path) => {
            std::fs::remove_file(path)?;
            born_with(mode, || bind_path(&socket, path))?;
        }
        other => other?,
    }
    Ok(UnixDatagram::from(socket))
}

/// A Unix datagram socket that is bound to `own`, which must not exist and gets its mode from the umask, and connected to
/// `peer`. When that fails, `own` may have been made. It does not block.
pub fn connect_unix_datagram(own: &Path, peer: &Path) -> io::Result<UnixDatagram> {
    let socket = open(libc::AF_UNIX, libc::SOCK_DGRAM)?;
    bind_path(&socket, own)?;
    let (storage, length) = unix_name(peer)?;
    // SAFETY: pointer and length describe the live address.
    check(unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) })?;
    Ok(UnixDatagram::from(socket))
}

/// A Unix stream socket connected to whoever listens at `path`, who may be hung: where he takes no connections off his queue and it is
/// full, this is `WouldBlock` at once, not a wait for ever. It does not block.
pub fn connect_unix_stream(path: &Path) -> io::Result<UnixStream> {
    // With the flags in the type: a simulator of the C library refuses that, and has no such sockets; one that it gave could not even be
    // closed.
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no pointers; the descriptor is new and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(check(libc::socket(libc::AF_UNIX, kind, 0))?) };
    let (storage, length) = unix_name(path)?;
    // SAFETY: pointer and length describe the live address.
    check(unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) })?;
    Ok(UnixStream::from(socket))
}

/// A UDP socket that is bound to nothing, for calls that need one. It does not block.
pub fn unbound_udp() -> io::Result<UdpSocket> {
    // A host may have one family alone.
    let socket = open(libc::AF_INET, libc::SOCK_DGRAM).or_else(|_| open(libc::AF_INET6, libc::SOCK_DGRAM));
    socket.map(UdpSocket::from)
}

/// A UDP socket connected to `peer` from a port that the kernel chooses. It does not block.
pub fn connect_udp(peer: SocketAddr) -> io::Result<UdpSocket> {
    let family = if peer.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = open(family, libc::SOCK_DGRAM)?;
    let (storage, length) = to_storage(&peer);
    // SAFETY: pointer and length describe the live address.
    check(unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) })?;
    Ok(UdpSocket::from(socket))
}

fn bind_path(socket: &OwnedFd, path: &Path) -> io::Result<()> {
    let (storage, length) = unix_name(path)?;
    // SAFETY: pointer and length describe the live address.
    check(unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&storage).cast(), length) }).map(drop)
}

/// The kernel's structure of a path, and its length (`unix(7)`).
fn unix_name(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: sockaddr_un is a plain C structure for which zeroes are valid.
    let mut name: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    name.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    // The last byte stays zero.
    if bytes.is_empty() || bytes.len() >= name.sun_path.len() || bytes.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is no name for a socket"));
    }
    for (to, from) in name.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    let length = std::mem::offset_of!(libc::sockaddr_un, sun_path) + bytes.len() + 1;
    Ok((name, length as libc::socklen_t))
}

/// A listening Unix stream socket at `path` with permission bits `mode`; as for [`bind_unix_datagram`].
pub fn bind_unix_stream(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let socket = match born_with(mode, || UnixListener::bind(path)) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_dead_stream(path) => {
            std::fs::remove_file(path)?;
            born_with(mode, || UnixListener::bind(path))?
        }
        other => other?,
    };
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes a socket with permission bits `mode` at once: a chmod afterwards would open whatever a link leads to that somebody has put in
/// its place meanwhile. What another thread makes in this instant gets fewer permissions, never more than it asked for.
fn born_with<T>(mode: u32, bind: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = crate::file::set_umask(0o777 & !mode);
    let bound = bind();
    crate::file::set_umask(before);
    bound
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|info| info.file_type().is_socket())
}

fn is_dead_datagram(path: &Path) -> bool {
    let probe = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    is_socket(path) && probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn is_dead_stream(path: &Path) -> bool {
    let probe = connect_unix_stream(path);
    is_socket(path) && probe.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: who takes no connections off his queue holds nobody who connects, nor who binds in his place: that is refused at once, as for
    /// a socket that is in use.
    #[test]
    fn a_hung_listener_holds_nobody() {
        let path = std::env::temp_dir().join(format!("sys-hung-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        // SAFETY: no pointers.
        check(unsafe { libc::listen(listener.as_raw_fd(), 1) }).unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match connect_unix_stream(&path) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10);
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(bind_unix_stream(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((listener, waiting));
        assert_eq!(connect_unix_stream(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(bind_unix_stream(&path, 0o600).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
