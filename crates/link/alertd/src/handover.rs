//! One thread that hands mails to `sendmail`, one at a time, so that a slow one holds up no record.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alert_core::Letter;
use layout::Layout;
use sys::fd::Waker;

/// How long `sendmail` may take for one mail.
const PATIENCE: Duration = Duration::from_secs(60);

/// What of its complaint is kept, in bytes.
const COMPLAINT_BYTES_MAX: usize = 2000;

/// What became of a mail.
pub struct Outcome {
    /// The mail.
    pub letter: Letter,
    /// Taken, or why not.
    pub result: Result<(), NotTaken>,
}

/// Why a mail was not taken.
#[derive(Debug)]
pub struct NotTaken {
    /// What went wrong, in words.
    pub why: String,
    /// The exit code where it says that trying again is of no use.
    pub refused: Option<i32>,
}

impl From<String> for NotTaken {
    fn from(why: String) -> Self {
        Self { why, refused: None }
    }
}

/// The exit codes of `sysexits.h` after which trying again is of no use: called wrongly (64), bad or too large data (65), no such
/// user (67), no such host (68), refused (69, which our `sendmail` gives for a permanent reply alone).
/// Everything else, 71, 74 and 75 above all, may pass.
const REFUSALS: [i32; 5] = [64, 65, 67, 68, 69];

/// The thread.
pub struct HandOver {
    jobs: Option<Sender<(Vec<OsString>, Letter)>>,
    outcomes: Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl HandOver {
    /// Starts the thread; it wakes `waker` for each outcome.
    pub fn start(waker: Arc<Waker>) -> io::Result<Self> {
        let (jobs, taken) = channel::<(Vec<OsString>, Letter)>();
        let (told, outcomes) = channel();
        let thread = std::thread::Builder::new().name("hand-over".to_owned()).spawn(move || {
            while let Ok((command, letter)) = taken.recv() {
                let result = hand_over(&command, &letter);
                if told.send(Outcome { letter, result }).is_err() {
                    return;
                }
                waker.wake();
            }
        })?;
        Ok(Self { jobs: Some(jobs), outcomes, thread: Some(thread) })
    }

    /// Gives the thread a mail.
    pub fn give(&self, command: &[OsString], letter: Letter) {
        if let Some(jobs) = &self.jobs {
            // The thread ends only when this end is dropped.
            let _ = jobs.send((command.to_vec(), letter));
        }
    }

    /// An outcome, if there is one.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcomes.try_recv().ok()
    }

    /// Lets the thread finish what it was given, at most for `limit`, and returns the outcomes.
    pub fn finish(&mut self, limit: Duration) -> Vec<Outcome> {
        self.jobs = None;
        let end = Instant::now() + limit;
        let mut outcomes = Vec::new();
        while let Ok(outcome) = self.outcomes.recv_timeout(end.saturating_duration_since(Instant::now())) {
            outcomes.push(outcome);
        }
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
        outcomes
    }
}

/// The command of the layout where banto.toml names none.
pub fn default_command(layout: &Layout) -> Vec<OsString> {
    match layout.house_dir() {
        None => ["/usr/sbin/sendmail", "-t", "-i"].map(OsString::from).to_vec(),
        Some(dir) => {
            // The executable that carries all programs: this one, or the one beside it.
            let beside = std::env::current_exe()
                .ok()
                .map(|own| own.with_file_name("banto"))
                .filter(|path| path.exists());
            let own = beside.map_or_else(|| OsString::from("/proc/self/exe"), OsString::from);
            vec![own, "--dir".into(), dir.into(), "sendmail".into(), "-t".into(), "-i".into()]
        }
    }
}

fn hand_over(command: &[OsString], letter: &Letter) -> Result<(), NotTaken> {
    let Some((program, args)) = command.split_first() else {
        return Err("no sendmail command is configured".to_owned().into());
    };
    let shown = program.to_string_lossy();
    let mut child = Command::new(program);
    let mut child = child
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {shown}: {error}"))?;
    // The text is smaller than any pipe's buffer is in practice, but a program that reads nothing must not hold us: both pipes
    // are served by threads that end with the child.
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let text = letter.text.clone();
    let writer =
        std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(text.as_bytes())));
    let reader = std::thread::spawn(move || {
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr {
            let _ = stderr.take(COMPLAINT_BYTES_MAX as u64).read_to_end(&mut complaint);
        }
        String::from_utf8_lossy(&complaint).trim().replace('\n', "; ")
    });
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_micros(200);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{shown} did not end within {} s", PATIENCE.as_secs()).into());
            }
            Ok(None) => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(error) => return Err(format!("{shown}: {error}").into()),
        }
    };
    let written = writer.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    let complaint = reader.join().unwrap_or_default();
    let refused = status.code().filter(|code| REFUSALS.contains(code));
    match (status.success(), written) {
        (true, Ok(())) => Ok(()),
        // A program that ends well without reading the mail has not taken it.
        (true, Err(error)) => Err(format!("{shown} did not read the mail: {error}").into()),
        (false, _) if complaint.is_empty() => {
            Err(NotTaken { why: format!("{shown} ended with {status}"), refused })
        }
        (false, _) => Err(NotTaken { why: format!("{shown} ended with {status}: {complaint}"), refused }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alert_core::Kind;

    fn letter(text: &str) -> Letter {
        Letter {
            id: "banto-1".into(),
            rule: "errors".into(),
            kind: Kind::First,
            count: 1,
            nonce: None,
            text: text.into(),
            made_usec: 0,
            attempts: 0,
            next_usec: 0,
        }
    }

    /// Goal: a mail counts as taken only when the command read it all and ended well; else its complaint is told.
    #[test]
    fn only_a_command_that_took_it_counts() {
        let check = |script: &str, text: &str, expected: Result<(), &str>| {
            let command = ["/bin/sh", "-c", script].map(OsString::from);
            let result = hand_over(&command, &letter(text));
            match (&result, expected) {
                (Ok(()), Ok(())) => {}
                (Err(error), Err(part)) if error.why.contains(part) => {}
                _ => panic!("{script}: {result:?}"),
            }
        };
        check("cat >/dev/null", "Subject: x\n\n.\n", Ok(()));
        check("cat >/dev/null; echo no such user >&2; exit 67", "x", Err("no such user"));
        check("exit 75", "x", Err("exit status: 75"));
        check("exec 0</dev/null; exit 0", &"x".repeat(1 << 20), Err("did not read the mail"));
        let missing = [OsString::from("/nonexistent/sendmail")];
        let error = hand_over(&missing, &letter("x")).unwrap_err();
        assert!(error.why.contains("cannot run") && error.refused.is_none());
    }

    /// Goal: only exit codes that say so make a failure final; what may pass, a signal included, does not.
    #[test]
    fn only_permanent_codes_are_final() {
        let check = |script: &str, expected: Option<i32>| {
            let command = ["/bin/sh", "-c", script].map(OsString::from);
            assert_eq!(hand_over(&command, &letter("x")).unwrap_err().refused, expected, "{script}");
        };
        for code in [64, 65, 67, 68, 69] {
            check(&format!("cat >/dev/null; exit {code}"), Some(code));
        }
        for code in [1, 66, 70, 71, 73, 74, 75, 127] {
            check(&format!("cat >/dev/null; exit {code}"), None);
        }
        check("kill -KILL $$", None);
    }
}
