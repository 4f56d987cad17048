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
use crate::table::{goal, head, ms, row, times};
use changes::{CHANGES, Change, Scene};

/// Of each change.
const REPETITIONS: usize = 40;

/// A change that is not there by then has been missed.
const LOST: Duration = Duration::from_secs(10);

/// Every kind of change beside the floor.
pub(crate) fn run() {
    let base = corpus::few();
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
    let mut all = Vec::new();
    let mut each: Vec<(&str, Duration)> = Vec::new();
    let mut lost = 0;
    let mut rows = Vec::new();
    for change in CHANGES {
        let seen = one(change, &base, &fresh);
        all.extend_from_slice(seen.came.all());
        each.push((change.name, seen.came.median()));
        lost += seen.lost;
        rows.push((change.name, seen));
    }
    // Before and after: whatever the disk did meanwhile is in it.
    let floor = floor.and(&floor::run(&base, &fresh));
    print("floor: a bare loop, rename over", &floor, &floor);
    for (name, seen) in &rows {
        print(name, seen, &floor);
    }
    let all = Seen { came: Spans::new(all), lost };
    print("all kinds", &all, &floor);
    note_goals(&floor, &all, &each);
}

fn note_goals(floor: &Seen, all: &Seen, each: &[(&str, Duration)]) {
    let (base, limit) = (floor.came.median(), floor.came.median() * 3);
    let now = |span: Duration| format!("{} ({} ms on {} ms)", times(span, base), ms(span), ms(base));
    let median = all.came.median();
    goal(
        "change to bundle, all kinds together: median within 3× of the floor",
        format!("{}, {} lost", now(median), all.lost),
        median <= limit && all.lost == 0,
    );
    let same = each.iter().find(|(name, _)| *name == changes::AS_THE_FLOOR).map_or(median, |(_, span)| *span);
    goal("… the floor's own change, a rename", now(same), same <= limit);
    if let Some((name, worst)) = each.iter().max_by_key(|(_, span)| *span) {
        goal("… the slowest kind", format!("{}: {name}", now(*worst)), *worst <= limit);
    }
    let p99 = all.came.p99();
    goal("… all kinds together: p99 under 20 ms", format!("{} ms", ms(p99)), p99 < Duration::from_millis(20));
}

/// What came, and how many did not.
pub(crate) struct Seen {
    pub(crate) came: Spans,
    pub(crate) lost: usize,
}

impl Seen {
    fn and(self, other: &Self) -> Self {
        let came = [self.came.all(), other.came.all()].concat();
        Self { came: Spans::new(came), lost: self.lost + other.lost }
    }
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
