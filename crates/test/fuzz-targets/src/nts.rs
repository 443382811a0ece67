//! Network Time Security: fields, cookies, records of the key establishment, dump files.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ntp_proto::nts::{
    AeadAlgorithm, Association, CookieKeys, EstablishedKeys, KeAnswer, KeOffer, KeResponse,
    PROTECT_RANDOM_BYTES, Preparation, Records, SavedAssociation, SessionKeys, message_is_complete,
};
use ntp_proto::{AccessList, Keys, Manner, NtpTimestamp, Server, ServerSnapshot, Subnet};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The same bytes in every run, so that a seed that was made once is good for ever.
fn keys() -> CookieKeys {
    CookieKeys::generate(&mut numbers())
}

fn numbers() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |out: &mut [u8]| {
        for byte in out {
            next = next.wrapping_mul(5).wrapping_add(77);
            *byte = next;
        }
    }
}

fn session() -> SessionKeys {
    SessionKeys { algorithm: AeadAlgorithm::AesSivCmac256, to_server: vec![1; 32], to_client: vec![2; 32] }
}

/// A client that waits for the reply to a request whose identifier is all sevens.
fn waiting() -> Association {
    let mut association = Association::new(Duration::from_secs(1_000));
    let cookies = vec![vec![9; 100]; 8];
    association.established(Duration::ZERO, EstablishedKeys { keys: session(), alternative: None, cookies });
    let _ = association.protect(&[0x23; 48], &[7; PROTECT_RANDOM_BYTES]);
    association
}

pub(crate) fn client(data: &[u8]) {
    let mut association = waiting();
    let before = association.report(Duration::ZERO).cookies;
    match association.open(data) {
        Ok(authentic) => {
            assert!(data.starts_with(authentic) && authentic.len() >= 48);
            assert!(association.open(data).is_err(), "a reply counts once");
        }
        Err(_) => {
            assert_eq!(association.report(Duration::ZERO).cookies, before, "a bad reply changes no cookie")
        }
    }
    assert!(association.report(Duration::ZERO).cookies <= 8);
    // A NAK is the worst that unauthentic bytes can do, and it costs one establishment.
    let _: Preparation = association.prepare(Duration::ZERO);
}

pub(crate) fn server(data: &[u8]) {
    let mut access = AccessList::new();
    if let Some(subnet) = Subnet::new(PEER, 8) {
        access.set(subnet, true, false);
    }
    let mut server = Server::new(access, Keys::new());
    server.set_cookie_keys(Some(Arc::new(keys())));
    let now = NtpTimestamp::from_unix_nanos(1_700_000_000_000_000_000);
    let snapshot = ServerSnapshot::unsynchronised(-20);
    if let Some(Ok(reply)) =
        server.respond_nts(data, PEER, now, now, Manner::Basic, &snapshot, &mut numbers())
    {
        assert!(reply.len() <= data.len(), "a reply is never longer than its request");
    }
}

pub(crate) fn cookie(data: &[u8]) {
    let keys = keys();
    if let Ok(session) = keys.open(data) {
        // Only what these keys sealed opens, and it has the length that they make.
        assert_eq!(data.len(), keys.cookie_bytes(session.algorithm));
    }
}

pub(crate) fn records(data: &[u8]) {
    let all: Vec<_> = Records::new(data).collect();
    let whole = message_is_complete(data) == Ok(true);
    assert_eq!(whole, all.iter().all(Result::is_ok), "a message is complete when its records are");
    // In one piece or byte by byte: no beginning of a whole message is whole.
    if whole {
        assert!((0..data.len()).all(|length| message_is_complete(&data[..length]) == Ok(false)));
    }
    if let Ok(response) = KeResponse::parse(data, &AeadAlgorithm::PREFERRED) {
        assert!(whole && (1..=8).contains(&response.cookies.len()));
    }
    let offer = KeOffer::parse(data, &AeadAlgorithm::PREFERRED);
    let answer = KeAnswer::default().bytes(&offer, &[vec![1; 100]]);
    assert_eq!(message_is_complete(&answer), Ok(true), "every request is answered by a whole message");
    assert_eq!(
        KeResponse::parse(&answer, &AeadAlgorithm::PREFERRED).is_ok(),
        matches!(offer, KeOffer::Keys { .. }),
    );
}

pub(crate) fn dump(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok((keys, age)) = CookieKeys::from_text(&text) {
        let again = CookieKeys::from_text(&keys.to_text(age)).expect("what was written is read");
        assert_eq!(again.0.secrets(), keys.secrets());
    }
    if let Ok(saved) = SavedAssociation::from_text(&text) {
        let again = SavedAssociation::from_text(&saved.to_text()).expect("what was written is read");
        assert_eq!((again.cookies, again.keys, again.name), (saved.cookies, saved.keys, saved.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ntp_proto::nts::{KeRequest, NtsRequest};

    /// Goal: the seeds that reach behind the authenticators are there. Method: they are made anew, and compared with the files;
    /// with `BANTO_WRITE_SEEDS` the files are written.
    #[test]
    fn seeds_reach_behind_the_authenticators() {
        let keys = keys();
        let cookie = keys.seal(&session(), &mut numbers()).expect("it seals");
        let mut association = Association::new(Duration::from_secs(1_000));
        let cookies = vec![cookie.clone(); 8];
        association.established(
            Duration::ZERO,
            EstablishedKeys { keys: session(), alternative: None, cookies: cookies.clone() },
        );
        let request =
            association.protect(&[0x23; 48], &[7; PROTECT_RANDOM_BYTES]).expect("there are cookies");
        let opened = NtsRequest::open(&request, &keys).expect("it has fields").expect("it is authentic");
        let reply = opened.reply(&[0x24; 48], &[], &keys, &mut numbers()).expect("the cookie fits");
        let mut nak = [0x24; 48];
        nak[1] = 0;
        nak[12..16].copy_from_slice(b"NTSN");
        let offer = KeOffer::parse(&KeRequest::bytes(&AeadAlgorithm::PREFERRED), &AeadAlgorithm::PREFERRED);
        let answer = KeAnswer { server: Some("ntp.example".to_owned()), port: Some(11_123) };
        let saved = SavedAssociation {
            name: "ntp.example".to_owned(),
            established: 1_800_000_000.5,
            address: PEER,
            port: 123,
            context: 1,
            keys: session(),
            cookies: cookies[..2].to_vec(),
        };
        let seeds: [(&str, &str, Vec<u8>); 9] = [
            ("ntp_nts_client", "reply", reply),
            ("ntp_nts_client", "nak", NtsRequest::nak(&nak, opened.identifier())),
            ("ntp_nts_server", "request", request),
            ("ntp_nts_cookie", "cookie", cookie),
            ("ntp_nts_records", "request", KeRequest::bytes(&AeadAlgorithm::PREFERRED)),
            ("ntp_nts_records", "response", answer.bytes(&offer, &cookies)),
            ("ntp_nts_records", "error", answer.bytes(&KeOffer::Refused(1), &[])),
            ("ntp_nts_dump", "ntskeys", keys.to_text(5.0).into_bytes()),
            ("ntp_nts_dump", "cookies", saved.to_text().into_bytes()),
        ];
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus");
        for (target, name, bytes) in seeds {
            let path = corpus.join(target).join(name);
            if std::env::var_os("BANTO_WRITE_SEEDS").is_some() {
                std::fs::create_dir_all(corpus.join(target)).expect("the corpus takes a folder");
                std::fs::write(&path, &bytes).expect("the corpus takes a seed");
            }
            let found = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(found, bytes, "{} is out of date; run with BANTO_WRITE_SEEDS=1", path.display());
        }
        let mut behind = waiting();
        let seed = std::fs::read(corpus.join("ntp_nts_client/reply")).expect("it was just read");
        assert!(behind.open(&seed).is_ok(), "the seed is a reply that the target's client believes");
    }
}
