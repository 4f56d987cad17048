//! Watching does not go blind: what takes its eyes away, and what it sees with then. Where a change must come as an
//! event the poll is a day; where only a look can find it, only the quicker poll of a degraded watch does.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use test_support::endpoint::{CurlSsl, Endpoint, POLICY, replace, write};
use test_support::pki::{self, Cert};
use test_support::poll;
use test_support::process::{Owned, command, run};
use test_support::{time, tools};

const EVENTS_ALONE: &str = "[watch]\npoll-interval = \"1d\"\ndegraded-poll-interval = \"1d\"\n";
const DEGRADED_POLL: &str = "[watch]\npoll-interval = \"1d\"\ndegraded-poll-interval = \"1s\"\n";
const POLL: &str = "[watch]\npoll-interval = \"1s\"\n";

/// An endpoint whose daemon is about to run, with certificates for its policy's file.
struct Scene {
    endpoint: Endpoint,
    certs: Vec<Cert>,
    base: Cert,
}

impl Scene {
    fn new(config: &str) -> Self {
        let scene = Self {
            endpoint: Endpoint::new(),
            certs: pki::roots("Seen", 5),
            base: pki::roots("Base", 1).remove(0),
        };
        write(&scene.endpoint.config(), config);
        write(&scene.endpoint.bootstrap(), scene.base.pem());
        write(&scene.endpoint.ca_info(), scene.certs[0].pem());
        scene.endpoint.name_ca_info();
        scene
    }

    /// The first so many of the certificates.
    fn first(&self, count: usize) -> String {
        pki::bundle(&self.certs[..count])
    }

    /// The policy's file has the first so many, and the bundle as well.
    #[track_caller]
    fn sees(&mut self, what: &str, count: usize) {
        let all: Vec<&Cert> = std::iter::once(&self.base).chain(&self.certs[..count]).collect();
        let expected = pki::fingerprints(all.into_iter().cloned());
        self.endpoint.wait_for(what, &expected);
    }

    /// The daemon in surroundings of its own: `program arguments agentd …` must become it.
    fn start_through(&mut self, program: &str, arguments: &[&str]) {
        self.endpoint.start_daemon_in(|agentd| {
            let mut through = command(tools::path(program));
            through.args(arguments).arg(agentd.get_program()).args(agentd.get_args());
            through
        });
    }

    /// A command in the daemon's surroundings.
    fn inside(&self, namespaces: &[&str], words: &[&str]) -> Command {
        let mut inside = command(tools::path("nsenter"));
        inside.arg("-t").arg(self.endpoint.daemon_id().to_string()).args(namespaces).arg("--").args(words);
        inside
    }

    #[track_caller]
    fn mount(&self, words: &[&str]) {
        let _mounted = run(&mut self.inside(&["-m"], words)).expect_code(0);
    }

    /// Takes a mount away, as soon as nobody looks into it: whoever has a file of it open at that moment, which the daemon
    /// has for a part of a millisecond at each look, makes it busy.
    #[track_caller]
    fn unmount(&self, directory: &str) {
        poll::until_ok("nobody holds the mount", || {
            let gone = run(&mut self.inside(&["-m"], &["umount", directory]));
            if gone.code() != 0 && gone.err().contains("busy") {
                return Err(gone.err());
            }
            let _gone = gone.expect_code(0);
            Ok(())
        });
    }

    fn status(&self) -> Value {
        self.endpoint.json(&["status"])
    }

    /// The policy's source, once `status` tells of it as it should.
    #[track_caller]
    fn policy_when(&self, what: &str, as_it_should: impl Fn(&Value) -> bool) -> Value {
        poll::until_ok(what, || {
            let status = self.status();
            let sources = status["sources"].as_array().expect("a list");
            let found = sources.iter().find(|source| source["kind"] == "policy" && as_it_should(source));
            found.cloned().ok_or_else(|| status.to_string())
        })
    }

    /// It is told as not watched, and why, in every form.
    #[track_caller]
    fn is_polled_because(&self, words: &str) {
        let why = |policy: &Value| policy["unwatched"].to_string().contains(words);
        let policy = self.policy_when("it is told", |policy| policy["watched"] == false && why(policy));
        assert_eq!(self.status()["daemon"]["watching"]["degraded"], true);
        for command in ["status", "sources"] {
            let text = self.endpoint.agentctl(&[command]).expect_code(0).out();
            assert!(text.contains("not watched") && text.contains(words), "{text}");
        }
        let looked = policy["last_looked"].clone();
        let _again = self.policy_when("it is looked at again", |policy| policy["last_looked"] != looked);
    }

    /// The clock is named among the problems, or is not.
    #[track_caller]
    fn names_clock(&self, what: &str, named: bool) {
        // What is published is on disk a moment before it is in the status.
        poll::until_ok(what, || {
            let problems = self.status()["problems"].to_string();
            if problems.contains("clock-implausible") == named { Ok(()) } else { Err(problems) }
        });
    }

    #[track_caller]
    fn is_watched(&self) {
        let policy = self.policy_when("it is watched", |policy| policy["watched"] == true);
        assert_eq!(policy["unwatched"], Value::Null);
        let text = self.endpoint.agentctl(&["sources"]).expect_code(0).out();
        assert!(text.contains(", watched") && !text.contains("not watched"), "{text}");
    }
}

/// Namespaces of our own; else the test is left out.
fn may_unshare(more: &[&str]) -> bool {
    let installed = tools::require(&["unshare", "nsenter", "mount", "umount"]) && tools::require(more);
    let probe = || run(command("unshare").args(["-m", "-Ur", "true"])).code() == 0;
    let root = rustix::process::geteuid().is_root();
    installed && (root && probe() || tools::left_out("no right to namespaces of our own"))
}

#[test]
fn directories_deleted_and_remade_or_renamed_away() {
    let mut scene = Scene::new(EVENTS_ALONE);
    let directory = scene.endpoint.path("opt/company");
    let away = scene.endpoint.path("opt/away");
    scene.endpoint.start_daemon();
    scene.sees("at the start", 1);
    scene.is_watched();
    for turn in 0..3 {
        fs::remove_dir_all(&directory).expect("a directory of ours");
        write(&scene.endpoint.ca_info(), scene.first(2));
        scene.sees("deleted and remade", 2);
        fs::rename(&directory, &away).expect("a directory of ours");
        write(&scene.endpoint.ca_info(), scene.first(3));
        scene.sees("renamed away, another in its place", 3);
        // The old one is nobody's business any more.
        write(&away.join("policy-ca.pem"), scene.first(5));
        write(&scene.endpoint.ca_info(), scene.first(4));
        scene.sees(&format!("written in the new one, time {turn}"), 4);
        fs::remove_dir_all(&away).expect("a directory of ours");
    }
    // All of it at once, as an image that is unpacked anew.
    fs::remove_dir_all(scene.endpoint.path("opt")).expect("a directory of ours");
    write(&scene.endpoint.ca_info(), scene.first(5));
    scene.sees("with the directory above it", 5);
    fs::remove_dir_all(scene.endpoint.path("var/lib/agentd/policies")).expect("a directory of ours");
    scene.sees("without policies", 0);
    scene.endpoint.name_ca_info();
    scene.sees("the directory of policies is back", 5);
}

#[test]
fn watches_and_watchers_at_their_limits() {
    if !may_unshare(&["sh"]) {
        return;
    }
    for limit in ["max_inotify_watches", "max_inotify_instances"] {
        let mut scene = Scene::new(DEGRADED_POLL);
        let script = format!("echo 0 > /proc/sys/user/{limit}; exec \"$0\" \"$@\"");
        scene.start_through("unshare", &["-Ur", "sh", "-c", &script]);
        let named = limit.replace("inotify", "user");
        scene.is_polled_because(&format!("fs.inotify.{named}"));
        let problems = scene.status()["problems"].to_string();
        assert!(problems.contains("watch-degraded") && problems.contains(&named), "{problems}");
        write(&scene.endpoint.ca_info(), scene.first(2));
        scene.sees("by looking", 2);
        let raise = format!("echo 1000 > /proc/sys/user/{limit}");
        let mut raised = scene.inside(&["-U", "--preserve-credentials"], &["sh", "-c", &raise]);
        let _raised = run(&mut raised).expect_code(0);
        scene.is_watched();
        let problems = scene.status()["problems"].to_string();
        assert!(!problems.contains("watch-degraded"), "{limit}: {problems}");
        write(&scene.endpoint.config(), EVENTS_ALONE);
        scene.endpoint.signal(Signal::HUP);
        write(&scene.endpoint.ca_info(), scene.first(3));
        scene.sees("by an event", 3);
    }
}

#[test]
fn a_mount_over_a_directory_and_away() {
    if !may_unshare(&[]) {
        return;
    }
    let mut scene = Scene::new(POLL);
    scene.start_through("unshare", &["-m", "--propagation", "private"]);
    scene.sees("at the start", 1);
    let directory = scene.endpoint.path("opt/company").display().to_string();
    let file = scene.endpoint.ca_info().display().to_string();
    scene.mount(&["mount", "-t", "tmpfs", "-o", "mode=755", "none", &directory]);
    scene.sees("an empty file system over it", 0);
    let fill = |scene: &Scene, count: usize| {
        let content = scene.endpoint.beside("content.pem");
        write(&content, scene.first(count));
        scene.mount(&["cp", "--no-preserve=all", &content.display().to_string(), &file]);
    };
    fill(&scene, 2);
    scene.sees("filled", 2);
    // From now on events alone.
    write(&scene.endpoint.config(), EVENTS_ALONE);
    scene.endpoint.signal(Signal::HUP);
    poll::until("the poll is a day", || {
        (scene.status()["daemon"]["watching"]["poll_seconds"] == 86_400).then_some(())
    });
    fill(&scene, 3);
    scene.sees("changed in the mount", 3);
    scene.unmount(&directory);
    scene.sees("the mount is gone, and what was there is back", 1);
    write(&scene.endpoint.ca_info(), scene.first(4));
    scene.sees("changed below", 4);
}

#[test]
fn a_file_system_that_tells_nothing() {
    if !may_unshare(&["bindfs"]) {
        return;
    }
    let mut scene = Scene::new(DEGRADED_POLL);
    let (back, front) = (scene.endpoint.path("srv/back"), scene.endpoint.path("srv/front"));
    write(&back.join("ca.pem"), scene.first(1));
    fs::create_dir_all(&front).expect("a directory of ours");
    let named = front.join("ca.pem").display().to_string();
    scene.start_through("unshare", &["-m", "--propagation", "private"]);
    let mut bindfs = scene.inside(&["-m"], &["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0"]);
    let _server = Owned::start(bindfs.arg(&back).arg(&front), &scene.endpoint.beside("bindfs.log"));
    scene.endpoint.write_policy(POLICY, CurlSsl { ca_info: &named, ca_path: "" });
    scene.sees("through it", 1);
    scene.is_polled_because("fuse");
    for count in 2..=3 {
        replace(&back.join("ca.pem"), scene.first(count));
        scene.sees("changed behind it", count);
    }
    scene.mount(&["umount", "-l", &front.display().to_string()]);
    scene.sees("gone", 0);
}

#[test]
fn layers_and_files_that_are_mounts() {
    if !may_unshare(&[]) {
        return;
    }
    let mut scene = Scene::new(DEGRADED_POLL);
    scene.start_through("unshare", &["-m", "--propagation", "private"]);
    let base = scene.endpoint.path("srv").display().to_string();
    let content = scene.endpoint.beside("content.pem");
    fs::create_dir_all(&base).expect("a directory of ours");
    // On a file system that layers can lie on, whatever this machine's own is.
    scene.mount(&["mount", "-t", "tmpfs", "-o", "mode=755", "none", &base]);
    for layer in ["lower", "upper", "work", "all"] {
        scene.mount(&["mkdir", &format!("{base}/{layer}")]);
    }
    let put = |scene: &Scene, count: usize, at: &str| {
        write(&content, scene.first(count));
        let from = content.display().to_string();
        scene.mount(&["cp", "--no-preserve=all", &from, &format!("{base}/{at}")]);
    };
    put(&scene, 1, "lower/ca.pem");
    let layers = format!("lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work");
    scene.mount(&["mount", "-t", "overlay", "-o", &layers, "none", &format!("{base}/all")]);
    let named = format!("{base}/all/ca.pem");
    scene.endpoint.write_policy(POLICY, CurlSsl { ca_info: &named, ca_path: "" });
    scene.sees("through the layers", 1);
    let policy = scene.policy_when("it is told", |policy| policy["path"] == named.as_str());
    assert!(policy["watched"] == true && policy["unwatched"].to_string().contains("layers"), "{policy}");
    put(&scene, 2, "lower/ca.pem");
    scene.sees("changed in the lower layer", 2);
    put(&scene, 3, "all/ca.pem");
    scene.sees("changed through the layers", 3);
    put(&scene, 4, "upper/ca.pem");
    scene.sees("changed in the upper layer", 4);

    // A single file mounted over another, as containers have them.
    put(&scene, 1, "lower/one.pem");
    put(&scene, 2, "place.pem");
    let (from, named) = (format!("{base}/lower/one.pem"), format!("{base}/place.pem"));
    scene.mount(&["mount", "--bind", &from, &named]);
    scene.endpoint.write_policy(POLICY, CurlSsl { ca_info: &named, ca_path: "" });
    scene.sees("the file mounted over it", 1);
    scene.is_polled_because("mount of its own");
    put(&scene, 2, "lower/one.pem");
    scene.sees("changed under its other name", 2);
}

#[test]
fn what_happened_while_it_was_stopped_is_found_at_once() {
    let mut scene = Scene::new(EVENTS_ALONE);
    scene.endpoint.start_daemon();
    scene.sees("at the start", 1);
    scene.endpoint.signal(Signal::STOP);
    fs::remove_dir_all(scene.endpoint.path("opt")).expect("a directory of ours");
    write(&scene.endpoint.ca_info(), scene.first(3));
    let before = fs::read(scene.endpoint.merged()).expect("a bundle");
    poll::throughout(Duration::from_secs(3), || {
        assert_eq!(fs::read(scene.endpoint.merged()).ok().as_deref(), Some(before.as_slice()));
    });
    scene.endpoint.signal(Signal::CONT);
    scene.sees("after it", 3);
}

#[test]
fn the_clock_may_jump() {
    if !time::can_be_faked() {
        return;
    }
    let mut scene = Scene::new(EVENTS_ALONE);
    let clock = scene.endpoint.beside("clock");
    write(&clock, "+0");
    scene.endpoint.start_daemon_in(|mut agentd| {
        time::follow(&mut agentd, &clock);
        agentd
    });
    scene.sees("at the start", 1);
    // The store was published today, then in the future, from where today is the past.
    for (turn, (time, implausible, year)) in [
        ("-10y", true, "201"),
        ("@1970-01-02 00:00:01", true, "1970"),
        ("+10y", false, "203"),
        ("@2038-01-19 03:14:06", false, "2038"),
    ]
    .into_iter()
    .enumerate()
    {
        write(&clock, time);
        scene.names_clock(time, implausible);
        write(&scene.endpoint.ca_info(), scene.first(turn + 2));
        scene.sees(time, turn + 2);
        let of_that_year =
            |policy: &Value| policy["last_looked"].to_string().starts_with(&format!("\"{year}"));
        let _policy = scene.policy_when(time, of_that_year);
    }
    write(&clock, "+0");
    scene.names_clock("behind 2038", true);
    // What is to leave leaves after the time that the steady clock tells.
    write(&scene.endpoint.ca_info(), scene.first(1));
    scene.sees("back in the present", 1);
    scene.names_clock("nothing is odd any more", false);
}
