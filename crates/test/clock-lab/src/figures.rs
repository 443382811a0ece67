//! What a run of a scenario was like.

use crate::scenario::Scenario;
use crate::world::{ServerSettings, World};
use time_core::ScreeningSettings;

/// The figures of one seed; seconds, and s/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// The first second from which on the clock stayed within the scenario's limits.
    pub sync: f64,
    /// abs(mean) of the clock's error.
    pub mean: f64,
    /// Its root mean square.
    pub rms: f64,
    /// The largest.
    pub max: f64,
    /// Root mean square of the frequency's error, slews included.
    pub frequency: f64,
    /// Requests sent.
    pub packets: f64,
    /// Seconds at which a published error bound did not hold the true error.
    pub broken_bounds: u64,
    /// The middle one of the published bounds.
    pub bound: f64,
}

/// Least, middle and greatest over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Middle; the mean of the two in the middle.
    pub median: f64,
    /// Greatest.
    pub max: f64,
}

impl Spread {
    /// Of figures in any order.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { at(half) } else { (at(half.wrapping_sub(1)) + at(half)) / 2.0 };
        Self { min: at(0), median, max: at(sorted.len().wrapping_sub(1)) }
    }
}

/// Runs a scenario with a seed; `screening`: which exchanges count.
pub fn measure(scenario: &Scenario, seed: u64, screening: ScreeningSettings) -> Figures {
    let server = ServerSettings { screening, ..scenario.server() };
    let mut world = World::new(seed, &scenario.host(), &[server]);
    let (mut count, mut sum, mut square, mut max, mut frequency) = (0.0, 0.0, 0.0, 0.0_f64, 0.0);
    let mut unsynced = 0;
    let mut broken_bounds = 0;
    let mut bounds = Vec::new();
    world.run(scenario.seconds, |world, second| {
        let (error, rate) = (world.clock.error(), world.clock.rate_error());
        if error.abs() > scenario.limits.0 || rate.abs() > scenario.limits.1 {
            unsynced = second;
        }
        if let Some(bound) = world.error_bound() {
            if bound < error.abs() {
                broken_bounds += 1;
            }
            if second >= scenario.from {
                bounds.push(bound);
            }
        }
        if second >= scenario.from {
            count += 1.0;
            sum += error;
            square += error * error;
            max = max.max(error.abs());
            frequency += rate * rate;
        }
    });
    Figures {
        sync: (unsynced + 1) as f64,
        mean: f64::abs(sum / count),
        rms: f64::sqrt(square / count),
        max,
        frequency: f64::sqrt(frequency / count),
        packets: world.requests(0) as f64,
        broken_bounds,
        bound: Spread::of(bounds).median,
    }
}
