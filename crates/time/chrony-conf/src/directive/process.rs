//! The process itself: its logs, its rights, its files.

use super::Directive;
use crate::known::LOGS_NOT_WRITTEN;
use crate::settings::{Logs, MailOnChange};
use crate::words::{Word, Words};

/// The directives of the process.
pub(super) const PROCESS: &[Directive] = &[
    path!("logdir" like " /var/log/chrony", "none", "folder of the log files", log_dir, slash: false),
    directive!(
        "log" " measurements|rawmeasurements|statistics|tracking|selection|rtc|refclocks|tempcomp ..." like " measurements statistics tracking",
        "none",
        "which log files are written",
        |w, s| {
            while let Some(word) = w.next() {
                match LOG_NAMES.iter().find(|(name, _)| *name == word.text) {
                    Some((name, set)) => {
                        *set(&mut s.logs) = true;
                        if let Some((_, instead)) = LOGS_NOT_WRITTEN.iter().find(|(known, _)| known == name) {
                            not_done(w, word, &format!("log {name}"), instead, "log tracking measurements statistics");
                        }
                    }
                    None => {
                        let names: Vec<&str> = LOG_NAMES.iter().map(|(name, _)| *name).collect();
                        w.no_choice(word, "file", &names);
                        return None;
                    }
                }
            }
            // chrony: raw measurements are measurements.
            s.logs.measurements |= s.logs.raw_measurements;
            Some(())
        },
        |s| {
            let mut logs = s.logs;
            let names: Vec<&str> =
                LOG_NAMES.iter().filter(|(_, set)| *set(&mut logs)).map(|(name, _)| *name).collect();
            if names.is_empty() { Vec::new() } else { vec![names.join(" ")] }
        }
    ),
    count!("logbanner" " LINES" like " 32", 32, "lines of a log file between two headings; 0: no headings", "a number of lines", 0 to i32::MAX, log_banner: u32),
    directive!(
        "mailonchange" " ADDRESS SECONDS" like " root@localhost 0.5",
        "none",
        "who gets a mail when the clock is corrected by more than this",
        |w, s| {
            let word = w.required("an address")?;
            if !is_address(word.text) {
                w.wrong(word, "a local user or a mail address");
                return None;
            }
            let address = word.text.to_owned();
            let threshold = w.magnitude("seconds")?;
            w.end()?;
            s.mail_on_change = Some(MailOnChange { address, threshold });
            Some(())
        },
        |s| s.mail_on_change.iter().map(|one| format!("{} {}", one.address, one.threshold)).collect()
    ),
    path!("pidfile" like " /run/chrony/chronyd.pid", "/run/chrony/chronyd.pid", "where the process id is written (/: nowhere)", pid_file, slash: true),
    directive!(
        "user" " NAME" like " _chrony",
        "as started",
        "the user as whom the daemon goes on when it was started by root",
        |w, s| {
            let name = w.required("a user name")?;
            w.end()?;
            s.user = Some(name.text.to_owned());
            Some(())
        },
        |s| s.user.iter().cloned().collect()
    ),
    switch!("lock_all", "the daemon's memory is not paged out", lock_all),
    count!("sched_priority" " PRIORITY" like " 1", 0, "priority under SCHED_FIFO; 0: the usual scheduler", "a priority", 0 to 100, sched_priority: u8),
];

/// Whether a text can stand bare in the header of a mail, and is no option of a program.
fn is_address(text: &str) -> bool {
    let bad = |letter: char| letter.is_control() || "<>()[],;:\\\"/|'`".contains(letter);
    let host = text.split_once('@').map_or("x", |(_, host)| host);
    let is_host = host.split('.').all(|label| {
        !label.is_empty() && label.chars().all(|letter| letter.is_alphanumeric() || "-_".contains(letter))
    });
    !text.starts_with(['-', '@']) && is_host && text.matches('@').count() < 2 && !text.contains(bad)
}

type LogField = fn(&mut Logs) -> &mut bool;

const LOG_NAMES: &[(&str, LogField)] = &[
    ("measurements", |logs| &mut logs.measurements),
    ("rawmeasurements", |logs| &mut logs.raw_measurements),
    ("statistics", |logs| &mut logs.statistics),
    ("tracking", |logs| &mut logs.tracking),
    ("selection", |logs| &mut logs.selection),
    ("rtc", |logs| &mut logs.rtc),
    ("refclocks", |logs| &mut logs.refclocks),
    ("tempcomp", |logs| &mut logs.tempcomp),
];

/// Whether a log file is asked for, by its name.
pub(crate) fn log_field(logs: &mut Logs, name: &str) -> bool {
    LOG_NAMES.iter().find(|(known, _)| *known == name).is_some_and(|(_, field)| *field(logs))
}

/// Says by name what is understood and not done.
fn not_done(w: &mut Words<'_, '_>, word: Word<'_>, what: &str, instead: &str, help: &str) {
    let finding = conf_text::Diagnostic::warning(format!("{what} is known and has no effect here"));
    w.diagnostics.push(finding.at(word.span, "left out").note(instead).help(help));
}
