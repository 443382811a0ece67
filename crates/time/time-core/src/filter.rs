//! The sample filter: from many noisy exchanges with one source to its offset and the oscillator's frequency.
//!
//! A bank of two-state Kalman filters, one for each combination of an assumed wander and an assumed scale of the network's
//! noise; the likelihood of the samples says which to believe (`docs/algorithm.md`, section 2). The last
//! [`FILTER_SAMPLES_MAX`] samples are kept and filtered again with each new one, because what a sample is worth is known
//! only when the path's least delay is.

use crate::clock::LocalTime;
use crate::law::{self, ASYMMETRIES, Law, Noise, route_change};
use std::collections::VecDeque;

/// Samples that are kept and weighed anew: long enough to know the least delay, short enough to follow a change of route.
pub const FILTER_SAMPLES_MAX: usize = 32;

/// Assumed wander: the variance of the frequency's random walk, (s/s)^2 per second. From the best crystals to a machine that
/// heats up and cools down; the last two are no oscillator's, but a server's whose time is moved slowly (`smoothtime`).
const WANDERS: [f64; 11] = [1e-20, 1e-19, 1e-18, 1e-17, 1e-16, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10];
/// Assumed scale of a measurement's variance against the uniform law of `docs/algorithm.md` section 2.1.
const NOISE_SCALES: [f64; 3] = [0.3, 1.0, 4.0];
/// The same for a clock that is read directly, whose dispersion is a bound: how much of it is noise, and how much stays what it is and
/// shows in no sample, only the samples tell. It may be a thousandth.
const NOISE_SCALES_DIRECT: [f64; 8] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 4.0];
/// Phase noise of the oscillator itself, s^2 per second: white frequency noise of about 1e-9 at one second.
const PHASE_NOISE: f64 = 1e-18;
/// How much of what the dropped samples said about the models is kept with each sample.
const MEMORY: f64 = 0.97;
/// Samples before a belief is normal enough to be cut.
const SAMPLES_BEFORE_CONFINING: u32 = 2;
/// A belief wider than this many half widths of what a measurement allows is replaced rather than cut: the normal update does that.
const WIDE_BELIEF: f64 = 4.0;
/// A measurement that had less chance than this contradicts the belief: the normal update's rule for outliers decides.
const CONTRADICTION: f64 = 1e-3;
/// The offset's sigma after a route became longer, as a part of by how much.
const ROUTE_UNCERTAINTY: f64 = 0.25;
/// A model whose log likelihood is this much below the best one's is given up until the filter starts anew.
const HOPELESS: f64 = 40.0;
/// A source whose filter starts again a second time within so many samples is restless: few samples after a restart always lie near
/// their line.
const RESTART_SAMPLES: u32 = 12;
/// Innovations beyond this many standard deviations count as no more than that, so that one outlier moves little.
const OUTLIER_SIGMAS: f64 = 4.0;
/// Consecutive outliers on one side after which the filter believes them and starts again.
const OUTLIERS_BEFORE_RESTART: u32 = 3;
/// The same for outliers in the range of [`LARGE_OUTLIER`]: no route changes by that much, so it is a clock that was set, and
/// whose clock, or whether somebody plays with us, the next answers show.
const LARGE_OUTLIERS_BEFORE_RESTART: u32 = 6;
/// In seconds. What is beyond is a machine that slept, where waiting helps nobody.
const LARGE_OUTLIER: std::ops::Range<f64> = 0.5..10.0;
/// In the first samples a frequency far off the assumed one is learnt at once instead of counting as an outlier.
const LEARNING_SAMPLES: u32 = 4;

/// One exchange in uncorrected time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterSample {
    /// The middle of the exchange.
    pub time: LocalTime,
    /// True time minus uncorrected time, in seconds.
    pub offset: f64,
    /// Round trip, in seconds.
    pub delay: f64,
    /// What reading the clocks may have cost, in seconds.
    pub dispersion: f64,
}

/// What the filter knows at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// True time minus uncorrected time, in seconds.
    pub offset: f64,
    /// How fast that grows, s/s: the correction that the oscillator needs.
    pub frequency: f64,
    /// Variance of the offset, s^2.
    pub offset_variance: f64,
    /// Covariance of the two.
    pub covariance: f64,
    /// Variance of the frequency.
    pub frequency_variance: f64,
    /// Expected wander, (s/s)^2 per second.
    pub wander: f64,
}

impl Estimate {
    /// The offset `seconds` later, or earlier when negative.
    pub fn after_signed(&self, seconds: f64) -> f64 {
        self.offset + self.frequency * seconds
    }

    /// The estimate `seconds` later.
    #[must_use]
    pub fn after(&self, seconds: f64) -> Self {
        let mut state = State {
            offset: self.offset,
            frequency: self.frequency,
            p00: self.offset_variance,
            p01: self.covariance,
            p11: self.frequency_variance,
            count: 0,
        };
        state.predict(seconds.max(0.0), self.wander);
        Self {
            offset: self.offset + self.frequency * seconds,
            offset_variance: state.p00,
            covariance: state.p01,
            frequency_variance: state.p11,
            ..*self
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct State {
    offset: f64,
    frequency: f64,
    p00: f64,
    p01: f64,
    p11: f64,
    count: u32,
}

#[derive(Debug, Clone, Copy)]
struct Model {
    wander: f64,
    noise_scale: f64,
    /// The scale is the reading's too: there is no path.
    direct: bool,
    /// Which of [`ASYMMETRIES`].
    asymmetry: usize,
    log_weight: f64,
    state: State,
    at: LocalTime,
}

/// The filter of one source.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The models before the oldest kept sample.
    base: Vec<Model>,
    samples: VecDeque<FilterSample>,
    /// What was uncertain about our own corrections before each kept sample, s^2.
    disturbances: VecDeque<f64>,
    pending_disturbance: f64,
    estimate: Option<(LocalTime, Estimate)>,
    prior: (f64, f64),
    /// From when on the path has been longer than before.
    route_since: Option<LocalTime>,
    outliers: i32,
    last_innovation: f64,
    last_variance: f64,
    contradiction: f64,
    /// Samples until a restart is forgotten, and what the jitter was at those that are not.
    unrest: u32,
    unrest_jitter: f64,
    total: u64,
    keep_min: usize,
    keep_max: usize,
    /// The path's least delay where somebody knows it, in seconds.
    delay_min_known: Option<f64>,
    /// That is the delay of one sample, all others having the same one ([`Self::settle`]).
    settled: bool,
    /// The samples' jitter is the same both ways: nothing of it is to be learnt.
    even: bool,
    /// The source is read directly.
    direct: bool,
    asymmetry: f64,
    stress: f64,
    dropped: u32,
}

impl Filter {
    /// A filter that knows nothing but the oscillator's probable frequency (s/s) and how far off it may be (s/s, one sigma).
    pub fn new(frequency: f64, frequency_sigma: f64) -> Self {
        Self {
            base: models(frequency, frequency_sigma, false),
            samples: VecDeque::with_capacity(FILTER_SAMPLES_MAX),
            disturbances: VecDeque::with_capacity(FILTER_SAMPLES_MAX),
            pending_disturbance: 0.0,
            estimate: None,
            prior: (frequency, frequency_sigma),
            route_since: None,
            outliers: 0,
            last_innovation: 0.0,
            last_variance: 0.0,
            contradiction: 0.0,
            unrest: 0,
            unrest_jitter: 0.0,
            total: 0,
            keep_min: OUTLIERS_BEFORE_RESTART as usize,
            keep_max: FILTER_SAMPLES_MAX,
            delay_min_known: None,
            settled: false,
            even: false,
            direct: false,
            asymmetry: 0.0,
            stress: 0.0,
            dropped: 0,
        }
    }

    /// Takes `delay_min` for the path's least delay instead of the samples' (`mindelay`). `even`: the jitter's asymmetry is known and was
    /// taken out of the samples already (`asymmetry`).
    #[must_use]
    pub fn on_path(mut self, delay_min: Option<f64>, even: bool) -> Self {
        (self.delay_min_known, self.even) = (delay_min, even);
        self.base = self.models(self.prior.0, self.prior.1);
        self
    }

    /// The samples come from a clock that is read directly, without delay.
    #[must_use]
    pub fn without_path(mut self) -> Self {
        (self.direct, self.even) = (true, true);
        self.base = self.models(self.prior.0, self.prior.1);
        self
    }

    fn models(&self, frequency: f64, sigma: f64) -> Vec<Model> {
        let mut models = models(frequency, sigma, self.direct);
        models.retain(|model| !self.even || model.asymmetry == 0);
        models
    }

    fn noise(&self) -> Noise {
        Noise::of(self.samples.iter(), self.route_since, self.delay_min_known)
    }

    /// Keeps at least `min` samples when it starts again and `max` at most; 0 means its own choice.
    #[must_use]
    pub fn keeping(mut self, min: usize, max: usize) -> Self {
        self.keep_max = if max == 0 { FILTER_SAMPLES_MAX } else { max.min(FILTER_SAMPLES_MAX) };
        self.keep_min = min.max(OUTLIERS_BEFORE_RESTART as usize).min(self.keep_max);
        self
    }

    /// Takes a sample. One that is not younger than the last, or not finite, is refused.
    pub fn add(&mut self, sample: FilterSample) -> bool {
        let finite = sample.offset.is_finite() && sample.delay.is_finite() && sample.dispersion.is_finite();
        let in_order = self.samples.back().is_none_or(|last| last.time < sample.time);
        if !finite || !in_order {
            return false;
        }
        self.judge(&sample);
        let known_before = self.estimate_at_last();
        let kept_before = self.samples.len();
        if self.samples.len() >= self.keep_max {
            let noise = self.noise();
            let disturbance = self.disturbances.pop_front().unwrap_or(0.0);
            if let Some(oldest) = self.samples.pop_front() {
                let laws = noise.laws(&oldest);
                for model in &mut self.base {
                    model.log_weight *= MEMORY;
                    model.absorb(&oldest, &laws, disturbance);
                }
                forget_the_hopeless(&mut self.base);
            }
        }
        self.samples.push_back(sample);
        self.disturbances.push_back(std::mem::take(&mut self.pending_disturbance));
        self.total += 1;
        self.unrest = self.unrest.saturating_sub(1);
        let enough = match LARGE_OUTLIER.contains(&self.last_innovation.abs()) {
            true => LARGE_OUTLIERS_BEFORE_RESTART,
            false => OUTLIERS_BEFORE_RESTART,
        };
        if self.outliers.unsigned_abs() >= enough {
            self.restart();
        }
        self.follow_route();
        self.run();
        self.dropped = (kept_before + 1).saturating_sub(self.samples.len()) as u32;
        self.stress = match (known_before, self.estimate_at_last()) {
            (Some(before), Some(now)) if before.frequency_variance > 0.0 => {
                (now.frequency - before.frequency).abs() / before.frequency_variance.sqrt()
            }
            _ => 0.0,
        };
        true
    }

    /// Counts outliers on one side of what was expected.
    fn judge(&mut self, sample: &FilterSample) {
        let Some(expected) = self.estimate(sample.time) else { return };
        let noise = self.noise();
        let innovation = sample.offset - expected.offset;
        let sigma = (expected.offset_variance + 4.0 * noise.variance(sample)).sqrt();
        self.last_innovation = innovation;
        self.outliers =
            if self.total < u64::from(LEARNING_SAMPLES) || innovation.abs() < OUTLIER_SIGMAS * sigma {
                0
            } else if innovation > 0.0 {
                self.outliers.max(0) + 1
            } else {
                self.outliers.min(0) - 1
            };
        let explained = noise.one_way_max(sample) + OUTLIER_SIGMAS * expected.offset_variance.sqrt();
        let contradicts = self.outliers != 0 && innovation.abs() > explained;
        self.contradiction = if contradicts { innovation.abs() } else { 0.0 };
    }

    /// The world has changed (another route, a clock moved by somebody else): only the last samples count, and the frequency
    /// that was known.
    fn restart(&mut self) {
        let known = self.known_frequency();
        let jitter = self.residuals().0;
        self.unrest_jitter = if self.unrest > 0 { self.unrest_jitter.max(jitter) } else { jitter };
        self.unrest = (self.unrest + RESTART_SAMPLES).min(2 * RESTART_SAMPLES);
        self.contradiction = 0.0;
        self.base = self.models(known.0, known.1);
        while self.samples.len() > self.keep_min {
            self.samples.pop_front();
            self.disturbances.pop_front();
        }
        self.outliers = 0;
    }

    /// From the last sample on the path has no jitter of its own: only that one counts, and the frequency that is known. Nothing is to be
    /// learnt of an asymmetry any more.
    pub(crate) fn settle(&mut self) {
        let known = self.known_frequency();
        self.even = true;
        self.base = self.models(known.0, known.1);
        while self.samples.len() > 1 {
            self.samples.pop_front();
            self.disturbances.pop_front();
        }
        (self.outliers, self.contradiction, self.route_since) = (0, 0.0, None);
        if self.delay_min_known.is_none() {
            self.delay_min_known = self.samples.back().map(|sample| sample.delay);
            self.settled = true;
        }
        self.run();
    }

    /// What a new beginning may assume of the oscillator.
    fn known_frequency(&self) -> (f64, f64) {
        self.estimate.map_or(self.prior, |(_, estimate)| {
            (
                estimate.frequency,
                (10.0 * estimate.frequency_variance.sqrt()).clamp(1e-7, self.prior.1.max(1e-5)),
            )
        })
    }

    /// A route that became longer may have become so on one way only: the offset is uncertain by a part of that, and what comes next
    /// is measured against the new least delay.
    fn follow_route(&mut self) {
        let known = self.route_since;
        let present =
            self.samples.iter().filter(move |sample| known.is_none_or(|since| sample.time >= since));
        let Some(change) = route_change(present) else { return };
        self.route_since = Some(change.since);
        if std::mem::take(&mut self.settled) {
            // That of the other route.
            self.delay_min_known = None;
        }
        let first = self.samples.iter().position(|sample| sample.time == change.since);
        if let Some(disturbance) = first.and_then(|index| self.disturbances.get_mut(index)) {
            *disturbance += (change.longer * ROUTE_UNCERTAINTY).powi(2);
        }
    }

    /// Filters the kept samples anew and mixes the models.
    fn run(&mut self) {
        let Some(last) = self.samples.back() else {
            self.estimate = None;
            return;
        };
        let noise = self.noise();
        self.last_variance = noise.variance(last);
        let mut models = self.base.clone();
        for (sample, disturbance) in self.samples.iter().zip(&self.disturbances) {
            let laws = noise.laws(sample);
            for model in &mut models {
                model.absorb(sample, &laws, *disturbance);
            }
        }
        let weights = weights(&models);
        self.estimate = Some((last.time, mix(&models, &weights)));
        self.asymmetry =
            models.iter().zip(&weights).map(|(one, weight)| law::asymmetry(one.asymmetry) * weight).sum();
    }

    /// What is known at `time` (of the uncorrected clock); none before the first sample.
    pub fn estimate(&self, time: LocalTime) -> Option<Estimate> {
        self.estimate.map(|(at, estimate)| estimate.after(time.since(at)))
    }

    /// The estimate for the moment of the last sample.
    pub(crate) fn estimate_at_last(&self) -> Option<Estimate> {
        self.estimate.map(|(_, estimate)| estimate)
    }

    /// The clock was stepped by `nanos`: uncorrected time moved with it, and offsets the other way.
    pub fn shift(&mut self, nanos: i64) {
        let seconds = nanos as f64 * 1e-9;
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        for sample in &mut self.samples {
            sample.time = moved(sample.time);
            sample.offset -= seconds;
        }
        self.route_since = self.route_since.map(moved);
        for model in &mut self.base {
            model.at = moved(model.at);
            model.state.offset -= seconds;
        }
        if let Some((at, estimate)) = &mut self.estimate {
            *at = moved(*at);
            estimate.offset -= seconds;
        }
    }

    /// True time itself was counted anew by `seconds`: a leap second.
    pub fn restate(&mut self, seconds: f64) {
        for sample in &mut self.samples {
            sample.offset += seconds;
        }
        for model in &mut self.base {
            model.state.offset += seconds;
        }
        if let Some((_, estimate)) = &mut self.estimate {
            estimate.offset += seconds;
        }
    }

    /// The clock's rate was changed, which came into force at an uncertain moment: the correction may be off by `sigma`
    /// seconds.
    pub fn disturb(&mut self, sigma: f64) {
        if let Some((_, estimate)) = &mut self.estimate {
            estimate.offset_variance += sigma * sigma;
            self.pending_disturbance += sigma * sigma;
        }
    }

    /// The samples kept, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &FilterSample> {
        self.samples.iter()
    }

    /// Samples kept.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// No sample yet.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Samples taken since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// From the oldest kept sample to the youngest, in seconds.
    pub fn span(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => last.time.since(first.time),
            _ => 0.0,
        }
    }

    /// The least delay among the kept samples of the present route, in seconds.
    pub fn delay_min(&self) -> Option<f64> {
        (!self.samples.is_empty()).then(|| self.noise().delay_min())
    }

    /// The middle one of the kept samples' standard deviations: what a typical measurement is worth, in seconds.
    pub fn typical_sigma(&self) -> f64 {
        let noise = self.noise();
        let mut variances: Vec<f64> = self.samples.iter().map(|sample| noise.variance(sample)).collect();
        variances.sort_by(f64::total_cmp);
        variances.get(variances.len() / 2).map_or(0.0, |variance| variance.sqrt())
    }

    /// The standard deviation of the kept samples around the estimate's line, in seconds; and how often they change side.
    pub fn residuals(&self) -> (f64, u32) {
        let Some((at, estimate)) = self.estimate else { return (0.0, 0) };
        let residuals: Vec<f64> = self
            .samples
            .iter()
            .map(|sample| sample.offset - (estimate.offset + estimate.frequency * sample.time.since(at)))
            .collect();
        let square_sum: f64 = residuals.iter().map(|residual| residual * residual).sum();
        let changes = residuals.windows(2).filter(|pair| (pair[0] < 0.0) != (pair[1] < 0.0)).count() as u32;
        let runs = if residuals.is_empty() { 0 } else { changes + 1 };
        ((square_sum / residuals.len().max(1) as f64).sqrt(), runs)
    }

    /// The jitter that a restless source had when its filter started again, in seconds; 0 where it started again once at most.
    pub(crate) fn restless_jitter(&self) -> f64 {
        if self.unrest > RESTART_SAMPLES { self.unrest_jitter } else { 0.0 }
    }

    /// By how much the last sample contradicts what was known, in seconds: more than any delay on one way explains. It is not
    /// believed before others say the same, and it is no reason either to go on as if nothing was wrong. 0: it does not.
    pub fn contradiction(&self) -> f64 {
        self.contradiction
    }

    /// How many samples in a row lie on the same side of what was known, too far off to be noise.
    pub(crate) fn outliers(&self) -> u32 {
        self.outliers.unsigned_abs()
    }

    /// The jitter's asymmetry as the samples show it, -0.5 to 0.5: the mean of what is assumed of it, by how much each is believed.
    pub fn asymmetry(&self) -> f64 {
        self.asymmetry
    }

    /// By how many sigmas of what was known of it the frequency changed with the last sample.
    pub fn stress(&self) -> f64 {
        self.stress
    }

    /// How many of the oldest samples were given up with the last one.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// By how much the last sample differed from what was expected, in seconds.
    pub fn last_innovation(&self) -> f64 {
        self.last_innovation
    }

    /// The last sample's variance, s^2.
    pub fn last_variance(&self) -> f64 {
        self.last_variance
    }
}

fn models(frequency: f64, sigma: f64, direct: bool) -> Vec<Model> {
    let noise_scales: &[f64] = if direct { &NOISE_SCALES_DIRECT } else { &NOISE_SCALES };
    let state = State { offset: 0.0, frequency, p00: 0.0, p01: 0.0, p11: sigma * sigma, count: 0 };
    let mut models = Vec::with_capacity(WANDERS.len() * noise_scales.len() * ASYMMETRIES.len());
    for wander in WANDERS {
        for noise_scale in noise_scales.iter().copied() {
            // Before any sample: a usual crystal's wander, and the law as it stands.
            let distance = wander.log10() + 17.5;
            let log_weight = -distance * distance / 8.0 - noise_scale.ln().abs() / 2.0;
            for asymmetry in 0..ASYMMETRIES.len() {
                let log_weight = log_weight + law::prior(asymmetry);
                let at = LocalTime(0);
                models.push(Model { wander, noise_scale, direct, asymmetry, log_weight, state, at });
            }
        }
    }
    models
}

/// Models that nothing can bring back cost time only.
fn forget_the_hopeless(models: &mut Vec<Model>) {
    let best = models.iter().map(|model| model.log_weight).fold(f64::NEG_INFINITY, f64::max);
    models.retain(|model| model.log_weight > best - HOPELESS);
}

/// How much each is believed; one in all.
fn weights(models: &[Model]) -> Vec<f64> {
    let best = models.iter().map(|model| model.log_weight).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = models.iter().map(|model| (model.log_weight - best).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// The models' mean and variance, by their weights.
fn mix(models: &[Model], weights: &[f64]) -> Estimate {
    let mean = |value: &dyn Fn(&Model) -> f64| {
        models.iter().zip(weights).map(|(model, weight)| value(model) * weight).sum::<f64>()
    };
    let (offset, frequency) = (mean(&|model| model.state.offset), mean(&|model| model.state.frequency));
    let apart = |model: &Model| (model.state.offset - offset, model.state.frequency - frequency);
    Estimate {
        offset,
        frequency,
        offset_variance: mean(&|model| model.state.p00 + apart(model).0.powi(2)),
        covariance: mean(&|model| model.state.p01 + apart(model).0 * apart(model).1),
        frequency_variance: mean(&|model| model.state.p11 + apart(model).1.powi(2)),
        wander: mean(&|model| model.wander),
    }
}

impl Model {
    /// It takes the law of the jitter as it stands.
    fn is_plain(&self) -> bool {
        self.asymmetry == 0 && self.noise_scale == 1.0 && !self.direct
    }

    fn absorb(&mut self, sample: &FilterSample, laws: &[Law; ASYMMETRIES.len()], disturbance: f64) {
        let law = laws.get(self.asymmetry).copied().unwrap_or_default();
        let reading = if self.direct { law.reading * self.noise_scale } else { law.reading };
        let noise = (law.variance * self.noise_scale + reading).max(1e-20);
        let measured = sample.offset - law.bias;
        if self.state.count == 0 {
            self.state.offset = measured;
            self.state.p00 = noise;
            self.state.p01 = 0.0;
        } else {
            let seconds = sample.time.since(self.at);
            self.state.predict(seconds, self.wander);
            self.state.p00 += disturbance;
            // The even law as it stands, where the belief is not wider by far than what it allows (2.3 of the document).
            if self.is_plain()
                && self.state.count >= SAMPLES_BEFORE_CONFINING
                && let Some(likelihood) =
                    self.state.confine(sample.offset, law.half + 2.0 * law.reading.sqrt())
            {
                self.log_weight += likelihood.ln();
                self.state.count += 1;
                self.at = sample.time;
                return;
            }
            let innovation = measured - self.state.offset;
            let mut spread = self.state.p00 + noise;
            if self.state.count < LEARNING_SAMPLES
                && innovation * innovation > 25.0 * spread
                && innovation.abs() > law.one_way_max
                && seconds > 0.0
            {
                // No delay explains it, so the assumed frequency was wrong: learn it now.
                let error = innovation / seconds;
                self.state.p11 += error * error;
                self.state.p01 += error * error * seconds;
                self.state.p00 += innovation * innovation;
                spread = self.state.p00 + noise;
            }
            let square = (innovation * innovation / spread).min(OUTLIER_SIGMAS * OUTLIER_SIGMAS);
            self.log_weight -= 0.5 * (spread.ln() + square + std::f64::consts::TAU.ln());
            // An outlier weighs as if its variance were what would make it none.
            let least = innovation * innovation / (OUTLIER_SIGMAS * OUTLIER_SIGMAS);
            let spread = spread.max(least);
            self.state.update(innovation, spread);
        }
        self.state.count += 1;
        self.at = sample.time;
    }
}

impl State {
    /// Offset and frequency walk on for `seconds`.
    fn predict(&mut self, seconds: f64, wander: f64) {
        let t = seconds;
        self.offset += self.frequency * t;
        self.p00 += 2.0 * t * self.p01 + t * t * self.p11 + wander * t * t * t / 3.0 + PHASE_NOISE * t;
        self.p01 += t * self.p11 + wander * t * t / 2.0;
        self.p11 += wander * t;
    }

    /// Bayes' update for an offset that is known to lie within `half` of `measured`, evenly: the normal belief is cut off there, and the
    /// remainder's mean and variance are kept. Returns the likelihood, 1/s; none (and nothing changed) where the normal update does as
    /// well, or where the measurement contradicts the belief.
    fn confine(&mut self, measured: f64, half: f64) -> Option<f64> {
        let sigma = self.p00.max(0.0).sqrt();
        if !(sigma > 0.0 && sigma < WIDE_BELIEF * half) {
            return None;
        }
        let alpha = (measured - half - self.offset) / sigma;
        let beta = (measured + half - self.offset) / sigma;
        let mass = normal_mass(beta) - normal_mass(alpha);
        if mass < CONTRADICTION {
            return None;
        }
        let density = |at: f64| (-at * at / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (low, high) = (density(alpha), density(beta));
        let shift = (low - high) / mass;
        let part = (1.0 + (alpha * low - beta * high) / mass - shift * shift).clamp(1e-3, 1.0);
        let slope = self.p01 / self.p00;
        self.offset += sigma * shift;
        self.frequency += slope * sigma * shift;
        self.p11 = (self.p11 - slope * self.p01 * (1.0 - part)).max(0.0);
        self.p01 *= part;
        self.p00 *= part;
        Some(mass / (2.0 * half))
    }

    /// Kalman's update for a measured offset; `spread` is the innovation's variance.
    fn update(&mut self, innovation: f64, spread: f64) {
        let (k0, k1) = (self.p00 / spread, self.p01 / spread);
        self.offset += k0 * innovation;
        self.frequency += k1 * innovation;
        let (p00, p01) = (self.p00, self.p01);
        self.p00 = (p00 - k0 * p00).max(0.0);
        self.p01 = p01 - k0 * p01;
        self.p11 = (self.p11 - k1 * p01).max(0.0);
    }
}

/// The standard normal distribution up to `x`: Abramowitz and Stegun 26.2.17, error below 7.5e-8.
fn normal_mass(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let polynomial = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * polynomial;
    if x >= 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests;
