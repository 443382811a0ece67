//! Symmetric associations in the loop: a socket that stays open at the server's port, and packets that tell our time.

use super::Daemon;
use crate::hardware::StampedBy;
use crate::sockets::AskFrom;
use ntp_proto::{LocalScale, PtpForm, ReferenceId};
use std::io;
use std::time::Duration;
use time_core::{Exchange, LocalTime, Timekeeper};

impl Daemon {
    /// Sends what is due to a peer.
    pub(super) fn send_to_peer(&mut self, index: usize, now: Duration) {
        let outcome = self.open_peer_socket(index);
        let state = self.make_snapshot();
        // As everybody else, a peer is told true time as far as it is known: no slew of ours bends what it measures.
        let left = self.keeper.tracking(self.local_now()).offset;
        let Some(peer) = self.peers.get_mut(index) else { return };
        // Whoever follows us has our address as its reference id. On loopback all hosts are one, but peers are not led astray.
        peer.client.set_own_id(peer.local.map(ReferenceId::of_address));
        let random = [sys::random::u64(), sys::random::u64()];
        let over = self.config.ptp_domain(peer.address).map(|domain| (domain, peer.next_ptp_form()));
        let leaves = self.clock.at(sys::clock::realtime_ns());
        let packet = straight(&self.keeper, leaves, left, |scale| {
            peer.client.peer_packet(now, random, leaves.0, &state, scale)
        });
        let packet = match over {
            Some((domain, form)) => over_ptp(packet, domain, form),
            None => packet,
        };
        let outcome = outcome.and_then(|()| {
            let socket = peer.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            // What the peer's host refused before is told by the first call after it.
            socket.send(&packet).or_else(|_| socket.send(&packet))?;
            (peer.sent, peer.sent_by, peer.sent_bytes) = (leaves, StampedBy::Daemon, packet.len());
            Ok(())
        });
        self.asked(index, outcome, now);
    }

    /// The peer sends when it wants: its socket is open as long as the association is.
    pub(super) fn open_peer_socket(&mut self, index: usize) -> io::Result<()> {
        let Some(peer) = self.peers.get_mut(index) else { return Ok(()) };
        if peer.lacks_key {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the key file does not have its key any more",
            ));
        }
        if peer.socket.is_none() {
            let ptp = self.config.ptp_domain(peer.address).map(|_| peer.address.port());
            let port = ptp.unwrap_or(self.config.port);
            let device = self.config.settings.bind_device.as_deref();
            // Where sources are asked from the server's port it is open to such sockets anyway.
            let is_lent = ptp.is_none() && self.ask_from.port != Some(port);
            let open = |local| match is_lent {
                true => self.serving.lend_port(|| AskFrom::bind_peer(local)),
                false => AskFrom::bind_peer(local),
            };
            let socket = self.ask_from.peer(peer.address, port, &self.config.bind, device, open)?;
            peer.local = socket.local_addr().ok().map(|local| local.ip());
            peer.socket = Some(socket);
        }
        Ok(())
    }

    /// The clock was set: what waits at a peer's socket was stamped before.
    pub(super) fn forget_peer_packets(&mut self) {
        for index in self.close_peer_sockets() {
            // What cannot be opened now is told at the next packet.
            let _ = self.open_peer_socket(index);
        }
    }

    /// Closes the sockets of all symmetric associations; which those are.
    pub(super) fn close_peer_sockets(&mut self) -> Vec<usize> {
        let symmetric = self.peers.iter_mut().enumerate().filter(|(_, peer)| peer.line.symmetric);
        let closed = symmetric.map(|(index, peer)| {
            peer.socket = None;
            index
        });
        closed.collect()
    }

    /// An exchange with a peer lasts up to a poll interval: in uncorrected time, as the timekeeper counts, its round trip would be
    /// wrong by the oscillator's error over that. What it will take away is added before; and so is what is not known of the rate
    /// over that interval, since a round trip that only seems short must not be taken for the path's least one. The offset is the
    /// middle's, which no rate moves: it is no less exact for that.
    pub(super) fn in_timekeepers_scale(&mut self, index: usize, exchange: Exchange) -> Exchange {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| peer.line.symmetric) else {
            return exchange;
        };
        let corrected = self.keeper.correction(exchange.received) - self.keeper.correction(exchange.sent);
        let (precision, held) =
            peer.last.as_ref().map_or((0, 0.0), |last| (last.header.precision, last.held));
        let reading = f64::from(self.config.precision).exp2() + f64::from(precision.clamp(-32, 0)).exp2();
        let by_rate = (exchange.dispersion - reading).max(0.0);
        let longest = exchange.delay + by_rate;
        let delay = if held > 0.0 {
            // Without jitter all round trips are the same one, as far as what is known of the rate allows.
            peer.path_delay = peer.path_delay.min(longest);
            peer.path_delay.max(exchange.delay - by_rate)
        } else {
            longest
        };
        Exchange { delay: delay + corrected, dispersion: exchange.dispersion - by_rate, ..exchange }
    }
}

/// The packet inside a PTP message; as it is where it is too long for one, which none is.
pub(super) fn over_ptp(packet: Vec<u8>, domain: u8, form: PtpForm) -> Vec<u8> {
    // Nobody looks at the number; who sees two packets shall not learn how many there were.
    let sequence = sys::random::u64() as u16;
    ntp_proto::ptp_wrap(&packet, domain, sequence, form).unwrap_or(packet)
}

/// Calls with the scale in which the local clock is `ahead` seconds ahead of what it is at `now`, and runs as without slews.
pub(super) fn straight<R>(
    keeper: &Timekeeper,
    now: LocalTime,
    ahead: f64,
    call: impl FnOnce(LocalScale<'_>) -> R,
) -> R {
    let discipline = keeper.discipline();
    let rate = 1.0 + discipline.frequency();
    let uncorrected = keeper.uncorrected(now);
    let straight = |wall: i64| {
        let ago = uncorrected.since(keeper.uncorrected(LocalTime(wall)));
        now.plus(ahead - ago * rate).0
    };
    // Before the first update what may be assumed of any oscillator.
    let skew = if discipline.updates() == 0 { discipline.prior().1 } else { discipline.skew() };
    call(LocalScale { straight: &straight, skew })
}
