//! `mailq` and `postqueue`: the queue as text in the well-known layout, or as JSON.

use crate::sysexits::{DATAERR, Failure, OK, UNAVAILABLE, USAGE};
use control::{CallError, Client};
use jiff::{Timestamp, tz::TimeZone};
use layout::Call;
use serde_json::{Value, json};
use smtp_proto::maildrop::{Maildrop, SUFFIX};
use std::time::Duration;

/// How long the daemon may take to list its queue.
const PATIENCE: Duration = Duration::from_secs(60);
/// Column at which the reason of a delay ends.
const REASON_COLUMN: usize = 76;

/// `postqueue`.
pub(crate) fn postqueue(call: &Call) -> Result<u8, Failure> {
    let usage = || {
        Failure::new(
            USAGE,
            "usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site",
        )
    };
    let words: Vec<String> = call.args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut words = words.iter().map(String::as_str).filter(|word| *word != "-v").peekable();
    // The folder of main.cf says nothing about the queue here.
    if words.next_if_eq(&"-c").is_some() {
        words.next().ok_or_else(usage)?;
    }
    let (verb, value) = (words.next(), words.next());
    if words.next().is_some() {
        return Err(usage());
    }
    let (verb, value) = match (verb, value) {
        (Some(word), None) if word.len() > 2 && (word.starts_with("-i") || word.starts_with("-s")) => {
            let (verb, value) = word.split_at(2);
            (Some(verb), Some(value))
        }
        other => other,
    };
    match (verb, value) {
        (Some("-p"), None) => list(call, false),
        (Some("-j"), None) => list(call, true),
        (Some("-f"), None) => flush(call, json!({})),
        (Some("-i"), Some(id)) => flush_id(call, id),
        (Some("-s"), Some(site)) => flush_site(call, site),
        _ => Err(usage()),
    }
}

/// Prints the queue.
pub(crate) fn list(call: &Call, as_json: bool) -> Result<u8, Failure> {
    let entries = match ask(call, "queue", json!({})) {
        Ok(value) => entries(&value)?,
        Err(CallError::Unreachable(..)) => {
            eprintln!("{}: warning: the mail daemon is down; what waits for it to start:", call.name);
            waiting_files(call)
        }
        Err(error) => return Err(failure(&error)),
    };
    let text = if as_json {
        entries.iter().map(|entry| entry.json().to_string() + "\n").collect()
    } else {
        text(&entries, &TimeZone::system())
    };
    print!("{text}");
    Ok(OK)
}

/// Has the daemon try deferred messages now.
pub(crate) fn flush(call: &Call, args: Value) -> Result<u8, Failure> {
    ask(call, "flush", args).map(|_| OK).map_err(|error| failure(&error))
}

/// One message.
pub(crate) fn flush_id(call: &Call, id: &str) -> Result<u8, Failure> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Failure::new(DATAERR, format!("Cannot flush queue file - invalid name: {id:?}")));
    }
    flush(call, json!({ "queue_id": id }))
}

/// All messages for one domain.
pub(crate) fn flush_site(call: &Call, site: &str) -> Result<u8, Failure> {
    let lawful = |b: u8| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b);
    if site.is_empty() || !site.bytes().all(lawful) {
        return Err(Failure::new(
            DATAERR,
            format!("Cannot flush mail queue - invalid destination: {site:?}"),
        ));
    }
    flush(call, json!({ "site": site }))
}

fn ask(call: &Call, verb: &str, args: Value) -> Result<Value, CallError> {
    let path = control::socket_path(&call.layout, "maild");
    Client::connect(&path, PATIENCE)?.call(verb, args)
}

fn failure(error: &CallError) -> Failure {
    match error {
        CallError::Refused { error, help } => {
            let failure = Failure::new(UNAVAILABLE, error.clone());
            match help {
                Some(help) => failure.help(help.clone()),
                None => failure,
            }
        }
        error => {
            Failure::new(UNAVAILABLE, format!("Queue report unavailable - mail system is down ({error})"))
                .help("start it: systemctl start banto-maild; in a house: banto --dir DIR up")
        }
    }
}

/// One message of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    queue_id: String,
    size: u64,
    arrival_unix: i64,
    sender: String,
    /// `active`, `deferred`, `hold`, or `maildrop` for what the daemon has not seen.
    status: String,
    /// Address, and why it is still here.
    recipients: Vec<(String, String)>,
}

impl Entry {
    /// As `postqueue -j` prints it.
    fn json(&self) -> Value {
        let recipients: Vec<Value> = self
            .recipients
            .iter()
            .map(|(address, reason)| match reason.is_empty() {
                true => json!({ "address": address }),
                false => json!({ "address": address, "delay_reason": reason }),
            })
            .collect();
        json!({
            "queue_name": self.status,
            "queue_id": self.queue_id,
            "arrival_time": self.arrival_unix,
            "message_size": self.size,
            "forced_expire": false,
            "sender": self.shown_sender(),
            "recipients": recipients,
        })
    }

    fn shown_sender(&self) -> &str {
        if self.sender.is_empty() { "MAILER-DAEMON" } else { &self.sender }
    }
}

fn entries(value: &Value) -> Result<Vec<Entry>, Failure> {
    let malformed =
        || Failure::new(UNAVAILABLE, "the mail daemon's answer is not a queue; is it of another version?");
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let list = value.as_array().ok_or_else(malformed)?;
    list.iter()
        .map(|item| {
            let recipients = item.get("recipients").and_then(Value::as_array)?;
            Some(Entry {
                queue_id: text(item, "queue_id")?,
                size: item.get("size").and_then(Value::as_u64)?,
                arrival_unix: item.get("arrival_unix").and_then(Value::as_i64)?,
                sender: text(item, "sender")?,
                status: text(item, "status")?,
                recipients: recipients
                    .iter()
                    .map(|r| Some((text(r, "address")?, text(r, "delay_reason").unwrap_or_default())))
                    .collect::<Option<_>>()?,
            })
        })
        .collect::<Option<_>>()
        .ok_or_else(malformed)
}

/// The messages in the maildrop folder that the caller may read.
fn waiting_files(call: &Call) -> Vec<Entry> {
    let Ok(folder) = std::fs::read_dir(crate::aliases::maildrop_dir(&call.layout)) else { return Vec::new() };
    let mut entries: Vec<Entry> = folder
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().to_str()?.strip_suffix(SUFFIX)?.to_owned();
            let drop = Maildrop::parse(&std::fs::read(file.path()).ok()?).ok()?;
            Some(Entry {
                queue_id: name.split('-').next().unwrap_or_default().to_ascii_uppercase(),
                size: drop.content.len() as u64,
                arrival_unix: i64::try_from(drop.arrival_usec / 1_000_000).unwrap_or(i64::MAX),
                sender: drop.sender.map(|s| s.to_string()).unwrap_or_default(),
                status: "maildrop".into(),
                recipients: drop.recipients.iter().map(|r| (r.to_string(), String::new())).collect(),
            })
        })
        .collect();
    entries.sort_by_key(|entry| entry.arrival_unix);
    entries
}

/// The queue in the layout of `postqueue -p`, whose columns differ for short (hexadecimal) and long queue ids.
fn text(entries: &[Entry], zone: &TimeZone) -> String {
    if entries.is_empty() {
        return "Mail queue is empty\n".into();
    }
    let long = entries.iter().any(|entry| !entry.queue_id.bytes().all(|b| b.is_ascii_hexdigit()));
    let mut out = if long {
        "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n".to_owned()
    } else {
        "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n".to_owned()
    };
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let mark = match entry.status.as_str() {
            "active" => "*",
            "hold" => "!",
            _ => "",
        };
        let id = format!("{}{mark}", entry.queue_id);
        let time = Timestamp::from_second(entry.arrival_unix).unwrap_or_default().to_zoned(zone.clone());
        let time = time.strftime("%a %b %e %H:%M:%S");
        let (size, sender) = (entry.size, entry.shown_sender());
        if long {
            out.push_str(&format!("{id:<17} {size:>8} {time} {sender}\n"));
        } else {
            out.push_str(&format!("{id:<11} {size:>7} {time}  {sender}\n"));
        }
        let indent = if long { 47 } else { 41 };
        let mut last = "";
        for (address, reason) in &entry.recipients {
            if !reason.is_empty() && reason != last {
                let pad = REASON_COLUMN.saturating_sub(reason.chars().count());
                out.push_str(&format!("{:pad$}({reason})\n", ""));
            }
            last = reason;
            out.push_str(&format!("{:indent$}{address}\n", ""));
        }
    }
    let bytes: u64 = entries.iter().map(|entry| entry.size).sum();
    let plural = if entries.len() == 1 { "" } else { "s" };
    out.push_str(&format!("\n-- {} Kbytes in {} Request{plural}.\n", bytes / 1024, entries.len()));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, size: u64, sender: &str, status: &str, recipients: &[&str]) -> Entry {
        let reason = "connect to x[192.0.2.1]:25: Connection refused".to_owned();
        Entry {
            queue_id: id.into(),
            size,
            arrival_unix: 1_795_364_708,
            sender: sender.into(),
            status: status.into(),
            recipients: recipients.iter().map(|r| ((*r).to_owned(), reason.clone())).collect(),
        }
    }

    /// Goal: byte for byte what postfix 3.7 printed for the same queue.
    #[test]
    fn the_queue_is_printed_as_postfix_prints_it() {
        let first = entry(
            "19E2A992303",
            253,
            "me@x.example",
            "deferred",
            &["other@far.example", "someone@far.example"],
        );
        let second = entry("1EA7C9923B2", 247, "", "hold", &["root@far.example"]);
        let expected = "\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
19E2A992303     253 Sun Nov 22 16:25:08  me@x.example
                              (connect to x[192.0.2.1]:25: Connection refused)
                                         other@far.example
                                         someone@far.example

1EA7C9923B2!     247 Sun Nov 22 16:25:08  MAILER-DAEMON
                              (connect to x[192.0.2.1]:25: Connection refused)
                                         root@far.example

-- 0 Kbytes in 2 Requests.
";
        assert_eq!(text(&[first, second], &TimeZone::UTC), expected);
        let long = [entry("4jXZDR3hMmz1SdYH", 1881, "", "deferred", &["me@x.example"])];
        let expected = "\
----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------
4jXZDR3hMmz1SdYH      1881 Sun Nov 22 16:25:08 MAILER-DAEMON
                              (connect to x[192.0.2.1]:25: Connection refused)
                                               me@x.example

-- 1 Kbytes in 1 Request.
";
        assert_eq!(text(&long, &TimeZone::UTC), expected);
        assert_eq!(text(&[], &TimeZone::UTC), "Mail queue is empty\n");
    }

    /// Goal: the daemon's answer is read, and anything else refused.
    #[test]
    fn answers_are_read() {
        let value = json!([{ "queue_id": "A1", "size": 9, "arrival_unix": 5, "sender": "", "status": "active",
            "recipients": [{ "address": "a@b", "delay_reason": null }, { "address": "c@d" }] }]);
        let got = entries(&value).map(|list| list.iter().map(|e| e.json().to_string()).collect::<Vec<_>>());
        let expected = r#"{"arrival_time":5,"forced_expire":false,"message_size":9,"queue_id":"A1","queue_name":"active","recipients":[{"address":"a@b"},{"address":"c@d"}],"sender":"MAILER-DAEMON"}"#;
        assert_eq!(got, Ok(vec![expected.to_owned()]));
        assert!(entries(&json!({})).is_err());
        assert!(entries(&json!([{}])).is_err());
    }
}
