//! What a walk passed, kept so that the next look can tell by a few `statx` that walking and reading again would find
//! the same.
//!
//! A directory was judged by its owner and mode, and led on by its inode: as long as these are the same, so is the
//! judgement. Names appear and vanish in it all the time, so its times do not count. Of a link, of the file, and of a
//! directory that was listed all counts.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::facts::Facts;

/// The way to a file or to a directory's list, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trail {
    marks: Vec<Mark>,
}

/// One name on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    path: PathBuf,
    facts: Facts,
    /// All must be the same, not only what was judged.
    whole: bool,
}

impl Trail {
    /// Whether all of it is still so. From the beginning on, and no further than to the first difference: what lies
    /// behind something new is not touched, for it may be a mount that never answers.
    pub(crate) fn still_holds(&self, glances: &mut Glances) -> bool {
        !self.marks.is_empty()
            && self.marks.iter().all(|mark| {
                glances.at(&mark.path).is_some_and(|now| {
                    if mark.whole { *now == mark.facts } else { now.is_judged_like(&mark.facts) }
                })
            })
    }

    /// Whether what counts whole was left alone for long enough at this time that a later change shows in its times.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        self.is_left_alone(SETTLED, now)
    }

    /// Whether a later change shows in the times, but for one through memory.
    pub(crate) fn is_past_a_tick(&self, now: SystemTime) -> bool {
        self.is_left_alone(TICK, now)
    }

    fn is_left_alone(&self, long: Duration, now: SystemTime) -> bool {
        self.marks.iter().filter(|mark| mark.whole).all(|mark| mark.facts.is_left_alone(long, now))
    }
}

/// A trail that is being made. `None` where it leads over a file system whose times or inodes prove nothing, or that may
/// not answer.
#[derive(Debug)]
pub(super) struct Trace {
    marks: Option<Vec<Mark>>,
    /// The device that was last found to be a disk of this machine.
    steady: Option<u64>,
}

impl Trace {
    pub(super) fn new() -> Self {
        Self { marks: Some(Vec::new()), steady: None }
    }

    /// A directory on the way.
    pub(super) fn passed(&mut self, path: &Path, facts: &Facts, directory: &File) {
        if self.is_steady(facts, directory) {
            self.mark(path, facts, false);
        }
    }

    /// A link on the way; `None` where nothing is known of it.
    pub(super) fn followed(&mut self, path: &Path, facts: Option<&Facts>) {
        match facts {
            Some(facts) => self.mark(path, facts, true),
            None => self.marks = None,
        }
    }

    /// Up to here, for who cannot go on.
    pub(super) fn so_far(&self) -> Option<Trail> {
        self.marks.clone().map(|marks| Trail { marks })
    }

    /// The end.
    pub(super) fn ended(mut self, path: &Path, facts: &Facts, file: &File) -> Option<Trail> {
        if self.is_steady(facts, file) {
            self.mark(path, facts, true);
        }
        self.marks.map(|marks| Trail { marks })
    }

    fn mark(&mut self, path: &Path, facts: &Facts, whole: bool) {
        if let Some(marks) = &mut self.marks {
            marks.push(Mark { path: path.to_owned(), facts: facts.clone(), whole });
        }
    }

    fn is_steady(&mut self, facts: &Facts, file: &File) -> bool {
        if self.marks.is_none() {
            return false;
        }
        let steady = self.steady == Some(facts.id.0) || is_steady(file);
        if steady {
            self.steady = Some(facts.id.0);
        } else {
            self.marks = None;
        }
        steady
    }
}

/// What is at each path, asked once in a look: sources have most of their way in common.
#[derive(Debug, Default)]
pub(crate) struct Glances(HashMap<PathBuf, Glance>);

#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "elsewhere nothing is known by a glance"))]
enum Glance {
    There(Facts),
    Absent,
    Unknown,
}

impl Glances {
    fn at(&mut self, path: &Path) -> Option<&Facts> {
        match self.glance(path) {
            Glance::There(facts) => Some(facts),
            Glance::Absent | Glance::Unknown => None,
        }
    }

    /// Whether there is certainly nothing of this name.
    pub(crate) fn is_absent(&mut self, path: &Path) -> bool {
        matches!(self.glance(path), Glance::Absent)
    }

    /// The facts of a file by its name alone, for what is our own.
    pub(crate) fn of_own(&mut self, path: &Path) -> Option<Own> {
        self.at(path).cloned().map(Own)
    }

    fn glance(&mut self, path: &Path) -> &Glance {
        self.0.entry(path.to_owned()).or_insert_with(|| glance(path))
    }
}

/// A file of our own as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own(Facts);

impl Own {
    /// A file that is open.
    pub(crate) fn of(file: &File) -> Option<Self> {
        (cfg!(target_os = "linux") && is_steady(file)).then(|| Facts::of(file).ok().map(Self)).flatten()
    }

    /// As [`Trail::is_settled`].
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        self.0.is_left_alone(SETTLED, now)
    }
}

/// Follows no link, mounts nothing, and asks no server.
#[cfg(target_os = "linux")]
fn glance(path: &Path) -> Glance {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(CWD, path, flags, StatxFlags::BASIC_STATS) {
        Ok(found) => Glance::There(Facts::of_statx(&found)),
        Err(rustix::io::Errno::NOENT) => Glance::Absent,
        Err(_) => Glance::Unknown,
    }
}

#[cfg(not(target_os = "linux"))]
fn glance(_path: &Path) -> Glance {
    Glance::Unknown
}

/// A disk of this machine whose every change of a file changes the file's `ctime`, a change through memory within the
/// time until it is written back. On tmpfs that never happens, and what lies below an overlay changes unseen.
#[cfg(target_os = "linux")]
fn is_steady(file: &File) -> bool {
    use rustix::fs::FsWord;
    /// From `linux/magic.h`.
    const MAGIC: [FsWord; 4] = [
        0x0000_ef53, // ext2, ext3, ext4
        0x5846_5342, // xfs
        0x9123_683e, // btrfs
        0xf2f5_2010, // f2fs
    ];
    rustix::fs::fstatfs(file).is_ok_and(|stat| MAGIC.contains(&stat.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_steady(_file: &File) -> bool {
    false
}

/// For so long a file must have been left alone. Two changes within one tick of the clock leave the same times behind,
/// which a second would cover. A page that is written through memory changes the times only when it was clean before,
/// and it is clean again once it was written back: by default after 30 seconds, looked for every five.
const SETTLED: Duration = Duration::from_secs(60);

/// Longer than any tick of a clock that the file systems in question take their times from.
const TICK: Duration = Duration::from_secs(2);
