//! The log: a stream of syslog messages, rules, and the journal on a disk that crashes.

use std::ops::ControlFlow;
use std::path::Path;

use journal_file::{
    AppendError, CrashDisk, Cursor, EntryRef, Fields, FileWriter, Id128, Identity, JournalFile, Limits,
    salvage, verify,
};
use log_core::Selector;
use record::{ClockQuality, MonotonicMicros, Priority, Record, UnixMicros};
use syslog_proto::{Header, Origin, Splitter};
use time_core::SimRandom;

/// Small files, so that histories rotate.
const FILE_BYTES_MAX: u64 = 2 << 20;

/// The longest message that the stream takes.
const MESSAGE_BYTES_MAX: usize = 8192;

pub(crate) struct Ledger {
    random: SimRandom,
    archived: Vec<CrashDisk>,
    disk: CrashDisk,
    writer: Option<FileWriter<CrashDisk>>,
    boot: Id128,
    splitter: Splitter,
    kept: Vec<u8>,
    selector: Selector,
    /// Numbers of the messages that the rule `*.info` took.
    pub(crate) selected: Vec<u64>,
    /// Numbers of appended records that no sync has covered yet, and of those that one has.
    unsynced: Vec<u64>,
    pub(crate) synced: Vec<u64>,
    pub(crate) crashes: u64,
    follower: Option<Follower>,
}

/// Where a reader stands.
struct Follower {
    number: usize,
    file: JournalFile,
    next: u64,
    cursor: Option<String>,
}

/// A record read back.
pub(crate) struct Found {
    pub(crate) cursor: String,
    pub(crate) record: Record,
}

/// The power is off, or the process dead: nothing goes on until a restart.
#[derive(Debug)]
pub(crate) struct Dead;

impl Ledger {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = SimRandom::new(seed ^ 0x6c6f_6773);
        let boot = id(&mut random);
        let mut ledger = Self {
            random,
            archived: Vec::new(),
            disk: CrashDisk::new(),
            writer: None,
            boot,
            splitter: Splitter::new(MESSAGE_BYTES_MAX),
            kept: Vec::new(),
            selector: Selector::parse("*.info").expect("a valid selector"),
            selected: Vec::new(),
            unsynced: Vec::new(),
            synced: Vec::new(),
            crashes: 0,
            follower: None,
        };
        ledger.create(None);
        ledger
    }

    /// Makes a new live file, in the sequence of the one before.
    fn create(&mut self, before: Option<(Id128, u64)>) {
        let file_id = id(&mut self.random);
        let (seqnum_id, last_seqnum) = before.unwrap_or((file_id, 0));
        let machine_id = Id128([7; 16]);
        let identity = Identity { file_id, machine_id, boot_id: self.boot, seqnum_id, last_seqnum };
        self.disk = CrashDisk::new();
        let writer = FileWriter::create(self.disk.clone(), &identity, limits());
        self.writer = Some(writer.expect("an empty disk takes a file"));
    }

    /// Lets the disk die after so many more writes.
    pub(crate) fn die_after(&mut self, writes: u64) {
        self.disk.die_after(writes);
    }

    /// A program logs: the message goes through the stream in pieces, and what comes out is parsed, judged and appended.
    pub(crate) fn log(
        &mut self,
        number: u64,
        priority: Priority,
        text: &str,
        stamp: (UnixMicros, MonotonicMicros, ClockQuality),
        extra: &[(&str, &str)],
    ) -> Result<(), Dead> {
        let mut message = Vec::new();
        let header = header(priority);
        syslog_proto::build_rfc3164(&header, text.as_bytes(), &mut message);
        let mut wire = Vec::new();
        if self.random.uniform() < 0.5 {
            syslog_proto::write_octet_counted(&message, &mut wire);
        } else {
            wire.extend_from_slice(&message);
            wire.push(b'\n');
        }
        let mut rest = wire.as_slice();
        let mut frames: Vec<Vec<u8>> = Vec::new();
        while !rest.is_empty() {
            let piece = 1 + self.random.next_u64() as usize % rest.len();
            self.kept.extend_from_slice(&rest[..piece]);
            rest = &rest[piece..];
            loop {
                let split = self.splitter.split(&self.kept);
                let frame = split.frame.map(|frame| frame.message.to_vec());
                let consumed = split.consumed;
                self.kept.drain(..consumed);
                match frame {
                    Some(frame) => frames.push(frame),
                    None => break,
                }
            }
        }
        assert_eq!(frames.len(), 1, "one message is one frame, however it was cut");
        let parsed = syslog_proto::parse(&frames[0], Origin::Local);
        assert_eq!(parsed.priority, priority);
        assert_eq!(String::from_utf8_lossy(parsed.msg).trim_start(), text, "the text comes through");
        if self.selector.matches(parsed.priority.pri()) {
            self.selected.push(number);
        }
        let (realtime, monotonic, quality) = stamp;
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = vec![
            (b"MESSAGE".to_vec(), parsed.msg.trim_ascii_start().to_vec()),
            (b"PRIORITY".to_vec(), parsed.priority.severity.code().to_string().into_bytes()),
            (b"SYSLOG_FACILITY".to_vec(), parsed.priority.facility.code().to_string().into_bytes()),
            (b"SYSLOG_IDENTIFIER".to_vec(), parsed.tag.to_vec()),
            (b"SIM_NUMBER".to_vec(), number.to_string().into_bytes()),
            (b"_CLOCK_SYNCED".to_vec(), u8::from(quality.synced).to_string().into_bytes()),
        ];
        if let Some(error) = quality.stated_error_usec() {
            fields.push((b"_CLOCK_ERROR_USEC".to_vec(), error.to_string().into_bytes()));
        }
        fields
            .extend(extra.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
        let pairs: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        let entry = EntryRef { realtime, monotonic, boot_id: self.boot, fields: Fields::Pairs(&pairs) };
        self.append(&entry)?;
        self.unsynced.push(number);
        Ok(())
    }

    fn append(&mut self, entry: &EntryRef<'_>) -> Result<(), Dead> {
        let writer = self.writer.as_mut().ok_or(Dead)?;
        match writer.append(entry) {
            Ok(_) => Ok(()),
            Err(AppendError::Rotate(_)) => {
                self.rotate()?;
                let writer = self.writer.as_mut().ok_or(Dead)?;
                writer.append(entry).map(drop).map_err(|_| Dead)
            }
            Err(AppendError::Storage(_)) => Err(Dead),
            Err(AppendError::Invalid(what)) => {
                panic!("a record that every journal can hold was refused: {what}")
            }
        }
    }

    fn rotate(&mut self) -> Result<(), Dead> {
        let writer = self.writer.as_mut().ok_or(Dead)?;
        writer.archive().map_err(|_| Dead)?;
        // Archiving syncs: everything appended so far is durable.
        self.synced.append(&mut self.unsynced);
        let before = (writer.header().seqnum_id, writer.last_number());
        self.archived.push(self.disk.clone());
        self.create(Some(before));
        Ok(())
    }

    /// Shows what was appended to readers.
    pub(crate) fn publish(&mut self) -> Result<(), Dead> {
        self.writer.as_mut().ok_or(Dead)?.publish().map_err(|_| Dead)
    }

    /// Makes what was appended durable, and only then counts it as acknowledged.
    pub(crate) fn sync(&mut self) -> Result<(), Dead> {
        let writer = self.writer.as_mut().ok_or(Dead)?;
        writer.publish().and_then(|()| writer.sync()).map_err(|_| Dead)?;
        self.synced.append(&mut self.unsynced);
        Ok(())
    }

    /// The process was killed or the power failed; the next start repairs without help.
    pub(crate) fn restart(&mut self, power: bool) {
        self.crashes += 1;
        self.writer = None;
        self.follower = None;
        self.kept.clear();
        self.splitter = Splitter::new(MESSAGE_BYTES_MAX);
        let bytes = if power {
            self.boot = id(&mut self.random);
            let random = &mut self.random;
            self.disk.after_power_cut(|| random.uniform() < 0.5)
        } else {
            self.disk.after_kill()
        };
        self.unsynced.clear();
        let old = CrashDisk::with_content(bytes);
        let sound = verify(&old).is_ok_and(|report| report.sound());
        let resumed = if sound { FileWriter::resume(old.clone(), limits()).ok() } else { None };
        match resumed {
            Some(writer) => {
                self.disk = old;
                self.writer = Some(writer);
            }
            None => {
                // Damaged, or cut before its first header was whole: what is readable goes over into a new file.
                let file = JournalFile::from_source(Box::new(old.clone()), Path::new("live"));
                let before =
                    file.as_ref().ok().map(|file| (file.header().seqnum_id, file.header().head_seqnum));
                self.create(before.map(|(id, head)| (id, head.saturating_sub(1))).or(self.newest_archive()));
                let writer = self.writer.as_mut().expect("just made");
                if let Ok(mut file) = file {
                    let _ = salvage(&mut file, writer);
                    writer.raise_seqnum(file.header().tail_seqnum);
                }
                writer.sync().expect("a fresh disk syncs");
            }
        }
        self.begin_file().expect("a fresh disk archives");
    }

    fn newest_archive(&self) -> Option<(Id128, u64)> {
        let file =
            JournalFile::from_source(Box::new(self.archived.last()?.clone()), Path::new("file")).ok()?;
        Some((file.header().seqnum_id, file.header().tail_seqnum))
    }

    /// After an end that was not clean: a new file, as `JournalWriter` makes it, with numbers that no lost entry can have had.
    fn begin_file(&mut self) -> Result<(), Dead> {
        let writer = self.writer.as_mut().ok_or(Dead)?;
        let header = writer.header();
        let (id, last, empty) = (header.seqnum_id, writer.last_number(), header.entries == 0);
        if !empty {
            writer.archive().map_err(|_| Dead)?;
            self.archived.push(self.disk.clone());
        }
        self.create(Some((id, last + (1 << 32))));
        Ok(())
    }

    /// The published records behind `cursor`, in order, at most `limit`. Where the reader stood is remembered, as a daemon that
    /// follows remembers it; after a restart it looks its cursor up.
    pub(crate) fn read_after(&mut self, cursor: Option<&str>, limit: usize) -> Vec<Found> {
        let mut found = Vec::new();
        let mut follower = match self.follower.take() {
            Some(follower) if follower.cursor.as_deref() == cursor => follower,
            _ => self.look_up(cursor),
        };
        while found.len() < limit {
            let _ = follower.file.refresh();
            while follower.next < follower.file.entries() && found.len() < limit {
                let one = read(&mut follower.file, follower.next);
                follower.next += 1;
                follower.cursor = Some(one.cursor.clone());
                found.push(one);
            }
            if found.len() >= limit || follower.number >= self.archived.len() {
                break;
            }
            follower = Follower { cursor: follower.cursor, ..self.open(follower.number + 1) };
        }
        self.follower = Some(follower);
        found
    }

    /// The file of a number: the archived ones in order, then the live one.
    fn open(&self, number: usize) -> Follower {
        let disk = self.archived.get(number).unwrap_or(&self.disk).clone();
        let file = JournalFile::from_source(Box::new(disk), Path::new("file")).expect("a sound file opens");
        Follower { number, file, next: 0, cursor: None }
    }

    /// Finds the place behind a cursor. Numbers rise within the sequence, which is one for all files.
    fn look_up(&self, cursor: Option<&str>) -> Follower {
        let parsed: Option<Cursor> = cursor.and_then(|text| text.parse().ok());
        let after = parsed.and_then(|cursor| cursor.seqnum).map_or(0, |(_, number)| number);
        for number in 0..=self.archived.len() {
            let mut follower = self.open(number);
            if follower.file.header().tail_seqnum > after || number == self.archived.len() {
                while follower.next < follower.file.entries() {
                    let offset = follower.file.entry_offset(follower.next).expect("a sound file");
                    if follower.file.entry(offset).expect("a sound file").seqnum > after {
                        break;
                    }
                    follower.next += 1;
                }
                return Follower { cursor: cursor.map(str::to_owned), ..follower };
            }
        }
        self.open(0)
    }

    /// Checks every file and that every synced record is there once and in order.
    pub(crate) fn check(&mut self) {
        for disk in self.archived.iter().chain([&self.disk]) {
            let report = verify(disk).expect("a journal file can be read");
            assert!(report.sound(), "a journal file is damaged: {:?}", report.damages);
        }
        self.follower = None;
        let all = self.read_after(None, usize::MAX);
        let numbers: Vec<u64> = all.iter().filter_map(|found| number(&found.record)).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "records are there once and in order");
        let missing: Vec<&u64> =
            self.synced.iter().filter(|number| numbers.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "synced records are lost: {missing:?}");
    }
}

fn read(file: &mut JournalFile, index: u64) -> Found {
    let offset = file.entry_offset(index).expect("a sound file");
    let entry = file.entry(offset).expect("a sound file");
    let mut record = Record { realtime: UnixMicros(entry.realtime), fields: Vec::new() };
    let read = file.for_each_field(offset, |payload| {
        let equals = payload.iter().position(|byte| *byte == b'=').unwrap_or(payload.len());
        let name = String::from_utf8_lossy(&payload[..equals]).into_owned();
        record.push(name, payload.get(equals + 1..).unwrap_or_default());
        ControlFlow::Continue(())
    });
    read.expect("a sound file");
    Found { cursor: Cursor::of(file.header().seqnum_id, &entry).to_string(), record }
}

/// The number that the simulator gave a record.
pub(crate) fn number(record: &Record) -> Option<u64> {
    record.text("SIM_NUMBER")?.parse().ok()
}

fn limits() -> Limits {
    Limits { max_size: FILE_BYTES_MAX, grow_step: 256 << 10, ..Limits::default() }
}

fn header(priority: Priority) -> Header<'static> {
    Header {
        priority,
        timestamp: None,
        hostname: None,
        app_name: b"app",
        procid: None,
        msgid: None,
        structured_data: None,
    }
}

fn id(random: &mut SimRandom) -> Id128 {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&random.next_u64().to_le_bytes());
    bytes[8..].copy_from_slice(&random.next_u64().to_le_bytes());
    Id128(bytes)
}
