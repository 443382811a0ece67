//! A simulated oscillator and network path, seeded by arguments: for tests here and in the simulator of the whole house.

use crate::clock::{Clock, ClockError, LocalTime};

/// A small seeded generator (SplitMix64): the same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct SimRandom(u64);

impl SimRandom {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d).wrapping_add(0x9e37_79b9_7f4a_7c15))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Evenly within [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponentially distributed with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Normally distributed with mean 0 and variance 1.
    pub fn normal(&mut self) -> f64 {
        (2.0 * self.exponential()).sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
}

/// A network path with a fixed delay and exponential jitter each way.
#[derive(Debug, Clone)]
pub struct SimPath {
    random: SimRandom,
    delay: f64,
    jitter: f64,
}

impl SimPath {
    /// `delay` and the mean of the jitter, each way, in seconds.
    pub fn new(seed: u64, delay: f64, jitter: f64) -> Self {
        Self { random: SimRandom::new(seed), delay, jitter }
    }

    /// The delays there and back of one exchange, in seconds.
    pub fn delays(&mut self) -> (f64, f64) {
        let out = self.delay + self.jitter * self.random.exponential();
        (out, self.delay + self.jitter * self.random.exponential())
    }
}

/// The resolution of the kernel's frequency word: 2^-16 ppm (`adjtimex(2)`).
const FREQUENCY_STEP: f64 = 1e-6 / 65_536.0;

/// A clock whose error is known: an oscillator with a frequency error that walks randomly, read without noise.
#[derive(Debug, Clone)]
pub struct SimClock {
    random: SimRandom,
    true_ns: i64,
    true_rest: f64,
    local_ns: i64,
    local_rest: f64,
    frequency_error: f64,
    wander: f64,
    correction: f64,
    steps: Vec<i64>,
}

impl SimClock {
    /// True time starts at `start` (nanoseconds since the Unix epoch); the clock is ahead by `offset` seconds, gains
    /// `frequency_error` s/s, and that error changes by a normal number of deviation `wander` each true second.
    pub fn new(seed: u64, start: i64, offset: f64, frequency_error: f64, wander: f64) -> Self {
        Self {
            random: SimRandom::new(seed),
            true_ns: start,
            true_rest: 0.0,
            local_ns: start + (offset * 1e9) as i64,
            local_rest: 0.0,
            frequency_error,
            wander,
            correction: 0.0,
            steps: Vec::new(),
        }
    }

    /// Lets `seconds` of true time pass.
    pub fn advance(&mut self, seconds: f64) {
        let mut left = seconds.max(0.0);
        while left > 0.0 {
            // The frequency's error steps at whole seconds of true time, as clknetsim's generators are evaluated.
            let to_second = 1.0 - (self.true_ns.rem_euclid(1_000_000_000) as f64 * 1e-9 + self.true_rest);
            let part = left.min(to_second.max(1e-9));
            let second = self.true_ns.div_euclid(1_000_000_000);
            let rate = (1.0 + self.frequency_error) * (1.0 + self.correction);
            (self.true_ns, self.true_rest) = add(self.true_ns, self.true_rest, part);
            (self.local_ns, self.local_rest) = add(self.local_ns, self.local_rest, part * rate);
            if self.true_ns.div_euclid(1_000_000_000) != second {
                self.frequency_error += self.wander * self.random.normal();
            }
            left -= part;
        }
    }

    /// True time, nanoseconds since the Unix epoch.
    pub fn true_time(&self) -> i64 {
        self.true_ns
    }

    /// The clock's error: what it shows minus true time, in seconds.
    pub fn error(&self) -> f64 {
        (self.local_ns - self.true_ns) as f64 * 1e-9 + self.local_rest - self.true_rest
    }

    /// The oscillator's error changes by `by` s/s.
    pub fn disturb(&mut self, by: f64) {
        self.frequency_error += by;
    }

    /// The clock's error of rate, corrections included, s/s.
    pub fn rate_error(&self) -> f64 {
        (1.0 + self.frequency_error) * (1.0 + self.correction) - 1.0
    }

    /// The steps made, in nanoseconds.
    pub fn steps(&self) -> &[i64] {
        &self.steps
    }
}

fn add(nanos: i64, rest: f64, seconds: f64) -> (i64, f64) {
    let sum = rest + seconds;
    let whole = (sum * 1e9).floor();
    (nanos + whole as i64, sum - whole * 1e-9)
}

impl Clock for SimClock {
    fn now(&mut self) -> LocalTime {
        LocalTime(self.local_ns)
    }

    fn frequency(&self) -> f64 {
        self.correction
    }

    fn set_frequency(&mut self, frequency: f64) -> Result<f64, ClockError> {
        self.correction = (frequency / FREQUENCY_STEP).round() * FREQUENCY_STEP;
        Ok(self.correction)
    }

    fn step(&mut self, nanos: i64) -> Result<(), ClockError> {
        self.local_ns += nanos;
        self.steps.push(nanos);
        Ok(())
    }

    fn frequency_max(&self) -> f64 {
        0.1
    }

    fn change_latency(&self) -> f64 {
        0.0
    }
}
