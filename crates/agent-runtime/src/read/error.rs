//! Why a file was not read, and what to do about it. Never with a byte of its content.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Trail;

use super::facts::Facts;
use crate::escape::{escaped, quoted};

/// What something is that is no regular file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file, where a directory was expected.
    File,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// Anything else.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "of an unknown type",
        })
    }
}

/// Why a file was not read. `path` is the path that was asked for; where something else on the way is at fault, it is
/// named by its real path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReadError {
    /// The file, or something on the way to it, is not there.
    #[error("{} does not exist{}", escaped(path), unless_same(", since there is no ", component, path))]
    Missing {
        /// The path asked for.
        path: PathBuf,
        /// The first name that is not there.
        component: PathBuf,
        /// The way to it, where it tells whether a later reading would find the same.
        trail: Option<Trail>,
    },
    /// Something else than a regular file, or than a directory where one is needed.
    #[error("{} is {kind}, not {}{}", escaped(component), expected(*kind), unless_same(", on the way to ", path, component))]
    NotRegular {
        /// The path asked for.
        path: PathBuf,
        /// What is of the wrong kind.
        component: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// A file that the kernel makes up.
    #[error("{} is on a file system that holds no files of its own (such as /proc or /sys)", escaped(path))]
    PseudoFileSystem {
        /// The path asked for.
        path: PathBuf,
    },
    /// More than the limit.
    #[error("{} has {size} bytes or more, the limit is {limit}", escaped(path))]
    TooLarge {
        /// The path asked for.
        path: PathBuf,
        /// Its size, or how much of it was seen.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// More files in a directory than the limit.
    #[error("{} holds more than {limit} files", escaped(path))]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Somebody who is not trusted owns the file or a directory on the way, and so decides what it says.
    #[error(
        "{} belongs to user {uid}, who is not trusted{}",
        escaped(component),
        unless_same(", on the way to ", path, component)
    )]
    Owner {
        /// The path asked for.
        path: PathBuf,
        /// What belongs to them.
        component: PathBuf,
        /// The user.
        uid: u32,
    },
    /// Others than the owner may write to the file or a directory on the way.
    #[error(
        "{} can be written to by others than its owner (mode {mode:04o}){}",
        escaped(component),
        unless_same(", on the way to ", path, component)
    )]
    Writable {
        /// The path asked for.
        path: PathBuf,
        /// What they can write to.
        component: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not everybody may read the file, but everybody can read what is made of it.
    #[error(
        "{} is not readable by everybody (mode {mode:04o}), but the bundle is{}",
        escaped(component),
        unless_same(", on the way to ", path, component)
    )]
    NotReadableByAll {
        /// The path asked for.
        path: PathBuf,
        /// What is closed to some.
        component: PathBuf,
        /// Its mode.
        mode: u32,
        /// Whether it is a directory.
        directory: bool,
    },
    /// Too many links.
    #[error("{} leads through more than {limit} symbolic links", escaped(path))]
    SymlinkLoop {
        /// The path asked for.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// The system does not let us.
    #[error(
        "permission denied at {} (owner {uid}, mode {mode:04o}){}",
        escaped(component),
        unless_same(", on the way to ", path, component)
    )]
    Denied {
        /// The path asked for.
        path: PathBuf,
        /// Where it stops.
        component: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its mode.
        mode: u32,
        /// `EPERM` where modes do not explain it: a security module or, on macOS, privacy protection.
        policy: bool,
    },
    /// It never stood still.
    #[error("{} changes while it is read", escaped(path))]
    Changed {
        /// The path asked for.
        path: PathBuf,
    },
    /// The bundle as a source of itself would keep every anchor for ever.
    #[error("{} is a file of agentd's own ({}), not a source", escaped(path), escaped(own))]
    OwnFile {
        /// The path asked for.
        path: PathBuf,
        /// The bundle or the state directory.
        own: PathBuf,
    },
    /// Relative to what?
    #[error("{} is a relative path", escaped(path))]
    RelativePath {
        /// The path asked for.
        path: PathBuf,
    },
    /// No file can have this name.
    #[error("a path of {length} bytes that {reason}: {}", shortened(path))]
    BadPath {
        /// The path asked for.
        path: PathBuf,
        /// Its length.
        length: usize,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// It does not answer.
    #[error("{} does not answer{}", escaped(path), waiting(*pid))]
    Hung {
        /// The path asked for.
        path: PathBuf,
        /// The process that still waits for it; 0 where none does.
        pid: u32,
    },
    /// Its turn has not come.
    #[error("{} was not read in this look, since other files do not answer", escaped(path))]
    Postponed {
        /// The path asked for.
        path: PathBuf,
    },
    /// The process that reads for us could not.
    #[error("{} was not read: the process that reads it failed: {reason}", escaped(path))]
    Reader {
        /// The path asked for.
        path: PathBuf,
        /// How.
        reason: String,
    },
    /// The system reports an error.
    #[error("cannot read {}: {errno}", escaped(path))]
    Io {
        /// The path asked for.
        path: PathBuf,
        /// The error.
        #[serde(with = "errno_number")]
        errno: Errno,
    },
}

impl ReadError {
    pub(crate) fn io(path: &Path, errno: Errno) -> Self {
        Self::Io { path: path.to_owned(), errno }
    }

    /// Whether the next attempt may well succeed.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Io { errno: Errno::INTR, .. })
    }

    pub(super) fn denied(path: &Path, component: &Path, facts: &Facts, errno: Errno) -> Self {
        Self::Denied {
            path: path.to_owned(),
            component: component.to_owned(),
            uid: facts.uid,
            mode: facts.mode,
            policy: errno == Errno::PERM,
        }
    }

    /// What on the way is at fault, by its real path, where it is not what was asked for. When it changes another attempt
    /// is worth while.
    #[must_use]
    pub fn component(&self) -> Option<&Path> {
        match self {
            Self::Missing { component, .. }
            | Self::NotRegular { component, .. }
            | Self::Owner { component, .. }
            | Self::Writable { component, .. }
            | Self::NotReadableByAll { component, .. }
            | Self::Denied { component, .. } => Some(component),
            _ => None,
        }
    }

    /// Whether the directories on the way can be watched without waiting for what does not answer.
    #[must_use]
    pub fn is_watchable(&self) -> bool {
        !matches!(self, Self::Hung { .. } | Self::Postponed { .. } | Self::Reader { .. })
    }

    /// Whether it does not answer.
    #[must_use]
    pub fn is_hung(&self) -> bool {
        matches!(self, Self::Hung { .. })
    }

    /// A stable name for the cause.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::NotRegular { .. } => "not-a-regular-file",
            Self::PseudoFileSystem { .. } => "pseudo-file-system",
            Self::TooLarge { .. } => "too-large",
            Self::TooMany { .. } => "too-many-files",
            Self::Owner { .. } => "untrusted-owner",
            Self::Writable { .. } => "writable-by-others",
            Self::NotReadableByAll { .. } => "not-readable-by-all",
            Self::SymlinkLoop { .. } => "symlink-loop",
            Self::Denied { .. } => "denied",
            Self::Changed { .. } => "changing",
            Self::OwnFile { .. } => "own-file",
            Self::RelativePath { .. } => "relative-path",
            Self::BadPath { .. } => "bad-path",
            Self::Hung { .. } => "source-hung",
            Self::Postponed { .. } => "source-postponed",
            Self::Reader { .. } => "reader-failed",
            Self::Io { .. } => "io-error",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing { component, .. } => {
                format!("put the file there, or correct the path: ls -ld {}", quoted(component))
            }
            Self::NotRegular { component, .. } => {
                format!("put what is expected there, or correct the path: ls -ld {}", quoted(component))
            }
            Self::PseudoFileSystem { .. } | Self::RelativePath { .. } | Self::BadPath { .. } => {
                "name a regular file by its absolute path".to_owned()
            }
            Self::OwnFile { .. } => "name the file that the certificates come from".to_owned(),
            Self::TooLarge { path, .. } => {
                format!("check that {} is the right file, or raise sources.max_bytes", quoted(path))
            }
            Self::TooMany { path, .. } => format!("check that {} is the right directory", quoted(path)),
            Self::Owner { component, .. } => {
                format!("chown root {}, or add the user to sources.allow_owner", quoted(component))
            }
            Self::Writable { component, mode, .. } if mode & STICKY != 0 => {
                format!("move the file out of {}, where anybody can put files", quoted(component))
            }
            Self::Writable { component, .. } => format!("chmod go-w {}", quoted(component)),
            Self::NotReadableByAll { component, directory: true, .. } => {
                format!("chmod o+x {}", quoted(component))
            }
            Self::NotReadableByAll { component, .. } => format!("chmod o+r {}", quoted(component)),
            Self::SymlinkLoop { path, .. } => format!("look where the links lead: namei -l {}", quoted(path)),
            Self::Denied { path, policy: true, .. } => {
                if cfg!(target_os = "macos") {
                    format!("give agentd Full Disk Access, or move {}", quoted(path))
                } else {
                    format!("look at what the security module logged about {}", quoted(path))
                }
            }
            Self::Denied { path, .. } => {
                format!("let the user of the service read it: namei -l {}", quoted(path))
            }
            Self::Changed { .. } => "replace the file by a rename instead of writing into it".to_owned(),
            Self::Hung { path, .. } => format!(
                "bring back the file server or device that holds it (findmnt -T {}), or have the policy changed; it is \
                 tried again by itself",
                quoted(path.parent().unwrap_or(path))
            ),
            Self::Postponed { .. } => {
                "mend the files that do not answer; it is tried again by itself".to_owned()
            }
            Self::Reader { .. } => {
                "look at the limits of the service on processes and memory; it is tried again by itself"
                    .to_owned()
            }
            Self::Io { path, .. } => format!("check the file system that holds {}", quoted(path)),
        }
    }
}

fn waiting(pid: u32) -> String {
    if pid == 0 { String::new() } else { format!(" (process {pid} waits for it and cannot be ended)") }
}

fn expected(kind: Kind) -> &'static str {
    if kind == Kind::File { "a directory" } else { "a regular file" }
}

fn unless_same(words: &str, named: &Path, other: &Path) -> String {
    if named == other { String::new() } else { format!("{words}{}", escaped(named)) }
}

fn shortened(path: &Path) -> String {
    const SHOWN: usize = 100;
    let text = escaped(path);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

const STICKY: u32 = 0o1000;

mod errno_number {
    //! An error of the system by its number, which parent and child read alike.

    use rustix::io::Errno;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(super) fn serialize<S: Serializer>(errno: &Errno, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(errno.raw_os_error())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Errno, D::Error> {
        let number = i32::deserialize(deserializer)?;
        // Numbers that no system has would be out of its range.
        if (1..4096).contains(&number) {
            Ok(Errno::from_raw_os_error(number))
        } else {
            Err(serde::de::Error::custom("not an error of the system"))
        }
    }
}
