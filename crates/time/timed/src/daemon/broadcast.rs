//! `broadcast`: packets in broadcast mode (RFC 5905 section 3), sent from the server's own sockets.

use super::{Daemon, monotonic};
use crate::events::Happened;
use chrony_conf::Broadcast;
use ntp_proto::{NtpTimestamp, broadcast_packet};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// The longest interval, seconds: the longest poll.
const INTERVAL_MAX: u32 = 1 << 24;

/// An address that packets are sent to.
#[derive(Debug)]
pub(super) struct Destination {
    to: SocketAddr,
    interval: Duration,
    poll: i8,
    due: Duration,
    /// It could not be sent the last time, which was said.
    complained: bool,
}

impl Destination {
    /// As configured.
    pub(super) fn new(line: &Broadcast, now: Duration) -> Self {
        let seconds = line.interval.clamp(1, INTERVAL_MAX);
        let interval = Duration::from_secs(seconds.into());
        Self {
            to: SocketAddr::new(line.address, line.port),
            interval,
            poll: f64::from(seconds).log2().round() as i8,
            due: now + interval,
            complained: false,
        }
    }

    /// When the next packet is sent.
    pub(super) fn deadline(&self) -> Duration {
        self.due
    }
}

impl Daemon {
    /// A server's socket from which packets can be sent.
    pub(super) fn broadcast_from(&mut self, socket: &UdpSocket) {
        let Ok(local) = socket.local_addr() else { return };
        let is_known = |one: &UdpSocket| one.local_addr().is_ok_and(|at| at.is_ipv4() == local.is_ipv4());
        let wanted = self.broadcasts.iter().any(|one| one.to.is_ipv4() == local.is_ipv4());
        if !wanted || self.broadcast_sockets.iter().any(is_known) {
            return;
        }
        // Threads take the sockets with them; then a copy is needed.
        let threads = self.serving.threads() > 1;
        let copy = socket.set_broadcast(true).and_then(|()| threads.then(|| socket.try_clone()).transpose());
        match copy {
            Ok(copy) => self.broadcast_sockets.extend(copy),
            Err(error) => self.trouble(format!("Could not prepare to broadcast from {local}: {error}")),
        }
    }

    /// Sends what is due.
    pub(super) fn broadcasts_due(&mut self, now: Duration) {
        for index in 0..self.broadcasts.len() {
            let Some(one) = self.broadcasts.get_mut(index).filter(|one| one.due <= now) else { continue };
            one.due = monotonic().max(now) + one.interval;
            let (to, poll) = (one.to, one.poll);
            let of_family = |one: &&UdpSocket| one.local_addr().is_ok_and(|at| at.is_ipv4() == to.is_ipv4());
            let snapshot = self.make_snapshot();
            let leaves = self.served_clock().at(sys::clock::realtime_ns());
            let packet = broadcast_packet(&snapshot, poll, NtpTimestamp::from_unix_nanos(leaves));
            let copy = self.broadcast_sockets.iter().find(of_family);
            let sent = match copy {
                Some(copy) => Some(copy.send_to(&packet, to)),
                None => self.serving.send_unasked(&packet, to),
            };
            // With `port 0` there is no server that could broadcast, as for chronyd.
            let Some(sent) = sent else { continue };
            let Some(one) = self.broadcasts.get_mut(index) else { continue };
            let first = !std::mem::replace(&mut one.complained, sent.is_err());
            if let Err(error) = sent
                && first
            {
                let what = format!("Could not broadcast to {to}: {error}");
                self.log.say(&Happened::Warning { what });
            }
        }
    }
}
