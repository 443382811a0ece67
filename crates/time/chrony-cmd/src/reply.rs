//! What is answered.

use crate::wire::{Address, Filler, Float, Name, Reader, Timespec, Wire, codes, layout_in_order};

/// The data of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Nothing but the status.
    Null,
    /// How many sources there are; their numbers count from 0.
    NSources(u32),
    /// One source.
    SourceData(SourceData),
    /// The system clock.
    Tracking(Tracking),
    /// One source's measurements.
    SourceStats(SourceStats),
    /// The real-time clock.
    Rtc(RtcData),
    /// What became of a time given by hand.
    ManualTimestamp(ManualTimestamp),
    /// The times given by hand.
    ManualList(ManualList),
    /// Sources online and offline.
    Activity(Activity),
    /// Time smoothing.
    Smoothing(Smoothing),
    /// The last packet of a source.
    NtpData(Box<NtpData>),
    /// The name by which a source was configured.
    SourceName(Box<Name>),
    /// A source's authentication.
    AuthData(AuthData),
    /// A page of the clients.
    ClientAccesses(ClientAccesses),
    /// Why a source is or is not selected.
    SelectData(SelectData),
    /// The server's counters.
    ServerStats(Box<ServerStats>),
}

codes! {
    /// How a source is used.
    pub enum SourceMode: u16 {
        /// A server that we ask (`^`).
        Client = 0,
        /// A peer (`=`).
        Peer = 1,
        /// A reference clock of this host (`#`).
        ReferenceClock = 2,
    }
}

codes! {
    /// What the selection made of a source.
    pub enum SourceState: u16 {
        /// The clock follows it (`*`).
        Selected = 0,
        /// Not usable: unreachable, unsynchronised, too few samples (`?`).
        Nonselectable = 1,
        /// Disagrees with the majority (`x`).
        Falseticker = 2,
        /// Its time varies too much (`~`).
        Jittery = 3,
        /// Combined with the selected one (`+`). chrony's own name for it is "unselected".
        Combined = 4,
        /// Selectable, and left out of the combination (`-`).
        NotCombined = 5,
    }
}

codes! {
    /// Leap second status.
    pub enum LeapStatus: u16 {
        /// No leap second announced.
        Normal = 0,
        /// The last minute of the day has 61 seconds.
        InsertSecond = 1,
        /// The last minute of the day has 59 seconds.
        DeleteSecond = 2,
        /// The clock is not synchronised.
        Unsynchronised = 3,
    }
}

layout_in_order! {
    /// One source, as `sources` shows it.
    pub struct SourceData {
        /// Its address; for a reference clock the reference id as an IPv4 address.
        pub address: Address,
        /// log2 seconds.
        pub poll: i16,
        /// Stratum of the source.
        pub stratum: u16,
        /// What the selection made of it.
        pub state: SourceState,
        /// How it is used.
        pub mode: SourceMode,
        /// None is in use; 0.
        pub flags: u16,
        /// One bit a poll, the last one lowest, 8 bits.
        pub reachability: u16,
        /// Seconds since the last good measurement; `u32::MAX`: none.
        pub since_sample: u32,
        /// The last measured offset, seconds; positive: the local clock is ahead of the source (chronyc's sign).
        pub original_offset: Float,
        /// The same, adjusted for corrections made since.
        pub adjusted_offset: Float,
        /// Its error bound, seconds.
        pub error: Float,
    }
}

layout_in_order! {
    /// The system clock, as `tracking` shows it.
    pub struct Tracking {
        /// Reference id of what the clock follows; 0: nothing; 0x7F7F0101: `local`.
        pub reference_id: u32,
        /// Address of what the clock follows; unspecified for reference clocks, `local` and nothing.
        pub address: Address,
        /// Our stratum; 0 when not synchronised.
        pub stratum: u16,
        /// Leap second status.
        pub leap: LeapStatus,
        /// When the last update was made.
        pub reference_time: Timespec,
        /// What remains to be corrected, seconds; positive: the system clock is slow of true time.
        pub current_correction: Float,
        /// The offset at the last update, seconds.
        pub last_offset: Float,
        /// Long-term average of the offset, seconds.
        pub rms_offset: Float,
        /// How much the system clock would gain without correction, parts per million; negative: it is fast.
        pub frequency_ppm: Float,
        /// Between the source's frequency and the one in use, parts per million.
        pub residual_frequency_ppm: Float,
        /// The frequency's error bound, parts per million.
        pub skew_ppm: Float,
        /// Sum of the delays to the stratum-1 clock, seconds.
        pub root_delay: Float,
        /// Sum of the dispersions to the stratum-1 clock, seconds.
        pub root_dispersion: Float,
        /// Between the last two updates, seconds.
        pub update_interval: Float,
    }
}

layout_in_order! {
    /// One source's measurements, as `sourcestats` shows them.
    pub struct SourceStats {
        /// Reference id of the source.
        pub reference_id: u32,
        /// Its address; unspecified for a reference clock.
        pub address: Address,
        /// Samples kept.
        pub samples: u32,
        /// Runs of residuals of one sign.
        pub runs: u32,
        /// Between the oldest and the newest sample, seconds.
        pub span_seconds: u32,
        /// Standard deviation of the samples, seconds.
        pub standard_deviation: Float,
        /// Residual frequency of the source, parts per million.
        pub residual_frequency_ppm: Float,
        /// Its error bound, parts per million.
        pub skew_ppm: Float,
        /// Estimated offset, seconds.
        pub offset: Float,
        /// Its error bound, seconds.
        pub offset_error: Float,
    }
}

layout_in_order! {
    /// The real-time clock, as `rtcdata` shows it.
    pub struct RtcData {
        /// When it was last measured.
        pub reference_time: Timespec,
        /// Samples.
        pub samples: u16,
        /// Runs of residuals of one sign.
        pub runs: u16,
        /// Between the oldest and the newest sample, seconds.
        pub span_seconds: u32,
        /// How far it is ahead, seconds.
        pub fast_by: Float,
        /// How much it gains, parts per million.
        pub gain_rate_ppm: Float,
    }
}

layout_in_order! {
    /// What became of a time given by hand.
    pub struct ManualTimestamp {
        /// How far the clock was ahead, seconds.
        pub offset: Float,
        /// Change of frequency, parts per million.
        pub frequency_change_ppm: Float,
        /// The frequency now, parts per million.
        pub frequency_ppm: Float,
    }
}

layout_in_order! {
    /// Sources online and offline, as `activity` shows them.
    #[derive(Copy, Eq, Default)]
    pub struct Activity {
        /// Online.
        pub online: u32,
        /// Offline.
        pub offline: u32,
        /// In a burst, online after it.
        pub burst_online: u32,
        /// In a burst, offline after it.
        pub burst_offline: u32,
        /// Name not resolved yet.
        pub unresolved: u32,
    }
}

layout_in_order! {
    /// Time smoothing, as `smoothing` shows it.
    pub struct Smoothing {
        /// Bit 0: active; bit 1: for leap seconds only.
        pub flags: u32,
        /// Seconds.
        pub offset: Float,
        /// Parts per million.
        pub frequency_ppm: Float,
        /// Parts per million a second.
        pub wander_ppm: Float,
        /// Seconds since the last update.
        pub last_update_ago: Float,
        /// Seconds.
        pub remaining_time: Float,
    }
}

/// Bit 0x4000 of [`NtpPacket::flags`].
const FLAG_INTERLEAVED: u16 = 0x4000;
/// Bit 0x8000 of [`NtpPacket::flags`].
const FLAG_AUTHENTICATED: u16 = 0x8000;

/// The last packet of a source, as `ntpdata` shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct NtpData {
    /// What every version reports.
    pub packet: NtpPacket,
    /// What chrony reports since 4.4; none from or for an older one.
    pub timestamps: Option<NtpTimestamps>,
}

layout_in_order! {
    /// The last packet of a source.
    pub struct NtpPacket {
        /// Of the source.
        pub remote_address: Address,
        /// At which it came in.
        pub local_address: Address,
        /// UDP port of the source.
        pub remote_port: u16,
        /// Leap indicator, a [`LeapStatus`] code.
        pub leap: u8,
        /// NTP version.
        pub version: u8,
        /// NTP mode.
        pub mode: u8,
        /// Stratum.
        pub stratum: u8,
        /// log2 seconds.
        pub poll: i8,
        /// log2 seconds.
        pub precision: i8,
        /// Seconds.
        pub root_delay: Float,
        /// Seconds.
        pub root_dispersion: Float,
        /// Reference id.
        pub reference_id: u32,
        /// When the source's clock was last updated.
        pub reference_time: Timespec,
        /// Measured offset, seconds.
        pub offset: Float,
        /// Round trip, seconds.
        pub peer_delay: Float,
        /// Seconds.
        pub peer_dispersion: Float,
        /// Between receive and transmit at the source, seconds.
        pub response_time: Float,
        /// -0.5 to 0.5.
        pub jitter_asymmetry: Float,
        /// Bits 0 to 9: tests passed, from D (lowest) to 1; see also the methods.
        pub flags: u16,
        /// Where the transmit timestamp was taken: `D`aemon, `K`ernel, `H`ardware.
        pub transmit_stamp: u8,
        /// Where the receive timestamp was taken.
        pub receive_stamp: u8,
        /// Packets sent.
        pub sent: u32,
        /// Packets received.
        pub received: u32,
        /// Packets that passed the first tests.
        pub valid: u32,
        /// Packets that passed all tests.
        pub good: u32,
    }
}

impl NtpPacket {
    /// The flags of tests passed and the two properties.
    pub fn flags(tests: u16, interleaved: bool, authenticated: bool) -> u16 {
        tests & 0x3ff
            | if interleaved { FLAG_INTERLEAVED } else { 0 }
            | if authenticated { FLAG_AUTHENTICATED } else { 0 }
    }

    /// Whether it was in interleaved mode.
    pub fn is_interleaved(&self) -> bool {
        self.flags & FLAG_INTERLEAVED != 0
    }

    /// Whether it was authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.flags & FLAG_AUTHENTICATED != 0
    }
}

layout_in_order! {
    /// How often each kind of timestamp was had from a source.
    #[derive(Copy, Eq, Default)]
    pub struct NtpTimestamps {
        /// By the kernel, sending.
        pub kernel_sent: u32,
        /// By the kernel, receiving.
        pub kernel_received: u32,
        /// By the hardware, sending.
        pub hardware_sent: u32,
        /// By the hardware, receiving.
        pub hardware_received: u32,
    }
}

codes! {
    /// How a source's packets are authenticated.
    pub enum AuthMode: u16 {
        /// Not at all.
        None = 0,
        /// With a key of the key file (`SK`).
        Symmetric = 1,
        /// With Network Time Security.
        Nts = 2,
    }
}

layout_in_order! {
    /// A source's authentication, as `authdata` shows it.
    #[derive(Copy, Eq)]
    pub struct AuthData {
        /// How.
        pub mode: AuthMode,
        /// Number of the algorithm.
        pub key_type: u16,
        /// The key's id.
        pub key_id: u32,
        /// Bits.
        pub key_length: u16,
        /// NTS-KE attempts since the last success.
        pub ke_attempts: u16,
        /// Seconds since the last NTS-KE; `u32::MAX`: never.
        pub last_ke_ago: u32,
        /// Cookies at hand.
        pub cookies: u16,
        /// Bytes of a cookie.
        pub cookie_length: u16,
        /// 1: the server refused the last request.
        pub nak: u16,
        /// 0.
        pub unused: u16,
    }
}

/// Selection options of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SelectOptions(pub u16);

#[expect(missing_docs, reason = "each flag is the source option of its name in chrony.conf(5)")]
impl SelectOptions {
    pub const NOSELECT: Self = Self(1);
    pub const PREFER: Self = Self(2);
    pub const TRUST: Self = Self(4);
    pub const REQUIRE: Self = Self(8);

    /// Whether all options of `other` are set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These options and `other`, if `condition`.
    #[must_use]
    pub fn with(self, other: Self, condition: bool) -> Self {
        if condition { Self(self.0 | other.0) } else { self }
    }
}

impl Wire for SelectOptions {
    const LENGTH: usize = 2;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.take().map(Self)
    }
}

layout_in_order! {
    /// Why a source is or is not selected, as `selectdata` shows it.
    pub struct SelectData {
        /// Reference id of the source.
        pub reference_id: u32,
        /// Its address; unspecified for a reference clock.
        pub address: Address,
        /// One of the letters that `selectdata -v` explains.
        pub state: u8,
        /// 1: its packets are authenticated.
        pub authenticated: u8,
        /// A [`LeapStatus`] code.
        pub leap: u8,
        /// 0.
        pub unused: u8,
        /// As configured.
        pub configured: SelectOptions,
        /// As in effect.
        pub effective: SelectOptions,
        /// Seconds since the last sample; `u32::MAX`: none.
        pub last_sample_ago: u32,
        /// Against the selected source; above 10 the selection changes.
        pub score: Float,
        /// Earliest true offset, seconds.
        pub offset_min: Float,
        /// Latest true offset, seconds.
        pub offset_max: Float,
    }
}

/// The server's counters, as `serverstats` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerStats {
    /// What every version reports.
    pub packets: ServerPackets,
    /// What chrony reports since 4.4; none from or for an older one.
    pub timestamps: Option<ServerTimestamps>,
}

layout_in_order! {
    /// The server's counters since its start.
    #[derive(Copy, Eq, Default)]
    pub struct ServerPackets {
        /// NTP packets received.
        pub ntp_received: u64,
        /// NTS-KE connections accepted.
        pub nts_ke_accepted: u64,
        /// Command packets received.
        pub commands_received: u64,
        /// NTP packets dropped.
        pub ntp_dropped: u64,
        /// NTS-KE connections dropped.
        pub nts_ke_dropped: u64,
        /// Command packets dropped.
        pub commands_dropped: u64,
        /// Client records dropped for want of room.
        pub client_records_dropped: u64,
        /// NTP packets that were authenticated.
        pub ntp_authenticated: u64,
        /// NTP packets in interleaved mode.
        pub ntp_interleaved: u64,
        /// Timestamp pairs held for interleaved mode.
        pub timestamps_held: u64,
        /// Seconds that these pairs span.
        pub timestamp_span: u64,
    }
}

layout_in_order! {
    /// Timestamps had by the server, by kind.
    #[derive(Copy, Eq, Default)]
    pub struct ServerTimestamps {
        /// By the daemon, receiving.
        pub daemon_received: u64,
        /// By the daemon, sending.
        pub daemon_sent: u64,
        /// By the kernel, receiving.
        pub kernel_received: u64,
        /// By the kernel, sending.
        pub kernel_sent: u64,
        /// By the hardware, receiving.
        pub hardware_received: u64,
        /// By the hardware, sending.
        pub hardware_sent: u64,
    }
}

layout_in_order! {
    /// One client of the server.
    #[derive(Copy, Eq, Default)]
    pub struct ClientAccess {
        /// Its address; unspecified where the entry is void.
        pub address: Address,
        /// NTP packets.
        pub ntp_hits: u32,
        /// NTS-KE connections.
        pub nts_ke_hits: u32,
        /// Command packets.
        pub command_hits: u32,
        /// NTP packets dropped.
        pub ntp_drops: u32,
        /// NTS-KE connections dropped.
        pub nts_ke_drops: u32,
        /// Command packets dropped.
        pub command_drops: u32,
        /// Mean interval of NTP packets, log2 seconds; 127: unknown.
        pub ntp_interval: i8,
        /// Mean interval of NTS-KE connections, log2 seconds; 127: unknown.
        pub nts_ke_interval: i8,
        /// Mean interval of command packets, log2 seconds; 127: unknown.
        pub command_interval: i8,
        /// The same of NTP while the rate was limited.
        pub ntp_timeout_interval: i8,
        /// Seconds since the last; `u32::MAX`: never.
        pub last_ntp_ago: u32,
        /// Seconds since the last; `u32::MAX`: never.
        pub last_nts_ke_ago: u32,
        /// Seconds since the last; `u32::MAX`: never.
        pub last_command_ago: u32,
    }
}

/// A page of the clients.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientAccesses {
    /// How many entries the daemon's table has.
    pub indices: u32,
    /// Where the next page starts.
    pub next_index: u32,
    /// At most [`ClientAccesses::MAX`]; what is beyond is not sent.
    pub clients: Vec<ClientAccess>,
}

impl ClientAccesses {
    /// Clients on a page.
    pub const MAX: usize = 8;
}

layout_in_order! {
    /// One time given by hand.
    pub struct ManualSample {
        /// When.
        pub when: Timespec,
        /// Seconds, with corrections made since.
        pub slewed_offset: Float,
        /// Seconds, as given.
        pub original_offset: Float,
        /// Seconds.
        pub residual: Float,
    }
}

/// The times given by hand.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ManualList {
    /// At most [`ManualList::MAX`]; what is beyond is not sent.
    pub samples: Vec<ManualSample>,
}

impl ManualList {
    /// Samples in a reply.
    pub const MAX: usize = 16;
}

/// The reserved ends of the two forms of `ntpdata`: all bits set, as chronyd sends them.
type NtpDataPad = Filler<12, 0xff>;
type NtpData2Pad = Filler<16, 0xff>;
/// The reserved end of the newer server counters.
type ServerStats4Pad = Filler<32, 0>;

pub(crate) const NTP_DATA_LENGTH: usize = NtpPacket::LENGTH + NtpDataPad::LENGTH;
pub(crate) const NTP_DATA2_LENGTH: usize = NtpPacket::LENGTH + NtpTimestamps::LENGTH + NtpData2Pad::LENGTH;
pub(crate) const SERVER_STATS3_LENGTH: usize = ServerPackets::LENGTH / 2;
pub(crate) const SERVER_STATS4_LENGTH: usize =
    ServerPackets::LENGTH + ServerTimestamps::LENGTH + ServerStats4Pad::LENGTH;
pub(crate) const CLIENT_ACCESSES_LENGTH: usize = 12 + ClientAccesses::MAX * ClientAccess::LENGTH;
pub(crate) const MANUAL_LIST_LENGTH: usize = 4 + ManualList::MAX * ManualSample::LENGTH;

impl Reply {
    /// Writes the data in the newest form that fits into `room` bytes and returns the reply's kind. Where no form
    /// fits, the oldest is written: the caller compares lengths and drops it.
    pub(crate) fn put(&self, room: usize, out: &mut Vec<u8>) -> u16 {
        match self {
            Self::Null => 1,
            Self::NSources(n) => put(2, n, out),
            Self::SourceData(data) => put(3, data, out),
            Self::Tracking(data) => put(5, data, out),
            Self::SourceStats(data) => put(6, data, out),
            Self::Rtc(data) => put(7, data, out),
            Self::Activity(data) => put(12, data, out),
            Self::Smoothing(data) => put(13, data, out),
            Self::ManualTimestamp(data) => put(17, data, out),
            Self::ManualList(list) => {
                let count = list.samples.len().min(ManualList::MAX);
                (count as u32).put(out);
                list.samples.iter().take(count).for_each(|sample| sample.put(out));
                out.resize(out.len() + (ManualList::MAX - count) * ManualSample::LENGTH, 0);
                18
            }
            Self::SourceName(name) => put(19, &**name, out),
            Self::AuthData(data) => put(20, data, out),
            Self::ClientAccesses(page) => {
                let count = page.clients.len().min(ClientAccesses::MAX);
                page.indices.put(out);
                page.next_index.put(out);
                (count as u32).put(out);
                page.clients.iter().take(count).for_each(|client| client.put(out));
                out.resize(out.len() + (ClientAccesses::MAX - count) * ClientAccess::LENGTH, 0);
                21
            }
            Self::SelectData(data) => put(23, data, out),
            Self::NtpData(data) => {
                data.packet.put(out);
                match &data.timestamps {
                    Some(timestamps) if room >= NTP_DATA2_LENGTH => {
                        timestamps.put(out);
                        put(26, &Filler::<16, 0xff>, out)
                    }
                    _ => put(16, &Filler::<12, 0xff>, out),
                }
            }
            Self::ServerStats(stats) => match &stats.timestamps {
                Some(timestamps) if room >= SERVER_STATS4_LENGTH => {
                    stats.packets.put(out);
                    timestamps.put(out);
                    put(25, &Filler::<32, 0>, out)
                }
                _ => {
                    let p = &stats.packets;
                    for counter in [
                        p.ntp_received,
                        p.nts_ke_accepted,
                        p.commands_received,
                        p.ntp_dropped,
                        p.nts_ke_dropped,
                        p.commands_dropped,
                        p.client_records_dropped,
                        p.ntp_authenticated,
                        p.ntp_interleaved,
                        p.timestamps_held,
                        p.timestamp_span,
                    ] {
                        // The older form has half the width: a counter that outgrew it stands still there.
                        u32::try_from(counter).unwrap_or(u32::MAX).put(out);
                    }
                    24
                }
            },
        }
    }

    /// Reads the data of a reply of this kind. `Err(())`: the datagram ends too early. `Ok(None)`: a kind that this
    /// crate does not know.
    pub(crate) fn take(kind: u16, bytes: &[u8]) -> Result<Option<Self>, ()> {
        let input = &mut Reader::new(bytes);
        let reply = match kind {
            1 => Some(Self::Null),
            2 => input.take().map(Self::NSources),
            3 => input.take().map(Self::SourceData),
            5 => input.take().map(Self::Tracking),
            6 => input.take().map(Self::SourceStats),
            7 => input.take().map(Self::Rtc),
            12 => input.take().map(Self::Activity),
            13 => input.take().map(Self::Smoothing),
            16 => take_ntp_data(input, false),
            17 => input.take().map(Self::ManualTimestamp),
            18 => take_manual_list(input),
            19 => input.take().map(Self::SourceName),
            20 => input.take().map(Self::AuthData),
            21 => take_clients(input),
            23 => input.take().map(Self::SelectData),
            24 => take_server_stats3(input),
            25 => take_server_stats4(input),
            26 => take_ntp_data(input, true),
            _ => return Ok(None),
        };
        reply.map(Some).ok_or(())
    }
}

fn put(kind: u16, data: &impl Wire, out: &mut Vec<u8>) -> u16 {
    data.put(out);
    kind
}

fn take_ntp_data(input: &mut Reader<'_>, newer: bool) -> Option<Reply> {
    let packet = input.take()?;
    let timestamps = if newer {
        let timestamps = input.take()?;
        input.take::<NtpData2Pad>()?;
        Some(timestamps)
    } else {
        input.take::<NtpDataPad>()?;
        None
    };
    Some(Reply::NtpData(Box::new(NtpData { packet, timestamps })))
}

fn take_server_stats3(input: &mut Reader<'_>) -> Option<Reply> {
    let mut counter = || input.take::<u32>().map(u64::from);
    let packets = ServerPackets {
        ntp_received: counter()?,
        nts_ke_accepted: counter()?,
        commands_received: counter()?,
        ntp_dropped: counter()?,
        nts_ke_dropped: counter()?,
        commands_dropped: counter()?,
        client_records_dropped: counter()?,
        ntp_authenticated: counter()?,
        ntp_interleaved: counter()?,
        timestamps_held: counter()?,
        timestamp_span: counter()?,
    };
    Some(Reply::ServerStats(Box::new(ServerStats { packets, timestamps: None })))
}

fn take_server_stats4(input: &mut Reader<'_>) -> Option<Reply> {
    let stats = ServerStats { packets: input.take()?, timestamps: Some(input.take()?) };
    input.take::<ServerStats4Pad>()?;
    Some(Reply::ServerStats(Box::new(stats)))
}

fn take_clients(input: &mut Reader<'_>) -> Option<Reply> {
    let (indices, next_index, count): (u32, u32, u32) = (input.take()?, input.take()?, input.take()?);
    let mut clients = Vec::with_capacity(ClientAccesses::MAX);
    for _ in 0..ClientAccesses::MAX {
        clients.push(input.take()?);
    }
    clients.truncate(count as usize);
    Some(Reply::ClientAccesses(ClientAccesses { indices, next_index, clients }))
}

fn take_manual_list(input: &mut Reader<'_>) -> Option<Reply> {
    let count: u32 = input.take()?;
    let mut samples = Vec::with_capacity(ManualList::MAX);
    for _ in 0..ManualList::MAX {
        samples.push(input.take()?);
    }
    samples.truncate(count as usize);
    Some(Reply::ManualList(ManualList { samples }))
}
