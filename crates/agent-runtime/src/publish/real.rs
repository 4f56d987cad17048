//! The operations of a publication, on the system.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::Fs;

/// The system's own file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFs;

impl Fs for RealFs {
    fn open_directory(&self, path: &Path) -> Result<File, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map(File::from)
    }

    fn unlink(&self, directory: &File, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
    }

    fn create(&self, directory: &File, name: &OsStr) -> Result<File, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> Result<usize, Errno> {
        rustix::io::write(file, bytes)
    }

    #[cfg(target_os = "linux")]
    fn begin_sync(&self, file: &File, offset: u64, length: u64) {
        // Linux starts to write what is said not to be needed soon. What is under way stays in memory, so whoever reads the
        // file next still finds it there (measured, Linux 6.18 on ext4).
        let _as_late_as_ever = rustix::fs::fadvise(
            file,
            offset,
            std::num::NonZeroU64::new(length),
            rustix::fs::Advice::DontNeed,
        );
    }

    fn change_owner(&self, file: &File, uid: u32, gid: u32) -> Result<(), Errno> {
        rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    fn change_mode(&self, file: &File, mode: u32) -> Result<(), Errno> {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(|error| errno(&error))
    }

    fn sync_file(&self, file: &File) -> Result<(), Errno> {
        // On macOS this is F_FULLFSYNC: a plain fsync leaves the data in the drive's cache.
        file.sync_all().map_err(|error| errno(&error))
    }

    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        rustix::fs::renameat(directory, from, directory, to)
    }

    fn sync_directory(&self, directory: &File) -> Result<(), Errno> {
        // File systems that cannot do this (some FUSE and network ones) say EINVAL: they give no such promise, and
        // failing for ever would not make one.
        match directory.sync_all().map_err(|error| errno(&error)) {
            Err(Errno::INVAL) => Ok(()),
            other => other,
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
