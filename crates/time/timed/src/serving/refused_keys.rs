//! Clients whose code does not fit, told so that neither many requests nor many addresses make many lines: a wrong key is silence on
//! the client's side, so who has set up both ends looks here.

use ntp_proto::{MacError, Packet, Refusal};
use std::net::IpAddr;
use std::time::Duration;

/// A client is told of so often at most.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Clients that are told of in this time, of all. Addresses can be made up, and lines in a log are dearer than requests.
const CLIENTS_MAX: usize = 16;

/// What is to be said of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RefusedKey {
    /// Who asked.
    pub client: IpAddr,
    /// With which key.
    pub id: u32,
    /// We have a key of this number: it is another one.
    pub is_known: bool,
}

/// Who was told of, and what is to be told.
#[derive(Debug, Default)]
pub(super) struct RefusedKeys {
    told: Vec<(IpAddr, Duration)>,
    waiting: Vec<RefusedKey>,
}

impl RefusedKeys {
    /// A request was refused at `now`, monotonic.
    pub(super) fn refused(&mut self, request: &[u8], client: IpAddr, refusal: Refusal, now: Duration) {
        let Refusal::Mac(error) = refusal else { return };
        self.told.retain(|(_, at)| now.saturating_sub(*at) < INTERVAL);
        if self.told.len() >= CLIENTS_MAX || self.told.iter().any(|(other, _)| *other == client) {
            return;
        }
        let Some(id) = Packet::parse(request).ok().and_then(|packet| Some(packet.mac?.key_id)) else {
            return;
        };
        self.told.push((client, now));
        self.waiting.push(RefusedKey { client, id, is_known: error == MacError::Digest });
    }

    /// What is to be told since the last call.
    pub(super) fn take(&mut self) -> Vec<RefusedKey> {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: one line a client and hour, and no more than a few of all, however many ask.
    #[test]
    fn a_flood_makes_no_lines() {
        let request = [&[0x23][..], &[0; 47], &[0, 0, 0, 9], &[0; 16]].concat();
        let refusal = Refusal::Mac(MacError::Key { id: 9 });
        let mut keys = RefusedKeys::default();
        let client = |number: u32| IpAddr::from(number.to_be_bytes());
        let at = |seconds| Duration::from_secs(seconds);
        for second in 0..100 {
            keys.refused(&request, client(1), refusal, at(second));
        }
        assert_eq!(keys.take(), [RefusedKey { client: client(1), id: 9, is_known: false }]);
        for number in 0..10_000 {
            keys.refused(&request, client(number), Refusal::Mac(MacError::Digest), at(100));
        }
        let told = keys.take();
        assert_eq!(told.len(), CLIENTS_MAX - 1);
        assert!(told.iter().all(|one| one.is_known && one.client != client(1)));
        keys.refused(&request, client(1), Refusal::Access, at(3600));
        assert_eq!(keys.take(), []);
        keys.refused(&request, client(1), refusal, at(3600));
        assert_eq!(keys.take().len(), 1);
    }
}
