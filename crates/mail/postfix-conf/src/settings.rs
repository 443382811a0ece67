//! The types of values.

use std::net::IpAddr;

/// A block of addresses: `mynetworks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Any address of the block.
    pub address: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
}

impl Cidr {
    /// Reads `127.0.0.0/8`, `[::1]/128`, `192.0.2.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address = address.strip_prefix('[').map_or(Some(address), |a| a.strip_suffix(']'))?;
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |b| b.parse().ok()).filter(|&b| b <= width)?;
        Some(Self { address, bits })
    }

    /// True if the address is in the block. An IPv4 address that came in IPv6 clothes counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same_prefix(&a.octets(), &b.octets(), self.bits),
            (IpAddr::V6(a), IpAddr::V6(b)) => same_prefix(&a.octets(), &b.octets(), self.bits),
            _ => false,
        }
    }
}

fn same_prefix(a: &[u8], b: &[u8], bits: u8) -> bool {
    let mut left = bits;
    for (a, b) in a.iter().zip(b) {
        let mask = match left {
            0 => return true,
            8.. => 0xff,
            n => 0xff_u8 << (8 - n),
        };
        if a & mask != b & mask {
            return false;
        }
        left = left.saturating_sub(8);
    }
    true
}

/// Where SMTP listens; the host may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address (`0.0.0.0` for all).
    pub host: String,
    /// TCP port; 0 lets the kernel choose.
    pub port: u16,
}

impl ListenAddress {
    /// Reads `host:port`, `[address]:port`, `port`.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("127.0.0.1", text),
        };
        let host = host.strip_prefix('[').map_or(Some(host), |h| h.strip_suffix(']'))?;
        let port = match port {
            "smtp" => 25,
            "submission" => 587,
            number => number.parse().ok()?,
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        (!host.is_empty() && host.bytes().all(good)).then(|| Self { host: host.to_owned(), port })
    }
}

/// `smtpd_forbid_bare_newline`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareNewline {
    /// `550 5.5.2` and the end of the session.
    #[default]
    Reject,
    /// A bare LF becomes CRLF; still only CRLF.CRLF ends a message.
    Normalize,
}

/// What is wrong with a value, and what to write.
pub(crate) type Complaint = (String, String);

pub(crate) fn complaint<T>(message: impl Into<String>, help: impl Into<String>) -> Result<T, Complaint> {
    Err((message.into(), help.into()))
}

/// Words that are separated by commas or white space.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n', '\r']).filter(|w| !w.is_empty())
}

/// Seconds of `5d`, `300s`, `4h`; `unit` is meant where none is written.
pub(crate) fn time(text: &str, unit: char) -> Result<i64, Complaint> {
    let text = text.trim();
    let (digits, suffix) = match text.char_indices().last() {
        Some((at, c)) if c.is_ascii_alphabetic() => (text.get(..at).unwrap_or(""), c.to_ascii_lowercase()),
        _ => (text, unit),
    };
    let factor = match suffix {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => 0,
    };
    match digits.parse::<i64>().ok().and_then(|n| n.checked_mul(factor)) {
        Some(seconds) if factor > 0 && seconds >= 0 => Ok(seconds),
        _ => complaint(format!("{text} is no time"), "write a number and one of s, m, h, d, w: 300s"),
    }
}

pub(crate) fn number(text: &str, min: u64) -> Result<u64, Complaint> {
    match text.trim().parse::<u64>() {
        Ok(n) if n >= min => Ok(n),
        _ => {
            complaint(format!("{text} is no number from {min} on"), format!("write a number, {min} or more"))
        }
    }
}

pub(crate) fn yes_no(text: &str) -> Result<bool, Complaint> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => complaint(format!("{text} is neither yes nor no"), "write yes or no"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: blocks of addresses hold what they should.
    #[test]
    fn blocks() {
        let check = |block: &str, address: &str, expected: Option<bool>| {
            let address: IpAddr = address.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(Cidr::parse(block).map(|b| b.contains(address)), expected, "{block} {address}");
        };
        check("127.0.0.0/8", "127.9.9.9", Some(true));
        check("127.0.0.0/8", "::ffff:127.0.0.1", Some(true));
        check("127.0.0.0/8", "128.0.0.1", Some(false));
        check("192.0.2.128/25", "192.0.2.127", Some(false));
        check("[::1]/128", "::1", Some(true));
        check("[2001:db8::]/33", "2001:db8:8000::", Some(false));
        check("0.0.0.0/0", "9.9.9.9", Some(true));
        check("10.0.0.0/33", "10.0.0.1", None);
        check("x", "10.0.0.1", None);
    }

    /// Goal: times and listening addresses.
    #[test]
    fn times_and_addresses() {
        for (text, expected) in
            [("5d", Some(432_000)), ("300", Some(300)), ("2w", Some(1_209_600)), ("5x", None)]
        {
            assert_eq!(time(text, 's').ok(), expected, "{text}");
        }
        for (text, expected) in [
            ("127.0.0.1:2525", Some(("127.0.0.1", 2525))),
            ("[::1]:25", Some(("::1", 25))),
            ("localhost:smtp", Some(("localhost", 25))),
            ("2525", Some(("127.0.0.1", 2525))),
            ("x y:1", None),
            ("a:99999", None),
        ] {
            let got = ListenAddress::parse(text);
            assert_eq!(got.as_ref().map(|l| (l.host.as_str(), l.port)), expected, "{text}");
        }
    }
}
