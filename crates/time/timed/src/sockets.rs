//! The sockets: who listens where.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use sys::socket::Listen;

/// Where no socket could be opened, and why.
pub(crate) type Failure = (SocketAddr, io::Error);

/// Opens UDP sockets on a port, for the families whose addresses are wanted: for each family at the last given address of it, or else at the default.
/// Returns them, and where there is none although it was wanted: a host without IPv6 still serves, and without a word. An error is
/// returned only when no socket could be opened at all.
pub(crate) fn listen(
    port: u16,
    addresses: &[IpAddr],
    defaults: (Ipv4Addr, Ipv6Addr),
    wants: impl Fn(IpAddr) -> bool,
    marks: Marks<'_>,
) -> Result<(Vec<UdpSocket>, Vec<Failure>), Failure> {
    let wanted: Vec<IpAddr> = [IpAddr::V4(defaults.0), IpAddr::V6(defaults.1)]
        .into_iter()
        .map(|default| {
            let same = addresses.iter().rev().find(|address| address.is_ipv4() == default.is_ipv4());
            same.copied().unwrap_or(default)
        })
        .filter(|address| wants(*address))
        .collect();
    let mut sockets = Vec::new();
    let mut failed: Vec<Failure> = Vec::new();
    for address in wanted {
        let at = SocketAddr::new(address, port);
        let opened = sys::socket::bind_udp(at, Listen { reused: marks.reused, shared: marks.shared })
            .and_then(|socket| marks.set(&socket).map(|()| socket));
        match opened {
            Ok(socket) => sockets.push(socket),
            Err(error) => failed.push((at, error)),
        }
    }
    if sockets.is_empty() && !failed.is_empty() {
        return Err(failed.swap_remove(0));
    }
    // A default that is not there, like IPv6 on many hosts, is not worth a word; one that somebody else has is.
    let is_refused = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    failed.retain(|(at, error)| addresses.contains(&at.ip()) || is_refused(error));
    Ok((sockets, failed))
}

/// Addresses of this host that get a socket of their own, at most: each costs its place in poll(2).
const BESIDE_MAX: usize = 32;
/// The part of the descriptors, as a divisor, that such sockets take of each port: sources, commands and files need some too.
const BESIDE_SHARE: u64 = 4;

/// How many addresses of a family get a socket of their own in each of so many threads.
pub(crate) fn beside_max(threads: usize) -> usize {
    // Of both families.
    let sets = 2 * u64::try_from(threads.max(1)).unwrap_or(u64::MAX / 2);
    let each = sys::process::descriptors_max().map(|most| most / BESIDE_SHARE / sets);
    each.and_then(|each| usize::try_from(each).ok()).map_or(BESIDE_MAX, |each| each.min(BESIDE_MAX))
}

/// Sockets on the port of a server's socket for every address, one for each address of this host: what comes to one of them need
/// not be told its address, and what leaves it need not name one, which is a twentieth of what a reply costs. The kernel prefers
/// them (the most exact address wins, `udp(7)`); an address that comes later, or is one too many, is served by the socket beside
/// which they are. At most `most`. None where the kernel cannot tell addresses, since then nothing is gained.
pub(crate) fn beside(any: &UdpSocket, most: usize, marks: Marks<'_>) -> Vec<UdpSocket> {
    let Ok(local) = any.local_addr() else { return Vec::new() };
    // A socket for one interface takes what comes there, and the addresses of others would be of no use.
    if !local.ip().is_unspecified()
        || marks.device.is_some()
        || sys::socket::local_addresses(any, local.is_ipv4()).is_err()
        || !sys::socket::tells_local_addresses(any, local.is_ipv4())
    {
        return Vec::new();
    }
    let addresses = sys::host::addresses().unwrap_or_default();
    let addresses = addresses.into_iter().filter(|address| address.is_ipv4() == local.is_ipv4());
    // Only as long as it takes: whoever else may bind the port, of whatever user, would take an address over.
    if sys::socket::let_reuse(any, true).is_err() {
        return Vec::new();
    }
    let sockets: Vec<UdpSocket> = addresses
        .take(most)
        .filter_map(|address| {
            let at = SocketAddr::new(address, local.port());
            // Ours has the port already, so that nobody else's is joined here. One that cannot be had is not needed.
            let listen = Listen { reused: true, shared: marks.shared };
            let socket = sys::socket::bind_udp(at, listen).ok()?;
            marks.set(&socket).ok()?;
            Some(socket)
        })
        .collect();
    for socket in sockets.iter().chain([any]).filter(|_| !marks.reused) {
        // It cannot fail where it was done before.
        let _ = sys::socket::let_reuse(socket, false);
    }
    sockets
}

/// Receive buffer of a server's socket, in bytes as `setsockopt(2)` takes them: for some thousand requests that come at once, where a
/// common system's default holds two hundred. Where less is allowed, it is less.
const SERVER_RECEIVE_BUFFER: u32 = 512 << 10;

/// What is set on a socket beyond its address.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Marks<'a> {
    /// It is a server's: many may ask at once.
    pub server: bool,
    /// Datagrams come with the kernel's time.
    pub kernel_stamps: bool,
    /// Only over this interface (`binddevice`, `bindacqdevice`, `bindcmddevice`).
    pub device: Option<&'a str>,
    /// `dscp`; 0: nothing is set.
    pub dscp: u8,
    /// Another socket has the same address: the server's port is the sources' too.
    pub reused: bool,
    /// Several threads have a socket of the same address each (`serverthreads`).
    pub shared: bool,
}

impl Marks<'_> {
    fn set(&self, socket: &UdpSocket) -> io::Result<()> {
        if let Some(device) = self.device {
            sys::socket_scope::bind_device(socket, device)?;
        }
        if self.dscp != 0 {
            sys::socket_scope::set_dscp(socket, self.dscp)?;
        }
        if self.kernel_stamps {
            sys::socket::receive_timestamps(socket)?;
        }
        if self.server {
            // More requests are lost in a burst where it is refused; nothing else.
            let _ = sys::socket::set_receive_buffer(socket, SERVER_RECEIVE_BUFFER);
        }
        Ok(())
    }
}

/// From where sources are asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct AskFrom {
    /// `acquisitionport`; none: each exchange has a port of its own, so that nobody can guess where replies are awaited. 0: any
    /// free one, kept from the first exchange of a family on.
    pub port: Option<u16>,
    /// The ports that were free, of IPv4 and IPv6.
    found: [Option<u16>; 2],
    /// `bindacqaddress`.
    pub v4: Option<Ipv4Addr>,
    /// `bindacqaddress`.
    pub v6: Option<Ipv6Addr>,
    /// `bindacqdevice`.
    pub device: Option<String>,
    /// `dscp`.
    pub dscp: u8,
    /// Cards stamp what is sent and received.
    pub cards_stamp: bool,
    /// `ptpport`: such sources are asked from the same port, at which cards look.
    pub ptp_port: Option<u16>,
}

impl AskFrom {
    /// As the configuration says.
    pub(crate) fn new(settings: &chrony_conf::Settings) -> Self {
        Self {
            port: settings.acquisition_port,
            found: [None; 2],
            v4: settings.bind_acquisition_v4,
            v6: settings.bind_acquisition_v6,
            device: settings.bind_acquisition_device.clone(),
            dscp: settings.dscp,
            cards_stamp: false,
            ptp_port: Some(settings.ptp_port).filter(|port| *port != 0),
        }
    }

    /// A socket for a symmetric association: it has the server's port, since that is where the peer sends to, and takes only what
    /// the peer sends. `open` binds it ([`Self::bind_peer`]).
    pub(crate) fn peer(
        &self,
        peer: SocketAddr,
        port: u16,
        bind: &[IpAddr],
        device: Option<&str>,
        open: impl FnOnce(SocketAddr) -> io::Result<UdpSocket>,
    ) -> io::Result<UdpSocket> {
        let any = match peer {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let local = bind.iter().rev().find(|one| one.is_ipv4() == peer.is_ipv4()).copied().unwrap_or(any);
        let socket = open(SocketAddr::new(local, port))?;
        Marks { kernel_stamps: !self.cards_stamp, device, dscp: self.dscp, ..Marks::default() }
            .set(&socket)?;
        self.stamp(&socket, peer.is_ipv4());
        socket.connect(peer)?;
        Ok(socket)
    }

    /// Binds a socket to a port that others of ours have.
    pub(crate) fn bind_peer(local: SocketAddr) -> io::Result<UdpSocket> {
        sys::socket::bind_udp(local, Listen { reused: true, ..Listen::default() })
    }

    /// A socket for one exchange with a server.
    pub(crate) fn ask(&mut self, server: SocketAddr) -> io::Result<UdpSocket> {
        let (local, family) = match server {
            SocketAddr::V4(_) => (IpAddr::V4(self.v4.unwrap_or(Ipv4Addr::UNSPECIFIED)), 0),
            SocketAddr::V6(_) => (IpAddr::V6(self.v6.unwrap_or(Ipv6Addr::UNSPECIFIED)), 1),
        };
        let found = self.found.get(family).copied().flatten();
        let ptp = self.ptp_port.filter(|port| *port == server.port());
        let port = ptp.or(self.port.filter(|port| *port != 0)).or(found).unwrap_or(0);
        let reused = self.port.is_some() || ptp.is_some();
        let socket =
            sys::socket::bind_udp(SocketAddr::new(local, port), Listen { reused, ..Listen::default() })?;
        if reused
            && ptp.is_none()
            && let Some(place) = self.found.get_mut(family)
        {
            *place = Some(socket.local_addr()?.port());
        }
        let marks = Marks {
            kernel_stamps: !self.cards_stamp,
            device: self.device.as_deref(),
            dscp: self.dscp,
            reused,
            ..Marks::default()
        };
        marks.set(&socket)?;
        self.stamp(&socket, server.is_ipv4());
        socket.connect(server)?;
        Ok(socket)
    }

    /// What leaves is stamped, by cards what comes too.
    fn stamp(&self, socket: &UdpSocket, ipv4: bool) {
        // Without transmit stamps the time of the call to send counts; that is the less exact, not the wrong time.
        let _ = match self.cards_stamp {
            true => sys::socket::card_timestamps(socket, ipv4),
            false => sys::socket::transmit_timestamps(socket),
        };
    }
}

/// The Unix command socket, removed at the end.
#[derive(Debug)]
pub(crate) struct CommandSocket {
    /// The socket.
    pub socket: UnixDatagram,
    path: PathBuf,
}

impl CommandSocket {
    /// Listens at `path`, making its folder when missing.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent().filter(|folder| !sys::file::is_dir(folder)) {
            std::fs::create_dir_all(folder)?;
        }
        let socket = sys::socket::bind_unix_datagram(path, 0o660)?;
        Ok(Self { socket, path: path.to_path_buf() })
    }
}

impl Drop for CommandSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: however many threads and addresses there are, three of four descriptors are left for everything else.
    #[test]
    fn sockets_for_addresses_leave_descriptors() {
        let most = sys::process::descriptors_max().expect("Linux says it");
        for threads in [1, 2, 8, 64, 100_000] {
            let taken = 2 * threads * beside_max(threads);
            assert!(taken as u64 <= most / 4, "{threads} threads take {taken} of {most}");
        }
        assert!(beside_max(1) > 0 && beside_max(1) <= BESIDE_MAX);
    }
}
