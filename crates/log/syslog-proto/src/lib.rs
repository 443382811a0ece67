//! Syslog, journal and RELP protocols, without I/O.
#![forbid(unsafe_code)]
