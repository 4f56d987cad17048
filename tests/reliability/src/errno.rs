//! Every system call fails, once or from then on.
//!
//! Left out: what the loader and the language's runtime do before the program's own work begins, and the calls that
//! manage memory, threads, signals and identity, whose failure ends any process: such an end is what the kill sweep tries.
//! So does a failure of `getrandom` and of a sleep other than by a signal, which no kernel answers and the standard library
//! panics at. And `close`: Linux gives the descriptor back whatever it answers, for a directory it has nothing to fail with, and the
//! standard library takes that for granted.

use std::sync::Mutex;

use crate::figures::Figures;
use crate::kill::in_parallel;
use crate::scene::{Action, Certs, Past, Scene, Which};
use crate::strace::{Fault, Point, Shot, points, shoot};

/// What calls fail with; the first [`COMMON`] of them in the short form.
pub const ERRNOS: [&str; 10] =
    ["ENOSPC", "EIO", "EROFS", "EACCES", "EMFILE", "EINTR", "ENFILE", "ENOMEM", "EDQUOT", "ESTALE"];

/// How many of them are in the short form.
pub const COMMON: usize = 6;

/// How much of a sweep is done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// How many of [`ERRNOS`].
    pub errnos: usize,
    /// Of the calls that do not write, every how-manieth try; 1 is all of them.
    pub step: usize,
    /// How many runs at a time.
    pub workers: usize,
}

/// Not the program's own doing.
const RUNTIME: [&str; 28] = [
    "vfork",
    "getrandom",
    "clock_nanosleep",
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

/// Whether a call is the program's own doing.
pub(crate) fn is_the_programs(point: &Point) -> bool {
    !RUNTIME.contains(&point.name.as_str())
}

/// Sweeps an action: calls that write with every error, of the others a part.
#[must_use]
pub fn sweep(what: &str, past: Past, action: &Action, extent: Extent) -> Figures {
    let Extent { errnos, step, workers } = extent;
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let certs = Certs::default();
    let scenes: Vec<Scene> = (0..workers.max(1))
        .map(|number| Scene::new(&scratch.path().join(number.to_string()), past, action.clone(), &certs))
        .collect();
    scenes[0].reset();
    let all = points(&scenes[0].command(), &scenes[0].log(), &scenes[0].root());
    let own = all.iter().filter(|point| point.at_work && is_the_programs(point));
    let tries: Vec<(&Point, Fault)> = own
        .flat_map(|point| faults(errnos).map(move |fault| (point, fault)))
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

fn faults(errnos: usize) -> impl Iterator<Item = Fault> {
    let errnos = || ERRNOS.into_iter().take(errnos);
    // A call that is interrupted for ever is no fault that there is.
    let lasting = errnos().filter(|errno| *errno != "EINTR").map(Fault::ErrnoFromThenOn);
    errnos().map(Fault::Errno).chain(lasting)
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
    if which != Which::New && code == 0 && !mute && !scene.names_a_problem(&shot.run) {
        return Err(format!("it says nothing and the bundle is {which:?}: {}", said()));
    }
    if fault == Fault::Errno("EINTR") && is_interruptible(point) && (which != Which::New || code != 0) {
        return Err(format!("an interrupted call is called again: {which:?}, {}", said()));
    }
    if scene.is_product() {
        scene.complete(which, which != Which::New || code != 0)?;
    }
    Ok(which)
}

/// Tokio panics where its own pair of sockets fails. The program makes as many itself just before, and says so if that fails;
/// a system that gives four pairs and then refuses the fifth ends it before it has touched anything.
fn is_the_runtimes(point: &Point) -> bool {
    point.name == "socketpair"
}

/// A signal may come while these wait, on a file system of the network at least.
fn is_interruptible(point: &Point) -> bool {
    const READS: [&str; 7] = ["read", "open", "openat", "statx", "fstat", "readlinkat", "getdents64"];
    changes_the_disk(point) || READS.contains(&point.name.as_str())
}
