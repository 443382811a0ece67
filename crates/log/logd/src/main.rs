//! The log daemon's executable: `logd`, or `rsyslogd` or `journald` by the name of a link.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    logd::run(&layout::Call::from_env("logd"))
}
