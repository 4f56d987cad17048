//! What `agentctl --json` prints and what travels over the socket: the same structs, so that a report made in process
//! and one made by the daemon are the same text.
//!
//! Promises that hold for all of them: times are RFC 3339 in UTC; fingerprints are lower-case SHA-256 hex of the DER; an
//! `Option` is `null` where the thing does not exist or is not known; a word in a `String` field that is called a code
//! comes from a list that may grow, so a reader must bear words it does not know; fields may be added, never renamed.
//! File content and secrets are never in a report.

use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

mod history;
mod management;
mod report;
mod status;

pub use history::{
    BanReport, GenerationReport, GenerationSource, HistoryReport, RetainedReport, RollbackReport,
};
pub use management::{AttemptReport, InventoryReport, ManagementReport, RefreshReport};
pub use report::{
    AnchorReport, AnchorsReport, BundleReport, Place, RegenReport, SourceReport, SourcesReport,
};
pub use status::{
    DaemonReport, Health, LastRegeneration, Problem, SandboxReport, ServerReport, Severity, StatusReport,
    StoreReport, WatchingReport,
};

/// The version of the JSON documents, as `schema` in each that has one.
pub const SCHEMA: &str = "agentctl/v1";

/// What failed, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Fault {
    /// Stable code, kebab-case.
    pub code: String,
    /// What is wrong and where.
    pub message: String,
    /// What to do about it; may be empty.
    pub remedy: String,
}

/// Why the store was kept as it was against its sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Held {
    /// Stable code.
    pub reason: String,
    /// What would have happened, and what to do.
    pub detail: String,
}

/// Something odd that did not stop the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Warning {
    /// Stable code, kebab-case.
    pub code: String,
    /// What, where, and what to do.
    pub message: String,
}

/// A block of a file that is no anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Rejected {
    /// Line of the block, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// Code of the reason, kebab-case.
    pub reason: String,
    /// The reason in words, and what to do.
    pub detail: String,
}

/// One thing that happened, as `watch` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Event {
    /// When.
    pub ts: String,
    /// Code of what happened, such as `source.changed`, `store.published`, `store.failed`.
    pub event: String,
    /// The path of the source it is about.
    pub source: Option<String>,
    /// The generation of the store after it.
    pub generation: Option<u64>,
    /// Fingerprints that the store gained.
    pub added: Vec<String>,
    /// Fingerprints that the store lost.
    pub removed: Vec<String>,
    /// The event in words.
    pub message: Option<String>,
}
