//! Many datagrams in one system call.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::{Credentials, InternetName, to_storage};

/// Room for the control messages of one datagram: credentials, a timestamp, a drop count, and a few descriptors.
const CONTROL_BYTES: usize = 256;

/// `SCM_TIMESTAMPING_PKTINFO` (`<asm-generic/socket.h>`).
const SCM_TIMESTAMPING_PKTINFO: libc::c_int = 58;

/// Buffers for receiving up to a fixed number of datagrams at once, used again and again.
pub struct ReceiveBatch {
    datagram_bytes: usize,
    /// From the begin of a buffer to that of the next.
    stride: usize,
    data: Vec<u8>,
    control: Vec<ControlBuffer>,
    names: Vec<InternetName>,
    /// Point to the data; never changed after [`Self::new`].
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// Headers from the first on in which the kernel may have changed lengths since they were last set.
    touched: usize,
    received: usize,
    descriptors: Vec<Vec<OwnedFd>>,
    descriptors_kept: usize,
    /// Only internet sockets: no descriptor can come.
    internet: bool,
}

/// Lines of the processor's cache, in bytes.
const LINE_BYTES: usize = 64;
/// Buffers up to this size are spread over lines.
const SPREAD_BYTES_MAX: usize = 4096;

/// Aligned as `struct cmsghdr` must be, and so that a time and an address stand in one line.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct ControlBuffer([u8; CONTROL_BYTES]);

// SAFETY: the raw pointers in `vectors` and `headers` point into the vectors of the same value only, whose heap blocks never move or
// grow after `new`; moving the value to another thread leaves the heap blocks in place.
unsafe impl Send for ReceiveBatch {}

/// One received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The bytes, at most as many as a buffer holds.
    pub data: &'a [u8],
    /// The datagram was longer than the buffer.
    pub truncated: bool,
    /// The sender's internet address.
    pub source: Option<SocketAddr>,
    /// The sender, where [`super::pass_credentials`] is on.
    pub credentials: Option<Credentials>,
    /// Kernel receive time, nanoseconds since the Unix epoch, where [`super::receive_timestamps`] or [`super::card_timestamps`] is on.
    pub received_ns: Option<i64>,
    /// When the card received it, where [`super::card_timestamps`] is on.
    pub card: Option<CardStamp>,
    /// Datagrams that the kernel has dropped on this socket so far, where [`super::count_drops`] is on. Wraps.
    pub drops: Option<u32>,
    /// The local address that it was sent to, where [`super::local_addresses`] is on.
    pub local: Option<IpAddr>,
}

/// A stamp of a card's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardStamp {
    /// What the card's clock showed, nanoseconds since its epoch.
    pub card_ns: i64,
    /// The interface by its number; none where the kernel did not say.
    pub interface: Option<u32>,
    /// The length of the frame without its check sequence, in bytes; none where the kernel did not say.
    pub frame_bytes: Option<u32>,
}

impl ReceiveBatch {
    /// Room for `count` datagrams of at most `datagram_bytes` each.
    pub fn new(count: usize, datagram_bytes: usize) -> Self {
        // SAFETY: plain C structures of integers and pointers, for which zeroes are valid.
        let (vector, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // Short datagrams stand in one line of the processor's cache each, and those of several not at the same place of it.
        let lines = datagram_bytes.div_ceil(LINE_BYTES) | 1;
        let stride =
            if count > 1 && datagram_bytes <= SPREAD_BYTES_MAX { lines * LINE_BYTES } else { datagram_bytes };
        let mut batch = Self {
            datagram_bytes,
            stride,
            data: vec![0; count * stride],
            control: vec![ControlBuffer([0; CONTROL_BYTES]); count],
            names: vec![InternetName::NONE; count],
            vectors: vec![vector; count],
            headers: vec![header; count],
            touched: count,
            received: 0,
            descriptors: Vec::new(),
            descriptors_kept: 0,
            internet: false,
        };
        for index in 0..count {
            let start = index * stride;
            batch.vectors[index] = libc::iovec {
                iov_base: batch.data[start..start + datagram_bytes].as_mut_ptr().cast(),
                iov_len: datagram_bytes,
            };
            let header = &mut batch.headers[index].msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut batch.names[index]).cast();
            header.msg_iov = &mut batch.vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = batch.control[index].0.as_mut_ptr().cast();
        }
        batch
    }

    /// The same for internet sockets only, where no descriptor can come and none is looked for.
    pub fn for_internet(mut self) -> Self {
        self.internet = true;
        self
    }

    /// The same, which keeps the first `count` descriptors that come with a datagram; without this all are closed at once, so
    /// that no sender can fill the process's table of open files.
    pub fn with_descriptors(mut self, count: usize) -> Self {
        self.descriptors_kept = count;
        self
    }

    /// Closes the descriptors of the last [`Self::receive`] that were not taken.
    pub fn close_descriptors(&mut self) {
        self.descriptors.clear();
    }

    /// Receives what is there, at most the batch's count, without waiting; `WouldBlock` when nothing is. Forgets what the
    /// last call received.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.received = 0;
        self.descriptors.clear();
        for header in &mut self.headers[..self.touched] {
            let header = &mut header.msg_hdr;
            header.msg_namelen = std::mem::size_of::<InternetName>() as libc::socklen_t;
            header.msg_controllen = CONTROL_BYTES as _;
            header.msg_flags = 0;
        }
        self.touched = 0;
        // SAFETY: every pointer in the headers is into a live vector of ours, set by `new`; the lengths were set above wherever a call had
        // changed them; the count is the headers' own.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC,
                std::ptr::null_mut(),
            )
        };
        // Where the call ended, a header may have been begun.
        self.touched = (usize::try_from(count).unwrap_or(0) + 1).min(self.headers.len());
        let count = crate::check(count)?;
        self.received = usize::try_from(count).unwrap_or(0);
        if !self.internet {
            self.take_descriptors();
        }
        Ok(self.received)
    }

    /// The sender's internet address of the datagram `index` of the last [`Self::receive`].
    pub fn source(&self, index: usize) -> Option<SocketAddr> {
        let header = self.headers[..self.received].get(index)?;
        if header.msg_hdr.msg_namelen == 0 { None } else { self.names[index].get() }
    }

    /// The datagram `index` of the last [`Self::receive`].
    pub fn datagram(&self, index: usize) -> Option<Datagram<'_>> {
        if index >= self.received {
            return None;
        }
        let header = &self.headers[index];
        let length = (header.msg_len as usize).min(self.datagram_bytes);
        let start = index * self.stride;
        let mut datagram = Datagram {
            data: &self.data[start..start + length],
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            source: self.source(index),
            credentials: None,
            received_ns: None,
            card: None,
            drops: None,
            local: None,
        };
        let (mut interface, mut card_interface, mut frame_bytes) = (None, None, None);
        self.for_each_control(index, |level, kind, data| {
            match (level, kind) {
                // struct in_pktinfo: interface index, the address to reply from, the address that was written to.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    interface = word(data, 0);
                    let octets = data.get(4..).and_then(|rest| rest.first_chunk::<4>());
                    datagram.local = octets.map(|octets| IpAddr::from(*octets));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    interface = word(data, 16);
                    datagram.local = data.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
                }
                _ => {}
            }
            if level != libc::SOL_SOCKET {
                return;
            }
            if kind == libc::SCM_TIMESTAMPING {
                let (kernel_ns, card_ns) = stamps(data);
                datagram.received_ns = kernel_ns.or(datagram.received_ns);
                datagram.card =
                    card_ns.map(|card_ns| CardStamp { card_ns, interface: None, frame_bytes: None });
            } else if kind == SCM_TIMESTAMPING_PKTINFO {
                // struct scm_ts_pktinfo: interface index, frame length.
                (card_interface, frame_bytes) = (word(data, 0), word(data, 4));
            }
            // SAFETY: for each of the three, the kernel wrote a value of this type; the length is checked; unaligned reads are used.
            unsafe {
                if kind == libc::SCM_CREDENTIALS && data.len() >= std::mem::size_of::<libc::ucred>() {
                    let ucred = data.as_ptr().cast::<libc::ucred>().read_unaligned();
                    datagram.credentials = Some(Credentials {
                        pid: u32::try_from(ucred.pid).unwrap_or(0),
                        uid: ucred.uid,
                        gid: ucred.gid,
                    });
                } else if kind == libc::SCM_TIMESTAMPNS && data.len() >= std::mem::size_of::<libc::timespec>()
                {
                    let time = data.as_ptr().cast::<libc::timespec>().read_unaligned();
                    datagram.received_ns = Some(time.tv_sec * 1_000_000_000 + time.tv_nsec);
                } else if kind == libc::SO_RXQ_OVFL && data.len() >= 4 {
                    datagram.drops = Some(data.as_ptr().cast::<u32>().read_unaligned());
                }
            }
        });
        if let Some(card) = &mut datagram.card {
            card.interface = card_interface.filter(|index| *index != 0).or(interface);
            card.frame_bytes = frame_bytes.filter(|bytes| *bytes != 0);
        }
        Some(datagram)
    }

    /// Takes the descriptors that came with the datagram `index` (`SCM_RIGHTS`) and are kept; those not taken are closed by
    /// [`Self::close_descriptors`] or the next [`Self::receive`].
    pub fn descriptors(&mut self, index: usize) -> Vec<OwnedFd> {
        self.descriptors.get_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// Owns every received descriptor at once, so that none leaks however the caller goes on.
    fn take_descriptors(&mut self) {
        let mut all: Vec<Vec<OwnedFd>> = Vec::new();
        for index in 0..self.received {
            let mut raw = Vec::new();
            self.for_each_control(index, |level, kind, data| {
                if level == libc::SOL_SOCKET && kind == libc::SCM_RIGHTS {
                    raw.extend(
                        data.chunks_exact(4)
                            .map(|four| i32::from_ne_bytes([four[0], four[1], four[2], four[3]])),
                    );
                }
            });
            if !raw.is_empty() {
                all.resize_with(index + 1, Vec::new);
                // SAFETY: the kernel has just installed these descriptors for us, and nobody else knows them.
                all[index] = raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).collect();
                all[index].truncate(self.descriptors_kept);
            }
        }
        self.descriptors = all;
    }

    fn for_each_control(&self, index: usize, mut with: impl FnMut(libc::c_int, libc::c_int, &[u8])) {
        let header = &self.headers[index].msg_hdr;
        // SAFETY: the kernel filled the control buffer of this header and set its length; the macros stay within it.
        unsafe {
            let mut control = libc::CMSG_FIRSTHDR(header);
            while !control.is_null() {
                let head = control.read_unaligned();
                let data = libc::CMSG_DATA(control);
                let length = (head.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                with(head.cmsg_level, head.cmsg_type, std::slice::from_raw_parts(data, length));
                control = libc::CMSG_NXTHDR(header, control);
            }
        }
    }
}

/// The integer of a control message's data at an offset.
pub(super) fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| u32::from_ne_bytes(*bytes))
}

/// The kernel's and the card's time, nanoseconds, of the three of `struct scm_timestamping`: software, none, raw hardware.
pub(super) fn stamps(data: &[u8]) -> (Option<i64>, Option<i64>) {
    const TIMESPEC: usize = std::mem::size_of::<libc::timespec>();
    let time = |number: usize| {
        let part = data.get(number * TIMESPEC..)?.first_chunk::<TIMESPEC>()?;
        // SAFETY: the bytes of a timespec, all of them, which may stand anywhere.
        let time = unsafe { part.as_ptr().cast::<libc::timespec>().read_unaligned() };
        let is_set = time.tv_sec != 0 || time.tv_nsec != 0;
        is_set.then(|| time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec))
    };
    (time(0), time(2))
}

/// One datagram to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Whereto; none on a connected socket.
    pub destination: Option<SocketAddr>,
}

/// Sends the datagrams in order without waiting; returns how many went (`sendmmsg(2)`). An error means that none went.
pub fn send_batch(socket: impl AsFd, datagrams: &[Outgoing<'_>]) -> io::Result<usize> {
    let mut names: Vec<(libc::sockaddr_storage, libc::socklen_t)> = datagrams
        .iter()
        // SAFETY: sockaddr_storage is a plain C structure for which zeroes are valid.
        .map(|one| one.destination.as_ref().map_or_else(|| (unsafe { std::mem::zeroed() }, 0), to_storage))
        .collect();
    let mut vectors: Vec<libc::iovec> = datagrams
        .iter()
        .map(|one| libc::iovec { iov_base: one.data.as_ptr().cast_mut().cast(), iov_len: one.data.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = Vec::with_capacity(datagrams.len());
    for ((name, length), vector) in names.iter_mut().zip(&mut vectors) {
        // SAFETY: mmsghdr is a plain C structure for which zeroes are valid.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        if *length > 0 {
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = *length;
        }
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
        headers.push(header);
    }
    // SAFETY: every pointer is into a live vector; the kernel only reads the data.
    let count = unsafe {
        libc::sendmmsg(
            socket.as_fd().as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as libc::c_uint,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        )
    };
    crate::check(count).map(|count| usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::unix::net::UnixDatagram;

    /// Goal: what is sent in one batch comes back in one batch with sender and receive time, and truncation is told.
    #[test]
    fn batches_carry_addresses_and_times() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        super::super::receive_timestamps(&server).unwrap();
        super::super::count_drops(&server).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = Some(server.local_addr().unwrap());
        let out = [
            Outgoing { data: b"one", destination: to },
            Outgoing { data: b"longer than eight", destination: to },
        ];
        assert_eq!(send_batch(&client, &out).unwrap(), 2);
        let mut batch = ReceiveBatch::new(4, 8);
        assert_eq!(batch.receive(&server).unwrap(), 2);
        let first = batch.datagram(0).unwrap();
        assert_eq!((first.data, first.truncated), (&b"one"[..], false));
        assert_eq!(first.source, client.local_addr().ok());
        assert!(first.received_ns.unwrap() > 1_600_000_000_000_000_000);
        let second = batch.datagram(1).unwrap();
        assert_eq!((second.data, second.truncated), (&b"longer t"[..], true));
        assert!(batch.datagram(2).is_none());
        assert_eq!(batch.receive(&server).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// Goal: a Unix datagram says who sent it.
    #[test]
    fn unix_datagrams_carry_credentials() {
        let (one, other) = UnixDatagram::pair().unwrap();
        super::super::pass_credentials(&other).unwrap();
        one.send(b"hello").unwrap();
        let mut batch = ReceiveBatch::new(2, 64);
        assert_eq!(batch.receive(&other).unwrap(), 1);
        let got = batch.datagram(0).unwrap();
        assert_eq!(got.data, b"hello");
        assert_eq!(got.credentials.unwrap().pid, std::process::id());
    }

    /// Goal: descriptors that nobody asked for are closed when the call returns, and of those asked for only the first are kept.
    #[test]
    fn unwanted_descriptors_are_closed() {
        for (kept, expected) in [(0, 0), (2, 2)] {
            let (one, other) = std::os::unix::net::UnixDatagram::pair().unwrap();
            let (reader, writer) = std::io::pipe().unwrap();
            let sent: Vec<libc::c_int> = vec![writer.as_raw_fd(); 20];
            let mut control = ControlBuffer([0; CONTROL_BYTES]);
            let mut byte = *b"x";
            let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
            let length = u32::try_from(std::mem::size_of_val(sent.as_slice())).unwrap();
            // SAFETY: a plain C structure; all pointers are to live buffers, and the control message fits (20 descriptors of 4 bytes).
            unsafe {
                let mut header: libc::msghdr = std::mem::zeroed();
                header.msg_iov = &mut vector;
                header.msg_iovlen = 1;
                header.msg_control = control.0.as_mut_ptr().cast();
                header.msg_controllen = libc::CMSG_SPACE(length) as _;
                let head = libc::CMSG_FIRSTHDR(&header);
                (*head).cmsg_level = libc::SOL_SOCKET;
                (*head).cmsg_type = libc::SCM_RIGHTS;
                (*head).cmsg_len = libc::CMSG_LEN(length) as _;
                std::ptr::copy_nonoverlapping(
                    sent.as_ptr().cast::<u8>(),
                    libc::CMSG_DATA(head),
                    length as usize,
                );
                assert_eq!(libc::sendmsg(one.as_raw_fd(), &header, 0), 1);
            }
            drop(writer);
            let mut batch = ReceiveBatch::new(2, 64).with_descriptors(kept);
            assert_eq!(batch.receive(&other).unwrap(), 1);
            let taken = batch.descriptors(0);
            assert_eq!(taken.len(), expected);
            drop(taken);
            // The pipe's end is told only when no copy of its other end is open.
            let mut rest = Vec::new();
            std::io::Read::read_to_end(&mut &reader, &mut rest).unwrap();
        }
    }
}
