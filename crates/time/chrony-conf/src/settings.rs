//! The settings as meant.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::directive::{DIRECTIVES, rule_arguments};
use crate::source::Source;

/// Everything that the configuration decides. A directive that is not there leaves its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `server`, `pool` and `peer`, in the order of the files. Those of [`Settings::source_dirs`] come on top.
    pub sources: Vec<Source>,
    /// `sourcedir`, one list of folders for each directive; [`crate::load_source_dirs`] reads them.
    pub source_dirs: Vec<Vec<PathBuf>>,
    /// `driftfile`.
    pub drift_file: Option<PathBuf>,
    /// `driftfile ... interval`: seconds between updates of the file.
    pub drift_file_interval: u32,
    /// `makestep`; none: the clock is never stepped.
    pub makestep: Option<Makestep>,
    /// `rtcsync`: the kernel is told that the clock is synchronised, and copies it to the real-time clock.
    pub rtcsync: bool,
    /// `allow` and `deny`, in their order. The most specific one counts; without any, nobody is served.
    pub ntp_access: Vec<AccessRule>,
    /// `cmdallow` and `cmddeny`, in their order. Loopback is always allowed.
    pub command_access: Vec<AccessRule>,
    /// `local`; none: no time is served while there is no source.
    pub local: Option<LocalReference>,
    /// `port`: UDP port of the server; 0: no server.
    pub port: u16,
    /// `bindaddress` of IPv4; none: every address.
    pub bind_v4: Option<Ipv4Addr>,
    /// `bindaddress` of IPv6; none: every address.
    pub bind_v6: Option<Ipv6Addr>,
    /// `cmdport`: UDP port for commands; 0: only the Unix socket.
    pub command_port: u16,
    /// `bindcmdaddress` of IPv4.
    pub command_bind_v4: Ipv4Addr,
    /// `bindcmdaddress` of IPv6.
    pub command_bind_v6: Ipv6Addr,
    /// `bindcmdaddress` as a path; none (`/` in the file): no Unix socket.
    pub command_socket: Option<PathBuf>,
    /// `logdir`; none: no log files are written, whatever `log` says.
    pub log_dir: Option<PathBuf>,
    /// `log`.
    pub logs: Logs,
    /// `logchange`: larger offsets are logged, seconds.
    pub log_change: f64,
    /// `keyfile`.
    pub key_file: Option<PathBuf>,
    /// `maxupdateskew`, parts per million.
    pub max_update_skew: f64,
    /// `maxslewrate`, parts per million.
    pub max_slew_rate: f64,
    /// `maxdrift`, parts per million.
    pub max_drift: f64,
    /// `maxclockerror`, parts per million.
    pub max_clock_error: f64,
    /// `maxdistance`, seconds.
    pub max_distance: f64,
    /// `maxjitter`, seconds.
    pub max_jitter: f64,
    /// `minsources`.
    pub min_sources: u32,
    /// `stratumweight`, seconds a stratum.
    pub stratum_weight: f64,
    /// `reselectdist`, seconds.
    pub reselect_distance: f64,
    /// `combinelimit`, a multiple of the selected source's distance.
    pub combine_limit: f64,
    /// `pidfile`; none (`/` in the file): none is written.
    pub pid_file: Option<PathBuf>,
    /// `user`; none: nothing was said, and the daemon stays who it is unless it was told otherwise at its start.
    pub user: Option<String>,
    /// `dumpdir`; none: histories are not kept over a restart.
    pub dump_dir: Option<PathBuf>,
}

/// `makestep`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Makestep {
    /// Larger offsets are stepped, seconds.
    pub threshold: f64,
    /// Only in so many first updates; none (a negative number in the file): in all.
    pub limit: Option<u32>,
}

/// `local`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalReference {
    /// The stratum that is served, 1 to 15.
    pub stratum: u8,
    /// Only when the root distance is above this, seconds.
    pub distance: f64,
}

/// `allow`, `deny`, `cmdallow` or `cmddeny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Allowed or denied.
    pub allow: bool,
    /// More specific rules before this one are void (`allow all`).
    pub all: bool,
    /// Who.
    pub subject: AccessSubject,
}

/// Whom an access rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessSubject {
    /// Every address of both families.
    Everybody,
    /// A subnet.
    Net {
        /// An address in it.
        address: IpAddr,
        /// How many leading bits count; at most 32 or 128.
        bits: u8,
    },
    /// The addresses of a host name, which the daemon looks up.
    Host(String),
}

/// `log`: which files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logs {
    /// `measurements.log`.
    pub measurements: bool,
    /// `measurements.log` also of measurements that failed a test.
    pub raw_measurements: bool,
    /// `statistics.log`.
    pub statistics: bool,
    /// `tracking.log`.
    pub tracking: bool,
    /// `selection.log`.
    pub selection: bool,
    /// `rtc.log`.
    pub rtc: bool,
    /// `refclocks.log`.
    pub refclocks: bool,
    /// `tempcomp.log`.
    pub tempcomp: bool,
}

impl Settings {
    /// What holds where the configuration says nothing.
    pub fn new(layout: &layout::Layout) -> Self {
        Self {
            sources: Vec::new(),
            source_dirs: Vec::new(),
            drift_file: None,
            drift_file_interval: 3_600,
            makestep: None,
            rtcsync: false,
            ntp_access: Vec::new(),
            command_access: Vec::new(),
            local: None,
            port: if layout.house_dir().is_some() { 11_123 } else { 123 },
            bind_v4: None,
            bind_v6: None,
            command_port: if layout.house_dir().is_some() { 11_323 } else { 323 },
            command_bind_v4: Ipv4Addr::LOCALHOST,
            command_bind_v6: Ipv6Addr::LOCALHOST,
            command_socket: Some(layout.place("run/chronyd.sock", "/run/chrony/chronyd.sock")),
            log_dir: None,
            logs: Logs::default(),
            log_change: 1.0,
            key_file: None,
            max_update_skew: 1_000.0,
            max_slew_rate: 1e6 / 12.0,
            max_drift: 500_000.0,
            max_clock_error: 1.0,
            max_distance: 3.0,
            max_jitter: 1.0,
            min_sources: 1,
            stratum_weight: 1e-3,
            reselect_distance: 1e-4,
            combine_limit: 3.0,
            pid_file: Some(layout.place("run/chronyd.pid", "/run/chrony/chronyd.pid")),
            user: None,
            dump_dir: None,
        }
    }

    /// The effective settings as a configuration file, defaults included (`chronyd -p`). Includes are resolved; what stands
    /// in source folders is not.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for directive in DIRECTIVES {
            for arguments in directive.arguments(self) {
                out.push_str(format!("{} {arguments}", directive.name).trim_end());
                out.push('\n');
            }
        }
        for (rules, yes, no) in
            [(&self.ntp_access, "allow", "deny"), (&self.command_access, "cmdallow", "cmddeny")]
        {
            for rule in rules {
                let line = format!("{} {}", if rule.allow { yes } else { no }, rule_arguments(rule));
                out.push_str(line.trim_end());
                out.push('\n');
            }
        }
        out
    }
}
