//! What follows from the core's events: who is told of them, the log, the record files, the kernel and the drift file.

use super::{DRIFT_SKEW_POOR, Daemon, epoch, monotonic};
use crate::events::Happened;
use crate::holder::KernelStatus;
use crate::options::Once;
use crate::peers::Peer;
use crate::records;
use std::io;
use std::process::ExitCode;
use time_core::{Event, SourceId, Verdict};

/// An offset against all that was known is asked about at once from here on, in seconds: no path that is near enough to be followed makes
/// one up, so the clock was stopped with its machine (a paused virtual one notices nothing else), or its source is wrong.
const DOUBT_ASKED_MIN: f64 = 1.0;

impl Daemon {
    pub(super) fn handle(&mut self, events: Vec<Event>) {
        let something_happened = !events.is_empty();
        for event in events {
            match event {
                Event::Selected(id) => {
                    let source = self.label(id);
                    self.log.say(&Happened::Selected { source });
                }
                Event::Lost(why) => self.log.say(&Happened::Lost(why)),
                Event::TooDistant(id) => {
                    let (source, limit) = (self.label(id), self.config.selection.distance_max);
                    self.log.say(&Happened::TooDistant { source, limit });
                }
                Event::TooJittery(id) => {
                    let (source, limit) = (self.label(id), self.config.selection.jitter_max);
                    self.log.say(&Happened::TooJittery { source, limit });
                }
                Event::WrongStratum { source, stratum } => {
                    let (source, allowed) = (self.label(source), self.config.selection);
                    let is_small = stratum < allowed.stratum_min;
                    let limit = if is_small { allowed.stratum_min } else { allowed.stratum_max };
                    self.log.say(&Happened::WrongStratum { source, is_small, limit });
                }
                Event::Falseticker(id) => {
                    let source = self.label(id);
                    self.log.say(&Happened::Falseticker { source });
                }
                Event::Updated { offset } => {
                    self.stepped_by_others = false;
                    if offset.abs() > self.config.log_change && self.options.once == Once::No {
                        self.log.say(&Happened::Wrong { seconds: offset, how: "" });
                    }
                    self.mail_change(offset);
                    self.tell_unset_clock();
                    self.local_gate.updated(monotonic());
                    self.look_for_leap(monotonic());
                    self.record_tracking();
                }
                Event::Doubted { offset } => {
                    if offset.abs() > self.config.log_change && self.options.once == Once::No {
                        self.log.say(&Happened::Wrong { seconds: offset, how: " (not confirmed yet)" });
                    }
                    if offset.abs() >= DOUBT_ASKED_MIN {
                        self.ask_in_bursts(monotonic());
                    }
                }
                Event::Stepped(seconds) => {
                    self.forget_requests();
                    self.shift_waiting(seconds);
                    self.retry_securing(monotonic());
                    self.end_smoothing();
                    self.epoch = epoch();
                    if self.options.once == Once::No {
                        self.log.say(&Happened::Stepped { seconds });
                    }
                }
                Event::Refused { offset, limit, ends } => {
                    self.log.say(&Happened::ChangeRefused { seconds: -offset, limit, ends });
                    if ends {
                        self.stopping = Some(ExitCode::FAILURE);
                    }
                }
                Event::Failed(error) => self.log.say(&Happened::ClockFailed { why: error.to_string() }),
            }
        }
        self.serving.outdated();
        if something_happened {
            self.tell_kernel();
        }
    }

    /// `-x`: the kernel's clock is so wrong that `makestep` would step it.
    fn tell_unset_clock(&mut self) {
        if self.clock.is_kernel() || self.options.once != Once::No {
            return;
        }
        let discipline = self.keeper.discipline();
        let wrong = self.clock.ahead_of_kernel().abs();
        let steps = discipline.settings().make_step.is_some_and(|rule| {
            wrong > rule.threshold && rule.limit.is_none_or(|limit| discipline.updates() <= limit)
        });
        if steps {
            self.log.say(&Happened::NotStepped);
        }
    }

    pub(crate) fn label(&self, id: SourceId) -> String {
        let clock = self.refclocks.iter().find(|one| one.id == id);
        let peer = self.peers.iter().find(|peer| peer.id == id);
        clock.map(crate::refclocks::RefClock::label).or(peer.map(Peer::label)).unwrap_or_default()
    }

    pub(super) fn record_tracking(&mut self) {
        let now = self.local_now();
        let one = self.keeper.tracking(now);
        self.local_gate.saw(one.root_delay / 2.0 + one.root_dispersion, self.config.local);
        let selected = one.selected.and_then(|id| self.peers.iter().find(|peer| peer.id == id));
        let address = match (selected, one.selected) {
            (Some(peer), _) => peer.address.ip().to_string(),
            (None, id) => id.map_or_else(String::new, |id| self.label(id)),
        };
        let combined = self
            .keeper
            .sources()
            .filter(|(id, _)| matches!(self.keeper.verdict(*id), Verdict::Selected | Verdict::Combined))
            .count();
        let sigma = self.keeper.discipline().sigma(now);
        let written = self.records.tracking(now.0, &address, &one, combined, sigma, one.offset);
        self.record_failed(written);
    }

    /// Tells the kernel how well its clock is known, and with `rtcsync` that it is synchronised.
    pub(super) fn tell_kernel(&mut self) {
        let now = self.local_now();
        let bound = self.keeper.error_bound(now).filter(|_| !self.stepped_by_others);
        let sigma = self.keeper.discipline().sigma(now);
        let status = KernelStatus::new(bound, sigma, self.config.rtc_sync);
        if let Err(error) = self.clock.tell(status) {
            self.log.say(&Happened::ClockFailed { why: error.to_string() });
        }
    }

    pub(super) fn save_drift(&mut self) {
        let Some(path) = &self.config.drift_file else { return };
        // Before the first update there is nothing that the file does not know.
        if self.keeper.discipline().updates() == 0 {
            return;
        }
        let (frequency, skew) =
            (self.keeper.discipline().oscillator_frequency(), self.keeper.discipline().skew());
        // A run of seconds does not take the place of what a long one learnt.
        if self.config.discipline.drift.is_some_and(|known| skew > known.skew.max(DRIFT_SKEW_POOR)) {
            return;
        }
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = folder.and_then(|()| records::write_drift(path, frequency, skew)) {
            let what = format!("Could not write {}: {error}", path.display());
            self.trouble(what);
        }
    }

    pub(super) fn record_failed(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.trouble(format!(
                "Could not write to {error}; nothing more is written there until `chronyc cyclelogs`"
            ));
        }
    }

    /// Closes and opens the log files (SIGHUP, `cyclelogs`).
    pub(crate) fn reopen_logs(&mut self) {
        self.records.close();
        if let Err(error) = self.log.reopen() {
            self.trouble(format!("Could not open the log file: {error}"));
        }
        self.log.say(&Happened::LogsReopened);
    }
}
