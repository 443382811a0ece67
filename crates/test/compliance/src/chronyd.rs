//! A `chronyd` of either side, in a folder of its own, for tests.

use crate::{Running, Side, TempDir, eventually, free_port, ours, stock, stock_without_clock};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Longer than anything that a time daemon is waited for here takes: an initial burst is over after 14 s.
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
}

impl Chronyd {
    /// Starts one with these lines and those that keep it in its folder; `{dir}` stands for the folder. It answers commands
    /// when this returns.
    pub fn start(side: Side, lines: &str) -> Self {
        Self::start_in(TempDir::new(), side, lines)
    }

    /// The same in a folder that is there.
    pub fn start_in(folder: impl Into<Arc<TempDir>>, side: Side, lines: &str) -> Self {
        let folder = folder.into();
        let sockets = folder.join("cmd");
        std::fs::create_dir_all(&sockets).expect("a folder can be made");
        // chronyd uses its socket only in a folder that others cannot enter.
        std::fs::set_permissions(&sockets, std::fs::Permissions::from_mode(0o700)).expect("it is ours");
        // Of one that was there before.
        let _ = std::fs::remove_file(sockets.join("sock"));
        let text = format!("{lines}\nuser root\npidfile {{dir}}/pid\nbindcmdaddress {{dir}}/cmd/sock\n")
            .replace("{dir}", &folder.path().display().to_string());
        let conf = folder.write("chrony.conf", text);
        let log = File::options().append(true).create(true).open(folder.join("stderr"));
        let log = log.expect("a file can be made");
        let mut command = chronyd(side, folder.path());
        command.arg("-d").arg("-f").arg(conf).stdout(log.try_clone().expect("it is open")).stderr(log);
        let process = Running::start(&mut command);
        let daemon = Self { process, folder };
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

    /// What the stock `chronyc -n` prints, over the Unix socket.
    pub fn chronyc(&self, words: &[&str]) -> String {
        let output = chronyc(Side::Stock).arg("-n").arg("-h").arg(self.socket()).args(words).output();
        String::from_utf8_lossy(&output.expect("chronyc can be started").stdout).into_owned()
    }

    /// The cells of a report, row by row.
    pub fn rows(&self, words: &[&str]) -> Vec<Vec<String>> {
        let cells = |line: &str| line.split(',').map(str::to_owned).collect();
        self.chronyc(&[&["-c"], words].concat()).lines().map(cells).collect()
    }

    /// Waits until a report is as it should be, and returns it.
    pub fn wait_for(&self, words: &[&str], what: &str, holds: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let came = eventually(PATIENCE, || {
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
