//! Where the text goes: standard output, or a pager when that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::process::{Child, Command, Stdio};

/// The end that text is written to.
pub enum Sink {
    /// Standard output.
    Plain(io::Stdout),
    /// A pager that reads from us.
    Pager(Child),
}

impl Sink {
    /// A pager when wanted, possible and standard output is a terminal: `$SYSTEMD_PAGER`, `$PAGER`, else `less`.
    pub fn open(pager: bool, jump_to_end: bool) -> Self {
        if pager && io::stdout().is_terminal() {
            let named = ["SYSTEMD_PAGER", "PAGER"].iter().find_map(|name| std::env::var(name).ok());
            let command = named.unwrap_or_else(|| "less".into());
            if !command.is_empty() && command != "cat" {
                let less = std::env::var("SYSTEMD_LESS").unwrap_or_else(|_| "FRSXMK".into());
                let less = if jump_to_end { format!("{less} +G") } else { less };
                let child =
                    Command::new("sh").args(["-c", &command]).env("LESS", less).stdin(Stdio::piped()).spawn();
                if let Ok(child) = child {
                    return Sink::Pager(child);
                }
            }
        }
        Sink::Plain(io::stdout())
    }

    /// Ends the text and waits for the pager.
    pub fn close(self) {
        if let Sink::Pager(mut child) = self {
            drop(child.stdin.take());
            // How the pager ended says nothing about the journal.
            let _status = child.wait();
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(stdout) => stdout.write(bytes),
            Sink::Pager(child) => match &mut child.stdin {
                Some(stdin) => stdin.write(bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(stdout) => stdout.flush(),
            Sink::Pager(child) => child.stdin.as_mut().map_or(Ok(()), Write::flush),
        }
    }
}

/// Whether text is coloured: the output is a terminal that can, and the user has not said no.
pub fn colors() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let never =
        std::env::var("SYSTEMD_COLORS").is_ok_and(|value| matches!(value.as_str(), "0" | "no" | "false"));
    let dumb = std::env::var("TERM").map_or(true, |term| term == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !never && !dumb
}
