//! `ntpsigndsocket`: replies to clients of a Windows domain, which Samba's `ntp_signd` signs.
//!
//! One thread asks Samba for one signature after the other, so that no worker waits for it; what does not fit into its queue is
//! dropped, and the client asks again.

use ntp_proto::{SIGN_ANSWER_BYTES_MAX, sign_answer_length, sign_request, signed_packet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use sys::socket::{Departure, SendBatch};

/// Replies that wait for their signature, as many as for chrony.
const WAITING_MAX: usize = 16;
/// A signature takes a millisecond; after this the connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// A reply that waited longer tells a client nothing good about the time.
const AGE_MAX: Duration = Duration::from_secs(1);

/// A reply without its signature.
#[derive(Debug)]
pub(super) struct Unsigned {
    pub account: u32,
    pub reply: [u8; 48],
    /// The request's length: the reply is not longer.
    pub length_max: usize,
    pub to: SocketAddr,
    /// The local address that it leaves from, where the socket has none of its own.
    pub source: Option<IpAddr>,
    pub socket: Arc<UdpSocket>,
    pub made: Instant,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct Signer {
    queue: SyncSender<Unsigned>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Signer {
    /// Starts the thread for the socket in `folder`.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let said = Arc::new(Mutex::new(Vec::new()));
        let path = folder.join("socket");
        let thread = Thread { path, line: None, number: 0, complained: false, said: said.clone() };
        // It ends with the queue, or with the process.
        std::thread::Builder::new().name("ntp signing".to_owned()).spawn(move || thread.run(&waiting))?;
        Ok(Self { queue, said })
    }

    /// Has a reply signed and sent; false when too many wait.
    pub(super) fn sign(&self, one: Unsigned) -> bool {
        self.queue.try_send(one).is_ok()
    }

    /// What the log has to be told.
    pub(super) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Thread {
    path: PathBuf,
    line: Option<UnixStream>,
    number: u16,
    /// It was said that Samba cannot be reached.
    complained: bool,
    said: Arc<Mutex<Vec<String>>>,
}

impl Thread {
    fn run(mut self, waiting: &Receiver<Unsigned>) {
        // Signals are the daemon's loop's.
        sys::signal::block_in_this_thread();
        let mut replies = SendBatch::new(1, SIGN_ANSWER_BYTES_MAX);
        while let Ok(one) = waiting.recv() {
            if one.made.elapsed() > AGE_MAX {
                continue;
            }
            match self.signed(&one) {
                Ok(Some(packet)) if packet.len() <= one.length_max => {
                    self.complained = false;
                    let place = replies.buffer().get_mut(..packet.len());
                    if let Some(place) = place {
                        place.copy_from_slice(&packet);
                        let to = Departure { destination: Some(one.to), source: one.source };
                        replies.push(packet.len(), &to);
                        // What the network does not take is lost as every datagram.
                        replies.send(&*one.socket);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    self.line = None;
                    if !std::mem::replace(&mut self.complained, true) {
                        let path = self.path.display();
                        let what = format!("Could not connect to signd socket {path} : {error}");
                        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(what);
                    }
                }
            }
        }
    }

    /// The signed packet; none when Samba does not sign for this account.
    fn signed(&mut self, one: &Unsigned) -> io::Result<Option<Vec<u8>>> {
        let line = match &mut self.line {
            Some(line) => line,
            none => {
                let line = sys::socket::connect_unix_stream(&self.path)?;
                line.set_nonblocking(false)?;
                line.set_read_timeout(Some(PATIENCE))?;
                line.set_write_timeout(Some(PATIENCE))?;
                none.insert(line)
            }
        };
        self.number = self.number.wrapping_add(1);
        line.write_all(&sign_request(self.number, one.account, &one.reply))?;
        let mut answer = [0; SIGN_ANSWER_BYTES_MAX];
        let (first, rest) = answer.split_first_chunk_mut::<4>().ok_or(io::ErrorKind::InvalidData)?;
        line.read_exact(first)?;
        let length = sign_answer_length(*first).ok_or(io::ErrorKind::InvalidData)?;
        line.read_exact(rest.get_mut(..length - 4).ok_or(io::ErrorKind::InvalidData)?)?;
        Ok(answer.get(..length).and_then(|answer| signed_packet(answer, self.number)).map(<[u8]>::to_vec))
    }
}
