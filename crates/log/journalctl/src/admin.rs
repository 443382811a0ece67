//! What is not showing entries: headers, verification, usage, boots, fields, and what the daemon is asked to do.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use control::Client;
use journal_file::{FileStorage, Header, Journal, Report, Vacuum, disk_usage, journal_dir, vacuum, verify};
use layout::Layout;

use crate::clock::{Clock, put, span};
use crate::options::{Lines, Options};
use crate::select::boots;
use crate::{Failure, text};

/// The daemon syncs within this time even on a slow disk.
const DAEMON_PATIENCE: Duration = Duration::from_secs(60);

/// `--header`.
pub fn header(journal: &Journal, options: &Options, out: &mut Vec<u8>) {
    let mut clock = Clock::new(options.utc);
    for (index, (path, header)) in journal.headers().enumerate() {
        if index > 0 {
            out.push(b'\n');
        }
        one_header(path, header, &mut clock, out);
    }
}

fn one_header(path: &Path, header: &Header, clock: &mut Clock, out: &mut Vec<u8>) {
    use journal_file::incompatible as flag;
    let flags: String = [
        (flag::XZ, " COMPRESSED-XZ"),
        (flag::LZ4, " COMPRESSED-LZ4"),
        (flag::ZSTD, " COMPRESSED-ZSTD"),
        (flag::KEYED, " KEYED-HASH"),
        (flag::COMPACT, " COMPACT"),
    ]
    .iter()
    .filter(|(bit, _)| header.incompatible & bit != 0)
    .map(|(_, name)| *name)
    .collect();
    let mut time = |at: u64| if at == 0 { "n/a".to_owned() } else { clock.full_text(at) };
    let compatible = if header.sealed() { " SEALED" } else { "" };
    let rotate = if header.rotation_suggested() { "yes" } else { "no" };
    let Header { data_table_size, field_table_size, .. } = header;
    put(
        out,
        format_args!(
            "File path: {}\nFile ID: {}\nMachine ID: {}\nBoot ID: {}\nSequential number ID: {}\nState: {}\n\
             Compatible flags:{compatible}\nIncompatible flags:{flags}\nHeader size: {}\nArena size: {}\n\
             Data hash table size: {}\nField hash table size: {}\nRotate suggested: {rotate}\n",
            path.display(),
            header.file_id,
            header.machine_id,
            header.tail_boot_id,
            header.seqnum_id,
            header.state.name(),
            header.header_size,
            header.arena_size,
            data_table_size / 16,
            field_table_size / 16,
        ),
    );
    put(
        out,
        format_args!(
            "Head sequential number: {0} ({0:x})\nTail sequential number: {1} ({1:x})\n\
             Head realtime timestamp: {2} ({3:x})\nTail realtime timestamp: {4} ({5:x})\n\
             Tail monotonic timestamp: {6} ({7:x})\nObjects: {8}\nEntry objects: {9}\n",
            header.head_seqnum,
            header.tail_seqnum,
            time(header.head_realtime),
            header.head_realtime,
            time(header.tail_realtime),
            header.tail_realtime,
            span(header.tail_monotonic),
            header.tail_monotonic,
            header.objects,
            header.entries,
        ),
    );
    let fill = |count: u64, table: u64| 100.0 * count as f64 / (table / 16).max(1) as f64;
    if let Some(data) = header.data {
        let fill = fill(data, *data_table_size);
        put(out, format_args!("Data objects: {data}\nData hash table fill: {fill:.1}%\n"));
    }
    if let Some(fields) = header.fields {
        let fill = fill(fields, *field_table_size);
        put(out, format_args!("Field objects: {fields}\nField hash table fill: {fill:.1}%\n"));
    }
    for (name, count) in [
        ("Tag objects", header.tags),
        ("Entry array objects", header.entry_arrays),
        ("Deepest field hash chain", header.field_chain_depth),
        ("Deepest data hash chain", header.data_chain_depth),
    ] {
        if let Some(count) = count {
            put(out, format_args!("{name}: {count}\n"));
        }
    }
    if let Ok(bytes) = disk_usage(path) {
        put(out, format_args!("Disk usage: {}\n", text::size(bytes)));
    }
}

/// `--verify`: tells every damage on standard error; fails when there is one. Files that cannot be opened count.
pub fn verify_files(journal: &Journal, options: &Options) -> Result<(), Failure> {
    let mut bad = Vec::new();
    let mut error_out = std::io::stderr().lock();
    let mut tell = |line: String| {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(error_out, "{line}");
    };
    for (path, error) in journal.unreadable() {
        tell(format!("FAIL: {} ({error})", path.display()));
        bad.push(path.clone());
    }
    for file in journal.files() {
        let path = file.path();
        let report = FileStorage::open_to_read(path).map_err(Into::into).and_then(|storage| verify(&storage));
        let report = report.unwrap_or_else(|error| Report {
            damages: vec![journal_file::Damage { offset: 0, what: error.to_string() }],
            ..Report::default()
        });
        for damage in &report.damages {
            tell(damage.to_string());
        }
        if !report.sound() {
            tell(format!("FAIL: {} (Bad message)", path.display()));
            bad.push(path.to_path_buf());
        } else if !options.quiet {
            tell(format!("PASS: {}", path.display()));
            if report.seals_unchecked {
                tell("=> The file is sealed; its seals were not checked.".into());
            }
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(Failure::silent()) }
}

/// `--disk-usage`.
pub fn usage(journal: &Journal, out: &mut Vec<u8>) -> Result<(), Failure> {
    let mut bytes = 0;
    for file in journal.files() {
        bytes += disk_usage(file.path())
            .map_err(|error| Failure::new(format!("Failed to look at {}: {error}", file.path().display())))?;
    }
    put(
        out,
        format_args!("Archived and active journals take up {} in the file system.\n", text::size(bytes)),
    );
    Ok(())
}

/// `--list-boots`.
pub fn list_boots(journal: &mut Journal, options: &Options, out: &mut Vec<u8>) {
    let mut clock = Clock::new(options.utc);
    let boots = boots(journal);
    let count = i64::try_from(boots.len()).unwrap_or(i64::MAX);
    let mut rows: Vec<[String; 4]> = boots
        .iter()
        .zip(1..)
        .map(|(boot, number)| {
            let index: i64 = number - count;
            [index.to_string(), boot.id.to_string(), clock.full_text(boot.first), clock.full_text(boot.last)]
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    if options.reverse {
        rows.reverse();
    }
    if !options.quiet {
        rows.insert(0, ["IDX", "BOOT ID", "FIRST ENTRY", "LAST ENTRY"].map(str::to_owned));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (index_width, id_width, first_width) = (width(0), width(1), width(2));
    for [index, id, first, last] in &rows {
        put(out, format_args!("{index:>index_width$} {id:<id_width$} {first:<first_width$} {last}\n"));
    }
}

/// `-F FIELD`.
pub fn field_values(journal: &mut Journal, field: &str, options: &Options, out: &mut Vec<u8>) {
    let limit = match options.lines {
        Some(Lines::Last(count)) => usize::try_from(count).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    for value in journal.field_values(field.as_bytes()).iter().take(limit) {
        out.extend_from_slice(&value[field.len() + 1..]);
        out.push(b'\n');
    }
}

/// `-N`.
pub fn field_names(journal: &mut Journal, out: &mut Vec<u8>) {
    for name in journal.field_names() {
        out.extend_from_slice(&name);
        out.push(b'\n');
    }
}

/// `--sync`, `--rotate`: the log daemon does it.
pub fn ask_daemon(layout: &Layout, verb: &str) -> Result<(), Failure> {
    let path = control::socket_path(layout, "logd");
    let mut client = Client::connect(&path, DAEMON_PATIENCE).map_err(|error| {
        Failure::new(error.to_string())
            .help("start it: systemctl start banto-logd; in a house: banto --dir DIR up")
    })?;
    client.call(verb, serde_json::Value::Null).map(drop).map_err(|error| Failure::new(error.to_string()))
}

/// `--vacuum-*`, here and now: archived files are nobody's any more.
pub fn vacuum_files(layout: &Layout, options: &Options, now: u64) -> Result<(), Failure> {
    let keep = Vacuum {
        max_bytes: options.vacuum_bytes,
        max_files: options.vacuum_files,
        before: options.vacuum_age.map(|age| now.saturating_sub(age)),
    };
    let mut homes = options.directories.clone();
    if homes.is_empty() {
        let home = journal_dir(layout);
        homes.push(match sys::host::machine_id().map(|id| home.join(id.to_string())) {
            Some(own) if own.is_dir() => own,
            _ => home,
        });
    }
    for home in homes {
        let freed = vacuum(&home, keep)
            .map_err(|error| Failure::new(format!("Failed to vacuum {}: {error}", home.display())))?;
        if !options.quiet {
            eprintln!(
                "Vacuuming done, freed {} of archived journals from {}.",
                text::size(freed),
                home.display()
            );
        }
    }
    Ok(())
}
