//! `banto tour`: ten steps through a running house.
//!
//! Each step shows a command, runs it, looks for what it should have done, shows that, and says why it matters.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use crate::command_line::Given;
use crate::defaults::TOUR_ALIAS;
use crate::doctor;
use crate::status::require_house;
use crate::supervisor::own_executable;
use crate::texts::fill;
use crate::up::user_name;

/// How long a step waits for what it should see.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The identifier of the tour's records.
const TAG: &str = "tour";

/// The most lines of a result that are shown.
const LINES_MAX: usize = 24;

/// Walks through the house; without a terminal, or with `--yes`, without a stop.
pub fn run(given: &Given, yes: bool) -> ExitCode {
    if !require_house(given) {
        return ExitCode::FAILURE;
    }
    let texts = given.texts;
    println!("{}\n", fill(texts.tour_intro, &[("dir", &given.dir.display())]));
    let mut guide = Guide { given, user: user_name(), word: random_word(), styled: styled() };
    let steps: [Step; 10] = [
        |guide| guide.clock(),
        |guide| guide.logger(),
        |guide| guide.journal(),
        |guide| guide.cat(),
        |guide| guide.rule(),
        |guide| guide.mail(),
        |guide| guide.alias(),
        |guide| guide.forward(),
        |guide| guide.alert(),
        |guide| guide.doctor(),
    ];
    let stops = !yes && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut failed = 0;
    for (at, step) in steps.into_iter().enumerate() {
        let text = &texts.tour_steps[at];
        let title = fill(texts.tour_step, &[("number", &(at + 1)), ("title", &text.title)]);
        println!("{}", guide.bold(&title));
        if let Err(error) = step(&mut guide) {
            failed += 1;
            println!("  {}", fill(texts.tour_failed, &[("error", &error)]));
        }
        println!("{}{}\n", guide.bold(texts.tour_why), text.why);
        if stops && at + 1 < steps.len() && !go_on(texts.tour_continue) {
            println!("{}", fill(texts.tour_ended_early, &[("command", &given.own_command())]));
            return ExitCode::SUCCESS;
        }
    }
    if failed > 0 {
        println!("{}", fill(texts.tour_end_failed, &[("count", &failed), ("command", &given.own_command())]));
        return ExitCode::FAILURE;
    }
    let settings = banto_conf::parse(&guide.read("etc/banto.toml")).unwrap_or_default();
    println!("{}", fill(texts.tour_end, &[("web", &format!("http://{}/", settings.web_listen))]));
    ExitCode::SUCCESS
}

/// What does one step.
type Step = fn(&mut Guide<'_>) -> Result<(), String>;

struct Guide<'a> {
    given: &'a Given,
    user: String,
    /// Letters that no earlier tour used: so that each tour's results are its own, and alerts of two tours are two problems.
    word: String,
    styled: bool,
}

impl Guide<'_> {
    fn clock(&mut self) -> Result<(), String> {
        self.show_run(&["chronyc", "-n", "tracking"], None)?;
        self.show_run(&["chronyc", "-N", "sources", "-a"], None)?;
        Ok(())
    }

    fn logger(&mut self) -> Result<(), String> {
        let message = format!("Syslog Test {}", self.word);
        self.show_run(&["logger", "-t", TAG, "-p", "user.info", &message], None)?;
        self.show_line_in("log/user.log", &message)
    }

    fn journal(&mut self) -> Result<(), String> {
        let wanted = format!("Syslog Test {}", self.word);
        self.show_run_until(&["journalctl", "-t", TAG, "-n", "1"], &wanted)?;
        self.show_run_until(&["journalctl", "-t", TAG, "-n", "1", "-o", "verbose"], "_CLOCK_SYNCED")
    }

    fn cat(&mut self) -> Result<(), String> {
        let text = format!("the backup of {} took 3 minutes", self.word);
        self.show_run(&["systemd-cat", "-t", "tour-backup", "-p", "notice"], Some(&text))?;
        self.show_run_until(&["journalctl", "-t", "tour-backup", "-n", "1"], &text)
    }

    fn rule(&mut self) -> Result<(), String> {
        let file = self.given.dir.join("etc/rsyslog.conf");
        let rule =
            self.read("etc/rsyslog.conf").lines().find(|line| line.starts_with("local0.")).map(str::to_owned);
        let Some(rule) = rule.filter(|rule| rule.contains("log/local0.log")) else {
            return Err(fill(self.given.texts.tour_rule_gone, &[("file", &file.display())]));
        };
        self.show_command(&format!("grep '^local0' {}", file.display()));
        self.show_output(&rule);
        let message = format!("my own file {}", self.word);
        self.show_run(&["logger", "-t", TAG, "-p", "local0.notice", &message], None)?;
        self.show_line_in("log/local0.log", &message)
    }

    fn mail(&mut self) -> Result<(), String> {
        let subject = format!("test {}", self.word);
        let user = self.user.clone();
        self.show_run(&["mail", "-s", &subject, &user], Some("hello from the tour"))?;
        self.show_line_in(&format!("mail/{user}"), &format!("Subject: {subject}"))
    }

    fn alias(&mut self) -> Result<(), String> {
        let file = self.given.dir.join("etc/aliases");
        let found = self
            .read("etc/aliases")
            .lines()
            .find(|line| line.starts_with(&format!("{TOUR_ALIAS}:")))
            .map(str::to_owned);
        let Some(line) = found else {
            return Err(fill(self.given.texts.tour_rule_gone, &[("file", &file.display())]));
        };
        self.show_command(&format!("grep '^{TOUR_ALIAS}' {}", file.display()));
        self.show_output(&line);
        self.show_run(&["newaliases"], None)?;
        let subject = format!("to the {TOUR_ALIAS}, {}", self.word);
        self.show_run(&["mail", "-s", &subject, TOUR_ALIAS], Some("hello from the tour"))?;
        let owner = line.split_once(':').map_or("", |(_, owner)| owner.trim()).to_owned();
        self.show_line_in(&format!("mail/{owner}"), &format!("Subject: {subject}"))
    }

    fn forward(&mut self) -> Result<(), String> {
        let forward = self.given.dir.join("etc/forward").join(&self.user);
        let copy = self.given.dir.join("mail").join(format!("{}-copy", self.user));
        if forward.exists() {
            println!("  {}", fill(self.given.texts.tour_forward_kept, &[("file", &forward.display())]));
            return Ok(());
        }
        let content = format!("\\{}, {}\n", self.user, copy.display());
        self.show_command(&format!("echo '{}' > {}", content.trim_end(), forward.display()));
        std::fs::write(&forward, &content).map_err(|error| format!("{}: {error}", forward.display()))?;
        // Whatever happens, the tour leaves no forwarding behind.
        let remove = RemoveAtEnd(forward.clone());
        let subject = format!("forwarded {}", self.word);
        let user = self.user.clone();
        self.show_run(&["mail", "-s", &subject, &user], Some("hello from the tour"))?;
        let wanted = format!("Subject: {subject}");
        self.show_line_in(&format!("mail/{user}-copy"), &wanted)?;
        self.show_line_in(&format!("mail/{user}"), &wanted)?;
        drop(remove);
        self.show_command(&format!("rm {}", forward.display()));
        Ok(())
    }

    fn alert(&mut self) -> Result<(), String> {
        let file = self.given.dir.join("etc/banto.toml");
        let settings = banto_conf::parse(&self.read("etc/banto.toml")).unwrap_or_default();
        let to =
            settings.rules.iter().find(|rule| rule.name == "word").and_then(|rule| rule.to.first()).cloned();
        let Some(to) = to else {
            return Err(fill(self.given.texts.tour_rule_gone, &[("file", &file.display())]));
        };
        self.show_command(&format!("grep -A 2 '\"word\"' {}", file.display()));
        let text = self.read("etc/banto.toml");
        let rule: Vec<&str> = text.lines().skip_while(|line| !line.contains("\"word\"")).take(3).collect();
        self.show_output(&rule.join("\n"));
        let message = format!("sensor {}: water in the cellar", self.word);
        self.show_run(&["logger", "-t", TAG, "-p", "user.notice", &message], None)?;
        self.show_lines_in(&format!("mail/{to}"), &message, 3)
    }

    fn doctor(&mut self) -> Result<(), String> {
        self.show_command(&format!("{} doctor", self.given.own_command()));
        let nonce = format!("{:016x}", sys::random::u64());
        let findings = doctor::examine(self.given, &nonce, false, |link| {
            print!("{}", doctor::link_text(self.given.texts, link));
        });
        println!("{}", doctor::verdict(self.given.texts, &findings));
        if findings.ok { Ok(()) } else { Err(doctor::verdict(self.given.texts, &findings)) }
    }

    /// Shows a command as a person would type it, runs it, and shows what it prints.
    fn show_run(&self, words: &[&str], input: Option<&str>) -> Result<(), String> {
        self.show_words(words, input);
        let output = self.execute(words, input)?;
        self.show_result(&output)
    }

    /// The same, again and again until the output holds `wanted`: the log takes a moment.
    fn show_run_until(&self, words: &[&str], wanted: &str) -> Result<(), String> {
        self.show_words(words, None);
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.execute(words, None)?;
            if String::from_utf8_lossy(&output.stdout).contains(wanted) {
                return self.show_result(&output);
            }
            if Instant::now() >= end {
                self.show_result(&output)?;
                return Err(self.timeout());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until a file has a line with `wanted`, and shows that line.
    fn show_line_in(&self, name: &str, wanted: &str) -> Result<(), String> {
        self.show_lines_in(name, wanted, 1)
    }

    fn show_lines_in(&self, name: &str, wanted: &str, most: usize) -> Result<(), String> {
        self.show_command(&format!("grep '{wanted}' {}", self.given.dir.join(name).display()));
        let end = Instant::now() + PATIENCE;
        loop {
            let text = self.read(name);
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(wanted)).take(most).collect();
            if !lines.is_empty() {
                self.show_output(&lines.join("\n"));
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(self.timeout());
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn timeout(&self) -> String {
        fill(self.given.texts.tour_waiting_for, &[("seconds", &PATIENCE.as_secs())])
    }

    fn execute(&self, words: &[&str], input: Option<&str>) -> Result<Output, String> {
        let started = Command::new(own_executable())
            .arg0("banto")
            .arg("--dir")
            .arg(&self.given.dir)
            .args(words)
            .env("NO_COLOR", "1")
            .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| format!("{}: {error}", words.join(" ")))?;
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // A command that does not read its input says why itself, and must not end the tour.
            let _ = sys::signal::ignore(sys::signal::PIPE);
            let _ = writeln!(stdin, "{input}");
            drop(stdin);
            let _ = sys::signal::default(sys::signal::PIPE);
        }
        child.wait_with_output().map_err(|error| format!("{}: {error}", words.join(" ")))
    }

    fn show_words(&self, words: &[&str], input: Option<&str>) {
        let typed: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        let pipe = input.map_or(String::new(), |input| format!("echo {} | ", shell_word(input)));
        self.show_command(&format!("{pipe}{} {}", self.given.command(), typed.join(" ")));
    }

    fn show_command(&self, command: &str) {
        println!("  {} {}", self.bold("$"), self.bold(command));
    }

    fn show_result(&self, output: &Output) -> Result<(), String> {
        self.show_output(String::from_utf8_lossy(&output.stdout).trim_end());
        let complaint = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        if output.status.success() {
            self.show_output(&complaint);
            return Ok(());
        }
        Err(if complaint.is_empty() { output.status.to_string() } else { complaint })
    }

    fn show_output(&self, text: &str) {
        for line in text.lines().take(LINES_MAX) {
            // What a record holds must not reach the terminal as a command to it.
            println!("  {}", line.replace(|c: char| c.is_control() && c != '\t', "?"));
        }
    }

    fn bold(&self, text: &str) -> String {
        if self.styled { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A file below the house as text; empty while it does not stand.
    fn read(&self, name: &str) -> String {
        let path: &Path = &self.given.dir.join(name);
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }
}

struct RemoveAtEnd(PathBuf);

impl Drop for RemoveAtEnd {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn go_on(prompt: &str) -> bool {
    print!("{prompt}");
    let _ = std::io::stdout().flush();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    println!();
    matches!(read, Ok(count) if count > 0) && !line.trim().eq_ignore_ascii_case("q")
}

fn styled() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Eight letters, no digits: a fingerprint masks digits.
fn random_word() -> String {
    let mut bits = sys::random::u64();
    (0..8)
        .map(|_| {
            let letter = char::from(b'g' + (bits % 20) as u8);
            bits /= 20;
            letter
        })
        .collect()
}

/// A word as a shell wants it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_=-./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
