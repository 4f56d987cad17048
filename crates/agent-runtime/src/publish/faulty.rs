//! The same operations with something going wrong.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::{Fs, RealFs};

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// One operation fails.
    Once(Errno),
    /// It fails, and all that follow.
    From(Errno),
    /// The process ends before it: nothing is done any more.
    Crash,
    /// A write takes one byte only. Other operations are done.
    ShortWrite,
}

/// The system's file system where one operation, counted from zero, goes wrong.
#[derive(Debug)]
pub(crate) struct FaultyFs {
    at: usize,
    fault: Fault,
    done: AtomicUsize,
}

impl FaultyFs {
    pub(crate) fn new(at: usize, fault: Fault) -> Self {
        Self { at, fault, done: AtomicUsize::new(0) }
    }

    /// How many operations were asked for.
    pub(crate) fn count(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    fn step(&self) -> Result<bool, Errno> {
        let step = self.done.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::Once(errno) if step == self.at => Err(errno),
            Fault::From(errno) if step >= self.at => Err(errno),
            Fault::Crash if step >= self.at => Err(Errno::IO),
            Fault::ShortWrite => Ok(step >= self.at),
            Fault::Once(_) | Fault::From(_) | Fault::Crash => Ok(false),
        }
    }
}

impl Fs for FaultyFs {
    fn open_directory(&self, path: &Path) -> Result<File, Errno> {
        self.step()?;
        RealFs.open_directory(path)
    }

    fn unlink(&self, directory: &File, name: &OsStr) -> Result<(), Errno> {
        self.step()?;
        RealFs.unlink(directory, name)
    }

    fn create(&self, directory: &File, name: &OsStr) -> Result<File, Errno> {
        self.step()?;
        RealFs.create(directory, name)
    }

    fn write(&self, file: &File, bytes: &[u8]) -> Result<usize, Errno> {
        let short = self.step()?;
        RealFs.write(file, if short { &bytes[..1] } else { bytes })
    }

    fn change_owner(&self, file: &File, uid: u32, gid: u32) -> Result<(), Errno> {
        self.step()?;
        RealFs.change_owner(file, uid, gid)
    }

    fn change_mode(&self, file: &File, mode: u32) -> Result<(), Errno> {
        self.step()?;
        RealFs.change_mode(file, mode)
    }

    fn sync_file(&self, file: &File) -> Result<(), Errno> {
        self.step()?;
        RealFs.sync_file(file)
    }

    fn rename(&self, directory: &File, from: &OsStr, to: &OsStr) -> Result<(), Errno> {
        self.step()?;
        RealFs.rename(directory, from, to)
    }

    fn sync_directory(&self, directory: &File) -> Result<(), Errno> {
        self.step()?;
        RealFs.sync_directory(directory)
    }
}
