//! The ways in which anchors arrive. Each brings one anchor more than the last, and takes none away.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::endpoint::{CurlSsl, Endpoint, POLICY, write};

use crate::corpus;

/// A way, with what it needs to be there when the daemon starts.
pub(super) struct Change {
    pub(super) name: &'static str,
    before: fn(&Scene),
    /// Makes the change of this number; tells when its last system call began.
    pub(super) make: fn(&Scene, usize) -> Instant,
}

/// The kind that the floor is measured with.
pub(super) const AS_THE_FLOOR: &str = "renamed over";

/// All of them.
pub(super) const CHANGES: &[Change] = &[
    Change { name: "written in place", before: nothing, make: in_place },
    Change { name: "written in three pieces, from the last one", before: nothing, make: in_pieces },
    Change { name: AS_THE_FLOOR, before: nothing, make: renamed },
    Change { name: "written beside and synced, renamed over later", before: nothing, make: renamed_later },
    Change { name: "a file of the store's own, renamed over", before: nothing, make: bootstrap_renamed },
    Change { name: "symlink swapped", before: linked_directory, make: swapped },
    Change { name: "directory replaced", before: nothing, make: directory_replaced },
    Change { name: "file deleted and put back", before: nothing, make: put_back },
    Change { name: "policy points elsewhere", before: nothing, make: elsewhere },
    Change { name: "target of a symlink changed", before: linked_file, make: target_changed },
    Change { name: "directory that was not there at the start", before: absent_directories, make: appears },
];

/// An endpoint, and what its policy's file holds.
pub(super) struct Scene<'a> {
    pub(super) endpoint: Endpoint,
    own: String,
    bootstrap: String,
    fresh: &'a [String],
}

impl<'a> Scene<'a> {
    /// As the change needs it.
    pub(super) fn new(base: &[String], fresh: &'a [String], change: &Change) -> Self {
        let endpoint = corpus::endpoint(base);
        let read = |path: PathBuf| fs::read_to_string(path).expect("a source of ours");
        let (own, bootstrap) = (read(endpoint.ca_info()), read(endpoint.bootstrap()));
        let scene = Self { endpoint, own, bootstrap, fresh };
        (change.before)(&scene);
        scene
    }

    /// The policy's anchors after the change of this number.
    fn content(&self, number: usize) -> String {
        self.own.clone() + &self.fresh[..=number].concat()
    }

    fn file(&self) -> PathBuf {
        self.endpoint.ca_info()
    }

    fn directory(&self) -> PathBuf {
        parent(&self.file())
    }

    fn name_in_policy(&self, guid: &str, path: &Path) {
        self.endpoint.write_policy(guid, CurlSsl { ca_info: &path.display().to_string(), ca_path: "" });
    }

    /// A place of its own for each number.
    fn place(&self, number: usize) -> PathBuf {
        self.endpoint.path(&format!("opt/place-{number}/certificates/ca.pem"))
    }
}

fn nothing(_: &Scene<'_>) {}

fn in_place(scene: &Scene<'_>, number: usize) -> Instant {
    in_one(&scene.file(), &scene.content(number))
}

fn in_pieces(scene: &Scene<'_>, number: usize) -> Instant {
    const BETWEEN: Duration = Duration::from_millis(20);
    let content = scene.content(number);
    let mut file = File::create(scene.file()).expect("a place of ours");
    for piece in content.as_bytes().chunks(content.len().div_ceil(3)) {
        sleep(BETWEEN);
        file.write_all(piece).expect("a place of ours");
    }
    let complete = Instant::now();
    drop(file);
    complete
}

fn renamed(scene: &Scene<'_>, number: usize) -> Instant {
    rename_over(&scene.file(), &scene.content(number))
}

/// As most programs do it that mean it. That something was written beside is looked at, and must not hold up the end.
fn renamed_later(scene: &Scene<'_>, number: usize) -> Instant {
    const LATER: Duration = Duration::from_millis(10);
    let (path, beside) = (scene.file(), scene.file().with_extension("new"));
    let mut file = File::create(&beside).expect("a place of ours");
    file.write_all(scene.content(number).as_bytes()).expect("a place of ours");
    file.sync_all().expect("a place of ours");
    drop(file);
    sleep(LATER);
    rename(&beside, &path)
}

/// No child is needed to read it.
fn bootstrap_renamed(scene: &Scene<'_>, number: usize) -> Instant {
    rename_over(&scene.endpoint.bootstrap(), &(scene.bootstrap.clone() + &scene.fresh[..=number].concat()))
}

/// `ca.pem -> current/ca.pem`, `current -> version`: as Kubernetes mounts a ConfigMap.
fn linked_directory(scene: &Scene<'_>) {
    let directory = scene.directory();
    write(&directory.join("version/ca.pem"), &scene.own);
    link("version", &directory.join("current"));
    fs::remove_file(scene.file()).expect("a source of ours");
    link(Path::new("current").join("ca.pem"), &scene.file());
}

fn swapped(scene: &Scene<'_>, number: usize) -> Instant {
    let directory = scene.directory();
    let version = format!("version-{number}");
    write(&directory.join(&version).join("ca.pem"), scene.content(number));
    let beside = directory.join("beside");
    link(&version, &beside);
    rename(&beside, &directory.join("current"))
}

fn directory_replaced(scene: &Scene<'_>, number: usize) -> Instant {
    let directory = scene.directory();
    let beside = directory.with_extension("new");
    write(&beside.join("policy-ca.pem"), scene.content(number));
    fs::rename(&directory, directory.with_extension(format!("old-{number}"))).expect("a place of ours");
    rename(&beside, &directory)
}

fn put_back(scene: &Scene<'_>, number: usize) -> Instant {
    const GONE: Duration = Duration::from_millis(100);
    fs::remove_file(scene.file()).expect("a source of ours");
    sleep(GONE);
    in_one(&scene.file(), &scene.content(number))
}

fn elsewhere(scene: &Scene<'_>, number: usize) -> Instant {
    write(&scene.place(number), scene.content(number));
    let complete = Instant::now();
    scene.name_in_policy(POLICY, &scene.place(number));
    complete
}

fn linked_file(scene: &Scene<'_>) {
    write(&scene.place(0), &scene.own);
    fs::remove_file(scene.file()).expect("a source of ours");
    link(scene.place(0), &scene.file());
}

fn target_changed(scene: &Scene<'_>, number: usize) -> Instant {
    rename_over(&scene.place(0), &scene.content(number))
}

/// A policy for each, beside the one that stays.
fn absent_directories(scene: &Scene<'_>) {
    for number in 0..scene.fresh.len() {
        let guid = format!("6f1f0a52-3d5b-4b1e-9d4c-{number:012}");
        scene.name_in_policy(&guid, &scene.place(number));
    }
}

fn appears(scene: &Scene<'_>, number: usize) -> Instant {
    fs::create_dir_all(parent(&scene.place(number))).expect("a place of ours");
    in_one(&scene.place(number), &scene.fresh[number])
}

fn in_one(path: &Path, content: &str) -> Instant {
    let mut file = File::create(path).expect("a place of ours");
    file.write_all(content.as_bytes()).expect("a place of ours");
    let complete = Instant::now();
    drop(file);
    complete
}

/// Writes it beside and renames it over.
pub(super) fn rename_over(path: &Path, content: &str) -> Instant {
    let beside = path.with_extension("new");
    write(&beside, content);
    rename(&beside, path)
}

fn rename(from: &Path, to: &Path) -> Instant {
    let complete = Instant::now();
    fs::rename(from, to).expect("a place of ours");
    complete
}

fn link(target: impl AsRef<Path>, at: &Path) {
    symlink(target, at).expect("a place of ours");
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).expect("a file in a directory")
}
