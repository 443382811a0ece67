//! Chrony.conf text to typed settings.
#![forbid(unsafe_code)]
