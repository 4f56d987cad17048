//! Trees of files: copied with modes and owners, listed, and told apart by what they hold.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Makes `to` what `from` is: names, contents, modes, owners. Sockets are left out.
///
/// # Panics
/// Where the scratch directory cannot be written.
pub fn copy(from: &Path, to: &Path) {
    let metadata = fs::symlink_metadata(from).expect("a tree of ours");
    let kind = metadata.file_type();
    if kind.is_dir() {
        fs::create_dir_all(to).expect("a scratch directory");
        for entry in fs::read_dir(from).expect("a tree of ours").flatten() {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else if kind.is_symlink() {
        symlink(fs::read_link(from).expect("a link of ours"), to).expect("a scratch directory");
        return;
    } else if kind.is_file() {
        fs::copy(from, to).expect("a scratch directory");
    } else {
        return;
    }
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(to, Some(metadata.uid()), Some(metadata.gid()))
            .expect("root may give files away");
    }
    fs::set_permissions(to, metadata.permissions()).expect("a file of ours");
}

/// Puts a copy of `from` in place of `to`.
///
/// # Panics
/// As [`copy`].
pub fn restore(from: &Path, to: &Path) {
    remove(to);
    copy(from, to);
}

/// Removes a tree that may not be there.
///
/// # Panics
/// Where it cannot be removed.
pub fn remove(tree: &Path) {
    if let Err(error) = fs::remove_dir_all(tree) {
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}: {error}", tree.display());
    }
}

/// Everything below a tree, by relative path.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn list(tree: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![tree.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a tree of ours").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
            found.push(entry.path().strip_prefix(tree).expect("below the tree").to_owned());
        }
    }
    found.sort();
    found
}

/// The shape of a tree: how many files there are of each name, numbers and digests in names aside.
#[must_use]
pub fn shape(tree: &Path) -> BTreeMap<String, usize> {
    let mut shape = BTreeMap::new();
    for path in list(tree) {
        *shape.entry(without_numbers(&path.to_string_lossy())).or_default() += 1;
    }
    shape
}

/// A number for what a tree holds: names, modes and contents, without times, process ids and its own path.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn digest(tree: &Path) -> u64 {
    let own = tree.to_string_lossy().into_owned();
    let mut hasher = DefaultHasher::new();
    for relative in list(tree) {
        let path = tree.join(&relative);
        let metadata = fs::symlink_metadata(&path).expect("a tree of ours");
        hasher.write(relative.as_os_str().as_encoded_bytes());
        hasher.write_u32(metadata.permissions().mode());
        hasher.write_u32(metadata.uid());
        if metadata.is_file() {
            let bytes = fs::read(&path).expect("a tree of ours");
            if relative.file_name().is_some_and(|name| name == "lock") {
                hasher.write_u8(u8::from(bytes.is_empty()));
            } else {
                let text = String::from_utf8_lossy(&bytes).replace(&own, "");
                hasher.write(without_runs(&without_times(&text)).as_bytes());
            }
        }
        hasher.write_u8(0);
    }
    hasher.finish()
}

/// Hex digests and numbers become `#`.
fn without_numbers(name: &str) -> String {
    let mut out = String::new();
    for part in name.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
        let digest = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        if number || digest {
            out.push('#');
            out.push_str(&part[word.len()..]);
        } else {
            out.push_str(part);
        }
    }
    out
}

/// What differs from run to run in the record of changes: process ids, and the hashes of lines that hold such and times.
fn without_runs(text: &str) -> String {
    let mut out = text.to_owned();
    for key in ["\"pid\":", "\"previous\":", "\"head\":"] {
        let parts: Vec<&str> = out.split(key).collect();
        let (first, rest) = parts.split_first().expect("a split has a part");
        let values = rest.iter().map(|part| part.find([',', '}']).map_or("", |end| &part[end..]));
        out = std::iter::once(*first).chain(values.flat_map(|after| [key, after])).collect();
    }
    out
}

/// RFC 3339 times become `T`.
fn without_times(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("T").map(|found| found + at) {
        let date = found.checked_sub(10).filter(|start| *start >= at && text.is_char_boundary(*start));
        let is_date = date.is_some_and(|start| {
            bytes[start..found].iter().enumerate().all(|(index, byte)| match index {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
        });
        match date.filter(|_| is_date) {
            Some(start) => {
                out.push_str(&text[at..start]);
                out.push('T');
                at = found + 1;
                while bytes.get(at).is_some_and(|byte| byte.is_ascii_digit() || b":.Z+-".contains(byte)) {
                    at += 1;
                }
            }
            None => {
                out.push_str(&text[at..=found]);
                at = found + 1;
            }
        }
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_make_no_difference_and_nothing_else_does() {
        assert_eq!(
            without_times(r#"{"at":"2026-01-02T03:04:05.678Z","n":2,"T":1}"#),
            r#"{"at":"T","n":2,"T":1}"#
        );
        let line = |pid: u32, hash: char| format!(r#"{{"by":"x","pid":{pid},"n":1,"previous":"{hash}"}}"#);
        assert_eq!(without_runs(&line(7, 'a')), without_runs(&line(12, 'b')));
        assert_ne!(without_runs(&line(7, 'a')), without_runs(&line(7, 'a').replace(":1", ":2")));
        assert_eq!(without_numbers("state/generations/0012/bundle.pem"), "state/generations/#/bundle.pem");
        assert_eq!(without_numbers(&format!("snapshots/{}.pem", "a1".repeat(32))), "snapshots/#.pem");
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub")).unwrap();
        fs::write(a.join("sub/f"), format!("{} 2026-01-02T03:04:05Z", a.display())).unwrap();
        copy(&a, &b);
        fs::write(b.join("sub/f"), format!("{} 2027-11-12T13:14:15Z", b.display())).unwrap();
        assert_eq!(digest(&a), digest(&b));
        fs::write(b.join("sub/f"), "cut").unwrap();
        assert_ne!(digest(&a), digest(&b));
    }
}
