//! NTP version 4 (RFC 5905): packets, message authentication, and the client and server machines.
//!
//! For: the time daemon, and any test or tool that speaks NTP.
//!
//! Always: no input panics; a reply is never longer than the request that asked for it, so a server cannot amplify; a
//! client accepts at most one reply to each request, and only one that carries the request's random number.
//!
//! Never: no socket, file, clock or random source. Bytes, timestamps and random numbers are arguments, and what must be
//! sent is a return value. It does not judge which server is right: that is `time-core`'s work.
#![forbid(unsafe_code)]

mod access;
mod client;
mod clients;
mod correction;
mod experimental;
mod extension;
mod keys;
mod kiss;
pub mod nts;
mod packet;
mod ptp;
mod server;
mod signing;
mod stamps;
mod timestamp;

pub use access::{AccessList, Subnet};
pub use client::{Client, ClientConfig, LocalScale, Measurement, ReplyError};
pub use clients::{
    ClientAccount, ClientKey, ClientRecord, ClientTable, Moment, RateLimit, Service, Treatment,
};
pub use correction::{Arrived, CorrectionForm, Transit};
pub use extension::{Extension, Extensions};
pub use keys::{Digested, Key, KeyFileError, KeyType, Keys, MAC_BYTES_MAX, MacError};
pub use kiss::KissCode;
pub use packet::{
    HEADER_BYTES, Header, Leap, MacField, Mode, PACKET_BYTES_MAX, Packet, PacketError, ReferenceId,
    STRATUM_MAX, VERSION,
};
pub use ptp::{
    PTP_PREFIX_BYTES_MAX, PtpForm, PtpForms, PtpMessage, PtpPrefix, ptp_prefix, ptp_unwrap, ptp_wrap,
};
pub use server::{
    Manner, Monotonic, Refusal, Reply, Server, ServerCounters, ServerSnapshot, broadcast_packet,
    interleaved_origin,
};
pub use signing::{
    SIGN_ANSWER_BYTES_MAX, SIGN_REQUEST_BYTES, sign_answer_length, sign_request, signed_packet,
    signing_account,
};
pub use stamps::StampTable;
pub use timestamp::{NTP_UNIX_OFFSET_SECONDS, NtpShort, NtpTimestamp};
