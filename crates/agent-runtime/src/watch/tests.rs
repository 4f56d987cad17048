//! Changes of real files, each told within a bounded time; and a system that refuses.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::publish::TEMPORARY_SUFFIX;

/// A directory, a watcher, and what is to be watched in it.
struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    watcher: Watcher,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("etc/agent")).unwrap();
        Self { _dir: dir, root, watcher: Watcher::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn arm(&mut self, names: &[&str], hops: &[&str]) -> (WatchReport, bool) {
        let hops: Vec<_> = hops.iter().map(|hop| self.path(hop)).collect();
        let directories =
            names.iter().flat_map(|name| directories_to_watch(&self.path(name), &hops)).collect();
        self.watcher.arm(&directories)
    }

    async fn hint(&mut self, what: &str) {
        timeout(Duration::from_secs(10), self.watcher.changed())
            .await
            .unwrap_or_else(|_| panic!("no hint: {what}"));
        self.quiet().await;
    }

    /// Takes all hints that belong to what was done.
    async fn quiet(&mut self) -> usize {
        let mut hints = 0;
        while timeout(Duration::from_millis(50), self.watcher.changed()).await.is_ok() {
            hints += 1;
        }
        hints
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
}

const FILE: &str = "etc/agent/cainfo.pem";

#[test]
fn a_change_that_is_complete_is_told_from_one_that_goes_on() {
    let hints = |place: &Place| Arc::clone(&place.watcher.hints);
    run(async {
        let mut place = Place::new();
        place.arm(&[FILE], &[]);
        let file = place.path(FILE);
        let complete = async |place: &Place| timeout(Duration::from_secs(10), place.watcher.changed()).await;
        let (begun, whole) = (Hint::default(), Hint { complete: true, ..Hint::default() });
        hints(&place).seen(&file);
        assert_eq!(complete(&place).await, Ok(begun));
        hints(&place).completed(&file);
        assert_eq!(complete(&place).await, Ok(whole));
        hints(&place).completed(&place.path("etc/agent/.x").with_extension(&TEMPORARY_SUFFIX[1..]));
        hints(&place).gone(&file);
        assert_eq!(complete(&place).await, Ok(begun), "what does not matter completes nothing");
        let beside = place.path("etc/agent/beside");
        place.watcher.know(HashMap::from([(file.clone(), false), (beside.clone(), true)]));
        hints(&place).completed(&file);
        assert_eq!(complete(&place).await, Ok(Hint { known: true, ..whole }));
        hints(&place).completed(&beside);
        hints(&place).seen(&file);
        assert_eq!(complete(&place).await, Ok(Hint { known: true, named: true, ..whole }));
        hints(&place).completed(&place.path("etc/agent/another"));
        assert_eq!(complete(&place).await, Ok(whole));
    });
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_system_tells_of_whole_things_is_complete() {
    // Nothing where there was no hint at all.
    let is_complete = |prepare: fn(&Place), change: fn(&Place)| {
        run(async {
            let mut place = Place::new();
            prepare(&place);
            place.arm(&[FILE], &[]);
            place.quiet().await;
            change(&place);
            let mut complete = None;
            while let Ok(one) = timeout(Duration::from_millis(200), place.watcher.changed()).await {
                complete = Some(complete.unwrap_or(false) | one.complete);
            }
            complete
        })
    };
    let beside = |place: &Place| fs::write(place.path("etc/agent/beside"), "content").unwrap();
    let rename = |place: &Place| fs::rename(place.path("etc/agent/beside"), place.path(FILE)).unwrap();
    assert_eq!(is_complete(beside, rename), Some(true), "a rename puts a whole file in place");
    let remove = |place: &Place| fs::remove_dir_all(place.path("etc/agent")).unwrap();
    let make = |place: &Place| fs::create_dir(place.path("etc/agent")).unwrap();
    assert_eq!(
        is_complete(remove, make),
        Some(true),
        "a directory is to be watched before something comes into it"
    );
    let touch = |place: &Place| drop(fs::File::create(place.path(FILE)).unwrap());
    let mode = |place: &Place| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        fs::set_permissions(place.path(FILE), mode).unwrap();
    };
    assert_eq!(is_complete(touch, mode), Some(false), "nothing says that this was all");
}

/// Does this three times, arming after each as the loop does: watchers are known to be deaf from the second time on.
fn each_time_a_hint(what: &str, names: &[&str], hops: &[&str], change: impl Fn(&Place, usize)) {
    run(async {
        let mut place = Place::new();
        let (_, rearmed) = place.arm(names, hops);
        assert!(rearmed);
        for turn in 0..3 {
            place.quiet().await;
            change(&place, turn);
            place.hint(&format!("{what}, time {turn}")).await;
            place.arm(names, hops);
            let (report, again) = place.arm(names, hops);
            assert!(!again, "{what}: armed without end");
            assert_eq!(report.reasons(), Vec::<String>::new());
        }
    });
}

#[test]
fn a_file_that_is_written_in_place_or_comes_and_goes() {
    each_time_a_hint("write", &[FILE], &[], |place, turn| {
        fs::write(place.path(FILE), [b'x'; 3].repeat(turn)).unwrap();
    });
    each_time_a_hint("append", &[FILE], &[], |place, _| {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().append(true).create(true).open(place.path(FILE)).unwrap();
        file.write_all(b"x").unwrap();
    });
    each_time_a_hint("come and go", &[FILE], &[], |place, turn| match turn {
        1 => fs::remove_file(place.path(FILE)).unwrap(),
        _ => fs::write(place.path(FILE), "x").unwrap(),
    });
    each_time_a_hint("mode", &[FILE], &[], |place, turn| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(place.path(FILE), "x").unwrap();
        fs::set_permissions(
            place.path(FILE),
            fs::Permissions::from_mode(0o600 + u32::try_from(turn).unwrap()),
        )
        .unwrap();
    });
}

#[test]
fn a_file_that_is_replaced_by_a_rename() {
    each_time_a_hint("rename", &[FILE], &[], |place, _| {
        fs::write(place.path("etc/agent/.new"), "x").unwrap();
        fs::rename(place.path("etc/agent/.new"), place.path(FILE)).unwrap();
    });
    each_time_a_hint("from elsewhere", &[FILE], &[], |place, _| {
        fs::write(place.path("new"), "x").unwrap();
        fs::rename(place.path("new"), place.path(FILE)).unwrap();
    });
}

#[test]
fn a_link_that_is_turned() {
    each_time_a_hint("link", &[FILE], &["etc/agent", "one", "two"], |place, turn| {
        symlink(if turn == 1 { "../../one" } else { "../../two" }, place.path("etc/agent/next")).unwrap();
        fs::rename(place.path("etc/agent/next"), place.path(FILE)).unwrap();
    });
    // As Kubernetes does with a mounted config map.
    each_time_a_hint("..data", &[FILE], &["etc/agent"], |place, turn| {
        let version = place.path(&format!("etc/agent/..{turn}"));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("cainfo.pem"), "x").unwrap();
        symlink(&version, place.path("etc/agent/..data_tmp")).unwrap();
        fs::rename(place.path("etc/agent/..data_tmp"), place.path("etc/agent/..data")).unwrap();
        if turn == 0 {
            symlink("..data/cainfo.pem", place.path(FILE)).unwrap();
        } else {
            fs::remove_dir_all(place.path(&format!("etc/agent/..{}", turn - 1))).unwrap();
        }
    });
}

#[test]
fn a_directory_that_is_replaced() {
    run(async {
        let mut place = Place::new();
        fs::write(place.path(FILE), "x").unwrap();
        place.arm(&[FILE], &[]);
        for turn in 0..4 {
            if turn % 2 == 0 {
                // Another directory is put in its place.
                fs::create_dir(place.path("etc/new")).unwrap();
                fs::rename(place.path("etc/agent"), place.path(&format!("old{turn}"))).unwrap();
                fs::rename(place.path("etc/new"), place.path("etc/agent")).unwrap();
            } else {
                // Removed and made again: often with the same inode number.
                fs::remove_dir_all(place.path("etc/agent")).unwrap();
                fs::create_dir(place.path("etc/agent")).unwrap();
            }
            place.hint("directory replaced").await;
            assert!(place.arm(&[FILE], &[]).1, "turn {turn}: armed anew");
            place.quiet().await;
            fs::write(place.path(FILE), "y").unwrap();
            place.hint("a file in the new directory").await;
        }
        // The same directory, moved away and back.
        fs::rename(place.path("etc/agent"), place.path("etc/away")).unwrap();
        fs::rename(place.path("etc/away"), place.path("etc/agent")).unwrap();
        place.hint("moved and back").await;
        place.arm(&[FILE], &[]);
        place.quiet().await;
        fs::write(place.path(FILE), "z").unwrap();
        place.hint("a file in the directory that came back").await;
    });
}

#[test]
fn a_directory_far_above_that_is_replaced_is_noticed_at_the_next_look() {
    run(async {
        let mut place = Place::new();
        let file = "a/b/c/d/cainfo.pem";
        fs::create_dir_all(place.path("a/b/c/d")).unwrap();
        place.arm(&[file], &[]);
        fs::rename(place.path("a"), place.path("old")).unwrap();
        fs::create_dir_all(place.path("a/b/c/d")).unwrap();
        // No event tells of it; the poll looks.
        place.quiet().await;
        assert!(place.arm(&[file], &[]).1);
        fs::write(place.path(file), "x").unwrap();
        place.hint("in the new directory").await;
    });
}

#[test]
fn a_directory_that_comes_later() {
    run(async {
        let mut place = Place::new();
        let file = "a/b/c/cainfo.pem";
        let (report, _) = place.arm(&[file], &[]);
        let directories = directories_to_watch(&place.path(file), &[]);
        assert!(report.uncovered(&directories).is_none(), "its coming is seen");
        for name in ["a", "a/b", "a/b/c"] {
            fs::create_dir(place.path(name)).unwrap();
            place.hint(name).await;
            assert!(place.arm(&[file], &[]).1, "{name}");
            place.quiet().await;
        }
        fs::write(place.path(file), "x").unwrap();
        place.hint("the file").await;
        fs::remove_dir_all(place.path("a")).unwrap();
        place.hint("all of it gone").await;
        place.arm(&[file], &[]);
        place.quiet().await;
        fs::create_dir_all(place.path("a/b/c")).unwrap();
        fs::write(place.path(file), "x").unwrap();
        place.hint("all of it back").await;
    });
}

#[test]
fn a_directory_known_by_two_names_is_watched_once_and_followed() {
    run(async {
        let mut place = Place::new();
        fs::create_dir_all(place.path("two/x")).unwrap();
        symlink("etc/agent", place.path("alias")).unwrap();
        let (names, hops) = (["alias/ca.pem"], ["etc/agent"]);
        place.arm(&names, &hops);
        fs::write(place.path("etc/agent/ca.pem"), "x").unwrap();
        place.hint("through the other name").await;
        // The link is turned to another directory.
        fs::remove_file(place.path("alias")).unwrap();
        symlink("two/x", place.path("alias")).unwrap();
        place.hint("link turned").await;
        assert!(place.arm(&names, &hops).1);
        place.quiet().await;
        fs::write(place.path("two/x/ca.pem"), "x").unwrap();
        place.hint("in the new directory").await;
        fs::write(place.path("etc/agent/ca.pem"), "y").unwrap();
        place.hint("and still in the other").await;
    });
}

#[test]
fn what_does_not_matter_does_not_wake() {
    run(async {
        let mut place = Place::new();
        fs::write(place.path(FILE), "x").unwrap();
        let (_, rearmed) = place.arm(&[FILE], &[]);
        assert!(rearmed);
        // Our own reading, our file that is not in place yet, and what happens beside the directory above.
        fs::read(place.path(FILE)).unwrap();
        fs::read_dir(place.path("etc/agent")).unwrap().count();
        fs::write(place.path(&format!("etc/agent/.cainfo-merged.pem{TEMPORARY_SUFFIX}")), "x").unwrap();
        fs::write(place.path("etc/other"), "x").unwrap();
        fs::create_dir(place.path("etc/other.d")).unwrap();
        assert_eq!(place.quiet().await, 0);
        assert!(!place.arm(&[FILE], &[]).1);
        assert_eq!(place.quiet().await, 0);
        // But what is put in place there does.
        let temporary = place.path(&format!("etc/agent/.cainfo-merged.pem{TEMPORARY_SUFFIX}"));
        fs::rename(temporary, place.path("etc/agent/cainfo-merged.pem")).unwrap();
        place.hint("the bundle").await;
        fs::remove_file(place.path("etc/agent/cainfo-merged.pem")).unwrap();
        place.hint("the bundle is gone").await;
    });
}

#[test]
fn what_is_no_longer_asked_for_is_no_longer_watched() {
    run(async {
        let mut place = Place::new();
        fs::create_dir_all(place.path("other/dir")).unwrap();
        place.arm(&[FILE, "other/dir/x.pem"], &[]);
        place.arm(&[FILE], &[]);
        fs::write(place.path("other/dir/x.pem"), "x").unwrap();
        assert_eq!(place.quiet().await, 0);
        let (_, rearmed) = place.arm(&[FILE, "other/dir/x.pem"], &[]);
        assert!(rearmed);
        fs::write(place.path("other/dir/x.pem"), "y").unwrap();
        place.hint("watched again").await;
    });
}

#[test]
fn the_directories_of_a_path_and_its_hops() {
    let hops = [PathBuf::from("/srv/ca/current"), PathBuf::from("/")];
    let directories = directories_to_watch(Path::new("/etc/agent/cainfo.pem"), &hops);
    let expected = ["/", "/etc", "/etc/agent", "/srv/ca", "/srv/ca/current"].map(PathBuf::from);
    assert_eq!(directories, BTreeSet::from(expected));
}

/// A system that keeps to a number of watches, and writes down what it is asked.
struct Limited {
    log: Arc<Mutex<Vec<String>>>,
    left: usize,
    refusal: Refusal,
}

impl Backend for Limited {
    fn watch(&mut self, directory: &Path) -> Result<(), Refusal> {
        if self.left == 0 {
            return Err(self.refusal.clone());
        }
        self.left -= 1;
        self.log.lock().unwrap().push(format!("+{}", directory.display()));
        Ok(())
    }

    fn unwatch(&mut self, directory: &Path) {
        self.left += 1;
        self.log.lock().unwrap().push(format!("-{}", directory.display()));
    }
}

#[test]
fn a_limit_is_said_and_what_can_be_watched_is() {
    let place = Place::new();
    for refusal in [Refusal::Watches, Refusal::Instances, Refusal::Denied, Refusal::Other("odd".to_owned())] {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (logged, refused) = (Arc::clone(&log), refusal.clone());
        let mut watcher = Watcher::with_backend(Box::new(move |_| {
            Ok(Box::new(Limited { log: Arc::clone(&logged), left: 1, refusal: refused.clone() }))
        }));
        let directories = directories_to_watch(&place.path(FILE), &[]);
        let (report, rearmed) = watcher.arm(&directories);
        assert!(rearmed && report.is_degraded());
        assert_eq!(report.reasons().len(), 1);
        assert!(report.reasons()[0].contains(&refusal.to_string()));
        assert!(report.uncovered(&directories).is_some_and(|why| why.contains(&refusal.to_string())));
        let (report, rearmed) = watcher.arm(&directories);
        assert!(!rearmed && report.is_degraded(), "tried again, without a loop");
        assert_eq!(*log.lock().unwrap(), [format!("+{}", place.path("etc").display())]);
    }
}

#[test]
fn without_a_watcher_it_goes_on_and_tries_again() {
    let place = Place::new();
    let attempts = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&attempts);
    let mut watcher = Watcher::with_backend(Box::new(move |_| {
        *counted.lock().unwrap() += 1;
        if *counted.lock().unwrap() < 3 {
            Err(Refusal::Instances)
        } else {
            system(Arc::new(Hints::default()))
        }
    }));
    let directories = directories_to_watch(&place.path(FILE), &[]);
    for _ in 0..2 {
        let (report, rearmed) = watcher.arm(&directories);
        assert!(report.is_degraded() && !rearmed && report.uncovered(&directories).is_some());
        assert!(report.reasons()[0].contains("fs.inotify.max_user_instances"));
    }
    let (report, rearmed) = watcher.arm(&directories);
    assert!(report.reasons().is_empty() && rearmed && report.uncovered(&directories).is_none());
}

#[test]
fn lost_events_make_everything_anew() {
    run(async {
        let mut place = Place::new();
        assert!(place.arm(&[FILE], &[]).1);
        assert!(!place.arm(&[FILE], &[]).1);
        place.quiet().await;
        place.watcher.hints.all_lost();
        place.hint("events lost").await;
        assert!(place.arm(&[FILE], &[]).1);
        fs::write(place.path(FILE), "x").unwrap();
        place.hint("after it").await;
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_dropped_watcher_ends_its_thread() {
    let threads = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        tasks
            .filter(|task| task.path().exists())
            .map(name)
            .filter(|name| name.starts_with("notify-rs"))
            .count()
    };
    let place = Place::new();
    let mut watchers: Vec<_> = (0..30).map(|_| Watcher::new()).collect();
    for watcher in &mut watchers {
        watcher.arm(&directories_to_watch(&place.path(FILE), &[]));
    }
    assert!(threads() >= 30);
    drop(watchers);
    // Others come and go in other tests, but never that many.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while threads() >= 30 {
        assert!(std::time::Instant::now() < deadline, "the threads stay");
        std::thread::yield_now();
    }
}

#[test]
fn each_source_is_told_how_it_is_watched() {
    let place = Place::new();
    let (good, hung) = (place.path(FILE), place.path("etc/agent/hung.pem"));
    let directories = directories_to_watch(&good, &[]);
    let (mut report, _) = Watcher::new().arm(&directories);
    let way = Way { directories, file: good.clone() };
    report.follow(BTreeMap::from([(good.clone(), way.clone())]));
    assert!(report.tells_of(&good));
    // What was not come to has no way; a neighbour's does not speak for it.
    assert!(!report.tells_of(&hung) && report.untold(&hung).is_some());
    let refused = Watcher::with_backend(Box::new(|_| Err(Refusal::Instances)));
    let (mut report, _) = { refused }.arm(&way.directories);
    report.follow(BTreeMap::from([(good.clone(), way)]));
    assert!(!report.tells_of(&good));
    assert!(report.untold(&good).unwrap().contains("fs.inotify.max_user_instances"));
}
