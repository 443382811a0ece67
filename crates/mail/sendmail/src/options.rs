//! The options of sendmail, as programs have called it since 1983: clusters of letters, values attached or as the next
//! word. Options end at the first word that is none, or at `--`; what follows are recipients.

use crate::sysexits::{Failure, USAGE};
use std::ffi::OsString;

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    /// `-bm`, the default: a message on standard input.
    #[default]
    Deliver,
    /// `-bs`: SMTP on standard input and output.
    Smtp,
    /// `-bp`: the queue.
    List,
    /// `-bi` or `-I`: check and reload aliases.
    Aliases,
    /// `-bv`: ask about addresses.
    Verify,
    /// `-q`: try all deferred messages now.
    Flush,
    /// `-qI`: one message.
    FlushId(String),
    /// `-qR`, `-qS`: one site.
    FlushSite(String),
    /// `-bd`, `-bl`.
    Daemon,
    /// Another `-b`.
    Unsupported(String),
}

/// A parsed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// `-t`.
    pub(crate) recipients_from_header: bool,
    /// Whether a line with a single dot ends the message; `-i` and `-oi` say no.
    pub(crate) dot_ends: bool,
    /// `-f`, `-r`.
    pub(crate) sender: Option<String>,
    /// `-F`.
    pub(crate) full_name: Option<String>,
    /// `-v`.
    pub(crate) verbose: bool,
    /// `-oem`: what is refused is reported to the sender by mail, because nobody reads this command's output (cron).
    pub(crate) errors_by_mail: bool,
    pub(crate) recipients: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Options {
    pub(crate) fn parse(args: &[OsString]) -> Result<Self, Failure> {
        let mut options = Self {
            mode: Mode::Deliver,
            recipients_from_header: false,
            dot_ends: true,
            sender: None,
            full_name: None,
            verbose: false,
            errors_by_mail: false,
            recipients: Vec::new(),
            warnings: Vec::new(),
        };
        let mut words = args.iter().map(|word| word.to_string_lossy().into_owned()).peekable();
        while let Some(word) = words.next_if(|word| word.len() > 1 && word.starts_with('-')) {
            if word == "--" {
                break;
            }
            let mut letters = word.get(1..).unwrap_or_default().chars();
            while let Some(letter) = letters.next() {
                // `-q` and `-V` may stand without a value.
                let attached = letters.as_str().to_owned();
                let takes_value = "ABCFLNORXbefhopr".contains(letter) || letter == 'q' || letter == 'V';
                let value = match takes_value {
                    false => String::new(),
                    true if !attached.is_empty() || letter == 'q' || letter == 'V' => attached,
                    true => words
                        .next()
                        .ok_or_else(|| Failure::new(USAGE, format!("option -{letter} needs a value")))?,
                };
                options.set(letter, value)?;
                if takes_value {
                    break;
                }
            }
        }
        options.recipients.extend(words);
        Ok(options)
    }

    fn set(&mut self, letter: char, value: String) -> Result<(), Failure> {
        match letter {
            't' => self.recipients_from_header = true,
            'i' => self.dot_ends = false,
            'f' | 'r' => self.sender = Some(value),
            'F' => self.full_name = Some(value),
            'v' => self.verbose = true,
            'I' => self.mode = Mode::Aliases,
            'b' => {
                self.mode = match value.as_str() {
                    "m" => Mode::Deliver,
                    "s" => Mode::Smtp,
                    "p" => Mode::List,
                    "i" => Mode::Aliases,
                    "v" => Mode::Verify,
                    "d" | "l" | "D" => Mode::Daemon,
                    _ => Mode::Unsupported(value),
                }
            }
            'q' => self.set_queue_run(&value)?,
            'o' if value == "i" => self.dot_ends = false,
            'o' if value == "em" => self.errors_by_mail = true,
            'e' => self.errors_by_mail = value == "m",
            'O' => {
                let value = value.replace(' ', "");
                if value.eq_ignore_ascii_case("IgnoreDots") || value.eq_ignore_ascii_case("IgnoreDots=true") {
                    self.dot_ends = false;
                }
            }
            'B' if !matches!(value.to_ascii_uppercase().as_str(), "7BIT" | "8BITMIME") => {
                self.warnings.push(format!("-B {value}: neither 7BIT nor 8BITMIME; ignored"));
            }
            'N' => {
                let known = ["never", "success", "failure", "delay"];
                let wishes: Vec<String> =
                    value.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
                // Delivery reports are about failures, always and only.
                for word in
                    ["never", "success", "delay"].iter().filter(|w| wishes.iter().any(|wish| wish == *w))
                {
                    self.warnings.push(format!(
                        "-N {word} has no effect: reports are sent about failures only, and always"
                    ));
                }
                if !value.split(',').all(|word| known.contains(&word.trim().to_ascii_lowercase().as_str())) {
                    self.warnings.push(format!("bad -N option value {value:?}; ignored"));
                }
            }
            'R' if !matches!(value.to_ascii_lowercase().as_str(), "full" | "hdrs") => {
                self.warnings.push(format!("bad -R option value {value:?}; ignored"));
            }
            // Reports carry as much of the message as fits; eight bits pass whatever is said.
            'B' | 'R' => {}
            'V' => {
                self.warnings.push("-V has no effect: mail is not sent once for each recipient".to_owned())
            }
            'C' => self
                .warnings
                .push(format!("-C {value} has no effect: --dir names the house, else /etc/postfix is read")),
            'X' => self.warnings.push(format!("-X {value} has no effect: traffic is not logged to a file")),
            // Ignored, as the sendmail(1) that this one takes the place of documents it; -o is -oA, -od, -om, -o7, -o8
            // and whatever else Sendmail 8 knows.
            'A' | 'o' | 'G' | 'L' | 'U' | 'h' | 'm' | 'n' | 'p' | 'x' => {}
            _ => {
                return Err(Failure::new(USAGE, format!("invalid option -- '{letter}'")).help(
                    "sendmail [-t] [-i] [-f sender] [-F name] [-v] [-b{m,s,p,i,v}] [-q] [--] recipient ...",
                ));
            }
        }
        Ok(())
    }

    fn set_queue_run(&mut self, value: &str) -> Result<(), Failure> {
        let mut rest = value.chars();
        self.mode = match (rest.next(), rest.as_str()) {
            (None, _) => Mode::Flush,
            (Some('I'), id) if !id.is_empty() => Mode::FlushId(id.to_owned()),
            (Some('R' | 'S'), site) if !site.is_empty() => Mode::FlushSite(site.to_owned()),
            (Some(c), _) if c.is_ascii_digit() => {
                // An interval is the daemon's queue_run_delay; with -bd it was the way to start one.
                self.warnings
                    .push(format!("-q{value}: the interval is queue_run_delay in main.cf; running once"));
                if self.mode == Mode::Daemon { Mode::Daemon } else { Mode::Flush }
            }
            _ => return Err(Failure::new(USAGE, format!("-q{value}: say -q, -qIid, -qRsite or -qSsite"))),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, Failure> {
        Options::parse(&line.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    /// Goal: calls of real programs are understood as sendmail understands them.
    #[test]
    fn calls_are_understood() {
        let check = |line: &str, expected: &str| {
            let got = match parse(line) {
                Err(failure) => failure.message,
                Ok(o) => format!(
                    "{:?}{}{}{} f={} F={} to={}",
                    o.mode,
                    if o.recipients_from_header { " t" } else { "" },
                    if o.dot_ends { "" } else { " i" },
                    if o.verbose { " v" } else { "" },
                    o.sender.unwrap_or_default(),
                    o.full_name.unwrap_or_default(),
                    o.recipients.join(","),
                ),
            };
            assert_eq!(got, expected, "{line}");
        };
        // Debian's cron.
        check("-i -FCronDaemon -B8BITMIME -oem user", "Deliver i f= F=CronDaemon to=user");
        // cronie.
        check("-FCronDaemon -i -odi -oem -oi -t -f root", "Deliver t i f=root F=CronDaemon to=");
        check("-ti", "Deliver t i f= F= to=");
        check("-it -oi -f a@b -- -x |y", "Deliver t i f=a@b F= to=-x,|y");
        check("-fa@b -Fname root -t", "Deliver f=a@b F=name to=root,-t");
        check("-r a@b root", "Deliver f=a@b F= to=root");
        check("-bs", "Smtp f= F= to=");
        check("-bp", "List f= F= to=");
        check("-bi", "Aliases f= F= to=");
        check("-I", "Aliases f= F= to=");
        check("-bv root", "Verify f= F= to=root");
        check("-q", "Flush f= F= to=");
        check("-qIABC", "FlushId(\"ABC\") f= F= to=");
        check("-qRexample.org", "FlushSite(\"example.org\") f= F= to=");
        check("-bd -q30m", "Daemon f= F= to=");
        check(
            "-Am -om -n -h 10 -L x -U -G -X /tmp/log -C /etc/x -O A=b -o7 -V e -N never -R hdrs a",
            "Deliver f= F= to=e,-N,never,-R,hdrs,a",
        );
        check("-Venv -N never,delay -R full -v a", "Deliver v f= F= to=a");
        check("-bz", "Unsupported(\"z\") f= F= to=");
        check("-y", "invalid option -- 'y'");
        check("-f", "option -f needs a value");
        check("- a", "Deliver f= F= to=-,a");
    }

    /// Goal: what would change what the user gets and has no effect is said by name; what cron and mail clients give for
    /// nothing (-odi, -oem, -G ...) is no matter of a warning on each mail.
    #[test]
    fn what_has_no_effect_is_said() {
        let check = |line: &str, expected: &[&str]| {
            let warnings = parse(line).expect("it is accepted").warnings;
            assert_eq!(warnings.len(), expected.len(), "{line}: {warnings:?}");
            for (warning, start) in warnings.iter().zip(expected) {
                assert!(warning.starts_with(start), "{line}: {warning}");
            }
        };
        check("-C /x a", &["-C /x has no effect"]);
        check("-X /x a", &["-X /x has no effect"]);
        check("-Venv a", &["-V has no effect"]);
        check("-N never a", &["-N never has no effect"]);
        check("-N success,delay,failure a", &["-N success has no effect", "-N delay has no effect"]);
        check("-N failure -R hdrs -B8BITMIME a", &[]);
        check("-B9BIT a", &["-B 9BIT"]);
        check("-q5m", &["-q5m"]);
        check("-odi -oem -oi -om -G -h 3 -Lx -A m -U a", &[]);
    }
}
