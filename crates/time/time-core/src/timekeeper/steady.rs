//! A clock of the kind `local` among the sources: what time is counted by instead of the oscillator.

use super::{Event, SourceId, Timekeeper};
use crate::clock::{Clock, LocalTime};
use crate::discipline::Discipline;
use crate::source::{Source, SourceSettings};
use crate::timeline::Timeline;

/// How far the rate of a clock that is only steadier (`local`) may be off the oscillator's, s/s, one sigma: nobody has set it.
const STEADY_FREQUENCY_SIGMA: f64 = 1e-2;

impl Timekeeper {
    /// A clock of the kind `local` can not be followed any more, or what it showed has nothing to do with what it shows now: the
    /// oscillator runs on at the rate that it was given.
    pub fn lose_steady(&mut self, id: SourceId) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        let (frequency, sigma) = prior(source.settings(), &self.discipline);
        source.forget(frequency, sigma);
        self.discipline.lose_steady();
    }

    /// The oscillator is compared with a steadier clock.
    pub(super) fn stabilise(&mut self, id: SourceId, clock: &mut impl Clock) -> Vec<Event> {
        let now = self.discipline.oscillator.uncorrected(clock.now());
        let Some(source) = self.sources.get(&id).filter(|source| source.is_selectable()) else {
            return Vec::new();
        };
        let Some(estimate) = source.filter.estimate(now) else { return Vec::new() };
        // A clock that was found to be elsewhere was set, which says nothing of the oscillator.
        let anew = source.filter.dropped() > 1;
        let interval = f64::from(source.poll()).exp2();
        match self.discipline.stabilise(&estimate, anew, interval, clock) {
            Ok(uncertainty) => {
                self.disturbed(uncertainty);
                Vec::new()
            }
            Err(error) => vec![Event::Failed(error)],
        }
    }

    /// What the samples of a source are told in the time of.
    pub(super) fn timeline_of(&self, id: SourceId) -> &Timeline {
        let local = self.sources.get(&id).is_some_and(|source| source.settings.local);
        if local { &self.discipline.oscillator } else { &self.discipline.timeline }
    }

    /// [`Self::uncorrected`] for a source: that of a clock of the kind `local` is the oscillator's own.
    pub fn uncorrected_for(&self, id: SourceId, time: LocalTime) -> LocalTime {
        self.timeline_of(id).uncorrected(time)
    }

    /// [`Self::correction`] for a source.
    pub fn correction_for(&self, id: SourceId, time: LocalTime) -> f64 {
        self.timeline_of(id).correction(time)
    }

    /// The correction in force of what a source is measured against, s/s.
    pub(super) fn frequency_for(&self, source: &Source) -> f64 {
        if source.settings.local {
            self.discipline.oscillator_frequency()
        } else {
            self.discipline.frequency()
        }
    }
}

/// What may be assumed of the rate that a new source of this kind will show: frequency and one sigma of it, s/s.
pub(super) fn prior(settings: &SourceSettings, discipline: &Discipline) -> (f64, f64) {
    if settings.local {
        (discipline.oscillator_frequency(), STEADY_FREQUENCY_SIGMA)
    } else {
        discipline.prior()
    }
}
