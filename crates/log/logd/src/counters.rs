//! What is counted: every record that came in, every one that went out, every one that was lost and where.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts of one input.
#[derive(Debug, Default)]
pub(crate) struct InputCounters {
    pub kept: AtomicU64,
    /// Dropped by the kernel, cut by a limit, refused as malformed or beyond a rate.
    pub lost: AtomicU64,
}

/// Counts and state of one output.
#[derive(Debug, Default)]
pub(crate) struct OutputCounters {
    pub written: AtomicU64,
    pub lost: AtomicU64,
    pub queued: AtomicU64,
    /// It fails at the moment: what waits for failover asks.
    pub suspended: AtomicBool,
}

/// Counts of the journal.
#[derive(Debug, Default)]
pub(crate) struct JournalCounters {
    pub entries: AtomicU64,
    pub lost: AtomicU64,
}

/// Adds to a count.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Takes from a count.
pub(crate) fn subtract(counter: &AtomicU64, count: u64) {
    counter.fetch_sub(count, Ordering::Relaxed);
}

/// Reads a count.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Counters by name; they live as long as the process, over every reload.
#[derive(Debug, Default)]
pub(crate) struct Register<T> {
    named: Mutex<BTreeMap<String, Arc<T>>>,
}

impl<T: Default> Register<T> {
    /// The counters called `name`, made when missing.
    pub(crate) fn named(&self, name: &str) -> Arc<T> {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(named.entry(name.to_owned()).or_default())
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<T>)> {
        let named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.iter().map(|(name, counters)| (name.clone(), Arc::clone(counters))).collect()
    }
}
