//! The web page.
#![forbid(unsafe_code)]
