//! Many datagrams out in one system call, from buffers that are used again and again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::{set_option, to_storage};

/// Room for the control messages of one datagram: the address that it leaves from, IPv4 or IPv6, and a request for its
/// transmit time. As small as can be: the kernel keeps up to 36 bytes on its stack and allocates for more.
const CONTROL_BYTES: usize = 72;

/// Every datagram received on a UDP socket comes with the local address that it was sent to (`IP_PKTINFO`,
/// `IPV6_RECVPKTINFO`), so that the reply can leave from there.
pub fn local_addresses(socket: impl AsFd, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Datagrams over IPv4 are not cut into fragments on their way, and what a forger says of the way's width is not believed
/// (`IP_MTU_DISCOVER` with `IP_PMTUDISC_PROBE`). For datagrams that fit everywhere: nobody can slip a fragment of his own into
/// them, and the kernel need not number them, which is a tenth of what sending a small one costs.
pub fn never_fragment(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)
}

/// What a datagram is sent with beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Departure {
    /// Whereto; none on a connected socket.
    pub destination: Option<SocketAddr>,
    /// The local address that it leaves from; none leaves the choice to the kernel. Of the destination's family.
    pub source: Option<IpAddr>,
    /// The kernel tells when it left, through the error queue, where [`super::transmit_stamps_on_request`] is on.
    pub stamped: bool,
}

/// Datagrams that are written into buffers of ours and sent together.
pub struct SendBatch {
    datagram_bytes: usize,
    data: Vec<u8>,
    control: Vec<ControlBuffer>,
    names: Vec<libc::sockaddr_storage>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    filled: usize,
    /// `sendmmsg(2)` does not work here: a simulator of the C library does not know it.
    one_by_one: bool,
}

/// Aligned as `struct cmsghdr` must be.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct ControlBuffer([u8; CONTROL_BYTES]);

// SAFETY: the raw pointers in `vectors` and `headers` point into the vectors of the same value only, whose heap blocks never move
// or grow after `new`, and are used in system calls only; moving the value to another thread leaves the heap blocks in place.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Room for `count` datagrams of at most `datagram_bytes` each.
    pub fn new(count: usize, datagram_bytes: usize) -> Self {
        // SAFETY: the three are plain C structures of integers and pointers, for which zeroes are valid.
        let (name, vector, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            datagram_bytes,
            data: vec![0; count * datagram_bytes],
            control: vec![ControlBuffer([0; CONTROL_BYTES]); count],
            names: vec![name; count],
            vectors: vec![vector; count],
            headers: vec![header; count],
            filled: 0,
            one_by_one: false,
        }
    }

    /// Datagrams that wait to be sent.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// There is no room for another.
    pub fn is_full(&self) -> bool {
        self.filled == self.headers.len()
    }

    /// The buffer of the next datagram; empty when the batch is full.
    pub fn buffer(&mut self) -> &mut [u8] {
        let start = self.filled * self.datagram_bytes;
        self.data.get_mut(start..start + self.datagram_bytes).unwrap_or_default()
    }

    /// The first `length` bytes of [`Self::buffer`] are a datagram. Nothing happens when the batch is full.
    pub fn push(&mut self, length: usize, departure: &Departure) {
        let index = self.filled;
        if index >= self.headers.len() {
            return;
        }
        self.filled += 1;
        let start = index * self.datagram_bytes;
        self.vectors[index] = libc::iovec {
            iov_base: self.data[start..start + self.datagram_bytes].as_mut_ptr().cast(),
            iov_len: length.min(self.datagram_bytes),
        };
        let header = &mut self.headers[index].msg_hdr;
        header.msg_iov = &mut self.vectors[index];
        header.msg_iovlen = 1;
        match departure.destination {
            Some(destination) => {
                let (storage, length) = to_storage(&destination);
                self.names[index] = storage;
                header.msg_name = std::ptr::from_mut(&mut self.names[index]).cast();
                header.msg_namelen = length;
            }
            None => (header.msg_name, header.msg_namelen) = (std::ptr::null_mut(), 0),
        }
        header.msg_control = self.control[index].0.as_mut_ptr().cast();
        header.msg_controllen = CONTROL_BYTES as _;
        let used = fill_control(header, departure);
        header.msg_controllen = used as _;
        if used == 0 {
            header.msg_control = std::ptr::null_mut();
        }
    }

    /// Sends what waits, in order, and empties the batch. Returns how many went; one that the kernel refuses is a lost datagram
    /// like any other and does not keep back those behind it.
    pub fn send(&mut self, socket: impl AsFd) -> usize {
        let socket = socket.as_fd().as_raw_fd();
        let (mut at, mut went) = (0, 0);
        while at < self.filled {
            if self.one_by_one || self.filled - at == 1 {
                went += usize::from(self.send_one(socket, at));
                at += 1;
                continue;
            }
            let rest = &mut self.headers[at..self.filled];
            // SAFETY: every pointer in the headers is into a live vector of ours, set by `push`; the kernel only reads the data.
            let count = unsafe {
                libc::sendmmsg(
                    socket,
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    went += count;
                    at += count;
                }
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    // The descriptor is good for sendmsg(2) only.
                    Some(libc::ENOSYS | libc::EBADF | libc::ENOTSOCK) => self.one_by_one = true,
                    Some(libc::EINTR) => {}
                    _ => at += 1,
                },
            }
        }
        self.filled = 0;
        went
    }

    fn send_one(&mut self, socket: RawFd, index: usize) -> bool {
        // SAFETY: as in `send`.
        let sent = unsafe {
            libc::sendmsg(socket, &self.headers[index].msg_hdr, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        sent >= 0
    }
}

/// Writes the control messages into the header's buffer of [`CONTROL_BYTES`]; returns their length.
fn fill_control(header: &libc::msghdr, departure: &Departure) -> usize {
    let mut used = 0;
    // SAFETY: the header's control buffer is live, aligned, and large enough for one address of either family and one integer
    // (CMSG_SPACE(20) + CMSG_SPACE(4) = 64); CMSG_FIRSTHDR and the step by CMSG_SPACE stay within it.
    unsafe {
        let mut place = libc::CMSG_FIRSTHDR(header);
        let mut put = |level: libc::c_int, kind: libc::c_int, bytes: &[u8]| {
            let head = libc::cmsghdr {
                cmsg_len: libc::CMSG_LEN(bytes.len() as u32) as _,
                cmsg_level: level,
                cmsg_type: kind,
            };
            place.write(head);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), libc::CMSG_DATA(place), bytes.len());
            let space = libc::CMSG_SPACE(bytes.len() as u32) as usize;
            used += space;
            place = place.cast::<u8>().add(space).cast();
        };
        match departure.source {
            Some(IpAddr::V4(address)) => {
                // struct in_pktinfo: interface index, source, unused when sending.
                let mut info = [0_u8; 12];
                info[4..8].copy_from_slice(&address.octets());
                put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(IpAddr::V6(address)) => {
                // struct in6_pktinfo: source, interface index.
                let mut info = [0_u8; 20];
                info[..16].copy_from_slice(&address.octets());
                put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        if departure.stamped {
            put(libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &libc::SOF_TIMESTAMPING_TX_SOFTWARE.to_ne_bytes());
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::{Listen, ReceiveBatch, bind_udp};

    /// Goal: a socket for every address tells which one was asked, and replies leave from there; a batch and a single datagram
    /// alike, both families.
    #[test]
    fn replies_leave_from_the_address_that_was_asked() {
        for (any, asked, client) in [
            ("0.0.0.0:0", &["127.3.2.1", "127.0.0.1", "127.9.9.9"][..], "127.0.0.1:0"),
            ("[::]:0", &["::1"], "[::1]:0"),
        ] {
            let Ok(server) = bind_udp(any.parse().unwrap(), Listen::default()) else { continue };
            let ipv4 = any.starts_with('0');
            local_addresses(&server, ipv4).unwrap();
            let port = server.local_addr().unwrap().port();
            let Ok(client) = std::net::UdpSocket::bind(client) else { continue };
            client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
            for address in asked {
                let to = SocketAddr::new(address.parse().unwrap(), port);
                client.send_to(address.as_bytes(), to).unwrap();
            }
            let mut requests = ReceiveBatch::new(8, 64);
            let mut replies = SendBatch::new(8, 64);
            assert_eq!(requests.receive(&server).unwrap(), asked.len());
            for (index, address) in asked.iter().enumerate() {
                let request = requests.datagram(index).unwrap();
                assert_eq!(request.local.map(|local| local.to_string()).as_deref(), Some(*address));
                let departure =
                    Departure { destination: request.source, source: request.local, stamped: false };
                replies.buffer()[..request.data.len()].copy_from_slice(request.data);
                replies.push(request.data.len(), &departure);
            }
            assert_eq!(replies.send(&server), asked.len());
            assert!(replies.is_empty());
            for address in asked {
                let mut buffer = [0; 64];
                let (length, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..length], address.as_bytes());
                assert_eq!(from.ip().to_string(), *address);
            }
        }
    }

    /// Goal: where sendmmsg(2) is refused for the descriptor, the datagrams are tried one by one, and none hangs.
    #[test]
    fn a_refused_datagram_does_not_keep_back_the_others() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let mut batch = SendBatch::new(4, 8);
        for source in ["127.0.0.1", "192.0.2.77", "127.0.0.1"] {
            let departure =
                Departure { destination: Some(to), source: Some(source.parse().unwrap()), stamped: false };
            batch.buffer()[0] = b'x';
            batch.push(1, &departure);
        }
        // 192.0.2.77 is no address of this host.
        assert_eq!(batch.send(&socket), 2);
        let file = std::fs::File::open("/dev/null").unwrap();
        for _ in 0..2 {
            batch.push(1, &Departure { destination: Some(to), source: None, stamped: false });
        }
        assert_eq!(batch.send(&file), 0);
        assert!(batch.one_by_one);
    }
}
