//! What becomes of sources: orphans that agree on one of them, a pool's member that goes bad, `copy`, and the clients of a server with
//! `smoothtime`.
//!
//! Every daemon runs with `-x`, on loopback, where each has an address of its own; the stock ones also without `CAP_SYS_TIME`.

use compliance::time_server::TimeServer;
use compliance::{Running, Side, TempDir, eventually, free_port, ours, skip, stock, under_test};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon.
struct Daemon {
    _process: Running,
    folder: TempDir,
}

impl Daemon {
    fn start(lines: &str) -> Self {
        Self::start_as(lines, None)
    }

    /// With `hosts` in the place of `/etc/hosts`, for this process alone (a mount namespace of its own).
    fn start_as(lines: &str, hosts: Option<&str>) -> Self {
        let folder = TempDir::new();
        let sockets = folder.join("cmd");
        std::fs::create_dir_all(&sockets).expect("a folder can be made");
        std::fs::set_permissions(&sockets, PermissionsExt::from_mode(0o700)).expect("it is ours");
        let dir = folder.path().display();
        let text =
            format!("{lines}\ncmdport 0\nuser root\npidfile {dir}/pid\nbindcmdaddress {dir}/cmd/sock\n");
        let conf = folder.write("chrony.conf", text);
        let log = File::create(folder.join("stderr")).expect("a file can be made");
        let mut daemon = match under_test() {
            Side::Ours => {
                let mut command = Command::new(compliance::banto());
                command.arg("--dir").arg(folder.path()).arg("chronyd");
                command
            }
            Side::Stock => {
                let program = stock("chronyd").expect("it is installed where it is under test");
                compliance::stock_without_clock(&program)
            }
        };
        daemon.args(["-x", "-d", "-f"]).arg(conf);
        let mut command = match hosts {
            None => daemon,
            Some(hosts) => {
                let hosts = folder.write("hosts", hosts);
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]);
                command.arg(hosts).arg(daemon.get_program()).args(daemon.get_args());
                command
            }
        };
        command.env("BANTO_CLOCK_READ_ONLY", "1");
        command.stdout(log.try_clone().expect("it is open")).stderr(log);
        let process = Running::start(&mut command);
        let daemon = Self { _process: process, folder };
        assert!(eventually(PATIENCE, || daemon.folder.join("cmd/sock").exists()), "{}", daemon.log());
        daemon
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    fn chronyc(&self, words: &[&str]) -> String {
        let socket = self.folder.join("cmd/sock");
        let output = ours("chronyc").arg("-n").arg("-h").arg(socket).args(words).output();
        String::from_utf8_lossy(&output.expect("chronyc can be started").stdout).into_owned()
    }

    /// Reference id and stratum.
    fn reference(&self) -> (String, u32) {
        let text = self.chronyc(&["-c", "tracking"]);
        let mut fields = text.split(',');
        let id = fields.next().unwrap_or_default().to_owned();
        (id, fields.nth(1).and_then(|stratum| stratum.parse().ok()).unwrap_or(99))
    }

    /// Addresses of the sources that answer.
    fn answering(&self) -> Vec<String> {
        let text = self.chronyc(&["-c", "sources"]);
        let fields = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let answers = fields.filter(|fields| fields.len() > 5 && fields[5] != "0");
        answers.map(|fields| fields[2].to_owned()).collect()
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        let state = || self.chronyc(&["sources"]) + &self.chronyc(&["tracking"]) + &self.log();
        assert!(eventually(PATIENCE, holds), "{what}: {}", state());
    }
}

/// Goal: three orphans without a better source agree on the one of the least reference id, which alone vouches for its own clock, and go
/// on to do so when the other two are of a larger stratum.
#[test]
fn orphans_agree_on_one() {
    let port = free_port();
    // An orphan waits 300 s for something better; chronyd 4.3 did not, and does not know the option.
    let soon = if under_test() == Side::Ours { "waitunsynced 0" } else { "" };
    let all = [11, 12, 13];
    let start = |own: u8| {
        let others = all.iter().filter(|other| **other != own);
        let servers: String =
            others.map(|n| format!("server 127.0.0.{n} port {port} iburst minpoll 0 maxpoll 0\n")).collect();
        Daemon::start(&format!(
            "{servers}local stratum 8 orphan {soon}\nallow 127.0.0.0/8\nport {port}\nbindaddress 127.0.0.{own}\n\
             bindacqaddress 127.0.0.{own}"
        ))
    };
    let daemons = all.map(start);
    let (root, follower) = (("7F7F0101".to_owned(), 8), ("7F00000B".to_owned(), 9));
    daemons[1].wait("the second follows", || daemons[1].reference() == follower);
    daemons[2].wait("the third follows", || daemons[2].reference() == follower);
    let many = |daemon: &Daemon| {
        let text = daemon.chronyc(&["-c", "sources"]);
        text.lines().all(|line| line.split(',').nth(5) == Some("377"))
    };
    for daemon in &daemons {
        daemon.wait("all answered eight times", || many(daemon));
    }
    assert_eq!(daemons.each_ref().map(Daemon::reference), [root, follower.clone(), follower]);
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
    let daemon = Daemon::start_as(&lines, Some(&hosts));
    daemon.wait("two answer", || daemon.answering().len() == 2);
    let before = daemon.answering();
    let bad = addresses.iter().position(|address| *address == before[0]).expect("it is one of them");
    let spare = addresses.iter().find(|address| !before.iter().any(|one| one == *address));
    let spare = (*spare.expect("there are three")).to_owned();
    silent[bad].store(true, Ordering::Relaxed);
    let mut after = vec![before[1].clone(), spare];
    after.sort();
    daemon.wait("the third took its place", || {
        let mut now = daemon.answering();
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
        let daemon =
            Daemon::start(&(server.line(&format!("iburst minpoll -3 maxpoll -3 {option}")) + "port 0"));
        daemon.wait(option, || daemon.reference() == (expected.0.to_owned(), expected.1));
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
    let server = Daemon::start(&format!(
        "{lines}smoothtime 400 0.01\nallow 127.0.0.1\nport {port}\nbindaddress 127.0.0.1"
    ));
    server.wait("it is synchronised", || server.reference().1 == 2);
    server.chronyc(&["smoothtime", "activate"]);
    let client = Daemon::start(&format!("server 127.0.0.1 port {port} iburst minpoll -3 maxpoll -3\nport 0"));
    client.wait("it follows", || client.reference().1 == 3);
    let error = |daemon: &Daemon| {
        let text = daemon.chronyc(&["-c", "tracking"]);
        text.split(',').nth(4).and_then(|number| number.parse::<f64>().ok()).unwrap_or(f64::NAN).abs()
    };
    assert!(error(&client) < 0.01, "{}", client.chronyc(&["tracking"]));
    late.store(true, Ordering::Relaxed);
    server.wait("the server knows", || error(&server) > 0.15);
    // Within the seconds that a test has, 400 ppm and their slow start amount to less than this.
    let asked = |daemon: &Daemon| {
        let text = daemon.chronyc(&["ntpdata"]);
        let line = text.lines().find_map(|line| line.strip_prefix("Total valid RX"));
        line.and_then(|rest| rest.trim_start_matches([' ', ':']).trim().parse::<u32>().ok()).unwrap_or(0)
    };
    let before = asked(&client);
    client.wait("it was answered more often", || asked(&client) > before + 20);
    assert!(error(&client) < 0.02, "{}", client.chronyc(&["tracking"]));
}
