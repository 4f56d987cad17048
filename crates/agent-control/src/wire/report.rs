//! Reports of the sources, the anchors and a regeneration.

use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{Fault, Held, Rejected, RetainedReport, RollbackReport, Warning};

/// What `agentctl regen` did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct RegenReport {
    /// True where the bundle was written; in a dry run, where it would be.
    pub changed: bool,
    /// The generation of the store afterwards; 0 before the first.
    pub generation: u64,
    /// The bundle afterwards.
    pub bundle: BundleReport,
    /// The sources in merge order.
    pub sources: Vec<SourceReport>,
    /// Fingerprints of the anchors that the store gained, in its order.
    pub added: Vec<String>,
    /// Fingerprints of those that it lost, in the order of the old store.
    pub removed: Vec<String>,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
    /// True where it was only asked what would be done.
    pub dry_run: bool,
    /// True where it was forced.
    pub forced: bool,
    /// Set where the store was kept as it was against the sources.
    pub held: Option<Held>,
    /// Anchors that stay though no source holds them.
    pub retained: Vec<RetainedReport>,
    /// The rollback in force.
    pub rollback: Option<RollbackReport>,
}

/// The bundle that consumers read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct BundleReport {
    /// Its path.
    pub path: String,
    /// SHA-256 of the file; null before the first publication.
    pub sha256: Option<String>,
    /// How many anchors it has.
    pub anchors: u64,
}

/// One source of anchors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct SourceReport {
    /// Code: `bootstrap`, `site` or `policy`.
    pub kind: String,
    /// Its path as configured.
    pub path: String,
    /// SHA-256 of the file in use; null where it is missing or was never read.
    pub sha256: Option<String>,
    /// Size of that file in bytes.
    pub size: u64,
    /// How many anchors it holds.
    pub anchors: u64,
    /// Its blocks that are no anchors, in its order.
    pub rejected: Vec<Rejected>,
    /// Code of its condition: `ok`, `settling`, `missing`, `stale` or `refused`.
    pub state: String,
    /// Why it could not be read; what it held before stays in use.
    pub error: Option<Fault>,
    /// Code of what the bytes are: `pem`, `der`, `pkcs7` or `unknown`.
    pub encoding: String,
    /// Codes of what was converted on the way in.
    pub notes: Vec<String>,
    /// True where a change is noticed at once; false where only the next look finds it; null where no daemon runs.
    pub watched: Option<bool>,
    /// Why some changes are found only by the next look; null where all are noticed at once, or no daemon runs.
    pub unwatched: Option<String>,
    /// When it was last looked at; null where that is not known.
    pub last_looked: Option<String>,
}

/// `agentctl sources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct SourcesReport {
    /// The sources in merge order.
    pub sources: Vec<SourceReport>,
    /// What is odd about them.
    pub warnings: Vec<Warning>,
}

/// `agentctl anchors list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct AnchorsReport {
    /// The generation of the store that this is.
    pub generation: u64,
    /// The anchors in the order of trial.
    pub anchors: Vec<AnchorReport>,
}

/// One anchor of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct AnchorReport {
    /// Its place in the order of trial, from 1.
    pub number: u64,
    /// SHA-256 of its DER.
    pub fingerprint: String,
    /// Subject; may be empty.
    pub subject: String,
    /// Issuer; may be empty.
    pub issuer: String,
    /// Start of validity.
    pub not_before: String,
    /// End of validity.
    pub not_after: String,
    /// Code of where now stands to that: `valid`, `expired` or `not-yet-valid`.
    pub status: String,
    /// Code of what it can do: `ca` verifies what it issued, `exact` only itself.
    pub kind: String,
    /// Every place it comes from, the first first; none where no source holds it.
    pub sources: Vec<Place>,
    /// Code of why it is in the store: `source`, `retained` or `restored`.
    pub standing: String,
}

/// Where an anchor was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Place {
    /// Code of the source's kind.
    pub kind: String,
    /// The source's path.
    pub path: String,
    /// Line of the block, from 1.
    pub line: u32,
}
