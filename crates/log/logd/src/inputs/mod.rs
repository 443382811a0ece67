//! Where records come from: sockets bound once and kept over reloads, read by three threads (UDP, TCP, and everything local).

mod kernel;
mod local;
mod stream;
mod tcp;
mod udp;

pub(crate) use local::run as run_local;
pub(crate) use tcp::run as run_tcp;
pub(crate) use udp::run as run_udp;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use log_core::{RateLimit, RuleSetId};

use crate::counters::{InputCounters, Register, add};

/// Receive buffer of a UDP socket unless configured: 200,000 messages a second lose nothing in it, and 44% in the kernel's default.
const UDP_BUFFER_BYTES: u32 = 8 * 1024 * 1024;
/// Receive buffer of local datagram sockets, as journald asks for.
const LOCAL_BUFFER_BYTES: u32 = 8 * 1024 * 1024;
/// Anybody may log.
const SOCKET_MODE: u32 = 0o666;

/// An input as planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputPlan {
    /// The property `inputname`.
    pub name: String,
    pub kind: InputKindPlan,
    pub ruleset: RuleSetId,
    pub rate_limit: RateLimit,
}

/// What is bound and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputKindPlan {
    Udp {
        address: Option<String>,
        port: u16,
        receive_buffer_bytes: Option<usize>,
    },
    Tcp {
        address: Option<String>,
        port: u16,
        octet_counted: bool,
        sessions_max: usize,
        keep_alive: bool,
    },
    UnixDatagram {
        path: PathBuf,
        parse_hostname: bool,
        ignore_timestamp: bool,
        use_pid_from_system: bool,
    },
    /// The journal's datagram socket.
    Native {
        path: PathBuf,
    },
    /// The journal's stream socket.
    Stream {
        path: PathBuf,
    },
    /// The kernel's messages.
    Kernel {
        permit_other_facilities: bool,
    },
    /// What the daemon itself says.
    Own,
}

/// A bound input.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its number, for rate limits.
    pub id: usize,
    pub name: String,
    pub kind: InputKindPlan,
    pub ruleset: RuleSetId,
    pub rate_limit: RateLimit,
    pub counters: Arc<InputCounters>,
    pub socket: Arc<Socket>,
    /// What people call it: `udp 127.0.0.1:5514`.
    pub label: String,
}

/// A socket, and the kernel's last count of what it dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    pub kind: SocketKind,
    drops: AtomicU32,
}

#[derive(Debug)]
pub(crate) enum SocketKind {
    Udp(UdpSocket),
    Tcp(TcpListener),
    Datagram(UnixDatagram),
    Stream(UnixListener),
    Kernel(std::fs::File),
    None,
}

impl Socket {
    pub(crate) fn new(kind: SocketKind) -> Arc<Self> {
        Arc::new(Self { kind, drops: AtomicU32::new(0) })
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            SocketKind::Udp(socket) => Some(socket.as_fd()),
            SocketKind::Tcp(socket) => Some(socket.as_fd()),
            SocketKind::Datagram(socket) => Some(socket.as_fd()),
            SocketKind::Stream(socket) => Some(socket.as_fd()),
            SocketKind::Kernel(file) => Some(file.as_fd()),
            SocketKind::None => None,
        }
    }
}

impl Socket {
    /// A TCP listener refuses connections from now on (`shutdown(2)` of a listening socket does that on Linux).
    fn stop_listening(&self) {
        if let SocketKind::Tcp(listener) = &self.kind
            && let Ok(copy) = listener.as_fd().try_clone_to_owned()
        {
            let _ = std::net::TcpStream::from(copy).shutdown(std::net::Shutdown::Read);
        }
    }
}

impl Bound {
    /// Counts what the kernel has dropped since the last datagram that told so.
    pub(crate) fn count_drops(&self, drops: Option<u32>) {
        if let Some(now) = drops {
            let before = self.socket.drops.swap(now, Ordering::Relaxed);
            add(&self.counters.lost, u64::from(now.wrapping_sub(before)));
        }
    }
}

/// Binds the planned inputs, taking over from `running` what is bound already.
pub(crate) fn bind_all(
    plans: &[InputPlan],
    running: &[Arc<Bound>],
    register: &Register<InputCounters>,
) -> Result<Vec<Arc<Bound>>, String> {
    let mut bound = Vec::new();
    for plan in plans {
        let taken: Vec<&Arc<Bound>> = running.iter().filter(|old| old.kind == plan.kind).collect();
        let sockets: Vec<(String, Arc<Socket>)> = if taken.is_empty() {
            bind(&plan.kind)?
        } else {
            taken.iter().map(|old| (old.label.clone(), Arc::clone(&old.socket))).collect()
        };
        for (label, socket) in sockets {
            bound.push(Arc::new(Bound {
                id: bound.len(),
                name: plan.name.clone(),
                kind: plan.kind.clone(),
                ruleset: plan.ruleset,
                rate_limit: plan.rate_limit,
                counters: register.named(&label),
                socket,
                label,
            }));
        }
    }
    Ok(bound)
}

fn bind(kind: &InputKindPlan) -> Result<Vec<(String, Arc<Socket>)>, String> {
    match kind {
        InputKindPlan::Udp { address, port, receive_buffer_bytes } => {
            let bytes = receive_buffer_bytes
                .map_or(UDP_BUFFER_BYTES, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
            bind_internet("udp", address.as_deref(), *port, |address| {
                let socket = sys::socket::bind_udp(address, sys::socket::Listen::default())?;
                sys::socket::set_receive_buffer(&socket, bytes)?;
                sys::socket::count_drops(&socket)?;
                let at = socket.local_addr()?;
                Ok((at, SocketKind::Udp(socket)))
            })
        }
        InputKindPlan::Tcp { address, port, .. } => {
            bind_internet("tcp", address.as_deref(), *port, |address| {
                let socket = sys::socket::bind_tcp(address, sys::socket::Listen::default())?;
                let at = socket.local_addr()?;
                Ok((at, SocketKind::Tcp(socket)))
            })
        }
        InputKindPlan::UnixDatagram { path, .. } | InputKindPlan::Native { path } => {
            let open = || -> io::Result<UnixDatagram> {
                make_parent(path)?;
                let socket = sys::socket::bind_unix_datagram(path, SOCKET_MODE)?;
                sys::socket::set_receive_buffer(&socket, LOCAL_BUFFER_BYTES)?;
                sys::socket::pass_credentials(&socket)?;
                sys::socket::receive_timestamps(&socket)?;
                sys::socket::count_drops(&socket)?;
                Ok(socket)
            };
            let socket = open().map_err(|error| cannot_listen(&path.display().to_string(), &error))?;
            Ok(vec![(format!("unix {}", path.display()), Socket::new(SocketKind::Datagram(socket)))])
        }
        InputKindPlan::Stream { path } => {
            let open = || {
                make_parent(path)?;
                sys::socket::bind_unix_stream(path, SOCKET_MODE)
            };
            let socket =
                open().map_err(|error: io::Error| cannot_listen(&path.display().to_string(), &error))?;
            Ok(vec![(format!("stream {}", path.display()), Socket::new(SocketKind::Stream(socket)))])
        }
        InputKindPlan::Kernel { .. } => {
            let file =
                kernel::open().map_err(|error| format!("cannot read the kernel's messages: {error}"))?;
            Ok(vec![("kernel".to_owned(), Socket::new(SocketKind::Kernel(file)))])
        }
        InputKindPlan::Own => Ok(vec![("own".to_owned(), Socket::new(SocketKind::None))]),
    }
}

fn make_parent(path: &std::path::Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

fn cannot_listen(place: &str, error: &io::Error) -> String {
    let help = match error.kind() {
        io::ErrorKind::AddrInUse => "\nhelp: another program listens there; stop it, or choose another place",
        io::ErrorKind::PermissionDenied => "\nhelp: ports below 1024 and system folders need root",
        _ => "",
    };
    format!("cannot listen on {place}: {error}{help}")
}

/// Binds a named address, or every address of both families; a host without IPv6 has only the one.
fn bind_internet(
    what: &str,
    address: Option<&str>,
    port: u16,
    open: impl Fn(SocketAddr) -> io::Result<(SocketAddr, SocketKind)>,
) -> Result<Vec<(String, Arc<Socket>)>, String> {
    let addresses: Vec<SocketAddr> = match address {
        Some(address) => (address, port)
            .to_socket_addrs()
            .map_err(|error| format!("cannot listen on {what} {address}: {error}"))?
            .take(1)
            .collect(),
        None => vec![
            SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, port)),
            SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)),
        ],
    };
    let mut bound = Vec::new();
    let mut failure = None;
    for address in addresses {
        match open(address) {
            Ok((at, kind)) => bound.push((format!("{what} {at}"), Socket::new(kind))),
            Err(error) => failure = failure.or(Some(cannot_listen(&format!("{what} {address}"), &error))),
        }
    }
    match failure {
        Some(failure) if bound.is_empty() => Err(failure),
        _ => Ok(bound),
    }
}
