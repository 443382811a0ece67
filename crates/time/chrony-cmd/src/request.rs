//! What is asked for.

use crate::wire::{Address, Filler, Float, Name, Reader, Timespec, Wire, codes, layout_in_order};

/// A request. Each variant's meaning stands at the [`crate::Command`] of its name.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at the command of its name")]
pub enum Request {
    Online(Subnet),
    Offline(Subnet),
    Burst(Burst),
    ModifyMinpoll(SourceInteger),
    ModifyMaxpoll(SourceInteger),
    Dump(u32),
    ModifyMaxdelay(SourceFloat),
    ModifyMaxdelayratio(SourceFloat),
    ModifyMaxupdateskew(Float),
    Settime(Timespec),
    Manual(i32),
    NSources,
    SourceData(u32),
    Rekey,
    Allow(AccessRule),
    AllowAll(AccessRule),
    Deny(AccessRule),
    DenyAll(AccessRule),
    CmdAllow(AccessRule),
    CmdAllowAll(AccessRule),
    CmdDeny(AccessRule),
    CmdDenyAll(AccessRule),
    AccessCheck(Address),
    CmdAccessCheck(Address),
    DeleteSource(Address),
    WriteRtc,
    ChangeFrequency(Float),
    Tracking,
    SourceStats(u32),
    RtcReport,
    TrimRtc,
    CycleLogs,
    ManualList,
    ManualDelete(i32),
    Makestep,
    Activity,
    ModifyMinstratum(SourceInteger),
    ModifyPolltarget(SourceInteger),
    ModifyMaxdelaydevratio(SourceFloat),
    Reselect,
    ReselectDistance(Float),
    ModifyMakestep(MakestepRule),
    Smoothing,
    Smoothtime(i32),
    Refresh,
    ServerStats,
    LocalShort(LocalModeShort),
    NtpData(Address),
    Shutdown,
    Onoffline,
    AddSource(Box<NewSource>),
    SourceName(Address),
    ResetSources,
    AuthData(Address),
    ClientAccesses(ClientPage),
    SelectData(u32),
    ReloadSources,
    ChangeOffset(Float),
    ModifySelectOptions(SelectOptionsChange),
    ModifyOffset(SourceOffset),
    Local(LocalMode),
}

layout_in_order! {
    /// Which sources are meant. Both unspecified: all. An unresolved source is named by its number and no mask.
    #[derive(Copy, Eq)]
    pub struct Subnet {
        /// Which bits of the address count.
        pub mask: Address,
        /// The address.
        pub address: Address,
    }
}

impl Subnet {
    /// Every source.
    pub const ALL: Self = Self { mask: Address::Unspecified, address: Address::Unspecified };

    /// Whether a source's address is meant, as chronyd decides it: no mask means all, and an address that is not
    /// resolved matches only its own number.
    pub fn contains(&self, source: Address) -> bool {
        match (self.mask, self.address, source) {
            (_, Address::Unspecified, _) => true,
            (_, Address::Unresolved(wanted), Address::Unresolved(id)) => wanted == id,
            (Address::V4(mask), Address::V4(wanted), Address::V4(ip)) => {
                (wanted.to_bits() ^ ip.to_bits()) & mask.to_bits() == 0
            }
            (Address::V6(mask), Address::V6(wanted), Address::V6(ip)) => {
                (wanted.to_bits() ^ ip.to_bits()) & mask.to_bits() == 0
            }
            _ => false,
        }
    }
}

layout_in_order! {
    /// Quick measurements.
    #[derive(Copy, Eq)]
    pub struct Burst {
        /// Of which sources.
        pub sources: Subnet,
        /// How many good measurements are wanted.
        pub good: i32,
        /// After how many it stops anyway.
        pub total: i32,
    }
}

layout_in_order! {
    /// An integer setting of one source.
    #[derive(Copy, Eq)]
    pub struct SourceInteger {
        /// The source.
        pub source: Address,
        /// log2 seconds for polls; a plain number else.
        pub value: i32,
    }
}

layout_in_order! {
    /// A setting of one source.
    #[derive(Copy)]
    pub struct SourceFloat {
        /// The source.
        pub source: Address,
        /// Seconds for delays; a plain number for ratios.
        pub value: Float,
    }
}

layout_in_order! {
    /// An access rule; the command says whether it allows or denies.
    #[derive(Copy, Eq)]
    pub struct AccessRule {
        /// Unspecified: everybody.
        pub address: Address,
        /// How many leading bits of the address count; negative: all.
        pub bits: i32,
    }
}

layout_in_order! {
    /// `makestep THRESHOLD LIMIT`.
    #[derive(Copy)]
    pub struct MakestepRule {
        /// How many updates may still step; negative: all.
        pub limit: i32,
        /// Offsets above so many seconds are stepped.
        pub threshold: Float,
    }
}

layout_in_order! {
    /// `local` as chrony 4.3 says it.
    #[derive(Copy)]
    pub struct LocalModeShort {
        /// 1: on; 0: off.
        pub on: i32,
        /// The stratum that is served.
        pub stratum: i32,
        /// Only when the root distance of the last update is above so many seconds.
        pub distance: Float,
        /// 1: the server with the smallest reference id wins.
        pub orphan: i32,
    }
}

layout_in_order! {
    /// `local` as chrony 4.6 and later say it.
    #[derive(Copy)]
    pub struct LocalMode {
        /// The part that chrony 4.3 has.
        pub short: LocalModeShort,
        /// Only after the clock was once within so many seconds.
        pub activate: Float,
        /// Only so many seconds after the last update.
        pub wait_synced: Float,
        /// Only so many seconds after the start without an update.
        pub wait_unsynced: Float,
    }
}

layout_in_order! {
    /// Which page of the clients.
    #[derive(Copy, Eq)]
    pub struct ClientPage {
        /// The first index of the daemon's table.
        pub first_index: u32,
        /// How many clients at most; the daemon gives no more than 8.
        pub clients: u32,
        /// Only clients with so many packets.
        pub min_hits: u32,
        /// 1: the counters start anew.
        pub reset: u32,
    }
}

layout_in_order! {
    /// Selection options of one source.
    #[derive(Copy, Eq)]
    pub struct SelectOptionsChange {
        /// The source, or unspecified when the reference id names it.
        pub source: Address,
        /// A reference clock's id.
        pub reference_id: u32,
        /// Which of them are changed, in the bits of [`crate::SelectOptions`]: chrony counts the two fields differently.
        pub mask: u32,
        /// What they become.
        pub options: SourceFlags,
    }
}

layout_in_order! {
    /// The offset correction of one source.
    #[derive(Copy)]
    pub struct SourceOffset {
        /// The source, or unspecified when the reference id names it.
        pub source: Address,
        /// A reference clock's id.
        pub reference_id: u32,
        /// Seconds.
        pub offset: Float,
    }
}

codes! {
    /// What kind of source is added.
    pub enum SourceKind: u32 {
        /// One server.
        Server = 1,
        /// A symmetric association.
        Peer = 2,
        /// Several servers of one name.
        Pool = 3,
    }
}

/// Flags of a new source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceFlags(pub u32);

#[expect(missing_docs, reason = "each flag is the source option of its name in chrony.conf(5)")]
impl SourceFlags {
    pub const ONLINE: Self = Self(0x1);
    pub const AUTO_OFFLINE: Self = Self(0x2);
    pub const IBURST: Self = Self(0x4);
    pub const PREFER: Self = Self(0x8);
    pub const NOSELECT: Self = Self(0x10);
    pub const TRUST: Self = Self(0x20);
    pub const REQUIRE: Self = Self(0x40);
    pub const INTERLEAVED: Self = Self(0x80);
    pub const BURST: Self = Self(0x100);
    pub const NTS: Self = Self(0x200);
    pub const COPY: Self = Self(0x400);
    pub const EXTFIELD_MONO_ROOT: Self = Self(0x800);
    pub const EXTFIELD_NET_CORRECTION: Self = Self(0x1000);
    pub const IPV4: Self = Self(0x2000);
    pub const IPV6: Self = Self(0x4000);

    /// Whether all flags of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and `other`, if `condition`.
    #[must_use]
    pub fn with(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }
}

impl Wire for SourceFlags {
    const LENGTH: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.take().map(Self)
    }
}

layout_in_order! {
    /// A new source with its options, as chrony.conf(5) explains them.
    pub struct NewSource {
        /// Server, peer or pool.
        pub kind: SourceKind,
        /// Its host name or address.
        pub name: Name,
        /// UDP port.
        pub port: u32,
        /// log2 seconds.
        pub minpoll: i32,
        /// log2 seconds.
        pub maxpoll: i32,
        /// log2 seconds.
        pub presend_minpoll: i32,
        /// Stratum.
        pub min_stratum: u32,
        /// Samples.
        pub poll_target: u32,
        /// NTP version; 0: the default.
        pub version: u32,
        /// How many servers of a pool.
        pub max_sources: u32,
        /// Samples; negative: the default.
        pub min_samples: i32,
        /// Samples; negative: the default.
        pub max_samples: i32,
        /// Key id; 0: none.
        pub key: u32,
        /// TCP port of NTS-KE.
        pub nts_port: u32,
        /// Seconds.
        pub max_delay: Float,
        /// A multiple of the shortest delay.
        pub max_delay_ratio: Float,
        /// Deviations.
        pub max_delay_dev_ratio: Float,
        /// Seconds.
        pub min_delay: Float,
        /// -0.5 to 0.5; 1.0: estimated.
        pub asymmetry: Float,
        /// Seconds.
        pub offset: Float,
        /// Yes-or-no options.
        pub flags: SourceFlags,
        /// Samples that the median filter combines; 0: none.
        pub filter_length: i32,
        /// The number of the set of trusted certificates.
        pub certificate_set: u32,
        /// Quantile of the delay, 0 to 1; 0: off.
        pub max_delay_quantile: Float,
        /// Polls without answer before a source is given up; chrony before 4.7 sends 0.
        pub max_unreach: i32,
    }
}

impl<T: Wire> Wire for Box<T> {
    const LENGTH: usize = T::LENGTH;
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        T::take(input).map(Box::new)
    }
}

/// The two reserved fields of a request's header.
pub(crate) type RequestPad = Filler<8, 0>;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Goal: `online 10.0.0.0/8` and its like mean what chronyd takes them for.
    #[test]
    fn a_subnet_contains_its_sources() {
        let v4 = |a, b, c, d| Address::V4(Ipv4Addr::new(a, b, c, d));
        let check = |mask, address, source, expected| {
            assert_eq!(Subnet { mask, address }.contains(source), expected, "{mask} {address} {source}");
        };
        check(Address::Unspecified, Address::Unspecified, v4(1, 2, 3, 4), true);
        check(v4(255, 0, 0, 0), v4(10, 0, 0, 0), v4(10, 9, 8, 7), true);
        check(v4(255, 0, 0, 0), v4(10, 0, 0, 0), v4(11, 9, 8, 7), false);
        check(Address::Unspecified, Address::Unresolved(3), Address::Unresolved(3), true);
        check(Address::Unspecified, Address::Unresolved(3), v4(0, 0, 0, 3), false);
        check(v4(255, 0, 0, 0), v4(10, 0, 0, 0), Address::V6(std::net::Ipv6Addr::LOCALHOST), false);
    }
}
