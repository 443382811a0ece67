//! Kiss codes: what a server says in the reference id of a reply with stratum 0 (RFC 5905 section 7.4).

use crate::packet::ReferenceId;

/// A kiss code. Those that change what a client does have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KissCode {
    /// The client asks too often; it must ask less.
    Rate,
    /// Access denied; the client must stop.
    Deny,
    /// Access denied by local policy; the client must stop.
    Restrict,
    /// Any other code: informative.
    Other([u8; 4]),
}

impl KissCode {
    /// The code that stands in a reference id.
    pub fn from_reference_id(id: ReferenceId) -> Self {
        match &id.0 {
            b"RATE" => Self::Rate,
            b"DENY" => Self::Deny,
            b"RSTR" => Self::Restrict,
            other => Self::Other(*other),
        }
    }

    /// The four bytes on the wire.
    pub fn reference_id(self) -> ReferenceId {
        ReferenceId(match self {
            Self::Rate => *b"RATE",
            Self::Deny => *b"DENY",
            Self::Restrict => *b"RSTR",
            Self::Other(bytes) => bytes,
        })
    }

    /// RFC 5905 section 7.4: "the client MUST demobilize any associations to that server and stop sending packets".
    pub fn ends_association(self) -> bool {
        matches!(self, Self::Deny | Self::Restrict)
    }
}

impl std::fmt::Display for KissCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.reference_id().0.escape_ascii())
    }
}
