//! The table of flags.

use record::{Facility, Severity};
use sys::host::Id128;

use super::{Action, Boot, Flag, Format, Lines, Options, Takes, UsageError};

type Outcome = Result<(), UsageError>;

/// Long options of the stock program that are refused by name.
pub const STOCK_ONLY: [&str; 17] = [
    "machine",
    "root",
    "image",
    "namespace",
    "dump-catalog",
    "list-catalog",
    "update-catalog",
    "setup-keys",
    "verify-key",
    "interval",
    "force",
    "flush",
    "relinquish-var",
    "smart-relinquish-var",
    "no-full",
    "new-id128",
    "truncate-newline",
];

/// For people who ask for the journal of a user.
const USER_HELP: &str = "there are no journals of users here: journalctl without it shows every entry, _UID=$(id -u) those of your own programs, --user-unit UNIT those of a user unit";

/// Every flag that is understood.
pub const FLAGS: &[Flag] = &[
    flag(
        Some('u'),
        "unit",
        Takes::Value("UNIT"),
        "Show logs from the specified unit (patterns too)",
        |o, v| {
            o.units.push(text(v));
            Ok(())
        },
    ),
    flag(None, "user-unit", Takes::Value("UNIT"), "Show logs from the specified user unit", |o, v| {
        o.user_units.push(text(v));
        Ok(())
    }),
    // What there is, so that it changes nothing; and its contrary, of which nothing could be shown.
    flag(
        None,
        "system",
        Takes::Nothing,
        "Show the system journal (the only one here, shown anyhow)",
        |_, _| Ok(()),
    ),
    flag(None, "user", Takes::Nothing, "Refused: there are no journals of users here", |_, _| {
        Err(UsageError::new("option '--user' of the stock journalctl is not supported here", USER_HELP))
    }),
    flag(
        Some('t'),
        "identifier",
        Takes::Value("STRING"),
        "Show entries with the specified syslog identifier",
        |o, v| {
            o.identifiers.push(text(v));
            Ok(())
        },
    ),
    flag(
        Some('p'),
        "priority",
        Takes::Value("RANGE"),
        "Show entries with the specified priority or range",
        priority,
    ),
    flag(
        None,
        "facility",
        Takes::Value("FACILITY"),
        "Show entries with the specified facilities (a,b,...)",
        facility,
    ),
    flag(
        Some('g'),
        "grep",
        Takes::Value("PATTERN"),
        "Show entries whose MESSAGE matches the regular expression",
        |o, v| {
            o.grep = v.map(str::to_owned);
            Ok(())
        },
    ),
    flag(
        None,
        "case-sensitive",
        Takes::Maybe("BOOL"),
        "Force case sensitive or insensitive matching",
        |o, v| {
            o.case_sensitive = Some(match v {
                None | Some("yes" | "true" | "1" | "on") => true,
                Some("no" | "false" | "0" | "off") => false,
                Some(other) => {
                    return Err(UsageError::new(
                        format!("Bad --case-sensitive= argument \"{other}\""),
                        "say yes or no",
                    ));
                }
            });
            Ok(())
        },
    ),
    flag(
        Some('S'),
        "since",
        Takes::Value("DATE"),
        "Show entries not older than the specified date",
        |o, v| {
            o.since = v.map(str::to_owned);
            Ok(())
        },
    ),
    flag(
        Some('U'),
        "until",
        Takes::Value("DATE"),
        "Show entries not newer than the specified date",
        |o, v| {
            o.until = v.map(str::to_owned);
            Ok(())
        },
    ),
    flag(
        Some('b'),
        "boot",
        Takes::Maybe("ID"),
        "Show the current boot or the specified boot (-1: the one before)",
        boot,
    ),
    flag(Some('k'), "dmesg", Takes::Nothing, "Show kernel messages of the current boot", |o, _| {
        o.kernel = true;
        Ok(())
    }),
    flag(
        Some('n'),
        "lines",
        Takes::Maybe("INTEGER"),
        "Number of entries to show (10 when none is given; all)",
        lines,
    ),
    flag(None, "no-tail", Takes::Nothing, "Show all lines, even in follow mode", |o, _| {
        o.no_tail = true;
        Ok(())
    }),
    flag(Some('f'), "follow", Takes::Nothing, "Follow the journal", |o, _| {
        o.follow = true;
        Ok(())
    }),
    flag(Some('r'), "reverse", Takes::Nothing, "Show the newest entries first", |o, _| {
        o.reverse = true;
        Ok(())
    }),
    flag(Some('e'), "pager-end", Takes::Nothing, "Immediately jump to the end in the pager", |o, _| {
        o.pager_end = true;
        Ok(())
    }),
    flag(Some('o'), "output", Takes::Value("STRING"), "Change output mode (-o help lists them)", output),
    flag(
        None,
        "output-fields",
        Takes::Value("LIST"),
        "Select fields to print in verbose/export/json/cat modes",
        |o, v| {
            let names = text(v);
            o.output_fields
                .get_or_insert_default()
                .extend(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned));
            Ok(())
        },
    ),
    flag(Some('a'), "all", Takes::Nothing, "Show all fields, including long and unprintable", |o, _| {
        o.all = true;
        Ok(())
    }),
    // As the stock program shows entries for which its catalog holds no text.
    flag(
        Some('x'),
        "catalog",
        Takes::Nothing,
        "Add explanations from the catalog (none is shipped: entries are shown without)",
        |_, _| Ok(()),
    ),
    // Both are the default of the stock program too.
    flag(Some('l'), "full", Takes::Nothing, "Do not ellipsize fields (this is the default)", |_, _| Ok(())),
    flag(None, "no-pager", Takes::Nothing, "Do not pipe output into a pager", |o, _| {
        o.no_pager = true;
        Ok(())
    }),
    flag(None, "no-hostname", Takes::Nothing, "Suppress output of hostname field", |o, _| {
        o.no_hostname = true;
        Ok(())
    }),
    flag(None, "utc", Takes::Nothing, "Express time in Coordinated Universal Time (UTC)", |o, _| {
        o.utc = true;
        Ok(())
    }),
    flag(Some('q'), "quiet", Takes::Nothing, "Do not show info messages", |o, _| {
        o.quiet = true;
        Ok(())
    }),
    flag(
        Some('m'),
        "merge",
        Takes::Nothing,
        "Show entries from all machines without boot separators",
        |o, _| {
            o.merge = true;
            Ok(())
        },
    ),
    flag(Some('D'), "directory", Takes::Value("PATH"), "Show journal files from directory", |o, v| {
        o.directories.push(text(v).into());
        Ok(())
    }),
    flag(None, "file", Takes::Value("PATH"), "Show journal file (patterns too)", |o, v| {
        o.files.push(text(v));
        Ok(())
    }),
    flag(
        Some('c'),
        "cursor",
        Takes::Value("CURSOR"),
        "Show entries starting at the specified cursor",
        |o, v| {
            o.cursor = v.map(str::to_owned);
            Ok(())
        },
    ),
    flag(None, "after-cursor", Takes::Value("CURSOR"), "Show entries after the specified cursor", |o, v| {
        o.after_cursor = v.map(str::to_owned);
        Ok(())
    }),
    flag(
        None,
        "cursor-file",
        Takes::Value("FILE"),
        "Show entries after the cursor in FILE and update FILE",
        |o, v| {
            o.cursor_file = Some(text(v).into());
            Ok(())
        },
    ),
    flag(None, "show-cursor", Takes::Nothing, "Print the cursor after all the entries", |o, _| {
        o.show_cursor = true;
        Ok(())
    }),
    flag(
        Some('F'),
        "field",
        Takes::Value("FIELD"),
        "List all values that a specified field takes",
        |o, v| {
            o.action = Action::FieldValues(text(v));
            Ok(())
        },
    ),
    flag(Some('N'), "fields", Takes::Nothing, "List all field names currently used", |o, _| {
        o.action = Action::FieldNames;
        Ok(())
    }),
    flag(None, "list-boots", Takes::Nothing, "Show terse information about recorded boots", |o, _| {
        o.action = Action::ListBoots;
        Ok(())
    }),
    flag(None, "header", Takes::Nothing, "Show journal header information", |o, _| {
        o.action = Action::Header;
        Ok(())
    }),
    flag(None, "verify", Takes::Nothing, "Verify journal file consistency", |o, _| {
        o.action = Action::Verify;
        Ok(())
    }),
    flag(None, "disk-usage", Takes::Nothing, "Show total disk usage of all journal files", |o, _| {
        o.action = Action::DiskUsage;
        Ok(())
    }),
    flag(None, "sync", Takes::Nothing, "Synchronize unwritten journal messages to disk", |o, _| {
        o.action = Action::Sync;
        Ok(())
    }),
    flag(None, "rotate", Takes::Nothing, "Request immediate rotation of the journal files", |o, _| {
        o.action = Action::Rotate;
        Ok(())
    }),
    flag(None, "vacuum-size", Takes::Value("BYTES"), "Reduce disk usage below specified size", |o, v| {
        o.action = Action::Vacuum;
        o.vacuum_bytes = Some(bytes(&text(v))?);
        Ok(())
    }),
    flag(
        None,
        "vacuum-files",
        Takes::Value("INT"),
        "Leave only the specified number of journal files",
        |o, v| {
            let count = text(v);
            o.action = Action::Vacuum;
            o.vacuum_files = Some(count.parse().map_err(|_| {
                UsageError::new(
                    format!("Failed to parse vacuum files: {count}"),
                    "journalctl --vacuum-files=5",
                )
            })?);
            Ok(())
        },
    ),
    flag(
        None,
        "vacuum-time",
        Takes::Value("TIME"),
        "Remove journal files older than specified time",
        |o, v| {
            let age = text(v);
            o.action = Action::Vacuum;
            o.vacuum_age = Some(crate::moment::span(&age).ok_or_else(|| {
                UsageError::new(
                    format!("Failed to parse vacuum time: {age}"),
                    "journalctl --vacuum-time=2weeks",
                )
            })?);
            Ok(())
        },
    ),
    flag(Some('h'), "help", Takes::Nothing, "Show this help text", |o, _| {
        o.action = Action::Help;
        Ok(())
    }),
    flag(None, "version", Takes::Nothing, "Show package version", |o, _| {
        o.action = Action::Version;
        Ok(())
    }),
];

const fn flag(
    short: Option<char>,
    long: &'static str,
    takes: Takes,
    help: &'static str,
    apply: fn(&mut Options, Option<&str>) -> Outcome,
) -> Flag {
    Flag { short, long, takes, help, apply }
}

fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

fn severity(word: &str) -> Option<Severity> {
    match word.as_bytes() {
        [digit @ b'0'..=b'7'] => Severity::from_code(digit - b'0'),
        _ => Severity::from_name(word),
    }
}

fn priority(options: &mut Options, value: Option<&str>) -> Outcome {
    let range = text(value);
    const HELP: &str =
        "a number 0-7 or emerg alert crit err warning notice info debug, or a range such as err..warning";
    options.severities = Some(match range.split_once("..") {
        Some((from, to)) => {
            let (Some(from), Some(to)) = (severity(from), severity(to)) else {
                return Err(UsageError::new(format!("Failed to parse log level range {range}"), HELP));
            };
            Severity::ALL.into_iter().filter(|one| (from.min(to)..=from.max(to)).contains(one)).collect()
        }
        None => {
            let Some(least) = severity(&range) else {
                return Err(UsageError::new(format!("Unknown log level {range}"), HELP));
            };
            Severity::ALL.into_iter().filter(|one| *one <= least).collect()
        }
    });
    Ok(())
}

fn facility(options: &mut Options, value: Option<&str>) -> Outcome {
    for word in text(value).split(',') {
        let found = word.parse().ok().and_then(Facility::from_code).or_else(|| Facility::from_name(word));
        match found {
            Some(found) => options.facilities.push(found),
            None => {
                return Err(UsageError::new(
                    format!("Bad --facility= argument \"{word}\"."),
                    "a number 0-23 or a name such as kern, mail, daemon, authpriv, local0",
                ));
            }
        }
    }
    Ok(())
}

fn output(options: &mut Options, value: Option<&str>) -> Outcome {
    let name = text(value);
    if name == "help" {
        options.action = Action::Formats;
        return Ok(());
    }
    let Some((_, format)) = Format::NAMES.iter().find(|(known, _)| *known == name) else {
        let names: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
        return Err(UsageError::new(
            format!("Unknown output format '{name}'."),
            format!("one of {}", names.join(" ")),
        ));
    };
    options.format = Some(*format);
    Ok(())
}

fn lines(options: &mut Options, value: Option<&str>) -> Outcome {
    options.lines = Some(match value {
        None => Lines::Last(10),
        Some("all") => Lines::All,
        Some(number) => Lines::Last(number.parse().map_err(|_| {
            UsageError::new(format!("Failed to parse lines '{number}'"), "journalctl -n 20, or -n all")
        })?),
    });
    Ok(())
}

fn boot(options: &mut Options, value: Option<&str>) -> Outcome {
    let Some(value) = value else {
        options.boot = Some(Boot { id: None, offset: 0 });
        return Ok(());
    };
    if value == "all" {
        options.boot = None;
        return Ok(());
    }
    let (id, rest) = match value.get(..32).and_then(Id128::parse) {
        Some(id) => (Some(id), &value[32..]),
        None => (None, value),
    };
    let offset = if rest.is_empty() && id.is_some() { Some(0) } else { rest.parse().ok() };
    match offset {
        Some(offset) => {
            options.boot = Some(Boot { id, offset });
            Ok(())
        }
        None => Err(UsageError::new(
            format!("Failed to parse boot descriptor '{value}'"),
            "journalctl -b -1, or -b ID; --list-boots shows what there is",
        )),
    }
}

/// A size such as `500M` (units of 1024).
fn bytes(size: &str) -> Result<u64, UsageError> {
    let wrong =
        || UsageError::new(format!("Failed to parse vacuum size: {size}"), "journalctl --vacuum-size=500M");
    let digits = size.find(|char: char| !char.is_ascii_digit()).unwrap_or(size.len());
    let number: u64 = size[..digits].parse().map_err(|_| wrong())?;
    let shift = match &size[digits..] {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// The names of `-o`.
pub fn format_names() -> impl Iterator<Item = &'static str> {
    Format::NAMES.iter().map(|(name, _)| *name)
}
