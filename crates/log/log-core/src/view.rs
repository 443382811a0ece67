//! What rules and templates see of a message.

use record::ClockQuality;

use crate::property::programname_end;
use crate::{Selector, Stamp};

/// A message's properties, borrowed from the parsed message and from the connection that it came by.
///
/// It follows rsyslog's reading: `msg` of a traditional message begins with the space that followed its tag; the tag keeps
/// its brackets and colon; what a message does not state is `-` where RFC 5424 has a nil value and empty elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct MessageView<'a> {
    /// PRI: 0-191, or [`Selector::INVALID_PRI`] where the sender's was no such number.
    pub pri: u8,
    /// An RFC 5424 message: `app_name`, `procid` stand for themselves and the tag is made from them.
    pub is_rfc5424: bool,
    /// The whole message without framing, after control characters were made visible.
    pub raw: &'a [u8],
    /// The text.
    pub msg: &'a [u8],
    /// HOSTNAME as stated, or the name of the peer (this host's name for local messages).
    pub hostname: &'a [u8],
    /// The peer's name, or its address where no name is known.
    pub fromhost: &'a [u8],
    /// The peer's address; `127.0.0.1` for local messages.
    pub fromhost_ip: &'a [u8],
    /// This host's name.
    pub local_hostname: &'a [u8],
    /// The traditional tag with brackets and colon; empty in an RFC 5424 message.
    pub tag: &'a [u8],
    /// APP-NAME of an RFC 5424 message, `-` where nil. Not looked at in a traditional message: it is cut from the tag.
    pub app_name: &'a [u8],
    /// PROCID of an RFC 5424 message, `-` where nil. Not looked at in a traditional message.
    pub procid: &'a [u8],
    /// MSGID, `-` where nil or absent.
    pub msgid: &'a [u8],
    /// STRUCTURED-DATA as written, `-` where nil or absent.
    pub structured_data: &'a [u8],
    /// When the sender says it was; the time of receipt where it did not say.
    pub time_reported: Stamp,
    /// The time of receipt, in local time.
    pub time_generated: Stamp,
    /// The input's name: `imudp`, `imtcp`, `imuxsock`, ...
    pub input_name: &'a str,
    /// The kernel's word on the clock, only for records which originate on this host.
    pub clock: Option<ClockQuality>,
}

impl<'a> MessageView<'a> {
    /// The view of a parsed message.
    ///
    /// `received` is the time of receipt in local time; it also completes a traditional stamp, which has neither year nor
    /// zone: the year is the one that puts it nearest. `peer` names the sender where the message does not.
    pub fn new(message: &syslog_proto::Message<'a>, peer: Peer<'a>, received: Stamp) -> Self {
        let nil = |field: Option<&'a [u8]>| field.unwrap_or(b"-");
        Self {
            pri: match message.pri_invalid {
                Some(_) => Selector::INVALID_PRI,
                None => message.priority.pri(),
            },
            is_rfc5424: message.format == syslog_proto::Format::Rfc5424,
            raw: message.raw,
            msg: message.msg,
            hostname: match message.hostname {
                Some(hostname) => hostname,
                None if is_nil_hostname(message) => b"-",
                None => peer.hostname,
            },
            fromhost: peer.hostname,
            fromhost_ip: peer.address,
            local_hostname: peer.local_hostname,
            tag: message.tag,
            app_name: if message.app_name.is_empty() { b"-" } else { message.app_name },
            procid: nil(message.procid),
            msgid: nil(message.msgid),
            structured_data: nil(message.structured_data),
            time_reported: message
                .timestamp
                .map_or(received, |stamp| reported(&stamp, message.raw, received)),
            time_generated: received,
            input_name: peer.input_name,
            clock: peer.clock,
        }
    }

    /// The program's name: the tag (or APP-NAME) up to the first `[`, `:`, `/` or unprintable byte.
    pub fn programname(&self) -> &'a [u8] {
        let whole = if self.is_rfc5424 { self.app_name } else { self.tag };
        whole.split_at_checked(programname_end(whole)).map_or(whole, |(name, _)| name)
    }
}

/// What is known of a sender, the same for many messages.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// Its name, or its address where no name is known; this host's name for local messages.
    pub hostname: &'a [u8],
    /// Its address as text; `127.0.0.1` for local messages.
    pub address: &'a [u8],
    /// This host's name.
    pub local_hostname: &'a [u8],
    /// The input's name: `imudp`, `imtcp`, `imuxsock`, ...
    pub input_name: &'a str,
    /// The kernel's word on the clock, only for local senders.
    pub clock: Option<ClockQuality>,
}

/// Whether an RFC 5424 message states that its host has no name, rather than saying nothing.
fn is_nil_hostname(message: &syslog_proto::Message<'_>) -> bool {
    if message.format != syslog_proto::Format::Rfc5424 {
        return false;
    }
    // PRI and version are the first word, the stamp is the second.
    let mut words = message.raw.split(|byte| *byte == b' ').skip(1);
    words.next().is_some_and(|stamp| stamp == b"-" || message.timestamp.is_some())
        && words.next() == Some(b"-")
}

/// A stated stamp completed from the time of receipt.
fn reported(stated: &syslog_proto::Timestamp, raw: &[u8], received: Stamp) -> Stamp {
    let year = match stated.year {
        0 => {
            // A December line that arrives in January is last year's, and the other way round.
            let months_ahead = i32::from(stated.month) - i32::from(received.month);
            match months_ahead {
                7.. => received.year.saturating_sub(1),
                ..=-7 => received.year.saturating_add(1),
                _ => received.year,
            }
        }
        year => year,
    };
    Stamp {
        year,
        month: stated.month,
        day: stated.day,
        hour: stated.hour,
        minute: stated.minute,
        second: stated.second,
        micros: stated.micros,
        digits: stated.precision,
        offset_minutes: stated.offset_minutes.unwrap_or(received.offset_minutes),
        zulu: stated.offset_minutes == Some(0) && is_written_zulu(raw),
    }
}

/// Whether the first word that is long enough to be a stamp of RFC 3339 ends with `Z`.
fn is_written_zulu(raw: &[u8]) -> bool {
    /// `2026-11-22T16:01:28`.
    const STAMP_BYTES_MIN: usize = 19;
    let word = raw.split(|byte| matches!(byte, b' ' | b'>')).find(|word| word.len() > STAMP_BYTES_MIN);
    word.is_some_and(|word| matches!(word, [.., b'Z' | b'z'] | [.., b'Z' | b'z', b':']))
}
