//! Network Time Security against stock chronyd, in both directions: keys and cookies, certificates that are no good, restarts with
//! what was kept, a change of the daemon under the same folder, and servers that mean harm.
//!
//! Every daemon runs with `-x`; the stock ones also without `CAP_SYS_TIME`. Certificates are made by the `openssl` command.

use compliance::{
    Chronyd, Running, Side, TempDir, at_once, eventually, free_port, pairs, skip, stock_or_skip, under_test,
};
use ntp_proto::nts::{
    AeadAlgorithm, Association, COOKIES_MAX, CookieKeys, EstablishedKeys, PROTECT_RANDOM_BYTES, SessionKeys,
};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(40);
/// An establishment is given up after 16 s.
const HANG: Duration = Duration::from_secs(30);

/// An authority and a certificate of a server, in a folder.
struct Certificates(TempDir);

impl Certificates {
    /// A certificate for `names` (as openssl writes them: `IP:127.0.0.1`) from `from` to `until` (`YYYYMMDDHHMMSSZ`); none
    /// where there is no `openssl`.
    fn new(names: &str, from: &str, until: &str) -> Option<Self> {
        stock_or_skip("openssl")?;
        let folder = TempDir::new();
        let openssl = |words: &[&str]| {
            let output = Command::new("openssl").args(words).current_dir(folder.path()).output();
            let output = output.expect("openssl can be started");
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca =
            ["req", "-x509", "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=Test"];
        openssl(&[&ca[..], &key].concat());
        openssl(&[&["req", "-keyout", "key", "-out", "csr", "-subj", "/CN=server"][..], &key].concat());
        folder.write("index", "");
        folder.write("serial", "01\n");
        folder.write(
            "ca.conf",
            format!(
                "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n\
                 unique_subject=no\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName={names}\n\
                 basicConstraints=CA:FALSE\n"
            ),
        );
        openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.conf",
            "-cert",
            "ca.crt",
            "-keyfile",
            "ca.key",
            "-in",
            "csr",
            "-out",
            "crt",
            "-startdate",
            from,
            "-enddate",
            until,
        ]);
        Some(Self(folder))
    }

    /// A good one for this host.
    fn good() -> Option<Self> {
        Self::new("IP:127.0.0.1,DNS:localhost", "20200101000000Z", "20490101000000Z")
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

/// A daemon in a folder that outlives it, where its keys and cookies stand.
fn start(side: Side, folder: &Arc<TempDir>, lines: &str) -> Chronyd {
    let lines = format!("{lines}\ncmdport 0\nntsdumpdir {{dir}}/nts");
    Chronyd::start_in(folder.clone(), side, &lines).waited_for(PATIENCE)
}

/// One that gives keys and time to this host.
fn start_server(
    side: Side,
    folder: &Arc<TempDir>,
    ports: (u16, u16),
    certificates: &Certificates,
    more: &str,
) -> Chronyd {
    let (cert, key) = (certificates.path("crt"), certificates.path("key"));
    let lines = format!(
        "port {}\nntsport {}\nbindaddress 127.0.0.1\nlocal stratum 3\nallow 127.0.0.1\nntsservercert {cert}\n\
         ntsserverkey {key}\n{more}",
        ports.0, ports.1,
    );
    let server = start(side, folder, &lines);
    // It takes commands a moment before it gives keys.
    server.wait("it gives keys", || listens(ports.1));
    server
}

/// One that trusts the certificates' authority alone.
fn start_client(
    side: Side,
    folder: &Arc<TempDir>,
    ports: (u16, u16),
    certificates: &Certificates,
    more: &str,
) -> Chronyd {
    let lines = format!("{}\n{more}", source("127.0.0.1", ports, "", certificates));
    start(side, folder, &lines)
}

/// The lines of a client alone: whom it asks for keys, and that it trusts the certificates' authority alone.
fn source(host: &str, ports: (u16, u16), options: &str, certificates: &Certificates) -> String {
    format!(
        "server {host} port {} ntsport {} nts {options} iburst minpoll 0 maxpoll 0\nport 0\nnosystemcert\n\
         ntstrustedcerts {}",
        ports.0,
        ports.1,
        certificates.path("ca.crt"),
    )
}

/// A folder which daemons start in one after the other.
fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new())
}

/// Ends one in order, so that it keeps what it keeps.
fn end(mut daemon: Chronyd) {
    assert_eq!(daemon.process_mut().end(), Some(0), "{}", daemon.log());
}

/// Columns of chronyc's CSV reports.
const AUTH_MODE: usize = 1;
const AUTH_ALGORITHM: usize = 3;
const AUTH_ATTEMPTS: usize = 6;
const AUTH_COOKIES: usize = 8;
const STATS_DROPPED: usize = 6;
const STATS_ACCEPTED: usize = 5;
const STATS_AUTHENTICATED: usize = 7;

fn ports() -> (u16, u16) {
    (free_port(), free_port())
}

/// Goal: keys are established, every packet is authenticated, and eight cookies are kept, whoever speaks with whom.
#[test]
fn time_is_authentic_in_both_directions() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    at_once(pairs(), |(server, client)| {
        let (there, here, ports) = (folder(), folder(), ports());
        let server = start_server(server, &there, ports, &certificates, "");
        let client = start_client(client, &here, ports, &certificates, "");
        client.synchronised();
        assert_eq!(client.cell("authdata", AUTH_MODE), "NTS");
        assert!(["15", "30"].contains(&client.cell("authdata", AUTH_ALGORITHM).as_str()));
        assert!(
            eventually(PATIENCE, || client.count("authdata", AUTH_COOKIES) == 8),
            "{}",
            client.chronyc(&["authdata"])
        );
        assert_eq!(server.count("serverstats", STATS_ACCEPTED), 1);
        assert!(server.count("serverstats", STATS_AUTHENTICATED) >= 3);
    });
}

/// Goal: with each cipher keys are established and every packet is authentic, whoever speaks with whom. Method: our side offers, or takes,
/// the one alone. A stock daemon that has no AES-128-GCM-SIV (chrony 4.4 and nettle 3.9 are the first) is left out with that one.
#[test]
fn each_cipher_is_spoken_in_both_directions() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    if under_test() == Side::Stock {
        return skip("the stock daemon's ciphers are its own affair");
    }
    let of_stock = |algorithm: AeadAlgorithm| {
        let (there, here, ports) = (folder(), folder(), ports());
        let _server = start_server(Side::Stock, &there, ports, &certificates, "");
        let client = start_client(Side::Ours, &here, ports, &certificates, "");
        client.wait("it has keys", || client.count("authdata", AUTH_ALGORITHM) != 0);
        client.count("authdata", AUTH_ALGORITHM) == u64::from(algorithm.id())
    };
    // It is the first that we ask for.
    let stock_has_all = of_stock(AeadAlgorithm::Aes128GcmSiv);
    if !stock_has_all {
        skip("the stock chronyd has no AES-128-GCM-SIV: tried between ours alone");
    }
    let alone = |algorithm: AeadAlgorithm, (server, client): (Side, Side)| {
        let only = |side: Side| match side {
            Side::Ours => format!("ntsaeads {}", algorithm.id()),
            Side::Stock => String::new(),
        };
        let (there, here, ports) = (folder(), folder(), ports());
        let of_server = start_server(server, &there, ports, &certificates, &only(server));
        let of_client = start_client(client, &here, ports, &certificates, &only(client));
        of_client.synchronised();
        let data = || of_client.chronyc(&["authdata"]);
        assert_eq!(of_client.count("authdata", AUTH_ALGORITHM), u64::from(algorithm.id()), "{}", data());
        let is_full = || of_client.count("authdata", AUTH_COOKIES) == 8;
        assert!(eventually(PATIENCE, is_full), "{server:?} {client:?}: {}", data());
        assert!(of_server.count("serverstats", STATS_AUTHENTICATED) >= 3, "{server:?} {client:?}");
    };
    let can = |algorithm: AeadAlgorithm, sides: (Side, Side)| {
        stock_has_all || algorithm == AeadAlgorithm::AesSivCmac256 || sides == (Side::Ours, Side::Ours)
    };
    for algorithm in AeadAlgorithm::PREFERRED {
        at_once(pairs().into_iter().filter(|sides| can(algorithm, *sides)), |sides| alone(algorithm, sides));
    }
}

/// Goal: interleaved mode works under NTS, whoever speaks with whom: replies are authentic, tell when the one before them left, and
/// none is missed.
#[test]
fn interleaved_mode_is_authentic_too() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    at_once(pairs(), |(server, client)| {
        let (there, here, ports) = (folder(), folder(), ports());
        let server = start_server(server, &there, ports, &certificates, "");
        let source = source("127.0.0.1", ports, "xleave", &certificates);
        let lines = format!("{source}\nlogdir {{dir}}\nlog rawmeasurements");
        let client = start(client, &here, &lines);
        client.synchronised();
        assert_eq!(client.cell("authdata", AUTH_MODE), "NTS");
        client.wait("exchanges are interleaved", || client.measured(&[" 4I "]) >= 5);
        let data = client.chronyc(&["ntpdata"]);
        for wanted in ["Interleaved     : Yes", "Authenticated   : Yes", "NTP tests       : 111 111 1111"] {
            assert!(data.contains(wanted), "{wanted}\n{data}");
        }
        assert!(server.count("serverstats", STATS_AUTHENTICATED) >= 5);
        assert!(eventually(PATIENCE, || client.count("authdata", AUTH_COOKIES) == 8));
    });
}

/// Goal: no keys come from a server whose certificate is another's, has another name, has expired, or is not valid yet; the time
/// of such a server is not taken, and the log says why once. With `nocerttimecheck` the dates are not looked at, but what the
/// server says must lie in them.
#[test]
fn certificates_that_are_no_good_give_no_time() {
    let (Some(_), Some(good)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let made = |names, from, until| Certificates::new(names, from, until).expect("openssl is there");
    let cases: [(Certificates, bool, &str, &str); 6] = [
        // Of another authority, which has the same name.
        (made("IP:127.0.0.1", "20200101000000Z", "20490101000000Z"), false, "", "BadSignature"),
        (
            made("DNS:other.example", "20200101000000Z", "20490101000000Z"),
            true,
            "",
            "its certificate is for other.example, not for 127.0.0.1",
        ),
        (made("IP:127.0.0.1", "20200101000000Z", "20210101000000Z"), true, "", "expired"),
        (made("IP:127.0.0.1", "20480101000000Z", "20490101000000Z"), true, "", "not valid yet"),
        (
            made("IP:127.0.0.1", "20200101000000Z", "20210101000000Z"),
            true,
            "nocerttimecheck 1",
            "is not believed",
        ),
        (
            made("IP:127.0.0.1", "20480101000000Z", "20490101000000Z"),
            true,
            "nocerttimecheck 1",
            "is not believed",
        ),
    ];
    std::thread::scope(|scope| {
        for (certificates, own, more, why) in &cases {
            let good = &good;
            scope.spawn(move || {
                let (there, here, ports) = (folder(), folder(), ports());
                let server = start_server(under_test(), &there, ports, certificates, "");
                let trusted = if *own { certificates } else { good };
                let client = start_client(under_test(), &here, ports, trusted, more);
                if under_test() == Side::Stock {
                    // It believes what ours does not, and words its log otherwise.
                    if more.is_empty() {
                        assert!(eventually(PATIENCE, || client.count("authdata", AUTH_ATTEMPTS) >= 1));
                        assert!(!client.is_synchronised());
                    }
                    return;
                }
                assert!(eventually(PATIENCE, || client.log().contains(why)), "{why}: {}", client.log());
                std::thread::sleep(Duration::from_secs(3));
                assert!(!client.is_synchronised(), "{why}");
                assert_eq!(client.log().matches(why).count(), 1, "{}", client.log());
                if more.is_empty() {
                    assert_eq!(server.count("serverstats", STATS_AUTHENTICATED), 0);
                    assert_eq!(client.count("authdata", AUTH_COOKIES), 0);
                }
            });
        }
    });
}

/// Goal: a clock that is years behind, to which the certificate is not valid yet, has a way in: by the date of a file that was written
/// later than the clock says, or by `nocerttimecheck`; the clock is stepped to the server's time, cookies that were got by its old
/// date are not kept, and without either no time is taken. Method: a server whose own clock (`-x`: not the machine's) is set
/// to 2030, with a certificate of that year.
#[test]
fn a_clock_that_is_years_behind_finds_its_way_in() {
    let Some(certificates) = Certificates::new("IP:127.0.0.1", "20300101000000Z", "20310101000000Z") else {
        return;
    };
    if under_test() == Side::Stock {
        // It has one of the ways, and its clock under -x is not moved.
        return;
    }
    let there = folder();
    let ports = ports();
    let server = start_server(Side::Ours, &there, ports, &certificates, "manual");
    server.chronyc(&["settime", "Jun 1, 2030 12:00:00"]);
    assert!(server.log().contains("wrong by 1"), "{}", server.log());
    std::thread::scope(|scope| {
        for (more, written, way_in) in [
            ("makestep 1 3", "", false),
            ("makestep 1 3\nnocerttimecheck 1", "", true),
            ("makestep 1 3\ndriftfile {dir}/drift", "drift", true),
            // Too early for the certificate as well: what has passed is not enough.
            ("makestep 1 3\ndriftfile {dir}/drift", "early drift", false),
        ] {
            let certificates = &certificates;
            scope.spawn(move || {
                let here = folder();
                if !written.is_empty() {
                    let file = File::create(here.write("drift", "1.5 0.5\n")).expect("it can be written");
                    let years = if written == "drift" { 60 } else { 59 };
                    // From 1970, with 90 days for the leap days and a part of the year.
                    let since = Duration::from_secs((years * 365 + 90) * 86_400);
                    (&file).write_all(b"1.5 0.5\n").expect("a drift file");
                    file.set_modified(std::time::UNIX_EPOCH + since).expect("a date");
                }
                let client = start_client(Side::Ours, &here, ports, certificates, more);
                if !way_in {
                    assert!(
                        eventually(PATIENCE, || client.log().contains("not valid yet")),
                        "{}",
                        client.log()
                    );
                    std::thread::sleep(Duration::from_secs(3));
                    assert!(!client.is_synchronised(), "{more} {written}");
                    return;
                }
                client.synchronised();
                assert!(
                    client.log().contains("its certificate not judged by this clock"),
                    "{}",
                    client.log()
                );
                assert!(eventually(PATIENCE, || client.log().contains("System clock was stepped by")));
                let log = client.log();
                // Its own clock's seconds behind 2030-06-01 are many.
                assert!(log.contains("wrong by 1") || log.contains("wrong by -1"), "{log}");
                end(client);
                let kept = std::fs::read_dir(here.join("nts")).map_or(0, |folder| {
                    folder
                        .filter_map(Result::ok)
                        .filter(|one| one.path().extension().is_some_and(|it| it == "nts"))
                        .count()
                });
                assert_eq!(kept, 0, "cookies that were got by a clock's old date are kept");
            });
        }
    });
}

/// Goal: a server's own certificate, which nobody else signed, is trusted when it is named.
#[test]
fn a_self_signed_certificate_is_trusted_by_name() {
    let (Some(_), Some(good)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let status = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key",
        ])
        .args(["-out", "crt", "-days", "30", "-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"])
        .current_dir(good.0.path())
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()));
    std::fs::copy(good.path("crt"), good.path("ca.crt")).expect("a file can be copied");
    for (server, client) in pairs() {
        let (there, here, ports) = (folder(), folder(), ports());
        let _server = start_server(server, &there, ports, &good, "");
        start_client(client, &here, ports, &good, "").synchronised();
    }
}

/// Goal: a server that lost its keys answers by a NAK, and the client comes for new ones and goes on.
#[test]
fn lost_keys_bring_a_nak_and_new_keys() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    for (server_side, client) in pairs() {
        let (there, here, ports) = (folder(), folder(), ports());
        let server = start_server(server_side, &there, ports, &certificates, "");
        let client = start_client(client, &here, ports, &certificates, "");
        client.synchronised();
        end(server);
        std::fs::remove_dir_all(there.join("nts")).expect("the keys are there");
        let server = start_server(server_side, &there, ports, &certificates, "");
        let comes_back = eventually(PATIENCE, || {
            server.count("serverstats", STATS_ACCEPTED) >= 1
                && server.count("serverstats", STATS_AUTHENTICATED) >= 2
        });
        assert!(comes_back, "{}\n{}", client.chronyc(&["authdata"]), client.log());
        assert_eq!(client.count("authdata", AUTH_COOKIES), 8);
    }
}

/// Goal: what is kept is taken up: a server that comes back, the same or the other daemon in its folder, opens old cookies; a
/// client that comes back, the same or the other, uses the ones that it kept. Nobody establishes keys anew.
#[test]
fn keys_and_cookies_outlive_a_restart_and_a_change_of_daemon() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let both = [Side::Ours, Side::Stock];
    let turns: Vec<(Side, Side)> = match under_test() {
        Side::Stock => vec![(Side::Stock, Side::Stock)],
        Side::Ours => both.iter().flat_map(|one| both.map(|other| (*one, other))).collect(),
    };
    for (first, second) in turns {
        let (there, here, ports) = (folder(), folder(), ports());
        // Newer chronyds choose an algorithm that 4.3 does not know.
        let more = "ntsaeads 15";
        let more = |side: Side| if side == Side::Ours { more } else { "" };
        let server = start_server(first, &there, ports, &certificates, more(first));
        let client = start_client(first, &here, ports, &certificates, more(first));
        client.synchronised();
        end(client);
        end(server);
        for kept in [there.join("nts/ntskeys"), here.join("nts/127.0.0.1.nts")] {
            let mode = std::fs::metadata(&kept).unwrap_or_else(|error| panic!("{}: {error}", kept.display()));
            assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{}", kept.display());
        }
        let server = start_server(second, &there, ports, &certificates, more(second));
        let client = start_client(second, &here, ports, &certificates, more(second));
        client.synchronised();
        assert_eq!(server.count("serverstats", STATS_ACCEPTED), 0, "{first:?} {second:?}: {}", client.log());
        assert!(server.count("serverstats", STATS_AUTHENTICATED) >= 1);
        assert!(!here.join("nts/127.0.0.1.nts").exists(), "cookies that are used are no longer kept");
    }
}

/// Goal: keys come from one server and time from another that shares its keys, whichever daemons these are; the client goes where
/// it was sent. Method: both have the same port, at two addresses.
#[test]
fn keys_and_time_may_come_from_two_servers() {
    let Some(_) = stock_or_skip("chronyd") else { return };
    let made = Certificates::new("IP:127.0.0.1,IP:127.0.0.3", "20200101000000Z", "20490101000000Z");
    let Some(certificates) = made else { return };
    let turns = match under_test() {
        Side::Stock => vec![[Side::Stock; 3]],
        Side::Ours => vec![
            [Side::Stock, Side::Ours, Side::Ours],
            [Side::Ours, Side::Stock, Side::Ours],
            [Side::Ours, Side::Ours, Side::Stock],
        ],
    };
    for [keys, time, client] in turns {
        let (there, here, other, ports) = (folder(), folder(), folder(), ports());
        let time = start_server(time, &there, ports, &certificates, "");
        let file = there.join("nts/ntskeys");
        assert!(eventually(PATIENCE, || file.exists()), "keys are written at the start: {}", time.log());
        let kept = std::fs::read(file).expect("it is there");
        other.write("nts/ntskeys", kept);
        let mut more = "bindaddress 127.0.0.3\nntsrotate 0\nntsntpserver 127.0.0.1".to_owned();
        if keys == Side::Ours {
            // chronyd 4.3 knows no other algorithm.
            more += "\nntsaeads 15";
        }
        let keys = start_server(keys, &other, ports, &certificates, &more);
        let lines = source("127.0.0.3", (free_port(), ports.1), "", &certificates);
        let client = start(client, &here, &lines);
        client.synchronised();
        assert_eq!(client.cell("sources", 2), "127.0.0.1");
        assert!(time.count("serverstats", STATS_AUTHENTICATED) >= 1);
        assert_eq!(keys.count("serverstats", STATS_ACCEPTED), 1);
    }
}

/// Goal: a server that takes the connection and says nothing costs its own association only: another source is followed, commands
/// are answered meanwhile, and it is given up, with one line in the log.
#[test]
fn a_server_that_hangs_costs_its_own_association_only() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let silent = TcpListener::bind("127.0.0.2:0").expect("a port is free");
    let silent_port = silent.local_addr().expect("it is bound").port();
    let (there, here, ports) = (folder(), folder(), ports());
    let _server = start_server(under_test(), &there, ports, &certificates, "");
    let hangs = format!("server 127.0.0.2 port {} ntsport {silent_port} nts iburst", free_port());
    let client = start_client(under_test(), &here, ports, &certificates, &hangs);
    client.synchronised();
    assert!(client.count("authdata", AUTH_COOKIES) > 0);
    if under_test() == Side::Ours {
        assert!(eventually(HANG, || client.log().contains("took too long")), "{}", client.log());
        assert_eq!(client.log().matches("not established").count(), 1, "{}", client.log());
    }
    assert!(client.is_synchronised());
}

/// Somebody listens on the port. A connection would be somebody's only one, so the kernel's table is asked.
fn listens(port: u16) -> bool {
    !listening(port).is_empty()
}

/// The local addresses at which somebody takes TCP connections at this port.
fn listening(port: u16) -> Vec<&'static str> {
    let place = format!("{port:04X}");
    let of = |table: &str| {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        let addresses = text.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (address, at) = words.next()?.split_once(':')?;
            (at == place && words.nth(1) == Some("0A")).then_some(match address {
                "00000000" => "0.0.0.0",
                "0100007F" => "127.0.0.1",
                "00000000000000000000000000000000" => "::",
                "00000000000000000000000001000000" => "::1",
                _ => "another",
            })
        });
        addresses.collect::<Vec<_>>()
    };
    ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().flat_map(of).collect()
}

/// Goal: a server that sends cookies without end, or one that is huge, gives no keys and takes no memory. Method: `openssl
/// s_server` shows a good certificate and sends what it is given.
#[test]
fn huge_cookies_are_refused() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let record = |kind: u16, body: &[u8]| {
        [kind.to_be_bytes().as_slice(), &(body.len() as u16).to_be_bytes(), body].concat()
    };
    let start = [record(0x8001, &[0, 0]), record(0x8004, &[0, 15])].concat();
    let one_huge = [start.clone(), record(5, &[7; 16_000]), record(0x8000, &[])].concat();
    let longest = [start.clone(), record(5, &[7; 65_535]), record(0x8000, &[])].concat();
    let endless: Vec<u8> = start.into_iter().chain(record(5, &[7; 100]).repeat(400_000)).collect();
    for (answer, why) in [(one_huge, "no usable cookie"), (longest, "longer than"), (endless, "longer than")]
    {
        let (here, ports) = (folder(), ports());
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-tls1_3", "-alpn", "ntske/1", "-accept", &ports.1.to_string()]);
        command.args(["-cert", &certificates.path("crt"), "-key", &certificates.path("key")]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut harm = Running::start(&mut command);
        let mut input = harm.0.stdin.take().expect("it is piped");
        // It is read as the client reads; the rest of it ends with the server.
        let feeder = std::thread::spawn(move || drop(input.write_all(&answer)));
        assert!(eventually(PATIENCE, || listens(ports.1)), "openssl does not listen");
        let client = start_client(under_test(), &here, ports, &certificates, "");
        if under_test() == Side::Ours {
            assert!(eventually(PATIENCE, || client.log().contains("not established")), "{}", client.log());
            assert!(client.log().contains(why), "{why}: {}", client.log());
            let status = std::fs::read_to_string(format!("/proc/{}/status", client.process().id()));
            let peak = status
                .expect("it runs")
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse::<u64>().ok());
            assert!(peak.is_some_and(|kilobytes| kilobytes < 64 * 1024), "{peak:?}");
        }
        assert_eq!(client.count("authdata", AUTH_COOKIES), 0);
        drop(harm);
        let _ = feeder.join();
    }
}

/// Goal: a server whose certificates are made so that there are very many ways from its own to an authority, each of which has to be
/// tried (the CPU exhaustion of webpki), gets no more of this host's time than any other that is no good. Method: eighty authorities with
/// the name of the one that is trusted, each of which may have signed each other, and none of which has signed the server's.
#[test]
fn a_chain_made_to_be_slow_costs_little() {
    let (Some(_), Some(trusted)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let Some(other) = Certificates::good() else { return };
    let chain: String = (0..80)
        .map(|_| {
            let mut command = Command::new("openssl");
            command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
            command.args(["-keyout", "/dev/null", "-days", "3650", "-subj", "/CN=Test"]);
            let output = command.output().expect("openssl can be started");
            String::from_utf8(output.stdout).expect("PEM is text")
        })
        .collect();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 80);
    other.0.write("chain", chain);
    let (here, ports) = (folder(), ports());
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-tls1_3", "-alpn", "ntske/1", "-accept", &ports.1.to_string()]);
    command.args(["-cert", &other.path("crt"), "-key", &other.path("key")]);
    command.args(["-cert_chain", &other.path("chain")]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let harm = Running::start(&mut command);
    assert!(eventually(PATIENCE, || listens(ports.1)), "openssl does not listen");
    let client = start_client(under_test(), &here, ports, &trusted, "");
    if under_test() == Side::Ours {
        assert!(eventually(PATIENCE, || client.log().contains("not established")), "{}", client.log());
        assert!(client.log().contains("certificate"), "{}", client.log());
    }
    assert_eq!(client.count("authdata", AUTH_COOKIES), 0);
    // Ticks of 10 ms, in the fourteenth and fifteenth word; a build without optimisation takes a hundred times as long as another.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", client.process().id())).expect("it runs");
    let words = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
    assert!(ticks < 300, "{ticks} ticks: {}", client.log());
    drop(harm);
}

/// Goal: clients of the key establishment that hang, that send rubbish, and more of them than are allowed cost a client that means
/// well nothing but a little time: nobody who waits for a place is turned away, and who hangs while others wait has none for long.
#[test]
fn clients_that_hang_cost_the_key_server_nothing() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    at_once(["0", "1", "2"], |processes| {
        let (there, here, ports) = (folder(), folder(), ports());
        let more = format!("ntsprocesses {processes}\nmaxntsconnections 4");
        let server = start_server(under_test(), &there, ports, &certificates, &more);
        let connect = || TcpStream::connect(("127.0.0.1", ports.1)).expect("it listens");
        let _hanging: Vec<TcpStream> = (0..20).map(|_| connect()).collect();
        for rubbish in [
            vec![0; 5],
            vec![0xff; 100_000],
            vec![0x16, 3, 1, 0xff, 0xff],
            b"GET / HTTP/1.0\r\n\r\n".to_vec(),
        ] {
            let mut stream = connect();
            let _ = stream.write_all(&rubbish);
        }
        let begun = Instant::now();
        let client = start_client(under_test(), &here, ports, &certificates, "");
        client.synchronised();
        // The stock server turns away whom it has no place for, and they come again after 16 s at the earliest.
        if under_test() == Side::Ours {
            assert!(begun.elapsed() < Duration::from_secs(12), "{processes}: {:?}", begun.elapsed());
            let log = client.log();
            assert!(!log.contains("not established"), "{processes}: {log}");
        }
        // One that hung was hung up on.
        let mut stream = connect();
        stream.set_read_timeout(Some(HANG)).expect("a time limit can be set");
        let mut byte = [0];
        assert!(matches!(stream.read(&mut byte), Ok(0)) || stream.read(&mut byte).is_err());
        assert!(server.count("serverstats", STATS_ACCEPTED) >= 1);
    });
}

/// Goal: with `bindaddress` of one family alone the key server listens at that address, and in the other family at all: as the stock
/// daemon does. `-4` and `-6` leave a family out.
#[test]
fn keys_are_given_out_where_chronyd_gives_them_out() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let (cert, key) = (certificates.path("crt"), certificates.path("key"));
    for side in [Side::Stock, Side::Ours] {
        for (bind, option, expected) in [
            ("", "-d", ["0.0.0.0", "::"].as_slice()),
            ("bindaddress 127.0.0.1", "-d", &["127.0.0.1", "::"]),
            ("bindaddress ::1", "-d", &["0.0.0.0", "::1"]),
            ("bindaddress 127.0.0.1", "-4", &["127.0.0.1"]),
        ] {
            let (there, ports) = (folder(), ports());
            let lines = format!(
                "port {}\nntsport {}\n{bind}\nallow 127.0.0.1\nntsservercert {cert}\nntsserverkey {key}\ncmdport 0",
                ports.0, ports.1
            );
            let server = Chronyd::start_as(there, side, &lines, |mut command| {
                command.arg(option);
                command
            });
            server.wait("it gives keys", || !listening(ports.1).is_empty());
            assert_eq!(listening(ports.1), expected, "{side:?} {bind} {option}: {}", server.log());
        }
    }
}

/// Goal: an address that connects for keys more often than `ntsratelimit` says is hung up on, and counted.
#[test]
fn connections_for_keys_are_limited_by_rate() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let (there, ports) = (folder(), ports());
    let more = "ntsratelimit interval 12 burst 3 leak 4";
    let server = start_server(under_test(), &there, ports, &certificates, more);
    // Every sixteenth is let in all the same, at random: of forty some are not.
    let streams: Vec<_> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", ports.1))).collect();
    let refused: Vec<_> = streams.iter().filter_map(|one| one.as_ref().err()).collect();
    assert!(refused.is_empty(), "{refused:?}: {}", server.log());
    let counted = || server.count("serverstats", STATS_ACCEPTED) == 40;
    assert!(eventually(PATIENCE, counted), "{}", server.chronyc(&["serverstats"]));
    let dropped = server.count("serverstats", STATS_DROPPED);
    assert!((10..=37).contains(&dropped), "{dropped}");
}

/// Goal: no authentic reply is longer than its request, however many cookies are asked for and whatever the cipher. Method: the server
/// finds keys for cookies in its folder, so that requests can be made here; each reply must be authentic.
#[test]
fn replies_are_never_longer_than_requests() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let (there, ports) = (folder(), ports());
    let keys = CookieKeys::generate(&mut sys::random::fill);
    std::fs::DirBuilder::new().mode(0o700).create(there.join("nts")).expect("the folder is empty");
    there.write("nts/ntskeys", keys.to_text(0.0));
    let server = start_server(under_test(), &there, ports, &certificates, "");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(("127.0.0.1", ports.0)).expect("loopback is there");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit can be set");
    // The stock daemon of some builds has the one that everybody must have alone.
    let algorithms = match under_test() {
        Side::Ours => &AeadAlgorithm::PREFERRED[..],
        Side::Stock => &[AeadAlgorithm::AesSivCmac256],
    };
    for algorithm in algorithms {
        let length = algorithm.key_bytes();
        let session =
            SessionKeys { algorithm: *algorithm, to_server: vec![1; length], to_client: vec![2; length] };
        for count in 1..=COOKIES_MAX {
            let cookie = |_| keys.seal(&session, &mut sys::random::fill).expect("it seals");
            let cookies = (0..count).map(cookie).collect();
            let mut association = Association::new(PATIENCE);
            let found = EstablishedKeys { keys: session.clone(), alternative: None, cookies };
            assert!(association.established(Duration::ZERO, found));
            let mut random = [0; PROTECT_RANDOM_BYTES];
            sys::random::fill(&mut random);
            let mut header = [0; 48];
            (header[0], header[47]) = (0x23, count as u8);
            let request = association.protect(&header, &random).expect("there is a cookie");
            socket.send(&request).expect("loopback takes datagrams");
            let mut reply = [0; 2048];
            let found = socket.recv(&mut reply).expect("it is answered");
            assert!(found <= request.len(), "{found} bytes came for {}", request.len());
            assert!(association.open(&reply[..found]).is_ok(), "{algorithm:?}, {count} cookies");
            // The one that was sent and those that were missing have come.
            assert_eq!(
                usize::from(association.report(Duration::ZERO).cookies),
                COOKIES_MAX,
                "{algorithm:?}, {count} cookies"
            );
        }
    }
    end(server);
}

/// Goal: datagrams with fields of NTS that are cut, too long, doubled or changed get no reply longer than themselves, and the server
/// serves on.
#[test]
fn odd_fields_change_nothing() {
    let (Some(_), Some(certificates)) = (stock_or_skip("chronyd"), Certificates::good()) else { return };
    let (there, here, ports) = (folder(), folder(), ports());
    let server = start_server(under_test(), &there, ports, &certificates, "");
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus/ntp_nts_server/request");
    let request = std::fs::read(seed).expect("the seed stands");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    socket.connect(("127.0.0.1", ports.0)).expect("loopback is there");
    socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a time limit can be set");
    let longest_reply = |bytes: &[u8]| {
        let _ = socket.send(bytes);
        let mut reply = [0; 2048];
        while let Ok(length) = socket.recv(&mut reply) {
            assert!(length <= bytes.len(), "{length} bytes came for {}", bytes.len());
        }
    };
    for length in (48..request.len()).step_by(4) {
        longest_reply(&request[..length]);
    }
    for at in (48..request.len()).step_by(7) {
        let mut changed = request.clone();
        changed[at] ^= 0x80;
        longest_reply(&changed);
    }
    for more in [4, 16, 28, 400, 1_200, 8_000] {
        longest_reply(&[request.as_slice(), &vec![0; more]].concat());
        longest_reply(&[request.as_slice(), &request[48..]].concat());
    }
    start_client(under_test(), &here, ports, &certificates, "").synchronised();
    end(server);
}

/// Goal: what is wrong with certificates of either end is told at the start, in words and with the path.
#[test]
fn mistakes_with_certificates_are_told_at_the_start() {
    if under_test() == Side::Stock {
        return;
    }
    let Some(old) = Certificates::new("IP:127.0.0.1", "20200101000000Z", "20210101000000Z") else { return };
    let (there, here, ports) = (folder(), folder(), ports());
    let server = start_server(Side::Ours, &there, ports, &old, "");
    let told = format!("The certificate {} expired on 2021-01-01", old.path("crt"));
    assert!(server.log().contains(&told), "{}", server.log());
    let none = here.write("none.crt", "no certificate\n");
    let client = start(Side::Ours, &here, &format!("port 0\nntstrustedcerts {}", none.display()));
    let told = format!("ntstrustedcerts {}: there is no certificate in it", none.display());
    assert_eq!(client.log().matches(&told).count(), 1, "{}", client.log());
    // A certificate in the place of its key.
    let conf = format!(
        "port {0}\nntsport {0}\ncmdport 0\nbindcmdaddress /\npidfile /\nuser root\nntsservercert {1}\nntsserverkey {1}\n",
        free_port(),
        old.path("crt")
    );
    let conf = here.write("wrong.conf", conf);
    let output = compliance::chronyd(Side::Ours, here.path()).arg("-d").arg("-f").arg(conf).output();
    let said = String::from_utf8_lossy(&output.expect("it can be started").stderr).into_owned();
    assert!(said.contains(&format!("{} holds no private key", old.path("crt"))), "{said}");
}
