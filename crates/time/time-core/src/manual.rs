//! Time that is typed in by hand: a few moments, and the line through them.

use crate::clock::LocalTime;
use std::collections::VecDeque;

/// Moments that are kept, as many as `chronyc manual list` can show.
pub const MANUAL_SAMPLES_MAX: usize = 16;
/// Between two moments, at least, in seconds.
const SEPARATION_MIN: f64 = 1.0;

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualSample {
    /// The local clock when it was typed.
    pub when: LocalTime,
    /// How fast the local clock was, in seconds, as the clock is now: later corrections are in it.
    pub offset: f64,
    /// The same as it was typed.
    pub original: f64,
    /// How far it is from the line, in seconds.
    pub residual: f64,
}

/// What the moments say of the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ManualFit {
    /// How fast the local clock is now, in seconds.
    pub offset: f64,
    /// How much faster than true time it runs, s/s; 0 while there are not two moments.
    pub frequency: f64,
    /// One sigma of that, s/s; none while it is not known.
    pub skew: Option<f64>,
}

/// The moments.
#[derive(Debug, Clone, Default)]
pub struct Manual {
    samples: VecDeque<ManualSample>,
}

impl Manual {
    /// Takes a moment: `now` of the local clock, which is `offset` seconds fast; none when it comes too soon after the last.
    pub fn add(&mut self, now: LocalTime, offset: f64) -> Option<ManualFit> {
        if self.samples.back().is_some_and(|last| now.since(last.when) < SEPARATION_MIN)
            || !offset.is_finite()
        {
            return None;
        }
        if self.samples.len() == MANUAL_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(ManualSample { when: now, offset, original: offset, residual: 0.0 });
        Some(self.fit(now))
    }

    /// The line through the moments, least squares, and how far each is from it.
    fn fit(&mut self, now: LocalTime) -> ManualFit {
        let count = self.samples.len() as f64;
        let mean = |value: &dyn Fn(&ManualSample) -> f64| self.samples.iter().map(value).sum::<f64>() / count;
        let (time, offset) = (mean(&|one| one.when.since(now)), mean(&|one| one.offset));
        let spread: f64 = self.samples.iter().map(|one| (one.when.since(now) - time).powi(2)).sum();
        let product: f64 =
            self.samples.iter().map(|one| (one.when.since(now) - time) * (one.offset - offset)).sum();
        let slope = if spread > 0.0 { product / spread } else { 0.0 };
        let mut square = 0.0;
        for one in &mut self.samples {
            one.residual = one.offset - (offset + slope * (one.when.since(now) - time));
            square += one.residual * one.residual;
        }
        let skew = (self.samples.len() > 2).then(|| (square / (count - 2.0) / spread).sqrt());
        ManualFit { offset: offset - slope * time, frequency: slope, skew }
    }

    /// The moments, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &ManualSample> {
        self.samples.iter()
    }

    /// Forgets one moment; false when there is none of this index.
    pub fn delete(&mut self, index: usize) -> bool {
        self.samples.remove(index).is_some()
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        self.samples.clear();
    }

    /// The local clock was corrected by `seconds`, and runs `frequency` s/s slower than before, since `now`.
    pub fn corrected(&mut self, now: LocalTime, seconds: f64, frequency: f64) {
        for one in &mut self.samples {
            one.offset -= seconds + frequency * one.when.since(now);
            one.when = one.when.plus(-seconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: moments on a line give the line; a correction takes it away; one that comes too soon is refused.
    #[test]
    fn moments_give_a_line() {
        let mut manual = Manual::default();
        let at = |seconds: i64| LocalTime(seconds * 1_000_000_000);
        assert_eq!(manual.add(at(0), 2.0), Some(ManualFit { offset: 2.0, frequency: 0.0, skew: None }));
        assert_eq!(manual.add(at(0), 2.0), None);
        manual.add(at(100), 2.01);
        let fit = manual.add(at(200), 2.02).expect("far apart");
        assert!((fit.offset - 2.02).abs() < 1e-9 && (fit.frequency - 1e-4).abs() < 1e-12, "{fit:?}");
        assert!(fit.skew.is_some_and(|skew| skew < 1e-9));
        manual.corrected(at(200), fit.offset, fit.frequency);
        assert!(manual.samples().all(|one| one.offset.abs() < 1e-9), "{manual:?}");
        assert!(manual.delete(2) && !manual.delete(2));
    }
}
