//! Reading and building messages: RFC 5322, MIME, mbox files, delivery reports.
//!
//! For: `sendmail -t`, the `mail` command, the mail daemon (headers it counts, mailboxes it writes, bounces it sends).
//!
//! Always: no text that is given as a header's value or name makes a second header, whatever it holds; what is built
//! here has LF line ends (the SMTP client and [`to_crlf`] make the wire's form); reading never fails: a message that is
//! none has no headers and a body.
//!
//! Never: it has no file, clock or random source: time, host name and random bits are arguments.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod address_list;
mod bounce;
mod draft;
mod encode;
mod fields;
pub mod mbox;
mod reading;

pub use address_list::{AddressList, Person};
pub use bounce::{Action, Bounce, ReportedRecipient};
pub use draft::{Attachment, Draft, Stamp, message_id, rfc5322_date};
pub use encode::{encode_header_text, header_value};
pub use fields::{
    Field, body_offset, count_fields, field, fields, insert_fields, is_field_name, without_fields,
};
pub use reading::{Summary, decode_header_text, readable_text};

/// The content with every line ended by CRLF, whatever ended it before; a bare CR becomes a space.
pub fn to_crlf(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 32 + 2);
    for line in content.split_inclusive(|&b| b == b'\n') {
        let (text, ended) = match line.strip_suffix(b"\n") {
            Some(text) => (text.strip_suffix(b"\r").unwrap_or(text), true),
            None => (line, false),
        };
        if memchr::memchr(b'\r', text).is_none() {
            out.extend_from_slice(text);
        } else {
            out.extend(text.iter().map(|&b| if b == b'\r' { b' ' } else { b }));
        }
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

/// The content with CRLF as LF, as files on this system hold it. A bare CR stays.
pub fn to_lf(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        let (line, after) = rest.split_at_checked(at + 1).unwrap_or((rest, b""));
        match line.strip_suffix(b"\r\n") {
            Some(line) => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    /// Goal: line ends are changed and nothing else.
    #[test]
    fn line_ends_are_changed() {
        let check = |content: &[u8], crlf: &[u8], lf: &[u8]| {
            assert_eq!(super::to_crlf(content), crlf);
            assert_eq!(super::to_lf(content), lf);
        };
        check(b"a\nb\r\nc", b"a\r\nb\r\nc", b"a\nb\nc");
        check(b"a\rb\r\r\n", b"a b \r\n", b"a\rb\r\n");
        check(b"", b"", b"");
    }
}
