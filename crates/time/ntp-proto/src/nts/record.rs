//! Records of the key establishment (RFC 8915 section 4): critical bit and type, length, body.

/// The longest message of either side, in bytes: eight cookies of [`COOKIE_BYTES_MAX`](super::establish) need a seventh of it.
pub const KE_MESSAGE_BYTES_MAX: usize = 16_384;

/// End of message (RFC 8915 section 4.1.1).
pub(super) const END_OF_MESSAGE: u16 = 0;
/// Next protocol negotiation.
pub(super) const NEXT_PROTOCOL: u16 = 1;
/// Error.
pub(super) const ERROR: u16 = 2;
/// Warning.
pub(super) const WARNING: u16 = 3;
/// AEAD algorithm negotiation.
pub(super) const AEAD_ALGORITHM: u16 = 4;
/// New cookie for NTPv4.
pub(super) const COOKIE: u16 = 5;
/// NTPv4 server negotiation.
pub(super) const SERVER: u16 = 6;
/// NTPv4 port negotiation.
pub(super) const PORT: u16 = 7;
/// Compliant AES-128-GCM-SIV exporter context (IANA's registry; chrony 4.6.1 and newer).
pub(super) const COMPLIANT_GCM_SIV: u16 = 1024;

const CRITICAL: u16 = 0x8000;
const HEAD_BYTES: usize = 4;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Who does not know the type must give up.
    pub critical: bool,
    /// The type, 15 bits.
    pub kind: u16,
    /// The body, at most 65,535 bytes.
    pub body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Appends the record.
    pub fn push(&self, out: &mut Vec<u8>) {
        let kind = self.kind & !CRITICAL | if self.critical { CRITICAL } else { 0 };
        out.extend(kind.to_be_bytes());
        out.extend(u16::try_from(self.body.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend(self.body.iter().take(usize::from(u16::MAX)));
    }

    /// The body as one number of 16 bits.
    pub(super) fn number(&self) -> Option<u16> {
        <[u8; 2]>::try_from(self.body).ok().map(u16::from_be_bytes)
    }

    /// The body as a list of numbers of 16 bits; none when it is empty or has an odd length.
    pub(super) fn numbers(&self) -> Option<impl Iterator<Item = u16> + use<'a>> {
        let (pairs, rest) = self.body.as_chunks::<2>();
        (rest.is_empty() && !pairs.is_empty()).then(|| pairs.iter().map(|pair| u16::from_be_bytes(*pair)))
    }
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordError {
    /// It ends within a record or before the end-of-message record.
    Cut,
    /// More than [`KE_MESSAGE_BYTES_MAX`].
    TooLong,
    /// Something stands after the end-of-message record, or that record has a body.
    AfterEnd,
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cut => write!(formatter, "the message ends too early"),
            Self::TooLong => write!(formatter, "the message is longer than {KE_MESSAGE_BYTES_MAX} bytes"),
            Self::AfterEnd => write!(formatter, "the message goes on after its end"),
        }
    }
}

impl std::error::Error for RecordError {}

/// The records of a message in order, without the one that ends it. An error is the last item.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl<'a> Records<'a> {
    /// The records of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message, ended: false }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.ended = true;
        if self.rest.len() > KE_MESSAGE_BYTES_MAX {
            return Some(Err(RecordError::TooLong));
        }
        let Some((record, rest)) = split(self.rest) else { return Some(Err(RecordError::Cut)) };
        if record.kind == END_OF_MESSAGE {
            return (!rest.is_empty() || !record.body.is_empty()).then_some(Err(RecordError::AfterEnd));
        }
        (self.rest, self.ended) = (rest, false);
        Some(Ok(record))
    }
}

/// Whether what has come is a whole message; an error when no continuation can make it one.
pub fn message_is_complete(bytes: &[u8]) -> Result<bool, RecordError> {
    for record in Records::new(bytes) {
        match record {
            Ok(_) => {}
            Err(RecordError::Cut) if bytes.len() < KE_MESSAGE_BYTES_MAX => return Ok(false),
            Err(RecordError::Cut) => return Err(RecordError::TooLong),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let [kind_high, kind_low, length_high, length_low] = *head;
    let kind = u16::from_be_bytes([kind_high, kind_low]);
    let length = usize::from(u16::from_be_bytes([length_high, length_low]));
    let (body, rest) = rest.split_at_checked(length)?;
    Some((Record { critical: kind & CRITICAL != 0, kind: kind & !CRITICAL, body }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(records: &[(bool, u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (critical, kind, body) in records {
            Record { critical: *critical, kind: *kind, body }.push(&mut out);
        }
        out
    }

    /// Goal: records are read back; a message is complete at its end-of-message record, and neither before nor beyond it.
    #[test]
    fn a_message_ends_where_it_says() {
        let whole = message(&[(true, 1, &[0, 0]), (false, 5, &[9; 100]), (true, 0, &[])]);
        let found: Vec<_> =
            Records::new(&whole).map(|record| record.map(|one| (one.kind, one.body.len()))).collect();
        assert_eq!(found, [Ok((1, 2)), Ok((5, 100))]);
        for length in 0..whole.len() {
            assert_eq!(message_is_complete(&whole[..length]), Ok(false), "{length}");
            assert_eq!(Records::new(&whole[..length]).last(), Some(Err(RecordError::Cut)));
        }
        assert_eq!(message_is_complete(&whole), Ok(true));
        let more = [whole.as_slice(), &[0]].concat();
        assert_eq!(message_is_complete(&more), Err(RecordError::AfterEnd));
        assert_eq!(message_is_complete(&message(&[(true, 0, &[1])])), Err(RecordError::AfterEnd));
        assert_eq!(message_is_complete(&vec![0xff; KE_MESSAGE_BYTES_MAX]), Err(RecordError::TooLong));
        assert_eq!(message_is_complete(&vec![0xff; KE_MESSAGE_BYTES_MAX + 1]), Err(RecordError::TooLong));
    }
}
