//! Messages to people who are logged in (`utmp(5)`, as `wall(1)` finds them), and to named pipes. Neither ever makes the daemon
//! wait.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use log_core::Users;
use record::Severity;

use super::Batch;
use crate::counters::{OutputCounters, add};
use crate::say::Say;

/// Batches that may wait before more are dropped and counted.
const WAITING_BATCHES_MAX: usize = 64;
const O_NONBLOCK: i32 = 0o4000;
const O_NOCTTY: i32 = 0o400;

/// A thread that takes batches and can be ended.
struct Consumer {
    batches: Mutex<Option<SyncSender<Batch>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<OutputCounters>,
}

impl Consumer {
    fn start(
        name: &str,
        counters: Arc<OutputCounters>,
        work: impl FnOnce(Receiver<Batch>) + Send + 'static,
    ) -> Result<Self, String> {
        let (batches, received) = sync_channel(WAITING_BATCHES_MAX);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(received))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { batches: Mutex::new(Some(batches)), thread: Mutex::new(Some(thread)), counters })
    }

    fn offer(&self, batch: Batch) {
        let messages = batch.messages;
        let sender = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match sender.as_ref().map(|sender| sender.try_send(batch)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => messages,
        };
        add(&self.counters.lost, refused);
    }

    fn finish(&self) {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// Writes to terminals.
pub(crate) struct UsersThread(Consumer);

impl UsersThread {
    pub(crate) fn start(users: Users, counters: Arc<OutputCounters>) -> Result<Self, String> {
        let counts = Arc::clone(&counters);
        Consumer::start("users", counters, move |batches| {
            while let Ok(batch) = batches.recv() {
                for message in batch.messages() {
                    write_to_users(&users, message);
                    add(&counts.written, 1);
                }
            }
        })
        .map(Self)
    }

    pub(crate) fn offer(&self, batch: Batch) {
        self.0.offer(batch);
    }

    pub(crate) fn finish(&self) {
        self.0.finish();
    }
}

fn write_to_users(users: &Users, message: &[u8]) {
    let Ok(utmp) = std::fs::read("/run/utmp") else { return };
    for login in logins(&utmp) {
        let wanted = match users {
            Users::All => true,
            Users::Named(names) => names.iter().any(|name| name.as_bytes() == login.user),
        };
        // A terminal's name stays beneath /dev.
        let Ok(line) = std::str::from_utf8(login.line) else { continue };
        if !wanted || line.starts_with('/') || line.split('/').any(|part| part == "..") {
            continue;
        }
        // A terminal that does not take it at once is stopped or gone; nobody waits for it.
        if let Ok(mut terminal) = OpenOptions::new()
            .write(true)
            .custom_flags(O_NONBLOCK | O_NOCTTY)
            .open(Path::new("/dev").join(line))
        {
            let _ = terminal.write_all(message);
        }
    }
}

/// A user at a terminal.
#[derive(Debug, PartialEq, Eq)]
struct Login<'a> {
    line: &'a [u8],
    user: &'a [u8],
}

/// `struct utmp` of glibc on 64-bit Linux: 384 bytes, ut_type at 0, ut_line (32) at 8, ut_user (32) at 44.
const UTMP_BYTES: usize = 384;
const USER_PROCESS: i16 = 7;

fn logins(utmp: &[u8]) -> impl Iterator<Item = Login<'_>> {
    utmp.chunks_exact(UTMP_BYTES).filter_map(|entry| {
        let kind = i16::from_ne_bytes([*entry.first()?, *entry.get(1)?]);
        let text = |from: usize| {
            let field = entry.get(from..from + 32)?;
            field.split(|byte| *byte == 0).next()
        };
        let login = Login { line: text(8)?, user: text(44)? };
        (kind == USER_PROCESS && !login.user.is_empty() && !login.line.is_empty()).then_some(login)
    })
}

/// Writes to a named pipe.
pub(crate) struct PipeThread(Consumer);

impl PipeThread {
    pub(crate) fn start(path: PathBuf, counters: Arc<OutputCounters>, say: Arc<Say>) -> Result<Self, String> {
        let counts = Arc::clone(&counters);
        Consumer::start("pipe", counters, move |batches| {
            let mut pipe: Option<File> = None;
            let mut failing = false;
            while let Ok(batch) = batches.recv() {
                for message in batch.messages() {
                    match write_to_pipe(&mut pipe, &path, message) {
                        Ok(()) => {
                            add(&counts.written, 1);
                            failing = false;
                        }
                        Err(error) => {
                            add(&counts.lost, 1);
                            if !failing {
                                let text = format!("cannot write the pipe {}: {error}", path.display());
                                say.say(Severity::Err, "output.failed", text);
                            }
                            failing = true;
                        }
                    }
                }
                counts.suspended.store(failing, std::sync::atomic::Ordering::Relaxed);
            }
        })
        .map(Self)
    }

    pub(crate) fn offer(&self, batch: Batch) {
        self.0.offer(batch);
    }

    pub(crate) fn finish(&self) {
        self.0.finish();
    }
}

/// Opened for reading as well, so that it stays open while its reader is away. A message larger than the room in the pipe is given up
/// whole: pipes keep writes of up to 4 KiB whole (`pipe(7)`).
fn write_to_pipe(pipe: &mut Option<File>, path: &Path, message: &[u8]) -> io::Result<()> {
    let file = match pipe {
        Some(file) => file,
        None => {
            let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path)?;
            pipe.insert(file)
        }
    };
    let result = file.write_all(message);
    if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock) {
        *pipe = None;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: only real logins are found, and a cut file does no harm.
    #[test]
    fn logins_are_found() {
        let mut utmp = vec![0u8; UTMP_BYTES * 2 + 10];
        utmp[0] = 7;
        utmp[8..13].copy_from_slice(b"pts/3");
        utmp[44..48].copy_from_slice(b"anna");
        utmp[UTMP_BYTES] = 8;
        let found: Vec<Login<'_>> = logins(&utmp).collect();
        assert_eq!(found, [Login { line: b"pts/3", user: b"anna" }]);
    }
}
