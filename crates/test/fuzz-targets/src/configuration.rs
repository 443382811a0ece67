//! Configuration languages.
