//! What the daemon says of itself: typed events (`ARCHITECTURE.md`, "Delivery records").

use selflog::{Event, Severity};

use crate::protocol::{Attempt, Verdict};

/// A message entered the queue.
pub struct Accepted<'a> {
    /// `syslog_name`.
    pub syslog_name: &'a str,
    /// As shown.
    pub queue_id: &'a str,
    /// Message-ID field.
    pub message_id: &'a str,
    /// Envelope sender.
    pub sender: &'a str,
    /// Octets.
    pub size: usize,
    /// Number of recipients.
    pub recipients: usize,
    /// X-Banto-Alert field.
    pub alert_id: Option<&'a str>,
}

impl Event for Accepted<'_> {
    fn name(&self) -> &'static str {
        "mail.accepted"
    }
    fn severity(&self) -> Severity {
        Severity::Info
    }
    fn message(&self) -> String {
        let (id, sender, size, n) = (self.queue_id, self.sender, self.size, self.recipients);
        format!("{id}: from=<{sender}>, size={size}, nrcpt={n} (queue active)")
    }
    fn identifier(&self) -> Option<String> {
        Some(format!("{}/qmgr", self.syslog_name))
    }
    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("MAIL_QUEUE_ID", self.queue_id);
        field("MAIL_MESSAGE_ID", self.message_id);
        field("MAIL_FROM", self.sender);
        field("MAIL_SIZE", &self.size.to_string());
        if let Some(id) = self.alert_id {
            field("BANTO_ALERT_ID", id);
        }
    }
}

/// One delivery attempt.
pub struct Delivery<'a> {
    /// `syslog_name`.
    pub syslog_name: &'a str,
    /// As shown.
    pub queue_id: &'a str,
    /// Message-ID field.
    pub message_id: &'a str,
    /// Envelope sender.
    pub sender: &'a str,
    /// The recipient's address.
    pub to: &'a str,
    /// The address that the sender gave.
    pub original: &'a str,
    /// Microseconds since arrival.
    pub delay_usec: u64,
    /// What came of it.
    pub attempt: &'a Attempt,
    /// True if the lifetime ended it.
    pub expired: bool,
    /// X-Banto-Alert field.
    pub alert_id: Option<&'a str>,
}

impl Delivery<'_> {
    /// `sent`, `deferred`, `bounced`, `expired`.
    pub fn status(&self) -> &'static str {
        match &self.attempt.verdict {
            Verdict::Sent | Verdict::Expanded(_) => "sent",
            _ if self.expired => "expired",
            Verdict::Deferred => "deferred",
            Verdict::Failed => "bounced",
        }
    }
}

impl Event for Delivery<'_> {
    fn name(&self) -> &'static str {
        "mail.delivery"
    }
    fn severity(&self) -> Severity {
        match self.status() {
            "sent" => Severity::Info,
            "deferred" => Severity::Notice,
            _ => Severity::Warning,
        }
    }
    fn message(&self) -> String {
        let original =
            if self.original == self.to { String::new() } else { format!(", orig_to=<{}>", self.original) };
        let seconds = self.delay_usec / 1_000_000;
        let hundredths = self.delay_usec % 1_000_000 / 10_000;
        format!(
            "{}: to=<{}>{original}, relay={}, delay={seconds}.{hundredths:02}, dsn={}, status={} ({})",
            self.queue_id,
            self.to,
            self.attempt.relay,
            self.attempt.dsn,
            self.status(),
            self.attempt.text
        )
    }
    fn identifier(&self) -> Option<String> {
        let part = if self.attempt.relay == "local" { "local" } else { "smtp" };
        Some(format!("{}/{part}", self.syslog_name))
    }
    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("MAIL_QUEUE_ID", self.queue_id);
        field("MAIL_MESSAGE_ID", self.message_id);
        field("MAIL_FROM", self.sender);
        field("MAIL_TO", self.to);
        field("MAIL_ORIG_TO", self.original);
        field("MAIL_RELAY", &self.attempt.relay);
        field("MAIL_STATUS", self.status());
        field("MAIL_DSN", &self.attempt.dsn);
        field("MAIL_DELAY_USEC", &self.delay_usec.to_string());
        if let Some(mailbox) = &self.attempt.mailbox {
            field("MAIL_MAILBOX", mailbox);
        }
        if let Some(id) = self.alert_id {
            field("BANTO_ALERT_ID", id);
        }
    }
}

/// A client was refused.
pub struct Rejected<'a> {
    /// `syslog_name`.
    pub syslog_name: &'a str,
    /// `host[address]`.
    pub client: &'a str,
    /// At which command.
    pub stage: &'a str,
    /// What was said.
    pub reply: &'a str,
}

impl Event for Rejected<'_> {
    fn name(&self) -> &'static str {
        "mail.rejected"
    }
    fn severity(&self) -> Severity {
        Severity::Notice
    }
    fn message(&self) -> String {
        format!("NOQUEUE: reject: {} from {}: {}", self.stage, self.client, self.reply)
    }
    fn identifier(&self) -> Option<String> {
        Some(format!("{}/smtpd", self.syslog_name))
    }
    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("MAIL_CLIENT", self.client);
    }
}
