//! The vocabulary of a log record: severity, facility, timestamp, clock quality, fields.
//!
//! For: every crate that makes, moves, filters or shows records.
//!
//! Always: a [`Priority`] holds a severity 0-7 and a facility 0-23 (RFC 5424 section 6.2.1); times are whole microseconds
//! since 1970-01-01T00:00:00Z; field values are bytes, not text.
//!
//! Never: it reads no clock, knows no wire format and no file format.
#![forbid(unsafe_code)]

mod priority;
mod quality;

pub use priority::{Facility, Priority, Severity};
pub use quality::{ClockQuality, round_up_two_digits};

/// A moment in microseconds since the Unix epoch (UTC, as `clock_gettime(CLOCK_REALTIME)` counts: leap seconds not counted).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(pub u64);

/// Microseconds since this boot (`CLOCK_MONOTONIC`); only meaningful together with a boot id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicMicros(pub u64);

/// A record as a list of journal fields: names are ASCII upper case, digits and underscore; a name may stand more than once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// When it happened, or when it was received where the sender did not say.
    pub realtime: UnixMicros,
    /// The fields, in the order in which they came.
    pub fields: Vec<Field>,
}

/// One field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name, for example `MESSAGE`.
    pub name: String,
    /// The value: any bytes, line feeds and NUL included.
    pub value: Vec<u8>,
}

impl Record {
    /// The first value of the field `name`.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value.as_slice())
    }

    /// The first value of the field `name` as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        self.field(name).map(String::from_utf8_lossy)
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.fields.push(Field { name: name.into(), value: value.into() });
    }

    /// The severity that the field `PRIORITY` says, if it says a valid one.
    pub fn severity(&self) -> Option<Severity> {
        match self.field("PRIORITY")? {
            [digit @ b'0'..=b'7'] => Severity::from_code(digit - b'0'),
            _ => None,
        }
    }
}
