//! Where a path leads and on what kind of file system, without touching one that may never answer.
//!
//! A single `stat` on a dead NFS or FUSE mount holds the one who calls it for ever. So the mount table is read, which
//! touches no mount, and a path is followed only for as long as it stays on file systems of this machine.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::Inode;

/// Whether changes on a file system are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Nature {
    /// All of them.
    Local,
    /// Those made through it, not those made to what it is a view of.
    Layered,
    /// Those made on this machine at most. It may not answer.
    Remote(String),
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a directory.
    There { path: PathBuf, inode: Inode, layered: bool },
    /// To a directory where a name is missing.
    Short { path: PathBuf, inode: Inode, next: OsString },
    /// To a file system of another machine or process.
    Remote(String),
}

/// The mount table.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// In the order of mounting: of two on the same place the later one is seen.
    mounts: Vec<(PathBuf, Nature)>,
    /// Directories that were asked for already: what is to be watched has most of its way in common.
    known: RefCell<HashMap<PathBuf, Option<Inode>>>,
}

impl Mounts {
    /// The table as it is now; an empty one where the system has none.
    pub(super) fn read() -> Self {
        /// More than most tables have: one read instead of one for each doubling of a small buffer.
        const USUAL: usize = 16 << 10;
        let mut table = Vec::with_capacity(USUAL);
        let read = fs::File::open("/proc/self/mountinfo").and_then(|file| {
            // Of a limited reader the size is not asked, which the kernel does not know either.
            file.take(u64::MAX).read_to_end(&mut table)
        });
        Self::parse(if read.is_ok() { &table } else { &[] })
    }

    /// See `proc(5)`: the mount point is the fifth field, the type the first after a lone hyphen.
    fn parse(table: &[u8]) -> Self {
        let mount = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ');
            let point = unescape(fields.nth(4)?);
            let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
            let nature = match nature(&String::from_utf8_lossy(kind)) {
                // Everything is on it, this program too: if it does not answer nothing goes on anyway. So it is with
                // containers and with virtual machines whose disk is a directory of the host.
                Nature::Remote(_) if point == Path::new("/") => Nature::Layered,
                nature => nature,
            };
            Some((point, nature))
        };
        Self {
            mounts: table.split(|byte| *byte == b'\n').filter_map(mount).collect(),
            known: RefCell::default(),
        }
    }

    /// The directory of this name, unless that is a link or anything else.
    fn directory_at(&self, path: &Path) -> Option<Inode> {
        let known = self.known.borrow().get(path).copied();
        known.unwrap_or_else(|| {
            let found = directory_at(path);
            self.known.borrow_mut().insert(path.to_owned(), found);
            found
        })
    }

    /// Where something is mounted.
    pub(super) fn points(&self) -> impl Iterator<Item = &PathBuf> {
        self.mounts.iter().map(|(point, _)| point)
    }

    fn nature(&self, path: &Path) -> Nature {
        let above = self.mounts.iter().filter(|(point, _)| path.starts_with(point));
        let nearest = above.max_by_key(|(point, _)| point.as_os_str().len());
        nearest.map_or(Nature::Local, |(_, nature)| nature.clone())
    }

    /// Follows an absolute path, links included.
    pub(super) fn locate(&self, path: &Path) -> Option<Place> {
        let mut ahead = names(path);
        let mut here = PathBuf::from("/");
        let mut inode = self.directory_at(&here)?;
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                here.pop();
                inode = self.directory_at(&here)?;
                continue;
            }
            let next = here.join(&name);
            if let Nature::Remote(kind) = self.nature(&next) {
                return Some(Place::Remote(kind));
            }
            if let Some(found) = self.directory_at(&next) {
                (here, inode) = (next, found);
                continue;
            }
            links += 1;
            match fs::read_link(&next) {
                Ok(target) if links <= MAX_LINKS => {
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                        inode = self.directory_at(&here)?;
                    }
                    ahead.extend(names(&target));
                }
                _ => return Some(Place::Short { path: here, inode, next: name }),
            }
        }
        let layered = self.nature(&here) == Nature::Layered;
        Some(Place::There { path: here, inode, layered })
    }
}

/// The names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let named = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(named).collect()
}

/// The directory of this name, unless that is a link or anything else.
fn directory_at(path: &Path) -> Option<Inode> {
    let metadata = fs::symlink_metadata(path).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

/// Blanks and line breaks are octal in the table.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn nature(kind: &str) -> Nature {
    let family = kind.split_once('.').map_or(kind, |(family, _)| family);
    if REMOTE.contains(&family) {
        return Nature::Remote(kind.to_owned());
    }
    if LAYERED.contains(&family) { Nature::Layered } else { Nature::Local }
}

/// Of other machines, or of a process (FUSE, and virtiofs, which is FUSE to the host); autofs mounts when touched.
const REMOTE: [&str; 20] = [
    "9p", "acfs", "afs", "autofs", "beegfs", "ceph", "cifs", "coda", "fuse", "gfs2", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "vboxsf", "virtiofs",
];

/// Changes of the layer below are not told. `fuseblk` is a disk of this machine behind a process.
const LAYERED: [&str; 5] = ["aufs", "ecryptfs", "fuseblk", "overlay", "shiftfs"];

/// As many as the kernel follows.
const MAX_LINKS: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
30 22 0:40 / /srv/a\\040b rw shared:7 master:2 - nfs4 server:/export rw,hard
31 22 0:41 / /home rw - fuse.sshfs host:/home rw
32 31 8:2 / /home/local rw - xfs /dev/sdb1 rw
33 22 0:42 / /ctr rw - overlay overlay rw,lowerdir=/l
34 22 0:43 / /over rw - ext4 /dev/sdc rw
35 34 0:44 / /over rw - cifs //server/share rw
garbage
";

    #[test]
    fn the_mount_that_is_seen_decides() {
        let mounts = Mounts::parse(TABLE);
        let remote = |kind: &str| Nature::Remote(kind.to_owned());
        for (path, nature) in [
            ("/etc/agentd", Nature::Local),
            ("/srv/a b/ca", remote("nfs4")),
            ("/srv/a bc", Nature::Local),
            ("/srv", Nature::Local),
            ("/home/user/ca", remote("fuse.sshfs")),
            ("/home/local/ca", Nature::Local),
            ("/ctr/etc", Nature::Layered),
            ("/over/x", remote("cifs")),
        ] {
            assert_eq!(mounts.nature(Path::new(path)), nature, "{path}");
        }
        assert!(mounts.points().any(|point| point == Path::new("/srv/a b")));
        let all = Mounts::parse(b"1 1 0:1 / / rw - virtiofs root rw\n2 1 0:2 / /srv rw - virtiofs srv rw");
        assert_eq!(all.nature(Path::new("/etc")), Nature::Layered);
        assert_eq!(all.nature(Path::new("/srv/ca")), remote("virtiofs"));
        assert_eq!(Mounts::parse(b"").nature(Path::new("/")), Nature::Local);
        assert!(
            Mounts::read().mounts.iter().any(|(point, _)| point == Path::new("/"))
                || cfg!(not(target_os = "linux"))
        );
    }

    #[test]
    fn a_path_is_followed_up_to_where_it_leaves_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/sub")).unwrap();
        fs::create_dir(root.join("mnt")).unwrap();
        symlink("real/../real", root.join("alias")).unwrap();
        symlink(root.join("mnt/export"), root.join("far")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        let line = format!("1 1 0:1 / {} rw - nfs server:/ rw\n", root.join("mnt").display());
        let mounts = Mounts::parse(line.as_bytes());
        let locate = |name: &str| mounts.locate(&root.join(name)).unwrap();
        let inode = |name: &str| directory_at(&root.join(name)).unwrap();
        let there = |name: &str| Place::There { path: root.join(name), inode: inode(name), layered: false };
        let short = |next: &str| Place::Short { path: root.clone(), inode: inode(""), next: next.into() };
        assert_eq!(locate("alias/sub"), there("real/sub"));
        assert_eq!(locate("alias/../real"), there("real"));
        assert_eq!(locate("mnt/export/ca"), Place::Remote("nfs".to_owned()));
        assert_eq!(locate("far/ca"), Place::Remote("nfs".to_owned()));
        assert_eq!(locate("gone/sub"), short("gone"));
        assert_eq!(locate("file/sub"), short("file"));
        assert_eq!(locate("loop/sub"), short("loop"));
    }
}
