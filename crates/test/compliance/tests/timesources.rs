//! What becomes of sources: orphans that agree on one of them, a pool's member that goes bad, `copy`, and the clients of a server with
//! `smoothtime`.
//!
//! Every daemon runs with `-x`, on loopback, where each has an address of its own; the stock ones also without `CAP_SYS_TIME`.

use compliance::time_server::TimeServer;
use compliance::{Chronyd, Side, TempDir, free_port, skip, under_test};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test with these lines.
fn start(lines: &str) -> Chronyd {
    start_as(lines, |command, _| command)
}

/// The same by a call that is made from the usual one and the daemon's folder.
fn start_as(lines: &str, call: impl FnOnce(Command, &TempDir) -> Command) -> Chronyd {
    let folder = Arc::new(TempDir::new());
    let lines = format!("{lines}\ncmdport 0");
    let daemon = Chronyd::start_as(folder.clone(), under_test(), &lines, |command| call(command, &folder));
    daemon.read_by(Side::Ours).waited_for(PATIENCE)
}

/// With `hosts` in the place of `/etc/hosts`, for this process alone (a mount namespace of its own).
fn start_with_hosts(lines: &str, hosts: &str) -> Chronyd {
    start_as(lines, |daemon, folder| {
        let hosts = folder.write("hosts", hosts);
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
        command.arg(hosts).arg(daemon.get_program()).args(daemon.get_args());
        command.env("BANTO_CLOCK_READ_ONLY", "1");
        command
    })
}

/// Reference id and stratum.
fn reference(daemon: &Chronyd) -> (String, u32) {
    let stratum = daemon.cell("tracking", 2).parse().unwrap_or(99);
    (daemon.cell("tracking", 0), stratum)
}

/// Addresses of the sources that answer.
fn answering(daemon: &Chronyd) -> Vec<String> {
    let rows = daemon.rows(&["sources"]).into_iter();
    rows.filter(|row| row.len() > 5 && row[5] != "0").map(|mut row| row.swap_remove(2)).collect()
}

/// One of several orphans that ask each other, on 127.0.0.`own`.
fn orphan(own: u8, all: &[u8], port: u16) -> Chronyd {
    // An orphan waits 300 s for something better; chronyd 4.3 did not, and does not know the option.
    let soon = if under_test() == Side::Ours { "waitunsynced 0" } else { "" };
    let others = all.iter().filter(|other| **other != own);
    let servers: String =
        others.map(|n| format!("server 127.0.0.{n} port {port} iburst minpoll 0 maxpoll 0\n")).collect();
    // Who has lost the leader holds on to its time until the root distance is too large: a second by default, which takes days.
    start(&format!(
        "{servers}local stratum 8 orphan distance 0.002 {soon}\nmaxclockerror 400\nallow 127.0.0.0/8\nport {port}\nbindaddress 127.0.0.{own}\n\
         bindacqaddress 127.0.0.{own}"
    ))
}

/// Goal: when the orphan that the others follow dies, the one of the next reference id vouches for its own clock and the third follows
/// that one; when the first comes back, both follow it again. Method: the first is killed, so that it tells nobody.
#[test]
fn the_next_orphan_takes_over() {
    let port = free_port();
    let all = [31, 32, 33];
    let mut daemons = all.map(|own| orphan(own, &all, port));
    let (root, first, second) =
        (("7F7F0101".to_owned(), 8), ("7F00001F".to_owned(), 9), ("7F000020".to_owned(), 9));
    let settled = |daemons: &[Chronyd], what: &str, expected: &[&(String, u32)]| {
        for (daemon, expected) in daemons.iter().zip(expected) {
            daemon.wait(what, || reference(daemon) == **expected);
        }
        // It stays so, through more polls than the choice takes.
        std::thread::sleep(Duration::from_secs(3));
        let found: Vec<(String, u32)> = daemons.iter().map(reference).collect();
        assert!(found.iter().zip(expected).all(|(one, expected)| one == *expected), "{what}: {found:?}");
    };
    settled(&daemons, "they follow the first", &[&root, &first, &first]);
    daemons[0].process_mut().kill();
    settled(&daemons[1..], "the second took over", &[&root, &second]);
    daemons[0] = orphan(31, &all, port);
    settled(&daemons, "the first leads again", &[&root, &first, &first]);
}

/// Goal: three orphans without a better source agree on the one of the least reference id, which alone vouches for its own clock, and go
/// on to do so when the other two are of a larger stratum.
#[test]
fn orphans_agree_on_one() {
    let port = free_port();
    let all = [11, 12, 13];
    let daemons = all.map(|own| orphan(own, &all, port));
    let (root, follower) = (("7F7F0101".to_owned(), 8), ("7F00000B".to_owned(), 9));
    daemons[1].wait("the second follows", || reference(&daemons[1]) == follower);
    daemons[2].wait("the third follows", || reference(&daemons[2]) == follower);
    let many = |daemon: &Chronyd| {
        daemon.rows(&["sources"]).iter().all(|row| row.get(5).is_some_and(|reach| reach == "377"))
    };
    for daemon in &daemons {
        daemon.wait("all answered eight times", || many(daemon));
    }
    assert_eq!(daemons.each_ref().map(reference), [root, follower.clone(), follower]);
    for daemon in &daemons[1..] {
        let log = daemon.log();
        let (_, after) = log.split_once("Selected source 127.0.0.11").expect("it is followed");
        assert!(!after.contains("Can't synchronise"), "{log}");
    }
}

/// Goal: a member of a pool that answers no more gives its place to another address of the name, and the others stay. Method: a hosts
/// file of the test's own in a mount namespace.
#[test]
fn a_bad_member_of_a_pool_is_replaced() {
    let works =
        Command::new("unshare").args(["--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"]).status();
    if !works.is_ok_and(|status| status.success()) {
        return skip("this user may not have a mount namespace");
    }
    let port = free_port();
    let addresses = ["127.0.0.21", "127.0.0.22", "127.0.0.23"];
    let silent = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
    let _servers: Vec<TimeServer> = addresses
        .iter()
        .zip(&silent)
        .map(|(address, silent)| {
            let silent = silent.clone();
            TimeServer::at(address, port, move |ask| {
                if !silent.load(Ordering::Relaxed) {
                    ask.send(&ask.reply(0.0));
                }
            })
        })
        .collect();
    let hosts: String = addresses.iter().map(|address| format!("{address} pool.test\n")).collect();
    let lines = format!("pool pool.test port {port} maxsources 2 iburst minpoll -3 maxpoll -3\nport 0");
    let daemon = start_with_hosts(&lines, &hosts);
    daemon.wait("two answer", || answering(&daemon).len() == 2);
    let before = answering(&daemon);
    let bad = addresses.iter().position(|address| *address == before[0]).expect("it is one of them");
    let spare = addresses.iter().find(|address| !before.iter().any(|one| one == *address));
    let spare = (*spare.expect("there are three")).to_owned();
    silent[bad].store(true, Ordering::Relaxed);
    let mut after = vec![before[1].clone(), spare];
    after.sort();
    daemon.wait("the third took its place", || {
        let mut now = answering(&daemon);
        now.sort();
        now == after
    });
    assert!(daemon.log().contains(&format!("Source {}", before[0])), "{}", daemon.log());
    assert!(daemon.log().contains("replaced with"), "{}", daemon.log());
}

/// Goal: with `copy` the daemon has its source's stratum and reference id, as if it was the same server; without it one more and its address.
#[test]
fn a_source_is_copied() {
    let server = TimeServer::ahead("127.0.0.1", 0.0);
    for (option, expected) in [("", ("7F000001", 2)), ("copy", ("54455354", 1))] {
        let daemon = start(&(server.line(&format!("iburst minpoll -3 maxpoll -3 {option}")) + "port 0"));
        daemon.wait(option, || reference(&daemon) == (expected.0.to_owned(), expected.1));
    }
}

/// Goal: the client of a server with `smoothtime` whose own time changes by 0.2 s sees that slowly, never at once. Method: with `-x` the
/// server's clock is not moved, and its source is what changes; what it gives out then moves by the smoothing's limits alone.
#[test]
fn clients_of_a_smoothing_server_see_no_step() {
    let late = Arc::new(AtomicBool::new(false));
    let source = TimeServer::start("127.0.0.1", {
        let late = late.clone();
        move |ask| ask.send(&ask.reply(if late.load(Ordering::Relaxed) { 0.2 } else { 0.0 }))
    });
    let port = free_port();
    let lines = source.line("iburst minpoll -3 maxpoll -3");
    let server =
        start(&format!("{lines}smoothtime 400 0.01\nallow 127.0.0.1\nport {port}\nbindaddress 127.0.0.1"));
    server.wait("it is synchronised", || reference(&server).1 == 2);
    server.chronyc(&["smoothtime", "activate"]);
    let client = start(&format!("server 127.0.0.1 port {port} iburst minpoll -3 maxpoll -3\nport 0"));
    client.wait("it follows", || reference(&client).1 == 3);
    let error = |daemon: &Chronyd| daemon.error().abs();
    assert!(error(&client) < 0.01, "{}", client.chronyc(&["tracking"]));
    late.store(true, Ordering::Relaxed);
    server.wait("the server knows", || error(&server) > 0.15);
    // Within the seconds that a test has, 400 ppm and their slow start amount to less than this.
    let asked = |daemon: &Chronyd| {
        let text = daemon.chronyc(&["ntpdata"]);
        let line = text.lines().find_map(|line| line.strip_prefix("Total valid RX"));
        line.and_then(|rest| rest.trim_start_matches([' ', ':']).trim().parse::<u32>().ok()).unwrap_or(0)
    };
    let before = asked(&client);
    client.wait("it was answered more often", || asked(&client) > before + 20);
    assert!(error(&client) < 0.02, "{}", client.chronyc(&["tracking"]));
}
