//! Where a configuration says something, for what goes wrong with it when the texts are no longer at hand.

use chrony_conf::lines;
use conf_text::Sources;

/// Directives that name what is opened when the daemon starts or runs.
const DIRECTIVES: &[&str] = &[
    "refclock",
    "pidfile",
    "bindcmdaddress",
    "logdir",
    "dumpdir",
    "driftfile",
    "keyfile",
    "ntsservercert",
    "ntsserverkey",
    "ntstrustedcerts",
    "tempcomp",
    "user",
];

/// The places of some directives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places(Vec<Place>);

#[derive(Debug, Clone)]
struct Place {
    name: String,
    words: Vec<String>,
    /// `FILE:LINE`.
    at: String,
}

impl Places {
    /// Of what was read.
    pub(super) fn new(texts: &Sources) -> Self {
        let place = |line: chrony_conf::Line| Place {
            at: format!("{}:{}", texts.path(line.span.source).display(), texts.position(line.span).0),
            name: line.name,
            words: line.words,
        };
        Self(lines(texts, DIRECTIVES).into_iter().map(place).collect())
    }

    /// ` (FILE:LINE)`, to stand behind what is wrong with `word` of a directive; nothing where that is a default.
    pub(crate) fn of(&self, name: &str, word: &str) -> String {
        let is_it = |place: &&Place| {
            // A device may have options behind it.
            let has = |one: &String| {
                one.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            };
            place.name == name && place.words.iter().any(has)
        };
        self.0.iter().rev().find(is_it).map_or_else(String::new, |place| format!(" ({})", place.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a directive is found by what it names, with or without options behind it; the last one counts, and a default has no place.
    #[test]
    fn a_place_is_found_by_what_it_names() {
        let mut texts = Sources::new();
        texts.add("/a", "refclock PPS /dev/pps0:clear\npidfile /p\n\nPidFile /p\n");
        let places = Places::new(&texts);
        assert_eq!(places.of("refclock", "/dev/pps0"), " (/a:1)");
        assert_eq!(places.of("pidfile", "/p"), " (/a:4)");
        assert_eq!(places.of("refclock", "/dev/pps"), "");
        assert_eq!(places.of("logdir", "/p"), "");
    }
}
