//! SMTP server and client machines, without I/O.
#![forbid(unsafe_code)]
