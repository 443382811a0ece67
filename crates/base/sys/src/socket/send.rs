//! Many datagrams out in one system call, from buffers that are used again and again.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::{InternetName, option, set_option};

/// Room for the control messages of one datagram: the address that it leaves from, IPv4 or IPv6, and a request for its
/// transmit time. What is used is as little as can be: the kernel keeps up to 36 bytes on its stack and allocates for more.
const CONTROL_BYTES: usize = 96;

/// Datagrams that go through the kernel as one, at most (`UDP_MAX_SEGMENTS`), and their bytes (an IP packet's, less its headers).
const SEGMENTS_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 65_000;

/// Every datagram received on a UDP socket comes with the local address that it was sent to (`IP_PKTINFO`,
/// `IPV6_RECVPKTINFO`), so that the reply can leave from there.
pub fn local_addresses(socket: impl AsFd, ipv4: bool) -> io::Result<()> {
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    }
}

/// Whether [`local_addresses`] is on. Simulators of the C library take every option and can read none back.
pub fn tells_local_addresses(socket: impl AsFd, ipv4: bool) -> bool {
    let value = if ipv4 {
        option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
    } else {
        option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    };
    value.is_ok_and(|value| value == 1)
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
}

/// Datagrams that are written into buffers of ours and sent together. With [`SendBatch::join_runs`] those that follow each other to
/// the same address with the same length go through the kernel as one (`UDP_SEGMENT`, `udp(7)`), and leave as those that they are.
pub struct SendBatch {
    datagram_bytes: usize,
    /// The datagrams one after the other.
    data: Vec<u8>,
    used: usize,
    control: Vec<ControlBuffer>,
    names: Vec<InternetName>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    runs: Vec<Run>,
    /// Of the last run.
    departure: Departure,
    /// The last run takes no more datagrams.
    closed: bool,
    datagrams: usize,
    /// `sendmmsg(2)` does not work here: a simulator of the C library does not know it.
    one_by_one: bool,
    /// The kernel or the device does not take several datagrams as one.
    unsegmented: bool,
    /// Who stamps those that are to be stamped (`SOF_TIMESTAMPING_TX_...`).
    stampers: u32,
    /// Of those that were to be stamped, how many the kernel refused when the batch was last sent.
    stamps_refused: usize,
}

/// What is sent with one header.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Bytes of each datagram.
    length: u32,
    datagrams: u32,
    stamped: bool,
}

/// Aligned as `struct cmsghdr` must be, and so that an address stands in one line of the processor's cache.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct ControlBuffer([u8; CONTROL_BYTES]);

// SAFETY: the raw pointers in `vectors` and `headers` point into the vectors of the same value only, whose heap blocks never move
// or grow after `new`, and are used in system calls only; moving the value to another thread leaves the heap blocks in place.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Room for `count` datagrams of at most `datagram_bytes` each.
    pub fn new(count: usize, datagram_bytes: usize) -> Self {
        // SAFETY: plain C structures of integers and pointers, for which zeroes are valid.
        let (vector, header) = unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        Self {
            datagram_bytes,
            data: vec![0; count * datagram_bytes],
            used: 0,
            control: vec![ControlBuffer([0; CONTROL_BYTES]); count],
            names: vec![InternetName::NONE; count],
            vectors: vec![vector; count],
            headers: vec![header; count],
            runs: Vec::with_capacity(count),
            departure: Departure { destination: None, source: None },
            closed: false,
            datagrams: 0,
            one_by_one: false,
            unsegmented: true,
            stampers: libc::SOF_TIMESTAMPING_TX_SOFTWARE,
            stamps_refused: 0,
        }
    }

    /// Datagrams of one length to the same address may go through the kernel as one from now on, if sockets of this kind can do
    /// that; under a simulator of the C library they cannot.
    pub fn join_runs(&mut self, socket: impl AsFd) {
        // Simulators of the C library take every option and know none: only what can be read back is there.
        self.unsegmented = option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT).is_err()
            || set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_err();
    }

    /// Those that are to be stamped are so by the card too, where it can ([`super::card_stamps_on_request`]).
    pub fn stamped_by_cards(&mut self) {
        self.stampers |= libc::SOF_TIMESTAMPING_TX_HARDWARE;
    }

    /// Datagrams that wait to be sent.
    pub fn len(&self) -> usize {
        self.datagrams
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams == 0
    }

    /// There is no room for another.
    pub fn is_full(&self) -> bool {
        self.datagrams == self.headers.len()
    }

    /// The buffer of the next datagram; empty when the batch is full.
    pub fn buffer(&mut self) -> &mut [u8] {
        self.data.get_mut(self.used..self.used + self.datagram_bytes).unwrap_or_default()
    }

    /// The first `length` bytes of [`Self::buffer`] are a datagram. Nothing happens when the batch is full.
    pub fn push(&mut self, length: usize, departure: &Departure) {
        if self.is_full() {
            return;
        }
        let length = length.min(self.datagram_bytes);
        let start = self.used;
        self.used += length;
        self.datagrams += 1;
        if !self.unsegmented
            && let Some(run) = self.runs.last_mut()
            && run.length as usize == length
            && (self.departure.destination, self.departure.source)
                == (departure.destination, departure.source)
            && !self.closed
            && length > 0
            && (run.datagrams as usize) < SEGMENTS_MAX
            && (run.datagrams as usize + 1) * length <= RUN_BYTES_MAX
        {
            run.datagrams += 1;
            let second = run.datagrams == 2;
            let index = self.runs.len() - 1;
            self.vectors[index].iov_len += length;
            if second {
                self.ask_for_segments(index, length);
            }
            return;
        }
        let index = self.runs.len();
        self.departure = *departure;
        self.closed = false;
        self.runs.push(Run { length: length as u32, datagrams: 1, stamped: false });
        self.vectors[index] =
            libc::iovec { iov_base: self.data[start..].as_mut_ptr().cast(), iov_len: length };
        let header = &mut self.headers[index].msg_hdr;
        header.msg_iov = &mut self.vectors[index];
        header.msg_iovlen = 1;
        match departure.destination {
            Some(destination) => {
                let length = self.names[index].set(&destination);
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

    /// The kernel tells when the datagram with this number among those that wait left, through the error queue, where
    /// [`super::transmit_stamps_on_request`] is on; it is not joined to others behind it. Once for each. False where it is joined
    /// already, or there is none.
    pub fn stamp(&mut self, number: usize) -> bool {
        // Where nothing is joined, each has a header of its own.
        let joined = self.runs.len() != self.datagrams;
        let index = if joined {
            let mut before = 0;
            let found = self.runs.iter().position(|run| {
                before += run.datagrams as usize;
                before > number
            });
            let Some(index) = found else { return false };
            index
        } else {
            number
        };
        let Some(run) = self.runs.get_mut(index).filter(|run| run.datagrams == 1) else { return false };
        let header = &mut self.headers[index].msg_hdr;
        let used = if header.msg_control.is_null() { 0 } else { header.msg_controllen };
        let value = self.stampers.to_ne_bytes();
        // SAFETY: the buffer of CONTROL_BYTES is live and aligned, `used` is a sum of CMSG_SPACEs of at most 40 (an address; a run of one
        // has no length), and CMSG_SPACE(4) is 24, so the message fits, also when it is asked for twice.
        unsafe {
            let space = libc::CMSG_SPACE(value.len() as u32) as usize;
            if used + space > CONTROL_BYTES {
                return false;
            }
            let place: *mut libc::cmsghdr = self.control[index].0.as_mut_ptr().add(used).cast();
            put_control(place, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &value);
            header.msg_control = self.control[index].0.as_mut_ptr().cast();
            header.msg_controllen = (used + space) as _;
        }
        run.stamped = true;
        self.closed |= index + 1 == self.runs.len();
        true
    }

    /// Puts the length of a run's datagrams behind the control messages that stand there.
    fn ask_for_segments(&mut self, index: usize, length: usize) {
        let header = &mut self.headers[index].msg_hdr;
        let used = header.msg_controllen;
        let value = (length as u16).to_ne_bytes();
        // SAFETY: the buffer of CONTROL_BYTES is live and aligned, `used` is a sum of CMSG_SPACEs of at most 40 (an address; a run is
        // never stamped), and CMSG_SPACE(2) is 24, so the message fits.
        unsafe {
            let place: *mut libc::cmsghdr = self.control[index].0.as_mut_ptr().add(used).cast();
            put_control(place, libc::SOL_UDP, libc::UDP_SEGMENT, &value);
            header.msg_control = self.control[index].0.as_mut_ptr().cast();
            header.msg_controllen = (used + libc::CMSG_SPACE(value.len() as u32) as usize) as _;
        }
    }

    /// Sends what waits, in order, and empties the batch. Returns how many went; one that the kernel refuses is a lost datagram
    /// like any other and does not keep back those behind it.
    pub fn send(&mut self, socket: impl AsFd) -> usize {
        let socket = socket.as_fd().as_raw_fd();
        let (mut at, mut went) = (0, 0);
        self.stamps_refused = 0;
        let runs = self.runs.len();
        while at < runs {
            if self.one_by_one || runs - at == 1 {
                went += self.send_run(socket, at);
                at += 1;
                continue;
            }
            let rest = &mut self.headers[at..runs];
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
                    went += self.runs[at..at + count].iter().map(|run| run.datagrams as usize).sum::<usize>();
                    at += count;
                }
                Err(_) => match io::Error::last_os_error().raw_os_error() {
                    // The descriptor is good for sendmsg(2) only.
                    Some(libc::ENOSYS | libc::EBADF | libc::ENOTSOCK) => self.one_by_one = true,
                    Some(libc::EINTR) => {}
                    // The first of the rest is the one that was refused.
                    _ => {
                        went += self.send_run(socket, at);
                        at += 1;
                    }
                },
            }
        }
        self.runs.clear();
        (self.datagrams, self.used) = (0, 0);
        went
    }

    /// How many of those that were to be stamped the kernel refused when the batch was last sent. Whether it has counted them depends on
    /// where it refused them.
    pub fn stamps_refused(&self) -> usize {
        self.stamps_refused
    }

    /// Sends one run, as one if the kernel takes it so; returns how many datagrams went.
    fn send_run(&mut self, socket: RawFd, index: usize) -> usize {
        let run = self.runs[index];
        if self.send_header(socket, index) {
            return run.datagrams as usize;
        }
        if run.datagrams == 1 {
            self.stamps_refused += usize::from(run.stamped);
            return 0;
        }
        // Not as one, then: an old kernel, or a device that computes no checksums.
        let error = io::Error::last_os_error().raw_os_error();
        if matches!(error, Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE)) {
            self.unsegmented = true;
        }
        // The length of the run's datagrams is the last control message.
        let header = &mut self.headers[index].msg_hdr;
        // SAFETY: computes a length.
        let asked = unsafe { libc::CMSG_SPACE(std::mem::size_of::<u16>() as u32) } as usize;
        header.msg_controllen = header.msg_controllen.saturating_sub(asked);
        if header.msg_controllen == 0 {
            header.msg_control = std::ptr::null_mut();
        }
        let length = run.length as usize;
        self.vectors[index].iov_len = length;
        let mut went = 0;
        for _ in 0..run.datagrams {
            went += usize::from(self.send_header(socket, index));
            let next = self.vectors[index].iov_base.cast::<u8>().wrapping_add(length);
            self.vectors[index].iov_base = next.cast();
        }
        went
    }

    fn send_header(&mut self, socket: RawFd, index: usize) -> bool {
        // SAFETY: every pointer in the header is into a live vector of ours, set by `push`; the vector's base and length stay within
        // the run's bytes; the kernel only reads the data.
        let sent = unsafe {
            libc::sendmsg(socket, &self.headers[index].msg_hdr, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
        };
        sent >= 0
    }
}

/// Writes one control message.
///
/// # Safety
/// `place` is aligned for a `cmsghdr`, and `CMSG_SPACE` of the bytes' length is writable there.
unsafe fn put_control(place: *mut libc::cmsghdr, level: libc::c_int, kind: libc::c_int, bytes: &[u8]) {
    // SAFETY: the caller's promise; the data of a message begins within it.
    unsafe {
        place.write(libc::cmsghdr {
            cmsg_len: libc::CMSG_LEN(bytes.len() as u32) as _,
            cmsg_level: level,
            cmsg_type: kind,
        });
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), libc::CMSG_DATA(place), bytes.len());
    }
}

/// Writes the control messages into the header's buffer of [`CONTROL_BYTES`]; returns their length.
fn fill_control(header: &libc::msghdr, departure: &Departure) -> usize {
    let mut used = 0;
    // SAFETY: the header's control buffer is live, aligned, and large enough for one address of either family (CMSG_SPACE(20) = 40).
    unsafe {
        let place = libc::CMSG_FIRSTHDR(header);
        let mut put = |level: libc::c_int, kind: libc::c_int, bytes: &[u8]| {
            put_control(place, level, kind, bytes);
            used = libc::CMSG_SPACE(bytes.len() as u32) as usize;
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
                let departure = Departure { destination: request.source, source: request.local };
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
            let departure = Departure { destination: Some(to), source: Some(source.parse().unwrap()) };
            batch.buffer()[0] = b'x';
            batch.push(1, &departure);
        }
        // 192.0.2.77 is no address of this host.
        assert_eq!((batch.send(&socket), batch.stamps_refused()), (2, 0));
        for (stamped, refused) in [(0, 0), (1, 1)] {
            for source in ["127.0.0.1", "192.0.2.77"] {
                let departure = Departure { destination: Some(to), source: Some(source.parse().unwrap()) };
                batch.push(1, &departure);
            }
            assert!(batch.stamp(stamped));
            assert_eq!((batch.send(&socket), batch.stamps_refused()), (1, refused));
        }
        let file = std::fs::File::open("/dev/null").unwrap();
        for _ in 0..2 {
            batch.push(1, &Departure { destination: Some(to), source: None });
        }
        assert_eq!(batch.send(&file), 0);
        assert!(batch.one_by_one);
    }

    /// Goal: datagrams of one length to one address arrive as what they are, also between others and where the kernel does not
    /// take them as one.
    #[test]
    fn runs_arrive_as_single_datagrams() {
        let receiver = bind_udp("127.0.0.1:0".parse().unwrap(), Listen::default()).unwrap();
        let other = bind_udp("127.0.0.1:0".parse().unwrap(), Listen::default()).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for unsegmented in [false, true] {
            let mut batch = SendBatch::new(100, 64);
            if !unsegmented {
                batch.join_runs(&sender);
            }
            let mut expected = Vec::new();
            for number in 0..100_u8 {
                let length = if number < 90 { 48 } else { 20 };
                let to = if number == 50 { &other } else { &receiver };
                batch.buffer()[..length].fill(number);
                let source = Some("127.0.0.1".parse().unwrap());
                let departure = Departure { destination: to.local_addr().ok(), source };
                batch.push(length, &departure);
                if number != 50 {
                    expected.push(vec![number; length]);
                }
            }
            assert_eq!(batch.runs.len(), if unsegmented { 100 } else { 4 });
            assert_eq!((batch.send(&sender), batch.unsegmented), (100, unsegmented));
            let mut arrived = Vec::new();
            let mut requests = ReceiveBatch::new(128, 64);
            while arrived.len() < 99 && requests.receive(&receiver).is_ok() {
                arrived.extend((0..128).filter_map(|at| requests.datagram(at)).map(|one| one.data.to_vec()));
            }
            assert_eq!(arrived, expected);
            assert_eq!(other.recv_from(&mut [0; 64]).unwrap().0, 48);
        }
    }

    /// Goal: a run that the kernel refuses as one goes one by one.
    #[test]
    fn a_refused_run_goes_one_by_one() {
        let receiver = bind_udp("127.0.0.1:0".parse().unwrap(), Listen::default()).unwrap();
        let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        // Without checksums the kernel takes no runs.
        set_option(&sender, libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        let mut batch = SendBatch::new(4, 64);
        batch.join_runs(&sender);
        for number in 0..3_u8 {
            batch.buffer()[..48].fill(number);
            batch.push(48, &Departure { destination: receiver.local_addr().ok(), source: None });
        }
        assert_eq!((batch.send(&sender), batch.unsegmented), (3, true));
        for number in 0..3_u8 {
            let mut buffer = [9; 64];
            assert_eq!(receiver.recv_from(&mut buffer).unwrap().0, 48);
            assert_eq!(buffer[..48], [number; 48]);
        }
    }
}
