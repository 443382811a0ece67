//! All sources and the clock together: an exchange in, events out.

use crate::clock::{Clock, ClockError, LocalTime};
use crate::combine::combine;
use crate::discipline::{Discipline, DisciplineSettings, MakeStep, TimeEstimate};
use crate::filter::{Estimate, FilterSample};
use crate::selection::{Candidate, Interval, NoSelection, SelectionSettings, Verdict, is_open, select};
use crate::source::{Exchange, Source, SourceSettings};
use std::collections::{BTreeMap, BTreeSet};
use steady::prior;

mod history;
mod report;
mod steady;

pub use history::HistorySample;
pub use report::Tracking;

/// Which of the outliers in a row are told: the first, and one in the middle of a long wait.
const SUSPICIONS_TOLD: [u32; 2] = [1, 4];
/// Selections in a row that find a source too distant or jittery before it is told.
const BAD_BEFORE_TOLD: u32 = 4;

/// Names a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// What a chronyc column shows of a source.
pub type SourceState = Verdict;

/// A leap second at the end of this day, as a synchronised server says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeapStatus {
    /// None.
    #[default]
    Normal,
    /// One more second.
    Insert,
    /// One less.
    Delete,
}

/// The settings of all parts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TimekeeperSettings {
    /// Of the selection.
    pub selection: SelectionSettings,
    /// Of the discipline.
    pub discipline: DisciplineSettings,
}

/// What happened, for the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Another source is followed.
    Selected(SourceId),
    /// Nothing is followed any more, or still nothing for another reason.
    Lost(NoSelection),
    /// A source contradicts the majority.
    Falseticker(SourceId),
    /// A source is farther away than `maxdistance`, and stays so.
    TooDistant(SourceId),
    /// A source's jitter is more than `maxjitter`, and stays so.
    TooJittery(SourceId),
    /// A source's stratum is not within `minstratum` and `maxstratum`, and stays so.
    WrongStratum {
        /// The source.
        source: SourceId,
        /// Its stratum.
        stratum: u8,
    },
    /// The clock was corrected.
    Updated {
        /// By how much it was found to be off, in seconds (true minus local), beyond what a slew was to remove anyway.
        offset: f64,
    },
    /// The source that is followed says that the clock is this far off (in seconds, true minus local) against all that was
    /// known; it is not believed before it says so several times.
    Doubted {
        /// The offset.
        offset: f64,
    },
    /// The clock was stepped by this many seconds.
    Stepped(f64),
    /// An offset (in seconds, true minus local) was larger than `maxchange` allows, in seconds. Nothing was corrected.
    Refused {
        /// The offset found.
        offset: f64,
        /// The largest that is allowed.
        limit: f64,
        /// As many as may be were ignored: the daemon has to end.
        ends: bool,
    },
    /// The clock could not be changed.
    Failed(ClockError),
}

/// Until the time is given by hand again, as far as the slew goes, in seconds.
const HAND_INTERVAL: f64 = 64.0;

/// Sources, selection and discipline.
#[derive(Debug, Clone)]
pub struct Timekeeper {
    settings: TimekeeperSettings,
    sources: BTreeMap<SourceId, Source>,
    verdicts: BTreeMap<SourceId, Verdict>,
    selected: Option<SourceId>,
    /// The one followed last, while nothing speaks against its time: the clock runs on by what it said, and its error grows.
    held: Option<SourceId>,
    /// Something was followed since a loss was told last.
    followed: bool,
    /// What was told since something was followed last.
    told: Vec<std::mem::Discriminant<NoSelection>>,
    /// The falsetickers among them: while nothing can be selected, who is one changes with each answer.
    told_false: BTreeSet<SourceId>,
    /// How often in a row a source was too distant or jittery.
    bad: BTreeMap<SourceId, u32>,
    /// Sources are measured and none is followed.
    waits: bool,
    /// When the choice was made the last time.
    chosen_at: Option<LocalTime>,
    /// What is followed says how far the clock is off, and nothing about its rate.
    offset_alone: bool,
    discipline: Discipline,
    next_id: u32,
}

impl Timekeeper {
    /// Without sources yet.
    pub fn new(settings: TimekeeperSettings, clock: &mut impl Clock) -> Result<Self, ClockError> {
        Ok(Self {
            discipline: Discipline::new(settings.discipline, clock)?,
            settings,
            sources: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            selected: None,
            held: None,
            followed: false,
            told: Vec::new(),
            told_false: BTreeSet::new(),
            bad: BTreeMap::new(),
            waits: false,
            chosen_at: None,
            offset_alone: false,
            next_id: 0,
        })
    }

    /// A new source.
    pub fn add_source(&mut self, settings: SourceSettings) -> SourceId {
        let id = SourceId(self.next_id);
        self.next_id += 1;
        let (frequency, sigma) = prior(&settings, &self.discipline);
        self.sources.insert(id, Source::new(settings, frequency, sigma));
        id
    }

    /// The source is gone.
    pub fn remove_source(&mut self, id: SourceId, clock: &mut impl Clock) -> Vec<Event> {
        if self.sources.remove(&id).is_some_and(|source| source.settings.local) {
            self.discipline.lose_steady();
        }
        self.verdicts.remove(&id);
        self.bad.remove(&id);
        self.told_false.remove(&id);
        self.reselect(clock)
    }

    /// A source.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.get(&id)
    }

    /// The sources.
    pub fn sources(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        self.sources.iter().map(|(id, source)| (*id, source))
    }

    /// When the choice among the sources was made the last time; none before the first.
    pub fn chosen_at(&self) -> Option<LocalTime> {
        self.chosen_at
    }

    /// What the selection says of a source.
    pub fn verdict(&self, id: SourceId) -> SourceState {
        self.verdicts.get(&id).copied().unwrap_or(Verdict::Unselectable)
    }

    /// The discipline.
    pub fn discipline(&self) -> &Discipline {
        &self.discipline
    }

    /// The last eight requests' fate, after each request: a source that stops to answer is not followed for ever.
    pub fn set_reach(&mut self, id: SourceId, reach: u8, clock: &mut impl Clock) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        let before = source.asked(reach);
        let is_known = source.last.is_some();
        // An unreachable source is a little less selectable with each poll.
        if before != 0 && reach != 0 {
            return Vec::new();
        }
        let chosen_at = self.chosen_at;
        let events = self.reselect(clock);
        if !is_known {
            // One that was never measured is nothing to choose: how many there are is all that can be news.
            self.chosen_at = chosen_at;
        }
        events
    }

    /// A good exchange with a source; `reach` as in [`Self::set_reach`].
    pub fn exchange(
        &mut self,
        id: SourceId,
        exchange: &Exchange,
        reach: u8,
        clock: &mut impl Clock,
    ) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        source.answered(reach);
        if !source.take(exchange, &self.discipline.timeline) {
            return Vec::new();
        }
        self.taken(id, clock)
    }

    /// A sample of a reference clock, in uncorrected time, with what it is beside that: `last` without its times and offset,
    /// which follow from the sample; `reach` as in [`Self::set_reach`].
    pub fn reference_sample(
        &mut self,
        id: SourceId,
        sample: FilterSample,
        last: &Exchange,
        reach: u8,
        clock: &mut impl Clock,
    ) -> Vec<Event> {
        let now = clock.now();
        let timeline = self.timeline_of(id);
        // The moment in local time, by the correction in force: it is shown, not used.
        let time = now.plus(-timeline.uncorrected(now).since(sample.time));
        let offset = sample.offset - timeline.correction(time);
        let last = Exchange { sent: time, received: time, offset, ..*last };
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        source.answered(reach);
        if !source.take_sample(sample, last) {
            return Vec::new();
        }
        if source.settings.local { self.stabilise(id, clock) } else { self.taken(id, clock) }
    }

    /// What an uncorrected clock would show when ours shows `time`.
    pub fn uncorrected(&self, time: LocalTime) -> LocalTime {
        self.discipline.timeline.uncorrected(time)
    }

    /// What ours shows when an uncorrected clock shows `uncorrected`.
    pub fn corrected(&self, uncorrected: LocalTime) -> LocalTime {
        self.discipline.timeline.corrected(uncorrected)
    }

    /// A source moved its clock by `seconds`, apart from its rate: what it told before is told in its time as it is now.
    pub fn source_moved(&mut self, id: SourceId, seconds: f64) {
        let Some(source) = self.sources.get_mut(&id).filter(|_| seconds != 0.0) else { return };
        source.filter.restate(seconds);
        if let Some(last) = &mut source.last {
            last.offset += seconds;
        }
    }

    /// What is corrected of the clock at `time`, in seconds: uncorrected time plus this is `time`.
    pub fn correction(&self, time: LocalTime) -> f64 {
        self.discipline.timeline.correction(time)
    }

    fn taken(&mut self, id: SourceId, clock: &mut impl Clock) -> Vec<Event> {
        let Some(source) = self.sources.get(&id) else { return Vec::new() };
        let doubt = SUSPICIONS_TOLD
            .contains(&source.filter.outliers())
            .then(|| source.filter.last_innovation())
            .filter(|_| self.selected == Some(id));
        let before = self.discipline.updates();
        let mut events = self.reselect(clock);
        events.extend(doubt.map(|offset| Event::Doubted { offset }));
        let moved = self.discipline.updates() != before;
        if !moved && matches!(self.verdict(id), Verdict::Selected | Verdict::Combined) {
            self.discipline_clock(clock, &mut events);
        }
        events
    }

    /// From now on sources are only measured, until [`Self::settle`]: what all of them say together, and not what the first one
    /// says, is the first correction (`initstepslew`).
    pub fn wait_for_all(&mut self) {
        self.waits = true;
    }

    /// Ends [`Self::wait_for_all`]: what the sources say together is corrected. They were watched for seconds, which tell how far the
    /// clock is off and hardly anything about its rate; that stays as it was known before.
    pub fn settle(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        (self.waits, self.offset_alone) = (false, true);
        let events = self.reselect(clock);
        self.offset_alone = false;
        events
    }

    /// Whether the sources agree well enough by now for one to be followed, while [`Self::wait_for_all`] keeps that from happening.
    pub fn could_select(&self, now: LocalTime) -> bool {
        let uncorrected = self.discipline.timeline.uncorrected(now);
        let mut candidates: Vec<Candidate> =
            self.sources.iter().map(|(id, source)| self.candidate(*id, source, now, uncorrected)).collect();
        self.leave_out_stale(&mut candidates);
        select(&candidates, &self.settings.selection).1.is_none()
    }

    fn reselect(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        if self.waits {
            return Vec::new();
        }
        let now = clock.now();
        self.chosen_at = Some(now);
        let uncorrected = self.discipline.timeline.uncorrected(now);
        let ids: Vec<SourceId> = self.sources.keys().copied().collect();
        let mut candidates: Vec<Candidate> =
            self.sources.iter().map(|(id, source)| self.candidate(*id, source, now, uncorrected)).collect();
        self.leave_out_stale(&mut candidates);
        let (verdicts, why) = select(&candidates, &self.settings.selection);
        let mut events = Vec::new();
        let before = std::mem::take(&mut self.verdicts);
        // That no majority agrees was told: who is wrong is not known, whoever comes to it.
        let still_split = why.is_some_and(|why| {
            matches!(why, NoSelection::NoMajority { .. }) && self.told.contains(&std::mem::discriminant(&why))
        });
        let mut selected = None;
        for (id, verdict) in ids.into_iter().zip(verdicts) {
            if verdict == Verdict::Selected {
                selected = Some(id);
            }
            let anew = verdict == Verdict::Falseticker && before.get(&id) != Some(&verdict);
            if anew && !still_split && self.told_false.insert(id) {
                events.push(Event::Falseticker(id));
            }
            events.extend(self.count_bad(id, verdict));
            self.verdicts.insert(id, verdict);
        }
        if let Some(id) = selected
            && self.selected != selected
        {
            events.push(Event::Selected(id));
            self.followed = true;
            self.told.clear();
            self.told_false.clear();
        }
        events.extend(why.filter(|why| self.is_news(why)).map(Event::Lost));
        let changed = self.selected != selected;
        self.selected = selected;
        self.held = match why {
            None => selected,
            Some(NoSelection::NoMajority { .. }) => None,
            Some(_) => self.held,
        };
        // What is known of a source counts from the moment that it is followed, not from its next answer on.
        if changed && selected.is_some() {
            self.discipline_clock(clock, &mut events);
        }
        events
    }

    /// Unreachable sources that know nothing young enough, or were unreachable for too long, are not selectable.
    fn leave_out_stale(&self, candidates: &mut [Candidate]) {
        let selection = &self.settings.selection;
        let votes = |one: &Candidate| is_open(one, selection) && one.reachable && !one.noselect;
        let oldest = self
            .sources
            .values()
            .zip(candidates.iter())
            .filter(|(_, one)| votes(one))
            .filter_map(|(source, _)| source.oldest_sample())
            .min();
        for (source, one) in self.sources.values().zip(candidates) {
            if source.is_stale(oldest) {
                one.interval = None;
            }
        }
    }

    /// Having nothing to follow is news when something was followed before. That no majority agrees, or too few do, is news
    /// also to somebody who waits for the first choice.
    fn is_news(&mut self, why: &NoSelection) -> bool {
        let kind = std::mem::discriminant(why);
        let news = match why {
            NoSelection::Waiting => false,
            NoSelection::NoneSelectable { .. } => self.followed,
            _ => !self.told.contains(&kind),
        };
        if news {
            self.followed = false;
            self.told.push(kind);
        }
        news
    }

    /// A source that is too distant or too jittery, or of no stratum that may be, is told of when it stays so, once until it is not.
    fn count_bad(&mut self, id: SourceId, verdict: Verdict) -> Option<Event> {
        if !matches!(verdict, Verdict::Distant | Verdict::Jittery | Verdict::WrongStratum) {
            self.bad.remove(&id);
            return None;
        }
        let count = self.bad.entry(id).or_default();
        *count = count.saturating_add(1);
        (*count == BAD_BEFORE_TOLD).then_some(match verdict {
            Verdict::Distant => Event::TooDistant(id),
            Verdict::WrongStratum => Event::WrongStratum {
                source: id,
                stratum: self.sources.get(&id).and_then(|one| one.last).map_or(16, |last| last.stratum),
            },
            _ => Event::TooJittery(id),
        })
    }

    fn candidate(&self, id: SourceId, source: &Source, now: LocalTime, uncorrected: LocalTime) -> Candidate {
        let estimate =
            source.estimate(uncorrected).filter(|_| source.is_selectable() && !source.settings.local);
        let correction = self.discipline.timeline.correction(now);
        Candidate {
            interval: estimate.map(|estimate| Interval {
                offset: estimate.offset - correction,
                distance: source.distance(uncorrected, self.settings.discipline.clock_error_max),
            }),
            quality: source.distance_at_last(),
            reachable: source.reach() != 0,
            samples: source.filter.total(),
            stratum: source.last.map_or(16, |last| last.stratum),
            sigma: estimate.map_or(f64::INFINITY, |estimate| {
                let jitter = source.filter.residuals().0.max(source.filter.restless_jitter());
                jitter.max(estimate.offset_variance.sqrt())
            }),
            prefer: source.settings.prefer,
            trust: source.settings.trust,
            noselect: source.settings.noselect || source.settings.local,
            require: source.settings.require,
            current: self.selected == Some(id),
        }
    }

    /// Combines the used sources by inverse variance (`docs/algorithm.md` section 3) and moves the clock.
    fn discipline_clock(&mut self, clock: &mut impl Clock, events: &mut Vec<Event>) {
        let at = self.discipline.timeline.uncorrected(clock.now());
        let used = self
            .sources
            .iter()
            .filter(|(id, _)| matches!(self.verdicts.get(id), Some(Verdict::Selected | Verdict::Combined)));
        let mut noise = f64::INFINITY;
        let mut estimates: Vec<(f64, Estimate)> = Vec::new();
        for (_, source) in used {
            let Some(estimate) = source.estimate(at) else { continue };
            estimates.push((f64::from(source.poll()).exp2(), estimate));
            // As it was at the sample: what wander may have added since then (an interleaved one is a poll old) is no noise.
            noise = noise.min(source.sigma_at_last());
        }
        let used: Vec<Estimate> = estimates.iter().map(|(_, estimate)| *estimate).collect();
        let Some(mut estimate) = combine(&used) else { return };
        if self.offset_alone {
            let (frequency, sigma) = self.discipline.prior();
            estimate = Estimate { frequency, frequency_variance: sigma * sigma, covariance: 0.0, ..estimate };
        }
        let interval = estimates.iter().map(|(interval, _)| *interval).fold(f64::INFINITY, f64::min);
        self.correct(TimeEstimate { at, estimate }, noise, interval, clock, events);
    }

    fn correct(
        &mut self,
        target: TimeEstimate,
        noise: f64,
        interval: f64,
        clock: &mut impl Clock,
        events: &mut Vec<Event>,
    ) {
        match self.discipline.update(target, noise, interval, clock) {
            Ok(crate::discipline::Applied { offset, refused: Some(refused), .. }) => {
                events.push(Event::Refused { offset, limit: refused.limit, ends: refused.ends });
            }
            Ok(applied) => {
                events.push(Event::Updated { offset: applied.offset });
                self.disturbed(applied.uncertainty);
                if let Some(nanos) = applied.stepped {
                    self.shift(nanos);
                    events.push(Event::Stepped(nanos as f64 * 1e-9));
                }
            }
            Err(error) => events.push(Event::Failed(error)),
        }
    }

    fn disturbed(&mut self, sigma: f64) {
        for source in self.sources.values_mut() {
            source.filter.disturb(sigma);
        }
    }

    fn shift(&mut self, nanos: i64) {
        let moved = |time: LocalTime| LocalTime(time.0.saturating_add(nanos));
        self.chosen_at = self.chosen_at.map(moved);
        for source in self.sources.values_mut() {
            source.shift(nanos);
            if let Some(last) = &mut source.last {
                last.sent = moved(last.sent);
                last.received = moved(last.received);
            }
        }
    }

    /// Ends what must end by now.
    pub fn tick(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        match self.discipline.tick(clock) {
            Ok(Some(sigma)) => {
                self.disturbed(sigma);
                Vec::new()
            }
            Ok(None) => Vec::new(),
            Err(error) => vec![Event::Failed(error)],
        }
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<LocalTime> {
        self.discipline.deadline()
    }

    /// Steps by what is left to correct, at once (`chronyc makestep`).
    pub fn step_now(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        match self.discipline.step_now(clock) {
            Ok(nanos) => {
                self.shift(nanos);
                vec![Event::Stepped(nanos as f64 * 1e-9)]
            }
            Err(error) => vec![Event::Failed(error)],
        }
    }

    /// The clock jumped by `nanos` against a monotonic one: somebody stepped it, or the machine slept. Either way what was
    /// known of its offset is void, so nothing is followed until it was measured again; the oscillator's frequency is still what
    /// it was.
    pub fn clock_jumped(&mut self, nanos: i64) -> Vec<Event> {
        self.discipline.moved(nanos);
        self.discipline.forget_offset();
        self.forget_samples();
        self.held = None;
        self.verdicts.clear();
        let unreachable =
            self.sources.values().filter(|source| source.reach() == 0 && !source.settings.noselect).count();
        let why = NoSelection::NoneSelectable { unreachable };
        self.selected.take().filter(|_| self.is_news(&why)).map(|_| Event::Lost(why)).into_iter().collect()
    }

    /// UTC had a leap second: true time is counted `seconds` later from now on (-1 after one that was inserted). `moved`: by how
    /// many nanoseconds somebody has moved the clock for it already; else it is slewed.
    pub fn leap_second(&mut self, seconds: f64, moved: i64, clock: &mut impl Clock) -> Vec<Event> {
        // A clock that only counts knows of no leap seconds.
        for source in self.sources.values_mut().filter(|source| !source.settings.local) {
            source.filter.restate(seconds);
            if let Some(last) = &mut source.last {
                last.offset += seconds;
            }
        }
        self.discipline.restate(seconds);
        if moved != 0 {
            self.shift(moved);
            self.discipline.moved(moved);
            return Vec::new();
        }
        let mut events = Vec::new();
        self.discipline_clock(clock, &mut events);
        events
    }

    /// The fate of the last eight requests, where it has changed without a request or an exchange that counts.
    pub fn heard(&mut self, id: SourceId, reach: u8, clock: &mut impl Clock) -> Vec<Event> {
        let Some(source) = self.sources.get_mut(&id) else { return Vec::new() };
        let before = source.answered(reach);
        if (before == 0) != (reach == 0) { self.reselect(clock) } else { Vec::new() }
    }

    /// Before the daemon ends: a slew in progress would otherwise go on for ever.
    pub fn release(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        match self.discipline.release(clock) {
            Ok(()) => Vec::new(),
            Err(error) => vec![Event::Failed(error)],
        }
    }

    /// Other rules for stepping.
    pub fn set_make_step(&mut self, rule: Option<MakeStep>) {
        self.discipline.set_make_step(rule);
    }

    /// The time was given by hand: the clock is `offset` seconds slow, and needs `frequency` s/s more, if that is known, with
    /// one sigma of it.
    pub fn set_by_hand(
        &mut self,
        offset: f64,
        frequency: Option<(f64, f64)>,
        clock: &mut impl Clock,
    ) -> Vec<Event> {
        /// One sigma of what a hand can do, in seconds.
        const HAND_SIGMA: f64 = 0.5;
        self.set_by(offset, HAND_SIGMA, frequency, clock)
    }

    /// Another clock says that this one is `offset` seconds slow, with one `sigma` of that, in seconds.
    pub fn set_by_clock(&mut self, offset: f64, sigma: f64, clock: &mut impl Clock) -> Vec<Event> {
        self.set_by(offset, sigma, None, clock)
    }

    fn set_by(
        &mut self,
        offset: f64,
        offset_sigma: f64,
        frequency: Option<(f64, f64)>,
        clock: &mut impl Clock,
    ) -> Vec<Event> {
        let now = clock.now();
        let timeline = &self.discipline.timeline;
        let (at, correction) = (timeline.uncorrected(now), timeline.correction(now));
        let (known, sigma) = match frequency {
            // Whoever gives the time by hand is believed, however little two moments say (`maxupdateskew` is for servers).
            Some((more, sigma)) => {
                (self.discipline.frequency() + more, sigma.min(self.settings.discipline.update_skew_max))
            }
            None => self.discipline.prior(),
        };
        let estimate = Estimate {
            offset: offset + correction,
            frequency: known,
            offset_variance: offset_sigma * offset_sigma,
            covariance: 0.0,
            frequency_variance: sigma * sigma,
            wander: 0.0,
        };
        let mut events = Vec::new();
        // Nothing else will be known soon, so it is corrected at once.
        self.correct(TimeEstimate { at, estimate }, 0.0, HAND_INTERVAL, clock, &mut events);
        events
    }

    /// Everything measured so far is dropped (`chronyc reset sources`), as after a step of unknown size: the clock goes by nobody until it
    /// was measured again. The oscillator's frequency is kept.
    pub fn forget_all(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        self.forget_samples();
        self.held = None;
        self.reselect(clock)
    }

    /// A source is measured in another, better way from its last sample on, without the path's jitter: what was measured of it before
    /// would only blur that.
    pub fn begin_again(&mut self, id: SourceId) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.filter.settle();
        }
    }

    fn forget_samples(&mut self) {
        for source in self.sources.values_mut() {
            let (frequency, sigma) = prior(source.settings(), &self.discipline);
            source.forget(frequency, sigma);
        }
        self.discipline.lose_steady();
    }

    /// These sources go and are not missed: those of the start give their place to the usual ones. The slew that they began, and
    /// what is known of the oscillator, stay.
    pub fn retire(&mut self, ids: &[SourceId]) {
        for id in ids {
            self.sources.remove(id);
            self.verdicts.remove(id);
            self.bad.remove(id);
            self.told_false.remove(id);
        }
        (self.selected, self.held, self.followed) = (None, None, false);
        self.told.clear();
    }

    /// The choice is made anew (`chronyc reselect`).
    pub fn choose_again(&mut self, clock: &mut impl Clock) -> Vec<Event> {
        self.reselect(clock)
    }

    /// The numbers of the selection, from the next choice on.
    pub fn selection_mut(&mut self) -> &mut SelectionSettings {
        &mut self.settings.selection
    }

    /// The discipline, for the few numbers that may change while it runs.
    pub fn discipline_mut(&mut self) -> &mut Discipline {
        &mut self.discipline
    }

    /// A source's settings, for those that may change while it runs (`chronyc minpoll`, `selectopts`); what the selection makes
    /// of it counts from the next exchange on.
    pub fn source_settings_mut(&mut self, id: SourceId) -> Option<&mut SourceSettings> {
        self.sources.get_mut(&id).map(|source| &mut source.settings)
    }
}

#[cfg(test)]
mod tests;
