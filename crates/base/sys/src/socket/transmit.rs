//! When a datagram really left: the kernel's transmit timestamps (`SO_TIMESTAMPING`, kernel documentation
//! `networking/timestamping.rst`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::batch::{CardStamp, stamps, word};
use super::set_option;

/// Room for a datagram that comes back with its headers: what fits into an Ethernet frame.
const FRAME_BYTES: usize = 1600;
/// Room for the control messages of one entry of the error queue: three timestamps and an extended error.
pub(super) const CONTROL_BYTES: usize = 256;

/// The kernel keeps, for each datagram sent from now on, the moment when it was handed to the device (or to the loopback);
/// [`take_transmit_time`] fetches it. The datagrams themselves are not kept.
pub fn transmit_timestamps(socket: impl AsFd) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags as i32)
}

/// Every datagram that leaves or comes is stamped by the kernel and, where it can, by the card. Received stamps come with the
/// datagram ([`super::Datagram::card`]), those of sent ones by [`take_departure`]. `ipv4`: the socket's family.
pub fn card_timestamps(socket: impl AsFd, ipv4: bool) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_TX_HARDWARE
        | libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_RX_HARDWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_RAW_HARDWARE;
    // The interface of a sent datagram, both stamps of it (Linux 4.13), and the length of a received frame.
    let more = libc::SOF_TIMESTAMPING_OPT_CMSG
        | libc::SOF_TIMESTAMPING_OPT_TX_SWHW
        | libc::SOF_TIMESTAMPING_OPT_PKTINFO;
    let set = |flags| set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
    set((flags | more) as i32).or_else(|_| set(flags as i32))?;
    super::local_addresses(&socket, ipv4)
}

/// When a sent datagram left: an entry of the error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The kernel's time, nanoseconds since the Unix epoch.
    pub kernel_ns: Option<i64>,
    /// The card's.
    pub card: Option<CardStamp>,
}

/// Takes one entry of the error queue of a socket with [`card_timestamps`]; none when there is none. Never waits.
pub fn take_departure(socket: impl AsFd) -> Option<Left> {
    let entry = take_entry(socket.as_fd().as_raw_fd())?;
    let card = entry.card_ns.map(|card_ns| CardStamp {
        card_ns,
        interface: entry.interface,
        frame_bytes: u32::try_from(entry.bytes).ok().filter(|bytes| *bytes > 0),
    });
    Some(Left { kernel_ns: entry.sent_ns, card })
}

/// The kernel tells when a datagram left for those that are sent with a request for it ([`super::SendBatch::stamp`]); they are counted from
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

/// Bytes of a packet that an entry may bring, which are not read.
const DATA_BYTES: usize = 64;
/// Entries that are taken from an error queue in one system call.
const ENTRIES: usize = 64;

/// Takes transmit times from error queues, many in one system call, into buffers that are used again and again.
pub struct StampBatch {
    control: Vec<Control>,
    headers: Vec<libc::mmsghdr>,
    /// Where an entry would put the packet that it tells of, cut short: nobody reads it, but a simulator of the C library writes it.
    _data: Vec<u8>,
    _parts: Vec<libc::iovec>,
    /// `recvmmsg(2)` does not work here: a simulator of the C library does not know it.
    one_by_one: bool,
}

// SAFETY: the raw pointers in `headers` point into `control`, `_data` and `_parts` of the same value only, whose heap blocks never move or
// grow after `new`; moving the value to another thread leaves them in place.
unsafe impl Send for StampBatch {}

impl Default for StampBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl StampBatch {
    /// Buffers.
    pub fn new() -> Self {
        // SAFETY: a plain C structure of integers and pointers, for which zeroes are valid.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let mut data = vec![0; DATA_BYTES];
        let mut parts = vec![libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: DATA_BYTES }];
        let mut batch = Self {
            control: vec![Control([0; CONTROL_BYTES]); ENTRIES],
            headers: vec![header; ENTRIES],
            _data: data,
            _parts: Vec::new(),
            one_by_one: false,
        };
        for (header, control) in batch.headers.iter_mut().zip(&mut batch.control) {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = parts.as_mut_ptr();
            header.msg_hdr.msg_iovlen = 1;
        }
        batch._parts = parts;
        batch
    }

    /// Takes what stands in the socket's error queue without waiting, about `limit` entries at most, and gives every transmit time to
    /// `take`.
    pub fn take(&mut self, socket: impl AsFd, limit: usize, mut take: impl FnMut(TransmitStamp)) {
        let socket = socket.as_fd().as_raw_fd();
        let mut give = |entry: Entry| {
            if let Entry { sent_ns: Some(sent_ns), number: Some(number), .. } = entry {
                take(TransmitStamp { number, sent_ns });
            }
        };
        let mut taken = 0;
        while taken < limit {
            if self.one_by_one {
                let Some(entry) = take_entry(socket) else { return };
                give(entry);
                taken += 1;
                continue;
            }
            for header in &mut self.headers {
                header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
                header.msg_hdr.msg_flags = 0;
            }
            // SAFETY: the control pointers are into a live vector of ours with the length stated, the one part for data is a live vector's,
            // and there are no names. All entries may write the same part: nobody reads it.
            let count = unsafe {
                libc::recvmmsg(
                    socket,
                    self.headers.as_mut_ptr(),
                    self.headers.len() as libc::c_uint,
                    libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
                    std::ptr::null_mut(),
                )
            };
            let Ok(count) = usize::try_from(count) else {
                match io::Error::last_os_error().raw_os_error() {
                    // The descriptor is good for recvmsg(2) only.
                    Some(libc::ENOSYS | libc::EBADF | libc::ENOTSOCK) => self.one_by_one = true,
                    Some(libc::EINTR) => {}
                    _ => return,
                }
                continue;
            };
            for header in self.headers.iter().take(count) {
                give(read_entry(&header.msg_hdr));
            }
            taken += count;
            if count < self.headers.len() {
                return;
            }
        }
    }
}

/// Takes one entry from the socket's error queue: the transmit time of the oldest datagram not yet asked for, nanoseconds since
/// the Unix epoch. None when there is no entry, or none with a time; never waits.
pub fn take_transmit_time(socket: impl AsFd) -> Option<i64> {
    take_entry(socket.as_fd().as_raw_fd())?.sent_ns
}

/// One entry of an error queue.
pub(super) struct Entry {
    /// The software transmit time.
    pub(super) sent_ns: Option<i64>,
    /// The card's.
    pub(super) card_ns: Option<i64>,
    /// The interface that it left by, where that is known.
    pub(super) interface: Option<u32>,
    /// The length of the frame, where it came back.
    bytes: usize,
    /// The datagram's number, where they are counted.
    pub(super) number: Option<u32>,
}

/// Aligned as `struct cmsghdr` must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(super) struct Control(pub(super) [u8; CONTROL_BYTES]);

fn take_entry(socket: RawFd) -> Option<Entry> {
    let mut control = Control([0; CONTROL_BYTES]);
    let mut data = [0u8; FRAME_BYTES];
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
    let mut entry = read_entry(&header);
    entry.bytes = usize::try_from(result).unwrap_or(0);
    Some(entry)
}

/// What the control messages of a header say; the kernel has filled its control buffer, which is live, and set its length.
pub(super) fn read_entry(header: &libc::msghdr) -> Entry {
    let mut entry = Entry { sent_ns: None, card_ns: None, interface: None, bytes: 0, number: None };
    // SAFETY: the kernel filled the control buffer and set its length; the macros stay within it; unaligned reads are used, and
    // a structure is read only where the message is long enough for one.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while !message.is_null() {
            let head = message.read_unaligned();
            let length = (head.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            match (head.cmsg_level, head.cmsg_type) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                    let data = std::slice::from_raw_parts(libc::CMSG_DATA(message), length);
                    (entry.sent_ns, entry.card_ns) = stamps(data);
                }
                (libc::SOL_IP, libc::IP_PKTINFO) => {
                    entry.interface = word(std::slice::from_raw_parts(libc::CMSG_DATA(message), length), 0);
                }
                (libc::SOL_IPV6, libc::IPV6_PKTINFO) => {
                    entry.interface = word(std::slice::from_raw_parts(libc::CMSG_DATA(message), length), 16);
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
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    entry
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

    /// Goal: where no card stamps, the kernel's stamps come both ways all the same, and say the interface.
    #[test]
    fn without_a_card_the_kernel_stamps() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        server.connect(client.local_addr().unwrap()).unwrap();
        card_timestamps(&client, true).unwrap();
        let before = crate::clock::realtime_ns();
        client.send(b"x").unwrap();
        let left = take_departure(&client).expect("loopback stamps at once");
        assert!(left.kernel_ns.is_some_and(|at| at >= before) && left.card.is_none(), "{left:?}");
        assert_eq!(take_departure(&client), None);
        let mut batch = crate::socket::ReceiveBatch::new(2, 8);
        client.set_nonblocking(true).unwrap();
        // The kernel begins to stamp what comes some time after it was asked.
        let stamped = (0..1_000).any(|_| {
            server.send(b"y").unwrap();
            assert_eq!(batch.receive(&client).unwrap(), 1);
            let datagram = batch.datagram(0).unwrap();
            assert!(datagram.card.is_none() && datagram.data == b"y");
            std::thread::yield_now();
            datagram.received_ns.is_some_and(|at| at >= before)
        });
        assert!(stamped);
    }

    /// Goal: more stamps than one system call takes are all given once, in order, by one system call for many or one for each.
    #[test]
    fn many_stamps_come_in_batches() {
        use crate::socket::{Departure, SendBatch};
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        transmit_stamps_on_request(&client).unwrap();
        let count = ENTRIES + 20;
        for (one_by_one, first) in [(false, 0), (true, count as u32)] {
            let mut batch = SendBatch::new(count, 8);
            for _ in 0..count {
                batch.push(8, &Departure { destination: server.local_addr().ok(), source: None });
            }
            assert!((0..count).all(|number| batch.stamp(number)));
            assert!(!batch.stamp(count), "there is none");
            assert_eq!(batch.send(&client), count);
            let mut stamps = StampBatch { one_by_one, ..StampBatch::new() };
            let mut numbers = Vec::new();
            stamps.take(&client, 1000, |stamp| numbers.push(stamp.number));
            assert_eq!(numbers, (first..first + count as u32).collect::<Vec<_>>());
        }
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
            batch.push(8, &Departure { destination: server.local_addr().ok(), source });
            assert!(!stamped || batch.stamp(batch.len() - 1));
        }
        let before = crate::clock::realtime_ns();
        assert_eq!(batch.send(&client), 4);
        let mut stamps = Vec::new();
        StampBatch::new().take(&client, 10, |stamp| stamps.push(stamp));
        assert_eq!(stamps.iter().map(|stamp| stamp.number).collect::<Vec<_>>(), [0, 1]);
        assert!(stamps.iter().all(|stamp| stamp.sent_ns >= before));
    }
}
