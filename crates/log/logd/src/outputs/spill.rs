//! The part of a forward's queue that stands on disk: while the receiver is away and memory has enough, and over a restart.
//!
//! The file is a list of frames: u32 little-endian length, then that many bytes: one message as it goes out. A frame that is cut short
//! (a crash while it was written) ends the list.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Batch;

/// Bytes on disk unless `queue.maxDiskSpace` says otherwise: a week of a small host, an hour of a busy one.
pub(super) const DISK_BYTES_DEFAULT: u64 = 1024 * 1024 * 1024;
/// Longest frame that is believed: no message is longer than a message limit may be.
const FRAME_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An open spill file; first in, first out.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: File,
    read_at: u64,
    write_at: u64,
    messages: u64,
    bytes_max: u64,
    /// `queue.syncQueueFiles`: what is written is synced before more is taken.
    sync: bool,
}

impl Spill {
    /// Opens what an earlier run left, or a new one.
    pub(super) fn open(path: &Path, bytes_max: u64, sync: bool) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        let (mut write_at, mut messages) = (0, 0);
        while let Some(end) = frame_end(&file, write_at, length)? {
            write_at = end;
            messages += 1;
        }
        file.set_len(write_at)?;
        Ok(Self { path: path.to_path_buf(), file, read_at: 0, write_at, messages, bytes_max, sync })
    }

    /// Messages that wait on disk.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Appends the messages of a batch; says how many did not fit.
    pub(super) fn append(&mut self, batch: &Batch) -> io::Result<u64> {
        let mut frames = Vec::with_capacity(batch.bytes.len() + batch.ends.len() * 4);
        let (mut taken, mut refused) = (0, 0);
        for message in batch.messages() {
            let size = 4 + message.len() as u64;
            if self.write_at - self.read_at + frames.len() as u64 + size > self.bytes_max {
                refused += 1;
                continue;
            }
            frames.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
            frames.extend_from_slice(message);
            taken += 1;
        }
        let written = self.file.write_all_at(&frames, self.write_at);
        if let Err(error) = written.and_then(|()| if self.sync { self.file.sync_data() } else { Ok(()) }) {
            let _ = self.file.set_len(self.write_at);
            return Err(error);
        }
        self.write_at += frames.len() as u64;
        self.messages += taken;
        Ok(refused)
    }

    /// Takes messages of up to `bytes_max` bytes from the front, at least one.
    pub(super) fn take(&mut self, bytes_max: usize) -> io::Result<Option<Batch>> {
        let mut batch = Batch::default();
        while self.messages > 0 && (batch.bytes.is_empty() || batch.bytes.len() < bytes_max) {
            let Some(end) = frame_end(&self.file, self.read_at, self.write_at)? else {
                self.messages = 0;
                break;
            };
            let from = batch.bytes.len();
            let length = usize::try_from(end - self.read_at - 4).unwrap_or(0);
            batch.bytes.resize(from + length, 0);
            self.file.read_exact_at(&mut batch.bytes[from..], self.read_at + 4)?;
            batch.ends.push(batch.bytes.len());
            batch.messages += 1;
            self.read_at = end;
            self.messages -= 1;
        }
        if self.messages == 0 {
            self.file.set_len(0)?;
            (self.read_at, self.write_at) = (0, 0);
        }
        Ok((batch.messages > 0).then_some(batch))
    }

    /// For the end: `before` (older than what is on disk) and the rest of the file become the new file, synced.
    pub(super) fn keep(mut self, before: &[Batch]) -> io::Result<()> {
        let mut content = Vec::new();
        for message in before.iter().flat_map(Batch::messages) {
            content.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes());
            content.extend_from_slice(message);
        }
        if content.is_empty() && self.messages == 0 {
            drop(self.file);
            return std::fs::remove_file(&self.path);
        }
        let mut beside = self.path.clone().into_os_string();
        beside.push(".new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&content)?;
        while let Some(batch) = self.take(1024 * 1024)? {
            for message in batch.messages() {
                file.write_all(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_le_bytes())?;
                file.write_all(message)?;
            }
        }
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        sys::file::sync_dir(self.path.parent().unwrap_or(Path::new("/")))
    }
}

/// Where the frame at `at` ends, if all of it is there.
fn frame_end(file: &File, at: u64, length: u64) -> io::Result<Option<u64>> {
    if length.saturating_sub(at) < 4 {
        return Ok(None);
    }
    let mut head = [0; 4];
    file.read_exact_at(&mut head, at)?;
    let size = u64::from(u32::from_le_bytes(head));
    Ok(Some(at + 4 + size).filter(|end| size <= FRAME_BYTES_MAX && *end <= length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(messages: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for message in messages {
            batch.bytes.extend_from_slice(message.as_bytes());
            batch.ends.push(batch.bytes.len());
            batch.messages += 1;
        }
        batch
    }

    fn all(spill: &mut Spill) -> String {
        let mut text = String::new();
        while let Some(batch) = spill.take(3).expect("readable") {
            text.push_str(&String::from_utf8_lossy(&batch.bytes));
        }
        text
    }

    /// Goal: order and content hold over a restart, a cut tail costs only itself, and the limit is a limit.
    #[test]
    fn a_restart_loses_nothing() {
        let path = std::env::temp_dir().join(format!("logd-spill-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut spill = Spill::open(&path, 1000, false).expect("a file");
        assert_eq!(spill.append(&batch(&["c", "d"])).expect("written"), 0);
        spill.keep(&[batch(&["a"]), batch(&["b"])]).expect("kept");
        let mut content = std::fs::read(&path).expect("the file");
        content.extend_from_slice(&[9, 0, 0, 0, b'x']);
        std::fs::write(&path, content).expect("written");
        let mut spill = Spill::open(&path, 1000, false).expect("a file");
        assert_eq!(spill.messages(), 4);
        assert_eq!(all(&mut spill), "abcd");
        let long = "z".repeat(600);
        assert_eq!(spill.append(&batch(&[&long, &long])).expect("written"), 1);
        assert_eq!(all(&mut spill), long);
        spill.keep(&[]).expect("removed");
        assert!(!path.exists());
    }
}
