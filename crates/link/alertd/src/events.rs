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

/// The id makes the record one that no rule matches.
fn letter_fields(letter: &Letter, field: &mut dyn FnMut(&str, &str)) {
    field("BANTO_ALERT_ID", &letter.id);
    field("BANTO_ALERT_RULE", &letter.rule);
    field("BANTO_ALERT_RECORDS", &letter.count.to_string());
}
