//! The scratch endpoint: a directory with the default layout under it, made anew each time.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use agent_config::Settings;
use agent_runtime::lock::{Lock, LockError};
use agent_runtime::publish::{BUNDLE_MODE, RealFs, publish};

use crate::failure::Failure;

/// A directory of ours, and where the default layout puts things under it.
#[derive(Debug)]
pub(super) struct Scratch {
    root: PathBuf,
    settings: Settings,
}

impl Scratch {
    /// Makes it: in this directory, which must be empty, missing or an earlier playground; else in a fresh one.
    pub(super) fn make(directory: Option<&Path>) -> Result<Self, Failure> {
        let root = match directory {
            Some(directory) => take(directory)?,
            None => fresh().map_err(|error| cannot_make(&std::env::temp_dir(), &error))?,
        };
        // The policy names a file by its path, and XML is text.
        let text = root.to_str().filter(|text| !text.contains(char::is_control));
        if text.is_none() {
            let message = format!("{} is no text: choose another directory", root.display());
            return Err(Failure::new(Failure::USAGE, message));
        }
        let scratch = Self { settings: load(&root)?, root };
        scratch.lay_out().map_err(|error| cannot_make(&scratch.root, &error))?;
        Ok(scratch)
    }

    /// Writes the configuration with the one server.
    pub(super) fn configure(&mut self, url: &str) -> Result<(), Failure> {
        let text = format!(
            "# Made by agentd --playground.\n\
             \n\
             [connect]\n\
             check-interval = \"2s\"\n\
             \n\
             [[server]]\n\
             name = \"playground\"\n\
             url = \"{url}\"\n"
        );
        write(&self.config(), text.as_bytes()).map_err(|error| Failure::new(Failure::FAILED, error))?;
        self.settings = load(&self.root)?;
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn config(&self) -> PathBuf {
        agent_config::default_config_path(Some(&self.root))
    }

    /// The file that the policy names as CAInfo.
    pub(super) fn site_ca(&self) -> PathBuf {
        self.root.join(SITE_DIRECTORY).join(SITE_CA)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join(LOG)
    }

    /// Who makes this file asks for the next act.
    pub(super) fn switch(&self) -> PathBuf {
        self.root.join(SWITCH)
    }

    fn lay_out(&self) -> io::Result<()> {
        let store = &self.settings.store;
        let control = self.settings.control.socket.parent();
        let (config, site) = (self.config(), self.site_ca());
        let files = [config.as_path(), &store.bootstrap, &store.merged, &site].map(Path::parent);
        for directory in files.into_iter().chain([control, Some(&store.policies)]).flatten() {
            make_directories(&self.root, directory)?;
        }
        fs::write(self.root.join(MARK), MARK_TEXT)
    }
}

/// Writes a file of the endpoint as the daemon writes its own: whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    publish(&RealFs, path, bytes, BUNDLE_MODE).map_err(|error| error.to_string())
}

fn load(root: &Path) -> Result<Settings, Failure> {
    agent_runtime::config::load(None, Some(root)).map_err(|error| Failure::new(Failure::USAGE, error))
}

/// A directory that nobody had before.
fn fresh() -> io::Result<PathBuf> {
    let base = std::env::temp_dir();
    for number in 1..=ATTEMPTS {
        let path = base.join(format!("agentd-playground-{}-{number}", std::process::id()));
        match make_directory(&path) {
            Ok(()) => return fs::canonicalize(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The directory that was named, empty.
fn take(directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| cannot_make(directory, &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let root = fs::canonicalize(directory).map_err(failed)?;
    let is_empty = fs::read_dir(&root).map_err(failed)?.next().is_none();
    if is_empty {
        fs::set_permissions(&root, fs::Permissions::from_mode(DIRECTORY_MODE)).map_err(failed)?;
        return Ok(root);
    }
    let is_ours = fs::symlink_metadata(root.join(MARK)).is_ok_and(|metadata| metadata.is_file());
    if !is_ours {
        let message =
            format!("{} is not empty and is no playground: choose another directory", root.display());
        return Err(Failure::new(Failure::USAGE, message));
    }
    clear(&root)?;
    Ok(root)
}

/// Empties an earlier playground, unless a daemon still runs on it.
fn clear(root: &Path) -> Result<(), Failure> {
    // Its configuration may be anything by now; where its lock is does not depend on that.
    let state = Settings::resolve(&agent_config::Fragment::default(), Some(root))
        .map_err(|error| Failure::new(Failure::FAILED, error))?
        .store
        .state;
    let lock = state.is_dir().then(|| Lock::acquire(&state)).transpose().map_err(|error| match error {
        LockError::Held { .. } => Failure::new(Failure::CONFLICT, error),
        LockError::Io { ref source, .. } => Failure::new(Failure::code_of(source), &error),
    })?;
    for entry in OWN {
        let path = root.join(entry);
        let removed = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.map_err(|error| cannot_make(&path, &error))?;
    }
    drop(lock);
    Ok(())
}

/// Every directory from the root down to this one.
fn make_directories(root: &Path, directory: &Path) -> io::Result<()> {
    let Ok(below) = directory.strip_prefix(root) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut path = root.to_owned();
    for name in below {
        path.push(name);
        match make_directory(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// With its mode whatever the umask: a directory that others may write to would make its files no sources.
fn make_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(DIRECTORY_MODE))
}

fn cannot_make(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Failure::code_of(error),
        format_args!("cannot make the playground in {}: {error}", path.display()),
    )
}

const DIRECTORY_MODE: u32 = 0o755;
const ATTEMPTS: u32 = 100;
const SITE_DIRECTORY: &str = "srv";
const SITE_CA: &str = "site-ca.pem";
const LOG: &str = "agentd.log";
const SWITCH: &str = "switch";
const MARK: &str = "PLAYGROUND";
const MARK_TEXT: &str =
    "A playground of agentd: made anew by every `agentd --playground` on this directory.\n";

/// What is removed from an earlier playground. What else somebody put there stays.
const OWN: [&str; 7] = ["etc", "var", "run", "Library", SITE_DIRECTORY, LOG, SWITCH];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_have_their_modes() {
        let directory = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::make(Some(&directory.path().join("new"))).unwrap();
        scratch.configure("https://localhost:4433").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(scratch.root()), 0o755);
        assert_eq!(mode(scratch.config().parent().unwrap()), 0o755);
        assert_eq!(mode(&scratch.config()), 0o644);
        assert_eq!(scratch.settings().servers.len(), 1);
    }

    #[test]
    fn an_earlier_playground_is_made_anew_and_keeps_what_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(Some(directory.path())).unwrap();
        let (mine, old) = (directory.path().join("notes"), scratch.settings().store.bootstrap.clone());
        fs::write(&mine, "mine").unwrap();
        fs::write(&old, "old").unwrap();
        Scratch::make(Some(directory.path())).unwrap();
        assert!(mine.exists());
        assert!(!old.exists());
    }

    #[test]
    fn a_playground_in_use_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let scratch = Scratch::make(Some(directory.path())).unwrap();
        let state = &scratch.settings().store.state;
        fs::create_dir(state).unwrap();
        let _lock = Lock::acquire(state).unwrap();
        let failure = Scratch::make(Some(directory.path())).unwrap_err();
        assert!(failure.to_string().contains("is held by"), "{failure}");
        assert!(state.exists());
    }
}
