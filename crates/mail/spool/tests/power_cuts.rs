//! Goal: what a sync covered is found again after a power cut at every single write, whatever subset of the unsynced
//! sectors and names reached the disk. Method: a seeded story of appends, changes, removals, syncs and compactions on a
//! disk in memory; a model keeps what was acknowledged; the story is cut before each of its disk operations in turn.
use std::collections::BTreeMap;

use spool::CrashDisk;
use spool::{Change, Envelope, Limits, Recipient, Spool, SpoolError, State, StateKind, Storage};

/// Small, so that a short story has many segments and compactions.
const LIMITS: Limits = Limits { segment_octets: 4096, compact_above_octets: 16384 };

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
}

fn envelope(id: u64) -> Envelope {
    let recipient = |n: u64| Recipient {
        address: format!("r{n}@h"),
        original: format!("o{n}@h"),
        detail: vec![1, 2, 3],
        state: State::default(),
    };
    let recipients = (0..1 + id % 3).map(recipient).collect();
    Envelope { arrival_usec: id, sender: format!("s{id}@h"), attributes: vec![9; 5], recipients }
}

fn content(id: u64) -> Vec<u8> {
    let length = usize::try_from(id * 131 % 2500).unwrap_or(0);
    (0..length).map(|n| u8::try_from((n as u64 ^ id) & 0xff).unwrap_or(0)).collect()
}

/// What is known of one message: the attempts of its first recipient, and whether it was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Known {
    attempts: u32,
    removed: bool,
}

#[derive(Default)]
struct Model {
    /// As of the last good sync: promises.
    durable: BTreeMap<u64, Known>,
    /// As of now: possible.
    current: BTreeMap<u64, Known>,
}

/// Runs the story until it ends or the power is cut.
fn story(disk: CrashDisk, seed: u64, steps: usize, model: &mut Model) -> (CrashDisk, Result<(), SpoolError>) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut spool, _) = match Spool::open(disk.clone(), seed, LIMITS) {
        Ok(opened) => opened,
        Err(error) => return (disk, Err(error)),
    };
    let mut run = || -> Result<(), SpoolError> {
        for _ in 0..steps {
            let live: Vec<u64> = spool.entries().map(|(id, _)| id).collect();
            let some = || live.first().copied();
            match random.below(10) {
                0..=3 => {
                    let id = spool.last_id() + 1;
                    model.current.insert(id, Known { attempts: 0, removed: false });
                    let content = content(id);
                    let (head, tail) = content.split_at(content.len() / 2);
                    spool.append(id, envelope(id), &[head, tail])?;
                }
                4 | 5 if !live.is_empty() => {
                    let id = live[usize::try_from(random.below(live.len() as u64)).unwrap_or(0)];
                    if let Some(known) = model.current.get_mut(&id) {
                        known.attempts += 1;
                        let state = State { attempts: known.attempts, ..State::default() };
                        spool.change(id, &[Change { recipient: 0, state }], vec![])?;
                    }
                }
                6 => {
                    if let Some(id) = some() {
                        model.current.entry(id).and_modify(|k| k.removed = true);
                        spool.remove(id)?;
                    }
                }
                7 => drop(spool.compact()?),
                _ => {
                    spool.sync()?;
                    // What is owed is not covered.
                    if !spool.owes() {
                        model.durable.clone_from(&model.current);
                    }
                }
            }
        }
        Ok(())
    };
    let result = run();
    (spool.into_storage(), result)
}

/// Opens what was left and compares it with the model.
fn check(disk: CrashDisk, model: &Model, what: &str) {
    let (spool, _) = Spool::open(disk, 7, LIMITS).unwrap_or_else(|e| panic!("{what}: {e}"));
    for (&id, promised) in &model.durable {
        let now = model.current.get(&id).copied().unwrap_or(*promised);
        match spool.entry(id) {
            None => assert!(now.removed, "{what}: message {id} was acknowledged and is lost"),
            Some(entry) => {
                assert!(!promised.removed, "{what}: message {id} came back after a synced removal");
                let attempts = entry.envelope.recipients.first().map_or(0, |r| r.state.attempts);
                assert!(attempts >= promised.attempts, "{what}: a synced change of {id} is lost");
            }
        }
    }
    for (id, entry) in spool.entries() {
        let mut expected = envelope(id);
        if let (Some(to), Some(from)) = (expected.recipients.first_mut(), entry.envelope.recipients.first()) {
            to.state = from.state.clone();
        }
        assert_eq!(entry.envelope, expected, "{what}: envelope of {id}");
        assert_eq!(spool.content(id).ok(), Some(content(id)), "{what}: content of {id}");
        assert!(model.current.contains_key(&id), "{what}: message {id} was never sent");
    }
}

#[test]
fn nothing_synced_is_lost_at_any_cut() {
    let mut cuts = 0;
    for seed in 1..=4 {
        let (disk, result) = story(CrashDisk::new(), seed, 120, &mut Model::default());
        assert!(result.is_ok(), "{result:?}");
        for cut in 0..disk.operations() {
            let mut model = Model::default();
            let mut disk = CrashDisk::new();
            disk.cut_power_at(cut);
            let (disk, result) = story(disk, seed, 120, &mut model);
            // A cut within a change is owed in memory, so the story may end well; the disk is dead all the same.
            drop(result);
            for luck in 0..3 {
                let mut random = Random(seed * 1000 + luck * 77 + cut + 1);
                let left = disk.clone().restart(&mut || match luck {
                    0 => false,
                    1 => true,
                    _ => random.below(2) == 0,
                });
                check(left, &model, &format!("seed {seed}, cut {cut}, luck {luck}"));
                cuts += 1;
            }
        }
    }
    assert!(cuts > 1000, "{cuts} cuts");
}

/// Goal: the log does not grow without bound while a message stays in it, and segments really go.
#[test]
fn the_log_is_compacted() {
    let (mut spool, _) = Spool::open(CrashDisk::new(), 1, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    let go = |r: Result<spool::Ticket, SpoolError>| r.unwrap_or_else(|e| panic!("{e}"));
    go(spool.append(1, envelope(1), &[&content(1)]));
    for id in 2..400 {
        go(spool.append(id, envelope(id), &[&content(id)]));
        go(spool.sync());
        go(spool.remove(id));
        spool.compact().unwrap_or_else(|e| panic!("{e}"));
        let sizes = spool.statistics();
        assert!(sizes.log_octets < 32768, "{sizes:?}");
    }
    assert_eq!(spool.content(1).ok(), Some(content(1)));
    go(spool.sync());
    let (spool, _) = Spool::open(spool.into_storage(), 2, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(spool.entries().map(|(id, _)| id).collect::<Vec<_>>(), [1]);
}

/// Goal: a full disk refuses the message, keeps the others, and lets go what was delivered.
#[test]
fn a_full_disk_refuses_cleanly() {
    let mut disk = CrashDisk::new();
    disk.set_capacity(Some(20_000));
    let (mut spool, _) = Spool::open(disk, 1, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    let mut accepted = Vec::new();
    for id in 1..100 {
        match spool.append(id, envelope(id), &[&content(id)]) {
            Ok(_) => accepted.push(id),
            Err(SpoolError::Storage(e)) => assert_eq!(e.kind(), std::io::ErrorKind::StorageFull),
            Err(e) => panic!("{e}"),
        }
    }
    assert!(accepted.len() > 5 && accepted.len() < 99, "{}", accepted.len());
    spool.sync().unwrap_or_else(|e| panic!("{e}"));
    for &id in &accepted {
        assert_eq!(spool.content(id).ok(), Some(content(id)));
        spool.remove(id).unwrap_or_else(|e| panic!("{e}"));
    }
    spool.compact().unwrap_or_else(|e| panic!("{e}"));
    spool.append(200, envelope(200), &[&content(200)]).unwrap_or_else(|e| panic!("room again: {e}"));
    spool.sync().unwrap_or_else(|e| panic!("{e}"));
    assert!(!spool.owes());
    let (spool, _) = Spool::open(spool.into_storage(), 2, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(spool.entries().map(|(id, _)| id).collect::<Vec<_>>(), [200]);
}

/// Goal: after a failed sync its messages are gone for good, and the changes are kept.
#[test]
fn a_failed_sync_is_believed() {
    let (mut spool, _) = Spool::open(CrashDisk::new(), 1, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    spool.append(1, envelope(1), &[&content(1)]).unwrap_or_else(|e| panic!("{e}"));
    spool.append(2, envelope(2), &[&content(2)]).unwrap_or_else(|e| panic!("{e}"));
    spool.sync().unwrap_or_else(|e| panic!("{e}"));
    spool.storage_mut().fail_syncs(true);
    spool.append(3, envelope(3), &[&content(3)]).unwrap_or_else(|e| panic!("{e}"));
    let state = State { kind: StateKind::Failed, attempts: 5, ..State::default() };
    spool.change(1, &[Change { recipient: 0, state }], vec![]).unwrap_or_else(|e| panic!("{e}"));
    spool.remove(2).unwrap_or_else(|e| panic!("{e}"));
    assert!(spool.sync().is_err());
    assert!(spool.entry(3).is_none());
    spool.storage_mut().fail_syncs(false);
    spool.sync().unwrap_or_else(|e| panic!("{e}"));
    // Everything reached the disk, even the distrusted record of message 3.
    let disk = spool.into_storage().restart(&mut || true);
    let (spool, _) = Spool::open(disk, 2, LIMITS).unwrap_or_else(|e| panic!("{e}"));
    let left: Vec<_> = spool.entries().map(|(id, e)| (id, e.envelope.recipients[0].state.attempts)).collect();
    assert_eq!(left, [(1, 5)]);
}

/// Goal: one flipped bit anywhere costs at most one message, is reported, and a forged record in a message's content is
/// never read, even when the record around it is damaged.
#[test]
fn decay_is_reported_and_stepped_over() {
    let build = || {
        let (mut spool, _) =
            Spool::open(CrashDisk::new(), 1, Limits::default()).unwrap_or_else(|e| panic!("{e}"));
        // The forger knows the format, not the salt: the whole log of another spool as content.
        let (mut other, _) =
            Spool::open(CrashDisk::new(), 99, Limits::default()).unwrap_or_else(|e| panic!("{e}"));
        other.append(666, envelope(666), &[b"forged"]).unwrap_or_else(|e| panic!("{e}"));
        let mut disk = other.into_storage();
        let octets = usize::try_from(disk.len(1).unwrap_or(0)).unwrap_or(0);
        let forged = disk.read(1, 0, octets).unwrap_or_default();
        disk.sync(1).ok();
        for shift in 0..3_u64 {
            let padding = vec![b'x'; usize::try_from(shift).unwrap_or(0) * 3];
            spool
                .append(shift + 1, envelope(shift + 1), &[&padding, &forged])
                .unwrap_or_else(|e| panic!("{e}"));
        }
        spool.sync().unwrap_or_else(|e| panic!("{e}"));
        spool.into_storage()
    };
    let octets = usize::try_from(build().len(1).unwrap_or(0)).unwrap_or(0);
    let mut reported = 0;
    for octet in 40..octets {
        let mut disk = build();
        disk.flip_bit(1, octet);
        let (spool, report) = Spool::open(disk, 2, Limits::default()).unwrap_or_else(|e| panic!("{e}"));
        let ids: Vec<u64> = spool.entries().map(|(id, _)| id).collect();
        assert!(ids.len() >= 2 && !ids.contains(&666), "octet {octet}: {ids:?}");
        if ids.len() == 2 {
            assert!(!report.damage.is_empty() || report.torn_octets > 0, "octet {octet}: nothing reported");
            reported += 1;
        }
    }
    assert!(reported > octets / 2, "{reported} of {octets}");
}
