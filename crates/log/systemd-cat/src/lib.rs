//! The `systemd-cat` command: connects a program's output to the journal.
//!
//! For: scripts and newcomers: `systemd-cat -t name COMMAND`, or text piped into it.
//!
//! Always: the program replaces this one (`execve(2)`), so that its process id is the one in the records; what goes wrong
//! before is told on the own standard error, and the exit code is 1; options are those of
//! systemd 252.
//!
//! Never: it reads or changes what the program writes.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use record::Severity;
use syslog_proto::stream::{Header, write_header};

const HELP: &str = "systemd-cat [OPTIONS...] COMMAND ...

Execute process with stdout/stderr connected to the journal.

  -h --help                      Show this help
     --version                   Show package version
  -t --identifier=STRING         Set syslog identifier
  -p --priority=PRIORITY         Set priority value (0..7)
     --stderr-priority=PRIORITY  Set priority value (0..7) used for stderr
     --level-prefix=BOOL         Control whether level prefix shall be parsed
";

/// Bytes of the socket's send buffer, so that a burst does not stop the program; as systemd asks for.
const SEND_BUFFER_BYTES: u32 = 8 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
struct Options {
    identifier: Vec<u8>,
    priority: Severity,
    stderr_priority: Option<Severity>,
    level_prefix: bool,
    command: Vec<OsString>,
}

#[derive(Debug, PartialEq, Eq)]
enum Action {
    Connect(Options),
    Help,
    Version,
}

/// Runs the command.
pub fn run(call: &layout::Call) -> ExitCode {
    let options = match parse(&call.args) {
        Ok(Action::Connect(options)) => options,
        Ok(Action::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Action::Version) => {
            println!("systemd-cat from Banto {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("systemd-cat: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Kept, closed on `exec`: before the program is tried, the journal takes the place of the standard error, and an
    // error after that would be told to nobody who looks at the terminal.
    let own_stderr = io::stderr().as_fd().try_clone_to_owned();
    match connect_and_run(&call.layout, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            match own_stderr.map(File::from) {
                Ok(mut stderr) => {
                    let _ = writeln!(stderr, "systemd-cat: {error}");
                }
                Err(_) => eprintln!("systemd-cat: {error}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn connect_and_run(layout: &layout::Layout, options: &Options) -> Result<(), String> {
    let stdout = open(layout, options, options.priority)?;
    let Some((program, arguments)) = options.command.split_first() else {
        let mut stream = stdout;
        return io::copy(&mut io::stdin().lock(), &mut stream)
            .and_then(|_| stream.flush())
            .map_err(|error| format!("Failed to copy standard input to the journal: {error}"));
    };
    let stderr = match options.stderr_priority {
        Some(priority) if priority != options.priority => open(layout, options, priority)?,
        _ => {
            stdout.try_clone().map_err(|error| format!("Failed to share the journal connection: {error}"))?
        }
    };
    let journal = stderr.try_clone();
    // Returns only when the program could not be started.
    let error = Command::new(program)
        .args(arguments)
        .stdout(Stdio::from(OwnedFd::from(stdout)))
        .stderr(Stdio::from(OwnedFd::from(stderr)))
        .exec();
    let told = format!("Failed to execute process: {}: {error}", program.display());
    // Whoever reads the journal only is told as well; that it cannot be written is no second error to tell.
    if let Ok(mut journal) = journal {
        let _ = writeln!(journal, "systemd-cat: {told}");
    }
    Err(told)
}

fn open(layout: &layout::Layout, options: &Options, priority: Severity) -> Result<UnixStream, String> {
    let path = syslog_proto::stream_socket(layout);
    let connect = || -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(&path)?;
        stream.shutdown(std::net::Shutdown::Read)?;
        sys::socket::set_send_buffer(&stream, SEND_BUFFER_BYTES)?;
        let header = Header {
            identifier: options.identifier.clone(),
            unit: Vec::new(),
            priority,
            level_prefix: options.level_prefix,
            forward: [false; 3],
        };
        let mut bytes = Vec::new();
        write_header(&header, &mut bytes);
        stream.write_all(&bytes)?;
        Ok(stream)
    };
    connect().map_err(|error| {
        format!("Failed to create stream fd: {}: {error}\nhelp: is the log daemon running?", path.display())
    })
}

fn parse(args: &[OsString]) -> Result<Action, String> {
    let mut options = Options {
        identifier: Vec::new(),
        priority: Severity::Info,
        stderr_priority: None,
        level_prefix: true,
        command: Vec::new(),
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        // The first word that is no option begins the command; its options are its own.
        if bytes == b"--" || bytes == b"-" || bytes.first() != Some(&b'-') {
            if bytes != b"--" {
                options.command.push(word.clone());
            }
            options.command.extend(words.cloned());
            break;
        }
        let equals = bytes.iter().position(|byte| *byte == b'=').filter(|_| bytes.starts_with(b"--"));
        let (name, mut value) = match equals {
            Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
            None if !bytes.starts_with(b"--") && bytes.len() > 2 => {
                (&bytes[..2], Some(OsString::from_vec(bytes[2..].to_vec())))
            }
            None => (bytes, None),
        };
        let shown = String::from_utf8_lossy(name).into_owned();
        match name {
            b"-h" | b"--help" => return Ok(Action::Help),
            b"--version" => return Ok(Action::Version),
            b"-t" | b"--identifier" | b"-p" | b"--priority" | b"--stderr-priority" | b"--level-prefix" => {
                value = value.or_else(|| words.next().cloned());
            }
            _ => {
                return Err(format!(
                    "unrecognized option '{shown}'\nhelp: systemd-cat --help lists the options"
                ));
            }
        }
        let value = value.ok_or_else(|| format!("option '{shown}' requires an argument"))?;
        let text = value.to_string_lossy().into_owned();
        match name {
            b"-t" | b"--identifier" => {
                if value.as_bytes().contains(&b'\n') {
                    return Err("an identifier is one line".to_owned());
                }
                options.identifier = value.into_vec();
            }
            b"-p" | b"--priority" => options.priority = severity(&text)?,
            b"--stderr-priority" => options.stderr_priority = Some(severity(&text)?),
            _ => options.level_prefix = boolean(&text)?,
        }
    }
    Ok(Action::Connect(options))
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_name(text)
        .or_else(|| text.parse().ok().and_then(Severity::from_code))
        .ok_or_else(|| format!("Failed to parse priority value: {text}\nhelp: 0 to 7, or emerg ... debug"))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("Failed to parse level prefix value: {text}\nhelp: yes or no")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: options end where the command begins, and what is wrong is told.
    #[test]
    fn command_lines_are_understood() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let Ok(Action::Connect(options)) = parse(&words("-t me -perr --level-prefix=no ls -l")) else {
            panic!("valid");
        };
        assert_eq!(options.identifier, b"me");
        assert_eq!(options.priority, Severity::Err);
        assert!(!options.level_prefix);
        assert_eq!(options.command, words("ls -l"));
        for wrong in ["-p bad", "--level-prefix=maybe", "-x", "-t"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
