//! The role `queue`: owns the spool. One loop: take what came, write it, sync once for all, answer, hand out what is due.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use control::{Refusal, Request, Value, json};
use layout::Layout;
use mail_core::destination::{Destination, Detail};
use mail_core::life::{Action, Change, Life, Outcome, Standing};
use mail_core::route::Route;
use mail_core::{Address, QueueId};
use postfix_conf::Settings;
use selflog::{SelfLog, Severity};
use spool::{Directory, Envelope, Limits, Recipient, Spool, SpoolError, State, StateKind};
use sys::poll::Interest;

use crate::channel::Channel;
use crate::events::{Accepted, Delivery};
use crate::protocol::{Attempt, Child, FromQueue, Job, JobRecipient, Submission, ToQueue, Verdict};
use crate::status::{self, Counters};
use crate::{config, reports};

/// Messages handed out at once: enough to keep every worker busy, few enough that a restart repeats little.
const IN_FLIGHT_MAX: usize = 2000;
/// Octets of content that wait in a channel before no more is handed out.
const UNSENT_OCTETS_MAX: usize = 32 * 1024 * 1024;
/// How long a change may wait for the next sync: it is only needed to avoid a second delivery.
const LAZY_SYNC: Duration = Duration::from_millis(200);
/// How often slow work (compaction, owed changes, reports that could not be queued) is looked at.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How long the other roles have to end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// What the queue is connected to.
pub struct Ends {
    /// The role `smtp`.
    pub smtp: UnixStream,
    /// The role `deliver`.
    pub deliver: UnixStream,
    /// The control socket.
    pub control: control::Server,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(layout: &Layout, settings: Settings, ends: Ends, log: SelfLog) -> Result<(), String> {
    let directory = Directory::open(&settings.queue_dir()).map_err(|e| match e.kind() {
        io::ErrorKind::WouldBlock => {
            format!("another maild has the queue {}", settings.queue_dir().display())
        }
        _ => format!("cannot open the queue {}: {e}", settings.queue_dir().display()),
    })?;
    let (spool, report) =
        Spool::open(directory, sys::random::u64(), Limits::default()).map_err(|e| e.to_string())?;
    for damage in &report.damage {
        let spool::Damage { segment, offset, octets, id } = damage;
        let shown = |id: u64| if settings.long_queue_ids { QueueId(id).long() } else { QueueId(id).short() };
        let whose = id.map_or_else(String::new, |id| format!(" (of the message {})", shown(id)));
        let text = format!(
            "the queue is damaged: {octets} bytes at byte {offset} of {}{whose} cannot be read; the rest is used",
            settings.queue_dir().join(format!("{segment:016x}.seg")).display()
        );
        log.note("queue.damaged", Severity::Crit, text);
    }
    let Ends { smtp, deliver, mut control } = ends;
    let mut queue = Queue {
        layout: layout.clone(),
        settings,
        spool,
        lives: BTreeMap::new(),
        due: BTreeSet::new(),
        in_flight: 0,
        smtp: Channel::new(smtp).map_err(|e| e.to_string())?,
        deliver: Channel::new(deliver).map_err(|e| e.to_string())?,
        log,
        counters: Counters::default(),
        listening: Vec::new(),
        is_listening: false,
        is_delivering: false,
        waiting: Vec::new(),
        reports_due: Vec::new(),
        reports_unsynced: Vec::new(),
        last_sync: Instant::now(),
        last_housekeeping: Instant::now(),
        next_scan: 0,
        last_id: None,
    };
    queue.adopt();
    let wake = sys::signal::wake_fd().map_err(|e| e.to_string())?;
    let mut ready = Vec::new();
    loop {
        queue.work();
        if queue.smtp.is_closed() || queue.deliver.is_closed() {
            return Err("a part of the daemon ended unexpectedly".to_owned());
        }
        let mut wanted = vec![(wake, Interest::READ), queue.smtp.interest(), queue.deliver.interest()];
        // Whoever asks for the first time wants to know whether mail is taken and delivered: until it is, the question waits.
        // A configuration that changes before every role has read it would also end a role that had not.
        if queue.is_listening && queue.is_delivering {
            wanted.extend(control.descriptors());
        }
        match sys::poll::poll(&wanted, &mut ready, Some(queue.patience())) {
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return Err(e.to_string()),
            _ => {}
        }
        sys::signal::drain_wake(wake);
        if sys::signal::take(sys::signal::TERM) || sys::signal::take(sys::signal::INT) {
            return queue.end();
        }
        if sys::signal::take(sys::signal::HUP)
            && let Err(refusal) = queue.reload()
        {
            config::tell_refused(&queue.log, &refusal.error);
        }
        if queue.is_listening && queue.is_delivering {
            control.serve(|request| queue.answer(request));
        }
    }
}

struct Queue {
    layout: Layout,
    settings: Settings,
    spool: Spool<Directory>,
    lives: BTreeMap<u64, Life>,
    /// When which message is due, in seconds since 1970.
    due: BTreeSet<(i64, u64)>,
    in_flight: usize,
    smtp: Channel,
    deliver: Channel,
    log: SelfLog,
    counters: Counters,
    listening: Vec<String>,
    /// The role `smtp` has said that it listens.
    is_listening: bool,
    /// The role `deliver` has said that it takes jobs.
    is_delivering: bool,
    /// Submissions that wait for the sync.
    waiting: Vec<Waiting>,
    /// Messages whose reports have to be written.
    reports_due: Vec<u64>,
    /// Messages whose reports are written and wait for the sync.
    reports_unsynced: Vec<u64>,
    last_sync: Instant,
    last_housekeeping: Instant,
    /// Deferred mail is looked at from this time on (`queue_run_delay`).
    next_scan: i64,
    last_id: Option<QueueId>,
}

struct Waiting {
    from: Origin,
    token: u64,
    id: u64,
}

/// The parts of an SMTP reply that refuses: code, enhanced code, text.
type No = (u16, (u8, u16, u16), String);

#[derive(Debug, Clone, Copy)]
enum Origin {
    Smtp,
    Maildrop,
}

/// What the queue keeps of a message's header, as JSON in the spool's attributes.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct Marks {
    message_id: String,
    alert_id: Option<String>,
    /// True for a report that we wrote.
    report: bool,
}

fn now_usec() -> u64 {
    u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0)
}

fn now_seconds() -> i64 {
    sys::clock::realtime_ns() / 1_000_000_000
}

fn seconds_of(usec: u64) -> i64 {
    i64::try_from(usec / 1_000_000).unwrap_or(i64::MAX)
}

impl Queue {
    /// Takes over what an earlier run left.
    fn adopt(&mut self) {
        self.last_id = Some(QueueId(self.spool.last_id()));
        let ids: Vec<u64> = self.spool.entries().map(|(id, _)| id).collect();
        for id in ids {
            let Some(entry) = self.spool.entry(id) else { continue };
            let standing = |r: &Recipient| match r.state.kind {
                StateKind::Waiting => Standing::Waiting { next: r.state.next, attempts: r.state.attempts },
                StateKind::Failed => Standing::Failed,
                StateKind::Delivered | StateKind::Reported | StateKind::Expanded => Standing::Closed,
            };
            let envelope = &entry.envelope;
            let standings = envelope.recipients.iter().map(standing).collect();
            let mut life =
                Life::new(seconds_of(envelope.arrival_usec), envelope.sender.is_empty(), standings);
            let actions = life.settle();
            self.lives.insert(id, life);
            self.perform(id, actions);
            self.schedule(id);
        }
    }

    /// One round.
    fn work(&mut self) {
        self.smtp.fill();
        self.deliver.fill();
        while let Some((message, content)) = self.smtp.next() {
            self.hear(Origin::Smtp, message, &content);
        }
        while let Some((message, content)) = self.deliver.next() {
            self.hear(Origin::Maildrop, message, &content);
        }
        self.write_reports();
        let prompt = !self.waiting.is_empty() || !self.reports_unsynced.is_empty();
        if prompt || (self.spool.needs_sync() && self.last_sync.elapsed() >= LAZY_SYNC) {
            self.sync();
        }
        self.hand_out();
        self.smtp.flush();
        self.deliver.flush();
        if self.last_housekeeping.elapsed() >= HOUSEKEEPING {
            self.last_housekeeping = Instant::now();
            self.log.flush();
            if self.spool.owes() {
                self.sync();
            }
            if let Err(e) = self.spool.compact() {
                self.log.note("queue.compaction", Severity::Err, format!("cannot compact the queue: {e}"));
            }
        }
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Duration {
        if self.spool.needs_sync() {
            return LAZY_SYNC;
        }
        let now = now_seconds();
        let next = self.due.first().map_or(60, |(at, _)| (at.max(&self.next_scan) - now).clamp(0, 60));
        let pending = self.log.flush() > 0 || self.spool.owes() || !self.reports_due.is_empty();
        let room = self.in_flight < IN_FLIGHT_MAX;
        match (pending, next) {
            (true, _) => HOUSEKEEPING,
            (false, 0) if room => Duration::from_millis(20),
            (false, seconds) => Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(60)),
        }
    }

    fn hear(&mut self, from: Origin, message: ToQueue, content: &[u8]) {
        match message {
            ToQueue::Submit(submission) => {
                let token = submission.token;
                match self.submit(submission, content) {
                    Ok(id) => self.waiting.push(Waiting { from, token, id }),
                    Err((code, dsn, text)) => {
                        self.counters.refused += 1;
                        self.reply(from, &FromQueue::Refused { token, code, dsn, text });
                    }
                }
            }
            ToQueue::Attempted { id, attempts } => {
                self.in_flight = self.in_flight.saturating_sub(attempts.len());
                for attempt in attempts {
                    self.attempted(id, attempt);
                }
                self.schedule(id);
            }
            ToQueue::Listening(addresses) => {
                self.listening = addresses;
                self.is_listening = true;
            }
            ToQueue::Delivering => self.is_delivering = true,
            ToQueue::Malformed(count) => self.counters.malformed += count,
        }
    }

    fn reply(&mut self, to: Origin, message: &FromQueue) {
        let channel = match to {
            Origin::Smtp => &mut self.smtp,
            Origin::Maildrop => &mut self.deliver,
        };
        channel.send(message, &[]).ok();
    }

    /// Writes a submission to the spool; the error is an SMTP reply.
    fn submit(&mut self, submission: Submission, content: &[u8]) -> Result<u64, No> {
        let mut marks = Marks::default();
        let (mut hops, mut has_date, mut has_from) = (0, false, false);
        for field in message::fields(content) {
            if field.is("Received") {
                hops += 1;
            } else if field.is("Message-ID") {
                marks.message_id = field.unfolded();
            } else if field.is("X-Banto-Alert") && submission.house {
                marks.alert_id = Some(field.unfolded());
            } else if field.is("Date") {
                has_date = true;
            } else if field.is("From") {
                has_from = true;
            }
        }
        if hops > self.settings.hopcount_limit {
            return Err((554, (5, 4, 6), "Error: too many hops".to_owned()));
        }
        let id = self.next_id();
        let queue_id = self.shown(id);
        let date = message::rfc5322_date(&jiff::Zoned::now());
        let mut head = format!(
            "Received: {}\r\n\tby {} ({}) with {} id {queue_id};\r\n\t{date}\r\n",
            submission.origin, self.settings.myhostname, self.settings.mail_name, submission.with
        );
        if submission.trusted {
            if marks.message_id.is_empty() {
                marks.message_id = format!("<{queue_id}.{}@{}>", id.0, self.settings.myhostname);
                head.push_str(&format!("Message-Id: {}\r\n", marks.message_id));
            }
            if !has_date {
                head.push_str(&format!("Date: {date}\r\n"));
            }
            if !has_from {
                let from = if submission.sender.is_empty() { "MAILER-DAEMON" } else { &submission.sender };
                head.push_str(&format!("From: {}\r\n", message::header_value(from)));
            }
        }
        // A body without any header must not be taken for one.
        if message::body_offset(content) == 0 {
            head.push_str("\r\n");
        }
        self.append(id, submission.sender, submission.recipients, &marks, &[head.as_bytes(), content])
            .map_err(|error| match error {
                SpoolError::TooLarge => (552, (5, 3, 4), "Error: message too large".to_owned()),
                SpoolError::Storage(e) if e.kind() == io::ErrorKind::StorageFull => {
                    (452, (4, 3, 1), "Insufficient system storage".to_owned())
                }
                _ => (451, (4, 3, 0), "Error: queue file write error".to_owned()),
            })?;
        Ok(id.0)
    }

    fn next_id(&mut self) -> QueueId {
        let id = QueueId::next(self.last_id, now_usec());
        self.last_id = Some(id);
        id
    }

    fn shown(&self, id: QueueId) -> String {
        if self.settings.long_queue_ids { id.long() } else { id.short() }
    }

    fn append(
        &mut self,
        id: QueueId,
        sender: String,
        recipients: Vec<String>,
        marks: &Marks,
        content: &[&[u8]],
    ) -> Result<(), SpoolError> {
        let mut seen = std::collections::HashSet::new();
        let recipients: Vec<Recipient> = recipients
            .into_iter()
            .filter(|r| seen.insert(r.to_ascii_lowercase()))
            .map(|r| Recipient { address: r.clone(), original: r, ..Recipient::default() })
            .collect();
        let life = Life::fresh(seconds_of(id.0), sender.is_empty(), recipients.len());
        let attributes = serde_json::to_vec(marks).unwrap_or_default();
        let envelope = Envelope { arrival_usec: id.0, sender, attributes, recipients };
        self.spool.append(id.0, envelope, content)?;
        self.lives.insert(id.0, life);
        Ok(())
    }

    /// Makes everything durable and answers those who wait for it.
    fn sync(&mut self) {
        self.last_sync = Instant::now();
        let result = self.spool.sync();
        let waiting = std::mem::take(&mut self.waiting);
        let reported = std::mem::take(&mut self.reports_unsynced);
        if let Err(error) = result {
            self.log.note("queue.sync", Severity::Crit, format!("cannot make the queue durable: {error}"));
            for Waiting { from, token, id } in waiting {
                self.lives.remove(&id);
                self.counters.refused += 1;
                let text = "Error: queue file write error".to_owned();
                self.reply(from, &FromQueue::Refused { token, code: 451, dsn: (4, 3, 0), text });
            }
            self.lives.retain(|id, _| self.spool.entry(*id).is_some());
            self.reports_due.extend(reported);
            return;
        }
        for Waiting { from, token, id } in waiting {
            let queue_id = self.shown(QueueId(id));
            self.announce(id, &queue_id);
            self.counters.accepted += 1;
            self.reply(from, &FromQueue::Accepted { token, queue_id });
            self.due.insert((0, id));
        }
        for id in reported {
            let actions = self.lives.get_mut(&id).map(Life::reported).unwrap_or_default();
            self.perform(id, actions);
            self.schedule(id);
        }
    }

    fn announce(&self, id: u64, queue_id: &str) {
        let Some(entry) = self.spool.entry(id) else { return };
        let marks = marks_of(&entry.envelope);
        self.log.say(&Accepted {
            syslog_name: &self.settings.syslog_name,
            queue_id,
            message_id: &marks.message_id,
            sender: &entry.envelope.sender,
            size: entry.content_octets,
            recipients: entry.envelope.recipients.len(),
            alert_id: marks.alert_id.as_deref(),
        });
    }

    /// Puts a message where its next attempt says.
    fn schedule(&mut self, id: u64) {
        if let Some(next) = self.lives.get(&id).and_then(Life::next_attempt) {
            self.due.insert((next, id));
        }
    }

    /// Gives work to the other roles.
    fn hand_out(&mut self) {
        let now = now_seconds();
        while let Some(&(at, id)) = self.due.first() {
            let full = self.in_flight >= IN_FLIGHT_MAX
                || self.deliver.unsent_octets() + self.smtp.unsent_octets() > UNSENT_OCTETS_MAX;
            // Deferred mail (`at` is a time) moves in runs, as queue_run_delay says; fresh mail at once.
            if at > now || full || (at > 0 && now < self.next_scan) {
                break;
            }
            self.due.pop_first();
            self.hand_out_one(id, now);
            if self.due.first().is_none_or(|(at, _)| *at > now) && at > 0 {
                self.next_scan = now + self.settings.queue_run_delay.min(self.settings.schedule.backoff_min);
            }
        }
    }

    fn hand_out_one(&mut self, id: u64, now: i64) {
        let Some(due) = self.lives.get_mut(&id).map(|life| life.take_due(now)).filter(|d| !d.is_empty())
        else {
            return;
        };
        let content = match self.spool.content(id) {
            Ok(content) => content,
            Err(error) => {
                self.log.note(
                    "queue.damaged",
                    Severity::Crit,
                    format!("{}: {error}", self.shown(QueueId(id))),
                );
                for index in due {
                    let text = "the queued message cannot be read back";
                    self.attempted(id, Attempt::failed(index, true, "4.3.0", text, "none"));
                }
                return;
            }
        };
        let Some(entry) = self.spool.entry(id) else { return };
        let envelope = &entry.envelope;
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        let mut nowhere = Vec::new();
        for index in due {
            let Some(recipient) = envelope.recipients.get(index) else { continue };
            let job = JobRecipient {
                index,
                address: recipient.address.clone(),
                original: recipient.original.clone(),
                detail: recipient.detail.clone(),
            };
            let is_remote = match job.detail().destination {
                Destination::Remote => true,
                Destination::Unexpanded => match Address::parse(&recipient.address) {
                    Ok(address) => !matches!(self.settings.router.route(&address), Route::Local(_)),
                    Err(_) => false,
                },
                _ => false,
            };
            if !is_remote {
                local.push(job);
            } else if self.settings.router.relayhost.is_some() {
                remote.push(job);
            } else {
                let text = "mail to other hosts needs relayhost in main.cf";
                nowhere.push(Attempt::failed(index, false, "5.4.4", text, "none"));
            }
        }
        let job = |sender: &str, recipients: Vec<JobRecipient>| Job {
            id,
            queue_id: String::new(),
            sender: sender.to_owned(),
            arrival_usec: envelope.arrival_usec,
            recipients,
        };
        let queue_id = self.shown(QueueId(id));
        let mut sent = 0;
        if !local.is_empty() {
            sent += local.len();
            let job = Job { queue_id: queue_id.clone(), ..job(&envelope.sender, local) };
            self.deliver.send(&FromQueue::Attempt(job), &content).ok();
        }
        // One transaction for each sender (an owner- alias has its own) and each list of Delivered-To lines.
        let mut groups: BTreeMap<(String, Vec<String>), Vec<JobRecipient>> = BTreeMap::new();
        for recipient in remote {
            let Detail { sender, via, .. } = recipient.detail();
            let sender = sender.unwrap_or_else(|| envelope.sender.clone());
            groups.entry((sender, via)).or_default().push(recipient);
        }
        for ((sender, via), recipients) in groups {
            sent += recipients.len();
            let job = Job { queue_id: queue_id.clone(), ..job(&sender, recipients) };
            let mut forwarded = Vec::new();
            for address in &via {
                forwarded.extend_from_slice(
                    format!("Delivered-To: {}\r\n", message::header_value(address)).as_bytes(),
                );
            }
            forwarded.extend_from_slice(&content);
            self.smtp.send(&FromQueue::Attempt(job), &forwarded).ok();
        }
        self.in_flight += sent;
        for attempt in nowhere {
            self.attempted(id, attempt);
        }
    }

    /// Notes what came of an attempt.
    fn attempted(&mut self, id: u64, attempt: Attempt) {
        let now = now_seconds();
        let Some(life) = self.lives.get_mut(&id) else { return };
        let outcome = match &attempt.verdict {
            Verdict::Sent => Outcome::Sent,
            Verdict::Deferred => Outcome::Deferred,
            Verdict::Failed => Outcome::Failed,
            Verdict::Expanded(children) => Outcome::Expanded { children: children.len() },
        };
        let actions = life.finished(attempt.index, outcome, now, &self.settings.schedule);
        let expired = actions.iter().any(
            |a| matches!(a, Action::Record { recipient, change: Change::Failed { expired: true } } if *recipient == attempt.index),
        );
        self.record_delivery(id, &attempt, expired);
        let index = attempt.index;
        let mut rest = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::Record { recipient, change } if recipient == index => {
                    self.write_change(id, index, change, &attempt);
                }
                other => rest.push(other),
            }
        }
        self.perform(id, rest);
    }

    fn write_change(&mut self, id: u64, index: usize, change: Change, attempt: &Attempt) {
        let (kind, next, attempts) = match change {
            Change::Delivered => (StateKind::Delivered, 0, 0),
            Change::Deferred { next, attempts } => (StateKind::Waiting, next, attempts),
            Change::Failed { .. } => (StateKind::Failed, 0, 0),
            Change::Expanded => (StateKind::Expanded, 0, 0),
            Change::Reported => (StateKind::Reported, 0, 0),
        };
        let original =
            self.spool.entry(id).and_then(|e| e.envelope.recipients.get(index)).map(|r| r.original.clone());
        let child = |c: &Child| Recipient {
            address: c.address.clone(),
            original: original.clone().unwrap_or_default(),
            detail: c.detail.clone(),
            state: State::default(),
        };
        let added = match &attempt.verdict {
            Verdict::Expanded(children) => children.iter().map(child).collect(),
            _ => Vec::new(),
        };
        let state = State { kind, next, attempts, dsn: attempt.dsn.clone(), reason: attempt.text.clone() };
        self.spool.change(id, &[spool::Change { recipient: index, state }], added).ok();
    }

    /// Does what a life asks for, apart from the record of the attempt itself.
    fn perform(&mut self, id: u64, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Record { recipient, change } => {
                    let recipients = self.spool.entry(id).map(|e| &e.envelope.recipients);
                    let Some(old) = recipients.and_then(|r| r.get(recipient)).map(|r| r.state.clone()) else {
                        continue;
                    };
                    let kind = if change == Change::Reported { StateKind::Reported } else { old.kind };
                    let state = State { kind, ..old };
                    self.spool.change(id, &[spool::Change { recipient, state }], Vec::new()).ok();
                }
                Action::Report(_) => self.reports_due.push(id),
                Action::Discard(_) => {
                    let text =
                        format!("{}: a report that cannot be delivered is dropped", self.shown(QueueId(id)));
                    self.log.note("mail.dropped", Severity::Warning, text);
                }
                Action::Remove => {
                    self.spool.remove(id).ok();
                    self.lives.remove(&id);
                }
            }
        }
    }

    /// Queues the reports that are due. What cannot be queued now is tried again.
    fn write_reports(&mut self) {
        for id in std::mem::take(&mut self.reports_due) {
            let Some(life) = self.lives.get(&id) else { continue };
            let failed = |(i, s): (usize, &Standing)| (*s == Standing::Reporting).then_some(i);
            let failed: Vec<usize> = life.standings().iter().enumerate().filter_map(failed).collect();
            let Some(entry) = self.spool.entry(id) else { continue };
            let envelope = entry.envelope.clone();
            let alert_id = marks_of(&envelope).alert_id;
            let content = self.spool.content(id).unwrap_or_default();
            let reports =
                reports::build(&self.settings, &self.shown(QueueId(id)), &envelope, &failed, &content);
            let mut written = true;
            for report in reports {
                let new = self.next_id();
                let message_id = message::field(&report.content, "Message-ID").unwrap_or_default();
                // A report about an alert belongs to the alert: it must not cause another one.
                let marks = Marks { message_id, alert_id: alert_id.clone(), report: true };
                let text =
                    format!("{}: sender delivery notification: {}", self.shown(QueueId(id)), self.shown(new));
                match self.append(new, String::new(), vec![report.to], &marks, &[&report.content]) {
                    Ok(()) => {
                        self.due.insert((0, new.0));
                        self.log.note("mail.reported", Severity::Notice, text);
                    }
                    Err(_) => written = false,
                }
            }
            if written {
                self.reports_unsynced.push(id);
            } else {
                self.reports_due.push(id);
                return;
            }
        }
    }

    fn record_delivery(&mut self, id: u64, attempt: &Attempt, expired: bool) {
        let Some(entry) = self.spool.entry(id) else { return };
        let Some(recipient) = entry.envelope.recipients.get(attempt.index) else { return };
        match &attempt.verdict {
            Verdict::Sent => self.counters.delivered += 1,
            Verdict::Failed => self.counters.bounced += 1,
            Verdict::Deferred if expired => self.counters.bounced += 1,
            Verdict::Deferred => self.counters.deferrals += 1,
            // Its destinations are recorded one by one.
            Verdict::Expanded(_) => return,
        }
        let marks = marks_of(&entry.envelope);
        let queue_id = self.shown(QueueId(id));
        let now = now_usec();
        let delivery = Delivery {
            syslog_name: &self.settings.syslog_name,
            queue_id: &queue_id,
            message_id: &marks.message_id,
            sender: &entry.envelope.sender,
            to: &recipient.address,
            original: &recipient.original,
            delay_usec: now.saturating_sub(entry.envelope.arrival_usec),
            attempt,
            expired,
            alert_id: marks.alert_id.as_deref(),
        };
        self.log.say(&delivery);
        self.counters.last = Some(json!({
            "id": queue_id, "to": recipient.address, "status": delivery.status(), "relay": attempt.relay,
            "dsn": attempt.dsn, "time_usec": now, "mailbox": attempt.mailbox,
        }));
    }

    fn answer(&mut self, request: &Request) -> Result<Value, Refusal> {
        match request.verb.as_str() {
            "status" => Ok(status::status(&self.counters, &self.spool, &self.listening)),
            "queue" => Ok(status::list(&self.spool, |id| self.shown(id))),
            "flush" | "reload" if !request.may_change() => Err(request.not_allowed()),
            "flush" => Ok(self.flush(&request.args)),
            "reload" => self.reload(),
            _ => Err(request.unknown(&["status", "queue", "flush", "reload"])),
        }
    }

    /// Makes deferred mail due at once: all of it, one message, or the messages with a recipient at one site.
    fn flush(&mut self, args: &Value) -> Value {
        let wanted_id = args["queue_id"].as_str();
        let wanted_site = args["site"].as_str().map(|s| format!("@{}", s.to_ascii_lowercase()));
        let mut flushed = 0;
        for (id, life) in &mut self.lives {
            let Some(entry) = self.spool.entry(*id) else { continue };
            let matches_id = wanted_id.is_none_or(|text| QueueId::parse(text) == Some(QueueId(*id)));
            let matches_site = wanted_site.as_ref().is_none_or(|site| {
                entry
                    .envelope
                    .recipients
                    .iter()
                    .any(|r| r.address.to_ascii_lowercase().ends_with(site.as_str()))
            });
            if matches_id && matches_site && life.next_attempt().is_some_and(|at| at > 0) {
                life.flush();
                self.due.insert((0, *id));
                flushed += 1;
            }
        }
        json!({ "flushed": flushed })
    }

    /// Reads the configuration again; what stands in use stays if it has errors.
    fn reload(&mut self) -> Result<Value, Refusal> {
        let settings = config::settings(&self.layout).map_err(|text| {
            Refusal::new(text).help("correct main.cf, then reload; the old settings stay in use")
        })?;
        let rebind = settings.smtp_listen != self.settings.smtp_listen
            || settings.queue_directory != self.settings.queue_directory;
        self.settings = settings;
        self.smtp.send(&FromQueue::Reload, &[]).ok();
        self.deliver.send(&FromQueue::Reload, &[]).ok();
        self.smtp.flush();
        self.deliver.flush();
        self.log.note("configuration.loaded", Severity::Info, "configuration loaded again");
        let note = rebind.then_some("listening addresses and queue_directory change at the next start");
        Ok(json!({ "reloaded": true, "note": note }))
    }

    /// Ends in order: no new mail, what is being delivered comes back (or is tried again at the next start), everything
    /// on disk.
    fn end(mut self) -> Result<(), String> {
        let end = Instant::now() + END_PATIENCE;
        let mut ready = Vec::new();
        // The role smtp ends once its channel does; what waits for a sync is answered first.
        self.work();
        while self.in_flight > 0 && Instant::now() < end && !self.deliver.is_closed() {
            let wanted = [self.smtp.interest(), self.deliver.interest()];
            sys::poll::poll(&wanted, &mut ready, Some(Duration::from_millis(100))).ok();
            self.deliver.fill();
            while let Some((message, content)) = self.deliver.next() {
                if matches!(message, ToQueue::Attempted { .. }) {
                    self.hear(Origin::Maildrop, message, &content);
                }
            }
            self.smtp.fill();
            while let Some((message, content)) = self.smtp.next() {
                if matches!(message, ToQueue::Attempted { .. }) {
                    self.hear(Origin::Smtp, message, &content);
                }
            }
            self.deliver.flush();
        }
        self.write_reports();
        let result = self.spool.sync().map_err(|e| e.to_string());
        // Whoever has the right to, leaves nothing that looks as if somebody listened.
        std::fs::remove_file(smtp_proto::submission_socket(&self.layout)).ok();
        self.log.note("daemon.stopped", Severity::Info, "maild stopped");
        self.log.flush();
        result.map(drop)
    }
}

fn marks_of(envelope: &Envelope) -> Marks {
    serde_json::from_slice(&envelope.attributes).unwrap_or_default()
}
