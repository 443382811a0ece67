//! Where messages go: files, other hosts, terminals, pipes. Each has a thread of its own; intake threads hand over batches of
//! rendered messages.

mod file;
mod forward;
mod terminals;

pub(crate) use file::FileThread;
pub(crate) use forward::ForwardThread;
pub(crate) use terminals::{PipeThread, UsersThread};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use log_core::{Action, ActionKind, Framing, Protocol};

use crate::counters::{OutputCounters, Register};
use crate::say::Say;

/// Rendered messages for one output, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub bytes: Vec<u8>,
    /// Where each message ends; empty where the output writes them as one.
    pub ends: Vec<usize>,
    pub messages: u64,
    /// The file, for an action whose file names are made from messages.
    pub path: Option<Vec<u8>>,
}

impl Batch {
    /// The messages, where their ends are known.
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| self.bytes.get(start..end).unwrap_or(b""))
    }
}

/// The sending end of an output: one for each action, shared by intake threads.
#[derive(Clone)]
pub(crate) struct Outlet {
    pub kind: OutletKind,
    pub counters: Arc<OutputCounters>,
    /// How a message is delimited in a batch.
    pub shape: Shape,
}

#[derive(Clone)]
pub(crate) enum OutletKind {
    File(file::FileSender),
    Forward(Arc<ForwardThread>),
    Users(Arc<UsersThread>),
    Pipe(Arc<PipeThread>),
}

/// How messages stand in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As rendered, ends not noted.
    Plain,
    /// As rendered, ends noted.
    Separate,
    /// A line feed after each, none within.
    Lines,
    /// The length before each.
    Counted,
    /// By file name.
    ByPath,
}

impl Outlet {
    /// Hands over a batch. Files push back: the caller waits while the disk is behind. Networks, pipes and terminals never do.
    pub(crate) fn send(&self, batch: Batch) {
        match &self.kind {
            OutletKind::File(sender) => sender.send(batch, &self.counters),
            OutletKind::Forward(thread) => thread.offer(batch),
            OutletKind::Users(thread) => thread.offer(batch),
            OutletKind::Pipe(thread) => thread.offer(batch),
        }
    }
}

/// All running outputs, kept over reloads: an action that is the same in the new configuration keeps its connection and queue.
pub(crate) struct Outputs {
    pub files: FileThread,
    pub counters: Arc<Register<OutputCounters>>,
    forwards: HashMap<String, Arc<ForwardThread>>,
    pipes: HashMap<PathBuf, Arc<PipeThread>>,
    users: HashMap<String, Arc<UsersThread>>,
    say: Arc<Say>,
}

impl Outputs {
    /// No output yet but the thread that writes files.
    pub(crate) fn start(say: Arc<Say>) -> std::io::Result<Self> {
        Ok(Self {
            files: FileThread::start(Arc::clone(&say))?,
            counters: Arc::default(),
            forwards: HashMap::new(),
            pipes: HashMap::new(),
            users: HashMap::new(),
            say,
        })
    }

    /// The outlets of `actions`, one for each, starting what does not run yet. What no action uses any more ends.
    pub(crate) fn arrange(
        &mut self,
        actions: &[Action],
        work_directory: Option<&PathBuf>,
    ) -> Result<Vec<Outlet>, String> {
        // What ends gives its queue file back before another takes it up.
        let wanted: Vec<String> = actions.iter().filter_map(forward_key).collect();
        self.forwards.retain(|key, thread| {
            let used = wanted.contains(key);
            if !used {
                thread.finish();
            }
            used
        });
        let mut folders: HashSet<PathBuf> =
            self.forwards.values().filter_map(|thread| thread.folder().cloned()).collect();
        let mut used_forwards = HashMap::new();
        let mut used_pipes = HashMap::new();
        let mut used_users = HashMap::new();
        let mut outlets = Vec::with_capacity(actions.len());
        for action in actions {
            let counters = self.counters.named(&action.name);
            let (kind, shape) = match &action.kind {
                ActionKind::File { path, options } => {
                    (OutletKind::File(self.files.sender(path.clone(), options, None)), Shape::Plain)
                }
                ActionKind::DynamicFile { path, open_files_max, options } => {
                    let prefix = path.leading_text().to_vec();
                    let sender = self.files.sender(PathBuf::new(), options, Some((prefix, *open_files_max)));
                    (OutletKind::File(sender), Shape::ByPath)
                }
                ActionKind::Forward(target) => {
                    let shape = match (target.protocol, target.framing) {
                        (Protocol::Udp, _) => Shape::Separate,
                        (Protocol::Tcp, Framing::Traditional) => Shape::Lines,
                        (Protocol::Tcp, Framing::OctetCounted) => Shape::Counted,
                    };
                    let key = forward_key(action).unwrap_or_default();
                    let thread = match self.forwards.get(&key) {
                        Some(thread) => Arc::clone(thread),
                        None => Arc::new(ForwardThread::start(
                            target,
                            &action.queue,
                            work_directory,
                            &folders,
                            Arc::clone(&counters),
                            Arc::clone(&self.say),
                        )?),
                    };
                    folders.extend(thread.folder().cloned());
                    used_forwards.insert(key, Arc::clone(&thread));
                    (OutletKind::Forward(thread), shape)
                }
                ActionKind::Users(users) => {
                    let key = format!("{} {users:?}", action.name);
                    let thread = match self.users.get(&key) {
                        Some(thread) => Arc::clone(thread),
                        None => Arc::new(UsersThread::start(users.clone(), Arc::clone(&counters))?),
                    };
                    used_users.insert(key, Arc::clone(&thread));
                    (OutletKind::Users(thread), Shape::Separate)
                }
                ActionKind::Pipe { path } => {
                    let thread = match self.pipes.get(path) {
                        Some(thread) => Arc::clone(thread),
                        None => Arc::new(PipeThread::start(
                            path.clone(),
                            Arc::clone(&counters),
                            Arc::clone(&self.say),
                        )?),
                    };
                    used_pipes.insert(path.clone(), Arc::clone(&thread));
                    (OutletKind::Pipe(thread), Shape::Separate)
                }
            };
            outlets.push(Outlet { kind, counters, shape });
        }
        self.forwards = used_forwards;
        self.pipes = used_pipes;
        self.users = used_users;
        Ok(outlets)
    }

    /// What was handed over to the forwards and their receivers' kernels have not confirmed is on disk, synced, when the answers of this
    /// are there: [`Syncing::wait`].
    pub(crate) fn begin_sync(&self) -> Syncing {
        Syncing(self.forwards.values().map(|thread| thread.ask_sync()).collect())
    }

    /// Gives the queues' folders to the user that the daemon becomes.
    pub(crate) fn give_queues_to(&self, uid: u32, gid: u32) -> std::io::Result<()> {
        for folder in self.forwards.values().filter_map(|thread| thread.folder()) {
            for entry in std::fs::read_dir(folder)? {
                std::os::unix::fs::lchown(entry?.path(), Some(uid), Some(gid))?;
            }
            std::os::unix::fs::lchown(folder, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// Everything that was handed over is written, or kept on disk for the next start, and the threads end.
    pub(crate) fn finish(self) {
        self.files.finish();
        for thread in self.forwards.into_values() {
            thread.finish();
        }
        for thread in self.pipes.into_values() {
            thread.finish();
        }
        for thread in self.users.into_values() {
            thread.finish();
        }
    }
}

/// A sync of the forwards' queues under way.
pub(crate) struct Syncing(Vec<Receiver<Result<u64, String>>>);

impl Syncing {
    /// Waits for all; how many messages wait in memory only, because their forward has no place on disk.
    pub(crate) fn wait(self) -> Result<u64, String> {
        let gone = || "a forward's thread has ended".to_owned();
        let results = self.0.into_iter().map(|answer| answer.recv().unwrap_or_else(|_| Err(gone())));
        // All are waited for, whatever the first says.
        results.collect::<Vec<_>>().into_iter().sum()
    }
}

/// Two actions with the same key are the same forward.
fn forward_key(action: &Action) -> Option<String> {
    match &action.kind {
        ActionKind::Forward(target) => Some(format!("{} {target:?} {:?}", action.name, action.queue)),
        _ => None,
    }
}
