//! The system around: variables, the unit, limits, disks, who has the lock.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::doctor::{Disk, PlaceKind, Places, UnitFile, UnitKind, Variable, Watches};

/// A path of the system, under the root where there is one.
pub(super) fn under(root: Option<&Path>, path: &str) -> PathBuf {
    root.map_or_else(|| PathBuf::from(path), |root| root.join(path.trim_start_matches('/')))
}

/// Whether a service manager is meant to run the daemon.
pub(super) fn is_installed(root: Option<&Path>) -> bool {
    ["/usr/lib/systemd/system/agentd.service", "/lib/systemd/system/agentd.service", LOCAL_UNIT, LAUNCHD]
        .iter()
        .any(|path| under(root, path).is_file())
}

/// The files that change the unit, each with its lines.
pub(super) fn unit(root: Option<&Path>) -> Vec<(UnitFile, Vec<String>)> {
    let mut found = Vec::new();
    for directory in ["/run/systemd/system", "/etc/systemd/system"] {
        let place = under(root, directory);
        let whole = place.join("agentd.service");
        if let Ok(metadata) = fs::symlink_metadata(&whole) {
            let masked = metadata.is_symlink()
                && fs::read_link(&whole).is_ok_and(|target| target == Path::new("/dev/null"));
            let kind = if masked { UnitKind::Masked } else { UnitKind::Replaced };
            found.push((UnitFile { path: whole.clone(), kind }, lines(&whole)));
        }
        let entries = fs::read_dir(place.join("agentd.service.d")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "conf"));
        files.sort();
        for path in files {
            let lines = lines(&path);
            let kind = UnitKind::DropIn(keys(&lines));
            found.push((UnitFile { path, kind }, lines));
        }
    }
    found
}

/// The groups of a user beside its first one: as a member, and those that the unit adds.
pub(super) fn groups(root: Option<&Path>, uid: u32, unit: &[(UnitFile, Vec<String>)]) -> Vec<u32> {
    let read = |path: &str| fs::read_to_string(under(root, path)).unwrap_or_default();
    let added =
        unit.iter().flat_map(|(_, lines)| lines).filter_map(|line| line.strip_prefix("SupplementaryGroups="));
    let added: Vec<&str> = added.collect();
    memberships(&read("/etc/passwd"), &read("/etc/group"), uid, &added)
}

/// By the files alone, as it is for a service's user; what a directory server knows of it is not looked at.
fn memberships(passwd: &str, group: &str, uid: u32, added: &[&str]) -> Vec<u32> {
    let mut names: Vec<&str> = Vec::new();
    for line in added {
        // An empty one takes away what was said before.
        if line.trim().is_empty() {
            names.clear();
        }
        names.extend(line.split_whitespace());
    }
    let name_of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    };
    let user = passwd.lines().find_map(name_of).unwrap_or_default();
    let mut groups: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else { continue };
        let is_member = !user.is_empty() && members.split(',').any(|member| member == user);
        if is_member || names.contains(&name) {
            groups.extend(gid.parse::<u32>().ok());
        }
    }
    groups
}

/// The keys that a drop-in sets, each once.
fn keys(lines: &[String]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for line in lines {
        if let Some((key, _)) = line.split_once('=') {
            let key = key.trim();
            let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric());
            if is_key && !keys.iter().any(|known| known == key) {
                keys.push(key.to_owned());
            }
        }
    }
    keys
}

/// The lines of a small text that are no comments.
fn lines(path: &Path) -> Vec<String> {
    const LARGEST: u64 = 1 << 20;
    let small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
    let text = if small { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    said.map(str::to_owned).collect()
}

/// The variables that make programs read other anchors, wherever they are set.
pub(super) fn variables(
    root: Option<&Path>,
    daemon: Option<u32>,
    unit: &[(UnitFile, Vec<String>)],
) -> Vec<Variable> {
    let mut found = Vec::new();
    for name in NAMES {
        if let Some(value) = std::env::var_os(name) {
            found.push(Variable {
                name: (*name).to_owned(),
                value: value.to_string_lossy().into_owned(),
                place: "this shell".to_owned(),
                place_kind: PlaceKind::Shell,
                of_service: false,
            });
        }
    }
    let global = under(root, "/etc/environment");
    for (name, value) in lines(&global).iter().filter_map(|line| assignment(line)) {
        let file = global.display();
        found.push(Variable {
            place_kind: PlaceKind::File,
            place: file.to_string(),
            name,
            value,
            of_service: false,
        });
    }
    for (file, lines) in unit {
        let set = lines.iter().filter_map(|line| line.strip_prefix("Environment="));
        for (name, value) in set.flat_map(|rest| rest.split_whitespace().filter_map(assignment)) {
            found.push(Variable {
                name,
                value,
                place: file.path.display().to_string(),
                place_kind: PlaceKind::Unit,
                of_service: true,
            });
        }
    }
    let environ = daemon.and_then(|pid| fs::read(format!("/proc/{pid}/environ")).ok()).unwrap_or_default();
    for (name, value) in
        environ.split(|byte| *byte == 0).filter_map(|entry| assignment(&String::from_utf8_lossy(entry)))
    {
        if !found.iter().any(|known| known.of_service && known.name == name) {
            let place = "the service's environment".to_owned();
            found.push(Variable { name, value, place, place_kind: PlaceKind::Unit, of_service: true });
        }
    }
    found
}

/// `NAME=value`, where it is one of the names.
fn assignment(text: &str) -> Option<(String, String)> {
    let text = text.trim().trim_start_matches("export ").trim_matches(['"', '\'']);
    let (name, value) = text.split_once('=')?;
    let value = value.trim_matches(['"', '\'']);
    NAMES.contains(&name.trim()).then(|| (name.trim().to_owned(), value.to_owned()))
}

/// What a user may watch and what is in use, as far as its processes can be seen.
pub(super) fn watches(uid: u32) -> Option<Watches> {
    let limit = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let (most, most_instances) = (limit("max_user_watches")?, limit("max_user_instances")?);
    let mut limits = Watches { most, used: 0, most_instances, instances: 0 };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        if !is_process || !process.metadata().is_ok_and(|metadata| metadata.uid() == uid) {
            continue;
        }
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let is_inotify = fs::read_link(descriptor.path())
                .is_ok_and(|target| target.to_string_lossy().starts_with("anon_inode:inotify"));
            if is_inotify {
                limits.instances += 1;
                let facts = process.path().join("fdinfo").join(descriptor.file_name());
                let text = fs::read_to_string(facts).unwrap_or_default();
                limits.used += text.lines().filter(|line| line.starts_with("inotify wd:")).count() as u64;
            }
        }
    }
    Some(limits)
}

/// The file systems of the store and of the state.
pub(super) fn disks(places: &Places) -> Vec<Disk> {
    let size = fs::metadata(&places.merged).map_or(0, |metadata| metadata.len());
    let directories = places.merged.parent().into_iter().chain([places.state.as_path()]);
    let disk = |directory: &Path| {
        let there = directory.ancestors().find(|path| path.is_dir())?;
        let facts = rustix::fs::statvfs(there).ok()?;
        Some(Disk {
            directory: directory.to_owned(),
            free: facts.f_bavail.saturating_mul(facts.f_frsize),
            files: (facts.f_files > 0).then_some(facts.f_favail),
            read_only: facts.f_flag.contains(StatVfsMountFlags::RDONLY),
            // The store, its generation and the certificates of the state, each beside the one before.
            needed: size.saturating_mul(4) + (1 << 20),
        })
    };
    let mut disks: Vec<Disk> = directories.filter_map(disk).collect();
    // Mostly both are on one.
    disks.dedup_by(|second, first| {
        (second.free, second.files, second.read_only) == (first.free, first.files, first.read_only)
    });
    disks
}

/// Who has a lock, without taking it: a daemon that starts at this moment must not find it taken.
pub(super) fn lock_holder(lock: &Path) -> Option<u32> {
    // Of rustix, whose numbers of devices are as wide as the system's.
    let stat = rustix::fs::stat(lock).ok()?;
    let table = fs::read_to_string("/proc/locks").ok()?;
    holder(&table, rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev), stat.st_ino)
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`; device numbers in hex.
fn holder(table: &str, major: u32, minor: u32, inode: u64) -> Option<u32> {
    let id = format!("{major:02x}:{minor:02x}:{inode}");
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [_, "FLOCK", _, _, pid, place, ..] if place == id => Some(pid.parse().unwrap_or(0)),
            _ => None,
        }
    })
}

const LOCAL_UNIT: &str = "/etc/systemd/system/agentd.service";
const LAUNCHD: &str = "/Library/LaunchDaemons/io.agentd.agentd.plist";

/// What OpenSSL, curl, git, Python, Java's users, Node, the AWS tools and Nix heed.
const NAMES: &[&str] = &[
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_they_are_written() {
        for (line, expected) in [
            ("SSL_CERT_FILE=/a.pem", Some(("SSL_CERT_FILE", "/a.pem"))),
            ("export CURL_CA_BUNDLE=\"/b c.pem\"", Some(("CURL_CA_BUNDLE", "/b c.pem"))),
            ("\"GIT_SSL_CAINFO=/c.pem\"", Some(("GIT_SSL_CAINFO", "/c.pem"))),
            ("PATH=/bin", None),
            ("SSL_CERT_FILE", None),
        ] {
            let found = assignment(line);
            assert_eq!(
                found.as_ref().map(|(name, value)| (name.as_str(), value.as_str())),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn keys_come_once_and_sections_are_none() {
        let lines =
            ["[Service]", "ExecStart=", "ExecStart=/bin/agentd --x=y", "Environment=A=b"].map(str::to_owned);
        assert_eq!(keys(&lines), ["ExecStart", "Environment"]);
    }

    #[test]
    fn groups_by_membership_and_by_the_unit() {
        let passwd = "root:x:0:0::/:/bin/sh\nagentd:x:990:980::/:/bin/false\n";
        let group = "root:x:0:\npki:x:40:other,agentd\nssl-cert:x:41:agentd2\nweb:x:42:\nbroken\n";
        let of = |uid: u32, added: &[&str]| memberships(passwd, group, uid, added);
        assert_eq!(of(990, &[]), [40]);
        assert_eq!(of(990, &["web 77"]), [77, 40, 42]);
        assert_eq!(of(990, &["web", "", "ssl-cert"]), [40, 41]);
        assert_eq!(of(991, &["none"]), [0; 0], "an unknown user and an unknown group");
    }

    #[test]
    fn the_holder_is_found_by_device_and_inode() {
        let table = "1: POSIX  ADVISORY  WRITE 11 08:01:77 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE -1 00:2a:5 0 EOF\n";
        assert_eq!(holder(table, 8, 1, 77), Some(22));
        assert_eq!(holder(table, 0, 0x2a, 5), Some(0));
        assert_eq!(holder(table, 8, 2, 77), None);
        assert_eq!(holder("garbage\n2: FLOCK", 8, 1, 77), None);
    }
}
