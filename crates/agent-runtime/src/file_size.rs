//! A limit on the size of files (`ulimit -f`, `LimitFSIZE=`).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// From now on a write past the limit fails with an error like any other, also one to a log that is a file. Without it a
/// signal ends the process wherever it is.
pub fn is_an_error() {
    let seen = Arc::new(AtomicBool::new(false));
    // Where it cannot be had all is as it was.
    let _kept = signal_hook::flag::register(rustix::process::Signal::XFSZ.as_raw(), seen);
}
