//! Addresses, aliases, .forward, routing, retry and the life of a queued message, without I/O.
#![forbid(unsafe_code)]
