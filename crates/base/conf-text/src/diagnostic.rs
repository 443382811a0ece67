//! What is wrong with a configuration, told to a person.

use annotate_snippets::{AnnotationKind, Group, Renderer, Snippet};

use crate::{SourceId, Sources, Span};

/// How bad a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The configuration is used, but perhaps not as its author thinks.
    Warning,
    /// The configuration is not used.
    Error,
}

/// One finding: what is wrong, where, why, and what to type instead.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Error or warning.
    pub level: Level,
    /// What is wrong, in one line.
    pub message: String,
    /// Where it stands, with a few words beside the caret.
    pub place: Option<(Span, String)>,
    /// Why it is wrong, or what else there is to know.
    pub notes: Vec<String>,
    /// A line that can be pasted, or what to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self { level: Level::Error, message: message.into(), place: None, notes: Vec::new(), help: None }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(message) }
    }

    /// Says where, with a few words that stand beside the caret (may be empty).
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.place = Some((span, label.into()));
        self
    }

    /// Adds a cause.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to type or do instead.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All findings about one configuration.
#[derive(Debug, Default, Clone)]
pub struct Diagnostics {
    /// The findings in the order in which they were made.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.list.push(diagnostic);
    }

    /// Adds an error at a place.
    pub fn error(
        &mut self,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(message).at(span, label).help(help));
    }

    /// Adds a warning at a place.
    pub fn warning(
        &mut self,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::warning(message).at(span, label).help(help));
    }

    /// Whether the configuration must not be used.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// How many errors there are.
    pub fn error_count(&self) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.level == Level::Error).count()
    }

    /// How many warnings there are.
    pub fn warning_count(&self) -> usize {
        self.list.len() - self.error_count()
    }

    /// Everything as text: file, line, caret, cause and help; each finding followed by an empty line. Colours only when
    /// `styled` (a terminal, and no `NO_COLOR`).
    pub fn render(&self, sources: &Sources, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let mut lines = LineCount::default();
        self.list
            .iter()
            .map(|diagnostic| format!("{}\n\n", renderer.render(&[group(diagnostic, sources, &mut lines)])))
            .collect()
    }

    /// Prints everything to standard error, in colours when that is a terminal and `NO_COLOR` is not set.
    pub fn print(&self, sources: &Sources) {
        use std::io::IsTerminal;
        let styled = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        eprint!("{}", self.render(sources, styled));
    }
}

/// Counts lines from where it was asked last: thousands of findings in one text are told in one pass over it.
#[derive(Default)]
struct LineCount {
    source: Option<SourceId>,
    /// The start of a line, and how many are before it.
    start: usize,
    before: usize,
}

impl LineCount {
    /// How many lines are before the one that begins at `start`.
    fn before(&mut self, source: SourceId, text: &str, start: usize) -> usize {
        if self.source != Some(source) || start < self.start {
            *self = Self { source: Some(source), start: 0, before: 0 };
        }
        let between = text.get(self.start..start).unwrap_or_default();
        self.before += between.bytes().filter(|byte| *byte == b'\n').count();
        self.start = start;
        self.before
    }
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources, lines: &mut LineCount) -> Group<'a> {
    let level = match diagnostic.level {
        Level::Error => annotate_snippets::Level::ERROR,
        Level::Warning => annotate_snippets::Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(diagnostic.message.as_str()));
    if let Some((span, label)) = &diagnostic.place {
        let text = sources.text(span.source);
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        // A caret needs something to stand under; at the end of a text that is the last character.
        if start == end {
            end = text[start..].chars().next().map_or(end, |letter| start + letter.len_utf8());
        }
        // Only the lines that it is about: whoever draws them looks through all that it is given.
        let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let last = text[end..].find('\n').map_or(text.len(), |at| end + at);
        let before = lines.before(span.source, text, first);
        let mut annotation = AnnotationKind::Primary.span(start - first..end - first);
        if !label.is_empty() {
            annotation = annotation.label(label.as_str());
        }
        let path = sources.path(span.source).to_string_lossy();
        let snippet = Snippet::source(&text[first..last]).line_start(before + 1).path(path);
        group = group.element(snippet.annotation(annotation));
    }
    for note in &diagnostic.notes {
        group = group.element(annotate_snippets::Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(annotate_snippets::Level::HELP.message(help.as_str()));
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a finding shows file, line, caret, cause and help.
    #[test]
    fn a_finding_shows_all_that_a_person_needs() {
        let mut sources = Sources::new();
        let id = sources.add("/etc/chrony/chrony.conf", "pool a\nsevrer b\n");
        let (line, _) = sources.lines(id).nth(1).unwrap();
        let mut diagnostics = Diagnostics::new();
        diagnostics.error(
            line.part(0, 6),
            "unknown directive `sevrer`",
            "not known",
            "did you mean `server b`?",
        );
        let text = diagnostics.render(&sources, false);
        for part in [
            "error: unknown directive `sevrer`",
            "/etc/chrony/chrony.conf:2:1",
            "sevrer b",
            "^^^^^^",
            "help: did you",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
    }

    /// Goal: each finding names its own line, in whatever order they come and however many texts there are.
    #[test]
    fn lines_are_counted_in_any_order() {
        let mut sources = Sources::new();
        let ids = [sources.add("a", "one\ntwo\nthree\n"), sources.add("b", "four\nfive")];
        let mut diagnostics = Diagnostics::new();
        let order = [(0, 2), (0, 0), (1, 1), (0, 1), (1, 0), (1, 1)];
        for (source, number) in order {
            let (line, _) = sources.lines(ids[source]).nth(number).unwrap();
            diagnostics.error(line.part(0, 3), "m", "l", "h");
        }
        let text = diagnostics.render(&sources, false);
        let told: Vec<&str> = text.lines().filter_map(|line| line.split("--> ").nth(1)).collect();
        assert_eq!(told, ["a:3:1", "a:1:1", "b:2:1", "a:2:1", "b:1:1", "b:2:1"], "{text}");
        assert!(text.contains("3 | three\n"), "{text}");
    }

    /// Goal: no span makes rendering panic. Method: spans in the middle of letters, past the end, and backwards.
    #[test]
    fn no_span_panics() {
        let mut sources = Sources::new();
        for text in ["", "日本\n", "a\r\nb", "\0\u{1b}[31m"] {
            let id = sources.add("x", text);
            for start in 0..8 {
                for end in 0..8 {
                    let mut diagnostics = Diagnostics::new();
                    diagnostics.error(Span { source: id, start, end }, "m", "l", "h");
                    assert!(!diagnostics.render(&sources, true).is_empty());
                }
            }
        }
    }
}
