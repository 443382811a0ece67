//! What is to be done with a message, as data: the daemon does it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{MessageView, Template};

/// The position of an action in [`crate::Rules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub usize);

/// One action.
#[derive(Debug, Clone)]
pub struct Action {
    /// `action(name="...")`, or a name made of what it does; for counters and status.
    pub name: String,
    /// What it does.
    pub kind: ActionKind,
    /// How a message is rendered for it.
    pub template: Arc<Template>,
    /// Its queue, and what happens when it fails.
    pub queue: ActionQueue,
}

/// What an action does.
#[derive(Debug, Clone)]
pub enum ActionKind {
    /// Appends to a file or writes to a terminal.
    File {
        /// The file.
        path: PathBuf,
        /// How it is made and synced.
        options: FileOptions,
    },
    /// Appends to a file whose name is rendered from the message: see [`Action::dynamic_path`].
    DynamicFile {
        /// Renders the name.
        path: Arc<Template>,
        /// How many files stay open at once.
        open_files_max: usize,
        /// How they are made and synced.
        options: FileOptions,
    },
    /// Sends to another host.
    Forward(Forward),
    /// Writes to the terminals of users who are logged in.
    Users(Users),
    /// Writes to a named pipe.
    Pipe {
        /// The pipe.
        path: PathBuf,
    },
}

/// How files are made. Modes are Unix permission bits, before the umask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// The owner's name or number; the daemon's own where none.
    pub owner: Option<String>,
    /// The group's name or number.
    pub group: Option<String>,
    /// The mode of a new file.
    pub file_mode: u32,
    /// The owner of a new directory.
    pub dir_owner: Option<String>,
    /// The group of a new directory.
    pub dir_group: Option<String>,
    /// The mode of a new directory.
    pub dir_mode: u32,
    /// Missing directories are made.
    pub create_dirs: bool,
    /// A file that cannot be given to its owner is an error, not only a warning.
    pub fail_on_chown: bool,
    /// Each batch is synced to disk.
    pub sync: bool,
}

impl Default for FileOptions {
    /// rsyslog's: 0644 and 0700, directories made, not synced.
    fn default() -> Self {
        Self {
            owner: None,
            group: None,
            file_mode: 0o644,
            dir_owner: None,
            dir_group: None,
            dir_mode: 0o700,
            create_dirs: true,
            fail_on_chown: true,
            sync: false,
        }
    }
}

/// Where and how to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// A host name or an address, without brackets.
    pub host: String,
    /// The port's number or service name.
    pub port: String,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// How messages are told apart on TCP (RFC 6587).
    pub framing: Framing,
    /// zlib level of each message, 0-9; 0 is none.
    pub compression_level: u8,
    /// TCP keep-alive probes.
    pub keep_alive: bool,
    /// Seconds until a TCP connection attempt counts as failed; the system's own where none.
    pub connect_timeout_secs: Option<u32>,
}

/// The transport of a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Protocol {
    Udp,
    Tcp,
}

/// The framing of a TCP stream (RFC 6587).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A line feed ends a message (section 3.4.2).
    Traditional,
    /// The length stands before it (section 3.4.1).
    OctetCounted,
}

/// Whose terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Users {
    /// Everybody who is logged in.
    All,
    /// These.
    Named(Vec<String>),
}

/// The queue of an action and its answer to failure.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ActionQueue {
    /// The queue in front of the action.
    pub settings: QueueSettings,
    /// What happens when the action fails.
    pub retry: Retry,
}

/// What happens when an action fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many times it is tried again before the messages are discarded; none: for ever.
    pub count: Option<u32>,
    /// Seconds before the first new attempt; it grows from there.
    pub interval_secs: u32,
    /// The longest pause between attempts in seconds.
    pub interval_secs_max: u32,
    /// Runs only while the action before it is suspended (failover).
    pub only_when_previous_is_suspended: bool,
}

impl Default for Retry {
    /// rsyslog's: no retry, 30 seconds growing to 1800.
    fn default() -> Self {
        Self {
            count: Some(0),
            interval_secs: 30,
            interval_secs_max: 1800,
            only_when_previous_is_suspended: false,
        }
    }
}

/// Where messages wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueKind {
    /// Nowhere: the rule thread itself does it.
    #[default]
    Direct,
    /// In memory.
    LinkedList,
    /// In memory, in one piece.
    FixedArray,
    /// On disk.
    Disk,
}

/// A queue's parameters (`queue.*`, `$ActionQueue*`, `$MainMsgQueue*`). What stands as none was not configured: the daemon's own
/// default holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueueSettings {
    /// Where messages wait.
    pub kind: QueueKind,
    /// The name of its files: makes an in-memory queue disk-assisted.
    pub filename: Option<String>,
    /// The directory of its files, in place of the work directory.
    pub spool_directory: Option<PathBuf>,
    /// Capacity in messages.
    pub size: Option<usize>,
    /// Messages taken at once.
    pub dequeue_batch_size: Option<usize>,
    /// Messages at which it begins to write to disk.
    pub high_watermark: Option<usize>,
    /// Messages at which it stops.
    pub low_watermark: Option<usize>,
    /// Messages at which the less important are discarded.
    pub discard_mark: Option<usize>,
    /// The severity code from which on they are less important; 8: none are.
    pub discard_severity: Option<u8>,
    /// Bytes of one file on disk.
    pub file_bytes_max: Option<u64>,
    /// Bytes of all its files on disk.
    pub disk_bytes_max: Option<u64>,
    /// Its files are synced.
    pub sync: bool,
    /// What waits at shutdown is written to disk.
    pub save_on_shutdown: bool,
    /// Worker threads.
    pub worker_threads: Option<usize>,
    /// Milliseconds an input waits for room before a message is discarded.
    pub timeout_enqueue_ms: Option<u64>,
    /// Milliseconds for emptying it at shutdown.
    pub timeout_shutdown_ms: Option<u64>,
}

/// A file name rendered from a message would leave the place that the configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicPathRefused;

impl Action {
    /// Renders the file name of a [`ActionKind::DynamicFile`] into `out`, which is cleared first.
    ///
    /// Refused: a name with a component `..` or with a NUL, which only a message's own text can have brought in (the
    /// class of CVE-2026-92709). None for other kinds.
    pub fn dynamic_path(
        &self,
        message: &MessageView<'_>,
        out: &mut Vec<u8>,
    ) -> Option<Result<(), DynamicPathRefused>> {
        let ActionKind::DynamicFile { path, .. } = &self.kind else { return None };
        out.clear();
        path.render(message, out);
        let climbs = out.split(|byte| *byte == b'/').any(|component| component == b"..");
        Some(if climbs || out.is_empty() || memchr::memchr(0, out).is_some() {
            Err(DynamicPathRefused)
        } else {
            Ok(())
        })
    }
}
