//! `chronyc` against the stock daemon, the stock `chronyc` against ours, and chrony.conf read by both.
//!
//! The client under test is compared with the stock client at the same daemon: same bytes on standard output, same exit
//! code. Numbers move while the daemon runs, so the stock client is asked before and after, and the comparison is
//! repeated a bounded number of times until ours agrees with either; what never stands still is compared with its digits
//! masked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::time_server::TimeServer;
use compliance::{
    Chronyd, Side, TempDir, chronyc, eventually, free_port, ours, skip, stock_or_skip, under_test,
};

/// What a client printed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Printed {
    out: String,
    code: Option<i32>,
}

fn run_with_input(side: Side, args: &[&str], input: &str) -> Printed {
    use std::io::Write;
    let mut child = chronyc(side)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the client starts");
    // It may end without reading.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the client ends");
    Printed { out: String::from_utf8(output.stdout).expect("UTF-8"), code: output.status.code() }
}

fn run(side: Side, args: &[&str]) -> Printed {
    run_with_input(side, args, "")
}

/// A daemon that both clients ask, over its Unix socket and over UDP.
struct Daemon {
    socket: String,
    command_port: u16,
    chronyd: Chronyd,
}

impl Daemon {
    fn start(side: Side, lines: &str) -> Self {
        let command_port = free_port();
        let chronyd = Chronyd::start(side, &format!("{lines}\ncmdport {command_port}"));
        let socket = chronyd.socket().to_str().expect("UTF-8").to_owned();
        let answers = || run(Side::Stock, &["-h", &socket, "activity"]).code == Some(0);
        assert!(eventually(Duration::from_secs(20), answers), "no answer; log: {}", chronyd.log());
        Self { socket, command_port, chronyd }
    }

    fn log(&self) -> String {
        self.chronyd.log()
    }
}

/// Two stock daemons: one serves its own clock, one follows it. None: said why.
fn server_and_follower() -> Option<(Daemon, Daemon)> {
    stock_or_skip("chronyc")?;
    stock_or_skip("chronyd")?;
    stock_or_skip("setpriv")?;
    if sys::process::effective_uid() != 0 {
        skip("the stock chronyd has to be started by root");
        return None;
    }
    let port = free_port();
    let server = Daemon::start(Side::Stock, &format!("local stratum 5\nport {port}\nallow"));
    let follower = Daemon::start(
        Side::Stock,
        &format!(
            "server 127.0.0.1 port {port} iburst minpoll 6\nserver 127.0.0.2 port {port} offline prefer trust\n\
         server no-such-name.invalid\nport 0"
        ),
    );
    let synced = run(Side::Stock, &["-h", &follower.socket, "waitsync", "100", "0", "0", "0.2"]);
    assert_eq!(synced.code, Some(0), "{} log: {}", synced.out, follower.log());
    Some((server, follower))
}

/// Digits in a row, signs and the words that a sign chooses, each made one mark.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for letter in text.replace(" slow", " fast").chars() {
        let mark = match letter {
            '0'..='9' => '#',
            '+' | '-' => '+',
            other => other,
        };
        if mark != '#' || !out.ends_with('#') {
            out.push(mark);
        }
    }
    out
}

/// The client under test prints what the stock client prints, within a few tries.
fn check_same(args: &[&str], form: fn(&str) -> String) {
    let formed = |side| {
        let printed = run(side, args);
        Printed { out: form(&printed.out), ..printed }
    };
    let mut seen = Vec::new();
    for _ in 0..20 {
        let before = formed(Side::Stock);
        let tested = formed(under_test());
        let after = formed(Side::Stock);
        if tested == before || tested == after {
            return;
        }
        seen = vec![before, tested, after];
    }
    panic!("{args:?}: stock, tested, stock: {seen:#?}");
}

/// With the legend of `selectdata` as it was before there were limits of strata, which the stock client may be too old for.
fn legend_of_old(text: &str) -> String {
    text.replace("M - missing samples, r - stratum", "M - missing samples,")
        .replace("U - waits for update, x", "U - waits for update,, x")
}

fn exactly(text: &str) -> String {
    text.to_owned()
}

/// Goal: every report and every order, with every option that changes it, prints what the stock client prints.
#[test]
fn prints_what_the_stock_client_prints() {
    let Some((_server, follower)) = server_and_follower() else { return };
    let socket = follower.socket.as_str();
    let commands = [
        "sources",
        "sources -a",
        "sources -v",
        "sources -a -v",
        "sourcestats",
        "sourcestats -a -v",
        "activity",
        "selectdata -v",
        "selectdata -a",
        "authdata -a -v",
        "authdata",
        "ntpdata",
        "ntpdata 127.0.0.1",
        "ntpdata 192.0.2.1",
        "clients",
        "clients -k",
        "smoothing",
        "rtcdata",
        "manual list",
        "sourcename 127.0.0.1",
        "sourcename 192.0.2.1",
        "sourcename ID#0000000001",
        "makestep",
        "makestep 1 3",
        "burst 1/1 192.0.2.1",
        "burst",
        "online",
        "offline 192.0.2.1",
        "online 255.255.255.0/192.0.2.0",
        "accheck 10.0.0.1",
        "cmdaccheck 127.0.0.1",
        "allow 10.0.0.0/8",
        "deny all 10",
        "local stratum 7",
        "local off",
        "dump",
        "cyclelogs",
        "rekey",
        "reload sources",
        "refresh",
        "reselect",
        "maxdelay 127.0.0.1 0.5",
        "minpoll 127.0.0.1 6",
        "minpoll 192.0.2.1 6",
        "delete 192.0.2.1",
        "manual on",
        "smoothtime reset",
        "writertc",
        "no such command",
        "",
    ];
    for command in commands {
        for option in ["", "-n", "-N", "-c"] {
            let mut args = vec!["-h", socket];
            args.extend((!option.is_empty()).then_some(option));
            args.extend(command.split_whitespace());
            check_same(&args, if command == "selectdata -v" { legend_of_old } else { exactly });
        }
    }
    for command in ["tracking", "serverstats", "waitsync 1"] {
        for option in ["-n", "-N", "-c"] {
            let mut args = vec!["-h", socket, option];
            args.extend(command.split_whitespace());
            check_same(&args, masked);
        }
    }
    let left: Vec<PathBuf> = std::fs::read_dir(follower.chronyd.folder().join("cmd"))
        .expect("the folder of the socket")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(left, [PathBuf::from(socket)], "a client left its socket");
}

/// What a client printed on standard error, its first line: ours says what to type in further ones.
fn complaint(side: Side, args: &[&str]) -> String {
    let output = chronyc(side).args(args).stdin(Stdio::null()).output().expect("the client runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    text.lines().next().filter(|line| !line.starts_with("help: ")).unwrap_or("").to_owned()
}

/// Goal: every command with wrong, missing and superfluous words says what the stock client says, on standard output, on
/// standard error and by its exit code.
#[test]
fn complains_as_the_stock_client_does() {
    let Some((_server, follower)) = server_and_follower() else { return };
    let commands = [
        "accheck",
        "accheck no-such-name.invalid",
        "accheck 10.0.0.1 x",
        "cmdaccheck",
        "cmdaccheck 300.1.1.1",
        "allow 10.0.0.0/33",
        "allow x y",
        "allow no-such-name.invalid",
        "allow all 10.0.0.0/x",
        "deny foo bar",
        "cmdallow ::1/129",
        "cmddeny 1.2.3.4/5/6",
        "activity x",
        "add",
        "add server",
        "add foo bar",
        "add server 127.0.0.9 bogus",
        "add server 127.0.0.9 minpoll x",
        "add server no-such-name.invalid",
        "add server 127.0.0.1 port 12499",
        "add pool 127.0.0.8 port 12499 maxsources 2",
        "add peer 127.0.0.7 port 12499",
        "delete",
        "delete no-such-name.invalid",
        "delete 127.0.0.7",
        "delete 127.0.0.8",
        "authdata -x",
        "burst",
        "burst 1",
        "burst 1/x",
        "burst 4/2",
        "burst 0/0",
        "burst 1/2 1.2.3.4/x",
        "burst 1/2 no-such-name.invalid",
        "clients -x",
        "clients -p",
        "clients -p x",
        "cyclelogs x",
        "dfreq",
        "dfreq x",
        "dfreq 1x",
        "dns",
        "dns x",
        "doffset",
        "doffset x",
        "dump x",
        "keygen x",
        "keygen 1 FOO",
        "keygen 1 SHA1 x",
        "keygen 1 SHA1 8 9",
        "local x",
        "local stratum",
        "local stratum 16",
        "local stratum 0",
        "local orphan",
        "local off",
        "makestep 1",
        "makestep x 1",
        "makestep 1 x",
        "manual",
        "manual x",
        "manual off",
        "manual on",
        "manual delete",
        "manual delete x",
        "manual delete 5",
        "manual list x",
        "manual reset",
        "maxdelay",
        "maxdelay 127.0.0.1",
        "maxdelay 127.0.0.1 x",
        "maxdelay 1.2.3.4 1",
        "maxdelaydevratio 127.0.0.1 x",
        "maxdelayratio 127.0.0.1 2",
        "maxpoll 127.0.0.1 50",
        "maxpoll 127.0.0.1 x",
        "maxupdateskew",
        "maxupdateskew x",
        "minpoll 127.0.0.1 -10",
        "minstratum 127.0.0.1 x",
        "minstratum 127.0.0.1 2",
        "ntpdata 1.2.3.4",
        "ntpdata no-such-name.invalid",
        "offline x/y",
        "offline 1.2.3.4/24",
        "offline no-such-name.invalid",
        "online 127.0.0.1/x",
        "online",
        "offline 127.0.0.2",
        "onoffline x",
        "polltarget 127.0.0.1 x",
        "polltarget 127.0.0.1 6",
        "polltarget 127.0.0.1 0",
        "refresh x",
        "rekey x",
        "reload",
        "reload x",
        "reload sources",
        "reset",
        "reset x",
        "reselect x",
        "reselectdist",
        "reselectdist x",
        "reselectdist 0.1",
        "retries",
        "retries x",
        "retries 99",
        "retries 2",
        "rtcdata x",
        "settime",
        "smoothing x",
        "smoothtime",
        "smoothtime x",
        "smoothtime activate",
        "sourcename",
        "sourcename no-such-name.invalid",
        "sourcename 1.2.3.4",
        "timeout",
        "timeout x",
        "timeout 50",
        "timeout 200",
        "tracking x",
        "trimrtc x",
        "writertc x",
        "authhash MD5",
        "password",
        "settime",
        "settime foo",
        "settime 99:99",
    ];
    for command in commands {
        let mut args = vec!["-n", "-h", follower.socket.as_str()];
        args.extend(command.split_whitespace());
        // After `settime` by the time of day the root dispersion of `tracking` grows from one call to the next.
        check_same(&args, if command.starts_with("tracking") { masked } else { exactly });
        // The stock client says nothing where a number is missing in these two.
        if !command.starts_with("maxupdateskew") && !command.starts_with("reselectdist") {
            assert_eq!(complaint(under_test(), &args), complaint(Side::Stock, &args), "{command}");
        }
    }
}

/// Goal: a time given by hand is taken by the stock daemon from our client, and by ours from the stock client, with the same
/// words.
#[test]
fn a_time_given_by_hand_is_taken() {
    let Some((_server, follower)) = server_and_follower() else { return };
    let own = Daemon::start(Side::Ours, "manual\nport 0");
    let say = |side, daemon: &Daemon, words: &[&str]| {
        let mut args = vec!["-n", "-h", daemon.socket.as_str()];
        args.extend_from_slice(words);
        let printed = run(side, &args);
        (masked(&printed.out).replace("+#", "#"), printed.code)
    };
    assert_eq!(run(Side::Stock, &["-h", &follower.socket, "manual", "on"]).code, Some(0));
    let expected = say(Side::Stock, &follower, &["settime", "now"]);
    assert!(expected.0.starts_with("#") && expected.0.contains("seconds fast"), "{expected:?}");
    assert_eq!(say(under_test(), &own, &["settime", "now"]), expected);
    assert_eq!(say(Side::Stock, &own, &["manual", "delete", "0"]).1, Some(0));
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(say(Side::Stock, &own, &["settime", "now"]), expected);
    for words in
        [&["manual", "list"][..], &["manual", "delete", "7"], &["manual", "reset"], &["manual", "off"]]
    {
        assert_eq!(say(Side::Stock, &own, words), say(under_test(), &own, words), "{words:?}");
    }
    assert_eq!(say(Side::Stock, &own, &["settime", "now"]).0, "# Facility not enabled in daemon\n");
}

/// Goal: the fields of CSV, one by one: as many as the stock client's, the same where they stand still, numbers elsewhere.
#[test]
fn csv_has_the_fields_of_the_stock_client() {
    let Some((server, follower)) = server_and_follower() else { return };
    let check = |socket: &str, command: &str, fields: usize, still: &[usize]| {
        let line = |side| {
            let out = run(side, &["-c", "-h", socket, command]).out;
            out.lines().next().unwrap_or("").split(',').map(str::to_owned).collect::<Vec<_>>()
        };
        let (expected, got) = (line(Side::Stock), line(under_test()));
        assert_eq!((expected.len(), got.len()), (fields, fields), "{command}: {expected:?} {got:?}");
        for (index, (expected, got)) in expected.iter().zip(&got).enumerate() {
            if still.contains(&index) {
                assert_eq!(got, expected, "{command}, field {index}");
            } else {
                assert!(got.parse::<f64>().is_ok(), "{command}, field {index}: {got}");
            }
        }
    };
    check(&follower.socket, "tracking", 14, &[0, 1, 2, 13]);
    check(&follower.socket, "sources", 10, &[0, 1, 2, 3]);
    check(&follower.socket, "sourcestats", 8, &[0]);
    check(&follower.socket, "activity", 5, &[0, 1, 2, 3, 4]);
    check(&follower.socket, "waitsync", 4, &[0, 1]);
    check(&server.socket, "tracking", 14, &[0, 1, 2, 13]);
    check(&server.socket, "serverstats", 11, &[]);
}

/// Goal: where the daemon is looked for, and what is said when it is not there or does not allow a command.
#[test]
fn looks_for_the_daemon_as_the_stock_client_does() {
    let Some((server, follower)) = server_and_follower() else { return };
    let absent = follower.chronyd.folder().join("cmd/absent.sock");
    let absent = absent.to_str().expect("UTF-8");
    let (port, nobody) = (follower.command_port.to_string(), free_port().to_string());
    let fallback = format!("{absent},127.0.0.1,::1");
    check_same(&["-n", "-h", "127.0.0.1", "-p", &port, "sources"], exactly);
    check_same(&["-h", "127.0.0.1", "-p", &port, "makestep"], exactly);
    check_same(&["-h", "127.0.0.1", "-p", &port, "serverstats"], exactly);
    check_same(&["-n", "-h", &fallback, "-p", &port, "activity"], exactly);
    check_same(&["-h", "127.0.0.1", "-p", &nobody, "tracking"], exactly);
    check_same(&["-h", "127.0.0.1", "-p", &nobody, "waitsync", "2", "0", "0", "0.1"], exactly);
    check_same(&["-h", absent, "tracking"], exactly);
    check_same(&["-h", "no-such-name.invalid", "tracking"], exactly);
    // A daemon that serves only its own clock is not synchronised.
    check_same(&["-h", &server.socket, "waitsync", "2", "0", "0", "0.1"], masked);
    check_same(&["-h", &server.socket, "tracking"], masked);
    let expected = Printed { out: "506 Cannot talk to daemon\n".to_owned(), code: Some(1) };
    assert_eq!(run(under_test(), &["-h", "127.0.0.1", "-p", &nobody, "tracking"]), expected);
}

/// Goal: several commands in one call, and commands from standard input.
#[test]
fn takes_several_commands_as_the_stock_client_does() {
    let Some((_server, follower)) = server_and_follower() else { return };
    let socket = follower.socket.as_str();
    check_same(&["-n", "-m", "-h", socket, "activity", "sources -a", "sourcename 127.0.0.1"], exactly);
    check_same(&["-m", "-h", socket, "activity", "rtcdata", "activity"], exactly);
    check_same(&["-m", "-h", socket, "quit", "activity"], exactly);
    check_same(&["-nc", "-h", socket, "sources", "-a"], exactly);
    for input in [
        "",
        "activity\n\n# nothing\nrtcdata\nactivity",
        "rtcdata\n",
        "exit\nactivity\n",
        "timeout 50\nretries 3\n",
    ] {
        let args = ["-n", "-h", socket];
        assert_eq!(
            run_with_input(under_test(), &args, input),
            run_with_input(Side::Stock, &args, input),
            "{input:?}"
        );
    }
}

/// Goal: the stock client understands our daemon: each report has the stock daemon's layout, and both clients agree.
#[test]
fn the_stock_client_reads_our_daemon() {
    let Some((server, _follower)) = server_and_follower() else { return };
    let known = ours("chronyd").arg("-v").output().is_ok_and(|output| output.status.success());
    if !known {
        skip("our daemon is not among banto's programs yet");
        return;
    }
    let conf =
        std::fs::read_to_string(server.chronyd.folder().join("chrony.conf")).expect("its configuration");
    let port = conf.lines().find_map(|line| line.strip_prefix("port ")).expect("its port");
    let ours = Daemon::start(Side::Ours, &format!("server 127.0.0.1 port {port} iburst\nport 0"));
    let synced = run(Side::Stock, &["-h", &ours.socket, "waitsync", "150", "0", "0", "0.2"]);
    assert_eq!(synced.code, Some(0), "{} log: {}", synced.out, ours.log());
    let csv = |command: &str| run(Side::Stock, &["-c", "-h", &ours.socket, command]).out;
    let tracking = csv("tracking");
    assert!(tracking.starts_with("7F000001,127.0.0.1,6,") && tracking.ends_with(",Normal\n"), "{tracking}");
    let sources = csv("sources");
    assert!(sources.starts_with("^,*,127.0.0.1,5,") && sources.lines().count() == 1, "{sources}");
    assert!(csv("sourcestats").starts_with("127.0.0.1,"), "{}", csv("sourcestats"));
    // The first measurements are a burst, which ends by itself.
    let settled = eventually(Duration::from_secs(30), || csv("activity") == "1,0,0,0,0\n");
    assert!(settled, "{}", csv("activity"));
    let port = ours.command_port.to_string();
    let refused = run(Side::Stock, &["-h", "127.0.0.1", "-p", &port, "makestep"]);
    assert_eq!(refused, Printed { out: "501 Not authorised\n".to_owned(), code: Some(1) });
    // Both clients read the same of it.
    for command in
        ["tracking", "activity", "sources", "sourcestats", "selectdata", "authdata", "rtcdata", "smoothing"]
    {
        check_same(&["-n", "-h", &ours.socket, command], masked);
        check_same(&["-c", "-h", &ours.socket, command], masked);
    }
    // chronyc 4.3 asks for the older form of these and our daemon gives it; ours asks for the newer one, which only adds.
    for command in ["ntpdata", "serverstats"] {
        for option in ["-n", "-c"] {
            let args = [option, "-h", &ours.socket, command];
            let (stock, tested) = (run(Side::Stock, &args), run(under_test(), &args));
            assert_eq!((stock.code, tested.code), (Some(0), Some(0)), "{command}");
            let (stock, tested) = (masked(stock.out.trim_end()), masked(&tested.out));
            assert!(tested.starts_with(&stock), "{command}: {stock}\n{tested}");
        }
    }
    for command in [
        "sourcename 127.0.0.1",
        "reload sources",
        "online",
        "offline 192.0.2.1",
        "burst 1/1 192.0.2.1",
        "refresh",
        "cyclelogs",
        "accheck 10.0.0.1",
    ] {
        let mut args = vec!["-n", "-h", &ours.socket];
        args.extend(command.split(' '));
        check_same(&args, exactly);
    }
}

/// A time server that says of itself that it may be wrong by 300 ms: the interval of such a source stands still in three digits, where
/// that of a server on this host grows by nanoseconds from one call to the next.
fn vague_server() -> TimeServer {
    TimeServer::start("127.0.0.1", |ask| {
        let mut reply = ask.reply(0.0);
        // Stratum 2, of 192.0.2.1; root delay 0.4 s and root dispersion 0.1 s, each in 1/65536 s.
        reply[1] = 2;
        reply[4..8].copy_from_slice(&26_214_u32.to_be_bytes());
        reply[8..12].copy_from_slice(&6_554_u32.to_be_bytes());
        reply[12..16].copy_from_slice(&[192, 0, 2, 1]);
        ask.send(&reply);
    })
}

/// Our daemon with one source at a vague server, after its first burst; `more` are words for the line of the source.
fn ours_at_a_vague_server(more: &str) -> (TimeServer, Daemon) {
    let server = vague_server();
    let ours = Daemon::start(Side::Ours, &(server.line(&format!("iburst minpoll 6 {more}")) + "port 0"));
    let csv = |command: &str| run(Side::Stock, &["-c", "-h", &ours.socket, command]).out;
    let measured =
        || csv("sourcestats").split(',').nth(1).and_then(|count| count.parse::<u32>().ok()) >= Some(4);
    assert!(eventually(Duration::from_secs(30), measured), "{} log: {}", csv("sourcestats"), ours.log());
    // Each measurement of the burst moves the numbers.
    let settled = || csv("activity") == "1,0,0,0,0\n";
    assert!(eventually(Duration::from_secs(30), settled), "log: {}", ours.log());
    (server, ours)
}

/// Goal: both clients read the same selection data of our daemon, to the last digit.
#[test]
fn selection_data_of_our_daemon_reads_alike() {
    if stock_or_skip("chronyc").is_none() {
        return;
    }
    let (_server, ours) = ours_at_a_vague_server("");
    let shown = run(Side::Stock, &["-n", "-h", &ours.socket, "selectdata"]).out;
    assert!(shown.starts_with("S Name") && shown.contains("-30") && shown.contains("+30"), "{shown}");
    assert!(shown.contains("\n* 127.0.0.1") && shown.contains("ms"), "{shown}");
    for command in ["selectdata", "selectdata -v", "selectdata -a -v"] {
        let args: Vec<&str> = ["-n", "-h", &ours.socket].into_iter().chain(command.split(' ')).collect();
        check_same(&args, legend_of_old);
    }
}

/// Goal: both clients read the same measurements of our daemon, to the last digit. Method: nothing is selected, so the clock is not
/// moved under the measurements; and the source is a quarter of a second away, so that the offset which `sourcestats` extrapolates to
/// this moment stands still in three digits. All its digits, as CSV shows them, move.
#[test]
fn measurements_of_our_daemon_read_alike() {
    if stock_or_skip("chronyc").is_none() {
        return;
    }
    let (_server, ours) = ours_at_a_vague_server("noselect offset 0.25");
    let shown = run(Side::Stock, &["-n", "-h", &ours.socket, "sources"]).out;
    assert!(shown.contains(" 127.0.0.1 ") && shown.contains("ms["), "{shown}");
    for command in ["sources", "sources -v", "sources -a -v", "sourcestats", "sourcestats -v"] {
        for option in ["-n", "-N", "-c"] {
            let args: Vec<&str> =
                [option, "-h", &ours.socket].into_iter().chain(command.split(' ')).collect();
            let moves = option == "-c" && command.starts_with("sourcestats");
            check_same(&args, if moves { masked } else { exactly });
        }
    }
}

/// What our reader says of a configuration: its errors, and what is in effect.
fn read_by_us(text: &str) -> (bool, String) {
    let mut loader = conf_text::MemoryLoader::new([("/c", text)]);
    let mut settings = chrony_conf::Settings::new(&layout::Layout::system());
    let (mut sources, mut diagnostics) = (conf_text::Sources::new(), conf_text::Diagnostics::new());
    chrony_conf::load(Path::new("/c"), &mut settings, &mut loader, &mut sources, &mut diagnostics);
    (diagnostics.has_errors(), settings.render())
}

/// Goal: a configuration is good or bad for both readers alike, and what we render the stock daemon reads.
#[test]
fn both_readers_agree_on_chrony_conf() {
    let Some(chronyd) = stock_or_skip("chronyd") else { return };
    let folder = TempDir::new();
    let stock_accepts = |text: &str| {
        let file = folder.write("chrony.conf", text);
        let output = Command::new(&chronyd).arg("-p").arg("-f").arg(file).output().expect("chronyd runs");
        output.status.success()
    };
    let check = |text: &str, good: bool| {
        let (errors, rendered) = read_by_us(text);
        assert_eq!(stock_accepts(text), good, "stock: {text}");
        assert_eq!(!errors, good, "ours: {text}");
        if good {
            assert!(stock_accepts(&rendered), "rendered: {rendered}");
            assert_eq!(read_by_us(&rendered), (false, rendered.clone()));
        }
    };
    for good in [
        "",
        "! c\n; c\n# c\n% c\n\tSERVER a.example IBURST\tMinPoll 4",
        "pool 2.debian.pool.ntp.org iburst\nkeyfile /k\ndriftfile /d\nlogdir /l\nmaxupdateskew 100.0\nrtcsync\nmakestep 1 3",
        "makestep 0.1 -1\nallow\nallow 10\nallow 10.1\nallow 10.1.2\ndeny all 10.1.2.3/32\nallow ::/0\nlocal\nlocal stratum 3 distance 2",
        "port 0\ncmdport 0\nbindaddress ::1\nbindcmdaddress /\nlog tracking measurements\nminsources 2\npidfile /\nuser root",
        "server a.example key 1 version 3 maxdelay 0.1 offset 0.001 prefer trust require noselect offline port 11123",
        "cmdallow 192.0.2.0/24\ncmddeny all\ndumpdir /x\nmaxslewrate 1000\nmaxdistance 16\nlogchange 0.5",
        "include /usr/*.no-such\nconfdir /no/such/folder\nsourcedir /no/such/folder",
        "leapsectz right/UTC\nntsdumpdir /n\nrefclock PPS /dev/pps0\nhwtimestamp *",
    ] {
        check(good, true);
    }
    for bad in [
        "srver a.example",
        "server",
        "server a.example ibrst",
        "server a.example minpoll",
        "server a.example minpoll x",
        "server a.example key 0",
        "makestep 1",
        "rtcsync yes",
        "driftfile",
        "driftfile /a /b /c",
        "port",
        "port x",
        "allow 10.0.0.0/x",
        "allow 300.1",
        "bindaddress somewhere",
        "local stratum 16",
        "local strtum 3",
        "log everything",
        "include /no/such/file",
    ] {
        check(bad, false);
    }
}
