//! `chronyc` at a terminal: Ctrl-C and Tab do what people know from readline and a shell.
#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance::{Chronyd, Side, TempDir, banto, eventually, stock_or_skip};

/// Far longer than anything here takes, and shorter than what Ctrl-C has to end.
const PATIENCE: Duration = Duration::from_secs(25);

/// Our `chronyc` at a terminal of its own, which `script` makes.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(arguments: &str) -> Self {
        let line = format!("stty cols 80 rows 24; exec {} chronyc {arguments}", banto().display());
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script starts");
        let mut output = child.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let fill = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                fill.lock().expect("nobody panics with it").extend_from_slice(&buffer[..length]);
            }
        });
        let terminal = Self { child, shown };
        terminal.await_text("chronyc> ");
        terminal
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics with it")).into_owned()
    }

    fn await_text(&self, part: &str) {
        assert!(eventually(PATIENCE, || self.text().contains(part)), "no {part:?}: {:?}", self.text());
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().expect("a pipe").write_all(keys.as_bytes()).expect("it reads");
    }

    /// Leaves by `exit`; its code.
    fn leave(mut self) -> Option<i32> {
        self.press("exit\r");
        let ended = eventually(PATIENCE, || matches!(self.child.try_wait(), Ok(Some(_))));
        assert!(ended, "it does not end: {:?}", self.text());
        self.child.wait().expect("it has ended").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Goal: Ctrl-C ends a `waitsync` between two tries and a request that nobody answers, each more than once, and the prompt comes
/// back. Without it the commands last for ever.
#[test]
fn ctrl_c_ends_what_runs_at_the_prompt() {
    let Some(_) = stock_or_skip("script") else { return };
    let daemon = Chronyd::start(Side::Ours, "port 0");
    let mut terminal = Terminal::start(&format!("-h {}", daemon.socket().display()));
    for round in 1..=2 {
        terminal.press("waitsync 0 0.0000001 0 1000\r");
        let tries = || terminal.text().matches("try: 1, ").count();
        assert!(eventually(PATIENCE, || tries() == round), "{:?}", terminal.text());
        terminal.press("\u{3}");
        assert!(
            eventually(PATIENCE, || terminal.text().matches("^C").count() == round),
            "{:?}",
            terminal.text()
        );
        terminal.press(&format!("timeout {round}00\r"));
    }
    terminal.press("activity\r");
    terminal.await_text("sources online");
    assert!(!terminal.text().contains("try: 2"), "{:?}", terminal.text());
    assert_eq!(terminal.leave(), Some(0));

    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
    silent.set_read_timeout(Some(PATIENCE)).expect("it is no zero");
    let port = silent.local_addr().expect("it is bound").port();
    let mut terminal = Terminal::start(&format!("-h 127.0.0.1 -p {port}"));
    terminal.press("timeout 1000000\rtracking\r");
    silent.recv(&mut [0; 1024]).expect("the request comes");
    terminal.press("\u{3}");
    terminal.await_text("^C");
    terminal.press("help\r");
    terminal.await_text("Show this help");
    assert_eq!(terminal.leave(), Some(0));
}

/// Goal: Tab completes the only word there is with a space behind it, and does not take it back; of several it completes the common
/// part, and the second Tab lists them.
#[test]
fn tab_completes_as_readline_does() {
    let Some(_) = stock_or_skip("script") else { return };
    let folder = TempDir::new();
    let socket = folder.join("sock");
    let _nobody = std::os::unix::net::UnixDatagram::bind(&socket).expect("a socket can be made");
    let mut terminal = Terminal::start(&format!("-h {}", socket.display()));
    // The word is complete only if the second Tab changes nothing.
    terminal.press("dn\t\t-q\r");
    terminal.await_text("chronyc> dns \r");
    terminal.await_text("help: dns -n|+n");
    terminal.press("maxd\t\t");
    terminal.await_text("maxdelaydevratio");
    terminal.await_text("maxdelayratio");
    terminal.press("\r");
    terminal.await_text("help: maxdelay <address>");
    assert_eq!(terminal.leave(), Some(0));
}

/// Goal: an order that a daemon refuses which only measures is explained to people, at their terminal and in the daemon's log; a
/// program reads chronyc's own line and nothing else.
#[test]
fn what_is_refused_is_explained_to_people() {
    let Some(_) = stock_or_skip("script") else { return };
    let daemon = Chronyd::start(Side::Ours, "port 0\ncmdport 0").read_by(Side::Ours);
    let output = compliance::chronyc(Side::Ours).arg("-h").arg(daemon.socket()).arg("makestep").output();
    let output = output.expect("chronyc can be started");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "500 Failure\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(1));
    let told = "Refused makestep: this daemon measures the clock and does not set it";
    daemon.wait("it is told", || daemon.log().contains(told) && daemon.log().contains("help: for one"));

    let mut terminal = Terminal::start(&format!("-h {}", daemon.socket().display()));
    for (order, line, help) in [
        ("makestep", "500 Failure", "help: a daemon that only measures steps nothing (chronyd -x;"),
        ("settime 12:00", "505 Facility not enabled in daemon", "help: times are taken by hand after"),
        ("trimrtc", "513 RTC driver not running", "help: the real-time clock is not followed"),
        ("smoothtime reset", "505 Facility not enabled in daemon", "help: served time is not smoothed"),
    ] {
        terminal.press(&format!("{order}\r"));
        terminal.await_text(line);
        terminal.await_text(help);
    }
    assert_eq!(terminal.leave(), Some(0));
}
