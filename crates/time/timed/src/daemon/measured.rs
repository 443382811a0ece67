//! From a good reply to the clock: tests of the delay, the records, the discipline.

use super::Daemon;
use super::peering::over_ptp;
use crate::commands;
use crate::peers::{Ahead, Peer};
use crate::records::{SelectionLine, Stamped};
use ntp_proto::{Leap, Measurement, NtpTimestamp, PtpForm, ReplyError};
use std::net::UdpSocket;
use std::time::Duration;
use sys::poll::Readiness;
use time_core::{Exchange, LeapStatus, LocalTime, SourceId};

/// How long before a measurement the packet of `presend` is sent (`chrony.conf(5)`: "a short time (2 seconds) before").
const AHEAD: Duration = Duration::from_secs(2);
/// A delay that is so many times what reading the clocks may have cost is known.
const CERTAIN_DELAY: f64 = 300.0;
/// So many measurements are given up for the first one that is corrected, at most; more make a source of their own right, and give way
/// to younger ones by and by.
const UNCORRECTED_MAX: usize = 16;

impl Daemon {
    pub(super) fn measured(&mut self, index: usize, one: &Measurement) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        peer.answered = true;
        let exchange = exchange(peer, one);
        let id = peer.id;
        self.keeper.source_moved(id, one.source_moved);
        let path = self.keeper.path(id, LocalTime(one.received));
        let Some(peer) = self.peers.get_mut(index) else { return };
        let tested = peer.screening.test(&exchange, path);
        let used = peer.screening.poll_ended(tested.ok());
        let (sent, received) = (peer.sent_by.letter(), peer.received_by.letter());
        let stamped = Stamped { sent, received, interleaved: one.interleaved };
        let (address, poll) = (peer.address.ip(), peer.client.poll());
        let is_used = used.is_some();
        self.use_exchange(index, used);
        // The poll that is shown is the one that this measurement led to; its source may have been replaced by another for it.
        let poll = self.peers.iter().find(|peer| peer.id == id).map_or(poll, |peer| peer.client.poll());
        let written = self.records.measurement(address, poll, one, stamped, tested.err());
        self.record_failed(written);
        self.begin_again_corrected(id, one, is_used);
    }

    /// The first measurement that transparent clocks on the way have corrected, and whose delay is known that well, is the first one of
    /// a path without jitter: what was measured before it, while cards, clocks and rates were not known yet, only blurs it.
    fn begin_again_corrected(&mut self, id: SourceId, one: &Measurement, is_used: bool) {
        let Some(peer) = self.peers.iter_mut().find(|peer| is_used && peer.id == id) else { return };
        let first = one.held > 0.0 && one.dispersion * CERTAIN_DELAY < one.delay && !peer.corrected;
        peer.corrected |= first;
        let kept = self.keeper.source(id).map_or(0, |source| source.filter().len());
        if first && kept <= UNCORRECTED_MAX {
            self.keeper.begin_again(id);
        }
    }

    /// Hands an exchange to the timekeeper; none: the source answered, and that is all.
    pub(super) fn use_exchange(&mut self, index: usize, exchange: Option<Exchange>) {
        let Some(peer) = self.peers.get(index) else { return };
        let (id, reach, address) = (peer.id, peer.client.reach(), peer.address.ip());
        let Some(exchange) = exchange else {
            let events = self.keeper.heard(id, reach, &mut self.clock);
            self.handle(events);
            return;
        };
        let exchange = self.in_timekeepers_scale(index, exchange);
        self.settle_orphans(index, &exchange);
        let events = self.keep(id, &exchange, reach);
        let now = self.local_now();
        let written = match self.keeper.statistics(id, now) {
            Some(statistics) => self.records.statistics(now.0, &address.to_string(), &statistics),
            None => Ok(()),
        };
        self.record_failed(written);
        self.handle(events);
        self.record_selection(now);
        self.judge_server(index);
        // The interval that the filter wants counts from this exchange on, not from the one after the next.
        if let (Some(wanted), Some(peer)) =
            (self.keeper.source(id).map(time_core::Source::poll), self.peers.get_mut(index))
        {
            peer.client.set_poll(wanted);
        }
    }

    pub(super) fn record_selection(&mut self, now: LocalTime) {
        if !self.records.wants_selection() {
            return;
        }
        let clocks = self.refclocks.iter().map(|one| (one.id, one.reach(), one.label()));
        let peers =
            self.peers.iter().map(|peer| (peer.id, peer.client.reach(), peer.address.ip().to_string()));
        let all: Vec<(SourceId, u8, String)> = clocks.chain(peers).collect();
        for (id, reach, name) in all {
            let interval = self.keeper.interval(id, now);
            let last = self.keeper.source(id).and_then(|source| source.last());
            let line = SelectionLine {
                source: &name,
                letter: char::from(commands::selection_letter(self, id)),
                options: self.effective_options(id),
                reach,
                score: 1.0,
                last_sample_ago: last.map_or(0.0, |last| now.since(last.received)),
                low: interval.map_or(0.0, |one| -one.offset - one.distance),
                high: interval.map_or(0.0, |one| -one.offset + one.distance),
            };
            let written = self.records.selection(now.0, &line);
            if written.is_err() {
                self.record_failed(written);
                return;
            }
        }
    }

    /// The request before this one was not answered: a poll of the median filter is over all the same.
    pub(super) fn end_poll_unanswered(&mut self, index: usize) {
        let Some(peer) = self.peers.get_mut(index) else { return };
        if peer.answered {
            return;
        }
        if let Some(exchange) = peer.screening.poll_ended(None) {
            self.use_exchange(index, Some(exchange));
        }
        self.judge_server(index);
    }

    /// `presend`: a packet goes ahead and wakes everybody on the way; true when the measurement has to wait for it.
    pub(super) fn wakes_ahead(&mut self, index: usize, now: Duration) -> bool {
        let Some(peer) = self.peers.get_mut(index) else { return false };
        // In interleaved mode two: the second brings the time of the first reply.
        let wanted = if peer.line.options.xleave { 2 } else { 1 };
        let sent = peer.ahead.take().map_or(0, |ahead| ahead.number);
        if sent >= wanted
            || peer.client.poll() < peer.line.options.presend
            || peer.client.in_burst()
            || peer.lacks_key
        {
            return false;
        }
        let over = self.config.ptp_domain(peer.address).map(|domain| (domain, peer.ptp_form()));
        let went =
            self.ask_from.ask(peer.address).and_then(|socket| send_ahead(socket, peer, over, now, sent + 1));
        // What cannot be sent now, the request will say.
        let Ok(ahead) = went else { return false };
        peer.ahead = Some(ahead);
        true
    }

    /// The packet ahead was answered, or the kernel tells when it left.
    pub(super) fn answered_ahead(&mut self, id: SourceId, ready: Readiness) {
        let Some(peer) = self.peers.iter().find(|peer| peer.id == id) else { return };
        let Some(ahead) = &peer.ahead else { return };
        if ready.priority {
            let _ = sys::socket::take_transmit_time(&ahead.socket);
        }
        if !ready.readable {
            return;
        }
        let Ok(count) = self.batch.receive(&ahead.socket) else { return };
        for number in 0..count {
            let Some(datagram) = self.batch.datagram(number) else { continue };
            let data = match self.config.ptp_domain(peer.address) {
                Some(domain) => {
                    ntp_proto::ptp_unwrap(datagram.data, domain).map_or(&[][..], |message| message.packet)
                }
                None => datagram.data,
            };
            let Ok(packet) = ntp_proto::Packet::parse(data) else { continue };
            if packet.header.mode != ntp_proto::Mode::Server || packet.header.origin != ahead.nonce {
                continue;
            }
            let at = self.clock.at(datagram.received_ns.unwrap_or_else(sys::clock::realtime_ns)).0;
            let (address, poll) = (peer.address.ip(), peer.client.poll());
            // It came to be thrown away: test A.
            let why = ReplyError::Delay(0.0);
            let written = self.records.failed_reply(at, address, poll, why, data);
            self.record_failed(written);
            return;
        }
    }

    /// The clock was stepped: exchanges that wait for their median were measured before.
    pub(super) fn shift_waiting(&mut self, seconds: f64) {
        let nanos = (seconds * 1e9).round() as i64;
        for peer in &mut self.peers {
            peer.screening.shift(nanos);
        }
        self.refclocks.iter_mut().for_each(|one| one.shift(nanos));
        self.rtc.iter_mut().for_each(|one| one.core.shift(nanos));
        self.cards.shift(nanos);
    }
}

/// A client's packet without anything of this host in it, whose reply nobody waits for.
fn send_ahead(
    socket: UdpSocket,
    peer: &Peer,
    over: Option<(u8, PtpForm)>,
    now: Duration,
    number: u8,
) -> std::io::Result<Ahead> {
    let mut packet = [0; 48];
    let [first, .., a, b, c, d, e, f, g, h] = &mut packet;
    *first = peer.client.version() << 3 | 3;
    let nonce = NtpTimestamp(sys::random::u64().max(1));
    for (place, byte) in [a, b, c, d, e, f, g, h].into_iter().zip(nonce.0.to_be_bytes()) {
        *place = byte;
    }
    match over {
        Some((domain, form)) => socket.send(&over_ptp(packet.to_vec(), domain, form))?,
        None => socket.send(&packet)?,
    };
    Ok(Ahead { socket, nonce, number, until: now + AHEAD })
}

fn exchange(peer: &Peer, one: &Measurement) -> Exchange {
    Exchange {
        sent: LocalTime(one.sent),
        received: LocalTime(one.received),
        offset: one.offset,
        delay: one.delay,
        dispersion: one.reading,
        root_delay: one.root_delay + one.held,
        root_dispersion: one.root_dispersion,
        stratum: one.header.stratum.max(peer.line.stratum_min),
        leap: match one.header.leap {
            Leap::Insert => LeapStatus::Insert,
            Leap::Delete => LeapStatus::Delete,
            Leap::Normal | Leap::Unsynchronised => LeapStatus::Normal,
        },
    }
}
