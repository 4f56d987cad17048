//! One look at everything: policies, the sources they name, the store's own, and the bundle as it is on disk.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trust_core::Fingerprint;
use trust_core::plan::{Observation, StoreState};
use trust_core::policy::{self, Effective, PolicyReading, PolicyState, Warning};
use trust_core::source::{Failure, Reading, Snapshot, SourceId, SourceKind};
use trust_formats::certificates;
use trust_formats::policy as policy_xml;

use crate::publish::BUNDLE_MODE;
use crate::read::{FileBytes, ReadError, Rules, list_directory, read_file};
use crate::watch::directories_to_watch;

/// Where things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePaths {
    /// `cainfo.pem`.
    pub bootstrap: PathBuf,
    /// `cainfo-ss.pem`.
    pub site: PathBuf,
    /// `cainfo-merged.pem`.
    pub merged: PathBuf,
    /// The directory of policies.
    pub policies: PathBuf,
    /// The state directory.
    pub state: PathBuf,
}

/// Reads files for a look. The real one is [`SafeReader`].
pub trait Reader: Send + Sync {
    /// A whole file.
    ///
    /// # Errors
    /// [`ReadError`] says what stands in the way and what to do about it.
    fn file(&self, path: &Path) -> Result<FileBytes, ReadError>;

    /// The files of a directory in name order.
    ///
    /// # Errors
    /// As [`Self::file`].
    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, ReadError>;

    /// The reader, for one look, of what policies name: that may lie anywhere.
    fn named(&self) -> Box<dyn Reader + '_>;
}

/// Reads everything in this process: see [`crate::read`].
#[derive(Debug, Clone)]
pub struct SafeReader {
    /// What is accepted.
    pub rules: Rules,
}

impl Reader for SafeReader {
    fn file(&self, path: &Path) -> Result<FileBytes, ReadError> {
        read_file(path, &self.rules)
    }

    fn directory(&self, path: &Path) -> Result<Vec<PathBuf>, ReadError> {
        list_directory(path, &self.rules)
    }

    fn named(&self) -> Box<dyn Reader + '_> {
        Box::new(self.clone())
    }
}

/// What a look gave, and the directories whose changes make the next one worth while.
#[derive(Debug)]
pub struct Look {
    /// What was found.
    pub observation: Observation,
    /// Directories to watch.
    pub watch: BTreeSet<PathBuf>,
}

/// Looks at everything. `known` is what was known before: what cannot be read now stays as it was.
#[must_use]
pub fn look(
    reader: &dyn Reader,
    paths: &StorePaths,
    limits: &certificates::Limits,
    known: &StoreState,
) -> Look {
    let named = reader.named();
    let mut look =
        Looking { reader, named: &*named, limits, known, watch: BTreeSet::new(), warnings: Vec::new() };
    look.watch_path(&paths.merged, &[]);
    let policies = look.policies(&paths.policies);
    let effective = policy::combine(&policies);
    let mut sources = vec![
        look.source(SourceKind::Bootstrap, paths.bootstrap.clone()),
        look.source(SourceKind::Site, paths.site.clone()),
    ];
    for path in look.named_files(&effective) {
        if !sources.iter().any(|(id, _)| id.path == path) {
            sources.push(look.source(SourceKind::Policy, path));
        }
    }
    let observation = Observation {
        policies,
        effective,
        sources,
        bundle: published_digest(&paths.merged),
        warnings: look.warnings,
        watch_degraded: false,
    };
    Look { observation, watch: look.watch }
}

struct Looking<'a> {
    reader: &'a dyn Reader,
    named: &'a dyn Reader,
    limits: &'a certificates::Limits,
    known: &'a StoreState,
    watch: BTreeSet<PathBuf>,
    warnings: Vec<Warning>,
}

impl Looking<'_> {
    fn watch_path(&mut self, path: &Path, hops: &[PathBuf]) {
        self.watch.extend(directories_to_watch(path, hops));
    }

    /// The policies in force: `*.xml` of the directory, in name order.
    fn policies(&mut self, directory: &Path) -> Vec<PolicyState> {
        // A file in the directory: so that the directory itself is watched, and its parent for its return.
        self.watch_path(&directory.join("policy.xml"), &[]);
        let files = match self.reader.directory(directory) {
            Ok(files) => files,
            Err(ReadError::Missing { .. }) => Vec::new(),
            Err(error) => return self.keep_policies(directory, &error),
        };
        let is_policy = |path: &PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("xml"));
        let readings = files.into_iter().filter(is_policy).filter_map(|path| self.policy(path)).collect();
        let (states, warnings) = policy::settle(&self.known.policies, readings);
        self.warnings.extend(warnings);
        states
    }

    /// `None` where the file went away since the directory was listed.
    fn policy(&mut self, path: PathBuf) -> Option<PolicyReading> {
        let outcome = match self.reader.file(&path) {
            Ok(file) => {
                self.watch_path(&path, &file.hops);
                self.parse_policy(&path, &file.bytes)
            }
            Err(ReadError::Missing { .. }) => return None,
            Err(error) => Err(failure(&error)),
        };
        Some(PolicyReading { path, outcome })
    }

    fn parse_policy(
        &self,
        path: &Path,
        bytes: &[u8],
    ) -> Result<(Fingerprint, Arc<policy_xml::Policy>), Failure> {
        let sha256 = Fingerprint::of(bytes);
        let same = |state: &&PolicyState| state.path == path && state.sha256 == sha256;
        if let Some(state) = self.known.policies.iter().find(same) {
            return Ok((sha256, Arc::clone(&state.policy)));
        }
        policy_xml::parse(bytes, &policy_xml::Limits::default())
            .map(|policy| (sha256, Arc::new(policy)))
            .map_err(|error| Failure {
                code: error.code().to_owned(),
                message: error.to_string(),
                remedy: "Have the policy sent again, or remove the file if it is not a policy.".to_owned(),
            })
    }

    fn keep_policies(&mut self, directory: &Path, error: &ReadError) -> Vec<PolicyState> {
        let failure = failure(error);
        self.warnings.push(Warning {
            code: "policies-unreadable",
            message: format!(
                "policy directory {}: {}; the policies last read stay in force. {}",
                directory.display(),
                failure.message,
                failure.remedy
            ),
        });
        let keep = |state: &PolicyState| PolicyState { failure: Some(failure.clone()), ..state.clone() };
        self.known.policies.iter().map(keep).collect()
    }

    /// The files that the policies name, in order; of a directory all of its files in name order.
    fn named_files(&mut self, effective: &Effective) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for named in &effective.named {
            if !named.directory {
                files.push(named.path.clone());
                continue;
            }
            let listed = self.named.directory(&named.path);
            if listed.as_ref().err().is_none_or(ReadError::is_watchable) {
                self.watch_path(&named.path.join("certificate.pem"), &[]);
            }
            match listed {
                Ok(found) => files.extend(self.spellable(found)),
                Err(error) => {
                    let failure = failure(&error);
                    self.warnings.push(Warning {
                        code: if error.is_hung() { "source-hung" } else { "policy-directory" },
                        message: format!(
                            "{}:{}: CAPath: {}. {}",
                            named.policy.display(),
                            named.line,
                            failure.message,
                            failure.remedy
                        ),
                    });
                    if !matches!(error, ReadError::Missing { .. }) {
                        files.extend(self.known_files_in(&named.path));
                    }
                }
            }
        }
        files
    }

    /// A directory that cannot be listed now still has the files it had.
    fn known_files_in(&self, directory: &Path) -> Vec<PathBuf> {
        let inside = |state: &&trust_core::source::SourceState| {
            state.id.kind == SourceKind::Policy && state.id.path.parent() == Some(directory)
        };
        self.known.sources.iter().filter(inside).map(|state| state.id.path.clone()).collect()
    }

    /// A name that is not UTF-8 can be written neither in the state nor in JSON.
    fn spellable(&mut self, files: Vec<PathBuf>) -> Vec<PathBuf> {
        let (spellable, other): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|path| path.to_str().is_some());
        self.warnings.extend(other.iter().map(|path| Warning {
            code: "file-name",
            message: format!("{} is ignored: its name is not UTF-8. Rename it", path.display()),
        }));
        spellable
    }

    fn source(&mut self, kind: SourceKind, path: PathBuf) -> (SourceId, Reading) {
        let reader = if kind == SourceKind::Policy { self.named } else { self.reader };
        let reading = match reader.file(&path) {
            Ok(file) => {
                self.watch_path(&path, &file.hops);
                let fresh = file.racy;
                Reading::Read { snapshot: Snapshot::new(file.bytes, *self.limits), fresh }
            }
            Err(error) => {
                // To watch what does not answer would hang as well; the timer comes back to it.
                if error.is_watchable() {
                    self.watch_path(&path, &[]);
                }
                // Where a link leads nowhere: what is to appear appears there.
                if let Some(component) = error.component() {
                    self.watch_path(component, &[]);
                }
                match error {
                    ReadError::Missing { .. } => Reading::Missing,
                    error => Reading::Failed(failure(&error)),
                }
            }
        };
        (SourceId { kind, path }, reading)
    }
}

fn failure(error: &ReadError) -> Failure {
    Failure { code: error.code().to_owned(), message: error.to_string(), remedy: error.remedy() }
}

/// SHA-256 of the bundle on disk if it is as we publish it: a regular file with the right mode, no link. Anything else
/// is replaced by the next publication, so why it is not is not asked.
#[must_use]
pub fn published_digest(path: &Path) -> Option<Fingerprint> {
    /// Twice what the sources together can hold at the default limits.
    const MAX_BYTES: u64 = 128 << 20;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let permissions = metadata.mode() & 0o7777;
    if !metadata.is_file() || metadata.len() > MAX_BYTES || permissions != BUNDLE_MODE {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()? + 1);
    file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(Fingerprint::of(&bytes))
}
