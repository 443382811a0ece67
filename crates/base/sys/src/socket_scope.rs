//! Where a socket's packets go and how they are marked: `socket(7)`, `ip(7)`, `ipv6(7)`.

use crate::check;
use crate::socket::set_option;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

/// Packets come and go over this interface only (`SO_BINDTODEVICE`).
pub fn bind_device(socket: impl AsFd, interface: &str) -> io::Result<()> {
    let length = libc::socklen_t::try_from(interface.len()).map_err(io::Error::other)?;
    // SAFETY: pointer and length describe the live text.
    check(unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            interface.as_ptr().cast(),
            length,
        )
    })
    .map(drop)
}

/// Marks packets with a differentiated services code point, 0 to 63 (RFC 2474).
pub fn set_dscp(socket: &UdpSocket, point: u8) -> io::Result<()> {
    let field = i32::from(point) << 2;
    if socket.local_addr()?.is_ipv4() {
        set_option(socket, libc::IPPROTO_IP, libc::IP_TOS, field)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, field)
    }
}
