//! Rotated journals, compressed: writer, reader, index.
#![forbid(unsafe_code)]
