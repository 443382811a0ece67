//! From files to settings.

use std::path::{Path, PathBuf};

use conf_text::{Diagnostic, Diagnostics, Loader, SourceId, Sources, Span, nearest};

use crate::directive::{DIRECTIVES, Does};
use crate::known::{NOT_ACTED_ON, OBSOLETE};
use crate::settings::Settings;
use crate::source::{self, Source, SourceKind};
use crate::words::{Word, Words, split};

/// Files that include files that include ...: so deep and no deeper, as chrony. It ends a file that includes itself.
pub const INCLUDE_DEPTH_MAX: usize = 10;

/// Longer lines are an error, as for chrony.
pub const LINE_BYTES_MAX: usize = 2048;

/// Folders of one `confdir` or `sourcedir`, as for chrony.
const FOLDERS_MAX: usize = 10;

/// What is wrong with one line of settings, rendered with carets, for a command that takes the words of a directive; none
/// where nothing is.
pub fn directive_mistakes(line: &str) -> Option<String> {
    let mut sources = Sources::new();
    let span = Span { source: sources.add("<command>", line), start: 0, end: line.len() };
    let mut diagnostics = Diagnostics::new();
    let mut words = Words::new(split(line, span), &mut diagnostics)?;
    let directive =
        DIRECTIVES.iter().find(|directive| directive.name.eq_ignore_ascii_case(words.directive.text))?;
    let Does::Set { parse, .. } = directive.does else { return None };
    (words.syntax, words.example) = (directive.syntax, directive.example.to_owned());
    match parse(&mut words, &mut Settings::new(&layout::Layout::house("/"))) {
        Some(()) => None,
        None => Some(diagnostics.render(&sources, false)),
    }
}

/// Reads a file and all that it includes into `settings`. Whether the result may be used, the diagnostics say.
pub fn load(
    path: &Path,
    settings: &mut Settings,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) {
    let mut reader = Reader { settings, loader, sources, diagnostics, seen: Seen::default() };
    reader.file(path, None, 1);
    reader.seen.check(settings, diagnostics);
}

/// Reads a text that is already among the sources, as the daemon's command line gives directives.
pub fn read(
    id: SourceId,
    settings: &mut Settings,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) {
    let mut reader = Reader { settings, loader, sources, diagnostics, seen: Seen::default() };
    reader.text(id, 1);
    reader.seen.check(settings, diagnostics);
}

/// Reads the `*.sources` files of every `sourcedir`. They hold only `server`, `pool` and `peer`; a line that is wrong is
/// reported and left out, the others count (chrony does the same, without a word).
pub fn load_source_dirs(
    settings: &Settings,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Vec<Source> {
    let mut found = Vec::new();
    for folders in &settings.source_dirs {
        for path in files_of(folders, "*.sources", loader) {
            let mut unread = Diagnostics::new();
            let id = sources.load(loader, &path, None, &mut unread);
            warn(unread, diagnostics);
            let Some(id) = id else { continue };
            let lines: Vec<(Span, String)> =
                sources.lines(id).map(|(span, line)| (span, line.to_owned())).collect();
            for (span, line) in &lines {
                let mut own = Diagnostics::new();
                let Some(mut words) = Words::new(split(line, *span), &mut own) else { continue };
                words.syntax = "server NAME [OPTION]...";
                words.example = "server ntp.example.net iburst".to_owned();
                let kinds =
                    [("server", SourceKind::Server), ("pool", SourceKind::Pool), ("peer", SourceKind::Peer)];
                match kinds.iter().find(|(name, _)| name.eq_ignore_ascii_case(words.directive.text)) {
                    Some((_, kind)) => {
                        let source = source::parse(&mut words, *kind, true);
                        let key = source.as_ref().and_then(|source| source.options.key);
                        found.extend(source);
                        if let Some(key) = key.filter(|_| settings.key_file.is_none()) {
                            without_key_file(*span, key, &mut own);
                        }
                    }
                    None => {
                        let word = words.directive;
                        words.no_choice(word, "kind of source", &["server", "pool", "peer"]);
                    }
                }
                warn(own, diagnostics);
            }
        }
    }
    found
}

/// A daemon does not end because of a folder that others write to.
fn warn(of_folder: Diagnostics, diagnostics: &mut Diagnostics) {
    for mut finding in of_folder.list {
        finding.level = conf_text::Level::Warning;
        diagnostics.push(finding);
    }
}

struct Reader<'a> {
    settings: &'a mut Settings,
    loader: &'a mut dyn Loader,
    sources: &'a mut Sources,
    diagnostics: &'a mut Diagnostics,
    seen: Seen,
}

/// Lines that say something only together with others, which may stand after them or in another file.
#[derive(Debug, Default)]
struct Seen {
    /// `ntsservercert` and `ntsserverkey`, wrong ones too: what is wrong in them was told already.
    certificates: Vec<Span>,
    private_keys: Vec<Span>,
    /// The first source with `key`.
    keyed: Option<(Span, u32)>,
    /// Sources that are to be corrected by what PTP's clocks say, and their ports.
    corrected: Vec<(Span, u16)>,
}

impl Seen {
    /// A line was read.
    fn line(&mut self, name: &str, whole: Span, source: Option<&Source>) {
        if let Some(source) = source.filter(|source| source.options.wants_corrections()) {
            self.corrected.push((whole, source.options.port));
        }
        let key = source.and_then(|source| source.options.key);
        match name {
            "ntsservercert" => self.certificates.push(whole),
            "ntsserverkey" => self.private_keys.push(whole),
            _ => self.keyed = self.keyed.or(key.map(|key| (whole, key))),
        }
    }

    /// All lines were read.
    fn check(self, settings: &Settings, diagnostics: &mut Diagnostics) {
        let (certificates, keys) = (&self.certificates, &self.private_keys);
        let alone = match certificates.len() > keys.len() {
            true => certificates.get(keys.len()).map(|span| (span, "ntsservercert", "ntsserverkey")),
            false => keys.get(certificates.len()).map(|span| (span, "ntsserverkey", "ntsservercert")),
        };
        if let Some((span, this, other)) = alone {
            diagnostics.push(
                Diagnostic::error(format!("{this} has no {other}"))
                    .at(*span, format!("its {other} is missing"))
                    .note(format!(
                        "each ntsservercert has its ntsserverkey, in the same order; here are {} and {}",
                        certificates.len(),
                        keys.len()
                    ))
                    .help(format!("{other} FILE")),
            );
        }
        if let Some((span, key)) = self.keyed.filter(|_| settings.key_file.is_none()) {
            without_key_file(span, key, diagnostics);
        }
        let ptp = settings.ptp_port;
        // Once: the cause is the same for all of them.
        let wrong: Vec<(Span, u16)> =
            self.corrected.into_iter().filter(|(_, port)| ptp == 0 || *port != ptp).collect();
        if let Some((span, port)) = wrong.first().copied() {
            {
                let cause = match ptp {
                    0 => "there is no ptpport".to_owned(),
                    _ => format!("the source is asked at port {port}, not at ptpport {ptp}"),
                };
                let help = if ptp == 0 { format!("ptpport {port}") } else { format!("port {ptp}") };
                let mut finding =
                    Diagnostic::warning(format!("extfield 10A has no effect outside of PTP: {cause}"))
                        .at(span, "measured without it");
                if wrong.len() > 1 {
                    finding = finding.note(format!("other lines of the same kind: {}", wrong.len() - 1));
                }
                diagnostics.push(finding.help(help));
            }
        }
    }
}

/// A source's key is in no file.
fn without_key_file(span: Span, key: u32, diagnostics: &mut Diagnostics) {
    diagnostics.warning(
        span,
        format!("key {key} is in no file: there is no keyfile directive"),
        "not asked",
        "keyfile /etc/chrony/chrony.keys",
    );
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, from: Option<Span>, depth: usize) {
        if let Some(id) = self.sources.load(self.loader, path, from, self.diagnostics) {
            self.text(id, depth);
        }
    }

    fn text(&mut self, id: SourceId, depth: usize) {
        let lines: Vec<(Span, String)> =
            self.sources.lines(id).map(|(span, line)| (span, line.to_owned())).collect();
        for (span, line) in &lines {
            if line.len() >= LINE_BYTES_MAX {
                let message = format!("a line of {} bytes", line.len());
                let help = "write one directive a line";
                self.diagnostics.error(
                    span.part(0, 20),
                    message,
                    format!("at most {LINE_BYTES_MAX} are read"),
                    help,
                );
                continue;
            }
            self.line(split(line, *span), depth);
        }
    }

    fn line(&mut self, words: Vec<Word<'_>>, depth: usize) {
        let text = words.iter().map(|word| word.text).collect::<Vec<_>>().join(" ");
        let whole = match (words.first(), words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => return,
        };
        let comment = words.iter().skip(1).find(|word| word.text.starts_with('#')).copied();
        let Some(mut words) = Words::new(words, self.diagnostics) else { return };
        let name = words.directive.text.to_ascii_lowercase();
        let Some(directive) = DIRECTIVES.iter().find(|directive| directive.name == name) else {
            unknown(words.directive, &name, words.diagnostics);
            return;
        };
        words.syntax = directive.syntax;
        words.example = directive.example.to_owned();
        match directive.does {
            Does::Set { parse, .. } => {
                // What went wrong is among the diagnostics; the line has no effect then.
                let before = words.diagnostics.list.len();
                let sources_before = self.settings.sources.len();
                let is_taken = parse(&mut words, self.settings).is_some();
                let added = self.settings.sources.get(sources_before..).and_then(<[Source]>::first);
                self.seen.line(&name, whole, added);
                if is_taken {
                    not_acted_on(words.directive, &name, &text, words.diagnostics);
                }
                let errs = |one: &Diagnostic| one.level == conf_text::Level::Error;
                if let Some(comment) = comment
                    && words.diagnostics.list.iter().skip(before).any(errs)
                {
                    words.diagnostics.list.truncate(before);
                    let (line, behind) = text.split_once(comment.text).unwrap_or((&text, ""));
                    words.diagnostics.error(
                        comment.span,
                        "a comment behind a directive",
                        "a comment needs a line of its own",
                        format!("{}{behind}\n{}", comment.text, line.trim_end()),
                    );
                }
            }
            Does::Include => {
                if let Some(pattern) = words.path("a file or a pattern")
                    && words.end().is_some()
                {
                    self.include(&pattern, whole, depth);
                }
            }
            Does::ConfDir => {
                let Some(first) = words.path("a folder") else { return };
                let mut folders = vec![first];
                while let Some(word) = words.next() {
                    folders.push(PathBuf::from(word.text));
                }
                if folders.len() > FOLDERS_MAX {
                    let message = format!("confdir has {} folders", folders.len());
                    self.diagnostics.error(
                        whole,
                        message,
                        format!("at most {FOLDERS_MAX}"),
                        "write two confdir lines",
                    );
                    return;
                }
                for path in files_of(&folders, "*.conf", self.loader) {
                    self.nested(&path, whole, depth);
                }
            }
        }
    }

    fn include(&mut self, pattern: &Path, span: Span, depth: usize) {
        // A name without a wildcard must exist; a pattern may match nothing.
        if !pattern.to_string_lossy().contains(['*', '?', '[']) {
            return self.nested(pattern, span, depth);
        }
        match self.loader.glob(pattern) {
            Ok(paths) => {
                for path in paths {
                    self.nested(&path, span, depth);
                }
            }
            Err(error) => {
                let message = format!("cannot look for {}: {error}", pattern.display());
                let folder = pattern.parent().unwrap_or(Path::new("."));
                self.diagnostics.error(
                    span,
                    message,
                    "asked for here",
                    format!("ls -ld {}", folder.display()),
                );
            }
        }
    }

    fn nested(&mut self, path: &Path, span: Span, depth: usize) {
        if depth >= INCLUDE_DEPTH_MAX {
            let message = format!("files include each other {INCLUDE_DEPTH_MAX} deep");
            let help = format!("look whether {} includes itself", path.display());
            self.diagnostics.error(span, message, "not read", help);
            return;
        }
        self.file(path, Some(span), depth + 1);
    }
}

/// The files of a pattern in folders, in the order of their names; of files with one name, the first folder's.
fn files_of(folders: &[PathBuf], pattern: &str, loader: &mut dyn Loader) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders {
        // A folder that is missing or cannot be read has no files, as for chrony.
        for path in loader.glob(&folder.join(pattern)).unwrap_or_default() {
            if !files.iter().any(|known| known.file_name() == path.file_name()) {
                files.push(path);
            }
        }
    }
    files.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    files
}

/// Says by name what was read and has no effect yet.
fn not_acted_on(word: Word<'_>, name: &str, line: &str, diagnostics: &mut Diagnostics) {
    if let Some((_, instead)) = NOT_ACTED_ON.iter().find(|(known, _)| *known == name) {
        diagnostics.push(
            Diagnostic::warning(format!("directive '{name}' is known and has no effect here"))
                .at(word.span, "left out")
                .note(*instead)
                .help(format!("# {line}")),
        );
    }
}

fn unknown(word: Word<'_>, name: &str, diagnostics: &mut Diagnostics) {
    if OBSOLETE.contains(&name) {
        diagnostics.warning(
            word.span,
            format!("directive '{name}' is obsolete"),
            "left out",
            "remove the line",
        );
        return;
    }
    let help = match nearest(name, DIRECTIVES.iter().map(|directive| directive.name)) {
        Some(similar) => format!("did you mean '{similar}'?"),
        None => "the directives are listed in chrony.conf(5)".to_owned(),
    };
    diagnostics.error(word.span, format!("unknown directive '{}'", word.text), "not a directive", help);
}
