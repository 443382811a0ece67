//! The sources: names that become addresses, and an association with each address.

use crate::config::SourceConfig;
use crate::daemon::PeerNts;
use crate::hardware::StampedBy;
use crate::options::Family;
use ntp_proto::nts::NtsError;
use ntp_proto::{
    Client, ClientConfig, CorrectionForm, Key, Keys, MacError, Measurement, NtpTimestamp, PtpForm, PtpForms,
    ReferenceId, ReplyError,
};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use time_core::{LocalTime, Screening, SourceId};

/// The first wait before a name is tried again, and the longest. A host often starts before its network does.
const RESOLVE_AGAIN_FIRST: Duration = Duration::from_secs(2);
const RESOLVE_AGAIN_MAX: Duration = Duration::from_secs(256);

/// Servers of one pool that are tried at once, at most.
const POOL_TRIED_MAX: usize = 16;

/// A configured line whose servers are not all known yet.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// Names it, in `chronyc sources` as `ID#...`.
    pub number: u32,
    /// The line.
    pub line: SourceConfig,
    /// When to ask next; none while the question is on its way, or when nothing is missing.
    pub due: Option<Duration>,
    /// How many servers are missing.
    pub missing: usize,
    wait: Duration,
    /// The server that is to be replaced by another address of the name.
    pub replaces: Option<SourceId>,
    /// The addresses that the name has no more are to be replaced.
    pub refreshes: bool,
    /// When one was replaced for being no good.
    pub replaced_at: Option<Duration>,
    /// When the name was looked up for the last time.
    pub resolved_at: Option<Duration>,
    /// It was said that the name has no address.
    pub complained: bool,
    /// It has addresses, and all of them are other sources'.
    pub taken: bool,
}

impl Wanted {
    /// To be resolved at `now`.
    pub(crate) fn new(number: u32, line: SourceConfig, now: Duration) -> Self {
        let missing = line.pool.unwrap_or(1);
        Self {
            number,
            line,
            due: Some(now),
            missing,
            wait: RESOLVE_AGAIN_FIRST,
            replaces: None,
            refreshes: false,
            replaced_at: None,
            resolved_at: None,
            complained: false,
            taken: false,
        }
    }

    /// The numbers of its missing servers, each of which is listed; none when it has as many as are wanted.
    pub(crate) fn numbers_missing(&self) -> std::ops::Range<u32> {
        let end = self.number + self.places();
        let found = self.line.pool.unwrap_or(1).saturating_sub(self.missing) as u32;
        let missing = if self.missing == 0 { 0 } else { self.places().saturating_sub(found) };
        end - missing..end
    }

    /// How many numbers it takes: one for each server that is tried, which of a pool are twice as many as are wanted, as for
    /// chronyd.
    pub(crate) fn places(&self) -> u32 {
        self.line.pool.map_or(1, |wanted| (2 * wanted).clamp(1, POOL_TRIED_MAX)) as u32
    }

    /// The next try, later each time.
    pub(crate) fn again(&mut self, now: Duration) {
        self.due = Some(now + self.wait);
        self.wait = (self.wait * 2).min(RESOLVE_AGAIN_MAX);
    }

    /// Asks at once, if a server is missing.
    pub(crate) fn retry(&mut self, now: Duration) {
        if self.missing > 0 {
            self.due = Some(now);
            self.wait = RESOLVE_AGAIN_FIRST;
        }
    }

    /// Asks at once, and servers whose address the name has no more are replaced.
    pub(crate) fn refresh(&mut self, now: Duration) {
        if self.line.name.parse::<IpAddr>().is_err() {
            self.due = Some(now);
            self.wait = RESOLVE_AGAIN_FIRST;
            self.refreshes = true;
        }
    }

    /// The addresses that may be used, of those that a name has.
    pub(crate) fn usable(&self, addresses: &[IpAddr], family: Option<Family>) -> Vec<IpAddr> {
        addresses
            .iter()
            .copied()
            .filter(|one| Family::allows(family, *one) && Family::allows(self.line.family, *one))
            .collect()
    }
}

/// Extension fields by their numbers in `extfield`.
const FIELD_ROOT: u16 = 0xf323;
const FIELD_CORRECTION_EXPERIMENTAL: u16 = 0xf324;

/// A packet that went ahead of a measurement.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Sent it.
    pub socket: UdpSocket,
    /// Its random number: the reply bears it.
    pub nonce: NtpTimestamp,
    /// How many went ahead of this measurement.
    pub number: u8,
    /// The measurement waits until then.
    pub until: Duration,
}

/// Why an answer to a request of ours is not authentic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unauthentic {
    /// It has no code: the server does not know the key.
    Missing,
    /// It has a code of another key.
    Key { id: u32 },
    /// Its code does not fit.
    Code,
}

impl Unauthentic {
    /// What an error says of it; none when the packet was no answer, or an authentic one.
    pub(crate) fn of(error: ReplyError) -> Option<Self> {
        match error {
            ReplyError::Mac(MacError::Missing) => Some(Self::Missing),
            ReplyError::Mac(MacError::Key { id }) => Some(Self::Key { id }),
            ReplyError::Mac(MacError::Digest) => Some(Self::Code),
            _ => None,
        }
    }

    /// The same for NTS.
    pub(crate) fn of_nts(error: NtsError) -> Option<Self> {
        match error {
            NtsError::Unauthenticated => Some(Self::Missing),
            NtsError::Authenticator => Some(Self::Code),
            _ => None,
        }
    }
}

impl std::fmt::Display for Unauthentic {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => write!(formatter, "they come back without a code"),
            Self::Key { id } => write!(formatter, "they come back with the code of key {id}"),
            Self::Code => write!(formatter, "they come back with a code that does not fit"),
        }
    }
}

/// A server that we ask.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Of the line that it came from.
    pub number: u32,
    /// As it was configured.
    pub name: String,
    /// Where it is.
    pub address: SocketAddr,
    /// In the timekeeper.
    pub id: SourceId,
    /// The association.
    pub client: Client,
    /// Waits for the reply to the last request.
    pub socket: Option<UdpSocket>,
    /// The line.
    pub line: SourceConfig,
    /// From where the last request was sent.
    pub local: Option<IpAddr>,
    /// The clock at the call that sent the last request, by which the kernel's stamp is judged.
    pub sent: LocalTime,
    /// Who stamped the last request, and its length in bytes.
    pub sent_by: StampedBy,
    pub sent_bytes: usize,
    /// Requests that the kernel and a card stamped.
    pub kernel_sent_count: u32,
    pub card_sent_count: u32,
    /// Who stamped the last reply, and how many the card did.
    pub received_by: StampedBy,
    pub card_received_count: u32,
    /// Requests to it are stamped by a card: until when the reply to the last one waits for that.
    pub awaits_card: bool,
    pub read_from: Option<Duration>,
    /// The last good exchange, or one with this daemon itself.
    pub last: Option<Measurement>,
    /// Good exchanges with this daemon itself, which are of no use.
    pub loops: u32,
    /// Datagrams received, and those of them that answered our request.
    pub received: u32,
    /// Of those, the ones that answered our request.
    pub valid: u32,
    /// Sending failed the last time, which was said.
    pub complained: bool,
    /// The key file has not its key, or no longer: it is not asked until it has.
    pub lacks_key: bool,
    /// Its last reply was not authentic, and none since was.
    pub unauthentic: Option<Unauthentic>,
    /// That, or its silence, was told.
    pub told_unauthentic: bool,
    /// Which exchanges count.
    pub screening: Screening,
    /// The last request was answered.
    pub answered: bool,
    /// Sends the packet ahead of a measurement (`presend`), and waits until it may have woken everybody on the way.
    pub ahead: Option<Ahead>,
    /// Exchanges and misses in a row after which it was no good: unreachable, too far, a falseticker.
    pub bad: u32,
    /// Its state of NTS, where it is asked with it.
    pub nts: Option<Box<PeerNts>>,
    /// A measurement of it was corrected by what transparent clocks told.
    pub corrected: bool,
    /// The longest that a round trip to a peer can be when they have taken out what they held, as far as is known, in seconds.
    pub path_delay: f64,
    /// How NTP stands inside PTP for it, where it is asked so.
    ptp: PtpForms,
}

/// The version that a source is asked in, where its line does not say it: the one that its key suggests.
fn version(line: &SourceConfig, key: Option<&Key>) -> u8 {
    // Interleaved mode and extension fields are of version 4.
    let suggests = key.filter(|_| !line.options.xleave && line.options.extfields.is_empty());
    line.version.unwrap_or(suggests.map_or(ntp_proto::VERSION, Key::suggested_version))
}

impl Peer {
    /// An association that begins at `first`.
    pub(crate) fn new(
        wanted: &Wanted,
        address: SocketAddr,
        id: SourceId,
        keys: &Keys,
        precision: i8,
        first: Duration,
    ) -> Self {
        let line = wanted.line.clone();
        let key = line.key.and_then(|id| Some((id, keys.key(id)?.clone())));
        let lacks_key = line.key.is_some() && key.is_none();
        let config = ClientConfig {
            version: version(&line, key.as_ref().map(|(_, key)| key)),
            key,
            poll_min: line.treatment.poll_min,
            poll_max: line.treatment.poll_max,
            initial_burst: line.initial_burst,
            delay_max: line.delay_max,
            offset_correction: line.offset,
            precision,
            interleaved: line.options.xleave,
            root_field: line.options.extfields.contains(&FIELD_ROOT),
            // Without PTP there is nothing to be corrected.
            correction_field: None,
            slew_rate: 0.0,
            symmetric: line.symmetric,
        };
        let mut client = Client::new(config, first);
        if line.offline {
            client.set_online(false, first);
        }
        Self {
            number: wanted.number,
            name: line.name.clone(),
            address,
            id,
            client,
            socket: None,
            local: None,
            sent: LocalTime(0),
            sent_by: StampedBy::Daemon,
            sent_bytes: 0,
            kernel_sent_count: 0,
            card_sent_count: 0,
            received_by: StampedBy::Daemon,
            card_received_count: 0,
            awaits_card: false,
            read_from: None,
            last: None,
            loops: 0,
            received: 0,
            valid: 0,
            // That was said with the line.
            complained: lacks_key,
            lacks_key,
            unauthentic: None,
            told_unauthentic: false,
            screening: Screening::new(wanted.line.screening),
            answered: true,
            ahead: None,
            bad: 0,
            nts: None,
            corrected: false,
            path_delay: f64::INFINITY,
            // chronyd's that know the field by this number alone have the older form.
            ptp: PtpForms::new(
                match line.options.extfields.contains(&FIELD_CORRECTION_EXPERIMENTAL) {
                    true => PtpForm::Experimental,
                    false => PtpForm::Assigned,
                },
                line.symmetric,
            ),
            line,
        }
    }

    /// How its next packet stands inside PTP; the packet's fields are of the same age.
    pub(crate) fn next_ptp_form(&mut self) -> PtpForm {
        let form = self.ptp.for_next();
        let asks = self.line.options.wants_corrections();
        self.client.config_mut().correction_field = asks.then_some(match form {
            PtpForm::Assigned => CorrectionForm::Assigned,
            PtpForm::Experimental => CorrectionForm::Experimental,
        });
        form
    }

    /// How a packet stands inside PTP for it, as far as is known.
    pub(crate) fn ptp_form(&self) -> PtpForm {
        self.ptp.form()
    }

    /// A PTP message of this form came from it, and this is what became of the packet in it.
    pub(crate) fn heard_over_ptp(&mut self, form: PtpForm, found: &Result<Measurement, ReplyError>) {
        let is_its = match found {
            Ok(_) | Err(ReplyError::Measured | ReplyError::Kiss(_)) => true,
            // A peer's packets have its own form, whatever they answer.
            Err(ReplyError::Bogus | ReplyError::Duplicate) => self.line.symmetric,
            Err(error) => error.uses_up_the_request(),
        };
        if is_its {
            self.ptp.heard(form);
        }
    }

    /// When it is to be asked: not while the packet ahead of the measurement is on its way.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let at = self.client.deadline()?;
        Some(self.ahead.as_ref().map_or(at, |ahead| at.max(ahead.until)))
    }

    /// The keys were read again: the source goes on under the key that its id has now. Without one it is not asked at all:
    /// unauthenticated it could be forged, and the old key may be the one that was lost.
    pub(crate) fn rekey(&mut self, keys: &Keys, now: Duration) {
        let Some(id) = self.line.key else { return };
        let began_without = std::mem::replace(&mut self.lacks_key, keys.key(id).is_none());
        if let Some(key) = keys.key(id) {
            if began_without {
                self.client.config_mut().version = version(&self.line, Some(key));
            }
            self.client.set_key(Some((id, key.clone())));
            self.client.hurry(now);
        }
        self.client.forget_pending();
        self.end_exchange();
    }

    /// The exchange is over, and whatever comes late finds no socket. A peer's packets come when it wants.
    pub(crate) fn end_exchange(&mut self) {
        if !self.line.symmetric {
            self.socket = None;
        }
    }

    /// The address that its name had. With NTS the server that gave the keys may have named another one for the time.
    pub(crate) fn found_at(&self) -> SocketAddr {
        self.nts.as_ref().map_or(self.address, |nts| nts.found_at())
    }

    /// As the log names it: the address, and the name when it has another.
    pub(crate) fn label(&self) -> String {
        let address = self.address.ip().to_string();
        if self.name == address { address } else { format!("{address} ({})", self.name) }
    }

    /// Its reference id, as a server that follows it would show it.
    pub(crate) fn reference_id(&self) -> ReferenceId {
        ReferenceId::of_address(self.address.ip())
    }
}
