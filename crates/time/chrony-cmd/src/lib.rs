//! The command protocol that `chronyc` and `chronyd` speak, version 6, both ends.
//!
//! For: the time daemon, which answers requests ([`serve`]), and the command, which asks ([`ask`], [`Request`],
//! [`Reply`]). Both stock programs work with either end.
//!
//! Always: a request is never shorter than its reply, so that a forged sender address gains nothing by reflection; a
//! field's place on the wire is its place in the structure's declaration; a peer's bytes never panic.
//!
//! Never: no socket, file, thread, clock read or randomness; no opinion about who may ask (the daemon looks at
//! `cmdallow` and at file permissions before it calls [`serve`]).
//!
//! The wire in one look (all integers big-endian):
//!
//! ```text
//! request   0 version=6   1 type=1   2-3 zero   4 command   6 attempt   8 sequence   12-19 zero   20 data, padding
//! reply     0 version=6   1 type=2   2-3 zero   4 command   6 reply kind   8 status   10-15 zero   16 sequence
//!           20-27 zero   28 data
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

pub mod ask;
mod command;
mod float;
mod reply;
mod request;
mod serve;
mod status;
mod wire;

pub use command::Command;
pub use reply::{
    Activity, AuthData, AuthMode, ClientAccess, ClientAccesses, LeapStatus, ManualList, ManualSample,
    ManualTimestamp, NtpData, NtpPacket, NtpTimestamps, Reply, RtcData, SelectData, SelectOptions,
    ServerPackets, ServerStats, ServerTimestamps, Smoothing, SourceData, SourceMode, SourceState,
    SourceStats, Tracking,
};
pub use request::{
    AccessRule, Burst, ClientPage, LocalMode, LocalModeShort, MakestepRule, NewSource, Request,
    SelectOptionsChange, SourceFlags, SourceFloat, SourceInteger, SourceKind, SourceOffset, Subnet,
};
pub use serve::{Dropped, OpenCommands, Peer, serve, status_of};
pub use status::Status;
pub use wire::{Address, Float, Name, Timespec};

use std::path::PathBuf;

/// The UDP port for commands (`cmdport` in chrony.conf(5)).
pub const DEFAULT_PORT: u16 = 323;

/// The UDP port for commands in a house: unprivileged.
pub const HOUSE_PORT: u16 = 11_323;

/// The protocol version that both ends speak.
pub const VERSION: u8 = 6;

/// The version before: the same messages without padding.
pub const VERSION_UNPADDED: u8 = 5;

/// Bytes before a request's data.
pub const REQUEST_HEADER_LENGTH: usize = 20;

/// Bytes before a reply's data.
pub const REPLY_HEADER_LENGTH: usize = 28;

/// The longest datagram that can be a request: the longest data (a new source, 352 bytes) and the longest padding
/// (484 bytes, of the client list). A longer one is dropped, as chronyd does.
pub const REQUEST_LENGTH_MAX: usize = REQUEST_HEADER_LENGTH + 352 + 484;

/// The longest reply, a page of the client list; what a client's buffer must hold.
pub const REPLY_LENGTH_MAX: usize = REPLY_HEADER_LENGTH + 492;

/// Where the daemon's Unix datagram socket stands (`bindcmdaddress` in chrony.conf(5)).
pub fn socket_path(layout: &layout::Layout) -> PathBuf {
    layout.place("run/chronyd.sock", "/run/chrony/chronyd.sock")
}

/// The UDP port for commands where nothing else is configured: in a house another one than on a system, so that a command
/// for a house never reaches the host's own daemon.
pub fn port(layout: &layout::Layout) -> u16 {
    if layout.house_dir().is_some() { HOUSE_PORT } else { DEFAULT_PORT }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: commands and the daemon find each other on a system and in a house.
    #[test]
    fn the_socket_has_its_place() {
        let check = |layout: layout::Layout, expected: &str| {
            assert_eq!(socket_path(&layout), PathBuf::from(expected))
        };
        check(layout::Layout::system(), "/run/chrony/chronyd.sock");
        check(layout::Layout::house("/h"), "/h/run/chronyd.sock");
    }
}
