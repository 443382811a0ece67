//! The clock discipline beside chrony's figures: the crate `clock-lab`, built for release and run.

use std::path::Path;

use crate::step;

/// Builds and runs it with `words`; true when every bar is held.
pub fn run(root: &Path, words: &[&str]) -> Result<bool, String> {
    let mut command = step::cargo();
    command.args(["run", "--release", "--quiet", "--package", "clock-lab", "--"]).args(words);
    let status =
        command.current_dir(root).status().map_err(|error| format!("cargo cannot be started: {error}"))?;
    Ok(status.success())
}
