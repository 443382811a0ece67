//! Fields and how they stand on the wire.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::float;

/// A field or a row of fields of fixed length.
pub(crate) trait Wire: Sized {
    /// Bytes on the wire.
    const LENGTH: usize;
    fn put(&self, out: &mut Vec<u8>);
    /// None when the datagram ends too early.
    fn take(input: &mut Reader<'_>) -> Option<Self>;
}

/// The rest of a datagram.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    pub(crate) fn take<T: Wire>(&mut self) -> Option<T> {
        T::take(self)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Wire for $t {
            const LENGTH: usize = size_of::<$t>();
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn take(input: &mut Reader<'_>) -> Option<Self> {
                Some(<$t>::from_be_bytes(input.bytes()?))
            }
        }
    )*};
}
integers!(u8, i8, u16, i16, u32, i32, u64);

/// Declares a structure whose fields stand on the wire in the order of their declaration.
macro_rules! layout_in_order {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $t:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$fdoc])* pub $field: $t,)* }

        impl $crate::wire::Wire for $name {
            const LENGTH: usize = 0 $(+ <$t as $crate::wire::Wire>::LENGTH)*;
            fn put(&self, out: &mut Vec<u8>) {
                $(<$t as $crate::wire::Wire>::put(&self.$field, out);)*
            }
            fn take(input: &mut $crate::wire::Reader<'_>) -> Option<Self> {
                $(let $field = input.take::<$t>()?;)*
                Some(Self { $($field,)* })
            }
        }
    };
}
pub(crate) use layout_in_order;

/// Declares an enumeration of codes; a code that this list lacks is kept as `Other`, so that a newer peer is shown
/// truthfully.
macro_rules! codes {
    ($(#[$doc:meta])* pub enum $name:ident: $t:ty { $($(#[$vdoc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
            /// A code that this list does not have.
            Other($t),
        }

        impl $name {
            /// The code on the wire.
            pub fn code(self) -> $t {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// What the code on the wire means.
            pub fn from_code(code: $t) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }

        impl $crate::wire::Wire for $name {
            const LENGTH: usize = size_of::<$t>();
            fn put(&self, out: &mut Vec<u8>) {
                self.code().put(out);
            }
            fn take(input: &mut $crate::wire::Reader<'_>) -> Option<Self> {
                input.take().map(Self::from_code)
            }
        }
    };
}
pub(crate) use codes;

/// A number in the protocol's 32-bit floating-point format: 24 significant bits, about seven decimal digits.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Float(pub f64);

impl From<f64> for Float {
    fn from(value: f64) -> Self {
        Self(value)
    }
}

impl Wire for Float {
    const LENGTH: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        float::encode(self.0).put(out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.take().map(|bits| Self(float::decode(bits)))
    }
}

/// A moment, in seconds and nanoseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timespec {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// What stands in the upper word of the seconds when the sender knows 32-bit times only.
const NO_HIGH_SECONDS: u32 = 0x7fff_ffff;

impl Wire for Timespec {
    const LENGTH: usize = 12;
    fn put(&self, out: &mut Vec<u8>) {
        self.seconds.cast_unsigned().put(out);
        self.nanoseconds.put(out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        let high: u32 = input.take()?;
        let low: u32 = input.take()?;
        let nanoseconds: u32 = input.take()?;
        let high = if high == NO_HIGH_SECONDS { 0 } else { high };
        Some(Self {
            seconds: (u64::from(high) << 32 | u64::from(low)).cast_signed(),
            nanoseconds: nanoseconds.min(999_999_999),
        })
    }
}

/// An address of a source, of a client or of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Address {
    /// None: "all sources" in requests, a reference clock in reports.
    #[default]
    Unspecified,
    /// An IPv4 address. In the report of a reference clock these four bytes are its reference id.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// The number of a source whose name is not resolved yet, written `ID#0000000001`.
    Unresolved(u32),
}

impl Address {
    /// The address, when it is a real one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::V4(v4) => Some(v4.into()),
            Self::V6(v6) => Some(v6.into()),
            Self::Unspecified | Self::Unresolved(_) => None,
        }
    }

    /// The NTP reference id of the address: its four bytes, or the first four of the MD5 sum of an IPv6 address
    /// (RFC 5905 section 7.3). Zero where there is no real address.
    pub fn reference_id(self) -> u32 {
        use md5::Digest;
        match self {
            Self::V4(v4) => v4.to_bits(),
            Self::V6(v6) => {
                let sum: [u8; 16] = md5::Md5::digest(v6.octets()).into();
                sum.first_chunk().map_or(0, |head| u32::from_be_bytes(*head))
            }
            Self::Unspecified | Self::Unresolved(_) => 0,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unspecified => f.pad("[UNSPEC]"),
            Self::V4(v4) => v4.fmt(f),
            Self::V6(v6) => v6.fmt(f),
            Self::Unresolved(id) => f.pad(&format!("ID#{id:010}")),
        }
    }
}

impl Wire for Address {
    const LENGTH: usize = 20;
    fn put(&self, out: &mut Vec<u8>) {
        let mut bytes = [0; 16];
        let mut first_four = |word: u32| {
            if let Some(head) = bytes.first_chunk_mut::<4>() {
                *head = word.to_be_bytes();
            }
        };
        let family: u16 = match *self {
            Self::Unspecified => 0,
            Self::V4(v4) => {
                first_four(v4.to_bits());
                1
            }
            Self::V6(v6) => {
                bytes = v6.octets();
                2
            }
            Self::Unresolved(id) => {
                first_four(id);
                3
            }
        };
        out.extend_from_slice(&bytes);
        family.put(out);
        0u16.put(out);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        let bytes: [u8; 16] = input.bytes()?;
        let family: u16 = input.take()?;
        let _unused: u16 = input.take()?;
        let word = bytes.first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
        Some(match family {
            1 => Self::V4(Ipv4Addr::from_bits(word)),
            2 => Self::V6(bytes.into()),
            3 => Self::Unresolved(word),
            _ => Self::Unspecified,
        })
    }
}

/// A host name as it stands on the wire: 256 bytes, ended by a zero byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Name([u8; 256]);

impl Name {
    /// None when the name is longer than 255 bytes or holds a zero byte.
    pub fn new(name: &str) -> Option<Self> {
        let mut bytes = [0; 256];
        if name.len() > 255 || name.bytes().any(|byte| byte == 0) {
            return None;
        }
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self(bytes))
    }

    /// The name; none when it has no end or is no UTF-8 (the peer's mistake: [`crate::Status::InvalidName`]).
    pub fn as_str(&self) -> Option<&str> {
        std::ffi::CStr::from_bytes_until_nul(&self.0).ok()?.to_str().ok()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Name({:?})", self.as_str())
    }
}

impl Wire for Name {
    const LENGTH: usize = 256;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.bytes().map(Self)
    }
}

/// Fields that carry nothing; written with one byte value, ignored when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Filler<const N: usize, const BYTE: u8>;

impl<const N: usize, const BYTE: u8> Wire for Filler<N, BYTE> {
    const LENGTH: usize = N;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[BYTE; N]);
    }
    fn take(input: &mut Reader<'_>) -> Option<Self> {
        input.bytes::<N>().map(|_| Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: Wire + PartialEq + std::fmt::Debug>(value: &T, expected: &[u8]) {
        let mut out = Vec::new();
        value.put(&mut out);
        assert_eq!(out, expected);
        assert_eq!(out.len(), T::LENGTH);
        assert_eq!(T::take(&mut Reader::new(&out)).as_ref(), Some(value));
        assert_eq!(T::take(&mut Reader::new(&out[..out.len() - 1])), None);
    }

    /// Goal: each kind of field stands on the wire as the protocol says and is read back; a short one is none.
    #[test]
    fn fields_stand_as_the_protocol_says() {
        round(
            &Address::V4(Ipv4Addr::new(1, 2, 3, 4)),
            &[1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        );
        round(
            &Address::V6(Ipv6Addr::LOCALHOST),
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0],
        );
        round(&Address::Unresolved(7), &[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]);
        round(&Timespec { seconds: 0x1_0000_0002, nanoseconds: 3 }, &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]);
    }

    /// Goal: an address prints as the commands show it, and yields its reference id.
    #[test]
    fn addresses_have_names_and_reference_ids() {
        let check = |address: Address, text: &str, id: u32| {
            assert_eq!(address.to_string(), text);
            assert_eq!(address.reference_id(), id, "{address}: {:08X}", address.reference_id());
        };
        check(Address::Unspecified, "[UNSPEC]", 0);
        check(Address::V4(Ipv4Addr::LOCALHOST), "127.0.0.1", 0x7f00_0001);
        check(Address::Unresolved(12), "ID#0000000012", 0);
        // printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1' | md5sum
        check(Address::V6(Ipv6Addr::LOCALHOST), "::1", 0xcf40_4dc8);
    }

    /// Goal: a moment of a peer with 32-bit time is understood.
    #[test]
    fn a_moment_without_its_upper_word_is_read() {
        let bytes = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(
            Timespec::take(&mut Reader::new(&bytes)),
            Some(Timespec { seconds: 9, nanoseconds: 999_999_999 })
        );
    }

    /// Goal: a name that is too long is refused at once, one without end when it is read.
    #[test]
    fn names_have_an_end() {
        assert_eq!(
            Name::new("ntp.example.net").and_then(|n| n.as_str().map(str::to_owned)).as_deref(),
            Some("ntp.example.net")
        );
        assert!(Name::new(&"x".repeat(256)).is_none());
        assert_eq!(Name([b'x'; 256]).as_str(), None);
    }
}
