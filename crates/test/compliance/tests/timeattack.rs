//! Servers and strangers that mean harm, against the running daemon: forged, replayed and malformed replies, kisses of death, time
//! shifted by few, by most and slowly, commands of every kind, links in the places of files.
//!
//! The servers are the tests' own ([`compliance::time_server::TimeServer`]), so that each datagram is what the test wants. The daemon runs with `-x`, at several
//! requests a second, on loopback. What each attack comes to is in `docs/cve.md`.

use compliance::time_server::{Ask, TimeServer};
use compliance::{Chronyd, Side, TempDir, eventually, free_port, ours, stock, stock_or_skip, under_test};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Eight requests a second.
const FAST: &str = "minpoll -3 maxpoll -3";
/// How far from true time a server of the tests is that lies, in seconds.
const LIE: f64 = 5.0;

/// The line of the configuration for one of the tests' servers.
fn line(server: &TimeServer, options: &str) -> String {
    server.line(&format!("{FAST} {options}"))
}

/// What a stranger makes of a reply who did not see the request.
fn forged(mut reply: Vec<u8>, origin: [u8; 8]) -> Vec<u8> {
    reply[24..32].copy_from_slice(&origin);
    reply
}

/// The program under test with these lines, read by our chronyc.
fn start(lines: &str) -> Chronyd {
    start_in(TempDir::new(), lines)
}

/// `{dir}` stands for its folder.
fn start_in(folder: TempDir, lines: &str) -> Chronyd {
    Chronyd::start_in(folder, under_test(), lines).read_by(Side::Ours).waited_for(PATIENCE)
}

/// With these sources and nothing to serve.
fn client(lines: &str) -> Chronyd {
    start(&format!("{lines}\nport 0\ncmdport 0"))
}

/// What a stranger sends who does not see the requests, from his own port and address too.
fn forge(ask: &Ask, strangers: &[UdpSocket]) {
    let lie = ask.reply(LIE);
    ask.send(&forged(lie.clone(), [0; 8]));
    ask.send(&forged(lie.clone(), lie[40..48].try_into().expect("eight bytes")));
    let mut near = lie.clone();
    near[31] ^= 1;
    ask.send(&near);
    for mode in (0..8).filter(|mode| *mode != 4) {
        let mut other = lie.clone();
        other[0] = 0x20 | mode;
        ask.send(&other);
    }
    for stranger in strangers {
        stranger.send_to(&lie, ask.from).expect("loopback takes datagrams");
    }
}

fn strangers() -> Vec<UdpSocket> {
    ["127.0.0.1:0", "127.0.0.9:0"].map(|at| UdpSocket::bind(at).expect("a free port")).into()
}

/// Goal: replies which a stranger could make that does not see the requests count for nothing: another origin timestamp or none, another
/// port, another address, another mode. The true reply that comes after hundreds of them counts, and no line is logged.
#[test]
fn spoofed_replies_count_for_nothing() {
    let others = strangers();
    let mixed = TimeServer::start("127.0.0.1", move |ask| {
        forge(ask, &others);
        (0..10_u64).for_each(|guess| ask.send(&forged(ask.reply(LIE), guess.to_be_bytes())));
        ask.send(&ask.reply(0.0));
    });
    let others = strangers();
    let false_only = TimeServer::start("127.0.0.2", move |ask| forge(ask, &others));
    let daemon = client(&(line(&mixed, "iburst") + &line(&false_only, "iburst")));
    daemon.wait("the true replies count", || daemon.good(&mixed) >= 20.0 && daemon.follows(&mixed));
    assert!(daemon.ntpdata(&mixed, "Offset").abs() < 0.1 && daemon.error().abs() < 0.1);
    assert!(daemon.ntpdata(&mixed, "Total RX") > 100.0, "the forged ones arrived");
    daemon.wait("the other was asked", || false_only.requests().len() >= 5);
    assert_eq!(daemon.good(&false_only), 0.0);
    assert_eq!(daemon.state(&false_only), '?');
    let log = daemon.log();
    assert!(log.lines().count() < 10, "a line for each: {log}");
}

/// Goal: a reply counts once and for its own request alone: copies of it, and those of earlier requests, change nothing.
#[test]
fn replayed_replies_count_once() {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let server = TimeServer::start("127.0.0.1", move |ask| {
        // The times of the old ones are wrong by their age.
        kept.iter().for_each(|old| ask.send(old));
        let reply = ask.reply(0.0);
        (0..5).for_each(|_| ask.send(&reply));
        kept.push(reply);
        if kept.len() > 20 {
            kept.remove(0);
        }
    });
    let daemon = client(&line(&server, "iburst"));
    daemon.wait("it is followed", || daemon.good(&server) >= 30.0);
    let (good, asked) = (daemon.good(&server), server.requests().len());
    assert!(good <= asked as f64, "{good} good replies to {asked} requests");
    assert!(daemon.ntpdata(&server, "Offset").abs() < 0.05 && daemon.error().abs() < 0.05);
    assert!(daemon.ntpdata(&server, "Total RX") > 2.0 * good, "the copies arrived");
}

/// Goal: a reply that is cut anywhere, or followed by what is no field and no key's digest, of every length to 1,500 bytes, counts for
/// nothing, though it bears the right number; and the whole one that follows counts.
#[test]
fn replies_of_a_wrong_length_count_for_nothing() {
    // A rest of 4 to 68 bytes in steps of four may be a digest, which a client without a key does not read.
    let wrong = |length: &usize| *length < 48 || *length > 120 || !length.is_multiple_of(4);
    let lengths: Vec<usize> = (0..=1500).filter(wrong).collect();
    let rounds = lengths.len().div_ceil(40);
    let server = TimeServer::start("127.0.0.1", move |ask| {
        for length in lengths.iter().skip(ask.number % rounds * 40).take(40) {
            let mut bytes = ask.reply(LIE);
            bytes.resize(*length, 0xff);
            ask.send(&bytes);
        }
        ask.send(&ask.reply(0.0));
    });
    let daemon = client(&line(&server, "iburst"));
    daemon.wait("all were sent", || server.requests().len() > rounds);
    daemon.wait("the whole ones count", || daemon.good(&server) >= rounds as f64 / 2.0);
    assert!(daemon.ntpdata(&server, "Offset").abs() < 0.1 && daemon.error().abs() < 0.1);
    let measured = daemon.chronyc(&["-c", "sourcestats"]);
    let deviation = measured.trim().split(',').next_back().and_then(|last| last.parse::<f64>().ok());
    assert!(deviation.is_some_and(|seconds| seconds < 0.1), "{measured}");
}

/// Goal: RATE makes the interval longer at each kiss, DENY and RSTR end the association, each with one line in the log however often
/// the kiss is repeated; and kisses that bear another number than the request's change nothing.
#[test]
fn kisses_are_obeyed_and_forged_ones_are_not() {
    if under_test() == Side::Stock {
        compliance::skip("chronyd 4.3 does not obey DENY and RSTR");
        return;
    }
    let kissing = |ip: &str, code: &'static [u8; 4]| {
        TimeServer::start(ip, move |ask| (0..20).for_each(|_| ask.send(&ask.kiss(code))))
    };
    let (rate, deny) = (kissing("127.0.0.1", b"RATE"), kissing("127.0.0.2", b"DENY"));
    let restrict = kissing("127.0.0.3", b"RSTR");
    let honest = TimeServer::start("127.0.0.4", |ask| {
        for code in [b"DENY", b"RSTR", b"RATE"] {
            ask.send(&forged(ask.kiss(code), [0; 8]));
            ask.send(&forged(ask.kiss(code), [7; 8]));
        }
        ask.send(&ask.reply(0.0));
    });
    let others = [&deny, &restrict, &honest].map(|server| line(server, "iburst")).concat();
    let daemon = client(&(others + &line(&rate, "iburst maxpoll 6")));
    daemon.wait("the one that is well goes on", || daemon.good(&honest) > 40.0 && daemon.follows(&honest));
    daemon.wait("RATE was heard", || rate.requests().len() >= 5);
    for server in [&deny, &restrict] {
        assert_eq!(server.requests().len(), 1, "asked again");
    }
    let log = daemon.log();
    for (code, server) in [("DENY", &deny), ("RSTR", &restrict)] {
        let line = format!("Received KoD {code} from {}", server.address.ip());
        assert_eq!(log.matches(&line).count(), 1, "{log}");
    }
    assert!(!log.contains("127.0.0.4 ") || !log.contains("KoD DENY from 127.0.0.4"), "{log}");
    assert_eq!(log.matches("KoD").count(), log.matches("KoD RATE from 127.0.0.1").count() + 2, "{log}");
    // The interval begins at 1/8 s and doubles with each kiss: what a busy machine delays is at most a part of that.
    let times = rate.requests();
    for (index, pair) in times.windows(2).enumerate() {
        let least = 0.125 * 2_f64.powi(index as i32 + 1);
        let gap = pair[1].duration_since(pair[0]).as_secs_f64();
        assert!(gap > 0.8 * least, "request {index}: {gap} s where {least} s were asked for");
    }
}

/// Goal: one of four servers that shifts time, from the start or later, is called a falseticker, in the log too, and moves nothing.
#[test]
fn time_shifted_by_one_of_four_is_refused() {
    let late = Arc::new(AtomicBool::new(false));
    let honest: Vec<TimeServer> = (1..=3).map(|n| TimeServer::ahead(&format!("127.0.0.{n}"), 0.0)).collect();
    let liars = [
        TimeServer::ahead("127.0.0.4", LIE),
        TimeServer::start("127.0.0.5", {
            let late = late.clone();
            move |ask| ask.send(&ask.reply(if late.load(Ordering::Relaxed) { LIE } else { 0.0 }))
        }),
    ];
    let start = |liar: &TimeServer| {
        let lines: String = honest.iter().chain([liar]).map(|one| line(one, "iburst")).collect();
        client(&lines)
    };
    let daemons = liars.each_ref().map(start);
    daemons[1].wait("all agree", || daemons[1].follows(&honest[0]) && daemons[1].good(&liars[1]) > 8.0);
    late.store(true, Ordering::Relaxed);
    for (daemon, liar) in daemons.iter().zip(&liars) {
        daemon.wait("the liar is found", || daemon.state(liar) == 'x' && daemon.error().abs() < 0.1);
        assert!(honest.iter().any(|one| daemon.follows(one)), "{}", daemon.chronyc(&["sources"]));
        if under_test() == Side::Ours {
            let line = format!("Detected falseticker {}", liar.address.ip());
            daemon.wait("the log names it", || daemon.log().matches(&line).count() == 1);
        }
    }
}

/// Goal: three of five servers that shift time together are a majority, which is followed by whoever has no other witness: the two
/// honest ones are called falsetickers. What an administrator can do about it works: `trust`, `require`, `minsources`, `maxchange`, and
/// authentication, where `authselectmode` decides what it counts for.
#[test]
fn a_bare_majority_leads_only_those_without_a_witness() {
    let keys = TempDir::new();
    let keyfile = format!("keyfile {}\n", keys.write("keys", "1 SHA1 ASCII:secret\n").display());
    let liars: Vec<TimeServer> = (3..=5).map(|n| TimeServer::ahead(&format!("127.0.0.{n}"), LIE)).collect();
    let lies: String = liars.iter().map(|one| line(one, "iburst")).collect();
    let port = free_port();
    let honest = start(&format!(
        "port {port}\nlocal stratum 1\nallow 127.0.0.0/8\ncmdport 0\n{keyfile}bindaddress 127.0.0.1"
    ));
    let with = |options: &str, more: &str| {
        let line = format!("server 127.0.0.1 port {port} {FAST} iburst {options}\n");
        client(&format!("{line}{lies}{keyfile}{more}"))
    };
    let state = |daemon: &Chronyd| {
        let row =
            daemon.rows(&["sources"]).into_iter().find(|row| row.get(2).is_some_and(|it| it == "127.0.0.1"));
        row.and_then(|row| row[1].chars().next())
    };
    let led = |daemon: &Chronyd, lie: bool| {
        let (error, state) = (daemon.error().abs(), state(daemon));
        if lie { (error - LIE).abs() < 0.2 && state == Some('x') } else { error < 0.2 && state == Some('*') }
    };
    let check = |options: &str, more: &str, lie: bool| {
        let daemon = with(options, more);
        daemon.wait(&format!("{options} {more}"), || led(&daemon, lie));
        // It stays so once all have many samples.
        daemon.wait("all answer", || liars.iter().all(|liar| daemon.good(liar) > 12.0));
        assert!(led(&daemon, lie), "{options} {more}: {}{}", daemon.chronyc(&["sources"]), daemon.log());
        daemon
    };
    let refused = |options: &str, more: &str, words: &str| {
        let daemon = with(options, more);
        daemon.wait("all answer", || liars.iter().all(|liar| daemon.good(liar) > 12.0));
        assert!(!liars.iter().any(|liar| daemon.follows(liar)), "{}", daemon.chronyc(&["sources"]));
        if under_test() == Side::Ours {
            assert!(daemon.log().contains(words), "{options} {more}: {}", daemon.log());
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let daemon = check("", "", true);
            if under_test() == Side::Ours {
                assert!(daemon.log().contains("Detected falseticker 127.0.0.1"), "{}", daemon.log());
            }
        });
        scope.spawn(|| check("trust", "", false));
        scope.spawn(|| refused("require", "", "Can't synchronise: no required source in selectable sources"));
        scope.spawn(|| refused("", "minsources 4", "Can't synchronise: not enough selectable sources"));
        // `mix`, the default: an authenticated source is required and trusted where there are others too.
        scope.spawn(|| check("key 1", "", false));
        scope.spawn(|| check("key 1", "authselectmode mix", false));
        scope.spawn(|| check("key 1", "authselectmode prefer", false));
        scope.spawn(|| check("key 1", "authselectmode require", false));
        scope.spawn(|| check("key 1", "authselectmode ignore", true));
        scope.spawn(|| {
            let mut daemon = with("", "maxchange 1 0 0");
            let ended = || daemon.log().contains("exceeds the allowed maximum of 1.000 seconds (exiting)");
            assert!(eventually(PATIENCE, ended), "{}", daemon.log());
            assert!(eventually(PATIENCE, || daemon
                .process_mut()
                .0
                .try_wait()
                .is_ok_and(|end| end.is_some())));
        });
    });
    drop(honest);
}

/// Goal: a server that drifts away by 100 ppm from the start is found out by two others, before it has moved anything; alone it is
/// followed, for nobody can tell it from an oscillator that is off by as much the other way, and the frequency shows it.
#[test]
fn a_server_that_drifts_away_is_found_out() {
    let drifting = |ip: &str| TimeServer::start(ip, |ask| ask.send(&ask.reply(1e-4 * ask.age)));
    let (one, alone) = (drifting("127.0.0.1"), drifting("127.0.0.2"));
    let honest = [TimeServer::ahead("127.0.0.3", 0.0), TimeServer::ahead("127.0.0.4", 0.0)];
    let lines: String = honest.iter().chain([&one]).map(|server| line(server, "iburst")).collect();
    let watched = client(&lines);
    let led = client(&line(&alone, "iburst"));
    watched.wait("the drifting one is found", || watched.state(&one) == 'x');
    watched.wait("an honest one is followed", || honest.iter().any(|server| watched.follows(server)));
    assert!(watched.error().abs() < 2e-3, "{}", watched.chronyc(&["tracking"]));
    let frequency = || led.cell("tracking", 7).parse::<f64>().unwrap_or(0.0);
    // In parts per million; with -x the correction is only shown.
    led.wait("it is followed", || led.follows(&alone) && (70.0..130.0).contains(&frequency().abs()));
}

/// Goal: of every command with every length, over UDP, none gets an answer that is longer than itself, and none ends or changes the
/// daemon. Method: each round ends with a command that is answered; its answer comes last.
#[test]
fn commands_of_every_length_and_code_are_survived() {
    let port = free_port();
    let daemon = start(&format!("port 0\nlocal stratum 3\ncmdport {port}"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket option");
    let request = |command: u16, length: usize, number: u32, body: u8| {
        let mut bytes = vec![6, 1, 0, 0];
        bytes.extend(command.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(number.to_be_bytes());
        bytes.resize(length.max(20), 0);
        bytes[20..].fill(body);
        bytes.truncate(length);
        bytes
    };
    // Tracking (33) has 104 bytes; its answers end a round.
    let (end, mut answers) = (u32::MAX, 0);
    let mut drain = |longest: &[usize]| {
        socket.send_to(&request(33, 104, end, 0), ("127.0.0.1", port)).expect("loopback takes datagrams");
        loop {
            let mut buffer = [0; 2048];
            let (length, _) = socket.recv_from(&mut buffer).expect("the last one is answered");
            let number = u32::from_be_bytes([buffer[16], buffer[17], buffer[18], buffer[19]]);
            if number == end {
                return;
            }
            answers += 1;
            assert!(length <= longest[number as usize], "{length} bytes for {}", longest[number as usize]);
        }
    };
    for command in (0..=80).chain([255, 256, 32_768, 65_535]) {
        for body in [0, 0xff] {
            let lengths: Vec<usize> = (0..=520).chain((521..=1500).step_by(11)).collect();
            for part in lengths.chunks(40) {
                for (number, length) in part.iter().enumerate() {
                    let bytes = request(command, *length, number as u32, body);
                    socket.send_to(&bytes, ("127.0.0.1", port)).expect("loopback takes datagrams");
                }
                drain(part);
            }
        }
    }
    assert!(answers > 1000, "{answers} answers");
    let before = daemon.log();
    assert!(before.lines().count() < 10, "{before}");
    assert!(daemon.chronyc(&["tracking"]).contains("7F7F0101"), "{before}");
}

/// Goal: a symbolic link where a drift file, a dump, a measurement log, the log or the history of NTS belongs is not followed: what it
/// points to stays as it is. (pid file and socket: `a_link_in_the_place_of_a_file_is_not_followed`.)
#[test]
fn links_in_the_places_of_files_are_not_followed() {
    let server = TimeServer::ahead("127.0.0.1", 0.0);
    let folder = TempDir::new();
    let victim = folder.write("victim", "precious\n");
    std::fs::set_permissions(&victim, PermissionsExt::from_mode(0o600)).expect("it is ours");
    for place in ["drift", "dump/127.0.0.1.dat", "logs/measurements.log", "logs/tracking.log"] {
        let place = folder.join(place);
        std::fs::create_dir_all(place.parent().expect("it has one")).expect("a folder can be made");
        std::os::unix::fs::symlink(&victim, place).expect("a link can be made");
    }
    let lines = format!(
        "{}port 0\ncmdport 0\ndriftfile {{dir}}/drift\ndumpdir {{dir}}/dump\nlogdir {{dir}}/logs\nlog measurements \
         statistics tracking",
        line(&server, "iburst")
    );
    let mut daemon = start_in(folder, &lines);
    daemon.wait("it is followed", || daemon.follows(&server));
    daemon.wait("a log is written", || daemon.folder().join("logs/statistics.log").exists());
    assert!(daemon.chronyc(&["dump"]).contains("200 OK"), "{}", daemon.log());
    assert_eq!(daemon.process_mut().end(), Some(0), "{}", daemon.log());
    let intact = |victim: &Path| {
        let mode = std::fs::metadata(victim).expect("it is there").permissions().mode() & 0o777;
        (std::fs::read_to_string(victim).expect("it is there"), mode)
    };
    let precious = ("precious\n".to_owned(), 0o600);
    assert_eq!(intact(&victim), precious, "{}", daemon.log());
    for place in ["drift", "dump/127.0.0.1.dat"] {
        let found = std::fs::symlink_metadata(daemon.folder().join(place)).expect("it is there");
        assert!(found.is_file(), "{place} is no file of its own");
    }
    // The log of `-l` is refused at the start.
    let log = daemon.folder().join("log");
    std::os::unix::fs::symlink(&victim, &log).expect("a link can be made");
    let mut command = match under_test() {
        Side::Ours => ours("chronyd"),
        Side::Stock => compliance::stock_without_clock(&stock("chronyd").expect("it started above")),
    };
    let conf = daemon.folder().join("chrony.conf");
    let output = command.args(["-x", "-d", "-l"]).arg(&log).arg("-f").arg(conf).output();
    assert_eq!(output.expect("it can be started").status.code(), Some(1));
    assert_eq!(intact(&victim), precious);
}

/// Goal: a pipe in the place of any file holds nobody, at the start or later: the daemon keeps time, and says what it could not read
/// where that is asked for. (stock chronyd waits for ever at the first of them.)
#[test]
fn pipes_in_the_places_of_files_hold_nobody() {
    if under_test() == Side::Stock {
        return;
    }
    let server = TimeServer::ahead("127.0.0.1", 0.0);
    let folder = TempDir::new();
    let pipe = |place: &str| {
        let place = folder.join(place);
        std::fs::create_dir_all(place.parent().expect("it has one")).expect("a folder can be made");
        let _ = std::fs::remove_file(&place);
        assert!(Command::new("mkfifo").arg(&place).status().expect("mkfifo is there").success());
    };
    let at_the_start = [
        "drift",
        "pid",
        "rtc",
        "clock",
        "adjtime",
        "leaps",
        "sensor",
        "logs/measurements.log",
        "dump/127.0.0.1.dat",
        "nts/127.0.0.1.nts",
        "nts/ntskeys",
    ];
    at_the_start.into_iter().for_each(pipe);
    std::fs::create_dir_all(folder.join("sources")).expect("a folder can be made");
    folder.write("keys", "1 MD5 secret\n");
    let lines = format!(
        "{}port 0\ncmdport 0\ndriftfile {{dir}}/drift\nrtcfile {{dir}}/rtc\nrtcdevice {{dir}}/clock\nhwclockfile {{dir}}/adjtime\n\
         leapseclist {{dir}}/leaps\ntempcomp {{dir}}/sensor 0.05 0 0 0 0\nsourcedir {{dir}}/sources\nkeyfile {{dir}}/keys\n\
         dumpdir {{dir}}/dump\nntsdumpdir {{dir}}/nts\nlogdir {{dir}}/logs\nlog measurements statistics",
        line(&server, "iburst")
    );
    let mut daemon = start_in(folder, &lines);
    daemon.wait("it is followed", || daemon.follows(&server));
    daemon.wait("the clock is told of", || daemon.log().contains("it is a pipe, not a device"));
    daemon.wait("the sensor is told of", || daemon.log().contains("Could not read temperature"));
    daemon.wait("a log is written", || daemon.folder().join("logs/statistics.log").exists());
    for place in ["keys", "sources/b.sources", "logs/statistics.log"] {
        let place = daemon.folder().join(place);
        let _ = std::fs::remove_file(&place);
        assert!(Command::new("mkfifo").arg(&place).status().expect("mkfifo is there").success());
    }
    for command in [&["rekey"][..], &["reload", "sources"], &["cyclelogs"], &["dump"]] {
        let answer = daemon.chronyc(command);
        assert!(
            answer.starts_with("200 OK") || answer.starts_with("5"),
            "{command:?}: {answer}{}",
            daemon.log()
        );
    }
    let before = daemon.good(&server);
    daemon.wait("it goes on", || daemon.good(&server) > before + 3.0);
    assert_eq!(daemon.process_mut().end(), Some(0), "{}", daemon.log());
}

/// Goal: words of any length on chronyc's command line and in its prompt are refused in words, with the usual exit code (CVE-2018-12327:
/// a host name that overran a buffer of ntpq).
#[test]
fn words_of_any_length_are_refused_by_chronyc() {
    let daemon = start("port 0\ncmdport 0\nlocal stratum 3");
    let socket = daemon.socket().display().to_string();
    for length in [63, 64, 255, 256, 4096, 100_000] {
        let long = "a".repeat(length);
        let calls = [
            vec!["-h", &long, "tracking"],
            vec!["-h", &socket, "ntpdata", &long],
            vec!["-h", &socket, "add", "server", &long],
            vec!["-h", &socket, "delete", &long],
            vec!["-h", &socket, &long],
        ];
        for words in calls {
            let output = ours("chronyc").args(&words).output().expect("chronyc can be started");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some_and(|code| code <= 1), "{:?}: {said}", output.status);
            assert!(!said.contains("panicked"), "{said}");
        }
    }
    assert!(daemon.chronyc(&["tracking"]).contains("7F7F0101"), "{}", daemon.log());
}

/// Goal: the sockets of chronyc and of the daemon get their modes when they are made: whoever puts a link in the place of one does not
/// have that link's target opened for others. Method: the calls are listed by strace.
#[test]
fn sockets_are_not_opened_by_a_chmod() {
    let Some(strace) = stock_or_skip("strace") else { return };
    let daemon = start("port 0\ncmdport 0\nlocal stratum 3");
    let calls = |words: &[&str]| {
        let trace = daemon.folder().join("trace");
        let output = Command::new(&strace)
            .args(["-f", "-e", "trace=bind,chmod,fchmod,fchmodat", "-o"])
            .arg(&trace)
            .arg(compliance::banto())
            .args(words)
            .env("BANTO_CLOCK_READ_ONLY", "1")
            .output();
        assert!(output.expect("strace can be started").status.success(), "{words:?}");
        std::fs::read_to_string(trace).expect("strace wrote it")
    };
    let dir = daemon.folder().path().display();
    let client = calls(&["chronyc", "-h", &format!("{dir}/cmd/sock"), "tracking"]);
    assert!(client.contains("/cmd/chronyc."), "{client}");
    let (pid, socket) = (format!("pidfile {dir}/pid2"), format!("bindcmdaddress {dir}/cmd/other"));
    let server =
        calls(&["chronyd", "-x", "-d", "-t", "1", "port 0", "cmdport 0", "user root", &pid, &socket]);
    assert!(server.contains("/cmd/other"), "{server}");
    for calls in [client, server] {
        assert!(!calls.contains("chmod"), "{calls}");
    }
}
