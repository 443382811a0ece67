//! The `systemd-cat` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    systemd_cat::run(&layout::Call::from_env("systemd-cat"))
}
