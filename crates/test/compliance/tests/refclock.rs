//! Reference clocks against chrony's: the same samples, by shared memory and by socket, to the stock daemon and to ours.
//!
//! Every daemon here runs with `-x`; the stock one also without `CAP_SYS_TIME`.

use compliance::{Chronyd, Side, TempDir, chronyd, eventually, stock_or_skip, under_test};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sys::shm::Segment;

/// Longer than anything here takes: polls are one second.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between two samples.
const PERIOD: Duration = Duration::from_millis(100);
/// "NTP0", the key of unit 0.
const SHM_KEY: i32 = 0x4e54_5030;
/// The number that says that a datagram is a sample.
const SOCK_MAGIC: i32 = 0x534f_434b;

/// Without a server and with these lines; it is waited for until it follows this source: the lines of `sources`, `tracking` and
/// `sourcestats`.
fn selected(daemon: &Chronyd, reference_id: &str) -> [Vec<String>; 3] {
    daemon.wait(&format!("{reference_id} is not followed"), || {
        row(daemon, "sources", reference_id).get(1).is_some_and(|state| state == "*")
    });
    ["sources", "tracking", "sourcestats"].map(|report| row(daemon, report, reference_id))
}

/// The row of a report that has this cell.
fn row(daemon: &Chronyd, report: &str, cell: &str) -> Vec<String> {
    let rows = daemon.rows(&[report]);
    rows.into_iter().find(|row| row.iter().any(|found| found == cell)).unwrap_or_default()
}

/// What `-Q` says that the clock is wrong by.
fn measure(side: Side, folder: &TempDir, lines: &[String]) -> f64 {
    let mut command = chronyd(side, folder.path());
    let pid_file = format!("pidfile {}", folder.join("pid-once").display());
    command.args(["-Q", "-t", "25"]).args(lines).args([&pid_file, "port 0", "cmdport 0", "user root"]);
    let output = command.output().expect("chronyd can be started");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.split_once("System clock wrong by ")
        .and_then(|(_, rest)| rest.split_once(" seconds"))
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or_else(|| panic!("no offset: {text}"))
}

/// Calls `write` again and again while `test` runs.
fn while_writing(mut write: impl FnMut() + Send, test: impl FnOnce()) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, _guard) = (&stop, Stop(&stop));
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                write();
                std::thread::sleep(PERIOD);
            }
        });
        test();
    });
}

/// A segment's number that no other test of this machine has at this moment, most likely.
fn unit(number: u32) -> u32 {
    16 + (std::process::id() % 60) * 4 % 236 + number
}

/// Writes a sample as gpsd does: the clock's time is ours and `offset` more.
fn write_shm(segment: &Segment, mode: i32, offset_nanos: i64) {
    let now = sys::clock::realtime_ns();
    let clock = now + offset_nanos;
    let count = segment.i32_at(4);
    segment.set_i32_at(48, 0);
    segment.set_i32_at(0, mode);
    segment.set_i32_at(4, count.wrapping_add(1));
    sys::shm::fence();
    for (at, nanos, fraction) in [(8, clock, 52), (24, now, 56)] {
        let rest = nanos.rem_euclid(1_000_000_000) as i32;
        segment.set_i64_at(at, nanos.div_euclid(1_000_000_000));
        segment.set_i32_at(at + 8, rest / 1000);
        segment.set_i32_at(fraction, rest);
    }
    segment.set_i32_at(36, 0);
    segment.set_i32_at(40, -20);
    sys::shm::fence();
    segment.set_i32_at(4, count.wrapping_add(2));
    segment.set_i32_at(48, 1);
}

fn datagram(at: i64, offset: f64, pulse: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(at.div_euclid(1_000_000_000).to_ne_bytes());
    bytes.extend((at.rem_euclid(1_000_000_000) / 1000).to_ne_bytes());
    bytes.extend(offset.to_ne_bytes());
    for number in [pulse, 0, 0, SOCK_MAGIC] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes
}

fn send(socket: &UnixDatagram, path: &Path, bytes: &[u8]) {
    // Before the daemon listens nobody does.
    let _ = socket.send_to(bytes, path);
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 2e-3, "{found} where {expected} was expected");
}

/// Goal: samples in shared memory, of either mode, are followed, shown as chrony shows them, and give the offset that chrony finds.
#[test]
fn shared_memory_is_read() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    for (mode, number, side) in [(0, 0, under_test()), (1, 1, under_test()), (1, 2, Side::Stock)] {
        let key = SHM_KEY + i32::try_from(unit(number)).expect("small");
        let segment = Segment::attach(key, 96, 0o600).expect("this host has shared memory");
        // Gone with the last of its users.
        struct Gone(i32);
        impl Drop for Gone {
            fn drop(&mut self) {
                let _ = sys::shm::remove(self.0);
            }
        }
        let _gone = Gone(key);
        let line = format!("refclock SHM {} poll 0 dpoll -3 refid GPS delay 0.01 offset 0.05", unit(number));
        while_writing(
            move || write_shm(&segment, mode, 200_000_000),
            || {
                near(measure(side, &TempDir::new(), std::slice::from_ref(&line)), 0.25);
                let logs = "logdir {dir}\nlog refclocks statistics";
                let daemon = Chronyd::client(side, &format!("{line}\n{logs}"));
                let [sources, tracking, statistics] = selected(&daemon, "GPS");
                assert_eq!(sources[..5], ["#", "*", "GPS", "0", "0"], "{sources:?}");
                assert_eq!(tracking[..3], ["47505300", "GPS", "1"], "{tracking:?}");
                assert_eq!(statistics[0], "GPS", "{statistics:?}");
                let delay: f64 = tracking[10].parse().expect("a number");
                assert!((delay - 0.01).abs() < 1e-6, "{tracking:?}");
                let log = daemon.folder().join("refclocks.log");
                let lines = || std::fs::read_to_string(&log).unwrap_or_default();
                let wanted = |part: &str| lines().lines().any(|line| line.contains(part));
                assert!(eventually(PATIENCE, || wanted(" GPS     - N -       -")), "{}", lines());
                assert!(wanted(" N 0  2.00"), "{}", lines());
            },
        );
    }
}

/// Goal: datagrams are followed alike, and those that are none are ignored; pulses with the second of another clock
/// are completed as chrony completes them.
#[test]
fn sockets_are_read() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    for side in [under_test(), Side::Stock] {
        let folder = TempDir::new();
        let path = |name: &str| -> PathBuf { folder.join(name) };
        let (full, pulses) = (path("full.sock"), path("pulses.sock"));
        let lines = [
            format!("refclock SOCK {} poll 0 refid NMEA noselect offset -1", full.display()),
            format!("refclock SOCK {} poll 0 refid PPS lock NMEA", pulses.display()),
        ];
        let socket = UnixDatagram::unbound().expect("a socket can be made");
        let mut round = 0_u32;
        let write = || {
            round += 1;
            let now = sys::clock::realtime_ns();
            send(&socket, &full, &datagram(now, 3.26, 0));
            let mut wrong = datagram(now, 9.0, 0);
            match round % 4 {
                0 => wrong.truncate(39),
                1 => wrong.push(0),
                2 => wrong[36] ^= 1,
                _ => wrong = datagram(i64::MAX, f64::NAN, 0),
            }
            send(&socket, &full, &wrong);
            if round.is_multiple_of(2) {
                send(&socket, &pulses, &datagram(now + 1, PULSE, 1));
            }
        };
        while_writing(write, || {
            near(measure(side, &folder, &lines), 2.25);
            let daemon = Chronyd::client(side, &lines.join("\n"));
            let [sources, tracking, _] = selected(&daemon, "PPS");
            assert_eq!(sources[..4], ["#", "*", "PPS", "0"], "{sources:?}");
            assert_eq!(tracking[..3], ["50505300", "PPS", "1"], "{tracking:?}");
            let rows = daemon.rows(&["sources"]);
            assert_eq!(rows.len(), 2);
            assert_eq!(rows[0][..3], ["#", "?", "NMEA"], "{rows:?}");
        });
    }
}

/// Goal: `selectopts` and `offset` find a reference clock by its id, and an id that nobody has is no source. The packaged chrony
/// does not know these two commands yet, so this is about ours alone.
#[test]
fn reference_clocks_are_changed_by_their_ids() {
    if under_test() == Side::Stock {
        return;
    }
    let folder = TempDir::new();
    let path = folder.join("gps.sock");
    let socket = UnixDatagram::unbound().expect("a socket can be made");
    let write = || send(&socket, &path, &datagram(sys::clock::realtime_ns(), 0.0, 0));
    while_writing(write, || {
        let line = format!("refclock SOCK {} poll 0 filter 1 refid GPS", path.display());
        let daemon = Chronyd::client(Side::Ours, &line).read_by(Side::Ours);
        selected(&daemon, "GPS");
        for (words, expected) in [
            ("selectopts GPS +noselect +prefer", "200 OK"),
            ("offset GPS 0.1", "200 OK"),
            ("selectopts PPS +noselect", "503 No such source"),
            ("offset PPS 0.1", "503 No such source"),
        ] {
            let words: Vec<&str> = words.split(' ').collect();
            assert_eq!(daemon.chronyc(&words).trim_end(), expected, "{words:?}");
        }
        daemon.wait("the options are not shown", || {
            row(&daemon, "selectdata", "GPS").get(3..5).is_some_and(|options| options == ["N", "P"])
        });
        // A clock that shows less than it should: what comes from now on is off by the correction.
        daemon.wait("the offset is not corrected", || {
            let offset = row(&daemon, "sources", "GPS").get(8).and_then(|cell| cell.parse::<f64>().ok());
            offset.is_some_and(|offset| (offset.abs() - 0.1).abs() < 0.02)
        });
        assert_eq!(daemon.chronyc(&["selectopts", "GPS", "-noselect"]).trim_end(), "200 OK");
        selected(&daemon, "GPS");
        for said in ["Source GPS new offset 0.100000", "Source GPS selection options modified"] {
            assert!(daemon.log().contains(said), "{said}: {}", daemon.log());
        }
    });
}

/// Goal: what `banto time set` shows turns a reference clock off, which goes on being read, and on again; a daemon without servers refuses
/// `offline`, and that would be the end of a line of several commands.
#[test]
fn a_reference_clock_is_turned_off_and_on() {
    if under_test() == Side::Stock {
        return;
    }
    let folder = TempDir::new();
    let path = folder.join("gps.sock");
    let socket = UnixDatagram::unbound().expect("a socket can be made");
    let write = || send(&socket, &path, &datagram(sys::clock::realtime_ns(), 0.0, 0));
    while_writing(write, || {
        let line = format!("refclock SOCK {} poll 0 filter 1 refid GPS", path.display());
        let daemon = Chronyd::client(Side::Ours, &line).read_by(Side::Ours);
        selected(&daemon, "GPS");
        assert!(daemon.chronyc(&["-m", "offline", "reset sources"]).starts_with("503 "));
        let off = ["-m", "selectopts GPS +noselect", "reset sources"];
        assert_eq!(daemon.chronyc(&off), "200 OK\n200 OK\n");
        let state = || row(&daemon, "sources", "GPS");
        daemon.wait("it is not read any more", || state().get(5).is_some_and(|reach| reach != "0"));
        // It would have been followed again by now.
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(state().get(1).map(String::as_str), Some("?"), "{:?}", state());
        assert_eq!(daemon.chronyc(&["-m", "selectopts GPS -noselect"]), "200 OK\n");
        selected(&daemon, "GPS");
    });
}

/// What our clock shows beyond the second at a pulse of [`sockets_are_read`]: chrony's sign, the opposite of a whole sample's.
const PULSE: f64 = 0.75;

/// Goal: the options that change what a sample means give the offset that chrony gives them: the second of another clock at another
/// rate, old locks, filters, TAI.
#[test]
fn options_mean_what_chrony_means() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    if under_test() == Side::Stock {
        return compliance::skip("ours is compared with the stock daemon here");
    }
    let full = "refclock SOCK {dir}/full.sock poll 0 refid NMEA";
    let pulses = "refclock SOCK {dir}/pulses.sock poll 0 refid PPS";
    std::thread::scope(|scope| {
        for lines in [
            vec![format!("{full} offset 0.125 delay 0.01 stratum 3 filter 4 maxdispersion 1 precision 1e-6")],
            vec![format!("{full} tai"), "leapsectz right/UTC".to_owned()],
            vec![format!("{full} noselect"), format!("{pulses} lock NMEA rate 5 maxlockage 100")],
            vec![format!("{full} noselect"), format!("{pulses} lock NMEA width 0.2 filter 8")],
        ] {
            scope.spawn(move || {
                let found = [Side::Ours, Side::Stock].map(|side| {
                    let folder = TempDir::new();
                    let dir = folder.path().display().to_string();
                    let lines: Vec<String> = lines.iter().map(|line| line.replace("{dir}", &dir)).collect();
                    let socket = UnixDatagram::unbound().expect("a socket can be made");
                    let (full, pulses) = (folder.join("full.sock"), folder.join("pulses.sock"));
                    let mut offset = 0.0;
                    let write = || {
                        let now = sys::clock::realtime_ns();
                        send(&socket, &full, &datagram(now, 3.26, 0));
                        send(&socket, &pulses, &datagram(now + 1, PULSE, 1));
                    };
                    while_writing(write, || offset = measure(side, &folder, &lines));
                    offset
                });
                near(found[0], found[1]);
            });
        }
    });
}

/// Goal: pulses without a lock, and whole samples that are to be treated as pulses, are completed by what is known of the time: by
/// another source, with its stratum gone, or by the host itself with `local` and its stratum; without either they are followed by
/// nobody. As by the stock daemon.
#[test]
fn pulses_are_completed_by_the_time() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let full = "refclock SOCK {dir}/full.sock poll 0 refid NMEA delay 0.2 stratum 5";
    let pulses = "refclock SOCK {dir}/pulses.sock poll 0 refid PPS prefer";
    std::thread::scope(|scope| {
        for (lines, pulse, stratum) in [
            (format!("{full}\n{pulses}"), 1, Some("1")),
            (format!("{full}\n{pulses} pps"), 0, Some("1")),
            (format!("{pulses}\nlocal stratum 7"), 1, Some("7")),
            (pulses.to_owned(), 1, None),
        ] {
            for side in [under_test(), Side::Stock] {
                let lines = lines.clone();
                scope.spawn(move || {
                    let folder = Arc::new(TempDir::new());
                    let socket = UnixDatagram::unbound().expect("a socket can be made");
                    let (full, pulses) = (folder.join("full.sock"), folder.join("pulses.sock"));
                    let write = || {
                        let now = sys::clock::realtime_ns();
                        send(&socket, &full, &datagram(now, 0.02, 0));
                        // A whole sample may be any number of seconds off.
                        let shown = if pulse == 1 { -0.021 } else { 37.021 };
                        send(&socket, &pulses, &datagram(now + 1, shown, pulse));
                    };
                    while_writing(write, || {
                        let lines = format!("{lines}\nport 0\ncmdport 0\nlogdir {{dir}}\nlog refclocks");
                        let daemon = Chronyd::start_in(Arc::clone(&folder), side, &lines);
                        match stratum {
                            Some(stratum) => {
                                let [_, tracking, _] = selected(&daemon, "PPS");
                                assert_eq!(tracking[..3], ["50505300", "PPS", stratum], "{side:?} {lines}");
                                let shown: f64 = row(&daemon, "sources", "PPS")[8].parse().expect("a number");
                                assert!(shown.abs() < 0.1, "{side:?} {lines}: {shown}");
                            }
                            None => {
                                let sent = || row(&daemon, "sources", "PPS");
                                daemon.wait("it is not asked", || {
                                    sent().get(3).is_some_and(|poll| poll == "0")
                                });
                                std::thread::sleep(20 * PERIOD);
                                assert_eq!(sent()[1..6], ["?", "PPS", "0", "0", "0"], "{side:?}");
                            }
                        }
                    });
                });
            }
        }
    });
}

/// Goal: a clock that is only steadier (`local`, which the stock daemon of these tests does not know) is read, logged without a leap
/// status and never followed for its time, whatever it shows; the other source is.
#[test]
fn a_steadier_clock_is_no_source_of_time() {
    if under_test() == Side::Stock {
        return compliance::skip("chronyd 4.3 has no such option");
    }
    let folder = Arc::new(TempDir::new());
    let socket = UnixDatagram::unbound().expect("a socket can be made");
    let (full, steady) = (folder.join("full.sock"), folder.join("steady.sock"));
    let write = || {
        let now = sys::clock::realtime_ns();
        send(&socket, &full, &datagram(now, 0.02, 0));
        send(&socket, &steady, &datagram(now, 1234.5, 0));
    };
    while_writing(write, || {
        let lines = "refclock SOCK {dir}/full.sock poll 0 refid NMEA\n\
            refclock SOCK {dir}/steady.sock poll 0 refid TCXO local\n\
            port 0\ncmdport 0\nlogdir {dir}\nlog refclocks";
        let daemon = Chronyd::start_in(Arc::clone(&folder), Side::Ours, lines);
        selected(&daemon, "NMEA");
        daemon.wait("it is not measured", || {
            row(&daemon, "selectdata", "TCXO").first().is_some_and(|state| state == "s")
        });
        assert_eq!(row(&daemon, "sources", "TCXO")[..2], ["#", "?"]);
        let log = std::fs::read_to_string(folder.join("refclocks.log")).unwrap_or_default();
        assert!(log.lines().any(|line| line.contains(" TCXO ") && line.contains(" ? 1 ")), "{log}");
        assert!(!log.lines().any(|line| line.contains(" TCXO ") && line.contains(" N ")), "{log}");
    });
}
