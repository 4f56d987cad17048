//! The places that the daemon may write to, from its start to its end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use agent_config::Settings;

use super::{Confined, no_writes_but};

/// Device and inode: to these the kernel ties what was granted, and not to names.
type Inode = (u64, u64);

/// What this process was confined to. It cannot be widened again.
#[derive(Debug)]
pub struct Sandbox {
    confined: Confined,
    granted: Vec<(PathBuf, Inode)>,
}

/// Every directory in which the daemon writes with these settings.
#[must_use]
pub fn written(settings: &Settings) -> BTreeSet<PathBuf> {
    let store = &settings.store;
    let refreshed = settings.refresh.index.as_ref().map(|_index| settings.refresh.anchors.as_path());
    let textfile = settings.metrics.textfile.as_deref().and_then(Path::parent);
    let directories = [store.merged.parent(), Some(&store.policies), Some(&store.state), refreshed, textfile];
    directories.into_iter().flatten().map(Path::to_owned).collect()
}

impl Sandbox {
    /// From now on this process can write to its own directories and nowhere else. To be called before it has a second
    /// thread. Directories that are not there are made, as they would be later; where that cannot be, the nearest one
    /// above counts, for they are tried again.
    ///
    /// Where nobody starts this process again (`managed` is false), the directory above each counts as well: one that is
    /// replaced, or mounted over, must not end the writing for good.
    #[must_use]
    pub fn enter(settings: &Settings, managed: bool) -> Self {
        let socket = settings.control.socket.parent().map(Path::to_owned);
        let mut directories = written(settings);
        for directory in &directories {
            let mode = if *directory == settings.store.state { 0o700 } else { 0o755 };
            make(directory, mode);
        }
        if let Some(socket) = socket {
            make(&socket, 0o755);
            directories.insert(socket);
        }
        if !managed {
            let above: Vec<_> = directories.iter().filter_map(|directory| above(directory)).collect();
            directories.extend(above);
        }
        let granted: Vec<_> = directories.iter().filter_map(|directory| nearest(directory)).collect();
        let mut paths: Vec<&Path> = granted.iter().map(|(path, _)| path.as_path()).collect();
        // What a child is to say to nobody goes there.
        paths.push(Path::new("/dev/null"));
        let confined = no_writes_but(&paths);
        Self { confined, granted }
    }

    /// Whether the kernel enforces it.
    #[must_use]
    pub fn confined(&self) -> Confined {
        self.confined
    }

    /// The directories below which writing was granted.
    #[must_use]
    pub fn granted(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.granted.iter().map(|(path, _)| path.clone()).collect();
        paths.dedup();
        paths
    }

    /// Those of these directories that nothing was granted for: another one has the name than at the start, something
    /// is mounted over it, or it is not where it was configured to be then.
    #[must_use]
    pub fn out_of_reach(&self, directories: &BTreeSet<PathBuf>) -> Vec<PathBuf> {
        if self.confined == Confined::Not {
            return Vec::new();
        }
        directories.iter().filter(|directory| !self.reaches(directory)).cloned().collect()
    }

    fn reaches(&self, directory: &Path) -> bool {
        let Some((place, _)) = nearest(directory) else { return false };
        let Ok(place) = fs::canonicalize(place) else { return false };
        let granted =
            |path: &Path| inode(path).is_some_and(|inode| self.granted.iter().any(|(_, at)| *at == inode));
        place.ancestors().any(granted)
    }
}

/// The one that holds this one; not the top, which holds everything.
fn above(directory: &Path) -> Option<PathBuf> {
    directory.parent().filter(|above| above.parent().is_some()).map(Path::to_owned)
}

/// The directory, or else the nearest one above it.
fn nearest(directory: &Path) -> Option<(PathBuf, Inode)> {
    directory.ancestors().find_map(|path| Some((path.to_owned(), inode(path)?)))
}

fn inode(path: &Path) -> Option<Inode> {
    fs::metadata(path).ok().filter(fs::Metadata::is_dir).map(|metadata| (metadata.dev(), metadata.ino()))
}

fn make(directory: &Path, mode: u32) {
    // Parents are ordinary directories whatever the mode of the last one. Who writes there says what is wrong with it.
    let parent =
        directory.parent().map(|parent| fs::DirBuilder::new().recursive(true).mode(0o755).create(parent));
    let _later = parent.unwrap_or(Ok(())).and_then(|()| match inode(directory) {
        Some(_) => Ok(()),
        None => fs::DirBuilder::new().mode(mode).create(directory),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(paths: &[&Path]) -> Sandbox {
        let granted = paths.iter().filter_map(|path| nearest(path)).collect();
        Sandbox { confined: Confined::Fully, granted }
    }

    fn set(paths: &[&Path]) -> BTreeSet<PathBuf> {
        paths.iter().map(|path| path.to_path_buf()).collect()
    }

    #[test]
    fn what_was_replaced_or_moved_is_out_of_reach() {
        let scratch = tempfile::tempdir().unwrap();
        let (one, two) = (scratch.path().join("one"), scratch.path().join("two"));
        make(&one.join("below"), 0o700);
        make(&two, 0o755);
        let sandbox = granted(&[&one]);
        let below = one.join("below");
        let later = one.join("later/below");
        assert!(sandbox.out_of_reach(&set(&[&one, &below, &later])).is_empty());
        assert_eq!(sandbox.out_of_reach(&set(&[&one, &two])), std::slice::from_ref(&two));
        // A link into it leads into it.
        std::os::unix::fs::symlink(&below, scratch.path().join("link")).unwrap();
        assert!(sandbox.out_of_reach(&set(&[&scratch.path().join("link")])).is_empty());
        fs::rename(&one, scratch.path().join("away")).unwrap();
        assert_eq!(sandbox.out_of_reach(&set(&[&one])), std::slice::from_ref(&one), "it is gone");
        make(&one, 0o755);
        assert_eq!(sandbox.out_of_reach(&set(&[&one])), std::slice::from_ref(&one), "it is another");
        assert_eq!(above(Path::new("/var/lib/agentd")), Some("/var/lib".into()));
        assert_eq!(above(Path::new("/data")), None);
        let not = Sandbox { confined: Confined::Not, ..sandbox };
        assert!(not.out_of_reach(&set(&[&one, &two])).is_empty(), "nothing was taken away");
    }

    #[test]
    fn a_directory_that_cannot_be_made_counts_by_the_one_above() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let below = file.join("state");
        make(&below, 0o700);
        assert_eq!(granted(&[&below]).granted(), [scratch.path().to_owned()]);
    }
}
