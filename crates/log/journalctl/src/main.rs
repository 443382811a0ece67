//! The `journalctl` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    journalctl::run(&layout::Call::from_env("journalctl"))
}
