//! The memory of clients that all workers share: tables in parts, each behind a lock of its own, so that two workers rarely wait
//! for each other. All of it together stays below `clientloglimit`.

use super::held;
use ntp_proto::{
    ClientKey, ClientRecord, ClientTable, Moment, NtpTimestamp, RateLimit, Service, StampTable, Treatment,
};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Parts of each table.
const PARTS: usize = 16;
/// The part of the limit, as a divisor, that goes to transmit timestamps.
const STAMPS_SHARE: usize = 4;
/// Larger limits count as this one, in bytes (`chrony.conf(5)`: "the maximum effective value").
const BYTES_MAX: u64 = 1 << 31;

/// The tables.
#[derive(Debug)]
pub(crate) struct Memory {
    seed: u64,
    clients: Vec<Mutex<ClientTable>>,
    stamps: Vec<Mutex<StampTable>>,
}

impl Memory {
    /// Tables that take at most `bytes` together (a small least and 2 GiB are the limits). `seed` must be unpredictable.
    pub(crate) fn new(bytes: u64, seed: u64) -> Self {
        let bytes = usize::try_from(bytes.min(BYTES_MAX)).unwrap_or(0);
        let stamps = bytes / STAMPS_SHARE / PARTS;
        let clients = (bytes - bytes / STAMPS_SHARE) / PARTS;
        Self {
            seed,
            clients: (0..PARTS).map(|_| Mutex::new(ClientTable::new(clients, seed))).collect(),
            stamps: (0..PARTS).map(|_| Mutex::new(StampTable::new(stamps))).collect(),
        }
    }

    /// Counts a request, and says how to treat it.
    pub(crate) fn hit(
        &self,
        address: IpAddr,
        service: Service,
        now: Duration,
        limit: Option<&RateLimit>,
    ) -> Treatment {
        self.hits().hit(address, service, Moment::of(now), limit)
    }

    /// For requests that are counted one after the other.
    pub(crate) fn hits(&self) -> Hits<'_> {
        Hits { memory: self, table: None }
    }

    fn part(&self, received: NtpTimestamp) -> Option<&Mutex<StampTable>> {
        let hash = received.0.wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.stamps.get((hash >> 56) as usize % PARTS)
    }

    /// Remembers when a reply leaves. Returns its receive timestamp: the one given, or the next that no other reply has.
    pub(crate) fn remember(&self, received: NtpTimestamp, transmit: NtpTimestamp) -> NtpTimestamp {
        let mut received = NtpTimestamp(received.0.max(1));
        loop {
            let Some(table) = self.part(received) else { return received };
            if held(table).remember(received, transmit) {
                return received;
            }
            received = NtpTimestamp(received.0.wrapping_add(1).max(1));
        }
    }

    /// When the reply with this receive timestamp left; none when it is not remembered, unknown when nobody can say.
    pub(crate) fn left(&self, received: NtpTimestamp) -> Option<NtpTimestamp> {
        held(self.part(received)?).left(received)
    }

    /// The kernel said when the reply with this receive timestamp left; unknown: nobody can say.
    pub(crate) fn correct(&self, received: NtpTimestamp, transmit: NtpTimestamp) {
        if let Some(table) = self.part(received) {
            held(table).correct(received, transmit);
        }
    }

    /// Replies that are remembered, and over how many seconds.
    pub(crate) fn stamps_held(&self) -> (u64, f64) {
        let each = self.stamps.iter().map(|table| held(table).held());
        each.fold((0, 0.0), |(count, span), (more, longer)| (count + more, f64::max(span, longer)))
    }

    /// Clients that gave way to others.
    pub(crate) fn evicted(&self) -> u64 {
        self.clients.iter().map(|table| held(table).evicted()).sum()
    }

    /// Places for clients, free ones among them. A place's number is good as long as the tables do not grow.
    pub(crate) fn places(&self) -> usize {
        PARTS * self.clients.iter().map(|table| held(table).places()).max().unwrap_or(0)
    }

    /// The client at a place; with `reset` its counters start anew.
    pub(crate) fn client(&self, place: usize, reset: bool) -> Option<ClientRecord> {
        let mut table = held(self.clients.get(place % PARTS)?);
        let found = table.client(place / PARTS);
        if reset {
            table.reset(place / PARTS);
        }
        found
    }
}

/// Counts requests that follow each other; a table that several of them in a row belong to is locked once.
pub(crate) struct Hits<'a> {
    memory: &'a Memory,
    table: Option<(usize, MutexGuard<'a, ClientTable>)>,
}

impl Hits<'_> {
    /// Counts a request, and says how to treat it.
    pub(crate) fn hit(
        &mut self,
        address: IpAddr,
        service: Service,
        now: Moment,
        limit: Option<&RateLimit>,
    ) -> Treatment {
        let client = ClientKey::new(self.memory.seed, address);
        let part = client.part(PARTS);
        if self.table.as_ref().is_none_or(|(locked, _)| *locked != part) {
            // No two are held at once: another thread may want them the other way round.
            self.table = None;
            self.table = self.memory.clients.get(part).map(|table| (part, held(table)));
        }
        match &mut self.table {
            Some((_, table)) => table.hit(&client, service, now, limit),
            None => Treatment::Answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: two replies never have the same receive timestamp, wherever their parts are.
    #[test]
    fn receive_timestamps_are_told_apart() {
        let memory = Memory::new(1 << 16, 1);
        let all: std::collections::BTreeSet<NtpTimestampKey> =
            (0..100).map(|n| memory.remember(NtpTimestamp(5_000), NtpTimestamp(n)).0).collect();
        assert_eq!(all, (5_000..5_100).collect());
        assert_eq!(memory.left(NtpTimestamp(5_042)), Some(NtpTimestamp(42)));
        memory.correct(NtpTimestamp(5_042), NtpTimestamp(7));
        assert_eq!(memory.left(NtpTimestamp(5_042)), Some(NtpTimestamp(7)));
        assert_eq!(memory.stamps_held().0, 100);
    }

    /// Goal: a limit of any size is one: it neither ends the daemon nor is taken from memory before it is used.
    #[test]
    fn any_limit_is_a_limit() {
        for bytes in [0, 1, u64::MAX] {
            let memory = Memory::new(bytes, 1);
            let received = memory.remember(NtpTimestamp(5_000), NtpTimestamp(7));
            assert_eq!(memory.left(received), Some(NtpTimestamp(7)), "{bytes}");
        }
    }

    type NtpTimestampKey = u64;

    /// Goal: every client has one place, and is found there.
    #[test]
    fn clients_have_places() {
        let memory = Memory::new(1 << 20, 1);
        for number in 0..500_u32 {
            let address = IpAddr::from(std::net::Ipv4Addr::from(number));
            for _ in 0..2 {
                assert_eq!(memory.hit(address, Service::Ntp, Duration::ZERO, None), Treatment::Answer);
            }
        }
        let found: std::collections::BTreeSet<IpAddr> = (0..memory.places())
            .filter_map(|place| memory.client(place, false))
            .filter(|client| client.account(Service::Ntp).hits == 2)
            .map(|client| client.address())
            .collect();
        assert_eq!(found.len(), 500);
    }
}
