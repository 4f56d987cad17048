//! Following a path name by name.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Rules;
use super::error::{Kind, ReadError};
use super::facts::{self, Facts};
use super::handle::{Found, Handles};
use super::rules::{Judge, under};
use super::trail::{Trace, Trail};

/// A file that was reached and judged, not yet open for reading.
pub(super) struct Walked {
    pub(super) directory: File,
    pub(super) name: OsString,
    pub(super) file: File,
    pub(super) facts: Facts,
    pub(super) real_path: PathBuf,
    pub(super) hops: Vec<PathBuf>,
    pub(super) trail: Option<Trail>,
}

/// A directory that was reached and judged.
pub(super) struct Level {
    pub(super) directory: File,
    pub(super) facts: Facts,
    pub(super) path: PathBuf,
}

/// A walk along a path.
pub(super) struct Walk<'a> {
    handles: &'a dyn Handles,
    path: &'a Path,
    root: Option<&'a Path>,
    judge: Judge<'a>,
    /// From where the walk began down to where it is. No links among them, so the one above is `..`.
    levels: Vec<Level>,
    /// Names still to go, the next one last.
    ahead: Vec<OsString>,
    links: usize,
    hops: Vec<PathBuf>,
    trace: Trace,
}

impl<'a> Walk<'a> {
    pub(super) fn new(handles: &'a dyn Handles, path: &'a Path, rules: &'a Rules) -> Result<Self, ReadError> {
        let judge = Judge::new(path, rules)?;
        let mut walk = Self {
            handles,
            path,
            root: rules.root.as_deref(),
            judge,
            levels: Vec::new(),
            ahead: Vec::new(),
            links: 0,
            hops: path.parent().map(Path::to_owned).into_iter().collect(),
            trace: Trace::new(),
        };
        walk.begin(path)?;
        Ok(walk)
    }

    /// Walks to a regular file.
    pub(super) fn reach_file(mut self) -> Result<Walked, ReadError> {
        while let Some(name) = self.ahead.pop() {
            let Some(file) = self.step(&name)? else { continue };
            let level = self.levels.pop().ok_or_else(|| self.lost())?;
            let real_path = level.path.join(&name);
            if !self.ahead.is_empty() {
                return Err(self.not_regular(&real_path, Kind::File));
            }
            let facts = self.facts(&file)?;
            self.judge.own_name(&real_path)?;
            self.judge.file_system(&file)?;
            self.judge.holder(&level.path, &level.facts)?;
            self.judge.file(&real_path, &facts)?;
            self.hop(level.path);
            let trail = self.trace.ended(&real_path, &facts, &file);
            let (directory, hops) = (level.directory, self.hops);
            return Ok(Walked { directory, name, file, facts, real_path, hops, trail });
        }
        Err(self.not_regular(&self.here(), Kind::Directory))
    }

    /// Walks to a directory whose files will be read.
    pub(super) fn reach_directory(mut self) -> Result<(Level, Option<Trail>), ReadError> {
        while let Some(name) = self.ahead.pop() {
            if self.step(&name)?.is_some() {
                return Err(self.not_regular(&self.here().join(name), Kind::File));
            }
        }
        let level = self.levels.pop().ok_or_else(|| self.lost())?;
        self.judge.own_name(&level.path)?;
        self.judge.file_system(&level.directory)?;
        self.judge.holder(&level.path, &level.facts)?;
        let trail = self.trace.ended(&level.path, &level.facts, &level.directory);
        Ok((level, trail))
    }

    /// One name on. Gives the file where the name is one.
    fn step(&mut self, name: &OsStr) -> Result<Option<File>, ReadError> {
        if name == ".." {
            self.up()?;
            return Ok(None);
        }
        let Some(level) = self.levels.last() else { return Err(self.lost()) };
        let at = level.path.join(name);
        let found = self.handles.find(&level.directory, name);
        match found.map_err(|errno| self.not_found(level, name, errno))? {
            Found::Directory(directory) => self.enter(directory, at)?,
            Found::Regular(file) => return Ok(Some(file)),
            Found::Link { target, uid, facts } => {
                self.judge.link(&at, uid, &level.facts)?;
                self.trace.followed(&at, facts.as_ref());
                self.follow(&target)?;
            }
            Found::Other(kind) => return Err(self.not_regular(&at, kind)),
        }
        Ok(None)
    }

    /// Begins at the top, or where judging begins.
    fn begin(&mut self, path: &Path) -> Result<(), ReadError> {
        match (self.root, under(self.root, path)) {
            (Some(root), Some(below)) => {
                self.begin_at(root, &fs::canonicalize(root).unwrap_or_else(|_| root.to_owned()), below)
            }
            _ => self.begin_at(Path::new("/"), Path::new("/"), path),
        }
    }

    fn begin_at(&mut self, start: &Path, real: &Path, below: &Path) -> Result<(), ReadError> {
        let directory = self.handles.begin(start).map_err(|errno| match errno {
            Errno::NOENT => self.missing(start),
            errno => ReadError::io(self.path, errno),
        })?;
        self.levels.clear();
        self.go_on(below);
        self.enter(directory, real.to_owned())
    }

    fn enter(&mut self, directory: File, path: PathBuf) -> Result<(), ReadError> {
        let facts = self.facts(&directory)?;
        self.judge.directory(&path, &facts)?;
        self.trace.passed(&path, &facts, &directory);
        self.levels.push(Level { directory, facts, path });
        Ok(())
    }

    fn up(&mut self) -> Result<(), ReadError> {
        if self.levels.len() > 1 {
            self.levels.pop();
            return Ok(());
        }
        // Above the start of a walk that did not begin at the top everything is to be judged.
        match self.here().parent() {
            Some(parent) => self.begin_at(Path::new("/"), Path::new("/"), parent),
            None => Ok(()),
        }
    }

    fn follow(&mut self, target: &Path) -> Result<(), ReadError> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(ReadError::SymlinkLoop { path: self.path.to_owned(), limit: MAX_LINKS });
        }
        self.hop(self.here());
        if target.is_absolute() {
            return self.begin(target);
        }
        self.go_on(target);
        Ok(())
    }

    /// Puts names in front of those still to go.
    fn go_on(&mut self, path: &Path) {
        let names = path.components().rev().filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        });
        self.ahead.extend(names);
    }

    fn hop(&mut self, directory: PathBuf) {
        if !self.hops.contains(&directory) {
            self.hops.push(directory);
        }
    }

    fn here(&self) -> PathBuf {
        self.levels.last().map(|level| level.path.clone()).unwrap_or_default()
    }

    fn facts(&self, file: &File) -> Result<Facts, ReadError> {
        Facts::of(file).map_err(|errno| ReadError::io(self.path, errno))
    }

    fn not_found(&self, level: &Level, name: &OsStr, errno: Errno) -> ReadError {
        match errno {
            Errno::NOENT => self.missing(&level.path.join(name)),
            // What was found first went away at this moment.
            Errno::STALE | Errno::LOOP | Errno::NOTDIR => ReadError::Changed { path: self.path.to_owned() },
            Errno::NAMETOOLONG => ReadError::BadPath {
                path: self.path.to_owned(),
                length: self.path.as_os_str().len(),
                reason: "has a name longer than the system allows".into(),
            },
            Errno::ACCESS | Errno::PERM => self.denied(level, name, errno),
            errno => ReadError::io(self.path, errno),
        }
    }

    /// Names the file if it is the one that is closed, else the directory that does not let us look.
    fn denied(&self, level: &Level, name: &OsStr, errno: Errno) -> ReadError {
        match rustix::fs::statat(&level.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => ReadError::Denied {
                path: self.path.to_owned(),
                component: level.path.join(name),
                uid: stat.st_uid,
                mode: facts::permissions(stat.st_mode),
                policy: errno == Errno::PERM,
            },
            Err(_) => ReadError::denied(self.path, &level.path, &level.facts, errno),
        }
    }

    fn missing(&self, component: &Path) -> ReadError {
        ReadError::Missing {
            path: self.path.to_owned(),
            component: component.to_owned(),
            trail: self.trace.so_far(),
        }
    }

    fn not_regular(&self, component: &Path, kind: Kind) -> ReadError {
        ReadError::NotRegular { path: self.path.to_owned(), component: component.to_owned(), kind }
    }

    /// There is always a directory where the walk is; without one it could not go on.
    fn lost(&self) -> ReadError {
        ReadError::io(self.path, Errno::BADF)
    }
}

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;
