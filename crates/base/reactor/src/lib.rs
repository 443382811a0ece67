//! A small poll(2) loop: descriptors, timers, signals.
#![forbid(unsafe_code)]
