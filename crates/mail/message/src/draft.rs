//! Building a message that a person or a program wrote.

use crate::address_list::Person;
use crate::encode::{base64_lines, encode_header_text, header_value, quoted_printable};
use crate::fields::is_field_name;
use jiff::Zoned;

/// Columns after which an address list is folded (RFC 5322 section 2.1.1).
const FOLD_COLUMNS: usize = 78;
/// Octets of a line, without its end, that may go over the wire as they are (RFC 5322 section 2.1.1).
const LINE_OCTETS_MAX: usize = 998;

/// What a draft cannot know.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Now, in the writer's time zone.
    pub date: Zoned,
    /// The right side of the Message-ID.
    pub host: String,
    /// Bits that no other message has: of the Message-ID and the boundary.
    pub random: u64,
}

/// A message to be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// `From`; left out when none, for the sendmail command to fill in.
    pub from: Option<Person>,
    /// `To`.
    pub to: Vec<Person>,
    /// `Cc`.
    pub cc: Vec<Person>,
    /// Not written: for the envelope.
    pub bcc: Vec<Person>,
    /// `Subject`, in any language.
    pub subject: Option<String>,
    /// `In-Reply-To`, with its angle brackets.
    pub in_reply_to: Option<String>,
    /// `References`.
    pub references: Option<String>,
    /// Further fields; names that are none are left out.
    pub fields: Vec<(String, String)>,
    /// The text, with LF line ends.
    pub body: Vec<u8>,
    /// Files.
    pub attachments: Vec<Attachment>,
}

/// A file that goes along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name, without folders.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

impl Draft {
    /// The message with LF line ends.
    pub fn build(&self, stamp: &Stamp) -> Vec<u8> {
        let mut out = String::new();
        let mut put = |name: &str, value: &str| out.push_str(&format!("{name}: {value}\n"));
        let given = |name: &str| self.fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
        if !given("Date") {
            put("Date", &rfc5322_date(&stamp.date));
        }
        if let (Some(from), false) = (&self.from, given("From")) {
            put("From", &from.header_text());
        }
        for (name, people) in [("To", &self.to), ("Cc", &self.cc)] {
            if !people.is_empty() {
                put(name, &address_lines(name, people));
            }
        }
        if let (Some(subject), false) = (&self.subject, given("Subject")) {
            put("Subject", &encode_header_text(subject));
        }
        if !given("Message-ID") {
            put("Message-ID", &message_id(stamp));
        }
        for (name, value) in [("In-Reply-To", &self.in_reply_to), ("References", &self.references)] {
            if let Some(value) = value {
                put(name, &header_value(value).replace(' ', "\n "));
            }
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| is_field_name(name)) {
            let structured = value.is_ascii() || name.to_ascii_lowercase().starts_with("content-");
            put(name, &if structured { header_value(value) } else { encode_header_text(value) });
        }
        let own_type = given("Content-Type");
        if !given("MIME-Version") {
            put("MIME-Version", "1.0");
        }
        let (kind, encoding, body) = body_part(&self.body);
        let mut out = out.into_bytes();
        if self.attachments.is_empty() {
            if !own_type {
                out.extend_from_slice(format!("Content-Type: {kind}\n").as_bytes());
            }
            if !given("Content-Transfer-Encoding") {
                out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\n").as_bytes());
            }
            out.push(b'\n');
            out.extend_from_slice(if given("Content-Transfer-Encoding") { &self.body } else { &body });
            return out;
        }
        let boundary = format!("=_banto_{:016x}", stamp.random);
        out.extend_from_slice(
            format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n\n").as_bytes(),
        );
        let head = format!("--{boundary}\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&body);
        if !body.ends_with(b"\n") {
            out.push(b'\n');
        }
        for attachment in &self.attachments {
            let name = file_name_parameter(&attachment.name);
            let kind = media_type(&attachment.name);
            let head = format!(
                "--{boundary}\nContent-Type: {kind}\nContent-Disposition: attachment;\n {name}\n\
                 Content-Transfer-Encoding: base64\n\n"
            );
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(base64_lines(&attachment.content).as_bytes());
        }
        out.extend_from_slice(format!("--{boundary}--\n").as_bytes());
        out
    }

    /// Everybody who is to have it: `To`, `Cc` and `Bcc`.
    pub fn recipients(&self) -> impl Iterator<Item = &Person> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }
}

/// `Sun, 22 Nov 2026 16:01:26 +0900` (RFC 5322 section 3.3).
pub fn rfc5322_date(date: &Zoned) -> String {
    date.strftime("%a, %e %b %Y %H:%M:%S %z").to_string().replace(",  ", ", ")
}

/// A new Message-ID.
pub fn message_id(stamp: &Stamp) -> String {
    let lawful = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let host: String = stamp.host.chars().filter(|&c| lawful(c)).collect();
    let host = if host.is_empty() { "localhost" } else { &host };
    format!("<{}.{:016x}@{host}>", stamp.date.strftime("%Y%m%d%H%M%S"), stamp.random)
}

/// Addresses separated by commas, folded.
fn address_lines(name: &str, people: &[Person]) -> String {
    let mut out = String::new();
    let mut column = name.len() + 2;
    for (at, person) in people.iter().enumerate() {
        let text = person.header_text();
        if at > 0 {
            out.push(',');
            let fold = column + text.len() + 2 > FOLD_COLUMNS;
            out.push_str(if fold { "\n " } else { " " });
            column = if fold { 1 } else { column + 2 };
        }
        column += text.len();
        out.push_str(&text);
    }
    out
}

/// The type, transfer encoding and encoded text of a body.
fn body_part(body: &[u8]) -> (&'static str, &'static str, Vec<u8>) {
    let kind = match std::str::from_utf8(body) {
        Ok(_) => "text/plain; charset=utf-8",
        Err(_) => "text/plain; charset=unknown-8bit",
    };
    let long = body.split(|&b| b == b'\n').any(|line| line.len() > LINE_OCTETS_MAX);
    // A CR or NUL would not survive the way: RFC 5321 has no place for either.
    if long || body.iter().any(|&b| b == b'\r' || b == 0) {
        return (kind, "quoted-printable", quoted_printable(body).into_bytes());
    }
    (kind, if body.is_ascii() { "7bit" } else { "8bit" }, body.to_vec())
}

/// `filename="..."`, or the RFC 2231 form where the name is not plain.
fn file_name_parameter(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._- +".contains(&b);
    if name.bytes().all(plain) {
        return format!("filename=\"{name}\"");
    }
    let letter = |b: u8| match b {
        b if b.is_ascii_alphanumeric() || b"._-".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    let encoded: String = name.bytes().map(letter).collect();
    format!("filename*=utf-8''{encoded}")
}

/// The media type that a name's ending says; what a mail program opens with a click is not guessed beyond these.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref() {
        Some("txt" | "log" | "conf" | "cf" | "md") => "text/plain; charset=utf-8",
        Some("html" | "htm") => "text/html",
        Some("csv") => "text/csv; charset=utf-8",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("gz") => "application/gzip",
        Some("zip") => "application/zip",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Summary, field, fields, readable_text};

    fn stamp() -> Stamp {
        let date = "2026-11-02T06:01:26+09:00[Asia/Tokyo]".parse().unwrap();
        Stamp { date, host: "h.example".into(), random: 0xabc }
    }

    fn person(text: &str) -> Person {
        Person { name: String::new(), address: text.into() }
    }

    /// Goal: a simple message has exactly the fields that it should.
    #[test]
    fn a_simple_message_is_built() {
        let draft = Draft {
            from: Some(Person { name: "山田".into(), address: "y@h".into() }),
            to: vec![person("a@b"), person("c@d")],
            bcc: vec![person("secret@x")],
            subject: Some("hello".into()),
            body: b"hi\n".to_vec(),
            ..Draft::default()
        };
        let expected = "Date: Mon, 2 Nov 2026 06:01:26 +0900\nFrom: =?UTF-8?B?5bGx55Sw?= <y@h>\nTo: a@b, c@d\n\
            Subject: hello\nMessage-ID: <20261102060126.0000000000000abc@h.example>\nMIME-Version: 1.0\n\
            Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 7bit\n\nhi\n";
        assert_eq!(String::from_utf8(draft.build(&stamp())).unwrap(), expected);
    }

    /// Goal: no part of a draft makes another header (mail command injection).
    #[test]
    fn nothing_is_injected() {
        let evil = "x\r\nBcc: evil@x\n\nbody";
        let draft = Draft {
            from: Some(Person { name: evil.into(), address: evil.into() }),
            to: vec![person(evil)],
            subject: Some(evil.into()),
            in_reply_to: Some(evil.into()),
            references: Some(evil.into()),
            fields: vec![
                ("X-A".into(), evil.into()),
                (evil.into(), "v".into()),
                ("X-B".into(), format!("é{evil}")),
            ],
            attachments: vec![Attachment { name: evil.into(), content: vec![] }],
            ..Draft::default()
        };
        let built = draft.build(&Stamp { host: evil.into(), ..stamp() });
        assert_eq!(field(&built, "bcc"), None);
        assert_eq!(fields(&built).count(), 11, "{}", String::from_utf8_lossy(&built));
    }

    /// Goal: what was attached and written is what is read.
    #[test]
    fn drafts_read_back() {
        let long = "字".repeat(500);
        let draft = Draft {
            subject: Some("件名".into()),
            body: long.clone().into_bytes(),
            attachments: vec![Attachment { name: "表 1.pdf".into(), content: vec![0, 255, 13, 10] }],
            ..Draft::default()
        };
        let built = draft.build(&stamp());
        assert_eq!(Summary::of(&built).subject, "件名");
        let text = readable_text(&built);
        assert_eq!(text, format!("{long}\n[attachment: 表 1.pdf, application/pdf, 4 octets]\n"));
        assert!(built.is_ascii());
    }
}
