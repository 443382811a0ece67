//! Symmetric associations (`peer`) beside stock chronyd, in both directions and between two of ours, and what attackers try with
//! them. Every daemon here runs with `-x`.

use compliance::{Chronyd, Side, TempDir, free_port, stock_or_skip, under_test};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than anything here takes: with a poll of a second a peer is followed after about five.
const PATIENCE: Duration = Duration::from_secs(40);
/// What both sides know.
const KEYS: &str =
    "1 SHA1 HEX:00112233445566778899aabbccddeeff00112233\n2 AES128 HEX:000102030405060708090a0b0c0d0e0f\n";

/// A daemon that is a peer, with these keys.
fn start(side: Side, port: u16, lines: &str, keys: &str) -> Chronyd {
    let folder = TempDir::new();
    folder.write("keys", keys);
    let lines = format!("{lines}\nport {port}\nbindaddress 127.0.0.1\ncmdport 0\nkeyfile {{dir}}/keys");
    Chronyd::start_in(folder, side, &lines).waited_for(PATIENCE)
}

/// A field of `ntpdata`.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(": ").map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn number(text: &str, name: &str) -> u64 {
    field(text, name).parse().unwrap_or(0)
}

/// Goal: one peer has the time, the other takes it, and both hear each other: ours and stock's in both directions and two of ours,
/// with either key and in interleaved mode. Method: an offset on the source, so that a daemon which prints zero does not pass.
#[test]
fn peers_of_both_kinds_take_time_from_each_other() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let ours = under_test();
    let cases = [
        (ours, Side::Stock, "key 1"),
        (Side::Stock, ours, "key 2"),
        (ours, ours, "key 2"),
        (ours, Side::Stock, "key 2 xleave"),
        (Side::Stock, ours, "key 1 xleave"),
        (ours, ours, ""),
    ];
    std::thread::scope(|scope| {
        for (having, taking, options) in cases {
            scope.spawn(move || {
                let case = format!("{having:?} {taking:?} {options}");
                let (port, other) = (free_port(), free_port());
                let peer = |port: u16| format!("peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 {options}");
                let has = start(having, port, &format!("local stratum 3\n{}", peer(other)), KEYS);
                let takes = start(taking, other, &format!("{} offset 2.5", peer(port)), KEYS);
                let sources =
                    takes.wait_for(&["-c", "sources"], &case, |text| text.starts_with("=,*,127.0.0.1,3,"));
                let tracking = takes.wait_for(&["-c", "tracking"], &case, |text| {
                    text.split(',').nth(4).and_then(|offset| offset.parse::<f64>().ok()).is_some_and(
                        |offset| (offset.abs() - 2.5).abs() < 0.05 || (offset.abs() - 5.0).abs() < 0.05,
                    )
                });
                assert!(tracking.starts_with("7F000001,127.0.0.1,4,"), "{case}: {tracking} {sources}");
                // It is heard, and not followed: it follows us.
                has.wait_for(&["-c", "sources"], &case, |text| {
                    let reach = text.split(',').nth(5).and_then(|reach| reach.parse::<u32>().ok());
                    text.starts_with("=,?,127.0.0.1,") && reach.is_some_and(|reach| reach > 0)
                });
                let data = takes.chronyc(&["ntpdata"]);
                assert_eq!(field(&data, "Mode"), "Symmetric active", "{case}: {data}");
                let interleaved = if options.contains("xleave") { "Yes" } else { "No" };
                assert_eq!(field(&data, "Interleaved"), interleaved, "{case}: {data}");
                let authenticated = if options.contains("key") { "Yes" } else { "No" };
                assert_eq!(field(&data, "Authenticated"), authenticated, "{case}: {data}");
            });
        }
    });
}

/// Goal: who is no peer of theirs but may ask is answered passively, by ours and by stock's, which both take; who may not ask is not
/// answered.
#[test]
fn an_unknown_peer_is_answered_passively() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    std::thread::scope(|scope| {
        for (answering, asking) in
            [(under_test(), Side::Stock), (Side::Stock, under_test()), (under_test(), under_test())]
        {
            scope.spawn(move || {
                let case = format!("{answering:?} {asking:?}");
                let (port, other) = (free_port(), free_port());
                let peer = format!("peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 key 1");
                let _answers =
                    start(answering, port, "local stratum 3\nallow 127.0.0.0/8\ndeny 127.0.0.2", KEYS);
                let asks = start(asking, other, &peer, KEYS);
                asks.wait_for(&["-c", "sources"], &case, |text| text.starts_with("=,*,127.0.0.1,3,"));
                let data = asks.chronyc(&["ntpdata"]);
                assert_eq!(field(&data, "Mode"), "Symmetric passive", "{case}: {data}");
                let denied = UdpSocket::bind("127.0.0.2:0").expect("any port");
                denied.set_read_timeout(Some(Duration::from_millis(300))).expect("it is a socket");
                let mut packet = [0; 48];
                (packet[0], packet[47]) = (0x21, 1);
                denied.send_to(&packet, ("127.0.0.1", port)).expect("loopback takes it");
                assert!(denied.recv(&mut packet).is_err(), "{case}");
            });
        }
    });
}

/// Goal: the server that `chronyc allow` opens has its port also where the sockets of peers have it already, in the daemon's loop and in
/// threads; the peers go on hearing each other afterwards.
#[test]
fn clients_are_allowed_beside_peers() {
    for threads in [1, 2] {
        let [port, other] = [free_port(), free_port()];
        let peer = |port: u16| format!("peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 key 1");
        let _has = start(Side::Ours, port, &format!("local stratum 3\n{}", peer(other)), KEYS);
        let takes = start(Side::Ours, other, &format!("serverthreads {threads}\n{}", peer(port)), KEYS)
            .read_by(Side::Ours);
        takes.wait("it hears its peer", || takes.cell("sources", 1) == "*");
        assert_eq!(takes.chronyc(&["allow", "127.0.0.1"]).trim(), "200 OK");
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(1))).expect("a live socket");
        let mut request = [0; 48];
        request[0] = 0x23;
        takes.wait("a client is answered", || {
            client.send_to(&request, ("127.0.0.1", other)).expect("loopback");
            client.recv(&mut [0; 64]).is_ok_and(|length| length == 48)
        });
        assert!(!takes.log().contains("Could not"), "{}", takes.log());
        let heard = || number(&takes.chronyc(&["ntpdata"]), "Total valid RX");
        let before = heard();
        assert!(before > 0, "{}", takes.chronyc(&["ntpdata"]));
        // What was on its way already would count once.
        takes.wait("the peer is heard on", || heard() > before + 2);
    }
}

/// Goal: a peer with another key under the same number is not heard at all (CVE-2015-1853's precondition: nothing of it is taken).
#[test]
fn a_peer_with_another_key_is_not_heard() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let wrong = KEYS.replace("0011", "1100").replace("0001", "0100");
    std::thread::scope(|scope| {
        for (other_side, key) in [(Side::Stock, 1), (under_test(), 2)] {
            let wrong = &wrong;
            scope.spawn(move || {
                let (port, other) = (free_port(), free_port());
                let peer = |port: u16| format!("peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 key {key}");
                let _has = start(other_side, port, &format!("local stratum 3\n{}", peer(other)), KEYS);
                let takes = start(under_test(), other, &peer(port), wrong);
                let data = takes.wait_for(&["ntpdata"], "six packets came", |text| {
                    number(text, "Total TX") >= 6 && number(text, "Total RX") >= 6
                });
                assert_eq!((number(&data, "Total valid RX"), number(&data, "Total good RX")), (0, 0));
                assert!(takes.chronyc(&["-c", "sources"]).starts_with("=,?,127.0.0.1,0,0,0,"));
            });
        }
    });
}

/// Goal: an attacker between two keyed peers who sends everything three times, old packets again and forged ones changes nothing: the
/// time is the same, and each packet counts once.
#[test]
fn replayed_and_forged_packets_change_nothing() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let towards_having = UdpSocket::bind("127.0.0.1:0").expect("any port");
    let towards_taking = UdpSocket::bind("127.0.0.1:0").expect("any port");
    let place = |socket: &UdpSocket| socket.local_addr().expect("it is bound").port();
    let (having, taking) = (free_port(), free_port());
    let peer = |port: u16| format!("peer 127.0.0.1 port {port} minpoll 0 maxpoll 0 key 1");
    let ended = AtomicBool::new(false);
    let attack = |from: &UdpSocket, by: &UdpSocket, to: u16| {
        let mut overheard: Vec<Vec<u8>> = Vec::new();
        from.set_read_timeout(Some(Duration::from_millis(50))).expect("it is a socket");
        let mut buffer = [0; 200];
        while !ended.load(Ordering::Relaxed) {
            let Ok(length) = from.recv(&mut buffer) else { continue };
            let packet = buffer[..length].to_vec();
            let send = |bytes: &[u8]| drop(by.send_to(bytes, ("127.0.0.1", to)));
            send(&packet[..48]);
            let mut forged = packet.clone();
            forged[30] ^= 0x55;
            send(&forged);
            for _ in 0..3 {
                send(&packet);
            }
            overheard.iter().rev().take(5).for_each(|old| send(old));
            overheard.push(packet);
        }
    };
    std::thread::scope(|scope| {
        // Ends with the test, however that ends.
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _ends = Ends(&ended);
        scope.spawn(|| attack(&towards_having, &towards_taking, taking));
        scope.spawn(|| attack(&towards_taking, &towards_having, having));
        let lines = format!("local stratum 3\n{}", peer(place(&towards_having)));
        let _has = start(under_test(), having, &lines, KEYS);
        let takes = start(under_test(), taking, &peer(place(&towards_taking)), KEYS);
        takes.wait_for(&["-c", "sources"], "it is followed", |text| text.starts_with("=,*,127.0.0.1,3,"));
        let data =
            takes.wait_for(&["ntpdata"], "ten good packets came", |text| number(text, "Total good RX") >= 10);
        let (sent, valid) = (number(&data, "Total TX"), number(&data, "Total valid RX"));
        assert!(valid <= sent, "{data}");
        assert!(number(&data, "Total RX") > 3 * valid, "{data}");
        let offset: f64 = field(&data, "Offset").split(' ').next().unwrap_or_default().parse().unwrap_or(0.0);
        assert!(offset.abs() < 0.01, "{data}");
    });
}
