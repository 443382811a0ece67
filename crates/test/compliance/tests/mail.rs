//! Goal: the mail daemon against programs that nobody here wrote: swaks and stock postfix to us, us to stock postfix, the table
//! of smuggling attempts, and kills at random moments. `BANTO_UNDER_TEST=stock` puts postfix in our place.
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use compliance::{Running, Side, TempDir, banto, eventually, free_port, skip, stock_or_skip, under_test};

/// A login that every Debian has and that is not root.
const USER: &str = "daemon";
/// How long a delivery may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A mail server of either side, with its own directories.
struct Mta {
    dir: TempDir,
    port: u16,
    domain: &'static str,
    side: Side,
    running: Running,
}

impl Mta {
    /// Starts one; none (and a note) where the stock program is missing or cannot be started.
    fn start(side: Side, domain: &'static str, main_cf: &str, aliases: &str) -> Option<Self> {
        let (dir, port) = (TempDir::new(), free_port());
        let aliases = aliases.replace("DIR", &dir.path().to_string_lossy());
        dir.write("etc/aliases", aliases);
        let running = match side {
            Side::Ours => start_ours(&dir, port, domain, main_cf),
            Side::Stock => start_stock(&dir, port, domain, main_cf)?,
        };
        let mta = Self { dir, port, domain, side, running };
        assert!(
            eventually(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()),
            "{side:?} does not listen"
        );
        Some(mta)
    }

    fn address(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }

    fn mailbox(&self, user: &str) -> PathBuf {
        self.dir.join("mail").join(user)
    }

    fn text(&self, user: &str) -> String {
        std::fs::read(self.mailbox(user))
            .map(|b| String::from_utf8_lossy(&b).into_owned())
            .unwrap_or_default()
    }

    fn wait_for(&self, user: &str, words: &str) {
        let found = eventually(PATIENCE, || self.text(user).contains(words));
        assert!(found, "{words} did not reach {user} of {:?}:\n{}", self.side, self.text(user));
    }
}

fn ours_in(dir: &Path, name: &str) -> Command {
    let mut command = Command::new(banto());
    command.arg("--dir").arg(dir).arg(name).env("BANTO_CLOCK_READ_ONLY", "1");
    command
}

fn start_ours(dir: &TempDir, port: u16, domain: &str, main_cf: &str) -> Running {
    let path = dir.path().display();
    dir.write(
        "etc/main.cf",
        format!(
            "myhostname = {domain}\nmydestination = {domain}, localhost\nbanto_smtp_listen = 127.0.0.1:{port}\n\
             mail_spool_directory = {path}/mail\nalias_maps = hash:{path}/etc/aliases\nqueue_directory = {path}/spool\n\
             forward_path = {path}/etc/forward/$user\nminimal_backoff_time = 1s\nmaximal_backoff_time = 1s\n\
             queue_run_delay = 1s\n{main_cf}"
        ),
    );
    Running::start(ours_in(dir.path(), "maild").stdout(Stdio::null()))
}

fn start_stock(dir: &TempDir, port: u16, domain: &str, main_cf: &str) -> Option<Running> {
    let master = stock_or_skip("master")?;
    if sys::process::effective_uid() != 0 {
        skip("postfix can only be started by root");
        return None;
    }
    let script = "set -e; cd \"$1\"; mkdir -p data mail queue; chmod 755 . etc; chmod 1777 mail; chown postfix data; cd queue; \
        for d in active bounce corrupt defer deferred flush hold incoming private saved trace; do mkdir $d; chown postfix $d; \
        chmod 700 $d; done; mkdir pid; mkdir public maildrop; chown postfix:postdrop public maildrop; chmod 710 public; \
        chmod 730 maildrop";
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(dir.path()).status();
    assert!(made.is_ok_and(|s| s.success()), "the directories of postfix cannot be made");
    let path = dir.path().display();
    dir.write(
        "etc/main.cf",
        format!(
            "compatibility_level = 3.6\nqueue_directory = {path}/queue\ndata_directory = {path}/data\n\
             mail_spool_directory = {path}/mail\nmyhostname = {domain}\nmydestination = {domain}, localhost\n\
             alias_maps = texthash:{path}/etc/aliases.texthash\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nbiff = no\nsmtpd_peername_lookup = no\nminimal_backoff_time = 1s\n\
             maximal_backoff_time = 1s\nqueue_run_delay = 1s\ndisable_dns_lookups = yes\n{main_cf}"
        ),
    );
    // texthash has no colons after keys.
    let aliases = std::fs::read_to_string(dir.join("etc/aliases")).unwrap_or_default();
    let table: String = aliases.lines().map(|l| l.replacen(':', " ", 1) + "\n").collect();
    dir.write("etc/aliases.texthash", table);
    let mut services = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    for (name, chroot_and_limits, program) in [
        ("pickup unix n", "n 60 1", "pickup"),
        ("cleanup unix n", "n - 0", "cleanup"),
        ("qmgr unix n", "n 1 1", "qmgr"),
        ("tlsmgr unix -", "n 1000? 1", "tlsmgr"),
        ("rewrite unix -", "n - -", "trivial-rewrite"),
        ("bounce unix -", "n - 0", "bounce"),
        ("defer unix -", "n - 0", "bounce"),
        ("trace unix -", "n - 0", "bounce"),
        ("verify unix -", "n - 1", "verify"),
        ("flush unix n", "n 1000? 0", "flush"),
        ("proxymap unix -", "n - -", "proxymap"),
        ("smtp unix -", "n - -", "smtp"),
        ("relay unix -", "n - -", "smtp"),
        ("error unix -", "n - -", "error"),
        ("retry unix -", "n - -", "error"),
        ("anvil unix -", "n - 1", "anvil"),
        ("scache unix -", "n - 1", "scache"),
    ] {
        services.push_str(&format!("{name} - {chroot_and_limits} {program}\n"));
    }
    services.push_str("local unix - n n - - local\n");
    dir.write("etc/master.cf", services);
    let mut command = Command::new(master);
    command.arg("-c").arg(dir.join("etc")).arg("-d").stdout(Stdio::null()).stderr(Stdio::null());
    Some(Running::start(&mut command))
}

/// An SMTP session that says what it is told.
struct Session {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Session {
    fn open(port: u16) -> std::io::Result<Self> {
        let writer = TcpStream::connect(("127.0.0.1", port))?;
        writer.set_read_timeout(Some(PATIENCE))?;
        let mut session = Self { reader: BufReader::new(writer.try_clone()?), writer };
        session.reply()?;
        session.say(b"EHLO client.example\r\n")?;
        Ok(session)
    }

    fn say(&mut self, octets: &[u8]) -> std::io::Result<String> {
        self.writer.write_all(octets)?;
        self.reply()
    }

    fn reply(&mut self) -> std::io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }

    fn send(&mut self, from: &str, to: &str, content: &str) -> std::io::Result<String> {
        self.say(format!("MAIL FROM:<{from}>\r\n").as_bytes())?;
        let answer = self.say(format!("RCPT TO:<{to}>\r\n").as_bytes())?;
        if !answer.starts_with('2') {
            return Ok(answer);
        }
        self.say(b"DATA\r\n")?;
        self.say(format!("{content}\r\n.\r\n").as_bytes())
    }
}

fn send(mta: &Mta, to: &str, content: &str) -> String {
    let sent = Session::open(mta.port).and_then(|mut s| s.send("sender@client.example", to, content));
    sent.unwrap_or_else(|e| panic!("{to}: {e}"))
}

/// Goal: swaks delivers to us, its message arrives whole, with the lines that a mailbox needs.
#[test]
fn swaks_delivers() {
    let Some(swaks) = stock_or_skip("swaks") else { return };
    let Some(mta) = Mta::start(under_test(), "one.example", "", "") else { return };
    let body = "first\\n.dot\\nFrom the start\\n\u{e9}";
    let result = Command::new(swaks)
        .args(["--server", &format!("127.0.0.1:{}", mta.port), "--from", "a@client.example"])
        .args([
            "--to",
            &mta.address(USER),
            "--header",
            "Subject: swaks-mark",
            "--body",
            body,
            "--silent",
            "3",
        ])
        .output()
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(result.status.success(), "{result:?}");
    mta.wait_for(USER, "swaks-mark");
    assert!(eventually(PATIENCE, || mta.text(USER).ends_with("\n\n")));
    let text = mta.text(USER);
    for line in [
        "From a@client.example",
        "Return-Path: <a@client.example>",
        "X-Original-To: daemon@one.example",
        "Delivered-To: daemon@one.example",
        "\n.dot\n",
        "\n>From the start\n",
        "\u{e9}",
    ] {
        assert!(text.contains(line), "{line:?} is missing:\n{text}");
    }
    let mode = std::fs::metadata(mta.mailbox(USER))
        .map(|m| std::os::unix::fs::PermissionsExt::mode(&m.permissions()));
    assert_eq!(mode.ok().map(|m| m & 0o777), Some(0o600));
}

/// Goal: what must be refused is refused by both, with the same codes.
#[test]
fn refusals() {
    let main_cf = "mynetworks = 192.0.2.0/24\n\
                   smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n";
    let Some(mta) = Mta::start(under_test(), "two.example", main_cf, "") else {
        return;
    };
    for (to, expected) in [
        ("nobody-here@two.example", "550 5.1.1"),
        ("daemon@elsewhere.example", "554 5.7.1"),
        ("daemon%elsewhere.example@two.example", "5"),
        ("elsewhere.example!daemon@two.example", "5"),
        ("\"daemon@elsewhere.example\"@two.example", "5"),
        ("@two.example:daemon@elsewhere.example", "5"),
        ("|id@two.example", "550 5.1.1"),
        ("/etc/passwd@two.example", "550 5.1.1"),
        ("-oQ/tmp@two.example", "5"),
    ] {
        let answer = send(&mta, to, "Subject: x\r\n\r\nx");
        assert!(answer.starts_with(expected), "{to}: {answer}");
    }
    let mut session = Session::open(mta.port).unwrap_or_else(|e| panic!("{e}"));
    let answer = session.say(b"MAIL FROM:<a@b.example> SIZE=99999999\r\n").unwrap_or_else(|e| panic!("{e}"));
    assert!(answer.starts_with("552"), "{answer}");
}

/// Goal: aliases to users, files and commands, recursively; the same results from both.
#[test]
fn aliases_expand() {
    let aliases =
        "crew: daemon, bin\nnest: crew, daemon\nfile: DIR/mail/file.out\ncmd: \"|cat > DIR/mail/cmd.out\"\n";
    let Some(mta) = Mta::start(under_test(), "three.example", "default_privs = daemon\n", aliases) else {
        return;
    };
    for name in ["nest", "file", "cmd"] {
        let answer = send(&mta, &mta.address(name), &format!("Subject: to-{name}\r\n\r\nx"));
        assert!(answer.starts_with("250"), "{name}: {answer}");
    }
    mta.wait_for(USER, "to-nest");
    mta.wait_for("bin", "to-nest");
    mta.wait_for("file.out", "to-file");
    mta.wait_for("cmd.out", "to-cmd");
    assert_eq!(mta.text(USER).matches("to-nest").count(), 1, "duplicates are suppressed");
}

/// Goal: mail travels between us and stock postfix in both directions, through `relayhost`.
#[test]
fn relay_between_us_and_postfix() {
    for (from, to) in [(Side::Ours, Side::Stock), (Side::Stock, Side::Ours)] {
        let Some(far) = Mta::start(to, "far.example", "", "") else { return };
        let relay = format!("relayhost = [127.0.0.1]:{}\n", far.port);
        let Some(near) = Mta::start(from, "near.example", &relay, "") else { return };
        for n in 0..5 {
            let answer = send(&near, &far.address(USER), &format!("Subject: hop-{n}\r\n\r\n..\r\n.x\r\n"));
            assert!(answer.starts_with("250"), "{answer}");
        }
        for n in 0..5 {
            far.wait_for(USER, &format!("hop-{n}"));
        }
        // A recipient that the far side does not have comes back to its sender.
        let mut session = Session::open(near.port).unwrap_or_else(|e| panic!("{e}"));
        let sender = near.address(USER);
        let answer = session.send(&sender, &far.address("nobody-here"), "Subject: back\r\n\r\nx");
        assert!(answer.is_ok_and(|a| a.starts_with("250")));
        near.wait_for(USER, "Undelivered Mail Returned to Sender");
        near.wait_for(USER, "Status: 5.1.1");
    }
}

/// Goal: mail that cannot be handed over waits, and leaves once the relay host is there.
#[test]
fn deferred_mail_leaves_later() {
    let port = free_port();
    let relay = format!("relayhost = [127.0.0.1]:{port}\n");
    let Some(near) = Mta::start(under_test(), "near.example", &relay, "") else { return };
    let answer = send(&near, "daemon@late.example", "Subject: patience\r\n\r\nx");
    assert!(answer.starts_with("250"), "{answer}");
    std::thread::sleep(Duration::from_millis(500));
    let dir = TempDir::new();
    dir.write("etc/aliases", "");
    let running = start_ours(&dir, port, "late.example", "");
    let far = Mta { dir, port, domain: "late.example", side: Side::Ours, running };
    far.wait_for(USER, "patience");
}

/// Goal: only CRLF.CRLF ends a message (mail.md, "Security"); every other spelling is refused or stays one message, with
/// `reject` and with `normalize`.
#[test]
fn no_message_is_smuggled_in_another() {
    if under_test() == Side::Stock {
        return skip("postfix 3.7 is known to split four of these");
    }
    let table: [&[u8]; 9] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\r\n.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\n.\r",
        b"\r\r\n.\r\r\n",
        b"\r\n.\0\r\n",
    ];
    for mode in ["reject", "normalize"] {
        let main_cf = format!("smtpd_forbid_bare_newline = {mode}\n");
        let Some(mta) = Mta::start(Side::Ours, "four.example", &main_cf, "") else { return };
        for (n, ending) in table.iter().enumerate() {
            let mut session = Session::open(mta.port).unwrap_or_else(|e| panic!("{e}"));
            for line in ["MAIL FROM:<a@client.example>\r\n", "RCPT TO:<daemon@four.example>\r\n", "DATA\r\n"]
            {
                session.say(line.as_bytes()).unwrap_or_else(|e| panic!("{line}: {e}"));
            }
            let mut content = format!("Subject: outer-{mode}-{n}\r\n\r\nbegin").into_bytes();
            content.extend_from_slice(ending);
            content.extend_from_slice(
                b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bin@four.example>\r\nDATA\r\n",
            );
            content.extend_from_slice(b"Subject: smuggled\r\n\r\nx\r\n.\r\nQUIT\r\n");
            let answer = session.say(&content).unwrap_or_default();
            let bare = *ending != b"\r\n.\0\r\n";
            if mode == "reject" && bare {
                assert!(answer.starts_with("550 5.5.2"), "{ending:?}: {answer}");
            } else if answer.starts_with("250") {
                mta.wait_for(USER, &format!("outer-{mode}-{n}"));
            }
        }
        let answer = send(&mta, &mta.address(USER), "Subject: last\r\n\r\nx");
        assert!(answer.starts_with("250"), "{answer}");
        mta.wait_for(USER, "Subject: last");
        assert!(!mta.mailbox("bin").exists(), "{mode}: a smuggled message was delivered");
        let text = mta.text(USER);
        assert_eq!(
            text.matches("\nReturn-Path: ").count(),
            text.matches("\nSubject: outer").count() + 1,
            "{text}"
        );
    }
}

/// Goal: data behind a command that ends a group is refused (RFC 2920), and the next session works.
#[test]
fn early_data_is_refused() {
    let Some(mta) = Mta::start(Side::Ours, "five.example", "", "") else { return };
    let mut session = Session::open(mta.port).unwrap_or_else(|e| panic!("{e}"));
    session.say(b"MAIL FROM:<a@b.example>\r\n").unwrap_or_else(|e| panic!("{e}"));
    session.say(b"RCPT TO:<daemon@five.example>\r\n").unwrap_or_else(|e| panic!("{e}"));
    let answer = session.say(b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n").unwrap_or_default();
    assert!(answer.starts_with("554 5.5.0"), "{answer}");
    assert!(send(&mta, &mta.address(USER), "Subject: fine\r\n\r\nx").starts_with("250"));
    mta.wait_for(USER, "fine");
    assert!(!mta.text(USER).contains("early"));
}

/// Goal: kill -9 at any moment loses nothing that was answered with 250; what is delivered twice is what was in flight.
/// Method: rounds of a sender that numbers its messages, a kill a varying while after the third answer, a restart on the same
/// directory.
#[test]
fn a_kill_loses_nothing_that_was_accepted() {
    let Some(mut mta) = Mta::start(Side::Ours, "six.example", "", "pair: daemon, bin\n") else { return };
    let mut accepted = Vec::new();
    let mut number = 0;
    let users = [USER, "bin"];
    let marks = |mta: &Mta, user: &str| -> Vec<u64> {
        let text = mta.text(user);
        text.split("Subject: mark-").skip(1).filter_map(|rest| rest.split('-').next()?.parse().ok()).collect()
    };
    let counts = |mta: &Mta| users.map(|user| marks(mta, user).len());
    // How many messages each mailbox had just after each kill, and when the next start was complete.
    let mut kills = [Vec::new(), Vec::new()];
    for round in 0..12_u64 {
        let answered = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = answered.clone();
        let (port, to) = (mta.port, mta.address("pair"));
        let sender = std::thread::spawn(move || {
            let mut taken = Vec::new();
            let Ok(mut session) = Session::open(port) else { return (taken, number) };
            loop {
                number += 1;
                match session.send("s@client.example", &to, &format!("Subject: mark-{number}-end\r\n\r\nx")) {
                    Ok(answer) if answer.starts_with("250") => {
                        taken.push(number);
                        count.store(taken.len(), std::sync::atomic::Ordering::Relaxed);
                    }
                    _ => return (taken, number),
                }
            }
        });
        let begun = eventually(PATIENCE, || answered.load(std::sync::atomic::Ordering::Relaxed) >= 3);
        assert!(begun, "nothing is taken in round {round}");
        std::thread::sleep(Duration::from_millis(round * 17 % 90));
        mta.running.kill();
        let at_kill = counts(&mta);
        let (taken, last) = sender.join().unwrap_or_else(|_| panic!("the sender ended badly"));
        accepted.extend(taken);
        number = last;
        mta.running = Running::start(ours_in(mta.dir.path(), "maild").stdout(Stdio::null()));
        assert!(eventually(PATIENCE, || TcpStream::connect(("127.0.0.1", mta.port)).is_ok()), "no restart");
        for ((kills, killed), started) in kills.iter_mut().zip(at_kill).zip(counts(&mta)) {
            kills.push((killed, started));
        }
    }
    assert!(accepted.len() > 20, "only {} messages were accepted", accepted.len());
    for (user, kills) in users.into_iter().zip(&kills) {
        let missing = || {
            let text = mta.text(user);
            accepted.iter().filter(|n| !text.contains(&format!("Subject: mark-{n}-end\n"))).count()
        };
        assert!(
            eventually(PATIENCE, || missing() == 0),
            "{} of {} are lost for {user}",
            missing(),
            accepted.len()
        );
        let unexplained = compliance::unexplained_copies(&marks(&mta, user), kills);
        assert!(
            unexplained.is_empty(),
            "twice for {user} without a kill between: {unexplained:?}, {kills:?}"
        );
    }
}

/// Goal: `sendmail` with the daemon down leaves the message; the next start delivers it. The control socket survives nonsense.
#[test]
fn the_maildrop_is_picked_up() {
    let Some(mut mta) = Mta::start(Side::Ours, "seven.example", "", "") else { return };
    mta.running.kill();
    let mut sendmail = ours_in(mta.dir.path(), "sendmail");
    sendmail.args(["-i", USER]).stdin(Stdio::piped()).stderr(Stdio::null());
    let mut child = sendmail.spawn().unwrap_or_else(|e| panic!("{e}"));
    if let Some(mut input) = child.stdin.take() {
        input.write_all(b"Subject: while-down\n\nx\n").unwrap_or_else(|e| panic!("{e}"));
    }
    assert!(child.wait().is_ok_and(|s| s.success()));
    mta.running = Running::start(ours_in(mta.dir.path(), "maild").stdout(Stdio::null()));
    mta.wait_for(USER, "while-down");
    let control = mta.dir.join("run/maild.ctl");
    for nonsense in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x05hello", b"GET / HTTP/1.0\r\n\r\n"] {
        if let Ok(mut stream) = std::os::unix::net::UnixStream::connect(&control) {
            stream.write_all(nonsense).ok();
        }
    }
    // The mailbox is written before the queue forgets the message.
    let mailq = || ours_in(mta.dir.path(), "mailq").output().map(|o| o.stdout).unwrap_or_default();
    let is_empty = || String::from_utf8_lossy(&mailq()).contains("Mail queue is empty");
    assert!(eventually(PATIENCE, is_empty), "{:?}", String::from_utf8_lossy(&mailq()));
    assert!(send(&mta, &mta.address(USER), "Subject: still\r\n\r\nx").starts_with("250"));
    mta.wait_for(USER, "Subject: still");
    assert_eq!(mta.running.end(), Some(0), "SIGTERM ends it in order");
}

/// Goal: started by root with `--split`, the three roles are processes: the ones that touch the network and the queue have no
/// privilege, mailboxes belong to their users, and a user's file or command has that user's rights.
#[test]
fn started_by_root_the_roles_are_processes() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if sys::process::effective_uid() != 0 {
        return skip("only root can give privilege up");
    }
    let Ok(Some(nobody)) = sys::user::by_name("nobody") else { return skip("there is no user nobody") };
    let Ok(Some(user)) = sys::user::by_name(USER) else { return skip("there is no user daemon") };
    let dir = TempDir::new();
    let (port, path) = (free_port(), dir.path().to_string_lossy().into_owned());
    dir.write("etc/aliases", format!("cmd: \"|id -un > {path}/open/who\"\n"));
    dir.write("open/.keep", "");
    dir.write("mail/.keep", "");
    for open in ["open", "mail"] {
        let mode = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(dir.join(open), mode).unwrap_or_else(|e| panic!("{e}"));
    }
    dir.write(
        "etc/main.cf",
        format!(
            "myhostname = eight.example\nmydestination = eight.example\nbanto_smtp_listen = 127.0.0.1:{port}\n\
             mail_spool_directory = {path}/mail\nalias_maps = hash:{path}/etc/aliases\nqueue_directory = {path}/spool\n\
             forward_path = {path}/etc/forward/$user\nmail_owner = nobody\ndefault_privs = nobody\n"
        ),
    );
    let running = Running::start(ours_in(dir.path(), "maild").arg("--split").stdout(Stdio::null()));
    let mta = Mta { dir, port, domain: "eight.example", side: Side::Ours, running };
    assert!(eventually(PATIENCE, || TcpStream::connect(("127.0.0.1", port)).is_ok()), "nothing listens");
    for name in [USER, "cmd"] {
        assert!(send(&mta, &mta.address(name), "Subject: split\r\n\r\nx").starts_with("250"), "{name}");
    }
    mta.wait_for(USER, "Subject: split");
    assert_eq!(std::fs::metadata(mta.mailbox(USER)).map(|m| m.uid()).ok(), Some(user.uid));
    let who = || std::fs::read_to_string(mta.dir.join("open/who")).unwrap_or_default();
    assert!(eventually(PATIENCE, || who() == "nobody\n"), "the command ran as {:?}", who());
    // The queue is the process that we started; smtp is the child that is not root's.
    let uid_of = |pid: u32| std::fs::metadata(format!("/proc/{pid}")).map(|m| m.uid()).ok();
    assert_eq!(uid_of(mta.running.id()), Some(nobody.uid), "the queue gave its privilege up");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", mta.running.id()));
    let children: Vec<u32> = children.unwrap_or_default().split(' ').filter_map(|p| p.parse().ok()).collect();
    let mut roles: Vec<(String, Option<u32>)> = children
        .iter()
        .map(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let last = words.split(|b| *b == 0).rev().find(|w| !w.is_empty()).unwrap_or_default();
            (String::from_utf8_lossy(last).into_owned(), uid_of(*pid))
        })
        .collect();
    roles.sort();
    assert_eq!(roles, [("deliver".to_owned(), Some(0)), ("smtp".to_owned(), Some(nobody.uid))]);
}
