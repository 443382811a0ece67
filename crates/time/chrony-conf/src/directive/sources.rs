//! Time sources over the network: which are asked, how, and which of them counts.

use super::{Directive, Does};
use crate::settings::{AuthSelectMode, InitStepSlew, REFRESH_DEFAULT};
use crate::source::{self, SourceKind};
use std::net::IpAddr;
use std::path::PathBuf;

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

/// The directives of network sources.
pub(super) const SOURCES: &[Directive] = &[
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
        "initstepslew" " THRESHOLD [NAME]..." like " 30 ntp1.example.net ntp2.example.net",
        "none",
        "these servers are asked before anything else; an offset above THRESHOLD seconds is stepped, a smaller one slewed",
        |w, s| {
            let threshold = w.magnitude("a threshold in seconds")?;
            let mut hosts = Vec::new();
            while let Some(word) = w.next() {
                hosts.push(word.text.to_owned());
            }
            if hosts.is_empty() {
                w.warn(format!("initstepslew {threshold} names no server"), "nothing is done by it");
            }
            s.init_step_slew = Some(InitStepSlew { threshold, hosts });
            Some(())
        },
        |s| {
            let line = |one: &InitStepSlew| format!("{} {}", one.threshold, one.hosts.join(" ")).trim_end().to_owned();
            s.init_step_slew.iter().map(line).collect()
        }
    ),
    directive!(
        "acquisitionport" " PORT" like " 1123",
        "each request leaves from a port of its own",
        "UDP port of the one socket from which all sources are asked; 0: any free one",
        |w, s| {
            let port = w.integer("a UDP port", 0, 65_535)?;
            w.end()?;
            s.acquisition_port = u16::try_from(port).ok();
            Some(())
        },
        |s| s.acquisition_port.map(|port| port.to_string()).into_iter().collect()
    ),
    directive!(
        "bindacqaddress" " ADDRESS" like " 192.0.2.1",
        "the route's",
        "the address from which sources are asked, one of each family",
        |w, s| {
            let address = w.parsed("an IP address")?;
            w.end()?;
            match address {
                IpAddr::V4(v4) => s.bind_acquisition_v4 = Some(v4),
                IpAddr::V6(v6) => s.bind_acquisition_v6 = Some(v6),
            }
            Some(())
        },
        |s| {
            let v4 = s.bind_acquisition_v4.map(|address| address.to_string());
            v4.into_iter().chain(s.bind_acquisition_v6.map(|address| address.to_string())).collect()
        }
    ),
    word!("bindacqdevice" " INTERFACE" like " eth0", "the interface over which sources are asked", "an interface", bind_acquisition_device),
    count!("dscp" " POINT" like " 46", 0, "service class of NTP packets (DSCP)", "a code point", 0 to 63, dscp: u8),
    count!("minsamples" " COUNT" like " 6", 6, "samples of a source that are kept at least", "a number of samples", 0 to i32::MAX, min_samples: u32),
    count!("maxsamples" " COUNT" like " 32", 0, "samples of a source that are kept at most; 0: no limit; 1: the frequency is not tracked", "a number of samples", 0 to i32::MAX, max_samples: u32),
    directive!(
        "refresh" " SECONDS" like " 1209600",
        "1209600",
        "names of sources are looked up again after so long; 0: never",
        |w, s| {
            let seconds = w.integer("seconds", 0, i64::from(i32::MAX))?;
            w.end()?;
            s.refresh = u32::try_from(seconds).unwrap_or(REFRESH_DEFAULT);
            Some(())
        },
        |s| (s.refresh != REFRESH_DEFAULT).then(|| s.refresh.to_string()).into_iter().collect()
    ),
    path!("dumpdir" like " /var/lib/chrony", "none", "where measurements are kept over a restart (with -r)", dump_dir, slash: false),
    choice!(
        "authselectmode" " require|prefer|mix|ignore" like " mix",
        "mix",
        "how sources without authentication count beside such with it",
        "mode",
        AuthSelectMode,
        |s, mode| s.auth_select_mode = mode,
        |s| (s.auth_select_mode != AuthSelectMode::Mix)
            .then(|| s.auth_select_mode.name().to_owned())
            .into_iter()
            .collect()
    ),
    magnitude!("maxdistance" "seconds", "3.0", "sources with a larger root distance are not selected", max_distance),
    magnitude!("maxjitter" "seconds", "1.0", "sources with a larger jitter are not selected", max_jitter),
    count!("minstratum" " STRATUM" like " 2", 0, "sources of a smaller stratum are not selected", "a stratum", 0 to i32::MAX, min_stratum: u32),
    count!("maxstratum" " STRATUM" like " 4", 15, "sources of a larger stratum are not selected", "a stratum", 0 to i32::MAX, max_stratum: u32),
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
    path!("keyfile" like " /etc/chrony/chrony.keys", "none", "the keys of authenticated sources and clients", key_file, slash: false),
    Directive {
        name: "confdir",
        syntax: "confdir FOLDER...",
        example: "confdir /etc/chrony/conf.d",
        default: "none",
        doc: "reads the *.conf files of the folders in the order of their names; the first folder that has a name wins",
        does: Does::ConfDir,
    },
    Directive {
        name: "include",
        syntax: "include PATTERN",
        example: "include /etc/chrony/chrony.d/*.conf",
        default: "none",
        doc: "reads the files that match, here",
        does: Does::Include,
    },
];
