//! Delivery reports: what a sender is told when a message could not be, or is not yet, delivered (RFC 3464, 6522).

use crate::draft::{Stamp, message_id, rfc5322_date};
use crate::encode::header_value;
use crate::fields::body_offset;
use jiff::Zoned;

/// Octets of the original that go back at most, as in postfix's `bounce_size_limit`.
const RETURNED_OCTETS_MAX: usize = 50_000;

/// What became of a recipient (RFC 3464 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Still being tried.
    Delayed,
}

/// One recipient in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRecipient {
    /// The address that was tried.
    pub address: String,
    /// The address that the sender wrote, where an alias stands between.
    pub original: Option<String>,
    /// What became of it.
    pub action: Action,
    /// `5.1.1` and the like.
    pub status: String,
    /// The host that said so, where one did.
    pub remote_mta: Option<String>,
    /// What it said, or what this host says.
    pub diagnostic: String,
}

/// A report to be built.
#[derive(Debug, Clone)]
pub struct Bounce<'a> {
    /// The sender of the original: the report's recipient.
    pub to: String,
    /// This host's name.
    pub reporting_mta: String,
    /// The domain of `MAILER-DAEMON`.
    pub origin: String,
    /// The original's queue id.
    pub queue_id: String,
    /// The original's arrival.
    pub arrival: Zoned,
    /// Whom the report is about.
    pub recipients: Vec<ReportedRecipient>,
    /// When the message is given up, for a report of a delay.
    pub expires: Option<Zoned>,
    /// The original.
    pub message: &'a [u8],
}

impl Bounce<'_> {
    /// The report with LF line ends. Its envelope sender must be the null sender.
    pub fn build(&self, stamp: &Stamp) -> Vec<u8> {
        let failed = self.recipients.iter().any(|r| r.action == Action::Failed);
        let subject =
            if failed { "Undelivered Mail Returned to Sender" } else { "Delayed Mail (still being retried)" };
        let boundary = format!("=_banto_report_{:016x}", stamp.random);
        let mut out = format!(
            "Date: {date}\nFrom: MAILER-DAEMON@{origin} (Mail Delivery System)\nSubject: {subject}\nTo: {to}\n\
             Auto-Submitted: auto-replied\nMessage-ID: {id}\nMIME-Version: 1.0\n\
             Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"{boundary}\"\n\
             Content-Transfer-Encoding: 8bit\n\nThis is a MIME-encapsulated message.\n\n",
            date = rfc5322_date(&stamp.date),
            origin = header_value(&self.origin),
            to = header_value(&self.to),
            id = message_id(stamp),
        );
        out.push_str(&format!(
            "--{boundary}\nContent-Description: Notification\nContent-Type: text/plain; charset=utf-8\n\
             Content-Transfer-Encoding: 8bit\n\n"
        ));
        self.explain(failed, &mut out);
        out.push_str(&format!(
            "\n--{boundary}\nContent-Description: Delivery report\nContent-Type: message/delivery-status\n\n"
        ));
        self.report(&mut out);
        let (kind, what, returned) = self.returned(failed);
        out.push_str(&format!(
            "\n--{boundary}\nContent-Description: {what}\nContent-Type: {kind}\nContent-Transfer-Encoding: 8bit\n\n"
        ));
        let mut out = out.into_bytes();
        out.extend_from_slice(&crate::to_lf(returned));
        out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
        out
    }

    /// The part for people.
    fn explain(&self, failed: bool, out: &mut String) {
        let host = header_value(&self.reporting_mta);
        out.push_str(&format!("This is the mail system at host {host}.\n\n"));
        if failed {
            out.push_str(
                "Your message could not be delivered to the recipients below, and will not be tried again.\n\
                 The message itself is attached.\n\n",
            );
        } else {
            out.push_str(
                "Your message could not be delivered yet. It is still being tried: do not send it again.\n",
            );
            if let Some(expires) = &self.expires {
                out.push_str(&format!("It will be given up on {}.\n", rfc5322_date(expires)));
            }
            out.push('\n');
        }
        for recipient in &self.recipients {
            out.push_str(&format!("<{}>", header_value(&recipient.address)));
            if let Some(original) = recipient.original.as_ref().filter(|o| **o != recipient.address) {
                out.push_str(&format!(" (expanded from <{}>)", header_value(original)));
            }
            out.push_str(&format!(": {}\n", header_value(&recipient.diagnostic)));
        }
    }

    /// The part for programs.
    fn report(&self, out: &mut String) {
        out.push_str(&format!("Reporting-MTA: dns; {}\n", header_value(&self.reporting_mta)));
        out.push_str(&format!("X-Banto-Queue-ID: {}\n", header_value(&self.queue_id)));
        out.push_str(&format!("Arrival-Date: {}\n", rfc5322_date(&self.arrival)));
        for recipient in &self.recipients {
            out.push_str(&format!("\nFinal-Recipient: rfc822; {}\n", header_value(&recipient.address)));
            if let Some(original) = &recipient.original {
                out.push_str(&format!("Original-Recipient: rfc822; {}\n", header_value(original)));
            }
            let action = match recipient.action {
                Action::Failed => "failed",
                Action::Delayed => "delayed",
            };
            out.push_str(&format!("Action: {action}\nStatus: {}\n", header_value(&recipient.status)));
            if let Some(remote) = &recipient.remote_mta {
                out.push_str(&format!("Remote-MTA: dns; {}\n", header_value(remote)));
            }
            let kind = if recipient.remote_mta.is_some() { "smtp" } else { "x-banto" };
            out.push_str(&format!("Diagnostic-Code: {kind}; {}\n", header_value(&recipient.diagnostic)));
            if let (Action::Delayed, Some(expires)) = (recipient.action, &self.expires) {
                out.push_str(&format!("Will-Retry-Until: {}\n", rfc5322_date(expires)));
            }
        }
    }

    /// The part of the original that goes back: all of it where it is short and given up, else its header.
    fn returned(&self, failed: bool) -> (&'static str, &'static str, &[u8]) {
        if failed && self.message.len() <= RETURNED_OCTETS_MAX {
            return ("message/rfc822", "Undelivered Message", self.message);
        }
        let header = self.message.get(..body_offset(self.message)).unwrap_or_default();
        let header = header.get(..RETURNED_OCTETS_MAX).unwrap_or(header);
        ("text/rfc822-headers", "Message Headers", header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::{MessageParser, MimeHeaders};

    fn bounce(action: Action, message: &[u8]) -> Vec<u8> {
        let date: Zoned = "2026-11-02T06:01:26+09:00[Asia/Tokyo]".parse().unwrap();
        let recipient = ReportedRecipient {
            address: "x@h\nStatus: 2.0.0".into(),
            original: Some("y@h".into()),
            action,
            status: "5.1.1".into(),
            remote_mta: None,
            diagnostic: "unknown user: \"x\"".into(),
        };
        let report = Bounce {
            to: "a@b".into(),
            reporting_mta: "h.example".into(),
            origin: "h.example".into(),
            queue_id: "ABC".into(),
            arrival: date.clone(),
            recipients: vec![recipient],
            expires: Some(date.clone()),
            message,
        };
        report.build(&Stamp { date, host: "h.example".into(), random: 7 })
    }

    /// Goal: a report is what RFC 3464 says, and a parser that others wrote finds its three parts.
    #[test]
    fn reports_have_three_parts() {
        let check = |action: Action, message: &[u8], kinds: [&str; 3]| {
            let built = bounce(action, message);
            let parsed = MessageParser::default().parse(&built).unwrap();
            let got: Vec<String> = parsed
                .parts
                .iter()
                .skip(1)
                .map(|part| {
                    let kind = part.content_type().unwrap();
                    format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
                })
                .collect();
            assert_eq!(got, kinds);
            assert_eq!(parsed.content_type().unwrap().attribute("report-type"), Some("delivery-status"));
            let text = String::from_utf8_lossy(&built);
            let fields = [
                "Final-Recipient: rfc822; x@h Status: 2.0.0\n",
                "Original-Recipient: rfc822; y@h\n",
                "\nStatus: 5.1.1\n",
            ];
            assert!(fields.iter().all(|field| text.contains(field)), "{text}");
            assert_eq!(text.matches("\nStatus:").count(), 1);
        };
        let short = b"Subject: s\r\n\r\nhi\r\n";
        check(Action::Failed, short, ["text/plain", "message/delivery-status", "message/rfc822"]);
        check(Action::Delayed, short, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
        let long = [&short[..], &[b'x'; 60_000]].concat();
        check(Action::Failed, &long, ["text/plain", "message/delivery-status", "text/rfc822-headers"]);
    }
}
