//! The `journalctl` command: shows, searches, follows and verifies journal files.
//!
//! For: people and scripts that know the stock command. The text is equal byte for byte for the same file.
//!
//! Always: an option that is not understood is an error with a help line; damaged bytes cost the entries that they stand in, and that
//! is said on standard error; a reader that goes away (broken pipe) ends it quietly.
//!
//! Never: it writes no journal file. It changes something only through the log daemon (`--sync`, `--rotate`), or by deleting archived
//! files (`--vacuum-*`).
#![forbid(unsafe_code)]

mod admin;
mod clock;
mod moment;
mod options;
mod pager;
mod select;
mod show;
mod terminal;
mod text;

use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Duration;

use journal_file::{Cursor, Id128, Journal, Position};
use layout::Call;
use regex::bytes::{Regex, RegexBuilder};

use options::{Action, Lines, Options, UsageError};
use pager::Sink;
use show::Show;

/// Text is written away in pieces of this size, bytes.
const PIECE: usize = 64 * 1024;
/// A follower looks at its files at least this often.
const FOLLOW_WAIT: Duration = Duration::from_secs(60);

/// Why the command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    help: Option<String>,
}

impl Failure {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Everything was said already.
    fn silent() -> Self {
        Self::new("")
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Self {
        Self { what: error.what, help: error.help }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        // A reader that went away has seen what it wanted.
        if error.kind() == io::ErrorKind::BrokenPipe { Self::silent() } else { Self::new(error.to_string()) }
    }
}

/// Runs the command.
pub fn run(call: &Call) -> ExitCode {
    match execute(call) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let Failure { what, help } = failure;
            if !what.is_empty() {
                eprintln!("{what}");
            }
            if let Some(help) = help {
                eprintln!("help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}

fn execute(call: &Call) -> Result<(), Failure> {
    let words: Option<Vec<String>> = call.args.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    let words =
        words.ok_or_else(|| Failure::new("an argument is not UTF-8").help("name files with -D DIRECTORY"))?;
    let options = options::parse(&words)?;
    let now = u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0);
    let mut out = Vec::new();
    match &options.action {
        Action::Help => help(&mut out),
        Action::Version => {
            clock::put(&mut out, format_args!("journalctl (Banto) {}\n", env!("CARGO_PKG_VERSION")))
        }
        Action::Formats => {
            options::format_names().for_each(|name| clock::put(&mut out, format_args!("{name}\n")))
        }
        Action::Sync => return admin::ask_daemon(&call.layout, "sync"),
        Action::Rotate => return admin::ask_daemon(&call.layout, "rotate"),
        Action::Vacuum => return admin::vacuum_files(&call.layout, &options, now),
        _ => return on_journal(call, &options, now),
    }
    print(&options, &mut out)
}

/// Everything that reads files.
fn on_journal(call: &Call, options: &Options, now: u64) -> Result<(), Failure> {
    let mut journal = select::open(options, &call.layout)?;
    for (path, error) in journal.unreadable() {
        if options.action != Action::Verify {
            eprintln!("Journal file {} cannot be read and is left out: {error}", path.display());
        }
    }
    if journal.files().next().is_none() && !options.quiet {
        eprintln!("No journal files were found.");
    }
    let mut out = Vec::new();
    match &options.action {
        Action::Header => admin::header(&journal, options, &mut out),
        Action::Verify => return admin::verify_files(&journal, options),
        Action::DiskUsage => admin::usage(&journal, &mut out)?,
        Action::ListBoots => admin::list_boots(&mut journal, options, &mut out),
        Action::FieldNames => admin::field_names(&mut journal, &mut out),
        Action::FieldValues(field) => admin::field_values(&mut journal, field, options, &mut out),
        _ => return Viewer::new(options, now)?.show(&mut journal),
    }
    print(options, &mut out)
}

fn print(options: &Options, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut sink = Sink::open(!options.no_pager, false);
    let written = show::flush(out, &mut sink).and_then(|()| sink.flush());
    sink.close();
    quietly(written)
}

/// A broken pipe is no failure.
fn quietly(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Shows entries: from where, until when, how many, in which order.
struct Viewer<'a> {
    options: &'a Options,
    show: Show,
    since: Option<u64>,
    until: Option<u64>,
    reverse: bool,
    limit: u64,
    pattern: Option<Regex>,
    last: Option<Position>,
    boot: Option<Id128>,
    shown: u64,
    unreadable: u64,
}

impl<'a> Viewer<'a> {
    fn new(options: &'a Options, now: u64) -> Result<Self, Failure> {
        let mut show = Show::new(options, pager::colors(), io::stdout().is_terminal());
        let mut moment = |text: &Option<String>| -> Result<Option<u64>, Failure> {
            let Some(text) = text else { return Ok(None) };
            match moment::parse(text, now, show.clock().zone()) {
                Some(at) => Ok(Some(at)),
                None => Err(Failure::new(format!("Failed to parse timestamp: {text}"))
                    .help("\"2026-01-02 03:04:05\", yesterday, today, now, -1h, \"10 min ago\", @UNIXTIME")),
            }
        };
        let (since, until) = (moment(&options.since)?, moment(&options.until)?);
        if since.is_some_and(|since| until.is_some_and(|until| since > until)) {
            return Err(Failure::new("--since= must be before --until=.").help("exchange the two"));
        }
        let limited = matches!(options.lines, Some(Lines::Last(_)));
        Ok(Self {
            options,
            show,
            since,
            until,
            // How many of the last lines match is known only from behind.
            reverse: options.reverse || (options.grep.is_some() && limited && !options.follow),
            limit: match options.lines {
                Some(Lines::Last(count)) => count,
                _ => u64::MAX,
            },
            pattern: options
                .grep
                .as_deref()
                .map(|pattern| compile(pattern, options.case_sensitive))
                .transpose()?,
            last: None,
            boot: None,
            shown: 0,
            unreadable: 0,
        })
    }

    fn show(mut self, journal: &mut Journal) -> Result<(), Failure> {
        let options = self.options;
        let given = !options.directories.is_empty() || !options.files.is_empty();
        let filter = select::filter(options, journal, given)?;
        journal.set_filter(filter);
        self.seek(journal)?;
        let mut sink = Sink::open(!options.no_pager && !options.follow, options.pager_end);
        let written = self.entries(journal, &mut sink);
        let written = written.and_then(|()| self.cursor(&mut sink));
        sink.close();
        if self.unreadable > 0 && !options.quiet {
            eprintln!(
                "{} entries could not be read, because their fields are damaged.\nhelp: journalctl --verify",
                self.unreadable
            );
        }
        quietly(written)?;
        if self.pattern.is_some() && self.shown == 0 { Err(Failure::silent()) } else { Ok(()) }
    }

    /// Goes where the first entry is that may be shown.
    fn seek(&mut self, journal: &mut Journal) -> Result<(), Failure> {
        let options = self.options;
        let from_file = match &options.cursor_file {
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(text.lines().next().unwrap_or_default().to_owned()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => {
                    return Err(Failure::new(format!(
                        "Failed to read cursor file {}: {error}",
                        path.display()
                    )));
                }
            },
            None => None,
        };
        let after = from_file.as_ref().or(options.after_cursor.as_ref());
        if let Some(text) = after.or(options.cursor.as_ref()) {
            let cursor: Cursor = text.parse().map_err(|error: journal_file::CursorError| {
                Failure::new("Failed to seek to cursor: Invalid argument").help(error.to_string())
            })?;
            if after.is_some() && !self.reverse {
                journal.seek_after_cursor(&cursor);
            } else {
                journal.seek_cursor(&cursor);
                if self.reverse && after.is_none() {
                    // The entry of the cursor itself is the first.
                    journal.next();
                }
            }
        } else if let Some(since) = self.since.filter(|_| !self.reverse) {
            journal.seek_realtime(since);
        } else if let Some(until) = self.until.filter(|_| self.reverse) {
            journal.seek_realtime(until.saturating_add(1));
        } else if self.reverse {
            journal.seek_tail();
        } else if self.limit < u64::MAX {
            journal.seek_tail();
            for _ in 0..self.limit {
                if journal.previous().is_none() {
                    break;
                }
            }
        } else {
            journal.seek_head();
        }
        Ok(())
    }

    fn entries(&mut self, journal: &mut Journal, sink: &mut Sink) -> io::Result<()> {
        let mut out = Vec::with_capacity(2 * PIECE);
        loop {
            while self.shown < self.limit || (self.options.follow && self.boot_seen()) {
                let step = if self.reverse { journal.previous() } else { journal.next() };
                let Some(position) = step else { break };
                if self.outside(&position) {
                    break;
                }
                self.one(journal, &position, &mut out);
                if out.len() >= PIECE {
                    show::flush(&mut out, sink)?;
                }
            }
            if !self.options.follow {
                if self.shown == 0 && self.unreadable == 0 && !self.options.quiet {
                    out.extend_from_slice(b"-- No entries --\n");
                }
                show::flush(&mut out, sink)?;
                return sink.flush();
            }
            show::flush(&mut out, sink)?;
            sink.flush()?;
            // The first entries were limited; what comes now is new.
            self.limit = u64::MAX;
            journal.wait(FOLLOW_WAIT)?;
        }
    }

    /// In follow mode the limit holds only for what was there at the start.
    fn boot_seen(&self) -> bool {
        self.limit == u64::MAX
    }

    fn outside(&self, position: &Position) -> bool {
        let at = position.entry.realtime;
        if self.reverse {
            self.since.is_some_and(|since| at < since)
        } else {
            self.until.is_some_and(|until| at > until)
        }
    }

    fn one(&mut self, journal: &mut Journal, position: &Position, out: &mut Vec<u8>) {
        if !self.options.merge && !self.options.quiet {
            let boot = position.entry.boot_id;
            if self.boot.is_some_and(|before| before != boot) {
                self.show.boot(boot, out);
            }
            self.boot = Some(boot);
        }
        if let Some(pattern) = &self.pattern {
            let mut found = false;
            let read = journal.for_each_field(position, |payload| match payload.strip_prefix(b"MESSAGE=") {
                Some(message) => {
                    found = pattern.is_match(message);
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            });
            if read.is_err() {
                self.unreadable += 1;
            }
            if !found {
                return;
            }
        }
        match self.show.entry(journal, position, out) {
            Ok(()) => {
                self.shown += 1;
                self.last = Some(*position);
            }
            Err(_) => self.unreadable += 1,
        }
    }

    fn cursor(&self, sink: &mut Sink) -> io::Result<()> {
        let Some(last) = &self.last else { return Ok(()) };
        if self.options.show_cursor {
            writeln!(sink, "-- cursor: {}", last.cursor())?;
            sink.flush()?;
        }
        if let Some(path) = &self.options.cursor_file {
            sys::file::replace(path, format!("{}\n", last.cursor()).as_bytes(), 0o644)?;
        }
        Ok(())
    }
}

/// A pattern without capitals matches in any case, unless the options say otherwise.
fn compile(pattern: &str, case_sensitive: Option<bool>) -> Result<Regex, Failure> {
    let sensitive = case_sensitive.unwrap_or_else(|| pattern.chars().any(char::is_uppercase));
    RegexBuilder::new(pattern).case_insensitive(!sensitive).build().map_err(|error| {
        Failure::new(format!("Bad pattern \"{pattern}\": {error}")).help(
            "the syntax is that of Rust's regex crate: like PCRE without look-around and back-references",
        )
    })
}

fn help(out: &mut Vec<u8>) {
    out.extend_from_slice(b"journalctl [OPTIONS...] [MATCHES...]\n\nQuery the journal.\n\n");
    for flag in options::FLAGS {
        let value = match flag.takes {
            options::Takes::Nothing => String::new(),
            options::Takes::Value(name) => format!("={name}"),
            options::Takes::Maybe(name) => format!("[={name}]"),
        };
        let short = flag.short.map_or("   ".to_owned(), |letter| format!("-{letter} "));
        let names = format!("{short}--{}{value}", flag.long);
        clock::put(out, format_args!("  {names:<30} {}\n", flag.help));
    }
}
