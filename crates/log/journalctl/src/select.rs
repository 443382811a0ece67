//! Which files are read, and which of their entries are wanted.

use std::path::{Path, PathBuf};

use journal_file::{Cursor, Filter, Id128, Journal, journal_dir};
use layout::Layout;

use crate::Failure;
use crate::options::{Boot, Options};
use crate::text;

/// Suffixes that make a unit's name whole (`systemd.unit(5)`).
const UNIT_SUFFIXES: [&str; 11] = [
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".slice",
    ".scope",
];
/// Fields that may name a system unit: where patterns are looked up.
const UNIT_FIELDS: [&str; 5] =
    ["_SYSTEMD_UNIT", "COREDUMP_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "_SYSTEMD_SLICE"];
/// The same for user units.
const USER_UNIT_FIELDS: [&str; 5] = [
    "_SYSTEMD_USER_UNIT",
    "USER_UNIT",
    "COREDUMP_USER_UNIT",
    "OBJECT_SYSTEMD_USER_UNIT",
    "_SYSTEMD_USER_SLICE",
];
/// `MESSAGE_ID` of a core dump (`sd-messages.h`, SD_MESSAGE_COREDUMP).
const COREDUMP: &str = "MESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1";

/// Opens the files that the options name; without any, the journal of this house or system.
pub fn open(options: &Options, layout: &Layout) -> Result<Journal, Failure> {
    if !options.files.is_empty() {
        let paths = named_files(&options.files)?;
        return Journal::open_files(&paths).map_err(|(path, error)| {
            Failure::new(format!("Failed to open {}: {error}", path.display()))
                .help("journalctl --verify --file FILE tells what is wrong with a file")
        });
    }
    if !options.directories.is_empty() {
        return Journal::open_dirs(&options.directories).map_err(|(path, error)| {
            Failure::new(format!("Failed to open {}: {}", path.display(), reason(&error)))
        });
    }
    let mut homes = vec![journal_dir(layout)];
    if layout.house_dir().is_none() {
        homes.push(PathBuf::from("/run/log/journal"));
    }
    homes.retain(|home| home.is_dir());
    // Other machines' files lie beside ours where a collector runs: they are shown with --merge.
    if !options.merge
        && let Some(machine) = sys::host::machine_id()
    {
        let own: Vec<PathBuf> =
            homes.iter().map(|home| home.join(machine.to_string())).filter(|dir| dir.is_dir()).collect();
        if !own.is_empty() {
            homes = own;
        }
    }
    Journal::open_dirs(&homes).map_err(|(path, error)| {
        Failure::new(format!("Failed to open {}: {}", path.display(), reason(&error)))
    })
}

/// The system's words for an I/O error, without Rust's number behind them.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn named_files(patterns: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for pattern in patterns {
        if !text::is_glob(pattern) {
            paths.push(PathBuf::from(pattern));
            continue;
        }
        let path = Path::new(pattern);
        let (dir, name) = (path.parent().unwrap_or(Path::new("")), path.file_name().unwrap_or_default());
        let shown = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let entries = std::fs::read_dir(shown).map_err(|error| {
            Failure::new(format!("Failed to open {}: {}", shown.display(), reason(&error)))
        })?;
        let matching = entries
            .flatten()
            .filter(|entry| text::glob(name.as_encoded_bytes(), entry.file_name().as_encoded_bytes()));
        paths.extend(matching.map(|entry| dir.join(entry.file_name())));
    }
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::new("Failed to open files: No such file or directory"));
    }
    Ok(paths)
}

/// Makes the filter. Moves about in the journal to find boots, so the place is to be set afterwards.
pub fn filter(options: &Options, journal: &mut Journal, given_location: bool) -> Result<Filter, Failure> {
    let mut filter = Filter::new();
    if let Some(boot) = &options.boot {
        let id = find_boot(boot, journal, given_location)?;
        add(&mut filter, format!("_BOOT_ID={id}"))?;
        filter.and();
    }
    if options.kernel {
        add(&mut filter, "_TRANSPORT=kernel".into())?;
        filter.and();
    }
    units(options, journal, &mut filter)?;
    for identifier in &options.identifiers {
        add(&mut filter, format!("SYSLOG_IDENTIFIER={identifier}"))?;
    }
    filter.and();
    for severity in options.severities.iter().flatten() {
        add(&mut filter, format!("PRIORITY={}", severity.code()))?;
    }
    filter.and();
    for facility in &options.facilities {
        add(&mut filter, format!("SYSLOG_FACILITY={}", facility.code()))?;
    }
    matches(&options.matches, &mut filter)?;
    Ok(filter)
}

fn add(filter: &mut Filter, payload: String) -> Result<(), Failure> {
    filter.add(payload.clone()).map_err(|error| {
        Failure::new(format!("Failed to add match '{payload}': Invalid argument")).help(error.to_string())
    })
}

/// `FIELD=value` words with `+` between alternatives; an absolute path stands for the executable.
fn matches(words: &[String], filter: &mut Filter) -> Result<(), Failure> {
    let mut have_term = words.is_empty();
    for word in words {
        if word == "+" {
            if !have_term {
                break;
            }
            filter.or();
            have_term = false;
        } else if word.starts_with('/') {
            let path = std::fs::canonicalize(word)
                .map_err(|error| Failure::new(format!("Couldn't canonicalize path: {}", reason(&error))))?;
            add(filter, format!("_EXE={}", path.display()))?;
            have_term = true;
        } else {
            add(filter, word.clone())?;
            have_term = true;
        }
    }
    if have_term {
        Ok(())
    } else {
        Err(Failure::new("\"+\" can only be used between terms").help("journalctl _PID=1 + _PID=2"))
    }
}

/// A unit's own messages, its core dumps, and what the manager and authorised daemons say of it.
fn units(options: &Options, journal: &mut Journal, filter: &mut Filter) -> Result<(), Failure> {
    if options.units.is_empty() && options.user_units.is_empty() {
        return Ok(());
    }
    let mut found = false;
    for unit in unit_names(&options.units, &UNIT_FIELDS, journal) {
        found = true;
        add(filter, format!("_SYSTEMD_UNIT={unit}"))?;
        filter.or();
        add(filter, COREDUMP.into())?;
        add(filter, "_UID=0".into())?;
        add(filter, format!("COREDUMP_UNIT={unit}"))?;
        filter.or();
        add(filter, "_PID=1".into())?;
        add(filter, format!("UNIT={unit}"))?;
        filter.or();
        add(filter, "_UID=0".into())?;
        add(filter, format!("OBJECT_SYSTEMD_UNIT={unit}"))?;
        filter.or();
        if unit.ends_with(".slice") {
            add(filter, format!("_SYSTEMD_SLICE={unit}"))?;
            filter.or();
        }
    }
    let uid = sys::process::uid();
    for unit in unit_names(&options.user_units, &USER_UNIT_FIELDS, journal) {
        found = true;
        for (field, by_manager) in [
            ("_SYSTEMD_USER_UNIT", false),
            ("USER_UNIT", true),
            ("COREDUMP_USER_UNIT", true),
            ("OBJECT_SYSTEMD_USER_UNIT", true),
        ] {
            add(filter, format!("{field}={unit}"))?;
            add(filter, format!("_UID={uid}"))?;
            if by_manager {
                add(filter, "_UID=0".into())?;
            }
            filter.or();
        }
    }
    filter.and();
    if found {
        Ok(())
    } else {
        Err(Failure::new("Failed to add filter for units: No data available")
            .help("no unit in the journal matches the pattern; journalctl -F _SYSTEMD_UNIT lists them"))
    }
}

/// Names made whole, patterns replaced by what the journal holds.
fn unit_names(given: &[String], fields: &[&str], journal: &mut Journal) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in given {
        let whole = UNIT_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        if !text::is_glob(name) {
            names.push(if whole { name.clone() } else { format!("{name}.service") });
            continue;
        }
        let pattern = if whole || name.ends_with('*') { name.clone() } else { format!("{name}.service") };
        for field in fields {
            for value in journal.field_values(field.as_bytes()) {
                let unit = &value[field.len() + 1..];
                let Ok(unit) = std::str::from_utf8(unit) else { continue };
                if text::glob(pattern.as_bytes(), unit.as_bytes()) && !names.iter().any(|name| name == unit) {
                    names.push(unit.to_owned());
                }
            }
        }
    }
    names
}

/// A boot in the journal: its first and last time, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootSeen {
    /// Its id.
    pub id: Id128,
    /// Wall clock of its first entry.
    pub first: u64,
    /// Wall clock of its last entry.
    pub last: u64,
}

/// All boots, the oldest first. Leaves the journal without a filter, at its head.
pub fn boots(journal: &mut Journal) -> Vec<BootSeen> {
    let mut boots: Vec<BootSeen> = Vec::new();
    journal.set_filter(Filter::new());
    journal.seek_head();
    while let Some(first) = journal.next() {
        let id = first.entry.boot_id;
        if boots.iter().any(|boot| boot.id == id) {
            // Entries of boots that overlap: each boot is listed where it began.
            continue;
        }
        let mut filter = Filter::new();
        let mut last = first;
        if filter.add(format!("_BOOT_ID={id}")).is_ok() {
            journal.set_filter(filter);
            journal.seek_tail();
            if let Some(found) = journal.previous().filter(|found| found.entry.boot_id == id) {
                last = found;
            }
            journal.set_filter(Filter::new());
        }
        journal.seek_after_cursor(&Cursor::of(last.seqnum_id, &last.entry));
        boots.push(BootSeen { id, first: first.entry.realtime, last: last.entry.realtime });
    }
    journal.seek_head();
    boots
}

fn find_boot(boot: &Boot, journal: &mut Journal, given_location: bool) -> Result<Id128, Failure> {
    if boot.id.is_none() && boot.offset == 0 && !given_location {
        return sys::host::boot_id().ok_or_else(|| Failure::new("Failed to get boot id: it is not in /proc"));
    }
    let boots = boots(journal);
    let base = match boot.id {
        Some(id) => boots.iter().position(|seen| seen.id == id),
        // 0 and below count from the last boot, 1 and above from the first.
        None if boot.offset > 0 => Some(0),
        None => boots.len().checked_sub(1),
    };
    let offset = if boot.id.is_none() && boot.offset > 0 { boot.offset - 1 } else { boot.offset };
    let found = base
        .and_then(|base| isize::try_from(offset).ok().and_then(|offset| base.checked_add_signed(offset)))
        .and_then(|index| boots.get(index));
    found.map(|seen| seen.id).ok_or_else(|| {
        let named = match boot.id {
            Some(id) => id.to_string(),
            None => format!("{:+}", boot.offset),
        };
        Failure::new(format!(
            "Data from the specified boot ({named}) is not available: No such boot ID in journal"
        ))
        .help("journalctl --list-boots shows what there is")
    })
}
