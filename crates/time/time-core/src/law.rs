//! What a measurement is worth: the law of its error, given by how much its delay exceeds the path's least one
//! (`docs/algorithm.md` section 2.1).

use crate::clock::LocalTime;
use crate::filter::FilterSample;

/// Assumed asymmetries of the jitter: k, such that the part of a sample's excess that arose on the way to the server has a density
/// falling by `exp(-k)` over the mean excess. 0 is the same jitter both ways; 36 is nearly all of it on one of them.
pub(crate) const ASYMMETRIES: [f64; 7] = [0.0, -3.0, 3.0, -10.0, 10.0, -36.0, 36.0];
/// How much less an asymmetry is believed before any sample, as a natural logarithm.
const ASYMMETRY_PENALTY: [f64; 7] = [0.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0];

/// The log of the belief in [`ASYMMETRIES`]`[index]` before any sample.
pub(crate) fn prior(index: usize) -> f64 {
    -ASYMMETRY_PENALTY.get(index).copied().unwrap_or(0.0)
}

/// The part of a sample's excess delay, -0.5 to 0.5, by which [`ASYMMETRIES`]`[index]` says its offset to be wrong, where the excess is the
/// mean one; positive when the way back is the more variable one (`asymmetry` of `chrony.conf(5)`).
pub(crate) fn asymmetry(index: usize) -> f64 {
    let k = ASYMMETRIES.get(index).copied().unwrap_or(0.0);
    -truncated_exponential(k / 2.0).0 / 2.0
}

/// Mean and variance of a measured offset's error.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Law {
    /// The error is certainly within this, in seconds.
    pub(crate) half: f64,
    /// The mean, in seconds.
    pub(crate) bias: f64,
    /// The variance by the jitter, s^2.
    pub(crate) variance: f64,
    /// The variance by reading the clocks, s^2.
    pub(crate) reading: f64,
    /// How far apart the offsets of this sample and of the quickest one may be for no other reason than delay that arose on one
    /// way only, in seconds: half of each round trip.
    pub(crate) one_way_max: f64,
}

/// Delays without which nothing can be said of how far they are apart.
const SPREAD_SAMPLES_MIN: f64 = 3.0;
/// Delay that arose on one way only is no more than this many times as large as the delays are apart.
const SPREADS: f64 = 4.0;
/// Samples that must agree before a longer route is believed.
const ROUTE_SAMPLES: usize = 5;
/// A route has changed when the least delay rose by this many mean excesses of the samples before and after together...
const ROUTE_EXCESSES: f64 = 4.0;
/// ...and by this much, in seconds.
const ROUTE_DELAY_MIN: f64 = 1e-5;

/// A route that became longer: the time of the first sample by it, and by how much, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RouteChange {
    pub(crate) since: LocalTime,
    pub(crate) longer: f64,
}

/// Looks for the moment from which on all samples took clearly longer than before. (A route that became shorter needs no search: its
/// samples are the quickest ones.)
pub(crate) fn route_change<'a>(
    samples: impl Iterator<Item = &'a FilterSample> + Clone,
) -> Option<RouteChange> {
    let delays: Vec<(LocalTime, f64)> = samples.map(|sample| (sample.time, sample.delay)).collect();
    let summary = |part: &[(LocalTime, f64)]| {
        let least = part.iter().map(|(_, delay)| *delay).fold(f64::INFINITY, f64::min);
        let mean = part.iter().map(|(_, delay)| delay - least).sum::<f64>() / part.len().max(1) as f64;
        (least, mean)
    };
    let changes = (1..delays.len().saturating_sub(ROUTE_SAMPLES - 1)).filter_map(|index| {
        let (before, after) = delays.split_at_checked(index)?;
        let ((least_before, mean_before), (least_after, mean_after)) = (summary(before), summary(after));
        let longer = least_after - least_before;
        let clear = longer > ROUTE_EXCESSES * (mean_before + mean_after) + ROUTE_DELAY_MIN;
        Some(RouteChange { since: after.first()?.0, longer }).filter(|_| clear)
    });
    changes.max_by(|a, b| a.longer.total_cmp(&b.longer))
}

/// What the kept samples say of the path's noise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noise {
    /// From when on the present route holds, if another was before it among these samples.
    since: Option<LocalTime>,
    before: Floor,
    present: Floor,
    /// Mean of the excess.
    mean: f64,
}

/// The least delay of one route.
#[derive(Debug, Clone, Copy, Default)]
struct Floor {
    delay: f64,
    /// How far the least delay seen may be above the path's.
    uncertainty: f64,
    /// How far the delays are apart; infinite while they are too few to tell.
    spread: f64,
}

impl Floor {
    /// With the sum of the excesses and the number of samples. `known`: the path's least delay, where somebody knows it.
    fn of<'a>(
        samples: impl Iterator<Item = &'a FilterSample> + Clone,
        known: Option<f64>,
    ) -> (Self, f64, f64) {
        let count = samples.clone().count().max(1) as f64;
        let delay = samples.clone().map(|sample| sample.delay).fold(f64::INFINITY, f64::min);
        // A sample that was quicker shows that what was known is not so.
        let known = known.filter(|known| *known <= delay);
        let delay = known.unwrap_or(delay);
        let delay = if delay.is_finite() { delay } else { 0.0 };
        let delay_max = samples.clone().map(|sample| sample.delay).fold(f64::NEG_INFINITY, f64::max);
        let spread = if count < SPREAD_SAMPLES_MIN { f64::INFINITY } else { (delay_max - delay).max(0.0) };
        let sum: f64 = samples.map(|sample| sample.delay - delay).sum();
        // Of n delays whose excess is a sum of two exponentials with mean m in all, the least is about 0.63 m / sqrt(n) above
        // the path's. With few samples the delay itself bounds what we do not know, and from three on how far the delays are apart.
        let few = SPREAD_SAMPLES_MIN / count;
        let unseen = (0.1 * delay / (count * count)).min(spread * few * few);
        let uncertainty = if known.is_some() { 0.0 } else { 0.63 * sum / count / count.sqrt() + unseen };
        (Self { delay, uncertainty, spread }, sum, count)
    }
}

impl Noise {
    /// `since`: from when on the present route holds, if another was before it; `known`: its least delay, where somebody knows it.
    pub(crate) fn of<'a>(
        samples: impl Iterator<Item = &'a FilterSample> + Clone,
        since: Option<LocalTime>,
        known: Option<f64>,
    ) -> Self {
        let earlier = move |sample: &&FilterSample| since.is_some_and(|since| sample.time < since);
        let (before, sum_before, count_before) = Floor::of(samples.clone().filter(earlier), None);
        let (present, sum, count) = Floor::of(samples.filter(move |sample| !earlier(sample)), known);
        let count_before = if sum_before > 0.0 { count_before } else { 0.0 };
        let mean = (sum + sum_before) / (count + count_before) + present.uncertainty;
        Self { since, before, present, mean }
    }

    fn floor(&self, sample: &FilterSample) -> &Floor {
        if self.since.is_some_and(|since| sample.time < since) { &self.before } else { &self.present }
    }

    fn excess(&self, sample: &FilterSample) -> f64 {
        let floor = self.floor(sample);
        (sample.delay - floor.delay).max(0.0) + floor.uncertainty
    }

    /// The least delay of the present route, in seconds.
    pub(crate) fn delay_min(&self) -> f64 {
        self.present.delay
    }

    /// An excess of s leaves the offset's error anywhere within +-s/2: a variance of s^2/12.
    pub(crate) fn variance(&self, sample: &FilterSample) -> f64 {
        let excess = self.excess(sample);
        excess * excess / 12.0 + sample.dispersion * sample.dispersion
    }

    /// [`Law::one_way_max`].
    pub(crate) fn one_way_max(&self, sample: &FilterSample) -> f64 {
        let floor = self.floor(sample);
        let possible = (sample.delay.max(0.0) + floor.delay.max(0.0)) / 2.0;
        // A long way whose delays are all alike has no such delays.
        possible.min(SPREADS * floor.spread)
    }

    /// The laws under each of [`ASYMMETRIES`].
    pub(crate) fn laws(&self, sample: &FilterSample) -> [Law; ASYMMETRIES.len()] {
        let half = self.excess(sample) / 2.0;
        let reading = sample.dispersion * sample.dispersion;
        let one_way_max = self.one_way_max(sample);
        ASYMMETRIES.map(|asymmetry| {
            let (mean, variance) = truncated_exponential(asymmetry * half / self.mean.max(1e-12));
            Law { half, bias: half * mean, variance: half * half * variance, reading, one_way_max }
        })
    }
}

/// Mean and variance of the law on [-1, 1] whose density goes as `exp(-x u)`: evenly where x is 0. (`x` is half the exponent's
/// change over the whole.) The mean is -L(x), L being Langevin's function coth x - 1/x.
fn truncated_exponential(x: f64) -> (f64, f64) {
    let size = x.abs();
    if size < 0.05 {
        return (-x / 3.0, 1.0 / 3.0 - x * x / 15.0);
    }
    let langevin = 1.0 / size.tanh() - 1.0 / size;
    let sinh = size.min(300.0).sinh();
    (-langevin * x.signum(), 1.0 / (size * size) - 1.0 / (sinh * sinh))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: mean and variance are those of the density, by summing it up.
    #[test]
    fn the_moments_are_those_of_the_density() {
        for x in [0.0, 0.01, -0.049, 0.051, 0.5, -2.0, 7.0, -30.0] {
            let steps = 200_000;
            let (mut weight, mut first, mut second) = (0.0, 0.0, 0.0);
            for index in 0..steps {
                let u = (f64::from(index) + 0.5) / f64::from(steps) * 2.0 - 1.0;
                let density = (-x * u - f64::abs(x)).exp();
                weight += density;
                first += density * u;
                second += density * u * u;
            }
            let (mean, variance) = (first / weight, second / weight - (first / weight).powi(2));
            let (found_mean, found_variance) = truncated_exponential(x);
            assert!((mean - found_mean).abs() < 1e-4, "{x}: {found_mean} for {mean}");
            assert!((variance - found_variance).abs() < 1e-4, "{x}: {found_variance} for {variance}");
        }
    }
}
