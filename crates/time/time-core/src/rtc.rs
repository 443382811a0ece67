//! The real-time clock beside ours: readings at its seconds, and the line through them.
//!
//! A real-time clock counts whole seconds and says when each begins, so a reading is exact to the wakeup of whoever reads it: some
//! of them are late, none is early. The line is the one of the median slope (Theil-Sen) through the median residual, which a few
//! late readings do not move. Everything here is in the time of the uncorrected oscillator, where no slew bends the line.

use crate::clock::LocalTime;
use std::collections::VecDeque;

/// Readings that are kept.
pub const RTC_SAMPLES_MAX: usize = 64;
/// Readings a second apart with which the offset is known after a start, or after the clock was set.
const RAPID_SAMPLES: u32 = 8;
/// Fewer readings give no line.
const LINE_SAMPLES_MIN: usize = 3;
/// Fewer readings say nothing about runs.
const RUNS_SAMPLES_MIN: usize = 8;
/// Runs of residuals of one sign may be this many standard deviations fewer than chance makes them: else the clock's rate has
/// changed, and the oldest readings say nothing about the present one.
const RUNS_SIGMAS: f64 = 2.0;
/// With the gain known to one sigma of this, in s/s, older readings are no help: a crystal of 32 kHz that is a few degrees away from its
/// turning point changes by more with each degree, and what it gained hours ago is not what it gains.
const GAIN_SIGMA_ENOUGH: f64 = 2e-8;
/// Readings that stay all the same: fewer say too little about their own noise.
const ENOUGH_SAMPLES_MIN: usize = 8;
/// Seconds between two readings while there are fewer than so many of them; the last holds from then on. A clock that drifts by a
/// part per million is off by a quarter of a millisecond in the longest.
const PERIODS: &[(usize, u32)] = &[(4, 15), (6, 30), (10, 60), (14, 120), (usize::MAX, 240)];

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RtcSample {
    /// What it shows: the second that begins, since the Unix epoch.
    shown: i64,
    /// When, in uncorrected time.
    time: LocalTime,
}

impl RtcSample {
    /// How far it is ahead, in seconds.
    fn fast(self) -> f64 {
        self.shown.saturating_mul(1_000_000_000).saturating_sub(self.time.0) as f64 * 1e-9
    }
}

/// The line: how far the real-time clock is ahead of uncorrected time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RtcLine {
    /// What the real-time clock shows at the line's reference, seconds since the Unix epoch.
    pub shown: i64,
    /// The uncorrected time then.
    pub time: LocalTime,
    /// How far it is ahead then, in seconds.
    pub fast: f64,
    /// How much it gains, s/s of its own seconds.
    pub gain: f64,
}

/// What it is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// To follow it.
    #[default]
    Follow,
    /// To set our clock at the start.
    Start,
    /// To know its offset again after it was set.
    Set,
}

/// What a reading completed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RtcStep {
    /// Nothing: more readings are needed, a second apart.
    Rapid,
    /// A line, if there is one yet.
    Followed(Option<RtcLine>),
    /// What the start needs: none when the readings make no line.
    Started(Option<RtcLine>),
    /// The offset after it was set, with the gain that was known before.
    Relocked(Option<RtcLine>),
}

/// The real-time clock as it is followed.
#[derive(Debug, Clone, Default)]
pub struct RealTimeClock {
    samples: VecDeque<RtcSample>,
    since_line: u32,
    runs: u32,
    line: Option<RtcLine>,
    gain_before: f64,
    phase: Phase,
}

impl RealTimeClock {
    /// The next readings are for the start of the daemon.
    pub fn begin_start(&mut self) {
        self.phase = Phase::Start;
    }

    /// Readings of the start will not come.
    pub fn give_up(&mut self) {
        self.phase = Phase::Follow;
    }

    /// It began the second `shown` at `time`.
    pub fn read(&mut self, shown: i64, time: LocalTime) -> RtcStep {
        if self.samples.back().is_some_and(|last| last.shown >= shown) {
            // Somebody set it back.
            self.samples.clear();
        }
        if self.samples.len() == RTC_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(RtcSample { shown, time });
        self.since_line += 1;
        if self.phase != Phase::Follow && self.since_line < RAPID_SAMPLES {
            return RtcStep::Rapid;
        }
        self.since_line = 0;
        let line = self.draw();
        match std::mem::take(&mut self.phase) {
            Phase::Follow => {
                self.line = line.or(self.line);
                RtcStep::Followed(line)
            }
            Phase::Start => {
                // Readings of a few seconds say nothing about its rate.
                self.samples.clear();
                RtcStep::Started(line)
            }
            Phase::Set => {
                self.samples.clear();
                self.line = None;
                RtcStep::Relocked(line.map(|line| RtcLine { gain: self.gain_before, ..line }))
            }
        }
    }

    /// It was set to the second `shown` at `time`, and will begin the next one `fast` seconds ahead, as far as is known.
    pub fn was_set(&mut self, shown: i64, time: LocalTime, fast: f64) {
        self.gain_before = self.line.map_or(0.0, |line| line.gain);
        self.samples.clear();
        self.since_line = 0;
        self.line = Some(RtcLine { shown, time, fast, gain: self.gain_before });
        self.phase = Phase::Set;
    }

    /// Our clock was stepped by `nanos`, and uncorrected time with it.
    pub fn shift(&mut self, nanos: i64) {
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        self.samples.iter_mut().for_each(|sample| sample.time = moved(sample.time));
        if let Some(line) = &mut self.line {
            line.time = moved(line.time);
            line.fast -= nanos as f64 * 1e-9;
        }
    }

    /// What our clock did is not known: the readings say nothing any more.
    pub fn forget(&mut self) {
        self.samples.clear();
        self.since_line = 0;
    }

    /// Readings are wanted a second apart.
    pub fn is_rapid(&self) -> bool {
        self.phase != Phase::Follow
    }

    /// Until the next reading, in seconds.
    pub fn period(&self) -> u32 {
        PERIODS.iter().find(|(below, _)| self.samples.len() < *below).map_or(1, |(_, period)| *period)
    }

    /// The line; none while it is not known.
    pub fn line(&self) -> Option<RtcLine> {
        self.line
    }

    /// Readings, and runs of residuals of one sign.
    pub fn counts(&self) -> (usize, u32) {
        (self.samples.len(), self.runs)
    }

    /// From the oldest reading to the newest, in its seconds.
    pub fn span(&self) -> i64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => last.shown.saturating_sub(first.shown),
            _ => 0,
        }
    }

    /// The line through the readings that lie on one, at the newest of them; the others are dropped.
    fn draw(&mut self) -> Option<RtcLine> {
        loop {
            let last = *self.samples.back()?;
            if self.samples.len() < LINE_SAMPLES_MIN {
                return None;
            }
            let points: Vec<(f64, f64)> = self
                .samples
                .iter()
                .map(|one| (one.shown.saturating_sub(last.shown) as f64, one.fast() - last.fast()))
                .collect();
            let gain = median_slope(&points);
            let at_last = median(points.iter().map(|(x, y)| y - gain * x).collect());
            self.runs = runs(points.iter().map(|(x, y)| y - gain * x - at_last));
            if self.samples.len() > RUNS_SAMPLES_MIN && (f64::from(self.runs)) < runs_least(points.len()) {
                self.samples.pop_front();
                continue;
            }
            let newer = points.get(1..).unwrap_or_default();
            if newer.len() >= ENOUGH_SAMPLES_MIN && gain_sigma(newer, gain, at_last) < GAIN_SIGMA_ENOUGH {
                self.samples.pop_front();
                continue;
            }
            let fast = last.fast() + at_last;
            return Some(RtcLine { shown: last.shown, time: last.time, fast, gain });
        }
    }
}

/// One sigma of the gain of a line through these points, by how far they are from the line of this gain and offset, in s/s.
fn gain_sigma(points: &[(f64, f64)], gain: f64, offset: f64) -> f64 {
    let count = points.len() as f64;
    let residuals: f64 = points.iter().map(|(x, y)| (y - gain * x - offset).powi(2)).sum();
    let middle = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(x, _)| (x - middle).powi(2)).sum();
    (residuals / (count - 2.0) / spread).sqrt()
}

/// The median of the slopes between all pairs of points.
fn median_slope(points: &[(f64, f64)]) -> f64 {
    let slopes = points.iter().enumerate().flat_map(|(index, (x, y))| {
        points
            .iter()
            .skip(index + 1)
            .filter(move |(other, _)| other != x)
            .map(move |(a, b)| (b - y) / (a - x))
    });
    median(slopes.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.get(middle.wrapping_sub(1))) {
        (Some(high), Some(low)) if values.len().is_multiple_of(2) => (high + low) / 2.0,
        (Some(one), _) => *one,
        _ => 0.0,
    }
}

fn runs(residuals: impl Iterator<Item = f64>) -> u32 {
    let mut count = 0;
    let mut before = None;
    for residual in residuals {
        let sign = residual < 0.0;
        count += u32::from(before != Some(sign));
        before = Some(sign);
    }
    count
}

/// Of `count` residuals with as many of each sign, half and one runs are to be expected, with a variance of a quarter of the count.
fn runs_least(count: usize) -> f64 {
    let count = count as f64;
    count / 2.0 + 1.0 - RUNS_SIGMAS * (count / 4.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimRandom;

    /// A clock that is `fast` ahead at 1000 s and gains `gain`, read late by up to `late` seconds.
    fn follow(rtc: &mut RealTimeClock, seconds: &[i64], fast: f64, gain: f64, late: f64) -> Option<RtcLine> {
        let mut random = SimRandom::new(7);
        let mut found = None;
        for second in seconds {
            let ahead = fast + gain * (*second - 1000) as f64;
            let time = LocalTime(0).plus(*second as f64 - ahead + random.uniform() * late);
            if let RtcStep::Followed(line) = rtc.read(*second, time) {
                found = line;
            }
        }
        found
    }

    /// Goal: offset and gain are found from readings that are late by chance, one of them by far.
    #[test]
    fn a_line_is_found() {
        let mut rtc = RealTimeClock::default();
        let seconds: Vec<i64> = (0..40).map(|number| 1000 + number * 240).collect();
        let line = follow(&mut rtc, &seconds, 3.25, 12e-6, 1e-3).expect("a line");
        assert_eq!(line.shown, 1000 + 39 * 240);
        assert!((line.gain - 12e-6).abs() < 1e-6, "{line:?}");
        assert!((line.fast - 3.25 - 12e-6 * (39.0 * 240.0)).abs() < 2e-3, "{line:?}");
        let (samples, runs) = rtc.counts();
        assert!(samples > 8 && runs > 4, "{samples} {runs}");
        let late = LocalTime(0).plus(1000.0 + 40.0 * 240.0 + 30.0);
        let RtcStep::Followed(Some(after)) = rtc.read(1000 + 40 * 240, late) else { panic!("no line") };
        assert!((after.gain - 12e-6).abs() < 2e-6 && (after.fast - line.fast).abs() < 0.01, "{after:?}");
    }

    /// Goal: after a bend of the rate the readings before it go; the count is bounded; a clock that was set back begins anew.
    #[test]
    fn old_readings_go() {
        let mut rtc = RealTimeClock::default();
        let first: Vec<i64> = (0..30).map(|number| 1000 + number * 240).collect();
        follow(&mut rtc, &first, 0.0, 0.0, 1e-4);
        let bend = 1000 + 29 * 240;
        let mut line = None;
        for number in 1..60 {
            let second = bend + number * 240;
            let time = LocalTime(0).plus(second as f64 - 50e-6 * (second - bend) as f64);
            if let RtcStep::Followed(found) = rtc.read(second, time) {
                line = found;
            }
        }
        assert!(line.is_some_and(|line| (line.gain - 50e-6).abs() < 1e-6), "{line:?}");
        assert!(rtc.counts().0 <= RTC_SAMPLES_MAX);
        rtc.read(500, LocalTime(0));
        assert_eq!((rtc.counts().0, rtc.span()), (1, 0));
    }

    /// Goal: of readings without much noise only as many are kept as tell the gain well enough, so that a gain that changes with the
    /// temperature is followed; of noisy ones many are.
    #[test]
    fn exact_readings_are_kept_for_a_while_only() {
        let counted = |late: f64| {
            let mut rtc = RealTimeClock::default();
            let mut second = 1000;
            let mut seconds = Vec::new();
            for _ in 0..200 {
                seconds.push(second);
                follow(&mut rtc, &[second], 3.0, 40e-6, 0.0);
                second += i64::from(rtc.period());
            }
            let mut rtc = RealTimeClock::default();
            let line = follow(&mut rtc, &seconds, 3.0, 40e-6, late).expect("a line");
            assert!((line.gain - 40e-6).abs() < 2e-4 * late + 1e-9, "{line:?}");
            rtc.counts().0
        };
        assert_eq!(counted(1e-7), ENOUGH_SAMPLES_MIN);
        let noisy = counted(1e-3);
        assert!(noisy > 32, "{noisy}");
    }

    /// Goal: the start and a setting take eight readings a second apart; the gain from before is kept over a setting; a step of our
    /// clock moves the line and not the gain.
    #[test]
    fn rapid_readings_give_an_offset() {
        let mut rtc = RealTimeClock::default();
        rtc.begin_start();
        let at = |second: i64, fast: f64| LocalTime(0).plus(second as f64 - fast);
        for second in 0..7 {
            assert_eq!(rtc.read(second, at(second, 0.5)), RtcStep::Rapid);
            assert!(rtc.is_rapid());
        }
        let RtcStep::Started(Some(line)) = rtc.read(7, at(7, 0.5)) else { panic!("not started") };
        assert!((line.fast - 0.5).abs() < 1e-9 && !rtc.is_rapid() && rtc.counts().0 == 0);
        assert_eq!(rtc.period(), 15);

        for number in 0..20 {
            rtc.read(100 + number * 100, at(100 + number * 100, 5.0 + 1e-5 * (number * 100) as f64));
        }
        let before = rtc.line().expect("a line");
        rtc.shift(2_000_000_000);
        let after = rtc.line().expect("still");
        assert!((before.fast - after.fast - 2.0).abs() < 1e-9 && before.gain == after.gain);
        rtc.was_set(3000, at(3000, 0.2), 0.2);
        for second in 3001..3008 {
            assert_eq!(rtc.read(second, at(second, 0.2)), RtcStep::Rapid);
        }
        let RtcStep::Relocked(Some(line)) = rtc.read(3008, at(3008, 0.2)) else { panic!("not relocked") };
        assert!((line.fast - 0.2).abs() < 1e-9 && (line.gain - 1e-5).abs() < 1e-7, "{line:?}");
    }

    /// Goal: readings that make no sense give no line and no panic.
    #[test]
    fn odd_readings_do_not_panic() {
        let mut rtc = RealTimeClock::default();
        for (shown, time) in
            [(i64::MIN, 0), (0, i64::MAX), (i64::MAX, i64::MIN), (5, 5), (6, 5), (7, 5), (8, 5)]
        {
            rtc.read(shown, LocalTime(time));
            rtc.shift(i64::MAX);
            let _ = (rtc.span(), rtc.period(), rtc.counts());
        }
        rtc.begin_start();
        rtc.forget();
        rtc.give_up();
        assert!(!rtc.is_rapid());
    }
}
