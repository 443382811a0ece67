//! What must survive a crash, as one value: it is saved together with the journal cursor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything that alerting remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The journal position up to which every record has been handled.
    pub cursor: Option<String>,
    /// The mails that were made and not yet handed over, oldest first.
    pub outbox: Vec<Letter>,
    /// What each rule remembers, by name.
    pub rules: BTreeMap<String, RuleState>,
    /// When mails of all rules were made in the last hour (microseconds since the epoch).
    pub mails_usec: Vec<u64>,
    /// When mails beyond the budgets were made in the last hour, by the kind of sender (microseconds since the epoch).
    pub reserve_usec: BTreeMap<Sender, Vec<u64>>,
    /// The doctor's latest nonces: one that is handled again after a crash is known.
    pub nonces: Vec<String>,
}

/// What one rule remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleState {
    /// Records that matched, since the state began.
    pub matched: u64,
    /// Mails made.
    pub fired: u64,
    /// Matched records that made no mail of their own: a digest told of them or will.
    pub suppressed: u64,
    /// Mails that `sendmail` refused for good.
    pub failed: u64,
    /// Records held back by a budget since the rule's last mail, to be said in the next one.
    pub held_back: u64,
    /// When its mails of the last hour were made (microseconds since the epoch).
    pub mails_usec: Vec<u64>,
    /// The live groups by key.
    pub groups: BTreeMap<String, Group>,
}

/// The records that are one problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What comes next for it.
    pub phase: Phase,
    /// Records since the last mail about it.
    pub count: u64,
    /// All records of it since it began.
    pub total: u64,
    /// The first record since the last mail (microseconds since the epoch).
    pub first_usec: u64,
    /// The latest record.
    pub last_usec: u64,
    /// Some of the records since the last mail: the first few and the latest few.
    pub samples: Vec<Sample>,
    /// The fields that the group is made by, for the command that shows its records.
    pub fields: Vec<(String, String)>,
    /// The cursor of the record that began what is to be told next: the alert id is made from it.
    pub origin: String,
    /// Groups whose records were put into this one, where it stands for what was held back.
    pub merged: u64,
    /// Whose reserve its first mail may be taken from: its records are of crit or worse.
    #[serde(default)]
    pub urgent: Option<Sender>,
}

/// A kind of sender: each has a reserve of its own, so that none can use up another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// The kernel and root's programs on this host.
    System,
    /// Other programs on this host.
    User,
    /// Other hosts.
    Network,
}

/// What comes next for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Collecting; the first mail is due at this time (microseconds since the epoch).
    Waiting {
        /// When the first mail is due.
        due_usec: u64,
    },
    /// A mail was made; a digest of what follows is due at this time, or the group is forgotten when nothing followed.
    Held {
        /// When the digest is due.
        due_usec: u64,
    },
}

impl Phase {
    /// When something is due.
    pub fn due_usec(self) -> u64 {
        match self {
            Self::Waiting { due_usec } | Self::Held { due_usec } => due_usec,
        }
    }
}

/// One record as a mail shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its time (microseconds since the epoch).
    pub realtime_usec: u64,
    /// Host, identifier, PID and message, cut to a line.
    pub line: String,
    /// What the record says of the clock that stamped it.
    pub clock: String,
}

/// What kind of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first of a group.
    First,
    /// What followed a first mail, or what a budget held back.
    Digest,
}

/// One mail, ready for `sendmail -t`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The alert id: stable when the same records are handled again.
    pub id: String,
    /// The rule that made it.
    pub rule: String,
    /// First or digest.
    pub kind: Kind,
    /// The records that it tells of.
    pub count: u64,
    /// The doctor's nonce, where it is the doctor's.
    pub nonce: Option<String>,
    /// Header and body with LF line ends, for the standard input of `sendmail -t -i`.
    pub text: String,
    /// When it was made (microseconds since the epoch).
    pub made_usec: u64,
    /// How often handing it over failed.
    pub attempts: u32,
    /// Not before this time (microseconds since the epoch).
    pub next_usec: u64,
}
