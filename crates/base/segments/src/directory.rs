//! [`Storage`] in a directory.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::Storage;

/// Most segments that are held open for reading at once.
const OPEN_SEGMENTS_MAX: usize = 64;

/// A directory of segments, locked so that one process at a time writes to it.
#[derive(Debug)]
pub struct Directory {
    dir: PathBuf,
    open: Mutex<HashMap<u64, File>>,
    _lock: File,
}

impl Directory {
    /// Opens a directory, creating it with mode 0700 where it is missing. An error of kind `WouldBlock` means that
    /// another process has it.
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(dir.join("lock"))?;
        sys::file::flock_exclusive(&lock, false)?;
        Ok(Self { dir: dir.to_owned(), open: Mutex::new(HashMap::new()), _lock: lock })
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(format!("{segment:016x}.seg"))
    }

    fn with_file<T>(&self, segment: u64, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        let mut open = self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(file) = open.get(&segment) {
            return act(file);
        }
        if open.len() >= OPEN_SEGMENTS_MAX {
            open.clear();
        }
        let file = OpenOptions::new().read(true).write(true).open(self.path(segment))?;
        act(open.entry(segment).or_insert(file))
    }
}

impl Storage for Directory {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|n| n.strip_suffix(".seg")).filter(|d| d.len() == 16);
            numbers.extend(digits.and_then(|d| u64::from_str_radix(d, 16).ok()));
        }
        Ok(numbers)
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        let path = self.path(segment);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(segment, file);
        Ok(())
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with_file(segment, |file| file.write_all_at(bytes, offset))
    }

    fn read(&self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.with_file(segment, |file| {
            let mut buffer = vec![0; length];
            file.read_exact_at(&mut buffer, offset)?;
            Ok(buffer)
        })
    }

    fn len(&self, segment: u64) -> io::Result<u64> {
        self.with_file(segment, |file| Ok(file.metadata()?.len()))
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        self.with_file(segment, File::sync_data)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        sys::file::sync_dir(&self.dir)
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&segment);
        std::fs::remove_file(self.path(segment))
    }
}
