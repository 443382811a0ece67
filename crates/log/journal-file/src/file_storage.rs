//! The real storage: one file of the file system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::storage::{ReadAt, Storage};

/// Mode of new journal files: the owner writes, the group (systemd-journal) reads.
const MODE: u32 = 0o640;

/// A file as storage.
#[derive(Debug)]
pub struct FileStorage(File);

impl FileStorage {
    /// An existing file, only read. A pipe with the name of one is open at once, and every read of it fails.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        sys::file::open_to_read(path).map(Self)
    }

    /// An existing file, written.
    pub fn open_to_write(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(path).map(Self)
    }

    /// A new file; fails when there is one.
    pub fn create(path: &Path) -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(path).map(Self)
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl From<File> for FileStorage {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl ReadAt for FileStorage {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Storage for FileStorage {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len > now {
            // Reserve, do not only lengthen: a hole would turn a full disk into a torn batch.
            sys::file::allocate(&self.0, now, len - now)
        } else {
            self.0.set_len(len)
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
