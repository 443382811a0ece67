//! Where the bytes of a file are: the trait, and its form in memory, which can lose what was not synced.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that can be read at any place.
pub trait ReadAt {
    /// Reads into `buffer` from `offset`; fewer bytes only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// What a writer needs of a file.
pub trait Storage: ReadAt {
    /// Writes all of `bytes` at `offset`, which lies within the size; seen by readers at once, durable after [`Storage::sync`].
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Changes the size; new bytes are zero and their space is reserved, so that writing them later cannot fail for want of it.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Returns when everything written is durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }
}

impl<T: Storage + ?Sized> Storage for Box<T> {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (**self).write_at(bytes, offset)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        (**self).set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// A disk in memory that remembers which writes a power cut could lose. Clones share the same disk.
#[derive(Debug, Clone, Default)]
pub struct CrashDisk(Arc<Mutex<Disk>>);

#[derive(Debug, Default)]
struct Disk {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    capacity: Option<u64>,
    writes_left: Option<u64>,
    syncs: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Len(u64),
}

/// A sector: what a disk writes whole, bytes.
const SECTOR: u64 = 512;

impl CrashDisk {
    /// An empty disk without limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with this content, durable.
    pub fn with_content(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk { durable: bytes.clone(), seen: bytes, ..Disk::default() })))
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Growing beyond `bytes` fails with `StorageFull` from now on.
    pub fn limit(&self, bytes: u64) {
        self.disk().capacity = Some(bytes);
    }

    /// The process dies at the write after `writes` more: that one and all after it fail and change nothing.
    pub fn die_after(&self, writes: u64) {
        self.disk().writes_left = Some(writes);
    }

    /// What the next process sees after this one was killed: all writes that were made.
    pub fn after_kill(&self) -> Vec<u8> {
        self.disk().seen.clone()
    }

    /// What may stand on the disk after a power cut: everything synced, and of each unsynced write the sectors for which
    /// `keep` says true (it is asked once a sector; give it a seeded random source).
    pub fn after_power_cut(&self, mut keep: impl FnMut() -> bool) -> Vec<u8> {
        let disk = self.disk();
        let mut bytes = disk.durable.clone();
        for change in &disk.unsynced {
            match change {
                Change::Len(len) => {
                    if keep() {
                        bytes.resize(*len as usize, 0);
                    }
                }
                Change::Write(offset, content) => {
                    let mut at = 0u64;
                    while at < content.len() as u64 {
                        let place = offset + at;
                        let part = (SECTOR - place % SECTOR).min(content.len() as u64 - at);
                        if keep() {
                            let end = (place + part) as usize;
                            if bytes.len() < end {
                                bytes.resize(end, 0);
                            }
                            bytes[place as usize..end]
                                .copy_from_slice(&content[at as usize..(at + part) as usize]);
                        }
                        at += part;
                    }
                }
            }
        }
        bytes
    }

    /// How often it was synced.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }
}

impl Disk {
    fn step(&mut self) -> io::Result<()> {
        match &mut self.writes_left {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl ReadAt for CrashDisk {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk();
        let from = (offset as usize).min(disk.seen.len());
        let len = buffer.len().min(disk.seen.len() - from);
        buffer[..len].copy_from_slice(&disk.seen[from..from + len]);
        Ok(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk().seen.len() as u64)
    }
}

impl Storage for CrashDisk {
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        let end = offset as usize + bytes.len();
        if disk.seen.len() < end {
            return Err(io::Error::other("a write beyond the reserved space"));
        }
        disk.seen[offset as usize..end].copy_from_slice(bytes);
        disk.unsynced.push(Change::Write(offset, bytes.to_vec()));
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        if disk.capacity.is_some_and(|capacity| len > capacity && len > disk.seen.len() as u64) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.seen.resize(len as usize, 0);
        disk.unsynced.push(Change::Len(len));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.step()?;
        disk.durable = disk.seen.clone();
        disk.unsynced.clear();
        disk.syncs += 1;
        Ok(())
    }
}
