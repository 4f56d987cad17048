//! The socket in the file system: bound without a moment in which anyone may connect, never over something that is not
//! a socket, at paths of any length.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, Stat, chmodat, chownat, openat, renameat, statat,
    unlinkat,
};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind as bind_address, connect, listen, socket};
use tokio::net::{UnixListener, UnixStream};

/// Connections the kernel keeps until they are accepted. More than a client tries at once; whoever may connect shares
/// it, so the file mode is the real defence.
const BACKLOG: i32 = 32;

/// Why the socket could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// A daemon answers there.
    #[error("{} is in use: another agentd answers on it", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else has that name; it is left alone.
    #[error("{} exists and is not a socket; remove it or configure another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// No socket can have that path here.
    #[error("{} is too long for a socket; configure a shorter path", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
    },
    /// A system call failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

/// A bound and listening socket; its name goes with it.
#[derive(Debug)]
pub struct Listener {
    pub(crate) inner: UnixListener,
    place: Option<Bound>,
}

/// The name of a socket and what it stood for when it was made.
#[derive(Debug)]
struct Bound {
    place: Place,
    stat: Stat,
}

impl Listener {
    /// Takes over a listening socket that the service manager made; its name stays when this is dropped.
    ///
    /// # Errors
    /// Where it is not a Unix socket.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(fd);
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        Ok(Self { inner: UnixListener::from_std(listener)?, place: None })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Only if it still is ours: a daemon that was started meanwhile has its own there.
        let Some(Bound { place, stat }) = &self.place else { return };
        if place.stat().is_ok_and(|now| (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino)) {
            // A name that stays is replaced at the next start.
            let _ = place.remove(&place.name);
        }
    }
}

/// Binds `path` with `mode` and, where given, `group`, and listens. Must be called inside a tokio runtime.
///
/// The socket gets its mode before it listens and its name after that: nobody ever meets one that is wider open. A
/// socket that nobody answers on is replaced. Two daemons that start at the same moment must be kept apart by the
/// store's lock.
///
/// # Errors
/// [`BindError`], each with the path.
pub fn bind(path: &Path, mode: u32, group: Option<u32>) -> Result<Listener, BindError> {
    bind_after(path, mode, group, |_| false)
}

/// As [`bind`], and replaces as well what a process left that `is_dead` and cannot end: connections to its socket are
/// still taken, and never answered.
///
/// # Errors
/// As [`bind`].
pub fn bind_after(
    path: &Path,
    mode: u32,
    group: Option<u32>,
    is_dead: impl Fn(u32) -> bool,
) -> Result<Listener, BindError> {
    let failed =
        |what| move |errno: Errno| BindError::Io { what, path: path.to_owned(), source: errno.into() };
    let place = Place::of(path).map_err(failed("open the directory of"))?;
    match place.stat() {
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("look at")(errno)),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Socket => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => match place.connect() {
            Ok(other) if listener_of(&other).is_some_and(is_dead) => {}
            // A full backlog is a sign of life too.
            Ok(_) | Err(Errno::AGAIN) => return Err(BindError::InUse { path: path.to_owned() }),
            Err(Errno::CONNREFUSED | Errno::NOENT) => {}
            Err(errno) => return Err(failed("ask who is on")(errno)),
        },
    }
    // A name that only this process uses, in the same directory, as `rename` needs it.
    let temporary = OsString::from(format!(".agentd-{}.sock", std::process::id()));
    match place.remove(&temporary) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(failed("clear the way for")(errno)),
    }
    let address_of = |name: &OsStr| {
        place.address(name).map_err(|errno| match errno {
            Errno::NAMETOOLONG => BindError::TooLong { path: path.to_owned() },
            errno => failed("name")(errno),
        })
    };
    // The kernel would rename to a name that no client could put into an address.
    address_of(&place.name)?;
    let address = address_of(&temporary)?;
    let fd = new_socket().map_err(failed("make a socket for"))?;
    bind_address(&fd, &address).map_err(failed("bind"))?;
    let stat = place.open_up(&fd, &temporary, mode, group).map_err(|errno| {
        let _ = place.remove(&temporary);
        failed("set up")(errno)
    })?;
    let inner = UnixListener::from_std(fd.into()).map_err(|source| BindError::Io {
        what: "listen on",
        path: path.to_owned(),
        source,
    })?;
    Ok(Listener { inner, place: Some(Bound { place, stat }) })
}

/// Connects without waiting: `AGAIN` where the backlog is full.
pub(crate) fn connect_now(path: &Path) -> Result<UnixStream, Errno> {
    let fd = Place::of(path)?.connect()?;
    UnixStream::from_std(fd.into()).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// A name in a directory that is held open, so that no step looks the path up anew.
#[derive(Debug)]
struct Place {
    dir: OwnedFd,
    parent: PathBuf,
    name: OsString,
}

impl Place {
    fn of(path: &Path) -> Result<Self, Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        #[cfg(target_os = "linux")]
        let access = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        let access = OFlags::RDONLY;
        let dir = openat(CWD, &parent, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, parent, name })
    }

    fn stat(&self) -> Result<Stat, Errno> {
        statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn remove(&self, name: &OsStr) -> Result<(), Errno> {
        unlinkat(&self.dir, name, AtFlags::empty())
    }

    fn connect(&self) -> Result<OwnedFd, Errno> {
        let fd = new_socket()?;
        connect(&fd, &self.address(&self.name)?)?;
        Ok(fd)
    }

    /// Gives the bound socket `temporary` its group and mode, then an ear, then its name.
    fn open_up(&self, fd: &OwnedFd, temporary: &OsStr, mode: u32, group: Option<u32>) -> Result<Stat, Errno> {
        if let Some(group) = group {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            chownat(&self.dir, temporary, None, Some(Gid::from_raw(group)), flags)?;
        }
        // 16 bits on macOS, 32 on Linux.
        let mode = RawMode::try_from(mode).map_err(|_| Errno::INVAL)?;
        chmodat(&self.dir, temporary, Mode::from_raw_mode(mode), AtFlags::empty())?;
        listen(fd, BACKLOG)?;
        renameat(&self.dir, temporary, &self.dir, &self.name)?;
        self.stat()
    }

    /// The address of a name here: its path where that fits into 108 bytes (104 on macOS), else the way through the
    /// open directory.
    fn address(&self, name: &OsStr) -> Result<SocketAddrUnix, Errno> {
        match SocketAddrUnix::new(self.parent.join(name)) {
            #[cfg(target_os = "linux")]
            Err(Errno::NAMETOOLONG) => {
                use std::os::fd::AsRawFd as _;
                let through = PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()));
                SocketAddrUnix::new(through.join(name))
            }
            other => other,
        }
    }
}

/// The process that listens at the other end.
#[cfg(target_os = "linux")]
fn listener_of(connection: &OwnedFd) -> Option<u32> {
    let credentials = rustix::net::sockopt::socket_peercred(connection).ok()?;
    u32::try_from(credentials.pid.as_raw_nonzero().get()).ok()
}

#[cfg(not(target_os = "linux"))]
fn listener_of(_: &OwnedFd) -> Option<u32> {
    None
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let fd = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}
