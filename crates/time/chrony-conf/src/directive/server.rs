//! The server: who is served, how often, and with what.

use super::Directive;
use crate::known;
use crate::settings::{
    AccessRule, AccessSubject, Broadcast, CLIENT_LOG_LIMIT_DEFAULT, LocalReference, OPEN_COMMANDS,
    OPEN_COMMANDS_DEFAULT, ORPHAN_WAIT_UNSYNCED, RateLimit,
};
use crate::words::Words;
use std::net::IpAddr;
use std::path::PathBuf;

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

/// The directives of the server and of the command port.
pub(super) const SERVER: &[Directive] = &[
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
        "local" " [stratum STRATUM] [distance SECONDS] [orphan] [activate SECONDS] [waitsynced SECONDS] [waitunsynced SECONDS]" like " stratum 10",
        "off",
        "time is served even while there is no source",
        |w, s| {
            let mut local = LocalReference {
                stratum: 10,
                distance: 1.0,
                orphan: false,
                activate: 0.0,
                wait_synced: 0.0,
                wait_unsynced: -1.0,
            };
            while let Some(word) = w.next() {
                match word.text.to_ascii_lowercase().as_str() {
                    "stratum" => local.stratum = w.integer("a stratum", 1, 15)? as u8,
                    "distance" => local.distance = w.magnitude("seconds")?,
                    "orphan" => local.orphan = true,
                    "activate" => local.activate = w.number("seconds")?,
                    "waitsynced" => local.wait_synced = w.number("seconds")?,
                    "waitunsynced" => local.wait_unsynced = w.number("seconds")?,
                    _ => {
                        w.no_choice(word, "option", &["stratum", "distance", "orphan", "activate", "waitsynced", "waitunsynced"]);
                        return None;
                    }
                }
                if let Some((name, instead)) = known::LOCAL_NOT_ACTED_ON.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text)) {
                    w.diagnostics.warning(
                        word.span,
                        format!("'{name}' of local is known and has no effect yet"),
                        *instead,
                        "local stratum 10",
                    );
                }
            }
            if local.wait_unsynced < 0.0 {
                local.wait_unsynced = if local.orphan { ORPHAN_WAIT_UNSYNCED } else { 0.0 };
            }
            s.local = Some(local);
            Some(())
        },
        |s| {
            let line = |l: LocalReference| {
                let mut line = format!("stratum {} distance {}", l.stratum, l.distance);
                if l.orphan {
                    line.push_str(" orphan");
                }
                let unsynced = if l.orphan { ORPHAN_WAIT_UNSYNCED } else { 0.0 };
                // The stock daemon before 4.6 does not know these: they are shown only where they were set.
                for (name, value, usual) in [
                    ("activate", l.activate, 0.0),
                    ("waitsynced", l.wait_synced, 0.0),
                    ("waitunsynced", l.wait_unsynced, unsynced),
                ] {
                    if value != usual {
                        line.push_str(&format!(" {name} {value}"));
                    }
                }
                line
            };
            s.local.map(line).into_iter().collect()
        }
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
    word!("binddevice" " INTERFACE" like " eth0", "the interface at which the server answers", "an interface", bind_device),
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
    word!("bindcmddevice" " INTERFACE" like " eth0", "the interface at which commands are taken", "an interface", command_bind_device),
    directive!(
        "opencommands" " [COMMAND]..." like " activity sources tracking",
        "activity manual rtcdata smoothing sourcename sources sourcestats tracking",
        "reports of chronyc that are given over the UDP port",
        |w, s| {
            let mut commands = Vec::new();
            while let Some(word) = w.next() {
                match OPEN_COMMANDS.iter().find(|name| name.eq_ignore_ascii_case(word.text)) {
                    Some(name) => commands.push(*name),
                    None => {
                        w.no_choice(word, "report", OPEN_COMMANDS);
                        return None;
                    }
                }
            }
            s.open_commands = commands;
            Some(())
        },
        |s| (s.open_commands != OPEN_COMMANDS_DEFAULT).then(|| s.open_commands.join(" ")).into_iter().collect()
    ),
    directive!(
        "ratelimit" " [interval LOG2] [burst COUNT] [leak LOG2] [kod LOG2]" like " interval 3 burst 8 leak 2",
        "no limit",
        "clients that ask more often than every 2^interval seconds do not get every answer",
        |w, s| {
            s.rate_limit = Some(rate_limit(w, RateLimit::every(3), true)?);
            Some(())
        },
        |s| s.rate_limit.map(rate_limit_arguments).into_iter().collect()
    ),
    directive!(
        "cmdratelimit" " [interval LOG2] [burst COUNT] [leak LOG2]" like " interval -4 burst 8 leak 2",
        "no limit",
        "the same for commands over UDP, other than from this host",
        |w, s| {
            s.command_rate_limit = Some(rate_limit(w, RateLimit::every(-4), false)?);
            Some(())
        },
        |s| s.command_rate_limit.map(rate_limit_arguments).into_iter().collect()
    ),
    directive!(
        "clientloglimit" " BYTES" like " 524288",
        "524288",
        "how much memory the table of clients may take; with it goes for how many of them the interleaved mode works",
        |w, s| {
            let bytes = w.integer("a number of bytes", 0, i64::MAX)?;
            w.end()?;
            s.client_log_limit = bytes.unsigned_abs();
            Some(())
        },
        |s| {
            let other = s.client_log_limit != CLIENT_LOG_LIMIT_DEFAULT;
            other.then(|| s.client_log_limit.to_string()).into_iter().collect()
        }
    ),
    count!("serverthreads" " COUNT" like " 2", 1, "threads that answer requests; with 1 the daemon's only thread does. This directive is not chrony's", "a number of threads", 1 to 64, server_threads: u32),
    switch!("noclientlog", "clients are not counted, and the interleaved mode is not served", no_client_log),
    directive!(
        "broadcast" " SECONDS ADDRESS [PORT]" like " 64 192.0.2.255",
        "none",
        "an address to which the time is sent unasked",
        |w, s| {
            let interval = w.integer("seconds", 1, i64::from(i32::MAX))? as u32;
            let address = w.parsed("an IP address")?;
            let port = match w.next() {
                None => 123,
                Some(word) => match word.text.parse::<u16>() {
                    Ok(port) if port > 0 => port,
                    _ => {
                        w.wrong(word, "a UDP port (1 to 65535)");
                        return None;
                    }
                },
            };
            w.end()?;
            s.broadcasts.push(Broadcast { interval, address, port });
            Some(())
        },
        |s| {
            let line = |one: &Broadcast| format!("{} {} {}", one.interval, one.address, one.port);
            s.broadcasts.iter().map(line).collect()
        }
    ),
    path!("ntpsigndsocket" like " /var/lib/samba/ntp_signd", "none", "the folder of Samba's socket, which signs replies to its clients", ntp_signd_socket, slash: false),
];

/// The options of a rate limit. Beyond chrony's useful range a value counts as the nearest that is in it.
pub(super) fn rate_limit(w: &mut Words<'_, '_>, mut limit: RateLimit, with_kod: bool) -> Option<RateLimit> {
    let names: &[&str] =
        if with_kod { &["interval", "burst", "leak", "kod"] } else { &["interval", "burst", "leak"] };
    while let Some(word) = w.next() {
        let name = word.text.to_ascii_lowercase();
        if !names.contains(&name.as_str()) {
            w.no_choice(word, "option", names);
            return None;
        }
        match name.as_str() {
            "interval" => limit.interval = w.integer("log2 seconds", -32, 32)?.clamp(-19, 12) as i8,
            "burst" => limit.burst = w.integer("a number of responses", 0, 255)?.clamp(1, 255) as u8,
            "leak" => limit.leak = w.integer("a power of 1/2", 0, 32)?.clamp(1, 4) as u8,
            _ => limit.kod = w.integer("a power of 1/2", 0, 32)?.clamp(0, 4) as u8,
        }
    }
    Some(limit)
}

pub(super) fn rate_limit_arguments(limit: RateLimit) -> String {
    let mut line = format!("interval {} burst {} leak {}", limit.interval, limit.burst, limit.leak);
    // The stock daemon before 4.7 does not know it.
    if limit.kod != 0 {
        line.push_str(&format!(" kod {}", limit.kod));
    }
    line
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
    } else if bits.is_none()
        && host.contains(|letter: char| letter.is_ascii_alphabetic())
        // A second `all`, and an address with an interface, are no names of hosts.
        && host != "all"
        && !host.contains(['%', ':'])
    {
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

/// `10`, `10.1` or `10.1.2`: the network of these leading numbers, and how many there are. `chronyc allow` takes them too.
pub fn leading_octets(text: &str) -> Option<([u8; 4], u8)> {
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
