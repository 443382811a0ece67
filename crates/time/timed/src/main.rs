//! The time daemon as an executable of its own.
#![forbid(unsafe_code)]
fn main() -> std::process::ExitCode {
    timed::run(&layout::Call::from_env("chronyd"))
}
