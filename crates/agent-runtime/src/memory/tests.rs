//! What is believed unread, and what is not. Time is an argument, so nobody waits for a minute.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use super::*;
use crate::read::{Rules, list_directory, read_file};

struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    rules: Rules,
    memory: Memory,
}

const NAME: &str = "a/b/ca.pem";

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        let rules = Rules { max_bytes: 10_000, root: Some(root.clone()), ..Rules::default() };
        let place = Self { _dir: dir, root, rules, memory: Memory::default() };
        place.write(NAME, "content");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }

    /// Reads it, and remembers that at this time.
    fn note(&self, name: &str, now: SystemTime) {
        let path = self.path(name);
        let file = read_file(&path, &self.rules).unwrap();
        self.memory.recall(now).note_file(&path, &file, Fingerprint::of(&file.bytes));
    }

    fn knows(&self, name: &str) -> bool {
        self.memory.recall(later()).file(&self.path(name)).is_some()
    }
}

/// When what is written now has been left alone for long enough.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(61)
}

/// Elsewhere nothing is ever believed, which the other tests cannot tell from what they look for.
fn is_steady(place: &Place) -> bool {
    place.note(NAME, later());
    let steady = place.knows(NAME);
    let file = File::open(place.path(NAME)).unwrap();
    assert_eq!(steady, Own::of(&file).is_some(), "the file system alone decides");
    steady
}

#[test]
fn a_file_that_was_left_alone_is_known() {
    let place = Place::new();
    let file = File::open(place.path(NAME)).unwrap();
    place.note(NAME, later());
    assert_eq!(place.knows(NAME), Own::of(&file).is_some());
    assert_eq!(place.knows(NAME), Own::of(&file).is_some(), "and stays known");
    drop(place.memory.recall(later()));
    assert!(!place.knows(NAME), "what a look did not ask for is forgotten");
}

#[test]
fn a_file_that_was_just_written_is_not() {
    let place = Place::new();
    place.note(NAME, SystemTime::now());
    assert!(!place.knows(NAME));
    place.note(NAME, SystemTime::now() - Duration::from_secs(3600));
    assert!(!place.knows(NAME), "nor one from the future");
}

#[test]
fn one_that_was_written_within_a_minute_is_believed_where_an_event_causes_the_look_and_not_for_long() {
    let place = Place::new();
    if !is_steady(&place) {
        return;
    }
    let read = SystemTime::now() + Duration::from_secs(10);
    let knows = |after: u64| {
        let mut look = place.memory.recall(read + Duration::from_secs(after));
        let recalls = look.recalls(&place.path(NAME));
        assert_eq!(
            look.file(&place.path(NAME)).is_some(),
            recalls,
            "what is asked for ahead is what is wanted"
        );
        recalls
    };
    place.note(NAME, read);
    assert!(!knows(1), "a timer's look reads it");
    place.note(NAME, read);
    place.memory.hint();
    assert!(knows(1));
    assert!(!knows(2), "the hint was for one look");
    place.note(NAME, read);
    place.memory.hint();
    assert!(!knows(31), "not for longer than a timer takes");
    place.note(NAME, read);
    place.memory.hint();
    place.memory.suspect();
    assert!(!knows(1), "something else causes the look as well");
    place.note(NAME, read);
    place.memory.hint();
    place.memory.recall(read).put_back();
    assert!(knows(1), "a look that came to nothing does not count");
    place.note(NAME, SystemTime::now() + Duration::from_secs(1));
    place.memory.hint();
    assert!(!knows(1), "within a tick of the clock nothing shows");
    place.note(NAME, read);
    place.memory.hint();
    place.write(NAME, "changed");
    assert!(!knows(1), "a change shows");
}

#[test]
fn whatever_happens_to_it_shows() {
    type Happening = (&'static str, fn(&Place));
    let happenings: [Happening; 9] = [
        ("written, the same size and time", |place| {
            let modified = fs::metadata(place.path(NAME)).unwrap().modified().unwrap();
            place.write(NAME, "CONTENT");
            File::options().append(true).open(place.path(NAME)).unwrap().set_modified(modified).unwrap();
        }),
        ("renamed over", |place| {
            place.write("a/b/new", "content");
            fs::rename(place.path("a/b/new"), place.path(NAME)).unwrap();
        }),
        ("gone", |place| fs::remove_file(place.path(NAME)).unwrap()),
        ("a link now", |place| {
            fs::rename(place.path(NAME), place.path("a/b/other")).unwrap();
            symlink("other", place.path(NAME)).unwrap();
        }),
        ("writable by all", |place| {
            fs::set_permissions(place.path(NAME), Permissions::from_mode(0o666)).unwrap();
        }),
        ("its directory is writable by all", |place| {
            fs::set_permissions(place.path("a/b"), Permissions::from_mode(0o777)).unwrap();
        }),
        ("a directory above is writable by all", |place| {
            fs::set_permissions(place.path("a"), Permissions::from_mode(0o777)).unwrap();
        }),
        ("a directory above is another", |place| {
            fs::rename(place.path("a"), place.path("was-a")).unwrap();
            place.write(NAME, "content");
        }),
        ("a directory above is a link", |place| {
            fs::rename(place.path("a"), place.path("was-a")).unwrap();
            symlink("was-a", place.path("a")).unwrap();
        }),
    ];
    for (what, happen) in happenings {
        let place = Place::new();
        let _known = is_steady(&place);
        happen(&place);
        assert!(!place.knows(NAME), "{what}");
    }
}

#[test]
fn other_names_beside_it_do_not_matter() {
    let place = Place::new();
    let steady = is_steady(&place);
    place.write("a/b/beside.pem", "other");
    place.write("a/beside.pem", "other");
    assert_eq!(place.knows(NAME), steady);
}

#[test]
fn a_link_on_the_way_counts() {
    let place = Place::new();
    let steady = is_steady(&place);
    place.write("v2/ca.pem", "content");
    symlink("a/b", place.path("current")).unwrap();
    place.note("current/ca.pem", later());
    assert_eq!(place.knows("current/ca.pem"), steady);
    fs::remove_file(place.path("current")).unwrap();
    symlink("v2", place.path("current")).unwrap();
    assert!(!place.knows("current/ca.pem"));
}

#[test]
fn everything_is_read_after_a_number_of_looks_and_when_somebody_asks() {
    let place = Place::new();
    let steady = is_steady(&place);
    let mut believed = 0;
    while place.knows(NAME) {
        believed += 1;
        assert!(believed < EVERY);
    }
    assert_eq!(believed > 0, steady);
    place.note(NAME, later());
    place.memory.forget();
    assert!(!place.knows(NAME));
    let look = place.memory.recall(later());
    place.memory.forget();
    drop(look);
    place.note(NAME, later());
    let mut look = place.memory.recall(later());
    let _found = look.file(&place.path(NAME));
    place.memory.forget();
    drop(look);
    assert!(!place.knows(NAME), "nor does a look that was under way bring it back");
}

#[test]
fn a_list_is_known_until_a_name_comes_or_goes() {
    let place = Place::new();
    let steady = is_steady(&place);
    let directory = place.path("a/b");
    let note = || {
        let listing = list_directory(&directory, &place.rules).unwrap();
        place.memory.recall(later()).note_directory(&directory, &listing);
    };
    let known = || place.memory.recall(later()).directory(&directory);
    note();
    assert_eq!(known(), steady.then(|| vec![place.path(NAME)]));
    place.write("a/b/more.pem", "more");
    assert_eq!(known(), None);
    symlink("ca.pem", place.path("a/b/link.pem")).unwrap();
    note();
    assert_eq!(known(), None, "what a link leads to changes without its directory");
}

#[test]
fn what_was_not_there_is_believed_until_it_is() {
    let place = Place::new();
    let steady = is_steady(&place);
    let path = place.path("a/gone/ca.pem");
    let error = read_file(&path, &place.rules).unwrap_err();
    place.memory.recall(later()).note_absence(&path, &error);
    let absent = || place.memory.recall(later()).absence(&path);
    assert_eq!(absent(), steady.then(|| place.path("a/gone")));
    fs::create_dir(place.path("a/gone")).unwrap();
    assert_eq!(absent(), None);
}

#[test]
fn a_look_that_came_to_nothing_loses_nothing() {
    let place = Place::new();
    let steady = is_steady(&place);
    let mut look = place.memory.recall(later());
    assert!(look.directory(&place.path("a/b")).is_none());
    look.put_back();
    assert_eq!(place.knows(NAME), steady);
}

#[test]
fn a_hand_on_the_bundle_shows() {
    let place = Place::new();
    let steady = is_steady(&place);
    let path = place.path(NAME);
    let note = || {
        let file = File::open(&path).unwrap();
        place.memory.recall(later()).note_bundle(&file, Fingerprint::of(b"content"));
    };
    let known = || place.memory.recall(later()).bundle(&path);
    note();
    assert_eq!(known(), steady.then(|| Fingerprint::of(b"content")));
    place.write(NAME, "CONTENT");
    assert_eq!(known(), None);
    note();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(known(), None);
}
