//! Where a recipient's mail goes: a mailbox here, another host, or nowhere.

use std::collections::HashSet;

use crate::Address;

/// What `main.cf` says about destinations, already expanded and in lower case.
#[derive(Debug, Clone, Default)]
pub struct Router {
    /// `mydestination`: domains whose mailboxes are on this host.
    pub local_domains: HashSet<String>,
    /// Addresses of this host, for `user@[127.0.0.1]` (`inet_interfaces`).
    pub local_literals: HashSet<String>,
    /// `myorigin`: the domain of an address that has none.
    pub origin: String,
    /// `relay_domains`: foreign domains that anybody may send to through this host.
    pub relay_domains: HashSet<String>,
    /// `relayhost`.
    pub relayhost: Option<NextHop>,
    /// `recipient_delimiter`: characters that part a user from an extension.
    pub delimiters: String,
}

/// A host to hand mail to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// True for `[host]`: the address of the host itself, no MX.
    pub literal: bool,
}

/// The way of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A name on this host.
    Local(LocalName),
    /// Handed to another host.
    Relay(NextHop),
    /// No way is known.
    None,
}

/// A local part of this host's domains: the user and, where `recipient_delimiter` is set, an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalName {
    /// The whole local part in lower case.
    pub whole: String,
    /// The part before the delimiter, in lower case; the whole if there is none.
    pub user: String,
    /// What follows the delimiter.
    pub extension: Option<String>,
}

impl NextHop {
    /// Reads `host`, `host:port`, `[host]`, `[host]:port`; the port of SMTP is the default.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port, literal) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']')?;
            (host, after, true)
        } else {
            let at = text.find(':').unwrap_or(text.len());
            (text.get(..at)?, text.get(at..)?, false)
        };
        let port = match port.strip_prefix(':') {
            Some("smtp") => 25,
            Some("submission") => 587,
            Some(number) => number.parse().ok().filter(|&p| p != 0)?,
            None if port.is_empty() => 25,
            None => return None,
        };
        let good = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
        let host = host.strip_prefix("IPv6:").unwrap_or(host);
        if host.is_empty() || !host.bytes().all(good) {
            return None;
        }
        Some(Self { host: host.to_owned(), port, literal })
    }

    /// `host[address]:port`-like text for logs is made by the caller; this is what was configured: `[host]:port`.
    pub fn shown(&self) -> String {
        if self.literal {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl Router {
    /// The way of an address.
    pub fn route(&self, address: &Address) -> Route {
        if self.is_local(address) {
            return Route::Local(self.local_name(address.local()));
        }
        self.relayhost.clone().map_or(Route::None, Route::Relay)
    }

    /// True if the address's domain is one of this host, or it has none and `myorigin` is.
    pub fn is_local(&self, address: &Address) -> bool {
        let domain = address.domain().unwrap_or(&self.origin).to_ascii_lowercase();
        match domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
            Some(literal) => self.local_literals.contains(literal.strip_prefix("ipv6:").unwrap_or(literal)),
            None => self.local_domains.contains(&domain),
        }
    }

    /// True if anybody may send to the address (`reject_unauth_destination` lets it pass): a local one that asks for no
    /// second hop, or one of `relay_domains`.
    pub fn is_open_destination(&self, address: &Address) -> bool {
        if address.is_routed() {
            return false;
        }
        let domain = address.domain().unwrap_or(&self.origin).to_ascii_lowercase();
        self.is_local(address)
            || self.relay_domains.iter().any(|relay| {
                domain == *relay || domain.strip_suffix(relay.as_str()).is_some_and(|d| d.ends_with('.'))
            })
    }

    /// Parts a local part into user and extension.
    pub fn local_name(&self, local: &str) -> LocalName {
        let whole = local.to_ascii_lowercase();
        // A name that begins with the delimiter, and owner-list or list-request when - is one, are whole names.
        let special = whole.starts_with("owner-") || whole.ends_with("-request");
        let cut = whole
            .char_indices()
            .skip(1)
            .find(|(_, c)| self.delimiters.contains(*c) && !(*c == '-' && special));
        match cut {
            Some((at, c)) => LocalName {
                user: whole.get(..at).unwrap_or("").to_owned(),
                extension: whole.get(at + c.len_utf8()..).map(str::to_owned),
                whole,
            },
            None => LocalName { user: whole.clone(), extension: None, whole },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        Router {
            local_domains: ["here.example".to_owned(), "localhost".to_owned()].into(),
            local_literals: ["127.0.0.1".to_owned(), "::1".to_owned()].into(),
            origin: "here.example".to_owned(),
            relay_domains: ["friend.example".to_owned()].into(),
            relayhost: NextHop::parse("[smart.example]:2526"),
            delimiters: "+".to_owned(),
        }
    }

    /// Goal: what is ours stays, what is not goes to the relayhost, and only open destinations are open.
    #[test]
    fn routes() {
        let check = |text: &str, local: Option<&str>, open: bool| {
            let address = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let got = match router().route(&address) {
                Route::Local(name) => Some(name.user),
                Route::Relay(_) => None,
                Route::None => panic!("{text}: no way"),
            };
            assert_eq!(got.as_deref(), local, "{text}");
            assert_eq!(router().is_open_destination(&address), open, "{text}");
        };
        check("Root", Some("root"), true);
        check("me+box@HERE.example", Some("me"), true);
        check("+x@localhost", Some("+x"), true);
        check("me@[127.0.0.1]", Some("me"), true);
        check("me@[IPv6:::1]", Some("me"), true);
        check("me@[127.0.0.2]", None, false);
        check("a@elsewhere.example", None, false);
        check("a@friend.example", None, true);
        check("a@sub.friend.example", None, true);
        check("a@notfriend.example", None, false);
        check("a%elsewhere.example@here.example", Some("a%elsewhere.example"), false);
        check("elsewhere.example!a@here.example", Some("elsewhere.example!a"), false);
        check("\"a@elsewhere.example\"@here.example", Some("a@elsewhere.example"), false);
        check("a%elsewhere.example@friend.example", None, false);
    }

    /// Goal: the forms of relayhost.
    #[test]
    fn next_hops() {
        let check = |text: &str, expected: Option<(&str, u16, bool)>| {
            let got = NextHop::parse(text);
            assert_eq!(got.as_ref().map(|h| (h.host.as_str(), h.port, h.literal)), expected, "{text}");
        };
        check("host", Some(("host", 25, false)));
        check("host:587", Some(("host", 587, false)));
        check("[host]", Some(("host", 25, true)));
        check("[127.0.0.1]:2526", Some(("127.0.0.1", 2526, true)));
        check("[::1]:submission", Some(("::1", 587, true)));
        check("", None);
        check("[host", None);
        check("host:0", None);
        check("host:x", None);
        check("ho st", None);
    }
}
