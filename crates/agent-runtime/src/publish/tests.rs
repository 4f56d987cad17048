use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::faulty::{Fault, FaultyFs};
use super::*;

const OLD: &[u8] = b"the old content\n";

struct Place {
    dir: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bundle.pem");
        fs::write(&file, OLD).unwrap();
        Self { dir, file }
    }

    fn names(&self) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    fn is(&self, content: &[u8]) -> bool {
        fs::read(&self.file).unwrap() == content
    }

    fn mode(&self) -> u32 {
        fs::metadata(&self.file).unwrap().permissions().mode() & 0o7777
    }
}

fn new_content() -> Vec<u8> {
    b"the new content, which is longer\n".repeat(100)
}

/// How many operations a publication consists of when nothing goes wrong.
fn steps() -> usize {
    let counting = FaultyFs::new(usize::MAX, Fault::Crash);
    publish(&counting, &Place::new().file, &new_content(), BUNDLE_MODE).unwrap();
    counting.count()
}

#[test]
fn what_is_published_is_there_with_its_mode_and_nothing_else() {
    let place = Place::new();
    publish(&RealFs, &place.file, &new_content(), BUNDLE_MODE).unwrap();
    assert!(place.is(&new_content()));
    assert_eq!(place.mode(), 0o644);
    publish(&RealFs, &place.file, b"", 0o600).unwrap();
    assert!(place.is(b""));
    assert_eq!(place.mode(), 0o600);
    assert_eq!(place.names(), ["bundle.pem"]);
}

/// Every operation fails with every errno, once and from then on: the file is the old one or the new one, what is
/// reported is true, nothing lies around, and the next publication mends everything.
#[test]
fn every_failure_leaves_the_old_file_or_the_new_one() {
    let errnos = [
        Errno::NOSPC,
        Errno::IO,
        Errno::ROFS,
        Errno::ACCESS,
        Errno::PERM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::DQUOT,
        Errno::STALE,
        Errno::FBIG,
        Errno::INTR,
        Errno::INVAL,
    ];
    let steps = steps();
    assert!((7..12).contains(&steps), "open, create, write, mode, sync, rename, sync: {steps}");
    let mut failures = 0;
    for at in 0..steps {
        for errno in errnos {
            for fault in [Fault::Once(errno), Fault::From(errno)] {
                if matches!(fault, Fault::From(Errno::INTR)) {
                    continue; // signals without end: an endless loop, rightly
                }
                let place = Place::new();
                let outcome = publish(&FaultyFs::new(at, fault), &place.file, &new_content(), BUNDLE_MODE);
                let what = format!("step {at}, {fault:?}: {outcome:?}");
                assert!(outcome.is_ok() || errno != Errno::INTR, "a signal is no failure: {what}");
                match &outcome {
                    Ok(()) => assert!(place.is(&new_content()), "{what}"),
                    Err(error) if error.is_visible() => assert!(place.is(&new_content()), "{what}"),
                    Err(_) => assert!(place.is(OLD), "{what}"),
                }
                failures += usize::from(outcome.is_err());
                if matches!(fault, Fault::Once(_)) {
                    assert_eq!(place.names(), ["bundle.pem"], "{what}");
                }
                if place.is(&new_content()) {
                    assert_eq!(place.mode(), 0o644, "{what}");
                }
                publish(&RealFs, &place.file, b"next", BUNDLE_MODE).unwrap();
                assert!(place.is(b"next"));
                assert_eq!(place.names(), ["bundle.pem"], "{what}");
            }
        }
    }
    // Not vacuous: all but signals and the second chance of the file's sync show.
    assert!(failures > steps * errnos.len(), "{failures} failures");
}

#[test]
fn a_crash_at_any_step_is_mended_by_the_next_publication() {
    let steps = steps();
    let (mut old, mut new) = (0, 0);
    for at in 0..=steps {
        let place = Place::new();
        let _crashed = publish(&FaultyFs::new(at, Fault::Crash), &place.file, &new_content(), BUNDLE_MODE);
        if place.is(OLD) {
            old += 1;
        } else {
            assert!(place.is(&new_content()), "torn at step {at}");
            assert_eq!(place.mode(), 0o644);
            new += 1;
        }
        // A crash in the recovery as well.
        for again in 0..steps {
            let _crashed =
                publish(&FaultyFs::new(again, Fault::Crash), &place.file, &new_content(), BUNDLE_MODE);
            assert!(place.is(OLD) || place.is(&new_content()));
        }
        publish(&RealFs, &place.file, &new_content(), BUNDLE_MODE).unwrap();
        assert!(place.is(&new_content()));
        assert_eq!(place.names(), ["bundle.pem"]);
    }
    // Seen before the last operation, the sync of the directory, and after it.
    assert_eq!((old, new), (steps - 1, 2));
}

#[test]
fn short_writes_are_continued() {
    let place = Place::new();
    publish(&FaultyFs::new(0, Fault::ShortWrite), &place.file, &new_content(), BUNDLE_MODE).unwrap();
    assert!(place.is(&new_content()));
}

#[test]
fn a_failed_sync_is_tried_once_more_with_a_new_file() {
    let place = Place::new();
    let at = steps() - 3; // sync, rename, sync of the directory
    let once = FaultyFs::new(at, Fault::Once(Errno::IO));
    publish(&once, &place.file, &new_content(), BUNDLE_MODE).unwrap();
    assert!(once.count() >= steps() + 4, "a new file was made");
    let place = Place::new();
    let error =
        publish(&FaultyFs::new(at, Fault::From(Errno::IO)), &place.file, b"x", BUNDLE_MODE).unwrap_err();
    assert!(matches!(error, PublishError::Step { step: Step::SyncFile, errno: Errno::IO, .. }));
}

#[test]
fn an_unsynchronised_directory_is_told_apart() {
    let place = Place::new();
    let last = FaultyFs::new(steps() - 1, Fault::Once(Errno::IO));
    let error = publish(&last, &place.file, b"new", BUNDLE_MODE).unwrap_err();
    assert!(error.is_visible());
    assert_eq!(error.code(), "not-durable");
    assert!(place.is(b"new"));
}

#[test]
fn planted_links_are_replaced_and_not_followed() {
    let place = Place::new();
    let victim = place.dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::remove_file(&place.file).unwrap();
    symlink(&victim, &place.file).unwrap();
    symlink(&victim, place.dir.path().join(format!(".bundle.pem{TEMPORARY_SUFFIX}"))).unwrap();
    publish(&RealFs, &place.file, b"new", BUNDLE_MODE).unwrap();
    assert!(fs::symlink_metadata(&place.file).unwrap().is_file());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn what_stands_in_the_way_is_named_with_a_remedy() {
    let place = Place::new();
    let missing = place.dir.path().join("not\nthere").join("bundle.pem");
    let error = publish(&RealFs, &missing, b"new", BUNDLE_MODE).unwrap_err();
    assert_eq!(error.code(), "directory-missing");
    assert!(error.to_string().contains("not\\nthere"), "{error}");
    assert!(error.remedy().starts_with("mkdir -p "));

    let directory = place.dir.path().join("directory.pem");
    fs::create_dir(&directory).unwrap();
    let error = publish(&RealFs, &directory, b"new", BUNDLE_MODE).unwrap_err();
    assert_eq!(error.code(), "in-the-way");
    assert_eq!(place.names(), ["bundle.pem", "directory.pem"]);

    let leftover = place.dir.path().join(format!(".bundle.pem{TEMPORARY_SUFFIX}"));
    fs::create_dir(&leftover).unwrap();
    let error = publish(&RealFs, &place.file, b"new", BUNDLE_MODE).unwrap_err();
    assert!(error.remedy().contains(&leftover.display().to_string()), "{}", error.remedy());
    assert!(place.is(OLD));
    assert!(matches!(publish(&RealFs, Path::new("/"), b"", 0o644), Err(PublishError::NoFileName { .. })));
}

#[test]
fn root_gives_the_file_to_the_owner_of_the_directory() {
    if !rustix::process::geteuid().is_root() {
        return; // only root can
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.dir.path(), Some(4711), Some(4712)).unwrap();
    publish(&RealFs, &place.file, b"new", BUNDLE_MODE).unwrap();
    let metadata = fs::metadata(&place.file).unwrap();
    assert_eq!((metadata.uid(), metadata.gid()), (4711, 4712));
    // Where that cannot be done the file is published all the same; any other failure is one.
    let counting = FaultyFs::new(usize::MAX, Fault::Crash);
    publish(&counting, &place.file, b"newer", BUNDLE_MODE).unwrap();
    assert_eq!(counting.count(), steps() + 1);
    publish(&FaultyFs::new(3, Fault::Once(Errno::PERM)), &place.file, b"newest", BUNDLE_MODE).unwrap();
    let error =
        publish(&FaultyFs::new(3, Fault::Once(Errno::IO)), &place.file, b"x", BUNDLE_MODE).unwrap_err();
    assert!(matches!(error, PublishError::Step { step: Step::ChangeOwner, .. }));
    assert!(place.is(b"newest"));
}

#[test]
fn removal_is_durable_or_says_that_it_is_not() {
    let place = Place::new();
    let error = remove_durably(&FaultyFs::new(2, Fault::Once(Errno::IO)), &place.file).unwrap_err();
    assert!(error.is_visible() && !place.file.exists());
    remove_durably(&RealFs, &place.file).unwrap();
    fs::write(&place.file, OLD).unwrap();
    let error = remove_durably(&FaultyFs::new(1, Fault::Once(Errno::ROFS)), &place.file).unwrap_err();
    assert_eq!(error.code(), "read-only");
    assert!(place.is(OLD));
}

#[test]
fn readers_never_see_a_torn_file() {
    let place = Place::new();
    // Every byte of a content is the same, its length tells which: a mixture shows.
    let contents: Vec<Vec<u8>> = (1..=8_u8).map(|n| vec![n; usize::from(n) * 40_000]).collect();
    publish(&RealFs, &place.file, &contents[0], BUNDLE_MODE).unwrap();
    let done = AtomicBool::new(false);
    let whole = |seen: &[u8]| contents.iter().any(|content| content == seen);
    let reads = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut reads = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = fs::read(&place.file).unwrap();
                        assert!(whole(&seen), "a torn file of {} bytes", seen.len());
                        reads += 1;
                    }
                    reads
                })
            })
            .collect();
        for round in 0..80 {
            publish(&RealFs, &place.file, &contents[round % contents.len()], BUNDLE_MODE).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u32>()
    });
    assert!(reads > 80, "{reads} reads");
}
