//! A seeded clock, network and crash-disk under all cores together.
#![forbid(unsafe_code)]
