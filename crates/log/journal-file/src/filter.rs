//! Match expressions, as `journalctl FIELD=value ...` builds them: values of one field are alternatives, fields must all
//! match, `+` separates alternatives, and several such groups must all match.

use std::ops::ControlFlow;

use crate::ReadError;
use crate::format::field_name_valid;
use crate::reader::JournalFile;

/// Which entries are wanted; the empty filter wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// All groups must match; of a group one alternative.
    groups: Vec<Vec<Vec<Term>>>,
    /// A new group, a new alternative begins with the next match.
    new_group: bool,
    new_alternative: bool,
}

/// A field and its wanted payloads `NAME=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    name_len: usize,
    payloads: Vec<Vec<u8>>,
}

/// The text is no match: it lacks the `=` or has a bad name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError(pub String);

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is no match: it looks like FIELD=value, the field in A-Z, 0-9 and _", self.0)
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// A filter that wants everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// It wants everything.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Adds `FIELD=value` to the present alternative: one more value of the field, or one more condition.
    pub fn add(&mut self, payload: impl Into<Vec<u8>>) -> Result<(), FilterError> {
        let payload = payload.into();
        let name_len = payload.iter().position(|byte| *byte == b'=');
        let Some(name_len) = name_len.filter(|len| field_name_valid(&payload[..*len])) else {
            return Err(FilterError(String::from_utf8_lossy(&payload).into_owned()));
        };
        if std::mem::take(&mut self.new_group) || self.groups.is_empty() {
            self.groups.push(Vec::new());
            self.new_alternative = true;
        }
        let Some(group) = self.groups.last_mut() else { return Ok(()) };
        if std::mem::take(&mut self.new_alternative) || group.is_empty() {
            group.push(Vec::new());
        }
        let Some(terms) = group.last_mut() else { return Ok(()) };
        let same = |term: &&mut Term| {
            term.payloads.iter().all(|known| known[..=term.name_len] == payload[..=name_len])
        };
        match terms.iter_mut().filter(|term| term.name_len == name_len).find(same) {
            Some(term) => term.payloads.push(payload),
            None => terms.push(Term { name_len, payloads: vec![payload] }),
        }
        Ok(())
    }

    /// What follows is an alternative to what stands since the last group (`+`).
    pub fn or(&mut self) {
        self.new_alternative = true;
    }

    /// What follows must match too.
    pub fn and(&mut self) {
        self.new_group = true;
    }

    /// Offsets of the entries of `file` that match, ascending; damaged chains give what is sound before the damage.
    pub(crate) fn offsets(&self, file: &mut JournalFile) -> Result<Vec<u64>, ReadError> {
        let mut all: Option<Vec<u64>> = None;
        for group in &self.groups {
            let mut any = Vec::new();
            for terms in group {
                any = union(any, matching_all(terms, file)?);
            }
            all = Some(match all {
                Some(before) => intersection(&before, &any),
                None => any,
            });
        }
        Ok(all.unwrap_or_default())
    }

    /// Whether the entry at `offset` matches, judged by its fields.
    pub(crate) fn matches(&self, file: &mut JournalFile, offset: u64) -> Result<bool, ReadError> {
        let mut payloads = Vec::new();
        file.for_each_field(offset, |payload| {
            payloads.push(payload.to_vec());
            ControlFlow::Continue(())
        })?;
        let term_matches = |term: &Term| term.payloads.iter().any(|wanted| payloads.contains(wanted));
        let group_matches = |group: &Vec<Vec<Term>>| group.iter().any(|terms| terms.iter().all(term_matches));
        Ok(self.groups.iter().all(group_matches))
    }
}

fn matching_all(terms: &[Term], file: &mut JournalFile) -> Result<Vec<u64>, ReadError> {
    let mut all: Option<Vec<u64>> = None;
    for term in terms {
        let mut any = Vec::new();
        for payload in &term.payloads {
            if let Some(data) = file.find_data(payload)? {
                any = union(any, file.data_entries(data)?);
            }
        }
        all = Some(match all {
            Some(before) => intersection(&before, &any),
            None => any,
        });
        if all.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    Ok(all.unwrap_or_default())
}

fn union(a: Vec<u64>, b: Vec<u64>) -> Vec<u64> {
    if a.is_empty() {
        return b;
    }
    if b.is_empty() {
        return a;
    }
    let mut both = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.into_iter().peekable(), b.into_iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next()
            }
            (Some(x), Some(y)) if x < y => a.next(),
            (Some(_), None) => a.next(),
            _ => b.next(),
        };
        match next {
            Some(offset) => both.push(offset),
            None => return both,
        }
    }
}

fn intersection(a: &[u64], b: &[u64]) -> Vec<u64> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long;
    let mut both = Vec::new();
    for offset in short {
        // Gallop: the lists may differ in length by thousands.
        let mut step = 1;
        while step < rest.len() && rest[step] < *offset {
            step *= 2;
        }
        let at = rest[..rest.len().min(step + 1)].partition_point(|other| other < offset);
        rest = &rest[at..];
        if rest.first() == Some(offset) {
            both.push(*offset);
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: set operations on sorted lists, and what is no match is refused.
    #[test]
    fn sets_and_refusals() {
        assert_eq!(union(vec![1, 3, 5], vec![2, 3, 9]), [1, 2, 3, 5, 9]);
        assert_eq!(
            intersection(&[1, 3, 5, 900], &(0..1000).filter(|n| n % 3 == 0).collect::<Vec<_>>()),
            [3, 900]
        );
        for bad in ["FOO", "=x", "foo=1", "1A=2", ""] {
            assert!(Filter::new().add(bad).is_err(), "{bad}");
        }
    }
}
