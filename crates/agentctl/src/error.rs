//! One error for the whole program: what happened, why it matters, what to do.

use std::fmt;

use crate::exit::Exit;
use crate::out::HANG;

/// Ends the program with words and a code.
#[derive(Debug)]
pub(crate) struct Error {
    /// The exit code.
    pub exit: Exit,
    /// What happened, to which thing.
    pub what: String,
    /// What to do about it; a line each.
    pub hints: Vec<String>,
}

impl Error {
    /// An error with its code.
    pub(crate) fn new(exit: Exit, what: impl fmt::Display) -> Self {
        Self { exit, what: what.to_string(), hints: Vec::new() }
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        let hint = hint.to_string();
        if !hint.is_empty() {
            self.hints.push(hint);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        for hint in &self.hints {
            write!(f, "\nhint: {HANG}{hint}")?;
        }
        Ok(())
    }
}
