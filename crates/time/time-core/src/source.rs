//! One source: its filter, what its server says of itself, and how often to ask it.

use crate::clock::LocalTime;
use crate::discipline::TimeEstimate;
use crate::drift::Drift;
use crate::filter::{Estimate, Filter, FilterSample};
use crate::timekeeper::LeapStatus;
use crate::timeline::Timeline;
use std::collections::VecDeque;

/// Samples without which a source is not followed: fewer cannot show that one of them is off.
const SAMPLES_BEFORE_SELECTION: u64 = 3;
/// Samples whose times are remembered: what chrony keeps.
const REMEMBERED_MAX: usize = 64;
/// `maxunreach` without the option.
const UNREACHABLE_MAX_USUAL: u32 = 100_000;
/// `polltarget` without the option.
const POLL_TARGET_USUAL: f64 = 8.0;
/// A `polltarget` below this is reached with each sample, since no estimate is made of fewer: the poll is the longest.
const POLL_TARGET_REACHED: f64 = 3.0;
/// Samples after which that is so: the fourth is the first that says whether the others were right.
const SAMPLES_BEFORE_LONGEST: usize = 4;
/// From any poll to the longest.
const POLL_STEPS_MAX: i8 = 32;
/// Requests at one poll interval before it grows, and good replies among them.
const REQUESTS_BEFORE_POLL_CHANGE: u32 = 4;
/// See [`REQUESTS_BEFORE_POLL_CHANGE`].
const SAMPLES_BEFORE_POLL_CHANGE: u32 = 2;
/// An interval that is tried is at most this part of the time for which the source was watched: how an oscillator wanders in an hour does
/// not show in half an hour.
const WAIT_PART: f64 = 0.25;
/// An offset, in seconds, that most hosts would not pay packets for.
const WORTHWHILE: f64 = 5e-5;
/// How strongly [`WORTHWHILE`] counts where a measurement is better than that: 1 would be alone, 0 not at all.
const WORTHWHILE_BELOW: f64 = 0.5;
/// The same where a measurement is worse.
const WORTHWHILE_ABOVE: f64 = 0.2;
/// What waiting may add to the offset's error, against a measurement's own.
const POLL_PART: f64 = 0.79;
/// Sigmas of the estimate that count into the distance.
const SIGMAS: f64 = 2.0;
/// How much the part of a path's asymmetry that nobody can see is assumed to be, against its least delay.
const ASYMMETRY: f64 = 0.05;
/// How far two clocks may run apart during an exchange, s/s, where a bound must hold (RFC 5905 PHI).
const FREQUENCY_TOLERANCE: f64 = 15e-6;
/// With few samples a bound that must hold would keep a source from being selected at all: so many sigmas of the skew do there.
const SELECTION_SIGMAS_MAX: f64 = 10.0;

/// One good exchange, as the protocol measured it against the local clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exchange {
    /// The local clock when the request left.
    pub sent: LocalTime,
    /// The local clock when the reply came.
    pub received: LocalTime,
    /// True time minus local time, in seconds.
    pub offset: f64,
    /// Round trip, in seconds.
    pub delay: f64,
    /// What reading the clocks may have cost, in seconds.
    pub dispersion: f64,
    /// The server's root delay, in seconds.
    pub root_delay: f64,
    /// The server's root dispersion, in seconds.
    pub root_dispersion: f64,
    /// The server's stratum.
    pub stratum: u8,
    /// The server's leap warning.
    pub leap: LeapStatus,
}

/// How a source is treated.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SourceSettings {
    /// `prefer`.
    pub prefer: bool,
    /// `trust`.
    pub trust: bool,
    /// `noselect`.
    pub noselect: bool,
    /// `require`.
    pub require: bool,
    /// `local`: a clock of this machine that is steadier than its oscillator and whose time nobody knows. It is no source of time, it
    /// is what time is counted by.
    pub local: bool,
    /// It is read directly and not over a network: its samples have no delay, and their dispersion is a bound rather than noise.
    pub direct: bool,
    /// Shortest poll, log2 s.
    pub poll_min: i8,
    /// Longest poll, log2 s.
    pub poll_max: i8,
    /// `polltarget`: a larger one than 8 makes the poll shorter; 0: 8.
    pub poll_target: u32,
    /// `minsamples`: samples that are kept when the filter starts again; 0: as few as it wants.
    pub samples_min: usize,
    /// `maxsamples`: samples that are kept, at most; 0: as many as it wants.
    pub samples_max: usize,
    /// `mindelay`: the path's least round trip, in seconds; none: that of the samples.
    pub delay_min: Option<f64>,
    /// `asymmetry`: of the jitter, -0.5 to 0.5, already corrected in the exchanges that come; none: the filter finds it.
    pub asymmetry: Option<f64>,
    /// `maxunreach`: polls for which it may be selected though unreachable; none: 100,000.
    pub unreachable_max: Option<u32>,
}

/// What `sourcestats` shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SourceStatistics {
    /// Samples kept.
    pub samples: u32,
    /// Runs of residuals on one side.
    pub runs: u32,
    /// Seconds from the oldest to the youngest.
    pub span: f64,
    /// The frequency that this source gives the oscillator beyond the correction in force, s/s (positive: the local clock
    /// gains).
    pub residual_frequency: f64,
    /// One sigma of that, s/s.
    pub skew: f64,
    /// The source's estimate of the local clock's offset, in seconds: true minus local.
    pub offset: f64,
    /// One sigma of that, in seconds.
    pub offset_sigma: f64,
    /// The samples' standard deviation, in seconds.
    pub deviation: f64,
    /// By how many sigmas of what was known of it the frequency changed with the last sample.
    pub stress: f64,
    /// How many of the oldest samples were given up with the last one.
    pub dropped: u32,
    /// The jitter's asymmetry, -0.5 to 0.5: positive when the way back is the more variable one.
    pub asymmetry: f64,
}

/// A source.
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) filter: Filter,
    pub(crate) settings: SourceSettings,
    reach: u8,
    /// Polls in a row after which it was unreachable.
    unreachable: u32,
    /// When the last samples were taken, uncorrected time: the filter may keep fewer than `minsamples` asks for.
    taken_at: VecDeque<LocalTime>,
    pub(crate) last: Option<Exchange>,
    poll: i8,
    requests_at_this_poll: u32,
    samples_at_this_poll: u32,
}

impl Source {
    /// A source of which nothing is known, with what is known of the oscillator: its frequency and one sigma of it, s/s.
    pub fn new(settings: SourceSettings, frequency: f64, sigma: f64) -> Self {
        Self {
            filter: new_filter(&settings, frequency, sigma),
            settings,
            reach: 0,
            unreachable: 0,
            taken_at: VecDeque::new(),
            last: None,
            poll: settings.poll_min,
            requests_at_this_poll: 0,
            samples_at_this_poll: 0,
        }
    }

    /// What was measured so far says nothing any more; `frequency` and `sigma` as in [`Self::new`].
    pub(crate) fn forget(&mut self, frequency: f64, sigma: f64) {
        self.filter = new_filter(&self.settings, frequency, sigma);
        self.last = None;
        self.taken_at.clear();
        self.poll = self.settings.poll_min;
        (self.requests_at_this_poll, self.samples_at_this_poll) = (0, 0);
    }

    /// A request was sent; `reach` is the register after it.
    pub(crate) fn asked(&mut self, reach: u8) -> u8 {
        self.requests_at_this_poll = self.requests_at_this_poll.saturating_add(1);
        // The request that is on its way may be answered yet: as chronyd, it counts from the next one on.
        let silent = reach == 0 && self.reach == 0;
        self.unreachable = if silent { self.unreachable.saturating_add(1) } else { 0 };
        std::mem::replace(&mut self.reach, reach)
    }

    /// It answered; the register before.
    pub(crate) fn answered(&mut self, reach: u8) -> u8 {
        self.unreachable = if reach == 0 { self.unreachable } else { 0 };
        std::mem::replace(&mut self.reach, reach)
    }

    pub(crate) fn take(&mut self, exchange: &Exchange, timeline: &Timeline) -> bool {
        let (sent, received) = (timeline.correction(exchange.sent), timeline.correction(exchange.received));
        let middle = exchange.sent.plus(exchange.received.since(exchange.sent) / 2.0);
        let sample = FilterSample {
            time: timeline.uncorrected(middle),
            // theta and delta of RFC 5905 section 8, with T1 and T4 in uncorrected time.
            offset: exchange.offset + (sent + received) / 2.0,
            delay: exchange.delay - (received - sent),
            dispersion: exchange.dispersion,
        };
        self.take_sample(sample, *exchange)
    }

    /// A sample in uncorrected time, and what is shown of it.
    pub(crate) fn take_sample(&mut self, sample: FilterSample, last: Exchange) -> bool {
        if !self.filter.add(sample) {
            return false;
        }
        self.remember(sample.time);
        self.last = Some(last);
        self.choose_poll(sample.time);
        true
    }

    /// The poll grows while waiting twice as long would not add more than a measurement's own noise, and shrinks when the
    /// wait already adds twice that (`docs/algorithm.md` section 5).
    fn choose_poll(&mut self, at: LocalTime) {
        self.samples_at_this_poll += 1;
        let target = f64::from(self.settings.poll_target);
        let target = if target > 0.0 { target } else { POLL_TARGET_USUAL };
        let typical = self.filter.typical_sigma() * POLL_TARGET_USUAL / target;
        // Who wants fewer samples waits for fewer, and who wants more for more.
        let patience = target / POLL_TARGET_USUAL;
        let Some(estimate) = self.filter.estimate(at) else { return };
        let added = |seconds: f64| {
            let later = estimate.after(seconds);
            (later.offset_variance - estimate.offset_variance).max(0.0).sqrt()
        };
        let interval = f64::from(self.poll).exp2();
        let watched = self.taken_at.front().map_or(0.0, |first| at.since(*first));
        // Less than WORTHWHILE is not worth packets for its own sake; on a noisy path more of them do help.
        let power = if typical > WORTHWHILE { WORTHWHILE_ABOVE } else { WORTHWHILE_BELOW };
        let allowed = POLL_PART * typical * (WORTHWHILE / typical.max(1e-9)).powf(power);
        let change = if target < POLL_TARGET_REACHED && self.filter.len() >= SAMPLES_BEFORE_LONGEST {
            POLL_STEPS_MAX
        } else if self.filter.last_innovation().abs() > 6.0 * typical.max(1e-9)
            || added(interval) > 2.0 * allowed
        {
            -1
        } else if f64::from(self.requests_at_this_poll) >= patience * f64::from(REQUESTS_BEFORE_POLL_CHANGE)
            && f64::from(self.samples_at_this_poll) >= patience * f64::from(SAMPLES_BEFORE_POLL_CHANGE)
            && 2.0 * interval * patience <= WAIT_PART * watched
            && added(2.0 * interval) < allowed
        {
            1
        } else {
            0
        };
        // A machine that was frozen finds its clock far behind: what is true is worth asking soon, not in an hour.
        let change = if self.filter.contradiction() > 0.0 { i8::MIN / 2 } else { change };
        let poll = (self.poll + change)
            .clamp(self.settings.poll_min, self.settings.poll_max.max(self.settings.poll_min));
        if poll != self.poll {
            self.poll = poll;
            (self.requests_at_this_poll, self.samples_at_this_poll) = (0, 0);
        }
    }

    /// How often to ask it, log2 s.
    pub fn poll(&self) -> i8 {
        self.poll
    }

    /// The last eight requests' fate.
    pub fn reach(&self) -> u8 {
        self.reach
    }

    /// The last good exchange.
    pub fn last(&self) -> Option<&Exchange> {
        self.last.as_ref()
    }

    /// The jitter's asymmetry, as it was configured or as the samples show it.
    pub fn asymmetry(&self) -> f64 {
        self.settings.asymmetry.unwrap_or_else(|| self.filter.asymmetry())
    }

    /// How it is treated.
    pub fn settings(&self) -> &SourceSettings {
        &self.settings
    }

    /// Its filter.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// An unreachable source may stay selected while it knows something younger than what the reachable ones began with (`oldest`:
    /// the first sample of any of them, in uncorrected time), for `maxunreach` polls at most (`chrony.conf(5)`).
    pub(crate) fn is_stale(&self, oldest: Option<LocalTime>) -> bool {
        if self.reach != 0 {
            return false;
        }
        let last = self.taken_at.back().copied();
        self.unreachable > self.settings.unreachable_max.unwrap_or(UNREACHABLE_MAX_USUAL)
            || oldest.is_none_or(|oldest| last.is_none_or(|last| last < oldest))
    }

    /// A sample of this moment was taken.
    pub(crate) fn remember(&mut self, at: LocalTime) {
        if self.taken_at.len() >= REMEMBERED_MAX {
            self.taken_at.pop_front();
        }
        self.taken_at.push_back(at);
    }

    /// When the first sample was taken of those that count: the filter's, and no fewer than `minsamples`.
    pub(crate) fn oldest_sample(&self) -> Option<LocalTime> {
        let count = self.filter.len().max(self.settings.samples_min);
        self.taken_at.get(self.taken_at.len().saturating_sub(count)).copied()
    }

    /// The clock was moved: so are the times that it showed.
    pub(crate) fn shift(&mut self, nanos: i64) {
        self.filter.shift(nanos);
        for at in &mut self.taken_at {
            at.0 = at.0.saturating_add(nanos);
        }
    }

    /// It has been heard of often enough.
    pub fn is_selectable(&self) -> bool {
        let wanted = match self.settings.samples_max as u64 {
            0 => SAMPLES_BEFORE_SELECTION,
            most => most.min(SAMPLES_BEFORE_SELECTION),
        };
        self.filter.total() >= wanted
    }

    /// The estimate at uncorrected time `now`, its offset's variance widened by what no sample can show.
    pub(crate) fn estimate(&self, now: LocalTime) -> Option<Estimate> {
        let mut estimate = self.filter.estimate(now)?;
        let unseen = ASYMMETRY * self.filter.delay_min().unwrap_or(0.0);
        estimate.offset_variance += unseen * unseen;
        Some(estimate)
    }

    /// How far the line through `target` may be from true time at uncorrected time `now`, in seconds (`docs/algorithm.md` section
    /// 4.3). No law of the jitter is assumed: each exchange bounds the truth by half its own delay, whatever its way; only
    /// the oscillator since then is a matter of belief. The exchange that says most counts.
    pub(crate) fn bound(&self, target: &TimeEstimate, now: LocalTime, clock_error_max: f64) -> f64 {
        self.bound_by(target, now, &self.drift(target, now, clock_error_max, f64::INFINITY))
    }

    fn bound_by(&self, target: &TimeEstimate, now: LocalTime, drift: &Drift) -> f64 {
        let Some(last) = &self.last else { return f64::INFINITY };
        let line = &target.estimate;
        let residual =
            |sample: &FilterSample| line.after_signed(sample.time.since(target.at)) - sample.offset;
        let bounds = self.filter.samples().map(|sample| {
            residual(sample).abs()
                + sample.delay.max(0.0) / 2.0
                + sample.dispersion
                + FREQUENCY_TOLERANCE * sample.delay.max(0.0)
                + drift.after(now.since(sample.time))
        });
        bounds.fold(f64::INFINITY, f64::min) + last.root_delay / 2.0 + last.root_dispersion
    }

    /// One sigma of the estimate at the last answer, in seconds.
    pub(crate) fn sigma_at_last(&self) -> f64 {
        let at = self.filter.estimate_at_last();
        at.map_or(f64::INFINITY, |one| one.offset_variance.max(0.0).sqrt())
    }

    /// [`Self::distance`] as it was at the last answer.
    pub(crate) fn distance_at_last(&self) -> f64 {
        let Some(last) = &self.last else { return f64::INFINITY };
        let delay = self.filter.delay_min().unwrap_or(last.delay).max(0.0);
        (last.root_delay + delay) / 2.0
            + last.root_dispersion
            + last.dispersion
            + SIGMAS * self.sigma_at_last()
    }

    /// How far the oscillator may leave the line through `target`; with few samples by no more than `sigmas_max` of the skew.
    pub(crate) fn drift(
        &self,
        target: &TimeEstimate,
        now: LocalTime,
        clock_error_max: f64,
        sigmas_max: f64,
    ) -> Drift {
        let line = &target.estimate;
        let freedom = self.filter.len().saturating_sub(2);
        // The filter believes in a law of the jitter. A plain regression believes in nothing but the residuals' size.
        let residual =
            |sample: &FilterSample| line.after_signed(sample.time.since(target.at)) - sample.offset;
        let square_sum: f64 = self.filter.samples().map(|sample| residual(sample).powi(2)).sum();
        let ages = || self.filter.samples().map(|sample| now.since(sample.time));
        let mean_age = ages().sum::<f64>() / self.filter.len().max(1) as f64;
        let spread: f64 = ages().map(|age| (age - mean_age).powi(2)).sum();
        let regression = (square_sum / freedom.max(1) as f64 / spread.max(1e-9)).sqrt();
        let skew = line.frequency_variance.max(0.0).sqrt().max(regression);
        Drift { skew: student_t_999(freedom).min(sigmas_max) * skew + clock_error_max, wander: line.wander }
    }

    /// Half the width of the interval in which true time surely is, as far as this source can tell, in seconds; `uncorrected` is
    /// the moment in uncorrected time.
    pub(crate) fn distance(&self, uncorrected: LocalTime, clock_error_max: f64) -> f64 {
        let Some(estimate) = self.filter.estimate(uncorrected) else { return f64::INFINITY };
        let sigma = estimate.offset_variance.max(0.0).sqrt();
        let target = TimeEstimate { at: uncorrected, estimate };
        let drift = self.drift(&target, uncorrected, clock_error_max, SELECTION_SIGMAS_MAX);
        self.bound_by(&target, uncorrected, &drift) + SIGMAS * sigma
    }
}

fn new_filter(settings: &SourceSettings, frequency: f64, sigma: f64) -> Filter {
    let filter = Filter::new(frequency, sigma).keeping(settings.samples_min, settings.samples_max);
    match settings.direct {
        true => filter.without_path(),
        false => filter.on_path(settings.delay_min, settings.asymmetry.is_some()),
    }
}

/// Student's t for 99.9% (two sides): few samples know little of their own spread, and a bound must hold all the same. A line
/// through n samples leaves n - 2 degrees of freedom.
fn student_t_999(freedom: usize) -> f64 {
    match freedom {
        0 | 1 => 636.6,
        2 => 31.6,
        3 => 12.9,
        4 => 8.61,
        5 => 6.87,
        6 => 5.96,
        7 | 8 => 5.41,
        9..=14 => 4.78,
        15..=29 => 4.07,
        _ => 3.65,
    }
}
