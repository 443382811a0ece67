//! Whether a request's `Host` names this machine's loopback.

use std::net::IpAddr;

/// Whether `host` (the header's value) is a loopback address or `localhost`, with the port that we listen on. It is parsed as a
/// whole: a name that merely begins or ends so is not loopback (DNS rebinding).
pub fn is_ours(host: &str, port: u16) -> bool {
    let (name, given_port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, "")) => (address, None),
            Some((address, tail)) => match tail.strip_prefix(':') {
                Some(text) => (address, Some(text)),
                None => return false,
            },
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, text)) => (name, Some(text)),
            None => (host, None),
        },
    };
    let given_port = match given_port {
        None => 80,
        Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            match text.parse::<u16>() {
                Ok(number) => number,
                Err(_) => return false,
            }
        }
        Some(_) => return false,
    };
    let loopback =
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback && given_port == port
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only loopback with our port passes, and names that look like it do not.
    #[test]
    fn only_loopback_passes() {
        for (host, expected) in [
            ("127.0.0.1:8125", true),
            ("127.1.2.3:8125", true),
            ("localhost:8125", true),
            ("LocalHost:8125", true),
            ("[::1]:8125", true),
            ("127.0.0.1", false),
            ("127.0.0.1:80", false),
            ("127.0.0.1:8125:1", false),
            ("127.0.0.1:+8125", false),
            ("localhost.example.org:8125", false),
            ("127.0.0.1.example.org:8125", false),
            ("[::1]8125", false),
            ("[::1", false),
            ("10.0.0.1:8125", false),
            ("", false),
        ] {
            assert_eq!(is_ours(host, 8125), expected, "{host}");
        }
    }
}
