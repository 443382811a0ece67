//! What we read and do not act on yet, by name. Whoever builds a feature removes its line here: from then on its
//! configuration is taken without a word.

/// Directives, with what we do instead. A line with one of them is read (a mistake in it is an error), and a warning says
/// that it has no effect: a configuration that works with chrony works here, and its author knows what is different.
pub(crate) const NOT_ACTED_ON: &[(&str, &str)] = &[];

/// Options of `server`, `pool` and `peer` without which a source is measured as well.
pub(crate) const OPTIONS_NOT_ACTED_ON: &[&str] = &[];

/// Options of sources without which going on would be less than was asked for, and why.
pub(crate) const OPTIONS_REFUSED: &[(&str, &str)] = &[];

/// Options of `local`, with what holds instead.
pub(crate) const LOCAL_NOT_ACTED_ON: &[(&str, &str)] = &[];

/// Log files that are not written, with what is there in their place.
pub(crate) const LOGS_NOT_WRITTEN: &[(&str, &str)] = &[];

/// Directives that chrony itself gave up: it warns, and so do we.
pub(crate) const OBSOLETE: &[&str] =
    &["commandkey", "dumponexit", "generatecommandkey", "linux_freq_scale", "linux_hz"];
