//! What the log needs of a file system.

use std::io;

/// Segments by number. Nothing is durable before it was synced; a power cut may lose any part of the rest.
pub trait Storage {
    /// The numbers of all segments, in any order.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Creates an empty segment; an error if there is one of that number.
    fn create(&mut self, segment: u64) -> io::Result<()>;
    /// Writes all of `bytes` at an offset, growing the segment; on an error any part may have been written.
    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads exactly `length` octets.
    fn read(&self, segment: u64, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// The segment's length in octets.
    fn len(&self, segment: u64) -> io::Result<u64>;
    /// Makes everything written to the segment durable (its name apart).
    fn sync(&mut self, segment: u64) -> io::Result<()>;
    /// Makes creations and removals durable.
    fn sync_names(&mut self) -> io::Result<()>;
    /// Removes a segment.
    fn remove(&mut self, segment: u64) -> io::Result<()>;
}
