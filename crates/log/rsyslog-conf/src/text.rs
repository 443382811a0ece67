//! A place in a configuration text: blanks, comments, words, strings.

use std::rc::Rc;

use conf_text::{SourceId, Span};

/// Reads one text from the front. Positions are bytes; what is cut out is cut at ASCII, so it is always text.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub source: SourceId,
    pub text: Rc<str>,
    pub at: usize,
}

impl Cursor {
    pub(crate) fn new(source: SourceId, text: &str) -> Self {
        Self { source, text: Rc::from(text), at: 0 }
    }

    pub(crate) fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    pub(crate) fn span(&self, from: usize, to: usize) -> Span {
        Span { source: self.source, start: from, end: to }
    }

    /// From `from` to here.
    pub(crate) fn span_from(&self, from: usize) -> Span {
        self.span(from, self.at)
    }

    /// The byte here, or the place behind the end.
    pub(crate) fn here(&self) -> Span {
        self.span(self.at, self.at + self.rest().chars().next().map_or(0, char::len_utf8))
    }

    /// Bytes while `wanted` holds.
    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> String {
        let rest = self.rest();
        let mut length = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        while !rest.is_char_boundary(length) {
            length += 1;
        }
        let word = rest.get(..length).unwrap_or("").to_owned();
        self.at += length;
        word
    }

    /// Spaces and tabs, and lines that a backslash continues.
    pub(crate) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r') => self.at += 1,
                Some(b'\\') if self.rest().starts_with("\\\n") || self.rest().starts_with("\\\r\n") => {
                    self.take_while(|byte| byte != b'\n');
                    self.at += 1;
                }
                _ => return,
            }
        }
    }

    /// Blanks, line ends and comments.
    pub(crate) fn skip_space(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                Some(b'#') => self.skip_line(),
                Some(b'/') if self.rest().starts_with("/*") => {
                    let length = self.rest().find("*/").map_or(self.rest().len(), |end| end + 2);
                    self.at += length;
                }
                Some(b'\\') if self.rest().starts_with("\\\n") => self.at += 2,
                _ => return,
            }
        }
    }

    /// To the end of the line.
    pub(crate) fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find('\n').unwrap_or(rest.len());
    }

    /// What is left of the line, with continued lines joined, trailing blanks cut off. Says where it begins.
    pub(crate) fn take_line(&mut self) -> (usize, String) {
        self.skip_blanks();
        let from = self.at;
        let mut line = String::new();
        loop {
            let part = self.take_while(|byte| byte != b'\n');
            let part = part.strip_suffix('\r').unwrap_or(&part);
            match part.strip_suffix('\\') {
                Some(head) if !self.at_end() => {
                    line.push_str(head);
                    self.at += 1;
                    self.skip_blanks();
                }
                _ => {
                    line.push_str(part);
                    break;
                }
            }
        }
        line.truncate(line.trim_end().len());
        (from, line)
    }

    /// A word of a name's letters.
    pub(crate) fn word(&mut self) -> String {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':'))
    }

    /// The next word without taking it.
    pub(crate) fn peek_word(&self) -> String {
        self.clone().word()
    }

    /// A keyword, in any case, that is not the beginning of a longer word.
    pub(crate) fn take_keyword(&mut self, keyword: &str) -> bool {
        let mut ahead = self.clone();
        let word = ahead.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let found = word.eq_ignore_ascii_case(keyword);
        if found {
            self.at = ahead.at;
        }
        found
    }

    /// A quoted string of RainerScript with its escapes resolved; none where its quote is not closed.
    pub(crate) fn script_string(&mut self) -> Option<String> {
        let quote = self.peek().filter(|byte| matches!(byte, b'"' | b'\''))?;
        let start = self.at;
        self.at += 1;
        let mut out: Vec<u8> = Vec::new();
        loop {
            let Some(byte) = self.peek() else {
                self.at = start;
                return None;
            };
            self.at += 1;
            match byte {
                _ if byte == quote => break,
                b'\\' => self.script_escape(&mut out),
                _ => out.push(byte),
            }
        }
        Some(
            String::from_utf8(out)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
        )
    }

    fn script_escape(&mut self, out: &mut Vec<u8>) {
        let Some(byte) = self.peek() else { return };
        self.at += 1;
        match byte {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'0'..=b'7' => {
                let mut code = u32::from(byte - b'0');
                for _ in 0..2 {
                    match self.peek() {
                        Some(digit @ b'0'..=b'7') => {
                            code = code * 8 + u32::from(digit - b'0');
                            self.at += 1;
                        }
                        _ => break,
                    }
                }
                out.push((code & 0xff) as u8);
            }
            b'x' => {
                let digits = self.rest().bytes().take(2).take_while(u8::is_ascii_hexdigit).count();
                let code = self.rest().get(..digits).and_then(|text| u8::from_str_radix(text, 16).ok());
                match code {
                    Some(code) => {
                        self.at += digits;
                        out.push(code);
                    }
                    None => out.extend_from_slice(b"\\x"),
                }
            }
            b'\\' | b'"' | b'\'' | b'$' | b'?' => out.push(byte),
            // What is no escape stays as it is written: patterns have many of them.
            other => out.extend_from_slice(&[b'\\', other]),
        }
    }
}
