//! The server: sockets, workers and what they share. With one worker the daemon's own loop turns it; with more (`serverthreads`)
//! each has a thread and sockets of its own on the same port, over which the kernel spreads the clients (`SO_REUSEPORT`).
//!
//! A worker reads what the daemon last published (a [`View`]) and shares with the others only counters and the bounded memory
//! of clients.

mod cards;
mod memory;
mod owed;
mod port;
mod refused_keys;
mod signing;
mod worker;

pub(crate) use cards::{CardLine, CardMap};
pub(crate) use memory::Memory;
pub(crate) use refused_keys::RefusedKey;

use port::Port;
use worker::Worker;

use crate::clocks::ClockMap;
use ntp_proto::{
    Arrived, KissCode, Manner, NtpTimestamp, RateLimit, Server, ServerCounters, ServerSnapshot, Service,
    Treatment,
};
use std::net::UdpSocket;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest wait of a thread, after which it looks for new sockets.
const THREAD_WAIT_MAX: Duration = Duration::from_secs(1);

/// What the workers answer by. The daemon publishes a new one whenever something of it changes, and once a second.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// From the kernel's clock to the one that is served.
    pub clock: ClockMap,
    /// What is said of it.
    pub snapshot: ServerSnapshot,
    /// Rules and keys.
    pub server: Arc<Server>,
    /// `ratelimit`.
    pub rate_limit: Option<RateLimit>,
    /// From cards' clocks to the kernel's; none where no card stamps, or none is known yet.
    pub cards: Option<Arc<CardMap>>,
}

/// What became of the datagrams, of all workers together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// As the protocol sees it.
    pub server: ServerCounters,
    /// Requests dropped for the rate.
    pub limited: u64,
    /// Requests stamped by the kernel.
    pub kernel_received: u64,
    /// Requests stamped by a card.
    pub card_received: u64,
    /// Requests stamped by us.
    pub daemon_received: u64,
    /// Replies whose transmit timestamp is the kernel's, or was before a card's came.
    pub kernel_sent: u64,
    /// Replies whose transmit timestamp is a card's, of which the kernel told nothing before.
    pub card_sent: u64,
    /// Those of which it had.
    pub card_sent_late: u64,
    /// Replies whose transmit timestamp is ours.
    pub daemon_sent: u64,
}

/// What all workers and the daemon's loop have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    view: Mutex<Arc<View>>,
    version: AtomicU64,
    totals: Mutex<Totals>,
    /// The sockets of each worker, by its number. A new list for each that is opened, so that nobody holds the lock for longer than it takes to
    /// have the list.
    ports: Mutex<Arc<[Vec<Arc<Port>>]>>,
    /// Of that list.
    ports_version: AtomicU64,
    /// `ntpsigndsocket`.
    signer: std::sync::OnceLock<signing::Signer>,
    /// Cards that have stamped requests since the daemon has looked: one bit for each.
    cards_seen: AtomicU64,
    /// Clients whose code does not fit.
    refused_keys: Mutex<refused_keys::RefusedKeys>,
    /// `clientloglimit`; none with `noclientlog`.
    pub memory: Option<Memory>,
}

impl Shared {
    fn view(&self) -> Arc<View> {
        Arc::clone(&held(&self.view))
    }
}

/// A panic of another thread does not end this one: what it held are counters and snapshots, whole at any moment.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server as the daemon's loop sees it.
pub(crate) struct Serving {
    shared: Arc<Shared>,
    /// The worker of the daemon's own loop, where there is one and a socket.
    worker: Option<Worker>,
    threads: usize,
    running: bool,
    /// Where the server listens, by address family: IPv4, IPv6.
    open: [Option<std::net::SocketAddr>; 2],
    /// The same for NTP inside PTP.
    open_ptp: [Option<std::net::SocketAddr>; 2],
    /// Those of NTP, which a peer's socket has its port from.
    lenders: Vec<Arc<UdpSocket>>,
    published: Option<Duration>,
    /// Cards stamp what comes and leaves.
    cards_stamp: bool,
    /// What answers at sources' sockets: the view's rules and keys, and a copy with counters of its own.
    aside: Option<(Arc<Server>, Server)>,
}

impl Serving {
    /// A server with `threads` workers and no socket yet.
    pub(crate) fn new(threads: usize, memory: Option<Memory>, view: View) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            view: Mutex::new(Arc::new(view)),
            version: AtomicU64::new(1),
            totals: Mutex::default(),
            ports: Mutex::default(),
            ports_version: AtomicU64::new(0),
            signer: std::sync::OnceLock::new(),
            cards_seen: AtomicU64::new(0),
            refused_keys: Mutex::default(),
            memory,
        });
        Self {
            shared,
            worker: None,
            threads,
            running: false,
            open: [None; 2],
            open_ptp: [None; 2],
            lenders: Vec::new(),
            published: None,
            cards_stamp: false,
            aside: None,
        }
    }

    /// What the workers share: the memory of clients is the key establishment's too.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Cards stamp what comes and leaves at the sockets that are added from now on.
    pub(crate) fn stamp_by_cards(&mut self) {
        self.cards_stamp = true;
    }

    /// They do.
    pub(crate) fn cards_stamp(&self) -> bool {
        self.cards_stamp
    }

    /// The cards that have stamped requests since the last call, one bit for each.
    pub(crate) fn take_cards_seen(&self) -> u64 {
        if self.cards_stamp { self.shared.cards_seen.swap(0, Ordering::Relaxed) } else { 0 }
    }

    /// How many sockets each address needs.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// It listens on an address of the family, `ptp`: for NTP inside PTP.
    pub(crate) fn is_open(&self, ipv4: bool, ptp: bool) -> bool {
        let [v4, v6] = if ptp { &self.open_ptp } else { &self.open };
        if ipv4 { v4.is_some() } else { v6.is_some() }
    }

    /// It listens somewhere.
    pub(crate) fn is_any_open(&self) -> bool {
        self.open.iter().chain(&self.open_ptp).any(Option::is_some)
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = std::net::SocketAddr> + '_ {
        self.open.iter().chain(&self.open_ptp).copied().flatten()
    }

    /// Takes a socket for the worker of this number; with a PTP domain NTP is inside PTP there.
    pub(crate) fn add(&mut self, worker: usize, socket: UdpSocket, ptp: Option<u8>) {
        let open = if ptp.is_some() { &mut self.open_ptp } else { &mut self.open };
        if let (Ok(local), [v4, v6]) = (socket.local_addr(), open) {
            *(if local.is_ipv4() { v4 } else { v6 }) = Some(local);
        }
        self.add_beside(worker, socket, ptp);
    }

    /// The same for a socket whose address another covers too ([`crate::sockets::beside`]).
    pub(crate) fn add_beside(&mut self, worker: usize, socket: UdpSocket, ptp: Option<u8>) {
        let socket = Arc::new(socket);
        if ptp.is_none() {
            self.lenders.push(Arc::clone(&socket));
        }
        let mut port = Port::new(socket, ptp);
        if self.cards_stamp {
            port.stamp_by_cards();
        }
        let mut ports = held(&self.shared.ports);
        let mut all = ports.to_vec();
        all.resize_with(all.len().max(worker + 1), Vec::new);
        if let Some(of) = all.get_mut(worker) {
            of.push(Arc::new(port));
        }
        *ports = all.into();
        drop(ports);
        self.shared.ports_version.fetch_add(1, Ordering::Release);
        if self.threads == 1 {
            let shared = || Worker::new(Arc::clone(&self.shared), 0);
            self.worker.get_or_insert_with(shared).look_for_sockets();
        }
    }

    /// Opens a socket that has the server's port too, as a peer's does. Only meanwhile may anybody else bind it.
    pub(crate) fn lend_port<T>(&self, open: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
        // The first is bound to every address: while it is not lent nobody gets any. So it is lent last, and not longer than it takes.
        let lent = self.lenders.iter().rev().try_for_each(|socket| sys::socket::let_reuse(socket, true));
        let opened = lent.and_then(|()| open());
        for socket in &self.lenders {
            // It cannot fail where it was done before.
            let _ = sys::socket::let_reuse(socket, false);
        }
        opened
    }

    /// `ntpsigndsocket`: replies to clients of a domain are signed by who listens in `folder`. Like [`Self::start_threads`] after
    /// privileges are dropped.
    pub(crate) fn start_signing(&self, folder: &std::path::Path) -> std::io::Result<()> {
        let signer = signing::Signer::start(folder)?;
        // It is called once, at the start.
        let _ = self.shared.signer.set(signer);
        Ok(())
    }

    /// Sends a packet that nobody asked for from a socket of its family; none where threads have the sockets, or there is none.
    pub(crate) fn send_unasked(
        &self,
        packet: &[u8],
        to: std::net::SocketAddr,
    ) -> Option<std::io::Result<usize>> {
        let ports = Arc::clone(&held(&self.shared.ports));
        let mut ports = ports.iter().filter(|_| self.worker.is_some()).flatten();
        let port = ports.find(|port| port.local().is_some_and(|local| local.is_ipv4() == to.is_ipv4()))?;
        Some(port.send_unasked(packet, to))
    }

    /// What the log has to be told of signatures.
    pub(crate) fn said(&self) -> Vec<String> {
        self.shared.signer.get().map(signing::Signer::said).unwrap_or_default()
    }

    /// The clients whose code did not fit, of which the log is to be told.
    pub(crate) fn refused_keys(&self) -> Vec<RefusedKey> {
        held(&self.shared.refused_keys).take()
    }

    /// Starts the threads, where some are configured; to be called when privileges are dropped, since a thread keeps those it
    /// starts with.
    pub(crate) fn start_threads(&mut self) -> std::io::Result<()> {
        if self.threads < 2 || self.running {
            return Ok(());
        }
        for number in 0..self.threads {
            let worker = Worker::new(Arc::clone(&self.shared), number);
            let thread = std::thread::Builder::new().name(format!("ntp server {number}"));
            // It ends with the process: it holds nothing that must be put away.
            thread.spawn(move || run(worker))?;
        }
        self.running = true;
        Ok(())
    }

    /// The sockets that the daemon's loop waits for, and the number of each; none where threads do.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.worker.iter().flat_map(Worker::descriptors).enumerate()
    }

    /// Serves what waits at one of them; `told`: its error queue has something to tell.
    pub(crate) fn serve(&mut self, index: usize, told: bool) {
        if let Some(worker) = &mut self.worker {
            worker.serve(index, told);
        }
    }

    /// The reply to a request that came to a source's socket, because the sources are asked from the server's port. `arrived` is the
    /// kernel's clock then. The limits are those of the server's own sockets: whoever sends under the source's address gets no more.
    pub(crate) fn answer(
        &mut self,
        request: &[u8],
        from: std::net::IpAddr,
        arrived: impl Into<Arrived<i64>>,
    ) -> Option<Vec<u8>> {
        if !self.is_any_open() {
            return None;
        }
        let view = self.shared.view();
        let server = match &mut self.aside {
            Some((of, server)) if Arc::ptr_eq(of, &view.server) => server,
            other => &mut other.insert((Arc::clone(&view.server), Server::clone(&view.server))).1,
        };
        let mut totals = Totals::default();
        let now = Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0));
        let treatment = match &self.shared.memory {
            _ if !server.admits(from) => Treatment::Drop,
            None => Treatment::Answer,
            Some(memory) => {
                let treatment = memory.hit(from, Service::Ntp, now, view.rate_limit.as_ref());
                if treatment == Treatment::Drop {
                    totals.limited += 1;
                    totals.server.received += 1;
                }
                treatment
            }
        };
        let manner = match treatment {
            Treatment::Answer => Some(Manner::Basic),
            Treatment::Kiss => Some(Manner::Kiss(KissCode::Rate)),
            Treatment::Drop => None,
        };
        let Arrived { at, transit } = arrived.into();
        let received = Arrived { at: NtpTimestamp::from_unix_nanos(view.clock.at(at)), transit };
        let transmit = NtpTimestamp::from_unix_nanos(view.clock.at(sys::clock::realtime_ns()));
        // No reply is longer than its request.
        let mut reply = vec![0; request.len()];
        let length = manner.and_then(|manner| {
            let made = server.reply(request, received, transmit, manner, &view.snapshot, &mut reply);
            made.map_err(|refusal| held(&self.shared.refused_keys).refused(request, from, refusal, now)).ok()
        });
        totals.server = totals.server.plus(server.take_counters());
        held(&self.shared.totals).add(&totals);
        reply.truncate(length?);
        Some(reply)
    }

    /// The time since the last publication, none before the first.
    pub(crate) fn age(&self, now: Duration) -> Option<Duration> {
        self.published.map(|at| now.saturating_sub(at))
    }

    /// A new view is due.
    pub(crate) fn outdated(&mut self) {
        self.published = None;
    }

    /// The workers go by this view from their next batch on.
    pub(crate) fn publish(&mut self, now: Duration, view: View) {
        *held(&self.shared.view) = Arc::new(view);
        self.shared.version.fetch_add(1, Ordering::Release);
        self.published = Some(now);
    }

    /// What became of the datagrams so far.
    pub(crate) fn totals(&self) -> Totals {
        *held(&self.shared.totals)
    }

    /// The table of clients.
    pub(crate) fn memory(&self) -> Option<&Memory> {
        self.shared.memory.as_ref()
    }
}

/// A thread's life.
fn run(mut worker: Worker) {
    // Signals are the daemon's loop's.
    sys::signal::block_in_this_thread();
    let mut ready = Vec::new();
    loop {
        if worker.wait(THREAD_WAIT_MAX, &mut ready).is_err() {
            std::thread::sleep(THREAD_WAIT_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntp_proto::{AccessList, Keys, Subnet};

    /// Goal: what comes to a source's socket and asks is answered under the server's limits, not beside them: the rate, the rules, the
    /// list of clients, and no reply longer than its request.
    #[test]
    fn requests_at_a_sources_socket_are_limited_too() {
        let limit = RateLimit { interval: 10, burst: 4, leak: 6, kod: 0 };
        let view = View { rate_limit: Some(limit), ..open_view([127, 0, 0, 1].into(), 32) };
        let mut serving = Serving::new(1, Some(Memory::new(1 << 16, 1)), view);
        let mut request = [0; 48];
        request[0] = 0x23;
        let now = sys::clock::realtime_ns();
        assert_eq!(serving.answer(&request, [127, 0, 0, 1].into(), now), None, "there is no server");
        serving.add(0, UdpSocket::bind("127.0.0.1:0").expect("a free port"), None);
        assert_eq!(serving.answer(&request, [127, 0, 0, 2].into(), now), None, "not allowed");
        let replies = (0..1000).filter_map(|_| serving.answer(&request, [127, 0, 0, 1].into(), now));
        let lengths: Vec<usize> = replies.map(|reply| reply.len()).collect();
        // The burst, and one of 64 by chance.
        assert!((4..100).contains(&lengths.len()), "{} of 1000", lengths.len());
        assert!(lengths.iter().all(|length| *length == 48), "{lengths:?}");
        let totals = serving.totals();
        assert_eq!(totals.server.received, 1001);
        assert_eq!((totals.server.denied, totals.limited), (1, 1000 - lengths.len() as u64));
    }

    /// Goal: nobody else, whatever options they bind with, takes over the port or one of the addresses from us, before and after a
    /// peer's socket gets the same port; and that socket gets it. Method: a socket of our own is refused as another user's is, for the
    /// kernel asks nobody's id about `SO_REUSEADDR`.
    #[test]
    fn nobody_else_binds_our_port() {
        let any = (std::net::Ipv4Addr::UNSPECIFIED, std::net::Ipv6Addr::UNSPECIFIED);
        let ipv4 = |address: std::net::IpAddr| address.is_ipv4();
        let view = open_view([127, 0, 0, 1].into(), 32);
        for shared in [false, true] {
            let marks = crate::sockets::Marks { server: true, shared, ..Default::default() };
            let (mut sockets, _) = crate::sockets::listen(0, &[], any, ipv4, marks).expect("a free port");
            let socket = sockets.remove(0);
            let port = socket.local_addr().expect("bound").port();
            let bind = |address: [u8; 4]| {
                let listen = sys::socket::Listen { reused: true, ..Default::default() };
                sys::socket::bind_udp((address, port).into(), listen)
            };
            let mut serving = Serving::new(1, None, view.clone());
            for socket in crate::sockets::beside(&socket, 8, marks) {
                serving.add_beside(0, socket, None);
            }
            serving.add(0, socket, None);
            let refused = || {
                for address in [[127, 0, 0, 1], [127, 5, 5, 5], [0, 0, 0, 0]] {
                    let error = bind(address).expect_err("the port is ours");
                    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{address:?}");
                }
            };
            refused();
            let peer = serving.lend_port(|| bind([0, 0, 0, 0])).expect("it is lent");
            peer.connect("127.0.0.1:9").expect("loopback");
            refused();
        }
    }

    /// Goal: an address of this host has a socket of its own beside the one for every address; what is asked there and at an address
    /// that has none (one that came later, say) is answered from where it was asked. Method: all of 127.0.0.0/8 is this host, and
    /// 127.0.0.1 alone is an interface's.
    #[test]
    fn every_address_answers_whether_it_has_a_socket_or_not() {
        let marks = crate::sockets::Marks { server: true, kernel_stamps: true, ..Default::default() };
        let any = (std::net::Ipv4Addr::UNSPECIFIED, std::net::Ipv6Addr::UNSPECIFIED);
        let ipv4 = |address: std::net::IpAddr| address.is_ipv4();
        let (mut sockets, _) = crate::sockets::listen(0, &[], any, ipv4, marks).expect("a free port");
        let socket = sockets.remove(0);
        let port = socket.local_addr().expect("bound").port();
        let beside = crate::sockets::beside(&socket, crate::sockets::beside_max(1), marks);
        let own = |address: [u8; 4]| {
            beside
                .iter()
                .any(|one| one.local_addr().is_ok_and(|at| at.ip() == std::net::IpAddr::from(address)))
        };
        assert!(own([127, 0, 0, 1]) && !own([127, 5, 5, 5]), "{beside:?}");
        let view = open_view([127, 0, 0, 0].into(), 8);
        let mut serving = Serving::new(1, None, view);
        serving.add(0, socket, None);
        for socket in beside {
            serving.add_beside(0, socket, None);
        }
        let listening: Vec<_> = serving.addresses().collect();
        assert_eq!(listening, [std::net::SocketAddr::from(([0, 0, 0, 0], port))], "told once");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a live socket");
        let mut request = [0; 48];
        request[0] = 0x23;
        for asked in [[127, 0, 0, 1], [127, 5, 5, 5]] {
            let to = std::net::SocketAddr::from((asked, port));
            client.send_to(&request, to).expect("loopback");
            for index in 0..serving.descriptors().count() {
                serving.serve(index, false);
            }
            let mut reply = [0; 64];
            assert_eq!(client.recv_from(&mut reply).expect("an answer"), (48, to));
        }
    }

    /// Clients of this net are answered.
    fn open_view(net: std::net::IpAddr, bits: u8) -> View {
        let mut access = AccessList::new();
        access.set(Subnet::new(net, bits).expect("the bits fit"), true, false);
        View {
            clock: crate::clocks::DaemonClock::beside(None).expect("a clock").map(),
            snapshot: ServerSnapshot::unsynchronised(-20),
            server: Arc::new(Server::new(access, Keys::new())),
            rate_limit: None,
            cards: None,
        }
    }

    /// A server's socket and where it is.
    fn server_socket() -> (UdpSocket, std::net::SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_nonblocking(true).expect("a live socket");
        sys::socket::receive_timestamps(&socket).expect("Linux has them");
        let at = socket.local_addr().expect("bound");
        (socket, at)
    }

    /// Goal: a worker that has had much to do also serves what waits at another's socket, which that one does not come to, and does
    /// not look there when it has little to do. Method: the other worker has no thread.
    #[test]
    fn a_worker_helps_another() {
        for (own_requests, others_requests, expected) in [(20, 200, 220), (1, 5, 1), (64, 0, 64)] {
            let mut serving = Serving::new(2, None, open_view([127, 0, 0, 1].into(), 32));
            let (first, first_at) = server_socket();
            let (second, second_at) = server_socket();
            serving.add(0, first, None);
            serving.add(1, second, None);
            let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            client.set_nonblocking(true).expect("a live socket");
            let mut request = [0; 48];
            request[0] = 0x23;
            for (to, count) in [(second_at, own_requests), (first_at, others_requests)] {
                for _ in 0..count {
                    client.send_to(&request, to).expect("loopback");
                }
            }
            let mut worker = Worker::new(serving.shared(), 1);
            worker.wait(Duration::from_secs(10), &mut Vec::new()).expect("its sockets are good");
            let replies = std::iter::from_fn(|| client.recv_from(&mut [0; 64]).ok());
            let from: Vec<std::net::SocketAddr> = replies.map(|(_, from)| from).collect();
            assert_eq!(from.len(), expected);
            assert_eq!(from.iter().filter(|from| **from == second_at).count(), own_requests);
        }
    }

    /// Goal: clients in interleaved mode learn when the reply before left, whether the kernel told of it or of its neighbours only: after
    /// the batch was begun, before its sending ended, and in the order of sending. Method: fifty requests are answered in one batch; the
    /// third round's replies are the first with a time that the kernel tells.
    #[test]
    fn interleaved_replies_say_when_the_last_ones_left() {
        const CLIENTS: usize = 50;
        let view = open_view([127, 0, 0, 1].into(), 32);
        let mut serving = Serving::new(1, Some(Memory::new(1 << 20, 1)), view.clone());
        let (socket, at) = server_socket();
        serving.add(0, socket, None);
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(10))).expect("a live socket");
        let field = |packet: &[u8; 48], at: usize| {
            NtpTimestamp(u64::from_be_bytes(*packet[at..].first_chunk().expect("eight bytes")))
        };
        let now = || NtpTimestamp::from_unix_nanos(view.clock.at(sys::clock::realtime_ns()));
        let mut origins = [NtpTimestamp::UNKNOWN; CLIENTS];
        let mut spans = Vec::new();
        // A time that an interruption has made unknown is no mistake, and neither is a basic reply then: so it is tried a few times.
        for round in 0..20 {
            for (number, origin) in origins.iter().enumerate() {
                let mut request = [0; 48];
                request[0] = 0x23;
                request[24..32].copy_from_slice(&origin.0.to_be_bytes());
                request[32..40].copy_from_slice(&(1000 + number as u64).to_be_bytes());
                request[40..48].copy_from_slice(&(2000 + number as u64).to_be_bytes());
                client.send_to(&request, at).expect("loopback");
            }
            let before = now();
            serving.serve(0, false);
            spans.push((before, now()));
            let mut left = Vec::new();
            for origin in &mut origins {
                let mut reply = [0; 48];
                client.recv_from(&mut reply).expect("an answer");
                // In interleaved mode what comes back is the receive timestamp (RFC 9769 section 2).
                if (1000..1000 + CLIENTS as u64).contains(&field(&reply, 24).0) {
                    left.push(field(&reply, 40));
                }
                *origin = field(&reply, 32);
            }
            if round < 3 || left.len() < CLIENTS {
                continue;
            }
            let (began, ended) = spans[round - 1];
            assert!(left.is_sorted_by(|a, b| b.since(*a) > 0.0), "in order: {left:?}");
            assert!(left[0].since(began) > 0.0 && ended.since(left[CLIENTS - 1]) > 0.0);
            let totals = serving.totals();
            assert!(totals.kernel_sent >= CLIENTS as u64, "{totals:?}");
            return;
        }
        panic!("no round in which every time was known");
    }
}
