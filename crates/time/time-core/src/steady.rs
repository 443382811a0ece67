//! Counting by a clock that is steadier than the oscillator (`chrony.conf(5)`, refclock option `local`).
//!
//! All filters live in the time of the uncorrected oscillator, and what limits them is how that wanders. A clock of this machine
//! whose time nobody knows, but whose rate stays what it is, can take the oscillator's place: time is counted by it, the oscillator
//! is made to run like it, and other sources are measured against it. When it is first followed it counts as fast as the oscillator
//! does just then, so that nothing else has to be known anew.

use crate::clock::LocalTime;

/// What was found at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follow {
    /// The moment.
    pub local: LocalTime,
    /// What is corrected of the oscillator by then, in seconds.
    pub oscillator: f64,
    /// What is corrected of the counted time by then, in seconds.
    pub counted: f64,
    /// The steadier clock minus the uncorrected oscillator, in seconds.
    pub offset: f64,
    /// How fast that grows, s/s.
    pub frequency: f64,
}

/// How a steadier clock is followed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Steady {
    /// How much faster counted time runs than the oscillator, s/s.
    rate: f64,
    /// Seconds of the steadier clock in one of counted time, once it is known.
    scale: Option<f64>,
    last: Option<Follow>,
    slew: Option<SteadySlew>,
}

#[derive(Debug, Clone, Copy)]
struct SteadySlew {
    rate: f64,
    until: LocalTime,
}

impl Steady {
    /// The correction of the oscillator that makes the clock run `frequency` s/s faster than counted time.
    pub(crate) fn on_oscillator(&self, frequency: f64) -> f64 {
        frequency + self.rate + frequency * self.rate
    }

    /// The inverse: how much faster than counted time the clock runs with this correction of the oscillator.
    pub(crate) fn against_steady(&self, frequency: f64) -> f64 {
        (frequency - self.rate) / (1.0 + self.rate)
    }

    /// Takes what was found; the correction of counted time that follows from it, in seconds, when there was something before.
    /// What the oscillator has strayed is slewed within `interval` seconds, at no more than `slew_max` s/s.
    pub(crate) fn follow(&mut self, found: &Follow, interval: f64, slew_max: f64) -> Option<f64> {
        let scale = *self.scale.get_or_insert((1.0 + found.frequency) / (1.0 + self.rate));
        self.rate = (1.0 + found.frequency) / scale - 1.0;
        let last = self.last.replace(*found)?;
        let local = found.local.since(last.local);
        let oscillator = local - (found.oscillator - last.oscillator);
        let counted = (oscillator + (found.offset - last.offset)) / scale;
        let correction = last.counted + local - counted;
        let waiting = self.slew.map_or(0.0, |slew| slew.rate * slew.until.since(found.local).max(0.0));
        let strayed = found.counted - correction + waiting;
        let rate = (strayed / interval).clamp(-slew_max, slew_max);
        self.slew = (rate != 0.0).then(|| SteadySlew { rate, until: found.local.plus(interval) });
        self.last = Some(Follow { counted: correction, ..*found });
        Some(correction)
    }

    /// What it showed says nothing of what it will show: it is followed anew, from what comes next on. It is still the same clock,
    /// whose rate is what it was, and so is the oscillator's until then.
    pub(crate) fn lose(&mut self) {
        self.last = None;
    }

    /// The clock was stepped.
    pub(crate) fn shift(&mut self, nanos: i64) {
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        if let Some(last) = &mut self.last {
            last.local = moved(last.local);
            last.offset -= nanos as f64 * 1e-9;
        }
        if let Some(slew) = &mut self.slew {
            slew.until = moved(slew.until);
        }
    }

    /// The part of the rate that removes what the oscillator has strayed, s/s.
    pub(crate) fn slew_rate(&self) -> f64 {
        self.slew.map_or(0.0, |slew| slew.rate)
    }

    /// Until when that is in force.
    pub(crate) fn slewed_until(&self) -> Option<LocalTime> {
        self.slew.map(|slew| slew.until)
    }

    /// Ends it; true if there was one.
    pub(crate) fn stop_slew(&mut self) -> bool {
        self.slew.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: counted time goes as the steadier clock does, whatever the oscillator and its corrections do, over steps too, and goes
    /// on where that clock was set.
    #[test]
    fn time_is_counted_by_the_steadier_clock() {
        let start = LocalTime(1_800_000_000_000_000_000);
        let mut steady = Steady::default();
        // The oscillator runs true, then gains 50 ppm; the steadier clock gains a thousandth throughout.
        let found = |local: f64, oscillator: f64, counted: f64, offset: f64, frequency: f64| Follow {
            local: start.plus(local),
            oscillator,
            counted,
            offset,
            frequency,
        };
        assert_eq!(steady.follow(&found(0.0, 0.0, 0.0, 7.0, 1e-3), 4.0, 1.0), None);
        assert_eq!(steady.on_oscillator(2e-5), 2e-5);
        let slower = 1.001 / 1.00005 - 1.0;
        // 100 s of the oscillator, uncorrected: 100 / 1.00005 s of counted time.
        let correction = steady.follow(&found(100.0, 0.0, 0.0, 7.0 + 100.0 * slower, slower), 4.0, 1.0);
        let strayed = 100.0 - 100.0 / 1.00005;
        assert!((correction.expect("it was followed") - strayed).abs() < 1e-9, "{correction:?}");
        assert!((steady.slew_rate() + strayed / 4.0).abs() < 1e-9);
        assert!((steady.on_oscillator(0.0) - (1.0 / 1.00005 - 1.0)).abs() < 1e-12);
        assert!((steady.against_steady(steady.on_oscillator(3e-4)) - 3e-4).abs() < 1e-15);
        // A step moves both, and says nothing.
        steady.shift(2_000_000_000);
        let same = found(102.0, 0.0, strayed, 7.0 + 100.0 * slower - 2.0, slower);
        let again = steady.follow(&same, 4.0, 1.0).expect("it was followed");
        assert!((again - strayed).abs() < 1e-9);
        steady.lose();
        let rate = steady.on_oscillator(0.0);
        assert_eq!(steady.follow(&found(200.0, 0.0, strayed, -9.0, slower), 4.0, 1.0), None);
        assert!((steady.on_oscillator(0.0) - rate).abs() < 1e-15);
    }
}
