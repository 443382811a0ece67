//! The measurement records (`chrony.conf(5)`, `log`): one file each, in chrony's columns, and the drift file.

use ntp_proto::{Measurement, ReplyError};
use std::fs::File;
use std::io::ErrorKind;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use time_core::{Drift, LeapStatus, SourceSettings, SourceStatistics, TooLong, Tracking};

/// Which records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Measurements,
    Statistics,
    Tracking,
    /// `selection.log`.
    Selection,
    /// `refclocks.log`.
    RefClocks,
    /// `rtc.log`.
    Rtc,
    /// `tempcomp.log`.
    Temperature,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Measurements => "measurements",
            Self::Statistics => "statistics",
            Self::Tracking => "tracking",
            Self::Selection => "selection",
            Self::RefClocks => "refclocks",
            Self::Rtc => "rtc",
            Self::Temperature => "tempcomp",
        }
    }

    fn banner(self) -> &'static str {
        match self {
            Self::Measurements => {
                "   Date (UTC) Time     IP Address   L St 123 567 ABCD  LP RP Score    Offset  Peer del. Peer disp.  Root del. Root disp. Refid     MTxRx"
            }
            Self::Statistics => {
                "   Date (UTC) Time     IP Address    Std dev'n Est offset  Offset sd  Diff freq   Est skew  Stress  Ns  Bs  Nr  Asym"
            }
            Self::Tracking => {
                "   Date (UTC) Time     IP Address   St   Freq ppm   Skew ppm     Offset L Co  Offset sd Rem. corr. Root delay Root disp. Max. error"
            }
            Self::Selection => {
                "   Date (UTC) Time     IP Address   S EOpts Reach Score Last sample  Low end   High end"
            }
            Self::Temperature => "   Date (UTC) Time        Temp.       Comp.",
            Self::Rtc => "   Date (UTC) Time   RTC fast (s) Val   Est fast (s)   Slope (ppm)  Ns  Nr Meas",
            Self::RefClocks => {
                "   Date (UTC) Time         Refid  DP L P  Raw offset   Cooked offset      Disp."
            }
        }
    }
}

/// How an exchange was stamped, in chrony's letters: D by us, K by the kernel, H by the hardware.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped {
    pub sent: char,
    pub received: char,
    pub interleaved: bool,
}

/// A line of `selection.log`.
#[derive(Debug)]
pub(crate) struct SelectionLine<'a> {
    pub source: &'a str,
    pub letter: char,
    pub options: SourceSettings,
    pub reach: u8,
    pub score: f64,
    pub last_sample_ago: f64,
    pub low: f64,
    pub high: f64,
}

/// A line of `refclocks.log`.
#[derive(Debug)]
pub(crate) struct RefClockLine<'a> {
    pub reference_id: &'a str,
    /// None: it knows of no time.
    pub leap: Option<LeapStatus>,
    /// Readings since the last poll, whether it is a pulse, and the offset as it was read; none: a filtered sample.
    pub raw: Option<(u32, bool, f64)>,
    pub cooked: f64,
    pub dispersion: f64,
}

/// Where the lines of a kind go.
#[derive(Debug)]
enum Place {
    /// Its file is opened for the next line.
    Closed,
    Open(File),
    /// It could not be written, which was told; until [`Records::close`] it is not tried again.
    GivenUp,
}

/// A line of `rtc.log`.
#[derive(Debug)]
pub(crate) struct RtcLogLine {
    /// How far the real-time clock was ahead of ours, seconds.
    pub fast: f64,
    /// There is an estimate.
    pub valid: bool,
    pub estimate: f64,
    /// s/s.
    pub gain: f64,
    pub samples: usize,
    pub runs: u32,
    /// Seconds until the next reading.
    pub period: u32,
}

/// The files in `logdir`.
#[derive(Debug)]
pub(crate) struct Records {
    folder: Option<PathBuf>,
    banner_lines: u32,
    open: Vec<(Kind, Place, u32)>,
    /// Measurements that failed a test are written too.
    raw: bool,
}

impl Records {
    /// The kinds that the configuration names.
    pub(crate) fn new(folder: Option<PathBuf>, banner_lines: u32, kinds: &[Kind], raw: bool) -> Self {
        Self { folder, banner_lines, open: kinds.iter().map(|kind| (*kind, Place::Closed, 0)).collect(), raw }
    }

    /// Closes the files; the next line opens them anew.
    pub(crate) fn close(&mut self) {
        for (_, place, _) in &mut self.open {
            *place = Place::Closed;
        }
    }

    fn wants(&self, kind: Kind) -> bool {
        self.folder.is_some() && self.open.iter().any(|(known, _, _)| *known == kind)
    }

    /// The error names the file. It comes once: the next lines of this kind are lost without a word.
    fn write(&mut self, kind: Kind, line: &str) -> std::io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let Some((_, place, lines)) = self.open.iter_mut().find(|(known, _, _)| *known == kind) else {
            return Ok(());
        };
        if matches!(place, Place::GivenUp) {
            return Ok(());
        }
        let mut text = String::new();
        if self.banner_lines > 0 && *lines % self.banner_lines == 0 {
            let rule = "=".repeat(kind.banner().len());
            text = format!("{rule}\n{}\n{rule}\n", kind.banner());
        }
        *lines = lines.wrapping_add(1);
        text.push_str(line);
        text.push('\n');
        let path = folder.join(format!("{}.log", kind.name()));
        let written = match place {
            Place::Open(file) => file.write_all(text.as_bytes()),
            _ => std::fs::create_dir_all(folder).and_then(|()| {
                let mut file = sys::file::append(&path, 0o644)?;
                file.write_all(text.as_bytes())?;
                *place = Place::Open(file);
                Ok(())
            }),
        };
        written.map_err(|error| {
            *place = Place::GivenUp;
            std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })
    }

    /// An exchange that passed the tests of the protocol, and which of the tests of its delay it passed. One that failed is
    /// written only with `rawmeasurements`.
    pub(crate) fn measurement(
        &mut self,
        address: IpAddr,
        poll: i8,
        one: &Measurement,
        stamped: Stamped,
        failed: Option<TooLong>,
    ) -> std::io::Result<()> {
        // Tests A to D are about the path, not about the packet: it is logged as valid.
        if !self.wants(Kind::Measurements) {
            return Ok(());
        }
        let tests = match failed {
            None => "111 111 1111",
            Some(TooLong::Ratio) => "111 111 1011",
            Some(TooLong::Deviation) => "111 111 1101",
        };
        let line = measurement_line(one.received, address, poll, tests, &one.header, Some(one), stamped);
        self.write(Kind::Measurements, &line)
    }

    /// A reply that failed a test of the protocol (`rawmeasurements`).
    pub(crate) fn failed_reply(
        &mut self,
        at: i64,
        address: IpAddr,
        poll: i8,
        why: ReplyError,
        bytes: &[u8],
    ) -> std::io::Result<()> {
        let valid = matches!(why, ReplyError::Delay(_) | ReplyError::Loop | ReplyError::Measured);
        if !(self.raw || valid) || !self.wants(Kind::Measurements) {
            return Ok(());
        }
        let Ok(packet) = ntp_proto::Packet::parse(bytes) else { return Ok(()) };
        let Some(tests) = failed_tests(why, &packet.header) else { return Ok(()) };
        let stamped = Stamped { sent: 'D', received: 'K', interleaved: why == ReplyError::Measured };
        let line = measurement_line(at, address, poll, &tests, &packet.header, None, stamped);
        self.write(Kind::Measurements, &line)
    }

    /// What the selection made of a source.
    pub(crate) fn selection(&mut self, now: i64, one: &SelectionLine<'_>) -> std::io::Result<()> {
        if !self.wants(Kind::Selection) {
            return Ok(());
        }
        let (date, time) = utc(now);
        let option = |set: bool, letter: char| if set { letter } else { '-' };
        let line = format!(
            "{date} {time} {:<15} {} -{}{}{}{} {:>4o} {:5.2} {} {} {}",
            one.source,
            one.letter,
            option(one.options.noselect, 'N'),
            option(one.options.prefer, 'P'),
            option(one.options.trust, 'T'),
            option(one.options.require, 'R'),
            one.reach,
            one.score,
            e3(one.last_sample_ago),
            e3(one.low),
            e3(one.high),
        );
        self.write(Kind::Selection, &line)
    }

    /// Selection lines are wanted: making them costs a look at every source.
    pub(crate) fn wants_selection(&self) -> bool {
        self.wants(Kind::Selection)
    }

    /// A source's estimate after an exchange.
    pub(crate) fn statistics(
        &mut self,
        now: i64,
        source: &str,
        one: &SourceStatistics,
    ) -> std::io::Result<()> {
        if !self.wants(Kind::Statistics) {
            return Ok(());
        }
        let (date, time) = utc(now);
        let line = format!(
            "{date} {time} {:<15} {} {} {} {} {} {} {:>3} {:>3} {:>3} {:5.2}",
            source,
            e3(one.deviation),
            e3(-one.offset),
            e3(one.offset_sigma),
            e3(one.residual_frequency),
            e3(one.skew),
            e1(one.stress),
            one.samples,
            one.dropped,
            one.runs,
            one.asymmetry,
        );
        self.write(Kind::Statistics, &line)
    }

    /// A raw sample of a reference clock, or with no reading the one that its filter gave: true minus local time.
    pub(crate) fn refclock(&mut self, at: i64, one: &RefClockLine<'_>) -> std::io::Result<()> {
        if !self.wants(Kind::RefClocks) {
            return Ok(());
        }
        let (date, time) = utc(at);
        let micros = at.rem_euclid(1_000_000_000) / 1000;
        let leap = match one.leap {
            Some(LeapStatus::Normal) => 'N',
            Some(LeapStatus::Insert) => '+',
            Some(LeapStatus::Delete) => '-',
            None => '?',
        };
        let refid = one.reference_id;
        let cooked = c_exponent(one.cooked, 6);
        let dispersion = e3(one.dispersion);
        let line = match one.raw {
            Some((polled, pulse, raw)) => format!(
                "{date} {time}.{micros:06} {refid:<5} {polled:>3} {leap} {} {:>13} {cooked:>13} {dispersion}",
                u8::from(pulse),
                c_exponent(raw, 6),
            ),
            None => format!(
                "{date} {time}.{micros:06} {refid:<5}   - {leap} -       -       {cooked:>13} {dispersion}"
            ),
        };
        self.write(Kind::RefClocks, &line)
    }

    /// A temperature, and what the oscillator gains there, s/s.
    pub(crate) fn temperature(&mut self, at: i64, temperature: f64, gains: f64) -> std::io::Result<()> {
        if !self.wants(Kind::Temperature) {
            return Ok(());
        }
        let (date, time) = utc(at);
        let line =
            format!("{date} {time} {:>11} {:>11}", c_exponent(temperature, 4), c_exponent(gains * 1e6, 4));
        self.write(Kind::Temperature, &line)
    }

    /// A reading of the real-time clock.
    pub(crate) fn rtc(&mut self, at: i64, one: &RtcLogLine) -> std::io::Result<()> {
        if !self.wants(Kind::Rtc) {
            return Ok(());
        }
        let (date, time) = utc(at);
        let line = format!(
            "{date} {time} {:14.6} {}  {:14.6}  {:12.3}  {:>2}  {:>2} {:>4}",
            one.fast,
            u8::from(one.valid),
            one.estimate,
            one.gain * 1e6,
            one.samples,
            one.runs,
            one.period,
        );
        self.write(Kind::Rtc, &line)
    }

    /// The clock's state after an update.
    pub(crate) fn tracking(
        &mut self,
        now: i64,
        address: &str,
        one: &Tracking,
        combined: usize,
        sigma: f64,
        remaining: f64,
    ) -> std::io::Result<()> {
        if !self.wants(Kind::Tracking) {
            return Ok(());
        }
        let (date, time) = utc(now);
        let leap = match one.leap {
            LeapStatus::Normal => 'N',
            LeapStatus::Insert => '+',
            LeapStatus::Delete => '-',
        };
        let line = format!(
            "{date} {time} {address:<15} {:>2} {:>10.3} {:>10.3} {} {leap} {combined:>2} {} {} {} {} {}",
            one.stratum,
            -one.frequency * 1e6,
            one.skew * 1e6,
            e3(-one.last_offset),
            e3(sigma),
            e3(remaining),
            e3(one.root_delay),
            e3(one.root_dispersion),
            e3(one.root_delay / 2.0 + one.root_dispersion + remaining.abs()),
        );
        self.write(Kind::Tracking, &line)
    }
}

/// The tests of a reply that failed, as chronyd writes them: those of the packet each for itself, and where one of them failed none of the
/// measurement (A to D). None for what is no reply.
fn failed_tests(why: ReplyError, header: &ntp_proto::Header) -> Option<String> {
    let (duplicate, origin, timestamps, authentic, measurement) = match why {
        ReplyError::Duplicate => (0, 1, 1, 1, "0000"),
        ReplyError::Bogus | ReplyError::Unexpected => (1, 0, 1, 1, "0000"),
        ReplyError::Timestamps => (1, 1, 0, 1, "0000"),
        ReplyError::Mac(_) => (1, 1, 1, 0, "0000"),
        ReplyError::Unsynchronised { .. } | ReplyError::Kiss(_) | ReplyError::RootDistance(_) => {
            (1, 1, 1, 1, "0000")
        }
        ReplyError::Delay(_) | ReplyError::Measured => (1, 1, 1, 1, "0111"),
        ReplyError::Loop => (1, 1, 1, 1, "1110"),
        _ => return None,
    };
    let synchronised = header.leap != ntp_proto::Leap::Unsynchronised
        && (1..STRATUM_UNSYNCHRONISED).contains(&header.stratum);
    let distance = header.root_delay.seconds() / 2.0 + header.root_dispersion.seconds();
    let (synchronised, near) = (u8::from(synchronised), u8::from(distance < ROOT_DISTANCE_MAX));
    Some(format!("{duplicate}{origin}{timestamps} {authentic}{synchronised}{near} {measurement}"))
}

/// From this stratum on a server is not synchronised (RFC 5905 figure 11).
const STRATUM_UNSYNCHRONISED: u8 = 16;
/// A root distance from here on is of no use, in seconds (RFC 5905, MAXDISP).
const ROOT_DISTANCE_MAX: f64 = 16.0;

fn measurement_line(
    at: i64,
    address: IpAddr,
    poll: i8,
    tests: &str,
    header: &ntp_proto::Header,
    one: Option<&Measurement>,
    stamped: Stamped,
) -> String {
    let (date, time) = utc(at);
    let number = |value: fn(&Measurement) -> f64| e3(one.map_or(0.0, value));
    format!(
        "{date} {time} {:<15} {} {:>2} {tests}  {:>2} {:>2} {:4.2} {} {} {} {} {} {:08X} {}{} {} {}",
        address.to_string(),
        leap_letter(header.leap.bits()),
        header.stratum,
        poll,
        header.poll,
        1.0,
        number(|one| one.offset),
        number(|one| one.delay),
        number(|one| one.dispersion),
        e3(header.root_delay.seconds()),
        e3(header.root_dispersion.seconds()),
        u32::from_be_bytes(header.reference_id.0),
        header.mode.bits(),
        if stamped.interleaved { 'I' } else { 'B' },
        stamped.sent,
        stamped.received,
    )
}

fn leap_letter(bits: u8) -> char {
    match bits {
        0 => 'N',
        1 => '+',
        2 => '-',
        _ => '?',
    }
}

/// As C's `%10.3e` prints it.
fn e3(value: f64) -> String {
    format!("{:>10}", c_exponent(value, 3))
}

/// As C's `%7.1e` prints it.
fn e1(value: f64) -> String {
    format!("{:>7}", c_exponent(value, 1))
}

/// As C prints a number with an exponent.
pub(crate) fn c_exponent(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Date and time of day, UTC, of nanoseconds since the Unix epoch.
pub(crate) fn utc(nanos: i64) -> (String, String) {
    let seconds = nanos.div_euclid(1_000_000_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01 in eras of 400 years: the leap day is a year's last.
    let day = days + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (
        format!("{year:04}-{month:02}-{day_of_month:02}"),
        format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60),
    )
}

/// More than this is no clock's frequency, and `maxdrift`'s default; parts per million.
const DRIFT_MAX_PPM: f64 = 500_000.0;
/// A frequency that is less certain than a whole second each second is not known at all; parts per million.
const DRIFT_SKEW_MAX_PPM: f64 = 1e6;

/// Reads a drift file: the rate at which the clock gains, and its error bound, in parts per million. None where there is no file
/// yet; an error for what no clock can have, which would make ours run at half its rate.
pub(crate) fn read_drift(path: &Path) -> Result<Option<Drift>, String> {
    let text = match sys::file::read_text_bounded(path, crate::FILE_BYTES_MAX) {
        Ok(text) => text,
        // Nothing was learnt yet; whether it can be written is tried out later.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
            return Ok(None);
        }
        Err(error) => {
            let path = path.display();
            return Err(format!(
                "Could not read driftfile {path}: {}\nhelp: ls -l {path}",
                crate::events::reason(&error)
            ));
        }
    };
    let drift = parse_drift(&text);
    // chronyd's words.
    let wrong = || {
        let path = path.display();
        format!(
            "Could not read valid frequency and skew from driftfile {path}\nhelp: rm {path} (what it knew is learnt anew)"
        )
    };
    drift.map(Some).ok_or_else(wrong)
}

fn parse_drift(text: &str) -> Option<Drift> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<f64>().ok());
    let gains = words.next()??;
    let skew = words.next().flatten().unwrap_or(1.0);
    // A NaN is not below a limit either.
    (gains.abs() <= DRIFT_MAX_PPM && skew.abs() <= DRIFT_SKEW_MAX_PPM)
        .then(|| Drift { frequency: -gains * 1e-6, skew: skew.abs() * 1e-6 })
}

/// Writes a drift file in one step, so that a power cut leaves the old or the new one.
pub(crate) fn write_drift(path: &Path, frequency: f64, skew: f64) -> std::io::Result<()> {
    let text = format!("{:20.6} {:20.6}\n", -frequency * 1e6, skew * 1e6);
    sys::file::replace(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a reply's tests are told as chronyd tells them: a NAK of NTS (a kiss, of stratum 0) fails the tests of authentication and of
    /// the stratum, a reply that came too late only that of the delay.
    #[test]
    fn tests_of_failed_replies_are_told_apart() {
        let header = |first: u8, stratum: u8, delay: u8| {
            let mut bytes = [0; 48];
            (bytes[0], bytes[1], bytes[5]) = (first, stratum, delay);
            ntp_proto::Packet::parse(&bytes).expect("it is long enough").header
        };
        let (good, kiss, far) = (header(0x24, 1, 0), header(0xe4, 0, 0), header(0x24, 2, 40));
        let mac = ReplyError::Mac(ntp_proto::MacError::Missing);
        let check = |why, header, expected| assert_eq!(failed_tests(why, header).as_deref(), expected);
        check(mac, &kiss, Some("111 001 0000"));
        check(mac, &good, Some("111 011 0000"));
        check(ReplyError::Duplicate, &good, Some("011 111 0000"));
        check(ReplyError::Bogus, &good, Some("101 111 0000"));
        check(ReplyError::Timestamps, &good, Some("110 111 0000"));
        check(ReplyError::Unsynchronised { stratum: 0 }, &kiss, Some("111 101 0000"));
        check(ReplyError::RootDistance(20.0), &far, Some("111 110 0000"));
        check(ReplyError::Delay(1.0), &good, Some("111 111 0111"));
        check(ReplyError::Loop, &good, Some("111 111 1110"));
        check(ReplyError::Mode(ntp_proto::Mode::Client), &good, None);
    }

    /// Goal: what no clock's frequency can be is not taken for one, however it is written: it would make the clock run at half its rate.
    #[test]
    fn impossible_drifts_are_no_drifts() {
        let path = std::env::temp_dir().join(format!("timed-drift-{}", std::process::id()));
        let read = |text: &str| {
            std::fs::write(&path, text).expect("a file can be made");
            read_drift(&path).ok().flatten()
        };
        for text in ["nan 1", "1 nan", "inf 1", "1 inf", "1e400 1", "1000000 1", "-1e9 1", "1 1e300", "", "x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("-12.5 0.5"), Some(Drift { frequency: 12.5 * 1e-6, skew: 0.5 * 1e-6 }));
        assert!(read("500000 1000000").is_some());
        std::fs::remove_file(&path).expect("it is there");
    }

    /// Goal: dates are right at the edges of the calendar, numbers are written as C writes them.
    #[test]
    fn dates_and_numbers_are_written_as_c_writes_them() {
        for (seconds, expected) in [
            (0, ("1970-01-01", "00:00:00")),
            (951_782_399, ("2000-02-28", "23:59:59")),
            (951_782_400, ("2000-02-29", "00:00:00")),
            (1_795_363_289, ("2026-11-22", "16:01:29")),
            (-1, ("1969-12-31", "23:59:59")),
        ] {
            let (date, time) = utc(seconds * 1_000_000_000);
            assert_eq!((date.as_str(), time.as_str()), expected);
        }
        for (value, expected) in [(-4.966e-3, "-4.966e-03"), (0.0, " 0.000e+00"), (1.5e10, " 1.500e+10")] {
            assert_eq!(e3(value), expected);
        }
    }

    /// Goal: what is written to a drift file is read back, and rubbish is none.
    #[test]
    fn a_drift_file_survives() {
        let path = std::env::temp_dir().join(format!("timed-drift-{}", std::process::id()));
        write_drift(&path, 12.5e-6, 0.25e-6).expect("the temporary folder is writable");
        assert_eq!(
            std::fs::read_to_string(&path).expect("it exists"),
            "          -12.500000             0.250000\n"
        );
        let drift = read_drift(&path).expect("it is readable").expect("it has both numbers");
        assert!((drift.frequency - 12.5e-6).abs() < 1e-12 && (drift.skew - 0.25e-6).abs() < 1e-12);
        std::fs::write(&path, "x").expect("it is writable");
        let said = read_drift(&path).expect_err("no number");
        assert!(said.starts_with("Could not read valid frequency and skew from driftfile /"), "{said}");
        std::fs::remove_file(&path).expect("it exists");
    }
}
