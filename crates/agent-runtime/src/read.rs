//! Safe reading: what is read was judged, and what was judged is what is read.
//!
//! A path that a policy names may lead anywhere, and whoever may write somewhere along it decides what is trusted.
//! So the path is walked name by name, each directory and link on the way is held by a descriptor and judged there,
//! and the file that was judged is the one that is read. Reading never waits for a writer, never opens a device, and
//! stops at a limit whatever the file says of its size.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

mod error;
mod facts;
mod handle;
mod list;
mod rules;
mod spare;
#[cfg(test)]
mod tests;
mod trail;
mod walk;

pub use error::{Kind, ReadError};
pub use list::{Listing, judge_directory, list_directory};
pub use spare::Spare;
pub use trail::Trail;
pub(crate) use trail::{Glances, Own};

use facts::Facts;
use handle::{Handles, Platform};
use walk::{Walk, Walked};

/// What is accepted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Rules {
    /// The largest file.
    pub max_bytes: u64,
    /// Users who may own files and directories, besides root and the user of this process.
    pub trusted_uids: Vec<u32>,
    /// For what lies under this directory, judging begins here: the directories above it are not judged.
    pub root: Option<PathBuf>,
    /// Files and directories for which the local configuration waives the rules on owners and modes.
    pub waived: Vec<PathBuf>,
    /// Our own bundle and state directory, which are never a source.
    pub refuse: Vec<PathBuf>,
    /// Nothing of it reaches the bundle, so that it may be closed to others.
    pub confidential: bool,
}

/// A file as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileBytes {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Where it is once all links are followed.
    pub real_path: PathBuf,
    /// The directories whose changes may change what the path leads to: the one that the path names, those that hold
    /// a link on the way, and the one that holds the file.
    pub hops: Vec<PathBuf>,
    /// When it was last written to.
    pub modified: SystemTime,
    /// It was written to within the last two seconds. A later write can leave the same times behind, so it needs
    /// another look.
    pub racy: bool,
    /// The way to it, where it tells whether a later reading would find the same.
    pub trail: Option<Trail>,
}

/// Reads a file that keeps the rules.
///
/// # Errors
/// [`ReadError`] says what stands in the way and what to do about it; it never holds content.
pub fn read_file(path: &Path, rules: &Rules) -> Result<FileBytes, ReadError> {
    read_into(path, rules, &Spare::default())
}

/// The same, into what is spare.
///
/// # Errors
/// As [`read_file`].
pub(crate) fn read_into(path: &Path, rules: &Rules, spare: &Spare) -> Result<FileBytes, ReadError> {
    read_with(&Platform, path, rules, spare)
}

fn read_with(
    handles: &dyn Handles,
    path: &Path,
    rules: &Rules,
    spare: &Spare,
) -> Result<FileBytes, ReadError> {
    patiently(|| read_once(handles, path, rules, spare))
}

/// Again, a few times, where the file changed meanwhile or a signal came in between. A file system that answers with
/// nothing but interruptions has to be given up at some time.
fn patiently<T>(attempt: impl Fn() -> Result<T, ReadError>) -> Result<T, ReadError> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if error.may_pass() => thread::sleep(pause),
            other => return other,
        }
    }
    attempt()
}

fn read_once(
    handles: &dyn Handles,
    path: &Path,
    rules: &Rules,
    spare: &Spare,
) -> Result<FileBytes, ReadError> {
    let walked = Walk::new(handles, path, rules)?.reach_file()?;
    let changed = || ReadError::Changed { path: path.to_owned() };
    let facts = &walked.facts;
    if facts.size > rules.max_bytes {
        return Err(ReadError::TooLarge { path: path.to_owned(), size: facts.size, limit: rules.max_bytes });
    }
    let file = open_walked(handles, &walked, path)?;
    let before = stat(&file, path)?;
    if !before.is_same_file(facts) {
        return Err(changed());
    }
    let bytes = content(&file, &before, path, rules.max_bytes, spare)?;
    let modified = before.modified();
    Ok(FileBytes {
        bytes,
        real_path: walked.real_path,
        hops: walked.hops,
        modified,
        racy: is_racy(modified, SystemTime::now()),
        trail: walked.trail.filter(|_| before.is_same_content(&walked.facts)),
    })
}

/// All of a file, unless it changes: one that grows, shrinks or is written over meanwhile would be a mixture of two.
fn content(
    file: &File,
    before: &Facts,
    path: &Path,
    max_bytes: u64,
    spare: &Spare,
) -> Result<Vec<u8>, ReadError> {
    // One byte more than the file says it has, so that a file that says too little shows.
    let expected = before.size.min(max_bytes).saturating_add(1);
    let mut bytes = spare.take(usize::try_from(expected).unwrap_or(0));
    let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| ReadError::io(path, Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    let size = bytes.len() as u64;
    if size > max_bytes {
        return Err(ReadError::TooLarge { path: path.to_owned(), size, limit: max_bytes });
    }
    let after = stat(file, path)?;
    if !after.is_same_content(before) || size != after.size {
        return Err(ReadError::Changed { path: path.to_owned() });
    }
    Ok(bytes)
}

fn open_walked(handles: &dyn Handles, walked: &Walked, path: &Path) -> Result<File, ReadError> {
    handles.readable(&walked.directory, &walked.name, &walked.file).map_err(|errno| match errno {
        Errno::ACCESS | Errno::PERM => ReadError::denied(path, &walked.real_path, &walked.facts, errno),
        // Another file has the name now.
        Errno::NOENT | Errno::LOOP | Errno::STALE | Errno::NXIO => {
            ReadError::Changed { path: path.to_owned() }
        }
        errno => ReadError::io(path, errno),
    })
}

fn stat(file: &File, path: &Path) -> Result<Facts, ReadError> {
    Facts::of(file).map_err(|errno| ReadError::io(path, errno))
}

/// Also of a clock that is a little behind the file server's; a time far in the future says nothing.
fn is_racy(modified: SystemTime, now: SystemTime) -> bool {
    let age = now.duration_since(modified).unwrap_or_else(|ahead| ahead.duration());
    age < RACY
}

/// Longer than the coarsest time stamps in use (two seconds on FAT).
const RACY: Duration = Duration::from_secs(2);

/// Between attempts at a file that changes while it is read. A writer that takes longer is waited for by looking again
/// later.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(1), Duration::from_millis(2), Duration::from_millis(5), Duration::from_millis(10)];
