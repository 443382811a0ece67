//! `$name`, `${name}`, `$(name)`, `${name?text}`, `${name:text}` (`postconf(5)`).

/// Deepest nesting of parameters in parameters; postfix's own bound is similar, and beyond it they run in a circle.
const DEPTH_MAX: usize = 32;
/// Longest expanded value, in octets, so that nested doubling cannot fill the memory.
const VALUE_OCTETS_MAX: usize = 64 * 1024;

/// Why a value cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExpandError {
    /// A parameter is part of its own value.
    Circle(String),
    /// A `{` or `(` is not closed, or `$` is followed by nothing that names a parameter.
    Syntax,
    /// The value is too long.
    TooLong,
}

/// Expands every macro. `lookup` gives the unexpanded value of a parameter; a name it does not know is told to `missing` and
/// stands for nothing, as in postfix.
pub(crate) fn expand(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
) -> Result<String, ExpandError> {
    let mut chain = Vec::new();
    nested(text, lookup, missing, &mut chain)
}

fn nested(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
    chain: &mut Vec<String>,
) -> Result<String, ExpandError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (reference, tail) = take_reference(after).ok_or(ExpandError::Syntax)?;
        rest = tail;
        match reference {
            Reference::Dollar => out.push('$'),
            Reference::Name { name, when_set, when_unset } => {
                if chain.len() >= DEPTH_MAX || chain.iter().any(|link| link == name) {
                    return Err(ExpandError::Circle(name.to_owned()));
                }
                let value = match lookup(name) {
                    Some(raw) => {
                        chain.push(name.to_owned());
                        let value = nested(&raw, lookup, missing, chain)?;
                        chain.pop();
                        value
                    }
                    None => {
                        if when_set.is_none() && when_unset.is_none() {
                            missing(name);
                        }
                        String::new()
                    }
                };
                match (when_set, when_unset, value.is_empty()) {
                    (None, None, _) => out.push_str(&value),
                    (Some(text), _, false) | (_, Some(text), true) => {
                        out.push_str(&nested(text, lookup, missing, chain)?);
                    }
                    _ => {}
                }
            }
        }
        if out.len() > VALUE_OCTETS_MAX {
            return Err(ExpandError::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

enum Reference<'a> {
    Dollar,
    Name { name: &'a str, when_set: Option<&'a str>, when_unset: Option<&'a str> },
}

/// Reads what follows a `$`; gives the rest of the text too.
fn take_reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let first = text.chars().next()?;
    if first == '$' {
        return Some((Reference::Dollar, text.get(1..)?));
    }
    let close = match first {
        '{' => '}',
        '(' => ')',
        _ => {
            let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end)?;
            let plain = Reference::Name { name, when_set: None, when_unset: None };
            return (!name.is_empty()).then_some((plain, rest));
        }
    };
    let mut depth = 0_usize;
    let end = text.char_indices().find_map(|(at, c)| {
        if c == first {
            depth += 1;
        } else if c == close {
            depth -= 1;
        }
        (depth == 0).then_some(at)
    })?;
    let inner = text.get(1..end)?;
    let rest = text.get(end + 1..)?;
    let name_end = inner.find(['?', ':']).unwrap_or(inner.len());
    let (name, condition) = inner.split_at_checked(name_end)?;
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    let (mut when_set, mut when_unset) = (None, None);
    if let Some(text) = condition.strip_prefix(':') {
        when_unset = Some(unbrace(text).0);
    } else if let Some(text) = condition.strip_prefix('?') {
        let (text, more) = unbrace(text);
        when_set = Some(text);
        when_unset = more.strip_prefix(':').map(|t| unbrace(t).0);
    }
    Some((Reference::Name { name, when_set, when_unset }, rest))
}

/// `{text}rest` gives text and rest, anything else itself.
fn unbrace(text: &str) -> (&str, &str) {
    let Some(inner) = text.trim_start().strip_prefix('{') else { return (text, "") };
    match inner.split_once('}') {
        Some((text, rest)) => (text.trim(), rest.trim_start()),
        None => (text, ""),
    }
}

/// The names that a text refers to.
pub(crate) fn names(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        match take_reference(after) {
            Some((Reference::Name { name, when_set, when_unset }, tail)) => {
                found.push(name);
                found.extend(when_set.map(names).unwrap_or_default());
                found.extend(when_unset.map(names).unwrap_or_default());
                rest = tail;
            }
            Some((Reference::Dollar, tail)) => rest = tail,
            None => rest = after,
        }
    }
    found
}

/// Expands what is known at delivery only (`$user`, `$home`, `$extension`, ... in `forward_path`). None where the text is
/// wrong.
pub fn expand_local(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    expand(text, lookup, &mut |_| {}).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each form of a macro, and those that are wrong.
    #[test]
    fn macros() {
        let lookup = |name: &str| match name {
            "a" => Some("1".to_owned()),
            "b" => Some("${a}2".to_owned()),
            "empty" => Some(String::new()),
            "circle" => Some("$circle2".to_owned()),
            "circle2" => Some("$circle".to_owned()),
            _ => None,
        };
        let check = |text: &str, expected: Result<&str, ExpandError>| {
            let got = expand(text, &lookup, &mut |_| {});
            assert_eq!(got.as_ref().map(String::as_str), expected.as_ref().map(|text| &**text), "{text}");
        };
        check("x $a ${a} $(b) $$a", Ok("x 1 1 12 $a"));
        check("$a.$b", Ok("1.12"));
        check("${a?yes}${empty?yes}${none?yes}", Ok("yes"));
        check("${a:no}${empty:no}${none:no $a}", Ok("nono 1"));
        check("${a?{yes}:{no}}${empty?{yes}:{no}}", Ok("yesno"));
        check("$none", Ok(""));
        check("$circle", Err(ExpandError::Circle("circle".into())));
        check("${a", Err(ExpandError::Syntax));
        check("$", Err(ExpandError::Syntax));
        check("${}", Err(ExpandError::Syntax));
    }
}
