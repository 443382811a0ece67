//! `refclock` and `hwtimestamp`: clocks that are part of this machine.

use std::path::PathBuf;

/// One `refclock` line.
#[derive(Debug, Clone, PartialEq)]
pub struct RefClock {
    /// Where the time comes from.
    pub driver: RefClockDriver,
    /// `poll`: log2 seconds between two samples for the source.
    pub poll: i8,
    /// `dpoll`: log2 seconds between two readings of a driver that does not wait for events.
    pub driver_poll: i8,
    /// `refid`; none: the driver's first three letters and the number of the line, [`RefClock::reference_id_or_default`].
    pub reference_id: Option<[u8; 4]>,
    /// `lock`: pulses are completed with the samples of the reference clock of this id.
    pub lock: Option<[u8; 4]>,
    /// `rate`: pulses a second; none: 1.
    pub rate: Option<u32>,
    /// `maxlockage`: how many pulses old a sample of the `lock` clock may be.
    pub lock_age_max: u32,
    /// `width`: seconds that a pulse lasts; 0: not filtered.
    pub width: f64,
    /// `pps`: only the part below a second counts, whatever the driver.
    pub pps: bool,
    /// `offset`: seconds that are added to every sample.
    pub offset: f64,
    /// `delay`: the source's root delay, seconds.
    pub delay: f64,
    /// `stratum` of the clock, 0 to 15.
    pub stratum: u8,
    /// `precision` of the clock in seconds; 0: that of the system's clock.
    pub precision: f64,
    /// `maxdispersion`: filtered samples that are less certain are left out, seconds; 0: none are.
    pub dispersion_max: f64,
    /// `filter`: the length of the median filter, samples.
    pub filter: u32,
    /// `prefer`.
    pub prefer: bool,
    /// `noselect`.
    pub noselect: bool,
    /// `trust`.
    pub trust: bool,
    /// `require`.
    pub require: bool,
    /// `tai`: the clock keeps TAI.
    pub tai: bool,
    /// `local`: a clock without a time of its own that is steadier than the system's.
    pub local: bool,
    /// `minsamples`; none: the general setting.
    pub minsamples: Option<u32>,
    /// `maxsamples`; none: the general setting.
    pub maxsamples: Option<u32>,
    /// `maxunreach`: polls without a sample for which it may stay selected.
    pub maxunreach: u32,
}

/// What a reference clock is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefClockDriver {
    /// The kernel's pulse-per-second interface.
    Pps {
        /// Like `/dev/pps0`.
        device: PathBuf,
        /// `clear`: the falling edge counts.
        clear: bool,
    },
    /// A shared memory segment of the NTP form.
    Shm {
        /// The segment's number, 0 and up.
        unit: u32,
        /// `perm=`: the mode with which it is made.
        mode: u32,
    },
    /// A Unix datagram socket.
    Sock {
        /// Where it is made.
        path: PathBuf,
    },
    /// A clock of a network card.
    Phc {
        /// Like `/dev/ptp0`, or the name of an interface.
        device: PathBuf,
        /// `nocrossts`: no cross timestamps.
        nocrossts: bool,
        /// `extpps`: the card's timestamps of pulses from outside are what counts.
        extpps: bool,
        /// `pin=`: the pin that is set up for them; -1: none is.
        pin: i32,
        /// `channel=` of the pulses.
        channel: u32,
        /// `clear`: the falling edge counts.
        clear: bool,
    },
    /// The real-time clock.
    Rtc {
        /// Like `/dev/rtc0`.
        device: PathBuf,
        /// `utc`: it keeps UTC.
        utc: bool,
    },
}

impl RefClock {
    /// A clock with the defaults of chrony.conf(5).
    pub fn new(driver: RefClockDriver) -> Self {
        Self {
            driver,
            poll: 4,
            driver_poll: 0,
            reference_id: None,
            lock: None,
            rate: None,
            lock_age_max: 2,
            width: 0.0,
            pps: false,
            offset: 0.0,
            delay: 1e-9,
            stratum: 0,
            precision: 0.0,
            dispersion_max: 0.0,
            filter: 64,
            prefer: false,
            noselect: false,
            trust: false,
            require: false,
            tai: false,
            local: false,
            minsamples: None,
            maxsamples: None,
            maxunreach: 100_000,
        }
    }

    /// The reference id of the line with this number, which counts from 0.
    pub fn reference_id_or_default(&self, index: usize) -> [u8; 4] {
        self.reference_id.unwrap_or_else(|| {
            let number = b'0' + (index % 10) as u8;
            let mut id = [number; 4];
            for (place, letter) in id.iter_mut().zip(self.driver.name().bytes().take(3)) {
                *place = letter;
            }
            id
        })
    }
}

impl RefClockDriver {
    /// The driver's word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pps { .. } => "PPS",
            Self::Shm { .. } => "SHM",
            Self::Sock { .. } => "SOCK",
            Self::Phc { .. } => "PHC",
            Self::Rtc { .. } => "RTC",
        }
    }

    /// What it is read from: a path, or a segment's number.
    pub fn place(&self) -> String {
        match self {
            Self::Shm { unit, .. } => unit.to_string(),
            Self::Pps { device: path, .. }
            | Self::Sock { path }
            | Self::Phc { device: path, .. }
            | Self::Rtc { device: path, .. } => path.display().to_string(),
        }
    }
}

/// One `hwtimestamp` line.
#[derive(Debug, Clone, PartialEq)]
pub struct HwTimestamp {
    /// The interface; `*`: every one.
    pub interface: String,
    /// `minpoll`: log2 seconds between two readings of the card's clock, at least.
    pub minpoll: i8,
    /// `maxpoll`: at most; without it, one more than `minpoll`.
    pub maxpoll: i8,
    /// `minsamples`: readings that are kept, at least.
    pub minsamples: u32,
    /// `maxsamples`: at most.
    pub maxsamples: u32,
    /// `precision` of a reading, seconds.
    pub precision: f64,
    /// `txcomp`: seconds that are added to the time of sending.
    pub tx_compensation: f64,
    /// `rxcomp`: seconds that are taken from the time of reception.
    pub rx_compensation: f64,
    /// `nocrossts`: no cross timestamps.
    pub nocrossts: bool,
    /// `rxfilter`; none: what fits NTP packets best.
    pub rx_filter: Option<RxFilter>,
}

/// `rxfilter`: which received packets the card stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RxFilter {
    /// None.
    None,
    /// NTP packets.
    Ntp,
    /// PTP packets.
    Ptp,
    /// All.
    All,
}

impl RxFilter {
    /// Every filter and its word.
    pub const ALL: &[(&str, Self)] =
        &[("none", Self::None), ("ntp", Self::Ntp), ("ptp", Self::Ptp), ("all", Self::All)];

    /// Its word.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, filter)| *filter == self).map_or("all", |(name, _)| name)
    }
}
