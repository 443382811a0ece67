//! The time daemon against chrony: each takes time from the other, and chrony's command reads ours.
//!
//! Every daemon here runs with `-x`; the stock ones also without `CAP_SYS_TIME`. With `BANTO_UNDER_TEST=stock` the stock
//! daemon stands where ours stands by default.

use compliance::{
    Chronyd, Side, TempDir, at_once, chronyc, chronyd, eventually, free_port, stock_or_skip, under_test,
};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// Longer than anything here takes: an initial burst is over after 14 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// The offset that `-Q` prints, or why there is none.
fn measure(side: Side, directives: &[&str]) -> Result<f64, String> {
    measure_within(PATIENCE, side, directives)
}

/// The same with a limit: a client that gets no time waits until then.
fn measure_within(limit: Duration, side: Side, directives: &[&str]) -> Result<f64, String> {
    let folder = TempDir::new();
    let pid_file = format!("pidfile {}", folder.join("pid").display());
    let Output { status, stdout, stderr } = chronyd(side, folder.path())
        .args(["-Q", "-t", &limit.as_secs().to_string()])
        .args(directives)
        .args([pid_file.as_str(), "cmdport 0", "port 0", "user root"])
        .output()
        .expect("chronyd can be started");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    let offset = text
        .split_once("System clock wrong by ")
        .and_then(|(_, rest)| rest.split_once(" seconds (ignored)"))
        .and_then(|(number, _)| number.parse().ok());
    match (status.success(), offset) {
        (true, Some(offset)) => Ok(offset),
        _ => Err(format!("{status}: {text}")),
    }
}

fn assert_near(found: Result<f64, String>, expected: f64) {
    let found = found.unwrap_or_else(|why| panic!("no offset: {why}"));
    assert!((found - expected).abs() < 0.05, "{found} where {expected} was expected");
}

/// Goal: the stock daemon takes time from the server under test, and the client under test from the stock server. Method: a
/// source option shifts the measured offset, so that a daemon which prints zero does not pass.
#[test]
fn time_is_taken_in_both_directions() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    at_once([(under_test(), Side::Stock), (Side::Stock, under_test())], |(server, client)| {
        let (_daemon, port) = Chronyd::server(server, "");
        for shift in [0.0, -3.5] {
            let source = format!("server 127.0.0.1 port {port} iburst offset {shift}");
            assert_near(measure(client, &[&source]), shift);
        }
    });
}

/// How long a forged source is tried: a client with `iburst` has taken a good one's time long before.
const FORGED: Duration = Duration::from_secs(12);

/// Goal: symmetric keys of every kind are understood in both directions, and a wrong secret gives no time.
#[test]
fn keys_are_understood_in_both_directions() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let keys = "1 MD5 ASCII:secret\n2 SHA1 HEX:00112233\n3 SHA256 HEX:8899aabb\n4 SHA512 ASCII:longer\n\
                5 AES128 HEX:000102030405060708090a0b0c0d0e0f\n6 SHA384 ASCII:x\n\
                7 AES256 HEX:000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f\n";
    let folder = TempDir::new();
    let right = folder.write("right.keys", keys);
    let wrong = folder.write("wrong.keys", keys.replace("secret", "guess"));
    at_once([(under_test(), Side::Stock), (Side::Stock, under_test())], |(server, client)| {
        let (_daemon, port) = Chronyd::server(server, &format!("keyfile {}", right.display()));
        let with = |limit: Duration, file: &Path, key: u32| {
            let key_file = format!("keyfile {}", file.display());
            measure_within(
                limit,
                client,
                &[&key_file, &format!("server 127.0.0.1 port {port} iburst key {key}")],
            )
        };
        std::thread::scope(|scope| {
            for key in 1..=7 {
                let with = &with;
                let right = &right;
                scope.spawn(move || assert_near(with(PATIENCE, right, key), 0.0));
            }
            scope.spawn(|| assert!(with(FORGED, &wrong, 1).is_err(), "a forged source was believed"));
        });
    });
}

/// Goal: whoever is not allowed gets no time.
#[test]
fn access_is_denied_silently() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let (_daemon, port) = Chronyd::server(under_test(), "deny 127.0.0.1");
    let (_open, open_port) = Chronyd::server(under_test(), "deny 127.0.0.0/8\nallow 127.0.0.1");
    let source = format!("server 127.0.0.1 port {port} iburst");
    let open_source = format!("server 127.0.0.1 port {open_port} iburst");
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(measure(Side::Stock, &[&source]).is_err()));
        scope.spawn(|| assert_near(measure(Side::Stock, &[&open_source]), 0.0));
    });
}

/// Goal: stock chronyc reads the daemon under test over both sockets, may change it only over the Unix one, and waits for it.
#[test]
fn stock_chronyc_reads_the_daemon() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let (_server, port) = Chronyd::server(Side::Stock, "");
    let command_port = free_port();
    let lines = format!(
        "server 127.0.0.1 port {port} iburst minpoll 2 offset 4\nserver 127.0.0.2 port {} noselect\n\
         port 0\ncmdport {command_port}",
        free_port()
    );
    let daemon = Chronyd::start(under_test(), &lines);
    let tracking = daemon
        .wait_for(&["tracking"], "it is synchronised", |text| text.contains("Leap status     : Normal"));
    assert!(tracking.contains("Reference ID    : 7F000001 (127.0.0.1)"), "{tracking}");
    assert!(tracking.contains("Stratum         : 4"), "{tracking}");
    // With -x the clock itself stays as it is: it is slow of the shifted source.
    assert!(
        tracking.contains("System time     : 4.0") || tracking.contains("System time     : 3.99"),
        "{tracking}"
    );
    assert!(tracking.contains("seconds slow of NTP time"), "{tracking}");

    let udp = ["-h", "127.0.0.1", "-p", &command_port.to_string()];
    let over_udp = |words: &[&str]| {
        let output = chronyc(Side::Stock).arg("-n").args(udp).args(words).output();
        String::from_utf8_lossy(&output.expect("chronyc can be started").stdout).into_owned()
    };
    let sources = over_udp(&["-c", "sources"]);
    assert!(sources.starts_with("^,*,127.0.0.1,3,2,"), "{sources}");
    assert!(sources.lines().nth(1).is_some_and(|line| line.starts_with("^,?,127.0.0.2,0,6,0,")), "{sources}");
    let samples = |text: &str| text.split(',').nth(1).and_then(|number| number.parse::<u32>().ok());
    assert!(samples(&over_udp(&["-c", "sourcestats"])).is_some_and(|count| count >= 3));
    daemon.wait_for(&["activity"], "the initial burst ends", |text| text.contains("2 sources online"));
    assert!(over_udp(&["activity"]).contains("2 sources online"));
    let waited = over_udp(&["waitsync", "5", "0", "0", "0.5"]);
    assert!(waited.contains("try: 1, refid: 7F000001, correction: "), "{waited}");
    assert!(over_udp(&["makestep"]).contains("501 Not authorised"));
    // With -x there is no clock to step.
    assert_eq!(daemon.chronyc(&["makestep"]).trim(), "500 Failure");
    assert_eq!(daemon.chronyc(&["offline", "127.0.0.1"]).trim(), "200 OK");
    assert!(daemon.chronyc(&["activity"]).contains("1 sources offline"));
    assert_eq!(daemon.chronyc(&["online"]).trim(), "200 OK");
    assert!(daemon.chronyc(&["accheck", "10.0.0.1"]).contains("209 Access denied"));
    assert_eq!(daemon.chronyc(&["allow", "10.0.0.0/8"]).trim(), "200 OK");
    assert!(daemon.chronyc(&["accheck", "10.0.0.1"]).contains("208 Access allowed"));
    let ntpdata = daemon.chronyc(&["ntpdata"]);
    assert!(
        ntpdata.contains("Stratum         : 3") && ntpdata.contains("RX timestamping : Kernel"),
        "{ntpdata}"
    );
}

/// Goal: of three sources the one that lies is called a falseticker, and the log says what is followed, in chrony's words.
#[test]
fn a_falseticker_is_named() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let servers: Vec<(Chronyd, u16)> = (0..3).map(|_| Chronyd::server(Side::Stock, "")).collect();
    let lines: String = servers
        .iter()
        .enumerate()
        .map(|(index, (_, port))| {
            let lie = if index == 1 { "offset 2" } else { "" };
            // One address has one association in the stock daemon, so each server has its own.
            format!("server 127.0.0.{} port {port} iburst minpoll 2 {lie}\n", index + 1)
        })
        .collect();
    let daemon = Chronyd::start(under_test(), &format!("{lines}port 0\ncmdport 0"));
    let sources = daemon.wait_for(&["-c", "sources"], "the liar is found", |text| {
        text.lines().nth(1).is_some_and(|line| line.starts_with("^,x,")) && text.contains("^,*,")
    });
    assert!(!sources.lines().nth(1).unwrap_or_default().contains("^,*"), "{sources}");
    let mut lines = vec!["Z Selected source 127.0.0."];
    if under_test() == Side::Ours {
        // chronyd 4.3 says this only some updates later, the times of which it keeps to itself.
        lines.push("Z Detected falseticker 127.0.0.2");
    }
    for words in lines {
        assert!(eventually(PATIENCE, || daemon.log().contains(words)), "{words}: {}", daemon.log());
    }
}

/// Goal: a server that is not there at the start is found later, also when it has a name.
#[test]
fn a_source_that_comes_later_is_found() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let port = free_port();
    let lines = format!("server localhost port {port} iburst minpoll 0 maxpoll 1\nport 0\ncmdport 0");
    let daemon = Chronyd::start(under_test(), &lines);
    daemon.wait_for(&["-c", "sources"], "it has asked in vain", |text| {
        text.starts_with("^,?,") && !text.contains("ID#")
    });
    std::thread::sleep(Duration::from_secs(2));
    let _server = Chronyd::start(Side::Stock, &format!("port {port}\nlocal stratum 3\nallow\ncmdport 0"));
    daemon.wait_for(&["tracking"], "it is synchronised", |text| text.contains("Leap status     : Normal"));
}

/// Goal: SIGTERM ends the daemon with code 0, the drift file on disk and the log's last word; the measurement files have
/// chrony's columns, and are opened anew after rotation.
#[test]
fn it_keeps_its_files_and_ends_cleanly() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let (_server, port) = Chronyd::server(Side::Stock, "");
    let lines = format!(
        "server 127.0.0.1 port {port} iburst minpoll 0 maxpoll 0\nport 0\ncmdport 0\ndriftfile {{dir}}/drift\n\
         logdir {{dir}}/log\nlog measurements statistics tracking"
    );
    let mut daemon = Chronyd::start(under_test(), &lines);
    let file = |name: &str| -> PathBuf { daemon.folder().join("log").join(name) };
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    for (name, columns) in [("measurements.log", 20), ("statistics.log", 13), ("tracking.log", 14)] {
        let path = file(name);
        let data =
            |text: &str| text.lines().filter(|line| line.starts_with("20")).map(str::to_owned).next_back();
        assert!(eventually(PATIENCE, || data(&text(&path)).is_some()), "{name}: {}", daemon.log());
        let line = data(&text(&path)).expect("just seen");
        assert_eq!(line.split_ascii_whitespace().count(), columns, "{name}: {line}");
    }
    // Stress, dropped samples and asymmetry of `statistics.log` are numbers of the samples, not zeros that fill the columns.
    let moved = || {
        let lines = text(&file("statistics.log"));
        let number = |line: &str, column: usize| -> Option<f64> {
            line.split_ascii_whitespace().nth(column)?.parse().ok()
        };
        let data = lines.lines().filter(|line| line.starts_with("20"));
        data.clone().all(|line| number(line, 12).is_some_and(|asymmetry| asymmetry.abs() <= 0.5))
            && data.clone().any(|line| number(line, 8).is_some_and(|stress| stress > 0.0))
    };
    assert!(eventually(PATIENCE, moved), "{}", text(&file("statistics.log")));
    let (path, old) = (file("measurements.log"), file("measurements.old"));
    std::fs::rename(&path, &old).expect("a log can be rotated");
    assert_eq!(daemon.chronyc(&["cyclelogs"]).trim(), "200 OK");
    assert!(eventually(PATIENCE, || path.exists()), "the file was not opened anew");
    if under_test() == Side::Ours {
        std::fs::rename(&path, &old).expect("a log can be rotated");
        daemon.process().signal(sys::signal::HUP);
        assert!(eventually(PATIENCE, || path.exists()), "SIGHUP does not open the file anew");
    }
    assert_eq!(daemon.process_mut().end(), Some(0));
    assert!(daemon.log().contains("chronyd exiting"), "{}", daemon.log());
    let drift = text(&daemon.folder().join("drift"));
    let numbers: Vec<f64> = drift.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    assert!(numbers.len() == 2 && numbers[0].abs() < 500.0, "{drift:?}");
}

/// Goal: whatever arrives at its ports, the daemon goes on serving.
#[test]
fn bad_datagrams_change_nothing() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let port = free_port();
    let command_port = free_port();
    let lines = format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport {command_port}");
    let mut daemon = Chronyd::start(under_test(), &lines);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    let mut state = 1_u64;
    for round in 0..4000_usize {
        let mut bytes = vec![0_u8; round % 700];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 56) as u8;
        }
        if let Some(first) = bytes.first_mut().filter(|_| round % 2 == 0) {
            *first = 0x23; // version 4, client
        }
        if let [version, kind, zero, reserved, high, ..] = bytes.as_mut_slice()
            && round % 3 == 0
        {
            (*version, *kind, *zero, *reserved, *high) = (6, 1, 0, 0, 0);
        }
        let to = if round % 2 == 0 { port } else { command_port };
        socket.send_to(&bytes, ("127.0.0.1", to)).expect("loopback takes datagrams");
    }
    assert!(daemon.process_mut().0.try_wait().expect("it is our child").is_none(), "{}", daemon.log());
    assert_near(measure(Side::Stock, &[&format!("server 127.0.0.1 port {port} iburst")]), 0.0);
    assert!(daemon.chronyc(&["tracking"]).contains("Reference ID    : 7F7F0101"));
}

/// Goal: an amplifier is none: no reply is longer than its request.
#[test]
fn replies_are_never_longer_than_requests() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let (_daemon, port) = Chronyd::server(under_test(), "");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("it is a socket");
    let mut answered = 0;
    for length in [0, 1, 47, 48, 52, 64, 68, 72, 76, 100, 468, 1000] {
        let mut request = vec![0_u8; length];
        if let Some(first) = request.first_mut() {
            *first = 0x23;
        }
        socket.send_to(&request, ("127.0.0.1", port)).expect("loopback takes datagrams");
        let mut reply = [0; 2000];
        if let Ok(found) = socket.recv(&mut reply) {
            assert!(found <= length, "{found} bytes for {length}");
            answered += 1;
        }
    }
    assert!(answered > 0, "not even a plain request was answered");
}

/// Goal: a configuration with mistakes ends the start with code 1; ours tells all of them, each with its line and a help line.
#[test]
fn mistakes_in_the_configuration_are_told() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let folder = TempDir::new();
    let conf = folder.write("chrony.conf", "port 123x\nsever 127.0.0.1\nserver 127.0.0.1 iburts\n");
    let output = chronyd(under_test(), folder.path())
        .arg("-d")
        .arg("-f")
        .arg(conf)
        .output()
        .expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    if under_test() == Side::Ours {
        let text = String::from_utf8_lossy(&output.stderr);
        for (line, word) in [(1, "123x"), (2, "sever"), (3, "iburts")] {
            assert!(text.contains(&format!("chrony.conf:{line}:")) && text.contains(word), "{text}");
        }
        assert!(text.matches("help:").count() >= 3 && text.contains('^'), "{text}");
    }
}

/// Goal: `rekey` reaches sources that already run, on both ends: a new key counts from the next request on, a key that went
/// away stops the source, and one that comes back starts it again. Method: the reach register, whose lowest digit is odd
/// after an answered request.
#[test]
fn rekey_reaches_running_sources() {
    if stock_or_skip("chronyc").is_none() || under_test() == Side::Stock && stock_or_skip("chronyd").is_none()
    {
        return;
    }
    let keys = TempDir::new();
    let write = |who: &str, line: &str| keys.write(who, format!("{line}\n"));
    let (first, second) = ("7 SHA256 HEX:00112233445566778899", "7 SHA256 HEX:99887766554433221100");
    let (server_keys, client_keys) = (write("server", first), write("client", first));
    let (server, port) = Chronyd::server(under_test(), &format!("keyfile {}\n", server_keys.display()));
    let client = Chronyd::start(
        under_test(),
        &format!(
            "server 127.0.0.1 port {port} key 7 minpoll 0 maxpoll 0 iburst\nkeyfile {}\nport 0\ncmdport 0\n",
            client_keys.display()
        ),
    );
    let answered =
        |said: &str| said.split(',').nth(5).and_then(|reach| reach.parse::<u32>().ok()).map(|r| r % 2 == 1);
    let wait = |what: &str, expected: bool| {
        client.wait_for(&["-c", "sources"], what, |said| answered(said) == Some(expected));
    };
    wait("the first key", true);
    write("server", second);
    assert!(server.chronyc(&["rekey"]).contains("200 OK"));
    wait("the client still has the old key", false);
    write("client", second);
    assert!(client.chronyc(&["rekey"]).contains("200 OK"));
    wait("both have the new key", true);
    write("client", "# none");
    assert!(client.chronyc(&["rekey"]).contains("200 OK"));
    wait("the client has no key", false);
    write("client", second);
    assert!(client.chronyc(&["rekey"]).contains("200 OK"));
    wait("the key is back", true);
}
