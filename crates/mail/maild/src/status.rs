//! What the daemon tells on its control socket: `status` and `queue`.

use control::{Value, json};
use mail_core::QueueId;
use spool::{Entry, Spool, StateKind, Storage};

/// Messages that `queue` lists at most; the frame of a reply is at most 1 MiB.
const LISTED_MAX: usize = 2000;
/// Recipients of one message that `queue` lists at most.
const RECIPIENTS_LISTED_MAX: usize = 100;

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that were accepted.
    pub accepted: u64,
    /// Recipients that were delivered or relayed.
    pub delivered: u64,
    /// Recipients that were given up.
    pub bounced: u64,
    /// Attempts that were put off.
    pub deferrals: u64,
    /// Submissions that were refused for want of room or a broken disk.
    pub refused: u64,
    /// Commands and contents in ended sessions that were malformed, out of order or beyond a limit.
    pub malformed: u64,
    /// The last delivery.
    pub last: Option<Value>,
}

/// The reply to `status`.
pub fn status<S: Storage>(counters: &Counters, spool: &Spool<S>, listening: &[String]) -> Value {
    let deferred = spool.entries().filter(|(_, e)| is_deferred(e)).count();
    let sizes = spool.statistics();
    json!({
        "queue": {
            "active": sizes.messages - deferred,
            "deferred": deferred,
            "bytes": sizes.live_octets,
            "log_bytes": sizes.log_octets,
            "segments": sizes.segments,
        },
        "accepted": counters.accepted,
        "delivered": counters.delivered,
        "bounced": counters.bounced,
        "deferrals": counters.deferrals,
        "refused": counters.refused,
        "malformed": counters.malformed,
        "last_delivery": counters.last,
        "listening": listening,
    })
}

/// The reply to `queue`: the messages, oldest first.
pub fn list<S: Storage>(spool: &Spool<S>, shown: impl Fn(QueueId) -> String) -> Value {
    let message = |(id, entry): (u64, &Entry)| {
        let open = entry.envelope.recipients.iter().filter(|r| r.state.kind == StateKind::Waiting);
        let recipients: Vec<Value> = open
            .take(RECIPIENTS_LISTED_MAX)
            .map(|r| json!({ "address": r.address, "delay_reason": (!r.state.reason.is_empty()).then_some(&r.state.reason) }))
            .collect();
        json!({
            "queue_id": shown(QueueId(id)),
            "size": entry.content_octets,
            "arrival_unix": entry.envelope.arrival_usec / 1_000_000,
            "sender": entry.envelope.sender,
            "status": if is_deferred(entry) { "deferred" } else { "active" },
            "recipients": recipients,
        })
    };
    spool.entries().take(LISTED_MAX).map(message).collect()
}

fn is_deferred(entry: &Entry) -> bool {
    let mut waiting =
        entry.envelope.recipients.iter().filter(|r| r.state.kind == StateKind::Waiting).peekable();
    waiting.peek().is_some() && waiting.all(|r| r.state.attempts > 0)
}
