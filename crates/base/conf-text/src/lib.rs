//! Configuration text: sources with spans, diagnostics with a caret and a help line, "did you mean", and the loading of
//! included files.
//!
//! For: every crate that reads a configuration language. A parser takes text from [`Sources`], says what is wrong into
//! [`Diagnostics`] and goes on, so that all mistakes are reported and not only the first one.
//!
//! Always: a [`Span`] points at bytes of a source that stands in the [`Sources`] it was made from; rendering never panics,
//! whatever the text holds.
//!
//! Never: it knows no configuration language; it reads a file only through a [`Loader`], so that parsers stay without I/O.
#![forbid(unsafe_code)]

mod diagnostic;
mod loader;
mod nearest;

pub use diagnostic::{Diagnostic, Diagnostics, Level};
pub use loader::{FileLoader, Loader, MemoryLoader, SOURCE_BYTES_MAX};
pub use nearest::nearest;

use std::path::{Path, PathBuf};

/// The texts of one configuration: the main file and all that it includes.
#[derive(Debug, Default)]
pub struct Sources {
    list: Vec<Source>,
    full: bool,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    text: String,
}

/// Names one text of a [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A range of bytes of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

/// The most texts of one configuration: more than any real one has, and few enough that files which include each other, each
/// several times, end in an error and not in an hour of reading.
pub const SOURCES_MAX: usize = 1000;

impl Sources {
    /// No text yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text under the path that diagnostics shall show (for words of a command line: any name in `<>`).
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> SourceId {
        let id = SourceId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(Source { path: path.into(), text: text.into() });
        id
    }

    /// Loads a file and adds it. When it cannot be read, that becomes an error at `from` (the include that asked for it, if
    /// one did).
    pub fn load(
        &mut self,
        loader: &mut dyn Loader,
        path: &Path,
        from: Option<Span>,
        diagnostics: &mut Diagnostics,
    ) -> Option<SourceId> {
        if self.list.len() >= SOURCES_MAX {
            // Said once: what follows would only be more of the same.
            if !std::mem::replace(&mut self.full, true) {
                let mut report = Diagnostic::error(format!("more than {SOURCES_MAX} files are included"));
                if let Some(span) = from {
                    report = report.at(span, "this one and all after it are not read");
                }
                diagnostics.push(report.help(format!("look whether {} includes itself", path.display())));
            }
            return None;
        }
        match loader.read(path) {
            Ok(text) => Some(self.add(path, text)),
            Err(error) => {
                let mut report = Diagnostic::error(format!("cannot read {}: {error}", path.display()));
                if let Some(span) = from {
                    report = report.at(span, "asked for here");
                }
                report = report.help(match error.kind() {
                    std::io::ErrorKind::NotFound => {
                        // An empty file would be taken, and the configuration would be another than was meant.
                        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                        format!(
                            "correct the name; the files beside it: ls {}",
                            folder.unwrap_or(Path::new(".")).display()
                        )
                    }
                    std::io::ErrorKind::PermissionDenied => {
                        format!("look who may read it: ls -l {}", path.display())
                    }
                    _ => format!("look at it: file {}", path.display()),
                });
                diagnostics.push(report);
                None
            }
        }
    }

    /// Every source, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..u32::try_from(self.list.len()).unwrap_or(u32::MAX)).map(SourceId)
    }

    /// The text of a source.
    pub fn text(&self, id: SourceId) -> &str {
        self.list.get(id.0 as usize).map_or("", |source| &source.text)
    }

    /// The path of a source.
    pub fn path(&self, id: SourceId) -> &Path {
        self.list.get(id.0 as usize).map_or(Path::new(""), |source| &source.path)
    }

    /// The text that a span covers; empty when the span is none of ours.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.source).get(span.start..span.end).unwrap_or("")
    }

    /// Line and column of a span's start, both counted from 1, the column in characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let text = self.text(span.source);
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The lines of a source with the span of each, without line ends; the last line may be empty.
    pub fn lines(&self, id: SourceId) -> impl Iterator<Item = (Span, &str)> {
        let mut start = 0;
        self.text(id).split_inclusive('\n').map(move |line| {
            let bare = line.strip_suffix('\n').unwrap_or(line);
            let bare = bare.strip_suffix('\r').unwrap_or(bare);
            let span = Span { source: id, start, end: start + bare.len() };
            start += line.len();
            (span, bare)
        })
    }
}

impl Span {
    /// The part of this span from byte `start` to byte `end`, both counted from its own start.
    pub fn part(self, start: usize, end: usize) -> Span {
        Span { source: self.source, start: self.start + start, end: (self.start + end).min(self.end) }
    }

    /// From the start of this span to the end of `other`, in the same source.
    pub fn to(self, other: Span) -> Span {
        Span { source: self.source, start: self.start, end: other.end.max(self.start) }
    }
}
