//! Symmetric associations in the loop: a socket that stays open at the server's port, and packets that tell our time.

use super::Daemon;
use crate::hardware::StampedBy;
use crate::peers::Peer;
use ntp_proto::{LocalScale, ReferenceId};
use std::io;
use std::time::Duration;
use time_core::{Exchange, LocalTime, Timekeeper};

impl Daemon {
    /// Sends what is due to a peer.
    pub(super) fn send_to_peer(&mut self, index: usize, now: Duration) {
        let outcome = self.open_peer_socket(index);
        let mut state = self.make_snapshot();
        if let Some(monotonic) = &mut state.monotonic {
            // A peer is told of the clock as it is, without what is left to correct.
            monotonic.ahead += self.keeper.tracking(self.local_now()).offset;
        }
        let Some(peer) = self.peers.get_mut(index) else { return };
        // Whoever follows us has our address as its reference id. On loopback all hosts are one, but peers are not led astray.
        peer.client.set_own_id(peer.local.map(ReferenceId::of_address));
        let random = [sys::random::u64(), sys::random::u64()];
        let left = self.clock.at(sys::clock::realtime_ns());
        let packet =
            straight(&self.keeper, left, |scale| peer.client.peer_packet(now, random, left.0, &state, scale));
        let packet = match self.config.ptp_domain(peer.address) {
            Some(domain) => over_ptp(packet, domain),
            None => packet,
        };
        let outcome = outcome.and_then(|()| {
            let socket = peer.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
            // What the peer's host refused before is told by the first call after it.
            socket.send(&packet).or_else(|_| socket.send(&packet))?;
            (peer.sent, peer.sent_by, peer.sent_bytes) = (left, StampedBy::Daemon, packet.len());
            Ok(())
        });
        self.asked(index, outcome, now);
    }

    /// The peer sends when it wants: its socket is open as long as the association is.
    fn open_peer_socket(&mut self, index: usize) -> io::Result<()> {
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
            let socket = self.ask_from.peer(peer.address, port, &self.config.bind, device)?;
            peer.local = socket.local_addr().ok().map(|local| local.ip());
            peer.socket = Some(socket);
        }
        Ok(())
    }

    /// The clock was set: what waits at a peer's socket was stamped before.
    pub(super) fn forget_peer_packets(&mut self) {
        let symmetric: Vec<usize> = (0..self.peers.len())
            .filter(|index| self.peers.get(*index).is_some_and(|peer| peer.line.symmetric))
            .collect();
        for index in symmetric {
            if let Some(peer) = self.peers.get_mut(index) {
                peer.socket = None;
            }
            // What cannot be opened now is told at the next packet.
            let _ = self.open_peer_socket(index);
        }
    }

    /// An exchange with a peer lasts up to a poll interval: in uncorrected time, as the timekeeper counts, its round trip would be
    /// wrong by the oscillator's error over that. What it will take away is added before.
    pub(super) fn in_timekeepers_scale(&self, peer: &Peer, exchange: Exchange) -> Exchange {
        if !peer.line.symmetric {
            return exchange;
        }
        let corrected = self.keeper.correction(exchange.received) - self.keeper.correction(exchange.sent);
        Exchange { delay: exchange.delay + corrected, ..exchange }
    }
}

/// The packet inside a PTP message; as it is where it is too long for one, which none is.
pub(super) fn over_ptp(packet: Vec<u8>, domain: u8) -> Vec<u8> {
    // Nobody looks at the number; who sees two packets shall not learn how many there were.
    let sequence = sys::random::u64() as u16;
    ntp_proto::ptp_wrap(&packet, domain, sequence).unwrap_or(packet)
}

/// Calls with the scale in which the local clock runs as it does at `now`.
pub(super) fn straight<R>(keeper: &Timekeeper, now: LocalTime, call: impl FnOnce(LocalScale<'_>) -> R) -> R {
    let rate = 1.0 + keeper.discipline().frequency();
    let uncorrected = keeper.uncorrected(now);
    let straight = |wall: i64| {
        let ago = uncorrected.since(keeper.uncorrected(LocalTime(wall)));
        now.plus(-ago * rate).0
    };
    call(LocalScale { straight: &straight, skew: keeper.discipline().skew() })
}
