//! `local`: when this host vouches for its own clock (`chrony.conf(5)`).

use chrony_conf::LocalReference;
use std::time::Duration;

/// What `local` waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalGate {
    started: Duration,
    last_update: Option<Duration>,
    /// The root distance was once below `activate`.
    activated: bool,
}

impl LocalGate {
    /// The daemon has started at `now`.
    pub(crate) fn new(now: Duration) -> Self {
        Self { started: now, last_update: None, activated: false }
    }

    /// The clock was corrected.
    pub(crate) fn updated(&mut self, now: Duration) {
        self.last_update = Some(now);
    }

    /// The root distance while a source is followed, in seconds.
    pub(crate) fn saw(&mut self, distance: f64, local: Option<LocalReference>) {
        self.activated |= local.is_some_and(|local| distance < local.activate);
    }

    /// Whether `local` may take the place of a source. `distance` is that of the source that is followed; none: there is none.
    pub(crate) fn is_open(&self, local: &LocalReference, distance: Option<f64>, now: Duration) -> bool {
        if distance.is_some_and(|distance| distance <= local.distance) {
            return false;
        }
        if local.activate > 0.0 && !self.activated {
            return false;
        }
        let (since, wait) = match self.last_update {
            Some(update) => (update, local.wait_synced),
            None => (self.started, local.wait_unsynced),
        };
        now.saturating_sub(since).as_secs_f64() >= wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: local opens when no source is near enough, when it was activated, and after the time that it has to wait.
    #[test]
    fn local_waits_as_it_was_told() {
        let at = Duration::from_secs;
        let local = LocalReference {
            stratum: 10,
            distance: 1.0,
            orphan: false,
            activate: 0.0,
            wait_synced: 0.0,
            wait_unsynced: 0.0,
        };
        let mut gate = LocalGate::new(at(100));
        assert!(gate.is_open(&local, None, at(100)));
        assert!(!gate.is_open(&local, Some(0.5), at(100)));
        assert!(gate.is_open(&local, Some(1.5), at(100)));
        let waits = LocalReference { wait_unsynced: 300.0, wait_synced: 50.0, ..local };
        assert!(!gate.is_open(&waits, None, at(399)));
        assert!(gate.is_open(&waits, None, at(400)));
        gate.updated(at(500));
        assert!(!gate.is_open(&waits, None, at(549)));
        assert!(gate.is_open(&waits, None, at(550)));
        let careful = LocalReference { activate: 0.1, ..local };
        assert!(!gate.is_open(&careful, None, at(999)));
        gate.saw(0.2, Some(careful));
        assert!(!gate.is_open(&careful, None, at(999)));
        gate.saw(0.05, Some(careful));
        assert!(gate.is_open(&careful, None, at(999)));
    }
}
