//! Running a step and saying what it does.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Says a line that stands out from what the tools print.
pub fn say(line: &str) {
    println!("xtask: {line}");
}

/// Runs a command in `root` with its output shown; true when it succeeded.
pub fn run(root: &Path, name: &str, command: &mut Command) -> bool {
    let start = Instant::now();
    say(name);
    let ok = match command.current_dir(root).status() {
        Ok(status) => status.success(),
        Err(error) => {
            say(&format!("{command:?} cannot be started: {error}"));
            false
        }
    };
    say(&format!("{name}: {} in {:.0} s", if ok { "ok" } else { "FAILED" }, start.elapsed().as_secs_f64()));
    ok
}

/// Cargo, as the one that runs us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
