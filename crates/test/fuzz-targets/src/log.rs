//! Syslog and the journal's socket protocols.

use std::ops::ControlFlow;
use std::path::Path;

use forward_queue::{Backlog, Batch, Limits, QueueFile};
use journal_file::{CrashDisk, JournalFile};
use segments::Storage;
use syslog_proto::export::{self, EntryRead};
use syslog_proto::stream::{self, HeaderRead};
use syslog_proto::{Origin, Splitter, native};

pub(crate) fn syslog_message(data: &[u8]) {
    for origin in [Origin::Network, Origin::Local] {
        let message = syslog_proto::parse(data, origin);
        assert!(message.priority.pri() < 192);
        assert!(message.text().len() <= data.len(), "a message's text is a part of the message");
    }
}

/// The messages of a stream that arrives in pieces of `piece` bytes.
fn frames(data: &[u8], piece: usize) -> Vec<Vec<u8>> {
    const MESSAGE_BYTES_MAX: usize = 64;
    let mut splitter = Splitter::new(MESSAGE_BYTES_MAX);
    let (mut kept, mut found) = (Vec::new(), Vec::new());
    for bytes in data.chunks(piece) {
        kept.extend_from_slice(bytes);
        loop {
            let split = splitter.split(&kept);
            let done = split.frame.is_none();
            if let Some(frame) = split.frame {
                assert!(frame.message.len() <= MESSAGE_BYTES_MAX);
                found.push(frame.message.to_vec());
            }
            let consumed = split.consumed;
            kept.drain(..consumed);
            if done {
                break;
            }
        }
        assert!(kept.len() <= splitter.buffer_bytes_max(), "a peer must not make us keep more");
    }
    found
}

pub(crate) fn syslog_framing(data: &[u8]) {
    let whole = frames(data, data.len().max(1));
    for piece in [1, 7] {
        assert_eq!(frames(data, piece), whole, "the same whether it comes at once or in pieces of {piece}");
    }
}

pub(crate) fn journal_native(data: &[u8]) {
    let mut fields = Vec::new();
    let _ = native::read(data, &mut fields);
    for field in &fields {
        assert!(native::is_valid_name(field.name));
        assert!(field.value.len() <= data.len());
    }
    // What was read can be written and read again.
    let mut again = Vec::new();
    for field in &fields {
        native::write_field(&String::from_utf8_lossy(field.name), field.value, &mut again);
    }
    let mut reread = Vec::new();
    let _ = native::read(&again, &mut reread);
    assert_eq!(reread.len(), fields.len());
}

pub(crate) fn journal_export(data: &[u8]) {
    let mut rest = data;
    let mut fields = Vec::new();
    while let EntryRead::Complete(used) = export::read_entry(rest, true, &mut fields) {
        assert!(used <= rest.len() && (used > 0 || rest.is_empty()));
        if used == 0 {
            break;
        }
        rest = &rest[used..];
    }
}

pub(crate) fn journal_stream(data: &[u8]) {
    if let HeaderRead::Complete(_, used) = stream::read_header(data) {
        assert!(used <= data.len());
    }
    for line in data.split(|byte| *byte == b'\n') {
        let (_, text) = stream::split_level(line);
        assert!(text.len() <= line.len());
    }
}

pub(crate) fn journal_file(data: &[u8]) {
    let disk = CrashDisk::with_content(data.to_vec());
    let _ = journal_file::verify(&disk);
    let Ok(mut file) = JournalFile::from_source(Box::new(disk), Path::new("fuzzed")) else { return };
    // More entries than a file of this size can hold would be a reader that believes the header.
    assert!(file.entries() <= data.len() as u64 / 4);
    for index in 0..file.entries() {
        let Ok(offset) = file.entry_offset(index) else { continue };
        if file.entry(offset).is_ok() {
            let _ = file.for_each_field(offset, |_| ControlFlow::Continue(()));
        }
    }
    for name in file.field_names().unwrap_or_default() {
        let _ = file.field_values(&name);
    }
    let _ = file.find_data(b"PRIORITY=6").map(|data| data.map(|at| file.data_entries(at)));
}

/// The messages that a queue hands out, and how many it says are lost.
fn drained(queue: QueueFile<segments::CrashDisk>) -> (Vec<Vec<u8>>, u64, Backlog<segments::CrashDisk>) {
    let mut backlog = Backlog::new(Some(queue));
    let (mut found, mut lost) = (Vec::new(), 0);
    while let Some(batch) = backlog.take() {
        found.extend(batch.messages().map(<[u8]>::to_vec));
        lost += backlog.take_losses().iter().map(|loss| loss.messages).sum::<u64>();
    }
    (found, lost, backlog)
}

/// A segment of a forward queue: whatever stands there, the queue opens, hands out what is right, and what is committed behind it is
/// there at the next opening.
pub(crate) fn queue_segment(data: &[u8]) {
    let mut disk = segments::CrashDisk::new();
    disk.create(1).and_then(|()| disk.write(1, 0, data)).and_then(|()| disk.sync_names()).expect("a disk");
    let (queue, recovered) = QueueFile::open(disk, 7, Limits::default()).expect("the disk works");
    let waiting = queue.messages();
    let (found, lost, mut backlog) = drained(queue);
    assert!(found.iter().map(|message| message.len() + 4).sum::<usize>() <= data.len());
    assert!(found.len() as u64 + lost <= waiting.max(lost) && found.len() as u64 <= recovered.messages);
    let mut batch = Batch::default();
    batch.push(b"behind\n");
    backlog.push(batch);
    backlog.commit(0).expect("the disk works");
    let disk = backlog.into_storage().expect("it has one").restart(&mut || false);
    let (queue, _) = QueueFile::open(disk, 8, Limits::default()).expect("the disk works");
    let (again, _, _) = drained(queue);
    assert_eq!(again.last().map(Vec::as_slice), Some(&b"behind\n"[..]));
    assert_eq!(again.get(..again.len() - 1), Some(&found[..]), "what was readable stays so");
}
