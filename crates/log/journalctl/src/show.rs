//! One entry as text, in every format: byte for byte what the stock program writes for the same file. (Its JSON keys come in
//! a random order; ours come in the file's.)

mod json;

use std::io;
use std::ops::ControlFlow;

use journal_file::{Journal, Position, ReadError, field_name_valid};

use crate::clock::{Clock, put};
use crate::options::{Format, Options};
use crate::text;

/// Values of this length and more are not shown in a line, bytes, unless `--all` is given.
const SHOWN_MAX: usize = 300;

/// Shows entries.
pub struct Show {
    format: Format,
    all: bool,
    colors: bool,
    terminal: bool,
    hostname: bool,
    fields: Option<Vec<String>>,
    clock: Clock,
    line: Line,
}

/// What a line of the short formats is made of. Buffers stay from entry to entry.
#[derive(Default)]
struct Line {
    message: Value,
    hostname: Value,
    identifier: Value,
    comm: Value,
    pid: Value,
    syslog_pid: Value,
    priority: Value,
    transport: Value,
    unit: Value,
    user_unit: Value,
    realtime: Value,
    monotonic: Value,
}

/// A field's value, or its absence.
#[derive(Default)]
struct Value {
    present: bool,
    bytes: Vec<u8>,
}

impl Value {
    #[inline]
    fn set(&mut self, bytes: &[u8]) {
        self.present = true;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    fn get(&self) -> Option<&[u8]> {
        self.present.then_some(&self.bytes)
    }

    /// The value as a number.
    fn number(&self) -> Option<u64> {
        std::str::from_utf8(self.get()?).ok()?.parse().ok()
    }
}

impl Show {
    /// Shows as the options say; `colors`: text is coloured; `terminal`: somebody's terminal obeys what is written.
    pub fn new(options: &Options, colors: bool, terminal: bool) -> Self {
        Self {
            format: options.format.unwrap_or(Format::Short),
            all: options.all,
            colors,
            terminal,
            hostname: !options.no_hostname,
            fields: options.output_fields.clone(),
            clock: Clock::new(options.utc),
            line: Line::default(),
        }
    }

    /// The clock that times are shown by.
    pub fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Appends the text of an entry to `out`; on an error nothing is appended.
    pub fn entry(
        &mut self,
        journal: &mut Journal,
        position: &Position,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let before = out.len();
        let outcome = match self.format {
            Format::Verbose => self.verbose(journal, position, out),
            Format::Export => self.export(journal, position, out),
            Format::Cat => self.cat(journal, position, out),
            Format::Json | Format::JsonPretty | Format::JsonSse | Format::JsonSeq => {
                json::entry(self, journal, position, out)
            }
            _ => self.short(journal, position, out),
        };
        if outcome.is_err() {
            out.truncate(before);
        }
        outcome
    }

    fn wanted(&self, name: &[u8]) -> bool {
        self.fields.as_ref().is_none_or(|fields| fields.iter().any(|field| field.as_bytes() == name))
    }

    fn short(
        &mut self,
        journal: &mut Journal,
        position: &Position,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        self.line.read(journal, position)?;
        if !self.line.message.present {
            return Ok(());
        }
        let start = out.len();
        self.timestamp(position, out);
        let line = &self.line;
        let message = line.message.bytes.as_slice();
        let shall = |value: &Value| -> bool {
            value.present
                && (self.all || (value.bytes.len() < SHOWN_MAX && text::printable(&value.bytes, true)))
        };
        let mut width = out.len() - start;
        if self.hostname && shall(&line.hostname) {
            out.push(b' ');
            out.extend_from_slice(&line.hostname.bytes);
            width = out.len() - start;
        }
        if self.format == Format::WithUnit && (shall(&line.unit) || shall(&line.user_unit)) {
            out.push(b' ');
            out.extend_from_slice(
                &line.unit.bytes[..if line.unit.present { line.unit.bytes.len() } else { 0 }],
            );
            if let Some(user_unit) = line.user_unit.get() {
                if line.unit.present {
                    out.push(b'/');
                }
                out.extend_from_slice(user_unit);
            }
            width = out.len() - start;
        } else if shall(&line.identifier) {
            out.push(b' ');
            out.extend_from_slice(&line.identifier.bytes);
            width = out.len() - start;
        } else if shall(&line.comm) {
            out.push(b' ');
            out.extend_from_slice(&line.comm.bytes);
            width = out.len() - start;
        } else {
            // The stock program does not count this word for the indentation of further lines.
            out.extend_from_slice(b" unknown");
        }
        for pid in [&line.pid, &line.syslog_pid] {
            if shall(pid) {
                let before = out.len();
                out.push(b'[');
                out.extend_from_slice(&pid.bytes);
                out.push(b']');
                width += out.len() - before;
                break;
            }
        }
        out.extend_from_slice(b": ");
        let plain = message.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        let stripped;
        let message = if plain || self.all {
            message
        } else {
            stripped = text::strip(message);
            &stripped
        };
        if !plain && !self.all && !text::printable(message, true) {
            put(out, format_args!("[{} blob data]\n", text::size(message.len() as u64)));
        } else {
            let color = if self.colors { line.color() } else { None };
            lines(out, message, width + 2, color);
        }
        Ok(())
    }

    fn timestamp(&mut self, position: &Position, out: &mut Vec<u8>) {
        let realtime = self
            .line
            .realtime
            .number()
            .filter(|at| *at > 0 && *at < 1 << 55)
            .unwrap_or(position.entry.realtime);
        match self.format {
            Format::ShortMonotonic => {
                let given = self.line.monotonic.number().filter(|at| *at < 1 << 55);
                let at = given.unwrap_or(position.entry.monotonic);
                put(out, format_args!("[{:5}.{:06}]", at / 1_000_000, at % 1_000_000));
            }
            Format::ShortUnix => {
                put(out, format_args!("{:10}.{:06}", realtime / 1_000_000, realtime % 1_000_000))
            }
            Format::ShortIso => self.clock.iso(out, false, realtime),
            Format::ShortIsoPrecise => self.clock.iso(out, true, realtime),
            Format::ShortFull | Format::WithUnit => self.clock.full(out, false, realtime),
            Format::ShortPrecise => self.clock.syslog(out, true, realtime),
            _ => self.clock.syslog(out, false, realtime),
        }
    }

    fn verbose(
        &mut self,
        journal: &mut Journal,
        position: &Position,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        self.line.read(journal, position)?;
        let realtime = self
            .line
            .realtime
            .number()
            .filter(|at| *at > 0 && *at < 1 << 55)
            .unwrap_or(position.entry.realtime);
        self.clock.full(out, true, realtime);
        put(out, format_args!(" [{}]\n", position.cursor()));
        journal.for_each_field(position, |payload| {
            let Some(name) = name_of(payload) else { return ControlFlow::Break(()) };
            if !self.wanted(name) {
                return ControlFlow::Continue(());
            }
            let value = &payload[name.len() + 1..];
            let bold = self.colors && name == b"MESSAGE";
            out.extend_from_slice(b"    ");
            if bold {
                out.extend_from_slice(HIGHLIGHT);
            }
            out.extend_from_slice(name);
            out.push(b'=');
            if self.all || text::printable(payload, true) {
                lines(out, value, 4 + name.len() + 1, None);
            } else {
                put(out, format_args!("[{} blob data]\n", text::size(value.len() as u64)));
            }
            if bold {
                out.extend_from_slice(NORMAL);
            }
            ControlFlow::Continue(())
        })
    }

    fn export(
        &mut self,
        journal: &mut Journal,
        position: &Position,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let entry = &position.entry;
        put(
            out,
            format_args!(
                "__CURSOR={}\n__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID={}\n",
                position.cursor(),
                entry.realtime,
                entry.monotonic,
                entry.boot_id
            ),
        );
        journal.for_each_field(position, |payload| {
            if payload.starts_with(b"_BOOT_ID=") {
                return ControlFlow::Continue(());
            }
            let Some(name) = name_of(payload) else { return ControlFlow::Break(()) };
            if !self.wanted(name) {
                return ControlFlow::Continue(());
            }
            if text::printable(payload, false) {
                out.extend_from_slice(payload);
            } else {
                let value = &payload[name.len() + 1..];
                out.extend_from_slice(name);
                out.push(b'\n');
                out.extend_from_slice(&(value.len() as u64).to_le_bytes());
                out.extend_from_slice(value);
            }
            out.push(b'\n');
            ControlFlow::Continue(())
        })?;
        out.push(b'\n');
        Ok(())
    }

    fn cat(
        &mut self,
        journal: &mut Journal,
        position: &Position,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let message = ["MESSAGE".to_owned()];
        let fields = self.fields.as_deref().filter(|fields| !fields.is_empty()).unwrap_or(&message);
        let color = if self.colors {
            self.line.read(journal, position)?;
            self.line.color()
        } else {
            None
        };
        for field in fields {
            journal.for_each_field(position, |payload| {
                let found = payload.get(field.len()) == Some(&b'=') && payload.starts_with(field.as_bytes());
                if !found {
                    return ControlFlow::Continue(());
                }
                if let Some(color) = color {
                    out.extend_from_slice(color);
                }
                let value = &payload[field.len() + 1..];
                if self.terminal {
                    crate::terminal::write_harmless(value, out);
                } else {
                    out.extend_from_slice(value);
                }
                if color.is_some() {
                    out.extend_from_slice(NORMAL);
                }
                out.push(b'\n');
                ControlFlow::Break(())
            })?;
        }
        Ok(())
    }

    /// Writes a separator between boots.
    pub fn boot(&self, boot: sys::host::Id128, out: &mut Vec<u8>) {
        let (on, off) = if self.colors { (HIGHLIGHT, NORMAL) } else { (&b""[..], &b""[..]) };
        out.extend_from_slice(on);
        put(out, format_args!("-- Boot {boot} --"));
        out.extend_from_slice(off);
        out.push(b'\n');
    }
}

const HIGHLIGHT: &[u8] = b"\x1b[0;1;39m";
const NORMAL: &[u8] = b"\x1b[0m";

impl Line {
    /// Reads what a line needs of an entry.
    fn read(&mut self, journal: &mut Journal, position: &Position) -> Result<(), ReadError> {
        for value in [
            &mut self.message,
            &mut self.hostname,
            &mut self.identifier,
            &mut self.comm,
            &mut self.pid,
            &mut self.syslog_pid,
            &mut self.priority,
            &mut self.transport,
            &mut self.unit,
            &mut self.user_unit,
            &mut self.realtime,
            &mut self.monotonic,
        ] {
            value.present = false;
        }
        journal.for_each_field(position, |payload| {
            self.take(payload);
            ControlFlow::Continue(())
        })
    }

    #[inline]
    fn take(&mut self, payload: &[u8]) {
        // Most fields of an entry are of no use here: two bytes rule them out.
        let (name, value): (&[u8], &mut Value) = match payload {
            [b'M', b'E', ..] => (b"MESSAGE=", &mut self.message),
            [b'P', b'R', ..] => (b"PRIORITY=", &mut self.priority),
            [b'S', b'Y', _, _, _, _, _, b'I', ..] => (b"SYSLOG_IDENTIFIER=", &mut self.identifier),
            [b'S', b'Y', _, _, _, _, _, b'P', ..] => (b"SYSLOG_PID=", &mut self.syslog_pid),
            [b'_', b'P', ..] => (b"_PID=", &mut self.pid),
            [b'_', b'C', b'O', ..] => (b"_COMM=", &mut self.comm),
            [b'_', b'H', ..] => (b"_HOSTNAME=", &mut self.hostname),
            [b'_', b'T', ..] => (b"_TRANSPORT=", &mut self.transport),
            [b'_', b'S', b'O', _, _, _, _, _, b'R', ..] => {
                (b"_SOURCE_REALTIME_TIMESTAMP=", &mut self.realtime)
            }
            [b'_', b'S', b'O', _, _, _, _, _, b'M', ..] => {
                (b"_SOURCE_MONOTONIC_TIMESTAMP=", &mut self.monotonic)
            }
            [b'_', b'S', b'Y', _, _, _, _, _, b'_', b'U', b'N', ..] => (b"_SYSTEMD_UNIT=", &mut self.unit),
            [b'_', b'S', b'Y', _, _, _, _, _, b'_', b'U', b'S', ..] => {
                (b"_SYSTEMD_USER_UNIT=", &mut self.user_unit)
            }
            _ => return,
        };
        if let Some(bytes) = payload.strip_prefix(name) {
            value.set(bytes);
        }
    }

    fn color(&self) -> Option<&'static [u8]> {
        let severity = match self.priority.get() {
            Some([digit @ b'0'..=b'7']) => digit - b'0',
            _ => 6,
        };
        match severity {
            0..=3 => Some(b"\x1b[0;1;31m"),
            4 => Some(b"\x1b[0;1;38;5;185m"),
            5 => Some(HIGHLIGHT),
            7 => Some(b"\x1b[0;38;5;245m"),
            _ if self.transport.get() == Some(b"audit") => Some(b"\x1b[0;34m"),
            _ => None,
        }
    }
}

/// The name in `NAME=value`, if it is one.
fn name_of(payload: &[u8]) -> Option<&[u8]> {
    let name = &payload[..memchr::memchr(b'=', payload)?];
    field_name_valid(name).then_some(name)
}

/// Writes a message line by line, further lines indented.
fn lines(out: &mut Vec<u8>, message: &[u8], indent: usize, color: Option<&[u8]>) {
    if message.is_empty() {
        out.push(b'\n');
    }
    let mut rest = message;
    let mut first = true;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        if !std::mem::take(&mut first) {
            out.resize(out.len() + indent, b' ');
        }
        if let Some(color) = color {
            out.extend_from_slice(color);
        }
        // The stock program ends a line at a NUL byte, which only --all lets through.
        let line = &rest[..end];
        out.extend_from_slice(&line[..memchr::memchr(0, line).unwrap_or(end)]);
        if color.is_some() {
            out.extend_from_slice(NORMAL);
        }
        out.push(b'\n');
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// Writes `out` away and empties it.
pub fn flush(out: &mut Vec<u8>, to: &mut dyn io::Write) -> io::Result<()> {
    to.write_all(out)?;
    out.clear();
    Ok(())
}
