//! Forwarding to another host (`@host`, `@@host`).
//!
//! On TCP nobody acknowledges, so what can be known is used: what the peer's kernel has confirmed (`SIOCOUTQ`), and how the
//! connection ended. After an orderly end (FIN) everything confirmed has been read, and only the rest goes out again. After a reset it
//! may not have been, so what was sent lately goes out again as well: a message may arrive twice, but is not lost.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use log_core::{ActionQueue, Forward, Protocol};
use record::Severity;
use sys::poll::Interest;

use super::Batch;
use super::spill::{DISK_BYTES_DEFAULT, Spill};
use crate::counters::{OutputCounters, add, read, subtract};
use crate::say::Say;

/// Bytes that wait in memory at most; beyond them messages are dropped and counted (or stand on disk already).
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that wait in memory before they go to disk.
const SPILL_BYTES: usize = 4 * 1024 * 1024;
/// Bytes and time for which confirmed messages are kept in case of a reset: more than a receiver's socket buffer, longer than a
/// living receiver leaves it unread.
const RETAINED_BYTES_MAX: usize = 8 * 1024 * 1024;
const RETAINED_TIME: Duration = Duration::from_secs(60);
/// Wait for a connection unless the configuration says otherwise.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// First pause after a failed connection; it doubles up to the configured interval.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Time for emptying the queue at the end unless `queue.timeoutShutdown` says otherwise.
const FINISH_WAIT: Duration = Duration::from_secs(2);
/// Datagrams in one system call.
const DATAGRAMS_AT_ONCE: usize = 64;

/// A forward's thread, from outside.
pub(crate) struct ForwardThread {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    state: Mutex<State>,
    waker: sys::fd::Waker,
    counters: Arc<OutputCounters>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Batch>,
    waiting_bytes: usize,
    stop: bool,
}

impl ForwardThread {
    pub(crate) fn start(
        target: &Forward,
        settings: &ActionQueue,
        work_directory: Option<&PathBuf>,
        counters: Arc<OutputCounters>,
        say: Arc<Say>,
    ) -> Result<Self, String> {
        let name = format!("{}:{}", target.host, target.port);
        if target.compression_level > 0 {
            return Err(format!(
                "compression of forwarded messages (z{}) is not supported yet\nhelp: write @{name} or @@{name} without (z)",
                target.compression_level
            ));
        }
        let spill = match settings.settings.spool_directory.as_ref().or(work_directory) {
            Some(folder) if target.protocol == Protocol::Tcp => {
                let file = match &settings.settings.filename {
                    Some(file) => format!("{file}.queue"),
                    None => format!("forward-{}-{}.queue", target.host.replace('/', "_"), target.port),
                };
                let bytes_max = settings.settings.disk_bytes_max.unwrap_or(DISK_BYTES_DEFAULT);
                let path = folder.join(file);
                let opened = std::fs::create_dir_all(folder)
                    .and_then(|()| Spill::open(&path, bytes_max, settings.settings.sync));
                Some(
                    opened
                        .map_err(|error| format!("cannot open the queue file {}: {error}", path.display()))?,
                )
            }
            _ => None,
        };
        add(&counters.queued, spill.as_ref().map_or(0, Spill::messages));
        let waker =
            sys::fd::Waker::new().map_err(|error| format!("cannot make an event descriptor: {error}"))?;
        let queue = Arc::new(Queue { state: Mutex::default(), waker, counters });
        let finish_wait = settings.settings.timeout_shutdown_ms.map_or(FINISH_WAIT, Duration::from_millis);
        let mut sender = Sender {
            target: target.clone(),
            name,
            attempts_max: settings.retry.count.filter(|count| *count > 0),
            pause_max: Duration::from_secs(u64::from(settings.retry.interval_secs.max(1))),
            queue: Arc::clone(&queue),
            spill,
            say,
            connection: None,
            again: VecDeque::new(),
            failed: 0,
            next_attempt: Instant::now(),
            finish_wait,
        };
        let thread = std::thread::Builder::new()
            .name("forward".into())
            .spawn(move || sender.run())
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a batch; never waits.
    pub(crate) fn offer(&self, batch: Batch) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.stop || state.waiting_bytes + batch.bytes.len() > MEMORY_BYTES_MAX {
            add(&self.queue.counters.lost, batch.messages);
            return;
        }
        add(&self.queue.counters.queued, batch.messages);
        state.waiting_bytes += batch.bytes.len();
        state.waiting.push_back(batch);
        drop(state);
        self.queue.waker.wake();
    }

    /// Sends what can be sent in a short time, keeps the rest on disk where there is a place for it, and ends.
    pub(crate) fn finish(&self) {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.queue.waker.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for ForwardThread {
    fn drop(&mut self) {
        self.finish();
    }
}

struct Sender {
    target: Forward,
    name: String,
    attempts_max: Option<u32>,
    pause_max: Duration,
    queue: Arc<Queue>,
    spill: Option<Spill>,
    say: Arc<Say>,
    connection: Option<Connection>,
    /// What goes out again after a broken connection; older than everything else.
    again: VecDeque<Batch>,
    failed: u32,
    next_attempt: Instant,
    finish_wait: Duration,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(Tcp),
}

struct Tcp {
    stream: TcpStream,
    /// Batches of this connection, oldest first; the last may be written in part.
    flight: VecDeque<Flight>,
    /// Bytes written to the socket so far, and handed to `flight` so far.
    written: u64,
    appended: u64,
}

struct Flight {
    batch: Batch,
    /// Position of its first byte in the connection.
    start: u64,
    at: Instant,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The peer closed in order: it had read what its kernel confirmed.
    Orderly,
    /// It was reset, or failed.
    Broken,
}

impl Sender {
    fn run(&mut self) {
        let mut finish_at: Option<Instant> = None;
        let mut ready = Vec::new();
        loop {
            let stop = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).stop;
            if stop && finish_at.is_none() {
                finish_at = Some(Instant::now() + self.finish_wait);
            }
            self.connect();
            self.send();
            self.spill_memory();
            if let Some(finish_at) = finish_at
                && (self.is_idle() || self.connection.is_none() || Instant::now() >= finish_at)
            {
                self.keep_rest();
                return;
            }
            let timeout = self.timeout(stop);
            let mut wanted = vec![(self.queue.waker.as_fd(), Interest::READ)];
            match &self.connection {
                Some(Connection::Tcp(tcp)) => {
                    let blocked = tcp.written < tcp.appended;
                    wanted.push((tcp.stream.as_fd(), if blocked { Interest::BOTH } else { Interest::READ }));
                }
                Some(Connection::Udp(socket)) if self.has_waiting() => {
                    wanted.push((socket.as_fd(), Interest::WRITE))
                }
                _ => {}
            }
            let _ = sys::poll::poll(&wanted, &mut ready, timeout);
            self.queue.waker.drain();
        }
    }

    fn timeout(&self, stop: bool) -> Option<Duration> {
        if stop {
            return Some(Duration::from_millis(20));
        }
        match &self.connection {
            None if self.has_waiting() || self.target.protocol == Protocol::Tcp => Some(
                self.next_attempt.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)),
            ),
            // Confirmed batches are let go after a while.
            Some(Connection::Tcp(tcp)) if !tcp.flight.is_empty() => Some(RETAINED_TIME),
            _ => None,
        }
    }

    fn has_waiting(&self) -> bool {
        !self.again.is_empty()
            || self.spill.as_ref().is_some_and(|spill| !spill.is_empty())
            || !self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// Nothing waits and the peer's kernel has confirmed everything.
    fn is_idle(&self) -> bool {
        let confirmed = match &self.connection {
            Some(Connection::Tcp(tcp)) => {
                tcp.written == tcp.appended && sys::socket::unconfirmed_bytes(&tcp.stream).unwrap_or(0) == 0
            }
            _ => true,
        };
        confirmed && !self.has_waiting()
    }

    fn connect(&mut self) {
        if self.connection.is_some() || Instant::now() < self.next_attempt {
            return;
        }
        match self.open() {
            Ok(connection) => {
                self.connection = Some(connection);
                self.queue.counters.suspended.store(false, Ordering::Relaxed);
                if self.failed > 0 {
                    let text = format!("{} takes messages again", self.name);
                    self.say.say(Severity::Notice, "forward.connected", text);
                }
                self.failed = 0;
            }
            Err(error) => {
                self.failed += 1;
                self.queue.counters.suspended.store(true, Ordering::Relaxed);
                if self.failed == 1 {
                    let text = format!("cannot connect to {}: {error}; messages wait in a queue", self.name);
                    self.say.say(Severity::Warning, "forward.suspended", text);
                }
                if self.attempts_max.is_some_and(|attempts_max| self.failed > attempts_max) {
                    self.discard();
                }
                let pause = PAUSE_FIRST.saturating_mul(1 << (self.failed - 1).min(16)).min(self.pause_max);
                self.next_attempt = Instant::now() + pause;
            }
        }
    }

    fn open(&self) -> io::Result<Connection> {
        let port = match self.target.port.as_str() {
            "syslog" => 514,
            port => port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no such port"))?,
        };
        let addresses: Vec<SocketAddr> = (self.target.host.as_str(), port).to_socket_addrs()?.collect();
        let wait = self
            .target
            .connect_timeout_secs
            .map_or(CONNECT_WAIT, |secs| Duration::from_secs(u64::from(secs)));
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in addresses {
            let opened = match self.target.protocol {
                Protocol::Udp => UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
                    .and_then(|socket| {
                        socket.connect(address)?;
                        socket.set_nonblocking(true)?;
                        Ok(Connection::Udp(socket))
                    }),
                Protocol::Tcp => TcpStream::connect_timeout(&address, wait).and_then(|stream| {
                    stream.set_nonblocking(true)?;
                    if self.target.keep_alive {
                        // SOL_SOCKET, SO_KEEPALIVE
                        sys::socket::set_option(&stream, 1, 9, 1)?;
                    }
                    Ok(Connection::Tcp(Tcp { stream, flight: VecDeque::new(), written: 0, appended: 0 }))
                }),
            };
            match opened {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The next batch: what goes out again, then what is on disk, then what is in memory.
    fn next_batch(&mut self) -> Option<Batch> {
        if let Some(batch) = self.again.pop_front() {
            return Some(batch);
        }
        if let Some(spill) = &mut self.spill
            && !spill.is_empty()
        {
            match spill.take(256 * 1024) {
                Ok(batch) => return batch,
                Err(error) => {
                    let lost = spill.messages();
                    self.give_up(lost, &format!("the queue file of {} cannot be read: {error}", self.name));
                    self.spill = None;
                }
            }
        }
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = state.waiting.pop_front()?;
        state.waiting_bytes -= batch.bytes.len();
        Some(batch)
    }

    fn send(&mut self) {
        loop {
            match self.connection.take() {
                None => return,
                Some(Connection::Udp(socket)) => {
                    let Some(batch) = self.next_batch() else {
                        self.connection = Some(Connection::Udp(socket));
                        return;
                    };
                    self.send_datagrams(&socket, &batch);
                    self.connection = Some(Connection::Udp(socket));
                }
                Some(Connection::Tcp(mut tcp)) => match self.advance(&mut tcp) {
                    Ok(()) => {
                        self.connection = Some(Connection::Tcp(tcp));
                        return;
                    }
                    Err(end) => self.recover(tcp, end),
                },
            }
        }
    }

    /// Writes until nothing waits or the socket is full.
    fn advance(&mut self, tcp: &mut Tcp) -> Result<(), End> {
        loop {
            // A peer that has closed is noticed before anything is written into the void.
            tcp.look_for_end()?;
            if tcp.written == tcp.appended {
                let Some(batch) = self.next_batch() else { break };
                let start = tcp.appended;
                tcp.appended += batch.bytes.len() as u64;
                tcp.flight.push_back(Flight { batch, start, at: Instant::now() });
            }
            let Some(flight) = tcp.flight.back() else { break };
            let from = usize::try_from(tcp.written - flight.start).unwrap_or(0);
            match tcp.stream.write(flight.batch.bytes.get(from..).unwrap_or(b"")) {
                Ok(count) => tcp.written += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(End::Broken),
            }
            if tcp.written == tcp.appended
                && let Some(flight) = tcp.flight.back_mut()
            {
                let messages = std::mem::take(&mut flight.batch.messages);
                add(&self.queue.counters.written, messages);
                subtract(&self.queue.counters.queued, messages);
            }
        }
        tcp.let_go();
        Ok(())
    }

    /// Puts back what the peer may not have.
    fn recover(&mut self, tcp: Tcp, end: End) {
        let unconfirmed = sys::socket::unconfirmed_bytes(&tcp.stream).unwrap_or(usize::MAX) as u64;
        let from = match end {
            End::Orderly => tcp.written.saturating_sub(unconfirmed),
            End::Broken => 0,
        };
        let mut again: VecDeque<Batch> =
            tcp.flight.into_iter().filter_map(|flight| flight.rest(from)).collect();
        again.append(&mut self.again);
        self.again = again;
        self.queue.counters.suspended.store(true, Ordering::Relaxed);
        self.failed = 1;
        self.next_attempt = Instant::now() + PAUSE_FIRST;
        let text = format!("{} has closed the connection; messages wait in a queue", self.name);
        self.say.say(Severity::Warning, "forward.suspended", text);
    }

    fn send_datagrams(&mut self, socket: &UdpSocket, batch: &Batch) {
        let messages: Vec<sys::socket::Outgoing<'_>> =
            batch.messages().map(|data| sys::socket::Outgoing { data, destination: None }).collect();
        let mut at = 0;
        let mut ready = Vec::new();
        while at < messages.len() {
            let slice = &messages[at..messages.len().min(at + DATAGRAMS_AT_ONCE)];
            match sys::socket::send_batch(socket, slice) {
                Ok(count) => {
                    add(&self.queue.counters.written, count as u64);
                    at += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = sys::poll::poll(
                        &[(socket.as_fd(), Interest::WRITE)],
                        &mut ready,
                        Some(Duration::from_millis(100)),
                    );
                }
                // What an earlier datagram met (nobody listens) is told now; this one has not been tried.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(_) => {
                    add(&self.queue.counters.lost, 1);
                    at += 1;
                }
            }
        }
        subtract(&self.queue.counters.queued, batch.messages);
    }

    /// While memory has much, it goes to disk; once something is on disk all that follows goes there too, to keep the order.
    fn spill_memory(&mut self) {
        let Some(spill) = &mut self.spill else { return };
        let batches: Vec<Batch> = {
            let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.waiting_bytes < SPILL_BYTES {
                return;
            }
            state.waiting_bytes = 0;
            state.waiting.drain(..).collect()
        };
        let mut lost = 0;
        let mut failure = None;
        for batch in &batches {
            match spill.append(batch) {
                Ok(refused) => lost += refused,
                Err(error) => {
                    lost += batch.messages;
                    failure = Some(error);
                }
            }
        }
        if lost > 0 {
            let reason = failure.map_or("it has its largest size".to_owned(), |error| error.to_string());
            self.give_up(lost, &format!("the queue file of {} takes no more: {reason}", self.name));
        }
    }

    fn give_up(&self, lost: u64, why: &str) {
        add(&self.queue.counters.lost, lost);
        subtract(&self.queue.counters.queued, lost.min(read(&self.queue.counters.queued)));
        self.say.say(Severity::Err, "forward.lost", format!("{why}; {lost} messages are lost"));
    }

    /// After as many attempts as the configuration allows, what waits is given up.
    fn discard(&mut self) {
        let mut lost: u64 = 0;
        while let Some(batch) = self.next_batch() {
            lost += batch.messages;
        }
        if lost > 0 {
            self.give_up(lost, &format!("{} could not be reached {} times", self.name, self.failed));
        }
    }

    fn keep_rest(&mut self) {
        if let Some(Connection::Tcp(tcp)) = self.connection.take() {
            if tcp.written == tcp.appended && sys::socket::unconfirmed_bytes(&tcp.stream).unwrap_or(1) == 0 {
                let _ = tcp.stream.shutdown(std::net::Shutdown::Write);
            } else {
                self.recover(tcp, End::Orderly);
            }
        }
        let mut rest: Vec<Batch> = self.again.drain(..).collect();
        let in_memory: Vec<Batch> = {
            let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting_bytes = 0;
            state.waiting.drain(..).collect()
        };
        let messages = |batches: &[Batch]| batches.iter().map(|batch| batch.ends.len() as u64).sum::<u64>();
        let Some(mut spill) = self.spill.take() else {
            rest.extend(in_memory);
            let lost = messages(&rest);
            if lost > 0 {
                let help = "give it a place on disk with $WorkDirectory";
                self.give_up(
                    lost,
                    &format!("{} is not reached and there is no queue file ({help})", self.name),
                );
            }
            return;
        };
        let lost: u64 = in_memory.iter().map(|batch| spill.append(batch).unwrap_or(batch.messages)).sum();
        let waiting = messages(&rest) + spill.messages();
        match spill.keep(&rest) {
            Ok(()) if lost == 0 => {}
            Ok(()) => self.give_up(lost, &format!("the queue file of {} takes no more", self.name)),
            Err(error) => {
                self.give_up(
                    lost + waiting,
                    &format!("the queue file of {} cannot be written: {error}", self.name),
                );
            }
        }
    }
}

impl Tcp {
    /// Reads what the peer says (syslog receivers say nothing) to learn of its end.
    fn look_for_end(&mut self) -> Result<(), End> {
        let mut ignored = [0; 512];
        loop {
            match self.stream.read(&mut ignored) {
                Ok(0) => return Err(End::Orderly),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Broken),
            }
        }
    }

    /// Forgets batches that are confirmed and too old or too many to be kept for a reset.
    fn let_go(&mut self) {
        let unconfirmed = sys::socket::unconfirmed_bytes(&self.stream).unwrap_or(usize::MAX) as u64;
        let confirmed = self.written.saturating_sub(unconfirmed);
        let mut bytes: usize = self.flight.iter().map(|flight| flight.batch.bytes.len()).sum();
        while let Some(flight) = self.flight.front() {
            let length = flight.batch.bytes.len();
            let done = flight.start + length as u64 <= confirmed;
            if !done || (bytes <= RETAINED_BYTES_MAX && flight.at.elapsed() < RETAINED_TIME) {
                break;
            }
            bytes -= length;
            self.flight.pop_front();
        }
    }
}

impl Flight {
    /// The messages that end after position `from` of the connection.
    fn rest(self, from: u64) -> Option<Batch> {
        let cut = usize::try_from(from.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let first = self.batch.ends.iter().position(|end| *end > cut)?;
        if first == 0 {
            return Some(self.batch);
        }
        let start = self.batch.ends.get(first - 1).copied()?;
        Some(Batch {
            bytes: self.batch.bytes.get(start..)?.to_vec(),
            ends: self.batch.ends.iter().skip(first).map(|end| end - start).collect(),
            messages: self.batch.messages,
            path: None,
        })
    }
}
