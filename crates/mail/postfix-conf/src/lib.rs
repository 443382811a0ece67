//! Main.cf, master.cf, aliases and maps text to typed settings.
#![forbid(unsafe_code)]
