//! The time server and whoever means it ill: rates, interleaved mode, threads, foreign packets, links in the place of files.
//!
//! Every daemon here runs with `-x`, the stock ones also without `CAP_SYS_TIME`, on loopback.

use compliance::{
    Chronyd, Running, Side, TempDir, at_once, eventually, free_port, stock_or_skip, under_test,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a reply that comes is waited for; one that does not come costs as much.
const REPLY_PATIENCE: Duration = Duration::from_millis(300);

/// A request whose transmit timestamp is `nonce`.
fn request(nonce: u64) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[0] = 0x23;
    bytes[40..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket.set_read_timeout(Some(REPLY_PATIENCE)).expect("it is a socket");
    socket
}

/// Goal: an address that asks too often gets its burst and what leaks, and chronyc's tables say so; one that does not is not
/// limited.
#[test]
fn the_rate_of_a_client_is_limited() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let port = free_port();
    let lines = format!(
        "port {port}\nlocal stratum 3\nallow 127.0.0.0/8\ncmdport 0\nratelimit interval 6 burst 5 leak 4"
    );
    let daemon = Chronyd::start(under_test(), &lines);
    let socket = socket();
    let mut buffer = [0; 100];
    let asked: u32 = 160;
    for nonce in 0..asked {
        socket.send_to(&request(nonce.into()), ("127.0.0.1", port)).expect("loopback takes datagrams");
        // Slowly enough that none is lost on the way.
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut answered = 0_u32;
    while socket.recv_from(&mut buffer).is_ok() {
        answered += 1;
    }
    // 5 at once, then about one of 16; the probability of more than 35 is below one in a million.
    assert!((5..=35).contains(&answered), "{answered} of {asked} were answered");
    let table = daemon.chronyc(&["clients"]);
    let line = table.lines().find(|line| line.starts_with("127.0.0.1")).unwrap_or_else(|| panic!("{table}"));
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(cells[1..3], [asked.to_string(), (asked - answered).to_string()], "{table}");
    let stats = daemon.chronyc(&["serverstats"]);
    let number = |name: &str| {
        let line = stats.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{stats}"));
        line.rsplit(' ').next().and_then(|number| number.parse::<u32>().ok()).expect("a number")
    };
    assert_eq!((number("NTP packets received"), number("NTP packets dropped")), (asked, asked - answered));
    let other = UdpSocket::bind("127.0.0.9:0").expect("loopback has addresses");
    other.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
    other.send_to(&request(1), ("127.0.0.1", port)).expect("loopback takes datagrams");
    assert_eq!(other.recv_from(&mut buffer).expect("it is not limited").0, 48);
}

/// Goal: a server whose clock is still being slewed serves true time as far as it knows it, as chronyd does, and not what its clock
/// shows: its clients need not wait for the end of the slew.
#[test]
fn the_time_served_is_ahead_of_the_slew() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    for side in [Side::Stock, Side::Ours] {
        let port = free_port();
        let daemon =
            Chronyd::start(side, &format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0"));
        let socket = socket();
        let ahead = |nonce: u64| {
            let mut buffer = [0; 100];
            socket.send_to(&request(nonce), ("127.0.0.1", port)).expect("loopback takes datagrams");
            let (length, _) = socket.recv_from(&mut buffer).expect("a reply");
            assert_eq!(length, 48);
            let stamp = |at: usize| {
                u64::from_be_bytes(buffer[at..at + 8].try_into().expect("eight bytes")) as f64
                    / 2_f64.powi(32)
            };
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
            // 1900 to 1970, RFC 5905 section 6; the receive and the transmit timestamp.
            [32, 40].map(|at| stamp(at) - now.as_secs_f64() - 2_208_988_800.0)
        };
        let before = ahead(1);
        // The clock is said to be 50 s fast; no slew does that within the test.
        assert!(daemon.chronyc(&["doffset", "50"]).contains("200 OK"), "{side:?}");
        let after = ahead(2);
        for (before, after) in before.into_iter().zip(after) {
            assert!((after - before + 50.0).abs() < 0.5, "{side:?}: {before} then {after}");
        }
    }
}

/// Goal: interleaved mode in both directions: client and server of either side find each other in it, and measure.
#[test]
fn interleaved_mode_is_spoken_in_both_directions() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    at_once(
        [(under_test(), Side::Stock), (Side::Stock, under_test()), (under_test(), under_test())],
        |(server, client)| {
            let port = free_port();
            let lines = format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0");
            let server = Chronyd::start(server, &lines);
            let lines = format!("server 127.0.0.1 port {port} xleave minpoll 0 maxpoll 0\nport 0\ncmdport 0");
            let client = Chronyd::start(client, &lines);
            let mut last = String::new();
            let came = eventually(PATIENCE, || {
                last = client.chronyc(&["ntpdata", "127.0.0.1"]);
                let stats = client.chronyc(&["-c", "sourcestats"]);
                let samples = stats.split(',').nth(1).and_then(|cell| cell.parse::<u32>().ok()).unwrap_or(0);
                last.lines().any(|line| line.starts_with("Interleaved") && line.ends_with("Yes"))
                    && samples >= 4
            });
            assert!(came, "{last}\n{}", client.log());
            let offset: f64 = last
                .lines()
                .find_map(|line| line.strip_prefix("Offset          : ")?.split(' ').next()?.parse().ok())
                .expect("an offset");
            assert!(offset.abs() < 0.01, "{last}");
            let stats = server.chronyc(&["serverstats"]);
            let line = stats.lines().find(|line| line.starts_with("Interleaved NTP packets"));
            assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{stats}");
        },
    );
}

/// Goal: with several threads every client is answered, and from the address that it asked.
#[test]
fn threads_answer_from_the_address_that_was_asked() {
    let Some(_) = stock_or_skip("chronyc") else { return };
    let port = free_port();
    for threads in [1, 3] {
        let lines =
            format!("port {port}\nlocal stratum 3\nallow 127.0.0.0/8\ncmdport 0\nserverthreads {threads}");
        let daemon = Chronyd::start(Side::Ours, &lines);
        for client in 1..=24_u8 {
            let socket = UdpSocket::bind(std::net::SocketAddr::from(([127, 0, 1, client], 0)))
                .expect("loopback has addresses");
            socket.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
            let asked = std::net::SocketAddr::from(([127, 0, 2, client], port));
            socket.send_to(&request(client.into()), asked).expect("loopback takes datagrams");
            let mut buffer = [0; 100];
            let (length, from) = socket.recv_from(&mut buffer).expect("it is answered");
            assert_eq!((length, from), (48, asked));
            assert_eq!(buffer[24..32], u64::from(client).to_be_bytes());
        }
        let stats = daemon.chronyc(&["-c", "serverstats"]);
        assert!(stats.starts_with("24,0,"), "{stats}");
        let tasks =
            std::fs::read_dir(format!("/proc/{}/task", daemon.process().id())).expect("it runs").count();
        assert_eq!(tasks, if threads == 1 { 1 } else { 1 + threads });
    }
}

/// Goal: of command packets over UDP, of every length, type, version and reserved bits, only a request gets an answer, and none
/// a longer one; which ones are answered is as with the stock daemon.
#[test]
fn only_a_valid_command_is_answered() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let ask = |side: Side| {
        let port = free_port();
        let daemon = Chronyd::start(side, &format!("port 0\ncmdport {port}"));
        let socket = socket();
        socket.set_read_timeout(Some(PATIENCE)).expect("it is a socket");
        let mut answered: BTreeMap<u32, u16> = BTreeMap::new();
        let mut lengths: BTreeMap<u32, usize> = BTreeMap::new();
        let mut sequence = 0_u32;
        let mut probe =
            |version: u8, kind: u8, reserved: u16, command: u16, length: usize, is_marker: bool| {
                sequence += 1;
                let number = if is_marker { sequence | 1 << 31 } else { sequence };
                let mut bytes = vec![version, kind];
                bytes.extend(reserved.to_be_bytes());
                bytes.extend(command.to_be_bytes());
                bytes.extend([0, 0]);
                bytes.extend(number.to_be_bytes());
                bytes.resize(length, 0);
                if length < 12 {
                    bytes.truncate(length);
                }
                lengths.insert(number, length);
                socket.send_to(&bytes, ("127.0.0.1", port)).expect("loopback takes datagrams");
                // Every probe is followed by a request that is answered: what comes before that answer is the probe's.
                if is_marker {
                    loop {
                        let mut buffer = [0; 2048];
                        let (found, _) = socket.recv_from(&mut buffer).expect("the marker is answered");
                        let number = u32::from_be_bytes([buffer[16], buffer[17], buffer[18], buffer[19]]);
                        assert!(found <= lengths[&number], "{found} bytes for {}", lengths[&number]);
                        if number >> 31 == 1 {
                            break;
                        }
                        answered.insert(number, u16::from_be_bytes([buffer[8], buffer[9]]));
                    }
                }
            };
        // Tracking (33) has 104 bytes.
        let mut probes = Vec::new();
        for value in 0..=255_u8 {
            probes.push((6, value, 0, 33, 104));
            probes.push((value, 1, 0, 33, 104));
            probes.push((6, 1, u16::from(value), 33, 104));
            probes.push((6, 1, u16::from(value) << 8, 33, 104));
        }
        probes.extend((0..=110).map(|length| (6, 1, 0, 33, length)));
        // Requests of every code; those that read-only clients may send are of the same length in all versions since 4.0.
        probes.extend((0..=80).chain([255, 65535]).map(|command| (6, 1, 0, command, 27)));
        for (version, kind, reserved, command, length) in probes {
            probe(version, kind, reserved, command, length, false);
            probe(6, 1, 0, 33, 104, true);
        }
        assert!(daemon.chronyc(&["tracking"]).contains("Reference ID"), "{}", daemon.log());
        answered
    };
    let ours = ask(under_test());
    let stock = ask(Side::Stock);
    // Of 1,218 probes the stock daemon answers those of the right type, or of a near version or length with an error.
    assert_eq!(ours, stock);
    assert!(ours.values().any(|status| *status == 0) && ours.values().any(|status| *status != 0));
}

/// Goal: twenty thousand bad packets of every kind leave no trace in the log (CVE-2010-0294: a line for each) but one line for the client
/// whose key nobody has.
#[test]
fn a_flood_leaves_no_line_in_the_log() {
    let Some(_) = stock_or_skip("chronyc") else { return };
    let (port, command_port) = (free_port(), free_port());
    let lines = format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport {command_port}\nratelimit");
    let daemon = Chronyd::start(under_test(), &lines);
    let before = daemon.log().lines().count();
    let socket = socket();
    let stranger = UdpSocket::bind("127.0.0.7:0").expect("loopback has addresses");
    for round in 0..20_000_u64 {
        let mut bytes = request(round).to_vec();
        match round % 5 {
            0 => bytes.truncate((round % 48) as usize),
            1 => bytes[0] = round as u8,
            // A key that nobody has.
            2 => bytes.extend([0, 0, 0, 99, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]),
            3 => bytes.resize(1400, 0xff),
            _ => {}
        }
        let to = if round % 7 == 0 { command_port } else { port };
        let from = if round % 3 == 0 { &stranger } else { &socket };
        from.send_to(&bytes, ("127.0.0.1", to)).expect("loopback takes datagrams");
    }
    assert!(daemon.chronyc(&["serverstats"]).contains("NTP packets dropped"));
    let log = daemon.log();
    assert!(log.lines().count() <= before + 1, "{log}");
}

/// Goal: a symbolic link that stands where the pid file or the socket belongs is not followed: what it points to stays as it is
/// (CVE-2020-14367).
#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() {
    let Some(_) = stock_or_skip("chronyc") else { return };
    let folder = TempDir::new();
    let victim = folder.write("victim", "precious\n");
    let before = std::fs::metadata(&victim).expect("it is there").permissions().mode();
    std::fs::create_dir_all(folder.join("cmd")).expect("a folder can be made");
    for place in ["pid", "cmd/sock"] {
        std::os::unix::fs::symlink(&victim, folder.join(place)).expect("a link can be made");
    }
    let path = folder.path().to_owned();
    let conf = folder.write(
        "chrony.conf",
        format!(
            "port 0\ncmdport 0\nlocal stratum 3\nuser root\npidfile {0}/pid\nbindcmdaddress {0}/cmd/sock\n",
            path.display()
        ),
    );
    let log = File::create(folder.join("stderr")).expect("a file can be made");
    let mut command = Command::new(compliance::banto());
    command.env("BANTO_CLOCK_READ_ONLY", "1").arg("--dir").arg(&path).args(["chronyd", "-x", "-d", "-f"]);
    command.arg(conf).stdout(log.try_clone().expect("it is open")).stderr(log);
    let mut process = Running::start(&mut command);
    let pid_is_a_file = || {
        let found = std::fs::symlink_metadata(folder.join("pid"));
        found.is_ok_and(|found| found.is_file())
    };
    assert!(eventually(PATIENCE, pid_is_a_file), "the pid file is no file of its own");
    assert_eq!(process.end(), Some(0));
    let found = std::fs::read_to_string(&victim).expect("it is there");
    let mode = std::fs::metadata(&victim).expect("it is there").permissions().mode();
    assert_eq!((found.as_str(), mode), ("precious\n", before));
}
