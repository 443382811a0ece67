//! The clock's last day: offset, error bound and frequency, for `banto time plot`.

use std::collections::VecDeque;
use std::time::Duration;

/// Between two points.
pub(crate) const INTERVAL: Duration = Duration::from_secs(30);
/// Points that are kept: a day of them.
const POINTS_MAX: usize = 2880;

/// One moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// The clock, seconds since the Unix epoch.
    pub at: f64,
    /// How fast the clock was, in seconds.
    pub offset: f64,
    /// The bound of its error, in seconds; none while nothing was followed.
    pub bound: Option<f64>,
    /// How fast the oscillator is, parts per million.
    pub frequency_ppm: f64,
}

/// The points, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    points: VecDeque<Point>,
    due: Option<Duration>,
}

impl Trace {
    /// Whether a point is due; the next one is due an interval later.
    pub(crate) fn is_due(&mut self, now: Duration) -> bool {
        if self.due.is_some_and(|at| now < at) {
            return false;
        }
        self.due = Some(now + INTERVAL);
        true
    }

    /// Keeps a point.
    pub(crate) fn push(&mut self, point: Point) {
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The points as rows: time, offset, bound or null, frequency.
    pub(crate) fn rows(&self) -> Vec<control::Value> {
        let row = |point: &Point| control::json!([point.at, point.offset, point.bound, point.frequency_ppm]);
        self.points.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: points come at their interval, and the oldest go when a day is full.
    #[test]
    fn a_day_is_kept() {
        let mut trace = Trace::default();
        assert!(trace.is_due(Duration::ZERO) && !trace.is_due(INTERVAL / 2) && trace.is_due(INTERVAL));
        for at in 0..=POINTS_MAX {
            trace.push(Point { at: at as f64, offset: 0.0, bound: None, frequency_ppm: 0.0 });
        }
        let rows = trace.rows();
        assert_eq!((rows.len(), rows[0][0].as_f64()), (POINTS_MAX, Some(1.0)));
    }
}
