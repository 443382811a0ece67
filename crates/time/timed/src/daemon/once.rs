//! `-q` and `-Q`: measure, say it, set the clock or not, and end.

use super::Daemon;
use crate::events::Happened;
use std::process::ExitCode;
use std::time::Duration;

/// Good replies that `-q` and `-Q` wait for: the least with which one that is off shows.
const ONCE_SAMPLES: u64 = 3;

impl Daemon {
    /// Ends when a source has answered often enough, or when time is up.
    pub(super) fn finish_once(&mut self, now: Duration) {
        let local = self.local_now();
        let tracking = self.keeper.tracking(local);
        let selected = tracking.selected.and_then(|id| self.keeper.source(id));
        let samples = selected.map_or(0, |source| source.filter().total());
        // `maxsamples 1`: who wants no more waits for no more.
        let wanted = match selected.map_or(0, |source| source.settings().samples_max as u64) {
            0 => ONCE_SAMPLES,
            most => most.min(ONCE_SAMPLES),
        };
        let time_is_up = self.ends_at.is_some_and(|at| now >= at);
        if samples < wanted && !(time_is_up && samples > 0) {
            if time_is_up {
                self.log.say(&Happened::NoSuitableSource);
                self.stopping = Some(ExitCode::FAILURE);
            }
            return;
        }
        let seconds = tracking.offset + self.clock.ahead_of_kernel();
        let how = if self.sets_once { " (step)" } else { " (ignored)" };
        self.log.say(&Happened::Wrong { seconds, how });
        self.stopping = Some(ExitCode::SUCCESS);
        if self.sets_once
            && let Err(error) = sys::clock::step((seconds * 1e9).round() as i64)
        {
            self.log.say(&Happened::ClockFailed { why: error.to_string() });
            self.stopping = Some(ExitCode::FAILURE);
        }
    }
}
