//! Reading `main.cf` and the alias files.

use std::path::Path;
use std::time::SystemTime;

use conf_text::{Diagnostic, Diagnostics, FileLoader, Loader, Sources, Span};
use layout::Layout;
use mail_core::{Aliases, Target};
use postfix_conf::{Host, Loaded, Settings};

/// Reads the configuration.
pub fn load(layout: &Layout) -> Loaded {
    let host = Host { name: sys::host::hostname(), layout: layout.clone() };
    postfix_conf::load(&host, &mut FileLoader)
}

/// The settings, or the mistakes as text.
pub fn settings(layout: &Layout) -> Result<Settings, String> {
    let loaded = load(layout);
    loaded.settings.ok_or_else(|| loaded.diagnostics.render(&loaded.sources, false))
}

/// What is wrong with the alias files as they stand.
pub fn alias_mistakes(settings: &Settings) -> (Sources, Diagnostics) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    for path in &settings.alias_maps {
        let text = match FileLoader.read(path) {
            Ok(text) => text,
            Err(error) => {
                let text = format!("cannot read {}: {error}", path.display());
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                // A host without aliases is no mistake.
                let said = if missing { Diagnostic::warning(text) } else { Diagnostic::error(text) };
                diagnostics.push(said.help(format!("touch {}", path.display())));
                continue;
            }
        };
        let (aliases, problems) = Aliases::parse(&text);
        let missing: Vec<(String, usize)> = missing_includes(&aliases, &text);
        let source = sources.add(path, text);
        for (file, start) in missing {
            let span = Span { source, start, end: start + INCLUDE.len() + file.len() };
            let said =
                Diagnostic::warning(format!("there is no file {file}; mail to this name will wait for it"));
            diagnostics.push(said.at(span, "").help(format!("touch {file}")));
        }
        for problem in problems {
            let span = Span { source, start: problem.span.start, end: problem.span.end };
            let mut diagnostic = Diagnostic::error(problem.message).at(span, "");
            diagnostic.help = problem.help;
            diagnostics.push(diagnostic);
        }
    }
    (sources, diagnostics)
}

/// aliases(5): what stands before the path of a file with more addresses.
const INCLUDE: &str = ":include:";

/// Files that alias lines include and that are not there, each with where it is named.
fn missing_includes(aliases: &Aliases, text: &str) -> Vec<(String, usize)> {
    let targets = aliases.iter().flat_map(|(_, targets)| targets);
    targets
        .filter_map(|target| match target {
            Target::Include(path) => Some(path),
            _ => None,
        })
        .filter(|path| {
            std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        })
        .filter_map(|path| Some((path.clone(), text.find(&format!("{INCLUDE}{path}"))?)))
        .collect()
}

/// What is wrong with users' `.forward` files, as warnings: what a user writes is no reason for a daemon not to start. Accounts are
/// those of the local file; files of variants with an extension are read when mail for one comes.
pub fn forward_mistakes(settings: &Settings, accounts: &str) -> (Sources, Diagnostics) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let mut seen = std::collections::BTreeSet::new();
    for account in accounts.lines() {
        // passwd(5): name:password:UID:GID:GECOS:directory:shell
        let fields: Vec<&str> = account.split(':').collect();
        let &[name, _, uid, _, _, home, shell] = fields.as_slice() else { continue };
        let Ok(uid) = uid.parse::<u32>() else { continue };
        let lookup = |word: &str| match word {
            "user" | "local" => Some(name.to_owned()),
            "home" => Some(home.to_owned()),
            "shell" => Some(shell.to_owned()),
            _ => None,
        };
        for pattern in &settings.forward_path {
            let Some(path) = postfix_conf::expand_local(pattern, &lookup).map(std::path::PathBuf::from)
            else {
                continue;
            };
            // Several accounts may share a home.
            if !path.is_absolute() || !seen.insert(path.clone()) {
                continue;
            }
            let owners = [uid, 0, sys::process::effective_uid()];
            match crate::config::read_guarded(&path, &owners, crate::local::LIST_OCTETS_MAX) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    let mut problems = Vec::new();
                    mail_core::target::parse_lines(&text, &mut problems);
                    let source = sources.add(&path, text);
                    for problem in problems {
                        let span = Span { source, start: problem.span.start, end: problem.span.end };
                        let mut diagnostic = Diagnostic::warning(problem.message).at(span, "");
                        diagnostic.help = problem.help;
                        diagnostics.push(diagnostic);
                    }
                }
                // Whoever may not look into another's home is not told of it.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
                Err(error) => {
                    let text = format!("cannot read {}: {error}", path.display());
                    let help = format!("ls -l {}", path.display());
                    diagnostics.push(Diagnostic::warning(text).help(help));
                }
            }
        }
    }
    (sources, diagnostics)
}

/// Logs why a configuration was not taken: one record a mistake, its first line as the message, with its place.
pub fn tell_refused(log: &selflog::SelfLog, report: &str) {
    for message in refusals(report) {
        log.note("configuration.refused", selflog::Severity::Err, message);
    }
}

/// The messages of a rendered report: a finding begins at the start of a line, and its place stands after `-->`.
fn refusals(report: &str) -> Vec<String> {
    let mut messages: Vec<String> = Vec::new();
    for line in report.lines() {
        let begins = |word: &str| line.starts_with(word);
        if begins("error") || begins("warning") || messages.is_empty() {
            messages.push(line.trim().to_owned());
        } else if let (Some(place), Some(last)) = (line.trim().strip_prefix("--> "), messages.last_mut())
            && !last.ends_with(')')
        {
            last.push_str(&format!(" ({place})"));
        }
    }
    messages.retain(|message| !message.is_empty());
    messages.push("main.cf was not taken; the old settings stay in use".to_owned());
    messages
}

/// The alias files, read again when they change. A file with mistakes, or one that went away, does not take the place of
/// what was read before.
#[derive(Debug, Default)]
pub struct AliasTables {
    tables: Vec<Table>,
}

#[derive(Debug)]
struct Table {
    path: std::path::PathBuf,
    aliases: Aliases,
    stamp: Option<(SystemTime, u64)>,
    owner: u32,
    /// What is wrong with the file as it stands.
    complaint: Option<String>,
}

impl AliasTables {
    /// The tables of `alias_maps`.
    pub fn open(settings: &Settings) -> Self {
        let table = |path: &std::path::PathBuf| Table {
            path: path.clone(),
            aliases: Aliases::default(),
            stamp: None,
            owner: 0,
            complaint: None,
        };
        let mut tables = Self { tables: settings.alias_maps.iter().map(table).collect() };
        tables.refresh();
        tables
    }

    /// Looks whether files changed; returns complaints about new contents.
    pub fn refresh(&mut self) -> Vec<String> {
        self.tables.iter_mut().filter_map(Table::refresh).collect()
    }

    /// The destinations of a name; an error is a table that was never readable.
    pub fn get(&self, name: &str) -> Result<Option<&[Target]>, String> {
        for table in &self.tables {
            if let Some(targets) = table.aliases.get(name) {
                return Ok(Some(targets));
            }
            if let (Some(complaint), true) = (&table.complaint, table.aliases.is_empty()) {
                return Err(complaint.clone());
            }
        }
        Ok(None)
    }

    /// The user who owns the tables: commands and files of aliases have their rights. Root where the tables belong to
    /// several users, so that nobody's aliases get another's rights.
    pub fn owner(&self) -> u32 {
        let mut owners = self.tables.iter().map(|t| t.owner);
        let first = owners.next().unwrap_or(0);
        if owners.all(|o| o == first) { first } else { 0 }
    }
}

/// Time stamps of files move in ticks of up to 10 ms (`CONFIG_HZ`); ten of them are a safe distance.
const STAMP_SETTLED: std::time::Duration = std::time::Duration::from_millis(100);

impl Table {
    fn refresh(&mut self) -> Option<String> {
        use std::os::unix::fs::MetadataExt;
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            // No file: no alias. A host without aliases is no mistake.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
            Err(e) => return self.complain(format!("cannot read {}: {e}", self.path.display())),
        };
        let stamp = metadata.modified().ok().map(|time| (time, metadata.len()));
        if stamp.is_some() && stamp == self.stamp {
            return None;
        }
        match FileLoader.read(&self.path) {
            Err(e) => self.complain(format!("cannot read {}: {e}", self.path.display())),
            Ok(text) => {
                // A file that was written just now may be written again within the same tick of the file system's clock, and be as
                // long as before: its stamp says nothing until it is older than that.
                self.stamp = stamp.filter(|(at, _)| at.elapsed().is_ok_and(|age| age > STAMP_SETTLED));
                let (aliases, problems) = Aliases::parse(&text);
                match problems.first() {
                    Some(problem) => {
                        let line = text.get(..problem.span.start).map_or(1, |t| t.matches('\n').count() + 1);
                        let path = self.path.display();
                        let said =
                            format!("{path}:{line}: {}; the aliases read before stay", problem.message);
                        // At the first reading there is nothing before: what is good in the file counts.
                        if self.aliases.is_empty() {
                            self.aliases = aliases;
                            self.owner = metadata.uid();
                        }
                        self.complain(said)
                    }
                    None => {
                        self.aliases = aliases;
                        self.owner = metadata.uid();
                        self.complaint = None;
                        None
                    }
                }
            }
        }
    }

    fn complain(&mut self, text: String) -> Option<String> {
        if self.complaint.as_ref() == Some(&text) {
            return None;
        }
        self.complaint = Some(text.clone());
        Some(text)
    }
}

/// Reads a small file that a user may have written: a regular file, no link, one name, of a right owner, which nobody else
/// may write. None where it is missing or fails these rules.
pub fn read_guarded(path: &Path, owners: &[u32], octets_max: u64) -> std::io::Result<Option<String>> {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let absent = |e: &std::io::Error| {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        matches!(e.kind(), NotFound | NotADirectory | PermissionDenied) || e.raw_os_error() == Some(ELOOP)
    };
    let opened = std::fs::File::open(parent).and_then(|dir| {
        // A device or a pipe would hold the reader.
        if !std::fs::symlink_metadata(path)?.is_file() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        sys::file::open_beneath(&dir, Path::new(name), sys::file::OpenHow { append_mode: None })
    });
    let file = match opened {
        Ok(file) => file,
        Err(e) if absent(&e) => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    let foreign_writers = metadata.mode() & 0o022 != 0;
    if !metadata.is_file() || metadata.nlink() != 1 || foreign_writers || !owners.contains(&metadata.uid()) {
        return Ok(None);
    }
    let mut text = Vec::new();
    file.take(octets_max).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// "Too many levels of symbolic links" (`errno(3)` on Linux): what opening a link without following gives.
const ELOOP: i32 = 40;
