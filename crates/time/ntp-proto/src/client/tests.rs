//! Tests of the client machine.

use super::schedule::*;
use super::*;
use crate::ServerSnapshot;
use crate::keys::{KeyType, MacError};

const SECOND: i64 = 1_000_000_000;
const WALL: i64 = 1_800_000_000 * SECOND;

/// A reply to `request`, received at the server when its clock is `ahead` nanoseconds before ours, after `path`.
fn reply(request: &[u8], ahead: i64, path: i64) -> Header {
    let asked = Packet::parse(request).expect("our request parses").header;
    Header {
        leap: Leap::Normal,
        version: asked.version,
        mode: Mode::Server,
        stratum: 2,
        poll: asked.poll,
        precision: -24,
        root_delay: NtpShort(0),
        root_dispersion: NtpShort(0),
        reference_id: ReferenceId([10, 0, 0, 1]),
        reference: NtpTimestamp(1),
        origin: asked.transmit,
        receive: NtpTimestamp::from_unix_nanos(WALL + ahead + path),
        transmit: NtpTimestamp::from_unix_nanos(WALL + ahead + path + SECOND / 1000),
    }
}

/// Goal: each check of a reply refuses what it must, and a good one measures offset and delay.
#[test]
fn a_reply_counts_only_when_every_check_holds() {
    let check = |change: &dyn Fn(&mut Header), expected: Result<(), ReplyError>| {
        let mut client = Client::new(ClientConfig::default(), Duration::ZERO);
        let request = client.request(Duration::ZERO, [77, 0], WALL);
        let mut header = reply(&request, SECOND / 2, SECOND / 100);
        change(&mut header);
        let wall = WALL + SECOND / 50 + SECOND / 1000;
        let found = client.receive(Duration::ZERO, &header.to_bytes(), wall);
        assert_eq!(found.clone().map(|_| ()), expected);
        if let Ok(measurement) = found {
            assert!((measurement.offset - 0.5).abs() < 1e-8, "{measurement:?}");
            assert!((measurement.delay - 0.02).abs() < 1e-8, "{measurement:?}");
            let again = client.receive(Duration::ZERO, &header.to_bytes(), wall);
            assert_eq!(again, Err(ReplyError::Duplicate));
        }
        assert_eq!(client.reach(), u8::from(expected.is_ok()));
    };
    check(&|_| (), Ok(()));
    check(&|header| header.origin.0 += 1, Err(ReplyError::Bogus));
    check(&|header| header.origin = NtpTimestamp::UNKNOWN, Err(ReplyError::Bogus));
    check(&|header| header.mode = Mode::Client, Err(ReplyError::Mode(Mode::Client)));
    check(&|header| header.leap = Leap::Unsynchronised, Err(ReplyError::Unsynchronised { stratum: 2 }));
    check(&|header| header.stratum = 16, Err(ReplyError::Unsynchronised { stratum: 16 }));
    check(&|header| header.root_dispersion = NtpShort(20 << 16), Err(ReplyError::RootDistance(20.0)));
    check(&|header| header.receive = NtpTimestamp::UNKNOWN, Err(ReplyError::Timestamps));
    check(&|header| header.transmit.0 = header.receive.0 - 1, Err(ReplyError::Timestamps));
    check(
        &|header| {
            (header.stratum, header.leap, header.reference_id) =
                (0, Leap::Unsynchronised, KissCode::Rate.reference_id());
        },
        Err(ReplyError::Kiss(KissCode::Rate)),
    );
}

/// Goal: DENY ends the association, RATE makes it slower for good, and a kiss that answers nothing changes nothing.
#[test]
fn kisses_are_obeyed_only_by_the_one_who_asked() {
    let kiss = |code: KissCode, honest: bool| {
        let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
        let mut client = Client::new(config, Duration::ZERO);
        let request = client.request(Duration::ZERO, [5, 0], WALL);
        let mut header = reply(&request, 0, 1000);
        header.stratum = 0;
        header.leap = Leap::Unsynchronised;
        header.reference_id = code.reference_id();
        header.origin.0 += u64::from(!honest);
        let _ = client.receive(Duration::ZERO, &header.to_bytes(), WALL + SECOND);
        client
    };
    for code in [KissCode::Deny, KissCode::Restrict] {
        assert_eq!((kiss(code, true).deadline(), kiss(code, true).dismissed()), (None, Some(code)));
        assert_eq!(kiss(code, false).dismissed(), None);
    }
    let mut client = kiss(KissCode::Rate, true);
    assert_eq!(client.deadline(), Some(Duration::from_secs(128)));
    client.set_poll(6);
    assert_eq!(client.poll(), 7);
    assert_eq!(kiss(KissCode::Rate, false).deadline(), Some(BURST_INTERVAL));
}

/// Goal: an initial burst asks every two seconds, ends after four good replies, and the poll backs off when nobody answers.
#[test]
fn the_schedule_bursts_settles_and_backs_off() {
    let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
    let mut client = Client::new(config.clone(), Duration::ZERO);
    let mut times = Vec::new();
    for _ in 0..5 {
        let now = client.deadline().expect("it is online");
        times.push(now.as_secs());
        let request = client.request(now, [9, 0], WALL);
        let header = reply(&request, 0, SECOND / 100);
        client
            .receive(now, &header.to_bytes(), WALL + SECOND / 50 + SECOND / 1000)
            .expect("the reply is good");
    }
    assert_eq!(times, [0, 2, 4, 6, 70]);
    assert_eq!(client.reach(), 0b1_1111);

    let mut silent = Client::new(config, Duration::ZERO);
    for _ in 0..100 {
        let now = silent.deadline().expect("it is online");
        silent.request(now, [9, 0], WALL);
    }
    assert_eq!((silent.poll(), silent.reach()), (10, 0));
    silent.set_online(false, Duration::ZERO);
    assert_eq!(silent.deadline(), None);
}

/// Goal: a host that starts before its network spends no burst on it, and a server that comes late gets its burst then.
#[test]
fn a_burst_is_not_spent_before_the_network_is_up() {
    let config = ClientConfig { initial_burst: true, ..ClientConfig::default() };
    let mut client = Client::new(config.clone(), Duration::ZERO);
    let mut now = Duration::ZERO;
    for _ in 0..50 {
        client.request(now, [9, 0], WALL);
        client.unsent(now);
        assert_eq!(client.deadline(), Some(now + UNSENT_INTERVAL));
        now += UNSENT_INTERVAL;
    }
    assert!(client.in_burst());

    let mut late = Client::new(config, Duration::ZERO);
    for _ in 0..10 {
        now = late.deadline().expect("it is online");
        late.request(now, [9, 0], WALL);
    }
    let mut times = Vec::new();
    for _ in 0..5 {
        now = late.deadline().expect("it is online");
        times.push(now);
        let request = late.request(now, [9, 0], WALL);
        let header = reply(&request, 0, SECOND / 100);
        late.receive(now, &header.to_bytes(), WALL + SECOND / 50 + SECOND / 1000).expect("the reply is good");
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    // The poll has backed off once; the filter sets it from here on.
    assert_eq!(gaps, [2, 2, 2, 128]);
}

/// Goal: with a key, only a reply under that key counts (CVE-2016-1567: another peer's key must not do).
#[test]
fn a_key_is_required_and_no_other_does() {
    let key = |secret: &str| Key::new(KeyType::Sha256, secret.into()).expect("any length fits");
    let check = |id: u32, secret: Option<&str>, expected: Result<bool, ReplyError>| {
        let config = ClientConfig { key: Some((7, key("right"))), ..ClientConfig::default() };
        let mut client = Client::new(config, Duration::ZERO);
        let request = client.request(Duration::ZERO, [3, 0], WALL);
        assert_eq!(request.len(), 48 + 4 + 20);
        let mut bytes = reply(&request, 0, 1000).to_bytes().to_vec();
        if let Some(secret) = secret {
            let digest = key(secret).digest(&bytes, 4);
            bytes.extend(id.to_be_bytes());
            bytes.extend_from_slice(&digest);
        }
        let found = client.receive(Duration::ZERO, &bytes, WALL + SECOND);
        assert_eq!(found.map(|measurement| measurement.authenticated), expected);
    };
    check(7, Some("right"), Ok(true));
    check(7, Some("wrong"), Err(ReplyError::Mac(MacError::Digest)));
    check(8, Some("right"), Err(ReplyError::Mac(MacError::Key { id: 8 })));
    check(7, None, Err(ReplyError::Mac(MacError::Missing)));
}

/// Goal: in interleaved mode the server's true transmit time is used, one exchange later, and nothing is measured twice; a server
/// that does not know the mode is measured as ever, and a reply that brings back neither number is bogus.
#[test]
fn interleaved_replies_measure_the_exchange_before() {
    let config = ClientConfig { interleaved: true, ..ClientConfig::default() };
    let mut client = Client::new(config, Duration::ZERO);
    let path = SECOND / 100;
    let hold = SECOND / 1000;
    // The server states in basic mode that it sends at once, and in truth sends `hold` later.
    let mut before: Option<Header> = None;
    for round in 0..4_i64 {
        let start = WALL + round * 64 * SECOND;
        let request = client.request(Duration::ZERO, [100 + round as u64, 200 + round as u64], start);
        let asked = Packet::parse(&request).expect("our request parses").header;
        assert_eq!(asked.origin, before.map_or(NtpTimestamp::UNKNOWN, |header| header.receive));
        assert_ne!(asked.receive, asked.transmit);
        let mut header = reply(&request, 0, 0);
        header.receive = NtpTimestamp::from_unix_nanos(start + path);
        header.transmit = header.receive;
        if let Some(before) = before {
            header.origin = asked.receive;
            header.transmit = NtpTimestamp::from_unix_nanos(start - 64 * SECOND + path + hold);
            assert_eq!(before.receive.since(NtpTimestamp::from_unix_nanos(start - 64 * SECOND + path)), 0.0);
        }
        let bogus = Header { origin: NtpTimestamp(5), ..header };
        let arrives = start + 2 * path + hold;
        assert_eq!(client.receive(Duration::ZERO, &bogus.to_bytes(), arrives), Err(ReplyError::Bogus));
        let found = client.receive(Duration::ZERO, &header.to_bytes(), arrives);
        match round {
            0 => {
                let found = found.expect("it is good");
                assert!(!found.interleaved && (found.delay - 0.021).abs() < 1e-8, "{found:?}");
            }
            1 => assert_eq!(found, Err(ReplyError::Measured)),
            _ => {
                let found = found.expect("it is good");
                assert!(found.interleaved && (found.delay - 0.02).abs() < 1e-8, "{found:?}");
                assert!(found.offset.abs() < 1e-8 && found.sent == start - 64 * SECOND, "{found:?}");
            }
        }
        assert_eq!(client.reach(), (1 << (round + 1)) - 1);
        before = Some(header);
    }
    // A basic reply in between.
    let request = client.request(Duration::ZERO, [7, 8], WALL);
    let header = reply(&request, 0, path);
    let found = client.receive(Duration::ZERO, &header.to_bytes(), WALL + 3 * path).expect("it is good");
    assert!(!found.interleaved);
    // A transmit time after the next request came, or before its own request, is none.
    for wrong in [SECOND, -SECOND] {
        let request = client.request(Duration::ZERO, [9, 10], WALL + SECOND);
        let asked = Packet::parse(&request).expect("our request parses").header;
        let mut header = reply(&request, SECOND, path);
        header.origin = asked.receive;
        client.previous = client.previous.map(|previous| Previous { measured: false, ..previous });
        let near = if wrong > 0 { header.receive } else { asked.origin };
        header.transmit = NtpTimestamp(near.0.wrapping_add_signed(wrong));
        let found = client.receive(Duration::ZERO, &header.to_bytes(), WALL + SECOND + 3 * path);
        assert_eq!(found, Err(ReplyError::Timestamps));
    }
    client.forget_pending();
    let request = client.request(Duration::ZERO, [9, 10], WALL);
    assert!(Packet::parse(&request).expect("our request parses").header.origin.is_unknown());
}

/// Two peers in one world: packets travel `path` nanoseconds, and the clocks differ.
struct Peers {
    sides: [Client; 2],
    /// True time minus each clock, nanoseconds.
    errors: [i64; 2],
    now: [Duration; 2],
    count: u64,
}

impl Peers {
    const PATH: i64 = SECOND / 100;

    fn new(interleaved: bool, keys: [Option<&str>; 2]) -> Self {
        let side = |secret: Option<&str>| {
            let key = secret.map(|secret| {
                (7, crate::keys::Key::new(KeyType::Sha1, secret.into()).expect("any length fits"))
            });
            let config = ClientConfig { symmetric: true, interleaved, key, ..ClientConfig::default() };
            Client::new(config, Duration::ZERO)
        };
        Self { sides: keys.map(side), errors: [SECOND / 2, 0], now: [Duration::ZERO; 2], count: 0 }
    }

    fn state(which: usize) -> ServerSnapshot {
        ServerSnapshot {
            leap: Leap::Normal,
            stratum: 2 + which as u8,
            precision: -24,
            root_delay: 0.01,
            root_dispersion: 0.01,
            dispersion_rate: 0.0,
            reference_id: ReferenceId([10, 0, 0, 1 + which as u8]),
            reference: NtpTimestamp(1),
            monotonic: None,
        }
    }

    fn send(&mut self, which: usize, true_time: i64) -> Vec<u8> {
        let wall = true_time - self.errors[which];
        let now = Duration::from_nanos((true_time - WALL) as u64);
        self.now[which] = now;
        self.count += 1;
        let scale = LocalScale { straight: &|wall| wall, skew: 0.0 };
        self.sides[which].peer_packet(now, [self.count * 37, 0], wall, &Self::state(which), scale)
    }

    fn receive(&mut self, which: usize, true_time: i64, bytes: &[u8]) -> Result<Measurement, ReplyError> {
        let wall = true_time + Self::PATH - self.errors[which];
        let now = Duration::from_nanos((true_time - WALL) as u64);
        let scale = LocalScale { straight: &|wall| wall, skew: 0.0 };
        self.sides[which].receive_as_peer(now, bytes, wall, scale)
    }
}

/// Goal: two peers that send in turn measure each other, from the second packet on, in basic and in interleaved mode, and after a
/// packet was lost.
#[test]
fn peers_measure_each_other() {
    for interleaved in [false, true] {
        let mut peers = Peers::new(interleaved, [None; 2]);
        let mut found = Vec::new();
        for round in 0..8_i64 {
            for which in 0..2 {
                let at = WALL + round * 64 * SECOND + which as i64 * 20 * SECOND;
                let packet = peers.send(which, at);
                if (round, which) == (4, 0) {
                    continue;
                }
                let measured = peers.receive(1 - which, at, &packet);
                found.push((round, 1 - which, measured));
            }
        }
        for (round, which, measured) in found {
            let expected = if which == 0 { 0.5 } else { -0.5 };
            match measured {
                Ok(one) => {
                    assert!((one.offset - expected).abs() < 1e-6, "{interleaved} {round} {which} {one:?}");
                    assert!((one.delay - 0.02).abs() < 1e-6, "{interleaved} {round} {which} {one:?}");
                }
                // The first packet of all and the first after the loss begin the exchange anew; interleaved packets need one before.
                Err(error) => {
                    let begins = round <= i64::from(interleaved) || (4..=6).contains(&round);
                    assert!(begins, "{interleaved} {round} {which} {error}");
                }
            }
        }
        for side in &peers.sides {
            assert_ne!(side.reach() & 0b11, 0, "{interleaved}");
        }
    }
}

/// Goal: who does not have the key changes nothing (CVE-2015-1853), nor who sends an overheard packet again, nor who has to guess the
/// origin timestamp.
#[test]
fn a_peers_state_is_changed_only_by_the_peer() {
    let mut peers = Peers::new(false, [Some("right"); 2]);
    let mut overheard: Vec<(usize, Vec<u8>)> = Vec::new();
    for round in 0..6_i64 {
        for which in 0..2 {
            let at = WALL + round * 64 * SECOND + which as i64 * 20 * SECOND;
            let packet = peers.send(which, at);
            let receiver = 1 - which;
            let before = format!("{:?}", peers.sides[receiver]);
            let mut forged = packet.clone();
            forged.truncate(48);
            let unsigned = peers.receive(receiver, at, &forged);
            assert_eq!(unsigned, Err(ReplyError::Mac(MacError::Missing)));
            forged = packet.clone();
            *forged.last_mut().expect("it has a code") ^= 1;
            let wrong = peers.receive(receiver, at, &forged);
            assert_eq!(wrong, Err(ReplyError::Mac(MacError::Digest)));
            assert_eq!(format!("{:?}", peers.sides[receiver]), before);
            let good = peers.receive(receiver, at, &packet);
            assert_eq!(good.is_ok(), round + which as i64 > 0, "{round} {which} {good:?}");
            for (to, old) in &overheard {
                if *to == receiver {
                    let replayed = peers.receive(receiver, at, old);
                    assert!(
                        matches!(replayed, Err(ReplyError::Bogus | ReplyError::Duplicate)),
                        "{replayed:?}"
                    );
                }
            }
            overheard.push((receiver, packet));
        }
    }
    let mut strangers = Peers::new(false, [Some("right"), Some("wrong")]);
    for round in 0..4_i64 {
        for which in 0..2 {
            let at = WALL + round * 64 * SECOND + which as i64 * 20 * SECOND;
            let packet = strangers.send(which, at);
            let refused = strangers.receive(1 - which, at, &packet);
            assert_eq!(refused, Err(ReplyError::Mac(MacError::Digest)));
        }
    }
    assert_eq!(strangers.sides.map(|side| side.reach()), [0, 0]);
}

/// Goal: a server that has no such peer answers in passive mode, which the peer takes, and nothing is longer than what asked for it.
#[test]
fn a_server_answers_an_unknown_peer_passively() {
    let mut access = crate::access::AccessList::new();
    access.set(crate::access::Subnet::new([127, 0, 0, 0].into(), 8).expect("8 bits fit"), true, false);
    let mut server = crate::server::Server::new(access, crate::keys::Keys::new());
    let mut peers = Peers::new(false, [None; 2]);
    for round in 0..3_i64 {
        let at = WALL + round * 64 * SECOND;
        let packet = peers.send(0, at);
        let came = NtpTimestamp::from_unix_nanos(at + Peers::PATH);
        let reply =
            server.respond(&packet, [127, 0, 0, 1].into(), came, came, &Peers::state(1)).expect("allowed");
        assert_eq!((reply[0] & 7, reply.len()), (Mode::SymmetricPassive.bits(), packet.len()));
        let one = peers.receive(0, at + Peers::PATH, &reply).expect("it is good");
        assert!((one.offset - 0.5).abs() < 1e-6 && (one.delay - 0.02).abs() < 1e-6, "{one:?}");
    }
    let mut reply_of_a_server = peers.send(0, WALL + SECOND);
    reply_of_a_server[0] = reply_of_a_server[0] & !7 | Mode::Server.bits();
    let refused = peers.receive(0, WALL + SECOND, &reply_of_a_server);
    assert_eq!(refused, Err(ReplyError::Mode(Mode::Server)));
}

/// Goal: with field F323 the root times are the field's, and a clock that the server moves apart from its rate is told of once, in
/// basic and in interleaved mode; another epoch, a lack of the field, or an absurd move tells nothing.
#[test]
fn a_moved_clock_is_told_of() {
    use crate::experimental::RootField;
    for interleaved in [false, true] {
        let config = ClientConfig { interleaved, root_field: true, ..ClientConfig::default() };
        let mut client = Client::new(config, Duration::ZERO);
        let path = SECOND / 100;
        let mut before = NtpTimestamp::UNKNOWN;
        // By how much the clock was moved so far, the epoch, and what is told of it.
        let half = SECOND / 2;
        for (round, (ahead, epoch, expected)) in
            [(0, 1, 0.0), (0, 1, 0.0), (half, 1, 0.5), (half, 1, 0.0), (0, 2, 0.0), (-100 * SECOND, 2, 0.0)]
                .into_iter()
                .enumerate()
        {
            let round = i64::try_from(round).expect("few");
            let start = WALL + round * 64 * SECOND;
            let request = client.request(Duration::ZERO, [100 + round as u64, 200 + round as u64], start);
            assert_eq!(request.len(), HEADER_BYTES + 28);
            let asked = Packet::parse(&request).expect("our request parses");
            assert_eq!(RootField::find(asked.extensions), Some(RootField::default()));
            let mut header = reply(&request, 0, 0);
            header.receive = NtpTimestamp::from_unix_nanos(start + path + ahead);
            header.transmit = header.receive;
            let answers_before = interleaved && !before.is_unknown();
            if answers_before {
                header.origin = asked.header.receive;
                header.transmit = before;
            }
            before = header.receive;
            let field = RootField {
                root_delay: 2e-6,
                root_dispersion: 3e-6,
                monotonic: NtpTimestamp::from_unix_nanos(start + path),
                epoch,
            };
            let bytes = [&header.to_bytes()[..], &field.to_bytes()].concat();
            let found = client.receive(Duration::ZERO, &bytes, start + 2 * path);
            if answers_before && round == 1 {
                assert_eq!(found, Err(ReplyError::Measured));
                continue;
            }
            let Ok(found) = found else {
                // It seems to have left before it came, or after the request: the clock was moved in between.
                assert!(answers_before && ahead < 0, "{round}: {found:?}");
                continue;
            };
            assert!((found.source_moved - expected).abs() < 1e-6, "{interleaved} {round}: {found:?}");
            assert!((found.root_delay - 2e-6).abs() < 1e-8 && (found.root_dispersion - 3e-6).abs() < 1e-8);
            if answers_before && expected != 0.0 {
                // What it told before it moved its clock is told in the time after.
                assert!((found.offset - 0.5).abs() < 1e-6, "{found:?}");
            }
        }
    }
}

/// A server behind switches that hold packets, and say how long.
struct Switched {
    client: Client,
    server: crate::Server,
    snapshot: ServerSnapshot,
    round: u64,
}

impl Switched {
    /// The path without what the switches hold, and the length of a frame, nanoseconds.
    const PATH: i64 = 5_000;
    const FRAME: i64 = 1_000;
    const CLOCK_AHEAD: i64 = SECOND / 2;

    fn new(config: ClientConfig) -> Self {
        let mut access = crate::AccessList::new();
        access.set(crate::Subnet::new([127, 0, 0, 1].into(), 32).expect("32 bits fit"), true, false);
        let mut keys = crate::Keys::new();
        keys.insert(7, Key::new(KeyType::Sha1, b"secret".to_vec()).expect("any length fits"));
        let mut server = crate::Server::new(access, keys);
        server.set_corrects(true);
        let snapshot = ServerSnapshot {
            stratum: 1,
            leap: Leap::Normal,
            root_delay: 0.0,
            root_dispersion: 0.0,
            ..ServerSnapshot::unsynchronised(-30)
        };
        Self { client: Client::new(config, Duration::ZERO), server, snapshot, round: 0 }
    }

    fn transit(clocks: i64) -> Option<Transit> {
        Some(Transit { frame: Self::FRAME as f64 * 1e-9, clocks: clocks as f64 * 1e-9 })
    }

    /// One exchange, in which the switches hold the request and the reply so long and say `told` of it.
    fn exchange(&mut self, held: [i64; 2], told: [Option<Transit>; 2]) -> Result<Measurement, ReplyError> {
        self.round += 1;
        let start = WALL + self.round as i64 * 64 * SECOND;
        let request = self.client.request(Duration::ZERO, [self.round * 37, self.round * 41], start);
        let came = start + Self::PATH + held[0];
        let received = NtpTimestamp::from_unix_nanos(came + Self::CLOCK_AHEAD);
        // It leaves at once, and an interleaved reply tells the same of the one before.
        let origin = Packet::parse(&request).expect("our request parses").header.origin;
        let manner = match origin.is_unknown() {
            true => crate::Manner::Basic,
            false => crate::Manner::Interleaved { previous: origin },
        };
        let mut reply = [0; 200];
        let arrived = Arrived { at: received, transit: told[0] };
        let length = self
            .server
            .reply(&request, arrived, received, manner, &self.snapshot, &mut reply)
            .expect("the request is good");
        assert_eq!(length, request.len());
        let arrived = Arrived { at: came + Self::PATH + held[1], transit: told[1] };
        self.client.receive(Duration::ZERO, &reply[..length], arrived)
    }
}

/// Goal: what transparent clocks held both ways is taken off the delay and out of the offset, in either form of the field, with and
/// without a key, in basic and in interleaved mode, where it is the corrected exchange's own; the bound keeps it. What is missing in
/// one direction, or cannot be, changes nothing.
#[test]
fn what_the_network_held_is_taken_out() {
    for (form, keyed, interleaved) in [
        (CorrectionForm::Assigned, false, false),
        (CorrectionForm::Experimental, true, false),
        (CorrectionForm::Assigned, true, true),
        (CorrectionForm::Experimental, false, true),
    ] {
        let key = keyed.then(|| (7, Key::new(KeyType::Sha1, b"secret".to_vec()).expect("any length fits")));
        let config = ClientConfig {
            interleaved,
            key,
            correction_field: Some(form),
            root_field: keyed,
            precision: -30,
            ..ClientConfig::default()
        };
        let mut world = Switched::new(config);
        let exact = |held: [i64; 2]| (held, held.map(Switched::transit));
        let asymmetric = [40_000, 900_000];
        let whole = |held: [i64; 2]| (2 * Switched::PATH + held[0] + held[1]) as f64 * 1e-9;
        let uncorrected = (whole(asymmetric), (40_000 - 900_000) as f64 * 0.5e-9);
        let path = 2.0 * Switched::PATH as f64 * 1e-9;
        for ((held, told), (delay, error)) in [
            (exact(asymmetric), (path, 0.0)),
            (exact([700_000, 10_000]), (path, 0.0)),
            ((asymmetric, [Switched::transit(40_000), Switched::transit(0)]), uncorrected),
            ((asymmetric, [Switched::transit(0), Switched::transit(900_000)]), uncorrected),
            ((asymmetric, [None, Switched::transit(900_000)]), uncorrected),
            ((asymmetric, [Switched::transit(40_000), None]), uncorrected),
            // More than the whole way.
            ((asymmetric, [Switched::transit(400_000), Switched::transit(900_000)]), uncorrected),
            (exact(asymmetric), (path, 0.0)),
        ] {
            let mut found = world.exchange(held, told);
            if interleaved {
                // The next exchange measures this one, whatever is told of its own way.
                if found.as_ref().is_ok_and(|one| !one.interleaved) || found == Err(ReplyError::Measured) {
                    found = world.exchange(held, told);
                    if found == Err(ReplyError::Measured) {
                        found = world.exchange(held, told);
                    }
                }
                let _ = found;
                found = world.exchange([1, 1], [None, None]);
            }
            let found = found.expect("it is good");
            assert_eq!(found.interleaved, interleaved);
            let off = found.offset - Switched::CLOCK_AHEAD as f64 * 1e-9 - error;
            assert!(off.abs() < 2e-9, "{form:?} {held:?} {told:?}: {found:?}");
            // A ten-thousandth of what is taken off is left.
            assert!((found.delay - delay - found.held * 1e-4).abs() < 4e-9, "{held:?} {told:?}: {found:?}");
            assert!((found.delay + found.held - whole(held)).abs() < 2e-9, "{found:?}");
            assert_eq!(found.held > 0.0, error == 0.0);
        }
    }
}

/// Goal: the field is asked for by NTP version 4 alone; a server without PTP answers without it, and one that is told nothing by a card
/// says nothing of the way.
#[test]
fn corrections_are_asked_for_and_answered() {
    let fields = |config: ClientConfig, corrects: bool, transit: Option<Transit>| {
        let mut world =
            Switched::new(ClientConfig { correction_field: Some(CorrectionForm::Assigned), ..config });
        world.server.set_corrects(corrects);
        let request = world.client.request(Duration::ZERO, [1, 2], WALL);
        let at = NtpTimestamp::from_unix_nanos(WALL);
        let mut out = [0; 200];
        let length = world
            .server
            .reply(&request, Arrived { at, transit }, at, crate::Manner::Basic, &world.snapshot, &mut out)
            .expect("the request is good");
        let told = Packet::parse(&out[..length]).ok().and_then(|one| CorrectionField::find(one.extensions));
        let asked = Packet::parse(&request).ok().and_then(|one| CorrectionField::find(one.extensions));
        (asked.map(|one| one.seconds), told.map(|one| (one.seconds * 1e9).round()))
    };
    let plain = ClientConfig::default;
    let transit = Switched::transit(4_000);
    assert_eq!(fields(plain(), true, transit), (Some(0.0), Some(5_000.0)));
    assert_eq!(fields(plain(), true, None), (Some(0.0), Some(0.0)));
    assert_eq!(fields(plain(), true, Switched::transit(-4_000)), (Some(0.0), Some(0.0)));
    assert_eq!(fields(plain(), false, transit), (Some(0.0), None));
    assert_eq!(fields(ClientConfig { version: 3, ..plain() }, true, transit), (None, None));
}

/// Goal: a clock that is slewed by a twelfth shows a shorter round trip than the clocks on the way have counted: that is no reason to
/// doubt them, and without the slew it is.
#[test]
fn corrections_are_judged_without_the_slew() {
    for (slew_rate, expected) in [(-0.08, true), (0.0, false)] {
        let config =
            ClientConfig { correction_field: Some(CorrectionForm::Assigned), ..ClientConfig::default() };
        let mut world = Switched::new(config);
        world.client.config_mut().slew_rate = slew_rate;
        // The switches have counted 500 us and the slewed clock shows 460 of them.
        let told = [Switched::transit(250_000), Switched::transit(250_000)];
        let found = world.exchange([230_000, 230_000], told).expect("it is good");
        assert_eq!(found.held > 0.0, expected, "{found:?}");
        assert!(found.offset > 0.0);
    }
}

/// Goal: peers tell each other of the way of the packet that they answer, and correct what they measure by both, in basic and in
/// interleaved mode.
#[test]
fn peers_correct_each_other() {
    for interleaved in [false, true] {
        let mut peers = Peers::new(interleaved, [None, None]);
        for side in &mut peers.sides {
            side.config_mut().correction_field = Some(CorrectionForm::Assigned);
            side.config_mut().precision = -30;
        }
        let (mut corrected, mut at) = (0, WALL);
        for round in 0..12 {
            at += 8 * SECOND;
            let from = round % 2;
            let to = 1 - from;
            let packet = peers.send(from, at);
            assert_eq!(packet.len(), HEADER_BYTES + 28);
            // Of 10 ms each way the switches hold 4 ms one way and 9 ms the other.
            let held = if to == 0 { 4_000_000 } else { 9_000_000 };
            let wall = at + Peers::PATH - peers.errors[to];
            let scale = LocalScale { straight: &|wall| wall, skew: 0.0 };
            let now = Duration::from_nanos((at - WALL) as u64);
            let arrived = Arrived { at: wall, transit: Switched::transit(held) };
            let found = peers.sides[to].receive_as_peer(now, &packet, arrived, scale);
            let Ok(one) = found else { continue };
            // The clocks are half a second apart, and the ways' difference is said to be 5 ms.
            let error = if to == 0 { 0.5 - 0.0025 } else { -0.5 + 0.0025 };
            assert!((one.offset - error).abs() < 1e-6, "{interleaved} {to}: {one:?}");
            assert!((one.delay - 0.007 - one.held * 1e-4).abs() < 1e-6, "{one:?}");
            corrected += 1;
        }
        assert!(corrected >= 8, "{corrected}");
    }
}
