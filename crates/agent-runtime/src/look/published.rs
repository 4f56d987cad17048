//! The bundle as it is on disk.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use trust_core::Fingerprint;
use trust_core::fingerprint::Parts;

use crate::publish::BUNDLE_MODE;

/// SHA-256 of the bundle on disk if it is as we publish it: a regular file with the right mode, no link. Anything else
/// is replaced by the next publication, so why it is not is not asked.
#[must_use]
pub fn published_digest(path: &Path) -> Option<Fingerprint> {
    read_published(path).map(|(_, sha256)| sha256)
}

pub(crate) fn read_published(path: &Path) -> Option<(File, Fingerprint)> {
    /// Twice what the sources together can hold at the default limits.
    const MAX_BYTES: u64 = 128 << 20;
    /// A real store comes in one piece.
    const AT_ONCE: usize = 512 << 10;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let permissions = metadata.mode() & 0o7777;
    if !metadata.is_file() || metadata.len() > MAX_BYTES || permissions != BUNDLE_MODE {
        return None;
    }
    // Nobody needs it whole: with ten thousand anchors it would be most of what is in memory.
    let mut parts = Parts::default();
    let mut buffer = vec![0; AT_ONCE.min(usize::try_from(metadata.len()).ok()? + 1)];
    let mut left = MAX_BYTES;
    loop {
        match (&file).read(&mut buffer) {
            Ok(0) => return Some((file, parts.finish())),
            Ok(read) => {
                // One that grows without end is none of ours.
                left = left.checked_sub(read as u64)?;
                parts.push(&buffer[..read]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}
