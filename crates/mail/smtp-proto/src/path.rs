//! The paths of MAIL and RCPT: `<local-part@domain>` (RFC 5321 section 4.1.2).

use std::fmt;

/// Octets of a local part. RFC 5321 section 4.5.3.1.1 asks for at least 64; list managers that encode a recipient in
/// the sender go beyond, so it is the 256 octets of a whole path.
pub const LOCAL_PART_OCTETS_MAX: usize = 256;
/// Octets of a domain (RFC 5321 section 4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;

/// One mailbox: a local part (without its quotes) and, where given, a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    local_part: String,
    domain: Option<String>,
}

/// Why a path was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathError {
    /// Not an address by the grammar.
    Syntax,
    /// `@relay,@relay:user@host`, which nobody needs and relays are attacked with.
    SourceRoute,
    /// Octets above 127, which need SMTPUTF8.
    NotAscii,
    /// Local part or domain beyond its limit.
    TooLong,
}

impl Mailbox {
    /// A mailbox from its parts; the local part is given without quotes. Refuses what could not be sent as a path.
    pub fn new(local_part: &str, domain: Option<&str>) -> Result<Self, PathError> {
        if !local_part.is_ascii() {
            return Err(PathError::NotAscii);
        }
        if local_part.is_empty() || !local_part.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(PathError::Syntax);
        }
        if local_part.len() > LOCAL_PART_OCTETS_MAX {
            return Err(PathError::TooLong);
        }
        if let Some(domain) = domain {
            check_domain(domain.as_bytes())?;
        }
        Ok(Self { local_part: local_part.to_owned(), domain: domain.map(str::to_owned) })
    }

    /// `local-part[@domain]`, the local part quoted or not, without angle brackets.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        if !text.is_ascii() {
            return Err(PathError::NotAscii);
        }
        if text.first() == Some(&b'@') {
            return Err(PathError::SourceRoute);
        }
        let (local, rest) = match text.strip_prefix(b"\"") {
            Some(quoted) => quoted_local_part(quoted)?,
            None => {
                let end = text.iter().position(|&b| b == b'@').unwrap_or(text.len());
                let (local, rest) = text.split_at_checked(end).ok_or(PathError::Syntax)?;
                if local.is_empty() || !local.iter().all(|&b| is_atom_or_dot(b)) {
                    return Err(PathError::Syntax);
                }
                (String::from_utf8_lossy(local).into_owned(), rest)
            }
        };
        let domain = match rest.split_first() {
            None => None,
            Some((b'@', domain)) => Some(std::str::from_utf8(domain).map_err(|_| PathError::NotAscii)?),
            Some(_) => return Err(PathError::Syntax),
        };
        Self::new(&local, domain)
    }

    /// The local part, without quotes. It may begin with `-`, `/` or `|`: it is a name, never an option or a file.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// The domain or address literal as it was written, where one was given.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The same mailbox at `domain` where none was given.
    pub fn with_default_domain(self, domain: &str) -> Self {
        match self.domain {
            Some(_) => self,
            None => Self { domain: Some(domain.to_owned()), ..self },
        }
    }
}

/// The path without angle brackets, the local part quoted where the grammar asks for it.
impl fmt::Display for Mailbox {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.local_part.bytes().all(is_atom_or_dot) {
            out.write_str(&self.local_part)?;
        } else {
            out.write_str("\"")?;
            for c in self.local_part.chars() {
                if c == '"' || c == '\\' {
                    out.write_str("\\")?;
                }
                write!(out, "{c}")?;
            }
            out.write_str("\"")?;
        }
        match &self.domain {
            Some(domain) => write!(out, "@{domain}"),
            None => Ok(()),
        }
    }
}

/// Takes a path from the front of `text`: the mailbox (none for `<>`) and what follows it.
pub(crate) fn take_path(text: &[u8]) -> Result<(Option<Mailbox>, &[u8]), PathError> {
    let text = text.trim_ascii_start();
    let (bracketed, body) = match text.strip_prefix(b"<") {
        Some(body) => (true, body),
        None => (false, text),
    };
    let (mut quoted, mut escaped) = (false, false);
    let end = body.iter().position(|&b| {
        if escaped {
            escaped = false;
            return false;
        }
        match b {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if bracketed && !quoted => return true,
            b' ' | b'\t' if !bracketed && !quoted => return true,
            _ => {}
        }
        false
    });
    let end = match end {
        Some(end) => end,
        None if bracketed || quoted => return Err(PathError::Syntax),
        None => body.len(),
    };
    let (inside, rest) = body.split_at_checked(end).ok_or(PathError::Syntax)?;
    let rest = if bracketed { rest.get(1..).unwrap_or_default() } else { rest };
    if !rest.is_empty() && !rest.starts_with(b" ") && !rest.starts_with(b"\t") {
        return Err(PathError::Syntax);
    }
    match (bracketed, inside.is_empty()) {
        (true, true) => Ok((None, rest)),
        (false, true) => Err(PathError::Syntax),
        _ => Ok((Some(Mailbox::parse(inside)?), rest)),
    }
}

/// The text of a quoted local part after its opening quote, and what follows the closing one.
fn quoted_local_part(text: &[u8]) -> Result<(String, &[u8]), PathError> {
    let mut local = String::new();
    let mut bytes = text.iter().copied().enumerate();
    while let Some((at, b)) = bytes.next() {
        let b = match b {
            b'"' => return Ok((local, text.get(at + 1..).unwrap_or_default())),
            b'\\' => bytes.next().map(|(_, b)| b).ok_or(PathError::Syntax)?,
            b => b,
        };
        if b != b' ' && !b.is_ascii_graphic() {
            return Err(PathError::Syntax);
        }
        local.push(char::from(b));
    }
    Err(PathError::Syntax)
}

/// RFC 5322 `atext` or a dot. Dots in unlawful places are let through: real mailboxes have them.
fn is_atom_or_dot(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b)
}

fn check_domain(domain: &[u8]) -> Result<(), PathError> {
    if !domain.is_ascii() {
        return Err(PathError::NotAscii);
    }
    if domain.len() > DOMAIN_OCTETS_MAX {
        return Err(PathError::TooLong);
    }
    if let Some(literal) = domain.strip_prefix(b"[").and_then(|d| d.strip_suffix(b"]")) {
        let lawful = |b: &u8| b.is_ascii_alphanumeric() || b".:-".contains(b);
        return if !literal.is_empty() && literal.iter().all(lawful) {
            Ok(())
        } else {
            Err(PathError::Syntax)
        };
    }
    // The underscore is no host name character, but real domains hold it.
    let lawful = |label: &[u8]| {
        !label.is_empty() && label.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if domain.split(|&b| b == b'.').all(lawful) { Ok(()) } else { Err(PathError::Syntax) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every form of a path gives one meaning or one refusal, and prints back as a lawful path.
    #[test]
    fn paths_are_read_and_printed() {
        let check = |text: &str, expected: Result<Option<&str>, PathError>| {
            let got = take_path(text.as_bytes()).map(|(path, _)| path.map(|p| p.to_string()));
            assert_eq!(got, expected.map(|e| e.map(str::to_owned)), "{text}");
        };
        check("<>", Ok(None));
        check("<a@b.example>", Ok(Some("a@b.example")));
        check(" <a@b.example> SIZE=1", Ok(Some("a@b.example")));
        check("a@b.example SIZE=1", Ok(Some("a@b.example")));
        check("<root>", Ok(Some("root")));
        check("<\"a b\"@c>", Ok(Some("\"a b\"@c")));
        check("<\"plain\"@c>", Ok(Some("plain@c")));
        check("<\"a\\\"b@x\"@c>", Ok(Some("\"a\\\"b@x\"@c")));
        check("<\">\"@c>", Ok(Some("\">\"@c")));
        check("<-froot@c>", Ok(Some("-froot@c")));
        check("<|sh@c>", Ok(Some("|sh@c")));
        check("<a..b.@docomo.example>", Ok(Some("a..b.@docomo.example")));
        check("<a@[192.0.2.1]>", Ok(Some("a@[192.0.2.1]")));
        check("<a@[IPv6:2001:db8::1]>", Ok(Some("a@[IPv6:2001:db8::1]")));
        check("<a@b@c>", Err(PathError::Syntax));
        check("<@r1,@r2:a@b>", Err(PathError::SourceRoute));
        check("<a@>", Err(PathError::Syntax));
        check("<@>", Err(PathError::SourceRoute));
        check("<a@b..c>", Err(PathError::Syntax));
        check("<a b@c>", Err(PathError::Syntax));
        check("<a@b", Err(PathError::Syntax));
        check("<\"a@b>", Err(PathError::Syntax));
        check("<a@b>x", Err(PathError::Syntax));
        check("", Err(PathError::Syntax));
        check("<a\u{7}@b>", Err(PathError::Syntax));
        check("<あ@b>", Err(PathError::NotAscii));
        check(&format!("<{}@b>", "a".repeat(257)), Err(PathError::TooLong));
        check(&format!("<a@{}>", "b".repeat(256)), Err(PathError::TooLong));
    }
}
