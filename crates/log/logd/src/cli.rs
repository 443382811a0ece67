//! The command line of `rsyslogd(8)`, which `logd` shares; `journald` takes only `--help` and `--version`.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use layout::{Call, Layout};

/// Which parts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The rules.
    Rsyslogd,
    /// The journal.
    Journald,
    /// Both.
    Logd,
}

impl Role {
    pub(crate) fn has_rules(self) -> bool {
        self != Role::Journald
    }

    pub(crate) fn has_journal(self) -> bool {
        self != Role::Rsyslogd
    }
}

/// The options as meant.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub role: Role,
    pub name: String,
    pub layout: Layout,
    pub conf_path: PathBuf,
    pub pid_path: Option<PathBuf>,
    pub detach: bool,
    /// The working directory becomes `/`.
    pub change_directory: bool,
    /// Host name and tag are not parsed from messages (`-u 1`).
    pub headerless: bool,
    /// Everything that the daemon says is shown on standard error.
    pub debug: bool,
}

#[derive(Debug)]
pub(crate) enum Command {
    Run(Options),
    Check(Options),
    Show(String),
}

const HELP: &str = "usage: rsyslogd [options]

  -n         stay in the foreground
  -f FILE    read FILE instead of the default rsyslog.conf
  -i FILE    write the process id to FILE; NONE: to no file
  -N LEVEL   check the configuration and end: 0 when it is fine, else 1
  -C         keep the working directory
  -d         show everything that the daemon says on standard error
  -u NUMBER  1: do not parse host name and tag; 2: as -C; 3: both
  -x         do not look up senders' names in the DNS (it never does)
  -M PATH    accepted; the modules are built in
  -v         show the version and end
";

/// Reads the command line.
pub(crate) fn parse(call: &Call) -> Result<Command, String> {
    let role = match call.name.as_str() {
        "rsyslogd" | "syslogd" => Role::Rsyslogd,
        "journald" | "systemd-journald" => Role::Journald,
        _ => Role::Logd,
    };
    let mut options = Options {
        role,
        name: call.name.clone(),
        layout: call.layout.clone(),
        conf_path: rsyslog_conf::conf_path(&call.layout),
        pid_path: (role == Role::Rsyslogd)
            .then(|| call.layout.place("run/rsyslogd.pid", "/run/rsyslogd.pid")),
        detach: role == Role::Rsyslogd,
        change_directory: role == Role::Rsyslogd,
        headerless: false,
        debug: false,
    };
    let mut check = false;
    let mut words = call.args.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        if matches!(bytes, b"-h" | b"--help" | b"-?") {
            return Ok(Command::Show(HELP.to_owned()));
        }
        if matches!(bytes, b"-v" | b"--version") {
            let version = env!("CARGO_PKG_VERSION");
            return Ok(Command::Show(format!(
                "{} {version} (Banto; reads the configuration of rsyslogd 8.2302)\n",
                call.name
            )));
        }
        let [b'-', letter, attached @ ..] = bytes else {
            return Err(format!(
                "{}: this is no option\nhelp: rsyslogd -h lists the options",
                word.display()
            ));
        };
        if role == Role::Journald {
            return Err(format!(
                "journald takes no option {}\nhelp: it is configured by journald.conf",
                word.display()
            ));
        }
        let mut value = |what: &str| -> Result<std::ffi::OsString, String> {
            match attached {
                [] => words.next().cloned().ok_or(format!("-{} needs {what}", char::from(*letter))),
                attached => Ok(std::ffi::OsStr::from_bytes(attached).to_owned()),
            }
        };
        match letter {
            b'f' => options.conf_path = absolute(value("a file")?.into()),
            b'i' => {
                let path = value("a file")?;
                options.pid_path = (path != "NONE").then(|| absolute(path.into()));
            }
            b'N' => {
                value("a level, for example -N1")?;
                check = true;
            }
            b'M' => {
                value("a path")?;
                eprintln!("{}: -M changes nothing: the modules are built in", call.name);
            }
            b'u' => match value("a number")?.to_string_lossy().parse::<u32>() {
                Ok(number @ 0..=3) => {
                    options.headerless = number & 1 != 0;
                    options.change_directory &= number & 2 == 0;
                }
                _ => return Err("-u takes a number from 0 to 3".to_owned()),
            },
            b'n' | b'C' | b'd' | b'x' if !attached.is_empty() => {
                return Err(format!(
                    "{}: this is no option\nhelp: write short options one by one",
                    word.display()
                ));
            }
            b'n' => options.detach = false,
            b'C' => options.change_directory = false,
            b'd' => {
                options.debug = true;
                options.detach = false;
            }
            b'x' => {}
            _ => {
                return Err(format!(
                    "{}: this option is not supported\nhelp: rsyslogd -h lists the options",
                    word.display()
                ));
            }
        }
    }
    Ok(if check { Command::Check(options) } else { Command::Run(options) })
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(name: &str, words: &[&str]) -> Result<Command, String> {
        parse(&Call {
            name: name.to_owned(),
            args: words.iter().map(std::ffi::OsString::from).collect(),
            layout: Layout::house("/h"),
        })
    }

    /// Goal: each option does something or is refused.
    #[test]
    fn options_do_something_or_are_refused() {
        let Ok(Command::Run(options)) =
            parsed("rsyslogd", &["-n", "-f/x.conf", "-i", "NONE", "-C", "-u", "1"])
        else {
            panic!("valid");
        };
        assert!(!options.detach && !options.change_directory && options.headerless);
        assert_eq!(options.conf_path, PathBuf::from("/x.conf"));
        assert_eq!(options.pid_path, None);
        assert!(matches!(parsed("rsyslogd", &["-N1"]), Ok(Command::Check(_))));
        assert!(matches!(parsed("rsyslogd", &["-N", "1"]), Ok(Command::Check(_))));
        let Ok(Command::Run(options)) = parsed("logd", &[]) else { panic!("valid") };
        assert!(options.role.has_rules() && options.role.has_journal() && !options.detach);
        for wrong in [&["-Z"][..], &["-r514"], &["word"], &["-f"], &["-u", "9"], &["-nx"]] {
            assert!(parsed("rsyslogd", wrong).is_err(), "{wrong:?}");
        }
        assert!(parsed("journald", &["-n"]).is_err());
    }
}
