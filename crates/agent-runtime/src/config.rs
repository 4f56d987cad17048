//! Reading the configuration from disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_config::{Fragment, Settings, default_config_path, parse};

use crate::read::{ReadError, Rules, read_file};

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
    /// It waives rules on who may decide what is trusted, and is not root's alone itself.
    #[error(
        "the configuration {} sets trusted-paths or allow-owner in [sources], which decide whose files are believed, but \
         others than root could have written it: {source}. To mend it: {}", path.display(), mend(source)
    )]
    Waiver {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadError,
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
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => String::new(),
        Err(source) => return Err(ConfigError::Io { path, source }),
    };
    let settings = settings(&text, &path, root)?;
    let sources = &settings.sources;
    if sources.trusted_paths.is_empty() && sources.allow_owner.is_empty() {
        return Ok(settings);
    }
    // Once more, now with a judge: what was judged is what counts.
    let judged = judged(&path, root).map_err(|source| ConfigError::Waiver { path: path.clone(), source })?;
    if judged == text { Ok(settings) } else { self::settings(&judged, &path, root) }
}

fn settings(text: &str, path: &Path, root: Option<&Path>) -> Result<Settings, ConfigError> {
    let fragment = if text.is_empty() { Ok(Fragment::default()) } else { parse(text, path) };
    fragment.and_then(|fragment| Settings::resolve(&fragment, root)).map_err(ConfigError::Content)
}

/// The text of a configuration that root or this user alone can have written, for they own it and every directory on the
/// way to it, and nobody else may write there.
fn judged(path: &Path, root: Option<&Path>) -> Result<String, ReadError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let rules = Rules {
        max_bytes: MAX_BYTES,
        root: root.map(Path::to_owned),
        confidential: true,
        ..Rules::default()
    };
    let file = read_file(&path, &rules)?;
    String::from_utf8(file.bytes).map_err(|_| ReadError::io(&path, rustix::io::Errno::ILSEQ))
}

/// Of whose files are believed this file cannot say that its own is.
fn mend(error: &ReadError) -> String {
    match error {
        ReadError::Owner { component, .. } => format!("chown root {}", component.display()),
        error => error.remedy(),
    }
}

/// Thousands of servers.
const MAX_BYTES: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const WAIVING: &str = "[sources]\ntrusted-paths = [\"/opt\"]\n";

    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("root");
        let config = default_config_path(Some(&root));
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        (scratch, config)
    }

    fn loaded(config: &Path, root: &Path) -> Result<Settings, ConfigError> {
        load(None, Some(root)).inspect(|settings| {
            assert_eq!(settings.sources.trusted_paths.is_empty(), !config.exists());
        })
    }

    #[test]
    fn rules_are_waived_by_a_file_of_roots_alone() {
        let (scratch, config) = scratch();
        let root = scratch.path().join("root");
        assert!(loaded(&config, &root).is_ok(), "there need not be any");
        fs::write(&config, WAIVING).unwrap();
        // Others need not be able to read it.
        for mode in [0o644, 0o600] {
            fs::set_permissions(&config, fs::Permissions::from_mode(mode)).unwrap();
            assert!(loaded(&config, &root).is_ok());
        }
        for mode in [0o664, 0o646] {
            fs::set_permissions(&config, fs::Permissions::from_mode(mode)).unwrap();
            let error = loaded(&config, &root).unwrap_err();
            assert!(matches!(&error, ConfigError::Waiver { .. }), "{error}");
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
        // Without a waiver nothing is asked of it.
        fs::write(&config, "[watch]\nsettle = \"6ms\"\n").unwrap();
        assert!(load(None, Some(&root)).is_ok());
    }

    #[test]
    fn nor_in_a_directory_or_behind_a_link_of_others() {
        let (scratch, config) = scratch();
        let root = scratch.path().join("root");
        let open = root.join("open");
        fs::create_dir(&open).unwrap();
        fs::write(open.join("agentd.toml"), WAIVING).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let error = load(Some(&open.join("agentd.toml")), Some(&root)).unwrap_err();
        assert!(matches!(error, ConfigError::Waiver { .. }), "{error}");
        symlink(open.join("agentd.toml"), &config).unwrap();
        let error = load(None, Some(&root)).unwrap_err();
        assert!(matches!(error, ConfigError::Waiver { .. }), "{error}");
    }
}
