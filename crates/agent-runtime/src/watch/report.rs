//! What is watched and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::escape::escaped;

/// What is watched and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchReport {
    pub(super) covered: BTreeSet<PathBuf>,
    remote: BTreeMap<PathBuf, String>,
    refusals: BTreeSet<String>,
    pub(super) layered: bool,
}

impl WatchReport {
    /// Whether some changes may come without an event, so that looking more often is worth while.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        // A layered file system tells of changes made through it, in a container that is all there are: a quicker poll
        // costs little, a complaint that nobody can do anything about costs trust. FSEvents may join events for long.
        !self.remote.is_empty() || !self.refusals.is_empty() || self.layered || cfg!(target_os = "macos")
    }

    /// How many directories are watched.
    #[must_use]
    pub fn directories(&self) -> usize {
        self.covered.len()
    }

    /// Why changes are noticed late that ought to be noticed at once, with what can be done about it.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let remote = self.remote.iter().map(|(directory, kind)| {
            format!(
                "{} is on a file system ({kind}) that does not tell of changes made elsewhere",
                escaped(directory)
            )
        });
        remote.chain(self.refusals.iter().cloned()).collect()
    }

    /// Whether a change of this file is seen at once, or its coming where it is not there.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        path.parent().is_some_and(|directory| self.covered.contains(directory))
    }

    /// A directory that is not watched for what it is on. Those above it come first and speak for it.
    pub(super) fn remote(&mut self, directory: &Path, kind: String) {
        if !self.remote.keys().any(|known| directory.starts_with(known)) {
            self.remote.insert(directory.to_owned(), kind);
        }
    }

    pub(super) fn refused(&mut self, at: &Path, serves: &[PathBuf], refusal: &Refusal) {
        for directory in serves {
            self.covered.remove(directory);
        }
        match refusal {
            // One sentence for all of them.
            Refusal::Watches | Refusal::Instances => self.refusals.insert(refusal.to_string()),
            Refusal::Denied | Refusal::Vanished | Refusal::Other(_) => {
                self.refusals.insert(format!("cannot watch {}: {refusal}", escaped(at)))
            }
        };
    }

    pub(super) fn refused_altogether(&mut self, refusal: &Refusal) {
        self.covered.clear();
        self.refusals.insert(refusal.to_string());
    }
}
