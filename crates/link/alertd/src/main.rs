//! The `alertd` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    alertd::run(&layout::Call::from_env("alertd"))
}
