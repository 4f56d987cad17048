//! Whether the system gives the descriptors and the thread that an async runtime needs.

use std::io;
use std::os::unix::net::UnixStream;

/// The runtime panics where it cannot have its own pair of sockets. Asked for beforehand, as many as it takes, it is an
/// error like any other.
///
/// # Errors
/// The system's.
pub fn for_a_runtime() -> io::Result<()> {
    const PAIRS: usize = 4;
    let pairs: io::Result<Vec<(UnixStream, UnixStream)>> = (0..PAIRS).map(|_| UnixStream::pair()).collect();
    pairs.map(drop)
}

/// Whether the system gives a thread. The runtime panics where it cannot have the first one that is to block.
///
/// # Errors
/// The system's.
pub fn for_a_thread() -> io::Result<()> {
    let thread = std::thread::Builder::new().spawn(|| ())?;
    // It does nothing that could fail.
    let _ended = thread.join();
    Ok(())
}
