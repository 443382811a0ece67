//! `mailonchange`: a record of each change of the clock above the threshold, of which the alert daemon makes a mail.
//!
//! This daemon starts no program: chrony itself cannot serve the directive under its filter of system calls. The record has no
//! recipient, which the alert daemon reads in chrony.conf, so that nobody who can write a record chooses one.

use super::Daemon;
use crate::events::Happened;
use crate::options::Once;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after the start the alert daemon is looked for: in a house all start together.
const LOOK_AFTER: Duration = Duration::from_secs(15);

/// What `mailonchange` needs beside its settings.
#[derive(Debug)]
pub(super) struct MailOnChange {
    /// The alert daemon's control socket.
    alerts: PathBuf,
    /// The file in which the alert daemon looks for the recipient.
    configuration: PathBuf,
    /// When it is looked for, once.
    look_at: Option<Duration>,
}

impl MailOnChange {
    pub(super) fn new(layout: &layout::Layout, now: Duration) -> Self {
        Self {
            alerts: control::socket_path(layout, "alertd"),
            configuration: chrony_conf::conf_path(layout),
            look_at: Some(now + LOOK_AFTER),
        }
    }
}

impl Daemon {
    /// The clock was found `seconds` off, and is corrected.
    pub(super) fn mail_change(&mut self, seconds: f64) {
        let Some(one) = &self.config.settings.mail_on_change else { return };
        if seconds.abs() <= one.threshold || self.options.once != Once::No {
            return;
        }
        let threshold = one.threshold;
        self.log.say(&Happened::Changed { seconds, threshold });
        if let Some(why) = self.no_mail() {
            self.log.say(&Happened::Warning { what: format!("No mail of it is sent: {why}") });
        }
    }

    /// Says at the start that nobody will get a mail, where that is known already.
    pub(super) fn look_for_mail(&mut self) {
        if self.config.settings.mail_on_change.is_some()
            && self.options.once == Once::No
            && let Some(why) = self.never_mails()
        {
            self.mail.look_at = None;
            self.log.say(&Happened::Warning { what: format!("mailonchange sends no mail: {why}") });
        }
    }

    /// Says once, a while after the start, that nobody will get a mail.
    pub(super) fn look_for_alerts(&mut self, now: Duration) {
        if self.mail.look_at.is_none_or(|at| now < at) {
            return;
        }
        self.mail.look_at = None;
        if self.config.settings.mail_on_change.is_some()
            && let Some(why) = self.no_mail()
        {
            self.log.say(&Happened::Warning { what: format!("mailonchange sends no mail: {why}") });
        }
    }

    /// Why no change of this run reaches anybody; none when one may.
    fn never_mails(&self) -> Option<String> {
        if !self.log.has_journal() {
            return Some(
                "the log does not go to the journal (-d), where the alert daemon reads it".to_owned(),
            );
        }
        let file = &self.mail.configuration;
        let other = self.options.config_file.as_ref().filter(|path| !is_same(path, file));
        if other.is_some() || !self.options.directives.is_empty() {
            return Some(format!(
                "the alert daemon looks for the recipient in {}, which this run does not read",
                file.display()
            ));
        }
        None
    }

    /// Why a change would reach nobody; none when it would.
    fn no_mail(&self) -> Option<String> {
        if let Some(why) = self.never_mails() {
            return Some(why);
        }
        match sys::socket::connect_unix_stream(&self.mail.alerts) {
            // Whom it does not let in, it is there for.
            Err(error) if !matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::WouldBlock) => {
                Some(format!(
                    "the alert daemon (banto alertd) does not run: {}: {error}",
                    self.mail.alerts.display()
                ))
            }
            _ => None,
        }
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    real(one) == real(other)
}
