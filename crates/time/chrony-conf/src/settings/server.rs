//! Who is served, and how.

use std::net::IpAddr;

/// `local`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalReference {
    /// The stratum that is served, 1 to 15.
    pub stratum: u8,
    /// Only when the root distance is above this, seconds.
    pub distance: f64,
    /// `orphan`: of several such servers, the one with the smallest reference id is the primary.
    pub orphan: bool,
    /// `activate`: not before the root distance was once below this, seconds; 0: at once.
    pub activate: f64,
    /// `waitsynced`: not before so many seconds after the last update while a source is selectable.
    pub wait_synced: f64,
    /// `waitunsynced`: not before so many seconds without an update; without the option, 300 in orphan mode and else 0.
    pub wait_unsynced: f64,
}

/// `waitunsynced` of orphan mode without the option, in seconds.
pub const ORPHAN_WAIT_UNSYNCED: f64 = 300.0;

/// `ratelimit`, `cmdratelimit` or `ntsratelimit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// `interval`: log2 seconds between two responses to one address, -19 to 12.
    pub interval: i8,
    /// `burst`: responses that may exceed it, 1 to 255.
    pub burst: u8,
    /// `leak`: of the requests above the limit, 1 of 2^leak is answered all the same, 1 to 4.
    pub leak: u8,
    /// `kod`: of the requests above the limit, 1 of 2^kod is answered with RATE, 1 to 4; 0: none. Only `ratelimit` has it.
    pub kod: u8,
}

impl RateLimit {
    /// With nothing but the interval set.
    pub(crate) const fn every(interval: i8) -> Self {
        Self { interval, burst: 8, leak: 2, kod: 0 }
    }
}

/// One `broadcast` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broadcast {
    /// Seconds between two packets.
    pub interval: u32,
    /// The address that they are sent to.
    pub address: IpAddr,
    /// The UDP port that they are sent to.
    pub port: u16,
}

/// `authselectmode`: how sources without authentication are treated beside such with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthSelectMode {
    /// Those without are never selected.
    Require,
    /// Those without are never selected while there is one with.
    Prefer,
    /// Where there are both, those with it are trusted and required.
    Mix,
    /// It makes no difference.
    Ignore,
}

impl AuthSelectMode {
    /// Every mode and its word.
    pub const ALL: &[(&str, Self)] =
        &[("require", Self::Require), ("prefer", Self::Prefer), ("mix", Self::Mix), ("ignore", Self::Ignore)];

    /// Its word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, mode)| *mode == self).map_or("mix", |(name, _)| name)
    }
}

/// What `opencommands` may name: reports that are given over UDP.
pub const OPEN_COMMANDS: &[&str] = &[
    "activity",
    "authdata",
    "clients",
    "manual",
    "ntpdata",
    "rtcdata",
    "selectdata",
    "serverstats",
    "smoothing",
    "sourcename",
    "sources",
    "sourcestats",
    "tracking",
];

/// Those that are open without `opencommands`.
pub const OPEN_COMMANDS_DEFAULT: &[&str] =
    &["activity", "manual", "rtcdata", "smoothing", "sourcename", "sources", "sourcestats", "tracking"];

/// `allow`, `deny`, `cmdallow` or `cmddeny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Allowed or denied.
    pub allow: bool,
    /// More specific rules before this one are void (`allow all`).
    pub all: bool,
    /// Who.
    pub subject: AccessSubject,
}

/// Whom an access rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessSubject {
    /// Every address of both families.
    Everybody,
    /// A subnet.
    Net {
        /// An address in it.
        address: IpAddr,
        /// How many leading bits count; at most 32 or 128.
        bits: u8,
    },
    /// The addresses of a host name, which the daemon looks up.
    Host(String),
}
