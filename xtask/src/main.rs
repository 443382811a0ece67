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
cargo xtask test          format, lints, house rules, all tests; ends with `N passed, N failed, N skipped` [--help]
cargo xtask tidy          the house rules alone
cargo xtask packages      install Debian's programs that the tests compare with (as root), none started as a service
cargo xtask bench NAME    measure ours and the stock program in one run: first-light [--quick] [--only syslog,journal,smtp,house],
                          or the clock discipline beside chrony's figures: time [--json] [--each]
";

const TEST_HELP: &str = "\
usage: cargo xtask test

Formats nothing and sets no clock: looks at the format, the lints (clippy) and the house rules, builds the workspace, and runs all tests, by
cargo-nextest where it is installed, else by cargo test. Ends with `N passed, N failed, N skipped`; a test that could not run says why and
is skipped. Some tests wait for real polls and timeouts: about a quarter of an hour on two cores, and
the first build on top of that.

as root on Debian    Debian's packages that are missing are installed (apt-get; none is started as a service), and more is tested:
                     stock daemons, other users, small disks, network namespaces
else                 nothing is installed, and what needs one of these is skipped

packages             {packages}

exit codes: 0 nothing failed; 1 something did, or wrong words

One crate, or one test, after `cargo build --workspace` (compliance tests start the executable from there):
  cargo test -p time-core
  cargo test -p compliance --test house
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => exit(tests::run_all(&root())),
        ["test", "help" | "-h" | "--help"] => {
            print!("{}", test_help());
            ExitCode::SUCCESS
        }
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

/// What `cargo xtask test` does, for whom, and with which packages.
fn test_help() -> String {
    TEST_HELP.replace("{packages}", &packages::names().join(" "))
}

fn exit(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The root of the checkout: this package's own folder is `ROOT/xtask`.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(PathBuf::from).unwrap_or(own)
}
