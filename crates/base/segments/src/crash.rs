//! [`Storage`] in memory whose power can be cut between any two operations, for tests and the simulator.

use std::collections::BTreeMap;
use std::io;

use crate::Storage;

/// Unit in which unsynced writes are lost.
const SECTOR_OCTETS: usize = 512;

#[derive(Debug, Clone, Default)]
struct Segment {
    durable: Vec<u8>,
    current: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: std::collections::BTreeSet<usize>,
    name_durable: bool,
    removed: bool,
}

/// A disk in memory.
#[derive(Debug, Clone, Default)]
pub struct CrashDisk {
    segments: BTreeMap<u64, Segment>,
    operations: u64,
    cut_at: Option<u64>,
    fail_syncs: bool,
    capacity: Option<u64>,
}

impl CrashDisk {
    /// An empty disk with its power on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changing operations (create, write, sync, remove) so far.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Cuts the power before the operation of that number: it and everything after it fails.
    pub fn cut_power_at(&mut self, operation: u64) {
        self.cut_at = Some(operation);
    }

    /// Makes each data sync fail (a broken disk) or succeed again.
    pub fn fail_syncs(&mut self, fail: bool) {
        self.fail_syncs = fail;
    }

    /// Limits what all segments may hold together, in octets; none is no limit.
    pub fn set_capacity(&mut self, octets: Option<u64>) {
        self.capacity = octets;
    }

    /// Flips one bit, as a decaying disk does.
    pub fn flip_bit(&mut self, segment: u64, octet: usize) {
        if let Some(byte) = self.segments.get_mut(&segment).and_then(|s| s.current.get_mut(octet)) {
            *byte ^= 1;
        }
    }

    /// Power comes back. `keep` is asked for each unsynced sector and name whether it had reached the disk.
    pub fn restart(mut self, keep: &mut dyn FnMut() -> bool) -> Self {
        self.segments.retain(|_, segment| {
            let stays = if segment.removed { !keep() } else { segment.name_durable || keep() };
            let mut content = segment.durable.clone();
            for &sector in &segment.dirty {
                let at = sector * SECTOR_OCTETS;
                let end = (at + SECTOR_OCTETS).min(segment.current.len());
                if at < end && keep() {
                    if content.len() < end {
                        content.resize(end, 0);
                    }
                    if let (Some(to), Some(from)) = (content.get_mut(at..end), segment.current.get(at..end)) {
                        to.copy_from_slice(from);
                    }
                }
            }
            *segment = Segment {
                durable: content.clone(),
                current: content,
                dirty: Default::default(),
                name_durable: true,
                removed: false,
            };
            stays
        });
        Self { segments: self.segments, capacity: self.capacity, ..Self::default() }
    }

    fn step(&mut self) -> io::Result<()> {
        if self.cut_at.is_some_and(|at| self.operations >= at) {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        Ok(())
    }

    fn find(&self, segment: u64) -> io::Result<&Segment> {
        self.segments.get(&segment).filter(|s| !s.removed).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for CrashDisk {
    fn list(&self) -> io::Result<Vec<u64>> {
        Ok(self.segments.iter().filter(|(_, s)| !s.removed).map(|(n, _)| *n).collect())
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        self.step()?;
        if self.segments.contains_key(&segment) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.segments.insert(segment, Segment::default());
        Ok(())
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let used: usize = self.segments.values().filter(|s| !s.removed).map(|s| s.current.len()).sum();
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let room = self.capacity.map(|c| usize::try_from(c).unwrap_or(usize::MAX).saturating_sub(used));
        let target = self.segments.get_mut(&segment).filter(|s| !s.removed).ok_or(io::ErrorKind::NotFound)?;
        let growth = (at + bytes.len()).saturating_sub(target.current.len());
        // A full disk takes the first part of a write.
        let fits =
            room.map_or(bytes.len(), |room| bytes.len() - growth.saturating_sub(room).min(bytes.len()));
        let bytes_fit = bytes.get(..fits).unwrap_or_default();
        let end = at + bytes_fit.len();
        if target.current.len() < end {
            target.current.resize(end, 0);
        }
        if let Some(to) = target.current.get_mut(at..end) {
            to.copy_from_slice(bytes_fit);
        }
        target.dirty.extend(at / SECTOR_OCTETS..end.div_ceil(SECTOR_OCTETS));
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read(&self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.find(segment)?.current.get(at..at.saturating_add(length));
        Ok(bytes.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
    }

    fn len(&self, segment: u64) -> io::Result<u64> {
        Ok(self.find(segment)?.current.len() as u64)
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        self.step()?;
        if self.fail_syncs {
            return Err(io::Error::other("the disk is broken"));
        }
        let target = self.segments.get_mut(&segment).ok_or(io::ErrorKind::NotFound)?;
        target.durable.clone_from(&target.current);
        target.dirty.clear();
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.step()?;
        self.segments.retain(|_, s| !s.removed);
        self.segments.values_mut().for_each(|s| s.name_durable = true);
        Ok(())
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.step()?;
        let target = self.segments.get_mut(&segment).filter(|s| !s.removed).ok_or(io::ErrorKind::NotFound)?;
        target.removed = true;
        Ok(())
    }
}
