//! A symmetric association (RFC 5905 section 3, RFC 9769 section 3): both sides send when it is their turn, each packet answers
//! the last one that came and tells the sender's time, so that one packet a poll and direction lets both measure.
//!
//! What an attacker off the path sends fails at the origin timestamp, but where no key is used it may still be taken for the peer's
//! new beginning, which costs this side an exchange (`chrony.conf(5)`, peer). With a key nothing changes before the code is
//! verified (CVE-2015-1799, CVE-2015-1853), and a packet that was overheard and sent again changes nothing either, as long as the
//! peer has told a later time since.

use super::reply::Measurement;
use super::{Client, ReplyError, is_synchronised};
use crate::correction::{Arrived, Way, corrected};
use crate::experimental::RootField;
use crate::packet::{Header, Leap, Mode, Packet, STRATUM_MAX};
use crate::server::ServerSnapshot;
use crate::timestamp::{NtpShort, NtpTimestamp};
use std::time::Duration;

/// The peer with the better clock waits so much longer than the interval, in which the other one's packet comes: what it answers at
/// once is measured best. Peers of one stratum keep each other out of step so.
const WAIT_FACTOR: f64 = 1.1;
/// Of the interval between our packets: who answers later than this is too close to the next one.
const LATE_PART: f64 = 0.6;
/// Of the peer's interval: a round trip in interleaved mode beyond it has another exchange's timestamps.
const INTERLEAVED_DELAY_PART: f64 = 0.5;
/// Of the peer's interval: between two of its transmit timestamps there is one packet, not two.
const MISSED_PART: f64 = 1.5;
/// The exchange before the present one is measured when it took less than this part of it.
const SHORTER_PART: f64 = 0.1;
/// Bits of a second's fraction in a timestamp.
const FRACTION_BITS: i32 = 32;

/// What a clock of this precision (log2 s) shows below it is random: of 2^-24 s 8 bits of a second's fraction.
fn random_bits(precision: i8) -> u64 {
    let bits = (FRACTION_BITS + i32::from(precision)).clamp(0, FRACTION_BITS);
    (1_u64 << bits) - 1
}

/// How local times far apart are compared: between the two packets of a symmetric exchange lies up to a poll interval, in which the
/// clock may have been slewed.
#[derive(Clone, Copy)]
pub struct LocalScale<'a> {
    /// What the local clock would have shown at a moment of the past (nanoseconds since the Unix epoch), had it always run as it
    /// does now, without slews.
    pub straight: &'a dyn Fn(i64) -> i64,
    /// One sigma of its frequency, s/s.
    pub skew: f64,
}

/// What both sides told last.
#[derive(Debug, Clone, Default)]
pub(super) struct Peering {
    /// The peer's last valid packet: its receive and transmit timestamps, and when it came here.
    remote_receive: NtpTimestamp,
    remote_transmit: NtpTimestamp,
    received: Option<Arrived<i64>>,
    /// What it told of the way of our packet that it answered, in seconds.
    outward: f64,
    /// It came from a synchronised peer: an interleaved packet may complete it.
    complete: bool,
    /// Our last packet: what it said, and when it left.
    receive: NtpTimestamp,
    transmit: NtpTimestamp,
    sent_wall: Option<i64>,
    sent_at: Duration,
    /// When the packet left that the last valid one answered, where that was not measured in basic mode.
    sent_wall_before: Option<i64>,
    /// It was answered.
    answered: bool,
    /// A packet of the peer's that answers none of ours: how it began, or begins again after a loss.
    opening: Option<(NtpTimestamp, Arrived<i64>)>,
    opening_is_new: bool,
    /// Our packets since the last valid one of the peer, and between that one and the one before.
    sent_count: u32,
    sent_count_before: u32,
    /// As its last valid packet says it.
    remote_poll: Option<i8>,
    remote_stratum: u8,
    remote_root_delay: NtpShort,
    remote_root_dispersion: NtpShort,
    /// Our poll when that came.
    poll_before: i8,
    own_stratum: u8,
}

impl Peering {
    pub(super) fn sent(&mut self, wall: i64) {
        if let Some(sent) = &mut self.sent_wall {
            *sent = wall;
        }
    }

    pub(super) fn unsent(&mut self) {
        (self.transmit, self.sent_wall) = (NtpTimestamp::UNKNOWN, None);
    }

    /// The interval after a packet of ours or, `since` it, one of the peer's.
    fn wait(&self, interval: Duration, since: Option<Duration>) -> Duration {
        let elapsed = since.unwrap_or_default().as_secs_f64();
        let seconds = interval.as_secs_f64();
        let better = self.remote_stratum > self.own_stratum && elapsed * WAIT_FACTOR < seconds;
        let equal =
            since.is_some() && self.remote_stratum == self.own_stratum && elapsed > LATE_PART * seconds;
        if better || equal { interval.mul_f64(WAIT_FACTOR) } else { interval }
    }
}

impl Client {
    /// The packet of a symmetric association to send at `now`, and the schedule moved on; the arguments are as for
    /// [`Self::request`], `state` is what a server would say of our clock, whose present time is `wall`.
    pub fn peer_packet(
        &mut self,
        now: Duration,
        random: [u64; 2],
        wall: i64,
        state: &ServerSnapshot,
        scale: LocalScale<'_>,
    ) -> Vec<u8> {
        self.count_request();
        let peering = &mut self.peering;
        let opening = peering.opening.filter(|_| !peering.answered);
        // RFC 9769 section 3: only as the first and only answer to a packet that was the only answer to one of ours. Otherwise the
        // peer cannot tell whose transmit time it is.
        let before = peering.sent_wall.filter(|_| {
            self.config.interleaved
                && opening.is_none()
                && (peering.sent_count_before, peering.sent_count) == (1, 0)
                && !peering.remote_receive.is_unknown()
        });
        let (origin, received) = match (opening, before) {
            (Some((transmit, came)), _) => (transmit, Some(came)),
            (None, Some(_)) => (peering.remote_receive, peering.received),
            (None, None) => (peering.remote_transmit, peering.received),
        };
        let fuzz = random_bits(state.precision);
        let told = |wall: i64| NtpTimestamp(NtpTimestamp::from_unix_nanos(wall).0 & !fuzz | random[0] & fuzz);
        let receive = received.map_or(NtpTimestamp::UNKNOWN, |came| {
            unlike(told((scale.straight)(came.at)), &[origin, peering.receive])
        });
        let transmit = told((scale.straight)(before.unwrap_or(wall)));
        // Equal to the receive timestamp it would hide the interleaved mode, equal to the origin it would answer itself.
        let transmit = unlike(transmit, &[receive, origin, peering.transmit]);
        peering.complete &= opening.is_none();
        (peering.answered, peering.opening_is_new) = (false, false);
        (peering.receive, peering.transmit) = (receive, transmit);
        (peering.sent_wall, peering.sent_at) = (Some(wall), now);
        peering.sent_count = peering.sent_count.saturating_add(1);
        peering.own_stratum = if state.leap == Leap::Unsynchronised { STRATUM_MAX } else { state.stratum };
        let header = Header {
            leap: state.leap,
            version: self.config.version,
            mode: Mode::SymmetricActive,
            stratum: state.stratum,
            poll: self.poll,
            precision: state.precision,
            root_delay: NtpShort::from_seconds(state.root_delay),
            root_dispersion: NtpShort::from_seconds(state.root_dispersion),
            reference_id: state.reference_id,
            reference: state.reference,
            origin,
            receive,
            transmit,
        };
        self.schedule(now, random[1]);
        if let Some(next) = self.next {
            let interval = next.saturating_sub(now);
            self.next = Some(now + self.peering.wait(interval, None));
        }
        let root = state.root_field(receive, NtpTimestamp::from_unix_nanos(wall));
        self.sealed(&header, root, received.and_then(|came| came.transit))
    }

    /// A datagram that came from the peer's address and port: what it measures, or why it does not count; the arguments are as for
    /// [`Self::receive`].
    pub fn receive_as_peer(
        &mut self,
        now: Duration,
        bytes: &[u8],
        arrived: impl Into<Arrived<i64>>,
        scale: LocalScale<'_>,
    ) -> Result<Measurement, ReplyError> {
        let arrived = arrived.into();
        let wall = arrived.at;
        let packet = Packet::parse(bytes).map_err(ReplyError::Packet)?;
        let header = packet.header;
        if !matches!(header.mode, Mode::SymmetricActive | Mode::SymmetricPassive) {
            return Err(ReplyError::Mode(header.mode));
        }
        if !self.online || self.dismissed.is_some() {
            return Err(ReplyError::Unexpected);
        }
        // Before anything is changed: who does not have the key changes nothing.
        let authenticated = self.authenticate(&packet).map_err(ReplyError::Mac)?;
        let peering = &mut self.peering;
        if (header.receive, header.transmit) == (peering.remote_receive, peering.remote_transmit) {
            return Err(ReplyError::Duplicate);
        }
        let basic = header.origin == peering.transmit;
        let interleaved = !basic && self.config.interleaved && header.origin == peering.receive;
        let told = [header.origin, header.receive, header.transmit];
        if !(basic || interleaved) || told.iter().any(|stamp| stamp.is_unknown()) {
            if !header.transmit.is_unknown()
                && (!peering.opening_is_new
                    || peering.opening.is_none_or(|(told, _)| header.transmit.since(told) > 0.0))
            {
                peering.opening = Some((header.transmit, arrived));
                peering.opening_is_new = true;
            }
            return Err(ReplyError::Bogus);
        }
        let before = peering.clone();
        let way = self.way(&packet, arrived.transit);
        if before.answered {
            // The one answer that counts has come. A later one is what we answer next.
            if header.transmit.since(before.remote_transmit) > 0.0 {
                self.remember(&header, arrived, way.outward);
                self.peering.complete = is_synchronised(&header);
            }
            return Err(ReplyError::Duplicate);
        }
        self.remember(&header, arrived, way.outward);
        let peering = &mut self.peering;
        peering.answered = true;
        peering.remote_poll = Some(header.poll);
        peering.remote_stratum =
            if header.stratum == 0 { STRATUM_MAX } else { header.stratum.min(STRATUM_MAX) };
        (peering.remote_root_delay, peering.remote_root_dispersion) =
            (header.root_delay, header.root_dispersion);
        peering.poll_before = self.poll;
        (peering.sent_count_before, peering.sent_count) = (before.sent_count, 0);
        self.follow_peer(now);
        self.peering.complete = is_synchronised(&header);
        let state = self.check_state(now, &header);
        if state == Err(ReplyError::Loop) {
            // It is there, and hears us: it is only not followed.
            self.reach |= 1;
            self.misses = 0;
        }
        state?;
        let root = RootField::find(packet.extensions).filter(|_| self.config.root_field);
        let moved = self.source_moved(root, &header);
        let measurement = match interleaved {
            true if before.complete => {
                self.measure_interleaved(&header, &before, way.outward, moved, authenticated, scale)
            }
            true => Err(ReplyError::Measured),
            false => {
                let walls = (before.sent_wall.unwrap_or(wall), wall);
                self.measure_straight(&header, walls, way, authenticated, scale)
            }
        };
        if !matches!(measurement, Ok(_) | Err(ReplyError::Measured)) {
            return measurement;
        }
        let measurement = self.with_root(measurement, root, &header, moved);
        if measurement.is_ok() && !interleaved {
            // Used up: no interleaved packet measures it again.
            self.peering.sent_wall_before = None;
        }
        self.count_reply(measurement.as_ref().ok());
        measurement
    }

    /// The poll that counts: of a peer that answers, the shorter one of both, since each packet is the other side's too.
    pub(super) fn poll_in_force(&self) -> i8 {
        match self.peering.remote_poll {
            Some(remote) if self.reach != 0 => self.poll.min(remote.max(self.config.poll_min)),
            _ => self.poll,
        }
    }

    fn remember(&mut self, header: &Header, arrived: Arrived<i64>, outward: f64) {
        let peering = &mut self.peering;
        (peering.remote_receive, peering.remote_transmit) = (header.receive, header.transmit);
        (peering.received, peering.outward) = (Some(arrived), outward);
        peering.complete = false;
        (peering.opening, peering.opening_is_new) = (None, false);
        peering.sent_wall_before = peering.sent_wall;
    }

    /// The peer has sent: our next packet is due an interval after our last one.
    fn follow_peer(&mut self, now: Duration) {
        let since = now.saturating_sub(self.peering.sent_at);
        let wait = self.peering.wait(self.interval(), Some(since));
        let next = (self.peering.sent_at + wait).max(now);
        self.next = (self.online && self.dismissed.is_none()).then_some(next);
    }

    /// The packet tells when the peer's one before it left, and `outward` of the way of our last one.
    fn measure_interleaved(
        &self,
        header: &Header,
        before: &Peering,
        outward: f64,
        moved: f64,
        authenticated: bool,
        scale: LocalScale<'_>,
    ) -> Result<Measurement, ReplyError> {
        let (Some(sent), Some(arrived)) = (before.sent_wall, before.received) else {
            return Err(ReplyError::Timestamps);
        };
        let received = arrived.at;
        // What it told before it moved its clock is told in its time.
        let header = &Header { transmit: header.transmit.plus(moved), ..*header };
        // Both the peer's receipt of our last packet and that of the one before go with its transmission in between.
        let is_shorter = |earlier: &i64| {
            (received.saturating_sub(*earlier)) as f64 <= SHORTER_PART * sent.saturating_sub(received) as f64
        };
        let (times, sent, outward) = match before.sent_wall_before.filter(is_shorter) {
            Some(earlier) => (
                Header {
                    receive: before.remote_receive.plus(moved),
                    root_delay: before.remote_root_delay,
                    root_dispersion: before.remote_root_dispersion,
                    ..*header
                },
                earlier,
                before.outward,
            ),
            None => (
                Header {
                    root_delay: header.root_delay.max(before.remote_root_delay),
                    root_dispersion: header.root_dispersion.max(before.remote_root_dispersion),
                    ..*header
                },
                sent,
                outward,
            ),
        };
        let way = Way { outward, homeward: arrived.transit, slew_rate: 0.0 };
        let measured = self.measure_straight(&times, (sent, received), way, authenticated, scale)?;
        let remote_poll = before.remote_poll.unwrap_or(self.poll);
        let interval = f64::from(remote_poll.min(before.poll_before)).exp2();
        let missed = remote_poll <= before.poll_before
            && header.transmit.since(before.remote_transmit.plus(moved)) > MISSED_PART * interval;
        if missed
            || measured.delay > INTERLEAVED_DELAY_PART * interval
            || header.receive.since(header.transmit) <= 0.0
        {
            return Err(ReplyError::Timestamps);
        }
        Ok(Measurement { interleaved: true, ..measured })
    }

    /// As `measure`, over an interval of any length and sign.
    fn measure_straight(
        &self,
        header: &Header,
        walls: (i64, i64),
        way: Way,
        authenticated: bool,
        scale: LocalScale<'_>,
    ) -> Result<Measurement, ReplyError> {
        let (sent_wall, wall) = walls;
        let (sent, received) =
            (NtpTimestamp::from_unix_nanos(sent_wall), NtpTimestamp::from_unix_nanos(wall));
        let local = (scale.straight)(wall).saturating_sub((scale.straight)(sent_wall)) as f64 * 1e-9;
        let server_time = header.transmit.since(header.receive);
        let own_precision = f64::from(self.config.precision).exp2();
        let precision = own_precision + f64::from(header.precision.clamp(-32, 0)).exp2();
        let dispersion = precision + scale.skew * local.abs();
        // Over a long interval the clocks' rates differ by more than the path is long: that makes it longer, not shorter.
        let whole = (local - server_time).abs().max(own_precision);
        // Our clock's rate over the interval is not known better than that.
        let corrected = corrected(way, whole + scale.skew * local.abs()).unwrap_or_default();
        let delay = (whole - corrected.delay).max(own_precision);
        if delay - dispersion > self.config.delay_max {
            return Err(ReplyError::Delay(delay));
        }
        let eras = header.receive.eras_from(sent_wall) as f64 * 4_294_967_296.0;
        let offset = (header.receive.since(sent) + header.transmit.since(received)) / 2.0;
        Ok(Measurement {
            offset: offset + corrected.offset + eras + self.config.offset_correction,
            delay,
            held: whole - delay,
            dispersion,
            // The two ways of such an exchange may lie a poll interval apart, in which what is uncertain of the rate counts in full.
            reading: dispersion,
            sent: sent_wall,
            received: wall,
            server_time: server_time.abs(),
            header: *header,
            root_delay: header.root_delay.seconds(),
            root_dispersion: header.root_dispersion.seconds(),
            source_moved: 0.0,
            authenticated,
            interleaved: false,
        })
    }
}

/// The timestamp, or the next one that is none of `others`.
fn unlike(mut stamp: NtpTimestamp, others: &[NtpTimestamp]) -> NtpTimestamp {
    while stamp.is_unknown() || others.contains(&stamp) {
        stamp = NtpTimestamp(stamp.0.wrapping_add(1));
    }
    stamp
}
