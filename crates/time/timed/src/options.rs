//! The command line (`chronyd(8)`): each letter is one row that carries its name, its text and what it does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What a call asks for.
#[derive(Debug)]
pub(crate) enum Action {
    /// To run.
    Run(Box<Options>),
    /// To print this and end.
    Print(String),
}

/// Whether a run ends with the first measured offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Once {
    /// A daemon.
    #[default]
    No,
    /// `-q`: set the clock and end.
    Set,
    /// `-Q`: print the offset and end.
    Print,
}

/// The options of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// `-4` or `-6`: only this family.
    pub family: Option<Family>,
    /// `-f`.
    pub config_file: Option<PathBuf>,
    /// Configuration directives in the place of a file.
    pub directives: Vec<String>,
    /// `-n`: stay in the foreground.
    pub foreground: bool,
    /// `-d`: stay in the foreground and log to standard error.
    pub debug: bool,
    /// `-l`.
    pub log_file: Option<PathBuf>,
    /// `-L`: the least severity that is logged, chrony's numbers (-1 debug, 0 information, 1 warning, 2 error, 3 fatal).
    pub log_level: i32,
    /// `-p`.
    pub print_config: bool,
    /// `--check`: as `-p`, and looks for what the configuration names too.
    pub looks: bool,
    /// `-q`, `-Q`.
    pub once: Once,
    /// `-t`: end after this time.
    pub timeout: Option<Duration>,
    /// `-u`.
    pub user: Option<String>,
    /// `-U`: a start without root is no error.
    pub any_user: bool,
    /// `-x`: never touch the clock.
    pub leave_clock: bool,
    /// `-R`: this is a restart, so a `makestep` that holds only for the first updates does not hold again.
    pub restart: bool,
    /// Touch the clock also in a house.
    pub control_clock: bool,
    /// `-r`: the histories in `dumpdir` are taken up.
    pub reload: bool,
    /// `-s`: the clock is set from the real-time clock, or from the age of the drift file.
    pub set_from_rtc: bool,
    /// `-P`: priority of SCHED_FIFO; none: what `sched_priority` says.
    pub priority: Option<u8>,
    /// `-m`: the memory is not paged out.
    pub lock_memory: bool,
    /// The clock is held by a process of its own also with `-d` and `-x`.
    pub split: bool,
    /// `-F`: the system call filter; 0: none.
    pub filter_level: i32,
    /// `-N`: the descriptor on which a supervisor waits for a newline.
    pub ready_descriptor: Option<u32>,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// The address is of the family that is used; none means both.
    pub(crate) fn allows(family: Option<Self>, address: std::net::IpAddr) -> bool {
        match family {
            None => true,
            Some(Self::V4) => address.is_ipv4(),
            Some(Self::V6) => address.is_ipv6(),
        }
    }
}

/// The environment variable by which a daemon in the background knows that it is the one.
pub(crate) const BACKGROUND_VARIABLE: &str = "BANTO_TIMED_IN_BACKGROUND";

/// This process is the child that a start in the background left behind.
pub(crate) fn is_in_background() -> bool {
    std::env::var_os(BACKGROUND_VARIABLE).is_some()
}

struct Flag {
    name: &'static str,
    value: &'static str,
    /// A value that makes sense.
    example: &'static str,
    help: &'static str,
    apply: fn(&mut Options, String) -> Result<(), String>,
}

const FLAGS: &[Flag] = &[
    Flag {
        name: "-4",
        value: "",
        example: "",
        help: "Use only IPv4 addresses",
        apply: |o, _| set(&mut o.family, Family::V4),
    },
    Flag {
        name: "-6",
        value: "",
        example: "",
        help: "Use only IPv6 addresses",
        apply: |o, _| set(&mut o.family, Family::V6),
    },
    Flag {
        name: "-f",
        value: "FILE",
        example: "/etc/chrony/chrony.conf",
        help: "Specify configuration file",
        apply: |o, value| set(&mut o.config_file, value.into()),
    },
    Flag {
        name: "-n",
        value: "",
        example: "",
        help: "Don't run as daemon",
        apply: |o, _| on(&mut o.foreground),
    },
    Flag {
        name: "-d",
        value: "",
        example: "",
        help: "Don't run as daemon and log to stderr",
        apply: |o, _| on(&mut o.debug),
    },
    Flag {
        name: "-l",
        value: "FILE",
        example: "/var/log/chrony/chronyd.log",
        help: "Log to file",
        apply: |o, value| set(&mut o.log_file, value.into()),
    },
    Flag {
        name: "-L",
        value: "LEVEL",
        example: "0",
        help: "Set logging threshold (0)",
        apply: |o, value| {
            o.log_level = number(&value, -1, 3)?;
            Ok(())
        },
    },
    Flag {
        name: "-p",
        value: "",
        example: "",
        help: "Print configuration and exit",
        apply: |o, _| on(&mut o.print_config),
    },
    Flag {
        name: "-q",
        value: "",
        example: "",
        help: "Set clock and exit",
        apply: |o, _| {
            o.once = Once::Set;
            Ok(())
        },
    },
    Flag {
        name: "-Q",
        value: "",
        example: "",
        help: "Log offset and exit",
        apply: |o, _| {
            o.once = Once::Print;
            Ok(())
        },
    },
    Flag {
        name: "-t",
        value: "SECONDS",
        example: "60",
        help: "Exit after elapsed time",
        apply: |o, value| set(&mut o.timeout, Duration::from_secs(number(&value, 1, i32::MAX)? as u64)),
    },
    Flag {
        name: "-u",
        value: "USER",
        example: "_chrony",
        help: "Specify user",
        apply: |o, value| set(&mut o.user, value),
    },
    Flag {
        name: "-U",
        value: "",
        example: "",
        help: "Don't check for root",
        apply: |o, _| on(&mut o.any_user),
    },
    Flag {
        name: "-x",
        value: "",
        example: "",
        help: "Don't control clock",
        apply: |o, _| on(&mut o.leave_clock),
    },
    Flag {
        name: "-R",
        value: "",
        example: "",
        help: "Adapt configuration for restart",
        apply: |o, _| on(&mut o.restart),
    },
    Flag {
        name: "-F",
        value: "LEVEL",
        example: "1",
        help: "Set system call filter level (0)",
        apply: |o, value| {
            o.filter_level = number(&value, -2, 2)?;
            Ok(())
        },
    },
    Flag {
        name: "-P",
        value: "PRIORITY",
        example: "50",
        help: "Set process priority (0)",
        apply: |o, value| set(&mut o.priority, number(&value, 0, 100)?.unsigned_abs() as u8),
    },
    Flag { name: "-m", value: "", example: "", help: "Lock memory", apply: |o, _| on(&mut o.lock_memory) },
    Flag {
        name: "-N",
        value: "FD",
        example: "3",
        help: "Write a newline to this descriptor when ready (s6-style supervisors)",
        apply: |o, value| set(&mut o.ready_descriptor, number(&value, 1, i32::MAX)?.unsigned_abs()),
    },
    Flag { name: "-r", value: "", example: "", help: "Reload dump files", apply: |o, _| on(&mut o.reload) },
    Flag {
        name: "-s",
        value: "",
        example: "",
        help: "Set clock from RTC",
        apply: |o, _| on(&mut o.set_from_rtc),
    },
    Flag {
        name: "--control-clock",
        value: "",
        example: "",
        help: "Control the clock also in a house directory",
        apply: |o, _| on(&mut o.control_clock),
    },
    Flag {
        name: "--check",
        value: "",
        example: "",
        help: "As -p, and look for the files, keys and users that the configuration names",
        apply: |o, _| {
            (o.print_config, o.looks) = (true, true);
            Ok(())
        },
    },
    Flag {
        name: "--split",
        value: "",
        example: "",
        help: "Hold the clock in a process of its own also with -d (with -x: one that does nothing)",
        apply: |o, _| on(&mut o.split),
    },
];

fn set<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    *slot = Some(value);
    Ok(())
}

fn on(slot: &mut bool) -> Result<(), String> {
    *slot = true;
    Ok(())
}

fn number(text: &str, low: i32, high: i32) -> Result<i32, String> {
    match text.parse() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => Err(format!("{text:?} is no number from {low} to {high}")),
    }
}

impl Options {
    /// Reads the words after the program's name.
    pub(crate) fn parse(args: &[OsString]) -> Result<Action, String> {
        let mut options = Self::default();
        let mut words = args.iter().map(|word| word.to_string_lossy().into_owned());
        while let Some(word) = words.next() {
            match word.as_str() {
                "-v" | "--version" => return Ok(Action::Print(version_line())),
                "-h" | "--help" => return Ok(Action::Print(help())),
                "--" => options.directives.extend(words.by_ref()),
                _ if !word.starts_with('-') => options.directives.push(word),
                _ => options.take(&word, &mut words)?,
            }
        }
        if !options.directives.is_empty() && options.config_file.is_some() {
            return Err(format!(
                "-f FILE and configuration directives exclude each other\nhelp: chronyd -f {}",
                options.config_file.as_ref().map_or(String::new(), |path| path.display().to_string())
            ));
        }
        if options.control_clock && options.leave_clock {
            return Err(
                "-x and --control-clock contradict each other\nhelp: chronyd -x (measures), or chronyd --control-clock"
                    .to_owned(),
            );
        }
        Ok(Action::Run(Box::new(options)))
    }

    /// One word of options: `--name`, `-x`, `-fFILE`, or several letters in one (`-dx`).
    fn take(&mut self, word: &str, words: &mut dyn Iterator<Item = String>) -> Result<(), String> {
        if word.starts_with("--") {
            let flag = FLAGS.iter().find(|flag| flag.name == word).ok_or_else(|| unknown(word))?;
            return (flag.apply)(self, String::new());
        }
        let mut letters = word.chars().skip(1);
        while let Some(letter) = letters.next() {
            let name = format!("-{letter}");
            let flag = FLAGS.iter().find(|flag| flag.name == name).ok_or_else(|| unknown(&name))?;
            if flag.value.is_empty() {
                (flag.apply)(self, String::new())?;
                continue;
            }
            let attached: String = letters.by_ref().collect();
            let value = if attached.is_empty() { words.next() } else { Some(attached) };
            let value = value.ok_or_else(|| {
                format!(
                    "option {name} needs a value: {name} {}\nhelp: chronyd {name} {}",
                    flag.value, flag.example
                )
            })?;
            (flag.apply)(self, value)
                .map_err(|error| format!("option {name}: {error}\nhelp: chronyd {name} {}", flag.example))?;
        }
        Ok(())
    }

    /// Without `-n`, `-d`, `-q` and `-Q` the daemon leaves its terminal.
    pub(crate) fn goes_to_background(&self) -> bool {
        !self.foreground && !self.debug && self.once == Once::No && !is_in_background()
    }

    /// Log lines go to standard error.
    pub(crate) fn logs_to_stderr(&self) -> bool {
        (self.debug || self.once != Once::No) && self.log_file.is_none()
    }
}

fn unknown(name: &str) -> String {
    format!("unknown option {name}\nhelp: the options are listed by: chronyd --help")
}

/// What `-v` prints.
pub(crate) fn version_line() -> String {
    format!("chronyd (banto) version {}\n", env!("CARGO_PKG_VERSION"))
}

fn help() -> String {
    let mut text = String::from("Usage: chronyd [OPTION]... [DIRECTIVE]...\n\nOptions:\n");
    for flag in FLAGS {
        let name = if flag.value.is_empty() {
            flag.name.to_owned()
        } else {
            format!("{} {}", flag.name, flag.value)
        };
        text.push_str(&format!("  {name}\t{}\n", flag.help));
    }
    text + "  -v, --version\tPrint version and exit\n  -h, --help\tPrint usage and exit\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: options are read as getopt reads them, directives are kept, and what does nothing is refused by name.
    #[test]
    fn the_command_line_is_read_or_refused() {
        let check = |words: &str, expected: Result<fn(&Options) -> bool, &str>| {
            let args: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            match (Options::parse(&args), expected) {
                (Ok(Action::Run(options)), Ok(holds)) => assert!(holds(&options), "{words}: {options:?}"),
                (Err(error), Err(part)) => assert!(error.contains(part), "{words}: {error}"),
                (found, _) => panic!("{words}: {found:?}"),
            }
        };
        check("-dx -f /a", Ok(|o| o.debug && o.leave_clock && o.config_file == Some("/a".into())));
        check("-f/a -L -1", Ok(|o| o.config_file == Some("/a".into()) && o.log_level == -1));
        check("-Q -t 5 -4", Ok(|o| o.once == Once::Print && o.timeout == Some(Duration::from_secs(5))));
        check("-x server\u{a0}a", Ok(|o| o.directives.len() == 1));
        // As Debian's unit starts it.
        check("-F 1", Ok(|o| o.filter_level == 1));
        check("-F-1 -x", Ok(|o| o.leave_clock && o.filter_level == -1));
        check("--check", Ok(|o| o.print_config && o.looks));
        check("-p", Ok(|o| o.print_config && !o.looks));
        check("-P 50 -R", Ok(|o| o.restart && o.priority == Some(50)));
        check("-mrs", Ok(|o| o.lock_memory && o.reload && o.set_from_rtc));
        check("-nN3", Ok(|o| o.foreground && o.ready_descriptor == Some(3)));
        check("-N 0", Err("\"0\" is no number from 1 to 2147483647\nhelp: chronyd -N 3"));
        check("-P 101", Err("help: chronyd -P 50"));
        check("-F x", Err("option -F"));
        check("-F 9", Err("\"9\" is no number from -2 to 2\nhelp: chronyd -F 1"));
        check("-S", Err("unknown option -S"));
        check("-z", Err("unknown option -z"));
        check("-f", Err("needs a value: -f FILE\nhelp: chronyd -f /etc/chrony/chrony.conf"));
        check("-t x", Err("help: chronyd -t 60"));
        check("-x --control-clock", Err("contradict"));
    }
}
