//! The disposable reader: what policies name is read by a child that may hang.
//!
//! A path that a policy names may lead to a file server that never answers. Whoever reads there sleeps in the kernel,
//! cannot be killed, and keeps every lock and descriptor it has. So it is read by a child process: this program once
//! more, which holds nothing of ours, may write nowhere, and is given up when its time is over. The store's own sources
//! are read here; who can make those hang can stop the daemon anyway.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use trust_core::policy::Named;

use crate::look::{Leaving, Reader, SafeReader};
use crate::read::{FileBytes, Listing, ReadError, Rules, Spare, list_directory, read_into};

mod bench;
mod child;
mod session;
#[cfg(test)]
mod tests;
mod wire;

pub use child::serve_if_asked;

use bench::Bench;
use session::{Session, Trouble};
use wire::{Answer, Ask};

/// How long a child may take over one file or directory, from when it is waited for. A disk that has to spin up stays below it; what takes longer is
/// tried again later, and its last good content stays in use meanwhile.
pub const DEADLINE: Duration = Duration::from_secs(2);

/// How long what policies name may hold up one look: the other sources wait for it.
pub const BUDGET: Duration = Duration::from_secs(5);

/// Reads the store's own files here, and what policies name in a child.
#[derive(Debug)]
pub struct DisposableReader {
    pub(crate) rules: Rules,
    /// A child that waits for a look that is on its way.
    ahead: Mutex<Option<Session>>,
}

impl DisposableReader {
    /// By these rules, here and there.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, ahead: Mutex::new(None) }
    }

    /// Starts the child that the next look will need, while that look is on its way.
    pub(crate) fn start_ahead(&self) {
        let mut ahead = locked(&self.ahead);
        if ahead.is_none() && child::is_offered() && Bench::has_room() {
            *ahead = Session::start(&self.rules).ok();
        }
    }

    /// No look comes after all.
    pub(crate) fn dismiss_ahead(&self) -> Leaving {
        locked(&self.ahead).take().map(dismissed).unwrap_or_default()
    }
}

impl Reader for DisposableReader {
    fn file(&self, path: &Path, spare: &Spare) -> Result<FileBytes, ReadError> {
        read_into(path, &self.rules, spare)
    }

    fn directory(&self, path: &Path) -> Result<Listing, ReadError> {
        list_directory(path, &self.rules)
    }

    fn named(&self) -> Box<dyn Reader + '_> {
        if child::is_offered() {
            Box::new(Visit::new(&self.rules, &self.ahead))
        } else {
            // A program whose main function does not offer the child, such as a test.
            Box::new(SafeReader { rules: self.rules.clone() })
        }
    }
}

/// The reading of one look. The child is started when it is first needed and ends with the look.
struct Visit<'a> {
    rules: &'a Rules,
    ahead: &'a Mutex<Option<Session>>,
    began: Instant,
    session: Mutex<Option<Session>>,
}

impl Reader for Visit<'_> {
    fn file(&self, path: &Path, spare: &Spare) -> Result<FileBytes, ReadError> {
        match self.ask(&Ask::File(path.to_owned()), spare)? {
            Answer::File(file) => Ok(file),
            Answer::Failed(error) => Err(error),
            Answer::Directory(..) => Err(failed(path, "it answered another question")),
        }
    }

    fn directory(&self, path: &Path) -> Result<Listing, ReadError> {
        match self.ask(&Ask::Directory(path.to_owned()), &Spare::default())? {
            Answer::Directory(names, trail) => {
                Ok(Listing { files: names.into_iter().map(|name| path.join(name)).collect(), trail })
            }
            Answer::Failed(error) => Err(error),
            Answer::File(_) => Err(failed(path, "it answered another question")),
        }
    }

    fn prepare(&self, wanted: &[&Named]) {
        let mut bench = Bench::of_this_process();
        bench.reap(Instant::now());
        let (directories, files): (Vec<&Named>, _) = wanted.iter().partition(|named| named.directory);
        let Some(first) =
            directories.into_iter().chain(files).find(|named| bench.holds(&named.path).is_none())
        else {
            return;
        };
        let path = first.path.clone();
        let ask = if first.directory { Ask::Directory(path) } else { Ask::File(path) };
        let mut slot = locked(&self.session);
        if slot.is_none() && !bench.is_full() {
            // Where it does not start, whoever asks it something is told.
            *slot = self.start().ok();
            if let Some(session) = slot.as_mut() {
                session.ask_ahead(ask);
            }
        }
    }

    fn leave(&self) -> Leaving {
        let session = locked(&self.session).take().or_else(|| locked(self.ahead).take());
        match session {
            Some(session) if session.owes().is_none() => dismissed(session),
            other => {
                give_up(other, &mut Bench::of_this_process());
                Leaving::default()
            }
        }
    }

    fn named(&self) -> Box<dyn Reader + '_> {
        Box::new(Self { began: self.began, ..Self::new(self.rules, self.ahead) })
    }
}

impl<'a> Visit<'a> {
    fn new(rules: &'a Rules, ahead: &'a Mutex<Option<Session>>) -> Self {
        Self { rules, ahead, began: Instant::now(), session: Mutex::new(None) }
    }

    /// The child that waits, or a new one.
    fn start(&self) -> io::Result<Session> {
        locked(self.ahead).take().map_or_else(|| Session::start(self.rules), Ok)
    }

    fn ask(&self, ask: &Ask, spare: &Spare) -> Result<Answer, ReadError> {
        let path = ask.path();
        let mut bench = Bench::of_this_process();
        bench.reap(Instant::now());
        if let Some(pid) = bench.holds(path) {
            return Err(ReadError::Hung { path: path.to_owned(), pid });
        }
        if bench.is_full() || self.began.elapsed() >= BUDGET {
            return Err(ReadError::Postponed { path: path.to_owned() });
        }
        let mut slot = locked(&self.session);
        let mut session = match slot.take() {
            Some(session) if session.owes().is_none_or(|owed| owed == ask) => session,
            other => {
                give_up(other, &mut bench);
                self.start().map_err(|error| not_started(path, &error))?
            }
        };
        match session.ask(ask, self.rules.max_bytes, DEADLINE, spare) {
            Ok(answer) => {
                bench.forget(path);
                *slot = Some(session);
                Ok(answer)
            }
            Err(Trouble::TooLate) => {
                let pid = session.pid();
                bench.put(path.to_owned(), session.kill(), Instant::now());
                Err(ReadError::Hung { path: path.to_owned(), pid })
            }
            Err(Trouble::Broken(reason)) => {
                if let Some(child) = session.kill() {
                    bench.put(path.to_owned(), Some(child), Instant::now());
                }
                Err(failed(path, reason))
            }
        }
    }
}

/// Tells a child to end, and gives back who sees that it does.
fn dismissed(mut session: Session) -> Leaving {
    session.dismiss();
    Leaving::of(session)
}

fn locked(slot: &Mutex<Option<Session>>) -> MutexGuard<'_, Option<Session>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a child that was asked ahead for what nobody wants after all. It may hang there.
fn give_up(session: Option<Session>, bench: &mut Bench) {
    let Some(session) = session else { return };
    let path = session.owes().map(|ask| ask.path().to_owned());
    if let (Some(path), Some(child)) = (path, session.kill()) {
        bench.put(path, Some(child), Instant::now());
    }
}

fn failed(path: &Path, reason: &'static str) -> ReadError {
    ReadError::Reader { path: path.to_owned(), reason: reason.to_owned() }
}

fn not_started(path: &Path, error: &io::Error) -> ReadError {
    // The system's own words: a message of the standard library says less.
    let reason = Errno::from_io_error(error).map_or_else(|| error.to_string(), |errno| errno.to_string());
    ReadError::Reader { path: path.to_owned(), reason: format!("it could not be started: {reason}") }
}
