//! The daemon's life: open everything, run the threads, answer signals and the control socket, close everything.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;

use control::{Refusal, Request, Server, Value, json};
use log_core::{RateLimit, Rules};
use record::Severity;
use sys::poll::Interest;
use sys::socket::Credentials;
use syslog_proto::Sanitize;
use syslog_proto::native::Field;

use crate::cli::{Options, Role};
use crate::counters::{add, read};
use crate::inputs::{self, Bound, InputKindPlan, Socket, SocketKind};
use crate::journal::JournalThread;
use crate::outputs::Outputs;
use crate::pipeline::{Came, Engine, Shared, Worker};
use crate::plan::{self, AtStart, Plan};
use crate::say::Say;

/// The verbs of the control socket besides `ping`.
const VERBS: [&str; 4] = ["status", "reload", "sync", "rotate"];

/// Runs until a signal says to end.
pub(crate) fn run(options: &Options) -> ExitCode {
    match start(options) {
        Ok(mut daemon) => {
            crate::detach::ready();
            daemon.run();
            daemon.finish();
            ExitCode::SUCCESS
        }
        Err(error) => {
            let error = error.trim_end();
            if error.starts_with("error") {
                eprintln!("{error}");
            } else {
                eprintln!("{}: {error}", options.name);
            }
            ExitCode::FAILURE
        }
    }
}

struct Daemon {
    options: Options,
    shared: Arc<Shared>,
    outputs: Outputs,
    journal: Option<JournalThread>,
    journal_dir: Option<std::path::PathBuf>,
    threads: Vec<JoinHandle<()>>,
    control: Option<Server>,
    worker: Worker,
    own: Arc<Bound>,
    steps: Option<OwnedFd>,
    /// Wall clock minus monotonic clock, nanoseconds: changes only when somebody steps the clock.
    epoch_ns: i64,
    privilege: Option<(String, u32, u32)>,
    /// What of journald.conf counted at the start.
    at_start: Option<AtStart>,
}

fn start(options: &Options) -> Result<Daemon, String> {
    let plan = plan::read(options)?;
    let io = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    for signal in
        [sys::signal::HUP, sys::signal::INT, sys::signal::TERM, sys::signal::USR1, sys::signal::USR2]
    {
        sys::signal::catch(signal).map_err(io("cannot catch a signal"))?;
    }
    if let Some(path) = &options.pid_path {
        refuse_second(path)?;
    }
    let say =
        Arc::new(Say::new(&options.name, options.debug).map_err(io("cannot make an event descriptor"))?);
    let mut outputs = Outputs::start(Arc::clone(&say)).map_err(io("cannot start a thread"))?;
    if let Some(umask) = plan.settings.as_ref().and_then(|settings| settings.globals.umask) {
        sys::file::set_umask(umask);
    }
    let privilege = privilege(&plan)?;
    let at_start = plan.at_start.clone();
    let journal_dir = plan.journal.as_ref().map(|journal| journal.dir.clone());
    let journal = match &plan.journal {
        Some(journal) => Some(JournalThread::start(journal.clone(), Arc::clone(&say))?),
        None => None,
    };
    let registers = crate::counters::Register::default();
    let bound = inputs::bind_all(&plan.inputs, &[], &registers)?;
    let engine = engine(plan, bound, &mut outputs, options)?;
    let sender = journal.as_ref().map(JournalThread::sender);
    let shared = Arc::new(Shared::new(engine, sender, say, outputs.files.spare(), registers));
    let own = Arc::new(Bound {
        id: usize::MAX,
        name: "rsyslogd".to_owned(),
        kind: InputKindPlan::Own,
        ruleset: Rules::DEFAULT,
        rate_limit: RateLimit::NONE,
        counters: shared.inputs.named("own"),
        socket: Socket::new(SocketKind::None),
        label: "own".to_owned(),
    });
    let mut daemon = Daemon {
        options: options.clone(),
        outputs,
        journal,
        journal_dir,
        threads: Vec::new(),
        control: None,
        worker: Worker::new(Arc::clone(&shared)),
        shared,
        own,
        steps: sys::clock::step_watch().ok(),
        epoch_ns: sys::clock::realtime_ns() - sys::clock::monotonic_ns(),
        privilege,
        at_start,
    };
    daemon.open_control();
    if let Some(path) = &options.pid_path {
        sys::file::replace(path, format!("{}\n", std::process::id()).as_bytes(), 0o644)
            .map_err(|error| format!("cannot write the pid file {}: {error}", path.display()))?;
    }
    if options.change_directory {
        std::env::set_current_dir("/").map_err(io("cannot change to /"))?;
    }
    // The last lines before the loop: what the daemon gives up.
    if let Some((name, uid, gid)) = &daemon.privilege {
        daemon
            .outputs
            .give_queues_to(*uid, *gid)
            .map_err(io("cannot give the queues to the configured user"))?;
        sys::process::become_user(name, *uid, *gid).map_err(io("cannot become the configured user"))?;
    }
    sys::process::no_new_privileges().map_err(io("cannot give up new privileges"))?;
    daemon.start_threads().map_err(io("cannot start a thread"))?;
    daemon.greet();
    Ok(daemon)
}

/// A second daemon with the same pid file would fight over the same files.
fn refuse_second(path: &Path) -> Result<(), String> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(()) };
    let Ok(pid) = text.trim().parse::<u32>() else { return Ok(()) };
    let same = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    if pid != std::process::id() && same(pid).is_some() && same(pid) == same(std::process::id()) {
        return Err(format!(
            "already running as process {pid} (it wrote {})\nhelp: stop that one first, or name another file with -i",
            path.display()
        ));
    }
    Ok(())
}

fn privilege(plan: &Plan) -> Result<Option<(String, u32, u32)>, String> {
    let Some(globals) = plan.settings.as_ref().map(|settings| &settings.globals) else { return Ok(None) };
    let Some(name) = &globals.privilege_user else { return Ok(None) };
    let user = sys::user::by_name(name)
        .map_err(|error| format!("cannot look up the user {name}: {error}"))?
        .ok_or_else(|| format!("$PrivDropToUser: nobody is called {name}"))?;
    let gid = match &globals.privilege_group {
        None => user.gid,
        Some(group) => sys::user::group_id(group)
            .map_err(|error| format!("cannot look up the group {group}: {error}"))?
            .ok_or_else(|| format!("$PrivDropToGroup: no group is called {group}"))?,
    };
    Ok(Some((name.clone(), user.uid, gid)))
}

/// What a plan means in force.
fn engine(
    plan: Plan,
    bound: Vec<Arc<Bound>>,
    outputs: &mut Outputs,
    options: &Options,
) -> Result<Engine, String> {
    let globals = plan.settings.as_ref().map(|settings| settings.globals.clone()).unwrap_or_default();
    let outlets = match &plan.settings {
        Some(settings) => outputs.arrange(settings.rules.actions(), globals.work_directory.as_ref())?,
        None => Vec::new(),
    };
    let hostname = globals.local_hostname.clone().unwrap_or_else(|| {
        let full = sys::host::hostname();
        match full.split_once('.') {
            Some((short, _)) if !globals.preserve_fqdn => short.to_owned(),
            _ => full,
        }
    });
    Ok(Engine {
        rules: plan.settings.map(|settings| settings.rules),
        outlets,
        inputs: bound,
        sanitize: if options.role == Role::Journald { Sanitize::default() } else { globals.sanitize },
        message_bytes_max: globals.message_bytes_max,
        headerless: options.headerless,
        hostname: hostname.into_bytes(),
        // `net.enableDNS="off"` wants addresses as they are.
        hosts: if globals.resolve_peers { read_hosts() } else { HashMap::new() },
        journal_rate: plan.journal_rate,
        journal_level_max: plan.journal_level_max,
        line_bytes_max: plan.line_bytes_max,
    })
}

/// Names of addresses from the hosts file: enough for `localhost` and for networks without DNS.
fn read_hosts() -> HashMap<IpAddr, String> {
    let text = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut hosts = HashMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        if let (Some(Ok(address)), Some(name)) = (words.next().map(str::parse), words.next()) {
            hosts.entry(address).or_insert_with(|| name.to_owned());
        }
    }
    hosts
}

impl Daemon {
    fn open_control(&mut self) {
        let name = if self.options.role.has_journal() { "logd" } else { "rsyslogd" };
        let path = control::socket_path(&self.options.layout, name);
        match Server::bind(&path) {
            Ok(server) => self.control = Some(server),
            Err(error) => {
                let text = format!(
                    "no control socket at {}: {error}; status and sync cannot be asked",
                    path.display()
                );
                self.shared.say.say(Severity::Warning, "control.failed", text);
            }
        }
    }

    fn start_threads(&mut self) -> std::io::Result<()> {
        type Body = fn(&Arc<Shared>, &sys::fd::Waker);
        let bodies: [(&str, Body); 3] =
            [("udp", inputs::run_udp), ("tcp", inputs::run_tcp), ("local", inputs::run_local)];
        for (name, body) in bodies {
            let shared = Arc::clone(&self.shared);
            let waker = self.shared.waker()?;
            let thread =
                std::thread::Builder::new().name(name.into()).spawn(move || body(&shared, &waker))?;
            self.threads.push(thread);
        }
        Ok(())
    }

    fn greet(&self) {
        let inputs = self.shared.engine().inputs.iter().map(|input| input.label.clone()).collect::<Vec<_>>();
        let journal =
            self.journal_dir.as_ref().map_or(String::new(), |dir| format!("; journal in {}", dir.display()));
        let text = format!("{} started: listens on {}{journal}", self.options.name, inputs.join(", "));
        self.shared.say.say(Severity::Info, "daemon.started", text);
    }

    fn run(&mut self) {
        let mut ready = Vec::new();
        sys::memory::drop_start_pages();
        loop {
            self.enter_remarks();
            let Ok(signals) = sys::signal::wake_fd() else { return };
            let mut wanted = vec![(signals, Interest::READ)];
            if let Some(waker) = self.shared.say.waker() {
                wanted.push((waker.as_fd(), Interest::READ));
            }
            if let Some(steps) = &self.steps {
                wanted.push((steps.as_fd(), Interest::READ));
            }
            let control = self.control.as_ref().map(Server::descriptors).unwrap_or_default();
            wanted.extend(control.iter().copied());
            let _ = sys::poll::poll(&wanted, &mut ready, None);
            let steps_ready = self.steps.is_some() && ready.get(2).is_some_and(|ready| ready.any());
            sys::signal::drain_wake(signals);
            if sys::signal::take(sys::signal::TERM) || sys::signal::take(sys::signal::INT) {
                return;
            }
            if sys::signal::take(sys::signal::HUP) {
                // The configuration is read again and every file opened again, as log rotation expects.
                let _ = self.reload();
            }
            // The journal's signals (systemd-journald.service(8)): sync, rotate. Alone, the rules part has no use for them.
            if sys::signal::take(sys::signal::USR1) {
                let _ = self.shared.drain_local() && self.sync().is_ok();
            }
            if sys::signal::take(sys::signal::USR2) {
                let _ = self.shared.journal.as_ref().map(|journal| journal.rotate());
            }
            if steps_ready {
                self.note_step();
            }
            if let Some(mut server) = self.control.take() {
                server.serve(|request| self.answer(request));
                self.control = Some(server);
            }
        }
    }

    /// What the threads have said becomes records of the daemon's own.
    fn enter_remarks(&mut self) {
        let remarks = self.shared.say.take();
        if remarks.is_empty() {
            return;
        }
        for remark in remarks {
            self.enter(remark.severity, remark.event, &remark.text, &[]);
        }
        self.worker.flush();
    }

    fn enter(&mut self, severity: Severity, event: &str, text: &str, more: &[(&str, String)]) {
        self.worker.begin();
        let severity = [b'0' + severity.code()];
        let facility = record::Facility::SYSLOG.code().to_string();
        let mut fields = vec![
            Field { name: b"MESSAGE", value: text.as_bytes() },
            Field { name: b"PRIORITY", value: &severity },
            Field { name: b"SYSLOG_FACILITY", value: facility.as_bytes() },
            Field { name: b"SYSLOG_IDENTIFIER", value: self.options.name.as_bytes() },
            Field { name: b"BANTO_EVENT", value: event.as_bytes() },
        ];
        fields.extend(
            more.iter().map(|(name, value)| Field { name: name.as_bytes(), value: value.as_bytes() }),
        );
        let me = Credentials {
            pid: std::process::id(),
            uid: sys::process::effective_uid(),
            gid: sys::process::gid(),
        };
        let came = Came { transport: "driver", credentials: Some(me), received_ns: None, extra: &[] };
        self.worker.fields(&self.own, &fields, came);
    }

    /// Somebody has stepped the clock: a record says when on the clock that did not move, and by how much.
    fn note_step(&mut self) {
        let epoch_ns = sys::clock::realtime_ns() - sys::clock::monotonic_ns();
        let step_usec = (epoch_ns - self.epoch_ns) / 1000;
        let before_usec = self.epoch_ns / 1000;
        self.epoch_ns = epoch_ns;
        if let Some(steps) = &self.steps
            && sys::clock::rearm_step_watch(steps).is_err()
        {
            self.steps = None;
        }
        let text = format!("the clock was stepped by {:+.6} s", step_usec as f64 / 1e6);
        let more = [
            ("CLOCK_STEP_USEC", step_usec.to_string()),
            ("CLOCK_EPOCH_BEFORE_USEC", before_usec.to_string()),
            ("CLOCK_EPOCH_AFTER_USEC", (epoch_ns / 1000).to_string()),
            ("CLOCK_STEP_MONOTONIC_USEC", (sys::clock::monotonic_ns() / 1000).to_string()),
        ];
        self.enter(Severity::Notice, "clock.stepped", &text, &more);
        self.worker.flush();
    }

    /// Reads the configuration again; says what of it waits for a restart.
    fn reload(&mut self) -> Result<Option<String>, String> {
        let result = self.try_reload();
        // A failed reload still opens the files again: rotation must not wait for a correct configuration.
        self.outputs.files.reopen();
        match &result {
            Ok(None) => self.shared.say.say(
                Severity::Info,
                "configuration.reloaded",
                "the configuration was read again",
            ),
            Ok(Some(waits)) => {
                let text = format!("the configuration was read again; {waits}");
                self.shared.say.say(Severity::Warning, "configuration.reloaded", text);
            }
            Err(error) => {
                eprint!("{error}");
                let mut lines = error.lines().map(str::trim).filter(|line| !line.is_empty());
                let first = lines.next().unwrap_or_default();
                let place = lines.next().and_then(|line| line.strip_prefix("--> "));
                let place = place.map_or(String::new(), |place| format!(" ({place})"));
                let text = format!(
                    "the configuration was not read again, the old one stays in force: {first}{place}"
                );
                self.shared.say.say(Severity::Err, "configuration.refused", text);
            }
        }
        result
    }

    fn try_reload(&mut self) -> Result<Option<String>, String> {
        let plan = plan::read(&self.options)?;
        let running = self.shared.engine();
        let bound = inputs::bind_all(&plan.inputs, &running.inputs, &self.shared.inputs)?;
        // Limits for another place are not for the files of this one, which would be removed by them.
        let journal_plan =
            plan.journal.clone().filter(|journal| Some(&journal.dir) == self.journal_dir.as_ref());
        let waits = match (&self.at_start, &plan.at_start) {
            (Some(old), Some(new)) => old.needs_restart(new),
            _ => None,
        };
        let engine = engine(plan, bound, &mut self.outputs, &self.options)?;
        // From here on nothing fails: all of the new configuration is taken, or none.
        if let (Some(journal), Some(plan)) = (&self.shared.journal, journal_plan) {
            journal.reload(plan);
        }
        self.shared.replace(engine);
        Ok(waits)
    }

    fn answer(&mut self, request: &Request) -> Result<Value, Refusal> {
        let journal = || {
            self.shared.journal.as_ref().ok_or_else(|| {
                Refusal::new("this daemon keeps no journal")
                    .help("ask the one that is called logd or journald")
            })
        };
        match request.verb.as_str() {
            "status" => Ok(self.status()),
            "reload" | "sync" | "rotate" if !request.may_change() => Err(request.not_allowed()),
            "reload" => match self.reload() {
                Ok(None) => Ok(json!({})),
                Ok(Some(waits)) => Ok(json!({ "restart": waits })),
                Err(error) => Err(Refusal::new(error.trim_end())),
            },
            "sync" => {
                // What a client sent before it asked counts as well, read or not.
                if !self.shared.drain_local() {
                    return Err(Refusal::new("the sockets could not be read in time").help("ask again"));
                }
                self.sync().map_err(Refusal::new)
            }
            "rotate" => journal()?.rotate().map(|()| json!({})).map_err(Refusal::new),
            _ => Err(request.unknown(&VERBS)),
        }
    }

    /// Everything handed over so far is written, and on disk in the journal and in the forwards' queues. Says what could only be kept in
    /// memory.
    fn sync(&self) -> Result<Value, String> {
        let forwards = self.outputs.begin_sync();
        self.outputs.files.barrier();
        let journal = self.shared.journal.as_ref().map_or(Ok(()), |journal| journal.sync());
        let in_memory = forwards.wait()?;
        journal?;
        Ok(if in_memory == 0 { json!({}) } else { json!({ "in_memory": in_memory }) })
    }

    fn status(&self) -> Value {
        let inputs: Vec<Value> = self
            .shared
            .inputs
            .all()
            .into_iter()
            .map(|(name, counts)| json!({ "name": name, "kept": read(&counts.kept), "lost": read(&counts.lost) }))
            .collect();
        let outputs: Vec<Value> = self
            .outputs
            .counters
            .all()
            .into_iter()
            .map(|(name, counts)| {
                json!({
                    "name": name,
                    "written": read(&counts.written),
                    "lost": read(&counts.lost),
                    "queued": read(&counts.queued),
                })
            })
            .collect();
        let journal = match (&self.shared.journal, &self.journal_dir) {
            (Some(journal), Some(dir)) => {
                let files: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().collect();
                let bytes: u64 =
                    files.iter().filter_map(|file| journal_file::disk_usage(&file.path()).ok()).sum();
                json!({
                    "entries": read(&journal.counters.entries),
                    "lost": read(&journal.counters.lost),
                    "bytes": bytes,
                    "files": files.len(),
                    "path": dir.display().to_string(),
                })
            }
            _ => Value::Null,
        };
        json!({ "inputs": inputs, "journal": journal, "outputs": outputs })
    }

    /// Everything that was taken in is written and synced.
    fn finish(mut self) {
        self.shared.say.say(Severity::Info, "daemon.ended", format!("{} ends", self.options.name));
        self.shared.stop();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                add(&self.own.counters.lost, 1);
            }
        }
        self.enter_remarks();
        self.worker.flush();
        self.outputs.finish();
        if let Some(journal) = self.journal.take() {
            journal.finish();
        }
        for input in &self.shared.engine().inputs {
            if let InputKindPlan::UnixDatagram { path, .. }
            | InputKindPlan::Native { path }
            | InputKindPlan::Stream { path } = &input.kind
            {
                let _ = std::fs::remove_file(path);
            }
        }
        if let Some(path) = &self.options.pid_path {
            let _ = std::fs::remove_file(path);
        }
    }
}
