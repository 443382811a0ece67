//! One run of the command: its options, its connection, and what commands do with both.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrony_cmd::{Address, Reply, Request, Status, Tracking};

use crate::cell::{heading, reference_name, widened_heading, widened_legend};
use crate::command::COMMANDS;
use crate::connection::{Connection, Family, Place};
use crate::nobody::Typed;
use crate::report;

/// What the options of the command line and the `dns` command decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// `-c`: for programs.
    pub(crate) csv: bool,
    /// `-n`: addresses stay addresses.
    pub(crate) no_dns: bool,
    /// `-N`: names as configured.
    pub(crate) source_names: bool,
    /// `-e`: each command's output ends with a dot.
    pub(crate) end_dot: bool,
    /// `-w`: room for long names, those of IPv6 addresses too.
    pub(crate) wide: bool,
    /// `-4`, `-6`.
    pub(crate) family: Family,
}

pub(crate) struct Session<'a> {
    pub(crate) options: Options,
    pub(crate) connection: Connection,
    /// For what is shown where nobody answers.
    typed: Typed,
    /// `exit` or `quit` was said.
    pub(crate) ended: bool,
    out: &'a mut dyn Write,
    out_failed: bool,
}

/// Names in a column wider than this push the numbers out of place; longer ones are cut when they come from the
/// resolver.
const RESOLVED_NAME_LENGTH_MAX: usize = 25;
/// By so many characters `-w` makes it longer.
const WIDE: usize = 14;

/// Ctrl-C was typed, or somebody sent its signal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Another signal asked us to end.
static TERMINATED: AtomicBool = AtomicBool::new(false);

/// A signal asked us to end. Sticky: it outlives the wait that it interrupted.
pub(crate) fn interrupted() -> bool {
    let signals =
        [(sys::signal::INT, &INTERRUPTED), (sys::signal::TERM, &TERMINATED), (sys::signal::HUP, &TERMINATED)];
    for (signal, came) in signals {
        if sys::signal::take(signal) {
            came.store(true, Ordering::Relaxed);
        }
    }
    INTERRUPTED.load(Ordering::Relaxed) || TERMINATED.load(Ordering::Relaxed)
}

/// Whether Ctrl-C was typed since the last call: at a prompt it ends the command that runs, and not the program.
pub(crate) fn take_interrupt() -> bool {
    interrupted();
    INTERRUPTED.swap(false, Ordering::Relaxed)
}

/// A word of help for people. A program that reads both streams gets chronyc's text and nothing else.
pub(crate) fn help(text: &str) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        eprintln!("help: {text}");
    }
}

/// A word of help about a command that makes no sense: for whoever reads standard error apart from standard output too, where chronyc's text
/// stands alone all the same.
pub(crate) fn help_with_words(text: &str) {
    use std::os::unix::fs::MetadataExt;
    let place = |stream: &str| std::fs::metadata(stream).ok().map(|found| (found.dev(), found.ino()));
    let (out, err) = (place("/proc/self/fd/1"), place("/proc/self/fd/2"));
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) || (out != err && err.is_some()) {
        eprintln!("help: {text}");
    }
}

/// What people can do about an order that the daemon refused: its reply has a number alone.
fn why_refused(request: &Request, status: Status) -> Option<&'static str> {
    Some(match (request, status) {
        (Request::Makestep, Status::Failed) => {
            "a daemon that only measures steps nothing (chronyd -x; a house without `banto up --control-clock`); if it may set the clock, its log says why"
        }
        (Request::TrimRtc, Status::Failed) => {
            "a daemon that only measures does not set the real-time clock (chronyd -x; a house); if it may, its log says why"
        }
        (Request::TrimRtc | Request::WriteRtc | Request::RtcReport, Status::NoRtc) => {
            "the real-time clock is not followed; in chrony.conf: rtcfile /var/lib/chrony/rtc"
        }
        (Request::Settime(_), Status::NotEnabled) => "times are taken by hand after: chronyc manual on",
        (Request::Smoothtime(_) | Request::Smoothing, Status::NotEnabled) => {
            "served time is not smoothed; in chrony.conf: smoothtime 400 0.01"
        }
        (_, Status::Failed) => "the daemon's log says why",
        _ => return None,
    })
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        options: Options,
        connection: Connection,
        typed: Typed,
        out: &'a mut dyn Write,
    ) -> Self {
        Self { options, connection, typed, ended: false, out, out_failed: false }
    }

    /// Runs one line; true when it succeeded.
    pub(crate) fn run_line(&mut self, line: &str) -> bool {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() || line.starts_with(['!', ';', '#', '%']) {
            return true;
        }
        let (name, words) = line.split_once(' ').unwrap_or((&line, ""));
        let mut done = match COMMANDS.iter().find(|command| command.name == name) {
            Some(command) => (command.run)(self, words),
            // Words of the time when requests carried passwords: scripts still say them, and stock chronyc only warns.
            None if matches!(name, "authhash" | "password") => {
                eprintln!("Authentication is no longer supported");
                true
            }
            None => {
                eprintln!("Unrecognized command");
                let known = COMMANDS.iter().map(|command| command.name);
                match conf_text::nearest(name, known) {
                    Some(similar) => help_with_words(&format!("did you mean '{similar}'?")),
                    None => help_with_words("'help' lists the commands"),
                }
                false
            }
        };
        if self.options.end_dot {
            self.print(".\n");
        }
        if self.out.flush().is_err() || self.out_failed {
            eprintln!("Could not write to stdout");
            done = false;
        }
        done
    }

    pub(crate) fn print(&mut self, text: &str) {
        if self.out.write_all(text.as_bytes()).is_err() {
            self.out_failed = true;
        }
    }

    /// Prints at once, for reports that come one by one.
    pub(crate) fn print_now(&mut self, text: &str) {
        self.print(text);
        if self.out.flush().is_err() {
            self.out_failed = true;
        }
    }

    pub(crate) fn print_heading(&mut self, text: &str) {
        let heading = heading(self.options.csv, text);
        self.print(&heading);
    }

    /// By how much the column of names is wider than usual.
    pub(crate) fn widening(&self) -> usize {
        if self.options.wide { WIDE } else { 0 }
    }

    /// A heading above a table of names.
    pub(crate) fn print_names_heading(&mut self, text: &str) {
        self.print_heading(&widened_heading(text, self.widening()));
    }

    /// A legend above such a table.
    pub(crate) fn print_legend(&mut self, legend: &report::Legend) {
        self.print(legend.fixed);
        self.print(&widened_legend(legend.moved, legend.margin, self.widening()));
    }

    /// A name for its column, usually `width` characters wide.
    pub(crate) fn widened(&self, name: String, width: usize) -> String {
        match self.options.wide && !self.options.csv {
            true => format!("{name:<0$}", width + WIDE),
            false => name,
        }
    }

    /// Asks for data; prints why there are none.
    pub(crate) fn ask(&mut self, request: &Request) -> Option<Reply> {
        self.exchange(request, false)
    }

    /// Sends an order and prints what became of it.
    pub(crate) fn order(&mut self, request: &Request) -> bool {
        match self.exchange(request, true) {
            Some(Reply::Null) => true,
            Some(_) => self.bad_reply(),
            None => false,
        }
    }

    /// The daemon answered something else than it was asked.
    pub(crate) fn bad_reply(&mut self) -> bool {
        self.print("508 Bad reply from daemon\n");
        false
    }

    pub(crate) fn exchange(&mut self, request: &Request, verbose: bool) -> Option<Reply> {
        let Some(answer) = self.connection.ask(request, &mut interrupted) else {
            self.print("506 Cannot talk to daemon\n");
            if !interrupted() {
                self.typed.help(self.connection.places()).iter().for_each(|line| help(line));
            }
            return None;
        };
        if verbose || answer.status != Status::Success {
            self.print(answer.status.text());
            self.print("\n");
        }
        if answer.status == Status::Unauthorised && matches!(self.connection.place(), Some(Place::Udp(_))) {
            help("this command is taken only over the daemon's Unix socket, which root may use");
        }
        if let Some(text) = why_refused(request, answer.status) {
            help(text);
        }
        if !answer.status.is_success() {
            return None;
        }
        if answer.reply.is_none() {
            self.bad_reply();
        }
        answer.reply
    }

    /// The state of the clock.
    pub(crate) fn ask_tracking(&mut self) -> Option<Tracking> {
        match self.ask(&Request::Tracking)? {
            Reply::Tracking(tracking) => Some(tracking),
            _ => {
                self.bad_reply();
                None
            }
        }
    }

    /// How many sources there are.
    pub(crate) fn ask_source_count(&mut self) -> Option<u32> {
        match self.ask(&Request::NSources)? {
            Reply::NSources(count) => Some(count),
            _ => {
                self.bad_reply();
                None
            }
        }
    }

    /// The name of a source as the options want it.
    pub(crate) fn source_name(&mut self, address: Address) -> String {
        if self.options.source_names {
            return self.configured_name(address).unwrap_or_else(|| "?".to_owned());
        }
        self.host_name(address)
    }

    /// A source's name, or the readable reference id of a reference clock, which has no address.
    pub(crate) fn source_or_reference_name(&mut self, address: Address, reference_id: u32) -> String {
        if address == Address::Unspecified { reference_name(reference_id) } else { self.source_name(address) }
    }

    /// The name of a host; longer ones than the column is wide are cut with `>` unless they are addresses.
    pub(crate) fn host_name(&self, address: Address) -> String {
        let length_max = RESOLVED_NAME_LENGTH_MAX + self.widening();
        let looked_up = match address.ip() {
            Some(ip) if !self.options.no_dns && !self.options.csv => sys::names::name_of(ip),
            _ => None,
        };
        match looked_up {
            // What a name server says goes to a terminal: nothing but printable characters of one byte.
            Some(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                if name.len() > length_max {
                    format!("{}>", &name[..length_max - 1])
                } else {
                    name
                }
            }
            _ => address.to_string(),
        }
    }

    /// The name by which a source was configured; none when the daemon knows no such source or the name is not printable.
    pub(crate) fn configured_name(&mut self, address: Address) -> Option<String> {
        let answer = self.connection.ask(&Request::SourceName(address), &mut interrupted)?;
        match answer.reply {
            Some(Reply::SourceName(name)) => name
                .as_str()
                .filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic()))
                .map(str::to_owned),
            _ => None,
        }
    }

    /// `waitsync [TRIES [CORRECTION [SKEW [INTERVAL]]]]`.
    pub(crate) fn wait_for_sync(
        &mut self,
        tries: u32,
        correction: f64,
        skew: f64,
        interval: Duration,
    ) -> bool {
        /// The reference id of `local`, 127.127.1.1: our own clock is no synchronisation.
        const LOCAL_REFERENCE: u32 = 0x7f7f_0101;
        for number in 1.. {
            if let Some(tracking) = self.ask_tracking() {
                let text = report::waitsync_try(self.options.csv, number, &tracking);
                self.print_now(&text);
                let followed = tracking.address != Address::Unspecified
                    || (tracking.reference_id != 0 && tracking.reference_id != LOCAL_REFERENCE);
                let within = |limit: f64, value: f64| limit == 0.0 || value <= limit;
                if followed
                    && within(correction, tracking.current_correction.0.abs())
                    && within(skew, tracking.skew_ppm.0)
                {
                    return true;
                }
            } else {
                self.print_now("");
            }
            if (tries != 0 && number >= tries) || interrupted() {
                break;
            }
            // A signal ends the wait.
            let _ = sys::poll::poll(&[], &mut Vec::new(), Some(interval));
            if interrupted() {
                break;
            }
        }
        false
    }
}
