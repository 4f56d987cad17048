//! Watching directories, so that a change is seen at once. What is told is a hint to look, no more: the slow poll is the
//! truth, and a lost event costs time only.
//!
//! Directories are watched and never files: a file that is replaced by a rename takes its watch with it. The watches
//! are compared with what is on disk at every look, since a directory may be replaced as well.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod backend;
mod hints;
mod mounts;
mod report;
#[cfg(test)]
mod tests;

pub use backend::{Backend, Refusal};
pub use hints::{Hint, Hints};
pub use report::{WatchReport, Way};

use backend::system;
use hints::Interest;
use mounts::{Mounts, Place};

/// Makes the system's part of a watcher, which tells what it sees to the hints.
pub type MakeBackend = dyn Fn(Arc<Hints>) -> Result<Box<dyn Backend>, Refusal> + Send;

/// Watches directories.
pub struct Watcher {
    hints: Arc<Hints>,
    make: Box<MakeBackend>,
    /// None until it is needed, and where the system refuses one.
    backend: Option<Box<dyn Backend>>,
    /// What is watched, and which inode it was then.
    armed: BTreeMap<PathBuf, Inode>,
}

type Inode = (u64, u64);

impl Watcher {
    /// A watcher that watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_backend(Box::new(system))
    }

    /// A watcher over something else than the system.
    #[must_use]
    pub fn with_backend(make: Box<MakeBackend>) -> Self {
        Self { hints: Arc::new(Hints::default()), make, backend: None, armed: BTreeMap::new() }
    }

    /// Waits until something may have changed; one wake-up stands for any number of changes.
    pub async fn changed(&self) -> Hint {
        self.hints.wait().await
    }

    /// Takes what there is to look at where it changes, and whether a child will be needed then.
    pub fn know(&self, places: HashMap<PathBuf, bool>) {
        self.hints.know(places);
    }

    /// Watches these directories, and no others any more. Called at every look: what is watched already stays so
    /// without cost, what was replaced is watched anew. A directory that is not there is waited for in the nearest one
    /// above it that is.
    ///
    /// Also says whether anything is watched that was not before: what happened to it until now was not seen.
    pub fn arm(&mut self, directories: &BTreeSet<PathBuf>) -> (WatchReport, bool) {
        let mut report = WatchReport::default();
        let plan = plan(directories, &mut report);
        let lost = self.hints.expect(&plan);
        if lost.everything {
            // Events were dropped or the watcher is broken: nothing it believes can be relied on.
            tracing::info!("events were lost: every directory is watched anew, and every source looked at");
            self.backend = None;
            self.armed.clear();
        }
        if self.backend.is_none() {
            match (self.make)(Arc::clone(&self.hints)) {
                Ok(backend) => self.backend = Some(backend),
                Err(refusal) => report.refused_altogether(&refusal),
            }
        }
        let Some(backend) = self.backend.as_mut() else { return (report, false) };
        self.armed.retain(|path, inode| {
            let keep = plan.get(path).is_some_and(|planned| planned.inode == *inode)
                && !lost.directories.contains(path);
            if !keep {
                backend.unwatch(path);
            }
            keep
        });
        let mut rearmed = false;
        for (path, planned) in &plan {
            if self.armed.contains_key(path) {
                continue;
            }
            match backend.watch(path) {
                Ok(()) => {
                    self.armed.insert(path.clone(), planned.inode);
                    rearmed = true;
                }
                Err(refusal) => report.refused(path, &planned.serves, &refusal),
            }
        }
        (report, rearmed)
    }
}

impl Default for Watcher {
    fn default() -> Self {
        Self::new()
    }
}

/// The directories whose changes may change what a path leads to: those that hold it and those above these, for the
/// lexical path and for each directory that was passed on the way through links.
#[must_use]
pub fn directories_to_watch(path: &Path, hops: &[PathBuf]) -> BTreeSet<PathBuf> {
    let holders = path.parent().into_iter().chain(hops.iter().map(PathBuf::as_path));
    let with_parent = holders.flat_map(|holder| [Some(holder), holder.parent()]);
    with_parent.flatten().map(Path::to_owned).collect()
}

/// What is to be watched at one path.
#[derive(Debug)]
struct Planned {
    inode: Inode,
    interest: Interest,
    /// The directories that were asked for and are served by this.
    serves: Vec<PathBuf>,
}

/// Each inode once: through mounts several paths can mean the same directory, which is watched under the first.
fn plan(directories: &BTreeSet<PathBuf>, report: &mut WatchReport) -> BTreeMap<PathBuf, Planned> {
    let mounts = Mounts::read();
    report.mount_points = mounts.points().cloned().collect();
    let mut by_inode: BTreeMap<Inode, (PathBuf, Planned)> = BTreeMap::new();
    for directory in directories {
        let (path, inode, more, layered) = match mounts.locate(directory) {
            Some(Place::There { path, inode, layered }) => {
                (path, inode, interest(directory, directories), layered)
            }
            Some(Place::Short { path, inode, next }) => {
                (path, inode, Interest::Names(BTreeSet::from([next])), false)
            }
            Some(Place::Remote(kind)) => {
                report.remote(directory, kind);
                continue;
            }
            None => continue,
        };
        report.watched(directory, layered);
        let (_, planned) = by_inode.entry(inode).or_insert_with(|| {
            let nothing = Interest::Names(BTreeSet::new());
            (path, Planned { inode, interest: nothing, serves: Vec::new() })
        });
        planned.interest.add(more);
        planned.serves.push(directory.clone());
    }
    by_inode.into_values().collect()
}

/// A directory that was asked for only to see another one come and go is of interest for that one's name: things
/// happen in `/var` and `/tmp` all the time.
fn interest(directory: &Path, all: &BTreeSet<PathBuf>) -> Interest {
    if directory.parent().is_none_or(|parent| all.contains(parent)) {
        return Interest::All;
    }
    let below = all.iter().filter(|other| other.parent() == Some(directory));
    let names: BTreeSet<OsString> = below.filter_map(|other| other.file_name()).map(OsString::from).collect();
    if names.is_empty() { Interest::All } else { Interest::Names(names) }
}
