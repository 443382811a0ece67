//! When a datagram really left: the kernel's transmit timestamps (`SO_TIMESTAMPING`, kernel documentation
//! `networking/timestamping.rst`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

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

/// The kernel tells when a datagram left for those that are sent with a request for it ([`super::Departure`]); they are counted from
/// 0, and [`take_transmit_stamps`] fetches what it told. Other datagrams cost nothing.
pub fn transmit_stamps_on_request(socket: impl AsFd) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_TSONLY
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_CMSG;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags as i32)
}

/// The counting of [`transmit_stamps_on_request`] starts at 0 again; what the error queue still holds is thrown away.
pub fn restart_transmit_stamps(socket: impl AsFd) -> io::Result<()> {
    set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, 0)?;
    while take_entry(socket.as_fd().as_raw_fd()).is_some() {}
    transmit_stamps_on_request(socket)
}

/// When a datagram left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransmitStamp {
    /// The datagram's number among those that were sent with a request on this socket, from 0. Wraps.
    pub number: u32,
    /// Nanoseconds since the Unix epoch.
    pub sent_ns: i64,
}

/// Takes what stands in the socket's error queue without waiting, at most `limit` entries, and gives every transmit time to `take`.
pub fn take_transmit_stamps(socket: impl AsFd, limit: usize, mut take: impl FnMut(TransmitStamp)) {
    let socket = socket.as_fd();
    for _ in 0..limit {
        match take_entry(socket.as_raw_fd()) {
            Some(Entry { sent_ns: Some(sent_ns), number: Some(number) }) => {
                take(TransmitStamp { number, sent_ns });
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Takes one entry from the socket's error queue: the transmit time of the oldest datagram not yet asked for, nanoseconds since
/// the Unix epoch. None when there is no entry, or none with a time; never waits.
pub fn take_transmit_time(socket: impl AsFd) -> Option<i64> {
    take_entry(socket.as_fd().as_raw_fd())?.sent_ns
}

/// One entry of an error queue.
struct Entry {
    /// The software transmit time.
    sent_ns: Option<i64>,
    /// The datagram's number, where they are counted.
    number: Option<u32>,
}

fn take_entry(socket: RawFd) -> Option<Entry> {
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
    let result = unsafe { libc::recvmsg(socket, &mut header, flags) };
    crate::check(i32::try_from(result).unwrap_or(0)).ok()?;
    let mut entry = Entry { sent_ns: None, number: None };
    // SAFETY: the kernel filled the control buffer and set its length; the macros stay within it; unaligned reads are used, and
    // a structure is read only where the message is long enough for one.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&header);
        while !message.is_null() {
            let head = message.read_unaligned();
            let length = (head.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING)
                    if length >= std::mem::size_of::<libc::timespec>() =>
                {
                    // The first of the three is the software time.
                    let time = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
                    if time.tv_sec != 0 {
                        entry.sent_ns = Some(time.tv_sec * 1_000_000_000 + time.tv_nsec);
                    }
                }
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
                    if length >= std::mem::size_of::<libc::sock_extended_err>() =>
                {
                    let error = libc::CMSG_DATA(message).cast::<libc::sock_extended_err>().read_unaligned();
                    if error.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING {
                        entry.number = Some(error.ee_data);
                    }
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(&header, message);
        }
    }
    Some(entry)
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

    /// Goal: of several datagrams only those sent with a request are stamped, and the numbers tell which.
    #[test]
    fn stamps_come_for_those_that_asked() {
        use crate::socket::{Departure, SendBatch};
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        transmit_stamps_on_request(&client).unwrap();
        let mut batch = SendBatch::new(4, 8);
        for stamped in [true, false, true, false] {
            let source = Some("127.0.0.1".parse().unwrap());
            batch.push(8, &Departure { destination: server.local_addr().ok(), source, stamped });
        }
        let before = crate::clock::realtime_ns();
        assert_eq!(batch.send(&client), 4);
        let mut stamps = Vec::new();
        take_transmit_stamps(&client, 10, |stamp| stamps.push(stamp));
        assert_eq!(stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>(), [0, 1]);
        assert!(stamps.iter().all(|stamp| stamp.sent_ns >= before));
    }
}
