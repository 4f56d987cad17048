//! The files of a directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::handle::Platform;
use super::walk::Walk;
use super::{ReadError, Rules, Trail, patiently};
use crate::publish::is_temporary;

/// The files of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Their paths, in name order.
    pub files: Vec<PathBuf>,
    /// The way to the directory, where it tells whether the list is still right.
    pub trail: Option<Trail>,
}

/// The files in a directory that keeps the rules, sorted by the bytes of their names. What they are and whose is judged
/// when they are read. Left out: hidden names, where editors and copying tools keep what is not finished, directories
/// and special files, and what is our own.
///
/// # Errors
/// As [`super::read_file`], and [`ReadError::TooMany`].
pub fn list_directory(path: &Path, rules: &Rules) -> Result<Listing, ReadError> {
    patiently(|| list_once(path, rules))
}

fn list_once(path: &Path, rules: &Rules) -> Result<Listing, ReadError> {
    let (level, mut trail) = Walk::new(&Platform, path, rules)?.reach_directory()?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::openat(&level.directory, ".", flags, Mode::empty()).map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => ReadError::denied(path, &level.path, &level.facts, errno),
            errno => ReadError::io(path, errno),
        })?;
    let mut names = Vec::new();
    for entry in Dir::read_from(&directory).map_err(|errno| ReadError::io(path, errno))? {
        let entry = entry.map_err(|errno| ReadError::io(path, errno))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if !matches!(entry.file_type(), FileType::RegularFile | FileType::Directory) {
            // What a link leads to may change and leave this directory as it is.
            trail = None;
        }
        if is_candidate(&level.directory, name, entry.file_type()) {
            names.push(name.to_owned());
        }
        if names.len() > MAX_FILES {
            return Err(ReadError::TooMany { path: path.to_owned(), limit: MAX_FILES });
        }
    }
    names.sort_unstable();
    let ours = |name: &OsString| {
        let (named, real) = (path.join(name), level.path.join(name));
        rules.refuse.iter().any(|own| *own == named || *own == real)
    };
    names.retain(|name| !ours(name));
    Ok(Listing { files: names.into_iter().map(|name| path.join(name)).collect(), trail })
}

/// Whether a directory keeps the rules for one that holds a source.
///
/// # Errors
/// As [`super::read_file`].
pub fn judge_directory(path: &Path, rules: &Rules) -> Result<(), ReadError> {
    patiently(|| Walk::new(&Platform, path, rules)?.reach_directory()).map(|_level| ())
}

fn is_candidate(directory: &File, name: &OsStr, kind: FileType) -> bool {
    if name.as_bytes().starts_with(b".") || is_temporary(name) {
        return false;
    }
    match kind {
        FileType::RegularFile => true,
        // Of a link the end counts; one that leads nowhere now may be on its way.
        FileType::Symlink | FileType::Unknown => {
            match rustix::fs::statat(directory, name, AtFlags::empty()) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile,
                Err(_) => true,
            }
        }
        _ => false,
    }
}

/// A directory of every CA there is has some hundreds of files.
const MAX_FILES: usize = 10_000;
