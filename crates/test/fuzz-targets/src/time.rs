//! NTP packets and the chronyc protocol.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrony_cmd::ask::{self, Asked};
use chrony_cmd::{Command, OpenCommands, Peer, Reply, Status};
use ntp_proto::{
    AccessList, Client, ClientConfig, Keys, NtpTimestamp, Packet, Server, ServerSnapshot, Subnet,
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub(crate) fn ntp_packet(data: &[u8]) {
    if let Ok(packet) = Packet::parse(data) {
        // What was understood is written back as it stood.
        assert_eq!(packet.header.to_bytes().as_slice(), &data[..48]);
    }
}

pub(crate) fn ntp_server(data: &[u8]) {
    let mut access = AccessList::new();
    if let Some(subnet) = Subnet::new(PEER, 8) {
        access.set(subnet, true, false);
    }
    let (keys, _) = Keys::parse("1 MD5 secret\n2 SHA256 HEX:00112233\n");
    let mut server = Server::new(access, keys);
    let now = NtpTimestamp::from_unix_nanos(1_700_000_000_000_000_000);
    let snapshot = ServerSnapshot::unsynchronised(-20);
    if let Ok(reply) = server.respond(data, PEER, now, now, &snapshot) {
        assert!(reply.len() <= data.len(), "a reply is never longer than its request");
    }
}

pub(crate) fn ntp_client(data: &[u8]) {
    let mut client = Client::new(ClientConfig::default(), Duration::ZERO);
    let request = client.request(Duration::ZERO, [1, 2], 1_700_000_000_000_000_000);
    client.sent(1_700_000_000_000_000_000);
    // Bytes that were not made from the request must not pass for its answer: the origin is 64 random bits.
    let origin_matches = data.get(24..32) == request.get(40..48);
    let result = client.receive(Duration::from_millis(1), data, 1_700_000_000_001_000_000);
    assert!(result.is_err() || origin_matches, "an answer without our origin was believed");
}

pub(crate) fn ntp_keys(data: &[u8]) {
    let (keys, errors) = Keys::parse(&String::from_utf8_lossy(data));
    assert!(keys.len() + errors.len() <= data.len() + 1);
}

pub(crate) fn chronyc_request(data: &[u8]) {
    for peer in [Peer::UnixSocket, Peer::Udp] {
        let daemon = |_| -> Result<Reply, Status> { Ok(Reply::Null) };
        if let Ok(reply) = chrony_cmd::serve(data, peer, OpenCommands::default(), daemon) {
            assert!(reply.len() <= data.len(), "a reply is never longer than its request");
        }
    }
}

pub(crate) fn chronyc_reply(data: &[u8]) {
    for code in 0..80 {
        if let Some(command) = Command::from_code(code) {
            let sequence = data.get(16..20).map_or(0, |s| u32::from_be_bytes([s[0], s[1], s[2], s[3]]));
            let _ = ask::decode(data, Asked { command, sequence, version: chrony_cmd::VERSION });
        }
    }
}
