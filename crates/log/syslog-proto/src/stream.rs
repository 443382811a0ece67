//! The journal's stream socket: seven header lines, then text (`sd_journal_stream_fd(3)`).

use record::Severity;

/// Longest header line in bytes; a client that sends more is closed.
pub const HEADER_LINE_BYTES_MAX: usize = 4096;
/// Lines of the header.
const HEADER_LINES: usize = 7;

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// SYSLOG_IDENTIFIER of the lines; empty for none.
    pub identifier: Vec<u8>,
    /// The unit, as the service manager says it (only it is believed); empty for none.
    pub unit: Vec<u8>,
    /// The severity of lines that state none.
    pub priority: Severity,
    /// Lines may begin with `<N>`.
    pub level_prefix: bool,
    /// The three wishes to forward: to syslog, to the kernel's log, to the console.
    pub forward: [bool; 3],
}

/// What [`read_header`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderRead {
    /// The header, and how many bytes it takes.
    Complete(Header, usize),
    /// Not all of it is there.
    NeedMore,
    /// It is no header; the reason.
    Broken(&'static str),
}

/// Reads the header at the head of `bytes`.
pub fn read_header(bytes: &[u8]) -> HeaderRead {
    let mut lines: [&[u8]; HEADER_LINES] = [b""; HEADER_LINES];
    let mut used = 0;
    for line in &mut lines {
        let rest = bytes.get(used..).unwrap_or(b"");
        match memchr::memchr(b'\n', rest) {
            Some(end) if end <= HEADER_LINE_BYTES_MAX => {
                *line = rest.get(..end).unwrap_or(b"");
                used += end + 1;
            }
            None if rest.len() <= HEADER_LINE_BYTES_MAX => return HeaderRead::NeedMore,
            _ => return HeaderRead::Broken("a header line is too long"),
        }
    }
    let [identifier, unit, priority, level_prefix, syslog, kmsg, console] = lines;
    // The priority may carry a facility in the same number; only the severity counts.
    let Some(priority) = number(priority).filter(|value| *value < 192) else {
        return HeaderRead::Broken("the priority is no number from 0 to 191");
    };
    let (Some(level_prefix), Some(syslog), Some(kmsg), Some(console)) =
        (boolean(level_prefix), boolean(syslog), boolean(kmsg), boolean(console))
    else {
        return HeaderRead::Broken("a flag is neither 0 nor 1");
    };
    let header = Header {
        identifier: identifier.to_vec(),
        unit: unit.to_vec(),
        priority: Severity::from_code((priority & 7) as u8).unwrap_or(Severity::Info),
        level_prefix,
        forward: [syslog, kmsg, console],
    };
    HeaderRead::Complete(header, used)
}

/// Appends the header.
pub fn write_header(header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(&header.identifier);
    out.push(b'\n');
    out.extend_from_slice(&header.unit);
    out.push(b'\n');
    out.extend_from_slice(&[b'0' + header.priority.code(), b'\n']);
    for flag in [header.level_prefix].into_iter().chain(header.forward) {
        out.extend_from_slice(if flag { b"1\n" } else { b"0\n" });
    }
}

/// Splits the `<N>` (or `<NNN>`, whose facility counts as well) from a line.
pub fn split_level(line: &[u8]) -> (Option<record::Priority>, &[u8]) {
    if let Some(after) = line.strip_prefix(b"<")
        && let Some(end) = after.iter().take(4).position(|byte| *byte == b'>')
        && let Some(priority) = after.get(..end).and_then(number).and_then(record::Priority::from_pri)
    {
        return (Some(priority), after.get(end + 1..).unwrap_or(b""));
    }
    (None, line)
}

fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"0" => Some(false),
        b"1" => Some(true),
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 4 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a header is read however much of it has come, and a broken one is told.
    #[test]
    fn headers_are_read() {
        let header = Header {
            identifier: b"cat".to_vec(),
            unit: b"x.service".to_vec(),
            priority: Severity::Err,
            level_prefix: true,
            forward: [false, true, false],
        };
        let mut bytes = Vec::new();
        write_header(&header, &mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"text\n");
        for have in 0..length {
            assert_eq!(read_header(bytes.get(..have).unwrap_or(b"")), HeaderRead::NeedMore);
        }
        assert_eq!(read_header(&bytes), HeaderRead::Complete(header, length));
        assert!(matches!(read_header(b"\n\nx\n0\n0\n0\n0\n"), HeaderRead::Broken(_)));
        assert!(matches!(read_header(b"\n\n6\n2\n0\n0\n0\n"), HeaderRead::Broken(_)));
        assert!(matches!(read_header(&[b'a'; HEADER_LINE_BYTES_MAX + 1]), HeaderRead::Broken(_)));
    }

    /// Goal: level prefixes are split off, other angle brackets stay.
    #[test]
    fn levels_are_split_off() {
        let check = |line: &str, pri: Option<u8>, rest: &str| {
            let (priority, text) = split_level(line.as_bytes());
            assert_eq!((priority.map(record::Priority::pri), text), (pri, rest.as_bytes()));
        };
        check("<3>bad", Some(3), "bad");
        check("<30>x", Some(30), "x");
        check("<b>x", None, "<b>x");
        check("<999>x", None, "<999>x");
        check("<>x", None, "<>x");
        check("<", None, "<");
    }
}
