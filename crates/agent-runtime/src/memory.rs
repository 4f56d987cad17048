//! What the last looks found, so that the next one reads only what is not as it was.
//!
//! A file whose way, inode, size and times are the same is not read again: its SHA-256 is known. This holds on disks of
//! this machine, for files that have been left alone for a minute, and for a number of looks, after which everything is
//! read whatever it says of itself. Whoever asks for a regeneration has everything read as well ([`Memory::forget`]).
//!
//! What was written within that minute may be written once more through memory without a trace, and without an event: so
//! no look that an event caused could find that but by chance. Such a look believes it for half a minute ([`Memory::hint`]);
//! the next one that a timer causes reads it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use trust_core::Fingerprint;

use crate::read::{FileBytes, Glances, Listing, Own, ReadError, Trail};

#[cfg(test)]
mod tests;

/// What is remembered between looks. Of one endpoint and its rules: another configuration begins without one.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    known: Known,
    looks: u32,
    /// An event causes the next look, and nothing else.
    hinted: bool,
    /// Counts what was said to forget: a look that was under way then leaves nothing behind.
    forgotten: u64,
}

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<PathBuf, KnownFile>,
    directories: BTreeMap<PathBuf, KnownDirectory>,
    absent: BTreeMap<PathBuf, KnownAbsence>,
    bundle: Option<(Own, Fingerprint)>,
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct KnownFile {
    trail: Trail,
    /// When it was read, where it may be written to without a trace.
    unsettled: Option<SystemTime>,
    /// SHA-256 of it.
    pub(crate) sha256: Fingerprint,
    /// The directories to watch for it.
    pub(crate) hops: Vec<PathBuf>,
    /// Where it is once all links are followed.
    pub(crate) real_path: PathBuf,
}

#[derive(Debug, Clone)]
struct KnownDirectory {
    trail: Trail,
    unsettled: Option<SystemTime>,
    files: Vec<PathBuf>,
}

/// What was not there.
#[derive(Debug, Clone)]
struct KnownAbsence {
    trail: Trail,
    /// The first name on the way that was not there.
    component: PathBuf,
}

impl Memory {
    /// Begins a look: it takes what is known, and gives back what it found.
    pub(crate) fn recall(&self, now: SystemTime) -> Recollection<'_> {
        let mut kept = self.kept();
        kept.looks = (kept.looks + 1) % EVERY;
        let known = std::mem::take(&mut kept.known);
        let known = if kept.looks == 0 { Known::default() } else { known };
        Recollection {
            memory: self,
            forgotten: kept.forgotten,
            hinted: std::mem::take(&mut kept.hinted),
            now,
            known,
            found: Known::default(),
            glances: Glances::default(),
        }
    }

    /// An event causes the next look.
    pub(crate) fn hint(&self) {
        self.kept().hinted = true;
    }

    /// So does something else.
    pub(crate) fn suspect(&self) {
        self.kept().hinted = false;
    }

    /// The next look reads everything.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept();
        kept.hinted = false;
        kept.known = Known::default();
        kept.looks = 0;
        kept.forgotten += 1;
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known during one look. Dropped, it becomes what is known to the next: what was not asked for is forgotten.
#[derive(Debug)]
pub(crate) struct Recollection<'a> {
    memory: &'a Memory,
    forgotten: u64,
    hinted: bool,
    now: SystemTime,
    known: Known,
    found: Known,
    glances: Glances,
}

impl Recollection<'_> {
    /// The file of this path, if a reading would find what the last one found.
    pub(crate) fn file(&mut self, path: &Path) -> Option<KnownFile> {
        let file = self.known.files.remove(path).filter(|file| self.believes(file.unsettled))?;
        if !file.trail.still_holds(&mut self.glances) {
            return None;
        }
        self.found.files.insert(path.to_owned(), file.clone());
        Some(file)
    }

    /// Whether something is known of this path that still holds.
    pub(crate) fn recalls(&mut self, path: &Path) -> bool {
        let known = &self.known;
        let found = known
            .files
            .get(path)
            .map(|file| (&file.trail, file.unsettled))
            .or_else(|| known.directories.get(path).map(|found| (&found.trail, found.unsettled)))
            .or_else(|| known.absent.get(path).map(|absence| (&absence.trail, None)));
        let Some((trail, unsettled)) = found else { return false };
        self.believes(unsettled) && trail.still_holds(&mut self.glances)
    }

    fn believes(&self, unsettled: Option<SystemTime>) -> bool {
        let is_young = |read| self.now.duration_since(read).is_ok_and(|age| age < YOUNG);
        unsettled.is_none_or(|read| self.hinted && is_young(read))
    }

    /// Remembers a file that was read.
    pub(crate) fn note_file(&mut self, path: &Path, file: &FileBytes, sha256: Fingerprint) {
        if let Some((trail, unsettled)) = self.worth(file.trail.as_ref()) {
            let (hops, real_path) = (file.hops.clone(), file.real_path.clone());
            let known = KnownFile { trail, unsettled, sha256, hops, real_path };
            self.found.files.insert(path.to_owned(), known);
        }
    }

    /// The first name on the way to this path that is not there, if that is as it was.
    pub(crate) fn absence(&mut self, path: &Path) -> Option<PathBuf> {
        let known = self.known.absent.remove(path)?;
        if !known.trail.still_holds(&mut self.glances) || !self.glances.is_absent(&known.component) {
            return None;
        }
        self.found.absent.insert(path.to_owned(), known.clone());
        Some(known.component)
    }

    /// Remembers that there was nothing.
    pub(crate) fn note_absence(&mut self, path: &Path, error: &ReadError) {
        if let ReadError::Missing { component, trail: Some(trail), .. } = error {
            let known = KnownAbsence { trail: trail.clone(), component: component.clone() };
            self.found.absent.insert(path.to_owned(), known);
        }
    }

    /// The files of this directory, if a list made now would be the same.
    pub(crate) fn directory(&mut self, path: &Path) -> Option<Vec<PathBuf>> {
        let known = self.known.directories.remove(path);
        let directory = known.filter(|directory| self.believes(directory.unsettled))?;
        if !directory.trail.still_holds(&mut self.glances) {
            return None;
        }
        self.found.directories.insert(path.to_owned(), directory.clone());
        Some(directory.files)
    }

    /// Remembers a directory that was listed.
    pub(crate) fn note_directory(&mut self, path: &Path, listing: &Listing) {
        if let Some((trail, unsettled)) = self.worth(listing.trail.as_ref()) {
            let known = KnownDirectory { trail, unsettled, files: listing.files.clone() };
            self.found.directories.insert(path.to_owned(), known);
        }
    }

    /// SHA-256 of our own bundle, if it is the file that was read last.
    pub(crate) fn bundle(&mut self, path: &Path) -> Option<Fingerprint> {
        let (own, sha256) = self.known.bundle.take()?;
        if self.glances.of_own(path)? != own {
            return None;
        }
        self.found.bundle = Some((own, sha256));
        Some(sha256)
    }

    /// Remembers our own bundle, which was read from this open file.
    pub(crate) fn note_bundle(&mut self, file: &File, sha256: Fingerprint) {
        let own = Own::of(file).filter(|own| own.is_settled(self.now));
        self.found.bundle = own.map(|own| (own, sha256));
    }

    /// Ends a look that came to nothing: all is known as before but what turned out not to be so.
    pub(crate) fn put_back(mut self) {
        self.memory.kept().hinted = self.hinted;
        let known = std::mem::take(&mut self.known);
        self.found.files.extend(known.files);
        self.found.directories.extend(known.directories);
        self.found.absent.extend(known.absent);
        self.found.bundle = self.found.bundle.take().or(known.bundle);
    }

    /// The trail if it is worth to be remembered, and when it was walked if only for a while.
    fn worth(&self, trail: Option<&Trail>) -> Option<(Trail, Option<SystemTime>)> {
        let trail = trail.filter(|trail| trail.is_past_a_tick(self.now))?;
        let unsettled = Some(self.now).filter(|now| !trail.is_settled(*now));
        Some((trail.clone(), unsettled))
    }
}

impl Drop for Recollection<'_> {
    fn drop(&mut self) {
        let mut kept = self.memory.kept();
        if kept.forgotten == self.forgotten {
            kept.known = std::mem::take(&mut self.found);
        }
    }
}

/// As long as a timer takes to cause a look, whether events come or not.
const YOUNG: Duration = Duration::from_secs(30);

/// After so many looks everything is read: ten minutes at the slow pace, for whatever changes a file and leaves no trace.
const EVERY: u32 = 20;
