//! The shape of a directive as a value, and the tables together as documentation.

use conf_text::Spanned;

use crate::values::Taken;
use crate::{actions, inputs, journald, legacy, objects, queues};

/// A directive or a parameter: everything that is known about it.
pub(crate) struct Entry<T: 'static> {
    /// As it is written; compared without case.
    pub name: &'static str,
    /// What may stand as its value.
    pub syntax: &'static str,
    /// What holds where it does not stand.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Takes a value.
    pub set: fn(&mut T, &Spanned<String>) -> Taken<()>,
}

/// Makes an [`Entry`].
pub(crate) const fn entry<T>(
    name: &'static str,
    syntax: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut T, &Spanned<String>) -> Taken<()>,
) -> Entry<T> {
    Entry { name, syntax, default, doc, set }
}

/// The entry of a name.
pub(crate) fn find<'t, T>(tables: &[&'t [Entry<T>]], name: &str) -> Option<&'t Entry<T>> {
    tables.iter().flat_map(|table| table.iter()).find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// Whether a list of names that are not supported yet holds one; a `*` at the end of a listed name stands for any rest.
pub(crate) fn is_listed(list: &[&str], name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    list.iter().any(|known| {
        let known = known.to_ascii_lowercase();
        match known.strip_suffix('*') {
            Some(head) => name.starts_with(head),
            None => name == known,
        }
    })
}

/// What the manual says about one directive or parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Documented {
    /// Where it may stand: `$`, `global()`, `action()`, `input(imudp)`, `[Journal]`, ...
    pub place: &'static str,
    /// As it is written.
    pub name: &'static str,
    /// What may stand as its value.
    pub syntax: &'static str,
    /// What holds where it does not stand.
    pub default: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// Every directive and parameter of `rsyslog.conf` that is supported.
pub fn documented_rsyslog() -> Vec<Documented> {
    let mut all = document("$", legacy::DIRECTIVES);
    all.extend(document("global()", objects::GLOBALS));
    all.extend(document("action()", actions::COMMON));
    all.extend(document("action(omfile)", actions::FILE));
    all.extend(document("action(omfwd)", actions::FORWARD));
    all.extend(document("action(omusrmsg)", actions::USERS));
    all.extend(document("action(ompipe)", actions::PIPE));
    all.extend(document("queue", queues::PARAMETERS));
    for module in inputs::MODULES {
        all.extend(document(module.name, module.input_parameters));
        all.extend(document(module.name, module.module_parameters));
    }
    all
}

/// Every setting of `journald.conf` that is supported.
pub fn documented_journald() -> Vec<Documented> {
    document("[Journal]", journald::SETTINGS)
}

fn document<T>(place: &'static str, table: &[Entry<T>]) -> Vec<Documented> {
    let documented = |entry: &Entry<T>| Documented {
        place,
        name: entry.name,
        syntax: entry.syntax,
        default: entry.default,
        doc: entry.doc,
    };
    table.iter().map(documented).collect()
}
