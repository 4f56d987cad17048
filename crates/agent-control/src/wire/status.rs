//! The report of `agentctl status`.

use serde::{Deserialize, Serialize};
use zlink::introspect::CustomType;

use super::{BanReport, Held, ManagementReport, RollbackReport, SCHEMA, SourceReport, Warning};

/// `agentctl status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct StatusReport {
    /// Version of this document: 1.
    pub v: u32,
    /// The same with the program's name: `agentctl/v1`.
    pub schema: String,
    /// The verdict.
    pub health: Health,
    /// The daemon; null where none runs.
    pub daemon: Option<DaemonReport>,
    /// The store.
    pub store: StoreReport,
    /// The sources in merge order.
    pub sources: Vec<SourceReport>,
    /// The configured servers in their order.
    pub servers: Vec<ServerReport>,
    /// What needs a hand, the worst first.
    pub problems: Vec<Problem>,
    /// The last regeneration; null where none is known.
    pub last_regeneration: Option<LastRegeneration>,
    /// Policies and inventory; null where no server is asked for either.
    pub management: Option<ManagementReport>,
}

impl StatusReport {
    /// The number in `v`.
    pub const V: u32 = 1;

    /// A report of a store and nothing else yet: healthy, no daemon, no sources, no servers.
    #[must_use]
    pub fn new(store: StoreReport) -> Self {
        Self {
            v: Self::V,
            schema: SCHEMA.to_owned(),
            health: Health::Ok,
            daemon: None,
            store,
            sources: Vec::new(),
            servers: Vec::new(),
            problems: Vec::new(),
            last_regeneration: None,
            management: None,
        }
    }
}

/// The verdict of a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, CustomType)]
#[serde(rename_all = "lowercase")]
#[zlink(rename_all = "lowercase")]
pub enum Health {
    /// Nothing needs a hand.
    Ok,
    /// It works, and something needs a hand.
    Degraded,
    /// It does not work.
    Failed,
}

/// The running daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct DaemonReport {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: String,
    /// When it read the configuration that is in force.
    pub configured: Option<String>,
    /// The path of its control socket.
    pub socket: String,
    /// The user it runs as.
    pub uid: u32,
    /// How it notices changes.
    pub watching: WatchingReport,
    /// Where it may write; null where it does not say.
    pub sandbox: Option<SandboxReport>,
}

/// What the daemon has given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct SandboxReport {
    /// Whether the kernel keeps it from writing elsewhere: `full`, `partial` (an old kernel, which knows some of the ways
    /// to write) or `none`.
    pub state: String,
    /// The directories below which it may write; empty for `none`.
    pub writes: Vec<String>,
}

/// How changes are noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct WatchingReport {
    /// True where some path is not watched, so that only the next look finds a change.
    pub degraded: bool,
    /// How many directories are watched.
    pub directories: u64,
    /// Seconds between two looks.
    pub poll_seconds: u64,
    /// What is not watched, and why; a sentence each.
    pub unwatched: Vec<String>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct StoreReport {
    /// The path that consumers read.
    pub path: String,
    /// Number of the last publication; 0 before the first.
    pub generation: u64,
    /// SHA-256 of the bundle; null before the first publication.
    pub sha256: Option<String>,
    /// How many anchors it has.
    pub anchors: u64,
    /// Fingerprints of anchors that are kept though no source has them any more.
    pub retained: Vec<String>,
    /// Set while the store is kept as it was against its sources.
    pub held: Option<Held>,
    /// When it was published; null before the first publication.
    pub published_at: Option<String>,
    /// The rollback in force.
    pub rollback: Option<RollbackReport>,
    /// Certificates that may never be in it.
    pub distrusted: Vec<BanReport>,
}

/// A configured server as it was last reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct ServerReport {
    /// Its name in the configuration.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// Code of the verdict: `secure`, `attention` or `insecure`; null before the first attempt.
    pub lock: Option<String>,
    /// When a connection to it was last good; null where none was.
    pub last_ok: Option<String>,
    /// Fingerprint of the anchor that verified it then.
    pub anchor: Option<String>,
    /// What the last attempt failed of; null where it did not fail.
    pub error: Option<String>,
    /// Code of that, or of why the lock is not `secure`.
    pub reason: Option<String>,
    /// Every reason why the lock is not `secure`, the worst first.
    pub reasons: Vec<Warning>,
    /// When the connection will be refused if nothing changes; null where that is not known, or it is refused already.
    pub breaks_at: Option<String>,
}

/// Something that needs a hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct Problem {
    /// Stable code; the manual, logs and metrics use the same.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// What, in one line.
    pub title: String,
    /// Why it is so and what it means.
    pub why: String,
    /// Commands or acts that mend it, the best first.
    pub fix: Vec<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, CustomType)]
#[serde(rename_all = "lowercase")]
#[zlink(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// It will become a problem.
    Warning,
    /// It is one.
    Error,
}

/// The last regeneration that changed something or failed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomType)]
pub struct LastRegeneration {
    /// When.
    pub at: String,
    /// Whose wish it was.
    pub by: String,
    /// What had changed, a sentence each.
    pub why: Vec<String>,
    /// True where the bundle was written.
    pub changed: bool,
    /// Code of what came of it: `published`, `unchanged`, `held` or `failed`.
    pub result: String,
}
