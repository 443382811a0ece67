//! A daemon's own typed events, rendered to text and to journal fields.
#![forbid(unsafe_code)]
