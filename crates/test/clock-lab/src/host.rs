//! A host among simulated time servers: how true time passes, packet by packet and timer by timer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ntp_proto::{
    AccessList, Keys, Leap, Measurement, NtpTimestamp, ReferenceId, Server, ServerSnapshot, Subnet,
};
use time_core::{Clock, Exchange, LeapStatus, LocalTime, SimClock, Timekeeper};

/// When every history begins: 2026-11-22 00:00:00 UTC, nanoseconds.
pub const START_NS: i64 = 1_795_305_600_000_000_000;
/// What the host and the servers say of their clocks, log2 s.
pub const PRECISION: i8 = -24;
/// The host's address.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A packet between the host and one of its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whose it is: the server's place in the host's list.
    pub server: usize,
    /// A request; else a reply.
    pub to_server: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Packets under way.
#[derive(Debug, Default)]
pub struct Wire {
    /// By when they arrive, true time in nanoseconds; of those that arrive together the one that was sent first comes first.
    packets: BTreeMap<(i64, u64), Packet>,
    sent: u64,
}

impl Wire {
    /// Sends one that arrives at `at`, true time in nanoseconds.
    pub fn send(&mut self, at: i64, packet: Packet) {
        self.sent += 1;
        self.packets.insert((at, self.sent), packet);
    }

    /// Those that are under way are lost.
    pub fn clear(&mut self) {
        self.packets.clear();
    }

    /// When the next one arrives.
    fn next(&self) -> Option<i64> {
        self.packets.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one that has arrived by `now`.
    fn arrived(&mut self, now: i64) -> Option<Packet> {
        if self.next()? > now {
            return None;
        }
        self.packets.pop_first().map(|(_, packet)| packet)
    }
}

/// A host whose clock is kept by what its servers say.
pub trait Host {
    /// The clock.
    fn clock(&mut self) -> &mut SimClock;
    /// What keeps it.
    fn keeper(&self) -> &Timekeeper;
    /// The packets between it and its servers.
    fn wire(&mut self) -> &mut Wire;
    /// When the next request is due, of true time since the beginning.
    fn next_request(&self) -> Option<Duration>;
    /// Sends the requests that are due.
    fn ask(&mut self);
    /// A request has arrived at a server.
    fn serve(&mut self, server: usize, request: &[u8]);
    /// A server's reply has arrived.
    fn hear(&mut self, server: usize, reply: &[u8]);
    /// The keeper's timer has run out.
    fn tick(&mut self);

    /// Lets true time pass until `until`, in nanoseconds, with every packet and timer on the way.
    fn pass(&mut self, until: i64) {
        loop {
            self.ask();
            let request = self.next_request();
            let request = request.map(|at| START_NS + i64::try_from(at.as_nanos()).unwrap_or(i64::MAX / 2));
            let tick = self.keeper().deadline().map(|at| {
                let clock = self.clock();
                let left = at.since(clock.now()).max(0.0);
                clock.true_time() + (left * 1e9) as i64 + 1
            });
            let packet = self.wire().next();
            let next = [packet, request, tick].into_iter().flatten().min().unwrap_or(until).min(until);
            let clock = self.clock();
            clock.advance((next - clock.true_time()).max(0) as f64 * 1e-9);
            let now = clock.true_time();
            while let Some(Packet { server, to_server, bytes }) = self.wire().arrived(now) {
                if to_server { self.serve(server, &bytes) } else { self.hear(server, &bytes) }
            }
            if self.keeper().deadline().is_some_and(|at| at <= self.clock().now()) {
                self.tick();
            }
            if self.clock().true_time() >= until {
                return;
            }
        }
    }
}

/// True time since the beginning, which is what the host's monotonic clock shows.
pub fn elapsed(clock: &SimClock) -> Duration {
    Duration::from_nanos(u64::try_from(clock.true_time() - START_NS).unwrap_or(0))
}

/// A time server that answers everybody.
pub fn open_server() -> Server {
    let mut access = AccessList::new();
    if let Some(all) = Subnet::new(HOST, 0) {
        access.set(all, true, true);
    }
    Server::new(access, Keys::new())
}

/// What such a server says of a clock of stratum 1 that shows `now`; `root_dispersion` in seconds.
pub fn snapshot(now: NtpTimestamp, leap: Leap, root_dispersion: f64) -> ServerSnapshot {
    ServerSnapshot {
        leap,
        stratum: 1,
        precision: PRECISION,
        root_delay: 0.0,
        root_dispersion,
        dispersion_rate: 0.0,
        reference_id: ReferenceId(*b"SIM\0"),
        reference: now,
        monotonic: None,
    }
}

/// What the protocol measured, as the keeper takes it.
pub fn exchange(measured: &Measurement) -> Exchange {
    Exchange {
        sent: LocalTime(measured.sent),
        received: LocalTime(measured.received),
        offset: measured.offset,
        delay: measured.delay,
        dispersion: measured.reading,
        root_delay: measured.header.root_delay.seconds(),
        root_dispersion: measured.header.root_dispersion.seconds(),
        stratum: measured.header.stratum,
        leap: match measured.header.leap {
            Leap::Insert => LeapStatus::Insert,
            Leap::Delete => LeapStatus::Delete,
            Leap::Normal | Leap::Unsynchronised => LeapStatus::Normal,
        },
    }
}
