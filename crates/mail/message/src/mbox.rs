//! The mbox format (RFC 4155, `mbox(5)`): messages one after another, each after a `From ` line.

use jiff::Zoned;
use std::ops::Range;

/// Where the messages of an mbox stand. Each range begins at its `From ` line and ends after the blank line before the
/// next one. Text before the first `From ` line belongs to no message.
pub fn split(content: &[u8]) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut at = 0;
    let mut blank_before = true;
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or_default();
        if blank_before && is_from_line(line) {
            starts.push(at);
        }
        blank_before = line == b"\n" || line == b"\r\n";
        at += length;
    }
    let ends = starts.iter().skip(1).copied().chain([content.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// Whether a line separates messages: `From sender date`, the date with a time of day in it, so that a paragraph that
/// begins with "From here" does not.
pub fn is_from_line(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let is_time = |word: &[u8]| {
        let mut parts = word.split(|&b| b == b':');
        let mut two_digits =
            || parts.next().is_some_and(|p| p.len() == 2 && p.iter().all(u8::is_ascii_digit));
        two_digits() && two_digits()
    };
    rest.split(|b| b.is_ascii_whitespace()).any(is_time)
}

/// The envelope sender that a `From ` line names, and the date text after it.
pub fn from_line(line: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8_lossy(line.strip_prefix(b"From ")?).trim_end().to_owned();
    // A quoted local part may hold spaces.
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        c == ' ' && !quoted
    });
    let (sender, date) = text.split_at_checked(end?)?;
    Some((sender.to_owned(), date.trim().to_owned()))
}

/// Appends one message as a mailbox holds it: the `From ` line, `extra` fields, the message with LF line ends and lines
/// that begin with `From ` quoted by `>`, and a blank last line. `sender` is empty for the null sender.
pub fn write_entry(out: &mut Vec<u8>, sender: &str, date: &Zoned, extra: &[(&str, &str)], message: &[u8]) {
    let sender = if sender.is_empty() { "MAILER-DAEMON".to_owned() } else { crate::header_value(sender) };
    out.reserve(message.len() + 256);
    out.extend_from_slice(format!("From {sender}  {}\n", date.strftime("%a %b %e %H:%M:%S %Y")).as_bytes());
    for (name, value) in extra {
        out.extend_from_slice(format!("{name}: {}\n", crate::header_value(value)).as_bytes());
    }
    let mut rest = message;
    // A message that begins with another's From line keeps it as a quoted one, as the body would.
    while !rest.is_empty() {
        let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let (line, after) = rest.split_at_checked(length).unwrap_or((rest, b""));
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"From ") {
            out.push(b'>');
        }
        out.extend_from_slice(line);
        out.push(b'\n');
        rest = after;
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: messages are found where they begin and nowhere else.
    #[test]
    fn mailboxes_are_split() {
        let check = |content: &str, expected: &[&str]| {
            let got: Vec<&str> = split(content.as_bytes()).into_iter().map(|range| &content[range]).collect();
            assert_eq!(got, expected);
        };
        let one = "From a@b  Sun Nov 22 16:01:26 2026\nA: b\n\nFrom here on\n\n>From x\n\n";
        let two = "From MAILER-DAEMON Sun Nov  1 06:01:26 2026\n\n";
        check("", &[]);
        check("no mailbox\n", &[]);
        check(one, &[one]);
        check(&format!("{one}{two}"), &[one, two]);
        // Without a blank line before it, a From line is text.
        let text = "From a Sun Nov 22 16:01:26 2026\nFrom a Sun Nov 22 16:01:26 2026\n";
        check(text, &[text]);
    }

    /// Goal: whatever a message holds, a mailbox that holds it twice has two messages.
    #[test]
    fn written_messages_are_found_again() {
        let date: Zoned = "2026-11-02T06:01:26+09:00[Asia/Tokyo]".parse().unwrap();
        let check = |message: &[u8]| {
            let mut mailbox = Vec::new();
            for sender in ["a@b", ""] {
                write_entry(&mut mailbox, sender, &date, &[("Delivered-To", "x\ny")], message);
            }
            assert_eq!(split(&mailbox).len(), 2, "{}", String::from_utf8_lossy(&mailbox));
            assert!(mailbox.ends_with(b"\n\n"));
            assert!(!mailbox.contains(&b'\r'));
        };
        check(b"A: b\r\n\r\nhi\r\n\r\nFrom x Sun Nov 22 16:01:26 2026\r\n\r\n");
        check(b"From x Sun Nov 22 16:01:26 2026\nA: b");
        check(b"\n\n\n");
        check(b"");
        let line = from_line(b"From \"a b\"@c  Mon Nov  2 06:01:26 2026\n");
        assert_eq!(line, Some(("\"a b\"@c".into(), "Mon Nov  2 06:01:26 2026".into())));
    }
}
