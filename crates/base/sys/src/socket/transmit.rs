//! When a datagram really left: the kernel's transmit timestamps (`SO_TIMESTAMPING`, kernel documentation
//! `networking/timestamping.rst`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::set_option;

/// Room for the control messages of one entry of the error queue: three timestamps and an extended error.
const CONTROL_BYTES: usize = 256;

/// The kernel keeps, for each datagram sent from now on, the moment when it was handed to the device (or to the loopback);
/// [`take_transmit_time`] fetches it. The datagrams themselves are not kept.
pub fn transmit_timestamps(socket: impl AsFd) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags as i32)
}

/// Takes one entry from the socket's error queue: the transmit time of the oldest datagram not yet asked for, nanoseconds since
/// the Unix epoch. None when there is no entry, or none with a time; never waits.
pub fn take_transmit_time(socket: impl AsFd) -> Option<i64> {
    /// Aligned as `struct cmsghdr` must be.
    #[repr(C, align(8))]
    struct Control([u8; CONTROL_BYTES]);
    let mut control = Control([0; CONTROL_BYTES]);
    let mut data = [0u8; 64];
    let mut vector = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    // SAFETY: msghdr is a plain C structure of integers and pointers, for which zeroes are valid.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: every pointer in the header is to a live buffer of ours with the length stated.
    let result = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &mut header, flags) };
    crate::check(i32::try_from(result).unwrap_or(0)).ok()?;
    let mut found = None;
    // SAFETY: the kernel filled the control buffer and set its length; the macros stay within it; unaligned reads are used, and
    // a timespec is read only where the message is long enough for one.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            let head = message.read_unaligned();
            let length = (head.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            let is_time = head.cmsg_level == libc::SOL_SOCKET && head.cmsg_type == libc::SCM_TIMESTAMPING;
            if is_time && length >= std::mem::size_of::<libc::timespec>() {
                // The first of the three is the software time.
                let time = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                if time.tv_sec != 0 {
                    found = Some(time.tv_sec * 1_000_000_000 + time.tv_nsec);
                }
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Goal: a sent datagram's time lies between the clock's readings around the call, and is given once.
    #[test]
    fn a_datagram_has_a_transmit_time() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        transmit_timestamps(&client).unwrap();
        assert_eq!(take_transmit_time(&client), None);
        let before = crate::clock::realtime_ns();
        client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        let after = crate::clock::realtime_ns();
        let time = take_transmit_time(&client).expect("loopback stamps at once");
        assert!((before..=after).contains(&time), "{before} {time} {after}");
        assert_eq!(take_transmit_time(&client), None);
    }
}
