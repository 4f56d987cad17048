//! SIGKILL at every system call, and again at every one of the next run from each state that a kill left.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::figures::Figures;
use crate::scene::{Action, Certs, Past, Scene};
use crate::strace::{Fault, Point, points, shoot};
use crate::tree;

/// How much of a sweep is done.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Every how-manieth point of the recoveries; 1 is all of them, 0 none.
    pub recovery_step: usize,
    /// How many runs at a time.
    pub workers: usize,
}

/// Sweeps an action from a past.
#[must_use]
pub fn sweep(what: &str, past: Past, action: &Action, extent: Extent) -> Figures {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let certs = Certs::default();
    let scenes: Vec<Scene> = (0..extent.workers.max(1))
        .map(|number| Scene::new(&scratch.path().join(number.to_string()), past, action.clone(), &certs))
        .collect();
    let known = Known::default();
    let figures = Mutex::new(Figures::new(&format!("kill: {what}")));
    let all = clean_points(&scenes[0]);
    let first: Vec<PathBuf> = in_parallel(&scenes, all.len(), |scene, number| {
        scene.reset();
        strike(scene, &all[number], &known, &figures)
    });
    if extent.recovery_step > 0 && scenes[0].is_product() {
        recoveries(&scenes, &first, extent.recovery_step, &known, &figures);
    }
    figures.into_inner().expect("no thread panicked")
}

/// From each state that a kill left, in the scene that it was left in: the next run is killed as well.
fn recoveries(scenes: &[Scene], left: &[PathBuf], step: usize, known: &Known, figures: &Mutex<Figures>) {
    std::thread::scope(|scope| {
        for scene in scenes {
            scope.spawn(move || {
                for copy in left.iter().filter(|copy| scene.owns(copy)) {
                    scene.reset_to(copy);
                    let all = points(&scene.command(), &scene.log(), &scene.root());
                    for point in all.iter().filter(|point| point.at_work).skip(step / 2).step_by(step) {
                        scene.reset_to(copy);
                        let _state = strike(scene, point, known, figures);
                    }
                }
            });
        }
    });
}

fn clean_points(scene: &Scene) -> Vec<Point> {
    scene.reset();
    let all = points(&scene.command(), &scene.log(), &scene.root());
    assert!(all.len() > 20, "a trace has more than {} points", all.len());
    all
}

/// One kill and its judgement. Returns a copy of what it left where nobody has seen that before.
fn strike(scene: &Scene, point: &Point, known: &Known, figures: &Mutex<Figures>) -> Option<PathBuf> {
    let shot = shoot(&scene.command(), &scene.log(), point, Fault::Kill);
    let verdict = scene.judge();
    let count = |add: &dyn Fn(&mut Figures)| add(&mut figures.lock().expect("no thread panicked"));
    count(&|figures| {
        figures.tried += 1;
        figures.missed += usize::from(!shot.hit);
        match &verdict {
            Ok(which) => figures.count(*which),
            Err(why) => figures.bad(&format!("{point}: {why}")),
        }
    });
    let state = known.first_sight(tree::digest(&scene.root()))?;
    let copy = scene.keep(&state.to_string());
    count(&|figures| figures.states += 1);
    if let Ok(found) = verdict
        && scene.is_product()
        && let Err(why) = scene.complete(found, false)
    {
        count(&|figures| figures.bad(&format!("{point}: {why}")));
    }
    Some(copy)
}

/// The states seen so far.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<u64, usize>>);

impl Known {
    pub(crate) fn first_sight(&self, digest: u64) -> Option<usize> {
        let mut known = self.0.lock().expect("no thread panicked");
        let number = known.len();
        match known.entry(digest) {
            Entry::Occupied(_) => None,
            Entry::Vacant(entry) => Some(*entry.insert(number)),
        }
    }
}

/// Does `count` pieces of work, each in a scene that nobody else has at that time.
pub(crate) fn in_parallel<T: Send>(
    scenes: &[Scene],
    count: usize,
    work: impl Fn(&Scene, usize) -> Option<T> + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for scene in scenes {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if let Some(result) = work(scene, number) {
                        found.lock().expect("no thread panicked").push(result);
                    }
                }
            });
        }
    });
    found.into_inner().expect("no thread panicked")
}
