//! The thread that appends to files: one write a batch, reopened on request, a full disk counted and told once.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use log_core::FileOptions;
use record::Severity;

use super::Batch;
use crate::counters::{OutputCounters, add};
use crate::say::Say;

/// Batches that may wait for the disk before intake waits for it: at 256 KiB each, 16 MiB.
const WAITING_BATCHES_MAX: usize = 64;
/// `O_NOCTTY` and `O_NONBLOCK` on the Linux architectures that are supported: opening a terminal must not make it ours, and
/// opening a pipe that nobody reads must not stop the thread.
const O_NOCTTY: i32 = 0o400;
const O_NONBLOCK: i32 = 0o4000;

enum Command {
    Write {
        target: Arc<Target>,
        batch: Batch,
        counters: Arc<OutputCounters>,
    },
    /// Close every file; the next write opens it again by its name.
    Reopen,
    /// Answer when everything before is written.
    Barrier(SyncSender<()>),
    Finish,
}

/// What a file action names.
#[derive(Debug)]
struct Target {
    path: PathBuf,
    options: FileOptions,
    dynamic: Option<Dynamic>,
}

#[derive(Debug)]
struct Dynamic {
    /// The folder that no name may leave: the constant beginning of the template up to its last slash.
    base: PathBuf,
    open_files_max: usize,
}

/// The sending end for one action.
#[derive(Clone)]
pub(crate) struct FileSender {
    target: Arc<Target>,
    commands: SyncSender<Command>,
}

impl FileSender {
    pub(crate) fn send(&self, batch: Batch, counters: &Arc<OutputCounters>) {
        let messages = batch.messages;
        add(&counters.queued, messages);
        let command =
            Command::Write { target: Arc::clone(&self.target), batch, counters: Arc::clone(counters) };
        if self.commands.send(command).is_err() {
            crate::counters::subtract(&counters.queued, messages);
            add(&counters.lost, messages);
        }
    }
}

/// The thread, from outside.
pub(crate) struct FileThread {
    commands: SyncSender<Command>,
    thread: JoinHandle<()>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl FileThread {
    pub(crate) fn start(say: Arc<Say>) -> io::Result<Self> {
        let (commands, received) = sync_channel(WAITING_BATCHES_MAX);
        let spare = Arc::new(Mutex::new(Vec::new()));
        let mut writer = Writer { open: HashMap::new(), say, spare: Arc::clone(&spare), used: 0 };
        let thread = std::thread::Builder::new().name("files".into()).spawn(move || writer.run(&received))?;
        Ok(Self { commands, thread, spare })
    }

    /// The sending end for an action; `dynamic` is the constant beginning of the file name's template and how many files
    /// may stay open.
    pub(crate) fn sender(
        &self,
        path: PathBuf,
        options: &FileOptions,
        dynamic: Option<(Vec<u8>, usize)>,
    ) -> FileSender {
        let dynamic = dynamic.map(|(prefix, open_files_max)| {
            let folder = prefix.iter().rposition(|byte| *byte == b'/').map_or(&b"."[..], |at| &prefix[..=at]);
            let base = PathBuf::from(std::ffi::OsStr::from_bytes(folder));
            Dynamic { base, open_files_max: open_files_max.max(1) }
        });
        let target = Arc::new(Target { path, options: options.clone(), dynamic });
        FileSender { target, commands: self.commands.clone() }
    }

    /// Buffers that were written and can be filled again.
    pub(crate) fn spare(&self) -> Arc<Mutex<Vec<Vec<u8>>>> {
        Arc::clone(&self.spare)
    }

    pub(crate) fn reopen(&self) {
        let _ = self.commands.send(Command::Reopen);
    }

    /// Returns when everything that was handed over before is written.
    pub(crate) fn barrier(&self) {
        let (answer, answered) = sync_channel(1);
        if self.commands.send(Command::Barrier(answer)).is_ok() {
            let _ = answered.recv();
        }
    }

    /// Everything that was handed over is written, and the thread ends.
    pub(crate) fn finish(self) {
        let _ = self.commands.send(Command::Finish);
        let _ = self.thread.join();
    }
}

struct Writer {
    open: HashMap<PathBuf, OpenFile>,
    say: Arc<Say>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    used: u64,
}

struct OpenFile {
    /// None while it cannot be opened.
    file: Option<File>,
    /// Since when it fails, and how many messages that has cost.
    failing: Option<(Instant, u64)>,
    dynamic: bool,
    last_used: u64,
}

/// Written buffers kept for filling again, and how large one may be to be kept.
const SPARE_BUFFERS_MAX: usize = 4;
const SPARE_BYTES_MAX: usize = 1024 * 1024;

impl Writer {
    fn run(&mut self, received: &Receiver<Command>) {
        while let Ok(command) = received.recv() {
            match command {
                Command::Write { target, batch, counters } => {
                    self.write(&target, &batch, &counters);
                    crate::counters::subtract(&counters.queued, batch.messages);
                    let mut bytes = batch.bytes;
                    let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
                    if spare.len() < SPARE_BUFFERS_MAX && bytes.capacity() <= SPARE_BYTES_MAX {
                        bytes.clear();
                        spare.push(bytes);
                    }
                }
                Command::Reopen => self.open.clear(),
                Command::Barrier(answer) => {
                    let _ = answer.send(());
                }
                Command::Finish => return,
            }
        }
    }

    fn write(&mut self, target: &Target, batch: &Batch, counters: &OutputCounters) {
        self.used += 1;
        let path = match &batch.path {
            Some(path) => PathBuf::from(std::ffi::OsStr::from_bytes(path)),
            None => target.path.clone(),
        };
        if let Some(dynamic) = &target.dynamic {
            self.make_room(dynamic.open_files_max, &path);
        }
        let used = self.used;
        let slot = self.open.entry(path.clone()).or_insert_with(|| OpenFile {
            file: None,
            failing: None,
            dynamic: target.dynamic.is_some(),
            last_used: used,
        });
        slot.last_used = used;
        let result = match &slot.file {
            Some(_) => Ok(()),
            None => open(target, &path).map(|file| slot.file = Some(file)),
        };
        let result = result.map_err(|error| (error, 0)).and_then(|()| match &mut slot.file {
            Some(file) => append(file, &batch.bytes, target.options.sync),
            None => Ok(()),
        });
        match result {
            Ok(()) => {
                add(&counters.written, batch.messages);
                if let Some((since, lost)) = slot.failing.take() {
                    counters.suspended.store(false, std::sync::atomic::Ordering::Relaxed);
                    self.say.say(
                        Severity::Notice,
                        "output.recovered",
                        format!(
                            "{} can be written again after {} s; {lost} messages were lost",
                            path.display(),
                            since.elapsed().as_secs()
                        ),
                    );
                }
            }
            Err((error, bytes_written)) => {
                let kept = whole_messages(&batch.bytes, bytes_written, batch.messages);
                add(&counters.written, kept);
                let lost = batch.messages - kept;
                add(&counters.lost, lost);
                counters.suspended.store(true, std::sync::atomic::Ordering::Relaxed);
                match &mut slot.failing {
                    Some((_, total)) => *total += lost,
                    None => {
                        slot.failing = Some((Instant::now(), lost));
                        self.say.say(
                            Severity::Err,
                            "output.failed",
                            format!(
                                "cannot write {}: {error}; messages for it are counted as lost",
                                path.display()
                            ),
                        );
                    }
                }
                // What is wrong with the name (a folder that went) may be right next time; what is wrong with the disk too.
                if error.kind() != io::ErrorKind::StorageFull {
                    slot.file = None;
                }
            }
        }
    }

    /// Closes the least recently used files made from messages until there is room for one more.
    fn make_room(&mut self, open_files_max: usize, wanted: &Path) {
        if self.open.contains_key(wanted) {
            return;
        }
        while self.open.values().filter(|file| file.dynamic).count() >= open_files_max {
            let oldest =
                self.open.iter().filter(|(_, file)| file.dynamic).min_by_key(|(_, file)| file.last_used);
            let Some(path) = oldest.map(|(path, _)| path.clone()) else { return };
            self.open.remove(&path);
        }
    }
}

/// How many messages are whole among the first `written` bytes; messages in files end with a line feed.
fn whole_messages(bytes: &[u8], written: usize, messages: u64) -> u64 {
    let lines = bytes.iter().take(written).filter(|byte| **byte == b'\n').count() as u64;
    lines.min(messages)
}

/// Appends all of `bytes`; on failure says how many stay. A line that was written in part is taken back where that is possible, so that
/// what follows later does not stick to it.
fn append(file: &mut File, bytes: &[u8], sync: bool) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), written)),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let whole = bytes[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                if whole < written
                    && let Ok(info) = file.metadata()
                    && info.file_type().is_file()
                {
                    let _ = file.set_len(info.size().saturating_sub((written - whole) as u64));
                }
                return Err((error, whole));
            }
        }
    }
    if sync {
        file.sync_data().map_err(|error| (error, written))?;
    }
    Ok(())
}

fn open(target: &Target, path: &Path) -> io::Result<File> {
    let options = &target.options;
    let existed = std::fs::symlink_metadata(path).is_ok();
    if !existed
        && options.create_dirs
        && let Some(folder) = path.parent()
    {
        make_folders(folder, options)?;
    }
    let file = match &target.dynamic {
        Some(dynamic) => {
            let inside = path.strip_prefix(&dynamic.base).map_err(|_| io::ErrorKind::PermissionDenied)?;
            let base = File::open(&dynamic.base)?;
            let how = sys::file::OpenHow { append_mode: Some(options.file_mode) };
            sys::file::open_beneath(&base, inside, how)?
        }
        None => OpenOptions::new()
            .append(true)
            .create(true)
            .mode(options.file_mode)
            .custom_flags(O_NOCTTY | O_NONBLOCK)
            .open(path)?,
    };
    if !existed && (options.owner.is_some() || options.group.is_some()) {
        let result = give(path, options.owner.as_deref(), options.group.as_deref());
        if options.fail_on_chown {
            result?;
        }
    }
    Ok(file)
}

fn make_folders(folder: &Path, options: &FileOptions) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(parent, options)?;
    }
    match std::fs::DirBuilder::new().mode(options.dir_mode).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    }
    if options.dir_owner.is_some() || options.dir_group.is_some() {
        give(folder, options.dir_owner.as_deref(), options.dir_group.as_deref())?;
    }
    Ok(())
}

/// Gives a path to an owner and a group, by name or number. Only root can; others keep what they make, as stock daemons do.
fn give(path: &Path, owner: Option<&str>, group: Option<&str>) -> io::Result<()> {
    if sys::process::effective_uid() != 0 {
        return Ok(());
    }
    let missing = |what: &str| io::Error::new(io::ErrorKind::NotFound, format!("nobody is called {what}"));
    let uid = match owner {
        None => None,
        Some(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => Some(sys::user::by_name(name)?.ok_or_else(|| missing(name))?.uid),
        },
    };
    let gid = match group {
        None => None,
        Some(name) => match name.parse() {
            Ok(number) => Some(number),
            Err(_) => Some(sys::user::group_id(name)?.ok_or_else(|| missing(name))?),
        },
    };
    chown(path, uid, gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sender: &FileSender, counters: &Arc<OutputCounters>, text: &str, path: Option<&str>) {
        let batch = Batch {
            bytes: text.as_bytes().to_vec(),
            ends: Vec::new(),
            messages: text.lines().count() as u64,
            path: path.map(|path| path.as_bytes().to_vec()),
        };
        sender.send(batch, counters);
    }

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("logd-files-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    /// Goal: what is handed over before the barrier is in the file after it, in order, and reopening follows a rename.
    #[test]
    fn batches_are_written_in_order() {
        let dir = folder("order");
        let thread = FileThread::start(Arc::new(Say::quiet())).expect("a thread");
        let counters = Arc::default();
        let sender = thread.sender(dir.join("sub/a.log"), &FileOptions::default(), None);
        for number in 0..100 {
            sent(&sender, &counters, &format!("{number}\n"), None);
        }
        thread.barrier();
        let expected: String = (0..100).map(|number| format!("{number}\n")).collect();
        assert_eq!(std::fs::read_to_string(dir.join("sub/a.log")).expect("the file"), expected);
        std::fs::rename(dir.join("sub/a.log"), dir.join("sub/a.log.1")).expect("a rename");
        thread.reopen();
        sent(&sender, &counters, "new\n", None);
        thread.finish();
        assert_eq!(std::fs::read_to_string(dir.join("sub/a.log")).expect("the file"), "new\n");
        assert_eq!(crate::counters::read(&counters.written), 101);
        std::fs::remove_dir_all(dir).expect("removed");
    }

    /// Goal: a name made from a message never leaves its folder, not even through a link, and what is refused is counted.
    #[test]
    fn a_name_from_a_message_stays_in_its_folder() {
        let dir = folder("dynamic");
        let outside = folder("outside");
        std::os::unix::fs::symlink(&outside, dir.join("link")).expect("a link");
        let thread = FileThread::start(Arc::new(Say::quiet())).expect("a thread");
        let counters = Arc::default();
        let prefix = format!("{}/", dir.display());
        let sender =
            thread.sender(PathBuf::new(), &FileOptions::default(), Some((prefix.clone().into_bytes(), 2)));
        for name in ["a", "b", "c"] {
            sent(&sender, &counters, "fine\n", Some(&format!("{prefix}{name}.log")));
        }
        sent(&sender, &counters, "bad\n", Some(&format!("{prefix}link/x")));
        sent(&sender, &counters, "bad\n", Some(&format!("{}/x", outside.display())));
        thread.finish();
        assert_eq!(crate::counters::read(&counters.written), 3);
        assert_eq!(crate::counters::read(&counters.lost), 2);
        assert_eq!(std::fs::read_dir(&outside).expect("a folder").count(), 0);
        std::fs::remove_dir_all(dir).expect("removed");
        std::fs::remove_dir_all(outside).expect("removed");
    }

    /// Goal: a full disk is counted and told, and nothing half-written stays. Method: /dev/full.
    #[test]
    fn a_full_disk_is_counted() {
        let thread = FileThread::start(Arc::new(Say::quiet())).expect("a thread");
        let counters = Arc::default();
        let sender = thread.sender(PathBuf::from("/dev/full"), &FileOptions::default(), None);
        sent(&sender, &counters, "a\nb\n", None);
        thread.finish();
        assert_eq!(crate::counters::read(&counters.lost), 2);
        assert_eq!(crate::counters::read(&counters.queued), 0);
    }

    /// Goal: a pipe where a file should be, which nobody reads, costs its own messages and stops no other file.
    #[test]
    fn a_pipe_that_nobody_reads_stops_nothing() {
        let dir = folder("pipe");
        let made = std::process::Command::new("mkfifo").arg(dir.join("pipe")).status().expect("mkfifo");
        assert!(made.success());
        let thread = FileThread::start(Arc::new(Say::quiet())).expect("a thread");
        let (pipe, plain): (Arc<OutputCounters>, Arc<OutputCounters>) = (Arc::default(), Arc::default());
        sent(&thread.sender(dir.join("pipe"), &FileOptions::default(), None), &pipe, "a\n", None);
        sent(&thread.sender(dir.join("plain"), &FileOptions::default(), None), &plain, "b\n", None);
        thread.barrier();
        assert_eq!(std::fs::read_to_string(dir.join("plain")).expect("the file"), "b\n");
        assert_eq!(crate::counters::read(&pipe.lost), 1);
        thread.finish();
        let _ = std::fs::remove_dir_all(&dir);
    }
}
