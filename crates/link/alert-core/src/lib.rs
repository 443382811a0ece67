//! Match, fingerprint, group, throttle and digest, without I/O.
#![forbid(unsafe_code)]
