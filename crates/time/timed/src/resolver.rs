//! Names to addresses, off the loop: `getaddrinfo(3)` can take half a minute, and the loop has to answer in microseconds.

use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

/// Names that wait for their turn, at most: a configuration has no more, and a full queue is tried again later.
const QUEUE_MAX: usize = 256;

/// One thread that resolves one name after another.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    waker: Arc<sys::fd::Waker>,
}

#[derive(Debug)]
struct Question {
    job: u32,
    name: String,
}

/// What came of a name.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The number that was given with the name.
    pub job: u32,
    /// Its addresses in the order of preference; empty when it has none, or nobody could be asked.
    pub addresses: Vec<IpAddr>,
}

impl Resolver {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (questions, to_do) = sync_channel(QUEUE_MAX);
        let (done, answers) = channel();
        let waker = Arc::new(sys::fd::Waker::new()?);
        let wakes = Arc::clone(&waker);
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || work(&to_do, &done, &wakes))?;
        Ok(Self { questions, answers, waker })
    }

    /// Puts a name into the queue; false when it is full.
    pub(crate) fn ask(&self, job: u32, name: &str) -> bool {
        !matches!(
            self.questions.try_send(Question { job, name: name.to_owned() }),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        )
    }

    /// What has been answered since the last call.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.waker.drain();
        self.answers.try_iter().collect()
    }

    /// Becomes readable when there is an answer.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// Ends when the resolver is dropped.
fn work(questions: &Receiver<Question>, answers: &Sender<Answer>, waker: &sys::fd::Waker) {
    while let Ok(Question { job, name }) = questions.recv() {
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in (name.as_str(), 0).to_socket_addrs().into_iter().flatten() {
            if !addresses.contains(&address.ip()) {
                addresses.push(address.ip());
            }
        }
        if answers.send(Answer { job, addresses }).is_err() {
            return;
        }
        waker.wake();
    }
}
