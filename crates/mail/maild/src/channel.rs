//! Frames over a Unix stream: two u32 big-endian lengths, JSON, octets.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sys::poll::Interest;

/// Longest JSON part, in octets: a job with the most recipients fits many times.
const HEAD_OCTETS_MAX: usize = 64 * 1024 * 1024;
/// Longest octet part: what the spool takes.
const BODY_OCTETS_MAX: usize = spool::BODY_OCTETS_MAX;
/// Octets read from the stream at once.
const READ_OCTETS: usize = 256 * 1024;

/// Takes frames off the front of received octets.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    used: usize,
}

/// Appends a frame.
pub fn encode(out: &mut Vec<u8>, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head).map_err(io::Error::other)?;
    let length = |n: usize| u32::try_from(n).map(u32::to_be_bytes).map_err(io::Error::other);
    out.extend(length(head.len())?);
    out.extend(length(body.len())?);
    out.extend_from_slice(&head);
    out.extend_from_slice(body);
    Ok(())
}

impl Decoder {
    /// Adds octets.
    pub fn receive(&mut self, octets: &[u8]) {
        if self.used > 0 && self.used == self.buffer.len() {
            self.buffer.clear();
            self.used = 0;
        } else if self.used > 1024 * 1024 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole frame.
    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<(T, Vec<u8>)>> {
        let rest = self.buffer.get(self.used..).unwrap_or_default();
        let (Some(head), Some(body)) = (length_at(rest, 0), length_at(rest, 4)) else { return Ok(None) };
        if head > HEAD_OCTETS_MAX || body > BODY_OCTETS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame between the roles is too long"));
        }
        let Some(frame) = rest.get(8..8 + head + body) else { return Ok(None) };
        let (head, content) = frame.split_at(head);
        let message = serde_json::from_slice(head).map_err(io::Error::other)?;
        let content = content.to_vec();
        self.used += 8 + frame.len();
        Ok(Some((message, content)))
    }
}

fn length_at(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(word)).ok()
}

/// One end of a channel in a poll loop: it never blocks.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    decoder: Decoder,
    unsent: Vec<u8>,
    sent: usize,
    closed: bool,
    chunk: Vec<u8>,
}

impl Channel {
    /// Over one end of a socket pair.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let chunk = vec![0; READ_OCTETS];
        Ok(Self { stream, decoder: Decoder::default(), unsent: Vec::new(), sent: 0, closed: false, chunk })
    }

    /// What to wait for.
    pub fn interest(&self) -> (BorrowedFd<'_>, Interest) {
        let interest = if self.unsent.is_empty() { Interest::READ } else { Interest::BOTH };
        (self.stream.as_fd(), interest)
    }

    /// True once the other end is gone.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Octets that the other end has not taken yet.
    pub fn unsent_octets(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Puts a frame behind those that wait; [`Channel::flush`] sends them.
    pub fn send(&mut self, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
        encode(&mut self.unsent, head, body)
    }

    /// Sends as much as goes.
    pub fn flush(&mut self) {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|r| !r.is_empty() && !self.closed) {
            match self.stream.write(rest) {
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
        self.unsent.clear();
        self.sent = 0;
    }

    /// Reads what is there.
    pub fn fill(&mut self) {
        loop {
            match self.stream.read(&mut self.chunk) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(n) => {
                    self.decoder.receive(self.chunk.get(..n).unwrap_or_default());
                    if n < self.chunk.len() {
                        return;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.closed = true;
                    return;
                }
            }
        }
    }

    /// The next whole frame. One that makes no sense closes the channel.
    pub fn next<T: DeserializeOwned>(&mut self) -> Option<(T, Vec<u8>)> {
        match self.decoder.next() {
            Ok(frame) => frame,
            Err(_) => {
                self.closed = true;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: frames come out whole however the octets are cut, and nonsense closes the channel.
    #[test]
    fn frames_survive_any_cut() {
        let mut octets = Vec::new();
        for n in 0..3_u32 {
            encode(&mut octets, &n, &vec![b'x'; usize::try_from(n).unwrap_or(0) * 5])
                .unwrap_or_else(|e| panic!("{e}"));
        }
        for cut in 1..octets.len() {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in octets.chunks(cut) {
                decoder.receive(piece);
                while let Some((n, body)) = decoder.next::<u32>().unwrap_or_else(|e| panic!("{e}")) {
                    got.push((n, body.len()));
                }
            }
            assert_eq!(got, [(0, 0), (1, 5), (2, 10)], "cut {cut}");
        }
        let mut decoder = Decoder::default();
        decoder.receive(&[0xff; 16]);
        assert!(decoder.next::<u32>().is_err());
    }
}
