//! Copying what is readable of a damaged file into a new one.

use std::collections::HashSet;

use record::{MonotonicMicros, UnixMicros};

use crate::ReadError;
use crate::format::{align, object_type};
use crate::reader::{EntryHead, JournalFile};
use crate::storage::Storage;
use crate::writer::{EntryRef, Fields, FileWriter};

/// What a salvage brought over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Salvaged {
    /// Entries that were copied.
    pub entries: u64,
    /// Published entries that could not be copied whole.
    pub damaged: u64,
}

/// Copies every readable entry of `file` into `writer`, numbers and times kept, and publishes; sync is the caller's. Entries
/// that were written but not published come over too when they are whole.
pub fn salvage<S: Storage>(
    file: &mut JournalFile,
    writer: &mut FileWriter<S>,
) -> Result<Salvaged, ReadError> {
    let mut salvaged = Salvaged::default();
    let mut known = HashSet::new();
    let mut last = 0;
    let stated = file.header().entries.min(file.entries());
    for index in 0..stated {
        let copied = file.entry_offset(index).and_then(|offset| {
            known.insert(offset);
            last = last.max(offset);
            copy(file, offset, writer, false)
        });
        match copied {
            Ok(true) => salvaged.entries += 1,
            Ok(false) | Err(ReadError::Damaged { .. }) => salvaged.damaged += 1,
            Err(error) => return Err(error),
        }
    }
    salvaged.damaged += file.header().entries.saturating_sub(stated);
    // What stands behind the last published entry: objects one after another, as long as they make sense.
    let mut at = if last == 0 { align(file.header().header_size) } else { last };
    while let Ok((kind, size)) = file.object(at) {
        if !(object_type::DATA..=object_type::TAG).contains(&kind) {
            break;
        }
        if kind == object_type::ENTRY && !known.contains(&at) && copy(file, at, writer, true).unwrap_or(false)
        {
            salvaged.entries += 1;
        }
        at = align(at + size);
    }
    writer.publish()?;
    Ok(salvaged)
}

/// Copies one entry; false when a field of it was lost or the writer did not take it. `whole`: all or nothing.
fn copy<S: Storage>(
    file: &mut JournalFile,
    offset: u64,
    writer: &mut FileWriter<S>,
    whole: bool,
) -> Result<bool, ReadError> {
    let EntryHead { seqnum, realtime, monotonic, boot_id, .. } = file.entry(offset)?;
    let items = file.entry_items(offset)?.to_vec();
    let mut payloads = Vec::with_capacity(items.len());
    let mut lost = false;
    for item in items {
        match file.checked_payload(item) {
            Ok(payload) => payloads.push(payload),
            Err(ReadError::Damaged { .. }) => lost = true,
            Err(error) => return Err(error),
        }
    }
    if lost && (whole || payloads.is_empty()) {
        return Ok(false);
    }
    let fields: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    let entry = EntryRef {
        realtime: UnixMicros(realtime),
        monotonic: MonotonicMicros(monotonic),
        boot_id,
        fields: Fields::Joined(&fields),
    };
    match writer.append_numbered(&entry, seqnum) {
        Ok(_) => Ok(!lost),
        Err(crate::AppendError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}
