//! Another log host over plain TCP: the forward queue on a disk that crashes, and a receiver that comes and goes.

use std::collections::BTreeSet;
use std::time::Duration;

use forward_queue::{Backlog, Batch, End, Limits, QueueFile};
use segments::CrashDisk;
use time_core::SimRandom;

use crate::ledger::Dead;

/// Small files, so that histories remove some.
const LIMITS: Limits = Limits { segment_octets: 2048, octets_max: 1 << 30 };

pub(crate) struct Relay {
    random: SimRandom,
    backlog: Backlog<CrashDisk>,
    connected: bool,
    /// Octets of this connection, and how many of them the receiver's kernel has confirmed.
    wire: Vec<u8>,
    confirmed: usize,
    /// Numbers that the receiver has read, copies included.
    pub(crate) received: Vec<u64>,
    unsynced: Vec<u64>,
    synced: Vec<u64>,
    pub(crate) cuts: u64,
}

impl Relay {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: SimRandom::new(seed ^ 0x7265_6c61),
            backlog: open(CrashDisk::new(), seed),
            connected: false,
            wire: Vec::new(),
            confirmed: 0,
            received: Vec::new(),
            unsynced: Vec::new(),
            synced: Vec::new(),
            cuts: 0,
        }
    }

    /// Lets the disk die after so many more operations.
    pub(crate) fn die_after(&mut self, operations: u64) {
        if let Some(disk) = self.backlog.storage_mut() {
            disk.cut_power_at(disk.operations() + operations);
        }
    }

    /// A record goes to the receiver too.
    pub(crate) fn log(&mut self, number: u64) {
        let mut batch = Batch::default();
        batch.push(format!("<13>{number} of the house\n").as_bytes());
        self.backlog.push(batch);
        self.unsynced.push(number);
    }

    /// A second of the connection's life.
    pub(crate) fn second(&mut self, troubled: bool) -> Result<(), Dead> {
        if !self.connected {
            self.connected = !troubled || self.random.uniform() < 0.05;
        } else if troubled && self.random.uniform() < 0.1 {
            self.cuts += 1;
            let unconfirmed = self.unconfirmed();
            self.end_of_connection();
            self.backlog.connection_ended(End::Orderly, unconfirmed).map_err(|_| Dead)?;
        }
        if !self.connected {
            return if self.random.uniform() < 0.02 {
                self.backlog.spill().map_err(|_| Dead)
            } else {
                Ok(())
            };
        }
        let mut room = if troubled { self.random.next_u64() as usize % 400 } else { usize::MAX };
        while room > 0 {
            let Some(bytes) = self.backlog.to_write(Duration::ZERO) else { break };
            let count = bytes.len().min(room);
            self.wire.extend_from_slice(&bytes[..count]);
            self.backlog.wrote(count);
            room -= count;
        }
        let share = if troubled { self.random.uniform() } else { 1.0 };
        self.confirmed += (self.unconfirmed() as f64 * share) as usize;
        self.backlog.confirm(self.unconfirmed(), Duration::ZERO).map_err(|_| Dead)
    }

    /// What the receiver's kernel has not confirmed is on disk.
    pub(crate) fn sync(&mut self) -> Result<(), Dead> {
        self.backlog.commit(self.unconfirmed()).map_err(|_| Dead)?;
        self.synced.append(&mut self.unsynced);
        Ok(())
    }

    /// The process was killed or the power failed; the next start repairs without help.
    pub(crate) fn restart(&mut self, power: bool) {
        if !power {
            // What the socket has taken goes on its way without us.
            self.confirmed = self.wire.len();
        }
        self.end_of_connection();
        self.unsynced.clear();
        let backlog = std::mem::replace(&mut self.backlog, Backlog::new(None));
        let disk = backlog.into_storage().expect("it has one");
        let random = &mut self.random;
        let disk = disk.restart(&mut || !power || random.uniform() < 0.5);
        self.backlog = open(disk, self.random.next_u64());
    }

    /// Checks that every synced record was received, in order, and that nothing waits.
    pub(crate) fn check(&mut self) {
        self.end_of_connection();
        assert!(
            !self.backlog.has_unsent() && !self.backlog.is_on_disk(),
            "lines wait after a long quiet time"
        );
        let (mut seen, mut last) = (BTreeSet::new(), 0);
        for number in &self.received {
            if seen.insert(*number) {
                assert!(last < *number, "line {number} comes after {last}");
                last = *number;
            }
        }
        let missing: Vec<&u64> = self.synced.iter().filter(|number| !seen.contains(number)).collect();
        assert!(missing.is_empty(), "synced lines that the receiver does not have: {missing:?}");
    }

    fn unconfirmed(&self) -> u64 {
        (self.wire.len() - self.confirmed) as u64
    }

    /// The receiver has read what its kernel had confirmed; the beginning of a line is no line.
    fn end_of_connection(&mut self) {
        let text = String::from_utf8_lossy(&self.wire[..self.confirmed]).into_owned();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        self.received.extend(
            lines.filter_map(|line| line.strip_prefix("<13>")?.split(' ').next()?.parse::<u64>().ok()),
        );
        self.wire.clear();
        self.confirmed = 0;
        self.connected = false;
    }
}

fn open(disk: CrashDisk, seed: u64) -> Backlog<CrashDisk> {
    let (queue, recovered) = QueueFile::open(disk, seed, LIMITS).expect("a disk with its power on opens");
    assert!(recovered.unreadable.is_empty(), "{recovered:?}");
    Backlog::new(Some(queue))
}
