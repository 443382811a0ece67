//! The thread that reads UDP sockets, many datagrams in one system call.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use sys::poll::Interest;
use sys::socket::ReceiveBatch;

use super::{Bound, SocketKind};
use crate::counters::add;
use crate::pipeline::{PeerName, Shared, Source, Worker};

/// Datagrams in one system call, and system calls on one socket before the next has its turn.
const DATAGRAMS_AT_ONCE: usize = 128;
const ROUNDS_MAX: usize = 32;
/// Peers whose names are kept.
const PEERS_MAX: usize = 4096;

/// Reads until the daemon ends.
pub(crate) fn run(shared: &Arc<Shared>, waker: &sys::fd::Waker) {
    let mut worker = Worker::new(Arc::clone(shared));
    let mut peers: HashMap<IpAddr, PeerName> = HashMap::new();
    let mut batch = ReceiveBatch::new(DATAGRAMS_AT_ONCE, worker.engine.message_bytes_max + 1);
    let mut ready = Vec::new();
    loop {
        let inputs: Vec<Arc<Bound>> = worker
            .engine
            .inputs
            .iter()
            .filter(|input| matches!(input.socket.kind, SocketKind::Udp(_)))
            .cloned()
            .collect();
        let mut wanted = vec![(waker.as_fd(), Interest::READ)];
        wanted.extend(inputs.iter().filter_map(|input| Some((input.socket.fd()?, Interest::READ))));
        let stopping = shared.is_stopping();
        if !stopping {
            let _ = sys::poll::poll(&wanted, &mut ready, None);
        }
        waker.drain();
        if worker.begin() {
            peers.clear();
            batch = ReceiveBatch::new(DATAGRAMS_AT_ONCE, worker.engine.message_bytes_max + 1);
            continue;
        }
        for input in &inputs {
            read(&mut worker, input, &mut batch, &mut peers);
        }
        worker.flush();
        if stopping {
            return;
        }
    }
}

fn read(worker: &mut Worker, input: &Bound, batch: &mut ReceiveBatch, peers: &mut HashMap<IpAddr, PeerName>) {
    let SocketKind::Udp(socket) = &input.socket.kind else { return };
    for _ in 0..ROUNDS_MAX {
        let Ok(count) = batch.receive(socket) else { return };
        for index in 0..count {
            let Some(datagram) = batch.datagram(index) else { continue };
            input.count_drops(datagram.drops);
            if datagram.truncated {
                add(&input.counters.lost, 1);
            }
            let Some(address) = datagram.source.map(|source| source.ip()) else { continue };
            if peers.len() >= PEERS_MAX {
                peers.clear();
            }
            let peer = peers.entry(address).or_insert_with(|| PeerName::new(address, &worker.engine));
            worker.syslog(input, datagram.data, Source::Network(peer));
        }
        if count < DATAGRAMS_AT_ONCE {
            return;
        }
    }
}
