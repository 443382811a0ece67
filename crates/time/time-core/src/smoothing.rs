//! `smoothtime`: the time that clients get moves slowly to ours, whatever ours does.
//!
//! All moments here are true time as it is known: the clock, and what is left to correct of it. That does not bend with slews.
//!
//! The offset of the served time is brought to zero by three pieces of constant acceleration: up to the wander, at the greatest
//! frequency, and down again. That is the quickest way within both limits.

use crate::clock::LocalTime;

/// `smoothtime FREQUENCY WANDER [leaponly]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothingSettings {
    /// How fast the served time may move against ours, s/s.
    pub frequency_max: f64,
    /// How fast that may change, s/s per second.
    pub wander_max: f64,
    /// Nothing but leap seconds is smoothed.
    pub leap_only: bool,
}

/// What `smoothing` shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SmoothingState {
    /// It is at work.
    pub active: bool,
    /// Only leap seconds are smoothed.
    pub leap_only: bool,
    /// The served time minus ours, in seconds.
    pub offset: f64,
    /// How fast that grows, s/s.
    pub frequency: f64,
    /// How fast that grows, s/s per second.
    pub wander: f64,
    /// Seconds since the last change that was smoothed.
    pub last_update_ago: f64,
    /// Seconds until nothing is left.
    pub remaining: f64,
}

/// The smoothing of the served time.
#[derive(Debug, Clone)]
pub struct Smoothing {
    settings: SmoothingSettings,
    active: bool,
    since: LocalTime,
    offset: f64,
    frequency: f64,
    pieces: [Piece; 3],
}

#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    seconds: f64,
    wander: f64,
}

impl Smoothing {
    /// Not at work yet.
    pub fn new(settings: SmoothingSettings) -> Self {
        Self {
            settings,
            active: false,
            since: LocalTime(0),
            offset: 0.0,
            frequency: 0.0,
            pieces: [Piece::default(); 3],
        }
    }

    /// From `now` on the served time does not jump any more (`smoothtime activate`).
    pub fn activate(&mut self, now: LocalTime) {
        if !self.active {
            self.active = true;
            self.reset(now);
        }
    }

    /// The served time is ours again, at once (`smoothtime reset`, and after a step).
    pub fn reset(&mut self, now: LocalTime) {
        (self.since, self.offset, self.frequency) = (now, 0.0, 0.0);
        self.pieces = [Piece::default(); 3];
    }

    /// The clock was updated with this skew, s/s: it begins when that is small enough (`chrony.conf(5)`).
    pub fn skew_is(&mut self, skew: f64, now: LocalTime) {
        /// The part of the skew that the wander has to exceed.
        const SKEW_PART: f64 = 1e-4;
        if !self.active && skew * SKEW_PART <= self.settings.wander_max {
            self.activate(now);
        }
    }

    /// True time as it is known was corrected by `seconds`, which was `before`, and runs `frequency` s/s faster than it
    /// did: the served one follows slowly. `leap`: for a leap second.
    pub fn corrected(&mut self, before: LocalTime, seconds: f64, frequency: f64, leap: bool) {
        let now = before.plus(seconds);
        let state = self.state(before);
        if !self.active || (self.settings.leap_only && !leap) {
            // What is smoothed already goes on in the time that was corrected.
            self.since = self.since.plus(seconds);
            return;
        }
        // The served time goes on as it went: of two rates the product counts, which the sum would miss at each correction on the same side.
        self.offset = state.offset - seconds;
        self.frequency = (1.0 + state.frequency) / (1.0 + frequency) - 1.0;
        self.since = now;
        self.plan();
    }

    /// The three pieces, from offset and frequency to nothing.
    fn plan(&mut self) {
        self.pieces = [Piece::default(); 3];
        let wander = self.settings.wander_max;
        if wander <= 0.0 || self.settings.frequency_max <= 0.0 {
            (self.offset, self.frequency) = (0.0, 0.0);
            return;
        }
        // Where it would come to rest if it were only slowed down says which way to go first.
        let rest = self.offset + self.frequency * self.frequency.abs() / (2.0 * wander);
        let way = if rest > 0.0 { -1.0 } else { 1.0 };
        let (left, speed) = (-self.offset * way, self.frequency * way);
        let fastest = (wander * left + speed * speed / 2.0).max(0.0).sqrt();
        let top = fastest.min(self.settings.frequency_max.max(speed));
        let up = (top - speed).max(0.0) / wander;
        let down = top / wander;
        let gone = (top * top - speed * speed) / (2.0 * wander) + top * top / (2.0 * wander);
        let coast = if top > 0.0 { ((left - gone) / top).max(0.0) } else { 0.0 };
        self.pieces = [
            Piece { seconds: up, wander: wander * way },
            Piece { seconds: coast, wander: 0.0 },
            Piece { seconds: down, wander: -wander * way },
        ];
    }

    /// Where the served time is at `now`.
    pub fn state(&self, now: LocalTime) -> SmoothingState {
        let elapsed = now.since(self.since).max(0.0);
        let (mut offset, mut frequency, mut wander) = (self.offset, self.frequency, 0.0);
        let mut left = elapsed;
        let total: f64 = self.pieces.iter().map(|piece| piece.seconds).sum();
        for piece in &self.pieces {
            let seconds = left.min(piece.seconds);
            offset += frequency * seconds + piece.wander * seconds * seconds / 2.0;
            frequency += piece.wander * seconds;
            wander = piece.wander;
            left -= seconds;
            if left <= 0.0 {
                break;
            }
        }
        if elapsed >= total {
            (offset, frequency, wander) = (0.0, 0.0, 0.0);
        }
        SmoothingState {
            active: self.active,
            leap_only: self.settings.leap_only,
            offset,
            frequency,
            wander,
            last_update_ago: elapsed,
            remaining: (total - elapsed).max(0.0),
        }
    }

    /// A leap second is hidden from clients, who get it slowly.
    pub fn hides_leaps(&self) -> bool {
        self.active && self.settings.leap_only
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a leap second is smeared in sqrt(4 / wander) seconds (`chrony.conf(5)`: 62500 s with 0.001024 ppm/s, 32 ppm at
    /// most), and never faster than the limits, whatever comes in between.
    #[test]
    fn a_leap_second_is_smeared() {
        let settings = SmoothingSettings { frequency_max: 400e-6, wander_max: 0.001_024e-6, leap_only: true };
        let mut smoothing = Smoothing::new(settings);
        let at = |seconds: f64| LocalTime(0).plus(seconds);
        smoothing.corrected(at(0.0), -1.0, 0.0, true);
        assert_eq!(smoothing.state(at(0.0)).offset, 0.0, "not active");
        smoothing.skew_is(1e-6, at(0.0));
        smoothing.corrected(at(0.5), 0.5, 0.0, false);
        assert_eq!(smoothing.state(at(1.0)).offset, 0.0, "leap seconds only");
        smoothing.corrected(at(1.0), -1.0, 0.0, true);
        let check = |seconds: f64, offset: f64, ppm: f64| {
            let state = smoothing.state(at(seconds));
            assert!(
                (state.offset - offset).abs() < 1e-6 && (state.frequency * 1e6 - ppm).abs() < 1e-3,
                "{state:?}"
            );
        };
        check(0.0, 1.0, 0.0);
        check(31_250.0, 0.5, -32.0);
        check(62_499.999, 0.0, 0.0);
        check(70_000.0, 0.0, 0.0);
        assert!((smoothing.state(at(0.0)).remaining - 62_500.0).abs() < 1e-3);
    }

    /// Goal: whatever the estimates of offset and rate do, the served time goes on as it went, but for what the wander allows. Method: a
    /// clock whose rate is taken for 1000 ppm more and less in turns, which the clients of a sum of rates would see as a drift of a part
    /// per million.
    #[test]
    fn a_rate_that_is_corrected_to_and_fro_is_no_drift() {
        let settings = SmoothingSettings { frequency_max: 1e-2, wander_max: 1e-15, leap_only: false };
        let mut smoothing = Smoothing::new(settings);
        // The oscillator is right, so its time is that of the clients; what is known of true time is its time and `ahead`.
        let (mut ahead, mut rate) = (0.0, 0.0);
        smoothing.activate(LocalTime(0));
        for poll in 1..=200 {
            let oscillator = LocalTime(0).plus(64.0 * f64::from(poll));
            ahead += rate * 64.0;
            let wanted: f64 = if poll % 2 == 0 { 1e-3 } else { -1e-3 };
            let by = -ahead + if poll % 2 == 0 { 0.2 } else { -0.2 };
            smoothing.corrected(oscillator.plus(ahead), by, (1.0 + wanted) / (1.0 + rate) - 1.0, false);
            ahead += by;
            rate = wanted;
            let served = ahead + smoothing.state(oscillator.plus(ahead)).offset;
            assert!(served.abs() < 1e-6, "poll {poll}: {served}");
        }
    }

    /// Goal: from any state within the limits it comes to rest at zero, keeps both limits on the way, and does not jump when it is
    /// disturbed again.
    #[test]
    fn it_always_comes_to_rest() {
        let mut random = crate::sim::SimRandom::new(5);
        let settings = SmoothingSettings { frequency_max: 400e-6, wander_max: 1e-9, leap_only: false };
        for _ in 0..200 {
            let mut smoothing = Smoothing::new(settings);
            let mut now = LocalTime(0);
            smoothing.activate(now);
            for _ in 0..3 {
                let by = (random.uniform() - 0.5) * 4.0;
                let before = smoothing.state(now);
                smoothing.corrected(now, by, 0.0, false);
                now = now.plus(by);
                let after = smoothing.state(now);
                assert!((after.offset - (before.offset - by)).abs() < 1e-9);
                now = now.plus(random.uniform() * 50_000.0);
                let state = smoothing.state(now);
                assert!(state.frequency.abs() <= 400.001e-6 && state.wander.abs() <= 1.001e-9, "{state:?}");
            }
            let end = now.plus(smoothing.state(now).remaining - 1.0);
            assert!(smoothing.state(end).offset.abs() < 1e-6, "{:?}", smoothing.state(end));
            assert_eq!(smoothing.state(end.plus(2.0)).offset, 0.0);
        }
    }
}
