//! When to ask: polls, bursts, kisses, and times without a network.

use super::{BURST_GOOD, Client, POLL_RANGE};
use crate::kiss::KissCode;
use std::time::Duration;

/// Requests of an initial burst or one asked for, at most: what the reach register holds.
pub(super) const BURST_REQUESTS_MAX: u8 = 8;
/// Between the requests of a burst (`chrony.conf(5)`: "2 seconds").
pub(super) const BURST_INTERVAL: Duration = Duration::from_secs(2);
/// Until the next try after a request that could not be sent.
pub(super) const UNSENT_INTERVAL: Duration = Duration::from_secs(2);
/// The longest poll that a RATE kiss can push us to, log2 s: 36 hours (RFC 5905 MAXPOLL).
const KISS_POLL_MAX: i8 = 17;
/// Intervals until the next request after a RATE kiss that cannot make the interval longer.
const KISS_INTERVALS: u32 = 5;
/// A poll shorter than a second is for servers in the local network: the round trip is below this, in seconds
/// (`chrony.conf(5)`, minpoll: "shorter than 10 milliseconds").
const SUBSECOND_DELAY_MAX: f64 = 0.01;

impl Client {
    /// The last request did not leave this host (no route, no network yet): it counts as missed, but not against a burst, and
    /// the next try comes soon, since it costs nobody anything.
    pub fn unsent(&mut self, now: Duration) {
        self.pending = None;
        self.peering.unsent();
        if self.burst_good > 0 {
            self.burst_requests = (self.burst_requests + 1).min(BURST_REQUESTS_MAX);
        }
        self.poll = self.poll.min(self.config.poll_min).max(self.poll_floor);
        let soon = UNSENT_INTERVAL.min(self.interval());
        self.next = (self.online && self.dismissed.is_none()).then(|| now + soon);
    }

    pub(super) fn kissed(&mut self, now: Duration, code: KissCode, poll: i8) {
        (self.burst_requests, self.burst_good) = (0, 0);
        if code == KissCode::Rate {
            // RFC 5905 section 7.4: "MUST immediately reduce its polling interval to that server".
            let most = self.config.poll_max.max(self.poll).min(KISS_POLL_MAX);
            let wanted = (self.poll + 1).max(poll).min(most);
            let longer = wanted > self.poll;
            self.poll_floor = self.poll_floor.max(wanted);
            self.poll = self.poll.max(self.poll_floor);
            // Where the configuration allows no longer interval the server is left alone for a while.
            let intervals = if longer { 1 } else { KISS_INTERVALS };
            self.next = self.online.then(|| now + self.interval() * intervals);
        } else if code.ends_association() {
            self.dismissed = Some(code);
            self.next = None;
        }
    }

    pub(super) fn schedule(&mut self, now: Duration, random: u64) {
        if self.dismissed.is_some() || !self.online {
            self.next = None;
            return;
        }
        let interval = if self.burst_requests > 0 {
            BURST_INTERVAL.min(self.interval())
        } else {
            // Up to 1/50 longer, so that many clients do not stay in step.
            let interval = self.interval();
            interval + interval.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64 / 50.0)
        };
        self.next = Some(now + interval);
    }

    /// The poll interval in force.
    pub fn interval(&self) -> Duration {
        let interval = Duration::from_secs_f64(f64::from(self.poll_in_force()).exp2());
        if self.round_trip.is_some_and(|delay| delay < SUBSECOND_DELAY_MAX) {
            return interval;
        }
        interval.max(Duration::from_secs(1))
    }

    pub(super) fn begin_burst(&mut self, good: u8, requests: u8) {
        self.burst_good = good.min(BURST_REQUESTS_MAX);
        self.burst_requests = requests.min(BURST_REQUESTS_MAX);
        self.burst_delay_max = f64::INFINITY;
    }

    /// A burst from `now` on, until `good` replies came or `requests` were sent. A peer is not asked in bursts: it would take each
    /// packet for a new beginning.
    pub fn burst(&mut self, now: Duration, good: u8, requests: u8) {
        if self.online && self.dismissed.is_none() && !self.config.symmetric {
            self.begin_burst(good, requests);
            self.next = Some(now);
        }
    }

    /// No more requests than the poll asks for, now and when the server is reachable again.
    pub fn end_burst(&mut self) {
        self.config.initial_burst = false;
        (self.burst_requests, self.burst_good) = (0, 0);
    }

    /// A burst until one reply came that took at most `delay_max`, in seconds, or `requests` were sent.
    pub fn burst_until_quick(&mut self, now: Duration, requests: u8, delay_max: f64) {
        self.burst(now, 1, requests);
        self.burst_delay_max = delay_max;
    }

    /// Asks at `now`, whatever the schedule.
    pub fn hurry(&mut self, now: Duration) {
        if self.online && self.dismissed.is_none() {
            self.next = Some(now);
        }
    }

    /// Asks no earlier than at `until`, whatever the schedule: something is needed before.
    pub fn postpone(&mut self, until: Duration) {
        self.next = self.next.map(|next| next.max(until));
    }

    /// Whether to ask at all; going online asks at once.
    pub fn set_online(&mut self, online: bool, now: Duration) {
        if online == self.online {
            return;
        }
        self.online = online;
        self.next = (online && self.dismissed.is_none()).then_some(now);
        if online && self.config.initial_burst {
            self.begin_burst(BURST_GOOD, BURST_REQUESTS_MAX);
        }
    }

    /// The poll exponent that the filter wants from the next request on; held within the configured bounds and above what
    /// a RATE kiss asked for.
    ///
    /// After a time without answers the poll comes back step by step, one a call: who answers one request of twenty is not asked as
    /// often as who answers all.
    pub fn set_poll(&mut self, poll: i8) {
        self.backed_off &= poll < self.poll - 1;
        let poll = if self.backed_off { self.poll - 1 } else { poll };
        let bounded = poll.max(self.config.poll_min).min(self.config.poll_max);
        self.poll = bounded.max(self.poll_floor).clamp(*POLL_RANGE.start(), *POLL_RANGE.end());
    }
}
