//! The answers to `chronyc`.

mod change;
pub(crate) mod people;
mod told;

use crate::daemon::Daemon;
use crate::events::Happened;
use crate::peers::{Peer, Wanted};
use crate::serving::Memory;
use chrony_cmd::{
    AccessRule, Activity, Address, AuthData, AuthMode, Burst, ClientAccess, ClientAccesses, ClientPage,
    Float, LeapStatus, MakestepRule, Name, NtpData, NtpPacket, NtpTimestamps, Reply, Request, SelectData,
    SelectOptions, ServerPackets, ServerStats, SourceData, SourceMode, SourceState, SourceStats, Status,
    Subnet, Timespec, Tracking,
};
use ntp_proto::{AccessList, ClientAccount, Service};
use std::net::IpAddr;
use std::time::Duration;
use time_core::{LocalTime, MakeStep, SourceId, SourceStatistics, Verdict};

/// Reference id of a clock that follows itself (`local`), as chronyd shows it.
pub(crate) const LOCAL_REFERENCE_ID: [u8; 4] = [127, 127, 1, 1];
/// "Unknown" in the protocol's exponents of intervals.
const INTERVAL_UNKNOWN: i8 = 127;
/// "Never" in the protocol's seconds.
const NEVER: u32 = u32::MAX;

/// The requests behind the reports that `opencommands` names.
pub(crate) fn open(names: &[&str]) -> chrony_cmd::OpenCommands {
    use chrony_cmd::Command;
    let mut open = chrony_cmd::OpenCommands::NONE;
    for name in names {
        let commands: &[Command] = match *name {
            "activity" => &[Command::Activity],
            "authdata" => &[Command::NSources, Command::AuthData],
            "clients" => &[Command::ClientAccesses],
            "manual" => &[Command::ManualList],
            "ntpdata" => &[Command::NSources, Command::NtpData],
            "rtcdata" => &[Command::RtcReport],
            "selectdata" => &[Command::NSources, Command::SelectData],
            "serverstats" => &[Command::ServerStats],
            "smoothing" => &[Command::Smoothing],
            "sourcename" => &[Command::SourceName],
            "sources" => &[Command::NSources, Command::SourceData],
            "sourcestats" => &[Command::NSources, Command::SourceStats],
            "tracking" => &[Command::Tracking],
            _ => &[],
        };
        open = commands.iter().fold(open, |open, command| open.with(*command));
    }
    open
}

/// Does what a request says.
pub(crate) fn answer(daemon: &mut Daemon, request: Request, now: Duration) -> Result<Reply, Status> {
    Ok(match request {
        Request::NSources => Reply::NSources(rows(daemon).len() as u32),
        Request::SourceData(index) => Reply::SourceData(source_data(daemon, index)?),
        Request::SourceStats(index) => Reply::SourceStats(source_stats(daemon, index)?),
        Request::SelectData(index) => Reply::SelectData(select_data(daemon, index)?),
        Request::Tracking => Reply::Tracking(tracking(daemon)),
        Request::Activity => Reply::Activity(activity(daemon)),
        Request::SourceName(address) => Reply::SourceName(Box::new(source_name(daemon, address)?)),
        Request::NtpData(address) => Reply::NtpData(Box::new(ntp_data(daemon, address)?)),
        Request::AuthData(address) => Reply::AuthData(auth_data(daemon, address, now)?),
        Request::ServerStats => Reply::ServerStats(Box::new(server_stats(daemon))),
        Request::RtcReport => Reply::Rtc(daemon.rtc_report().ok_or(Status::NoRtc)?),
        Request::Smoothing => Reply::Smoothing(smoothing(daemon).ok_or(Status::NotEnabled)?),
        Request::Settime(told) => Reply::ManualTimestamp(change::settime(daemon, told)?),
        Request::ManualList => Reply::ManualList(change::manual_list(daemon)),
        Request::ClientAccesses(page) => Reply::ClientAccesses(client_accesses(daemon, page, now)?),
        other => return act(daemon, other, now).map(|()| Reply::Null),
    })
}

/// The commands that change something.
fn act(daemon: &mut Daemon, request: Request, now: Duration) -> Result<(), Status> {
    let told = told::line(daemon, &request);
    match request {
        Request::Online(subnet) => switch(daemon, subnet, true, now),
        Request::Offline(subnet) => switch(daemon, subnet, false, now),
        Request::Onoffline => {
            daemon.network_changed(now);
            Ok(())
        }
        Request::Burst(burst) => start_burst(daemon, burst, now),
        Request::Makestep => {
            // As chronyd with -x: there is no clock to step. That the kernel refuses is told where it does.
            if !daemon.clock.is_kernel() {
                daemon.only_measures("makestep");
                Err(Status::Failed)
            } else if daemon.step_now() {
                Ok(())
            } else {
                Err(Status::Failed)
            }
        }
        Request::ModifyMakestep(rule) => {
            daemon.keeper.set_make_step(make_step(rule));
            Ok(())
        }
        Request::Allow(rule) => access(daemon.server.access_mut(), rule, true, false),
        Request::AllowAll(rule) => access(daemon.server.access_mut(), rule, true, true),
        Request::Deny(rule) => access(daemon.server.access_mut(), rule, false, false),
        Request::DenyAll(rule) => access(daemon.server.access_mut(), rule, false, true),
        Request::CmdAllow(rule) => access(&mut daemon.command_access, rule, true, false),
        Request::CmdAllowAll(rule) => access(&mut daemon.command_access, rule, true, true),
        Request::CmdDeny(rule) => access(&mut daemon.command_access, rule, false, false),
        Request::CmdDenyAll(rule) => access(&mut daemon.command_access, rule, false, true),
        Request::AccessCheck(address) => Err(check(daemon.server.access(), address)?),
        Request::CmdAccessCheck(address) => Err(check(&daemon.command_access, address)?),
        Request::CycleLogs => {
            daemon.reopen_logs();
            Ok(())
        }
        Request::Refresh => {
            daemon.wanted.iter_mut().for_each(|wanted| wanted.refresh(now));
            Ok(())
        }
        Request::ReloadSources => {
            daemon.reload_sources(now);
            Ok(())
        }
        Request::Rekey => daemon.read_keys().map_err(|what| {
            daemon.say(&Happened::Trouble { what });
            Status::Failed
        }),
        Request::Shutdown => {
            daemon.stop();
            Ok(())
        }
        Request::DeleteSource(address) => {
            let index = position(daemon, address)?;
            daemon.remove_peer(index);
            Ok(())
        }
        Request::ModifyMinpoll(_)
        | Request::ModifyMaxpoll(_)
        | Request::ModifyMaxdelay(_)
        | Request::ModifyMaxdelayratio(_)
        | Request::ModifyMaxdelaydevratio(_)
        | Request::ModifyMinstratum(_)
        | Request::ModifyPolltarget(_)
        | Request::ModifyOffset(_)
        | Request::ModifySelectOptions(_) => change::source(daemon, &request, now),
        Request::ModifyMaxupdateskew(skew) => {
            daemon.keeper.discipline_mut().set_update_skew_max(skew.0 * 1e-6);
            Ok(())
        }
        Request::Dump(_) => {
            daemon.dump();
            daemon.dump_securing();
            Ok(())
        }
        Request::ChangeOffset(fast) => {
            daemon.shift_clock(fast.0, 0.0);
            Ok(())
        }
        Request::ChangeFrequency(ppm) => {
            daemon.shift_clock(0.0, ppm.0 * 1e-6);
            Ok(())
        }
        Request::Reselect => {
            daemon.choose_again();
            Ok(())
        }
        Request::ReselectDistance(distance) => {
            daemon.keeper.selection_mut().reselect_distance = distance.0;
            Ok(())
        }
        Request::ResetSources => {
            daemon.reset_sources();
            Ok(())
        }
        Request::Manual(mode) => change::manual(daemon, mode),
        Request::ManualDelete(index) => change::manual_delete(daemon, index),
        Request::LocalShort(mode) => change::local(daemon, mode, None),
        Request::Local(mode) => change::local(daemon, mode.short, Some(mode)),
        Request::AddSource(source) => change::add(daemon, &source, now),
        Request::WriteRtc => match daemon.write_rtc() {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(Status::BadRtcFile),
            None => Err(Status::NoRtc),
        },
        Request::TrimRtc => match daemon.trim_rtc() {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => Err(Status::Failed),
            None => Err(Status::NoRtc),
        },
        Request::Smoothtime(activate) => {
            if daemon.set_smoothing(activate != 0) {
                Ok(())
            } else {
                Err(Status::NotEnabled)
            }
        }
        _ => Err(Status::Invalid),
    }?;
    if let Some(what) = told {
        daemon.say(&Happened::Ordered { what });
    }
    daemon.open_server_sockets_if_needed();
    Ok(())
}

/// What stands in one row of the reports about sources.
enum Row<'a> {
    Clock(&'a crate::refclocks::RefClock),
    Peer(&'a Peer),
    /// A server without an address yet: its number, and the line that wants it.
    Missing(u32, &'a Wanted),
}

/// The rows as chronyd has them: reference clocks first, then the lines in the order in which they were read, of each line the servers that
/// have an address and one row for each that has none.
fn rows(daemon: &Daemon) -> Vec<Row<'_>> {
    let peers = daemon.peers.iter().map(|peer| (peer.number, Row::Peer(peer)));
    let missing = daemon
        .wanted
        .iter()
        .flat_map(|line| line.numbers_missing().map(move |number| (line.number, Row::Missing(number, line))));
    let mut servers: Vec<(u32, Row<'_>)> = peers.chain(missing).collect();
    // It keeps the order of what belongs to one line.
    servers.sort_by_key(|(line, _)| *line);
    let clocks = daemon.refclocks.iter().map(Row::Clock);
    clocks.chain(servers.into_iter().map(|(_, row)| row)).collect()
}

fn row(daemon: &Daemon, index: u32) -> Result<Row<'_>, Status> {
    rows(daemon).into_iter().nth(index as usize).ok_or(Status::NoSuchSource)
}

fn position(daemon: &Daemon, address: Address) -> Result<usize, Status> {
    let ip = address.ip().ok_or(Status::NoSuchSource)?;
    daemon.peers.iter().position(|peer| peer.address.ip() == ip).ok_or(Status::NoSuchSource)
}

fn find(daemon: &Daemon, address: Address) -> Result<&Peer, Status> {
    daemon.peers.get(position(daemon, address)?).ok_or(Status::NoSuchSource)
}

fn state(verdict: Verdict) -> SourceState {
    match verdict {
        Verdict::Selected => SourceState::Selected,
        Verdict::Combined => SourceState::Combined,
        Verdict::NotCombined => SourceState::NotCombined,
        Verdict::Falseticker => SourceState::Falseticker,
        Verdict::Jittery => SourceState::Jittery,
        Verdict::Distant | Verdict::WrongStratum | Verdict::Unselectable => SourceState::Nonselectable,
    }
}

fn source_data(daemon: &Daemon, index: u32) -> Result<SourceData, Status> {
    let local = daemon.local_now();
    Ok(match row(daemon, index)? {
        Row::Clock(clock) => {
            // Its reference id stands in the place of an address.
            let address = Address::from(IpAddr::from(clock.reference_id));
            known_source(daemon, clock.id, address, clock.poll, clock.reach(), local)
        }
        Row::Peer(peer) => {
            let address = peer.address.ip().into();
            known_source(daemon, peer.id, address, peer.client.poll(), peer.client.reach(), local)
        }
        Row::Missing(number, wanted) => SourceData {
            address: Address::Unresolved(number),
            poll: i16::from(wanted.line.treatment.poll_min),
            stratum: 0,
            state: SourceState::Nonselectable,
            mode: change::mode(wanted.line.symmetric),
            flags: 0,
            reachability: 0,
            since_sample: NEVER,
            original_offset: Float(0.0),
            adjusted_offset: Float(0.0),
            error: Float(0.0),
        },
    })
}

fn known_source(
    daemon: &Daemon,
    id: SourceId,
    address: Address,
    poll: i8,
    reach: u8,
    local: LocalTime,
) -> SourceData {
    let mut last = daemon.keeper.source(id).and_then(|source| source.last().copied());
    let is_clock = daemon.refclocks.iter().any(|clock| clock.id == id);
    let peer = daemon.peers.iter().find(|peer| peer.id == id);
    if let (Some(last), Some(measured)) = (&mut last, peer.and_then(|peer| peer.last.as_ref())) {
        last.delay = measured.delay;
    }
    SourceData {
        address,
        poll: i16::from(poll),
        stratum: last.map_or(0, |last| u16::from(last.stratum)),
        // What is never selected is not judged either (`chrony.conf(5)`, noselect).
        state: match daemon.effective_options(id).noselect {
            true => SourceState::Nonselectable,
            false => state(daemon.keeper.verdict(id)),
        },
        mode: if is_clock {
            SourceMode::ReferenceClock
        } else {
            change::mode(peer.is_some_and(|peer| peer.line.symmetric))
        },
        flags: 0,
        reachability: u16::from(reach),
        since_sample: last.map_or(NEVER, |last| seconds(local, last.received)),
        original_offset: Float(last.map_or(0.0, |last| -last.offset)),
        adjusted_offset: Float(-daemon.keeper.adjusted_offset(id, local).unwrap_or(0.0)),
        error: Float(last.as_ref().map_or(0.0, sample_error)),
    }
}

fn source_stats(daemon: &Daemon, index: u32) -> Result<SourceStats, Status> {
    let local = daemon.local_now();
    Ok(match row(daemon, index)? {
        Row::Clock(clock) => known_stats(daemon, clock.id, clock.number(), Address::Unspecified, local),
        Row::Peer(peer) => {
            let reference_id = u32::from_be_bytes(peer.reference_id().0);
            known_stats(daemon, peer.id, reference_id, peer.address.ip().into(), local)
        }
        Row::Missing(number, _) => told_stats(0, Address::Unresolved(number), SourceStatistics::default()),
    })
}

fn known_stats(
    daemon: &Daemon,
    id: SourceId,
    reference_id: u32,
    address: Address,
    local: LocalTime,
) -> SourceStats {
    told_stats(reference_id, address, daemon.keeper.statistics(id, local).unwrap_or_default())
}

/// In the protocol's units. Without samples nothing is known, which chronyd shows by its largest values.
fn told_stats(reference_id: u32, address: Address, one: SourceStatistics) -> SourceStats {
    const UNKNOWN_SKEW_PPM: f64 = 2000.0;
    const UNKNOWN_DEVIATION: f64 = 4.0;
    let unknown = one.samples == 0;
    SourceStats {
        reference_id,
        address,
        samples: one.samples,
        runs: one.runs,
        span_seconds: one.span as u32,
        standard_deviation: Float(if unknown { UNKNOWN_DEVIATION } else { one.deviation }),
        residual_frequency_ppm: Float(one.residual_frequency * 1e6),
        skew_ppm: Float(if unknown { UNKNOWN_SKEW_PPM } else { one.skew * 1e6 }),
        offset: Float(-one.offset),
        offset_error: Float(if unknown { UNKNOWN_DEVIATION } else { one.offset_sigma }),
    }
}

fn select_data(daemon: &Daemon, index: u32) -> Result<SelectData, Status> {
    let local = daemon.local_now();
    Ok(match row(daemon, index)? {
        Row::Clock(clock) => {
            let last = daemon.keeper.source(clock.id).and_then(|source| source.last());
            let leap = last.map_or(3, |last| match last.leap {
                time_core::LeapStatus::Normal => 0,
                time_core::LeapStatus::Insert => 1,
                time_core::LeapStatus::Delete => 2,
            });
            let known = (clock.number(), Address::Unspecified, false, leap);
            known_selection(daemon, clock.id, clock.treatment, known, local)
        }
        Row::Peer(peer) => {
            let authenticated = peer.line.authenticity() == time_core::Authenticity::Authenticated;
            let leap = peer.last.as_ref().map_or(3, |last| last.header.leap.bits());
            let reference_id = u32::from_be_bytes(peer.reference_id().0);
            let known = (reference_id, peer.address.ip().into(), authenticated, leap);
            known_selection(daemon, peer.id, peer.line.treatment, known, local)
        }
        // A name without an address yet is listed like a source without samples.
        Row::Missing(number, wanted) => SelectData {
            reference_id: 0,
            address: Address::Unresolved(number),
            state: b'M',
            authenticated: 0,
            leap: 3,
            unused: 0,
            configured: options(wanted.line.treatment),
            effective: options(wanted.line.treatment),
            last_sample_ago: 0,
            score: Float(1.0),
            offset_min: Float(0.0),
            offset_max: Float(0.0),
        },
    })
}

/// `known`: its reference id and address, whether it is authenticated, and its leap bits.
fn known_selection(
    daemon: &Daemon,
    id: SourceId,
    configured: time_core::SourceSettings,
    (reference_id, address, authenticated, leap): (u32, Address, bool, u8),
    local: LocalTime,
) -> SelectData {
    let last = daemon.keeper.source(id).and_then(|source| source.last());
    // What the selection goes by; before it can, what the last sample says by itself.
    let interval = daemon.keeper.interval(id, local).map(|one| (one.offset, one.distance)).or_else(|| {
        let offset = daemon.keeper.adjusted_offset(id, local)?;
        last.map(|last| (offset, sample_error(last)))
    });
    SelectData {
        reference_id,
        address,
        state: selection_letter(daemon, id),
        authenticated: u8::from(authenticated),
        leap,
        unused: 0,
        configured: options(configured),
        effective: options(daemon.effective_options(id)),
        // When the choice was made, as chronyd tells it; the present age stands in `sources`.
        last_sample_ago: last
            .zip(daemon.keeper.chosen_at())
            .map_or(0, |(last, chosen)| seconds(chosen.max(last.received), last.received)),
        score: Float(1.0),
        offset_min: Float(interval.map_or(0.0, |(offset, distance)| -offset - distance)),
        offset_max: Float(interval.map_or(0.0, |(offset, distance)| -offset + distance)),
    }
}

/// What `selectdata` shows of a source's options.
fn options(treatment: time_core::SourceSettings) -> SelectOptions {
    SelectOptions::default()
        .with(SelectOptions::NOSELECT, treatment.noselect)
        .with(SelectOptions::PREFER, treatment.prefer)
        .with(SelectOptions::TRUST, treatment.trust)
        .with(SelectOptions::REQUIRE, treatment.require)
}

/// How far the time of one sample may be off, in seconds.
fn sample_error(last: &time_core::Exchange) -> f64 {
    last.dispersion + last.root_dispersion + (last.delay + last.root_delay) / 2.0
}

/// What the selection makes of a source, in the letters of `selectdata` (`chronyc(1)`).
pub(crate) fn selection_letter(daemon: &Daemon, id: SourceId) -> u8 {
    let options = daemon.effective_options(id);
    match daemon.keeper.verdict(id) {
        Verdict::Selected => b'*',
        Verdict::Combined => b'+',
        // Before anything was measured no choice was made.
        _ if options.noselect && daemon.keeper.sources().any(|(_, one)| one.last().is_some()) => b'N',
        // It has no time of its own: "not synchronised".
        Verdict::Unselectable
            if options.local && daemon.keeper.source(id).is_some_and(|one| one.is_selectable()) =>
        {
            b's'
        }
        Verdict::Falseticker => b'x',
        Verdict::Jittery => b'~',
        Verdict::Distant => b'd',
        Verdict::WrongStratum => b'r',
        Verdict::Unselectable => b'M',
        Verdict::NotCombined => {
            let all = || daemon.keeper.sources().map(|(id, _)| id);
            if !all().any(|other| daemon.keeper.verdict(other) == Verdict::Selected) {
                return b'W';
            }
            let prefers = all().any(|other| {
                daemon.keeper.verdict(other) == Verdict::Selected && daemon.effective_options(other).prefer
            });
            if prefers && !options.prefer { b'P' } else { b'D' }
        }
    }
}

/// The state of the clock, as the protocol tells it.
pub(crate) fn tracking(daemon: &Daemon) -> Tracking {
    let local = daemon.local_now();
    let one = daemon.keeper.tracking(local);
    let is_local = daemon.local_reference(&one);
    let (reference_id, address, stratum, leap) = match (daemon.followed(&one), is_local) {
        (_, Some(own)) => {
            (LOCAL_REFERENCE_ID, Address::Unspecified, u16::from(own.stratum), LeapStatus::Normal)
        }
        (Some((followed, id, stratum)), None) => {
            let leap = match daemon.leap.status {
                time_core::LeapStatus::Normal => LeapStatus::Normal,
                time_core::LeapStatus::Insert => LeapStatus::InsertSecond,
                time_core::LeapStatus::Delete => LeapStatus::DeleteSecond,
            };
            (id.0, followed.map_or(Address::Unspecified, Address::from), u16::from(stratum), leap)
        }
        (None, None) => ([0; 4], Address::Unspecified, 0, LeapStatus::Unsynchronised),
    };
    let is_local = is_local.is_some();
    let reference = if is_local { Some(local) } else { one.reference };
    // With -x the kernel's clock is not ours: what it lacks is part of what remains to be corrected.
    let remaining = one.offset + daemon.clock.ahead_of_kernel();
    Tracking {
        reference_id: u32::from_be_bytes(reference_id),
        address,
        stratum,
        leap,
        reference_time: timespec(reference.map_or(0, |time| time.0)),
        current_correction: Float(remaining),
        last_offset: Float(-one.last_offset),
        rms_offset: Float(one.rms_offset),
        frequency_ppm: Float(-one.frequency * 1e6),
        residual_frequency_ppm: Float(-one.residual_frequency * 1e6),
        skew_ppm: Float(one.skew * 1e6),
        root_delay: Float(if is_local { 0.0 } else { one.root_delay }),
        root_dispersion: Float(if is_local { 0.0 } else { one.root_dispersion }),
        update_interval: Float(one.update_interval),
    }
}

fn smoothing(daemon: &Daemon) -> Option<chrony_cmd::Smoothing> {
    let state = daemon.smoothing_state()?;
    Some(chrony_cmd::Smoothing {
        flags: u32::from(state.active) | u32::from(state.leap_only) << 1,
        offset: Float(state.offset),
        frequency_ppm: Float(state.frequency * 1e6),
        wander_ppm: Float(state.wander * 1e6),
        last_update_ago: Float(state.last_update_ago),
        remaining_time: Float(state.remaining),
    })
}

fn activity(daemon: &Daemon) -> Activity {
    let count = |holds: &dyn Fn(&Peer) -> bool| daemon.peers.iter().filter(|peer| holds(peer)).count() as u32;
    Activity {
        online: count(&|peer| peer.client.is_online() && !peer.client.in_burst()),
        offline: count(&|peer| !peer.client.is_online()),
        burst_online: count(&|peer| peer.client.is_online() && peer.client.in_burst()),
        burst_offline: 0,
        unresolved: daemon.wanted.iter().map(|wanted| wanted.numbers_missing().len() as u32).sum(),
    }
}

fn source_name(daemon: &Daemon, address: Address) -> Result<Name, Status> {
    let name = match address {
        Address::Unresolved(number) => {
            let wanted = daemon.wanted.iter().find(|wanted| wanted.numbers_missing().contains(&number));
            wanted.map(|wanted| wanted.line.name.as_str()).ok_or(Status::NoSuchSource)?
        }
        _ => find(daemon, address)?.name.as_str(),
    };
    Name::new(name).ok_or(Status::InvalidName)
}

fn ntp_data(daemon: &Daemon, address: Address) -> Result<NtpData, Status> {
    let peer = find(daemon, address)?;
    let (sent, good) = peer.client.counts();
    let last = peer.last.as_ref();
    let header = last.map(|last| last.header);
    // Test D, the last one, is that of a loop.
    let tests = if last.is_none() { 0 } else { 0x3ff ^ u16::from(peer.loops > 0) };
    let authenticated = last.is_some_and(|last| last.authenticated);
    Ok(NtpData {
        packet: NtpPacket {
            remote_address: peer.address.ip().into(),
            local_address: last.and(peer.local).map_or(Address::Unspecified, Address::from),
            remote_port: peer.address.port(),
            leap: header.map_or(0, |header| header.leap.bits()),
            version: header.map_or(0, |header| header.version),
            mode: header.map_or(0, |header| header.mode.bits()),
            stratum: header.map_or(0, |header| header.stratum),
            poll: header.map_or(0, |header| header.poll),
            precision: header.map_or(0, |header| header.precision),
            root_delay: Float(last.map_or(0.0, |last| last.root_delay)),
            root_dispersion: Float(last.map_or(0.0, |last| last.root_dispersion)),
            reference_id: header.map_or(0, |header| u32::from_be_bytes(header.reference_id.0)),
            reference_time: timespec(
                last.map_or(0, |last| last.header.reference.to_unix_nanos(last.received)),
            ),
            offset: Float(last.map_or(0.0, |last| last.offset)),
            peer_delay: Float(last.map_or(0.0, |last| last.delay)),
            peer_dispersion: Float(last.map_or(0.0, |last| last.dispersion)),
            response_time: Float(last.map_or(0.0, |last| last.server_time)),
            jitter_asymmetry: Float(daemon.keeper.source(peer.id).map_or(0.0, |source| source.asymmetry())),
            flags: NtpPacket::flags(tests, last.is_some_and(|last| last.interleaved), authenticated),
            transmit_stamp: last.map_or(0, |_| peer.sent_by.letter() as u8),
            receive_stamp: last.map_or(0, |_| peer.received_by.letter() as u8),
            sent: sent as u32,
            received: peer.received,
            valid: peer.valid,
            good: (good as u32).wrapping_sub(peer.loops),
        },
        timestamps: Some(NtpTimestamps {
            kernel_sent: peer.kernel_sent_count,
            kernel_received: peer.valid.wrapping_sub(peer.card_received_count),
            hardware_sent: peer.card_sent_count,
            hardware_received: peer.card_received_count,
        }),
    })
}

fn auth_data(daemon: &Daemon, address: Address, now: Duration) -> Result<AuthData, Status> {
    match address {
        // It has used nothing yet.
        Address::Unresolved(number)
            if daemon.wanted.iter().any(|one| one.numbers_missing().contains(&number)) =>
        {
            Ok(key_auth_data(None))
        }
        _ => Ok(peer_auth_data(find(daemon, address)?, now)),
    }
}

fn peer_auth_data(peer: &Peer, now: Duration) -> AuthData {
    if let Some(nts) = &peer.nts {
        let report = nts.association.report(now);
        return AuthData {
            mode: AuthMode::Nts,
            key_type: report.algorithm,
            key_id: report.context,
            key_length: report.key_bits,
            ke_attempts: report.attempts,
            last_ke_ago: report.last_established.map_or(NEVER, |ago| ago.as_secs() as u32),
            cookies: report.cookies,
            cookie_length: report.cookie_bytes,
            nak: report.naks,
            unused: 0,
        };
    }
    key_auth_data(peer.client.config().key.as_ref())
}

fn key_auth_data(key: Option<&(u32, ntp_proto::Key)>) -> AuthData {
    AuthData {
        mode: if key.is_some() { AuthMode::Symmetric } else { AuthMode::None },
        key_type: key.map_or(0, |(_, key)| key_type(key.kind())),
        key_id: key.map_or(0, |(id, _)| *id),
        key_length: key.map_or(0, |(_, key)| key.bits() as u16),
        ke_attempts: 0,
        last_ke_ago: NEVER,
        cookies: 0,
        cookie_length: 0,
        nak: 0,
        unused: 0,
    }
}

/// The numbers by which chrony's programs know the algorithms (`authdata`).
fn key_type(kind: ntp_proto::KeyType) -> u16 {
    use ntp_proto::KeyType;
    match kind {
        KeyType::Md5 => 1,
        KeyType::Sha1 => 2,
        KeyType::Sha256 => 3,
        KeyType::Sha384 => 4,
        KeyType::Sha512 => 5,
        KeyType::Aes128 => 13,
        KeyType::Aes256 => 14,
    }
}

fn server_stats(daemon: &Daemon) -> ServerStats {
    let totals = daemon.serving.totals();
    let counters = totals.server;
    let memory = daemon.serving.memory();
    let (timestamps_held, span) = memory.map_or((0, 0.0), Memory::stamps_held);
    ServerStats {
        packets: ServerPackets {
            ntp_received: counters.received,
            ntp_dropped: counters.denied + counters.malformed + totals.limited,
            ntp_authenticated: counters.authenticated,
            ntp_interleaved: counters.interleaved,
            commands_received: daemon.commands_received,
            commands_dropped: daemon.commands_dropped,
            client_records_dropped: memory.map_or(0, Memory::evicted),
            timestamps_held,
            timestamp_span: span as u64,
            nts_ke_accepted: daemon.key_connections().0,
            nts_ke_dropped: daemon.key_connections().1,
        },
        timestamps: Some(chrony_cmd::ServerTimestamps {
            kernel_received: totals.kernel_received,
            daemon_received: totals.daemon_received,
            hardware_received: totals.card_received,
            kernel_sent: totals.kernel_sent.saturating_sub(totals.card_sent_late),
            daemon_sent: totals.daemon_sent,
            hardware_sent: totals.card_sent + totals.card_sent_late,
        }),
    }
}

/// A page of the table of clients (`clients`).
fn client_accesses(daemon: &Daemon, page: ClientPage, now: Duration) -> Result<ClientAccesses, Status> {
    let memory = daemon.serving.memory().ok_or(Status::Inactive)?;
    let places = memory.places();
    let wanted = (page.clients as usize).min(ClientAccesses::MAX);
    let mut place = page.first_index as usize;
    let mut clients = Vec::new();
    let interval = |account: &ClientAccount| account.interval().unwrap_or(INTERVAL_UNKNOWN);
    while place < places && clients.len() < wanted {
        let found = memory.client(place, page.reset != 0);
        place += 1;
        let Some(client) = found else { continue };
        let [ntp, nts_ke, command] =
            [Service::Ntp, Service::NtsKe, Service::Command].map(|service| client.account(service));
        if ntp.hits.saturating_add(nts_ke.hits).saturating_add(command.hits) < page.min_hits {
            continue;
        }
        clients.push(ClientAccess {
            address: client.address().into(),
            ntp_hits: ntp.hits,
            nts_ke_hits: nts_ke.hits,
            command_hits: command.hits,
            ntp_drops: ntp.drops,
            nts_ke_drops: nts_ke.drops,
            command_drops: command.drops,
            ntp_interval: interval(ntp),
            nts_ke_interval: interval(nts_ke),
            command_interval: interval(command),
            ntp_timeout_interval: ntp.limited_interval().unwrap_or(INTERVAL_UNKNOWN),
            last_ntp_ago: ntp.age(now).unwrap_or(NEVER),
            last_nts_ke_ago: nts_ke.age(now).unwrap_or(NEVER),
            last_command_ago: command.age(now).unwrap_or(NEVER),
        });
    }
    Ok(ClientAccesses { indices: places as u32, next_index: place as u32, clients })
}

fn switch(daemon: &mut Daemon, subnet: Subnet, online: bool, now: Duration) -> Result<(), Status> {
    let mut found = false;
    let mut changed = Vec::new();
    for peer in &mut daemon.peers {
        if subnet.contains(peer.address.ip().into()) {
            let before = peer.client.is_online();
            peer.client.set_online(online, now);
            found = true;
            if before != peer.client.is_online() {
                // Not in the same moment as the answer to the command, and whoever turns on one source turns on another one.
                peer.client.postpone(now + crate::daemon::REQUESTS_APART);
                let what = format!("Source {} {}", peer.label(), if online { "online" } else { "offline" });
                changed.push(Happened::Ordered { what });
            }
        }
    }
    changed.iter().for_each(|one| daemon.say(one));
    let all = subnet.address == Address::Unspecified;
    if found || (all && !daemon.wanted.is_empty()) { Ok(()) } else { Err(Status::NoSuchSource) }
}

fn start_burst(daemon: &mut Daemon, burst: Burst, now: Duration) -> Result<(), Status> {
    let count = |value: i32| u8::try_from(value).ok().filter(|value| *value > 0).ok_or(Status::Invalid);
    let (good, total) = (count(burst.good)?, count(burst.total)?);
    let mut found = false;
    for peer in &mut daemon.peers {
        if burst.sources.contains(peer.address.ip().into()) {
            peer.client.burst(now, good, total);
            // As with `online`: not in the same moment as the answer to the command.
            peer.client.postpone(now + crate::daemon::REQUESTS_APART);
            found = true;
        }
    }
    if found { Ok(()) } else { Err(Status::NoSuchSource) }
}

fn make_step(rule: MakestepRule) -> Option<MakeStep> {
    match u32::try_from(rule.limit) {
        Ok(0) => None,
        Ok(limit) => Some(MakeStep { threshold: rule.threshold.0, limit: Some(limit) }),
        Err(_) => Some(MakeStep { threshold: rule.threshold.0, limit: None }),
    }
}

fn access(list: &mut AccessList, rule: AccessRule, allow: bool, all: bool) -> Result<(), Status> {
    let bits = u8::try_from(rule.bits).map_err(|_| Status::BadSubnet)?;
    let subnets: Vec<ntp_proto::Subnet> = match rule.address.ip() {
        Some(ip) => vec![ntp_proto::Subnet::new(ip, bits).ok_or(Status::BadSubnet)?],
        None => crate::config::everybody().to_vec(),
    };
    for subnet in subnets {
        list.set(subnet, allow, all);
    }
    Ok(())
}

fn check(list: &AccessList, address: Address) -> Result<Status, Status> {
    let ip: IpAddr = address.ip().ok_or(Status::Invalid)?;
    Ok(if list.allows(ip) { Status::AccessAllowed } else { Status::AccessDenied })
}

fn seconds(now: LocalTime, then: LocalTime) -> u32 {
    now.since(then).max(0.0) as u32
}

fn timespec(nanos: i64) -> Timespec {
    Timespec { seconds: nanos.div_euclid(1_000_000_000), nanoseconds: nanos.rem_euclid(1_000_000_000) as u32 }
}

#[cfg(test)]
mod tests {
    /// Goal: every report that `opencommands` may name opens something, and its default is the protocol's own.
    #[test]
    fn every_open_command_opens_something() {
        for name in chrony_conf::OPEN_COMMANDS {
            assert_ne!(super::open(&[name]), chrony_cmd::OpenCommands::NONE, "{name}");
        }
        assert_eq!(super::open(chrony_conf::OPEN_COMMANDS_DEFAULT), chrony_cmd::OpenCommands::default());
    }
}
