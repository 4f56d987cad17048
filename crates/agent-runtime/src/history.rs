//! The generations of the store on disk: `state/generations/<number>.pem`, each the bundle as it was published behind
//! one line of JSON that says who published it, when, why, and what it changed.
//!
//! One file, so that a generation is there whole or not at all, and a comment line for the JSON, so that every program
//! that reads the bundle reads the generation as well.

use std::fs;
use std::io::{self, BufRead as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trust_core::fingerprint::FingerprintMap;
use trust_core::history::Generation;
use trust_core::plan::{Published, StoreState};
use trust_core::source::{Condition, Content, Found, SourceId, SourceKind, SourceState};
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::{self, Encoding, Limits};

use crate::publish::{Fs, Prepared, PublishError, prepare_parts};

mod record;
#[cfg(test)]
mod tests;

use record::Record;

/// How many generations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Their number, the present one included; at least 2.
    pub generations: u64,
    /// Their age; the present one and the one before it are always kept.
    pub max_age: Duration,
}

/// The directory of the generations.
#[derive(Debug, Clone)]
pub struct History {
    directory: PathBuf,
}

fn kept_words(kept: Option<(u64, u64)>) -> String {
    match kept {
        None => String::new(),
        Some((first, last)) if first == last => format!(": only {last} is kept"),
        Some((first, last)) => format!(": {first} to {last} are kept"),
    }
}

/// Why a generation cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// There is none of that number.
    #[error("there is no generation {number}{}", kept_words(*kept))]
    Unknown {
        /// The number.
        number: u64,
        /// The first and the last that are kept.
        kept: Option<(u64, u64)>,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// It is not as it was written.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: &'static str,
    },
}

/// A generation with its anchors.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What is known of it.
    pub generation: Generation,
    /// Its anchors in order.
    pub anchors: Vec<Arc<Certificate>>,
}

impl History {
    /// The generations under this state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { directory: state.join(DIRECTORY) }
    }

    /// Writes a generation durably, then removes what the limits no longer let stay, but for one that `is_needed`.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn add(
        &self,
        files: &dyn Fs,
        generation: &Generation,
        bundle: &[String],
        keep: Keep,
        is_needed: impl Fn(u64) -> bool,
    ) -> Result<(), PublishError> {
        let path = self.path(generation.number);
        self.finish(Self::prepare(files, &path, generation, bundle)?, generation, keep, is_needed)
    }

    /// The second half of [`Self::add`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub(crate) fn finish(
        &self,
        prepared: Prepared<'_>,
        generation: &Generation,
        keep: Keep,
        is_needed: impl Fn(u64) -> bool,
    ) -> Result<(), PublishError> {
        prepared.put_in_place()?;
        self.prune(generation, keep, is_needed);
        Ok(())
    }

    /// The first half of [`Self::add`]: the generation is on the disk and has no name yet.
    ///
    /// # Errors
    /// [`PublishError`].
    pub(crate) fn prepare<'a>(
        files: &'a dyn Fs,
        path: &'a Path,
        generation: &Generation,
        bundle: &[String],
    ) -> Result<Prepared<'a>, PublishError> {
        let json = serde_json::to_vec(&Record::of(generation))
            .map_err(|error| PublishError::content(path, &error))?;
        let head = [MARK.as_bytes(), &json, b"\n"].into_iter();
        let parts: Vec<&[u8]> = head.chain(bundle.iter().map(String::as_bytes)).collect();
        prepare_parts(files, path, &parts, 0o600)
    }

    /// Every generation that can be read, the latest first. One that cannot is left out.
    #[must_use]
    pub fn list(&self) -> Vec<Generation> {
        let read = |number: &u64| self.read_head(*number).ok().map(|(generation, _)| generation);
        self.numbers().iter().rev().filter_map(read).collect()
    }

    /// One generation with its anchors.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn get(&self, number: u64) -> Result<Kept, HistoryError> {
        let (generation, mut rest) = self.read_head(number)?;
        let path = self.path(number);
        let mut bundle = Vec::new();
        rest.read_to_end(&mut bundle).map_err(|source| HistoryError::Io { path: path.clone(), source })?;
        if Fingerprint::of(&bundle) != generation.sha256 {
            return Err(HistoryError::Damaged { path, what: "its bundle is not the one that was published" });
        }
        // Our own file: what it holds was within the limits when it was read.
        let limits =
            Limits { max_bytes: usize::MAX, max_certificates: usize::MAX, max_certificate_bytes: usize::MAX };
        let blocks = certificates::scan(&bundle, &limits).blocks;
        let anchors = blocks.iter().filter_map(|block| Certificate::parse(&block.der).ok()).map(Arc::new);
        Ok(Kept { generation, anchors: anchors.collect() })
    }

    /// The latest that is kept before this one.
    #[must_use]
    pub fn before(&self, number: u64) -> Option<u64> {
        self.numbers().into_iter().rev().find(|kept| *kept < number)
    }

    /// The store as the latest whole generation knew it: what there is to start from where the state is lost.
    #[must_use]
    pub fn recover(&self) -> Option<StoreState> {
        self.numbers().iter().rev().find_map(|number| self.get(*number).ok()).map(recovered)
    }

    /// When a generation was published and by whom, from the beginning of its file alone: for lists that have to be there
    /// at once.
    #[must_use]
    pub fn glance(&self, number: u64) -> Option<(Timestamp, String)> {
        let mut head = Vec::new();
        fs::File::open(self.path(number)).ok()?.take(GLANCE).read_to_end(&mut head).ok()?;
        let text = String::from_utf8_lossy(&head);
        // The causes come behind, and lists that may be long.
        let (head, _) = text.strip_prefix(MARK)?.split_once(",\"causes\":")?;
        let Glance { at, by } = serde_json::from_str(&format!("{head}}}")).ok()?;
        Some((at, by))
    }

    /// The numbers of the generations that are kept, ascending.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.directory) else { return Vec::new() };
        let number = |entry: fs::DirEntry| {
            entry.file_name().to_str()?.strip_suffix(SUFFIX)?.parse().ok().filter(|number| *number > 0)
        };
        let mut numbers: Vec<u64> = entries.flatten().filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// The file of a generation.
    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number}{SUFFIX}"))
    }

    /// The first line understood, and a reader that stands behind it.
    fn read_head(&self, number: u64) -> Result<(Generation, io::BufReader<fs::File>), HistoryError> {
        let path = self.path(number);
        let file = fs::File::open(&path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                let numbers = self.numbers();
                HistoryError::Unknown { number, kept: numbers.first().copied().zip(numbers.last().copied()) }
            } else {
                HistoryError::Io { path: path.clone(), source }
            }
        })?;
        let mut reader = io::BufReader::new(file);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(|source| HistoryError::Io { path: path.clone(), source })?;
        let record: Option<Record> = line.strip_prefix(MARK).and_then(|json| serde_json::from_str(json).ok());
        let generation = record.and_then(Record::restore).filter(|found| found.number == number);
        let damaged = || HistoryError::Damaged { path, what: "its first line does not say what it is" };
        Ok((generation.ok_or_else(damaged)?, reader))
    }

    /// Removes the oldest until number and age are within the limits. A failure is tried again at the next publication.
    fn prune(&self, latest: &Generation, keep: Keep, is_needed: impl Fn(u64) -> bool) {
        let numbers = self.numbers();
        // What a later number than the latest has was never published: a crash left it.
        let (known, never): (Vec<u64>, Vec<u64>) =
            numbers.into_iter().partition(|number| *number <= latest.number);
        for number in never {
            let _ignored = fs::remove_file(self.path(number));
        }
        let at_most = usize::try_from(keep.generations).unwrap_or(usize::MAX).max(ALWAYS);
        let surplus = known.len().saturating_sub(at_most);
        let oldest = latest.at.checked_sub(keep.max_age).unwrap_or(Timestamp::MIN);
        for (index, number) in known.iter().enumerate().take(known.len().saturating_sub(ALWAYS)) {
            let too_old = || self.read_head(*number).is_ok_and(|(generation, _)| generation.at < oldest);
            if is_needed(*number) {
                // For the state on disk, where the states of the generations after it could not be written.
            } else if index < surplus || too_old() {
                let _ignored = fs::remove_file(self.path(*number));
            } else {
                // The rest is younger.
                break;
            }
        }
    }
}

/// The bundle in the text of a generation's file: what is behind its first line.
pub(crate) fn bundle_in(text: &[u8]) -> Option<&[u8]> {
    let line = text.starts_with(MARK.as_bytes()).then(|| memchr::memchr(b'\n', text))??;
    text.get(line + 1..)
}

/// The first fields of a record.
#[derive(serde::Deserialize)]
struct Glance {
    at: Timestamp,
    by: String,
}

/// More than those fields ever have.
const GLANCE: u64 = 1024;

const DIRECTORY: &str = "generations";
const SUFFIX: &str = ".pem";

/// What the first line begins with.
const MARK: &str = "# agentd generation ";

/// The present generation and the one before it: there is always one to go back to.
const ALWAYS: usize = 2;

/// What a generation tells of the state that made it.
fn recovered(kept: Kept) -> StoreState {
    let Kept { generation, anchors } = kept;
    let list: Vec<Fingerprint> = anchors.iter().map(|certificate| certificate.fingerprint()).collect();
    let certificates: FingerprintMap<&Arc<Certificate>> = list.iter().copied().zip(&anchors).collect();
    let source = |mark: &trust_core::history::SourceMark| {
        let found = mark.found.iter().filter_map(|(line, position, anchor)| {
            let certificate = Arc::clone(certificates.get(anchor)?);
            Some(Found { certificate, line: *line, position: *position })
        });
        Some(SourceState {
            id: SourceId { kind: SourceKind::from_code(&mark.kind)?, path: mark.path.clone() },
            sha256: None,
            size: 0,
            condition: Condition::Ok,
            content: Arc::new(Content {
                found: found.collect(),
                encoding: Encoding::Unknown,
                rejects: Vec::new(),
                notes: Vec::new(),
                incomplete: false,
            }),
            kept: Vec::new(),
            named: true,
        })
    };
    StoreState {
        generation: generation.number,
        sources: generation.sources.iter().filter_map(source).collect(),
        bans: generation.bans,
        // Those that no source held: the guard asks the servers again whether they are needed.
        archive: anchors
            .iter()
            .map(|certificate| trust_core::guard::Archived {
                certificate: Arc::clone(certificate),
                at: generation.at,
            })
            .collect(),
        bundle: Some(Published {
            sha256: generation.sha256,
            anchors: list,
            at: generation.at,
            by: generation.by,
            causes: generation.causes,
        }),
        ..StoreState::default()
    }
}
