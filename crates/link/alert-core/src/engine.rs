//! The machine: records and time in, mails and changed state out.

use record::{Record, Severity, UnixMicros};

use crate::fingerprint::fingerprint;
use crate::mail::{Draft, Letterhead, sample};
use crate::rule::{DOCTOR_RULE, Match, OVERFLOW_GROUP, Rule};
use crate::state::{Group, Kind, Letter, Phase, RuleState, Sender, State};

/// The most live groups of a rule: a storm of ever new messages costs bounded memory and then shares one group.
const GROUPS_PER_RULE_MAX: usize = 500;

/// The first records of a group that a mail shows.
const SAMPLES_FIRST: usize = 5;

/// The first and the latest records of a group that a mail shows.
const SAMPLES_MAX: usize = 10;

/// The window of budgets.
const HOUR_USEC: u64 = 3_600_000_000;

/// The mails an hour beyond all budgets, of all rules together, for records of crit and worse of each kind of sender: few enough that
/// a flood of them is no flood of mail, enough that an end of everything is told from several sides.
pub const RESERVE_MAILS_PER_HOUR: usize = 6;

/// The doctor's nonces that are remembered: more than any number of doctors at once.
const NONCES_MAX: usize = 64;

/// The longest nonce in bytes.
const NONCE_BYTES_MAX: usize = 64;

/// The most mails of the doctor in an hour. No doctor comes near it; a program that writes such records in a loop does, and this
/// rule alone has no group that would stop it.
const DOCTOR_MAILS_PER_HOUR_MAX: u32 = 600;

/// The longest value of a field that a group's key keeps, in bytes.
const KEY_VALUE_BYTES_MAX: usize = 300;

/// The first pause after handing a mail over failed; it doubles up to the longest.
const RETRY_FIRST_USEC: u64 = 1_000_000;

/// The longest pause between two attempts.
const RETRY_LONGEST_USEC: u64 = 300_000_000;

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Hand over a group's first mail, after the state is saved.
    SendFirst(Letter),
    /// Hand over a digest, after the state is saved.
    SendDigest(Letter),
    /// Save the state now: counts or groups changed.
    Persist,
}

/// What a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// No rule matched.
    Nothing,
    /// It bears an alert's id and so matches nothing.
    OwnEcho,
    /// This many rules matched.
    Matched(usize),
}

/// The counts of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounts {
    /// The rule's name.
    pub name: String,
    /// Records that matched.
    pub matched: u64,
    /// Mails made.
    pub fired: u64,
    /// Matched records without a mail of their own.
    pub suppressed: u64,
    /// Mails that `sendmail` refused for good.
    pub failed: u64,
}

/// Rules, letterhead and budgets over a [`State`].
#[derive(Debug)]
pub struct Engine {
    rules: Vec<Rule>,
    doctor: Rule,
    letterhead: Letterhead,
    mails_per_hour_max: u32,
    state: State,
    /// When the next group is due, kept so that a record costs no search; 0 says "look".
    next_group_due: Option<u64>,
}

impl Engine {
    /// An engine over a state that was kept. `doctor_to` are the recipients of the built-in rule `doctor`;
    /// `mails_per_hour_max` is the budget of all rules together.
    pub fn new(
        rules: Vec<Rule>,
        doctor_to: Vec<String>,
        mails_per_hour_max: u32,
        letterhead: Letterhead,
        state: State,
    ) -> Self {
        let doctor = Rule {
            name: DOCTOR_RULE.to_owned(),
            matching: Match::default(),
            to: doctor_to,
            group_by: Vec::new(),
            group_wait: std::time::Duration::ZERO,
            group_interval: std::time::Duration::ZERO,
            repeat_interval: std::time::Duration::ZERO,
            mails_per_hour_max: DOCTOR_MAILS_PER_HOUR_MAX,
        };
        let mut engine = Self { rules, doctor, letterhead, mails_per_hour_max, state, next_group_due: None };
        engine.find_next_due();
        engine
    }

    /// The same engine with other rules: what a reload does. Groups of rules that are gone are told in no mail; their counts stay.
    pub fn reconfigured(
        self,
        rules: Vec<Rule>,
        doctor_to: Vec<String>,
        mails_per_hour_max: u32,
        letterhead: Letterhead,
    ) -> Self {
        Self::new(rules, doctor_to, mails_per_hour_max, letterhead, self.state)
    }

    /// Puts the rule of this name in the place of the one that is there, or takes that one away. Its groups and counts stay.
    pub fn set_rule(&mut self, name: &str, rule: Option<Rule>) {
        let place = self.rules.iter().position(|known| known.name == name);
        match (place, rule) {
            (Some(at), Some(rule)) => self.rules[at] = rule,
            (Some(at), None) => {
                self.rules.remove(at);
            }
            (None, Some(rule)) => self.rules.push(rule),
            (None, None) => {}
        }
        self.find_next_due();
    }

    /// The state to save. Its cursor is the last record that was given.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The rules, without the built-in one.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The counts of every rule, the built-in one included.
    pub fn counts(&self) -> Vec<RuleCounts> {
        self.rules
            .iter()
            .chain([&self.doctor])
            .map(|rule| {
                let state = self.state.rules.get(&rule.name);
                RuleCounts {
                    name: rule.name.clone(),
                    matched: state.map_or(0, |state| state.matched),
                    fired: state.map_or(0, |state| state.fired),
                    suppressed: state.map_or(0, |state| state.suppressed),
                    failed: state.map_or(0, |state| state.failed),
                }
            })
            .collect()
    }

    /// Moves the journal position without a record: to the end of the journal at the very first start.
    pub fn set_cursor(&mut self, cursor: String) {
        self.state.cursor = Some(cursor);
    }

    /// Handles one record at `cursor`. New actions are appended.
    ///
    /// `ours` says whether the house itself wrote the record, by what the kernel said of its sender. Only then `BANTO_ALERT_ID`,
    /// `BANTO_DOCTOR` and rules with `house_only` count: any user can write a record with such a field, and must neither hide it from the rules nor make mail past
    /// every budget.
    pub fn record(
        &mut self,
        now: UnixMicros,
        cursor: &str,
        record: &Record,
        ours: bool,
        actions: &mut Vec<Action>,
    ) -> Heard {
        self.state.cursor = Some(cursor.to_owned());
        if ours && record.field("BANTO_ALERT_ID").is_some() {
            return Heard::OwnEcho;
        }
        if let Some(nonce) = record.text("BANTO_DOCTOR").filter(|_| ours) {
            let nonce = nonce.into_owned();
            return self.doctor_record(now, cursor, record, &nonce, actions);
        }
        let matched: Vec<usize> =
            (0..self.rules.len()).filter(|at| self.rules[*at].matching.holds(record, ours)).collect();
        for at in &matched {
            self.matched_record(*at, now, cursor, record, actions);
        }
        if matched.is_empty() {
            return Heard::Nothing;
        }
        actions.push(Action::Persist);
        Heard::Matched(matched.len())
    }

    /// When [`Engine::due`] has something to do, if ever.
    pub fn next_due(&self) -> Option<UnixMicros> {
        let letters = self.state.outbox.iter().map(|letter| letter.next_usec).min();
        [self.next_group_due, letters].into_iter().flatten().min().map(UnixMicros)
    }

    /// Makes the mails that are due. New actions are appended.
    pub fn due(&mut self, now: UnixMicros, actions: &mut Vec<Action>) {
        if self.next_group_due.is_none_or(|due| due > now.0) && !self.clock_fell_back(now) {
            return;
        }
        let mut changed = false;
        for at in 0..self.rules.len() {
            changed |= self.due_of_rule(at, now, actions);
        }
        if changed {
            actions.push(Action::Persist);
        }
        self.find_next_due();
    }

    /// The mails that wait to be handed over and whose pause is over, oldest first.
    pub fn to_hand_over(&self, now: UnixMicros) -> impl Iterator<Item = &Letter> {
        let due = move |next_usec| next_usec <= now.0 || next_usec > now.0 + RETRY_LONGEST_USEC;
        self.state.outbox.iter().filter(move |letter| due(letter.next_usec))
    }

    /// A mail was handed over: `sendmail` took it.
    pub fn handed_over(&mut self, id: &str) {
        self.state.outbox.retain(|letter| letter.id != id);
    }

    /// Handing a mail over failed. Returns the pause before the next attempt in microseconds.
    pub fn hand_over_failed(&mut self, id: &str, now: UnixMicros) -> u64 {
        for letter in &mut self.state.outbox {
            if letter.id == id {
                let pause =
                    RETRY_FIRST_USEC.saturating_mul(1u64 << letter.attempts.min(20)).min(RETRY_LONGEST_USEC);
                letter.attempts = letter.attempts.saturating_add(1);
                letter.next_usec = now.0 + pause;
                return pause;
            }
        }
        RETRY_LONGEST_USEC
    }

    /// A mail was refused for good: it leaves the outbox and is counted. Trying again would give it once more to those recipients
    /// that were not refused, for ever.
    pub fn hand_over_refused(&mut self, id: &str) {
        let Some(at) = self.state.outbox.iter().position(|letter| letter.id == id) else { return };
        let letter = self.state.outbox.remove(at);
        self.state.rules.entry(letter.rule).or_default().failed += 1;
    }

    fn doctor_record(
        &mut self,
        now: UnixMicros,
        cursor: &str,
        record: &Record,
        nonce: &str,
        actions: &mut Vec<Action>,
    ) -> Heard {
        let plain = !nonce.is_empty()
            && nonce.len() <= NONCE_BYTES_MAX
            && nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !plain || self.state.nonces.iter().any(|known| known == nonce) {
            return Heard::Nothing;
        }
        let rule = self.doctor.clone();
        let rule_state = self.state.rules.entry(rule.name.clone()).or_default();
        rule_state.matched += 1;
        forget_old(&mut rule_state.mails_usec, now);
        if rule_state.mails_usec.len() >= rule.mails_per_hour_max as usize {
            rule_state.suppressed += 1;
            actions.push(Action::Persist);
            return Heard::Matched(1);
        }
        rule_state.mails_usec.push(now.0);
        self.state.nonces.push(nonce.to_owned());
        if self.state.nonces.len() > NONCES_MAX {
            self.state.nonces.remove(0);
        }
        let mut group = new_group(
            cursor,
            Phase::Waiting { due_usec: now.0 },
            vec![("BANTO_DOCTOR".to_owned(), nonce.to_owned())],
        );
        add_record(&mut group, record);
        let letter = self.letter(&rule, nonce, &group, Kind::First, 0, Some(nonce), now);
        self.send(letter, actions);
        Heard::Matched(1)
    }

    fn matched_record(
        &mut self,
        at: usize,
        now: UnixMicros,
        cursor: &str,
        record: &Record,
        actions: &mut Vec<Action>,
    ) {
        let rule = self.rules[at].clone();
        let sender = sender(record);
        let urgent = record.severity().is_some_and(|severity| severity <= Severity::Crit).then_some(sender);
        let (key, fields) = group_key(&rule, record, sender, urgent.is_some());
        let in_budget = self.in_budget(&rule, now);
        let in_reserve = urgent.is_some_and(|sender| self.in_reserve(sender, now));
        let rule_state = self.state.rules.entry(rule.name.clone()).or_default();
        rule_state.matched += 1;
        if let Some(group) = rule_state.groups.get_mut(&key) {
            if group.count == 0 {
                group.origin = cursor.to_owned();
            }
            add_record(group, record);
            rule_state.suppressed += 1;
            return;
        }
        let wait_usec = rule.group_wait.as_micros() as u64;
        let has_room = rule_state.groups.len() < GROUPS_PER_RULE_MAX && (wait_usec > 0 || in_budget);
        if !has_room && !in_reserve {
            rule_state.suppressed += 1;
            hold_back(rule_state, &rule, cursor, now, |held| add_record(held, record));
            self.find_next_due();
            return;
        }
        let phase = Phase::Waiting { due_usec: now.0 + wait_usec };
        let mut group = new_group(cursor, phase, fields);
        group.urgent = urgent;
        add_record(&mut group, record);
        // What is beyond a limit does not wait either: its groups would be many, and none of them in the reserve yet.
        if wait_usec > 0 && has_room {
            // The record that the first mail will tell of: suppressed only if the budget holds that mail back.
            rule_state.groups.insert(key, group);
        } else {
            let reserve = urgent.filter(|_| !has_room);
            let letter = self.first_or_digest(&rule, &key, &group, Kind::First, reserve, now);
            told(&mut group, now.0 + rule.group_interval.as_micros() as u64);
            self.rule_state(&rule).groups.insert(key, group);
            self.send(letter, actions);
        }
        self.find_next_due();
    }

    fn due_of_rule(&mut self, at: usize, now: UnixMicros, actions: &mut Vec<Action>) -> bool {
        let rule = self.rules[at].clone();
        let Some(rule_state) = self.state.rules.get_mut(&rule.name) else {
            return false;
        };
        // A clock that was set back must not leave a group waiting for longer than the rule says.
        let longest = longest_wait_usec(&rule);
        for group in rule_state.groups.values_mut() {
            let latest = now.0 + longest;
            match &mut group.phase {
                Phase::Waiting { due_usec } | Phase::Held { due_usec } => *due_usec = (*due_usec).min(latest),
            }
        }
        let due: Vec<String> = rule_state
            .groups
            .iter()
            .filter(|(_, group)| group.phase.due_usec() <= now.0)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &due {
            self.due_group(&rule, key, now, actions);
        }
        !due.is_empty()
    }

    fn due_group(&mut self, rule: &Rule, key: &str, now: UnixMicros, actions: &mut Vec<Action>) {
        let in_budget = self.in_budget(rule, now);
        let rule_state = self.rule_state(rule);
        let Some(mut group) = rule_state.groups.remove(key) else {
            return;
        };
        if group.count == 0 {
            return; // quiet since the last mail: the next record is a first one again
        }
        let reserve = match group.phase {
            Phase::Waiting { .. } if !in_budget => {
                group.urgent.filter(|sender| self.in_reserve(*sender, now))
            }
            _ => None,
        };
        let rule_state = self.rule_state(rule);
        if !in_budget && reserve.is_none() {
            if key == OVERFLOW_GROUP {
                group.phase = Phase::Held { due_usec: self.budget_opens_usec(rule, now) };
                self.rule_state(rule).groups.insert(key.to_owned(), group);
            } else {
                let origin = group.origin.clone();
                if matches!(group.phase, Phase::Waiting { .. }) {
                    rule_state.suppressed += 1;
                }
                hold_back(rule_state, rule, &origin, now, |held| absorb(held, &group));
            }
            return;
        }
        let kind = match group.phase {
            Phase::Waiting { .. } => Kind::First,
            Phase::Held { .. } => Kind::Digest,
        };
        let letter = self.first_or_digest(rule, key, &group, kind, reserve, now);
        if key != OVERFLOW_GROUP {
            let next = match kind {
                Kind::First => rule.group_interval,
                Kind::Digest => rule.repeat_interval,
            };
            told(&mut group, now.0 + next.as_micros() as u64);
            self.rule_state(rule).groups.insert(key.to_owned(), group);
        }
        self.send(letter, actions);
    }

    /// Makes a mail, and takes it from the budgets, or from a sender's reserve.
    fn first_or_digest(
        &mut self,
        rule: &Rule,
        key: &str,
        group: &Group,
        kind: Kind,
        reserve: Option<Sender>,
        now: UnixMicros,
    ) -> Letter {
        match reserve {
            Some(sender) => self.state.reserve_usec.entry(sender).or_default().push(now.0),
            None => {
                self.rule_state(rule).mails_usec.push(now.0);
                self.state.mails_usec.push(now.0);
            }
        }
        let rule_state = self.rule_state(rule);
        // What was held back is said once; the mail that tells of it in full need not say it again.
        let held_back = std::mem::take(&mut rule_state.held_back);
        let held_back = if key == OVERFLOW_GROUP { 0 } else { held_back };
        self.letter(rule, key, group, kind, held_back, None, now)
    }

    #[allow(clippy::too_many_arguments)] // each is one part of the mail, and no subset of them is a thing of its own
    fn letter(
        &self,
        rule: &Rule,
        key: &str,
        group: &Group,
        kind: Kind,
        held_back: u64,
        nonce: Option<&str>,
        now: UnixMicros,
    ) -> Letter {
        let id = alert_id(&self.letterhead.host, &rule.name, key, &group.origin);
        let draft =
            Draft { letterhead: &self.letterhead, rule, key, group, kind, id: &id, held_back, nonce, now };
        Letter {
            text: draft.text(),
            id,
            rule: rule.name.clone(),
            kind,
            count: group.count,
            nonce: nonce.map(str::to_owned),
            made_usec: now.0,
            attempts: 0,
            next_usec: 0,
        }
    }

    fn send(&mut self, letter: Letter, actions: &mut Vec<Action>) {
        if let Some(rule_state) = self.state.rules.get_mut(&letter.rule) {
            rule_state.fired += 1;
        }
        self.state.outbox.push(letter.clone());
        actions.push(match letter.kind {
            Kind::First => Action::SendFirst(letter),
            Kind::Digest => Action::SendDigest(letter),
        });
    }

    fn rule_state(&mut self, rule: &Rule) -> &mut RuleState {
        self.state.rules.entry(rule.name.clone()).or_default()
    }

    fn in_budget(&mut self, rule: &Rule, now: UnixMicros) -> bool {
        forget_old(&mut self.state.mails_usec, now);
        let all = self.state.mails_usec.len();
        let rule_state = self.rule_state(rule);
        forget_old(&mut rule_state.mails_usec, now);
        rule_state.mails_usec.len() < rule.mails_per_hour_max as usize
            && all < self.mails_per_hour_max as usize
    }

    fn in_reserve(&mut self, sender: Sender, now: UnixMicros) -> bool {
        let mails_usec = self.state.reserve_usec.entry(sender).or_default();
        forget_old(mails_usec, now);
        mails_usec.len() < RESERVE_MAILS_PER_HOUR
    }

    /// When the oldest mail that fills a budget leaves the window.
    fn budget_opens_usec(&self, rule: &Rule, now: UnixMicros) -> u64 {
        let opens = |mails: &[u64], most: u32| {
            if mails.len() < most as usize {
                return now.0;
            }
            mails.first().map_or(now.0 + HOUR_USEC, |oldest| oldest + HOUR_USEC + 1)
        };
        let rule_mails = self.state.rules.get(&rule.name).map_or(&[][..], |state| &state.mails_usec);
        opens(&self.state.mails_usec, self.mails_per_hour_max).max(opens(rule_mails, rule.mails_per_hour_max))
    }

    fn find_next_due(&mut self) {
        self.next_group_due = self
            .rules
            .iter()
            .filter_map(|rule| self.state.rules.get(&rule.name))
            .flat_map(|state| state.groups.values())
            .map(|group| group.phase.due_usec())
            .min();
    }

    /// Whether the next due time is further away than any rule allows: then the clock was set back.
    fn clock_fell_back(&self, now: UnixMicros) -> bool {
        let longest = self.rules.iter().map(longest_wait_usec).max().unwrap_or(0);
        self.next_group_due.is_some_and(|due| due > now.0.saturating_add(longest))
    }
}

fn longest_wait_usec(rule: &Rule) -> u64 {
    let longest = rule.group_wait.max(rule.group_interval).max(rule.repeat_interval);
    (longest.as_micros() as u64).max(HOUR_USEC + 1)
}

/// Who sent the record, by the fields that no sender can state.
fn sender(record: &Record) -> Sender {
    if record.field("_PEER_ADDRESS").is_some() {
        return Sender::Network;
    }
    let system = record.field("_UID") == Some(b"0") || record.field("_TRANSPORT") == Some(b"kernel");
    if system { Sender::System } else { Sender::User }
}

/// The key of the record's group, and the fields that name it in a command. Kinds of senders never share a group, and what is urgent
/// shares none with what is not: else a record that somebody made up would make a repetition of the real one.
fn group_key(rule: &Rule, record: &Record, sender: Sender, urgent: bool) -> (String, Vec<(String, String)>) {
    let mut key = String::new();
    let mut fields = Vec::new();
    for name in &rule.group_by {
        let value = if name == "fingerprint" {
            fingerprint(&record.text("MESSAGE").unwrap_or_default())
        } else {
            let text = record.text(name).unwrap_or_default();
            let value = cut(&text, KEY_VALUE_BYTES_MAX).to_owned();
            if value.len() == text.len() && record.field(name).is_some() {
                fields.push((name.clone(), value.clone()));
            }
            value
        };
        key.push_str(&format!("{name}={value}\n"));
    }
    if key.is_empty() {
        key.push_str("all=\n");
    }
    match sender {
        Sender::System => {}
        Sender::User => key.push_str("sender=user\n"),
        Sender::Network => key.push_str("sender=network\n"),
    }
    if urgent {
        key.push_str("urgent=\n");
    }
    (key, fields)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn new_group(cursor: &str, phase: Phase, fields: Vec<(String, String)>) -> Group {
    Group {
        phase,
        count: 0,
        total: 0,
        first_usec: 0,
        last_usec: 0,
        samples: Vec::new(),
        fields,
        origin: cursor.to_owned(),
        merged: 0,
        urgent: None,
    }
}

fn add_record(group: &mut Group, record: &Record) {
    if group.count == 0 {
        group.first_usec = record.realtime.0;
    }
    group.count += 1;
    group.total += 1;
    group.last_usec = group.last_usec.max(record.realtime.0);
    push_sample(group, sample(record));
}

/// Keeps the first few and the latest few.
fn push_sample(group: &mut Group, sample: crate::state::Sample) {
    if group.samples.len() >= SAMPLES_MAX {
        group.samples.remove(SAMPLES_FIRST);
    }
    group.samples.push(sample);
}

/// After a mail: what follows is counted anew.
fn told(group: &mut Group, due_usec: u64) {
    group.phase = Phase::Held { due_usec };
    group.count = 0;
    group.samples.clear();
}

/// Puts records into the rule's group of what was held back; it is told when the budget opens.
fn hold_back(
    rule_state: &mut RuleState,
    rule: &Rule,
    cursor: &str,
    now: UnixMicros,
    add: impl FnOnce(&mut Group),
) {
    let opens = rule_state.mails_usec.first().map_or(now.0, |oldest| oldest + HOUR_USEC + 1);
    let due_usec = opens.max(now.0 + rule.group_interval.as_micros() as u64);
    let held = rule_state
        .groups
        .entry(OVERFLOW_GROUP.to_owned())
        .or_insert_with(|| new_group(cursor, Phase::Held { due_usec }, Vec::new()));
    let before = held.count;
    add(held);
    held.merged += 1;
    let added = held.count - before;
    rule_state.held_back += added;
}

fn absorb(held: &mut Group, group: &Group) {
    held.first_usec = if held.count == 0 { group.first_usec } else { held.first_usec.min(group.first_usec) };
    held.last_usec = held.last_usec.max(group.last_usec);
    held.count += group.count;
    held.total += group.count;
    for sample in &group.samples {
        push_sample(held, sample.clone());
    }
}

/// Forgets mails older than the window, and those from a future that a clock set back has taken away.
fn forget_old(mails_usec: &mut Vec<u64>, now: UnixMicros) {
    mails_usec.retain(|made| *made <= now.0 && now.0 - *made <= HOUR_USEC);
}

/// An id that is the same whenever the same record begins the same group's mail: FNV-1a, 64 bits, over host, rule, key and cursor.
fn alert_id(host: &str, rule: &str, key: &str, origin: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [host, rule, key, origin] {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("banto-{hash:016x}")
}

#[cfg(test)]
mod tests;
