//! NTP packets and the client and server machines, without I/O.
#![forbid(unsafe_code)]
