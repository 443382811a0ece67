//! Extension fields (RFC 5905 section 7.5, RFC 7822): found leniently, never read past their length.

use crate::packet::PacketError;

/// The shortest extension field, in bytes (RFC 7822 section 3).
pub(crate) const FIELD_BYTES_MIN: usize = 16;

/// One extension field as it stands in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The field type, 16 bits.
    pub kind: u16,
    /// The bytes after the field's type and length, its padding included.
    pub body: &'a [u8],
}

/// The extension fields of a packet, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions<'a> {
    bytes: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Over bytes that [`split_field`] accepted one after the other.
    pub(crate) fn checked(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// All the fields' bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        let (field, rest) = split_field(self.bytes).ok()?;
        self.bytes = rest;
        Some(field)
    }
}

/// The first extension field of `bytes`, and what stands after it.
pub(crate) fn split_field(bytes: &[u8]) -> Result<(Extension<'_>, &[u8]), PacketError> {
    let [kind_high, kind_low, length_high, length_low, ..] = *bytes else {
        return Err(PacketError::ExtensionShort { left: bytes.len() });
    };
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if length < FIELD_BYTES_MIN || !length.is_multiple_of(4) || length > bytes.len() {
        return Err(PacketError::ExtensionLength { length, left: bytes.len() });
    }
    let (field, rest) = bytes.split_at(length);
    let body = field.get(4..).unwrap_or_default();
    Ok((Extension { kind: u16::from_be_bytes([kind_high, kind_low]), body }, rest))
}
