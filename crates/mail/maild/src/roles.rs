//! Starting the roles: three threads in a house, three processes where the daemon was started as root on a system.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode, Stdio};

use layout::{Call, Layout};
use selflog::{Facility, SelfLog, Severity};

use crate::{config, deliver, queue, smtp, worker};

/// The daemon's log. Each role has its own socket to the journal.
pub fn self_log(layout: &Layout, syslog_name: &str) -> SelfLog {
    let socket = layout.place("run/journal.socket", "/run/systemd/journal/socket");
    SelfLog::new(format!("{syslog_name}/maild"), Facility::MAIL, &socket)
}

/// A call of this executable as a role of the daemon.
pub fn child_command(layout: &Layout, role: &str) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("maild");
    if let Some(dir) = layout.house_dir() {
        command.arg("--dir").arg(dir);
    }
    command.args(["--role", role]);
    sys::process::end_with_parent(&mut command, sys::signal::TERM);
    command
}

/// See [`crate::run`].
pub fn run(call: &Call) -> ExitCode {
    let words: Vec<&str> = call.args.iter().filter_map(|w| w.to_str()).collect();
    let result = match words.as_slice() {
        [] => start(&call.layout, false),
        ["--split"] => start(&call.layout, true),
        ["--check"] => return check(&call.layout),
        ["--help"] => {
            println!(
                "usage: maild [--check | --split]\n\nTakes mail by SMTP and from sendmail, keeps its queue and delivers.\n\n  \
                 --check  only read main.cf and the aliases, and tell their mistakes\n  \
                 --split  a process for each role: SMTP, queue, delivery"
            );
            return ExitCode::SUCCESS;
        }
        ["--role", role] => role_on_stdin(&call.layout, role),
        _ => {
            let known =
                |word: &&std::ffi::OsString| !["--check", "--split"].iter().any(|known| **word == **known);
            match call.args.iter().find(known) {
                Some(word) => eprintln!("maild: unknown argument `{}`", word.to_string_lossy()),
                None => eprintln!("maild: --check and --split stand alone"),
            }
            eprintln!("help: maild [--check | --split]");
            return ExitCode::from(64);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("maild: {text}");
            ExitCode::FAILURE
        }
    }
}

fn check(layout: &Layout) -> ExitCode {
    let loaded = config::load(layout);
    loaded.diagnostics.print(&loaded.sources);
    let Some(settings) = loaded.settings else { return ExitCode::FAILURE };
    // The daemon starts with what is good of an alias file; whoever asks is told what is not.
    let (sources, diagnostics) = config::alias_mistakes(&settings);
    diagnostics.print(&sources);
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let (sources, forwards) = config::forward_mistakes(&settings, &accounts);
    forwards.print(&sources);
    if diagnostics.error_count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn role_on_stdin(layout: &Layout, role: &str) -> Result<(), String> {
    let stream: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
    let stream = UnixStream::from(stream);
    match role {
        "smtp" => smtp::run(layout, stream, true),
        "deliver" => deliver::run(layout, stream, true),
        "worker" => worker::run(stream).map_err(|e| e.to_string()),
        other => Err(format!("no such role: {other}")),
    }
}

/// Reads the configuration, makes the directories, starts the other roles, gives up privilege, and is the queue.
fn start(layout: &Layout, split: bool) -> Result<(), String> {
    let loaded = config::load(layout);
    loaded.diagnostics.print(&loaded.sources);
    let settings = loaded.settings.ok_or("the configuration has errors")?;
    let is_root = sys::process::effective_uid() == 0;
    let split = is_root && (split || layout.house_dir().is_none());
    let owner = match split {
        true => Some(
            sys::user::by_name(&settings.mail_owner)
                .map_err(|e| e.to_string())?
                .filter(|u| u.uid != 0)
                .ok_or(format!("mail_owner = {} is no user without privilege", settings.mail_owner))?,
        ),
        false => None,
    };
    let log = self_log(layout, &settings.syslog_name);
    make_directories(layout, &settings, owner.as_ref())
        .map_err(|e| format!("cannot make its directories: {e}"))?;
    sys::signal::catch(sys::signal::TERM).map_err(|e| e.to_string())?;
    sys::signal::catch(sys::signal::INT).map_err(|e| e.to_string())?;
    sys::signal::catch(sys::signal::HUP).map_err(|e| e.to_string())?;
    let control = control::Server::bind(&control::socket_path(layout, "maild"))
        .map_err(|e| format!("cannot listen at {}: {e}", control::socket_path(layout, "maild").display()))?;
    let smtp = start_role(layout, "smtp", split).map_err(|e| format!("cannot start smtp: {e}"))?;
    let deliver = start_role(layout, "deliver", split).map_err(|e| format!("cannot start deliver: {e}"))?;
    log.note("daemon.started", Severity::Info, format!("maild {} started", env!("CARGO_PKG_VERSION")));
    if let Some(owner) = &owner {
        sys::process::become_user(&owner.name, owner.uid, owner.gid).map_err(|e| e.to_string())?;
        sys::process::no_new_privileges().map_err(|e| e.to_string())?;
    }
    sys::memory::drop_start_pages();
    queue::run(layout, settings, queue::Ends { smtp, deliver, control }, log)
}

fn start_role(layout: &Layout, role: &'static str, split: bool) -> std::io::Result<UnixStream> {
    let (ours, theirs) = UnixStream::pair()?;
    if split {
        let mut command = child_command(layout, role);
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut child = command.spawn()?;
        std::thread::spawn(move || child.wait());
        return Ok(ours);
    }
    let layout = layout.clone();
    std::thread::Builder::new().name(role.to_owned()).spawn(move || {
        let result = match role {
            "smtp" => smtp::run(&layout, theirs, false),
            _ => deliver::run(&layout, theirs, false),
        };
        if let Err(text) = result {
            eprintln!("maild: {role}: {text}");
        }
    })?;
    Ok(ours)
}

/// The queue's directory is private; anybody may leave a file in the maildrop directory, and read only their own.
fn make_directories(
    layout: &Layout,
    settings: &postfix_conf::Settings,
    owner: Option<&sys::user::User>,
) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let make = |path: &std::path::Path, mode: u32| {
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
    };
    let own = |path: &std::path::Path| match owner {
        Some(owner) => std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    };
    make(&settings.queue_dir(), 0o700)?;
    own(&settings.queue_dir())?;
    for entry in std::fs::read_dir(settings.queue_dir())? {
        own(&entry?.path())?;
    }
    make(
        &settings.maildrop_dir(),
        if layout.house_dir().is_some() && owner.is_none() { 0o700 } else { 0o1777 },
    )?;
    if layout.house_dir().is_some() {
        std::fs::create_dir_all(&settings.mail_spool_directory)?;
    }
    if let Some(run) = smtp_proto::submission_socket(layout).parent() {
        std::fs::create_dir_all(run)?;
    }
    Ok(())
}
