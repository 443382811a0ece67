//! The command line: `banto [--dir DIR] VERB ...`, `banto [--dir DIR] NAME ...`, or a link called NAME.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use layout::{Call, Layout};

use crate::texts::{self, Texts, fill};
use crate::{check, doctor, programs, reload, status, time, tour, up};

/// The name of the executable itself.
const OWN_NAME: &str = "banto";

/// Where a house is when nobody says where.
const DEFAULT_DIR: &str = "banto-data";

/// banto's own verbs.
pub const VERBS: &[&str] = &["up", "status", "doctor", "tour", "check", "time", "reload", "help"];

/// The variable that says where the house is when `--dir` does not.
const DIR_VARIABLE: &str = "BANTO_DIR";

/// The exit code for a wrong command line (`sysexits.h`: `EX_USAGE`).
const EX_USAGE: u8 = 64;

/// What banto's own verbs are given.
pub struct Given {
    /// Language.
    pub texts: &'static Texts,
    /// The house's directory, absolute.
    pub dir: PathBuf,
    /// The directory as it was typed; none when nothing was said.
    pub typed_dir: Option<PathBuf>,
    /// How this executable was called, for commands that are shown.
    pub program: String,
}

impl Given {
    /// The house as a layout.
    pub fn layout(&self) -> Layout {
        Layout::house(&self.dir)
    }

    /// The words before a program's name that point it at this house, as a person would type them.
    pub fn command(&self) -> String {
        let dir = self.typed_dir.clone().unwrap_or_else(|| PathBuf::from(format!("./{DEFAULT_DIR}")));
        format!("{} --dir {}", self.program, dir.display())
    }

    /// A path as a person would type it: below the house's directory as that was typed, as the commands beside it have it.
    pub fn shown(&self, path: &Path) -> String {
        let typed = self.typed_dir.clone().unwrap_or_else(|| PathBuf::from(format!("./{DEFAULT_DIR}")));
        match path.strip_prefix(&self.dir) {
            Ok(below) => typed.join(below).display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    /// The same for banto's own verbs, which find the default house by themselves.
    pub fn own_command(&self) -> String {
        match &self.typed_dir {
            Some(dir) => format!("{} --dir {}", self.program, dir.display()),
            None => self.program.clone(),
        }
    }

    /// Tells an error and what to type.
    pub fn complain(&self, error: &str, help: Option<&str>) {
        complain(self.texts, error, help);
    }
}

/// Tells an error and what to type: one command a line of `help`.
pub fn complain(texts: &Texts, error: &str, help: Option<&str>) {
    eprintln!("{}: {error}", texts.error_word);
    for line in help.into_iter().flat_map(str::lines) {
        eprintln!("{}: {line}", texts.help_word);
    }
}

/// Runs what `words` (argv) say.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let texts = texts::from_environment();
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_else(|| OWN_NAME.into());
    let name = Path::new(&called).file_name().and_then(OsStr::to_str).unwrap_or(OWN_NAME).to_owned();
    let mut args: Vec<OsString> = words.collect();
    let (dir, rest) = match take_dir(&mut args) {
        Ok(found) => found,
        Err(()) => return dir_needs_value(texts),
    };
    args = rest;
    let dir = dir.or_else(|| std::env::var_os(DIR_VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from));
    if let Some(program) = programs::find(&name) {
        return run_program(program, Call { name, args, layout: layout_of(dir.as_deref()) });
    }
    if args.is_empty() {
        print_help(texts);
        return ExitCode::from(EX_USAGE);
    }
    let verb = args.remove(0).to_string_lossy().into_owned();
    if let Some(program) = programs::find(&verb) {
        return run_program(program, Call { name: verb, args, layout: layout_of(dir.as_deref()) });
    }
    match verb.as_str() {
        "help" | "--help" | "-h" => {
            end_quietly_on_closed_pipe();
            print_help(texts);
            return ExitCode::SUCCESS;
        }
        "--version" | "-V" => {
            println!("banto {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if !VERBS.contains(&verb.as_str()) {
        let near = conf_text::nearest(&verb, VERBS.iter().copied().chain(programs::names()));
        let help = match near {
            Some(near) => fill(texts.did_you_mean, &[("name", &near)]),
            None => "banto help".to_owned(),
        };
        return usage(texts, &fill(texts.unknown_name, &[("name", &verb)]), Some(&help));
    }
    own_verb(texts, &called, &verb, dir, args)
}

/// Runs a program under its own name: `ps` and the trusted field `_COMM` of its records say which one it is.
fn run_program(program: &programs::Program, call: Call) -> ExitCode {
    // Only a name: where it cannot be set, nothing else changes.
    let _ = std::fs::write("/proc/self/comm", &call.name);
    (program.run)(&call)
}

fn own_verb(
    texts: &'static Texts,
    called: &OsStr,
    verb: &str,
    dir: Option<PathBuf>,
    mut args: Vec<OsString>,
) -> ExitCode {
    // `banto up --dir DIR` is what people type too.
    let mut typed_dir = dir;
    let mut flags: Vec<String> = Vec::new();
    while !args.is_empty() {
        match take_dir(&mut args) {
            Ok((Some(dir), rest)) => {
                typed_dir = Some(dir);
                args = rest;
            }
            Ok((None, mut rest)) => {
                flags.push(rest.remove(0).to_string_lossy().into_owned());
                args = rest;
            }
            Err(()) => return dir_needs_value(texts),
        }
    }
    if verb == "time" && flags.iter().any(|flag| flag == "--help" || flag == "-h") {
        end_quietly_on_closed_pipe();
        print!("{}", texts.time.help);
        return ExitCode::SUCCESS;
    }
    if flags.iter().any(|flag| flag == "--help" || flag == "-h") {
        end_quietly_on_closed_pipe();
        let found = texts.verb_help.iter().find(|(name, _)| *name == verb);
        print!("{}", found.map_or(texts.help, |(_, help)| help));
        return ExitCode::SUCCESS;
    }
    let service = match (verb, flags.first()) {
        ("reload", Some(name)) if !name.starts_with('-') => Some(flags.remove(0)),
        _ => None,
    };
    let known: &[&str] = match verb {
        "up" => &["--control-clock", "--init-only"],
        "status" => &["--json"],
        "doctor" => &["--json", "--strict"],
        "check" | "reload" => &[],
        // It looks at its own words.
        "time" => &[],
        _ => &["--yes"],
    };
    if verb != "time"
        && let Some(wrong) = flags.iter().find(|flag| !known.contains(&flag.as_str()))
    {
        let error = fill(texts.unknown_option, &[("option", wrong), ("verb", &verb)]);
        let near = conf_text::nearest(wrong, known.iter().copied());
        let options = known.iter().map(|option| format!(" [{option}]")).collect::<String>();
        let options = if verb == "reload" { format!(" [{}]", reload::SERVICES.join(" | ")) } else { options };
        let help = format!("banto {verb}{}", near.map_or(options, |near| format!(" {near}")));
        return usage(texts, &error, Some(&help));
    }
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let wanted = typed_dir.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_DIR));
    let dir = std::path::absolute(&wanted).unwrap_or(wanted);
    // A link or `..` in the path would make two names of one house.
    let dir = std::fs::canonicalize(&dir).unwrap_or(dir);
    let given = Given { texts, dir, typed_dir, program: called.to_string_lossy().into_owned() };
    if verb != "up" {
        end_quietly_on_closed_pipe();
    }
    match verb {
        "up" => up::run(
            &given,
            up::Options { control_clock: has("--control-clock"), init_only: has("--init-only") },
        ),
        "status" => status::run(&given, has("--json")),
        "doctor" => doctor::run(&given, has("--json"), has("--strict")),
        "check" => check::run(&given),
        "time" => time::run(&given, &flags),
        "reload" => reload::run(&given, service.as_deref()),
        _ => tour::run(&given, has("--yes")),
    }
}

/// Takes `--dir DIR` or `--dir=DIR` from the front of the words.
#[allow(clippy::type_complexity)] // the directory and what is left
fn take_dir(args: &mut Vec<OsString>) -> Result<(Option<PathBuf>, Vec<OsString>), ()> {
    let mut rest = std::mem::take(args);
    let Some(first) = rest.first() else { return Ok((None, rest)) };
    if first == "--dir" {
        if rest.len() < 2 || rest[1].is_empty() {
            return Err(());
        }
        let dir = PathBuf::from(rest.remove(1));
        rest.remove(0);
        return Ok((Some(dir), rest));
    }
    if let Some(dir) = first.to_str().and_then(|text| text.strip_prefix("--dir=")) {
        if dir.is_empty() {
            return Err(());
        }
        let dir = PathBuf::from(dir);
        rest.remove(0);
        return Ok((Some(dir), rest));
    }
    Ok((None, rest))
}

fn layout_of(dir: Option<&Path>) -> Layout {
    match dir {
        Some(dir) => {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf());
            Layout::house(std::fs::canonicalize(&dir).unwrap_or(dir))
        }
        None => Layout::system(),
    }
}

/// `banto status | head` ends as any command does.
fn end_quietly_on_closed_pipe() {
    // A standard signal: this cannot fail.
    let _ = sys::signal::default(sys::signal::PIPE);
}

fn usage(texts: &Texts, error: &str, help: Option<&str>) -> ExitCode {
    complain(texts, error, help);
    ExitCode::from(EX_USAGE)
}

fn dir_needs_value(texts: &Texts) -> ExitCode {
    let error = fill(texts.option_needs_value, &[("option", &"--dir")]);
    usage(texts, &error, Some("banto --dir ./banto-data status"))
}

fn print_help(texts: &Texts) {
    println!("{}\n{}", texts.help, texts.programs);
    for program in programs::PROGRAMS {
        println!("  {:<38} {}", program.names.join(", "), (texts.about)(program));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: `--dir` is found in both spellings, only at the front, and never without a value.
    #[test]
    fn dir_is_taken_from_the_front() {
        let check = |words: &[&str], expected: Result<(Option<&str>, usize), ()>| {
            let mut args: Vec<OsString> = words.iter().map(OsString::from).collect();
            let found = take_dir(&mut args).map(|(dir, rest)| (dir, rest.len()));
            assert_eq!(found, expected.map(|(dir, left)| (dir.map(PathBuf::from), left)), "{words:?}");
        };
        check(&["--dir", "x", "up"], Ok((Some("x"), 1)));
        check(&["--dir=x", "up"], Ok((Some("x"), 1)));
        check(&["mail", "--dir", "x"], Ok((None, 3)));
        check(&["--dir"], Err(()));
        check(&["--dir="], Err(()));
        check(&[], Ok((None, 0)));
    }
}
