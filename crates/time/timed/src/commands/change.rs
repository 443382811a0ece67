//! The commands that change a source, `local`, or the time by hand.

use crate::daemon::Daemon;
use crate::refclocks::RefClock;
use chrony_cmd::{
    Address, Float, LocalMode, LocalModeShort, ManualList, ManualSample, ManualTimestamp, NewSource, Request,
    SelectOptions, SelectOptionsChange, SourceFlags, SourceKind, SourceMode, Status, Timespec,
};
use chrony_conf::{AddressFamily, LocalReference, Source, SourceOptions};
use std::net::IpAddr;
use std::time::Duration;
use time_core::SourceSettings;

/// Polls that a source can have, log2 s (`chrony.conf(5)`).
const POLL_RANGE: std::ops::RangeInclusive<i32> = -7..=24;
/// The longest `maxdelay`, in seconds (`chrony.conf(5)`).
pub(super) const DELAY_MAX: f64 = 1000.0;

/// What a source is, as `sources` shows it.
pub(super) fn mode(symmetric: bool) -> SourceMode {
    if symmetric { SourceMode::Peer } else { SourceMode::Client }
}

/// One number of one source.
pub(super) fn source(daemon: &mut Daemon, request: &Request, now: Duration) -> Result<(), Status> {
    // A request without an address means the reference clock of an id (`chronyc(1)`, selectopts and offset).
    match *request {
        Request::ModifyOffset(one) if one.source == Address::Unspecified => {
            reference_clock(daemon, one.reference_id)?.set_offset(one.offset.0);
            return Ok(());
        }
        Request::ModifySelectOptions(one) if one.source == Address::Unspecified => {
            let clock = reference_clock(daemon, one.reference_id)?;
            change_selection(&mut clock.treatment, &one);
            daemon.choose_selection_options();
            daemon.choose_again();
            return Ok(());
        }
        _ => {}
    }
    let address = match *request {
        Request::ModifyMinpoll(one)
        | Request::ModifyMaxpoll(one)
        | Request::ModifyMinstratum(one)
        | Request::ModifyPolltarget(one) => one.source,
        Request::ModifyMaxdelay(one)
        | Request::ModifyMaxdelayratio(one)
        | Request::ModifyMaxdelaydevratio(one) => one.source,
        Request::ModifyOffset(one) => one.source,
        Request::ModifySelectOptions(one) => one.source,
        _ => return Err(Status::Invalid),
    };
    let index = super::position(daemon, address)?;
    let peer = daemon.peers.get_mut(index).ok_or(Status::NoSuchSource)?;
    let mut treatment = peer.line.treatment;
    match *request {
        Request::ModifyMinpoll(one) => {
            let poll = poll(one.value)?;
            treatment.poll_min = poll;
            treatment.poll_max = treatment.poll_max.max(poll);
        }
        Request::ModifyMaxpoll(one) => {
            let poll = poll(one.value)?;
            treatment.poll_max = poll;
            treatment.poll_min = treatment.poll_min.min(poll);
        }
        Request::ModifyMinstratum(one) => {
            peer.line.stratum_min = u8::try_from(one.value).map_err(|_| Status::Invalid)?;
        }
        Request::ModifyPolltarget(one) => {
            treatment.poll_target =
                u32::try_from(one.value).ok().filter(|target| *target > 0).ok_or(Status::Invalid)?;
        }
        Request::ModifyMaxdelay(one) => {
            let delay = one.value.0.clamp(0.0, DELAY_MAX);
            peer.line.delay_max = delay;
            peer.client.config_mut().delay_max = delay;
        }
        Request::ModifyMaxdelayratio(one) => {
            peer.screening.settings_mut().delay_ratio_max = Some(one.value.0).filter(|ratio| *ratio > 0.0);
        }
        Request::ModifyMaxdelaydevratio(one) => {
            peer.screening.settings_mut().delay_deviation_ratio_max =
                Some(one.value.0).filter(|ratio| *ratio > 0.0);
        }
        Request::ModifyOffset(one) => {
            peer.line.offset = one.offset.0;
            peer.client.config_mut().offset_correction = one.offset.0;
        }
        Request::ModifySelectOptions(one) => change_selection(&mut treatment, &one),
        _ => return Err(Status::Invalid),
    }
    let polls = (treatment.poll_min, treatment.poll_max);
    let changed = polls != (peer.line.treatment.poll_min, peer.line.treatment.poll_max);
    peer.line.treatment = treatment;
    if changed {
        let config = peer.client.config_mut();
        (config.poll_min, config.poll_max) = polls;
        peer.client.set_poll(peer.client.poll().clamp(polls.0, polls.1));
        peer.client.hurry(now);
        peer.client.postpone(now + crate::daemon::REQUESTS_APART);
    }
    daemon.choose_selection_options();
    if matches!(request, Request::ModifySelectOptions(_)) {
        daemon.choose_again();
    }
    Ok(())
}

fn reference_clock(daemon: &mut Daemon, reference_id: u32) -> Result<&mut RefClock, Status> {
    daemon.refclocks.iter_mut().find(|clock| clock.number() == reference_id).ok_or(Status::NoSuchSource)
}

/// Sets and clears what `selectopts` names; the rest stays.
fn change_selection(treatment: &mut SourceSettings, one: &SelectOptionsChange) {
    let change = |bit: SelectOptions, flag: SourceFlags, set: &mut bool| {
        if one.mask & u32::from(bit.0) != 0 {
            *set = one.options.contains(flag);
        }
    };
    change(SelectOptions::NOSELECT, SourceFlags::NOSELECT, &mut treatment.noselect);
    change(SelectOptions::PREFER, SourceFlags::PREFER, &mut treatment.prefer);
    change(SelectOptions::TRUST, SourceFlags::TRUST, &mut treatment.trust);
    change(SelectOptions::REQUIRE, SourceFlags::REQUIRE, &mut treatment.require);
}

fn poll(value: i32) -> Result<i8, Status> {
    POLL_RANGE.contains(&value).then_some(value as i8).ok_or(Status::Invalid)
}

/// `local` and `local off`; `newer`: as chrony 4.6 and later say it.
pub(super) fn local(
    daemon: &mut Daemon,
    mode: LocalModeShort,
    newer: Option<LocalMode>,
) -> Result<(), Status> {
    if mode.on == 0 {
        daemon.config.local = None;
        return Ok(());
    }
    let stratum = u8::try_from(mode.stratum).ok().filter(|stratum| (1..16).contains(stratum));
    let seconds = |pick: fn(&LocalMode) -> Float| newer.as_ref().map_or(0.0, |mode| pick(mode).0);
    daemon.config.local = Some(LocalReference {
        stratum: stratum.ok_or(Status::Invalid)?,
        distance: mode.distance.0,
        orphan: mode.orphan != 0,
        activate: seconds(|mode| mode.activate),
        wait_synced: seconds(|mode| mode.wait_synced),
        wait_unsynced: match newer {
            Some(newer) => newer.wait_unsynced.0,
            None if mode.orphan != 0 => chrony_conf::ORPHAN_WAIT_UNSYNCED,
            None => 0.0,
        },
    });
    Ok(())
}

/// `manual off|on|reset`, by chrony's numbers.
pub(super) fn manual(daemon: &mut Daemon, mode: i32) -> Result<(), Status> {
    match mode {
        0 => daemon.manual.enabled = false,
        1 => daemon.manual.enabled = true,
        2 => daemon.manual.moments.reset(),
        _ => return Err(Status::Invalid),
    }
    Ok(())
}

/// `manual delete INDEX`.
pub(super) fn manual_delete(daemon: &mut Daemon, index: i32) -> Result<(), Status> {
    let found = usize::try_from(index).is_ok_and(|index| daemon.manual.moments.delete(index));
    if found { Ok(()) } else { Err(Status::BadSample) }
}

/// `manual list`.
pub(super) fn manual_list(daemon: &Daemon) -> ManualList {
    let told = |one: &time_core::ManualSample| ManualSample {
        when: super::timespec(one.when.0),
        slewed_offset: Float(one.offset),
        original_offset: Float(one.original),
        residual: Float(one.residual),
    };
    ManualList { samples: daemon.manual.moments.samples().map(told).collect() }
}

/// `settime`: what was typed is the time now.
pub(super) fn settime(daemon: &mut Daemon, told: Timespec) -> Result<ManualTimestamp, Status> {
    if !daemon.manual.enabled {
        return Err(Status::NotEnabled);
    }
    let nanos =
        told.seconds.checked_mul(1_000_000_000).and_then(|all| all.checked_add(told.nanoseconds.into()));
    let nanos = nanos.ok_or(Status::Invalid)?;
    let (fit, frequency_ppm) = daemon.set_by_hand(nanos).ok_or(Status::Failed)?;
    Ok(ManualTimestamp {
        offset: Float(fit.offset),
        frequency_change_ppm: Float(fit.frequency * 1e6),
        frequency_ppm: Float(frequency_ppm),
    })
}

/// `add server|pool|peer`.
pub(super) fn add(daemon: &mut Daemon, new: &NewSource, now: Duration) -> Result<(), Status> {
    let name = new.name.as_str().filter(|name| is_host_name(name)).ok_or(Status::InvalidName)?.to_owned();
    let kind = match new.kind {
        SourceKind::Server => chrony_conf::SourceKind::Server,
        SourceKind::Pool => chrony_conf::SourceKind::Pool,
        SourceKind::Peer => chrony_conf::SourceKind::Peer,
        SourceKind::Other(_) => return Err(Status::Invalid),
    };
    let options = options(new)?;
    if let Ok(address) = name.parse::<IpAddr>() {
        if options.family.is_some_and(|family| (family == AddressFamily::V4) != address.is_ipv4()) {
            return Err(Status::InvalidAddressFamily);
        }
        if daemon.has_address(address) {
            return Err(Status::SourceAlreadyKnown);
        }
    }
    let source = Source { kind, name, options };
    let line = crate::config::added(&source, &daemon.config.settings).ok_or(Status::Failed)?;
    daemon.add_new_source(line, now);
    Ok(())
}

/// What may stand in a source's name: it goes to a resolver and into logs.
fn is_host_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn options(new: &NewSource) -> Result<SourceOptions, Status> {
    /// chrony's number for "estimate it".
    const ASYMMETRY_ESTIMATED: f64 = 1.0;
    let has = |flag: SourceFlags| new.flags.contains(flag);
    let small = |value: i32| i8::try_from(value.clamp(-32, 100)).unwrap_or(0);
    let mut extfields = Vec::new();
    extfields.extend(has(SourceFlags::EXTFIELD_MONO_ROOT).then_some(0xf323));
    extfields.extend(has(SourceFlags::EXTFIELD_NET_CORRECTION).then_some(0x010a));
    let (minpoll, maxpoll) = (poll(new.minpoll)?, poll(new.maxpoll)?);
    Ok(SourceOptions {
        port: u16::try_from(new.port).ok().filter(|port| *port > 0).ok_or(Status::Invalid)?,
        minpoll,
        maxpoll: maxpoll.max(minpoll),
        iburst: has(SourceFlags::IBURST),
        burst: has(SourceFlags::BURST),
        prefer: has(SourceFlags::PREFER),
        noselect: has(SourceFlags::NOSELECT),
        trust: has(SourceFlags::TRUST),
        require: has(SourceFlags::REQUIRE),
        offline: !has(SourceFlags::ONLINE),
        auto_offline: has(SourceFlags::AUTO_OFFLINE),
        key: (new.key != 0).then_some(new.key),
        version: u8::try_from(new.version).ok().filter(|version| (1..=4).contains(version)),
        family: match (has(SourceFlags::IPV4), has(SourceFlags::IPV6)) {
            (true, false) => Some(AddressFamily::V4),
            (false, true) => Some(AddressFamily::V6),
            _ => None,
        },
        xleave: has(SourceFlags::INTERLEAVED),
        maxsources: u8::try_from(new.max_sources.clamp(1, 16)).unwrap_or(4),
        polltarget: new.poll_target.max(1),
        minsamples: u32::try_from(new.min_samples).ok(),
        maxsamples: u32::try_from(new.max_samples).ok(),
        presend: small(new.presend_minpoll),
        maxdelay: new.max_delay.0.clamp(0.0, DELAY_MAX),
        maxdelayratio: new.max_delay_ratio.0,
        maxdelaydevratio: new.max_delay_dev_ratio.0,
        maxdelayquant: new.max_delay_quantile.0,
        mindelay: new.min_delay.0,
        asymmetry: Some(new.asymmetry.0).filter(|ratio| *ratio < ASYMMETRY_ESTIMATED),
        offset: new.offset.0,
        minstratum: u8::try_from(new.min_stratum.min(16)).unwrap_or(0),
        filter: u32::try_from(new.filter_length).unwrap_or(0),
        maxunreach: u32::try_from(new.max_unreach).unwrap_or(0),
        copy: has(SourceFlags::COPY),
        extfields,
        nts: has(SourceFlags::NTS),
        ntsport: u16::try_from(new.nts_port).map_err(|_| Status::Invalid)?,
        certset: new.certificate_set,
    })
}
