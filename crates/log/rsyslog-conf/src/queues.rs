//! Parameters of queues: `queue.*` of objects; `$ActionQueue*` and `$MainMsgQueue*` are the same under older names.

use log_core::{QueueKind, QueueSettings};

use crate::tables::{Entry, entry};
use crate::values::{self, Taken, Wrong};

pub(crate) fn kind(text: &str) -> Taken<QueueKind> {
    match text.to_ascii_lowercase().as_str() {
        "direct" => Ok(QueueKind::Direct),
        "linkedlist" => Ok(QueueKind::LinkedList),
        "fixedarray" => Ok(QueueKind::FixedArray),
        "disk" => Ok(QueueKind::Disk),
        _ => Err(Wrong::new(
            format!("`{text}` is not a kind of queue"),
            "write `Direct`, `LinkedList`, `FixedArray` or `Disk`",
        )),
    }
}

/// Parameters with the prefix `queue.` of `action()`, `main_queue()` and `ruleset()`.
pub(crate) const PARAMETERS: &[Entry<QueueSettings>] = &[
    entry(
        "queue.type",
        "Direct|LinkedList|FixedArray|Disk",
        "Direct",
        "Where messages wait.",
        |queue, value| kind(&value.value).map(|kind| queue.kind = kind),
    ),
    entry("queue.filename", "NAME", "none", "Name of its files; makes it disk-assisted.", |queue, value| {
        values::name(&value.value).map(|name| queue.filename = Some(name))
    }),
    entry("queue.spoolDirectory", "DIR", "the work directory", "Where its files stand.", |queue, value| {
        values::path(&value.value).map(|path| queue.spool_directory = Some(path))
    }),
    entry("queue.size", "MESSAGES", "1000", "Its capacity.", |queue, value| {
        values::memory_size(&value.value).map(|size| queue.size = Some(size))
    }),
    entry("queue.dequeueBatchSize", "MESSAGES", "128", "Messages taken at once.", |queue, value| {
        values::number(&value.value).map(|size| queue.dequeue_batch_size = Some(size))
    }),
    entry("queue.highWatermark", "MESSAGES", "90%", "When it begins to write to disk.", |queue, value| {
        values::number(&value.value).map(|mark| queue.high_watermark = Some(mark))
    }),
    entry("queue.lowWatermark", "MESSAGES", "70%", "When it stops writing to disk.", |queue, value| {
        values::number(&value.value).map(|mark| queue.low_watermark = Some(mark))
    }),
    entry("queue.discardMark", "MESSAGES", "none", "When the less important go.", |queue, value| {
        values::number(&value.value).map(|mark| queue.discard_mark = Some(mark))
    }),
    entry("queue.discardSeverity", "0-8", "8 (none)", "From which severity on they go.", |queue, value| {
        values::severity(&value.value).map(|severity| queue.discard_severity = Some(severity))
    }),
    entry("queue.maxFileSize", "SIZE", "8m", "Bytes of one file.", |queue, value| {
        values::size(&value.value).map(|size| queue.file_bytes_max = Some(size))
    }),
    entry("queue.maxDiskSpace", "SIZE", "no limit", "Bytes of all its files.", |queue, value| {
        values::size(&value.value).map(|size| queue.disk_bytes_max = Some(size))
    }),
    entry("queue.syncQueueFiles", "on|off", "off", "Its files are synced.", |queue, value| {
        values::switch(&value.value).map(|on| queue.sync = on)
    }),
    entry("queue.saveOnShutdown", "on|off", "off", "What waits is written at shutdown.", |queue, value| {
        values::switch(&value.value).map(|on| queue.save_on_shutdown = on)
    }),
    entry("queue.workerThreads", "N", "1", "Worker threads.", |queue, value| {
        values::number(&value.value).map(|count| queue.worker_threads = Some(count))
    }),
    entry("queue.timeoutEnqueue", "MS", "2000", "How long an input waits for room.", |queue, value| {
        values::number(&value.value).map(|ms| queue.timeout_enqueue_ms = Some(ms))
    }),
    entry("queue.timeoutShutdown", "MS", "1500", "Time to empty it at shutdown.", |queue, value| {
        values::number(&value.value).map(|ms| queue.timeout_shutdown_ms = Some(ms))
    }),
];

/// Known to rsyslog, not to us yet.
pub(crate) const NOT_YET: &[&str] = &[
    "queue.cry.provider",
    "queue.minDequeueBatchSize*",
    "queue.checkpointInterval",
    "queue.lightDelayMark",
    "queue.fullDelayMark",
    "queue.timeoutActionCompletion",
    "queue.timeoutWorkerThreadShutdown",
    "queue.workerThreadMinimumMessages",
    "queue.dequeueSlowDown",
    "queue.dequeueTimeBegin",
    "queue.dequeueTimeEnd",
    "queue.samplingInterval",
    "queue.takeFlowCtlFromMsg",
    "queue.oversizeQueue.*",
];

/// The parameter that an older name stands for: `$ActionQueueFileName` is `queue.filename`.
pub(crate) fn of_legacy_name(stem: &str) -> String {
    format!("queue.{stem}")
}
