//! The server machine's way with requests that carry fields of NTS.

use super::cookie::CookieKeys;
use super::reply::{NtsRefusal, NtsRequest};
use crate::correction::Arrived;
use crate::packet::{HEADER_BYTES, Mode, Packet, ReferenceId};
use crate::server::{Fields, Manner, Refusal, Server, ServerSnapshot};
use crate::timestamp::NtpTimestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// No request with fields of NTS is shorter, in bytes: a header and a MAC without any field.
const PLAIN_BYTES_MAX: usize = HEADER_BYTES + 24;

impl Server {
    /// Answers requests with cookies under these keys from now on; none: such requests are answered without authentication, as
    /// by a server that does not know NTS.
    pub fn set_cookie_keys(&mut self, keys: Option<Arc<CookieKeys>>) {
        self.cookie_keys = keys;
    }

    /// The reply to a request with fields of NTS; none when it has none, or NTS is off: then [`Server::respond`] is asked. The
    /// other arguments are as there; `random` fills nonces.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are what a datagram comes with, and each has its type"
    )]
    pub fn respond_nts(
        &mut self,
        request: &[u8],
        from: IpAddr,
        received: impl Into<Arrived<NtpTimestamp>>,
        transmit: NtpTimestamp,
        manner: Manner,
        snapshot: &ServerSnapshot,
        random: &mut dyn FnMut(&mut [u8]),
    ) -> Option<Result<Vec<u8>, Refusal>> {
        if request.len() <= PLAIN_BYTES_MAX {
            return None;
        }
        let Self { access, cookie_keys, counters, corrects, .. } = self;
        let received = received.into();
        let keys = cookie_keys.as_deref()?;
        let packet = Packet::parse(request).ok()?;
        if packet.header.mode != Mode::Client || packet.mac.is_some() || !access.allows(from) {
            return None;
        }
        let opened = NtsRequest::open(request, keys)?;
        counters.received += 1;
        let nak = |identifier: &[u8]| {
            let mut header = snapshot.header(&packet.header, received.at, transmit, Manner::Basic);
            (header.stratum, header.reference_id) = (0, ReferenceId(*b"NTSN"));
            NtsRequest::nak(&header.to_bytes(), identifier)
        };
        let reply = match opened {
            Err(NtsRefusal::Fields) => {
                counters.malformed += 1;
                return Some(Err(Refusal::Nts));
            }
            Err(NtsRefusal::Nak { identifier }) => nak(&identifier),
            Ok(opened) => {
                let head = snapshot.header(&packet.header, received.at, transmit, manner).to_bytes();
                let fields = Fields::of(*corrects, &packet, snapshot, received, transmit, manner);
                match opened.reply(&head, &fields, keys, random) {
                    Some(reply) => {
                        counters.authenticated += 1;
                        counters.interleaved += u64::from(matches!(manner, Manner::Interleaved { .. }));
                        reply
                    }
                    None => nak(opened.identifier()),
                }
            }
        };
        debug_assert!(reply.len() <= request.len(), "a reply is never longer than its request");
        counters.answered += 1;
        Some(Ok(reply))
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;
    use crate::access::{AccessList, Subnet};
    use crate::client::{Client, ClientConfig};
    use crate::keys::Keys;
    use std::time::Duration;

    const WALL: i64 = 1_800_000_000_000_000_000;

    /// Goal: client machine, association and server machine together measure time; requests without NTS go the other way; who
    /// may not ask gets nothing, and a cookie of other keys a NAK.
    #[test]
    fn machines_agree_through_nts() {
        let mut next = 0_u64;
        let mut random = move |out: &mut [u8]| {
            for byte in out {
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                *byte = (next >> 40) as u8;
            }
        };
        let keys = Arc::new(CookieKeys::generate(&mut random));
        let session = SessionKeys {
            algorithm: AeadAlgorithm::AesSivCmac256,
            to_server: vec![1; 32],
            to_client: vec![2; 32],
        };
        let cookies = (0..8).map(|_| keys.seal(&session, &mut random).expect("it seals")).collect();
        let mut association = Association::new(Duration::from_secs(9_999));
        association
            .established(Duration::ZERO, EstablishedKeys { keys: session, alternative: None, cookies });
        let mut access = AccessList::new();
        access.set(Subnet::new([127, 0, 0, 0].into(), 8).expect("8 bits fit"), true, false);
        let mut server = Server::new(access, Keys::new());
        server.set_corrects(true);
        let correction_field = Some(crate::CorrectionForm::Assigned);
        let config = ClientConfig { root_field: true, correction_field, ..ClientConfig::default() };
        let mut client = Client::new(config, Duration::ZERO);
        let snapshot = ServerSnapshot {
            stratum: 2,
            leap: crate::Leap::Normal,
            root_delay: 1e-6,
            root_dispersion: 0.0,
            ..ServerSnapshot::unsynchronised(-20)
        };
        let at = NtpTimestamp::from_unix_nanos(WALL + 500_000_000);
        let plain = client.request(Duration::ZERO, [5, 5], WALL);
        let mut bytes = [0; PROTECT_RANDOM_BYTES];
        random(&mut bytes);
        let request = association.protect(&plain, &bytes).expect("there are cookies");
        let mut ask = |server: &mut Server, request: &[u8], from: [u8; 4]| {
            server.respond_nts(request, from.into(), at, at, Manner::Basic, &snapshot, &mut random)
        };
        assert!(ask(&mut server, &request, [127, 0, 0, 1]).is_none(), "NTS is off");
        server.set_cookie_keys(Some(Arc::clone(&keys)));
        assert!(ask(&mut server, &plain, [127, 0, 0, 1]).is_none());
        assert!(ask(&mut server, &request, [192, 0, 2, 1]).is_none());
        let reply =
            ask(&mut server, &request, [127, 0, 0, 1]).expect("it is for NTS").expect("it is authentic");
        assert!(reply.len() <= request.len());
        let authentic = association.open(&reply).expect("the reply is authentic");
        let fields = Packet::parse(authentic).expect("it is a packet").extensions;
        assert_eq!(fields.filter(|field| matches!(field.kind, 0x010a | 0xf323)).count(), 2);
        let measured = client.receive(Duration::ZERO, authentic, WALL).expect("the reply is good");
        assert!((measured.offset - 0.5).abs() < 1e-6, "{measured:?}");
        assert!((measured.root_delay - 1e-6).abs() < 1e-8, "field F323 came with it: {measured:?}");

        let mut next = 7_u8;
        server.set_cookie_keys(Some(Arc::new(CookieKeys::generate(&mut |out: &mut [u8]| {
            out.fill_with(|| {
                next = next.wrapping_add(3);
                next
            });
        }))));
        let request = association.protect(&plain, &[9; PROTECT_RANDOM_BYTES]).expect("there are cookies");
        let nak =
            ask(&mut server, &request, [127, 0, 0, 1]).expect("it is for NTS").expect("a NAK is a reply");
        assert_eq!(association.open(&nak), Err(NtsError::Nak));
        let counters = server.counters();
        assert_eq!((counters.received, counters.answered, counters.authenticated), (2, 2, 1));
    }
}
