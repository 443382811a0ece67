//! The sockets: who listens where.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use sys::socket::Listen;

/// Opens UDP sockets on a port, for the families whose addresses are wanted: for each family at the last given address of it, or else at the default. A host without IPv6
/// still serves: an error is returned only when no socket could be opened at all.
pub(crate) fn listen(
    port: u16,
    addresses: &[IpAddr],
    defaults: (Ipv4Addr, Ipv6Addr),
    wants: impl Fn(IpAddr) -> bool,
    kernel_stamps: bool,
) -> Result<Vec<UdpSocket>, (SocketAddr, io::Error)> {
    let wanted: Vec<IpAddr> = [IpAddr::V4(defaults.0), IpAddr::V6(defaults.1)]
        .into_iter()
        .map(|default| {
            let same = addresses.iter().rev().find(|address| address.is_ipv4() == default.is_ipv4());
            same.copied().unwrap_or(default)
        })
        .filter(|address| wants(*address))
        .collect();
    let mut sockets = Vec::new();
    let mut failed = None;
    for address in wanted {
        let at = SocketAddr::new(address, port);
        let opened = sys::socket::bind_udp(at, Listen::default()).and_then(|socket| {
            if kernel_stamps {
                sys::socket::receive_timestamps(&socket)?;
            }
            Ok(socket)
        });
        match opened {
            Ok(socket) => sockets.push(socket),
            Err(error) => failed = failed.or(Some((at, error))),
        }
    }
    match failed {
        Some(failure) if sockets.is_empty() => Err(failure),
        _ => Ok(sockets),
    }
}

/// A socket for one exchange with a server: its own port, so that nobody can guess where replies are awaited.
pub(crate) fn ask(server: SocketAddr) -> io::Result<UdpSocket> {
    let local = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = sys::socket::bind_udp(SocketAddr::new(local, 0), Listen::default())?;
    sys::socket::receive_timestamps(&socket)?;
    // Without transmit stamps the time of the call to send counts; that is the less exact, not the wrong time.
    let _ = sys::socket::transmit_timestamps(&socket);
    socket.connect(server)?;
    Ok(socket)
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
