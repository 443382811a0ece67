//! banto.toml text to typed settings.
//!
//! For: alertd (rules, the `sendmail` command), webd (where it listens) and `banto check`.
//!
//! Always: every mistake of a text is reported, each with its place, cause and a line that can be pasted; a text with a mistake
//! gives no settings, so that a failed reload changes nothing. Each key is one value with name, syntax, meaning and reader.
//!
//! Never: it reads no file and starts nothing; it knows no other configuration language of the suite.
#![forbid(unsafe_code)]

mod duration;
mod keys;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alert_core::Rule;
use conf_text::{Diagnostic, Diagnostics, Loader, Sources, Span};
use layout::Layout;

pub use duration::{parse_duration, parse_duration_error};
pub use keys::{KeyDoc, documented_keys, is_address};

/// Where banto.toml stands.
pub fn path(layout: &Layout) -> PathBuf {
    layout.place("etc/banto.toml", "/etc/banto/banto.toml")
}

/// What banto.toml says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The command that takes a mail on its standard input, program first; none means the layout's own `sendmail`.
    pub sendmail: Option<Vec<String>>,
    /// The sender's address of alerts.
    pub from: String,
    /// Mails of all rules together in any hour.
    pub mails_per_hour_max: u32,
    /// Who gets the doctor's mail.
    pub doctor_to: Vec<String>,
    /// The alert rules.
    pub rules: Vec<Rule>,
    /// Where the web page listens.
    pub web_listen: SocketAddr,
}

/// The overall budget where the file does not say: one mail every two minutes wakes nobody's mailbox quota.
pub const MAILS_PER_HOUR_DEFAULT: u32 = 30;

/// A rule's budget where the file does not say.
pub const RULE_MAILS_PER_HOUR_DEFAULT: u32 = 12;

/// A rule's time to its digest where the file does not say.
pub const GROUP_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// A rule's time from digest to digest where the file does not say; Alertmanager's.
pub const REPEAT_INTERVAL_DEFAULT: Duration = Duration::from_secs(4 * 3600);

/// The port of the web page: loopback only.
pub const WEB_LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8125);

impl Default for Settings {
    fn default() -> Self {
        Self {
            sendmail: None,
            from: "root".to_owned(),
            mails_per_hour_max: MAILS_PER_HOUR_DEFAULT,
            doctor_to: vec!["root".to_owned()],
            rules: Vec::new(),
            web_listen: WEB_LISTEN_DEFAULT,
        }
    }
}

/// One mistake in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The bytes of the text that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// Reads a text; either everything is right, or all mistakes are told.
pub fn parse(text: &str) -> Result<Settings, Vec<Mistake>> {
    let (document, errors) = toml::de::DeTable::parse_recoverable(text);
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| Mistake {
            span: error.span().unwrap_or(0..0),
            cause: error.message().lines().collect::<Vec<_>>().join(", "),
            // The grammar's own message says what was expected; the shape of a line helps in every case.
            help: Some(
                "KEY = \"TEXT\", KEY = NUMBER, KEY = [\"A\", \"B\"], or [[rule]] on a line of its own"
                    .to_owned(),
            ),
        })
        .collect();
    let mut settings = Settings::default();
    keys::read_document(document.get_ref(), &mut settings, &mut mistakes);
    if mistakes.is_empty() {
        Ok(settings)
    } else {
        mistakes.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        mistakes.dedup();
        Err(mistakes)
    }
}

/// Loads and reads the file at `path`. Each mistake becomes a diagnostic; none comes back when there is one.
pub fn load(
    path: &Path,
    loader: &mut dyn Loader,
    sources: &mut Sources,
    diagnostics: &mut Diagnostics,
) -> Option<Settings> {
    let id = sources.load(loader, path, None, diagnostics)?;
    match parse(sources.text(id)) {
        Ok(settings) => Some(settings),
        Err(mistakes) => {
            for mistake in mistakes {
                let span = Span { source: id, start: mistake.span.start, end: mistake.span.end };
                let mut report = Diagnostic::error(mistake.cause).at(span, "");
                if let Some(help) = mistake.help {
                    report = report.help(help);
                }
                diagnostics.push(report);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
