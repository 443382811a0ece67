//! The loop: journal, timers, control socket, signals, and what became of mails.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alert_core::{Action, CLOCK_RULE, Engine, Heard, Letterhead};
use banto_conf::Settings;
use control::{Refusal, Request, Server, Value, json};
use layout::Layout;
use record::UnixMicros;
use selflog::{Facility, SelfLog, Severity};
use sys::fd::Waker;
use sys::poll::{Interest, Readiness};

use crate::events::{Gap, HandedOver, NotHandedOver, Refused};
use crate::follow::Follower;
use crate::handover::{HandOver, NotTaken, Outcome, default_command};
use crate::store::Store;

/// The fallback where a change of the journal wakes nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Records handled before signals and the control socket are looked at again.
const BATCH_RECORDS: usize = 1000;

/// The position is saved after so many records that matched nothing, or when the journal is read to its end for the first time since.
const RECORDS_UNSAVED_MAX: u64 = 10_000;

/// A pause between two records about gaps: each is an alert of its own, and one gap may be read in pieces.
const GAP_PAUSE: Duration = Duration::from_secs(5);

/// Mails that the control socket tells of.
const RECENT_MAX: usize = 64;

/// How long mails that are being handed over may take at the end.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// The daemon.
pub struct Daemon {
    layout: Layout,
    command: Vec<OsString>,
    engine: Engine,
    store: Store,
    follower: Follower,
    hand_over: HandOver,
    waker: Arc<Waker>,
    log: SelfLog,
    counts: Counts,
    /// Records that were gone before they were read and have not been told of, and when a gap was told last.
    untold: u64,
    told: Option<Instant>,
    /// The id of the mail that the thread has now.
    under_way: Option<String>,
    recent: VecDeque<Recent>,
    /// Why the latest attempt failed that is to be made again; none since one succeeded.
    waiting_because: Option<String>,
    /// Why the latest mail was refused for good.
    failed_because: Option<String>,
}

#[derive(Default)]
struct Counts {
    records: u64,
    /// What of [`Follower::missed`] and [`Follower::damaged`] is in `Daemon::untold` or told.
    missed: u64,
    own_echoes: u64,
    sent: u64,
    failed_attempts: u64,
    unsaved: u64,
    save_errors: u64,
}

/// A mail that was handed over or is waiting, for whoever asks.
struct Recent {
    id: String,
    rule: String,
    nonce: Option<String>,
    sent: bool,
    error: Option<String>,
}

impl Daemon {
    /// Reads the state, opens the journal; nothing is handled yet.
    pub fn start(layout: &Layout, settings: Settings) -> io::Result<Self> {
        let log = SelfLog::new("alertd", Facility::DAEMON, &syslog_proto::native_socket(layout));
        let store = Store::new(&crate::state_path(layout))?;
        let (state, told) = store.load()?;
        if let Some(told) = told {
            log.note("state.damaged", Severity::Err, told);
        }
        let follower = Follower::new(&journal_file::journal_dir(layout), state.cursor.as_deref(), now());
        let letterhead = letterhead(layout, &settings);
        let command = command(layout, &settings);
        let engine =
            Engine::new(settings.rules, settings.doctor_to, settings.mails_per_hour_max, letterhead, state);
        let mut engine = engine;
        if let Ok(rule) = crate::clock::rule(layout) {
            engine.set_rule(CLOCK_RULE, rule);
        }
        let waker = Arc::new(Waker::new()?);
        let hand_over = HandOver::start(waker.clone())?;
        Ok(Self {
            layout: layout.clone(),
            command,
            engine,
            store,
            follower,
            hand_over,
            waker,
            log,
            counts: Counts::default(),
            untold: 0,
            told: None,
            under_way: None,
            recent: VecDeque::new(),
            waiting_because: None,
            failed_because: None,
        })
    }

    /// Runs until SIGTERM or SIGINT.
    pub fn run(mut self) -> io::Result<()> {
        for signal in [sys::signal::TERM, sys::signal::INT, sys::signal::HUP] {
            sys::signal::catch(signal)?;
        }
        let wake = sys::signal::wake_fd()?;
        let mut server = Server::bind(&control::socket_path(&self.layout, "alertd"))?;
        let rules = self.engine.rules().len();
        self.log.note("alertd.started", Severity::Info, format!("alert daemon started with {rules} rules"));
        let mut ready: Vec<Readiness> = Vec::new();
        sys::memory::drop_start_pages();
        while !(sys::signal::take(sys::signal::TERM) || sys::signal::take(sys::signal::INT)) {
            if sys::signal::take(sys::signal::HUP) {
                let _ = self.reload();
            }
            let more = self.read_journal();
            self.make_due();
            self.give_letter();
            let timeout = if more { Duration::ZERO } else { self.timeout() };
            {
                let waker = self.waker.clone();
                let mut wanted = vec![(wake, Interest::READ), (waker.as_fd(), Interest::READ)];
                if let Some(watch) = self.follower.watch() {
                    wanted.push((watch.as_fd(), Interest::READ));
                }
                wanted.extend(server.descriptors());
                match sys::poll::poll(&wanted, &mut ready, Some(timeout)) {
                    Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                    _ => {}
                }
            }
            sys::signal::drain_wake(wake);
            self.waker.drain();
            while let Some(outcome) = self.hand_over.outcome() {
                self.take_outcome(outcome);
            }
            server.serve(|request| self.answer(request));
            self.log.flush();
            if let Err(error) = self.follower.refresh() {
                self.log.note(
                    "journal.unreadable",
                    Severity::Err,
                    format!("cannot follow the journal: {error}"),
                );
            }
        }
        for outcome in self.hand_over.finish(END_PATIENCE) {
            self.take_outcome(outcome);
        }
        self.log.note("alertd.ended", Severity::Info, "alert daemon ends");
        self.save();
        Ok(())
    }

    fn timeout(&self) -> Duration {
        let due = self.engine.next_due().map(|due| Duration::from_micros(due.0.saturating_sub(now().0)));
        // A mail under way is due and has been given: its outcome wakes us.
        due.filter(|due| !due.is_zero()).map_or(LOOK_AGAIN, |due| due.min(LOOK_AGAIN))
    }

    /// Handles what the journal has; true when there may be more.
    fn read_journal(&mut self) -> bool {
        let mut actions = Vec::new();
        let mut read = 0;
        while read < BATCH_RECORDS {
            let Some((cursor, record)) = self.follower.next() else { break };
            read += 1;
            let ours = self.is_ours(&record);
            if ours && crate::clock::claims_change(&record) {
                self.read_clock_rule();
            }
            if self.engine.record(now(), &cursor, &record, ours, &mut actions) == Heard::OwnEcho {
                self.counts.own_echoes += 1;
            }
        }
        self.counts.records += read as u64;
        self.tell_gap();
        self.counts.unsaved += read as u64;
        if !actions.is_empty() || self.counts.unsaved >= RECORDS_UNSAVED_MAX {
            self.save();
        }
        self.note_recent(actions);
        read == BATCH_RECORDS
    }

    /// Says that records were deleted (by the journal's limits, or by hand) or became unreadable before they were looked at: an alert
    /// may be among them, so it is a record that rules match.
    fn tell_gap(&mut self) {
        let missed = self.follower.missed() + self.follower.damaged();
        self.untold += missed - self.counts.missed;
        self.counts.missed = missed;
        if self.untold == 0 || self.told.is_some_and(|told| told.elapsed() < GAP_PAUSE) {
            return;
        }
        self.log.say(&Gap(std::mem::take(&mut self.untold)));
        self.told = Some(Instant::now());
    }

    /// Whether the house itself wrote the record: `_UID` is the log daemon's word for what the kernel said, no sender can state it.
    /// Asked only for records that claim it.
    fn is_ours(&self, record: &record::Record) -> bool {
        let claims = ["BANTO_ALERT_ID", "BANTO_DOCTOR"].iter().any(|name| record.field(name).is_some());
        let uid = || record.text("_UID").and_then(|text| text.parse().ok());
        if claims {
            return uid().is_some_and(|uid| control::is_house(&self.layout, uid));
        }
        crate::clock::claims_change(record)
            && uid().is_some_and(|uid| crate::clock::is_time_daemon(&self.layout, uid))
    }

    /// Who is told of a change of the clock, by chrony.conf as it is now: the time daemon may have been started anew with another.
    fn read_clock_rule(&mut self) {
        if let Ok(rule) = crate::clock::rule(&self.layout) {
            self.engine.set_rule(CLOCK_RULE, rule);
        }
    }

    fn make_due(&mut self) {
        let mut actions = Vec::new();
        self.engine.due(now(), &mut actions);
        if !actions.is_empty() {
            self.save();
        }
        self.note_recent(actions);
    }

    fn note_recent(&mut self, actions: Vec<Action>) {
        for action in actions {
            let (Action::SendFirst(letter) | Action::SendDigest(letter)) = action else { continue };
            if self.recent.len() >= RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(Recent {
                id: letter.id,
                rule: letter.rule,
                nonce: letter.nonce,
                sent: false,
                error: None,
            });
        }
    }

    /// Gives the thread the next mail that is due; by now the state that holds it is saved. One at a time, and the next only after
    /// the outcome is saved, so that a crash doubles one mail at most.
    fn give_letter(&mut self) {
        if self.under_way.is_some() || self.engine.state().outbox.is_empty() {
            return;
        }
        let next = self.engine.to_hand_over(now()).next().cloned();
        if let Some(letter) = next {
            self.under_way = Some(letter.id.clone());
            self.hand_over.give(&self.command, letter);
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        let Outcome { letter, result } = outcome;
        self.under_way = None;
        let recent = self.recent.iter_mut().rev().find(|recent| recent.id == letter.id);
        match result {
            Ok(()) => {
                if let Some(recent) = recent {
                    recent.sent = true;
                    recent.error = None;
                }
                self.counts.sent += 1;
                self.waiting_because = None;
                self.engine.handed_over(&letter.id);
                self.log.say(&HandedOver(&letter));
                // Where that cannot be noted a whole save is tried, and its failure told.
                if self.store.left(&letter.id).is_ok() {
                    return;
                }
            }
            Err(NotTaken { why, refused }) => {
                if let Some(recent) = recent {
                    recent.error = Some(why.clone());
                }
                self.counts.failed_attempts += 1;
                if let Some(exit_code) = refused {
                    self.engine.hand_over_refused(&letter.id);
                    self.log.say(&Refused { letter: &letter, why: &why, exit_code });
                    self.failed_because = Some(why);
                } else {
                    let pause_usec = self.engine.hand_over_failed(&letter.id, now());
                    self.log.say(&NotHandedOver { letter: &letter, why: &why, pause_usec });
                    self.waiting_because = Some(why);
                }
            }
        }
        self.save();
    }

    /// Saves position and groups. A disk that takes nothing stops no alert: it is told, and tried again with the next change.
    fn save(&mut self) {
        match self.store.save(self.engine.state()) {
            Ok(()) => self.counts.unsaved = 0,
            Err(error) => {
                if self.counts.save_errors == 0 {
                    let text = format!("cannot save the position in the journal: {error}");
                    // The id keeps a full disk from making an alert of its own at every attempt.
                    self.log.say(&NotSaved(text));
                }
                self.counts.save_errors += 1;
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Result<Value, Refusal> {
        match request.verb.as_str() {
            "status" => Ok(self.status()),
            "rules" => Ok(self.rules()),
            "groups" => Ok(self.groups()),
            "mails" => Ok(self.mails()),
            "reload" if !request.may_change() => Err(request.not_allowed()),
            "reload" => self.reload(),
            _ => Err(request.unknown(&["status", "rules", "groups", "mails", "reload"])),
        }
    }

    fn status(&self) -> Value {
        let counts = self.engine.counts();
        let rules: Vec<Value> = counts
            .iter()
            .map(|rule| json!({ "name": rule.name, "matched": rule.matched, "fired": rule.fired, "suppressed": rule.suppressed, "failed": rule.failed }))
            .collect();
        json!({
            "fired": counts.iter().map(|rule| rule.fired).sum::<u64>(),
            "suppressed": counts.iter().map(|rule| rule.suppressed).sum::<u64>(),
            "waiting": self.engine.state().outbox.len(),
            "waiting_because": self.waiting_because.as_ref().filter(|_| !self.engine.state().outbox.is_empty()),
            "failed": counts.iter().map(|rule| rule.failed).sum::<u64>(),
            "failed_because": self.failed_because,
            "sent": self.counts.sent,
            "failed_attempts": self.counts.failed_attempts,
            "records": self.counts.records,
            "own_echoes": self.counts.own_echoes,
            "damaged": self.follower.damaged(),
            "missed": self.follower.missed(),
            "save_errors": self.counts.save_errors,
            "cursor": self.engine.state().cursor,
            "rules": rules,
        })
    }

    fn rules(&self) -> Value {
        self.engine
            .rules()
            .iter()
            .map(|rule| {
                json!({
                    "name": rule.name,
                    "to": rule.to,
                    "selector": rule.matching.selector.as_ref().map(ToString::to_string),
                    "unit": rule.matching.unit,
                    "identifier": rule.matching.identifier,
                    "fields": rule.matching.fields,
                    "regex": rule.matching.regex.as_ref().map(|regex| regex.as_str().to_owned()),
                    "group_by": rule.group_by,
                    "group_wait_seconds": rule.group_wait.as_secs_f64(),
                    "group_interval_seconds": rule.group_interval.as_secs_f64(),
                    "repeat_interval_seconds": rule.repeat_interval.as_secs_f64(),
                    "mails_per_hour": rule.mails_per_hour_max,
                })
            })
            .collect()
    }

    fn groups(&self) -> Value {
        let mut groups = Vec::new();
        for (rule, state) in &self.engine.state().rules {
            for (key, group) in &state.groups {
                groups.push(json!({
                    "rule": rule,
                    "key": key,
                    "count": group.count,
                    "total": group.total,
                    "first_usec": group.first_usec,
                    "last_usec": group.last_usec,
                    "due_usec": group.phase.due_usec(),
                }));
            }
        }
        Value::Array(groups)
    }

    /// The latest mails, oldest first: what the doctor asks for.
    fn mails(&self) -> Value {
        self.recent
            .iter()
            .map(|mail| json!({ "id": mail.id, "rule": mail.rule, "nonce": mail.nonce, "sent": mail.sent, "error": mail.error }))
            .collect()
    }

    /// Reads banto.toml anew. What is wrong with it is told to whoever asked and to the log, and the old rules stay.
    fn reload(&mut self) -> Result<Value, Refusal> {
        let settings = match crate::load(&self.layout) {
            Ok(settings) => settings,
            Err(report) => {
                let first = report.lines().next().unwrap_or_default().to_owned();
                self.log.note(
                    "configuration.refused",
                    Severity::Err,
                    format!("banto.toml was not taken, the old rules stay: {first}"),
                );
                return Err(Refusal::new(report)
                    .help("correct banto.toml and reload again; the old rules stay until then"));
            }
        };
        let letterhead = letterhead(&self.layout, &settings);
        self.command = command(&self.layout, &settings);
        let empty = Engine::new(Vec::new(), Vec::new(), 0, letterhead.clone(), Default::default());
        let engine = std::mem::replace(&mut self.engine, empty);
        self.engine =
            engine.reconfigured(settings.rules, settings.doctor_to, settings.mails_per_hour_max, letterhead);
        self.read_clock_rule();
        // What was refused under the old configuration is in the log and in the counts.
        self.failed_because = None;
        let rules = self.engine.rules().len();
        self.log.note("configuration.taken", Severity::Info, format!("banto.toml taken, {rules} rules"));
        Ok(json!({ "rules": rules }))
    }
}

/// The state could not be saved.
struct NotSaved(String);

impl selflog::Event for NotSaved {
    fn name(&self) -> &'static str {
        "state.not_saved"
    }

    fn severity(&self) -> Severity {
        Severity::Crit
    }

    fn message(&self) -> String {
        self.0.clone()
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("BANTO_ALERT_ID", "alertd-state");
    }
}

fn now() -> UnixMicros {
    UnixMicros(u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0))
}

fn command(layout: &Layout, settings: &Settings) -> Vec<OsString> {
    match &settings.sendmail {
        Some(words) => words.iter().map(OsString::from).collect(),
        None => default_command(layout),
    }
}

fn letterhead(layout: &Layout, settings: &Settings) -> Letterhead {
    let journalctl = match layout.house_dir() {
        Some(dir) => format!("banto --dir {} journalctl", dir.display()),
        None => "journalctl".to_owned(),
    };
    Letterhead { host: sys::host::hostname(), from: settings.from.clone(), journalctl }
}
