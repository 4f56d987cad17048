//! Reports of the generations of the store.

use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

/// `agentctl history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct HistoryReport {
    /// The generation in force; 0 before the first.
    pub current: u64,
    /// The rollback in force.
    pub rollback: Option<RollbackReport>,
    /// The generations that are kept, the latest first.
    pub generations: Vec<GenerationReport>,
}

/// A rollback in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct RollbackReport {
    /// The generation that was gone back to.
    pub generation: u64,
    /// Until when a change of a source does not end it; null where the next change does.
    pub until: Option<String>,
}

/// One publication of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct GenerationReport {
    /// Its number, from 1.
    pub number: u64,
    /// When it was published.
    pub at: String,
    /// Whose wish it was: `start`, `watch`, `signal`, `reload` or `operator uid N`.
    pub by: String,
    /// What had changed, a sentence each.
    pub why: Vec<String>,
    /// SHA-256 of the bundle.
    pub sha256: String,
    /// How many anchors it has.
    pub anchors: u64,
    /// The sources it was made of.
    pub sources: Vec<GenerationSource>,
    /// Fingerprints of the anchors that it gained.
    pub added: Vec<String>,
    /// Fingerprints of those that it lost.
    pub removed: Vec<String>,
    /// Anchors that no source held.
    pub retained: Vec<RetainedReport>,
    /// The generation that it went back to.
    pub rollback_to: Option<u64>,
}

/// A source at the time of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct GenerationSource {
    /// Code: `bootstrap`, `site` or `policy`.
    pub kind: String,
    /// Its path.
    pub path: String,
    /// SHA-256 of the file; null where it was missing.
    pub sha256: Option<String>,
    /// Anchors that were in use of it.
    pub anchors: u64,
    /// Blocks in it that were no anchors.
    pub rejects: u64,
}

/// An anchor that is in the store though no source holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct RetainedReport {
    /// SHA-256 of its DER.
    pub fingerprint: String,
    /// Code of why: `pending`, `needed`, `unreachable` or `archived`.
    pub why: String,
    /// The servers it stays for; empty in the history.
    pub servers: Vec<String>,
}

/// A certificate that may never be in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct BanReport {
    /// SHA-256 of its DER.
    pub fingerprint: String,
    /// Code of who says so: `operator`, `policy` or `configuration`.
    pub origin: String,
    /// The operator's reason; may be empty.
    pub reason: String,
    /// When an operator said so; null for the others.
    pub at: Option<String>,
}
