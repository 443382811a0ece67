//! `maxchange`: offsets that are too large to be believed.

/// `maxchange OFFSET START IGNORE`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxChange {
    /// Larger offsets are not corrected, in seconds.
    pub offset: f64,
    /// So many first updates are not looked at.
    pub start: u32,
    /// So many too large offsets are ignored before the daemon has to end; none: any number.
    pub ignore: Option<u32>,
}

/// What to do with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// To correct it.
    Allowed,
    /// To leave the clock as it is.
    Ignored,
    /// To end: no more are ignored.
    Refused,
}

/// The rule and what is left of its numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangeCheck {
    rule: Option<MaxChange>,
}

impl ChangeCheck {
    pub(crate) fn new(rule: Option<MaxChange>) -> Self {
        Self { rule }
    }

    /// Judges the offset of an update, in seconds, and counts it.
    pub(crate) fn judge(&mut self, offset: f64) -> Change {
        let Some(rule) = &mut self.rule else { return Change::Allowed };
        if rule.start > 0 {
            rule.start -= 1;
            return Change::Allowed;
        }
        if offset.abs() <= rule.offset {
            return Change::Allowed;
        }
        match &mut rule.ignore {
            None => Change::Ignored,
            Some(0) => Change::Refused,
            Some(left) => {
                *left -= 1;
                Change::Ignored
            }
        }
    }

    /// The largest offset that is allowed, in seconds.
    pub(crate) fn limit(&self) -> f64 {
        self.rule.map_or(f64::INFINITY, |rule| rule.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: the first updates may be of any size, later large ones are ignored as often as said, and then refused.
    #[test]
    fn large_offsets_are_ignored_and_then_refused() {
        let rule = MaxChange { offset: 1.0, start: 1, ignore: Some(2) };
        let mut check = ChangeCheck::new(Some(rule));
        let found: Vec<Change> = [50.0, 0.5, 2.0, -2.0, 0.1, 2.0].map(|offset| check.judge(offset)).to_vec();
        use Change::{Allowed, Ignored, Refused};
        assert_eq!(found, [Allowed, Allowed, Ignored, Ignored, Allowed, Refused]);
        let mut check = ChangeCheck::new(Some(MaxChange { ignore: None, start: 0, ..rule }));
        assert!((0..100).all(|_| check.judge(9.0) == Ignored));
        assert_eq!(ChangeCheck::new(None).judge(1e9), Allowed);
    }
}
