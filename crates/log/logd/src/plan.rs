//! Configuration text to what is to run.

use std::path::PathBuf;
use std::time::Duration;

use conf_text::{Diagnostic, Diagnostics, FileLoader, Sources};
use journal_file::{Limits, Vacuum};
use log_core::{RateLimit, Rules};
use rsyslog_conf::{InputKind, JournaldSettings, Settings, Storage};

use crate::cli::{Options, Role};
use crate::inputs::{InputKindPlan, InputPlan};
use crate::journal::JournalPlan;

/// What is to run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The rules part, where it runs.
    pub settings: Option<Settings>,
    pub inputs: Vec<InputPlan>,
    /// The journal part, where it runs.
    pub journal: Option<JournalPlan>,
    pub journal_rate: RateLimit,
    pub journal_level_max: u8,
    pub line_bytes_max: usize,
    /// What of journald.conf counts only at the start; none without a journal part.
    pub at_start: Option<AtStart>,
}

/// What of journald.conf is taken in when the journal is opened and does not change while it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtStart {
    /// Where the journal is; none: nowhere.
    dir: Option<PathBuf>,
    compress: bool,
    /// The size of one file as configured, directly or by that of all files: not what free space makes of it.
    file_bytes: (Option<u64>, Option<u64>),
}

impl AtStart {
    fn of(journald: &JournaldSettings, journal: Option<&JournalPlan>) -> Self {
        let dir = journal.map(|journal| journal.dir.clone());
        let volatile = journald.storage == Storage::Volatile
            || journald.storage == Storage::Auto
                && dir.as_ref().is_some_and(|dir| dir.starts_with("/run/log/journal"));
        let sizes = if volatile { &journald.runtime } else { &journald.system };
        // The size of all files says that of one where that one is not written.
        let file_bytes = (sizes.file_max, sizes.use_max.filter(|_| sizes.file_max.is_none()));
        Self { dir, compress: journald.compress_bytes_min.is_some(), file_bytes }
    }

    /// What `new` changes and a reload cannot: one sentence with what to do; none where nothing is.
    pub(crate) fn needs_restart(&self, new: &Self) -> Option<String> {
        let place = |dir: &Option<PathBuf>| {
            dir.as_ref().map_or_else(|| "nowhere".to_owned(), |dir| dir.display().to_string())
        };
        let mut changed = Vec::new();
        if self.dir != new.dir {
            let (from, to) = (place(&self.dir), place(&new.dir));
            changed.push(format!("Storage= (the journal is kept in {from} until then, in {to} after)"));
        }
        if self.compress != new.compress {
            changed.push("Compress=".to_owned());
        }
        // Without a journal, or with another, no file is there whose size could change.
        if self.dir == new.dir && self.dir.is_some() && self.file_bytes != new.file_bytes {
            changed.push("the size of one file (SystemMaxFileSize=, RuntimeMaxFileSize=)".to_owned());
        }
        let which = changed.join(", ");
        (!changed.is_empty()).then(|| format!("journald.conf: a restart is needed for {which}"))
    }
}

/// Reads the configuration; every error and warning is in the text, with file, line and caret.
pub(crate) fn read(options: &Options) -> Result<Plan, String> {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let mut loader = FileLoader;
    let settings = options.role.has_rules().then(|| {
        rsyslog_conf::parse_rsyslog(&options.conf_path, &mut loader, &mut sources, &mut diagnostics)
    });
    let journald = options.role.has_journal().then(|| {
        let path = rsyslog_conf::journald_conf_path(&options.layout);
        // A missing journald.conf is one that says nothing.
        if !path.exists() {
            return Some(JournaldSettings::default());
        }
        rsyslog_conf::parse_journald(&path, &mut loader, &mut sources, &mut diagnostics)
    });
    if let Some(Some(journald)) = &journald {
        report_by_role(journald, options, &mut diagnostics);
    }
    if let Some(Some(settings)) = &settings
        && options.role == Role::Logd
        && settings.inputs.iter().any(|input| matches!(input.kind, InputKind::Journal { .. }))
    {
        diagnostics.push(
            Diagnostic::warning("`imjournal` and its parameters are known and have no effect in logd")
                .note("logd is journal and rules in one: every record of the journal runs through the default rules as it comes")
                .help("take the module out to silence this"),
        );
    }
    let told = diagnostics.render(&sources, std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let (settings, journald) = match (settings, journald) {
        (Some(None), _) | (_, Some(None)) => return Err(told),
        (settings, journald) => (settings.flatten(), journald.flatten()),
    };
    eprint!("{told}");
    let mut inputs = Vec::new();
    if let Some(settings) = &settings {
        check_supported(settings)?;
        for input in &settings.inputs {
            let Some(kind) = input_kind(&input.kind, options)? else { continue };
            inputs.push(InputPlan {
                name: input.name.clone(),
                kind,
                ruleset: input.ruleset,
                rate_limit: input.rate_limit,
            });
        }
    }
    if let Some(journald) = &journald {
        add_journal_inputs(&mut inputs, journald, options);
    }
    let journal = journald.as_ref().and_then(|journald| journal_plan(journald, options));
    Ok(Plan {
        at_start: journald.as_ref().map(|journald| AtStart::of(journald, journal.as_ref())),
        settings,
        inputs,
        journal,
        journal_rate: journald.as_ref().map_or(RateLimit::NONE, |journald| journald.rate_limit),
        journal_level_max: journald.as_ref().map_or(7, |journald| journald.max_levels.store),
        line_bytes_max: journald.as_ref().map_or(48 * 1024, |journald| {
            usize::try_from(journald.line_bytes_max).unwrap_or(usize::MAX).max(80)
        }),
    })
}

/// What journald.conf says and this role cannot follow.
fn report_by_role(journald: &JournaldSettings, options: &Options, diagnostics: &mut Diagnostics) {
    let mut warn = |name: &str, span, instead: &str, help: &str| {
        let finding = Diagnostic::warning(format!("`{name}` is known and has no effect here"));
        diagnostics.push(finding.at(span, "read and not used").note(instead).help(help));
    };
    match (&journald.forward_to_syslog, options.role) {
        (Some(forward), Role::Logd) if !forward.value => warn(
            "ForwardToSyslog",
            forward.span,
            "logd is journal and rules in one: every record runs through the rules of rsyslog.conf",
            "run `journald` alone, or take the rules out of rsyslog.conf",
        ),
        (Some(forward), Role::Journald) if forward.value => warn(
            "ForwardToSyslog",
            forward.span,
            "the journal alone hands nothing to another log daemon",
            "run `logd`, which is journal and rules in one",
        ),
        _ => {}
    }
    if let Some(read) = journald.read_kmsg.as_ref().filter(|read| read.value)
        && options.layout.house_dir().is_some()
    {
        warn(
            "ReadKMsg",
            read.span,
            "in a house the host's own log daemon reads the kernel",
            "write module(load=\"imklog\") in rsyslog.conf to read it here too",
        );
    }
}

/// What the text may say and this daemon cannot do is an error, not a silence.
fn check_supported(settings: &Settings) -> Result<(), String> {
    if settings.globals.privilege_group.is_some() && settings.globals.privilege_user.is_none() {
        return Err("error: $PrivDropToGroup without $PrivDropToUser is not supported\nhelp: add $PrivDropToUser with a user of that group\n".to_owned());
    }
    Ok(())
}

fn input_kind(kind: &InputKind, options: &Options) -> Result<Option<InputKindPlan>, String> {
    Ok(Some(match kind {
        InputKind::UnixDatagram { path, use_pid_from_system, ignore_timestamp, parse_hostname, .. } => {
            InputKindPlan::UnixDatagram {
                path: path.clone().unwrap_or_else(|| syslog_proto::dev_log(&options.layout)),
                parse_hostname: *parse_hostname,
                ignore_timestamp: *ignore_timestamp,
                use_pid_from_system: *use_pid_from_system,
            }
        }
        InputKind::Kernel { permit_other_facilities } => {
            InputKindPlan::Kernel { permit_other_facilities: *permit_other_facilities }
        }
        InputKind::Udp { address, port, receive_buffer_bytes } => InputKindPlan::Udp {
            address: address.clone(),
            port: *port,
            receive_buffer_bytes: *receive_buffer_bytes,
        },
        InputKind::Tcp { address, port, framing, sessions_max, keep_alive } => {
            if !framing.line_feed || framing.additional_delimiter.is_some() {
                return Err("error: TCP messages end with a line feed here; another delimiter is not supported yet\nhelp: leave addTCPDelimiter and disableLFDelimiter out\n".to_owned());
            }
            InputKindPlan::Tcp {
                address: address.clone(),
                port: *port,
                octet_counted: framing.octet_counted,
                sessions_max: *sessions_max,
                keep_alive: *keep_alive,
            }
        }
        // Every record passes the rules already when the journal is ours.
        InputKind::Journal { .. } if options.role == Role::Logd => return Ok(None),
        InputKind::Journal { .. } => {
            return Err("error: imjournal is not supported yet by rsyslogd alone\nhelp: run `logd`, which is journal and rules in one, or load imuxsock\n".to_owned());
        }
    }))
}

/// The journal's sockets, beside what the rules part names; nothing is bound twice.
fn add_journal_inputs(inputs: &mut Vec<InputPlan>, journald: &JournaldSettings, options: &Options) {
    let dev_log = syslog_proto::dev_log(&options.layout);
    let plan = |name: &str, kind| InputPlan {
        name: name.to_owned(),
        kind,
        ruleset: Rules::DEFAULT,
        rate_limit: RateLimit::NONE,
    };
    let has_dev_log = inputs
        .iter()
        .any(|input| matches!(&input.kind, InputKindPlan::UnixDatagram { path, .. } if *path == dev_log));
    if !has_dev_log {
        let kind = InputKindPlan::UnixDatagram {
            path: dev_log,
            parse_hostname: false,
            ignore_timestamp: true,
            use_pid_from_system: false,
        };
        inputs.push(plan("imuxsock", kind));
    }
    inputs.push(plan(
        "imjournal",
        InputKindPlan::Native { path: syslog_proto::native_socket(&options.layout) },
    ));
    inputs.push(plan(
        "imjournal",
        InputKindPlan::Stream { path: syslog_proto::stream_socket(&options.layout) },
    ));
    // In a house the host's own log daemon reads the kernel; two would tell everything twice.
    let has_kernel = inputs.iter().any(|input| matches!(input.kind, InputKindPlan::Kernel { .. }));
    if journald.read_kmsg.as_ref().is_none_or(|read| read.value)
        && !has_kernel
        && options.layout.house_dir().is_none()
    {
        inputs.push(plan("imklog", InputKindPlan::Kernel { permit_other_facilities: true }));
    }
}

/// journald's own defaults: a tenth of the file system, at most 4 GiB; files of an eighth of that, at most 128 MiB.
const USE_BYTES_MAX: u64 = 4 << 30;
const FILE_BYTES_MAX: u64 = 128 << 20;
const FILE_BYTES_MIN: u64 = 512 << 10;
/// As stock has it.
const FILES_MAX: usize = 100;

fn journal_plan(journald: &JournaldSettings, options: &Options) -> Option<JournalPlan> {
    let persistent = journal_file::journal_dir(&options.layout);
    let volatile = options.layout.place("run/journal", "/run/log/journal");
    let (base, sizes) = match journald.storage {
        Storage::None => return None,
        Storage::Volatile => (volatile, &journald.runtime),
        Storage::Persistent => (persistent, &journald.system),
        Storage::Auto if options.layout.house_dir().is_some() || persistent.exists() => {
            (persistent, &journald.system)
        }
        Storage::Auto => (volatile, &journald.runtime),
    };
    let place = base.ancestors().find(|folder| folder.exists());
    let (free, total) =
        place.and_then(|folder| sys::file::space(folder).ok()).unwrap_or((u64::MAX, u64::MAX));
    let mut use_max = sizes.use_max.unwrap_or((total / 10).min(USE_BYTES_MAX));
    if let Some(keep_free) = sizes.keep_free {
        use_max = use_max.min(free.saturating_sub(keep_free));
    }
    let file_max = sizes.file_max.unwrap_or((use_max / 8).min(FILE_BYTES_MAX)).max(FILE_BYTES_MIN);
    let micros = |value: u64| (value > 0).then(|| Duration::from_micros(value));
    Some(JournalPlan {
        dir: base.join(crate::journal::machine_id()),
        limits: Limits {
            max_size: file_max,
            compress: journald.compress_bytes_min.is_some(),
            ..Limits::default()
        },
        keep: Vacuum {
            max_bytes: Some(use_max),
            max_files: Some(
                sizes.files_max.and_then(|files| usize::try_from(files).ok()).unwrap_or(FILES_MAX),
            ),
            before: None,
        },
        retention: micros(journald.retention_micros),
        max_file_age: micros(journald.file_micros_max),
        sync_interval: Duration::from_micros(journald.sync_interval_micros.max(1)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a change that waits for a restart is told by its name, and only such a change.
    #[test]
    fn what_waits_for_a_restart_is_told() {
        let call = layout::Call {
            name: "logd".to_owned(),
            args: Vec::new(),
            layout: layout::Layout::house("/nowhere/house"),
        };
        let Ok(crate::cli::Command::Run(options)) = crate::cli::parse(&call) else { panic!("it runs") };
        let at_start = |lines: &str| {
            let text = format!("[Journal]\n{lines}\n");
            let mut loader = conf_text::MemoryLoader::new([("/j", text.as_str())]);
            let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
            let path = std::path::Path::new("/j");
            let journald = rsyslog_conf::parse_journald(path, &mut loader, &mut sources, &mut diagnostics)
                .expect("no error");
            AtStart::of(&journald, journal_plan(&journald, &options).as_ref())
        };
        let check = |before: &str, after: &str, expected: &[&str]| {
            let told = at_start(before).needs_restart(&at_start(after));
            assert_eq!(told.is_some(), !expected.is_empty(), "{before} {after}: {told:?}");
            let told = told.unwrap_or_default();
            assert!(expected.iter().all(|part| told.contains(part)), "{before} {after}: {told}");
        };
        check("", "", &[]);
        check("", "Storage=persistent", &[]);
        check("", "Storage=none", &["restart", "Storage=", "in nowhere after"]);
        check("Storage=none", "Storage=volatile", &["Storage=", "run/journal"]);
        check("", "Storage=volatile\nCompress=no", &["Storage=", "Compress="]);
        check("SystemMaxFileSize=2M", "SystemMaxFileSize=4M", &["SystemMaxFileSize="]);
        check("SystemMaxUse=200M", "SystemMaxUse=400M", &["size of one file"]);
        check("SystemMaxFileSize=2M", "SystemMaxFileSize=2M\nSystemMaxUse=400M", &[]);
        check("", "MaxRetentionSec=1day\nRuntimeMaxFileSize=4M\nRateLimitBurst=5", &[]);
    }

    /// Goal: what journald.conf says and the role cannot follow is a warning by name with its place; what the role does anyway
    /// is none.
    #[test]
    fn what_has_no_effect_in_a_role_is_said() {
        let check = |name: &str, house: bool, line: &str, expected: &str| {
            let layout = if house { layout::Layout::house("/h") } else { layout::Layout::system() };
            let call = layout::Call { name: name.to_owned(), args: Vec::new(), layout };
            let Ok(crate::cli::Command::Run(options)) = crate::cli::parse(&call) else { panic!("it runs") };
            let text = format!("[Journal]\n{line}\n");
            let mut loader = conf_text::MemoryLoader::new([("/j", text.as_str())]);
            let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
            let path = std::path::Path::new("/j");
            let journald = rsyslog_conf::parse_journald(path, &mut loader, &mut sources, &mut diagnostics)
                .expect("no error");
            report_by_role(&journald, &options, &mut diagnostics);
            let said = diagnostics.render(&sources, false);
            if expected.is_empty() {
                assert_eq!(said, "", "{name} {line}");
            } else {
                assert_eq!(diagnostics.warning_count(), 1, "{said}");
                let warning = format!("warning: `{expected}` is known and has no effect here");
                assert!(
                    said.contains(&warning) && said.contains("/j:2:") && said.contains("help: "),
                    "{said}"
                );
            }
        };
        check("logd", false, "ForwardToSyslog=yes", "");
        check("logd", false, "ForwardToSyslog=no", "ForwardToSyslog");
        check("journald", false, "ForwardToSyslog=yes", "ForwardToSyslog");
        check("journald", false, "ForwardToSyslog=no", "");
        check("logd", true, "ReadKMsg=yes", "ReadKMsg");
        check("logd", true, "ReadKMsg=no", "");
        check("journald", false, "ReadKMsg=yes", "");
    }
}
