//! What the timekeeper says of the clock and its sources.

use super::{LeapStatus, SourceId, Timekeeper};
use crate::clock::LocalTime;
use crate::screening::Path;
use crate::selection::Interval;
use crate::source::SourceStatistics;

/// What `tracking` shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tracking {
    /// The source followed, or the one followed last while the clock runs on by what it said.
    pub selected: Option<SourceId>,
    /// Our stratum: the source's plus one.
    pub stratum: u8,
    /// Leap warning.
    pub leap: LeapStatus,
    /// When the clock was last corrected.
    pub reference: Option<LocalTime>,
    /// What is left to correct: true minus local, in seconds.
    pub offset: f64,
    /// What the last update found beyond what a slew was to remove anyway, in seconds, true minus local.
    pub last_offset: f64,
    /// Root mean square of that over the last updates, in seconds.
    pub rms_offset: f64,
    /// The correction that the oscillator needs, s/s.
    pub frequency: f64,
    /// What the last update changed of it, s/s.
    pub residual_frequency: f64,
    /// One sigma of it, s/s.
    pub skew: f64,
    /// Round trip to the primary source, in seconds.
    pub root_delay: f64,
    /// Dispersion to the primary source, in seconds, now.
    pub root_dispersion: f64,
    /// How fast that grows, s/s.
    pub dispersion_rate: f64,
    /// Seconds between the last two updates.
    pub update_interval: f64,
    /// Updates so far.
    pub updates: u32,
}

impl Timekeeper {
    /// The state of the clock at `now`.
    pub fn tracking(&self, now: LocalTime) -> Tracking {
        // One of which nothing is known any more is not followed, whoever it is.
        let known = |id: &SourceId| self.sources.get(id).is_some_and(|source| source.last.is_some());
        let followed = self.selected.or(self.held).filter(known);
        let selected = followed.and_then(|id| self.sources.get(&id));
        let last = selected.and_then(|source| source.last);
        let (last_offset, rms_offset) = self.discipline.offsets();
        let (reference, update_interval) = self.discipline.last_update();
        let skew = self.discipline.skew();
        let rate = skew + self.settings.discipline.clock_error_max;
        let age = last.map_or(0.0, |last| now.since(last.received).max(0.0));
        let delay = selected.and_then(|source| source.filter.delay_min()).unwrap_or(0.0).max(0.0);
        Tracking {
            selected: followed,
            stratum: last.map_or(0, |last| last.stratum.saturating_add(1)),
            leap: last.map_or(LeapStatus::Normal, |last| last.leap),
            reference,
            offset: self.discipline.offset(now),
            last_offset,
            rms_offset,
            frequency: self.discipline.oscillator_frequency(),
            residual_frequency: self.discipline.residual_frequency(),
            skew,
            root_delay: last.map_or(1.0, |last| last.root_delay + delay),
            root_dispersion: last.map_or(1.0, |last| {
                let sigma = self.discipline.sigma(now);
                last.root_dispersion
                    + last.dispersion
                    + sigma
                    + age * self.settings.discipline.clock_error_max
            }),
            dispersion_rate: rate,
            update_interval,
            updates: self.discipline.updates(),
        }
    }

    /// The last measured offset of a source as it would be measured at `now`, after what was corrected since, in seconds
    /// (true minus local).
    pub fn adjusted_offset(&self, id: SourceId, now: LocalTime) -> Option<f64> {
        let source = self.sources.get(&id)?;
        let last = source.last?;
        let timeline = self.timeline_of(id);
        let corrected = timeline.correction(now) - timeline.correction(last.received);
        let elapsed = timeline.uncorrected(now).since(timeline.uncorrected(last.received));
        Some(last.offset + self.frequency_for(source) * elapsed - corrected)
    }

    /// What is known at `now` of the path to a source, and of its offset: what the tests of the delay go by.
    pub fn path(&self, id: SourceId, now: LocalTime) -> Path {
        let Some(source) = self.sources.get(&id) else { return Path::default() };
        let known = self.statistics(id, now).unwrap_or_default();
        let age = source.last().map_or(0.0, |last| now.since(last.received).max(0.0));
        Path {
            samples: source.filter().len(),
            delay_min: source.filter().delay_min(),
            // Few samples lie on their line, and an old line is far from the truth.
            deviation: known.deviation.max(known.offset_sigma),
            expected: known.offset,
            drift: age * (known.skew + self.settings.discipline.clock_error_max),
        }
    }

    /// Where a source says that true time is at `now`.
    pub fn interval(&self, id: SourceId, now: LocalTime) -> Option<Interval> {
        let source = self.sources.get(&id)?;
        self.candidate(id, source, now, self.discipline.timeline.uncorrected(now)).interval
    }

    /// The bound of the clock's error at `now`, in seconds, if the clock may be called synchronised: something is followed, the
    /// clock was moved by it, and no slew is in force that would outrun the kernel's own growth of `maxerror` (500 ppm) if this
    /// daemon were killed in the middle of it.
    pub fn error_bound(&self, now: LocalTime) -> Option<f64> {
        /// `adjtimex(2)`: how fast the kernel lets `maxerror` grow.
        const KERNEL_GROWTH: f64 = 500e-6;
        // When answers end, what they said goes on to bound the clock's error. When they contradict each other, nothing does.
        let source = self.selected.or(self.held).and_then(|id| self.sources.get(&id))?;
        if self.discipline.updates() == 0 || self.discipline.slew_rate().abs() > KERNEL_GROWTH {
            return None;
        }
        let uncorrected = self.discipline.timeline.uncorrected(now);
        let bound =
            source.bound(self.discipline.target()?, uncorrected, self.settings.discipline.clock_error_max);
        Some(self.discipline.offset(now).abs() + bound + source.filter.contradiction())
    }

    /// What `sourcestats` shows of a source.
    pub fn statistics(&self, id: SourceId, now: LocalTime) -> Option<SourceStatistics> {
        let source = self.sources.get(&id)?;
        let timeline = self.timeline_of(id);
        let uncorrected = timeline.uncorrected(now);
        let (deviation, runs) = source.filter.residuals();
        let mut statistics = SourceStatistics {
            samples: source.filter.len() as u32,
            runs,
            span: source.filter.span(),
            deviation,
            stress: source.filter.stress(),
            dropped: source.filter.dropped(),
            asymmetry: source.asymmetry(),
            ..SourceStatistics::default()
        };
        if let Some(estimate) = source.filter.estimate(uncorrected) {
            statistics.residual_frequency = self.frequency_for(source) - estimate.frequency;
            statistics.skew = estimate.frequency_variance.max(0.0).sqrt();
            statistics.offset = estimate.offset - timeline.correction(now);
            statistics.offset_sigma = estimate.offset_variance.max(0.0).sqrt();
        }
        Some(statistics)
    }
}
