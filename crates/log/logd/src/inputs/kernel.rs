//! The kernel's messages: `/dev/kmsg`, from the moment on at which the daemon starts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use super::{Bound, InputKindPlan};
use crate::counters::add;
use crate::pipeline::{Source, Worker};

/// Longest record that the kernel gives out, with room (`/dev/kmsg` refuses smaller buffers).
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Records before other inputs have their turn.
const ROUNDS_MAX: usize = 1000;
const O_NONBLOCK: i32 = 0o4000;

pub(super) fn open() -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/dev/kmsg")?;
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

pub(super) fn read(worker: &mut Worker, input: &Bound, mut file: &File) {
    let InputKindPlan::Kernel { permit_other_facilities } = input.kind else { return };
    let mut record = vec![0; RECORD_BYTES_MAX];
    let mut message = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let record = match file.read(&mut record) {
            Ok(0) => return,
            Ok(count) => record.get(..count).unwrap_or(b""),
            // EPIPE: the kernel has overwritten records that were not read yet.
            Err(error) if error.raw_os_error() == Some(32) => {
                add(&input.counters.lost, 1);
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let Some((priority, monotonic_usec, text)) = parse(record) else {
            add(&input.counters.lost, 1);
            continue;
        };
        // What a program wrote into the kernel's buffer bears another facility than kern.
        if priority >> 3 != 0 && !permit_other_facilities {
            continue;
        }
        message.clear();
        let (seconds, micros) = (monotonic_usec / 1_000_000, monotonic_usec % 1_000_000);
        message.extend_from_slice(format!("<{priority}>kernel: [{seconds:5}.{micros:06}] ").as_bytes());
        message.extend_from_slice(text);
        worker.syslog(input, &message, Source::Kernel { monotonic_usec });
    }
}

/// `PRI,SEQ,USEC,FLAGS[,...];TEXT`, then lines of further fields (`Documentation/ABI/testing/dev-kmsg`).
fn parse(record: &[u8]) -> Option<(u16, u64, &[u8])> {
    let semicolon = record.iter().position(|byte| *byte == b';')?;
    let head = std::str::from_utf8(record.get(..semicolon)?).ok()?;
    let mut words = head.split(',');
    let priority = words.next()?.parse().ok().filter(|priority| *priority < 192)?;
    let monotonic_usec = words.nth(1)?.parse().ok()?;
    let text = record.get(semicolon + 1..)?.split(|byte| *byte == b'\n').next()?;
    Some((priority, monotonic_usec, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: records are read, and what is none is refused.
    #[test]
    fn records_are_read() {
        let record = b"6,339,5140900,-;NET: Registered\n SUBSYSTEM=net\n";
        assert_eq!(parse(record), Some((6, 5_140_900, &b"NET: Registered"[..])));
        assert_eq!(parse(b"999,1,2,-;x"), None);
        assert_eq!(parse(b"no record"), None);
        assert_eq!(parse(b"6,1;x"), None);
    }
}
