//! Paths that did not answer, and the children that still hang on them.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// More children than these are not left hanging, whatever the policies name: the unit allows few tasks.
pub(super) const MAX_HANGING: usize = 4;

/// After a path let a child hang that could be ended, it rests for so long; each further time twice as long.
pub(super) const REST: Duration = Duration::from_secs(30);

const MAX_REST: Duration = Duration::from_secs(600);

/// A path that nobody asks for any more is forgotten so long after its rest.
const FORGET: Duration = Duration::from_secs(1200);

/// What hangs. One for the process: children belong to the process, and a reload of the configuration does not end them.
#[derive(Debug, Default)]
pub(super) struct Bench {
    seats: Vec<Seat>,
}

#[derive(Debug)]
struct Seat {
    path: PathBuf,
    pid: u32,
    /// Killed and not yet gone.
    child: Option<Child>,
    rest: Duration,
    until: Instant,
}

static BENCH: Mutex<Bench> = Mutex::new(Bench { seats: Vec::new() });

impl Bench {
    pub(super) fn of_this_process() -> MutexGuard<'static, Self> {
        BENCH.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more child may be started. Not while a look waits for one: who asks this does not wait.
    pub(super) fn has_room() -> bool {
        BENCH.try_lock().is_ok_and(|bench| !bench.is_full())
    }

    /// The child that a path waits for, or waited for not long ago. What lies in a directory that hangs does so too.
    pub(super) fn holds(&self, path: &Path) -> Option<u32> {
        let now = Instant::now();
        let seat = self.seats.iter().find(|seat| path.starts_with(&seat.path) && seat.is_taken(now))?;
        Some(seat.pid)
    }

    pub(super) fn is_full(&self) -> bool {
        self.seats.iter().filter(|seat| seat.child.is_some()).count() >= MAX_HANGING
    }

    /// Takes a path that hung, with the child where it could not be ended at once.
    pub(super) fn put(&mut self, path: PathBuf, child: Option<Child>, now: Instant) {
        let before =
            self.seats.iter().position(|seat| seat.path == path).map(|at| self.seats.swap_remove(at));
        let rest = before.map_or(REST, |seat| (seat.rest * 2).min(MAX_REST));
        let pid = child.as_ref().map_or(0, Child::id);
        self.seats.push(Seat { path, pid, child, rest, until: now + rest });
    }

    /// Takes a path off: it answered.
    pub(super) fn forget(&mut self, path: &Path) {
        self.seats.retain(|seat| seat.path != path || seat.child.is_some());
    }

    /// Lets go of children that ended since, and of paths that nobody asks for.
    pub(super) fn reap(&mut self, now: Instant) {
        for seat in &mut self.seats {
            let ended = seat.child.as_mut().is_some_and(|child| !matches!(child.try_wait(), Ok(None)));
            if ended {
                // It answers again: no reason to wait longer.
                seat.child = None;
                seat.until = now;
            }
        }
        self.seats.retain(|seat| seat.child.is_some() || now < seat.until + FORGET);
    }
}

impl Seat {
    fn is_taken(&self, now: Instant) -> bool {
        self.child.is_some() || now < self.until
    }
}
