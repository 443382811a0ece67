//! The journal's stream connections: a header, then lines.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use sys::socket::Credentials;
use syslog_proto::native::Field;
use syslog_proto::stream::{Header, HeaderRead, read_header, split_level};

use super::Bound;
use crate::counters::add;
use crate::pipeline::{Came, Worker};

/// Streams at once (journald's own bound).
const STREAMS_MAX: usize = 4096;
/// Reads of one stream before the next has its turn.
const ROUNDS_MAX: usize = 8;

/// All open streams.
#[derive(Default)]
pub(super) struct Streams {
    open: Vec<Stream>,
    chunk: Vec<u8>,
}

struct Stream {
    socket: UnixStream,
    input: Arc<Bound>,
    peer: Option<Credentials>,
    header: Option<Header>,
    id: Vec<u8>,
    bytes: Vec<u8>,
}

impl Streams {
    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().map(|stream| stream.socket.as_fd())
    }

    pub(super) fn accept(&mut self, _worker: &Worker, input: &Arc<Bound>, listener: &UnixListener) {
        while let Ok((socket, _)) = listener.accept() {
            if self.open.len() >= STREAMS_MAX || socket.set_nonblocking(true).is_err() {
                add(&input.counters.lost, 1);
                continue;
            }
            let id = format!("_STREAM_ID={:016x}{:016x}", sys::random::u64(), sys::random::u64());
            self.open.push(Stream {
                peer: sys::socket::peer_credentials(&socket).ok(),
                socket,
                input: Arc::clone(input),
                header: None,
                id: id.into_bytes(),
                bytes: Vec::new(),
            });
        }
    }

    /// Reads what is there. `last`: what stands without an end is a line too.
    pub(super) fn read(&mut self, worker: &mut Worker, last: bool) {
        self.chunk.resize(64 * 1024, 0);
        let chunk = &mut self.chunk;
        self.open.retain_mut(|stream| {
            for _ in 0..ROUNDS_MAX {
                match stream.socket.read(chunk) {
                    Ok(0) => {
                        stream.finish(worker);
                        return false;
                    }
                    Ok(count) => {
                        stream.bytes.extend_from_slice(chunk.get(..count).unwrap_or(b""));
                        if !stream.advance(worker) {
                            return false;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        stream.finish(worker);
                        return false;
                    }
                }
            }
            if last {
                stream.finish(worker);
            }
            !last
        });
    }
}

impl Stream {
    /// Takes whole lines; whether the stream lives on.
    fn advance(&mut self, worker: &mut Worker) -> bool {
        let mut at = 0;
        if self.header.is_none() {
            match read_header(&self.bytes) {
                HeaderRead::Complete(header, used) => {
                    self.header = Some(header);
                    at = used;
                }
                HeaderRead::NeedMore => return true,
                HeaderRead::Broken(_) => {
                    add(&self.input.counters.lost, 1);
                    return false;
                }
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        // A longer line is cut into several records.
        let line_bytes_max = worker.engine.line_bytes_max;
        loop {
            let rest = bytes.get(at..).unwrap_or(b"");
            let end = rest.iter().take(line_bytes_max).position(|byte| matches!(byte, b'\n' | 0));
            match end {
                Some(end) => {
                    let how = if rest.get(end) == Some(&0) { Some("nul") } else { None };
                    self.line(worker, rest.get(..end).unwrap_or(b""), how);
                    at += end + 1;
                }
                None if rest.len() >= line_bytes_max => {
                    self.line(worker, rest.get(..line_bytes_max).unwrap_or(b""), Some("line-max"));
                    at += line_bytes_max;
                }
                None => break,
            }
        }
        self.bytes = bytes.get(at..).unwrap_or(b"").to_vec();
        true
    }

    fn finish(&mut self, worker: &mut Worker) {
        let rest = std::mem::take(&mut self.bytes);
        if self.header.is_some() && !rest.is_empty() {
            self.line(worker, &rest, Some("eof"));
        }
    }

    fn line(&self, worker: &mut Worker, line: &[u8], line_break: Option<&str>) {
        let Some(header) = &self.header else { return };
        let (level, text) = if header.level_prefix { split_level(line) } else { (None, line) };
        let text = text.trim_ascii_end();
        if text.is_empty() {
            return;
        }
        let severity = level.map_or(header.priority, |level| level.severity);
        let severity = [b'0' + severity.code()];
        let facility =
            level.map(|level| level.facility.code()).filter(|code| *code != 0).map(|code| code.to_string());
        let mut fields =
            vec![Field { name: b"PRIORITY", value: &severity }, Field { name: b"MESSAGE", value: text }];
        if !header.identifier.is_empty() {
            fields.push(Field { name: b"SYSLOG_IDENTIFIER", value: &header.identifier });
        }
        if let Some(facility) = &facility {
            fields.push(Field { name: b"SYSLOG_FACILITY", value: facility.as_bytes() });
        }
        let mut extra = vec![self.id.clone()];
        if let Some(how) = line_break {
            extra.push(format!("_LINE_BREAK={how}").into_bytes());
        }
        let came = Came { transport: "stdout", credentials: self.peer, received_ns: None, extra: &extra };
        worker.fields(&self.input, &fields, came);
    }
}
