//! Replies: a code, perhaps an enhanced status code (RFC 3463, 2034), one or more lines of text.

use std::fmt;

/// Octets of one reply line, CRLF included. RFC 5321 section 4.5.3.1.5 says 512; real servers go beyond.
pub const REPLY_LINE_OCTETS_MAX: usize = 4096;
/// Lines of one reply: an EHLO answer has about twenty, a refusal with an explanation perhaps thirty.
pub const REPLY_LINES_MAX: usize = 100;

/// An enhanced status code, `class.subject.detail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl EnhancedCode {
    /// `2.1.5` and what follows it (without the separating space), where `text` begins with one.
    pub fn take(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut parts = word.split('.');
        let mut number = |digits_max: usize| {
            let part = parts.next()?;
            let plain =
                !part.is_empty() && part.len() <= digits_max && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse::<u16>().ok() } else { None }
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Self(class as u8, subject, detail), rest))
    }
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// One whole reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// The enhanced status code, the same for all lines.
    pub enhanced: Option<EnhancedCode>,
    /// The text of each line without codes; never empty, and never holding a control character.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line with an enhanced code. Control characters of `text` become spaces.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl AsRef<str>) -> Self {
        let enhanced = EnhancedCode(enhanced.0, enhanced.1, enhanced.2);
        Self { code, enhanced: Some(enhanced), lines: vec![clean(text.as_ref())] }
    }

    /// A reply of one line without an enhanced code (220, 221, 354 and the answers to HELO and EHLO).
    pub fn plain(code: u16, text: impl AsRef<str>) -> Self {
        Self { code, enhanced: None, lines: vec![clean(text.as_ref())] }
    }

    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        (200..400).contains(&self.code)
    }

    /// 4xx: may succeed later.
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx: will not succeed as it is.
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// The enhanced code, or the general one of the reply's class (RFC 3463 `X.0.0`).
    pub fn enhanced_or_general(&self) -> EnhancedCode {
        self.enhanced.unwrap_or(EnhancedCode((self.code / 100) as u8, 0, 0))
    }

    /// Appends the reply as it goes over the wire.
    pub fn write(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            out.extend_from_slice(format!("{:03}{separator}", self.code).as_bytes());
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(format!("{enhanced} ").as_bytes());
            }
            out.extend_from_slice(clean(line).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The reply on one line, as logs and bounces quote it.
impl fmt::Display for Reply {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(out, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(out, " {line}")?;
        }
        Ok(())
    }
}

/// What made a peer's reply unreadable. The connection is of no further use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyError {
    /// A line beyond [`REPLY_LINE_OCTETS_MAX`] or more than [`REPLY_LINES_MAX`] lines.
    TooLong,
    /// Not `ddd`, or not one of the classes 2 to 5, or a separator that is none; the line as it came.
    Malformed(String),
    /// Lines of one reply with different codes.
    CodesDiffer,
}

/// Collects bytes into replies.
#[derive(Debug, Default)]
pub struct ReplyParser {
    input: Vec<u8>,
    current: Option<Reply>,
}

impl ReplyParser {
    /// Adds bytes from the peer.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether bytes of an unfinished or unread reply are here.
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.current.is_none()
    }

    /// The next whole reply, where one is here. A bare LF ends a line too: replies are read leniently, as nothing can
    /// be smuggled in them.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        let mut used = 0;
        let outcome = loop {
            let rest = self.input.get(used..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', rest) else {
                break if rest.len() > REPLY_LINE_OCTETS_MAX { Err(ReplyError::TooLong) } else { Ok(None) };
            };
            if end >= REPLY_LINE_OCTETS_MAX {
                break Err(ReplyError::TooLong);
            }
            let line = rest.get(..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            used += end + 1;
            match Self::add_line(&mut self.current, line) {
                Err(error) => break Err(error),
                Ok(true) => break Ok(self.current.take()),
                Ok(false) => {}
            }
        };
        self.input.drain(..used);
        outcome
    }

    /// Adds one line to the reply; true when it was the last.
    fn add_line(current: &mut Option<Reply>, line: &[u8]) -> Result<bool, ReplyError> {
        let malformed = || ReplyError::Malformed(clean(&String::from_utf8_lossy(line)));
        let (digits, rest) = line.split_at_checked(3).ok_or_else(malformed)?;
        let code =
            std::str::from_utf8(digits).ok().and_then(|d| d.parse::<u16>().ok()).ok_or_else(malformed)?;
        if !(200..600).contains(&code) || !digits.iter().all(u8::is_ascii_digit) {
            return Err(malformed());
        }
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(malformed()),
        };
        let text = clean(&String::from_utf8_lossy(text));
        match current {
            None => {
                let (enhanced, text) = split_enhanced(code, &text);
                *current = Some(Reply { code, enhanced, lines: vec![text] });
            }
            Some(reply) if reply.code != code => return Err(ReplyError::CodesDiffer),
            Some(reply) if reply.lines.len() >= REPLY_LINES_MAX => return Err(ReplyError::TooLong),
            Some(reply) => {
                let (enhanced, plain) = split_enhanced(code, &text);
                reply.lines.push(if enhanced.is_some() && enhanced == reply.enhanced { plain } else { text });
            }
        }
        Ok(last)
    }
}

/// The enhanced code that a line begins with; one of another class than the reply's is text.
fn split_enhanced(code: u16, text: &str) -> (Option<EnhancedCode>, String) {
    match EnhancedCode::take(text) {
        Some((enhanced, rest)) if u16::from(enhanced.0) == code / 100 => (Some(enhanced), rest.to_owned()),
        _ => (None, text.to_owned()),
    }
}

/// The text with every control character as a space, so that it can stand in a reply, a log line or a header.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut parser = ReplyParser::default();
        parser.receive(bytes);
        parser.next_reply()
    }

    /// Goal: replies of every shape are read, and what is none is refused and told apart from what is unfinished.
    #[test]
    fn replies_are_read() {
        let check = |bytes: &str, expected: &str| {
            let got = match parse(bytes.as_bytes()) {
                Ok(Some(reply)) => reply.to_string(),
                Ok(None) => "more".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            assert_eq!(got, expected, "{bytes:?}");
        };
        check("250 ok\r\n", "250 ok");
        check("250\r\n", "250 ");
        check("250 2.1.5 ok\r\n", "250 2.1.5 ok");
        check("250 2.1.5\r\n", "250 2.1.5 ");
        check("250 5.1.5 odd\r\n", "250 5.1.5 odd");
        check("250-a\r\n250 b\r\n", "250 a b");
        check("550-5.1.1 a\r\n550 5.1.1 b\r\n", "550 5.1.1 a b");
        check("250-a\r\n", "more");
        check("25", "more");
        check("250 \u{1b}[2J\n", "250  [2J");
        check("250-a\r\n251 b\r\n", "CodesDiffer");
        check("HTTP/1.1 200\r\n", "Malformed(\"HTTP/1.1 200\")");
        check("250x\r\n", "Malformed(\"250x\")");
        check("+50 x\r\n", "Malformed(\"+50 x\")");
        check("150 x\r\n", "Malformed(\"150 x\")");
        check(&"2".repeat(5000), "TooLong");
        check(&"250-x\r\n".repeat(101), "TooLong");
    }

    /// Goal: no text makes a second line.
    #[test]
    fn a_written_reply_holds_no_foreign_line() {
        let mut out = Vec::new();
        Reply::new(550, (5, 1, 1), "no\r\n250 yes").write(&mut out);
        assert_eq!(out, b"550 5.1.1 no  250 yes\r\n");
    }
}
