//! The load generators that the benchmarks use.
#![forbid(unsafe_code)]
