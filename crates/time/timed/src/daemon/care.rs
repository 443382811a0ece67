//! The care of sources: bad servers are replaced by other addresses of their name, names are looked up again, and the options
//! of the selection follow from all sources together.

use super::{Daemon, monotonic};
use crate::events::Happened;
use ntp_proto::ReferenceId;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use time_core::{AuthSelectMode, Authenticity, AuthenticityMix, Exchange, SourceId, SourceSettings, Verdict};

/// Misses in a row after which a server is no good (RFC 5905's reach register is empty by then).
const SILENT_MAX: u32 = 8;
/// Answers in a row after which one that answers and is wrong, or too far away, is no good.
const WRONG_MAX: u32 = 4;
/// Between two replacements of one name's servers (`chrony.conf(5)`: "at most once per 30 minutes").
const REPLACE_INTERVAL: Duration = Duration::from_secs(30 * 60);

impl Daemon {
    /// Counts whether a server is good for anything, and looks for another one when it was not for long.
    pub(super) fn judge_server(&mut self, index: usize) {
        let now = monotonic();
        let Some(peer) = self.peers.get_mut(index) else { return };
        let far = self.keeper.interval(peer.id, self.clock.at(sys::clock::realtime_ns()));
        let too_far = far.is_some_and(|one| one.distance > self.config.settings.max_distance);
        let is_silent = peer.client.reach() == 0 || peer.client.dismissed().is_some();
        let verdict = self.keeper.verdict(peer.id);
        let is_wrong =
            too_far || matches!(verdict, Verdict::Falseticker | Verdict::Jittery | Verdict::WrongStratum);
        peer.bad = if is_silent || is_wrong { peer.bad.saturating_add(1) } else { 0 };
        if peer.bad < if is_silent { SILENT_MAX } else { WRONG_MAX } {
            return;
        }
        let (number, id) = (peer.number, peer.id);
        let Some(wanted) = self.wanted.iter_mut().find(|wanted| wanted.number == number) else { return };
        let lately = wanted.replaced_at.is_some_and(|at| now.saturating_sub(at) < REPLACE_INTERVAL);
        if lately || wanted.due.is_some() || wanted.line.name.parse::<IpAddr>().is_ok() {
            return;
        }
        wanted.replaced_at = Some(now);
        wanted.replaces = Some(id);
        wanted.due = Some(now);
    }

    /// A name was looked up: servers that are no good, or whose address it has no more, give their place to others.
    pub(super) fn replace_servers(&mut self, index: usize, usable: &[IpAddr], now: Duration) {
        let Some(wanted) = self.wanted.get_mut(index) else { return };
        wanted.resolved_at = Some(now);
        let (number, port) = (wanted.number, wanted.line.port);
        let bad = wanted.replaces.take();
        let refreshes = std::mem::take(&mut wanted.refreshes);
        let leaves = |peer: &crate::peers::Peer| {
            peer.number == number
                && (Some(peer.id) == bad || (refreshes && !usable.contains(&peer.found_at().ip())))
        };
        let places: Vec<SourceId> =
            self.peers.iter().filter(|peer| leaves(peer)).map(|peer| peer.id).collect();
        for id in places {
            let is_free = |address: &&IpAddr| {
                let at = SocketAddr::new(**address, port);
                !self.peers.iter().any(|peer| peer.address == at || peer.found_at() == at)
            };
            let Some(with) = usable.iter().find(is_free).copied() else { return };
            let Some(place) = self.peers.iter().position(|peer| peer.id == id) else { continue };
            let Some(peer) = self.peers.get(place) else { continue };
            let (source, name) = (peer.address.ip().to_string(), peer.name.clone());
            self.remove_peer(place);
            if let Some(wanted) = self.wanted.get_mut(index) {
                wanted.missing += 1;
            }
            self.log.say(&Happened::Replaced { source, with: format!("{with} ({name})") });
            self.add_server(index, with, now);
            // The others go on telling the time: there is no hurry.
            let new = self.peers.iter_mut().find(|peer| peer.found_at().ip() == with);
            new.into_iter().for_each(|peer| peer.client.end_burst());
        }
    }

    /// `refresh`: names that were looked up long ago are looked up again, one at a time.
    pub(super) fn refresh_old_names(&mut self, now: Duration) {
        let age = Duration::from_secs(self.config.settings.refresh.into());
        if age.is_zero() {
            return;
        }
        let is_old = |at: Option<Duration>| at.is_some_and(|at| now.saturating_sub(at) >= age);
        if let Some(wanted) =
            self.wanted.iter_mut().find(|wanted| is_old(wanted.resolved_at) && wanted.due.is_none())
        {
            wanted.refresh(now);
        }
    }

    /// The choice is made anew, with the options as they are now.
    pub(crate) fn choose_again(&mut self) {
        let events = self.keeper.choose_again(&mut self.clock);
        self.handle(events);
    }

    /// Every measurement is dropped (`chronyc reset sources`).
    pub(crate) fn reset_sources(&mut self) {
        let events = self.keeper.forget_all(&mut self.clock);
        self.handle(events);
    }

    /// A source that a command brings.
    pub(crate) fn add_new_source(&mut self, line: crate::config::SourceConfig, now: Duration) {
        // The servers of `initstepslew` go when they have said enough; what is added waits with the usual sources.
        if self.initial.is_some() {
            self.config.sources.push(line);
            return;
        }
        let before = self.wanted.len();
        self.add_source(line, now);
        if let Some(wanted) = self.wanted.get(before) {
            self.log.say(&Happened::SourceListed { what: self.listing(wanted), added: true });
        }
    }

    /// The time was given by hand, in nanoseconds since the Unix epoch: what the moments say, and the frequency that the clock
    /// has now, in parts per million fast; none when the moment was not taken.
    pub(crate) fn set_by_hand(&mut self, told: i64) -> Option<(time_core::ManualFit, f64)> {
        let now = self.local_now();
        let (fit, correction) = self.manual.settime(now, told)?;
        let events = self.keeper.set_by_hand(correction.offset, correction.frequency, &mut self.clock);
        let done = events.iter().any(|event| matches!(event, time_core::Event::Updated { .. }));
        self.handle(events);
        if done {
            let frequency = correction.frequency.map_or(0.0, |(more, _)| -more);
            self.manual.moments.corrected(now, fit.offset, frequency);
        }
        Some((fit, -self.keeper.discipline().oscillator_frequency() * 1e6))
    }

    /// The clock is said to be `fast` seconds fast and to gain `gains` s/s beyond what is known (`chronyc doffset`, `dfreq`).
    pub(crate) fn shift_clock(&mut self, fast: f64, gains: f64) {
        let skew = self.keeper.discipline().skew();
        let left = self.keeper.tracking(self.local_now()).offset;
        let frequency = (gains != 0.0).then_some((-gains, skew));
        let events = self.keeper.set_by_hand(left - fast, frequency, &mut self.clock);
        self.handle(events);
    }

    /// Keeps a point of the day, if one is due.
    pub(super) fn trace_clock(&mut self, now: Duration) {
        if !self.trace.is_due(now) {
            return;
        }
        let local = self.local_now();
        let one = self.keeper.tracking(local);
        self.trace.push(crate::trace::Point {
            at: local.0 as f64 * 1e-9,
            offset: -(one.offset + self.clock.ahead_of_kernel()),
            bound: self.keeper.error_bound(local),
            frequency_ppm: -one.frequency * 1e6,
        });
    }

    /// Steps the clock by what a person says (`banto time set`).
    pub(crate) fn step_by_hand(&mut self, nanos: i64) -> Result<(), time_core::ClockError> {
        time_core::Clock::step(&mut self.clock, nanos)?;
        self.epoch = super::epoch();
        let events = self.keeper.clock_jumped(nanos);
        self.forget_readings();
        self.forget_requests();
        self.log.say(&Happened::Stepped { seconds: nanos as f64 * 1e-9 });
        self.mail_change(nanos as f64 * 1e-9);
        self.handle(events);
        Ok(())
    }

    /// `authselectmode`: what sources with and without authentication are to each other (`chrony.conf(5)`).
    pub(crate) fn choose_selection_options(&mut self) {
        let mode = match self.config.settings.auth_select_mode {
            chrony_conf::AuthSelectMode::Require => AuthSelectMode::Require,
            chrony_conf::AuthSelectMode::Prefer => AuthSelectMode::Prefer,
            chrony_conf::AuthSelectMode::Mix => AuthSelectMode::Mix,
            chrony_conf::AuthSelectMode::Ignore => AuthSelectMode::Ignore,
        };
        // Sources without an address yet count too: an open one must not be followed until the others are found.
        let lines = self.wanted.iter().map(|one| &one.line).chain(self.peers.iter().map(|peer| &peer.line));
        let mix = AuthenticityMix::of(lines.map(|line| (&line.treatment, line.authenticity())));
        let found = self.peers.iter().map(|peer| (&peer.line.treatment, peer.line.authenticity()));
        let waits = mix.authenticated && !AuthenticityMix::of(found).authenticated;
        for clock in &self.refclocks {
            let effective = mode.effective(clock.treatment, Authenticity::Local, mix, waits);
            if let Some(settings) = self.keeper.source_settings_mut(clock.id) {
                *settings = effective;
            }
        }
        for peer in &self.peers {
            let effective = mode.effective(peer.line.treatment, peer.line.authenticity(), mix, waits);
            if let Some(settings) = self.keeper.source_settings_mut(peer.id) {
                *settings = effective;
            }
        }
    }

    /// The options that hold for a source, `authselectmode` and orphan mode included.
    pub(crate) fn effective_options(&self, id: SourceId) -> SourceSettings {
        self.keeper.source(id).map(|source| *source.settings()).unwrap_or_default()
    }

    /// `local orphan`: servers of the local stratum do not have the real time, and those of a larger one have it from such a server. They
    /// are followed only while nobody else can be, and only the one of the local stratum with the smallest reference id, if that is smaller
    /// than ours.
    pub(super) fn settle_orphans(&mut self, index: usize, exchange: &Exchange) {
        let Some(local) = self.config.local.filter(|local| local.orphan) else { return };
        // Who was an orphan may have found a better source since.
        self.choose_selection_options();
        let now = self.local_now();
        let stratum_of =
            |id: SourceId| self.keeper.source(id).and_then(|source| source.last()).map(|last| last.stratum);
        let mut others_count = self.refclocks.iter().any(|clock| {
            clock.reach() != 0 && !clock.treatment.noselect && self.keeper.interval(clock.id, now).is_some()
        });
        let mut least: Option<([u8; 4], SourceId)> = None;
        let mut orphans = Vec::new();
        for (place, peer) in self.peers.iter().enumerate() {
            let stratum = if place == index { Some(exchange.stratum) } else { stratum_of(peer.id) };
            if stratum.is_none_or(|stratum| stratum < local.stratum) {
                let good = self.keeper.interval(peer.id, now).is_some() && peer.client.reach() != 0;
                others_count |= good && !peer.line.treatment.noselect;
                continue;
            }
            orphans.push(peer.id);
            let own = peer.local.map(|ip| ReferenceId::of_address(ip).0);
            let theirs = peer.reference_id().0;
            if stratum == Some(local.stratum)
                && peer.client.reach() != 0
                && own.is_some_and(|own| theirs < own)
                && least.is_none_or(|(id, _)| theirs < id)
            {
                least = Some((theirs, peer.id));
            }
        }
        for id in orphans {
            let follows = !others_count && least.is_some_and(|(_, chosen)| chosen == id);
            if let Some(settings) = self.keeper.source_settings_mut(id) {
                settings.noselect |= !follows;
            }
        }
    }
}
