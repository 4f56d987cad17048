//! Waiting for something to come true, with a deadline and without a guess of how long it takes.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes on a loaded machine; only a failing test ever waits so long.
pub const DEADLINE: Duration = Duration::from_secs(60);

const STEP: Duration = Duration::from_millis(5);

/// Calls `probe` until it returns something.
///
/// # Panics
/// With `what`, where it has not after [`DEADLINE`].
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "waited {DEADLINE:?} in vain: {what}");
        sleep(STEP);
    }
}

/// Calls `probe` until it returns `Ok`.
///
/// # Panics
/// With `what` and the last error, where it has not after [`DEADLINE`].
pub fn until_ok<T>(what: &str, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(error) => assert!(Instant::now() < end, "waited {DEADLINE:?} in vain: {what}: {error}"),
        }
        sleep(STEP);
    }
}

/// Calls `check` over and over for `span`: for what must hold all the time.
pub fn throughout(span: Duration, mut check: impl FnMut()) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        check();
        sleep(STEP);
    }
}
