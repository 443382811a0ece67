//! `cargo xtask bench NAME`: ours and the stock program, measured in one run, told as ratios.

use std::path::Path;
use std::process::ExitCode;

/// Runs the benchmark called `name`.
pub fn run(_root: &Path, name: &str, _words: &[&str]) -> ExitCode {
    eprintln!("xtask bench: unknown benchmark `{name}`");
    ExitCode::FAILURE
}
