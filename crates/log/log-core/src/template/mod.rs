//! Templates: how a message becomes bytes. Compiled to segments that append to a buffer.

mod built_in;
mod legacy;
mod shape;

use std::fmt;
use std::ops::Range;

use crate::{DateFormat, MessageView, Pattern, Property, Stamp};

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {
    name: String,
    segments: Vec<Segment>,
    /// Bytes of the literals, so that a buffer grows once at most.
    literal_bytes: usize,
}

/// One part of a template as written: a text, or a property with its options.
#[derive(Debug, Clone)]
pub enum Piece {
    /// Bytes that stand for themselves.
    Constant(Vec<u8>),
    /// A property.
    Property(Box<PropertySpec>),
}

/// A property with the options of the property replacer, in the order in which they are applied.
#[derive(Debug, Clone)]
pub struct PropertySpec {
    /// What is rendered.
    pub property: Property,
    /// For timestamps: how they are written.
    pub date: DateFormat,
    /// For timestamps: told in UTC.
    pub utc: bool,
    /// Which part of the text is taken.
    pub extract: Extract,
    /// A run of spaces becomes one.
    pub compress_space: bool,
    /// Upper or lower case.
    pub case: Case,
    /// What is done to control characters.
    pub controls: Controls,
    /// What is done to slashes, for names of files.
    pub path: PathSafety,
    /// Only a space where the text does not begin with one; nothing where it does or is empty.
    pub space_unless_leading: bool,
    /// A line feed at the end is dropped.
    pub drop_last_lf: bool,
    /// Quoting for the format that the template writes.
    pub escape: Escape,
    /// The template's own quoting, applied last and on top of that.
    pub quoting: TemplateQuoting,
}

/// Which part of a property's text.
#[derive(Debug, Clone)]
pub enum Extract {
    /// All of it.
    Whole,
    /// From one position to another, counted from 1, both included.
    Positions {
        /// The first.
        from: usize,
        /// The last; the end where none.
        to: Option<usize>,
        /// Filled with spaces up to the last position.
        fixed_width: bool,
    },
    /// A field of a delimited text.
    Field(FieldSpan),
    /// What a regular expression matches.
    Regex {
        /// The pattern.
        pattern: Pattern,
        /// Which match, from 0.
        match_number: usize,
        /// Which group; 0 is the whole.
        submatch: usize,
        /// What stands there when it does not match.
        no_match: NoMatch,
    },
}

/// A field: its delimiter and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldSpan {
    /// What stands between fields.
    pub delimiter: Vec<u8>,
    /// From 1.
    pub number: usize,
    /// A run of delimiters counts as one.
    pub collapse: bool,
}

/// What is rendered where a regular expression does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoMatch {
    /// `**NO MATCH**`.
    #[default]
    Default,
    /// Nothing.
    Blank,
    /// `0`.
    Zero,
    /// The whole property.
    Field,
}

/// Case conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Case {
    #[default]
    AsIs,
    Lower,
    Upper,
}

/// Control characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Controls {
    /// As they are.
    #[default]
    AsIs,
    /// `#` and three octal digits each.
    Escape,
    /// A space each.
    Space,
    /// Dropped.
    Drop,
}

/// Slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathSafety {
    /// As they are.
    #[default]
    AsIs,
    /// Dropped.
    Drop,
    /// An underscore each.
    Replace,
}

/// Quoting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Escape {
    /// None.
    #[default]
    None,
    /// As the inside of a JSON string.
    Json,
    /// A JSON member: `"name":"value"`.
    JsonField(String),
    /// A CSV field: quotes around it, quotes in it doubled.
    Csv,
}

/// Quoting that holds for all properties of a template (`,sql` and `option.sql`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TemplateQuoting {
    /// None.
    #[default]
    None,
    /// A backslash before quotes and backslashes, for SQL with MySQL's escapes.
    Sql,
    /// Quotes doubled, for standard SQL.
    StandardSql,
    /// As the inside of a JSON string.
    Json,
}

/// What is wrong in a template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// The bytes of the template's text which are wrong.
    pub at: Range<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to write.
    pub help: String,
}

/// A compiled part. The first ones are what nearly every template consists of.
#[derive(Debug, Clone)]
enum Segment {
    Literal(Box<[u8]>),
    Plain(Property),
    Time {
        which: Which,
        format: DateFormat,
        utc: bool,
    },
    /// A space where the text of the message does not begin with one, or is empty.
    SpaceUnlessLeading,
    MsgWithoutLastLf,
    /// STRUCTURED-DATA with the clock quality of records that originate here.
    QualifiedStructuredData,
    Shaped(Box<PropertySpec>),
}

#[derive(Debug, Clone, Copy)]
enum Which {
    Reported,
    Generated,
}

impl Template {
    /// Compiles a template of pieces.
    pub fn new(name: impl Into<String>, pieces: Vec<Piece>) -> Self {
        Self::with_quoting(name, pieces, TemplateQuoting::None)
    }

    /// Compiles a template of pieces whose properties are all quoted for one format.
    pub fn with_quoting(name: impl Into<String>, pieces: Vec<Piece>, quoting: TemplateQuoting) -> Self {
        let segments: Vec<Segment> =
            pieces.into_iter().map(|piece| Segment::compile(piece, quoting)).collect();
        Self::of_segments(name.into(), segments)
    }

    /// Compiles the text of a legacy `$template` directive or of `template(type="string" string="...")`.
    pub fn parse(
        name: impl Into<String>,
        text: &str,
        quoting: TemplateQuoting,
    ) -> Result<Self, TemplateError> {
        legacy::parse(text).map(|pieces| Self::with_quoting(name, pieces, quoting))
    }

    /// One of the templates that exist without being defined.
    pub fn built_in(name: &str) -> Option<Self> {
        built_in::template(name)
    }

    /// The names of the templates that exist without being defined.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        built_in::names()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text with which everything that it renders begins: of a file name's template, the part that no message can change.
    pub fn leading_text(&self) -> &[u8] {
        match self.segments.first() {
            Some(Segment::Literal(text)) => text,
            _ => b"",
        }
    }

    /// Appends the rendered message to `out`.
    #[inline]
    pub fn render(&self, message: &MessageView<'_>, out: &mut Vec<u8>) {
        // Room for a timestamp and the header fields as well: one growth instead of several.
        out.reserve(self.literal_bytes + message.raw.len() + 128);
        for segment in &self.segments {
            segment.append(message, out);
        }
    }

    fn of_segments(name: String, segments: Vec<Segment>) -> Self {
        let literal_bytes = segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => text.len(),
                _ => 0,
            })
            .sum();
        Self { name, segments, literal_bytes }
    }
}

impl PropertySpec {
    /// The property as it is.
    pub fn plain(property: Property) -> Self {
        Self {
            property,
            date: DateFormat::Rfc3164,
            utc: false,
            extract: Extract::Whole,
            compress_space: false,
            case: Case::AsIs,
            controls: Controls::AsIs,
            path: PathSafety::AsIs,
            space_unless_leading: false,
            drop_last_lf: false,
            escape: Escape::None,
            quoting: TemplateQuoting::None,
        }
    }

    /// Whether nothing but a date option stands in it.
    fn is_unshaped(&self) -> bool {
        matches!(self.extract, Extract::Whole)
            && !self.compress_space
            && self.case == Case::AsIs
            && self.controls == Controls::AsIs
            && self.path == PathSafety::AsIs
            && !self.space_unless_leading
            && !self.drop_last_lf
            && self.escape == Escape::None
            && self.quoting == TemplateQuoting::None
    }
}

impl Segment {
    fn compile(piece: Piece, quoting: TemplateQuoting) -> Self {
        let mut spec = match piece {
            Piece::Constant(text) => return Segment::Literal(text.into_boxed_slice()),
            Piece::Property(spec) => spec,
        };
        spec.quoting = quoting;
        let only = |changed: PropertySpec| changed.is_unshaped() && spec.property == Property::Msg;
        if spec.drop_last_lf && only(PropertySpec { drop_last_lf: false, ..(*spec).clone() }) {
            return Segment::MsgWithoutLastLf;
        }
        if !spec.is_unshaped() {
            return Segment::Shaped(spec);
        }
        match spec.property {
            Property::TimeReported => {
                Segment::Time { which: Which::Reported, format: spec.date, utc: spec.utc }
            }
            Property::TimeGenerated => {
                Segment::Time { which: Which::Generated, format: spec.date, utc: spec.utc }
            }
            property => Segment::Plain(property),
        }
    }

    #[inline]
    fn append(&self, message: &MessageView<'_>, out: &mut Vec<u8>) {
        match self {
            Segment::Literal(text) => out.extend_from_slice(text),
            Segment::Plain(property) => property.append(message, out),
            Segment::Time { which, format, utc } => which.stamp(message, *utc).append(*format, out),
            Segment::SpaceUnlessLeading => {
                if message.msg.first() != Some(&b' ') {
                    out.push(b' ');
                }
            }
            Segment::MsgWithoutLastLf => {
                out.extend_from_slice(message.msg.strip_suffix(b"\n").unwrap_or(message.msg));
            }
            Segment::QualifiedStructuredData => {
                crate::append_time_quality(message.structured_data, message.clock, out);
            }
            Segment::Shaped(spec) => shape::append(spec, message, out),
        }
    }
}

impl Which {
    #[inline]
    fn stamp(self, message: &MessageView<'_>, utc: bool) -> Stamp {
        let stamp = match self {
            Which::Reported => message.time_reported,
            Which::Generated => message.time_generated,
        };
        if utc { stamp.in_utc() } else { stamp }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for TemplateError {}
