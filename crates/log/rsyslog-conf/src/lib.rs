//! Rsyslog.conf and journald.conf text to typed settings.
#![forbid(unsafe_code)]
