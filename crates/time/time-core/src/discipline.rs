//! The clock discipline: from an estimate to frequency, slew and step (`docs/algorithm.md` section 4).

use crate::clock::{Clock, ClockError, LocalTime};
use crate::fallback::{FallbackDrifts, FallbackSettings};
use crate::filter::Estimate;
use crate::max_change::{Change, ChangeCheck, MaxChange};
use crate::steady::{Follow, Steady};
use crate::timeline::Timeline;

/// The shortest slew, in seconds: shorter ones would end before the loop can tell the kernel in time.
const SLEW_SECONDS_MIN: f64 = 1.0;
/// An offset up to this, in seconds, is never removed faster than in [`GENTLE_SECONDS`]: a bend of the clock's rate that everybody
/// sees would be worse than the offset. A larger one is removed in inversely less, down to [`SLEW_SECONDS_MIN`].
const GENTLE_OFFSET: f64 = 1e-3;
/// See [`GENTLE_OFFSET`].
const GENTLE_SECONDS: f64 = 4.0;
/// Once the clock was set right, nothing is removed in less than this part of the time until the next update,
const SETTLED_PART: f64 = 0.125;
/// or this many seconds, whichever is less.
const SETTLED_SECONDS: f64 = 8.0;
/// What everybody would take for the clock's own error is removed no faster than at [`QUIET_RATE`]: up to this, in seconds.
const QUIET_OFFSET: f64 = 2e-3;
/// See [`QUIET_OFFSET`], s/s.
const QUIET_RATE: f64 = 8e-5;
/// Where answers are rare, up to twice that counts as quiet, as far as it is gone in this part of the time between the last two updates.
const QUIET_PART: f64 = 0.125;
/// A clear offset is removed within this part of the time until the next update, unless the rate limit makes it longer.
const SLEW_PART: f64 = 0.5;
/// `corrtimeratio` without the directive.
const CORRECTION_TIME_RATIO_USUAL: f64 = 3.0;
/// An offset of this many standard deviations of the estimate is clear: it is removed at one rate, and sooner than [`SLEW_PART`] says.
/// Any other fades: of all ways to remove it that leave as much of it on the way, this bends the rate least.
const CLEAR_SIGMAS: f64 = 10.0;
/// The time constant of a fading offset against the time until the next update.
const FADE_PART: f64 = 0.36;
/// That time constant is at least this many seconds,
const FADE_SECONDS_MIN: f64 = 30.0;
/// but at most so many intervals, where updates come faster.
const FADE_INTERVALS_MAX: f64 = 2.0;
/// A fade is made of this many slews of one rate each, the last of which takes what is left (a twentieth),
const FADE_SLEWS: u32 = 6;
/// each of this part of the time constant.
const FADE_STEP: f64 = 0.5;
/// What a slew left over is slewed again when it is more than this, in seconds.
const LEFTOVER_MIN: f64 = 2e-6;
/// An update's weight in the mean square of offsets that `tracking` shows.
const RMS_WEIGHT: f64 = 0.1;
/// Without a drift file: how far off a usual oscillator is, s/s, one sigma.
const FREQUENCY_SIGMA_UNKNOWN: f64 = 1e-4;
/// No oscillator of a computer that works is off by more, s/s (it is what a kernel's loops take, `adjtimex(2)`): a larger
/// correction in force is a slew's, left by a daemon that was killed in the middle of it.
const FREQUENCY_LEFT_MAX: f64 = 500e-6;

/// `makestep THRESHOLD LIMIT`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MakeStep {
    /// Offsets above this, in seconds, are stepped.
    pub threshold: f64,
    /// In this many of the first updates; none means always.
    pub limit: Option<u32>,
}

/// The oscillator's frequency as it was known before, from the drift file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The correction that it needs, s/s.
    pub frequency: f64,
    /// One sigma of that, s/s.
    pub skew: f64,
}

/// The numbers that the discipline goes by (`chrony.conf(5)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DisciplineSettings {
    /// When to step; none means never.
    pub make_step: Option<MakeStep>,
    /// `maxslewrate`, s/s.
    pub slew_rate_max: f64,
    /// `maxupdateskew`, s/s: a frequency that is less certain than this is not used.
    pub update_skew_max: f64,
    /// `maxdrift`, s/s.
    pub drift_max: f64,
    /// `maxclockerror`, s/s.
    pub clock_error_max: f64,
    /// From the drift file.
    pub drift: Option<Drift>,
    /// `corrtimeratio`: corrections take so many thirds of their usual time.
    pub correction_time_ratio: f64,
    /// `maxchange`.
    pub max_change: Option<MaxChange>,
    /// `fallbackdrift`.
    pub fallback: Option<FallbackSettings>,
}

impl Default for DisciplineSettings {
    fn default() -> Self {
        Self {
            make_step: None,
            slew_rate_max: 83_333.333e-6,
            update_skew_max: 1000e-6,
            drift_max: 500_000e-6,
            clock_error_max: 1e-6,
            drift: None,
            correction_time_ratio: CORRECTION_TIME_RATIO_USUAL,
            max_change: None,
            fallback: None,
        }
    }
}

/// How what is known of true time, which is the clock plus what is left to correct, was moved.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moves {
    /// By all estimates together, in seconds, apart from its rate.
    pub seconds: f64,
    /// How often it was lost: then nothing compares what comes with what was before.
    pub beginnings: u32,
}

/// An estimate and the uncorrected time that it is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeEstimate {
    /// When.
    pub at: LocalTime,
    /// What.
    pub estimate: Estimate,
}

impl DisciplineSettings {
    /// What the oscillator needs by itself as far as is known at a start, s/s, where the correction `found` is in force: the drift
    /// file's frequency; else what was found, unless it can only be a slew that a killed daemon left, which is given up.
    pub fn frequency_at_start(&self, found: f64) -> f64 {
        match self.drift {
            Some(drift) => drift.frequency.clamp(-self.drift_max, self.drift_max),
            None if found.abs() > FREQUENCY_LEFT_MAX => 0.0,
            None => found,
        }
    }
}

/// What an update did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Applied {
    /// By how much what was left to correct turned out to be more, in seconds, true minus local: what a slew was to remove anyway is
    /// no part of it.
    pub offset: f64,
    /// The step made, in nanoseconds.
    pub stepped: Option<i64>,
    /// How wrong the moment of a rate's change may make the record of corrections, in seconds.
    pub uncertainty: f64,
    /// The offset was too large to be believed: nothing was done, and whether the daemon has to end.
    pub refused: Option<Refused>,
}

/// An offset that `maxchange` does not allow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Refused {
    pub limit: f64,
    pub ends: bool,
}

/// The discipline of one clock.
#[derive(Debug, Clone)]
pub struct Discipline {
    settings: DisciplineSettings,
    /// In the time of the oscillator, or of the steadier clock that takes its place.
    pub(crate) timeline: Timeline,
    /// In the time of the oscillator itself.
    pub(crate) oscillator: Timeline,
    /// Counting by a steadier clock (`refclock ... local`).
    steady: Steady,
    /// The frequency correction without slews.
    base: f64,
    slew: Option<Slew>,
    target: Option<TimeEstimate>,
    updates: u32,
    changes: ChangeCheck,
    fallback: FallbackDrifts,
    /// By how much estimates have moved what is known of true time since the beginning, in seconds, apart from its rate; and how
    /// often that began anew.
    moves: Moves,
    last_offset: f64,
    /// Of what was left to correct at the updates,
    mean_square: Option<f64>,
    /// and of what they found beyond what a slew was to remove anyway.
    found_mean_square: Option<f64>,
    /// An offset was larger than the one before it: the average of their squares goes on from there.
    offsets_settled: bool,
    /// When, by the clock and by uncorrected time.
    last_update: Option<(LocalTime, LocalTime)>,
    update_interval: f64,
    /// When the next update is expected after the last one, in seconds.
    interval: f64,
    residual_frequency: f64,
}

#[derive(Debug, Clone, Copy)]
struct Slew {
    rate: f64,
    until: LocalTime,
    fade: Option<Fade>,
}

/// What comes after a slew that is one of a fade.
#[derive(Debug, Clone, Copy)]
struct Fade {
    /// In seconds.
    time_constant: f64,
    slews_left: u32,
}

impl Discipline {
    /// Takes charge of the clock: it runs at [`DisciplineSettings::frequency_at_start`] from here on.
    pub fn new(settings: DisciplineSettings, clock: &mut impl Clock) -> Result<Self, ClockError> {
        let now = clock.now();
        let found = clock.frequency();
        let wanted = settings.frequency_at_start(found);
        let base = if settings.drift.is_some() || wanted != found {
            clock.rests_at(wanted);
            clock.set_frequency(wanted)?
        } else {
            found
        };
        Ok(Self {
            settings,
            timeline: Timeline::new(now, base),
            oscillator: Timeline::new(now, base),
            steady: Steady::default(),
            base,
            slew: None,
            target: None,
            updates: 0,
            changes: ChangeCheck::new(settings.max_change),
            fallback: FallbackDrifts::new(settings.fallback),
            moves: Moves::default(),
            last_offset: 0.0,
            mean_square: None,
            found_mean_square: None,
            offsets_settled: false,
            last_update: None,
            update_interval: 0.0,
            interval: GENTLE_SECONDS,
            residual_frequency: 0.0,
        })
    }

    /// What a new source may assume of the oscillator: frequency and one sigma of it, s/s.
    pub fn prior(&self) -> (f64, f64) {
        match (self.target, self.settings.drift) {
            (Some(target), _) => {
                (target.estimate.frequency, (3.0 * target.estimate.frequency_variance.sqrt()).max(1e-8))
            }
            (None, Some(drift)) => (drift.frequency, drift.skew.max(1e-6)),
            // A part of a correction found in force may be a slow slew's.
            (None, None) => (self.base, FREQUENCY_SIGMA_UNKNOWN.max(self.base.abs())),
        }
    }

    /// Moves the clock towards the estimate; the next update is expected after `interval` seconds. `noise`: one sigma of what may
    /// be different in the next estimate, in seconds (what no estimate will ever show is left out).
    pub(crate) fn update(
        &mut self,
        target: TimeEstimate,
        noise: f64,
        interval: f64,
        clock: &mut impl Clock,
    ) -> Result<Applied, ClockError> {
        let now = clock.now();
        self.interval = interval;
        let known = self.offset(now);
        let before = self.target.replace(target);
        let offset = self.offset(now);
        let found = offset - known;
        let change = self.changes.judge(found);
        if change != Change::Allowed {
            self.target = before;
            let refused = Refused { limit: self.changes.limit(), ends: change == Change::Refused };
            return Ok(Applied { offset: found, refused: Some(refused), ..Applied::default() });
        }
        self.moves.seconds += found;
        self.note(offset, found, now);
        let skew = target.estimate.frequency_variance.sqrt();
        if skew <= self.settings.update_skew_max {
            let frequency =
                target.estimate.frequency.clamp(-self.settings.drift_max, self.settings.drift_max);
            self.residual_frequency = frequency - self.base;
            self.base = frequency;
        }
        self.fallback.learn(self.base, self.update_interval);
        let mut applied = Applied { offset: found, ..Applied::default() };
        if self.may_step(offset) {
            applied.stepped = Some(self.step(offset, clock)?);
        }
        self.updates = self.updates.saturating_add(1);
        self.interval = interval;
        // A correction that is clearly no noise is made at once, one within the estimate's own error smoothly.
        let clarity = (offset / (CLEAR_SIGMAS * noise.max(1e-9))).powi(2);
        let ratio = self.correction_ratio();
        applied.uncertainty = if clarity > 1.0 {
            // A correction that takes longer than the time to the next update would never be finished.
            // A clock that was right and is found to be elsewhere is no hurry: who waited for the updates that say so waits a little more.
            let settled =
                if self.offsets_settled { (SETTLED_PART * interval).min(SETTLED_SECONDS) } else { 0.0 };
            self.steer((interval * (SLEW_PART * ratio).min(1.0) / clarity).max(settled), clock)?
        } else {
            let usual = (FADE_PART * interval).max(FADE_SECONDS_MIN.min(FADE_INTERVALS_MAX * interval));
            self.fade(Fade { time_constant: usual * ratio, slews_left: FADE_SLEWS }, clock)?
        };
        Ok(applied)
    }

    /// `offset` is left to correct, and `found` of it is new.
    fn note(&mut self, offset: f64, found: f64, now: LocalTime) {
        self.last_offset = found;
        let square = offset * offset;
        // While the offsets only fall, the clock is still being set right, which is no part of how well it is kept.
        let rising = self.mean_square.is_some_and(|mean| square > mean);
        self.offsets_settled |= rising;
        let settled = self.offsets_settled;
        let averaged = |mean: Option<f64>, square: f64| match mean {
            Some(mean) if settled => mean + RMS_WEIGHT * (square - mean),
            _ => square,
        };
        self.mean_square = Some(averaged(self.mean_square, square));
        self.found_mean_square = Some(averaged(self.found_mean_square, found * found));
        let counted = self.timeline.uncorrected(now);
        // A clock that is slewed in between would show another interval.
        if let Some((_, last)) = self.last_update.replace((now, counted)) {
            self.update_interval = counted.since(last).max(0.0);
        }
    }

    fn may_step(&self, offset: f64) -> bool {
        self.settings.make_step.is_some_and(|rule| {
            offset.abs() > rule.threshold && rule.limit.is_none_or(|limit| self.updates < limit)
        })
    }

    fn step(&mut self, offset: f64, clock: &mut impl Clock) -> Result<i64, ClockError> {
        let nanos = (offset * 1e9).round() as i64;
        clock.step(nanos)?;
        self.moved(nanos);
        // What was stepped away says nothing of the offsets to come.
        self.forget_offsets();
        Ok(nanos)
    }

    fn forget_offsets(&mut self) {
        (self.mean_square, self.found_mean_square, self.offsets_settled) = (None, None, false);
    }

    /// Somebody else moved the clock by `nanos`: what was known of it still holds, by so much later.
    pub(crate) fn moved(&mut self, nanos: i64) {
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        self.timeline.shift(nanos);
        self.oscillator.shift(nanos);
        self.steady.shift(nanos);
        if let Some(target) = &mut self.target {
            target.at = moved(target.at);
            target.estimate.offset -= nanos as f64 * 1e-9;
        }
        self.last_update = self.last_update.map(|(at, counted)| (moved(at), moved(counted)));
        if let Some(slew) = &mut self.slew {
            slew.until = moved(slew.until);
        }
    }

    /// True time itself was counted anew by `seconds`: a leap second.
    pub(crate) fn restate(&mut self, seconds: f64) {
        if let Some(target) = &mut self.target {
            target.estimate.offset += seconds;
        }
    }

    /// The offset is not known any more; the frequency, and how certain it is, are.
    pub(crate) fn forget_offset(&mut self) {
        if let Some(target) = self.target.take() {
            let skew = target.estimate.frequency_variance.max(0.0).sqrt();
            self.settings.drift = Some(Drift { frequency: target.estimate.frequency, skew });
        }
        self.moves = Moves { seconds: 0.0, beginnings: self.moves.beginnings.wrapping_add(1) };
        self.forget_offsets();
    }

    /// Ends a slew and leaves the clock with the frequency that its oscillator needs.
    pub(crate) fn release(&mut self, clock: &mut impl Clock) -> Result<(), ClockError> {
        let slewed = self.slew.take().is_some() | self.steady.stop_slew();
        if slewed {
            self.apply(clock)?;
        }
        Ok(())
    }

    /// Steps by what is left, whatever the rules (`chronyc makestep`); returns the nanoseconds.
    pub(crate) fn step_now(&mut self, clock: &mut impl Clock) -> Result<i64, ClockError> {
        let now = clock.now();
        let nanos = self.step(self.offset(now), clock)?;
        self.slew = None;
        self.steady.stop_slew();
        self.apply(clock)?;
        Ok(nanos)
    }

    /// Sets the rate so that what is left is gone after `seconds`, or later where the limits say so.
    fn steer(&mut self, seconds: f64, clock: &mut impl Clock) -> Result<f64, ClockError> {
        let offset = self.offset(clock.now());
        let seconds = seconds.max(self.slew_seconds_min(offset, clock));
        self.slew(offset, seconds, None, clock)
    }

    /// Lets what is left fade: as steep as if it was to be gone after the time constant, and less with what is left.
    fn fade(&mut self, fade: Fade, clock: &mut impl Clock) -> Result<f64, ClockError> {
        let offset = self.offset(clock.now());
        let time_constant = fade.time_constant.max(self.slew_seconds_min(offset, clock));
        let seconds = (FADE_STEP * time_constant).max(SLEW_SECONDS_MIN);
        if fade.slews_left <= 1 {
            return self.slew(offset, seconds, None, clock);
        }
        let part = offset * (1.0 - (-seconds / time_constant).exp());
        self.slew(part, seconds, Some(Fade { time_constant, slews_left: fade.slews_left - 1 }), clock)
    }

    /// How much longer corrections take than usual (`corrtimeratio`).
    fn correction_ratio(&self) -> f64 {
        (self.settings.correction_time_ratio / CORRECTION_TIME_RATIO_USUAL).max(0.0)
    }

    /// No slew that removes `offset` may take less, in seconds; infinite where the clock cannot be slewed at all.
    fn slew_seconds_min(&self, offset: f64, clock: &impl Clock) -> f64 {
        let room = (clock.frequency_max() - self.base.abs()).max(0.0).min(self.settings.slew_rate_max);
        // Where updates come faster, the next one would find it still there.
        let gentle = GENTLE_SECONDS.min(self.interval) * GENTLE_OFFSET / offset.abs().max(GENTLE_OFFSET);
        let ratio = if self.offsets_settled { self.correction_ratio() } else { 1.0 };
        let gentle = (gentle * ratio).max(SLEW_SECONDS_MIN);
        let rare = (QUIET_PART * self.update_interval * QUIET_RATE).min(2.0 * QUIET_OFFSET);
        let quiet = if offset.abs() < rare.max(QUIET_OFFSET) { offset.abs() / QUIET_RATE } else { 0.0 };
        gentle.max(quiet).max(if room > 0.0 { offset.abs() / room } else { f64::INFINITY })
    }

    /// Slews by `offset` within `seconds`, and goes on with `fade` after that.
    fn slew(
        &mut self,
        offset: f64,
        seconds: f64,
        fade: Option<Fade>,
        clock: &mut impl Clock,
    ) -> Result<f64, ClockError> {
        let rate = offset / seconds;
        let until = clock.now().plus(seconds * (1.0 + rate));
        self.slew = (seconds.is_finite() && offset != 0.0).then_some(Slew { rate, until, fade });
        // It takes all that is left, what a steadier clock has found among it.
        self.steady.stop_slew();
        self.apply(clock)
    }

    fn apply(&mut self, clock: &mut impl Clock) -> Result<f64, ClockError> {
        let before = clock.frequency();
        let limit = clock.frequency_max();
        let slews = self.slew.map_or(0.0, |slew| slew.rate) + self.steady.slew_rate();
        let wanted = self.steady.on_oscillator(self.base + slews).clamp(-limit, limit);
        clock.rests_at(self.oscillator_frequency().clamp(-limit, limit));
        let set = clock.set_frequency(wanted)?;
        let now = clock.now();
        self.oscillator.change(now, set);
        self.timeline.change(now, self.steady.against_steady(set));
        Ok((set - before).abs() * clock.change_latency() / 2.0)
    }

    /// A steadier clock was compared with the oscillator, of which `estimate` tells at this moment in the oscillator's time: time is
    /// counted by that clock, the oscillator is made to run like it, and what it has strayed since the last comparison is slewed
    /// away until the next, which is expected after `interval` seconds. `anew`: nothing is known of what it was before. Returns how
    /// uncertain that made the record of corrections, in seconds.
    pub(crate) fn stabilise(
        &mut self,
        estimate: &Estimate,
        anew: bool,
        interval: f64,
        clock: &mut impl Clock,
    ) -> Result<f64, ClockError> {
        let local = clock.now();
        let follow = Follow {
            local,
            oscillator: self.oscillator.correction(local),
            counted: self.timeline.correction(local),
            offset: estimate.offset,
            frequency: estimate.frequency,
        };
        if anew {
            self.steady.lose();
        }
        let slew_max = self.settings.slew_rate_max;
        if let Some(correction) = self.steady.follow(&follow, interval.max(SLEW_SECONDS_MIN), slew_max) {
            self.timeline.restart(local, correction, self.base);
        }
        self.apply(clock)
    }

    /// The steadier clock is not there any more: the oscillator runs on as it was made to.
    pub(crate) fn lose_steady(&mut self) {
        self.steady.lose();
    }

    /// When the clock was last updated so long ago that an average of its frequency takes over.
    fn fallback_due(&self) -> Option<LocalTime> {
        Some(self.last_update?.0.plus(self.fallback.due()?))
    }

    /// The oscillator is taken to run at `frequency` from now on, as nothing better is known.
    fn fall_back(&mut self, frequency: f64, clock: &mut impl Clock) -> Result<f64, ClockError> {
        let at = self.timeline.uncorrected(clock.now());
        if let Some(target) = &mut self.target {
            let mut estimate = target.estimate.after(at.since(target.at).max(0.0));
            estimate.frequency = frequency;
            *target = TimeEstimate { at, estimate };
        }
        self.base = frequency;
        self.apply(clock)
    }

    /// Ends a slew whose time has come, or falls back to an average of the frequency; returns how uncertain that made the record of corrections, in seconds.
    pub(crate) fn tick(&mut self, clock: &mut impl Clock) -> Result<Option<f64>, ClockError> {
        let now = clock.now();
        if self.steady.slewed_until().is_some_and(|until| now >= until) {
            self.steady.stop_slew();
            return self.apply(clock).map(Some);
        }
        match self.slew {
            Some(slew) if now >= slew.until => {
                self.slew = None;
                if let Some(fade) = slew.fade {
                    return self.fade(fade, clock).map(Some);
                }
                let left = self.offset(now);
                if left.abs() > LEFTOVER_MIN {
                    // It is a part of the same correction, and bends the clock no more than that did.
                    let seconds = SLEW_SECONDS_MIN.max(left.abs() / slew.rate.abs());
                    return self.slew(left, seconds, None, clock).map(Some);
                }
                self.apply(clock).map(Some)
            }
            _ if self.fallback_due().is_some_and(|at| now >= at) => match self.fallback.next() {
                Some(frequency) => self.fall_back(frequency, clock).map(Some),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<LocalTime> {
        let slew = self.slew.map(|slew| slew.until).or_else(|| self.fallback_due());
        slew.into_iter().chain(self.steady.slewed_until()).min()
    }

    /// What is left to correct at `now`: true minus local, in seconds.
    pub fn offset(&self, now: LocalTime) -> f64 {
        let uncorrected = self.timeline.uncorrected(now);
        self.target.map_or(0.0, |target| {
            target.estimate.after_signed(uncorrected.since(target.at)) - self.timeline.correction(now)
        })
    }

    /// The estimate that the clock follows.
    pub(crate) fn target(&self) -> Option<&TimeEstimate> {
        self.target.as_ref()
    }

    /// One sigma of the offset at `now`, in seconds.
    pub fn sigma(&self, now: LocalTime) -> f64 {
        let uncorrected = self.timeline.uncorrected(now);
        self.target.map_or(0.0, |target| {
            target.estimate.after(uncorrected.since(target.at)).offset_variance.max(0.0).sqrt()
        })
    }

    /// The frequency correction without slews, s/s; where a steadier clock is followed, what that clock needs.
    pub fn frequency(&self) -> f64 {
        self.base
    }

    /// The frequency correction of the oscillator itself, without slews, s/s.
    pub fn oscillator_frequency(&self) -> f64 {
        self.steady.on_oscillator(self.base)
    }

    /// How what is known of true time was moved, apart from its rate.
    pub fn moves(&self) -> Moves {
        self.moves
    }

    /// The part of the correction in force that only removes an offset, s/s; 0 between slews.
    pub fn slew_rate(&self) -> f64 {
        self.slew.map_or(0.0, |slew| slew.rate) + self.steady.slew_rate()
    }

    /// One sigma of the oscillator's frequency, s/s.
    pub fn skew(&self) -> f64 {
        self.target.map_or_else(
            || self.settings.drift.map_or(0.0, |drift| drift.skew),
            |target| target.estimate.frequency_variance.max(0.0).sqrt(),
        )
    }

    /// The change that the last update made to the frequency, s/s.
    pub fn residual_frequency(&self) -> f64 {
        self.residual_frequency
    }

    /// What the last update found beyond what a slew was to remove anyway, and the root mean square of that over the last updates, in
    /// seconds.
    pub fn offsets(&self) -> (f64, f64) {
        (self.last_offset, self.found_mean_square.unwrap_or(0.0).sqrt())
    }

    /// When the last update was made, and how long after the one before it, in seconds.
    pub fn last_update(&self) -> (Option<LocalTime>, f64) {
        (self.last_update.map(|(at, _)| at), self.update_interval)
    }

    /// `maxupdateskew`, from now on, s/s.
    pub fn set_update_skew_max(&mut self, skew: f64) {
        self.settings.update_skew_max = skew;
    }

    /// Updates made so far.
    pub fn updates(&self) -> u32 {
        self.updates
    }

    /// The settings.
    pub fn settings(&self) -> &DisciplineSettings {
        &self.settings
    }

    /// Another `maxchange`, from now on: updates count anew.
    pub fn set_max_change(&mut self, rule: Option<MaxChange>) {
        self.changes = ChangeCheck::new(rule);
    }

    /// Other rules for stepping, from now on: the limit counts anew.
    pub fn set_make_step(&mut self, rule: Option<MakeStep>) {
        self.settings.make_step = rule;
        self.updates = 0;
    }
}
