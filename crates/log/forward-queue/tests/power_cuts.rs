//! What a commit covered is delivered, in order, whatever the power, the process, the disk and the receiver do.
//!
//! Method: a backlog on a disk in memory, beside a receiver that takes, confirms, closes and resets as it likes. Seeded histories; at
//! random operations the power goes or the process dies, and the next opening goes on. At the end the receiver takes everything.

use std::collections::BTreeSet;
use std::time::Duration;

use forward_queue::{Backlog, Batch, End, Limits, QueueFile};
use segments::{CrashDisk, Storage};

const LIMITS: Limits = Limits { segment_octets: 4096, octets_max: 1 << 30 };

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

/// The message of a number, as it goes onto the wire: its length differs, and it may look like a block.
fn message(number: u64) -> Vec<u8> {
    let mut text = format!("{number} BLCK\x01\0\0\0").into_bytes();
    text.resize(12 + usize::try_from(number * 7919 % 300).expect("small"), b'.');
    text.push(b'\n');
    text
}

fn numbers(wire: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let lines = wire.split_inclusive(|octet| *octet == b'\n').filter(|line| line.ends_with(b"\n"));
    lines.map(|line| {
        let text = String::from_utf8_lossy(line);
        text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
    })
}

/// The other end of a connection.
#[derive(Default)]
struct Receiver {
    /// What its program has read, over all connections.
    read: Vec<u64>,
    /// Octets of this connection: written by us, of which so many are confirmed, of which so many are read.
    wire: Vec<u8>,
    confirmed: usize,
    taken: usize,
}

impl Receiver {
    fn unconfirmed(&self) -> u64 {
        (self.wire.len() - self.confirmed) as u64
    }

    /// Its kernel takes some, its program reads some.
    fn go_on(&mut self, random: &mut Random) {
        self.confirmed += usize::try_from(random.below(self.unconfirmed() + 1)).expect("small");
        let unread = (self.confirmed - self.taken) as u64;
        self.taken += usize::try_from(random.below(unread + 1)).expect("small");
    }

    fn ended(&mut self) {
        self.read.extend(numbers(&self.wire[..self.taken]));
        (self.wire, self.confirmed, self.taken) = (Vec::new(), 0, 0);
    }
}

fn open(disk: CrashDisk, seed: u64) -> Backlog<CrashDisk> {
    let (queue, recovered) = QueueFile::open(disk, seed, LIMITS).expect("a disk with its power on");
    assert!(recovered.unreadable.is_empty(), "{recovered:?}");
    Backlog::new(Some(queue))
}

fn write(backlog: &mut Backlog<CrashDisk>, receiver: &mut Receiver, most: usize) {
    let mut left = most;
    while left > 0 {
        let Some(bytes) = backlog.to_write(Duration::ZERO) else { break };
        let count = bytes.len().min(left);
        receiver.wire.extend_from_slice(&bytes[..count]);
        backlog.wrote(count);
        left -= count;
    }
}

/// A history of one seed. `resets`: the receiver may also lose what it has confirmed and not read; `crashing`: we may die.
fn history(seed: u64, resets: bool, crashing: bool) {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15));
    let mut backlog = open(CrashDisk::new(), seed);
    let mut receiver = Receiver::default();
    let (mut next, mut connected) = (0u64, false);
    let mut synced: BTreeSet<u64> = BTreeSet::new();
    // Handed over to this process and not synced.
    let mut fresh: BTreeSet<u64> = BTreeSet::new();
    let mut crashes = 0;
    for _ in 0..400 {
        let failed = match random.below(12) {
            0..=2 => {
                let mut batch = Batch::default();
                for _ in 0..1 + random.below(8) {
                    batch.push(&message(next));
                    fresh.insert(next);
                    next += 1;
                }
                backlog.push(batch);
                false
            }
            3..=5 if connected => {
                let most = usize::try_from(random.below(3000)).expect("small");
                write(&mut backlog, &mut receiver, most);
                receiver.go_on(&mut random);
                backlog.confirm(receiver.unconfirmed(), Duration::ZERO).is_err()
            }
            6 => match backlog.commit(receiver.unconfirmed()) {
                Ok(_) => {
                    synced.append(&mut fresh);
                    false
                }
                Err(_) => true,
            },
            7 => backlog.spill().is_err(),
            8 if connected => {
                connected = false;
                let end = if resets && random.below(2) == 0 { End::Broken } else { End::Orderly };
                let unconfirmed = receiver.unconfirmed();
                if end == End::Orderly {
                    receiver.taken = receiver.confirmed;
                }
                receiver.ended();
                backlog.connection_ended(end, unconfirmed).is_err()
            }
            9 => {
                connected = true;
                false
            }
            10 if crashing && random.below(4) == 0 => true,
            11 if crashing && random.below(4) == 0 => {
                let disk = backlog.storage_mut().expect("it has one");
                disk.cut_power_at(disk.operations() + random.below(12));
                false
            }
            _ => false,
        };
        if failed {
            // The process dies; with it perhaps the power. What the socket had goes on its way after a mere kill.
            crashes += 1;
            let power = random.below(2) == 0;
            assert!(crashing, "seed {seed}: a sound disk failed");
            if !power {
                receiver.confirmed = receiver.wire.len();
            }
            receiver.taken = receiver.confirmed;
            receiver.ended();
            connected = false;
            fresh.clear();
            let disk = backlog.into_storage().expect("it has one");
            let disk = disk.restart(&mut || !power || random.below(2) == 0);
            backlog = open(disk, seed ^ crashes);
        }
    }
    if backlog.commit(receiver.unconfirmed()).is_err() {
        // The trap springs at last.
        receiver.taken = receiver.confirmed;
        receiver.ended();
        backlog = open(backlog.into_storage().expect("it has one").restart(&mut || false), seed);
    } else {
        synced.append(&mut fresh);
    }
    if let Some(disk) = backlog.storage_mut() {
        disk.cut_power_at(u64::MAX);
    }
    receiver.taken = receiver.confirmed;
    let unconfirmed = receiver.unconfirmed();
    receiver.ended();
    backlog.connection_ended(End::Orderly, unconfirmed).expect("a sound disk");
    write(&mut backlog, &mut receiver, usize::MAX);
    receiver.confirmed = receiver.wire.len();
    receiver.taken = receiver.confirmed;
    backlog.confirm(0, Duration::ZERO).expect("a sound disk");
    receiver.ended();
    let have: BTreeSet<u64> = receiver.read.iter().copied().collect();
    let missing: Vec<&u64> = synced.iter().filter(|number| !have.contains(number)).collect();
    assert!(missing.is_empty(), "seed {seed}: lost {missing:?} after {crashes} crashes");
    // In order: what comes for the first time comes after all that came before.
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for number in &receiver.read {
        if seen.insert(*number) {
            assert!(last < Some(*number), "seed {seed}: {number} comes after {last:?}");
            last = Some(*number);
        }
    }
    assert!(!backlog.is_on_disk() && backlog.take_losses().is_empty(), "seed {seed}");
    let disk = backlog.into_storage().expect("it has one");
    assert_eq!(
        disk.list().expect("readable"),
        Vec::<u64>::new(),
        "seed {seed}: an empty queue has no segment"
    );
}

/// Goal: what a commit covered is delivered, whenever the power is cut or the process killed.
#[test]
fn nothing_committed_is_lost() {
    for seed in 0..400 {
        history(seed, false, true);
    }
}

/// Goal: while we live nothing at all is lost, though the receiver loses what its kernel had confirmed.
#[test]
fn resets_lose_nothing() {
    for seed in 0..200 {
        history(seed, true, false);
    }
}
