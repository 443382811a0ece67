//! The ten scenarios, and what chronyd 4.8 made of them in clknetsim.

use ntp_proto::Leap;
use time_core::{DisciplineSettings, MakeStep, ScreeningSettings, SourceSettings, TimekeeperSettings};

use crate::world::{HostSettings, Lie, Path, Route, ServerSettings};

/// Figures of chronyd 4.8 in clknetsim 134028f, medians of ten seeds; seconds, and s/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chrony {
    /// In sync after.
    pub sync: Option<f64>,
    /// abs(mean) offset.
    pub mean: f64,
    /// RMS offset.
    pub rms: f64,
    /// Largest offset.
    pub max: f64,
    /// RMS frequency error.
    pub frequency: f64,
    /// Requests sent, median of ten seeds.
    pub packets: f64,
}

/// One scenario: a `local stratum 1` server and a client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is special about it.
    pub about: &'static str,
    /// Seconds simulated.
    pub seconds: u64,
    /// Figures count from this second on.
    pub from: u64,
    /// Offset at the start, seconds.
    pub offset: f64,
    /// Frequency error, s/s.
    pub frequency: f64,
    /// Wander, s/s per sqrt(s).
    pub wander: f64,
    /// Least delay each way, seconds.
    pub delay: f64,
    /// Mean jitter to the server and back, seconds.
    pub jitter: (f64, f64),
    /// Part of the packets lost each way.
    pub loss: f64,
    /// Shortest and longest poll, log2 s.
    pub poll: (i8, i8),
    /// `iburst`.
    pub iburst: bool,
    /// `makestep 1 3`.
    pub makestep: bool,
    /// In sync means below this offset and frequency error from then on: the limits of chrony's own simulation tests.
    pub limits: (f64, f64),
    /// chrony's figures.
    pub chrony: Chrony,
}

const DEFAULT: Scenario = Scenario {
    name: "default",
    about: "offset 0.1 s, frequency error 1e-4, delay 1e-4 s + jitter 1e-4 s, wander 1e-9",
    seconds: 10_000,
    from: 210,
    offset: 0.1,
    frequency: 1e-4,
    wander: 1e-9,
    delay: 1e-4,
    jitter: (1e-4, 1e-4),
    loss: 0.0,
    poll: (6, 10),
    iburst: false,
    makestep: false,
    limits: (1e-3, 5e-4),
    chrony: Chrony {
        sync: Some(132.0),
        mean: 3.4e-5,
        rms: 6.5e-5,
        max: 1.5e-4,
        frequency: 1.8e-7,
        packets: 36.0,
    },
};

/// All of them, in the order of the table.
pub const SCENARIOS: [Scenario; 10] = [
    DEFAULT,
    Scenario {
        name: "long",
        about: "default, 100,000 s",
        seconds: 100_000,
        chrony: Chrony {
            sync: Some(132.0),
            mean: 7.9e-6,
            rms: 9.5e-5,
            max: 3.4e-4,
            frequency: 1.6e-7,
            packets: 168.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "jitter",
        about: "jitter 0.1, offset 1",
        offset: 1.0,
        jitter: (0.1, 0.1),
        limits: (0.5, 0.2),
        chrony: Chrony {
            sync: Some(137.0),
            mean: 5.4e-3,
            rms: 1.5e-2,
            max: 6.0e-2,
            frequency: 1.4e-4,
            packets: 43.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "wander",
        about: "wander 1e-7",
        wander: 1e-7,
        limits: (5e-3, 5e-3),
        chrony: Chrony {
            sync: Some(132.0),
            mean: 2.3e-5,
            rms: 1.4e-4,
            max: 5.0e-4,
            frequency: 3.0e-6,
            packets: 155.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "asymmetry",
        about: "jitter 5e-4, asymmetry 0.47, 1e5 s, from 2000 s",
        seconds: 100_000,
        from: 2000,
        // chrony's test.common: (1 - 2 a) and (1 + 2 a) times the jitter.
        jitter: (0.06 * 5e-4, 1.94 * 5e-4),
        chrony: Chrony {
            sync: Some(198.0),
            mean: 1.0e-5,
            rms: 8.4e-5,
            max: 3.4e-4,
            frequency: 2.2e-7,
            packets: 245.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "loss",
        about: "33% loss each way, jitter 1e-5, maxpoll 8, 2e4 s, from 1e4 s",
        seconds: 20_000,
        from: 10_000,
        jitter: (1e-5, 1e-5),
        loss: 0.33,
        poll: (6, 8),
        chrony: Chrony {
            sync: Some(423.0),
            mean: 8.7e-6,
            rms: 4.1e-5,
            max: 9.8e-5,
            frequency: 1.3e-7,
            packets: 104.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "frequency",
        about: "frequency error 5e-3, offset -0.65, from 1000 s",
        from: 1000,
        offset: -0.65,
        frequency: 5e-3,
        chrony: Chrony {
            sync: Some(131.0),
            mean: 3.7e-5,
            rms: 6.5e-5,
            max: 1.2e-4,
            frequency: 5.9e-8,
            packets: 36.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "offset",
        about: "offset 1000 s, iburst, makestep 1 3",
        offset: 1000.0,
        iburst: true,
        makestep: true,
        chrony: Chrony {
            sync: Some(5.0),
            mean: 3.8e-5,
            rms: 6.4e-5,
            max: 1.3e-4,
            frequency: 1.2e-7,
            packets: 36.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "wan",
        about: "WAN: delay 25 ms + jitter 1 ms, iburst, makestep 1 3, 1e5 s, from 2000 s",
        seconds: 100_000,
        from: 2000,
        delay: 25e-3,
        jitter: (1e-3, 1e-3),
        iburst: true,
        makestep: true,
        chrony: Chrony {
            sync: None,
            mean: 1.7e-4,
            rms: 5.0e-4,
            max: 1.3e-3,
            frequency: 2.6e-7,
            packets: 123.0,
        },
        ..DEFAULT
    },
    Scenario {
        name: "lan",
        about: "LAN: 100 us + 10 us, poll 4 fixed, iburst, 1e5 s, from 2000 s",
        seconds: 100_000,
        from: 2000,
        jitter: (1e-5, 1e-5),
        poll: (4, 4),
        iburst: true,
        chrony: Chrony {
            sync: Some(6.0),
            mean: 8.8e-8,
            rms: 2.6e-6,
            max: 1.3e-5,
            frequency: 6.1e-8,
            packets: 6191.0,
        },
        ..DEFAULT
    },
];

impl Scenario {
    /// The host of this scenario.
    pub fn host(&self) -> HostSettings {
        let make_step = self.makestep.then_some(MakeStep { threshold: 1.0, limit: Some(3) });
        let discipline = DisciplineSettings { make_step, ..DisciplineSettings::default() };
        HostSettings {
            offset: self.offset,
            frequency: self.frequency,
            wander: self.wander,
            keeper: TimekeeperSettings { discipline, ..TimekeeperSettings::default() },
        }
    }

    /// Its server.
    pub fn server(&self) -> ServerSettings {
        let path = |jitter: f64| Path { delay: self.delay, jitter, loss: self.loss };
        ServerSettings {
            routes: vec![Route { from: 0.0, there: path(self.jitter.0), back: path(self.jitter.1) }],
            lie: Lie::None,
            outage: None,
            smoothing: None,
            leap: Leap::Normal,
            source: SourceSettings {
                poll_min: self.poll.0,
                poll_max: self.poll.1,
                ..SourceSettings::default()
            },
            iburst: self.iburst,
            screening: ScreeningSettings::default(),
        }
    }
}
