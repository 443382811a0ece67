//! What is read and checked and then changes nothing in the daemon: each said by name, with what holds in its place.
//!
//! A value that asks for what happens anyway is no finding: nobody gets anything else than was written.

use conf_text::{Diagnostic, Span, Spanned};

use crate::parser::Parser;

/// A parameter of an action or a queue as written, kept until it is known what it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    /// As objects call it, in small letters: `queue.size`, `action.resumeretrycount`.
    pub parameter: String,
    /// As it stands in the text: `$ActionQueueSize`, `queue.size`.
    pub written: String,
    pub value: String,
    pub span: Span,
}

impl Noted {
    pub(crate) fn new(parameter: &str, name: &Spanned<String>, value: &str) -> Self {
        Self {
            parameter: parameter.to_ascii_lowercase(),
            written: name.value.clone(),
            value: value.to_owned(),
            span: name.span,
        }
    }
}

/// What a queue or a retry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// `main_queue()`, `$MainMsgQueue*`.
    Main,
    /// `@@host`.
    TcpForward { has_folder: bool },
    /// `@host`.
    UdpForward,
    /// Files, terminals, pipes.
    Other,
}

const NO_MAIN_QUEUE: &str =
    "no queue stands between inputs and rules: whoever reads a message runs the rules at once";
const NO_ACTION_QUEUE: &str =
    "only forwards have a queue; other actions write in batches, and inputs wait for them";
const NO_DISK_QUEUE: &str = "messages for a UDP receiver wait in memory only";
const BY_BYTES: &str =
    "a queue holds 32 MiB in memory, from 4 MiB on on disk where it has a file; what does not fit is counted";

/// What holds in the place of a parameter of a queue or of a retry; none where it does what it says.
fn in_place(parameter: &str, value: &str, owner: Owner) -> Option<&'static str> {
    let on = matches!(value.to_ascii_lowercase().as_str(), "on" | "yes" | "true" | "1");
    let kind = value.to_ascii_lowercase();
    let forward = matches!(owner, Owner::TcpForward { .. } | Owner::UdpForward);
    match parameter {
        "action.resumeretrycount" if forward => (value == "0")
            .then_some("messages wait while the receiver is away; none is discarded after one attempt"),
        "action.resumeretrycount" => (value != "0")
            .then_some("what cannot be written is counted as lost at once, and the next message is tried"),
        "action.resumeinterval" => (!forward).then_some("every batch is a new attempt"),
        "action.resumeintervalmax" => {
            Some("pauses between attempts grow from 0.1 s to action.resumeInterval and no further")
        }
        "queue.workerthreads" if value == "1" => None,
        "queue.workerthreads" => Some("one thread keeps the order of messages"),
        "queue.saveonshutdown" | "queue.syncqueuefiles"
            if !on && !matches!(owner, Owner::TcpForward { .. }) =>
        {
            None
        }
        "queue.type" if kind == "direct" && !forward => None,
        _ => match owner {
            Owner::Main => Some(NO_MAIN_QUEUE),
            Owner::Other => Some(NO_ACTION_QUEUE),
            Owner::UdpForward | Owner::TcpForward { .. } => in_place_of_forward(parameter, &kind, on, owner),
        },
    }
}

fn in_place_of_forward(parameter: &str, kind: &str, on: bool, owner: Owner) -> Option<&'static str> {
    match (parameter, owner) {
        ("queue.timeoutshutdown", _) => None,
        ("queue.type", _) => match kind {
            "direct" => Some("a forward always has a queue, so that a slow receiver holds nobody up"),
            "disk" => Some(
                "messages wait in memory first; on disk stands what is more than 4 MiB, and what waits at the end",
            ),
            _ => None,
        },
        (
            "queue.filename"
            | "queue.spooldirectory"
            | "queue.maxdiskspace"
            | "queue.maxfilesize"
            | "queue.saveonshutdown"
            | "queue.syncqueuefiles",
            Owner::UdpForward,
        ) => Some(NO_DISK_QUEUE),
        ("queue.filename", Owner::TcpForward { has_folder: false }) => {
            Some("there is no directory for it: messages wait in memory only (set $WorkDirectory)")
        }
        ("queue.saveonshutdown", Owner::TcpForward { has_folder: true }) => {
            (!on).then_some("what waits at the end is always kept on disk")
        }
        ("queue.saveonshutdown", _) => {
            on.then_some("there is no directory for it: what waits at the end is lost (set $WorkDirectory)")
        }
        (
            "queue.filename"
            | "queue.spooldirectory"
            | "queue.maxdiskspace"
            | "queue.maxfilesize"
            | "queue.syncqueuefiles",
            _,
        ) => None,
        ("queue.dequeuebatchsize", _) => Some("what waits is sent as the connection takes it"),
        ("queue.timeoutenqueue", _) => Some("nobody waits for room in it: what does not fit is counted"),
        _ => Some(BY_BYTES),
    }
}

/// Settings with a value that changes nothing: as written (`$` names first), whether the value is such a one, what holds.
type Plain = (&'static str, fn(&str) -> bool, &'static str);

const PLAIN: &[Plain] = &[
    ("$RepeatedMsgReduction", is_on, "every message is written as it came, however often the same one comes"),
    (
        "net.enableDNS",
        is_on,
        "names of peers come from /etc/hosts; the DNS is never asked, so that no message waits for it",
    ),
    ("CreatePath", is_off, "missing directories of a socket are always made"),
];

/// The same for `journald.conf`.
const JOURNALD: &[Plain] = &[
    ("Seal", is_on, "files are not sealed; `journalctl --verify` checks their structure and hashes"),
    (
        "SplitMode",
        |value| value == "uid",
        "all entries of a host stand in one file; `journalctl _UID=` selects",
    ),
    (
        "Compress",
        |value| !is_on(value) && !is_off(value),
        "fields of 512 bytes and more are compressed, whatever the size here",
    ),
    ("ForwardToKMsg", is_on, "nothing is written to the kernel's buffer"),
    ("ForwardToConsole", is_on, "nothing is written to the console; a rule does it: *.err  /dev/console"),
    ("ForwardToWall", is_on, "a rule of rsyslog.conf writes to terminals: *.emerg  :omusrmsg:*"),
    ("TTYPath", |_| true, "nothing is written to the console"),
    ("MaxLevelSyslog", |_| true, "the rules get every record; their selectors choose"),
    ("MaxLevelKMsg", |_| true, "nothing is written to the kernel's buffer"),
    ("MaxLevelConsole", |_| true, "nothing is written to the console"),
    ("MaxLevelWall", |_| true, "a rule of rsyslog.conf writes to terminals: *.emerg  :omusrmsg:*"),
];

fn is_on(value: &str) -> bool {
    crate::values::switch(value) == Ok(true)
}

fn is_off(value: &str) -> bool {
    crate::values::switch(value) == Ok(false)
}

fn lookup(table: &[Plain], name: &str, value: &str) -> Option<&'static str> {
    let found = table.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    found.and_then(|(_, without, instead)| without(value).then_some(*instead))
}

/// The finding about a setting of `journald.conf`, if its value changes nothing.
pub(crate) fn journald(name: &str, value: &str, span: Span) -> Option<Diagnostic> {
    lookup(JOURNALD, name, value).map(|instead| finding(name, instead, span, &format!("#{name}={value}")))
}

/// A warning by name.
pub(crate) fn finding(name: &str, instead: &str, span: Span, help: &str) -> Diagnostic {
    Diagnostic::warning(format!("`{name}` is known and has no effect here"))
        .at(span, "read and not used")
        .note(instead)
        .help(help)
}

impl Parser<'_> {
    /// Says of each parameter that changes nothing what holds in its place.
    pub(crate) fn report_without_effect(&mut self, noted: &[Noted], owner: Owner) {
        for one in noted {
            if let Some(instead) = in_place(&one.parameter, &one.value, owner) {
                let help = "take it out to silence this; nothing else is affected";
                self.diagnostics.push(finding(&one.written, instead, one.span, help));
            }
        }
    }

    /// The same for a directive (`$Name`) or a parameter of its own.
    pub(crate) fn report_plain(&mut self, name: &str, value: &str, span: Span) {
        if let Some(instead) = lookup(PLAIN, name, value) {
            let help = match name.starts_with('$') {
                true => format!("#{name} {value}"),
                false => format!("take `{name}=\"{value}\"` out to silence this"),
            };
            self.diagnostics.push(finding(name, instead, span, &help));
        }
    }
}
