//! What the daemon itself has to say: collected by any thread, entered into its own stream of records by the main thread, and
//! shown on standard error.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use record::Severity;

/// One remark.
#[derive(Debug, Clone)]
pub(crate) struct Remark {
    pub severity: Severity,
    /// `BANTO_EVENT`: noun.verb.
    pub event: &'static str,
    pub text: String,
}

/// Remarks that wait for the main thread; beyond that the oldest are dropped, for they repeat themselves.
const WAITING_MAX: usize = 1000;

/// Remarks of one event in one interval. Strangers cause some of them (a refused connection, a broken entry): each as a line of its own
/// would let them fill the log (CVE-2010-0294). The counters have every one.
const SAME_EVENT_MAX: u64 = 50;
/// The interval.
const SAME_EVENT_INTERVAL: Duration = Duration::from_secs(10);

/// Where threads leave their remarks.
#[derive(Debug)]
pub(crate) struct Say {
    name: String,
    debug: bool,
    waiting: Mutex<Vec<Remark>>,
    /// When the interval of an event began, and how many of its remarks came in it.
    often: Mutex<HashMap<&'static str, (Instant, u64)>>,
    waker: Option<sys::fd::Waker>,
}

impl Say {
    /// Remarks are shown as `name: text`; the main thread waits on [`Say::waker`]. `debug` shows what
    /// is less than a notice too.
    pub(crate) fn new(name: &str, debug: bool) -> std::io::Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            debug,
            waiting: Mutex::default(),
            often: Mutex::default(),
            waker: Some(sys::fd::Waker::new()?),
        })
    }

    /// One that keeps and shows nothing: for tests.
    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self {
            name: String::new(),
            debug: false,
            waiting: Mutex::default(),
            often: Mutex::default(),
            waker: None,
        }
    }

    /// Leaves a remark.
    pub(crate) fn say(&self, severity: Severity, event: &'static str, text: impl Into<String>) {
        let mut text = text.into();
        match self.count(event) {
            None => return,
            Some(0) => {}
            Some(left_out) => {
                text.push_str(&format!(" ({left_out} remarks of this kind were left out before)"))
            }
        }
        if !self.name.is_empty() && (self.debug || severity <= Severity::Notice) {
            eprintln!("{}: {text}", self.name);
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING_MAX {
            waiting.remove(0);
        }
        waiting.push(Remark { severity, event, text });
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    /// How many remarks of this kind were left out since the last one, or none when this one is to be left out too.
    fn count(&self, event: &'static str) -> Option<u64> {
        let mut often = self.often.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = often.entry(event).or_insert_with(|| (Instant::now(), 0));
        let mut left_out = 0;
        if since.elapsed() >= SAME_EVENT_INTERVAL {
            left_out = count.saturating_sub(SAME_EVENT_MAX);
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        (*count <= SAME_EVENT_MAX).then_some(left_out)
    }

    /// Takes what waits.
    pub(crate) fn take(&self) -> Vec<Remark> {
        if let Some(waker) = &self.waker {
            waker.drain();
        }
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Becomes readable when something was said.
    pub(crate) fn waker(&self) -> Option<&sys::fd::Waker> {
        self.waker.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what strangers can cause without end is said a bounded number of times, and other remarks still are.
    #[test]
    fn the_same_remark_is_bounded() {
        let say = Say::quiet();
        for number in 0..SAME_EVENT_MAX * 3 {
            say.say(Severity::Warning, "input.full", format!("refused {number}"));
        }
        say.say(Severity::Err, "output.failed", "another");
        assert_eq!(say.take().len() as u64, SAME_EVENT_MAX + 1);
    }
}
