//! Compiled rules, templates, rate limits and queues, without I/O.
#![forbid(unsafe_code)]
