//! The separate executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    sendmail::run(&layout::Call::from_env("sendmail"))
}
