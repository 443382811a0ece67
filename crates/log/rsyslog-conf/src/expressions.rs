//! RainerScript expressions: what stands after `if`.

use conf_text::{Span, Spanned, nearest};
use log_core::{
    Comparison, Condition, Expression, Function, Pattern, Property, PropertyFilter, PropertyStanding,
    Selector, Test,
};

use crate::parser::Parser;
use crate::text::Cursor;

/// Parentheses and operators that may stand inside each other: a configuration never comes near, noise must not exhaust the
/// stack.
const NESTING_MAX: usize = 64;

const COMPARISONS: &[(&str, Comparison)] = &[
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

const COMPARISON_WORDS: &[(&str, Comparison)] = &[
    ("contains", Comparison::Contains),
    ("contains_i", Comparison::ContainsIgnoringCase),
    ("startswith", Comparison::StartsWith),
    ("startswith_i", Comparison::StartsWithIgnoringCase),
    ("endswith", Comparison::EndsWith),
];

const FUNCTIONS: &[(&str, Function)] = &[
    ("tolower", Function::ToLower),
    ("toupper", Function::ToUpper),
    ("strlen", Function::StrLen),
    ("cnum", Function::Cnum),
    ("cstr", Function::Cstr),
    ("field", Function::Field),
    ("replace", Function::Replace),
    ("substring", Function::Substring),
    ("ltrim", Function::Ltrim),
    ("rtrim", Function::Rtrim),
];

const SPECIAL_FUNCTIONS: &[&str] = &["prifilt", "re_match", "re_match_i", "re_extract", "getenv"];

const FUNCTIONS_NOT_YET: &[&str] = &[
    "wrap",
    "random",
    "format_time",
    "parse_time",
    "lookup",
    "dyn_inc",
    "percentile_observe",
    "ipv42num",
    "num2ipv4",
    "int2hex",
    "script_error",
    "previous_action_suspended",
    "exists",
    "is_time",
    "parse_json",
    "get_property",
    "http_request",
    "hash64",
    "hash64mod",
    "exec_template",
    "re_extract_i",
    "split",
    "append_json",
    "b64_decode",
    "toupper_i",
];

impl Parser<'_> {
    /// The condition at the cursor; none where it is wrong, which has been reported.
    pub(crate) fn condition(&mut self, cursor: &mut Cursor) -> Option<Condition> {
        self.logic(cursor, 0).map(as_condition)
    }

    /// `and` and `or` bind alike, from the left: that is what the stock daemon does.
    fn logic(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        let start = cursor.at;
        if depth > NESTING_MAX {
            self.diagnostics.error(
                cursor.here(),
                "an expression is nested too deeply",
                "",
                "take it apart into several `if` statements",
            );
            return None;
        }
        let mut left = self.comparison(cursor, depth)?;
        let mut or_seen = false;
        loop {
            cursor.skip_space();
            if cursor.take_keyword("and") {
                if or_seen {
                    self.diagnostics.warning(
                        cursor.span_from(start),
                        "`and` does not bind tighter than `or` here",
                        "read from the left",
                        "say which belong together with parentheses: `a or (b and c)`",
                    );
                }
                let right = self.comparison(cursor, depth)?;
                left = of_condition(join_all(as_condition(left), as_condition(right)));
            } else if cursor.take_keyword("or") {
                or_seen = true;
                let right = self.comparison(cursor, depth)?;
                left = of_condition(join_any(as_condition(left), as_condition(right)));
            } else {
                return Some(left);
            }
        }
    }

    fn comparison(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        cursor.skip_space();
        let start = cursor.at;
        let negated_alone = cursor.peek_word().eq_ignore_ascii_case("not");
        let mut left = self.sum(cursor, depth)?;
        loop {
            cursor.skip_space();
            let Some(comparison) = take_comparison(cursor) else { return Some(left) };
            if negated_alone && matches!(left, Expression::Condition(_)) && !cursor_was_grouped(cursor, start)
            {
                self.diagnostics.warning(
                    cursor.span_from(start),
                    "`not` belongs to the word after it alone, not to the comparison",
                    "compares the result of `not`",
                    "write `not (...)` around the comparison",
                );
            }
            cursor.skip_space();
            let right = if cursor.peek() == Some(b'[') {
                self.array(cursor)?
            } else {
                vec![self.sum(cursor, depth)?]
            };
            left = of_condition(compare(left, comparison, right));
        }
    }

    fn array(&mut self, cursor: &mut Cursor) -> Option<Vec<Expression>> {
        cursor.take(b'[');
        let mut items = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.take(b']') {
                return Some(items);
            }
            match cursor.script_string() {
                Some(text) => items.push(Expression::Text(text.into_bytes())),
                None => {
                    self.diagnostics.error(
                        cursor.here(),
                        "a list holds something that is no string",
                        "a string is expected",
                        "write strings with commas between: `[\"mail\", \"news\"]`",
                    );
                    return None;
                }
            }
            cursor.skip_space();
            cursor.take(b',');
        }
    }

    fn sum(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        let mut left = self.product(cursor, depth)?;
        loop {
            cursor.skip_space();
            let Some(operator @ (b'+' | b'-' | b'&')) = cursor.peek() else { return Some(left) };
            cursor.at += 1;
            let right = self.product(cursor, depth)?;
            left = if operator == b'&' {
                match left {
                    Expression::Concat(mut parts) => {
                        parts.push(right);
                        Expression::Concat(parts)
                    }
                    first => Expression::Concat(vec![first, right]),
                }
            } else {
                Expression::Arithmetic { operator, left: Box::new(left), right: Box::new(right) }
            };
        }
    }

    fn product(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        let mut left = self.unary(cursor, depth)?;
        loop {
            cursor.skip_space();
            let Some(operator @ (b'*' | b'/' | b'%')) = cursor.peek() else { return Some(left) };
            cursor.at += 1;
            let right = self.unary(cursor, depth)?;
            left = Expression::Arithmetic { operator, left: Box::new(left), right: Box::new(right) };
        }
    }

    fn unary(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        if depth > NESTING_MAX {
            // Reported by `logic`, which asks first.
            return self.logic(cursor, depth);
        }
        cursor.skip_space();
        if cursor.take_keyword("not") {
            let inner = self.unary(cursor, depth + 1)?;
            return Some(of_condition(Condition::Not(Box::new(as_condition(inner)))));
        }
        if cursor.take(b'-') {
            let inner = self.unary(cursor, depth + 1)?;
            let zero = Box::new(Expression::Number(0));
            return Some(Expression::Arithmetic { operator: b'-', left: zero, right: Box::new(inner) });
        }
        self.primary(cursor, depth)
    }

    fn primary(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        let start = cursor.at;
        match cursor.peek() {
            Some(b'(') => {
                cursor.at += 1;
                let inner = self.logic(cursor, depth + 1)?;
                cursor.skip_space();
                if !cursor.take(b')') {
                    self.diagnostics.error(
                        cursor.here(),
                        "a parenthesis is not closed",
                        "expected `)`",
                        "write `)` here",
                    );
                    return None;
                }
                Some(inner)
            }
            Some(b'"' | b'\'') => match cursor.script_string() {
                Some(text) => Some(Expression::Text(text.into_bytes())),
                None => {
                    self.diagnostics.error(
                        cursor.here(),
                        "a string is not closed",
                        "begins here",
                        "close it with the same quote",
                    );
                    None
                }
            },
            Some(b'0'..=b'9') => {
                let digits = cursor.take_while(|byte| byte.is_ascii_alphanumeric());
                let parsed = match digits.strip_prefix("0x") {
                    Some(hex) => i64::from_str_radix(hex, 16),
                    None if digits.len() > 1 && digits.starts_with('0') => i64::from_str_radix(&digits, 8),
                    None => digits.parse(),
                };
                match parsed {
                    Ok(number) => Some(Expression::Number(number)),
                    Err(_) => {
                        let span = cursor.span_from(start);
                        self.diagnostics.error(
                            span,
                            format!("`{digits}` is not a number"),
                            "",
                            "write digits, or a string in quotes",
                        );
                        None
                    }
                }
            }
            Some(b'$') => self.property(cursor),
            _ => self.function(cursor, depth),
        }
    }

    fn property(&mut self, cursor: &mut Cursor) -> Option<Expression> {
        let start = cursor.at;
        cursor.at += 1;
        let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || b"_-!./$".contains(&byte));
        let span = cursor.span_from(start);
        // The `$now` family keeps its own `$` after the one of the language; one alone is understood too.
        let standing = match Property::from_name(&name) {
            PropertyStanding::Unknown => Property::from_name(&format!("${name}")),
            known => known,
        };
        match standing {
            PropertyStanding::Supported(property) => Some(Expression::Property(property)),
            PropertyStanding::NotYet => {
                self.diagnostics.error(
                    span,
                    format!("`${name}` is not supported yet"),
                    "rsyslog knows it, this daemon does not yet",
                    "use a property of the message: `$msg`, `$programname`, `$hostname`, ...",
                );
                None
            }
            PropertyStanding::Unknown => {
                let help = match nearest(&name, Property::names()) {
                    Some(near) => format!("did you mean `${near}`?"),
                    None => "properties are `$msg`, `$programname`, `$hostname`, `$syslogfacility-text`, ..."
                        .to_owned(),
                };
                self.diagnostics.error(span, format!("`${name}` is not a property"), "", help);
                None
            }
        }
    }

    fn function(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Expression> {
        let start = cursor.at;
        let name =
            cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_').to_ascii_lowercase();
        let span = if name.is_empty() { cursor.here() } else { cursor.span_from(start) };
        cursor.skip_space();
        if name.is_empty() || cursor.peek() != Some(b'(') {
            self.diagnostics.error(
                span,
                "a value is expected here",
                "",
                "write a property (`$msg`), a string in quotes, a number or a function (`re_match($msg, \"...\")`)",
            );
            return None;
        }
        cursor.at += 1;
        let arguments = self.arguments(cursor, depth)?;
        self.call(Spanned { value: name, span }, arguments)
    }

    fn arguments(&mut self, cursor: &mut Cursor, depth: usize) -> Option<Vec<Expression>> {
        let mut arguments = Vec::new();
        loop {
            cursor.skip_space();
            if cursor.take(b')') {
                return Some(arguments);
            }
            arguments.push(self.logic(cursor, depth + 1)?);
            cursor.skip_space();
            if !cursor.take(b',') && cursor.peek() != Some(b')') {
                self.diagnostics.error(
                    cursor.here(),
                    "the arguments are not closed",
                    "expected `,` or `)`",
                    "write `)` here",
                );
                return None;
            }
        }
    }

    fn call(&mut self, name: Spanned<String>, arguments: Vec<Expression>) -> Option<Expression> {
        let count = arguments.len();
        if let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name.value) {
            if count != function.arity() {
                return self.wrong_count(&name, function.arity(), count);
            }
            return Some(Expression::Call { function: *function, arguments });
        }
        let mut arguments = arguments.into_iter();
        match (name.value.as_str(), count) {
            ("prifilt", 1) => {
                let text = constant(arguments.next()).unwrap_or_default();
                match Selector::parse(&text) {
                    Ok(selector) => Some(of_condition(Condition::Priority(selector))),
                    Err(error) => {
                        self.diagnostics.error(name.span, error.cause, "in this filter", error.help);
                        None
                    }
                }
            }
            ("re_match" | "re_match_i", 2) => {
                let value = arguments.next()?;
                let text = constant(arguments.next());
                let pattern = self.pattern(&name, text, name.value == "re_match_i")?;
                Some(of_condition(Condition::Match { value, pattern }))
            }
            ("re_extract", 5) => {
                let value = Box::new(arguments.next()?);
                let text = constant(arguments.next());
                let pattern = self.pattern(&name, text, false)?;
                let mut number = || match arguments.next() {
                    Some(Expression::Number(number)) => usize::try_from(number).unwrap_or(0),
                    other => constant(other).and_then(|text| text.parse().ok()).unwrap_or(0),
                };
                let (match_number, submatch) = (number(), number());
                let otherwise = Box::new(arguments.next()?);
                Some(Expression::ReExtract { value, pattern, match_number, submatch, otherwise })
            }
            ("prifilt", _) => self.wrong_count(&name, 1, count),
            ("re_match" | "re_match_i", _) => self.wrong_count(&name, 2, count),
            ("re_extract", _) => self.wrong_count(&name, 5, count),
            (known, _) if known == "getenv" || FUNCTIONS_NOT_YET.contains(&known) => {
                self.diagnostics.error(
                    name.span,
                    format!("the function `{}` is not supported yet", name.value),
                    "rsyslog knows it, this daemon does not yet",
                    "write the condition without it",
                );
                None
            }
            _ => {
                let names = FUNCTIONS.iter().map(|(name, _)| *name).chain(SPECIAL_FUNCTIONS.iter().copied());
                let help = match nearest(
                    &name.value,
                    names.chain(COMPARISON_WORDS.iter().map(|(word, _)| *word)),
                ) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => {
                        "functions are re_match, prifilt, field, replace, tolower, strlen, cnum, cstr, ..."
                            .to_owned()
                    }
                };
                self.diagnostics.error(name.span, format!("`{}` is not a function", name.value), "", help);
                None
            }
        }
    }

    fn pattern(
        &mut self,
        name: &Spanned<String>,
        text: Option<String>,
        ignore_case: bool,
    ) -> Option<Pattern> {
        let Some(text) = text else {
            self.diagnostics.error(
                name.span,
                format!("the pattern of `{}` is not a constant", name.value),
                "",
                format!("write it in quotes: `{}($msg, \"^error\")`", name.value),
            );
            return None;
        };
        let compiled =
            if ignore_case { Pattern::extended_ignoring_case(&text) } else { Pattern::extended(&text) };
        match compiled {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                self.diagnostics.error(
                    name.span,
                    format!("`{text}` is not a regular expression: {}", error.cause),
                    "in this call",
                    "correct the pattern (POSIX extended syntax, `man 7 regex`)",
                );
                None
            }
        }
    }

    fn wrong_count(&mut self, name: &Spanned<String>, expected: usize, count: usize) -> Option<Expression> {
        self.diagnostics.error(
            name.span,
            format!("`{}` takes {expected} arguments, not {count}", name.value),
            "",
            match name.value.as_str() {
                "re_match" | "re_match_i" => "write `re_match($msg, \"pattern\")`".to_owned(),
                "field" => "write `field($msg, 32, 2)`: text, delimiter, number".to_owned(),
                "replace" => "write `replace($msg, \"from\", \"to\")`".to_owned(),
                _ => format!("give it {expected}"),
            },
        );
        None
    }

    /// Reports a text that is wrong at `at` of `span`.
    pub(crate) fn wrong_at(&mut self, span: Span, cause: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.error(span, cause, "", help);
    }
}

/// Whether `not` is followed by a parenthesis that closes right before the comparison: then nobody is misled.
fn cursor_was_grouped(cursor: &Cursor, start: usize) -> bool {
    let text = cursor.text.get(start..cursor.at).unwrap_or("");
    text.get(3..).unwrap_or("").trim_start().starts_with('(')
}

fn take_comparison(cursor: &mut Cursor) -> Option<Comparison> {
    for (sign, comparison) in COMPARISONS {
        if cursor.rest().starts_with(sign) {
            cursor.at += sign.len();
            return Some(*comparison);
        }
    }
    COMPARISON_WORDS.iter().find(|(word, _)| cursor.take_keyword(word)).map(|(_, comparison)| *comparison)
}

/// A comparison in its cheapest form.
fn compare(left: Expression, comparison: Comparison, mut right: Vec<Expression>) -> Condition {
    if let (Expression::Property(property), [Expression::Text(text)]) = (&left, right.as_slice()) {
        let test = match comparison {
            Comparison::Equal | Comparison::NotEqual => Some(Test::IsEqual(text.clone())),
            Comparison::Contains => Some(Test::contains(text)),
            Comparison::ContainsIgnoringCase => Some(Test::contains_ignoring_case(text)),
            Comparison::StartsWith => Some(Test::StartsWith(text.clone())),
            Comparison::EndsWith => Some(Test::EndsWith(text.clone())),
            _ => None,
        };
        // A severity or facility is a number: `== "03"` must compare as numbers do.
        let is_number = matches!(property, Property::Severity | Property::Facility);
        if let (Some(test), false) = (test, is_number) {
            let negated = comparison == Comparison::NotEqual;
            return Condition::Property(PropertyFilter { property: *property, negated, test });
        }
    }
    right.shrink_to_fit();
    Condition::Compare { left, comparison, right }
}

fn join_all(left: Condition, right: Condition) -> Condition {
    match left {
        Condition::All(mut parts) => {
            parts.push(right);
            Condition::All(parts)
        }
        first => Condition::All(vec![first, right]),
    }
}

fn join_any(left: Condition, right: Condition) -> Condition {
    match left {
        Condition::Any(mut parts) => {
            parts.push(right);
            Condition::Any(parts)
        }
        first => Condition::Any(vec![first, right]),
    }
}

fn as_condition(expression: Expression) -> Condition {
    match expression {
        Expression::Condition(condition) => *condition,
        Expression::Number(number) => Condition::Constant(number != 0),
        value => Condition::Truth(value),
    }
}

fn of_condition(condition: Condition) -> Expression {
    Expression::Condition(Box::new(condition))
}

fn constant(expression: Option<Expression>) -> Option<String> {
    match expression {
        Some(Expression::Text(text)) => String::from_utf8(text).ok(),
        Some(Expression::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}
