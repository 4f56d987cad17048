//! From the end of a change to the bundle that has it, with the daemon running.

mod changes;
mod floor;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use test_support::pki;

use crate::corpus;
use crate::measure::Spans;
use crate::table::{goal, head, ms, row, say, times};
use changes::{CHANGES, Change, Scene};

/// Of each change.
const REPETITIONS: usize = 40;

/// A change that is not there by then has been missed.
const LOST: Duration = Duration::from_secs(10);

/// Every kind of change beside the floor.
pub(crate) fn run() {
    let base = corpus::mozilla();
    if base.is_empty() {
        say("\nlatency: Mozilla's roots (ca-certificates) are not installed, left out");
        return;
    }
    let fresh: Vec<String> = pki::many_roots(REPETITIONS).iter().map(pki::Cert::pem).collect();
    let floor = floor::run(&base, &fresh);
    head(
        &format!("Change to bundle: {} anchors and the new ones", base.len()),
        &[
            "change",
            "ms, min",
            "median",
            "p99",
            "longest",
            "times",
            "later than 10 s",
            "median, of the floor",
        ],
    );
    print("floor: a bare loop, rename over", &floor, &floor);
    let mut worst = (Duration::ZERO, Duration::ZERO);
    let mut lost = 0;
    for change in CHANGES {
        let seen = one(change, &base, &fresh);
        print(change.name, &seen, &floor);
        worst = (worst.0.max(seen.came.median()), worst.1.max(seen.came.p99()));
        lost += seen.lost;
    }
    let limit = floor.came.median() * 3;
    let now = format!("{}: {} ms, {lost} lost", times(worst.0, floor.came.median()), ms(worst.0));
    goal("change to bundle: median of each kind within 3× of the floor", now, worst.0 <= limit && lost == 0);
    let met = worst.1 < Duration::from_millis(20);
    goal("change to bundle: p99 of each kind under 20 ms", format!("{} ms", ms(worst.1)), met);
}

/// What came, and how many did not.
pub(crate) struct Seen {
    pub(crate) came: Spans,
    pub(crate) lost: usize,
}

fn one(change: &Change, base: &[String], fresh: &[String]) -> Seen {
    let scene = Scene::new(base, fresh, change);
    let daemon = crate::daemon::Daemon::start(&scene.endpoint);
    let bundle = scene.endpoint.merged();
    let seen = repeat(&bundle, fresh, |number| (change.make)(&scene, number));
    daemon.stop();
    seen
}

/// Makes each change, and waits until the bundle has what is new in it.
fn repeat(bundle: &Path, fresh: &[String], mut make: impl FnMut(usize) -> Instant) -> Seen {
    let mut came = Vec::new();
    let mut lost = 0;
    for (number, anchor) in fresh.iter().enumerate() {
        // Not in step with any timer; and after whatever the last change left to do.
        sleep(Duration::from_millis(150 + 7 * (number as u64 % 11)));
        let changed = make(number);
        match arrival(bundle, anchor, changed) {
            Some(at) => came.push(at.duration_since(changed)),
            None => lost += 1,
        }
    }
    Seen { came: Spans::new(came), lost }
}

fn arrival(bundle: &Path, anchor: &str, changed: Instant) -> Option<Instant> {
    const STEP: Duration = Duration::from_micros(50);
    let mut known = None;
    while changed.elapsed() < LOST {
        let inode = fs::metadata(bundle).ok().map(|metadata| metadata.ino());
        let now = Instant::now();
        if inode.is_some() && inode != known {
            known = inode;
            // A file in strict form: the block is in it byte for byte or not at all.
            if fs::read_to_string(bundle).is_ok_and(|text| text.contains(anchor)) {
                return Some(now);
            }
        } else {
            sleep(STEP);
        }
    }
    None
}

fn print(name: &str, seen: &Seen, floor: &Seen) {
    let came = &seen.came;
    row(&[
        name.to_owned(),
        ms(came.min()),
        ms(came.median()),
        ms(came.p99()),
        ms(came.max()),
        came.len().to_string(),
        seen.lost.to_string(),
        times(came.median(), floor.came.median()),
    ]);
}
