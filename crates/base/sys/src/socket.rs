//! Sockets: options that `std` lacks, and datagrams received and sent in batches with their credentials, descriptors, kernel
//! timestamps and drop counts (`socket(7)`, `unix(7)`, `recvmmsg(2)`, `sendmmsg(2)`).

mod address;
mod batch;
mod departures;
mod filter;
mod pass;
mod send;
mod stream;
mod transmit;

pub use address::{
    Listen, bind_tcp, bind_udp, bind_unix_datagram, bind_unix_stream, connect_udp, connect_unix_datagram,
    connect_unix_stream, unbound_udp,
};
pub use batch::{CardStamp, Datagram, Outgoing, ReceiveBatch, send_batch};
pub use departures::{Departed, DepartureBatch, card_stamps_on_request};
pub use filter::{Condition, Part, drop_where, dropped};
pub use pass::send_descriptor;
pub use send::{Departure, SendBatch, local_addresses, never_fragment, tells_local_addresses};
pub use stream::{TcpConnection, accept_tcp, connect_tcp};
pub use transmit::{
    Left, StampBatch, TransmitStamp, card_timestamps, restart_transmit_stamps, take_departure,
    take_transmit_time, transmit_stamps_on_request, transmit_timestamps,
};

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use crate::check;

/// Who is at the other end of a Unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Credentials {
    /// Process id in our namespace; 0 when the process is not visible here.
    pub pid: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The peer of a connected Unix stream as it was when it connected (`SO_PEERCRED`).
pub fn peer_credentials(socket: impl AsFd) -> io::Result<Credentials> {
    // SAFETY: ucred is a plain C structure; pointer and length describe it.
    unsafe {
        let mut credentials: libc::ucred = std::mem::zeroed();
        let mut length = std::mem::size_of::<libc::ucred>() as libc::socklen_t;
        check(libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            std::ptr::from_mut(&mut credentials).cast(),
            &mut length,
        ))?;
        Ok(Credentials {
            pid: u32::try_from(credentials.pid).unwrap_or(0),
            uid: credentials.uid,
            gid: credentials.gid,
        })
    }
}

/// Asks for a receive buffer of `bytes`, beyond the system's limit where we may; returns what the kernel gave (it counts its
/// own bookkeeping too, so about twice what was asked).
pub fn set_receive_buffer(socket: impl AsFd, bytes: u32) -> io::Result<u32> {
    if set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes as libc::c_int).is_err() {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes as libc::c_int)?;
    }
    option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF).map(|bytes| u32::try_from(bytes).unwrap_or(0))
}

/// Asks for a send buffer of `bytes`, beyond the system's limit where we may.
pub fn set_send_buffer(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes as libc::c_int)
        .or_else(|_| set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes as libc::c_int))
}

/// Every datagram received comes with its sender's credentials (`SO_PASSCRED`).
pub fn pass_credentials(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_PASSCRED, 1)
}

/// Every datagram received comes with the kernel's receive time (`SO_TIMESTAMPNS`).
pub fn receive_timestamps(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Every datagram received comes with the count of those that the kernel dropped before it (`SO_RXQ_OVFL`).
pub fn count_drops(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)
}

/// Several sockets may bind the same address; the kernel spreads the load (`SO_REUSEPORT`).
pub fn share_port(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)
}

/// Sends a datagram on a connected socket by `send(2)`: `std` writes to Unix sockets like to files, which simulators of the C library
/// do not take for sending.
pub fn send_connected(socket: impl AsFd, datagram: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length describe the live bytes.
    let sent = unsafe {
        let start = datagram.as_ptr().cast();
        libc::send(socket.as_fd().as_raw_fd(), start, datagram.len(), libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Receives a datagram on a connected socket by `recv(2)`; see [`send_connected`].
pub fn receive_connected(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length describe the live buffer.
    let received = unsafe {
        let start = buffer.as_mut_ptr().cast();
        libc::recv(socket.as_fd().as_raw_fd(), start, buffer.len(), 0)
    };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Whether others with `SO_REUSEADDR` may bind the same address from now on, this socket having it too. For UDP the kernel asks nobody's
/// user id for that: any process of the host may, and on one address takes what comes there.
pub fn let_reuse(socket: impl AsFd, may: bool) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, may.into())
}

/// Sets an integer option, for what has no function of its own here.
pub fn set_option(socket: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: pointer and length describe the live integer.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(&value).cast(),
            std::mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Reads an integer option.
pub fn option(socket: impl AsFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: libc::c_int = 0;
    let mut length = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: pointers and length describe the live integer.
    check(unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &mut length,
        )
    })?;
    Ok(value)
}

/// Bytes written to a stream that the peer's kernel has not confirmed yet (`SIOCOUTQ`).
pub fn unconfirmed_bytes(socket: impl AsFd) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the pointer is to a live integer. TIOCOUTQ is SIOCOUTQ's number.
    check(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Room for the kernel's structure of an internet address of either family. Names of other families are cut, and are none here.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) union InternetName {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl InternetName {
    /// Of no family.
    // SAFETY: all three are plain integers, for which zeroes are valid.
    pub(crate) const NONE: Self = unsafe { std::mem::zeroed() };

    /// The address, if it is one.
    pub(crate) fn get(&self) -> Option<SocketAddr> {
        // SAFETY: every field is made of plain integers, for which any bytes are valid; all begin with the family, which says how the
        // others are to be understood.
        unsafe {
            match libc::c_int::from(self.family) {
                libc::AF_INET => {
                    let address = Ipv4Addr::from(u32::from_be(self.v4.sin_addr.s_addr));
                    Some(SocketAddrV4::new(address, u16::from_be(self.v4.sin_port)).into())
                }
                libc::AF_INET6 => {
                    let address = Ipv6Addr::from(self.v6.sin6_addr.s6_addr);
                    let port = u16::from_be(self.v6.sin6_port);
                    Some(
                        SocketAddrV6::new(address, port, self.v6.sin6_flowinfo, self.v6.sin6_scope_id).into(),
                    )
                }
                _ => None,
            }
        }
    }

    /// Takes an address; returns the length of its structure.
    pub(crate) fn set(&mut self, address: &SocketAddr) -> libc::socklen_t {
        match address {
            SocketAddr::V4(v4) => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                std::mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            SocketAddr::V6(v6) => {
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                std::mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }
}

/// The kernel's structure of an address, and its length.
pub(crate) fn to_storage(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: sockaddr_storage is a plain C structure for which zeroes are valid.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address.ip() {
        IpAddr::V4(ip) => {
            // SAFETY: the storage is larger than and aligned for sockaddr_in.
            let inner = unsafe { &mut *std::ptr::from_mut(&mut storage).cast::<libc::sockaddr_in>() };
            inner.sin_family = libc::AF_INET as libc::sa_family_t;
            inner.sin_port = address.port().to_be();
            inner.sin_addr.s_addr = u32::from(ip).to_be();
            std::mem::size_of::<libc::sockaddr_in>()
        }
        IpAddr::V6(ip) => {
            // SAFETY: the storage is larger than and aligned for sockaddr_in6.
            let inner = unsafe { &mut *std::ptr::from_mut(&mut storage).cast::<libc::sockaddr_in6>() };
            inner.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            inner.sin6_port = address.port().to_be();
            inner.sin6_addr.s6_addr = ip.octets();
            if let SocketAddr::V6(full) = address {
                inner.sin6_scope_id = full.scope_id();
                inner.sin6_flowinfo = full.flowinfo();
            }
            std::mem::size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}
