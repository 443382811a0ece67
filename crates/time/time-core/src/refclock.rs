//! Reference clocks: from raw samples to one filtered sample a poll, and pulses to whole seconds (`chrony.conf(5)`, refclock).
//!
//! Everything here is in the time of the uncorrected oscillator ([`crate::Timekeeper::uncorrected`]), so that a slew in the
//! middle of a poll bends nothing.

use crate::clock::LocalTime;
use crate::filter::FilterSample;
use std::collections::VecDeque;

/// Samples that a filter holds, whatever the configuration says: an hour of a receiver that sends once a second.
const SAMPLES_MAX: usize = 4096;
/// A filter of this length or longer gives a sample from so many on; a shorter one has to be full (`chrony.conf(5)`, filter).
const SAMPLES_MIN: usize = 4;
/// The part of the samples that is used, from the middle of the sorted ones: "about 40 percent [...] are discarded".
const PART_KEPT: f64 = 0.6;
/// How many samples the memory of their spread is long.
const SPREAD_SAMPLES: f64 = 50.0;
/// A pulse's reference may be wrong by this part of the interval between pulses, at most; beyond it is not known which pulse it is.
const LOCK_ERROR_MAX: f64 = 0.4;
/// The same where the clock itself says which pulse it is.
const CLOCK_ERROR_MAX: f64 = 0.5;

/// How raw samples become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefClockSettings {
    /// `filter`: the length of the median filter, in samples.
    pub length: usize,
    /// `precision` of a raw sample, in seconds: no sample is more certain.
    pub precision: f64,
    /// `maxdispersion`, in seconds; 0: any.
    pub dispersion_max: f64,
}

/// The median filter of one reference clock and its reach register.
#[derive(Debug, Clone)]
pub struct RefClockFilter {
    settings: RefClockSettings,
    samples: VecDeque<FilterSample>,
    last: Option<FilterSample>,
    /// Mean of the used samples' variance, s^2, and of how many of them, up to [`SPREAD_SAMPLES`].
    spread: (f64, f64),
    heard: bool,
    reach: u8,
}

impl RefClockFilter {
    /// Without samples yet.
    pub fn new(settings: RefClockSettings) -> Self {
        let length = settings.length.clamp(1, SAMPLES_MAX);
        Self {
            settings: RefClockSettings { length, ..settings },
            samples: VecDeque::new(),
            last: None,
            spread: (0.0, 0.0),
            heard: false,
            reach: 0,
        }
    }

    /// Takes a raw sample; false when it is not finite, or not younger than the last one.
    pub fn add(&mut self, sample: FilterSample) -> bool {
        let finite = sample.offset.is_finite() && sample.dispersion.is_finite();
        if !finite || self.last.is_some_and(|last| sample.time <= last.time) {
            return false;
        }
        let sample = FilterSample { dispersion: sample.dispersion.max(self.settings.precision), ..sample };
        self.last = Some(sample);
        self.heard = true;
        self.samples.push_back(sample);
        if self.samples.len() > self.settings.length {
            self.samples.pop_front();
        }
        true
    }

    /// The last raw sample, which pulses may be locked to.
    pub fn last(&self) -> Option<&FilterSample> {
        self.last.as_ref()
    }

    /// One sigma of a raw sample, as those of the last polls show it, in seconds.
    pub fn spread(&self) -> f64 {
        self.spread.0.max(0.0).sqrt()
    }

    /// The clock was read, and what it showed is left out: it is there.
    pub fn was_heard(&mut self) {
        self.heard = true;
    }

    /// The last eight polls: 1 for each in which the clock was heard of, be it for a sample or not.
    pub fn reach(&self) -> u8 {
        self.reach
    }

    /// A poll has ended: the sample that the raw ones come to, if they are enough and certain enough. They are used up.
    pub fn poll(&mut self) -> Option<FilterSample> {
        let enough = self.samples.len() >= self.settings.length.min(SAMPLES_MIN);
        let (filtered, variance, count) = if enough { self.filtered() } else { (None, 0.0, 0.0) };
        if enough {
            self.samples.clear();
        }
        if count > 1.0 && variance.is_finite() {
            let (mean, before) = self.spread;
            let all = before + count - 1.0;
            self.spread = (mean + (variance - mean) * (count - 1.0) / all, all.min(SPREAD_SAMPLES));
        }
        let limit = self.settings.dispersion_max;
        let used = filtered.filter(|one| limit <= 0.0 || one.dispersion <= limit);
        self.reach = self.reach << 1 | u8::from(std::mem::take(&mut self.heard));
        used
    }

    /// The filtered sample, the variance of those that it was made of, and how many they are.
    fn filtered(&self) -> (Option<FilterSample>, f64, f64) {
        let mut sorted: Vec<FilterSample> = self.samples.iter().copied().collect();
        sorted.sort_by(|a, b| a.offset.total_cmp(&b.offset));
        let kept = ((sorted.len() as f64 * PART_KEPT).ceil() as usize).clamp(1, sorted.len());
        let first = (sorted.len() - kept) / 2;
        let kept = sorted.get(first..first + kept).unwrap_or_default();
        let Some(origin) = kept.first() else { return (None, 0.0, 0.0) };
        let count = kept.len() as f64;
        let offset = kept.iter().map(|one| one.offset - origin.offset).sum::<f64>() / count + origin.offset;
        let seconds = kept.iter().map(|one| one.time.since(origin.time)).sum::<f64>() / count;
        let variance = kept.iter().map(|one| (one.offset - offset).powi(2)).sum::<f64>() / count;
        let reading = kept.iter().map(|one| one.dispersion).sum::<f64>() / count;
        let one = FilterSample {
            time: origin.time.plus(seconds),
            offset,
            delay: 0.0,
            dispersion: variance.sqrt().max(reading),
        };
        let finite = one.offset.is_finite() && one.dispersion.is_finite();
        (finite.then_some(one), variance, count)
    }

    /// The clock was stepped by `nanos`: uncorrected time moved with it, and offsets the other way.
    pub fn shift(&mut self, nanos: i64) {
        let seconds = nanos as f64 * 1e-9;
        for one in self.samples.iter_mut().chain(&mut self.last) {
            one.time = LocalTime(one.time.0.saturating_add(nanos));
            one.offset -= seconds;
        }
    }

    /// What came so far says nothing any more: the clock was moved by somebody else, or a leap second passed.
    pub fn forget(&mut self) {
        self.samples.clear();
        self.last = None;
    }
}

/// A signal of pulses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pulses {
    /// `rate`: pulses a second.
    pub rate: u32,
    /// `width`: how long a pulse lasts, in seconds; 0: the driver gives one edge alone.
    pub width: f64,
    /// `maxlockage`: how many pulses old the sample of the clock may be that it is locked to.
    pub lock_age_max: u32,
}

/// What says to which second a pulse belongs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PulseReference {
    /// The last raw sample of another reference clock (`lock`): when, true minus uncorrected time then, and its dispersion with the
    /// spread of its like, in seconds.
    Clock(FilterSample),
    /// What is known of the time from all sources: true minus uncorrected time at the pulse, and how far that may be off, in
    /// seconds.
    Time {
        /// True minus uncorrected time, in seconds.
        offset: f64,
        /// The bound of its error, in seconds.
        bound: f64,
    },
}

impl Pulses {
    /// How old, in seconds, the sample may be of the clock that a pulse is locked to.
    pub fn lock_seconds_max(&self) -> f64 {
        f64::from(self.lock_age_max) / f64::from(self.rate.max(1))
    }

    /// True minus uncorrected time by a pulse at `time`, of which `fraction` (true minus uncorrected time, in seconds) is known up
    /// to whole intervals between pulses. None when the reference is too old or not certain enough to tell which pulse it
    /// was, or when it is the pulse's other edge.
    pub fn complete(&self, time: LocalTime, fraction: f64, reference: PulseReference) -> Option<f64> {
        let interval = 1.0 / f64::from(self.rate.max(1));
        let (expected, error, error_max) = match reference {
            PulseReference::Clock(last) => {
                if time.since(last.time).abs() > self.lock_seconds_max() {
                    return None;
                }
                (last.offset, last.dispersion, LOCK_ERROR_MAX * interval)
            }
            PulseReference::Time { offset, bound } => (offset, bound, CLOCK_ERROR_MAX * interval),
        };
        let offset = fraction + ((expected - fraction) / interval).round() * interval;
        let mut error_max = error_max;
        if self.width > 0.0 {
            // The other edge lies so far from a pulse: whatever is nearer to that than to the pulse may be it.
            let edge = self.width.rem_euclid(interval);
            error_max = error_max.min(edge.min(interval - edge) / 2.0);
        }
        let apart = match reference {
            // How far two clocks are apart shows an error; what a lone clock must not be is uncertain.
            PulseReference::Time { .. } if self.width <= 0.0 => 0.0,
            _ => (offset - expected).abs(),
        };
        // NaN is refused like what is too large.
        (apart + error < error_max && offset.is_finite()).then_some(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> LocalTime {
        LocalTime(1_700_000_000_000_000_000).plus(seconds)
    }

    fn sample(seconds: f64, offset: f64) -> FilterSample {
        FilterSample { time: at(seconds), offset, delay: 0.0, dispersion: 1e-7 }
    }

    fn settings(length: usize) -> RefClockSettings {
        RefClockSettings { length, precision: 1e-6, dispersion_max: 0.0 }
    }

    /// Goal: the middle of the samples counts, outliers on either side do not, the sample stands where its samples stood, and
    /// the dispersion is never below the precision.
    #[test]
    fn the_median_filter_leaves_outliers_out() {
        let check = |offsets: &[f64], expected: f64, dispersion_max: f64| {
            let mut filter = RefClockFilter::new(settings(64));
            for (second, offset) in offsets.iter().enumerate() {
                assert!(filter.add(sample(second as f64, *offset)));
            }
            let found = filter.poll().expect("enough samples");
            assert!((found.offset - expected).abs() < 1e-12, "{offsets:?}: {found:?}");
            assert!((1e-6..=dispersion_max).contains(&found.dispersion), "{offsets:?}: {found:?}");
            assert_eq!(filter.reach(), 1);
        };
        check(&[0.5, 0.5, 0.5, 0.5], 0.5, 1e-6);
        check(&[9.0, 1.0, 1.0, 1.0, -9.0, 1.0, 1.0, 1.0, 1.0, 1.0], 1.0, 1e-6);
        check(&[-9.0, 2.0, 2.0, 9.0, 2.0], 2.0, 1e-6);
        check(&[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], 0.45, 0.2);
    }

    /// Goal: a long filter waits for four samples, a short one is full or gives none; samples are used once; silence shows in the
    /// reach register, and a clock that was only heard of does not.
    #[test]
    fn a_poll_needs_enough_samples() {
        let check = |length: usize, count: usize, expected: bool| {
            let mut filter = RefClockFilter::new(settings(length));
            for second in 0..count {
                filter.add(sample(second as f64, 0.0));
            }
            assert_eq!(filter.poll().is_some(), expected, "{count} of {length}");
            assert_eq!(filter.reach(), 1);
            if expected {
                assert_eq!(filter.poll(), None, "they are used up");
                assert_eq!(filter.reach(), 2);
                filter.was_heard();
                assert_eq!((filter.poll(), filter.reach()), (None, 5));
            }
        };
        check(64, 3, false);
        check(64, 4, true);
        check(3, 2, false);
        check(3, 3, true);
        check(1, 1, true);
        check(0, 1, true);
        check(2, 9, true);
        check(usize::MAX, 5000, true);
    }

    /// Goal: what is not finite, or not younger than what was before, is no sample; what is too uncertain is left out; a step moves
    /// what waits.
    #[test]
    fn bad_samples_are_refused() {
        let mut filter = RefClockFilter::new(RefClockSettings { dispersion_max: 0.01, ..settings(4) });
        for offset in [f64::NAN, f64::INFINITY] {
            assert!(!filter.add(sample(0.0, offset)));
        }
        assert!(filter.add(sample(1.0, 0.0)));
        assert!(!filter.add(sample(1.0, 0.0)) && !filter.add(sample(0.5, 0.0)));
        for (second, offset) in [(2.0, 1.0), (3.0, 2.0), (4.0, 3.0)] {
            assert!(filter.add(sample(second, offset)));
        }
        assert_eq!(filter.poll(), None, "spread over seconds");
        assert!(
            (filter.spread() - (2.0_f64 / 3.0).sqrt()).abs() < 1e-9,
            "of 1, 2 and 3: {}",
            filter.spread()
        );
        for second in [5.0, 6.0, 7.0, 8.0] {
            assert!(filter.add(sample(second, 0.25)));
        }
        filter.shift(2_000_000_000);
        let found = filter.poll().expect("alike");
        assert!((found.offset + 1.75).abs() < 1e-9 && (found.time.since(at(8.0))).abs() < 1e-6, "{found:?}");
        for (second, offset) in [(20.0, f64::MAX), (21.0, -f64::MAX), (22.0, f64::MAX), (23.0, -f64::MAX)] {
            assert!(filter.add(sample(second, offset)));
        }
        assert_eq!(filter.poll(), None, "absurd and no panic");
    }

    /// Goal: pulses get the second of their reference, at any rate; one whose reference is old, uncertain or far is left out, and
    /// so is the wrong edge.
    #[test]
    fn pulses_are_completed() {
        let pulses = Pulses { rate: 1, width: 0.0, lock_age_max: 2 };
        let check = |pulses: Pulses, fraction: f64, reference: PulseReference, expected: Option<f64>| {
            let found = pulses.complete(at(10.0), fraction, reference);
            match (found, expected) {
                (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{found}"),
                _ => assert_eq!(found, expected, "{pulses:?} {fraction} {reference:?}"),
            }
        };
        let locked = |seconds: f64, offset: f64| PulseReference::Clock(sample(seconds, offset));
        check(pulses, -0.2, locked(9.5, 4.9), Some(4.8));
        check(pulses, -0.2, locked(9.5, 4.7), Some(4.8));
        check(pulses, -0.9, locked(9.5, -12.0), Some(-11.9));
        check(pulses, -0.2, locked(9.5, 4.45), Some(4.8));
        check(pulses, -0.2, locked(9.5, 4.35), None);
        check(pulses, -0.2, locked(7.9, 4.9), None);
        check(Pulses { lock_age_max: 3, ..pulses }, -0.2, locked(7.9, 4.9), Some(4.8));
        let five = Pulses { rate: 5, ..pulses };
        check(five, -0.01, locked(9.9, 2.4), Some(2.39));
        check(five, -0.1, locked(9.9, 2.4), None);
        check(five, -0.01, locked(9.5, 2.4), None);
        let uncertain = FilterSample { dispersion: 0.45, ..sample(9.5, 4.8) };
        check(pulses, -0.2, PulseReference::Clock(uncertain), None);
        let time = |offset: f64, bound: f64| PulseReference::Time { offset, bound };
        check(pulses, -0.2, time(0.1, 0.4), Some(-0.2));
        check(pulses, -0.2, time(0.1, 0.5), None);
        check(pulses, -0.2, time(0.1, f64::INFINITY), None);
        check(pulses, f64::NAN, time(0.1, 0.1), None);
        let wide = Pulses { width: 0.2, ..pulses };
        check(wide, -0.95, time(0.0, 0.01), Some(0.05));
        check(wide, -0.75, time(0.0, 0.01), None);
        check(Pulses { rate: 0, ..pulses }, -0.2, locked(9.5, 4.9), Some(4.8));
    }
}
