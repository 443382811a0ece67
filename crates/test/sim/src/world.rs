//! One history: what happens, in what order, and what must hold at its end.

use std::collections::BTreeSet;

use record::{MonotonicMicros, Priority, Severity, UnixMicros};
use time_core::SimRandom;

use crate::CLOCK_ERROR_MAX;
use crate::clockwork::{Clockwork, START_NS};
use crate::ledger::{Dead, Ledger, number};
use crate::post::{MAILS_PER_HOUR_MAX, Post};
use crate::relay::Relay;
use clock_lab::host::Host;

/// True seconds with faults, and without at the end, so that everything under way can come to rest: what a budget held back is told up
/// to an hour later, and a mail that was put off then waits some minutes.
const TROUBLED_SECONDS: i64 = 1500;
const QUIET_SECONDS: i64 = 4500;

/// A liar may be followed this long before its contradiction shows: until three truthful sources have answered.
const LIAR_SECONDS_MAX: u32 = 120;

/// With three sources, one of them a liar and another behind a path that loses every third packet each way, there is no majority
/// for a while whenever that one misses eight answers in a row; it must not last.
const UNSYNCED_SECONDS_MAX: u32 = 1200;

/// What a history was like; equal for equal seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The seed.
    pub seed: u64,
    /// The clock's error at the end, in seconds.
    pub clock_error: f64,
    /// Corrections of the clock since the last restart.
    pub clock_updates: u32,
    /// Records logged.
    pub records: u64,
    /// Records that a sync covered.
    pub synced: usize,
    /// Kills and power cuts.
    pub crashes: u64,
    /// Connections that broke.
    pub cuts: u64,
    /// Mails in the mailbox, copies included.
    pub mails: usize,
    /// Copies among them.
    pub copies: usize,
    /// Lines at the other log host, copies included.
    pub forwarded: usize,
    /// Connections to it that broke.
    pub forward_cuts: u64,
}

struct World {
    random: SimRandom,
    clock: Clockwork,
    ledger: Ledger,
    post: Post,
    relay: Relay,
    next_number: u64,
    /// The numbers of the records that are errors, by the message.
    errors: BTreeSet<u64>,
    matched_seen: BTreeSet<u64>,
    seconds_following_a_liar: u32,
    seconds_unsynced: u32,
}

/// Lives through the history of `seed` and checks it; panics with what is broken.
pub fn run(seed: u64) -> Summary {
    let mut world = World {
        random: SimRandom::new(seed),
        clock: Clockwork::new(seed),
        ledger: Ledger::new(seed),
        post: Post::new(seed),
        relay: Relay::new(seed),
        next_number: 1,
        errors: BTreeSet::new(),
        matched_seen: BTreeSet::new(),
        seconds_following_a_liar: 0,
        seconds_unsynced: 0,
    };
    for second in 1..=TROUBLED_SECONDS + QUIET_SECONDS {
        let troubled = second <= TROUBLED_SECONDS;
        world.clock.pass(START_NS + second * 1_000_000_000);
        if world.clock.follows_a_liar() {
            world.seconds_following_a_liar += 1;
        }
        world.seconds_unsynced = if world.clock.is_synced() { 0 } else { world.seconds_unsynced + 1 };
        if troubled {
            world.trouble();
        }
        if world.second(troubled).is_err() {
            world.restart();
        }
    }
    world.end(seed)
}

impl World {
    /// The host's own wall clock: everything but the checks goes by it.
    fn now(&mut self) -> UnixMicros {
        use time_core::Clock;
        UnixMicros(u64::try_from(self.clock.clock.now().0 / 1000).unwrap_or(0))
    }

    /// Sets traps that spring in the middle of some later write.
    fn trouble(&mut self) {
        match self.random.next_u64() % 400 {
            0 => self.ledger.die_after(self.random.next_u64() % 40),
            1 => self.post.die_after(self.random.next_u64() % 12),
            2 => self.restart(),
            3 => self.relay.die_after(self.random.next_u64() % 12),
            _ => {}
        }
    }

    /// One second of the host's life.
    fn second(&mut self, troubled: bool) -> Result<(), Dead> {
        if troubled {
            let burst = if self.random.uniform() < 0.01 { 50 } else { 1 };
            if self.random.uniform() < 0.3 {
                for _ in 0..burst {
                    self.log_something()?;
                }
            }
        }
        for alert in std::mem::take(&mut self.post.deliveries) {
            self.log(Severity::Err, "delivery of an alert", &[("BANTO_ALERT_ID", &alert)])?;
        }
        self.ledger.publish()?;
        self.relay.second(troubled)?;
        if self.random.uniform() < 0.2 || !troubled {
            self.ledger.sync()?;
            self.relay.sync()?;
        }
        let now = self.now();
        let found = self.ledger.read_after(self.post.cursor().as_deref(), 20);
        for one in &found {
            if let Some(number) = number(&one.record).filter(|number| self.errors.contains(number)) {
                self.matched_seen.insert(number);
            }
        }
        self.post.watch(&found, now);
        self.post.hand_over(now, troubled)?;
        self.post.deliver(now, troubled)
    }

    fn log_something(&mut self) -> Result<(), Dead> {
        let severity = Severity::from_code((self.random.next_u64() % 8) as u8).unwrap_or(Severity::Info);
        let texts = [
            "disk sda1 failed after 3 tries",
            "connection from 192.0.2.9 refused",
            "日本語のメッセージ",
            "x",
        ];
        let text = texts[self.random.next_u64() as usize % texts.len()];
        self.log(severity, text, &[])
    }

    fn log(&mut self, severity: Severity, text: &str, extra: &[(&str, &str)]) -> Result<(), Dead> {
        let number = self.next_number;
        self.next_number += 1;
        if severity <= Severity::Err && extra.is_empty() {
            self.errors.insert(number);
        }
        let quality = self.clock.quality();
        if let Some(bound) = quality.stated_error_usec() {
            let error = self.clock.clock.error().abs();
            assert!(
                error <= bound as f64 * 1e-6,
                "a record states an error of {bound} us; the clock is off by {error} s\n{}",
                self.clock.describe()
            );
        }
        let priority = Priority { severity, ..Priority::DEFAULT };
        let stamp = (self.now(), MonotonicMicros((self.clock.elapsed() * 1e6) as u64), quality);
        let result = self.ledger.log(number, priority, text, stamp, extra);
        if result.is_ok() {
            self.relay.log(number);
        }
        if severity <= Severity::Crit && result.is_ok() {
            self.ledger.sync()?;
        }
        result
    }

    fn restart(&mut self) {
        let power = self.random.uniform() < 0.5;
        let now = self.now();
        self.ledger.restart(power);
        self.relay.restart(power);
        self.post.restart(power, now);
        self.clock.restart(power);
    }

    fn end(mut self, seed: u64) -> Summary {
        // Time: the clock is right, and a liar was found out.
        let error = self.clock.clock.error();
        assert!(
            self.seconds_unsynced <= UNSYNCED_SECONDS_MAX,
            "nothing was followed for the last {} s\n{}",
            self.seconds_unsynced,
            self.clock.describe()
        );
        assert!(error.abs() < CLOCK_ERROR_MAX, "the clock is off by {error} s at the end");
        assert!(
            self.seconds_following_a_liar <= LIAR_SECONDS_MAX * (1 + self.ledger.crashes as u32),
            "a liar was followed for {} s",
            self.seconds_following_a_liar
        );
        assert_eq!(self.clock.damaged_replies_believed, 0);

        // Log: nothing synced is lost; every file verifies.
        self.ledger.check();
        self.relay.check();

        // Links: every synced error was seen by the alert engine.
        let synced: BTreeSet<u64> = self.ledger.synced.iter().copied().collect();
        let unseen: Vec<&u64> =
            self.errors.intersection(&synced).filter(|n| !self.matched_seen.contains(n)).collect();
        assert!(unseen.is_empty(), "synced errors that no alert knows of: {unseen:?}");

        // Mail: nothing waits, nothing acknowledged is missing, copies are explained.
        assert_eq!(
            (self.post.outbox(), self.post.queued()),
            (0, 0),
            "mail is still under way after a long quiet time"
        );
        let told: u64 = self.post.told.values().sum();
        assert!(told >= self.post.matched(), "{} records matched, mails tell of {told}", self.post.matched());
        let delivered: BTreeSet<&String> = self.post.mailbox.iter().collect();
        for id in self.post.acknowledged.iter().chain(self.post.told.keys()) {
            assert!(delivered.contains(id), "the mail {id} is not in the mailbox");
        }
        let copies = self.post.mailbox.len() - delivered.len();
        assert!(
            copies as u64 <= self.ledger.crashes + self.post.cuts,
            "{copies} copies after {} crashes and {} cuts",
            self.ledger.crashes,
            self.post.cuts
        );
        let hours = (TROUBLED_SECONDS + QUIET_SECONDS) as f64 / 3600.0;
        let a_hour = MAILS_PER_HOUR_MAX as usize + alert_core::RESERVE_MAILS_PER_HOUR;
        let allowed = a_hour * hours.ceil() as usize;
        assert!(delivered.len() <= allowed, "{} mails in {hours} hours", delivered.len());

        Summary {
            seed,
            clock_error: error,
            clock_updates: self.clock.updates(),
            records: self.next_number - 1,
            synced: self.ledger.synced.len(),
            crashes: self.ledger.crashes,
            cuts: self.post.cuts,
            mails: self.post.mailbox.len(),
            copies,
            forwarded: self.relay.received.len(),
            forward_cuts: self.relay.cuts,
        }
    }
}
