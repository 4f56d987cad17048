//! The system's own part of watching, behind the `notify` crate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, CreateKind, EventKindMask, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use rustix::io::Errno;

use super::hints::Hints;

/// Watches single directories.
pub trait Backend: Send {
    /// Begins to watch a directory, not what is below it.
    ///
    /// # Errors
    /// [`Refusal`], and nothing is watched then.
    fn watch(&mut self, directory: &Path) -> Result<(), Refusal>;

    /// Stops watching it. Nothing happens where it is not watched.
    fn unwatch(&mut self, directory: &Path);
}

/// Why something is not watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The user has as many watches as the system allows.
    #[error("the limit of watches is reached (raise it: sysctl fs.inotify.max_user_watches)")]
    Watches,
    /// The user has as many watchers, or the process as many files, as the system allows.
    #[error(
        "the limit of watchers or of open files is reached (raise it: sysctl fs.inotify.max_user_instances, LimitNOFILE=)"
    )]
    Instances,
    /// It may not be read.
    #[error("permission denied")]
    Denied,
    /// It went away at this moment.
    #[error("it went away")]
    Vanished,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The watcher of this system.
///
/// # Errors
/// [`Refusal`] where there is none to be had.
pub(super) fn system(hints: Arc<Hints>) -> Result<Box<dyn Backend>, Refusal> {
    let handler = move |event: notify::Result<Event>| tell(&hints, event);
    let config = Config::default().with_event_kinds(events());
    let watcher = RecommendedWatcher::new(handler, config).map_err(|error| refusal(&error))?;
    Ok(Box::new(Notify { watcher }))
}

struct Notify {
    watcher: RecommendedWatcher,
}

impl Backend for Notify {
    fn watch(&mut self, directory: &Path) -> Result<(), Refusal> {
        self.watcher.watch(directory, RecursiveMode::NonRecursive).map_err(|error| refusal(&error))
    }

    fn unwatch(&mut self, directory: &Path) {
        // It says so if there is no such watch any more, which is what is wanted.
        let _gone = self.watcher.unwatch(directory);
    }
}

/// No opening and reading: every reader of the bundle would wake us, ourselves first. On Linux the end of writing
/// instead of each write: it comes for mapped memory too, and once for a file of many writes. Elsewhere there is no
/// such event.
fn events() -> EventKindMask {
    if cfg!(target_os = "linux") {
        EventKindMask::CREATE
            | EventKindMask::REMOVE
            | EventKindMask::MODIFY_META
            | EventKindMask::MODIFY_NAME
            | EventKindMask::ACCESS_CLOSE
    } else {
        EventKindMask::CORE
    }
}

fn tell(hints: &Hints, event: notify::Result<Event>) {
    let Ok(event) = event else { return hints.all_lost() };
    if event.need_rescan() || event.paths.is_empty() {
        return hints.all_lost();
    }
    let moves = matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)));
    let completes = matches!(
        event.kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
            // Whole as it is; and what is made in it is told only once it is watched.
            | EventKind::Create(CreateKind::Folder)
            | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
    );
    for path in &event.paths {
        if completes {
            hints.completed(path);
        }
        if moves {
            hints.gone(path);
        } else {
            hints.seen(path);
        }
    }
}

fn refusal(error: &notify::Error) -> Refusal {
    match &error.kind {
        ErrorKind::MaxFilesWatch => Refusal::Watches,
        ErrorKind::PathNotFound => Refusal::Vanished,
        ErrorKind::Io(error) => match Errno::from_io_error(error) {
            Some(Errno::NOSPC) => Refusal::Watches,
            Some(Errno::MFILE | Errno::NFILE) => Refusal::Instances,
            Some(Errno::ACCESS | Errno::PERM) => Refusal::Denied,
            Some(Errno::NOENT | Errno::NOTDIR) => Refusal::Vanished,
            _ => Refusal::Other(describe(error)),
        },
        ErrorKind::Generic(words) => Refusal::Other(words.clone()),
        ErrorKind::WatchNotFound | ErrorKind::InvalidConfig(_) => Refusal::Other("not supported".to_owned()),
    }
}

fn describe(error: &io::Error) -> String {
    error.to_string()
}
