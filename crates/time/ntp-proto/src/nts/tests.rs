//! Association and server together: what passes, and what an attacker can do about it.

use super::*;
use crate::kiss::KissCode;
use crate::nts::cookie::CookieKeys;
use crate::nts::reply::{NtsRefusal, NtsRequest};
use crate::packet::{Header, Leap, ReferenceId};
use crate::timestamp::{NtpShort, NtpTimestamp};

/// Not random, but never twice the same within a test.
fn random() -> impl FnMut(&mut [u8]) {
    static SEED: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let mut state = SEED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) << 40;
    move |out: &mut [u8]| {
        for byte in out {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
    }
}

fn session(algorithm: AeadAlgorithm) -> SessionKeys {
    let length = algorithm.key_bytes();
    SessionKeys { algorithm, to_server: vec![1; length], to_client: vec![2; length] }
}

/// A client with eight cookies of a server with these keys.
fn pair(algorithm: AeadAlgorithm) -> (Association, CookieKeys) {
    let mut random = random();
    let server = CookieKeys::generate(&mut random);
    let mut client = Association::new(Duration::from_secs(1_000_000));
    let cookies =
        (0..COOKIES_MAX).map(|_| server.seal(&session(algorithm), &mut random).expect("it seals")).collect();
    client.begin(Duration::ZERO);
    let found = EstablishedKeys { keys: session(algorithm), alternative: None, cookies };
    assert!(client.established(Duration::ZERO, found));
    (client, server)
}

fn header(mode: Mode, stratum: u8, reference_id: [u8; 4]) -> [u8; HEADER_BYTES] {
    Header {
        leap: Leap::Normal,
        version: 4,
        mode,
        stratum,
        poll: 6,
        precision: -24,
        root_delay: NtpShort(0),
        root_dispersion: NtpShort(0),
        reference_id: ReferenceId(reference_id),
        reference: NtpTimestamp(1),
        origin: NtpTimestamp(7),
        receive: NtpTimestamp(2),
        transmit: NtpTimestamp(7),
    }
    .to_bytes()
}

fn protect(client: &mut Association, random: &mut dyn FnMut(&mut [u8])) -> Vec<u8> {
    let mut bytes = [0; PROTECT_RANDOM_BYTES];
    random(&mut bytes);
    client.protect(&header(Mode::Client, 0, [0; 4]), &bytes).expect("there are cookies")
}

fn answer(
    request: &[u8],
    server: &CookieKeys,
    random: &mut dyn FnMut(&mut [u8]),
) -> Result<Vec<u8>, NtsRefusal> {
    let request = NtsRequest::open(request, server).expect("it has fields of NTS")?;
    Ok(request.reply(&header(Mode::Server, 2, [9; 4]), &[], server, random).expect("the cookies fit"))
}

/// Goal: exchanges go on for ever on eight cookies, no cookie is sent twice, lost replies are made up for, and no reply is longer
/// than its request.
#[test]
fn exchanges_keep_eight_cookies() {
    for algorithm in AeadAlgorithm::PREFERRED {
        let (mut client, server) = pair(algorithm);
        let mut random = random();
        let mut seen = std::collections::HashSet::new();
        for round in 0..100 {
            let request = protect(&mut client, &mut random);
            let cookie =
                NtsFields::find(&request).expect("it parses").cookie.expect("it has a cookie").to_vec();
            assert!(seen.insert(cookie), "no cookie is sent twice");
            if round % 3 == 1 {
                continue;
            }
            let reply = answer(&request, &server, &mut random).expect("the request is authentic");
            assert!(reply.len() <= request.len(), "{} > {}", reply.len(), request.len());
            let head = client.open(&reply).expect("the reply is authentic");
            assert_eq!(head[..HEADER_BYTES], header(Mode::Server, 2, [9; 4]));
            assert_eq!(client.open(&reply), Err(NtsError::Unexpected), "a reply counts once");
            assert_eq!(client.report(Duration::ZERO).cookies, 8, "round {round}");
        }
    }
}

/// Goal: a byte changed, added or cut anywhere makes a request a NAK or nothing, and a reply nothing; no reply to anything is
/// longer than what asked for it.
#[test]
fn no_changed_byte_passes() {
    for algorithm in AeadAlgorithm::PREFERRED {
        let (mut client, server) = pair(algorithm);
        let mut random = random();
        let request = protect(&mut client, &mut random);
        let reply = answer(&request, &server, &mut random).expect("the request is authentic");
        for at in 0..request.len() {
            let mut changed = request.clone();
            changed[at] ^= 0x20;
            let found = NtsRequest::open(&changed, &server);
            assert!(!matches!(found, Some(Ok(_))), "byte {at} of the request");
            if at.is_multiple_of(4) {
                assert!(!matches!(NtsRequest::open(&request[..at], &server), Some(Ok(_))), "cut at {at}");
            }
        }
        for at in 0..reply.len() {
            let mut changed = reply.clone();
            changed[at] ^= 0x20;
            assert!(client.open(&changed).is_err(), "byte {at} of the reply");
            assert!(client.open(&reply[..at]).is_err(), "cut at {at}");
        }
        for more in [4, 16, 20, 28, 1_000] {
            assert!(client.open(&[reply.as_slice(), &vec![0; more]].concat()).is_err(), "{more} bytes more");
            let mut field = vec![0x01, 0x04, (more >> 8) as u8, more as u8];
            field.resize(more, 0);
            assert!(
                client.open(&[reply.as_slice(), &field].concat()).is_err(),
                "a field of {more} bytes more"
            );
        }
        assert!(client.open(&reply).is_ok(), "none of them spoiled the true one");
    }
}

/// Goal: a reply to an earlier request does not count, nor does one to another client under the same cookie keys.
#[test]
fn a_replayed_reply_does_not_count() {
    let (mut client, server) = pair(AeadAlgorithm::AesSivCmac256);
    let mut random = random();
    let first = protect(&mut client, &mut random);
    let old = answer(&first, &server, &mut random).expect("the request is authentic");
    let second = protect(&mut client, &mut random);
    assert_eq!(client.open(&old), Err(NtsError::Identifier));
    let reply = answer(&second, &server, &mut random).expect("the request is authentic");
    assert!(client.open(&reply).is_ok());
    assert_eq!(client.open(&reply), Err(NtsError::Unexpected));
    client.forget_pending();
    assert_eq!(client.open(&old), Err(NtsError::Unexpected));
}

/// Goal: a NAK from off the path changes nothing; one that saw the request changes nothing when the true reply comes too; only a
/// NAK without a reply brings new keys.
#[test]
fn a_forged_nak_changes_nothing() {
    let (mut client, server) = pair(AeadAlgorithm::AesSivCmac256);
    let mut random = random();
    let nak_header = header(Mode::Server, 0, *b"NTSN");
    let request = protect(&mut client, &mut random);
    assert_eq!(client.open(&NtsRequest::nak(&nak_header, &[0; 32])), Err(NtsError::Identifier));
    assert_eq!(client.open(&nak_header), Err(NtsError::Identifier));
    assert_eq!(client.prepare(Duration::ZERO), Preparation::Ready);

    let identifier = NtsFields::find(&request).expect("it parses").identifier.expect("it has one").to_vec();
    assert_eq!(client.open(&NtsRequest::nak(&nak_header, &identifier)), Err(NtsError::Nak));
    let reply = answer(&request, &server, &mut random).expect("the request is authentic");
    assert!(client.open(&reply).is_ok(), "the true reply still counts");
    assert_eq!(client.prepare(Duration::ZERO), Preparation::Ready);

    let request = protect(&mut client, &mut random);
    let identifier = NtsFields::find(&request).expect("it parses").identifier.expect("it has one").to_vec();
    assert_eq!(client.open(&NtsRequest::nak(&nak_header, &identifier)), Err(NtsError::Nak));
    assert_eq!(client.prepare(Duration::ZERO), Preparation::Establish);
    assert_eq!(client.report(Duration::ZERO).cookies, 0);
}

/// Goal: kisses of every kind without an authenticator are not obeyed (a forger could stop a client with them).
#[test]
fn a_forged_kiss_is_not_obeyed() {
    let (mut client, _) = pair(AeadAlgorithm::AesSivCmac256);
    let request = protect(&mut client, &mut random());
    let identifier = NtsFields::find(&request).expect("it parses").identifier.expect("it has one").to_vec();
    for code in [KissCode::Deny, KissCode::Restrict, KissCode::Rate] {
        let kiss = header(Mode::Server, 0, code.reference_id().0);
        assert_eq!(client.open(&NtsRequest::nak(&kiss, &identifier)), Err(NtsError::Unauthenticated));
        assert_eq!(client.open(&kiss), Err(NtsError::Identifier));
    }
    assert_eq!(client.prepare(Duration::ZERO), Preparation::Ready);
}

/// Goal: a request under keys that are gone is answered by a NAK, of no more bytes than it had, and new keys are wanted once.
#[test]
fn old_keys_bring_a_nak_and_new_keys() {
    let (mut client, mut server) = pair(AeadAlgorithm::AesSivCmac256);
    let mut random = random();
    for _ in 0..3 {
        server.rotate(&mut random);
    }
    let request = protect(&mut client, &mut random);
    let Err(NtsRefusal::Nak { identifier }) = answer(&request, &server, &mut random) else {
        panic!("a NAK was expected");
    };
    let nak = NtsRequest::nak(&header(Mode::Server, 0, *b"NTSN"), &identifier);
    assert!(nak.len() < request.len());
    assert_eq!(client.open(&nak), Err(NtsError::Nak));
    assert_eq!(client.prepare(Duration::ZERO), Preparation::NotBefore(Duration::from_secs(1024)));
    assert_eq!(client.prepare(Duration::from_secs(1024)), Preparation::Establish);
}

/// Goal: the first NAK of a server that derives its keys as the standard says makes us use these, with the same cookies.
#[test]
fn keys_as_the_standard_says_are_tried_after_a_nak() {
    let mut random = random();
    let server = CookieKeys::generate(&mut random);
    let right = session(AeadAlgorithm::Aes128GcmSiv);
    let wrong = SessionKeys { to_server: vec![5; 16], to_client: vec![6; 16], ..right.clone() };
    let cookies = (0..COOKIES_MAX).map(|_| server.seal(&right, &mut random).expect("it seals")).collect();
    let mut client = Association::new(Duration::from_secs(1_000_000));
    client.begin(Duration::ZERO);
    assert!(
        client
            .established(Duration::ZERO, EstablishedKeys { keys: wrong, alternative: Some(right), cookies })
    );
    let request = protect(&mut client, &mut random);
    let Err(NtsRefusal::Nak { identifier }) = answer(&request, &server, &mut random) else {
        panic!("a NAK was expected");
    };
    let nak = NtsRequest::nak(&header(Mode::Server, 0, *b"NTSN"), &identifier);
    assert_eq!(client.open(&nak), Err(NtsError::Nak));
    assert_eq!(client.prepare(Duration::ZERO), Preparation::Ready);
    let request = protect(&mut client, &mut random);
    let reply = answer(&request, &server, &mut random).expect("now the keys are right");
    assert!(client.open(&reply).is_ok());
}

/// Goal: requests with fields missing, doubled or of odd lengths get no reply, and cookies of a shorter kind get no longer ones.
#[test]
fn odd_requests_get_no_reply() {
    type Fields = Vec<(u16, Vec<u8>)>;
    let (mut client, server) = pair(AeadAlgorithm::AesSivCmac256);
    let request = protect(&mut client, &mut random());
    let fields: Fields = Packet::parse(&request)
        .expect("it parses")
        .extensions
        .map(|field| (field.kind, field.body.to_vec()))
        .collect();
    let check = |change: &dyn Fn(&mut Fields), expected: Option<NtsRefusal>| {
        let mut fields = fields.clone();
        change(&mut fields);
        let mut packet = header(Mode::Client, 0, [0; 4]).to_vec();
        for (kind, body) in &fields {
            push_field(&mut packet, *kind, body);
        }
        assert_eq!(
            NtsRequest::open(&packet, &server).map(|found| found.expect_err("it is changed")),
            expected
        );
    };
    let none = Some(NtsRefusal::Fields);
    let nak = Some(NtsRefusal::Nak { identifier: fields[0].1.clone() });
    check(&|fields| fields.truncate(1), None);
    check(&|fields| fields.truncate(2), none.clone());
    check(&|fields| drop(fields.remove(0)), none.clone());
    check(&|fields| drop(fields.remove(1)), none.clone());
    check(&|fields| fields.insert(1, fields[0].clone()), none.clone());
    check(&|fields| fields.insert(1, fields[1].clone()), none.clone());
    check(&|fields| fields[0].1.truncate(28), none.clone());
    check(&|fields| fields.insert(2, (FIELD_COOKIE_PLACEHOLDER, vec![0; 200])), none.clone());
    check(&|fields| fields.push((0x1234, vec![0; 24])), none);
    check(&|fields| fields.insert(2, (FIELD_COOKIE_PLACEHOLDER, vec![0; 100])), nak.clone());
    check(&|fields| fields[1].1.truncate(40), nak);

    // A cookie under a key of another server of the same family, sealed shorter: there is no room for one of ours.
    let opened = NtsRequest::open(&request, &server).expect("it has fields").expect("it is authentic");
    let cut = opened.of_length(request.len() - 4);
    assert!(cut.reply(&header(Mode::Server, 2, [9; 4]), &[], &server, &mut random()).is_none());
}

/// Goal: establishments are tried ever less often, as chronyd does, and at once again after a good reply or when the clock was
/// set.
#[test]
fn failures_make_tries_rarer() {
    let mut client = Association::new(Duration::from_secs(100));
    let mut now = Duration::ZERO;
    let mut waits = Vec::new();
    for kind in
        [KeFailureKind::Connect, KeFailureKind::Connect, KeFailureKind::Answer, KeFailureKind::Connect]
    {
        assert_eq!(client.prepare(now), Preparation::Establish);
        client.begin(now);
        client.failed(now, kind);
        let Preparation::NotBefore(next) = client.prepare(now) else { panic!("a wait was expected") };
        waits.push((next - now).as_secs());
        now = next;
    }
    assert_eq!(waits, [16, 32, 4_096, 128]);
    for _ in 0..40 {
        client.begin(now);
    }
    client.failed(now, KeFailureKind::Answer);
    assert_eq!(client.prepare(now), Preparation::NotBefore(now + Duration::from_secs(1 << 19)));
    client.may_retry(now);
    assert_eq!(client.prepare(now), Preparation::Establish);
}

/// Goal: keys are used no longer than the refresh time, and come back from their file with their age.
#[test]
fn keys_grow_old() {
    let (mut client, _) = pair(AeadAlgorithm::AesSivCmac256);
    let later = Duration::from_secs(2_000);
    let (context, age, keys, cookies) = client.kept(later).expect("there are cookies");
    assert_eq!((context, age, cookies.len()), (1, later, 8));
    let mut restored = Association::new(Duration::from_secs(3_000));
    assert!(restored.restore(Duration::ZERO, context, age, keys.clone(), cookies));
    assert_eq!(restored.report(Duration::ZERO).last_established, Some(later));
    assert_eq!(restored.prepare(Duration::from_secs(999)), Preparation::Ready);
    assert_eq!(restored.prepare(Duration::from_secs(1_001)), Preparation::Establish);
    assert_eq!(client.prepare(Duration::from_secs(1_000_001)), Preparation::Establish);
}
