//! What is simulated: the ten scenarios for which chrony's figures are known, and some of our own with a bound each.

use super::run::{Figures, Network, Simulator, client_lines};

/// A scenario with one server and one client.
pub struct Scenario {
    /// As the table names it.
    pub name: &'static str,
    limit: u32,
    reset: u32,
    offset: f64,
    frequency: &'static str,
    wander: &'static str,
    up: &'static str,
    down: &'static str,
    options: &'static str,
    directives: &'static str,
    in_sync: (f64, f64),
}

const USUAL_DELAY: &str = "(+ 1e-4 (* 1e-4 (exponential)))";
const USUAL: Scenario = Scenario {
    name: "default",
    limit: 10_000,
    reset: 210,
    offset: 0.1,
    frequency: "1e-4",
    wander: "1e-9",
    up: USUAL_DELAY,
    down: USUAL_DELAY,
    options: "",
    directives: "",
    in_sync: (1e-3, 5e-4),
};
const STEPPING: &str = "makestep 1 3";
const LOSSY: &str = "(+ 1e-4 (* -1 (equal 0.33 (uniform) 1.0)) (* 1e-5 (exponential)))";
const ROUGH: &str = "(+ 1e-4 (* 1e-1 (exponential)))";
const WIDE: &str = "(+ 25e-3 (* 1e-3 (exponential)))";
const NEAR: &str = "(+ 1e-4 (* 1e-5 (exponential)))";

/// The ten.
pub const TEN: &[Scenario] = &[
    USUAL,
    Scenario { name: "default, 100,000 s", limit: 100_000, ..USUAL },
    Scenario {
        name: "jitter 0.1, offset 1",
        offset: 1.0,
        up: ROUGH,
        down: ROUGH,
        in_sync: (0.5, 0.2),
        ..USUAL
    },
    Scenario { name: "wander 1e-7", wander: "1e-7", in_sync: (5e-3, 5e-3), ..USUAL },
    Scenario {
        name: "jitter 5e-4, asymmetry 0.47",
        up: "(+ 1e-4 (* 0.06 5e-4 (exponential)))",
        down: "(+ 1e-4 (* 1.94 5e-4 (exponential)))",
        limit: 100_000,
        reset: 2_000,
        ..USUAL
    },
    Scenario {
        name: "33% loss each way, maxpoll 8",
        up: LOSSY,
        down: LOSSY,
        options: "maxpoll 8",
        limit: 20_000,
        reset: 10_000,
        ..USUAL
    },
    Scenario { name: "frequency error 5e-3", frequency: "5e-3", offset: -0.65, reset: 1_000, ..USUAL },
    Scenario { name: "offset 1000 s, iburst", offset: 1e3, options: "iburst", directives: STEPPING, ..USUAL },
    Scenario {
        name: "WAN",
        up: WIDE,
        down: WIDE,
        options: "iburst",
        directives: STEPPING,
        limit: 100_000,
        reset: 2_000,
        ..USUAL
    },
    Scenario {
        name: "LAN, poll 4",
        up: NEAR,
        down: NEAR,
        options: "iburst minpoll 4 maxpoll 4",
        limit: 100_000,
        reset: 2_000,
        ..USUAL
    },
];

impl Scenario {
    fn network(&self) -> Network {
        let clock = format!("(+ {} (sum (* {} (normal))))", self.frequency, self.wander);
        Network {
            lines: client_lines(1, (&clock, self.offset), self.up, self.down),
            daemons: vec![
                "local stratum 1\nallow".to_owned(),
                format!("server 192.168.123.1 {}\n{}", self.options, self.directives),
            ],
            limit: self.limit,
            reset: self.reset,
            in_sync: self.in_sync,
        }
    }

    /// Runs it.
    pub fn run(&self, simulator: &Simulator, seed: u32) -> Result<Figures, String> {
        simulator.run(&self.network(), seed)
    }
}

/// A scenario with a bound.
pub struct Own {
    /// What happens.
    pub name: &'static str,
    /// What must hold.
    pub bound: &'static str,
    network: fn() -> Network,
    judge: fn(&Figures) -> (String, bool),
}

impl Own {
    /// Runs it; what was seen, and whether the bound was kept.
    pub fn check(&self, simulator: &Simulator, seed: u32) -> Result<(String, bool), String> {
        let figures = simulator.run(&(self.network)(), seed)?;
        let (seen, kept) = (self.judge)(&figures);
        let ended = figures.log.contains("chronyd exiting");
        Ok((if ended { seen } else { format!("{seen}; the daemon did not end as it should") }, kept && ended))
    }
}

/// Our own.
pub const OWN: &[Own] = &[
    Own {
        name: "the network comes 600 s after the daemon, the clock is 1000 s off",
        bound: "in sync within 10 s of the first reply, by a step",
        network: || {
            Scenario {
                offset: 1e3,
                options: "iburst",
                directives: STEPPING,
                up: "(+ 1e-4 (* 1e-5 (exponential)) (* -1 (equal 0.1 (min time 600) time)))",
                down: NEAR,
                limit: 4_000,
                reset: 2_000,
                // By frequency a clock whose oscillator is not known yet may be out of bounds for longer.
                in_sync: (0.1, 1.0),
                ..USUAL
            }
            .network()
        },
        judge: |one| {
            let after = one.sync - one.first_reply;
            (format!("{after:.1} s after it"), after <= 10.0 && one.log.contains("System clock was stepped"))
        },
    },
    Own {
        name: "no server for 30 minutes, wander 1e-8",
        bound: "largest offset 20 ms, in sync again at the end",
        network: || {
            Scenario {
                wander: "1e-8",
                up: "(+ 1e-4 (* 1e-4 (exponential)) (* -1 (equal 0.1 (max 4000 (min time 5800)) time)))",
                reset: 1_000,
                ..USUAL
            }
            .network()
        },
        judge: |one| {
            let end = one.offsets.last().copied().unwrap_or(f64::INFINITY).abs();
            (format!("{:.2e} s, at the end {end:.2e} s", one.max), one.max < 0.02 && end < 1e-3)
        },
    },
    Own {
        name: "the machine sleeps: its clock is an hour behind at 5000 s (makestep 1 -1)",
        bound: "right within 300 s",
        network: || {
            let mut network = Scenario { options: "iburst", directives: "makestep 1 -1", ..USUAL }.network();
            network.lines.push_str("node2_step = (* -3600 (equal 0.1 (sum 1.0) 5000))\n");
            network
        },
        judge: |one| {
            let behind = one.offsets.iter().rposition(|offset| offset.abs() > 1e-2).unwrap_or(0);
            (format!("until {behind} s"), (5_000..5_300).contains(&behind))
        },
    },
    Own {
        name: "three servers, one of them a second off",
        bound: "the liar is named, largest offset 2 ms",
        network: || Network {
            lines: client_lines(3, ("(+ 1e-4 (sum (* 1e-9 (normal))))", 0.1), USUAL_DELAY, USUAL_DELAY)
                + "node3_offset = 1.0\n",
            daemons: vec![
                "local stratum 1\nallow".to_owned(),
                "local stratum 1\nallow".to_owned(),
                "local stratum 1\nallow".to_owned(),
                "server 192.168.123.1\nserver 192.168.123.2\nserver 192.168.123.3".to_owned(),
            ],
            limit: 10_000,
            reset: 300,
            in_sync: (1e-3, 5e-4),
        },
        judge: |one| {
            let named = one.log.contains("Detected falseticker 192.168.123.3");
            (format!("{:.2e} s{}", one.max, if named { ", named" } else { "" }), named && one.max < 2e-3)
        },
    },
    Own {
        name: "the server's clock is set by 0.2 s at 4000 s",
        bound: "followed within 2000 s",
        network: || {
            let mut network = Scenario { ..USUAL }.network();
            network.lines.push_str("node1_step = (* 0.2 (equal 0.1 (sum 1.0) 4000))\n");
            network
        },
        judge: |one| {
            let apart = one.offsets.iter().rposition(|offset| (offset - 0.2).abs() > 5e-3).unwrap_or(0);
            (format!("until {apart} s"), (4_000..6_000).contains(&apart))
        },
    },
];
