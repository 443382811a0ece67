//! Fallback drifts (`chrony.conf(5)`, fallbackdrift): what the oscillator's frequency is on average over ever longer times, for a
//! clock that nobody has corrected for as long.

/// The longest interval, log2 s: 136 years.
const INTERVAL_MAX: i8 = 32;

/// Which averages are kept: of 2^`min` to 2^`max` seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackSettings {
    /// The shortest, log2 s.
    pub min: i8,
    /// The longest, log2 s.
    pub max: i8,
}

/// The averages.
#[derive(Debug, Clone, Default)]
pub(crate) struct FallbackDrifts {
    min: i8,
    averages: Vec<Average>,
    /// The one in force.
    active: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Average {
    frequency: f64,
    /// How long it was watched, at most its own interval, in seconds.
    seconds: f64,
}

impl FallbackDrifts {
    /// Nothing known yet.
    pub(crate) fn new(settings: Option<FallbackSettings>) -> Self {
        let Some(FallbackSettings { min, max }) = settings.filter(|one| one.min <= one.max) else {
            return Self::default();
        };
        let count = usize::try_from(max.min(INTERVAL_MAX) - min + 1).unwrap_or(0);
        Self { min, averages: vec![Average::default(); count], active: None }
    }

    /// The frequency was `frequency` (s/s) for `seconds`; the measured one is in force again.
    pub(crate) fn learn(&mut self, frequency: f64, seconds: f64) {
        self.active = None;
        for (index, average) in self.averages.iter_mut().enumerate() {
            let interval = seconds_of(self.min, index);
            let seconds = seconds.clamp(0.0, interval);
            average.seconds = (average.seconds + seconds).min(interval);
            if average.seconds > 0.0 {
                average.frequency += (frequency - average.frequency) * seconds / average.seconds;
            }
        }
    }

    /// Seconds after the last update at which the next average takes over; none when there is none.
    pub(crate) fn due(&self) -> Option<f64> {
        let next = self.active.map_or(0, |active| active + 1);
        // One that was watched for less than its interval says no more than a shorter one.
        let average = self.averages.get(next)?;
        let interval = seconds_of(self.min, next);
        (average.seconds >= interval).then_some(interval)
    }

    /// The next average takes over; its frequency, s/s.
    pub(crate) fn next(&mut self) -> Option<f64> {
        self.due()?;
        let next = self.active.map_or(0, |active| active + 1);
        self.active = Some(next);
        self.averages.get(next).map(|average| average.frequency)
    }
}

fn seconds_of(min: i8, index: usize) -> f64 {
    (f64::from(min) + index as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each average covers its own interval, they take over one after the other, and an update ends that.
    #[test]
    fn averages_take_over_one_after_the_other() {
        let mut drifts = FallbackDrifts::new(Some(FallbackSettings { min: 6, max: 10 }));
        assert_eq!(drifts.due(), None);
        // A frequency that goes up and down once in 1,024 s.
        for step in 0..256 {
            let frequency = if step / 32 % 2 == 0 { 1e-4 } else { -1e-4 };
            drifts.learn(frequency, 16.0);
        }
        let mut found = Vec::new();
        while let Some(due) = drifts.due() {
            found.push((due, drifts.next().unwrap_or(f64::NAN)));
        }
        assert_eq!(
            found.iter().map(|(due, _)| *due).collect::<Vec<_>>(),
            [64.0, 128.0, 256.0, 512.0, 1024.0]
        );
        assert!(found[0].1 < -9e-5, "{found:?}");
        assert!(found[4].1.abs() < 6e-5, "{found:?}");
        drifts.learn(0.0, 16.0);
        assert_eq!(drifts.due(), Some(64.0));
        assert_eq!(FallbackDrifts::new(None).due(), None);
    }
}
