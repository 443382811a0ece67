//! The command line: one table of flags, from which parsing, `--help` and "did you mean" are made.

mod flags;

use std::path::PathBuf;

use record::{Facility, Severity};

pub use flags::{FLAGS, format_names};

/// How entries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of `-o`
pub enum Format {
    Short,
    ShortFull,
    ShortIso,
    ShortIsoPrecise,
    ShortPrecise,
    ShortMonotonic,
    ShortUnix,
    Verbose,
    Export,
    Json,
    JsonPretty,
    JsonSse,
    JsonSeq,
    Cat,
    WithUnit,
}

impl Format {
    const NAMES: [(&'static str, Format); 15] = [
        ("short", Format::Short),
        ("short-full", Format::ShortFull),
        ("short-iso", Format::ShortIso),
        ("short-iso-precise", Format::ShortIsoPrecise),
        ("short-precise", Format::ShortPrecise),
        ("short-monotonic", Format::ShortMonotonic),
        ("short-unix", Format::ShortUnix),
        ("verbose", Format::Verbose),
        ("export", Format::Export),
        ("json", Format::Json),
        ("json-pretty", Format::JsonPretty),
        ("json-sse", Format::JsonSse),
        ("json-seq", Format::JsonSeq),
        ("cat", Format::Cat),
        ("with-unit", Format::WithUnit),
    ];

    /// For programs: no lines about boots or emptiness between the entries.
    pub fn bare(self) -> bool {
        matches!(
            self,
            Format::Export
                | Format::Json
                | Format::JsonPretty
                | Format::JsonSse
                | Format::JsonSeq
                | Format::Cat
        )
    }
}

/// What to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are those of the flags
pub enum Action {
    #[default]
    Show,
    Help,
    Version,
    Formats,
    FieldValues(String),
    FieldNames,
    ListBoots,
    Verify,
    Header,
    DiskUsage,
    Sync,
    Rotate,
    Vacuum,
}

/// Which boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The boot's id; none: the present one, or the last of the files.
    pub id: Option<sys::host::Id128>,
    /// So many boots after (before) it.
    pub offset: i64,
}

/// Everything that the command line said.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs)] // each field is the flag of the same name in FLAGS, documented there
pub struct Options {
    pub action: Action,
    pub format: Option<Format>,
    pub directories: Vec<PathBuf>,
    pub files: Vec<String>,
    pub units: Vec<String>,
    pub user_units: Vec<String>,
    pub identifiers: Vec<String>,
    pub severities: Option<Vec<Severity>>,
    pub facilities: Vec<Facility>,
    pub kernel: bool,
    pub boot: Option<Boot>,
    pub lines: Option<Lines>,
    pub no_tail: bool,
    pub follow: bool,
    pub reverse: bool,
    pub pager_end: bool,
    pub no_pager: bool,
    pub since: Option<String>,
    pub until: Option<String>,
    pub cursor: Option<String>,
    pub after_cursor: Option<String>,
    pub cursor_file: Option<PathBuf>,
    pub show_cursor: bool,
    pub grep: Option<String>,
    pub case_sensitive: Option<bool>,
    pub output_fields: Option<Vec<String>>,
    pub no_hostname: bool,
    pub utc: bool,
    pub all: bool,
    pub quiet: bool,
    pub merge: bool,
    pub vacuum_bytes: Option<u64>,
    pub vacuum_files: Option<usize>,
    pub vacuum_age: Option<u64>,
    pub matches: Vec<String>,
}

/// How many entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// All.
    All,
    /// The newest.
    Last(u64),
}

/// A wrong command line: what is wrong, and what to type instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError {
    /// What is wrong.
    pub what: String,
    /// What to type.
    pub help: Option<String>,
}

impl UsageError {
    /// An error with its help line.
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: Some(help.into()) }
    }
}

/// Whether a flag takes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// No.
    Nothing,
    /// Yes: its name in the help text.
    Value(&'static str),
    /// Perhaps: with `=` or joined to the short form, or as the next word if it reads as one.
    Maybe(&'static str),
}

/// One flag: names, value, effect, help.
pub struct Flag {
    /// The letter.
    pub short: Option<char>,
    /// The long name, without dashes.
    pub long: &'static str,
    /// Its value.
    pub takes: Takes,
    /// One line for `--help`.
    pub help: &'static str,
    /// Writes it into the options.
    pub apply: fn(&mut Options, Option<&str>) -> Result<(), UsageError>,
}

/// Reads the words of a command line.
pub fn parse(words: &[String]) -> Result<Options, UsageError> {
    let mut options = Options::default();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" {
            options.matches.extend_from_slice(&words[at..]);
            break;
        }
        if let Some(long) = word.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (long, None),
            };
            let flag = find_long(name)?;
            at += take(&mut options, flag, value, words.get(at), &format!("--{}", flag.long))?;
        } else if word.len() > 1 && word.starts_with('-') {
            at += parse_short(&mut options, &word[1..], words.get(at))?;
        } else {
            options.matches.push(word.clone());
        }
    }
    settle(&mut options)?;
    Ok(options)
}

/// Reads the letters of one word; says whether the next word was taken as a value.
fn parse_short(options: &mut Options, letters: &str, next: Option<&String>) -> Result<usize, UsageError> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        let Some(flag) = FLAGS.iter().find(|flag| flag.short == Some(letter)) else {
            return Err(UsageError::new(
                format!("invalid option -- '{letter}'"),
                "journalctl --help shows every option",
            ));
        };
        if flag.takes == Takes::Nothing {
            (flag.apply)(options, None)?;
            continue;
        }
        let joined = (!rest.is_empty()).then_some(rest);
        return take(options, flag, joined, next, &format!("-{letter}"));
    }
    Ok(0)
}

/// Applies a flag with its value; says how many further words it took.
fn take(
    options: &mut Options,
    flag: &Flag,
    value: Option<&str>,
    next: Option<&String>,
    shown: &str,
) -> Result<usize, UsageError> {
    match (flag.takes, value) {
        (Takes::Nothing, Some(_)) => Err(UsageError::new(
            format!("option '{shown}' doesn't allow an argument"),
            format!("type {shown} alone"),
        )),
        (Takes::Nothing, None) => (flag.apply)(options, None).map(|()| 0),
        (_, Some(value)) => (flag.apply)(options, Some(value)).map(|()| 0),
        (Takes::Value(name), None) => match next {
            Some(next) => (flag.apply)(options, Some(next)).map(|()| 1),
            None => Err(UsageError::new(
                format!("option '{shown}' requires an argument"),
                format!("journalctl --{}={name}", flag.long),
            )),
        },
        (Takes::Maybe(_), None) => {
            // `-n 5`, `-b -1`: the next word is the value if it reads as one.
            if let Some(next) = next
                && (flag.apply)(&mut options.clone(), Some(next)).is_ok()
            {
                return (flag.apply)(options, Some(next)).map(|()| 1);
            }
            (flag.apply)(options, None).map(|()| 0)
        }
    }
}

/// The flag of a long name, which may be shortened as long as it is unique.
fn find_long(name: &str) -> Result<&'static Flag, UsageError> {
    if let Some(flag) = FLAGS.iter().find(|flag| flag.long == name) {
        return Ok(flag);
    }
    let starting: Vec<&Flag> = FLAGS.iter().filter(|flag| flag.long.starts_with(name)).collect();
    if let [only] = starting[..] {
        return Ok(only);
    }
    if flags::STOCK_ONLY.contains(&name) {
        return Err(UsageError::new(
            format!("option '--{name}' of the stock journalctl is not supported here"),
            "leave it out; journalctl --help shows what there is",
        ));
    }
    if !starting.is_empty() {
        let names: Vec<String> = starting.iter().map(|flag| format!("--{}", flag.long)).collect();
        return Err(UsageError::new(
            format!("option '--{name}' is ambiguous"),
            format!("say {}", names.join(" or ")),
        ));
    }
    let nearest = FLAGS.iter().min_by_key(|flag| distance(flag.long, name));
    let help = match nearest.filter(|flag| distance(flag.long, name) <= 3) {
        Some(flag) => format!("did you mean --{}?", flag.long),
        None => "journalctl --help shows every option".to_owned(),
    };
    Err(UsageError::new(format!("unrecognized option '--{name}'"), help))
}

/// Edits between two names.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// What options mean together.
fn settle(options: &mut Options) -> Result<(), UsageError> {
    if options.follow && options.reverse {
        return Err(UsageError::new(
            "Please specify either --reverse= or --follow=, not both.",
            "leave one of -r, -f out",
        ));
    }
    let starts = [options.cursor.is_some(), options.after_cursor.is_some(), options.since.is_some()];
    if starts.iter().filter(|set| **set).count() > 1 {
        return Err(UsageError::new(
            "Please specify only one of --since=, --cursor=, and --after-cursor=.",
            "keep the one that says where to begin",
        ));
    }
    if !options.directories.is_empty() && !options.files.is_empty() {
        return Err(UsageError::new(
            "Please specify at most one of -D/--directory=, --file=.",
            "leave one of them out",
        ));
    }
    let matching = matches!(options.action, Action::Show | Action::Help | Action::Version | Action::Formats)
        || matches!(options.action, Action::FieldValues(_));
    if !matching && let Some(word) = options.matches.first() {
        return Err(UsageError::new(
            format!("Extraneous arguments starting with '{word}'"),
            "leave them out",
        ));
    }
    if options.merge && (options.boot.is_some() || options.action == Action::ListBoots) {
        return Err(UsageError::new(
            "Using --boot or --list-boots with --merge is not supported.",
            "leave --merge out",
        ));
    }
    if options.pager_end && options.lines.is_none() {
        options.lines = Some(Lines::Last(1000));
    }
    if options.no_tail {
        options.lines = Some(Lines::All);
    }
    if options.follow && options.since.is_none() && options.lines.is_none() {
        options.lines = Some(Lines::Last(10));
    }
    if (options.follow && !options.merge || options.kernel || options.pager_end) && options.boot.is_none() {
        options.boot = Some(Boot { id: None, offset: 0 });
    }
    if options.format.is_some_and(Format::bare) {
        options.quiet = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// Goal: values stand where getopt takes them, also optional ones.
    #[test]
    fn values_are_taken_as_getopt_takes_them() {
        let read = |line: &str| parse(&words(line)).unwrap_or_else(|error| panic!("{line}: {}", error.what));
        assert_eq!(read("-n5").lines, Some(Lines::Last(5)));
        assert_eq!(read("-n 5 -q").lines, Some(Lines::Last(5)));
        assert_eq!(read("-n -q").lines, Some(Lines::Last(10)));
        assert_eq!(read("-n all").lines, Some(Lines::All));
        assert_eq!(read("--lines=3").lines, Some(Lines::Last(3)));
        assert_eq!(read("-b -1").boot, Some(Boot { id: None, offset: -1 }));
        assert_eq!(read("-b _PID=1").boot, Some(Boot { id: None, offset: 0 }));
        assert_eq!(read("-b _PID=1").matches, ["_PID=1"]);
        assert_eq!(read("-ocat -qu ssh").units, ["ssh"]);
        assert_eq!(read("-xe"), read("-e"));
        assert_eq!(read("--catalog --system -n5"), read("-n5"));
        assert_eq!(read("--user-unit=a").user_units, ["a"]);
        assert!(read("--no-pag").no_pager);
        assert_eq!(read("-- -u").matches, ["-u"]);
        assert_eq!(read("-f").lines, Some(Lines::Last(10)));
        assert_eq!(read("-p err..warning").severities.map(|all| all.len()), Some(2));
        assert_eq!(read("-p 3").severities.map(|all| all.len()), Some(4));
    }

    /// Goal: nothing wrong is accepted in silence, and each error says what to type.
    #[test]
    fn wrong_lines_are_refused_with_help() {
        let check = |line: &str, what: &str, help: &str| {
            let error = parse(&words(line)).expect_err(line);
            assert!(error.what.contains(what), "{line}: {}", error.what);
            assert!(error.help.as_deref().unwrap_or_default().contains(help), "{line}: {:?}", error.help);
        };
        check("--outptu=cat", "unrecognized", "--output");
        check("-o bad", "Unknown output format 'bad'", "short");
        check("-p wrong", "Unknown log level wrong", "err");
        check("-Z", "invalid option -- 'Z'", "--help");
        check("--no", "ambiguous", "--no-pager");
        check("--list-catalog", "not supported", "leave it out");
        check("--user", "not supported", "no journals of users");
        check("--user foo.service", "not supported", "--user-unit");
        check("-f -r", "either", "leave one");
        check("--verify FOO=1", "Extraneous", "leave");
        check("--since", "requires an argument", "--since=");
        check("-u", "requires an argument", "UNIT");
        check("--quiet=yes", "doesn't allow", "alone");
    }
}
