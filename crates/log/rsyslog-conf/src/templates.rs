//! `template()` objects and `$template` lines.

use conf_text::Spanned;
use log_core::{
    Case, Controls, DateFormat, Escape, Extract, FieldSpan, NoMatch, PathSafety, Pattern, Piece, Property,
    PropertySpec, PropertyStanding, Template, TemplateQuoting,
};

use crate::parser::Parser;
use crate::tables::{Entry, entry};
use crate::text::Cursor;
use crate::values::{self, Taken, Wrong};

/// What `template()` gathers from its parameters.
#[derive(Debug, Default)]
pub(crate) struct TemplateParameters {
    name: Option<String>,
    kind: Option<Spanned<String>>,
    text: Option<Spanned<String>>,
    quoting: TemplateQuoting,
}

pub(crate) const TEMPLATE: &[Entry<TemplateParameters>] = &[
    entry("name", "NAME", "none", "Its name.", |template, value| {
        values::name(&value.value).map(|name| template.name = Some(name))
    }),
    entry("type", "list|string", "none", "How it is written.", |template, value| {
        template.kind = Some(value.clone());
        Ok(())
    }),
    entry("string", "TEXT", "none", "The text of a string template.", |template, value| {
        template.text = Some(value.clone());
        Ok(())
    }),
    entry("option.sql", "on|off", "off", "Properties are quoted for MySQL.", |template, value| {
        quoting(template, value, TemplateQuoting::Sql)
    }),
    entry("option.stdsql", "on|off", "off", "Properties are quoted for standard SQL.", |template, value| {
        quoting(template, value, TemplateQuoting::StandardSql)
    }),
    entry("option.json", "on|off", "off", "Properties are quoted for JSON.", |template, value| {
        quoting(template, value, TemplateQuoting::Json)
    }),
];

const TEMPLATE_NOT_YET: &[&str] =
    &["option.jsonf", "option.jsonftree", "option.casesensitive", "plugin", "subtree"];

fn quoting(
    template: &mut TemplateParameters,
    value: &Spanned<String>,
    quoting: TemplateQuoting,
) -> Taken<()> {
    if values::switch(&value.value)? {
        template.quoting = quoting;
    }
    Ok(())
}

#[derive(Debug, Default)]
struct ConstantParameters {
    value: Option<String>,
    member: Option<String>,
}

const CONSTANT: &[Entry<ConstantParameters>] = &[
    entry("value", "TEXT", "none", "The text.", |constant, value| {
        constant.value = Some(value.value.clone());
        Ok(())
    }),
    entry("outname", "NAME", "none", "The member's name with `format=\"jsonf\"`.", |constant, value| {
        constant.member = Some(value.value.clone());
        Ok(())
    }),
];

/// What `property()` gathers from its parameters.
#[derive(Debug, Default)]
struct PropertyParameters {
    property: Option<Property>,
    written: String,
    date: Option<DateFormat>,
    utc: bool,
    from: Option<usize>,
    to: Option<usize>,
    fixed_width: bool,
    field_number: Option<usize>,
    field_delimiter: Option<u8>,
    expression: Option<String>,
    basic: bool,
    no_match: NoMatch,
    match_number: usize,
    submatch: usize,
    compress_space: bool,
    case: Case,
    controls: Controls,
    path: PathSafety,
    space_unless_leading: bool,
    drop_last_lf: bool,
    format: Option<&'static str>,
    member: Option<String>,
}

const PROPERTY: &[Entry<PropertyParameters>] = &[
    entry("name", "PROPERTY", "none", "The property.", |spec, value| {
        spec.written.clone_from(&value.value);
        match Property::from_name(&value.value) {
            PropertyStanding::Supported(property) => {
                spec.property = Some(property);
                Ok(())
            }
            PropertyStanding::NotYet => Err(Wrong::new(
                format!("the property `{}` is not supported yet", value.value),
                "use one of the message's",
            )),
            PropertyStanding::Unknown => Err(Wrong::new(
                format!("`{}` is not a property", value.value),
                match conf_text::nearest(&value.value, Property::names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "properties are msg, hostname, syslogtag, programname, timereported, ...".into(),
                },
            )),
        }
    }),
    entry("outname", "NAME", "the property's", "The member's name in JSON.", |spec, value| {
        spec.member = Some(value.value.clone());
        Ok(())
    }),
    entry("dateFormat", "FORMAT", "rfc3164", "How a timestamp is written.", |spec, value| {
        let format = DateFormat::from_name(&value.value).ok_or_else(|| {
            Wrong::new(
                format!("`{}` is not a date format", value.value),
                "write `rfc3164`, `rfc3339`, `unixtimestamp`, ...",
            )
        })?;
        spec.date = Some(format);
        Ok(())
    }),
    entry("date.inUTC", "on|off", "off", "A timestamp is told in UTC.", |spec, value| {
        values::switch(&value.value).map(|on| spec.utc = on)
    }),
    entry("caseConversion", "lower|upper", "none", "Case.", |spec, value| {
        spec.case = match value.value.as_str() {
            "lower" => Case::Lower,
            "upper" => Case::Upper,
            other => return Err(Wrong::new(format!("`{other}` is not a case"), "write `lower` or `upper`")),
        };
        Ok(())
    }),
    entry("controlCharacters", "escape|space|drop", "none", "Control characters.", |spec, value| {
        spec.controls = match value.value.as_str() {
            "escape" => Controls::Escape,
            "space" => Controls::Space,
            "drop" => Controls::Drop,
            other => {
                return Err(Wrong::new(
                    format!("`{other}` is no way to treat them"),
                    "write `escape`, `space` or `drop`",
                ));
            }
        };
        Ok(())
    }),
    entry("securePath", "drop|replace", "none", "Slashes, in names of files.", |spec, value| {
        spec.path = match value.value.as_str() {
            "drop" => PathSafety::Drop,
            "replace" => PathSafety::Replace,
            other => {
                return Err(Wrong::new(
                    format!("`{other}` is no way to treat slashes"),
                    "write `drop` or `replace`",
                ));
            }
        };
        Ok(())
    }),
    entry("format", "csv|json|jsonf", "none", "Quoting.", |spec, value| {
        spec.format = Some(match value.value.as_str() {
            "csv" => "csv",
            "json" => "json",
            "jsonf" => "jsonf",
            other => {
                return Err(Wrong::new(
                    format!("`{other}` is not a format that is supported"),
                    "write `csv`, `json` or `jsonf`",
                ));
            }
        });
        Ok(())
    }),
    entry("position.from", "N", "1", "The first character.", |spec, value| {
        values::number(&value.value).map(|from| spec.from = Some(from))
    }),
    entry("position.to", "N", "the end", "The last character.", |spec, value| {
        values::number(&value.value).map(|to| spec.to = Some(to))
    }),
    entry("fixedWidth", "on|off", "off", "Filled with spaces up to the last position.", |spec, value| {
        values::switch(&value.value).map(|on| spec.fixed_width = on)
    }),
    entry("field.number", "N", "none", "Which field.", |spec, value| {
        values::number(&value.value).map(|number| spec.field_number = Some(number))
    }),
    entry("field.delimiter", "CODE", "9", "The decimal code between fields.", |spec, value| {
        values::number(&value.value).map(|code| spec.field_delimiter = Some(code))
    }),
    entry("regex.expression", "PATTERN", "none", "The part that matches.", |spec, value| {
        spec.expression = Some(value.value.clone());
        Ok(())
    }),
    entry("regex.type", "ERE|BRE", "BRE", "Its syntax.", |spec, value| {
        spec.basic = match value.value.as_str() {
            "BRE" => true,
            "ERE" => false,
            other => return Err(Wrong::new(format!("`{other}` is not a syntax"), "write `ERE` or `BRE`")),
        };
        Ok(())
    }),
    entry(
        "regex.noMatchMode",
        "DFLT|BLANK|ZERO|FIELD",
        "DFLT",
        "What stands there without a match.",
        |spec, value| {
            spec.no_match = match value.value.as_str() {
                "DFLT" => NoMatch::Default,
                "BLANK" => NoMatch::Blank,
                "ZERO" => NoMatch::Zero,
                "FIELD" => NoMatch::Field,
                other => {
                    return Err(Wrong::new(
                        format!("`{other}` is not a mode"),
                        "write `DFLT`, `BLANK`, `ZERO` or `FIELD`",
                    ));
                }
            };
            Ok(())
        },
    ),
    entry("regex.match", "N", "0", "Which match.", |spec, value| {
        values::number(&value.value).map(|number| spec.match_number = number)
    }),
    entry("regex.submatch", "N", "0", "Which group of it.", |spec, value| {
        values::number(&value.value).map(|number| spec.submatch = number)
    }),
    entry("dropLastLf", "on|off", "off", "A line feed at the end goes.", |spec, value| {
        values::switch(&value.value).map(|on| spec.drop_last_lf = on)
    }),
    entry("spIfNo1stSp", "on|off", "off", "Only a space, where the text begins with none.", |spec, value| {
        values::switch(&value.value).map(|on| spec.space_unless_leading = on)
    }),
    entry("compressSpace", "on|off", "off", "A run of spaces becomes one.", |spec, value| {
        values::switch(&value.value).map(|on| spec.compress_space = on)
    }),
];

const PROPERTY_NOT_YET: &[&str] = &[
    "position.relativeToEnd",
    "mandatory",
    "dataType",
    "onEmpty",
    "droplastlf.always",
    "date.utc",
    "field.delimiter.*",
];

impl PropertyParameters {
    fn finish(self) -> Taken<PropertySpec> {
        let property = self
            .property
            .ok_or_else(|| Wrong::new("`property()` names no property", "write `property(name=\"msg\")`"))?;
        let extract = match (self.expression, self.field_number, self.from, self.to) {
            (Some(expression), ..) => {
                let compiled =
                    if self.basic { Pattern::basic(&expression) } else { Pattern::extended(&expression) };
                let pattern = compiled.map_err(|error| {
                    Wrong::new(
                        format!("`{expression}` is not a regular expression: {}", error.cause),
                        "correct the pattern (`man 7 regex`)",
                    )
                })?;
                let (match_number, submatch, no_match) = (self.match_number, self.submatch, self.no_match);
                Extract::Regex { pattern, match_number, submatch, no_match }
            }
            (None, Some(number), ..) => Extract::Field(FieldSpan {
                delimiter: vec![self.field_delimiter.unwrap_or(b'\t')],
                number,
                collapse: false,
            }),
            (None, None, None, None) => Extract::Whole,
            (None, None, from, to) => {
                let from = from.unwrap_or(1).max(1);
                Extract::Positions { from, to, fixed_width: self.fixed_width }
            }
        };
        let member = self.member.unwrap_or(self.written);
        Ok(PropertySpec {
            date: self.date.unwrap_or_default(),
            utc: self.utc,
            extract,
            compress_space: self.compress_space,
            case: self.case,
            controls: self.controls,
            path: self.path,
            space_unless_leading: self.space_unless_leading,
            drop_last_lf: self.drop_last_lf,
            escape: match self.format {
                Some("csv") => Escape::Csv,
                Some("json") => Escape::Json,
                Some(_) => Escape::JsonField(member),
                None => Escape::None,
            },
            ..PropertySpec::plain(property)
        })
    }
}

impl Parser<'_> {
    /// `template(...)`, after its name.
    pub(crate) fn template_object(&mut self, cursor: &mut Cursor, start: usize) {
        let mut template = TemplateParameters::default();
        let Some(()) =
            self.take_parameters(cursor, "template()", &mut template, &[TEMPLATE], TEMPLATE_NOT_YET)
        else {
            return;
        };
        let span = cursor.span_from(start);
        let kind = template.kind.as_ref().map_or("string", |kind| kind.value.as_str()).to_ascii_lowercase();
        let pieces = if kind == "list" { self.template_list(cursor) } else { None };
        let Some(name) = template.name else {
            self.wrong_at(span, "a template has no name", "write `template(name=\"...\" ...)`");
            return;
        };
        match (kind.as_str(), template.text) {
            ("list", _) => {
                if let Some(pieces) = pieces {
                    self.define_template(
                        name.clone(),
                        Template::with_quoting(name, pieces, template.quoting),
                    );
                }
            }
            ("string", Some(text)) => match Template::parse(name.clone(), &text.value, template.quoting) {
                Ok(compiled) => self.define_template(name, compiled),
                // Escapes may have moved the place: the string as a whole is shown.
                Err(error) => self.wrong_at(text.span, error.cause, error.help),
            },
            ("string", None) => {
                self.wrong_at(span, "a string template has no text", "write `string=\"%msg%\\n\"`")
            }
            ("subtree" | "plugin", _) => self.diagnostics.error(
                span,
                format!("templates of type `{kind}` are not supported yet"),
                "rsyslog knows them, this daemon does not yet",
                "write it as a list or a string",
            ),
            (other, _) => self.wrong_at(
                span,
                format!("`{other}` is not a type of template"),
                "write `list` or `string`",
            ),
        }
    }

    fn template_list(&mut self, cursor: &mut Cursor) -> Option<Vec<Piece>> {
        cursor.skip_space();
        if !cursor.take(b'{') {
            self.wrong_at(
                cursor.here(),
                "a list template has no list",
                "write `{ property(name=\"msg\") constant(value=\"\\n\") }`",
            );
            return None;
        }
        let mut pieces = Vec::new();
        let mut is_whole = true;
        loop {
            cursor.skip_space();
            if cursor.take(b'}') {
                return is_whole.then_some(pieces);
            }
            let start = cursor.at;
            let word = cursor.word().to_ascii_lowercase();
            match word.as_str() {
                "constant" => {
                    let mut constant = ConstantParameters::default();
                    let taken =
                        self.take_parameters(cursor, "constant()", &mut constant, &[CONSTANT], &["format"]);
                    is_whole &= taken.is_some();
                    match (constant.value, constant.member) {
                        (Some(value), None) => pieces.push(Piece::Constant(value.into_bytes())),
                        (Some(value), Some(member)) => {
                            pieces.push(Piece::Constant(format!("\"{member}\":\"{value}\"").into_bytes()));
                        }
                        (None, _) => {
                            is_whole = false;
                            self.wrong_at(
                                cursor.span_from(start),
                                "`constant()` has no value",
                                "write `constant(value=\"...\")`",
                            );
                        }
                    }
                }
                "property" => {
                    let mut spec = PropertyParameters { basic: true, ..PropertyParameters::default() };
                    let taken =
                        self.take_parameters(cursor, "property()", &mut spec, &[PROPERTY], PROPERTY_NOT_YET);
                    if taken.is_none() {
                        is_whole = false;
                        continue;
                    }
                    match spec.finish() {
                        Ok(spec) => pieces.push(Piece::Property(Box::new(spec))),
                        Err(wrong) => {
                            is_whole = false;
                            self.wrong_at(cursor.span_from(start), wrong.cause, wrong.help);
                        }
                    }
                }
                _ => {
                    let span = if word.is_empty() { cursor.here() } else { cursor.span_from(start) };
                    self.wrong_at(
                        span,
                        "a list holds `property()` and `constant()`",
                        "write one of them, or close the list with `}`",
                    );
                    return None;
                }
            }
        }
    }

    /// `$template name,"text"[,options]`, after the directive's name.
    pub(crate) fn template_line(&mut self, cursor: &mut Cursor) {
        cursor.skip_blanks();
        let name = cursor.take_while(|byte| !matches!(byte, b',' | b' ' | b'\t' | b'\n'));
        cursor.skip_blanks();
        let comma = cursor.take(b',');
        cursor.skip_blanks();
        if name.is_empty() || !comma {
            self.wrong_at(
                cursor.here(),
                "`$template` needs a name and a text",
                "write `$template Name,\"%msg%\\n\"`",
            );
            cursor.skip_line();
            return;
        }
        if cursor.peek() == Some(b'=') {
            self.wrong_at(
                cursor.here(),
                "string generators are not supported yet",
                "write the template as a text in quotes",
            );
            cursor.skip_line();
            return;
        }
        let start = cursor.at;
        if !cursor.take(b'"') {
            self.wrong_at(
                cursor.here(),
                "the text of a template stands in quotes",
                "write `$template Name,\"%msg%\\n\"`",
            );
            cursor.skip_line();
            return;
        }
        let Some(length) = closing_quote(cursor.rest()) else {
            self.wrong_at(
                cursor.span(start, start + 1),
                "the text of the template is not closed",
                "close it with `\"`",
            );
            cursor.skip_line();
            return;
        };
        let text = cursor.rest().get(..length).unwrap_or("").to_owned();
        let text_start = cursor.at;
        cursor.at += length + 1;
        let (at, options) = cursor.take_line();
        let mut quoting = TemplateQuoting::None;
        for option in
            options.split(',').map(str::trim).filter(|option| !option.is_empty() && !option.starts_with('#'))
        {
            match option.to_ascii_lowercase().as_str() {
                "sql" => quoting = TemplateQuoting::Sql,
                "stdsql" => quoting = TemplateQuoting::StandardSql,
                "json" => quoting = TemplateQuoting::Json,
                other => {
                    let span = cursor.span(at, at + options.len());
                    self.wrong_at(
                        span,
                        format!("`{other}` is not an option of a template"),
                        "options are `sql`, `stdsql` and `json`",
                    );
                }
            }
        }
        match Template::parse(name.clone(), &text, quoting) {
            Ok(template) => self.define_template(name, template),
            Err(error) => {
                let span = cursor.span(text_start + error.at.start, text_start + error.at.end);
                self.wrong_at(span, error.cause, error.help);
            }
        }
    }
}

/// Where the quote closes that opened before `text`.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}
