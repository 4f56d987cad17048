//! A source of anchors: one file, what was found in it, and what is in use of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use trust_formats::certificates::{self, Encoding, Limits, Note, Reason, Reject, Scan};

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::pool::{Parsed, Pool};

/// What kind of source a file is. The order of the variants is the order of the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// `cainfo.pem`: what the agent fetched itself.
    Bootstrap,
    /// `cainfo-ss.pem`: site and package servers.
    Site,
    /// The file, or a file of the directory, that a policy's `CurlSSL` names.
    Policy,
}

impl SourceKind {
    /// The stable word for JSON, logs and the bundle's comments.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Site => "site",
            Self::Policy => "policy",
        }
    }

    /// The kind that [`Self::code`] names.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Bootstrap, Self::Site, Self::Policy].into_iter().find(|kind| kind.code() == code)
    }
}

/// Which source: its kind and the path as configured, before symbolic links.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId {
    /// Its kind.
    pub kind: SourceKind,
    /// Absolute path.
    pub path: PathBuf,
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.code(), self.path.display())
    }
}

/// A certificate with its place in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Line of its BEGIN marker, from 1.
    pub line: u32,
    /// Position among the certificates of the file, from 1.
    pub position: u32,
}

/// What one version of a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The anchors, in the order of the file.
    pub found: Vec<Found>,
    /// What the bytes turned out to be.
    pub encoding: Encoding,
    /// Blocks that are no anchors, in the order of the file.
    pub rejects: Vec<Reject>,
    /// What was converted on the way in.
    pub notes: Vec<Note>,
    /// The file ends inside a block: it may still be being written.
    pub incomplete: bool,
}

impl Content {
    /// What a source that was never read holds.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            found: Vec::new(),
            encoding: Encoding::Unknown,
            rejects: Vec::new(),
            notes: Vec::new(),
            incomplete: false,
        }
    }

    /// Reads a file of certificates: every block is an anchor or a reject.
    #[must_use]
    pub fn parse(bytes: &[u8], limits: &Limits) -> Self {
        Self::parse_with(bytes, limits, &Pool::default())
    }

    /// The same with certificates at hand that need not be parsed again.
    #[must_use]
    pub fn parse_with(bytes: &[u8], limits: &Limits, pool: &Pool<'_>) -> Self {
        let (frame, ders) = Frame::of(certificates::scan(bytes, limits));
        frame.with(pool.certificates(ders))
    }
}

/// What a file holds but for its certificates, which are yet to be parsed.
#[derive(Debug)]
struct Frame {
    /// Line and position of each certificate.
    places: Vec<(u32, u32)>,
    /// Everything else.
    rest: Scan,
}

impl Frame {
    /// This and the DER of each certificate.
    fn of(mut scan: Scan) -> (Self, Vec<Vec<u8>>) {
        let blocks = std::mem::take(&mut scan.blocks).into_iter();
        let (places, ders) = blocks.map(|block| ((block.line, block.position), block.der)).unzip();
        (Self { places, rest: scan }, ders)
    }

    /// With what came of the DER of each.
    fn with(self, certificates: Vec<Parsed>) -> Content {
        let Self { places, rest } = self;
        let mut rejects = rest.rejects;
        let mut found = Vec::with_capacity(places.len());
        for ((line, position), certificate) in places.into_iter().zip(certificates) {
            match certificate {
                Ok(certificate) => found.push(Found { certificate, line, position }),
                Err(error) => rejects.push(Reject {
                    line,
                    reason: Reason::NotX509,
                    detail: format!("{error}; ask whoever made this file for the certificate again"),
                }),
            }
        }
        // A stable sort: rejects of one line stay as found.
        rejects.sort_by_key(|reject| reject.line);
        Content {
            found,
            encoding: rest.encoding,
            rejects,
            notes: rest.notes,
            incomplete: rest.ends_inside_block,
        }
    }
}

/// One reading of a file: its identity at once, its content when somebody asks.
///
/// Most looks find what the last look found; those pay for a hash and nothing else.
#[derive(Debug)]
pub struct Snapshot {
    sha256: Fingerprint,
    size: u64,
    /// Empty where the content is known.
    bytes: Vec<u8>,
    content: OnceLock<Arc<Content>>,
    limits: Limits,
}

impl Snapshot {
    /// A reading of `bytes`, parsed within `limits` when its content is asked for.
    #[must_use]
    pub fn new(bytes: Vec<u8>, limits: Limits) -> Self {
        let (sha256, size) = (Fingerprint::of(&bytes), bytes.len() as u64);
        Self { sha256, size, bytes, content: OnceLock::new(), limits }
    }

    /// Takes it apart into what is left to be done with its certificates, the DER of each, and the memory of the file.
    #[must_use]
    pub fn apart(self) -> (Scanned, Vec<Vec<u8>>, Vec<u8>) {
        let (frame, ders) = Frame::of(certificates::scan(&self.bytes, &self.limits));
        (Scanned { sha256: self.sha256, size: self.size, frame }, ders, self.bytes)
    }

    /// A file that is known to be what it was when it was read and parsed.
    #[must_use]
    pub fn known(sha256: Fingerprint, size: u64, content: Arc<Content>) -> Self {
        let content = OnceLock::from(content);
        Self { sha256, size, bytes: Vec::new(), content, limits: Limits::default() }
    }

    /// SHA-256 of the file.
    #[must_use]
    pub fn sha256(&self) -> Fingerprint {
        self.sha256
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What the file holds; parsed at the first call, but for the certificates that are at hand.
    #[must_use]
    pub fn content(&self, pool: &Pool<'_>) -> &Arc<Content> {
        self.content.get_or_init(|| Arc::new(Content::parse_with(&self.bytes, &self.limits, pool)))
    }
}

/// One reading of a file that holds something new, while its certificates are being parsed.
#[derive(Debug)]
pub struct Scanned {
    sha256: Fingerprint,
    size: u64,
    frame: Frame,
}

impl Scanned {
    /// The reading with what came of each certificate, in their order.
    #[must_use]
    pub fn with(self, certificates: Vec<Parsed>) -> Snapshot {
        Snapshot::known(self.sha256, self.size, Arc::new(self.frame.with(certificates)))
    }
}

/// Why a source could not be read, in the words of whoever tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable code, kebab-case.
    pub code: String,
    /// What is wrong and where. Never content of the file.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a look at one source gave.
#[derive(Debug)]
pub enum Reading {
    /// There is no such file: no anchors, and that is said.
    Missing,
    /// The file was read.
    Read {
        /// Its bytes.
        snapshot: Snapshot,
        /// The file was written to a moment ago, by its modification time.
        fresh: bool,
    },
    /// The file is there and could not be read or may not be: its last good content stays in use.
    Failed(Failure),
}

/// The condition of a source at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Read, and what it holds is in use.
    Ok,
    /// Read; some anchors it held before are kept until it has been quiet for a while.
    Settling,
    /// There is no such file.
    Missing,
    /// It could not be read: what it held at the last good look stays in use.
    Stale(Failure),
}

impl Condition {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Settling => "settling",
            Self::Missing => "missing",
            Self::Stale(_) => "stale",
        }
    }
}

/// What is known and in use of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Which source.
    pub id: SourceId,
    /// SHA-256 of the file at the last good look; `None` where it is missing or was never read.
    pub sha256: Option<Fingerprint>,
    /// Size of the file in bytes at the last good look.
    pub size: u64,
    /// Its condition at the last look.
    pub condition: Condition,
    /// What is in use of it.
    pub content: Arc<Content>,
    /// Anchors of `content` that the file itself no longer holds, in the order of `content`.
    pub kept: Vec<Fingerprint>,
    /// False once no policy names it any more: it stays until its anchors may go.
    pub named: bool,
}

impl SourceState {
    /// The anchors that the file itself holds, in its order.
    pub fn own(&self) -> impl Iterator<Item = &Found> {
        self.content.found.iter().filter(|found| !self.kept.contains(&found.certificate.fingerprint()))
    }
}
