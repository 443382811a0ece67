//! The property replacer's options, applied where the text already stands at the end of the output buffer.
//!
//! Each stage works on `out[start..]`. A stage that makes the text longer writes behind it and then drops the original, so
//! that nothing is allocated once the buffer has grown.

use super::{Case, Controls, Escape, Extract, FieldSpan, NoMatch, PathSafety, PropertySpec, TemplateQuoting};
use crate::{MessageView, Property};

/// Appends the property with its options.
pub(super) fn append(spec: &PropertySpec, message: &MessageView<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    match spec.property {
        Property::TimeReported | Property::TimeGenerated => {
            let stamp = match spec.property {
                Property::TimeReported => message.time_reported,
                _ => message.time_generated,
            };
            let stamp = if spec.utc { stamp.in_utc() } else { stamp };
            stamp.append(spec.date, out);
        }
        property => property.append(message, out),
    }
    extract(&spec.extract, out, start);
    if spec.compress_space {
        let mut previous = 0u8;
        retain(out, start, |byte| {
            let keep = !(byte == b' ' && previous == b' ');
            previous = byte;
            keep
        });
    }
    match spec.case {
        Case::AsIs => {}
        Case::Lower => out[start..].make_ascii_lowercase(),
        Case::Upper => out[start..].make_ascii_uppercase(),
    }
    match spec.controls {
        Controls::AsIs => {}
        Controls::Escape => rewrite(out, start, |byte, out| {
            if byte.is_ascii_control() {
                out.extend_from_slice(&[b'#', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
            } else {
                out.push(byte);
            }
        }),
        Controls::Space => {
            for byte in &mut out[start..] {
                if byte.is_ascii_control() {
                    *byte = b' ';
                }
            }
        }
        Controls::Drop => retain(out, start, |byte| !byte.is_ascii_control()),
    }
    make_path_safe(spec.path, out, start);
    if spec.space_unless_leading {
        let needs_space = out.get(start).is_some_and(|first| *first != b' ');
        out.truncate(start);
        if needs_space {
            out.push(b' ');
        }
    }
    if spec.drop_last_lf && out.len() > start && out.last() == Some(&b'\n') {
        out.pop();
    }
    escape(&spec.escape, out, start);
    quote(spec.quoting, out, start);
}

fn extract(extract: &Extract, out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    match extract {
        Extract::Whole => {}
        Extract::Positions { from, to, fixed_width } => {
            let first = from.saturating_sub(1).min(length);
            let end = to.map_or(length, |to| to.min(length)).max(first);
            keep_range(out, start, first, end);
            if let (true, true, Some(to)) = (*fixed_width, length > 0, to) {
                let width = (to + 1).saturating_sub((*from).max(1)).min(FIXED_WIDTH_MAX);
                out.resize(out.len().max(start + width), b' ');
            }
        }
        Extract::Field(field) => match find_field(&out[start..], field) {
            Some((first, end)) => keep_range(out, start, first, end),
            None => replace_with(out, start, b"**FIELD NOT FOUND**"),
        },
        Extract::Regex { pattern, match_number, submatch, no_match } => {
            match pattern.find(&out[start..], *match_number, *submatch) {
                Some(range) => keep_range(out, start, range.start, range.end),
                None => match no_match {
                    NoMatch::Default => replace_with(out, start, b"**NO MATCH**"),
                    NoMatch::Blank => out.truncate(start),
                    NoMatch::Zero => replace_with(out, start, b"0"),
                    NoMatch::Field => {}
                },
            }
        }
    }
}

/// Bytes that `fixed-width` fills up to: a slip of the pen in a position must not cost a gigabyte a message.
const FIXED_WIDTH_MAX: usize = 64 << 10;

fn find_field(text: &[u8], field: &FieldSpan) -> Option<(usize, usize)> {
    let delimiter = field.delimiter.as_slice();
    if delimiter.is_empty() || field.number == 0 {
        return None;
    }
    let mut from = 0;
    for _ in 1..field.number {
        from += memchr::memmem::find(text.get(from..)?, delimiter)? + delimiter.len();
        while field.collapse && text.get(from..).is_some_and(|rest| rest.starts_with(delimiter)) {
            from += delimiter.len();
        }
    }
    let rest = text.get(from..)?;
    let end = memchr::memmem::find(rest, delimiter).unwrap_or(rest.len());
    Some((from, from + end))
}

fn make_path_safe(path: PathSafety, out: &mut Vec<u8>, start: usize) {
    match path {
        PathSafety::AsIs => return,
        PathSafety::Drop => retain(out, start, |byte| byte != b'/'),
        PathSafety::Replace => {
            for byte in &mut out[start..] {
                if *byte == b'/' {
                    *byte = b'_';
                }
            }
        }
    }
    // A name of dots would lead elsewhere even without a slash, an empty one nowhere.
    if matches!(&out[start..], b"." | b"..") {
        out[start] = b'_';
    } else if out.len() == start {
        out.push(b'_');
    }
}

fn escape(escape: &Escape, out: &mut Vec<u8>, start: usize) {
    match escape {
        Escape::None => {}
        Escape::Json => rewrite(out, start, append_json_byte),
        Escape::JsonField(name) => {
            rewrite(out, start, append_json_byte);
            let mut head = Vec::with_capacity(name.len() + 4);
            head.push(b'"');
            append_json_escaped(name.as_bytes(), &mut head);
            head.extend_from_slice(b"\":\"");
            out.splice(start..start, head);
            out.push(b'"');
        }
        Escape::Csv => {
            rewrite(out, start, |byte, out| {
                if byte == b'"' {
                    out.push(b'"');
                }
                out.push(byte);
            });
            out.insert(start, b'"');
            out.push(b'"');
        }
    }
}

fn quote(quoting: TemplateQuoting, out: &mut Vec<u8>, start: usize) {
    match quoting {
        TemplateQuoting::None => {}
        TemplateQuoting::Sql => rewrite(out, start, |byte, out| {
            if matches!(byte, b'\'' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }),
        TemplateQuoting::StandardSql => rewrite(out, start, |byte, out| {
            if byte == b'\'' {
                out.push(b'\'');
            }
            out.push(byte);
        }),
        TemplateQuoting::Json => rewrite(out, start, |byte, out| match byte {
            // Here rsyslog leaves the slash alone.
            b'/' => out.push(byte),
            other => append_json_byte(other, out),
        }),
    }
}

/// Appends `text` as the inside of a JSON string.
fn append_json_escaped(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        append_json_byte(*byte, out);
    }
}

fn append_json_byte(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        // rsyslog escapes the slash too, which JSON allows.
        b'/' => b'/',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
        _ => {
            out.push(byte);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Keeps `out[start + first..start + end]` of the text.
fn keep_range(out: &mut Vec<u8>, start: usize, first: usize, end: usize) {
    out.copy_within(start + first..start + end, start);
    out.truncate(start + end - first);
}

fn replace_with(out: &mut Vec<u8>, start: usize, text: &[u8]) {
    out.truncate(start);
    out.extend_from_slice(text);
}

/// Keeps the bytes of the text that `keep` wants.
fn retain(out: &mut Vec<u8>, start: usize, mut keep: impl FnMut(u8) -> bool) {
    let mut to = start;
    for from in start..out.len() {
        let byte = out[from];
        if keep(byte) {
            out[to] = byte;
            to += 1;
        }
    }
    out.truncate(to);
}

/// Writes the text again behind itself, byte by byte, and drops the original.
fn rewrite(out: &mut Vec<u8>, start: usize, mut write: impl FnMut(u8, &mut Vec<u8>)) {
    let end = out.len();
    for at in start..end {
        let byte = out[at];
        write(byte, out);
    }
    out.drain(start..end);
}
