//! The words of one line, taken one by one, with what is said when one is missing or wrong.

use std::path::PathBuf;
use std::str::FromStr;

use conf_text::{Diagnostic, Diagnostics, Span, nearest};

/// A word and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Span,
}

/// The rest of a line. A mistake is reported once: what takes words returns none and its caller gives up the line.
pub(crate) struct Words<'a, 'd> {
    words: std::vec::IntoIter<Word<'a>>,
    pub(crate) directive: Word<'a>,
    /// The last word, behind which one more may be expected.
    end: Span,
    /// How the line, or the option that is being read, should look.
    pub(crate) syntax: &'static str,
    /// A line that is right, to paste.
    pub(crate) example: String,
    pub(crate) diagnostics: &'d mut Diagnostics,
}

/// The words of a line; none for an empty line or a comment, which starts with `!`, `;`, `#` or `%`.
pub(crate) fn split(line: &str, span: Span) -> Vec<Word<'_>> {
    if line.trim_start().starts_with(['!', ';', '#', '%']) {
        return Vec::new();
    }
    let mut words = Vec::new();
    let mut start = None;
    for (at, letter) in line.char_indices().chain([(line.len(), ' ')]) {
        match (letter.is_ascii_whitespace() || letter == '\u{b}', start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                words.push(Word { text: line.get(from..at).unwrap_or(""), span: span.part(from, at) });
                start = None;
            }
            _ => {}
        }
    }
    words
}

impl<'a, 'd> Words<'a, 'd> {
    /// None when there is not even a directive.
    pub(crate) fn new(words: Vec<Word<'a>>, diagnostics: &'d mut Diagnostics) -> Option<Self> {
        let end = words.last()?.span;
        let mut words = words.into_iter();
        let directive = words.next()?;
        Some(Self { words, directive, end, syntax: "", example: String::new(), diagnostics })
    }

    /// The next word, if there is one that is a number: the value of an option that nobody knows.
    pub(crate) fn skip_number(&mut self) {
        if self.words.as_slice().first().is_some_and(|word| word.text.parse::<f64>().is_ok()) {
            self.words.next();
        }
    }

    /// The next word, which stays.
    pub(crate) fn peek(&self) -> Option<Word<'a>> {
        self.words.as_slice().first().copied()
    }

    /// The next word, if there is one.
    pub(crate) fn next(&mut self) -> Option<Word<'a>> {
        self.words.next()
    }

    /// The next word; its lack is reported.
    pub(crate) fn required(&mut self, what: &str) -> Option<Word<'a>> {
        let word = self.words.next();
        if word.is_none() {
            let who = self.syntax.split(' ').next().unwrap_or(self.directive.text);
            let message = format!("{who} lacks {what}");
            self.say(self.end, message, format!("{what} expected after this"));
        }
        word
    }

    /// Reports that a word makes no sense here.
    pub(crate) fn wrong(&mut self, word: Word<'_>, expected: &str) {
        let message = format!("'{}' is not {expected}", word.text);
        self.say(word.span, message, format!("{expected} expected"));
    }

    /// Reports that a word is none of a few that are possible here.
    pub(crate) fn no_choice(&mut self, word: Word<'_>, what: &str, choices: &[&str]) {
        let help = match nearest(&word.text.to_ascii_lowercase(), choices.iter().copied()) {
            Some(similar) => format!("did you mean '{similar}'?"),
            None => format!("one of: {}", choices.join(" ")),
        };
        let message = if word.span == self.directive.span {
            format!("unknown {what} '{}'", word.text)
        } else {
            format!("unknown {what} '{}' of {}", word.text, self.directive.text)
        };
        self.diagnostics.error(word.span, message, format!("not {}", article(what)), help);
    }

    /// Reports that this line and another one exclude each other.
    pub(crate) fn excluded(&mut self, other: &str, why: &str) {
        let name = self.directive.text;
        self.diagnostics.push(
            Diagnostic::error(format!("{name} cannot be used together with {other}"))
                .at(self.directive.span, "one of the two")
                .note(why)
                .help(format!("# {name}")),
        );
    }

    /// Says what the line does not do, and goes on.
    pub(crate) fn warn(&mut self, message: String, label: &str) {
        let span = self.directive.span.to(self.end);
        self.diagnostics.warning(span, message, label, self.example.clone());
    }

    fn say(&mut self, span: Span, message: String, label: String) {
        let mut finding = Diagnostic::error(message).at(span, label);
        if self.example != self.syntax {
            finding = finding.note(format!("its syntax is: {}", self.syntax));
        }
        self.diagnostics.push(finding.help(self.example.clone()));
    }

    /// A number or an address.
    pub(crate) fn parsed<T: FromStr>(&mut self, what: &str) -> Option<T> {
        let word = self.required(what)?;
        let value = word.text.parse().ok();
        if value.is_none() {
            self.wrong(word, what);
        }
        value
    }

    /// An integer within limits.
    pub(crate) fn integer(&mut self, what: &str, min: i64, max: i64) -> Option<i64> {
        let word = self.required(what)?;
        let value = word.text.parse().ok().filter(|value| (min..=max).contains(value));
        if value.is_none() {
            self.wrong(word, &format!("{what} ({min} to {max})"));
        }
        value
    }

    /// A finite number, not negative.
    pub(crate) fn magnitude(&mut self, what: &str) -> Option<f64> {
        let word = self.required(what)?;
        let value = word.text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        if value.is_none() {
            self.wrong(word, &format!("{what} (0 or more)"));
        }
        value
    }

    /// A finite number of any sign.
    pub(crate) fn number(&mut self, what: &str) -> Option<f64> {
        let word = self.required(what)?;
        let value = word.text.parse::<f64>().ok().filter(|value| value.is_finite());
        if value.is_none() {
            self.wrong(word, what);
        }
        value
    }

    /// A path.
    pub(crate) fn path(&mut self, what: &str) -> Option<PathBuf> {
        self.required(what).map(|word| PathBuf::from(word.text))
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Option<()> {
        match self.words.next() {
            None => Some(()),
            Some(word) => {
                let message = format!("{} has a word too many", self.directive.text);
                self.say(word.span, message, "not expected here".to_owned());
                None
            }
        }
    }
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}
