//! The properties of a message by name, as filters and templates call them.

use record::{Facility, Severity};

use crate::stamp::append_decimal;
use crate::{DateFormat, MessageView, Selector, Stamp};

/// A property of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are those of the property replacer's documentation
pub enum Property {
    Msg,
    RawMsg,
    RawMsgAfterPri,
    HostName,
    FromHost,
    FromHostIp,
    SyslogTag,
    ProgramName,
    AppName,
    ProcId,
    MsgId,
    StructuredData,
    Pri,
    PriText,
    Facility,
    FacilityText,
    Severity,
    SeverityText,
    TimeReported,
    TimeGenerated,
    InputName,
    ProtocolVersion,
    LocalHostName,
    ByteOrderMark,
    /// Parts of the present time (`$now`, `$year`, ...), told as the time of receipt: rules run at once.
    Now {
        part: NowPart,
        utc: bool,
    },
}

/// The `$now` family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NowPart {
    /// `2026-11-22`.
    Date,
    /// Four digits.
    Year,
    /// Two digits.
    Month,
    /// Two digits.
    Day,
    /// Two digits.
    Hour,
    /// The half of the hour, `00` or `01`.
    HalfHour,
    /// The quarter of the hour, `00` to `03`.
    QuarterHour,
    /// Two digits.
    Minute,
    /// Seconds since the epoch.
    UnixTimestamp,
    /// The day of the week, 0 is Sunday.
    WeekDay,
}

/// What is known of a property's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropertyStanding {
    /// Ours.
    Supported(Property),
    /// rsyslog has it; we do not yet.
    NotYet,
    /// Nobody has it.
    Unknown,
}

/// Names that rsyslog knows and that are not supported yet.
const NOT_YET: &[&str] = &[
    "uuid",
    "jsonmesg",
    "fromhost-port",
    "iut",
    "msgproperties",
    "$uptime",
    "$myos",
    "bom-utf8",
    "parsesuccess",
];

const NAMES: &[(&str, Property)] = &[
    ("msg", Property::Msg),
    ("rawmsg", Property::RawMsg),
    ("rawmsg-after-pri", Property::RawMsgAfterPri),
    ("hostname", Property::HostName),
    ("source", Property::HostName),
    ("fromhost", Property::FromHost),
    ("fromhost-ip", Property::FromHostIp),
    ("syslogtag", Property::SyslogTag),
    ("programname", Property::ProgramName),
    ("app-name", Property::AppName),
    ("procid", Property::ProcId),
    ("msgid", Property::MsgId),
    ("structured-data", Property::StructuredData),
    ("pri", Property::Pri),
    ("pri-text", Property::PriText),
    ("syslogfacility", Property::Facility),
    ("syslogfacility-text", Property::FacilityText),
    ("syslogseverity", Property::Severity),
    ("syslogpriority", Property::Severity),
    ("syslogseverity-text", Property::SeverityText),
    ("syslogpriority-text", Property::SeverityText),
    ("timereported", Property::TimeReported),
    ("timestamp", Property::TimeReported),
    ("timegenerated", Property::TimeGenerated),
    ("inputname", Property::InputName),
    ("protocol-version", Property::ProtocolVersion),
    ("$myhostname", Property::LocalHostName),
    ("$bom", Property::ByteOrderMark),
];

const NOW_NAMES: &[(&str, NowPart)] = &[
    ("$now", NowPart::Date),
    ("$year", NowPart::Year),
    ("$month", NowPart::Month),
    ("$day", NowPart::Day),
    ("$hour", NowPart::Hour),
    ("$hhour", NowPart::HalfHour),
    ("$qhour", NowPart::QuarterHour),
    ("$minute", NowPart::Minute),
    ("$now-unixtimestamp", NowPart::UnixTimestamp),
    ("$wday", NowPart::WeekDay),
];

impl Property {
    /// Looks a name up, in any case.
    pub fn from_name(name: &str) -> PropertyStanding {
        let name = name.to_ascii_lowercase();
        if let Some((_, property)) = NAMES.iter().find(|(known, _)| *known == name) {
            return PropertyStanding::Supported(*property);
        }
        let (stem, utc) = match name.strip_suffix("-utc") {
            Some(stem) => (stem, true),
            None => (name.as_str(), false),
        };
        if let Some((_, part)) = NOW_NAMES.iter().find(|(known, _)| *known == stem) {
            return PropertyStanding::Supported(Property::Now { part: *part, utc });
        }
        let is_variable = ["$!", "$.", "$/", "!", ".", "/"].iter().any(|mark| name.starts_with(mark));
        if is_variable || NOT_YET.contains(&name.as_str()) {
            return PropertyStanding::NotYet;
        }
        PropertyStanding::Unknown
    }

    /// All names, for "did you mean".
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name).chain(NOW_NAMES.iter().map(|(name, _)| *name))
    }

    /// The property's text; what must be made rather than borrowed is made in `scratch`, which is cleared first.
    pub fn text<'t>(self, message: &MessageView<'t>, scratch: &'t mut Vec<u8>) -> &'t [u8] {
        match self.borrowed(message) {
            Some(text) => text,
            None => {
                scratch.clear();
                self.append(message, scratch);
                scratch
            }
        }
    }

    /// Appends the property's text.
    #[inline]
    pub fn append(self, message: &MessageView<'_>, out: &mut Vec<u8>) {
        if let Some(text) = self.borrowed(message) {
            out.extend_from_slice(text);
            return;
        }
        match self {
            Property::SyslogTag => {
                // An RFC 5424 message has no tag: rsyslog makes one of APP-NAME and PROCID.
                out.extend_from_slice(message.app_name);
                if message.procid != b"-" {
                    out.push(b'[');
                    out.extend_from_slice(message.procid);
                    out.push(b']');
                }
            }
            Property::Pri => append_decimal(i64::from(message.pri), out),
            Property::Facility => append_decimal(i64::from(message.pri >> 3), out),
            Property::Severity => append_decimal(i64::from(message.pri & 7), out),
            Property::PriText => {
                out.extend_from_slice(facility_name(message.pri).as_bytes());
                out.push(b'.');
                out.extend_from_slice(severity_name(message.pri).as_bytes());
            }
            Property::TimeReported => message.time_reported.append(DateFormat::Rfc3164, out),
            Property::TimeGenerated => message.time_generated.append(DateFormat::Rfc3164, out),
            Property::Now { part, utc } => {
                let now = if utc { message.time_generated.in_utc() } else { message.time_generated };
                append_now(part, now, out);
            }
            // The others are borrowed.
            _ => {}
        }
    }

    /// The property's text where the message holds it ready.
    #[inline]
    pub(crate) fn borrowed<'t>(self, message: &MessageView<'t>) -> Option<&'t [u8]> {
        Some(match self {
            Property::Msg => message.msg,
            Property::RawMsg => message.raw,
            Property::RawMsgAfterPri => after_pri(message.raw),
            Property::HostName => message.hostname,
            Property::FromHost => message.fromhost,
            Property::FromHostIp => message.fromhost_ip,
            Property::LocalHostName => message.local_hostname,
            Property::SyslogTag if !message.is_rfc5424 => message.tag,
            Property::ProgramName => message.programname(),
            Property::AppName if message.is_rfc5424 => message.app_name,
            Property::AppName => match message.programname() {
                b"" => b"-",
                name => name,
            },
            Property::Pri | Property::Facility if message.pri == Selector::INVALID_PRI => b"invld",
            Property::ProcId if message.is_rfc5424 => message.procid,
            Property::ProcId => procid_in_tag(message.tag),
            Property::MsgId => message.msgid,
            Property::StructuredData => message.structured_data,
            Property::FacilityText => facility_name(message.pri).as_bytes(),
            Property::SeverityText => severity_name(message.pri).as_bytes(),
            Property::InputName => message.input_name.as_bytes(),
            Property::ProtocolVersion if message.is_rfc5424 => b"1",
            Property::ProtocolVersion => b"0",
            Property::ByteOrderMark => b"\xef\xbb\xbf",
            _ => return None,
        })
    }
}

fn append_now(part: NowPart, now: Stamp, out: &mut Vec<u8>) {
    match part {
        NowPart::Date => {
            now.append(DateFormat::Year, out);
            out.push(b'-');
            now.append(DateFormat::Month, out);
            out.push(b'-');
            now.append(DateFormat::Day, out);
        }
        NowPart::Year => now.append(DateFormat::Year, out),
        NowPart::Month => now.append(DateFormat::Month, out),
        NowPart::Day => now.append(DateFormat::Day, out),
        NowPart::Hour => now.append(DateFormat::Hour, out),
        NowPart::HalfHour => out.extend_from_slice(&[b'0', b'0' + u8::from(now.minute >= 30)]),
        NowPart::QuarterHour => out.extend_from_slice(&[b'0', b'0' + (now.minute / 15).min(9)]),
        NowPart::Minute => now.append(DateFormat::Minute, out),
        NowPart::UnixTimestamp => now.append(DateFormat::UnixTimestamp, out),
        NowPart::WeekDay => now.append(DateFormat::WeekDay, out),
    }
}

/// Where the program's name ends in a tag.
pub(crate) fn programname_end(tag: &[u8]) -> usize {
    tag.iter().position(|byte| !matches!(byte, 0x20..=0x7e) || b"[:/".contains(byte)).unwrap_or(tag.len())
}

/// What stands in brackets in a traditional tag; `-` where nothing does.
fn procid_in_tag(tag: &[u8]) -> &[u8] {
    let inside = tag.iter().position(|byte| *byte == b'[').and_then(|open| tag.get(open + 1..));
    inside
        .and_then(|inside| inside.iter().position(|byte| *byte == b']').and_then(|close| inside.get(..close)))
        .unwrap_or(b"-")
}

/// What stands behind the `>`, also of a PRI that is none; the whole where nothing does.
fn after_pri(raw: &[u8]) -> &[u8] {
    /// `<191>` and a little more: further to the right a `>` belongs to the text.
    const PRI_BYTES_MAX: usize = 10;
    if raw.first() != Some(&b'<') {
        return raw;
    }
    let close = raw.iter().take(PRI_BYTES_MAX).position(|byte| *byte == b'>');
    close.and_then(|close| raw.get(close + 1..)).unwrap_or(raw)
}

fn facility_name(pri: u8) -> &'static str {
    Facility::from_code(pri >> 3).map_or("invld", Facility::name)
}

fn severity_name(pri: u8) -> &'static str {
    Severity::from_code(pri & 7).map_or("invld", Severity::name)
}
