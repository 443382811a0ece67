//! The `chronyc` command as an executable of its own.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    chronyc::run(&layout::Call::from_env("chronyc"))
}
