//! Network Time Security: key establishment, cookies and certificates, of both ends.

use super::Directive;
use super::server::{rate_limit, rate_limit_arguments};
use crate::settings::{AEADS_DEFAULT, REFRESH_SECONDS_DEFAULT, ROTATE_SECONDS_DEFAULT, RateLimit};
use std::path::PathBuf;

/// A file that is one of several.
macro_rules! files {
    ($name:literal like $example:literal, $doc:literal, $($field:ident).+) => {
        directive!(
            $name " PATH" like $example,
            "none",
            $doc,
            |w, s| {
                let path = w.path("a file")?;
                w.end()?;
                s.$($field).+.push(path);
                Some(())
            },
            |s| s.$($field).+.iter().map(|path| path.display().to_string()).collect()
        )
    };
}

/// The directives of NTS.
pub(super) const NTS: &[Directive] = &[
    files!("ntsserverkey" like " /etc/chrony/nts.key", "the private key of a certificate (PEM)", nts.server_keys),
    files!("ntsservercert" like " /etc/chrony/nts.crt", "a certificate of this server with its intermediates (PEM)", nts.server_certificates),
    count!("ntsport" " PORT" like " 4460", 4460, "TCP port of the key establishment", "a TCP port", 0 to 65_535_u16, nts.port: u16),
    count!("ntsprocesses" " COUNT" like " 1", 1, "how many serve the key establishment beside the main one", "a number", 0 to 1000, nts.processes: u32),
    count!("maxntsconnections" " COUNT" like " 100", 100, "connections at a time, for each of them", "a number of connections", 1 to i32::MAX, nts.connections_max: u32),
    directive!(
        "ntsrotate" " SECONDS" like " 604800",
        "604800",
        "after so long a new key encrypts the cookies; 0: keys come from elsewhere",
        |w, s| {
            s.nts.rotate_seconds = w.integer("seconds", 0, i64::from(i32::MAX))? as u32;
            w.end()
        },
        |s| {
            let other = s.nts.rotate_seconds != ROTATE_SECONDS_DEFAULT;
            other.then(|| s.nts.rotate_seconds.to_string()).into_iter().collect()
        }
    ),
    word!("ntsntpserver" " NAME" like " ntp.example.net", "the NTP server that clients of the key establishment are sent to", "a host name or address", nts.ntp_server),
    directive!(
        "ntsratelimit" " [interval LOG2] [burst COUNT] [leak LOG2]" like " interval 6 burst 8 leak 2",
        "no limit",
        "as ratelimit, for the key establishment",
        |w, s| {
            s.nts.rate_limit = Some(rate_limit(w, RateLimit::every(6), false)?);
            Some(())
        },
        |s| s.nts.rate_limit.map(rate_limit_arguments).into_iter().collect()
    ),
    path!("ntsdumpdir" like " /var/lib/chrony", "none", "where cookies and the server's keys are kept over a restart", nts.dump_dir, slash: false),
    directive!(
        "ntscachedir" " PATH" like " /var/lib/chrony",
        "none",
        "the older name of ntsdumpdir",
        |w, s| {
            let path = w.path("a path")?;
            w.end()?;
            s.nts.dump_dir = Some(path);
            Some(())
        },
        |_| Vec::new()
    ),
    directive!(
        "ntsaeads" " [ID...]" like " 30 15",
        "30 15",
        "AEAD algorithms of NTS, the best first (15: AES-SIV-CMAC-256, 30: AES-128-GCM-SIV)",
        |w, s| {
            let mut ids = Vec::new();
            while w.peek().is_some() {
                ids.push(w.integer("the number of an algorithm", 0, i64::from(i32::MAX))?);
            }
            for id in ids.iter().filter(|id| !AEADS_DEFAULT.iter().any(|known| i64::from(*known) == **id)) {
                w.warn(format!("ntsaeads: there is no algorithm {id} here"), "it is left out");
            }
            if ids.is_empty() {
                w.warn("ntsaeads names no algorithm".to_owned(), "no keys of NTS are established or given out");
            }
            // A number that fits no 16 bits is no algorithm (RFC 5116 section 6), and unknown ones are left out.
            s.nts.aeads = ids.into_iter().filter_map(|id| u16::try_from(id).ok()).collect();
            Some(())
        },
        |s| {
            let line = || s.nts.aeads.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
            (s.nts.aeads != AEADS_DEFAULT).then(line).into_iter().collect()
        }
    ),
    directive!(
        "ntsrefresh" " SECONDS" like " 2419200",
        "2419200",
        "keys with servers are established anew after so long",
        |w, s| {
            s.nts.refresh_seconds = w.integer("seconds", 0, i64::from(i32::MAX))? as u32;
            w.end()
        },
        |s| {
            let other = s.nts.refresh_seconds != REFRESH_SECONDS_DEFAULT;
            other.then(|| s.nts.refresh_seconds.to_string()).into_iter().collect()
        }
    ),
    directive!(
        "ntstrustedcerts" " [SET] PATH" like " /etc/ssl/nts.crt",
        "none",
        "certificates of authorities that are trusted, in a numbered set (0: that of every source without `certset`)",
        |w, s| {
            let first = w.required("a file or a folder of certificates")?;
            let entry = match w.next() {
                None => (0, PathBuf::from(first.text)),
                Some(path) => match first.text.parse::<u32>() {
                    Ok(set) => (set, PathBuf::from(path.text)),
                    Err(_) => {
                        w.wrong(first, "the number of a set (0 to 4294967295)");
                        return None;
                    }
                },
            };
            w.end()?;
            s.nts.trusted.push(entry);
            Some(())
        },
        |s| {
            let line = |(set, path): &(u32, PathBuf)| match set {
                0 => path.display().to_string(),
                set => format!("{set} {}", path.display()),
            };
            s.nts.trusted.iter().map(line).collect()
        }
    ),
    switch!("nosystemcert", "the system's authorities are not trusted for NTS", nts.no_system_certificates),
    count!("nocerttimecheck" " UPDATES" like " 1", 0, "before so many updates of the clock, certificates of any time are taken", "a number of updates", 0 to i32::MAX, nts.no_time_check_updates: u32),
];
