//! Network cards that stamp packets by their own clocks (`chrony.conf(5)`, hwtimestamp): which, their clocks against ours, and
//! what a stamp means in the daemon's time.

use crate::clocks::DaemonClock;
use crate::serving::{CardLine, CardMap};
use chrony_conf::{HwTimestamp, RxFilter, Settings};
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use sys::card::{Capabilities, Filter};
use sys::ptp::Pair;
use sys::socket::CardStamp;
use time_core::{CardClock, CardReading, CardSettings, LocalTime, ReadingFilter, Timekeeper};

/// Between two readings of a card's clock, log2 s: what chrony takes.
const POLL_RANGE: std::ops::RangeInclusive<i8> = -6..=20;
/// Frame check sequence of Ethernet, bytes: a frame's length without it is what the kernel tells.
const CHECK_BYTES: u32 = 4;
/// What stands before the data of UDP in a frame where nobody says: Ethernet, IP without options, UDP, bytes.
const HEADERS_V4: u32 = 14 + 20 + 8;
const HEADERS_V6: u32 = 14 + 40 + 8;
/// A stamp that is farther from the kernel's than this, in seconds, is of another packet or another clock.
pub(crate) const STAMP_DISTANCE_MAX: f64 = 1.0;
/// A clock that was due a moment before it may be read again waits for this.
const TOO_SOON: Duration = Duration::from_millis(10);
/// Over so many nanoseconds a card's rate against the kernel's clock is told; a nanosecond more or less is no rate then.
const RATE_OVER_NANOS: i64 = 16_000_000_000;

/// How a packet was stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StampedBy {
    /// By the daemon, at the call.
    #[default]
    Daemon,
    /// By the kernel.
    Kernel,
    /// By the card.
    Card,
}

impl StampedBy {
    /// chrony's letter of it.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Daemon => 'D',
            Self::Kernel => 'K',
            Self::Card => 'H',
        }
    }
}

/// A packet of ours or another's, as far as its stamp goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    /// What the card said.
    pub card: CardStamp,
    /// The kernel's time, nanoseconds since the Unix epoch, by which the stamp is judged.
    pub near_ns: i64,
    /// It came; else it left.
    pub received: bool,
    /// The bytes of UDP's data.
    pub bytes: usize,
    /// Over IPv4.
    pub ipv4: bool,
}

/// What a stamp means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CardTime {
    /// In the daemon's time: when the packet left, or when its frame had come.
    pub at: LocalTime,
    /// How long a received frame took on the link, in seconds; 0 where the link's speed is not known.
    pub frame: f64,
}

/// Every card that stamps.
#[derive(Debug, Default)]
pub(crate) struct Cards {
    cards: Vec<Card>,
    /// `hwtstimeout`.
    timeout: Duration,
    /// While a socket asks for them the kernel goes on to stamp what comes; it needs a while to begin, and each exchange has a
    /// socket of its own.
    _keeps_stamping: Option<UdpSocket>,
}

/// One of them.
#[derive(Debug)]
struct Card {
    index: u32,
    name: String,
    device: PhcDevice,
    clock: CardClock,
    filter: ReadingFilter,
    interval_min: Duration,
    interval_max: Duration,
    /// When its clock is read though no packet came.
    due: Duration,
    link: Link,
}

/// What turns a card's stamp into that of the packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    transmit_compensation: f64,
    receive_compensation: f64,
    speed_mbps: Option<u32>,
    /// Bytes before the data of UDP in the last frame that left, IPv4 and IPv6.
    headers: [u32; 2],
}

impl Link {
    /// One of so many Mbit/s, with these compensations in seconds.
    #[cfg(test)]
    pub(crate) fn of_speed(speed_mbps: u32, transmit_compensation: f64, receive_compensation: f64) -> Self {
        let headers = [HEADERS_V4, HEADERS_V6];
        Self { transmit_compensation, receive_compensation, speed_mbps: Some(speed_mbps), headers }
    }

    /// How long a received frame took, in seconds; 0 for one that left, or where the link's speed is not known.
    pub(crate) fn frame_seconds(&self, stamp: &Stamp) -> f64 {
        let Some(speed) = self.speed_mbps.filter(|_| stamp.received) else { return 0.0 };
        let [v4, v6] = self.headers;
        let headers = if stamp.ipv4 { v4 } else { v6 };
        let bytes = u32::try_from(stamp.bytes).unwrap_or(0);
        let frame = stamp.card.frame_bytes.unwrap_or(headers + bytes) + CHECK_BYTES;
        f64::from(frame) * 8.0 / (f64::from(speed) * 1e6)
    }

    /// What is to be added to the stamp. Cards stamp where a frame begins; NTP's receive timestamp is where it ends (RFC 5905
    /// section 7.3).
    pub(crate) fn correction(&self, received: bool, frame: f64) -> f64 {
        if received { frame - self.receive_compensation } else { self.transmit_compensation }
    }

    fn learn_headers(&mut self, stamp: &Stamp) {
        let [v4, v6] = &mut self.headers;
        let place = if stamp.ipv4 { v4 } else { v6 };
        let bytes = u32::try_from(stamp.bytes).unwrap_or(0);
        *place = stamp.card.frame_bytes.and_then(|frame| frame.checked_sub(bytes)).unwrap_or(*place);
    }
}

/// A card's clock as a device.
#[derive(Debug)]
pub(crate) struct PhcDevice {
    device: File,
    /// The card reads both clocks at once.
    precise: bool,
}

impl PhcDevice {
    /// Opens it. `nocrossts`: without the card's own reading of both clocks; `writes`: pins are to be set. The clock is read once,
    /// so that what is none is told now; what was read comes too.
    pub(crate) fn open(path: &Path, nocrossts: bool, writes: bool) -> io::Result<(Self, Vec<CardReading>)> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let device = sys::file::open_device(path, writes).map_err(named)?;
        let precise = if nocrossts { None } else { sys::ptp::read_precise(&device).ok() };
        let pairs = match precise {
            Some(pair) => vec![pair],
            None => sys::ptp::read_between(&device).map_err(named)?,
        };
        Ok((Self { device, precise: precise.is_some() }, readings(&pairs)))
    }

    /// The descriptor.
    pub(crate) fn file(&self) -> &File {
        &self.device
    }

    /// Both clocks, several times.
    pub(crate) fn read(&self) -> io::Result<Vec<CardReading>> {
        let pairs = match self.precise {
            true => vec![sys::ptp::read_precise(&self.device)?],
            false => sys::ptp::read_between(&self.device)?,
        };
        Ok(readings(&pairs))
    }
}

fn readings(pairs: &[Pair]) -> Vec<CardReading> {
    let reading = |pair: &Pair| CardReading {
        local_ns: pair.realtime_ns,
        card_ns: pair.card_ns,
        width_ns: pair.width_ns,
    };
    pairs.iter().map(reading).collect()
}

impl Cards {
    /// Switches stamping on where the configuration says so and the card can; sentences of what was done, and of what was not.
    pub(crate) fn open(settings: &Settings) -> (Self, Vec<String>, Vec<String>) {
        let mut cards = Self {
            cards: Vec::new(),
            timeout: Duration::try_from_secs_f64(settings.hw_timestamp_timeout).unwrap_or_default(),
            _keeps_stamping: None,
        };
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let (every, named): (Vec<_>, Vec<_>) =
            settings.hw_timestamps.iter().partition(|line| line.interface == "*");
        for line in named {
            match cards.add(&line.interface, line) {
                Ok(said) => done.extend(said),
                Err(error) => failed.push(format!(
                    "Could not enable HW timestamping on {}: {error}; its packets are stamped by the kernel",
                    line.interface
                )),
            }
        }
        if let Some(line) = every.first() {
            let names = sys::card::interfaces().unwrap_or_default();
            for name in names {
                // Most interfaces of most hosts cannot.
                if let Ok(said) = cards.add(&name, line) {
                    done.extend(said);
                }
            }
            if cards.cards.is_empty() {
                let why = "No interface has HW timestamping; packets are stamped by the kernel";
                failed.push(why.to_owned());
            }
        }
        if !cards.is_empty() {
            cards._keeps_stamping = sys::socket::unbound_udp()
                .and_then(|socket| sys::socket::card_timestamps(&socket, true).map(|()| socket))
                .ok();
        }
        (cards, done, failed)
    }

    fn add(&mut self, name: &str, line: &HwTimestamp) -> io::Result<Option<String>> {
        if self.cards.iter().any(|card| card.name == name) {
            return Ok(None);
        }
        let unable = |what: &str| io::Error::new(io::ErrorKind::Unsupported, what.to_owned());
        let index = sys::card::index(name)?;
        let can = sys::card::capabilities(name)?;
        if !can.stamps {
            return Err(unable("the card does not stamp packets"));
        }
        let number = can.clock.ok_or_else(|| unable("the card has no clock of its own"))?;
        let filter = filter(&can, line.rx_filter);
        sys::card::switch_on(name, filter)?;
        let device = Path::new("/dev").join(format!("ptp{number}"));
        let (device, _) = PhcDevice::open(&device, line.nocrossts, false)?;
        let poll_min = line.minpoll.clamp(*POLL_RANGE.start(), *POLL_RANGE.end());
        let poll_max = line.maxpoll.clamp(poll_min, *POLL_RANGE.end());
        let seconds = |poll: i8| f64::from(poll).exp2();
        self.cards.push(Card {
            index,
            name: name.to_owned(),
            device,
            clock: CardClock::new(CardSettings {
                samples_min: line.minsamples as usize,
                samples_max: line.maxsamples as usize,
                interval_min: seconds(poll_min),
                precision: line.precision,
            }),
            filter: ReadingFilter::default(),
            interval_max: Duration::from_secs_f64(seconds(poll_max)),
            // A clock is known after its second reading: a server wants it before the first request.
            due: Duration::ZERO,
            interval_min: Duration::from_secs_f64(seconds(poll_min)),
            link: Link {
                transmit_compensation: line.tx_compensation,
                receive_compensation: line.rx_compensation,
                speed_mbps: sys::card::link_speed(name),
                headers: [HEADERS_V4, HEADERS_V6],
            },
        });
        let only = if filter == Filter::None { "(TX only) " } else { "" };
        Ok(Some(format!("Enabled HW timestamping {only}on {name}")))
    }

    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }

    /// How long a reply waits for the card's stamp of its request.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When a clock is to be read.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.cards.iter().map(|card| card.due).min()
    }

    /// Reads the clocks that are due.
    pub(crate) fn read_due(&mut self, now: Duration, clock: &DaemonClock, keeper: &Timekeeper) {
        for card in self.cards.iter_mut().filter(|card| card.due <= now) {
            card.read(now, clock, keeper);
        }
    }

    /// The daemon's time of a stamp; none where the card is none of ours, its clock is not known yet, or the stamp is absurd.
    pub(crate) fn time(
        &mut self,
        stamp: &Stamp,
        now: Duration,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> Option<CardTime> {
        let only = self.cards.len() == 1;
        let card = self
            .cards
            .iter_mut()
            .find(|card| stamp.card.interface.map_or(only, |index| index == card.index))?;
        card.read(now, clock, keeper);
        let time = keeper.corrected(card.clock.local(stamp.card.card_ns)?);
        if !stamp.received {
            card.link.learn_headers(stamp);
        }
        let frame = card.link.frame_seconds(stamp);
        let time = time.plus(card.link.correction(stamp.received, frame));
        let near = clock.at(stamp.near_ns);
        let can_be = time.since(near).abs() < STAMP_DISTANCE_MAX;
        can_be.then_some(CardTime { at: time, frame })
    }

    /// What turns stamps into the kernel's time without this, for a moment: for those who serve time. None where no card's clock is
    /// known yet.
    pub(crate) fn map(&self, clock: &DaemonClock, keeper: &Timekeeper) -> Option<Arc<CardMap>> {
        let now = clock.at(sys::clock::realtime_ns());
        let line = |(place, card): (usize, &Card)| {
            let kernel_at =
                |card_ns: i64| Some(clock.kernel_at(keeper.corrected(card.clock.local(card_ns)?)));
            let card_ns = card.clock.card_at(keeper.uncorrected(now))?;
            let kernel_ns = kernel_at(card_ns)?;
            let gained = kernel_at(card_ns.checked_add(RATE_OVER_NANOS)?)?
                .checked_sub(kernel_ns)?
                .checked_sub(RATE_OVER_NANOS)?;
            let rate = gained as f64 / RATE_OVER_NANOS as f64;
            Some(CardLine { place, index: card.index, card_ns, kernel_ns, rate, link: card.link })
        };
        let lines: Vec<CardLine> = self.cards.iter().enumerate().filter_map(line).collect();
        (!lines.is_empty()).then(|| Arc::new(CardMap { lines, only: self.cards.len() == 1 }))
    }

    /// Reads the clocks of these cards, one bit for each, where that is of use; whether any was.
    pub(crate) fn read_stamping(
        &mut self,
        places: u64,
        now: Duration,
        clock: &DaemonClock,
        keeper: &Timekeeper,
    ) -> bool {
        let cards = self.cards.iter_mut().enumerate();
        let stamping = cards.filter(|(place, _)| *place < u64::BITS as usize && places >> place & 1 != 0);
        stamping.fold(false, |any, (_, card)| card.read(now, clock, keeper) || any)
    }

    /// Our clock was stepped.
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.cards.iter_mut().for_each(|card| card.clock.shift(nanos));
    }

    /// What was read so far says nothing any more.
    pub(crate) fn forget(&mut self) {
        self.cards.iter_mut().for_each(|card| card.clock.forget());
    }
}

impl Card {
    /// Reads its clock, when that is of use; whether it was.
    fn read(&mut self, now: Duration, clock: &DaemonClock, keeper: &Timekeeper) -> bool {
        let uncorrected = |kernel: i64| keeper.uncorrected(clock.at(kernel));
        if !self.clock.wants_reading(uncorrected(sys::clock::realtime_ns())) {
            self.due = self.due.max(now + TOO_SOON);
            return false;
        }
        self.due = now + if self.clock.samples() == 0 { self.interval_min } else { self.interval_max };
        // A card that is gone gives stamps that nobody can read; they are not missed.
        let Ok(readings) = self.device.read() else { return false };
        if let Some(sample) = self.filter.sample(&readings) {
            self.clock.add(sample.card_ns, uncorrected(sample.local_ns), sample.error);
            self.link.speed_mbps = sys::card::link_speed(&self.name);
        }
        true
    }
}

/// The filter for received packets: as it was asked for, or what suits NTP best of what the card has.
fn filter(can: &Capabilities, wanted: Option<RxFilter>) -> Filter {
    let first =
        |filters: &[Filter]| filters.iter().copied().find(|one| can.has(*one)).unwrap_or(Filter::None);
    match wanted {
        None => first(&[Filter::Ntp, Filter::All]),
        Some(RxFilter::None) => Filter::None,
        Some(RxFilter::Ntp) => Filter::Ntp,
        Some(RxFilter::Ptp) => first(&[Filter::PtpUdp, Filter::Ptp]),
        Some(RxFilter::All) => Filter::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        let (mut sources, mut diagnostics) = (conf_text::Sources::new(), conf_text::Diagnostics::new());
        let mut settings = Settings::new(&layout::Layout::system());
        let id = sources.add("c", text);
        chrony_conf::read(
            id,
            &mut settings,
            &mut conf_text::MemoryLoader::new([]),
            &mut sources,
            &mut diagnostics,
        );
        assert_eq!(diagnostics.render(&sources, false), "");
        settings
    }

    /// Goal: an interface whose card cannot stamp is told of once, by name and with the reason, and the kernel's stamps stay;
    /// without such a line nothing is said.
    #[test]
    fn what_cannot_stamp_is_told_once() {
        for (text, expected) in [
            ("", vec![]),
            ("hwtimestamp lo", vec!["Could not enable HW timestamping on lo: "]),
            ("hwtimestamp nosuchif rxfilter all", vec!["Could not enable HW timestamping on nosuchif: "]),
            ("hwtimestamp lo\nhwtimestamp nosuchif", vec!["on lo: ", "on nosuchif: "]),
        ] {
            let (cards, done, failed) = Cards::open(&settings(text));
            assert!(cards.is_empty() && done.is_empty() && cards.deadline().is_none(), "{done:?}");
            assert_eq!(failed.len(), expected.len(), "{failed:?}");
            for (said, wanted) in failed.iter().zip(expected) {
                assert!(said.contains(wanted) && said.ends_with("by the kernel"), "{said}");
            }
        }
    }

    /// Goal: every source of stamps has chrony's letter.
    #[test]
    fn letters_are_chronys() {
        let letters: String =
            [StampedBy::Daemon, StampedBy::Kernel, StampedBy::Card].iter().map(|one| one.letter()).collect();
        assert_eq!(letters, "DKH");
    }
}
