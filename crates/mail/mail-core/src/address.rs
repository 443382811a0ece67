//! Mailbox addresses as the envelope carries them (RFC 5321 section 4.1.2).

use std::fmt;

/// Longest local part, in octets. RFC 5321 section 4.5.3.1.1 asks for at least 64; variable envelope return paths of
/// mailing lists are longer.
pub const LOCAL_OCTETS_MAX: usize = 256;
/// Longest domain, in octets (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;

/// One mailbox: a local part (kept without its quotes) and a domain, which is absent in addresses that were typed on
/// this host (`root`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    domain: Option<String>,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing, or nothing before the `@`.
    Empty,
    /// `@host,@host:user@host` (RFC 5321 appendix C lets a server refuse it).
    SourceRoute,
    /// An octet above 127; internationalised addresses (RFC 6531) are not offered.
    NotAscii,
    /// A control character, which could become a line of its own somewhere.
    Control,
    /// The local part is longer than [`LOCAL_OCTETS_MAX`].
    LocalTooLong,
    /// The domain is longer than [`DOMAIN_OCTETS_MAX`].
    DomainTooLong,
    /// A character that needs quotes and has none, or a quote that is not closed.
    Local,
    /// The domain has an empty label or a character that no host name has.
    Domain,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an address is missing",
            Self::SourceRoute => "source routes are refused",
            Self::NotAscii => "the address has a character outside ASCII",
            Self::Control => "the address has a control character",
            Self::LocalTooLong => "the part before @ is too long",
            Self::DomainTooLong => "the part after @ is too long",
            Self::Local => "the part before @ has a character that must be quoted",
            Self::Domain => "the part after @ is no host or domain name",
        })
    }
}

impl std::error::Error for AddressError {}

impl Address {
    /// Reads `local`, `local@domain`, `"local part"@domain` or `local@[address]`, without angle brackets.
    ///
    /// Dots in the local part may stand anywhere: some Japanese mobile carriers handed out such addresses.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        if text.bytes().any(|b| b.is_ascii_control()) {
            return Err(AddressError::Control);
        }
        if text.starts_with('@') {
            return Err(AddressError::SourceRoute);
        }
        let (local, rest) = if let Some(quoted) = text.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = text.find('@').unwrap_or(text.len());
            let (local, rest) = text.split_at(end);
            if !local.bytes().all(is_dot_atom) {
                return Err(AddressError::Local);
            }
            (local.to_owned(), rest)
        };
        if local.is_empty() {
            return Err(AddressError::Empty);
        }
        if local.len() > LOCAL_OCTETS_MAX {
            return Err(AddressError::LocalTooLong);
        }
        let domain = match rest.strip_prefix('@') {
            Some(domain) => Some(check_domain(domain)?.to_owned()),
            None if rest.is_empty() => None,
            None => return Err(AddressError::Local),
        };
        Ok(Self { local, domain })
    }

    /// An address of a local part that is already known to be good (a user of this host) and a domain.
    pub fn of_user(user: &str, domain: &str) -> Result<Self, AddressError> {
        let shown = if user.bytes().all(is_dot_atom) { user.to_owned() } else { quote(user) };
        Self::parse(&format!("{shown}@{domain}"))
    }

    /// The part before `@`, without quotes.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The part after `@`, as it was written.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The same address with `origin` as its domain if it has none (`myorigin`).
    pub fn qualified(self, origin: &str) -> Self {
        Self { domain: self.domain.or_else(|| Some(origin.to_owned())), ..self }
    }

    /// True if the local part names a second host (`a%b`, `b!a`, `"a@b"`), which is how open relays are looked for.
    pub fn is_routed(&self) -> bool {
        self.local.contains(['%', '!', '@'])
    }

    /// The form in which two spellings of one mailbox are equal here: all in lower case.
    pub fn folded(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local.bytes().all(is_dot_atom) {
            f.write_str(&self.local)?;
        } else {
            f.write_str(&quote(&self.local))?;
        }
        match &self.domain {
            Some(domain) => write!(f, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// `atext` of RFC 5322 section 3.2.3, or a dot.
fn is_dot_atom(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b)
}

/// Reads up to the closing quote; what follows it is the second value.
fn unquote(text: &str) -> Result<(String, &str), AddressError> {
    let mut local = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((local, text.get(at + 1..).unwrap_or(""))),
            '\\' => local.push(chars.next().ok_or(AddressError::Local)?.1),
            c => local.push(c),
        }
    }
    Err(AddressError::Local)
}

fn quote(local: &str) -> String {
    let mut out = String::with_capacity(local.len() + 2);
    out.push('"');
    for c in local.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

fn check_domain(domain: &str) -> Result<&str, AddressError> {
    if domain.len() > DOMAIN_OCTETS_MAX {
        return Err(AddressError::DomainTooLong);
    }
    if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        let good = literal.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-".contains(&b));
        return if good && !literal.is_empty() { Ok(domain) } else { Err(AddressError::Domain) };
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let good = domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !label.starts_with('-')
    });
    if good { Ok(domain) } else { Err(AddressError::Domain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is an address, what is none, and that printing gives back what was read.
    #[test]
    fn addresses_are_read_and_printed() {
        let check = |text: &str, expected: Result<(&str, Option<&str>, &str), AddressError>| {
            let got = Address::parse(text);
            match (&got, expected) {
                (Ok(a), Ok((local, domain, shown))) => {
                    assert_eq!((a.local(), a.domain(), a.to_string().as_str()), (local, domain, shown));
                    assert_eq!(Address::parse(shown).as_ref(), Ok(a), "{shown} reads back");
                }
                (Err(got), Err(expected)) => assert_eq!(*got, expected, "{text}"),
                (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
            }
        };
        check("root", Ok(("root", None, "root")));
        check("a@b.example", Ok(("a", Some("b.example"), "a@b.example")));
        check("a@b.example.", Ok(("a", Some("b.example"), "a@b.example")));
        check("a..b.@docomo.example", Ok(("a..b.", Some("docomo.example"), "a..b.@docomo.example")));
        check("\"a b\"@c", Ok(("a b", Some("c"), "\"a b\"@c")));
        check("\"ab\"@c", Ok(("ab", Some("c"), "ab@c")));
        check("\"a\\\"b\"@c", Ok(("a\"b", Some("c"), "\"a\\\"b\"@c")));
        check("a@[127.0.0.1]", Ok(("a", Some("[127.0.0.1]"), "a@[127.0.0.1]")));
        check("a@[IPv6:::1]", Ok(("a", Some("[IPv6:::1]"), "a@[IPv6:::1]")));
        check("-oQ/tmp", Ok(("-oQ/tmp", None, "-oQ/tmp")));
        check("|cmd", Ok(("|cmd", None, "|cmd")));
        check("", Err(AddressError::Empty));
        check("@a,@b:c@d", Err(AddressError::SourceRoute));
        check("a b@c", Err(AddressError::Local));
        check("a@b@c", Err(AddressError::Domain));
        check("a@", Err(AddressError::Domain));
        check("a@b..c", Err(AddressError::Domain));
        check("a@-b", Err(AddressError::Domain));
        check("\"a@b", Err(AddressError::Local));
        check("\"a\"b@c", Err(AddressError::Local));
        check("a\r\nb@c", Err(AddressError::Control));
        check("\u{e9}@c", Err(AddressError::NotAscii));
        check(&"x".repeat(257), Err(AddressError::LocalTooLong));
    }

    /// Goal: each spelling that asks for a second hop is seen as such (mail.md, "Refuse relay in all forms").
    #[test]
    fn relay_spellings_are_seen() {
        for text in ["a%b@c", "b!a@c", "\"a@b\"@c", "\"a%b\"@c"] {
            assert!(Address::parse(text).is_ok_and(|a| a.is_routed()), "{text}");
        }
        assert!(Address::parse("a@c").is_ok_and(|a| !a.is_routed()));
    }
}
