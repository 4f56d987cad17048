//! The terminal: whether there is one, how wide it is, and the line of progress that comes and goes on it.

use std::io::{self, IsTerminal, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::fit::{fit, shorten};

/// The columns of a stream that is a terminal: as COLUMNS says, else as the terminal says, else 80. `None` where it is
/// none: what goes into a file or another program is left as it is.
pub(super) fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let known = || rustix::termios::tcgetwinsize(stream).ok().map(|size| usize::from(size.ws_col));
    Some(
        said.filter(|columns| *columns > 0)
            .or_else(|| known().filter(|columns| *columns > 0))
            .unwrap_or(USUAL),
    )
}

/// Writes to stderr what is more than progress; where that is closed there is nobody to tell.
pub(super) fn say(text: &str, end: &str) {
    let mut shown = lock(&SHOWN);
    let mut stderr = io::stderr().lock();
    if std::mem::take(&mut *shown) {
        let _ignored = write!(stderr, "{ERASE}");
    }
    let fitted = fit(text, width(&stderr));
    let mut stderr = anstream::AutoStream::auto(stderr);
    let _ignored = write!(stderr, "{fitted}{end}");
    let _ignored = stderr.flush();
}

/// Says on stderr what is waited for, once it has taken a second, and takes the line away when it is dropped.
#[must_use]
pub(crate) struct Progress {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    words: String,
    since: Instant,
    over: bool,
}

impl Progress {
    /// A wait that begins now; one that nobody is told of unless `told`.
    pub(super) fn begin(told: bool, words: String) -> Self {
        let state = Mutex::new(State { words, since: Instant::now(), over: false });
        let shared = Arc::new(Shared { state, changed: Condvar::new() });
        let here = Arc::clone(&shared);
        // Where there is no thread to be had, the wait is a silent one.
        let thread = (told && shows_progress())
            .then(|| std::thread::Builder::new().stack_size(STACK).spawn(move || show(&here)).ok())
            .flatten();
        Self { shared, thread }
    }

    /// Something else is waited for, from now on.
    pub(crate) fn now(&self, words: impl Into<String>) {
        let mut state = lock(&self.shared.state);
        state.words = words.into();
        state.since = Instant::now();
    }

    /// The same is waited for, and this is how far it is.
    pub(crate) fn at(&self, words: impl Into<String>) {
        lock(&self.shared.state).words = words.into();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        lock(&self.shared.state).over = true;
        self.shared.changed.notify_all();
        // It ends with its line taken away.
        let _ignored = thread.join();
    }
}

fn shows_progress() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// Shows the line anew each second, until it is over.
fn show(shared: &Shared) {
    let mut state = lock(&shared.state);
    while !state.over {
        let waited = state.since.elapsed();
        let next = if waited < FIRST { FIRST - waited } else { EACH };
        if waited >= FIRST {
            draw(&format!("{} … {} s", state.words, waited.as_secs()));
        } else {
            erase();
        }
        let waiting = shared.changed.wait_timeout(state, next);
        state = waiting.unwrap_or_else(PoisonError::into_inner).0;
    }
    drop(state);
    erase();
}

fn draw(line: &str) {
    let mut shown = lock(&SHOWN);
    let mut stderr = io::stderr().lock();
    // The last column stays free: some terminals begin a new line behind it.
    let width = width(&stderr).unwrap_or(USUAL).saturating_sub(1);
    // A terminal that went away has nobody who waits.
    let _ignored = write!(stderr, "{ERASE}{}", shorten(line, width)).and_then(|()| stderr.flush());
    *shown = true;
}

fn erase() {
    if std::mem::take(&mut *lock(&SHOWN)) {
        let mut stderr = io::stderr().lock();
        let _ignored = write!(stderr, "{ERASE}").and_then(|()| stderr.flush());
    }
}

/// Nobody panics with a lock in hand; what is behind it is only shown.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line of progress is on the terminal.
static SHOWN: Mutex<bool> = Mutex::new(false);

/// To the first column, and all to the right of it away.
const ERASE: &str = "\r\u{1b}[K";
const FIRST: Duration = Duration::from_secs(1);
const EACH: Duration = Duration::from_secs(1);
/// A terminal that does not say.
const USUAL: usize = 80;
/// It only writes a line.
const STACK: usize = 256 * 1024;
