//! Holding what a name leads to, without opening what must not be opened.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::Kind;
use super::facts::Facts;

/// What a name is.
#[derive(Debug)]
pub(super) enum Found {
    /// With its facts where they are to be had.
    Link {
        target: PathBuf,
        uid: u32,
        facts: Option<Facts>,
    },
    Directory(File),
    Regular(File),
    Other(Kind),
}

/// How descriptors are had. The answers are about the same inode even where names change in between.
pub(super) trait Handles {
    /// A directory by its path, following links: for the places where a walk begins.
    fn begin(&self, path: &Path) -> Result<File, Errno>;

    /// What a name in a directory is. Follows no link and opens no device.
    fn find(&self, directory: &File, name: &OsStr) -> Result<Found, Errno>;

    /// The file that was found under this name, open for reading.
    fn readable(&self, directory: &File, name: &OsStr, found: &File) -> Result<File, Errno>;
}

#[cfg(target_os = "linux")]
pub(super) use Pinned as Platform;

#[cfg(not(target_os = "linux"))]
pub(super) use Compared as Platform;

/// Linux: `O_PATH` holds an inode without opening it, and `/proc/self/fd` opens what is held. `openat2` would do more
/// in one call, but `RestrictSUIDSGID=` of systemd makes it fail.
#[cfg(target_os = "linux")]
#[derive(Debug, Default)]
pub(super) struct Pinned;

#[cfg(target_os = "linux")]
impl Handles for Pinned {
    fn begin(&self, path: &Path) -> Result<File, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from)
    }

    fn find(&self, directory: &File, name: &OsStr) -> Result<Found, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = File::from(rustix::fs::openat(directory, name, flags, Mode::empty())?);
        let stat = rustix::fs::fstat(&held)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => link(&held, OsStr::new(""), &stat, Facts::of(&held).ok()),
            FileType::Directory => Ok(Found::Directory(held)),
            FileType::RegularFile => Ok(Found::Regular(held)),
            other => Ok(Found::Other(kind(other))),
        }
    }

    fn readable(&self, directory: &File, name: &OsStr, found: &File) -> Result<File, Errno> {
        use std::os::fd::AsRawFd as _;
        let held = format!("/proc/self/fd/{}", found.as_raw_fd());
        match rustix::fs::open(held, READ, Mode::empty()) {
            // No /proc here: by name once more, and it must be the same.
            Err(Errno::NOENT | Errno::NOTDIR) => same(
                rustix::fs::openat(directory, name, READ | OFlags::NOFOLLOW, Mode::empty())?.into(),
                found,
            ),
            other => same(other?.into(), found),
        }
    }
}

/// Everywhere else: look at the type, open without waiting, and compare.
#[cfg(any(not(target_os = "linux"), test))]
#[derive(Debug, Default)]
pub(super) struct Compared;

#[cfg(any(not(target_os = "linux"), test))]
impl Handles for Compared {
    fn begin(&self, path: &Path) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from)
    }

    fn find(&self, directory: &File, name: &OsStr) -> Result<Found, Errno> {
        let stat = rustix::fs::statat(directory, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
        let open = |flags: OFlags| -> Result<File, Errno> {
            let file =
                File::from(rustix::fs::openat(directory, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
            let opened = rustix::fs::fstat(&file)?;
            let same = (opened.st_dev, opened.st_ino) == (stat.st_dev, stat.st_ino);
            // As for a file that went away at this moment; the next attempt finds the new one.
            if same { Ok(file) } else { Err(Errno::STALE) }
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => link(directory, name, &stat, None),
            FileType::Directory => open(READ | OFlags::DIRECTORY).map(Found::Directory),
            FileType::RegularFile => open(READ).map(Found::Regular),
            other => Ok(Found::Other(kind(other))),
        }
    }

    fn readable(&self, _directory: &File, _name: &OsStr, found: &File) -> Result<File, Errno> {
        found.try_clone().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

#[cfg(target_os = "linux")]
fn same(file: File, found: &File) -> Result<File, Errno> {
    let (opened, held) = (rustix::fs::fstat(&file)?, rustix::fs::fstat(found)?);
    let same = (opened.st_dev, opened.st_ino) == (held.st_dev, held.st_ino);
    if same { Ok(file) } else { Err(Errno::STALE) }
}

fn link(at: &File, name: &OsStr, stat: &Stat, facts: Option<Facts>) -> Result<Found, Errno> {
    let target: CString = rustix::fs::readlinkat(at, name, Vec::new())?;
    Ok(Found::Link {
        target: PathBuf::from(OsString::from_vec(target.into_bytes())),
        uid: stat.st_uid,
        facts,
    })
}

fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::CharacterDevice | FileType::BlockDevice => Kind::Device,
        FileType::Symlink | FileType::Unknown => Kind::Other,
    }
}

/// Neither waits for a writer at the other end, nor takes over a terminal.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
