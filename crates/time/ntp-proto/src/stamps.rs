//! When replies left, found by the receive timestamp that they carried: what a server in interleaved mode must remember
//! (RFC 9769 section 2). Several clients behind one address are told apart, since no two replies have the same receive
//! timestamp.

use crate::timestamp::NtpTimestamp;

/// Places where one receive timestamp may stand.
const WAYS: usize = 4;
/// Bytes of one entry.
const ENTRY_BYTES: usize = 16;

/// A table of a fixed size; the oldest of [`WAYS`] entries gives way.
#[derive(Debug, Clone)]
pub struct StampTable {
    /// Receive and transmit timestamp of each entry, in turn; 0: free. Zeroes, so that the memory is the kernel's until used.
    words: Vec<u64>,
    mask: usize,
    held: u64,
}

impl StampTable {
    /// A table of at most `bytes`, and at least one group of entries.
    pub fn new(bytes: usize) -> Self {
        let groups = (bytes / (ENTRY_BYTES * WAYS)).max(1);
        let groups = 1_usize << groups.ilog2();
        Self { words: vec![0; groups * WAYS * 2], mask: groups - 1, held: 0 }
    }

    /// Which group: the low bits of the fraction are the most random ones.
    fn group(&self, received: u64) -> usize {
        (received.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & self.mask
    }

    fn entries(&self, received: u64) -> &[u64] {
        let start = self.group(received) * WAYS * 2;
        self.words.get(start..start + WAYS * 2).unwrap_or_default()
    }

    fn entries_mut(&mut self, received: u64) -> &mut [u64] {
        let start = self.group(received) * WAYS * 2;
        self.words.get_mut(start..start + WAYS * 2).unwrap_or_default()
    }

    /// Remembers that the reply with this receive timestamp leaves at `transmit`. False when another reply has the same receive
    /// timestamp: this one needs another, since it is found by nothing else.
    pub fn remember(&mut self, received: NtpTimestamp, transmit: NtpTimestamp) -> bool {
        let received = received.0;
        let mut oldest: Option<&mut [u64]> = None;
        for entry in self.entries_mut(received).chunks_exact_mut(2) {
            let [at, _] = *entry else { continue };
            if at == received {
                return false;
            }
            // A free entry is older than any.
            let age = |at: u64| if at == 0 { i64::MAX } else { received.wrapping_sub(at) as i64 };
            if oldest.as_ref().and_then(|known| known.first()).is_none_or(|known| age(at) > age(*known)) {
                oldest = Some(entry);
            }
        }
        if let Some(entry) = oldest {
            let was_free = entry.first() == Some(&0);
            entry.copy_from_slice(&[received, transmit.0]);
            self.held += u64::from(was_free);
        }
        true
    }

    /// The kernel said when the reply with this receive timestamp left; unknown: nobody can say.
    pub fn correct(&mut self, received: NtpTimestamp, transmit: NtpTimestamp) {
        for entry in self.entries_mut(received.0).chunks_exact_mut(2) {
            if let [at, left] = entry
                && *at == received.0
            {
                *left = transmit.0;
            }
        }
    }

    /// When the reply with this receive timestamp left; none when it is not remembered, unknown when nobody can say.
    pub fn left(&self, received: NtpTimestamp) -> Option<NtpTimestamp> {
        if received.is_unknown() {
            return None;
        }
        let found =
            self.entries(received.0).chunks_exact(2).find(|entry| entry.first() == Some(&received.0))?;
        found.get(1).map(|left| NtpTimestamp(*left))
    }

    /// How many replies are remembered, and the seconds between the first and the last of them.
    pub fn held(&self) -> (u64, f64) {
        let mut ends: Option<(u64, u64)> = None;
        for entry in self.words.chunks_exact(2) {
            let [at, _] = *entry else { continue };
            if at == 0 {
                continue;
            }
            ends = Some(match ends {
                None => (at, at),
                Some((first, last)) => (
                    if (at.wrapping_sub(first) as i64) < 0 { at } else { first },
                    if (at.wrapping_sub(last) as i64) > 0 { at } else { last },
                ),
            });
        }
        let span = ends.map_or(0.0, |(first, last)| NtpTimestamp(last).since(NtpTimestamp(first)));
        (self.held, span)
    }

    /// The bytes that the table takes.
    pub fn bytes(&self) -> usize {
        self.words.len() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a reply's time is found by its receive timestamp, one that is taken is told, corrections count.
    #[test]
    fn replies_are_found_by_their_receive_timestamp() {
        let mut table = StampTable::new(1024);
        assert_eq!(table.bytes(), 1024);
        assert!(table.remember(NtpTimestamp(1000), NtpTimestamp(2000)));
        assert!(!table.remember(NtpTimestamp(1000), NtpTimestamp(2001)));
        assert!(table.remember(NtpTimestamp(1001), NtpTimestamp(2001)));
        table.correct(NtpTimestamp(1001), NtpTimestamp(2005));
        table.correct(NtpTimestamp(77), NtpTimestamp(1));
        assert_eq!(table.held(), (2, NtpTimestamp(1001).since(NtpTimestamp(1000))));
        for (received, expected) in [(1001, Some(2005)), (1000, Some(2000)), (0, None), (77, None)] {
            assert_eq!(table.left(NtpTimestamp(received)), expected.map(NtpTimestamp));
        }
        table.correct(NtpTimestamp(1001), NtpTimestamp::UNKNOWN);
        assert_eq!(table.left(NtpTimestamp(1001)), Some(NtpTimestamp::UNKNOWN), "nobody can say");
    }

    /// Goal: the table does not grow, and the youngest are those that stay.
    #[test]
    fn the_oldest_give_way() {
        let mut table = StampTable::new(4096);
        let bytes = table.bytes();
        let count = 100_000_u64;
        for number in 1..=count {
            assert!(table.remember(NtpTimestamp(number << 20), NtpTimestamp(number)));
        }
        assert_eq!(table.bytes(), bytes);
        assert!(table.held().0 <= 256);
        let found =
            (count - 31..=count).filter(|number| table.left(NtpTimestamp(number << 20)).is_some()).count();
        assert!(found >= 31, "{found} of the youngest 32 are there");
        assert_eq!(table.left(NtpTimestamp(1 << 20)), None);
    }
}
