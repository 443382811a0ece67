//! The vocabulary of a log record: priority, timestamps, clock quality, fields.
#![forbid(unsafe_code)]
