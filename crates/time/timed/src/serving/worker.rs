//! A worker: takes what waits at a socket in one system call, answers it over the view in force, and sends the answers in another.

use super::cards;
use super::owed::Waiting;
use super::port::{Ears, Hearing, Port};
use super::signing::Unsigned;
use super::{Memory, Shared, Totals, View, held};
use crate::hardware::StampedBy;
use ntp_proto::{
    Arrived, HEADER_BYTES, KissCode, Manner, Moment, NtpTimestamp, PACKET_BYTES_MAX, PtpForm, Refusal,
    Server, Service, Treatment, interleaved_origin, signing_account,
};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use sys::poll::{Interest, Readiness};
use sys::socket::{Departure, ReceiveBatch, SendBatch};

/// Datagrams in one system call.
const BATCH: usize = 64;
/// Turns after each other at one socket before the others are looked at.
const TURNS_MAX: usize = 16;
/// After so many datagrams a worker looks whether another has more than it can do.
const BUSY_MIN: usize = 8;
/// From so many datagrams on their replies' times are foretold: reading the clock for each would tell when it was written, not when it
/// leaves.
const FORETOLD_MIN: usize = 3;
/// The most by which one measurement changes what a datagram costs, as a part of it, and the most that it may be, nanoseconds.
const COST_STEP: f32 = 0.03;
const COST_MAX_NS: f32 = 20_000.0;
/// Random bytes that are taken from the kernel at once.
const RANDOM_BYTES: usize = 1024;
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
    /// Those sockets are its own that have this number.
    number: usize,
    /// The worker at whose sockets it has looked last.
    helped: usize,
    version: u64,
    view: Arc<View>,
    /// The view's rules and keys, with counters of its own.
    server: Server,
    /// The sockets of all workers, by worker, and the version of that list.
    ports: Arc<[Vec<Arc<Port>>]>,
    ports_version: u64,
    requests: ReceiveBatch,
    verdicts: [Verdict; BATCH],
    replies: SendBatch,
    /// Those of them whose transmit time comes later.
    waiting: Vec<Waiting>,
    ears: Ears,
    random: Random,
    /// What writing and sending one reply take, nanoseconds.
    write_ns: f32,
    send_ns: f32,
}

/// What is taken from a socket in one system call.
struct Batch {
    count: usize,
    /// The kernel's clock when it was there.
    began: i64,
    /// Cards that stamped, one bit for each.
    cards_seen: u64,
    totals: Totals,
}

impl Worker {
    /// The worker with this number.
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> Self {
        let view = shared.view();
        Self {
            number,
            helped: number,
            version: 0,
            server: Server::clone(&view.server),
            view,
            ports: Arc::default(),
            ports_version: 0,
            requests: ReceiveBatch::new(BATCH, PACKET_BYTES_MAX + 4).for_internet(),
            verdicts: [Verdict::Silence; BATCH],
            replies: SendBatch::new(BATCH, PACKET_BYTES_MAX),
            waiting: Vec::with_capacity(BATCH),
            ears: Ears::new(),
            random: Random { bytes: [0; RANDOM_BYTES], used: RANDOM_BYTES },
            write_ns: 0.0,
            send_ns: 0.0,
            shared,
        }
    }

    /// Looks whether there are new sockets.
    pub(crate) fn look_for_sockets(&mut self) {
        let version = self.shared.ports_version.load(Ordering::Acquire);
        if version != self.ports_version {
            (self.ports, self.ports_version) = (Arc::clone(&held(&self.shared.ports)), version);
        }
    }

    /// The sockets of the worker with this number.
    fn of(&self, number: usize) -> &[Arc<Port>] {
        self.ports.get(number).map_or(&[], Vec::as_slice)
    }

    /// Its sockets, in the order of their numbers.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.of(self.number).iter().map(|port| port.socket.as_fd())
    }

    /// Serves what waits at a socket of its own; `told`: its error queue has something to tell. Returns how many datagrams it took.
    pub(crate) fn serve(&mut self, index: usize, told: bool) -> usize {
        self.of(self.number).get(index).cloned().map_or(0, |port| self.turns(&port, told))
    }

    /// While batches are full there is no need to ask poll(2), up to a limit.
    fn turns(&mut self, port: &Port, told: bool) -> usize {
        if told {
            self.take_told(port);
        }
        let mut served = 0;
        for _ in 0..TURNS_MAX {
            let count = self.turn(port);
            served += count;
            if count < BATCH {
                break;
            }
        }
        served
    }

    /// Takes what a socket says that it has to tell of replies.
    fn take_told(&mut self, port: &Port) {
        let mut totals = Totals::default();
        let mut hearing = Hearing {
            ears: &mut self.ears,
            memory: self.shared.memory.as_ref(),
            view: &self.view,
            totals: &mut totals,
            each_ns: self.send_ns,
        };
        port.take(true, &mut hearing);
        held(&self.shared.totals).add(&totals);
    }

    /// Waits until something comes to one of its own sockets, at most so long, and serves it. After a wait that brought much it also looks
    /// at the sockets of another worker, and serves one batch there whenever its own have nothing: which clients come to whose socket
    /// their addresses decide (`SO_REUSEPORT`), and who gets a processor the scheduler, so one may have much to do and another nothing.
    pub(crate) fn wait(&mut self, most: Duration, ready: &mut Vec<Readiness>) -> std::io::Result<()> {
        let mut other = None;
        let mut most = most;
        loop {
            self.look_for_sockets();
            let of_other = other.map_or(&[][..], |other| self.of(other));
            let wanted: Vec<_> = self
                .descriptors()
                .chain(of_other.iter().map(|port| port.socket.as_fd()))
                .map(|fd| (fd, Interest::READ))
                .collect();
            let own = wanted.len() - of_other.len();
            sys::poll::poll(&wanted, ready, Some(most))?;
            drop(wanted);
            let mut served = self.serve_ready(ready, own);
            if served == 0
                && let Some(at) = ready.iter().skip(own).position(|one| one.readable)
                && let Some(port) = other.and_then(|other| self.of(other).get(at)).cloned()
            {
                served = self.turn(&port);
            }
            if served < BUSY_MIN {
                break;
            }
            // Each in turn, also from one wait to the next: it may be any of them that is behind.
            other = self.next_after(self.helped);
            self.helped = other.unwrap_or(self.number);
            most = Duration::ZERO;
        }
        Ok(())
    }

    /// The number of the worker that comes after this one, other than its own; none where it is alone.
    fn next_after(&self, number: usize) -> Option<usize> {
        let workers = self.ports.len();
        (1..=workers).map(|step| (number + step) % workers).find(|other| *other != self.number)
    }

    /// Serves those of its own sockets that are ready; how many datagrams it took.
    fn serve_ready(&mut self, ready: &[Readiness], own: usize) -> usize {
        let mut served = 0;
        for (index, one) in ready.iter().enumerate().take(own).filter(|(_, one)| one.any()) {
            served += self.serve(index, one.priority);
        }
        served
    }

    /// Serves one batch; how many datagrams it took.
    fn turn(&mut self, port: &Port) -> usize {
        let mut totals = Totals::default();
        self.take(port, &mut totals);
        let Ok(count) = self.requests.receive(&port.socket) else {
            held(&self.shared.totals).add(&totals);
            return 0;
        };
        let version = self.shared.version.load(Ordering::Acquire);
        if version != self.version {
            let view = self.shared.view();
            if !Arc::ptr_eq(&view.server, &self.view.server) || self.version == 0 {
                self.server = Server::clone(&view.server);
            }
            (self.view, self.version) = (view, version);
        }
        let mut batch = Batch { count, began: sys::clock::realtime_ns(), cards_seen: 0, totals };
        self.judge(count, port.ptp, &mut batch.totals);
        for number in 0..count {
            self.answer(port, number, &mut batch);
        }
        self.send(port, &mut batch);
        self.take(port, &mut batch.totals);
        if batch.cards_seen != 0 {
            self.shared.cards_seen.fetch_or(batch.cards_seen, Ordering::Relaxed);
        }
        batch.totals.server = batch.totals.server.plus(self.server.take_counters());
        held(&self.shared.totals).add(&batch.totals);
        count
    }

    /// Takes the transmit times that the kernel has told meanwhile.
    fn take(&mut self, port: &Port, totals: &mut Totals) {
        let mut hearing = Hearing {
            ears: &mut self.ears,
            memory: self.shared.memory.as_ref(),
            view: &self.view,
            totals,
            each_ns: self.send_ns,
        };
        port.take(false, &mut hearing);
    }

    /// Writes the reply to one request of a batch, if it gets one.
    fn answer(&mut self, port: &Port, number: usize, batch: &mut Batch) {
        let verdict = self.verdicts.get(number).copied().unwrap_or(Verdict::Silence);
        if verdict == Verdict::Silence {
            return;
        }
        let Some(request) = self.requests.datagram(number) else { return };
        // Port 0 says that no reply is wanted, and the kernel would refuse to send one there.
        let from = request.source.filter(|from| !request.truncated && from.port() != 0);
        let Some(from) = from else {
            batch.totals.server.received += 1;
            batch.totals.server.malformed += 1;
            return;
        };
        let message = port.ptp.and_then(|domain| ntp_proto::ptp_unwrap(request.data, domain));
        let data = match (port.ptp, &message) {
            (None, _) => request.data,
            (Some(_), message) => message.map_or(&[][..], |message| message.packet),
        };
        let mut manner = Manner::Basic;
        // Whether the client brings back a receive timestamp of ours, or of another server: only for those it is worth to
        // remember when the reply left, and to be told.
        let mut waits = false;
        if verdict == Verdict::Kiss {
            manner = Manner::Kiss(KissCode::Rate);
        } else if let Some(memory) = &self.shared.memory
            && let Some(origin) = interleaved_origin(data)
        {
            waits = true;
            if let Some(previous) = memory.left(origin).filter(|left| !left.is_unknown()) {
                manner = Manner::Interleaved { previous };
            }
        }
        let came = cards::arrival(&self.view, &request, batch.began, &mut batch.cards_seen);
        match came.by {
            StampedBy::Card => batch.totals.card_received += 1,
            StampedBy::Kernel => batch.totals.kernel_received += 1,
            StampedBy::Daemon => batch.totals.daemon_received += 1,
        }
        let arrived = self.view.clock.at(came.kernel_ns);
        let mut received = NtpTimestamp::from_unix_nanos(arrived);
        let written = if batch.count < FORETOLD_MIN {
            sys::clock::realtime_ns()
        } else {
            batch.began + (self.write_ns * batch.count as f32) as i64
        };
        let leaves = written + (self.send_ns * self.replies.len() as f32) as i64;
        let mut transmit = NtpTimestamp::from_unix_nanos(self.view.clock.at(leaves).max(arrived));
        if let Some(memory) = self.shared.memory.as_ref().filter(|_| waits) {
            // What the kernel is to tell is not guessed: the next request may be here before it has.
            let left = if port.tells() { NtpTimestamp::UNKNOWN } else { transmit };
            received = memory.remember(received, left);
            // Made different from all others, it may have become later than the departure, which no client believes.
            if transmit.since(received) < 0.0 {
                transmit = received;
            }
        }
        let transit = came.transit(message.map_or(0.0, |message| message.correction));
        let arrival = Arrived { at: received, transit };
        let source = request.local.filter(|_| !port.fixed);
        if port.ptp.is_none()
            && let Some(signer) = self.shared.signer.get()
            && let Some(account) = signing_account(request.data)
        {
            // The signature covers the header alone, and comes from elsewhere.
            let head = request.data.get(..HEADER_BYTES).unwrap_or_default();
            let mut reply = [0; HEADER_BYTES];
            let made = self.server.reply(head, arrival, transmit, manner, &self.view.snapshot, &mut reply);
            if made == Ok(HEADER_BYTES) {
                batch.totals.daemon_sent += 1;
                signer.sign(Unsigned {
                    account,
                    reply,
                    length_max: request.data.len(),
                    to: from,
                    source,
                    socket: Arc::clone(&port.socket),
                    made: Instant::now(),
                });
            }
            return;
        }
        let out = self.replies.buffer();
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
        let packet_bytes = match length {
            Ok(length) => length,
            Err(refusal) => {
                if matches!(refusal, Refusal::Mac(_)) {
                    let now = Duration::from_nanos(u64::try_from(sys::clock::monotonic_ns()).unwrap_or(0));
                    held(&self.shared.refused_keys).refused(data, from.ip(), refusal, now);
                }
                return;
            }
        };
        if packet_bytes == 0 || packet_bytes > data.len() {
            return;
        }
        let length = match port.ptp.zip(message) {
            None => packet_bytes,
            Some((domain, message)) => wrap(out, packet_bytes, domain, request.data, message.form),
        };
        if waits {
            let place = self.replies.len() as u32;
            self.waiting.push(Waiting { received, place, bytes: packet_bytes as u32 });
        } else {
            batch.totals.daemon_sent += 1;
        }
        self.replies.push(length, &Departure { destination: Some(from), source });
    }

    /// Sends the replies of a batch.
    fn send(&mut self, port: &Port, batch: &mut Batch) {
        let replies = self.replies.len();
        if replies == 0 {
            return;
        }
        let written = sys::clock::realtime_ns();
        port.send(&mut self.replies, &self.waiting, &mut batch.totals);
        self.waiting.clear();
        if replies >= FORETOLD_MIN {
            let sent = sys::clock::realtime_ns();
            learn(&mut self.write_ns, written - batch.began, batch.count);
            learn(&mut self.send_ns, sent - written, replies);
        }
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

/// Draws what one of `count` usually costs to a new measurement, by at most a step: one that was interrupted draws no more than others.
fn learn(usual: &mut f32, nanos: i64, count: usize) {
    let each = (nanos as f32 / count as f32).clamp(1.0, COST_MAX_NS);
    *usual = match *usual {
        0.0 => each,
        known => each.clamp(known * (1.0 - COST_STEP), known * (1.0 + COST_STEP)),
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is usual follows a lasting change, and a few interruptions among many measurements hardly move it.
    #[test]
    fn interruptions_are_not_usual() {
        let mut usual = 0.0;
        for at in 0..1_000 {
            learn(&mut usual, if at % 10 == 9 { 19_000 * 64 } else { 2_000 * 64 }, 64);
            assert!((1_900.0..2_200.0).contains(&usual), "{usual} after {at}");
        }
        for _ in 0..200 {
            learn(&mut usual, 6_000 * 64, 64);
        }
        assert!((5_900.0..6_100.0).contains(&usual), "{usual}");
    }
}
