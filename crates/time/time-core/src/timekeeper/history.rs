//! Measurements that outlive a restart.

use super::{SourceId, Timekeeper};
use crate::clock::LocalTime;
use crate::filter::FilterSample;
use crate::source::Exchange;

/// A measurement of a source as a dump file keeps it over a restart: told in the time of a clock that has always run as it
/// does now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistorySample {
    /// When.
    pub time: LocalTime,
    /// True time minus that clock's, in seconds.
    pub offset: f64,
    /// Round trip, in seconds.
    pub delay: f64,
    /// What reading the clocks may have cost, in seconds.
    pub dispersion: f64,
}

impl Timekeeper {
    /// What was measured of a source, the oldest first.
    pub fn history(&self, id: SourceId, now: LocalTime) -> Vec<HistorySample> {
        let uncorrected = self.discipline.timeline.uncorrected(now);
        let rate = 1.0 + self.discipline.frequency();
        let told = |sample: &FilterSample| {
            let time = now.plus(-uncorrected.since(sample.time) * rate);
            HistorySample {
                time,
                offset: sample.offset - time.since(sample.time),
                delay: sample.delay,
                dispersion: sample.dispersion,
            }
        };
        self.sources.get(&id).map_or_else(Vec::new, |source| source.filter.samples().map(told).collect())
    }

    /// What was measured of a source before a restart, the oldest first, and its server's last words. False when the source has
    /// measurements of its own, or these are none of the past.
    pub fn restore(
        &mut self,
        id: SourceId,
        history: &[HistorySample],
        last: Exchange,
        now: LocalTime,
    ) -> bool {
        let timeline = &self.discipline.timeline;
        let Some(source) = self.sources.get_mut(&id).filter(|source| source.last.is_none()) else {
            return false;
        };
        if history.iter().any(|one| one.time > now) {
            return false;
        }
        for one in history {
            let time = timeline.uncorrected(one.time);
            source.remember(time);
            source.filter.add(FilterSample {
                time,
                offset: one.offset + one.time.since(time),
                delay: one.delay,
                dispersion: one.dispersion,
            });
        }
        source.last = Some(last);
        true
    }
}
