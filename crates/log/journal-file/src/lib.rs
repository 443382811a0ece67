//! The journal file format over a Storage trait.
#![forbid(unsafe_code)]
