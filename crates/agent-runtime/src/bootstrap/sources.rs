//! The files of sources, as bootstrap reads and writes them.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use trust_formats::certificates::Limits;

use crate::directory;
use crate::endpoint::Endpoint;
use crate::escape::escaped;
use crate::lock::{Lock, LockError};
use crate::publish::{BUNDLE_MODE, Fs, Owner, PublishError, publish_as};
use crate::read::{ReadError, Rules, judge_directory, read_file};

/// Reads and writes files that are, or may become, sources of an endpoint.
#[derive(Clone)]
pub struct Sources {
    rules: Rules,
    limits: Limits,
    state: PathBuf,
    files: Arc<dyn Fs>,
}

/// A file as it was at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    path: PathBuf,
    /// Its content; `None` where there is no such file.
    pub bytes: Option<Vec<u8>>,
    metadata: Option<Metadata>,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// It is a symbolic link: whoever made it chose what would be written.
    #[error("{} is a symbolic link to {}, and is not written through", escaped(path), escaped(target))]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It, or the way to it, breaks the rules of a source.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Somebody else wrote it in between.
    #[error("{} was changed by somebody else at the same time", escaped(path))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Its directory is not there.
    #[error("there is no directory {}", escaped(path))]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// A directory could not be made.
    #[error("cannot make the directory {}: {source}", escaped(path))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Another program writes sources.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be put in place; the old one stands.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl SourcesError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Link { .. } => "symbolic-link",
            Self::Read(error) => error.code(),
            Self::Changed { .. } => "changing",
            Self::NoDirectory { .. } => "directory-missing",
            Self::Directory { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => "denied",
                _ => "directory-failed",
            },
            Self::Lock(error) => match error {
                LockError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => "denied",
                error => error.code(),
            },
            Self::Publish(error) => error.code(),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Link { target, .. } => {
                format!(
                    "name the file itself ({}), or put a regular file in the link's place",
                    escaped(target)
                )
            }
            Self::Read(error) => error.remedy(),
            Self::Changed { .. } => "run the command again".to_owned(),
            Self::NoDirectory { path } => format!("mkdir -p {}", escaped(path)),
            Self::Directory { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "run it as root, for example with sudo".to_owned()
            }
            Self::Directory { path, .. } => format!("look at what is in the way: namei -l {}", escaped(path)),
            Self::Lock(error) => error.remedy(),
            Self::Publish(error) => error.remedy(),
        }
    }
}

impl Sources {
    /// The sources of an endpoint.
    #[must_use]
    pub fn of(endpoint: &Endpoint) -> Self {
        Self {
            rules: endpoint.rules().clone(),
            limits: endpoint.limits(),
            state: endpoint.paths().state.clone(),
            files: endpoint.files(),
        }
    }

    #[cfg(test)]
    pub(super) fn use_files(&mut self, files: Arc<dyn Fs>) {
        self.files = files;
    }

    /// What a source may hold.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads a file by the rules of every source. One that is not there is no error, if its directory keeps the rules.
    ///
    /// # Errors
    /// [`SourcesError`]
    pub fn snapshot(&self, path: &Path) -> Result<Snapshot, SourcesError> {
        for _ in 0..ATTEMPTS {
            let before = metadata(path)?;
            let bytes = match &before {
                Some(_) => Some(read_file(path, &self.rules)?.bytes),
                None => {
                    self.judge_directory_of(path)?;
                    None
                }
            };
            if same(before.as_ref(), metadata(path)?.as_ref()) {
                return Ok(Snapshot { path: path.to_owned(), bytes, metadata: before });
            }
        }
        Err(SourcesError::Changed { path: path.to_owned() })
    }

    /// Puts a new content in place of a file that is still as it was. Its owner and mode are kept.
    ///
    /// # Errors
    /// [`SourcesError`]; the old file stands then, unless the error says otherwise.
    pub fn put(&self, snapshot: &Snapshot, bytes: &[u8]) -> Result<(), SourcesError> {
        let path = &snapshot.path;
        let _lock = match self.lock() {
            // A user with a file of their own, and no right to the state: what follows notices another writer as well,
            // but for the last moment.
            Err(error) if error.code() == "denied" => None,
            other => Some(other?),
        };
        if !same(snapshot.metadata.as_ref(), metadata(path)?.as_ref()) {
            return Err(SourcesError::Changed { path: path.clone() });
        }
        let (owner, mode) = match &snapshot.metadata {
            Some(metadata) => {
                (Owner::Of { uid: metadata.uid(), gid: metadata.gid() }, metadata.mode() & PERMISSIONS)
            }
            None => (Owner::OfDirectory, BUNDLE_MODE),
        };
        Ok(publish_as(&*self.files, path, bytes, mode, owner)?)
    }

    /// Makes the directory of a source of the default layout, as the daemon does at its first start.
    ///
    /// # Errors
    /// [`SourcesError::Directory`]
    pub fn make_directory_of(&self, path: &Path) -> Result<(), SourcesError> {
        path.parent().map_or(Ok(()), |directory| make_directory(directory, 0o755))
    }

    fn judge_directory_of(&self, path: &Path) -> Result<(), SourcesError> {
        let Some(directory) = path.parent() else {
            return Err(PublishError::NoFileName { path: path.to_owned() }.into());
        };
        match judge_directory(directory, &self.rules) {
            Err(ReadError::Missing { .. }) => Err(SourcesError::NoDirectory { path: directory.to_owned() }),
            other => Ok(other?),
        }
    }

    /// One writer of sources at a time. It is not the store's lock: the daemon holds that for its life.
    fn lock(&self) -> Result<Lock, SourcesError> {
        if let Some(parent) = self.state.parent() {
            make_directory(parent, 0o755)?;
        }
        make_directory(&self.state, 0o700)?;
        for _ in 1..LOCK_ATTEMPTS {
            match Lock::acquire_named(&self.state, "sources.lock") {
                Err(LockError::Held { .. }) => thread::sleep(LOCK_PAUSE),
                other => return Ok(other?),
            }
        }
        Ok(Lock::acquire_named(&self.state, "sources.lock")?)
    }
}

/// `None` where there is no such file.
fn metadata(path: &Path) -> Result<Option<Metadata>, SourcesError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            Err(SourcesError::Link { path: path.to_owned(), target })
        }
        Ok(metadata) => Ok(Some(metadata)),
        // What stands in the way is told by the walk along the path, in its own words.
        Err(_) => Ok(None),
    }
}

fn same(before: Option<&Metadata>, now: Option<&Metadata>) -> bool {
    let facts = |metadata: &Metadata| {
        let written = (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec());
        (metadata.dev(), metadata.ino(), metadata.size(), written)
    };
    before.map(facts) == now.map(facts)
}

fn make_directory(path: &Path, mode: u32) -> Result<(), SourcesError> {
    directory::make(path, mode).map_err(|source| SourcesError::Directory { path: path.to_owned(), source })
}

const ATTEMPTS: usize = 5;
/// Whoever holds it reads and writes one small file.
const LOCK_ATTEMPTS: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Nothing that sets a user or a group when executed: it is a text.
const PERMISSIONS: u32 = 0o777;
