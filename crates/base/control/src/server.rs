//! The answering end: no thread and no loop of its own.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sys::poll::{Interest, Readiness};
use sys::socket::Credentials;

use crate::frame::{self, Front};
use crate::{CONNECTIONS_MAX, VERSION};

/// A daemon's control socket. Either a loop adds [`Server::descriptors`] to its own wait and calls [`Server::serve`] when one is
/// ready, or a thread of its own calls [`Server::run`].
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    connections: Vec<Connection>,
    counts: Counts,
}

/// What peers sent that could not be done, since the start. Every `status` reply carries it as `control`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that were none, cut off, no JSON, of another version, without a verb or with one that nobody knows.
    pub malformed: u64,
    /// Requests of peers that may not make them.
    pub refused: u64,
    /// Connections that were ended to make room for others.
    pub displaced: u64,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    peer: Credentials,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked.
    pub verb: String,
    /// The arguments; null where there are none.
    pub args: Value,
    /// Who asks.
    pub peer: Credentials,
}

impl Request {
    /// Whether the peer may change something: root, or the user who runs this daemon.
    pub fn may_change(&self) -> bool {
        self.peer.uid == 0 || self.peer.uid == sys::process::effective_uid()
    }

    /// The refusal for a peer that may not; use with `if !request.may_change()`.
    pub fn not_allowed(&self) -> Refusal {
        let refusal = Refusal::new(format!("user {} may not do `{}`", self.peer.uid, self.verb));
        Refusal { fault: Fault::NotAllowed, ..refusal }
            .help("call it as root or as the user who runs the daemon")
    }

    /// The refusal for a verb that nobody knows.
    pub fn unknown(&self, known: &[&str]) -> Refusal {
        Refusal::malformed(format!("unknown verb `{}`", self.verb))
            .help(format!("known verbs: ping {}", known.join(" ")))
    }
}

/// A daemon's no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub error: String,
    /// What to do.
    pub help: Option<String>,
    fault: Fault,
}

/// Which counter a refusal belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// None: the request was good, and could not be done.
    None,
    Malformed,
    NotAllowed,
}

impl Refusal {
    /// Says why.
    pub fn new(error: impl Into<String>) -> Self {
        Self { error: error.into(), help: None, fault: Fault::None }
    }

    fn malformed(error: impl Into<String>) -> Self {
        Self { fault: Fault::Malformed, ..Self::new(error) }
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Server {
    /// Listens at `path` for peers of any user (what they may do is decided for each verb). The folder is made when missing; a
    /// dead socket is replaced, a live one gives `AddrInUse`: at once, with the process, where a daemon answers there.
    pub fn bind(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let listener = bind_patiently(path)?;
        Ok(Self { listener, path: path.to_path_buf(), connections: Vec::new(), counts: Counts::default() })
    }

    /// What to wait for. Call again after each [`Server::serve`]: connections come and go.
    pub fn descriptors(&self) -> Vec<(BorrowedFd<'_>, Interest)> {
        let mut list = vec![(self.listener.as_fd(), Interest::READ)];
        list.extend(self.connections.iter().map(|connection| {
            let writable = !connection.unsent.is_empty();
            (connection.stream.as_fd(), Interest { readable: !writable, writable, priority: false })
        }));
        list
    }

    /// Accepts, reads, answers and writes as far as it goes without waiting.
    pub fn serve(&mut self, mut answer: impl FnMut(&Request) -> Result<Value, Refusal>) {
        while let Ok((stream, _)) = self.listener.accept() {
            let ready = stream.set_nonblocking(true).and_then(|()| sys::socket::peer_credentials(&stream));
            if let Ok(peer) = ready {
                if self.connections.len() >= CONNECTIONS_MAX {
                    self.make_room();
                }
                self.connections.push(Connection { stream, peer, received: Vec::new(), unsent: Vec::new() });
            }
        }
        let counts = &mut self.counts;
        self.connections.retain_mut(|connection| connection.advance(counts, &mut answer));
    }

    /// What could not be done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends the oldest connection of the user who holds the most: whoever keeps connections open and asks nothing takes their own
    /// places, never those of root or of other users.
    fn make_room(&mut self) {
        let held = |uid: u32| self.connections.iter().filter(|other| other.peer.uid == uid).count();
        let Some(most) = self.connections.iter().map(|connection| held(connection.peer.uid)).max() else {
            return;
        };
        if let Some(oldest) = self.connections.iter().position(|connection| held(connection.peer.uid) == most)
        {
            self.connections.remove(oldest);
            self.counts.displaced += 1;
        }
    }

    /// Serves until `go_on` says no, asked at least every 200 ms: for a daemon whose loop is no `poll(2)` loop.
    pub fn run(
        &mut self,
        mut answer: impl FnMut(&Request) -> Result<Value, Refusal>,
        mut go_on: impl FnMut() -> bool,
    ) -> io::Result<()> {
        let mut ready: Vec<Readiness> = Vec::new();
        while go_on() {
            match sys::poll::poll(&self.descriptors(), &mut ready, Some(Duration::from_millis(200))) {
                Ok(0) => {}
                Ok(_) => self.serve(&mut answer),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// How long a socket of a daemon that was killed may still answer: a child that it was just starting holds it until its `exec`, and
/// a busy machine takes its time for that.
const KILLED_HOLDS_SOCKET: Duration = Duration::from_secs(3);

fn bind_patiently(path: &Path) -> io::Result<UnixListener> {
    let mut waited = Duration::ZERO;
    loop {
        match sys::socket::bind_unix_stream(path, 0o666) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && waited < KILLED_HOLDS_SOCKET => {
                if let Some(pid) = crate::answering(path) {
                    let why = format!("another daemon has it (process {pid})");
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, why));
                }
                let pause = Duration::from_millis(10);
                std::thread::sleep(pause);
                waited += pause;
            }
            other => return other,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Connection {
    /// Whether the connection lives on.
    fn advance(
        &mut self,
        counts: &mut Counts,
        answer: &mut impl FnMut(&Request) -> Result<Value, Refusal>,
    ) -> bool {
        let mut chunk = [0u8; 16 * 1024];
        loop {
            if !self.flush() {
                return false;
            }
            if !self.unsent.is_empty() {
                return true;
            }
            match frame::decode(&self.received) {
                Front::Frame(length, value) => {
                    self.received.drain(..length);
                    self.unsent = frame::encode(&reply(value, self.peer, counts, answer));
                    continue;
                }
                Front::Broken(why) => {
                    self.unsent = frame::encode(&refusal(Refusal::malformed(why), counts));
                    self.flush();
                    return false;
                }
                Front::Incomplete => {}
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    // A frame that is cut off is none.
                    counts.malformed += u64::from(!self.received.is_empty());
                    return false;
                }
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Whether the peer still takes bytes.
    fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }
}

fn reply(
    request: Value,
    peer: Credentials,
    counts: &mut Counts,
    answer: &mut impl FnMut(&Request) -> Result<Value, Refusal>,
) -> Value {
    if request["banto"] != json!(VERSION) {
        let error =
            format!("this daemon speaks version {VERSION} of the control protocol, not {}", request["banto"]);
        let help = "use the commands of the same release as the daemon";
        return refusal(Refusal::malformed(error).help(help), counts);
    }
    let Some(verb) = request["verb"].as_str() else {
        return refusal(Refusal::malformed("the request names no verb"), counts);
    };
    if verb == "ping" {
        return json!({ "ok": true, "value": { "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") } });
    }
    match answer(&Request { verb: verb.to_owned(), args: request["args"].clone(), peer }) {
        Ok(mut value) => {
            if verb == "status"
                && let Some(fields) = value.as_object_mut()
            {
                let Counts { malformed, refused, displaced } = *counts;
                let own = json!({ "malformed": malformed, "refused": refused, "displaced": displaced });
                fields.insert("control".to_owned(), own);
            }
            json!({ "ok": true, "value": value })
        }
        Err(no) => refusal(no, counts),
    }
}

/// A refusal as a reply, counted.
fn refusal(no: Refusal, counts: &mut Counts) -> Value {
    match no.fault {
        Fault::None => {}
        Fault::Malformed => counts.malformed += 1,
        Fault::NotAllowed => counts.refused += 1,
    }
    match no.help {
        Some(help) => json!({ "ok": false, "error": no.error, "help": help }),
        None => json!({ "ok": false, "error": no.error }),
    }
}
