//! A worker: takes what waits at a socket in one system call, answers it over the view in force, and sends the answers in another.

use super::cards::{self, Awaited};
use super::signing::Unsigned;
use super::{Memory, Shared, Totals, View, held};
use crate::hardware::StampedBy;
use ntp_proto::{
    Arrived, HEADER_BYTES, KissCode, Manner, Moment, NtpTimestamp, PACKET_BYTES_MAX, PtpForm, Refusal,
    Server, Service, Treatment, interleaved_origin, signing_account,
};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sys::socket::{Departure, DepartureBatch, ReceiveBatch, SendBatch, StampBatch};

/// Datagrams in one system call.
const BATCH: usize = 64;
/// Turns after each other at one socket before the others are looked at.
const TURNS_MAX: usize = 16;
/// From so many datagrams on their replies' times are foretold: reading the clock for each would tell when it was written, not when it
/// leaves.
const FORETOLD_MIN: usize = 3;
/// The part of a new measurement in what a datagram costs, and the most that counts, nanoseconds: more is an interruption.
const COST_GAIN: f32 = 0.1;
const COST_MAX_NS: f32 = 20_000.0;
/// Random bytes that are taken from the kernel at once.
const RANDOM_BYTES: usize = 1024;
/// Replies whose transmit time the kernel still owes us, at most.
const OWED_MAX: usize = 256;

/// A socket and what is owed to it.
#[derive(Debug)]
pub(crate) struct Port {
    /// Replies that are signed elsewhere leave by it too.
    socket: Arc<UdpSocket>,
    local: Option<SocketAddr>,
    /// NTP is inside PTP here, in this domain.
    ptp: Option<u8>,
    /// The socket is bound to one address, so replies leave from there anyway.
    fixed: bool,
    /// The kernel tells when replies leave; since the first client in interleaved mode.
    stamping: bool,
    /// The next reply with a request for its time has this number.
    next_number: u32,
    /// The receive timestamps of the last replies with a request for their time, by number.
    owed: Vec<NtpTimestamp>,
    /// How many of them the kernel has not told: nobody looks into its queue for nothing.
    untold: usize,
    /// Cards stamp here, and so are the replies' times told.
    awaited: Option<Awaited>,
}

impl Port {
    /// A bound socket that does not block.
    pub(crate) fn new(socket: Arc<UdpSocket>, ptp: Option<u8>) -> Self {
        let local = socket.local_addr().ok();
        let fixed = local.is_some_and(|local| !local.ip().is_unspecified());
        if local.is_some_and(|local| local.is_ipv4()) {
            // Where it is refused, replies may be cut like those of other servers.
            let _ = sys::socket::never_fragment(&socket);
        }
        if let Some(local) = local.filter(|_| !fixed) {
            // Without it replies leave from the address that the route gives: right on most hosts.
            let _ = sys::socket::local_addresses(&socket, local.is_ipv4());
        }
        Self {
            socket,
            local,
            ptp,
            fixed,
            stamping: false,
            next_number: 0,
            owed: Vec::new(),
            untold: 0,
            awaited: None,
        }
    }

    /// Cards stamp what comes and leaves from now on. Where the kernel refuses that, its own stamps stay.
    pub(super) fn stamp_by_cards(&mut self) {
        let ipv4 = self.local.is_some_and(|local| local.is_ipv4());
        self.awaited = Awaited::begin(&self.socket, ipv4);
        if self.awaited.is_none() {
            // Where that is refused too, requests are stamped by the daemon.
            let _ = sys::socket::receive_timestamps(&self.socket);
        }
    }

    /// Sends a packet that nobody asked for.
    pub(super) fn send_unasked(&self, packet: &[u8], to: SocketAddr) -> std::io::Result<usize> {
        self.socket.send_to(packet, to)
    }

    /// Where it is bound.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// The kernel tells from now on; false when it does not.
    fn start_stamping(&mut self) -> bool {
        if !self.stamping && self.owed.is_empty() {
            self.stamping = sys::socket::transmit_stamps_on_request(&self.socket).is_ok();
            // Also marks that it was tried.
            self.owed = vec![NtpTimestamp::UNKNOWN; OWED_MAX];
        }
        self.stamping
    }

    /// After a datagram that was not sent the kernel's numbers and ours are no longer the same.
    fn recount(&mut self) {
        if self.stamping {
            self.stamping = sys::socket::restart_transmit_stamps(&self.socket).is_ok();
            self.owed.fill(NtpTimestamp::UNKNOWN);
            self.next_number = 0;
            self.untold = 0;
        }
    }
}

/// What becomes of a request, as far as its address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Answer,
    Kiss,
    Silence,
}

/// A worker.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    version: u64,
    view: Arc<View>,
    /// The view's rules and keys, with counters of its own.
    server: Server,
    ports: Vec<Port>,
    requests: ReceiveBatch,
    verdicts: [Verdict; BATCH],
    replies: SendBatch,
    stamps: StampBatch,
    /// Where cards stamp.
    departures: Option<DepartureBatch>,
    random: Random,
    /// What writing and sending one reply take, nanoseconds.
    write_ns: f32,
    send_ns: f32,
}

impl Worker {
    /// A worker without sockets.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let view = shared.view();
        Self {
            version: 0,
            server: Server::clone(&view.server),
            view,
            ports: Vec::new(),
            requests: ReceiveBatch::new(BATCH, PACKET_BYTES_MAX + 4).for_internet(),
            verdicts: [Verdict::Silence; BATCH],
            replies: SendBatch::new(BATCH, PACKET_BYTES_MAX),
            stamps: StampBatch::new(),
            departures: None,
            random: Random { bytes: [0; RANDOM_BYTES], used: RANDOM_BYTES },
            write_ns: 0.0,
            send_ns: 0.0,
            shared,
        }
    }

    /// What it shares with others.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Takes a socket.
    pub(crate) fn add(&mut self, port: Port) {
        if port.awaited.is_some() {
            self.replies.stamped_by_cards();
            self.departures.get_or_insert_default();
        }
        self.ports.push(port);
    }

    /// Its sockets and what is owed to them.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter()
    }

    /// Its sockets, in the order of their numbers.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.ports.iter().map(|port| port.socket.as_fd())
    }

    /// Serves what waits at a socket; `told`: its error queue has something to tell. While batches are full there is no need to ask
    /// poll(2), up to a limit.
    pub(crate) fn turns(&mut self, index: usize, told: bool) {
        if told {
            self.take_departures(index);
        }
        let mut turns = 0;
        while self.turn(index) && turns < TURNS_MAX {
            turns += 1;
        }
    }

    /// Takes the stamps of replies that cards have told.
    fn take_departures(&mut self, index: usize) {
        let (Some(port), Some(departures)) = (self.ports.get_mut(index), &mut self.departures) else {
            return;
        };
        let Some(awaited) = &mut port.awaited else { return };
        let ipv4 = port.local.is_some_and(|local| local.is_ipv4());
        let mut totals = Totals::default();
        let memory = self.shared.memory.as_ref();
        awaited.take(departures, &port.socket, ipv4, memory, &self.view, &mut totals);
        held(&self.shared.totals).add(&totals);
    }

    /// Serves one batch; true when more may wait.
    fn turn(&mut self, index: usize) -> bool {
        let Some(port) = self.ports.get_mut(index) else { return false };
        let mut totals = Totals::default();
        take_owed(&mut self.stamps, port, &self.shared, &self.view, &mut totals);
        let Ok(count) = self.requests.receive(&port.socket) else { return false };
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            let view = self.shared.view();
            if !Arc::ptr_eq(&view.server, &self.view.server) || self.version == 0 {
                self.server = Server::clone(&view.server);
            }
            (self.view, self.version) = (view, version);
        }
        let began = sys::clock::realtime_ns();
        let mut cards_seen = 0;
        let ptp = port.ptp;
        self.judge(count, ptp, &mut totals);
        let port = match self.ports.get_mut(index) {
            Some(port) => port,
            None => return false,
        };
        for number in 0..count {
            let verdict = self.verdicts.get(number).copied().unwrap_or(Verdict::Silence);
            if verdict == Verdict::Silence {
                continue;
            }
            let Some(request) = self.requests.datagram(number) else { continue };
            let Some(from) = request.source.filter(|_| !request.truncated) else {
                totals.server.received += 1;
                totals.server.malformed += 1;
                continue;
            };
            let message = port.ptp.and_then(|domain| ntp_proto::ptp_unwrap(request.data, domain));
            let data = match (port.ptp, &message) {
                (None, _) => request.data,
                (Some(_), message) => message.map_or(&[][..], |message| message.packet),
            };
            let mut manner = Manner::Basic;
            // Whether the client brings back a receive timestamp of ours, or of another server: only for those it is worth to
            // remember when the reply left.
            let mut speaks_interleaved = false;
            if verdict == Verdict::Kiss {
                manner = Manner::Kiss(KissCode::Rate);
            } else if let Some(memory) = &self.shared.memory
                && let Some(origin) = interleaved_origin(data)
            {
                speaks_interleaved = true;
                if let Some(previous) = memory.left(origin) {
                    manner = Manner::Interleaved { previous };
                }
            }
            let came = cards::arrival(&self.view, &request, began, &mut cards_seen);
            match came.by {
                StampedBy::Card => totals.card_received += 1,
                StampedBy::Kernel => totals.kernel_received += 1,
                StampedBy::Daemon => totals.daemon_received += 1,
            }
            let arrived = self.view.clock.at(came.kernel_ns);
            let mut received = NtpTimestamp::from_unix_nanos(arrived);
            let written = if count < FORETOLD_MIN {
                sys::clock::realtime_ns()
            } else {
                began + (self.write_ns * count as f32) as i64
            };
            let leaves = written + (self.send_ns * self.replies.len() as f32) as i64;
            let mut transmit = NtpTimestamp::from_unix_nanos(self.view.clock.at(leaves).max(arrived));
            let out = self.replies.buffer();
            let interleaved = matches!(manner, Manner::Interleaved { .. });
            if let Some(memory) = self.shared.memory.as_ref().filter(|_| speaks_interleaved) {
                received = memory.remember(received, transmit);
                // Made different from all others, it may have become later than the departure, which no client believes.
                if transmit.since(received) < 0.0 {
                    transmit = received;
                }
            }
            let transit = came.transit(message.map_or(0.0, |message| message.correction));
            let arrival = Arrived { at: received, transit };
            if port.ptp.is_none()
                && let Some(signer) = self.shared.signer.get()
                && let Some(account) = signing_account(request.data)
            {
                // The signature covers the header alone, and comes from elsewhere.
                let head = request.data.get(..HEADER_BYTES).unwrap_or_default();
                let mut reply = [0; HEADER_BYTES];
                let made =
                    self.server.reply(head, arrival, transmit, manner, &self.view.snapshot, &mut reply);
                if made == Ok(HEADER_BYTES) {
                    totals.daemon_sent += 1;
                    signer.sign(Unsigned {
                        account,
                        reply,
                        length_max: request.data.len(),
                        to: from,
                        source: request.local.filter(|_| !port.fixed),
                        socket: Arc::clone(&port.socket),
                        made: Instant::now(),
                    });
                }
                continue;
            }
            let nts = self.server.respond_nts(
                data,
                from.ip(),
                arrival,
                transmit,
                manner,
                &self.view.snapshot,
                &mut |bytes| self.random.fill(bytes),
            );
            let length = match nts {
                None => self.server.reply(data, arrival, transmit, manner, &self.view.snapshot, out),
                Some(Ok(bytes)) => {
                    // What is longer than the buffer is longer than any request.
                    let fits = out.get_mut(..bytes.len()).map(|out| out.copy_from_slice(&bytes));
                    Ok(fits.map_or(0, |()| bytes.len()))
                }
                Some(Err(refusal)) => Err(refusal),
            };
            let length = match length {
                Ok(length) => length,
                Err(refusal) => {
                    if matches!(refusal, Refusal::Mac(_)) {
                        let now =
                            Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0));
                        held(&self.shared.refused_keys).refused(data, from.ip(), refusal, now);
                    }
                    continue;
                }
            };
            if length == 0 || length > data.len() {
                continue;
            }
            let packet_bytes = length;
            let length = match port.ptp.zip(message) {
                None => length,
                Some((domain, message)) => wrap(out, length, domain, request.data, message.form),
            };
            let stamping = interleaved && (port.awaited.is_some() || port.start_stamping());
            if let Some(awaited) = port.awaited.as_mut().filter(|_| stamping) {
                awaited.push(received, packet_bytes);
            } else if stamping {
                if let Some(place) = port.owed.get_mut(port.next_number as usize % OWED_MAX) {
                    *place = received;
                }
                port.next_number = port.next_number.wrapping_add(1);
                port.untold = (port.untold + 1).min(OWED_MAX);
            } else {
                totals.daemon_sent += 1;
            }
            let source = request.local.filter(|_| !port.fixed);
            self.replies.push(length, &Departure { destination: Some(from), source, stamped: stamping });
        }
        let written = sys::clock::realtime_ns();
        let replies = self.replies.len();
        if replies > 0 {
            if self.replies.send(&port.socket) < replies {
                port.recount();
            }
            if replies >= FORETOLD_MIN {
                let sent = sys::clock::realtime_ns();
                learn(&mut self.write_ns, written - began, count);
                learn(&mut self.send_ns, sent - written, replies);
            }
        }
        take_owed(&mut self.stamps, port, &self.shared, &self.view, &mut totals);
        if cards_seen != 0 {
            self.shared.cards_seen.fetch_or(cards_seen, Ordering::Relaxed);
        }
        totals.server = totals.server.plus(self.server.take_counters());
        held(&self.shared.totals).add(&totals);
        count == BATCH
    }

    /// What becomes of the requests of a batch by their addresses. By itself, so that the places of all clients are on their way from
    /// memory at once.
    fn judge(&mut self, count: usize, ptp: Option<u8>, totals: &mut Totals) {
        let now = Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0));
        let now = Moment::of(now);
        let limit = self.view.rate_limit.as_ref();
        let mut hits = self.shared.memory.as_ref().map(Memory::hits);
        for (number, verdict) in self.verdicts.iter_mut().enumerate().take(count) {
            *verdict = Verdict::Answer;
            // What has no address is counted where its bytes are looked at.
            let Some(from) = self.requests.source(number) else { continue };
            if !self.server.admits(from.ip()) {
                *verdict = Verdict::Silence;
                continue;
            }
            if let Some(domain) = ptp
                && let Some(datagram) = self.requests.datagram(number).filter(|one| !one.truncated)
                && ntp_proto::ptp_unwrap(datagram.data, domain).is_none()
            {
                // PTP's own messages, most likely.
                *verdict = Verdict::Silence;
                continue;
            }
            let Some(hits) = &mut hits else { continue };
            match hits.hit(from.ip(), Service::Ntp, now, limit) {
                Treatment::Answer => {}
                Treatment::Kiss => *verdict = Verdict::Kiss,
                Treatment::Drop => {
                    totals.limited += 1;
                    totals.server.received += 1;
                    *verdict = Verdict::Silence;
                }
            }
        }
    }
}

/// Random bytes of the kernel, many at a time: a reply with NTS takes two nonces, and a system call for each is a tenth of its cost.
/// Each byte is given once.
struct Random {
    bytes: [u8; RANDOM_BYTES],
    used: usize,
}

impl Random {
    fn fill(&mut self, out: &mut [u8]) {
        if self.used + out.len() > self.bytes.len() {
            sys::random::fill(&mut self.bytes);
            self.used = 0;
        }
        match self.bytes.get(self.used..self.used + out.len()) {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                self.used += out.len();
            }
            // More than the store holds.
            None => sys::random::fill(out),
        }
    }
}

/// Puts a reply into a PTP message of the request's form and with its number; its length.
fn wrap(out: &mut [u8], length: usize, domain: u8, request: &[u8], form: PtpForm) -> usize {
    let sequence = request.get(30..).and_then(|rest| rest.first_chunk::<2>());
    let sequence = sequence.map_or(0, |bytes| u16::from_be_bytes(*bytes));
    let Some(prefix) = ntp_proto::ptp_prefix(length, domain, sequence, form) else { return length };
    let whole = prefix.len() + length;
    if whole <= out.len() {
        out.copy_within(..length, prefix.len());
        if let Some(place) = out.get_mut(..prefix.len()) {
            place.copy_from_slice(&prefix);
        }
    }
    whole.min(out.len())
}

/// Takes the transmit times that the kernel has to tell.
fn take_owed(stamps: &mut StampBatch, port: &mut Port, shared: &Shared, view: &View, totals: &mut Totals) {
    let Some(memory) = shared.memory.as_ref().filter(|_| port.untold > 0) else { return };
    let (owed, untold) = (&mut port.owed, &mut port.untold);
    stamps.take(&port.socket, *untold, |stamp| {
        *untold = untold.saturating_sub(1);
        let Some(place) = owed.get_mut(stamp.number as usize % OWED_MAX) else { return };
        let received = std::mem::take(place);
        if !received.is_unknown() {
            totals.kernel_sent += 1;
            memory.correct(received, NtpTimestamp::from_unix_nanos(view.clock.at(stamp.sent_ns)));
        }
    });
}

/// Draws the mean of what one of `count` costs to a new measurement.
fn learn(mean: &mut f32, nanos: i64, count: usize) {
    let each = nanos as f32 / count as f32;
    if (0.0..COST_MAX_NS).contains(&each) {
        *mean = if *mean == 0.0 { each } else { *mean + (each - *mean) * COST_GAIN };
    }
}

impl Totals {
    pub(super) fn add(&mut self, more: &Totals) {
        self.server = self.server.plus(more.server);
        self.limited += more.limited;
        self.kernel_received += more.kernel_received;
        self.daemon_received += more.daemon_received;
        self.kernel_sent += more.kernel_sent;
        self.card_received += more.card_received;
        self.card_sent += more.card_sent;
        self.card_sent_late += more.card_sent_late;
        self.daemon_sent += more.daemon_sent;
    }
}
