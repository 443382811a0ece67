//! The table of directives: each with its name, syntax, default, meaning, how it is read and how it is shown.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::settings::{AccessRule, AccessSubject, LocalReference, Logs, Makestep, Settings};
use crate::source::{self, SourceKind};
use crate::words::{Word, Words};

/// One directive.
pub struct Directive {
    /// Its word; written in any case.
    pub name: &'static str,
    /// The whole line.
    pub syntax: &'static str,
    /// A line that makes sense, to paste.
    pub example: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it is for.
    pub doc: &'static str,
    pub(crate) does: Does,
}

/// What a directive does.
pub(crate) enum Does {
    /// It sets something.
    Set { parse: fn(&mut Words<'_, '_>, &mut Settings) -> Option<()>, show: fn(&Settings) -> Vec<String> },
    /// It reads the files of a pattern.
    Include,
    /// It reads the `*.conf` files of folders.
    ConfDir,
}

impl Directive {
    /// The words after the name, once for each line that the settings need.
    pub(crate) fn arguments(&self, settings: &Settings) -> Vec<String> {
        match self.does {
            Does::Set { show, .. } => show(settings),
            Does::Include | Does::ConfDir => Vec::new(),
        }
    }
}

macro_rules! directive {
    ($name:literal $arguments:literal like $($example:literal)*, $default:literal, $doc:literal, $parse:expr, $show:expr) => {
        Directive {
            name: $name,
            syntax: concat!($name, $arguments),
            example: concat!($name, $($example),*),
            default: $default,
            doc: $doc,
            does: Does::Set { parse: $parse, show: $show },
        }
    };
}

/// A number that is not negative, in a field.
macro_rules! magnitude {
    ($name:literal $what:literal, $default:literal, $doc:literal, $field:ident) => {
        directive!(
            $name " NUMBER" like " " $default,
            $default,
            $doc,
            |w, s| {
                let value = w.magnitude($what)?;
                w.end()?;
                s.$field = value;
                Some(())
            },
            |s| vec![s.$field.to_string()]
        )
    };
}

/// A path in a field; `/` means none where `$slash` says so.
macro_rules! path {
    ($name:literal like $example:literal, $default:literal, $doc:literal, $field:ident, slash: $slash:literal) => {
        directive!(
            $name " PATH" like $example,
            $default,
            $doc,
            |w, s| {
                let path = w.path("a path")?;
                w.end()?;
                s.$field = Some(path).filter(|path| !$slash || path != std::path::Path::new("/"));
                Some(())
            },
            |s| match &s.$field {
                Some(path) => vec![path.display().to_string()],
                None if $slash => vec!["/".to_owned()],
                None => Vec::new(),
            }
        )
    };
}

macro_rules! source {
    ($name:literal, $doc:literal, $kind:ident) => {
        directive!(
            $name " NAME [OPTION]..." like " ntp.example.net iburst",
            "none",
            $doc,
            |w, s| {
                let source = source::parse(w, SourceKind::$kind, true)?;
                s.sources.push(source);
                Some(())
            },
            |s| {
                let of_kind = s.sources.iter().filter(|source| source.kind == SourceKind::$kind);
                of_kind.map(source::Source::arguments).collect()
            }
        )
    };
}

/// The lines of access rules are shown together by [`Settings::render`]: their order counts across directives.
macro_rules! access {
    ($name:literal, $default:literal, $doc:literal, $field:ident, $allow:literal) => {
        directive!(
            $name " [all] [SUBNET]" like " 192.0.2.0/24",
            $default,
            $doc,
            |w, s| {
                let rule = access_rule(w, $allow)?;
                s.$field.push(rule);
                Some(())
            },
            |_| Vec::new()
        )
    };
}

/// Every directive that we act on, in the order in which `-p` shows them.
pub const DIRECTIVES: &[Directive] = &[
    source!("server", "a server to ask for the time", Server),
    source!("pool", "several servers of one name", Pool),
    source!("peer", "a symmetric association", Peer),
    directive!(
        "sourcedir" " FOLDER..." like " /etc/chrony/sources.d",
        "none",
        "folders whose *.sources files name more sources; `chronyc reload sources` reads them again",
        |w, s| {
            let mut folders = vec![w.path("a folder")?];
            while let Some(word) = w.next() {
                folders.push(PathBuf::from(word.text));
            }
            s.source_dirs.push(folders);
            Some(())
        },
        |s| {
            let line = |folders: &Vec<PathBuf>| {
                folders.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
            };
            s.source_dirs.iter().map(line).collect()
        }
    ),
    directive!(
        "driftfile" " PATH [interval SECONDS]" like " /var/lib/chrony/chrony.drift",
        "none",
        "where the frequency is kept over a restart",
        |w, s| {
            let path = w.path("a path")?;
            if let Some(word) = w.next() {
                if !word.text.eq_ignore_ascii_case("interval") {
                    w.no_choice(word, "option", &["interval"]);
                    return None;
                }
                s.drift_file_interval = w.integer("seconds", 0, i64::from(i32::MAX))? as u32;
            }
            w.end()?;
            s.drift_file = Some(path);
            Some(())
        },
        |s| match &s.drift_file {
            // The stock daemon before 4.7 does not know the interval: it is shown only where it was set.
            Some(path) if s.drift_file_interval == 3_600 => vec![path.display().to_string()],
            Some(path) => vec![format!("{} interval {}", path.display(), s.drift_file_interval)],
            None => Vec::new(),
        }
    ),
    directive!(
        "makestep" " THRESHOLD LIMIT" like " 1 3",
        "the clock is never stepped",
        "offsets above THRESHOLD seconds are stepped in the first LIMIT updates (-1: in all)",
        |w, s| {
            let threshold = w.magnitude("a threshold in seconds")?;
            let limit = w.integer("a number of updates", -i64::from(i32::MAX), i64::from(i32::MAX))?;
            w.end()?;
            s.makestep = Some(Makestep { threshold, limit: u32::try_from(limit).ok() });
            Some(())
        },
        |s| {
            let rule = |rule: Makestep| {
                format!("{} {}", rule.threshold, rule.limit.map_or(-1, i64::from))
            };
            s.makestep.map(rule).into_iter().collect()
        }
    ),
    directive!(
        "rtcsync" "" like "",
        "off",
        "the kernel is told that the clock is synchronised, and copies it to the real-time clock",
        |w, s| {
            w.end()?;
            s.rtcsync = true;
            Some(())
        },
        |s| if s.rtcsync { vec![String::new()] } else { Vec::new() }
    ),
    access!(
        "allow",
        "nobody is served",
        "who may ask us for the time; no SUBNET means everybody",
        ntp_access,
        true
    ),
    access!("deny", "none", "who may not ask us for the time", ntp_access, false),
    access!("cmdallow", "this host only", "who may ask over the command port", command_access, true),
    access!("cmddeny", "none", "who may not ask over the command port", command_access, false),
    directive!(
        "local" " [stratum STRATUM] [distance SECONDS]" like " stratum 10",
        "off",
        "time is served even while there is no source",
        |w, s| {
            let mut local = LocalReference { stratum: 10, distance: 1.0 };
            while let Some(word) = w.next() {
                match word.text.to_ascii_lowercase().as_str() {
                    "stratum" => local.stratum = w.integer("a stratum", 1, 15)? as u8,
                    "distance" => local.distance = w.magnitude("seconds")?,
                    "orphan" => without_effect(w, word),
                    "activate" | "waitsynced" | "waitunsynced" => {
                        w.number("seconds")?;
                        without_effect(w, word);
                    }
                    _ => {
                        w.no_choice(word, "option", &["stratum", "distance", "orphan", "activate", "waitsynced", "waitunsynced"]);
                        return None;
                    }
                }
            }
            s.local = Some(local);
            Some(())
        },
        |s| s.local.map(|l| format!("stratum {} distance {}", l.stratum, l.distance)).into_iter().collect()
    ),
    directive!(
        "port" " PORT" like " 123",
        "123",
        "UDP port of the server; 0: no server",
        |w, s| {
            let port = w.integer("a UDP port", 0, 65_535)?;
            w.end()?;
            s.port = port as u16;
            Some(())
        },
        |s| vec![s.port.to_string()]
    ),
    directive!(
        "bindaddress" " ADDRESS" like " 192.0.2.1",
        "every address",
        "the address at which the server answers, one of each family",
        |w, s| {
            let address = w.parsed("an IP address")?;
            w.end()?;
            match address {
                IpAddr::V4(v4) => s.bind_v4 = Some(v4),
                IpAddr::V6(v6) => s.bind_v6 = Some(v6),
            }
            Some(())
        },
        |s| {
            let v4 = s.bind_v4.map(|address| address.to_string());
            v4.into_iter().chain(s.bind_v6.map(|address| address.to_string())).collect()
        }
    ),
    directive!(
        "cmdport" " PORT" like " 323",
        "323",
        "UDP port for commands; 0: only the Unix socket",
        |w, s| {
            let port = w.integer("a UDP port", 0, 65_535)?;
            w.end()?;
            s.command_port = port as u16;
            Some(())
        },
        |s| vec![s.command_port.to_string()]
    ),
    directive!(
        "bindcmdaddress" " ADDRESS|PATH" like " /run/chrony/chronyd.sock",
        "127.0.0.1, ::1 and the Unix socket",
        "where commands are taken: an address of each family, or a path (/: none)",
        |w, s| {
            let word = w.required("an IP address or a path")?;
            w.end()?;
            if word.text.starts_with('/') {
                s.command_socket = Some(word.text).filter(|text| *text != "/").map(PathBuf::from);
                return Some(());
            }
            match word.text.parse() {
                Ok(IpAddr::V4(v4)) => s.command_bind_v4 = v4,
                Ok(IpAddr::V6(v6)) => s.command_bind_v6 = v6,
                Err(_) => {
                    w.wrong(word, "an IP address or a path that starts with /");
                    return None;
                }
            }
            Some(())
        },
        |s| {
            let path = s.command_socket.as_ref().map_or("/".to_owned(), |path| path.display().to_string());
            vec![s.command_bind_v4.to_string(), s.command_bind_v6.to_string(), path]
        }
    ),
    path!("logdir" like " /var/log/chrony", "none", "folder of the log files", log_dir, slash: false),
    directive!(
        "log" " measurements|rawmeasurements|statistics|tracking|selection|rtc|refclocks|tempcomp ..." like " measurements statistics tracking",
        "none",
        "which log files are written",
        |w, s| {
            while let Some(word) = w.next() {
                match LOG_NAMES.iter().find(|(name, _)| *name == word.text) {
                    Some((name, set)) => {
                        *set(&mut s.logs) = true;
                        if let Some((_, instead)) = LOGS_NOT_WRITTEN.iter().find(|(known, _)| known == name) {
                            not_done(w, word, &format!("log {name}"), instead, "log tracking measurements statistics");
                        }
                    }
                    None => {
                        let names: Vec<&str> = LOG_NAMES.iter().map(|(name, _)| *name).collect();
                        w.no_choice(word, "file", &names);
                        return None;
                    }
                }
            }
            // chrony: raw measurements are measurements.
            s.logs.measurements |= s.logs.raw_measurements;
            Some(())
        },
        |s| {
            let mut logs = s.logs;
            let names: Vec<&str> =
                LOG_NAMES.iter().filter(|(_, set)| *set(&mut logs)).map(|(name, _)| *name).collect();
            if names.is_empty() { Vec::new() } else { vec![names.join(" ")] }
        }
    ),
    magnitude!("logchange" "seconds", "1.0", "larger offsets are logged", log_change),
    path!("keyfile" like " /etc/chrony/chrony.keys", "none", "the keys of authenticated sources and clients", key_file, slash: false),
    magnitude!("maxupdateskew" "parts per million", "1000", "estimates with a larger skew do not change the frequency", max_update_skew),
    magnitude!("maxslewrate" "parts per million", "83333.333", "how fast the clock is slewed", max_slew_rate),
    magnitude!("maxdrift" "parts per million", "500000", "the largest frequency error of the clock", max_drift),
    magnitude!("maxclockerror" "parts per million", "1", "how wrong the frequency may become between updates", max_clock_error),
    magnitude!("maxdistance" "seconds", "3.0", "sources with a larger root distance are not selected", max_distance),
    magnitude!("maxjitter" "seconds", "1.0", "sources with a larger jitter are not selected", max_jitter),
    directive!(
        "minsources" " COUNT" like " 2",
        "1",
        "how many sources must be selectable for an update of the clock",
        |w, s| {
            let count = w.integer("a number of sources", 0, i64::from(i32::MAX))?;
            w.end()?;
            s.min_sources = count as u32;
            Some(())
        },
        |s| vec![s.min_sources.to_string()]
    ),
    magnitude!("stratumweight" "seconds a stratum", "0.001", "how much a stratum counts in the selection", stratum_weight),
    magnitude!("reselectdist" "seconds", "0.0001", "how far another source must be to be chosen", reselect_distance),
    magnitude!("combinelimit" "a ratio", "3", "sources farther than this are not combined", combine_limit),
    path!("pidfile" like " /run/chrony/chronyd.pid", "/run/chrony/chronyd.pid", "where the process id is written (/: nowhere)", pid_file, slash: true),
    directive!(
        "user" " NAME" like " _chrony",
        "as started",
        "the user as whom the daemon goes on when it was started by root",
        |w, s| {
            let name = w.required("a user name")?;
            w.end()?;
            s.user = Some(name.text.to_owned());
            Some(())
        },
        |s| s.user.iter().cloned().collect()
    ),
    directive!(
        "dumpdir" " PATH" like " /var/lib/chrony",
        "none",
        "where measurements would be kept over a restart",
        |w, s| {
            let path = w.path("a path")?;
            w.end()?;
            let (word, line) = (w.directive, format!("# dumpdir {}", path.display()));
            not_done(w, word, "directive 'dumpdir'", "measurements are not kept over a restart", &line);
            s.dump_dir = Some(path);
            Some(())
        },
        |s| s.dump_dir.iter().map(|path| path.display().to_string()).collect()
    ),
    Directive {
        name: "include",
        syntax: "include PATTERN",
        example: "include /etc/chrony/chrony.d/*.conf",
        default: "none",
        doc: "reads the files that match, here",
        does: Does::Include,
    },
    Directive {
        name: "confdir",
        syntax: "confdir FOLDER...",
        example: "confdir /etc/chrony/conf.d",
        default: "none",
        doc: "reads the *.conf files of the folders in the order of their names; the first folder that has a name wins",
        does: Does::ConfDir,
    },
];

type LogField = fn(&mut Logs) -> &mut bool;

const LOG_NAMES: &[(&str, LogField)] = &[
    ("measurements", |logs| &mut logs.measurements),
    ("rawmeasurements", |logs| &mut logs.raw_measurements),
    ("statistics", |logs| &mut logs.statistics),
    ("tracking", |logs| &mut logs.tracking),
    ("selection", |logs| &mut logs.selection),
    ("rtc", |logs| &mut logs.rtc),
    ("refclocks", |logs| &mut logs.refclocks),
    ("tempcomp", |logs| &mut logs.tempcomp),
];

/// Log files that are not written, with what is there in their place.
const LOGS_NOT_WRITTEN: &[(&str, &str)] = &[
    ("rawmeasurements", "good measurements are written to measurements.log, others are not"),
    ("selection", "selection.log is not written; `chronyc selectdata` shows the selection"),
    ("rtc", "rtc.log is not written: the real-time clock is left to the kernel"),
    ("refclocks", "refclocks.log is not written: reference clocks are not read yet"),
    ("tempcomp", "tempcomp.log is not written: the temperature is not read"),
];

/// Says by name what is understood and not done.
fn not_done(w: &mut Words<'_, '_>, word: Word<'_>, what: &str, instead: &str, help: &str) {
    let finding = conf_text::Diagnostic::warning(format!("{what} is known and has no effect here"));
    w.diagnostics.push(finding.at(word.span, "left out").note(instead).help(help));
}

fn without_effect(w: &mut Words<'_, '_>, word: Word<'_>) {
    w.diagnostics.warning(
        word.span,
        format!("'{}' of local is known and has no effect yet", word.text),
        "local works without it",
        "local stratum 10",
    );
}

/// `[all] [SUBNET]`: an address with `/BITS`, the leading one to three numbers of an IPv4 network, or a host name.
fn access_rule(w: &mut Words<'_, '_>, allow: bool) -> Option<AccessRule> {
    let mut word = w.next();
    let all = word.is_some_and(|word| word.text == "all");
    if all {
        word = w.next();
    }
    let Some(word) = word else { return Some(AccessRule { allow, all, subject: AccessSubject::Everybody }) };
    w.end()?;
    let (host, bits) = match word.text.split_once('/') {
        Some((host, bits)) => match bits.parse::<u8>() {
            Ok(bits) => (host, Some(bits)),
            Err(_) => {
                w.wrong(word, "a subnet (like 192.0.2.0/24)");
                return None;
            }
        },
        None => (word.text, None),
    };
    let net = |address: IpAddr, default: u8| AccessSubject::Net { address, bits: bits.unwrap_or(default) };
    let subject = if let Ok(address) = host.parse::<IpAddr>() {
        net(address, if address.is_ipv4() { 32 } else { 128 })
    } else if let Some((octets, count)) = leading_octets(host) {
        net(octets.into(), count * 8)
    } else if bits.is_none() && host.contains(|letter: char| letter.is_ascii_alphabetic()) {
        AccessSubject::Host(host.to_owned())
    } else {
        w.wrong(word, "a subnet (like 192.0.2.0/24)");
        return None;
    };
    if let AccessSubject::Net { address, bits } = subject {
        let width = if address.is_ipv4() { 32 } else { 128 };
        if bits > width {
            w.wrong(word, &format!("a subnet of at most {width} bits"));
            return None;
        }
    }
    Some(AccessRule { allow, all, subject })
}

/// `10`, `10.1` or `10.1.2`: the network of these leading numbers, and how many there are.
fn leading_octets(text: &str) -> Option<([u8; 4], u8)> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        *octets.get_mut(count).filter(|_| count < 3)? = part.parse().ok()?;
        count += 1;
    }
    Some((octets, count as u8))
}

/// A rule's line without its directive.
pub(crate) fn rule_arguments(rule: &AccessRule) -> String {
    let subject = match &rule.subject {
        AccessSubject::Everybody => String::new(),
        AccessSubject::Net { address, bits } => format!("{address}/{bits}"),
        AccessSubject::Host(name) => name.clone(),
    };
    if rule.all { format!("all {subject}").trim_end().to_owned() } else { subject }
}
