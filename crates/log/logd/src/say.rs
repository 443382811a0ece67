//! What the daemon itself has to say: collected by any thread, entered into its own stream of records by the main thread, and
//! shown on standard error.

use std::sync::{Mutex, PoisonError};

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

/// Where threads leave their remarks.
#[derive(Debug)]
pub(crate) struct Say {
    name: String,
    debug: bool,
    waiting: Mutex<Vec<Remark>>,
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
            waker: Some(sys::fd::Waker::new()?),
        })
    }

    /// One that keeps and shows nothing: for tests.
    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self { name: String::new(), debug: false, waiting: Mutex::default(), waker: None }
    }

    /// Leaves a remark.
    pub(crate) fn say(&self, severity: Severity, event: &'static str, text: impl Into<String>) {
        let text = text.into();
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
