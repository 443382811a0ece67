//! The project's own automation.
#![forbid(unsafe_code)]

fn main() {}
