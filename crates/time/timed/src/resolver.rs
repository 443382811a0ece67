//! Names to addresses, off the loop: `getaddrinfo(3)` can take half a minute, and the loop has to answer in microseconds.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};

/// Names that wait for their turn, at most: a configuration has no more, and a full queue is tried again later.
const QUEUE_MAX: usize = 256;

/// One thread that resolves one name after another.
#[derive(Debug)]
pub(crate) struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// A byte comes for each answer. A pipe and not an eventfd, which simulators of the C library take for a
    /// timer.
    bell: PipeReader,
    /// Questions on their way.
    waiting: usize,
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
        let (bell, rope) = std::io::pipe()?;
        sys::fd::set_nonblocking(&bell, true)?;
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || work(&to_do, &done, rope))?;
        Ok(Self { questions, answers, bell, waiting: 0 })
    }

    /// Puts a name into the queue; false when it is full.
    pub(crate) fn ask(&mut self, job: u32, name: &str) -> bool {
        let taken = !matches!(
            self.questions.try_send(Question { job, name: name.to_owned() }),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_))
        );
        self.waiting += usize::from(taken);
        taken
    }

    /// What has been answered since the last call.
    pub(crate) fn answers(&mut self) -> Vec<Answer> {
        let mut rings = [0; QUEUE_MAX];
        // Nothing there is no error: the bell rings again.
        let _ = self.bell.read(&mut rings);
        let answers: Vec<Answer> = self.answers.try_iter().collect();
        self.waiting = self.waiting.saturating_sub(answers.len());
        answers
    }

    /// Becomes readable when there is an answer; none while no question is on its way.
    pub(crate) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        (self.waiting > 0).then(|| self.bell.as_fd())
    }
}

/// Ends when the resolver is dropped.
fn work(questions: &Receiver<Question>, answers: &Sender<Answer>, mut rope: PipeWriter) {
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
        if rope.write_all(&[1]).is_err() {
            return;
        }
    }
}
