//! What the roles say to each other. Each message is a frame: this as JSON, and the octets of a mail where it has one.

use mail_core::destination::Detail;
use serde::{Deserialize, Serialize};

/// To the queue.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToQueue {
    /// A message to be queued; its content follows.
    Submit(Submission),
    /// What came of attempts at recipients of one message.
    Attempted {
        /// The message.
        id: u64,
        /// One for each recipient of the job.
        attempts: Vec<Attempt>,
    },
    /// Where SMTP listens now.
    Listening(Vec<String>),
    /// The role `deliver` has read its configuration and takes jobs.
    Delivering,
    /// A session has ended in which so many commands or contents were malformed, out of order or beyond a limit.
    Malformed(u64),
}

/// From the queue.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromQueue {
    /// The submission is durable.
    Accepted {
        /// Of the submission.
        token: u64,
        /// The queue id as it is shown.
        queue_id: String,
    },
    /// The submission was not queued.
    Refused {
        /// Of the submission.
        token: u64,
        /// SMTP reply code.
        code: u16,
        /// Enhanced status code.
        dsn: (u8, u16, u16),
        /// Why.
        text: String,
    },
    /// Try these recipients; the content follows. To `smtp` for another host, to `deliver` for this one.
    Attempt(Job),
    /// Read the configuration again.
    Reload,
}

/// A message that comes in.
#[derive(Debug, Serialize, Deserialize)]
pub struct Submission {
    /// Chosen by the sender of the frame; stands in the answer.
    pub token: u64,
    /// Envelope sender; empty is the null sender.
    pub sender: String,
    /// Recipients with their domains.
    pub recipients: Vec<String>,
    /// For the Received line: `from HELO (ADDRESS)` or `by userid N`.
    pub origin: String,
    /// For the Received line: `ESMTP`, `SMTP`, `local`.
    pub with: String,
    /// True if missing header fields are to be added.
    pub trusted: bool,
    /// True if the house's own services sent it: only then an `X-Banto-Alert` field is believed. With it anybody on the network
    /// could keep the records of his mail from every alert.
    pub house: bool,
}

/// Recipients of one message to be tried.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The message.
    pub id: u64,
    /// The queue id as it is shown.
    pub queue_id: String,
    /// Envelope sender; empty is the null sender.
    pub sender: String,
    /// Arrival in microseconds since 1970.
    pub arrival_usec: u64,
    /// The recipients.
    pub recipients: Vec<JobRecipient>,
}

/// One recipient to be tried.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobRecipient {
    /// Its index in the queue.
    pub index: usize,
    /// The address.
    pub address: String,
    /// The address that the sender gave.
    pub original: String,
    /// [`Detail::encode`]d.
    pub detail: Vec<u8>,
}

impl JobRecipient {
    /// Where it goes; what cannot be read is expanded again.
    pub fn detail(&self) -> Detail {
        Detail::decode(&self.detail).unwrap_or_default()
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The recipient's index in the queue.
    pub index: usize,
    /// How it ended.
    pub verdict: Verdict,
    /// Enhanced status code.
    pub dsn: String,
    /// The text in the log line's brackets.
    pub text: String,
    /// `local`, `host[address]:port`, `none`.
    pub relay: String,
    /// The mailbox that was written.
    pub mailbox: Option<String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The next place has it.
    Sent,
    /// Not now.
    Deferred,
    /// Never.
    Failed,
    /// It stands for these recipients.
    Expanded(Vec<Child>),
}

/// A recipient that another one stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The address.
    pub address: String,
    /// [`Detail::encode`]d.
    pub detail: Vec<u8>,
}

impl Attempt {
    /// An attempt that did not succeed.
    pub fn failed(index: usize, temporary: bool, dsn: &str, text: impl Into<String>, relay: &str) -> Self {
        let verdict = if temporary { Verdict::Deferred } else { Verdict::Failed };
        Self { index, verdict, dsn: dsn.into(), text: text.into(), relay: relay.into(), mailbox: None }
    }

    /// One that did.
    pub fn sent(index: usize, text: impl Into<String>, relay: &str, mailbox: Option<String>) -> Self {
        Self {
            index,
            verdict: Verdict::Sent,
            dsn: "2.0.0".into(),
            text: text.into(),
            relay: relay.into(),
            mailbox,
        }
    }
}

/// Work for one target with one user's rights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Leaf {
    /// The message.
    pub id: u64,
    /// The recipient's index in the queue.
    pub index: usize,
    /// Where to.
    pub target: LeafTarget,
    /// Envelope sender; empty is the null sender.
    pub sender: String,
    /// For Delivered-To.
    pub address: String,
    /// For X-Original-To.
    pub original: String,
    /// Octets of a mailbox at most; 0 is no limit.
    pub size_limit: u64,
}

/// Where a message is put.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeafTarget {
    /// Appended to this file, in this directory (which must exist, or for a home mailbox is made).
    Mbox(String),
    /// A Maildir.
    Maildir(String),
    /// A shell command, with its environment and working directory.
    Command {
        /// For `sh -c`.
        command: String,
        /// Names and values.
        environment: Vec<(String, String)>,
        /// Working directory.
        directory: String,
    },
}

/// From a worker: what came of a leaf of this message.
#[derive(Debug, Serialize, Deserialize)]
pub struct LeafDone {
    /// The message.
    pub id: u64,
    /// The rest.
    pub attempt: Attempt,
}
