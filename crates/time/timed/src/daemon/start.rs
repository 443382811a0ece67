//! Before the loop: the pid file, the drop of privilege, and leaving the terminal.

use super::Daemon;
use crate::config::Config;
use crate::events::{Happened, Log};
use crate::options::{BACKGROUND_VARIABLE, Once, Options};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use sys::user::User;

/// Whom root becomes where nobody says it: the user of Debian's chrony, and of others' packages.
const USERS: [&str; 2] = ["_chrony", "chrony"];

impl Daemon {
    pub(super) fn write_pid_file(&self) -> Result<(), String> {
        let Some(path) = &self.config.pid_file else { return Ok(()) };
        if let Some(pid) = daemon_of(path) {
            return Err(already_runs(pid, path));
        }
        let failed = |error: io::Error| {
            let (path, why) = (path.display(), crate::events::reason(&error));
            let at = self.config.places.of("pidfile", &path.to_string());
            let other = own_place("chronyd.pid");
            format!(
                "cannot write the pid file {path}: {why}{at}\nhelp: another place in chrony.conf: pidfile {other} (or none: pidfile /)"
            )
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // Replaced in one step: a symbolic link in its place is not followed (CVE-2020-14367).
        sys::file::replace(path, format!("{}\n", std::process::id()).as_bytes(), 0o644).map_err(failed)
    }

    /// The last step before the loop: what is not needed from here on is given up.
    pub(super) fn drop_privileges(&mut self, layout: &layout::Layout) -> Result<(), String> {
        let is_root = sys::process::effective_uid() == 0;
        let is_split = self.clock.lifeline().is_some();
        // Root that was asked to stay root keeps its rights where it is one process: it was not said what else it is for. It does
        // not even ask for them: a simulator of the C library does not know that call.
        if self.user.is_none() && !is_split {
            return Ok(());
        }
        let mut kept = self.rights_needed(is_split);
        // Folders may be another user's: a house's, or those of the packages' user.
        if is_root && self.user.is_none() && layout.house_dir().is_none_or(|dir| !is_owned_by_root(dir)) {
            kept.push(sys::process::CAP_DAC_OVERRIDE);
        }
        let failed = |error: io::Error| format!("cannot drop capabilities: {error}");
        let permitted = sys::process::permitted_capabilities().map_err(failed)?;
        kept.retain(|right| permitted & (1 << right) != 0);
        sys::process::empty_bounding_set();
        if let Some(user) = &self.user {
            let failed = |error: io::Error| format!("cannot become user {}: {error}", user.name);
            sys::process::keep_capabilities_over_user_change().map_err(failed)?;
            sys::process::become_user(&user.name, user.uid, user.gid).map_err(failed)?;
        }
        sys::process::keep_capabilities(&kept).map_err(failed)?;
        sys::process::no_new_privileges().map_err(failed)
    }

    /// Whose the daemon is from its loop on.
    pub(super) fn user_name(&self) -> String {
        let uid = self.user.as_ref().map_or_else(sys::process::effective_uid, |user| user.uid);
        sys::user::by_uid(uid).ok().flatten().map_or(uid.to_string(), |user| user.name)
    }

    /// Tells which places of the configuration cannot be written to by whom the daemon is now: not only after the hours until
    /// there is something to write. Folders that are missing are made, as chronyd does.
    pub(super) fn check_places(&mut self) {
        if self.options.once != Once::No {
            return;
        }
        let drift = self.config.drift_file.as_ref();
        let places = [
            ("logdir", self.config.log_folder.as_deref(), None),
            ("dumpdir", self.config.settings.dump_dir.as_deref(), None),
            ("driftfile", drift.and_then(|path| path.parent()), drift),
        ];
        let mut told = Vec::new();
        for (directive, folder, file) in places {
            let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty()) else { continue };
            let named = file.map_or(folder, PathBuf::as_path).display();
            let at = self.config.places.of(directive, &named.to_string());
            if file.is_some_and(|file| file.is_dir()) {
                told.push(format!("Could not use {directive} {named}: Is a directory{at}\nhelp: {directive} {named}/chrony.drift"));
            } else if let Err(error) = can_write_in(folder) {
                let (why, folder) = (crate::events::reason(&error), folder.display());
                let help = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        format!("mkdir -p {folder}; chown {}: {folder}", self.user_name())
                    }
                    _ => format!("ls -ld {folder}"),
                };
                told.push(format!("Could not use {directive} {named}: {why}{at}\nhelp: {help}"));
            }
        }
        for what in told {
            self.trouble(what);
        }
    }

    /// The rights that the loop has a use for.
    fn rights_needed(&self, is_split: bool) -> Vec<u32> {
        let mut kept = Vec::new();
        if self.clock.is_kernel() && !is_split {
            kept.push(sys::process::CAP_SYS_TIME);
        }
        let settings = &self.config.settings;
        let is_low = |port: u16| port != 0 && port < 1024;
        // `chronyc allow` opens the server's port.
        if is_low(self.config.port) || settings.acquisition_port.is_some_and(is_low) {
            kept.push(sys::process::CAP_NET_BIND_SERVICE);
        }
        if settings.bind_acquisition_device.is_some() || settings.bind_device.is_some() {
            kept.push(sys::process::CAP_NET_RAW);
        }
        kept
    }
}

/// Another daemon that runs is told at once, before anything of the machine is touched: by its pid file, as chronyd does, and where
/// two would set the same clock by its control socket too, whatever their files are. Returns the process that has the control
/// socket where both may run: instances with `-x` and files of their own are chrony's way to separate a server from a client.
pub(super) fn look_for_another(
    options: &Options,
    config: &Config,
    layout: &layout::Layout,
    sets_clock: bool,
) -> Result<Option<u32>, String> {
    // -Q changes nothing and leaves no file.
    if options.once == Once::Print {
        return Ok(None);
    }
    if let Some(path) = &config.pid_file
        && let Some(pid) = daemon_of(path)
    {
        return Err(already_runs(pid, path));
    }
    let path = control::socket_path(layout, "timed");
    let Some(pid) = control::answering(&path) else { return Ok(None) };
    let status = control::Client::connect(&path, ANOTHER_ANSWERS)
        .and_then(|mut client| client.call("status", control::Value::Null));
    if sets_clock && status.is_ok_and(|status| status["controls_clock"] == true) {
        return Err(already_runs(pid, &path));
    }
    Ok(Some(pid))
}

/// How long another daemon has for its state: it answers from memory.
const ANOTHER_ANSWERS: Duration = Duration::from_secs(1);

/// In chronyd's words, and what to do.
fn already_runs(pid: u32, check: &Path) -> String {
    format!(
        "Another chronyd may already be running (pid={pid}), check {}\nhelp: end it first: kill {pid}; to ask it: chronyc tracking; to measure beside it: chronyd -Q",
        check.display()
    )
}

/// The time daemon whose number a pid file has, if it runs.
fn daemon_of(pid_file: &Path) -> Option<u32> {
    let text = sys::file::read_text_bounded(pid_file, crate::FILE_BYTES_MAX).ok()?;
    let pid = text.trim().parse().ok()?;
    (pid != std::process::id() && is_chronyd(pid)).then_some(pid)
}

/// Whom the daemon becomes before its loop, by `-u` or `user`; without both, on an installed system and not with `-d`, the user
/// that packages make for a time daemon. None when it stays who it is.
pub(super) fn becomes(
    options: &Options,
    config: &Config,
    in_house: bool,
    log: &mut Log,
) -> Result<Option<User>, String> {
    let find =
        |name: &str| sys::user::by_name(name).map_err(|error| format!("cannot become user {name}: {error}"));
    if sys::process::effective_uid() != 0 {
        // Nobody but root becomes another; the slip would be found by the first start that is root's.
        if let Some(name) = options.user.as_ref().or(config.user.as_ref())
            && find(name).is_ok_and(|user| user.is_none())
        {
            let what = format!("There is no user {name}\nhelp: adduser --system {name}");
            log.say(&Happened::Warning { what });
        }
        return Ok(None);
    }
    match options.user.as_ref().or(config.user.as_ref()) {
        Some(name) if name == "root" => Ok(None),
        Some(name) => match find(name)? {
            Some(user) => Ok(Some(user)),
            None => Err(format!("there is no user {name}\nhelp: adduser --system {name}")),
        },
        None if in_house || options.debug || options.once != Once::No => Ok(None),
        None => {
            for name in USERS {
                if let Some(user) = find(name)?.filter(|user| user.uid != 0) {
                    return Ok(Some(user));
                }
            }
            let what = format!(
                "There is no user {}: this daemon stays root\nhelp: adduser --system _chrony (or in chrony.conf: user NAME)",
                USERS.join(" or ")
            );
            log.say(&Happened::Warning { what });
            Ok(None)
        }
    }
}

/// Makes the folders that are missing and that the daemon writes in after it became `user`, so that they are that user's:
/// what it puts there it can replace, and take away at its end. One that cannot be made is told where it is used.
pub(super) fn make_folders_of(user: &User, config: &Config) {
    let parent = |path: &Option<PathBuf>| path.as_deref().and_then(Path::parent).map(Path::to_path_buf);
    let folders = [
        parent(&config.pid_file),
        parent(&config.command_socket),
        parent(&config.drift_file),
        parent(&config.settings.rtc.file),
        config.log_folder.clone(),
        config.settings.dump_dir.clone(),
        config.settings.nts.dump_dir.clone(),
    ];
    for folder in folders.into_iter().flatten() {
        if !folder.exists() && std::fs::create_dir_all(&folder).is_ok() {
            let _ = std::os::unix::fs::lchown(&folder, Some(user.uid), Some(user.gid));
        }
    }
}

/// Where this user's files of a run may be: root's own folder, or the one that a session has.
pub(super) fn own_place(name: &str) -> String {
    match sys::process::effective_uid() {
        0 => format!("/run/chrony/{name}"),
        uid => format!("/run/user/{uid}/chrony/{name}"),
    }
}

/// Files can be made in a folder, which is made where it is missing. Tried out: what rights say is not all, a disk may be read-only.
fn can_write_in(folder: &Path) -> io::Result<()> {
    if folder.exists() && !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!(".chronyd.{}", std::process::id()));
    std::fs::File::options().write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)
}

fn is_owned_by_root(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|found| found.uid() == 0)
}

/// Whether a process is a time daemon of ours or chrony's.
fn is_chronyd(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
        line.split('\0').take(4).any(|word| word.ends_with("chronyd") || word.ends_with("timed"))
    })
}

/// Starts the daemon as a child in a session of its own and waits until it says that it is ready.
pub(crate) fn start_in_background() -> ExitCode {
    let Ok(program) = std::env::current_exe() else {
        eprintln!("chronyd: cannot find its own executable\nhelp: stay in the foreground: chronyd -n");
        return ExitCode::FAILURE;
    };
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(BACKGROUND_VARIABLE, "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(name) = std::env::args_os().next() {
        use std::os::unix::process::CommandExt;
        command.arg0(name);
    }
    sys::process::new_session(&mut command);
    let ready = command.spawn().and_then(|mut child| {
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        Ok(line == READY_LINE)
    });
    match ready {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!(
                "chronyd: cannot start in the background: {error}\nhelp: stay in the foreground: chronyd -n"
            );
            ExitCode::FAILURE
        }
    }
}

/// What a child in the background says to its parent.
const READY_LINE: &str = "ready\n";

/// Tells a service manager that waits for it (`sd_notify(3)`, `Type=notify`) that the daemon serves.
fn tell_service_manager_ready() -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let address = match name.as_bytes().split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(b"READY=1\n", &address).map(drop)
}

/// Tells a supervisor that gave `-N`: one newline, and the end.
fn tell_supervisor_ready(mut supervisor: std::fs::File) -> io::Result<()> {
    use std::io::Write;
    supervisor.write_all(b"\n")
}

impl Daemon {
    /// Whoever waits for the daemon to serve is told, each in the way that it waits.
    pub(super) fn tell_ready(&mut self) {
        tell_parent_ready();
        if let Err(error) = tell_service_manager_ready() {
            self.trouble(format!("Could not tell the service manager: {error}"));
        }
        if let Some(Err(error)) = self.supervisor.take().map(tell_supervisor_ready) {
            self.trouble(format!("Could not tell the supervisor (option -N): {error}"));
        }
    }
}

fn tell_parent_ready() {
    if std::env::var_os(BACKGROUND_VARIABLE).is_some() {
        use std::io::Write;
        // A parent that is gone needs no word.
        let _ = io::stdout().write_all(READY_LINE.as_bytes());
        let _ = io::stdout().flush();
    }
}
