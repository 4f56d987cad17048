//! What is known of the store, on disk: `state/state.json`, and beside it the certificates it speaks of.
//!
//! The state is small and says everything but the certificates' bytes. Those of the store are in the file of its
//! generation, those that are in no store (banned, archived, on their way in or out) in `state/snapshots/<sha256>.pem`;
//! both are named by the SHA-256 of theirs in their order. A file is written before the state that names it, and removed
//! when no state does, so whatever moment a crash picks, the state on disk names files that are whole. Only certificates
//! are stored, never a source's own text: a private key that somebody put into a source gets no further.

use std::fs;
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use trust_core::bundle::push_pem;
use trust_core::plan::StoreState;
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::{Limits, scan};

use crate::history::{self, History};
use crate::look::read_published;
use crate::publish::{Content, Fs, PublishError, Step, publish, publish_made};

mod certificates;
pub(crate) mod hex;
pub(crate) mod record;
#[cfg(test)]
mod tests;

use certificates::{Certificates, Places};

pub use record::{AuditMark, Record};

/// The version this program writes. Version 1 named certificates by their fingerprints, and had all of them in one file.
const VERSION: u32 = 2;

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateStore {
    directory: PathBuf,
    /// The bundle in place, which has the certificates of the last generation once more.
    merged: PathBuf,
    history: History,
    /// What is remembered of the record of changes; shared by all clones, as the file is.
    audit: Arc<Mutex<Option<AuditMark>>>,
}

/// Why the state could not be read. The sources are still there: a regeneration makes a new one.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A later program wrote it.
    #[error("{path} has format {found}, this program knows {VERSION}: a later version of agentd wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is cut off or was changed by hand.
    #[error("{path} is damaged at line {line}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Line where reading stopped.
        line: usize,
    },
    /// The certificates that it speaks of are gone, or others than those.
    #[error("{path}, which holds certificates of the state, is missing or damaged")]
    Certificates {
        /// The file.
        path: PathBuf,
    },
}

impl StateError {
    /// Whether the file may be whole and was only not to be had at this moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    pub(crate) fn unread(self) -> PublishError {
        let (path, errno) = match self {
            Self::Io { path, source } => (path, Errno::from_io_error(&source)),
            Self::Newer { path, .. } | Self::Damaged { path, .. } | Self::Certificates { path } => {
                (path, None)
            }
        };
        PublishError::Step { step: Step::ReadOld, path, errno: errno.unwrap_or(Errno::IO) }
    }
}

/// Of a record what else must stay for it.
#[derive(Deserialize)]
struct Named {
    generation: u64,
    #[serde(default)]
    published: Option<String>,
    snapshot: String,
}

fn read_named(record: &Path) -> Option<Named> {
    serde_json::from_slice(&read(record).ok()?).ok()
}

/// A state that is ready to be written.
pub(crate) struct Draft<'a> {
    record: Record,
    /// Certificates that the generation has not.
    beside: Vec<&'a Arc<Certificate>>,
}

#[derive(Serialize, Deserialize)]
struct Versioned {
    v: u32,
}

impl StateStore {
    /// The state under this directory, of the store at `merged`.
    #[must_use]
    pub fn new(directory: PathBuf, merged: PathBuf) -> Self {
        Self { history: History::new(&directory), directory, merged, audit: Arc::default() }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    /// The state before this one, for where this one cannot be used.
    fn previous(&self) -> PathBuf {
        self.directory.join("state.json.previous")
    }

    fn snapshots(&self) -> PathBuf {
        self.directory.join("snapshots")
    }

    /// Reads the record alone: enough to tell whether anything changed, without a certificate being parsed.
    ///
    /// # Errors
    /// [`StateError`]; no state at all is `Ok(None)`.
    pub fn load_record(&self) -> Result<Option<Record>, StateError> {
        read_record(self.file())
    }

    /// Reads the whole state. Certificates that it speaks of and that are not to be had make it unusable: a state with
    /// some of its sources would be taken for a store that lost them.
    ///
    /// # Errors
    /// As [`Self::load_record`]; no state at all is `Ok(None)`.
    pub fn load(&self) -> Result<Option<StoreState>, StateError> {
        let Some(record) = self.load_record()? else { return Ok(None) };
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = record.audit.clone();
        self.restore(&record).map(Some)
    }

    /// What the state remembers of the record of changes, or will at its next save.
    #[must_use]
    pub fn audit(&self) -> Option<AuditMark> {
        self.audit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers it with the next save.
    pub fn set_audit(&self, mark: AuditMark) {
        *self.audit.lock().unwrap_or_else(PoisonError::into_inner) = Some(mark);
    }

    /// Whether the state on disk can be read, whatever it says. One that is not there yet can.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn check_readable(&self) -> Result<(), StateError> {
        let path = self.file();
        match read(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Io { path, source }),
            _ => Ok(()),
        }
    }

    fn restore(&self, record: &Record) -> Result<StoreState, StateError> {
        let mut certificates = match &record.published {
            Some(name) => self.load_published(record.generation, name)?,
            None => Vec::new(),
        };
        if !record.snapshot.is_empty() {
            certificates.extend(self.load_snapshot(&record.snapshot)?);
        }
        Ok(record.restore(&Certificates::of(certificates)))
    }

    /// Reads the state before the last one; `None` where there is none that can be used.
    #[must_use]
    pub fn load_previous(&self) -> Option<StoreState> {
        let record = read_record(self.previous()).ok().flatten()?;
        self.restore(&record).ok()
    }

    /// The generation that the state on disk needs; `None` where it needs none.
    #[must_use]
    pub fn needed_generation(&self) -> Option<u64> {
        let named = read_named(&self.file())?;
        named.published.is_some().then_some(named.generation)
    }

    /// The certificates of a generation, where its file is lost those of the bundle in place.
    fn load_published(&self, generation: u64, name: &str) -> Result<Vec<Arc<Certificate>>, StateError> {
        self.load_generation(generation, name).or_else(|error| {
            let in_place = read_published(&self.merged).and_then(|(mut file, _)| {
                let mut bytes = Vec::new();
                file.rewind().and_then(|()| file.read_to_end(&mut bytes)).ok()?;
                named_so(&bytes, name)
            });
            in_place.ok_or(error)
        })
    }

    fn load_generation(&self, generation: u64, name: &str) -> Result<Vec<Arc<Certificate>>, StateError> {
        let path = self.history.path(generation);
        let bytes = read_certificates(&path)?;
        history::bundle_in(&bytes)
            .and_then(|bundle| named_so(bundle, name))
            .ok_or(StateError::Certificates { path })
    }

    fn load_snapshot(&self, name: &str) -> Result<Vec<Arc<Certificate>>, StateError> {
        let path = self.snapshot_path(name);
        let bytes = read_certificates(&path)?;
        // By the SHA-256 of the file, as it was named before.
        let by_text = || (Fingerprint::of(&bytes).to_string() == name).then(|| known(&bytes));
        named_so(&bytes, name).or_else(by_text).ok_or(StateError::Certificates { path })
    }

    fn snapshot_path(&self, name: &str) -> PathBuf {
        self.snapshots().join(format!("{name}.pem"))
    }

    /// Writes the state durably, as far as its certificates are not in its generation's file.
    ///
    /// # Errors
    /// [`PublishError`]; the old state stands then.
    pub fn save(&self, files: &dyn Fs, state: &StoreState) -> Result<(), PublishError> {
        self.save_draft(files, self.draft(state, false))
    }

    /// What there is to write of a state. `is_recorded` says that the generation's file is being written or was just now, and
    /// need not be looked at.
    pub(crate) fn draft<'a>(&self, state: &'a StoreState, is_recorded: bool) -> Draft<'a> {
        let anchors = state.bundle.as_ref().map_or(&[][..], |bundle| &bundle.anchors);
        let published = Some(name_of(anchors.iter().copied())).filter(|name| {
            !anchors.is_empty() && (is_recorded || self.load_generation(state.generation, name).is_ok())
        });
        let mut places = Places::of(if published.is_some() { anchors } else { &[] });
        let certificates = state.certificates();
        let beside = certificates.filter(|certificate| places.add(certificate.fingerprint())).collect();
        let mut record = Record::of(VERSION, state, &places);
        record.published = published;
        Draft { record, beside }
    }

    /// Writes the certificates that are beside the generation, then the record that names the files of both.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub(crate) fn save_draft(&self, files: &dyn Fs, draft: Draft<'_>) -> Result<(), PublishError> {
        // What cannot be read now was not read before either: this state does not follow from it.
        self.check_readable().map_err(StateError::unread)?;
        let Draft { mut record, beside } = draft;
        if !beside.is_empty() {
            record.snapshot = self.save_snapshot(files, &beside)?;
        }
        record.audit = self.audit();
        let mut json =
            serde_json::to_vec(&record).map_err(|error| PublishError::content(&self.file(), &error))?;
        json.push(b'\n');
        self.keep_previous();
        publish(files, &self.file(), &json, 0o600)?;
        self.remove_other_snapshots(&record.snapshot);
        Ok(())
    }

    fn save_snapshot(
        &self,
        files: &dyn Fs,
        certificates: &[&Arc<Certificate>],
    ) -> Result<String, PublishError> {
        let name = name_of(certificates.iter().map(|certificate| certificate.fingerprint()));
        let path = self.snapshot_path(&name);
        // Named by its content: one that is there and right stays.
        if !path.exists() || self.load_snapshot(&name).is_err() {
            write_snapshot(files, &path, certificates)?;
        }
        Ok(name)
    }

    /// The present file gets a second name before the first is given away. What is lost where that fails is a spare.
    fn keep_previous(&self) {
        if self.file().exists() {
            let _none_yet = fs::remove_file(self.previous());
            let _ignored = fs::hard_link(self.file(), self.previous());
        }
    }

    /// Leftovers cost space, nothing else: a failure here is tried again at the next save.
    fn remove_other_snapshots(&self, keep: &str) {
        let Ok(entries) = fs::read_dir(self.snapshots()) else { return };
        let others: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| *path != self.snapshot_path(keep))
            .collect();
        if others.is_empty() {
            return;
        }
        let spare = read_named(&self.previous()).map(|record| self.snapshot_path(&record.snapshot));
        for path in others.iter().filter(|path| spare.as_ref() != Some(*path)) {
            let _ignored = fs::remove_file(path);
        }
    }

    /// Puts a state that cannot be used aside, so that what it says can still be looked at. One that was put aside
    /// before gives way to it.
    ///
    /// # Errors
    /// The rename's.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        fs::rename(self.file(), self.aside())?;
        Ok(self.aside())
    }

    /// Removes what was put aside longer ago than this. A failure is tried again by the next call.
    pub fn remove_aside(&self, now: SystemTime, max_age: Duration) {
        // A rename changes the inode's own time and leaves that of the content.
        let put_aside = fs::symlink_metadata(self.aside()).ok().and_then(|metadata| {
            let seconds = u64::try_from(metadata.ctime()).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        });
        let age = put_aside.and_then(|then| now.duration_since(then).ok());
        if age.is_some_and(|age| age > max_age) {
            let _ignored = fs::remove_file(self.aside());
        }
    }

    fn aside(&self) -> PathBuf {
        self.directory.join("state.json.unusable")
    }
}

/// Reads a file of ours, again where that fails for a moment. A state that is taken for unusable costs more than that.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    const TRIES: usize = 3;
    let mut tried = 1;
    loop {
        match fs::read(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound && tried < TRIES => tried += 1,
            done => return done,
        }
    }
}

fn read_record(path: PathBuf) -> Result<Option<Record>, StateError> {
    let bytes = match read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { path, source }),
    };
    let damaged = |error: &serde_json::Error| StateError::Damaged { path: path.clone(), line: error.line() };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.v <= VERSION => Ok(Some(record)),
        // A later one may look otherwise in all but its version.
        other => {
            let versioned: Versioned = serde_json::from_slice(&bytes).map_err(|error| damaged(&error))?;
            if versioned.v > VERSION {
                return Err(StateError::Newer { path, found: versioned.v });
            }
            other.map(Some).map_err(|error| damaged(&error))
        }
    }
}

/// A file of certificates of the state.
fn read_certificates(path: &Path) -> Result<Vec<u8>, StateError> {
    read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StateError::Certificates { path: path.to_owned() },
        _ => StateError::Io { path: path.to_owned(), source },
    })
}

/// The certificates in a text of ours, if they are those that this names.
fn named_so(text: &[u8], name: &str) -> Option<Vec<Arc<Certificate>>> {
    let certificates = known(text);
    let named = name_of(certificates.iter().map(|certificate| certificate.fingerprint()));
    (named == name).then_some(certificates)
}

fn known(text: &[u8]) -> Vec<Arc<Certificate>> {
    // Our own file: what it holds was within the limits when it was read.
    let limits =
        Limits { max_bytes: usize::MAX, max_certificates: usize::MAX, max_certificate_bytes: usize::MAX };
    let blocks = scan(text, &limits).blocks;
    blocks.into_iter().map(|block| Arc::new(Certificate::known(block.der))).collect()
}

/// What names them in this order: the SHA-256 of theirs. It says as much as one of the file, and is had without it.
fn name_of(certificates: impl Iterator<Item = Fingerprint>) -> String {
    let bytes: Vec<u8> = certificates.flat_map(|fingerprint| *fingerprint.as_bytes()).collect();
    Fingerprint::of(&bytes).to_string()
}

/// Writes them, some at a time: all of them are megabytes.
fn write_snapshot(
    files: &dyn Fs,
    path: &Path,
    certificates: &[&Arc<Certificate>],
) -> Result<(), PublishError> {
    /// So few that the allocator has the pages already: a buffer for a whole store costs more in new pages than the
    /// writes do.
    const SOME: usize = 64 << 10;
    let size: usize = certificates.iter().map(|certificate| certificate.der().len() * 7 / 5 + AROUND).sum();
    let content: Content<'_> = &|put| {
        let mut text = String::with_capacity(size.min(SOME));
        for certificate in certificates {
            push_pem(&mut text, certificate.der());
            if text.len() > SOME - LONG {
                put(text.as_bytes())?;
                text.clear();
            }
        }
        put(text.as_bytes())
    };
    publish_made(files, path, content, 0o600)
}

/// Of the two markers.
const AROUND: usize = 64;

/// Of a certificate as text, nearly always.
const LONG: usize = 16 << 10;
