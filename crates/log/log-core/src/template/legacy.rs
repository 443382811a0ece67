//! The text of a legacy template: constants with backslash escapes, and `%property:from:to:options:name%`.

use super::{
    Case, Controls, Escape, Extract, FieldSpan, NoMatch, PathSafety, Piece, PropertySpec, TemplateError,
};
use crate::{DateFormat, Pattern, Property, PropertyStanding};

/// The pieces of `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut constant = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at).copied() {
        match byte {
            b'\\' => at = escape(text, at, &mut constant),
            b'%' => {
                if !constant.is_empty() {
                    pieces.push(Piece::Constant(std::mem::take(&mut constant)));
                }
                let (spec, end) = Replacer { text, start: at, at: at + 1 }.run()?;
                pieces.push(Piece::Property(Box::new(spec)));
                at = end;
            }
            _ => {
                constant.push(byte);
                at += 1;
            }
        }
    }
    if !constant.is_empty() {
        pieces.push(Piece::Constant(constant));
    }
    Ok(pieces)
}

/// One backslash escape at `at`; says where it ends.
fn escape(text: &str, at: usize, constant: &mut Vec<u8>) -> usize {
    let rest = text.as_bytes().get(at + 1..).unwrap_or(b"");
    let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
    match rest.first() {
        None => {
            constant.push(b'\\');
            at + 1
        }
        Some(b'0'..=b'9') => {
            // The digits are decimal: `\7` is a bell, `\10` a line feed.
            let code = rest.iter().take(digits).fold(0u32, |code, digit| code * 10 + u32::from(digit - b'0'));
            constant.push((code & 0xff) as u8);
            at + 1 + digits
        }
        Some(letter) => {
            constant.push(match letter {
                b'n' => b'\n',
                b'r' => b'\r',
                other => *other,
            });
            at + 2
        }
    }
}

/// Reads one `%...%`.
struct Replacer<'t> {
    text: &'t str,
    /// Where the first `%` stands.
    start: usize,
    at: usize,
}

impl<'t> Replacer<'t> {
    fn run(mut self) -> Result<(PropertySpec, usize), TemplateError> {
        let from = self.at;
        let name = self.until(b":%")?;
        let property = self.property(name, from)?;
        let mut spec = PropertySpec::plain(property);
        let mut options = Vec::new();
        if self.take(b':') {
            spec.extract = self.extract()?;
            if self.take(b':') {
                let from = self.at;
                let text = self.until(b":%")?;
                let mut at = from;
                for option in text.split(',') {
                    options.push((option.trim().to_ascii_lowercase(), at..at + option.len()));
                    at += option.len() + 1;
                }
                if self.take(b':') {
                    let member = self.until(b"%")?;
                    spec.escape = Escape::JsonField(member.to_owned());
                }
            }
        }
        if !self.take(b'%') {
            return Err(self.unclosed());
        }
        let member = match std::mem::take(&mut spec.escape) {
            Escape::JsonField(member) if !member.is_empty() => member,
            _ => name.to_owned(),
        };
        for (option, at) in options {
            apply(&option, &member, &mut spec).map_err(|(cause, help)| TemplateError { at, cause, help })?;
        }
        Ok((spec, self.at))
    }

    fn property(&self, name: &str, from: usize) -> Result<Property, TemplateError> {
        let at = from..from + name.len();
        let trimmed = name.trim();
        match Property::from_name(trimmed) {
            PropertyStanding::Supported(property) => Ok(property),
            PropertyStanding::NotYet => Err(TemplateError {
                at,
                cause: format!("the property `{trimmed}` is not supported yet"),
                help: "take it out, or use a property of the message".into(),
            }),
            PropertyStanding::Unknown => Err(TemplateError {
                at,
                cause: format!("`{trimmed}` is not a property"),
                help: nearest_property(trimmed),
            }),
        }
    }

    /// `from:to`, `F,delimiter:number` or `R,type,submatch,nomatch,match:expression--end`.
    fn extract(&mut self) -> Result<Extract, TemplateError> {
        match self.peek() {
            Some(b'F') => self.field(),
            Some(b'R') => self.regex(),
            _ => self.positions(),
        }
    }

    fn positions(&mut self) -> Result<Extract, TemplateError> {
        let from = self.position()?;
        // A single position is the last one.
        let (from, to) = if self.take(b':') { (from, self.position()?) } else { (None, from) };
        let (from, to) = match (from, to) {
            (None, None) => return Ok(Extract::Whole),
            (from, to) => (from.unwrap_or(1).max(1), to.unwrap_or(usize::MAX)),
        };
        // Positions the wrong way round are taken the right way.
        let (from, to) = (from.min(to), from.max(to));
        Ok(Extract::Positions { from, to: Some(to).filter(|to| *to != usize::MAX), fixed_width: false })
    }

    /// A position; `$` is the end; nothing where none stands.
    fn position(&mut self) -> Result<Option<usize>, TemplateError> {
        let start = self.at;
        let text = self.until(b":%")?.trim();
        match text {
            "" => Ok(None),
            "$" => Ok(Some(usize::MAX)),
            number => number.parse().map(Some).map_err(|_| TemplateError {
                at: start..self.at,
                cause: format!("`{number}` is not a position"),
                help: "positions are numbers from 1, `$` is the end: `%msg:1:80%`".into(),
            }),
        }
    }

    fn field(&mut self) -> Result<Extract, TemplateError> {
        let start = self.at;
        let head = self.until(b":%")?;
        let rest = head.strip_prefix('F').unwrap_or(head);
        let code = rest.strip_prefix(',').unwrap_or("9");
        let (code, collapse) = match code.strip_suffix('+') {
            Some(code) => (code, true),
            None => (code, false),
        };
        let wrong = |at, cause: String| {
            TemplateError {
            at,
            cause,
            help: "write the delimiter's decimal code and the field's number: `%msg:F,44:2%` is the second of fields \
                   with commas"
                .into(),
        }
        };
        let delimiter: u8 =
            code.parse().map_err(|_| wrong(start..self.at, format!("`{code}` is not a delimiter's code")))?;
        if !self.take(b':') {
            return Err(wrong(start..self.at, "no field number stands after the delimiter".into()));
        }
        let from = self.at;
        let text = self.until(b":%")?;
        let number: usize =
            text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
                wrong(from..self.at.max(from + 1), format!("`{text}` is not a field's number"))
            })?;
        Ok(Extract::Field(FieldSpan { delimiter: vec![delimiter], number, collapse }))
    }

    fn regex(&mut self) -> Result<Extract, TemplateError> {
        let start = self.at;
        let head = self.until(b":%")?;
        let wrong = |at, cause: String| TemplateError {
            at,
            cause,
            help: "write `%msg:R,ERE,1,BLANK:expression--end%`".into(),
        };
        let mut words = head.split(',').skip(1);
        let extended = match words.next().unwrap_or("BRE") {
            "BRE" => false,
            "ERE" => true,
            other => return Err(wrong(start..self.at, format!("`{other}` is not `BRE` or `ERE`"))),
        };
        let number = |default: usize, words: &mut dyn Iterator<Item = &'t str>| match words.next() {
            None | Some("") => Ok(default),
            Some(text) => text
                .parse::<usize>()
                .map_err(|_| wrong(start..start + head.len(), format!("`{text}` is not a number"))),
        };
        let submatch = number(0, &mut words)?;
        let no_match = match words.next().unwrap_or("DFLT") {
            "" | "DFLT" => NoMatch::Default,
            "BLANK" => NoMatch::Blank,
            "ZERO" => NoMatch::Zero,
            "FIELD" => NoMatch::Field,
            other => {
                return Err(wrong(
                    start..self.at,
                    format!("`{other}` is not `DFLT`, `BLANK`, `ZERO` or `FIELD`"),
                ));
            }
        };
        let match_number = number(0, &mut words)?;
        if !self.take(b':') {
            return Err(wrong(start..self.at, "no expression stands after the type".into()));
        }
        let from = self.at;
        let rest = self.text.get(from..).unwrap_or("");
        let Some(length) = rest.find("--end") else {
            return Err(wrong(
                from..self.text.len().max(from + 1),
                "`--end` does not follow the expression".into(),
            ));
        };
        let expression = rest.get(..length).unwrap_or("");
        self.at = from + length + "--end".len();
        let compiled = if extended { Pattern::extended(expression) } else { Pattern::basic(expression) };
        let pattern = compiled.map_err(|error| wrong(from..from + length.max(1), error.cause))?;
        Ok(Extract::Regex { pattern, match_number, submatch, no_match })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let here = self.peek() == Some(byte);
        self.at += usize::from(here);
        here
    }

    /// The text up to one of `ends`, which must come.
    fn until(&mut self, ends: &[u8]) -> Result<&'t str, TemplateError> {
        let rest = self.text.get(self.at..).unwrap_or("");
        match rest.bytes().position(|byte| ends.contains(&byte)) {
            Some(length) => {
                self.at += length;
                Ok(rest.get(..length).unwrap_or(""))
            }
            None => Err(self.unclosed()),
        }
    }

    fn unclosed(&self) -> TemplateError {
        TemplateError {
            at: self.start..self.text.len(),
            cause: "a `%` opens a property that no `%` closes".into(),
            help: "close it (`%msg%`), or write `\\%` for the sign itself".into(),
        }
    }
}

/// One option of the property replacer.
fn apply(option: &str, member: &str, spec: &mut PropertySpec) -> Result<(), (String, String)> {
    match option {
        "" => {}
        "lowercase" => spec.case = Case::Lower,
        "uppercase" => spec.case = Case::Upper,
        "drop-last-lf" => spec.drop_last_lf = true,
        "escape-cc" => spec.controls = Controls::Escape,
        "space-cc" => spec.controls = Controls::Space,
        "drop-cc" => spec.controls = Controls::Drop,
        "sp-if-no-1st-sp" => spec.space_unless_leading = true,
        "compressspace" => spec.compress_space = true,
        "secpath-drop" => spec.path = PathSafety::Drop,
        "secpath-replace" => spec.path = PathSafety::Replace,
        "csv" => spec.escape = Escape::Csv,
        "json" => spec.escape = Escape::Json,
        "jsonf" => spec.escape = Escape::JsonField(member.to_owned()),
        "date-utc" => spec.utc = true,
        // In this syntax rsyslog takes it for the plain one; only a list template pads with a zero.
        "date-rfc3164-buggyday" => spec.date = DateFormat::Rfc3164,
        "fixed-width" => match &mut spec.extract {
            Extract::Positions { fixed_width, .. } => *fixed_width = true,
            _ => {
                return Err((
                    "`fixed-width` needs positions".into(),
                    "write from and to: `%programname:1:12:fixed-width%`".into(),
                ));
            }
        },
        "pos-end-relative" | "jsonr" | "jsonfr" | "mandatory" | "date-week" | "date-tzoffshour-raw" => {
            return Err((
                format!("the option `{option}` is not supported yet"),
                "take it out of the template".into(),
            ));
        }
        other => match date_format(other) {
            Some(format) => spec.date = format,
            None => {
                let known = OPTIONS.iter().copied().chain(DATE_OPTIONS.iter().map(|(name, _)| *name));
                let help = match known.min_by_key(|name| letters_apart(name, other)) {
                    Some(near) if letters_apart(near, other) <= 4 => format!("did you mean `{near}`?"),
                    _ => format!("options are {}, and {}", OPTIONS.join(", "), "date-..."),
                };
                return Err((format!("`{other}` is not an option of a property"), help));
            }
        },
    }
    Ok(())
}

const OPTIONS: &[&str] = &[
    "lowercase",
    "uppercase",
    "drop-last-lf",
    "escape-cc",
    "space-cc",
    "drop-cc",
    "sp-if-no-1st-sp",
    "compressspace",
    "secpath-drop",
    "secpath-replace",
    "csv",
    "json",
    "jsonf",
    "fixed-width",
    "date-utc",
];

const DATE_OPTIONS: &[(&str, DateFormat)] = &[
    ("date-rfc3164", DateFormat::Rfc3164),
    ("date-rfc3164-buggyday", DateFormat::Rfc3164BuggyDay),
    ("date-rfc3339", DateFormat::Rfc3339),
    ("date-unixtimestamp", DateFormat::UnixTimestamp),
    ("date-mysql", DateFormat::MySql),
    ("date-pgsql", DateFormat::PgSql),
    ("date-subseconds", DateFormat::SubSeconds),
    ("date-year", DateFormat::Year),
    ("date-month", DateFormat::Month),
    ("date-day", DateFormat::Day),
    ("date-hour", DateFormat::Hour),
    ("date-minute", DateFormat::Minute),
    ("date-second", DateFormat::Second),
    ("date-tzoffshour", DateFormat::OffsetHour),
    ("date-tzoffsmin", DateFormat::OffsetMinute),
    ("date-tzoffsdirection", DateFormat::OffsetDirection),
    ("date-wday", DateFormat::WeekDay),
    ("date-wdayname", DateFormat::WeekDayName),
    ("date-ordinal", DateFormat::Ordinal),
];

/// The date format of an option's name, with `date-`.
fn date_format(option: &str) -> Option<DateFormat> {
    DATE_OPTIONS.iter().find(|(name, _)| *name == option).map(|(_, format)| *format)
}

impl DateFormat {
    /// The format of a name without `date-`, as `template(... dateFormat="rfc3339")` writes it.
    pub fn from_name(name: &str) -> Option<Self> {
        date_format(&format!("date-{}", name.to_ascii_lowercase()))
    }
}

fn nearest_property(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    match Property::names().min_by_key(|known| letters_apart(known, &lower)) {
        Some(near) if letters_apart(near, &lower) <= 3 => format!("did you mean `{near}`?"),
        _ => "properties are msg, hostname, syslogtag, programname, pri-text, timestamp, ...; write `\\%` for the sign \
              itself"
            .into(),
    }
}

/// A cheap measure of how far two words are apart: letters of either that the other lacks.
fn letters_apart(left: &str, right: &str) -> usize {
    let lacks = |from: &str, other: &str| {
        let mut rest: Vec<u8> = other.bytes().collect();
        from.bytes()
            .filter(|byte| match rest.iter().position(|left| left == byte) {
                Some(at) => {
                    rest.swap_remove(at);
                    false
                }
                None => true,
            })
            .count()
    };
    lacks(left, right) + lacks(right, left)
}
