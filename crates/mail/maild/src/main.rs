//! The mail daemon's executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    maild::run(&layout::Call::from_env("maild"))
}
