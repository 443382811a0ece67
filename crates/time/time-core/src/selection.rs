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
    /// What it says; none when it cannot be selected at all (unreachable, too few samples, unsynchronised).
    pub interval: Option<Interval>,
    /// Its stratum.
    pub stratum: u8,
    /// One sigma of its offset, in seconds.
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
    /// Not to be selected: `?`.
    Unselectable,
}

/// Why nothing is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoSelection {
    /// No source, or none that could be selected.
    NoneSelectable,
    /// No majority agrees.
    NoMajority,
    /// Fewer than `minsources` agree, or none that is required does.
    TooFew,
}

/// A verdict for each candidate, and why nothing is selected if so.
pub fn select(candidates: &[Candidate], settings: &SelectionSettings) -> (Vec<Verdict>, Option<NoSelection>) {
    let mut verdicts: Vec<Verdict> = candidates.iter().map(|one| admit(one, settings)).collect();
    let open: Vec<usize> =
        (0..candidates.len()).filter(|index| verdicts[*index] == Verdict::NotCombined).collect();
    if open.is_empty() {
        return (verdicts, Some(NoSelection::NoneSelectable));
    }
    // Trusted sources decide alone where there are any.
    let trusted: Vec<usize> = open.iter().copied().filter(|index| candidates[*index].trust).collect();
    let voters = if trusted.is_empty() { &open } else { &trusted };
    let intervals: Vec<Interval> = voters.iter().filter_map(|index| candidates[*index].interval).collect();
    let Some((low, high)) = intersection(&intervals) else {
        for index in &open {
            verdicts[*index] = Verdict::Falseticker;
        }
        return (verdicts, Some(NoSelection::NoMajority));
    };
    let mut survivors = Vec::new();
    for index in open {
        let truthful = candidates[index]
            .interval
            .is_some_and(|one| one.offset - one.distance <= high && one.offset + one.distance >= low);
        match truthful {
            true => survivors.push(index),
            false => verdicts[index] = Verdict::Falseticker,
        }
    }
    survivors.retain(|index| !candidates[*index].noselect);
    let required = candidates.iter().any(|one| one.require);
    let has_required = survivors.iter().any(|index| candidates[*index].require);
    if survivors.is_empty() {
        return (verdicts, Some(NoSelection::NoneSelectable));
    }
    if survivors.len() < settings.sources_min || (required && !has_required) {
        return (verdicts, Some(NoSelection::TooFew));
    }
    if survivors.iter().any(|index| candidates[*index].prefer) {
        survivors.retain(|index| candidates[*index].prefer);
    }
    follow(candidates, &survivors, settings, &mut verdicts);
    (verdicts, None)
}

/// Whether a candidate takes part: `NotCombined` until more is known.
fn admit(one: &Candidate, settings: &SelectionSettings) -> Verdict {
    match one.interval {
        None => Verdict::Unselectable,
        Some(interval) if interval.distance.is_nan() || interval.distance > settings.distance_max => {
            Verdict::Unselectable
        }
        Some(_) if one.sigma > settings.jitter_max => Verdict::Jittery,
        Some(_) => Verdict::NotCombined,
    }
}

/// Selects the best of the survivors and those to combine with it.
fn follow(
    candidates: &[Candidate],
    survivors: &[usize],
    settings: &SelectionSettings,
    verdicts: &mut [Verdict],
) {
    let distance = |index: usize| candidates[index].interval.map_or(f64::INFINITY, |one| one.distance);
    let score = |index: usize| {
        let one = &candidates[index];
        // The one followed until now is kept until another is clearly better.
        let bonus = if one.current { settings.reselect_distance } else { 0.0 };
        distance(index) + f64::from(one.stratum) * settings.stratum_weight - bonus
    };
    let Some(best) = survivors.iter().copied().min_by(|a, b| score(*a).total_cmp(&score(*b))) else { return };
    let limit = settings.combine_limit * (distance(best) + settings.reselect_distance);
    for index in survivors.iter().copied() {
        if index == best {
            verdicts[index] = Verdict::Selected;
        } else if distance(index) <= limit {
            verdicts[index] = Verdict::Combined;
        }
    }
}

/// The smallest interval that a majority of the intervals has points in: RFC 5905 section 11.2.1, with the middles left
/// aside as chrony and later practice do. None when no majority agrees.
fn intersection(intervals: &[Interval]) -> Option<(f64, f64)> {
    let mut edges: Vec<(f64, i32)> = Vec::with_capacity(intervals.len() * 2);
    for interval in intervals {
        edges.push((interval.offset - interval.distance, 1));
        edges.push((interval.offset + interval.distance, -1));
    }
    // At the same place an interval opens before another closes: they touch.
    edges.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    let (mut depth, mut deepest) = (0, 0);
    let mut found = None;
    for (index, (edge, change)) in edges.iter().enumerate() {
        depth += change;
        if depth > deepest {
            deepest = depth;
            found = edges.get(index + 1).map(|(next, _)| (*edge, *next));
        }
    }
    (2 * deepest as usize > intervals.len()).then_some(found).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Combined, Falseticker, Jittery, NotCombined, Selected, Unselectable};

    fn source(offset: f64, distance: f64) -> Candidate {
        Candidate {
            interval: Some(Interval { offset, distance }),
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
        let unknown = Candidate { interval: None, ..source(0.0, 0.0) };
        check(&[], &[], Some(NoSelection::NoneSelectable));
        check(&[unknown], &[Unselectable], Some(NoSelection::NoneSelectable));
        check(&[source(0.0, 0.01)], &[Selected], None);
        check(&[source(0.0, 9.0)], &[Unselectable], Some(NoSelection::NoneSelectable));
        check(&[source(0.0, f64::NAN)], &[Unselectable], Some(NoSelection::NoneSelectable));
        check(&[Candidate { sigma: 2.0, ..source(0.0, 0.1) }], &[Jittery], Some(NoSelection::NoneSelectable));
        check(
            &[source(0.0, 0.01), source(0.005, 0.011), source(1.0, 0.01)],
            &[Selected, Combined, Falseticker],
            None,
        );
        check(&[source(0.0, 0.01), source(1.0, 0.01)], &[Falseticker; 2], Some(NoSelection::NoMajority));
        let trusted = Candidate { trust: true, ..source(1.0, 0.01) };
        check(&[source(0.0, 0.01), source(0.0, 0.01), trusted], &[Falseticker, Falseticker, Selected], None);
        let preferred = Candidate { prefer: true, ..source(0.0, 0.02) };
        check(&[source(0.0, 0.01), preferred], &[NotCombined, Selected], None);
        let watched = Candidate { noselect: true, ..source(0.0, 0.01) };
        check(&[watched], &[NotCombined], Some(NoSelection::NoneSelectable));
        check(&[source(0.0, 0.01), source(0.0, 0.5)], &[Selected, NotCombined], None);
        let kept = Candidate { current: true, ..source(0.0, 0.010_05) };
        check(&[source(0.0, 0.01), kept], &[Combined, Selected], None);
        let required = Candidate { require: true, ..unknown };
        check(&[source(0.0, 0.01), required], &[NotCombined, Unselectable], Some(NoSelection::TooFew));
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
