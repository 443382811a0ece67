//! Clocks of network cards: which readings are good, and what local time a card's stamp means (`docs/algorithm.md` section 7).
//!
//! The kernel reads a card's clock between two readings of ours, many times in one call. How long a reading takes bounds its error;
//! the quick ones of a call are taken together, and a call that was disturbed as a whole is left out. The line from the card's
//! clock to the uncorrected local clock is the median one through the last calls (Theil and Sen), so that a bad call does no harm.

use crate::clock::LocalTime;
use std::collections::VecDeque;

/// Of a call's readings, the quickest part that is taken together: one in so many.
const QUICK_PART: usize = 4;
/// Calls whose width is remembered.
const WIDTHS_MAX: usize = 33;
/// Calls before a disturbed one can be told from the others.
const WIDTHS_MIN: usize = 5;
/// A call is disturbed where its width is above the usual one by this many times the usual difference from that,
const WIDTH_DIFFERENCES_MAX: f64 = 4.0;
/// or by this part of it, whichever is less,
const WIDTH_PART_MAX: f64 = 0.25;
/// and by what is allowed for the clock's resolution, nanoseconds.
const WIDTH_TOLERANCE_NANOS: f64 = 20.0;
/// The most samples that a line is drawn through: what chrony takes for `maxsamples`.
const SAMPLES_MAX: usize = 64;
/// The fewest.
const SAMPLES_MIN: usize = 2;
/// A card's oscillator is never this far off, s/s: what is, was set.
const FREQUENCY_ERROR_MAX: f64 = 2.0 / 3.0;
/// Samples from which on residuals on one side in long runs show that the line bends.
const RUNS_MIN: usize = 7;
/// Readings whose error is called smaller than what they say themselves: so many sigmas of the residuals count.
const SIGMAS: f64 = 3.0;

/// One reading: the local clock before, the card's, the local clock after, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CardReading {
    /// The kernel's clock in the middle.
    pub local_ns: i64,
    /// The card's clock.
    pub card_ns: i64,
    /// How long the reading took.
    pub width_ns: i64,
}

/// What the readings of a call come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CardSample {
    /// The kernel's clock.
    pub local_ns: i64,
    /// The card's clock then.
    pub card_ns: i64,
    /// What reading it may have cost, in seconds.
    pub error: f64,
}

/// Chooses among readings.
#[derive(Debug, Clone, Default)]
pub struct ReadingFilter {
    widths: VecDeque<f64>,
}

impl ReadingFilter {
    /// The readings of one call as one sample; none when the call was disturbed.
    pub fn sample(&mut self, readings: &[CardReading]) -> Option<CardSample> {
        let first = readings.first()?;
        let mut quick: Vec<&CardReading> = readings.iter().collect();
        quick.sort_by_key(|one| one.width_ns);
        quick.truncate(readings.len().div_ceil(QUICK_PART));
        let count = quick.len() as f64;
        let mean =
            |of: &dyn Fn(&CardReading) -> i64| quick.iter().map(|one| of(one) as f64).sum::<f64>() / count;
        let width = mean(&|one| one.width_ns);
        let usual = median(self.widths.iter().copied().collect());
        if self.widths.len() >= WIDTHS_MAX {
            self.widths.pop_front();
        }
        self.widths.push_back(width);
        let limit = usual.map(|usual| {
            let differences = self.widths.iter().map(|width| (width - usual).abs()).collect();
            let apart = WIDTH_DIFFERENCES_MAX * median(differences).unwrap_or(0.0);
            usual + apart.min(WIDTH_PART_MAX * usual) + WIDTH_TOLERANCE_NANOS
        });
        if self.widths.len() > WIDTHS_MIN && limit.is_some_and(|limit| width > limit) {
            return None;
        }
        let local = mean(&|one| one.local_ns.saturating_sub(first.local_ns));
        let card = mean(&|one| one.card_ns.saturating_sub(first.card_ns));
        Some(CardSample {
            local_ns: first.local_ns.saturating_add(local.round() as i64),
            card_ns: first.card_ns.saturating_add(card.round() as i64),
            error: width * 0.5e-9,
        })
    }
}

/// How a card's clock is followed (`chrony.conf(5)`, hwtimestamp).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CardSettings {
    /// `minsamples`.
    pub samples_min: usize,
    /// `maxsamples`.
    pub samples_max: usize,
    /// Between two samples, at least, in seconds (`minpoll`).
    pub interval_min: f64,
    /// `precision` of a reading, in seconds.
    pub precision: f64,
}

/// A card's clock against ours.
#[derive(Debug, Clone)]
pub struct CardClock {
    settings: CardSettings,
    /// The card's clock, the uncorrected local clock, and what the sample may be wrong by, in seconds.
    samples: VecDeque<(i64, LocalTime, f64)>,
    line: Option<Line>,
    /// Samples in a row that did not lie on the line.
    off: u32,
}

/// From the card's clock to the uncorrected local one.
#[derive(Debug, Clone, Copy)]
struct Line {
    card: i64,
    local: LocalTime,
    /// The line at `card`, against `local`, in seconds.
    offset: f64,
    /// Local seconds in a second of the card's.
    rate: f64,
    error: f64,
}

/// Samples as seconds against the last one.
struct Points {
    /// Card and local time of each.
    of: Vec<(f64, f64)>,
    card: i64,
    local: LocalTime,
}

impl CardClock {
    /// One that was never read.
    pub fn new(settings: CardSettings) -> Self {
        let samples_min = settings.samples_min.clamp(SAMPLES_MIN, SAMPLES_MAX);
        let samples_max = settings.samples_max.clamp(samples_min, SAMPLES_MAX);
        let settings = CardSettings { samples_min, samples_max, ..settings };
        Self { settings, samples: VecDeque::new(), line: None, off: 0 }
    }

    /// It is time for another reading; `now` is uncorrected local time.
    pub fn wants_reading(&self, now: LocalTime) -> bool {
        self.samples.back().is_none_or(|(_, last, _)| now.since(*last).abs() >= self.settings.interval_min)
    }

    /// A sample: the card showed `card` when the uncorrected local clock showed `local`; `error` in seconds.
    pub fn add(&mut self, card: i64, local: LocalTime, error: f64) {
        let error = error.max(self.settings.precision);
        if let Some((card_before, local_before, _)) = self.samples.back()
            && (card <= *card_before || local.since(*local_before) < self.settings.interval_min / 2.0)
        {
            // Somebody set one of the clocks.
            self.forget();
        }
        let off = self.local(card).map_or(0.0, |found| found.since(local).abs());
        let allowed = error + self.line.map_or(0.0, |line| line.error);
        self.off = if off > allowed { self.off + 1 } else { 0 };
        if self.off > SAMPLES_MIN as u32 {
            // The clock was set, or runs at another rate now: what came before says nothing.
            self.forget();
        }
        if self.samples.len() >= self.settings.samples_max {
            self.samples.pop_front();
        }
        self.samples.push_back((card, local, error));
        self.draw();
    }

    /// The uncorrected local time of a card's stamp; none before two samples.
    pub fn local(&self, card: i64) -> Option<LocalTime> {
        let line = self.line?;
        let elapsed = card.saturating_sub(line.card) as f64 * 1e-9;
        Some(line.local.plus(elapsed * line.rate + line.offset))
    }

    /// What the card's clock shows at an uncorrected local time: the inverse of [`Self::local`].
    pub fn card_at(&self, local: LocalTime) -> Option<i64> {
        let line = self.line?;
        let elapsed = (local.since(line.local) - line.offset) / line.rate;
        Some(line.card.saturating_add((elapsed * 1e9).round() as i64))
    }

    /// What that may be wrong by, in seconds.
    pub fn error(&self) -> f64 {
        self.line.map_or(f64::INFINITY, |line| line.error)
    }

    /// Samples kept.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// The card's rate against ours, s/s.
    pub fn frequency(&self) -> Option<f64> {
        self.line.map(|line| 1.0 / line.rate - 1.0)
    }

    /// The local clock was stepped.
    pub fn shift(&mut self, nanos: i64) {
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        self.samples.iter_mut().for_each(|(_, local, _)| *local = moved(*local));
        if let Some(line) = &mut self.line {
            line.local = moved(line.local);
        }
    }

    /// What was read so far says nothing any more.
    pub fn forget(&mut self) {
        self.samples.clear();
        (self.line, self.off) = (None, 0);
    }

    /// The median line through the samples; those that bend it are left out, the oldest first.
    fn draw(&mut self) {
        loop {
            self.line = self.fit();
            let bends = self.samples.len() > self.settings.samples_min.max(RUNS_MIN) && self.bends();
            if !bends {
                break;
            }
            self.samples.pop_front();
        }
        if self.line.is_some_and(|line| (line.rate - 1.0).abs() > FREQUENCY_ERROR_MAX) {
            let last = self.samples.back().copied();
            self.forget();
            self.samples.extend(last);
        }
    }

    /// Card and local time of each sample against the last one, in seconds.
    fn points(&self) -> Option<Points> {
        let (card, local, _) = *self.samples.back()?;
        let point =
            |one: &(i64, LocalTime, f64)| (one.0.saturating_sub(card) as f64 * 1e-9, one.1.since(local));
        Some(Points { of: self.samples.iter().map(point).collect(), card, local })
    }

    fn fit(&self) -> Option<Line> {
        if self.samples.len() < SAMPLES_MIN {
            return None;
        }
        let Points { of: points, card, local } = self.points()?;
        // By how much local seconds differ from the card's: small numbers, so that nothing is lost to rounding.
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (index, (x, y)) in points.iter().enumerate() {
            let later = points.get(index + 1..).unwrap_or_default();
            slopes.extend(later.iter().map(|(x2, y2)| ((y2 - x2) - (y - x)) / (x2 - x)));
        }
        let slope = median(slopes)?;
        let offset = median(points.iter().map(|(x, y)| (y - x) - slope * x).collect())?;
        let rate = 1.0 + slope;
        let mut residuals: Vec<f64> = points.iter().map(|(x, y)| (y - rate * x - offset).abs()).collect();
        residuals.sort_by(f64::total_cmp);
        let deviation = median(residuals).unwrap_or(0.0) / 0.6745;
        let least = self.samples.iter().map(|one| one.2).fold(f64::INFINITY, f64::min);
        let error = least.max(SIGMAS * deviation);
        Some(Line { card, local, offset, rate, error })
    }

    /// The residuals change their side too seldom for a line.
    fn bends(&self) -> bool {
        let (Some(line), Some(Points { of: points, .. })) = (self.line, self.points()) else { return false };
        let sides: Vec<bool> = points.iter().map(|(x, y)| y - line.rate * x > line.offset).collect();
        let runs = 1 + sides.windows(2).filter(|pair| pair.first() != pair.last()).count();
        let count = sides.len() as f64;
        // Runs of equal chances: n/2 + 1 of them with a deviation of sqrt(n)/2; fewer than two deviations below are no accident.
        (runs as f64) < count / 2.0 + 1.0 - count.sqrt()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => None,
        (1, Some(value)) => Some(*value),
        (_, Some(value)) => values.get(middle - 1).map(|below| (below + value) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A card's clock against a true one: offset, rate, wander, and readings that are disturbed.
    struct Card {
        random: u64,
        card: f64,
        rate: f64,
        wander: f64,
    }

    impl Card {
        fn uniform(&mut self) -> f64 {
            self.random =
                self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.random >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn advance(&mut self, seconds: f64) {
            self.card += seconds * (1.0 + self.rate);
            let normal = (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0;
            self.rate += self.wander * seconds.sqrt() * normal;
        }

        /// A call's readings at local time `now` (nanoseconds); `disturbed`: something else had the bus.
        fn readings(&mut self, now: i64, jitter: f64, disturbed: f64) -> Vec<CardReading> {
            let reading = |at: usize| {
                let before = 500e-9 + jitter * self.uniform() + disturbed * self.uniform();
                let after = 500e-9 + jitter * self.uniform();
                let begun = at as f64 * 2e-6;
                let card = self.card + (begun + before) * (1.0 + self.rate);
                let middle = begun + (before + after) / 2.0;
                CardReading {
                    local_ns: now + (middle * 1e9).round() as i64,
                    card_ns: (card * 1e9).round() as i64,
                    width_ns: ((before + after) * 1e9).round() as i64,
                }
            };
            (0..25).map(reading).collect()
        }
    }

    const SETTINGS: CardSettings =
        CardSettings { samples_min: 2, samples_max: 16, interval_min: 1.0, precision: 1e-8 };

    /// Goal: a free card's clock with an error of rate, wander and jittery readings is translated to within tens of nanoseconds, and the
    /// error that is stated holds; disturbed calls do no harm.
    #[test]
    fn stamps_are_translated() {
        let check = |rate: f64, wander: f64, jitter: f64, disturbed_part: f64, limit: f64| {
            let mut card = Card { random: 7, card: 37.5, rate, wander };
            let (mut clock, mut filter) = (CardClock::new(SETTINGS), ReadingFilter::default());
            let (mut worst, mut beyond) = (0.0_f64, 0);
            for second in 1..400_i64 {
                let disturbed = if card.uniform() < disturbed_part { 20e-6 } else { 0.0 };
                let readings = card.readings(second * 1_000_000_000, jitter, disturbed);
                if let Some(sample) = filter.sample(&readings) {
                    clock.add(sample.card_ns, LocalTime(sample.local_ns), sample.error);
                }
                // A packet comes in half a second.
                card.advance(0.5);
                if second > 20 {
                    let at = second * 1_000_000_000 + 500_000_000;
                    let shown = (card.card * 1e9).round() as i64;
                    let found = clock.local(shown).expect("it was read often");
                    let back = clock.card_at(found).expect("it was read often");
                    assert!((back - shown).abs() <= 2, "{back} {shown}");
                    let error = found.since(LocalTime(at)).abs();
                    worst = worst.max(error);
                    beyond += u32::from(error > clock.error());
                }
                card.advance(0.5);
            }
            assert!(worst < limit, "{rate} {wander} {jitter} {disturbed_part}: {worst}");
            assert!(beyond < 8, "{beyond} of 380 beyond the stated error");
        };
        check(0.0, 0.0, 0.0, 0.0, 5e-9);
        check(1e-4, 0.0, 200e-9, 0.0, 1e-7);
        check(-5e-5, 1e-9, 200e-9, 0.0, 1e-7);
        check(1e-5, 1e-9, 200e-9, 0.2, 2e-7);
        check(0.01, 0.0, 50e-9, 0.0, 1e-7);
    }

    /// Goal: a call that took much longer than usual is left out; when all do, they count again.
    #[test]
    fn disturbed_calls_are_left_out() {
        let mut filter = ReadingFilter::default();
        let call = |width_ns: i64| {
            (0..25)
                .map(|at| CardReading { local_ns: at, card_ns: at, width_ns: width_ns + at })
                .collect::<Vec<_>>()
        };
        assert_eq!(filter.sample(&[]), None);
        for _ in 0..40 {
            assert!(filter.sample(&call(1000)).is_some());
        }
        assert!(filter.sample(&call(2000)).is_none());
        assert!(filter.sample(&call(1000)).is_some());
        let refused = (0..40).filter(|_| filter.sample(&call(2000)).is_none()).count();
        assert!((10..20).contains(&refused), "{refused}");
    }

    /// Goal: a card's clock that is set or runs at another rate is followed anew within a few samples; a step of ours shifts it.
    #[test]
    fn a_clock_that_was_set_is_found_out() {
        let second = 1_000_000_000;
        let feed = |clock: &mut CardClock, from: i64, card_ahead: i64| {
            for at in from..from + 8 {
                clock.add(at * second + card_ahead, LocalTime(at * second), 1e-7);
            }
        };
        let check = |clock: &CardClock, card: i64, expected: Option<i64>| {
            let found = clock.local(card).map(|at| at.0);
            assert!(
                found.zip(expected).is_none_or(|(a, b)| (a - b).abs() <= 2)
                    && found.is_some() == expected.is_some(),
                "{found:?} {expected:?}"
            );
        };
        let mut clock = CardClock::new(SETTINGS);
        clock.add(5, LocalTime(1), 1e-7);
        check(&clock, 5, None);
        assert!(!clock.wants_reading(LocalTime(second / 2)) && clock.wants_reading(LocalTime(second * 2)));
        clock.forget();
        feed(&mut clock, 1, 37 * second);
        check(&clock, 50 * second, Some(13 * second));
        // Forwards, and backwards.
        feed(&mut clock, 9, 40 * second);
        check(&clock, 60 * second, Some(20 * second));
        feed(&mut clock, 17, -second);
        check(&clock, 20 * second, Some(21 * second));
        clock.shift(-second);
        check(&clock, 20 * second, Some(20 * second));
        assert!(clock.frequency().is_some_and(|one| one.abs() < 1e-8) && clock.samples() > 1);
        // Nonsense: twice as fast as ours.
        clock.forget();
        for at in 1..10 {
            clock.add(at * 2 * second, LocalTime(at * second * 5), 1e-7);
        }
        check(&clock, 20 * second, None);
    }
}
