//! Why a file could not be put in place, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::escape::escaped;

/// What was being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opening the directory.
    OpenDirectory,
    /// Removing what an earlier attempt left.
    RemoveStale,
    /// Making the new file.
    Create,
    /// Writing it.
    Write,
    /// Giving it to the directory's owner.
    ChangeOwner,
    /// Setting its mode.
    ChangeMode,
    /// Bringing it to the disk.
    SyncFile,
    /// Renaming it over the old one.
    Rename,
    /// Removing a file.
    Remove,
    /// Reading what it follows.
    ReadOld,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenDirectory => "open the directory",
            Self::RemoveStale => "remove the leftover of an earlier attempt,",
            Self::Create => "make the new file for",
            Self::Write => "write the new file for",
            Self::ChangeOwner => "set the owner of the new file for",
            Self::ChangeMode => "set the mode of the new file for",
            Self::SyncFile => "bring to the disk the new file for",
            Self::Rename => "put the new file in place of",
            Self::Remove => "remove",
            Self::ReadOld => "read, and so not replace,",
        })
    }
}

/// Why a file could not be put in place.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// The old file stands as it was.
    #[error("cannot {step} {}: {errno}", escaped(path))]
    Step {
        /// What was being done.
        step: Step,
        /// The file that was to be put in place; for the first step its directory, for a leftover that.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The new file is in place, but a power cut may bring back the old one.
    #[error("{} is in place, but it may be lost in a power cut: {errno}", escaped(path))]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The path ends in no file name.
    #[error("{} does not name a file", escaped(path))]
    NoFileName {
        /// The path.
        path: PathBuf,
    },
    /// There is no content to write.
    #[error("cannot make the content of {}: {reason}", escaped(path))]
    Content {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl PublishError {
    /// The content could not be made.
    #[must_use]
    pub fn content(path: &Path, reason: &dyn std::error::Error) -> Self {
        Self::Content { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Whether readers see the new content although this is an error.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        matches!(self, Self::NotDurable { .. })
    }

    /// A stable name for the cause.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Step { errno, .. } => match *errno {
                Errno::NOSPC | Errno::DQUOT | Errno::FBIG => "disk-full",
                Errno::ROFS => "read-only",
                Errno::ACCESS | Errno::PERM => "denied",
                Errno::NOENT | Errno::NOTDIR => "directory-missing",
                Errno::ISDIR | Errno::NOTEMPTY => "in-the-way",
                _ => "write-failed",
            },
            Self::NotDurable { .. } => "not-durable",
            Self::NoFileName { .. } => "no-file-name",
            Self::Content { .. } => "no-content",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Step { step, path, errno } => step_remedy(*step, path, *errno),
            Self::NotDurable { path, .. } => {
                format!("check the disk that holds {}: dmesg --level=err", escaped(directory_of(path)))
            }
            Self::NoFileName { .. } => "name a file in the configuration".to_owned(),
            Self::Content { .. } => "report this as a bug".to_owned(),
        }
    }
}

fn step_remedy(step: Step, path: &Path, errno: Errno) -> String {
    let directory = if step == Step::OpenDirectory { path } else { directory_of(path) };
    let directory = escaped(directory);
    match errno {
        Errno::NOSPC => {
            format!("free space or inodes on its file system: df -h {directory}; df -i {directory}")
        }
        Errno::DQUOT => "raise the disk quota of the user that runs this".to_owned(),
        Errno::FBIG => "raise the file size limit of the service (LimitFSIZE=)".to_owned(),
        Errno::ROFS => format!("find out why it is mounted read-only: findmnt -T {directory}"),
        Errno::ACCESS => {
            format!("run this as the user that owns the directory, or as root: ls -ld {directory}")
        }
        Errno::PERM => {
            format!("look for attributes or a policy that forbid the change: lsattr -d {directory}")
        }
        Errno::NOENT | Errno::NOTDIR => format!("mkdir -p {directory}"),
        Errno::ISDIR | Errno::NOTEMPTY => format!("remove the directory in its place: {}", escaped(path)),
        Errno::MFILE | Errno::NFILE => {
            "raise the limit of open files of the service (LimitNOFILE=) or of the system".to_owned()
        }
        _ => format!("check the disk that holds {directory}: dmesg --level=err"),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
