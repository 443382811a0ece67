//! The asking end.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::frame::{self, Front};
use crate::{FRAME_BYTES_MAX, VERSION};

/// A connection to a daemon's control socket.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    received: Vec<u8>,
}

/// Why a call brought no value.
#[derive(Debug)]
pub enum CallError {
    /// The daemon cannot be reached; a retry helps once it runs.
    Unreachable(PathBuf, io::Error),
    /// The daemon said no.
    Refused {
        /// Why.
        error: String,
        /// What to do.
        help: Option<String>,
    },
    /// What came back is not of this protocol.
    Protocol(PathBuf, String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Unreachable(path, error)
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                write!(f, "{} was reached and did not answer in time; does the daemon hang?", path.display())
            }
            CallError::Unreachable(path, error) => {
                write!(f, "nobody answers at {} ({error}); is the daemon running?", path.display())
            }
            CallError::Refused { error, help: Some(help) } => {
                f.write_str(error)?;
                help.lines().try_for_each(|line| write!(f, "\nhelp: {line}"))
            }
            CallError::Refused { error, help: None } => f.write_str(error),
            CallError::Protocol(path, what) => {
                write!(f, "{} does not speak the control protocol: {what}", path.display())
            }
        }
    }
}

impl std::error::Error for CallError {}

/// How long a daemon that lives has for a `ping`.
const PING_PATIENCE: Duration = Duration::from_millis(250);

/// The process that answers at a control socket; none where there is none, or it does not answer within a quarter of a second.
pub fn answering(path: &Path) -> Option<u32> {
    let value = Client::connect(path, PING_PATIENCE).ok()?.call("ping", Value::Null).ok()?;
    value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

impl Client {
    /// Connects; every call waits at most `patience` for its answer.
    pub fn connect(path: &Path, patience: Duration) -> Result<Self, CallError> {
        let unreachable = |error| CallError::Unreachable(path.to_path_buf(), error);
        // Not a connect that waits: a daemon that hangs takes nobody off its queue, and that has no timeout.
        let stream = sys::socket::connect_unix_stream(path).map_err(unreachable)?;
        for result in [
            stream.set_nonblocking(false),
            stream.set_read_timeout(Some(patience)),
            stream.set_write_timeout(Some(patience)),
        ] {
            result.map_err(unreachable)?;
        }
        Ok(Self { stream, path: path.to_path_buf(), received: Vec::new() })
    }

    /// Asks `verb` with `args` (an object, or null) and waits for the answer.
    pub fn call(&mut self, verb: &str, args: Value) -> Result<Value, CallError> {
        let request = json!({ "banto": VERSION, "verb": verb, "args": args });
        self.stream
            .write_all(&frame::encode(&request))
            .map_err(|error| CallError::Unreachable(self.path.clone(), error))?;
        let reply = self.receive()?;
        if reply["ok"] == json!(true) {
            return Ok(reply["value"].clone());
        }
        match reply["error"].as_str() {
            Some(error) => Err(CallError::Refused {
                error: error.to_owned(),
                help: reply["help"].as_str().map(str::to_owned),
            }),
            None => Err(CallError::Protocol(
                self.path.clone(),
                "neither a value nor an error came back".to_owned(),
            )),
        }
    }

    fn receive(&mut self) -> Result<Value, CallError> {
        let mut chunk = [0u8; 16 * 1024];
        loop {
            match frame::decode(&self.received) {
                Front::Frame(length, value) => {
                    self.received.drain(..length);
                    return Ok(value);
                }
                Front::Broken(why) => return Err(CallError::Protocol(self.path.clone(), why.to_owned())),
                Front::Incomplete => {}
            }
            debug_assert!(self.received.len() <= FRAME_BYTES_MAX + 4);
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(CallError::Unreachable(self.path.clone(), error));
                }
                Ok(count) => self.received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CallError::Unreachable(self.path.clone(), error)),
            }
        }
    }
}
