//! Too little of everything: descriptors, file size, memory, processes, and nobody who hears the log. What comes of it is
//! a clear error or a degraded life, never a panic, never a damaged store; and without the limit all is well again.

use std::fs::{self, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, replace, write};
use test_support::pki::{self, Cert};
use test_support::poll;
use test_support::process::{Owned, command};
use test_support::tools;

use super::guest::{Guest, USER, as_user};

/// How long a daemon is given to come to its first regeneration or to its end; then it lives a degraded life.
const LIFE: Duration = Duration::from_secs(2);

/// A store of one certificate whose source now holds two.
struct Scene {
    endpoint: Endpoint,
    certs: Vec<Cert>,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { endpoint: Endpoint::new(), certs: pki::roots("Limited", 2) };
        write(&scene.endpoint.bootstrap(), scene.certs[0].pem());
        let _first = scene.endpoint.json(&["regen"]);
        replace(&scene.endpoint.bootstrap(), pki::bundle(&scene.certs));
        scene
    }

    /// The program under these limits, as an argument list for `prlimit`.
    fn limited(&self, program: &str, limits: &[String], arguments: &[&str]) -> Command {
        let inner = match program {
            "agentctl" => self.endpoint.agentctl_command(arguments),
            _ => {
                let mut daemon = command(test_support::endpoint::program("agentd"));
                daemon.arg("--root").arg(self.endpoint.root());
                daemon
            }
        };
        let mut outer = command(tools::path("prlimit"));
        outer.args(limits).arg("--").arg(inner.get_program()).args(inner.get_args());
        outer
    }

    /// The bundle is the old or the new one, and without limits the new one.
    #[track_caller]
    fn is_whole(&self, what: &str) {
        let published = self.endpoint.published().unwrap_or_else(|error| panic!("{what}: {error}"));
        let (old, new) = (pki::fingerprints(&self.certs[..1]), pki::fingerprints(&self.certs));
        assert!(published == old || published == new, "{what}: {published:?}");
        let _regenerated = self.endpoint.agentctl(&["regen"]).expect_code(0);
        assert_eq!(self.endpoint.published(), Ok(new), "{what}: without the limit");
        let left: Vec<_> = fs::read_dir(self.endpoint.path("var/lib/agentd"))
            .expect("a directory of ours")
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{what}: left over: {left:?}");
    }
}

/// It ended by itself with a code of its own, and said no word of a panic. Where not even its libraries could be loaded,
/// it never began.
#[track_caller]
fn ended_well(what: &str, status: ExitStatus, said: &str) {
    assert!(!said.contains("panicked"), "{what}: {said}");
    assert_eq!(status.signal(), None, "{what}: {status}: {said}");
    let never_began = status.code() == Some(127) && said.contains("error while loading shared libraries");
    let of_its_own = status.code().is_some_and(|code| (0..=10).contains(&code));
    assert!(of_its_own || never_began, "{what}: {status}: {said}");
}

/// Starts a daemon and lets it live until it ends, or its time is over.
#[track_caller]
fn live(scene: &Scene, what: &str, command: &mut Command) {
    let log = scene.endpoint.beside("limited.log");
    let mut daemon = Owned::start(command, &log);
    follow(scene, what, &mut daemon);
    ended_well(what, daemon.wait(), &fs::read_to_string(&log).unwrap_or_default());
    scene.is_whole(what);
}

fn follow(scene: &Scene, what: &str, daemon: &mut Owned) {
    let until = Instant::now() + LIFE;
    let new = pki::fingerprints(&scene.certs);
    while Instant::now() < until && daemon.is_running() && scene.endpoint.published().as_ref() != Ok(&new) {
        std::thread::sleep(Duration::from_millis(10));
    }
    if daemon.is_running() {
        daemon.signal(Signal::TERM);
        poll::until(&format!("{what}: it stops"), || (!daemon.is_running()).then_some(()));
    }
}

fn limits() -> Vec<Vec<String>> {
    let descriptors = (3..=16).map(|number| vec![format!("--nofile={number}")]);
    let sizes = [0, 1, 512, 4096].map(|bytes| vec![format!("--fsize={bytes}")]);
    descriptors.chain(sizes).collect()
}

#[test]
fn agentctl_with_too_little() {
    if !tools::require(&["prlimit"]) {
        return;
    }
    for limits in limits() {
        let scene = Scene::new();
        let what = limits.join(" ");
        for arguments in [&["status"][..], &["regen"]] {
            let run = test_support::process::run(&mut scene.limited("agentctl", &limits, arguments));
            ended_well(&format!("agentctl {arguments:?} {what}"), run.status, &run.err());
            // Where no file may grow, the one that catches its words may not either.
            let may_speak = !what.starts_with("--fsize");
            assert!(run.code() == 0 || run.err().len() > 20 || !may_speak, "{what}: nothing is said of it");
        }
        scene.is_whole(&what);
    }
}

#[test]
fn agentd_with_too_little() {
    if !tools::require(&["prlimit"]) {
        return;
    }
    // All at once: some live until their time is over.
    std::thread::scope(|scope| {
        for limits in limits() {
            scope.spawn(move || {
                let scene = Scene::new();
                let what = format!("agentd {}", limits.join(" "));
                live(&scene, &what, &mut scene.limited("agentd", &limits, &[]));
            });
        }
    });
}

/// Where memory ends a program may, at any place; the store is as whole as after any other end.
#[test]
fn too_little_memory() {
    if !tools::require(&["prlimit"]) {
        return;
    }
    for megabytes in [12, 18, 20, 22, 24, 28, 32, 64] {
        let scene = Scene::new();
        let limits = [format!("--as={}", megabytes << 20)];
        let run = test_support::process::run(&mut scene.limited("agentctl", &limits, &["regen"]));
        assert!(!run.err().contains("panicked"), "{megabytes} MB: {}", run.err());
        let log = scene.endpoint.beside("limited.log");
        let mut daemon = Owned::start(&mut scene.limited("agentd", &limits, &[]), &log);
        follow(&scene, &format!("{megabytes} MB"), &mut daemon);
        let _ended = daemon.wait();
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(!said.contains("panicked"), "{megabytes} MB: {said}");
        scene.is_whole(&format!("{megabytes} MB"));
    }
}

#[test]
fn no_more_processes() {
    if !tools::require(&["prlimit"]) {
        return;
    }
    let Some(mut guest) = Guest::new() else { return };
    let certs = pki::roots("Alone", 2);
    write(&guest.endpoint.bootstrap(), certs[0].pem());
    write(&guest.endpoint.ca_info(), certs[1].pem());
    guest.endpoint.name_ca_info();
    guest.start();
    guest.endpoint.wait_for("with processes", &pki::fingerprints(&certs));
    guest.stop();
    let plain = as_user(USER, &guest.endpoint.beside("agentd"));
    let mut limited = command(tools::path("setpriv"));
    // Set by root, for what comes after it.
    let mut arguments: Vec<_> = plain.get_args().map(ToOwned::to_owned).collect();
    let program = arguments.pop().expect("the program");
    limited.args(arguments).arg(tools::path("prlimit")).args(["--nproc=1", "--"]).arg(program);
    limited.arg("--root").arg(guest.endpoint.root());
    let log = guest.endpoint.beside("alone.log");
    let mut daemon = Owned::start(&mut limited, &log);
    let until = Instant::now() + LIFE;
    while daemon.is_running() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    if daemon.is_running() {
        daemon.signal(Signal::TERM);
    }
    ended_well("nproc 1", daemon.wait(), &fs::read_to_string(&log).unwrap_or_default());
    assert_eq!(guest.endpoint.published(), Ok(pki::fingerprints(&certs)));
    guest.start();
}

/// Where its words can go wrong: closed, full, or a pipe that nobody reads.
#[derive(Debug, Clone, Copy)]
enum Deaf {
    Full,
    Broken,
}

impl Deaf {
    fn sink(self) -> Stdio {
        match self {
            Self::Full => OpenOptions::new().write(true).open("/dev/full").expect("a device").into(),
            Self::Broken => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                writer.into()
            }
        }
    }
}

#[test]
fn nobody_hears_the_daemon() {
    for deaf in [Deaf::Full, Deaf::Broken] {
        let scene = Scene::new();
        let mut daemon = command(test_support::endpoint::program("agentd"));
        daemon.arg("--root").arg(scene.endpoint.root());
        let mut child = daemon.stdout(deaf.sink()).stderr(deaf.sink()).spawn().expect("a program");
        poll::until("it works all the same", || {
            assert!(matches!(child.try_wait(), Ok(None)), "{deaf:?}: it ended");
            (scene.endpoint.published() == Ok(pki::fingerprints(&scene.certs))).then_some(())
        });
        // Something to log.
        write(&scene.endpoint.site(), "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n");
        let _regenerated = scene.endpoint.json(&["regen"]);
        child.kill().expect("a child of ours");
        let _status = child.wait();
        fs::remove_file(scene.endpoint.site()).expect("a file of ours");
        scene.is_whole(&format!("{deaf:?}"));
    }
    // With none of its three descriptors at all.
    let scene = Scene::new();
    let mut shell = command("/bin/sh");
    shell.args(["-c", "exec \"$0\" --root \"$1\" 0<&- 1>&- 2>&-"]);
    shell.arg(test_support::endpoint::program("agentd")).arg(scene.endpoint.root());
    live(&scene, "closed", &mut shell);
}

#[test]
fn nobody_hears_agentctl() {
    let scene = Scene::new();
    for deaf in [Deaf::Full, Deaf::Broken] {
        for arguments in [&["status"][..], &["history"], &["regen"], &["no-such-command"], &["help"]] {
            for json in [false, true] {
                let mut command = scene.endpoint.agentctl_command(arguments);
                if json {
                    command.arg("--json");
                }
                let status = command.stdout(deaf.sink()).stderr(deaf.sink()).status().expect("a program");
                ended_well(&format!("{deaf:?} {arguments:?}"), status, "");
            }
        }
    }
    scene.is_whole("agentctl");
}
