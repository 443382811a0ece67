//! Mail programs of Debian with our `sendmail` and `mail`, and ours with the mailboxes of others.
//!
//! With `BANTO_UNDER_TEST=stock` the same letters go through postfix's `sendmail` to its local delivery (a private instance
//! without any port), and the same commands to bsd-mailx.

use compliance::{Side, TempDir, banto, eventually, ours, skip, stock_or_skip, under_test};
use smtp_proto::{Event, Reply, Server, ServerConfig};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// One message that arrived.
#[derive(Debug, Clone, Default)]
struct Arrived {
    sender: String,
    recipients: Vec<String>,
    content: Vec<u8>,
}

type Box = Arc<Mutex<Vec<Arrived>>>;

/// Serves one SMTP session by the server machine; recipients called `nobody` do not exist.
fn serve(mut stream: impl Read + Write, arrived: &Box) {
    let mut server = Server::new(ServerConfig { hostname: "test.example".into(), ..ServerConfig::default() });
    let mut now = Arrived::default();
    let mut buffer = [0; 4096];
    loop {
        while let Some(event) = server.poll() {
            let needs_answer = event.needs_answer();
            match event {
                Event::MailFrom { sender, .. } => {
                    now = Arrived {
                        sender: sender.map(|s| s.to_string()).unwrap_or_default(),
                        ..Arrived::default()
                    };
                }
                Event::RcptTo { recipient } if recipient.local_part() == "nobody" => {
                    server.answer(&Reply::new(550, (5, 1, 1), "unknown user"));
                    continue;
                }
                Event::RcptTo { recipient } => now.recipients.push(recipient.to_string()),
                Event::MessageBytes(bytes) => now.content.extend(bytes),
                Event::MessageComplete { .. } => arrived.lock().unwrap().push(std::mem::take(&mut now)),
                _ => {}
            }
            if needs_answer {
                server.accept();
            }
        }
        if stream.write_all(&server.take_output()).is_err() || server.is_closed() {
            return;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => server.receive(&buffer[..length]),
        }
    }
}

/// A `sendmail` under test with a place where its mail arrives.
struct Post {
    dir: TempDir,
    /// A command that is called as `/usr/sbin/sendmail` is.
    sendmail: PathBuf,
    arrived: Box,
    postfix: Option<PathBuf>,
}

impl Post {
    /// None where the stock program is missing, which is said.
    fn new() -> Option<Self> {
        match under_test() {
            Side::Ours => Some(Self::ours()),
            Side::Stock => Self::stock(),
        }
    }

    fn ours() -> Self {
        let dir = TempDir::new();
        for folder in ["run", "etc", "spool/maildrop", "mail"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let arrived = Box::default();
        let listener = UnixListener::bind(dir.join("run/submission.sock")).unwrap();
        let box_of_thread = arrived.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &box_of_thread);
            }
        });
        let text =
            format!("#!/bin/sh\nexec {} --dir {} sendmail \"$@\"\n", banto().display(), dir.path().display());
        let sendmail = executable(&dir, "sendmail", &text);
        Self { dir, sendmail, arrived, postfix: None }
    }

    fn stock() -> Option<Self> {
        let postfix = stock_or_skip("postfix")?;
        let stock_sendmail = stock_or_skip("sendmail")?;
        if sys::process::effective_uid() != 0 {
            skip("a private postfix needs root");
            return None;
        }
        let dir = TempDir::new();
        for folder in ["etc", "queue", "data", "mail"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let here = dir.path().display().to_string();
        std::fs::set_permissions(dir.join("mail"), PermissionsExt::from_mode(0o1777)).unwrap();
        let status = Command::new("chown").arg("postfix").arg(dir.join("data")).status().unwrap();
        assert!(status.success());
        dir.write(
            "etc/main.cf",
            format!(
                "compatibility_level = 3.6\nqueue_directory = {here}/queue\ndata_directory = {here}/data\n\
                 myhostname = test.example\nmydestination = localhost, test.example\ninet_interfaces = loopback-only\n\
                 mail_spool_directory = {here}/mail\nalias_maps =\nalias_database =\nlocal_recipient_maps =\n\
                 maillog_file = {here}/log\nmaillog_file_prefixes = {here}\ndefault_transport = error:no network here\n"
            ),
        );
        let services = "pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
            rewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\ndefer unix - - n - 0 bounce\n\
            trace unix - - n - 0 bounce\nverify unix - - n - 1 verify\nflush unix n - n 1000? 0 flush\n\
            proxymap unix - - n - - proxymap\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
            retry unix - - n - - error\nlocal unix - n n - - local\nanvil unix - - n - 1 anvil\n\
            postlog unix-dgram n - n - 1 postlogd\n";
        dir.write("etc/master.cf", services);
        let started = Command::new(&postfix).arg("-c").arg(dir.join("etc")).arg("start").output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let text = format!("#!/bin/sh\nexec {} -C {here}/etc \"$@\"\n", stock_sendmail.display());
        let sendmail = executable(&dir, "sendmail", &text);
        Some(Self { dir, sendmail, arrived: Box::default(), postfix: Some(postfix) })
    }

    /// Waits for a message for root and gives its content with LF line ends.
    fn next_for_root(&self) -> Vec<u8> {
        let mut content = Vec::new();
        let there = eventually(PATIENCE, || match &self.postfix {
            None => {
                let mut arrived = self.arrived.lock().unwrap();
                if let Some(message) = arrived.pop() {
                    assert!(message.recipients.iter().any(|r| r.starts_with("root")), "{message:?}");
                    content = message::to_lf(&message.content);
                }
                !content.is_empty()
            }
            Some(_) => {
                let path = self.dir.join("mail/root");
                content = std::fs::read(&path).unwrap_or_default();
                let whole = content.ends_with(b"\n\n");
                if whole {
                    std::fs::remove_file(path).unwrap();
                }
                whole
            }
        });
        assert!(there, "no message arrived");
        content
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(postfix) = &self.postfix {
            let _ = Command::new(postfix).arg("-c").arg(self.dir.join("etc")).arg("stop").output();
        }
    }
}

fn executable(dir: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = dir.write(name, text);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Runs a command with `input`; its output.
fn run(command: &mut Command, input: &str) -> Output {
    let command = command.env("TZ", "UTC").env("LC_ALL", "C.UTF-8").env_remove("MAIL").env_remove("MAILRC");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Goal: the mail programs of Debian, and cron, send through the sendmail under test, and the letter arrives as written.
#[test]
fn mail_programs_send_through_sendmail() {
    let Some(post) = Post::new() else { return };
    let body = "本文です\n.\n.dot\nFrom here on\n";
    let check = |who: &str, output: Output, subject: &str| {
        assert!(output.status.success(), "{who}: {}", text(&output));
        let content = post.next_for_root();
        assert_eq!(message::Summary::of(&content).subject, subject, "{who}");
        let read = message::readable_text(&content).replace(">From here", "From here");
        assert!(read.starts_with(body), "{who}: {read}");
        assert!(
            message::field(&content, "date").is_some() && message::field(&content, "message-id").is_some()
        );
        let from = message::Summary::of(&content).from.unwrap_or_default();
        assert!(from.address.contains('@'), "{who}: {from:?}");
    };
    if let Some(program) = stock_or_skip("s-nail") {
        let mta = format!("mta={}", post.sendmail.display());
        let mut command = Command::new(program);
        command.args(["-:/", "-S", &mta, "-s", "件名 s-nail", "root@localhost"]).env("HOME", post.dir.path());
        check("s-nail", run(&mut command, body), "件名 s-nail");
    }
    if let Some(program) = stock_or_skip("bsd-mailx") {
        let rc = post.dir.write("rc", format!("set sendmail={}\n", post.sendmail.display()));
        let mut command = Command::new("env");
        command.arg(format!("MAILRC={}", rc.display())).arg(program);
        command.args(["-n", "-s", "bsd", "root@localhost"]).env("HOME", post.dir.path());
        check("bsd-mailx", run(&mut command, body), "bsd");
    }
    let mut command = ours("mail");
    let sendmail = format!("sendmail={}", post.sendmail.display());
    command.args(["-n", "-S", &sendmail, "-s", "件名 ours", "root@localhost"]).env("HOME", post.dir.path());
    check("our mail", run(&mut command, body), "件名 ours");
    let cron = ["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root@localhost"];
    let letter = format!("From: root@test.example (Cron Daemon)\nSubject: Cron\n\n{body}");
    check("cron", run(Command::new(&post.sendmail).args(cron), &letter), "Cron");
}

/// Goal: nothing in an address, option or header becomes another recipient, header, option, file or command.
#[test]
fn nothing_is_injected_by_command_lines_and_headers() {
    if under_test() == Side::Stock {
        return skip("what these calls come to is ours to say");
    }
    let post = Post::ours();
    let check = |arguments: &[&str], input: &str, expected: Option<(&str, &str)>| {
        let output = run(Command::new(&post.sendmail).args(arguments), input);
        let arrived = post.arrived.lock().unwrap().pop();
        let got = arrived.as_ref().map(|a| (a.sender.clone(), a.recipients.join(" ")));
        let expected = expected.map(|(sender, recipients)| (sender.to_owned(), recipients.to_owned()));
        assert_eq!(got, expected, "{arguments:?} {input:?}: {}", text(&output));
        assert_eq!(output.status.success(), expected.is_some(), "{arguments:?}: {}", text(&output));
        if let Some(arrived) = arrived {
            assert_eq!(message::field(&arrived.content, "bcc"), None);
            assert_eq!(message::field(&arrived.content, "x-evil"), None);
        }
    };
    check(
        &["-f", "a@b", "--", "-oQ/tmp", "|sh", "/etc/passwd"],
        "\n",
        Some(("a@b", "-oQ/tmp |sh /etc/passwd")),
    );
    check(&["-f", "a@b\r\nRCPT TO:<evil@x>", "root"], "\n", None);
    check(&["-f", "a@b> SIZE=0", "root"], "\n", None);
    check(&["-f", "", "root"], "\n", Some(("", "root")));
    check(&["-f", "a@b", "root\r\nRCPT TO:<evil@x>"], "\n", None);
    check(&["-f", "a@b", "x@y@z"], "\n", None);
    check(&["-f", "a@b", "-F", "N\r\nX-Evil: 1", "root"], "\n", Some(("a@b", "root")));
    check(&["-f", "a@b", "-ti"], "To: c@d\nBcc: e@f,\n g@h\n\nTo: no@no\n", Some(("a@b", "c@d e@f g@h")));
    check(&["-f", "a@b", "-t"], "Subject: x\n\nhi\n", None);
    check(&["-f", "a@b", "root"], "X-A: 1\r\n.\r\nMAIL FROM:<evil@x>\r\n", Some(("a@b", "root")));
    check(&["-f", "a@b", "nobody"], "\n", None);
    check(&[], "\n", None);
    check(&["-bd"], "\n", None);
    // cron reads no output: with -oem the sender is told by mail, as a bounce.
    let output =
        run(Command::new(&post.sendmail).args(["-oem", "-f", "a@b", "nobody"]), "Subject: lost?\n\nout\n");
    assert_eq!(output.status.code(), Some(67), "{}", text(&output));
    let bounce = post.arrived.lock().unwrap().pop().expect("a bounce");
    assert_eq!((bounce.sender.as_str(), bounce.recipients.join(" ").as_str()), ("", "a@b"));
    assert!(String::from_utf8_lossy(&bounce.content).contains("Subject: lost?"));
    // One of two recipients is refused: the other has the message, and the caller is told.
    let output = run(Command::new(&post.sendmail).args(["root", "nobody"]), "\nhi\n");
    assert_eq!(output.status.code(), Some(67), "{}", text(&output));
    assert_eq!(post.arrived.lock().unwrap().pop().map(|a| a.recipients), Some(vec!["root".to_owned()]));
}

/// Goal: with no daemon a message is on disk before sendmail says yes, is listed, and reads back whole.
#[test]
fn without_a_daemon_messages_wait_in_files() {
    if under_test() == Side::Stock {
        return skip("the format of these files is ours");
    }
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.join("spool/maildrop")).unwrap();
    let call = |name: &str, arguments: &[&str], input: &str| {
        let mut command = Command::new(banto());
        command.arg("--dir").arg(dir.path()).arg(name).args(arguments);
        run(&mut command, input)
    };
    let output = call("sendmail", &["-f", "a@b", "root"], "Subject: s\n\nhi\n");
    assert!(output.status.success(), "{}", text(&output));
    let files: Vec<PathBuf> =
        std::fs::read_dir(dir.join("spool/maildrop")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let drop = smtp_proto::maildrop::Maildrop::parse(&std::fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(drop.recipients.iter().map(ToString::to_string).collect::<Vec<_>>(), ["root"]);
    assert!(drop.content.ends_with(b"Subject: s\n\nhi\n"));
    let listed = call("mailq", &[], "");
    assert!(text(&listed).contains("-- 0 Kbytes in 1 Request."), "{}", text(&listed));
    std::fs::remove_dir_all(dir.join("spool")).unwrap();
    let output = call("sendmail", &["root"], "hi\n");
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
}

/// A mailbox as procmail, postfix and older programs leave them.
fn mailbox() -> String {
    "From alice@example.org  Sun Nov 22 16:24:35 2026\nFrom: Alice <alice@example.org>\nSubject: first\n\
     Status: RO\n\none\n\nFrom MAILER-DAEMON  Mon Nov 23 06:01:00 2026\nFrom: daemon@example.org\n\
     Subject: second\n\ntwo\n\n>From quoted\n\nFrom bob@example.org Tue Nov 24 07:08:09 2026\n\
     From: bob@example.org\nSubject: third\nStatus: O\n\nthree\n\n"
        .into()
}

/// The mail program under test, reading `path` with `commands`.
fn read_by(path: &Path, home: &Path, commands: &str) -> Option<String> {
    let mut command = match under_test() {
        Side::Ours => ours("mail"),
        Side::Stock => Command::new(stock_or_skip("bsd-mailx")?),
    };
    let output =
        run(command.args(["-n", "-N", "-f"]).arg(path).env("HOME", home).current_dir(home), commands);
    assert!(output.status.success(), "{}", text(&output));
    Some(text(&output))
}

/// Goal: the list, message lists and commands give what bsd-mailx gives, line for line.
#[test]
fn mailboxes_are_read_and_changed_as_bsd_mailx_does() {
    let dir = TempDir::new();
    let path = dir.write("box", mailbox());
    let list = "from *\n=\nsize 2\nf /THIRD\nf alice@example.org\nf 9\nd 1\nf 1\nx\n";
    let Some(got) = read_by(&path, dir.path(), list) else { return };
    let lines: Vec<&str> =
        got.lines().filter(|line| line.contains("@example.or") || line.contains(": ")).collect();
    let expected = [
        "\"BOX\": 3 messages 1 new 2 unread",
        "    1 alice@example.org  Sun Nov 22 16:24    7/113   first",
        " N  2 daemon@example.or  Mon Nov 23 06:01    8/106   second",
        "3 bob@example.org    Tue Nov 24 07:08    7/101   third",
        "2: 8/106",
        "3 bob@example.org    Tue Nov 24 07:08    7/101   third",
        "1 alice@example.org  Sun Nov 22 16:24    7/113   first",
        "9: Invalid message number",
        "1: Inappropriate message",
    ];
    let got: Vec<String> = lines
        .iter()
        .filter(|line| !line.starts_with("Mail version"))
        .map(|l| l.replace(&path.display().to_string(), "BOX"))
        .collect();
    assert_eq!(got.len(), expected.len(), "{got:#?}");
    for (got, expected) in got.iter().zip(expected) {
        // The mark of the current message is each program's own.
        let tail = |line: &str| line.trim_start_matches(['>', ' ', 'N', 'U']).to_owned();
        assert_eq!(tail(got), tail(expected));
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), mailbox(), "x changes nothing");
    read_by(&path, dir.path(), "d 2\nw 1 out\ncopy 3 saved\nq\n");
    let now = std::fs::read_to_string(&path).unwrap();
    assert!(!now.contains("second") && now.contains("first") && now.contains("third"), "{now}");
}

/// Goal: what our programs write as a mailbox, s-nail and bsd-mailx read as the same messages.
#[test]
fn others_read_the_mailboxes_that_we_write() {
    let dir = TempDir::new();
    let path = dir.write("box", mailbox());
    let mut command = ours("mail");
    command.args(["-n", "-N", "-f"]).arg(&path).env("HOME", dir.path()).current_dir(dir.path());
    let output = run(
        &mut command,
        "d 2
copy 1 3 copied
q
",
    );
    assert!(output.status.success(), "{}", text(&output));
    let copied = dir.join("copied");
    let readers = [("bsd-mailx", ["-n", "-N"].as_slice()), ("s-nail", ["-:/"].as_slice())];
    for file in [&path, &copied] {
        for (name, options) in readers {
            let Some(program) = stock_or_skip(name) else { continue };
            let mut command = Command::new(program);
            command.args(options).arg("-f").arg(file).env("HOME", dir.path());
            let got = text(&run(&mut command, "from *\np 2\nx\n"));
            assert!(got.contains("first") && got.contains("third") && got.contains("three"), "{name}: {got}");
            assert!(!got.contains("second"), "{name}: {got}");
        }
    }
}

/// Goal: our mail reads the mailbox that postfix's local delivery wrote, with what that quoted.
#[test]
fn our_mail_reads_what_postfix_delivered() {
    let Some(post) = Post::stock() else { return };
    let letter =
        "Subject: =?UTF-8?B?5Lu25ZCN?=\nTo: root\n\nFrom here on\n\nFrom x Sun Nov 22 16:24:35 2026\n";
    assert!(run(Command::new(&post.sendmail).arg("root@localhost"), letter).status.success());
    let path = post.dir.join("mail/root");
    assert!(eventually(PATIENCE, || std::fs::read(&path).unwrap_or_default().ends_with(b"\n\n")));
    let output = run(ours("mail").args(["-n", "-f"]).arg(&path).env("HOME", post.dir.path()), "p 1\nq\n");
    let got = text(&output);
    assert!(
        got.contains("1 message 1 new") && got.contains("件名") && got.contains(">From here on"),
        "{got}"
    );
    assert!(std::fs::read_to_string(&path).unwrap().contains("\nStatus: RO\n"));
}

/// Goal: a client that others wrote speaks with the server machine over TCP: extensions, refusals, several messages.
#[test]
fn smtplib_speaks_with_the_server_machine() {
    let Some(python) = stock_or_skip("python3") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let arrived = Box::default();
    let box_of_thread = arrived.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &box_of_thread);
        }
    });
    let script = format!(
        "import smtplib\n\
         s = smtplib.SMTP('127.0.0.1', {port}, 'me.example', timeout=10)\n\
         s.ehlo()\n\
         assert s.has_extn('pipelining') and s.has_extn('8bitmime') and s.esmtp_features['size'] == '10240000'\n\
         r = s.sendmail('a@b', ['root', 'nobody', 'c@d'], 'Subject: x\\r\\n\\r\\n.\\r\\n..\\r\\nend', ['BODY=8BITMIME'])\n\
         assert list(r) == ['nobody'] and r['nobody'][0] == 550, r\n\
         s.sendmail('', 'root', b'Subject: \\xe3\\x81\\x82\\r\\n\\r\\nbytes\\r\\n')\n\
         assert s.verify('root')[0] == 502\n\
         assert s.docmd('MAIL FROM:<@r:a@b>')[0] == 553\n\
         assert s.docmd('STARTTLS')[0] == 502\n\
         assert s.noop()[0] == 250 and s.rset()[0] == 250 and s.quit()[0] == 221\n\
         # smtplib sends bytes as they are: a bare LF must end the session.\n\
         s = smtplib.SMTP('127.0.0.1', {port}, 'me.example', timeout=10)\n\
         try: s.sendmail('a@b', 'root', b'Subject: y\\n.\\nx\\n'); assert False\n\
         except smtplib.SMTPDataError as e: assert e.smtp_code == 550 and b'5.5.2' in e.smtp_error\n\
         print('done')\n"
    );
    let output = run(Command::new(python).args(["-c", &script]), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "done", "{}", text(&output));
    let arrived = arrived.lock().unwrap();
    assert_eq!(arrived.len(), 2);
    assert_eq!(arrived[0].recipients, ["root", "c@d"]);
    assert_eq!(arrived[0].content, b"Subject: x\r\n\r\n.\r\n..\r\nend\r\n");
    assert_eq!(
        (arrived[1].sender.as_str(), arrived[1].content.as_slice()),
        ("", "Subject: あ\r\n\r\nbytes\r\n".as_bytes())
    );
}

/// Goal: on a terminal, mail lists, shows, answers by the line editor and writes back. Method: tmux, whose screen is read.
#[test]
fn mail_is_used_at_a_terminal() {
    if under_test() == Side::Stock {
        return skip("the line editor is ours");
    }
    let Some(tmux) = stock_or_skip("tmux") else { return };
    let post = Post::ours();
    let path = post.dir.write(
        "box",
        mailbox()
            + "From e@f  Wed Nov 25 07:08:09 2026\nFrom: e@f\nSubject: \x1b]0;evil\x07\n\n\x1b[2Jgone\n\n",
    );
    let socket = post.dir.join("tmux");
    let tmux = |arguments: &[&str]| {
        let output = Command::new(&tmux)
            .arg("-S")
            .arg(&socket)
            .args(["-f", "/dev/null"])
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let line = format!(
        "HOME={0} TZ=UTC {1} --dir {0} mail -n -f {2}; echo ended $?; cat",
        post.dir.path().display(),
        banto().display(),
        path.display()
    );
    tmux(&["new-session", "-d", "-x", "80", "-y", "50", &line]);
    let screen = |wanted: &str| {
        let mut seen = String::new();
        let there = eventually(PATIENCE, || {
            seen = tmux(&["capture-pane", "-p"]);
            seen.contains(wanted)
        });
        if !there {
            tmux(&["kill-server"]);
        }
        assert!(there, "{wanted:?} is not on the screen:\n{seen}");
        seen
    };
    let enter = |text: &str| {
        tmux(&["send-keys", "-l", text]);
        tmux(&["send-keys", "Enter"]);
    };
    screen(">N  2 daemon@example.or  Mon Nov 23 06:01    8/106   second\n U  3 bob");
    enter("p 4");
    screen("^[[2Jgone");
    enter("r 1");
    screen("To: Alice <alice@example.org>\nSubject: Re: first");
    enter("回答です");
    enter("~m 1");
    screen("Interpolating: 1");
    enter("~p");
    screen("        one\n");
    tmux(&["send-keys", "C-d"]);
    screen("EOT");
    enter("d 3");
    enter("q");
    screen("ended 0");
    tmux(&["kill-server"]);
    let arrived = post.arrived.lock().unwrap().pop().expect("the answer was sent");
    assert_eq!(arrived.recipients, ["alice@example.org"]);
    let quoted = "回答です\n\tFrom: Alice <alice@example.org>\n\tSubject: first\n\n\tone\n";
    assert_eq!(message::readable_text(&arrived.content), quoted);
    assert!(!std::fs::read_to_string(&path).unwrap().contains("third"));
}
