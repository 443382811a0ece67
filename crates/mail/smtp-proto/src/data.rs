//! The content of a message on the wire: dot-stuffing and its undoing, with strict line endings
//! (RFC 5321 sections 2.3.8, 4.1.1.4, 4.5.2).

/// What a server does with a CR or LF that is no part of a CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BareLineEnding {
    /// Refuse the message and end the session: two servers that read such a line differently are how a second message
    /// is smuggled in the first (CVE-2023-51764, 51765, 51766).
    #[default]
    Refuse,
    /// A bare LF becomes CRLF, a bare CR a space. Still only CRLF "." CRLF ends the message.
    Normalize,
}

/// The message ended; where it did, in octets of the input given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataEnd;

/// A bare CR or LF under [`BareLineEnding::Refuse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataError {
    /// CR without LF after it.
    BareCr,
    /// LF without CR before it.
    BareLf,
}

/// Undoes the transparency of DATA. Call [`DataDecoder::decode`] with all that is here and was not used yet.
#[derive(Debug)]
pub struct DataDecoder {
    bare: BareLineEnding,
    line: LineStart,
}

/// What the octet to come stands after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineStart {
    /// A CRLF (or the beginning): "." CRLF ends the message here.
    AfterCrlf,
    /// A bare LF that was normalized: a dot is unstuffed, but nothing ends here.
    AfterBareLf,
    /// Some octet of the line.
    Within,
}

impl DataDecoder {
    /// A decoder for one message.
    pub fn new(bare: BareLineEnding) -> Self {
        Self { bare, line: LineStart::AfterCrlf }
    }

    /// Appends to `out` what `input` says, and tells how many octets of it were used and whether the message ended.
    /// Octets that were not used (at most two: their meaning hangs on the next) must be given again, with more.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<DataEnd>), DataError> {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return Ok((used, None));
            }
            if self.line != LineStart::Within && rest.starts_with(b".") {
                match (rest.get(1), rest.get(2)) {
                    (None, _) | (Some(b'\r'), None) => return Ok((used, None)),
                    (Some(b'\r'), Some(b'\n')) if self.line == LineStart::AfterCrlf => {
                        return Ok((used + 3, Some(DataEnd)));
                    }
                    // A lone dot that ends nothing is content: the sender that wrote it did not stuff it.
                    (Some(b'\r' | b'\n'), _) => out.push(b'.'),
                    _ => {}
                }
                used += 1;
                self.line = LineStart::Within;
                continue;
            }
            let Some(at) = memchr::memchr2(b'\r', b'\n', rest) else {
                out.extend_from_slice(rest);
                self.line = LineStart::Within;
                return Ok((used + rest.len(), None));
            };
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            used += at;
            if at > 0 {
                self.line = LineStart::Within;
            }
            match (rest.get(at), rest.get(at + 1)) {
                (Some(b'\r'), None) => return Ok((used, None)),
                (Some(b'\r'), Some(b'\n')) => {
                    out.extend_from_slice(b"\r\n");
                    used += 2;
                    self.line = LineStart::AfterCrlf;
                }
                (Some(b'\r'), _) if self.bare == BareLineEnding::Refuse => return Err(DataError::BareCr),
                (Some(b'\r'), _) => {
                    out.push(b' ');
                    used += 1;
                    self.line = LineStart::Within;
                }
                _ if self.bare == BareLineEnding::Refuse => return Err(DataError::BareLf),
                _ => {
                    out.extend_from_slice(b"\r\n");
                    used += 1;
                    self.line = LineStart::AfterBareLf;
                }
            }
        }
    }
}

/// Writes content for DATA: lines end in CRLF whatever they ended in, a line's first dot is doubled, a bare CR becomes
/// a space, and an unended last line is ended.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    held_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { at_line_start: true, held_cr: false }
    }
}

impl DotStuffer {
    /// Appends one chunk of content, cut anywhere.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        let mut rest = content;
        while let Some((&first, after_first)) = rest.split_first() {
            if std::mem::take(&mut self.held_cr) && first != b'\n' {
                out.push(b' ');
                self.at_line_start = false;
            }
            match first {
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                    rest = after_first;
                    continue;
                }
                b'\r' => {
                    self.held_cr = true;
                    rest = after_first;
                    continue;
                }
                b'.' if self.at_line_start => out.push(b'.'),
                _ => {}
            }
            let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            let (line, after) = rest.split_at_checked(end).unwrap_or((rest, b""));
            out.extend_from_slice(line);
            self.at_line_start = false;
            rest = after;
        }
    }

    /// Ends the content: the last line where it is open, then "." CRLF.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.held_cr || !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` given in steps of `step` octets: the content, and whether and how it ended.
    fn decode(input: &[u8], bare: BareLineEnding, step: usize) -> (Vec<u8>, String) {
        let mut decoder = DataDecoder::new(bare);
        let (mut out, mut held) = (Vec::new(), Vec::new());
        for chunk in input.chunks(step) {
            held.extend_from_slice(chunk);
            match decoder.decode(&held, &mut out) {
                Err(error) => return (out, format!("{error:?}")),
                Ok((used, None)) => held.drain(..used),
                Ok((_, Some(DataEnd))) => return (out, "end".into()),
            };
        }
        (out, "open".into())
    }

    /// Goal: only CRLF.CRLF ends DATA, whatever the way the octets are cut. The rows are those of the smuggling tools.
    #[test]
    fn only_crlf_dot_crlf_ends_data() {
        let check = |ending: &[u8], refused: &str, normalized: (&[u8], &str)| {
            let input = [b"a", ending, b"b"].concat();
            for step in 1..=input.len() {
                assert_eq!(decode(&input, BareLineEnding::Refuse, step).1, refused, "{ending:?} step {step}");
                let got = decode(&input, BareLineEnding::Normalize, step);
                assert_eq!((got.0.as_slice(), got.1.as_str()), normalized, "{ending:?} step {step}");
            }
        };
        check(b"\r\n.\r\n", "end", (b"a\r\n", "end"));
        check(b"\n.\n", "BareLf", (b"a\r\n.\r\nb", "open"));
        check(b"\n.\r\n", "BareLf", (b"a\r\n.\r\nb", "open"));
        check(b"\r\n.\n", "BareLf", (b"a\r\n.\r\nb", "open"));
        check(b"\r.\r", "BareCr", (b"a . b", "open"));
        check(b"\r.\r\n", "BareCr", (b"a .\r\nb", "open"));
        check(b"\r\n.\r", "BareCr", (b"a\r\n. b", "open"));
        check(b"\n.\r", "BareLf", (b"a\r\n. b", "open"));
        check(b"\r\r\n.\r\r\n", "BareCr", (b"a \r\n. \r\nb", "open"));
        check(b"\r\n.\0\r\n", "open", (b"a\r\n\0\r\nb", "open"));
        check(b"\r\n..\r\n", "open", (b"a\r\n.\r\nb", "open"));
        check(b"\r\n.x\r\n", "open", (b"a\r\nx\r\nb", "open"));
    }

    /// Goal: an empty message ends at once.
    #[test]
    fn an_empty_message_is_a_message() {
        assert_eq!(decode(b".\r\n", BareLineEnding::Refuse, 1), (Vec::new(), "end".into()));
    }

    /// Goal: whatever the content and however it is cut, what is sent holds no bare CR or LF, ends where it should and
    /// reads back as the content with its line endings mended.
    #[test]
    fn what_is_stuffed_reads_back() {
        let check = |content: &[u8], expected: &[u8]| {
            for step in 1..=content.len().max(1) {
                let mut stuffer = DotStuffer::default();
                let mut wire = Vec::new();
                for chunk in content.chunks(step) {
                    stuffer.write(chunk, &mut wire);
                }
                stuffer.finish(&mut wire);
                let got = decode(&wire, BareLineEnding::Refuse, wire.len());
                assert_eq!((got.0.as_slice(), got.1.as_str()), (expected, "end"), "{content:?} step {step}");
            }
        };
        check(b"", b"");
        check(b"a", b"a\r\n");
        check(b"a\n", b"a\r\n");
        check(b"a\r\nb\r\n", b"a\r\nb\r\n");
        check(b".\n.\r\n..\n.a", b".\r\n.\r\n..\r\n.a\r\n");
        check(b"a\r.\r\n", b"a .\r\n");
        check(b"a\r", b"a\r\n");
        check(b"\r\r\n.\r\r\n", b" \r\n. \r\n");
        check(b"\n\n", b"\r\n\r\n");
        check(b"\r\n.\r\nMAIL FROM:<x>\r\n", b"\r\n.\r\nMAIL FROM:<x>\r\n");
    }
}
