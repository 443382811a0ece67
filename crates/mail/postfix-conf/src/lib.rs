//! `main.cf`, `master.cf` and the map types that `alias_maps` may name: text to typed settings.
//!
//! For: maild, the sendmail command (`-bi`, where mail may be dropped) and `banto check`.
//!
//! Always: every mistake is reported, with file, line, caret and a help line; a parameter that postfix knows and we do not
//! support is a warning by name; settings exist only where there was no error.
//!
//! Never: it opens no file (a [`conf_text::Loader`] does), resolves no name and knows nothing of how mail is moved.
//!
//! # Unknown parameters
//!
//! postfix lets an administrator define parameters of their own and use them as `$name`. So: a parameter that is used by
//! another is never complained about; an unknown one that nobody uses is an error where it is close to a known name (it
//! looks like a typing mistake), else a warning.
//!
//! # Alias tables
//!
//! `hash:`, `lmdb:`, `btree:`, `cdb:`, `dbm:` and `texthash:` all read the *source text* of the table: there is no second
//! copy that can be out of date. A changed file counts as soon as it stands there without mistakes. `newaliases` checks it,
//! counts it and tells the daemon.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod accepted;
mod defaults;
mod expand;
mod main_cf;
mod master_cf;
mod parameters;
mod settings;

pub use defaults::{default_aliases, default_main_cf};
pub use expand::expand_local;
pub use main_cf::{Host, Loaded, Settings, load, read};
pub use parameters::{PARAMETERS, Parameter};
pub use settings::{BareNewline, Cidr, ListenAddress};

use std::path::PathBuf;

/// Where `main.cf` stands.
pub fn conf_path(layout: &layout::Layout) -> PathBuf {
    layout.place("etc/main.cf", "/etc/postfix/main.cf")
}

/// Where `master.cf` stands.
pub fn master_path(layout: &layout::Layout) -> PathBuf {
    layout.place("etc/master.cf", "/etc/postfix/master.cf")
}
