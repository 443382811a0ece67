//! Before the usual sources: the real-time clock (`-s` with `rtcfile`), then `initstepslew`.
//!
//! `initstepslew`: before anything else a few servers are asked quickly, and what they say together is stepped or slewed.

use super::{Daemon, ONCE_PATIENCE, monotonic};
use crate::events::Happened;
use crate::options::Once;
use chrony_conf::{Source, SourceKind, SourceOptions};
use std::time::Duration;
use time_core::{Event, MakeStep, SourceId};

/// Good replies with which a server has said enough: the least with which one that is off shows.
const SAMPLES: u64 = 3;
/// Requests to servers that contradict each other, at most: one less than the reach register holds, as chronyd.
const REQUESTS_MAX: u64 = 7;
/// Between two looks at servers that contradict each other.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Between the end and the usual sources: a server that is one of both is not asked twice in a burst's interval.
const PAUSE: Duration = Duration::from_secs(2);

/// The phase before the usual sources.
#[derive(Debug, Clone, Copy)]
pub(super) enum Initial {
    /// The real-time clock is read, until then at most.
    RealTimeClock { until: Duration },
    /// Servers are asked, until then at most.
    Asking { until: Duration },
    /// What they said was done; the usual sources come then.
    Done { until: Duration },
}

impl Daemon {
    /// Begins with the servers of `initstepslew`, if there are any; false when the usual sources can begin at once. A restart
    /// (`-R`) and a single measurement leave it out, as chronyd.
    pub(super) fn begin_initial(&mut self, now: Duration) -> bool {
        let Some(one) = self.config.settings.init_step_slew.clone() else { return false };
        if self.options.once != Once::No || self.options.restart || one.hosts.is_empty() {
            return false;
        }
        let usual = std::mem::take(&mut self.config.sources);
        self.keeper.wait_for_all();
        let options = SourceOptions { iburst: true, ..SourceOptions::default() };
        for name in one.hosts {
            let source = Source { kind: SourceKind::Server, name, options: options.clone() };
            if let Some(line) = crate::config::added(&source, &self.config.settings) {
                self.add_source(line, now);
            }
        }
        self.config.sources = usual;
        self.initial = Some(Initial::Asking { until: now + ONCE_PATIENCE });
        true
    }

    /// When the phase goes on without anything arriving.
    pub(super) fn initial_deadline(&self) -> Option<Duration> {
        self.initial.map(|phase| match phase {
            Initial::RealTimeClock { until } | Initial::Asking { until } | Initial::Done { until } => until,
        })
    }

    /// Looks whether the servers have said enough, or whether the usual sources can begin.
    pub(super) fn initial_due(&mut self, now: Duration) {
        match self.initial {
            Some(Initial::RealTimeClock { until }) if now >= until => {
                let what = "The real-time clock sends no interrupts".to_owned();
                self.log.say(&Happened::Warning { what });
                self.end_rtc_start();
            }
            Some(Initial::Asking { until }) if self.is_decided(now >= until) => {
                self.settle_initial();
                let _ = self.initial.insert(Initial::Done { until: monotonic() + PAUSE });
            }
            Some(Initial::Asking { until }) if now >= until => {
                let _ = self.initial.insert(Initial::Asking { until: now + LOOK_AGAIN });
            }
            Some(Initial::Done { until }) if now >= until => {
                self.initial = None;
                self.begin_usual(now);
            }
            _ => {}
        }
    }

    /// More requests would change nothing: all have said the same, or nobody answers, or those who answer contradict each other
    /// and were asked often enough to show that it stays so. `late`: a burst is over by now.
    fn is_decided(&self, late: bool) -> bool {
        if (late || self.all_have_said()) && self.keeper.could_select(self.local_now()) {
            return true;
        }
        let is_heard = |peer: &crate::peers::Peer| peer.client.reach() != 0;
        let asked_enough = |peer: &crate::peers::Peer| peer.client.counts().0 >= REQUESTS_MAX;
        if self.peers.iter().any(is_heard) {
            return self.peers.iter().all(|peer| !is_heard(peer) || asked_enough(peer))
                && self.all_have_said();
        }
        late || self.all_have_said()
    }

    /// Every server has answered a burst, or its burst is over without answers; names without an address are not waited for.
    fn all_have_said(&self) -> bool {
        let found = self.wanted.iter().all(|wanted| wanted.missing == 0 || wanted.complained);
        let is_done = |peer: &crate::peers::Peer| {
            let samples = self.keeper.source(peer.id).map_or(0, |source| source.filter().total());
            let gave_up = peer.client.counts().0 > 0 && !peer.client.in_burst();
            samples >= SAMPLES || gave_up || peer.client.dismissed().is_some()
        };
        found && self.peers.iter().all(is_done)
    }

    /// The majority's word is done to the clock.
    fn settle_initial(&mut self) {
        let threshold = self.config.settings.init_step_slew.as_ref().map_or(0.0, |one| one.threshold);
        // Neither `makestep` nor `maxchange` is asked here, and neither counts this.
        self.keeper.set_make_step(Some(MakeStep { threshold, limit: None }));
        self.keeper.discipline_mut().set_max_change(None);
        let mut found = None;
        let events = self.keeper.settle(&mut self.clock);
        for event in events {
            match event {
                Event::Updated { offset } => found = Some(offset),
                Event::Stepped(seconds) => {
                    self.shift_waiting(seconds);
                    self.end_smoothing();
                    self.epoch = super::epoch();
                }
                Event::Failed(error) => self.log.say(&Happened::ClockFailed { why: error.to_string() }),
                _ => {}
            }
        }
        self.log.say(&match found {
            Some(seconds) => Happened::Initial { seconds, step: seconds.abs() > threshold },
            None => Happened::NoInitial,
        });
        self.wanted.clear();
        let asked: Vec<SourceId> = self.peers.drain(..).map(|peer| peer.id).collect();
        self.keeper.retire(&asked);
        self.keeper.set_make_step(self.config.discipline.make_step);
        self.keeper.discipline_mut().set_max_change(self.config.discipline.max_change);
    }

    /// The usual sources, and whoever started the daemon in the background is told.
    pub(super) fn begin_usual(&mut self, now: Duration) {
        self.add_sources(now);
        if !self.config.settings.source_dirs.is_empty() {
            self.reload_sources(now);
        }
        self.load_histories();
        self.tell_ready();
    }
}
