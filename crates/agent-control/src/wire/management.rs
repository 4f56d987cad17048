//! The reports of `agentctl refresh` and `agentctl inventory`, and their part of the status.

use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

/// `agentctl refresh`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct RefreshReport {
    /// Code of what came of it: `taken`, `unchanged` or `failed`.
    pub result: String,
    /// The server that was asked in the end; null where none could be.
    pub server: Option<String>,
    /// How it was seen that nothing is new: `not-modified` or `same-content`; null where something is.
    pub how: Option<String>,
    /// Connections that were made to that server.
    pub connections: u32,
    /// Files that were written, policies and anchors.
    pub written: Vec<String>,
    /// Files that were removed.
    pub removed_files: Vec<String>,
    /// The servers that failed before, or all of them.
    pub attempts: Vec<AttemptReport>,
    /// True where the bundle was written after it.
    pub changed: bool,
    /// The generation of the store after it.
    pub generation: u64,
    /// Fingerprints that the store gained.
    pub added: Vec<String>,
    /// Fingerprints that it lost.
    pub removed: Vec<String>,
}

/// `agentctl inventory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct InventoryReport {
    /// Code of what came of it: `sent`, `queued` or `made`.
    pub result: String,
    /// The server that took it; null where none did.
    pub server: Option<String>,
    /// How many documents were sent, those that had waited among them.
    pub sent: u64,
    /// How many wait for a server.
    pub waiting: u64,
    /// How many of the oldest were dropped unsent since the last that was sent.
    pub dropped: u64,
    /// The servers that failed before, or all of them.
    pub attempts: Vec<AttemptReport>,
    /// The document in JSON, where it was only to be made.
    pub document: Option<String>,
}

/// A server that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct AttemptReport {
    /// Its name in the configuration.
    pub server: String,
    /// Its URL.
    pub url: String,
    /// Stable code, kebab-case.
    pub code: String,
    /// What is wrong and where.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// What passes between the endpoint and its management servers, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct ManagementReport {
    /// When policies were last refreshed; null where they never were.
    pub refreshed_at: Option<String>,
    /// The server that it was asked of.
    pub refreshed_from: Option<String>,
    /// When they will be; null where no daemon runs, or none is configured.
    pub next_refresh: Option<String>,
    /// Code of why the last refresh failed; null where it did not.
    pub refresh_error: Option<String>,
    /// How many policies came from a server.
    pub policies: u64,
    /// When inventory was last sent; null where it never was.
    pub inventory_at: Option<String>,
    /// When it will be.
    pub next_inventory: Option<String>,
    /// Code of why the last sending failed; null where it did not.
    pub inventory_error: Option<String>,
    /// How many documents wait for a server.
    pub waiting: u64,
}
