//! Between the protocol and the filter: exchanges that took too long are left out, a known asymmetry is corrected, and of
//! several polls one may be chosen (`chrony.conf(5)`, options of a source).

use crate::source::Exchange;
use std::collections::VecDeque;

/// Samples without which neither the shortest round trip nor the deviation says enough to refuse an exchange by it (chronyd's number).
const SAMPLES_BEFORE_REFUSING: usize = 6;
/// Delays that a quantile is taken of: long enough for an estimate in the long term.
const QUANTILE_DELAYS_MAX: usize = 512;
/// Delays without which there is no quantile.
const QUANTILE_DELAYS_MIN: usize = 8;

/// What to leave out and what to correct. The default lets everything through as it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScreeningSettings {
    /// `maxdelayratio`: a round trip is no longer than this many times the shortest; none: any is.
    pub delay_ratio_max: Option<f64>,
    /// `maxdelaydevratio`: half of what is above the shortest is no more than this many standard deviations of the offsets;
    /// none: any is, and the filter weighs it.
    pub delay_deviation_ratio_max: Option<f64>,
    /// `maxdelayquant`: a round trip is no longer than this part of those before it.
    pub delay_quantile: Option<f64>,
    /// `mindelay`: the shortest round trip, in seconds; none: of the samples that are kept.
    pub delay_min: Option<f64>,
    /// `asymmetry`: the part of the excess delay, -0.5 to 0.5, that is on the way back rather than evenly on both; none: none.
    pub asymmetry: Option<f64>,
    /// `filter`: of so many polls, one exchange is used; 0 and 1: each is.
    pub polls: u32,
}

/// What is known of the path.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Path {
    /// Samples that are kept.
    pub samples: usize,
    /// The shortest round trip of them, in seconds.
    pub delay_min: Option<f64>,
    /// The standard deviation of their offsets, in seconds.
    pub deviation: f64,
    /// The offset that is expected of the exchange, true minus local, in seconds.
    pub expected: f64,
    /// What may have happened since the last of them, in seconds: its age by the skew and `maxclockerror`.
    pub drift: f64,
}

/// Why an exchange is left out: the tests of `measurements.log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooLong {
    /// Test B: `maxdelayratio`.
    Ratio,
    /// Test C: `maxdelaydevratio` or `maxdelayquant`.
    Deviation,
}

/// The screening of one source.
#[derive(Debug, Clone, Default)]
pub struct Screening {
    settings: ScreeningSettings,
    delays: VecDeque<f64>,
    waiting: Vec<Exchange>,
    polls: u32,
}

impl Screening {
    /// Nothing seen yet.
    pub fn new(settings: ScreeningSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Other limits from now on (`chronyc maxdelayratio`, `maxdelaydevratio`).
    pub fn settings_mut(&mut self) -> &mut ScreeningSettings {
        &mut self.settings
    }

    /// Whether an exchange counts, with its asymmetry corrected.
    ///
    /// # Errors
    ///
    /// Which limit it is beyond.
    pub fn test(&mut self, exchange: &Exchange, path: Path) -> Result<Exchange, TooLong> {
        let delay_min = self.settings.delay_min.filter(|delay| *delay > 0.0).or(path.delay_min);
        let quantile = self.settings.delay_quantile.map(|part| self.quantile(part));
        if self.settings.delay_quantile.is_some() {
            self.delays.push_back(exchange.delay);
            if self.delays.len() > QUANTILE_DELAYS_MAX {
                self.delays.pop_front();
            }
        }
        let Some(delay_min) = delay_min else { return Ok(*exchange) };
        let excess = (exchange.delay - delay_min).max(0.0);
        let enough = path.samples >= SAMPLES_BEFORE_REFUSING;
        let beyond = |ratio: f64| exchange.delay > ratio * delay_min + path.drift;
        if enough && self.settings.delay_ratio_max.is_some_and(beyond) {
            return Err(TooLong::Ratio);
        }
        match quantile {
            Some(limit) if exchange.delay > limit => return Err(TooLong::Deviation),
            Some(_) => {}
            None => {
                let limit = self.settings.delay_deviation_ratio_max;
                let limit = limit.filter(|_| enough).map(|ratio| ratio * path.deviation + path.drift);
                // An offset that is off by clearly more than the delay explains is news of the clock, not of the path.
                let news = (exchange.offset - path.expected).abs() - excess / 2.0;
                if limit.is_some_and(|limit| excess / 2.0 > limit && news <= limit) {
                    return Err(TooLong::Deviation);
                }
            }
        }
        let Some(asymmetry) = self.settings.asymmetry else { return Ok(*exchange) };
        let asymmetry = asymmetry.clamp(-0.5, 0.5);
        // What the asymmetry explains of the delay is no source of error any more.
        let explained = excess * 2.0 * asymmetry.abs();
        Ok(Exchange {
            offset: exchange.offset + asymmetry * excess,
            delay: exchange.delay - explained,
            ..*exchange
        })
    }

    /// A poll has ended, with an exchange that counts or without; the exchange that is to be used, if it is time for one.
    pub fn poll_ended(&mut self, exchange: Option<Exchange>) -> Option<Exchange> {
        if self.settings.polls <= 1 {
            return exchange;
        }
        self.waiting.extend(exchange);
        self.polls += 1;
        if self.polls < self.settings.polls {
            return None;
        }
        self.polls = 0;
        let mut waiting = std::mem::take(&mut self.waiting);
        // What the path disturbed least, and of that the middle.
        waiting.sort_by(|a, b| a.delay.total_cmp(&b.delay));
        waiting.truncate(waiting.len().div_ceil(2));
        waiting.sort_by(|a, b| a.offset.total_cmp(&b.offset));
        waiting.get(waiting.len().saturating_sub(1) / 2).copied()
    }

    /// The clock was moved by `nanos`: what waits still holds, by so much later.
    pub fn shift(&mut self, nanos: i64) {
        for one in &mut self.waiting {
            one.sent.0 = one.sent.0.saturating_add(nanos);
            one.received.0 = one.received.0.saturating_add(nanos);
            one.offset -= nanos as f64 * 1e-9;
        }
    }

    fn quantile(&self, part: f64) -> f64 {
        if self.delays.len() < QUANTILE_DELAYS_MIN {
            return f64::INFINITY;
        }
        let mut sorted: Vec<f64> = self.delays.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let place = (part.clamp(0.0, 1.0) * (sorted.len() - 1) as f64).ceil() as usize;
        sorted.get(place).copied().unwrap_or(f64::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::LocalTime;
    use crate::timekeeper::LeapStatus;

    fn exchange(offset: f64, delay: f64) -> Exchange {
        Exchange {
            sent: LocalTime(0),
            received: LocalTime(1),
            offset,
            delay,
            dispersion: 0.0,
            root_delay: 0.0,
            root_dispersion: 0.0,
            stratum: 1,
            leap: LeapStatus::Normal,
        }
    }

    /// Goal: each limit refuses what is beyond it and nothing else, and asymmetry takes its part of the excess delay.
    #[test]
    fn limits_refuse_what_is_beyond_them() {
        let path =
            Path { samples: 6, delay_min: Some(0.010), deviation: 0.001, expected: 0.5, ..Path::default() };
        let check = |settings: ScreeningSettings, delay: f64, expected: Result<f64, TooLong>| {
            let found = Screening::new(settings).test(&exchange(0.5, delay), path);
            match (found, expected) {
                (Ok(one), Ok(offset)) => assert!((one.offset - offset).abs() < 1e-12, "{}", one.offset),
                (found, expected) => assert_eq!(found.map(|one| one.offset), expected),
            }
        };
        let none = ScreeningSettings::default();
        check(none, 9.0, Ok(0.5));
        let ratio = ScreeningSettings { delay_ratio_max: Some(2.0), ..none };
        check(ratio, 0.020, Ok(0.5));
        check(ratio, 0.021, Err(TooLong::Ratio));
        check(ScreeningSettings { delay_min: Some(0.020), ..ratio }, 0.030, Ok(0.5));
        let deviation = ScreeningSettings { delay_deviation_ratio_max: Some(10.0), ..none };
        check(deviation, 0.029, Ok(0.5));
        check(deviation, 0.031, Err(TooLong::Deviation));
        let refused = |settings: ScreeningSettings, path: Path| {
            Screening::new(settings).test(&exchange(0.5, 0.040), path).is_err()
        };
        for settings in [ratio, deviation] {
            assert!(refused(settings, path));
            assert!(!refused(settings, Path { samples: 5, ..path }), "too few samples");
            assert!(!refused(settings, Path { drift: 0.025, ..path }), "the last one was long ago");
        }
        assert!(!refused(deviation, Path { expected: 0.6, ..path }), "the clock itself was moved");
        check(ScreeningSettings { asymmetry: Some(-0.5), ..none }, 0.014, Ok(0.498));
        check(ScreeningSettings { asymmetry: Some(0.25), ..none }, 0.014, Ok(0.501));
    }

    /// Goal: with a quantile about that part of the exchanges counts.
    #[test]
    fn a_quantile_lets_its_part_through() {
        let settings = ScreeningSettings { delay_quantile: Some(0.2), ..ScreeningSettings::default() };
        let mut screening = Screening::new(settings);
        let mut random = crate::sim::SimRandom::new(3);
        let path = Path { delay_min: Some(0.001), deviation: 1e-5, ..Path::default() };
        let passed =
            (0..2000).filter(|_| screening.test(&exchange(0.0, random.uniform()), path).is_ok()).count();
        assert!((340..=460).contains(&passed), "{passed}");
    }

    /// Goal: of several polls the middle one of the quicker half is used, misses count as polls, and a step moves what waits.
    #[test]
    fn of_several_polls_one_is_used() {
        let settings = ScreeningSettings { polls: 4, ..ScreeningSettings::default() };
        let mut screening = Screening::new(settings);
        assert_eq!(screening.poll_ended(Some(exchange(0.1, 0.01))), None);
        assert_eq!(screening.poll_ended(Some(exchange(9.0, 0.50))), None);
        screening.shift(1_000_000_000);
        assert_eq!(screening.poll_ended(None), None);
        let used = screening.poll_ended(Some(exchange(-0.8, 0.02))).expect("four polls");
        assert!((used.offset + 0.9).abs() < 1e-9, "{used:?}");
        for _ in 0..3 {
            assert_eq!(screening.poll_ended(None), None);
        }
        assert_eq!(screening.poll_ended(None), None, "nothing came in four polls");
    }
}
