//! The client machine: when to ask, what to send, and which replies count (RFC 5905 sections 8, 9 and 13).
//!
//! A request holds nothing but version, mode, poll and a random number where the transmit timestamp stands (the client's
//! real time stays here), so that nobody off the path can make a reply and nobody on it learns our clock.

use crate::keys::{Key, MacError};
use crate::kiss::KissCode;
use crate::packet::{HEADER_BYTES, Header, Leap, Mode, Packet, PacketError, ReferenceId, STRATUM_MAX};
use crate::timestamp::{NtpShort, NtpTimestamp};
use std::time::Duration;

/// Requests of an initial burst or one asked for, at most: what the reach register holds.
const BURST_REQUESTS_MAX: u8 = 8;
/// Good replies after which an initial burst ends (`chrony.conf(5)`, iburst: "4-8 requests").
const BURST_GOOD: u8 = 4;
/// Between the requests of a burst (`chrony.conf(5)`: "2 seconds").
const BURST_INTERVAL: Duration = Duration::from_secs(2);
/// Until the next try after a request that could not be sent.
const UNSENT_INTERVAL: Duration = Duration::from_secs(2);
/// The longest poll that a RATE kiss can push us to, log2 s: 36 hours (RFC 5905 MAXPOLL).
const KISS_POLL_MAX: i8 = 17;
/// Intervals until the next request after a RATE kiss that cannot make the interval longer.
const KISS_INTERVALS: u32 = 5;
/// The shortest and longest poll exponents that this machine counts with, log2 s.
const POLL_RANGE: std::ops::RangeInclusive<i8> = -7..=24;
/// A root distance from here on is no time at all, in seconds (RFC 5905 MAXDISP).
const ROOT_DISTANCE_MAX: f64 = 16.0;
/// How fast a clock's error may grow between synchronisations, s/s (RFC 5905 PHI).
const FREQUENCY_TOLERANCE: f64 = 15e-6;
/// A poll shorter than a second is for servers in the local network: the round trip is below this, in seconds
/// (`chrony.conf(5)`, minpoll: "shorter than 10 milliseconds").
const SUBSECOND_DELAY_MAX: f64 = 0.01;
/// Missed replies after which the poll interval grows: the reach register is empty.
const MISSES_BEFORE_BACKOFF: u32 = 8;

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
        }
    }
}

/// What one good exchange says.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// True time minus local time, in seconds: positive when the local clock is slow.
    pub offset: f64,
    /// Round trip without the server's own time, in seconds; at least the local precision.
    pub delay: f64,
    /// What reading both clocks may have cost, in seconds.
    pub dispersion: f64,
    /// The local clock when the request left, nanoseconds since the Unix epoch.
    pub sent: i64,
    /// The local clock when the reply came.
    pub received: i64,
    /// How long the server held the request, in seconds.
    pub server_time: f64,
    /// The reply's header.
    pub header: Header,
    /// The reply carried a code that was verified.
    pub authenticated: bool,
    /// Of the exchange before the one that the reply ended (interleaved mode).
    pub interleaved: bool,
}

/// Why a reply does not count. None of them ends anything but that reply, except a kiss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReplyError {
    /// No NTP packet.
    Packet(PacketError),
    /// Not a server's reply.
    Mode(Mode),
    /// We wait for none.
    Unexpected,
    /// It answers a request that we did not send (RFC 5905 section 8, test 2: bogus).
    Bogus,
    /// It came already (test 1: duplicate).
    Duplicate,
    /// Its authentication failed (test 5).
    Mac(MacError),
    /// The server asks us to change our ways.
    Kiss(KissCode),
    /// The server follows nothing (test 6).
    Unsynchronised {
        /// Its stratum.
        stratum: u8,
    },
    /// The server's root distance, in seconds, is beyond use (test 7).
    RootDistance(f64),
    /// The server follows us.
    Loop,
    /// The timestamps contradict each other (test 3).
    Timestamps,
    /// The round trip took this many seconds.
    Delay(f64),
    /// In interleaved mode: it tells of an exchange that was measured already.
    Measured,
}

impl std::fmt::Display for ReplyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Packet(error) => error.fmt(formatter),
            Self::Mode(mode) => write!(formatter, "mode {mode:?} is no reply"),
            Self::Unexpected => write!(formatter, "no reply is expected"),
            Self::Bogus => write!(formatter, "it answers no request of ours"),
            Self::Duplicate => write!(formatter, "it came before"),
            Self::Mac(MacError::Missing) => write!(formatter, "it is not authenticated"),
            Self::Mac(MacError::Key { id }) => write!(formatter, "it is authenticated with key {id}"),
            Self::Mac(MacError::Digest) => write!(formatter, "its authentication is wrong"),
            Self::Kiss(code) => write!(formatter, "kiss code {code}"),
            Self::Unsynchronised { stratum } => {
                write!(formatter, "the server is unsynchronised (stratum {stratum})")
            }
            Self::RootDistance(distance) => write!(formatter, "the root distance is {distance:.3} s"),
            Self::Loop => write!(formatter, "the server follows this host"),
            Self::Timestamps => write!(formatter, "its timestamps contradict each other"),
            Self::Delay(delay) => write!(formatter, "the round trip took {delay:.3} s"),
            Self::Measured => write!(formatter, "the exchange that it tells of was measured already"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// One association with one server. Times are a monotonic clock's, from any origin.
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
    pending: Option<Pending>,
    previous: Option<Previous>,
    last_reply: NtpTimestamp,
    reach: u8,
    misses: u32,
    own_id: Option<ReferenceId>,
    sent_count: u64,
    good_count: u64,
    /// The poll grew because nobody answered.
    backed_off: bool,
    /// The last round trip, in seconds; none while the server is not reachable.
    round_trip: Option<f64>,
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
            pending: None,
            previous: None,
            last_reply: NtpTimestamp::UNKNOWN,
            reach: 0,
            misses: 0,
            own_id: None,
            sent_count: 0,
            good_count: 0,
            backed_off: false,
            round_trip: None,
            config,
        };
        if client.config.initial_burst {
            client.begin_burst(BURST_GOOD, BURST_REQUESTS_MAX);
        }
        client
    }

    /// When the next request is due; none while offline or dismissed.
    pub fn deadline(&self) -> Option<Duration> {
        self.next
    }

    /// The request to send at `now`: its bytes, and the schedule moved on. `random` must be unpredictable; `wall` is the local
    /// clock in nanoseconds since the Unix epoch, replaced by the kernel's transmit stamp in [`Self::sent`] if one comes.
    pub fn request(&mut self, now: Duration, random: [u64; 2], wall: i64) -> Vec<u8> {
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
        let mut bytes = header.to_bytes().to_vec();
        if let Some((id, key)) = &self.config.key {
            let digest = key.digest(&bytes, self.config.version);
            bytes.extend(id.to_be_bytes());
            bytes.extend_from_slice(&digest);
        }
        bytes
    }

    /// The last request did not leave this host (no route, no network yet): it counts as missed, but not against a burst, and
    /// the next try comes soon, since it costs nobody anything.
    pub fn unsent(&mut self, now: Duration) {
        self.pending = None;
        if self.burst_good > 0 {
            self.burst_requests = (self.burst_requests + 1).min(BURST_REQUESTS_MAX);
        }
        self.poll = self.poll.min(self.config.poll_min).max(self.poll_floor);
        let soon = UNSENT_INTERVAL.min(self.interval());
        self.next = (self.online && self.dismissed.is_none()).then(|| now + soon);
    }

    /// The moment the last request really left, nanoseconds since the Unix epoch.
    pub fn sent(&mut self, wall: i64) {
        if let Some(pending) = &mut self.pending {
            pending.sent_wall = wall;
        }
    }

    /// A datagram that came from the server's address: what it measures, or why it does not count. `wall` is the local
    /// clock at its arrival, nanoseconds since the Unix epoch.
    pub fn receive(&mut self, now: Duration, bytes: &[u8], wall: i64) -> Result<Measurement, ReplyError> {
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
        if header.stratum == 0 && header.leap == Leap::Unsynchronised && header.reference_id.0 != [0; 4] {
            let code = KissCode::from_reference_id(header.reference_id);
            self.kissed(now, code, header.poll);
            return Err(ReplyError::Kiss(code));
        }
        if header.leap == Leap::Unsynchronised || header.stratum == 0 || header.stratum >= STRATUM_MAX {
            return Err(ReplyError::Unsynchronised { stratum: header.stratum });
        }
        let root_distance = header.root_delay.seconds() / 2.0 + header.root_dispersion.seconds();
        if root_distance >= ROOT_DISTANCE_MAX {
            return Err(ReplyError::RootDistance(root_distance));
        }
        if header.stratum > 1 && self.own_id == Some(header.reference_id) {
            return Err(ReplyError::Loop);
        }
        let before = self.previous.take();
        if self.config.interleaved && !header.receive.is_unknown() {
            self.previous = Some(Previous {
                sent_wall: pending.sent_wall,
                server_receive: header.receive,
                received_wall: wall,
                measured: !interleaved,
            });
        }
        let measurement = match before.filter(|_| interleaved) {
            Some(before) if before.measured => Err(ReplyError::Measured),
            Some(before) => self.measure_before(&header, &before, authenticated),
            None if interleaved => Err(ReplyError::Timestamps),
            None => self.measure(&header, &header, (pending.sent_wall, wall), authenticated),
        };
        let measurement = match measurement {
            Err(ReplyError::Measured) => Err(ReplyError::Measured),
            other => Ok(other?),
        };
        let was_unreachable = self.reach == 0;
        let interval_before = self.interval();
        if let Ok(measurement) = &measurement {
            self.round_trip = Some(measurement.delay);
        }
        self.reach |= 1;
        self.misses = 0;
        self.good_count += 1;
        if was_unreachable && self.burst_requests == 0 && self.config.initial_burst && self.online {
            // The opening burst found nobody: it is made up for now.
            self.begin_burst(BURST_GOOD - 1, BURST_REQUESTS_MAX - 1);
            self.next = Some(pending.sent_at + BURST_INTERVAL);
        } else if self.burst_good > 0 {
            self.burst_good -= 1;
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

    /// What the exchange before this one measures, now that the server has told when its reply left.
    fn measure_before(
        &self,
        header: &Header,
        before: &Previous,
        authenticated: bool,
    ) -> Result<Measurement, ReplyError> {
        // It left after the request had come and before this one came.
        let held = header.transmit.since(before.server_receive);
        if held < 0.0 || header.receive.since(header.transmit) < 0.0 {
            return Err(ReplyError::Timestamps);
        }
        let times = Header { receive: before.server_receive, ..*header };
        let measured =
            self.measure(&times, header, (before.sent_wall, before.received_wall), authenticated)?;
        Ok(Measurement { interleaved: true, ..measured })
    }

    fn authenticate(&self, packet: &Packet<'_>) -> Result<bool, MacError> {
        let Some((id, key)) = &self.config.key else { return Ok(false) };
        let mac = packet.mac.ok_or(MacError::Missing)?;
        if mac.key_id != *id {
            return Err(MacError::Key { id: mac.key_id });
        }
        match key.verify(packet.covered, packet.header.version, mac.digest) {
            true => Ok(true),
            false => Err(MacError::Digest),
        }
    }

    /// `header` has the server's timestamps, `last` is the header of the reply; `walls` are the local clock at the request and at
    /// the reply.
    fn measure(
        &self,
        header: &Header,
        last: &Header,
        walls: (i64, i64),
        authenticated: bool,
    ) -> Result<Measurement, ReplyError> {
        let (sent_wall, wall) = walls;
        if header.receive.is_unknown() || header.transmit.is_unknown() {
            return Err(ReplyError::Timestamps);
        }
        let (sent, received) =
            (NtpTimestamp::from_unix_nanos(sent_wall), NtpTimestamp::from_unix_nanos(wall));
        // RFC 5905 section 8: theta and delta.
        let outward = header.receive.since(sent);
        let homeward = header.transmit.since(received);
        let server_time = header.transmit.since(header.receive);
        let round_trip = received.since(sent);
        if server_time < 0.0 || round_trip < 0.0 {
            return Err(ReplyError::Timestamps);
        }
        let precision = (-f64::from(-self.config.precision)).exp2();
        let delay = (round_trip - server_time).max(precision);
        if delay > self.config.delay_max {
            return Err(ReplyError::Delay(delay));
        }
        let server_precision = f64::from(header.precision.clamp(-32, 0)).exp2();
        let eras = header.receive.eras_from(sent_wall) as f64 * 4_294_967_296.0;
        Ok(Measurement {
            offset: (outward + homeward) / 2.0 + eras + self.config.offset_correction,
            delay,
            dispersion: precision + server_precision + FREQUENCY_TOLERANCE * round_trip,
            sent: sent_wall,
            received: wall,
            server_time,
            header: *last,
            authenticated,
            interleaved: false,
        })
    }

    fn kissed(&mut self, now: Duration, code: KissCode, poll: i8) {
        (self.burst_requests, self.burst_good) = (0, 0);
        if code == KissCode::Rate {
            // RFC 5905 section 7.4: "MUST immediately reduce its polling interval to that server".
            let most = self.config.poll_max.max(self.poll).min(KISS_POLL_MAX);
            let wanted = (self.poll + 1).max(poll).min(most);
            let longer = wanted > self.poll;
            self.poll_floor = self.poll_floor.max(wanted);
            self.poll = self.poll.max(self.poll_floor);
            // Where the configuration allows no longer interval the server is left alone for a while.
            let intervals = if longer { 1 } else { KISS_INTERVALS };
            self.next = self.online.then(|| now + self.interval() * intervals);
        } else if code.ends_association() {
            self.dismissed = Some(code);
            self.next = None;
        }
    }

    fn schedule(&mut self, now: Duration, random: u64) {
        if self.dismissed.is_some() || !self.online {
            self.next = None;
            return;
        }
        let interval = if self.burst_requests > 0 {
            BURST_INTERVAL.min(self.interval())
        } else {
            // Up to 1/50 longer, so that many clients do not stay in step.
            let interval = self.interval();
            interval + interval.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64 / 50.0)
        };
        self.next = Some(now + interval);
    }

    /// The poll interval in force.
    pub fn interval(&self) -> Duration {
        let interval = Duration::from_secs_f64(f64::from(self.poll).exp2());
        if self.round_trip.is_some_and(|delay| delay < SUBSECOND_DELAY_MAX) {
            return interval;
        }
        interval.max(Duration::from_secs(1))
    }

    fn begin_burst(&mut self, good: u8, requests: u8) {
        self.burst_good = good.min(BURST_REQUESTS_MAX);
        self.burst_requests = requests.min(BURST_REQUESTS_MAX);
    }

    /// A burst from `now` on, until `good` replies came or `requests` were sent.
    pub fn burst(&mut self, now: Duration, good: u8, requests: u8) {
        if self.online && self.dismissed.is_none() {
            self.begin_burst(good, requests);
            self.next = Some(now);
        }
    }

    /// Asks at `now`, whatever the schedule.
    pub fn hurry(&mut self, now: Duration) {
        if self.online && self.dismissed.is_none() {
            self.next = Some(now);
        }
    }

    /// Asks no earlier than at `until`, whatever the schedule: something is needed before.
    pub fn postpone(&mut self, until: Duration) {
        self.next = self.next.map(|next| next.max(until));
    }

    /// Whether to ask at all; going online asks at once.
    pub fn set_online(&mut self, online: bool, now: Duration) {
        if online == self.online {
            return;
        }
        self.online = online;
        self.next = (online && self.dismissed.is_none()).then_some(now);
        if online && self.config.initial_burst {
            self.begin_burst(BURST_GOOD, BURST_REQUESTS_MAX);
        }
    }

    /// The poll exponent that the filter wants from the next request on; held within the configured bounds and above what
    /// a RATE kiss asked for.
    ///
    /// After a time without answers the poll comes back step by step, one a call: who answers one request of twenty is not asked as
    /// often as who answers all.
    pub fn set_poll(&mut self, poll: i8) {
        self.backed_off &= poll < self.poll - 1;
        let poll = if self.backed_off { self.poll - 1 } else { poll };
        let bounded = poll.max(self.config.poll_min).min(self.config.poll_max);
        self.poll = bounded.max(self.poll_floor).clamp(*POLL_RANGE.start(), *POLL_RANGE.end());
    }

    /// The reference id under which the server would follow this host.
    pub fn set_own_id(&mut self, id: Option<ReferenceId>) {
        self.own_id = id;
    }

    /// Another key from the next request on. The last request was made under the old one: its reply does not count.
    pub fn set_key(&mut self, key: Option<(u32, Key)>) {
        self.config.key = key;
        self.pending = None;
        self.previous = None;
    }

    /// The last request is answered or given up; a reply that comes now does not count.
    pub fn forget_pending(&mut self) {
        self.pending = None;
        // Its times may be another clock's: the next exchange is in basic mode.
        self.previous = None;
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
        HEADER_BYTES + 4 + crate::keys::MAC_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyType;

    const SECOND: i64 = 1_000_000_000;
    const WALL: i64 = 1_800_000_000 * SECOND;

    /// A reply to `request`, received at the server when its clock is `ahead` nanoseconds before ours, after `path`.
    fn reply(request: &[u8], ahead: i64, path: i64) -> Header {
        let asked = Packet::parse(request).expect("our request parses").header;
        Header {
            leap: Leap::Normal,
            version: asked.version,
            mode: Mode::Server,
            stratum: 2,
            poll: asked.poll,
            precision: -24,
            root_delay: NtpShort(0),
            root_dispersion: NtpShort(0),
            reference_id: ReferenceId([10, 0, 0, 1]),
            reference: NtpTimestamp(1),
            origin: asked.transmit,
            receive: NtpTimestamp::from_unix_nanos(WALL + ahead + path),
            transmit: NtpTimestamp::from_unix_nanos(WALL + ahead + path + SECOND / 1000),
        }
    }

    /// Goal: each check of a reply refuses what it must, and a good one measures offset and delay.
    #[test]
    fn a_reply_counts_only_when_every_check_holds() {
        let check = |change: &dyn Fn(&mut Header), expected: Result<(), ReplyError>| {
            let mut client = Client::new(ClientConfig::default(), Duration::ZERO);
            let request = client.request(Duration::ZERO, [77, 0], WALL);
            let mut header = reply(&request, SECOND / 2, SECOND / 100);
            change(&mut header);
            let wall = WALL + SECOND / 50 + SECOND / 1000;
            let found = client.receive(Duration::ZERO, &header.to_bytes(), wall);
            assert_eq!(found.clone().map(|_| ()), expected);
            if let Ok(measurement) = found {
                assert!((measurement.offset - 0.5).abs() < 1e-8, "{measurement:?}");
                assert!((measurement.delay - 0.02).abs() < 1e-8, "{measurement:?}");
                let again = client.receive(Duration::ZERO, &header.to_bytes(), wall);
                assert_eq!(again, Err(ReplyError::Duplicate));
            }
            assert_eq!(client.reach(), u8::from(expected.is_ok()));
        };
        check(&|_| (), Ok(()));
        check(&|header| header.origin.0 += 1, Err(ReplyError::Bogus));
        check(&|header| header.origin = NtpTimestamp::UNKNOWN, Err(ReplyError::Bogus));
        check(&|header| header.mode = Mode::Client, Err(ReplyError::Mode(Mode::Client)));
        check(&|header| header.leap = Leap::Unsynchronised, Err(ReplyError::Unsynchronised { stratum: 2 }));
        check(&|header| header.stratum = 16, Err(ReplyError::Unsynchronised { stratum: 16 }));
        check(&|header| header.root_dispersion = NtpShort(20 << 16), Err(ReplyError::RootDistance(20.0)));
        check(&|header| header.receive = NtpTimestamp::UNKNOWN, Err(ReplyError::Timestamps));
        check(&|header| header.transmit.0 = header.receive.0 - 1, Err(ReplyError::Timestamps));
        check(
            &|header| {
                (header.stratum, header.leap, header.reference_id) =
                    (0, Leap::Unsynchronised, KissCode::Rate.reference_id());
            },
            Err(ReplyError::Kiss(KissCode::Rate)),
        );
    }

    /// Goal: DENY ends the association, RATE makes it slower for good, and a kiss that answers nothing changes nothing.
    #[test]
    fn kisses_are_obeyed_only_by_the_one_who_asked() {
        let kiss = |code: KissCode, honest: bool| {
            let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
            let mut client = Client::new(config, Duration::ZERO);
            let request = client.request(Duration::ZERO, [5, 0], WALL);
            let mut header = reply(&request, 0, 1000);
            header.stratum = 0;
            header.leap = Leap::Unsynchronised;
            header.reference_id = code.reference_id();
            header.origin.0 += u64::from(!honest);
            let _ = client.receive(Duration::ZERO, &header.to_bytes(), WALL + SECOND);
            client
        };
        for code in [KissCode::Deny, KissCode::Restrict] {
            assert_eq!((kiss(code, true).deadline(), kiss(code, true).dismissed()), (None, Some(code)));
            assert_eq!(kiss(code, false).dismissed(), None);
        }
        let mut client = kiss(KissCode::Rate, true);
        assert_eq!(client.deadline(), Some(Duration::from_secs(128)));
        client.set_poll(6);
        assert_eq!(client.poll(), 7);
        assert_eq!(kiss(KissCode::Rate, false).deadline(), Some(BURST_INTERVAL));
    }

    /// Goal: an initial burst asks every two seconds, ends after four good replies, and the poll backs off when nobody answers.
    #[test]
    fn the_schedule_bursts_settles_and_backs_off() {
        let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
        let mut client = Client::new(config.clone(), Duration::ZERO);
        let mut times = Vec::new();
        for _ in 0..5 {
            let now = client.deadline().expect("it is online");
            times.push(now.as_secs());
            let request = client.request(now, [9, 0], WALL);
            let header = reply(&request, 0, SECOND / 100);
            client
                .receive(now, &header.to_bytes(), WALL + SECOND / 50 + SECOND / 1000)
                .expect("the reply is good");
        }
        assert_eq!(times, [0, 2, 4, 6, 70]);
        assert_eq!(client.reach(), 0b1_1111);

        let mut silent = Client::new(config, Duration::ZERO);
        for _ in 0..100 {
            let now = silent.deadline().expect("it is online");
            silent.request(now, [9, 0], WALL);
        }
        assert_eq!((silent.poll(), silent.reach()), (10, 0));
        silent.set_online(false, Duration::ZERO);
        assert_eq!(silent.deadline(), None);
    }

    /// Goal: a host that starts before its network spends no burst on it, and a server that comes late gets its burst then.
    #[test]
    fn a_burst_is_not_spent_before_the_network_is_up() {
        let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
        let mut client = Client::new(config.clone(), Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..50 {
            client.request(now, [9, 0], WALL);
            client.unsent(now);
            assert_eq!(client.deadline(), Some(now + UNSENT_INTERVAL));
            now += UNSENT_INTERVAL;
        }
        assert!(client.in_burst());

        let mut late = Client::new(config, Duration::ZERO);
        for _ in 0..10 {
            now = late.deadline().expect("it is online");
            late.request(now, [9, 0], WALL);
        }
        let mut times = Vec::new();
        for _ in 0..5 {
            now = late.deadline().expect("it is online");
            times.push(now);
            let request = late.request(now, [9, 0], WALL);
            let header = reply(&request, 0, SECOND / 100);
            late.receive(now, &header.to_bytes(), WALL + SECOND / 50 + SECOND / 1000)
                .expect("the reply is good");
        }
        let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        // The poll has backed off once; the filter sets it from here on.
        assert_eq!(gaps, [2, 2, 2, 128]);
    }

    /// Goal: with a key, only a reply under that key counts (CVE-2016-1567: another peer's key must not do).
    #[test]
    fn a_key_is_required_and_no_other_does() {
        let key = |secret: &str| Key::new(KeyType::Sha256, secret.into()).expect("any length fits");
        let check = |id: u32, secret: Option<&str>, expected: Result<bool, ReplyError>| {
            let config = ClientConfig { key: Some((7, key("right"))), ..ClientConfig::default() };
            let mut client = Client::new(config, Duration::ZERO);
            let request = client.request(Duration::ZERO, [3, 0], WALL);
            assert_eq!(request.len(), 48 + 4 + 20);
            let mut bytes = reply(&request, 0, 1000).to_bytes().to_vec();
            if let Some(secret) = secret {
                let digest = key(secret).digest(&bytes, 4);
                bytes.extend(id.to_be_bytes());
                bytes.extend_from_slice(&digest);
            }
            let found = client.receive(Duration::ZERO, &bytes, WALL + SECOND);
            assert_eq!(found.map(|measurement| measurement.authenticated), expected);
        };
        check(7, Some("right"), Ok(true));
        check(7, Some("wrong"), Err(ReplyError::Mac(MacError::Digest)));
        check(8, Some("right"), Err(ReplyError::Mac(MacError::Key { id: 8 })));
        check(7, None, Err(ReplyError::Mac(MacError::Missing)));
    }

    /// Goal: in interleaved mode the server's true transmit time is used, one exchange later, and nothing is measured twice; a server
    /// that does not know the mode is measured as ever, and a reply that brings back neither number is bogus.
    #[test]
    fn interleaved_replies_measure_the_exchange_before() {
        let config = ClientConfig { interleaved: true, ..ClientConfig::default() };
        let mut client = Client::new(config, Duration::ZERO);
        let path = SECOND / 100;
        let hold = SECOND / 1000;
        // The server states in basic mode that it sends at once, and in truth sends `hold` later.
        let mut before: Option<Header> = None;
        for round in 0..4_i64 {
            let start = WALL + round * 64 * SECOND;
            let request = client.request(Duration::ZERO, [100 + round as u64, 200 + round as u64], start);
            let asked = Packet::parse(&request).expect("our request parses").header;
            assert_eq!(asked.origin, before.map_or(NtpTimestamp::UNKNOWN, |header| header.receive));
            assert_ne!(asked.receive, asked.transmit);
            let mut header = reply(&request, 0, 0);
            header.receive = NtpTimestamp::from_unix_nanos(start + path);
            header.transmit = header.receive;
            if let Some(before) = before {
                header.origin = asked.receive;
                header.transmit = NtpTimestamp::from_unix_nanos(start - 64 * SECOND + path + hold);
                assert_eq!(
                    before.receive.since(NtpTimestamp::from_unix_nanos(start - 64 * SECOND + path)),
                    0.0
                );
            }
            let bogus = Header { origin: NtpTimestamp(5), ..header };
            let arrives = start + 2 * path + hold;
            assert_eq!(client.receive(Duration::ZERO, &bogus.to_bytes(), arrives), Err(ReplyError::Bogus));
            let found = client.receive(Duration::ZERO, &header.to_bytes(), arrives);
            match round {
                0 => {
                    let found = found.expect("it is good");
                    assert!(!found.interleaved && (found.delay - 0.021).abs() < 1e-8, "{found:?}");
                }
                1 => assert_eq!(found, Err(ReplyError::Measured)),
                _ => {
                    let found = found.expect("it is good");
                    assert!(found.interleaved && (found.delay - 0.02).abs() < 1e-8, "{found:?}");
                    assert!(found.offset.abs() < 1e-8 && found.sent == start - 64 * SECOND, "{found:?}");
                }
            }
            assert_eq!(client.reach(), (1 << (round + 1)) - 1);
            before = Some(header);
        }
        // A basic reply in between.
        let request = client.request(Duration::ZERO, [7, 8], WALL);
        let header = reply(&request, 0, path);
        let found = client.receive(Duration::ZERO, &header.to_bytes(), WALL + 3 * path).expect("it is good");
        assert!(!found.interleaved);
        // A transmit time after the next request came, or before its own request, is none.
        for wrong in [SECOND, -SECOND] {
            let request = client.request(Duration::ZERO, [9, 10], WALL + SECOND);
            let asked = Packet::parse(&request).expect("our request parses").header;
            let mut header = reply(&request, SECOND, path);
            header.origin = asked.receive;
            client.previous = client.previous.map(|previous| Previous { measured: false, ..previous });
            let near = if wrong > 0 { header.receive } else { asked.origin };
            header.transmit = NtpTimestamp(near.0.wrapping_add_signed(wrong));
            let found = client.receive(Duration::ZERO, &header.to_bytes(), WALL + SECOND + 3 * path);
            assert_eq!(found, Err(ReplyError::Timestamps));
        }
        client.forget_pending();
        let request = client.request(Duration::ZERO, [9, 10], WALL);
        assert!(Packet::parse(&request).expect("our request parses").header.origin.is_unknown());
    }
}
