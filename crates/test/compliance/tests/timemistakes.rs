//! What a time daemon says of files that are not there, that it may not use, or that hold something else: each by its path, and
//! with what to type.

use compliance::time_server::TimeServer;
use compliance::{Chronyd, Side, TempDir, chronyd, eventually, free_port, under_test};

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a daemon says that does not start with these lines; `{dir}` stands for its folder.
fn refused(folder: &TempDir, words: &[&str], lines: &str) -> String {
    let text = format!("{lines}\npidfile {{dir}}/pid\nbindcmdaddress {{dir}}/sock\nuser root\n");
    let conf = folder.write("chrony.conf", text.replace("{dir}", &folder.path().display().to_string()));
    let mut command = chronyd(under_test(), folder.path());
    let output = command.args(words).arg("-f").arg(conf).stdin(Stdio::null()).output();
    let output = output.expect("the daemon can be started");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!output.status.success(), "{lines} was taken:\n{said}");
    said
}

/// Goal: what makes a start impossible is told with its line or its path, and what to type.
#[test]
fn what_cannot_be_started_with_is_named() {
    let folder = TempDir::new();
    std::fs::create_dir(folder.join("keys")).expect("a folder can be made");
    let port = free_port();
    let check = |words: &[&str], lines: &str, expected: &[&str]| {
        let said = refused(&folder, words, lines);
        if under_test() == Side::Ours {
            for part in expected {
                let part = part.replace("{dir}", &folder.path().display().to_string());
                assert!(said.contains(&part), "{lines}: {part} is not in\n{said}");
            }
        }
    };
    let lone = format!("port {port}\nntsport {port}\nntsservercert {{dir}}/crt");
    let said = ["ntsservercert has no ntsserverkey", "chrony.conf:3:1", "help: ntsserverkey FILE"];
    check(&["-d"], &lone, &said);
    if under_test() == Side::Ours {
        // chronyd -p sees each line for itself.
        check(&["-p"], &lone, &said);
        check(
            &["-d"],
            "port 0\ncmdport 0\nkeyfile {dir}/keys",
            &["Could not read key file {dir}/keys: ", "help: ls -l {dir}/keys"],
        );
    }
    check(
        &["-d"],
        "port 0\ncmdport 0\nrefclock SOCK {dir}/none/s",
        &[
            "refclock SOCK {dir}/none/s",
            "No such file",
            "help: its folder must be there: mkdir -p {dir}/none",
        ],
    );
}

/// Goal: what cannot be opened at the start is named once, with the line that names it, and with what can be typed.
#[test]
fn what_cannot_be_opened_has_its_line() {
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon names the path alone");
    }
    let folder = TempDir::new();
    folder.write("text", "no certificate\n");
    let port = free_port();
    let check = |lines: &str, expected: &[&str]| {
        let said = refused(&folder, &["-d"], &format!("cmdport 0\n{lines}"));
        let path = folder.path().display().to_string();
        for part in expected {
            let part = part.replace("{dir}", &path);
            assert_eq!(said.matches(&part).count(), 1, "{lines}: {part} is not once in\n{said}");
        }
        assert!(said.contains("chrony.conf:2)\nhelp: "), "{lines}: no place in\n{said}");
    };
    check(
        "refclock PPS {dir}/pps\nport 0",
        &[
            "refclock PPS {dir}/pps (number 0): No such file or directory (",
            "help: those that are there: ls /dev/pps*",
        ],
    );
    check("refclock PHC {dir}/ptp\nport 0", &["PHC {dir}/ptp (number 0): No such file", "ls /dev/ptp*"]);
    check(
        &format!("ntsservercert {{dir}}/text\nntsserverkey {{dir}}/text\nport {port}\nntsport {port}"),
        &["ntsservercert {dir}/text holds no certificate", "grep -lr"],
    );
    check(
        &format!("ntsservercert {{dir}}/none\nntsserverkey {{dir}}/text\nport {port}\nntsport {port}"),
        &[
            "cannot use ntsservercert {dir}/none: No such file or directory (",
            "files beside it: ls -l {dir}\n",
        ],
    );
    let lines = "ntstrustedcerts {dir}/text\nlogdir /proc/none\nserver 127.0.0.1 port 9";
    let daemon = Chronyd::start_in(TempDir::new(), Side::Ours, &format!("{lines}\nport 0\ncmdport 0"));
    let path = daemon.folder().path().display().to_string();
    for part in [
        format!(
            "Could not read certificates of {path}/text: No such file or directory ({path}/chrony.conf:1)\nhelp: correct the name; the files beside it: ls -l {path}\n"
        ),
        format!(
            "Could not use logdir /proc/none: No such file or directory ({path}/chrony.conf:2)\nhelp: ls -ld"
        ),
    ] {
        assert!(daemon.log().contains(&part), "{part} is not in\n{}", daemon.log());
    }
    drop(daemon);
    let daemon =
        Chronyd::client(Side::Ours, "server 127.0.0.1 nts ntsport 9 iburst\nntstrustedcerts {dir}/crt");
    daemon.wait("the port is told", || {
        let log = daemon.log();
        log.contains("no certificate is trusted; it is tried again\nhelp: in chrony.conf: ntstrustedcerts /")
            || log.contains("TCP port 9 of 127.0.0.1: Connection refused; it is tried again\nhelp: ")
    });
}

/// Goal: numbers and words that make no sense and that chrony's chronyc and daemon take are taken here too, with the same effect
/// (docs/compatibility.md names them).
#[test]
fn what_stock_takes_is_taken() {
    let lines = "server 127.0.0.2 port 9 offline\nport 0\ncmdport 0";
    let daemon = Chronyd::start(under_test(), lines).read_by(under_test());
    for (words, told) in [
        ("reselectdist -1", "New reselect distance -1.000000"),
        ("maxdelay 127.0.0.2 -5", "Source 127.0.0.2 new maxdelay 0.000000"),
        ("makestep 0.1 -1 7", "New makestep 0.100000 -1"),
        ("refresh x", ""),
        ("online 127.0.0.2/33", ""),
    ] {
        let said = daemon.chronyc(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(said.trim(), "200 OK", "{words}");
        assert!(daemon.log().contains(told) || under_test() == Side::Stock, "{words}: {}", daemon.log());
    }
    assert!(daemon.chronyc(&["activity"]).contains("1 sources online"), "{}", daemon.log());
    let line = daemon.chronyc(&["keygen", "0"]);
    assert!(line.starts_with("0 SHA1 HEX:") || line.starts_with("0 MD5 HEX:"), "{line}");
}

/// Goal: an address is one source, whatever its port: of several lines the first counts, and the others are refused by name.
#[test]
fn an_address_is_one_source() {
    let lines = "server 127.0.0.2 port 9 offline\nserver 127.0.0.2 port 10\nserver 127.0.0.2 port 9\n\
                 server 127.0.0.3 port 9\nport 0\ncmdport 0";
    let daemon = Chronyd::start(under_test(), lines).read_by(under_test());
    let sources = || -> Vec<String> {
        daemon.rows(&["sources"]).into_iter().filter_map(|row| row.get(2).cloned()).collect()
    };
    assert_eq!(sources(), ["127.0.0.2", "127.0.0.3"], "{}", daemon.log());
    assert!(daemon.chronyc(&["activity"]).contains("1 sources offline"), "{}", daemon.log());
    let told = daemon.log().matches("Could not add source 127.0.0.2").count();
    assert_eq!(told, 2, "{}", daemon.log());
    assert!(daemon.chronyc(&["add", "server", "127.0.0.2", "port", "11"]).contains("Source already present"));
    if under_test() == Side::Stock {
        return;
    }
    // The first line goes: the second has the address.
    let conf = daemon.folder().join("chrony.conf");
    let text = std::fs::read_to_string(&conf).expect("it was written");
    std::fs::write(&conf, text.replacen("server 127.0.0.2 port 9 offline\n", "", 1)).expect("it is ours");
    daemon.process().signal(sys::signal::HUP);
    daemon.wait("another line has it", || daemon.chronyc(&["activity"]).contains("0 sources offline"));
    assert_eq!(sources().len(), 2, "{}", daemon.log());
}

/// Goal: places that nothing can be written to are told at the start, each with its path; folders that are missing are made.
#[test]
fn places_that_cannot_be_used_are_told_at_the_start() {
    let folder = TempDir::new();
    folder.write("file", "");
    std::fs::create_dir(folder.join("drift")).expect("a folder can be made");
    let path = folder.path().display().to_string();
    let lines = "logdir {dir}/file\ndumpdir {dir}/file/dump\ndriftfile {dir}/drift\nport 0\ncmdport 0";
    if under_test() == Side::Ours {
        let daemon = Chronyd::start_in(folder, Side::Ours, lines).read_by(Side::Ours);
        for part in [
            format!("Could not use logdir {path}/file: not a directory"),
            format!("Could not use dumpdir {path}/file/dump: Not a directory"),
            format!("Could not use driftfile {path}/drift: Is a directory"),
        ] {
            assert!(daemon.log().contains(&part), "{part} is not in\n{}", daemon.log());
        }
        drop(daemon);
    }
    let good = "logdir {dir}/l/m\ndumpdir {dir}/d\ndriftfile {dir}/e/drift\nport 0\ncmdport 0";
    let daemon = Chronyd::start_in(TempDir::new(), under_test(), good).read_by(under_test());
    assert!(!daemon.log().contains("Could not"), "{}", daemon.log());
    assert!(daemon.folder().join("l/m").is_dir() && daemon.folder().join("d").is_dir());
}

/// Goal: where one family's port is taken, and where an address is none of the host's, the daemon serves by the other and says which it
/// could not have, and what to type.
#[test]
fn a_port_that_only_one_family_has_is_told() {
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon says nothing");
    }
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return compliance::skip("there is no IPv6, and then the start is refused");
    }
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    for (address, help) in [
        ("127.0.0.1", format!("help: another port: port {}", port ^ 1)),
        ("192.0.2.1", "help: the addresses of this host: ip address".to_owned()),
    ] {
        let lines = format!("port {port}\ncmdport 0\nbindaddress {address}\nallow");
        let daemon = Chronyd::start(Side::Ours, &lines).read_by(Side::Ours);
        for part in [format!("Could not listen for NTP on {address}:{port}: "), help] {
            assert!(daemon.log().contains(&part), "{part} is not in\n{}", daemon.log());
        }
    }
}

/// Goal: a key file and a drift file that are something else are told of, in few lines however long they are, and the daemon serves
/// without them.
#[test]
fn files_that_are_something_else_are_told_in_few_lines() {
    let folder = TempDir::new();
    folder.write("keys", "these are no keys\n".repeat(5000) + "7 SHA1 HEX:00112233\n");
    folder.write("drift", "1000000000 1\n");
    let lines = "keyfile {dir}/keys\ndriftfile {dir}/drift\nport 0\ncmdport 0";
    let daemon = Chronyd::start_in(folder, Side::Ours, lines).read_by(Side::Ours);
    let log = daemon.log();
    let path = daemon.folder().path().display().to_string();
    for part in [
        format!("Could not use line 1 of {path}/keys"),
        format!("Could not use 4990 more lines of {path}/keys"),
        "Loaded 1 symmetric keys".to_owned(),
        format!("Could not read valid frequency and skew from driftfile {path}/drift"),
    ] {
        assert!(log.contains(&part), "{part} is not in\n{log}");
    }
    assert!(log.lines().count() < 20, "{log}");
    assert_eq!(daemon.cell("tracking", 7).parse::<f64>().expect("a number").abs(), 0.0);
}

/// Goal: a key file that is not there, or that may not be read any more, is named, and no source is said to lack a key in a file
/// that nobody could read.
#[test]
fn a_key_file_that_is_not_there_is_named() {
    let source = "server 127.0.0.1 port 9 key 1";
    let daemon =
        Chronyd::client(under_test(), &format!("keyfile {{dir}}/no.keys\n{source}")).read_by(under_test());
    let path = daemon.folder().join("no.keys").display().to_string();
    daemon.wait("the file is named", || {
        daemon.log().contains(&format!("Could not open keyfile {path} : No such file or directory"))
            || under_test() == Side::Stock && daemon.log().contains(&path)
    });
    if under_test() == Side::Stock {
        return;
    }
    let needed = format!("key 1 is needed and {path} is not there");
    daemon.wait("its source is told", || daemon.log().contains(&needed));
    assert!(!daemon.log().contains("Loaded 0"), "{}", daemon.log());
    // It comes, and may not be read: by others than root.
    daemon.folder().write("no.keys", "1 MD5 ASCII:secret\n");
    assert!(daemon.chronyc(&["rekey"]).contains("200 OK"), "{}", daemon.log());
    assert!(daemon.log().contains("Loaded 1 symmetric keys"), "{}", daemon.log());
    std::fs::remove_file(&path).and_then(|()| std::fs::create_dir(&path)).expect("a folder can be made");
    assert!(!daemon.chronyc(&["rekey"]).contains("200 OK"));
    assert!(daemon.log().contains(&format!("Could not read key file {path}: ")), "{}", daemon.log());
    drop(daemon);

    let daemon = Chronyd::client(under_test(), source);
    let log = daemon.log();
    assert!(log.contains("key 1 is in no file: there is no keyfile directive"), "{log}");
    assert!(log.contains("help: keyfile ") && log.contains("chrony.conf:1:1"), "{log}");
    assert!(!log.contains("has no key 1"), "{log}");
}

/// Goal: a key file that the daemon's user may not read is told when it is read again, with what to type.
#[test]
fn a_key_file_of_root_alone_is_told() {
    let user = match sys::user::by_name("nobody") {
        Ok(Some(user)) if sys::process::effective_uid() == 0 => user,
        _ => return compliance::skip("needs root and a user nobody"),
    };
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon says nothing more than the path");
    }
    let folder = TempDir::new();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("it is ours");
    let path = folder.write("root.keys", "1 MD5 ASCII:secret\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let lines = format!("user {}\nkeyfile {}\nport 0\ncmdport 0", user.name, path.display());
    let daemon = Chronyd::start_in(folder, Side::Ours, &lines).read_by(Side::Ours);
    assert!(!daemon.chronyc(&["rekey"]).contains("200 OK"), "{}", daemon.log());
    let path = path.display();
    for part in [
        format!("Could not read key file {path}: Permission denied"),
        format!("help: chown nobody: {path}; chmod 0640 {path}"),
    ] {
        assert!(daemon.log().contains(&part), "{part} is not in\n{}", daemon.log());
    }
}

/// Goal: an ordinary user who tries the daemon with the system's key file is not told to take the system's keys, and gets a daemon
/// without them, as chrony's.
#[test]
fn an_ordinary_user_is_not_given_the_keys() {
    use std::os::unix::process::CommandExt;
    let user = match sys::user::by_name("nobody") {
        Ok(Some(user)) if sys::process::effective_uid() == 0 => user,
        _ => return compliance::skip("needs root and a user nobody"),
    };
    let folder = TempDir::new();
    let path = folder.write("root.keys", "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
    let run = folder.join("run");
    for made in [&run, &run.join("cmd")] {
        std::fs::create_dir(made).expect("a folder can be made");
        std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        std::os::unix::fs::chown(made, Some(user.uid), Some(user.gid)).expect("root may");
    }
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let lines = "keyfile {dir}/root.keys\nserver 127.0.0.1 port 9 key 1\nport 0\ncmdport 0\npidfile {dir}/run/pid\n\
                 bindcmdaddress {dir}/run/cmd/sock\n";
    let conf = folder.write("user.conf", lines.replace("{dir}", &folder.path().display().to_string()));
    let mut command = chronyd(under_test(), &run);
    command.args(["-d", "-U", "-t", "1", "-f"]).arg(conf).uid(user.uid).gid(user.gid).current_dir("/");
    let mut other = chronyd(Side::Ours, &run);
    other.args(["-d", "-t", "1", "-u", "no-such-user", "port 0", "cmdport 0"]);
    other
        .arg(format!("pidfile {}/pid", run.display()))
        .arg(format!("bindcmdaddress {}/cmd/sock", run.display()));
    other.uid(user.uid).gid(user.gid).current_dir("/");
    let said_by = |command: &mut Command| {
        let output = command.stdin(Stdio::null()).output().expect("the daemon can be started");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = said_by(&mut command);
    assert!(said.contains(&format!("Could not open keyfile {}", path.display())), "{said}");
    assert!(!said.contains("chown") && !said.contains("atal error"), "{said}");
    if under_test() == Side::Ours {
        // Nobody but root becomes another user, so the slip would show at root's first start.
        let wrong = said_by(&mut other);
        assert!(
            wrong.contains("There is no user no-such-user\nhelp: adduser --system no-such-user"),
            "{wrong}"
        );
        assert!(said.contains("help: start the daemon as root"), "{said}");
        assert!(said.contains(&format!("key 1 is needed and {} may not be read", path.display())), "{said}");
    }
}

/// Goal: slips that leave a daemon running are told: what chronyd says in its words, the rest with file and line.
#[test]
fn silent_mistakes_are_told() {
    let folder = TempDir::new();
    folder.write("drift", "garbage x\n");
    let lines = "driftfile {dir}/drift\nserver 127.0.0.1 port 9";
    let daemon = Chronyd::start_in(folder, under_test(), &format!("{lines}\nport 0\ncmdport 0"));
    let path = daemon.folder().join("drift").display().to_string();
    let told = format!("Could not read valid frequency and skew from driftfile {path}");
    assert!(
        daemon.log().contains(&told) || under_test() == Side::Stock && daemon.log().contains(&path),
        "{}",
        daemon.log()
    );
    drop(daemon);
    if under_test() == Side::Stock {
        return;
    }
    let lines = "sourcedir {dir}/none\nconfdir {dir}/none2\nmailonchange no-such-user 1\ninitstepslew 30\n\
                 ntsservercert {dir}/crt\nntsserverkey {dir}/key\nserver 127.0.0.1 port 9 extfield F324\nport 0\ncmdport 0";
    let daemon = Chronyd::start(Side::Ours, lines);
    let (log, path) = (daemon.log(), daemon.folder().path().display().to_string());
    for (part, line) in [
        (format!("sourcedir {path}/none does not exist"), 1),
        (format!("confdir {path}/none2 does not exist"), 2),
        ("there is no user or alias no-such-user here".to_owned(), 3),
        ("initstepslew 30 names no server".to_owned(), 4),
        (format!("ntsservercert {path}/crt: No such file"), 5),
        (format!("ntsserverkey {path}/key: No such file"), 6),
        ("extfield 10A has no effect outside of PTP".to_owned(), 7),
    ] {
        let place = format!("chrony.conf:{line}:");
        let found = log.split("\n\n").filter(|one| one.contains(&part)).collect::<Vec<_>>();
        assert!(
            matches!(found[..], [one] if one.contains(&place) && one.contains("help: ")),
            "{part}:\n{log}"
        );
    }
    // At once, not a quarter of a minute later.
    assert!(log.contains("mailonchange sends no mail: "), "{log}");
}

/// Goal: a source whose key is in no file is listed as by chronyd, is not asked, and is told; `chronyc add` has it so too, and the
/// key that comes with `rekey` lets it be asked.
#[test]
fn a_source_without_its_key_is_listed_and_told() {
    let folder = TempDir::new();
    folder.write("keys", "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n");
    let lines = "keyfile {dir}/keys\nserver 127.0.0.8 port 9 key 98\nport 0\ncmdport 0";
    let daemon = Chronyd::start_in(folder, under_test(), lines).read_by(under_test());
    assert!(
        daemon.chronyc(&["add", "server", "127.0.0.9", "key", "99"]).contains("200 OK"),
        "{}",
        daemon.log()
    );
    assert_eq!(daemon.rows(&["sources"]).len(), 2, "{}", daemon.log());
    if under_test() == Side::Stock {
        return assert!(daemon.log().contains("Key 99 is missing"), "{}", daemon.log());
    }
    let path = daemon.folder().join("keys").display().to_string();
    for (source, id) in [("127.0.0.8", 98), ("127.0.0.9", 99)] {
        let told = format!("Source {source} is not asked: the key file {path} has no key {id}");
        assert!(daemon.log().contains(&told), "{told} is not in\n{}", daemon.log());
    }
    // A reload that brings one says so too.
    let conf = daemon.folder().join("chrony.conf");
    let text = std::fs::read_to_string(&conf).expect("it was written");
    std::fs::write(&conf, format!("{text}server 127.0.0.7 port 9 key 97\nserver 127.0.0.6 port 9\n"))
        .expect("ours");
    let socket = control::socket_path(&layout::Layout::house(daemon.folder().path()), "timed");
    let answer = control::Client::connect(&socket, Duration::from_secs(5))
        .and_then(|mut client| client.call("reload", control::Value::Null))
        .expect("the daemon reloads");
    let note = answer["note"].as_str().unwrap_or_default();
    assert!(note.contains("new: 127.0.0.6; not asked: 127.0.0.7 ("), "{note}");
    assert!(note.contains("has no key 97"), "{note}");
    assert_eq!(daemon.rows(&["sources"]).len(), 4, "{}", daemon.log());
    assert!(daemon.chronyc(&["delete", "127.0.0.9"]).contains("200 OK"), "{}", daemon.log());
}

/// Goal: a key that is not the server's is told at both ends, once each, and `banto time explain` names it as what to compare; where
/// replies come back without its code, that is told.
#[test]
fn a_wrong_key_is_told_at_both_ends() {
    const KEY: &str = "1 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n";
    const OTHER: &str =
        "1 SHA256 HEX:00112233445566778899AABBCCDDEE00\n2 SHA256 HEX:00112233445566778899AABBCCDDEEFF\n";
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon is silent about it");
    }
    let folder = TempDir::new();
    folder.write("keys", KEY);
    let port = free_port();
    let lines = format!("keyfile {{dir}}/keys\nport {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0");
    let server = Chronyd::start_in(folder, Side::Ours, &lines);
    let bare = TimeServer::ahead("127.0.0.2", 0.0);
    let folder = TempDir::new();
    folder.write("keys", OTHER);
    let often = "minpoll -2 maxpoll -2";
    let lines = format!(
        "keyfile {{dir}}/keys\nserver 127.0.0.1 port {port} key 1 {often}\n{}\nport 0\ncmdport 0",
        bare.line(&format!("key 2 {often}"))
    );
    let client = Chronyd::start_in(folder, Side::Ours, &lines).read_by(Side::Ours);
    let silence = "127.0.0.1 does not answer requests with key 1: a server without that key answers nothing";
    let codeless = "to key 2 cannot be used: they come back without a code";
    let refused =
        "Requests with key 1 from 127.0.0.1 are not answered: its code does not fit the key that is in ";
    client.wait("both are told", || client.log().contains(silence) && client.log().contains(codeless));
    let explained = || {
        let mut command = Command::new(compliance::banto());
        command.arg("--dir").arg(client.folder().path()).args(["time", "explain"]).env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("banto starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let said = explained();
    assert!(said.contains("compare line 1 of both key files first"), "{said}");
    assert!(said.contains("replies to key 2 come back with a code that does not fit"), "{said}");
    // Some more requests make no more lines.
    let before = bare.requests().len();
    client.wait("it asks on", || bare.requests().len() >= before + 8);
    let count = |log: String, what: &str| log.matches(what).count();
    assert_eq!(count(client.log(), silence), 1, "{}", client.log());
    assert_eq!(count(client.log(), codeless), 1, "{}", client.log());
    assert_eq!(count(server.log(), refused), 1, "{}", server.log());
    // With the right key it is followed, and nothing is left to say.
    client.folder().write("keys", KEY);
    assert!(client.chronyc(&["rekey"]).contains("200 OK"), "{}", client.log());
    client.wait("it is followed", || explained().contains("127.0.0.1 is followed"));
    let said = explained();
    assert!(
        !said.contains("line 1 of both") && said.contains("is not asked: key 2 is in no key file"),
        "{said}"
    );
}

/// Goal: a reload that is refused leaves everything as it was, whichever of its files is the bad one: keys, logs and sources.
#[test]
fn a_refused_reload_takes_nothing_of_any_file() {
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon reloads its source folders alone");
    }
    let folder = TempDir::new();
    let keys = folder.write("keys", "1 MD5 ASCII:before\n");
    let daemon = Chronyd::start_in(
        folder,
        Side::Ours,
        "keyfile {dir}/keys\nsourcedir {dir}/sources\nserver 127.0.0.1 port 9 key 1\nport 0\ncmdport 0",
    )
    .read_by(Side::Ours);
    let conf = daemon.folder().join("chrony.conf");
    let good = std::fs::read_to_string(&conf).expect("it was written");
    let sources = || -> Vec<String> {
        daemon.rows(&["sources"]).into_iter().filter_map(|row| row.get(2).cloned()).collect()
    };
    let refused = |count: usize| {
        daemon.process().signal(sys::signal::HUP);
        daemon.wait("why is told", || daemon.log().matches("not taken").count() == count);
        for word in ["Loaded 2 symmetric keys", "Log files reopened", "127.0.0.3"] {
            assert!(!daemon.log().contains(word), "{word}: {}", daemon.log());
        }
        assert_eq!(sources(), ["127.0.0.1"]);
    };
    // chrony.conf is bad, the key file and the folder are new and good.
    std::fs::write(&keys, "1 MD5 ASCII:after\n2 MD5 ASCII:after\n").expect("it is ours");
    daemon.folder().write("sources/one.sources", "server 127.0.0.3 port 9\n");
    std::fs::write(&conf, format!("{good}prot 123\n")).expect("it is ours");
    refused(1);
    // The key file is bad, chrony.conf is new and good.
    std::fs::remove_file(&keys).and_then(|()| std::fs::create_dir(&keys)).expect("a folder can be made");
    std::fs::write(&conf, format!("{good}server 127.0.0.2 port 9\n")).expect("it is ours");
    refused(2);
    // Both are good: all of it is taken.
    std::fs::remove_dir(&keys).expect("it is empty");
    std::fs::write(&keys, "1 MD5 ASCII:after\n2 MD5 ASCII:after\n").expect("it is ours");
    daemon.process().signal(sys::signal::HUP);
    daemon.wait("it is taken", || sources() == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    for word in ["Loaded 2 symmetric keys", "Log files reopened"] {
        assert!(daemon.log().contains(word), "{word}: {}", daemon.log());
    }
}

/// Goal: a second daemon on a host is told at once that another runs, which one it is and what to do, and touches nothing of it; an
/// instance with files of its own runs beside it, without a wait.
#[test]
fn a_second_daemon_is_told_of_the_first() {
    const AT_ONCE: Duration = Duration::from_secs(2);
    let port = free_port();
    let lines = format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0");
    let first = Chronyd::start(under_test(), &lines).read_by(under_test());
    let folder = first.folder();
    let pid = first.process().id().to_string();
    let begun = Instant::now();
    let mut second = chronyd(under_test(), folder.path());
    let output = second.args(["-d", "-f"]).arg(folder.join("chrony.conf")).stdin(Stdio::null()).output();
    let output = output.expect("the daemon can be started");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    let pid_file = folder.join("pid").display().to_string();
    let told = format!("Another chronyd may already be running (pid={pid}), check {pid_file}");
    assert!(said.contains(&told), "{said}");
    assert!(first.chronyc(&["tracking"]).contains("Stratum"), "{}", first.log());
    assert_eq!(std::fs::read_to_string(&pid_file).unwrap_or_default().trim(), pid);
    if under_test() == Side::Stock {
        return;
    }
    assert!(said.contains(&format!("help: end it first: kill {pid}")), "{said}");
    // The same folder, so the same control socket; everything else is its own, as chrony's manual wants it for -x.
    let conf = folder.write(
        "beside.conf",
        "port 0\ncmdport 0\nuser root\npidfile {dir}/pid2\nbindcmdaddress {dir}/cmd/sock2\n"
            .replace("{dir}", &folder.path().display().to_string()),
    );
    let log = std::fs::File::create(folder.join("beside")).expect("a file can be made");
    let begun = Instant::now();
    let mut beside = chronyd(Side::Ours, folder.path());
    beside.arg("-d").arg("-f").arg(conf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut beside = compliance::Running::start(&mut beside);
    let answers = || {
        let mut asked = compliance::chronyc(Side::Ours);
        asked.arg("-h").arg(folder.join("cmd/sock2")).arg("tracking");
        asked.output().is_ok_and(|output| output.status.success())
    };
    assert!(eventually(AT_ONCE, answers), "it does not answer within {AT_ONCE:?}");
    assert!(begun.elapsed() < AT_ONCE, "it took {:?}", begun.elapsed());
    let said = std::fs::read_to_string(folder.join("beside")).expect("it was made");
    assert!(said.contains(&format!("ask another daemon (pid={pid})")), "{said}");
    assert_eq!(beside.end(), Some(0));
    // The control socket is still the first one's.
    let path = control::socket_path(&layout::Layout::house(folder.path()), "timed");
    assert_eq!(control::answering(&path), pid.parse().ok());
}

/// What may stand in a file's place, and how it is made there.
type Trap = (&'static str, fn(&Path));
/// See [`Trap`].
const TRAPS: [Trap; 4] = [
    ("a pipe", |at| {
        let made = Command::new("mkfifo").arg(at).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo {}", at.display());
    }),
    ("a folder", |at| std::fs::create_dir(at).expect("a folder")),
    // Without a byte in it: it takes no room, and the memory only where it is read.
    ("a huge file", |at| {
        std::fs::File::create(at).and_then(|file| file.set_len(1 << 42)).expect("a file");
    }),
    ("a link to nothing that ends", |at| std::os::unix::fs::symlink("/dev/zero", at).expect("a link")),
];

/// Goal: whatever stands in the place of a file that the daemon opens at its start, nothing holds it or fills its memory: it starts, or
/// says which file it is where a start without it would be another than the one that was asked for.
#[test]
fn nothing_in_a_files_place_holds_a_start() {
    const AT_ONCE: Duration = Duration::from_secs(3);
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon waits for whoever writes the pipe");
    }
    let server = "server 127.0.0.1 port 9 iburst nts\nport 0\ncmdport 0";
    for (name, set) in TRAPS {
        let folder = TempDir::new();
        for inside in ["dump", "nts", "sources", "log"] {
            std::fs::create_dir(folder.join(inside)).expect("a folder");
        }
        for file in [
            "drift",
            "leap",
            "rtc",
            "adjtime",
            "sensor",
            "pid",
            "dump/127.0.0.1.dat",
            "nts/ntskeys",
            "nts/127.0.0.1.nts",
            "sources/one.sources",
            "log/tracking.log",
        ] {
            // A folder with the name of the pid file is no folder for one.
            if (file, name) != ("pid", "a folder") {
                set(&folder.join(file));
            }
        }
        let lines = format!(
            "{server}\ndriftfile {{dir}}/drift\nleapseclist {{dir}}/leap\nrtcfile {{dir}}/rtc\nhwclockfile {{dir}}/adjtime\n\
             tempcomp {{dir}}/sensor 1 0 0 0 0\ndumpdir {{dir}}/dump\nntsdumpdir {{dir}}/nts\nsourcedir {{dir}}/sources\n\
             logdir {{dir}}/log\nlog tracking"
        );
        let begun = Instant::now();
        let daemon = Chronyd::start_as(folder, Side::Ours, &lines, |mut command| {
            command.arg("-r");
            command
        })
        .read_by(Side::Ours);
        assert!(daemon.chronyc(&["tracking"]).contains("Stratum"), "{name}: {}", daemon.log());
        assert!(begun.elapsed() < AT_ONCE, "{name}: {:?}\n{}", begun.elapsed(), daemon.log());
        assert_eq!(daemon.cell("tracking", 7), "0.000", "{name}: a frequency came from it");
        // No more memory than a daemon has use for.
        let status = format!("/proc/{}/status", daemon.process().id());
        let status = std::fs::read_to_string(status).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let peak: u64 = peak.and_then(|peak| peak.trim().parse().ok()).expect("the kernel tells it");
        assert!(peak < 100_000, "{name}: {peak} kB");
        drop(daemon);

        let folder = TempDir::new();
        for (file, lines) in [
            ("keys", format!("keyfile {{dir}}/keys\n{server}")),
            ("points", format!("tempcomp {{dir}}/sensor 1 {{dir}}/points\n{server}")),
        ] {
            set(&folder.join(file));
            let begun = Instant::now();
            let said = refused(&folder, &["-d"], &lines);
            assert!(begun.elapsed() < AT_ONCE, "{name} as {file}: {:?}", begun.elapsed());
            let path = folder.join(file).display().to_string();
            assert!(said.contains(&path) && said.contains("help: "), "{name} as {file}: {said}");
        }
    }
}

/// Goal: a daemon that is told to end while it starts ends in order, and leaves neither pid file nor socket. Method: it is told as soon
/// as its pid file is there, again and again.
#[test]
fn a_start_that_is_ended_leaves_nothing() {
    if under_test() == Side::Stock {
        return compliance::skip("the stock daemon dies of the signal until its loop begins");
    }
    let folder = TempDir::new();
    let conf = folder.write(
        "chrony.conf",
        "port 0\ncmdport 0\nuser root\npidfile {dir}/pid\nbindcmdaddress {dir}/sock\n"
            .replace("{dir}", &folder.path().display().to_string()),
    );
    for round in 0..20 {
        let mut command = chronyd(Side::Ours, folder.path());
        command
            .arg("-d")
            .arg("-f")
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut daemon = compliance::Running::start(&mut command);
        let end = Instant::now() + Duration::from_secs(20);
        // Without a pause between two looks: what counts is the moment right behind it.
        while !folder.join("pid").exists() {
            assert!(Instant::now() < end, "it does not start");
        }
        assert_eq!(daemon.end(), Some(0), "round {round}");
        for left in ["pid", "sock"] {
            assert!(!folder.join(left).exists(), "round {round}: {left} is left");
        }
    }
}
