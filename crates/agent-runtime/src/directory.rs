//! Making directories, also as root for a daemon that runs as another user.

use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown};
use std::path::Path;

use rustix::fs::{Dir, DirEntry, Mode, OFlags};

/// Makes a directory with this mode unless it is there, and before it the ones above it, which are ordinary directories
/// whatever the mode of the last one.
///
/// Each belongs to whom the one above it belongs to, as the files do that are published: `agentctl`, run by root before the
/// service has ever started, must not leave a state behind that the service cannot write to.
pub(crate) fn make(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make(above, ORDINARY)?;
    }
    loop {
        match DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody else was faster, or whoever looked whether it is a directory was interrupted.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    // Only root may, and only root has to.
    if rustix::process::geteuid().is_root()
        && let Some(above) = above.and_then(|above| fs::metadata(above).ok())
    {
        let _stays = hand_over(path, &above);
    }
    Ok(())
}

/// Gives the directory that was just made to the owner of the one above it. By a descriptor, and only if it is still one of
/// ours: who owns the one above may have put another in its place.
fn hand_over(path: &Path, above: &Metadata) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let made = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let found = made.metadata()?;
    let differs = (found.uid(), found.gid()) != (above.uid(), above.gid());
    if found.uid() == 0
        && differs
        && Dir::read_from(&made)?.all(|entry| entry.is_ok_and(|entry| is_dot(&entry)))
    {
        fchown(made, Some(above.uid()), Some(above.gid()))?;
    }
    Ok(())
}

/// Every directory holds itself and the one above it.
fn is_dot(entry: &DirEntry) -> bool {
    [c".", c".."].contains(&entry.file_name())
}

const ORDINARY: u32 = 0o755;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use super::*;

    #[test]
    fn each_one_belongs_to_the_owner_of_the_one_above() {
        let place = tempfile::tempdir().unwrap();
        let facts = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.uid(), metadata.gid(), metadata.permissions().mode() & 0o777)
        };
        // Others than root have nobody to give it to.
        let owner = if rustix::process::geteuid().is_root() {
            (4711, 4712)
        } else {
            (facts(place.path()).0, facts(place.path()).1)
        };
        chown(place.path(), Some(owner.0), Some(owner.1)).unwrap();
        let state = place.path().join("store/state");
        make(&state, 0o700).unwrap();
        assert_eq!(facts(&state), (owner.0, owner.1, 0o700));
        assert_eq!(facts(&place.path().join("store")), (owner.0, owner.1, 0o755));
        make(&state, 0o755).unwrap();
        assert_eq!(facts(&state).2, 0o700, "one that is there stays as it is");

        symlink(&state, place.path().join("link")).unwrap();
        make(&place.path().join("link/below"), 0o700).unwrap();
        assert!(state.join("below").is_dir());
        fs::write(place.path().join("file"), "").unwrap();
        assert!(make(&place.path().join("file"), 0o700).is_err());
        assert!(make(&place.path().join("file/below"), 0o700).is_err());
    }
}
