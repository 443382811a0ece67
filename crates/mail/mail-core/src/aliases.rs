//! The alias file: `aliases(5)`.

use std::collections::HashMap;
use std::ops::Range;

use crate::target::{Problem, Target, parse_list};

/// Most entries of one alias file; beyond it the file is refused, so that a wrong path (a log, a device) is told early.
pub const ENTRIES_MAX: usize = 1_000_000;

/// One alias file, as meant: keys in lower case, each with its destinations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    entries: HashMap<String, Vec<Target>>,
    longest: usize,
    bytes: usize,
}

impl Aliases {
    /// Reads a whole file. What is good in it is kept even when there are problems; the caller decides whether a file
    /// with problems may take the place of one without.
    pub fn parse(text: &str) -> (Self, Vec<Problem>) {
        let mut aliases = Self { bytes: text.len(), ..Self::default() };
        let mut problems = Vec::new();
        for logical in logical_lines(text) {
            aliases.entry(text, logical, &mut problems);
            if aliases.entries.len() > ENTRIES_MAX {
                let message = format!("more than {ENTRIES_MAX} aliases");
                problems.push(Problem { span: 0..0, message, help: None });
                break;
            }
        }
        (aliases, problems)
    }

    /// The destinations of a name, whose letters may be of either case.
    pub fn get(&self, name: &str) -> Option<&[Target]> {
        self.entries.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// Number of aliases, as `newaliases` reports it.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Length in octets of the longest entry, key included, and of the whole text, as `newaliases` reports them.
    pub fn sizes(&self) -> (usize, usize) {
        (self.longest, self.bytes)
    }

    /// Every key with its destinations, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Target])> {
        self.entries.iter().map(|(key, targets)| (key.as_str(), targets.as_slice()))
    }

    fn entry(&mut self, text: &str, logical: Range<usize>, problems: &mut Vec<Problem>) {
        let Some(line) = text.get(logical.clone()) else { return };
        let complain = |problems: &mut Vec<Problem>, span: Range<usize>, message: &str, help: &str| {
            problems.push(Problem { span, message: message.to_owned(), help: Some(help.to_owned()) });
        };
        let first_line_end = line.find('\n').map_or(line.len(), |n| n).max(1);
        let whole = logical.start..logical.start + first_line_end;
        if line.starts_with([' ', '\t']) {
            complain(
                problems,
                whole,
                "a line that continues nothing",
                "begin the line with a name and a colon",
            );
            return;
        }
        let (key, after) = match key(line) {
            Ok(found) => found,
            Err(message) => {
                return complain(problems, whole, message, "write: name: destination, destination");
            }
        };
        let Some(value) = line.get(after..) else { return };
        // Line ends within a continued entry are white space; the lengths stay, so spans stay true. Comment lines in
        // between were left out of the logical line by blanking, see `blank_comments`.
        let value = blank_comments(value);
        let before = problems.len();
        let targets = parse_list(&value, logical.start + after, problems);
        if targets.is_empty() {
            if problems.len() == before {
                complain(problems, whole, "the alias has no destination", "write: name: destination");
            }
            return;
        }
        self.longest = self.longest.max(line.len());
        if self.entries.contains_key(&key) {
            complain(
                problems,
                whole,
                &format!("the alias {key} was given before"),
                "remove one of the two lines",
            );
            return;
        }
        self.entries.insert(key, targets);
    }
}

/// Ranges of logical lines: a line and those after it that begin with white space. Empty lines and comments end one
/// only if no continuation follows (`aliases(5)`).
fn logical_lines(text: &str) -> Vec<Range<usize>> {
    let mut lines: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.end = range.end,
            _ => lines.push(range),
        }
    }
    lines
}

/// Replaces comment lines and line ends by blanks of the same length.
fn blank_comments(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for (nth, line) in value.split_inclusive('\n').enumerate() {
        if nth > 0 && line.trim_start().starts_with('#') {
            out.extend(std::iter::repeat_n(' ', line.len()));
        } else {
            out.extend(line.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
        }
    }
    out
}

/// The key in lower case, and where the value begins.
fn key(line: &str) -> Result<(String, usize), &'static str> {
    if let Some(quoted) = line.strip_prefix('"') {
        let end = quoted.find('"').ok_or("the quoted name is not closed")?;
        let name = quoted.get(..end).unwrap_or("");
        let rest = quoted.get(end + 1..).unwrap_or("");
        let colon = rest.find(':').ok_or("no colon follows the name")?;
        if !rest.get(..colon).unwrap_or("x").trim().is_empty() || name.is_empty() {
            return Err("no colon follows the name");
        }
        return Ok((name.to_ascii_lowercase(), 1 + end + 1 + colon + 1));
    }
    let colon = line.find(':').ok_or("no colon follows the name")?;
    let name = line.get(..colon).unwrap_or("").trim();
    if name.is_empty() {
        return Err("the name before the colon is missing");
    }
    if name.contains(|c: char| c.is_whitespace() || c == '"') {
        return Err("a name with white space must be quoted");
    }
    Ok((name.to_ascii_lowercase(), colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the grammar of aliases(5), with what is good kept beside what is not.
    #[test]
    fn alias_files() {
        let check = |text: &str, name: &str, expected: Option<usize>, complaints: &[&str]| {
            let (aliases, problems) = Aliases::parse(text);
            assert_eq!(aliases.get(name).map(<[Target]>::len), expected, "{text:?}");
            let got: Vec<_> = problems.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(got, complaints, "{text:?}");
        };
        check("root: me\n", "ROOT", Some(1), &[]);
        check("Root : me, you\n", "root", Some(2), &[]);
        check("\"a b\": me\n", "a b", Some(1), &[]);
        check("list: a,\n  b,\n# in between\n\tc\n", "list", Some(3), &[]);
        check("list: a,\n\n  b\n", "list", Some(2), &[]);
        check("# only: comment\n\n", "only", None, &[]);
        check("x: \"|/bin/a b, c\"\r\n", "x", Some(1), &[]);
        check("owner-list: me\n", "owner-list", Some(1), &[]);
        check("a: b\na: c\n", "a", Some(1), &["the alias a was given before"]);
        check("nocolon\nb: c\n", "b", Some(1), &["no colon follows the name"]);
        check("  b: c\n", "b", None, &["a line that continues nothing"]);
        check("b:\nc: d\n", "c", Some(1), &["the alias has no destination"]);
        check("two words: d\n", "two words", None, &["a name with white space must be quoted"]);
    }

    /// Goal: spans point at the fault even in a continued entry.
    #[test]
    fn spans_point_at_the_fault() {
        let text = "a: b,\n   c d\n";
        let (_, problems) = Aliases::parse(text);
        let span = problems.first().map(|p| p.span.clone());
        assert_eq!(span.and_then(|s| text.get(s)), Some("c d"));
    }
}
