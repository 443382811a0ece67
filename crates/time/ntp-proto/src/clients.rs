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
/// Mean intervals below this many seconds are a flood, in which none is told from a shorter one (chronyd's clock of clients goes by
/// 1/16 s, and what is within one tick of it counts as half a tick): a machine's hiccups are no client's impatience.
const FLOOD: f32 = 1.0 / 32.0;
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
    /// There was a request.
    seen: bool,
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
        self.dropped_mean > 0.0 && self.dropped_mean.max(FLOOD) * LOUDER < self.mean
    }

    /// Seconds since the last request; none without one.
    pub fn age(&self, now: Duration) -> Option<u32> {
        self.seen.then(|| Moment::of(now).ticks.wrapping_sub(self.last) / TICKS_PER_SECOND)
    }

    /// Counts a request.
    fn hit(&mut self, now: Moment, limit: Option<&RateLimit>, random: u64, is_ntp: bool) -> Treatment {
        let first = !std::mem::replace(&mut self.seen, true);
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

/// A client's address as the tables look for it.
#[derive(Debug, Clone, Copy)]
pub struct ClientKey {
    /// IPv4 addresses as `::ffff:a.b.c.d`.
    address: u128,
    /// A number that depends on the seed.
    hash: u64,
}

impl ClientKey {
    /// The key of an address. `seed` must be unpredictable: it decides who shares a group with whom.
    pub fn new(seed: u64, address: IpAddr) -> Self {
        Self::of(seed, key(address))
    }

    fn of(seed: u64, address: u128) -> Self {
        let mut hash = seed;
        for half in [(address >> 64) as u64, address as u64] {
            hash = (hash ^ half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        Self { address, hash }
    }

    /// Which of `parts` tables the client belongs to.
    pub fn part(&self, parts: usize) -> usize {
        (self.hash >> 56) as usize % parts
    }

    /// What stands for the client in its group, not 0. Two clients may have the same.
    fn tag(&self) -> u32 {
        (self.hash as u32).max(1)
    }
}

/// What is looked through for a client, apart from what is only looked up: 128 bytes, two lines of the processor's cache.
#[derive(Debug, Clone, Default)]
#[repr(align(64))]
struct Group {
    /// Of each place its client's [`ClientKey::tag`]; 0: the place is free.
    tags: [u32; GROUP],
    /// The tick of its last request.
    last: [u32; GROUP],
}

impl Group {
    /// The places with this tag, a bit each.
    fn with_tag(&self, tag: u32) -> u32 {
        self.tags.iter().enumerate().fold(0, |found, (at, one)| found | u32::from(*one == tag) << at)
    }

    /// The place whose client has been silent longest.
    fn most_silent(&self, now: u32) -> usize {
        // The place's number stands in the lowest bits of its age: a sixteenth of a second more or less decides nothing.
        let mask = GROUP as u32 - 1;
        let ages = self.last.iter().enumerate().map(|(at, last)| now.wrapping_sub(*last) & !mask | at as u32);
        ages.fold(0, u32::max) as usize & mask as usize
    }
}

/// One client with what every request touches.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    address: u128,
    ntp: ClientAccount,
}

/// Bytes of one place.
const PLACE_BYTES: usize = std::mem::size_of::<Group>() / GROUP
    + std::mem::size_of::<Place>()
    + 2 * std::mem::size_of::<ClientAccount>();

/// The table.
#[derive(Debug, Clone)]
pub struct ClientTable {
    groups: Vec<Group>,
    places: Vec<Place>,
    /// NTS-KE and commands.
    others: Vec<[ClientAccount; 2]>,
    groups_max: usize,
    seed: u64,
    draws: u64,
    evicted: u64,
}

impl ClientTable {
    /// A table that grows up to `bytes` and holds at least [`GROUP`] clients. `seed` is that of its [`ClientKey`]s.
    pub fn new(bytes: usize, seed: u64) -> Self {
        let groups = (bytes / (PLACE_BYTES * GROUP)).max(1);
        Self {
            groups: vec![Group::default(); 1],
            places: vec![Place::default(); GROUP],
            others: vec![Default::default(); GROUP],
            groups_max: 1 << groups.ilog2(),
            seed,
            draws: seed,
            evicted: 0,
        }
    }

    /// Counts a request from a client at `now` and says how to treat it.
    pub fn hit(
        &mut self,
        client: &ClientKey,
        service: Service,
        now: Moment,
        limit: Option<&RateLimit>,
    ) -> Treatment {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let random = (self.draws ^ self.draws >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let at = self.place(client, now.ticks);
        let account = match service {
            Service::Ntp => self.places.get_mut(at).map(|place| &mut place.ntp),
            Service::NtsKe => self.others.get_mut(at).map(|[nts_ke, _]| nts_ke),
            Service::Command => self.others.get_mut(at).map(|[_, command]| command),
        };
        let random = random ^ random >> 31;
        account.map_or(Treatment::Answer, |account| account.hit(now, limit, random, service == Service::Ntp))
    }

    fn group_of(&self, client: &ClientKey) -> usize {
        (client.hash >> 20) as usize & (self.groups.len() - 1)
    }

    /// The client's place: a new one takes a free one, room that the table may still grow by, or the place of who has been silent
    /// longest.
    fn place(&mut self, client: &ClientKey, now: u32) -> usize {
        loop {
            let number = self.group_of(client);
            let count = self.groups.len();
            let Some(group) = self.groups.get_mut(number) else { return usize::MAX };
            let start = number * GROUP;
            let mut same = group.with_tag(client.tag());
            while same != 0 {
                let at = same.trailing_zeros() as usize;
                if self.places.get(start + at).is_some_and(|place| place.address == client.address) {
                    if let Some(last) = group.last.get_mut(at) {
                        *last = now;
                    }
                    return start + at;
                }
                same &= same - 1;
            }
            let at = match group.with_tag(0) {
                0 if count < self.groups_max => {
                    self.grow();
                    continue;
                }
                0 => {
                    self.evicted += 1;
                    group.most_silent(now)
                }
                free => free.trailing_zeros() as usize,
            };
            if let (Some(tag), Some(last)) = (group.tags.get_mut(at), group.last.get_mut(at)) {
                (*tag, *last) = (client.tag(), now);
            }
            let at = start + at;
            if let (Some(place), Some(others)) = (self.places.get_mut(at), self.others.get_mut(at)) {
                *place = Place { address: client.address, ntp: ClientAccount::default() };
                *others = Default::default();
            }
            return at;
        }
    }

    /// Twice the places. A group's clients go to two groups, so all find room.
    fn grow(&mut self) {
        let groups = self.groups.len() * 2;
        let old = std::mem::replace(&mut self.groups, vec![Group::default(); groups]);
        let places = std::mem::replace(&mut self.places, vec![Place::default(); groups * GROUP]);
        let others = std::mem::replace(&mut self.others, vec![Default::default(); groups * GROUP]);
        let heads = old.iter().flat_map(|group| group.tags.iter().zip(&group.last));
        for ((place, accounts), (tag, last)) in places.into_iter().zip(others).zip(heads) {
            if *tag == 0 {
                continue;
            }
            let number = self.group_of(&ClientKey::of(self.seed, place.address));
            let Some(group) = self.groups.get_mut(number) else { continue };
            let at = group.with_tag(0).trailing_zeros() as usize;
            if let (Some(its_tag), Some(its_last)) = (group.tags.get_mut(at), group.last.get_mut(at))
                && let Some(its_place) = self.places.get_mut(number * GROUP + at)
                && let Some(its_accounts) = self.others.get_mut(number * GROUP + at)
            {
                (*its_tag, *its_last, *its_place, *its_accounts) = (*tag, *last, place, accounts);
            }
        }
    }

    /// Places, free ones among them.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    /// The client at a place.
    pub fn client(&self, place: usize) -> Option<ClientRecord> {
        let tag = *self.groups.get(place / GROUP)?.tags.get(place % GROUP)?;
        let Place { address, ntp } = *self.places.get(place)?;
        let [nts_ke, command] = *self.others.get(place)?;
        (tag != 0).then_some(ClientRecord { address, accounts: [ntp, nts_ke, command] })
    }

    /// Lets the counters of the client at a place start anew; who it is and how it is limited stays.
    pub fn reset(&mut self, place: usize) {
        let ntp = self.places.get_mut(place).map(|place| &mut place.ntp);
        for account in ntp.into_iter().chain(self.others.get_mut(place).into_iter().flatten()) {
            (account.hits, account.drops) = (0, 0);
        }
    }

    /// Clients that gave way to others.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The bytes that the table takes.
    pub fn bytes(&self) -> usize {
        self.places.len() * PLACE_BYTES
    }
}

fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A monotonic clock's time as the table counts it: made once for many requests, since it costs a long division.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    ticks: u32,
    part: u16,
}

impl Moment {
    /// The moment of a monotonic clock's time.
    pub fn of(now: Duration) -> Self {
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

    fn hit(
        table: &mut ClientTable,
        address: IpAddr,
        service: Service,
        now: Duration,
        limit: Option<&RateLimit>,
    ) -> Treatment {
        table.hit(&ClientKey::new(table.seed, address), service, Moment::of(now), limit)
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
                let treatment = hit(&mut table, address(1), Service::Ntp, apart * number, Some(&limit));
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
                    let treatment = hit(&mut table, address(1), service, now, Some(&limit));
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
        // A flood whose pace trembles is not answered for that.
        assert!(answered(Duration::from_millis(20), Duration::from_millis(1), Service::Ntp) < 300);
    }

    /// Goal: a million addresses cost no more memory than the limit, and who asks again and again stays in the table among
    /// them.
    #[test]
    fn memory_is_flat_under_a_million_addresses() {
        let limit = 1 << 18;
        let mut table = ClientTable::new(limit, 12345);
        for number in 0..1_000_000_u32 {
            let now = Duration::from_micros(u64::from(number) * 50);
            hit(&mut table, address(number), Service::Ntp, now, None);
            if number % 1000 == 0 {
                hit(&mut table, IpAddr::from([192, 0, 2, 1]), Service::Ntp, now, None);
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
            hit(&mut table, address(number), Service::Ntp, Duration::from_secs(1), None);
            hit(&mut table, address(number), Service::Command, Duration::from_secs(9), None);
            hit(&mut table, address(number), Service::Command, Duration::from_secs(13), None);
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
            assert_eq!(table.client(at).map(|one| one.account(Service::Command).hits), Some(0));
        }
    }

    /// Goal: clients whose tags are the same are told apart, and a free place is found whatever the tag.
    #[test]
    fn equal_tags_are_told_apart() {
        let mut table = ClientTable::new(1 << 16, 5);
        for (address, times) in [(7_u128, 1), (8, 2), (9, 3)] {
            for _ in 0..times {
                let client = ClientKey { address, hash: 0 };
                table.hit(&client, Service::Ntp, Moment::of(Duration::from_secs(1)), None);
            }
        }
        let hits = |at| table.client(at).map(|one| (one.address, one.account(Service::Ntp).hits));
        assert_eq!((0..4).map(hits).collect::<Vec<_>>(), [Some((7, 1)), Some((8, 2)), Some((9, 3)), None]);
    }

    /// Goal: who has been silent longest is found, also when the clock's count has turned over.
    #[test]
    fn the_most_silent_is_found() {
        let mut group = Group { tags: [1; GROUP], last: [90; GROUP] };
        group.last[11] = u32::MAX - 500;
        group.last[3] = u32::MAX - 100;
        assert_eq!(group.most_silent(100), 11);
        group.last[0] = 100_u32.wrapping_sub(1 << 31);
        assert_eq!(group.most_silent(100), 0);
    }
}
