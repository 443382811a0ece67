//! The settings as meant.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::directive::{DIRECTIVES, rule_arguments};
use crate::source::Source;

mod clock;
mod nts;
mod refclock;
mod server;

pub use clock::{
    FallbackDrift, InitStepSlew, LeapSecondMode, MailOnChange, Makestep, MaxChange, RealTimeClock,
    SmoothTime, TempComp, TempCurve,
};
pub use nts::{AEADS_DEFAULT, Nts, REFRESH_SECONDS_DEFAULT, ROTATE_SECONDS_DEFAULT};
pub use refclock::{HwTimestamp, RefClock, RefClockDriver, RxFilter};
pub use server::{
    AccessRule, AccessSubject, AuthSelectMode, Broadcast, LocalReference, OPEN_COMMANDS,
    OPEN_COMMANDS_DEFAULT, ORPHAN_WAIT_UNSYNCED, RateLimit,
};

/// Seconds of `refresh` without it: two weeks.
pub const REFRESH_DEFAULT: u32 = 1_209_600;
/// Bytes of `clientloglimit` without it: 4096 clients of chrony's.
pub const CLIENT_LOG_LIMIT_DEFAULT: u64 = 524_288;
/// Lines of `logbanner` without it.
pub const LOG_BANNER_DEFAULT: u32 = 32;

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
    /// `minstratum`: sources of a smaller stratum are not selected.
    pub min_stratum: u32,
    /// `maxstratum`: sources of a larger stratum are not selected.
    pub max_stratum: u32,
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
    /// `refclock`, in the order of the files.
    pub refclocks: Vec<RefClock>,
    /// `hwtimestamp`, in the order of the files; the first line that fits an interface counts.
    pub hw_timestamps: Vec<HwTimestamp>,
    /// `hwtstimeout`: how long a reply may wait for the hardware timestamp of its request, seconds.
    pub hw_timestamp_timeout: f64,
    /// `maxtxbuffers`: sent packets that chronyd keeps to know which one a transmit timestamp is of. Here a timestamp comes with the
    /// number of its packet, or on a socket that has sent one alone, so that nothing has to be kept.
    pub max_tx_buffers: u32,
    /// `ptpport`: UDP port of NTP inside PTP; 0: none.
    pub ptp_port: u16,
    /// `ptpdomain` of it.
    pub ptp_domain: u8,
    /// `acquisitionport`: the port of one socket for all sources (0: any free one); none: each request has its own.
    pub acquisition_port: Option<u16>,
    /// `bindacqaddress` of IPv4.
    pub bind_acquisition_v4: Option<Ipv4Addr>,
    /// `bindacqaddress` of IPv6.
    pub bind_acquisition_v6: Option<Ipv6Addr>,
    /// `bindacqdevice`: the interface of the sockets that ask.
    pub bind_acquisition_device: Option<String>,
    /// `binddevice`: the interface of the server.
    pub bind_device: Option<String>,
    /// `bindcmddevice`: the interface of the command port.
    pub command_bind_device: Option<String>,
    /// `dscp` of NTP packets, 0 to 63.
    pub dscp: u8,
    /// `minsamples` of every source.
    pub min_samples: u32,
    /// `maxsamples` of every source; 0: no limit.
    pub max_samples: u32,
    /// `refresh`: seconds after which a name is looked up again; 0: never.
    pub refresh: u32,
    /// `manual`: `settime` is taken.
    pub manual: bool,
    /// `initstepslew`.
    pub init_step_slew: Option<InitStepSlew>,
    /// `authselectmode`.
    pub auth_select_mode: AuthSelectMode,
    /// `clockprecision`, seconds; none: measured.
    pub clock_precision: Option<f64>,
    /// `corrtimeratio`.
    pub correction_time_ratio: f64,
    /// `fallbackdrift`.
    pub fallback_drift: Option<FallbackDrift>,
    /// `leapsecmode`; none: what the clock can do best.
    pub leap_second_mode: Option<LeapSecondMode>,
    /// `leapsectz`: a time zone that knows the leap seconds, like `right/UTC`.
    pub leap_second_zone: Option<String>,
    /// `leapseclist`: a leap-seconds.list file.
    pub leap_second_list: Option<PathBuf>,
    /// `maxchange`.
    pub max_change: Option<MaxChange>,
    /// `tempcomp`.
    pub temp_comp: Option<TempComp>,
    /// `smoothtime`.
    pub smooth_time: Option<SmoothTime>,
    /// `broadcast`, in the order of the files.
    pub broadcasts: Vec<Broadcast>,
    /// `serverthreads`, which chrony does not have: threads that answer requests.
    pub server_threads: u32,
    /// `clientloglimit`, bytes.
    pub client_log_limit: u64,
    /// `noclientlog`.
    pub no_client_log: bool,
    /// `ntpsigndsocket`: the folder of Samba's socket.
    pub ntp_signd_socket: Option<PathBuf>,
    /// `ratelimit`; none: no limit.
    pub rate_limit: Option<RateLimit>,
    /// `cmdratelimit`; none: no limit.
    pub command_rate_limit: Option<RateLimit>,
    /// `opencommands`: reports that are given over UDP, words of [`OPEN_COMMANDS`].
    pub open_commands: Vec<&'static str>,
    /// Network Time Security.
    pub nts: Nts,
    /// The real-time clock.
    pub rtc: RealTimeClock,
    /// `logbanner`: lines between two headings of a log file; 0: no headings.
    pub log_banner: u32,
    /// `mailonchange`.
    pub mail_on_change: Option<MailOnChange>,
    /// `lock_all`: the daemon's memory is not paged out.
    pub lock_all: bool,
    /// `sched_priority`: priority of SCHED_FIFO, 1 to 100; 0: the usual scheduler.
    pub sched_priority: u8,
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
            min_stratum: 0,
            max_stratum: 15,
            min_sources: 1,
            stratum_weight: 1e-3,
            reselect_distance: 1e-4,
            combine_limit: 3.0,
            pid_file: Some(layout.place("run/chronyd.pid", "/run/chrony/chronyd.pid")),
            user: None,
            dump_dir: None,
            refclocks: Vec::new(),
            hw_timestamps: Vec::new(),
            hw_timestamp_timeout: 1e-3,
            max_tx_buffers: 0,
            ptp_port: 0,
            ptp_domain: 123,
            acquisition_port: None,
            bind_acquisition_v4: None,
            bind_acquisition_v6: None,
            bind_acquisition_device: None,
            bind_device: None,
            command_bind_device: None,
            dscp: 0,
            min_samples: 6,
            max_samples: 0,
            refresh: REFRESH_DEFAULT,
            manual: false,
            init_step_slew: None,
            auth_select_mode: AuthSelectMode::Mix,
            clock_precision: None,
            correction_time_ratio: 3.0,
            fallback_drift: None,
            leap_second_mode: None,
            leap_second_zone: None,
            leap_second_list: None,
            max_change: None,
            temp_comp: None,
            smooth_time: None,
            broadcasts: Vec::new(),
            server_threads: 1,
            client_log_limit: CLIENT_LOG_LIMIT_DEFAULT,
            no_client_log: false,
            ntp_signd_socket: None,
            rate_limit: None,
            command_rate_limit: None,
            open_commands: OPEN_COMMANDS_DEFAULT.to_vec(),
            nts: Nts::new(if layout.house_dir().is_some() { 14_460 } else { 4_460 }),
            rtc: RealTimeClock {
                file: None,
                device: PathBuf::from("/dev/rtc"),
                auto_trim: 0.0,
                hwclock_file: Some(PathBuf::from("/etc/adjtime")),
                on_utc: false,
            },
            log_banner: LOG_BANNER_DEFAULT,
            mail_on_change: None,
            lock_all: false,
            sched_priority: 0,
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
