//! `banto up`: the whole house in the foreground.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use selflog::{Facility, SelfLog, Severity};
use serde_json::json;

use crate::command_line::Given;
use crate::defaults::{self, Unfit};
use crate::supervisor::{END_PATIENCE, Event, READY_PATIENCE, Service, Supervisor};
use crate::terminal_line::TerminalLine;
use crate::texts::fill;
use crate::{check, programs, status};

/// How often the live line is renewed.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// How long the live line waits for a daemon.
const LINE_PATIENCE: Duration = Duration::from_millis(500);

/// The log first, so that the others' first words are kept.
const SERVICES: &[Service] = &[
    Service { name: "logd", file: "etc/rsyslog.conf", args: &[] },
    Service { name: "timed", file: "etc/chrony.conf", args: &[] },
    Service { name: "maild", file: "etc/main.cf", args: &[] },
    Service { name: "alertd", file: "etc/banto.toml", args: &[] },
    Service { name: "webd", file: "etc/banto.toml", args: &[] },
];

/// Who makes records and mails ends before who takes them.
const END_ORDER: [&str; 5] = ["alertd", "maild", "timed", "webd", "logd"];

/// What was asked for.
pub struct Options {
    /// The house may set the clock.
    pub control_clock: bool,
    /// Only write the files.
    pub init_only: bool,
}

/// What `up` itself tells the log: the end of a daemon is nobody else's to tell, and must not stand on a terminal alone.
struct Watched {
    service: &'static str,
    what: What,
}

enum What {
    Died(ExitStatus, Duration),
    Back(Duration),
    Silent,
}

impl selflog::Event for Watched {
    fn name(&self) -> &'static str {
        match self.what {
            What::Died(..) => "daemon.died",
            What::Back(_) => "daemon.back",
            What::Silent => "daemon.silent",
        }
    }

    fn severity(&self) -> Severity {
        match self.what {
            What::Died(..) | What::Silent => Severity::Err,
            What::Back(_) => Severity::Notice,
        }
    }

    fn message(&self) -> String {
        let name = self.service;
        match &self.what {
            What::Died(how, pause) => {
                format!(
                    "{name} ended ({how}); it is started again in {}",
                    house_status::bound_text(pause.as_secs_f64())
                )
            }
            What::Back(after) => format!("{name} is back after {} ms", after.as_millis()),
            What::Silent => format!("{name} runs and has not answered for {} s", READY_PATIENCE.as_secs()),
        }
    }

    fn fields(&self, field: &mut dyn FnMut(&str, &str)) {
        field("BANTO_SERVICE", self.service);
        if let What::Died(how, _) = &self.what {
            if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(how) {
                field("BANTO_SIGNAL", &signal.to_string());
            }
            if let Some(code) = how.code() {
                field("EXIT_STATUS", &code.to_string());
            }
        }
    }
}

/// Runs the house until it is told to end.
pub fn run(given: &Given, options: Options) -> ExitCode {
    let texts = given.texts;
    let user = user_name();
    let furnished = match defaults::furnish(&given.dir, &user) {
        Ok(furnished) => furnished,
        Err(unfit) => {
            complain_unfit(given, unfit);
            return ExitCode::FAILURE;
        }
    };
    let lock = match lock(&given.dir) {
        Ok(lock) => lock,
        Err(owner) => {
            let error = fill(texts.up_locked, &[("dir", &given.dir.display()), ("pid", &owner)]);
            given.complain(&error, Some(&fill(texts.up_locked_help, &[("command", &given.own_command())])));
            return ExitCode::FAILURE;
        }
    };
    let mut line = TerminalLine::new();
    line.print(&fill(
        texts.up_house,
        &[("version", &env!("CARGO_PKG_VERSION")), ("dir", &given.dir.display())],
    ));
    if !furnished.written.is_empty() {
        line.print(&fill(texts.up_written, &[("files", &furnished.written.join(", "))]));
    }
    if options.init_only {
        line.print(&fill(texts.up_initialised, &[("command", &format!("{} up", given.own_command()))]));
        return ExitCode::SUCCESS;
    }
    // All mistakes of all files at once, before anything runs.
    if !check::files_are_sound(given) {
        return ExitCode::FAILURE;
    }
    let result = keep_house(given, &options, &mut line);
    let _ = std::fs::remove_file(given.dir.join(status::UP_FILE));
    drop(lock);
    match result {
        Ok(code) => code,
        Err(error) => {
            line.clear();
            given.complain(&error.to_string(), None);
            ExitCode::FAILURE
        }
    }
}

fn keep_house(given: &Given, options: &Options, line: &mut TerminalLine) -> std::io::Result<ExitCode> {
    let texts = given.texts;
    for signal in [sys::signal::INT, sys::signal::TERM, sys::signal::HUP, sys::signal::CHLD] {
        sys::signal::catch(signal)?;
    }
    let up = json!({ "pid": std::process::id(), "control_clock": options.control_clock });
    sys::file::replace(&given.dir.join(status::UP_FILE), up.to_string().as_bytes(), 0o644)?;
    let started = Instant::now();
    let journal = given.layout().place("run/journal.socket", "/run/systemd/journal/socket");
    let log = SelfLog::new("banto", Facility::DAEMON, &journal);
    let mut supervisor = Supervisor::new(&given.dir, options.control_clock);
    let mut problem = false;
    // The log alone first; the others together when it answers.
    let (first, others) = SERVICES.split_at(1);
    for group in [first, others] {
        for service in group.iter().filter(|service| programs::find(service.name).is_some()) {
            let mut service = *service;
            if service.name == "timed" {
                // In the foreground, and as whoever we are.
                service.args = if options.control_clock {
                    &["-n", "-U", "--control-clock"]
                } else {
                    &["-n", "-U", "-x"]
                };
            }
            supervisor.start(service)?;
        }
        while !problem && !supervisor.all_ready() && !asked_to_end() {
            problem |= handle(given, line, &log, supervisor.wait(Some(Duration::from_secs(1)))?, true);
        }
        if problem || ending() {
            break;
        }
    }
    if !problem && !ending() {
        let running = supervisor.names();
        for (_, service_line) in
            status::service_lines(given).iter().filter(|(name, _)| running.contains(name))
        {
            line.print(service_line);
        }
        line.print(if options.control_clock { texts.up_clock_controlled } else { texts.up_clock_measured });
        let ms = started.elapsed().as_millis();
        line.print(&fill(texts.up_ready, &[("ms", &ms), ("command", &given.own_command())]));
        sys::memory::drop_start_pages();
        watch(given, line, &log, &mut supervisor)?;
    }
    line.clear();
    end_all(given, line, &log, &mut supervisor)?;
    if !problem {
        line.print(&fill(texts.up_stopped, &[("dir", &given.dir.display())]));
    }
    Ok(if problem { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn watch(
    given: &Given,
    line: &mut TerminalLine,
    log: &SelfLog,
    supervisor: &mut Supervisor,
) -> std::io::Result<()> {
    let mut renewed: Option<Instant> = None;
    while !asked_to_end() {
        let limit = if line.is_live() {
            if renewed.is_none_or(|at| at.elapsed() >= LINE_INTERVAL) {
                let house = house_status::look(&given.layout(), LINE_PATIENCE);
                line.show(&status::one_line(given.texts, &house));
                renewed = Some(Instant::now());
            }
            Some(LINE_INTERVAL)
        } else {
            None
        };
        handle(given, line, log, supervisor.wait(limit)?, false);
    }
    Ok(())
}

/// Tells what happened; true when the house cannot start.
fn handle(given: &Given, line: &mut TerminalLine, log: &SelfLog, events: Vec<Event>, starting: bool) -> bool {
    let texts = given.texts;
    let mut problem = false;
    for event in events {
        match event {
            Event::Line(name, text) => {
                // The lines of a drawing stand below each other only if none is pushed aside.
                let drawn = text.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(" |");
                let named =
                    drawn || text.starts_with(name) || text.starts_with([' ', '\u{1b}']) || text.is_empty();
                line.print(&if named { text } else { format!("{name}: {text}") });
            }
            Event::Ready(service, after) if !starting => {
                log.say(&Watched { service: service.name, what: What::Back(after) });
                line.print(&fill(texts.up_back, &[("name", &service.name), ("ms", &after.as_millis())]));
            }
            Event::Ready(..) => {}
            Event::EndedEarly(service, how, port_in_use) if starting => {
                line.clear();
                let error = fill(texts.up_ended_early, &[("name", &service.name), ("how", &how_text(how))]);
                let file = given.dir.join(service.file);
                let help = fill(texts.up_port_in_use_help, &[("file", &file.display())]);
                given.complain(&error, port_in_use.then_some(help.as_str()));
                problem = true;
            }
            Event::EndedEarly(..) => {}
            Event::Died(service, how, pause) if !problem => {
                log.say(&Watched { service: service.name, what: What::Died(how, pause) });
                let pause = house_status::bound_text(pause.as_secs_f64());
                let values: [(&str, &dyn std::fmt::Display); 3] =
                    [("name", &service.name), ("how", &how_text(how)), ("pause", &pause)];
                line.print(&fill(texts.up_died, &values));
            }
            Event::Died(..) => {}
            Event::NotStarted(service, error) => {
                line.print(&format!("{}: {}: {error}", texts.error_word, service.name));
            }
            Event::NotReady(service) => {
                log.say(&Watched { service: service.name, what: What::Silent });
                let seconds = READY_PATIENCE.as_secs();
                line.print(&fill(texts.up_not_ready, &[("name", &service.name), ("seconds", &seconds)]));
                problem |= starting;
            }
        }
    }
    problem
}

fn end_all(
    given: &Given,
    line: &mut TerminalLine,
    log: &SelfLog,
    supervisor: &mut Supervisor,
) -> std::io::Result<()> {
    let running = supervisor.names();
    for name in END_ORDER.iter().filter(|name| running.contains(name)) {
        line.show(&fill(given.texts.up_stopping, &[("name", name)]));
        let (events, killed) = supervisor.end(name)?;
        handle(given, line, log, events, false);
        if killed {
            let seconds = END_PATIENCE.as_secs();
            line.print(&fill(given.texts.up_killed, &[("name", name), ("seconds", &seconds)]));
        }
    }
    line.clear();
    Ok(())
}

fn how_text(how: ExitStatus) -> String {
    how.to_string()
}

static ENDING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Whether a signal asked for the end, now or before.
fn asked_to_end() -> bool {
    let asked = [sys::signal::INT, sys::signal::TERM, sys::signal::HUP].into_iter().any(sys::signal::take);
    if asked {
        ENDING.store(true, std::sync::atomic::Ordering::SeqCst);
    }
    ending()
}

fn ending() -> bool {
    ENDING.load(std::sync::atomic::Ordering::SeqCst)
}

/// The name of the user who started the house; the number where the system knows no name.
pub fn user_name() -> String {
    let uid = sys::process::effective_uid();
    let known = sys::user::by_uid(uid).ok().flatten().map(|user| user.name);
    known.unwrap_or_else(|| uid.to_string())
}

/// Takes the house for this process; the error is the process that has it.
fn lock(dir: &Path) -> Result<File, String> {
    let path = dir.join(status::LOCK_FILE);
    // Not through a link: what it points to would be emptied.
    let how = sys::file::OpenHow { append_mode: Some(0o600) };
    let open = path.parent().zip(path.file_name()).ok_or_else(|| path.display().to_string())?;
    let folder = File::open(open.0).map_err(|error| error.to_string())?;
    let mut file = sys::file::open_beneath(&folder, Path::new(open.1), how)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    // Whoever can read it can lock it, and so keep the house from starting.
    let only_ours = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    file.set_permissions(only_ours).map_err(|error| error.to_string())?;
    if sys::file::flock_exclusive(&file, false).is_err() {
        let owner = std::fs::read_to_string(&path).unwrap_or_default();
        return Err(owner.trim().to_owned());
    }
    let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(|error| error.to_string())?;
    Ok(file)
}

fn complain_unfit(given: &Given, unfit: Unfit) {
    let texts = given.texts;
    match unfit {
        Unfit::PathTooLong { dir, excess } => {
            let error = fill(texts.up_path_too_long, &[("dir", &dir.display()), ("excess", &excess)]);
            given.complain(&error, Some(texts.up_path_too_long_help));
        }
        Unfit::PathUnwritable(dir) => {
            let error = fill(texts.up_path_unwritable, &[("dir", &dir.display())]);
            given.complain(&error, Some(texts.up_path_too_long_help));
        }
        Unfit::Io(path, error) => {
            given.complain(&fill(texts.up_io, &[("path", &path.display()), ("error", &error)]), None);
        }
    }
}
