//! The corrections that were made, so that samples can be told in the time of the uncorrected oscillator.
//!
//! Local time is `L`. The correction `C(L)` is the integral of the frequency corrections that were in force. `U = L - C(L)`
//! is what an uncorrected clock would show; it has no steps, bends or slews of ours, and every filter lives in it.
//! (A step moves both `L` and `U`: see [`Timeline::shift`].)

use crate::clock::LocalTime;
use std::collections::VecDeque;

/// Changes that are remembered. An exchange with a server takes seconds at most, in which one or two changes can happen, one with a
/// symmetric peer a poll interval, in which all other sources bend the clock twice an answer.
const SEGMENTS_MAX: usize = 256;

/// The history of corrections.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    segments: VecDeque<Segment>,
}

#[derive(Debug, Clone, Copy)]
struct Segment {
    from: LocalTime,
    /// C at `from`, seconds.
    correction: f64,
    /// dC/dL from then on.
    rate: f64,
}

impl Timeline {
    /// From `now` on, with the frequency correction that is in force.
    pub(crate) fn new(now: LocalTime, frequency: f64) -> Self {
        let first = Segment { from: now, correction: 0.0, rate: rate(frequency) };
        Self { segments: VecDeque::from([first]) }
    }

    /// C at `time`, in seconds.
    pub(crate) fn correction(&self, time: LocalTime) -> f64 {
        let newest_first = self.segments.iter().rev();
        let segment = newest_first.clone().find(|segment| segment.from <= time).or(self.segments.front());
        segment.map_or(0.0, |segment| segment.correction + segment.rate * time.since(segment.from))
    }

    /// U at `time`.
    pub(crate) fn uncorrected(&self, time: LocalTime) -> LocalTime {
        time.plus(-self.correction(time))
    }

    /// The local time at which an uncorrected clock shows `uncorrected`: the inverse of [`Self::uncorrected`].
    pub(crate) fn corrected(&self, uncorrected: LocalTime) -> LocalTime {
        // C changes by a tenth of a second a second at most, so that each round leaves a tenth of the error.
        const ROUNDS_MAX: u32 = 16;
        let mut time = uncorrected;
        for _ in 0..ROUNDS_MAX {
            let better = uncorrected.plus(self.correction(time));
            if better == time {
                break;
            }
            time = better;
        }
        time
    }

    /// From `now` on another frequency correction is in force.
    pub(crate) fn change(&mut self, now: LocalTime, frequency: f64) {
        let segment = Segment { from: now, correction: self.correction(now), rate: rate(frequency) };
        self.segments.push_back(segment);
        if self.segments.len() > SEGMENTS_MAX {
            self.segments.pop_front();
        }
    }

    /// From `now` on C is counted anew, from `correction` seconds: the clock that it is counted against was found to be elsewhere.
    pub(crate) fn restart(&mut self, now: LocalTime, correction: f64, frequency: f64) {
        self.change(now, frequency);
        if let Some(last) = self.segments.back_mut() {
            last.correction = correction;
        }
    }

    /// The clock was stepped by `nanos`.
    pub(crate) fn shift(&mut self, nanos: i64) {
        for segment in &mut self.segments {
            segment.from = LocalTime(segment.from.0.saturating_add(nanos));
        }
    }
}

/// A clock corrected by `c` shows `1 + c` seconds where an uncorrected one shows 1; so dC/dL is `c / (1 + c)`.
fn rate(frequency: f64) -> f64 {
    frequency / (1.0 + frequency)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: C is continuous over changes, and right before, between and after them.
    #[test]
    fn the_correction_is_the_integral_of_the_frequency() {
        let at = |seconds: i64| LocalTime(seconds * 1_000_000_000);
        let mut timeline = Timeline::new(at(0), 0.0);
        timeline.change(at(100), 1e-3);
        timeline.change(at(200), -1e-3);
        let check = |seconds: i64, expected: f64| {
            let found = timeline.correction(at(seconds));
            assert!((found - expected).abs() < 1e-3 * 1e-3, "at {seconds}: {found}");
        };
        check(50, 0.0);
        check(100, 0.0);
        check(150, 0.05 * (1.0 - 1e-3));
        check(200, 0.1 * (1.0 - 1e-3));
        check(300, 0.1 * (1.0 - 1e-3) - 0.1 * (1.0 + 1e-3));
        timeline.change(at(300), 0.1);
        for seconds in [50, 100, 150, 250, 300, 350, 1000] {
            let back = timeline.corrected(timeline.uncorrected(at(seconds)));
            assert!((back.0 - at(seconds).0).abs() <= 2, "{seconds}: {back:?}");
        }
    }
}
