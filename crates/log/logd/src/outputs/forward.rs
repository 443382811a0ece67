//! Forwarding to another host (`@host`, `@@host`): the thread, the connection and its attempts. What waits, and what is known of what
//! was sent, is [`forward_queue::Backlog`]'s.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use forward_queue::{Backlog, End, Limits, QueueFile, Recovered};
use log_core::{ActionQueue, Forward, Protocol, QueueSettings};
use record::Severity;
use segments::Directory;
use sys::poll::Interest;

use super::Batch;
use crate::counters::{OutputCounters, add, read, subtract};
use crate::say::Say;

/// Bytes that wait in memory at most; beyond them messages are dropped and counted.
const MEMORY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes that wait in memory before they go to disk.
const SPILL_BYTES: usize = 4 * 1024 * 1024;
/// Pause after the disk took no more.
const SPILL_PAUSE: Duration = Duration::from_secs(1);
/// Sizes of one queue file that make sense: a smaller one costs more syncs than it holds messages, a larger one is read whole at the
/// start.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=64 * 1024 * 1024;
/// How long confirmed messages are kept in case of a reset: the backlog lets them go then.
const RETAINED_TIME: Duration = Duration::from_secs(60);
/// Wait for a connection unless the configuration says otherwise.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// First pause after a failed connection; it doubles up to the configured interval.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// How soon it is looked again at what the peer's kernel has confirmed, while something stands on disk; it doubles.
const CONFIRM_PAUSE: Duration = Duration::from_millis(20);
const CONFIRM_PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time for emptying the queue at the end unless `queue.timeoutShutdown` says otherwise.
const FINISH_WAIT: Duration = Duration::from_secs(2);
/// Datagrams in one system call.
const DATAGRAMS_AT_ONCE: usize = 64;

/// A forward's thread, from outside.
pub(crate) struct ForwardThread {
    queue: Arc<Queue>,
    folder: Option<PathBuf>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    state: Mutex<State>,
    waker: sys::fd::Waker,
    counters: Arc<OutputCounters>,
}

/// How many messages a sync leaves in memory, having no place for them on disk.
type Synced = Result<u64, String>;

#[derive(Default)]
struct State {
    /// What the thread has not taken over yet.
    fresh: Vec<Batch>,
    fresh_bytes: usize,
    /// Bytes that wait in the thread's own memory.
    backlog_bytes: usize,
    /// Messages that were dropped and not told of.
    dropped: u64,
    asked: Vec<SyncSender<Synced>>,
    stop: bool,
}

impl ForwardThread {
    /// `taken`: the queue folders of the other forwards.
    pub(crate) fn start(
        target: &Forward,
        settings: &ActionQueue,
        work_directory: Option<&PathBuf>,
        taken: &HashSet<PathBuf>,
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
        let folder = settings
            .settings
            .spool_directory
            .as_ref()
            .or(work_directory)
            .filter(|_| target.protocol == Protocol::Tcp)
            .map(|place| queue_folder(place, target, &settings.settings, taken));
        let disk = match &folder {
            None => None,
            Some(folder) => {
                let (disk, recovered) = open_disk(folder, &settings.settings)
                    .map_err(|error| format!("cannot open the queue in {}: {error}", folder.display()))?;
                tell_recovered(&say, folder, &recovered);
                Some(disk)
            }
        };
        let backlog = Backlog::new(disk);
        add(&counters.queued, backlog.messages_on_disk());
        let waker =
            sys::fd::Waker::new().map_err(|error| format!("cannot make an event descriptor: {error}"))?;
        let queue = Arc::new(Queue { state: Mutex::default(), waker, counters });
        let mut sender = Sender {
            target: target.clone(),
            name,
            attempts_max: settings.retry.count.filter(|count| *count > 0),
            pause_max: Duration::from_secs(u64::from(settings.retry.interval_secs.max(1))),
            queue: Arc::clone(&queue),
            sync_spills: settings.settings.sync,
            backlog,
            say,
            started: Instant::now(),
            connection: None,
            connecting: None,
            failed: 0,
            next_attempt: Instant::now(),
            confirm_pause: CONFIRM_PAUSE,
            next_spill: Instant::now(),
            disk_failing: false,
            dropping: None,
            finish_wait: settings.settings.timeout_shutdown_ms.map_or(FINISH_WAIT, Duration::from_millis),
        };
        let thread = std::thread::Builder::new()
            .name("forward".into())
            .spawn(move || sender.run())
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { queue, folder, thread: Mutex::new(Some(thread)) })
    }

    /// Where its queue stands on disk.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.folder.as_ref()
    }

    /// Hands over a batch; never waits.
    pub(crate) fn offer(&self, batch: Batch) {
        let mut state = self.queue.lock();
        if state.stop || state.fresh_bytes + state.backlog_bytes + batch.bytes.len() > MEMORY_BYTES_MAX {
            state.dropped += batch.messages;
            add(&self.queue.counters.lost, batch.messages);
            return;
        }
        add(&self.queue.counters.queued, batch.messages);
        state.fresh_bytes += batch.bytes.len();
        state.fresh.push(batch);
        drop(state);
        self.queue.waker.wake();
    }

    /// Asks that everything handed over before and not confirmed by the receiver's kernel is on disk, synced. The answer says how
    /// many messages wait in memory all the same, because they have no place on disk.
    pub(crate) fn ask_sync(&self) -> Receiver<Synced> {
        let (answer, answered) = sync_channel(1);
        self.queue.lock().asked.push(answer);
        self.queue.waker.wake();
        answered
    }

    /// Sends what can be sent in a short time, keeps the rest on disk where there is a place for it, and ends.
    pub(crate) fn finish(&self) {
        self.queue.lock().stop = true;
        self.queue.waker.wake();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.queue.lock().asked.clear();
    }
}

impl Drop for ForwardThread {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first folder of the forward's name that no other forward has.
fn queue_folder(
    place: &Path,
    target: &Forward,
    settings: &QueueSettings,
    taken: &HashSet<PathBuf>,
) -> PathBuf {
    let name = match &settings.filename {
        Some(name) => name.clone(),
        None => format!("forward-{}-{}", target.host.replace('/', "_"), target.port),
    };
    let folder = |number: usize| match number {
        1 => place.join(format!("{name}.queue")),
        _ => place.join(format!("{name}-{number}.queue")),
    };
    (1..).map(folder).find(|folder| !taken.contains(folder)).unwrap_or_else(|| folder(1))
}

fn open_disk(folder: &Path, settings: &QueueSettings) -> io::Result<(QueueFile<Directory>, Recovered)> {
    let directory = Directory::open(folder).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(error.kind(), "another process uses it"),
        _ => error,
    })?;
    let defaults = Limits::default();
    let octets_max = settings.disk_bytes_max.unwrap_or(defaults.octets_max);
    let segment_octets = settings.file_bytes_max.unwrap_or(defaults.segment_octets);
    let segment_octets = segment_octets.clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end());
    QueueFile::open(directory, sys::random::u64(), Limits { segment_octets, octets_max })
}

fn tell_recovered(say: &Say, folder: &Path, recovered: &Recovered) {
    let folder = folder.display();
    if recovered.damaged_messages > 0 || recovered.damaged_octets > 0 {
        let text = format!(
            "the queue in {folder} is damaged: {} messages and {} bytes more cannot be read",
            recovered.damaged_messages, recovered.damaged_octets
        );
        say.say(Severity::Err, "forward.damaged", text);
    }
    if !recovered.unreadable.is_empty() {
        let numbers: Vec<String> =
            recovered.unreadable.iter().map(|number| format!("{number:016x}.seg")).collect();
        let text =
            format!("files of the queue in {folder} are not readable and left alone: {}", numbers.join(", "));
        say.say(Severity::Err, "forward.damaged", text);
    }
}

struct Sender {
    target: Forward,
    name: String,
    attempts_max: Option<u32>,
    pause_max: Duration,
    queue: Arc<Queue>,
    /// `queue.syncQueueFiles`: what goes to disk for want of memory is synced at once.
    sync_spills: bool,
    backlog: Backlog<Directory>,
    say: Arc<Say>,
    started: Instant,
    connection: Option<Connection>,
    /// An attempt runs in a thread of its own: neither a slow name nor a silent host keeps a commit waiting.
    connecting: Option<Receiver<io::Result<Connection>>>,
    failed: u32,
    next_attempt: Instant,
    confirm_pause: Duration,
    next_spill: Instant,
    disk_failing: bool,
    /// Messages dropped since the queue was full, which was told.
    dropping: Option<u64>,
    finish_wait: Duration,
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Sender {
    fn run(&mut self) {
        let mut finish_at: Option<Instant> = None;
        let mut ready = Vec::new();
        loop {
            let (stop, asked) = self.take_over();
            if stop && finish_at.is_none() {
                finish_at = Some(Instant::now() + self.finish_wait);
            }
            self.connect();
            self.send();
            if !asked.is_empty() {
                let result = self.commit();
                for answer in asked {
                    let _ = answer.send(result.clone());
                }
            }
            self.spill();
            self.tell_losses();
            let reachable = self.connection.is_some() || self.connecting.is_some();
            if let Some(finish_at) = finish_at
                && (self.is_idle() || !reachable || Instant::now() >= finish_at)
            {
                self.keep_rest();
                return;
            }
            if self.note_memory() {
                continue;
            }
            let timeout = self.timeout(stop);
            let mut wanted = vec![(self.queue.waker.as_fd(), Interest::READ)];
            match &self.connection {
                Some(Connection::Tcp(stream)) => {
                    let blocked = !self.backlog.is_written();
                    wanted.push((stream.as_fd(), if blocked { Interest::BOTH } else { Interest::READ }));
                }
                Some(Connection::Udp(socket)) if self.backlog.has_unsent() => {
                    wanted.push((socket.as_fd(), Interest::WRITE))
                }
                _ => {}
            }
            let _ = sys::poll::poll(&wanted, &mut ready, timeout);
            self.queue.waker.drain();
        }
    }

    /// Takes over what was handed in; whether the end has come, and who asks for a sync.
    fn take_over(&mut self) -> (bool, Vec<SyncSender<Synced>>) {
        let mut state = self.queue.lock();
        let fresh = std::mem::take(&mut state.fresh);
        state.backlog_bytes += std::mem::take(&mut state.fresh_bytes);
        let dropped = std::mem::take(&mut state.dropped);
        let (stop, asked) = (state.stop, std::mem::take(&mut state.asked));
        drop(state);
        for batch in fresh {
            self.backlog.push(forward_queue::Batch { bytes: batch.bytes, ends: batch.ends });
        }
        if dropped > 0 && self.dropping.is_none() {
            let text = format!("the queue of {} is full; messages for it are dropped and counted", self.name);
            self.say.say(Severity::Err, "forward.lost", text);
        }
        if dropped > 0 {
            self.dropping = Some(self.dropping.unwrap_or(0) + dropped);
        }
        (stop, asked)
    }

    /// Says how much memory is used; whether something was handed in meanwhile.
    fn note_memory(&mut self) -> bool {
        let bytes = self.backlog.waiting_octets();
        if bytes < MEMORY_BYTES_MAX / 2
            && let Some(dropped) = self.dropping.take()
        {
            let text = format!("the queue of {} has room again; {dropped} messages were lost", self.name);
            self.say.say(Severity::Err, "forward.lost", text);
        }
        let mut state = self.queue.lock();
        state.backlog_bytes = bytes;
        !state.fresh.is_empty() || !state.asked.is_empty()
    }

    fn timeout(&mut self, stop: bool) -> Option<Duration> {
        if stop {
            return Some(Duration::from_millis(20));
        }
        let wait = match &self.connection {
            None if self.connecting.is_some() => None,
            None if self.backlog.has_unsent() || self.target.protocol == Protocol::Tcp => {
                Some(self.next_attempt.saturating_duration_since(Instant::now()))
            }
            Some(Connection::Tcp(_)) if self.backlog.is_on_disk() && self.backlog.has_flight() => {
                let pause = self.confirm_pause;
                self.confirm_pause = (pause * 2).min(CONFIRM_PAUSE_MAX);
                Some(pause)
            }
            // Confirmed batches are let go after a while.
            Some(Connection::Tcp(_)) if self.backlog.has_flight() => Some(RETAINED_TIME),
            _ => None,
        };
        let spill = (self.backlog.waiting_octets() >= SPILL_BYTES && self.backlog.has_disk())
            .then(|| self.next_spill.saturating_duration_since(Instant::now()));
        wait.into_iter().chain(spill).min().map(|wait| wait.max(Duration::from_millis(1)))
    }

    /// Bytes that the peer's kernel has not confirmed.
    fn unconfirmed(&self) -> u64 {
        match &self.connection {
            Some(Connection::Tcp(stream)) => unconfirmed(stream),
            _ => 0,
        }
    }

    /// Nothing waits and the peer's kernel has confirmed everything.
    fn is_idle(&self) -> bool {
        !self.backlog.has_unsent() && self.backlog.is_written() && self.unconfirmed() == 0
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn connect(&mut self) {
        if self.connection.is_some() {
            return;
        }
        let result = match &self.connecting {
            None if Instant::now() < self.next_attempt => return,
            None => {
                self.begin_attempt();
                return;
            }
            Some(attempt) => match attempt.try_recv() {
                Ok(result) => result,
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => Err(io::Error::other("the attempt ended without a word")),
            },
        };
        self.connecting = None;
        match result {
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

    fn begin_attempt(&mut self) {
        let (answer, answered) = sync_channel(1);
        let (target, queue) = (self.target.clone(), Arc::clone(&self.queue));
        let attempt = move || {
            let _ = answer.send(open(&target));
            queue.waker.wake();
        };
        // An attempt that cannot begin drops its answer, which counts as a failed one.
        let _ = std::thread::Builder::new().name("connect".into()).spawn(attempt);
        self.connecting = Some(answered);
        self.queue.waker.wake();
    }

    fn send(&mut self) {
        match self.connection.take() {
            None => {}
            Some(Connection::Udp(socket)) => {
                while let Some(batch) = self.backlog.take() {
                    self.send_datagrams(&socket, &batch);
                }
                self.connection = Some(Connection::Udp(socket));
            }
            Some(Connection::Tcp(stream)) => match self.advance(&stream) {
                Ok(()) => self.connection = Some(Connection::Tcp(stream)),
                Err(end) => self.recover(&stream, end),
            },
        }
    }

    /// Writes until nothing waits or the socket is full.
    fn advance(&mut self, stream: &TcpStream) -> Result<(), End> {
        loop {
            // A peer that has closed is noticed before anything is written into the void.
            look_for_end(stream)?;
            let now = self.now();
            let Some(bytes) = self.backlog.to_write(now) else { break };
            match (&*stream).write(bytes) {
                Ok(count) => {
                    let messages = self.backlog.wrote(count);
                    add(&self.queue.counters.written, messages);
                    self.no_more_queued(messages);
                    self.confirm_pause = CONFIRM_PAUSE;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Err(End::Broken),
            }
            if self.backlog.is_on_disk() {
                self.confirm(stream);
            }
        }
        self.confirm(stream);
        Ok(())
    }

    fn confirm(&mut self, stream: &TcpStream) {
        let result = self.backlog.confirm(unconfirmed(stream), self.now());
        // A position that is not written means messages twice, not lost ones.
        self.disk_result(&result);
    }

    /// Puts back what the peer may not have.
    fn recover(&mut self, stream: &TcpStream, end: End) {
        let result = self.backlog.connection_ended(end, unconfirmed(stream));
        self.disk_result(&result);
        self.queue.counters.suspended.store(true, Ordering::Relaxed);
        self.failed = 1;
        self.next_attempt = Instant::now() + PAUSE_FIRST;
        let text = format!("{} has closed the connection; messages wait in a queue", self.name);
        self.say.say(Severity::Warning, "forward.suspended", text);
    }

    fn send_datagrams(&mut self, socket: &UdpSocket, batch: &forward_queue::Batch) {
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
        self.no_more_queued(batch.count());
    }

    /// While memory has much, it goes to disk; once something is on disk it is read from there, to keep the order.
    fn spill(&mut self) {
        if self.backlog.waiting_octets() < SPILL_BYTES
            || !self.backlog.has_disk()
            || Instant::now() < self.next_spill
        {
            return;
        }
        let mut result = self.backlog.spill();
        if result.is_ok() && self.sync_spills {
            result = self.backlog.sync();
        }
        if result.is_err() {
            self.next_spill = Instant::now() + SPILL_PAUSE;
        }
        self.disk_result(&result);
    }

    /// Puts everything on disk that the receiver's kernel has not confirmed.
    fn commit(&mut self) -> Synced {
        let result = self.backlog.commit(self.unconfirmed());
        self.disk_result(&result);
        match result {
            Ok(committed) => Ok(committed.in_memory),
            Err(error) => Err(format!("the queue of {} cannot be written: {error}", self.name)),
        }
    }

    /// Trouble with the disk is told once until it works again.
    fn disk_result<T>(&mut self, result: &io::Result<T>) {
        match result {
            Err(error) if !self.disk_failing => {
                self.disk_failing = true;
                let text = format!(
                    "the queue of {} cannot be written: {error}; messages for it wait in memory",
                    self.name
                );
                self.say.say(Severity::Err, "forward.disk", text);
            }
            Ok(_) => self.disk_failing = false,
            Err(_) => {}
        }
    }

    fn tell_losses(&mut self) {
        for loss in self.backlog.take_losses() {
            self.give_up(loss.messages, &format!("{}: {}", self.name, loss.reason));
        }
    }

    fn give_up(&self, lost: u64, why: &str) {
        add(&self.queue.counters.lost, lost);
        self.no_more_queued(lost);
        self.say.say(Severity::Err, "forward.lost", format!("{why}; {lost} messages are lost"));
    }

    fn no_more_queued(&self, messages: u64) {
        subtract(&self.queue.counters.queued, messages.min(read(&self.queue.counters.queued)));
    }

    /// After as many attempts as the configuration allows, what waits is given up.
    fn discard(&mut self) {
        let lost = match self.backlog.discard() {
            Ok(lost) => lost,
            Err(error) => {
                self.disk_result::<()>(&Err(error));
                0
            }
        };
        if lost > 0 {
            self.give_up(lost, &format!("{} could not be reached {} times", self.name, self.failed));
        }
    }

    /// The end: what the receiver's kernel has not confirmed is kept for the next start.
    fn keep_rest(&mut self) {
        if let Some(Connection::Tcp(stream)) = self.connection.take() {
            self.confirm(&stream);
            self.connection = Some(Connection::Tcp(stream));
        }
        match self.backlog.commit(self.unconfirmed()) {
            Ok(committed) if committed.in_memory == 0 => {}
            Ok(committed) => {
                let help = "give it a place on disk with $WorkDirectory";
                let why = format!("{} is not reached and there is no queue on disk ({help})", self.name);
                self.give_up(committed.in_memory, &why);
            }
            Err(error) => {
                let on_disk = self.backlog.messages_on_disk();
                let lost = read(&self.queue.counters.queued).saturating_sub(on_disk);
                self.give_up(lost, &format!("the queue of {} cannot be written: {error}", self.name));
            }
        }
        self.tell_losses();
        if let Some(Connection::Tcp(stream)) = self.connection.take() {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
    }
}

fn unconfirmed(stream: &TcpStream) -> u64 {
    sys::socket::unconfirmed_bytes(stream).map_or(u64::MAX, |bytes| bytes as u64)
}

/// Reads what the peer says (syslog receivers say nothing) to learn of its end.
fn look_for_end(mut stream: &TcpStream) -> Result<(), End> {
    let mut ignored = [0; 512];
    loop {
        match stream.read(&mut ignored) {
            Ok(0) => return Err(End::Orderly),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(End::Broken),
        }
    }
}

fn open(target: &Forward) -> io::Result<Connection> {
    let port = match target.port.as_str() {
        "syslog" => 514,
        port => port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no such port"))?,
    };
    let addresses: Vec<SocketAddr> = (target.host.as_str(), port).to_socket_addrs()?.collect();
    let wait = target.connect_timeout_secs.map_or(CONNECT_WAIT, |secs| Duration::from_secs(u64::from(secs)));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let opened = match target.protocol {
            Protocol::Udp => UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })
                .and_then(|socket| {
                    socket.connect(address)?;
                    socket.set_nonblocking(true)?;
                    Ok(Connection::Udp(socket))
                }),
            Protocol::Tcp => TcpStream::connect_timeout(&address, wait).and_then(|stream| {
                stream.set_nonblocking(true)?;
                if target.keep_alive {
                    // SOL_SOCKET, SO_KEEPALIVE
                    sys::socket::set_option(&stream, 1, 9, 1)?;
                }
                Ok(Connection::Tcp(stream))
            }),
        };
        match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}
