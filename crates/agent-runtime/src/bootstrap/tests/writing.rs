use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use tempfile::TempDir;
use trust_core::Certificate;

use super::*;
use crate::bootstrap::sources::Sources;
use crate::endpoint::Endpoint;
use crate::publish::faulty::{Fault, FaultyFs};

struct Place {
    scratch: TempDir,
    sources: Sources,
}

impl Place {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let settings =
            agent_config::Settings::resolve(&agent_config::Fragment::default(), Some(scratch.path()));
        let sources = Sources::of(&Endpoint::new(&settings.unwrap(), Some(scratch.path())));
        Self { scratch, sources }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }
}

fn edit(snapshot: &Snapshot, cert: &Cert, sources: &Sources) -> Change {
    let certificate = Certificate::parse(cert.der()).unwrap();
    let addition = Addition { certificate: &certificate, from: "host:443", at: now() };
    match append(snapshot.bytes.as_deref(), &addition, sources.limits()).unwrap() {
        Edit::Change(change) => change,
        Edit::Present { .. } => panic!("it is there"),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn content_owner_and_mode_are_kept() {
    let place = Place::new();
    let path = place.path("ca.pem");
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    fs::write(&path, old.pem()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        std::os::unix::fs::chown(&path, Some(0), Some(7)).unwrap();
    }
    let before = fs::metadata(&path).unwrap();
    let snapshot = place.sources.snapshot(&path).unwrap();
    place.sources.put(&snapshot, &edit(&snapshot, &new, &place.sources).bytes).unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode()), (before.uid(), before.gid(), before.mode()));
    assert!(fs::read_to_string(&path).unwrap().starts_with(&old.pem()));
    assert!(!names(place.scratch.path()).iter().any(|name| name.contains("agentd-new")));
}

#[test]
fn a_new_file_can_be_read_by_all() {
    let place = Place::new();
    let path = place.path("new.pem");
    let snapshot = place.sources.snapshot(&path).unwrap();
    assert!(snapshot.bytes.is_none());
    place
        .sources
        .put(&snapshot, &edit(&snapshot, &Recipe::ca("New").self_signed(), &place.sources).bytes)
        .unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn links_are_not_written_through() {
    let place = Place::new();
    let victim = place.path("victim");
    fs::write(&victim, "precious").unwrap();
    for target in [victim.as_path(), Path::new("/nonexistent/file")] {
        let link = place.path("cainfo.pem");
        symlink(target, &link).unwrap();
        let error = place.sources.snapshot(&link).unwrap_err();
        assert_eq!(error.code(), "symbolic-link");
        assert!(error.to_string().contains(&target.display().to_string()));
        fs::remove_file(&link).unwrap();
    }
    // Planted between the reading and the writing.
    let path = place.path("late.pem");
    let snapshot = place.sources.snapshot(&path).unwrap();
    symlink(&victim, &path).unwrap();
    let change = edit(&snapshot, &Recipe::ca("New").self_signed(), &place.sources);
    assert_eq!(place.sources.put(&snapshot, &change.bytes).unwrap_err().code(), "symbolic-link");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn a_place_where_others_can_write_is_refused() {
    let place = Place::new();
    let open = place.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    let error = place.sources.snapshot(&open.join("ca.pem")).unwrap_err();
    assert_eq!(error.code(), "writable-by-others", "{error}");
    assert_eq!(place.sources.snapshot(&place.path("none/ca.pem")).unwrap_err().code(), "directory-missing");
    let state = place.path("var/lib/agentd/state");
    fs::create_dir_all(&state).unwrap();
    assert_eq!(place.sources.snapshot(&state.join("x.pem")).unwrap_err().code(), "own-file");
}

#[test]
fn another_writer_in_between_is_noticed() {
    let place = Place::new();
    let path = place.path("ca.pem");
    let [a, b] = ["A", "B"].map(|name| Recipe::ca(name).self_signed());
    let snapshot = place.sources.snapshot(&path).unwrap();
    fs::write(&path, a.pem()).unwrap();
    let change = edit(&snapshot, &b, &place.sources);
    assert_eq!(place.sources.put(&snapshot, &change.bytes).unwrap_err().code(), "changing");
    assert_eq!(fs::read_to_string(&path).unwrap(), a.pem());
}

#[test]
fn whatever_fails_the_old_file_stands_whole_and_nothing_lies_beside_it() {
    let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
    for errno in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::DQUOT] {
        let mut failures = 0;
        for at in 0.. {
            let mut place = Place::new();
            let path = place.path("ca.pem");
            fs::write(&path, old.pem()).unwrap();
            let snapshot = place.sources.snapshot(&path).unwrap();
            let change = edit(&snapshot, &new, &place.sources);
            let faulty = Arc::new(FaultyFs::new(at, Fault::Once(errno)));
            place.sources.use_files(Arc::clone(&faulty) as Arc<dyn crate::publish::Fs>);
            let put = place.sources.put(&snapshot, &change.bytes);
            let bytes = fs::read(&path).unwrap();
            match &put {
                Ok(()) => assert_eq!(bytes, change.bytes),
                Err(SourcesError::Publish(error)) if error.is_visible() => assert_eq!(bytes, change.bytes),
                Err(error) => {
                    assert_eq!(bytes, old.pem().as_bytes(), "{error}");
                    assert!(!error.remedy().is_empty());
                    failures += 1;
                }
            }
            // One file, and the state directory of the lock.
            let beside = names(place.scratch.path());
            assert!(!beside.iter().any(|name| name.ends_with("agentd-new")), "{beside:?}");
            if at >= faulty.count() {
                break;
            }
        }
        assert!(failures >= 4, "{errno:?}: {failures}");
    }
}

#[test]
fn two_writers_at_once_lose_nothing() {
    let place = Place::new();
    let path = place.path("ca.pem");
    let certs: Vec<Cert> = (0..6).map(|number| Recipe::ca(&format!("CA {number}")).self_signed()).collect();
    std::thread::scope(|scope| {
        for cert in &certs {
            let (sources, path) = (place.sources.clone(), path.clone());
            scope.spawn(move || {
                loop {
                    let snapshot = match sources.snapshot(&path) {
                        Err(error) if matches!(error.code(), "changing") => continue,
                        other => other.unwrap(),
                    };
                    match sources.put(&snapshot, &edit(&snapshot, cert, &sources).bytes) {
                        Err(SourcesError::Changed { .. }) => {}
                        other => return other.unwrap(),
                    }
                }
            });
        }
    });
    let content = trust_core::source::Content::parse(&fs::read(&path).unwrap(), place.sources.limits());
    assert_eq!(content.found.len(), certs.len());
}
