//! Cached reading: windows of the source, refilled where they are needed. Copies instead of a memory map, so that a file
//! that shrinks or a disk that fails is an error and not a signal.

use crate::ReadError;
use crate::storage::ReadAt;

/// Size of a window, bytes: large enough that a dump reads the disk in long strokes, small enough for a random look-up.
const WINDOW: u64 = 64 * 1024;

/// A source of bytes, shared with nobody.
pub(crate) type Source = Box<dyn ReadAt + Send>;

/// Windows over a source.
pub(crate) struct Windows<R = Source> {
    source: R,
    slots: Vec<Slot>,
    spill: Vec<u8>,
    len: u64,
}

#[derive(Default)]
struct Slot {
    /// Number of the window plus one; 0 is an empty slot.
    number: u64,
    bytes: Vec<u8>,
}

impl<R: ReadAt> Windows<R> {
    /// At most `slots` windows of `source`.
    pub(crate) fn new(source: R, slots: usize) -> std::io::Result<Self> {
        let len = source.len()?;
        let slots = (0..slots.max(1)).map(|_| Slot::default()).collect();
        Ok(Self { source, slots, spill: Vec::new(), len })
    }

    /// Size of the source when last looked at, bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The `len` bytes at `offset`.
    #[inline]
    pub(crate) fn bytes(&mut self, offset: u64, len: u64) -> Result<&[u8], ReadError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        if end.is_none() {
            return Err(ReadError::damaged(offset, "points beyond the end of the file"));
        }
        let within = offset % WINDOW;
        if within + len <= WINDOW {
            let window = self.window(offset / WINDOW)?;
            return window
                .get(within as usize..(within + len) as usize)
                .ok_or_else(|| ReadError::damaged(offset, "the file is shorter than it was"));
        }
        self.across(offset, len)
    }

    /// Bytes that lie in several windows, in a buffer of their own.
    fn across(&mut self, offset: u64, len: u64) -> Result<&[u8], ReadError> {
        let mut spill = std::mem::take(&mut self.spill);
        spill.clear();
        spill.resize(len as usize, 0);
        let got = self.source.read_at(&mut spill, offset)?;
        self.spill = spill;
        if (got as u64) < len {
            return Err(ReadError::damaged(offset, "the file is shorter than it was"));
        }
        Ok(&self.spill)
    }

    fn window(&mut self, number: u64) -> Result<&[u8], ReadError> {
        let index = (number % self.slots.len() as u64) as usize;
        let slot = &mut self.slots[index];
        if slot.number != number + 1 {
            slot.number = 0;
            slot.bytes.resize(WINDOW as usize, 0);
            let got = self.source.read_at(&mut slot.bytes, number * WINDOW)?;
            slot.bytes.truncate(got);
            slot.number = number + 1;
        }
        Ok(&slot.bytes)
    }

    /// The first bytes as they are now, past the cache.
    pub(crate) fn newest(&self, len: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0u8; len as usize];
        let got = self.source.read_at(&mut bytes, 0)?;
        bytes.truncate(got);
        Ok(bytes)
    }

    /// Forgets what was read, because the source may have changed.
    pub(crate) fn forget(&mut self) -> std::io::Result<()> {
        for slot in &mut self.slots {
            slot.number = 0;
        }
        self.len = self.source.len()?;
        Ok(())
    }

    /// Gives the memory back; reading on is possible.
    pub(crate) fn release(&mut self) {
        for slot in &mut self.slots {
            *slot = Slot::default();
        }
        self.spill = Vec::new();
    }
}
