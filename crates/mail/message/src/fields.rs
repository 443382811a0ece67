//! The header as it stands: fields in order, and where the body begins (RFC 5322 section 2.2).

use std::ops::Range;

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name as written.
    pub name: &'a str,
    /// Its value as written, with folding, without the last line end.
    pub raw: &'a [u8],
    /// Where it stands in the message, last line end included.
    pub span: Range<usize>,
}

impl Field<'_> {
    /// Whether it is called `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line, white space around it gone; octets that are no UTF-8 replaced.
    pub fn unfolded(&self) -> String {
        let text = String::from_utf8_lossy(self.raw);
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut value = lines.next().unwrap_or_default().trim().to_owned();
        for line in lines {
            let line = line.trim();
            if !value.is_empty() && !line.is_empty() {
                value.push(' ');
            }
            value.push_str(line);
        }
        value
    }
}

/// The fields of a message in order. A leading `From ` line of an mbox is passed over.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields { message, at: skip_from_line(message) }
}

/// The first field called `name`, unfolded.
pub fn field(message: &[u8], name: &str) -> Option<String> {
    fields(message).find(|f| f.is(name)).map(|f| f.unfolded())
}

/// How many fields are called `name`: `Received` for the hop limit, `Delivered-To` for loops.
pub fn count_fields(message: &[u8], name: &str) -> usize {
    fields(message).filter(|f| f.is(name)).count()
}

/// Where the body begins: after the empty line, or at the first line that belongs to no field.
pub fn body_offset(message: &[u8]) -> usize {
    let end = header_end(message);
    let rest = message.get(end..).unwrap_or_default();
    match rest {
        [b'\n', ..] => end + 1,
        [b'\r', b'\n', ..] => end + 2,
        _ => end,
    }
}

/// The message without the fields of these names (`Bcc` before a message leaves).
pub fn without_fields(message: &[u8], names: &[&str]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len());
    let mut copied = 0;
    for field in fields(message).filter(|f| names.iter().any(|name| f.is(name))) {
        out.extend_from_slice(message.get(copied..field.span.start).unwrap_or_default());
        copied = field.span.end;
    }
    out.extend_from_slice(message.get(copied..).unwrap_or_default());
    out
}

/// The message with fields put before its own ones. Names that are none are left out; values are made safe.
pub fn insert_fields(message: &[u8], new: &[(&str, String)]) -> Vec<u8> {
    let start = skip_from_line(message);
    let mut out = Vec::with_capacity(message.len() + 256);
    for (name, value) in new.iter().filter(|(name, _)| is_field_name(name)) {
        out.extend_from_slice(format!("{name}: {}\n", crate::header_value(value)).as_bytes());
    }
    // A message without any header would otherwise have its first line taken for one.
    if header_end(message) == start && !matches!(message.get(start..), Some([b'\n', ..] | [b'\r', b'\n', ..]))
    {
        out.push(b'\n');
    }
    out.extend_from_slice(message.get(start..).unwrap_or_default());
    out
}

/// Whether `name` may stand before a header's colon: printable ASCII without colon (RFC 5322 section 3.6.8).
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

struct Fields<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let rest = self.message.get(self.at..)?;
        let colon = memchr::memchr2(b':', b'\n', rest)?;
        let (name, value) = rest.split_at_checked(colon)?;
        let value = value.strip_prefix(b":")?;
        // White space before the colon is obsolete syntax, but read (RFC 5322 section 4.5).
        let name = std::str::from_utf8(name)
            .ok()
            .map(|n| n.trim_end_matches([' ', '\t']))
            .filter(|n| is_field_name(n))?;
        let mut end = 0;
        loop {
            match memchr::memchr(b'\n', value.get(end..)?) {
                Some(at) => end += at + 1,
                None => end = value.len(),
            }
            if !matches!(value.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let raw = value.get(..end)?;
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let span = self.at..self.at + colon + 1 + end;
        self.at = span.end;
        Some(Field { name, raw, span })
    }
}

fn header_end(message: &[u8]) -> usize {
    fields(message).last().map_or_else(|| skip_from_line(message), |f| f.span.end)
}

fn skip_from_line(message: &[u8]) -> usize {
    if !message.starts_with(b"From ") {
        return 0;
    }
    memchr::memchr(b'\n', message).map_or(message.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the header ends where it ends, for lawful and unlawful messages, with either line end.
    #[test]
    fn headers_are_found() {
        let check = |message: &str, expected: &[(&str, &str)], body: &str| {
            for message in [message.to_owned(), message.replace('\n', "\r\n")] {
                let got: Vec<_> =
                    fields(message.as_bytes()).map(|f| (f.name.to_owned(), f.unfolded())).collect();
                let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                assert_eq!(got, expected, "{message:?}");
                assert_eq!(
                    message[body_offset(message.as_bytes())..].replace("\r\n", "\n"),
                    body,
                    "{message:?}"
                );
            }
        };
        check("A: 1\nb:2\n\nbody\n", &[("A", "1"), ("b", "2")], "body\n");
        check("A: 1\n two\n\t three\n\nbody", &[("A", "1 two three")], "body");
        check("From x Mon\nA: 1\n\nb", &[("A", "1")], "b");
        check("A : 1\n\n", &[("A", "1")], "");
        check("no header\nA: 1\n", &[], "no header\nA: 1\n");
        check("A: 1\nno header\n", &[("A", "1")], "no header\n");
        check("\nA: 1\n", &[], "A: 1\n");
        check("A:\n\n", &[("A", "")], "");
        check("A: 1", &[("A", "1")], "");
        check("", &[], "");
        check("two words: 1\n", &[], "two words: 1\n");
    }

    /// Goal: fields go and come without harm to the rest.
    #[test]
    fn fields_are_taken_out_and_put_in() {
        let message = b"To: a\nBCC: b,\n c\nSubject: s\n\nbcc: stays\n";
        assert_eq!(without_fields(message, &["Bcc"]), b"To: a\nSubject: s\n\nbcc: stays\n");
        let new = [("Date", "d\nX: y".to_owned()), ("bad name", "v".to_owned())];
        assert_eq!(insert_fields(b"To: a\n\nb", &new), b"Date: d X: y\nTo: a\n\nb");
        assert_eq!(insert_fields(b"text\n", &new), b"Date: d X: y\n\ntext\n");
        assert_eq!(insert_fields(b"\ntext\n", &new), b"Date: d X: y\n\ntext\n");
    }
}
