//! Whatever a policy names: it does not hold up the others, its last good content stays, it is named with what mends it,
//! and no byte of what it leads to is seen again.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify;
use test_support::endpoint::{CurlSsl, replace, write};
use test_support::pki::{self, Cert};
use test_support::poll;
use test_support::process::{command, run};
use test_support::tools;

use super::guest::{Guest, USER, codes, files, source};
use super::hanging_readers;

/// Stands in everything that must not be seen again.
const MARKER: &str = "Qm3tPl7sWx1ZkR8v";

/// A policy after the one that names what is good.
const HOSTILE: &str = "7e57ab1e-0000-4000-8000-00c0ffee0000";

/// Longer than any of them takes on a busy machine; the reader's own deadline, which must not be needed, is two seconds.
const SOON: Duration = Duration::from_secs(10);

struct Scene {
    guest: Guest,
    /// Things that nobody should name.
    zoo: PathBuf,
    bootstrap: Vec<Cert>,
    policy: Vec<Cert>,
    round: usize,
}

impl Scene {
    fn new() -> Option<Self> {
        let mut guest = Guest::new()?;
        let (bootstrap, policy) = (pki::roots("First", 1), pki::roots("Named", 2));
        write(&guest.endpoint.bootstrap(), pki::bundle(&bootstrap));
        write(&guest.endpoint.ca_info(), pki::bundle(&policy));
        guest.endpoint.name_ca_info();
        guest.start();
        let zoo = guest.endpoint.beside("zoo");
        fs::create_dir(&zoo).expect("a directory of ours");
        let mut scene = Self { guest, zoo, bootstrap, policy, round: 0 };
        let expected = scene.expected(None);
        scene.guest.endpoint.wait_for("the first store", &expected);
        Some(scene)
    }

    fn expected(&self, site: Option<&Cert>) -> Vec<String> {
        pki::fingerprints(self.bootstrap.iter().chain(site).chain(&self.policy))
    }

    /// A file of the zoo, root's and readable by all, with the marker in it.
    fn file(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.zoo.join(name);
        write(&path, format!("root:$6${MARKER}:19000:0:99999:7:::\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a file of ours");
        path
    }

    /// The good file that the policy names becomes a link to something else. All that was good stays, what comes to
    /// another source is followed, and the link is named with this code.
    #[track_caller]
    fn swap(&mut self, what: &str, target: &Path, code: &str) {
        let named = self.guest.endpoint.ca_info();
        let link = named.with_extension("link");
        symlink(target, &link).and_then(|()| fs::rename(&link, &named)).expect("a place of ours");
        self.another_source_is_followed(what);
        // The bundle is there a moment before what is said of it.
        let sources = poll::until(&format!("{what}: its state"), || {
            let sources = self.guest.endpoint.json(&["sources"]);
            (source(&sources, &named)["state"] != "ok").then_some(sources)
        });
        let found = source(&sources, &named);
        assert_eq!(
            (&found["state"], &found["error"]["code"]),
            (&"stale".into(), &code.into()),
            "{what}: {found}"
        );
        assert_eq!(found["anchors"], self.policy.len(), "{what}: the last good content counts");
        self.is_named(what, &named, "source-unreadable");
        replace(&named, pki::bundle(&self.policy));
        self.guest.daemon().signal(rustix::process::Signal::USR1);
        poll::until(&format!("{what}: it is good again"), || {
            let status = self.guest.endpoint.json(&["status"]);
            codes(&status, &named.display().to_string()).is_empty().then_some(())
        });
    }

    /// A second policy names a path that was never good.
    #[track_caller]
    fn name(&mut self, path: &str, problem: &str) {
        let endpoint = &self.guest.endpoint;
        endpoint.write_policy(HOSTILE, CurlSsl { ca_info: path, ca_path: "" });
        self.another_source_is_followed(path);
        let shown: String = path.chars().take(80).collect();
        // What is no path at all is named by the policy that has it.
        let shown = if problem.starts_with("policy") { HOSTILE } else { &shown };
        self.is_named(path, Path::new(shown), problem);
        fs::remove_file(self.guest.endpoint.path("var/lib/agentd/policies").join(format!("{HOSTILE}.xml")))
            .expect("a file of ours");
    }

    #[track_caller]
    fn another_source_is_followed(&mut self, what: &str) {
        self.round += 1;
        let new = &pki::roots(&format!("Round {}", self.round), 1)[0];
        replace(&self.guest.endpoint.site(), new.pem());
        // By signal: those that are asked for over the socket are paced.
        self.guest.daemon().signal(rustix::process::Signal::USR1);
        let (changed, expected) = (Instant::now(), self.expected(Some(new)));
        self.guest.endpoint.wait_for(what, &expected);
        assert!(changed.elapsed() < SOON, "{what} holds up the others");
        assert!(self.guest.is_running(), "{what} ends the daemon");
        assert_eq!(hanging_readers(&self.guest.endpoint), [0; 0], "{what}: a reader hangs");
    }

    #[track_caller]
    fn is_named(&self, what: &str, path: &Path, code: &str) {
        let status = poll::until_ok(&format!("{what}: {code}"), || {
            let status = self.guest.endpoint.json(&["status"]);
            let codes = codes(&status, &path.display().to_string());
            let named = codes.iter().any(|found| found == code);
            if named { Ok(status) } else { Err(format!("{codes:?} of {}", status["problems"])) }
        });
        for problem in status["problems"].as_array().expect("problems") {
            let words = problem["title"].as_str().map_or(0, str::len);
            let fixed = problem["fix"].as_array().is_some_and(|fix| !fix.is_empty());
            // A warning has its remedy in its one sentence.
            assert!(words > 20 && (fixed || problem["severity"] == "warning"), "{what}: {problem}");
        }
    }

    /// Not in the bundle, the generations, the state, the log, nor in anything that `agentctl` says.
    #[track_caller]
    fn nothing_leaked(&self) {
        let endpoint = &self.guest.endpoint;
        let mut seen = files(&endpoint.path("var/lib/agentd"));
        assert!(seen.len() > 4, "the bundle, the state and the generations are among them");
        seen.push(("the log".into(), endpoint.log().into_bytes()));
        for arguments in
            [&["status"][..], &["sources"], &["history"], &["status", "--json"], &["history", "--json"]]
        {
            let said = endpoint.agentctl(arguments);
            seen.push((arguments.join(" ").into(), [said.stdout, said.stderr].concat()));
        }
        let hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
        for (place, bytes) in seen {
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains(MARKER) && !text.contains(&hex), "the secret is in {}", place.display());
        }
    }
}

#[test]
fn what_a_good_file_may_turn_into() {
    let Some(mut scene) = Scene::new() else { return };
    let zoo = scene.zoo.clone();
    let secret = scene.file("shadow", 0o640);
    scene.swap("a file that is closed to others", &secret, "not-readable-by-all");
    scene.swap("/etc/shadow", Path::new("/etc/shadow"), "not-readable-by-all");
    let closed = scene.file("unreadable", 0o000);
    scene.swap("a file that nobody may read", &closed, "not-readable-by-all");
    let linked = zoo.join("hard-link");
    fs::hard_link(&secret, &linked).expect("a place of ours");
    scene.swap("a hard link", &linked, "not-readable-by-all");
    let writable = scene.file("writable", 0o666);
    scene.swap("a file that everybody may write", &writable, "writable-by-others");
    let theirs = scene.file("theirs", 0o644);
    chown(&theirs, Some(USER + 1), None).expect("root may give away");
    scene.swap("somebody else's file", &theirs, "untrusted-owner");

    let inside = scene.file("theirs.d/file", 0o644);
    chown(zoo.join("theirs.d"), Some(USER + 1), None).expect("root may give away");
    scene.swap("somebody else's directory", &inside, "untrusted-owner");
    let inside = scene.file("open.d/below/file", 0o644);
    fs::set_permissions(zoo.join("open.d"), fs::Permissions::from_mode(0o777)).expect("ours");
    scene.swap("a directory that everybody may write, two levels up", &inside, "writable-by-others");
    let inside = scene.file("sticky.d/file", 0o644);
    fs::set_permissions(zoo.join("sticky.d"), fs::Permissions::from_mode(0o1777)).expect("ours");
    scene.swap("a directory as /tmp is", &inside, "writable-by-others");

    scene.swap("a directory", &zoo, "not-a-regular-file");
    let _socket = UnixListener::bind(zoo.join("socket")).expect("a place of ours");
    scene.swap("a socket", &zoo.join("socket"), "not-a-regular-file");
    symlink(zoo.join("loop"), zoo.join("loop")).expect("a place of ours");
    scene.swap("a loop of links", &zoo.join("loop"), "symlink-loop");
    let sparse = zoo.join("sparse");
    fs::File::create(&sparse).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
    scene.swap("ten gigabytes of nothing", &sparse, "too-large");
    for path in ["/proc/kmsg", "/proc/self/mem", "/proc/self/environ", "/sys/kernel/uevent_seqnum"] {
        if Path::new(path).exists() {
            scene.swap(path, Path::new(path), "pseudo-file-system");
        }
    }

    let endpoint = &scene.guest.endpoint;
    let (merged, state) = (endpoint.merged(), endpoint.path("var/lib/agentd/state"));
    scene.swap("the bundle", &merged, "own-file");
    scene.swap("a file of the state", &state.join("state.json"), "own-file");
    scene.swap("the state by a way round", &zoo.join("../root/var/lib/agentd/state/lock"), "own-file");
    // Under another name it is known by its inode, and it has it until the next publication.
    let named = scene.guest.endpoint.ca_info();
    fs::remove_file(&named).and_then(|()| fs::hard_link(&merged, &named)).expect("a place of ours");
    let report = scene.guest.endpoint.json(&["regen"]);
    assert_eq!(source(&report, &named)["error"]["code"], "own-file", "{report}");
    scene.nothing_leaked();
}

#[test]
fn as_many_links_as_the_kernel_follows_and_one_more() {
    let Some(mut scene) = Scene::new() else { return };
    let end = scene.guest.endpoint.path("opt/company/end.pem");
    write(&end, pki::bundle(&scene.policy));
    let mut last = end;
    // The name that the policy has is a link itself.
    for hop in 1..40 {
        let next = scene.zoo.join(format!("hop-{hop}"));
        symlink(&last, &next).expect("a place of ours");
        last = next;
    }
    let named = scene.guest.endpoint.ca_info();
    fs::remove_file(&named).and_then(|()| symlink(&last, &named)).expect("a place of ours");
    scene.another_source_is_followed("forty links");
    let report = scene.guest.endpoint.json(&["sources"]);
    assert_eq!(source(&report, &named)["state"], "ok", "{report}");
    symlink(&last, scene.zoo.join("hop-40")).expect("a place of ours");
    let one_more = scene.zoo.join("hop-40");
    scene.swap("forty-one links", &one_more, "symlink-loop");
}

#[test]
fn devices_and_pipes_are_never_opened() {
    if !tools::require(&["mknod", "cat"]) {
        return;
    }
    let Some(mut scene) = Scene::new() else { return };
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("a watch");
    // A character device, a terminal, a block device that may be there, and a pipe nobody writes into.
    let nodes = [
        ("null", &["c", "1", "3"][..]),
        ("zero", &["c", "1", "5"]),
        ("tty", &["c", "5", "0"]),
        ("watchdog", &["c", "10", "130"]),
        ("ram", &["b", "1", "0"]),
        ("fifo", &["p"]),
    ];
    for (name, node) in nodes {
        let path = scene.zoo.join(name);
        if run(command(tools::path("mknod")).arg(&path).args(node)).code() != 0 {
            let _left_out = tools::left_out("no right to make a device");
            return;
        }
        inotify::add_watch(&watch, &path, inotify::WatchFlags::OPEN).expect("a place of ours");
        scene.swap(name, &path, "not-a-regular-file");
    }
    scene.swap("/dev/zero", Path::new("/dev/zero"), "not-a-regular-file");
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    assert!(events.next().is_err(), "something was opened");
    // The watch sees what it is to see.
    let _read = run(command(tools::path("cat")).arg(scene.zoo.join("null"))).expect_code(0);
    assert!(events.next().is_ok(), "an opened device shows");
}

#[test]
fn names_that_were_never_good() {
    let Some(mut scene) = Scene::new() else { return };
    let shadow = scene.file("shadow", 0o640).display().to_string();
    let merged = scene.guest.endpoint.merged().display().to_string();
    let state = scene.guest.endpoint.path("var/lib/agentd/state").display().to_string();
    scene.name(&shadow, "source-unreadable");
    scene.name("/etc/shadow", "source-unreadable");
    scene.name("/dev/zero", "source-unreadable");
    scene.name("/proc/kmsg", "source-unreadable");
    scene.name(&merged, "source-unreadable");
    scene.name(&state, "source-unreadable");
    scene.name(&format!("{state}/../state/state.json"), "source-unreadable");
    scene.name("/proc/self/fd/0", "source-missing");
    scene.name("ca/relative.pem", "policy-path-relative");
    scene.name("../../etc/shadow", "policy-path-relative");
    scene.name(&format!("/{}", "a/".repeat(2_500)), "source-unreadable");
    scene.name(&format!("/{}", "b".repeat(300)), "source-unreadable");
    // No XML can hold these, so the whole policy is refused.
    scene.name("/etc/&#0;shadow", "policy-unreadable");
    let policy = scene.guest.endpoint.path("var/lib/agentd/policies").join(format!("{HOSTILE}.xml"));
    let text = b"<Policy><CurlSSL CAInfo=\"/etc/\xff\xfeshadow\"/></Policy>";
    replace(&policy, text);
    scene.another_source_is_followed("a path that is no text");
    scene.is_named("a path that is no text", Path::new(HOSTILE), "policy-unreadable");
    scene.nothing_leaked();
}

#[test]
fn a_directory_with_all_kinds_of_things() {
    let Some(mut scene) = Scene::new() else { return };
    let directory = scene.guest.endpoint.path("opt/many");
    let good = pki::roots("Among them", 1);
    write(&directory.join("good.pem"), good[0].pem());
    for (name, mode) in [("closed.pem", 0o600), ("open.pem", 0o666)] {
        let path = scene.file(name, mode);
        fs::rename(path, directory.join(name)).expect("a place of ours");
    }
    let odd = directory.join(OsStr::from_bytes(b"odd-\xff\xfe.pem"));
    write(&odd, good[0].pem());
    let _socket = UnixListener::bind(directory.join("socket.pem")).expect("a place of ours");
    symlink("/etc/shadow", directory.join("shadow.pem")).expect("a place of ours");
    let named = directory.display().to_string();
    scene.guest.endpoint.write_policy(HOSTILE, CurlSsl { ca_info: "", ca_path: &named });
    scene.policy = [good, std::mem::take(&mut scene.policy)].concat();
    scene.policy.rotate_left(1);
    scene.another_source_is_followed("a directory with all kinds of things");
    scene.is_named("a name", Path::new("odd-"), "file-name");
    for name in ["closed.pem", "open.pem", "shadow.pem"] {
        scene.is_named(name, &directory.join(name), "source-unreadable");
    }
    scene.nothing_leaked();
}

#[test]
fn a_private_key_stays_where_it_is() {
    let Some(scene) = Scene::new() else { return };
    let named = scene.guest.endpoint.ca_info();
    let key =
        format!("-----BEGIN PRIVATE KEY-----\n{MARKER}{MARKER}{MARKER}{MARKER}\n-----END PRIVATE KEY-----\n");
    replace(&named, pki::bundle(&scene.policy) + &key);
    let report = scene.guest.endpoint.json(&["regen"]);
    assert_eq!(source(&report, &named)["rejected"][0]["reason"], "private-key", "{report}");
    scene.is_named("a key", &named, "private-key");
    scene.nothing_leaked();
    // The search finds what is there.
    assert!(
        files(&scene.guest.endpoint.path("opt"))
            .iter()
            .any(|(_, bytes)| { String::from_utf8_lossy(bytes).contains(MARKER) })
    );
}

#[test]
fn what_the_configuration_waives_and_who_may_write_it() {
    let Some(mut scene) = Scene::new() else { return };
    let open = scene.guest.endpoint.path("opt/open");
    let named = open.join("ca.pem");
    let own = pki::roots("Waived", 1);
    write(&named, own[0].pem());
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a directory of ours");
    let path = named.display().to_string();
    scene.name(&path, "source-unreadable");

    let config = scene.guest.endpoint.config();
    write(&config, format!("[sources]\ntrusted-paths = [\"{}\"]\n", open.display()));
    scene.guest.daemon().signal(rustix::process::Signal::HUP);
    scene.guest.endpoint.write_policy(HOSTILE, CurlSsl { ca_info: &path, ca_path: "" });
    let mut expected = scene.expected(None);
    expected.extend(pki::fingerprints(&own));
    let site = scene.guest.endpoint.site();
    fs::remove_file(site).expect("a file of ours");
    scene.guest.endpoint.wait_for("the path that root waived", &expected);

    // Others could have written the waiver: it is none, and the one in force stays.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).expect("a file of ours");
    let refused = scene.guest.endpoint.agentctl(&["regen"]).expect_code(2);
    assert!(refused.err().contains("chmod go-w"), "{}", refused.err());
    let refused = scene.guest.endpoint.agentd(&["--check"]).expect_code(2);
    assert!(refused.err().contains("trusted-paths"), "{}", refused.err());
    chown(&config, Some(USER + 1), None).expect("root may give away");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let refused = scene.guest.endpoint.agentd(&["--check"]).expect_code(2);
    assert!(refused.err().contains("chown root"), "{}", refused.err());
}
