//! The journal's export format (systemd's JOURNAL_EXPORT_FORMATS): the native form with cursors and trusted fields, entries
//! divided by empty lines.

use crate::native::{FIELDS_MAX, Field, binary_value};

/// What [`read_entry`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryRead {
    /// An entry, which takes so many bytes.
    Complete(usize),
    /// Not all of it is there.
    NeedMore,
    /// It is no export format, or has more than 1,024 fields.
    Broken,
}

/// Reads the entry at the head of `bytes` into `fields` (cleared first). Every name is kept, `__CURSOR` and `_PID` too: who reads
/// an export decides whom to believe. `last` says that no more bytes will come, so an entry may end without an empty line.
pub fn read_entry<'a>(bytes: &'a [u8], last: bool, fields: &mut Vec<Field<'a>>) -> EntryRead {
    fields.clear();
    let mut rest = bytes;
    loop {
        let Some(line_end) = memchr::memchr(b'\n', rest) else {
            return match (last, rest.is_empty(), fields.is_empty()) {
                (true, true, false) => EntryRead::Complete(bytes.len()),
                (true, false, _) => EntryRead::Broken,
                _ => EntryRead::NeedMore,
            };
        };
        let line = rest.get(..line_end).unwrap_or(b"");
        let after = rest.get(line_end + 1..).unwrap_or(b"");
        if line.is_empty() {
            rest = after;
            if fields.is_empty() {
                continue;
            }
            return EntryRead::Complete(bytes.len() - rest.len());
        }
        if fields.len() == FIELDS_MAX {
            return EntryRead::Broken;
        }
        match memchr::memchr(b'=', line) {
            Some(equals) => {
                let name = line.get(..equals).unwrap_or(b"");
                fields.push(Field { name, value: line.get(equals + 1..).unwrap_or(b"") });
                rest = after;
            }
            None => match binary_value(after) {
                Some((value, after)) => {
                    fields.push(Field { name: line, value });
                    rest = after;
                }
                None if last || !may_grow(after) => return EntryRead::Broken,
                None => return EntryRead::NeedMore,
            },
        }
    }
}

/// Whether a binary value that is not complete can still become one within the limit.
fn may_grow(after: &[u8]) -> bool {
    match after.split_first_chunk::<8>() {
        None => true,
        Some((length, rest)) => {
            let length = u64::from_le_bytes(*length);
            length <= crate::native::ENTRY_BYTES_MAX as u64 && rest.len() as u64 <= length
        }
    }
}

/// Appends a field: as a line where the value is printable UTF-8 text, else with its length.
pub fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if is_text(value) {
        out.push(b'=');
    } else {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Appends the end of an entry.
pub fn end_entry(out: &mut Vec<u8>) {
    out.push(b'\n');
}

fn is_text(value: &[u8]) -> bool {
    value.iter().all(|byte| *byte >= 32 && *byte != 127 || *byte == b'\t')
        && std::str::from_utf8(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is written is read back, in every cut, and garbage is told from a piece.
    #[test]
    fn entries_are_read_back() {
        let written: [(&str, &[u8]); 4] =
            [("__CURSOR", b"s=1"), ("MESSAGE", b"two\nlines"), ("BIN", &[0, 255]), ("EMPTY", b"")];
        let mut bytes = Vec::new();
        for (name, value) in written {
            write_field(name, value, &mut bytes);
        }
        end_entry(&mut bytes);
        let mut fields = Vec::new();
        for have in 0..bytes.len() {
            assert_eq!(read_entry(&bytes[..have], false, &mut fields), EntryRead::NeedMore, "{have}");
        }
        assert_eq!(read_entry(&bytes, false, &mut fields), EntryRead::Complete(bytes.len()));
        let read: Vec<(&[u8], &[u8])> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(read, written.map(|(name, value)| (name.as_bytes(), value)));
        let huge = [b"X\n".as_slice(), &[255; 8], b"a\n"].concat();
        assert_eq!(read_entry(&huge, false, &mut fields), EntryRead::Broken);
        assert_eq!(read_entry(b"A=1\n", true, &mut fields), EntryRead::Complete(4));
        assert_eq!(read_entry(b"A=1", true, &mut fields), EntryRead::Broken);
    }
}
