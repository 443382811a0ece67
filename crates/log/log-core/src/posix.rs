//! POSIX regular expressions, basic and extended, on the `regex` engine: linear time whatever a sender writes.

use std::fmt;
use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

/// A compiled pattern. It matches bytes; a dot matches a line feed too, as `regexec(3)` has it.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
}

/// A pattern that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub cause: String,
}

/// Bytes that one compiled pattern may take: a pattern comes from the administrator, this only stops accidents.
const COMPILED_BYTES_MAX: usize = 4 << 20;

impl Pattern {
    /// A basic expression (`regex` in property filters, `BRE` in templates).
    pub fn basic(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, Syntax::Basic, false)
    }

    /// An extended expression (`ereregex`, `re_match`, `ERE`).
    pub fn extended(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, Syntax::Extended, false)
    }

    /// An extended expression that ignores the case of ASCII letters (`re_match_i`).
    pub fn extended_ignoring_case(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, Syntax::Extended, true)
    }

    /// Whether it matches anywhere in `text`.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// Where the group `submatch` (0: the whole) of the match number `match_number` (from 0) stands.
    pub fn find(&self, text: &[u8], match_number: usize, submatch: usize) -> Option<Range<usize>> {
        if submatch == 0 {
            return self.regex.find_iter(text).nth(match_number).map(|found| found.range());
        }
        let captures = self.regex.captures_iter(text).nth(match_number)?;
        captures.get(submatch).map(|group| group.range())
    }

    fn compile(text: &str, syntax: Syntax, ignore_case: bool) -> Result<Self, PatternError> {
        let translated = Translation::new(text, syntax).run()?;
        RegexBuilder::new(&translated)
            .unicode(false)
            .dot_matches_new_line(true)
            .case_insensitive(ignore_case)
            .size_limit(COMPILED_BYTES_MAX)
            .build()
            .map(|regex| Self { regex })
            .map_err(|error| PatternError { cause: last_line(&error.to_string()) })
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for PatternError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Basic,
    Extended,
}

/// One pass from POSIX syntax to the engine's.
struct Translation {
    input: Vec<char>,
    at: usize,
    syntax: Syntax,
    out: String,
    /// Where the last atom begins in `out`; none where a quantifier would have nothing to repeat.
    atom: Option<usize>,
    /// Where the open groups begin in `out`.
    groups: Vec<usize>,
}

impl Translation {
    fn new(text: &str, syntax: Syntax) -> Self {
        Self {
            input: text.chars().collect(),
            at: 0,
            syntax,
            out: String::new(),
            atom: None,
            groups: Vec::new(),
        }
    }

    fn run(mut self) -> Result<String, PatternError> {
        while let Some(current) = self.next() {
            match current {
                '\\' => self.escaped()?,
                '[' => self.bracket()?,
                '.' => self.atom("."),
                '^' if self.syntax == Syntax::Extended || self.at_beginning() => {
                    self.out.push('^');
                    self.atom = None;
                }
                '$' if self.syntax == Syntax::Extended || self.at_end() => {
                    self.out.push('$');
                    self.atom = None;
                }
                '*' => self.quantifier("*"),
                '+' | '?' if self.syntax == Syntax::Extended => self.quantifier(&current.to_string()),
                '{' if self.syntax == Syntax::Extended => self.interval("}"),
                '(' if self.syntax == Syntax::Extended => self.open(),
                ')' if self.syntax == Syntax::Extended && !self.groups.is_empty() => self.close()?,
                '|' if self.syntax == Syntax::Extended => self.alternative(),
                other => self.literal(other),
            }
        }
        if self.groups.is_empty() { Ok(self.out) } else { Err(error("a group is not closed")) }
    }

    fn next(&mut self) -> Option<char> {
        let current = self.input.get(self.at).copied();
        self.at += usize::from(current.is_some());
        current
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.input.get(self.at + ahead).copied()
    }

    /// In a basic expression `^` is an anchor only at the beginning of the whole, a group or an alternative.
    fn at_beginning(&self) -> bool {
        let before = self.input.get(..self.at.saturating_sub(1)).unwrap_or(&[]);
        matches!(before, [] | [.., '\\', '(' | '|'])
    }

    /// In a basic expression `$` is an anchor only at the end of the whole, a group or an alternative.
    fn at_end(&self) -> bool {
        matches!((self.peek(0), self.peek(1)), (None, _) | (Some('\\'), Some(')' | '|')))
    }

    fn escaped(&mut self) -> Result<(), PatternError> {
        let Some(current) = self.next() else { return Err(error("a backslash at the end escapes nothing")) };
        let basic = self.syntax == Syntax::Basic;
        match current {
            '(' if basic => self.open(),
            ')' if basic => self.close()?,
            '{' if basic => self.interval("\\}"),
            '|' if basic => self.alternative(),
            '+' | '?' if basic => self.quantifier(&current.to_string()),
            '1'..='9' => {
                return Err(error("back references are not supported: their search time has no bound"));
            }
            'w' | 'W' | 's' | 'S' => self.atom(&format!("\\{current}")),
            'b' | 'B' => {
                self.out.push('\\');
                self.out.push(current);
            }
            '<' => self.out.push_str("\\b{start}"),
            '>' => self.out.push_str("\\b{end}"),
            other => self.literal(other),
        }
        Ok(())
    }

    fn atom(&mut self, text: &str) {
        self.atom = Some(self.out.len());
        self.out.push_str(text);
    }

    fn literal(&mut self, letter: char) {
        let mut buffer = [0u8; 4];
        let escaped = regex::escape(letter.encode_utf8(&mut buffer));
        self.atom(&escaped);
    }

    /// A quantifier; the repeated atom is wrapped, so that `a+?` means what POSIX means and not a lazy repeat.
    fn quantifier(&mut self, text: &str) {
        match self.atom {
            Some(start) => {
                self.out.push_str(text);
                self.out.insert_str(start, "(?:");
                self.out.push(')');
            }
            // With nothing to repeat it stands for itself.
            None => text.chars().for_each(|letter| self.literal(letter)),
        }
    }

    fn interval(&mut self, end: &str) {
        let end: Vec<char> = end.chars().collect();
        let rest = self.input.get(self.at..).unwrap_or(&[]);
        let length = rest.windows(end.len()).position(|window| window == end.as_slice());
        let inside: Option<String> =
            length.and_then(|length| rest.get(..length)).map(|inside| inside.iter().collect());
        match inside {
            Some(inside) if is_interval(&inside) && self.atom.is_some() => {
                self.at += inside.chars().count() + end.len();
                let inside = if inside.starts_with(',') { format!("0{inside}") } else { inside };
                self.quantifier(&format!("{{{inside}}}"));
            }
            _ => self.literal('{'),
        }
    }

    fn open(&mut self) {
        self.groups.push(self.out.len());
        self.out.push('(');
        self.atom = None;
    }

    fn close(&mut self) -> Result<(), PatternError> {
        let start = self.groups.pop().ok_or_else(|| error("a group is closed that was not opened"))?;
        self.out.push(')');
        self.atom = Some(start);
        Ok(())
    }

    fn alternative(&mut self) {
        self.out.push('|');
        self.atom = None;
    }

    /// A bracket expression: a backslash stands for itself in it, `]` too when it comes first.
    fn bracket(&mut self) -> Result<(), PatternError> {
        let mut class = String::from("[");
        if self.peek(0) == Some('^') {
            self.at += 1;
            class.push('^');
        }
        let first = self.at;
        loop {
            let Some(current) = self.next() else { return Err(error("a bracket expression is not closed")) };
            if current == ']' && self.at > first + 1 {
                break;
            }
            if current == '['
                && let Some(kind @ (':' | '=' | '.')) = self.peek(0)
            {
                let name = self.named(kind)?;
                if kind == ':' {
                    class.push_str(&format!("[:{name}:]"));
                    continue;
                }
                class.push_str(&regex::escape(&name));
                continue;
            }
            push_class_letter(current, &mut class);
            if self.peek(0) == Some('-') && self.peek(1).is_some_and(|end| end != ']') {
                self.at += 1;
                class.push('-');
                if let Some(end) = self.next() {
                    push_class_letter(end, &mut class);
                }
            }
        }
        class.push(']');
        self.atom(&class);
        Ok(())
    }

    /// `[:name:]`, `[=x=]` or `[.x.]`, after the first bracket.
    fn named(&mut self, kind: char) -> Result<String, PatternError> {
        self.at += 1;
        let mut name = String::new();
        while let Some(current) = self.next() {
            if current == kind && self.peek(0) == Some(']') {
                self.at += 1;
                return Ok(name);
            }
            name.push(current);
        }
        Err(error("a bracket expression is not closed"))
    }
}

fn push_class_letter(letter: char, class: &mut String) {
    if letter.is_ascii() && !letter.is_ascii_alphanumeric() && !letter.is_ascii_control() && letter != ' ' {
        class.push('\\');
    }
    class.push(letter);
}

fn is_interval(inside: &str) -> bool {
    let number = |text: &str| text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    match inside.split_once(',') {
        Some((from, to)) => number(from) && number(to) && !(from.is_empty() && to.is_empty()),
        None => !inside.is_empty() && number(inside),
    }
}

fn error(cause: &str) -> PatternError {
    PatternError { cause: cause.to_owned() }
}

/// The engine's errors draw the pattern; the last line says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or(text).trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: POSIX syntax means what `regex(7)` says, where it differs from the engine's own.
    #[test]
    fn posix_meaning() {
        let basic = |pattern: &str, text: &str, expected: bool| {
            let compiled = Pattern::basic(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.is_match(text.as_bytes()), expected, "basic {pattern} on {text}");
        };
        basic("a+b", "a+b", true);
        basic("a+b", "aab", false);
        basic("a\\+b", "aab", true);
        basic("^\\(ab\\)*$", "abab", true);
        basic("^\\(ab\\)*$", "aba", false);
        basic("a\\{2,3\\}", "caab", true);
        basic("a\\{3\\}", "caab", false);
        basic("(x)", "(x)", true);
        basic("*x", "*x", true);
        basic("a^b$c", "a^b$c", true);
        basic("x\\|y", "y", true);
        basic("[\\d]", "d", true);
        basic("[\\d]", "\\", true);
        basic("[]a]", "]", true);
        basic("[^]a]", "]", false);
        basic("[[:digit:]-]", "-", true);
        basic("[a&&b]", "&", true);
        basic("a.b", "a\nb", true);
        let extended = |pattern: &str, text: &str, expected: bool| {
            let compiled = Pattern::extended(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(compiled.is_match(text.as_bytes()), expected, "extended {pattern} on {text}");
        };
        extended("^(a+)?$", "", true);
        extended("^a+?$", "", true);
        extended("^a+?$", "aa", true);
        extended("a{2}", "caab", true);
        extended("a{x}", "a{x}", true);
        extended("^(err|warn)(ing)?:", "warning: x", true);
        extended("\\<word\\>", "a word b", true);
        extended("\\<word\\>", "swords", false);
        extended("a)", "a)", true);
        extended("gr\u{fc}n", "gr\u{fc}n", true);
    }

    /// Goal: what cannot be compiled is told, and nothing that is thrown at the translation panics.
    #[test]
    fn mistakes_and_noise() {
        for (pattern, cause) in [
            ("(a", "a group is not closed"),
            ("[a", "a bracket expression is not closed"),
            ("a\\", "a backslash at the end escapes nothing"),
            ("(a)\\1", "back references are not supported: their search time has no bound"),
        ] {
            assert_eq!(
                Pattern::extended(pattern).map(|_| ()).map_err(|error| error.cause),
                Err(cause.to_owned())
            );
        }
        assert!(Pattern::extended_ignoring_case("ERROR").is_ok_and(|pattern| pattern.is_match(b"an error")));
        let letters: Vec<char> = "a\\()[]{}*+?.^$|:=-,1\u{e9}".chars().collect();
        let mut state = 1u64;
        for _ in 0..4_000 {
            let text: String = (0..8)
                .map(|_| {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    letters[(state >> 33) as usize % letters.len()]
                })
                .collect();
            let _ = Pattern::basic(&text);
            let _ = Pattern::extended(&text);
        }
    }

    /// Goal: the place of a numbered match and of a group in it.
    #[test]
    fn places() {
        let pattern = Pattern::extended("([a-z]+)=([0-9]+)").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(pattern.find(b"a=1 bc=22", 0, 0), Some(0..3));
        assert_eq!(pattern.find(b"a=1 bc=22", 1, 2), Some(7..9));
        assert_eq!(pattern.find(b"a=1 bc=22", 2, 0), None);
        assert_eq!(pattern.find(b"a=1", 0, 9), None);
    }
}
