//! Follows the journal and turns records that matter into mail.
#![forbid(unsafe_code)]
