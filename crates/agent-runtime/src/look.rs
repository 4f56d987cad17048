//! One look at everything: policies, the sources they name, the store's own, and the bundle as it is on disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use trust_core::Fingerprint;
use trust_core::parallel;
use trust_core::plan::{Observation, StoreState};
use trust_core::policy::{self, Effective, Named, PolicyReading, PolicyState, Warning};
use trust_core::pool::{Parsed, Pool};
use trust_core::source::{Condition, Content, Failure, Reading, Scanned, Snapshot, SourceId, SourceKind};
use trust_formats::certificates;
use trust_formats::policy as policy_xml;

use crate::memory::{Memory, Recollection};
use crate::read::{FileBytes, Listing, ReadError, Rules, Spare, list_directory, read_into};
use crate::watch::{Way, directories_to_watch};

mod published;

pub use published::published_digest;
pub(crate) use published::read_published;

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
    /// A whole file, read into what is spare.
    ///
    /// # Errors
    /// [`ReadError`] says what stands in the way and what to do about it.
    fn file(&self, path: &Path, spare: &Spare) -> Result<FileBytes, ReadError>;

    /// The files of a directory in name order.
    ///
    /// # Errors
    /// As [`Self::file`].
    fn directory(&self, path: &Path) -> Result<Listing, ReadError>;

    /// The reader, for one look, of what policies name: that may lie anywhere.
    fn named(&self) -> Box<dyn Reader + '_>;

    /// It will be asked for these soon: first for the directories, then for files, each in this order.
    fn prepare(&self, _wanted: &[&Named]) {}

    /// It will be asked for nothing more; what has yet to end.
    fn leave(&self) -> Leaving {
        Leaving::default()
    }

    /// The published bundle and its SHA-256, where it is as we publish it.
    fn bundle(&self, path: &Path) -> Option<(File, Fingerprint)> {
        read_published(path)
    }
}

/// Reads nothing, and says whether it should have.
#[derive(Debug, Default)]
struct Unread(AtomicBool);

impl Unread {
    fn asked(&self, path: &Path) -> ReadError {
        self.0.store(true, Ordering::Relaxed);
        ReadError::Postponed { path: path.to_owned() }
    }
}

impl Reader for Unread {
    fn file(&self, path: &Path, _spare: &Spare) -> Result<FileBytes, ReadError> {
        Err(self.asked(path))
    }

    fn directory(&self, path: &Path) -> Result<Listing, ReadError> {
        Err(self.asked(path))
    }

    fn named(&self) -> Box<dyn Reader + '_> {
        Box::new(Asking(self))
    }

    fn bundle(&self, path: &Path) -> Option<(File, Fingerprint)> {
        let _unread = self.asked(path);
        None
    }
}

/// The same reader behind a reference.
struct Asking<'a>(&'a Unread);

impl Reader for Asking<'_> {
    fn file(&self, path: &Path, spare: &Spare) -> Result<FileBytes, ReadError> {
        self.0.file(path, spare)
    }

    fn directory(&self, path: &Path) -> Result<Listing, ReadError> {
        self.0.directory(path)
    }

    fn named(&self) -> Box<dyn Reader + '_> {
        self.0.named()
    }
}

/// Reads everything in this process: see [`crate::read`].
#[derive(Debug, Clone)]
pub struct SafeReader {
    /// What is accepted.
    pub rules: Rules,
}

impl Reader for SafeReader {
    fn file(&self, path: &Path, spare: &Spare) -> Result<FileBytes, ReadError> {
        read_into(path, &self.rules, spare)
    }

    fn directory(&self, path: &Path) -> Result<Listing, ReadError> {
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
    /// How the sources are come to; without those that do not answer.
    pub ways: BTreeMap<PathBuf, Way>,
    /// What has yet to end of what read them.
    pub(crate) leaving: Leaving,
}

impl Look {
    /// What there is to look at where it changes: policies, sources, and the directories on the way to them. And whether
    /// a child will be needed then; a policy that changes may name another file.
    pub(crate) fn places(&self) -> HashMap<PathBuf, bool> {
        let is_named = |id: &SourceId| id.kind == SourceKind::Policy;
        let any_named = self.observation.sources.iter().any(|(id, _)| is_named(id));
        let policies = self.observation.policies.iter().map(|policy| (policy.path.clone(), any_named));
        let mut places: HashMap<PathBuf, bool> = policies.collect();
        for (id, _) in &self.observation.sources {
            let ways = self.ways.get(&id.path).into_iter();
            let on_the_way = ways.flat_map(|way| way.directories.iter().chain([&way.file]));
            for path in on_the_way.chain([&id.path]) {
                *places.entry(path.clone()).or_default() |= is_named(id);
            }
        }
        places
    }
}

/// Something that takes a moment to end, which is when this is dropped.
#[derive(Default)]
pub struct Leaving(Option<Box<dyn Send>>);

impl Leaving {
    /// Who ends when this is dropped.
    pub(crate) fn of(who: impl Send + 'static) -> Self {
        Self(Some(Box::new(who)))
    }

    /// Whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Leaving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving").field("is_empty", &self.is_empty()).finish()
    }
}

/// Looks at everything. `known` is what was known before: what cannot be read now stays as it was. What `memory` knows
/// to be as it was is not read.
#[must_use]
pub(crate) fn look(
    reader: &dyn Reader,
    memory: &Memory,
    paths: &StorePaths,
    limits: &certificates::Limits,
    known: &StoreState,
) -> Look {
    look_over(reader, memory.recall(SystemTime::now()), paths, limits, known).0
}

/// The same where nothing needs to be read, by a few `statx` that never wait; else `None`.
#[must_use]
pub(crate) fn glance(
    memory: &Memory,
    paths: &StorePaths,
    limits: &certificates::Limits,
    known: &StoreState,
) -> Option<Look> {
    let reader = Unread::default();
    let (look, memory) = look_over(&reader, memory.recall(SystemTime::now()), paths, limits, known);
    if reader.0.into_inner() {
        memory.put_back();
        return None;
    }
    Some(look)
}

fn look_over<'a>(
    reader: &dyn Reader,
    memory: Recollection<'a>,
    paths: &StorePaths,
    limits: &certificates::Limits,
    known: &StoreState,
) -> (Look, Recollection<'a>) {
    let named = reader.named();
    let mut look = Looking::new(reader, &*named, memory, limits, known);
    look.watch_path(&paths.merged, &[]);
    let policies = look.policies(&paths.policies);
    let effective = policy::combine(&policies);
    // What reads them starts, and reads the first of them, while the store's own sources are read and parsed.
    look.named.prepare(&effective.named.iter().filter(|named| look.wants(named)).collect::<Vec<_>>());
    let pool = Pool::of(known);
    let (gathered, parsed) =
        parallel::beside(|ders| pool.certificates(ders), |parse| look.sources(paths, &effective, parse));
    let mut parsed = parsed.into_iter();
    let reading = |(id, gathered): (SourceId, Gathered)| (id, gathered.reading(&mut parsed));
    let sources = gathered.into_iter().map(reading).collect();
    let observation = Observation {
        policies,
        effective,
        sources,
        bundle: look.bundle(&paths.merged),
        warnings: look.warnings,
        watch_degraded: false,
    };
    let leaving = named.leave();
    (Look { observation, watch: look.watch, ways: look.ways, leaving }, look.memory)
}

/// What the policies say, without a look at any source.
#[must_use]
pub(crate) fn policy_in_force(
    reader: &dyn Reader,
    paths: &StorePaths,
    limits: &certificates::Limits,
) -> Effective {
    let (known, memory) = (StoreState::default(), Memory::default());
    let mut look = Looking::new(reader, reader, memory.recall(SystemTime::now()), limits, &known);
    policy::combine(&look.policies(&paths.policies))
}

struct Looking<'a, 'm> {
    reader: &'a dyn Reader,
    named: &'a dyn Reader,
    memory: Recollection<'m>,
    limits: &'a certificates::Limits,
    known: &'a StoreState,
    watch: BTreeSet<PathBuf>,
    ways: BTreeMap<PathBuf, Way>,
    warnings: Vec<Warning>,
    /// Given back at the end of the look: what is given back in its middle leaves holes between what stays.
    spare: Spare,
}

impl<'a, 'm> Looking<'a, 'm> {
    fn new(
        reader: &'a dyn Reader,
        named: &'a dyn Reader,
        memory: Recollection<'m>,
        limits: &'a certificates::Limits,
        known: &'a StoreState,
    ) -> Self {
        let (watch, ways, warnings) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let spare = Spare::default();
        Self { reader, named, memory, limits, known, watch, ways, warnings, spare }
    }

    fn watch_path(&mut self, path: &Path, hops: &[PathBuf]) {
        self.watch.extend(directories_to_watch(path, hops));
    }

    /// A source, and the way to it as far as that is known.
    fn watch_source(&mut self, path: &Path, hops: &[PathBuf], file: &Path) {
        let directories = directories_to_watch(path, hops);
        self.watch.extend(directories.iter().cloned());
        self.ways.insert(path.to_owned(), Way { directories, file: file.to_owned() });
    }

    /// A source that is not to be had because of something on the way.
    fn watch_absent(&mut self, path: &Path, component: &Path) {
        let hops: Vec<PathBuf> = component.parent().map(Path::to_owned).into_iter().collect();
        self.watch_source(path, &hops, component);
    }

    /// The policies in force: `*.xml` of the directory, in name order.
    fn policies(&mut self, directory: &Path) -> Vec<PolicyState> {
        // A file in the directory: so that the directory itself is watched, and its parent for its return.
        self.watch_path(&directory.join("policy.xml"), &[]);
        let files = match self.list(self.reader, directory) {
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

    fn list(&mut self, reader: &dyn Reader, directory: &Path) -> Result<Vec<PathBuf>, ReadError> {
        if let Some(files) = self.memory.directory(directory) {
            return Ok(files);
        }
        let listing = reader.directory(directory)?;
        self.memory.note_directory(directory, &listing);
        Ok(listing.files)
    }

    /// `None` where the file went away since the directory was listed.
    fn policy(&mut self, path: PathBuf) -> Option<PolicyReading> {
        if let Some(file) = self.memory.file(&path)
            && let Some(policy) = self.known_policy(&path, file.sha256)
        {
            self.watch_path(&path, &file.hops);
            return Some(PolicyReading { path, outcome: Ok((file.sha256, policy)) });
        }
        let outcome = match self.reader.file(&path, &self.spare) {
            Ok(file) => {
                self.watch_path(&path, &file.hops);
                let sha256 = Fingerprint::of(&file.bytes);
                self.memory.note_file(&path, &file, sha256);
                self.parse_policy(&path, sha256, &file.bytes)
            }
            Err(ReadError::Missing { .. }) => return None,
            Err(error) => Err(failure(&error)),
        };
        Some(PolicyReading { path, outcome })
    }

    fn known_policy(&self, path: &Path, sha256: Fingerprint) -> Option<Arc<policy_xml::Policy>> {
        let same = |state: &&PolicyState| state.path == path && state.sha256 == sha256;
        self.known.policies.iter().find(same).map(|state| Arc::clone(&state.policy))
    }

    fn parse_policy(
        &self,
        path: &Path,
        sha256: Fingerprint,
        bytes: &[u8],
    ) -> Result<(Fingerprint, Arc<policy_xml::Policy>), Failure> {
        if let Some(policy) = self.known_policy(path, sha256) {
            return Ok((sha256, policy));
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

    /// Whether this will have to be read, as far as can be told before.
    fn wants(&mut self, named: &Named) -> bool {
        if named.directory {
            self.memory.directory(&named.path).is_none()
        } else {
            !self.memory.recalls(&named.path)
        }
    }

    /// The files that the policies name, in order; of a directory all of its files in name order.
    fn named_files(&mut self, effective: &Effective) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for named in &effective.named {
            if !named.directory {
                files.push(named.path.clone());
                continue;
            }
            let listed = self.list(self.named, &named.path);
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

    /// The sources in merge order; what is new in them is given to be parsed.
    fn sources(
        &mut self,
        paths: &StorePaths,
        effective: &Effective,
        parse: &mut dyn FnMut(Vec<Der>),
    ) -> Vec<(SourceId, Gathered)> {
        let own = [(SourceKind::Bootstrap, &paths.bootstrap), (SourceKind::Site, &paths.site)];
        let mut sources: Vec<_> = own.map(|(kind, path)| self.source(kind, path.clone(), parse)).into();
        for path in self.named_files(effective) {
            if !sources.iter().any(|(id, _)| id.path == path) {
                sources.push(self.source(SourceKind::Policy, path, parse));
            }
        }
        sources
    }

    fn source(
        &mut self,
        kind: SourceKind,
        path: PathBuf,
        parse: &mut dyn FnMut(Vec<Der>),
    ) -> (SourceId, Gathered) {
        let id = SourceId { kind, path };
        if let Some(file) = self.memory.file(&id.path)
            && let Some((size, content)) = self.known_content(&id, file.sha256)
        {
            self.watch_source(&id.path, &file.hops, &file.real_path);
            let snapshot = Snapshot::known(file.sha256, size, content);
            return (id, Gathered::Read(Reading::Read { snapshot, fresh: false }));
        }
        if let Some(component) = self.memory.absence(&id.path) {
            self.watch_absent(&id.path, &component);
            return (id, Gathered::Read(Reading::Missing));
        }
        let path = &id.path;
        let reader = if kind == SourceKind::Policy { self.named } else { self.reader };
        let gathered = match reader.file(path, &self.spare) {
            Ok(mut file) => {
                self.watch_source(path, &file.hops, &file.real_path);
                let fresh = file.racy;
                let snapshot = Snapshot::new(std::mem::take(&mut file.bytes), *self.limits);
                self.memory.note_file(path, &file, snapshot.sha256());
                if self.known_content(&id, snapshot.sha256()).is_some() {
                    Gathered::Read(Reading::Read { snapshot, fresh })
                } else {
                    // What is new is parsed here, where it holds nobody up: a daemon's look has a thread of its own, and a
                    // reader may be starting.
                    let (scanned, ders, memory) = snapshot.apart();
                    self.spare.put(memory);
                    parse(ders);
                    Gathered::Parsing { scanned, fresh }
                }
            }
            Err(error) => {
                self.memory.note_absence(path, &error);
                // To watch what does not answer would hang as well; the timer comes back to it.
                if error.is_watchable() {
                    // Where a link leads nowhere: what is to appear appears there.
                    self.watch_absent(path, error.component().unwrap_or(path));
                }
                Gathered::Read(match error {
                    ReadError::Missing { .. } => Reading::Missing,
                    error => Reading::Failed(failure(&error)),
                })
            }
        };
        (id, gathered)
    }

    /// What a source holds that was read before and is all in use.
    fn known_content(&self, id: &SourceId, sha256: Fingerprint) -> Option<(u64, Arc<Content>)> {
        let state = self.known.sources.iter().find(|state| state.id == *id)?;
        let whole = state.sha256 == Some(sha256) && state.condition == Condition::Ok && state.kept.is_empty();
        whole.then(|| (state.size, Arc::clone(&state.content)))
    }

    fn bundle(&mut self, path: &Path) -> Option<Fingerprint> {
        if let Some(known) = self.memory.bundle(path) {
            return Some(known);
        }
        let (file, sha256) = self.reader.bundle(path)?;
        self.memory.note_bundle(&file, sha256);
        Some(sha256)
    }
}

type Der = Vec<u8>;

/// What a look at one source gave so far.
enum Gathered {
    Read(Reading),
    /// Its certificates are being parsed.
    Parsing {
        scanned: Scanned,
        fresh: bool,
    },
}

impl Gathered {
    /// The whole of it, with the next of what was parsed where it waits for that.
    fn reading(self, parsed: &mut impl Iterator<Item = Vec<Parsed>>) -> Reading {
        match self {
            Self::Read(reading) => reading,
            Self::Parsing { scanned, fresh } => {
                let certificates = parsed.next().expect("every list that was given to be parsed comes back");
                Reading::Read { snapshot: scanned.with(certificates), fresh }
            }
        }
    }
}

fn failure(error: &ReadError) -> Failure {
    Failure { code: error.code().to_owned(), message: error.to_string(), remedy: error.remedy() }
}
