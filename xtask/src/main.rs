//! The project's own automation: `cargo xtask test | tidy | bench`.
//!
//! For: developers and CI. Style checks are tests, and automation is Rust, so that one toolchain does everything.
//!
//! Always: a step that cannot run says so loudly and is counted as skipped; the exit code is 0 only when nothing failed.
//!
//! Never: it starts a system service, sets a clock, or changes a file of the checkout.
#![forbid(unsafe_code)]

mod bench;
mod packages;
mod step;
mod tests;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
cargo xtask test          format, lints, house rules, all tests; ends with `N passed, N failed, N skipped`
cargo xtask tidy          the house rules alone
cargo xtask packages      install Debian's programs that the tests compare with (as root), none started as a service
cargo xtask bench NAME    measure ours and the stock program in one run: first-light [--quick] [--only syslog,journal,smtp,house],
                          or the clock discipline beside chrony's figures: time [--json] [--each]
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => exit(tests::run_all(&root())),
        ["tidy"] => {
            let findings = tidy::findings(&root());
            for finding in &findings {
                eprintln!("tidy: {finding}");
            }
            println!("tidy: {} findings", findings.len());
            exit(findings.is_empty())
        }
        ["packages"] => {
            let missing = packages::install();
            for package in &missing {
                eprintln!("not installed: {package}");
            }
            exit(missing.is_empty())
        }
        ["bench", name, rest @ ..] => bench::run(&root(), name, rest),
        ["help" | "-h" | "--help"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        other => {
            if !other.is_empty() {
                eprintln!("xtask: unknown words: {}\n", other.join(" "));
            }
            eprint!("{HELP}");
            ExitCode::FAILURE
        }
    }
}

fn exit(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the checkout: this package's own folder is `ROOT/xtask`.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}
