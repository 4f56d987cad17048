//! The rules on owners, modes and places.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path};

use super::facts::Facts;
use super::{ReadError, Rules};

/// Judges what a walk passes.
pub(super) struct Judge<'a> {
    rules: &'a Rules,
    path: &'a Path,
    waived: bool,
    pub(super) self_uid: u32,
    /// What is ours, by name and by inode: other names can lead to it.
    own: Vec<(&'a Path, Option<(u64, u64)>)>,
}

impl<'a> Judge<'a> {
    /// Judges the path itself, and is ready for what lies on it.
    pub(super) fn new(path: &'a Path, rules: &'a Rules) -> Result<Self, ReadError> {
        check_path(path)?;
        let own: Vec<_> = rules.refuse.iter().map(|own| (own.as_path(), identity(own))).collect();
        let judge = Self {
            rules,
            path,
            // What climbs may end outside of what is waived.
            waived: !climbs(path) && rules.waived.iter().any(|waived| path.starts_with(waived)),
            self_uid: rustix::process::geteuid().as_raw(),
            own,
        };
        judge.own_name(path)?;
        Ok(judge)
    }

    /// Whether a real path is ours.
    pub(super) fn own_name(&self, path: &Path) -> Result<(), ReadError> {
        match self.own.iter().find(|(own, _)| path.starts_with(own)) {
            Some((own, _)) => Err(self.own_file(own)),
            None => Ok(()),
        }
    }

    /// A directory on the way.
    pub(super) fn directory(&self, at: &Path, facts: &Facts) -> Result<(), ReadError> {
        self.own_inode(facts)?;
        if self.waived {
            return Ok(());
        }
        self.owner(at, facts.uid)?;
        // In a sticky directory everybody can make names but only the owner can replace them. That is enough for a
        // directory on the way, whose own owner is judged in its turn.
        if facts.mode & WRITABLE_BY_OTHERS != 0 && facts.mode & STICKY == 0 {
            return Err(self.writable(at, facts.mode));
        }
        self.open_to_all(at, facts, SEARCHABLE_BY_ALL, true)
    }

    /// The directory that holds the file: whoever can make names in it can name a file of theirs.
    pub(super) fn holder(&self, at: &Path, facts: &Facts) -> Result<(), ReadError> {
        if !self.waived && facts.mode & WRITABLE_BY_OTHERS != 0 {
            return Err(self.writable(at, facts.mode));
        }
        Ok(())
    }

    /// A link on the way. Its owner matters only where others than the directory's owner can make one.
    pub(super) fn link(&self, at: &Path, uid: u32, directory: &Facts) -> Result<(), ReadError> {
        if !self.waived && directory.mode & WRITABLE_BY_OTHERS != 0 { self.owner(at, uid) } else { Ok(()) }
    }

    /// The file.
    pub(super) fn file(&self, at: &Path, facts: &Facts) -> Result<(), ReadError> {
        self.own_inode(facts)?;
        if self.waived {
            return Ok(());
        }
        self.owner(at, facts.uid)?;
        if facts.mode & WRITABLE_BY_OTHERS != 0 {
            return Err(self.writable(at, facts.mode));
        }
        self.open_to_all(at, facts, READABLE_BY_ALL, false)
    }

    /// Not a file of a file system that is a window into the kernel: reading `/proc/kmsg` takes log records away, and
    /// its type is that of a regular file.
    pub(super) fn file_system(&self, file: &File) -> Result<(), ReadError> {
        if is_pseudo(file) {
            return Err(ReadError::PseudoFileSystem { path: self.path.to_owned() });
        }
        Ok(())
    }

    fn own_inode(&self, facts: &Facts) -> Result<(), ReadError> {
        match self.own.iter().find(|(_, id)| *id == Some(facts.id)) {
            Some((own, _)) => Err(self.own_file(own)),
            None => Ok(()),
        }
    }

    fn own_file(&self, own: &Path) -> ReadError {
        ReadError::OwnFile { path: self.path.to_owned(), own: own.to_owned() }
    }

    fn owner(&self, at: &Path, uid: u32) -> Result<(), ReadError> {
        if uid == 0 || self.is_ours(uid) {
            return Ok(());
        }
        Err(ReadError::Owner { path: self.path.to_owned(), component: at.to_owned(), uid })
    }

    fn is_ours(&self, uid: u32) -> bool {
        uid == self.self_uid || self.rules.trusted_uids.contains(&uid)
    }

    /// The bundle can be read by everybody: what is closed to them reaches it only from an owner who is ours.
    fn open_to_all(&self, at: &Path, facts: &Facts, bit: u32, directory: bool) -> Result<(), ReadError> {
        if facts.mode & bit != 0 || self.is_ours(facts.uid) || self.rules.confidential {
            return Ok(());
        }
        Err(ReadError::NotReadableByAll {
            path: self.path.to_owned(),
            component: at.to_owned(),
            mode: facts.mode,
            directory,
        })
    }

    fn writable(&self, at: &Path, mode: u32) -> ReadError {
        ReadError::Writable { path: self.path.to_owned(), component: at.to_owned(), mode }
    }
}

/// The part of a path that lies under the directory where judging begins.
pub(super) fn under<'a>(root: Option<&Path>, path: &'a Path) -> Option<&'a Path> {
    path.strip_prefix(root?).ok()
}

fn climbs(path: &Path) -> bool {
    path.components().any(|component| component == Component::ParentDir)
}

fn check_path(path: &Path) -> Result<(), ReadError> {
    let bytes = path.as_os_str().as_bytes();
    let bad = |reason: &'static str| {
        Err(ReadError::BadPath { path: path.to_owned(), length: bytes.len(), reason: reason.into() })
    };
    if bytes.contains(&0) {
        return bad("holds a null byte");
    }
    if !path.is_absolute() {
        return Err(ReadError::RelativePath { path: path.to_owned() });
    }
    if bytes.len() >= MAX_PATH {
        return bad("is longer than the system allows");
    }
    if path.components().any(|component| component.as_os_str().len() > MAX_NAME) {
        return bad("has a name longer than the system allows");
    }
    Ok(())
}

/// A link in the place of the bundle is replaced by the next publication, so what it points to is nobody's bundle; a
/// state directory may well be a link.
fn identity(own: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(own).ok()?;
    let is_link = fs::symlink_metadata(own).is_ok_and(|metadata| metadata.is_symlink());
    (metadata.is_dir() || !is_link).then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(target_os = "linux")]
fn is_pseudo(file: &File) -> bool {
    use rustix::fs::FsWord;
    /// From `linux/magic.h`.
    const MAGIC: [FsWord; 20] = [
        0x0000_9fa0, // proc
        0x6265_6572, // sysfs
        0x6462_6720, // debugfs
        0x7472_6163, // tracefs
        0x0027_e0eb, // cgroup
        0x6367_7270, // cgroup2
        0x7363_6673, // securityfs
        0xcafe_4a11, // bpf
        0x6165_676c, // pstore
        0xde5e_81e4, // efivarfs
        0x0000_1cd1, // devpts
        0x4249_4e4d, // binfmt_misc
        0x6265_6570, // configfs
        0xf97c_ff8c, // selinux
        0x4341_5d53, // smack
        0x1980_0202, // mqueue
        0x6573_5543, // fusectl
        0x6e73_6673, // nsfs
        0x6759_6969, // rpc_pipefs
        0x0765_5821, // resctrl
    ];
    rustix::fs::fstatfs(file).is_ok_and(|stat| MAGIC.contains(&stat.f_type))
}

#[cfg(not(target_os = "linux"))]
fn is_pseudo(_file: &File) -> bool {
    // macOS has devfs alone, which holds devices, and those are no regular files.
    false
}

const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;
const SEARCHABLE_BY_ALL: u32 = 0o001;
const READABLE_BY_ALL: u32 = 0o004;

/// `PATH_MAX` of Linux, with its null byte. macOS has 1024 and says so itself.
const MAX_PATH: usize = 4096;
/// `NAME_MAX`.
const MAX_NAME: usize = 255;
