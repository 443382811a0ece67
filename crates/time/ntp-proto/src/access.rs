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
}

impl AccessList {
    /// Nobody may ask.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule: it takes the place of one for the same subnet, and with `all` also of every more specific one
    /// (`allow all 10.0.0.0/8`).
    pub fn set(&mut self, subnet: Subnet, allow: bool, all: bool) {
        self.rules.retain(|(known, _)| *known != subnet && !(all && subnet.covers(known)));
        self.rules.push((subnet, allow));
    }

    /// The address may ask: the most specific rule that holds it says so.
    pub fn allows(&self, address: IpAddr) -> bool {
        // An IPv4 peer of a socket for both families is judged by the IPv4 rules.
        let address = address.to_canonical();
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
            assert_eq!(list.allows(address.parse().expect("an address")), expected, "{rules:?} {address}");
        };
        check(&[], "127.0.0.1", false);
        check(&[("0.0.0.0/0", true, false)], "192.0.2.1", true);
        check(&[("0.0.0.0/0", true, false)], "::1", false);
        check(&[("1.2.0.0/16", true, false), ("1.2.3.0/24", false, false)], "1.2.3.4", false);
        check(&[("1.2.3.0/24", false, false), ("1.2.0.0/16", true, false)], "1.2.3.4", false);
        check(&[("1.2.3.0/24", false, false), ("1.2.0.0/16", true, true)], "1.2.3.4", true);
        check(&[("1.2.3.4/32", true, false), ("1.2.3.4/32", false, false)], "1.2.3.4", false);
        check(&[("127.0.0.0/8", true, false)], "::ffff:127.0.0.1", true);
        check(&[("2001:db8::/32", true, false)], "2001:db8:1::5", true);
        assert_eq!(Subnet::new("1.2.3.4".parse().expect("an address"), 33), None);
    }
}
