//! `server`, `pool` and `peer`, and their options.

use conf_text::{Diagnostics, Sources};

use crate::known::{OPTIONS_NOT_ACTED_ON, OPTIONS_REFUSED};
use crate::words::{Words, split};

/// What a source is asked as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// One server.
    Server,
    /// Up to `maxsources` servers of one name.
    Pool,
    /// A symmetric association.
    Peer,
}

/// One time source as configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Server, pool or peer.
    pub kind: SourceKind,
    /// Host name or address.
    pub name: String,
    /// Its options.
    pub options: SourceOptions,
}

/// Which addresses of a name are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressFamily {
    /// `ipv4`.
    V4,
    /// `ipv6`.
    V6,
}

/// The options of a source; defaults as in chrony.conf(5).
#[derive(Debug, Clone, PartialEq)]
pub struct SourceOptions {
    /// UDP port.
    pub port: u16,
    /// log2 seconds.
    pub minpoll: i8,
    /// log2 seconds.
    pub maxpoll: i8,
    /// Quick measurements at the start.
    pub iburst: bool,
    /// Quick measurements while the source is not selectable for want of samples.
    pub burst: bool,
    /// Preferred over sources without it.
    pub prefer: bool,
    /// Measured, never selected.
    pub noselect: bool,
    /// Assumed to be right.
    pub trust: bool,
    /// The clock is updated only with at least one of these selectable.
    pub require: bool,
    /// Not asked until `chronyc online`.
    pub offline: bool,
    /// Offline by itself when sending fails.
    pub auto_offline: bool,
    /// Key of the key file; none: not authenticated.
    pub key: Option<u32>,
    /// NTP version; none: 4, or what the key needs.
    pub version: Option<u8>,
    /// Which addresses of the name are used; none: both families.
    pub family: Option<AddressFamily>,
    /// Interleaved mode.
    pub xleave: bool,
    /// How many servers of a pool.
    pub maxsources: u8,
    /// Wanted number of samples for the poll control.
    pub polltarget: u32,
    /// Samples kept at least; none: the general setting.
    pub minsamples: Option<u32>,
    /// Samples kept at most; none: the general setting.
    pub maxsamples: Option<u32>,
    /// From this poll on (log2 seconds) a packet is sent ahead to wake network and server.
    pub presend: i8,
    /// Longer round trips are ignored, seconds.
    pub maxdelay: f64,
    /// A multiple of the shortest round trip; 0: off.
    pub maxdelayratio: f64,
    /// Deviations above the shortest round trip.
    pub maxdelaydevratio: f64,
    /// Quantile of the round trip; 0: off.
    pub maxdelayquant: f64,
    /// Known shortest round trip, seconds; 0: learned.
    pub mindelay: f64,
    /// Known asymmetry of the jitter, -0.5 to 0.5; none: estimated.
    pub asymmetry: Option<f64>,
    /// Correction of measured offsets, seconds.
    pub offset: f64,
    /// Smaller strata count as this one.
    pub minstratum: u8,
    /// Samples that a median filter combines; 0: no filter.
    pub filter: u32,
    /// Polls for which a source may stay selected though it is unreachable.
    pub maxunreach: u32,
    /// Stratum and reference id of the source are taken over.
    pub copy: bool,
    /// Extension fields in use, by type.
    pub extfields: Vec<u16>,
    /// Network Time Security.
    pub nts: bool,
    /// TCP port of NTS-KE.
    pub ntsport: u16,
    /// Number of the set of trusted certificates.
    pub certset: u32,
}

impl SourceOptions {
    /// The Network Correction field is asked for, by the number that it has or by the one that it had in chrony 4.5 to 4.8.
    pub fn wants_corrections(&self) -> bool {
        self.extfields.iter().any(|field| matches!(field, 0x010a | 0xf324))
    }
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            port: 123,
            minpoll: 6,
            maxpoll: 10,
            iburst: false,
            burst: false,
            prefer: false,
            noselect: false,
            trust: false,
            require: false,
            offline: false,
            auto_offline: false,
            key: None,
            version: None,
            family: None,
            xleave: false,
            maxsources: 4,
            polltarget: 8,
            minsamples: None,
            maxsamples: None,
            presend: 100,
            maxdelay: 3.0,
            maxdelayratio: 0.0,
            maxdelaydevratio: 10.0,
            maxdelayquant: 0.0,
            mindelay: 0.0,
            asymmetry: None,
            offset: 0.0,
            minstratum: 0,
            filter: 0,
            maxunreach: 100_000,
            copy: false,
            extfields: Vec::new(),
            nts: false,
            ntsport: 4460,
            certset: 0,
        }
    }
}

/// One option of a source.
pub struct SourceOption {
    /// Its word.
    pub name: &'static str,
    /// The word and its value.
    pub syntax: &'static str,
    /// What it means.
    pub doc: &'static str,
    parse: fn(&mut Words<'_, '_>, &mut SourceOptions) -> Option<()>,
    /// The value as written, when it is not the default; an empty one for options without value.
    show: fn(&SourceOptions, &SourceOptions) -> Option<String>,
}

impl SourceOption {
    /// It was set to something else than its default.
    pub(crate) fn is_set(&self, options: &SourceOptions, usual: &SourceOptions) -> bool {
        (self.show)(options, usual).is_some()
    }

    /// The daemon acts on it.
    #[cfg(test)]
    pub(crate) fn acts(&self) -> bool {
        !OPTIONS_NOT_ACTED_ON.contains(&self.name)
            && OPTIONS_REFUSED.iter().all(|(name, _)| *name != self.name)
    }
}

/// log2 seconds that chrony takes for a poll.
const POLL_MIN: i64 = -7;
const POLL_MAX: i64 = 24;
/// Servers of one pool, as for chrony; a larger number counts as this one.
const POOL_SOURCES_MAX: i64 = 16;

macro_rules! flag {
    ($field:ident, $doc:literal) => {
        flag!(stringify!($field), $field, $doc)
    };
    ($name:expr, $field:ident, $doc:literal) => {
        SourceOption {
            name: $name,
            syntax: $name,
            doc: $doc,
            parse: |_, o| {
                o.$field = true;
                Some(())
            },
            show: |o, _| o.$field.then(String::new),
        }
    };
}

macro_rules! value {
    ($field:ident, $value:literal, $doc:literal, |$w:ident| $parse:expr) => {
        value!($field, $value, $doc, |$w| $parse, |v| v.to_string())
    };
    ($field:ident, $value:literal, $doc:literal, |$w:ident| $parse:expr, |$v:ident| $show:expr) => {
        SourceOption {
            name: stringify!($field),
            syntax: concat!(stringify!($field), " ", $value),
            doc: $doc,
            parse: |$w, o| {
                o.$field = $parse?;
                Some(())
            },
            show: |o, default| {
                let $v = &o.$field;
                (o.$field != default.$field).then(|| $show)
            },
        }
    };
}

/// As [`value!`] for a field that may be unset.
macro_rules! optional {
    ($field:ident, $value:literal, $doc:literal, |$w:ident| $parse:expr) => {
        SourceOption {
            name: stringify!($field),
            syntax: concat!(stringify!($field), " ", $value),
            doc: $doc,
            parse: |$w, o| {
                o.$field = Some($parse?);
                Some(())
            },
            show: |o, _| o.$field.map(|value| value.to_string()),
        }
    };
}

/// Every option that chrony 4.8 knows.
pub const OPTIONS: &[SourceOption] = &[
    value!(port, "PORT", "UDP port", |w| w.integer("a UDP port", 1, 65_535).map(|v| v as u16)),
    value!(minpoll, "LOG2", "shortest interval, log2 seconds", |w| poll(w)),
    value!(maxpoll, "LOG2", "longest interval, log2 seconds", |w| poll(w)),
    flag!(iburst, "quick measurements at the start"),
    flag!(burst, "quick measurements while samples are wanting"),
    flag!(prefer, "preferred over others"),
    flag!(noselect, "never selected"),
    flag!(trust, "assumed to be right"),
    flag!(require, "needed for updates of the clock"),
    flag!(offline, "not asked until chronyc says online"),
    flag!(auto_offline, "offline by itself when sending fails"),
    optional!(key, "ID", "key of the key file", |w| w
        .integer("a key id", 1, i64::from(u32::MAX))
        .map(|v| v as u32)),
    optional!(version, "VERSION", "NTP version", |w| w.integer("an NTP version", 1, 4).map(|v| v as u8)),
    family("ipv4", AddressFamily::V4),
    family("ipv6", AddressFamily::V6),
    flag!(xleave, "interleaved mode"),
    value!(maxsources, "COUNT", "servers of a pool", |w| w
        .integer("a number of servers", 1, i64::from(i32::MAX))
        .map(|v| {
            if v > POOL_SOURCES_MAX {
                w.warn(format!("maxsources {v} counts as {POOL_SOURCES_MAX}"), "a pool has no more servers");
            }
            v.min(POOL_SOURCES_MAX) as u8
        })),
    value!(polltarget, "COUNT", "wanted number of samples", |w| count(w, 1)),
    optional!(minsamples, "COUNT", "samples kept at least", |w| count(w, 0)),
    optional!(maxsamples, "COUNT", "samples kept at most", |w| count(w, 0)),
    value!(presend, "LOG2", "a packet ahead from this poll on", |w| w
        .integer("log2 seconds", -32, 32)
        .map(|v| v as i8)),
    value!(maxdelay, "SECONDS", "longest round trip", |w| w.magnitude("seconds")),
    value!(maxdelayratio, "RATIO", "longest round trip over the shortest", |w| w.magnitude("a ratio")),
    value!(maxdelaydevratio, "RATIO", "longest round trip in deviations", |w| w.magnitude("a ratio")),
    value!(maxdelayquant, "P", "quantile of the round trip", |w| w.magnitude("a probability")),
    value!(mindelay, "SECONDS", "known shortest round trip", |w| w.magnitude("seconds")),
    optional!(asymmetry, "RATIO", "known asymmetry of the jitter", |w| w.number("a ratio")),
    value!(offset, "SECONDS", "correction of offsets", |w| w.number("seconds")),
    value!(minstratum, "STRATUM", "smaller strata count as this one", |w| w
        .integer("a stratum", 0, 16)
        .map(|v| v as u8)),
    value!(filter, "SAMPLES", "median filter", |w| count(w, 0)),
    value!(maxunreach, "POLLS", "polls for which an unreachable source may stay selected", |w| count(w, 0)),
    flag!(copy, "stratum and reference id are taken over"),
    SourceOption {
        name: "extfield",
        syntax: "extfield TYPE",
        doc: "an extension field, by its hexadecimal type",
        parse: |w, o| {
            let word = w.required("a hexadecimal type")?;
            match u16::from_str_radix(word.text.trim_start_matches("0x"), 16) {
                Ok(field @ (0x010a | 0xf323 | 0xf324)) => o.extfields.push(field),
                _ => {
                    w.wrong(word, "10A, F323 or F324");
                    return None;
                }
            }
            Some(())
        },
        show: |o, _| {
            let words: Vec<String> = o.extfields.iter().map(|field| format!("{field:X}")).collect();
            (!words.is_empty()).then(|| words.join(" extfield "))
        },
    },
    flag!(nts, "Network Time Security"),
    value!(ntsport, "PORT", "TCP port of NTS-KE", |w| w.integer("a TCP port", 1, 65_535).map(|v| v as u16)),
    value!(certset, "ID", "set of trusted certificates", |w| w
        .integer("the number of a set", 0, i64::from(u32::MAX))
        .map(|v| v as u32)),
];

const fn family(name: &'static str, family: AddressFamily) -> SourceOption {
    match family {
        AddressFamily::V4 => SourceOption {
            name,
            syntax: name,
            doc: "only IPv4 addresses",
            parse: |_, o| {
                o.family = Some(AddressFamily::V4);
                Some(())
            },
            show: |o, _| (o.family == Some(AddressFamily::V4)).then(String::new),
        },
        AddressFamily::V6 => SourceOption {
            name,
            syntax: name,
            doc: "only IPv6 addresses",
            parse: |_, o| {
                o.family = Some(AddressFamily::V6);
                Some(())
            },
            show: |o, _| (o.family == Some(AddressFamily::V6)).then(String::new),
        },
    }
}

/// An option with a value that makes sense in it, to paste.
pub(crate) fn example(syntax: &str) -> String {
    /// Those for which the value of their kind makes no sense.
    const OWN: &[(&str, &str)] = &[("ntsport", "4460"), ("maxsources", "16")];
    const VALUES: &[(&str, &str)] = &[
        ("PORT", "123"),
        ("LOG2", "6"),
        ("ID", "1"),
        ("VERSION", "4"),
        ("COUNT", "8"),
        ("SECONDS", "0.5"),
        ("RATIO", "0.5"),
        ("P", "0.1"),
        ("STRATUM", "1"),
        ("SAMPLES", "5"),
        ("POLLS", "100"),
        ("TYPE", "F323"),
    ];
    match syntax.split_once(' ') {
        Some((name, place)) => {
            let own = OWN.iter().find(|(known, _)| *known == name);
            let value = own.or_else(|| VALUES.iter().find(|(known, _)| *known == place));
            let value = value.map_or(place, |(_, value)| value);
            format!("{name} {value}")
        }
        None => syntax.to_owned(),
    }
}

/// chrony reads -32 to 32 and takes the nearest poll that it can do.
fn poll(w: &mut Words<'_, '_>) -> Option<i8> {
    w.integer("log2 seconds", -32, 32).map(|value| value.clamp(POLL_MIN, POLL_MAX) as i8)
}

fn count(w: &mut Words<'_, '_>, min: i64) -> Option<u32> {
    w.integer("a number", min, i64::from(i32::MAX)).map(|value| value as u32)
}

impl Source {
    /// The words after `server`, `pool` or `peer`.
    pub(crate) fn arguments(&self) -> String {
        let default = SourceOptions::default();
        let mut out = self.name.clone();
        for option in OPTIONS {
            if let Some(value) = (option.show)(&self.options, &default) {
                out.push_str(format!(" {} {value}", option.name).trim_end());
            }
        }
        out
    }
}

/// What a symmetric association does not do (`chrony.conf(5)`, peer). `nts` is not among them: a peer with it is refused.
const NOT_FOR_PEERS: [&str; 4] = ["iburst", "burst", "presend", "copy"];

/// Reads `NAME [OPTION]...`. Every wrong option is reported, not only the first.
///
/// `ours`: our daemon will act on it, so what it does not do is said.
pub(crate) fn parse(words: &mut Words<'_, '_>, kind: SourceKind, ours: bool) -> Option<Source> {
    let name = words.required("a host name or address")?;
    let mut options = SourceOptions::default();
    let mut whole = true;
    while let Some(word) = words.next() {
        let Some(option) = OPTIONS.iter().find(|option| option.name.eq_ignore_ascii_case(word.text)) else {
            whole = false;
            let names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
            words.no_choice(word, "option", &names);
            words.skip_number();
            continue;
        };
        words.syntax = option.syntax;
        words.example = match ours {
            true => example(option.syntax),
            false => format!("add {} {} {}", words.directive.text, name.text, example(option.syntax)),
        };
        if (option.parse)(words, &mut options).is_none() {
            whole = false;
            continue;
        }
        if !ours {
            continue;
        }
        if OPTIONS_NOT_ACTED_ON.contains(&option.name) {
            words.diagnostics.warning(
                word.span,
                format!("option '{}' is known and has no effect yet", option.name),
                "measured without it",
                format!("remove '{}', or leave it for the day it works", option.syntax),
            );
        }
        if let Some((_, cause)) = OPTIONS_REFUSED.iter().find(|(name, _)| *name == option.name) {
            whole = false;
            words.diagnostics.push(
                conf_text::Diagnostic::error(format!("option '{}' is not supported", option.name))
                    .at(word.span, "")
                    .note(*cause)
                    .help(format!("remove '{}' if you trust the network to this source", option.name)),
            );
        }
    }
    if ours
        && let quoted = name.text.trim_matches(['"', '\''])
        && quoted.len() < name.text.len()
    {
        words.diagnostics.warning(
            name.span,
            format!("the quotes of {} belong to the name", name.text),
            "no host has such a name",
            format!("{} {quoted}", words.directive.text),
        );
    }
    if ours && options.nts && options.key.is_some() {
        words.diagnostics.warning(
            words.directive.span.to(name.span),
            "a source with nts uses no key of the key file",
            "nts alone counts",
            format!("{} {} nts", words.directive.text, name.text),
        );
    }
    if options.minpoll > options.maxpoll {
        words.diagnostics.warning(
            words.directive.span.to(name.span),
            format!("minpoll {} is above maxpoll {}", options.minpoll, options.maxpoll),
            "maxpoll is raised to it",
            format!("maxpoll {}", options.minpoll),
        );
        options.maxpoll = options.minpoll;
    }
    if ours && kind == SourceKind::Peer {
        for option in OPTIONS.iter().filter(|option| NOT_FOR_PEERS.contains(&option.name)) {
            if option.is_set(&options, &SourceOptions::default()) {
                words.diagnostics.warning(
                    words.directive.span.to(name.span),
                    format!("option '{}' does not work with a peer", option.name),
                    "measured without it",
                    format!("server {} {}", name.text, option.name),
                );
            }
        }
        if options.key.is_none() {
            words.diagnostics.warning(
                words.directive.span.to(name.span),
                "a peer without a key can be disturbed by anybody who sends under its address",
                "no key",
                format!("peer {} key 1", name.text),
            );
        }
    }
    whole.then(|| Source { kind, name: name.text.to_owned(), options })
}

/// Reads `server|pool|peer NAME [OPTION]...` outside of a file, as `chronyc add` has it behind its first word. Options without
/// effect here are no mistake: another daemon may act on them.
///
/// # Errors
///
/// All mistakes, rendered with carets under the whole command, and with whole commands to type.
pub fn parse_source_words(line: &str) -> Result<Source, String> {
    const COMMAND: &str = "add ";
    let mut sources = Sources::new();
    let id = sources.add("<command>", format!("{COMMAND}{line}"));
    let mut diagnostics = Diagnostics::new();
    let span = conf_text::Span { source: id, start: COMMAND.len(), end: COMMAND.len() + line.len() };
    let kinds = [("server", SourceKind::Server), ("pool", SourceKind::Pool), ("peer", SourceKind::Peer)];
    let source = Words::new(split(line, span), &mut diagnostics).and_then(|mut words| {
        let kind = kinds.iter().find(|(name, _)| name.eq_ignore_ascii_case(words.directive.text));
        match kind {
            Some((_, kind)) => {
                words.syntax = "add server|pool|peer NAME [OPTION]...";
                words.example = format!("{COMMAND}{} ntp.example.net iburst", words.directive.text);
                parse(&mut words, *kind, false)
            }
            None => {
                let word = words.directive;
                words.no_choice(word, "kind of source", &["server", "pool", "peer"]);
                None
            }
        }
    });
    source.ok_or_else(|| diagnostics.render(&sources, false))
}
