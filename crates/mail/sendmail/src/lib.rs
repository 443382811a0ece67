//! The sendmail command and its other names.
#![forbid(unsafe_code)]
