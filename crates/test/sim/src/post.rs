//! Alerts and mail: the alert engine with its saved state, an SMTP session over a pipe that breaks, the queue on a disk that
//! crashes, and a mailbox.

use std::collections::BTreeMap;
use std::time::Duration;

use alert_core::{Action, Engine, Heard, Letter, Letterhead, Match, Rule, Selector, State};
use mail_core::QueueId;
use mail_core::life::{Action as LifeAction, Life, Outcome};
use mail_core::retry::Schedule;
use record::UnixMicros;
use smtp_proto::{Client, ClientConfig, ClientEvent, Envelope, Event, Mailbox, Reply, Server, ServerConfig};
use spool::CrashDisk;
use spool::{Envelope as Queued, Limits, Recipient, Spool, SpoolError};
use time_core::SimRandom;

use crate::ledger::{Dead, Found};

/// Mails of the rule in an hour; histories that match more often must stay below.
pub(crate) const MAILS_PER_HOUR_MAX: u32 = 30;

pub(crate) struct Post {
    random: SimRandom,
    engine: Engine,
    /// What is on disk: cursor, groups and outbox together.
    saved: State,
    spool: Option<Spool<CrashDisk>>,
    lives: BTreeMap<u64, Life>,
    last_id: Option<QueueId>,
    /// Alert ids of the mails in the mailbox, in order, with copies.
    pub(crate) mailbox: Vec<String>,
    /// Alert ids of the mails for which the client has heard 250.
    pub(crate) acknowledged: Vec<String>,
    /// Every mail that was ever saved into an outbox, by its alert id, with the records that it tells of.
    pub(crate) told: BTreeMap<String, u64>,
    /// Matched records that the engine has handled, as the saved state has it.
    pub(crate) cuts: u64,
    pub(crate) echoes: u64,
    /// Delivery records to be logged: the alert id of each.
    pub(crate) deliveries: Vec<String>,
}

impl Post {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = SimRandom::new(seed ^ 0x706f_7374);
        let (spool, _) =
            Spool::open(CrashDisk::new(), random.next_u64(), limits()).expect("an empty disk opens");
        Self {
            random,
            engine: engine(State::default()),
            saved: State::default(),
            spool: Some(spool),
            lives: BTreeMap::new(),
            last_id: None,
            mailbox: Vec::new(),
            acknowledged: Vec::new(),
            told: BTreeMap::new(),
            cuts: 0,
            echoes: 0,
            deliveries: Vec::new(),
        }
    }

    /// Lets the queue's disk die after so many more operations.
    pub(crate) fn die_after(&mut self, operations: u64) {
        if let Some(spool) = &mut self.spool {
            let at = spool.storage_mut().operations() + operations;
            spool.storage_mut().cut_power_at(at);
        }
    }

    /// Where the alert engine stands in the journal.
    pub(crate) fn cursor(&self) -> Option<String> {
        self.engine.state().cursor.clone()
    }

    /// Handles records and what is due; the state is saved before any mail is handed over.
    pub(crate) fn watch(&mut self, records: &[Found], now: UnixMicros) {
        let mut actions = Vec::new();
        for found in records {
            let heard = self.engine.record(now, &found.cursor, &found.record, true, &mut actions);
            if found.record.field("BANTO_ALERT_ID").is_some() {
                assert_eq!(heard, Heard::OwnEcho, "a record that a mail caused made another mail");
                self.echoes += 1;
            }
        }
        self.engine.due(now, &mut actions);
        if actions
            .iter()
            .any(|action| matches!(action, Action::SendFirst(_) | Action::SendDigest(_) | Action::Persist))
            || !records.is_empty()
        {
            self.save();
        }
    }

    fn save(&mut self) {
        self.saved = self.engine.state().clone();
        for letter in &self.saved.outbox {
            self.told.insert(letter.id.clone(), letter.count);
        }
    }

    /// Hands the mails over that wait, each in an SMTP session that may break anywhere.
    pub(crate) fn hand_over(&mut self, now: UnixMicros, breaks: bool) -> Result<(), Dead> {
        let due: Vec<Letter> = self.engine.to_hand_over(now).cloned().collect();
        for letter in due {
            let cut = (breaks && self.random.uniform() < 0.1).then(|| self.random.next_u64() as usize % 2000);
            if self.submit(&letter, now, cut)? {
                self.acknowledged.push(letter.id.clone());
                self.engine.handed_over(&letter.id);
            } else {
                self.engine.hand_over_failed(&letter.id, now);
            }
            self.save();
        }
        Ok(())
    }

    /// One session; `cut` breaks the connection after so many bytes, counted in both directions. True when the client heard
    /// that the message was taken.
    fn submit(&mut self, letter: &Letter, now: UnixMicros, cut: Option<usize>) -> Result<bool, Dead> {
        let mut client = Client::new(ClientConfig { helo_name: "host.example".into(), pipelining: true });
        let mut server = Server::new(ServerConfig::default());
        let recipient = Mailbox::new("root", Some("host.example")).map_err(|_| Dead)?;
        let mut left = cut.unwrap_or(usize::MAX);
        let (mut content, mut taken) = (Vec::new(), false);
        loop {
            // From the client to the server, in pieces.
            let mut moved = false;
            while let Some(event) = client.poll() {
                moved = true;
                match event {
                    ClientEvent::Ready(_) => {
                        let recipients = vec![recipient.clone()];
                        client.begin(Envelope { sender: None, recipients, octets: None, eight_bit: true });
                    }
                    ClientEvent::SendContent => {
                        client.content(letter.text.as_bytes());
                        client.finish_content();
                    }
                    ClientEvent::Delivered(_) => taken = true,
                    ClientEvent::Recipient { .. } => {}
                    ClientEvent::Failed(_) | ClientEvent::Closed(_) | ClientEvent::Bye => return Ok(taken),
                }
            }
            if taken {
                return Ok(true);
            }
            let sent = client.take_output();
            moved |= !sent.is_empty();
            if !self.pipe(&sent, &mut left, |piece| server.receive(piece)) {
                self.cuts += 1;
                return Ok(false);
            }
            while let Some(event) = server.poll() {
                moved = true;
                let needs_answer = event.needs_answer();
                match event {
                    Event::MessageBytes(bytes) => content.extend_from_slice(&bytes),
                    Event::MessageComplete { .. } => match self.queue(&content, now) {
                        Ok(()) => server.accept(),
                        Err(SpoolError::Storage(error))
                            if error.kind() == std::io::ErrorKind::StorageFull =>
                        {
                            server.answer(&Reply::new(452, (4, 3, 1), "Insufficient system storage"));
                        }
                        Err(_) => return Err(Dead),
                    },
                    _ if needs_answer => server.accept(),
                    _ => {}
                }
            }
            let answered = server.take_output();
            moved |= !answered.is_empty();
            if !self.pipe(&answered, &mut left, |piece| client.receive(piece)) {
                self.cuts += 1;
                return Ok(false);
            }
            assert!(moved, "the session stands still");
        }
    }

    /// Moves bytes in pieces of random size; false when the connection broke on the way.
    fn pipe(&mut self, bytes: &[u8], left: &mut usize, mut to: impl FnMut(&[u8])) -> bool {
        let whole = bytes.len() <= *left;
        let mut rest = &bytes[..bytes.len().min(*left)];
        while !rest.is_empty() {
            let piece = 1 + self.random.next_u64() as usize % rest.len();
            to(&rest[..piece]);
            rest = &rest[piece..];
        }
        *left = left.saturating_sub(bytes.len());
        whole
    }

    /// Takes a message into the queue: synced when this returns.
    fn queue(&mut self, content: &[u8], now: UnixMicros) -> Result<(), SpoolError> {
        let Some(spool) = &mut self.spool else { return Err(SpoolError::Damaged(0)) };
        let last = self.last_id.max(Some(QueueId(spool.last_id())));
        let id = QueueId::next(last, now.0);
        self.last_id = Some(id);
        let recipient = Recipient { address: "root@host.example".into(), ..Recipient::default() };
        let envelope = Queued { arrival_usec: now.0, recipients: vec![recipient], ..Queued::default() };
        spool.append(id.0, envelope, &[content])?;
        spool.sync()?;
        self.lives.insert(id.0, Life::fresh((now.0 / 1_000_000) as i64, true, 1));
        Ok(())
    }

    /// Delivers what is due: into the mailbox first, synced, and only then out of the queue.
    /// `troubled`: a mailbox is locked by a reader now and then.
    pub(crate) fn deliver(&mut self, now: UnixMicros, troubled: bool) -> Result<(), Dead> {
        let seconds = (now.0 / 1_000_000) as i64;
        let Some(spool) = &mut self.spool else { return Err(Dead) };
        for (id, life) in &mut self.lives {
            for recipient in life.take_due(seconds) {
                // In the quiet time what waits must come through: the mail that tells at the full hour what was held back is as
                // good as the last thing that happens.
                let outcome = if self.random.uniform() < 0.1 && troubled {
                    Outcome::Deferred
                } else {
                    let content = spool.content(*id).map_err(|_| Dead)?;
                    let alert = message::field(&content, "X-Banto-Alert").expect("the header came through");
                    self.mailbox.push(alert.clone());
                    self.deliveries.push(alert);
                    Outcome::Sent
                };
                for action in life.finished(recipient, outcome, seconds, &Schedule::default()) {
                    if action == LifeAction::Remove {
                        spool.remove(*id).map_err(|_| Dead)?;
                    }
                }
            }
        }
        self.lives.retain(|id, _| spool.entry(*id).is_some());
        spool.sync().map_err(|_| Dead)?;
        spool.compact().map_err(|_| Dead)?;
        Ok(())
    }

    /// The daemons were killed or the power failed.
    pub(crate) fn restart(&mut self, power: bool, now: UnixMicros) {
        self.engine = engine(self.saved.clone());
        self.deliveries.clear();
        let random = &mut self.random;
        let disk = self.spool.take().map(Spool::into_storage).unwrap_or_default();
        let disk = disk.restart(&mut || !power || random.uniform() < 0.5);
        // The report may tell of a hole: of two messages that were never synced the second may have reached the disk alone.
        let (spool, _) =
            Spool::open(disk, random.next_u64(), limits()).expect("the queue opens after any crash");
        let arrival = (now.0 / 1_000_000) as i64;
        self.lives = spool
            .entries()
            .map(|(id, entry)| (id, Life::fresh(arrival, true, entry.envelope.recipients.len())))
            .collect();
        self.spool = Some(spool);
    }

    /// Messages in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.lives.len()
    }

    /// Records of the rule that were handled, as the engine counts them.
    pub(crate) fn matched(&self) -> u64 {
        self.engine.counts().iter().map(|counts| counts.matched).sum()
    }

    /// Mails that wait to be handed over.
    pub(crate) fn outbox(&self) -> usize {
        self.engine.state().outbox.len()
    }
}

fn engine(state: State) -> Engine {
    let rule = Rule {
        name: "errors".into(),
        matching: Match { selector: Selector::parse("*.err").ok(), ..Match::default() },
        to: vec!["root".into()],
        group_by: vec!["fingerprint".into()],
        group_wait: Duration::ZERO,
        group_interval: Duration::from_secs(120),
        repeat_interval: Duration::from_secs(600),
        mails_per_hour_max: MAILS_PER_HOUR_MAX,
    };
    let letterhead = Letterhead {
        host: "host".into(),
        from: "banto@host.example".into(),
        journalctl: "journalctl".into(),
    };
    Engine::new(vec![rule], vec!["root".into()], 2 * MAILS_PER_HOUR_MAX, letterhead, state)
}

fn limits() -> Limits {
    Limits { segment_octets: 16 * 1024, compact_above_octets: 64 * 1024 }
}
