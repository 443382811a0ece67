//! Conditions: what a rule asks of a message.

use memchr::memmem;

use crate::{Comparison, Expression, MessageView, Pattern, Property, Selector};

/// A compiled condition.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Holds for every message, or for none.
    Constant(bool),
    /// By facility and severity.
    Priority(Selector),
    /// By one property.
    Property(PropertyFilter),
    /// Not.
    Not(Box<Condition>),
    /// All of them, asked from the left.
    All(Vec<Condition>),
    /// Any of them, asked from the left.
    Any(Vec<Condition>),
    /// A comparison of two computed values; with several on the right side, whether any of them compares so (for
    /// [`Comparison::NotEqual`]: whether all do).
    Compare {
        /// The left value.
        left: Expression,
        /// How.
        comparison: Comparison,
        /// The right values.
        right: Vec<Expression>,
    },
    /// A regular expression on a computed value.
    Match {
        /// The value.
        value: Expression,
        /// The pattern.
        pattern: Pattern,
    },
    /// A value as a truth: a number other than 0.
    Truth(Expression),
}

impl Condition {
    /// Whether it holds for `message`. `scratch` is room for properties that must be made.
    #[inline]
    pub fn holds(&self, message: &MessageView<'_>, scratch: &mut Vec<u8>) -> bool {
        match self {
            Condition::Constant(holds) => *holds,
            Condition::Priority(selector) => selector.matches(message.pri),
            Condition::Property(filter) => filter.matches(message, scratch),
            Condition::Not(inner) => !inner.holds(message, scratch),
            Condition::All(parts) => parts.iter().all(|part| part.holds(message, scratch)),
            Condition::Any(parts) => parts.iter().any(|part| part.holds(message, scratch)),
            Condition::Compare { left, comparison, right } => {
                let left = left.value(message);
                let mut compares = right.iter().map(|right| comparison.holds(&left, &right.value(message)));
                match comparison {
                    Comparison::NotEqual => compares.all(|holds| holds),
                    _ => compares.any(|holds| holds),
                }
            }
            Condition::Match { value, pattern } => pattern.is_match(&value.value(message).into_text()),
            Condition::Truth(value) => value.value(message).truth(),
        }
    }
}

/// `:property, [!]test, "value"`.
#[derive(Debug, Clone)]
pub struct PropertyFilter {
    /// What is looked at.
    pub property: Property,
    /// The test must fail.
    pub negated: bool,
    /// The test.
    pub test: Test,
}

/// What is asked of a property.
#[derive(Debug, Clone)]
pub enum Test {
    /// The text stands in it.
    Contains(Box<memmem::Finder<'static>>),
    /// The text, given in lower case, stands in it in any case.
    ContainsIgnoringCase(Vec<u8>),
    /// It is the text.
    IsEqual(Vec<u8>),
    /// It begins with the text.
    StartsWith(Vec<u8>),
    /// It ends with the text.
    EndsWith(Vec<u8>),
    /// The pattern matches in it.
    Matches(Pattern),
    /// It has no bytes.
    IsEmpty,
}

impl Test {
    /// The text stands in it.
    pub fn contains(text: &[u8]) -> Self {
        Test::Contains(Box::new(memmem::Finder::new(text).into_owned()))
    }

    /// The text stands in it in any case of ASCII letters.
    pub fn contains_ignoring_case(text: &[u8]) -> Self {
        Test::ContainsIgnoringCase(text.to_ascii_lowercase())
    }

    /// Whether `value` passes.
    pub fn passes(&self, value: &[u8]) -> bool {
        match self {
            Test::Contains(finder) => finder.find(value).is_some(),
            Test::ContainsIgnoringCase(text) => contains_ignoring_case(value, text),
            Test::IsEqual(text) => value == text.as_slice(),
            Test::StartsWith(text) => value.starts_with(text),
            Test::EndsWith(text) => value.ends_with(text),
            Test::Matches(pattern) => pattern.is_match(value),
            Test::IsEmpty => value.is_empty(),
        }
    }
}

impl PropertyFilter {
    /// Whether `message` passes.
    #[inline]
    pub fn matches(&self, message: &MessageView<'_>, scratch: &mut Vec<u8>) -> bool {
        self.test.passes(self.property.text(message, scratch)) != self.negated
    }
}

/// Whether `lower` (in lower case) stands in `text` in any case.
pub(crate) fn contains_ignoring_case(text: &[u8], lower: &[u8]) -> bool {
    let Some((first, _)) = lower.split_first() else { return true };
    let upper = first.to_ascii_uppercase();
    memchr::memchr2_iter(*first, upper, text)
        .any(|at| text.get(at..at + lower.len()).is_some_and(|window| window.eq_ignore_ascii_case(lower)))
}
