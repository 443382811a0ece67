//! Tests of the writer against our reader and our verification; `crates/test/compliance` holds it to the stock ones.

use std::ops::ControlFlow;
use std::path::Path;

use record::{MonotonicMicros, UnixMicros};
use sys::host::Id128;

use super::*;
use crate::reader::JournalFile;
use crate::storage::CrashDisk;
use crate::verify::verify;

fn identity() -> Identity {
    Identity {
        file_id: Id128([7; 16]),
        machine_id: Id128([1; 16]),
        boot_id: Id128([2; 16]),
        seqnum_id: Id128([3; 16]),
        last_seqnum: 0,
    }
}

fn small(compact: bool) -> Limits {
    Limits { max_size: 1 << 20, grow_step: 64 << 10, compact, compress: true }
}

/// Entry `number`: fields that repeat, one that is new each time, one that is large.
fn payloads(number: u64) -> Vec<Vec<u8>> {
    let mut fields = vec![
        format!("MESSAGE=message number {number}").into_bytes(),
        b"_HOSTNAME=host".to_vec(),
        format!("PRIORITY={}", number % 8).into_bytes(),
        b"_HOSTNAME=host".to_vec(),
        b"EMPTY=".to_vec(),
        b"BINARY=\0\n\xff=".to_vec(),
    ];
    if number.is_multiple_of(5) {
        fields.push([b"LARGE=".to_vec(), format!("{number} ").repeat(400).into_bytes()].concat());
    }
    fields
}

fn append<S: Storage>(writer: &mut FileWriter<S>, number: u64) -> Result<u64, AppendError> {
    let payloads = payloads(number);
    let fields: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    writer.append(&EntryRef {
        realtime: UnixMicros(1_700_000_000_000_000 + number),
        monotonic: MonotonicMicros(1000 + number),
        boot_id: Id128([2; 16]),
        fields: Fields::Joined(&fields),
    })
}

/// All entries of the bytes: number and sorted fields.
fn read(bytes: Vec<u8>) -> Vec<(u64, Vec<Vec<u8>>)> {
    let disk = CrashDisk::with_content(bytes);
    let Ok(mut file) = JournalFile::from_source(Box::new(disk), Path::new("test.journal")) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for index in 0..file.entries() {
        let Ok(entry) = file.entry_offset(index).and_then(|offset| file.entry(offset)) else { continue };
        let mut fields = Vec::new();
        let outcome = file.for_each_field(entry.offset, |field| {
            fields.push(field.to_vec());
            ControlFlow::Continue(())
        });
        if outcome.is_ok() {
            fields.sort();
            entries.push((entry.seqnum, fields));
        }
    }
    entries
}

fn expected(count: u64) -> Vec<(u64, Vec<Vec<u8>>)> {
    let entry = |number: u64| {
        let mut fields = payloads(number);
        fields.sort();
        fields.dedup();
        (number + 1, fields)
    };
    (0..count).map(entry).collect()
}

/// Goal: what is appended is read back, in batches of any size, in both forms, and passes verification at every
/// publication; taking the file up again changes nothing.
#[test]
fn entries_come_back_and_verify() {
    for compact in [true, false] {
        for batch in [1, 7, 300] {
            let disk = CrashDisk::new();
            let mut writer = FileWriter::create(disk.clone(), &identity(), small(compact)).expect("room");
            for number in 0..300 {
                append(&mut writer, number).expect("valid");
                if number % batch == batch - 1 {
                    writer.publish().expect("room");
                }
                if number == 150 {
                    writer.set_offline().expect("room");
                    drop(writer);
                    writer = FileWriter::resume(disk.clone(), small(compact)).expect("sound");
                }
            }
            writer.sync().expect("room");
            let report = verify(&disk).expect("readable");
            assert_eq!(report.damages, [], "compact {compact}, batch {batch}");
            assert_eq!(read(disk.after_kill()), expected(300));
            writer.archive().expect("room");
            assert!(verify(&disk).expect("readable").sound());
            assert_eq!(read(disk.after_kill()), expected(300));
        }
    }
}

/// Goal: a process that dies at any write leaves a file that readers accept up to the last published entry at least.
#[test]
fn a_kill_at_any_write_keeps_what_was_published() {
    for writes in 4..400 {
        let disk = CrashDisk::new();
        let mut writer = FileWriter::create(disk.clone(), &identity(), small(true)).expect("room");
        disk.die_after(writes);
        let mut published = 0;
        for number in 0..40 {
            if append(&mut writer, number).is_err() {
                break;
            }
            if number % 3 == 2 {
                if writer.publish().is_err() {
                    break;
                }
                published = number + 1;
            }
        }
        let left = disk.after_kill();
        let entries = read(left.clone());
        assert!(entries.len() as u64 >= published, "{writes} writes: {} of {published}", entries.len());
        assert_eq!(entries, expected(entries.len() as u64));
        salvaged_is_sound(left, published);
    }
}

/// Goal: after a power cut that loses any sectors written since the last sync, salvage gives at least what was synced, in
/// a sound file.
#[test]
fn a_power_cut_keeps_what_was_synced() {
    let mut seed = 0x1234_5678_9abc_def1_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..60 {
        let disk = CrashDisk::new();
        let mut writer = FileWriter::create(disk.clone(), &identity(), small(round % 2 == 0)).expect("room");
        let (synced, unsynced) = (random() % 60, random() % 60);
        for number in 0..synced + unsynced {
            append(&mut writer, number).expect("room");
            if random() % 4 == 0 {
                writer.publish().expect("room");
            }
            if number + 1 == synced {
                writer.sync().expect("room");
            }
        }
        writer.publish().expect("room");
        let synced = if synced == 0 { 0 } else { synced };
        salvaged_is_sound(disk.after_power_cut(|| random() % 2 == 0), synced);
    }
}

fn salvaged_is_sound(left: Vec<u8>, at_least: u64) {
    let source = CrashDisk::with_content(left);
    let mut damaged =
        JournalFile::from_source(Box::new(source), Path::new("test.journal")).expect("a header");
    let disk = CrashDisk::new();
    let mut writer = FileWriter::create(disk.clone(), &identity(), small(true)).expect("room");
    let salvaged = crate::salvage(&mut damaged, &mut writer).expect("readable");
    writer.sync().expect("room");
    assert!(salvaged.entries >= at_least, "{} of {at_least}", salvaged.entries);
    assert_eq!(verify(&disk).expect("readable").damages, []);
    let entries = read(disk.after_kill());
    assert_eq!(entries[..at_least as usize], expected(at_least));
}

/// Goal: a full disk is an error before anything is changed; the file stays valid and takes entries again later.
#[test]
fn a_full_disk_changes_nothing() {
    let disk = CrashDisk::new();
    let mut writer = FileWriter::create(disk.clone(), &identity(), small(true)).expect("room");
    disk.limit(disk.after_kill().len() as u64);
    let mut stored = 0;
    let error = loop {
        match append(&mut writer, stored) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(&error, AppendError::Storage(error) if error.kind() == io::ErrorKind::StorageFull),
        "{error}"
    );
    writer.publish().expect("reserved");
    assert_eq!(verify(&disk).expect("readable").damages, []);
    assert_eq!(read(disk.after_kill()), expected(stored));
    disk.limit(1 << 20);
    append(&mut writer, stored).expect("room again");
    writer.publish().expect("room");
    assert_eq!(read(disk.after_kill()), expected(stored + 1));
}

/// Goal: what no journal can hold is refused, what needs a new file says so, and nothing of it is stored.
#[test]
fn refusals() {
    let disk = CrashDisk::new();
    let mut writer = FileWriter::create(disk, &identity(), small(true)).expect("room");
    append(&mut writer, 5).expect("valid");
    let mut check = |realtime: u64, fields: &[(&[u8], &[u8])], expected: &str| {
        let entry = EntryRef {
            realtime: UnixMicros(realtime),
            monotonic: MonotonicMicros(9999),
            boot_id: Id128([2; 16]),
            fields: Fields::Pairs(fields),
        };
        let error = writer.append(&entry).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert_eq!(writer.header().entries, 1);
    };
    let later = 1_800_000_000_000_000;
    check(1000, &[(b"A", b"1")], "ClockBackwards");
    check(later, &[], "0 fields");
    check(later, &[(b"lower", b"1")], "`lower` is no field name");
    check(later, &[(b"", b"1")], "no field name");
    check(later, &[(b"1A", b"1")], "no field name");
    check(1 << 56, &[(b"A", b"1")], "a time outside");
}
