//! The `webd` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    webd::run(&layout::Call::from_env("webd"))
}
