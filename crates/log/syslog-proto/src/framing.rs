//! Messages in a byte stream: RFC 6587, octet counting and line feeds, found for each frame.

/// How one frame was delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `MSG-LEN SP MSG` (RFC 6587 section 3.4.1).
    OctetCounted,
    /// `MSG LF` (RFC 6587 section 3.4.2).
    LineFeed,
}

/// One message found in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The message, without its framing.
    pub message: &'a [u8],
    /// How it was delimited.
    pub framing: Framing,
    /// It was longer than the limit; what exceeds it is skipped.
    pub truncated: bool,
}

/// What [`Splitter::split`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'a> {
    /// How many bytes of the buffer are done with and not to be shown again.
    pub consumed: usize,
    /// A message, or none when more bytes are needed.
    pub frame: Option<Frame<'a>>,
}

/// Finds messages in a stream. The caller keeps the bytes, shows what is not consumed, and appends what comes; it never has
/// to keep more than [`Splitter::buffer_bytes_max`].
///
/// A frame is octet-counted when it begins with a number, a space and `<`. The `<` is asked for because lines that begin with
/// a number exist, and a line taken for a count would swallow its followers (CVE-2022-24903 is what a mistake here costs).
#[derive(Debug, Clone)]
pub struct Splitter {
    message_bytes_max: usize,
    octet_counting: bool,
    skip: Skip,
    /// Bytes at the head of the next buffer that are known to hold no line feed.
    scanned: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// The rest of an octet-counted message that was too long.
    Octets(u64),
    /// Up to and with the next line feed.
    Line,
}

/// Digits of MSG-LEN that are looked at: enough for 999,999,999 bytes, far beyond any limit, and short enough that no
/// arithmetic can overflow.
pub const COUNT_DIGITS_MAX: usize = 9;

enum Head {
    Count { digits: usize, octets: u64 },
    Line,
    NeedMore,
}

impl Splitter {
    /// A splitter that cuts messages at `message_bytes_max` bytes.
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max: message_bytes_max.max(1),
            octet_counting: true,
            skip: Skip::Nothing,
            scanned: 0,
        }
    }

    /// One that knows line feeds only (`SupportOctetCountedFraming="off"`).
    pub fn line_feed_only(message_bytes_max: usize) -> Self {
        Self { octet_counting: false, ..Self::new(message_bytes_max) }
    }

    /// The most bytes that can stay unconsumed while it asks for more.
    pub fn buffer_bytes_max(&self) -> usize {
        self.message_bytes_max + COUNT_DIGITS_MAX + 2
    }

    /// The next message at the head of `buffer`.
    pub fn split<'a>(&mut self, buffer: &'a [u8]) -> Split<'a> {
        let mut consumed = 0;
        loop {
            let rest = buffer.get(consumed..).unwrap_or(b"");
            match self.skip {
                Skip::Nothing => break,
                Skip::Octets(octets) => {
                    let have = u64::try_from(rest.len()).unwrap_or(u64::MAX).min(octets);
                    consumed += have as usize;
                    if have < octets {
                        self.skip = Skip::Octets(octets - have);
                        return Split { consumed, frame: None };
                    }
                    self.skip = Skip::Nothing;
                }
                Skip::Line => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        consumed += end + 1;
                        self.skip = Skip::Nothing;
                    }
                    None => return Split { consumed: buffer.len(), frame: None },
                },
            }
        }
        let rest = buffer.get(consumed..).unwrap_or(b"");
        let (used, frame) = match self.head(rest) {
            Head::NeedMore => (0, None),
            Head::Count { digits, octets } => self.counted(rest, digits, octets),
            Head::Line => self.line(rest),
        };
        Split { consumed: consumed + used, frame }
    }

    /// What is left when the peer has closed: a last line without a line feed, or the piece of an unfinished counted message.
    pub fn finish<'a>(&mut self, buffer: &'a [u8]) -> Option<Frame<'a>> {
        self.scanned = 0;
        if self.skip != Skip::Nothing || buffer.is_empty() {
            return None;
        }
        match self.head(buffer) {
            Head::Count { digits, .. } => Some(Frame {
                message: buffer.get(digits + 1..)?,
                framing: Framing::OctetCounted,
                truncated: true,
            }),
            _ => Some(Frame { message: without_cr(buffer), framing: Framing::LineFeed, truncated: false }),
        }
    }

    fn head(&self, rest: &[u8]) -> Head {
        let Some(first) = rest.first() else { return Head::NeedMore };
        if !self.octet_counting || !matches!(first, b'1'..=b'9') {
            return Head::Line;
        }
        let digits = rest.iter().take(COUNT_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
        let octets = rest.iter().take(digits).fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
        match (rest.get(digits), rest.get(digits + 1)) {
            (Some(b' '), Some(b'<')) => Head::Count { digits, octets },
            (None, _) | (Some(b' '), None) if rest.len() <= COUNT_DIGITS_MAX + 1 => Head::NeedMore,
            _ => Head::Line,
        }
    }

    fn counted<'a>(&mut self, rest: &'a [u8], digits: usize, octets: u64) -> (usize, Option<Frame<'a>>) {
        let start = digits + 1;
        let whole = usize::try_from(octets).unwrap_or(usize::MAX);
        let wanted = whole.min(self.message_bytes_max);
        let Some(message) = rest.get(start..start.saturating_add(wanted)) else { return (0, None) };
        let truncated = whole > wanted;
        if truncated {
            self.skip = Skip::Octets((whole - wanted) as u64);
        }
        (start + wanted, Some(Frame { message, framing: Framing::OctetCounted, truncated }))
    }

    fn line<'a>(&mut self, rest: &'a [u8]) -> (usize, Option<Frame<'a>>) {
        let from = self.scanned.min(rest.len());
        let found = memchr::memchr(b'\n', rest.get(from..).unwrap_or(b"")).map(|end| end + from);
        self.scanned = 0;
        match found {
            Some(end) if end <= self.message_bytes_max => {
                let line = without_cr(rest.get(..end).unwrap_or(b""));
                (end + 1, Some(Frame { message: line, framing: Framing::LineFeed, truncated: false }))
            }
            _ if rest.len() > self.message_bytes_max => {
                self.skip = Skip::Line;
                let message = rest.get(..self.message_bytes_max);
                let frame =
                    message.map(|message| Frame { message, framing: Framing::LineFeed, truncated: true });
                (self.message_bytes_max, frame)
            }
            _ => {
                self.scanned = rest.len();
                (0, None)
            }
        }
    }
}

/// Senders that end lines with CR LF mean the LF (RFC 6587 section 3.4.2 names them).
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Appends `message` octet-counted.
pub fn write_octet_counted(message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(message.len().to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &[u8], max: usize, piece: usize) -> Vec<String> {
        let mut splitter = Splitter::new(max);
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        let show = |frame: Frame<'_>| {
            format!(
                "{}{}{}",
                if frame.framing == Framing::OctetCounted { "#" } else { "" },
                String::from_utf8_lossy(frame.message),
                if frame.truncated { "~" } else { "" }
            )
        };
        for chunk in input.chunks(piece) {
            buffer.extend_from_slice(chunk);
            loop {
                let split = splitter.split(&buffer);
                let (consumed, frame) = (split.consumed, split.frame.map(show));
                buffer.drain(..consumed);
                assert!(buffer.len() <= splitter.buffer_bytes_max() || frame.is_some());
                match frame {
                    Some(frame) => found.push(frame),
                    None => break,
                }
            }
        }
        found.extend(splitter.finish(&buffer).map(show));
        found
    }

    /// Goal: frames are the same however the stream is cut into reads, and no length that a peer names does harm.
    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let check = |input: &str, expected: &[&str]| {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(frames(input.as_bytes(), 10, piece), expected, "{input:?} in pieces of {piece}");
            }
        };
        check("<1>a\n<2>b\r\n", &["<1>a", "<2>b"]);
        check("4 <1>a4 <2>b<3>c\n", &["#<1>a", "#<2>b", "<3>c"]);
        check("4 <1>\n5 <2>bb", &["#<1>\n", "#<2>bb"]);
        check("12 words\n<1>a\n", &["12 words", "<1>a"]);
        check("0 <1>a\n", &["0 <1>a"]);
        check("<1>0123456789abc\n<2>b\n", &["<1>0123456~", "<2>b"]);
        check("13 <1>0123456789<2>b\n", &["#<1>0123456~", "<2>b"]);
        check("<1>0123456\n<2>b\n", &["<1>0123456", "<2>b"]);
        check("999999999 <1>0123456789", &["#<1>0123456~"]);
        check("99999999999999999999 <1>a\n<2>b\n", &["9999999999~", "<2>b"]);
        check("9 <1>a", &["#<1>a~"]);
        check("\n\n<1>a\n", &["", "", "<1>a"]);
        check("<1>last", &["<1>last"]);
        check("", &[]);
    }
}
