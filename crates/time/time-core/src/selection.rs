//! Which sources tell the truth: the intersection algorithm (RFC 5905 section 11.2.1, after Marzullo).

/// Where a source says that true time is, as an offset from the local clock: surely within `offset +- distance`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The middle, in seconds.
    pub offset: f64,
    /// Half the width: the root distance, in seconds.
    pub distance: f64,
}

/// One source as the selection sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// What it says; none when it cannot be selected at all (unreachable for too long, too few samples, unsynchronised).
    pub interval: Option<Interval>,
    /// Half the width that the interval had at the last answer, in seconds: by this sources are compared, whoever answered last.
    pub quality: f64,
    /// It has answered lately.
    pub reachable: bool,
    /// Answers that its estimate is made of. One that answers and has too few yet is waited for before the first choice.
    pub samples: u64,
    /// Its stratum.
    pub stratum: u8,
    /// One sigma of a single measurement of its offset, in seconds.
    pub sigma: f64,
    /// `prefer`: where such a source survives, only such are used.
    pub prefer: bool,
    /// `trust`: it cannot be called a falseticker by those which are not trusted.
    pub trust: bool,
    /// `noselect`: watched, never followed.
    pub noselect: bool,
    /// `require`: without one of these nothing is selected.
    pub require: bool,
    /// It is the one followed until now.
    pub current: bool,
}

/// The numbers that selection goes by (`chrony.conf(5)`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectionSettings {
    /// `maxdistance`, in seconds.
    pub distance_max: f64,
    /// `maxjitter`, in seconds.
    pub jitter_max: f64,
    /// `minstratum`.
    pub stratum_min: u8,
    /// `maxstratum`.
    pub stratum_max: u8,
    /// `minsources`.
    pub sources_min: usize,
    /// `stratumweight`, in seconds a stratum.
    pub stratum_weight: f64,
    /// `reselectdist`, in seconds.
    pub reselect_distance: f64,
    /// `combinelimit`.
    pub combine_limit: f64,
}

impl Default for SelectionSettings {
    fn default() -> Self {
        Self {
            distance_max: 3.0,
            jitter_max: 1.0,
            stratum_min: 0,
            stratum_max: 15,
            sources_min: 1,
            stratum_weight: 1e-3,
            reselect_distance: 1e-4,
            combine_limit: 3.0,
        }
    }
}

/// What the selection says of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Followed: `*`.
    Selected,
    /// Its estimate is combined with the selected one's: `+`.
    Combined,
    /// Truthful, but not used: `-`.
    NotCombined,
    /// It contradicts the majority: `x`.
    Falseticker,
    /// Too variable: `~`.
    Jittery,
    /// Farther than `maxdistance`: `?`.
    Distant,
    /// Its stratum is below `minstratum` or above `maxstratum`: `?`.
    WrongStratum,
    /// Not to be selected: `?`.
    Unselectable,
}

/// Why nothing is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoSelection {
    /// No source, or none that could be selected.
    NoneSelectable {
        /// Sources that have not answered lately.
        unreachable: usize,
    },
    /// No majority agrees.
    NoMajority {
        /// The most that agree.
        agree: usize,
        /// Of so many.
        of: usize,
        /// Which are those with `trust`: others were not asked.
        trusted: bool,
    },
    /// Fewer than `minsources` agree.
    TooFew,
    /// None that is required agrees.
    NoneRequired,
    /// Some could be selected; others that answer are waited for, since a majority of few is none.
    Waiting,
}

/// Answers of the selectable sources from which on slower ones are not waited for any more.
const SAMPLES_BEFORE_IMPATIENCE: u64 = 4;
/// The one followed until now is kept while no other is so many times better: a choice that flaps moves the clock.
const KEEPING_RATIO: f64 = 2.0;

/// A verdict for each candidate, and why nothing is selected if so.
pub fn select(candidates: &[Candidate], settings: &SelectionSettings) -> (Vec<Verdict>, Option<NoSelection>) {
    let mut verdicts: Vec<Verdict> = candidates.iter().map(|one| admit(one, settings)).collect();
    let open: Vec<usize> =
        (0..candidates.len()).filter(|index| verdicts[*index] == Verdict::NotCombined).collect();
    let voting: Vec<usize> = open.iter().copied().filter(|index| !candidates[*index].noselect).collect();
    if voting.is_empty() {
        let unreachable = candidates.iter().filter(|one| !one.reachable && !one.noselect).count();
        return (verdicts, Some(NoSelection::NoneSelectable { unreachable }));
    }
    if is_early(candidates, &verdicts, &voting) {
        return (verdicts, Some(NoSelection::Waiting));
    }
    // Trusted sources decide alone where there are any.
    let trusted: Vec<usize> = voting.iter().copied().filter(|index| candidates[*index].trust).collect();
    let voters = if trusted.is_empty() { &voting } else { &trusted };
    let intervals: Vec<Interval> = voters.iter().filter_map(|index| candidates[*index].interval).collect();
    let (low, high, agree) = intersection(&intervals);
    if 2 * agree <= intervals.len() {
        for index in &voting {
            verdicts[*index] = Verdict::Falseticker;
        }
        let why = NoSelection::NoMajority { agree, of: intervals.len(), trusted: !trusted.is_empty() };
        return (verdicts, Some(why));
    }
    let mut survivors = Vec::new();
    for index in open {
        let one = &candidates[index];
        let Some(interval) = one.interval else { continue };
        let (from, to) = (interval.offset - interval.distance, interval.offset + interval.distance);
        let within = from >= low && to <= high;
        let around = from <= low && to >= high;
        if !within && !around {
            verdicts[index] = Verdict::Falseticker;
        } else if !one.noselect && (within || trusted.is_empty() || one.trust) {
            // One that is not trusted must not lead out of what the trusted ones say.
            survivors.push(index);
        }
    }
    let required = candidates.iter().any(|one| one.require);
    if required && !survivors.iter().any(|index| candidates[*index].require) {
        return (verdicts, Some(NoSelection::NoneRequired));
    }
    if survivors.is_empty() || survivors.len() < settings.sources_min {
        return (verdicts, Some(NoSelection::TooFew));
    }
    if survivors.iter().any(|index| candidates[*index].prefer) {
        survivors.retain(|index| candidates[*index].prefer);
    }
    follow(candidates, &survivors, settings, &mut verdicts);
    (verdicts, None)
}

/// Nothing was followed yet, and sources that answer have too few samples, while none has many.
fn is_early(candidates: &[Candidate], verdicts: &[Verdict], voting: &[usize]) -> bool {
    let filling = candidates.iter().zip(verdicts).any(|(one, verdict)| {
        *verdict == Verdict::Unselectable && one.reachable && !one.noselect && one.samples > 0
    });
    filling
        && !candidates.iter().any(|one| one.current)
        && voting.iter().all(|index| candidates[*index].samples < SAMPLES_BEFORE_IMPATIENCE)
}

/// Whether a candidate takes part: `NotCombined` until more is known.
fn admit(one: &Candidate, settings: &SelectionSettings) -> Verdict {
    match one.interval {
        None => Verdict::Unselectable,
        Some(_) if one.stratum < settings.stratum_min || one.stratum > settings.stratum_max => {
            Verdict::WrongStratum
        }
        // Jitter makes the distance large too: the reason is told, not what follows from it.
        Some(_) if one.sigma > settings.jitter_max => Verdict::Jittery,
        Some(interval) if interval.distance.is_nan() || interval.distance > settings.distance_max => {
            Verdict::Distant
        }
        Some(_) => Verdict::NotCombined,
    }
}

/// Whether a candidate may be followed, as far as it alone tells.
pub(crate) fn is_open(one: &Candidate, settings: &SelectionSettings) -> bool {
    admit(one, settings) == Verdict::NotCombined
}

/// Selects the best of the survivors and those to combine with it.
fn follow(
    candidates: &[Candidate],
    survivors: &[usize],
    settings: &SelectionSettings,
    verdicts: &mut [Verdict],
) {
    let stratum_min = survivors.iter().map(|index| candidates[*index].stratum).min().unwrap_or(0);
    let score = |index: usize| {
        let one = &candidates[index];
        one.quality
            + f64::from(one.stratum - stratum_min) * settings.stratum_weight
            + settings.reselect_distance
    };
    let Some(best) = survivors.iter().copied().min_by(|a, b| score(*a).total_cmp(&score(*b))) else { return };
    let current = survivors.iter().copied().find(|index| candidates[*index].current);
    let chosen = current.filter(|index| score(*index) <= KEEPING_RATIO * score(best)).unwrap_or(best);
    let limit = settings.combine_limit * (candidates[chosen].quality + settings.reselect_distance);
    for index in survivors.iter().copied() {
        if index == chosen {
            verdicts[index] = Verdict::Selected;
        } else if candidates[index].quality <= limit {
            verdicts[index] = Verdict::Combined;
        }
    }
}

/// Where the most of the intervals have points in common, and how many: RFC 5905 section 11.2.1, with the middles left aside as
/// later practice does. Where several places are equally deep, from the first to the last of them: who is right cannot be told,
/// and a source that lies within all of that is no worse than another.
fn intersection(intervals: &[Interval]) -> (f64, f64, usize) {
    let mut edges: Vec<(f64, i32)> = Vec::with_capacity(intervals.len() * 2);
    for interval in intervals {
        edges.push((interval.offset - interval.distance, 1));
        edges.push((interval.offset + interval.distance, -1));
    }
    // At the same place an interval opens before another closes: they touch.
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let (mut depth, mut deepest, mut low, mut high) = (0, 0, 0.0, 0.0);
    for (edge, change) in edges {
        if change > 0 && depth + change > deepest {
            deepest = depth + change;
            low = edge;
        }
        if change < 0 && depth == deepest {
            high = edge;
        }
        depth += change;
    }
    (low, high, deepest as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use NoSelection::{NoMajority, NoneRequired, NoneSelectable, TooFew, Waiting};
    use Verdict::{
        Combined, Distant, Falseticker, Jittery, NotCombined, Selected, Unselectable, WrongStratum,
    };

    fn source(offset: f64, distance: f64) -> Candidate {
        Candidate {
            interval: Some(Interval { offset, distance }),
            quality: distance,
            reachable: true,
            samples: 8,
            stratum: 1,
            sigma: 1e-4,
            prefer: false,
            trust: false,
            noselect: false,
            require: false,
            current: false,
        }
    }

    fn check(candidates: &[Candidate], expected: &[Verdict], why: Option<NoSelection>) {
        assert_eq!(select(candidates, &SelectionSettings::default()), (expected.to_vec(), why));
    }

    /// Goal: the majority is found, liars are named, and options do what they say.
    #[test]
    fn the_majority_is_followed() {
        let unknown = Candidate { interval: None, reachable: false, samples: 0, ..source(0.0, 0.0) };
        let none = |unreachable| Some(NoneSelectable { unreachable });
        let split = |agree, of, trusted| Some(NoMajority { agree, of, trusted });
        check(&[], &[], none(0));
        check(&[unknown], &[Unselectable], none(1));
        check(&[source(0.0, 0.01)], &[Selected], None);
        check(&[source(0.0, 9.0)], &[Distant], none(0));
        check(&[source(0.0, f64::NAN)], &[Distant], none(0));
        check(&[Candidate { sigma: 2.0, ..source(0.0, 0.1) }], &[Jittery], none(0));
        check(&[Candidate { sigma: 2.0, ..source(0.0, 9.0) }], &[Jittery], none(0));
        check(
            &[source(0.0, 0.01), source(0.005, 0.011), source(1.0, 0.01)],
            &[Selected, Combined, Falseticker],
            None,
        );
        check(&[source(0.0, 0.01), source(1.0, 0.01)], &[Falseticker; 2], split(1, 2, false));
        let apart = |at: f64| source(at, 0.01);
        check(&[apart(0.0), apart(0.0), apart(1.0), apart(2.0)], &[Falseticker; 4], split(2, 4, false));
        let trusted = Candidate { trust: true, ..source(1.0, 0.01) };
        check(&[source(0.0, 0.01), source(0.0, 0.01), trusted], &[Falseticker, Falseticker, Selected], None);
        // It says no more than the trusted one, and would lead away from it.
        check(&[source(1.2, 0.3), trusted], &[NotCombined, Selected], None);
        check(
            &[
                source(1.2, 0.3),
                Candidate { trust: true, ..trusted },
                Candidate { interval: Some(Interval { offset: 9.0, distance: 0.1 }), ..trusted },
            ],
            &[Falseticker; 3],
            split(1, 2, true),
        );
        let preferred = Candidate { prefer: true, ..source(0.0, 0.02) };
        check(&[source(0.0, 0.01), preferred], &[NotCombined, Selected], None);
        // Two pairs agree, on different things: the one in the middle is in both.
        let wide = |at: f64| source(at, 0.6);
        check(&[wide(1.0), wide(2.0), wide(0.0)], &[Selected, Falseticker, Falseticker], None);
        let watched = Candidate { noselect: true, ..source(0.0, 0.01) };
        check(&[watched], &[NotCombined], none(0));
        // One that is only watched has no vote.
        check(&[source(1.0, 0.01), watched, watched], &[Selected, Falseticker, Falseticker], None);
        check(&[source(0.0, 0.01), source(0.0, 0.5)], &[Selected, NotCombined], None);
        let kept = Candidate { current: true, ..source(0.0, 0.015) };
        check(&[source(0.0, 0.01), kept], &[Combined, Selected], None);
        let worse = Candidate { current: true, ..source(0.0, 0.03) };
        check(&[source(0.0, 0.01), worse], &[Selected, Combined], None);
        let required = Candidate { require: true, ..unknown };
        check(&[source(0.0, 0.01), required], &[NotCombined, Unselectable], Some(NoneRequired));
        let filling = Candidate { reachable: true, samples: 2, ..unknown };
        let fresh = Candidate { samples: 3, ..source(0.0, 0.01) };
        check(&[fresh, filling], &[NotCombined, Unselectable], Some(Waiting));
        check(&[source(0.0, 0.01), filling], &[Selected, Unselectable], None);
        check(&[Candidate { current: true, ..fresh }, filling], &[Selected, Unselectable], None);
        let settings = SelectionSettings { sources_min: 2, ..SelectionSettings::default() };
        assert_eq!(select(&[source(0.0, 0.01)], &settings), (vec![NotCombined], Some(TooFew)));
    }

    /// Goal: a stratum outside `minstratum` and `maxstratum` keeps a source from being followed and from having a vote, whatever else is
    /// said of it.
    #[test]
    fn strata_are_limited() {
        let settings = SelectionSettings { stratum_min: 3, stratum_max: 5, ..SelectionSettings::default() };
        let of = |stratum| Candidate { stratum, ..source(0.0, 0.01) };
        for (stratum, expected) in
            [(0, WrongStratum), (2, WrongStratum), (3, Selected), (5, Selected), (6, WrongStratum)]
        {
            assert_eq!(select(&[of(stratum)], &settings).0, [expected], "stratum {stratum}");
        }
        let far = Candidate { interval: Some(Interval { offset: 0.0, distance: 9.0 }), ..of(2) };
        assert_eq!(select(&[far], &settings).0, [WrongStratum]);
        let liar = Candidate { interval: Some(Interval { offset: 1.0, distance: 0.01 }), ..of(2) };
        assert_eq!(
            select(&[of(3), liar, liar], &settings),
            (vec![Selected, WrongStratum, WrongStratum], None)
        );
        let none = NoSelection::NoneSelectable { unreachable: 0 };
        assert_eq!(select(&[of(2)], &settings), (vec![WrongStratum], Some(none)));
    }

    /// Goal: with an honest majority no liar is ever followed. Method: 2,000 random sets where honest intervals hold zero.
    #[test]
    fn an_honest_majority_always_wins() {
        let mut random = crate::sim::SimRandom::new(1);
        for _ in 0..2000 {
            let honest = 2 + (random.next_u64() % 5) as usize;
            let liars = (random.next_u64() as usize) % honest;
            let mut set = Vec::new();
            for _ in 0..honest {
                let distance = 0.001 + random.uniform() * 0.1;
                set.push(source((random.uniform() * 2.0 - 1.0) * distance, distance));
            }
            for _ in 0..liars {
                set.push(source(1.0 + random.uniform() * 0.2, 0.2 * random.uniform()));
            }
            let (verdicts, why) = select(&set, &SelectionSettings::default());
            assert_eq!(why, None, "{set:?}");
            assert!(verdicts[honest..].iter().all(|verdict| *verdict == Falseticker), "{set:?} {verdicts:?}");
        }
    }
}
