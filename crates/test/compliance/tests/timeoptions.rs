//! Options of sources and stamps that only some hosts use, beside stock chronyd: stamps by network cards, NTP inside PTP, and
//! chrony's own extension fields.
//!
//! Every daemon runs with `-x`; the stock ones also without `CAP_SYS_TIME`.

use compliance::{Chronyd, Side, TempDir, at_once, eventually, free_port, pairs, stock_or_skip, under_test};
use std::time::Duration;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(40);

/// A daemon that logs its measurements.
fn start(side: Side, lines: &str) -> Chronyd {
    let lines = format!("{lines}\ncmdport 0\nlogdir {{dir}}\nlog rawmeasurements");
    Chronyd::start(side, &lines).waited_for(PATIENCE)
}

/// A server for the loopback.
fn server(side: Side, port: u16, more: &str) -> Chronyd {
    start(side, &format!("port {port}\nbindaddress 127.0.0.1\nlocal stratum 3\nallow 127.0.0.1\n{more}"))
}

/// Goal: an interface that cannot stamp is told of once, and its packets are stamped by the kernel, as `ntpdata` and the log say.
#[test]
fn without_a_card_that_stamps_the_kernel_does() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon ends where a card cannot stamp");
    }
    for (line, expected) in [
        ("hwtimestamp lo", "Could not enable HW timestamping on lo: "),
        ("hwtimestamp *\nhwtstimeout 0.01", "No interface has HW timestamping"),
    ] {
        let port = free_port();
        let _server = server(Side::Stock, port, "");
        let source = format!("server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0 xleave\nport 0");
        let client = start(Side::Ours, &format!("{source}\n{line}"));
        client.synchronised();
        if client.log().contains("Enabled HW timestamping") {
            return compliance::skip("this host has a card that stamps");
        }
        assert_eq!(client.log().matches("HW timestamping").count(), 1, "{}", client.log());
        assert!(client.log().contains(expected), "{}", client.log());
        let data = client.chronyc(&["ntpdata"]);
        for wanted in ["TX timestamping : Kernel", "RX timestamping : Kernel"] {
            assert!(data.contains(wanted), "{data}");
        }
        assert!(eventually(PATIENCE, || client.measured(&["4I K K"]) >= 2), "{}", client.log());
    }
}

/// Goal: field F323 is asked for and answered, whoever speaks with whom, with and without a key and in interleaved mode: the client's
/// root times are finer than the header's, and the time is followed.
#[test]
fn chronys_root_field_is_understood() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    at_once(pairs(), |(there, here)| {
        for options in ["", "xleave key 1"] {
            let keys = TempDir::new();
            let file = keys.write("keys", "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n");
            let port = free_port();
            let key_file = format!("keyfile {}", file.display());
            let server = server(there, port, &key_file);
            let source =
                format!("server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0 extfield F323 version 4");
            let client = start(here, &format!("{source} {options}\nport 0\n{key_file}"));
            client.synchronised();
            let wanted = if options.is_empty() { " 4B " } else { " 4I " };
            assert!(eventually(PATIENCE, || client.measured(&[wanted]) >= 4), "{}", client.log());
            drop(server);
        }
    });
}

/// Goal: no reply to a request with the field is longer than the request, and its root times are in 2^-28 s: a server of stratum 1 with a
/// tiny dispersion tells more by the field than by the header.
#[test]
fn the_root_field_is_no_amplifier() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    for side in [under_test(), Side::Stock] {
        let port = free_port();
        let server = server(side, port, "");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket.connect(("127.0.0.1", port)).expect("it is this host");
        let mut request = vec![0_u8; 48];
        (request[0], request[47]) = (0x23, 9);
        request.extend([0xf3, 0x23, 0, 28, 0xf5, 0xbe, 0xdd, 0x9a]);
        request.resize(48 + 28, 0);
        let mut reply = [0; 200];
        let answered = eventually(PATIENCE, || {
            let _ = socket.send(&request);
            socket.recv(&mut reply).is_ok_and(|length| length == request.len())
        });
        assert!(answered, "{}", server.log());
        assert_eq!(reply[48..56], request[48..56], "the field comes back");
        // An unknown field of the same length is answered without any.
        request[49] = 0x99;
        let length = socket.send(&request).and_then(|_| socket.recv(&mut reply)).expect("it answers");
        assert_eq!(length, 48, "{side:?}");
    }
}

/// Goal: NTP inside PTP between ours and the stock daemon, both ways: it is followed, also in interleaved mode and with a key, and in
/// another domain nobody answers.
#[test]
fn ntp_goes_inside_ptp() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    at_once(pairs().into_iter().enumerate(), |(number, (there, here))| {
        // Both ends have the one port, so they need an address each: the loopback has many.
        let (port, ntp) = (free_port(), free_port());
        let own = |last: usize| format!("127.0.{}.{last}", 70 + number);
        let keys = TempDir::new();
        let file = keys.write("keys", "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n");
        let common = format!("ptpport {port}\nkeyfile {}", file.display());
        let lines = |last: usize, more: &str| {
            format!("port {ntp}\nbindaddress {}\nbindacqaddress {}\n{common}\n{more}", own(last), own(last))
        };
        let _server = start(there, &lines(1, "local stratum 3\nallow 127.0.0.0/8"));
        for options in ["", "xleave key 1"] {
            let source = format!("server {} port {port} iburst minpoll 0 maxpoll 0 {options}", own(1));
            let client = start(here, &lines(2, &source));
            client.synchronised();
            let wanted = if options.is_empty() { " 4B " } else { " 4I " };
            assert!(eventually(PATIENCE, || client.measured(&[wanted]) >= 4), "{}", client.log());
            let data = client.chronyc(&["ntpdata"]);
            assert!(data.contains(&format!("Remote port     : {port}")), "{data}");
        }
        if here == Side::Ours {
            let source = format!("server {} port {port} iburst\nptpdomain 5", own(1));
            let client = start(here, &lines(2, &source));
            std::thread::sleep(Duration::from_secs(5));
            assert_eq!(client.measured(&[]), 0);
        }
    });
}

/// Goal: a client with the field for corrections of the network, and a packet ahead of each measurement, follows a server that
/// knows PTP's older form alone and no such field, as one that knows both.
#[test]
fn corrections_are_asked_for_inside_ptp() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    if under_test() == Side::Stock {
        return compliance::skip("chronyd 4.3 does not know the field");
    }
    for (number, there) in [Side::Stock, Side::Ours].into_iter().enumerate() {
        let (port, ntp) = (free_port(), free_port());
        let lines = |last: usize, more: &str| {
            let own = format!("127.0.{}.{last}", 80 + number);
            format!("port {ntp}\nbindaddress {own}\nbindacqaddress {own}\nptpport {port}\n{more}")
        };
        let _server = start(there, &lines(1, "local stratum 3\nallow 127.0.0.0/8"));
        for field in ["10A", "F324"] {
            let server = format!("server 127.0.{}.1 port {port}", 80 + number);
            let client = start(
                Side::Ours,
                &lines(2, &format!("{server} minpoll 1 maxpoll 1 presend 0 extfield {field}")),
            );
            let log = client.folder().join("measurements.log");
            let ahead = || {
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                log.lines().filter(|line| line.contains(" 111 111 0111 ")).count()
            };
            assert!(
                eventually(PATIENCE, || client.measured(&[" 4B "]) >= 2 && ahead() >= 2),
                "{}",
                client.log()
            );
        }
    }
}

/// Goal: a server with `ptpport` answers the field in the form in which it is asked, at both ports, with nothing in it where no card has
/// stamped the request, and never with more bytes; without `ptpport` it answers without the field.
#[test]
fn the_network_correction_is_no_amplifier() {
    if under_test() == Side::Stock {
        return compliance::skip("chronyd 4.3 does not know the field");
    }
    let fields = [
        [&[0x01, 0x0a, 0, 28][..], &[0; 24]].concat(),
        [&[0xf3, 0x24, 0, 28, 0x07, 0xac, 0x2c, 0xeb][..], &[0; 20]].concat(),
    ];
    // What stands before the packet, in both forms: PTP's header with the length, and the TLV.
    let wrap = |packet: &[u8], assigned: bool| {
        let tlv: &[u8] =
            if assigned { &[0, 3, 0, 84, 0, 0, 0x5e, 0, 0, 1, 0, 0] } else { &[0x20, 0x23, 0, 76] };
        let mut message = [0; 44];
        message[..8].copy_from_slice(&[1, 2, 0, (44 + tlv.len() + packet.len()) as u8, 123, 0, 4, 0]);
        [&message[..], tlv, packet].concat()
    };
    for with_ptp in [true, false] {
        let (ntp, ptp) = (free_port(), free_port());
        let more = if with_ptp { format!("ptpport {ptp}") } else { String::new() };
        let server = server(Side::Ours, ntp, &more);
        let ask = |port: u16, request: &[u8]| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
            socket.connect(("127.0.0.1", port)).expect("it is this host");
            let mut reply = vec![0; 300];
            let answered = eventually(PATIENCE, || {
                let _ = socket.send(request);
                socket.recv(&mut reply).is_ok_and(|length| {
                    reply.truncate(length);
                    true
                })
            });
            assert!(answered, "{}", server.log());
            reply
        };
        for field in &fields {
            let mut request = vec![0_u8; 48];
            (request[0], request[47]) = (0x23, 9);
            request.extend(field);
            let reply = ask(ntp, &request);
            assert_eq!(reply.get(48..).unwrap_or_default(), if with_ptp { field } else { &[][..] });
            for assigned in [true, false].into_iter().filter(|_| with_ptp) {
                let message = wrap(&request, assigned);
                let reply = ask(ptp, &message);
                assert_eq!(reply.len(), message.len());
                let tlv = if assigned { 44..56 } else { 44..48 };
                assert_eq!(reply[tlv.clone()], message[tlv]);
                assert!(reply.ends_with(field), "{reply:?}");
            }
        }
    }
}
