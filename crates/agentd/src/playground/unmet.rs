//! What was expected of a step, and what was seen instead.

use std::fmt;

/// A step that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmet {
    expected: String,
    seen: String,
}

impl Unmet {
    pub(super) fn new(expected: impl fmt::Display, seen: impl fmt::Display) -> Self {
        Self { expected: expected.to_string(), seen: seen.to_string() }
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected: {}; seen: {}", self.expected, self.seen)
    }
}
