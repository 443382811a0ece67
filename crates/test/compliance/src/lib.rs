//! The same tests against the stock program or ours.
#![forbid(unsafe_code)]
