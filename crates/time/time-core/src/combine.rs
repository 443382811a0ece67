//! One estimate from those of several sources (`docs/algorithm.md` section 3.2).

use crate::filter::Estimate;

/// With fewer there is no middle one to measure the others against.
const MIDDLE_MIN: usize = 3;

/// Means weighted by inverse variance, of offset and frequency each. From three estimates on, one that lies apart from the middle one
/// counts as if its variance were larger by the square of that.
pub(crate) fn combine(estimates: &[Estimate]) -> Option<Estimate> {
    let first = *estimates.first()?;
    if estimates.len() == 1 {
        return Some(first);
    }
    let middle = middle(estimates);
    let doubt = |one: &Estimate| {
        let apart = if estimates.len() < MIDDLE_MIN { 0.0 } else { one.offset - middle };
        let variance = one.offset_variance.max(1e-24);
        (variance + apart * apart) / variance
    };
    let weighted = |value: fn(&Estimate) -> f64, variance: fn(&Estimate) -> f64| {
        let weight = |one: &Estimate| 1.0 / (variance(one).max(1e-24) * doubt(one));
        let sum: f64 = estimates.iter().map(weight).sum();
        let mean = estimates.iter().map(|one| value(one) * weight(one)).sum::<f64>() / sum;
        (mean, 1.0 / sum)
    };
    let (offset, offset_variance) = weighted(|one| one.offset, |one| one.offset_variance);
    let (frequency, frequency_variance) = weighted(|one| one.frequency, |one| one.frequency_variance);
    Some(Estimate { offset, frequency, offset_variance, frequency_variance, ..first })
}

/// The offset with half of the weight (inverse sigma) on each side.
fn middle(estimates: &[Estimate]) -> f64 {
    let mut weighed: Vec<(f64, f64)> =
        estimates.iter().map(|one| (one.offset, 1.0 / one.offset_variance.max(1e-24).sqrt())).collect();
    weighed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = weighed.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    weighed
        .iter()
        .find(|(_, weight)| {
            sum += weight;
            sum >= half
        })
        .map_or(0.0, |(offset, _)| *offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(offset: f64, sigma: f64) -> Estimate {
        Estimate {
            offset,
            frequency: offset * 1e-3,
            offset_variance: sigma * sigma,
            covariance: 0.0,
            frequency_variance: 1e-18,
            wander: 1e-18,
        }
    }

    fn check(estimates: &[Estimate], expected: f64, within: f64) {
        let found = combine(estimates).expect("there are some").offset;
        assert!((found - expected).abs() <= within, "{found} for {expected}");
    }

    /// Goal: two are weighed by their variances; of three the one that stands apart hardly counts, wherever it stands.
    #[test]
    fn the_one_that_stands_apart_hardly_counts() {
        check(&[one(1.0, 1.0)], 1.0, 0.0);
        check(&[one(0.0, 1e-4), one(1e-3, 3e-4)], 1e-4, 1e-9);
        check(&[one(0.0, 1e-4), one(1e-5, 1e-4), one(1e-2, 1e-4)], 5e-6, 2e-6);
        check(&[one(-1e-2, 1e-4), one(0.0, 1e-4), one(1e-5, 1e-4)], 5e-6, 2e-6);
        assert!(combine(&[]).is_none());
    }
}
