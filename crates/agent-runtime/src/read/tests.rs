//! The same cases for both ways of holding a file.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::handle::Compared;
use super::rules::Judge;
use super::*;

struct Place {
    _dir: tempfile::TempDir,
    root: PathBuf,
    rules: Rules,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        mode(&root, 0o755);
        let rules = Rules { max_bytes: 10_000, root: Some(root.clone()), ..Rules::default() };
        Self { _dir: dir, root, rules }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("content of {name}")).unwrap();
        mode(&path, 0o644);
        path
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, &path).unwrap();
        path
    }

    /// Reads in both ways, which must agree.
    fn read(&self, path: &Path) -> Result<FileBytes, ReadError> {
        let start = Instant::now();
        let outcome = read_file(path, &self.rules);
        // One of the two makes no trail where there are links.
        let seen = |outcome: Result<FileBytes, ReadError>| match outcome {
            Ok(file) => Ok(FileBytes { trail: None, ..file }),
            Err(ReadError::Missing { path, component, .. }) => {
                Err(ReadError::Missing { path, component, trail: None })
            }
            Err(other) => Err(other),
        };
        let compared = read_with(&Compared, path, &self.rules, &Spare::default());
        assert_eq!(seen(compared), seen(outcome.clone()), "{}", path.display());
        assert!(start.elapsed() < Duration::from_secs(1), "slow: {}", path.display());
        outcome
    }

    fn code(&self, path: &Path) -> &'static str {
        let error = self.read(path).unwrap_err();
        assert!(!error.to_string().contains("content of"), "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
        assert!(!error.remedy().is_empty());
        error.code()
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn an_ordinary_file_is_read() {
    let place = Place::new();
    let read = place.read(&place.file("a/cainfo.pem")).unwrap();
    assert_eq!(read.bytes, b"content of a/cainfo.pem");
    assert_eq!(read.real_path, place.path("a/cainfo.pem"));
    assert_eq!(read.hops, [place.path("a")]);
    assert!(read.racy, "just written");
    let old = File::options().write(true).open(place.path("a/cainfo.pem")).unwrap();
    let then = SystemTime::now() - Duration::from_secs(10);
    old.set_modified(then).unwrap();
    let read = place.read(&place.path("a/../a/./cainfo.pem")).unwrap();
    assert!(!read.racy);
    assert_eq!(read.modified, then);
    // A clock that was wrong once does not make a file new for ever.
    old.set_modified(SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
    assert!(!place.read(&place.path("a/cainfo.pem")).unwrap().racy);
}

#[test]
fn links_are_followed_and_every_directory_on_the_way_is_told() {
    let place = Place::new();
    place.file("mnt/..2024/ca.pem");
    place.link("..2024", "mnt/..data");
    place.link("..data/ca.pem", "mnt/ca.pem");
    place.link(place.path("mnt"), "alias");
    let read = place.read(&place.path("alias/ca.pem")).unwrap();
    assert_eq!(read.bytes, b"content of mnt/..2024/ca.pem");
    assert_eq!(read.real_path, place.path("mnt/..2024/ca.pem"));
    let expected = [place.path("alias"), place.root.clone(), place.path("mnt"), place.path("mnt/..2024")];
    assert_eq!(read.hops, expected);
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    place.link("nowhere/x.pem", "dangling.pem");
    let component = |path: &Path| match place.read(path) {
        Err(ReadError::Missing { component, .. }) => component,
        other => panic!("{other:?}"),
    };
    assert_eq!(component(&place.path("a/b/c.pem")), place.path("a"));
    assert_eq!(component(&place.path("dangling.pem")), place.path("nowhere"));
    let error = place.read(&place.path("dangling.pem")).unwrap_err();
    assert_eq!(error.component(), Some(place.path("nowhere").as_path()));
    let (path, nowhere) = (place.path("dangling.pem"), place.path("nowhere"));
    assert_eq!(
        error.to_string(),
        format!("{} does not exist, since there is no {}", path.display(), nowhere.display())
    );
    let gone = Rules { root: Some(place.path("gone")), ..place.rules.clone() };
    assert_eq!(read_file(&place.path("gone/x.pem"), &gone).unwrap_err().code(), "missing");
}

#[test]
fn only_regular_files_are_opened() {
    let place = Place::new();
    let fifo = place.path("fifo");
    // By the program: macOS has no mknodat().
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket")).unwrap();
    place.file("file");
    place.link("fifo", "to-fifo");
    for (name, kind) in [
        ("fifo", Kind::Fifo),
        ("to-fifo", Kind::Fifo),
        ("socket", Kind::Socket),
        ("", Kind::Directory),
        ("file/below", Kind::File),
        ("/dev/null", Kind::Device),
        ("/dev/zero", Kind::Device),
        ("/dev/tty", Kind::Device),
        ("/", Kind::Directory),
    ] {
        match place.read(&place.path(name)) {
            Err(ReadError::NotRegular { kind: found, .. }) => assert_eq!(found, kind, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn files_of_the_kernel_are_not_read() {
    let place = Place::new();
    for path in ["/proc/kmsg", "/proc/self/mem", "/proc/self/environ", "/sys/kernel/uevent_seqnum"] {
        if Path::new(path).exists() {
            assert_eq!(
                read_file(Path::new(path), &place.rules).unwrap_err().code(),
                "pseudo-file-system",
                "{path}"
            );
        }
    }
    // A link of /proc is followed by its text, not by its magic.
    let stdin = read_file(Path::new("/proc/self/fd/0"), &place.rules).unwrap_err();
    assert!(["not-a-regular-file", "missing"].contains(&stdin.code()), "{stdin}");
}

#[test]
fn sizes_have_a_limit() {
    let place = Place::new();
    let path = place.file("file");
    fs::write(&path, vec![b'x'; 10_000]).unwrap();
    assert_eq!(place.read(&path).unwrap().bytes.len(), 10_000);
    fs::write(&path, vec![b'x'; 10_001]).unwrap();
    assert_eq!(place.code(&path), "too-large");
    File::create(&path).unwrap().set_len(10 << 30).unwrap();
    assert!(matches!(place.read(&path), Err(ReadError::TooLarge { size, .. }) if size == 10 << 30));
    fs::write(&path, "").unwrap();
    assert_eq!(place.read(&path).unwrap().bytes, b"");
}

#[test]
fn loops_and_long_chains_end() {
    let place = Place::new();
    place.link("b", "a");
    place.link("a", "b");
    place.link(".", "dot");
    assert_eq!(place.code(&place.path("a")), "symlink-loop");
    let deep = "dot/".repeat(41) + "file";
    place.file("file");
    assert_eq!(place.code(&place.path(&deep)), "symlink-loop");
    for n in 0..40 {
        place.link(if n == 0 { "file".to_owned() } else { format!("link{}", n - 1) }, &format!("link{n}"));
    }
    assert_eq!(place.read(&place.path("link39")).unwrap().bytes, b"content of file");
}

#[test]
fn impossible_paths_are_refused() {
    let place = Place::new();
    assert_eq!(place.code(Path::new("cainfo.pem")), "relative-path");
    assert_eq!(place.code(Path::new("")), "relative-path");
    assert_eq!(place.code(Path::new("/a\0b")), "bad-path");
    assert_eq!(place.code(Path::new(&"/a".repeat(2048))), "bad-path");
    assert_eq!(place.code(&place.path(&"a".repeat(256))), "bad-path");
    assert_eq!(place.code(&place.path(&"a".repeat(255))), "missing");
    let latin = place.root.join(OsStr::from_bytes(b"\xe4\xff.pem"));
    assert_eq!(place.code(&latin), "missing");
    fs::write(&latin, "x").unwrap();
    assert_eq!(place.read(&latin).unwrap().bytes, b"x");
    assert_eq!(place.code(&place.path("new\nline\x1b[2J")), "missing");
}

#[test]
fn what_others_can_write_to_is_refused() {
    let place = Place::new();
    let path = place.file("dir/file");
    for (at, bits, accepted) in
        [("dir/file", 0o664, 0o644), ("dir/file", 0o646, 0o644), ("dir", 0o775, 0o755), ("dir", 0o757, 0o755)]
    {
        mode(&place.path(at), bits);
        match place.read(&path) {
            Err(error @ ReadError::Writable { .. }) => {
                assert_eq!(error.remedy(), format!("chmod go-w {}", place.path(at).display()));
            }
            other => panic!("{at} {bits:o}: {other:?}"),
        }
        mode(&place.path(at), accepted);
    }
    place.read(&path).unwrap();
    // Anywhere on the way.
    let deep = place.file("dir/sub/sub/file");
    for bits in [0o775, 0o757] {
        mode(&place.path("dir"), bits);
        assert_eq!(place.code(&deep), "writable-by-others");
    }
    mode(&place.path("dir"), 0o755);
    place.read(&deep).unwrap();
    // Through a link the same holds for the directory with the link and the one with the file.
    place.link(&path, "links/file");
    mode(&place.path("links"), 0o777);
    assert_eq!(place.code(&place.path("links/file")), "writable-by-others");
    mode(&place.path("links"), 0o755);
    mode(&place.path("dir"), 0o777);
    assert_eq!(place.code(&place.path("links/file")), "writable-by-others");
    // And where a path climbs out of such a directory: it could be made a link.
    assert_eq!(place.code(&place.path("dir/../links/file")), "writable-by-others");
}

#[test]
fn a_sticky_directory_is_passed_but_holds_no_source() {
    let place = Place::new();
    let inner = place.file("tmp/own/file");
    let direct = place.file("tmp/file");
    mode(&place.path("tmp"), 0o1777);
    place.read(&inner).unwrap();
    let error = place.read(&direct).unwrap_err();
    assert_eq!(error.code(), "writable-by-others");
    assert!(error.remedy().starts_with("move the file out of "), "{}", error.remedy());
    let link = place.link("own/file", "tmp/link");
    place.read(&link).unwrap();
    if is_root() {
        std::os::unix::fs::lchown(&link, Some(4711), None).unwrap();
        assert_eq!(place.code(&link), "untrusted-owner");
    }
}

#[test]
fn files_of_untrusted_owners_are_refused() {
    if !is_root() {
        return; // nobody else can give files away
    }
    let mut place = Place::new();
    let path = place.file("dir/file");
    for at in ["dir/file", "dir"] {
        chown(place.path(at), Some(4711), None).unwrap();
        match place.read(&path) {
            Err(ReadError::Owner { component, uid: 4711, .. }) => assert_eq!(component, place.path(at)),
            other => panic!("{at}: {other:?}"),
        }
        place.rules.trusted_uids = vec![4711];
        place.read(&path).unwrap();
        place.rules.trusted_uids.clear();
        chown(place.path(at), Some(0), None).unwrap();
    }
    place.read(&path).unwrap();
}

#[test]
fn the_local_configuration_can_waive_owners_and_modes_but_nothing_else() {
    let mut place = Place::new();
    let path = place.file("dir/file");
    mode(&path, 0o666);
    mode(&place.path("dir"), 0o777);
    assert_eq!(place.code(&path), "writable-by-others");
    place.rules.waived = vec![place.path("dir")];
    place.read(&path).unwrap();
    fs::write(&path, vec![0; 10_001]).unwrap();
    assert_eq!(place.code(&path), "too-large");
    fs::write(&path, "x").unwrap();
    mode(&place.file("other/file"), 0o666);
    assert_eq!(place.code(&place.path("dir/../other/file")), "writable-by-others");
    place.rules.waived = vec![place.path("di")];
    assert_eq!(place.code(&path), "writable-by-others");
}

#[test]
fn above_the_root_nothing_is_judged_and_outside_of_it_everything_is() {
    let mut place = Place::new();
    let path = place.file("open/root/dir/file");
    place.file("open/outside/file");
    mode(&place.path("open"), 0o777);
    assert_eq!(place.code(&path), "writable-by-others");
    place.rules.root = Some(place.path("open/root"));
    place.read(&path).unwrap();
    place.read(&place.path("open/root/dir/../dir/file")).unwrap();
    assert_eq!(place.code(&place.path("open/outside/file")), "writable-by-others");
    assert_eq!(place.code(&place.path("open/root/../outside/file")), "writable-by-others");
    assert_eq!(place.code(&place.path("open/root/dir/../../outside/file")), "writable-by-others");
    place.link(place.path("open/outside/file"), "open/root/out");
    assert_eq!(place.code(&place.path("open/root/out")), "writable-by-others");
    place.link("../outside/file", "open/root/out-relative");
    assert_eq!(place.code(&place.path("open/root/out-relative")), "writable-by-others");
    place.link(&path, "open/root/in");
    place.read(&place.path("open/root/in")).unwrap();
    mode(&place.path("open/root"), 0o777);
    assert_eq!(place.code(&path), "writable-by-others");
}

#[test]
fn the_root_may_be_reached_through_a_link() {
    let mut place = Place::new();
    place.file("real/dir/file");
    place.link("real", "root");
    place.rules.root = Some(place.path("root"));
    let read = place.read(&place.path("root/dir/file")).unwrap();
    assert_eq!(read.real_path, place.path("real/dir/file"));
}

#[test]
fn our_own_files_are_no_sources() {
    let mut place = Place::new();
    let bundle = place.file("cainfo-merged.pem");
    let state = place.file("state/state.json");
    place.rules.refuse = vec![bundle.clone(), place.path("state")];
    fs::hard_link(&bundle, place.path("hard")).unwrap();
    place.link("cainfo-merged.pem", "soft");
    place.link("state", "elsewhere");
    for path in
        [&bundle, &state, &place.path("hard"), &place.path("soft"), &place.path("elsewhere/state.json")]
    {
        assert_eq!(place.code(path), "own-file", "{}", path.display());
    }
    assert_eq!(place.code(&place.path("state/../cainfo-merged.pem")), "own-file");
    // A link in the bundle's place is replaced one day: what it points to is not ours.
    let source = place.file("source.pem");
    place.link("source.pem", "linked-bundle");
    place.rules.refuse = vec![place.path("linked-bundle")];
    place.read(&source).unwrap();
}

#[test]
fn what_is_closed_to_others_is_not_copied_for_them() {
    let place = Place::new();
    let path = place.file("dir/file");
    mode(&path, 0o640);
    mode(&place.path("dir"), 0o750);
    place.read(&path).unwrap(); // our own
    if !is_root() {
        return; // the rest needs files of root
    }
    // As a user who may read root's file by a group.
    let mut judge = Judge::new(&path, &place.rules).unwrap();
    judge.self_uid = 4711;
    let facts = |path: &Path| Facts::of(&File::open(path).unwrap()).unwrap();
    let error = judge.file(&path, &facts(&path)).unwrap_err();
    assert_eq!(error.code(), "not-readable-by-all");
    assert_eq!(error.remedy(), format!("chmod o+r {}", path.display()));
    let dir = place.path("dir");
    let error = judge.directory(&dir, &facts(&dir)).unwrap_err();
    assert_eq!(error.remedy(), format!("chmod o+x {}", dir.display()));
    mode(&path, 0o644);
    judge.file(&path, &facts(&path)).unwrap();
}

/// Runs itself once more as a user without rights.
#[test]
fn a_closed_door_is_named_with_its_owner_and_mode() {
    const CHILD: &str = "AGENTD_TEST_READ_AS_NOBODY";
    if let Some(root) = std::env::var_os(CHILD) {
        let root = PathBuf::from(root);
        let rules = Rules { max_bytes: 100, root: Some(root.clone()), ..Rules::default() };
        let waived = Rules { waived: vec![root.clone()], ..rules.clone() };
        for (name, closed, bits) in [("closed/file", "closed", 0o700), ("file", "file", 0o600)] {
            let denied = ReadError::Denied {
                path: root.join(name),
                component: root.join(closed),
                uid: 0,
                mode: bits,
                policy: false,
            };
            for handles in [&Platform as &dyn Handles, &Compared] {
                assert_eq!(
                    read_with(handles, &root.join(name), &waived, &Spare::default()),
                    Err(denied.clone())
                );
            }
            assert_eq!(read_file(&root.join(name), &rules).unwrap_err().code(), "not-readable-by-all");
        }
        return;
    }
    if !is_root() {
        return; // only root can become somebody else
    }
    use std::os::unix::process::CommandExt as _;
    let place = Place::new();
    mode(&place.file("file"), 0o600);
    place.file("closed/file");
    mode(&place.path("closed"), 0o700);
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "read::tests::a_closed_door_is_named_with_its_owner_and_mode"])
        .env(CHILD, &place.root)
        .uid(4711)
        .gid(4711)
        .output();
    match ran {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
        // The test's own program lies where that user cannot run it.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied),
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let place = Place::new();
    let path = place.file("file");
    fs::write(&path, "0123456789").unwrap();
    // What happens between the first look at the open file and the end of reading.
    let read = |change: &dyn Fn(&File), limit| {
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000)).unwrap();
        let before = Facts::of(&file).unwrap();
        change(&file);
        content(&file, &before, &path, limit, &Spare::default()).map_err(|error| error.code())
    };
    use std::os::unix::fs::FileExt as _;
    assert_eq!(read(&|_| (), 100), Ok(b"0123456789".to_vec()));
    assert_eq!(read(&|file| file.write_all_at(b"x", 5).unwrap(), 100), Err("changing"), "written over");
    assert_eq!(read(&|file| file.set_len(5).unwrap(), 100), Err("changing"), "shrunk");
    assert_eq!(read(&|file| file.set_len(50).unwrap(), 100), Err("changing"), "grown");
    assert_eq!(read(&|file| file.set_len(101).unwrap(), 100), Err("too-large"), "grown beyond the limit");
}

#[test]
fn a_file_that_is_replaced_again_and_again_is_one_or_the_other() {
    let place = Place::new();
    let path = place.file("file");
    let contents = [vec![b'a'; 9_000], vec![b'b'; 8_000]];
    fs::write(&path, &contents[0]).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                let new = place.path("new");
                fs::write(&new, &contents[turn % 2]).unwrap();
                mode(&new, 0o644);
                fs::rename(&new, &path).unwrap();
                turn += 1;
            }
        });
        for _ in 0..500 {
            match read_file(&path, &place.rules) {
                Ok(read) => assert!(contents.contains(&read.bytes)),
                Err(error) => assert_eq!(error.code(), "changing"),
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_swapped_directory_or_link_gives_one_or_the_other() {
    let place = Place::new();
    place.file("one/file");
    place.file("two/file");
    place.link("one", "now");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut turn = 0;
            while !done.load(Ordering::Relaxed) {
                place.link(if turn % 2 == 0 { "two" } else { "one" }, "next");
                fs::rename(place.path("next"), place.path("now")).unwrap();
                turn += 1;
            }
        });
        for handles in [&Platform as &dyn Handles, &Compared] {
            for _ in 0..300 {
                let read =
                    read_with(handles, &place.path("now/file"), &place.rules, &Spare::default()).unwrap();
                assert!(read.bytes == b"content of one/file" || read.bytes == b"content of two/file");
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_directory_is_listed_in_the_order_of_the_bytes_of_names() {
    let mut place = Place::new();
    for name in
        ["d/b.pem", "d/B.pem", "d/ä.pem", "d/a.pem", "d/.hidden.swp", "d/.c.pem.agentd-new", "d/sub/x.pem"]
    {
        place.file(name);
    }
    place.file("d/merged.pem");
    place.rules.refuse = vec![place.path("d/merged.pem")];
    place.link("a.pem", "d/link.pem");
    place.link("sub", "d/link-to-directory");
    place.link("nowhere", "d/dangling");
    let names = |path: &Path, rules: &Rules| -> Vec<String> {
        let files = list_directory(path, rules).unwrap().files;
        assert!(files.iter().all(|file| file.parent() == Some(path)));
        files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned()).collect()
    };
    let expected = ["B.pem", "a.pem", "b.pem", "dangling", "link.pem", "ä.pem"];
    assert_eq!(names(&place.path("d"), &place.rules), expected);
    place.link("d", "alias");
    assert_eq!(names(&place.path("alias"), &place.rules), expected);
    let code = |name: &str| list_directory(&place.path(name), &place.rules).unwrap_err().code();
    assert_eq!(code("missing"), "missing");
    assert_eq!(code("d/a.pem"), "not-a-regular-file");
    mode(&place.path("d"), 0o1777);
    assert_eq!(code("d"), "writable-by-others");
}

/// A file system whose calls are interrupted so many times.
struct Interrupted(std::sync::atomic::AtomicUsize);

impl Interrupted {
    fn signal(&self) -> Result<(), Errno> {
        let left = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(Errno::INTR) } else { Ok(()) }
    }
}

impl Handles for Interrupted {
    fn begin(&self, path: &Path) -> Result<File, Errno> {
        self.signal().and_then(|()| Platform.begin(path))
    }

    fn find(&self, directory: &File, name: &OsStr) -> Result<handle::Found, Errno> {
        self.signal().and_then(|()| Platform.find(directory, name))
    }

    fn readable(&self, directory: &File, name: &OsStr, found: &File) -> Result<File, Errno> {
        Platform.readable(directory, name, found)
    }
}

#[test]
fn a_call_that_a_signal_interrupts_is_made_again_and_not_for_ever() {
    let place = Place::new();
    let path = place.file("a.pem");
    let read = |times: usize| read_with(&Interrupted(times.into()), &path, &place.rules, &Spare::default());
    assert_eq!(read(3).unwrap().bytes, b"content of a.pem");
    assert!(matches!(read(usize::MAX), Err(ReadError::Io { errno: Errno::INTR, .. })));
}
