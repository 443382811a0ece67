//! What a person reads of a message: decoded header texts, the readable body, a line for a list.

use crate::address_list::{AddressList, Person};
use crate::fields::{body_offset, field};
use jiff::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};

/// What a list of messages shows of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The author: the first address of `From`.
    pub from: Option<Person>,
    /// The decoded subject, or empty.
    pub subject: String,
    /// The `Date` header's time, where it can be read.
    pub date: Option<Timestamp>,
}

impl Summary {
    /// Reads it from a message, with or without its `From ` line.
    pub fn of(message: &[u8]) -> Self {
        let from =
            field(message, "from").and_then(|value| AddressList::parse(&value).people.into_iter().next());
        let subject =
            field(message, "subject").map(|value| decode_header_text(value.as_bytes())).unwrap_or_default();
        let date = field(message, "date").and_then(|value| {
            let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
            parser.parse_timestamp(value.trim()).ok()
        });
        Self { from, subject, date }
    }
}

/// A header's unstructured value with its encoded-words decoded and on one line, control characters as spaces.
pub fn decode_header_text(value: &[u8]) -> String {
    if !value.windows(2).any(|pair| pair == b"=?") {
        return crate::header_value(&String::from_utf8_lossy(&unfolded(value)));
    }
    let mut header = b"Subject: ".to_vec();
    header.extend_from_slice(&unfolded(value));
    header.extend_from_slice(b"\r\n\r\n");
    let parsed = MessageParser::default().parse(&header);
    let text = parsed.as_ref().and_then(|m| m.subject().map(str::to_owned));
    crate::header_value(&text.unwrap_or_else(|| String::from_utf8_lossy(value).into_owned()))
}

/// The text parts of a message in UTF-8, whatever their encoding; other parts are named. A message that is no MIME
/// message is given as it stands.
pub fn readable_text(message: &[u8]) -> String {
    let plain =
        || String::from_utf8_lossy(message.get(body_offset(message)..).unwrap_or_default()).into_owned();
    let is_mime = |name: &str| field(message, name).is_some();
    if !is_mime("content-type") && !is_mime("content-transfer-encoding") {
        return plain();
    }
    let start = if message.starts_with(b"From ") {
        memchr::memchr(b'\n', message).map_or(message.len(), |at| at + 1)
    } else {
        0
    };
    let Some(parsed) = MessageParser::default().parse(message.get(start..).unwrap_or_default()) else {
        return plain();
    };
    let mut out = String::new();
    for at in 0..parsed.text_body_count() {
        if let Some(text) = parsed.body_text(at) {
            out.push_str(&text.replace("\r\n", "\n"));
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    for part in parsed.attachments() {
        let kind = part.content_type().map(|t| match t.subtype() {
            Some(subtype) => format!("{}/{subtype}", t.ctype()),
            None => t.ctype().to_owned(),
        });
        let kind = kind.unwrap_or_else(|| "message/rfc822".into());
        let name = part.attachment_name().unwrap_or("no name");
        out.push_str(&format!(
            "[attachment: {}, {}, {} octets]\n",
            crate::header_value(name),
            kind,
            part.len()
        ));
    }
    out
}

fn unfolded(value: &[u8]) -> Vec<u8> {
    value.iter().filter(|&&b| b != b'\n' && b != b'\r').copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is listed and shown is what was meant, in the encodings that Japanese mail comes in.
    #[test]
    fn messages_are_shown_decoded() {
        let message =
            b"From root@h Sun Nov 22 16:01:26 2026\nFrom: =?ISO-2022-JP?B?GyRCOzNFRBsoQg==?= <y@h>\n\
            Subject: =?UTF-8?Q?caf=C3=A9?=\n =?UTF-8?B?44GC?=\nDate: Sun, 22 Nov 2026 16:01:26 +0900\n\
            Content-Type: text/plain; charset=ISO-2022-JP\n\n\x1b$B;3ED\x1b(B\n";
        let summary = Summary::of(message);
        assert_eq!(summary.from, Some(Person { name: "山田".into(), address: "y@h".into() }));
        assert_eq!(summary.subject, "caféあ");
        assert_eq!(summary.date.map(|d| d.as_second()), Some(1_795_330_886));
        assert_eq!(readable_text(message), "山田\n");
        assert_eq!(readable_text(b"A: b\n\nas it\r\nstands"), "as it\r\nstands");
    }

    /// Goal: attachments are named, and text parts shown in order.
    #[test]
    fn multipart_messages_are_shown() {
        let message = b"Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n--x\nContent-Type: text/plain\n\n\
            hello\n--x\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nAAAA\n--x--\n";
        assert_eq!(readable_text(message), "hello\n[attachment: a.pdf, application/pdf, 3 octets]\n");
    }
}
