//! The `banto` executable.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    banto::main()
}
