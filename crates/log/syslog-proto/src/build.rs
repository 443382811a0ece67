//! Building messages: RFC 3164 and RFC 5424, with a truthful timeQuality.

use crate::Timestamp;
use record::{ClockQuality, Priority};

/// Everything of a message but its text.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Facility and severity.
    pub priority: Priority,
    /// When; none writes the nil value (RFC 5424) or leaves it out (RFC 3164).
    pub timestamp: Option<Timestamp>,
    /// Who; none writes the nil value or leaves it out.
    pub hostname: Option<&'a [u8]>,
    /// The program.
    pub app_name: &'a [u8],
    /// The process.
    pub procid: Option<&'a [u8]>,
    /// The kind of message; only RFC 5424.
    pub msgid: Option<&'a [u8]>,
    /// STRUCTURED-DATA, already in its form; only RFC 5424.
    pub structured_data: Option<&'a [u8]>,
}

/// Longest fields of RFC 5424 section 6, in bytes.
const HOSTNAME_BYTES_MAX: usize = 255;
const APP_NAME_BYTES_MAX: usize = 48;
const PROCID_BYTES_MAX: usize = 128;
const MSGID_BYTES_MAX: usize = 32;

/// Appends `<PRI>Mmm dd hh:mm:ss HOST TAG[PROCID]: text` (RFC 3164 section 4.1; without the host for local sockets).
pub fn build_rfc3164(header: &Header<'_>, text: &[u8], out: &mut Vec<u8>) {
    write_pri(header.priority, out);
    if let Some(timestamp) = header.timestamp {
        timestamp.write_rfc3164(out);
        out.push(b' ');
    }
    if let Some(hostname) = header.hostname {
        out.extend_from_slice(hostname);
        out.push(b' ');
    }
    out.extend_from_slice(header.app_name);
    if let Some(procid) = header.procid {
        out.push(b'[');
        out.extend_from_slice(procid);
        out.push(b']');
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(text);
}

/// Appends `<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA text` (RFC 5424 section 6). What a field may not hold
/// is written as `?`, so that no value can become another field.
pub fn build_rfc5424(header: &Header<'_>, text: &[u8], out: &mut Vec<u8>) {
    write_pri(header.priority, out);
    out.extend_from_slice(b"1 ");
    match header.timestamp {
        Some(timestamp) => timestamp.write_rfc3339(out),
        None => out.push(b'-'),
    }
    write_word(header.hostname, HOSTNAME_BYTES_MAX, out);
    write_word(Some(header.app_name), APP_NAME_BYTES_MAX, out);
    write_word(header.procid, PROCID_BYTES_MAX, out);
    write_word(header.msgid, MSGID_BYTES_MAX, out);
    out.push(b' ');
    match header.structured_data {
        Some(data) if !data.is_empty() => out.extend_from_slice(data),
        _ => out.push(b'-'),
    }
    if !text.is_empty() {
        out.push(b' ');
        out.extend_from_slice(text);
    }
}

/// Appends the timeQuality element (RFC 5424 section 7.1): the bound of the error stands only when synchronised.
pub fn time_quality(quality: &ClockQuality, out: &mut Vec<u8>) {
    let flag = |value: bool| if value { b'1' } else { b'0' };
    out.extend_from_slice(b"[timeQuality tzKnown=\"");
    out.push(flag(quality.tz_known));
    out.extend_from_slice(b"\" isSynced=\"");
    out.push(flag(quality.synced));
    if let Some(error) = quality.stated_error_usec() {
        out.extend_from_slice(b"\" syncAccuracy=\"");
        out.extend_from_slice(error.to_string().as_bytes());
    }
    out.extend_from_slice(b"\"]");
}

fn write_pri(priority: Priority, out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(priority.pri().to_string().as_bytes());
    out.push(b'>');
}

/// A space, and printable ASCII or the nil value.
fn write_word(value: Option<&[u8]>, bytes_max: usize, out: &mut Vec<u8>) {
    out.push(b' ');
    match value {
        Some(value) if !value.is_empty() => {
            let printable = |byte: &u8| if byte.is_ascii_graphic() { *byte } else { b'?' };
            out.extend(value.iter().take(bytes_max).map(printable));
        }
        _ => out.push(b'-'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Origin, elements, parse};

    /// Goal: what is built is parsed back, and timeQuality says the truth in the form of the RFC.
    #[test]
    fn built_messages_are_parsed_back() {
        let mut data = Vec::new();
        time_quality(&ClockQuality { synced: true, max_error_usec: 12_345, tz_known: true }, &mut data);
        assert_eq!(data, br#"[timeQuality tzKnown="1" isSynced="1" syncAccuracy="13000"]"#);
        let header = Header {
            priority: Priority::DEFAULT,
            timestamp: Some(Timestamp::from_unix(record::UnixMicros(1_700_000_000_123_456), 60)),
            hostname: Some(b"host"),
            app_name: b"a b",
            procid: Some(b"12"),
            msgid: None,
            structured_data: Some(&data),
        };
        let mut out = Vec::new();
        build_rfc5424(&header, b"text", &mut out);
        let message = parse(&out, Origin::Network);
        assert_eq!(
            (message.app_name, message.procid, message.text()),
            (&b"a?b"[..], header.procid, &b"text"[..])
        );
        assert_eq!(message.timestamp, header.timestamp);
        let quality = elements(message.structured_data.expect("data")).next().expect("one element");
        assert_eq!(quality.param(b"syncAccuracy"), Some(&b"13000"[..]));
        out.clear();
        build_rfc3164(&Header { app_name: b"su", ..header }, b"text", &mut out);
        assert_eq!(out, b"<13>Nov 14 23:13:20 host su[12]: text");
        data.clear();
        time_quality(&ClockQuality { synced: false, max_error_usec: 5, tz_known: false }, &mut data);
        assert_eq!(data, br#"[timeQuality tzKnown="0" isSynced="0"]"#);
    }
}
