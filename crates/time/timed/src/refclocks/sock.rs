//! Samples as datagrams of a Unix socket.
//!
//! A datagram is one C structure, as a 64-bit system lays it out: our time (seconds and microseconds, 8 bytes each), the offset
//! (a double: the clock's time minus ours, seconds), then four 32-bit numbers: whether it is a pulse, the leap warning, a spare one,
//! and the magic number that says that it is this structure.

use super::{Reading, shm::leap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// "SOCK".
const MAGIC: i32 = 0x534f_434b;
/// The structure's length.
const LENGTH: usize = 40;
/// Datagrams that are read in a row: what is due otherwise is not kept waiting by a flood.
const BATCH: usize = 64;

/// A socket, removed at the end.
#[derive(Debug)]
pub(super) struct Sock {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Sock {
    /// Listens at `path`, in the place of a socket that nobody has open.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let socket = sys::socket::bind_unix_datagram(path, 0o755)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.to_path_buf() })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What has come, and how many datagrams were not of the form.
    pub(super) fn read(&mut self) -> (Vec<Reading>, u64) {
        let (mut readings, mut malformed) = (Vec::new(), 0);
        // One more byte: a longer datagram shows.
        let mut buffer = [0; LENGTH + 1];
        for _ in 0..BATCH {
            let Ok(length) = self.socket.recv(&mut buffer) else { break };
            match buffer.get(..length).and_then(parse) {
                Some(reading) => readings.push(reading),
                None => malformed += 1,
            }
        }
        (readings, malformed)
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn parse(bytes: &[u8]) -> Option<Reading> {
    if bytes.len() != LENGTH {
        return None;
    }
    let long = |at: usize| <[u8; 8]>::try_from(bytes.get(at..at + 8)?).ok();
    let short = |at: usize| Some(i32::from_ne_bytes(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
    let (seconds, micros) = (i64::from_ne_bytes(long(0)?), i64::from_ne_bytes(long(8)?));
    let offset = f64::from_ne_bytes(long(16)?);
    let pulse = short(24)? != 0;
    let is_sample = short(36)? == MAGIC && (0..1_000_000).contains(&micros) && offset.is_finite();
    if !is_sample {
        return None;
    }
    Some(Reading {
        at: seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)?,
        // chrony takes a pulse's number the other way round: what our clock shows beyond the second.
        offset: if pulse { -offset } else { offset },
        pulse,
        dispersion: 0.0,
        leap: leap(short(28)?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(seconds: i64, micros: i64, offset: f64, leap: i32, magic: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(seconds.to_ne_bytes());
        bytes.extend(micros.to_ne_bytes());
        bytes.extend(offset.to_ne_bytes());
        for number in [0, leap, 0, magic] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes
    }

    /// Goal: a datagram of the form is a sample; one that is short, long, of another magic or absurd is none, and no panic.
    #[test]
    fn datagrams_are_samples_or_none() {
        let check = |bytes: &[u8], expected: Option<(i64, f64)>| {
            assert_eq!(parse(bytes).map(|one| (one.at, one.offset)), expected, "{bytes:?}");
        };
        let good = datagram(1_700_000_000, 5, -0.25, 0, MAGIC);
        check(&good, Some((1_700_000_000_000_005_000, -0.25)));
        for length in 0..good.len() {
            check(&good[..length], None);
        }
        check(&[good.clone(), vec![0]].concat(), None);
        check(&datagram(0, 0, 0.0, 0, MAGIC + 1), None);
        check(&datagram(0, 1_000_000, 0.0, 0, MAGIC), None);
        check(&datagram(0, i64::MIN, 0.0, 0, MAGIC), None);
        check(&datagram(i64::MAX, 0, 0.0, 0, MAGIC), None);
        check(&datagram(0, 0, f64::NAN, 0, MAGIC), None);
        check(&datagram(0, 0, f64::INFINITY, 0, MAGIC), None);
        check(&datagram(0, 0, 0.0, 3, MAGIC), None);
    }
}
