//! What became of a request.

use crate::wire::codes;

codes! {
    /// The status of a reply.
    pub enum Status: u16 {
        /// Done.
        Success = 0,
        /// Tried, and failed.
        Failed = 1,
        /// Allowed over the Unix socket only.
        Unauthorised = 2,
        /// No such command, or a value that makes no sense.
        Invalid = 3,
        /// No source has this address or number.
        NoSuchSource = 4,
        /// Of the time when requests carried passwords.
        InvalidTimestamp = 5,
        /// The daemon's configuration does not turn this on.
        NotEnabled = 6,
        /// A subnet that is none.
        BadSubnet = 7,
        /// The answer of `accheck`: yes.
        AccessAllowed = 8,
        /// The answer of `accheck`: no.
        AccessDenied = 9,
        /// Of the time when requests were refused by host.
        NoHostAccess = 10,
        /// The source is there already.
        SourceAlreadyKnown = 11,
        /// No room for one source more.
        TooManySources = 12,
        /// The daemon does not follow the real-time clock.
        NoRtc = 13,
        /// The real-time clock's file cannot be written.
        BadRtcFile = 14,
        /// `noclientlog` is set.
        Inactive = 15,
        /// No manual sample has this index.
        BadSample = 16,
        /// The address is of a family that is not in use.
        InvalidAddressFamily = 17,
        /// The two ends speak different versions.
        BadVersion = 18,
        /// The request is shorter than its command demands.
        BadLength = 19,
        /// A host name that is none.
        InvalidName = 21,
    }
}

impl Status {
    /// Whether the reply carries what was asked for.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::AccessAllowed | Self::AccessDenied)
    }

    /// The line that `chronyc` prints.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "200 OK",
            Self::AccessAllowed => "208 Access allowed",
            Self::AccessDenied => "209 Access denied",
            Self::Failed => "500 Failure",
            Self::Unauthorised => "501 Not authorised",
            Self::Invalid => "502 Invalid command",
            Self::NoSuchSource => "503 No such source",
            Self::InvalidTimestamp => "504 Duplicate or stale logon detected",
            Self::NotEnabled => "505 Facility not enabled in daemon",
            Self::BadSubnet => "507 Bad subnet",
            Self::NoHostAccess => "510 No command access from this host",
            Self::SourceAlreadyKnown => "511 Source already present",
            Self::TooManySources => "512 Too many sources present",
            Self::NoRtc => "513 RTC driver not running",
            Self::BadRtcFile => "514 Can't write RTC parameters",
            Self::InvalidAddressFamily => "515 Invalid address family",
            Self::BadSample => "516 Sample index out of range",
            Self::BadVersion => "517 Protocol version mismatch",
            Self::BadLength => "518 Packet length mismatch",
            Self::Inactive => "519 Client logging is not active in the daemon",
            Self::InvalidName => "521 Invalid name",
            Self::Other(_) => "520 Got unexpected error from daemon",
        }
    }
}
