//! The thread that reads TCP connections: one large read buffer for all of them; a connection keeps only the beginning of a
//! message that has not come whole.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use record::Severity;
use sys::poll::Interest;
use syslog_proto::{Frame, Splitter};

use super::{Bound, InputKindPlan, SocketKind};
use crate::counters::add;
use crate::pipeline::{PeerName, Shared, Source, Worker};

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// At the end: how long a connection that still brings data is read, and how long one that brings none is waited for.
const LAST_READS: Duration = Duration::from_secs(2);
const LAST_SILENCE: Duration = Duration::from_millis(200);

struct Connection {
    stream: TcpStream,
    input: Arc<Bound>,
    peer: PeerName,
    splitter: Splitter,
    /// The beginning of a message.
    partial: Vec<u8>,
}

/// Reads until the daemon ends. Then peers are told (FIN), and what is still on its way is read, so that an orderly restart
/// loses nothing that a peer's kernel believes delivered.
pub(crate) fn run(shared: &Arc<Shared>, waker: &sys::fd::Waker) {
    let mut worker = Worker::new(Arc::clone(shared));
    let mut connections: Vec<Connection> = Vec::new();
    let mut buffer = Vec::new();
    let mut ready = Vec::new();
    let mut ending: Option<(Instant, Instant)> = None;
    loop {
        let listeners: Vec<Arc<Bound>> = worker
            .engine
            .inputs
            .iter()
            .filter(|input| ending.is_none() && matches!(input.socket.kind, SocketKind::Tcp(_)))
            .cloned()
            .collect();
        let mut wanted = vec![(waker.as_fd(), Interest::READ)];
        wanted.extend(listeners.iter().filter_map(|input| Some((input.socket.fd()?, Interest::READ))));
        let first = wanted.len();
        wanted.extend(connections.iter().map(|connection| (connection.stream.as_fd(), Interest::READ)));
        let timeout = ending.map(|_| Duration::from_millis(20));
        if sys::poll::poll(&wanted, &mut ready, timeout).is_err() {
            continue;
        }
        drop(wanted);
        waker.drain();
        worker.begin();
        let mut active = false;
        let mut index = 0;
        connections.retain_mut(|connection| {
            let is_ready = ready.get(first + index).is_some_and(|ready| ready.readable || ready.closed);
            index += 1;
            if !is_ready {
                return true;
            }
            active = true;
            read(&mut worker, connection, &mut buffer)
        });
        worker.flush();
        for input in &listeners {
            accept(&worker, input, &mut connections);
        }
        if shared.is_stopping() && ending.is_none() {
            // First nobody new: a sender that is told to go would come back at once and be answered by the kernel alone.
            for input in &listeners {
                accept(&worker, input, &mut connections);
                input.socket.stop_listening();
            }
            ending = Some((Instant::now(), Instant::now()));
            for connection in &connections {
                let _ = connection.stream.shutdown(std::net::Shutdown::Write);
            }
        }
        if let Some((since, last_active)) = &mut ending {
            if active {
                *last_active = Instant::now();
            }
            if connections.is_empty() || since.elapsed() > LAST_READS || last_active.elapsed() > LAST_SILENCE
            {
                for connection in &mut connections {
                    finish(&mut worker, connection);
                }
                worker.flush();
                return;
            }
        }
    }
}

fn accept(worker: &Worker, input: &Arc<Bound>, connections: &mut Vec<Connection>) {
    let SocketKind::Tcp(listener) = &input.socket.kind else { return };
    let InputKindPlan::Tcp { octet_counted, sessions_max, keep_alive, .. } = &input.kind else { return };
    loop {
        match listener.accept() {
            Ok((stream, address)) => {
                let open =
                    connections.iter().filter(|connection| connection.input.kind == input.kind).count();
                if open >= *sessions_max || stream.set_nonblocking(true).is_err() {
                    add(&input.counters.lost, 1);
                    let text = format!(
                        "{}: {sessions_max} connections are open; one from {address} was refused",
                        input.label
                    );
                    worker.shared.say.say(Severity::Warning, "input.full", text);
                    continue;
                }
                if *keep_alive {
                    // SOL_SOCKET, SO_KEEPALIVE
                    let _ = sys::socket::set_option(&stream, 1, 9, 1);
                }
                let bytes_max = worker.engine.message_bytes_max;
                connections.push(Connection {
                    stream,
                    input: Arc::clone(input),
                    peer: PeerName::new(address.ip(), &worker.engine),
                    splitter: if *octet_counted {
                        Splitter::new(bytes_max)
                    } else {
                        Splitter::line_feed_only(bytes_max)
                    },
                    partial: Vec::new(),
                });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let text = format!("{}: cannot accept a connection: {error}", input.label);
                worker.shared.say.say(Severity::Err, "input.failed", text);
                // Out of descriptors: trying at once would only burn the processor.
                std::thread::sleep(Duration::from_millis(10));
                return;
            }
        }
    }
}

/// Reads once; whether the connection lives on.
fn read(worker: &mut Worker, connection: &mut Connection, buffer: &mut Vec<u8>) -> bool {
    let kept = connection.partial.len();
    let size = READ_BYTES + connection.splitter.buffer_bytes_max();
    if buffer.len() < size {
        buffer.resize(size, 0);
    }
    buffer[..kept].copy_from_slice(&connection.partial);
    let count = match connection.stream.read(&mut buffer[kept..]) {
        Ok(count) => count,
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            return true;
        }
        Err(_) => 0,
    };
    if count == 0 {
        finish(worker, connection);
        return false;
    }
    let bytes = &buffer[..kept + count];
    let Connection { input, peer, splitter, partial, .. } = connection;
    let mut at = 0;
    loop {
        let split = splitter.split(&bytes[at..]);
        at += split.consumed;
        match split.frame {
            Some(frame) => take(worker, input, peer, &frame),
            None => break,
        }
    }
    partial.clear();
    partial.extend_from_slice(&bytes[at..]);
    true
}

#[inline]
fn take(worker: &mut Worker, input: &Bound, peer: &PeerName, frame: &Frame<'_>) {
    if frame.truncated {
        add(&input.counters.lost, 1);
    }
    worker.syslog(input, frame.message, Source::Network(peer));
}

/// The connection has ended: what stands in it without an end is a message too.
fn finish(worker: &mut Worker, connection: &mut Connection) {
    let partial = std::mem::take(&mut connection.partial);
    if let Some(frame) = connection.splitter.finish(&partial) {
        take(worker, &connection.input, &connection.peer, &frame);
    }
}
