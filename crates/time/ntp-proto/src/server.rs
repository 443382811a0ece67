//! The server machine: a client's request in, one reply of no greater length out (RFC 5905 section 9.2, `fast_xmit`). A peer that
//! is no peer of ours is answered like a client, in passive mode, and forgotten: nobody can make this host follow him.

use crate::access::AccessList;
use crate::correction::{Arrived, CORRECTION_FIELD_BYTES, CorrectionField, Transit};
use crate::experimental::{FIELD_BYTES, RootField};
use crate::keys::{Keys, MAC_BYTES_MAX, MacError};
use crate::kiss::KissCode;
use crate::nts::CookieKeys;
use crate::packet::{HEADER_BYTES, Header, Leap, Mode, Packet, PacketError, ReferenceId};
use crate::timestamp::{NtpShort, NtpTimestamp};
use std::net::IpAddr;
use std::sync::Arc;

/// What the server says of its clock. The daemon makes a new one whenever the clock's state changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServerSnapshot {
    /// Leap indicator; [`Leap::Unsynchronised`] when nothing is followed.
    pub leap: Leap,
    /// Our stratum, 1 to 15.
    pub stratum: u8,
    /// Precision of the local clock, log2 s.
    pub precision: i8,
    /// Round trip to the primary source, in seconds.
    pub root_delay: f64,
    /// Dispersion to the primary source at `reference`, in seconds.
    pub root_dispersion: f64,
    /// How fast the dispersion grows, s/s.
    pub dispersion_rate: f64,
    /// What we follow.
    pub reference_id: ReferenceId,
    /// When the clock was last corrected.
    pub reference: NtpTimestamp,
    /// The clock without what it was moved apart from its rate, for field F323; none where it tells a time that is smoothed.
    pub monotonic: Option<Monotonic>,
}

/// A clock that is corrected in frequency alone, told by the one that is served.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monotonic {
    /// It is ahead of the served clock, in seconds.
    pub ahead: f64,
    /// Which clock it is: another number, another clock.
    pub epoch: u32,
}

impl ServerSnapshot {
    /// Nothing is followed.
    pub fn unsynchronised(precision: i8) -> Self {
        Self {
            leap: Leap::Unsynchronised,
            stratum: 0,
            precision,
            root_delay: 1.0,
            root_dispersion: 1.0,
            dispersion_rate: 0.0,
            reference_id: ReferenceId::default(),
            reference: NtpTimestamp::UNKNOWN,
            monotonic: None,
        }
    }

    /// The root dispersion at `transmit`, in seconds.
    fn dispersion_at(&self, transmit: NtpTimestamp) -> f64 {
        let age = if self.reference.is_unknown() { 0.0 } else { transmit.since(self.reference).max(0.0) };
        self.root_dispersion + age * self.dispersion_rate
    }

    /// Field F323 of a packet whose receive timestamp is `received`.
    pub(crate) fn root_field(&self, received: NtpTimestamp, transmit: NtpTimestamp) -> RootField {
        let monotonic = self.monotonic.filter(|_| !received.is_unknown());
        RootField {
            root_delay: self.root_delay,
            root_dispersion: self.dispersion_at(transmit),
            monotonic: monotonic.map_or(NtpTimestamp::UNKNOWN, |one| received.plus(one.ahead)),
            epoch: monotonic.map_or(0, |one| one.epoch),
        }
    }

    /// The header of the reply to `request`.
    pub(crate) fn header(
        &self,
        request: &Header,
        received: NtpTimestamp,
        transmit: NtpTimestamp,
        manner: Manner,
    ) -> Header {
        let mut header = Header {
            leap: self.leap,
            version: request.version,
            mode: if request.mode == Mode::SymmetricActive { Mode::SymmetricPassive } else { Mode::Server },
            stratum: self.stratum,
            poll: request.poll,
            precision: self.precision,
            root_delay: NtpShort::from_seconds(self.root_delay),
            root_dispersion: NtpShort::from_seconds(self.dispersion_at(transmit)),
            reference_id: self.reference_id,
            reference: self.reference,
            origin: request.transmit,
            receive: received,
            transmit,
        };
        match manner {
            Manner::Basic => {}
            Manner::Interleaved { previous } => {
                (header.origin, header.transmit) = (request.receive, previous);
            }
            Manner::Kiss(code) => {
                (header.leap, header.stratum) = (Leap::Unsynchronised, 0);
                header.reference_id = code.reference_id();
            }
        }
        header
    }
}

/// The packet that a server broadcasts, leaving at `transmit`: nobody asked, so there is nothing to bring back.
pub fn broadcast_packet(snapshot: &ServerSnapshot, poll: i8, transmit: NtpTimestamp) -> [u8; HEADER_BYTES] {
    let nobody = Header::from_bytes(&[0; HEADER_BYTES]);
    let request = Header { version: crate::packet::VERSION, poll, ..nobody };
    let header = snapshot.header(&request, NtpTimestamp::UNKNOWN, transmit, Manner::Basic);
    Header { mode: Mode::Broadcast, ..header }.to_bytes()
}

/// The way a reply takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Basic mode (RFC 5905).
    Basic,
    /// Interleaved mode: the reply says when the reply before it left (RFC 9769 section 2).
    Interleaved {
        /// When the reply whose receive timestamp the request brings back left.
        previous: NtpTimestamp,
    },
    /// A kiss instead of the time.
    Kiss(KissCode),
}

/// What became of the datagrams that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ServerCounters {
    /// Datagrams in all.
    pub received: u64,
    /// Replies made.
    pub answered: u64,
    /// Replies made that carry a code.
    pub authenticated: u64,
    /// Refused for the address.
    pub denied: u64,
    /// Refused for the bytes, mode or key.
    pub malformed: u64,
    /// Replies made in interleaved mode.
    pub interleaved: u64,
}

impl ServerCounters {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            received: self.received + other.received,
            answered: self.answered + other.answered,
            authenticated: self.authenticated + other.authenticated,
            denied: self.denied + other.denied,
            malformed: self.malformed + other.malformed,
            interleaved: self.interleaved + other.interleaved,
        }
    }
}

/// Why there is no reply. A request that is not answered costs nothing more than a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// No NTP packet.
    Packet(PacketError),
    /// Not a client's request.
    Mode(Mode),
    /// The address may not ask.
    Access,
    /// Its authentication failed.
    Mac(MacError),
    /// Its fields of NTS are missing, doubled or malformed.
    Nts,
}

/// The longest reply without NTS, in bytes.
const REPLY_BYTES_MAX: usize = HEADER_BYTES + FIELDS_BYTES_MAX + 4 + MAC_BYTES_MAX;
/// The longest fields of a reply without NTS.
const FIELDS_BYTES_MAX: usize = CORRECTION_FIELD_BYTES + FIELD_BYTES;

/// A reply's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    bytes: [u8; REPLY_BYTES_MAX],
    length: usize,
}

impl std::ops::Deref for Reply {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A server.
#[derive(Debug, Clone, Default)]
pub struct Server {
    pub(crate) access: AccessList,
    keys: Keys,
    /// The Network Correction field is answered.
    pub(crate) corrects: bool,
    pub(crate) cookie_keys: Option<Arc<CookieKeys>>,
    pub(crate) counters: ServerCounters,
}

impl Server {
    /// A server that answers those whom `access` allows.
    pub fn new(access: AccessList, keys: Keys) -> Self {
        Self { access, keys, corrects: false, cookie_keys: None, counters: ServerCounters::default() }
    }

    /// The rules in force.
    pub fn access(&self) -> &AccessList {
        &self.access
    }

    /// The rules, to change them.
    pub fn access_mut(&mut self) -> &mut AccessList {
        &mut self.access
    }

    /// Takes new keys.
    pub fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// Requests with the Network Correction field are answered with it from now on, or without: chrony's condition is `ptpport`.
    pub fn set_corrects(&mut self, corrects: bool) {
        self.corrects = corrects;
    }

    /// What became of the datagrams so far.
    pub fn counters(&self) -> ServerCounters {
        self.counters
    }

    /// Makes the rules of access quick to ask; to be called once they are complete.
    pub fn prepare(&mut self) {
        self.access.prepare();
    }

    /// The counters since the last call, which start anew.
    pub fn take_counters(&mut self) -> ServerCounters {
        std::mem::take(&mut self.counters)
    }

    /// Whether the address may ask; one that may not is counted, with its datagram.
    pub fn admits(&mut self, from: IpAddr) -> bool {
        let allowed = self.access.allows(from);
        if !allowed {
            self.counters.received += 1;
            self.counters.denied += 1;
        }
        allowed
    }

    /// The reply to `request` from `from`, which arrived at `received`, when it leaves at `transmit` (both of the clock
    /// that the snapshot speaks of).
    pub fn respond(
        &mut self,
        request: &[u8],
        from: IpAddr,
        received: impl Into<Arrived<NtpTimestamp>>,
        transmit: NtpTimestamp,
        snapshot: &ServerSnapshot,
    ) -> Result<Reply, Refusal> {
        if !self.admits(from) {
            return Err(Refusal::Access);
        }
        let mut reply = Reply { bytes: [0; REPLY_BYTES_MAX], length: 0 };
        reply.length = self.reply(request, received, transmit, Manner::Basic, snapshot, &mut reply.bytes)?;
        Ok(reply)
    }

    /// Writes the reply to a request from an address that [`Self::admits`] to `out` and returns its length, which is never above
    /// the request's; `out` has room for as much.
    pub fn reply(
        &mut self,
        request: &[u8],
        received: impl Into<Arrived<NtpTimestamp>>,
        transmit: NtpTimestamp,
        manner: Manner,
        snapshot: &ServerSnapshot,
        out: &mut [u8],
    ) -> Result<usize, Refusal> {
        self.counters.received += 1;
        let reply = self.write(request, received.into(), transmit, manner, snapshot, out);
        match &reply {
            Ok((_, authenticated)) => {
                self.counters.answered += 1;
                self.counters.authenticated += u64::from(*authenticated);
                self.counters.interleaved += u64::from(matches!(manner, Manner::Interleaved { .. }));
            }
            Err(_) => self.counters.malformed += 1,
        }
        reply.map(|(length, _)| length)
    }

    /// The reply's length, and whether it carries a code.
    fn write(
        &self,
        request: &[u8],
        received: Arrived<NtpTimestamp>,
        transmit: NtpTimestamp,
        manner: Manner,
        snapshot: &ServerSnapshot,
        out: &mut [u8],
    ) -> Result<(usize, bool), Refusal> {
        let packet = Packet::parse(request).map_err(Refusal::Packet)?;
        if !matches!(packet.header.mode, Mode::Client | Mode::SymmetricActive) {
            return Err(Refusal::Mode(packet.header.mode));
        }
        let version = packet.header.version;
        let mac = match packet.mac {
            None => None,
            Some(mac) => {
                let key = self.keys.key(mac.key_id).ok_or(Refusal::Mac(MacError::Key { id: mac.key_id }))?;
                if !key.verify(packet.covered, version, mac.digest) {
                    return Err(Refusal::Mac(MacError::Digest));
                }
                Some((mac.key_id, key))
            }
        };
        let head = snapshot.header(&packet.header, received.at, transmit, manner).to_bytes();
        let fields = match packet.extensions.as_bytes() {
            [] => Fields::default(),
            _ => Fields::of(self.corrects, &packet, snapshot, received, transmit, manner),
        };
        let digest = mac.map(|(id, key)| match &fields[..] {
            [] => (id, key.digest(&head, version)),
            fields => (id, key.digest(&[&head[..], fields].concat(), version)),
        });
        let mut length = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = out.get_mut(length..length + bytes.len()) {
                place.copy_from_slice(bytes);
                length += bytes.len();
            }
        };
        put(&head);
        put(&fields);
        if let Some((id, digest)) = &digest {
            put(&id.to_be_bytes());
            put(digest);
        }
        debug_assert!(length <= request.len(), "a reply is never longer than its request");
        Ok((length, digest.is_some()))
    }
}

/// The fields of a reply.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    bytes: [u8; FIELDS_BYTES_MAX],
    length: usize,
}

impl Default for Fields {
    fn default() -> Self {
        Self { bytes: [0; FIELDS_BYTES_MAX], length: 0 }
    }
}

impl Fields {
    /// Those that a request with fields is answered with: each that it has and that is known, in the form that it has. None is longer
    /// than the request's, and of each kind there is one.
    pub(crate) fn of(
        corrects: bool,
        packet: &Packet<'_>,
        snapshot: &ServerSnapshot,
        received: Arrived<NtpTimestamp>,
        transmit: NtpTimestamp,
        manner: Manner,
    ) -> Self {
        let mut fields = Self::default();
        if matches!(manner, Manner::Kiss(_)) {
            return fields;
        }
        if let Some(asked) = CorrectionField::find(packet.extensions).filter(|_| corrects) {
            let seconds = received.transit.map_or(0.0, Transit::told);
            fields.put(&CorrectionField { seconds, ..asked }.to_bytes());
        }
        if RootField::find(packet.extensions).is_some() {
            fields.put(&snapshot.root_field(received.at, transmit).to_bytes());
        }
        fields
    }

    fn put(&mut self, field: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + field.len()) {
            place.copy_from_slice(field);
            self.length += field.len();
        }
    }
}

impl std::ops::Deref for Fields {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The server's receive timestamp that a request in interleaved mode brings back: the reply may tell when the one that had it left. None
/// for a request in basic mode (RFC 9769 section 2: its origin is not the receive timestamp of a reply, or receive and transmit
/// timestamp are equal), and for what is no request.
pub fn interleaved_origin(request: &[u8]) -> Option<NtpTimestamp> {
    let header = Header::from_bytes(request.first_chunk::<HEADER_BYTES>()?);
    let asks = matches!(header.mode, Mode::Client | Mode::SymmetricActive)
        && !header.origin.is_unknown()
        && header.receive != header.transmit;
    asks.then_some(header.origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Subnet;
    use crate::client::{Client, ClientConfig};
    use crate::keys::{Key, KeyType};
    use std::time::Duration;

    const WALL: i64 = 1_800_000_000_000_000_000;

    fn server() -> Server {
        let mut access = AccessList::new();
        access.set(Subnet::new([127, 0, 0, 0].into(), 8).expect("8 bits fit"), true, false);
        let mut keys = Keys::new();
        for (id, kind) in [(1, KeyType::Md5), (2, KeyType::Sha512)] {
            keys.insert(id, Key::new(kind, b"secret".to_vec()).expect("any length fits"));
        }
        Server::new(access, keys)
    }

    fn snapshot() -> ServerSnapshot {
        ServerSnapshot {
            leap: Leap::Normal,
            stratum: 3,
            precision: -25,
            root_delay: 0.01,
            root_dispersion: 0.001,
            dispersion_rate: 1e-6,
            reference_id: ReferenceId([1, 2, 3, 4]),
            reference: NtpTimestamp::from_unix_nanos(WALL - 100_000_000_000),
            monotonic: None,
        }
    }

    /// Goal: client and server of this crate agree, with and without keys, in every version, and no reply is longer than
    /// its request.
    #[test]
    fn client_and_server_agree() {
        for version in [1, 2, 3, 4] {
            for key_id in [None, Some((1, KeyType::Md5)), Some((2, KeyType::Sha512))] {
                let key = key_id
                    .map(|(id, kind)| (id, Key::new(kind, b"secret".to_vec()).expect("any length fits")));
                let config = ClientConfig { version, key, ..ClientConfig::default() };
                let mut client = Client::new(config, Duration::ZERO);
                let request = client.request(Duration::ZERO, [1, 1], WALL);
                let at = NtpTimestamp::from_unix_nanos(WALL + 2_000_000);
                let mut server = server();
                let reply = server
                    .respond(&request, [127, 0, 0, 1].into(), at, at, &snapshot())
                    .expect("the request is good");
                assert!(reply.len() <= request.len());
                let measurement =
                    client.receive(Duration::ZERO, &reply, WALL + 4_000_000).expect("the reply is good");
                assert!((measurement.offset).abs() < 1e-8);
                assert_eq!(measurement.authenticated, key_id.is_some());
                let dispersion = measurement.header.root_dispersion.seconds();
                assert!((dispersion - 0.0011).abs() < 2e-5, "it grows with age: {dispersion}");
            }
        }
    }

    /// Goal: what is broadcast is the server's time, and answers nobody.
    #[test]
    fn broadcasts_tell_the_time() {
        let at = NtpTimestamp::from_unix_nanos(WALL);
        let header = Header::from_bytes(&broadcast_packet(&snapshot(), 6, at));
        assert_eq!((header.mode, header.version, header.poll, header.stratum), (Mode::Broadcast, 4, 6, 3));
        assert_eq!((header.transmit, header.precision), (at, -25));
        assert!(header.origin.is_unknown() && header.receive.is_unknown());
        let silent = broadcast_packet(&ServerSnapshot::unsynchronised(-20), 6, at);
        assert_eq!(Header::from_bytes(&silent).leap, Leap::Unsynchronised);
    }

    /// Goal: field F323 is answered with itself, finer root times and how the clock was moved, with a key and without; an unknown field
    /// is not, and no reply is longer than its request.
    #[test]
    fn a_field_is_answered_with_itself() {
        let at = NtpTimestamp::from_unix_nanos(WALL);
        for key_id in [None, Some((1, KeyType::Md5)), Some((2, KeyType::Sha512))] {
            let key =
                key_id.map(|(id, kind)| (id, Key::new(kind, b"secret".to_vec()).expect("any length fits")));
            let config = ClientConfig { key, root_field: true, ..ClientConfig::default() };
            let mut client = Client::new(config, Duration::ZERO);
            let request = client.request(Duration::ZERO, [1, 1], WALL - 1_000_000);
            let mut server = server();
            let from = [127, 0, 0, 1].into();
            let reply = server.respond(&request, from, at, at, &snapshot()).expect("the request is good");
            assert_eq!(reply.len(), request.len());
            assert_eq!(server.counters().authenticated, u64::from(key_id.is_some()));
            let measured =
                client.receive(Duration::ZERO, &reply, WALL + 1_000_000).expect("the reply is good");
            assert!((measured.root_delay - 0.01).abs() < 1e-8, "{measured:?}");
            assert!((measured.root_dispersion - 0.0011).abs() < 1e-8, "{measured:?}");
            assert_eq!((measured.source_moved, measured.authenticated), (0.0, key_id.is_some()));
            // The clock is moved by half a second, and said to be: the clock that was not is so much behind.
            for (ahead, epoch, expected) in [(0.25, 7, 0.0), (-0.25, 7, 0.5), (-0.5, 8, 0.0)] {
                let moved = ServerSnapshot { monotonic: Some(Monotonic { ahead, epoch }), ..snapshot() };
                let at = at.plus(0.25 - ahead);
                let request = client.request(Duration::ZERO, [1, 1], WALL - 1_000_000);
                let reply = server.respond(&request, from, at, at, &moved).expect("the request is good");
                let measured =
                    client.receive(Duration::ZERO, &reply, WALL + 1_000_000).expect("the reply is good");
                assert!((measured.source_moved - expected).abs() < 1e-6, "{measured:?}");
            }
            if key_id.is_none() {
                let mut other = request.clone();
                other[49] ^= 1;
                let reply = server.respond(&other, from, at, at, &snapshot()).expect("the request is good");
                assert_eq!(reply.len(), HEADER_BYTES);
            }
        }
    }

    /// Goal: who may not ask, or asks wrongly, gets nothing and is counted.
    #[test]
    fn refusals_are_silent_and_counted() {
        let mut client = Client::new(ClientConfig::default(), Duration::ZERO);
        let request = client.request(Duration::ZERO, [1, 1], WALL);
        let mut server = server();
        let at = NtpTimestamp::from_unix_nanos(WALL);
        let mut check = |bytes: &[u8], from: [u8; 4], expected: Refusal| {
            let found = server.respond(bytes, from.into(), at, at, &snapshot());
            assert_eq!(found.err(), Some(expected));
        };
        check(&request, [192, 0, 2, 1], Refusal::Access);
        check(&request[..47], [127, 0, 0, 1], Refusal::Packet(PacketError::Short { length: 47 }));
        let mut wrong = request.clone();
        wrong[0] = 0x24;
        check(&wrong, [127, 0, 0, 1], Refusal::Mode(Mode::Server));
        let keyed = [request.as_slice(), &[0, 0, 0, 9], &[0; 16]].concat();
        check(&keyed, [127, 0, 0, 1], Refusal::Mac(MacError::Key { id: 9 }));
        let keyed = [request.as_slice(), &[0, 0, 0, 1], &[0; 16]].concat();
        check(&keyed, [127, 0, 0, 1], Refusal::Mac(MacError::Digest));
        let counters = server.counters();
        assert_eq!((counters.received, counters.denied, counters.malformed, counters.answered), (5, 1, 4, 0));
    }
}
