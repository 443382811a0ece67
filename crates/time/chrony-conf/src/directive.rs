//! The table of directives: each with its name, syntax, default, meaning, how it is read and how it is shown.

use crate::settings::Settings;
use crate::words::Words;

#[macro_use]
mod form;
mod clock;
mod nts;
mod process;
mod refclock;
mod server;
mod sources;

pub(crate) use process::log_field;
pub use server::leading_octets;
pub(crate) use server::rule_arguments;

/// One directive.
#[derive(Clone, Copy)]
pub struct Directive {
    /// Its word; written in any case.
    pub name: &'static str,
    /// The whole line.
    pub syntax: &'static str,
    /// A line that makes sense, to paste.
    pub example: &'static str,
    /// What holds without it.
    pub default: &'static str,
    /// What it is for.
    pub doc: &'static str,
    pub(crate) does: Does,
}

/// What a directive does.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// It sets something.
    Set { parse: fn(&mut Words<'_, '_>, &mut Settings) -> Option<()>, show: fn(&Settings) -> Vec<String> },
    /// It reads the files of a pattern.
    Include,
    /// It reads the `*.conf` files of folders.
    ConfDir,
}

impl Directive {
    /// The words after the name, once for each line that the settings need.
    pub(crate) fn arguments(&self, settings: &Settings) -> Vec<String> {
        match self.does {
            Does::Set { show, .. } => show(settings),
            Does::Include | Does::ConfDir => Vec::new(),
        }
    }
}

const GROUPS: &[&[Directive]] =
    &[sources::SOURCES, refclock::REFCLOCK, clock::CLOCK, server::SERVER, nts::NTS, process::PROCESS];

/// Every directive of chrony 4.8, in the order in which `-p` shows them. Which of them the daemon does not act on yet
/// stands in `known.rs`.
pub const DIRECTIVES: &[Directive] = &joined::<{ count() }>();

// Indexing happens at compile time, where it cannot panic at run time, and a const function has no iterators.
#[allow(clippy::indexing_slicing)]
const fn count() -> usize {
    let (mut total, mut group) = (0, 0);
    while group < GROUPS.len() {
        total += GROUPS[group].len();
        group += 1;
    }
    total
}

// As in `count`.
#[allow(clippy::indexing_slicing)]
const fn joined<const COUNT: usize>() -> [Directive; COUNT] {
    let mut all = [GROUPS[0][0]; COUNT];
    let (mut next, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            all[next] = GROUPS[group][index];
            next += 1;
            index += 1;
        }
        group += 1;
    }
    all
}
