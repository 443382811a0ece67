//! What a reply measures, and why one does not count.

use super::{Client, Previous};
use crate::correction::{CorrectionField, Transit, Way, corrected};
use crate::experimental::{MOVED_MAX, RootField};
use crate::keys::MacError;
use crate::kiss::KissCode;
use crate::packet::{Header, Mode, Packet, PacketError};
use crate::timestamp::NtpTimestamp;

/// How fast a clock's error may grow between synchronisations, s/s (RFC 5905 PHI).
const FREQUENCY_TOLERANCE: f64 = 15e-6;
/// In interleaved mode two stamps of a server may contradict each other by this, in seconds: a card's clock is known to some tens of
/// nanoseconds, and a reply may leave as soon as its request is there.
const STAMP_ERROR_MAX: f64 = 1e-6;

/// What one good exchange says.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// True time minus local time, in seconds: positive when the local clock is slow.
    pub offset: f64,
    /// Round trip without the server's own time, in seconds; at least the local precision.
    pub delay: f64,
    /// What transparent clocks on the way held both packets, in seconds: it is taken off the delay. Since nobody has verified it, it
    /// belongs to the error's bound all the same.
    pub held: f64,
    /// What reading both clocks may have cost, and what they may have run apart meanwhile, in seconds (RFC 5905 section 8, epsilon).
    pub dispersion: f64,
    /// What reading both clocks may have cost alone, in seconds: their precision. (Two clocks that run apart leave the offset in the
    /// middle of an exchange as it is.)
    pub reading: f64,
    /// The local clock when the request left, nanoseconds since the Unix epoch.
    pub sent: i64,
    /// The local clock when the reply came.
    pub received: i64,
    /// How long the server held the request, in seconds.
    pub server_time: f64,
    /// The reply's header.
    pub header: Header,
    /// The server's root delay and root dispersion, in seconds: the header's, or finer ones.
    pub root_delay: f64,
    /// See `root_delay`.
    pub root_dispersion: f64,
    /// By how much the server moved its clock since the last good reply, in seconds, apart from its rate: what was measured before is
    /// told in its time by adding this.
    pub source_moved: f64,
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

impl ReplyError {
    /// It was the answer to the request, and no other will count.
    pub fn uses_up_the_request(&self) -> bool {
        matches!(
            self,
            Self::Unsynchronised { .. }
                | Self::RootDistance(_)
                | Self::Loop
                | Self::Timestamps
                | Self::Delay(_)
        )
    }
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

impl Client {
    /// What the exchange before this one measures, now that the server has told when its reply left.
    pub(super) fn measure_before(
        &self,
        header: &Header,
        before: &Previous,
        moved: f64,
        authenticated: bool,
    ) -> Result<Measurement, ReplyError> {
        // What it told before it moved its clock is told in its time.
        let (transmit, receive) = (header.transmit.plus(moved), before.server_receive.plus(moved));
        // It left after the request had come and before this one came.
        let held = transmit.since(receive);
        if held < -STAMP_ERROR_MAX || header.receive.since(transmit) < 0.0 {
            return Err(ReplyError::Timestamps);
        }
        // A reply that seems to have left before its request came left at once: their middle is as exact as before.
        let middle = if held < 0.0 { held / 2.0 } else { 0.0 };
        let times = Header { receive: receive.plus(middle), transmit: transmit.plus(-middle), ..*header };
        let measured = self.measure(
            &times,
            header,
            (before.sent_wall, before.received_wall),
            before.way,
            authenticated,
        )?;
        Ok(Measurement { interleaved: true, ..measured })
    }

    /// By how much the server moved its clock since its last packet, in seconds, as far as its field F323 tells.
    pub(super) fn source_moved(&self, root: Option<RootField>, header: &Header) -> f64 {
        let (Some(root), Some((last, received))) = (root, self.last_root) else { return 0.0 };
        if last.epoch != root.epoch || last.monotonic.is_unknown() || root.monotonic.is_unknown() {
            return 0.0;
        }
        let moved = header.receive.since(received) - root.monotonic.since(last.monotonic);
        if moved.abs() <= MOVED_MAX { moved } else { 0.0 }
    }

    /// What the field adds to a measurement of the packet with this header; `moved` is kept for the next one where this is none.
    pub(super) fn with_root(
        &mut self,
        measured: Result<Measurement, ReplyError>,
        root: Option<RootField>,
        header: &Header,
        moved: f64,
    ) -> Result<Measurement, ReplyError> {
        let Some(root) = root else {
            (self.last_root, self.moved) = (None, 0.0);
            return measured;
        };
        self.last_root = Some((root, header.receive));
        self.moved += moved;
        let measured = measured?;
        Ok(Measurement {
            root_delay: root.root_delay,
            root_dispersion: root.root_dispersion,
            source_moved: std::mem::take(&mut self.moved),
            ..measured
        })
    }

    pub(super) fn authenticate(&self, packet: &Packet<'_>) -> Result<bool, MacError> {
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

    /// What the network is known to have done to our packet that this one answers, and to this one.
    pub(super) fn way(&self, packet: &Packet<'_>, homeward: Option<Transit>) -> Way {
        let told = self.config.correction_field.and_then(|_| CorrectionField::find(packet.extensions));
        Way { outward: told.map_or(0.0, |field| field.seconds), homeward, slew_rate: self.config.slew_rate }
    }

    /// `header` has the server's timestamps, `last` is the header of the reply; `walls` are the local clock at the request and at
    /// the reply, `way` is theirs.
    pub(super) fn measure(
        &self,
        header: &Header,
        last: &Header,
        walls: (i64, i64),
        way: Way,
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
        let whole = (round_trip - server_time).max(precision);
        // What others measured is judged by a clock that is not slewed. The delay itself is told by ours as it is; whoever knows the slew
        // takes it out of the whole exchange.
        let slewed = round_trip - round_trip / (1.0 + way.slew_rate);
        let corrected = corrected(way, (whole - slewed).max(precision)).unwrap_or_default();
        let delay = (whole - corrected.delay).max(precision + slewed.min(0.0));
        if delay > self.config.delay_max {
            return Err(ReplyError::Delay(delay));
        }
        let server_precision = f64::from(header.precision.clamp(-32, 0)).exp2();
        let eras = header.receive.eras_from(sent_wall) as f64 * 4_294_967_296.0;
        Ok(Measurement {
            offset: (outward + homeward) / 2.0 + corrected.offset + eras + self.config.offset_correction,
            delay,
            dispersion: precision + server_precision + FREQUENCY_TOLERANCE * round_trip,
            reading: precision + server_precision,
            sent: sent_wall,
            received: wall,
            server_time,
            header: *last,
            held: whole - delay,
            root_delay: last.root_delay.seconds(),
            root_dispersion: last.root_dispersion.seconds(),
            source_moved: 0.0,
            authenticated,
            interleaved: false,
        })
    }
}
