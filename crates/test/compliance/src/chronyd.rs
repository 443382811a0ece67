//! A `chronyd` of either side, in a folder of its own, for tests.

use crate::{Running, Side, TempDir, eventually, free_port, ours, stock, stock_without_clock};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Longer than most of what a time daemon is waited for takes: an initial burst is over after 14 s.
const PATIENCE: Duration = Duration::from_secs(25);

/// `chronyd -x` of a side, in a folder of its own; the stock one without `CAP_SYS_TIME` too.
pub fn chronyd(side: Side, folder: &Path) -> Command {
    let mut command = match side {
        Side::Ours => {
            let mut command = Command::new(crate::banto());
            command.env("BANTO_CLOCK_READ_ONLY", "1").arg("--dir").arg(folder).arg("chronyd");
            command
        }
        Side::Stock => stock_without_clock(&stock("chronyd").expect("the test has asked for it")),
    };
    command.arg("-x");
    command
}

/// `chronyc` of a side.
pub fn chronyc(side: Side) -> Command {
    match side {
        Side::Ours => ours("chronyc"),
        Side::Stock => Command::new(stock("chronyc").expect("it is packaged with chronyd")),
    }
}

/// A running daemon: `chronyd -x -d`. Its folder may outlive it, for another one to start in.
#[derive(Debug)]
pub struct Chronyd {
    process: Running,
    folder: Arc<TempDir>,
    /// Whose `chronyc` reads it.
    client: Side,
    /// How long it is waited for.
    patience: Duration,
}

impl Chronyd {
    /// Starts one with these lines and those that keep it in its folder; `{dir}` stands for the folder. It answers commands
    /// when this returns.
    pub fn start(side: Side, lines: &str) -> Self {
        Self::start_in(TempDir::new(), side, lines)
    }

    /// The same in a folder that is there.
    pub fn start_in(folder: impl Into<Arc<TempDir>>, side: Side, lines: &str) -> Self {
        Self::start_as(folder, side, lines, |command| command)
    }

    /// The same by another call, which is made from the usual one: with more options, or by a program around it. The daemon is
    /// root's unless the lines name a `user`.
    pub fn start_as(
        folder: impl Into<Arc<TempDir>>,
        side: Side,
        lines: &str,
        call: impl FnOnce(Command) -> Command,
    ) -> Self {
        let folder = folder.into();
        let mut text = format!("{lines}\npidfile {{dir}}/pid\nbindcmdaddress {{dir}}/cmd/sock\n");
        // Another user's daemon makes a folder of that user's itself.
        if !lines.lines().any(|line| line.starts_with("user ")) {
            text += "user root\n";
            let sockets = folder.join("cmd");
            std::fs::create_dir_all(&sockets).expect("a folder can be made");
            // chronyd uses its socket only in a folder that others cannot enter.
            std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        }
        // Of one that was there before.
        let _ = std::fs::remove_file(folder.join("cmd/sock"));
        let conf = folder.write("chrony.conf", text.replace("{dir}", &folder.path().display().to_string()));
        let log = File::options().append(true).create(true).open(folder.join("stderr"));
        let log = log.expect("a file can be made");
        let mut command = chronyd(side, folder.path());
        command.arg("-d").arg("-f").arg(conf);
        let mut command = call(command);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("it is open")).stderr(log);
        let process = Running::start(&mut command);
        let daemon = Self { process, folder, client: Side::Stock, patience: PATIENCE };
        assert!(eventually(PATIENCE, || daemon.socket().exists()), "{}", daemon.log());
        daemon
    }

    /// A server of stratum 3 for this host, on a port of its own; with its port.
    pub fn server(side: Side, more: &str) -> (Self, u16) {
        let port = free_port();
        let lines = format!("port {port}\nlocal stratum 3\nallow 127.0.0.1\ncmdport 0\n{more}");
        (Self::start(side, &lines), port)
    }

    /// One with these sources and nothing to serve.
    pub fn client(side: Side, lines: &str) -> Self {
        Self::start(side, &format!("{lines}\nport 0\ncmdport 0"))
    }

    /// It is read by the `chronyc` of a side; without this by the stock one.
    pub fn read_by(mut self, client: Side) -> Self {
        self.client = client;
        self
    }

    /// It is waited for so long, where that is more than a burst takes.
    pub fn waited_for(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Arc<TempDir> {
        &self.folder
    }

    /// The Unix socket for commands.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("cmd/sock")
    }

    /// The process.
    pub fn process(&self) -> &Running {
        &self.process
    }

    /// The process, to end or to kill it.
    pub fn process_mut(&mut self) -> &mut Running {
        &mut self.process
    }

    /// What it has written so far, those before it in the same folder too.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// What `chronyc -n` prints, over the Unix socket.
    pub fn chronyc(&self, words: &[&str]) -> String {
        let output = chronyc(self.client).arg("-n").arg("-h").arg(self.socket()).args(words).output();
        String::from_utf8_lossy(&output.expect("chronyc can be started").stdout).into_owned()
    }

    /// The cells of a report, row by row.
    pub fn rows(&self, words: &[&str]) -> Vec<Vec<String>> {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect();
        self.chronyc(&[&["-c"], words].concat()).lines().map(cells).collect()
    }

    /// A cell of a report's first row; empty where there is none.
    pub fn cell(&self, report: &str, column: usize) -> String {
        self.rows(&[report]).first().and_then(|row| row.get(column)).cloned().unwrap_or_default()
    }

    /// The same as a number; 0 where there is none.
    pub fn count(&self, report: &str, column: usize) -> u64 {
        self.cell(report, column).parse().unwrap_or(0)
    }

    /// How far it says the clock to be from true time, in seconds; not a number where it does not say.
    pub fn error(&self) -> f64 {
        self.cell("tracking", 4).parse().unwrap_or(f64::NAN)
    }

    /// It follows the first of its sources.
    pub fn is_synchronised(&self) -> bool {
        self.cell("sources", 1) == "*"
    }

    /// Waits until it follows the first of its sources.
    pub fn synchronised(&self) {
        self.wait("it is not synchronised", || self.is_synchronised());
    }

    /// How many good exchanges with all of these words are in its log of measurements, in its folder.
    pub fn measured(&self, words: &[&str]) -> usize {
        let log = std::fs::read_to_string(self.folder.join("measurements.log")).unwrap_or_default();
        let good = log.lines().filter(|line| line.contains(" 111 111 1111 "));
        good.filter(|line| words.iter().all(|word| line.contains(word))).count()
    }

    /// Waits until something holds, and says how the daemon is where it does not.
    pub fn wait(&self, what: &str, holds: impl FnMut() -> bool) {
        let state = || {
            let reports =
                ["sources", "tracking", "ntpdata", "authdata"].map(|report| self.chronyc(&[report]));
            reports.concat() + &self.log()
        };
        assert!(eventually(self.patience, holds), "{what}: {}", state());
    }

    /// Waits until a report is as it should be, and returns it.
    pub fn wait_for(&self, words: &[&str], what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let came = eventually(self.patience, || {
            last = self.chronyc(words);
            holds(&last)
        });
        assert!(came, "{what}\n{words:?}: {last}\n{}", self.log());
        last
    }

    /// Ends it in order, so that it keeps what it keeps; its exit code, or none where it had to be killed.
    pub fn end(mut self) -> Option<i32> {
        self.process.end()
    }
}
