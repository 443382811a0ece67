//! `dumpdir`: measurements that outlive a restart, in chrony's files.

use super::{Daemon, monotonic};
use crate::events::Happened;
use crate::records::c_exponent;
use std::path::Path;
use time_core::{Exchange, HistorySample, LeapStatus, LocalTime};

/// The first line of a dump file.
const IDENTIFIER: &str = "SRC0";
/// What stands in the place of a name in the file of a reference clock.
const REFCLOCK_NAME: &str = ".";
/// Samples that are read from one file, at most: what chrony keeps.
const SAMPLES_MAX: usize = 64;
/// Samples of a longer or shorter life than this are none, in seconds.
const SANE_SECONDS: f64 = 1e6;

/// What a dump file says.
#[derive(Debug, Clone, PartialEq)]
struct Dump {
    name: String,
    authenticated: bool,
    reach: u8,
    stratum: u8,
    leap: u8,
    samples: Vec<HistorySample>,
    root_delay: f64,
    root_dispersion: f64,
}

impl Daemon {
    /// Writes a file for each source that was measured (at the end, and `chronyc dump`).
    pub(crate) fn dump(&mut self) {
        let Some(folder) = self.config.settings.dump_dir.clone() else { return };
        let now = self.local_now();
        for index in 0..self.peers.len() {
            let Some(peer) = self.peers.get(index) else { return };
            let Some(last) = self.keeper.source(peer.id).and_then(|source| source.last().copied()) else {
                continue;
            };
            let dump = Dump {
                name: peer.name.clone(),
                authenticated: peer.line.key.is_some() || peer.line.options.nts,
                reach: peer.client.reach(),
                stratum: last.stratum,
                leap: leap_number(last.leap),
                samples: self.keeper.history(peer.id, now),
                root_delay: last.root_delay,
                root_dispersion: last.root_dispersion,
            };
            let path = folder.join(format!("{}.dat", peer.address.ip()));
            if !self.write_dump(&folder, &path, &dump) {
                return;
            }
        }
        for index in 0..self.refclocks.len() {
            let Some(clock) = self.refclocks.get(index) else { return };
            let Some(last) = self.keeper.source(clock.id).and_then(|source| source.last().copied()) else {
                continue;
            };
            let dump = Dump {
                name: REFCLOCK_NAME.to_owned(),
                authenticated: false,
                reach: clock.reach(),
                stratum: last.stratum,
                leap: leap_number(last.leap),
                samples: self.keeper.history(clock.id, now),
                root_delay: last.root_delay,
                root_dispersion: last.root_dispersion,
            };
            let path = folder.join(refclock_file(clock));
            if !self.write_dump(&folder, &path, &dump) {
                return;
            }
        }
    }

    fn write_dump(&mut self, folder: &Path, path: &Path, dump: &Dump) -> bool {
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| sys::file::replace(path, dump.write().as_bytes(), 0o644));
        if let Err(error) = &written {
            self.trouble(format!("Could not write {}: {error}", path.display()));
        }
        written.is_ok()
    }

    /// `-r`: takes up what the files say of sources whose address is known; all files go, with or without `-r`, because they
    /// are true of this start alone.
    pub(super) fn load_histories(&mut self) {
        let Some(folder) = self.config.settings.dump_dir.clone() else { return };
        if self.options.reload {
            for index in 0..self.peers.len() {
                // Without its key a source is not asked, and what it said before is not taken up either.
                match self.peers.get(index).filter(|peer| peer.lacks_key) {
                    None => self.load_history(index, &folder),
                    Some(peer) => {
                        let source = peer.address.ip().to_string();
                        if folder.join(format!("{source}.dat")).exists() {
                            self.log.say(&Happened::Dumped { source, loaded: false });
                        }
                    }
                }
            }
            for index in 0..self.refclocks.len() {
                self.load_refclock_history(index, &folder);
            }
        }
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let names_a_source = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .is_some_and(|stem| stem.parse::<std::net::IpAddr>().is_ok() || stem.starts_with("refid:"));
            if names_a_source && path.extension().is_some_and(|extension| extension == "dat") {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    fn load_refclock_history(&mut self, index: usize, folder: &Path) {
        let now = self.local_now();
        let Some(clock) = self.refclocks.get(index) else { return };
        let (id, source) = (clock.id, clock.label());
        let path = folder.join(refclock_file(clock));
        let Ok(text) = sys::file::read_text_bounded(&path, crate::FILE_BYTES_MAX) else { return };
        let loaded = Dump::read(&text).filter(|dump| dump.name == REFCLOCK_NAME).and_then(|dump| {
            let last = dump.last()?;
            self.keeper.restore(id, &dump.samples, last, now).then_some(dump.reach)
        });
        self.log.say(&Happened::Dumped { source, loaded: loaded.is_some() });
        if let Some(reach) = loaded {
            let events = self.keeper.heard(id, reach, &mut self.clock);
            self.handle(events);
            self.local_gate.updated(monotonic());
        }
    }

    fn load_history(&mut self, index: usize, folder: &Path) {
        let now = self.local_now();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let path = folder.join(format!("{}.dat", peer.address.ip()));
        let Ok(text) = sys::file::read_text_bounded(&path, crate::FILE_BYTES_MAX) else { return };
        let source = peer.label();
        let needs_authentication = peer.line.key.is_some() || peer.line.options.nts;
        let dump = Dump::read(&text)
            .filter(|dump| dump.name == peer.name)
            .filter(|dump| dump.authenticated || !needs_authentication);
        let loaded = dump.and_then(|dump| {
            let last = dump.last()?;
            self.keeper.restore(peer.id, &dump.samples, last, now).then_some(dump.reach)
        });
        self.log.say(&Happened::Dumped { source, loaded: loaded.is_some() });
        if let Some(reach) = loaded {
            peer.client.resume(reach);
            let id = peer.id;
            let events = self.keeper.heard(id, reach, &mut self.clock);
            self.handle(events);
            self.local_gate.updated(monotonic());
        }
    }
}

/// As chronyd names it.
fn refclock_file(clock: &crate::refclocks::RefClock) -> String {
    format!("refid:{:08x}.dat", clock.number())
}

fn leap_number(leap: LeapStatus) -> u8 {
    match leap {
        LeapStatus::Normal => 0,
        LeapStatus::Insert => 1,
        LeapStatus::Delete => 2,
    }
}

impl Dump {
    fn write(&self) -> String {
        let mut out = format!(
            "{IDENTIFIER}\n{}\n{} {:o} {} {} {}\n{} 0\n",
            self.name,
            u8::from(self.authenticated),
            self.reach,
            8 - self.reach.leading_zeros(),
            self.stratum,
            self.leap,
            self.samples.len()
        );
        for one in &self.samples {
            let (seconds, nanos) =
                (one.time.0.div_euclid(1_000_000_000), one.time.0.rem_euclid(1_000_000_000));
            // chrony counts an offset of a fast clock as positive here.
            out.push_str(&format!("{seconds}.{nanos:09}"));
            for value in
                [-one.offset, -one.offset, one.delay, one.dispersion, self.root_delay, self.root_dispersion]
            {
                out.push_str(&format!(" {}", c_exponent(value, 6)));
            }
            out.push('\n');
        }
        out
    }

    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != IDENTIFIER {
            return None;
        }
        let name = lines.next()?.to_owned();
        let mut words = lines.next()?.split_ascii_whitespace();
        let authenticated = words.next()? != "0";
        let reach = u8::try_from(u32::from_str_radix(words.next()?, 8).ok()? & 0xff).ok()?;
        let _reach_size: u32 = words.next()?.parse().ok()?;
        let stratum = words.next()?.parse().ok().filter(|stratum| *stratum < 16)?;
        let leap = words.next()?.parse().ok().filter(|leap| *leap < 3)?;
        let count: usize = lines.next()?.split_ascii_whitespace().next()?.parse().ok()?;
        if !(1..=SAMPLES_MAX).contains(&count) {
            return None;
        }
        let mut dump = Self {
            name,
            authenticated,
            reach,
            stratum,
            leap,
            samples: Vec::with_capacity(count),
            root_delay: 0.0,
            root_dispersion: 0.0,
        };
        for _ in 0..count {
            let mut words = lines.next()?.split_ascii_whitespace();
            let time = nanos(words.next()?)?;
            let mut number = || words.next()?.parse::<f64>().ok().filter(|value| value.abs() < SANE_SECONDS);
            let (offset, _original, delay, dispersion) = (number()?, number()?, number()?, number()?);
            (dump.root_delay, dump.root_dispersion) = (number()?, number()?);
            let in_order = dump.samples.last().is_none_or(|last: &HistorySample| last.time < time);
            if !in_order {
                return None;
            }
            dump.samples.push(HistorySample { time, offset: -offset, delay, dispersion });
        }
        Some(dump)
    }

    /// The server's last words.
    fn last(&self) -> Option<Exchange> {
        let last = self.samples.last()?;
        Some(Exchange {
            sent: last.time.plus(-last.delay / 2.0),
            received: last.time.plus(last.delay / 2.0),
            offset: last.offset,
            delay: last.delay,
            dispersion: last.dispersion,
            root_delay: self.root_delay,
            root_dispersion: self.root_dispersion,
            stratum: self.stratum,
            leap: match self.leap {
                1 => LeapStatus::Insert,
                2 => LeapStatus::Delete,
                _ => LeapStatus::Normal,
            },
        })
    }
}

/// `SECONDS.FRACTION` since the Unix epoch, exactly: as one floating-point number it would lose what counts.
fn nanos(text: &str) -> Option<LocalTime> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().take(9).collect();
    let fraction: i64 = if digits.is_empty() { 0 } else { format!("{digits:0<9}").parse().ok()? };
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds >= 0)?;
    Some(LocalTime(seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is written reads back; what chrony writes is read; rubbish is none and never a panic.
    #[test]
    fn dump_files_are_read() {
        let sample = |seconds: i64, offset: f64| HistorySample {
            time: LocalTime(seconds * 1_000_000_000 + 123_456_789),
            offset,
            delay: 0.001,
            dispersion: 1e-6,
        };
        let dump = Dump {
            name: "ntp.example".to_owned(),
            authenticated: true,
            reach: 0o377,
            stratum: 2,
            leap: 1,
            samples: vec![sample(1_700_000_000, 0.5), sample(1_700_000_064, -0.25)],
            root_delay: 0.002,
            root_dispersion: 0.003,
        };
        let text = dump.write();
        assert_eq!(Dump::read(&text), Some(dump));
        // As chronyd 4.8 writes it.
        let stock = "SRC0\n127.0.0.1\n0 17 4 1 0\n1 2\n1795370000.000000123 1.000000e-06 1.100000e-06 2.000000e-05 \
                     1.500000e-07 0.000000e+00 1.000000e-04\n";
        let read = Dump::read(stock).expect("a dump of chrony's");
        assert_eq!(
            (read.reach, read.samples[0].time.0, read.samples[0].offset),
            (0o17, 1_795_370_000_000_000_123, -1e-6)
        );
        for end in 0..text.len() {
            // What is cut short is none, but for the digits of its last number.
            assert!(Dump::read(&text[..end]).is_none() || end > text.len() - 14, "{end}");
        }
        for (from, to) in [("SRC0", "SRC1"), ("\n2 0\n", "\n65 0\n"), (" 2 1\n", " 16 1\n"), ("e-03", "e+99")]
        {
            assert_eq!(Dump::read(&text.replace(from, to)), None, "{from}");
        }
    }
}
