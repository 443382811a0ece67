//! Configuration text with spans, diagnostics with a caret and a help line.
#![forbid(unsafe_code)]
