//! Lines of a configuration by their directive, for whoever wants to say something of a place that only a daemon can know: that a
//! file is not there, or that nobody has this name.

use crate::words::split;
use conf_text::{Sources, Span};

/// A line as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its directive, in small letters.
    pub name: String,
    /// The words behind it.
    pub words: Vec<String>,
    /// All of it, without the white space around.
    pub span: Span,
}

impl Line {
    /// The word behind another one, in any case of letters: the value of an option.
    pub fn value(&self, option: &str) -> Option<&str> {
        let place = self.words.iter().position(|word| word.eq_ignore_ascii_case(option))?;
        self.words.get(place + 1).map(String::as_str)
    }
}

/// The lines of these directives in all texts that were read, in their order; comments are none.
pub fn lines(texts: &Sources, names: &[&str]) -> Vec<Line> {
    let mut found = Vec::new();
    for id in texts.ids() {
        for (span, line) in texts.lines(id) {
            let words = split(line, span);
            let (Some(first), Some(last)) = (words.first(), words.last()) else { continue };
            let name = first.text.to_ascii_lowercase();
            if names.contains(&name.as_str()) {
                let span = first.span.to(last.span);
                let words = words.iter().skip(1).map(|word| word.text.to_owned()).collect();
                found.push(Line { name, words, span });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a line is found in every text, with its place and the values of its options; comments and other lines are not.
    #[test]
    fn lines_are_found_by_their_directive() {
        let mut texts = Sources::new();
        texts.add("/a", "port 1\n# server x\n  Server a KEY 7 iburst\n");
        texts.add("/b", "server b key\n");
        let found = lines(&texts, &["server", "keyfile"]);
        let told: Vec<_> = found
            .iter()
            .map(|line| (line.words[0].as_str(), line.value("key"), texts.position(line.span)))
            .collect();
        assert_eq!(told, [("a", Some("7"), (3, 3)), ("b", None, (1, 1))]);
        assert!(found.iter().all(|line| line.name == "server"));
    }
}
