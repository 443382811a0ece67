//! The host's clock, its time servers and the network between them.

use std::time::Duration;

use clock_lab::host::{self, HOST, Host, Packet, Wire, exchange, open_server, snapshot};
use ntp_proto::{Client, ClientConfig, Leap, NtpTimestamp, Server};
use record::ClockQuality;
use time_core::{
    Clock, Discipline, DisciplineSettings, LocalTime, MakeStep, SelectionSettings, SimClock, SimPath,
    SimRandom, SourceId, SourceSettings, SourceState, Timekeeper, TimekeeperSettings,
};

pub(crate) use clock_lab::host::START_NS;

/// The kernel lets `maxerror` grow by 500 ppm while nobody says anything (`adjtimex(2)`).
const MAX_ERROR_GROWTH: f64 = 500e-6;

pub(crate) struct Clockwork {
    pub(crate) clock: SimClock,
    random: SimRandom,
    timekeeper: Timekeeper,
    peers: Vec<Peer>,
    wire: Wire,
    /// What the daemon told the kernel last: when (true time) and the bound of the error then, in seconds.
    told: Option<(i64, f64)>,
    pub(crate) damaged_replies_believed: u64,
}

struct Peer {
    client: Client,
    server: Server,
    source: SourceId,
    path: SimPath,
    loss: f64,
    /// What it adds to true time, in seconds; a liar's is far from zero.
    lie: f64,
}

impl Clockwork {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = SimRandom::new(seed ^ 0x636c_6f63);
        let offset = (random.uniform() - 0.5) * if random.uniform() < 0.3 { 100.0 } else { 0.2 };
        let frequency = (random.uniform() - 0.5) * 200e-6;
        let mut clock = SimClock::new(seed, START_NS, offset, frequency, 1e-9);
        let count = 3 + (random.next_u64() % 3) as usize;
        let liar = (random.uniform() < 0.5).then(|| (random.next_u64() % count as u64) as usize);
        let mut timekeeper = timekeeper(&mut clock);
        let peers = (0..count)
            .map(|index| {
                let lie = if liar == Some(index) { 0.5 + random.uniform() } else { 0.0 };
                Peer {
                    client: client(0.0),
                    server: open_server(),
                    source: timekeeper.add_source(source_settings()),
                    path: SimPath::new(
                        seed ^ (index as u64 + 1),
                        100e-6 + random.uniform() * 5e-3,
                        10e-6 + random.uniform() * 2e-3,
                    ),
                    loss: random.uniform() * 0.3,
                    lie,
                }
            })
            .collect();
        Self {
            clock,
            random,
            timekeeper,
            peers,
            wire: Wire::default(),
            told: None,
            damaged_replies_believed: 0,
        }
    }

    /// Seconds of true time since the history began: the monotonic clock.
    pub(crate) fn elapsed(&self) -> f64 {
        (self.clock.true_time() - START_NS) as f64 * 1e-9
    }

    /// Puts a packet on the wire, where it may be lost, doubled or damaged.
    fn send(&mut self, index: usize, to_server: bool, bytes: Vec<u8>) {
        let peer = &mut self.peers[index];
        if self.random.uniform() < peer.loss {
            return;
        }
        let copies = if self.random.uniform() < 0.02 { 2 } else { 1 };
        for _ in 0..copies {
            let mut bytes = bytes.clone();
            if self.random.uniform() < 0.02 {
                let at = self.random.next_u64() as usize % bytes.len();
                // UDP's checksum catches damage of content; what a checksum cannot catch is a packet that was cut.
                bytes.truncate(at);
            }
            let (there, back) = self.peers[index].path.delays();
            let delay = if to_server { there } else { back };
            let at = self.clock.true_time() + (delay * 1e9) as i64;
            self.wire.send(at, Packet { server: index, to_server, bytes });
        }
    }

    /// What the daemon does after each update where `rtcsync` is on.
    fn tell_kernel(&mut self) {
        let now = self.clock.now();
        self.told = self.timekeeper.error_bound(now).map(|bound| (self.clock.true_time(), bound));
    }

    /// What the kernel says of the clock now.
    pub(crate) fn quality(&self) -> ClockQuality {
        let Some((at, bound)) = self.told else {
            return ClockQuality { tz_known: true, ..ClockQuality::default() };
        };
        let error = bound + (self.clock.true_time() - at) as f64 * 1e-9 * MAX_ERROR_GROWTH;
        ClockQuality { synced: true, max_error_usec: (error * 1e6).ceil() as u64, tz_known: true }
    }

    /// The time daemon was killed, or the whole host lost its power.
    pub(crate) fn restart(&mut self, power: bool) {
        self.wire.clear();
        if power {
            // The kernel starts anew, without a correction. The clock itself goes on (RTC).
            let _ = self.clock.set_frequency(0.0);
        }
        // The daemon's first act is to call the clock unsynchronised.
        self.told = None;
        self.timekeeper = timekeeper(&mut self.clock);
        let elapsed = self.elapsed();
        for peer in &mut self.peers {
            peer.client = client(elapsed);
            peer.source = self.timekeeper.add_source(source_settings());
        }
    }

    /// Whether a source that lies is believed.
    pub(crate) fn follows_a_liar(&self) -> bool {
        self.peers
            .iter()
            .any(|peer| peer.lie != 0.0 && self.timekeeper.verdict(peer.source) == SourceState::Selected)
    }

    /// Whether anything is followed.
    pub(crate) fn is_synced(&self) -> bool {
        self.told.is_some()
    }

    /// How the clock and its sources stand, for a failure's message.
    pub(crate) fn describe(&self) -> String {
        let now = LocalTime(self.clock.true_time() + (self.clock.error() * 1e9) as i64);
        let mut text = format!(
            "at {:.3} s, told {:?}, rate error {:.3e}, correction {:.3e}\n{:#?}\n",
            self.elapsed(),
            self.told.map(|(at, bound)| ((at - START_NS) as f64 * 1e-9, bound)),
            self.clock.rate_error(),
            self.clock.frequency(),
            self.timekeeper.tracking(now)
        );
        for peer in &self.peers {
            let state = self.timekeeper.verdict(peer.source);
            let statistics = self.timekeeper.statistics(peer.source, now);
            text.push_str(&format!("lie {} loss {:.2} {state:?} {statistics:?}\n", peer.lie, peer.loss));
        }
        text
    }

    /// Updates of the clock so far.
    pub(crate) fn updates(&self) -> u32 {
        Discipline::updates(self.timekeeper.discipline())
    }
}

impl Host for Clockwork {
    fn clock(&mut self) -> &mut SimClock {
        &mut self.clock
    }

    fn keeper(&self) -> &Timekeeper {
        &self.timekeeper
    }

    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn next_request(&self) -> Option<Duration> {
        self.peers.iter().filter_map(|peer| peer.client.deadline()).min()
    }

    fn ask(&mut self) {
        let now = host::elapsed(&self.clock);
        for index in 0..self.peers.len() {
            let wall = self.clock.now().0;
            let random = [self.random.next_u64(), self.random.next_u64()];
            let peer = &mut self.peers[index];
            if peer.client.deadline().is_none_or(|at| at > now) {
                continue;
            }
            let request = peer.client.request(now, random, wall);
            peer.client.sent(wall);
            let (reach, source) = (peer.client.reach(), peer.source);
            self.timekeeper.set_reach(source, reach, &mut self.clock);
            self.send(index, true, request);
        }
    }

    fn serve(&mut self, index: usize, request: &[u8]) {
        let peer = &mut self.peers[index];
        let now = NtpTimestamp::from_unix_nanos(self.clock.true_time() + (peer.lie * 1e9) as i64);
        let snapshot = snapshot(now, Leap::Normal, 1e-5);
        if let Ok(reply) = peer.server.respond(request, HOST, now, now, &snapshot) {
            let bytes = reply.to_vec();
            self.send(index, false, bytes);
        }
    }

    fn hear(&mut self, index: usize, reply: &[u8]) {
        let (now, wall) = (host::elapsed(&self.clock), self.clock.now().0);
        let peer = &mut self.peers[index];
        let Ok(measured) = peer.client.receive(now, reply, wall) else { return };
        if reply.len() < 48 {
            self.damaged_replies_believed += 1;
        }
        let (source, reach) = (peer.source, peer.client.reach());
        self.timekeeper.exchange(source, &exchange(&measured), reach, &mut self.clock);
        if let Some(known) = self.timekeeper.source(source) {
            self.peers[index].client.set_poll(known.poll());
        }
        self.tell_kernel();
    }

    fn tick(&mut self) {
        self.timekeeper.tick(&mut self.clock);
        self.tell_kernel();
    }
}

fn timekeeper(clock: &mut SimClock) -> Timekeeper {
    let discipline = DisciplineSettings {
        make_step: Some(MakeStep { threshold: 1.0, limit: Some(3) }),
        ..DisciplineSettings::default()
    };
    // `minsources 2`: with one source alone its word is all there is, and nobody can know whether it lies.
    let selection = SelectionSettings { sources_min: 2, ..SelectionSettings::default() };
    let settings = TimekeeperSettings { discipline, selection };
    Timekeeper::new(settings, clock).expect("a simulated clock can be changed")
}

fn client(elapsed: f64) -> Client {
    let config = ClientConfig { initial_burst: true, poll_min: 4, poll_max: 7, ..ClientConfig::default() };
    Client::new(config, Duration::from_secs_f64(elapsed))
}

fn source_settings() -> SourceSettings {
    SourceSettings { poll_min: 4, poll_max: 7, ..SourceSettings::default() }
}
