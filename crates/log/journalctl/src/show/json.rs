//! Entries as JSON.

use std::ops::ControlFlow;

use journal_file::{Journal, Position, ReadError};

use super::{Show, name_of};
use crate::clock::put;
use crate::options::Format;
use crate::text;

/// Values with which name and value reach this length are shown as null, bytes, unless `--all` is given.
const SHOWN_MAX: usize = 4096;

/// Appends an entry.
pub fn entry(
    show: &mut Show,
    journal: &mut Journal,
    position: &Position,
    out: &mut Vec<u8>,
) -> Result<(), ReadError> {
    let entry = &position.entry;
    // Values of a name that stands more than once are gathered in one array.
    let mut members: Vec<(Vec<u8>, Vec<Vec<u8>>)> = Vec::new();
    let head = [
        ("__CURSOR", position.cursor().to_string()),
        ("__REALTIME_TIMESTAMP", entry.realtime.to_string()),
        ("__MONOTONIC_TIMESTAMP", entry.monotonic.to_string()),
        ("_BOOT_ID", entry.boot_id.to_string()),
    ];
    for (name, value) in head {
        members.push((name.as_bytes().to_vec(), vec![value.into_bytes()]));
    }
    journal.for_each_field(position, |payload| {
        let Some(name) = name_of(payload) else { return ControlFlow::Continue(()) };
        if name == b"_BOOT_ID" || !show.wanted(name) {
            return ControlFlow::Continue(());
        }
        let value = payload[name.len() + 1..].to_vec();
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => members.push((name.to_vec(), vec![value])),
        }
        ControlFlow::Continue(())
    })?;
    match show.format {
        Format::JsonSse => out.extend_from_slice(b"data: "),
        Format::JsonSeq => out.push(0x1e),
        _ => {}
    }
    let pretty = show.format == Format::JsonPretty;
    out.push(b'{');
    for (index, (name, values)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        break_line(out, pretty, 1);
        string(out, &String::from_utf8_lossy(name));
        out.extend_from_slice(if pretty { b" : " } else { b":" });
        match values.as_slice() {
            [value] => one(out, name, value, show.all, pretty, 1),
            several => {
                out.push(b'[');
                for (index, value) in several.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    break_line(out, pretty, 2);
                    one(out, name, value, show.all, pretty, 2);
                }
                break_line(out, pretty, 1);
                out.push(b']');
            }
        }
    }
    break_line(out, pretty, 0);
    out.extend_from_slice(if show.format == Format::JsonSse { b"}\n\n" } else { b"}\n" });
    Ok(())
}

fn one(out: &mut Vec<u8>, name: &[u8], value: &[u8], all: bool, pretty: bool, depth: usize) {
    if !all && name.len() + 1 + value.len() >= SHOWN_MAX {
        out.extend_from_slice(b"null");
        return;
    }
    match std::str::from_utf8(value) {
        Ok(shown) if text::printable(value, true) => string(out, shown),
        _ => {
            out.push(b'[');
            for (index, byte) in value.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                break_line(out, pretty, depth + 1);
                put(out, format_args!("{byte}"));
            }
            break_line(out, pretty, depth);
            out.push(b']');
        }
    }
}

fn break_line(out: &mut Vec<u8>, pretty: bool, depth: usize) {
    if pretty {
        out.push(b'\n');
        out.resize(out.len() + depth, b'\t');
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => put(out, format_args!("\\u{byte:04x}")),
            other => out.push(other),
        }
    }
    out.push(b'"');
}
