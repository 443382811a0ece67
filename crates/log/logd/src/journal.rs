//! The thread that writes the journal: batches in, one publication a batch, synced as the durability rules say.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use journal_file::{AppendError, EntryRef, JournalWriter, Limits, Vacuum, WriterOptions};
use record::{MonotonicMicros, Severity, UnixMicros};
use sys::host::Id128;

use crate::counters::{JournalCounters, add, read};
use crate::say::Say;
use crate::trusted::Fields;

/// Batches that may wait before intake waits for the disk.
const WAITING_BATCHES_MAX: usize = 64;
/// Bytes of batches that may wait: as much as that many batches of ordinary records have.
const WAITING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Threads stamp their batches on their own, so stamps may come a little out of order; more than this is a step of the clock.
const DISORDER_MICROS_MAX: u64 = 5_000_000;

/// Entries in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct JournalBatch {
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`.
    ends: Vec<usize>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    realtime: UnixMicros,
    monotonic: MonotonicMicros,
    /// How many of all fields end with this entry.
    fields_end: usize,
    shared: [Option<Fields>; 2],
    urgent: bool,
}

impl JournalBatch {
    /// A field of the entry that is being made.
    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        self.joined(name.as_bytes(), value);
    }

    pub(crate) fn joined(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.push(b'=');
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    /// A field that is joined already.
    pub(crate) fn whole(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.ends.push(self.bytes.len());
    }

    /// Ends the entry. `urgent`: it is to be on disk at once.
    pub(crate) fn end(
        &mut self,
        realtime: UnixMicros,
        monotonic: MonotonicMicros,
        shared: [Option<Fields>; 2],
        urgent: bool,
    ) {
        self.entries.push(Entry { realtime, monotonic, fields_end: self.ends.len(), shared, urgent });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of its fields.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// How the journal is kept.
#[derive(Debug, Clone)]
pub(crate) struct JournalPlan {
    pub dir: PathBuf,
    pub limits: Limits,
    pub keep: Vacuum,
    pub retention: Option<Duration>,
    pub max_file_age: Option<Duration>,
    pub sync_interval: Duration,
}

enum Command {
    Batch(JournalBatch),
    Sync(SyncSender<Result<(), String>>),
    Rotate(SyncSender<Result<(), String>>),
    Reload(JournalPlan),
    Finish,
}

/// Bytes of batches that were sent and are not written: entries may be large, so that the number of batches alone is no bound.
#[derive(Debug, Default)]
struct UnderWay {
    bytes: Mutex<usize>,
    fewer: Condvar,
}

impl UnderWay {
    /// Waits until there is room. One batch always has room, however large it is.
    fn enter(&self, bytes: usize) {
        let mut under_way = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        while *under_way > 0 && *under_way + bytes > WAITING_BYTES_MAX {
            under_way = self.fewer.wait(under_way).unwrap_or_else(PoisonError::into_inner);
        }
        *under_way += bytes;
    }

    fn leave(&self, bytes: usize) {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= bytes;
        self.fewer.notify_all();
    }
}

/// The sending end, shared by all threads.
#[derive(Clone)]
pub(crate) struct JournalSender {
    commands: SyncSender<Command>,
    under_way: Arc<UnderWay>,
    pub counters: Arc<JournalCounters>,
}

impl JournalSender {
    pub(crate) fn send(&self, batch: JournalBatch) {
        let count = batch.entries.len() as u64;
        self.under_way.enter(batch.bytes());
        if self.commands.send(Command::Batch(batch)).is_err() {
            add(&self.counters.lost, count);
        }
    }

    /// Returns when everything sent before is on disk.
    pub(crate) fn sync(&self) -> Result<(), String> {
        self.ask(Command::Sync)
    }

    pub(crate) fn rotate(&self) -> Result<(), String> {
        self.ask(Command::Rotate)
    }

    pub(crate) fn reload(&self, plan: JournalPlan) {
        let _ = self.commands.send(Command::Reload(plan));
    }

    fn ask(&self, command: impl FnOnce(SyncSender<Result<(), String>>) -> Command) -> Result<(), String> {
        let gone = || "the journal's thread has ended".to_owned();
        let (answer, answered) = sync_channel(1);
        self.commands.send(command(answer)).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?
    }
}

/// The thread, from outside.
pub(crate) struct JournalThread {
    sender: JournalSender,
    thread: JoinHandle<()>,
}

impl JournalThread {
    /// Opens the journal, repairing what an unclean end left, and starts the thread.
    pub(crate) fn start(plan: JournalPlan, say: Arc<Say>) -> Result<Self, String> {
        let boot_id = sys::host::boot_id().ok_or("the kernel tells no boot id")?;
        let options = WriterOptions {
            name: "system".to_owned(),
            machine_id: own_machine_id(),
            boot_id,
            limits: plan.limits.clone(),
        };
        let now = u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0);
        let journal = JournalWriter::open(&plan.dir, options, now)
            .map_err(|error| format!("cannot open the journal in {}: {error}", plan.dir.display()))?;
        match journal.opening() {
            journal_file::Opening::Salvaged { reason, kept, .. } => {
                let kept =
                    kept.as_ref().map_or(String::new(), |path| format!("; it stands as {}", path.display()));
                let text = format!(
                    "the journal was damaged ({reason}); its entries were copied to a new file{kept}"
                );
                say.say(Severity::Warning, "journal.salvaged", text);
            }
            journal_file::Opening::SetAside { path, reason } => {
                let text = format!(
                    "the journal could not be read ({reason}) and stands aside as {}",
                    path.display()
                );
                say.say(Severity::Err, "journal.set-aside", text);
            }
            journal_file::Opening::Continued { unclean: true } => {
                say.say(
                    Severity::Info,
                    "journal.repaired",
                    "the journal was not closed last time; it was checked and goes on",
                );
            }
            _ => {}
        }
        let (commands, received) = sync_channel(WAITING_BATCHES_MAX);
        let counters: Arc<JournalCounters> = Arc::default();
        let under_way: Arc<UnderWay> = Arc::default();
        let mut writer = Writer {
            journal,
            under_way: Arc::clone(&under_way),
            plan,
            boot_id,
            say,
            counters: Arc::clone(&counters),
            unsynced_since: None,
            last: (0, 0),
            failing: false,
            rotations: 0,
            file_since: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run(&received))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Self { sender: JournalSender { commands, under_way, counters }, thread })
    }

    pub(crate) fn sender(&self) -> JournalSender {
        self.sender.clone()
    }

    /// Everything sent is written and synced, the file closed cleanly.
    pub(crate) fn finish(self) {
        let _ = self.sender.commands.send(Command::Finish);
        let _ = self.thread.join();
    }
}

struct Writer {
    journal: JournalWriter,
    under_way: Arc<UnderWay>,
    plan: JournalPlan,
    boot_id: Id128,
    say: Arc<Say>,
    counters: Arc<JournalCounters>,
    unsynced_since: Option<Instant>,
    /// Realtime and monotonic time of the last entry.
    last: (u64, u64),
    failing: bool,
    rotations: u64,
    file_since: Instant,
}

impl Writer {
    fn run(&mut self, received: &Receiver<Command>) {
        self.vacuum();
        let mut asked = Vec::new();
        loop {
            let wait = match self.unsynced_since {
                Some(since) => (since + self.plan.sync_interval).saturating_duration_since(Instant::now()),
                None => Duration::from_secs(3600),
            };
            let mut command = match received.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Command::Finish),
            };
            let (mut finish, mut urgent) = (false, false);
            let due = command.is_none();
            // Group commit: whatever has queued up while the last sync ran is published and synced together.
            let mut room = WAITING_BATCHES_MAX;
            while let Some(next) = command.take() {
                match next {
                    Command::Batch(batch) => {
                        urgent |= self.append(&batch);
                        let bytes = batch.bytes();
                        drop(batch);
                        self.under_way.leave(bytes);
                    }
                    Command::Sync(answer) => asked.push(answer),
                    Command::Rotate(answer) => {
                        let result = self.journal.rotate().map_err(|error| error.to_string());
                        let _ = answer.send(result);
                    }
                    Command::Reload(plan) => {
                        self.plan = JournalPlan { dir: self.plan.dir.clone(), ..plan };
                        self.vacuum();
                    }
                    Command::Finish => {
                        finish = true;
                        break;
                    }
                }
                room -= 1;
                if room > 0 {
                    command = received.try_recv().ok();
                }
            }
            if let Err(error) = self.journal.publish() {
                self.report(&error.to_string());
            }
            let sync_due =
                self.unsynced_since.is_some_and(|since| since.elapsed() >= self.plan.sync_interval);
            if urgent || !asked.is_empty() || sync_due || due || finish {
                let result = if self.unsynced_since.is_some() || !asked.is_empty() {
                    self.journal.sync().map_err(|error| error.to_string())
                } else {
                    Ok(())
                };
                match &result {
                    Ok(()) => self.unsynced_since = None,
                    Err(error) => {
                        self.report(error);
                        // Tried again after another interval.
                        self.unsynced_since = Some(Instant::now());
                    }
                }
                for answer in asked.drain(..) {
                    let _ = answer.send(result.clone());
                }
            }
            if self.plan.max_file_age.is_some_and(|age| self.file_since.elapsed() >= age) {
                let _ = self.journal.rotate();
            }
            if self.journal.rotations() != self.rotations {
                self.rotations = self.journal.rotations();
                self.file_since = Instant::now();
                self.vacuum();
            }
            if finish {
                if let Err(error) = self.journal.set_offline() {
                    self.report(&error.to_string());
                }
                return;
            }
        }
    }

    /// Whether an entry was among them that must be on disk at once.
    fn append(&mut self, batch: &JournalBatch) -> bool {
        let mut urgent = false;
        let (mut field, mut at) = (0, 0);
        let mut fields: Vec<&[u8]> = Vec::with_capacity(32);
        for entry in &batch.entries {
            fields.clear();
            for end in batch.ends.get(field..entry.fields_end).unwrap_or(&[]) {
                fields.push(batch.bytes.get(at..*end).unwrap_or(b""));
                at = *end;
            }
            field = entry.fields_end;
            for shared in entry.shared.iter().flatten() {
                fields.extend(shared.iter().map(Vec::as_slice));
            }
            let (realtime, monotonic) = self.in_order(entry);
            let entry_ref = EntryRef {
                realtime,
                monotonic,
                boot_id: self.boot_id,
                fields: journal_file::Fields::Joined(&fields),
            };
            match self.journal.append(&entry_ref) {
                Ok(_) => {
                    add(&self.counters.entries, 1);
                    urgent |= entry.urgent;
                    if self.failing {
                        self.failing = false;
                        let text = format!(
                            "the journal is written again; {} records were lost",
                            read(&self.counters.lost)
                        );
                        self.say.say(Severity::Notice, "journal.recovered", text);
                    }
                }
                Err(AppendError::Invalid(_)) => add(&self.counters.lost, 1),
                Err(error) => {
                    add(&self.counters.lost, 1);
                    self.report(&error.to_string());
                }
            }
        }
        if self.unsynced_since.is_none() {
            self.unsynced_since = Some(Instant::now());
        }
        urgent
    }

    /// Stamps of several threads in one order; a step of the clock stays what it is.
    fn in_order(&mut self, entry: &Entry) -> (UnixMicros, MonotonicMicros) {
        let (last_realtime, last_monotonic) = self.last;
        let mut realtime = entry.realtime.0;
        if realtime < last_realtime && last_realtime - realtime < DISORDER_MICROS_MAX {
            realtime = last_realtime;
        }
        let monotonic = entry.monotonic.0.max(last_monotonic);
        self.last = (realtime, monotonic);
        (UnixMicros(realtime), MonotonicMicros(monotonic))
    }

    /// Told once until it works again.
    fn report(&mut self, error: &str) {
        if !self.failing {
            self.failing = true;
            let text = format!("cannot write the journal: {error}; records for it are counted as lost");
            // Only to standard error: a remark about the journal must not wait for the journal.
            self.say.say(Severity::Err, "journal.failed", text);
        }
    }

    fn vacuum(&self) {
        let before = self.plan.retention.map(|retention| {
            let now = u64::try_from(sys::clock::realtime_ns() / 1000).unwrap_or(0);
            now.saturating_sub(u64::try_from(retention.as_micros()).unwrap_or(u64::MAX))
        });
        if let Err(error) = self.journal.vacuum(Vacuum { before, ..self.plan.keep }) {
            let text = format!("cannot delete old journal files: {error}");
            self.say.say(Severity::Warning, "journal.vacuum-failed", text);
        }
    }
}

/// This machine's id; where the system has none, the boot's stands for it.
pub(crate) fn own_machine_id() -> Id128 {
    sys::host::machine_id().or_else(sys::host::boot_id).unwrap_or(Id128([0; 16]))
}

/// The same as text.
pub(crate) fn machine_id() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| own_machine_id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: large batches wait for each other, however few they are; one that is larger than the bound passes alone.
    #[test]
    fn bytes_under_way_are_bounded() {
        let under_way = Arc::new(UnderWay::default());
        under_way.enter(WAITING_BYTES_MAX * 2);
        let second = std::thread::spawn({
            let under_way = Arc::clone(&under_way);
            move || under_way.enter(WAITING_BYTES_MAX)
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!second.is_finished(), "there is no room yet");
        under_way.leave(WAITING_BYTES_MAX * 2);
        second.join().expect("it has room now");
        assert_eq!(*under_way.bytes.lock().expect("not poisoned"), WAITING_BYTES_MAX);
    }
}
