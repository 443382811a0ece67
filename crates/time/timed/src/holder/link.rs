//! The daemon's end: starts the clock process and asks it.

use super::messages::{Limits, REPLY_BYTES, Request, read_reply};
use super::{CLOCK_PROCESS, Holder, KernelStatus, Words};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use sys::rtc::RtcTime;

/// An answer takes microseconds; a clock process that does not answer so long never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// The clock process, and the way to it.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    process: Option<Child>,
    /// An answer is missing: what comes next could not be told from it.
    broken: bool,
}

/// How the clock process is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// Not the kernel's clock: none.
    pub rehearsal: bool,
    /// Whom it becomes; none: it stays who it is.
    pub user: Option<&'a str>,
    /// What may be asked of it.
    pub limits: Limits,
    /// Its memory is not paged out.
    pub locked: bool,
    /// The real-time clock that it may set, opened here.
    pub rtc: Option<BorrowedFd<'a>>,
}

impl Link {
    /// Starts the clock process: this executable again, with a socket as its standard input.
    pub(crate) fn start(start: Start<'_>) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("chronyd").arg(CLOCK_PROCESS).args([
            if start.rehearsal { "rehearse" } else { "set" }.to_owned(),
            if start.locked { "locked" } else { "paged" }.to_owned(),
            start.limits.drift_ppm.to_string(),
            start.limits.slew_ppm.to_string(),
            if start.rtc.is_some() { "rtc" } else { "none" }.to_owned(),
            start.user.unwrap_or_default().to_owned(),
        ]);
        command.env_clear();
        if let Some(value) = std::env::var_os(sys::clock::READ_ONLY_VARIABLE) {
            command.env(sys::clock::READ_ONLY_VARIABLE, value);
        }
        let rtc = start.rtc.map(|device| device.try_clone_to_owned()).transpose()?;
        command.stdout(rtc.map_or_else(Stdio::null, Stdio::from));
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
        let mut link = Self::over(ours)?;
        link.process = Some(child);
        Ok(link)
    }

    /// To whoever holds the other end.
    pub(super) fn over(socket: UnixStream) -> io::Result<Self> {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, process: None, broken: false })
    }

    /// The id of the clock process.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    fn ask(&mut self, request: Request) -> io::Result<Words> {
        let lost = |_| io::Error::other("the process that holds the clock has ended");
        if self.broken {
            return Err(lost(()));
        }
        let mut reply = [0; REPLY_BYTES];
        let answered =
            self.socket.write_all(&request.to_bytes()).and_then(|()| self.socket.read_exact(&mut reply));
        if answered.is_err() {
            self.broken = true;
            // The loop sees the end of the line too.
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        answered.map_err(|_| lost(()))?;
        read_reply(&reply)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It ends with the line, so that the wait is short.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        if let Some(process) = &mut self.process {
            let _ = process.wait();
        }
    }
}

impl Holder for Link {
    fn take_over(&mut self) -> io::Result<Words> {
        self.ask(Request::TakeOver)
    }

    fn set_frequency(&mut self, words: Words, rest: Words) -> io::Result<()> {
        self.ask(Request::Frequency { words, rest }).map(drop)
    }

    fn step(&mut self, nanos: i64) -> io::Result<()> {
        self.ask(Request::Step { nanos }).map(drop)
    }

    fn set_status(&mut self, status: KernelStatus) -> io::Result<()> {
        self.ask(Request::Status(status)).map(drop)
    }

    fn set_leap(&mut self, direction: i32, tai_offset: Option<i32>) -> io::Result<()> {
        self.ask(Request::Leap { direction, tai_offset }).map(drop)
    }

    fn set_rtc(&mut self, time: RtcTime) -> io::Result<()> {
        self.ask(Request::RealTimeClock(time)).map(drop)
    }

    fn lifeline(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket.as_fd())
    }
}
