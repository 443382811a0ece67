//! Values computed from a message: what stands on either side of a comparison in RainerScript.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::condition::contains_ignoring_case;
use crate::{Condition, MessageView, Pattern, Property, Selector};

/// A compiled expression.
#[derive(Debug, Clone)]
pub enum Expression {
    /// A text constant.
    Text(Vec<u8>),
    /// A number constant.
    Number(i64),
    /// A property of the message.
    Property(Property),
    /// The texts of the parts, one after the other (`&`).
    Concat(Vec<Expression>),
    /// Arithmetic on the numbers of two values; division by zero gives 0.
    Arithmetic {
        /// `+ - * / %`.
        operator: u8,
        /// The left value.
        left: Box<Expression>,
        /// The right value.
        right: Box<Expression>,
    },
    /// A condition as a number: 1 or 0.
    Condition(Box<Condition>),
    /// A function of values.
    Call {
        /// Which.
        function: Function,
        /// Its arguments; the parser has checked how many there are.
        arguments: Vec<Expression>,
    },
    /// `re_extract(value, pattern, match, submatch, otherwise)`.
    ReExtract {
        /// The value.
        value: Box<Expression>,
        /// The pattern.
        pattern: Pattern,
        /// Which match, from 0.
        match_number: usize,
        /// Which group of it; 0 is the whole.
        submatch: usize,
        /// The text where nothing matches.
        otherwise: Box<Expression>,
    },
}

/// The functions that compute on plain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// The text in lower case.
    ToLower,
    /// The text in upper case.
    ToUpper,
    /// Its length in bytes.
    StrLen,
    /// The value as a number.
    Cnum,
    /// The value as a text.
    Cstr,
    /// `field(text, delimiter, number)`.
    Field,
    /// `replace(text, search, replacement)`.
    Replace,
    /// `substring(text, start, length)`.
    Substring,
    /// Without white space at the left.
    Ltrim,
    /// Without white space at the right.
    Rtrim,
}

/// The result of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'v> {
    /// A number.
    Number(i64),
    /// A text: any bytes.
    Text(Cow<'v, [u8]>),
}

/// The bytes that one computed text may have: `replace()` and `&` can make a text grow (the class of CVE-2026-78002).
const TEXT_BYTES_MAX: usize = 1 << 20;

impl Expression {
    /// Computes it for `message`.
    pub fn value<'v>(&'v self, message: &MessageView<'v>) -> Value<'v> {
        match self {
            Expression::Text(text) => Value::Text(Cow::Borrowed(text)),
            Expression::Number(number) => Value::Number(*number),
            Expression::Property(Property::Severity) => Value::Number(i64::from(message.pri & 7)),
            Expression::Property(Property::Facility) if message.pri != Selector::INVALID_PRI => {
                Value::Number(i64::from(message.pri >> 3))
            }
            Expression::Property(property) => match property.borrowed(message) {
                Some(text) => Value::Text(Cow::Borrowed(text)),
                None => {
                    let mut made = Vec::new();
                    property.append(message, &mut made);
                    Value::Text(Cow::Owned(made))
                }
            },
            Expression::Concat(parts) => {
                let mut text = Vec::new();
                for part in parts {
                    text.extend_from_slice(&part.value(message).into_text());
                }
                text.truncate(TEXT_BYTES_MAX);
                Value::Text(Cow::Owned(text))
            }
            Expression::Arithmetic { operator, left, right } => {
                let (left, right) = (left.value(message).to_number(), right.value(message).to_number());
                Value::Number(match operator {
                    b'+' => left.wrapping_add(right),
                    b'-' => left.wrapping_sub(right),
                    b'*' => left.wrapping_mul(right),
                    b'/' => left.checked_div(right).unwrap_or(0),
                    _ => left.checked_rem(right).unwrap_or(0),
                })
            }
            Expression::Condition(condition) => {
                Value::Number(i64::from(condition.holds(message, &mut Vec::new())))
            }
            Expression::Call { function, arguments } => function.call(arguments, message),
            Expression::ReExtract { value, pattern, match_number, submatch, otherwise } => {
                let text = value.value(message).into_text();
                match pattern.find(&text, *match_number, *submatch) {
                    Some(range) => Value::Text(Cow::Owned(text.get(range).unwrap_or(b"").to_vec())),
                    None => otherwise.value(message),
                }
            }
        }
    }
}

impl Function {
    /// How many arguments it takes.
    pub fn arity(self) -> usize {
        match self {
            Function::Field | Function::Replace | Function::Substring => 3,
            _ => 1,
        }
    }

    fn call<'v>(self, arguments: &'v [Expression], message: &MessageView<'v>) -> Value<'v> {
        let argument = |at: usize| match arguments.get(at) {
            Some(argument) => argument.value(message),
            None => Value::Text(Cow::Borrowed(b"")),
        };
        let text = |at: usize| argument(at).into_text();
        match self {
            Function::ToLower => Value::Text(Cow::Owned(text(0).to_ascii_lowercase())),
            Function::ToUpper => Value::Text(Cow::Owned(text(0).to_ascii_uppercase())),
            Function::StrLen => Value::Number(i64::try_from(text(0).len()).unwrap_or(i64::MAX)),
            Function::Cnum => Value::Number(argument(0).to_number()),
            Function::Cstr => Value::Text(text(0)),
            Function::Field => {
                let source = text(0);
                let number = usize::try_from(argument(2).to_number()).unwrap_or(0);
                // A number is the code of a delimiting byte, a text is the delimiter itself.
                let delimiter = match argument(1) {
                    Value::Number(code) => vec![u8::try_from(code).unwrap_or(0)],
                    Value::Text(text) => text.into_owned(),
                };
                let field = nth_field(&source, &delimiter, number);
                Value::Text(Cow::Owned(field.unwrap_or(b"***FIELD NOT FOUND***").to_vec()))
            }
            Function::Replace => Value::Text(Cow::Owned(replace(&text(0), &text(1), &text(2)))),
            Function::Substring => {
                let source = text(0);
                let start = usize::try_from(argument(1).to_number()).unwrap_or(0).min(source.len());
                let length = argument(2).to_number();
                let rest = source.get(start..).unwrap_or(b"");
                // A negative length counts from the end.
                let length = match usize::try_from(length) {
                    Ok(length) => length.min(rest.len()),
                    Err(_) => rest.len().saturating_sub(length.unsigned_abs() as usize),
                };
                Value::Text(Cow::Owned(rest.get(..length).unwrap_or(b"").to_vec()))
            }
            Function::Ltrim => Value::Text(Cow::Owned(text(0).trim_ascii_start().to_vec())),
            Function::Rtrim => Value::Text(Cow::Owned(text(0).trim_ascii_end().to_vec())),
        }
    }
}

fn nth_field<'t>(text: &'t [u8], delimiter: &[u8], number: usize) -> Option<&'t [u8]> {
    if delimiter.is_empty() || number == 0 {
        return None;
    }
    let mut rest = text;
    for _ in 1..number {
        let at = memchr::memmem::find(rest, delimiter)?;
        rest = rest.get(at + delimiter.len()..)?;
    }
    let end = memchr::memmem::find(rest, delimiter).unwrap_or(rest.len());
    rest.get(..end)
}

fn replace(text: &[u8], search: &[u8], replacement: &[u8]) -> Vec<u8> {
    if search.is_empty() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(text, search) {
        out.extend_from_slice(text.get(from..at).unwrap_or(b""));
        out.extend_from_slice(replacement);
        from = at + search.len();
        if out.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    out.extend_from_slice(text.get(from..).unwrap_or(b""));
    out.truncate(TEXT_BYTES_MAX);
    out
}

impl<'v> Value<'v> {
    /// The value as text.
    pub fn into_text(self) -> Cow<'v, [u8]> {
        match self {
            Value::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Value::Text(text) => text,
        }
    }

    /// The value as a number: of a text, its leading decimal, hexadecimal (`0x`) or octal (`0`) digits; else 0.
    pub fn to_number(&self) -> i64 {
        match self {
            Value::Number(number) => *number,
            Value::Text(text) => whole_number(text).unwrap_or(0),
        }
    }

    /// Whether it counts as true.
    pub fn truth(&self) -> bool {
        self.to_number() != 0
    }
}

/// The number that a text is as a whole.
fn whole_number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let magnitude = match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(digits, 8).ok()?,
        None => digits.parse().ok()?,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// A comparison of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // RainerScript's own words
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    ContainsIgnoringCase,
    StartsWith,
    StartsWithIgnoringCase,
    EndsWith,
}

impl Comparison {
    /// Whether it holds. Numbers compare as numbers; a text beside a number does too where it is one.
    pub fn holds(self, left: &Value<'_>, right: &Value<'_>) -> bool {
        let order = || compare(left, right);
        let texts = || (left.clone().into_text(), right.clone().into_text());
        match self {
            Comparison::Equal => order() == Ordering::Equal,
            Comparison::NotEqual => order() != Ordering::Equal,
            Comparison::Less => rank(left, right) == Ordering::Less,
            Comparison::LessOrEqual => rank(left, right) != Ordering::Greater,
            Comparison::Greater => rank(left, right) == Ordering::Greater,
            Comparison::GreaterOrEqual => rank(left, right) != Ordering::Less,
            Comparison::Contains => {
                let (left, right) = texts();
                memchr::memmem::find(&left, &right).is_some()
            }
            Comparison::ContainsIgnoringCase => {
                let (left, right) = texts();
                contains_ignoring_case(&left, &right.to_ascii_lowercase())
            }
            Comparison::StartsWith => {
                let (left, right) = texts();
                left.starts_with(&right)
            }
            Comparison::StartsWithIgnoringCase => {
                let (left, right) = texts();
                left.get(..right.len()).is_some_and(|head| head.eq_ignore_ascii_case(&right))
            }
            Comparison::EndsWith => {
                let (left, right) = texts();
                left.ends_with(&right)
            }
        }
    }
}

/// The order for "less" and "greater": two texts that are both numbers compare as numbers, unlike for equality.
fn rank(left: &Value<'_>, right: &Value<'_>) -> Ordering {
    if let (Value::Text(one), Value::Text(other)) = (left, right)
        && let (Some(one), Some(other)) = (whole_number(one), whole_number(other))
    {
        return one.cmp(&other);
    }
    compare(left, right)
}

fn compare(left: &Value<'_>, right: &Value<'_>) -> Ordering {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Number(left), Value::Text(text)) => match whole_number(text) {
            Some(right) => left.cmp(&right),
            None => left.to_string().as_bytes().cmp(text),
        },
        (Value::Text(text), Value::Number(right)) => match whole_number(text) {
            Some(left) => left.cmp(right),
            None => text.as_ref().cmp(right.to_string().as_bytes()),
        },
    }
}
