//! The thread that reads what comes from this host: the syslog socket, the journal's sockets, the kernel.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use record::Severity;
use sys::poll::Interest;
use sys::socket::{Credentials, ReceiveBatch};
use syslog_proto::native;

use super::stream::Streams;
use super::{Bound, InputKindPlan, SocketKind, kernel};
use crate::counters::add;
use crate::pipeline::{Came, Shared, Source, Worker};

/// Datagrams in one system call: syslog's are short, the journal's may be as large as a socket buffer lets them be.
const SYSLOG_DATAGRAMS: usize = 64;
const SYSLOG_DATAGRAM_BYTES: usize = 64 * 1024;
const NATIVE_DATAGRAMS: usize = 16;
const NATIVE_DATAGRAM_BYTES: usize = 256 * 1024;
/// System calls on one socket before the next has its turn.
const ROUNDS_MAX: usize = 32;

/// Reads until the daemon ends.
pub(crate) fn run(shared: &Arc<Shared>, waker: &sys::fd::Waker) {
    let mut worker = Worker::new(Arc::clone(shared));
    let mut syslog = ReceiveBatch::new(SYSLOG_DATAGRAMS, SYSLOG_DATAGRAM_BYTES);
    let mut native = ReceiveBatch::new(NATIVE_DATAGRAMS, NATIVE_DATAGRAM_BYTES).with_descriptors(2);
    let mut streams = Streams::default();
    let mut ready = Vec::new();
    let mut renewed = false;
    loop {
        let inputs: Vec<Arc<Bound>> = worker
            .engine
            .inputs
            .iter()
            .filter(|input| {
                matches!(
                    input.socket.kind,
                    SocketKind::Datagram(_) | SocketKind::Stream(_) | SocketKind::Kernel(_)
                )
            })
            .cloned()
            .collect();
        let mut wanted = vec![(waker.as_fd(), Interest::READ)];
        wanted.extend(inputs.iter().filter_map(|input| Some((input.socket.fd()?, Interest::READ))));
        wanted.extend(streams.descriptors().map(|fd| (fd, Interest::READ)));
        let stopping = shared.is_stopping();
        let timeout = renewed.then_some(std::time::Duration::ZERO);
        if !stopping && sys::poll::poll(&wanted, &mut ready, timeout).is_err() {
            continue;
        }
        drop(wanted);
        waker.drain();
        // A new configuration may have other inputs: they are looked at before anything is read or waited for.
        renewed = worker.begin();
        if renewed {
            continue;
        }
        let asked = shared.take_drains();
        for input in &inputs {
            match &input.socket.kind {
                SocketKind::Datagram(socket) if matches!(input.kind, InputKindPlan::Native { .. }) => {
                    read_native(&mut worker, input, socket, &mut native);
                }
                SocketKind::Datagram(socket) => read_syslog(&mut worker, input, socket, &mut syslog),
                SocketKind::Stream(listener) => streams.accept(&worker, input, listener),
                SocketKind::Kernel(file) => kernel::read(&mut worker, input, file),
                _ => {}
            }
        }
        streams.read(&mut worker, stopping);
        worker.flush();
        for answer in asked {
            let _ = answer.send(());
        }
        if stopping {
            return;
        }
    }
}

fn read_syslog(worker: &mut Worker, input: &Bound, socket: &UnixDatagram, batch: &mut ReceiveBatch) {
    for _ in 0..ROUNDS_MAX {
        let Ok(count) = batch.receive(socket) else { return };
        for index in 0..count {
            let Some(datagram) = batch.datagram(index) else { continue };
            input.count_drops(datagram.drops);
            if datagram.truncated {
                add(&input.counters.lost, 1);
            }
            let source =
                Source::Local { credentials: datagram.credentials, received_ns: datagram.received_ns };
            worker.syslog(input, datagram.data, source);
        }
        if count < SYSLOG_DATAGRAMS {
            return;
        }
    }
}

fn read_native(worker: &mut Worker, input: &Bound, socket: &UnixDatagram, batch: &mut ReceiveBatch) {
    for _ in 0..ROUNDS_MAX {
        let Ok(count) = batch.receive(socket) else { return };
        for index in 0..count {
            let descriptors = batch.descriptors(index);
            let Some(datagram) = batch.datagram(index) else { continue };
            input.count_drops(datagram.drops);
            if datagram.truncated {
                add(&input.counters.lost, 1);
                continue;
            }
            let (credentials, received_ns) = (datagram.credentials, datagram.received_ns);
            match descriptors.as_slice() {
                [] => take_native(worker, input, datagram.data, credentials, received_ns),
                [one] if datagram.data.is_empty() => match read_sealed(one) {
                    Ok(content) => take_native(worker, input, &content, credentials, received_ns),
                    Err(error) => refuse(worker, input, &error.to_string()),
                },
                _ => refuse(worker, input, "a datagram brought several descriptors"),
            }
        }
        batch.close_descriptors();
        if count < NATIVE_DATAGRAMS {
            return;
        }
    }
}

fn refuse(worker: &Worker, input: &Bound, why: &str) {
    add(&input.counters.lost, 1);
    worker.shared.say.say(
        Severity::Warning,
        "input.refused",
        format!("{}: refused an entry: {why}", input.label),
    );
}

/// The content of a memory file that its sender can no longer change while it is read.
fn read_sealed(descriptor: &OwnedFd) -> io::Result<Vec<u8>> {
    if !sys::memfd::is_sealed(descriptor) {
        return Err(io::Error::other("its file is not sealed"));
    }
    let file = std::fs::File::from(descriptor.try_clone()?);
    let size = file.metadata()?.len();
    if size > native::ENTRY_BYTES_MAX as u64 {
        return Err(io::Error::other("it is too large"));
    }
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut content, 0)?;
    Ok(content)
}

/// A datagram may hold several entries.
fn take_native(
    worker: &mut Worker,
    input: &Bound,
    mut datagram: &[u8],
    credentials: Option<Credentials>,
    received_ns: Option<i64>,
) {
    let mut fields = Vec::new();
    while !datagram.is_empty() {
        let read = native::read(datagram, &mut fields);
        let came = Came { transport: "journal", credentials, received_ns, extra: &[] };
        worker.fields(input, &fields, came);
        if read.broken.is_some() {
            add(&input.counters.lost, 1);
        }
        datagram = datagram.get(read.consumed.max(1)..).unwrap_or(b"");
    }
}
