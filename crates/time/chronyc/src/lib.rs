//! The `chronyc` command: shows and changes what a time daemon does, ours or the stock `chronyd`.
//!
//! For: people at a prompt and scripts that read its columns or its CSV.
//!
//! Always: standard output is what `chronyc` 4.3 prints for the same replies, byte by byte, but for two lines of the legend of
//! `selectdata -v`, which name what became possible after 4.8; what went wrong on our side
//! goes to standard error with a `help:` line. Its own socket beside the daemon's is removed when it ends.
//!
//! Never: it reads no configuration, sets no clock itself and needs no privilege beyond access to the daemon's socket.
#![forbid(unsafe_code)]

mod cell;
mod command;
mod connection;
mod date;
mod key;
mod nobody;
mod parse;
mod prompt;
mod report;
mod session;
mod source;

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use connection::{Connection, Family, Place};
use session::{Options, Session, interrupted, take_interrupt};

/// A time as people type it, in the local time zone where they name none: seconds since the Unix epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    let now = sys::clock::realtime_ns().div_euclid(1_000_000_000);
    date::parse(text, now, sys::rtc::to_local, sys::rtc::from_local)
}

/// Runs the command; exits 0 when the last command succeeded.
pub fn run(call: &layout::Call) -> ExitCode {
    let line = match CommandLine::parse(call) {
        Ok(Parsed::Run(line)) => line,
        Ok(Parsed::Show(text)) => {
            return if std::io::stdout().write_all(text.as_bytes()).is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            };
        }
        Err(message) => {
            eprintln!("{}: {message}", call.name);
            eprint!("{}", usage(call));
            return ExitCode::FAILURE;
        }
    };
    for signal in [sys::signal::INT, sys::signal::TERM, sys::signal::HUP] {
        if let Err(error) = sys::signal::catch(signal) {
            eprintln!("Could not catch signal {signal}: {error}");
            return ExitCode::FAILURE;
        }
    }
    if let Err(message) = line.user.as_deref().map_or(Ok(()), become_user) {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    let terminal =
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    let mut connection = Connection::new(connection::places(&line.hosts, line.port, line.options.family));
    if !connection.open_next() {
        eprintln!("Could not open connection to daemon");
        explain_failures(&connection, &line);
        return ExitCode::FAILURE;
    }
    let mut out = std::io::stdout().lock();
    let mut session = Session::new(line.options, connection, line.typed.clone(), &mut out);
    let done = if !line.commands.is_empty() {
        run_commands(&mut session, &line)
    } else {
        if terminal {
            session.print(&format!("chronyc (banto) version {}\n\n", env!("CARGO_PKG_VERSION")));
        }
        run_lines(&mut session, terminal)
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives up root's rights, where this is root's process.
fn become_user(name: &str) -> Result<(), String> {
    if name == "root" || sys::process::effective_uid() != 0 {
        return Ok(());
    }
    match sys::user::by_name(name) {
        Ok(Some(user)) => sys::process::become_user(&user.name, user.uid, user.gid)
            .map_err(|error| format!("Could not become user {name}: {error}")),
        Ok(None) => {
            Err(format!("Could not get user/group ID of {name}\nhelp: the users of this host: getent passwd"))
        }
        Err(error) => Err(format!("Could not get user/group ID of {name}: {error}")),
    }
}

fn explain_failures(connection: &Connection, line: &CommandLine) {
    let hosts = &line.hosts;
    for (place, error) in &connection.failures {
        eprintln!("  {place}: {error}");
    }
    if !connection.failures.is_empty() {
        let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        let is_denied =
            connection.failures.iter().any(|(place, error)| matches!(place, Place::Unix(_)) && denied(error));
        let help = match is_denied {
            true => vec![line.typed.as_root()],
            false => line.typed.help(connection.places()),
        };
        help.iter().for_each(|line| eprintln!("help: {line}"));
        return;
    }
    let (paths, names): (Vec<&str>, Vec<&str>) =
        hosts.split(',').filter(|host| !host.is_empty()).partition(|host| host.contains('/'));
    for path in &paths {
        eprintln!("  '{path}' is no host, and the path of a socket must begin with '/'");
        match std::path::absolute(path) {
            Ok(full) => eprintln!("help: -h {}", full.display()),
            Err(_) => eprintln!("help: -h /full/path"),
        }
    }
    let hosts = names.join(",");
    if paths.is_empty() || !names.is_empty() {
        eprintln!("  no address found for '{hosts}'");
        eprintln!("help: -h takes host names, addresses or paths of sockets, separated by commas");
    }
}

/// One command of all words, or one for each with `-m`, up to the first that fails.
fn run_commands(session: &mut Session<'_>, line: &CommandLine) -> bool {
    if !line.multiple {
        return session.run_line(&line.commands.join(" "));
    }
    for command in &line.commands {
        if !session.run_line(command) {
            return false;
        }
        if session.ended || interrupted() {
            break;
        }
    }
    true
}

/// Commands from standard input; the last one's success counts, and no command at all is a success.
fn run_lines(session: &mut Session<'_>, terminal: bool) -> bool {
    if terminal && let Some(mut prompt) = prompt::Prompt::new() {
        return run_prompt(session, &mut prompt);
    }
    let mut input = Lines { stdin: std::io::stdin().lock(), buffer: Vec::new() };
    run_each(session, || input.next())
}

/// Ctrl-C ends the command that runs; the prompt comes back.
fn run_prompt(session: &mut Session<'_>, prompt: &mut prompt::Prompt) -> bool {
    let mut done = true;
    while let Some(line) = prompt.next() {
        // The editor takes this signal for itself from its first line on, also while it does not read.
        let caught = sys::signal::catch_for_now(sys::signal::INT);
        if let Err(error) = &caught {
            eprintln!("Could not catch Ctrl-C: {error}");
        }
        done = session.run_line(&line);
        if take_interrupt() {
            // Behind the terminal's ^C.
            session.print_now("\n");
        }
        if session.ended || interrupted() {
            break;
        }
    }
    done
}

fn run_each(session: &mut Session<'_>, mut next: impl FnMut() -> Option<String>) -> bool {
    let mut done = true;
    while let Some(line) = next() {
        done = session.run_line(&line);
        if session.ended || interrupted() {
            break;
        }
    }
    done
}

/// Lines of standard input whose wait a signal ends; `std`'s own would go on reading.
struct Lines {
    stdin: std::io::StdinLock<'static>,
    buffer: Vec<u8>,
}

impl Lines {
    /// Longer lines are cut into several.
    const LENGTH_MAX: usize = 2048;

    fn next(&mut self) -> Option<String> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            if end.is_some() || self.buffer.len() >= Self::LENGTH_MAX {
                let rest = self.buffer.split_off(end.map_or(Self::LENGTH_MAX, |end| end + 1));
                let line = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            let mut ready = Vec::new();
            let waited =
                sys::poll::poll(&[(self.stdin.as_fd(), sys::poll::Interest::READ)], &mut ready, None);
            if interrupted() {
                return None;
            }
            if waited.is_err() {
                continue;
            }
            let mut chunk = [0; Self::LENGTH_MAX];
            match self.stdin.read(&mut chunk) {
                Ok(length) if length > 0 => self.buffer.extend_from_slice(&chunk[..length]),
                _ if self.buffer.is_empty() => return None,
                _ => return Some(String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()),
            }
        }
    }
}

/// The command line as meant.
#[derive(Debug)]
struct CommandLine {
    options: Options,
    hosts: String,
    port: u16,
    multiple: bool,
    /// `-u`: whom root becomes before anything is asked.
    user: Option<String>,
    commands: Vec<String>,
    typed: nobody::Typed,
}

enum Parsed {
    Run(CommandLine),
    Show(String),
}

impl CommandLine {
    fn parse(call: &layout::Call) -> Result<Parsed, String> {
        let mut words = Vec::new();
        for word in &call.args {
            words.push(word.to_str().ok_or_else(|| format!("not UTF-8: {}", word.display()))?);
        }
        if words.contains(&"--help") {
            return Ok(Parsed::Show(usage(call)));
        }
        if words.contains(&"--version") {
            return Ok(Parsed::Show(version()));
        }
        let options = Options {
            csv: false,
            no_dns: false,
            source_names: false,
            end_dot: false,
            wide: false,
            family: Family::Any,
        };
        let mut line = Self {
            options,
            hosts: default_hosts(call),
            port: default_port(call),
            multiple: false,
            user: None,
            commands: Vec::new(),
            typed: nobody::Typed {
                house: call.layout.house_dir().map(Into::into),
                words: Vec::new(),
                all: words.iter().map(|word| (*word).to_owned()).collect(),
            },
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let Some(flags) = word.strip_prefix('-').filter(|flags| !flags.is_empty()) else {
                line.commands.push(word.to_owned());
                break;
            };
            if flags == "-" {
                break;
            }
            let plain: String = flags.chars().take_while(|flag| !"hpfu".contains(*flag)).collect();
            if !plain.is_empty() {
                line.typed.words.push(format!("-{plain}"));
            }
            for (at, flag) in flags.char_indices() {
                match flag {
                    '4' => line.options.family = Family::V4,
                    '6' => line.options.family = Family::V6,
                    'c' => line.options.csv = true,
                    'e' => line.options.end_dot = true,
                    'm' => line.multiple = true,
                    'n' => line.options.no_dns = true,
                    'N' => line.options.source_names = true,
                    'v' => return Ok(Parsed::Show(version())),
                    'w' => line.options.wide = true,
                    // Of the time when requests carried passwords, and of builds with debug messages: scripts still
                    // give them, and they change nothing in stock builds either.
                    'a' | 'd' => {}
                    'h' | 'p' | 'f' | 'u' => {
                        let rest = &flags[at + 1..];
                        let value = if rest.is_empty() { words.next() } else { Some(rest) };
                        let value =
                            value.ok_or_else(|| format!("option requires an argument -- '{flag}'"))?;
                        match flag {
                            'h' => line.hosts = value.to_owned(),
                            'u' => line.user = Some(value.to_owned()),
                            'p' => {
                                line.port = value.parse().map_err(|_| format!("no UDP port: '{value}'"))?;
                                // Whoever names a port wants to ask there, in a house too.
                                if line.hosts == default_hosts(call) && call.layout.house_dir().is_some() {
                                    line.hosts = "127.0.0.1,::1".to_owned();
                                }
                            }
                            _ => {}
                        }
                        break;
                    }
                    other => return Err(format!("invalid option -- '{other}'")),
                }
            }
        }
        line.commands.extend(words.map(str::to_owned));
        line.typed.words.extend_from_slice(&line.commands);
        Ok(Parsed::Run(line))
    }
}

fn default_port(call: &layout::Call) -> u16 {
    chrony_cmd::port(&call.layout)
}

/// Whom to ask where `-h` says nothing. In a house only its own socket: a port on loopback may be another house's, and its
/// answers would be taken for this one's.
fn default_hosts(call: &layout::Call) -> String {
    let socket = chrony_cmd::socket_path(&call.layout);
    match call.layout.house_dir() {
        Some(_) => socket.display().to_string(),
        None => format!("{},127.0.0.1,::1", socket.display()),
    }
}

fn version() -> String {
    format!("chronyc (banto) version {}\n", env!("CARGO_PKG_VERSION"))
}

fn usage(call: &layout::Call) -> String {
    let (name, hosts, port) = (&call.name, default_hosts(call), default_port(call));
    format!(
        "Usage: {name} [OPTION]... [COMMAND]...\n\nOptions:\n\
         \x20 -4\t\tUse IPv4 addresses only\n\
         \x20 -6\t\tUse IPv6 addresses only\n\
         \x20 -n\t\tDon't resolve hostnames\n\
         \x20 -N\t\tPrint original source names\n\
         \x20 -c\t\tEnable CSV format\n\
         \x20 -e\t\tEnd responses with dot\n\
         \x20 -m\t\tAccept multiple commands\n\
         \x20 -h HOST\tSpecify server ({hosts})\n\
         \x20 -p PORT\tSpecify UDP port ({port})\n\
         \x20 -u USER\tBecome this user, where root starts it (root)\n\
         \x20 -w\t\tWide output\n\
         \x20 -a, -d, -f FILE\tAccepted for old scripts; they have no effect\n\
         \x20 -v, --version\tPrint version and exit\n\
         \x20     --help\tPrint usage and exit\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Parsed, String> {
        CommandLine::parse(&layout::Call {
            name: "chronyc".to_owned(),
            args: words.iter().map(Into::into).collect(),
            layout: layout::Layout::house("/h"),
        })
    }

    /// Goal: options as getopt(3) reads them: bundled, with values attached or apart, up to the first other word.
    #[test]
    fn options_are_read_as_getopt_reads_them() {
        let check = |words: &[&str], expected: (bool, bool, &str, u16, bool, &[&str])| {
            let Ok(Parsed::Run(line)) = parse(words) else { panic!("{words:?} does not run") };
            let commands: Vec<&str> = line.commands.iter().map(String::as_str).collect();
            let got = (line.options.csv, line.options.no_dns, line.hosts.as_str(), line.port, line.multiple);
            assert_eq!((got.0, got.1, got.2, got.3, got.4, commands.as_slice()), expected);
        };
        let hosts = "/h/run/chronyd.sock";
        check(&[], (false, false, hosts, 11323, false, &[]));
        check(&["-nc", "sources", "-v"], (true, true, hosts, 11323, false, &["sources", "-v"]));
        check(
            &["-h", "a,b", "-p323", "-m", "tracking", "sources"],
            (false, false, "a,b", 323, true, &["tracking", "sources"]),
        );
        check(&["-a", "-f", "x", "-d", "--", "-n"], (false, false, hosts, 11323, false, &["-n"]));
    }

    /// Goal: what cannot be read is said.
    #[test]
    fn wrong_options_are_said() {
        let check = |words: &[&str], expected: &str| match parse(words) {
            Err(message) => assert_eq!(message, expected),
            Ok(_) => panic!("{words:?} was accepted"),
        };
        check(&["-q"], "invalid option -- 'q'");
        check(&["-h"], "option requires an argument -- 'h'");
        check(&["-u"], "option requires an argument -- 'u'");
        check(&["-p", "x"], "no UDP port: 'x'");
    }
}
