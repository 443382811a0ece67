//! What is different between two configurations, and where it is written.

use crate::directive::{DIRECTIVES, rule_arguments};
use crate::settings::Settings;
use conf_text::Sources;

/// The directives of sources: what a running daemon takes up by itself.
const OF_SOURCES: &[&str] = &["server", "pool", "peer", "sourcedir"];

/// A line that is not in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The line, with its directive; as [`Settings::render`] shows it.
    pub line: String,
    /// Where it is written; none where it is, or was, a default or is gone.
    pub place: Option<String>,
    /// It is in the new configuration; else only in the old one.
    pub is_new: bool,
}

impl Settings {
    /// What is different in `new`, apart from its sources. A directive that is set to another value is one change, not two.
    pub fn changes(&self, new: &Self, texts: &Sources) -> Vec<Change> {
        let mut found = Vec::new();
        for directive in DIRECTIVES.iter().filter(|directive| !OF_SOURCES.contains(&directive.name)) {
            compare(directive.name, &directive.arguments(self), &directive.arguments(new), texts, &mut found);
        }
        for (of, allow, deny) in [
            ((&self.ntp_access, &new.ntp_access), "allow", "deny"),
            ((&self.command_access, &new.command_access), "cmdallow", "cmddeny"),
        ] {
            for (name, allows) in [(allow, true), (deny, false)] {
                let lines = |rules: &[crate::AccessRule]| -> Vec<String> {
                    rules.iter().filter(|rule| rule.allow == allows).map(rule_arguments).collect()
                };
                compare(name, &lines(of.0), &lines(of.1), texts, &mut found);
            }
        }
        found
    }
}

fn compare(name: &str, before: &[String], after: &[String], texts: &Sources, found: &mut Vec<Change>) {
    let shown = |arguments: &String| format!("{name} {arguments}").trim_end().to_owned();
    let fresh: Vec<&String> = after.iter().filter(|line| !before.contains(line)).collect();
    let places = places(name, texts);
    for line in &fresh {
        // The words of the file need not be those that are shown: the last line of the directive counts where none is the same.
        let same = places.iter().find(|(words, _)| words == *line);
        let place = same.or(places.last()).map(|(_, place)| place.clone());
        found.push(Change { line: shown(line), place, is_new: true });
    }
    if fresh.is_empty() {
        let gone = before.iter().filter(|line| !after.contains(line));
        found.extend(gone.map(|line| Change { line: shown(line), place: None, is_new: false }));
        // The same lines in another order.
        if before != after && before.len() == after.len() {
            let place = places.first().map(|(_, place)| place.clone());
            found.push(Change { line: name.to_owned(), place, is_new: true });
        }
    }
}

/// The lines of a directive: its words, and where it stands.
fn places(name: &str, texts: &Sources) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for id in texts.ids() {
        for (span, line) in texts.lines(id) {
            let mut words = line.split_ascii_whitespace();
            if words.next().is_some_and(|first| first.eq_ignore_ascii_case(name)) {
                let place = format!("{}:{}", texts.path(id).display(), texts.position(span).0);
                found.push((words.collect::<Vec<_>>().join(" "), place));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf_text::{Diagnostics, MemoryLoader};
    use std::path::Path;

    fn load(text: &str) -> (Settings, Sources) {
        let mut settings = Settings::new(&layout::Layout::system());
        let (mut texts, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let mut loader = MemoryLoader::new([("/c", text)]);
        crate::load(Path::new("/c"), &mut settings, &mut loader, &mut texts, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{}", diagnostics.render(&texts, false));
        (settings, texts)
    }

    /// Goal: each directive that is different is named with its place, what is gone too; sources and what is the same are not.
    #[test]
    fn what_is_different_is_named() {
        let check = |before: &str, after: &str, expected: &[(&str, Option<&str>, bool)]| {
            let (old, _) = load(before);
            let (new, texts) = load(after);
            let found = old.changes(&new, &texts);
            let found: Vec<(&str, Option<&str>, bool)> =
                found.iter().map(|one| (one.line.as_str(), one.place.as_deref(), one.is_new)).collect();
            assert_eq!(found, expected, "{before:?} {after:?}");
        };
        check("port 1\nserver a\n", "# x\nPORT 1\nserver b\nsourcedir /s\n", &[]);
        check("port 1\n", "\nport 2\n", &[("port 2", Some("/c:2"), true)]);
        check("rtcsync\n", "", &[("rtcsync", None, false)]);
        check("", "manual\n", &[("manual", Some("/c:1"), true)]);
        check(
            "allow 10.0.0.0/8\n",
            "allow 10.0.0.0/8\n deny 10.1.0.0/16\n",
            &[("deny 10.1.0.0/16", Some("/c:2"), true)],
        );
        check("allow 10.0.0.0/8\nallow\n", "allow\nallow 10.0.0.0/8\n", &[("allow", Some("/c:1"), true)]);
        check(
            "makestep 1 3\n",
            "port 123\nmakestep 1.0 3\nlogchange 0.5\n",
            &[("logchange 0.5", Some("/c:3"), true)],
        );
        check("port 1\n", "", &[("port 123", None, true)]);
    }
}
