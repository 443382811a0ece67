//! Sample filter, source selection, combining and clock discipline, without I/O.
#![forbid(unsafe_code)]
