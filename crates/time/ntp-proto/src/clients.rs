//! Who asked how often, and who asks too often (`chrony.conf(5)`: `clientloglimit`, `ratelimit`, `cmdratelimit`, `ntsratelimit`).
//!
//! The table is bounded: a client's place follows from its address, and where a group of places is full, the one that has been silent
//! longest gives way. Its memory depends on nothing that strangers send.

use std::net::IpAddr;
use std::time::Duration;

/// Clients in one group of places: as far as one looks for an address.
const GROUP: usize = 16;
/// Ticks of a client's clock in one second: 32 bits of them last 194 days.
const TICKS_PER_SECOND: u32 = 256;
/// Parts of a tick, 60 ns, for the shortest intervals.
const PARTS_PER_TICK: u32 = 1 << 16;
/// The part of a new interval in the mean.
const MEAN_GAIN: f32 = 0.25;
/// Intervals above this many seconds say nothing of how often a client asks.
const INTERVAL_MAX: f32 = 1e6;

/// A client that asks this many times as often when it is not answered gets most answers all the same.
const LOUDER: f32 = 2.0;
/// Shorter ones count as this, in seconds: 0 means that there is none.
const INTERVAL_MIN: f32 = 1e-6;

/// What is asked for. Each is limited by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The time.
    Ntp,
    /// Keys, by NTS-KE.
    NtsKe,
    /// A command of `chronyc`.
    Command,
}

/// How often an address may ask (`chrony.conf(5)`, `ratelimit`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Between two answers in the long run, log2 seconds.
    pub interval: i8,
    /// Answers that may follow each other at once.
    pub burst: u8,
    /// One of 2^leak requests beyond the limit is answered all the same, so that a forger of addresses cannot silence a client.
    pub leak: u8,
    /// One of 2^kod of the others is answered with a RATE kiss; 0: none.
    pub kod: u8,
}

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is answered.
    Answer,
    /// It is answered with a RATE kiss.
    Kiss,
    /// It is not answered.
    Drop,
}

/// What one client did with one service.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClientAccount {
    last: u32,
    /// Requests, those dropped among them.
    pub hits: u32,
    /// Requests that were not answered for the rate.
    pub drops: u32,
    tokens: f32,
    mean: f32,
    dropped_mean: f32,
    last_part: u16,
    /// The last request was not answered.
    dropped: bool,
}

impl ClientAccount {
    /// The mean interval from a request that was answered to the next one, log2 seconds; none without such.
    pub fn interval(&self) -> Option<i8> {
        exponent(self.mean)
    }

    /// The mean interval from a request that was not answered for the rate to the next one, log2 seconds; none without such.
    pub fn limited_interval(&self) -> Option<i8> {
        exponent(self.dropped_mean)
    }

    /// It asks more often when it gets no answer: silence makes more traffic than answers do.
    fn asks_louder(&self) -> bool {
        self.dropped_mean > 0.0 && self.dropped_mean * LOUDER < self.mean
    }

    /// Seconds since the last request; none without one.
    pub fn age(&self, now: Duration) -> Option<u32> {
        (self.hits > 0).then(|| Moment::of(now).ticks.wrapping_sub(self.last) / TICKS_PER_SECOND)
    }

    /// Counts a request.
    fn hit(&mut self, now: Moment, limit: Option<&RateLimit>, random: u64, is_ntp: bool) -> Treatment {
        let first = self.hits == 0;
        let parts = i64::from(now.part) - i64::from(self.last_part);
        let elapsed = i64::from(now.ticks.wrapping_sub(self.last)) * i64::from(PARTS_PER_TICK) + parts;
        let elapsed = elapsed as f32 / (TICKS_PER_SECOND * PARTS_PER_TICK) as f32;
        self.hits = self.hits.saturating_add(1);
        (self.last, self.last_part) = (now.ticks, now.part);
        if !first && elapsed < INTERVAL_MAX {
            let interval = elapsed.max(INTERVAL_MIN);
            let blend = |mean: f32| if mean == 0.0 { interval } else { mean + (interval - mean) * MEAN_GAIN };
            if self.dropped {
                self.dropped_mean = blend(self.dropped_mean);
            } else {
                self.mean = blend(self.mean);
            }
        }
        self.dropped = false;
        let Some(limit) = limit else { return Treatment::Answer };
        let burst = f32::from(limit.burst.max(1));
        let earned = elapsed * (-f32::from(limit.interval)).exp2();
        self.tokens = if first { burst } else { (self.tokens + earned).min(burst) };
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Treatment::Answer;
        }
        let one_of = |bits: u8, from: u32| random >> from & ((1 << bits.min(16)) - 1) == 0;
        if one_of(limit.leak, 0) != (is_ntp && self.asks_louder()) {
            // It counts like any other answer.
            self.tokens = 0.0;
            return Treatment::Answer;
        }
        if limit.kod > 0 && one_of(limit.kod, 32) {
            return Treatment::Kiss;
        }
        self.drops = self.drops.saturating_add(1);
        self.dropped = true;
        Treatment::Drop
    }
}

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ClientRecord {
    /// IPv4 addresses as `::ffff:a.b.c.d`; 0: the place is free.
    address: u128,
    accounts: [ClientAccount; 3],
}

impl ClientRecord {
    /// Its address.
    pub fn address(&self) -> IpAddr {
        IpAddr::from(self.address.to_be_bytes()).to_canonical()
    }

    /// What it did with a service.
    pub fn account(&self, service: Service) -> &ClientAccount {
        let [ntp, nts_ke, command] = &self.accounts;
        match service {
            Service::Ntp => ntp,
            Service::NtsKe => nts_ke,
            Service::Command => command,
        }
    }
}

/// What a client did: with NTP, NTS-KE, commands.
type Accounts = [ClientAccount; 3];

/// Bytes of one place.
const PLACE_BYTES: usize = 16 + 4 + std::mem::size_of::<Accounts>();

/// The table.
#[derive(Debug, Clone)]
pub struct ClientTable {
    /// Of each place the client's address, 0 where it is free, and the tick of its last request: what is looked through, apart from
    /// what is only looked up.
    addresses: Vec<u128>,
    last: Vec<u32>,
    accounts: Vec<Accounts>,
    groups_max: usize,
    seed: u64,
    draws: u64,
    evicted: u64,
}

impl ClientTable {
    /// A table that grows up to `bytes` and holds at least [`GROUP`] clients. `seed` must be unpredictable: it decides who shares a group with
    /// whom.
    pub fn new(bytes: usize, seed: u64) -> Self {
        let groups = (bytes / (PLACE_BYTES * GROUP)).max(1);
        Self {
            addresses: vec![0; GROUP],
            last: vec![0; GROUP],
            accounts: vec![Accounts::default(); GROUP],
            groups_max: 1 << groups.ilog2(),
            seed,
            draws: seed,
            evicted: 0,
        }
    }

    /// A number for an address that depends on the seed.
    pub fn hash(seed: u64, address: IpAddr) -> u64 {
        let bits = key(address);
        let mut hash = seed;
        for half in [(bits >> 64) as u64, bits as u64] {
            hash = (hash ^ half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        hash
    }

    fn groups(&self) -> usize {
        self.addresses.len() / GROUP
    }

    fn range(&self, address: u128) -> std::ops::Range<usize> {
        let hash = Self::hash(self.seed, IpAddr::from(address.to_be_bytes()));
        let start = ((hash >> 20) as usize & (self.groups() - 1)) * GROUP;
        start..start + GROUP
    }

    /// Counts a request from `address` at `now` (a monotonic clock's time) and says how to treat it.
    pub fn hit(
        &mut self,
        address: IpAddr,
        service: Service,
        now: Duration,
        limit: Option<&RateLimit>,
    ) -> Treatment {
        let (address, now) = (key(address), Moment::of(now));
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let random = (self.draws ^ self.draws >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let Some(accounts) = self.place(address, now.ticks) else { return Treatment::Answer };
        let [ntp, nts_ke, command] = accounts;
        let account = match service {
            Service::Ntp => ntp,
            Service::NtsKe => nts_ke,
            Service::Command => command,
        };
        account.hit(now, limit, random ^ random >> 31, service == Service::Ntp)
    }

    /// The client's accounts: a new one takes a free place, room that the table may still grow by, or the place of who has been
    /// silent longest.
    fn place(&mut self, address: u128, now: u32) -> Option<&mut Accounts> {
        loop {
            let range = self.range(address);
            let group = self.addresses.get(range.clone())?;
            let found = group
                .iter()
                .position(|one| *one == address)
                .or_else(|| group.iter().position(|one| *one == 0));
            let at = match found {
                Some(at) => at,
                None if self.groups() < self.groups_max => {
                    self.grow();
                    continue;
                }
                None => {
                    self.evicted += 1;
                    let ages = self.last.get(range.clone())?.iter().map(|last| now.wrapping_sub(*last));
                    ages.enumerate().max_by_key(|(_, age)| *age).map_or(0, |(at, _)| at)
                }
            };
            let at = range.start + at;
            let known = self.addresses.get_mut(at)?;
            let accounts = self.accounts.get_mut(at)?;
            if *known != address {
                (*known, *accounts) = (address, Accounts::default());
            }
            *self.last.get_mut(at)? = now;
            return Some(accounts);
        }
    }

    /// Twice the places. A group's clients go to two groups, so all find room.
    fn grow(&mut self) {
        let places = self.addresses.len() * 2;
        let addresses = std::mem::replace(&mut self.addresses, vec![0; places]);
        let last = std::mem::replace(&mut self.last, vec![0; places]);
        let accounts = std::mem::replace(&mut self.accounts, vec![Accounts::default(); places]);
        for ((address, last), accounts) in addresses.into_iter().zip(last).zip(accounts) {
            let range = self.range(address);
            let group = self.addresses.get(range.clone()).unwrap_or_default();
            let free = group.iter().position(|one| *one == 0).map(|at| range.start + at);
            if let Some(at) = free.filter(|_| address != 0)
                && let Some(place) = self.addresses.get_mut(at)
                && let Some(its_last) = self.last.get_mut(at)
                && let Some(its_accounts) = self.accounts.get_mut(at)
            {
                (*place, *its_last, *its_accounts) = (address, last, accounts);
            }
        }
    }

    /// Places, free ones among them.
    pub fn places(&self) -> usize {
        self.addresses.len()
    }

    /// The client at a place.
    pub fn client(&self, place: usize) -> Option<ClientRecord> {
        let address = *self.addresses.get(place)?;
        (address != 0).then(|| ClientRecord {
            address,
            accounts: self.accounts.get(place).copied().unwrap_or_default(),
        })
    }

    /// Lets the counters of the client at a place start anew; who it is and how it is limited stays.
    pub fn reset(&mut self, place: usize) {
        for account in self.accounts.get_mut(place).into_iter().flatten() {
            (account.hits, account.drops) = (account.hits.min(1), 0);
        }
    }

    /// Clients that gave way to others.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The bytes that the table takes.
    pub fn bytes(&self) -> usize {
        self.addresses.len() * PLACE_BYTES
    }
}

fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A monotonic clock's time as the table counts it.
#[derive(Clone, Copy)]
struct Moment {
    ticks: u32,
    part: u16,
}

impl Moment {
    fn of(now: Duration) -> Self {
        let parts = now.as_nanos() * u128::from(TICKS_PER_SECOND * PARTS_PER_TICK) / 1_000_000_000;
        Self {
            ticks: (parts / u128::from(PARTS_PER_TICK)) as u32,
            part: (parts % u128::from(PARTS_PER_TICK)) as u16,
        }
    }
}

fn exponent(seconds: f32) -> Option<i8> {
    (seconds > 0.0).then(|| seconds.log2().round() as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    /// Goal: the burst is answered, then one request an interval, and what leaks is about one of 2^leak; a kiss goes to about one
    /// of 2^kod of the others.
    #[test]
    fn the_rate_is_limited_as_documented() {
        let check = |limit: RateLimit,
                     apart: Duration,
                     requests: u32,
                     expected: [std::ops::RangeInclusive<u32>; 3]| {
            let mut table = ClientTable::new(1 << 16, 99);
            let mut seen = [0_u32; 3];
            for number in 0..requests {
                let treatment = table.hit(address(1), Service::Ntp, apart * number, Some(&limit));
                seen[treatment as usize] += 1;
            }
            for (count, range) in seen.iter().zip(&expected) {
                assert!(
                    range.contains(count),
                    "{limit:?} {apart:?}: {seen:?} where {expected:?} was expected"
                );
            }
            let record = (0..table.places()).find_map(|at| table.client(at)).expect("it is there");
            assert_eq!(record.account(Service::Ntp).drops, seen[2]);
            assert_eq!(record.account(Service::Ntp).hits, requests);
        };
        let limit = RateLimit { interval: 3, burst: 8, leak: 2, kod: 0 };
        check(limit, Duration::from_secs(8), 1000, [1000..=1000, 0..=0, 0..=0]);
        // 8 at first, then a quarter, and where nothing leaked for eight seconds one more: what leaks counts as an answer.
        check(limit, Duration::from_secs(1), 8000, [2130..=2310, 0..=0, 5690..=5870]);
        check(limit, Duration::ZERO, 4008, [900..=1120, 0..=0, 2888..=3108]);
        let kissing = RateLimit { kod: 1, leak: 4, ..limit };
        check(kissing, Duration::ZERO, 4008, [208..=320, 1700..=2050, 1700..=2050]);
        let quick = RateLimit { interval: -10, burst: 1, leak: 4, kod: 0 };
        check(quick, Duration::from_micros(977), 1000, [1000..=1000, 0..=0, 0..=0]);
    }

    /// Goal: a client that asks more often when it hears nothing is answered mostly, since silence would cost more; one that asks as
    /// often whatever comes is not.
    #[test]
    fn silence_is_not_kept_where_it_makes_more_traffic() {
        let limit = RateLimit { interval: 6, burst: 1, leak: 3, kod: 0 };
        let answered = |patient: Duration, hasty: Duration, service: Service| {
            let mut table = ClientTable::new(1 << 16, 7);
            let mut now = Duration::ZERO;
            let treatments: Vec<Treatment> = (0..1000)
                .map(|_| {
                    let treatment = table.hit(address(1), service, now, Some(&limit));
                    now += if treatment == Treatment::Answer { patient } else { hasty };
                    treatment
                })
                .collect();
            treatments.iter().filter(|one| **one == Treatment::Answer).count()
        };
        let (slow, quick) = (Duration::from_secs(16), Duration::from_secs(2));
        assert!(answered(slow, quick, Service::Ntp) > 800);
        assert!(answered(slow, quick, Service::Command) < 300);
        assert!(answered(quick, quick, Service::Ntp) < 300);
    }

    /// Goal: a million addresses cost no more memory than the limit, and who asks again and again stays in the table among
    /// them.
    #[test]
    fn memory_is_flat_under_a_million_addresses() {
        let limit = 1 << 18;
        let mut table = ClientTable::new(limit, 12345);
        for number in 0..1_000_000_u32 {
            let now = Duration::from_micros(u64::from(number) * 50);
            table.hit(address(number), Service::Ntp, now, None);
            if number % 1000 == 0 {
                table.hit(IpAddr::from([192, 0, 2, 1]), Service::Ntp, now, None);
            }
            assert!(table.bytes() <= limit);
        }
        let steady = (0..table.places())
            .filter_map(|at| table.client(at))
            .find(|one| one.address() == IpAddr::from([192, 0, 2, 1]));
        let account = *steady.expect("it is still there").account(Service::Ntp);
        assert!(account.hits > 900, "{account:?}");
        assert_eq!(account.interval(), Some(-4));
        assert!(table.evicted() > 990_000);
    }

    /// Goal: growth loses nobody; services are counted apart; a reset leaves the client known.
    #[test]
    fn growth_loses_nobody() {
        let mut table = ClientTable::new(1 << 20, 5);
        for number in 0..1000 {
            table.hit(address(number), Service::Ntp, Duration::from_secs(1), None);
            table.hit(address(number), Service::Command, Duration::from_secs(9), None);
            table.hit(address(number), Service::Command, Duration::from_secs(13), None);
        }
        let known: Vec<usize> = (0..table.places()).filter(|at| table.client(*at).is_some()).collect();
        assert_eq!((known.len(), table.evicted()), (1000, 0));
        for at in known {
            let client = table.client(at).expect("it is there");
            assert_eq!(client.account(Service::Ntp).age(Duration::from_secs(5)), Some(4));
            assert_eq!(client.account(Service::NtsKe).age(Duration::from_secs(5)), None);
            let command = client.account(Service::Command);
            assert_eq!((command.hits, command.interval(), command.limited_interval()), (2, Some(2), None));
            table.reset(at);
            assert_eq!(table.client(at).map(|one| one.account(Service::Command).hits), Some(1));
        }
    }
}
