//! Where files stand: the installed system or one house directory; how a command was called.
#![forbid(unsafe_code)]
