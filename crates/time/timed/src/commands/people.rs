//! What `banto time` asks for: the day's points, the reasons of the selection, and the time set by hand.

use crate::daemon::Daemon;
use control::{Refusal, Value, json};
use time_core::{Clock, Verdict};

/// The points of the last day.
pub(crate) fn history(daemon: &Daemon) -> Value {
    json!({ "interval_seconds": crate::trace::INTERVAL.as_secs(), "points": daemon.trace.rows() })
}

/// Each source with the numbers that the selection goes by.
pub(crate) fn reasons(daemon: &Daemon) -> Value {
    let local = daemon.local_now();
    let settings = &daemon.config.settings;
    let clocks = daemon
        .refclocks
        .iter()
        .map(|one| (one.id, one.label(), "reference clock".to_owned(), one.reach(), true, one.poll));
    let peers = daemon.peers.iter().map(|peer| {
        let client = &peer.client;
        let address = peer.address.ip().to_string();
        (peer.id, peer.name.clone(), address, client.reach(), client.is_online(), client.poll())
    });
    let sources: Vec<Value> = clocks
        .chain(peers)
        .map(|(id, name, address, reach, online, poll)| {
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
                "samples": source.map_or(0, |source| source.filter().len()),
                "stratum": last.map(|last| last.stratum),
                "offset_seconds": interval.map(|one| -one.offset),
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
        "min_sources": settings.min_sources,
        "combine_limit": settings.combine_limit,
        "stratum_weight_seconds": settings.stratum_weight,
        "sources": sources,
        "unresolved": daemon.wanted.iter().filter(|one| one.missing > 0).map(|one| one.line.name.clone()).collect::<Vec<_>>(),
    })
}

/// Steps the clock to a time that somebody gives; only while no source is followed, which would know better.
pub(crate) fn set(daemon: &mut Daemon, args: &Value) -> Result<Value, Refusal> {
    let wanted = args["unix_nanoseconds"]
        .as_i64()
        .ok_or_else(|| Refusal::new("`unix_nanoseconds` is missing, or no integer"))?;
    let followed = daemon.keeper.sources().find(|(id, _)| daemon.keeper.verdict(*id) == Verdict::Selected);
    if let Some((id, _)) = followed {
        return Err(Refusal::new(format!("the clock follows {}, which knows better", daemon.label(id)))
            .help("chronyc offline, and then again"));
    }
    if !daemon.clock.is_kernel() {
        return Err(Refusal::new("this daemon measures the clock and does not set it")
            .help("start it without -x; in a house: banto up --control-clock"));
    }
    let now = daemon.clock.now();
    let nanos = wanted.saturating_sub(now.0);
    daemon.step_by_hand(nanos).map_err(|error| Refusal::new(error.to_string()))?;
    Ok(json!({ "stepped_seconds": nanos as f64 * 1e-9 }))
}
