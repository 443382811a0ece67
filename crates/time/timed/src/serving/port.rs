//! A socket of the server, and what the kernel still has to tell of what left it. Any worker may serve it, several at once.

use super::cards::Awaited;
use super::owed::{Left, Owed, Waiting};
use super::{Memory, Totals, View, held};
use ntp_proto::NtpTimestamp;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use sys::socket::{DepartureBatch, SendBatch, StampBatch};

/// A socket.
#[derive(Debug)]
pub(crate) struct Port {
    /// Replies that are signed elsewhere leave by it too.
    pub(super) socket: Arc<UdpSocket>,
    local: Option<SocketAddr>,
    /// NTP is inside PTP here, in this domain.
    pub(super) ptp: Option<u8>,
    /// The socket is bound to one address, so replies leave from there anyway.
    pub(super) fixed: bool,
    /// Held from the moment when numbers are given until the replies with them are sent, for the kernel counts in the order of sending.
    told: Mutex<Told>,
    /// There may be something to take: nobody waits for the lock for nothing.
    owes: AtomicBool,
    /// The kernel has told of replies, so it will of others: what is not told yet is not known.
    tells: AtomicBool,
}

/// Who tells when replies leave.
#[derive(Debug, Default)]
struct Told {
    by: By,
    owed: Owed,
}

#[derive(Debug, Default)]
enum By {
    /// It was not tried yet: it costs every datagram something, and many servers have no client in interleaved mode.
    #[default]
    Untried,
    /// Nobody: the kernel refuses.
    Nobody,
    Kernel,
    /// Cards, and the kernel where they do not.
    Cards(Awaited),
}

/// The buffers that it takes to hear of them.
pub(super) struct Ears {
    stamps: StampBatch,
    departures: Option<DepartureBatch>,
}

/// What hears, and who is told.
pub(super) struct Hearing<'a> {
    pub ears: &'a mut Ears,
    pub memory: Option<&'a Memory>,
    pub view: &'a View,
    pub totals: &'a mut Totals,
    /// What sending a reply takes, nanoseconds.
    pub each_ns: f32,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self { stamps: StampBatch::new(), departures: None }
    }
}

impl Port {
    /// A bound socket that does not block.
    pub(crate) fn new(socket: Arc<UdpSocket>, ptp: Option<u8>) -> Self {
        let local = socket.local_addr().ok();
        let fixed = local.is_some_and(|local| !local.ip().is_unspecified());
        if local.is_some_and(|local| local.is_ipv4()) {
            // Where it is refused, replies may be cut like those of other servers.
            let _ = sys::socket::never_fragment(&socket);
        }
        if let Some(local) = local.filter(|_| !fixed) {
            // Without it replies leave from the address that the route gives: right on most hosts.
            let _ = sys::socket::local_addresses(&socket, local.is_ipv4());
        }
        Self {
            socket,
            local,
            ptp,
            fixed,
            told: Mutex::default(),
            owes: AtomicBool::new(false),
            tells: AtomicBool::new(false),
        }
    }

    /// Cards stamp what comes and leaves from now on. Where the kernel refuses that, its own stamps stay.
    pub(super) fn stamp_by_cards(&mut self) {
        let ipv4 = self.is_ipv4();
        match Awaited::begin(&self.socket, ipv4) {
            Some(awaited) => held(&self.told).by = By::Cards(awaited),
            None => {
                // Where that is refused too, requests are stamped by the daemon.
                let _ = sys::socket::receive_timestamps(&self.socket);
            }
        }
    }

    /// Sends a packet that nobody asked for.
    pub(super) fn send_unasked(&self, packet: &[u8], to: SocketAddr) -> std::io::Result<usize> {
        self.socket.send_to(packet, to)
    }

    /// Where it is bound.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    fn is_ipv4(&self) -> bool {
        self.local.is_some_and(|local| local.is_ipv4())
    }

    /// Sends the replies of a batch, of which those of `waiting` have a time to come: it is taken later, or is nobody's to tell.
    pub(super) fn send(&self, replies: &mut SendBatch, waiting: &[Waiting], totals: &mut Totals) {
        if waiting.is_empty() {
            replies.send(&self.socket);
            return;
        }
        let mut told = held(&self.told);
        let told = &mut *told;
        if matches!(told.by, By::Untried) {
            let kernel = sys::socket::transmit_stamps_on_request(&self.socket).is_ok();
            told.by = if kernel { By::Kernel } else { By::Nobody };
        }
        match &mut told.by {
            By::Untried | By::Nobody => totals.daemon_sent += waiting.len() as u64,
            By::Kernel if told.owed.is_settling() => {}
            By::Kernel => {
                told.owed.ask(waiting, |place| {
                    replies.stamp(place as usize);
                });
                self.owes.store(true, Ordering::Release);
            }
            By::Cards(awaited) => {
                replies.stamped_by_cards();
                for one in waiting {
                    replies.stamp(one.place as usize);
                    awaited.push(one.received, one.bytes as usize);
                }
            }
        }
        replies.send(&self.socket);
        if matches!(told.by, By::Kernel) {
            told.owed.sent(sys::clock::realtime_ns());
            let refused = replies.stamps_refused();
            if refused > 0 {
                told.owed.lose_count(refused, Instant::now());
            }
        }
    }

    /// The kernel tells when replies leave, and of one that it has not told of yet nobody knows.
    pub(super) fn tells(&self) -> bool {
        self.tells.load(Ordering::Relaxed)
    }

    /// Takes the transmit times that the kernel has to tell. `signalled`: the socket says that there are some; without it those of cards
    /// are not looked for, since they come later.
    pub(super) fn take(&self, signalled: bool, hearing: &mut Hearing<'_>) {
        if !signalled && !self.owes.load(Ordering::Acquire) {
            return;
        }
        // Whoever has the lock takes them, now or at the next batch.
        let Ok(mut told) = self.told.try_lock() else { return };
        let Hearing { ears, memory, view, totals, each_ns } = hearing;
        let Told { by, owed } = &mut *told;
        match by {
            By::Untried | By::Nobody => {}
            By::Kernel => {
                let limit = owed.untold().max(usize::from(signalled));
                ears.stamps.take(&self.socket, limit, |stamp| {
                    owed.told(stamp.number, stamp.sent_ns, *each_ns, |received, left| {
                        let transmit = match left {
                            Left::At(sent_ns) => NtpTimestamp::from_unix_nanos(view.clock.at(sent_ns)),
                            Left::Unknown => NtpTimestamp::UNKNOWN,
                        };
                        self.tells.store(true, Ordering::Relaxed);
                        totals.kernel_sent += u64::from(left != Left::Unknown);
                        if let Some(memory) = memory {
                            memory.correct(received, transmit);
                        }
                    });
                });
                if owed.is_settled(Instant::now()) {
                    if sys::socket::restart_transmit_stamps(&self.socket).is_err() {
                        *by = By::Nobody;
                        self.tells.store(false, Ordering::Relaxed);
                    }
                    owed.restart();
                }
                self.owes.store(owed.untold() > 0, Ordering::Release);
            }
            By::Cards(awaited) if signalled => {
                let departures = ears.departures.get_or_insert_default();
                awaited.take(departures, &self.socket, self.is_ipv4(), *memory, view, totals);
            }
            By::Cards(_) => {}
        }
    }
}
