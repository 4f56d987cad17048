//! The lock of a store: whoever holds it is the only one who writes.
//!
//! `flock` on `state/lock`: the kernel lets go of it when its holder ends, however that happens. The descriptor is
//! opened for reading only, since one held for writing keeps the file system from being remounted read-only, and is
//! closed on exec, since a child that inherited it would hold the lock beyond its parent's death.
//!
//! One kind of holder never lets go: one that was killed while it slept in the kernel, at a file that never answers. It
//! will run no instruction of ours any more, so its lock is taken from it, by putting another file in the place of the
//! one that it holds. Whoever takes a lock does so behind a door, the lock of the directory itself: else two could find
//! the same dead one at once, or one of them the lock free at last while the other puts a new file there.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use crate::escape::escaped;
use crate::publish::TEMPORARY_SUFFIX;

mod corpse;

pub use corpse::died_holding_on;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by {}", escaped(path), holder(*pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// What its holder wrote into it.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}", escaped(path))]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl LockError {
    /// A stable name for the cause.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Held { .. } => "lock-held",
            Self::Io { .. } => "lock-failed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Held { pid: Some(pid), .. } => {
                format!("wait for process {pid} to end, or look at it with: ps -fp {pid}")
            }
            Self::Held { path, pid: None } => format!("find the process with: fuser -v {}", escaped(path)),
            Self::Io { path, source } => match source.kind() {
                io::ErrorKind::NotFound => format!("make the directory that holds {}", escaped(path)),
                io::ErrorKind::PermissionDenied => {
                    "run this as the user of the service, or as root".to_owned()
                }
                _ => format!("look at the file system that holds {}", escaped(path)),
            },
        }
    }
}

impl Lock {
    /// Takes the lock of this state directory, or says who has it. Waits for nobody who lives.
    ///
    /// # Errors
    /// [`LockError::Held`] where another process, or another part of this one, has it.
    pub fn acquire(state_dir: &Path) -> Result<Self, LockError> {
        Self::acquire_named(state_dir, "lock")
    }

    /// Takes another lock of this state directory, in the same way.
    ///
    /// # Errors
    /// As [`Self::acquire`].
    pub fn acquire_named(state_dir: &Path, name: &str) -> Result<Self, LockError> {
        let path = state_dir.join(name);
        let door = Door::pass(state_dir);
        // Once more where the file was taken away between the opening and the locking: a lock on a file that nobody
        // else can find is none.
        for _ in 0..ATTEMPTS {
            let file = open(&path).map_err(|source| LockError::Io { path: path.clone(), source })?;
            match lock_now(&file) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let pid = read_pid(&file);
                    if matches!(door, Door::Ours(_)) && pid.is_some_and(died_holding_on) {
                        return Self::inherit(&path, state_dir, pid);
                    }
                    return Err(LockError::Held { pid, path });
                }
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(LockError::Io { path, source: errno.into() }),
            }
            if is_at(&file, &path) {
                // For the message that others see; the lock holds without it, as on a full file system.
                let _unsaid = write_pid(&path, state_dir, &file);
                return Ok(Self { _file: file });
            }
        }
        let source = io::Error::other("the file is replaced again and again");
        Err(LockError::Io { path, source })
    }

    /// Takes the lock from a dead process that cannot let go of it.
    fn inherit(path: &Path, state_dir: &Path, dead: Option<u32>) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        let mut beside = path.as_os_str().to_owned();
        beside.push(TEMPORARY_SUFFIX);
        let beside = PathBuf::from(beside);
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        // It is locked, and says by whom, before anybody can find it.
        let file = open(&beside).map_err(failed)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
        let _unsaid = write_pid(&beside, state_dir, &file);
        std::fs::rename(&beside, path).map_err(failed)?;
        tracing::warn!(
            "{} was held by process {}, which was killed and hangs in the kernel: its lock is taken over",
            escaped(path),
            dead.unwrap_or_default()
        );
        Ok(Self { _file: file })
    }
}

/// Behind it locks are taken, one after the other.
enum Door {
    /// Closed behind us, until this is dropped.
    Ours(#[expect(dead_code, reason = "held for its lock")] File),
    /// It cannot be closed: locks are given as they are found, and none is taken from anybody.
    Open,
}

impl Door {
    /// Who is behind it leaves at once.
    fn pass(state_dir: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = rustix::fs::open(state_dir, flags, rustix::fs::Mode::empty()) else {
            return Self::Open;
        };
        for _ in 0..ATTEMPTS {
            match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Self::Ours(File::from(directory)),
                Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(MOMENT),
                Err(_) => return Self::Open,
            }
        }
        Self::Open
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = |create| {
        let fd =
            rustix::fs::open(path, OFlags::RDONLY | flags | create, rustix::fs::Mode::from_raw_mode(0o600))?;
        Ok(File::from(fd))
    };
    let again = |create| loop {
        match open(create) {
            Err(Errno::INTR) => {}
            done => break done,
        }
    };
    // Without O_CREAT first: a file that is there can be locked on a read-only file system.
    match again(OFlags::empty()) {
        Err(Errno::NOENT) => again(OFlags::CREATE).map_err(io::Error::from),
        other => other.map_err(io::Error::from),
    }
}

/// Whether this is the file that stands at the path now.
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => id(held) == id(named),
        _ => false,
    }
}

fn read_pid(file: &File) -> Option<u32> {
    let mut text = [0; 16];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}

/// Waits for nobody who lives. A process that is gone may have been about to start a reader, which has the lock until
/// it begins: on a loaded machine that was seen to outlast a killed daemon.
fn lock_now(file: &File) -> Result<(), Errno> {
    let mut waited = Duration::ZERO;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if waited < LAST_BREATH && read_pid(file).is_some_and(is_gone) => {
                std::thread::sleep(MOMENT);
                waited += MOMENT;
            }
            other => return other,
        }
    }
}

fn write_pid(path: &Path, state_dir: &Path, held: &File) -> io::Result<()> {
    // Root may be first, through `agentctl`; the service must be able to open the file afterwards.
    let owner = std::fs::metadata(state_dir)?;
    if rustix::process::geteuid().is_root() && held.metadata()?.uid() != owner.uid() {
        std::os::unix::fs::fchown(held, Some(owner.uid()), Some(owner.gid()))?;
    }
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).map_err(io::Error::other)?;
    let mut file = OpenOptions::new().write(true).truncate(true).custom_flags(flags).open(path)?;
    writeln!(file, "{}", std::process::id())
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Whether there is no such process any more.
fn is_gone(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(Errno::SRCH))
}

const ATTEMPTS: usize = 10;

/// How long the lock of a process that is gone is waited for.
const LAST_BREATH: Duration = Duration::from_secs(3);

const MOMENT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A process that a test here is starting has our descriptors for the moment between its fork and its exec.
    static STARTING: Mutex<()> = Mutex::new(());

    /// The lock, as soon as no process that any other test is starting has it any more.
    fn acquired_soon(state_dir: &Path) -> Lock {
        test_support::poll::until_ok("the lock", || {
            Lock::acquire(state_dir).map_err(|error| error.to_string())
        })
    }

    #[test]
    fn the_second_is_told_who_holds_it_and_gets_it_afterwards() {
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::acquire(dir.path()).unwrap();
        let error = Lock::acquire(dir.path()).unwrap_err();
        assert!(matches!(error, LockError::Held { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(error.to_string().ends_with(&format!("lock is held by process {}", std::process::id())));
        drop(first);
        drop(acquired_soon(dir.path()));
    }

    #[test]
    fn a_child_does_not_inherit_it() {
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(dir.path()).unwrap();
        // Longer than the lock is waited for.
        let mut child = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        drop(lock);
        drop(acquired_soon(dir.path()));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_crash_lets_go_of_it() {
        let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("lock");
        std::fs::write(&lock, "").unwrap();
        let mut holder = Command::new("flock")
            .args([lock.as_os_str(), "-c".as_ref(), "echo held; exec sleep 60".as_ref()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        holder.stdout.take().unwrap().read_exact(&mut said).unwrap();
        assert!(matches!(Lock::acquire(dir.path()), Err(LockError::Held { pid: None, .. })));
        // `flock` waits for its command, which holds the lock as well: both go.
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
        let child = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
        holder.kill().unwrap();
        holder.wait().unwrap();
        rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
        // The kernel closes the descriptors of a killed process soon, not at once: waits for the lock itself.
        let file = File::open(&lock).unwrap();
        flock(file.as_fd(), FlockOperation::LockExclusive).unwrap();
        drop(file);
        drop(acquired_soon(dir.path()));
    }

    #[test]
    fn a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.path().join("lock")).unwrap();
        assert!(matches!(Lock::acquire(dir.path()), Err(LockError::Io { .. })));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_missing_directory_is_said() {
        let error = Lock::acquire(Path::new("/nonexistent/state")).unwrap_err();
        assert_eq!(error.code(), "lock-failed");
        assert!(error.remedy().contains("/nonexistent/state/lock"));
    }
}
