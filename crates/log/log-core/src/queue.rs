//! A bounded queue in memory: what it admits, what it discards, and the counts of both.

use std::collections::VecDeque;

use crate::QueueSettings;

/// What happened to a message that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It waits in the queue.
    Queued,
    /// It was discarded at the discard mark: its severity is among those which may be.
    DiscardedBySeverity,
    /// The queue is full; the caller may wait for room and offer it again, or discard it with [`BoundedQueue::discard`].
    Full,
}

/// Counts since the queue was made. Nothing is lost that is not counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueueCounters {
    /// Messages that were queued.
    pub queued: u64,
    /// Messages discarded because the queue was full.
    pub discarded_full: u64,
    /// Messages discarded at the discard mark.
    pub discarded_by_severity: u64,
    /// The greatest length it had.
    pub length_max: usize,
}

/// First in, first out, never longer than its capacity.
#[derive(Debug)]
pub struct BoundedQueue<T> {
    waiting: VecDeque<T>,
    capacity: usize,
    discard_mark: usize,
    discard_severity: u8,
    counters: QueueCounters,
}

/// Messages that a queue holds where the configuration does not say (rsyslog's default of action queues).
pub const QUEUE_MESSAGES_DEFAULT: usize = 1000;

impl<T> BoundedQueue<T> {
    /// A queue with the capacity and the discard mark of `settings`; a capacity of 0 is taken as 1.
    pub fn new(settings: &QueueSettings) -> Self {
        let capacity = settings.size.unwrap_or(QUEUE_MESSAGES_DEFAULT).max(1);
        Self {
            waiting: VecDeque::new(),
            capacity,
            discard_mark: settings.discard_mark.unwrap_or(capacity),
            discard_severity: settings.discard_severity.unwrap_or(8),
            counters: QueueCounters::default(),
        }
    }

    /// Offers a message of the severity code 0-7. It is given back where it was not queued.
    pub fn offer(&mut self, severity: u8, message: T) -> Result<(), (Admission, T)> {
        if self.waiting.len() >= self.discard_mark && severity >= self.discard_severity {
            self.counters.discarded_by_severity += 1;
            return Err((Admission::DiscardedBySeverity, message));
        }
        if self.waiting.len() >= self.capacity {
            return Err((Admission::Full, message));
        }
        self.waiting.push_back(message);
        self.counters.queued += 1;
        self.counters.length_max = self.counters.length_max.max(self.waiting.len());
        Ok(())
    }

    /// Counts a message that the caller gives up because the queue was full.
    pub fn discard(&mut self, message: T) {
        drop(message);
        self.counters.discarded_full += 1;
    }

    /// Takes up to `count` messages from the front.
    pub fn take(&mut self, count: usize) -> impl Iterator<Item = T> + '_ {
        let count = count.min(self.waiting.len());
        self.waiting.drain(..count)
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What it may hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The counts.
    pub fn counters(&self) -> QueueCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: order is kept, the bound holds, the unimportant go first, and every loss is counted.
    #[test]
    fn bounded_and_counted() {
        let settings = QueueSettings {
            size: Some(4),
            discard_mark: Some(2),
            discard_severity: Some(5),
            ..QueueSettings::default()
        };
        let mut queue = BoundedQueue::new(&settings);
        assert_eq!(queue.offer(7, 1), Ok(()));
        assert_eq!(queue.offer(7, 2), Ok(()));
        assert_eq!(queue.offer(5, 3), Err((Admission::DiscardedBySeverity, 3)));
        assert_eq!(queue.offer(4, 4), Ok(()));
        assert_eq!(queue.offer(0, 5), Ok(()));
        assert_eq!(queue.offer(0, 6), Err((Admission::Full, 6)));
        queue.discard(6);
        assert_eq!(queue.take(3).collect::<Vec<_>>(), [1, 2, 4]);
        assert_eq!(queue.take(3).collect::<Vec<_>>(), [5]);
        assert!(queue.is_empty());
        let expected =
            QueueCounters { queued: 4, discarded_full: 1, discarded_by_severity: 1, length_max: 4 };
        assert_eq!(queue.counters(), expected);
    }
}
