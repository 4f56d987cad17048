//! Reading the configuration from disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_config::{Fragment, Settings, default_config_path, parse};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It says something wrong.
    #[error("{}", .0.detail())]
    Content(agent_config::Error),
}

/// Reads and checks the configuration: `file` where one is named, else the default one under `root`. The default one
/// may be missing, for everything has a default; one that is named may not.
///
/// # Errors
/// [`ConfigError`]
pub fn load(file: Option<&Path>, root: Option<&Path>) -> Result<Settings, ConfigError> {
    let path = file.map_or_else(|| default_config_path(root), Path::to_owned);
    let fragment = match fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path).map_err(ConfigError::Content)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Fragment::default(),
        Err(source) => return Err(ConfigError::Io { path, source }),
    };
    Settings::resolve(&fragment, root).map_err(ConfigError::Content)
}
