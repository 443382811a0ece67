//! The words behind a command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrony_cmd::{AccessRule, Address, Subnet};
use chrony_conf::leading_octets;

use crate::connection::{Family, resolve};

/// The number at the start of a text, as scanf(3) finds it; what follows it is left aside, as chronyc does.
pub(crate) fn leading<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8());
    let ends: Vec<usize> = ends.take(LEADING_BYTES_MAX).collect();
    ends.into_iter().rev().find_map(|end| text.get(..end)?.parse().ok())
}

/// Longer numbers are none.
const LEADING_BYTES_MAX: usize = 40;

/// A source: `ID#0000000001`, an address or a host name.
pub(crate) fn source(word: &str, family: Family) -> Option<Address> {
    if let Some(id) = word.strip_prefix("ID#") {
        return id.parse().ok().map(Address::Unresolved);
    }
    resolve(word, family).first().copied().map(Address::from)
}

/// Why `[[MASK/]ADDRESS]` or `ADDRESS/BITS` says nothing; the words are chronyc's.
pub(crate) const NO_HOST: &str = "Could not get address for hostname";
const NO_SUBNET: &str = "Invalid syntax for mask/address";

/// `[[MASK/]ADDRESS]` or `ADDRESS/BITS`; nothing means every source.
pub(crate) fn subnet(word: &str, family: Family) -> Result<Subnet, &'static str> {
    if word.is_empty() {
        return Ok(Subnet::ALL);
    }
    let Some((left, right)) = word.split_once('/') else {
        let address = source(word, family).ok_or(NO_HOST)?;
        let mask = match address {
            Address::V4(_) => Address::V4(Ipv4Addr::BROADCAST),
            Address::V6(_) => Address::V6(Ipv6Addr::from_bits(u128::MAX)),
            Address::Unspecified | Address::Unresolved(_) => Address::Unspecified,
        };
        return Ok(Subnet { mask, address });
    };
    let left: IpAddr = left.parse().map_err(|_| NO_SUBNET)?;
    if let Ok(right) = right.parse::<IpAddr>() {
        return if left.is_ipv4() == right.is_ipv4() {
            Ok(Subnet { mask: left.into(), address: right.into() })
        } else {
            Err(NO_SUBNET)
        };
    }
    let bits: u32 = right.parse().map_err(|_| NO_SUBNET)?;
    let mask = match left {
        IpAddr::V4(_) => {
            Address::V4(Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)))
        }
        IpAddr::V6(_) => {
            Address::V6(Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)))
        }
    };
    Ok(Subnet { mask, address: left.into() })
}

/// `[all] [SUBNET]` of `allow`, `deny` and their like: whether `all` was said, and the rule. The subnet is an address with
/// `/BITS`, one to three leading numbers of an IPv4 network, or a host name.
pub(crate) fn access_rule(words: &str, family: Family) -> Option<(bool, AccessRule)> {
    let mut words = words.split_whitespace().peekable();
    let all = words.next_if_eq(&"all").is_some();
    let Some(subnet) = words.next() else {
        return Some((all, AccessRule { address: Address::Unspecified, bits: 0 }));
    };
    if words.next().is_some() {
        return None;
    }
    let (host, bits) = match subnet.split_once('/') {
        Some((host, bits)) => (host, Some(bits.parse::<u8>().ok()?)),
        None => (subnet, None),
    };
    let width = |ip: IpAddr| if ip.is_ipv4() { 32 } else { 128 };
    let rule =
        |ip: IpAddr, default: u8| AccessRule { address: ip.into(), bits: bits.unwrap_or(default).into() };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some((all, rule(ip, width(ip))));
    }
    if let Some((octets, count)) = leading_octets(host) {
        return Some((all, rule(IpAddr::from(octets), count * 8)));
    }
    // Numbers and dots alone are no name, although a resolver may make an address of them (`inet_aton(3)`).
    if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let ip = *resolve(host, family).first().filter(|_| bits.is_none())?;
    Some((all, rule(ip, width(ip))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Address {
        Address::V4(text.parse().expect("an address"))
    }

    /// Goal: every way to name sources.
    #[test]
    fn subnets_are_read_as_chronyc_reads_them() {
        let check = |word: &str, expected: Result<(Address, Address), &str>| {
            assert_eq!(
                subnet(word, Family::Any).map(|subnet| (subnet.mask, subnet.address)),
                expected,
                "{word}"
            );
        };
        check("", Ok((Address::Unspecified, Address::Unspecified)));
        check("192.0.2.1", Ok((v4("255.255.255.255"), v4("192.0.2.1"))));
        check("255.255.255.0/192.0.2.0", Ok((v4("255.255.255.0"), v4("192.0.2.0"))));
        check("192.0.2.0/24", Ok((v4("255.255.255.0"), v4("192.0.2.0"))));
        check("0.0.0.0/0", Ok((v4("0.0.0.0"), v4("0.0.0.0"))));
        check("ID#0000000002", Ok((Address::Unspecified, Address::Unresolved(2))));
        check("::1/1.2.3.4", Err(NO_SUBNET));
        check("192.0.2.0/x", Err(NO_SUBNET));
        check("no such host", Err(NO_HOST));
    }

    /// Goal: every way to write an access rule.
    #[test]
    fn access_rules_are_read_as_chronyc_reads_them() {
        let check = |words: &str, expected: Option<(bool, Address, i32)>| {
            let read = access_rule(words, Family::Any).map(|(all, rule)| (all, rule.address, rule.bits));
            assert_eq!(read, expected, "{words}");
        };
        check("", Some((false, Address::Unspecified, 0)));
        check("all", Some((true, Address::Unspecified, 0)));
        check("all 10.0.0.0/8", Some((true, v4("10.0.0.0"), 8)));
        check("192.0.2.1", Some((false, v4("192.0.2.1"), 32)));
        check("192.168", Some((false, v4("192.168.0.0"), 16)));
        check("192.168123", None);
        check("10.1.2", Some((false, v4("10.1.2.0"), 24)));
        check("::1", Some((false, Address::V6(Ipv6Addr::LOCALHOST), 128)));
        check("10.0.0.0/8 more", None);
        check("10.0.0.0/x", None);
    }
}
