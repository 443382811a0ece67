//! The rarer directives of the time daemon, beside chrony where both have them.
//!
//! Every daemon here runs with `-x`; the stock ones also without `CAP_SYS_TIME`. With `BANTO_UNDER_TEST=stock` the stock
//! daemon stands where ours stands by default.

use compliance::time_server::TimeServer;
use compliance::{Chronyd, Running, Side, TempDir, chronyd, eventually, free_port, under_test};
use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, SystemTime};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// The program under test with these lines; `{dir}` stands for its folder.
fn start(lines: &str) -> Chronyd {
    start_in(TempDir::new(), lines, &[])
}

/// The same in a folder that is there and with more options. Our chronyc reads it: of these reports it prints what the stock one
/// does.
fn start_in(folder: TempDir, lines: &str, options: &[&str]) -> Chronyd {
    let lines = format!("{lines}\ncmdport 0");
    let daemon = Chronyd::start_as(folder, under_test(), &lines, |mut command| {
        command.args(options);
        command
    });
    daemon.read_by(Side::Ours).waited_for(PATIENCE)
}

/// Goal: `initstepslew` asks its servers at the start, steps by what the majority says, drops them, and goes on with the usual
/// sources, for which nothing is left to correct. Without a server that answers it says so and goes on.
#[test]
fn initstepslew_sets_the_clock_before_all_else() {
    let id = std::process::id();
    let own = |last: u8| Ipv4Addr::new(127, 64 + (id >> 8 & 63) as u8, id as u8, last);
    let servers = [(1, 100.0), (2, -500.0), (3, 100.0)].map(|(last, ahead)| {
        TimeServer::try_at(&own(last).to_string(), 123, move |ask| ask.send(&ask.reply(ahead)))
    });
    if servers.iter().any(Result::is_err) {
        compliance::skip("port 123 cannot be bound here");
        return;
    }
    let usual = TimeServer::ahead("127.0.0.1", 100.0);
    let hosts = format!("{} {} {}", own(1), own(2), own(3));
    let port = usual.address.port();
    let lines = |threshold: &str| {
        format!(
            "initstepslew {threshold} {hosts}\nserver 127.0.0.1 port {port} minpoll 0 maxpoll 0 iburst\nport 0\n"
        )
    };
    let daemon = start(&lines("30"));
    let said = || daemon.log();
    assert!(eventually(PATIENCE, || said().contains("System's initial offset")), "{}", said());
    assert!(
        said().contains("System's initial offset : 100.0")
            || said().contains("System's initial offset : 99.9"),
        "{}",
        said()
    );
    assert!(said().contains("slow of true (step)"), "{}", said());
    let sources = daemon.wait_for(&["-c", "sources"], "the usual source alone", |text| {
        text.lines().count() == 1 && text.contains("^,*,127.0.0.1,")
    });
    let offset: f64 = sources.split(',').nth(7).and_then(|text| text.parse().ok()).expect("an offset");
    assert!(offset.abs() < 1.0, "{sources}");
    drop(daemon);

    let slewed = start(&lines("300"));
    assert!(eventually(PATIENCE, || slewed.log().contains("slow of true (slew)")), "{}", slewed.log());
    drop(slewed);

    drop(servers);
    let alone = start(&lines("30"));
    assert!(
        eventually(PATIENCE, || alone.log().contains("No suitable source for initstepslew")),
        "{}",
        alone.log()
    );
    alone.wait_for(&["-c", "sources"], "the usual source", |text| text.contains("^,*,127.0.0.1,"));
}

/// Goal: a source that is added while `initstepslew` waits for servers that never answer is not dropped with them.
#[test]
fn what_is_added_during_initstepslew_stays() {
    let id = std::process::id();
    let silent = (Ipv4Addr::new(127, 64 + (id >> 8 & 63) as u8, id as u8, 9), 123);
    let Ok(_silent) = UdpSocket::bind(silent) else {
        compliance::skip("port 123 cannot be bound here");
        return;
    };
    let usual = TimeServer::ahead("127.0.0.1", 0.0);
    let port = usual.address.port();
    let daemon = start(&format!("initstepslew 30 {}\nport 0\n", silent.0));
    let added = daemon.chronyc(&["add", "server", "127.0.0.1", "port", &port.to_string(), "iburst"]);
    assert!(
        added.contains("200 OK") && !daemon.log().contains("No suitable source"),
        "{added}{}",
        daemon.log()
    );
    assert!(
        eventually(PATIENCE, || daemon.log().contains("No suitable source for initstepslew")),
        "{}",
        daemon.log()
    );
    daemon.wait_for(&["-c", "sources"], "the source that was added", |text| text.contains("^,*,127.0.0.1,"));
}

/// Goal: a machine without a real-time clock keeps time all the same: `rtcfile` is told to be in vain, `-s` takes the drift file's age,
/// and the commands say that no real-time clock is followed; `rtcsync` beside `rtcfile` ends the start.
#[test]
fn a_missing_real_time_clock_is_told() {
    let folder = TempDir::new();
    let drift = folder.write("drift", "1.0 1.0\n");
    let ahead = SystemTime::now() + Duration::from_secs(5000);
    File::options()
        .append(true)
        .open(drift)
        .and_then(|file| file.set_modified(ahead))
        .expect("its age can be set");
    let lines = "rtcfile {dir}/rtc\nrtcdevice {dir}/none\nrtconutc\nhwclockfile /none\nrtcautotrim 2\nlog rtc\nlogdir {dir}\n\
                 driftfile {dir}/drift\nport 0\n";
    let daemon = start_in(folder, lines, &["-s"]);
    let said = |what: &str| eventually(PATIENCE, || daemon.log().contains(what));
    assert!(said("RTC driver could not be initialised"), "{}", daemon.log());
    for words in [["rtcdata"], ["trimrtc"], ["writertc"]] {
        assert_eq!(daemon.chronyc(&words).trim(), "513 RTC driver not running", "{words:?}");
    }
    // The stock daemon has no clock of its own with -x that it could step.
    if under_test() == Side::Ours {
        assert!(said("System clock set from RTC by"), "{}", daemon.log());
    }

    let folder = TempDir::new();
    let output = chronyd(under_test(), folder.path())
        .args(["-d", "rtcsync", "rtcfile /tmp/rtc", "port 0", "cmdport 0", "user root"])
        .arg(format!("bindcmdaddress {}", folder.join("s").display()))
        .arg(format!("pidfile {}", folder.join("p").display()))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("rtcfile") && said.contains("rtcsync"), "{said}");
}

/// Goal: the process that holds the clock takes the real-time clock's device, starts under its filter of system calls with it, and
/// answers the verb; a moment that there is not is refused. It rehearses: no clock of this machine is set.
#[test]
fn the_clock_process_takes_a_real_time_clock() {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    let (mut line, theirs) = std::os::unix::net::UnixStream::pair().expect("a pair");
    line.set_read_timeout(Some(PATIENCE)).expect("a socket takes one");
    let mut command = compliance::ours("chronyd");
    command.args(["--clock-process", "rehearse", "paged", "1000", "1000", "rtc", ""]);
    command.stdin(OwnedFd::from(theirs)).stdout(File::open("/dev/null").expect("it is there"));
    let _process = Running::start(&mut command);
    drop(command);
    for (date, expected) in [(20_261_122_i64, 0_i64), (20_260_230, 22), (20_261_122, 0)] {
        let request: Vec<u8> =
            [6, date, 161_734, 0, 0, 0].iter().flat_map(|number: &i64| number.to_ne_bytes()).collect();
        line.write_all(&request).expect("it listens");
        let mut reply = [0; 24];
        line.read_exact(&mut reply).expect("it answers");
        assert_eq!(reply[..8], expected.to_ne_bytes(), "{date}");
    }
}

/// Goal: `tempcomp` compensates by both forms of its curve, logs it in chrony's columns, says when it cannot, and ends with a file of
/// points that is none. Method: what the log file has is what the program under test made of the sensor's values.
#[test]
fn a_temperature_is_compensated() {
    let check = |curve: &str, sensor: &str, compensation: f64| {
        let folder = TempDir::new();
        folder.write("sensor", sensor);
        folder.write("points", "20000 1.0\n21000 0.64\n22000 0.36\n");
        let daemon = start_in(
            folder,
            &format!("tempcomp {{dir}}/sensor 0.1 {curve}\nlogdir {{dir}}\nlog tempcomp\nport 0\n"),
            &[],
        );
        let log = || std::fs::read_to_string(daemon.folder().join("tempcomp.log")).unwrap_or_default();
        assert!(eventually(PATIENCE, || log().lines().count() > 4), "{}\n{}", log(), daemon.log());
        let text = log();
        assert!(text.contains("   Date (UTC) Time        Temp.       Comp."), "{text}");
        let line = text.lines().nth(4).expect("a line");
        assert_eq!(line.len(), 43, "{line:?}");
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| words[index].parse::<f64>().expect("a number");
        assert!((number(2) - sensor.trim().parse::<f64>().expect("a number")).abs() < 0.5, "{line}");
        // The stock daemon says what its kernel's resolution left of it.
        assert!((number(3) - compensation).abs() < 1e-3, "{line}");
    };
    check("26000 0.5 0.000183 0", "27000\n", 0.683);
    check("{dir}/points", "21500", 0.5);
    let folder = TempDir::new();
    folder.write("sensor", "99000");
    let daemon = start_in(folder, "tempcomp {dir}/sensor 0.1 0 0 1 0\nport 0\n", &[]);
    let said = |what: &str| eventually(PATIENCE, || daemon.log().contains(what));
    assert!(
        said("Temperature compensation of 99000.000 ppm exceeds sanity limit of 10.0"),
        "{}",
        daemon.log()
    );
    daemon.folder().write("sensor", "");
    // Ours said once that it is of no use.
    if under_test() == Side::Stock {
        assert!(said("Could not read temperature from"), "{}", daemon.log());
    }
    let folder = TempDir::new();
    let points = folder.write("points", "20000 1.0\n");
    let output = chronyd(under_test(), folder.path())
        .args(["-d", "port 0", "cmdport 0", "user root"])
        .arg(format!("tempcomp /dev/null 1 {}", points.display()))
        .arg(format!("bindcmdaddress {}", folder.join("s").display()))
        .arg(format!("pidfile {}", folder.join("p").display()))
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("points"), "{said}");
}

/// A client's request, answered by the daemon on this port of loopback.
fn ask(port: u16, request: &[u8]) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket takes one");
    socket.send_to(request, (Ipv4Addr::LOCALHOST, port)).expect("loopback is there");
    let mut reply = [0; 1024];
    socket.recv(&mut reply).ok().map(|length| reply[..length].to_vec())
}

/// Goal: `broadcast` sends the server's time in mode 5 at its interval, and `clockprecision` is what the server says of its clock.
#[test]
fn time_is_broadcast_with_the_precision_that_was_set() {
    let (port, heard) = (free_port(), UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
    heard.set_read_timeout(Some(PATIENCE)).expect("a socket takes one");
    let to = heard.local_addr().expect("it is bound").port();
    let _daemon = start(&format!(
        "port {port}\nallow 127.0.0.1\nbindaddress 127.0.0.1\nlocal stratum 5\nbroadcast 2 127.0.0.1 {to}\nclockprecision 8e-9\n"
    ));
    let mut packet = [0; 1024];
    let mut stamps = Vec::new();
    for _ in 0..2 {
        let (length, from) = heard.recv_from(&mut packet).expect("it is broadcast");
        assert_eq!((length, from.port()), (48, port));
        // No leap second, version 4, mode 5; stratum, poll and precision.
        assert_eq!(packet[..4], [0x25, 5, 1, 0xe5]);
        assert_eq!(packet[24..40], [0; 16], "it answers nobody");
        stamps.push(u32::from_be_bytes(packet[40..44].try_into().expect("four")));
    }
    assert!((1..=4).contains(&(stamps[1] - stamps[0])), "{stamps:?}");
    let mut request = [0; 48];
    (request[0], request[40]) = (0x23, 1);
    let reply = ask(port, &request).expect("it answers");
    assert_eq!(reply[3], 0xe5);
}

/// Goal: a client of a domain gets its reply with the signature of Samba's `ntp_signd`; what Samba does not sign is not answered; while
/// it is away that is said, and other clients are served.
#[test]
fn replies_are_signed_by_samba() {
    use std::io::{Read, Write};
    let port = free_port();
    let folder = TempDir::new();
    let samba = folder.join("samba");
    std::fs::create_dir(&samba).expect("a folder");
    let daemon = start_in(
        folder,
        &format!(
            "port {port}\nallow 127.0.0.1\nbindaddress 127.0.0.1\nlocal stratum 5\nntpsigndsocket {{dir}}/samba\n"
        ),
        &[],
    );
    let request = |account: u32| {
        let mut bytes = vec![0; 68];
        (bytes[0], bytes[40]) = (0x1b, 1);
        bytes[48..52].copy_from_slice(&account.to_be_bytes());
        bytes
    };
    assert_eq!(ask(port, &request(1105)), None, "nobody signs");
    let said = || daemon.log().contains("Could not connect to signd socket");
    // chrony 4.3 says nothing of it yet.
    assert!(under_test() == Side::Stock || eventually(PATIENCE, said), "{}", daemon.log());
    let listener = std::os::unix::net::UnixListener::bind(samba.join("socket")).expect("a socket");
    let signd = std::thread::spawn(move || {
        let (mut line, _) = listener.accept().expect("it comes");
        let mut asked = Vec::new();
        for _ in 0..2 {
            let mut bytes = [0; 68];
            line.read_exact(&mut bytes).expect("a request");
            asked.push(bytes);
            // Samba signs for one account and not for the other.
            let signs = bytes[16..20] == 1105_u32.to_be_bytes();
            let mut answer =
                vec![0, 0, 0, if signs { 80 } else { 12 }, 0, 0, 0, 0, 0, 0, 0, if signs { 3 } else { 4 }];
            answer.extend([0, 0]);
            answer.extend(&bytes[12..14]);
            if signs {
                answer.extend(&bytes[20..]);
                answer.extend(1105_u32.to_be_bytes());
                answer.extend([0xab; 16]);
            }
            line.write_all(&answer).expect("it listens");
        }
        asked
    });
    let reply = ask(port, &request(1105)).expect("it is signed");
    assert_eq!(reply.len(), 68);
    // Version 3, mode 4, stratum 5, our random number, the account, the signature.
    assert_eq!((reply[0] & 0x3f, reply[1], reply[24]), (0x1c, 5, 1));
    assert_eq!(reply[48..52], 1105_u32.to_be_bytes());
    assert_eq!(reply[52..], [0xab; 16]);
    assert_eq!(ask(port, &request(9)), None, "an account that Samba does not know");
    let asked = signd.join().expect("it ends");
    for bytes in asked {
        assert_eq!(bytes[..12], [0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let mut plain = [0; 48];
    (plain[0], plain[40]) = (0x23, 1);
    assert_eq!(ask(port, &plain).expect("it answers").len(), 48);
}

/// Goal: sources whose stratum is not within `minstratum` and `maxstratum` are not followed; the log says so once, `selectdata` has the
/// letter for it, and `banto time explain` the sentence.
#[test]
fn strata_outside_of_the_limits_are_not_followed() {
    if under_test() == Side::Stock {
        return compliance::skip("minstratum and maxstratum are newer than the stock daemon");
    }
    let server = TimeServer::ahead("127.0.0.1", 0.0);
    let source = server.line("iburst minpoll -2 maxpoll -2");
    let stratum = 1;
    for (limits, said) in [
        ("minstratum 4\nmaxstratum 6", Some("below minstratum of 4")),
        ("maxstratum 0", Some("above maxstratum of 0")),
        ("minstratum 1\nmaxstratum 1", None),
    ] {
        let client = start(&format!("{source}\n{limits}\nport 0"));
        let letter = if said.is_some() { "r," } else { "*," };
        client.wait_for(&["-c", "selectdata"], letter, |text| text.starts_with(letter));
        let Some(said) = said else { continue };
        let whole = format!("Stratum of 127.0.0.1 {said}");
        client.wait("it is told", || client.log().contains(&whole));
        assert_eq!(client.log().matches("Stratum of").count(), 1, "{}", client.log());
        assert!(client.chronyc(&["-c", "sources"]).starts_with("^,?,127.0.0.1,"), "{}", client.log());
        let mut command = std::process::Command::new(compliance::banto());
        command.arg("--dir").arg(client.folder().path()).args(["time", "explain"]).env("LC_ALL", "C.UTF-8");
        let explained = String::from_utf8_lossy(&command.output().expect("banto starts").stdout).into_owned();
        let sentence = format!("its stratum {stratum} is not within minstratum and maxstratum");
        assert!(explained.contains(&sentence), "{explained}");
    }
}

/// Goal: with `-N` the daemon writes one newline to the descriptor when it serves, and closes it; a descriptor that nobody opened ends the
/// start with what to type.
#[test]
fn a_supervisor_is_told_when_the_daemon_serves() {
    if under_test() == Side::Stock {
        return compliance::skip("-N is newer than the stock daemon");
    }
    let folder = TempDir::new();
    let told = folder.path().join("told");
    assert!(std::process::Command::new("mkfifo").arg(&told).status().expect("mkfifo is there").success());
    let reader = std::thread::spawn({
        let told = told.clone();
        // To the end: it comes only when nobody has the other end any more.
        move || std::fs::read(told).expect("it can be read")
    });
    let daemon = Chronyd::start_as(folder, Side::Ours, "port 0\ncmdport 0", |command| {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(format!("exec \"$0\" \"$@\" 7>{}", told.display()));
        shell.arg(command.get_program()).args(command.get_args()).args(["-N", "7"]);
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell
    });
    daemon.wait("it is told", || reader.is_finished());
    assert_eq!(reader.join().expect("it reads"), b"\n", "{}", daemon.log());
    let conf = daemon.folder().path().join("chrony.conf");
    let output = chronyd(Side::Ours, daemon.folder().path()).args(["-d", "-N", "9", "-f"]).arg(conf).output();
    let output = output.expect("it starts");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaint.contains("option -N: descriptor 9 cannot be used"), "{complaint}");
    assert!(complaint.contains("\nhelp: ") && !output.status.success(), "{complaint}");
}
