//! What the alert daemon says of itself.

use alert_core::{Kind, Letter};
use selflog::{Event, Severity};

/// A mail was handed over: `sendmail` took it.
pub struct HandedOver<'a>(pub &'a Letter);

impl Event for HandedOver<'_> {
    fn name(&self) -> &'static str {
        "alert.sent"
    }

    fn severity(&self) -> Severity {
        Severity::Info
    }

    fn message(&self) -> String {
        let kind = if self.0.kind == Kind::First { "first mail" } else { "digest" };
        let records = if self.0.count == 1 { "record" } else { "records" };
        format!("{kind} of rule {} sent, {} {records} (alert {})", self.0.rule, self.0.count, self.0.id)
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        letter_fields(self.0, field);
    }
}

/// `sendmail` did not take a mail; it is tried again.
pub struct NotHandedOver<'a> {
    /// The mail.
    pub letter: &'a Letter,
    /// What it said.
    pub why: &'a str,
    /// The pause before the next attempt, microseconds.
    pub pause_usec: u64,
}

impl Event for NotHandedOver<'_> {
    fn name(&self) -> &'static str {
        "alert.not_sent"
    }

    fn severity(&self) -> Severity {
        Severity::Err
    }

    fn message(&self) -> String {
        format!(
            "alert {} of rule {} was not sent: {}; trying again in {} s",
            self.letter.id,
            self.letter.rule,
            self.why,
            self.pause_usec.div_ceil(1_000_000)
        )
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        letter_fields(self.letter, field);
        field("BANTO_ALERT_ATTEMPTS", &(self.letter.attempts + 1).to_string());
    }
}

/// `sendmail` refused a mail for good; it is not tried again.
pub struct Refused<'a> {
    /// The mail.
    pub letter: &'a Letter,
    /// What it said.
    pub why: &'a str,
    /// Its exit code.
    pub exit_code: i32,
}

impl Event for Refused<'_> {
    fn name(&self) -> &'static str {
        "alert.refused"
    }

    fn severity(&self) -> Severity {
        Severity::Err
    }

    fn message(&self) -> String {
        format!(
            "alert {} of rule {} to {} was refused for good and is not tried again: {}; recipients that it does not name may have \
             it; correct `to` of that rule in banto.toml (or the sendmail command) and reload",
            self.letter.id,
            self.letter.rule,
            recipients(self.letter),
            self.why
        )
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        letter_fields(self.letter, field);
        field("BANTO_ALERT_TO", recipients(self.letter));
        field("EXIT_STATUS", &self.exit_code.to_string());
    }
}

/// So many records were gone before they were read. No alert's id: this is a reason for an alert.
pub struct Gap(pub u64);

impl Event for Gap {
    fn name(&self) -> &'static str {
        "journal.gap"
    }

    fn severity(&self) -> Severity {
        Severity::Crit
    }

    fn message(&self) -> String {
        let records = if self.0 == 1 { "record was" } else { "records were" };
        format!(
            "{} {records} deleted from the journal (or damaged) before the rules looked at them: alerts may be missing; more room \
             (SystemMaxUse in journald.conf) keeps records for longer",
            self.0
        )
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("BANTO_RECORDS", &self.0.to_string());
    }
}

/// The recipients as the mail's header has them.
fn recipients(letter: &Letter) -> &str {
    letter.text.lines().find_map(|line| line.strip_prefix("To: ")).unwrap_or_default()
}

/// The id makes the record one that no rule matches.
fn letter_fields(letter: &Letter, field: &mut dyn FnMut(&str, &str)) {
    field("BANTO_ALERT_ID", &letter.id);
    field("BANTO_ALERT_RULE", &letter.rule);
    field("BANTO_ALERT_RECORDS", &letter.count.to_string());
}
