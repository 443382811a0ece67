//! TCP sockets that nobody waits for, by calls that simulators of the C library know: `std` accepts by `accept4(2)` and writes by
//! `writev(2)`, which they do not take for theirs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::address::open;
use super::{InternetName, receive_connected, send_connected, to_storage};
use crate::check;

/// A TCP connection that does not block.
#[derive(Debug)]
pub struct TcpConnection(TcpStream);

impl TcpConnection {
    /// The error that the kernel holds for it, taken away: why it could not be connected.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    /// Tells the peer that nothing more comes.
    pub fn finish(&self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

impl AsFd for TcpConnection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for TcpConnection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        receive_connected(&self.0, buffer)
    }
}

impl Write for TcpConnection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send_connected(&self.0, bytes)
    }

    /// Joined before it is sent: piece by piece the kernel would hold all but the first back until the peer has confirmed that.
    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match parts {
            [one] => self.write(one),
            _ => self.write(&parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The next connection of those that wait at `listener`, and whose it is. Call it once each time that `poll(2)` calls the listener
/// readable: simulators end the program where nobody waits.
pub fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpConnection, SocketAddr)> {
    let mut name = InternetName::NONE;
    let mut length = std::mem::size_of::<InternetName>() as libc::socklen_t;
    // SAFETY: pointer and length describe the live structure.
    let raw = check(unsafe {
        libc::accept(listener.as_raw_fd(), std::ptr::from_mut(&mut name).cast(), &mut length)
    })?;
    // SAFETY: the descriptor is new and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    crate::fd::set_cloexec(&socket, true)?;
    crate::fd::set_nonblocking(&socket, true)?;
    let from = name.get().ok_or(io::ErrorKind::Unsupported)?;
    Ok((TcpConnection(TcpStream::from(socket)), from))
}

/// A TCP socket that is on its way to `peer`, from `local` if that is given. It does not block: it is connected when `poll(2)`
/// calls it writable and [`TcpConnection::take_error`] gives none.
pub fn connect_tcp(
    peer: SocketAddr,
    local: Option<SocketAddr>,
    device: Option<&str>,
) -> io::Result<TcpConnection> {
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
        _ => Ok(TcpConnection(TcpStream::from(socket))),
    }
}
