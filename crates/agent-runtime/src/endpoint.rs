//! One endpoint's store: its files, its state, and the two kinds of job that the engine orders.
//!
//! The daemon runs the jobs beside its loop; `agentctl` without a daemon runs them one after another, under the same
//! lock. What they do is the same.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_management::refresh::{Content, Set};
use jiff::Timestamp;
use trust_core::bundle::Bundle;
use trust_core::engine::{Order, Trigger};
use trust_core::guard::Guard;
use trust_core::history::Generation;
use trust_core::plan::{Settings as TrustSettings, StoreState};
use trust_core::policy::{Effective, Warning};
use trust_core::source::Failure;
use trust_formats::certificates::Limits;
use trust_tls::Pin;

use crate::audit::{Audit, AuditError, End, Entry, verify};
use crate::directory;
use crate::history::{History, Keep};
use crate::lock::{Lock, LockError};
use crate::look::{Leaving, Look, StorePaths, glance, look, policy_in_force};
use crate::management::disk::{Disk, Record};
use crate::memory::Memory;
use crate::publish::{Fs, PublishError, RealFs};
use crate::read::Rules;
use crate::reader::DisposableReader;
use crate::servers::server_key;
use crate::state::{AuditMark, StateError, StateStore};

mod carry;
#[cfg(test)]
mod tests;

/// How long a source must have been quiet before what it lost leaves the store. Longer than the two seconds that tools
/// are known to take between two pieces of one file.
pub const QUIET: Duration = Duration::from_secs(3);

/// The files of one endpoint.
#[derive(Clone)]
pub struct Endpoint {
    paths: StorePaths,
    limits: Limits,
    reader: Arc<DisposableReader>,
    memory: Arc<Memory>,
    files: Arc<dyn Fs>,
    state: StateStore,
    history: History,
    /// Generations whose bundles are in place and that could not be written yet, with their bundles.
    owed: Arc<Mutex<Vec<Owed>>>,
    audit: Audit,
    keep: Keep,
    security: agent_config::Security,
    /// The places of what servers send.
    disk: Disk,
}

/// A generation and the text of its bundle.
type Owed = (Generation, Vec<String>);

/// The state as it was found.
#[derive(Debug)]
pub struct Loaded {
    /// What there is to go on from.
    pub state: StoreState,
    /// Said where it is not the last state.
    pub warning: Option<Warning>,
    /// The last state may be whole and could not be read: it is to be tried again before anything is written.
    pub unread: bool,
}

/// A publication: what `Action::Carry` orders.
#[derive(Debug)]
pub struct Job {
    /// The bundle, and whether its file is to be written.
    pub bundle: Option<(Bundle, bool)>,
    /// The generation that it makes.
    pub generation: Option<Box<Generation>>,
    /// The state.
    pub state: Arc<StoreState>,
    /// What operators ordered.
    pub orders: Vec<(Trigger, Order)>,
    /// When.
    pub at: Timestamp,
}

/// Why an endpoint cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has the lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A directory could not be made.
    #[error("cannot make the directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// There is a state, and it cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
}

impl OpenError {
    /// The same as a failure of a publication.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (code, remedy) = match self {
            Self::Lock(LockError::Held { .. }) => {
                ("store-locked", "end the other agentd or agentctl that works on this store")
            }
            Self::Lock(_) | Self::Directory { .. } => {
                ("store-unwritable", "make the directory writable for the user that agentd runs as")
            }
            Self::State(_) => (
                "state-unreadable",
                "look at the file and at the disk that holds it (dmesg --level=err); the store goes on from its \
                 generations if the file is moved away",
            ),
        };
        Failure { code: code.to_owned(), message: self.to_string(), remedy: remedy.to_owned() }
    }
}

impl Endpoint {
    /// The endpoint that these settings describe. Touches nothing.
    #[must_use]
    pub fn new(settings: &agent_config::Settings, root: Option<&Path>) -> Self {
        let store = &settings.store;
        let paths = StorePaths {
            bootstrap: store.bootstrap.clone(),
            site: store.site.clone(),
            merged: store.merged.clone(),
            policies: store.policies.clone(),
            state: store.state.clone(),
        };
        let sources = &settings.sources;
        let mut trusted_uids = sources.allow_owner.clone();
        // `agentctl` may run as root beside a daemon that does not: the state's owner is who the daemon is. Before its first
        // start it is the owner of the directory that will hold the state, who could make it just as well.
        let state = fs::metadata(&store.state)
            .or_else(|_| fs::metadata(store.state.parent().unwrap_or(&store.state)));
        trusted_uids.extend(state.ok().map(|metadata| metadata.uid()));
        let reader = DisposableReader::new(Rules {
            max_bytes: sources.max_bytes as u64,
            trusted_uids,
            root: root.map(Path::to_owned),
            waived: sources.trusted_paths.clone(),
            refuse: vec![store.merged.clone(), store.state.clone()],
            confidential: false,
        });
        Self {
            state: StateStore::new(paths.state.clone(), paths.merged.clone()),
            history: History::new(&paths.state),
            owed: Arc::default(),
            audit: Audit::new(&paths.state),
            keep: Keep { generations: settings.history.generations, max_age: settings.history.max_age },
            limits: limits(settings),
            reader: Arc::new(reader),
            memory: Arc::default(),
            files: Arc::new(RealFs),
            security: settings.security.clone(),
            disk: Disk::new(settings),
            paths,
        }
    }

    /// The same under other settings. What is known of the state beyond its files stays known: generations that are still
    /// to be written, and where the record of changes ends.
    #[must_use]
    pub fn reloaded(&self, settings: &agent_config::Settings, root: Option<&Path>) -> Self {
        let new = Self::new(settings, root);
        if new.paths.state != self.paths.state {
            return new;
        }
        Self { state: self.state.clone(), owed: Arc::clone(&self.owed), ..new }
    }

    /// Where its files are.
    #[must_use]
    pub fn paths(&self) -> &StorePaths {
        &self.paths
    }

    /// What is accepted as a source.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.reader.rules
    }

    /// What a source may hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The file system that is written to.
    #[must_use]
    pub fn files(&self) -> Arc<dyn Fs> {
        Arc::clone(&self.files)
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &StateStore {
        &self.state
    }

    /// The generations of the store.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Makes the directories that are missing and takes the lock: nobody else writes the store until it is dropped.
    ///
    /// # Errors
    /// [`OpenError`] with what stands in the way.
    pub fn open(&self) -> Result<Lock, OpenError> {
        for (path, mode) in [
            (self.paths.merged.parent(), 0o755),
            (Some(self.paths.policies.as_path()), 0o755),
            (Some(self.paths.state.as_path()), 0o700),
            (Some(self.paths.state.join("snapshots").as_path()), 0o700),
            (Some(self.paths.state.join("generations").as_path()), 0o700),
        ] {
            if let Some(path) = path {
                make_directory(path, mode)?;
            }
        }
        let lock = Lock::acquire(&self.paths.state)?;
        // Before anything is concluded from a state that only could not be read at this moment.
        self.state.check_readable()?;
        if let Err(error) = self.disk.recover(&*self.files) {
            tracing::error!(code = error.code(), remedy = %error.remedy(), "policies of a server are not all in place: {error}");
        }
        Ok(lock)
    }

    /// Whether this user may read the state.
    ///
    /// # Errors
    /// Why not. A state that is not there yet is no error.
    pub fn may_read_state(&self) -> io::Result<()> {
        match uninterrupted(|| fs::read_dir(&self.paths.state)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads the state. Where it cannot be used, the state before it counts, else the latest generation, else the sources;
    /// which is said. Nothing on disk is touched.
    #[must_use]
    pub fn load(&self) -> Loaded {
        let (state, warning, error) = self.load_or_recover();
        Loaded { state, warning, unread: error.as_ref().is_some_and(StateError::may_pass) }
    }

    /// The same for who holds the lock: a state that will never be of use is put aside.
    #[must_use]
    pub fn load_to_write(&self, _lock: &Lock) -> Loaded {
        let (state, warning, error) = self.load_or_recover();
        let unread = error.as_ref().is_some_and(StateError::may_pass);
        self.mend_audit(&state);
        let warning = match warning {
            // What cannot be read now may be read by the next life, and `save` does not write over it.
            Some(warning) if error.is_some() && !unread => Some(self.set_aside(&warning)),
            warning => warning,
        };
        Loaded { state, warning, unread }
    }

    fn load_or_recover(&self) -> (StoreState, Option<Warning>, Option<StateError>) {
        match self.state.load() {
            Ok(Some(state)) => (state, None, None),
            Ok(None) => match self.history.recover() {
                Some(state) => {
                    let message = format!(
                        "there is no state in {}, and there are generations of the store: it goes on from generation {}",
                        self.paths.state.display(),
                        state.generation
                    );
                    (state, Some(Warning { code: "state-unusable", message }), None)
                }
                None => (StoreState::default(), None, None),
            },
            Err(error) => {
                let (state, from) = if let Some(state) = self.state.load_previous() {
                    (state, "the state before it is used".to_owned())
                } else if let Some(state) = self.history.recover() {
                    let from = format!("it goes on from generation {}", state.generation);
                    (state, from)
                } else {
                    (StoreState::default(), "the store is made anew from its sources".to_owned())
                };
                let warning = Warning { code: "state-unusable", message: format!("{error}; {from}") };
                (state, Some(warning), Some(error))
            }
        }
    }

    fn set_aside(&self, warning: &Warning) -> Warning {
        let aside = match self.state.set_aside() {
            Ok(path) => format!("it was put aside as {}", path.display()),
            Err(error) => format!("it could not be put aside: {error}"),
        };
        Warning { code: warning.code, message: format!("{}; {aside}", warning.message) }
    }

    /// Looks at policies, sources and the bundle. Blocks on files.
    #[must_use]
    pub fn look(&self, known: &StoreState) -> Look {
        self.with_warnings(look(&*self.reader, &self.memory, &self.paths, &self.limits, known))
    }

    /// The same where everything is known to be as it was; else `None`. Reads nothing and waits for nothing.
    #[must_use]
    pub fn glance(&self, known: &StoreState) -> Option<Look> {
        glance(&self.memory, &self.paths, &self.limits, known).map(|look| self.with_warnings(look))
    }

    /// What the policies say, for who has no use for the sources.
    #[must_use]
    pub fn policy(&self) -> Effective {
        policy_in_force(&*self.reader, &self.paths, &self.limits)
    }

    fn with_warnings(&self, mut look: Look) -> Look {
        let said = verification_warnings(&look.observation.effective, &self.security);
        look.observation.warnings.extend(said);
        look
    }

    /// An event causes the next look, which believes what only a timer's could find otherwise.
    pub(crate) fn hinted(&self) {
        self.memory.hint();
    }

    /// Starts what will read the files that policies name, for a look that is on its way and will need it.
    pub(crate) fn start_reader(&self) {
        self.reader.start_ahead();
    }

    /// No look came after that.
    pub(crate) fn dismiss_reader(&self) -> Leaving {
        self.reader.dismiss_ahead()
    }

    /// A timer does.
    pub(crate) fn suspects(&self) {
        self.memory.suspect();
    }

    /// The next look reads every file, whatever its times say.
    pub fn read_all_next(&self) {
        self.memory.forget();
    }

    /// The record of changes.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Said while the record of changes lacks something.
    #[must_use]
    pub fn audit_warning(&self) -> Option<Warning> {
        let why = self.state.audit().and_then(|mark| mark.behind)?;
        // Made up for since, and no state was saved after it.
        let last = self.history.list().first().map_or(0, |generation| generation.number);
        let whole = verify(&self.audit, &[], None).is_ok_and(|report| report.end.generation >= last);
        if whole {
            return None;
        }
        let message = format!("the record of changes could not be written: {why}. The store is not affected");
        Some(Warning { code: "audit-failed", message })
    }

    /// Writes down what a job did or orders. Never holds it up.
    fn note(&self, job: &Job) {
        if job.orders.is_empty() && job.generation.is_none() {
            return;
        }
        let orders = job.orders.iter().map(|(by, order)| Entry::ordered(*by, order, job.at));
        self.append(|end| {
            let mut entries: Vec<Entry> = orders.collect();
            if let Some(generation) = &job.generation {
                entries.extend(self.missing(end, generation.number));
                // After a crash the same is published once more.
                let again = end.generation == generation.number
                    && end.sha256.as_deref() == Some(generation.sha256.to_string().as_str());
                entries.extend((!again).then(|| Entry::published(generation)));
            }
            entries
        });
    }

    /// Writes down that a server's policies were taken.
    pub fn record_policies(&self, set: &Set, record: &Record, at: Timestamp) {
        let names = |contents: &[Content]| contents.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let written = [names(&set.anchors), names(&set.policies)].concat();
        let removed = [set.remove_policies.clone(), set.remove_anchors.clone()].concat();
        if !written.is_empty() || !removed.is_empty() {
            let server = record.refreshed_from.as_deref();
            self.append(|_| vec![Entry::policies(at, server, &written, &removed)]);
        }
    }

    /// What a crash or a failure kept out of the record is made up for. Costs nothing where nothing is known to be missing.
    fn mend_audit(&self, state: &StoreState) {
        let whole = self.state.audit().map_or(state.generation == 0, |mark| mark.behind.is_none());
        if !whole {
            self.append(|end| self.missing(end, state.generation + 1));
        }
    }

    /// The generations before `number` that the record does not have.
    fn missing(&self, end: &End, number: u64) -> Vec<Entry> {
        if end.generation + 1 >= number {
            return Vec::new();
        }
        let mut kept = self.history.list();
        kept.retain(|generation| generation.number > end.generation && generation.number < number);
        kept.iter().rev().map(Entry::recovered).collect()
    }

    fn append(&self, entries: impl FnOnce(&End) -> Vec<Entry>) {
        match self.audit.append(entries) {
            Ok(end) => {
                tracing::debug!(seq = end.seq, head = %end.head, "record of changes");
                self.state.set_audit(AuditMark { seq: end.seq, head: end.head, behind: None });
            }
            Err(error) => self.audit_failed(&error),
        }
    }

    fn audit_failed(&self, error: &AuditError) {
        tracing::warn!(code = "audit-failed", %error, "a change is not in the record of changes");
        let mark = self.state.audit().unwrap_or_default();
        self.state.set_audit(AuditMark { behind: Some(error.to_string()), ..mark });
    }

    /// The settings that decide what is trusted.
    #[must_use]
    pub fn trust_settings(settings: &agent_config::Settings) -> TrustSettings {
        TrustSettings {
            distrusted: settings.distrust.fingerprints.clone(),
            limits: limits(settings),
            quiet: QUIET,
            poll: settings.watch.poll_interval,
            degraded_poll: settings.watch.degraded_poll_interval,
            guard: Guard {
                enabled: settings.guard.enabled,
                servers: settings.servers.iter().map(server_key).collect(),
                retain_for: settings.guard.retain_for,
                archive: settings.guard.archive,
            },
        }
    }
}

/// What comes of the policies' switches and pins where it is not what they say, or weaker than it should be.
fn verification_warnings(effective: &Effective, security: &agent_config::Security) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (verify, allowed, attribute, key) in [
        (
            effective.verify_peer,
            security.allow_policy_to_skip_peer,
            "SSLVerifyPeer",
            "allow-policy-to-skip-peer",
        ),
        (
            effective.verify_host,
            security.allow_policy_to_skip_host,
            "SSLVerifyHost",
            "allow-policy-to-skip-host",
        ),
    ] {
        let (code, what) = match (verify, allowed) {
            (true, _) => continue,
            (false, true) => (
                "verification-off",
                format!("and {key} allows it: connections are verified less than they could be"),
            ),
            (false, false) => {
                ("policy-switch-refused", format!("which {key} does not allow: it is verified all the same"))
            }
        };
        warnings.push(Warning { code, message: format!("the policies switch {attribute} off, {what}") });
    }
    for error in effective.pins.iter().filter_map(|pin| Pin::parse(pin).err()) {
        warnings.push(Warning {
            code: "policy-pin",
            message: format!(
                "SSLNSPublicHttpsCertFingerprint of a policy is no fingerprint and is passed over: {error}. Have the policy \
                 corrected"
            ),
        });
    }
    warnings
}

fn limits(settings: &agent_config::Settings) -> Limits {
    let sources = &settings.sources;
    Limits { max_bytes: sources.max_bytes, max_certificates: sources.max_certificates, ..Limits::default() }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), OpenError> {
    directory::make(path, mode).map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}

fn failure(error: &PublishError) -> Failure {
    Failure { code: error.code().to_owned(), message: error.to_string(), remedy: error.remedy() }
}

/// A call that a signal interrupted is made again.
fn uninterrupted<T>(call: impl Fn() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => break done,
        }
    }
}
