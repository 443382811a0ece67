//! `loadgen journal --entries N --out FILE`: a journal file for measuring readers, written by our writer.
//!
//! The entries look like those of a busy host: 21 fields, some dozens of processes, a message and a source timestamp that are new in
//! each, a priority that varies. The same arguments give the same content.

use std::io;
use std::path::Path;

use journal_file::{AppendError, EntryRef, Fields, FileStorage, FileWriter, Id128, Identity, Limits};
use record::{MonotonicMicros, UnixMicros};

/// Entries between two publications.
const BATCH: u64 = 512;
/// Processes that speak in turns.
const PROCESSES: u64 = 48;
/// Wall clock of the first entry, microseconds: 2026-01-02 03:04:05 UTC.
const START: u64 = 1_767_323_045_000_000;
/// What sizes the file, bytes an entry: its hash table (a bucket for each 576 bytes, filled to 75%) must hold two new payloads an entry.
const ENTRY_BYTES: u64 = 1800;

/// Runs the subcommand with the words after `journal`.
pub fn run(args: &[String]) -> Result<(), String> {
    const USAGE: &str = "usage: loadgen journal --entries N --out FILE";
    let (mut entries, mut out) = (None, None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or(USAGE)?;
        match word.as_str() {
            "--entries" => {
                entries = Some(value.parse::<u64>().map_err(|error| format!("--entries {value}: {error}"))?)
            }
            "--out" => out = Some(value.clone()),
            other => return Err(format!("unknown option {other}\n{USAGE}")),
        }
    }
    let (Some(entries), Some(out)) = (entries, out) else { return Err(USAGE.into()) };
    write(entries, Path::new(&out)).map_err(|error| format!("{out}: {error}"))
}

/// Writes one file of `entries` entries at `path`, which must not exist.
pub fn write(entries: u64, path: &Path) -> io::Result<()> {
    let storage = FileStorage::create(path)?;
    let identity = Identity {
        file_id: Id128(*b"banto-loadgen-01"),
        machine_id: Id128(*b"banto-loadgen-02"),
        boot_id: Id128(*b"banto-loadgen-03"),
        seqnum_id: Id128(*b"banto-loadgen-01"),
        last_seqnum: 0,
    };
    let limits = Limits { max_size: (entries * ENTRY_BYTES).max(8 << 20), ..Limits::default() };
    let mut writer = FileWriter::create(storage, &identity, limits)?;
    let processes: Vec<Vec<Vec<u8>>> = (0..PROCESSES).map(constant_fields).collect();
    let (mut message, mut source) = (Vec::new(), Vec::new());
    for number in 0..entries {
        let process = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % PROCESSES;
        let realtime = START + number * 137;
        compose(&mut message, &mut source, number, realtime);
        let priority = [&b"PRIORITY=6"[..], b"PRIORITY=6", b"PRIORITY=5", b"PRIORITY=4", b"PRIORITY=3"];
        let mut fields: Vec<&[u8]> = vec![&message, &source, priority[(number % 37 % 5) as usize]];
        fields.extend(processes[process as usize].iter().map(Vec::as_slice));
        let entry = EntryRef {
            realtime: UnixMicros(realtime),
            monotonic: MonotonicMicros(5_000_000 + number * 137),
            boot_id: identity.boot_id,
            fields: Fields::Joined(&fields),
        };
        writer.append(&entry).map_err(|error| match error {
            AppendError::Storage(error) => error,
            other => io::Error::other(other.to_string()),
        })?;
        if number % BATCH == BATCH - 1 {
            writer.publish()?;
        }
    }
    writer.archive()
}

fn compose(message: &mut Vec<u8>, source: &mut Vec<u8>, number: u64, realtime: u64) {
    use io::Write;
    message.clear();
    source.clear();
    // Writing to memory does not fail.
    let mixed = number.wrapping_mul(0xD134_2543_DE82_EF95);
    let _ = write!(
        message,
        "MESSAGE=request {number} from 10.{}.{}.{} port {} served in {} us, status {}, {} bytes",
        mixed >> 56,
        mixed >> 48 & 255,
        mixed >> 40 & 255,
        mixed >> 24 & 0xffff,
        mixed >> 44 & 0xfffff,
        200 + mixed % 4 * 100,
        mixed >> 20 & 0xffff,
    );
    let _ = write!(source, "_SOURCE_REALTIME_TIMESTAMP={}", realtime - 40);
}

/// The 18 fields that a process has in each of its entries.
fn constant_fields(process: u64) -> Vec<Vec<u8>> {
    let pid = 1000 + process * 7;
    let name = ["nginx", "sshd", "postgres", "cron", "kubelet", "dockerd"][(process % 6) as usize];
    let id = format!("{:032x}", 0xfeed_0000_0000_u64 + process);
    [
        format!("SYSLOG_IDENTIFIER={name}"),
        "SYSLOG_FACILITY=3".into(),
        format!("_PID={pid}"),
        format!("_UID={}", process % 4 * 100),
        format!("_GID={}", process % 4 * 100),
        format!("_COMM={name}"),
        format!("_EXE=/usr/sbin/{name}"),
        format!("_CMDLINE=/usr/sbin/{name} --config /etc/{name}/{name}.conf --worker {process}"),
        "_CAP_EFFECTIVE=1ffffffffff".into(),
        format!("_SYSTEMD_CGROUP=/system.slice/{name}.service"),
        format!("_SYSTEMD_UNIT={name}.service"),
        "_SYSTEMD_SLICE=system.slice".into(),
        format!("_SYSTEMD_INVOCATION_ID={id}"),
        format!("_BOOT_ID={}", Id128(*b"banto-loadgen-03")),
        format!("_MACHINE_ID={}", Id128(*b"banto-loadgen-02")),
        "_HOSTNAME=bench".into(),
        "_TRANSPORT=journal".into(),
        "_CLOCK_SYNCED=1".into(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}
