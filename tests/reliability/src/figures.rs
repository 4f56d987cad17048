//! What a sweep tried and found, as a line for whoever runs it.

use std::fmt;

use crate::scene::Which;

/// The figures of a sweep.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    what: String,
    /// Runs with a fault.
    pub tried: usize,
    /// Those where the fault did not come to pass.
    pub missed: usize,
    /// Bundles as before.
    pub old: usize,
    /// Bundles as after.
    pub new: usize,
    /// Bundles of what could be read.
    pub between: usize,
    /// Different states left on disk, from each of which the next run was judged.
    pub states: usize,
    /// What broke a promise.
    pub broken: Vec<String>,
}

impl Figures {
    /// None yet.
    #[must_use]
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), ..Self::default() }
    }

    /// Counts a bundle that is as it may be.
    pub fn count(&mut self, which: Which) {
        match which {
            Which::Old => self.old += 1,
            Which::New => self.new += 1,
            Which::Between => self.between += 1,
        }
    }

    /// Counts a broken promise.
    pub fn bad(&mut self, why: &str) {
        self.broken.push(why.to_owned());
    }

    /// Fails where a promise was broken or the sweep proved nothing.
    ///
    /// # Panics
    /// With what it found.
    #[track_caller]
    pub fn assert_good(&self) {
        // What a run does depends a little on the time: a file written a moment ago is looked at once more.
        self.assert_good_but_for(20);
    }

    /// The same where one try in so many may miss its point.
    ///
    /// # Panics
    /// As [`Self::assert_good`].
    #[track_caller]
    pub fn assert_good_but_for(&self, one_in: usize) {
        assert!(self.broken.is_empty(), "{self}\n{}", self.broken.join("\n"));
        assert!(
            self.tried > 0 && self.missed * one_in <= self.tried,
            "too many faults did not come to pass: {self}"
        );
        assert!(self.old > 0 && self.new > 0, "a sweep sees both contents: {self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, tried, missed, old, new, between, states, broken } = self;
        write!(
            f,
            "{what}: {tried} tried, {missed} missed; bundle old {old}, new {new}, of what could be read {between}; \
             {states} states on disk; broken {}",
            broken.len()
        )
    }
}
