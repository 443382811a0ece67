//! When a server's datagrams came and left by the cards' clocks: stamps of received ones with each, those of sent ones on request,
//! through the error queue (`SO_TIMESTAMPING`, kernel documentation `networking/timestamping.rst`).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::batch::CardStamp;
use super::transmit::{CONTROL_BYTES, Control, Left, read_entry};
use super::{local_addresses, set_option};

/// Room for a frame that comes back: the longest packet of NTP with its headers.
const FRAME_BYTES: usize = 2048;
/// Entries that are taken in one system call.
const ENTRIES: usize = 16;

/// Every datagram that comes is stamped by the kernel and, where it can, by the card ([`super::Datagram::card`]); one that is sent with
/// a request for it ([`super::SendBatch::stamp`], [`super::SendBatch::stamped_by_cards`]) likewise, and [`DepartureBatch`] fetches those
/// stamps. `ipv4`: the socket's family.
pub fn card_stamps_on_request(socket: impl AsFd, ipv4: bool) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_RX_HARDWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_RAW_HARDWARE
        | libc::SOF_TIMESTAMPING_OPT_CMSG
        | libc::SOF_TIMESTAMPING_OPT_ID;
    // Both stamps of a sent datagram and the length of a received frame (Linux 4.13).
    let more = libc::SOF_TIMESTAMPING_OPT_TX_SWHW | libc::SOF_TIMESTAMPING_OPT_PKTINFO;
    let set = |flags| set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
    set((flags | more) as i32).or_else(|_| set(flags as i32))?;
    // Who sent and received it must be known to know whose clock a stamp is.
    local_addresses(&socket, ipv4)
}

/// A datagram that left.
#[derive(Debug)]
pub struct Departed<'a> {
    /// Its number among those that were sent with a request, from 0; wraps. Simulators do not count.
    pub number: Option<u32>,
    /// When.
    pub left: Left,
    /// The frame as it left, headers before the datagram included.
    pub frame: &'a [u8],
}

/// Takes entries from error queues, several in one system call, into buffers that are used again and again.
pub struct DepartureBatch {
    _control: Vec<Control>,
    data: Vec<u8>,
    _parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the raw pointers in `headers` and `_parts` point into the vectors of the same value only, whose heap blocks never move or
// grow after `new`; moving the value to another thread leaves the heap blocks in place.
unsafe impl Send for DepartureBatch {}

impl Default for DepartureBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl DepartureBatch {
    /// Buffers.
    pub fn new() -> Self {
        // SAFETY: a plain C structure of integers and pointers, for which zeroes are valid.
        let header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let mut data = vec![0; ENTRIES * FRAME_BYTES];
        let mut control = vec![Control([0; CONTROL_BYTES]); ENTRIES];
        let mut parts: Vec<libc::iovec> = data
            .chunks_exact_mut(FRAME_BYTES)
            .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: FRAME_BYTES })
            .collect();
        let mut headers = vec![header; ENTRIES];
        for ((header, control), part) in headers.iter_mut().zip(&mut control).zip(&mut parts) {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
        }
        Self { _control: control, data, _parts: parts, headers }
    }

    /// Takes what one system call brings from the socket's error queue, without waiting, and gives it to `take`. To be called when
    /// poll(2) tells of such ([`crate::poll::Readiness::priority`]); it tells again where more is left.
    pub fn take(&mut self, socket: impl AsFd, mut take: impl FnMut(Departed<'_>)) {
        for header in &mut self.headers {
            header.msg_hdr.msg_controllen = CONTROL_BYTES as _;
            header.msg_hdr.msg_flags = 0;
        }
        // SAFETY: every pointer in the headers is into a live vector of ours, set by `new`, with the length stated; there are no names.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let taken = self.headers.iter().zip(self.data.chunks_exact(FRAME_BYTES));
        for (header, data) in taken.take(usize::try_from(count).unwrap_or(0)) {
            let entry = read_entry(&header.msg_hdr);
            let frame = data.get(..(header.msg_len as usize).min(FRAME_BYTES)).unwrap_or_default();
            let card = entry.card_ns.map(|card_ns| CardStamp {
                card_ns,
                interface: entry.interface,
                frame_bytes: None,
            });
            take(Departed { number: entry.number, left: Left { kernel_ns: entry.sent_ns, card }, frame });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Departure, ReceiveBatch, SendBatch};
    use std::net::UdpSocket;

    /// Goal: where no card stamps, the kernel's stamps come all the same: for what was asked for, in order, with the frame that ends
    /// with what was sent, and with nothing left when they are taken; what is not asked for has none.
    #[test]
    fn stamps_come_for_what_was_asked() {
        for ipv4 in [true, false] {
            let own = if ipv4 { "127.0.0.1:0" } else { "[::1]:0" };
            let (Ok(server), Ok(client)) = (UdpSocket::bind(own), UdpSocket::bind(own)) else { continue };
            server.set_nonblocking(true).unwrap();
            card_stamps_on_request(&server, ipv4).unwrap();
            let to = client.local_addr().ok();
            let mut replies = SendBatch::new(64, 8);
            replies.stamped_by_cards();
            let before = crate::clock::realtime_ns();
            for number in 0..40_u8 {
                replies.buffer()[..4].fill(number);
                replies.push(4, &Departure { destination: to, source: None });
                assert!(number % 2 != 0 || replies.stamp(usize::from(number)));
            }
            assert_eq!(replies.send(&server), 40);
            let mut batch = DepartureBatch::new();
            let mut found = Vec::new();
            for _ in 0..4 {
                batch.take(&server, |one| {
                    assert!(one.left.kernel_ns.is_some_and(|at| at >= before) && one.left.card.is_none());
                    found.push((one.number.unwrap_or(99), one.frame.last_chunk::<4>().copied()));
                });
            }
            let expected: Vec<_> = (0..20_u8).map(|at| (u32::from(at), Some([2 * at; 4]))).collect();
            assert_eq!(found, expected);
            batch.take(&server, |_| panic!("there is no other"));
            // What comes is stamped, and says by which interface and address it came.
            let mut requests = ReceiveBatch::new(2, 8);
            let stamped = (0..1_000).any(|_| {
                client.send_to(b"y", server.local_addr().unwrap()).unwrap();
                assert_eq!(requests.receive(&server).unwrap(), 1);
                let datagram = requests.datagram(0).unwrap();
                assert!(datagram.card.is_none() && datagram.local.is_some());
                std::thread::yield_now();
                datagram.received_ns.is_some_and(|at| at >= before)
            });
            assert!(stamped);
        }
    }
}
