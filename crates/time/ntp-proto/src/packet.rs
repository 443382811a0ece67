//! The packet: header, extension fields, message authentication code (RFC 5905 section 7.3, RFC 7822).

use crate::extension::{Extensions, split_field};
use crate::timestamp::{NtpShort, NtpTimestamp};

/// The header's length in bytes (RFC 5905 figure 8).
pub const HEADER_BYTES: usize = 48;
/// The version that we speak.
pub const VERSION: u8 = 4;
/// The longest packet that we look at, in bytes: what fits into an Ethernet frame, more than any NTP packet in use.
pub const PACKET_BYTES_MAX: usize = 1500;
/// Stratum 16 and above mean "unsynchronised" (RFC 5905 figure 11).
pub const STRATUM_MAX: u8 = 16;

/// The longest MAC of a version 4 packet, in bytes, key id included: what is longer is an extension field (RFC 7822
/// section 7.5.1.4).
const MAC_FIELD_V4_BYTES_MAX: usize = 24;
/// The longest MAC of older versions, in bytes, key id included: SHA512.
const MAC_FIELD_BYTES_MAX: usize = 68;
/// The shortest MAC with a digest, in bytes: key id and 128 bits.
const MAC_FIELD_BYTES_MIN: usize = 20;

/// The leap indicator (RFC 5905 figure 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Leap {
    /// No warning.
    #[default]
    Normal,
    /// The last minute of the day has 61 seconds.
    Insert,
    /// The last minute of the day has 59 seconds.
    Delete,
    /// The clock is not synchronised.
    Unsynchronised,
}

impl Leap {
    /// From the two bits of the wire.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Normal,
            1 => Self::Insert,
            2 => Self::Delete,
            _ => Self::Unsynchronised,
        }
    }

    /// The two bits of the wire.
    pub fn bits(self) -> u8 {
        self as u8
    }
}

/// The association mode (RFC 5905 figure 10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum Mode {
    Reserved,
    SymmetricActive,
    SymmetricPassive,
    Client,
    Server,
    Broadcast,
    Control,
    Private,
}

impl Mode {
    /// From the three bits of the wire.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Reserved,
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            6 => Self::Control,
            _ => Self::Private,
        }
    }

    /// The three bits of the wire.
    pub fn bits(self) -> u8 {
        self as u8
    }
}

/// What a server follows: four letters at stratum 1, an IPv4 address or a hash of an IPv6 address above, a kiss code at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ReferenceId(pub [u8; 4]);

impl ReferenceId {
    /// The reference id of a server that follows `address`: the address itself, or the first four bytes of the MD5 digest
    /// of an IPv6 address (RFC 5905 section 7.3).
    pub fn of_address(address: std::net::IpAddr) -> Self {
        use md5::Digest;
        match address {
            std::net::IpAddr::V4(v4) => Self(v4.octets()),
            std::net::IpAddr::V6(v6) => {
                let digest: [u8; 16] = md5::Md5::digest(v6.octets()).into();
                let [a, b, c, d, ..] = digest;
                Self([a, b, c, d])
            }
        }
    }
}

/// The 48 bytes that every packet opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Leap indicator.
    pub leap: Leap,
    /// Version, 0 to 7.
    pub version: u8,
    /// Mode.
    pub mode: Mode,
    /// Stratum: 0 unknown or kiss, 1 primary, 2 to 15 secondary, 16 unsynchronised.
    pub stratum: u8,
    /// Poll interval, log2 of seconds.
    pub poll: i8,
    /// Precision of the sender's clock, log2 of seconds.
    pub precision: i8,
    /// Round trip to the primary source.
    pub root_delay: NtpShort,
    /// Dispersion to the primary source.
    pub root_dispersion: NtpShort,
    /// What the sender follows.
    pub reference_id: ReferenceId,
    /// When the sender's clock was last set.
    pub reference: NtpTimestamp,
    /// Of a reply: the request's transmit timestamp.
    pub origin: NtpTimestamp,
    /// When the request arrived.
    pub receive: NtpTimestamp,
    /// When this packet left.
    pub transmit: NtpTimestamp,
}

impl Header {
    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.leap.bits() << 6 | (self.version & 7) << 3 | self.mode.bits();
        bytes[1] = self.stratum;
        bytes[2] = self.poll as u8;
        bytes[3] = self.precision as u8;
        bytes[4..8].copy_from_slice(&self.root_delay.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.reference_id.0);
        bytes[16..24].copy_from_slice(&self.reference.0.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.origin.0.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.receive.0.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.transmit.0.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let stamp = |at: usize| NtpTimestamp(u64::from(word(at)) << 32 | u64::from(word(at + 4)));
        Self {
            leap: Leap::from_bits(bytes[0] >> 6),
            version: bytes[0] >> 3 & 7,
            mode: Mode::from_bits(bytes[0]),
            stratum: bytes[1],
            poll: bytes[2] as i8,
            precision: bytes[3] as i8,
            root_delay: NtpShort(word(4)),
            root_dispersion: NtpShort(word(8)),
            reference_id: ReferenceId([bytes[12], bytes[13], bytes[14], bytes[15]]),
            reference: stamp(16),
            origin: stamp(24),
            receive: stamp(32),
            transmit: stamp(40),
        }
    }
}

/// The message authentication code at a packet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacField<'a> {
    /// Which key.
    pub key_id: u32,
    /// The digest; empty in a crypto-NAK.
    pub digest: &'a [u8],
}

/// A packet as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header.
    pub header: Header,
    /// The extension fields.
    pub extensions: Extensions<'a>,
    /// The authentication code, when there is one.
    pub mac: Option<MacField<'a>>,
    /// The bytes that the authentication code covers: all before it.
    pub covered: &'a [u8],
}

/// Why bytes are no NTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// Shorter than a header.
    Short {
        /// The length in bytes.
        length: usize,
    },
    /// Longer than [`PACKET_BYTES_MAX`], or not a multiple of four bytes.
    Length {
        /// The length in bytes.
        length: usize,
    },
    /// A version that this code does not read (0 and above 4).
    Version {
        /// The version.
        version: u8,
    },
    /// An extension field whose length is below 16, no multiple of four, or past the packet's end.
    ExtensionLength {
        /// What the field says.
        length: usize,
        /// What the packet has left.
        left: usize,
    },
    /// Bytes are left that are neither an extension field nor a MAC.
    ExtensionShort {
        /// How many.
        left: usize,
    },
}

impl std::fmt::Display for PacketError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short { length } => write!(formatter, "{length} bytes are less than an NTP header"),
            Self::Length { length } => write!(formatter, "{length} bytes are no length of an NTP packet"),
            Self::Version { version } => write!(formatter, "NTP version {version} is not supported"),
            Self::ExtensionLength { length, left } => {
                write!(formatter, "an extension field of {length} bytes where {left} are left")
            }
            Self::ExtensionShort { left } => write!(formatter, "{left} stray bytes after the packet"),
        }
    }
}

impl std::error::Error for PacketError {}

impl<'a> Packet<'a> {
    /// Reads a packet. Versions 1 to 4; extension fields only in version 4.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PacketError> {
        let Some((head, mut rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(PacketError::Short { length: bytes.len() });
        };
        if bytes.len() > PACKET_BYTES_MAX || !bytes.len().is_multiple_of(4) {
            return Err(PacketError::Length { length: bytes.len() });
        }
        let header = Header::from_bytes(head);
        if header.version == 0 || header.version > VERSION {
            return Err(PacketError::Version { version: header.version });
        }
        let extension_start = rest;
        if header.version == VERSION {
            // RFC 7822 section 7.5.1.4: what is left is a MAC when it is short enough to be one.
            while rest.len() > MAC_FIELD_V4_BYTES_MAX {
                match split_field(rest) {
                    Ok((_, after)) => rest = after,
                    // Not a field: perhaps the long MAC of an implementation that does not truncate.
                    Err(error) if rest.len() > MAC_FIELD_BYTES_MAX => return Err(error),
                    Err(_) => break,
                }
            }
            // A last field without a MAC behind it may be as short as a MAC (16 to 24 bytes): the length tells.
            if let Ok((_, [])) = split_field(rest)
                && !matches!(rest.len(), MAC_FIELD_BYTES_MIN | MAC_FIELD_V4_BYTES_MAX)
            {
                rest = &[];
            }
        }
        let extensions_length = extension_start.len() - rest.len();
        let extensions = Extensions::checked(extension_start.get(..extensions_length).unwrap_or_default());
        let mac = match *rest {
            [] => None,
            [a, b, c, d, ref digest @ ..] => {
                let length = rest.len();
                if length != 4 && !(MAC_FIELD_BYTES_MIN..=MAC_FIELD_BYTES_MAX).contains(&length) {
                    return Err(PacketError::ExtensionShort { left: length });
                }
                Some(MacField { key_id: u32::from_be_bytes([a, b, c, d]), digest })
            }
            _ => return Err(PacketError::ExtensionShort { left: rest.len() }),
        };
        let covered = bytes.get(..bytes.len() - rest.len()).unwrap_or_default();
        Ok(Self { header, extensions, mac, covered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> Header {
        Header {
            leap: Leap::Insert,
            version: 4,
            mode: Mode::Server,
            stratum: 2,
            poll: 6,
            precision: -24,
            root_delay: NtpShort(77),
            root_dispersion: NtpShort(99),
            reference_id: ReferenceId([192, 0, 2, 1]),
            reference: NtpTimestamp(0x0102_0304_0506_0708),
            origin: NtpTimestamp(2),
            receive: NtpTimestamp(3),
            transmit: NtpTimestamp(4),
        }
    }

    /// Goal: what is written is read back, field by field.
    #[test]
    fn a_header_survives_the_wire() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes[..4], [0x64, 2, 6, 0xe8]);
        let packet = Packet::parse(&bytes).expect("a header is a packet");
        assert_eq!(packet.header, sample());
        assert_eq!((packet.mac, packet.extensions.count(), packet.covered.len()), (None, 0, 48));
    }

    /// Goal: the tail is told apart into fields and MAC by length, and every other tail is an error.
    #[test]
    fn a_tail_is_fields_then_mac() {
        let field = |length: u16| {
            let mut bytes = vec![0x01, 0x04];
            bytes.extend(length.to_be_bytes());
            bytes.resize(usize::from(length), 0xaa);
            bytes
        };
        let check = |version: u8, tail: Vec<u8>, expected: Result<(usize, Option<usize>), PacketError>| {
            let mut bytes = Header { version, ..sample() }.to_bytes().to_vec();
            bytes.extend(tail);
            let found = Packet::parse(&bytes)
                .map(|packet| (packet.extensions.count(), packet.mac.map(|mac| mac.digest.len())));
            assert_eq!(found, expected);
        };
        check(4, vec![], Ok((0, None)));
        check(4, vec![1; 20], Ok((0, Some(16))));
        check(4, vec![1; 24], Ok((0, Some(20))));
        check(4, vec![0; 4], Ok((0, Some(0))));
        check(4, field(16), Ok((1, None)));
        check(4, field(28), Ok((1, None)));
        check(4, [field(28), field(32)].concat(), Ok((2, None)));
        check(4, [field(16), vec![1; 20]].concat(), Ok((1, Some(16))));
        check(4, [field(1024), vec![1; 24]].concat(), Ok((1, Some(20))));
        check(4, vec![1; 36], Ok((0, Some(32)))); // an untruncated SHA256
        check(3, vec![1; 68], Ok((0, Some(64))));
        check(4, vec![1; 8], Err(PacketError::ExtensionShort { left: 8 }));
        check(4, vec![0; 72], Err(PacketError::ExtensionLength { length: 0, left: 72 }));
        check(4, vec![0xff; 100], Err(PacketError::ExtensionLength { length: 65_535, left: 100 }));
        check(3, vec![1; 100], Err(PacketError::ExtensionShort { left: 100 }));
        check(4, vec![1; 3], Err(PacketError::Length { length: 51 }));
        check(7, vec![], Err(PacketError::Version { version: 7 }));
        check(0, vec![], Err(PacketError::Version { version: 0 }));
    }

    /// Goal: no bytes panic: every truncation and many mutations of a packet with fields are read or refused.
    #[test]
    fn mutations_never_panic() {
        let mut whole = sample().to_bytes().to_vec();
        for length in [16_u16, 28, 200] {
            whole.extend([0x02, 0x04]);
            whole.extend(length.to_be_bytes());
            whole.resize(whole.len() + usize::from(length) - 4, 7);
        }
        whole.extend([9; 24]);
        let mut random = 1_u64;
        for round in 0..20_000_usize {
            let mut bytes = whole.clone();
            for _ in 0..=round % 4 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) as usize % bytes.len();
                bytes[at] = (random >> 24) as u8;
            }
            bytes.truncate(round % (whole.len() + 1));
            if let Ok(packet) = Packet::parse(&bytes) {
                let fields: usize = packet.extensions.map(|field| field.body.len() + 4).sum();
                assert_eq!(fields, packet.extensions.as_bytes().len());
            }
        }
    }
}
