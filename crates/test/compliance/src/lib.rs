//! The same tests against the stock program or ours.
//!
//! For: tests that start real programs, ours and Debian's, and compare what they do. `BANTO_UNDER_TEST=stock` puts the stock
//! program in the place where ours stands by default: a test that fails against the stock program is a wrong test.
//!
//! Always: every test has its own folder and ports, every wait ends, every process that was started is ended by its id, and
//! no time daemon can set this machine's clock: ours run with `BANTO_CLOCK_READ_ONLY`, stock ones without `CAP_SYS_TIME`.
//!
//! Never: it passes silently where a stock program is missing: [`skip`] says so, and the test run counts it.
#![forbid(unsafe_code)]

pub mod house;
pub mod time_server;

mod chronyd;

pub use chronyd::{Chronyd, chronyc, chronyd};
pub use house::House;

use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Which program is under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that Debian packages.
    Stock,
    /// This project's.
    Ours,
}

/// What `BANTO_UNDER_TEST` says: `stock` or `ours` (the default).
pub fn under_test() -> Side {
    match std::env::var("BANTO_UNDER_TEST").as_deref() {
        Ok("stock") => Side::Stock,
        Ok("ours") | Err(_) => Side::Ours,
        Ok(other) => panic!("BANTO_UNDER_TEST is `{other}`; say stock or ours"),
    }
}

/// Which server speaks with which client: ours with the stock one, both ways, and ours with ours.
pub fn pairs() -> Vec<(Side, Side)> {
    match under_test() {
        Side::Stock => vec![(Side::Stock, Side::Stock)],
        Side::Ours => vec![(Side::Ours, Side::Stock), (Side::Stock, Side::Ours), (Side::Ours, Side::Ours)],
    }
}

/// A call of one of our programs, by its name in the trade, through the one executable.
pub fn ours(name: &str) -> Command {
    let mut command = Command::new(banto());
    command.arg(name).env("BANTO_CLOCK_READ_ONLY", "1");
    command
}

/// Our executable, as `cargo build --workspace` (or `cargo xtask test`) has made it. `BANTO_EXECUTABLE` names another one.
pub fn banto() -> PathBuf {
    if let Some(path) = std::env::var_os("BANTO_EXECUTABLE") {
        return path.into();
    }
    // Tests run from TARGET/PROFILE/deps/NAME.
    let own = std::env::current_exe().expect("a test knows its own path");
    let folder = own.parent().and_then(Path::parent).expect("a test stands in TARGET/PROFILE/deps");
    let path = folder.join("banto");
    assert!(path.exists(), "{} is missing; run: cargo build --workspace", path.display());
    path
}

/// The stock program called `name`: in `PATH` or the folders where Debian keeps daemons.
pub fn stock(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
        "/usr/lib/systemd",
        "/lib/systemd",
        "/usr/lib/postfix/sbin",
    ];
    std::env::split_paths(&path)
        .chain(usual.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// The stock program, or says that the test is skipped for want of it: `let Some(x) = stock_or_skip("swaks") else { return };`
pub fn stock_or_skip(name: &str) -> Option<PathBuf> {
    let found = stock(name);
    if found.is_none() {
        skip(&format!("the stock program {name} is not installed"));
    }
    found
}

/// A call of a stock time daemon that cannot set the clock: `CAP_SYS_TIME` is taken out of its bounding set. Give it `-x` too.
pub fn stock_without_clock(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_time", "--inh-caps=-sys_time"]).arg(program);
    command
}

/// Says that a test is skipped, to whoever reads the output and, through the file that `BANTO_SKIPS` names, to the test run.
pub fn skip(reason: &str) {
    use std::io::Write;
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED: {name}: {reason}");
    println!("{line}");
    if let Some(path) = std::env::var_os("BANTO_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{line}");
    }
}

/// A folder of a test's own, removed with everything in it at the end. Its path is short enough for Unix sockets.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new folder.
    #[expect(
        clippy::new_without_default,
        reason = "it makes a folder: nothing that should happen by default"
    )]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("banto-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("the temporary folder takes a folder");
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file into it and returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder can be made in a test's own folder");
        }
        std::fs::write(&path, text).expect("a file can be written into a test's own folder");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for a look: {}", self.0.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// A process that ends with the test: asked by SIGTERM, and after five seconds by SIGKILL.
#[derive(Debug)]
pub struct Running(pub Child);

impl Running {
    /// Starts a process.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self(child)
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal (`sys::signal`).
    pub fn signal(&self, signal: i32) {
        let _ = sys::signal::send(self.0.id(), signal);
    }

    /// Kills it at once, as a power cut would, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// Asks it to end and waits, five seconds at most; the exit code, or none where it had to be killed.
    pub fn end(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.0.try_wait() {
            return status.code();
        }
        self.signal(sys::signal::TERM);
        let mut code = None;
        let ended = eventually(Duration::from_secs(5), || match self.0.try_wait() {
            Ok(Some(status)) => {
                code = status.code();
                true
            }
            _ => false,
        });
        if !ended {
            self.kill();
        }
        code
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Does the same with each of some things, all at once: daemons mostly wait. A failure of one is the test's.
pub fn at_once<T: Send>(things: impl IntoIterator<Item = T>, test: impl Fn(T) + Sync) {
    let own = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::scope(|scope| {
        for thing in things {
            let test = &test;
            // Whoever says that it is skipped says so under the test's name.
            let thread = std::thread::Builder::new().name(own.clone());
            thread.spawn_scoped(scope, move || test(thing)).expect("a thread can be started");
        }
    });
}

/// Asks `condition` again and again, every 10 ms, until it is true; false when it is not within `patience`.
pub fn eventually(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A loopback port that is free for UDP and for TCP at this moment, and given out only once by this process.
pub fn free_port() -> u16 {
    static GIVEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..200 {
        let Ok(tcp) = TcpListener::bind("127.0.0.1:0") else { continue };
        let Ok(address) = tcp.local_addr() else { continue };
        // Tests put ports in place of the default ones in texts: one that holds a piece of a default would be replaced again.
        let text = address.port().to_string();
        if ["112", "113", "123", "132", "323", "514", "551", "252", "525", "812", "125"]
            .iter()
            .any(|part| text.contains(part))
        {
            continue;
        }
        if !given.contains(&address.port()) && UdpSocket::bind(address).is_ok() {
            given.push(address.port());
            return address.port();
        }
    }
    panic!("no loopback port is free");
}

/// The messages of a mailbox of which a further copy stands there without a kill between the two: their numbers and both places. A
/// kill is told by how many messages there were just after it and at the next complete start; the last one before a kill may be half
/// written. How many a kill doubles depends on how much waits; that there is one between does not.
pub fn unexplained_copies(found: &[u64], kills: &[(usize, usize)]) -> Vec<(u64, usize, usize)> {
    let mut last = std::collections::HashMap::new();
    let mut unexplained = Vec::new();
    for (at, number) in found.iter().enumerate() {
        if let Some(before) = last.insert(*number, at)
            && !kills.iter().any(|(killed, started)| before < *started && at + 1 >= *killed)
        {
            unexplained.push((*number, before, at));
        }
    }
    unexplained
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a copy is explained by a kill between it and the one before, and by no other.
    #[test]
    fn copies_need_a_kill_between() {
        let kills = [(3, 3)];
        assert_eq!(unexplained_copies(&[1, 2, 3, 3, 4], &kills), []);
        assert_eq!(unexplained_copies(&[1, 2, 3, 4, 5, 2], &kills), []);
        assert_eq!(unexplained_copies(&[1, 1, 3, 4, 5], &kills), [(1, 0, 1)]);
        assert_eq!(unexplained_copies(&[1, 2, 3, 4, 5, 4], &kills), [(4, 3, 5)]);
        assert_eq!(unexplained_copies(&[1, 2, 3, 3, 3], &kills), [(3, 3, 4)]);
    }

    /// Goal: what fails for one of several things fails, and each is looked at.
    #[test]
    fn one_of_several_fails_for_all() {
        let seen = AtomicU32::new(0);
        let failed = std::panic::catch_unwind(|| {
            at_once([1, 2, 3], |number| {
                seen.fetch_add(number, Ordering::Relaxed);
                assert_ne!(number, 2);
            });
        });
        assert!(failed.is_err());
        assert_eq!(seen.load(Ordering::Relaxed), 6);
    }

    /// Goal: a started process is ended by its id, and its folder goes.
    #[test]
    fn processes_and_folders_end_with_the_test() {
        let folder = TempDir::new();
        folder.write("a/b", "x");
        let path = folder.path().to_path_buf();
        let mut sleeper = Running::start(Command::new("sleep").arg("60"));
        assert_eq!(sleeper.end(), None, "ended by a signal, so without a code");
        drop(folder);
        assert!(!path.exists());
        assert_ne!(free_port(), free_port());
    }
}
