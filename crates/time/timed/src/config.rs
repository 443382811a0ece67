//! The settings of a run, as meant: what the daemon's parts need, and nothing of the syntax.

mod look;
mod places;

pub(crate) use places::Places;

use crate::options::{Family, Options};
use crate::records::Kind;
use chrony_conf::{
    AccessRule, AccessSubject, AddressFamily, LocalReference, Settings, Source, SourceKind, SourceOptions,
};
use conf_text::{Diagnostics, FileLoader, Sources};
use ntp_proto::Subnet;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use time_core::{
    Authenticity, DisciplineSettings, FallbackSettings, MakeStep, MaxChange, ScreeningSettings,
    SelectionSettings, SourceSettings,
};

/// No clock is said to be more precise, seconds: NTP's clients take no smaller value.
const PRECISION_BEST: f64 = 1e-9;

/// Everything that a run goes by.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `server`, `pool`, `peer`.
    pub sources: Vec<SourceConfig>,
    /// The settings as they were read: where the source folders are.
    pub settings: Settings,
    /// The same before `-R`: what a reload compares the file with.
    pub as_written: Settings,
    /// Where some of them stand.
    pub places: Places,
    /// What was asked for and is not done, in sentences for the log.
    pub warnings: Vec<String>,
    /// `driftfile`.
    pub drift_file: Option<PathBuf>,
    /// Between two writings of it.
    pub drift_interval: Duration,
    /// `rtcsync`.
    pub rtc_sync: bool,
    /// `allow`, `deny`, in order.
    pub access: Vec<Access>,
    /// `cmdallow`, `cmddeny`, in order.
    pub command_access: Vec<Access>,
    /// `local`.
    pub local: Option<LocalReference>,
    /// `port`; 0 means no server.
    pub port: u16,
    /// `bindaddress`.
    pub bind: Vec<IpAddr>,
    /// `cmdport`; 0 means no commands over UDP.
    pub command_port: u16,
    /// `bindcmdaddress` with an address.
    pub bind_command: Vec<IpAddr>,
    /// `bindcmdaddress` with a path; none means no Unix socket.
    pub command_socket: Option<PathBuf>,
    /// `logdir`.
    pub log_folder: Option<PathBuf>,
    /// `log`.
    pub records: Vec<Kind>,
    /// `logbanner`.
    pub banner_lines: u32,
    /// `logchange`, in seconds.
    pub log_change: f64,
    /// `keyfile`.
    pub key_file: Option<PathBuf>,
    /// `pidfile`.
    pub pid_file: Option<PathBuf>,
    /// `user`, unless `-u` says otherwise.
    pub user: Option<String>,
    /// Of the discipline.
    pub discipline: DisciplineSettings,
    /// Of the selection.
    pub selection: SelectionSettings,
    /// `clockprecision`, log2 seconds.
    pub precision: i8,
    /// What `-p` prints.
    pub effective: String,
}

/// A rule of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Whom it is about.
    pub subnet: Subnet,
    /// They may.
    pub allow: bool,
    /// More specific rules before it are void.
    pub all: bool,
}

/// A `server`, `pool` or `peer` line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SourceConfig {
    /// Name or address, as written.
    pub name: String,
    /// UDP port.
    pub port: u16,
    /// A symmetric association (`peer`).
    pub symmetric: bool,
    /// Of a pool: how many of its servers are asked.
    pub pool: Option<usize>,
    /// Only addresses of this family.
    pub family: Option<Family>,
    /// `key`.
    pub key: Option<u32>,
    /// `nts`, with its options.
    pub nts: Option<NtsOptions>,
    /// `version`; none: what the key suggests, or 4.
    pub version: Option<u8>,
    /// `iburst`.
    pub initial_burst: bool,
    /// `offline`.
    pub offline: bool,
    /// `maxdelay`, in seconds.
    pub delay_max: f64,
    /// `offset`, in seconds.
    pub offset: f64,
    /// `minstratum`.
    pub stratum_min: u8,
    /// From a `sourcedir`, so that `reload sources` may take it away.
    pub from_folder: bool,
    /// How the source is treated.
    pub treatment: SourceSettings,
    /// Which exchanges count.
    pub screening: ScreeningSettings,
    /// Every option as it was written.
    pub options: SourceOptions,
}

/// How keys are established for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NtsOptions {
    /// `ntsport`.
    pub port: u16,
    /// `certset`.
    pub certset: u32,
}

impl Config {
    /// The PTP domain in which a source is asked (`ptpport`); none: NTP as it is.
    pub(crate) fn ptp_domain(&self, source: std::net::SocketAddr) -> Option<u8> {
        let port = self.settings.ptp_port;
        (port != 0 && source.port() == port).then_some(self.settings.ptp_domain)
    }
}

impl SourceConfig {
    /// Why it may be believed.
    pub(crate) fn authenticity(&self) -> Authenticity {
        match self.key.is_some() || self.nts.is_some() {
            true => Authenticity::Authenticated,
            false => Authenticity::Open,
        }
    }
}

/// Reads the configuration that the options name. The error is the whole report, ready to be printed.
pub(crate) fn load(options: &Options, layout: &layout::Layout) -> Result<Config, String> {
    let (mut settings, mut sources, mut diagnostics) = read(options, layout);
    let from_folders =
        chrony_conf::load_source_dirs(&settings, &mut FileLoader, &mut sources, &mut diagnostics);
    if diagnostics.has_errors() {
        return Err(diagnostics.render(&sources, color()));
    }
    // chronyd's -p is about the text alone.
    if options.looks || !options.print_config {
        look::look(&settings, &sources, options.looks, &mut diagnostics);
    }
    // With `-p` too: standard output has the settings, and whoever checks wants to know.
    if !diagnostics.list.is_empty() && !crate::options::is_in_background() {
        eprint!("{}", diagnostics.render(&sources, color()));
    }
    let as_written = settings.clone();
    // chronyd(8), -R: only the limit of a first start is lifted; `makestep` with -1 goes on holding.
    if options.restart && settings.makestep.is_some_and(|rule| rule.limit.is_some()) {
        settings.makestep = None;
    }
    Ok(as_meant(settings, as_written, Places::new(&sources), &from_folders))
}

/// A configuration that was read again without a mistake.
#[derive(Debug)]
pub(crate) struct Anew {
    /// Of chrony.conf and what it includes.
    pub settings: Settings,
    /// What that was read from.
    pub texts: Sources,
    /// The sources of its `sourcedir`s, as written.
    pub folders: Vec<Source>,
    /// Lines of those that are left out, in sentences: a daemon does not refuse for a folder that others write to.
    pub warnings: Vec<String>,
}

/// Reads the same configuration again, source folders too; nothing is changed by it. The error is the whole report.
pub(crate) fn read_again(options: &Options, layout: &layout::Layout) -> Result<Anew, String> {
    let (settings, mut texts, diagnostics) = read(options, layout);
    if diagnostics.has_errors() {
        return Err(diagnostics.render(&texts, false));
    }
    let (folders, warnings) = read_folders(&settings, &mut texts);
    Ok(Anew { settings, texts, folders, warnings })
}

fn read(options: &Options, layout: &layout::Layout) -> (Settings, Sources, Diagnostics) {
    let mut settings = Settings::new(layout);
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    if options.directives.is_empty() {
        let path = options.config_file.clone().unwrap_or_else(|| chrony_conf::conf_path(layout));
        chrony_conf::load(&path, &mut settings, &mut FileLoader, &mut sources, &mut diagnostics);
    } else {
        let id = sources.add("<command line>", options.directives.join("\n"));
        chrony_conf::read(id, &mut settings, &mut FileLoader, &mut sources, &mut diagnostics);
    }
    (settings, sources, diagnostics)
}

/// Reads the source folders again.
pub(crate) fn load_folders(settings: &Settings) -> (Vec<SourceConfig>, Vec<String>) {
    let (found, mut warnings) = read_folders(settings, &mut Sources::new());
    let lines = lines_of_folders(&found, settings, &mut warnings);
    (lines, warnings)
}

fn read_folders(settings: &Settings, texts: &mut Sources) -> (Vec<Source>, Vec<String>) {
    let mut diagnostics = Diagnostics::new();
    let found = chrony_conf::load_source_dirs(settings, &mut FileLoader, texts, &mut diagnostics);
    let warnings = (!diagnostics.list.is_empty()).then(|| diagnostics.render(texts, false));
    (found, warnings.into_iter().collect())
}

/// The lines of source folders as meant under the settings that run.
pub(crate) fn lines_of_folders(
    found: &[Source],
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> Vec<SourceConfig> {
    found.iter().filter_map(|one| source(one, true, general(settings), warnings)).collect()
}

/// Colours only for people who want them (`NO_COLOR`).
fn color() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && std::env::var_os("NO_COLOR").is_none()
}

fn as_meant(settings: Settings, as_written: Settings, places: Places, from_folders: &[Source]) -> Config {
    let mut warnings = Vec::new();
    let mut sources: Vec<SourceConfig> = settings
        .sources
        .iter()
        .filter_map(|one| source(one, false, general(&settings), &mut warnings))
        .collect();
    sources
        .extend(from_folders.iter().filter_map(|one| source(one, true, general(&settings), &mut warnings)));
    let logs = settings.logs;
    let kinds = [
        (logs.measurements || logs.raw_measurements, Kind::Measurements),
        (logs.statistics, Kind::Statistics),
        (logs.tracking, Kind::Tracking),
        (logs.selection, Kind::Selection),
        (logs.refclocks, Kind::RefClocks),
        (logs.rtc, Kind::Rtc),
        (logs.tempcomp, Kind::Temperature),
    ];
    // chrony-conf says all this with its place at the start; the log keeps it.
    warnings.extend(settings.waiting());
    Config {
        sources,
        places,
        warnings,
        drift_file: settings.drift_file.clone(),
        drift_interval: Duration::from_secs(settings.drift_file_interval.max(1).into()),
        rtc_sync: settings.rtcsync,
        access: access(&settings.ntp_access),
        command_access: access(&settings.command_access),
        local: settings.local,
        port: settings.port,
        bind: [settings.bind_v4.map(IpAddr::V4), settings.bind_v6.map(IpAddr::V6)]
            .into_iter()
            .flatten()
            .collect(),
        command_port: settings.command_port,
        bind_command: vec![settings.command_bind_v4.into(), settings.command_bind_v6.into()],
        command_socket: settings.command_socket.clone(),
        log_folder: settings.log_dir.clone(),
        records: kinds.into_iter().filter(|(asked, _)| *asked).map(|(_, kind)| kind).collect(),
        banner_lines: settings.log_banner,
        log_change: settings.log_change,
        key_file: settings.key_file.clone(),
        pid_file: settings.pid_file.clone(),
        user: settings.user.clone(),
        discipline: DisciplineSettings {
            make_step: settings.makestep.map(|one| MakeStep { threshold: one.threshold, limit: one.limit }),
            slew_rate_max: settings.max_slew_rate * 1e-6,
            update_skew_max: settings.max_update_skew * 1e-6,
            drift_max: settings.max_drift * 1e-6,
            clock_error_max: settings.max_clock_error * 1e-6,
            drift: None,
            correction_time_ratio: settings.correction_time_ratio,
            fallback: settings.fallback_drift.and_then(|one| {
                Some(FallbackSettings { min: i8::try_from(one.min).ok()?, max: i8::try_from(one.max).ok()? })
            }),
            max_change: settings.max_change.and_then(|one| {
                Some(MaxChange {
                    offset: one.offset,
                    start: u32::try_from(one.start).ok()?,
                    ignore: u32::try_from(one.ignore).ok(),
                })
            }),
        },
        selection: SelectionSettings {
            distance_max: settings.max_distance,
            jitter_max: settings.max_jitter,
            stratum_min: stratum(settings.min_stratum),
            stratum_max: stratum(settings.max_stratum),
            sources_min: settings.min_sources as usize,
            stratum_weight: settings.stratum_weight,
            reselect_distance: settings.reselect_distance,
            combine_limit: settings.combine_limit,
        },
        precision: precision(&settings),
        as_written,
        effective: settings.render(),
        settings,
    }
}

/// A limit of strata, which have one byte; no source has one above 15.
fn stratum(limit: u32) -> u8 {
    u8::try_from(limit).unwrap_or(u8::MAX)
}

/// A source as meant; none when it must not be used as it was written.
fn source(
    one: &Source,
    from_folder: bool,
    general: (u32, u32),
    warnings: &mut Vec<String>,
) -> Option<SourceConfig> {
    let (name, options) = (&one.name, &one.options);
    if options.nts && one.kind == SourceKind::Peer {
        warnings.push(format!(
            "peer {name} is left out: nts is for servers, and without it the peer could be forged"
        ));
        return None;
    }
    let symmetric = one.kind == SourceKind::Peer;
    for option in one.waiting() {
        warnings.push(format!("source {name}: option {option} has no effect here"));
    }
    Some(SourceConfig {
        name: name.clone(),
        port: options.port,
        symmetric,
        pool: (one.kind == SourceKind::Pool).then_some(usize::from(options.maxsources)),
        family: options.family.map(|family| match family {
            AddressFamily::V4 => Family::V4,
            AddressFamily::V6 => Family::V6,
        }),
        // As for chronyd, NTS is what counts where a line has both.
        key: options.key.filter(|_| !options.nts),
        nts: options.nts.then_some(NtsOptions { port: options.ntsport, certset: options.certset }),
        version: options.version,
        initial_burst: options.iburst && !symmetric,
        offline: options.offline,
        delay_max: options.maxdelay,
        offset: options.offset,
        stratum_min: options.minstratum,
        from_folder,
        treatment: SourceSettings {
            prefer: options.prefer,
            trust: options.trust,
            noselect: options.noselect,
            local: false,
            require: options.require,
            direct: false,
            poll_min: options.minpoll,
            poll_max: options.maxpoll,
            poll_target: options.polltarget,
            samples_min: options.minsamples.unwrap_or(general.0) as usize,
            samples_max: options.maxsamples.unwrap_or(general.1) as usize,
            unreachable_max: Some(options.maxunreach),
            delay_min: Some(options.mindelay).filter(|delay| *delay > 0.0),
            asymmetry: options.asymmetry,
        },
        screening: screening(options),
        options: options.clone(),
    })
}

/// How the selection treats a reference clock.
pub(crate) fn of_refclock(line: &chrony_conf::RefClock, poll: i8, settings: &Settings) -> SourceSettings {
    let general = general(settings);
    SourceSettings {
        prefer: line.prefer,
        trust: line.trust,
        noselect: line.noselect,
        local: line.local,
        require: line.require,
        direct: true,
        poll_min: poll,
        poll_max: poll,
        poll_target: 0,
        samples_min: line.minsamples.unwrap_or(general.0) as usize,
        samples_max: line.maxsamples.unwrap_or(general.1) as usize,
        // A poll of a clock is over when it is counted, a request is not.
        unreachable_max: Some(line.maxunreach.saturating_sub(1)),
        delay_min: None,
        asymmetry: None,
    }
}

/// A source that `chronyc add` brings.
pub(crate) fn added(one: &Source, settings: &Settings) -> Option<SourceConfig> {
    source(one, false, general(settings), &mut Vec::new())
}

/// `minsamples` and `maxsamples` of sources that say nothing. chrony's 6 is what its regression wants; our filter knows itself.
fn general(settings: &Settings) -> (u32, u32) {
    let usual = Settings::new(&layout::Layout::system()).min_samples;
    (if settings.min_samples == usual { 0 } else { settings.min_samples }, settings.max_samples)
}

fn screening(options: &SourceOptions) -> ScreeningSettings {
    let usual = SourceOptions::default();
    let positive = |value: f64| (value > 0.0).then_some(value);
    ScreeningSettings {
        delay_ratio_max: positive(options.maxdelayratio),
        // Without the option the filter weighs a delay instead of refusing it.
        delay_deviation_ratio_max: positive(options.maxdelaydevratio)
            .filter(|ratio| *ratio != usual.maxdelaydevratio),
        delay_quantile: positive(options.maxdelayquant),
        delay_min: positive(options.mindelay),
        asymmetry: options.asymmetry,
        polls: options.filter,
    }
}

/// `clockprecision`, or what reading the kernel's clock takes, log2 seconds.
pub(crate) fn precision(settings: &Settings) -> i8 {
    let seconds = |seconds: f64| seconds.clamp(PRECISION_BEST, 1.0).log2().round() as i8;
    settings.clock_precision.or_else(reading_time).map_or(crate::daemon::SERVER_PRECISION, seconds)
}

/// The least time between two readings of the kernel's clock that differ, in seconds; none when it stands still.
fn reading_time() -> Option<f64> {
    /// Of so many some are not interrupted.
    const READINGS: usize = 100;
    let readings: Vec<i64> = (0..READINGS).map(|_| sys::clock::realtime_ns()).collect();
    let steps = readings.iter().zip(readings.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one));
    steps.filter(|step| *step > 0).min().map(|step| step as f64 * 1e-9)
}

/// The rules, host names looked up.
fn access(rules: &[AccessRule]) -> Vec<Access> {
    let mut list = Vec::new();
    for rule in rules {
        let subnets: Vec<Subnet> = match &rule.subject {
            AccessSubject::Everybody => everybody().to_vec(),
            AccessSubject::Net { address, bits } => Subnet::new(*address, *bits).into_iter().collect(),
            AccessSubject::Host(name) => (name.as_str(), 0)
                .to_socket_addrs()
                .into_iter()
                .flatten()
                .filter_map(|at| Subnet::new(at.ip(), if at.is_ipv4() { 32 } else { 128 }))
                .collect(),
        };
        list.extend(subnets.into_iter().map(|subnet| Access { subnet, allow: rule.allow, all: rule.all }));
    }
    list
}

/// All addresses of both families.
pub(crate) fn everybody() -> [Subnet; 2] {
    let all = |address: IpAddr| Subnet::new(address, 0).expect("every address has at least 0 bits");
    [all(std::net::Ipv4Addr::UNSPECIFIED.into()), all(std::net::Ipv6Addr::UNSPECIFIED.into())]
}
