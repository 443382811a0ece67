//! The daemons of a house as child processes: started, watched, started again, ended in order.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use layout::Layout;
use sys::poll::{Interest, Readiness};

/// The first pause before a daemon that died is started again.
const PAUSE_FIRST: Duration = Duration::from_millis(500);

/// The longest pause.
const PAUSE_LONGEST: Duration = Duration::from_secs(30);

/// A daemon that ran for so long begins with the first pause again.
const PAUSE_FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long a daemon has to answer its first ping; recovery after a crash is part of it.
pub const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How long a daemon has to end by itself.
pub const END_PATIENCE: Duration = Duration::from_secs(15);

/// How often a daemon that starts is asked whether it is there.
const PING_INTERVAL: Duration = Duration::from_millis(10);

/// The longest line of a daemon's output that is shown in one piece.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// A daemon of the house.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The program's name, also of its control socket.
    pub name: &'static str,
    /// The file that a person changes for it, below the house.
    pub file: &'static str,
    /// Words after the name.
    pub args: &'static [&'static str],
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A line of a daemon's output.
    Line(&'static str, String),
    /// It answered its ping for the first time since it was started.
    Ready(Service, Duration),
    /// It ended before it answered; true where it said that an address is in use.
    EndedEarly(Service, ExitStatus, bool),
    /// It ended; it is started again after the pause.
    Died(Service, ExitStatus, Duration),
    /// It could not be started.
    NotStarted(Service, io::Error),
    /// It runs and does not answer.
    NotReady(Service),
}

/// All of them.
pub struct Supervisor {
    layout: Layout,
    dir: PathBuf,
    control_clock: bool,
    members: Vec<Member>,
}

struct Member {
    service: Service,
    child: Option<Child>,
    outputs: Vec<Output>,
    started: Instant,
    ready: bool,
    complained: bool,
    address_in_use: bool,
    pause: Duration,
    again_at: Option<Instant>,
}

struct Output {
    file: File,
    partial: Vec<u8>,
}

impl Supervisor {
    /// Nobody runs yet.
    pub fn new(dir: &Path, control_clock: bool) -> Self {
        Self { layout: Layout::house(dir), dir: dir.to_path_buf(), control_clock, members: Vec::new() }
    }

    /// Starts a daemon.
    pub fn start(&mut self, service: Service) -> io::Result<()> {
        let mut member = Member {
            service,
            child: None,
            outputs: Vec::new(),
            started: Instant::now(),
            ready: false,
            complained: false,
            address_in_use: false,
            pause: PAUSE_FIRST,
            again_at: None,
        };
        member.spawn(&self.dir, self.control_clock)?;
        self.members.push(member);
        Ok(())
    }

    /// Whether every daemon that was started has answered.
    pub fn all_ready(&self) -> bool {
        self.members.iter().all(|member| member.ready)
    }

    /// Waits until something happens, at most `limit`; returns what happened. A signal ends the wait.
    pub fn wait(&mut self, limit: Option<Duration>) -> io::Result<Vec<Event>> {
        let now = Instant::now();
        let mut timeout = limit;
        for member in &self.members {
            let own = if member.child.is_some() && !member.ready {
                Some(PING_INTERVAL)
            } else {
                member.again_at.map(|at| at.saturating_duration_since(now))
            };
            timeout = match (timeout, own) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        let wake = sys::signal::wake_fd()?;
        let mut wanted = vec![(wake, Interest::READ)];
        for output in self.members.iter().flat_map(|member| &member.outputs) {
            wanted.push((output.file.as_fd(), Interest::READ));
        }
        let mut ready: Vec<Readiness> = Vec::new();
        match sys::poll::poll(&wanted, &mut ready, timeout) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        sys::signal::drain_wake(wake);
        let mut events = Vec::new();
        for member in &mut self.members {
            member.read_outputs(&mut events);
            member.look_for_end(&mut events);
            member.start_again(&self.dir, self.control_clock, &mut events);
            member.look_for_ready(&self.layout, &mut events);
        }
        Ok(events)
    }

    /// Ends the daemon `name`: asks it, waits, and kills it only when it does not. Returns its last lines and whether it was killed.
    pub fn end(&mut self, name: &str) -> io::Result<(Vec<Event>, bool)> {
        let mut events = Vec::new();
        let Some(at) = self.members.iter().position(|member| member.service.name == name) else {
            return Ok((events, false));
        };
        let mut member = self.members.remove(at);
        let Some(mut child) = member.child.take() else {
            return Ok((events, false));
        };
        let _ = sys::signal::send(child.id(), sys::signal::TERM);
        let end = Instant::now() + END_PATIENCE;
        let mut killed = false;
        while child.try_wait()?.is_none() {
            if Instant::now() >= end && !killed {
                child.kill()?;
                killed = true;
            }
            let wake = sys::signal::wake_fd()?;
            let mut ready = Vec::new();
            let mut wanted = vec![(wake, Interest::READ)];
            wanted.extend(member.outputs.iter().map(|output| (output.file.as_fd(), Interest::READ)));
            match sys::poll::poll(&wanted, &mut ready, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            sys::signal::drain_wake(wake);
            member.read_outputs(&mut events);
        }
        member.read_outputs(&mut events);
        Ok((events, killed))
    }

    /// The names of those that run, in the order of their start.
    pub fn names(&self) -> Vec<&'static str> {
        self.members.iter().map(|member| member.service.name).collect()
    }
}

impl Member {
    fn spawn(&mut self, dir: &Path, control_clock: bool) -> io::Result<()> {
        let mut command = Command::new(own_executable());
        command.arg0("banto").arg("--dir").arg(dir).arg(self.service.name).args(self.service.args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if !control_clock {
            // Beside the daemon's own switch: whatever it does, the kernel is not asked.
            command.env("BANTO_CLOCK_READ_ONLY", "1");
        }
        // Ctrl-C reaches `up` alone, which ends its daemons in order; when `up` is killed, they end by themselves.
        sys::process::new_session(&mut command);
        sys::process::end_with_parent(&mut command, sys::signal::TERM);
        let mut child = command.spawn()?;
        self.outputs.clear();
        for fd in [
            child.stdout.take().map(std::os::fd::OwnedFd::from),
            child.stderr.take().map(std::os::fd::OwnedFd::from),
        ]
        .into_iter()
        .flatten()
        {
            sys::fd::set_nonblocking(&fd, true)?;
            self.outputs.push(Output { file: File::from(fd), partial: Vec::new() });
        }
        self.child = Some(child);
        self.started = Instant::now();
        self.ready = false;
        self.complained = false;
        self.address_in_use = false;
        self.again_at = None;
        Ok(())
    }

    fn read_outputs(&mut self, events: &mut Vec<Event>) {
        let name = self.service.name;
        let before = events.len();
        self.outputs.retain_mut(|output| output.read(name, events));
        self.address_in_use |= events.iter().skip(before).any(|event| match event {
            Event::Line(_, text) => text.contains("ddress already in use"),
            _ => false,
        });
    }

    fn look_for_end(&mut self, events: &mut Vec<Event>) {
        let Some(child) = &mut self.child else { return };
        let Ok(Some(status)) = child.try_wait() else { return };
        self.child = None;
        self.read_outputs(events);
        if !self.ready && self.pause == PAUSE_FIRST && !self.complained && status.signal().is_none() {
            events.push(Event::EndedEarly(self.service, status, self.address_in_use));
        }
        if self.started.elapsed() >= PAUSE_FORGOTTEN_AFTER {
            self.pause = PAUSE_FIRST;
        }
        let pause = self.pause;
        self.pause = (self.pause * 2).min(PAUSE_LONGEST);
        self.again_at = Some(Instant::now() + pause);
        self.ready = false;
        events.push(Event::Died(self.service, status, pause));
    }

    fn start_again(&mut self, dir: &Path, control_clock: bool, events: &mut Vec<Event>) {
        if self.again_at.is_none_or(|at| at > Instant::now()) {
            return;
        }
        if let Err(error) = self.spawn(dir, control_clock) {
            events.push(Event::NotStarted(self.service, error));
            self.again_at = Some(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(PAUSE_LONGEST);
        }
    }

    fn look_for_ready(&mut self, layout: &Layout, events: &mut Vec<Event>) {
        let Some(child) = &self.child else { return };
        if self.ready {
            return;
        }
        let path = control::socket_path(layout, self.service.name);
        let answer = control::Client::connect(&path, Duration::from_secs(1))
            .and_then(|mut client| client.call("ping", serde_json::Value::Null));
        // The socket of a daemon that was killed may be answered by nobody, but never by another process.
        let pid = answer.ok().and_then(|value| value["pid"].as_u64());
        if pid == Some(u64::from(child.id())) {
            self.ready = true;
            events.push(Event::Ready(self.service, self.started.elapsed()));
        } else if !self.complained && self.started.elapsed() > READY_PATIENCE {
            self.complained = true;
            events.push(Event::NotReady(self.service));
        }
    }
}

/// This executable: by its path, so that it is known by its name; by the kernel's link where the file was replaced meanwhile.
pub fn own_executable() -> PathBuf {
    std::env::current_exe()
        .ok()
        .filter(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

impl Output {
    /// Reads what is there; false when the other end is closed.
    fn read(&mut self, name: &'static str, events: &mut Vec<Event>) -> bool {
        let mut chunk = [0u8; 4096];
        loop {
            let count = match self.file.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            self.partial.extend_from_slice(chunk.get(..count).unwrap_or_default());
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                events.push(Event::Line(name, String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.partial.len() > LINE_BYTES_MAX {
                events.push(Event::Line(name, String::from_utf8_lossy(&self.partial).into_owned()));
                self.partial.clear();
            }
        }
        if !self.partial.is_empty() {
            events.push(Event::Line(name, String::from_utf8_lossy(&self.partial).into_owned()));
            self.partial.clear();
        }
        false
    }
}
