//! A client's side: cookies, when new keys are needed, and what stands between the client machine and the wire.

use super::aead::{AeadAlgorithm, AeadKey};
use super::establish::{COOKIE_BYTES_MAX, COOKIES, EstablishedKeys, SessionKeys};
use super::field::{
    FIELD_AUTHENTICATOR, FIELD_COOKIE, FIELD_COOKIE_PLACEHOLDER, FIELD_UNIQUE_IDENTIFIER,
    UNIQUE_IDENTIFIER_BYTES, authenticator_bytes, field_bytes, open_authenticator, push_authenticator,
    push_field,
};
use crate::extension::{Extensions, split_field};
use crate::packet::{HEADER_BYTES, Mode, Packet, PacketError};
use std::collections::VecDeque;
use std::time::Duration;

/// Cookies that are kept at most.
pub const COOKIES_MAX: usize = COOKIES;
/// What all cookies and placeholders of a request may take, in bytes: a packet that still passes everywhere unfragmented (as
/// chronyd's).
const COOKIE_FIELDS_BYTES_MAX: usize = 8 * 108;
/// Random bytes that one request takes: the identifier and the longest nonce.
pub const PROTECT_RANDOM_BYTES: usize = UNIQUE_IDENTIFIER_BYTES + super::aead::NONCE_BYTES_MAX;
/// log2 s until the next try after the first failure to connect, and after one of TLS or of what came through it; each
/// further failure doubles it, up to the maximum of six days (as chronyd does).
const RETRY_CONNECT: u32 = 4;
const RETRY_TLS: u32 = 10;
const RETRY_MAX: u32 = 19;
/// A NAK (RFC 8915 section 5.7).
const KISS_NAK: &[u8; 4] = b"NTSN";

/// What is to be done before a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preparation {
    /// A request can be protected.
    Ready,
    /// Keys are wanted: begin an establishment, and say so with [`Association::begin`].
    Establish,
    /// Keys are wanted, and not before this moment.
    NotBefore(Duration),
}

/// How an establishment failed, which decides how soon the next one may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeFailureKind {
    /// Nobody was there, or hung up early.
    Connect,
    /// Somebody was there, and what came was no good: TLS, the certificate, the records.
    Answer,
}

/// Why a reply does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NtsError {
    /// No NTP packet.
    Packet(PacketError),
    /// Not a server's reply.
    Mode(Mode),
    /// We wait for none, or it was answered already.
    Unexpected,
    /// It has not the identifier of our last request: forged, replayed or late.
    Identifier,
    /// It has no authenticator, or one that is not the last field. A kiss without one is forged.
    Unauthenticated,
    /// Its authenticator is wrong.
    Authenticator,
    /// The server does not know the cookie. The reply that counts may still come; if not, new keys are fetched.
    Nak,
    /// It is authentic and brings no cookie that can be used.
    NoCookie,
}

impl std::fmt::Display for NtsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packet(error) => error.fmt(formatter),
            Self::Mode(mode) => write!(formatter, "mode {mode:?} is no reply"),
            Self::Unexpected => write!(formatter, "no reply is expected"),
            Self::Identifier => write!(formatter, "it answers no request of ours"),
            Self::Unauthenticated => write!(formatter, "it is not authenticated"),
            Self::Authenticator => write!(formatter, "its authentication is wrong"),
            Self::Nak => write!(formatter, "the server does not know the cookie"),
            Self::NoCookie => write!(formatter, "it brings no cookie"),
        }
    }
}

impl std::error::Error for NtsError {}

/// What `chronyc authdata` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NtsReport {
    /// The algorithm's number; 0 without keys.
    pub algorithm: u16,
    /// How many keys there have been.
    pub context: u32,
    /// The key's length in bits.
    pub key_bits: u16,
    /// Establishments tried since the last good reply.
    pub attempts: u16,
    /// Since the last good establishment.
    pub last_established: Option<Duration>,
    /// Cookies left.
    pub cookies: u16,
    /// The length of the next one, in bytes.
    pub cookie_bytes: u16,
    /// NAKs since the last good establishment.
    pub naks: u16,
}

/// The NTS state of one source. Times are a monotonic clock's, from any origin.
#[derive(Debug, Clone)]
pub struct Association {
    /// The longest time that keys are used.
    refresh: Duration,
    session: Option<Session>,
    context: u32,
    cookies: VecDeque<Vec<u8>>,
    attempts: u32,
    next_attempt: Duration,
    /// In seconds, since it may lie before the clock's origin.
    established: Option<f64>,
    naks: u16,
    /// The identifier of the last request while it is not answered.
    pending: Option<[u8; UNIQUE_IDENTIFIER_BYTES]>,
    /// A NAK came to it.
    nak: bool,
}

#[derive(Debug, Clone)]
struct Session {
    keys: SessionKeys,
    to_server: AeadKey,
    to_client: AeadKey,
    alternative: Option<SessionKeys>,
}

impl Session {
    fn new(keys: SessionKeys, alternative: Option<SessionKeys>) -> Option<Self> {
        let to_server = AeadKey::new(keys.algorithm, &keys.to_server)?;
        let to_client = AeadKey::new(keys.algorithm, &keys.to_client)?;
        Some(Self { keys, to_server, to_client, alternative })
    }
}

impl Association {
    /// Without keys yet; they are fetched anew after `refresh` (`ntsrefresh`).
    pub fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            session: None,
            context: 0,
            cookies: VecDeque::new(),
            attempts: 0,
            next_attempt: Duration::ZERO,
            established: None,
            naks: 0,
            pending: None,
            nak: false,
        }
    }

    /// What stands in the way of a request at `now`.
    pub fn prepare(&mut self, now: Duration) -> Preparation {
        let too_old = self.age(now).is_some_and(|age| age > self.refresh);
        let refused = self.nak && self.pending.is_some();
        if refused && !too_old && self.take_alternative() {
            return Preparation::Ready;
        }
        if refused || too_old {
            self.cookies.clear();
            (self.nak, self.pending) = (false, None);
        }
        if self.session.is_some() && !self.cookies.is_empty() {
            Preparation::Ready
        } else if now < self.next_attempt {
            Preparation::NotBefore(self.next_attempt)
        } else {
            Preparation::Establish
        }
    }

    /// The only answer to our first requests was a NAK, and the server may mean the keys that the standard gives.
    fn take_alternative(&mut self) -> bool {
        let Some(alternative) = self.session.as_mut().and_then(|session| session.alternative.take()) else {
            return false;
        };
        if self.attempts == 0 || self.cookies.is_empty() {
            return false;
        }
        self.session = Session::new(alternative, None);
        (self.nak, self.pending) = (false, None);
        self.session.is_some()
    }

    /// An establishment begins at `now`. Until it says how it ended, it counts as one that could not connect.
    pub fn begin(&mut self, now: Duration) {
        self.attempts = self.attempts.saturating_add(1);
        self.next_attempt = now + self.retry(KeFailureKind::Connect);
    }

    /// It failed at `now`.
    pub fn failed(&mut self, now: Duration, kind: KeFailureKind) {
        self.next_attempt = now + self.retry(kind);
    }

    /// Something changed for which the last failure may be void (the clock was set, the network came): the next establishment
    /// may begin at once.
    pub fn may_retry(&mut self, now: Duration) {
        self.next_attempt = self.next_attempt.min(now);
        self.attempts = self.attempts.min(1);
    }

    fn retry(&self, kind: KeFailureKind) -> Duration {
        let first = match kind {
            KeFailureKind::Connect => RETRY_CONNECT,
            KeFailureKind::Answer => RETRY_TLS,
        };
        let exponent = first.saturating_add(self.attempts.saturating_sub(1)).min(RETRY_MAX);
        Duration::from_secs(1 << exponent)
    }

    /// An establishment gave these; false when the keys have not the length of their algorithm.
    pub fn established(&mut self, now: Duration, found: EstablishedKeys) -> bool {
        let Some(session) = Session::new(found.keys, found.alternative) else { return false };
        self.session = Some(session);
        self.context = self.context.wrapping_add(1);
        self.cookies.clear();
        for cookie in found.cookies {
            self.keep(cookie);
        }
        self.established = Some(now.as_secs_f64());
        self.next_attempt = now + self.retry(KeFailureKind::Answer);
        (self.naks, self.nak, self.pending) = (0, false, None);
        true
    }

    fn keep(&mut self, cookie: Vec<u8>) -> bool {
        let usable = (1..=COOKIE_BYTES_MAX).contains(&cookie.len());
        if usable && self.cookies.len() < COOKIES_MAX {
            self.cookies.push_back(cookie);
        }
        usable
    }

    /// `request` (header, and other fields if there are any) as it goes onto the wire: with an identifier, a cookie that is
    /// never used again, placeholders for those that are missing, and the authenticator. None without keys or cookies.
    pub fn protect(&mut self, request: &[u8], random: &[u8; PROTECT_RANDOM_BYTES]) -> Option<Vec<u8>> {
        let session = self.session.as_ref()?;
        let cookie = self.cookies.pop_front()?;
        let (identifier, nonce) = random.split_first_chunk::<UNIQUE_IDENTIFIER_BYTES>()?;
        let nonce = nonce.get(..session.keys.algorithm.nonce_bytes())?;
        let wanted = (COOKIES_MAX - self.cookies.len())
            .min(COOKIE_FIELDS_BYTES_MAX / field_bytes(cookie.len()))
            .max(1);
        let mut packet = request.to_vec();
        push_field(&mut packet, FIELD_UNIQUE_IDENTIFIER, identifier);
        push_field(&mut packet, FIELD_COOKIE, &cookie);
        for _ in 1..wanted {
            push_field(&mut packet, FIELD_COOKIE_PLACEHOLDER, &vec![0; cookie.len()]);
        }
        if !push_authenticator(
            &mut packet,
            &session.to_server,
            nonce,
            &[],
            authenticator_bytes(&session.to_server, 0),
        ) {
            return None;
        }
        (self.pending, self.nak) = (Some(*identifier), false);
        Some(packet)
    }

    /// The last request is given up: no reply to it counts any more.
    pub fn forget_pending(&mut self) {
        self.pending = None;
    }

    /// The authentic part of a reply: everything before the authenticator. Its cookies are kept. A reply that does not count
    /// changes nothing, except that a NAK to our request is remembered.
    pub fn open<'a>(&mut self, reply: &'a [u8]) -> Result<&'a [u8], NtsError> {
        let packet = Packet::parse(reply).map_err(NtsError::Packet)?;
        if packet.header.mode != Mode::Server {
            return Err(NtsError::Mode(packet.header.mode));
        }
        let (Some(session), Some(pending)) = (&self.session, self.pending) else {
            return Err(NtsError::Unexpected);
        };
        let fields = NtsFields::find(reply)?;
        if fields.identifier != Some(pending.as_slice()) {
            return Err(NtsError::Identifier);
        }
        let Some((covered, authenticator)) = fields.authenticator else {
            if packet.header.stratum == 0 && packet.header.reference_id.0 == *KISS_NAK {
                self.nak = true;
                self.naks = self.naks.saturating_add(1);
                return Err(NtsError::Nak);
            }
            return Err(NtsError::Unauthenticated);
        };
        let plain =
            open_authenticator(&session.to_client, covered, authenticator).ok_or(NtsError::Authenticator)?;
        let mut rest = plain.as_slice();
        let mut usable = false;
        while !rest.is_empty() {
            let (field, after) = split_field(rest).map_err(NtsError::Packet)?;
            if field.kind == FIELD_COOKIE {
                usable |= self.keep(field.body.to_vec());
            }
            rest = after;
        }
        if !usable {
            return Err(NtsError::NoCookie);
        }
        // One reply to each request. From here on it is known that we and the server understand each other.
        (self.pending, self.nak) = (None, false);
        (self.attempts, self.next_attempt) = (0, Duration::ZERO);
        if let Some(session) = &mut self.session {
            session.alternative = None;
        }
        Ok(covered)
    }

    /// What `authdata` shows at `now`.
    pub fn report(&self, now: Duration) -> NtsReport {
        let keys = self.session.as_ref().map(|session| &session.keys);
        NtsReport {
            algorithm: keys.map_or(0, |keys| keys.algorithm.id()),
            context: self.context,
            key_bits: keys.map_or(0, |keys| keys.to_client.len() as u16 * 8),
            attempts: u16::try_from(self.attempts).unwrap_or(u16::MAX),
            last_established: self.age(now),
            cookies: self.cookies.len() as u16,
            cookie_bytes: self.cookies.front().map_or(0, |cookie| cookie.len() as u16),
            naks: self.naks,
        }
    }

    fn age(&self, now: Duration) -> Option<Duration> {
        let age = now.as_secs_f64() - self.established?;
        Duration::try_from_secs_f64(age.max(0.0)).ok()
    }

    /// What is kept over a restart: the number of keys so far, their age, the keys and the cookies; none without cookies.
    pub fn kept(&self, now: Duration) -> Option<(u32, Duration, &SessionKeys, Vec<Vec<u8>>)> {
        let keys = &self.session.as_ref()?.keys;
        let age = self.age(now)?;
        (!self.cookies.is_empty()).then(|| (self.context, age, keys, self.cookies.iter().cloned().collect()))
    }

    /// Takes up what was kept; false when keys or cookies are not of use.
    pub fn restore(
        &mut self,
        now: Duration,
        context: u32,
        age: Duration,
        keys: SessionKeys,
        cookies: Vec<Vec<u8>>,
    ) -> bool {
        let Some(session) = Session::new(keys, None) else { return false };
        self.session = Some(session);
        self.context = context;
        self.established = Some(now.as_secs_f64() - age.as_secs_f64());
        self.cookies.clear();
        for cookie in cookies {
            self.keep(cookie);
        }
        !self.cookies.is_empty()
    }

    /// There are keys in use, and of which kind.
    pub fn algorithm(&self) -> Option<AeadAlgorithm> {
        self.session.as_ref().map(|session| session.keys.algorithm)
    }
}

/// The fields of NTS in a packet.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NtsFields<'a> {
    /// Of the identifier.
    pub identifier: Option<&'a [u8]>,
    /// Of the cookie.
    pub cookie: Option<&'a [u8]>,
    /// Cookies wanted beside that one.
    pub placeholders: usize,
    /// A second cookie or identifier, or a placeholder of another length.
    pub odd: bool,
    /// What the authenticator covers, and its body. It is the last field.
    pub authenticator: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> NtsFields<'a> {
    /// Looks through the fields of a packet that [`Packet::parse`] took.
    pub(super) fn find(packet: &'a [u8]) -> Result<Self, NtsError> {
        let parsed = Packet::parse(packet).map_err(NtsError::Packet)?;
        let mut fields = Self::default();
        let mut placeholder = None;
        let mut end = HEADER_BYTES;
        let extensions: Extensions<'a> = parsed.extensions;
        for field in extensions {
            let begin = end;
            end += field.body.len() + 4;
            match field.kind {
                FIELD_UNIQUE_IDENTIFIER => {
                    fields.odd |= fields.identifier.replace(field.body).is_some();
                }
                FIELD_COOKIE => fields.odd |= fields.cookie.replace(field.body).is_some(),
                FIELD_COOKIE_PLACEHOLDER => {
                    fields.odd |=
                        placeholder.replace(field.body.len()).is_some_and(|one| one != field.body.len());
                    fields.placeholders += 1;
                }
                // RFC 8915 section 5.6: what stands after it is not authentic; nothing we speak puts anything there.
                FIELD_AUTHENTICATOR if end == packet.len() => {
                    fields.authenticator = packet.get(..begin).map(|covered| (covered, field.body));
                }
                FIELD_AUTHENTICATOR => fields.odd = true,
                _ => {}
            }
        }
        fields.odd |=
            placeholder.is_some_and(|length| fields.cookie.is_none_or(|cookie| cookie.len() != length));
        Ok(fields)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
