//! The server: sockets, workers and what they share. With one worker the daemon's own loop turns it; with more (`serverthreads`)
//! each has a thread and sockets of its own on the same port, over which the kernel spreads the clients (`SO_REUSEPORT`).
//!
//! A worker reads what the daemon last published (a [`View`]) and shares with the others only counters and the bounded memory
//! of clients.

mod memory;
mod signing;
mod worker;

pub(crate) use memory::Memory;
pub(crate) use worker::{Port, Worker};

use crate::clocks::ClockMap;
use ntp_proto::{NtpTimestamp, RateLimit, Server, ServerCounters, ServerSnapshot};
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
    /// Requests stamped by us.
    pub daemon_received: u64,
    /// Replies whose transmit timestamp is the kernel's.
    pub kernel_sent: u64,
    /// Replies whose transmit timestamp is ours.
    pub daemon_sent: u64,
}

/// What all workers and the daemon's loop have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    view: Mutex<Arc<View>>,
    version: AtomicU64,
    totals: Mutex<Totals>,
    /// Sockets opened later, for threads that run: each takes those with its number.
    sockets: Mutex<Vec<(usize, Port)>>,
    /// `ntpsigndsocket`.
    signer: std::sync::OnceLock<signing::Signer>,
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
    /// The worker of the daemon's own loop, or those whose threads have not started.
    workers: Vec<Worker>,
    threads: usize,
    running: bool,
    /// Where the server listens, by address family: IPv4, IPv6.
    open: [Option<std::net::SocketAddr>; 2],
    /// The same for NTP inside PTP.
    open_ptp: [Option<std::net::SocketAddr>; 2],
    published: Option<Duration>,
}

impl Serving {
    /// A server with `threads` workers and no socket yet.
    pub(crate) fn new(threads: usize, memory: Option<Memory>, view: View) -> Self {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            view: Mutex::new(Arc::new(view)),
            version: AtomicU64::new(1),
            totals: Mutex::default(),
            sockets: Mutex::default(),
            signer: std::sync::OnceLock::new(),
            memory,
        });
        Self {
            shared,
            workers: Vec::new(),
            threads,
            running: false,
            open: [None; 2],
            open_ptp: [None; 2],
            published: None,
        }
    }

    /// What the workers share: the memory of clients is the key establishment's too.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
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
        let port = Port::new(socket, ptp);
        let open = if ptp.is_some() { &mut self.open_ptp } else { &mut self.open };
        if let (Some(local), [v4, v6]) = (port.local(), open) {
            *(if local.is_ipv4() { v4 } else { v6 }) = Some(local);
        }
        if self.running {
            held(&self.shared.sockets).push((worker, port));
            return;
        }
        while self.workers.len() <= worker {
            self.workers.push(Worker::new(Arc::clone(&self.shared)));
        }
        if let Some(one) = self.workers.get_mut(worker) {
            one.add(port);
        }
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
        let mut ports = self.workers.iter().flat_map(Worker::ports);
        let port = ports.find(|port| port.local().is_some_and(|local| local.is_ipv4() == to.is_ipv4()))?;
        Some(port.send_unasked(packet, to))
    }

    /// What the log has to be told of signatures.
    pub(crate) fn said(&self) -> Vec<String> {
        self.shared.signer.get().map(signing::Signer::said).unwrap_or_default()
    }

    /// Starts the threads, where some are configured; to be called when privileges are dropped, since a thread keeps those it
    /// starts with.
    pub(crate) fn start_threads(&mut self) -> std::io::Result<()> {
        if self.threads < 2 || self.running {
            return Ok(());
        }
        while self.workers.len() < self.threads {
            self.workers.push(Worker::new(Arc::clone(&self.shared)));
        }
        for (number, worker) in std::mem::take(&mut self.workers).into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("ntp server {number}"));
            // It ends with the process: it holds nothing that must be put away.
            thread.spawn(move || run(worker, number))?;
        }
        self.running = true;
        Ok(())
    }

    /// The sockets that the daemon's loop waits for, and the number of each; none where threads do.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.workers.first().into_iter().flat_map(Worker::descriptors).enumerate()
    }

    /// Serves what waits at one of them.
    pub(crate) fn serve(&mut self, index: usize) {
        if let Some(worker) = self.workers.first_mut() {
            worker.turns(index);
        }
    }

    /// The reply to a request that came to a source's socket, because the sources are asked from the server's port. `arrived` is the
    /// kernel's clock.
    pub(crate) fn answer(&self, request: &[u8], from: std::net::IpAddr, arrived: i64) -> Option<Vec<u8>> {
        if !self.is_any_open() {
            return None;
        }
        let view = self.shared.view();
        let mut server = Server::clone(&view.server);
        let received = NtpTimestamp::from_unix_nanos(view.clock.at(arrived));
        let transmit = NtpTimestamp::from_unix_nanos(view.clock.at(sys::clock::realtime_ns()));
        let reply = server.respond(request, from, received, transmit, &view.snapshot);
        held(&self.shared.totals).add(&Totals { server: server.take_counters(), ..Totals::default() });
        reply.ok().map(|reply| reply.to_vec())
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
fn run(mut worker: Worker, number: usize) {
    // Signals are the daemon's loop's.
    sys::signal::block_in_this_thread();
    let mut ready = Vec::new();
    loop {
        {
            let mut sockets = held(&worker.shared().sockets);
            let own: Vec<Port> =
                sockets.extract_if(.., |(of, _)| *of == number).map(|(_, port)| port).collect();
            drop(sockets);
            own.into_iter().for_each(|port| worker.add(port));
        }
        let wanted: Vec<_> = worker.descriptors().map(|fd| (fd, sys::poll::Interest::READ)).collect();
        let polled = sys::poll::poll(&wanted, &mut ready, Some(THREAD_WAIT_MAX));
        drop(wanted);
        if polled.is_err() {
            std::thread::sleep(THREAD_WAIT_MAX);
            continue;
        }
        for index in 0..ready.len() {
            if ready.get(index).is_some_and(|one| one.any()) {
                worker.turns(index);
            }
        }
    }
}
