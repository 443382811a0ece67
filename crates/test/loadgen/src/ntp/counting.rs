//! Load whose replies the kernel counts.

use super::{BATCH, Count, Generator, LOST_AFTER, PAUSE, REPLY_BYTES};
use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use sys::socket::{Condition, Part, ReceiveBatch, SendBatch, drop_where, dropped};

/// The bits of a request's transmit timestamp that say whether its reply is looked at: those above the flow's, of the lower word. All
/// zero: it is, one in sixty-four.
const SAMPLE_MASK: u32 = 0x3f << 23;
/// Waits of [`PAUSE`] for the first reply, at most.
const FIRST_WAITS: usize = 20_000;
/// Rounds until replies that came through are read, when the window is not the reason.
const READ_EVERY: u32 = 8;

/// Whether the reply to a request with this transmit timestamp is looked at.
pub(super) fn is_sampled(nonce: u64) -> bool {
    nonce as u32 & SAMPLE_MASK == 0
}

/// What holds for every good reply of `length` bytes: where it does not, the reply comes through and is judged.
fn good_replies(length: u32) -> [Condition; 8] {
    let condition = |part, mask, lowest, highest| Condition { part, mask, lowest, highest };
    [
        condition(Part::Length, u32::MAX, length, length),
        // Not "unsynchronised", version 4, mode 4.
        condition(Part::Byte(0), 0xff, 0, 0xbf),
        condition(Part::Byte(0), 0x3f, 0x24, 0x24),
        condition(Part::Byte(1), 0xff, 1, 15),
        // The origin is a timestamp that we make, and of one that is not looked at.
        condition(Part::Word(24), 3 << 30, 1 << 30, 1 << 30),
        condition(Part::Word(28), SAMPLE_MASK, 1, SAMPLE_MASK),
        condition(Part::Word(32), u32::MAX, 1, u32::MAX),
        condition(Part::Word(40), u32::MAX, 1, u32::MAX),
    ]
}

/// A socket's part of the load.
struct Lane {
    socket: UdpSocket,
    /// The kernel's count of good replies when it was last read. Wraps.
    dropped: u32,
    /// Requests whose replies were not counted yet.
    waiting: usize,
}

impl Lane {
    fn new(socket: UdpSocket) -> std::io::Result<Self> {
        Ok(Self { dropped: dropped(&socket)?, socket, waiting: 0 })
    }

    /// Good replies that the kernel has counted since the last call.
    fn count(&mut self) -> std::io::Result<u64> {
        let now = dropped(&self.socket)?;
        let more = now.wrapping_sub(std::mem::replace(&mut self.dropped, now));
        self.waiting = self.waiting.saturating_sub(more as usize);
        Ok(u64::from(more))
    }
}

impl Generator<'_> {
    /// Keeps the window full until time is up, each socket's part of it alike, so that a server with several threads has work for all.
    pub(super) fn run_counted(&mut self) -> Result<Duration, Box<dyn Error>> {
        // Without it a pause takes twice as long, and two threads have nothing to do meanwhile. Where it is refused, they wait.
        let _ = sys::schedule::wake_promptly();
        let sockets = std::mem::take(&mut self.sockets);
        let mut outgoing = SendBatch::new(BATCH, REPLY_BYTES);
        let mut incoming = ReceiveBatch::new(BATCH, REPLY_BYTES).for_internet();
        let length = self.first_reply(sockets.first().ok_or("no socket")?, &mut outgoing, &mut incoming)?;
        for socket in &sockets {
            drop_where(socket, &good_replies(u32::try_from(length)?))?;
            if self.options.train > 1 {
                // The kernel takes what follows each other to one address as one, and takes it apart at the server's socket: the
                // server finds single datagrams, and we pay for one way through the kernel.
                outgoing.join_runs(socket);
            }
        }
        let mut lanes = sockets.into_iter().map(Lane::new).collect::<Result<Vec<_>, _>>()?;
        self.count = Count::default();
        let began = Instant::now();
        let ends = began + Duration::from_secs_f64(self.options.seconds);
        let (mut next, mut turn) = (0_usize, 0_u32);
        let (mut passed, mut written_off) = (0, 0);
        let (mut heard, mut seen) = (began, 0);
        let window = self.options.window;
        let least = (window / 4).clamp(1, BATCH / 2);
        let share = window.div_ceil(lanes.len());
        let lasted = loop {
            for lane in &mut lanes {
                passed += lane.count()?;
            }
            let answered = passed + self.count.valid + self.count.invalid;
            let waiting = (self.count.sent - written_off).saturating_sub(answered) as usize;
            let mut room = window.saturating_sub(waiting);
            if room < least || turn.is_multiple_of(READ_EVERY) {
                self.read_samples(&mut lanes, &mut incoming);
            }
            turn = turn.wrapping_add(1);
            let now = Instant::now();
            if answered != seen {
                (heard, seen) = (now, answered);
            } else if now.duration_since(heard) > LOST_AFTER {
                written_off = self.count.sent - answered.min(self.count.sent);
                lanes.iter_mut().for_each(|lane| lane.waiting = 0);
                heard = now;
            }
            if now > ends {
                break now.duration_since(began);
            }
            if room < least {
                std::thread::sleep(PAUSE);
                continue;
            }
            // One train a socket, from another socket on each time.
            lanes.rotate_left(1);
            let mut sent = 0;
            for lane in &mut lanes {
                let count = if self.options.train > 1 { self.options.train } else { BATCH.min(room) };
                if room < count || lane.waiting >= share {
                    continue;
                }
                for _ in 0..count {
                    let flow = next % self.flows.len();
                    next += 1;
                    self.push(&mut outgoing, flow);
                    if let Some(state) = self.flows.get_mut(flow).filter(|state| !is_sampled(state.nonce)) {
                        state.nonce = 0;
                    }
                }
                outgoing.send(&lane.socket);
                lane.waiting += count;
                room -= count;
                sent += count;
            }
            if sent == 0 {
                // The sockets with room have the others' share to wait for.
                std::thread::sleep(PAUSE);
            }
        };
        // What is still on its way.
        std::thread::sleep(LOST_AFTER);
        self.read_samples(&mut lanes, &mut incoming);
        for lane in &mut lanes {
            passed += lane.count()?;
        }
        self.count.valid += passed;
        self.count.lost = self.count.sent.saturating_sub(self.count.valid + self.count.invalid);
        self.sockets = lanes.into_iter().map(|lane| lane.socket).collect();
        Ok(lasted)
    }

    /// Asks once and judges the reply; returns its length.
    fn first_reply(
        &mut self,
        socket: &UdpSocket,
        outgoing: &mut SendBatch,
        incoming: &mut ReceiveBatch,
    ) -> Result<usize, Box<dyn Error>> {
        let mut failure = "nobody answers".to_owned();
        for wait in 0..FIRST_WAITS {
            if wait.is_multiple_of(FIRST_WAITS / 4) {
                self.push(outgoing, 0);
                outgoing.send(socket);
            }
            std::thread::sleep(PAUSE);
            if incoming.receive(socket).is_err() {
                continue;
            }
            if let Some(datagram) = incoming.datagram(0) {
                let length = datagram.data.len();
                if self.judge(datagram.data) {
                    return Ok(length);
                }
                // Perhaps the server has just started, or the reply belongs to an earlier question.
                failure = format!("the first reply, of {length} bytes, is not good");
            }
        }
        Err(failure.into())
    }

    fn read_samples(&mut self, lanes: &mut [Lane], incoming: &mut ReceiveBatch) {
        for lane in lanes {
            while let Ok(received) = incoming.receive(&lane.socket) {
                lane.waiting = lane.waiting.saturating_sub(received);
                for index in 0..received {
                    if let Some(datagram) = incoming.datagram(index) {
                        self.judge(datagram.data);
                    }
                }
                if received < BATCH {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntp::{FLOW_MASK, nonce};

    /// Goal: about one request in sixty-four is looked at, whichever the flow; every timestamp passes what the filter says of an origin.
    #[test]
    fn one_in_sixty_four_is_looked_at() {
        for flow in [0, 1, 77, FLOW_MASK as usize - 1] {
            let nonces: Vec<u64> = (1..64_000).map(|serial| nonce(flow, serial)).collect();
            let sampled = nonces.iter().filter(|one| is_sampled(**one)).count();
            assert!((900..1100).contains(&sampled), "{flow}: {sampled}");
            assert!(nonces.iter().all(|one| one >> 62 == 1));
            assert_eq!(good_replies(48)[0].lowest, 48);
        }
    }
}
