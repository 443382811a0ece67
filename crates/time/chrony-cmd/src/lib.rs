//! The chronyc/chronyd command protocol, both ends.
#![forbid(unsafe_code)]
