//! Why the daemon could not be asked, and what to do.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use crate::refusal::Refusal;

/// Why the daemon could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("agentd is not running: nobody listens on {}", path.display())]
    NotRunning {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket may not be opened.
    #[error("permission denied: {}", path.display())]
    Denied {
        /// The path of the socket.
        path: PathBuf,
        /// The group whose members may; `None` where not even that may be seen.
        group: Option<Group>,
    },
    /// The daemon did not answer in time.
    #[error("agentd did not answer {method} within {} s", after.as_secs())]
    Timeout {
        /// What it was asked.
        method: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The daemon answered with an error.
    #[error(transparent)]
    Refused(Refusal),
    /// The daemon does not know the method or a parameter: it is another version.
    #[error("this agentd does not know {thing}")]
    Unsupported {
        /// What it does not know.
        thing: String,
    },
    /// The daemon answered with an error of another version.
    #[error("agentd answered with the error {name}")]
    UnknownError {
        /// Its name.
        name: String,
    },
    /// The daemon closed before it answered.
    #[error("agentd closed the connection on {}", path.display())]
    Closed {
        /// The path of the socket.
        path: PathBuf,
    },
    /// What came is no reply of this interface.
    #[error("what answers is not agentd, or another version: {detail}")]
    Protocol {
        /// What is wrong with it.
        detail: String,
    },
    /// No socket can have that path here.
    #[error("{} is too long for a socket", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot talk to agentd on {}: {source}", path.display())]
    Io {
        /// The path of the socket.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

impl ClientError {
    /// What to do about it; may be empty.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NotRunning { .. } => "start it with `systemctl start agentd`".to_owned(),
            Self::Denied { group: Some(group), .. } => format!("run it as root, or as a member of {group}"),
            Self::Denied { group: None, .. } => "run it as root".to_owned(),
            Self::Timeout { .. } | Self::Closed { .. } => {
                "look at its log: `journalctl -u agentd`".to_owned()
            }
            Self::Refused(refusal) => refusal.remedy().to_owned(),
            Self::Unsupported { .. } | Self::UnknownError { .. } | Self::Protocol { .. } => {
                "restart agentd after an update, so that both are of one version".to_owned()
            }
            Self::TooLong { .. } => "configure a shorter path".to_owned(),
            Self::Io { .. } => String::new(),
        }
    }

    pub(super) fn protocol(detail: impl fmt::Display) -> Self {
        Self::Protocol { detail: detail.to_string() }
    }

    pub(super) fn of_connect(path: &Path, errno: Errno, after: Duration) -> Self {
        let path = path.to_owned();
        match errno {
            Errno::NOENT | Errno::CONNREFUSED | Errno::NOTDIR => Self::NotRunning { path },
            Errno::ACCESS | Errno::PERM => Self::Denied { group: Group::that_may(&path), path },
            Errno::NAMETOOLONG => Self::TooLong { path },
            Errno::AGAIN => Self::Timeout { method: "connect", after },
            errno => Self::Io { path, source: errno.into() },
        }
    }
}

/// A group of the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub gid: u32,
    /// Its name, where `/etc/group` has one.
    pub name: Option<String>,
}

impl Group {
    /// The group of the socket, or of its directory where that keeps us from seeing the socket.
    fn that_may(path: &Path) -> Option<Self> {
        let gid = path.ancestors().take(2).find_map(|path| std::fs::symlink_metadata(path).ok())?.gid();
        let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
        let name = groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(gid)).then(|| name.to_owned())
        });
        Some(Self { gid, name })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the group {name}"),
            None => write!(f, "the group {}", self.gid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &Path, errno: Errno) -> ClientError {
        ClientError::of_connect(path, errno, Duration::from_secs(1))
    }

    #[test]
    fn says_who_may_open_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let gid = std::fs::metadata(dir.path()).unwrap().gid();
        // The socket cannot be seen: its directory's group is named.
        let denied = of(&dir.path().join("control.sock"), Errno::ACCESS);
        let ClientError::Denied { group: Some(group), .. } = &denied else { panic!("{denied:?}") };
        assert_eq!(group.gid, gid);
        assert!(denied.remedy().contains(&group.to_string()), "{}", denied.remedy());
        let nowhere = of(Path::new("/nowhere/at/all.sock"), Errno::ACCESS);
        assert!(matches!(nowhere, ClientError::Denied { group: None, .. }), "{nowhere:?}");
    }

    #[test]
    fn tells_no_daemon_from_other_failures() {
        let path = Path::new("/nowhere/control.sock");
        for errno in [Errno::NOENT, Errno::CONNREFUSED] {
            assert!(matches!(of(path, errno), ClientError::NotRunning { .. }));
        }
        assert!(matches!(of(path, Errno::AGAIN), ClientError::Timeout { .. }));
        assert!(matches!(of(path, Errno::NAMETOOLONG), ClientError::TooLong { .. }));
        assert!(matches!(of(path, Errno::NFILE), ClientError::Io { .. }));
    }
}
