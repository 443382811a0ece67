//! The numbers of the first light: three duels, the alert's way, and the house at rest; each has a bar.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::options::Options;
use super::{house, journal, smtp, syslog};
use crate::step;

/// Its parts.
pub const PARTS: &[&str] = &["syslog", "journal", "smtp", "house"];

/// Where the executables stand that are measured.
pub struct Built {
    /// The one executable.
    pub banto: PathBuf,
    /// The load generators.
    pub loadgen: PathBuf,
}

impl Built {
    /// A call of one of our programs. It cannot set the clock, and speaks English.
    pub fn ours(&self) -> Command {
        let mut command = Command::new(&self.banto);
        command.env("BANTO_CLOCK_READ_ONLY", "1").env("LC_ALL", "C");
        command
    }
}

/// A promise with a number in it.
pub struct Bar {
    /// What is promised.
    pub promise: String,
    /// What was seen; an error where it could not be measured.
    pub seen: Result<(bool, String), String>,
}

impl Bar {
    /// A promise that was measured.
    pub fn measured(promise: impl Into<String>, held: bool, seen: String) -> Self {
        Self { promise: promise.into(), seen: Ok((held, seen)) }
    }
}

/// Builds, measures and tells; true when every bar is held.
pub fn run(root: &Path, options: &Options) -> Result<bool, String> {
    let built = build(root)?;
    if options.quick {
        println!("--quick: a first look, no measurement to quote");
    }
    let mut bars = Vec::new();
    type Part = fn(&Built, &Options) -> Vec<Bar>;
    let parts: [(&str, Part); 4] =
        [("syslog", syslog::run), ("journal", journal::run), ("smtp", smtp::run), ("house", house::run)];
    for (name, part) in parts {
        if options.wants(name) {
            bars.extend(part(&built, options));
        }
    }
    Ok(tell(&bars))
}

/// Builds what is measured, and tells on what machine.
pub fn build(root: &Path) -> Result<Built, String> {
    let mut build = step::cargo();
    build.args(["build", "--release", "--package", "banto", "--package", "loadgen"]);
    if !step::run(root, "release build", &mut build) {
        return Err("the release build has failed".to_owned());
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
    let built = Built { banto: target.join("release/banto"), loadgen: target.join("release/loadgen") };
    println!("{}", machine());
    Ok(built)
}

/// Tells every bar; true when all are held.
pub fn tell(bars: &[Bar]) -> bool {
    println!();
    let mut all = true;
    for bar in bars {
        let (word, text) = match &bar.seen {
            Ok((true, text)) => ("PASS", text),
            Ok((false, text)) => ("FAIL", text),
            Err(text) => ("NOT MEASURED", text),
        };
        all &= word == "PASS";
        println!("{word}  {}: {text}", bar.promise);
    }
    all
}

/// The machine in general words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    format!(
        "{cores} cores, Linux {}, load average before {}, temporary files in {}",
        kernel.trim(),
        load.join(" "),
        std::env::temp_dir().display()
    )
}
