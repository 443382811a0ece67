//! The only crate with unsafe code: safe wrappers over libc.
