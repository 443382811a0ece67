//! The client machine: when to ask, what to send, and which replies count (RFC 5905 sections 8, 9 and 13).
//!
//! A request holds nothing but version, mode, poll and a random number where the transmit timestamp stands (the client's
//! real time stays here), so that nobody off the path can make a reply and nobody on it learns our clock. A symmetric association
//! is the same machine with packets that tell both sides' time (`symmetric.rs`).

mod reply;
mod schedule;
mod symmetric;

pub use reply::{Measurement, ReplyError};
pub use symmetric::LocalScale;

use crate::correction::{Arrived, CorrectionField, CorrectionForm, Transit, Way};
use crate::experimental::RootField;
use crate::keys::Key;
use crate::kiss::KissCode;
use crate::packet::{HEADER_BYTES, Header, Leap, Mode, Packet, ReferenceId, STRATUM_MAX, VERSION};
use crate::timestamp::{NtpShort, NtpTimestamp};
use schedule::{BURST_INTERVAL, BURST_REQUESTS_MAX};
use std::time::Duration;

/// Good replies after which an initial burst ends (`chrony.conf(5)`, iburst: "4-8 requests").
const BURST_GOOD: u8 = 4;
/// The shortest and longest poll exponents that this machine counts with, log2 s.
const POLL_RANGE: std::ops::RangeInclusive<i8> = -7..=24;
/// A root distance from here on is no time at all, in seconds (RFC 5905 MAXDISP).
const ROOT_DISTANCE_MAX: f64 = 16.0;
/// Missed replies after which the poll interval grows: the reach register is empty.
const MISSES_BEFORE_BACKOFF: u32 = 8;
/// Useless answers in a row that do not count as missed: whoever answers and has no time yet is about to have it.
const USELESS_MAX: u32 = 24;

/// How to ask one server.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// NTP version of the requests, 1 to 4.
    pub version: u8,
    /// The key that requests carry and replies must carry.
    pub key: Option<(u32, Key)>,
    /// Shortest poll, log2 s.
    pub poll_min: i8,
    /// Longest poll, log2 s.
    pub poll_max: i8,
    /// Open with a burst, and again when the server is reachable again.
    pub initial_burst: bool,
    /// A round trip from here on is refused, in seconds.
    pub delay_max: f64,
    /// Added to each measured offset, in seconds (`chrony.conf(5)`, source option `offset`).
    pub offset_correction: f64,
    /// Precision of the local clock, log2 s.
    pub precision: i8,
    /// Ask for the interleaved mode (RFC 9769): each reply tells when the one before it really left.
    pub interleaved: bool,
    /// chrony's extension field F323 in requests: root delay and dispersion in finer steps, and how the server's clock was moved.
    pub root_field: bool,
    /// The Network Correction field in requests: what transparent clocks on the way out have added up.
    pub correction_field: Option<CorrectionForm>,
    /// How fast the local clock is made to gain for now (a slew), s/s: its round trips are longer by that than those of the clocks
    /// on the way.
    pub slew_rate: f64,
    /// A symmetric association (RFC 5905 section 3, modes 1 and 2): both sides tell each other their time.
    pub symmetric: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            version: 4,
            key: None,
            poll_min: 6,
            poll_max: 10,
            initial_burst: false,
            delay_max: 3.0,
            offset_correction: 0.0,
            precision: -24,
            interleaved: false,
            root_field: false,
            correction_field: None,
            slew_rate: 0.0,
            symmetric: false,
        }
    }
}

/// One association with one server or peer. Times are a monotonic clock's, from any origin.
#[derive(Debug, Clone)]
pub struct Client {
    config: ClientConfig,
    poll: i8,
    /// What a RATE kiss asked for: the poll does not go below it.
    poll_floor: i8,
    next: Option<Duration>,
    online: bool,
    dismissed: Option<KissCode>,
    burst_requests: u8,
    burst_good: u8,
    /// A reply that took longer does not end the burst, in seconds.
    burst_delay_max: f64,
    pending: Option<Pending>,
    previous: Option<Previous>,
    last_reply: NtpTimestamp,
    reach: u8,
    misses: u32,
    /// Answers in a row from a server that follows nothing good enough.
    useless: u32,
    own_id: Option<ReferenceId>,
    sent_count: u64,
    good_count: u64,
    /// The poll grew because nobody answered.
    backed_off: bool,
    /// The last round trip, in seconds; none while the server is not reachable.
    round_trip: Option<f64>,
    /// The server's field F323 in the last good reply, and that reply's receive timestamp.
    last_root: Option<(RootField, NtpTimestamp)>,
    /// By how much the server moved its clock since the last measurement, in seconds.
    moved: f64,
    /// Of a symmetric association: what both sides told last.
    peering: symmetric::Peering,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    nonce: NtpTimestamp,
    /// What stands where the receive timestamp does, in a request for an interleaved reply, which brings it back.
    receive: NtpTimestamp,
    sent_wall: i64,
    sent_at: Duration,
}

/// The last good exchange: what an interleaved reply completes.
#[derive(Debug, Clone, Copy)]
struct Previous {
    sent_wall: i64,
    server_receive: NtpTimestamp,
    received_wall: i64,
    /// What the network did to the request and to the reply.
    way: Way,
    /// The reply itself was in basic mode, so it was measured by what it said.
    measured: bool,
}

impl Client {
    /// An association that asks for the first time at `first`.
    pub fn new(config: ClientConfig, first: Duration) -> Self {
        let mut client = Self {
            poll: config.poll_min,
            poll_floor: *POLL_RANGE.start(),
            next: Some(first),
            online: true,
            dismissed: None,
            burst_requests: 0,
            burst_good: 0,
            burst_delay_max: f64::INFINITY,
            pending: None,
            previous: None,
            last_reply: NtpTimestamp::UNKNOWN,
            reach: 0,
            misses: 0,
            useless: 0,
            own_id: None,
            sent_count: 0,
            good_count: 0,
            backed_off: false,
            round_trip: None,
            last_root: None,
            moved: 0.0,
            peering: symmetric::Peering::default(),
            config,
        };
        // chrony.conf(5), peer: bursts are not for symmetric associations.
        client.config.initial_burst &= !client.config.symmetric;
        if client.config.initial_burst {
            client.begin_burst(BURST_GOOD, BURST_REQUESTS_MAX);
        }
        client
    }

    /// The NTP version of its requests.
    pub fn version(&self) -> u8 {
        self.config.version
    }

    /// When the next request is due; none while offline or dismissed.
    pub fn deadline(&self) -> Option<Duration> {
        self.next
    }

    /// The request to send at `now`: its bytes, and the schedule moved on. `random` must be unpredictable; `wall` is the local
    /// clock in nanoseconds since the Unix epoch, replaced by the kernel's transmit stamp in [`Self::sent`] if one comes.
    pub fn request(&mut self, now: Duration, random: [u64; 2], wall: i64) -> Vec<u8> {
        self.count_request();
        let nonce = NtpTimestamp(random[0].max(1));
        let origin =
            self.previous.filter(|_| self.config.interleaved).map(|previous| previous.server_receive);
        let receive = match origin {
            // RFC 9769 section 2: it must not be equal to the transmit timestamp. It is brought back, so it is as random.
            Some(_) => NtpTimestamp(random[1].max(1)),
            None => NtpTimestamp::UNKNOWN,
        };
        let receive = if receive == nonce { NtpTimestamp(nonce.0 ^ 1 << 63 | 1) } else { receive };
        self.pending = Some(Pending { nonce, receive, sent_wall: wall, sent_at: now });
        if self.burst_requests > 0 {
            self.burst_requests -= 1;
        }
        self.schedule(now, random[1]);
        let header = Header {
            leap: Leap::Normal,
            version: self.config.version,
            mode: Mode::Client,
            stratum: 0,
            poll: self.poll,
            precision: 32, // says nothing of this host (RFC 8915 section 9.1 and its data minimisation)
            root_delay: NtpShort(0),
            root_dispersion: NtpShort(0),
            reference_id: ReferenceId::default(),
            reference: NtpTimestamp::UNKNOWN,
            origin: origin.unwrap_or(NtpTimestamp::UNKNOWN),
            receive,
            transmit: nonce,
        };
        self.sealed(&header, RootField::default(), None)
    }

    fn count_request(&mut self) {
        self.reach <<= 1;
        if self.reach == 0 {
            self.round_trip = None;
        }
        self.sent_count += 1;
        self.misses = self.misses.saturating_add(1);
        if self.misses > MISSES_BEFORE_BACKOFF && self.burst_requests == 0 && self.poll < self.config.poll_max
        {
            self.poll += 1;
            self.backed_off = true;
            self.misses = 1;
        }
    }

    /// The packet's bytes, with `root` and what is told of the `transit` of the packet that it answers where that is wanted, and with
    /// the code that the key makes.
    fn sealed(&self, header: &Header, root: RootField, transit: Option<Transit>) -> Vec<u8> {
        let mut bytes = header.to_bytes().to_vec();
        if let Some(form) = self.config.correction_field.filter(|_| header.version == VERSION) {
            let seconds = transit.map_or(0.0, Transit::told);
            bytes.extend_from_slice(&CorrectionField { form, seconds }.to_bytes());
        }
        if self.config.root_field && header.version == VERSION {
            bytes.extend_from_slice(&root.to_bytes());
        }
        if let Some((id, key)) = &self.config.key {
            let digest = key.digest(&bytes, self.config.version);
            bytes.extend(id.to_be_bytes());
            bytes.extend_from_slice(&digest);
        }
        bytes
    }

    /// The moment the last request really left, nanoseconds since the Unix epoch.
    pub fn sent(&mut self, wall: i64) {
        if let Some(pending) = &mut self.pending {
            pending.sent_wall = wall;
        }
        self.peering.sent(wall);
    }

    /// A datagram that came from the server's address: what it measures, or why it does not count. `arrived` is the local
    /// clock at its arrival, nanoseconds since the Unix epoch.
    pub fn receive(
        &mut self,
        now: Duration,
        bytes: &[u8],
        arrived: impl Into<Arrived<i64>>,
    ) -> Result<Measurement, ReplyError> {
        let Arrived { at: wall, transit } = arrived.into();
        let packet = Packet::parse(bytes).map_err(ReplyError::Packet)?;
        let header = packet.header;
        if header.mode != Mode::Server {
            return Err(ReplyError::Mode(header.mode));
        }
        let Some(pending) = self.pending else {
            let duplicate = !self.last_reply.is_unknown() && header.origin == self.last_reply;
            return Err(if duplicate { ReplyError::Duplicate } else { ReplyError::Unexpected });
        };
        let interleaved = !pending.receive.is_unknown() && header.origin == pending.receive;
        if header.origin != pending.nonce && !interleaved {
            return Err(ReplyError::Bogus);
        }
        let authenticated = self.authenticate(&packet).map_err(ReplyError::Mac)?;
        // From here on the packet is an answer to our request, and the only one that counts.
        self.pending = None;
        self.last_reply = header.origin;
        let root = RootField::find(packet.extensions).filter(|_| self.config.root_field);
        let state = self.check_state(now, &header);
        if state.as_ref().is_err_and(ReplyError::uses_up_the_request) && self.useless < USELESS_MAX {
            self.useless += 1;
            self.misses = 0;
        }
        state?;
        let moved = self.source_moved(root, &header);
        let way = self.way(&packet, transit);
        let before = self.previous.take();
        if self.config.interleaved && !header.receive.is_unknown() {
            self.previous = Some(Previous {
                sent_wall: pending.sent_wall,
                server_receive: header.receive,
                received_wall: wall,
                way,
                measured: !interleaved,
            });
        }
        let measurement = match before.filter(|_| interleaved) {
            Some(before) if before.measured => Err(ReplyError::Measured),
            Some(before) => self.measure_before(&header, &before, moved, authenticated),
            None if interleaved => Err(ReplyError::Timestamps),
            None => self.measure(&header, &header, (pending.sent_wall, wall), way, authenticated),
        };
        if !matches!(measurement, Ok(_) | Err(ReplyError::Measured)) {
            return measurement;
        }
        let measurement = self.with_root(measurement, root, &header, moved);
        let was_unreachable = self.reach == 0;
        let interval_before = self.interval();
        self.count_reply(measurement.as_ref().ok());
        if was_unreachable && self.burst_requests == 0 && self.config.initial_burst && self.online {
            // The opening burst found nobody: it is made up for now.
            self.begin_burst(BURST_GOOD - 1, BURST_REQUESTS_MAX - 1);
            self.next = Some(pending.sent_at + BURST_INTERVAL);
        } else if self.burst_good > 0 {
            let slow = measurement.as_ref().is_ok_and(|one| one.delay > self.burst_delay_max);
            self.burst_good -= u8::from(!slow);
            if self.burst_good == 0 {
                self.burst_requests = 0;
                self.next = self.online.then(|| pending.sent_at + self.interval());
            }
        } else if self.interval() < interval_before && self.online {
            // The next request was due in a second, before the path was known.
            self.next = Some(pending.sent_at + self.interval());
        }
        measurement
    }

    /// What the packet says of the sender's clock is good for something (RFC 5905 section 13, tests 6 and 7), and it is not ours.
    fn check_state(&mut self, now: Duration, header: &Header) -> Result<(), ReplyError> {
        if header.stratum == 0 && header.leap == Leap::Unsynchronised && header.reference_id.0 != [0; 4] {
            let code = KissCode::from_reference_id(header.reference_id);
            self.kissed(now, code, header.poll);
            return Err(ReplyError::Kiss(code));
        }
        if !is_synchronised(header) {
            return Err(ReplyError::Unsynchronised { stratum: header.stratum });
        }
        let root_distance = header.root_delay.seconds() / 2.0 + header.root_dispersion.seconds();
        if root_distance >= ROOT_DISTANCE_MAX {
            return Err(ReplyError::RootDistance(root_distance));
        }
        if header.stratum > 1 && self.own_id == Some(header.reference_id) {
            return Err(ReplyError::Loop);
        }
        Ok(())
    }

    fn count_reply(&mut self, measurement: Option<&Measurement>) {
        if let Some(measurement) = measurement {
            self.round_trip = Some(measurement.delay);
        }
        self.reach |= 1;
        (self.misses, self.useless) = (0, 0);
        self.good_count += 1;
    }

    /// The reference id under which the server would follow this host.
    pub fn set_own_id(&mut self, id: Option<ReferenceId>) {
        self.own_id = id;
    }

    /// Another key from the next request on. The last request was made under the old one: its reply does not count.
    pub fn set_key(&mut self, key: Option<(u32, Key)>) {
        self.config.key = key;
        self.forget_pending();
    }

    /// The last request is answered or given up; a reply that comes now does not count.
    pub fn forget_pending(&mut self) {
        self.pending = None;
        (self.last_root, self.moved) = (None, 0.0);
        // Its times may be another clock's: the next exchange is in basic mode.
        self.previous = None;
        self.peering = symmetric::Peering::default();
    }

    /// Poll exponent in force, log2 s.
    pub fn poll(&self) -> i8 {
        self.poll
    }

    /// The reach register: one bit for each of the last eight requests, the youngest lowest; 1 means a good reply.
    pub fn reach(&self) -> u8 {
        self.reach
    }

    /// Asks are made.
    pub fn is_online(&self) -> bool {
        self.online
    }

    /// The kiss that ended the association.
    pub fn dismissed(&self) -> Option<KissCode> {
        self.dismissed
    }

    /// In a burst.
    pub fn in_burst(&self) -> bool {
        self.burst_requests > 0
    }

    /// Requests sent and good replies received.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent_count, self.good_count)
    }

    /// Limits that change while it runs (`chronyc minpoll`, `maxdelay`, `offset`).
    pub fn config_mut(&mut self) -> &mut ClientConfig {
        &mut self.config
    }

    /// The fate of the last eight requests before a restart.
    pub fn resume(&mut self, reach: u8) {
        self.reach = reach;
    }

    /// The configuration.
    pub fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// The longest request of this association, in bytes.
    pub fn request_bytes_max() -> usize {
        HEADER_BYTES
            + crate::correction::CORRECTION_FIELD_BYTES
            + crate::experimental::FIELD_BYTES
            + 4
            + crate::keys::MAC_BYTES_MAX
    }
}

/// RFC 5905 section 13, test 6.
fn is_synchronised(header: &Header) -> bool {
    header.leap != Leap::Unsynchronised && (1..STRATUM_MAX).contains(&header.stratum)
}

#[cfg(test)]
mod tests;
