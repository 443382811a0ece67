//! What the log says of a command that changed something: chronyd's own words, so that whoever watches a log for them finds
//! them here too.

use crate::daemon::Daemon;
use chrony_cmd::{AccessRule, Address, Request};
use std::net::IpAddr;

/// The line for a command that is about to be done. None for one that says so by itself, or that changes nothing for long.
pub(super) fn line(daemon: &Daemon, request: &Request) -> Option<String> {
    let source = |address: Address, what: String| Some(format!("Source {} {what}", name(daemon, address)));
    // A reference clock has an id in the place of an address.
    let any = |address: Address, id: u32, what: String| match address {
        Address::Unspecified => Some(format!("Source {} {what}", crate::refclocks::label(id.to_be_bytes()))),
        _ => source(address, what),
    };
    let access = |rule: &AccessRule, what: &str| Some(format!("{what} access from {}", subnet(rule)));
    match request {
        Request::ModifyMinpoll(one) => source(one.source, format!("new minpoll {}", one.value)),
        Request::ModifyMaxpoll(one) => source(one.source, format!("new maxpoll {}", one.value)),
        Request::ModifyMinstratum(one) => source(one.source, format!("new minstratum {}", one.value)),
        Request::ModifyPolltarget(one) => source(one.source, format!("new polltarget {}", one.value)),
        Request::ModifyMaxdelay(one) => {
            // As it is taken.
            let delay = one.value.0.clamp(0.0, super::change::DELAY_MAX);
            source(one.source, format!("new maxdelay {delay:.6}"))
        }
        Request::ModifyMaxdelayratio(one) => {
            source(one.source, format!("new maxdelayratio {:.6}", one.value.0))
        }
        Request::ModifyMaxdelaydevratio(one) => {
            source(one.source, format!("new maxdelaydevratio {:.6}", one.value.0))
        }
        Request::ModifyOffset(one) => {
            any(one.source, one.reference_id, format!("new offset {:.6}", one.offset.0))
        }
        Request::ModifySelectOptions(one) => {
            any(one.source, one.reference_id, "selection options modified".to_owned())
        }
        Request::DeleteSource(address) => Some(format!("Removed source {}", name(daemon, *address))),
        Request::ModifyMaxupdateskew(skew) => Some(format!("New maxupdateskew {:.6} ppm", skew.0)),
        Request::ReselectDistance(distance) => Some(format!("New reselect distance {:.6}", distance.0)),
        Request::ModifyMakestep(rule) => Some(format!("New makestep {:.6} {}", rule.threshold.0, rule.limit)),
        Request::ChangeOffset(by) => Some(format!("Accumulated delta offset of {:.6} seconds", by.0)),
        Request::ChangeFrequency(by) => Some(format!("Accumulated delta freq of {:.3}ppm", by.0)),
        Request::Allow(rule) => access(rule, "Allowed NTP"),
        Request::AllowAll(rule) => access(rule, "Allowed all NTP"),
        Request::Deny(rule) => access(rule, "Denied NTP"),
        Request::DenyAll(rule) => access(rule, "Denied all NTP"),
        Request::CmdAllow(rule) => access(rule, "Allowed command"),
        Request::CmdAllowAll(rule) => access(rule, "Allowed all command"),
        Request::CmdDeny(rule) => access(rule, "Denied command"),
        Request::CmdDenyAll(rule) => access(rule, "Denied all command"),
        Request::ResetSources => Some("Reset all sources".to_owned()),
        Request::LocalShort(mode) => Some(local(mode.on)),
        Request::Local(mode) => Some(local(mode.short.on)),
        Request::Smoothtime(0) => Some("Reset time smoothing".to_owned()),
        Request::Smoothtime(_) => Some("Activated time smoothing".to_owned()),
        Request::Shutdown => Some("Received shutdown command".to_owned()),
        _ => None,
    }
}

/// Of a source: its address, as chronyd says it, and the name behind an address that is not known.
fn name(daemon: &Daemon, address: Address) -> String {
    match super::position(daemon, address).ok().and_then(|index| daemon.peers.get(index)) {
        Some(peer) => peer.label(),
        None => address.to_string(),
    }
}

fn subnet(rule: &AccessRule) -> String {
    match rule.address.ip() {
        None => "any address".to_owned(),
        Some(ip) => {
            let all = if ip.is_ipv4() { 32 } else { 128 };
            let bits = u32::try_from(rule.bits).unwrap_or(all).min(all);
            if bits == all { ip.to_string() } else { format!("{}/{bits}", masked(ip, bits)) }
        }
    }
}

/// The address with everything behind its first bits zero.
fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::from((u32::from(ip) & mask).to_be_bytes())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::from((u128::from(ip) & mask).to_be_bytes())
        }
    }
}

fn local(on: i32) -> String {
    format!("{} local reference mode", if on == 0 { "Disabled" } else { "Enabled" })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a rule of access is written as chronyd writes it.
    #[test]
    fn rules_are_written_in_chronyds_words() {
        let check = |address: &str, bits: i32, expected: &str| {
            let address = address.parse::<IpAddr>().map_or(Address::Unspecified, Address::from);
            assert_eq!(subnet(&AccessRule { address, bits }), expected);
        };
        check("10.1.2.3", 8, "10.0.0.0/8");
        check("10.1.2.3", 32, "10.1.2.3");
        check("10.1.2.3", 0, "0.0.0.0/0");
        check("2001:db8::1", 32, "2001:db8::/32");
        check("everybody", 0, "any address");
    }
}
