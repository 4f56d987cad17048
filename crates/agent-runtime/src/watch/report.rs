//! What is watched and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::escape::escaped;

/// What is watched and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchReport {
    covered: BTreeSet<PathBuf>,
    /// Directories that are not watched, each with the reason.
    uncovered: BTreeMap<PathBuf, String>,
    remote: BTreeMap<PathBuf, String>,
    refusals: BTreeSet<String>,
    /// Directories where not all changes are told.
    layered: BTreeSet<PathBuf>,
    ways: BTreeMap<PathBuf, Way>,
    /// Where something is mounted, until the ways are known.
    pub(super) mount_points: BTreeSet<PathBuf>,
    /// Files that are mounts of their own.
    mounted: BTreeSet<PathBuf>,
}

/// How a source is come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// The directories whose changes may change what its path leads to.
    pub directories: BTreeSet<PathBuf>,
    /// Where it is once all links are followed.
    pub file: PathBuf,
}

impl WatchReport {
    /// Whether some changes may come without an event, so that looking more often is worth while.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        // A layered file system tells of changes made through it, in a container that is all there are: a quicker poll
        // costs little, a complaint that nobody can do anything about costs trust. A file that is a mount of its own is
        // nearly the same. FSEvents may join events for long.
        !self.remote.is_empty()
            || !self.refusals.is_empty()
            || !self.layered.is_empty()
            || !self.mounted.is_empty()
            || cfg!(target_os = "macos")
    }

    /// How many directories are watched.
    #[must_use]
    pub fn directories(&self) -> usize {
        self.covered.len()
    }

    /// Why changes are noticed late that ought to be noticed at once, with what can be done about it.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let remote = self.remote.iter().map(|(directory, kind)| untold_by(directory, kind));
        remote.chain(self.refusals.iter().cloned()).collect()
    }

    /// Whether changes of this source come as events, or its coming where it is not there.
    #[must_use]
    pub fn tells_of(&self, source: &Path) -> bool {
        self.ways.get(source).is_some_and(|way| self.uncovered(&way.directories).is_none())
            && !self.mounted.contains(source)
    }

    /// Why some changes of this source are found only by looking at it; `None` where all of them come as events.
    #[must_use]
    pub fn untold(&self, source: &Path) -> Option<String> {
        let Some(way) = self.ways.get(source) else {
            return Some("it does not answer, so its directories are not watched".to_owned());
        };
        if let Some(reason) = self.uncovered(&way.directories) {
            return Some(reason.to_owned());
        }
        if self.mounted.contains(source) {
            return Some(
                "it is a mount of its own, and changes under its other names are not told".to_owned(),
            );
        }
        let layered = way.directories.iter().find(|directory| self.layered.contains(*directory))?;
        Some(format!(
            "{} is on a file system of layers that does not tell of changes below it",
            escaped(layered)
        ))
    }

    /// Why one of these directories is not watched.
    pub(super) fn uncovered(&self, directories: &BTreeSet<PathBuf>) -> Option<&str> {
        let uncovered = directories.iter().find(|directory| !self.covered.contains(*directory))?;
        Some(self.uncovered.get(uncovered).map_or("one of its directories is not watched", String::as_str))
    }

    /// The sources and how each is come to.
    pub fn follow(&mut self, ways: BTreeMap<PathBuf, Way>) {
        let points = std::mem::take(&mut self.mount_points);
        let mounted = |(source, way): (&PathBuf, &Way)| points.contains(&way.file).then(|| source.clone());
        self.mounted = ways.iter().filter_map(mounted).collect();
        self.ways = ways;
    }

    pub(super) fn watched(&mut self, directory: &Path, layered: bool) {
        self.covered.insert(directory.to_owned());
        if layered {
            self.layered.insert(directory.to_owned());
        }
    }

    /// A directory that is not watched for what it is on. Those above it come first and speak for it.
    pub(super) fn remote(&mut self, directory: &Path, kind: String) {
        self.uncovered.insert(directory.to_owned(), untold_by(directory, &kind));
        if !self.remote.keys().any(|known| directory.starts_with(known)) {
            self.remote.insert(directory.to_owned(), kind);
        }
    }

    pub(super) fn refused(&mut self, at: &Path, serves: &[PathBuf], refusal: &Refusal) {
        let reason = match refusal {
            // One sentence for all of them.
            Refusal::Watches | Refusal::Instances => refusal.to_string(),
            Refusal::Denied | Refusal::Vanished | Refusal::Other(_) => {
                format!("cannot watch {}: {refusal}", escaped(at))
            }
        };
        for directory in serves {
            self.covered.remove(directory);
            self.uncovered.insert(directory.clone(), reason.clone());
        }
        self.refusals.insert(reason);
    }

    pub(super) fn refused_altogether(&mut self, refusal: &Refusal) {
        let reason = refusal.to_string();
        for directory in std::mem::take(&mut self.covered) {
            self.uncovered.insert(directory, reason.clone());
        }
        self.refusals.insert(reason);
    }
}

fn untold_by(directory: &Path, kind: &str) -> String {
    format!(
        "{} is on a file system ({kind}) that does not tell of changes made elsewhere",
        escaped(directory)
    )
}
