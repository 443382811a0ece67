//! The host, its servers and the packets between them.

use ntp_proto::{Client, ClientConfig, Leap, NtpTimestamp, Server};
use std::time::Duration;
use time_core::{
    Clock, Event, LocalTime, Screening, ScreeningSettings, SimClock, SimRandom, Smoothing, SmoothingSettings,
    SourceId, SourceSettings, Timekeeper, TimekeeperSettings,
};

use crate::host::{HOST, Host, PRECISION, Packet, START_NS, Wire, elapsed, exchange, open_server, snapshot};

/// A clock that moved by this much against the monotonic one was moved by somebody else, in seconds (the daemon's rule).
const JUMP_MIN: f64 = 0.005;
/// After such a jump every source is asked in a burst: good replies wanted, requests at most (the daemon's rule).
const AFTER_JUMP: (u8, u8) = (4, 8);

/// One direction of a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// Least delay, in seconds.
    pub delay: f64,
    /// Mean of the exponential jitter, in seconds.
    pub jitter: f64,
    /// Part of the packets that are lost.
    pub loss: f64,
}

/// Both directions, from a moment on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Route {
    /// From this second on.
    pub from: f64,
    /// To the server.
    pub there: Path,
    /// From the server.
    pub back: Path,
}

impl Route {
    /// The same both ways, from the beginning.
    pub fn even(delay: f64, jitter: f64) -> Self {
        let path = Path { delay, jitter, loss: 0.0 };
        Self { from: 0.0, there: path, back: path }
    }
}

/// What a server adds to true time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    /// Nothing.
    None,
    /// So many seconds from a second on.
    Step {
        /// From this second on.
        from: f64,
        /// So much.
        by: f64,
    },
    /// A lie that grows.
    Ramp {
        /// From this second on.
        from: f64,
        /// By so much a second.
        rate: f64,
    },
}

impl Lie {
    fn at(self, second: f64) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Step { from, by } => {
                if second >= from {
                    by
                } else {
                    0.0
                }
            }
            Self::Ramp { from, rate } => (second - from).max(0.0) * rate,
        }
    }
}

/// One time server.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Its paths, by the moment from which each holds; the first from 0.
    pub routes: Vec<Route>,
    /// How wrong it is.
    pub lie: Lie,
    /// From when until when it cannot be reached, seconds.
    pub outage: Option<(f64, f64)>,
    /// The leap warning it gives.
    pub leap: Leap,
    /// `smoothtime`: what its clients get of a leap second they get slowly.
    pub smoothing: Option<SmoothingSettings>,
    /// How the client treats it.
    pub source: SourceSettings,
    /// `iburst`.
    pub iburst: bool,
    /// Which exchanges count.
    pub screening: ScreeningSettings,
}

impl ServerSettings {
    /// A truthful one that is asked as chrony's defaults say.
    pub fn honest(route: Route) -> Self {
        Self {
            routes: vec![route],
            lie: Lie::None,
            outage: None,
            leap: Leap::Normal,
            smoothing: None,
            source: SourceSettings { poll_min: 6, poll_max: 10, ..SourceSettings::default() },
            iburst: false,
            screening: ScreeningSettings::default(),
        }
    }
}

/// What the host does at a leap second (`leapsecmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeapMode {
    /// `system` and `step`: the clock is stepped, by the kernel, which the daemon notices before it takes another packet, or by the
    /// daemon.
    Stepped,
    /// `slew`.
    Slewed,
    /// `ignore`: nothing; the sources will say so.
    Ignored,
}

/// The host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HostSettings {
    /// The clock is ahead by this at the start, in seconds.
    pub offset: f64,
    /// It gains this, s/s.
    pub frequency: f64,
    /// The gain's random step each second, one sigma, s/s.
    pub wander: f64,
    /// Of the timekeeper.
    pub keeper: TimekeeperSettings,
}

struct Peer {
    client: Client,
    server: Server,
    settings: ServerSettings,
    smoothing: Option<Smoothing>,
    source: SourceId,
    screening: Screening,
    requests: u64,
}

/// A host among its servers.
pub struct World {
    /// The clock.
    pub clock: SimClock,
    /// What keeps it.
    pub keeper: Timekeeper,
    /// What it said.
    pub events: Vec<(f64, Event)>,
    random: SimRandom,
    peers: Vec<Peer>,
    wire: Wire,
    /// UTC against a count of all seconds, in seconds.
    utc: f64,
}

impl World {
    /// A world from its seed.
    pub fn new(seed: u64, host: &HostSettings, servers: &[ServerSettings]) -> Self {
        let mut clock = SimClock::new(seed, START_NS, host.offset, host.frequency, host.wander);
        let mut keeper = match Timekeeper::new(host.keeper, &mut clock) {
            Ok(keeper) => keeper,
            Err(error) => panic!("a simulated clock can be set: {error}"),
        };
        let peers = servers
            .iter()
            .enumerate()
            .map(|(index, settings)| {
                let source = keeper.add_source(settings.source);
                let config = ClientConfig {
                    initial_burst: settings.iburst,
                    poll_min: settings.source.poll_min,
                    poll_max: settings.source.poll_max,
                    precision: PRECISION,
                    ..ClientConfig::default()
                };
                // The daemon's distance between its first requests.
                let first = Duration::from_millis(200 * index as u64);
                Peer {
                    client: Client::new(config, first),
                    server: open_server(),
                    smoothing: settings.smoothing.map(|smoothing| {
                        let mut smoothing = Smoothing::new(smoothing);
                        smoothing.activate(LocalTime(START_NS));
                        smoothing
                    }),
                    settings: settings.clone(),
                    source,
                    screening: Screening::new(settings.screening),
                    requests: 0,
                }
            })
            .collect();
        let random = SimRandom::new(seed ^ 0x6e65_7477_6f72_6b00);
        Self { clock, keeper, events: Vec::new(), random, peers, wire: Wire::default(), utc: 0.0 }
    }

    /// True seconds since the beginning.
    pub fn second(&self) -> f64 {
        (self.clock.true_time() - START_NS) as f64 * 1e-9
    }

    /// The clock minus UTC, in seconds.
    pub fn error(&self) -> f64 {
        self.clock.error() - self.utc
    }

    /// The clock minus what a server gives out, in seconds.
    pub fn error_against(&self, index: usize) -> f64 {
        let smoothed = self.peers.get(index).and_then(|peer| peer.smoothing.as_ref());
        self.error() - smoothed.map_or(0.0, |one| one.state(LocalTime(self.clock.true_time())).offset)
    }

    /// UTC has a leap second now: `seconds` is -1 for one that is inserted, 1 for one that is left out.
    pub fn leap_second(&mut self, seconds: f64, mode: LeapMode) {
        self.utc += seconds;
        let now = LocalTime(self.clock.true_time());
        for peer in &mut self.peers {
            if let Some(smoothing) = &mut peer.smoothing {
                // True time is counted on here as if there were no leap seconds.
                smoothing.corrected(now.plus(-seconds), seconds, 0.0, true);
            }
        }
        let nanos = (seconds * 1e9) as i64;
        let events = match mode {
            LeapMode::Stepped => {
                let _ = self.clock.step(nanos);
                self.peers.iter_mut().for_each(|peer| peer.client.forget_pending());
                self.keeper.leap_second(seconds, nanos, &mut self.clock)
            }
            LeapMode::Slewed => self.keeper.leap_second(seconds, 0, &mut self.clock),
            LeapMode::Ignored => Vec::new(),
        };
        self.note(events);
    }

    /// Requests sent to a server so far.
    pub fn requests(&self, index: usize) -> u64 {
        self.peers.get(index).map_or(0, |peer| peer.requests)
    }

    /// The timekeeper's name of a server.
    pub fn source(&self, index: usize) -> SourceId {
        self.peers.get(index).map_or(SourceId(u32::MAX), |peer| peer.source)
    }

    /// The reach register of a server.
    pub fn reach(&self, index: usize) -> u8 {
        self.peers.get(index).map_or(0, |peer| peer.client.reach())
    }

    /// Lets true time pass until second `end`, calling `look` at each whole second.
    pub fn run(&mut self, end: u64, mut look: impl FnMut(&mut Self, u64)) {
        let begin = self.second().floor() as u64;
        for second in begin + 1..=end {
            self.pass(START_NS + second as i64 * 1_000_000_000);
            look(self, second);
        }
    }

    fn note(&mut self, events: Vec<Event>) {
        let second = self.second();
        self.events.extend(events.into_iter().map(|event| (second, event)));
    }

    fn send(&mut self, index: usize, to_server: bool, bytes: Vec<u8>) {
        let second = self.second();
        let Some(peer) = self.peers.get(index) else { return };
        let Some(route) = peer.settings.routes.iter().rev().find(|route| route.from <= second) else {
            return;
        };
        let path = if to_server { route.there } else { route.back };
        let lost = self.random.uniform() < path.loss;
        let delay = path.delay + path.jitter * self.random.exponential();
        if lost || peer.settings.outage.is_some_and(|(from, until)| (from..until).contains(&second)) {
            return;
        }
        let at = self.clock.true_time() + (delay * 1e9) as i64;
        self.wire.send(at, Packet { server: index, to_server, bytes });
    }

    /// The clock jumps by `seconds`, as when somebody sets it or the host slept while its clock stood: the daemon notices it
    /// against the monotonic clock.
    pub fn jump(&mut self, seconds: f64) {
        let nanos = (seconds * 1e9) as i64;
        let _ = self.clock.step(nanos);
        if seconds.abs() < JUMP_MIN {
            return;
        }
        self.keeper.clock_jumped(nanos);
        let now = elapsed(&self.clock);
        for peer in &mut self.peers {
            peer.client.forget_pending();
            peer.client.burst(now, AFTER_JUMP.0, AFTER_JUMP.1);
        }
    }

    /// The bound of the clock's error that is published now, in seconds.
    pub fn error_bound(&mut self) -> Option<f64> {
        let now = self.clock.now();
        self.keeper.error_bound(now)
    }
}

impl Host for World {
    fn clock(&mut self) -> &mut SimClock {
        &mut self.clock
    }

    fn keeper(&self) -> &Timekeeper {
        &self.keeper
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn next_request(&self) -> Option<Duration> {
        self.peers.iter().filter_map(|peer| peer.client.deadline()).min()
    }

    fn ask(&mut self) {
        let now = elapsed(&self.clock);
        for index in 0..self.peers.len() {
            let Some(peer) = self.peers.get_mut(index) else { continue };
            if peer.client.deadline().is_none_or(|at| at > now) {
                continue;
            }
            let wall = self.clock.now().0;
            let random = [self.random.next_u64(), self.random.next_u64()];
            if let Some(known) = self.keeper.source(peer.source) {
                peer.client.set_poll(known.poll());
            }
            let request = peer.client.request(now, random, wall);
            peer.client.sent(wall);
            peer.requests += 1;
            let (reach, source) = (peer.client.reach(), peer.source);
            let events = self.keeper.set_reach(source, reach, &mut self.clock);
            self.note(events);
            self.send(index, true, request);
        }
    }

    fn serve(&mut self, index: usize, request: &[u8]) {
        let second = self.second();
        let true_time = self.clock.true_time();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let smoothed = peer.smoothing.as_ref().map_or(0.0, |one| one.state(LocalTime(true_time)).offset);
        let lie = ((peer.settings.lie.at(second) + self.utc + smoothed) * 1e9) as i64;
        let now = NtpTimestamp::from_unix_nanos(true_time + lie);
        let snapshot = snapshot(now, peer.settings.leap, 0.0);
        if let Ok(reply) = peer.server.respond(request, HOST, now, now, &snapshot) {
            let bytes = reply.to_vec();
            self.send(index, false, bytes);
        }
    }

    fn hear(&mut self, index: usize, reply: &[u8]) {
        let (now, wall) = (elapsed(&self.clock), self.clock.now().0);
        let Some(peer) = self.peers.get_mut(index) else { return };
        let Ok(measured) = peer.client.receive(now, reply, wall) else { return };
        let (source, reach) = (peer.source, peer.client.reach());
        let path = self.keeper.path(source, LocalTime(measured.received));
        let tested = peer.screening.test(&exchange(&measured), path).ok();
        let events = match peer.screening.poll_ended(tested) {
            Some(used) => self.keeper.exchange(source, &used, reach, &mut self.clock),
            None => self.keeper.heard(source, reach, &mut self.clock),
        };
        self.note(events);
        if let (Some(known), Some(peer)) = (self.keeper.source(source), self.peers.get_mut(index)) {
            peer.client.set_poll(known.poll());
        }
    }

    fn tick(&mut self) {
        let events = self.keeper.tick(&mut self.clock);
        self.note(events);
    }
}
