//! The queue: an append-only log over a Storage trait.
#![forbid(unsafe_code)]
