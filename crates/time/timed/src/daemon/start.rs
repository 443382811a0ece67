//! Before the loop: the pid file, the drop of privilege, and leaving the terminal.

use super::Daemon;
use crate::options::BACKGROUND_VARIABLE;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use sys::user::User;

impl Daemon {
    pub(super) fn write_pid_file(&self) -> Result<(), String> {
        let Some(path) = &self.config.pid_file else { return Ok(()) };
        if let Ok(text) = std::fs::read_to_string(path)
            && let Ok(pid) = text.trim().parse::<u32>()
            && pid != std::process::id()
            && is_chronyd(pid)
        {
            return Err(format!(
                "Another chronyd may already be running (pid={pid}), check {}",
                path.display()
            ));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        }
        // Replaced in one step: a symbolic link in its place is not followed (CVE-2020-14367).
        sys::file::replace(path, format!("{}\n", std::process::id()).as_bytes(), 0o644)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    /// Whom the daemon becomes before its loop, by `-u` or `user`; none when it stays who it is.
    pub(super) fn becomes(&self) -> Result<Option<User>, String> {
        let name = self.options.user.as_ref().or(self.config.user.as_ref());
        let Some(name) = name.filter(|name| *name != "root" && sys::process::effective_uid() == 0) else {
            return Ok(None);
        };
        match sys::user::by_name(name) {
            Ok(Some(user)) => Ok(Some(user)),
            Ok(None) => Err(format!("there is no user {name}\nhelp: adduser --system {name}")),
            Err(error) => Err(format!("cannot become user {name}: {error}")),
        }
    }

    /// Makes the folders that are missing and that the daemon writes in after it became `user`, so that they are that user's:
    /// what it puts there it can replace, and take away at its end. One that cannot be made is told where it is used.
    pub(super) fn make_folders_of(&self, user: &User) {
        let parent = |path: &Option<PathBuf>| path.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        let folders = [
            parent(&self.config.pid_file),
            parent(&self.config.command_socket),
            parent(&self.config.drift_file),
            self.config.log_folder.clone(),
        ];
        for folder in folders.into_iter().flatten() {
            if !folder.exists() && std::fs::create_dir_all(&folder).is_ok() {
                let _ = std::os::unix::fs::lchown(&folder, Some(user.uid), Some(user.gid));
            }
        }
    }

    /// The last step before the loop: what is not needed from here on is given up.
    pub(super) fn drop_privileges(&mut self) -> Result<(), String> {
        let is_root = sys::process::effective_uid() == 0;
        let changes =
            self.options.user.is_some() || self.config.user.as_ref().is_some_and(|name| name != "root");
        if let Some(user) = self.becomes()? {
            let failed = |error: io::Error| format!("cannot become user {}: {error}", user.name);
            sys::process::keep_capabilities_over_user_change().map_err(failed)?;
            sys::process::become_user(&user.name, user.uid, user.gid).map_err(failed)?;
        }
        let mut kept = Vec::new();
        if self.clock.is_kernel() {
            kept.push(sys::process::CAP_SYS_TIME);
        }
        let settings = &self.config.settings;
        let is_low = |port: u16| port != 0 && port < 1024;
        if is_low(self.config.port) || settings.acquisition_port.is_some_and(is_low) {
            kept.push(sys::process::CAP_NET_BIND_SERVICE);
        }
        if settings.bind_acquisition_device.is_some() || settings.bind_device.is_some() {
            kept.push(sys::process::CAP_NET_RAW);
        }
        // Whoever named the user, on the command line or in chrony.conf: the rest of root's rights goes, and what the clock
        // needs is effective again.
        if is_root && changes {
            sys::process::keep_capabilities(&kept)
                .map_err(|error| format!("cannot drop capabilities: {error}"))?;
        }
        Ok(())
    }
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

pub(super) fn tell_parent_ready() {
    if std::env::var_os(BACKGROUND_VARIABLE).is_some() {
        use std::io::Write;
        // A parent that is gone needs no word.
        let _ = io::stdout().write_all(READY_LINE.as_bytes());
        let _ = io::stdout().flush();
    }
}
