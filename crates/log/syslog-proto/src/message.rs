//! One syslog message: RFC 5424, or RFC 3164 with the leniency that rsyslog's default parser has.

use crate::Timestamp;
use record::Priority;

/// Which of the two forms a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The traditional form, and everything that is not the other.
    Rfc3164,
    /// The form with a version after the PRI.
    Rfc5424,
}

/// Where a message came from, as far as its form depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The network: a traditional message bears its sender's name.
    Network,
    /// A local socket: a traditional message bears no host name (`syslog(3)` writes none).
    Local,
}

/// A parsed message; everything borrows from the bytes that were parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// The form that it has.
    pub format: Format,
    /// The priority: of its PRI; user.notice without one (RFC 3164 section 4.3.3) and with an invalid one.
    pub priority: Priority,
    /// The text of a PRI that is out of range or broken, without the brackets, for example `999`. rsyslog calls the facility of
    /// such a message `invld`, its severity `debug`, and leaves the whole text in `msg`.
    pub pri_invalid: Option<&'a [u8]>,
    /// When the sender says it was; none where it did not say.
    pub timestamp: Option<Timestamp>,
    /// HOSTNAME; none where absent or nil.
    pub hostname: Option<&'a [u8]>,
    /// The traditional tag as written, with brackets and colon: `su[12]:`. Empty in an RFC 5424 message.
    pub tag: &'a [u8],
    /// APP-NAME: the tag up to `[`, `:` or `/` in a traditional message. Empty where absent or nil.
    pub app_name: &'a [u8],
    /// PROCID: what stands in brackets in a traditional tag.
    pub procid: Option<&'a [u8]>,
    /// MSGID, only in RFC 5424 messages.
    pub msgid: Option<&'a [u8]>,
    /// STRUCTURED-DATA as written; none where absent or nil.
    pub structured_data: Option<&'a [u8]>,
    /// The rest: the text. In a traditional message it begins with the space that followed the tag, as rsyslog has it.
    pub msg: &'a [u8],
    /// The whole message as it was given to [`parse`].
    pub raw: &'a [u8],
}

/// The longest HOSTNAME in bytes that is taken as one; rsyslog's own bound.
pub const HOSTNAME_BYTES_MAX: usize = 511;
/// The longest tag in bytes; what follows is text. rsyslog's own bound.
pub const TAG_BYTES_MAX: usize = 510;

impl Message<'_> {
    /// The text without the one space that separates it from a tag, and without a byte order mark (RFC 5424 section 6.4).
    pub fn text(&self) -> &[u8] {
        match self.format {
            Format::Rfc3164 => self.msg.strip_prefix(b" ").unwrap_or(self.msg),
            Format::Rfc5424 => self.msg.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.msg),
        }
    }
}

/// Parses `raw`, which is one whole message without its framing. It never fails: what has no form becomes text.
pub fn parse(raw: &[u8], origin: Origin) -> Message<'_> {
    let mut message = Message {
        format: Format::Rfc3164,
        priority: Priority::DEFAULT,
        pri_invalid: None,
        timestamp: None,
        hostname: None,
        tag: b"",
        app_name: b"",
        procid: None,
        msgid: None,
        structured_data: None,
        msg: raw,
        raw,
    };
    let rest = match parse_pri(raw) {
        Pri::Absent => raw,
        Pri::Valid(priority, rest) => {
            message.priority = priority;
            rest
        }
        Pri::Invalid(text) => {
            message.pri_invalid = Some(text);
            return message;
        }
    };
    match rest.strip_prefix(b"1 ") {
        Some(rest) => parse_rfc5424(&mut message, rest),
        None => parse_rfc3164(&mut message, rest, origin),
    }
    message
}

enum Pri<'a> {
    Absent,
    Valid(Priority, &'a [u8]),
    Invalid(&'a [u8]),
}

/// `<`, digits, `>` (RFC 5424 section 6.2.1).
fn parse_pri(raw: &[u8]) -> Pri<'_> {
    let Some(after) = raw.strip_prefix(b"<") else { return Pri::Absent };
    // Leading zeros are accepted; the number of digits is not, beyond what any sloppy sender writes.
    const DIGITS_MAX: usize = 10;
    let digits = after.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
    let (text, rest) = after.split_at_checked(digits).unwrap_or((after, b""));
    let value = text.iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
    let priority = u16::try_from(value).ok().and_then(Priority::from_pri);
    match (priority, rest.strip_prefix(b">")) {
        // `<>` reads as 0 (kern.emerg) in rsyslog; who writes no number has not said that it is the end of the world.
        (Some(priority), Some(rest)) if digits > 0 => Pri::Valid(priority, rest),
        _ => Pri::Invalid(text),
    }
}

/// VERSION was seen; the fields of RFC 5424 section 6.2 follow. The first that is broken and all after it become text.
fn parse_rfc5424<'a>(message: &mut Message<'a>, rest: &'a [u8]) {
    message.format = Format::Rfc5424;
    message.msg = rest;
    let rest = match rest.strip_prefix(b"- ") {
        Some(rest) => rest,
        None => match Timestamp::parse_rfc3339(rest) {
            Some((timestamp, used)) => {
                message.timestamp = Some(timestamp);
                rest.get(used..).unwrap_or(b"")
            }
            None => return,
        },
    };
    message.msg = rest;
    let Some((hostname, rest)) = word(rest) else { return };
    message.hostname = not_nil(hostname);
    message.msg = rest;
    let Some((app_name, rest)) = word(rest) else { return };
    message.app_name = not_nil(app_name).unwrap_or(b"");
    message.msg = rest;
    let Some((procid, rest)) = word(rest) else { return };
    message.procid = not_nil(procid);
    message.msg = rest;
    let Some((msgid, rest)) = word(rest) else { return };
    message.msgid = not_nil(msgid);
    message.msg = rest;
    let Some((data, rest)) = crate::structured_data::split(rest) else { return };
    message.structured_data = not_nil(data);
    message.msg = rest.strip_prefix(b" ").unwrap_or(rest);
}

/// Bytes up to the next space, and what follows the space.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ')?;
    let (word, rest) = text.split_at_checked(end)?;
    Some((word, rest.get(1..)?)).filter(|_| end > 0)
}

fn not_nil(field: &[u8]) -> Option<&[u8]> {
    (field != b"-").then_some(field)
}

fn parse_rfc3164<'a>(message: &mut Message<'a>, mut rest: &'a [u8], origin: Origin) {
    message.msg = rest;
    // Text that begins with a brace or bracket is a bare payload (JSON) without any header.
    let first = rest.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if matches!(first, Some(b'{' | b'[')) {
        return;
    }
    if let Some((timestamp, used)) = parse_any_stamp(rest) {
        message.timestamp = Some(timestamp);
        rest = rest.get(used..).unwrap_or(b"");
    }
    if origin == Origin::Network
        && let Some((hostname, used)) = parse_hostname(rest)
    {
        message.hostname = Some(hostname);
        rest = rest.get(used..).unwrap_or(b"");
    }
    let mut end = rest.iter().take(TAG_BYTES_MAX).take_while(|byte| !matches!(byte, b':' | b' ')).count();
    if rest.get(end) == Some(&b':') {
        end += 1;
    }
    let (tag, msg) = rest.split_at_checked(end).unwrap_or((rest, b""));
    message.tag = tag;
    message.msg = msg;
    let name = tag.iter().take_while(|byte| matches!(byte, 0x20..0x7f if !b"[:/".contains(byte))).count();
    message.app_name = tag.get(..name).unwrap_or(b"");
    if let Some(open) = tag.iter().position(|byte| *byte == b'[')
        && let Some(inside) = tag.get(open + 1..)
        && let Some(close) = inside.iter().position(|byte| *byte == b']')
    {
        message.procid = inside.get(..close);
    }
}

/// A stamp of either form; a space before a traditional one is forgiven.
fn parse_any_stamp(rest: &[u8]) -> Option<(Timestamp, usize)> {
    if let Some(found) = Timestamp::parse_rfc3339(rest).or_else(|| Timestamp::parse_rfc3164(rest)) {
        return Some(found);
    }
    let (stamp, used) = Timestamp::parse_rfc3164(rest.strip_prefix(b" ")?)?;
    Some((stamp, used + 1))
}

/// A word of host name characters that a space follows (what is not one is the tag of a sender without a name), or that
/// ends the message. Says how much it and the space take.
fn parse_hostname(rest: &[u8]) -> Option<(&[u8], usize)> {
    let end = rest
        .iter()
        .take(HOSTNAME_BYTES_MAX)
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        .count();
    let hostname = rest.get(..end)?;
    match rest.get(end) {
        _ if end == 0 => None,
        None => Some((hostname, end)),
        Some(b' ') if hostname.last().is_some_and(u8::is_ascii_alphanumeric) => Some((hostname, end + 1)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(message: &Message<'_>) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let option = |bytes: Option<&[u8]>| bytes.map_or("-".to_owned(), text);
        let pri =
            message.pri_invalid.map_or(message.priority.pri().to_string(), |bad| format!("!{}", text(bad)));
        let mut stamp = b"-".to_vec();
        if let Some(timestamp) = message.timestamp {
            stamp.clear();
            timestamp.write_rfc3339(&mut stamp);
        }
        format!(
            "{pri}|{}|{}|{}|{}|{}|{}|{}|{}",
            text(&stamp),
            option(message.hostname),
            text(message.tag),
            text(message.app_name),
            option(message.procid),
            option(message.msgid),
            option(message.structured_data),
            text(message.msg)
        )
    }

    /// Goal: each form is read as rsyslog 8.2302 reads it: PRI|time|host|tag|app|procid|msgid|sd|msg.
    #[test]
    fn messages_are_read_as_rsyslog_reads_them() {
        let check = |raw: &str, expected: &str| {
            assert_eq!(show(&parse(raw.as_bytes(), Origin::Network)), expected, "{raw}");
        };
        check(
            "<34>Oct 11 22:14:15 mymachine su[77]: 'su root' failed",
            "34|0000-10-11T22:14:15Z|mymachine|su[77]:|su|77|-|-| 'su root' failed",
        );
        check(
            "<165>1 2003-10-11T22:14:15.003Z host evntslog 12 ID47 [a@1 x=\"y\\]\"][b] BOMtext",
            "165|2003-10-11T22:14:15.003Z|host||evntslog|12|ID47|[a@1 x=\"y\\]\"][b]|BOMtext",
        );
        check("<165>1 - - - - - -", "165|-|-|||-|-|-|");
        check("<165>1 - - - - - - text", "165|-|-|||-|-|-|text");
        check("<165>1 nonsense", "165|-|-|||-|-|-|nonsense");
        check("<165>1 - host app - - [broken x", "165|-|host||app|-|-|-|[broken x");
        check("<999>x y z", "!999|-|-|||-|-|-|<999>x y z");
        check("<34", "!34|-|-|||-|-|-|<34");
        check("<>x", "!|-|-|||-|-|-|<>x");
        check("host tag and text", "13|-|host|tag|tag|-|-|-| and text");
        check("tag: text", "13|-|-|tag:|tag|-|-|-| text");
        check("<13>{\"a\":1}", "13|-|-|||-|-|-|{\"a\":1}");
        check("<13> Oct 11 22:14:15 h t: m", "13|0000-10-11T22:14:15Z|h|t:|t|-|-|-| m");
        check("<13>Oct 11 22:14:15 h", "13|0000-10-11T22:14:15Z|h|||-|-|-|");
        check("<13>Oct 11 22:14:15 h- t: m", "13|0000-10-11T22:14:15Z|-|h-|h-|-|-|-| t: m");
        check("<13>2003-10-11T22:14:15+01:00 h a/b[1: m", "13|2003-10-11T22:14:15+01:00|h|a/b[1:|a|-|-|-| m");
        check("", "13|-|-|||-|-|-|");
        let local = parse(b"<13>Oct 11 22:14:15 prog[5]: text", Origin::Local);
        assert_eq!(show(&local), "13|0000-10-11T22:14:15Z|-|prog[5]:|prog|5|-|-| text");
        assert_eq!(local.text(), b"text");
    }

    /// Goal: no bytes make the parser panic, and every byte of the input stays reachable in `raw`.
    #[test]
    fn any_bytes_are_taken() {
        let seed =
            b"<34>1 2003-10-11T22:14:15.003Z host app 12 ID47 [a x=\"y\"] \xff\x00text Oct 11 22:14:15: [";
        for from in 0..seed.len() {
            for to in from..seed.len() {
                for origin in [Origin::Network, Origin::Local] {
                    let piece = seed.get(from..to).unwrap_or(b"");
                    assert_eq!(parse(piece, origin).raw, piece);
                }
            }
        }
    }
}
