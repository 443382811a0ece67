//! The separate executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    mail::run(&layout::Call::from_env("mail"))
}
