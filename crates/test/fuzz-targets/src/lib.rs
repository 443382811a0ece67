//! One function for each parser: what must hold whatever bytes come.
//!
//! For: the fuzzer (`fuzz/`, which calls these through libFuzzer) and the replay test, which runs each over its seed corpus
//! (`fuzz/corpus/NAME/`) and over bytes made from it by a fixed rule, so that every test run tries some thousands of inputs.
//!
//! Always: a target takes any bytes, is deterministic, and panics only when the parser has broken a promise: beyond not
//! panicking itself, that is mostly "the same whether it comes in one piece or byte by byte" and "never longer than asked".
//!
//! Never: it does no I/O.
#![forbid(unsafe_code)]

mod configuration;
mod log;
mod mail;
mod nts;
mod time;

/// A target's name, which is its corpus folder's and its libFuzzer binary's, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("ntp_packet", time::ntp_packet),
    ("ntp_server", time::ntp_server),
    ("ntp_client", time::ntp_client),
    ("ntp_keys", time::ntp_keys),
    ("ntp_nts_client", nts::client),
    ("ntp_nts_server", nts::server),
    ("ntp_nts_cookie", nts::cookie),
    ("ntp_nts_records", nts::records),
    ("ntp_nts_dump", nts::dump),
    ("chronyc_request", time::chronyc_request),
    ("chronyc_reply", time::chronyc_reply),
    ("syslog_message", log::syslog_message),
    ("syslog_framing", log::syslog_framing),
    ("journal_native", log::journal_native),
    ("journal_export", log::journal_export),
    ("journal_stream", log::journal_stream),
    ("smtp_server", mail::smtp_server),
    ("smtp_client", mail::smtp_client),
    ("aliases", mail::aliases),
    ("forward", mail::forward),
    ("address", mail::address),
    ("message", mail::message),
    ("mbox", mail::mbox),
    ("journal_file", log::journal_file),
    ("queue_segment", log::queue_segment),
    ("conf_chrony", configuration::chrony),
    ("conf_rsyslog", configuration::rsyslog),
    ("conf_journald", configuration::journald),
    ("conf_postfix", configuration::postfix),
    ("conf_banto", configuration::banto),
];

/// The target called `name`.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
}
