//! From the events of the system to one hint.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Planned;
use crate::publish::is_temporary;

/// Where the watcher's thread leaves word and the loop waits for it.
#[derive(Debug, Default)]
pub struct Hints {
    changed: Notify,
    marks: Mutex<Marks>,
}

#[derive(Debug, Default)]
struct Marks {
    interests: BTreeMap<PathBuf, Interest>,
    lost: Lost,
    /// What there is to look at where it changes, and whether a child will be needed then.
    places: HashMap<PathBuf, bool>,
    /// Since somebody waited last.
    hint: Hint,
}

/// What is known of changes before a look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    /// Something that was being changed is whole now.
    pub complete: bool,
    /// It is of a policy, a source, or a directory on the way to one: there is something to look at.
    pub known: bool,
    /// So it is, and the child that reads what policies name will be needed.
    pub named: bool,
}

/// Which names in a directory matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Interest {
    All,
    Names(BTreeSet<OsString>),
}

impl Interest {
    pub(super) fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Names(names), Self::Names(more)) => names.extend(more),
            (this, _) => *this = Self::All,
        }
    }

    fn includes(&self, name: &OsStr) -> bool {
        match self {
            // Our own file that is not in place yet; the rename that puts it there is told.
            Self::All => !is_temporary(name),
            Self::Names(names) => names.contains(name),
        }
    }
}

/// Watches that may be dead.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) everything: bool,
    pub(super) directories: HashSet<PathBuf>,
}

impl Hints {
    /// Waits for a hint.
    pub(super) async fn wait(&self) -> Hint {
        self.changed.notified().await;
        std::mem::take(&mut self.marks().hint)
    }

    /// Sets what there is to look at where it changes.
    pub(super) fn know(&self, places: HashMap<PathBuf, bool>) {
        self.marks().places = places;
    }

    /// Sets what matters from now on, and takes what was lost until now.
    pub(super) fn expect(&self, plan: &BTreeMap<PathBuf, Planned>) -> Lost {
        let mut marks = self.marks();
        marks.interests =
            plan.iter().map(|(path, planned)| (path.clone(), planned.interest.clone())).collect();
        std::mem::take(&mut marks.lost)
    }

    /// Something happened to this name.
    pub fn seen(&self, path: &Path) {
        if self.matters(path) {
            self.changed.notify_one();
        }
    }

    /// The same, and nothing more is to come: a file was closed by who wrote it, or was put in its place whole.
    pub fn completed(&self, path: &Path) {
        if self.matters(path) {
            let mut marks = self.marks();
            let by_child = marks.places.get(path).copied();
            marks.hint.complete = true;
            marks.hint.known |= by_child.is_some();
            marks.hint.named |= by_child == Some(true);
            drop(marks);
            self.changed.notify_one();
        }
    }

    /// This name was moved or removed. Where it is a watched directory, its watch went with it, and an inode number that
    /// is the same afterwards proves nothing: it may be used again at once.
    pub fn gone(&self, path: &Path) {
        let mut marks = self.marks();
        if marks.interests.contains_key(path) {
            marks.lost.directories.insert(path.to_owned());
        }
        drop(marks);
        self.seen(path);
    }

    /// Events were dropped, or the watcher failed.
    pub fn all_lost(&self) {
        self.marks().lost.everything = true;
        self.changed.notify_one();
    }

    fn matters(&self, path: &Path) -> bool {
        let marks = self.marks();
        // A watched directory itself: its mode, its end.
        if marks.interests.contains_key(path) {
            return true;
        }
        let interest = path.parent().and_then(|parent| marks.interests.get(parent));
        match (interest, path.file_name()) {
            (Some(interest), Some(name)) => interest.includes(name),
            // Told under another name than it was asked for, as on macOS, where /tmp is a link.
            _ => true,
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
