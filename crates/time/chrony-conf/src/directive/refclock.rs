//! `refclock`, `hwtimestamp` and what belongs to them.

use super::Directive;
use crate::settings::{HwTimestamp, RefClock, RefClockDriver, RxFilter};
use crate::words::{Word, Words};
use std::path::PathBuf;

/// The directives of clocks and timestamps in hardware.
pub(super) const REFCLOCK: &[Directive] = &[
    directive!(
        "refclock" " DRIVER PARAMETER[:OPTION]... [OPTION]..." like " SHM 0 refid GPS",
        "none",
        "a clock of this machine: PPS, SHM, SOCK, PHC or RTC",
        |w, s| {
            let clock = refclock(w)?;
            let is_rtc = matches!(clock.driver, RefClockDriver::Rtc { .. });
            s.refclocks.push(clock);
            if is_rtc { super::clock::one_rtc(w, s) } else { Some(()) }
        },
        |s| s.refclocks.iter().map(arguments).collect()
    ),
    directive!(
        "hwtimestamp" " INTERFACE [OPTION]..." like " eth0",
        "timestamps are the kernel's",
        "an interface (*: every one) whose card stamps packets",
        |w, s| {
            let line = hwtimestamp(w)?;
            s.hw_timestamps.push(line);
            Some(())
        },
        |s| s.hw_timestamps.iter().map(hwtimestamp_arguments).collect()
    ),
    directive!(
        "hwtstimeout" " SECONDS" like " 0.001",
        "0.001",
        "how long a reply may wait for the hardware's timestamp of its request",
        |w, s| {
            let seconds = w.magnitude("seconds")?;
            w.end()?;
            s.hw_timestamp_timeout = seconds;
            Some(())
        },
        |s| (s.hw_timestamp_timeout != 1e-3).then(|| s.hw_timestamp_timeout.to_string()).into_iter().collect()
    ),
    count!("maxtxbuffers" " COUNT" like " 1024", 0, "sent packets that are kept for when their timestamps come; no effect here: each timestamp is found without the packet", "a number of packets", 0 to 1_048_576_u32, max_tx_buffers: u32),
    count!("ptpport" " PORT" like " 319", 0, "UDP port of NTP inside PTP; 0: none", "a UDP port", 0 to 65_535_u16, ptp_port: u16),
    count!("ptpdomain" " DOMAIN" like " 123", 123, "PTP domain of NTP inside PTP", "a domain", 0 to 255, ptp_domain: u8),
];

const DRIVERS: &[&str] = &["PPS", "SHM", "SOCK", "PHC", "RTC"];

const OPTIONS: &[&str] = &[
    "poll",
    "dpoll",
    "refid",
    "lock",
    "rate",
    "maxlockage",
    "width",
    "pps",
    "offset",
    "delay",
    "stratum",
    "precision",
    "maxdispersion",
    "filter",
    "prefer",
    "noselect",
    "trust",
    "require",
    "tai",
    "local",
    "minsamples",
    "maxsamples",
    "maxunreach",
];

fn refclock(w: &mut Words<'_, '_>) -> Option<RefClock> {
    let name = w.required("a driver")?;
    let parameter = w.required("what the driver reads")?;
    let mut clock = RefClock::new(driver(w, name, parameter)?);
    let samples = |w: &mut Words<'_, '_>| w.integer("a number of samples", 0, i64::from(i32::MAX));
    while let Some(word) = w.next() {
        match word.text.to_ascii_lowercase().as_str() {
            "poll" => clock.poll = w.integer("log2 seconds", -32, 32)? as i8,
            "dpoll" => clock.driver_poll = w.integer("log2 seconds", -32, 32)? as i8,
            "refid" => clock.reference_id = Some(reference_id(w)?),
            "lock" => clock.lock = Some(reference_id(w)?),
            "rate" => clock.rate = Some(w.integer("pulses a second", 1, i64::from(i32::MAX))? as u32),
            "maxlockage" => {
                clock.lock_age_max = w.integer("a number of pulses", 0, i64::from(i32::MAX))? as u32
            }
            "width" => clock.width = w.number("seconds")?,
            "pps" => clock.pps = true,
            "offset" => clock.offset = w.number("seconds")?,
            "delay" => clock.delay = w.number("seconds")?,
            "stratum" => clock.stratum = w.integer("a stratum", 0, 15)? as u8,
            "precision" => clock.precision = w.number("seconds")?,
            "maxdispersion" => clock.dispersion_max = w.number("seconds")?,
            "filter" => clock.filter = samples(w)? as u32,
            "prefer" => clock.prefer = true,
            "noselect" => clock.noselect = true,
            "trust" => clock.trust = true,
            "require" => clock.require = true,
            "tai" => clock.tai = true,
            "local" => clock.local = true,
            "minsamples" => clock.minsamples = Some(samples(w)? as u32),
            "maxsamples" => clock.maxsamples = Some(samples(w)? as u32),
            "maxunreach" => clock.maxunreach = w.integer("a number of polls", 0, i64::from(i32::MAX))? as u32,
            _ => {
                w.no_choice(word, "option", OPTIONS);
                return None;
            }
        }
    }
    Some(clock)
}

/// Up to four characters.
fn reference_id(w: &mut Words<'_, '_>) -> Option<[u8; 4]> {
    let word = w.required("a reference id")?;
    let bytes = word.text.as_bytes();
    if bytes.len() > 4 || !word.text.is_ascii() {
        w.wrong(word, "a reference id of up to four ASCII characters");
        return None;
    }
    let mut id = [0; 4];
    for (place, letter) in id.iter_mut().zip(bytes) {
        *place = *letter;
    }
    Some(id)
}

fn driver(w: &mut Words<'_, '_>, name: Word<'_>, parameter: Word<'_>) -> Option<RefClockDriver> {
    let mut parts = parameter.text.split(':');
    let place = parts.next().unwrap_or("");
    let device = PathBuf::from(place);
    let mut driver = match DRIVERS.iter().find(|known| known.eq_ignore_ascii_case(name.text)) {
        Some(&"PPS") => RefClockDriver::Pps { device, clear: false },
        Some(&"SHM") => match place.parse::<u32>() {
            Ok(unit) if unit <= 255 => RefClockDriver::Shm { unit, mode: 0o600 },
            _ => {
                w.wrong(parameter, "the number of a segment (0 to 255)");
                return None;
            }
        },
        Some(&"SOCK") => RefClockDriver::Sock { path: device },
        Some(&"PHC") => {
            RefClockDriver::Phc { device, nocrossts: false, extpps: false, pin: 0, channel: 0, clear: false }
        }
        Some(_) => RefClockDriver::Rtc { device, utc: false },
        None => {
            w.no_choice(name, "driver", DRIVERS);
            return None;
        }
    };
    for option in parts {
        if !driver_option(&mut driver, option) {
            w.wrong(parameter, &format!("something that {} understands (see '{option}')", driver.name()));
            return None;
        }
    }
    Some(driver)
}

/// False when the driver has no such option.
fn driver_option(driver: &mut RefClockDriver, text: &str) -> bool {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    match (driver, name, value) {
        (RefClockDriver::Pps { clear, .. } | RefClockDriver::Phc { clear, .. }, "clear", None) => {
            *clear = true
        }
        (RefClockDriver::Shm { mode, .. }, "perm", Some(value)) => match u32::from_str_radix(value, 8) {
            Ok(perm) if perm <= 0o777 => *mode = perm,
            _ => return false,
        },
        (RefClockDriver::Phc { nocrossts, .. }, "nocrossts", None) => *nocrossts = true,
        (RefClockDriver::Phc { extpps, .. }, "extpps", None) => *extpps = true,
        (RefClockDriver::Phc { pin, .. }, "pin", Some(value)) => match value.parse() {
            Ok(index @ -1..) => *pin = index,
            _ => return false,
        },
        (RefClockDriver::Phc { channel, .. }, "channel", Some(value)) => match value.parse() {
            Ok(index) => *channel = index,
            Err(_) => return false,
        },
        (RefClockDriver::Rtc { utc, .. }, "utc", None) => *utc = true,
        _ => return false,
    }
    true
}

fn driver_arguments(driver: &RefClockDriver) -> String {
    let mut line = match driver {
        RefClockDriver::Pps { device, .. }
        | RefClockDriver::Phc { device, .. }
        | RefClockDriver::Rtc { device, .. } => device.display().to_string(),
        RefClockDriver::Sock { path } => path.display().to_string(),
        RefClockDriver::Shm { unit, .. } => unit.to_string(),
    };
    let mut option = |set: bool, text: String| {
        if set {
            line.push(':');
            line.push_str(&text);
        }
    };
    match driver {
        RefClockDriver::Pps { clear, .. } => option(*clear, "clear".to_owned()),
        RefClockDriver::Shm { mode, .. } => option(*mode != 0o600, format!("perm={mode:04o}")),
        RefClockDriver::Sock { .. } => {}
        RefClockDriver::Phc { nocrossts, extpps, pin, channel, clear, .. } => {
            option(*nocrossts, "nocrossts".to_owned());
            option(*extpps, "extpps".to_owned());
            option(*pin != 0, format!("pin={pin}"));
            option(*channel != 0, format!("channel={channel}"));
            option(*clear, "clear".to_owned());
        }
        RefClockDriver::Rtc { utc, .. } => option(*utc, "utc".to_owned()),
    }
    format!("{} {line}", driver.name())
}

fn arguments(clock: &RefClock) -> String {
    let usual = RefClock::new(clock.driver.clone());
    let mut line = driver_arguments(&clock.driver);
    let id = |id: [u8; 4]| String::from_utf8_lossy(&id).trim_end_matches('\0').to_owned();
    let mut option = |set: bool, text: String| {
        if set {
            line.push(' ');
            line.push_str(&text);
        }
    };
    option(clock.poll != usual.poll, format!("poll {}", clock.poll));
    option(clock.driver_poll != usual.driver_poll, format!("dpoll {}", clock.driver_poll));
    if let Some(own) = clock.reference_id {
        option(true, format!("refid {}", id(own)));
    }
    if let Some(other) = clock.lock {
        option(true, format!("lock {}", id(other)));
    }
    if let Some(rate) = clock.rate {
        option(true, format!("rate {rate}"));
    }
    option(clock.lock_age_max != usual.lock_age_max, format!("maxlockage {}", clock.lock_age_max));
    for (value, other, name) in [
        (clock.width, usual.width, "width"),
        (clock.offset, usual.offset, "offset"),
        (clock.delay, usual.delay, "delay"),
        (clock.precision, usual.precision, "precision"),
        (clock.dispersion_max, usual.dispersion_max, "maxdispersion"),
    ] {
        option(value != other, format!("{name} {value}"));
    }
    option(clock.stratum != usual.stratum, format!("stratum {}", clock.stratum));
    option(clock.filter != usual.filter, format!("filter {}", clock.filter));
    for (set, name) in [
        (clock.pps, "pps"),
        (clock.prefer, "prefer"),
        (clock.noselect, "noselect"),
        (clock.trust, "trust"),
        (clock.require, "require"),
        (clock.tai, "tai"),
        (clock.local, "local"),
    ] {
        option(set, name.to_owned());
    }
    for (value, name) in [(clock.minsamples, "minsamples"), (clock.maxsamples, "maxsamples")] {
        if let Some(value) = value {
            option(true, format!("{name} {value}"));
        }
    }
    option(clock.maxunreach != usual.maxunreach, format!("maxunreach {}", clock.maxunreach));
    line
}

const HW_OPTIONS: &[&str] = &[
    "minpoll",
    "maxpoll",
    "minsamples",
    "maxsamples",
    "precision",
    "txcomp",
    "rxcomp",
    "nocrossts",
    "rxfilter",
];

fn hwtimestamp(w: &mut Words<'_, '_>) -> Option<HwTimestamp> {
    let interface = w.required("an interface")?.text.to_owned();
    let mut line = HwTimestamp {
        interface,
        minpoll: 0,
        maxpoll: 0,
        minsamples: 2,
        maxsamples: 16,
        precision: 100e-9,
        tx_compensation: 0.0,
        rx_compensation: 0.0,
        nocrossts: false,
        rx_filter: None,
    };
    let mut maxpoll = None;
    while let Some(word) = w.next() {
        match word.text.to_ascii_lowercase().as_str() {
            "minpoll" => line.minpoll = w.integer("log2 seconds", -32, 32)? as i8,
            "maxpoll" => maxpoll = Some(w.integer("log2 seconds", -32, 32)? as i8),
            "minsamples" => {
                line.minsamples = w.integer("a number of readings", 0, i64::from(i32::MAX))? as u32
            }
            "maxsamples" => {
                line.maxsamples = w.integer("a number of readings", 0, i64::from(i32::MAX))? as u32
            }
            "precision" => line.precision = w.number("seconds")?,
            "txcomp" => line.tx_compensation = w.number("seconds")?,
            "rxcomp" => line.rx_compensation = w.number("seconds")?,
            "nocrossts" => line.nocrossts = true,
            "rxfilter" => {
                let word = w.required("a filter")?;
                let names: Vec<&str> = RxFilter::ALL.iter().map(|(name, _)| *name).collect();
                match RxFilter::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(word.text)) {
                    Some((_, filter)) => line.rx_filter = Some(*filter),
                    None => {
                        w.no_choice(word, "filter", &names);
                        return None;
                    }
                }
            }
            _ => {
                w.no_choice(word, "option", HW_OPTIONS);
                return None;
            }
        }
    }
    line.maxpoll = maxpoll.unwrap_or(line.minpoll + 1);
    Some(line)
}

fn hwtimestamp_arguments(one: &HwTimestamp) -> String {
    let mut line = one.interface.clone();
    let mut option = |set: bool, text: String| {
        if set {
            line.push(' ');
            line.push_str(&text);
        }
    };
    option(one.minpoll != 0, format!("minpoll {}", one.minpoll));
    option(one.maxpoll != one.minpoll + 1, format!("maxpoll {}", one.maxpoll));
    option(one.minsamples != 2, format!("minsamples {}", one.minsamples));
    option(one.maxsamples != 16, format!("maxsamples {}", one.maxsamples));
    option(one.precision != 100e-9, format!("precision {}", one.precision));
    option(one.tx_compensation != 0.0, format!("txcomp {}", one.tx_compensation));
    option(one.rx_compensation != 0.0, format!("rxcomp {}", one.rx_compensation));
    option(one.nocrossts, "nocrossts".to_owned());
    if let Some(filter) = one.rx_filter {
        option(true, format!("rxfilter {}", filter.name()));
    }
    line
}
