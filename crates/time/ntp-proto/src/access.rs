//! Who may ask: `allow` and `deny` over subnets (`chrony.conf(5)`), the most specific rule wins.

use std::net::IpAddr;

/// A range of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subnet {
    address: IpAddr,
    prefix: u8,
}

impl Subnet {
    /// The subnet of the first `prefix` bits of `address`; none when there are not that many.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (bits, width) = bits(address);
        if prefix > width {
            return None;
        }
        let masked = if prefix == 0 { 0 } else { bits >> (width - prefix) << (width - prefix) };
        let address = match address {
            IpAddr::V4(_) => IpAddr::from((masked as u32).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(masked.to_be_bytes()),
        };
        Some(Self { address, prefix })
    }

    /// The address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        Self::new(address, self.prefix).is_some_and(|subnet| subnet == *self)
    }

    /// Every address of `other` belongs to it.
    pub fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

/// The rules in force. Without any, nobody may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList {
    rules: Vec<(Subnet, bool)>,
    /// The rules as ranges that do not overlap; none after a change, until [`Self::prepare`].
    ranges: Option<Ranges>,
}

impl AccessList {
    /// Nobody may ask.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule: it takes the place of those for the same subnet and for the more specific ones whose lengths round up to the same
    /// multiple of four, as chronyd's do (`deny 192.0.2.0/25` after `allow 192.0.2.16/28`), and with `all` of every more specific one
    /// (`allow all 10.0.0.0/8`).
    pub fn set(&mut self, subnet: Subnet, allow: bool, all: bool) {
        let step = |subnet: &Subnet| subnet.prefix.div_ceil(4);
        let goes = |known: &Subnet| subnet.covers(known) && (all || step(known) == step(&subnet));
        self.rules.retain(|(known, _)| !goes(known));
        self.rules.push((subnet, allow));
        self.ranges = None;
    }

    /// Makes [`Self::allows`] quick, whatever the number of rules: one search among the ends of their ranges.
    pub fn prepare(&mut self) {
        self.ranges = Some(Ranges::of(&self.rules));
    }

    /// The address may ask: the most specific rule that holds it says so.
    pub fn allows(&self, address: IpAddr) -> bool {
        // An IPv4 peer of a socket for both families is judged by the IPv4 rules.
        let address = address.to_canonical();
        if let Some(ranges) = &self.ranges {
            return ranges.allow(address);
        }
        self.rules
            .iter()
            .filter(|(subnet, _)| subnet.contains(address))
            .max_by_key(|(subnet, _)| subnet.prefix)
            .is_some_and(|(_, allow)| *allow)
    }

    /// Some address of the family may ask, so that a socket is needed.
    pub fn allows_any(&self, ipv4: bool) -> bool {
        self.rules.iter().any(|(subnet, allow)| *allow && subnet.address.is_ipv4() == ipv4)
    }
}

/// The tree of subnets laid flat: where each range begins and whether its addresses may ask, in order. Before the first
/// nobody may.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ranges {
    v4: Vec<(u32, bool)>,
    v6: Vec<(u128, bool)>,
}

impl Ranges {
    fn of(rules: &[(Subnet, bool)]) -> Self {
        let v4 = flatten(rules, 32);
        let v6 = flatten(rules, 128);
        // The family's addresses fit its width: they were made of it.
        Self { v4: v4.into_iter().map(|(start, allow)| (start as u32, allow)).collect(), v6 }
    }

    fn allow(&self, address: IpAddr) -> bool {
        fn find<N: Ord + Copy>(ranges: &[(N, bool)], address: N) -> bool {
            let after = ranges.partition_point(|(start, _)| *start <= address);
            after.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, allow)| *allow)
        }
        match address {
            IpAddr::V4(v4) => find(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => find(&self.v6, v6.to_bits()),
        }
    }
}

/// The ranges of one family. Subnets are nested or apart, so a stack of those that are open suffices.
fn flatten(rules: &[(Subnet, bool)], width: u8) -> Vec<(u128, bool)> {
    let mut sorted: Vec<(u128, u8, bool)> = rules
        .iter()
        .map(|(subnet, allow)| (bits(subnet.address), subnet.prefix, *allow))
        .filter(|((_, of), _, _)| *of == width)
        .map(|((start, _), prefix, allow)| (start, prefix, allow))
        .collect();
    sorted.sort_unstable();
    let last = |start: u128, prefix: u8| {
        let host = u32::from(width - prefix);
        start | if host == 128 { u128::MAX } else { (1_u128 << host) - 1 }
    };
    let mut ranges: Vec<(u128, bool)> = Vec::new();
    let mut put = |start: u128, allow: bool| match ranges.last_mut() {
        Some(known) if known.0 == start => known.1 = allow,
        Some(known) if known.1 == allow => {}
        None if !allow => {}
        _ => ranges.push((start, allow)),
    };
    let mut open: Vec<(u128, bool)> = Vec::new();
    let close = |open: &mut Vec<(u128, bool)>, before: Option<u128>, put: &mut dyn FnMut(u128, bool)| {
        while let Some((end, _)) = open.pop_if(|(end, _)| before.is_none_or(|before| *end < before)) {
            if let Some(next) = end.checked_add(1) {
                put(next, open.last().is_some_and(|(_, allow)| *allow));
            }
        }
    };
    for (start, prefix, allow) in sorted {
        close(&mut open, Some(start), &mut put);
        put(start, allow);
        open.push((last(start, prefix), allow));
    }
    close(&mut open, None, &mut put);
    // The end of IPv4 is no address of it.
    ranges.retain(|(start, _)| width == 128 || *start <= u128::from(u32::MAX));
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the most specific rule wins, whatever the order, and `all` clears what is below it.
    #[test]
    fn the_most_specific_rule_wins() {
        let subnet = |text: &str| {
            let (address, prefix) = text.split_once('/').expect("a subnet has a slash");
            Subnet::new(address.parse().expect("an address"), prefix.parse().expect("a prefix"))
                .expect("the prefix fits")
        };
        let check = |rules: &[(&str, bool, bool)], address: &str, expected: bool| {
            let mut list = AccessList::new();
            for (text, allow, all) in rules {
                list.set(subnet(text), *allow, *all);
            }
            let address = address.parse().expect("an address");
            assert_eq!(list.allows(address), expected, "{rules:?} {address}");
            list.prepare();
            assert_eq!(list.allows(address), expected, "prepared: {rules:?} {address}");
        };
        check(&[], "127.0.0.1", false);
        check(&[("0.0.0.0/0", true, false)], "192.0.2.1", true);
        check(&[("0.0.0.0/0", true, false)], "::1", false);
        check(&[("1.2.0.0/16", true, false), ("1.2.3.0/24", false, false)], "1.2.3.4", false);
        check(&[("1.2.3.0/24", false, false), ("1.2.0.0/16", true, false)], "1.2.3.4", false);
        check(&[("1.2.3.0/24", false, false), ("1.2.0.0/16", true, true)], "1.2.3.4", true);
        check(&[("1.2.3.4/32", true, false), ("1.2.3.4/32", false, false)], "1.2.3.4", false);
        // Lengths that round up to the same multiple of four: the later rule holds for all that it covers.
        let (narrow, wide) = (("1.2.3.0/28", true, false), ("1.2.3.0/27", false, false));
        check(&[narrow, wide], "1.2.3.5", false);
        let (narrow, wide) = (("1.2.3.16/28", true, false), ("1.2.3.0/25", false, false));
        check(&[narrow, wide], "1.2.3.17", false);
        check(&[wide, narrow], "1.2.3.17", true);
        check(&[wide, narrow], "1.2.3.1", false);
        check(&[("1.2.3.4/32", true, false), wide], "1.2.3.4", true);
        check(&[("2001:db8::/64", true, false), ("2001:db8::/63", false, false)], "2001:db8::1", false);
        check(&[("127.0.0.0/8", true, false)], "::ffff:127.0.0.1", true);
        check(&[("2001:db8::/32", true, false)], "2001:db8:1::5", true);
        assert_eq!(Subnet::new("1.2.3.4".parse().expect("an address"), 33), None);
    }

    /// Goal: prepared and unprepared rules say the same of every address. Method: random nested rules in a small part of each
    /// family, every address at and beside an end of a rule.
    #[test]
    fn prepared_rules_say_the_same() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..300 {
            let mut list = AccessList::new();
            let mut probes: Vec<IpAddr> = Vec::new();
            for _ in 0..=random(12) {
                let ipv4 = random(2) == 0;
                let (low, width) = (random(64) as u8, if ipv4 { 32 } else { 128 });
                let top = [0, 255][random(2) as usize];
                let address: IpAddr = if ipv4 {
                    [top, top, top, low << 2].into()
                } else {
                    let mut octets = [top; 16];
                    octets[15] = low << 2;
                    octets.into()
                };
                let prefix = [0, 1, width - 9, width - 6, width - 4, width - 2, width][random(7) as usize];
                let subnet = Subnet::new(address, prefix).expect("the prefix fits");
                list.set(subnet, random(2) == 0, random(8) == 0);
                let (start, _) = bits(subnet.address);
                let size = if prefix == 0 { 0 } else { 1_u128 << (width - prefix) };
                for at in [
                    start,
                    start.wrapping_sub(1),
                    start.wrapping_add(size).wrapping_sub(1),
                    start.wrapping_add(size),
                ] {
                    probes.push(match ipv4 {
                        true => std::net::Ipv4Addr::from_bits(at as u32).into(),
                        false => std::net::Ipv6Addr::from_bits(at).into(),
                    });
                }
            }
            let mut prepared = list.clone();
            prepared.prepare();
            for probe in probes {
                assert_eq!(prepared.allows(probe), list.allows(probe), "round {round}: {probe} {list:?}");
            }
        }
    }
}
