//! The durable write: a reader sees the old file or the new one, whole, whatever happens in between.
//!
//! A new file beside the old one, written, given owner and mode, synchronised, renamed over the old one, and the
//! directory synchronised. Everything is done relative to one descriptor of the directory, so that all of it happens
//! in the same directory even if its name comes to mean another one meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::io::Errno;

mod error;
#[cfg(test)]
pub(crate) mod faulty;
mod real;
#[cfg(test)]
mod tests;

pub use error::{PublishError, Step};
pub use real::RealFs;

/// The mode of the bundle: everybody may read it.
pub const BUNDLE_MODE: u32 = 0o644;

/// How the name of a file ends that is not published yet.
pub(crate) const TEMPORARY_SUFFIX: &str = ".agentd-new";

/// Whether a name is that of a file of ours that is not in place yet.
#[must_use]
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// The operations that a publication is made of, each on an open directory or file.
pub trait Fs: Send + Sync {
    /// Opens a directory.
    ///
    /// # Errors
    /// The system's, as for all of these.
    fn open_directory(&self, path: &Path) -> Result<File, Errno>;

    /// Removes a name.
    ///
    /// # Errors
    /// The system's.
    fn unlink(&self, directory: &File, name: &OsStr) -> Result<(), Errno>;

    /// Makes a file that nobody else can read yet. Fails where the name is taken.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, directory: &File, name: &OsStr) -> Result<File, Errno>;

    /// Writes some of the bytes, and says how many.
    ///
    /// # Errors
    /// The system's.
    fn write(&self, file: &File, bytes: &[u8]) -> Result<usize, Errno>;

    /// Has the disk begin with these bytes of the file, from `offset` on, where that can be asked for. Nothing is waited for
    /// and nothing promised: that is [`Self::sync_file`]'s.
    fn begin_sync(&self, _file: &File, _offset: u64, _length: u64) {}

    /// Gives the file to a user and a group.
    ///
    /// # Errors
    /// The system's.
    fn change_owner(&self, file: &File, uid: u32, gid: u32) -> Result<(), Errno>;

    /// Sets the mode.
    ///
    /// # Errors
    /// The system's.
    fn change_mode(&self, file: &File, mode: u32) -> Result<(), Errno>;

    /// Waits until the content is on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync_file(&self, file: &File) -> Result<(), Errno>;

    /// Renames within the directory, over whatever has the name.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> Result<(), Errno>;

    /// Waits until the directory's names are on the disk.
    ///
    /// # Errors
    /// The system's.
    fn sync_directory(&self, directory: &File) -> Result<(), Errno>;
}

/// Puts a file with this content and mode in place of whatever is there.
///
/// # Errors
/// [`PublishError`]. The old file stands and nothing new lies around it, unless [`PublishError::is_visible`].
pub fn publish(fs: &dyn Fs, path: &Path, bytes: &[u8], mode: u32) -> Result<(), PublishError> {
    publish_as(fs, path, bytes, mode, Owner::OfDirectory)
}

/// The same for a content in parts, which need not be put together in memory.
///
/// # Errors
/// As [`publish`].
pub fn publish_parts(fs: &dyn Fs, path: &Path, parts: &[&[u8]], mode: u32) -> Result<(), PublishError> {
    publish_parts_as(fs, path, parts, mode, Owner::OfDirectory)
}

/// Hands over the parts of a content, one after another, to whom it is given.
pub type Content<'a> =
    &'a dyn Fn(&mut dyn FnMut(&[u8]) -> Result<(), PublishError>) -> Result<(), PublishError>;

/// The same for a content that is made while it is written, and again where that has to be done once more.
///
/// # Errors
/// As [`publish`].
pub fn publish_made(fs: &dyn Fs, path: &Path, content: Content<'_>, mode: u32) -> Result<(), PublishError> {
    publish_content(fs, path, content, mode, Owner::OfDirectory)
}

/// Whose a new file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Of whom the directory belongs to, where root writes on behalf of the service; else of who writes.
    OfDirectory,
    /// Of this user and group, whoever writes.
    Of {
        /// The user's id.
        uid: u32,
        /// The group's id.
        gid: u32,
    },
}

/// The same, with an owner.
///
/// # Errors
/// As [`publish`].
pub fn publish_as(
    fs: &dyn Fs,
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Owner,
) -> Result<(), PublishError> {
    publish_parts_as(fs, path, &[bytes], mode, owner)
}

fn publish_parts_as(
    fs: &dyn Fs,
    path: &Path,
    parts: &[&[u8]],
    mode: u32,
    owner: Owner,
) -> Result<(), PublishError> {
    publish_content(fs, path, &|put| parts.iter().try_for_each(|part| put(part)), mode, owner)
}

fn publish_content(
    fs: &dyn Fs,
    path: &Path,
    content: Content<'_>,
    mode: u32,
    owner: Owner,
) -> Result<(), PublishError> {
    prepare_content(fs, path, content, mode, owner)?.put_in_place()
}

/// Writes what [`publish_parts`] would put in place, as far as the disk.
///
/// # Errors
/// [`PublishError`]. Nothing new lies around.
pub fn prepare_parts<'a>(
    fs: &'a dyn Fs,
    path: &'a Path,
    parts: &[&[u8]],
    mode: u32,
) -> Result<Prepared<'a>, PublishError> {
    prepare_content(fs, path, &|put| parts.iter().try_for_each(|part| put(part)), mode, Owner::OfDirectory)
}

fn prepare_content<'a>(
    fs: &'a dyn Fs,
    path: &'a Path,
    content: Content<'_>,
    mode: u32,
    owner: Owner,
) -> Result<Prepared<'a>, PublishError> {
    let target = Target::open(fs, path)?;
    match target.write_new(content, mode, owner) {
        Err(error @ PublishError::Step { step: Step::SyncFile, .. }) => {
            // Never again on the same descriptor: after one failure the kernel may report the lost pages as written.
            target.write_new(content, mode, owner).map_err(|_second| error)?;
        }
        other => other?,
    }
    Ok(Prepared { target, in_place: false })
}

/// A file that is whole on the disk and has yet to get its name. Dropped without that it is removed.
#[must_use]
pub struct Prepared<'a> {
    target: Target<'a>,
    in_place: bool,
}

impl Prepared<'_> {
    /// Puts it in place of whatever is there.
    ///
    /// # Errors
    /// As [`publish`].
    pub fn put_in_place(mut self) -> Result<(), PublishError> {
        self.target.rename()?;
        self.in_place = true;
        self.target.sync_directory()
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if !self.in_place {
            self.target.discard();
        }
    }
}

/// Removes a file, so that it stays removed after a power cut. A file that is not there is removed already.
///
/// # Errors
/// [`PublishError`]; [`PublishError::is_visible`] says that the name is gone now but may come back.
pub fn remove_durably(fs: &dyn Fs, path: &Path) -> Result<(), PublishError> {
    let target = Target::open(fs, path)?;
    match again(|| fs.unlink(&target.directory, &target.name)) {
        Ok(()) => target.sync_directory(),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(target.failed(Step::Remove, errno)),
    }
}

/// A name in an open directory.
struct Target<'a> {
    fs: &'a dyn Fs,
    path: &'a Path,
    directory: File,
    name: OsString,
    temporary: OsString,
}

impl<'a> Target<'a> {
    fn open(fs: &'a dyn Fs, path: &'a Path) -> Result<Self, PublishError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(PublishError::NoFileName { path: path.to_owned() });
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let directory = again(|| fs.open_directory(parent)).map_err(|errno| PublishError::Step {
            step: Step::OpenDirectory,
            path: parent.to_owned(),
            errno,
        })?;
        // One name for all attempts, hidden from whoever lists the directory: what a crash left behind is found
        // without looking for it, and there is one writer only, who holds the lock.
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(TEMPORARY_SUFFIX);
        Ok(Self { fs, path, directory, name: name.to_owned(), temporary })
    }

    /// The new file under its temporary name, on the disk. Where that fails it is gone again.
    fn write_new(&self, content: Content<'_>, mode: u32, owner: Owner) -> Result<(), PublishError> {
        let file = self.create()?;
        let filled = self.fill(&file, content, mode, owner);
        if filled.is_err() {
            self.discard();
        }
        filled
    }

    fn create(&self) -> Result<File, PublishError> {
        let create = || again(|| self.fs.create(&self.directory, &self.temporary));
        let created = match create() {
            // What a crash left behind, or somebody planted.
            Err(Errno::EXIST) => {
                let removed = again(|| self.fs.unlink(&self.directory, &self.temporary));
                removed.map_err(|errno| PublishError::Step {
                    step: Step::RemoveStale,
                    path: self.path.with_file_name(&self.temporary),
                    errno,
                })?;
                create()
            }
            other => other,
        };
        created.map_err(|errno| self.failed(Step::Create, errno))
    }

    fn fill(&self, file: &File, content: Content<'_>, mode: u32, owner: Owner) -> Result<(), PublishError> {
        /// What is less is on the disk in the time that a call takes.
        const LARGE: u64 = 512 << 10;
        let (mut begun, mut written) = (0, 0);
        content(&mut |part| {
            self.write_all(file, part)?;
            written += part.len() as u64;
            if written - begun >= LARGE {
                self.fs.begin_sync(file, begun, written - begun);
                begun = written;
            }
            Ok(())
        })?;
        match owner {
            Owner::OfDirectory => self.give_away(file)?,
            Owner::Of { uid, gid } => self.give_to(file, uid, gid)?,
        }
        again(|| self.fs.change_mode(file, mode)).map_err(|errno| self.failed(Step::ChangeMode, errno))?;
        again(|| self.fs.sync_file(file)).map_err(|errno| self.failed(Step::SyncFile, errno))
    }

    fn write_all(&self, file: &File, mut bytes: &[u8]) -> Result<(), PublishError> {
        while !bytes.is_empty() {
            match again(|| self.fs.write(file, bytes)) {
                // A regular file takes at least one byte or says why not.
                Ok(0) => return Err(self.failed(Step::Write, Errno::IO)),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(errno) => return Err(self.failed(Step::Write, errno)),
            }
        }
        Ok(())
    }

    /// Root writes on behalf of the service: the file belongs to whom the directory belongs to.
    fn give_away(&self, file: &File) -> Result<(), PublishError> {
        let owner = |file: &File| file.metadata().map(|metadata| (metadata.uid(), metadata.gid()));
        let (Ok(directory), Ok(own)) = (owner(&self.directory), owner(file)) else { return Ok(()) };
        if !rustix::process::geteuid().is_root() || directory.0 == own.0 {
            return Ok(());
        }
        match again(|| self.fs.change_owner(file, directory.0, directory.1)) {
            // A root of a container without this right, or an owner that does not exist there: a file of root's own
            // serves its readers as well.
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(()),
            Err(errno) => Err(self.failed(Step::ChangeOwner, errno)),
        }
    }

    fn give_to(&self, file: &File, uid: u32, gid: u32) -> Result<(), PublishError> {
        if file.metadata().is_ok_and(|metadata| (metadata.uid(), metadata.gid()) == (uid, gid)) {
            return Ok(());
        }
        again(|| self.fs.change_owner(file, uid, gid)).map_err(|errno| self.failed(Step::ChangeOwner, errno))
    }

    fn rename(&self) -> Result<(), PublishError> {
        let rename = || self.fs.rename(&self.directory, &self.temporary, &self.name);
        again(rename).map_err(|errno| self.failed(Step::Rename, errno))
    }

    fn sync_directory(&self) -> Result<(), PublishError> {
        again(|| self.fs.sync_directory(&self.directory))
            .map_err(|errno| PublishError::NotDurable { path: self.path.to_owned(), errno })
    }

    /// Best effort: what stays is removed by the next publication.
    fn discard(&self) {
        let _stays = again(|| self.fs.unlink(&self.directory, &self.temporary));
    }

    fn failed(&self, step: Step, errno: Errno) -> PublishError {
        PublishError::Step { step, path: self.path.to_owned(), errno }
    }
}

/// Once more for as long as a signal came in between.
fn again<T>(mut operation: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
