//! A daemon that runs already: killed, or one of its calls failed, at each system call of the regeneration that a changed
//! source makes.
//!
//! `strace` is attached to one sort of its threads, for its counts are per thread: the first one, which waits, answers and
//! logs, or the worker, which looks and writes. It counts from the moment that it is attached, so the points are those of
//! a clean regeneration traced the same way. Threads do not always take the same turns: a point that is not reached is
//! counted as missed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::process::{self, Owned, command};
use test_support::tools;

use crate::errno::{changes_the_disk, is_the_programs};
use crate::figures::Figures;
use crate::kill::{Known, in_parallel};
use crate::scene::{Action, Certs, Past, Scene, Which};
use crate::strace::{Fault, Point, injection, points_of};
use crate::tree;

/// How much of a sweep is done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Every how-manieth of the points that do not write; 1 is all of them.
    pub step: usize,
    /// How many daemons at a time. They mostly wait.
    pub workers: usize,
}

/// What calls of a running daemon fail with.
pub const ERRNOS: [&str; 4] = ["ENOSPC", "EIO", "EMFILE", "EINTR"];

/// Kills the daemon at the points of both sorts of threads; its next life mends what is left.
#[must_use]
pub fn kills(extent: Extent) -> Figures {
    let stage = Stage::new(extent);
    let known = Known::default();
    let figures = Mutex::new(Figures::new("kill: a warm regeneration"));
    let all = stage.points(extent.step, &[Threads::First, Threads::Workers]);
    let _none: Vec<()> = in_parallel(&stage.scenes, all.len(), |scene, number| {
        let (threads, point) = &all[number];
        let verdict = kill(scene, *threads, point, &known);
        let mut figures = figures.lock().expect("no thread panicked");
        figures.tried += 1;
        match verdict {
            Ok(killed) => {
                figures.missed += usize::from(!killed.hit);
                figures.states += usize::from(killed.is_new_state);
                figures.count(killed.which);
            }
            Err(why) => figures.bad(&format!("{threads:?}, {point}: {why}")),
        }
        None
    });
    figures.into_inner().expect("no thread panicked")
}

/// Fails the calls of the worker, once and from then on: the daemon lives, says what is wrong, and publishes when the
/// fault has gone, without a restart.
///
/// From then on no `write` fails: the runtime's threads wake each other by one, and end the process where that fails, which
/// the kernel never does for a counter of events. A disk that stays full is tried as what it is, in the suite.
#[must_use]
pub fn faults(extent: Extent) -> Figures {
    let mut stage = Stage::new(extent);
    stage.poll_often();
    let figures = Mutex::new(Figures::new("errno: a warm regeneration"));
    let all = stage.points(1, &[Threads::Workers]);
    let own = all.iter().map(|(_, point)| point).filter(|point| is_the_programs(point));
    let once = ERRNOS.into_iter().map(Fault::Errno);
    // A call that is interrupted for ever is no fault that there is.
    let lasting = ERRNOS.into_iter().filter(|errno| *errno != "EINTR").map(Fault::ErrnoFromThenOn);
    let sorts: Vec<Fault> = once.chain(lasting).collect();
    let tries: Vec<(&Point, Fault)> = own
        .flat_map(|point| sorts.iter().map(move |fault| (point, *fault)))
        .filter(|(point, fault)| point.name != "write" || matches!(fault, Fault::Errno(_)))
        .enumerate()
        .filter(|(number, (point, _))| {
            number % if changes_the_disk(point) { extent.step.min(4) } else { extent.step } == 0
        })
        .map(|(_, tried)| tried)
        .collect();
    let _none: Vec<()> = in_parallel(&stage.scenes, tries.len(), |scene, number| {
        let (point, fault) = tries[number];
        let verdict = fail(scene, point, fault);
        let mut figures = figures.lock().expect("no thread panicked");
        figures.tried += 1;
        match verdict {
            Ok((which, hit)) => {
                figures.missed += usize::from(!hit);
                figures.count(which);
            }
            Err(why) => figures.bad(&format!("{point} {fault:?}: {why}")),
        }
        None
    });
    figures.into_inner().expect("no thread panicked")
}

/// The scenes, and what a clean regeneration does.
struct Stage {
    // Removed when this is dropped.
    _scratch: tempfile::TempDir,
    scenes: Vec<Scene>,
    traced: Vec<(Threads, Vec<Point>)>,
}

impl Stage {
    fn new(extent: Extent) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let certs = Certs::default();
        let regen = Action::agentctl(&["regen"]);
        let mut scenes: Vec<Scene> = (0..extent.workers.max(1))
            .map(|number| {
                let place = scratch.path().join(number.to_string());
                let mut scene = Scene::new(&place, Past::Warm, regen.clone(), &certs);
                scene.configure("[watch]\npoll-interval = \"30s\"\n");
                scene
            })
            .collect();
        let traced =
            [Threads::First, Threads::Workers].map(|threads| (threads, always_there(&scenes[0], threads)));
        // As a daemon leaves things that was not disturbed.
        scenes[0].reset();
        let mut daemon = Daemon::start(&scenes[0]).expect("the daemon starts");
        scenes[0].change();
        assert!(within(LONG, || is_settled(&scenes[0])), "a clean regeneration");
        daemon.stop();
        let shape = tree::shape(&scenes[0].root());
        for scene in &mut scenes {
            scene.expect_shape(shape.clone());
        }
        Self { _scratch: scratch, scenes, traced: traced.into() }
    }

    /// Lets the daemons look often, for where the event was lost that a fault came with.
    fn poll_often(&mut self) {
        for scene in &mut self.scenes {
            scene.configure("[watch]\npoll-interval = \"1s\"\n");
        }
    }

    /// Those that write or follow a write, and every `step`-th other.
    fn points(&self, step: usize, threads: &[Threads]) -> Vec<(Threads, Point)> {
        let mut chosen = Vec::new();
        for (sort, points) in self.traced.iter().filter(|(sort, _)| threads.contains(sort)) {
            let writes = |index: usize| *sort == Threads::Workers && changes_the_disk(&points[index]);
            let taken =
                |index: usize| writes(index) || index > 0 && writes(index - 1) || index.is_multiple_of(step);
            chosen.extend(
                (0..points.len()).filter(|index| taken(*index)).map(|index| (*sort, points[index].clone())),
            );
        }
        chosen
    }
}

/// Threads of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    First,
    Workers,
}

/// The points that several clean regenerations have in common: what one of them has beyond that, such as a look that an
/// event made a moment sooner, most tries would not come to.
fn always_there(scene: &Scene, threads: Threads) -> Vec<Point> {
    let mut points = trace(scene, threads);
    for _ in 0..2 {
        let others = trace(scene, threads);
        points
            .retain(|point| others.iter().any(|other| (&other.name, other.nth) == (&point.name, point.nth)));
    }
    points
}

/// The points of a clean regeneration in these threads.
fn trace(scene: &Scene, threads: Threads) -> Vec<Point> {
    scene.reset();
    let mut daemon = Daemon::start(scene).expect("the daemon starts");
    let tracer = daemon.attach(threads, &scene.log(), &[]).expect("strace attaches");
    scene.change();
    assert!(within(LONG, || is_settled(scene)), "a clean regeneration");
    sleep(GRACE);
    detach(tracer);
    daemon.stop();
    let points = points_of(&fs::read_to_string(scene.log()).expect("a trace"));
    assert!(points.len() > 20, "a regeneration has more than {} points", points.len());
    points
}

struct Killed {
    which: Which,
    hit: bool,
    is_new_state: bool,
}

fn kill(scene: &Scene, threads: Threads, point: &Point, known: &Known) -> Result<Killed, String> {
    scene.reset();
    let mut daemon = Daemon::start(scene)?;
    let tracer = daemon.attach(threads, &scene.log(), &injection(point, Fault::Kill))?;
    scene.change();
    let ended = |daemon: &mut Daemon| !daemon.process.is_running();
    let _either = within(LONG, || ended(&mut daemon) || is_settled(scene));
    // What comes after the state is written.
    let hit = within(LONG_GRACE, || ended(&mut daemon));
    drop(daemon);
    detach(tracer);
    let which = scene.judge()?;
    let is_new_state = known.first_sight(tree::digest(&scene.root())).is_some();
    if is_new_state {
        restart(scene)?;
    }
    Ok(Killed { which, hit, is_new_state })
}

/// Its next life: publishes by itself, and leaves what it should.
fn restart(scene: &Scene) -> Result<(), String> {
    // A child that was being started when its parent died has the lock until it runs its own program.
    let mut daemon = Daemon::start(scene);
    let _free = within(SHORT, || {
        if daemon.as_ref().is_err_and(|why| why.contains("lock is held by")) {
            daemon = Daemon::start(scene);
        }
        daemon.is_ok()
    });
    let mut daemon = daemon?;
    if !within(LONG, || is_settled(scene)) {
        return Err(format!("the next life does not publish:\n{}", daemon.log()));
    }
    daemon.stop();
    scene.judge_recovered_after(false)
}

fn fail(scene: &Scene, point: &Point, fault: Fault) -> Result<(Which, bool), String> {
    scene.reset();
    let mut daemon = Daemon::start(scene)?;
    let before = daemon.problems()?;
    let tracer = daemon.attach(Threads::Workers, &scene.log(), &injection(point, fault))?;
    scene.change();
    let is_hit = || fs::read_to_string(scene.log()).is_ok_and(|said| said.contains("(INJECTED)"));
    let _either = within(LONG, || is_hit() || is_settled(scene)) && within(LONG_GRACE, is_hit);
    let mut seen = scene.judge()?;
    if let Fault::ErrnoFromThenOn(_) = fault {
        // Done in spite of it, or said in the status.
        let known =
            within(LONG, || is_settled(scene) || daemon.problems().is_ok_and(|problems| problems != before));
        seen = scene.judge()?;
        if !known && daemon.process.is_running() {
            return Err(format!("the status says nothing and the bundle is {seen:?}\n{}", daemon.log()));
        }
    }
    let hit = is_hit();
    if matches!(fault, Fault::ErrnoFromThenOn(_)) {
        detach(tracer);
    } else {
        // The fault is over; the counts go on without another.
        drop(tracer);
    }
    let recovered = within(LONG, || !daemon.process.is_running() || is_settled(scene));
    if !daemon.process.is_running() {
        return if daemon.log().contains(WAKING) {
            Ok((seen, false))
        } else {
            Err(format!("the daemon ended\n{}", daemon.log()))
        };
    }
    if !recovered || scene.judge()? != Which::New {
        return Err(format!("the fault is gone and the bundle is {:?}\n{}", scene.judge(), daemon.log()));
    }
    daemon.stop();
    let log = daemon.log();
    if log.contains(WAKING) {
        // That write was of this sort.
        return Ok((seen, false));
    }
    if log.contains("panicked") {
        return Err(format!("it panicked\n{log}"));
    }
    scene.judge_recovered_after(true)?;
    Ok((seen, hit))
}

/// Bundle and state are those of after.
fn is_settled(scene: &Scene) -> bool {
    scene.judge().is_ok_and(|which| which == Which::New) && scene.is_state_of_the_bundle()
}

/// A daemon of a scene.
struct Daemon {
    process: Owned,
    log: PathBuf,
    root: PathBuf,
}

impl Daemon {
    /// Starts one and waits until it has looked at everything. One in which two workers share the work gives way to the
    /// next: a count of calls would mean another place each time.
    fn start(scene: &Scene) -> Result<Self, String> {
        const TRIES: usize = 10;
        let mut daemon = Self::start_any(scene)?;
        for _ in 1..TRIES {
            if daemon.threads(Threads::Workers)?.len() == 1 {
                break;
            }
            daemon.stop();
            daemon = Self::start_any(scene)?;
        }
        Ok(daemon)
    }

    fn start_any(scene: &Scene) -> Result<Self, String> {
        let log = scene.log().with_file_name("agentd.log");
        let _none_yet = fs::remove_file(&log);
        let process = Owned::start(&mut scene.agentd(), &log);
        let mut daemon = Self { process, log, root: scene.root() };
        let answers = within(LONG, || daemon.status().is_ok() || !daemon.process.is_running());
        if !answers || !daemon.process.is_running() {
            return Err(format!("the daemon does not start\n{}", daemon.log()));
        }
        // It answers before its first look is done; this waits for it.
        let regen = process::run(&mut crate::scene::agentctl(&daemon.root, &["regen"]));
        if regen.code() == 0 { Ok(daemon) } else { Err(format!("{}{}", regen.out(), regen.err())) }
    }

    /// Its own status.
    fn status(&self) -> Result<serde_json::Value, String> {
        let run = process::run(&mut crate::scene::agentctl(&self.root, &["status", "--json"]));
        if run.code() != 0 {
            return Err(run.err());
        }
        let status = run.json();
        let is_own = status["daemon"]["pid"] == u64::from(self.process.id());
        if is_own { Ok(status) } else { Err("another daemon answers".to_owned()) }
    }

    fn problems(&self) -> Result<Vec<String>, String> {
        let problems = self.status()?["problems"].as_array().cloned().unwrap_or_default();
        Ok(problems
            .iter()
            .map(|problem| problem["code"].to_string() + &problem["title"].to_string())
            .collect())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn tasks(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task", self.process.id()))
    }

    /// The ids of one sort of its threads.
    fn threads(&self, threads: Threads) -> Result<Vec<String>, String> {
        let own = self.process.id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir(self.tasks()).map_err(|error| error.to_string())?.flatten() {
            let id = entry.file_name().to_string_lossy().into_owned();
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let is_of_these = match threads {
                Threads::First => id == own,
                Threads::Workers => id != own && name.starts_with("tokio"),
            };
            if is_of_these {
                found.push(id);
            }
        }
        Ok(found)
    }

    /// Attaches `strace` to one sort of its threads, and waits until each is held by it.
    fn attach(&self, threads: Threads, log: &Path, options: &[String]) -> Result<Owned, String> {
        let _none_yet = fs::remove_file(log);
        let held = self.threads(threads)?;
        let mut strace = command(tools::path("strace"));
        strace.arg("-q").args(options).arg("-o").arg(log);
        for id in &held {
            strace.args(["-p", id]);
        }
        let tracer = Owned::start(&mut strace, &log.with_file_name("strace.err"));
        let has = |id: &str, name: &str, value: fn(&str) -> bool| {
            let status = fs::read_to_string(self.tasks().join(id).join("status")).unwrap_or_default();
            status.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| value(rest.trim())))
        };
        let is_held = |id: &String| has(id, "TracerPid:", |by| by != "0");
        // A call that it waits in begins anew when it is attached, and may be the one that ends it: then it was held.
        let has_ended = || has(&self.process.id().to_string(), "State:", |state| state.starts_with('Z'));
        if held.is_empty() || !within(LONG, || held.iter().all(is_held) || has_ended()) {
            return Err("strace does not hold the daemon".to_owned());
        }
        Ok(tracer)
    }

    fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        let _status = self.process.wait();
    }
}

/// Lets go of what it holds. One that holds nothing any more has ended.
fn detach(mut tracer: Owned) {
    if tracer.is_running() {
        tracer.signal(Signal::TERM);
        let _status = tracer.wait();
    }
}

/// Whether something comes true in this time.
fn within(limit: Duration, mut probe: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if probe() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep(Duration::from_millis(5));
    }
}

/// What the runtime says where a thread cannot wake another.
const WAKING: &str = "failed to wake I/O driver";

/// Longer than anything takes on a loaded machine; only a broken promise or a point that is not reached waits so long.
const LONG: Duration = Duration::from_secs(20);

/// Longer than a child takes to start.
const SHORT: Duration = Duration::from_secs(3);

/// For what a daemon does after it has published: it logs, arms its watches, looks at what it did.
const GRACE: Duration = Duration::from_millis(150);

/// The same for a try, which may take longer than the clean regeneration did.
const LONG_GRACE: Duration = Duration::from_millis(600);
