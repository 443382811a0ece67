//! The key establishment's two messages (RFC 8915 section 4), after TLS and before it is closed again.

use super::aead::AeadAlgorithm;
use super::record::{self, Record, RecordError, Records};

/// The label under which TLS derives the keys (RFC 8915 section 5.1).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-network-time-security";
/// The protocol's number of NTPv4 (RFC 8915 section 7.7).
const NTPV4: u16 = 0;
/// The longest cookie that a client keeps, in bytes: no server in use makes longer ones, and eight must fit into a packet.
pub(super) const COOKIE_BYTES_MAX: usize = 256;
/// The shortest, in bytes: shorter ones would be padded and come back changed (RFC 7822: a field has 16 bytes).
const COOKIE_BYTES_MIN: usize = 12;
/// Cookies that a server gives and a client keeps (RFC 8915 section 4.1.6: "eight").
pub(super) const COOKIES: usize = 8;
/// The longest name of a server, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 255;
/// Algorithms that a request may name, at most; more are not looked at.
const OFFERS_MAX: usize = 64;

/// RFC 8915 section 4.1.3.
const UNRECOGNISED_CRITICAL: u16 = 0;
const BAD_REQUEST: u16 = 1;
const INTERNAL_ERROR: u16 = 2;

/// The context under which TLS derives the key of one direction (RFC 8915 section 5.1): protocol, algorithm, direction.
pub fn exporter_context(algorithm_id: u16, to_client: bool) -> [u8; 5] {
    let [protocol_high, protocol_low] = NTPV4.to_be_bytes();
    let [high, low] = algorithm_id.to_be_bytes();
    [protocol_high, protocol_low, high, low, u8::from(to_client)]
}

/// The keys of both directions.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// For what.
    pub algorithm: AeadAlgorithm,
    /// Client to server, of the algorithm's length.
    pub to_server: Vec<u8>,
    /// Server to client, of the algorithm's length.
    pub to_client: Vec<u8>,
}

// A secret never reaches a log.
impl std::fmt::Debug for SessionKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SessionKeys({:?})", self.algorithm)
    }
}

/// What a client takes from an establishment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EstablishedKeys {
    /// The keys.
    pub keys: SessionKeys,
    /// The keys that the standard would give, where a server may mean these (see [`KeResponse::alternative_exporter`]).
    pub alternative: Option<SessionKeys>,
    /// The cookies.
    pub cookies: Vec<Vec<u8>>,
}

/// A client's message.
#[derive(Debug, Clone, Copy)]
pub struct KeRequest;

impl KeRequest {
    /// The request for NTPv4 with one of `algorithms`, the best first.
    pub fn bytes(algorithms: &[AeadAlgorithm]) -> Vec<u8> {
        let mut out = Vec::new();
        let list: Vec<u8> = algorithms.iter().flat_map(|one| one.id().to_be_bytes()).collect();
        Record { critical: true, kind: record::NEXT_PROTOCOL, body: &NTPV4.to_be_bytes() }.push(&mut out);
        Record { critical: true, kind: record::AEAD_ALGORITHM, body: &list }.push(&mut out);
        if algorithms.contains(&AeadAlgorithm::Aes128GcmSiv) {
            Record { critical: false, kind: record::COMPLIANT_GCM_SIV, body: &[] }.push(&mut out);
        }
        Record { critical: true, kind: record::END_OF_MESSAGE, body: &[] }.push(&mut out);
        out
    }
}

/// Why an establishment gave no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeError {
    /// The message itself.
    Record(RecordError),
    /// The other side sent an error record (RFC 8915 section 4.1.3).
    Refused {
        /// Its code.
        code: u16,
    },
    /// It sent a warning that nobody here knows, which counts as an error (section 4.1.4).
    Warned {
        /// Its code.
        code: u16,
    },
    /// A critical record of a type that is not known.
    Critical {
        /// The type.
        kind: u16,
    },
    /// The server does not do NTPv4.
    Protocol,
    /// It does none of the algorithms that were offered, or chose another.
    Algorithm,
    /// A record that has not the form it must have, or stands where it must not.
    Malformed {
        /// The type.
        kind: u16,
    },
    /// No cookie that can be used.
    NoCookie,
}

impl std::fmt::Display for KeError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(error) => error.fmt(formatter),
            Self::Refused { code: BAD_REQUEST } => write!(formatter, "the server calls the request bad"),
            Self::Refused { code: UNRECOGNISED_CRITICAL } => {
                write!(formatter, "the server does not know a record of the request")
            }
            Self::Refused { code: INTERNAL_ERROR } => write!(formatter, "the server has an internal error"),
            Self::Refused { code } => write!(formatter, "the server refuses with error {code}"),
            Self::Warned { code } => write!(formatter, "the server warns with code {code}"),
            Self::Critical { kind } => write!(formatter, "the critical record type {kind} is not known"),
            Self::Protocol => write!(formatter, "the server does not offer NTPv4"),
            Self::Algorithm => write!(formatter, "no AEAD algorithm is shared"),
            Self::Malformed { kind } => write!(formatter, "a record of type {kind} is malformed"),
            Self::NoCookie => write!(formatter, "no usable cookie came"),
        }
    }
}

impl std::error::Error for KeError {}

/// A server's message, as the client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeResponse {
    /// What the server chose.
    pub algorithm: AeadAlgorithm,
    /// Keys of AES-128-GCM-SIV are derived as the standard says (IANA record 1024).
    pub compliant: bool,
    /// Cookies, at most eight.
    pub cookies: Vec<Vec<u8>>,
    /// NTP is at this name or address instead: printable ASCII without blanks.
    pub server: Option<String>,
    /// NTP is at this port.
    pub port: Option<u16>,
}

impl KeResponse {
    /// Reads a server's message to a client that offered `offered`.
    pub fn parse(message: &[u8], offered: &[AeadAlgorithm]) -> Result<Self, KeError> {
        let (mut protocol, mut algorithm) = (false, None);
        let mut response = Self {
            algorithm: AeadAlgorithm::AesSivCmac256,
            compliant: false,
            cookies: Vec::new(),
            server: None,
            port: None,
        };
        for one in Records::new(message) {
            let one = one.map_err(KeError::Record)?;
            let malformed = KeError::Malformed { kind: one.kind };
            match one.kind {
                record::NEXT_PROTOCOL if one.body.is_empty() => return Err(KeError::Protocol),
                record::NEXT_PROTOCOL => {
                    if !one.critical || protocol {
                        return Err(malformed);
                    }
                    protocol = one.number() == Some(NTPV4);
                    if !protocol {
                        return Err(KeError::Protocol);
                    }
                }
                record::AEAD_ALGORITHM => {
                    if algorithm.is_some() {
                        return Err(malformed);
                    }
                    let chosen = one.number().and_then(AeadAlgorithm::from_id);
                    algorithm = Some(chosen.filter(|one| offered.contains(one)).ok_or(KeError::Algorithm)?);
                }
                record::COMPLIANT_GCM_SIV => {
                    if !one.body.is_empty() {
                        return Err(malformed);
                    }
                    response.compliant = true;
                }
                record::ERROR => {
                    return Err(one.number().map_or(malformed, |code| KeError::Refused { code }));
                }
                record::WARNING => {
                    return Err(one.number().map_or(malformed, |code| KeError::Warned { code }));
                }
                // A cookie that cannot be used is left: others may be good, and without any there is an error.
                record::COOKIE => {
                    let usable = (COOKIE_BYTES_MIN..=COOKIE_BYTES_MAX).contains(&one.body.len())
                        && one.body.len().is_multiple_of(4);
                    if usable && response.cookies.len() < COOKIES {
                        response.cookies.push(one.body.to_vec());
                    }
                }
                record::SERVER => {
                    let name = std::str::from_utf8(one.body).ok().filter(|name| is_name(name));
                    response.server = Some(name.ok_or(malformed)?.to_owned());
                }
                record::PORT => {
                    response.port = Some(one.number().filter(|port| *port != 0).ok_or(malformed)?);
                }
                kind if one.critical => return Err(KeError::Critical { kind }),
                _ => {}
            }
        }
        if !protocol {
            return Err(KeError::Protocol);
        }
        response.algorithm = algorithm.ok_or(KeError::Algorithm)?;
        if response.cookies.is_empty() {
            return Err(KeError::NoCookie);
        }
        Ok(response)
    }

    /// The number that stands in the exporter's context for these keys. chrony 4.4 and newer derives keys of AES-128-GCM-SIV
    /// under the number of AES-SIV-CMAC-256 unless both sides sent record 1024.
    pub fn exporter(&self) -> u16 {
        exporter(self.algorithm, self.compliant)
    }

    /// The number of the keys that the server may mean instead: one that follows the standard but does not know the record.
    pub fn alternative_exporter(&self) -> Option<u16> {
        (self.exporter() != self.algorithm.id()).then(|| self.algorithm.id())
    }
}

/// What a server reads from a client's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeOffer {
    /// Keys for this algorithm.
    Keys {
        /// The client's first choice among those that are enabled.
        algorithm: AeadAlgorithm,
        /// The client knows record 1024.
        compliant: bool,
    },
    /// NTPv4 was not asked for.
    NoProtocol,
    /// No algorithm is shared.
    NoAlgorithm,
    /// The request is refused with this error code.
    Refused(u16),
}

impl KeOffer {
    /// Reads a request. Whatever the bytes are, there is an answer to them.
    pub fn parse(message: &[u8], enabled: &[AeadAlgorithm]) -> Self {
        match read_offer(message, enabled) {
            Ok(offer) => offer,
            Err(KeError::Critical { .. }) => Self::Refused(UNRECOGNISED_CRITICAL),
            Err(_) => Self::Refused(BAD_REQUEST),
        }
    }

    /// The number in the exporter's context, where there are keys to derive.
    pub fn exporter(&self) -> Option<u16> {
        match self {
            Self::Keys { algorithm, compliant } => Some(exporter(*algorithm, *compliant)),
            _ => None,
        }
    }
}

/// What a server adds to its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeAnswer {
    /// `ntsntpserver`.
    pub server: Option<String>,
    /// The NTP port, where it is not 123.
    pub port: Option<u16>,
}

impl KeAnswer {
    /// The answer to an offer, with the cookies that were made for its keys.
    pub fn bytes(&self, offer: &KeOffer, cookies: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut push =
            |critical: bool, kind: u16, body: &[u8]| Record { critical, kind, body }.push(&mut out);
        match offer {
            KeOffer::Refused(code) => push(true, record::ERROR, &code.to_be_bytes()),
            KeOffer::NoProtocol => push(true, record::NEXT_PROTOCOL, &[]),
            KeOffer::NoAlgorithm => {
                push(true, record::NEXT_PROTOCOL, &NTPV4.to_be_bytes());
                push(true, record::AEAD_ALGORITHM, &[]);
            }
            KeOffer::Keys { .. } if cookies.is_empty() => {
                push(true, record::ERROR, &INTERNAL_ERROR.to_be_bytes());
            }
            KeOffer::Keys { algorithm, compliant } => {
                push(true, record::NEXT_PROTOCOL, &NTPV4.to_be_bytes());
                push(true, record::AEAD_ALGORITHM, &algorithm.id().to_be_bytes());
                if *compliant && *algorithm == AeadAlgorithm::Aes128GcmSiv {
                    push(false, record::COMPLIANT_GCM_SIV, &[]);
                }
                if let Some(port) = self.port {
                    push(true, record::PORT, &port.to_be_bytes());
                }
                if let Some(server) = &self.server {
                    push(true, record::SERVER, server.as_bytes());
                }
                for cookie in cookies.iter().take(COOKIES) {
                    push(false, record::COOKIE, cookie);
                }
            }
        }
        push(true, record::END_OF_MESSAGE, &[]);
        out
    }
}

fn exporter(algorithm: AeadAlgorithm, compliant: bool) -> u16 {
    match algorithm {
        AeadAlgorithm::Aes128GcmSiv if !compliant => AeadAlgorithm::AesSivCmac256.id(),
        other => other.id(),
    }
}

fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn read_offer(message: &[u8], enabled: &[AeadAlgorithm]) -> Result<KeOffer, KeError> {
    let (mut protocol, mut algorithm, mut compliant) = (None, None, false);
    for one in Records::new(message) {
        let one = one.map_err(KeError::Record)?;
        let malformed = KeError::Malformed { kind: one.kind };
        match one.kind {
            record::NEXT_PROTOCOL => {
                if !one.critical || protocol.is_some() {
                    return Err(malformed);
                }
                protocol = Some(one.numbers().ok_or(malformed)?.take(OFFERS_MAX).any(|id| id == NTPV4));
            }
            record::AEAD_ALGORITHM => {
                if algorithm.is_some() {
                    return Err(malformed);
                }
                let mut offers = one.numbers().ok_or(malformed)?.take(OFFERS_MAX);
                algorithm = Some(
                    offers.find_map(|id| AeadAlgorithm::from_id(id).filter(|one| enabled.contains(one))),
                );
            }
            record::COMPLIANT_GCM_SIV => {
                if !one.body.is_empty() {
                    return Err(malformed);
                }
                compliant = true;
            }
            record::ERROR | record::WARNING | record::COOKIE => return Err(malformed),
            // RFC 8915 sections 4.1.7 and 4.1.8: a client may wish for a server and a port; it need not be heard.
            record::SERVER | record::PORT => {}
            kind if one.critical => return Err(KeError::Critical { kind }),
            _ => {}
        }
    }
    match (protocol, algorithm) {
        (None, _) => Err(KeError::Protocol),
        (Some(false), _) => Ok(KeOffer::NoProtocol),
        (Some(true), None) => Err(KeError::Algorithm),
        (Some(true), Some(None)) => Ok(KeOffer::NoAlgorithm),
        (Some(true), Some(Some(algorithm))) => Ok(KeOffer::Keys { algorithm, compliant }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [AeadAlgorithm; 2] = AeadAlgorithm::PREFERRED;

    fn message(records: &[(bool, u16, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (critical, kind, body) in records.iter().chain(&[(true, 0, [].as_slice())]) {
            Record { critical: *critical, kind: *kind, body }.push(&mut out);
        }
        out
    }

    /// Goal: our client and our server agree on the best shared algorithm and on how its keys are derived.
    #[test]
    fn client_and_server_agree() {
        use AeadAlgorithm::{Aes128GcmSiv, AesSivCmac256};
        let check =
            |client: &[AeadAlgorithm], server: &[AeadAlgorithm], expected: Result<(u16, u16), KeError>| {
                let offer = KeOffer::parse(&KeRequest::bytes(client), server);
                let answer = KeAnswer { server: Some("ntp.example".to_owned()), port: Some(11_123) };
                let found = KeResponse::parse(&answer.bytes(&offer, &vec![vec![7; 100]; 9]), client);
                if let Ok(response) = &found {
                    assert_eq!((response.cookies.len(), response.port), (8, Some(11_123)));
                    assert_eq!(response.server.as_deref(), Some("ntp.example"));
                    assert_eq!(offer.exporter(), Some(response.exporter()));
                    assert_eq!(response.alternative_exporter(), None);
                }
                assert_eq!(found.map(|one| (one.algorithm.id(), one.exporter())), expected);
            };
        check(&BOTH, &BOTH, Ok((30, 30)));
        check(&[AesSivCmac256], &BOTH, Ok((15, 15)));
        check(&[AesSivCmac256, Aes128GcmSiv], &BOTH, Ok((15, 15)));
        check(&BOTH, &[AesSivCmac256], Ok((15, 15)));
        check(&[Aes128GcmSiv], &[AesSivCmac256], Err(KeError::Algorithm));
    }

    /// Goal: every request gets the answer that RFC 8915 section 4.1 asks for.
    #[test]
    fn requests_are_judged() {
        let check = |records: &[(bool, u16, &[u8])], expected: KeOffer| {
            assert_eq!(KeOffer::parse(&message(records), &BOTH), expected, "{records:?}");
        };
        let siv = KeOffer::Keys { algorithm: AeadAlgorithm::AesSivCmac256, compliant: false };
        let refused = KeOffer::Refused(BAD_REQUEST);
        check(&[(true, 1, &[0, 0]), (true, 4, &[0, 15])], siv);
        check(&[(true, 1, &[0x12, 0x34, 0, 0]), (false, 4, &[0, 99, 0, 15, 0, 30])], siv);
        check(
            &[
                (true, 1, &[0, 0]),
                (true, 4, &[0, 15]),
                (false, 99, b"x"),
                (true, 6, b"a"),
                (true, 7, &[0, 5]),
            ],
            siv,
        );
        check(&[(true, 1, &[0, 9]), (true, 4, &[0, 15])], KeOffer::NoProtocol);
        check(&[(true, 1, &[0, 0]), (true, 4, &[0, 99])], KeOffer::NoAlgorithm);
        check(&[], refused);
        check(&[(true, 1, &[0, 0])], refused);
        check(&[(true, 4, &[0, 15])], refused);
        check(&[(true, 1, &[0, 0, 1]), (true, 4, &[0, 15])], refused);
        check(&[(true, 1, &[]), (true, 4, &[0, 15])], refused);
        check(&[(false, 1, &[0, 0]), (true, 4, &[0, 15])], refused);
        check(&[(true, 1, &[0, 0]), (true, 1, &[0, 0]), (true, 4, &[0, 15])], refused);
        check(&[(true, 1, &[0, 0]), (true, 4, &[0, 15]), (false, 5, &[1; 100])], refused);
        check(&[(true, 1, &[0, 0]), (true, 4, &[0, 15]), (true, 2, &[0, 1])], refused);
        check(
            &[(true, 1, &[0, 0]), (true, 4, &[0, 15]), (true, 99, &[])],
            KeOffer::Refused(UNRECOGNISED_CRITICAL),
        );
        assert_eq!(KeOffer::parse(&[1, 2, 3], &BOTH), refused);
        let silent = KeAnswer::default().bytes(&siv, &[]);
        assert_eq!(KeResponse::parse(&silent, &BOTH), Err(KeError::Refused { code: INTERNAL_ERROR }));
    }

    /// Goal: a server's message gives keys only when every part of it is as it must be; huge, odd and too many cookies are left.
    #[test]
    fn responses_are_judged() {
        let check = |more: &[(bool, u16, &[u8])], expected: Result<usize, KeError>| {
            let mut records = vec![(true, 1_u16, [0, 0].as_slice()), (true, 4, [0, 15].as_slice())];
            records.extend(more);
            let found = KeResponse::parse(&message(&records), &BOTH).map(|one| one.cookies.len());
            assert_eq!(found, expected, "{more:?}");
        };
        check(&[(false, 5, &[1; 100])], Ok(1));
        check(&[(false, 5, [1; 100].as_slice()); 20], Ok(8));
        check(&[(false, 5, &[1; 100]), (false, 5, &[1; 10_000])], Ok(1));
        check(&[(false, 5, &[1; 10_000])], Err(KeError::NoCookie));
        check(&[(false, 5, &[1; 257]), (false, 5, &[1; 8]), (false, 5, &[])], Err(KeError::NoCookie));
        check(&[(false, 5, &[1; 60_000])], Err(KeError::Record(RecordError::TooLong)));
        check(&[], Err(KeError::NoCookie));
        check(&[(true, 2, &[0, 2])], Err(KeError::Refused { code: 2 }));
        check(&[(true, 3, &[0, 7])], Err(KeError::Warned { code: 7 }));
        check(&[(true, 77, &[])], Err(KeError::Critical { kind: 77 }));
        check(&[(false, 77, &[]), (false, 5, &[1; 100])], Ok(1));
        check(&[(true, 7, &[0, 0])], Err(KeError::Malformed { kind: 7 }));
        check(&[(true, 7, &[0])], Err(KeError::Malformed { kind: 7 }));
        check(&[(true, 6, b"a b")], Err(KeError::Malformed { kind: 6 }));
        check(&[(true, 6, b"")], Err(KeError::Malformed { kind: 6 }));
        check(&[(true, 6, &[0xff; 9])], Err(KeError::Malformed { kind: 6 }));
        check(&[(true, 1, &[0, 0])], Err(KeError::Malformed { kind: 1 }));
        check(&[(true, 4, &[0, 15])], Err(KeError::Malformed { kind: 4 }));
        let other = message(&[(true, 1, &[0, 0]), (true, 4, &[0, 30]), (false, 5, &[1; 100])]);
        assert_eq!(KeResponse::parse(&other, &[AeadAlgorithm::AesSivCmac256]), Err(KeError::Algorithm));
        let found = KeResponse::parse(&other, &BOTH).expect("it was offered");
        assert_eq!((found.exporter(), found.alternative_exporter()), (15, Some(30)));
        assert_eq!(exporter_context(30, true), [0, 0, 0, 30, 1]);
    }
}
