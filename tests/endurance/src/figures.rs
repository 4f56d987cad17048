//! What a run tried and found, as lines for whoever runs it.

use std::fmt;

/// The figures of a run.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    what: String,
    said: Vec<String>,
    /// What broke a promise.
    pub broken: Vec<String>,
}

impl Figures {
    /// None yet.
    #[must_use]
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), ..Self::default() }
    }

    /// Adds a figure.
    pub fn say(&mut self, figure: impl fmt::Display) {
        self.said.push(figure.to_string());
    }

    /// Counts a broken promise.
    pub fn bad(&mut self, why: impl fmt::Display) {
        self.broken.push(why.to_string());
    }

    /// A promise: broken unless `holds`.
    pub fn expect(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(why());
        }
    }

    /// Fails where a promise was broken.
    ///
    /// # Panics
    /// With what it found.
    #[track_caller]
    pub fn assert_good(&self) {
        assert!(self.broken.is_empty(), "{self}\n{}", self.broken.join("\n"));
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; broken {}", self.what, self.said.join(", "), self.broken.len())
    }
}
