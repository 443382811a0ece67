//! Stamps of network cards at the server's sockets (`hwtimestamp`): of requests when they came, and of interleaved replies when they
//! left. Where none is configured nothing of this runs.

use super::{Memory, Totals, View};
use crate::hardware::{Link, STAMP_DISTANCE_MAX, Stamp, StampedBy};
use ntp_proto::{NtpTimestamp, Transit};
use std::net::UdpSocket;
use sys::socket::{Datagram, Departed, DepartureBatch};

/// Replies whose stamps are awaited, at most.
const AWAITED_MAX: usize = 256;
/// Where the receive timestamp stands in an NTP packet (RFC 5905 figure 8).
const RECEIVE_AT: usize = 32;

/// What turns cards' stamps into the kernel's time, until the next view.
#[derive(Debug)]
pub(crate) struct CardMap {
    /// The cards whose clock is known.
    pub lines: Vec<CardLine>,
    /// The host has one card that stamps: a stamp without an interface is that one's.
    pub only: bool,
}

/// One card.
#[derive(Debug)]
pub(crate) struct CardLine {
    /// Its place among all cards.
    pub place: usize,
    /// Its interface's number.
    pub index: u32,
    /// What its clock showed when the kernel's showed `kernel_ns`.
    pub card_ns: i64,
    /// See `card_ns`.
    pub kernel_ns: i64,
    /// How fast the kernel's clock gains on it, s/s.
    pub rate: f64,
    /// How its stamps are to be read.
    pub link: Link,
}

/// When a request came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    /// The kernel's clock then, nanoseconds since the Unix epoch.
    pub kernel_ns: i64,
    /// Who says so.
    pub by: StampedBy,
    /// The frame's length in time, in seconds; 0 where no card stamped it.
    pub frame: f64,
}

impl Came {
    /// What is known of its way, with what transparent clocks have added up.
    pub(super) fn transit(self, clocks: f64) -> Option<Transit> {
        (self.frame > 0.0).then_some(Transit { frame: self.frame, clocks })
    }
}

impl CardMap {
    /// The kernel's time of a stamp, the frame's length in time, and the card's place; none where the card is none of ours or the stamp
    /// is absurd.
    fn time(&self, stamp: &Stamp) -> Option<(i64, f64, usize)> {
        let line = self
            .lines
            .iter()
            .find(|line| stamp.card.interface.map_or(self.only, |index| index == line.index))?;
        let elapsed = stamp.card.card_ns.checked_sub(line.card_ns)?;
        let frame = line.link.frame_seconds(stamp);
        let more = elapsed as f64 * line.rate + line.link.correction(stamp.received, frame) * 1e9;
        let kernel = line.kernel_ns.checked_add(elapsed)?.checked_add(more.round() as i64)?;
        let off = kernel.checked_sub(stamp.near_ns)? as f64 * 1e-9;
        (off.abs() < STAMP_DISTANCE_MAX).then_some((kernel, frame, line.place))
    }
}

/// When a request came by the best stamp that it has; `now_ns`: the kernel's clock, for one without any. Cards that stamped are
/// remembered, so that the daemon reads their clocks.
pub(super) fn arrival(view: &View, request: &Datagram<'_>, now_ns: i64, seen: &mut u64) -> Came {
    let by = if request.received_ns.is_some() { StampedBy::Kernel } else { StampedBy::Daemon };
    let near_ns = request.received_ns.unwrap_or(now_ns);
    let came = Came { kernel_ns: near_ns, by, frame: 0.0 };
    let Some(card) = request.card else { return came };
    let ipv4 = request.source.is_some_and(|source| source.is_ipv4());
    let stamp = Stamp { card, near_ns, received: true, bytes: request.data.len(), ipv4 };
    match view.cards.as_ref().and_then(|cards| cards.time(&stamp)) {
        Some((kernel_ns, frame, place)) => {
            *seen |= 1_u64.checked_shl(place as u32).unwrap_or(0);
            Came { kernel_ns, by: StampedBy::Card, frame }
        }
        None => {
            // Whichever it is, its clock is known after it was read.
            *seen = u64::MAX;
            came
        }
    }
}

/// Replies whose stamps are awaited at a socket.
pub(super) struct Awaited {
    /// In the order of their numbers; one gives way to the one that is [`AWAITED_MAX`] later.
    replies: Vec<Reply>,
    next: usize,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
struct Reply {
    /// Its receive timestamp, by which it is known.
    received: NtpTimestamp,
    /// The NTP packet begins so many bytes before the frame's end.
    from_end: usize,
    by: StampedBy,
}

impl std::fmt::Debug for Awaited {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Awaited").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Awaited {
    /// The socket's datagrams are stamped by cards from now on; none where the kernel refuses that.
    pub(super) fn begin(socket: &UdpSocket, ipv4: bool) -> Option<Self> {
        sys::socket::card_stamps_on_request(socket, ipv4).ok()?;
        Some(Self { replies: Vec::new(), next: 0 })
    }

    /// A reply with this receive timestamp is sent with a request for its stamps, as the last `bytes` of a frame.
    pub(super) fn push(&mut self, received: NtpTimestamp, bytes: usize) {
        let reply = Reply { received, from_end: bytes, by: StampedBy::Daemon };
        match self.replies.get_mut(self.next % AWAITED_MAX) {
            Some(place) => *place = reply,
            None => self.replies.push(reply),
        }
        self.next = self.next.wrapping_add(1);
    }

    /// The reply that a frame is. The kernel counts what we asked for, but not what it refused to send, and a simulator counts
    /// nothing: what the frame says counts.
    fn find(&mut self, one: &Departed<'_>) -> Option<&mut Reply> {
        let is = |reply: &Reply| {
            let at = one.frame.len().checked_sub(reply.from_end).map(|start| start + RECEIVE_AT);
            let found = at.and_then(|at| one.frame.get(at..)).and_then(|rest| rest.first_chunk::<8>());
            found.is_some_and(|bytes| u64::from_be_bytes(*bytes) == reply.received.0)
        };
        let counted = one.number.map(|number| number as usize % AWAITED_MAX);
        let counted = counted.filter(|place| self.replies.get(*place).is_some_and(is));
        let place = counted.or_else(|| self.replies.iter().position(is))?;
        self.replies.get_mut(place)
    }

    /// Takes what the error queue has to tell.
    pub(super) fn take(
        &mut self,
        departures: &mut DepartureBatch,
        socket: &UdpSocket,
        ipv4: bool,
        memory: Option<&Memory>,
        view: &View,
        totals: &mut Totals,
    ) {
        departures.take(socket, |one| self.told(&one, ipv4, memory, view, totals));
    }

    /// A reply left.
    fn told(
        &mut self,
        one: &Departed<'_>,
        ipv4: bool,
        memory: Option<&Memory>,
        view: &View,
        totals: &mut Totals,
    ) {
        let Some(reply) = self.find(one) else { return };
        let near_ns = one.left.kernel_ns.unwrap_or_else(sys::clock::realtime_ns);
        let from_card = one.left.card.and_then(|card| {
            let stamp = Stamp { card, near_ns, received: false, bytes: reply.from_end, ipv4 };
            view.cards.as_ref().and_then(|cards| cards.time(&stamp))
        });
        let (kernel_ns, by) = match (from_card, one.left.kernel_ns) {
            (Some((at, ..)), _) => (at, StampedBy::Card),
            // Where a card's stamp cannot be read, the kernel's comes with it or in an entry of its own.
            (None, Some(at)) => (at, StampedBy::Kernel),
            (None, None) => return,
        };
        match (reply.by, by) {
            // The card's is the last word, and the kernel's is not told twice.
            (StampedBy::Card, _) | (StampedBy::Kernel, StampedBy::Kernel) => return,
            (StampedBy::Kernel, _) => totals.card_sent_late += 1,
            (StampedBy::Daemon, StampedBy::Card) => totals.card_sent += 1,
            (StampedBy::Daemon, _) => totals.kernel_sent += 1,
        }
        reply.by = by;
        if let Some(memory) = memory {
            memory.correct(reply.received, NtpTimestamp::from_unix_nanos(view.clock.at(kernel_ns)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::socket::{CardStamp, Left};

    const SECOND: i64 = 1_000_000_000;
    const KERNEL: i64 = 1_800_000_000 * SECOND;

    fn line(place: usize, index: u32, ahead: i64, rate: f64) -> CardLine {
        CardLine {
            place,
            index,
            card_ns: KERNEL + ahead,
            kernel_ns: KERNEL,
            rate,
            link: Link::of_speed(1000, 3e-7, 1e-7),
        }
    }

    fn view(cards: Option<CardMap>) -> View {
        View {
            clock: crate::clocks::DaemonClock::beside(None).expect("a clock").map(),
            snapshot: ntp_proto::ServerSnapshot::unsynchronised(-20),
            server: std::sync::Arc::default(),
            rate_limit: None,
            cards: cards.map(std::sync::Arc::new),
        }
    }

    fn stamp(card_ns: i64, interface: Option<u32>, received: bool) -> Stamp {
        let card = CardStamp { card_ns, interface, frame_bytes: received.then_some(121) };
        Stamp { card, near_ns: KERNEL, received, bytes: 79, ipv4: true }
    }

    /// Goal: a stamp is told by its own card's clock and rate, the end of the frame counts for what came and the compensations for both
    /// ways; a stamp of no card of ours, or one that is absurd, is none.
    #[test]
    fn stamps_become_the_kernels_time() {
        let cards =
            CardMap { lines: vec![line(0, 4, 37 * SECOND, 0.0), line(2, 7, -SECOND, 1e-6)], only: false };
        let check = |stamp: Stamp, expected: Option<(i64, usize)>| {
            let found = cards.time(&stamp).map(|(kernel, frame, place)| {
                let lasts = if stamp.received { 1e-6 } else { 0.0 };
                assert!((frame - lasts).abs() < 1e-15, "{frame}");
                (kernel - KERNEL, place)
            });
            assert_eq!(found, expected);
        };
        // 125 bytes at 1000 Mbit/s are 1000 ns; 100 ns are compensated.
        check(stamp(KERNEL + 37 * SECOND + 50, Some(4), true), Some((950, 0)));
        check(stamp(KERNEL + 37 * SECOND + 50, Some(4), false), Some((350, 0)));
        check(stamp(KERNEL - SECOND + SECOND / 2, Some(7), false), Some((SECOND / 2 + 500 + 300, 2)));
        check(stamp(KERNEL - 3 * SECOND, Some(7), false), None);
        check(stamp(KERNEL, Some(5), true), None);
        check(stamp(KERNEL + 37 * SECOND, None, true), None);
        check(stamp(i64::MIN, Some(4), true), None);
        let only = CardMap { only: true, ..cards };
        assert!(only.time(&stamp(KERNEL + 37 * SECOND, None, true)).is_some());
    }

    /// Goal: a request's best stamp counts, a card that stamps is told of, and so is one whose clock is not known yet; without any nothing
    /// is asked for.
    #[test]
    fn the_best_stamp_of_a_request_counts() {
        let request = |kernel: Option<i64>, card: Option<i64>| Datagram {
            data: &[0; 79],
            truncated: false,
            source: Some(([127, 0, 0, 1], 123).into()),
            credentials: None,
            received_ns: kernel,
            card: card.map(|card_ns| CardStamp { card_ns, interface: Some(4), frame_bytes: Some(121) }),
            drops: None,
            local: None,
        };
        let known = view(Some(CardMap { lines: vec![line(3, 4, 0, 0.0)], only: false }));
        for (view, request, expected) in [
            (&known, request(Some(KERNEL), Some(KERNEL)), (900, StampedBy::Card, 1 << 3)),
            (&known, request(None, Some(KERNEL)), (900, StampedBy::Card, 1 << 3)),
            (&known, request(Some(KERNEL + 5), None), (5, StampedBy::Kernel, 0)),
            (&known, request(None, None), (7, StampedBy::Daemon, 0)),
            (&known, request(Some(KERNEL + 5), Some(0)), (5, StampedBy::Kernel, u64::MAX)),
            (&view(None), request(Some(KERNEL + 5), Some(KERNEL)), (5, StampedBy::Kernel, u64::MAX)),
        ] {
            let mut seen = 0;
            let came = arrival(view, &request, KERNEL + 7, &mut seen);
            assert_eq!((came.kernel_ns - KERNEL, came.by, seen), expected);
            assert_eq!(came.transit(2e-6).is_some(), came.by == StampedBy::Card);
        }
    }

    /// Goal: a reply's stamps find it by what its frame says, whatever number comes with it; the card's is the last word and counted once,
    /// also when it comes after the kernel's; a frame that is none of ours changes nothing, and no bytes panic.
    #[test]
    fn stamps_find_their_replies() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let mut awaited = Awaited::begin(&socket, true).expect("Linux has such stamps");
        let memory = Memory::new(1 << 16, 1);
        let view = view(Some(CardMap { lines: vec![line(0, 4, 0, 0.0)], only: false }));
        let kernel = |kernel_ns: i64| NtpTimestamp::from_unix_nanos(view.clock.at(kernel_ns));
        let frame_of = |received: NtpTimestamp, more: usize| {
            let mut frame = vec![0xee; 42];
            let mut packet = vec![0; 48 + more];
            packet[RECEIVE_AT..RECEIVE_AT + 8].copy_from_slice(&received.0.to_be_bytes());
            frame.extend(packet);
            frame
        };
        let mut received = Vec::new();
        for number in 0..300_u64 {
            let one = memory.remember(NtpTimestamp(1 << 40 | number << 20), NtpTimestamp(1));
            awaited.push(one, 48 + 4 * (number as usize % 3));
            received.push(one);
        }
        let mut totals = Totals::default();
        let mut tell = |awaited: &mut Awaited, which: usize, number: Option<u32>, left: Left| {
            let frame = frame_of(received[which], 4 * (which % 3));
            awaited.told(&Departed { number, left, frame: &frame }, true, Some(&memory), &view, &mut totals);
        };
        let card = |card_ns: i64| Some(CardStamp { card_ns, interface: Some(4), frame_bytes: None });
        let by_kernel = Left { kernel_ns: Some(KERNEL + 1_000), card: None };
        let by_card = Left { kernel_ns: None, card: card(KERNEL + 5_000) };
        let near = |which: usize, expected: i64| {
            let left = memory.left(received[which]).expect("it is remembered");
            assert!(left.since(kernel(expected)).abs() < 2e-9, "{which}");
        };
        // The card's stamps are judged by the kernel's clock as it is now where it says nothing itself.
        let by_card = Left { kernel_ns: Some(KERNEL + 1_000), ..by_card };
        tell(&mut awaited, 299, Some(299), by_kernel);
        near(299, KERNEL + 1_000);
        tell(&mut awaited, 299, Some(299), by_card);
        near(299, KERNEL + 5_300);
        tell(&mut awaited, 299, Some(299), by_kernel);
        near(299, KERNEL + 5_300);
        // Wrong numbers, and none.
        tell(&mut awaited, 200, Some(7), by_card);
        near(200, KERNEL + 5_300);
        tell(&mut awaited, 100, None, by_kernel);
        near(100, KERNEL + 1_000);
        // The first ones gave way.
        tell(&mut awaited, 3, Some(3), by_card);
        assert_eq!(memory.left(received[3]), Some(NtpTimestamp(1)));
        assert_eq!((totals.kernel_sent, totals.card_sent, totals.card_sent_late), (2, 1, 1));
        for length in 0..90 {
            let frame = vec![0; length];
            let departed = Departed { number: Some(0), left: by_kernel, frame: &frame };
            awaited.told(&departed, true, Some(&memory), &view, &mut totals);
        }
        assert_eq!(totals.kernel_sent, 2);
    }
}
