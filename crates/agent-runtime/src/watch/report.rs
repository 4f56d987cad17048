//! What is watched and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Refusal;
use crate::escape::escaped;

/// What is watched and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchReport {
    covered: BTreeSet<PathBuf>,
    remote: BTreeMap<PathBuf, &'static str>,
    refusals: BTreeSet<String>,
    layered: bool,
}

impl WatchReport {
    /// Whether some changes may come without an event, so that looking more often is worth while.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        // A layered file system tells of changes made through it, in a container that is all there are: a quicker poll
        // costs little, a complaint that nobody can do anything about costs trust. FSEvents may join events for long.
        !self.remote.is_empty() || !self.refusals.is_empty() || self.layered || cfg!(target_os = "macos")
    }

    /// Why changes are noticed late that ought to be noticed at once, with what can be done about it.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let remote = self.remote.iter().map(|(directory, name)| {
            format!("{} is on {name}, which does not tell of changes made elsewhere", escaped(directory))
        });
        remote.chain(self.refusals.iter().cloned()).collect()
    }

    /// Whether a change of this file is seen at once, or its coming where it is not there.
    #[must_use]
    pub fn covers(&self, path: &Path) -> bool {
        path.parent().is_some_and(|directory| self.covered.contains(directory))
    }

    /// A directory that will be watched. Those above it come first.
    pub(super) fn add(&mut self, directory: &Path, nature: Nature) {
        match nature {
            Nature::Local => {}
            Nature::Layered => self.layered = true,
            Nature::Remote(name) => {
                if !self.remote.keys().any(|known| directory.starts_with(known)) {
                    self.remote.insert(directory.to_owned(), name);
                }
                return;
            }
        }
        self.covered.insert(directory.to_owned());
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

/// Whether changes on a file system are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// All of them.
    Local,
    /// Those made through it, not those made to what it is a view of.
    Layered,
    /// Those made on this machine.
    Remote(&'static str),
}

#[cfg(target_os = "linux")]
pub(super) fn nature(directory: &Path) -> Nature {
    use rustix::fs::FsWord;
    /// From `linux/magic.h` and the file systems' own sources.
    const REMOTE: [(FsWord, &str); 14] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xfe53_4d42, "SMB"),
        (0xff53_4d42, "SMB"),
        (0x6573_5546, "FUSE"),
        (0x0102_1997, "9p"),
        (0x5346_414f, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x7375_7245, "Coda"),
        (0x0116_1970, "GFS2"),
        (0x7461_636f, "OCFS2"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x786f_4256, "a VirtualBox share"),
    ];
    const LAYERED: [FsWord; 2] = [
        0x794c_7630, // overlayfs
        0xf15f,      // eCryptfs
    ];
    let Ok(stat) = rustix::fs::statfs(directory) else { return Nature::Local };
    if LAYERED.contains(&stat.f_type) {
        return Nature::Layered;
    }
    let remote = REMOTE.iter().find(|(magic, _)| *magic == stat.f_type);
    remote.map_or(Nature::Local, |(_, name)| Nature::Remote(name))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn nature(_directory: &Path) -> Nature {
    // macOS is polled quickly whatever the file system.
    Nature::Local
}
