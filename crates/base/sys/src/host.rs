//! Who this host is: name, machine id (`machine-id(5)`), boot id, addresses.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A 128-bit id as systemd writes it: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Id128(pub [u8; 16]);

impl Id128 {
    /// The id in `text`, with or without dashes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0u8; 16];
        let mut digits = text.trim().bytes().filter(|byte| *byte != b'-');
        for byte in &mut bytes {
            let high = char::from(digits.next()?).to_digit(16)?;
            let low = char::from(digits.next()?).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }
}

impl std::fmt::Display for Id128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The id of this boot.
pub fn boot_id() -> Option<Id128> {
    Id128::parse(&fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// The id of this machine, from `/etc/machine-id`.
pub fn machine_id() -> Option<Id128> {
    Id128::parse(&fs::read_to_string("/etc/machine-id").ok()?)
}

/// The host's name as the kernel has it (`uname -n`).
pub fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}

/// The addresses that this host's interfaces have now, each once, in the order in which the kernel tells them (`getifaddrs(3)`). Without
/// those that mean something on one link only (`fe80::/10`).
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: the library writes the head of a list, which is given back below.
    crate::check(unsafe { libc::getifaddrs(&mut list) })?;
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut one = list;
    while !one.is_null() {
        // SAFETY: an element of the list, not null, alive until the list is given back; an address that is not null has the structure
        // that its family says.
        let (address, next) = unsafe {
            let address = (*one).ifa_addr;
            let address = match address.as_ref().map(|address| libc::c_int::from(address.sa_family)) {
                Some(libc::AF_INET) => {
                    let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                    Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
                }
                Some(libc::AF_INET6) => {
                    let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                    Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
                }
                _ => None,
            };
            (address, (*one).ifa_next)
        };
        let on_one_link = |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        if let Some(address) = address.filter(|address| !on_one_link(address) && !addresses.contains(address))
        {
            addresses.push(address);
        }
        one = next;
    }
    // SAFETY: the list that the library made; nothing of it is used any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(addresses)
}

/// Where units stand (`systemd.unit(5)`).
const UNIT_FOLDERS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/// Whether systemd runs here (`sd_booted(3)`) and has a service of this name, without `.service`: whether `systemctl start` can start it.
pub fn has_unit(name: &str) -> bool {
    let file = |folder: &&str| std::path::Path::new(folder).join(format!("{name}.service")).is_file();
    std::path::Path::new("/run/systemd/system").is_dir() && UNIT_FOLDERS.iter().any(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is told can be bound to, and stands there once.
    #[test]
    fn addresses_are_this_hosts() {
        let addresses = addresses().unwrap();
        assert!(addresses.contains(&IpAddr::from([127, 0, 0, 1])), "{addresses:?}");
        for address in &addresses {
            std::net::UdpSocket::bind((*address, 0)).unwrap();
            assert_eq!(addresses.iter().filter(|other| *other == address).count(), 1);
        }
    }
}
