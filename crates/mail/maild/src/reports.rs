//! Delivery reports: one new message for each sender who has to be told.

use std::collections::BTreeMap;

use jiff::{Timestamp, Zoned, tz::TimeZone};
use mail_core::destination::Detail;
use message::{Action, Bounce, ReportedRecipient, Stamp};
use postfix_conf::Settings;
use spool::{Envelope, Recipient};

/// A report to be queued.
pub struct Report {
    /// Whom it goes to.
    pub to: String,
    /// Its content, with CRLF line ends.
    pub content: Vec<u8>,
}

/// The reports about failed recipients of a message: one for its sender and one for each owner of a list among them.
pub fn build(
    settings: &Settings,
    queue_id: &str,
    envelope: &Envelope,
    failed: &[usize],
    content: &[u8],
) -> Vec<Report> {
    let mut by_sender: BTreeMap<String, Vec<&Recipient>> = BTreeMap::new();
    for recipient in failed.iter().filter_map(|&index| envelope.recipients.get(index)) {
        let detail = Detail::decode(&recipient.detail).unwrap_or_default();
        let sender = detail.sender.unwrap_or_else(|| envelope.sender.clone());
        by_sender.entry(sender).or_default().push(recipient);
    }
    by_sender
        .into_iter()
        .filter(|(sender, _)| !sender.is_empty())
        .map(|(to, recipients)| {
            let bounce = Bounce {
                to: to.clone(),
                reporting_mta: settings.myhostname.clone(),
                origin: settings.router.origin.clone(),
                queue_id: queue_id.to_owned(),
                arrival: zoned(envelope.arrival_usec),
                recipients: recipients.into_iter().map(reported).collect(),
                expires: None,
                message: content,
            };
            let stamp =
                Stamp { date: Zoned::now(), host: settings.myhostname.clone(), random: sys::random::u64() };
            Report { to, content: message::to_crlf(&bounce.build(&stamp)) }
        })
        .collect()
}

fn reported(recipient: &Recipient) -> ReportedRecipient {
    let original = Some(recipient.original.clone()).filter(|o| *o != recipient.address);
    // The relay stands before the text where another host said it: `host[address]:port said: ...`.
    let remote = recipient.state.reason.strip_prefix("host ").and_then(|r| r.split(['[', ' ']).next());
    ReportedRecipient {
        address: recipient.address.clone(),
        original,
        action: Action::Failed,
        status: recipient.state.dsn.clone(),
        remote_mta: remote.map(str::to_owned),
        diagnostic: recipient.state.reason.clone(),
    }
}

/// A time in this host's zone.
pub fn zoned(usec: u64) -> Zoned {
    let timestamp = i64::try_from(usec).ok().and_then(|u| Timestamp::from_microsecond(u).ok());
    timestamp.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system())
}
