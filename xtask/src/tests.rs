//! `cargo xtask test`: everything that must hold before a change lands.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::step::{cargo, run, say};
use crate::{packages, tidy};

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Count {
    fn step(&mut self, ok: bool) {
        if ok { self.passed += 1 } else { self.failed += 1 }
    }

    fn add(&mut self, other: Count) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// Runs everything and ends with the line `N passed, N failed, N skipped`.
pub fn run_all(root: &Path) -> bool {
    let mut count = Count::default();
    for package in packages::install() {
        say(&format!("SKIPPED: the tests that compare with {package}: it is not installed"));
    }
    count.step(run(root, "format", cargo().args(["fmt", "--all", "--check"])));
    let lints = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    count.step(run(root, "lints", cargo().args(lints)));
    let findings = tidy::findings(root);
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    say(&format!("house rules: {} findings", findings.len()));
    count.step(findings.is_empty());
    // The compliance tests start the programs, so these are built first.
    let built = run(root, "build", cargo().args(["build", "--workspace", "--quiet"]));
    count.step(built);
    if built {
        count.add(all_tests(root));
    }
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    count.failed == 0
}

/// All tests of the workspace, by nextest where it is installed, else by cargo itself.
fn all_tests(root: &Path) -> Count {
    let skips = root.join("target/skips");
    let _ = std::fs::remove_file(&skips);
    let nextest = cargo().args(["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut command = cargo();
    if nextest {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"]);
        command.args(["--final-status-level", "slow", "--hide-progress-bar"]);
    } else {
        say("cargo-nextest is not installed: using cargo test");
        command.args(["test", "--workspace", "--no-fail-fast"]);
    }
    // No test may reach the clock of this machine, whatever it does wrong.
    command.current_dir(root).env("BANTO_SKIPS", &skips).env("BANTO_CLOCK_READ_ONLY", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    say("tests");
    let (lines, ok) = match watched(&mut command) {
        Ok(result) => result,
        Err(error) => {
            say(&format!("the tests cannot be started: {error}"));
            return Count { failed: 1, ..Count::default() };
        }
    };
    let mut count = if nextest { count_nextest(&lines) } else { count_cargo_test(&lines) };
    if !ok && count.failed == 0 {
        say("the test runner failed without naming a test");
        count.failed = 1;
    }
    // A test that skipped itself has passed for its runner: it is counted where it belongs, once each.
    let said = std::fs::read_to_string(&skips).unwrap_or_default();
    let mut names: Vec<&str> = said.lines().collect();
    names.sort_unstable();
    names.dedup();
    for line in &names {
        say(line);
    }
    count.passed = count.passed.saturating_sub(names.len());
    count.skipped += names.len();
    count
}

/// Runs a command, shows what it prints and keeps it; the lines and whether it succeeded.
fn watched(command: &mut Command) -> std::io::Result<(Vec<String>, bool)> {
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    let reader = std::thread::spawn(move || errors.map(show).unwrap_or_default());
    let mut lines = child.stdout.take().map(show).unwrap_or_default();
    lines.extend(reader.join().unwrap_or_default());
    Ok((lines, child.wait()?.success()))
}

fn show(stream: impl std::io::Read) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let _ = writeln!(std::io::stdout(), "{line}");
        lines.push(line);
    }
    lines
}

/// The counts of nextest's line `Summary [ 1.2s] 10 tests run: 9 passed (1 slow), 1 failed, 2 skipped`.
fn count_nextest(lines: &[String]) -> Count {
    let summary = lines.iter().rev().find(|line| line.contains("tests run:") || line.contains("test run:"));
    let Some(summary) = summary else { return Count::default() };
    let after = summary.split("run:").nth(1).unwrap_or("");
    Count {
        passed: number_before(after, " passed"),
        failed: number_before(after, " failed")
            + number_before(after, " timed out")
            + number_before(after, " exec failed"),
        skipped: number_before(after, " skipped"),
    }
}

/// The counts of all of cargo's lines `test result: ok. 9 passed; 1 failed; 2 ignored; ...`.
fn count_cargo_test(lines: &[String]) -> Count {
    let mut count = Count::default();
    for line in lines.iter().filter(|line| line.starts_with("test result:")) {
        count.add(Count {
            passed: number_before(line, " passed"),
            failed: number_before(line, " failed"),
            skipped: number_before(line, " ignored"),
        });
    }
    count
}

/// The number that stands right before `word`; 0 when the word is not there.
fn number_before(text: &str, word: &str) -> usize {
    let Some(at) = text.find(word) else { return 0 };
    let digits: String = text[..at].chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap_or(0)
}

#[cfg(test)]
mod checks {
    use super::*;

    /// Goal: the closing line counts what the runners counted.
    #[test]
    fn the_runners_closing_lines_are_read() {
        let nextest =
            ["     Summary [   2.1s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped".to_owned()];
        assert_eq!(count_nextest(&nextest), Count { passed: 10, failed: 2, skipped: 3 });
        let cargo = [
            "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out".to_owned(),
            "noise".to_owned(),
            "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out".to_owned(),
        ];
        assert_eq!(count_cargo_test(&cargo), Count { passed: 11, failed: 2, skipped: 1 });
    }
}
