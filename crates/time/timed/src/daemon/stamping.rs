//! When packets left and came: the best stamp that there is, the card's, the kernel's, or our own.

use super::{Daemon, monotonic};
use crate::clocks::DaemonClock;
use crate::events::Happened;
use crate::hardware::{CardTime, Cards, Stamp, StampedBy};
use crate::peers::Peer;
use ntp_proto::{Arrived, Transit};
use std::time::Duration;
use sys::socket::Datagram;
use time_core::{LocalTime, Timekeeper};

/// From the call that sends a datagram to its leaving the host, at most, in seconds.
const TRANSMIT_DELAY_MAX: f64 = 0.1;

impl Daemon {
    /// Switches the stamping of cards on, before privileges are dropped.
    pub(super) fn open_cards(&mut self) {
        let (cards, done, failed) = Cards::open(&self.config.settings);
        self.cards = cards;
        if !self.cards.is_empty() {
            self.ask_from.cards_stamp = true;
            self.serving.stamp_by_cards();
        }
        for what in done {
            self.log.say(&Happened::CardStamps { what });
        }
        for what in failed {
            self.trouble(what);
        }
    }

    /// Reads the cards' clocks: those that are due, and those that have stamped requests of clients.
    pub(super) fn read_cards(&mut self, now: Duration) {
        self.cards.read_due(now, &self.clock, &self.keeper);
        let seen = self.serving.take_cards_seen();
        if seen != 0 && self.cards.read_stamping(seen, now, &self.clock, &self.keeper) {
            self.serving.outdated();
        }
    }
}

/// The kernel tells when a request left.
pub(super) fn take_departure(peer: &mut Peer, cards: &mut Cards, clock: &DaemonClock, keeper: &Timekeeper) {
    let Some(socket) = &peer.socket else { return };
    let Some(left) = sys::socket::take_departure(socket) else { return };
    let from_card = left.card.and_then(|card| {
        let near_ns = left.kernel_ns.unwrap_or_else(sys::clock::realtime_ns);
        let ipv4 = peer.address.is_ipv4();
        let stamp = Stamp { card, near_ns, received: false, bytes: peer.sent_bytes, ipv4 };
        cards.time(&stamp, monotonic(), clock, keeper)
    });
    let (at, by) = match (from_card, left.kernel_ns) {
        (Some(CardTime { at, .. }), _) => (at, StampedBy::Card),
        (None, Some(kernel)) => (clock.at(kernel), StampedBy::Kernel),
        (None, None) => return,
    };
    // A stamp that lies far from the call is another clock's, or another datagram's.
    let later = at.since(peer.sent);
    let in_time =
        (-CARD_ERROR_MAX..TRANSMIT_DELAY_MAX).contains(&later) && (later >= 0.0 || by == StampedBy::Card);
    if !in_time || peer.sent_by == StampedBy::Card {
        return;
    }
    peer.client.sent(at.0);
    match (by, peer.sent_by) {
        (StampedBy::Card, StampedBy::Kernel) => {
            peer.kernel_sent_count = peer.kernel_sent_count.wrapping_sub(1);
            peer.card_sent_count = peer.card_sent_count.wrapping_add(1);
        }
        (StampedBy::Card, _) => peer.card_sent_count = peer.card_sent_count.wrapping_add(1),
        _ => peer.kernel_sent_count = peer.kernel_sent_count.wrapping_add(1),
    }
    peer.sent_by = by;
    if by == StampedBy::Card {
        (peer.awaits_card, peer.read_from) = (true, None);
    }
}

/// A card's clock may be off by its readings' error: a packet cannot have left before it was sent by more than this, in seconds.
const CARD_ERROR_MAX: f64 = 1e-3;

/// Whether a reply may be read: where the request left by a card's interface, the card's stamp of it is waited for, but not longer
/// than `hwtstimeout`.
pub(super) fn may_read(peer: &mut Peer, cards: &Cards, now: Duration) -> bool {
    if cards.is_empty() || peer.sent_by == StampedBy::Card || !peer.awaits_card {
        peer.read_from = None;
        return true;
    }
    let until = *peer.read_from.get_or_insert(now + cards.timeout());
    now >= until
}

/// When a datagram came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    pub at: LocalTime,
    /// Who says so.
    pub by: StampedBy,
    /// How long its frame took on the link, in seconds; 0 where no card says.
    pub frame: f64,
}

impl Came {
    /// For the protocol; `clocks`: what transparent clocks have added up, in seconds.
    pub(super) fn arrived(self, clocks: f64) -> Arrived<i64> {
        let transit = (self.frame > 0.0).then_some(Transit { frame: self.frame, clocks });
        Arrived { at: self.at.0, transit }
    }
}

/// When a datagram came, and who says so.
pub(super) fn arrival(
    datagram: &Datagram<'_>,
    ipv4: bool,
    cards: &mut Cards,
    clock: &DaemonClock,
    keeper: &Timekeeper,
) -> Came {
    let near_ns = datagram.received_ns.unwrap_or_else(sys::clock::realtime_ns);
    let from_card = datagram.card.and_then(|card| {
        let stamp = Stamp { card, near_ns, received: true, bytes: datagram.data.len(), ipv4 };
        cards.time(&stamp, monotonic(), clock, keeper)
    });
    let by = if datagram.received_ns.is_some() { StampedBy::Kernel } else { StampedBy::Daemon };
    match from_card {
        Some(CardTime { at, frame }) => Came { at, by: StampedBy::Card, frame },
        None => Came { at: clock.at(near_ns), by, frame: 0.0 },
    }
}
