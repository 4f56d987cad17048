//! What the system says of a file or directory.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use rustix::fs::RawMode;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What `fstat` says, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Device and inode.
    pub(super) id: (u64, u64),
    pub(super) uid: u32,
    /// Permissions, without the type.
    pub(super) mode: u32,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Facts {
    pub(super) fn of(file: &File) -> Result<Self, Errno> {
        let metadata = file.metadata().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        Ok(Self {
            id: (metadata.dev(), metadata.ino()),
            uid: metadata.uid(),
            mode: metadata.mode() & 0o7777,
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Whether nothing was written to the file in between, as far as its times tell.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        let key = |facts: &Self| (facts.id, facts.size, facts.modified, facts.changed);
        key(self) == key(other)
    }

    /// Whether a judgement of the other one is a judgement of this.
    pub(super) fn is_judged_like(&self, other: &Self) -> bool {
        let key = |facts: &Self| (facts.id, facts.uid, facts.mode);
        key(self) == key(other)
    }

    /// Whether it was left alone for so long at this time. A time to come says nothing.
    pub(super) fn is_left_alone(&self, long: Duration, now: SystemTime) -> bool {
        let left_alone = |time| now.duration_since(system_time(time)).is_ok_and(|age| age >= long);
        left_alone(self.changed) && left_alone(self.modified)
    }

    #[cfg(target_os = "linux")]
    pub(super) fn of_statx(found: &rustix::fs::Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
        Self {
            id: (rustix::fs::makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
            uid: found.stx_uid,
            mode: u32::from(found.stx_mode) & 0o7777,
            size: found.stx_size,
            modified: time(found.stx_mtime),
            changed: time(found.stx_ctime),
        }
    }

    pub(super) fn modified(&self) -> SystemTime {
        system_time(self.modified)
    }
}

fn system_time((seconds, nanoseconds): (i64, i64)) -> SystemTime {
    let part = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    time.and_then(|time| time.checked_add(part)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The permissions in a raw mode, whose width differs between systems.
#[cfg_attr(target_os = "linux", expect(clippy::useless_conversion, reason = "macOS has modes of 16 bits"))]
pub(super) fn permissions(mode: RawMode) -> u32 {
    u32::from(mode) & 0o7777
}
