//! The least that an answer to a datagram costs: `loadgen mirror`.
//!
//! It takes what waits in one system call, turns each packet round with as little as makes a reply of it (one reading of the clock for
//! all, no address looked at, nothing counted), and sends all in another. No server that receives and sends datagrams by the same
//! system calls spends less; what a server spends beyond it is its own, and what it cannot go below is the kernel's.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use sys::socket::{Departure, Listen, ReceiveBatch, SendBatch};

/// Datagrams in one system call, as our server's.
const BATCH: usize = 64;
/// Requests and replies, in bytes.
const PACKET_BYTES: usize = 48;
/// Seconds from the era of NTP (1900) to that of Unix.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Answers until it is ended.
pub fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let [option, address] = args else { return Err("usage: loadgen mirror --listen ADDRESS:PORT".into()) };
    if option != "--listen" {
        return Err(format!("{option}: no such option").into());
    }
    let socket = sys::socket::bind_udp(address.parse::<SocketAddr>()?, Listen::default())?;
    // What a server needs for right times and safe replies belongs to the least.
    sys::socket::receive_timestamps(&socket)?;
    sys::socket::never_fragment(&socket)?;
    let mut requests = ReceiveBatch::new(BATCH, PACKET_BYTES).for_internet();
    let mut replies = SendBatch::new(BATCH, PACKET_BYTES);
    let mut ready = Vec::new();
    loop {
        let Ok(count) = requests.receive(&socket) else {
            let wanted = [(std::os::fd::AsFd::as_fd(&socket), sys::poll::Interest::READ)];
            sys::poll::poll(&wanted, &mut ready, Some(Duration::from_secs(1)))?;
            continue;
        };
        let nanos = u64::try_from(sys::clock::realtime_ns()).unwrap_or(0);
        let (seconds, rest) = (nanos / 1_000_000_000 + NTP_TO_UNIX, nanos % 1_000_000_000);
        let now = ((seconds << 32) | ((rest << 32) / 1_000_000_000)).to_be_bytes();
        for index in 0..count {
            let Some(request) = requests.datagram(index).filter(|one| one.data.len() == PACKET_BYTES) else {
                continue;
            };
            let out = replies.buffer();
            out.fill(0);
            // Version 4, a server; stratum 1.
            out[..2].copy_from_slice(&[0x24, 1]);
            out[16..24].copy_from_slice(&now);
            out[24..32].copy_from_slice(&request.data[40..48]);
            out[32..40].copy_from_slice(&now);
            out[40..48].copy_from_slice(&now);
            replies.push(PACKET_BYTES, &Departure { destination: request.source, source: None });
        }
        replies.send(&socket);
    }
}
