//! Load whose replies the kernel counts.

use super::{BATCH, Count, Generator, LOST_AFTER, PAUSE, REPLY_BYTES};
use std::error::Error;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use sys::socket::{Condition, Part, ReceiveBatch, SendBatch, drop_where, dropped};

/// The bits of a request's transmit timestamp that say whether its reply is looked at: those above the flow's, of the lower word. All
/// zero: it is, one in sixteen.
const SAMPLE_MASK: u32 = 0xf << 23;
/// Waits of [`PAUSE`] for the first reply, at most.
const FIRST_WAITS: usize = 20_000;
/// Rounds until replies that came through are read, when the window is not the reason.
const READ_EVERY: u32 = 4;

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

/// What the kernel counted at our sockets.
struct Dropped {
    last: Vec<u32>,
    sum: u64,
}

impl Dropped {
    fn new(sockets: &[UdpSocket]) -> std::io::Result<Self> {
        Ok(Self { last: sockets.iter().map(dropped).collect::<Result<_, _>>()?, sum: 0 })
    }

    fn count(&mut self, sockets: &[UdpSocket]) -> std::io::Result<u64> {
        for (socket, last) in sockets.iter().zip(&mut self.last) {
            let now = dropped(socket)?;
            self.sum += u64::from(now.wrapping_sub(*last));
            *last = now;
        }
        Ok(self.sum)
    }
}

impl Generator<'_> {
    /// Keeps the window full until time is up.
    pub(super) fn run_counted(&mut self) -> Result<(), Box<dyn Error>> {
        let sockets = std::mem::take(&mut self.sockets);
        let mut outgoing = SendBatch::new(BATCH, REPLY_BYTES);
        let mut incoming = ReceiveBatch::new(BATCH, REPLY_BYTES).for_internet();
        let length = self.first_reply(sockets.first().ok_or("no socket")?, &mut outgoing, &mut incoming)?;
        let mut counter = Dropped::new(&sockets)?;
        for socket in &sockets {
            drop_where(socket, &good_replies(u32::try_from(length)?))?;
            if self.options.train > 1 {
                // The kernel takes what follows each other to one address as one, and takes it apart at the server's socket: the
                // server finds single datagrams, and we pay for one way through the kernel.
                outgoing.join_runs(socket);
            }
        }
        self.count = Count::default();
        let ends = Instant::now() + Duration::from_secs_f64(self.options.seconds);
        let (mut next, mut turn) = (0_usize, 0_u32);
        let mut written_off = 0;
        let (mut heard, mut seen) = (Instant::now(), 0);
        let least = (self.options.window / 4).clamp(1, BATCH / 2);
        loop {
            let passed = counter.count(&sockets)?;
            let answered = passed + self.count.valid + self.count.invalid;
            let room = self
                .options
                .window
                .saturating_sub((self.count.sent - written_off).saturating_sub(answered) as usize);
            if room < least || turn.is_multiple_of(READ_EVERY) {
                self.read_samples(&sockets, &mut incoming);
            }
            turn = turn.wrapping_add(1);
            let now = Instant::now();
            if answered != seen {
                (heard, seen) = (now, answered);
            } else if now.duration_since(heard) > LOST_AFTER {
                written_off = self.count.sent - answered.min(self.count.sent);
                heard = now;
            }
            if now > ends {
                break;
            }
            if room < least {
                std::thread::sleep(PAUSE);
                continue;
            }
            let Some(socket) = sockets.get(turn as usize % sockets.len()) else { continue };
            for _ in 0..room.min(BATCH) {
                let flow = next % self.flows.len();
                next += 1;
                self.push(&mut outgoing, flow);
                if let Some(state) = self.flows.get_mut(flow).filter(|state| !is_sampled(state.nonce)) {
                    state.nonce = 0;
                }
            }
            outgoing.send(socket);
        }
        // What is still on its way.
        std::thread::sleep(LOST_AFTER);
        self.read_samples(&sockets, &mut incoming);
        self.count.valid += counter.count(&sockets)?;
        self.count.lost = self.count.sent.saturating_sub(self.count.valid + self.count.invalid);
        self.sockets = sockets;
        Ok(())
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

    fn read_samples(&mut self, sockets: &[UdpSocket], incoming: &mut ReceiveBatch) {
        for socket in sockets {
            while let Ok(received) = incoming.receive(socket) {
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

    /// Goal: about one request in sixteen is looked at, whichever the flow; every timestamp passes what the filter says of an origin.
    #[test]
    fn one_in_sixteen_is_looked_at() {
        for flow in [0, 1, 77, FLOW_MASK as usize - 1] {
            let nonces: Vec<u64> = (1..16_000).map(|serial| nonce(flow, serial)).collect();
            let sampled = nonces.iter().filter(|one| is_sampled(**one)).count();
            assert!((900..1100).contains(&sampled), "{flow}: {sampled}");
            assert!(nonces.iter().all(|one| one >> 62 == 1));
            assert_eq!(good_replies(48)[0].lowest, 48);
        }
    }
}
