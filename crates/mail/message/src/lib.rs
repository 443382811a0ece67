//! RFC 5322 and MIME reading and building, delivery reports.
#![forbid(unsafe_code)]
