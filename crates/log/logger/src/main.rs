//! The `logger` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    logger::run(&layout::Call::from_env("logger"))
}
