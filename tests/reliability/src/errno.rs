//! Every system call fails, once or from then on.
//!
//! Left out: what the loader and the language's runtime do before the program's own work begins, and the calls that
//! manage memory, threads, signals and identity, whose failure ends any process: such an end is what the kill sweep tries. And
//! `close`: Linux gives the descriptor back whatever it answers, for a directory it has nothing to fail with, and the
//! standard library takes that for granted.

use std::sync::Mutex;

use crate::figures::Figures;
use crate::kill::in_parallel;
use crate::scene::{Action, Certs, Past, Scene, Which};
use crate::strace::{Fault, Point, Shot, points, shoot};

/// What calls fail with.
pub const ERRNOS: [&str; 6] = ["ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "EINTR"];

/// Not the program's own doing.
const RUNTIME: [&str; 25] = [
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "close",
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "futex",
    "exit_group",
    "exit",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "set_robust_list",
    "rseq",
    "clone",
    "clone3",
    "getpid",
    "gettid",
    "restart_syscall",
];

/// Calls that change what is on disk.
const WRITES: [&str; 18] = [
    "write",
    "pwrite64",
    "writev",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fchmod",
    "fchown",
    "ftruncate",
    "link",
    "linkat",
    "flock",
];

/// Whether a call at this point changes what is on disk.
pub(crate) fn changes_the_disk(point: &Point) -> bool {
    WRITES.contains(&point.name.as_str())
}

/// Sweeps an action: calls that write with every error, of the others every `step`-th try.
#[must_use]
pub fn sweep(what: &str, past: Past, action: &Action, step: usize, workers: usize) -> Figures {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let certs = Certs::default();
    let scenes: Vec<Scene> = (0..workers.max(1))
        .map(|number| Scene::new(&scratch.path().join(number.to_string()), past, action.clone(), &certs))
        .collect();
    scenes[0].reset();
    let all = points(&scenes[0].command(), &scenes[0].log(), &scenes[0].root());
    let own = all.iter().filter(|point| point.at_work && !RUNTIME.contains(&point.name.as_str()));
    let tries: Vec<(&Point, Fault)> = own
        .flat_map(|point| faults().map(move |fault| (point, fault)))
        .enumerate()
        .filter(|(number, (point, _))| changes_the_disk(point) || number % step == 0)
        .map(|(_, tried)| tried)
        .collect();
    let figures = Mutex::new(Figures::new(&format!("errno: {what}")));
    let _none: Vec<()> = in_parallel(&scenes, tries.len(), |scene, number| {
        let (point, fault) = tries[number];
        scene.reset();
        let shot = shoot(&scene.command(), &scene.log(), point, fault);
        let verdict = judge(scene, &shot, point, fault);
        let mut figures = figures.lock().expect("no thread panicked");
        figures.tried += 1;
        figures.missed += usize::from(!shot.hit);
        match verdict {
            Ok(which) => figures.count(which),
            Err(why) => figures.bad(&format!("{point} {fault:?}: {why}")),
        }
        None
    });
    figures.into_inner().expect("no thread panicked")
}

fn faults() -> impl Iterator<Item = Fault> {
    // A call that is interrupted for ever is no fault that there is.
    let lasting = ERRNOS.into_iter().filter(|errno| *errno != "EINTR").map(Fault::ErrnoFromThenOn);
    ERRNOS.into_iter().map(Fault::Errno).chain(lasting)
}

fn judge(scene: &Scene, shot: &Shot, point: &Point, fault: Fault) -> Result<Which, String> {
    let which = scene.judge()?;
    let (code, out, err) = (shot.run.code(), shot.run.out(), shot.run.err());
    let said = || format!("exit {code}\n{out}{err}");
    if is_the_runtimes(point) && which == Which::Old && err.contains("panicked") {
        return Ok(which);
    }
    if !(0..=8).contains(&code) || err.contains("panicked") {
        return Err(format!("it did not end as it should: {}", said()));
    }
    // With its words cut off it can say nothing; the code remains.
    let mute = point.name == "write" && fault != Fault::Errno("EINTR");
    if code != 0 && !mute && !err.contains("error: ") {
        return Err(format!("it does not say what is wrong: {}", said()));
    }
    if which != Which::New && code == 0 && !mute && !names_a_problem(&out) {
        return Err(format!("it says nothing and the bundle is {which:?}: {}", said()));
    }
    if fault == Fault::Errno("EINTR") && is_interruptible(point) && (which != Which::New || code != 0) {
        return Err(format!("an interrupted call is called again: {which:?}, {}", said()));
    }
    if scene.is_product() {
        let next = test_support::process::run(&mut scene.command());
        if next.code() != 0 {
            return Err(format!("the next run ends with {}: {}", next.code(), next.err()));
        }
        scene.judge_recovered_after(which == Which::Between)?;
    }
    Ok(which)
}

/// Tokio panics where its own pair of sockets fails. The program makes as many itself just before, and says so if that fails;
/// a system that gives four pairs and then refuses the fifth ends it before it has touched anything.
fn is_the_runtimes(point: &Point) -> bool {
    point.name == "socketpair"
}

/// A signal may come while these wait. Others are not interrupted; if they were, the source is named like any other that
/// cannot be read.
fn is_interruptible(point: &Point) -> bool {
    changes_the_disk(point) || point.name == "read"
}

/// A source that cannot be read, or a warning, is marked so.
fn names_a_problem(out: &str) -> bool {
    out.lines().filter(|line| line.starts_with('!')).count() > 1
}
