//! The journal's native datagrams: fields, one a line, or with a 64-bit length (systemd's JOURNAL_NATIVE_PROTOCOL).

/// Most fields that one entry may have; more are not looked at (journald `ENTRY_FIELD_COUNT_MAX`; CVE-2018-16865).
pub const FIELDS_MAX: usize = 1024;
/// Longest field name in bytes (journald's own bound).
pub const NAME_BYTES_MAX: usize = 64;
/// Largest entry in bytes; larger memfds are refused (journald's `ENTRY_SIZE_MAX` is 768 MiB; a log daemon on a small host
/// must not be made to map that by any local user).
pub const ENTRY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A field as it stands in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name: see [`is_valid_name`].
    pub name: &'a [u8],
    /// The value: any bytes.
    pub value: &'a [u8],
}

/// Why the rest of a datagram was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A length that reaches beyond the datagram, or no line feed after a value.
    Length,
    /// More than [`FIELDS_MAX`] fields.
    TooManyFields,
}

/// What one entry of a datagram held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// Bytes of the datagram that this entry takes; an empty line ends an entry, and another may follow.
    pub consumed: usize,
    /// Fields that were left out: a name that a client may not use (trusted fields begin with `_`) or that is malformed.
    pub refused: usize,
    /// Why reading stopped early; the fields before it count.
    pub broken: Option<Broken>,
}

/// Reads the fields of the entry at the head of `datagram` into `fields` (which is cleared first).
pub fn read<'a>(datagram: &'a [u8], fields: &mut Vec<Field<'a>>) -> Read {
    fields.clear();
    let mut result = Read::default();
    let mut rest = datagram;
    let mut seen = 0;
    loop {
        result.consumed = datagram.len() - rest.len();
        if rest.is_empty() {
            return result;
        }
        let line_end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..line_end).unwrap_or(rest);
        let after = rest.get(line_end + 1..).unwrap_or(b"");
        if line.is_empty() {
            result.consumed += 1;
            if fields.is_empty() && result.refused == 0 {
                rest = after;
                continue;
            }
            return result;
        }
        // A comment, as the export format has it.
        if line.first() == Some(&b'#') {
            rest = after;
            continue;
        }
        seen += 1;
        if seen > FIELDS_MAX {
            result.broken = Some(Broken::TooManyFields);
            result.consumed = datagram.len();
            return result;
        }
        let field = match memchr::memchr(b'=', line) {
            Some(equals) => {
                rest = after;
                Field {
                    name: line.get(..equals).unwrap_or(b""),
                    value: line.get(equals + 1..).unwrap_or(b""),
                }
            }
            None => match binary_value(after) {
                Some((value, after)) => {
                    rest = after;
                    Field { name: line, value }
                }
                None => {
                    result.broken = Some(Broken::Length);
                    result.consumed = datagram.len();
                    return result;
                }
            },
        };
        if is_valid_name(field.name) && field.name.first() != Some(&b'_') {
            fields.push(field);
        } else {
            result.refused += 1;
        }
    }
}

/// A little-endian u64 length, that many bytes, and a line feed.
pub(crate) fn binary_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = text.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((value, rest.strip_prefix(b"\n")?))
}

/// A name that the journal takes: upper-case ASCII, digits and underscores, 1 to 64 bytes, no digit first.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
        && !name.first().is_some_and(u8::is_ascii_digit)
}

/// Appends a field to a datagram: as a line, or with its length where the value has a line feed.
pub fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if memchr::memchr(b'\n', value).is_some() {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Splits the text of a traditional message into identifier, process id and message, as journald does with what comes by
/// `/dev/log`: `su[12]: text`. A colon at the very end is no reason to read beyond it (CVE-2018-16866).
pub fn split_identifier(text: &[u8]) -> (Option<&[u8]>, Option<&[u8]>, &[u8]) {
    let start = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    let trimmed = text.get(start..).unwrap_or(b"");
    let length = trimmed.iter().take_while(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    let (word, rest) = trimmed.split_at_checked(length).unwrap_or((trimmed, b""));
    let Some(word) = word.strip_suffix(b":") else { return (None, None, text) };
    if word.is_empty() {
        return (None, None, text);
    }
    let message = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"\t")).unwrap_or(rest);
    if let Some(inside) = word.strip_suffix(b"]")
        && let Some(open) = inside.iter().rposition(|byte| *byte == b'[')
        && open > 0
    {
        return (inside.get(..open), inside.get(open + 1..), message);
    }
    (Some(word), None, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(mut datagram: &[u8]) -> String {
        let mut shown = String::new();
        let mut fields = Vec::new();
        while !datagram.is_empty() {
            let read = read(datagram, &mut fields);
            for field in &fields {
                shown.push_str(&format!(
                    "{}={};",
                    String::from_utf8_lossy(field.name),
                    String::from_utf8_lossy(field.value)
                ));
            }
            if let Some(broken) = read.broken {
                shown.push_str(&format!("{broken:?}"));
            }
            shown.push('|');
            assert!(read.consumed > 0);
            datagram = datagram.get(read.consumed..).unwrap_or(b"");
        }
        shown
    }

    /// Goal: fields of both shapes are read, names that a client may not use are left out, bad lengths end the entry.
    #[test]
    fn datagrams_are_read() {
        let check = |datagram: &[u8], expected: &str| assert_eq!(entries(datagram), expected);
        check(b"MESSAGE=a\nPRIORITY=6\n", "MESSAGE=a;PRIORITY=6;|");
        check(b"MESSAGE=a\n\nMESSAGE=b\n", "MESSAGE=a;|MESSAGE=b;|");
        check(b"MESSAGE=no end", "MESSAGE=no end;|");
        check(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nX=1\n", "MESSAGE=a\nb;X=1;|");
        check(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\n", "Length|");
        check(b"X=1\nMESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffa\n", "X=1;Length|");
        check(b"X=1\nMESSAGE", "X=1;Length|");
        check(b"_PID=1\nlower=1\n1X=1\n=1\nOK=1\n", "OK=1;|");
        check(b"\n\n", "|");
        let many: Vec<u8> = (0..2000).flat_map(|n| format!("F{n}=1\n").into_bytes()).collect();
        assert!(entries(&many).ends_with("F1023=1;TooManyFields|"));
    }

    /// Goal: what is written is read back, whatever the value.
    #[test]
    fn a_written_field_is_read_back() {
        for value in [&b""[..], b"text", b"two\nlines", b"\n", b"a=b", &[0, 255, 10]] {
            let mut datagram = Vec::new();
            write_field("MESSAGE", value, &mut datagram);
            write_field("NEXT", b"1", &mut datagram);
            let mut fields = Vec::new();
            read(&datagram, &mut fields);
            let expected = [Field { name: b"MESSAGE", value }, Field { name: b"NEXT", value: b"1" }];
            assert_eq!(fields, expected);
        }
    }

    /// Goal: the identifier is found as journald finds it, and odd ends (CVE-2018-16866) do no harm.
    #[test]
    fn identifiers_are_split_off() {
        let check = |text: &str, identifier: Option<&str>, pid: Option<&str>, message: &str| {
            let expected = (identifier.map(str::as_bytes), pid.map(str::as_bytes), message.as_bytes());
            assert_eq!(split_identifier(text.as_bytes()), expected, "{text:?}");
        };
        check("su[12]: text", Some("su"), Some("12"), "text");
        check("su: text", Some("su"), None, "text");
        check(" su:  two", Some("su"), None, " two");
        check("su:", Some("su"), None, "");
        check("su[12]:", Some("su"), Some("12"), "");
        check(":", None, None, ":");
        check("[12]: x", Some("[12]"), None, "x");
        check("no tag", None, None, "no tag");
        check("", None, None, "");
    }
}
