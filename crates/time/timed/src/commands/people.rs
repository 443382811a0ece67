//! What people ask for on the control socket: the daemon's state, and for `banto time` the day's points, the reasons of the selection, and the time set by hand.

use super::{Address, LeapStatus, Tracking};
use crate::daemon::Daemon;
use crate::refclocks::RefClock;
use control::{Refusal, Value, json};
use time_core::{Clock, Verdict};

/// The daemon's state for the control socket's `status`.
pub(crate) fn status(daemon: &Daemon) -> Value {
    let local = daemon.local_now();
    let report = super::tracking(daemon);
    let clocks = daemon
        .refclocks
        .iter()
        .map(|one| (one.id, one.label(), "reference clock".to_owned(), one.reach(), Some(one.ignored)));
    let peers = daemon
        .peers
        .iter()
        .map(|peer| (peer.id, peer.name.clone(), peer.address.to_string(), peer.client.reach(), None));
    let sources: Vec<Value> = clocks
        .chain(peers)
        .map(|(id, name, address, reach, ignored)| {
            let verdict = daemon.keeper.verdict(id);
            let letter = match verdict {
                Verdict::Selected => "*",
                Verdict::Combined => "+",
                Verdict::NotCombined => "-",
                Verdict::Falseticker => "x",
                Verdict::Jittery => "~",
                Verdict::Distant | Verdict::WrongStratum | Verdict::Unselectable => "?",
            };
            let offset = daemon.keeper.adjusted_offset(id, local);
            let mut told = json!({
                "name": name, "address": address, "state": letter,
                "reach": reach, "offset_seconds": offset.map(|offset| 0.0 - offset),
            });
            if let Some(ignored) = ignored {
                told["ignored"] = ignored.into();
            }
            told
        })
        .collect();
    let totals = daemon.serving.totals();
    let ntp = totals.server;
    let followed = followed(&report);
    let is_synchronised = report.leap != LeapStatus::Unsynchronised;
    // Without a source nothing is known of the clock: `local` only says that it is served as it is.
    let known = |value: f64| (is_synchronised && followed != "local").then_some(value);
    let ppm = report.frequency_ppm.0;
    json!({
        "synchronised": is_synchronised,
        "clock_offset_seconds": known(0.0 - report.current_correction.0),
        "error_bound_seconds":
            known(report.root_delay.0 / 2.0 + report.root_dispersion.0 + report.current_correction.0.abs()),
        // Of the oscillator what was kept (driftfile) is known before anything is measured.
        "frequency_ppm": known(ppm).or((ppm != 0.0).then_some(ppm)),
        "follows": followed,
        "stratum": report.stratum,
        "controls_clock": daemon.clock.is_kernel(),
        "listening": daemon.listening(),
        "server_precision": daemon.config.precision,
        "ntp": {
            "received": ntp.received, "answered": ntp.answered, "denied": ntp.denied, "malformed": ntp.malformed,
            "limited": totals.limited,
        },
        "commands": {
            "received": daemon.commands_received, "refused": daemon.commands_refused,
            "malformed": daemon.commands_malformed,
        },
        "sources": sources,
        "unresolved": names(daemon, false),
        "taken": names(daemon, true),
    })
}

/// What `status` says of what is followed.
fn followed(report: &Tracking) -> String {
    match report.address {
        Address::Unspecified if report.reference_id == u32::from_be_bytes(super::LOCAL_REFERENCE_ID) => {
            "local".to_owned()
        }
        Address::Unspecified if report.leap == LeapStatus::Unsynchronised => "nothing".to_owned(),
        Address::Unspecified => crate::refclocks::label(report.reference_id.to_be_bytes()),
        address => address.to_string(),
    }
}

/// The points of the last day.
pub(crate) fn history(daemon: &Daemon) -> Value {
    json!({ "interval_seconds": crate::trace::INTERVAL.as_secs(), "points": daemon.trace.rows() })
}

/// Each source with the numbers that the selection goes by.
pub(crate) fn reasons(daemon: &Daemon) -> Value {
    let local = daemon.local_now();
    let settings = &daemon.config.settings;
    let report = super::tracking(daemon);
    let clocks = daemon.refclocks.iter().map(|one| {
        (one.id, one.label(), "reference clock".to_owned(), one.reach(), true, one.poll, Value::Null)
    });
    let peers = daemon.peers.iter().map(|peer| {
        let client = &peer.client;
        let address = peer.address.ip().to_string();
        let trust = json!({
            "key": peer.line.key,
            "nts": peer.nts.is_some(),
            "lacks_key": peer.lacks_key,
            "unauthentic": peer.unauthentic.is_some(),
        });
        (peer.id, peer.name.clone(), address, client.reach(), client.is_online(), client.poll(), trust)
    });
    let sources: Vec<Value> = clocks
        .chain(peers)
        .map(|(id, name, address, reach, online, poll, trust)| {
            let source = daemon.keeper.source(id);
            let interval = daemon.keeper.interval(id, local);
            let statistics = daemon.keeper.statistics(id, local);
            let last = source.and_then(|source| source.last());
            let options = daemon.effective_options(id);
            json!({
                "name": name,
                "address": address,
                "letter": char::from(super::selection_letter(daemon, id)).to_string(),
                "reach": reach,
                "online": online,
                "authentication": trust,
                "samples": source.map_or(0, |source| source.filter().len()),
                "stratum": last.map(|last| last.stratum),
                "offset_seconds": interval.map(|one| 0.0 - one.offset),
                "distance_seconds": interval.map(|one| one.distance),
                "jitter_seconds": statistics.map(|one| one.deviation),
                "poll_seconds": f64::from(poll).exp2(),
                "prefer": options.prefer, "trust": options.trust,
                "require": options.require, "noselect": options.noselect,
            })
        })
        .collect();
    json!({
        "max_distance_seconds": settings.max_distance,
        "max_jitter_seconds": settings.max_jitter,
        "min_stratum": settings.min_stratum,
        "max_stratum": settings.max_stratum,
        "min_sources": settings.min_sources,
        "combine_limit": settings.combine_limit,
        "stratum_weight_seconds": settings.stratum_weight,
        "sources": sources,
        "local_stratum": (followed(&report) == "local").then_some(report.stratum),
        // What the clock still goes by although it cannot be followed any more.
        "held": (!matches!(followed(&report).as_str(), "local" | "nothing")).then(|| followed(&report)),
        "unresolved": names(daemon, false),
        "taken": names(daemon, true),
    })
}

/// The names without an address, or those whose addresses are all other sources'. A pool of which some servers are found has one.
fn names(daemon: &Daemon, taken: bool) -> Vec<String> {
    let none_found = |number: u32| daemon.peers.iter().all(|peer| peer.number != number);
    let missing = daemon.wanted.iter().filter(|one| one.missing > 0 && one.taken == taken);
    missing.filter(|one| none_found(one.number)).map(|one| one.line.name.clone()).collect()
}

/// Steps the clock to a time that somebody gives; only while no source is followed, which would know better.
pub(crate) fn set(daemon: &mut Daemon, args: &Value) -> Result<Value, Refusal> {
    let wanted = args["unix_nanoseconds"]
        .as_i64()
        .ok_or_else(|| Refusal::new("`unix_nanoseconds` is missing, or no integer"))?;
    // The hard reason first: with the sources gone it would be refused all the same.
    if !daemon.clock.is_kernel() {
        return Err(Refusal::new(
            "this daemon only measures the clock and never sets it (chronyd -x, or a house without --control-clock)",
        ));
    }
    let followed = daemon.keeper.sources().find(|(id, _)| daemon.keeper.verdict(*id) == Verdict::Selected);
    if let Some((id, _)) = followed {
        let clocks: Vec<String> = daemon.refclocks.iter().map(RefClock::label).collect();
        let servers = !daemon.wanted.is_empty() || !daemon.peers.is_empty();
        let why = format!(
            "the clock follows {}, which knows better: its sources have to be turned off first (and on again: {})",
            daemon.label(id),
            follow_again(servers, &clocks)
        );
        return Err(Refusal::new(why).help(follow_nothing(servers, &clocks)));
    }
    let now = daemon.clock.now();
    let nanos = wanted.saturating_sub(now.0);
    daemon.step_by_hand(nanos).map_err(|error| Refusal::new(error.to_string()))?;
    Ok(json!({ "stepped_seconds": nanos as f64 * 1e-9 }))
}

/// What makes a daemon follow nothing, in one line: its servers are not asked any more, these reference clocks are only watched, and what
/// was measured is forgotten, for an offline source is followed as long as its measurements are good (`chronyc(1)`, offline).
fn follow_nothing(servers: bool, clocks: &[String]) -> String {
    let mut orders = switched(servers, "offline", clocks, '+');
    orders.push("'reset sources'".to_owned());
    format!("chronyc -m {}", orders.join(" "))
}

/// What takes that back.
fn follow_again(servers: bool, clocks: &[String]) -> String {
    format!("chronyc -m {}", switched(servers, "online", clocks, '-').join(" "))
}

/// The words that turn everything off or on. A daemon without servers refuses `offline`, and what stands behind it would not be done.
fn switched(servers: bool, word: &str, clocks: &[String], sign: char) -> Vec<String> {
    let clocks = clocks.iter().map(|name| format!("'selectopts {name} {sign}noselect'"));
    servers.then(|| word.to_owned()).into_iter().chain(clocks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the line that makes the daemon follow nothing names every reference clock, which `offline` does not touch, and says
    /// `offline` only where there is a server; the other line takes that back.
    #[test]
    fn every_source_is_turned_off() {
        let check = |servers: bool, clocks: &[&str], off: &str, on: &str| {
            let clocks: Vec<String> = clocks.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(follow_nothing(servers, &clocks), off);
            assert_eq!(follow_again(servers, &clocks), on);
        };
        check(true, &[], "chronyc -m offline 'reset sources'", "chronyc -m online");
        check(
            true,
            &["GPS", "PPS0"],
            "chronyc -m offline 'selectopts GPS +noselect' 'selectopts PPS0 +noselect' 'reset sources'",
            "chronyc -m online 'selectopts GPS -noselect' 'selectopts PPS0 -noselect'",
        );
        check(
            false,
            &["GPS"],
            "chronyc -m 'selectopts GPS +noselect' 'reset sources'",
            "chronyc -m 'selectopts GPS -noselect'",
        );
    }
}
