//! The message as it is handed in, and what it lacks.

use crate::sysexits::{DATAERR, Failure, IOERR};
use jiff::Zoned;
use layout::Call;
use message::{Stamp, count_fields, field, fields};
use smtp_proto::Mailbox;
use std::io::BufRead;

/// Octets of a message that are read at most. The daemon's message_size_limit is far lower; this only keeps
/// `sendmail < /dev/zero` from taking all memory.
const MESSAGE_OCTETS_MAX: usize = 512 * 1024 * 1024;

/// Reads a message up to its end, or up to a line with a single dot where `dot_ends`.
pub(crate) fn read(mut input: impl BufRead, dot_ends: bool) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    loop {
        let start = content.len();
        match input.read_until(b'\n', &mut content) {
            Ok(0) => break,
            Ok(_) if content.len() > MESSAGE_OCTETS_MAX => {
                return Err(Failure::new(
                    DATAERR,
                    format!("message larger than {MESSAGE_OCTETS_MAX} octets"),
                ));
            }
            Ok(_) => {}
            Err(error) => return Err(Failure::new(IOERR, format!("cannot read the message: {error}"))),
        }
        if dot_ends && matches!(content.get(start..), Some(b"." | b".\n" | b".\r\n")) {
            content.truncate(start);
            break;
        }
    }
    Ok(message::to_lf(&content))
}

/// The recipients that the header names, for `-t`: those of the resent fields where there are any.
pub(crate) fn header_recipients(content: &[u8]) -> Vec<String> {
    let named = |names: [&str; 3]| -> Vec<String> {
        let wanted = fields(content).filter(|f| names.iter().any(|name| f.is(name)));
        wanted.map(|f| f.unfolded()).filter(|value| !value.is_empty()).collect()
    };
    let resent = named(["resent-to", "resent-cc", "resent-bcc"]);
    if resent.is_empty() { named(["to", "cc", "bcc"]) } else { resent }
}

/// The message as it goes out: without Bcc and a mailbox's `From ` line, with From, Date and Message-ID.
pub(crate) fn complete(input: &[u8], sender: Option<&Mailbox>, full_name: &str, origin: &str) -> Vec<u8> {
    let input = if input.starts_with(b"From ") {
        let end = input.iter().position(|&b| b == b'\n').map_or(input.len(), |at| at + 1);
        input.get(end..).unwrap_or_default()
    } else {
        input
    };
    let kept = message::without_fields(input, &["bcc", "resent-bcc", "return-path", "content-length"]);
    let stamp = Stamp { date: Zoned::now(), host: origin.to_owned(), random: sys::random::u64() };
    let resent = fields(&kept).any(|f| f.name.to_ascii_lowercase().starts_with("resent-"));
    let prefix = if resent { "Resent-" } else { "" };
    let name = |name: &str| format!("{prefix}{name}");
    let missing = |name: &str| field(&kept, name).is_none();
    let (date, id, from) = (name("Date"), name("Message-ID"), name("From"));
    let mut new = Vec::new();
    if missing(&date) {
        new.push((date.as_str(), message::rfc5322_date(&stamp.date)));
    }
    if missing(&from) && count_fields(&kept, "sender") == 0 {
        let author = sender.cloned().or_else(|| Mailbox::new("MAILER-DAEMON", None).ok());
        if let Some(author) = author {
            let address = author.with_default_domain(origin).to_string();
            let person = message::Person { name: full_name.to_owned(), address };
            new.push((from.as_str(), person.header_text()));
        }
    }
    if missing(&id) {
        new.push((id.as_str(), message::message_id(&stamp)));
    }
    message::insert_fields(&kept, &new)
}

/// The name of the user who calls; a user that has none in the user database is named by number, so that no message is
/// lost for want of a name.
pub(crate) fn login_name() -> String {
    let uid = sys::process::uid();
    match sys::user::by_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => format!("uid-{uid}"),
    }
}

/// The full name of the user who calls: the first part of the GECOS field, `&` as the capitalized login name.
pub(crate) fn full_name() -> String {
    let Ok(Some(user)) = sys::user::by_uid(sys::process::uid()) else { return String::new() };
    let name = user.gecos.split(',').next().unwrap_or_default();
    let mut login = user.name.chars();
    let capitalized: String = login.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(login).collect();
    name.replace('&', &capitalized)
}

/// The domain of addresses that were written without one: `myorigin`.
pub(crate) fn origin(call: &Call) -> String {
    crate::aliases::origin(&call.layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a dot ends a message only where it may.
    #[test]
    fn the_end_of_input_is_found() {
        let check = |input: &[u8], dot_ends: bool, expected: &[u8]| {
            assert_eq!(read(input, dot_ends), Ok(expected.to_vec()));
        };
        check(b"a\n.\nb\n", true, b"a\n");
        check(b"a\n.\nb\n", false, b"a\n.\nb\n");
        check(b"a\n.", true, b"a\n");
        check(b"a\n..\n.a\n", true, b"a\n..\n.a\n");
        check(b"a\r\n.\r\nb", true, b"a\n");
    }

    /// Goal: Bcc never leaves, what is missing is added once, and what was given stays.
    #[test]
    fn messages_are_completed() {
        let sender = Mailbox::parse(b"root").ok();
        let check = |input: &str, expected: &[&str]| {
            let content = complete(input.as_bytes(), sender.as_ref(), "Cron\nBcc: x", "h.example");
            let got: Vec<String> = fields(&content).map(|f| f.name.to_owned()).collect();
            assert_eq!(got, expected, "{}", String::from_utf8_lossy(&content));
        };
        check("To: a\nBcc: b\n\nhi\n", &["Date", "From", "Message-ID", "To"]);
        check("From: me\nDate: d\nMessage-ID: <x>\n\n", &["From", "Date", "Message-ID"]);
        check(
            "Resent-To: a\nFrom: b\n\n",
            &["Resent-Date", "Resent-From", "Resent-Message-ID", "Resent-To", "From"],
        );
        check("From x Mon Jan  1 00:00:00 2026\nTo: a\n\n", &["Date", "From", "Message-ID", "To"]);
        check("just text\n", &["Date", "From", "Message-ID"]);
        let content = complete(b"just text\n", sender.as_ref(), "Cron, D", "h.example");
        assert!(content.ends_with(b"\n\njust text\n"));
        assert_eq!(field(&content, "from").as_deref(), Some("\"Cron, D\" <root@h.example>"));
    }

    /// Goal: -t finds the recipients that are meant.
    #[test]
    fn header_recipients_are_found() {
        assert_eq!(header_recipients(b"To: a,\n b\nCC: c\nbcc: d\n\nTo: x\n"), ["a, b", "c", "d"]);
        assert_eq!(header_recipients(b"To: a\nResent-To: b\n\n"), ["b"]);
    }
}
