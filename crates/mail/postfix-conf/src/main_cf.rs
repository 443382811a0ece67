//! `main.cf`: from text to [`Settings`].

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use conf_text::{Diagnostic, Diagnostics, Loader, SourceId, Sources, Span, nearest};
use mail_core::retry::Schedule;
use mail_core::route::Router;

use crate::accepted;
use crate::expand::{ExpandError, expand, names};
use crate::master_cf;
use crate::parameters::{PARAMETERS, permits_mynetworks};
use crate::settings::{BareNewline, Cidr, ListenAddress};

/// Names of every parameter that postfix 3.7 has, one a line (from `postconf -d`).
static KNOWN: &str = include_str!("known.txt");

/// What the defaults need to know of the host.
#[derive(Debug, Clone)]
pub struct Host {
    /// The host's name (`gethostname(2)`), with or without a domain.
    pub name: String,
    /// Where files stand.
    pub layout: layout::Layout,
}

/// The settings as meant.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// `myhostname`.
    pub myhostname: String,
    /// `mydomain`.
    pub mydomain: String,
    /// `mydestination`, `myorigin`, `relayhost`, `relay_domains`, `recipient_delimiter`.
    pub router: Router,
    /// `mynetworks`.
    pub mynetworks: Vec<Cidr>,
    /// `inet_interfaces`, as written.
    pub inet_interfaces: Vec<String>,
    /// `inet_protocols` has IPv4.
    pub ipv4: bool,
    /// `inet_protocols` has IPv6.
    pub ipv6: bool,
    /// Where SMTP listens.
    pub smtp_listen: Vec<ListenAddress>,
    /// The files of `alias_maps`.
    pub alias_maps: Vec<PathBuf>,
    /// The files of `alias_database`.
    pub alias_database: Vec<PathBuf>,
    /// `home_mailbox`: relative to the home directory.
    pub home_mailbox: Option<String>,
    /// `mailbox_command`.
    pub mailbox_command: Option<String>,
    /// `mail_spool_directory`.
    pub mail_spool_directory: PathBuf,
    /// True if `mail_spool_directory` ends with a slash: Maildirs.
    pub mail_spool_maildir: bool,
    /// `mailbox_size_limit`, octets; 0 is no limit.
    pub mailbox_size_limit: u64,
    /// `message_size_limit`, octets.
    pub message_size_limit: u64,
    /// `forward_path`: for [`crate::expand_local`].
    pub forward_path: Vec<String>,
    /// `local_recipient_maps` is not empty.
    pub reject_unknown_users: bool,
    /// `queue_run_delay`, seconds.
    pub queue_run_delay: i64,
    /// The backoff and lifetime parameters.
    pub schedule: Schedule,
    /// `hopcount_limit`.
    pub hopcount_limit: usize,
    /// `smtpd_recipient_limit`.
    pub recipient_limit: usize,
    /// `smtpd_client_connection_count_limit`.
    pub client_connections: usize,
    /// `default_process_limit`.
    pub connections: usize,
    /// `smtpd_timeout`, seconds.
    pub session_timeout: i64,
    /// `smtpd_hard_error_limit`.
    pub error_limit: u32,
    /// `smtp_connect_timeout`, seconds.
    pub connect_timeout: i64,
    /// `smtpd_banner`.
    pub banner: String,
    /// `smtpd_helo_required`.
    pub helo_required: bool,
    /// `disable_vrfy_command`.
    pub disable_vrfy: bool,
    /// `mail_name`.
    pub mail_name: String,
    /// `syslog_name`.
    pub syslog_name: String,
    /// `smtpd_forbid_bare_newline`.
    pub bare_newline: BareNewline,
    /// `smtpd_forbid_bare_newline_exclusions`.
    pub bare_newline_exclusions: Vec<Cidr>,
    /// `queue_directory`.
    pub queue_directory: PathBuf,
    /// `mail_owner`.
    pub mail_owner: String,
    /// `default_privs`.
    pub default_privs: String,
    /// `smtpd_relay_restrictions` has `defer_unauth_destination`: foreign destinations are put off, not refused.
    pub defer_unauthorized: bool,
    /// The restrictions that decide about foreign destinations have `permit_mynetworks`: clients of `mynetworks` may send to
    /// anywhere.
    pub permit_mynetworks: bool,
    /// `enable_long_queue_ids`.
    pub long_queue_ids: bool,
}

impl Settings {
    /// The directory of the queue.
    pub fn queue_dir(&self) -> PathBuf {
        self.queue_directory.join("mail")
    }

    /// The directory in which `sendmail` leaves messages while no daemon listens.
    pub fn maildrop_dir(&self) -> PathBuf {
        self.queue_directory.join("maildrop")
    }
}

/// What [`load`] gives.
#[derive(Debug)]
pub struct Loaded {
    /// None if there was an error.
    pub settings: Option<Settings>,
    /// The texts, for rendering the diagnostics.
    pub sources: Sources,
    /// What is wrong.
    pub diagnostics: Diagnostics,
}

/// Loads `main.cf` and, where there is one, `master.cf`. A missing `main.cf` means the defaults, as for a fresh host.
pub fn load(host: &Host, loader: &mut dyn Loader) -> Loaded {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let mut find = |path: PathBuf| match loader.read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let help = format!("look who may read it: ls -l {}", path.display());
            diagnostics
                .push(Diagnostic::error(format!("cannot read {}: {error}", path.display())).help(help));
            None
        }
        Ok(text) => Some(sources.add(path, text)),
    };
    let main = find(crate::conf_path(&host.layout));
    let master = find(crate::master_path(&host.layout));
    let settings = read(main, master, &sources, host, &mut diagnostics);
    Loaded { settings: settings.filter(|_| !diagnostics.has_errors()), sources, diagnostics }
}

/// Reads the texts. None if there was an error, which stands in `diagnostics`.
pub fn read(
    main: Option<SourceId>,
    master: Option<SourceId>,
    sources: &Sources,
    host: &Host,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    let before = diagnostics.error_count();
    let written = main.map(|id| as_written(id, sources, diagnostics)).unwrap_or_default();
    complain_about_unknown(&written, diagnostics);
    let given = given_by(host);
    let lookup = |name: &str| {
        written
            .get(name)
            .map(|w| w.value.clone())
            .or_else(|| PARAMETERS.iter().find(|p| p.name == name).map(|p| p.default.to_owned()))
            .or_else(|| given.get(name).cloned())
    };
    let mut settings = Settings::default();
    for parameter in PARAMETERS {
        let here = written.get(parameter.name);
        let raw = here.map_or(parameter.default, |w| w.value.as_str());
        // forward_path and mailbox_command are expanded at delivery, where the user is known.
        let deferred = ["forward_path", "mailbox_command"].contains(&parameter.name) && here.is_some();
        let mut missing = Vec::new();
        let expanded = if deferred {
            Ok(raw.to_owned())
        } else {
            expand(raw, &lookup, &mut |name| missing.push(name.to_owned()))
        };
        let span = here.map(|w| w.span);
        for name in missing {
            undefined(&name, parameter.name, span, diagnostics);
        }
        let result = match expanded {
            Ok(value) => {
                if let Some(here) = here {
                    tell_remarks(parameter.name, &value, here, diagnostics);
                }
                (parameter.set)(&mut settings, &value)
            }
            Err(ExpandError::Circle(name)) => {
                Err((format!("${name} is part of its own value"), format!("write a value without ${name}")))
            }
            Err(ExpandError::Syntax) => Err((
                "a $ is followed by no parameter".to_owned(),
                "write $$ for the character itself".to_owned(),
            )),
            Err(ExpandError::TooLong) => Err(("the value is too long".to_owned(), "shorten it".to_owned())),
        };
        if let Err((message, help)) = result {
            let mut report = Diagnostic::error(message).help(help);
            if let Some(span) = span {
                report = report.at(span, format!("value of {}", parameter.name));
            } else {
                report = report
                    .note(format!("in the default of {}, which is {}", parameter.name, parameter.default));
            }
            diagnostics.push(report);
        }
    }
    // smtpd_relay_restrictions(5): where it is empty, the list of recipients decides alone.
    let list = |name: &str| written.get(name).map(|w| w.value.as_str()).unwrap_or_default();
    if written.contains_key("smtpd_relay_restrictions")
        && list("smtpd_relay_restrictions").is_empty()
        && !list("smtpd_recipient_restrictions").is_empty()
    {
        settings.permit_mynetworks = permits_mynetworks(list("smtpd_recipient_restrictions"));
    }
    finish(&mut settings, master, sources, host, diagnostics);
    (diagnostics.error_count() == before).then_some(settings)
}

/// A parameter as written.
struct Written {
    value: String,
    span: Span,
    name_span: Span,
}

/// Logical lines: one that begins with white space continues the one before; comments and empty lines count for nothing.
fn as_written(id: SourceId, sources: &Sources, diagnostics: &mut Diagnostics) -> HashMap<String, Written> {
    let mut found: HashMap<String, Written> = HashMap::new();
    let mut current: Option<String> = None;
    for (span, line) in sources.lines(id) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            match current.as_ref().and_then(|name| found.get_mut(name)) {
                Some(written) => {
                    written.value.push(' ');
                    written.value.push_str(trimmed);
                    written.span = written.span.to(span);
                }
                None => diagnostics.error(
                    span,
                    "a line that continues nothing",
                    "begins with white space",
                    "write: name = value",
                ),
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            current = None;
            diagnostics.error(span, "no = follows the parameter's name", "", "write: name = value");
            continue;
        };
        let name_span = span.part(0, name.trim_end().len());
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)) {
            current = None;
            diagnostics.error(
                name_span,
                format!("\"{name}\" is no name of a parameter"),
                "",
                "write: name = value",
            );
            continue;
        }
        let start = line.len() - value.trim_start().len();
        let written = Written {
            value: value.trim().to_owned(),
            span: span.part(start, line.trim_end().len()),
            name_span,
        };
        if let Some(earlier) = found.insert(name.to_owned(), written) {
            diagnostics.warning(
                earlier.name_span,
                format!("{name} is given again below"),
                "this value is not used",
                "remove this line",
            );
        }
        current = Some(name.to_owned());
    }
    found
}

fn complain_about_unknown(written: &HashMap<String, Written>, diagnostics: &mut Diagnostics) {
    let used: HashSet<&str> = written.values().flat_map(|w| names(&w.value)).collect();
    let mut unknown: Vec<_> =
        written.iter().filter(|(name, _)| !PARAMETERS.iter().any(|p| p.name == name.as_str())).collect();
    unknown.sort_by_key(|(_, w)| w.name_span.start);
    for (name, at) in unknown {
        if KNOWN.lines().any(|known| known == name) {
            diagnostics.warning(
                at.name_span,
                format!("{name} is not supported yet"),
                "this line has no effect",
                format!("remove the line, or put a # before it: #{name} = {}", at.value),
            );
        } else if !used.contains(name.as_str()) {
            let candidates = PARAMETERS.iter().map(|p| p.name).chain(KNOWN.lines());
            match nearest(name, candidates) {
                Some(meant) => diagnostics.error(
                    at.name_span,
                    format!("unknown parameter {name}"),
                    format!("did you mean {meant}?"),
                    format!("{meant} = {}", at.value),
                ),
                None => diagnostics.warning(
                    at.name_span,
                    format!("unknown parameter {name}, which no other uses"),
                    "this line has no effect",
                    "remove the line",
                ),
            }
        }
    }
}

/// Says what a value does not do.
fn tell_remarks(name: &str, value: &str, at: &Written, diagnostics: &mut Diagnostics) {
    for (instead, help) in accepted::remarks(name, value) {
        diagnostics.push(
            Diagnostic::warning(format!("{name} does not do all that it says here: {instead}"))
                .at(at.name_span, "known, and without its full effect")
                .help(help),
        );
    }
}

fn undefined(name: &str, within: &str, span: Option<Span>, diagnostics: &mut Diagnostics) {
    let candidates = PARAMETERS.iter().map(|p| p.name);
    let (level, help) = match nearest(name, candidates) {
        Some(meant) => (Diagnostic::error as fn(String) -> Diagnostic, format!("did you mean ${meant}?")),
        None => (Diagnostic::warning as fn(String) -> Diagnostic, format!("add a line: {name} = ...")),
    };
    let mut report = level(format!("${name} is not defined")).help(help);
    if let Some(span) = span {
        report = report.at(span, format!("in the value of {within}"));
    }
    diagnostics.push(report);
}

/// What the host gives to the defaults.
fn given_by(host: &Host) -> HashMap<&'static str, String> {
    let full = if host.name.contains('.') { host.name.clone() } else { format!("{}.localdomain", host.name) };
    let full = if host.name.is_empty() { "localhost.localdomain".to_owned() } else { full };
    let domain = full.split_once('.').map_or("localdomain", |(_, d)| d).to_owned();
    let place = |a: &str, b: &str| host.layout.place(a, b).to_string_lossy().into_owned();
    HashMap::from([
        ("banto_host_name", full),
        ("banto_host_domain", domain),
        ("banto_default_aliases", format!("hash:{}", place("etc/aliases", "/etc/aliases"))),
        ("banto_default_mail", place("mail", "/var/mail")),
        ("banto_default_spool", place("spool", "/var/spool/banto")),
    ])
}

/// What needs more than one parameter.
fn finish(
    settings: &mut Settings,
    master: Option<SourceId>,
    sources: &Sources,
    host: &Host,
    diagnostics: &mut Diagnostics,
) {
    // The packages of postfix write this value; its directory has another format than ours.
    if settings.queue_directory == std::path::Path::new("/var/spool/postfix") {
        settings.queue_directory = host.layout.place("spool", "/var/spool/banto");
    }
    let services = master.map(|id| master_cf::smtp_services(id, sources, diagnostics));
    let literals = ["127.0.0.1", "::1"].map(str::to_owned).into_iter();
    let addresses =
        settings.inet_interfaces.iter().filter(|i| i.parse::<std::net::IpAddr>().is_ok()).cloned();
    settings.router.local_literals = literals.chain(addresses).collect();
    if !settings.smtp_listen.is_empty() {
        return;
    }
    match services {
        Some(services) => {
            for service in services {
                match service.host {
                    Some(host) => settings.smtp_listen.push(ListenAddress { host, port: service.port }),
                    None => settings.smtp_listen.extend(on_interfaces(settings, service.port)),
                }
            }
        }
        None if host.layout.house_dir().is_some() => {
            settings.smtp_listen.push(ListenAddress { host: "127.0.0.1".to_owned(), port: HOUSE_PORT });
        }
        None => settings.smtp_listen = on_interfaces(settings, 25),
    }
}

/// The port in a house: no privilege is needed for it.
const HOUSE_PORT: u16 = 2525;

fn on_interfaces(settings: &Settings, port: u16) -> Vec<ListenAddress> {
    let mut hosts = Vec::new();
    for interface in &settings.inet_interfaces {
        let (v4, v6) = match interface.as_str() {
            "all" => ("0.0.0.0", "::"),
            "loopback-only" | "localhost" => ("127.0.0.1", "::1"),
            other => {
                hosts.push(other.to_owned());
                continue;
            }
        };
        hosts.extend(settings.ipv4.then(|| v4.to_owned()));
        hosts.extend(settings.ipv6.then(|| v6.to_owned()));
    }
    hosts.into_iter().map(|host| ListenAddress { host, port }).collect()
}
