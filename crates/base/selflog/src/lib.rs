//! A daemon's own events: types, rendered to text and to journal fields.
//!
//! For: every daemon. An event is a value of a type that implements [`Event`]; [`SelfLog::say`] sends it to the log daemon's
//! native socket as a record with `MESSAGE`, `PRIORITY`, `SYSLOG_IDENTIFIER`, `SYSLOG_FACILITY`, `BANTO_EVENT` and the event's own
//! fields, and shows the text on standard error where the daemon runs in the foreground.
//!
//! Always: saying something never blocks and never fails; only [`SelfLog::flush`] waits, for a bounded time. While no log daemon listens (or it is busy) events wait in a ring of
//! [`RING_RECORDS_MAX`]; the oldest go first when it is full, and how many went is said as soon as somebody listens again.
//!
//! Never: it writes no file and reads no configuration.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use record::{Facility, Severity};

/// How many events wait while nobody listens: a busy mail daemon's ten seconds, and about 5 MB.
pub const RING_RECORDS_MAX: usize = 10_000;

/// How long [`SelfLog::flush`] may wait: long enough for thousands of events, short enough that a daemon which calls it once a
/// second is not held up by a log daemon that stands still.
pub const FLUSH_PATIENCE: Duration = Duration::from_millis(50);

/// The longest value of a field, bytes: what is longer is cut, so that a record always fits into a datagram.
pub const VALUE_BYTES_MAX: usize = 16 * 1024;

/// Something that happened in a daemon.
pub trait Event {
    /// What kind of thing, as `noun.verb`: `source.selected`, `mail.delivery`.
    fn name(&self) -> &'static str;

    /// How bad it is.
    fn severity(&self) -> Severity;

    /// The text for people.
    fn message(&self) -> String;

    /// The fields beside the text: names in upper-case letters, digits and underscore.
    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        let _ = field;
    }

    /// The identifier to appear under instead of the daemon's own (`postfix/local`).
    fn identifier(&self) -> Option<String> {
        None
    }
}

/// A plain sentence as an event, for what needs no type of its own.
#[derive(Debug, Clone)]
pub struct Note {
    /// What kind of thing, as `noun.verb`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The text.
    pub message: String,
}

impl Event for Note {
    fn name(&self) -> &'static str {
        self.name
    }

    fn severity(&self) -> Severity {
        self.severity
    }

    fn message(&self) -> String {
        self.message.clone()
    }
}

/// Where a daemon says its events. Shared between threads by reference.
#[derive(Debug)]
pub struct SelfLog {
    identifier: String,
    facility: Facility,
    socket_path: PathBuf,
    echo: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: Option<UnixDatagram>,
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
}

impl SelfLog {
    /// Events appear under `identifier` and go to the native journal socket at `socket_path`.
    pub fn new(identifier: impl Into<String>, facility: Facility, socket_path: &Path) -> Self {
        Self {
            identifier: identifier.into(),
            facility,
            socket_path: socket_path.to_path_buf(),
            echo: false,
            state: Mutex::new(State::default()),
        }
    }

    /// Shows each text on standard error too, for a daemon in the foreground.
    pub fn with_echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    /// Says an event.
    pub fn say(&self, event: &dyn Event) {
        let message = event.message();
        let identifier = event.identifier();
        let identifier = identifier.as_deref().unwrap_or(&self.identifier);
        if self.echo {
            eprintln!("{identifier}: {message}");
        }
        let mut datagram = Vec::with_capacity(256 + message.len());
        put_field(&mut datagram, "MESSAGE", &message);
        put_field(&mut datagram, "PRIORITY", &event.severity().code().to_string());
        put_field(&mut datagram, "SYSLOG_FACILITY", &self.facility.code().to_string());
        put_field(&mut datagram, "SYSLOG_IDENTIFIER", identifier);
        put_field(&mut datagram, "SYSLOG_PID", &std::process::id().to_string());
        put_field(&mut datagram, "BANTO_EVENT", event.name());
        event.fields(&mut |name, value| put_field(&mut datagram, name, value));
        let mut state = self.state();
        state.waiting.push_back(datagram);
        if state.waiting.len() > RING_RECORDS_MAX {
            state.waiting.pop_front();
            state.lost += 1;
        }
        self.send(&mut state);
    }

    /// Says a plain sentence.
    pub fn note(&self, name: &'static str, severity: Severity, message: impl Into<String>) {
        self.say(&Note { name, severity, message: message.into() });
    }

    /// Tries again to send what waits; a daemon calls this now and then, and before it ends. Returns how many still wait.
    ///
    /// A datagram socket takes few at once (`net.unix.max_dgram_qlen`, often 10), so a burst would trickle away at ten a call:
    /// here, and only here, up to [`FLUSH_PATIENCE`] is spent on waiting for the log daemon to take them.
    pub fn flush(&self) -> usize {
        let mut state = self.state();
        let end = Instant::now() + FLUSH_PATIENCE;
        loop {
            self.send(&mut state);
            let left = end.saturating_duration_since(Instant::now());
            if state.waiting.is_empty() || left.is_zero() || !wait_for_room(&mut state, left) {
                return state.waiting.len();
            }
        }
    }

    /// How many events were lost so far because nobody listened for too long.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// The state stays usable even if another thread ended badly while it held the lock: it is a queue of whole records.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, state: &mut State) {
        if state.lost > 0 && state.waiting.len() < RING_RECORDS_MAX {
            let mut datagram = Vec::new();
            let text = format!("{} events were lost while no log daemon listened", state.lost);
            put_field(&mut datagram, "MESSAGE", &text);
            put_field(&mut datagram, "PRIORITY", &Severity::Warning.code().to_string());
            put_field(&mut datagram, "SYSLOG_FACILITY", &self.facility.code().to_string());
            put_field(&mut datagram, "SYSLOG_IDENTIFIER", &self.identifier);
            put_field(&mut datagram, "BANTO_EVENT", "events.lost");
            put_field(&mut datagram, "BANTO_EVENTS_LOST", &state.lost.to_string());
            if self.send_one(state, &datagram) != Sent::Later {
                state.lost = 0;
            }
        }
        while let Some(datagram) = state.waiting.pop_front() {
            if self.send_one(state, &datagram) == Sent::Later {
                state.waiting.push_front(datagram);
                return;
            }
        }
    }

    fn send_one(&self, state: &mut State, datagram: &[u8]) -> Sent {
        // The second try is for a log daemon that was restarted: its old socket refuses, its new one is at the same path.
        for _ in 0..2 {
            let Some(socket) = state.socket.take().or_else(|| connect(&self.socket_path)) else {
                return Sent::Later;
            };
            match socket.send(datagram) {
                Ok(_) => {
                    state.socket = Some(socket);
                    return Sent::Yes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.socket = Some(socket);
                    return Sent::Later;
                }
                // EMSGSIZE: it will never go. Keeping it would hold up all others.
                Err(error) if error.raw_os_error() == Some(EMSGSIZE) => {
                    state.socket = Some(socket);
                    state.lost += 1;
                    return Sent::Never;
                }
                Err(_) => {}
            }
        }
        Sent::Later
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    Later,
    Never,
}

/// Sends the first that waits, waiting for room; false when there was none in time, or nobody listens.
fn wait_for_room(state: &mut State, patience: Duration) -> bool {
    let (Some(socket), Some(datagram)) = (&state.socket, state.waiting.front()) else { return false };
    let blocking = socket.set_nonblocking(false).and_then(|()| socket.set_write_timeout(Some(patience)));
    let sent = blocking.is_ok() && socket.send(datagram).is_ok();
    let usable = socket.set_nonblocking(true).is_ok();
    if sent {
        state.waiting.pop_front();
    }
    if !usable {
        state.socket = None;
    }
    sent && usable
}

/// "Message too long" (`errno(3)` on Linux).
const EMSGSIZE: i32 = 90;

fn connect(path: &Path) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    socket.connect(path).ok()?;
    Some(socket)
}

/// One field in the journal's native protocol: values with a line feed go with their length (systemd's
/// JOURNAL_NATIVE_PROTOCOL document).
fn put_field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let mut end = value.len().min(VALUE_BYTES_MAX);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    let value = &value.as_bytes()[..end];
    datagram.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value);
    datagram.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive_all(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0u8; 65536];
        std::iter::from_fn(|| {
            socket.recv(&mut buffer).ok().map(|n| String::from_utf8_lossy(&buffer[..n]).into_owned())
        })
        .collect()
    }

    /// Goal: events said while nobody listens arrive in order once somebody does, also after that somebody was replaced.
    #[test]
    fn events_wait_for_a_listener() {
        let path = std::env::temp_dir().join(format!("selflog-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let log = SelfLog::new("testd", Facility::DAEMON, &path);
        log.note("test.one", Severity::Info, "first");
        log.note("test.two", Severity::Err, "second\nline");
        assert_eq!(log.flush(), 2);
        for round in 0..2 {
            let listener = UnixDatagram::bind(&path).unwrap();
            log.note("test.three", Severity::Info, format!("round {round}"));
            let got = receive_all(&listener);
            if round == 0 {
                assert_eq!(got.len(), 3);
                assert!(got[0].starts_with("MESSAGE=first\nPRIORITY=6\n"), "{}", got[0]);
                assert!(got[1].starts_with("MESSAGE\n\u{b}\0\0\0\0\0\0\0second\nline\n"), "{}", got[1]);
            }
            assert!(got.last().unwrap().contains(&format!("MESSAGE=round {round}\n")), "{got:?}");
            drop(listener);
            std::fs::remove_file(&path).unwrap();
        }
    }

    /// Goal: a burst far beyond the socket's queue is taken within few flushes, not ten a call.
    #[test]
    fn a_burst_does_not_trickle() {
        let path = std::env::temp_dir().join(format!("selflog-burst-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let log = SelfLog::new("testd", Facility::DAEMON, &path);
        for number in 0..2000 {
            log.note("test.many", Severity::Info, number.to_string());
        }
        let reader = std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            (0..2000).filter(|_| listener.recv(&mut buffer).is_ok()).count()
        });
        let flushes = (1..=100).find(|_| log.flush() == 0);
        assert!(flushes.is_some(), "a hundred flushes were not enough");
        assert_eq!(reader.join().unwrap(), 2000);
        std::fs::remove_file(&path).unwrap();
    }

    /// Goal: what falls out of the ring is counted and said.
    #[test]
    fn losses_are_counted_and_said() {
        let path = std::env::temp_dir().join(format!("selflog-lost-{}.socket", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let log = SelfLog::new("testd", Facility::DAEMON, &path);
        for number in 0..RING_RECORDS_MAX + 3 {
            log.note("test.many", Severity::Info, number.to_string());
        }
        assert_eq!(log.lost(), 3);
        let listener = UnixDatagram::bind(&path).unwrap();
        listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            // What waited, and the record that says how many went before.
            let texts = (0..=RING_RECORDS_MAX)
                .map_while(|_| listener.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()));
            texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect::<Vec<_>>()
        });
        while log.flush() > 0 || log.lost() > 0 {}
        let got = reader.join().unwrap();
        assert!(got.iter().any(|text| text.contains("BANTO_EVENTS_LOST=3\n")));
        assert!(got.iter().any(|text| text.contains(&format!("MESSAGE={}\n", RING_RECORDS_MAX + 2))));
        std::fs::remove_file(&path).unwrap();
    }
}
