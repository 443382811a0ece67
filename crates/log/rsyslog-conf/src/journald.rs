//! `journald.conf`: sections and `Name=value` lines (`journald.conf(5)`, `systemd.syntax(7)`).

use std::path::Path;

use conf_text::{Diagnostics, Loader, Sources, Spanned, nearest};
use log_core::RateLimit;

use crate::no_effect;
use crate::tables::{Entry, entry, find, is_listed};
use crate::values::{self, Taken, Wrong};

/// A `journald.conf` as meant. A size or a time that is none was not configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournaldSettings {
    /// Where entries go.
    pub storage: Storage,
    /// Large fields are compressed from this many bytes on; none: not at all.
    pub compress_bytes_min: Option<u64>,
    /// Files are sealed.
    pub seal: bool,
    /// A file per user.
    pub split_mode: SplitMode,
    /// Microseconds from an entry to its sync.
    pub sync_interval_micros: u64,
    /// The limit of each service; an interval or a burst of 0: none.
    pub rate_limit: RateLimit,
    /// Limits of `/var/log/journal`.
    pub system: SizeLimits,
    /// Limits of `/run/log/journal`.
    pub runtime: SizeLimits,
    /// Microseconds that entries are kept; 0: no end.
    pub retention_micros: u64,
    /// Microseconds of one file before it is rotated; 0: no end.
    pub file_micros_max: u64,
    /// Longest line of a stream, bytes.
    pub line_bytes_max: u64,
    /// `ForwardToSyslog`, where it was written: the journal's records pass through the rules.
    pub forward_to_syslog: Option<Spanned<bool>>,
    /// To the kernel's buffer.
    pub forward_to_kmsg: bool,
    /// To the console.
    pub forward_to_console: bool,
    /// To the terminals of users.
    pub forward_to_wall: bool,
    /// The terminal for the console.
    pub tty_path: std::path::PathBuf,
    /// The least important severity (code) that is stored or forwarded.
    pub max_levels: MaxLevels,
    /// `ReadKMsg`, where it was written: the kernel's buffer is read. Not written means yes.
    pub read_kmsg: Option<Spanned<bool>>,
}

/// `Storage=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In memory only (`/run`).
    Volatile,
    /// On disk (`/var`).
    Persistent,
    /// On disk where `/var/log/journal` exists.
    Auto,
    /// Nowhere; forwarding goes on.
    None,
}

/// `SplitMode=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitMode {
    /// Each user's entries in a file of their own.
    Uid,
    /// All in one.
    None,
}

/// `SystemMaxUse=` and its family, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SizeLimits {
    /// All files together.
    pub use_max: Option<u64>,
    /// What must stay free on the file system.
    pub keep_free: Option<u64>,
    /// One file.
    pub file_max: Option<u64>,
    /// How many archived files.
    pub files_max: Option<u64>,
}

/// Severity codes 0-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxLevels {
    /// Stored.
    pub store: u8,
    /// Forwarded to syslog.
    pub syslog: u8,
    /// Forwarded to the kernel's buffer.
    pub kmsg: u8,
    /// Forwarded to the console.
    pub console: u8,
    /// Forwarded to terminals.
    pub wall: u8,
}

impl Default for JournaldSettings {
    /// What `journald.conf(5)` says.
    fn default() -> Self {
        Self {
            storage: Storage::Auto,
            compress_bytes_min: Some(512),
            seal: true,
            split_mode: SplitMode::Uid,
            sync_interval_micros: 300_000_000,
            rate_limit: RateLimit { interval_micros: 30_000_000, burst: 10_000 },
            system: SizeLimits { files_max: Some(100), ..SizeLimits::default() },
            runtime: SizeLimits { files_max: Some(100), ..SizeLimits::default() },
            retention_micros: 0,
            file_micros_max: 2_629_800_000_000,
            line_bytes_max: 48 << 10,
            forward_to_syslog: None,
            forward_to_kmsg: false,
            forward_to_console: false,
            forward_to_wall: true,
            tty_path: "/dev/console".into(),
            max_levels: MaxLevels { store: 7, syslog: 7, kmsg: 5, console: 6, wall: 0 },
            read_kmsg: None,
        }
    }
}

fn level(value: &Spanned<String>) -> Taken<u8> {
    values::severity(&value.value).and_then(|code| match code {
        0..=7 => Ok(code),
        _ => Err(Wrong::new(
            format!("`{code}` is not a level"),
            "write a number from 0 to 7 or a name: `debug`",
        )),
    })
}

fn bytes(value: &Spanned<String>) -> Taken<Option<u64>> {
    values::size(&value.value).map(Some)
}

/// Settings of the section `[Journal]`.
pub(crate) const SETTINGS: &[Entry<JournaldSettings>] = &[
    entry("Storage", "volatile|persistent|auto|none", "auto", "Where entries go.", |settings, value| {
        settings.storage = match value.value.as_str() {
            "volatile" => Storage::Volatile,
            "persistent" => Storage::Persistent,
            "auto" => Storage::Auto,
            "none" => Storage::None,
            other => {
                return Err(Wrong::new(
                    format!("`{other}` is not a kind of storage"),
                    "write `volatile`, `persistent`, `auto` or `none`",
                ));
            }
        };
        Ok(())
    }),
    entry("Compress", "yes|no|SIZE", "yes (512)", "Large fields are compressed.", |settings, value| {
        settings.compress_bytes_min = match values::switch(&value.value) {
            // A bare 1 or 0 is a switch, any other number a size.
            Ok(on) => on.then_some(512),
            Err(_) => Some(values::size(&value.value)?.max(8)),
        };
        Ok(())
    }),
    entry("Seal", "yes|no", "yes", "Files are sealed, where keys exist.", |settings, value| {
        values::switch(&value.value).map(|on| settings.seal = on)
    }),
    entry("SplitMode", "uid|none", "uid", "A file per user.", |settings, value| {
        settings.split_mode = match value.value.as_str() {
            "uid" => SplitMode::Uid,
            "none" => SplitMode::None,
            other => {
                return Err(Wrong::new(format!("`{other}` is not a way to split"), "write `uid` or `none`"));
            }
        };
        Ok(())
    }),
    entry("SyncIntervalSec", "TIME", "5m", "From an entry to its sync.", |settings, value| {
        values::time_span_micros(&value.value).map(|micros| settings.sync_interval_micros = micros)
    }),
    entry("RateLimitIntervalSec", "TIME", "30s", "Interval of the limit of a service.", |settings, value| {
        values::time_span_micros(&value.value).map(|micros| settings.rate_limit.interval_micros = micros)
    }),
    entry("RateLimitBurst", "N", "10000", "Entries admitted in it.", |settings, value| {
        values::number(&value.value).map(|burst| settings.rate_limit.burst = burst)
    }),
    entry("SystemMaxUse", "SIZE", "10% of the file system", "All files on disk.", |settings, value| {
        bytes(value).map(|size| settings.system.use_max = size)
    }),
    entry(
        "SystemKeepFree",
        "SIZE",
        "15% of the file system",
        "What stays free on disk.",
        |settings, value| bytes(value).map(|size| settings.system.keep_free = size),
    ),
    entry("SystemMaxFileSize", "SIZE", "128M", "One file on disk.", |settings, value| {
        bytes(value).map(|size| settings.system.file_max = size)
    }),
    entry("SystemMaxFiles", "N", "100", "Archived files on disk.", |settings, value| {
        values::number(&value.value).map(|count| settings.system.files_max = Some(count))
    }),
    entry("RuntimeMaxUse", "SIZE", "10% of the file system", "All files in memory.", |settings, value| {
        bytes(value).map(|size| settings.runtime.use_max = size)
    }),
    entry(
        "RuntimeKeepFree",
        "SIZE",
        "15% of the file system",
        "What stays free in memory.",
        |settings, value| bytes(value).map(|size| settings.runtime.keep_free = size),
    ),
    entry("RuntimeMaxFileSize", "SIZE", "128M", "One file in memory.", |settings, value| {
        bytes(value).map(|size| settings.runtime.file_max = size)
    }),
    entry("RuntimeMaxFiles", "N", "100", "Archived files in memory.", |settings, value| {
        values::number(&value.value).map(|count| settings.runtime.files_max = Some(count))
    }),
    entry("MaxRetentionSec", "TIME", "0 (no end)", "How long entries are kept.", |settings, value| {
        values::time_span_micros(&value.value).map(|micros| settings.retention_micros = micros)
    }),
    entry(
        "MaxFileSec",
        "TIME",
        "1month",
        "How long a file is written before it is rotated.",
        |settings, value| {
            values::time_span_micros(&value.value).map(|micros| settings.file_micros_max = micros)
        },
    ),
    entry("LineMax", "SIZE", "48K", "Longest line of a stream.", |settings, value| {
        values::size(&value.value).map(|size| settings.line_bytes_max = size.max(79))
    }),
    entry("ForwardToSyslog", "yes|no", "no", "Entries also go to the syslog socket.", |settings, value| {
        values::switch(&value.value)
            .map(|on| settings.forward_to_syslog = Some(Spanned { value: on, span: value.span }))
    }),
    entry("ForwardToKMsg", "yes|no", "no", "To the kernel's buffer.", |settings, value| {
        values::switch(&value.value).map(|on| settings.forward_to_kmsg = on)
    }),
    entry("ForwardToConsole", "yes|no", "no", "To the console.", |settings, value| {
        values::switch(&value.value).map(|on| settings.forward_to_console = on)
    }),
    entry("ForwardToWall", "yes|no", "yes", "To the terminals of users.", |settings, value| {
        values::switch(&value.value).map(|on| settings.forward_to_wall = on)
    }),
    entry("TTYPath", "PATH", "/dev/console", "The terminal for the console.", |settings, value| {
        values::absolute_path(&value.value).map(|path| settings.tty_path = path)
    }),
    entry("MaxLevelStore", "LEVEL", "debug", "The least important that is stored.", |settings, value| {
        level(value).map(|code| settings.max_levels.store = code)
    }),
    entry("MaxLevelSyslog", "LEVEL", "debug", "That is forwarded to syslog.", |settings, value| {
        level(value).map(|code| settings.max_levels.syslog = code)
    }),
    entry(
        "MaxLevelKMsg",
        "LEVEL",
        "notice",
        "That is forwarded to the kernel's buffer.",
        |settings, value| level(value).map(|code| settings.max_levels.kmsg = code),
    ),
    entry("MaxLevelConsole", "LEVEL", "info", "That is forwarded to the console.", |settings, value| {
        level(value).map(|code| settings.max_levels.console = code)
    }),
    entry("MaxLevelWall", "LEVEL", "emerg", "That is forwarded to terminals.", |settings, value| {
        level(value).map(|code| settings.max_levels.wall = code)
    }),
    entry("ReadKMsg", "yes|no", "yes", "The kernel's buffer is read.", |settings, value| {
        values::switch(&value.value)
            .map(|on| settings.read_kmsg = Some(Spanned { value: on, span: value.span }))
    }),
];

const NOT_YET: &[&str] = &["Audit", "MaxLevelSocket", "ForwardToSocket"];

/// Parses `journald.conf`. None where there is an error.
pub fn parse_journald(
    path: &Path,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<JournaldSettings> {
    let errors_before = diagnostics.error_count();
    let mut settings = JournaldSettings::default();
    let id = sources.load(loader, path, None, diagnostics)?;
    let mut section: Option<String> = None;
    for (span, line) in sources.lines(id) {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        let place = span.part(indent, indent + text.len());
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = text.strip_prefix('[') {
            match name.strip_suffix(']') {
                Some("Journal") => section = Some("Journal".to_owned()),
                Some(other) => {
                    diagnostics.error(
                        place,
                        format!("`[{other}]` is not a section"),
                        "not known",
                        "write `[Journal]`",
                    );
                    section = Some(other.to_owned());
                }
                None => diagnostics.error(place, "a section's name is not closed", "", "write `[Journal]`"),
            }
            continue;
        }
        match &section {
            None => {
                diagnostics.error(
                    place,
                    "a setting stands before any section",
                    "",
                    "write `[Journal]` on a line before it",
                );
                continue;
            }
            Some(name) if name != "Journal" => continue,
            Some(_) => {}
        }
        let Some((name, value)) = text.split_once('=') else {
            diagnostics.error(
                place,
                "a setting is written `Name=value`",
                "no `=`",
                format!("write `{text}=...`"),
            );
            continue;
        };
        let name = name.trim_end();
        let name_span = place.part(0, name.len());
        let value_text = value.trim();
        let value_start = text.len() - value.trim_start().len();
        let value_span = place.part(value_start, text.len());
        match find(&[SETTINGS], name) {
            // Names are compared with case here, as systemd does.
            Some(entry) if entry.name == name => {
                if value_text.is_empty() {
                    // An empty value is the default again.
                    continue;
                }
                let value = Spanned { value: value_text.to_owned(), span: value_span };
                diagnostics.list.extend(no_effect::journald(name, value_text, name_span));
                if let Err(wrong) = (entry.set)(&mut settings, &value) {
                    diagnostics.error(value_span, wrong.cause, "", wrong.help);
                }
            }
            _ if is_listed(NOT_YET, name) => diagnostics.warning(
                name_span,
                format!("`{name}` is not supported yet"),
                "has no effect",
                "nothing else of the file is affected; take it out to silence this",
            ),
            _ => {
                let help = match nearest(name, SETTINGS.iter().map(|entry| entry.name)) {
                    Some(near) => format!("did you mean `{near}={value_text}`?"),
                    None => "look the name up in journald.conf(5)".to_owned(),
                };
                diagnostics.error(name_span, format!("`{name}` is not a setting"), "not known", help);
            }
        }
    }
    (diagnostics.error_count() == errors_before).then_some(settings)
}
