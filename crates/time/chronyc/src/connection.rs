//! The way to the daemon: where it may be, one socket at a time, and requests that are repeated until answered.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrony_cmd::ask::{self, Answer, Asked, NoAnswer};
use chrony_cmd::{REPLY_LENGTH_MAX, Request, VERSION, VERSION_UNPADDED};
use sys::poll::Interest;

/// One place where the daemon may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A Unix datagram socket.
    Unix(PathBuf),
    /// A UDP address.
    Udp(SocketAddr),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Udp(address) => write!(f, "UDP {address}"),
        }
    }
}

/// Which addresses of a host name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    pub(crate) fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

/// Addresses that a host name may yield; more are not tried.
const ADDRESSES_MAX: usize = 16;

/// The addresses of a host name or a written address, of this family.
pub(crate) fn resolve(host: &str, family: Family) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return if family.admits(ip) { vec![ip] } else { Vec::new() };
    }
    let Ok(found) = (host, 0).to_socket_addrs() else { return Vec::new() };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found {
        // An address with a scope would lose it on the way.
        let scoped = matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0);
        if !scoped && family.admits(address.ip()) && !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// The places of a list of hosts; a word that starts with `/` is the path of a socket.
pub(crate) fn places(hosts: &str, port: u16, family: Family) -> Vec<Place> {
    hosts
        .split(',')
        .filter(|host| !host.is_empty())
        .flat_map(|host| {
            if host.starts_with('/') {
                vec![Place::Unix(host.into())]
            } else {
                resolve(host, family).into_iter().map(|ip| Place::Udp(SocketAddr::new(ip, port))).collect()
            }
        })
        .collect()
}

/// An open socket; one of our own in the file system goes away with it.
enum Socket {
    Unix(UnixDatagram, PathBuf),
    Udp(UdpSocket),
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(_, own) = self {
            // Nothing can be done about a failure, and the daemon does not care.
            let _ = std::fs::remove_file(own);
        }
    }
}

impl Socket {
    fn open(place: &Place) -> io::Result<Self> {
        match place {
            Place::Unix(path) => Self::open_unix(path),
            Place::Udp(address) => sys::socket::connect_udp(*address).map(Self::Udp),
        }
    }

    /// The daemon answers to the path from which a request came, so we bind one beside its own socket. It has to be
    /// writable for the daemon's user; it gets its mode from the umask when it is made and not by a chmod afterwards,
    /// which could be led astray by whoever owns the directory.
    fn open_unix(daemon: &Path) -> io::Result<Self> {
        let dir = daemon.parent().unwrap_or(Path::new("/"));
        let own = dir.join(format!("chronyc.{}.sock", std::process::id()));
        // The name bears our process id: what stands there is left over from a process that is gone.
        let _ = std::fs::remove_file(&own);
        let umask = sys::file::set_umask(0);
        let opened = sys::socket::connect_unix_datagram(&own, daemon);
        sys::file::set_umask(umask);
        match opened {
            Ok(socket) => Ok(Self::Unix(socket, own)),
            Err(error) => {
                let _ = std::fs::remove_file(&own);
                Err(error)
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket, _) => sys::socket::send_connected(socket, datagram),
            Self::Udp(socket) => socket.send(datagram),
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket, _) => sys::socket::receive_connected(socket, buffer),
            Self::Udp(socket) => socket.recv(buffer),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket, _) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

/// How often and how long a request is tried at one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The first wait; each further one is twice as long.
    pub(crate) timeout: Duration,
    /// Attempts after the first.
    pub(crate) retries: u32,
}

/// The daemon, wherever it is.
pub(crate) struct Connection {
    places: Vec<Place>,
    /// Which place is open, or is opened next.
    at: usize,
    socket: Option<Socket>,
    version: u8,
    pub(crate) patience: Patience,
    /// Why a place could not be opened.
    pub(crate) failures: Vec<(Place, io::Error)>,
}

impl Connection {
    pub(crate) fn new(places: Vec<Place>) -> Self {
        let patience = Patience { timeout: Duration::from_secs(1), retries: 2 };
        Self { places, at: 0, socket: None, version: VERSION, patience, failures: Vec::new() }
    }

    /// Every place that is tried.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// The place that is open.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.socket.as_ref().and(self.places.get(self.at))
    }

    /// Opens the next place. When there is none left, the next call starts anew from the first.
    pub(crate) fn open_next(&mut self) -> bool {
        if self.socket.take().is_some() {
            self.at += 1;
        }
        while let Some(place) = self.places.get(self.at) {
            match Socket::open(place) {
                Ok(socket) => {
                    self.socket = Some(socket);
                    return true;
                }
                Err(error) => {
                    self.failures.push((place.clone(), error));
                    self.at += 1;
                }
            }
        }
        self.at = 0;
        false
    }

    /// Asks the open place, and every further one until one answers. None: nobody did, or `stop` said to end.
    pub(crate) fn ask(&mut self, request: &Request, stop: &mut dyn FnMut() -> bool) -> Option<Answer> {
        loop {
            if let Some(answer) = self.ask_here(request, stop) {
                return Some(answer);
            }
            if stop() || !self.open_next() {
                return None;
            }
        }
    }

    fn ask_here(&mut self, request: &Request, stop: &mut dyn FnMut() -> bool) -> Option<Answer> {
        let socket = self.socket.as_ref()?;
        let mut attempt = 0;
        while attempt <= self.patience.retries {
            let sequence = sys::random::u64() as u32;
            let asked = Asked { command: request.command(), sequence, version: self.version };
            socket.send(&ask::encode(request, asked, attempt as u16)).ok()?;
            let wait = self.patience.timeout.saturating_mul(1 << attempt.min(30));
            match await_answer(socket, asked, wait, stop) {
                Waited::Answer(answer) => return Some(answer),
                Waited::Older => self.version = VERSION_UNPADDED,
                Waited::Again => attempt += 1,
                Waited::Stopped => return None,
            }
        }
        None
    }
}

enum Waited {
    Answer(Answer),
    /// The daemon is of the version before.
    Older,
    Again,
    Stopped,
}

fn await_answer(socket: &Socket, asked: Asked, wait: Duration, stop: &mut dyn FnMut() -> bool) -> Waited {
    let deadline = Instant::now() + wait;
    let mut buffer = [0; REPLY_LENGTH_MAX];
    let mut ready = Vec::new();
    loop {
        if stop() {
            return Waited::Stopped;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Waited::Again;
        }
        match sys::poll::poll(&[(socket.as_fd(), Interest::READ)], &mut ready, Some(left)) {
            Ok(0) => return Waited::Again,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Waited::Stopped,
            Ok(_) => {}
        }
        // An error here is "connection refused": nobody listens at this UDP port.
        let Ok(length) = socket.receive(&mut buffer) else { return Waited::Again };
        match ask::decode(&buffer[..length], asked) {
            Ok(answer) => return Waited::Answer(answer),
            Err(NoAnswer::NotOurs) => {}
            Err(NoAnswer::TooShort) => return Waited::Again,
            Err(NoAnswer::Older) => return Waited::Older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the list of `-h` in the order in which it is tried.
    #[test]
    fn hosts_become_places() {
        let check = |hosts: &str, family: Family, expected: &[Place]| {
            assert_eq!(places(hosts, 323, family), expected, "{hosts}");
        };
        let udp = |text: &str| Place::Udp(text.parse().expect("an address"));
        check(
            "/run/chrony/chronyd.sock,127.0.0.1,::1",
            Family::Any,
            &[Place::Unix("/run/chrony/chronyd.sock".into()), udp("127.0.0.1:323"), udp("[::1]:323")],
        );
        check("127.0.0.1,::1", Family::V6, &[udp("[::1]:323")]);
        check(",", Family::Any, &[]);
    }

    /// Goal: a socket of ours goes away with the connection, and a place that is none is passed over with its reason.
    #[test]
    fn our_own_socket_is_removed() {
        let dir = std::env::temp_dir().join(format!("chronyc-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("daemon.sock");
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let mut connection = Connection::new(vec![Place::Unix(dir.join("absent.sock")), Place::Unix(path)]);
        assert!(connection.open_next());
        assert_eq!(connection.failures.len(), 1);
        let count = || std::fs::read_dir(&dir).expect("the directory").count();
        assert_eq!(count(), 2);
        assert!(!connection.open_next());
        assert_eq!(count(), 1);
        drop(daemon);
        std::fs::remove_dir_all(&dir).expect("removal");
    }
}
