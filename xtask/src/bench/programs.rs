//! Starting and ending the programs under load: folders, ports, and processes that are ended by their id.
//!
//! The tests have the same in the compliance crate. This crate uses none of the house's own, so that it runs whatever state they
//! are in.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a program may take until it listens, and until it has ended.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The stock program called `name`, from `PATH` or where Debian keeps daemons; the error says what is missing.
pub fn stock(name: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/usr/lib/postfix/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("the stock program {name} is not installed; help: cargo xtask packages"))
}

/// What `id` says: `-u` a number, of a user or of ourselves.
pub fn user_id(user: Option<&str>) -> Result<u32, String> {
    let output = Command::new("id").arg("-u").args(user).output().map_err(|error| format!("id: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| format!("there is no user {}", user.unwrap_or_default()))
}

/// A folder of its own, removed with all in it at the end. Its path is short enough for Unix sockets.
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new folder.
    pub fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("banto-bench-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
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
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A process that ends when this is dropped: asked by SIGTERM, and by SIGKILL when it takes too long.
pub struct Running(pub Child);

impl Running {
    /// Starts a daemon whose words go to the file `words` of the folder.
    pub fn daemon(command: &mut Command, folder: &TempDir) -> Result<(Self, PathBuf), String> {
        let words = folder.join("words");
        let said = File::create(&words).map_err(|error| error.to_string())?;
        let error_said = said.try_clone().map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(said).stderr(error_said);
        Ok((Self::start(command)?, words))
    }

    /// Starts a process.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        command.spawn().map(Self).map_err(|error| format!("{command:?}: {error}"))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Asks it to end, and waits.
    pub fn end(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        terminate(self.id());
        if !eventually(|| !matches!(self.0.try_wait(), Ok(None))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Waits until it listens on a loopback TCP port.
    pub fn wait_for_port(&mut self, port: u16) -> Result<(), String> {
        let mut ended = None;
        let listens = eventually(|| {
            ended = self.0.try_wait().ok().flatten();
            ended.is_some() || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        match ended {
            Some(status) => Err(format!("it has ended before it listened ({status})")),
            None if listens => Ok(()),
            None => Err(format!("nothing listens on port {port} after {} s", PATIENCE.as_secs())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Sends SIGTERM to one process.
pub fn terminate(pid: u32) {
    let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Asks again and again until it is true; false when it is not within [`PATIENCE`].
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A loopback port that is free for UDP and TCP at this moment, and given out once only.
pub fn free_port() -> Result<u16, String> {
    static GIVEN: std::sync::Mutex<Vec<u16>> = std::sync::Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for _ in 0..200 {
        let Ok(tcp) = TcpListener::bind("127.0.0.1:0") else { continue };
        let Ok(address) = tcp.local_addr() else { continue };
        if !given.contains(&address.port()) && UdpSocket::bind(address).is_ok() {
            given.push(address.port());
            return Ok(address.port());
        }
    }
    Err("no loopback port is free".to_owned())
}

/// The last lines of a program's words.
pub fn tail(words: &Path) -> String {
    let text = std::fs::read_to_string(words).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n    ")
}
